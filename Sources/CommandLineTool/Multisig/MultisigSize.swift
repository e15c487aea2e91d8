import Bitcoin
import Secp256k1

/// `chorale multisig size`: what a spend weighs and costs by each path.
extension MultisigCommands {
    private static let inputs = Argument.option(
        "inputs", "N", default: 1, help: "how many coins of this policy are spent", parse: Parsing.integer(1...PSBT.inputCountMax))
    private static let outputs = Argument.option(
        "outputs", "N", default: 2, help: "how many Taproot outputs are paid, change included",
        parse: Parsing.integer(1...PSBT.outputCountMax))
    private static let feeRate = Argument.optional(
        "fee-rate", "RATE", help: "sat/vB, 0.1 or more, with up to three decimals: show fees", parse: Parsing.feeRate)
    private static let buffer = Argument.optional(
        "buffer", "PERCENT", help: "show also the fee with so many percent on top, 0 to 100; needs --fee-rate",
        parse: Parsing.integer(0...100))
    private static let present = Argument.optional(
        "present", "LIST", help: "who is there, as numbers of the sorted list (multisig paths) or as keys, with commas: 0,2,5",
        parse: Parsing.text)
    private static let ownerIsPresent = Argument.flag("owner-present", help: "the owner is there too")
    private static let allSighash = Argument.flag(
        "sighash-all", help: "count signatures of 65 bytes, which name SIGHASH_ALL, in place of 64")

    static let size = Command(
        "size", summary: "compute the exact size and fee of a spend by each path",
        discussion: """
            Computes what a transaction weighs that spends coins of the policy to Taproot outputs, to the byte: by the key path, and by \
            leaves, which differ only by their depth in the tree. With --present it names the cheapest path for those who are there.
            """,
        items: MultisigArguments.items
            + [
                .argument(inputs), .argument(outputs), .argument(feeRate), .argument(buffer), .argument(present),
                .argument(ownerIsPresent), .argument(allSighash), .argument(.json),
            ],
        examples: [
            Command.Example(
                "signers 0 and 2 are there, and blocks cost 12.5 sat/vB",
                "chorale multisig size --threshold 2 --signers signers.txt --owner-unspendable \\\n"
                    + "    --present 0,2 --fee-rate 12.5 --buffer 20")
        ]
    ) { (arguments, console) async throws(CommandError) in
        if arguments[Self.buffer] != nil, arguments[Self.feeRate] == nil {
            throw arguments.refused(.inconsistent("--buffer is a part of the fee: add --fee-rate RATE"))
        }
        let policy = try await MultisigArguments.policy(arguments)
        let present = try Self.presentSigners(arguments, policy)
        let estimates: [Estimate]
        var cheapest: Estimate?
        do throws(DelegatedMultisigError) {
            estimates = try Self.estimates(policy, arguments)
            if let present {
                let path = try policy.cheapestPath(present: present, ownerIsPresent: arguments[Self.ownerIsPresent])
                cheapest = try Self.estimate(path, leafCount: 1, policy, arguments)
            }
        } catch .notEnoughSigners(let present, let threshold) {
            throw .missing(
                "\(threshold) signers are needed, and of them \(present) \(present == 1 ? "is" : "are") there: wait for \(threshold - present) more"
            )
        } catch {
            throw .failed("\(error)")
        }
        if arguments[.json] {
            try console.print(Self.json(estimates, cheapest: cheapest, policy, arguments))
        } else {
            try console.print(Self.report(estimates, cheapest: cheapest, policy, arguments, style: console.style).lines)
        }
    }
}

// MARK: - Who is there

extension MultisigCommands {
    /// The signers of `--present`, as indices into the sorted keys; `nil` when nobody was named, the owner included.
    private static func presentSigners(_ arguments: Arguments, _ policy: DelegatedMultisig) throws(CommandError) -> Set<Int>? {
        if arguments[self.ownerIsPresent], policy.keyPath != .owner {
            throw arguments.refused(.inconsistent("--owner-present needs an owner who can spend: --owner HEX"))
        }
        guard let list = arguments[self.present] else { return arguments[self.ownerIsPresent] ? [] : nil }
        var signers: Set<Int> = []
        for word in list.split(separator: ",", omittingEmptySubsequences: false) {
            let word = word.drop { $0 == " " }
            do throws(InvalidText) { signers.insert(try self.signer(String(word), policy)) } catch {
                throw arguments.refused(
                    .invalidValue(argument: self.present.declaration.name, value: String(word), reason: error.reason))
            }
        }
        return signers
    }

