import CryptoPrimitives
import SessionStore
import Signing

/// `chorale journal`: what a signer has decided, and which of it is not needed any more.
///
/// To forget a request does not endanger the key. A record lets `cosign` give the very same signatures again after a crash; without it
/// they cannot be given again, and that is all. Secret nonces live in a process only and are gone with it, and no two processes call
/// their nonces by one name, for every start draws its incarnation anew. So whoever signs a forgotten request again, under whatever
/// number of an attempt, does it with nonces that never signed anything. Nor does it happen under a process that runs: it holds the
/// journal.
enum JournalCommands {
    static let group = Command(
        "journal", summary: "look at a signer's decisions, and forget old ones",
        discussion: """
            Before a signature leaves, cosign writes the decision to sign into the signer's journal: the key file's name and .journal, \
            or what --journal says. So after a crash it gives the same signature again, and never a second one.

            A journal holds over a million decisions. When it is full, forget requests whose transactions are confirmed.
            """,
        commands: [Self.show, Self.forget])

    private static let file = Argument.positional("FILE", help: "a journal (alice.key.journal)")
    private static let requests = Argument.repeated(
        "request", "ID", isRequired: true,
        help: "a request to forget, as journal show tells it, or the name of its exchange folder; may be given several times",
        parse: Self.request)
    private static let yes = Argument.flag("yes", help: "do not ask")

    // MARK: journal show

    private static let show = Command(
        "show", summary: "list the requests that a journal knows",
        discussion: """
            Tells for each request the name of its exchange folder, and who signed which attempt. The transaction is not in the \
            journal; it is in that folder, as final.tx, once it is finished.
            """,
        items: [.argument(file), .argument(.json)],
        examples: [Command.Example("what was signed with this key?", "chorale journal show alice.key.journal")]
    ) { (arguments, console) async throws(CommandError) in
        let journal = try await Self.open(arguments[Self.file], console)
        let records = await journal.records()
        await journal.close()
        let groups = Self.byRequest(records)
        guard !arguments[.json] else {
            return try console.print(
                .object([
                    "requests": .array(
                        groups.map { records in
                            .object([
                                "request": .string("\(records[0].request)"),
                                "folder": .string(ExchangePath.folder(of: records[0].request)),
                                "decisions": .array(
                                    records.map {
                                        .object([
                                            "attempt": .integer(Int($0.attempt)), "public_key": .string("\($0.signer)"),
                                            "inputs": .integer($0.nonces.count),
                                        ])
                                    }),
                            ])
                        })
                ]))
        }
        for records in groups {
            try console.print(console.style.bold("Request \(records[0].request)"))
            try console.print("  folder  \(ExchangePath.folder(of: records[0].request))")
            for record in records {
                let inputs = Amounts.count(record.nonces.count, "input")
                try console.print("  signed  attempt \(record.attempt), \(inputs), by \(record.signer)")
            }
        }
        try console.print("\(Amounts.count(groups.count, "request")), \(Amounts.count(records.count, "decision"))")
    }

    // MARK: journal forget

    private static let forget = Command(
        "forget", summary: "drop what a journal knows of a request",
        discussion: """
            For requests whose transaction is confirmed, or can never be because its coins are spent otherwise. Your key is safe in any \
            case: what is lost is that cosign can give the same signature again after a crash. Where one is still needed, another \
            attempt has to make it, with the other signers.
            """,
        items: [.argument(requests), .argument(file), .argument(yes), .argument(.json)],
        examples: [
            Command.Example(
                "the payment is confirmed", "chorale journal forget --request chorale-9ae5f46202ca4b86 alice.key.journal")
        ]
    ) { (arguments, console) async throws(CommandError) in
        let path = arguments[Self.file]
        let journal = try await Self.open(path, console)
        let outcome: Result<[Bytes32], CommandError>
        do throws(CommandError) { outcome = .success(try await Self.forget(in: journal, arguments, console)) } catch {
            outcome = .failure(error)
        }
        await journal.close()
        let forgotten = try outcome.get()
        if arguments[.json] {
            try console.print(.object(["forgotten": .array(forgotten.map { .string("\($0)") })]))
        } else {
            try console.print("Forgotten: \(Amounts.count(forgotten.count, "request")).")
        }
    }

    private static func forget(in journal: FileJournal, _ arguments: Arguments, _ console: Console) async throws(CommandError) -> [Bytes32]
    {
        let groups = Self.byRequest(await journal.records())
        var chosen: [[BurnRecord]] = []
        for digits in arguments[Self.requests] {
            let found = groups.filter { "\($0[0].request)".hasPrefix(digits) }
            guard let first = found.first else {
                throw .missing("\(journal.path.printable) knows no request \(digits): see chorale journal show")
            }
            guard found.count == 1 else { throw .failed("\(digits) begins the names of \(found.count) requests: give all 64 digits") }
            if !chosen.contains(first) { chosen.append(first) }
        }
        for records in chosen {
            let attempts = Set(records.map(\.attempt)).sorted().map(String.init).joined(separator: ", ")
            console.note("Request \(records[0].request): signed in attempt \(attempts)")
        }
        if !arguments[Self.yes] {
            switch Question.ask("\nAre their transactions confirmed, or void for ever, and shall they be forgotten? [y/N] ") {
            case .yes: break
            case .no: throw .failed("nothing is forgotten")
            case .noTerminal: throw arguments.refused(.inconsistent("there is no terminal to ask at: say --yes"))
            }
        }
        do throws(JournalError) {
            for records in chosen { try await journal.forget(request: records[0].request) }
        } catch { throw .failed("\(error)".printable) }
        return chosen.map { $0[0].request }
    }

    // MARK: Both

    /// Opens a journal that is there. Any other file is left as it is.
    private static func open(_ path: String, _ console: Console) async throws(CommandError) -> FileJournal {
        guard Files.exists(path) else { throw .missing("there is no \(path.printable): check the name") }
        if let other = Files.otherKind(of: path) {
            throw .failed("\(path.printable) is \(other), and a journal was expected: it lies beside its key file, as alice.key.journal")
        }
        let head: [UInt8]
        do throws(SystemError) { head = try Files.head(of: path, byteCount: FileKind.headByteCountMax) } catch {
            throw .failed("\(path.printable) cannot be read: \(error)")
        }
        guard FileKind(head) == .journal else {
            throw .failed(FileKind.mistake(path.printable, seen: FileKind(head), wanted: .journal) ?? "\(path.printable) is no journal")
        }
        return try await CosignCommand.openJournal(at: path, console)
    }

    /// The records of each request together.
    private static func byRequest(_ records: [BurnRecord]) -> [[BurnRecord]] {
        var groups: [[BurnRecord]] = []
        for record in records {
            if groups.last?.first?.request == record.request { groups[groups.count - 1].append(record) } else { groups.append([record]) }
        }
        return groups
    }

    /// The first hex digits of T0: as many as an exchange folder's name has, or more.
    private static let request: TextParser<String> = { (text) throws(InvalidText) in
        let digits = (text.hasPrefix("chorale-") ? String(text.dropFirst(8)) : text).lowercased()
        guard (16...64).contains(digits.utf8.count), digits.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
            throw InvalidText("it must be the 64 hex digits that chorale journal show tells, or at least the first 16 of them")
        }
        return digits
    }
}
