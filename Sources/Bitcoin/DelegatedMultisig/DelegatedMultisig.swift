import CryptoPrimitives
import MuSig2
import Secp256k1

/// A Taproot output that any k of n signers can spend with one ordinary-looking signature.
///
/// Each possible set of k signers has one leaf: `<32-byte MuSig2 aggregate of the set> OP_CHECKSIG`, leaf version c0. The set
/// is chosen first; then its members make one nonce for each input and sign one leaf, whatever the number of leaves. Before the
/// tree stands an internal key: an owner's, the aggregate of all n signers, or nobody's.
///
///     let policy = try await DelegatedMultisig.make(internalKey: .unspendable, signers: keys, threshold: 2)
///     let path = try policy.cheapestPath(present: [0, 2])
///     let keys = try policy.keyAggregation(for: path)
///
/// The bytes of a policy are fixed, for recovery depends on them: keys sorted by their 33 bytes, sets in lexicographic order of
/// indices into the sorted keys, and a list of m leaves split into the first ⌈m/2⌉ and the rest, recursively. Nothing else
/// than the keys, k and the kind of internal key is needed to make it again.
///
/// A value keeps 33 bytes a leaf; scripts, control blocks and key aggregations are made on demand.
public struct DelegatedMultisig: Sendable {
    /// Most leaves of a policy.
    ///
    /// Source: a million leaves take about 33 MB, and minutes of aggregation.
    public static let leafCountMax = 1_000_000

    /// Most keys that all leaves aggregate together, leaves × k, unless more is allowed by name.
    ///
    /// Source: aggregation takes about 30 µs a key, so this is some ten minutes of one core.
    public static let aggregatedKeyCountMax = 20_000_000

    /// The kind of internal key.
    public let internalKey: InternalKey
    /// The signers' keys, sorted by their 33 bytes. A signer is an index into this list.
    public let signers: [PublicKey]
    /// k: how many signers a leaf takes.
    public let threshold: Int
    /// Internal key, root of the tree, and the key that stands in the scriptPubKey.
    public let output: TaprootOutput
    /// The scalar r for which the internal key is H + r·G, where nobody may spend by the key path; else `nil`.
    public let unspendableTweak: Bytes32?

    let sets: Combinations
    let tree: BalancedTree
    /// The x-only aggregate of each set, in the order of sets.
    public let leafKeys: [Bytes32]
    /// Copies of a policy share it.
    let aggregations = AggregationCache()
}

// MARK: - Making a policy

extension DelegatedMultisig {
    /// Computes a policy on the calling thread: for policies of a few hundred leaves. `make` uses all cores.
    ///
    /// - Parameters:
    ///   - signers: the signers' keys, in any order.
    ///   - threshold: k, from 1 to the count of signers.
    ///   - allowingLargeTree: lifts `aggregatedKeyCountMax`, not `leafCountMax`. Never set it on a stranger's invitation.
    public init(
        internalKey: InternalKey, signers: [PublicKey], threshold: Int, allowingLargeTree: Bool = false
    ) throws(DelegatedMultisigError) {
        let sets = try Self.checkedSets(
            internalKey: internalKey, signers: signers, threshold: threshold, allowingLargeTree: allowingLargeTree)
        let sorted = signers.sorted()
        let leafKeys = try LeafAggregation.keys(of: 0..<sets.count, sets: sets, signers: sorted)
        try self.init(internalKey: internalKey, sortedSigners: sorted, sets: sets, leafKeys: leafKeys)
    }

    /// Computes a policy on several cores. Cancelling the task ends it within a leaf's time.
    ///
    /// - Parameters:
    ///   - signers: the signers' keys, in any order.
    ///   - threshold: k, from 1 to the count of signers.
    ///   - allowingLargeTree: lifts `aggregatedKeyCountMax`, not `leafCountMax`. Never set it on a stranger's invitation.
    ///   - workers: how many tasks compute at once; `nil` for one a core.
    ///   - progress: is told how many leaves are done and how many there are, at most 100 times, in rising order.
    public static func make(
        internalKey: InternalKey, signers: [PublicKey], threshold: Int, allowingLargeTree: Bool = false, workers: Int? = nil,
        progress: (@Sendable (_ completed: Int, _ total: Int) -> Void)? = nil
    ) async throws(DelegatedMultisigError) -> DelegatedMultisig {
        let sets = try Self.checkedSets(
            internalKey: internalKey, signers: signers, threshold: threshold, allowingLargeTree: allowingLargeTree)
        let sorted = signers.sorted()
        let leafKeys = try await LeafAggregation.allKeys(sets: sets, signers: sorted, workers: workers, progress: progress)
        return try DelegatedMultisig(internalKey: internalKey, sortedSigners: sorted, sets: sets, leafKeys: leafKeys)
    }

