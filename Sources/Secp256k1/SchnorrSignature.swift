internal import CSecp256k1
public import CryptoPrimitives

/// A BIP-340 signature: 64 bytes, the nonce point's x coordinate and a scalar.
///
/// Any 64 bytes have this type; whether they sign something is what `isValid` answers.
public struct SchnorrSignature: Hashable, Sendable, CustomStringConvertible {
    public static let byteCount = 64

    /// First half: x coordinate of the nonce point R.
    public let r: Bytes32
    /// Second half: the scalar s.
    public let s: Bytes32

    public init(r: Bytes32, s: Bytes32) {
        self.r = r
        self.s = s
    }

    public init(parsing bytes: some Collection<UInt8>) throws(KeyError) {
        guard let r = Bytes32(bytes.prefix(32)), let s = Bytes32(bytes.dropFirst(32)) else {
            throw .wrongByteCount(expected: Self.byteCount, actual: bytes.count)
        }
        self.init(r: r, s: s)
    }

    public var bytes: [UInt8] { self.r.bytes + self.s.bytes }

    public var description: String { self.r.description + self.s.description }

    /// Whether this signs the message, of any length, under the key (BIP-340, "Verification").
    public func isValid(for message: [UInt8], by key: XOnlyPublicKey) -> Bool {
        message.withUnsafeBytes { self.isValid(for: $0, by: key) }
    }

    /// Whether this signs the 32-byte message under the key.
    public func isValid(for message: Bytes32, by key: XOnlyPublicKey) -> Bool {
        message.withUnsafeBytes { self.isValid(for: $0, by: key) }
    }

    private func isValid(for message: UnsafeRawBufferPointer, by key: XOnlyPublicKey) -> Bool {
        var (signature, raw) = ((self.r, self.s), key.raw)
        return withUnsafeBytes(of: &signature) { signature in
            secp256k1_schnorrsig_verify(
                Context.shared, signature.bytePointer,
                message.baseAddress?.assumingMemoryBound(to: UInt8.self), message.count, &raw) == 1
        }
    }
}
