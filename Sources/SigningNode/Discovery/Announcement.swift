internal import Bitcoin
public import CryptoPrimitives
public import LibP2P

/// Why bytes are no announcement.
public enum AnnouncementError: Error, Equatable, Sendable, CustomStringConvertible {
    case wrongByteCount(Int)
    /// A newer program wrote it: nobody is at fault.
    case unknownFormat
    case malformed(String)
    case wrongSignature
    /// Sealed, and not for this identity.
    case forOthers
    /// There was no guarded memory to work with: later there may be.
    case secretMemory(SecretMemoryError)

    public var description: String {
        switch self {
        case .wrongByteCount(let count): "\(count) bytes are no announcement"
        case .unknownFormat: "written by another version of Chorale: update this one"
        case .malformed(let what): "no announcement: \(what)"
        case .wrongSignature: "it is not signed by the identity that it names"
        case .forOthers: "it is sealed for others"
        case .secretMemory(let error): "\(error)"
        }
    }
}

/// "A request waits, and here is where to ask for it": what a member tells the network when it does not know where another one is.
///
/// It proves nothing but that its identity said so; the request itself is asked for over a channel, and judged there.
public struct Announcement: Hashable, Sendable {
    /// T0.
    public let request: Bytes32
    /// When the request is over, in seconds since 1970.
    public let requestExpiry: UInt64
    /// Of the member that announces, which need not be the one that proposed.
    public let identity: Ed25519.PublicKey
    /// Where its node says that it is.
    public let addresses: [Multiaddr]

    public init(of request: Bytes32, requestExpiry: UInt64, by identity: Ed25519.PublicKey, at addresses: [Multiaddr]) {
        self.request = request
        self.requestExpiry = requestExpiry
        self.identity = identity
        self.addresses = GroupAddresses.kept(addresses)
    }
}

/// An announcement as it crosses the network, for its readers only: nobody else sees a key, a request, an amount or how many they are.
///
///     version 1 | form 1 (1) | expiry 8 | envelope, always of one length
///
/// In the envelope, filled up with zeros: identity 32, signature 64, request 32, the request's expiry 8, addresses. The signature is of the
/// tagged hash `chorale/announcement` of version, form, expiry, the envelope's ephemeral key and what stands behind it: so no reader can
/// put it into an envelope for others.
public struct SealedAnnouncement: Hashable, Sendable {
    /// Seconds since 1970 after which nobody passes it on.
    public let expiry: UInt64
    let bytes: [UInt8]

    /// Longest life in seconds: 5 minutes. Source: the described systems' default.
    public static let lifeMax: UInt64 = 300
    /// Most readers. More are told by several announcements.
    public static let readerCountMax = AnonymousEnvelope.readerCountMax

    private static let contentByteCount = 832
    private static let headByteCount = 10
    /// Bytes of every sealed announcement, whatever is in it.
    public static let byteCount = Self.headByteCount + AnonymousEnvelope.byteCount(ofContent: Self.contentByteCount)

    static let formatVersion: UInt8 = 1
    static let form: UInt8 = 1
    private static let tag = SHA256.tagged("chorale/announcement")

    /// Signs and seals.
    ///
    /// - Parameters:
    ///   - readers: 1 to 16 identities, each once.
    ///   - identity: the announcement's.
    ///   - ephemeral: fresh, for this announcement alone.
    ///   - fill: overwrites a buffer with fresh random bytes.
    public init(
        _ announcement: Announcement, for readers: [Ed25519.PublicKey], expiry: UInt64, identity: borrowing Ed25519.SecretKey,
        ephemeral: consuming X25519.SecretKey, fill: (UnsafeMutableRawBufferPointer) -> Void
    ) throws(AnonymousEnvelopeError) {
        precondition(identity.publicKey == announcement.identity, "who announces signs it")
        let head = Self.head(expiry)
        var writer = ByteWriter(capacity: Self.contentByteCount)
        writer.write(announcement.request.bytes)
        writer.writeUInt64(announcement.requestExpiry)
        GroupAddresses.write(announcement.addresses, to: &writer)
        let signed = writer.bytes
        let signature = identity.sign(Self.digest(head, ephemeral.publicKey.bytes.bytes, signed).bytes)
        let content = announcement.identity.bytes + signature.bytes + signed
        precondition(content.count <= Self.contentByteCount, "addresses are bounded so that they fit")
        let padded = content + [UInt8](repeating: 0, count: Self.contentByteCount - content.count)
        self.expiry = expiry
        self.bytes = try head + AnonymousEnvelope.seal(padded, for: readers, beside: head, ephemeral: ephemeral, fill: fill)
    }

    private static func head(_ expiry: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(Self.formatVersion)
        writer.writeUInt8(Self.form)
        writer.writeUInt64(expiry)
        return writer.bytes
    }

    private static func digest(_ head: [UInt8], _ ephemeral: [UInt8], _ signed: [UInt8]) -> Bytes32 {
        var hash = Self.tag
        hash.update(head)
        hash.update(ephemeral)
        hash.update(signed)
        return hash.finalize()
    }

    public func serialized() -> [UInt8] { self.bytes }

    /// Reads what anybody can: that it has the form of one, and until when it is to be passed on.
    public init(parsing bytes: [UInt8]) throws(AnnouncementError) {
        do {
            var reader = ByteReader(bytes)
            guard try reader.readUInt8("format version") == Self.formatVersion, try reader.readUInt8("form") == Self.form else {
                throw AnnouncementError.unknownFormat
            }
            guard bytes.count == Self.byteCount else { throw AnnouncementError.wrongByteCount(bytes.count) }
            self.expiry = try reader.readUInt64("expiry")
        } catch let error as AnnouncementError { throw error } catch { throw .malformed("\(error)") }
        self.bytes = bytes
    }

    /// Opens it for one of its readers, and verifies who says it.
    public func open(with identity: borrowing Ed25519.SecretKey) throws(AnnouncementError) -> Announcement {
        let (head, envelope) = (Array(self.bytes[..<Self.headByteCount]), Array(self.bytes[Self.headByteCount...]))
        let content: [UInt8]
        do throws(AnonymousEnvelopeError) { content = try AnonymousEnvelope.open(envelope, beside: head, with: identity) } catch {
            switch error {
            case .wrongByteCount, .forOthersOrDamaged: throw .forOthers
            case .secretMemory(let error): throw .secretMemory(error)
            // Of sealing only.
            case .wrongReaders: throw .malformed("\(error)")
            }
        }
        do {
            var reader = ByteReader(content)
            let author = try Ed25519.PublicKey(parsing: reader.readBytes(Ed25519.PublicKey.byteCount, "identity"))
            let signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            let start = reader.offset
            let request = try reader.readBytes32("request")
            let requestExpiry = try reader.readUInt64("the request's expiry")
            let addresses = try GroupAddresses.read(&reader)
            let signed = Array(content[start..<reader.offset])
            guard reader.readRemaining().allSatisfy({ $0 == 0 }) else { throw AnnouncementError.malformed("bytes behind its content") }
            let digest = Self.digest(head, Array(envelope[..<X25519.byteCount]), signed)
            guard signature.isValid(for: digest.bytes, by: author) else { throw AnnouncementError.wrongSignature }
            return Announcement(of: request, requestExpiry: requestExpiry, by: author, at: addresses)
        } catch let error as AnnouncementError { throw error } catch { throw .malformed("\(error)") }
    }
}
