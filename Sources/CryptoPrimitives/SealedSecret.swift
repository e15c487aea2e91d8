internal import CSodium

/// Why a secret could not be sealed or opened.
public enum SealedSecretError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes do not begin as a sealed secret of this version does.
    case notASealedSecret
    /// More bytes than a secret of 64 KiB takes, or too few for any.
    case wrongByteCount(Int)
    /// A secret must have 1 to 65,536 bytes.
    case wrongSecretByteCount(Int)
    /// A passphrase must not be empty.
    case emptyPassphrase
    /// The cost is below what Argon2id needs, or above what a stranger's file may ask for.
    case costOutOfBounds(passes: UInt32, memoryKibibytes: UInt32)
    /// The system did not give Argon2id this much memory.
    case notEnoughMemory(kibibytes: UInt32)
    /// The passphrase is wrong, the bytes were altered, or they were sealed for another purpose. Which one cannot be known.
    case wrongPassphraseOrDamaged
    /// There was no guarded memory to hold the secret.
    case secretMemory(SecretMemoryError)

    public var description: String {
        switch self {
        case .notASealedSecret: "this is not a sealed secret, or one of a version that this program does not know"
        case .wrongByteCount(let count): "a sealed secret cannot have \(count) bytes; the file is cut short or not what it seems"
        case .wrongSecretByteCount(let count):
            "a secret to seal has 1 to \(SealedSecret.secretByteCountMax) bytes, and this one has \(count)"
        case .emptyPassphrase: "the passphrase is empty; give one"
        case .costOutOfBounds(let passes, let memory):
            "\(passes) passes over \(memory) KiB are outside the bounds; allowed are "
                + "at least 1 pass over \(SealedSecret.Cost.memoryKibibytesMin) KiB, "
                + "at most \(SealedSecret.Cost.memoryKibibytesMax) KiB, and \(SealedSecret.Cost.workKibibytesMax) KiB over all passes"
        case .notEnoughMemory(let kibibytes): "there is not enough free memory: opening this takes \(kibibytes) KiB"
        case .wrongPassphraseOrDamaged:
            "the passphrase is wrong, or the file was altered; try the passphrase again, then a copy of the file"
        case .secretMemory(let error): "\(error)"
        }
    }
}

/// A secret under a passphrase, in the bytes of a file: Argon2id (RFC 9106) makes the key, XChaCha20-Poly1305 seals.
///
///     magic 7 | version 1 | passes 4 | memory 4 | salt 16 | nonce 24 | ciphertext n | tag 16
///
/// Numbers are little endian, memory is in KiB. Everything before the ciphertext is authenticated with it, and so is what the
/// caller names as associated data: a file's purpose, so that one kind of secret cannot be passed off as another.
public struct SealedSecret: Equatable, Sendable {
    /// Most bytes of a secret; a key has 32.
    public static let secretByteCountMax = 65_536

