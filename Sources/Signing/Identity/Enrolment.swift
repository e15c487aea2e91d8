public import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// The bond between a signer key and the identity that speaks for it, signed by both.
///
/// The signer key signs nothing else than enrolments and partial signatures. Messages are signed by the identity, so that a
/// signer key never has to sign what a stranger put together.
public struct Enrolment: Hashable, Sendable {
    public let network: Network
    public let signer: PublicKey
    public let identity: Ed25519.PublicKey
    /// Tells a signer's enrolments apart: a later one has a higher version. Whoever keeps several compares them; nothing in this
    /// module remembers the ones that it saw.
    public let version: UInt32
    /// Seconds since 1970 after which the signer means it to hold no longer; 0 for never. Signatures on it stay valid: whoever
    /// accepts statements as they come asks `isExpired(at:)`, and who judges old evidence does not.
    public let expiry: UInt64

    private let signerSignature: SchnorrSignature
    private let identitySignature: Ed25519.Signature

    /// Whether its time is over, in seconds since 1970.
    public func isExpired(at now: UInt64) -> Bool { self.expiry != 0 && now > self.expiry }

    /// Bytes of `serialized()`.
    public static let byteCount = 1 + 1 + 33 + 32 + 4 + 8 + 64 + 64

    /// Enrols an identity for a signer key; both sign.
    public init(
        network: Network, signer: borrowing SecretKey, identity: borrowing Ed25519.SecretKey, version: UInt32 = 1, expiry: UInt64 = 0
    ) throws(SecretKeyError) {
        self.network = network
        self.signer = signer.publicKey
        self.identity = identity.publicKey
        self.version = version
        self.expiry = expiry
        let digest = Self.digest(network, signer.publicKey, identity.publicKey, version, expiry)
        // The same bytes at every start: what a process says again after a crash is what it said before.
        self.signerSignature = try signer.signDeterministically(digest)
        self.identitySignature = identity.sign(digest.bytes)
    }

    private static func digest(
        _ network: Network, _ signer: PublicKey, _ identity: Ed25519.PublicKey, _ version: UInt32, _ expiry: UInt64
    ) -> Bytes32 {
        var hash = Self.tag
        hash.update(Self.header(network, signer, identity, version, expiry))
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/enrolment")

    private static func header(
        _ network: Network, _ signer: PublicKey, _ identity: Ed25519.PublicKey, _ version: UInt32, _ expiry: UInt64
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        writer.writeUInt8(network.enrolmentCode)
        writer.write(signer.bytes)
        writer.write(identity.bytes)
        writer.writeUInt32(version)
        writer.writeUInt64(expiry)
        return writer.bytes
    }

    private static let formatVersion: UInt8 = 1

    /// The 207 bytes that stand in every statement.
    public func serialized() -> [UInt8] {
        Self.header(self.network, self.signer, self.identity, self.version, self.expiry) + self.signerSignature.bytes
            + self.identitySignature.bytes
    }

    /// Reads an enrolment and verifies both signatures: a value of this type was really made by both keys.
    public init(parsing bytes: some Collection<UInt8>) throws(StatementError) { try self.init(parsing: bytes, knownFrom: nil) }

    /// The same. What the roster holds, byte for byte, was verified before.
    init(parsing bytes: some Collection<UInt8>, knownFrom roster: Roster?) throws(StatementError) {
        do {
            var reader = ByteReader(Array(bytes))
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw StatementError.unknownFormat }
            guard let network = Network(enrolmentCode: try reader.readUInt8("network")) else { throw StatementError.unknownFormat }
            self.network = network
            self.signer = try PublicKey(parsing: reader.readBytes(PublicKey.byteCount, "signer key"))
            self.identity = try Ed25519.PublicKey(parsing: reader.readBytes(Ed25519.PublicKey.byteCount, "identity key"))
            self.version = try reader.readUInt32("version")
            self.expiry = try reader.readUInt64("expiry")
            self.signerSignature = try SchnorrSignature(parsing: reader.readBytes(SchnorrSignature.byteCount, "signer's signature"))
            self.identitySignature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "identity's signature"))
            try reader.finish()
        } catch let error as StatementError { throw error } catch { throw .malformed("enrolment: \(error)") }
        if let roster, roster.enrolment(of: self.signer) == self { return }
        let digest = Self.digest(self.network, self.signer, self.identity, self.version, self.expiry)
        guard self.signerSignature.isValid(for: digest, by: self.signer.xOnly),
            self.identitySignature.isValid(for: digest.bytes, by: self.identity)
        else { throw .badEnrolment(signer: self.signer) }
    }
}

/// Why a signed message is not what it claims to be.
public enum StatementError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Not the bytes of a statement, with what stood in the way.
    case malformed(String)
    /// A version or kind that this program does not know: a newer Chorale wrote it.
    case unknownFormat
    /// The enrolment in it is not signed by both the signer key and the identity.
    case badEnrolment(signer: PublicKey)
    /// The message is not signed by the identity of its sender.
    case badSignature(sender: PublicKey)
    /// It is signed under an enrolment that is not known here, or not any more.
    case unknownEnrolment(signer: PublicKey, version: UInt32)
    /// More bytes than any statement has.
    case tooLarge(byteCount: Int, limit: Int)

    public var description: String {
        switch self {
        case .malformed(let problem): "not a message of Chorale: \(problem)"
        case .unknownFormat: "written by another version of Chorale: update this one"
        case .badEnrolment(let signer): "the identity in it is not enrolled by signer \(signer)"
        case .badSignature(let sender): "it is not signed by the identity of signer \(sender)"
        case .unknownEnrolment(let signer, let version):
            "version \(version) of signer \(signer)'s enrolment is not the one that counts here"
        case .tooLarge(let byteCount, let limit): "\(byteCount) bytes, and the limit is \(limit)"
        }
    }
}

extension Network {
    /// One byte for each network, fixed: enrolments are kept for years.
    package var enrolmentCode: UInt8 {
        switch self {
        case .mainnet: 0
        case .testnet4: 1
        case .signet: 2
        case .regtest: 3
        }
    }

    package init?(enrolmentCode: UInt8) {
        guard let network = Network.allCases.first(where: { $0.enrolmentCode == enrolmentCode }) else { return nil }
        self = network
    }
}
