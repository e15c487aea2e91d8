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
    /// On whose account a value is.
    enum Account: Hashable, Sendable {
        /// A stranger's, as ``ConnectionInfo/household`` says: however many peers one makes up, it has one share.
        case household([UInt8])
        /// What a lookup of this node brought.
        case fetched
        /// What this node publishes. It goes with its time, and makes room for nobody.
        case own
    }

    struct Entry: Sendable {
        let place: KadKey
        let value: [UInt8]
        let receivedAt: Duration
        var account: Account
    }

    /// What an entry costs beside its bytes, about.
    private static let entryByteCount = 256

    let ownKey: KadKey
    let byteCountMax: Int
    let lifetime: Duration
    private(set) var entries: [[UInt8]: Entry] = [:]
    private(set) var byteCount = 0
    private var accountByteCounts: [Account: Int] = [:]
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

    /// Keeps a valid value. One household has at most an eighth of the store.
    mutating func store(_ value: [UInt8], key: [UInt8], for account: Account, now: Duration) -> KadAdmission {
        var entry = Entry(place: KadKey(hashing: key), value: value, receivedAt: now, account: account)
        // Who sends us what we publish ourselves does not take it over.
        if let known = self.entries[key], known.account == .own, known.value == value { entry.account = .own }
        let count = Self.byteCount(key, entry)
        var isStranger = false
        if case .household = entry.account {
            isStranger = true
            let replaced = self.entries[key].map { $0.account == entry.account ? Self.byteCount(key, $0) : 0 } ?? 0
            guard self.accountByteCounts[entry.account, default: 0] - replaced + count <= self.byteCountMax / 8 else { return .noRoom }
        }
        let previous = self.remove(key)
        while self.byteCount + count > self.byteCountMax {
            guard let farthest = self.order.last(where: { self.entries[$0.key]?.account != .own }),
                !isStranger || entry.place.distance(to: self.ownKey) < farthest.distance
            else {
                if let previous { self.insert(previous, key: key) }
                return .noRoom
            }
            _ = self.remove(farthest.key)
        }
        self.insert(entry, key: key)
        return .stored
    }

    /// This node publishes the value no more.
    mutating func disown(_ key: [UInt8]) {
        guard self.entries[key]?.account == .own, var entry = self.remove(key) else { return }
        entry.account = .fetched
        self.insert(entry, key: key)
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
        self.accountByteCounts[entry.account, default: 0] += count
    }

    mutating func remove(_ key: [UInt8]) -> Entry? {
        guard let entry = self.entries.removeValue(forKey: key) else { return nil }
        let count = Self.byteCount(key, entry)
        self.order.remove(at: self.position(of: entry.place.distance(to: self.ownKey)))
        self.byteCount -= count
        let rest = self.accountByteCounts[entry.account, default: 0] - count
        self.accountByteCounts[entry.account] = rest > 0 ? rest : nil
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
    let byteCountMax: Int
    let lifetime: Duration
    private(set) var entries: [[UInt8]: [PeerID: Entry]] = [:]
    private(set) var recordCount = 0
    private(set) var heldByteCount = 0
    /// By household.
    private var recordCounts: [[UInt8]: Int] = [:]
    private var byteCounts: [[UInt8]: Int] = [:]

    init(recordCountMax: Int, byteCountMax: Int, lifetime: Duration) {
        self.recordCountMax = recordCountMax
        self.byteCountMax = byteCountMax
        self.lifetime = lifetime
    }

    /// Keeps that a peer provides a key. Who was first stays: a flood of providers pushes nobody out before its time. One household,
    /// however many peers it makes up, has at most a sixteenth of all records and of their bytes, and an eighth of those of one key.
    mutating func add(
        _ provider: PeerID, addresses: [KadAddress], key: [UInt8], household: [UInt8], isOwn: Bool, now: Duration
    ) -> KadAdmission {
        let kept = KadAddress.fitting(addresses.prefix(Self.addressCountMax))
        var entry = Entry(addresses: kept, receivedAt: now, household: household)
        if let old = self.entries[key]?[provider] {
            entry.household = old.household
            // Addresses that take more room than there is are left out: the record itself holds.
            let growth = Self.byteCount(key, entry) - Self.byteCount(key, old)
            if growth > 0, !isOwn, !self.hasRoom(forBytes: growth, of: old.household) { entry.addresses = old.addresses }
            self.entries[key]?[provider] = entry
            self.count(Self.byteCount(key, entry) - Self.byteCount(key, old), of: old.household)
            return .stored
        }
        let known = self.entries[key, default: [:]]
        let hasRoom =
            self.recordCount < self.recordCountMax && known.count < Self.providerCountMax
            && self.recordCounts[household, default: 0] < max(1, self.recordCountMax / 16)
            && known.values.count { $0.household == household } < Self.providerCountMaxPerHousehold
            && self.hasRoom(forBytes: Self.byteCount(key, entry), of: household)
        guard hasRoom || isOwn else { return .noRoom }
        self.entries[key, default: [:]][provider] = entry
        self.recordCount += 1
        self.recordCounts[household, default: 0] += 1
        self.count(Self.byteCount(key, entry), of: household)
        return .stored
    }

    private func hasRoom(forBytes count: Int, of household: [UInt8]) -> Bool {
        self.heldByteCount + count <= self.byteCountMax && self.byteCounts[household, default: 0] + count <= self.byteCountMax / 16
    }

    private mutating func count(_ byteCount: Int, of household: [UInt8]) {
        self.heldByteCount += byteCount
        let rest = self.byteCounts[household, default: 0] + byteCount
        self.byteCounts[household] = rest > 0 ? rest : nil
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
        self.count(-Self.byteCount(key, entry), of: entry.household)
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
        key.count + Self.entryByteCount + entry.addresses.reduce(0) { $0 + $1.heldByteCount }
    }
}
