/// Something that the user of the hash table wants, from its start to its one end.
struct KadOperation: Sendable {
    enum Goal: Equatable, Sendable {
        case put(key: [UInt8], value: [UInt8])
        case get(key: [UInt8], quorum: Int)
        case provide(key: [UInt8])
        case findProviders(key: [UInt8], count: Int)
        case findPeer(PeerID)
        case closest(key: [UInt8])
        /// A lookup of ourselves, then one in each bucket.
        case bootstrap
    }

    enum Phase: Equatable, Sendable {
        case looking
        /// The peers that are responsible get the record; so many have not answered yet.
        case storing(pendingCount: Int)
        /// Lookups of its own: so many are under way, these are still to come.
        case refreshing(runningCount: Int, targets: [[UInt8]])
    }

    /// Who is told when it ends.
    enum Owner: Equatable, Sendable {
        case user
        case operation(UInt64)
        case publication(KadPublication.Key)
        case refresh
    }

    let id: UInt64
    let goal: Goal
    let owner: Owner
    let message: KadMessage
    let frame: [UInt8]
    let startedAt: Duration
    var deadline: Duration
    /// When it wants to go on at the latest.
    var wake: Duration
    var lookup: KadLookup
    var phase = Phase.looking
    var hopCount = 0
    var hasTimedOut = false

    // What `get` found: the best value, who gave it, who gave another, who gave none.
    var best: [UInt8]?
    var validCount = 0
    var holders: [PeerID] = []
    var stale: [PeerID] = []
    var empty: Set<PeerID> = []

    /// What `findProviders` found, by peer.
    var providers: [PeerID: [KadAddress]] = [:]
    /// What `findPeer` was told of its peer.
    var addresses: [KadAddress] = []

    // How it went with those that `put` and `provide` sent the record to.
    var storedCount = 0
    var refusedCount = 0
    var silentCount = 0

    init(
        id: UInt64, goal: Goal, owner: Owner, message: KadMessage, lookup: KadLookup, now: Duration, timeout: Duration
    ) {
        self.id = id
        self.goal = goal
        self.owner = owner
        self.message = message
        self.frame = FrameReader.frame(message.bytes)
        self.startedAt = now
        self.deadline = now + timeout
        self.wake = self.deadline
        self.lookup = lookup
    }

    func report(now: Duration) -> KadReport {
        var report = KadReport()
        report.askedCount = self.lookup.requestCount
        report.answeredCount = self.lookup.answerCount
        report.failedCount = self.lookup.failureCount
        report.hopCount = self.hopCount
        report.elapsed = now - self.startedAt
        report.hasTimedOut = self.hasTimedOut
        return report
    }

    var heldByteCount: Int {
        let record =
            switch self.goal {
            case .put(let key, let value): key.count + value.count
            case .get, .provide, .findProviders, .findPeer, .closest, .bootstrap: self.best?.count ?? 0
            }
        return 512 + self.lookup.heldByteCount + record + 128 * (self.holders.count + self.stale.count + self.empty.count)
            + self.providers.values.reduce(0) { $0 + 128 + $1.reduce(0) { $0 + 128 + $1.bytes.count } }
    }
}

/// A record of our own that is kept alive.
struct KadPublication: Sendable {
    enum Key: Hashable, Sendable {
        case value([UInt8])
        case provider([UInt8])

        /// An order, so that a seed replays.
        static func precedes(_ left: Key, _ right: Key) -> Bool {
            switch (left, right) {
            case (.value(let left), .value(let right)), (.provider(let left), .provider(let right)): left.lexicographicallyPrecedes(right)
            case (.value, .provider): true
            case (.provider, .value): false
            }
        }
    }

    /// Empty for a provider record.
    var value: [UInt8]
    var due: Duration

    var byteCount: Int { self.value.count }
}
