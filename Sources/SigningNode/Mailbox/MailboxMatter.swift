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

    /// What a message of `Coordination` is about: its number, for what is told again until it is acknowledged, since nothing but
    /// acknowledgements differs then; and for all that has no number one matter, the newest of which says how things stand.
    ///
    /// - Returns: `nil` for bytes that are no such message.
    public init?(of message: [UInt8]) {
        guard let head = try? CoordinationMessage.Head(parsing: message) else { return nil }
        let isNumbered = head.sequence != 0
        let number = isNumbered ? head.sequence : UInt64(head.kind ?? 0)
        let epoch = isNumbered ? head.series.epoch : 0
        self.request = head.request
        self.name =
            (isNumbered ? head.series.incarnation : []) + withUnsafeBytes(of: epoch.littleEndian) { Array($0) }
            + withUnsafeBytes(of: number.littleEndian) { Array($0) }
        self.isSettled = isNumbered
    }
}
