import Testing

@testable import LibP2P

/// Three nodes: the first and the last are hidden from each other, the one in the middle is a relay.
private final class RelayedWorld {
    let world: NodeWorld
    let (one, relay, other): (HostedNode, HostedNode, HostedNode)

    /// - Parameter network: the first byte of the addresses; public ones in place of private ones with 8.
    init(network: UInt8 = 10, seed: UInt64 = 0, _ change: (inout Node.Configuration) -> Void = { _ in }) throws {
        self.world = try NodeWorld(nodeCount: 3, network: network, seed: seed) { index, configuration in
            if index == 1 { configuration.relayServer = RelayServer.Configuration() }
            change(&configuration)
        }
        self.world.hidden = [0, 2]
        (self.one, self.relay, self.other) = (self.world.nodes[0], self.world.nodes[1], self.world.nodes[2])
        for host in [self.one, self.other] { host.node.swarm.serve("/echo/1.0.0", onLimited: true) }
    }

    var now: Duration { self.world.now }
    var circuit: Multiaddr { self.relay.address.appending(.p2p(self.relay.id), .p2pCircuit) }

    /// The last one connects to the relay and asks for a place.
    func reserve() {
        self.world.connect(2, to: 1)
        self.other.node.reserve(at: self.relay.id, now: self.now)
        self.world.run(for: .seconds(1))
    }

    /// The first one, which knows the relay by the address only, dials the last one.
    func dialThrough() {
        self.one.node.swarm.dial(self.other.id, at: [self.circuit], now: self.now)
        self.world.run(for: .seconds(1))
    }

    func echo(_ bytes: [UInt8]) throws -> [UInt8]? {
        let request = self.one.node.swarm.open(["/echo/1.0.0"], to: self.other.id, onLimited: true, now: self.now)
        self.world.run(for: .seconds(1))
        for case .streamOpened(request, let id, _) in self.one.swarmEvents {
            try self.one.node.swarm.write(bytes, to: id, now: self.now)
            self.one.node.swarm.closeWrite(id, now: self.now)
            self.world.run(for: .seconds(1))
            return self.one.received[id]
        }
        return nil
    }
}

extension HostedNode {
    fileprivate var upgrades: [DCUtR.Event] {
        self.events.compactMap { event in
            switch event {
            case .holePunch(.upgraded(let peer, let attempts)): .upgraded(peer, attempts: attempts)
            case .holePunch(.failed(let peer, let error)): .failed(peer, error)
            default: nil
            }
        }
    }
    fileprivate var punches: [DirectDial] {
        self.events.compactMap { if case .holePunch(.dial(let dial)) = $0, dial.isHolePunch { dial } else { nil } }
    }
    fileprivate var refusedReservations: [RelayError] {
        self.events.compactMap { if case .relayClient(.notReserved(_, let error)) = $0 { error } else { nil } }
    }
    fileprivate func isLimited(to peer: PeerID) -> [Bool] { self.node.swarm.connections(to: peer).map(\.isLimited) }
}

struct `Nodes that only a relay connects` {
    @Test(arguments: UInt64(0)..<10)
    func `meet through it, dial each other at once, and stay together without it`(seed: UInt64) throws {
        let net = try RelayedWorld(network: 8, seed: seed)
        net.reserve()
        #expect(net.other.node.reservations.map(\.relay) == [net.relay.id])
        #expect(net.other.node.announcedAddresses == [net.other.address, net.circuit])
        net.dialThrough()
        #expect(net.one.isLimited(to: net.other.id) == [true])
        #expect(net.one.node.swarm.connections(to: net.other.id).map(\.remoteAddress) == [net.circuit])
        #expect(try net.echo(Array("through the relay".utf8)) == Array("through the relay".utf8))

        // The one that was dialled tries an ordinary dial first, which the other one's NAT swallows.
        net.world.run(for: .seconds(10))
        // Whom it is connected to has been told the new address.
        #expect(net.relay.node.swarm.addressBook.addresses(of: net.other.id, now: net.now).contains(net.circuit))
        #expect(net.one.punches.map(\.role) == [.dialer] && net.other.punches.map(\.role) == [.listener])
        #expect(net.one.upgrades == [.upgraded(net.other.id, attempts: 1)])
        #expect(net.other.upgrades == [.upgraded(net.one.id, attempts: 1)])
        #expect(net.one.isLimited(to: net.other.id) == [true, false])

        net.world.crash(1)
        net.world.run(for: .seconds(1))
        #expect(net.one.isLimited(to: net.other.id) == [false])
        #expect(try net.echo([1, 2, 3]) == [1, 2, 3])
        #expect(net.other.node.announcedAddresses == [net.other.address])
    }

