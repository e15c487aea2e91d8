import CryptoPrimitives

/// A script that a Taproot output can be spent with, and the version that says how it is read (BIP-341).
public struct TapLeaf: Hashable, Sendable {
    /// The version whose scripts BIP-342 gives a meaning.
    public static let tapscriptVersion: UInt8 = 0xc0

    /// An even number, and not 0x50.
    public let version: UInt8
    public let script: Script

    /// A tapscript (BIP-342).
    public init(script: Script) {
        self.version = Self.tapscriptVersion
        self.script = script
    }

    /// - Throws: `TaprootError.invalidLeafVersion` for an odd number, whose low bit a control block needs for something else,
    ///   and for 0x50, which marks an annex (BIP-341, "Rationale").
    public init(version: UInt8, script: Script) throws(TaprootError) {
        guard Self.isValidVersion(version) else { throw .invalidLeafVersion(version) }
        self.version = version
        self.script = script
    }

    static func isValidVersion(_ version: UInt8) -> Bool { version & 1 == 0 && version != 0x50 }

    /// What the tree and signatures commit to.
    public var hash: TapLeafHash {
        var writer = ByteWriter(capacity: 1 + CompactSize.byteCountWithLength(self.script.bytes.count))
        writer.writeUInt8(self.version)
        writer.writeVariableBytes(self.script.bytes)
        var hash = Self.tapLeaf
        hash.update(writer.bytes)
        return TapLeafHash(hash.finalize())
    }

    private static let tapLeaf = SHA256.tagged("TapLeaf")
}

/// The tagged hash `TapLeaf` of a leaf's version and script.
public struct TapLeafHash: Hashable, Sendable {
    public let hash: Bytes32

    public init(_ hash: Bytes32) { self.hash = hash }
}

extension TapLeafHash: CustomStringConvertible {
    public var description: String { self.hash.description }
}
