import Bitcoin
import CryptoPrimitives

/// `chorale psbt`: transactions on their way to being signed.
enum PSBTCommands {
    static let group = Command(
        "psbt", summary: "make, look at, combine and finish transactions that are being signed",
        discussion: """
            A PSBT (BIP-174) is the paper that travels between those who sign a transaction. Files may be binary or Base64; - is \
            standard input.
            """,
        commands: [PSBTCreation.command, Self.show, Self.combine, Self.finalize, Self.extract])

    private static let file = Argument.positional("FILE", help: "a PSBT, binary or Base64; - for standard input")
    private static let files = Argument.positionals("FILE", help: "PSBTs of one transaction, binary or Base64; - for standard input")
    private static let network = Argument.optional(
        "network", "NET", help: "mainnet, testnet4, signet or regtest: show addresses as on this network", parse: Parsing.network)
    private static let signers = Argument.optional(
        "signers", "FILE", help: "what you call the signers: one key a line, with # and a name after it", parse: Parsing.path)
    private static let psbtOut = Argument.optional(
        "out", "FILE", help: "write the PSBT to this file, in binary; else it is printed in Base64", parse: Parsing.path)
    private static let transactionOut = Argument.optional(
        "out", "FILE", help: "write the transaction to this file, in hex; else it is printed", parse: Parsing.path)
}

// MARK: - psbt show

extension PSBTCommands {
    private static let show = Command(
        "show", summary: "show what a transaction spends, pays and still needs",
        discussion: """
            Shows each input with its amount, address and signatures, and for MuSig2 who has given a nonce and who has signed; each \
            output; the fee and its rate. Read it before you sign: an amount that is not known, or a line that says "do not sign", \
            is a reason to ask back.

            A PSBT does not say which network it is for: name the network to see addresses; without it, scripts are shown.

            With --signers it calls the signers by the names that your own list gives them. Nothing in the PSBT can give a name.
            """,
        items: [.argument(file), .argument(network), .argument(signers), .argument(.json)],
        examples: [
            Command.Example("a file", "chorale psbt show payment.psbt --network signet"),
            Command.Example("from the clipboard", "wl-paste | chorale psbt show -"),
        ]
    ) { (arguments, console) throws(CommandError) in
        let book = try arguments[Self.signers].map { path throws(CommandError) in try SignersFile(readingFrom: path) }
        let summary = PSBTSummary(try TransactionFiles.psbt(at: arguments[Self.file]))
        let names = SignerNames(file: book)
        if arguments[.json] {
            try console.print(PSBTDescription.json(summary, on: arguments[Self.network], names))
        } else {
            try console.print(PSBTReport(summary: summary, network: arguments[Self.network], names: names, style: console.style).lines())
        }
    }
}

// MARK: - psbt combine

extension PSBTCommands {
    private static let combine = Command(
        "combine", summary: "join what several signers have added to one transaction",
        discussion: """
            Takes PSBTs of the same transaction and makes one that holds everything they hold. If two different nonces or \
            signatures stand under one signer's name, nothing is made, and the signer is named; who wrote them is not known.
            """,
        items: [.argument(files), .argument(psbtOut), .argument(Files.force), .argument(.json)],
        examples: [Command.Example("three signers' files", "chorale psbt combine alice.psbt bob.psbt carol.psbt --out payment.psbt")]
    ) { (arguments, console) throws(CommandError) in
        let paths = arguments[Self.files]
        guard paths.count(where: { $0 == Files.standardInput }) <= 1 else {
            throw arguments.refused(.inconsistent("- is given twice, and standard input can be read only once: give it once"))
        }
        try Self.checkFree(arguments[Self.psbtOut], arguments)
        var combined = try TransactionFiles.psbt(at: paths[0])
        for path in paths.dropFirst() {
            let next = try TransactionFiles.psbt(at: path)
            do throws(PSBTError) { try combined.combine(with: next) } catch { throw .failed("\(Files.shownName(path)): \(error)") }
        }
        try Self.deliver(combined, by: arguments, on: console)
        if PSBTSummary.hasLooseContributions(combined) { console.note(PSBTSummary.looseContributionsText) }
    }

