import CryptoPrimitives
import MuSig2
import Secp256k1

extension DelegatedMultisig {
    /// A way to spend the output.
    public enum Path: Hashable, Sendable {
        /// The owner alone, by the key path.
        case owner
        /// All n signers together, by the key path.
        case aggregateKeyPath
        /// The k signers of the leaf at this position.
        case leaf(Int)
    }
}

extension DelegatedMultisig.Path: CustomStringConvertible {
    public var description: String {
        switch self {
        case .owner: "the owner's key path"
        case .aggregateKeyPath: "the key path of all signers"
        case .leaf(let index): "leaf \(index)"
        }
    }
}

// MARK: - The output

extension DelegatedMultisig {
    public var scriptPubKey: Script { self.output.scriptPubKey }

    /// The root of the tree of leaves.
    public var merkleRoot: Bytes32 { self.tree.root }

    public func address(on network: Network) -> Address {
        guard let address = Address(scriptPubKey: self.scriptPubKey, network: network) else {
            preconditionFailure("every Taproot output has an address")
        }
        return address
    }
}

// MARK: - Choosing a path

extension DelegatedMultisig {
    /// The path that costs least of all that those who are present can sign.
    ///
    /// A key path is always cheaper than a leaf, and shows nothing of the policy.
    ///
    /// - Throws: `notEnoughSigners` when they can sign none.
    public func cheapestPath(
        present signers: some Collection<Int>, ownerIsPresent: Bool = false
    ) throws(DelegatedMultisigError) -> Path {
        switch self.internalKey {
        case .owner where ownerIsPresent: return .owner
        case .aggregate where try self.checkedSigners(signers).count == self.signers.count: return .aggregateKeyPath
        case .owner, .aggregate, .unspendable: return .leaf(try self.cheapestLeafIndex(present: signers))
        }
    }

    /// Whether the policy has the path.
    public func check(_ path: Path) throws(DelegatedMultisigError) {
        switch (path, self.internalKey) {
        case (.leaf(let index), _): try self.check(leaf: index)
        case (.owner, .owner), (.aggregateKeyPath, .aggregate): break
        case (.owner, _), (.aggregateKeyPath, _): throw .pathNotInPolicy(path)
        }
    }

    /// Who signs: ascending indices into the sorted keys; none of them where the owner signs.
    public func signers(of path: Path) throws(DelegatedMultisigError) -> [Int] {
        try self.check(path)
        switch path {
        case .owner: return []
        case .aggregateKeyPath: return Array(self.signers.indices)
        case .leaf(let index): return self.sets.subset(at: index)
        }
    }
}

// MARK: - Signing by a path

extension DelegatedMultisig {
    /// The group that signs by this path, with the tweaks that its signature needs: a leaf's is not tweaked, the key path's is
    /// (BIP-341).
    public func keyAggregation(for path: Path) throws(DelegatedMultisigError) -> KeyAggregation {
        let members = try self.signers(of: path).map { self.signers[$0] }
        do throws(MuSig2Error) {
            switch path {
            case .owner: break
            case .aggregateKeyPath: return try self.aggregation(of: members).tweakedForTaproot(merkleRoot: self.merkleRoot)
            case .leaf: return try self.aggregation(of: members)
            }
        } catch {
            throw .aggregation(error)
        }
        throw .pathHasNoGroup(path)
    }

    /// The keys of a set as one, in this order and without a tweak; those of the sets that signed last are at hand.
    package func aggregation(of set: [PublicKey]) throws(MuSig2Error) -> KeyAggregation {
        try self.aggregations.group(of: set) { (set) throws(MuSig2Error) in try KeyAggregation(set) }
    }

    /// What the input shows when it is spent by this path with this signature, of which nothing is verified here.
    public func witness(
        for path: Path, signature: SchnorrSignature, sighashType: SighashType = .default
    ) throws(DelegatedMultisigError) -> Witness {
        try self.check(path)
        let item = signature.bytes + (sighashType == .default ? [] : [sighashType.rawValue])
        guard case .leaf(let index) = path else { return Witness([item]) }
        let leaf = try self.leaf(at: index)
        return Witness([item, leaf.tapLeaf.script.bytes, leaf.controlBlock.serialized()])
    }

    /// The exact size of an input that is spent by this path.
    public func inputSize(for path: Path, sighashType: SighashType = .default) throws(DelegatedMultisigError) -> InputSize {
        try self.check(path)
        guard case .leaf(let index) = path else { return .taprootKeyPath(sighashType: sighashType) }
        return .taprootScriptPath(
            stackItemByteCounts: [InputSize.signatureByteCount(sighashType)], scriptByteCount: Self.leafScriptByteCount,
            leafDepth: self.tree.depth(ofLeafAt: index))
    }

    /// A push of 32 bytes and `OP_CHECKSIG`.
    private static let leafScriptByteCount = 34
}
