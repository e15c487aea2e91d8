internal import Bitcoin
public import CryptoPrimitives
public import LibP2P
public import Signing

/// "We look for signers": an announcement that strangers may read.
///
///     version 1 | form 1 (2) | expiry 8 | enrolment 207 | request 32 | the request's expiry 8 | kinds 2 | amount 8 | wanted signers 2
///     var note | addresses | signature 64
///
/// The signature is the enrolled identity's, of the tagged hash `chorale/public-announcement` of everything before.
public struct PublicAnnouncement: Hashable, Sendable {
    /// Seconds since 1970 after which nobody passes it on.
    public let expiry: UInt64
    /// Of who announces: the key of the signer that looks for others, and the node to ask at.
    public let enrolment: Enrolment
    /// What it is known by where one asks.
    public let request: Bytes32
    public let requestExpiry: UInt64
    public let kinds: TransactionKinds
    /// In satoshi.
    public let amount: UInt64
    /// How many signers are looked for.
    public let wantedCount: UInt16
    /// For people: up to 200 bytes that can be seen.
    public let note: String
    public let addresses: [Multiaddr]

    private let signature: Ed25519.Signature

    /// Most bytes: a sealed one's, roughly.
    public static let byteCountMax = 2_048
    public static let noteByteCountMax = RequestTerms.noteByteCountMax
    static let form: UInt8 = 2
    private static let tag = SHA256.tagged("chorale/public-announcement")

    /// What is announced, beside who announces it.
    public struct Content: Hashable, Sendable {
        public var request: Bytes32
        public var requestExpiry: UInt64
        public var kinds: TransactionKinds
        public var amount: UInt64
        public var wantedCount: UInt16
        public var note: String

        public init(
            request: Bytes32, requestExpiry: UInt64, kinds: TransactionKinds, amount: UInt64, wantedCount: UInt16 = 1, note: String = ""
        ) {
            self.request = request
            self.requestExpiry = requestExpiry
            self.kinds = kinds
            self.amount = amount
            self.wantedCount = wantedCount
            self.note = note
        }
    }

    public init(
        _ content: Content, by enrolment: Enrolment, at addresses: [Multiaddr], expiry: UInt64, identity: borrowing Ed25519.SecretKey
    ) throws(SignerOfferError) {
        precondition(identity.publicKey == enrolment.identity, "who announces signs it")
        guard content.note.isEmpty || SignerOffer.canBeSeen(content.note, byteCountMax: Self.noteByteCountMax) else {
            throw .invalid("a note has up to \(Self.noteByteCountMax) bytes, all of which can be seen")
        }
        self.expiry = expiry
        self.enrolment = enrolment
        self.request = content.request
        self.requestExpiry = content.requestExpiry
        self.kinds = content.kinds
        self.amount = content.amount
        self.wantedCount = content.wantedCount
        self.note = content.note
        self.addresses = GroupAddresses.kept(addresses)
        self.signature = identity.sign(Self.digest(Self.body(expiry, enrolment, content, self.addresses)).bytes)
    }

    private static func digest(_ body: [UInt8]) -> Bytes32 {
        var hash = Self.tag
        hash.update(body)
        return hash.finalize()
    }

    private static func body(_ expiry: UInt64, _ enrolment: Enrolment, _ content: Content, _ addresses: [Multiaddr]) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(SealedAnnouncement.formatVersion)
        writer.writeUInt8(Self.form)
        writer.writeUInt64(expiry)
        writer.write(enrolment.serialized())
        writer.write(content.request)
        writer.writeUInt64(content.requestExpiry)
        writer.writeUInt16(content.kinds.rawValue)
        writer.writeUInt64(content.amount)
        writer.writeUInt16(content.wantedCount)
        writer.writeVariableBytes(Array(content.note.utf8))
        GroupAddresses.write(addresses, to: &writer)
        return writer.bytes
    }

    public var content: Content {
        Content(
            request: self.request, requestExpiry: self.requestExpiry, kinds: self.kinds, amount: self.amount,
            wantedCount: self.wantedCount, note: self.note)
    }

    public func serialized() -> [UInt8] {
        Self.body(self.expiry, self.enrolment, self.content, self.addresses) + self.signature.bytes
    }

    /// Reads one, and verifies all signatures in it.
    public init(parsing bytes: [UInt8]) throws(AnnouncementError) {
        guard bytes.count <= Self.byteCountMax else { throw .wrongByteCount(bytes.count) }
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == SealedAnnouncement.formatVersion,
                try reader.readUInt8("form") == Self.form
            else { throw AnnouncementError.unknownFormat }
            self.expiry = try reader.readUInt64("expiry")
            let enrolment = try reader.readSlice(Enrolment.byteCount, "enrolment")
            self.request = try reader.readBytes32("request")
            self.requestExpiry = try reader.readUInt64("the request's expiry")
            self.kinds = TransactionKinds(rawValue: try reader.readUInt16("kinds"))
            self.amount = try reader.readUInt64("amount")
            self.wantedCount = try reader.readUInt16("wanted signers")
            self.note = try SignerOffer.text(try reader.readVariableSlice("note"), byteCountMax: Self.noteByteCountMax)
            self.addresses = try GroupAddresses.read(&reader)
            self.signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            try reader.finish()
            guard self.note.isEmpty || SignerOffer.canBeSeen(self.note, byteCountMax: Self.noteByteCountMax) else {
                throw AnnouncementError.malformed("a note that cannot be seen")
            }
            self.enrolment = try Enrolment(parsing: enrolment)
        } catch let error as AnnouncementError { throw error } catch { throw .malformed("\(error)") }
        let signed = Self.digest(Array(bytes.dropLast(Ed25519.Signature.byteCount)))
        guard self.signature.isValid(for: signed.bytes, by: self.enrolment.identity) else { throw .wrongSignature }
    }
}
