internal import Dispatch
public import LibP2P

extension PosixNode {
    /// Listens on an address; may be called for several. Port 0 takes any free port.
    ///
    /// - Returns: the addresses on which others reach it.
    @discardableResult
    public func listen(on address: Multiaddr) throws(ListenError) -> [Multiaddr] {
        guard self.state == .open else { throw .cannotListen(address) }
        let isFirst = self.sockets.listeners.isEmpty
        let addresses = try self.sockets.listen(on: address)
        self.lookAround()
        if isFirst { self.lookAroundLater() }
        return addresses
    }

    /// Where others on this machine's networks reach this node, as its interfaces are now.
    public var listenAddresses: [Multiaddr] { self.sockets.listenAddresses }

    /// Where the node tells others that it can be reached.
    public var announcedAddresses: [Multiaddr] { self.node.announcedAddresses }

    /// Interfaces come and go, and clocks are set right.
    private func lookAround() {
        self.node.setUnixTimeOffset(System.unixTime - self.now, now: self.now)
        let own = self.sockets.listenAddresses
        self.node.setAddresses(self.outerAddresses.filter { !own.contains($0) } + own, now: self.now)
        self.tellDiscoveries(own)
        self.carryOut()
    }

    private nonisolated func lookAroundLater() {
        self.executor.queue.asyncAfter(deadline: .now() + DispatchTimeInterval(Self.surroundingsInterval)) { [weak self] in
            self?.assumeIsolated { node in
                guard node.state == .open else { return }
                node.lookAround()
                node.lookAroundLater()
            }
        }
    }

    // MARK: Connections

    /// Connects to a peer, unless there is a connection that the options ask for: then that one is given back.
    ///
    /// Addresses that others told, a hash table for example, are given with `DialOptions.isHearsay`: see ``dial(_:options:)``. When the task
    /// is cancelled the dial itself goes on: others may wait for it.
    public func dial(
        _ peer: PeerID, at addresses: [Multiaddr] = [], options: DialOptions = DialOptions()
    ) async throws(NodeError) -> ConnectionInfo {
        guard self.state == .open else { throw .closed }
        if Task.isCancelled { throw .cancelled }
        if let info = self.node.swarm.dial(peer, at: addresses, options: options, now: self.now) { return info }
        // One through a relay that limits it, and that came from the other side, is no answer while a better one may come of the dial.
        return try await self.answer(\.dials, for: peer) { info in
            options.isAnswered(by: info) || !options.isDirect && (info.isOutbound || !self.node.swarm.isDialling(peer))
        }
    }

    /// Connects to a peer that a hash table named, where it said that the peer is.
    public func dial(_ found: KadFoundPeer, options: DialOptions = DialOptions()) async throws(NodeError) -> ConnectionInfo {
        var options = options
        options.isHearsay = true
        return try await self.dial(found.id, at: found.addresses, options: options)
    }

    func tellDials(_ info: ConnectionInfo) { self.waiters.dials.answer(info.peer, with: info) }

    /// Nothing better comes any more.
    func tellDials(_ peer: PeerID, _ error: DialError) {
        if let info = self.node.swarm.preferredConnection(to: peer) { self.waiters.dials.answer(peer, with: info) }
        self.waiters.dials.answerAll(peer, .failure(.dial(error)))
    }

    public func disconnect(_ peer: PeerID) {
        self.node.swarm.disconnect(peer, now: self.now)
        self.carryOut()
        self.waiters.dials.answerAll(peer, .failure(.calledOff))
    }

    public var connectedPeers: [PeerID] { self.node.swarm.connectedPeers.sorted() }

    /// Established connections, with all peers together.
    public var connectionCount: Int { self.node.swarm.connectionCount }

    /// The connections with a peer, the oldest first.
    public func connections(to peer: PeerID) -> [ConnectionInfo] { self.node.swarm.connections(to: peer) }

    /// Where a peer can be reached, as far as it is known.
    public func addresses(of peer: PeerID) -> [Multiaddr] { self.node.swarm.addressBook.addresses(of: peer, now: self.now) }

    /// Bytes held for connections and streams, what sockets did not take yet included.
    public var heldByteCount: Int { self.node.swarm.heldByteCount + self.sockets.unsentByteCount }

    /// Sockets of connections, being connected, in use or being closed.
    public var pipeCount: Int { self.sockets.pipes.count }
}

extension DispatchTimeInterval {
    /// Of at most some hundred years.
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .nanoseconds(Int(clamping: seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000))
    }
}