    private static let magic = Array("CHORALE".utf8)
    private static let version: UInt8 = 1
    private static let saltByteCount = Int(crypto_pwhash_argon2id_SALTBYTES)
    private static let nonceByteCount = Int(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
    private static let tagByteCount = Int(crypto_aead_xchacha20poly1305_ietf_ABYTES)
    private static let headerByteCount = 16 + Self.saltByteCount + Self.nonceByteCount

    /// Most bytes of a sealed secret: what to read of a file at most.
    public static let byteCountMax = Self.headerByteCount + Self.secretByteCountMax + Self.tagByteCount

    /// What one guess of the passphrase costs.
    public let cost: Cost
    private let header: [UInt8]
    private let ciphertext: [UInt8]  // its tag at the end

    /// The bytes to store.
    public var bytes: [UInt8] { self.header + self.ciphertext }

    /// Seals under a fresh salt and nonce. Takes the time and memory that `cost` says.
    ///
    /// - Parameters:
    ///   - secret: 1 to 65,536 bytes.
    ///   - passphrase: Not empty.
    ///   - associatedData: What the secret is for. It must be given again, unchanged, to open.
    ///   - cost: What each guess of the passphrase shall cost, and each opening costs.
    public init(
        sealing secret: borrowing SecretBytes, passphrase: borrowing SecretBytes, associatedData: [UInt8], cost: Cost = .moderate
    ) throws(SealedSecretError) {
        guard (1...Self.secretByteCountMax).contains(secret.count) else { throw .wrongSecretByteCount(secret.count) }
        let salt = SystemRandom.bytes(count: Self.saltByteCount)
        let nonce = SystemRandom.bytes(count: Self.nonceByteCount)
        let header = Self.magic + [Self.version] + Self.littleEndian(cost.passes) + Self.littleEndian(cost.memoryKibibytes) + salt + nonce
        let key = try Self.key(passphrase: passphrase, salt: salt, cost: cost)

        let authenticated = header + associatedData
        var ciphertext = [UInt8](repeating: 0, count: secret.count + Self.tagByteCount)
        secret.withUnsafeBytes { secret in
            key.withUnsafeBytes { key in
                _ = crypto_aead_xchacha20poly1305_ietf_encrypt(
                    &ciphertext, nil, secret.start, UInt64(secret.count),
                    authenticated, UInt64(authenticated.count), nil, nonce, key.start)
            }
        }
        self.cost = cost
        self.header = header
        self.ciphertext = ciphertext
    }

    /// Reads the outside only; whether the inside is whole shows when it is opened.
    public init(parsing bytes: [UInt8]) throws(SealedSecretError) {
        guard bytes.starts(with: Self.magic + [Self.version]) else { throw .notASealedSecret }
        let countMin = Self.headerByteCount + 1 + Self.tagByteCount
        guard (countMin...Self.byteCountMax).contains(bytes.count) else { throw .wrongByteCount(bytes.count) }
        self.cost = try Cost(passes: Self.number(bytes[8..<12]), memoryKibibytes: Self.number(bytes[12..<16]))
        self.header = Array(bytes[..<Self.headerByteCount])
        self.ciphertext = Array(bytes[Self.headerByteCount...])
    }

    /// The secret, in guarded memory. Takes as long as sealing did.
    public func open(passphrase: borrowing SecretBytes, associatedData: [UInt8]) throws(SealedSecretError) -> SecretBytes {
        let salt = Array(self.header[16..<(16 + Self.saltByteCount)])
        let nonce = Array(self.header[(16 + Self.saltByteCount)...])
        let key = try Self.key(passphrase: passphrase, salt: salt, cost: self.cost)

        let authenticated = self.header + associatedData
        var status: Int32 = -1
        let secret = try Self.inGuardedMemory(count: self.ciphertext.count - Self.tagByteCount, key) { target, key in
            status = crypto_aead_xchacha20poly1305_ietf_decrypt(
                target.start, nil, nil, self.ciphertext, UInt64(self.ciphertext.count),
                authenticated, UInt64(authenticated.count), nonce, key.start)
        }
        guard status == 0 else { throw .wrongPassphraseOrDamaged }
        return secret
    }

    // MARK: - The key

    private static func key(
        passphrase: borrowing SecretBytes, salt: [UInt8], cost: Cost
    ) throws(SealedSecretError) -> SecretBytes {
        Sodium.ready
        guard passphrase.count > 0 else { throw .emptyPassphrase }
        var status: Int32 = -1
        let keyByteCount = Int(crypto_aead_xchacha20poly1305_ietf_KEYBYTES)
        let key = try Self.inGuardedMemory(count: keyByteCount, passphrase) { target, passphrase in
            status = crypto_pwhash_argon2id(
                target.start, UInt64(target.count),
                UnsafeRawPointer(passphrase.start).assumingMemoryBound(to: CChar.self), UInt64(passphrase.count),
                salt, UInt64(cost.passes), Int(cost.memoryKibibytes) * 1024, crypto_pwhash_argon2id_alg_argon2id13())
        }
        // Everything else that Argon2id refuses was checked before.
        guard status == 0 else { throw .notEnoughMemory(kibibytes: cost.memoryKibibytes) }
        return key
    }

    /// New guarded memory, filled out of other guarded memory.
    private static func inGuardedMemory(
        count: Int, _ source: borrowing SecretBytes, filledBy fill: (UnsafeMutableRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) throws(SealedSecretError) -> SecretBytes {
        do throws(SecretMemoryError) {
            return try SecretBytes(count: count) { target in
                source.withUnsafeBytes { fill(target, $0) }
            }
        } catch {
            throw .secretMemory(error)
        }
    }

    // MARK: - Bytes

    private static func littleEndian(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.littleEndian) { Array($0) } }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
}

extension SealedSecret {
    /// What one guess of the passphrase costs: passes of Argon2id (one lane) over an amount of memory.
    public struct Cost: Equatable, Sendable {
        /// Least memory, in KiB, that Argon2id takes with one lane (RFC 9106, section 3.1).
        public static let memoryKibibytesMin: UInt32 = 8
        /// Most memory, in KiB, that a file may ask for: 1 GiB.
        public static let memoryKibibytesMax: UInt32 = 1 << 20
        /// Most memory times passes, in KiB, that a file may ask for: 4 GiB, some seconds. libsodium's "sensitive" takes as much.
        public static let workKibibytesMax: UInt64 = 4 << 20

        public let passes: UInt32
        public let memoryKibibytes: UInt32

        public init(passes: UInt32, memoryKibibytes: UInt32) throws(SealedSecretError) {
            guard passes >= 1, (Self.memoryKibibytesMin...Self.memoryKibibytesMax).contains(memoryKibibytes),
                UInt64(passes) * UInt64(memoryKibibytes) <= Self.workKibibytesMax
            else { throw .costOutOfBounds(passes: passes, memoryKibibytes: memoryKibibytes) }
            self.passes = passes
            self.memoryKibibytes = memoryKibibytes
        }

        private init(checkedPasses passes: UInt32, memoryKibibytes: UInt32) {
            self.passes = passes
            self.memoryKibibytes = memoryKibibytes
        }

        /// 3 passes over 256 MiB, about half a second: libsodium's "moderate".
        public static let moderate = Cost(checkedPasses: 3, memoryKibibytes: 256 << 10)
        /// 2 passes over 64 MiB, a tenth of a second: libsodium's "interactive", for keys that are worth little.
        public static let interactive = Cost(checkedPasses: 2, memoryKibibytes: 64 << 10)
        /// 1 pass over 8 KiB: no protection at all, for tests.
        static let least = Cost(checkedPasses: 1, memoryKibibytes: Self.memoryKibibytesMin)
    }
}
