public import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// One signer's two secret keys in a file, sealed under a passphrase.
///
/// What may be known of them stands in clear before the seal and is authenticated by it:
///
///     chorale-key 1
///     network: signet
///     signer: <66 hex digits: compressed public key>
///     identity: <64 hex digits: Ed25519 public key>
///     label: <text>                                       (this line only where there is a label)
///     sealed: <hex of a SealedSecret over the scalar, 32 bytes, then the identity's seed, 32 bytes>
///
/// A file that enrols another identity for a key than its first one begins with `chorale-key 2`, and has two lines more behind `identity`:
///
///     version: <decimal: of the enrolment>
///     expires: <decimal: seconds since 1970; 0 for never>
///
/// Exactly these lines in this order, hex in lowercase, each line ended by one line feed: any other spelling of the same is refused.
public struct KeyFile: Equatable, Sendable {
    public let path: String
    /// What the file says in clear. Only `unlock` proves it.
    public let header: Header
    /// Whether others than the owner may read or write the file as it was found: then `chmod 600` is due.
    public let letsOthersIn: Bool

    private let sealed: SealedSecret

    /// Most bytes of a key file: a header and a seal take under 700.
    public static let byteCountMax = 4_096

    public struct Header: Equatable, Sendable {
        public let network: Network
        public let signer: PublicKey
        public let identity: Ed25519.PublicKey
        public let label: String?
        /// Of the enrolment that joins the two keys: the highest counts, wherever several are known.
        public var version: UInt32 = 1
        /// Seconds since 1970 after which the enrolment holds no longer; 0 for never.
        public var expiry: UInt64 = 0
    }

    // MARK: - Creating

    /// Seals both keys and writes the file, which must not exist yet; only its owner may read it. Takes the time that `cost` says.
    ///
    /// - Parameter label: A name for people: 1 to 64 bytes of UTF-8 without control characters, no space at its ends, and no accent or
    ///   modifier at its beginning.
    /// - Parameters:
    ///   - version: of the enrolment that joins the two keys.
    ///   - expiry: of the enrolment, in seconds since 1970; 0 for never.
    public static func create(
        at path: String, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey, network: Network, label: String? = nil,
        version: UInt32 = 1, expiry: UInt64 = 0, passphrase: borrowing SecretBytes, cost: SealedSecret.Cost = .moderate
    ) throws(KeyFileError) -> KeyFile {
        if let label, !KeyFileText.isLabel(label) { throw .invalidLabel }
        let header = Header(
            network: network, signer: key.publicKey, identity: identity.publicKey, label: label, version: version, expiry: expiry)
        let secret: SecretBytes
        do throws(SecretMemoryError) {
            secret = try Self.joined(key, identity)
        } catch {
            throw .sealing(path: path, .secretMemory(error))
        }
        let sealed: SealedSecret
        do throws(SealedSecretError) {
            sealed = try SealedSecret(
                sealing: secret, passphrase: passphrase, associatedData: KeyFileText.clearPart(header), cost: cost)
        } catch {
            throw .sealing(path: path, error)
        }
        let text = KeyFileText.encode(header, sealed)
        // A key that nothing can read any more is lost with all that it guards, so that is found out before anybody uses it.
        do throws(KeyFileError.Fault) {
            let (readHeader, readSeal) = try KeyFileText.decode(text)
            guard readHeader == header, readSeal == sealed else { throw .otherSpelling }
        } catch {
            throw .notReadableAgain(path: path, error)
        }
        do throws(FileError) {
            try AtomicFile.create(text, at: path, permissions: .ownerOnly)
        } catch {
            throw .file(error)
        }
        return KeyFile(path: path, header: header, letsOthersIn: false, sealed: sealed)
    }

    private init(path: String, header: Header, letsOthersIn: Bool, sealed: SealedSecret) {
        self.path = path
        self.header = header
        self.letsOthersIn = letsOthersIn
        self.sealed = sealed
    }

    // MARK: - Reading

