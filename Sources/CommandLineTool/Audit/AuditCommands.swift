import Secp256k1
import Signing

/// `chorale audit`: what the evidence of a fault proves.
enum AuditCommands {
    static let group = Command(
        "audit", summary: "check evidence against a signer",
        discussion: """
            When a signer's contribution is bad, the others write an evidence file: the request, who was to sign it, and the signed \
            messages. It proves the fault to anyone, offline, or it proves nothing.
            """,
        commands: [Self.verify])

    private static let file = Argument.positional("FILE", help: "an evidence file; - for standard input")

    private static let verify = Command(
        "verify", summary: "name the signer whom an evidence file convicts",
        discussion: """
            Verifies every signature in the file, rebuilds what was to be signed, and says which signer's own messages show a fault, \
            or that nothing is proved. Exit code 0 means that a fault is proved, 1 that nothing is.
            """,
        items: [.argument(file), .argument(.json)],
        examples: [Command.Example("what did cosign write?", "chorale audit verify shared/chorale-1f0c5a77d3b1e29a/evidence-02ab….chorale")]
    ) { (arguments, console) throws(CommandError) in
        let path = arguments[Self.file]
        let bytes = try Files.read(path, byteCountMax: Evidence.byteCountMax)
        let evidence: Evidence
        do throws(StatementError) { evidence = try Evidence(parsing: bytes) } catch {
            let (name, kind) = (Files.shownName(path), FileKind(bytes))
            if kind == .evidence { throw .failed("\(name): \(error)".printable) }
            throw .failed(
                FileKind.mistake(name, seen: kind, wanted: .evidence)
                    ?? "\(name) is not an evidence file: those begin with \"chorale evidence 1\", and cosign writes them into the exchange folder"
            )
        }
        let verdict = evidence.verdict()
        switch verdict {
        case .proved(let signer, let fault):
            if arguments[.json] {
                try console.print(
                    .object([
                        "proved": .bool(true), "signer": .string("\(signer)"), "fault": .string("\(fault)"),
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
}
