public import CryptoPrimitives

/// A node's connections: dialled and accepted, encrypted, bounded, with streams for protocol machines and for the node's owner.
///
/// A value without socket, clock or task. What carries its bytes stands in SwarmShell.swift; what it does for its owner:
///
///     var swarm = Swarm(identity, staticKey: key, makeEphemeralKey: X25519.SecretKey.generate, seed: 1)
///     let ping = swarm.add(PingMachine(), now: now)
///     swarm.serve("/echo/1.0.0")
///     swarm.dial(peer, at: [address], now: now)
///     while let event = swarm.nextEvent() { … }
///     swarm.update(ping, now: now) { $0.ping(peer) }
///
/// - **Dials.** All addresses of one peer make one dial, however often it is asked for. They are tried in the order loopback, private,
///   public, WebSocket, relay, and within that as the address book ranks them, each with ``SwarmLimits/dialStagger`` before the next
///   one joins; the first proved connection wins. A peer of which all addresses failed is left alone for a while.
/// - **Two that dial each other** get two connections, and both are kept: whichever one side closed could be the one that the other
///   just chose. New streams take a direct one before a relayed one, then the oldest; the other one falls idle and ends.
/// - **Limits** refuse what comes too much, with `SwarmEvent.refused`; the least used connections go first, protected peers' never.
/// - **Machines** get what they wrote in order; what they read is given back to the peer's window at once. The owner's own streams are
///   read when the owner asks, so that the peer feels a slow owner.
public struct Swarm: ~Copyable, Sendable {
    public let identity: PeerIdentity
    public let limits: SwarmLimits
    public var addressBook = AddressBook()
    /// Looked at when a connection comes about. `disconnect` ends what is there already.
    public var gate = SwarmGate()
    public internal(set) var counters = SwarmCounters()

    let staticKey: NoiseStaticKey
    let makeEphemeralKey: @Sendable () throws(SecretMemoryError) -> X25519.SecretKey
    var random: SeededRandom

    var links: [ConnectionID: Owned<SwarmLink>] = [:]
    var pendingDials: [ConnectionID: PendingDial] = [:]
    var ladders: [PeerID: DialLadder] = [:]
    /// Which dial a pipe belongs to, until it is established or has failed.
    var attemptPeers: [ConnectionID: PeerID] = [:]
    var backoffs: [DialBackoff.Key: DialBackoff] = [:]
    var peers: [PeerID: SwarmPeer] = [:]
    var protectedPeers: Set<PeerID> = []
    var streams: [StreamID: SwarmStream] = [:]
    var machines: [any MachineCell] = []
    var served: [String: ServedProtocol] = [:]

    var establishedCount = 0
    /// Pipes of strangers in their handshakes.
    var inboundHandshakes: Set<ConnectionID> = []
    var inboundHandshakeCount: Int { self.inboundHandshakes.count }
    var inboundCountsByAddress: [[UInt8]: Int] = [:]
    /// Bytes held by all connections, as they were last counted.
    var linkByteCount = 0
    var pendingWriteByteCount = 0

    var deadlines = DeadlineQueue<DeadlineSubject>()
    var touched = YamuxQueue<ConnectionID>()
    var machineInputs = YamuxQueue<(machine: Int, input: ProtocolInput)>()
    /// When each machine wants to be called next, as it was when it last had nothing more to do.
    var machineDeadlines: [Duration?] = []
    var dirtyMachines = MachinePlaces()
    /// Streams of which machines have got so much that they are asked first whether they want more.
    var unread = YamuxQueue<StreamID>()
    /// Set whenever a machine ran; whoever has taken all events of all of them takes it back, and need not ask until it is set again.
    var machinesMayTell = true
    var commands = YamuxQueue<SwarmCommand>()
    var events = YamuxQueue<SwarmEvent>()
    var nextConnectionNumber: UInt64 = 1
    var nextStreamNumber: UInt64 = 1
    var nextRequestNumber: UInt64 = 1

    enum DeadlineSubject: Sendable {
        case link(ConnectionID)
        case pendingDial(ConnectionID)
        case ladder(PeerID)
        /// The stream below a relayed connection that has ended.
        case carrier(StreamID)
    }

    struct ServedProtocol: Sendable {
        var owner: StreamOwner
        var onLimited: Bool
    }

    /// - Parameters:
    ///   - staticKey: made once for a process.
    ///   - makeEphemeralKey: gives a new, unpredictable key for each connection: `X25519.SecretKey.generate`.
    ///   - seed: for the spread of timers. Nothing secret comes from it.
    public init(
        _ identity: PeerIdentity, staticKey: NoiseStaticKey,
        makeEphemeralKey: @escaping @Sendable () throws(SecretMemoryError) -> X25519.SecretKey, limits: SwarmLimits = SwarmLimits(),
        seed: UInt64
    ) {
        precondition(staticKey.peerID == identity.id, "a swarm's static key speaks for its identity")
        self.identity = identity
        self.staticKey = staticKey
        self.makeEphemeralKey = makeEphemeralKey
        self.limits = limits
        self.random = SeededRandom(seed: seed)
    }

    public var localPeer: PeerID { self.identity.id }

    /// What happened next; `nil` when all is told. Take events after each call.
    public mutating func nextEvent() -> SwarmEvent? { self.events.popFirst() }

    /// Whether there is something for the shell to do.
    public var hasCommands: Bool { !self.commands.isEmpty }

    /// What the shell is to do next; `nil` when that is all.
    public mutating func nextCommand() -> SwarmCommand? { self.commands.popFirst() }
}

// MARK: - What there is

