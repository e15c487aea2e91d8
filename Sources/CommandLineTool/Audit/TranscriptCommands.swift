import CryptoPrimitives
import Secp256k1
import SessionStore
import Signing
import SigningNode

// A request's transcript: out of a node, and looked at by anybody.

/// `chorale audit export`: all that a node keeps of what was said about a request.
enum AuditExportCommand {
    private static let out = Argument.optional(
        "out", "FILE", help: "the file to write (default: transcript-ID.chorale in this folder)", parse: Parsing.path)

    static let command = Command(
        "export", summary: "write down what your node has of a request: who said what, each word signed",
        discussion: """
            Writes a request's transcript to a file: the proposal, every signed word of every member that came or went, proofs of faults, \
            and the signatures that complete it. Anybody can read it with chorale audit verify, with nothing else in hand. It is taken from \
            the running node; where none runs, from the node's database, and no key is needed.

            It holds no secrets of a key. It does show coins, amounts and who agreed.
            """,
        items: [.argument(RequestCommands.id), .argument(out), .argument(Files.force), NodeHome.item, .argument(.json)],
        examples: [Command.Example("keep what was said about a payment", "chorale audit export 9ae5f462 --out roof.chorale")]
    ) { (arguments, console) async throws(CommandError) in
        let digits = arguments[RequestCommands.id]
        if let out = arguments[Self.out] { try Files.checkFree(out, replacing: arguments[Files.force]) }
        let bytes = try await Self.bytes(digits, arguments)
        let transcript: RequestTranscript
        do throws(StatementError) { transcript = try RequestTranscript(parsing: bytes) } catch { throw .failed("\(error)") }
        let id = Coordination.request(of: transcript.proposal).map { "\($0)" } ?? digits
        let path = arguments[Self.out] ?? "transcript-\(id.prefix(EventReport.idDigitCount)).chorale"
        try Files.write(bytes, to: path, replacing: arguments[Files.force])
        guard !arguments[.json] else {
            return try console.print(
                .object([
                    "request": .string(id), "out": .string(path), "entries": .integer(transcript.entries.count),
                    "head": .string("\(transcript.head.hash)"),
                ]))
        }
        try console.print("wrote \(path.printable): \(Amounts.count(transcript.entries.count, "line"))")
        console.note("To see what it shows: chorale audit verify \(path.shellWord)")
    }

    /// From the running node, or else from its database.
    private static func bytes(_ digits: String, _ arguments: Arguments) async throws(CommandError) -> [UInt8] {
        let client = try ControlClient(by: arguments)
        guard client.isNodeThere else { return try await Self.bytes(digits, of: client.home) }
        let pieces = try await client.items(.object(["do": .string("audit.export"), "id": .string(digits)]))
        var bytes: [UInt8] = []
        for piece in pieces {
            guard let decoded = try? Hex.decode(piece.shown("bytes")) else { throw .failed("the node's answer is not understood") }
            bytes += decoded
        }
        return bytes
    }

    private static func bytes(_ digits: String, of home: NodeHome) async throws(CommandError) -> [UInt8] {
        let database = try await home.openDatabase()
        let result: Result<[UInt8], TranscriptError>
        do throws(TranscriptError) { result = .success(try await RequestTranscript(of: digits, in: database).serialized()) } catch {
            result = .failure(error)
        }
        await database.close()
        do throws(TranscriptError) { return try result.get() } catch { throw error.asCommandError }
    }
}

extension NodeService {
    /// A request's transcript, in pieces that fit into lines.
    func exportTranscript(_ request: NodeRequest, _ reply: ControlReply) async throws(ControlError) {
        guard let digits = RequestID.digits(try request.text("id")) else { throw .failed(RequestID.rule) }
        var rest: ArraySlice<UInt8>
        do throws(TranscriptError) { rest = try await RequestTranscript(of: digits, in: self.database).serialized()[...] } catch {
            throw error.asControlError
        }
        while !rest.isEmpty {
            try await reply.send(.object(["bytes": .string(Hex.encode(Array(rest.prefix(Self.pieceByteCount))))]))
            rest = rest.dropFirst(Self.pieceByteCount)
        }
    }

    private static let pieceByteCount = 4 << 20
}

extension TranscriptError {
    var asControlError: ControlError {
        switch self {
        case .unknownRequest, .unknownGroup: .missing("\(self)")
        case .store, .ambiguous, .transcript: .failed("\(self)")
        }
    }

    var asCommandError: CommandError { self.asControlError.asCommandError }
}

// MARK: - What a transcript shows

