import Bitcoin
import CryptoPrimitives

/// `chorale tx`: finished transactions.
enum TransactionCommands {
    static let group = Command(
        "tx", summary: "look at finished transactions",
        discussion: "A transaction is what the network takes: signed, whole, and for everybody to see.",
        commands: [Self.show])

    private static let file = Argument.positional(
        "FILE|HEX|-", help: "a file with the transaction in hex or binary, the hex itself, or - for standard input")
    private static let network = Argument.optional(
        "network", "NET", help: "mainnet, testnet4, signet or regtest: show addresses as on this network", parse: Parsing.network)

    private static let show = Command(
        "show", summary: "show what a transaction spends and pays",
        discussion: """
            Shows inputs, outputs, sizes and names of a transaction. What its inputs are worth does not stand in a transaction, so \
            its fee cannot be shown; a PSBT tells more (chorale psbt show).
            """,
        items: [.argument(file), .argument(network), .argument(.json)],
        examples: [
            Command.Example("a transaction in a file", "chorale tx show payment.tx --network signet"),
            Command.Example("from another program", "chorale psbt extract payment.psbt | chorale tx show -"),
        ]
    ) { (arguments, console) throws(CommandError) in
        let transaction = try TransactionFiles.transaction(arguments[Self.file])
        if arguments[.json] {
            try console.print(Self.json(transaction, on: arguments[Self.network]))
        } else {
            try console.print(Self.report(transaction, on: arguments[Self.network], style: console.style).lines)
        }
    }
}

// MARK: - For people

extension TransactionCommands {
    private static func report(_ transaction: Transaction, on network: Network?, style: Style) -> Report {
        var report = Report(style: style)
        report.heading("Transaction \(transaction.txid)")
        report.field(
            "version",
            "\(transaction.version), \(ScriptDescription.lockTime(transaction.lockTime)); \(ScriptDescription.form(on: network))", width: 8)
        report.field(
            "size",
            "\(Amounts.grouped(transaction.virtualSize)) vB, \(Amounts.grouped(transaction.weight)) weight units, "
                + "\(Amounts.grouped(transaction.byteCount)) bytes", width: 8)
        if transaction.hasWitness { report.field("wtxid", "\(transaction.wtxid)", width: 8) }

        report.heading("Inputs: \(Amounts.grouped(transaction.inputs.count))")
        for (index, input) in transaction.inputs.enumerated() {
            report.field("\(index)", "\(input.previousOutput)", indent: 2, width: 4)
            report.line(Self.proof(of: input), indent: 8)
        }
        report.heading("Outputs: \(Amounts.grouped(transaction.outputs.count))")
        for (index, output) in transaction.outputs.enumerated() {
            report.field(
                "\(index)", ScriptDescription.amount(output.amount), ScriptDescription.recipient(output.scriptPubKey, on: network),
                indent: 2, width: 4)
        }
        let paid = transaction.outputs.reduce((sum: UInt64(0), fits: true)) { partial, output in
            let (sum, overflows) = partial.sum.addingReportingOverflow(output.amount)
            return (sum, partial.fits && !overflows)
        }
        report.line("")
        report.field("paid", paid.fits ? ScriptDescription.amount(paid.sum) : style.red("more than there can be"), width: 8)
        return report
    }

    /// What an input shows to be allowed to spend.
    private static func proof(of input: TransactionInput) -> String {
        var parts: [String] = []
        if !input.scriptSig.isEmpty { parts.append("scriptSig of \(Amounts.count(input.scriptSig.bytes.count, "byte"))") }
        if !input.witness.isEmpty {
            let lengths = input.witness.items.prefix(8).map { "\($0.count)" } + (input.witness.items.count > 8 ? ["…"] : [])
            parts.append("witness of \(Amounts.count(input.witness.items.count, "item")) (\(lengths.joined(separator: ", ")) bytes)")
        }
        if parts.isEmpty { parts.append("not signed") }
        if input.sequence != TransactionInput.sequenceFinal { parts.append("sequence 0x\(String(input.sequence, radix: 16))") }
        return parts.joined(separator: ", ")
    }
}

// MARK: - For programs

extension TransactionCommands {
    private static func json(_ transaction: Transaction, on network: Network?) -> JSONValue {
        .object([
            ("txid", .string("\(transaction.txid)")), ("wtxid", .string("\(transaction.wtxid)")),
            ("network", .optional(network?.rawValue)), ("version", .unsigned(UInt64(transaction.version))),
            ("lock_time", .unsigned(UInt64(transaction.lockTime))), ("virtual_size", .integer(transaction.virtualSize)),
            ("weight", .integer(transaction.weight)), ("bytes", .integer(transaction.byteCount)),
            ("inputs", .array(transaction.inputs.map(Self.json))),
            ("outputs", .array(transaction.outputs.map { .object(ScriptDescription.json($0, on: network)) })),
        ])
    }

    private static func json(_ input: TransactionInput) -> JSONValue {
        .object([
            ("txid", .string("\(input.previousOutput.txid)")), ("output", .unsigned(UInt64(input.previousOutput.index))),
            ("sequence", .unsigned(UInt64(input.sequence))), ("script_sig", .string(input.scriptSig.hex)),
            ("witness", .array(input.witness.items.map { .string(Hex.encode($0)) })),
        ])
    }
}
