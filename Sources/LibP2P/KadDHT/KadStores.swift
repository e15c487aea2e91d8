/// What a store says to a record that someone wants kept.
enum KadAdmission: Equatable, Sendable {
    case stored
    /// The store or the sender's share of it is full of what is nearer to us.
    case noRoom
}

/// The values that this node keeps for the network, bounded in number and bytes, each for a limited time.
///
/// When it is full, the value whose key is farthest from our own place goes: others are responsible for it.
struct KadValueStore: Sendable {
    struct Entry: Sendable {
        let place: KadKey
        let value: [UInt8]
        let receivedAt: Duration
        let sender: PeerID
    }

    /// What an entry costs beside its bytes, about.
    private static let entryByteCount = 256

    let ownKey: KadKey
    let byteCountMax: Int
    let lifetime: Duration
    private(set) var entries: [[UInt8]: Entry] = [:]
    private(set) var byteCount = 0
    private var senderByteCounts: [PeerID: Int] = [:]
    /// All keys, nearest to our own place first.
    private var order: [(distance: KadKey, key: [UInt8])] = []

    init(ownKey: KadKey, byteCountMax: Int, lifetime: Duration) {
        self.ownKey = ownKey
        self.byteCountMax = byteCountMax
        self.lifetime = lifetime
    }

    func value(of key: [UInt8], now: Duration) -> Entry? {
        guard let entry = self.entries[key], now - entry.receivedAt < self.lifetime else { return nil }
        return entry
    }

    /// Keeps a valid value. One sender has at most an eighth of the store, unless it is this node itself.
    mutating func store(_ value: [UInt8], key: [UInt8], from sender: PeerID, isOwn: Bool, now: Duration) -> KadAdmission {
        let entry = Entry(place: KadKey(hashing: key), value: value, receivedAt: now, sender: sender)
        let count = Self.byteCount(key, entry)
        let replaced = self.entries[key].map { $0.sender == sender ? Self.byteCount(key, $0) : 0 } ?? 0
        guard isOwn || self.senderByteCounts[sender, default: 0] - replaced + count <= self.byteCountMax / 8 else { return .noRoom }
        let previous = self.remove(key)
        while self.byteCount + count > self.byteCountMax {
            guard let farthest = self.order.last, isOwn || entry.place.distance(to: self.ownKey) < farthest.distance else {
                if let previous { self.insert(previous, key: key) }
                return .noRoom
            }
            _ = self.remove(farthest.key)
        }
        self.insert(entry, key: key)
        return .stored
    }

    mutating func removeExpired(now: Duration) -> Int {
        let expired = self.entries.filter { now - $0.value.receivedAt >= self.lifetime }.map(\.key)
        for key in expired { _ = self.remove(key) }
        return expired.count
    }