/// A transcript, as `chorale audit verify` tells it.
enum TranscriptReport {
    /// - Throws: `failed` where it is not whole, or something in it is not what its senders signed.
    static func show(_ bytes: [UInt8], _ path: String, _ arguments: Arguments, _ console: Console) async throws(CommandError) {
        let name = Files.shownName(path)
        let (transcript, audit): (RequestTranscript, RequestAudit)
        do throws(StatementError) {
            transcript = try RequestTranscript(parsing: bytes)
            audit = try await transcript.audit()
        } catch { throw .failed("\(name): \(error)".printable) }
        if arguments[.json] {
            try console.print(Self.json(transcript, audit))
        } else {
            try console.print(Self.lines(transcript, audit, console.style))
            console.prose(Self.meaning)
            if !audit.cloneAlarms.isEmpty { console.prose(CloneWords.meaning) }
        }
        guard audit.unreadable.isEmpty else {
            let places = audit.unreadable.prefix(10).map { "\($0)" }.joined(separator: ", ")
            throw .failed(
                "\(name): \(Amounts.count(audit.unreadable.count, "line")) cannot be read, or \(audit.unreadable.count == 1 ? "is" : "are") "
                    + "not signed by a member under the enrolments in the file: \(places)")
        }
    }

    private static let meaning = """
        Each word is signed by the identity that the member's key enrolled: that proves it to anybody. That no word is left out, and their \
        order, only the last hash can show, to those who knew it before.
        """

    private static func json(_ transcript: RequestTranscript, _ audit: RequestAudit) -> JSONValue {
        .object([
            "request": .string("\(audit.id)"), "network": .string(transcript.network.rawValue),
            "txid": .string("\(audit.request.transaction.txid)"),
            "proposer": .string("\(audit.proposer)"), "note": .string(audit.terms.note), "created": .unsigned(audit.terms.createdAt),
            "expiry": .unsigned(audit.request.expiry), "threshold": .integer(audit.threshold),
            "members": .array(audit.members.map { .string("\($0)") }), "entries": .integer(transcript.entries.count),
            "head": .string("\(transcript.head.hash)"),
            "words": .array(
                audit.words.map { word in
                    .object(
                        [("entry", .integer(Int(word.sequence))), ("public_key", .string("\(word.signer)"))] + word.meaning.members)
                }),
            "blamed": .array(Set(audit.faults.map(\.signer)).sorted().map { .string("\($0)") }),
            "faults": .array(
                audit.faults.map { .object(["public_key": .string("\($0.signer)"), "fault": .string("\($0.fault)")]) }),
            "clone_alarms": .array(audit.cloneAlarms.map(CloneWords.members)), "unproved_count": .integer(audit.unprovedCount),
            "unreadable": .array(audit.unreadable.map { .integer(Int($0)) }),
            "transaction": .optional(audit.transaction.map { Hex.encode($0.serialized()) }),
        ])
    }

    private static func lines(_ transcript: RequestTranscript, _ audit: RequestAudit, _ style: Style) -> [String] {
        var report = Report(style: style)
        let width = 11
        report.heading("Request \(audit.id), \(audit.threshold)-of-\(audit.members.count) on \(transcript.network)")
        report.field("transaction", "\(audit.request.transaction.txid)", indent: 2, width: width)
        report.field("asked by", "\(audit.proposer), \(UnixTime.text(audit.terms.createdAt))", indent: 2, width: width)
        if !audit.terms.note.isEmpty { report.field("note", "“\(audit.terms.note.printable)”", indent: 2, width: width) }
        report.field("lines", "\(transcript.entries.count), up to the hash \(transcript.head.hash)", indent: 2, width: width)
        for fault in audit.faults {
            report.field("proved", style.red("signer \(fault.signer) is at fault: \(fault.fault)"), indent: 2, width: width)
        }
        for alarm in audit.cloneAlarms {
            report.field("clone", style.red("\(CloneWords.alarm("signer \(alarm.signer)"))."), indent: 2, width: width)
        }
        report.field(
            "result", audit.transaction == nil ? "not signed, as far as this shows" : "signed: the signatures in it verify", indent: 2,
            width: width)
        report.heading("Who said what")
        for word in audit.words {
            report.line("\("\(word.sequence)".leftPadded(to: 5))  \(word.signer)  \(word.meaning.words)")
        }
        return report.lines
    }
}

extension RequestAudit.Meaning {
    fileprivate var members: [(name: String, value: JSONValue)] {
        switch self {
        case .approved: [("says", .string("approved"))]
        case .refused(let reason): [("says", .string("refused")), ("reason", .string("\(reason)"))]
        case .cancelled: [("says", .string("cancelled"))]
        case .began(let attempt, let transcript):
            [("says", .string("began")), ("attempt", .integer(Int(attempt))), ("transcript", .string("\(transcript)"))]
        case .signed(let attempt, let transcript):
            [("says", .string("signed")), ("attempt", .integer(Int(attempt))), ("transcript", .string("\(transcript)"))]
        }
    }

    fileprivate var words: String {
        switch self {
        case .approved: "agreed"
        case .refused(let reason): "\(reason)"
        case .cancelled: "took the request back"
        case .began(let attempt, let transcript): "began attempt \(attempt) upon T1 \("\(transcript)".prefix(16))…"
        case .signed(let attempt, let transcript): "gave partial signatures in attempt \(attempt) under T1 \("\(transcript)".prefix(16))…"
        }
    }
}