    /// Reads the file. This needs no passphrase and proves nothing yet.
    public init(readingFrom path: String) throws(KeyFileError) {
        let bytes: [UInt8]
        do throws(FileError) {
            let file = try OpenFile(reading: path, followingLinks: true)
            bytes = try file.readAll(byteCountMax: Self.byteCountMax)
            self.letsOthersIn = try file.status().permissions.letOthersIn
        } catch {
            throw .file(error)
        }
        do throws(KeyFileError.Fault) {
            (self.header, self.sealed) = try KeyFileText.decode(bytes)
        } catch {
            throw .damaged(path: path, error)
        }
        self.path = path
    }

    /// Opens the seal, and checks that the keys inside are those that the header names. Takes as long as sealing did.
    public func unlock(passphrase: borrowing SecretBytes) throws(KeyFileError) -> UnlockedKeys {
        let secret: SecretBytes
        do throws(SealedSecretError) {
            secret = try self.sealed.open(passphrase: passphrase, associatedData: KeyFileText.clearPart(self.header))
        } catch {
            throw error == .wrongPassphraseOrDamaged ? .wrongPassphraseOrAltered(path: self.path) : .sealing(path: self.path, error)
        }
        guard secret.count == Self.secretByteCount else { throw .damaged(path: self.path, .wrongSecretByteCount(secret.count)) }

        let scalar = try self.part(of: secret, from: 0, count: SecretKey.byteCount)
        let seed = try self.part(of: secret, from: SecretKey.byteCount, count: Ed25519.SecretKey.seedByteCount)
        let keys = UnlockedKeys(
            key: try self.signerKey(scalar), identity: try self.identityKey(seed), version: self.header.version, expiry: self.header.expiry)
        guard keys.key.publicKey == self.header.signer, keys.identity.publicKey == self.header.identity else {
            throw .damaged(path: self.path, .otherKeys)
        }
        return keys
    }

    private func signerKey(_ scalar: borrowing SecretBytes) throws(KeyFileError) -> SecretKey {
        do throws(SecretKeyError) {
            return try SecretKey(parsing: scalar)
        } catch {
            if case .memory(let error) = error { throw .sealing(path: self.path, .secretMemory(error)) }
            throw .damaged(path: self.path, .otherKeys)
        }
    }

    private func identityKey(_ seed: borrowing SecretBytes) throws(KeyFileError) -> Ed25519.SecretKey {
        do throws(Ed25519Error) {
            return try Ed25519.SecretKey(seed: seed)
        } catch {
            if case .secretMemory(let error) = error { throw .sealing(path: self.path, .secretMemory(error)) }
            throw .damaged(path: self.path, .otherKeys)
        }
    }

    // MARK: - What is sealed

    private static let secretByteCount = SecretKey.byteCount + Ed25519.SecretKey.seedByteCount

    /// The scalar, then the seed.
    private static func joined(
        _ key: borrowing SecretKey, _ identity: borrowing Ed25519.SecretKey
    ) throws(SecretMemoryError) -> SecretBytes {
        let scalar = try key.encoded()
        return try SecretBytes(count: Self.secretByteCount) { target in
            scalar.withUnsafeBytes { target.copyMemory(from: $0) }
            identity.withUnsafeSeed { seed in
                UnsafeMutableRawBufferPointer(rebasing: target[SecretKey.byteCount...]).copyMemory(from: seed)
            }
        }
    }

    private func part(of secret: borrowing SecretBytes, from start: Int, count: Int) throws(KeyFileError) -> SecretBytes {
        do throws(SecretMemoryError) {
            return try SecretBytes(count: count) { target in
                secret.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<(start + count)])) }
            }
        } catch {
            throw .sealing(path: self.path, .secretMemory(error))
        }
    }
}

/// A signer's two secret keys, in guarded memory.
@frozen public struct UnlockedKeys: ~Copyable, Sendable {
    /// Signs transactions.
    public let key: SecretKey
    /// Signs messages between devices.
    public let identity: Ed25519.SecretKey
    /// Of the enrolment that joins them, as the file's header says; the seal vouches for it.
    public let version: UInt32
    public let expiry: UInt64
}
