internal import CryptoPrimitives
internal import LibP2P
internal import Signing
internal import SigningNode

/// What a simulated mailbox's disk holds, by the same rules as `SQLiteMailboxStore`; and what it does with it, if it is not honest.
final class SimulatedMailbox {
    private struct Message {
        let cursor: UInt64
        let recipient: Ed25519.PublicKey
        let source: String
        let bytes: [UInt8]
        let received: UInt64
        let expiry: UInt64
        var isAcknowledged = false
    }

    let whim: MailboxWhim?
    /// Seconds for which a mailbox that delays keeps everything to itself.
    let delay: UInt64
    private let bounds = MailboxBounds()
    private var random: SeededRandom
    private var messages: [Message] = []
    private var lastCursor: UInt64 = 0
    private(set) var droppedCount = 0
    private(set) var refusedCount = 0
    private(set) var depositCount = 0

    init(_ whim: MailboxWhim?, delay: UInt64, seed: UInt64) {
        self.whim = whim
        self.delay = delay
        self.random = SeededRandom(seed: seed ^ 0x6d61_696c)
    }

    var count: Int { self.messages.count { !$0.isAcknowledged } }
    func count(for recipient: Ed25519.PublicKey) -> Int { self.messages.count { !$0.isAcknowledged && $0.recipient == recipient } }

    func perform(_ job: MailboxServer.Job, at now: UInt64) -> MailboxServer.Outcome {
        switch job.operation {
        case .deposit(let bytes, let recipient, let source, let expiry):
            return self.deposit(bytes, recipient, source, expiry, now)
        case .fetch(let recipient, let after, let countMax, let byteCountMax):
            return .fetched(self.messages(for: recipient, after, countMax, byteCountMax, now))
        case .acknowledge(let cursors, let recipient):
            for place in self.messages.indices where self.messages[place].recipient == recipient {
                if cursors.contains(self.messages[place].cursor) { self.messages[place].isAcknowledged = true }
            }
            if self.whim != .repeats { self.messages.removeAll { $0.isAcknowledged } }
            return .acknowledged
        }
    }

    private func deposit(
        _ bytes: [UInt8], _ recipient: Ed25519.PublicKey, _ source: String, _ expiry: UInt64, _ now: UInt64
    ) -> MailboxServer.Outcome {
        if let standing = self.messages.first(where: { $0.recipient == recipient && $0.bytes == bytes }) {
            return .deposited(cursor: standing.cursor)
        }
        self.lastCursor += 1
        self.depositCount += 1
        // Of three it loses one, and says nothing.
        if self.whim == .drops, Int.random(in: 0..<3, using: &self.random) == 0 {
            self.droppedCount += 1
            return .deposited(cursor: self.lastCursor)
        }
        let ofRecipient = self.messages.filter { $0.recipient == recipient && !$0.isAcknowledged }
        let ofBoth = ofRecipient.filter { $0.source == source }
        if let bound = self.bound(ofRecipient.map(\.bytes.count), ofBoth.map(\.bytes.count), bytes.count) {
            self.refusedCount += 1
            return .failed(.full(bound, limit: 0))
        }
        let kept = min(expiry, now + self.bounds.secondsMax)
        self.messages.append(
            Message(cursor: self.lastCursor, recipient: recipient, source: source, bytes: bytes, received: now, expiry: kept))
        return .deposited(cursor: self.lastCursor)
    }

    private func bound(_ ofRecipient: [Int], _ ofBoth: [Int], _ byteCount: Int) -> StoreError.Bound? {
        let (sum, sumOfBoth) = (ofRecipient.reduce(byteCount, +), ofBoth.reduce(byteCount, +))
        if ofBoth.count >= self.bounds.countPerRecipientAndSourceMax { return .source }
        if sumOfBoth > self.bounds.byteCountPerRecipientAndSourceMax { return .source }
        if ofRecipient.count >= self.bounds.countPerRecipientMax || sum > self.bounds.byteCountPerRecipientMax { return .recipient }
        return nil
    }

    private func messages(
        for recipient: Ed25519.PublicKey, _ after: UInt64, _ countMax: Int, _ byteCountMax: Int, _ now: UInt64
    ) -> [MailboxMessage] {
        var waiting = self.messages.filter { $0.recipient == recipient && $0.cursor > after && $0.expiry > now }
        if self.whim == .delays { waiting.removeAll { $0.received + self.delay > now } }
        var (page, byteCount): ([Message], Int) = ([], 0)
        for message in waiting.prefix(max(0, countMax)) {
            guard page.isEmpty || byteCount + message.bytes.count <= byteCountMax else { break }
            byteCount += message.bytes.count
            page.append(message)
        }
        // Cursors have to rise, so the last one's message goes under the first one's.
        let contents = self.whim == .reorders ? page.map(\.bytes).reversed() : page.map(\.bytes)
        return zip(page, contents).map { MailboxMessage(cursor: $0.cursor, bytes: $1, received: $0.received, expiry: $0.expiry) }
    }
}
