public import Bitcoin
public import CryptoPrimitives
public import Secp256k1
public import Signing

/// Why bytes are no advertisement.
public enum AdvertisementError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLarge(byteCount: Int, limit: Int)
    /// A newer program wrote it: nobody is at fault.
    case unknownFormat
    case malformed(String)
    case wrongSignature

    public var description: String {
        switch self {
        case .tooLarge(let byteCount, let limit): "an advertisement of \(byteCount) bytes is above the limit of \(limit)"
        case .unknownFormat: "written by another version of Chorale: update this one"
        case .malformed(let what): "no advertisement: \(what)"
        case .wrongSignature: "it is not signed by the identity that it names"
        }
    }
}

/// "These signers can be asked to sign": what a node tells strangers, for up to a day.
///
/// Each signer key proves itself by its enrolment, which it signed, and so signs nothing that a stranger put together; the identity that
/// all of them enrolled signs the whole. Of one identity the highest sequence counts; a withdrawal is a version without an offer, and
/// lasts longer than whatever it takes back.
public struct SignerAdvertisement: Hashable, Sendable {
    public let network: Network
    /// The node's.
    public let identity: Ed25519.PublicKey
    /// When it was signed, in milliseconds since 1970, by its signer's clock. So it rises over restarts without being kept, and cannot run
    /// ahead of its expiry.
    public let sequence: UInt64
    /// Seconds since 1970 after which nobody passes it on or finds it.
    public let expiry: UInt64
    /// One for each signer key, by their keys' bytes: 1 to 10, all of the identity and the network.
    public let enrolments: [Enrolment]
    /// `nil`: what was advertised is taken back.
    public let offer: SignerOffer?

    private let signature: Ed25519.Signature

    /// Most signer keys of one identity. Source: the described systems' bound.
    public static let signerCountMax = 10
    /// Most bytes. Source: the described systems' bound; the longest that can be made has under 4,000.
    public static let byteCountMax = 10_000
    /// Longest life, in seconds: a day. Source: as above.
    public static let lifeMax: UInt64 = 86_400

    /// - Parameters:
    ///   - enrolments: 1 to 10 of this identity and one network, each signer once.
    ///   - offer: `nil` takes back what was advertised before.
    ///   - life: seconds, at most a day. A withdrawal lasts the whole day, whatever is said.
    public init(
        _ offer: SignerOffer?, of enrolments: [Enrolment], identity: borrowing Ed25519.SecretKey, sequence: UInt64,
        life: UInt64 = Self.lifeMax
    ) throws(SignerOfferError) {
        let sorted = enrolments.sorted { $0.signer < $1.signer }
        guard let first = sorted.first else { throw .invalid("an advertisement is of a signer at least") }
        let own = identity.publicKey
        if let problem = Self.problem(with: sorted, first.network, own) { throw .invalid(problem) }
        self.network = first.network
        self.identity = own
        self.sequence = sequence
        let span = offer == nil ? Self.lifeMax : min(max(1, life), Self.lifeMax)
        self.expiry = sequence / 1_000 + span
        self.enrolments = sorted
        self.offer = offer
        self.signature = identity.sign(
            Self.digest(Self.body(self.network, own, sequence, self.expiry, sorted, offer)).bytes)
    }

    private static func problem(with enrolments: [Enrolment], _ network: Network, _ identity: Ed25519.PublicKey) -> String? {
        guard (1...Self.signerCountMax).contains(enrolments.count) else {
            return "an advertisement is of 1 to \(Self.signerCountMax) signers, and this of \(enrolments.count)"
        }
        guard enrolments.allSatisfy({ $0.network == network && $0.identity == identity }) else {
            return "an enrolment in it is of another identity or network"
        }
        guard zip(enrolments, enrolments.dropFirst()).allSatisfy({ $0.signer < $1.signer }) else {
            return "its signers are not in order, or one is there twice"
        }
        return nil
    }

    /// The signer keys, by their bytes.
    public var signers: [PublicKey] { self.enrolments.map(\.signer) }

    public var isWithdrawal: Bool { self.offer == nil }

    /// When it was signed, in seconds since 1970.
    public var createdAt: UInt64 { self.sequence / 1_000 }

    /// Whether its time is over, in seconds since 1970.
    public func isExpired(at now: UInt64) -> Bool { now > self.expiry }

    // MARK: - Bytes

    private static let formatVersion: UInt8 = 1
    private static let tag = SHA256.tagged("chorale/advertisement")

    private enum Kind: UInt8 {
        case offer = 1
        case withdrawal = 2
    }

    private static func digest(_ body: [UInt8]) -> Bytes32 {
        var hash = Self.tag
        hash.update(body)
        return hash.finalize()
    }

