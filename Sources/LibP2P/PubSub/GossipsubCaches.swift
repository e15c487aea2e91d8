/// What became of a message that was seen.
enum GossipsubSeen: Sendable {
    case waitsForVerdict
    /// Taken at this time.
    case accepted(at: Duration)
    case rejected
    case ignored
}

/// The ids of the messages that were seen lately: bounded in time and number.
struct GossipsubSeenCache: Sendable {
    private var entries: [PubSubMessageID: GossipsubSeen] = [:]
    private var order = YamuxQueue<(id: PubSubMessageID, since: Duration)>()
    /// About what one entry takes beside the bytes of its id, which stand in both.
    private static let overheadByteCount = 192
    private(set) var heldByteCount = 0

    var count: Int { self.entries.count }

    subscript(id: PubSubMessageID) -> GossipsubSeen? { self.entries[id] }

    mutating func insert(_ id: PubSubMessageID, _ seen: GossipsubSeen, countMax: Int, now: Duration) {
        guard self.entries.updateValue(seen, forKey: id) == nil else { return }
        self.order.append((id, now))
        self.heldByteCount += id.bytes.count + Self.overheadByteCount
        while self.entries.count > countMax, let oldest = self.order.popFirst() { self.forget(oldest.id) }
    }

    /// What became of a message that is still remembered.
    mutating func update(_ id: PubSubMessageID, _ seen: GossipsubSeen) {
        if self.entries[id] != nil { self.entries[id] = seen }
    }

    mutating func expire(before time: Duration) {
        while self.order.withFirst({ ($0?.since ?? time) < time }) == true, let oldest = self.order.popFirst() { self.forget(oldest.id) }
    }

    private mutating func forget(_ id: PubSubMessageID) {
        if self.entries.removeValue(forKey: id) != nil { self.heldByteCount -= id.bytes.count + Self.overheadByteCount }
    }
}

/// The messages of the last heartbeats, for gossip and for who asks (gossipsub 1.0, "Message cache").
struct GossipsubHistory: Sendable {
    private struct Entry: Sendable {
        var frame: [UInt8]
        /// How often each peer has had it.
        var sentCounts: [GossipsubPeerNumber: Int] = [:]
    }

    private var entries: [PubSubMessageID: Entry] = [:]
    /// What came in each heartbeat, the present one last.
    private var windows: [[(id: PubSubMessageID, topic: String)]] = [[]]
    /// About what one entry takes beside its frame: a flood of messages of a hundred bytes is mostly this.
    private static let overheadByteCount = 256
    /// About what it takes to count how often one peer had one.
    private static let countByteCount = 32
    private(set) var heldByteCount = 0

    init() {}

    /// Keeps the frame that passes a message on.
    mutating func insert(_ id: PubSubMessageID, topic: String, frame: [UInt8], byteCountMax: Int) {
        guard self.entries[id] == nil else { return }
        self.entries[id] = Entry(frame: frame)
        self.windows[self.windows.count - 1].append((id, topic))
        self.heldByteCount += frame.count + Self.overheadByteCount
        guard self.heldByteCount > byteCountMax else { return }
        // The oldest go, half of the room at once, so that this happens seldom.
        for index in self.windows.indices {
            var forgotten = 0
            while self.heldByteCount > byteCountMax / 2, forgotten < self.windows[index].count {
                self.forget(self.windows[index][forgotten].id)
                forgotten += 1
            }
            self.windows[index].removeFirst(forgotten)
        }
    }

    /// The ids of a topic's messages of the last heartbeats, newest first.
    func ids(in topic: String, heartbeatCount: Int) -> [PubSubMessageID] {
        self.windows.suffix(heartbeatCount).reversed().flatMap { window in window.lazy.filter { $0.topic == topic }.map(\.id) }
    }

    /// The frame for a peer that asks, and how often it has had it now.
    mutating func frame(_ id: PubSubMessageID, for peer: GossipsubPeerNumber) -> (frame: [UInt8], sentCount: Int)? {
        guard let known = self.entries[id] else { return nil }
        let sentCount = known.sentCounts[peer] ?? 0
        if sentCount == 0 { self.heldByteCount += Self.countByteCount }
        self.entries[id]?.sentCounts[peer] = sentCount + 1
        return (known.frame, sentCount + 1)
    }

    /// A heartbeat has passed.
    mutating func shift(heartbeatCount: Int) {
        self.windows.append([])
        while self.windows.count > heartbeatCount {
            for (id, _) in self.windows.removeFirst() { self.forget(id) }
        }
    }

    private mutating func forget(_ id: PubSubMessageID) {
        guard let entry = self.entries.removeValue(forKey: id) else { return }
        self.heldByteCount -= entry.frame.count + Self.overheadByteCount + entry.sentCounts.count * Self.countByteCount
    }
}
