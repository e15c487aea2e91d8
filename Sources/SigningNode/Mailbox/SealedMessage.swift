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
///     version 1 | sender 32 | signature 64 | count 4 | payload | zeros up to one of a few sizes        inside the box
///
/// The signature is over the tagged hash `chorale/mailbox-message` of (version 1, recipient 32, payload). So whoever opens it knows the sender as
/// surely as at the end of a channel, and cannot pass it on to a third one as if it were meant for that.
public struct SealedMessage: Hashable, Sendable {
    public let sender: Ed25519.PublicKey
    public let payload: [UInt8]

    /// Longest payload in bytes: a control message.
    public static let payloadByteCountMax = 100 << 10

    /// The lengths of sealed messages, in bytes; each four times the one before, so that a length says little.
    public static let sealedByteCounts = [512, 2 << 10, 8 << 10, 32 << 10, 101 << 10]
    /// Longest sealed message in bytes.
    public static let sealedByteCountMax = 101 << 10

    private static let formatVersion: UInt8 = 1
    private static let headByteCount = 1 + Ed25519.PublicKey.byteCount + Ed25519.Signature.byteCount + 4
    private static let tag = SHA256.tagged("chorale/mailbox-message")

    /// Signs and seals.
    ///
    /// - Parameter ephemeral: Fresh, for this message alone.
    /// - Throws: `tooLarge` for a payload of over 100 KiB; `secretMemory`.
    public static func seal(
        _ payload: [UInt8], from sender: borrowing Ed25519.SecretKey, to recipient: Ed25519.PublicKey,
        ephemeral: consuming X25519.SecretKey
    ) throws(SealedMessageError) -> [UInt8] {
        let plain = try Self.plaintext(payload, from: sender, to: recipient)
        do throws(SecretMemoryError) {
            return try SealedBox.seal(plain, to: recipient, ephemeral: ephemeral)
        } catch {
            throw .secretMemory(error)
        }
    }

    /// What `seal` puts into the box.
    public static func plaintext(
        _ payload: [UInt8], from sender: borrowing Ed25519.SecretKey, to recipient: Ed25519.PublicKey
    ) throws(SealedMessageError) -> [UInt8] {
        guard payload.count <= Self.payloadByteCountMax else {
            throw .tooLarge(byteCount: payload.count, limit: Self.payloadByteCountMax)
        }
        let least = Self.headByteCount + payload.count
        let count = (Self.sealedByteCounts.first { $0 - SealedBox.overheadByteCount >= least } ?? Self.sealedByteCountMax)
        var writer = ByteWriter(capacity: count)
        writer.writeUInt8(Self.formatVersion)
        writer.write(sender.publicKey.bytes)
        writer.write(sender.sign(Self.signed(payload, to: recipient)).bytes)
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
            guard try reader.readUInt8("format version") == Self.formatVersion else { throw SealedMessageError.unknownFormat }
            let sender = try Ed25519.PublicKey(parsing: reader.readBytes(Ed25519.PublicKey.byteCount, "sender"))
            let signature = try Ed25519.Signature(parsing: reader.readBytes(Ed25519.Signature.byteCount, "signature"))
            let count = try reader.readUInt32("length")
            guard count <= Self.payloadByteCountMax else {
                throw SealedMessageError.tooLarge(byteCount: Int(clamping: count), limit: Self.payloadByteCountMax)
            }
            let payload = try reader.readBytes(Int(count), "payload")
            guard reader.readRemaining().allSatisfy({ $0 == 0 }) else { throw SealedMessageError.malformed("bytes behind the payload") }
            guard signature.isValid(for: Self.signed(payload, to: recipient), by: sender) else { throw SealedMessageError.wrongSignature }
            self.sender = sender
            self.payload = payload
        } catch let error as SealedMessageError { throw error } catch { throw .malformed("\(error)") }
    }

    private static func signed(_ payload: [UInt8], to recipient: Ed25519.PublicKey) -> [UInt8] {
        var hash = Self.tag
        hash.update(Self.formatVersion)
        hash.update(recipient.bytes)
        hash.update(payload)
        return hash.finalize().bytes
    }
}