    private static func signer(_ text: String, _ policy: DelegatedMultisig) throws(InvalidText) -> Int {
        if text.utf8.count == 2 * PublicKey.byteCount {
            guard let index = policy.signer(holding: try Parsing.publicKey(text)) else { throw InvalidText("no signer has this key") }
            return index
        }
        return try Parsing.integer(0...(policy.signers.count - 1))(text)
    }
}

// MARK: - Sizes

extension MultisigCommands {
    /// What a spend by one path, or by any of several equally large ones, weighs and costs.
    private struct Estimate {
        let path: DelegatedMultisig.Path
        /// How many leaves are of this depth; 1 for a key path.
        let leafCount: Int
        let depth: Int?
        let size: TransactionSize
        let fee: UInt64?
        let bufferedFee: UInt64?
    }

    /// One estimate for each size that there is: the key path's, and those of the two depths that leaves of a balanced tree have.
    private static func estimates(
        _ policy: DelegatedMultisig, _ arguments: Arguments
    ) throws(DelegatedMultisigError) -> [Estimate] {
        var estimates: [Estimate] = []
        if let path = policy.keyPath { estimates.append(try self.estimate(path, leafCount: 1, policy, arguments)) }
        // Halves are never smaller on the left, so the first leaf lies deepest and the last one least deep, by one at most.
        let (first, last) = (0, policy.leafCount - 1)
        let (depthMin, depthMax) = (try policy.depth(ofLeaf: last), try policy.depth(ofLeaf: first))
        // Leaves at depth d take a place each of the 2^d that there are, and those at d + 1 half a place.
        let shallowCount = depthMin == depthMax ? policy.leafCount : (2 << depthMin) - policy.leafCount
        estimates.append(try self.estimate(.leaf(last), leafCount: shallowCount, policy, arguments))
        if depthMin < depthMax {
            estimates.append(try self.estimate(.leaf(first), leafCount: policy.leafCount - shallowCount, policy, arguments))
        }
        return estimates
    }

    private static func estimate(
        _ path: DelegatedMultisig.Path, leafCount: Int, _ policy: DelegatedMultisig, _ arguments: Arguments
    ) throws(DelegatedMultisigError) -> Estimate {
        let type: SighashType = arguments[self.allSighash] ? .all : .default
        let input = try policy.inputSize(for: path, sighashType: type)
        let output = TransactionOutput(amount: 0, scriptPubKey: policy.scriptPubKey)
        let size = TransactionSize(
            inputs: Array(repeating: input, count: arguments[self.inputs]),
            outputs: Array(repeating: output, count: arguments[self.outputs]))
        let fee = arguments[self.feeRate]?.fee(forVirtualSize: size.virtualSize)
        let buffer = arguments[self.buffer].flatMap { try? FeeBuffer(percent: $0) }
        var depth: Int?
        if case .leaf(let index) = path { depth = try policy.depth(ofLeaf: index) }
        return Estimate(
            path: path, leafCount: leafCount, depth: depth, size: size, fee: fee,
            bufferedFee: fee.flatMap { fee in buffer.map { $0.applied(to: fee) } })
    }
}

// MARK: - Showing

extension MultisigCommands {
    private static func name(of estimate: Estimate) -> String {
        switch estimate.path {
        case .owner: "key path of the owner"
        case .aggregateKeyPath: "key path of all signers"
        case .leaf: "leaf at depth \(estimate.depth ?? 0) (\(Amounts.grouped(estimate.leafCount)) of them)"
        }
    }

