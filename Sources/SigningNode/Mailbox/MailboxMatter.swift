internal import Bitcoin
public import CryptoPrimitives
internal import Signing

/// What a message for an absent member is about: a newer word on a matter takes the place of an older one, so that a month's absence leaves
/// no more behind than there are matters.
public struct MailboxMatter: Hashable, Sendable {
    public let request: Bytes32
    /// What tells it from the request's other matters.
    public let name: [UInt8]
    /// Whether what is said of it never changes: told again it is the same word, however its bytes differ.
    public let isSettled: Bool

    public init(request: Bytes32, name: [UInt8], isSettled: Bool) {
        self.request = request
        self.name = name
        self.isSettled = isSettled
    }

    /// What a message of `Coordination` is about: its number, for what is told again until it is acknowledged; and for what has no number its
    /// kind, the newest of which says how things stand. Acknowledgements are said once, and whatever message they go with is theirs as well:
    /// if it were taken for one that was told before, they would be lost.
    ///
    /// - Returns: `nil` for bytes that are no such message.
    public init?(of message: [UInt8]) {
        guard let head = try? CoordinationMessage.Head(parsing: message), let kind = head.kind else { return nil }
        let isNumbered = head.sequence != 0
        var writer = ByteWriter()
        if isNumbered {
            writer.write(head.series.incarnation)
            writer.writeUInt32(head.series.epoch)
            writer.writeUInt64(head.sequence)
        } else {
            writer.writeUInt8(kind)
        }
        if let acknowledged = head.acknowledged {
            writer.write(acknowledged.series.incarnation)
            writer.writeUInt32(acknowledged.series.epoch)
            for sequence in acknowledged.sequences { writer.writeUInt64(sequence) }
        }
        self.request = head.request
        self.name = SHA256.hash(writer.bytes).bytes
        self.isSettled = isNumbered || head.acknowledged != nil
    }
}
