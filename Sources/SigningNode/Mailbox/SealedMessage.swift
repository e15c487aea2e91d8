internal import Bitcoin
public import CryptoPrimitives

/// Why bytes from a mailbox are no message for us.
public enum SealedMessageError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLarge(byteCount: Int, limit: Int)
    /// It was sealed for another, or altered since.
    case forAnotherOrDamaged
    /// A newer program wrote it, or something else.
    case unknownFormat
    /// It was sealed for us, and what is in it is no message. Who sealed it is not known.
    case malformed(String)
    /// Whoever it names as its sender did not sign this for us.
    case wrongSignature
    /// There was no guarded memory to work with: later there may be.
    case secretMemory(SecretMemoryError)

    public var description: String {
        switch self {
        case .tooLarge(let byteCount, let limit): "a message of \(byteCount) bytes is above the limit of \(limit)"
        case .forAnotherOrDamaged: "it was sealed for another identity, or altered on its way"
        case .unknownFormat: "it is of a form that this program does not know"
        case .malformed(let what): "what was sealed is no message: \(what)"
        case .wrongSignature: "its signature is not that of the sender whom it names, or it was signed for another recipient"
        case .secretMemory(let error): "\(error)"
        }
    }
}

/// What one member leaves for another in a mailbox: signed by its sender for this recipient, then sealed, so that who keeps it learns neither
/// what it says nor who says it.
///
///     version 1 | sender 32 | signature 64 | count 4 | payload | zeros up to one of a few sizes                         inside the box
///     version 2 | sender 32 | signature 64 | digest 32 | place 1 | parts 1 | count 4 | part of a message | zeros …
///
/// The signature is over the tagged hash `chorale/mailbox-message` of (version, recipient 32, what stands behind the signature but for the
/// count and the zeros). So whoever opens it knows the sender as surely as at the end of a channel, and cannot pass it on to a third one as if
/// it were meant for that. A message that is longer than a box goes in parts, each of which is left, kept and acknowledged by itself.
public struct SealedMessage: Hashable, Sendable {
    /// Which part of a message that is longer than a box.
    public struct Part: Hashable, Sendable {
        /// SHA-256 of the whole message.
        public let digest: Bytes32
        /// From 0.
        public let index: Int
        /// How many there are, 2 to `countMax`.
        public let count: Int

        /// Most parts of a message: together they are less than what a mailbox keeps from one source for one recipient.
        public static let countMax = 7

        /// - Returns: `nil` for a place that is none of these parts, and for counts that no message has.
        public init?(digest: Bytes32, index: Int, count: Int) {
            guard (2...Self.countMax).contains(count), (0..<count).contains(index) else { return nil }
            (self.digest, self.index, self.count) = (digest, index, count)
        }
    }

    public let sender: Ed25519.PublicKey
    /// A message, or the part of one.
    public let payload: [UInt8]
    /// `nil` for a whole message.
    public let part: Part?

    /// Longest payload in bytes: a control message.
    public static let payloadByteCountMax = 100 << 10
    /// Longest message in bytes, in parts.
    public static let messageByteCountMax = Part.countMax * Self.payloadByteCountMax

    /// The lengths of sealed messages, in bytes; each four times the one before, so that a length says little.
    public static let sealedByteCounts = [512, 2 << 10, 8 << 10, 32 << 10, 101 << 10]
    /// Longest sealed message in bytes.
    public static let sealedByteCountMax = 101 << 10

    private static let wholeVersion: UInt8 = 1
    private static let partVersion: UInt8 = 2
    private static let headByteCount = 1 + Ed25519.PublicKey.byteCount + Ed25519.Signature.byteCount + 4
    private static let partByteCount = 32 + 1 + 1
    private static let tag = SHA256.tagged("chorale/mailbox-message")

    /// Signs and seals a message, whole if it fits into a box, else in as few parts as it takes.
    ///
    /// - Parameter ephemeral: A fresh key for each box.
    /// - Throws: `tooLarge` for a message of over 700 KiB; `secretMemory`.
    public static func sealAll(
        of message: [UInt8], from sender: borrowing Ed25519.SecretKey, to recipient: Ed25519.PublicKey,
        ephemeral: () throws(SecretMemoryError) -> X25519.SecretKey
    ) throws(SealedMessageError) -> [[UInt8]] {
        guard message.count <= Self.messageByteCountMax else {
            throw .tooLarge(byteCount: message.count, limit: Self.messageByteCountMax)
        }
        func key() throws(SealedMessageError) -> X25519.SecretKey {
            do throws(SecretMemoryError) { return try ephemeral() } catch { throw .secretMemory(error) }
        }
        guard message.count > Self.payloadByteCountMax else {
            return [try Self.seal(message, from: sender, to: recipient, ephemeral: key())]
        }
        let digest = SHA256.hash(message)
        let starts = Array(stride(from: 0, to: message.count, by: Self.payloadByteCountMax))
        var boxes: [[UInt8]] = []
        for (index, start) in starts.enumerated() {
            let piece = Array(message[start..<min(start + Self.payloadByteCountMax, message.count)])
            let part = Part(digest: digest, index: index, count: starts.count)
            boxes.append(try Self.seal(piece, part: part, from: sender, to: recipient, ephemeral: key()))
        }
        return boxes
    }

