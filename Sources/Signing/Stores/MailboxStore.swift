public import CryptoPrimitives

/// A sealed message that waits for its recipient. Whoever keeps it cannot read it.
public struct MailboxMessage: Hashable, Sendable {
    /// Its place among all that this store ever took; a recipient asks for what came behind one.
    public let cursor: UInt64
    public let bytes: [UInt8]
    /// Seconds since 1970.
    public let received: UInt64
    /// Seconds since 1970.
    public let expiry: UInt64

    package init(cursor: UInt64, bytes: [UInt8], received: UInt64, expiry: UInt64) {
        self.cursor = cursor
        self.bytes = bytes
        self.received = received
        self.expiry = expiry
    }
}

/// Messages for those who are not connected.
public protocol MailboxStore: Sendable {
    /// Keeps a message durably; gives its cursor. One that waits already for the same recipient changes nothing.
    ///
    /// - Parameter source: Who the message counts for: the peer or household that brought it.
    /// - Throws: `full` by the bound that is reached; `tooLarge`; `stale` for one whose time is over.
    func deposit(
        _ bytes: [UInt8], for recipient: Ed25519.PublicKey, from source: String, expiry: UInt64, at now: UInt64
    ) async throws(StoreError) -> UInt64

    /// What waits for the recipient behind the cursor and is in time, in order; at most so many and, but for the first, so many bytes.
    func messages(
        for recipient: Ed25519.PublicKey, after cursor: UInt64, countMax: Int, byteCountMax: Int, at now: UInt64
    ) async throws(StoreError) -> [MailboxMessage]

    /// Removes what the recipient has; cursors of others' messages and of none change nothing. After a power cut some may be there again.
    func acknowledge(_ cursors: [UInt64], by recipient: Ed25519.PublicKey) async throws(StoreError)

    /// Removes messages whose time is over, at most so many; gives how many.
    func removeExpired(at now: UInt64, countMax: Int) async throws(StoreError) -> Int
}

/// How much a mailbox keeps. The defaults are Chorale's own.
public struct MailboxBounds: Hashable, Sendable {
    /// Bytes of one message: a control message, sealed.
    public var messageByteCountMax = 101 << 10
    /// Messages, and their bytes, for one recipient.
    public var countPerRecipientMax = 1_000
    public var byteCountPerRecipientMax = 8 << 20
    /// Of them, from one source: so one stranger does not fill another's box.
    public var countPerRecipientAndSourceMax = 128
    public var byteCountPerRecipientAndSourceMax = 1 << 20
    /// From one source.
    public var countPerSourceMax = 1_000
    public var byteCountPerSourceMax = 8 << 20
    /// In all.
    public var countMax = 50_000
    public var byteCountMax = 128 << 20
    /// How long a message may wait, in seconds: 30 days, as a request may last.
    public var secondsMax: UInt64 = 30 * 86_400
    /// Bytes of a source's name, in UTF-8.
    public static let sourceByteCountMax = 64

    public init() {}
}
