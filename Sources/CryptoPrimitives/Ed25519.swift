internal import CSodium

/// Why bytes are no Ed25519 key or signature.
public enum Ed25519Error: Error, Equatable, Sendable, CustomStringConvertible {
    case wrongByteCount(expected: Int, actual: Int)
    /// The bytes are no point of the curve, not its one canonical encoding, or a point outside the group of prime order.
    case invalidPublicKey
    /// The key was in order, and there was no guarded memory to hold it.
    case secretMemory(SecretMemoryError)

    public var description: String {
        switch self {
        case .wrongByteCount(let expected, let actual): "an Ed25519 value of \(expected) bytes was expected, and here are \(actual)"
        case .invalidPublicKey: "these 32 bytes are no Ed25519 public key; compare them with their source"
        case .secretMemory(let error): "\(error)"
        }
    }
}

/// Ed25519 signatures (RFC 8032): the identities of devices.
public enum Ed25519 {
    /// A secret key in guarded memory.
    public struct SecretKey: ~Copyable, Sendable {
        /// Bytes of a seed, the form in which a key is kept (RFC 8032, section 5.1.5).
        public static let seedByteCount = 32

        public let publicKey: PublicKey

        // libsodium's form: the seed, then the public key, which signing needs too.
        private let seedAndPublicKey: SecretBytes

        /// A new key from the system's randomness.
        public static func generate() throws(SecretMemoryError) -> SecretKey {
            let seed = try SecretBytes.random(count: Self.seedByteCount)
            return try SecretKey(checkedSeed: seed)
        }

        /// The key of a 32-byte seed.
        public init(seed: borrowing SecretBytes) throws(Ed25519Error) {
            guard seed.count == Self.seedByteCount else {
                throw .wrongByteCount(expected: Self.seedByteCount, actual: seed.count)
            }
            do throws(SecretMemoryError) {
                self = try SecretKey(checkedSeed: seed)
            } catch {
                throw .secretMemory(error)
            }
        }

        private init(checkedSeed seed: borrowing SecretBytes) throws(SecretMemoryError) {
            Sodium.ready
            var publicBytes = [UInt8](repeating: 0, count: PublicKey.byteCount)
            self.seedAndPublicKey = try SecretBytes(count: Int(crypto_sign_ed25519_SECRETKEYBYTES)) { target in
                seed.withUnsafeBytes { seed in
                    _ = crypto_sign_ed25519_seed_keypair(&publicBytes, target.start, seed.start)
                }
            }
            self.publicKey = PublicKey(checked: publicBytes)
        }

        /// Calls `body` with the 32 bytes of the seed in place, to seal them for a file.
        public borrowing func withUnsafeSeed<Result, Failure: Error>(
            _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
        ) throws(Failure) -> Result {
            try self.seedAndPublicKey.withUnsafeBytes { (bytes) throws(Failure) in
                try body(UnsafeRawBufferPointer(rebasing: bytes[..<Self.seedByteCount]))
            }
        }

        /// The signature of a message of any length. The same message always gets the same one (RFC 8032, section 5.1.6).
        public borrowing func sign(_ message: [UInt8]) -> Signature {
            var signature = [UInt8](repeating: 0, count: Signature.byteCount)
            self.seedAndPublicKey.withUnsafeBytes { key in
                _ = crypto_sign_ed25519_detached(&signature, nil, message, UInt64(message.count), key.start)
            }
            return Signature(checked: signature)
        }
    }

    /// A public key: a point of the group of prime order, in its canonical 32 bytes.
    ///
    /// Stricter than RFC 8032 asks. A key with a part of small order would let two correct verifiers differ about one
    /// signature, and evidence must look the same to everybody.
    public struct PublicKey: Hashable, Sendable {
        public static let byteCount = 32

        /// The 32 bytes of RFC 8032, section 5.1.2.
        public let bytes: [UInt8]

        public init(parsing bytes: some Collection<UInt8>) throws(Ed25519Error) {
            guard bytes.count == Self.byteCount else { throw .wrongByteCount(expected: Self.byteCount, actual: bytes.count) }
            Sodium.ready
            let bytes = Array(bytes)
            let isPoint = KnownPoints.shared.contains(bytes) { crypto_core_ed25519_is_valid_point($0) == 1 }
            guard isPoint else { throw .invalidPublicKey }
            self.bytes = bytes
        }

        fileprivate init(checked bytes: [UInt8]) { self.bytes = bytes }
    }

    /// A signature: 64 bytes whose worth only `isValid` tells.
    public struct Signature: Hashable, Sendable {
        public static let byteCount = 64

        /// R, then s (RFC 8032, section 5.1.6).
        public let bytes: [UInt8]

        public init(parsing bytes: some Collection<UInt8>) throws(Ed25519Error) {
            guard bytes.count == Self.byteCount else { throw .wrongByteCount(expected: Self.byteCount, actual: bytes.count) }
            self.bytes = Array(bytes)
        }

        fileprivate init(checked bytes: [UInt8]) { self.bytes = bytes }

        /// Whether the owner of `key` made this signature of exactly this message.
        ///
        /// A second form of the same signature (s plus the group's order) is refused, so that a valid one cannot be altered.
        public func isValid(for message: [UInt8], by key: PublicKey) -> Bool {
            Sodium.ready
            return crypto_sign_ed25519_verify_detached(self.bytes, message, UInt64(message.count), key.bytes) == 0
        }
    }
}
