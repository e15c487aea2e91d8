internal import CSodium

/// Why two parties get no shared secret.
public enum X25519Error: Error, Equatable, Sendable, CustomStringConvertible {
    case wrongByteCount(expected: Int, actual: Int)
    /// The other's public key is one of the few that give zero with every secret, so the "secret" would be known to all.
    case publicKeyOfSmallOrder

    public var description: String {
        switch self {
        case .wrongByteCount(let expected, let actual): "an X25519 value of \(expected) bytes was expected, and here are \(actual)"
        case .publicKeyOfSmallOrder: "this X25519 public key gives the same result with every secret; its sender is at fault"
        }
    }
}

/// Diffie-Hellman over Curve25519 (RFC 7748).
public enum X25519 {
    /// Bytes of a secret, of a public key and of what two of them share (RFC 7748, section 6.1).
    public static let byteCount = 32

    /// A public key. All 32-byte values have this type; whether one is of use shows with `writeSharedSecret`.
    public struct PublicKey: Hashable, Sendable {
        /// The u coordinate, little endian (RFC 7748, section 5).
        public let bytes: Bytes32

        public init(_ bytes: Bytes32) { self.bytes = bytes }

        public init(parsing bytes: some Collection<UInt8>) throws(X25519Error) {
            guard let fixed = Bytes32(bytes) else { throw .wrongByteCount(expected: X25519.byteCount, actual: bytes.count) }
            self.bytes = fixed
        }
    }

    /// A secret key in one slot of the guarded arena.
    public struct SecretKey: ~Copyable, Sendable {
        public let publicKey: PublicKey

        private let slot: SecretArena.Slot  // the scalar stands at its start

        /// A new key from the system's random source.
        public static func generate() throws(SecretMemoryError) -> SecretKey {
            try SecretKey { SystemRandom.fill($0) }
        }

        /// The key of 32 bytes that `fill` writes in place; they are zero before.
        ///
        /// Any 32 bytes make a key: the five bits that must be fixed are set where they are used (RFC 7748, section 5).
        public init(filledBy fill: (UnsafeMutableRawBufferPointer) -> Void) throws(SecretMemoryError) {
            Sodium.ready
            var slot = try SecretArena.shared.take()
            self.publicKey = slot.withUnsafeMutableBytes { secret in
                fill(UnsafeMutableRawBufferPointer(rebasing: secret[..<X25519.byteCount]))
                return PublicKey(Bytes32 { _ = crypto_scalarmult_curve25519_base($0.start, secret.start) })
            }
            self.slot = slot
        }

        /// Writes what the owners of both keys can compute and nobody else. It is no key yet: hash it first.
        ///
        /// - Parameter target: 32 bytes of secret memory. When this throws they hold nothing of use.
        /// - Throws: `publicKeyOfSmallOrder` when the result is zero (RFC 7748, section 6.1).
        public borrowing func writeSharedSecret(
            with other: PublicKey, to target: UnsafeMutableRawBufferPointer
        ) throws(X25519Error) {
            precondition(target.count == X25519.byteCount, "a shared secret takes \(X25519.byteCount) bytes")
            let status = self.slot.withUnsafeBytes { secret in
                other.bytes.withUnsafeBytes { crypto_scalarmult_curve25519(target.start, secret.start, $0.start) }
            }
            guard status == 0 else { throw .publicKeyOfSmallOrder }
        }
    }
}
