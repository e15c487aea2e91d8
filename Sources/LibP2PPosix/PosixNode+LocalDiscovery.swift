internal import CryptoPrimitives
internal import Dispatch
internal import LibP2P

extension PosixNode {
    /// Finds peers on the networks of this machine by multicast DNS, and is found by them, until ``stopLocalDiscovery()`` or ``close()``.
    ///
    /// Off until it is called: it tells everybody on the networks that there is a peer, and where. What is told of others goes to the
    /// address book as hearsay, for dials to use; the stream says it, and what the system has against an interface. The oldest are dropped
    /// when nobody reads them. A second call ends what the first one began.
    @discardableResult
    public func discoverLocalPeers(
        _ configuration: LocalDiscovery.Configuration = LocalDiscovery.Configuration()
    ) -> AsyncStream<LocalDiscovery.Event> {
        self.stopLocalDiscovery()
        let (stream, continuation) = AsyncStream.makeStream(
            of: LocalDiscovery.Event.self, bufferingPolicy: .bufferingNewest(Self.eventCountMax))
        guard self.state == .open else {
            continuation.finish()
            return stream
        }
        let number = self.nextDiscovery
        self.nextDiscovery += 1
        let sockets = DiscoverySockets(
            peer: self.id, configuration: configuration, seed: SystemRandom.bytes(count: 8).reduce(0) { $0 << 8 | UInt64($1) },
            queue: self.executor.queue
        ) { event in self.assumeIsolated { $0.handle(event, of: number) } }
        let discovery = ActiveDiscovery(sockets: sockets, dialsDiscovered: configuration.dialsDiscovered, events: continuation)
        self.discoveries[number] = discovery
        sockets.start(addresses: self.listenAddresses, now: self.now)
        self.tellEvents(of: discovery)
        return stream
    }

    /// Takes leave of the networks: others forget this node there.
    public func stopLocalDiscovery() {
        for (number, discovery) in self.discoveries where !discovery.isStopped {
            discovery.isStopped = true
            discovery.events.finish()
            discovery.sockets.stop(now: self.now)
            discovery.sockets.whenStopped { self.assumeIsolated { $0.discoveryStopped(number) } }
        }
    }

    /// How many have sockets.
    var discoveryCount: Int { self.discoveries.count }

    private func handle(_ event: DiscoverySocketEvent, of number: UInt64) {
        guard let discovery = self.discoveries[number] else { return }
        discovery.sockets.handle(event, now: self.now)
        self.tellEvents(of: discovery)
    }

    private func tellEvents(of discovery: ActiveDiscovery) {
        guard !discovery.isStopped else { return }
        var isChanged = false
        while let event = discovery.sockets.nextEvent() {
            if case .discovered(let peer, let addresses) = event {
                self.node.swarm.addressBook.add(addresses, of: peer, from: .hearsay, now: self.now)
                if discovery.dialsDiscovered {
                    _ = self.node.swarm.dial(peer, now: self.now)
                    isChanged = true
                }
            }
            discovery.events.yield(event)
        }
        if isChanged { self.carryOut() }
    }

    /// Where we listen has changed.
    func tellDiscoveries(_ addresses: [Multiaddr]) {
        for discovery in self.discoveries.values where !discovery.isStopped {
            discovery.sockets.setAddresses(addresses, now: self.now)
            self.tellEvents(of: discovery)
        }
    }

    private func discoveryStopped(_ number: UInt64) {
        self.discoveries[number] = nil
        if self.discoveries.isEmpty { self.whenDiscoveriesStopped.take()?() }
    }
}

/// A discovery from its begin until its last socket is closed.
final class ActiveDiscovery {
    let sockets: DiscoverySockets
    let dialsDiscovered: Bool
    let events: AsyncStream<LocalDiscovery.Event>.Continuation
    var isStopped = false

    init(sockets: DiscoverySockets, dialsDiscovered: Bool, events: AsyncStream<LocalDiscovery.Event>.Continuation) {
        self.sockets = sockets
        self.dialsDiscovered = dialsDiscovered
        self.events = events
    }
}