    private static func checkFree(_ out: String?, _ arguments: Arguments) throws(CommandError) {
        try Files.checkForce(arguments, out: out)
        if let out { try Files.checkFree(out, replacing: arguments[Files.force]) }
    }

    /// Writes or prints the resulting PSBT.
    private static func deliver(_ psbt: PSBT, by arguments: Arguments, on console: Console) throws(CommandError) {
        let out = arguments[Self.psbtOut]
        if let out { try Files.write(psbt.serialized(), to: out, replacing: arguments[Files.force]) }
        if arguments[.json] {
            try console.print(
                .object([
                    "txid": .string("\(psbt.unsignedTransaction.txid)"), "complete": .bool(psbt.isComplete),
                    "psbt": .string(psbt.base64()), "out": .optional(out),
                ]))
        } else if let out {
            console.note(
                "wrote \(out.printable): \(psbt.isComplete ? "complete, every input is final" : "see chorale psbt show for what is missing")"
            )
        } else {
            try console.print(psbt.base64())
        }
    }
}

// MARK: - psbt finalize

extension PSBTCommands {
    private static let finalize = Command(
        "finalize", summary: "turn the signatures of every input into its final witness",
        discussion: """
            Adds up MuSig2 partial signatures where all participants have given theirs, then builds each input's final scriptSig and \
            witness, and drops what was needed only to make them. Taproot signatures are verified, and a signer whose partial signature \
            is wrong is named. If one input lacks a signature, nothing is made, and the input is named.
            """,
        items: [.argument(file), .argument(psbtOut), .argument(Files.force), .argument(.json)],
        examples: [Command.Example("finish in one line", "chorale psbt finalize payment.psbt | chorale psbt extract -")]
    ) { (arguments, console) throws(CommandError) in
        try Self.checkFree(arguments[Self.psbtOut], arguments)
        var psbt = try TransactionFiles.psbt(at: arguments[Self.file])
        do throws(PSBTError) { try psbt.finalize() } catch {
            let failure = Self.failure(error, of: arguments[Self.file])
            guard PSBTSummary.hasLooseContributions(psbt) else { throw failure }
            throw .missing("\(failure)\n\(PSBTSummary.looseContributionsText)")
        }
        try Self.deliver(psbt, by: arguments, on: console)
    }

    /// A signature that is not there yet is missing, not wrong.
    private static func failure(_ error: PSBTError, of path: String) -> CommandError {
        let message = "\(Files.shownName(path)): \(error)"
        switch error {
        case .notFinalizable(_, .signaturesMissing), .notFinal, .utxoMissing: return .missing(message)
        default: return .failed(message)
        }
    }
}

// MARK: - psbt extract

extension PSBTCommands {
    private static let extract = Command(
        "extract", summary: "take the finished transaction out",
        discussion: """
            Prints the transaction, in hex, as nodes take it. Every input must be final (chorale psbt finalize). Nothing is sent to \
            the network.
            """,
        items: [.argument(file), .argument(transactionOut), .argument(Files.force), .argument(.json)],
        examples: [Command.Example("to a file", "chorale psbt extract payment.psbt --out payment.tx")]
    ) { (arguments, console) throws(CommandError) in
        let out = arguments[Self.transactionOut]
        try Self.checkFree(out, arguments)
        let psbt = try TransactionFiles.psbt(at: arguments[Self.file])
        let transaction: Transaction
        do throws(PSBTError) { transaction = try psbt.extract() } catch { throw Self.failure(error, of: arguments[Self.file]) }
        let hex = Hex.encode(transaction.serialized())
        if let out { try Files.write(Array("\(hex)\n".utf8), to: out, replacing: arguments[Files.force]) }
        if arguments[.json] {
            try console.print(
                .object([
                    "txid": .string("\(transaction.txid)"), "wtxid": .string("\(transaction.wtxid)"),
                    "virtual_size": .integer(transaction.virtualSize), "weight": .integer(transaction.weight),
                    "transaction": .string(hex), "out": .optional(out),
                ]))
        } else if let out {
            console.note("wrote \(out.printable): transaction \(transaction.txid), \(Amounts.grouped(transaction.virtualSize)) vB")
        } else {
            try console.print(hex)
        }
    }
}