    @Test func `upgrade when they are asked to, and by an ordinary dial where one side can be dialled`() throws {
        let net = try RelayedWorld { $0.holePunch?.isAutomatic = false }
        net.reserve()
        net.dialThrough()
        net.world.run(for: .seconds(20))
        #expect(net.one.upgrades.isEmpty && net.one.isLimited(to: net.other.id) == [true])
        net.other.node.upgrade(net.one.id, now: net.now)
        net.world.run(for: .seconds(10))
        #expect(net.other.upgrades == [.upgraded(net.one.id, attempts: 1)])
        net.other.node.upgrade(net.one.id, now: net.now)
        net.world.run(for: .seconds(1))
        #expect(net.other.upgrades.last == .upgraded(net.one.id, attempts: 0))

        let open = try RelayedWorld(network: 8)
        open.world.hidden = [2]
        open.reserve()
        open.dialThrough()
        open.world.run(for: .seconds(2))
        #expect(open.other.upgrades == [.upgraded(open.one.id, attempts: 0)])
        #expect(open.one.punches.isEmpty)
        #expect(open.one.isLimited(to: open.other.id) == [true, false])

        // An address that only its own network knows is never dialled from one side alone.
        let near = try RelayedWorld()
        near.world.hidden = [2]
        near.reserve()
        near.dialThrough()
        near.world.run(for: .seconds(2))
        #expect(near.other.upgrades == [.upgraded(near.one.id, attempts: 1)])
        #expect(near.one.punches.map(\.role) == [.dialer] && near.other.punches.map(\.role) == [.listener])
    }

    @Test func `say that there is no direct way, and keep the one through the relay`() throws {
        let net = try RelayedWorld { $0.holePunch?.dialsPrivateAddresses = false }
        net.reserve()
        net.dialThrough()
        net.world.run(for: .seconds(60))
        #expect(net.other.upgrades == [.failed(net.one.id, .noConnection)])
        #expect(try net.echo([7]) == [7])
        net.one.node.upgrade(net.relay.id, now: net.now)
        #expect(net.one.isDirectlyConnected(to: net.relay.id))
        let stranger = try KnownNode(99).id
        net.one.node.upgrade(stranger, now: net.now)
        net.world.run(for: .seconds(1))
        #expect(net.one.upgrades.last == .failed(stranger, .noRelayedConnection))
    }

    @Test func `have their place again when the relay let it go`() throws {
        let net = try RelayedWorld()
        net.reserve()
        net.relay.node.swarm.disconnect(net.other.id, now: net.now)
        net.world.run(for: .seconds(1))
        #expect(net.other.node.reservations.isEmpty && net.other.node.announcedAddresses == [net.other.address])
        net.world.run(for: .seconds(7))
        #expect(net.other.node.reservations.map(\.relay) == [net.relay.id])
        #expect(net.other.node.announcedAddresses == [net.other.address, net.circuit])
        net.dialThrough()
        #expect(net.one.isConnected(to: net.other.id))
    }

