import Testing

@testable import LibP2P

/// A swarm with all that two peers need to meet over a relay and then directly.
private struct Traveller {
    let node: TestNode
    let client: ProtocolHandle<RelayClient>
    let punch: ProtocolHandle<DCUtR>
    let ping: ProtocolHandle<Ping>
    var circuits: [RelayCircuit] = []
    var dials: [DirectDial] = []
    var upgrades: [DCUtR.Event] = []

    init(_ node: TestNode, now: Duration) {
        self.node = node
        self.client = node.swarm.add(RelayClient(localPeer: node.id, unixOffset: .seconds(1_700_000_000)), now: now)
        var configuration = DCUtR.Configuration()
        // The nodes of a test live in 10.0.0.0/8.
        configuration.dialsPrivateAddresses = true
        self.punch = node.swarm.add(DCUtR(addresses: [node.address], configuration: configuration), onLimited: true, now: now)
        self.ping = node.swarm.add(Ping(), onLimited: true, now: now)
    }

    /// Does what the machines want of their owner.
    mutating func serve(dial: ConnectionID, now: Duration) {
        while let event = self.node.swarm.nextEvent(of: self.client) {
            guard case .circuit(let circuit) = event else { continue }
            self.circuits.append(circuit)
            guard let start = self.node.swarm.update(self.client, now: now, { $0.take(circuit.stream) }) else { continue }
            _ = self.node.swarm.adopt(
                circuit.stream, as: circuit.isOutbound ? .dialer : .listener, for: circuit.isOutbound ? dial : nil,
                startingWith: start.bytes, hasEnded: start.hasEnded, expecting: circuit.isOutbound ? circuit.peer : nil,
                address: circuit.remoteAddress, isLimited: circuit.limit != nil, now: now)
        }
        while let event = self.node.swarm.nextEvent(of: self.punch) {
            guard case .dial(let dial) = event else {
                self.upgrades.append(event)
                continue
            }
            self.dials.append(dial)
            self.node.swarm.dial(
                dial.peer, at: dial.addresses, options: .holePunch(as: dial.role == .dialer ? .dialer : .listener), now: now)
        }
    }
}

struct `Two swarms that only a relay connects` {
    @Test(arguments: UInt64(0)..<20)
    func `meet through its machines, dial each other at once, and stay together without it`(seed: UInt64) throws {
        let world = try SwarmWorld(seed: seed, nodeCount: 3)
        let relay = world.nodes[1]
        let server = RelayServer(relay.known.identity, unixOffset: .seconds(1_700_000_000), addresses: [relay.address])
        let relayHandle = relay.swarm.add(server, now: world.now)
        var one = Traveller(world.nodes[0], now: world.now)
        var other = Traveller(world.nodes[2], now: world.now)
        world.connect(0, to: 1)
        world.connect(2, to: 1)
        other.node.swarm.update(other.client, now: world.now) { $0.reserve(at: relay.id, now: world.now) }
        world.run(for: .seconds(1))
        #expect(relay.swarm.read(relayHandle) { $0.reservedPeers } == [other.node.id])

        one.node.swarm.dial(other.node.id, at: [relay.address.appending(.p2p(relay.id), .p2pCircuit)], now: world.now)
        world.pump()
        let needed = one.node.events.compactMap { if case .relayNeeded(let id, _) = $0 { id } else { nil } }
        let dial = try #require(needed.first)
        one.node.swarm.update(one.client, now: world.now) {
            $0.connect(to: other.node.id, through: relay.id, tag: dial.rawValue, now: world.now)
        }
        for _ in 0..<400 {
            world.run(for: .milliseconds(10))
            one.serve(dial: dial, now: world.now)
            other.serve(dial: dial, now: world.now)
        }
        #expect(one.circuits.map(\.tag) == [dial.rawValue] && other.circuits.map(\.peer) == [one.node.id])
        #expect(one.dials.map(\.role) == [.dialer] && other.dials.map(\.role) == [.listener])
        #expect(one.upgrades == [.upgraded(other.node.id, attempts: 1)])
        #expect(other.upgrades == [.upgraded(one.node.id, attempts: 1)])
        #expect(one.node.swarm.connections(to: other.node.id).map(\.isLimited).sorted { !$0 && $1 } == [false, true])

        // The relay goes; the two stay.
        one.node.swarm.disconnect(relay.id, now: world.now)
        world.run(for: .seconds(1))
        #expect(one.node.swarm.connections(to: other.node.id).map(\.isLimited) == [false])
        one.node.swarm.update(one.ping, now: world.now) {
            $0.ping(other.node.id, bytes: [UInt8](repeating: 9, count: 32), now: world.now)
        }
        world.run(for: .seconds(1))
        guard case .roundTrip(other.node.id, _)? = one.node.swarm.nextEvent(of: one.ping) else { throw PingError.ended }
    }
}