    private static func report(
        _ estimates: [Estimate], cheapest: Estimate?, _ policy: DelegatedMultisig, _ arguments: Arguments, style: Style
    ) -> Report {
        var report = Report(style: style)
        report.heading(
            "A spend of \(Amounts.count(arguments[self.inputs], "input")) of \(policy.shape) to "
                + "\(Amounts.count(arguments[self.outputs], "Taproot output"))" + (arguments[self.feeRate].map { ", at \($0)" } ?? ""))
        var rows = [["path", "vB", "weight"]]
        if arguments[self.feeRate] != nil { rows[0].append("fee in sat") }
        if let percent = arguments[self.buffer] { rows[0].append("with \(percent) % more") }
        for estimate in estimates {
            let numbers = [UInt64(estimate.size.virtualSize), UInt64(estimate.size.weight), estimate.fee, estimate.bufferedFee]
            rows.append([self.name(of: estimate)] + numbers.compactMap { $0.map { Amounts.grouped($0) } })
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for (index, row) in rows.enumerated() {
            let cells = row.enumerated().map { column, cell in
                column == 0 ? cell.padded(to: widths[column]) : cell.leftPadded(to: widths[column])
            }
            let line = cells.joined(separator: "  ")
            report.line(index == 0 ? style.dim(line) : line, indent: 2)
        }
        if let heaviest = estimates.map(\.size.weight).max(), heaviest > Transaction.relayedWeightMax {
            report.line(
                style.red("nodes relay at most \(Amounts.grouped(Transaction.relayedWeightMax)) weight units; spend fewer coins at once"),
                indent: 2)
        }
        if let cheapest {
            report.heading("Cheapest for those who are there")
            for line in TextLayout.wrapped(self.sentence(cheapest, policy), width: HelpText.columnCountMax - 2) {
                report.line(line, indent: 2)
            }
        }
        return report
    }

    private static func sentence(_ estimate: Estimate, _ policy: DelegatedMultisig) -> String {
        let path =
            switch estimate.path {
            case .owner: "the key path of the owner"
            case .aggregateKeyPath: "the key path of all signers"
            case .leaf(let index):
                "leaf \(index), signed by \(((try? policy.signers(ofLeaf: index)) ?? []).map { "\($0)" }.joined(separator: ", "))"
            }
        return path + ": \(Amounts.grouped(estimate.size.virtualSize)) vB"
            + (estimate.fee.map { ", \(Amounts.satoshi($0))" } ?? "")
            + (estimate.bufferedFee.map { " (\(Amounts.satoshi($0)) with the buffer)" } ?? "")
    }

    private static func json(
        _ estimates: [Estimate], cheapest: Estimate?, _ policy: DelegatedMultisig, _ arguments: Arguments
    ) -> JSONValue {
        .object([
            "inputs": .integer(arguments[self.inputs]), "outputs": .integer(arguments[self.outputs]),
            "fee_rate": arguments[self.feeRate].map { .number(Double($0.satoshisPerKilobyte) / 1_000) } ?? .null,
            "buffer_percent": arguments[self.buffer].map(JSONValue.integer) ?? .null,
            "paths": .array(estimates.map { .object(self.members($0) + [("leaves", $0.depth == nil ? .null : .integer($0.leafCount))]) }),
            "cheapest": cheapest.map { estimate in
                var members = self.members(estimate)
                if case .leaf(let index) = estimate.path { members.append(("leaf", .integer(index))) }
                let signers = (try? policy.signers(of: estimate.path)) ?? []
                return .object(members + [("signers", .array(signers.map(JSONValue.integer)))])
            } ?? .null,
        ])
    }

    private static func members(_ estimate: Estimate) -> [(name: String, value: JSONValue)] {
        [
            ("path", .string(estimate.path.name)), ("depth", estimate.depth.map(JSONValue.integer) ?? .null),
            ("virtual_size", .integer(estimate.size.virtualSize)), ("weight", .integer(estimate.size.weight)),
            ("fee", estimate.fee.map(JSONValue.unsigned) ?? .null),
            ("fee_with_buffer", estimate.bufferedFee.map(JSONValue.unsigned) ?? .null),
        ]
    }
}