    @Test func `lose each other with the relay, and the addresses through it`() throws {
        let net = try RelayedWorld { $0.holePunch = nil }
        net.reserve()
        net.dialThrough()
        net.world.crash(1)
        net.world.run(for: .seconds(1))
        #expect(!net.one.isConnected(to: net.other.id) && !net.other.isConnected(to: net.one.id))
        #expect(net.other.refusedReservations == [.disconnected])
        #expect(net.other.node.announcedAddresses == [net.other.address])
        #expect(net.other.node.reservations.isEmpty)
        // What the circuit was for fails now, in time.
        net.one.node.swarm.dial(net.other.id, at: [net.circuit], options: .patient, now: net.now)
        net.world.run(for: .seconds(20))
        guard case .allFailed(let failures)? = net.one.swarmEvents.dialFailures.last else {
            Issue.record("\(net.one.swarmEvents)")
            return
        }
        #expect(failures.contains { "\($0)".contains("the relay cannot be reached") })
        #expect(net.one.node.dialsWaitingForRelay.isEmpty)
    }

    @Test func `keep a reservation for as long as they want it, and no longer`() throws {
        // Without protocols that keep their streams open: nothing else holds the connection.
        let net = try RelayedWorld { configuration in
            configuration.gossipsub = nil
            configuration.kad = nil
        }
        net.reserve()
        // Longer than an idle connection lasts, and than a reservation does without being renewed.
        net.world.run(for: .seconds(7_500))
        #expect(net.other.node.reservations.count == 1)
        #expect(net.relay.isConnected(to: net.other.id))
        net.dialThrough()
        #expect(net.one.isLimited(to: net.other.id).contains(true))
        net.other.node.cancelReservation(at: net.relay.id, now: net.now)
        #expect(net.other.node.announcedAddresses == [net.other.address])
        #expect(!net.other.isProtected(net.relay.id))
        net.one.node.swarm.disconnect(net.other.id, now: net.now)
        // The relay lets go when the time that it gave is over.
        net.world.run(for: .seconds(3_600 + 300))
        #expect(!net.relay.isProtected(net.other.id))
    }

    @Test func `are told why a relay refuses`() throws {
        let net = try RelayedWorld { $0.relayServer?.reservationCountMax = 0 }
        net.reserve()
        #expect(net.other.refusedReservations == [.refused(.reservationRefused)])
        #expect(net.other.node.announcedAddresses == [net.other.address])
        #expect(!net.other.isProtected(net.relay.id))
        net.dialThrough()
        guard case .allFailed(let failures)? = net.one.swarmEvents.dialFailures.last else {
            Issue.record("\(net.one.swarmEvents)")
            return
        }
        #expect(failures.map(\.address) == [net.circuit])
        #expect(failures.map(\.reason) == [.pipe(.transport("\(RelayError.refused(.noReservation))"))])

        // A node that is no relay.
        net.world.connect(2, to: 1)
        net.other.node.reserve(at: net.one.id, now: net.now)
        net.world.run(for: .seconds(1))
        #expect(net.other.refusedReservations.last == .stream(.notConnected))
        net.relay.node.reserve(at: net.one.id, now: net.now)
        net.world.run(for: .seconds(1))
        #expect(net.relay.refusedReservations == [.stream(.notSupported)])
    }

    @Test func `dial no address with a relay in it without the protocol, and none with two`() throws {
        let net = try RelayedWorld()
        let twice = net.circuit.appending(.p2p(net.one.id), .p2pCircuit)
        let throughOneself = net.one.address.appending(.p2p(net.one.id), .p2pCircuit)
        let throughTarget = net.other.address.appending(.p2p(net.other.id), .p2pCircuit)
        net.one.node.swarm.dial(net.other.id, at: [twice, throughOneself, throughTarget], now: net.now)
        net.world.run(for: .seconds(2))
        guard case .allFailed(let failures)? = net.one.swarmEvents.dialFailures.last else {
            Issue.record("\(net.one.swarmEvents)")
            return
        }
        #expect(failures.map(\.reason) == Array(repeating: .pipe(.noTransport), count: 3))

        let without = try RelayedWorld { $0.relayClient = nil }
        without.dialThrough()
        guard case .allFailed(let others)? = without.one.swarmEvents.dialFailures.last else {
            Issue.record("\(without.one.swarmEvents)")
            return
        }
        #expect(others.map(\.reason) == [.pipe(.noTransport)])
    }
}

extension DialOptions {
    fileprivate static var patient: DialOptions {
        var options = DialOptions()
        options.ignoresBackoff = true
        return options
    }
}
