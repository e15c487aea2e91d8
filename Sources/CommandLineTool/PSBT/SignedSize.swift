import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing

/// One way to spend a coin, and how large its input is then.
struct InputSpend: Hashable {
    enum Path: Hashable {
        case keyPath
        /// A leaf of the tree, so many branches below its root.
        case leaf(depth: Int)
    }

    /// `nil` where the input is final, and nothing is left to choose.
    let path: Path?
    let size: InputSize

    init(final input: TransactionInput) {
        self.path = nil
        self.size = InputSize(of: input)
    }

    init(byKeyPath type: SighashType) {
        self.path = .keyPath
        self.size = .taprootKeyPath(sighashType: type)
    }

    /// By a leaf whose script takes one signature: `<32-byte key> OP_CHECKSIG`.
    init(byLeafAtDepth depth: Int, _ type: SighashType) {
        let items = [InputSize.signatureByteCount(type), Self.leafScriptByteCount, 33 + 32 * depth]
        var input = TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))
        input.witness = Witness(items.map { [UInt8](repeating: 0, count: $0) })
        self.path = .leaf(depth: depth)
        self.size = InputSize(of: input)
    }

    private static let leafScriptByteCount = 34
}

extension InputSpend.Path: CustomStringConvertible {
    var description: String {
        switch self {
        case .keyPath: "by the key path"
        case .leaf(let depth): "by a leaf at depth \(depth)"
        }
    }

    /// For programs.
    var name: String {
        switch self {
        case .keyPath: "key"
        case .leaf: "leaf"
        }
    }

    var depth: Int? {
        if case .leaf(let depth) = self { return depth }
        return nil
    }
}

// MARK: - What a group can choose from

extension InputSpend {
    /// All ways in which a group's coin can be spent that differ in size, the smallest first.
    static func all(of policy: any SpendingPolicy, _ type: SighashType = .default) -> [InputSpend] {
        guard let policy = policy as? DelegatedMultisig else { return [InputSpend(byKeyPath: type)] }
        return self.all(internalKey: policy.internalKey, leafCount: policy.leafCount, type)
    }

    /// The same of a policy whose tree nobody has computed; none where its numbers make no policy.
    static func all(of record: PolicyRecord, _ type: SighashType) -> [InputSpend] {
        let count = try? DelegatedMultisig.leafCount(
            signers: record.signers.count, threshold: record.threshold, allowingLargeTree: true)
        return count.map { self.all(internalKey: record.internalKey, leafCount: $0, type) } ?? []
    }

    /// A list that halves into a tree has leaves of two depths at most.
    private static func all(
        internalKey: DelegatedMultisig.InternalKey, leafCount: Int, _ type: SighashType
    ) -> [InputSpend] {
        let least = Int.bitWidth - 1 - max(1, leafCount).leadingZeroBitCount
        let depths = 1 << least < leafCount ? [least, least + 1] : [least]
        return (internalKey == .unspendable ? [] : [InputSpend(byKeyPath: type)])
            + depths.map { InputSpend(byLeafAtDepth: $0, type) }
    }

    /// How this set of a group's signers spends; `nil` where it cannot.
    static func by(_ set: [PublicKey], of policy: any SpendingPolicy, _ type: SighashType) -> InputSpend? {
        switch try? policy.spend(by: set).path {
        case .outputKey, .keyPath: InputSpend(byKeyPath: type)
        case .leaf(let block): InputSpend(byLeafAtDepth: block.merklePath.count, type)
        case nil: nil
        }
    }
}

// MARK: - The transaction

/// How large a transaction is once it is signed. `psbt create`, `psbt show` and `cosign` say the same.
struct SignedSize: Equatable {
    struct Choice: Equatable {
        /// The one path of all inputs that have a choice; `nil` where each has its own.
        let path: InputSpend.Path?
        /// Where it is only a bound, for some inputs could go another way.
        let isBound: Bool
        let virtualSize: Int
    }

    /// The smallest size first; one where it is known to the byte.
    let choices: [Choice]

    /// - Parameter inputs: for each input the ways to spend it, the smallest first; all inputs with the same ways go the same one.
    /// - Returns: `nil` where an input has none.
    init?(inputs: [[InputSpend]], outputs: [TransactionOutput]) {
        guard inputs.allSatisfy({ !$0.isEmpty }) else { return nil }
        func size(_ choose: ([InputSpend]) -> InputSpend?) -> Int {
            TransactionSize(inputs: inputs.compactMap { choose($0)?.size }, outputs: outputs).virtualSize
        }
        let open = Set(inputs.filter { $0.count > 1 })
        if open.count > 1 {
            let least = Choice(path: nil, isBound: true, virtualSize: size { $0.first })
            self.choices = [least, Choice(path: nil, isBound: true, virtualSize: size { $0.last })]
        } else if let ways = open.first {
            self.choices = ways.indices.map { place in
                Choice(path: ways[place].path, isBound: false, virtualSize: size { $0.count > 1 ? $0[place] : $0.first })
            }
        } else {
            let paths = Set(inputs.compactMap { $0.first?.path })
            self.choices = [Choice(path: paths.count == 1 ? paths.first : nil, isBound: false, virtualSize: size { $0.first })]
        }
    }

    /// The largest: what a fee must be counted for while nobody knows who signs.
    var virtualSizeMax: Int { self.choices.map(\.virtualSize).max() ?? 0 }

    /// What a fee comes to by each choice: `2.00 sat/vB at 154 vB by the key path`.
    func rates(of fee: UInt64) -> [String] {
        self.choices.enumerated().map { place, choice in
            let bound = choice.isBound ? (place == 0 ? " at least" : " at most") : ""
            return "\(Amounts.feeRate(fee: fee, virtualSize: choice.virtualSize)) at \(Amounts.grouped(choice.virtualSize)) vB\(bound)"
                + (choice.path.map { " \($0)" } ?? "")
        }
    }
}

// MARK: - High fees

enum HighFee {
    static func warning(hasChange: Bool) -> String {
        "Careful: the fee is unusually high." + (hasChange ? "" : " Is a change output missing?")
    }

    /// Whether nobody pays such a fee on purpose: over a tenth of what is spent and over 10,000 sat, or over 1,000 sat/vB.
    static func isHigh(_ fee: UInt64, spending spent: UInt64, virtualSize: Int?) -> Bool {
        if fee > spent / 10, fee > 10_000 { return true }
        guard let virtualSize else { return false }
        return fee > 1_000 * UInt64(clamping: virtualSize)
    }
}
