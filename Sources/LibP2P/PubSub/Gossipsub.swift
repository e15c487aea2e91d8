/// A node of gossipsub (1.0, 1.1 and 1.2; floodsub peers are served too), without connection, clock or task.
///
///     var pubsub = Gossipsub(identity: identity, seed: seed)
///     pubsub.subscribe("topic", now: now)
///     try pubsub.publish(data, to: "topic", sequence: counter, now: now)
///     pubsub.handle(input, now: now)                       // and again for each input
///     while let command = pubsub.nextCommand() { … }
///     while let event = pubsub.nextEvent() { … }
///
/// Each peer gets two streams: we write to the one that we opened, and read from the one that it opened.
///
/// - Messages are verified before anybody sees them. Where a topic needs a verdict, a message waits for it before it is passed on.
/// - What a peer does is scored; a bad score costs it its places in the meshes, then gossip, then everything.
/// - What peers can make grow is bounded by ``GossipsubLimits``, and ``heldByteCount`` counts it.
///
/// Sources: libp2p's `pubsub` and `pubsub/gossipsub` specifications; where they are silent, go-libp2p-pubsub is followed.
public struct Gossipsub: ProtocolMachine {
    /// A topic that we are subscribed to.
    struct Subscription: Sendable {
        var mesh: Set<GossipsubPeerNumber> = []
        var needsVerdict: Bool
    }

    /// A topic that we publish to without being subscribed.
    struct Fanout: Sendable {
        var peers: Set<GossipsubPeerNumber> = []
        var lastPublished: Duration
    }

    public let parameters: GossipsubParameters
    public internal(set) var counters = GossipsubCounters()
    let identity: PeerIdentity
    /// Peers that we always exchange messages with, outside the mesh, and where they are.
    let directPeers: [PeerID: [Multiaddr]]
    var random: SeededRandom

    var peers: [GossipsubPeerNumber: GossipsubPeer] = [:]
    var numbers: [PeerID: GossipsubPeerNumber] = [:]
    var nextPeerNumber: GossipsubPeerNumber = 0
    /// Which peer each stream belongs to, and whether we opened it.
    var streams: [StreamID: GossipsubPeerNumber] = [:]
    /// Bytes of all frames that have not come whole.
    var unfinishedByteCount = 0
    var openRequests: [UInt64: GossipsubPeerNumber] = [:]
    var nextRequest: UInt64 = 0
    /// Direct and floodsub peers.
    var floodPeers: Set<GossipsubPeerNumber> = []
    // What households take of what there is for all: bytes of topics that peers are subscribed to, bytes of the ids that they do not
    // want, places of floodsub peers.
    var topicShares = HouseholdShares()
    var unwantedShares = HouseholdShares()
    var floodShares = HouseholdShares()
    /// Which connected peers share an address, and with how many connections.
    var addressPeers: [GossipsubAddressGroup: [GossipsubPeerNumber: Int]] = [:]
    /// What is held against peers that have gone, and until when.
    var remembered: [PeerID: (standing: GossipsubStanding, until: Duration)] = [:]
    var applicationScores: [PeerID: Double] = [:]

    var subscriptions: [String: Subscription] = [:]
    var fanouts: [String: Fanout] = [:]
    /// Who is subscribed to what.
    var topicPeers: [String: Set<GossipsubPeerNumber>] = [:]

    var seen = GossipsubSeenCache()
    var history = GossipsubHistory()
    var waiting = GossipsubWaitingMessages()
    /// Messages that peers announced and we asked for, by the id as they wrote it, and until when they have to come.
    var promises: [PubSubMessageID: [GossipsubPeerNumber: Duration]] = [:]
    /// Who has brought a message, as long as bringing it counts for P3.
    var bearers: [PubSubMessageID: (until: Duration, peers: Set<GossipsubPeerNumber>)] = [:]
    /// Addresses of peers that others named, dialled since the last heartbeat.
    var exchangeAddressCount = 0

    var heartbeatCount = 0
    var heartbeatDue: Duration?
    var lastDecay: Duration?

    var commands = YamuxQueue<ProtocolCommand>()
    var events = YamuxQueue<GossipsubEvent>()
    /// Peers whose outbox got something.
    var dirty: Set<GossipsubPeerNumber> = []

