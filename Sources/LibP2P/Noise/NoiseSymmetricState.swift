internal import CryptoPrimitives

/// The chaining key, cipher key and transcript hash of a handshake: `SymmetricState` and `CipherState` of the Noise Protocol
/// Framework, revision 34, sections 5.1 and 5.2, for ChaChaPoly and SHA-256.
///
/// All that is secret lies in one slot of the arena, which is wiped when the handshake goes, on every path out.
struct NoiseSymmetricState: ~Copyable, Sendable {
    /// What was said so far, by both. After the handshake it names the connection.
    private(set) var transcriptHash: Bytes32
    private var counter: UInt64?  // `nil` while there is no cipher key
    private var slot: SecretArena.Slot

    // The slot: chaining key, cipher key, and room for a Diffie-Hellman result. The first two are what HKDF gives at once.
    private static let chainingKey = 0..<32
    private static let cipherKey = 32..<64
    private static let scratch = 64..<96

    /// - Parameter protocolName: At most 32 bytes; a longer one would have to be hashed, and ours is 32.
    init(protocolName: StaticString) throws(SecretMemoryError) {
        let name = protocolName.withUTF8Buffer { Array($0) }
        precondition(name.count <= 32, "a protocol name of at most 32 bytes stands for itself")
        let hash = Bytes32 { $0.copyBytes(from: name) }
        self.transcriptHash = hash
        self.slot = try SecretArena.shared.take()
        self.slot.withUnsafeMutableBytes { slot in
            hash.withUnsafeBytes { Self.part(slot, Self.chainingKey).copyMemory(from: $0) }
        }
    }

    private static func part(_ slot: UnsafeMutableRawBufferPointer, _ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: slot[range])
    }

    mutating func mixHash(_ bytes: [UInt8]) {
        var hash = SHA256()
        hash.update(self.transcriptHash)
        hash.update(bytes)
        self.transcriptHash = hash.finalize()
    }

    /// Mixes the secret of two keys into what later messages are encrypted with.
    mutating func mixKey(
        _ secret: borrowing X25519.SecretKey, _ other: X25519.PublicKey
    ) throws(NoiseError) {
        do throws(X25519Error) {
            try self.slot.withUnsafeMutableBytes { (slot) throws(X25519Error) in
                let shared = Self.part(slot, Self.scratch)
                try secret.writeSharedSecret(with: other, to: shared)
                // MixKey is HKDF of RFC 5869 without info: section 4.3 spells the same HMACs out.
                HKDFSHA256.extract(
                    salt: UnsafeRawBufferPointer(Self.part(slot, Self.chainingKey)), inputKeyMaterial: UnsafeRawBufferPointer(shared),
                    to: shared)
                HKDFSHA256.expand(
                    UnsafeRawBufferPointer(shared), info: UnsafeRawBufferPointer(start: nil, count: 0),
                    to: Self.part(slot, Self.chainingKey.lowerBound..<Self.cipherKey.upperBound))
                SecretMemory.wipe(shared)
            }
        } catch {
            throw .publicKeyOfSmallOrder
        }
        self.counter = 0
    }

    /// Encrypts once there is a key, and adds what goes out to the transcript.
    mutating func encryptAndHash(_ plaintext: [UInt8]) -> [UInt8] {
        guard let counter = self.counter else {
            self.mixHash(plaintext)
            return plaintext
        }
        var ciphertext = [UInt8](repeating: 0, count: plaintext.count + ChaCha20Poly1305.tagByteCount)
        let hash = self.transcriptHash
        self.slot.withUnsafeMutableBytes { slot in
            let key = UnsafeRawBufferPointer(Self.part(slot, Self.cipherKey))
            hash.withUnsafeBytes { hash in
                ciphertext.withUnsafeMutableBytes { target in
                    plaintext.withUnsafeBytes {
                        ChaCha20Poly1305.seal($0, key: key, nonce: .init(counter: counter), authenticating: hash, to: target)
                    }
                }
            }
        }
        self.counter = counter + 1  // a handshake has six at most
        self.mixHash(ciphertext)
        return ciphertext
    }

    /// Decrypts once there is a key, and adds what came in to the transcript.
    mutating func decryptAndHash(_ ciphertext: ArraySlice<UInt8>) throws(NoiseError) -> [UInt8] {
        guard let counter = self.counter else {
            self.mixHash(Array(ciphertext))
            return Array(ciphertext)
        }
        guard ciphertext.count >= ChaCha20Poly1305.tagByteCount else { throw .messageTooShort(byteCount: ciphertext.count) }
        var plaintext = [UInt8](repeating: 0, count: ciphertext.count - ChaCha20Poly1305.tagByteCount)
        let hash = self.transcriptHash
        let isAuthentic = self.slot.withUnsafeMutableBytes { slot in
            let key = UnsafeRawBufferPointer(Self.part(slot, Self.cipherKey))
            return hash.withUnsafeBytes { hash in
                plaintext.withUnsafeMutableBytes { target in
                    ciphertext.withUnsafeBytes { ciphertext in
                        (try? ChaCha20Poly1305.open(
                            ciphertext, key: key, nonce: .init(counter: counter), authenticating: hash, to: target)) != nil
                    }
                }
            }
        }
        guard isAuthentic else { throw .notAuthentic }
        self.counter = counter + 1
        self.mixHash(Array(ciphertext))
        return plaintext
    }

    /// The two keys of the finished handshake, the initiator's sending key first (section 5.2, `Split`). The slot serves on.
    consuming func split() -> NoiseKeys {
        self.slot.withUnsafeMutableBytes { slot in
            let key = Self.part(slot, Self.scratch)
            HKDFSHA256.extract(
                salt: UnsafeRawBufferPointer(Self.part(slot, Self.chainingKey)),
                inputKeyMaterial: UnsafeRawBufferPointer(start: nil, count: 0), to: key)
            HKDFSHA256.expand(
                UnsafeRawBufferPointer(key), info: UnsafeRawBufferPointer(start: nil, count: 0),
                to: Self.part(slot, NoiseKeys.initiatorKey.lowerBound..<NoiseKeys.responderKey.upperBound))
            SecretMemory.wipe(key)
        }
        return NoiseKeys(slot: self.slot)
    }
}

/// The keys of both directions, in one slot of the arena.
struct NoiseKeys: ~Copyable, Sendable {
    static let initiatorKey = 0..<32
    static let responderKey = 32..<64

    private let slot: SecretArena.Slot

    fileprivate init(slot: consuming SecretArena.Slot) { self.slot = slot }

    /// Lends the key with which one side sends.
    borrowing func withKey<Result>(of role: NoiseRole, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.slot.withUnsafeBytes { slot in
            body(UnsafeRawBufferPointer(rebasing: slot[role == .initiator ? Self.initiatorKey : Self.responderKey]))
        }
    }
}

/// Who speaks first. The side that dialled is the initiator.
public enum NoiseRole: Sendable {
    case initiator
    case responder

    var other: NoiseRole { self == .initiator ? .responder : .initiator }
}
