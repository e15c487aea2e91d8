internal import Bitcoin
public import CryptoPrimitives
public import LibP2P

/// How peers ask a mailbox: one stream for each request, with the request as its only frame and the answer as the only one back.
///
/// Who asks is proved by the connection, so a request to fetch or to acknowledge names nobody: it is about the asking peer's own messages.
public enum MailboxProtocol {
    public static let id = "/chorale/mailbox/1.0.0"

    /// Most messages in one page.
    public static let pageCountMax = 64
    /// Most bytes of the messages in one page: two of the longest and some, so that a node that serves hundreds at once stays small.
    public static let pageByteCountMax = 256 << 10
    /// Most messages that one request acknowledges.
    public static let acknowledgedCountMax = 256

    /// Longest request: a deposit with its head.
    public static let requestByteCountMax = SealedMessage.sealedByteCountMax + 64
    /// Longest answer: a page, with a cursor and a length for each message.
    public static let answerByteCountMax = Self.pageByteCountMax + Self.pageCountMax * (8 + 5) + 16

    public static var configuration: RequestResponse.Configuration {
        var configuration = RequestResponse.Configuration(
            protocolIDs: [Self.id], requestByteCountMax: Self.requestByteCountMax, answerByteCountMax: Self.answerByteCountMax)
        configuration.timeout = .seconds(30)
        // A mailbox that can only be reached through a relay serves all the same.
        configuration.usesLimitedConnections = true
        return configuration
    }
}

/// Why bytes are no request to a mailbox, or no answer of one.
public enum MailboxFormatError: Error, Equatable, Sendable, CustomStringConvertible {
    case tooLarge(byteCount: Int, limit: Int)
    /// Of a version or a kind that this program does not know.
    case unknownFormat
    case malformed(String)

    public var description: String {
        switch self {
        case .tooLarge(let byteCount, let limit): "\(byteCount) bytes are above the limit of \(limit)"
        case .unknownFormat: "it is of a form that this program does not know"
        case .malformed(let what): what
        }
    }
}

/// What a peer asks of a mailbox.
///
///     version 1 | kind 1 | content
public enum MailboxRequest: Hashable, Sendable {
    /// Keep this for whoever has the identity. Its 32 bytes are compared with those that are known, so they need not be looked at as a point.
    ///
    /// - Parameter expiry: Seconds since 1970.
    case deposit(recipient: Bytes32, expiry: UInt64, sealed: [UInt8])
    /// What waits for the asking peer behind the cursor: so many messages at most and, but for the first, so many bytes.
    case fetch(after: UInt64, countMax: UInt16, byteCountMax: UInt32)
    /// The asking peer has these. Rising.
    case acknowledge([UInt64])
    /// The other way round: a mailbox tells a connected peer that something has come for it. What that is, is fetched.
    case notice
}

/// What a mailbox answers.
///
///     version 1 | kind 1 | content
public enum MailboxAnswer: Hashable, Sendable {
    /// It is durable, under this cursor.
    case deposited(UInt64)
    /// A page, in the order of cursors.
    ///
    /// - Parameter more: Whether there may be more behind it.
    case messages([Message], more: Bool)
    case acknowledged
    case refused(MailboxRefusal)

    public struct Message: Hashable, Sendable {
        public let cursor: UInt64
        public let sealed: [UInt8]

        public init(cursor: UInt64, sealed: [UInt8]) {
            self.cursor = cursor
            self.sealed = sealed
        }
    }
}

/// Why a mailbox does not do what it is asked.
public enum MailboxRefusal: UInt8, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// The asking peer, or its household, has as much here as it may have.
    case fullForSource = 1
    case fullForRecipient = 2
    /// The mailbox has no room for anybody.
    case full = 3
    /// The mailbox keeps nothing for this identity.
    case unknownRecipient = 4
    /// The asking peer, or its household, asks too often.
    case tooOften = 5
    /// The bytes were no request. It counts against the connection that brought them.
    case malformed = 6
    /// The asking peer is not listened to for a while.
    case blocked = 7
    /// The message is longer than this mailbox takes.
    case tooLarge = 8
    /// The message's time is over.
    case expired = 9
    /// The mailbox has trouble of its own.
    case unavailable = 10

    public var description: String {
        switch self {
        case .fullForSource: "it has as much from us as it takes from one"
        case .fullForRecipient: "it has as much for this recipient as it keeps for one"
        case .full: "it is full"
        case .unknownRecipient: "it keeps nothing for this recipient: its owner has to know them first"
        case .tooOften: "we asked too often"
        case .malformed: "it could not read what we asked"
        case .blocked: "it does not listen to us for a while"
        case .tooLarge: "the message is longer than it takes"
        case .expired: "the message's time is over, by its clock"
        case .unavailable: "it has trouble of its own"
        }
    }
}

// MARK: - Encoding

private let formatVersion: UInt8 = 1

