public import CryptoPrimitives
internal import Dispatch
public import LibP2P

/// A node with real sockets: TCP and WebSocket, over IPv4 and IPv6, by address or by name.
///
///     let node = try PosixNode(identity, configuration: Node.Configuration(agentVersion: "program/1.0"))
///     try await node.listen(on: Multiaddr(text: "/ip4/0.0.0.0/tcp/0"))
///     await node.serve("/echo/1.0.0") { stream in … }
///     let connection = try await node.dial(peer, at: [address])
///     let stream = try await node.openStream(to: peer, ["/echo/1.0.0"])
///
/// What it speaks is `Node`'s to know; here are the sockets, the clock and those who wait. One event loop does everything: the node, its
/// streams and its sockets share ``executor``, and nothing there waits. Once it listens or has dialled, a node runs until ``close()``.
///
/// Every question to a peer ends: the protocol's own time limit ends it with an error, and so do ``close()`` and, with
/// ``NodeError/cancelled``, the end of the task that asked.
public actor PosixNode {
    /// Events that wait for one who reads them slowly, and their bytes. Beyond either the oldest are dropped: they tell, they decide nothing.
    public static let eventCountMax = 4_096
    public static let eventByteCountMax = 16_777_216
    /// Events that tell of something that was refused, which any stranger can bring about as often as it likes: so many wait beside the
    /// others, and push out none of those.
    public static let refusalEventCountMax = 1_024

    /// How often the node looks whether its interfaces or the system's clock have changed: neither is told by the system in one way
    /// everywhere, and a laptop that moved is found again within a minute.
    static let surroundingsInterval = Duration.seconds(60)

    /// The loop. Other actors of the same node may share it.
    public nonisolated let executor: NodeExecutor
    public nonisolated let identity: PeerIdentity
    var node: Node

    private let start = ContinuousClock.now
    private(set) lazy var sockets = SocketTable(queue: self.executor.queue, start: self.start) { event in
        self.assumeIsolated { $0.handle(event) }
    }
    /// Where others reach this node beside the addresses of its interfaces: behind a router that passes a port on, for example.
    let outerAddresses: [Multiaddr]
    var state = State.open

    enum State {
        case open
        /// Last words go out.
        case closing
        /// The system lets go of the sockets.
        case stopping
        case closed
    }

    var streams: [StreamID: NodeStream] = [:]
    var handlers: [String: @Sendable (isolated NodeStream) async -> Void] = [:]
    var subscriptions = PubSubSubscriptions()
    /// Take the events of protocol machines that the owner added.
    var machinePumps: [(inout Swarm) -> Void] = []
    /// The one that is on, and those whose sockets are being closed.
    var discoveries: [UInt64: ActiveDiscovery] = [:]
    var nextDiscovery: UInt64 = 0
    var whenDiscoveriesStopped: (() -> Void)?
    private var listeners: [UInt64: BoundedStream<Node.Event>] = [:]
    private var nextListener: UInt64 = 0

    var waiters = NodeWaiters()
    var closeWaiters: [CheckedContinuation<Void, Never>] = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    /// - Parameters:
    ///   - configuration: with `addresses` that its interfaces do not show, if there are any: a router's that passes a port on.
    ///   - executor: to be shared with others; a new one otherwise.
    public init(
        _ identity: PeerIdentity, configuration: Node.Configuration, executor: NodeExecutor = NodeExecutor()
    ) throws(SecretMemoryError) {
        self.identity = identity
        self.executor = executor
        self.outerAddresses = configuration.addresses
        self.node = Node(
            identity, staticKey: NoiseStaticKey(try X25519.SecretKey.generate(), of: identity), makeEphemeralKey: X25519.SecretKey.generate,
            configuration: configuration, seed: SystemRandom.bytes(count: 8).reduce(0) { $0 << 8 | UInt64($1) },
            unixTimeOffset: System.unixTime, now: .zero)
    }

    /// A node that speaks ping and identify, and what its owner adds.
    public init(
        _ identity: PeerIdentity, limits: SwarmLimits = SwarmLimits(), executor: NodeExecutor = NodeExecutor()
    ) throws(SecretMemoryError) {
        var configuration = Node.Configuration.bare(agentVersion: "chorale")
        configuration.limits = limits
        try self.init(identity, configuration: configuration, executor: executor)
    }

    public nonisolated var id: PeerID { self.identity.id }

    /// The node's clock, as its swarm and its machines know it.
    public var now: Duration { self.sockets.now }

    // MARK: The loop

    private func handle(_ event: SocketEvent) {
        self.sockets.handle(event, &self.node.swarm)
        self.settle()
    }

    /// After every call into the node.
    func carryOut() {
        self.sockets.carryOut(&self.node.swarm)
        self.settle()
    }

    /// Tells what happened, and carries out what the node makes of it, until nothing happens any more.
    private func settle() {
        self.tellEvents()
        while self.node.swarm.hasCommands {
            self.sockets.carryOut(&self.node.swarm)
            self.tellEvents()
        }
    }

    /// After what streams do: they do it often, and gain by having it carried out together, at the end of the loop's turn.
    func carryOutSoon() {
        self.sockets.carryOutSoon()
        self.tellEvents()
    }

    private func tellEvents() {
        while let event = self.node.nextEvent(now: self.now) { self.tell(event) }
        for pump in self.machinePumps { pump(&self.node.swarm) }
        if self.state == .closing, self.sockets.pipes.isEmpty { self.stop() }
    }

    private func tell(_ event: Node.Event) {
        switch event {
        case .swarm(let event): self.tell(event)
        case .identify(let event): self.tell(event)
        case .ping(let event): self.tell(event)
        case .gossipsub(let event): self.tell(event)
        case .kad(let event): self.tell(event)
        case .relayClient(let event): self.tell(event)
        case .holePunch(let event): self.tell(event)
        case .relayServer: break
        }
        // Messages are for who subscribed: thousands of up to 1 MiB would wait for one who reads events slowly, or not at all.
        if case .gossipsub(.message) = event { return }
        guard !self.listeners.isEmpty else { return }
        let byteCount = event.byteCount
        for listener in self.listeners.values { listener.yield(event, byteCount: byteCount, isRefusal: event.isRefusal) }
    }

    private func tell(_ event: SwarmEvent) {
        switch event {
        case .connected(let info): self.tellDials(info)
        case .dialFailed(let peer?, let error): self.tellDials(peer, error)
        case .disconnected, .dialFailed(nil, _), .handshakeFailed, .refused, .streamRefused, .relayNeeded: break
        default: self.tellStream(event)
        }
    }

    /// What happens, from now on. Messages of topics are not among it: they come to ``subscribe(to:needsVerdict:)``.
    public func events() -> AsyncStream<Node.Event> {
        let events = BoundedStream<Node.Event>(
            countMax: Self.eventCountMax, byteCountMax: Self.eventByteCountMax, refusalCountMax: Self.refusalEventCountMax)
        let number = self.nextListener
        self.nextListener += 1
        if self.state == .closed { events.finish() } else { self.listeners[number] = events }
        return events.stream { [weak self] in
            guard let self else { return }
            self.executor.queue.async { self.assumeIsolated { $0.listeners[number] = nil } }
        }
    }

    // MARK: End

    /// Nothing more can happen.
    func endEvents() {
        self.subscriptions.finish()
        for listener in self.listeners.values { listener.finish() }
        self.listeners = [:]
    }
}