    /// - Parameters:
    ///   - directPeers: Peers that get all messages whatever their score (gossipsub 1.1, "Explicit Peering Agreements"); the agreement
    ///     must be mutual. They are dialled again and again.
    ///   - seed: Replays every choice among peers.
    public init(
        identity: PeerIdentity, parameters: GossipsubParameters = GossipsubParameters(), directPeers: [PeerID: [Multiaddr]] = [:],
        seed: UInt64
    ) {
        precondition(parameters.isConsistent, "gossipsub's parameters contradict each other: see their comments")
        self.identity = identity
        self.parameters = parameters
        self.directPeers = directPeers
        self.random = SeededRandom(seed: seed)
    }

    // MARK: ProtocolMachine

    public var servedProtocolIDs: [String] { self.parameters.protocolIDs }

    public var deadline: Duration? { self.heartbeatDue }

    public mutating func nextCommand() -> ProtocolCommand? { self.commands.popFirst() }

    public mutating func nextEvent() -> GossipsubEvent? { self.events.popFirst() }

    public mutating func tick(now: Duration) {
        self.start(now: now)
        if let due = self.heartbeatDue, now >= due {
            self.heartbeat(now: now)
            // Heartbeats that were missed are not made up for: one does their work.
            self.heartbeatDue = now + self.parameters.heartbeatInterval
        }
        self.flush()
    }

    public var heldByteCount: Int {
        var count = self.seen.heldByteCount + self.history.heldByteCount + self.waiting.heldByteCount
        count += self.topicShares.total + self.unwantedShares.total
        for peer in self.peers.values { count += peer.heldByteCount }
        for id in self.promises.keys { count += id.bytes.count + 96 }
        for (id, bearers) in self.bearers { count += id.bytes.count + 96 + bearers.peers.count * 16 }
        for (standing, _) in self.remembered.values { count += standing.heldByteCount + 64 }
        return count
    }

    /// The first call of any kind starts the heartbeat, at a random moment of its interval: nodes that start together do not beat together.
    mutating func start(now: Duration) {
        guard self.heartbeatDue == nil else { return }
        self.lastDecay = now
        self.heartbeatDue = now + self.parameters.heartbeatInterval * Double.random(in: 0.1...1, using: &self.random)
    }
}

// MARK: - Topics

extension Gossipsub {
    /// The topics that we are subscribed to, sorted.
    public var topics: [String] { self.subscriptions.keys.sorted() }

    /// Subscribes to a topic.
    ///
    /// - Parameter needsVerdict: Whether each message waits for ``verdict(_:on:now:)`` before it is passed on.
    /// - Returns: `false` if the name is no topic's. A topic that is subscribed already gets the new `needsVerdict`.
    @discardableResult
    public mutating func subscribe(_ topic: String, needsVerdict: Bool = false, now: Duration) -> Bool {
        guard PubSubTopic.isValid(topic) else { return false }
        self.start(now: now)
        guard self.subscriptions[topic] == nil else {
            self.subscriptions[topic]?.needsVerdict = needsVerdict
            return true
        }
        self.subscriptions[topic] = Subscription(needsVerdict: needsVerdict)
        for number in self.peers.keys { self.announce(topic, isOn: true, to: number) }
        // Who already gets our messages is a good start.
        let known = self.fanouts.removeValue(forKey: topic)?.peers ?? []
        let fit = known.sorted().filter { self.mayGraft($0, in: topic, now: now) }.prefix(self.parameters.meshDegree)
        for number in fit { self.graft(number, in: topic, now: now) }
        self.fillMesh(of: topic, now: now)
        self.flush()
        return true
    }

    /// Ends a subscription. Messages that wait for a verdict keep waiting.
    public mutating func unsubscribe(_ topic: String, now: Duration) {
        guard let subscription = self.subscriptions[topic] else { return }
        self.start(now: now)
        for number in self.peers.keys { self.announce(topic, isOn: false, to: number) }
        for number in subscription.mesh.sorted() {
            self.prune(number, in: topic, backoff: self.parameters.unsubscribeBackoff, exchanges: true, now: now)
        }
        self.subscriptions[topic] = nil
        self.flush()
    }

    private mutating func announce(_ topic: String, isOn: Bool, to number: GossipsubPeerNumber) {
        // Others hear of it when their stream stands.
        guard self.peers[number]?.version != nil else { return }
        self.peers[number]?.outbox.announce(topic, isOn: isOn)
        self.dirty.insert(number)
    }

