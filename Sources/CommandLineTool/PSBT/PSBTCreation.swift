import Bitcoin
import CryptoPrimitives
import Signing

/// `chorale psbt create`: a payment out of a group's coins, ready to be given to its signers.
enum PSBTCreation {
    private static let network = Argument.optional(
        "network", "NET", help: "mainnet, testnet4, signet or regtest; with --group it is the node's", parse: Parsing.network)
    private static let group = Argument.optional(
        "group", "NAME", help: "a group of the running node (chorale group list), which knows its signers", parse: Parsing.text)
    private static let spend = Argument.repeated(
        "spend", "TXID:OUTPUT:AMOUNT", isRequired: true,
        help: "a coin of the group: transaction, number of the output, satoshi; give it once for each coin", parse: Self.coin)
    private static let pay = Argument.repeated(
        "pay", "ADDRESS:AMOUNT", isRequired: false, help: "pay so many satoshi to the address; may be given several times",
        parse: Self.payment)
    private static let feeRate = Argument.required(
        "fee-rate", "RATE", help: "sat/vB, 0.1 or more, with up to three decimals", parse: Parsing.feeRate)
    private static let change = Argument.optional(
        "change", "ADDRESS", help: "where the rest goes (default: back to the group)", parse: Parsing.text)
    private static let out = Argument.optional(
        "out", "FILE", help: "write the PSBT to this file, in binary; else it is printed in Base64", parse: Parsing.path)

