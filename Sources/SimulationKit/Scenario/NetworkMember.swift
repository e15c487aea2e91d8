public import LibP2P

/// What a node of the network scenario does: joins through a few known hosts, subscribes to one topic, keeps its connections up, and
/// notes what reaches it.
public struct NetworkMember: SimulatedProgram {
    public static let topic = "chorale/simulation/1"
    /// The namespace of the hash table's values.
    public static let namespace = "simulation"

    /// What a member is told at its start.
    public struct Plan: Sendable {
        /// Through whom it joins. Itself is passed over.
        public var bootstrap: [(peer: PeerID, address: Multiaddr)] = []
        /// Below so many connections it dials peers that it lost, and looks for others.
        public var connectionCountMin = 16
        /// Within so long after its start it joins.
        public var joinDelayMax = Duration.zero
        /// A fault of tests: it takes messages and passes none on.
        public var forwardsNothing = false
        /// Another one: it swallows messages.
        public var isDeaf = false
        public var seed: UInt64 = 0

        public init() {}
    }

    /// How often a member looks after its connections.
    static let careInterval = Duration.seconds(1)
    /// How often it looks for others at most.
    static let searchInterval = Duration.seconds(4)
    /// Peers that it remembers to have lost.
    static let lostCountMax = 64

    private let plan: Plan
    private var random: SeededRandom
    private var lost: [PeerID] = []
    private var nextCare: Duration?
    private var nextSearch = Duration.zero
    private var bootstrap: KadOperationID?
    /// Whether a lookup of its own neighbourhood ended with contacts.
    public private(set) var hasJoined = false
    var isJoining: Bool { self.bootstrap != nil }
    /// When each message came first.
    public private(set) var arrivals: [PubSubMessageID: Duration] = [:]
    /// Messages that came a second time.
    public private(set) var repeatedCount = 0
    public private(set) var results: [KadOperationID: (outcome: KadOutcome, report: KadReport)] = [:]

    public init(_ plan: Plan) {
        self.plan = plan
        self.random = SeededRandom(seed: plan.seed)
    }

    public var deadline: Duration? { self.nextCare }

    public mutating func start(_ node: inout Node, now: Duration) {
        let needsVerdict = self.plan.forwardsNothing
        node.withGossipsub(now: now) { _ = $0.subscribe(Self.topic, needsVerdict: needsVerdict, now: now) }
        let own = node.localPeer
        for (peer, address) in self.plan.bootstrap where peer != own {
            node.withKad(now: now) { _ = $0.addPeer(peer, addresses: [address], now: now) }
        }
        // Not all at the same moment.
        self.nextCare = now + self.plan.joinDelayMax * Double.random(in: 0...1, using: &self.random)
    }

    public mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration) {
        switch event {
        case .gossipsub(.message(let id, _, _, let needsVerdict)):
            guard !self.plan.isDeaf else { return }
            if self.arrivals.updateValue(self.arrivals[id] ?? now, forKey: id) != nil { self.repeatedCount += 1 }
            if needsVerdict { node.withGossipsub(now: now) { _ = $0.verdict(.ignore, on: id, now: now) } }
        case .kad(.finished(let id, let outcome, let report)):
            if id == self.bootstrap {
                self.bootstrap = nil
                if case .bootstrapped(let contactCount) = outcome { self.hasJoined = contactCount > 0 }
            } else {
                self.results[id] = (outcome, report)
            }
        case .swarm(.disconnected(let info, _)):
            if !node.swarm.isConnected(to: info.peer), !self.lost.contains(info.peer) {
                self.lost.append(info.peer)
                if self.lost.count > Self.lostCountMax { self.lost.removeFirst() }
            }
        case .swarm(.connected(let info)): self.lost.removeAll { $0 == info.peer }
        case .swarm, .identify, .ping, .gossipsub, .kad, .relayClient, .relayServer, .holePunch: return
        }
    }

    public mutating func tick(_ node: inout Node, now: Duration) {
        self.nextCare = now + Self.careInterval * Double.random(in: 0.5...1.5, using: &self.random)
        if !self.hasJoined { self.join(&node, now: now) }
        for (peer, address) in self.plan.bootstrap where peer != node.localPeer && !node.swarm.isConnected(to: peer) {
            node.swarm.dial(peer, at: [address], now: now)
        }
        // Whoever was there may be there again; two at a time are enough for a network that heals.
        guard node.swarm.connectionCount < self.plan.connectionCountMin else { return }
        for peer in self.lost.shuffled(using: &self.random).prefix(2) { node.swarm.dial(peer, now: now) }
        guard self.hasJoined, now >= self.nextSearch else { return }
        self.nextSearch = now + Self.searchInterval
        let key = (0..<32).map { _ in UInt8.random(in: 0...255, using: &self.random) }
        node.withKad(now: now) { _ = $0.findClosest(to: key, now: now) }
    }

    /// Looks for its neighbours in the hash table, through those that it was told of.
    mutating func join(_ node: inout Node, now: Duration) {
        guard self.bootstrap == nil, self.plan.bootstrap.contains(where: { $0.peer != node.localPeer }) else { return }
        self.bootstrap = node.withKad(now: now) { $0.bootstrap(now: now) }
    }
}

extension Node {
    /// Asks the hash table for something; `nil` where there is none.
    @discardableResult
    mutating func withKad<Result>(now: Duration, _ body: (inout KadDHT) -> Result) -> Result? {
        guard let kad = self.kad else { return nil }
        return self.swarm.update(kad, now: now, body)
    }

    /// The same of gossipsub.
    @discardableResult
    mutating func withGossipsub<Result>(now: Duration, _ body: (inout Gossipsub) -> Result) -> Result? {
        guard let gossipsub = self.gossipsub else { return nil }
        return self.swarm.update(gossipsub, now: now, body)
    }
}
