import CryptoPrimitives
import Secp256k1

/// A Taproot output as its maker knows it: the internal key, and the root of the script tree if there is one (BIP-341).
public struct TaprootOutput: Hashable, Sendable {
    /// The key that can spend by the key path, before the tree is added to it.
    public let internalKey: XOnlyPublicKey
    /// `nil` for an output that has no scripts.
    public let merkleRoot: Bytes32?
    /// Internal key + tweak·G: what stands in the scriptPubKey.
    public let outputKey: XOnlyPublicKey
    /// Whether the output key's point has an odd y, which every control block says.
    public let outputKeyIsOdd: Bool

    /// - Throws: `TaprootError.internalKey` when internal key and tree add up to no key; a hash does not hit that by chance.
    public init(internalKey: XOnlyPublicKey, merkleRoot: Bytes32? = nil) throws(TaprootError) {
        self.internalKey = internalKey
        self.merkleRoot = merkleRoot
        let tweak = internalKey.taprootTweak(merkleRoot: merkleRoot)
        do throws(KeyError) {
            let point = try internalKey.tweaked(adding: tweak)
            self.outputKey = point.xOnly
            self.outputKeyIsOdd = !point.hasEvenY
        } catch {
            throw .internalKey(error)
        }
    }

    public init(internalKey: XOnlyPublicKey, tree: TaprootTree) throws(TaprootError) {
        try self.init(internalKey: internalKey, merkleRoot: tree.merkleRoot)
    }

    /// The scalar that was added: tagged hash `TapTweak` of internal key and root.
    public var tweak: Bytes32 { self.internalKey.taprootTweak(merkleRoot: self.merkleRoot) }

    public var scriptPubKey: Script { .payToTaproot(self.outputKey) }

    /// What a spend by one leaf of the tree shows besides the script.
    ///
    /// - Throws: `otherTree` unless the tree is this output's own, `noSuchLeaf` unless it has a leaf at the position.
    public func controlBlock(forLeafAt index: Int, in tree: TaprootTree) throws(TaprootError) -> ControlBlock {
        guard tree.merkleRoot == self.merkleRoot else { throw .otherTree }
        guard (0..<tree.leafCount).contains(index) else { throw .noSuchLeaf(index, count: tree.leafCount) }
        return ControlBlock(
            leafVersion: tree.leaf(at: index).version, outputKeyIsOdd: self.outputKeyIsOdd, internalKey: self.internalKey,
            merklePath: tree.merklePath(ofLeafAt: index))
    }
}