    static let command = Command(
        "create", summary: "make a payment out of a group's coins, for its signers to sign",
        discussion: """
            Makes the PSBT that each signer gives to chorale cosign, or one of them to chorale request new. It spends all the coins you name, pays whom you name, and sends \
            the rest back to the group, less the fee; a rest too small to be worth an output goes to the fee.

            The coins must be at the group's own address, with exactly these amounts: signatures over other amounts are worth nothing. \
            Nothing is looked up anywhere. Without --threshold all signers sign together, with one key; with it, any K of them do, \
            and the fee is counted for the most expensive of their sets. With --group the running node says who signs, and how many.
            """,
        items: [
            .oneOf(MultisigArguments.signersIfAny.declaration, group.declaration), .argument(network), .argument(spend), .argument(pay),
            .argument(feeRate), .argument(change),
        ] + MultisigArguments.itemsBesideSigners + [.argument(out), .argument(Files.force), NodeHome.item, .argument(.json)],
        examples: [
            Command.Example(
                "pay 50,000 sat out of one coin of 80,000, at 2.5 sat/vB",
                "chorale psbt create --network signet --signers signers.txt \\\n"
                    + "    --spend 4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b:0:80000 \\\n"
                    + "    --pay tb1p…:50000 --fee-rate 2.5 --out payment.psbt"),
            Command.Example(
                "the same out of a group of the running node, for chorale request new",
                "chorale psbt create --group family --pay tb1p…:50000 --fee-rate 2.5 --out payment.psbt \\\n"
                    + "    --spend 4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b:0:80000"),
            Command.Example(
                "bring a coin back to the group that any 2 of the signers can sign for",
                "chorale psbt create --network signet --signers signers.txt --threshold 2 \\\n"
                    + "    --owner-unspendable --fee-rate 2.5 --out payment.psbt \\\n"
                    + "    --spend 4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b:0:80000"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        let out = arguments[Self.out]
        try Files.checkForce(arguments, out: out)
        try Self.checkCoins(arguments)
        if let out { try Files.checkFree(out, replacing: arguments[Files.force]) }
        let owners = try await Self.owners(arguments)
        // Words are checked before the work begins that a large policy takes.
        let payments = try arguments[Self.pay].map { (payment) throws(CommandError) in
            try Self.output(of: payment, on: owners.network, arguments)
        }
        let changeScript = try arguments[Self.change].map { (text) throws(CommandError) in
            try Self.script(of: text, on: owners.network, given: Self.change.declaration, arguments)
        }
        let policy = try await owners.policy(arguments)
        let funded: FundedTransaction
        let coins = Self.coins(arguments[Self.spend], of: policy)
        do throws(FeeError) {
            funded = try FundedTransaction(
                spending: coins, paying: payments, changeTo: changeScript ?? policy.scriptPubKey, feeRate: arguments[Self.feeRate])
        } catch { throw .failed("\(error)") }
        let psbt: PSBT
        do throws(PSBTError) {
            psbt = try PSBT(asking: policy, toSign: funded.transaction, spending: coins.map(\.output))
        } catch { throw .failed("\(error)") }
        if let out { try Files.write(psbt.serialized(), to: out, replacing: arguments[Files.force]) }
        try Self.report(psbt, funded, policy, on: owners.network, arguments, console)
    }

    // MARK: - Whose coins

    private struct Owners {
        let network: Network
        /// What the running node has; `nil` where the signers' file says who signs.
        let record: GroupRecord?

        func policy(_ arguments: Arguments) async throws(CommandError) -> any SpendingPolicy {
            guard let record = self.record else {
                return try await MultisigArguments.policyOfAnyGroup(arguments, signers: arguments[MultisigArguments.signersIfAny])
            }
            do throws(SigningError) { return try await record.policy() } catch { throw .failed("\(error)") }
        }
    }

    private static func owners(_ arguments: Arguments) async throws(CommandError) -> Owners {
        guard let name = arguments[Self.group] else {
            guard let network = arguments[Self.network] else {
                throw arguments.refused(.missingOption(usage: Self.network.declaration.usage))
            }
            return Owners(network: network, record: nil)
        }
        try MultisigArguments.refuseShape(arguments, beside: Self.group.declaration.name)
        let found = try await ControlClient(by: arguments).ask(.object(["do": .string("group.record"), "name": .string(name)]))
        guard let network = Network(rawValue: found.shown("network")), let bytes = try? Hex.decode(found.shown("record")),
            let record = try? GroupRecord(parsing: bytes)
        else { throw .failed("the node says something of the group that this command does not know: run both from one version of Chorale") }
        if let wanted = arguments[Self.network], wanted != network {
            throw arguments.refused(.inconsistent("the group \(name.printable) is on \(network): leave --network away"))
        }
        return Owners(network: network, record: record)
    }

    private static let lowRateWarning =
        "Careful: below 1 sat/vB only nodes of Bitcoin Core 29.1 or newer relay a transaction, so it may travel slowly or not at all."

    private static func report(
        _ psbt: PSBT, _ funded: FundedTransaction, _ policy: any SpendingPolicy, on network: Network, _ arguments: Arguments,
        _ console: Console
    ) throws(CommandError) {
        let out = arguments[Self.out]
        let group = ScriptDescription.recipient(policy.scriptPubKey, on: network)
        let spends = InputSpend.all(of: policy)
        let size = SignedSize(inputs: psbt.inputs.map { _ in spends }, outputs: psbt.unsignedTransaction.outputs)
        let spent = psbt.inputs.reduce(UInt64(0)) { $0 + ($1.witnessUTXO?.amount ?? 0) }
        let hasHighFee = HighFee.isHigh(funded.fee, spending: spent, virtualSize: funded.size.virtualSize)
        if arguments[Self.feeRate].satoshisPerKilobyte < Parsing.widelyRelayedSatoshisPerKilobyteMin {
            console.prose(Self.lowRateWarning)
        }
        if hasHighFee { console.prose(HighFee.warning(hasChange: funded.changeIndex != nil)) }
        guard !arguments[.json] else {
            return try console.print(
                .object([
                    "txid": .string("\(funded.txid)"), "group_address": .string(group), "fee": .unsigned(funded.fee),
                    "virtual_size": .integer(funded.size.virtualSize), "fee_is_high": .bool(hasHighFee),
                    "sizes": .array(size.map { PSBTDescription.json($0, fee: funded.fee) } ?? []),
                    "change_index": funded.changeIndex.map(JSONValue.integer) ?? .null,
                    "psbt": .string(psbt.base64()), "out": .optional(out),
                ]))
        }
        console.note("The group's address, where the coins must be:\n  \(group)")
        let change = funded.changeIndex == nil ? "Nothing is left for change." : "The rest is change."
        let rates = size?.rates(of: funded.fee) ?? []
        if rates.count == 1 {
            console.prose("Fee: \(ScriptDescription.amount(funded.fee)), \(rates[0]). \(change)")
        } else {
            console.prose("Fee: \(ScriptDescription.amount(funded.fee)). \(change) The rate depends on who signs:")
            for rate in rates { console.note("  \(rate)") }
        }
        if let out {
            let next = arguments[Self.group].map { "chorale request new --group \($0.shellWord) --psbt \(out.shellWord) asks the members" }
            console.note("wrote \(out.printable): \(next ?? "each signer runs chorale cosign with it")")
        } else {
            try console.print(psbt.base64())
        }
    }
}

// MARK: - Coins and payments

extension PSBTCreation {
    private struct Coin: Sendable {
        let outPoint: OutPoint
        let amount: UInt64
    }

    private struct Payment: Sendable {
        let address: String
        let amount: UInt64
    }

    private static let coin: TextParser<Coin> = { (text) throws(InvalidText) in
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw InvalidText("it must be TXID:OUTPUT:AMOUNT, as in 4a5e…a33b:0:80000") }
        guard let txid = Txid(parts[0]) else { throw InvalidText("a transaction is named by 64 hex digits") }
        guard let index = UInt32(Self.digits(parts[1])) else { throw InvalidText("the number of an output is from 0 to 4294967295") }
        return Coin(outPoint: OutPoint(txid: txid, index: index), amount: try Self.amount(parts[2]))
    }

    private static let payment: TextParser<Payment> = { (text) throws(InvalidText) in
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw InvalidText("it must be ADDRESS:AMOUNT") }
        return Payment(address: String(parts[0]), amount: try Self.amount(parts[1]))
    }

