package import CSecp256k1
public import CryptoPrimitives

/// A secret key with one owner, in one slot of the guarded arena.
public struct SecretKey: ~Copyable, Sendable {
    /// Bytes of the scalar.
    public static let byteCount = 32

    var slot: SecretArena.Slot  // holds the library's key pair; read only, once it is made
    public let publicKey: PublicKey

    private init(slot: consuming SecretArena.Slot) {
        var publicKey = secp256k1_pubkey()
        slot.withUnsafeBytes { _ = secp256k1_keypair_pub(Context.shared, &publicKey, $0.keyPair) }
        self.slot = slot
        self.publicKey = PublicKey(raw: publicKey)
    }

    /// A new key from the system's random source.
    public static func generate() throws(SecretMemoryError) -> SecretKey {
        let arena = try SecretArena.shared
        var slot = try arena.take()
        var scalar = try arena.take()
        var isMade = false
        // One draw in 2^127 is out of range, so this loop ends.
        while !isMade {
            isMade = scalar.withUnsafeMutableBytes { scalar in
                SystemRandom.fill(UnsafeMutableRawBufferPointer(rebasing: scalar.prefix(Self.byteCount)))
                return slot.withUnsafeMutableBytes { secp256k1_keypair_create(Context.shared, $0.keyPair, scalar.bytePointer) == 1 }
            }
        }
        return SecretKey(slot: slot)
    }

    /// Takes a 32-byte scalar from secret memory.
    ///
    /// - Throws: `SecretKeyError.key` for a wrong length, zero, or a number not below the order.
    public init(parsing secret: borrowing SecretBytes) throws(SecretKeyError) {
        guard secret.count == Self.byteCount else {
            throw .key(.wrongByteCount(expected: Self.byteCount, actual: secret.count))
        }
        var slot = try Self.takeSlot()
        let isValid = secret.withUnsafeBytes { scalar in
            slot.withUnsafeMutableBytes {
                secp256k1_keypair_create(Context.shared, $0.keyPair, scalar.bytePointer) == 1
            }
        }
        guard isValid else { throw .key(.scalarOutOfRange) }
        self.init(slot: slot)
    }

    /// The 32-byte scalar, for an encrypted key file and nothing else.
    public borrowing func encoded() throws(SecretMemoryError) -> SecretBytes {
        try SecretBytes(count: Self.byteCount) { target in
            self.slot.withUnsafeBytes {
                _ = secp256k1_keypair_sec(Context.shared, target.bytePointer, $0.keyPair)
            }
        }
    }

    /// Signs the 32-byte message by BIP-340, with 32 fresh bytes of auxiliary randomness.
    ///
    /// - Throws: `SecretKeyError.signingFailed` when the result does not verify, which only a fault of the machine explains.
    public borrowing func sign(_ message: Bytes32) throws(SecretKeyError) -> SchnorrSignature {
        try self.sign(message, auxiliary: Bytes32 { SystemRandom.fill($0) })
    }

    /// The same without auxiliary randomness, which BIP-340 allows: one message always gets the same signature.
    ///
    /// For statements that are made again at every start and must not differ.
    public borrowing func signDeterministically(_ message: Bytes32) throws(SecretKeyError) -> SchnorrSignature {
        try self.sign(message, auxiliary: Bytes32())
    }

    private borrowing func sign(_ message: Bytes32, auxiliary: Bytes32) throws(SecretKeyError) -> SchnorrSignature {
        var signature = (Bytes32(), Bytes32())
        let isMade = withUnsafeMutableBytes(of: &signature) { signature in
            message.withUnsafeBytes { message in
                auxiliary.withUnsafeBytes { auxiliary in
                    self.slot.withUnsafeBytes {
                        secp256k1_schnorrsig_sign32(
                            Context.shared, signature.bytePointer, message.bytePointer, $0.keyPair,
                            auxiliary.bytePointer) == 1
                    }
                }
            }
        }
        let result = SchnorrSignature(r: signature.0, s: signature.1)
        // BIP-340 recommends it: a faulty signature can reveal the key.
        guard isMade, result.isValid(for: message, by: self.publicKey.xOnly) else { throw .signingFailed }
        return result
    }

    /// The key that spends a Taproot output by its key path (BIP-341, "Constructing and spending Taproot outputs").
    ///
    /// - Parameter merkleRoot: root of the script tree, or `nil` for an output without scripts.
    public borrowing func tweakedForTaproot(merkleRoot: Bytes32?) throws(SecretKeyError) -> SecretKey {
        let tweak = self.publicKey.xOnly.taprootTweak(merkleRoot: merkleRoot)
        var slot = try Self.takeSlot()
        let isValid = self.slot.withUnsafeBytes { own in
            slot.withUnsafeMutableBytes { tweaked in
                tweaked.copyMemory(from: own)
                return tweak.withUnsafeBytes {
                    secp256k1_keypair_xonly_tweak_add(
                        Context.shared, tweaked.keyPair, $0.bytePointer) == 1
                }
            }
        }
        guard isValid else { throw .key(.scalarOutOfRange) }
        return SecretKey(slot: slot)
    }

    private static func takeSlot() throws(SecretKeyError) -> SecretArena.Slot {
        do { return try SecretArena.shared.take() } catch { throw .memory(error) }
    }

    /// Lends the library's key pair to code of this package that calls the library.
    package borrowing func withKeyPair<Result>(_ body: (UnsafePointer<secp256k1_keypair>) -> Result) -> Result {
        self.slot.withUnsafeBytes { body($0.keyPair) }
    }
}

extension SecretKey {
    /// A key with several holders: arrays and dictionaries, which take only what can be copied, hold it by this.
    ///
    /// There is one key still, in one slot. It is wiped when the last holder lets go, so hold it no longer than it is needed.
    public final class Shared: Sendable {
        public let key: SecretKey

        public init(_ key: consuming SecretKey) { self.key = key }
    }
}

/// Why a secret key cannot be made or used.
public enum SecretKeyError: Error, Equatable, Sendable, CustomStringConvertible {
    case key(KeyError)
    case memory(SecretMemoryError)
    /// The signature just made does not verify. Nothing was released.
    case signingFailed

    public var description: String {
        switch self {
        case .key(let error): "secret key: \(error)"
        case .memory(let error): error.description
        case .signingFailed: "the signature just made does not verify, so it was not released: suspect this machine's memory"
        }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var keyPair: UnsafePointer<secp256k1_keypair> {
        guard let base = self.baseAddress else { preconditionFailure("an empty buffer for a key pair") }
        return base.assumingMemoryBound(to: secp256k1_keypair.self)
    }
}

extension UnsafeMutableRawBufferPointer {
    /// A key pair of the library is 96 plain bytes, so a slot holds one at its start.
    fileprivate var keyPair: UnsafeMutablePointer<secp256k1_keypair> {
        guard let base = self.baseAddress else { preconditionFailure("an empty buffer for a key pair") }
        return base.assumingMemoryBound(to: secp256k1_keypair.self)
    }
}
