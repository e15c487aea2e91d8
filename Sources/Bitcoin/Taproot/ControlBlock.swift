import CryptoPrimitives
import Secp256k1

/// The proof that an output key commits to a script: last item of a script path witness (BIP-341, "Script validation rules").
public struct ControlBlock: Hashable, Sendable {
    /// Longest encoding, in bytes: first byte, internal key and 128 hashes.
    public static let byteCountMax = 33 + 32 * TaprootTree.depthMax

    public let leafVersion: UInt8
    /// Whether the output key's point has an odd y.
    public let outputKeyIsOdd: Bool
    public let internalKey: XOnlyPublicKey
    /// The hashes beside the way from the leaf up to the root, the leaf's own sibling first; at most 128.
    public let merklePath: [Bytes32]

    init(leafVersion: UInt8, outputKeyIsOdd: Bool, internalKey: XOnlyPublicKey, merklePath: [Bytes32]) {
        self.leafVersion = leafVersion
        self.outputKeyIsOdd = outputKeyIsOdd
        self.internalKey = internalKey
        self.merklePath = merklePath
    }
}

// MARK: - Encoding

extension ControlBlock {
    /// Parses 33 + 32·m bytes, m from 0 to 128.
    ///
    /// - Throws: `TaprootError` for another length, a leaf version that cannot be, and an internal key that is no key.
    public init(parsing bytes: [UInt8]) throws(TaprootError) {
        guard let first = bytes.first, bytes.count >= 33, bytes.count <= Self.byteCountMax, (bytes.count - 33) % 32 == 0 else {
            throw .controlBlockByteCount(bytes.count)
        }
        self.leafVersion = first & 0xfe
        self.outputKeyIsOdd = first & 1 == 1
        guard TapLeaf.isValidVersion(self.leafVersion) else { throw .invalidLeafVersion(self.leafVersion) }
        do throws(KeyError) {
            self.internalKey = try XOnlyPublicKey(parsing: bytes[1..<33])
        } catch {
            throw .internalKey(error)
        }
        self.merklePath = stride(from: 33, to: bytes.count, by: 32).compactMap { Bytes32(bytes[$0..<$0 + 32]) }
    }

    public func serialized() -> [UInt8] {
        var writer = ByteWriter(capacity: self.byteCount)
        writer.writeUInt8(self.leafVersion | (self.outputKeyIsOdd ? 1 : 0))
        writer.write(self.internalKey.bytes)
        for hash in self.merklePath { writer.write(hash) }
        return writer.bytes
    }

    /// Encoded length in bytes.
    public var byteCount: Int { 33 + 32 * self.merklePath.count }
}

// MARK: - Proof

extension ControlBlock {
    /// The root of the tree that holds the leaf where this block says.
    public func merkleRoot(for leaf: TapLeafHash) -> Bytes32 {
        self.merklePath.reduce(leaf.hash) { MerkleTree.branchHash($0, $1) }
    }

    /// The one output that can be spent with the script and this block; `nil` when there is none.
    package func output(committingTo script: Script) -> TaprootOutput? {
        guard let leaf = try? TapLeaf(version: self.leafVersion, script: script),
            let output = try? TaprootOutput(internalKey: self.internalKey, merkleRoot: self.merkleRoot(for: leaf.hash)),
            output.outputKeyIsOdd == self.outputKeyIsOdd
        else { return nil }
        return output
    }

    /// Whether an output with this key can be spent with the script and this block.
    public func proves(_ script: Script, for outputKey: XOnlyPublicKey) -> Bool {
        self.output(committingTo: script)?.outputKey == outputKey
    }
}
