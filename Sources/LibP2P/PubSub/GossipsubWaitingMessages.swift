/// Messages that wait for the application's verdict: bounded in number and bytes.
struct GossipsubWaitingMessages: Sendable {
    struct Entry: Sendable {
        var topic: String
        var author: PeerID?
        var frame: [UInt8]
        /// Who brought it first, and who brought it meanwhile.
        var source: GossipsubPeerNumber
        var others: Set<GossipsubPeerNumber> = []
        var since: Duration
    }

    private var entries: [PubSubMessageID: Entry] = [:]
    private var order = YamuxQueue<(id: PubSubMessageID, since: Duration)>()
    private(set) var byteCount = 0

    var count: Int { self.entries.count }

    var heldByteCount: Int { self.byteCount + self.entries.count * 256 + self.order.count * 96 }

    mutating func insert(_ id: PubSubMessageID, _ entry: Entry) {
        self.entries[id] = entry
        self.order.append((id, entry.since))
        self.byteCount += entry.frame.count
    }

    mutating func add(_ source: GossipsubPeerNumber, to id: PubSubMessageID) {
        if let first = self.entries[id]?.source, first != source { self.entries[id]?.others.insert(source) }
    }

    mutating func remove(_ id: PubSubMessageID) -> Entry? {
        guard let entry = self.entries.removeValue(forKey: id) else { return nil }
        self.byteCount -= entry.frame.count
        // Verdicts come in any order; the queue must not keep what they leave behind, however long the first has to wait for its own.
        if self.entries.isEmpty {
            self.order.removeAll()
        } else if self.order.count > 2 * self.entries.count + 32 {
            let entries = self.entries
            self.order.keep { entries[$0.id]?.since == $0.since }
        }
        return entry
    }

    /// A peer has gone. (Its number is never given again, so what it brought first may keep it.)
    mutating func forget(_ source: GossipsubPeerNumber) {
        guard self.entries.contains(where: { $0.value.others.contains(source) }) else { return }
        for id in self.entries.keys { self.entries[id]?.others.remove(source) }
    }

    /// Takes out one message that has waited since before this time.
    mutating func popExpired(before time: Duration) -> PubSubMessageID? {
        while let oldest = self.order.withFirst({ $0 }) ?? nil {
            let isWaiting = self.entries[oldest.id]?.since == oldest.since
            guard !isWaiting || oldest.since < time else { return nil }
            _ = self.order.popFirst()
            if isWaiting, self.remove(oldest.id) != nil { return oldest.id }
        }
        return nil
    }
}
