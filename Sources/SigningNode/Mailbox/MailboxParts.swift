internal import CryptoPrimitives
internal import LibP2P

/// Where sealed messages lie: by the digest of each, its cursor at each mailbox that has it.
typealias MailboxPlaces = [Bytes32: [PeerID: UInt64]]

/// The parts of messages that are longer than a box, until all of one have come.
///
/// A part proves its sender and says to what it belongs. So nobody can add one to another's message, and a sender who signs parts that do
/// not make up what they say hurts nobody: they are dropped once they are all there, or once they have waited too long.
struct MailboxParts: Sendable {
    /// What a part made of its message.
    enum Outcome: Equatable, Sendable {
        /// Others are missing.
        case incomplete
        /// All are there.
        case whole([UInt8], MailboxPlaces)
        /// All are there, and they are not what they say.
        case broken
    }

    private struct Key: Hashable, Sendable {
        let sender: Ed25519.PublicKey
        let digest: Bytes32
        let count: Int
    }

    private struct Message: Sendable {
        /// No two have the same.
        let number: UInt64
        let until: Duration
        var pieces: [Int: [UInt8]] = [:]
        var places: MailboxPlaces = [:]

        var byteCount: Int { self.pieces.values.reduce(0) { $0 + $1.count } }
    }

    private var messages: [Key: Message] = [:]
    /// To which message what lies in a mailbox belongs.
    private var owners: [Bytes32: Key] = [:]
    /// Where parts lie that were dropped since the last `takeDropped`.
    private var dropped: MailboxPlaces = [:]

    /// Parts that are here, and their bytes.
    var count: Int { self.messages.values.reduce(0) { $0 + $1.places.count } }
    var byteCount: Int { self.messages.values.reduce(0) { $0 + $1.byteCount } }

    /// A sealed message that lies at one more mailbox.
    ///
    /// - Returns: whether it is one of the parts that are here.
    mutating func note(_ digest: Bytes32, at peer: PeerID, _ cursor: UInt64) -> Bool {
        if let owner = self.owners[digest] {
            self.messages[owner]?.places[digest, default: [:]][peer] = cursor
            return true
        }
        guard self.dropped[digest] != nil else { return false }
        self.dropped[digest]?[peer] = cursor
        return true
    }

    /// Takes a part that was opened.
    ///
    /// - Parameters:
    ///   - number: for a message of which this is the first part; no two have the same.
    ///   - digest: of the sealed part.
    ///   - until: how long a message of which this is the first part may wait for the rest.
    mutating func take(
        _ part: SealedMessage.Part, _ bytes: [UInt8], from sender: Ed25519.PublicKey, number: UInt64, digest: Bytes32, at peer: PeerID,
        _ cursor: UInt64, until: Duration
    ) -> Outcome {
        let key = Key(sender: sender, digest: part.digest, count: part.count)
        var message = self.messages[key] ?? Message(number: number, until: until)
        // One that was sealed anew is the same part. If the bytes differ one of them is false, and which shows at the end.
        message.pieces[part.index] = bytes
        message.places[digest] = [peer: cursor]
        self.owners[digest] = key
        self.messages[key] = message
        guard message.pieces.count == part.count else { return .incomplete }
        self.remove(key)
        let whole = (0..<part.count).flatMap { message.pieces[$0] ?? [] }
        if SHA256.hash(whole) == part.digest { return .whole(whole, message.places) }
        self.dropped.merge(message.places) { first, _ in first }
        return .broken
    }

    /// Drops what has waited too long; and where too much is here, the oldest message of the sender that has most.
    ///
    /// - Returns: where what was dropped lies, in a fixed order.
    mutating func takeDropped(now: Duration, countMax: Int, byteCountMax: Int) -> [(digest: Bytes32, places: [PeerID: UInt64])] {
        for (key, message) in self.messages where message.until <= now { self.drop(key) }
        while true {
            let isCountAbove = self.count > countMax
            guard isCountAbove || self.byteCount > byteCountMax else { break }
            let shares: [Ed25519.PublicKey: Int] = self.messages.reduce(into: [:]) {
                $0[$1.key.sender, default: 0] += isCountAbove ? $1.value.places.count : $1.value.byteCount
            }
            let most = shares.values.max()
            let oldest = self.messages.filter { shares[$0.key.sender] == most }.min { $0.value.number < $1.value.number }
            guard let oldest else { break }
            self.drop(oldest.key)
        }
        defer { self.dropped = [:] }
        return self.dropped.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private mutating func drop(_ key: Key) {
        if let message = self.messages[key] { self.dropped.merge(message.places) { first, _ in first } }
        self.remove(key)
    }

    private mutating func remove(_ key: Key) {
        guard let message = self.messages.removeValue(forKey: key) else { return }
        for digest in message.places.keys { self.owners[digest] = nil }
    }
}