    private func position(of distance: KadKey) -> Int {
        var (low, high) = (0, self.order.count)
        while low < high {
            let middle = (low + high) / 2
            if self.order[middle].distance < distance { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func insert(_ entry: Entry, key: [UInt8]) {
        let count = Self.byteCount(key, entry)
        let distance = entry.place.distance(to: self.ownKey)
        self.entries[key] = entry
        self.order.insert((distance, key), at: self.position(of: distance))
        self.byteCount += count
        self.senderByteCounts[entry.sender, default: 0] += count
    }

    mutating func remove(_ key: [UInt8]) -> Entry? {
        guard let entry = self.entries.removeValue(forKey: key) else { return nil }
        let count = Self.byteCount(key, entry)
        self.order.remove(at: self.position(of: entry.place.distance(to: self.ownKey)))
        self.byteCount -= count
        let rest = self.senderByteCounts[entry.sender, default: 0] - count
        self.senderByteCounts[entry.sender] = rest > 0 ? rest : nil
        return entry
    }

    private static func byteCount(_ key: [UInt8], _ entry: Entry) -> Int { key.count + entry.value.count + Self.entryByteCount }
}

/// Who provides what, as the providers themselves told this node, bounded in number, each for a limited time.
struct KadProviderStore: Sendable {
    struct Entry: Sendable {
        var addresses: [KadAddress]
        var receivedAt: Duration
        /// On whose account it is.
        var household: [UInt8]
    }

    /// Providers kept of one key: py-libp2p keeps 20 and go-libp2p all; a seeker asks k nodes, so this many suffice.
    static let providerCountMax = 64
    /// Of these, from one household: an eighth, so that nobody alone keeps all others from being found.
    static let providerCountMaxPerHousehold = 8
    /// Addresses kept of one provider.
    static let addressCountMax = 8
    private static let entryByteCount = 256

    let recordCountMax: Int
    let lifetime: Duration
    private(set) var entries: [[UInt8]: [PeerID: Entry]] = [:]
    private(set) var recordCount = 0
    private(set) var heldByteCount = 0
    /// By household.
    private var recordCounts: [[UInt8]: Int] = [:]

    init(recordCountMax: Int, lifetime: Duration) {
        self.recordCountMax = recordCountMax
        self.lifetime = lifetime
    }

    /// Keeps that a peer provides a key. Who was first stays: a flood of providers pushes nobody out before its time. One household,
    /// however many peers it makes up, has at most a sixteenth of all records and an eighth of those of one key.
    mutating func add(
        _ provider: PeerID, addresses: [KadAddress], key: [UInt8], household: [UInt8], isOwn: Bool, now: Duration
    ) -> KadAdmission {
        var entry = Entry(addresses: Array(addresses.prefix(Self.addressCountMax)), receivedAt: now, household: household)
        if let old = self.entries[key]?[provider] {
            entry.household = old.household
            self.entries[key]?[provider] = entry
            self.heldByteCount += Self.byteCount(key, entry) - Self.byteCount(key, old)
            return .stored
        }
        let known = self.entries[key, default: [:]]
        let hasRoom =
            self.recordCount < self.recordCountMax && known.count < Self.providerCountMax
            && self.recordCounts[household, default: 0] < max(1, self.recordCountMax / 16)
            && known.values.count { $0.household == household } < Self.providerCountMaxPerHousehold
        guard hasRoom || isOwn else { return .noRoom }
        self.entries[key, default: [:]][provider] = entry
        self.recordCount += 1
        self.recordCounts[household, default: 0] += 1
        self.heldByteCount += Self.byteCount(key, entry)
        return .stored
    }

    /// The providers of a key, those that told so last first.
    func providers(of key: [UInt8], now: Duration) -> [(peer: PeerID, entry: Entry)] {
        self.entries[key, default: [:]].filter { now - $0.value.receivedAt < self.lifetime }
            .map { (peer: $0.key, entry: $0.value) }
            .sorted { $0.entry.receivedAt == $1.entry.receivedAt ? $0.peer < $1.peer : $0.entry.receivedAt > $1.entry.receivedAt }
    }

    mutating func remove(_ provider: PeerID, key: [UInt8]) {
        guard let entry = self.entries[key]?.removeValue(forKey: provider) else { return }
        self.recordCount -= 1
        let rest = self.recordCounts[entry.household, default: 0] - 1
        self.recordCounts[entry.household] = rest > 0 ? rest : nil
        self.heldByteCount -= Self.byteCount(key, entry)
        if self.entries[key]?.isEmpty == true { self.entries[key] = nil }
    }

    mutating func removeExpired(now: Duration) -> Int {
        var expired: [(PeerID, [UInt8])] = []
        for (key, providers) in self.entries {
            for (peer, entry) in providers where now - entry.receivedAt >= self.lifetime { expired.append((peer, key)) }
        }
        for (peer, key) in expired { self.remove(peer, key: key) }
        return expired.count
    }

    private static func byteCount(_ key: [UInt8], _ entry: Entry) -> Int {
        key.count + Self.entryByteCount + entry.addresses.reduce(0) { $0 + 128 + $1.bytes.count }
    }
}
