public import CryptoPrimitives
internal import Dispatch
public import LibP2P

/// A swarm with real sockets: TCP and WebSocket, over IPv4 and IPv6, by address or by name.
///
///     let node = try PosixNode(identity)
///     try await node.listen(on: Multiaddr(text: "/ip4/0.0.0.0/tcp/0"))
///     await node.serve("/echo/1.0.0") { stream in … }
///     let connection = try await node.dial(peer, at: [address])
///     let stream = try await node.openStream(to: peer, ["/echo/1.0.0"])
///
/// One event loop does everything: the node, its streams and its sockets share ``executor``, and nothing there waits. Once it listens or
/// has dialled, a node runs until ``close()``.
public actor PosixNode {
    /// How long `close` waits for peers to take the last words.
    public static let closeTimeout = Duration.seconds(1)

    /// Events that wait for one who reads them slowly. Beyond it the oldest are dropped: they tell, they decide nothing.
    public static let eventCountMax = 4_096

    /// The loop. Other actors of the same node may share it.
    public nonisolated let executor: NodeExecutor
    public nonisolated let identity: PeerIdentity
    private var swarm: Swarm

    private(set) lazy var sockets = SocketTable(queue: self.executor.queue) { event in self.assumeIsolated { $0.handle(event) } }
    private var isClosing = false
    private var isClosed = false

    private var streams: [StreamID: NodeStream] = [:]
    private var handlers: [String: @Sendable (isolated NodeStream) async -> Void] = [:]
    private var dialWaiters: [PeerID: [CheckedContinuation<Result<ConnectionInfo, NodeError>, Never>]] = [:]
    private var openWaiters: [UInt64: CheckedContinuation<Result<NodeStream, NodeError>, Never>] = [:]
    private var closeWaiters: [CheckedContinuation<Void, Never>] = []
    private var listeners: [UInt64: AsyncStream<SwarmEvent>.Continuation] = [:]
    private var nextListener: UInt64 = 0
    /// Take the events of protocol machines.
    private var machinePumps: [(inout Swarm) -> Void] = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    /// - Parameter executor: to be shared with others; a new one otherwise.
    public init(
        _ identity: PeerIdentity, limits: SwarmLimits = SwarmLimits(), executor: NodeExecutor = NodeExecutor()
    ) throws(SecretMemoryError) {
        self.identity = identity
        self.executor = executor
        self.swarm = Swarm(
            identity, staticKey: NoiseStaticKey(try X25519.SecretKey.generate(), of: identity), makeEphemeralKey: X25519.SecretKey.generate,
            limits: limits, seed: SystemRandom.bytes(count: 8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    public nonisolated var id: PeerID { self.identity.id }

    /// The node's clock, as its swarm and its machines know it.
    public var now: Duration { self.sockets.now }

    // MARK: The loop

    private func handle(_ event: SocketEvent) {
        self.sockets.handle(event, &self.swarm)
        self.tellEvents()
    }

    /// After every call into the swarm.
    private func carryOut() {
        self.sockets.carryOut(&self.swarm)
        self.tellEvents()
    }

    /// The same for what streams do: they do it often, and gain by doing it together.
    private func carryOutSoon() {
        self.sockets.carryOutSoon()
        self.tellEvents()
    }

    private func tellEvents() {
        while let event = self.swarm.nextEvent() { self.tell(event) }
        for pump in self.machinePumps { pump(&self.swarm) }
        if self.isClosing, !self.isClosed, self.sockets.pipes.isEmpty { self.stop() }
    }

    private func tell(_ event: SwarmEvent) {
        switch event {
        case .connected(let info): self.dialEnded(info.peer, .success(info))
        case .dialFailed(let peer?, let error): self.dialEnded(peer, .failure(.dial(error)))
        case .streamOpened(let request, let id, let protocolID):
            let stream = self.addStream(id, protocolID)
            if let waiter = self.openWaiters.removeValue(forKey: request) {
                waiter.resume(returning: .success(stream))
            } else {
                self.reset(id)
            }
        case .streamFailed(let request, let failure):
            self.openWaiters.removeValue(forKey: request)?.resume(returning: .failure(.stream(failure)))
        case .streamInbound(let id, _, let protocolID):
            guard let handler = self.handlers[protocolID] else { return self.reset(id) }
            let stream = self.addStream(id, protocolID)
            Task { await handler(stream) }
        case .readable(let id): self.streams[id]?.assumeIsolated { $0.becameReadable() }
        case .writable(let id): self.streams[id]?.assumeIsolated { $0.becameWritable() }
        case .ended(let id):
            guard let stream = self.streams[id] else { break }
            if stream.assumeIsolated({ $0.inputEnded() }) { self.streams[id] = nil }
        case .reset(let id): self.streams.removeValue(forKey: id)?.assumeIsolated { $0.wasReset() }
        // Relays come with their own protocol, not with the sockets.
        case .relayNeeded(let id, _): self.swarm.dialFailed(id, .noTransport, now: self.now)
        case .disconnected, .dialFailed(nil, _), .handshakeFailed, .refused: break
        }
        for listener in self.listeners.values { listener.yield(event) }
    }

    private func dialEnded(_ peer: PeerID, _ result: Result<ConnectionInfo, NodeError>) {
        for waiter in self.dialWaiters.removeValue(forKey: peer) ?? [] { waiter.resume(returning: result) }
    }

    private func addStream(_ id: StreamID, _ protocolID: String) -> NodeStream {
        let stream = NodeStream(self, id, protocolID, self.swarm.connection(of: id))
        self.streams[id] = stream
        return stream
    }
}

/// Why something that a node was asked for did not come about.
public enum NodeError: Error, Equatable, Sendable, CustomStringConvertible {
    case dial(DialError)
    case stream(StreamFailure)
    /// `disconnect` came before the dial was over.
    case calledOff
    /// The node is closed.
    case closed

    public var description: String {
        switch self {
        case .dial(let error): error.description
        case .stream(.notConnected): "there is no connection to the peer"
        case .stream(.notSupported): "the peer speaks none of the protocols"
        case .stream(.timedOut): "the peer did not agree on a protocol in time"
        case .stream(.tooManyStreams): "too many streams are open"
        case .stream(.ended): "the peer ended the stream before a protocol was agreed on"
        case .calledOff: "the dial was called off"
        case .closed: "the node is closed"
        }
    }
}

// MARK: - What its owner does

extension PosixNode {
    /// Listens on an address; may be called for several. Port 0 takes any free port.
    ///
    /// - Returns: the addresses on which others reach it.
    @discardableResult
    public func listen(on address: Multiaddr) throws(ListenError) -> [Multiaddr] {
        guard !self.isClosing else { throw .cannotListen(address) }
        return try self.sockets.listen(on: address)
    }

    /// Where others reach this node, as its interfaces are now.
    public var listenAddresses: [Multiaddr] { self.sockets.listenAddresses }

    /// Connects to a peer, unless there is a connection: then that one is given back.
    public func dial(
        _ peer: PeerID, at addresses: [Multiaddr] = [], options: DialOptions = DialOptions()
    ) async throws(NodeError) -> ConnectionInfo {
        guard !self.isClosing else { throw .closed }
        if let info = self.swarm.dial(peer, at: addresses, options: options, now: self.now) { return info }
        let result = await withCheckedContinuation { waiter in
            self.dialWaiters[peer, default: []].append(waiter)
            self.carryOut()
        }
        return try result.get()
    }

    public func disconnect(_ peer: PeerID) {
        self.swarm.disconnect(peer, now: self.now)
        self.carryOut()
        self.dialEnded(peer, .failure(.calledOff))
    }

    public var connectedPeers: [PeerID] { self.swarm.connectedPeers.sorted() }

    /// The connections with a peer, the oldest first.
    public func connections(to peer: PeerID) -> [ConnectionInfo] { self.swarm.connections(to: peer) }

    /// Bytes held for connections and streams, what sockets did not take yet included.
    public var heldByteCount: Int { self.swarm.heldByteCount + self.sockets.unsentByteCount }

    /// Sockets of connections, being connected, in use or being closed.
    public var pipeCount: Int { self.sockets.pipes.count }

    /// What happens, from now on.
    public func events() -> AsyncStream<SwarmEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: SwarmEvent.self, bufferingPolicy: .bufferingNewest(Self.eventCountMax))
        if self.isClosed {
            continuation.finish()
            return stream
        }
        let number = self.nextListener
        self.nextListener += 1
        self.listeners[number] = continuation
        continuation.onTermination = { [weak self] _ in
            guard let self else { return }
            self.executor.queue.async { self.assumeIsolated { $0.listeners[number] = nil } }
        }
        return stream
    }

    // MARK: Streams

    /// Takes inbound streams of a protocol. The handler must end them: by `closeWrite` and reading to the end, or by `reset`.
    ///
    /// It runs on the node's loop, as an `isolated` function does that gets a stream, so that no byte costs a change of threads. What takes
    /// long to compute belongs elsewhere.
    public func serve(_ protocolID: String, _ handler: @escaping @Sendable (isolated NodeStream) async -> Void) {
        self.handlers[protocolID] = handler
        self.swarm.serve(protocolID)
    }

    public func stopServing(_ protocolID: String) {
        self.handlers[protocolID] = nil
        self.swarm.stopServing(protocolID)
    }

    /// Opens a stream to a connected peer, for the first of the protocols that it speaks.
    public func openStream(to peer: PeerID, _ protocolIDs: [String]) async throws(NodeError) -> NodeStream {
        guard !self.isClosing else { throw .closed }
        let request = self.swarm.open(protocolIDs, to: peer, now: self.now)
        let result = await withCheckedContinuation { waiter in
            self.openWaiters[request] = waiter
            self.carryOut()
        }
        return try result.get()
    }

    func read(_ id: StreamID) -> [UInt8]? {
        guard let chunk = self.swarm.read(id, now: self.now) else { return nil }
        self.carryOutSoon()
        return chunk
    }

    func write(_ chunk: [UInt8], to id: StreamID) throws(SwarmWriteError) {
        try self.swarm.write(chunk, to: id, now: self.now)
        self.carryOutSoon()
    }

    func closeWrite(_ id: StreamID, hasEnded: Bool) {
        self.swarm.closeWrite(id, now: self.now)
        if hasEnded { self.streams[id] = nil }
        self.carryOutSoon()
    }

    func reset(_ id: StreamID) {
        self.streams[id] = nil
        self.swarm.reset(id, now: self.now)
        self.carryOut()
    }

    // MARK: Protocol machines

    /// Adds a protocol machine to the swarm. Its events come through the stream; the oldest are dropped when nobody reads them.
    public func add<Machine: ProtocolMachine>(
        _ machine: Machine, onLimited: Bool = false
    ) -> (handle: ProtocolHandle<Machine>, events: AsyncStream<Machine.Event>) {
        let handle = self.swarm.add(machine, onLimited: onLimited, now: self.now)
        let (stream, continuation) = AsyncStream.makeStream(of: Machine.Event.self, bufferingPolicy: .bufferingNewest(Self.eventCountMax))
        self.machinePumps.append { swarm in
            while let event = swarm.nextEvent(of: handle) { continuation.yield(event) }
        }
        self.carryOut()
        return (handle, stream)
    }

    /// Asks a machine for something, and carries out what it then wants.
    public func update<Machine: ProtocolMachine, Result: Sendable>(
        _ handle: ProtocolHandle<Machine>, _ body: @Sendable (inout Machine, Duration) -> Result
    ) -> Result {
        let now = self.now
        let result = self.swarm.update(handle, now: now) { body(&$0, now) }
        self.carryOut()
        return result
    }

    /// Uses the swarm itself: its address book, its gate, its protections. What it then wants is carried out.
    public func withSwarm<Result: Sendable>(_ body: @Sendable (inout Swarm, Duration) -> Result) -> Result {
        let result = body(&self.swarm, self.now)
        self.carryOut()
        return result
    }

    // MARK: End

    /// Ends everything: no socket is left when it returns.
    public func close() async {
        if self.isClosed { return }
        await withCheckedContinuation { waiter in
            self.closeWaiters.append(waiter)
            guard !self.isClosing else { return }
            self.isClosing = true
            self.sockets.stopListening()
            self.swarm.shutDown(now: self.now)
            let (seconds, attoseconds) = Self.closeTimeout.components
            let wait = DispatchTimeInterval.nanoseconds(Int(seconds * 1_000_000_000 + attoseconds / 1_000_000_000))
            self.executor.queue.asyncAfter(deadline: .now() + wait) { [weak self] in self?.assumeIsolated { $0.stop() } }
            self.carryOut()
        }
    }

    private func stop() {
        guard !self.isClosed else { return }
        self.isClosed = true
        self.sockets.stop { self.assumeIsolated { $0.stopped() } }
    }

    private func stopped() {
        for stream in self.streams.values { stream.assumeIsolated { $0.wasReset() } }
        self.streams = [:]
        for peer in Array(self.dialWaiters.keys) { self.dialEnded(peer, .failure(.closed)) }
        for waiter in self.openWaiters.values { waiter.resume(returning: .failure(.closed)) }
        self.openWaiters = [:]
        for listener in self.listeners.values { listener.finish() }
        self.listeners = [:]
        self.machinePumps = []
        self.handlers = [:]
        for waiter in self.closeWaiters { waiter.resume() }
        self.closeWaiters = []
    }
}
