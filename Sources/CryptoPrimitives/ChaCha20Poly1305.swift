internal import CSodium

/// The bytes were not made under this key, nonce and associated data, or were altered.
public struct AuthenticationError: Error, Equatable, Sendable, CustomStringConvertible {
    public init() {}

    public var description: String { "the encrypted bytes are not what the owner of the key sent: altered, repeated or out of order" }
}

/// ChaCha20-Poly1305 with a 96-bit nonce (RFC 8439), on the caller's own buffers.
///
/// Nothing is copied or allocated: a channel encrypts from its queue into its output and decrypts where the bytes arrived. The key
/// stays in secret memory, of which the caller lends the 32 bytes.
public enum ChaCha20Poly1305 {
    public static let keyByteCount = 32
    /// Bytes of the tag behind the ciphertext.
    public static let tagByteCount = 16

    /// Ninety-six bits that must never serve twice under one key.
    public struct Nonce: Sendable {
        // Memory order; twelve bytes on the stack.
        private var words: (UInt32, UInt32, UInt32)

        /// Four zero bytes and a counter of eight, little endian: Noise's form (Noise Protocol Framework, revision 34, section 12.3).
        public init(counter: UInt64) {
            self.words = (
                0, UInt32(truncatingIfNeeded: counter).littleEndian, UInt32(truncatingIfNeeded: counter >> 32).littleEndian
            )
        }

        /// Twelve bytes as they are; `nil` for any other count.
        public init?(_ bytes: some Collection<UInt8>) {
            guard bytes.count == 12 else { return nil }
            self.words = (0, 0, 0)
            withUnsafeMutableBytes(of: &self.words) { $0.copyBytes(from: bytes) }
        }

        fileprivate func withPointer<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
            withUnsafeBytes(of: self.words) { body($0.start) }
        }
    }

    /// Encrypts, and puts the tag behind.
    ///
    /// - Parameters:
    ///   - plaintext: Any length; may be the start of `target` itself, and must not overlap it otherwise.
    ///   - key: 32 bytes of secret memory.
    ///   - target: 16 bytes more than the plaintext.
    public static func seal(
        _ plaintext: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, nonce: Nonce,
        authenticating associatedData: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        to target: UnsafeMutableRawBufferPointer
    ) {
        precondition(key.count == Self.keyByteCount, "a ChaCha20-Poly1305 key has \(Self.keyByteCount) bytes")
        precondition(target.count == plaintext.count + Self.tagByteCount, "the tag takes \(Self.tagByteCount) bytes behind the text")
        Sodium.ready
        _ = nonce.withPointer { nonce in
            crypto_aead_chacha20poly1305_ietf_encrypt(
                target.start, nil, plaintext.bytePointer, UInt64(plaintext.count),
                associatedData.bytePointer, UInt64(associatedData.count), nil, nonce, key.start)
        }
    }

    /// Checks the tag and, if it fits, decrypts.
    ///
    /// - Parameters:
    ///   - ciphertext: With its tag at the end.
    ///   - key: 32 bytes of secret memory.
    ///   - target: 16 bytes fewer than the ciphertext; may be the start of `ciphertext` itself, and must not overlap it otherwise.
    ///     After an error its bytes mean nothing.
    public static func open(
        _ ciphertext: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, nonce: Nonce,
        authenticating associatedData: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        to target: UnsafeMutableRawBufferPointer
    ) throws(AuthenticationError) {
        precondition(key.count == Self.keyByteCount, "a ChaCha20-Poly1305 key has \(Self.keyByteCount) bytes")
        guard ciphertext.count >= Self.tagByteCount else { throw AuthenticationError() }
        precondition(target.count == ciphertext.count - Self.tagByteCount, "the text has \(Self.tagByteCount) bytes fewer than its cipher")
        Sodium.ready
        let status = nonce.withPointer { nonce in
            crypto_aead_chacha20poly1305_ietf_decrypt(
                target.bytePointer, nil, nil, ciphertext.start, UInt64(ciphertext.count),
                associatedData.bytePointer, UInt64(associatedData.count), nonce, key.start)
        }
        guard status == 0 else { throw AuthenticationError() }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var bytePointer: UnsafePointer<UInt8>? { self.baseAddress?.assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate var bytePointer: UnsafeMutablePointer<UInt8>? { self.baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