extension Node.Event {
    /// Whether it tells that something of a stranger's was refused.
    var isRefusal: Bool {
        switch self {
        case .swarm(let event):
            switch event {
            case .refused, .streamRefused, .handshakeFailed: true
            case .connected, .disconnected, .dialFailed, .relayNeeded, .streamOpened, .streamFailed, .streamInbound, .readable, .ended,
                .reset, .writable:
                false
            }
        case .identify(.refused), .ping(.refused), .gossipsub(.refused), .kad(.refused), .relayClient(.refused), .relayServer(.refused),
            .relayServer(.requestMissing), .holePunch(.refused):
            true
        case .identify, .ping, .gossipsub, .kad, .relayClient, .relayServer, .holePunch: false
        }
    }

    /// What an event takes while it waits, about.
    var byteCount: Int {
        switch self {
        case .kad(.finished(_, .value(let value, _), _)): 512 + value.count
        case .kad(.finished(_, .providers(let found), _)): found.reduce(512) { $0 + 256 + $1.addresses.count * 256 }
        // With the addresses and protocols that it names: what identify reads of a peer is at most so much.
        case .identify(.identified): 8_192
        case .swarm, .identify, .ping, .gossipsub, .kad, .relayClient, .relayServer, .holePunch: 512
        }
    }
}
