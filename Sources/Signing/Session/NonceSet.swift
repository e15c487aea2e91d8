internal import Bitcoin
internal import CryptoPrimitives
public import MuSig2

/// The name of a nonce set: which start of a process made it, and its number there.
///
/// Every start draws a random 16-byte incarnation. So two different contents under one name can only come from a faulty or
/// dishonest process, and a restart, which has a new incarnation, is never mistaken for one.
public struct NonceName: Hashable, Sendable, CustomStringConvertible {
    /// Bytes of an incarnation.
    public static let incarnationByteCount = 16

    public let incarnation: [UInt8]
    public let counter: UInt32

    /// - Precondition: the incarnation has 16 bytes.
    public init(incarnation: [UInt8], counter: UInt32) {
        precondition(incarnation.count == Self.incarnationByteCount, "an incarnation has 16 bytes")
        self.incarnation = incarnation
        self.counter = counter
    }

    public var description: String { "\(Hex.encode(self.incarnation))/\(self.counter)" }

    func write(to writer: inout ByteWriter) {
        writer.write(self.incarnation)
        writer.writeUInt32(self.counter)
    }
}

/// A signer's public nonces for one attempt: one for each signed input, in the plan's order, under a name.
public struct NonceSet: Hashable, Sendable {
    public let name: NonceName
    public let nonces: [PublicNonce]

    public init(name: NonceName, nonces: [PublicNonce]) {
        self.name = name
        self.nonces = nonces
    }

    func write(to writer: inout ByteWriter) {
        self.name.write(to: &writer)
        writer.writeCompactSize(self.nonces.count)
        for nonce in self.nonces { writer.write(nonce.bytes) }
    }

    /// What two sets under one name are compared by.
    var digest: Bytes32 {
        var writer = ByteWriter()
        self.write(to: &writer)
        return SHA256.hash(writer.bytes)
    }
}