    /// Signs and seals.
    ///
    /// - Parameters:
    ///   - part: Of which message the payload is a part; `nil` for a whole one.
    ///   - ephemeral: Fresh, for this box alone.
    /// - Throws: `tooLarge` for a payload of over 100 KiB; `secretMemory`.
    public static func seal(
        _ payload: [UInt8], part: Part? = nil, from sender: borrowing Ed25519.SecretKey, to recipient: Ed25519.PublicKey,
        ephemeral: consuming X25519.SecretKey
    ) throws(SealedMessageError) -> [UInt8] {
        let plain = try Self.plaintext(payload, part: part, from: sender, to: recipient)
        do throws(SecretMemoryError) {
            return try SealedBox.seal(plain, to: recipient, ephemeral: ephemeral)
        } catch {
            throw .secretMemory(error)
        }
    }

    /// What `seal` puts into the box.
    public static func plaintext(
        _ payload: [UInt8], part: Part? = nil, from sender: borrowing Ed25519.SecretKey, to recipient: Ed25519.PublicKey
    ) throws(SealedMessageError) -> [UInt8] {
        guard payload.count <= Self.payloadByteCountMax else {
            throw .tooLarge(byteCount: payload.count, limit: Self.payloadByteCountMax)
        }
        let least = Self.headByteCount + (part == nil ? 0 : Self.partByteCount) + payload.count
        let count = (Self.sealedByteCounts.first { $0 - SealedBox.overheadByteCount >= least } ?? Self.sealedByteCountMax)
        var writer = ByteWriter(capacity: count)
        writer.writeUInt8(part == nil ? Self.wholeVersion : Self.partVersion)
        writer.write(sender.publicKey.bytes)
        writer.write(sender.sign(Self.signed(payload, part, to: recipient)).bytes)
        if let part { writer.write(part.bytes) }
        writer.writeUInt32(UInt32(truncatingIfNeeded: payload.count))
        writer.write(payload)
        writer.write(repeatElement(0, count: count - SealedBox.overheadByteCount - least))
        return writer.bytes
    }

    /// Opens a message, and verifies its signature.
    public init(opening sealed: [UInt8], with identity: borrowing Ed25519.SecretKey) throws(SealedMessageError) {
        guard sealed.count <= Self.sealedByteCountMax else {
            throw .tooLarge(byteCount: sealed.count, limit: Self.sealedByteCountMax)
        }
        let plain: [UInt8]
        do throws(SealedBoxError) {
            plain = try SealedBox.open(sealed, with: identity)
        } catch {
            switch error {
            case .wrongByteCount, .forAnotherOrDamaged: throw .forAnotherOrDamaged
            case .secretMemory(let error): throw .secretMemory(error)
            }
        }
        try self.init(parsing: plain, for: identity.publicKey)
    }

    /// Reads what was in a box for the recipient, and verifies its signature.
    ///
    /// Padding of other sizes than ours is taken, but nothing other than zeros: one message has one form.
    public init(parsing plain: [UInt8], for recipient: Ed25519.PublicKey) throws(SealedMessageError) {
        guard plain.count <= Self.sealedByteCountMax else { throw .tooLarge(byteCount: plain.count, limit: Self.sealedByteCountMax) }
        do {
            var reader = ByteReader(plain)
            let version = try reader.readUInt8("format version")
            guard [Self.wholeVersion, Self.partVersion].contains(version) else { throw SealedMessageError.unknownFormat }
            let sender = try Ed25519.PublicKey(parsing: reader.readBytes(Ed25519.PublicKey.byteCount, "sender"))
            let signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            let part = version == Self.partVersion ? try Part(reading: &reader) : nil
            let count = try reader.readUInt32("length")
            guard count <= Self.payloadByteCountMax else {
                throw SealedMessageError.tooLarge(byteCount: Int(clamping: count), limit: Self.payloadByteCountMax)
            }
            let payload = try reader.readBytes(Int(count), "payload")
            guard reader.readRemaining().allSatisfy({ $0 == 0 }) else { throw SealedMessageError.malformed("bytes behind the payload") }
            guard signature.isValid(for: Self.signed(payload, part, to: recipient), by: sender) else {
                throw SealedMessageError.wrongSignature
            }
            (self.sender, self.payload, self.part) = (sender, payload, part)
        } catch let error as SealedMessageError { throw error } catch { throw .malformed("\(error)") }
    }

    private static func signed(_ payload: [UInt8], _ part: Part?, to recipient: Ed25519.PublicKey) -> [UInt8] {
        var hash = Self.tag
        hash.update(part == nil ? Self.wholeVersion : Self.partVersion)
        hash.update(recipient.bytes)
        if let part { hash.update(part.bytes) }
        hash.update(payload)
        return hash.finalize().bytes
    }
}

extension SealedMessage.Part {
    fileprivate var bytes: [UInt8] { self.digest.bytes + [UInt8(truncatingIfNeeded: self.index), UInt8(truncatingIfNeeded: self.count)] }

    fileprivate init(reading reader: inout ByteReader) throws {
        let digest = try reader.readBytes32("digest of the whole")
        let (index, count) = (try reader.readUInt8("place of the part"), try reader.readUInt8("count of parts"))
        guard let part = Self(digest: digest, index: Int(index), count: Int(count)) else {
            throw SealedMessageError.malformed("part \(index) of \(count)")
        }
        self = part
    }
}
