import Secp256k1
import Signing
import SigningNode

/// `chorale audit`: what was said about a request, and what the evidence of a fault proves.
enum AuditCommands {
    static let group = Command(
        "audit", summary: "check evidence against a signer, and what was said about a request",
        discussion: """
            When a signer's contribution is bad, the others write an evidence file: the request, who was to sign it, and the signed \
            messages. It proves the fault to anyone, offline, or it proves nothing. A node keeps evidence in a request's transcript, beside \
            every other signed word about it.
            """,
        commands: [AuditExportCommand.command, Self.verify])

    private static let file = Argument.positional(
        "FILE", help: "an evidence file, a clone alarm, or a request's transcript; - for standard input")

    private static let verify = Command(
        "verify", summary: "name whom an evidence file convicts, or tell what a transcript shows",
        discussion: """
            Verifies every signature in the file, rebuilds what was to be signed, and says which signer's own messages show a fault, \
            or that nothing is proved. Exit code 0 means that a fault is proved, 1 that nothing is.

            Of a request's transcript (chorale audit export) it verifies every signature, too, and tells who said what, who is at fault, \
            and whether it was signed. Exit code 0 means that all of it holds.

            A clone alarm, as a node's events have it, shows that one nonce of a signer has signed twice: a copy of its machine may be running, \
            and its key may be known to whoever saw both. Exit code 0 means that it holds.
            """,
        items: [.argument(file), .argument(.json)],
        examples: [Command.Example("what did cosign write?", "chorale audit verify shared/chorale-1f0c5a77d3b1e29a/evidence-02ab….chorale")]
    ) { (arguments, console) async throws(CommandError) in
        let path = arguments[Self.file]
        let bytes = try Files.read(path, byteCountMax: RequestTranscript.byteCountMax)
        if FileKind(bytes) == .transcript { return try await TranscriptReport.show(bytes, path, arguments, console) }
        if FileKind(bytes) == .cloneAlarm { return try Self.show(cloneAlarm: bytes, path, arguments, console) }
        let evidence: Evidence
        do throws(StatementError) { evidence = try Evidence(parsing: bytes) } catch {
            let (name, kind) = (Files.shownName(path), FileKind(bytes))
            if kind == .evidence { throw .failed("\(name): \(error)".printable) }
            throw .failed(
                FileKind.mistake(name, seen: kind, wanted: .evidence)
                    ?? "\(name) is not an evidence file: those begin with \"chorale evidence 1\" or \"chorale evidence 2\", and cosign "
                    + "writes them into the exchange folder"
            )
        }
        let verdict = evidence.verdict()
        switch verdict {
        case .proved(let signer, let fault):
            if arguments[.json] {
                try console.print(
                    .object([
                        "proved": .bool(true), "public_key": .string("\(signer)"), "fault": .string("\(fault)"),
                        "txid": .string("\(evidence.request.transaction.txid)"), "attempt": .integer(Int(evidence.attempt)),
                    ]))
            } else {
                try console.print(console.style.red("Proved: ") + "\(verdict).")
                try console.print("It was to sign, in attempt \(evidence.attempt), the transaction")
                try console.print("  \(evidence.request.transaction.txid)")
            }
        case .nothingProved(let reason):
            if arguments[.json] { try console.print(.object(["proved": .bool(false), "reason": .string(reason)])) }
            throw .failed("\(Files.shownName(path)): nothing is proved against anyone: \(reason)".printable)
        }
    }

    private static func show(cloneAlarm bytes: [UInt8], _ path: String, _ arguments: Arguments, _ console: Console) throws(CommandError) {
        let alarm: CloneAlarm
        do throws(StatementError) { alarm = try CloneAlarm(parsing: bytes) } catch {
            throw .failed("\(Files.shownName(path)): \(error)".printable)
        }
        if arguments[.json] { return try console.print(CloneWords.members(alarm)) }
        try console.print(console.style.red("\(CloneWords.alarm("signer \(alarm.signer)")).".printable))
        for (evidence, transcript) in zip([alarm.first, alarm.second], alarm.transcripts) {
            try console.print("  attempt \(evidence.attempt) of transaction \(evidence.request.transaction.txid), T1 \(transcript)")
        }
        console.prose(CloneWords.meaning)
    }
}