    /// The peers in our mesh of a topic, sorted.
    public func meshPeers(_ topic: String) -> [PeerID] { self.ids(of: self.subscriptions[topic]?.mesh) }

    /// The peers outside our mesh of a topic that may be asked into it now, sorted: no backoff stands in the way, and no bad score.
    public func graftablePeers(_ topic: String, now: Duration) -> [PeerID] {
        let outside = (self.topicPeers[topic] ?? []).subtracting(self.subscriptions[topic]?.mesh ?? [])
        return self.ids(of: outside.filter { self.mayGraft($0, in: topic, now: now) })
    }

    /// The connected peers that are subscribed to a topic, sorted.
    public func topicPeers(_ topic: String) -> [PeerID] { self.ids(of: self.topicPeers[topic]) }

    private func ids(of numbers: Set<GossipsubPeerNumber>?) -> [PeerID] { (numbers ?? []).compactMap { self.peers[$0]?.id }.sorted() }
}

// MARK: - Peers

extension Gossipsub {
    /// A peer's score (gossipsub 1.1, "The Score Function"); of one that is gone, what is held against it.
    public func score(of peer: PeerID, now: Duration) -> Double {
        if let number = self.numbers[peer] { return self.score(number, now: now) }
        return self.remembered[peer].map { $0.until > now ? $0.standing.score(self.parameters.scoring, now: now) : 0 } ?? 0
    }

    /// Sets P5, which stays until it is set again; 0 forgets it.
    public mutating func setApplicationScore(_ score: Double, of peer: PeerID) {
        self.applicationScores[peer] = score == 0 || !score.isFinite ? nil : score
    }

    /// Takes a connected peer's own signed record (from identify), to name the peer to others.
    ///
    /// - Returns: `false` if it is not the peer's own, does not verify, is too long, or the peer is not connected.
    @discardableResult
    public mutating func setRecord(_ envelope: SignedEnvelope, of peer: PeerID) -> Bool {
        let bytes = envelope.bytes
        guard self.numbers[peer] != nil, bytes.count <= self.parameters.limits.recordByteCountMax,
            let record = try? PeerRecord(opening: envelope), record.peerID == peer
        else { return false }
        return self.setVerifiedRecord(bytes, of: peer)
    }

    /// The same for an envelope that whoever calls has found to be the peer's own record.
    mutating func setVerifiedRecord(_ bytes: [UInt8], of peer: PeerID) -> Bool {
        guard let number = self.numbers[peer], bytes.count <= self.parameters.limits.recordByteCountMax else { return false }
        self.peers[number]?.record = bytes
        return true
    }

    func score(_ number: GossipsubPeerNumber, now: Duration) -> Double {
        guard let peer = self.peers[number] else { return 0 }
        let scoring = self.parameters.scoring
        var score = peer.standing.score(scoring, now: now)
        if !self.applicationScores.isEmpty { score += (self.applicationScores[peer.id] ?? 0) * scoring.applicationWeight }
        if scoring.addressWeight < 0 {
            // Whole numbers, for the sum of others depends on the order in which a set gives them.
            let squares = peer.addressGroups.reduce(0) { sum, group in
                let surplus = (self.addressPeers[group]?.count ?? 0) - scoring.addressPeerCountMax
                return surplus > 0 && !scoring.sharedAddresses.contains(group) ? sum + surplus * surplus : sum
            }
            score += Double(squares) * scoring.addressWeight
        }
        return score
    }

    /// Whether nothing at all is taken from a peer.
    func isGraylisted(_ number: GossipsubPeerNumber, now: Duration) -> Bool {
        self.peers[number]?.isDirect != true && self.score(number, now: now) < self.parameters.scoring.graylistThreshold
    }

    /// Counts what was not taken, and tells it once a heartbeat.
    mutating func refuse(_ refusal: GossipsubRefusal, of number: GossipsubPeerNumber, count: Int = 1) {
        self.counters.refusals[refusal, default: 0] += count
        guard self.peers[number]?.window.told.insert(refusal).inserted == true, let id = self.peers[number]?.id else { return }
        self.events.append(.refused(id, refusal))
    }

    /// The same for what no honest peer does: it costs the score, once a heartbeat for each kind.
    mutating func punish(_ refusal: GossipsubRefusal, of number: GossipsubPeerNumber, count: Int = 1) {
        if self.peers[number]?.window.told.contains(refusal) == false { self.peers[number]?.standing.penalise() }
        self.refuse(refusal, of: number, count: count)
    }
}
