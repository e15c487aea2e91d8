import Testing

@testable import LibP2P

struct `Whole nodes` {
    /// In a row, each connected to the next one.
    private func row() throws -> NodeWorld {
        let world = try NodeWorld(nodeCount: 5)
        for index in 0..<4 { world.dial(index, index + 1) }
        world.run(for: .seconds(2))
        return world
    }

    @Test func `learn by identify what their neighbours serve and where they are`() throws {
        let world = try self.row()
        let middle = world.nodes[2]
        for neighbour in [world.nodes[1], world.nodes[3]] {
            #expect(middle.node.swarm.protocolIDs(of: neighbour.id) == Set(neighbour.node.swarm.servedProtocolIDs))
            #expect(middle.node.swarm.addressBook.addresses(of: neighbour.id, now: world.now) == [neighbour.address])
            #expect(try middle.node.swarm.read(middle.kad) { $0.isContact(neighbour.id) })
        }
        #expect(try middle.node.swarm.read(middle.kad) { $0.contactCount } == 2)
        #expect(
            Set(middle.node.swarm.servedProtocolIDs).isSuperset(of: [
                Ping.protocolID, Identify.protocolID, Identify.pushProtocolID, "/meshsub/1.1.0", "/ipfs/kad/1.0.0",
            ]))
    }

    @Test func `tell their neighbours by identify push when they move or serve something new`() throws {
        let world = try self.row()
        let (mover, neighbour) = (world.nodes[1], world.nodes[2])
        let address = Multiaddr([mover.address.components[0], .tcp(5_001)])
        mover.node.swarm.serve("/new/1.0.0")
        mover.node.setAddresses([address], now: world.now)
        world.run(for: .seconds(6))
        #expect(neighbour.node.swarm.protocolIDs(of: mover.id).contains("/new/1.0.0"))
        #expect(neighbour.node.swarm.addressBook.addresses(of: mover.id, now: world.now) == [address])
    }

    @Test func `bring a published message to all, by way of each other`() throws {
        let world = try self.row()
        for host in world.nodes {
            try host.node.swarm.update(host.gossipsub, now: world.now) { _ = $0.subscribe("topic", now: world.now) }
        }
        world.run(for: .seconds(3))
        let (first, now) = (world.nodes[0], world.now)
        // Longer than what may be under way on one stream of gossipsub.
        let messages = (0..<5).map { [UInt8](repeating: $0, count: 200_000) }
        for (index, message) in messages.enumerated() {
            try first.node.swarm.update(first.gossipsub, now: now) { machine throws(GossipsubPublishError) in
                _ = try machine.publish(message, to: "topic", sequence: UInt64(index), now: now)
            }
        }
        world.run(for: .seconds(5))
        for host in world.nodes.dropFirst() { #expect(Set(host.messages) == Set(messages)) }
    }

    @Test func `keep a value that one of them put for another one that it is not connected to`() throws {
        let world = try self.row()
        let (first, last, now) = (world.nodes[0], world.nodes[4], world.now)
        let key = Array("/v/name".utf8)
        let put = try first.node.swarm.update(first.kad, now: now) { $0.put(key: key, value: [1, 2, 3], now: now) }
        world.run(for: .seconds(20))
        guard case .stored(let count, _)? = first.outcome(of: put) else {
            Issue.record("not stored: \(String(describing: first.outcome(of: put)))")
            return
        }
        #expect(count == 4)
        let later = world.now
        let get = try last.node.swarm.update(last.kad, now: later) { $0.get(key: key, now: later) }
        world.run(for: .seconds(20))
        guard case .value([1, 2, 3], _)? = last.outcome(of: get) else {
            Issue.record("not found: \(String(describing: last.outcome(of: get)))")
            return
        }
    }

    @Test func `measure the way to each other`() throws {
        let world = try self.row()
        let (one, other, now) = (world.nodes[0], world.nodes[1], world.now)
        one.node.swarm.update(one.node.ping, now: now) { $0.ping(other.id, bytes: [UInt8](repeating: 7, count: 32), now: now) }
        world.run(for: .seconds(1))
        #expect(one.events.contains(.ping(.roundTrip(other.id, .milliseconds(2)))))
    }
}