extension Swarm {
    /// Established connections.
    public var connectionCount: Int { self.establishedCount }

    /// Pipes being connected, or in their handshakes.
    public var pendingCount: Int { self.pendingDials.count + self.links.count - self.establishedCount }

    public var connectedPeers: [PeerID] { Array(self.peers.keys) }

    public func isConnected(to peer: PeerID) -> Bool { self.peers[peer] != nil }

    /// The connections with a peer, the oldest first.
    public func connections(to peer: PeerID) -> [ConnectionInfo] {
        (self.peers[peer]?.connections ?? []).compactMap { self.links[$0]?.value.info }
    }

    public func info(of id: ConnectionID) -> ConnectionInfo? { self.links[id]?.value.info }

    /// The smoothed round trip time of a connection, once measured.
    public func roundTrip(of id: ConnectionID) -> Duration? { self.links[id]?.value.connection.roundTrip }

    /// Streams of all connections, of either side.
    public var streamCount: Int { self.streams.count }

    /// Bytes held by connections, streams, machines and what is known of peers, to be counted against the node's budget.
    public var heldByteCount: Int {
        let peers = self.peers.values.reduce(self.addressBook.heldByteCount) { $0 + $1.heldByteCount }
        return self.machines.reduce(self.linkByteCount + self.pendingWriteByteCount + peers) { $0 + $1.heldByteCount }
    }

    /// ``counters`` with what the sessions of connections that stand have seen.
    public var totalCounters: SwarmCounters {
        self.links.values.reduce(into: self.counters) { if $1.value.closing == nil { $0.count($1) } }
    }

    /// Bytes held by the connections with one peer.
    public func heldByteCount(of peer: PeerID) -> Int {
        (self.peers[peer]?.connections ?? []).reduce(0) { $0 + (self.links[$1]?.value.heldByteCount ?? 0) }
    }
}

// MARK: - Time

extension Swarm {
    /// When ``tick(now:)`` is wanted next; `nil` for never. May be sooner than there is something to do.
    public var deadline: Duration? {
        self.machineDeadlines.reduce(self.deadlines.first, earlier)
    }

    /// Does what time brings.
    public mutating func tick(now: Duration) {
        while let (at, subject) = self.deadlines.popDue(now: now) {
            switch subject {
            case .link(let id): self.lookAtLink(id, at: at, now: now)
            case .pendingDial(let id):
                if let dial = self.pendingDials[id], dial.deadline <= now {
                    self.commands.append(.close(id, afterOutput: false))
                    self.pendingDialFailed(id, .timedOut, now: now)
                }
            case .ladder(let peer): self.climb(peer, now: now)
            case .carrier(let id): self.dropStream(id, now: now)
            }
        }
        for index in self.machines.indices where self.machineDeadlines[index].map({ $0 <= now }) ?? false {
            self.machines[index].tick(now: now)
            self.dirtyMachines.insert(index)
        }
        self.settle(now: now)
    }

    private mutating func lookAtLink(_ id: ConnectionID, at: Duration, now: Duration) {
        guard let link = self.links[id], link.value.lookedAt == at else { return }
        link.value.lookedAt = nil
        if let deadline = link.value.lingerDeadline {
            guard deadline <= now else { return self.schedule(link) }
            self.commands.append(.close(id, afterOutput: false))
            return self.forget(link)
        }
        link.value.connection.tick(now: now)
        if let deadline = self.stallDeadline(of: link), deadline <= now {
            self.counters.stalledConnections += 1
            link.value.connection.peerStoppedTaking()
        }
        self.touch(link)
    }

    /// Has the timer look at a connection in time.
    func nextLook(at link: Owned<SwarmLink>) -> Duration? {
        guard link.value.closing == nil else { return link.value.lingerDeadline }
        return earlier(link.value.connection.deadline, self.stallDeadline(of: link))
    }

    private func stallDeadline(of link: Owned<SwarmLink>) -> Duration? {
        guard link.value.closing == nil, link.value.connection.step == .established else { return nil }
        return link.value.stalledSince.map { $0 + self.limits.sendTimeout }
    }

    mutating func schedule(_ link: Owned<SwarmLink>) {
        guard let deadline = self.nextLook(at: link) else { return }
        if let lookedAt = link.value.lookedAt, lookedAt <= deadline { return }
        link.value.lookedAt = deadline
        self.deadlines.insert(.link(link.value.id), at: deadline)
    }

    /// Carries on until nothing moves by itself any more: connections tell, machines answer, streams take what they are given.
    mutating func settle(now: Duration) {
        while true {
            if let id = self.touched.popFirst() {
                if let link = self.links[id] { self.attend(to: link, now: now) }
            } else if let (index, input) = self.machineInputs.popFirst() {
                self.machines[index].handle(input, now: now)
                self.dirtyMachines.insert(index)
            } else if let index = self.dirtyMachines.popFirst() {
                self.serve(machine: index, now: now)
            } else if let id = self.unread.popFirst() {
                self.readForMachine(id, now: now)
            } else {
                return
            }
        }
    }

    /// Does what a machine that ran wants, and notes what has changed about it.
    private mutating func serve(machine index: Int, now: Duration) {
        self.machinesMayTell = true
        while let command = self.machines[index].nextCommand() { self.carryOut(command, of: index, now: now) }
        self.refreshServed(index)
        self.machineDeadlines[index] = self.machines[index].deadline
    }

    mutating func touch(_ link: Owned<SwarmLink>) {
        guard !link.value.isTouched else { return }
        link.value.isTouched = true
        self.touched.append(link.value.id)
    }
}
