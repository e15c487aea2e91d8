import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing

/// `chorale multisig`: outputs that any k of n signers can spend.
enum MultisigCommands {
    static let group = Command(
        "multisig", summary: "addresses that any k of n signers can spend from",
        discussion: """
            Each set of k signers has a leaf of its own in a Taproot tree, with the MuSig2 aggregate of the set as its key. The set is \
            chosen first; then its members sign once, and the chain sees one ordinary signature. The address depends only on the keys, \
            k and who can spend by the key path, and not on the order of the keys.
            """,
        commands: [Self.address, Self.paths, Self.size])
}

// MARK: - multisig address

extension MultisigCommands {
    private static let network = Argument.required("network", "NET", help: "mainnet, testnet4, signet or regtest", parse: Parsing.network)
    private static let descriptor = Argument.flag(
        "descriptor", help: "print the tr() descriptor too, for other wallets: one long line; not with --json")

    private static let address = Command(
        "address", summary: "compute the address of a k-of-n policy, or of all signers together",
        discussion: """
            Computes one aggregate key for each set of K signers, on all cores, and the address that commits to all of them. For large \
            groups this takes a while: 47 of 50 signers have 19,600 sets, some 14 seconds on two cores.

            Without --threshold it is the address of all signers together, with one key and no scripts.
            """,
        items: MultisigArguments.itemsOfAnyGroup + [.argument(network), .argument(descriptor), .argument(.json)],
        examples: [
            Command.Example(
                "any 2 of the signers in the file, and nobody else",
                "chorale multisig address --threshold 2 --signers signers.txt --owner-unspendable \\\n    --network signet"),
            Command.Example(
                "all signers together may use the cheaper key path",
                "chorale multisig address --threshold 2 --signers signers.txt --owner-aggregate \\\n    --network signet --json"),
            Command.Example("all signers together", "chorale multisig address --signers signers.txt --network signet"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        if arguments[.json], arguments[Self.descriptor] {
            throw arguments.refused(.moreThanOneOf([Argument.json.declaration.name, Self.descriptor.declaration.name]))
        }
        let start = ContinuousClock.now
        let anyPolicy = try await MultisigArguments.policyOfAnyGroup(arguments, withDescriptor: arguments[Self.descriptor])
        let milliseconds = (ContinuousClock.now - start).milliseconds
        if let group = anyPolicy as? SignerGroup { return try Self.present(group, milliseconds, arguments, console) }
        guard let policy = anyPolicy as? DelegatedMultisig else { preconditionFailure("a policy is a group or a k-of-n") }
        let address = policy.address(on: arguments[Self.network])
        if arguments[.json] {
            return try console.print(
                .object([
                    "address": .string(address.text), "script_pubkey": .string(policy.scriptPubKey.hex),
                    "internal_key": .string("\(policy.output.internalKey)"), "merkle_root": .string("\(policy.merkleRoot)"),
                    "leaves": .integer(policy.leafCount), "milliseconds": .number(milliseconds),
                ]))
        }
        var report = Report(style: console.style)
        report.heading("\(policy.shape) on \(address.network)")
        report.field("address", console.style.bold(address.text), indent: 2, width: Self.labelWidth)
        report.field("script pubkey", policy.scriptPubKey.hex, indent: 2, width: Self.labelWidth)
        report.field("internal key", "\(policy.output.internalKey)", indent: 2, width: Self.labelWidth)
        if let tweak = policy.unspendableTweak {
            report.field("", "H + r·G with H of BIP-341, and r =", "\(tweak)", indent: 2, width: Self.labelWidth)
        }
        report.field("merkle root", "\(policy.merkleRoot)", indent: 2, width: Self.labelWidth)
        report.field("key path", policy.keyPathDescription, indent: 2, width: Self.labelWidth)
        report.field(
            "leaves", "\(Amounts.grouped(policy.leafCount)), one for each set of \(policy.threshold) signers", indent: 2,
            width: Self.labelWidth)
        report.field("computed in", "\(milliseconds) ms", indent: 2, width: Self.labelWidth)
        if arguments[Self.descriptor] {
            do throws(DelegatedMultisigError) {
                report.heading("Descriptor")
                report.line(try policy.descriptor())
            } catch {
                throw .failed("\(error)")
            }
        }
        try console.print(report.lines)
    }

    /// All signers together: a key, and no tree.
    private static func present(
        _ group: SignerGroup, _ milliseconds: Double, _ arguments: Arguments, _ console: Console
    ) throws(CommandError) {
        guard let address = Address(scriptPubKey: group.scriptPubKey, network: arguments[Self.network]) else {
            preconditionFailure("every Taproot output has an address")
        }
        let internalKey = group.keys.untweakedKey.xOnly
        if arguments[.json] {
            return try console.print(
                .object([
                    "address": .string(address.text), "script_pubkey": .string(group.scriptPubKey.hex),
                    "internal_key": .string("\(internalKey)"), "merkle_root": .null, "leaves": .integer(0),
                    "milliseconds": .number(milliseconds),
                ]))
        }
        guard !arguments[Self.descriptor] else {
            throw arguments.refused(.inconsistent("\(Self.descriptor.declaration.name) belongs to a k-of-n policy: add --threshold K"))
        }
        var report = Report(style: console.style)
        report.heading("\(group.members.count)-of-\(group.members.count) on \(address.network)")
        report.field("address", console.style.bold(address.text), indent: 2, width: Self.labelWidth)
        report.field("script pubkey", group.scriptPubKey.hex, indent: 2, width: Self.labelWidth)
        report.field("internal key", "\(internalKey)", indent: 2, width: Self.labelWidth)
        report.field("key path", "all \(group.members.count) signers together", indent: 2, width: Self.labelWidth)
        report.field("leaves", "none", indent: 2, width: Self.labelWidth)
        try console.print(report.lines)
    }

    private static let labelWidth = 13
}

// MARK: - multisig paths

extension MultisigCommands {
    private static let limit = Argument.option(
        "limit", "N", default: 20, help: "list at most so many leaves", parse: Parsing.integer(0...DelegatedMultisig.leafCountMax))
    private static let from = Argument.option(
        "from", "LEAF", default: 0, help: "begin the list at this leaf", parse: Parsing.integer(0...DelegatedMultisig.leafCountMax))

    private static let paths = Command(
        "paths", summary: "list which sets of signers can spend",
        discussion: """
            Lists the leaves of the policy: for each its number, its depth in the tree, and the signers who can spend by it, as numbers \
            into the sorted list of keys that stands first. A leaf that lies less deep is cheaper to spend by.
            """,
        items: MultisigArguments.items + [.argument(from), .argument(limit), .argument(.json)],
        examples: [
            Command.Example(
                "who can spend", "chorale multisig paths --threshold 2 --signers signers.txt --owner-unspendable")
        ]
    ) { (arguments, console) async throws(CommandError) in
        let policy = try await MultisigArguments.policy(arguments)
        let first = arguments[Self.from]
        guard first < policy.leafCount else {
            throw arguments.refused(
                .invalidValue(
                    argument: Self.from.declaration.name, value: "\(first)",
                    reason: policy.leafCount == 1
                        ? "there is 1 leaf, numbered from 0" : "there are \(Amounts.grouped(policy.leafCount)) leaves, numbered from 0"))
        }
        var leaves: [ListedLeaf] = []
        do throws(DelegatedMultisigError) {
            for index in first..<min(policy.leafCount, first + arguments[Self.limit]) { leaves.append(try ListedLeaf(index, of: policy)) }
        } catch {
            throw .failed("\(error)")
        }
        if arguments[.json] { return try console.print(Self.json(policy, leaves)) }
        try console.print(Self.report(policy, leaves, style: console.style).lines)
    }

    /// What the list says of a leaf. Its control block, which takes hundreds of hashes, is not among it.
    private struct ListedLeaf {
        let index: Int
        let depth: Int
        let signers: [Int]
        let key: XOnlyPublicKey
        let hash: TapLeafHash

        init(_ index: Int, of policy: DelegatedMultisig) throws(DelegatedMultisigError) {
            self.index = index
            self.depth = try policy.depth(ofLeaf: index)
            self.signers = try policy.signers(ofLeaf: index)
            self.key = try policy.key(ofLeaf: index)
            self.hash = try policy.leafHash(ofLeaf: index)
        }
    }

    private static func report(_ policy: DelegatedMultisig, _ leaves: [ListedLeaf], style: Style) -> Report {
        var report = Report(style: style)
        report.heading("Signers, sorted")
        for (index, key) in policy.signers.enumerated() { report.line("\(index)".leftPadded(to: 5) + "  \(key)") }
        report.heading("Paths of \(policy.shape)")
        report.line("key path: \(policy.keyPathDescription)", indent: 2)
        guard let firstLeaf = leaves.first, let lastLeaf = leaves.last else { return report }
        let width = max(4, "\(lastLeaf.index)".count)
        report.line(style.dim("leaf".leftPadded(to: width) + "  depth  signers"), indent: 2)
        for leaf in leaves {
            let head = "\(leaf.index)".leftPadded(to: width) + "  " + "\(leaf.depth)".leftPadded(to: 5) + "  "
            let signers = TextLayout.lines(of: leaf.signers.map { "\($0)" }, width: HelpText.columnCountMax - 2 - head.count)
            for (row, line) in signers.enumerated() {
                report.line((row == 0 ? head : String(repeating: " ", count: head.count)) + line, indent: 2)
            }
        }
        let others = policy.leafCount - leaves.count
        if others > 0 {
            report.line(
                "shown are leaves \(firstLeaf.index) to \(lastLeaf.index) of \(Amounts.grouped(policy.leafCount)) (--from, --limit)",
                indent: 2)
        }
        return report
    }

    private static func json(_ policy: DelegatedMultisig, _ leaves: [ListedLeaf]) -> JSONValue {
        .object([
            "threshold": .integer(policy.threshold), "signers": .array(policy.signers.map { .string("\($0)") }),
            "key_path": policy.keyPath.map { .string($0.name) } ?? .null, "leaves": .integer(policy.leafCount),
            "paths": .array(
                leaves.map { leaf in
                    .object([
                        "leaf": .integer(leaf.index), "depth": .integer(leaf.depth),
                        "signers": .array(leaf.signers.map(JSONValue.integer)), "key": .string("\(leaf.key)"),
                        "leaf_hash": .string("\(leaf.hash)"),
                    ])
                }),
        ])
    }
}

extension DelegatedMultisig.Path {
    /// The kind of path, for programs.
    var name: String {
        switch self {
        case .owner: "owner"
        case .aggregateKeyPath: "aggregate"
        case .leaf: "leaf"
        }
    }
}