    /// A policy whose leaf keys somebody computed before, instead of aggregating them again.
    ///
    /// They are taken as they are: compare `scriptPubKey` with a coin's own before you rely on them. When it is equal, these are the
    /// coin's leaves, whoever gave them. Takes a few hashes a leaf.
    ///
    /// - Parameter leafKeys: the x-only aggregate of each set, in the order of sets, as `leafKeys` of a computed policy gives them.
    /// - Throws: `wrongLeafKeyCount` unless there is one for each set.
    public init(
        internalKey: InternalKey, signers: [PublicKey], threshold: Int, leafKeys: [Bytes32], allowingLargeTree: Bool = false
    ) throws(DelegatedMultisigError) {
        let sets = try Self.checkedSets(
            internalKey: internalKey, signers: signers, threshold: threshold, allowingLargeTree: allowingLargeTree)
        guard leafKeys.count == sets.count else { throw .wrongLeafKeyCount(leafKeys.count, leaves: sets.count) }
        try self.init(internalKey: internalKey, sortedSigners: signers.sorted(), sets: sets, leafKeys: leafKeys)
    }

    private init(
        internalKey: InternalKey, sortedSigners: [PublicKey], sets: Combinations, leafKeys: [Bytes32]
    ) throws(DelegatedMultisigError) {
        let (key, tweak) = try internalKey.resolved(sortedSigners: sortedSigners, threshold: sets.k)
        self.internalKey = internalKey
        self.signers = sortedSigners
        self.threshold = sets.k
        self.unspendableTweak = tweak
        self.sets = sets
        self.leafKeys = leafKeys
        self.tree = BalancedTree(leafCount: leafKeys.count) { Self.leaf(key: leafKeys[$0]).hash.hash }
        do { self.output = try TaprootOutput(internalKey: key, merkleRoot: self.tree.root) } catch { throw .output(error) }
    }

    static func leaf(key: Bytes32) -> TapLeaf {
        TapLeaf(
            script: Script { script in
                script.appendPush(key.bytes)
                script.append(.checkSig)
            })
    }
}

// MARK: - Checking a policy

extension DelegatedMultisig {
    /// How many leaves a policy has: "n choose k". Costs nothing, and refuses what `make` would refuse for its size.
    public static func leafCount(
        signers: Int, threshold: Int, allowingLargeTree: Bool = false
    ) throws(DelegatedMultisigError) -> Int {
        try Self.checkedSets(signerCount: signers, threshold: threshold, allowingLargeTree: allowingLargeTree).count
    }

    private static func checkedSets(
        internalKey: InternalKey, signers: [PublicKey], threshold: Int, allowingLargeTree: Bool
    ) throws(DelegatedMultisigError) -> Combinations {
        let sets = try Self.checkedSets(signerCount: signers.count, threshold: threshold, allowingLargeTree: allowingLargeTree)
        // Compared without their sign: from the secret of a key follows that of its negation.
        var seen: [XOnlyPublicKey: Int] = [:]
        seen.reserveCapacity(signers.count)
        for (signer, key) in signers.enumerated() {
            if internalKey == .owner(key.xOnly) { throw .ownerIsSigner(signer: signer) }
            if let first = seen.updateValue(signer, forKey: key.xOnly) { throw .duplicateSigner(first, signer) }
        }
        return sets
    }

    private static func checkedSets(
        signerCount: Int, threshold: Int, allowingLargeTree: Bool
    ) throws(DelegatedMultisigError) -> Combinations {
        guard signerCount > 0 else { throw .noSigners }
        guard (1...signerCount).contains(threshold) else {
            throw .thresholdOutOfRange(threshold: threshold, signers: signerCount)
        }
        guard let sets = Combinations(choosing: threshold, outOf: signerCount), sets.count <= Self.leafCountMax else {
            throw .tooManyLeaves(
                threshold: threshold, signers: signerCount, leaves: Combinations.binomial(signerCount, threshold),
                limit: Self.leafCountMax)
        }
        // Cannot overflow: more than one leaf means fewer than a million signers.
        let keys = sets.count * threshold
        guard keys <= Self.aggregatedKeyCountMax || allowingLargeTree else {
            throw .tooMuchWork(leaves: sets.count, threshold: threshold, keys: keys, limit: Self.aggregatedKeyCountMax)
        }
        return sets
    }
}

// MARK: - Comparing policies

extension DelegatedMultisig: Hashable {
    /// Everything else follows from these four; the output commits to the leaf keys.
    public static func == (left: DelegatedMultisig, right: DelegatedMultisig) -> Bool {
        left.threshold == right.threshold && left.internalKey == right.internalKey && left.signers == right.signers
            && left.output == right.output
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.threshold)
        hasher.combine(self.output)
    }
}