/// Reads version and kind, then what `body` reads, to the end.
private func read<Value>(
    _ bytes: [UInt8], byteCountMax: Int, _ body: (UInt8, inout ByteReader) throws -> Value
) throws(MailboxFormatError) -> Value {
    guard bytes.count <= byteCountMax else { throw .tooLarge(byteCount: bytes.count, limit: byteCountMax) }
    do {
        var reader = ByteReader(bytes)
        guard try reader.readUInt8("format version") == formatVersion else { throw MailboxFormatError.unknownFormat }
        let value = try body(reader.readUInt8("kind"), &reader)
        try reader.finish()
        return value
    } catch let error as MailboxFormatError { throw error } catch { throw .malformed("\(error)") }
}

/// Sealed bytes with their length.
private func readSealed(_ reader: inout ByteReader) throws -> [UInt8] {
    let sealed = try reader.readVariableSlice("sealed message")
    guard sealed.count <= SealedMessage.sealedByteCountMax else {
        throw MailboxFormatError.tooLarge(byteCount: sealed.count, limit: SealedMessage.sealedByteCountMax)
    }
    return Array(sealed)
}

extension MailboxRequest {
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(formatVersion)
        switch self {
        case .deposit(let recipient, let expiry, let sealed):
            writer.writeUInt8(1)
            writer.write(recipient)
            writer.writeUInt64(expiry)
            writer.writeVariableBytes(sealed)
        case .fetch(let after, let countMax, let byteCountMax):
            writer.writeUInt8(2)
            writer.writeUInt64(after)
            writer.writeUInt16(countMax)
            writer.writeUInt32(byteCountMax)
        case .acknowledge(let cursors):
            writer.writeUInt8(3)
            writer.writeCompactSize(cursors.count)
            for cursor in cursors { writer.writeUInt64(cursor) }
        case .notice: writer.writeUInt8(4)
        }
        return writer.bytes
    }

    public init(parsing bytes: [UInt8]) throws(MailboxFormatError) {
        self = try read(bytes, byteCountMax: MailboxProtocol.requestByteCountMax) { kind, reader in
            switch kind {
            case 1:
                let recipient = try reader.readBytes32("recipient")
                return .deposit(recipient: recipient, expiry: try reader.readUInt64("expiry"), sealed: try readSealed(&reader))
            case 2:
                let after = try reader.readUInt64("cursor")
                return .fetch(after: after, countMax: try reader.readUInt16("count"), byteCountMax: try reader.readUInt32("bytes"))
            case 3:
                let count = try reader.readCount("cursors", minimumByteCount: 8)
                guard count <= MailboxProtocol.acknowledgedCountMax else { throw MailboxFormatError.malformed("\(count) cursors") }
                let cursors = try (0..<count).map { _ in try reader.readUInt64("cursor") }
                guard isRising(cursors) else { throw MailboxFormatError.malformed("cursors out of order") }
                return .acknowledge(cursors)
            case 4: return .notice
            default: throw MailboxFormatError.unknownFormat
            }
        }
    }
}

extension MailboxAnswer {
    public func serialized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeUInt8(formatVersion)
        switch self {
        case .deposited(let cursor):
            writer.writeUInt8(1)
            writer.writeUInt64(cursor)
        case .messages(let messages, let more):
            writer.writeUInt8(2)
            writer.writeUInt8(more ? 1 : 0)
            writer.writeCompactSize(messages.count)
            for message in messages {
                writer.writeUInt64(message.cursor)
                writer.writeVariableBytes(message.sealed)
            }
        case .acknowledged: writer.writeUInt8(3)
        case .refused(let refusal):
            writer.writeUInt8(4)
            writer.writeUInt8(refusal.rawValue)
        }
        return writer.bytes
    }

    public init(parsing bytes: [UInt8]) throws(MailboxFormatError) {
        self = try read(bytes, byteCountMax: MailboxProtocol.answerByteCountMax) { kind, reader in
            switch kind {
            case 1: return .deposited(try reader.readUInt64("cursor"))
            case 2:
                let flags = try reader.readUInt8("flags")
                guard flags < 2 else { throw MailboxFormatError.unknownFormat }
                let count = try reader.readCount("messages", minimumByteCount: 8 + 1)
                guard count <= MailboxProtocol.pageCountMax else { throw MailboxFormatError.malformed("\(count) messages") }
                let messages = try (0..<count).map { _ in
                    try Message(cursor: reader.readUInt64("cursor"), sealed: readSealed(&reader))
                }
                guard isRising(messages.map(\.cursor)) else { throw MailboxFormatError.malformed("cursors out of order") }
                return .messages(messages, more: flags == 1)
            case 3: return .acknowledged
            case 4:
                guard let refusal = MailboxRefusal(rawValue: try reader.readUInt8("reason")) else { throw MailboxFormatError.unknownFormat }
                return .refused(refusal)
            default: throw MailboxFormatError.unknownFormat
            }
        }
    }
}

/// One list has one encoding, and nothing stands in it twice.
private func isRising(_ cursors: [UInt64]) -> Bool { zip(cursors, cursors.dropFirst()).allSatisfy { $0 < $1 } }