    private static func body(
        _ network: Network, _ identity: Ed25519.PublicKey, _ sequence: UInt64, _ expiry: UInt64, _ enrolments: [Enrolment],
        _ offer: SignerOffer?
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        writer.writeUInt8(network.enrolmentCode)
        writer.writeUInt8((offer == nil ? Kind.withdrawal : Kind.offer).rawValue)
        writer.write(identity.bytes)
        writer.writeUInt64(sequence)
        writer.writeUInt64(expiry)
        writer.writeCompactSize(enrolments.count)
        for enrolment in enrolments { writer.write(enrolment.serialized()) }
        offer?.write(to: &writer)
        return writer.bytes
    }

    /// Version 1, network 1, kind 1 (1 offer, 2 withdrawal), identity 32, sequence 8, expiry 8, CompactSize count, enrolment 207 each, the
    /// offer where there is one, signature 64 of the tagged hash `chorale/advertisement` of everything before.
    public func serialized() -> [UInt8] {
        Self.body(self.network, self.identity, self.sequence, self.expiry, self.enrolments, self.offer) + self.signature.bytes
    }

    /// Reads an advertisement and verifies all signatures in it.
    public init(parsing bytes: [UInt8]) throws(AdvertisementError) {
        let head = try Head(parsing: bytes)
        do {
            var reader = ByteReader(bytes)
            _ = try reader.readSlice(Head.byteCount, "head")
            let count = try reader.readCount("count of enrolments", minimumByteCount: Enrolment.byteCount)
            guard (1...Self.signerCountMax).contains(count) else { throw AdvertisementError.malformed("\(count) signers") }
            // The one signature of the whole before those of the parts.
            let start = reader.offset
            _ = try reader.readSlice(count * Enrolment.byteCount, "enrolments")
            self.offer = head.isWithdrawal ? nil : try SignerOffer(&reader)
            self.signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            try reader.finish()
            let signed = Self.digest(Array(bytes.dropLast(Ed25519.Signature.byteCount)))
            guard self.signature.isValid(for: signed.bytes, by: head.identity) else { throw AdvertisementError.wrongSignature }
            self.enrolments = try (0..<count).map { place in
                let from = start + place * Enrolment.byteCount
                return try Enrolment(parsing: bytes[from..<from + Enrolment.byteCount])
            }
        } catch let error as AdvertisementError { throw error } catch { throw .malformed("\(error)") }
        self.network = head.network
        self.identity = head.identity
        self.sequence = head.sequence
        self.expiry = head.expiry
        if let problem = Self.problem(with: self.enrolments, head.network, head.identity) { throw .malformed(problem) }
    }

    /// What stands at its start: enough to pass over what is stale before anything is verified.
    struct Head: Hashable, Sendable {
        let network: Network
        let isWithdrawal: Bool
        let identity: Ed25519.PublicKey
        let sequence: UInt64
        let expiry: UInt64

        static let byteCount = 3 + Ed25519.PublicKey.byteCount + 16

        init(parsing bytes: [UInt8]) throws(AdvertisementError) {
            guard bytes.count <= SignerAdvertisement.byteCountMax else {
                throw .tooLarge(byteCount: bytes.count, limit: SignerAdvertisement.byteCountMax)
            }
            do {
                var reader = ByteReader(bytes)
                guard try reader.readUInt8("format version") == SignerAdvertisement.formatVersion else {
                    throw AdvertisementError.unknownFormat
                }
                guard let network = Network(enrolmentCode: try reader.readUInt8("network")) else { throw AdvertisementError.unknownFormat }
                guard let kind = Kind(rawValue: try reader.readUInt8("kind")) else { throw AdvertisementError.unknownFormat }
                self.network = network
                self.isWithdrawal = kind == .withdrawal
                self.identity = try Ed25519.PublicKey(parsing: reader.readBytes(Ed25519.PublicKey.byteCount, "identity"))
                self.sequence = try reader.readUInt64("sequence")
                self.expiry = try reader.readUInt64("expiry")
            } catch let error as AdvertisementError { throw error } catch { throw .malformed("\(error)") }
            let createdAt = self.sequence / 1_000
            guard self.expiry > createdAt, self.expiry - createdAt <= SignerAdvertisement.lifeMax else {
                throw .malformed("it lives for more than a day, or not at all")
            }
            // Or one taken back could be told again when the withdrawal is forgotten.
            guard !self.isWithdrawal || self.expiry - createdAt == SignerAdvertisement.lifeMax else {
                throw .malformed("a withdrawal that ends before what it takes back")
            }
        }
    }
}