    private static func amount(_ text: Substring) throws(InvalidText) -> UInt64 {
        guard let amount = UInt64(self.digits(text)), (1...TransactionOutput.amountMax).contains(amount) else {
            throw InvalidText("an amount is a whole number of satoshi from 1 to \(Amounts.grouped(TransactionOutput.amountMax))")
        }
        return amount
    }

    /// Nothing but decimal digits: no sign, which an integer's own parser would allow.
    private static func digits(_ text: Substring) -> String {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? String(text) : ""
    }

    private static func script(
        of address: String, on network: Network, given argument: ArgumentDeclaration, _ arguments: Arguments
    ) throws(CommandError) -> Script {
        do throws(AddressError) { return try Address(parsing: address, on: network).scriptPubKey } catch {
            throw arguments.refused(.invalidValue(argument: argument.name, value: address, reason: "\(error)"))
        }
    }

    /// An output that nodes relay.
    private static func output(
        of payment: Payment, on network: Network, _ arguments: Arguments
    ) throws(CommandError) -> TransactionOutput {
        let output = TransactionOutput(
            amount: payment.amount, scriptPubKey: try Self.script(of: payment.address, on: network, given: Self.pay.declaration, arguments))
        guard !output.isDust else {
            throw arguments.refused(
                .invalidValue(
                    argument: Self.pay.declaration.name, value: "\(payment.address):\(payment.amount)",
                    reason: "\(Amounts.satoshi(payment.amount)) is dust, which nodes do not relay; pay at least "
                        + "\(Amounts.satoshi(output.scriptPubKey.dustLimit)) to this \(ScriptDescription.typeName(output.scriptPubKey)) address"
                ))
        }
        return output
    }

    /// A coin that is named twice is a slip of the hand, and no coin can be spent twice.
    private static func checkCoins(_ arguments: Arguments) throws(CommandError) {
        var seen: Set<OutPoint> = []
        for coin in arguments[Self.spend] where !seen.insert(coin.outPoint).inserted {
            throw arguments.refused(.inconsistent("--spend names the coin \(coin.outPoint) twice: name it once"))
        }
    }

    private static func coins(_ coins: [Coin], of policy: any SpendingPolicy) -> [FundingCoin] {
        // Who will sign is not known yet, so the fee is that of the most expensive path.
        let size = InputSpend.all(of: policy).last?.size ?? .taprootKeyPath()
        return coins.map {
            FundingCoin(
                outPoint: $0.outPoint, output: TransactionOutput(amount: $0.amount, scriptPubKey: policy.scriptPubKey), inputSize: size)
        }
    }
}
