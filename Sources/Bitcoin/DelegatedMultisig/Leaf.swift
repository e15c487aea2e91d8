import CryptoPrimitives
import Secp256k1

extension DelegatedMultisig {
    /// One set of k signers, and what spends with it.
    public struct Leaf: Hashable, Sendable {
        /// Position in the lexicographic list of sets.
        public let index: Int
        /// The set: ascending indices into the policy's sorted keys.
        public let signers: [Int]
        /// The set's MuSig2 aggregate, without a tweak: what a signature of this leaf verifies against.
        public let key: XOnlyPublicKey
        /// The script `<key> OP_CHECKSIG` with its version; its hash goes into the signature hash.
        public let tapLeaf: TapLeaf
        /// The proof that the output commits to the leaf.
        public let controlBlock: ControlBlock
    }

    /// How many leaves there are: "n choose k".
    public var leafCount: Int { self.sets.count }

    /// The leaf at a position, with its control block. Takes up to some 250 hashes (127 leaves and their branches), whatever the
    /// size of the policy.
    public func leaf(at index: Int) throws(DelegatedMultisigError) -> Leaf {
        let key = try self.key(ofLeaf: index)
        return Leaf(
            index: index, signers: self.sets.subset(at: index), key: key, tapLeaf: Self.leaf(key: self.leafKeys[index]),
            controlBlock: ControlBlock(
                leafVersion: TapLeaf.tapscriptVersion, outputKeyIsOdd: self.output.outputKeyIsOdd,
                internalKey: self.output.internalKey,
                merklePath: self.tree.merklePath(ofLeafAt: index) { Self.leaf(key: self.leafKeys[$0]).hash.hash }))
    }

    /// The aggregate key of a leaf, without its control block.
    public func key(ofLeaf index: Int) throws(DelegatedMultisigError) -> XOnlyPublicKey {
        try self.check(leaf: index)
        // A policy that was computed here has none such; one whose leaf keys were given may.
        guard let key = try? XOnlyPublicKey(self.leafKeys[index]) else { throw .invalidLeafKey(index) }
        return key
    }

    /// What names a leaf in signature hashes and in PSBTs, without its control block.
    public func leafHash(ofLeaf index: Int) throws(DelegatedMultisigError) -> TapLeafHash {
        try self.check(leaf: index)
        return Self.leaf(key: self.leafKeys[index]).hash
    }

    /// How many branches lie above a leaf, without building its control block.
    public func depth(ofLeaf index: Int) throws(DelegatedMultisigError) -> Int {
        try self.check(leaf: index)
        return self.tree.depth(ofLeafAt: index)
    }

    func check(leaf index: Int) throws(DelegatedMultisigError) {
        guard (0..<self.leafCount).contains(index) else { throw .noSuchLeaf(index, leaves: self.leafCount) }
    }
}

// MARK: - Leaves and signers

extension DelegatedMultisig {
    /// The signer with this key; `nil` for a stranger.
    public func signer(holding key: PublicKey) -> Int? { self.signers.firstIndex(of: key) }

    /// How many leaves each signer belongs to: "n − 1 choose k − 1".
    public var leafCountOfEachSigner: Int {
        // Each leaf has k signers, and all n signers are in equally many.
        Int(clamping: Combinations.binomial(self.signers.count - 1, self.threshold - 1) ?? 0)
    }

    /// The set of a leaf: ascending indices into the sorted keys.
    public func signers(ofLeaf index: Int) throws(DelegatedMultisigError) -> [Int] {
        try self.check(leaf: index)
        return self.sets.subset(at: index)
    }

    /// The leaf of exactly these k different signers, in any order.
    public func leafIndex(ofSigners signers: some Collection<Int>) throws(DelegatedMultisigError) -> Int {
        let set = try self.checkedSigners(signers)
        guard set.count == self.threshold, signers.count == set.count else {
            throw .wrongSignerCount(signers.count, threshold: self.threshold)
        }
        return self.sets.rank(of: set)
    }

    /// The leaf that costs least of all that the present signers can sign; of equally cheap ones the first.
    ///
    /// Leaves differ by one level of the tree at most: 32 bytes of witness, 8 virtual bytes.
    public func cheapestLeafIndex(present signers: some Collection<Int>) throws(DelegatedMultisigError) -> Int {
        let present = try self.checkedSigners(signers)
        guard let candidates = Combinations(choosing: self.threshold, outOf: present.count) else {
            throw .notEnoughSigners(present: present.count, threshold: self.threshold)
        }
        // Sets of the present signers, in order, are sets of all signers in the same order.
        var places = Array(0..<self.threshold)
        let first = self.sets.rank(of: places.map { present[$0] })
        var index = first
        for _ in 1..<candidates.count where self.tree.depth(ofLeafAt: index) > self.tree.depthMin {
            guard candidates.advance(&places) != nil else { break }
            index = self.sets.rank(of: places.map { present[$0] })
        }
        return self.tree.depth(ofLeafAt: index) == self.tree.depthMin ? index : first
    }

    /// The different signers, ascending.
    func checkedSigners(_ signers: some Collection<Int>) throws(DelegatedMultisigError) -> [Int] {
        for signer in signers where !self.signers.indices.contains(signer) {
            throw .noSuchSigner(signer, signers: self.signers.count)
        }
        return Set(signers).sorted()
    }
}
