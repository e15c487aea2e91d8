import CryptoPrimitives
import Testing

@testable import LibP2P

/// A whole node, and what it told its owner.
private final class HostedNode {
    let known: KnownNode
    let address: Multiaddr
    var node: Node
    var events: [Node.Event] = []

    init(_ number: UInt8, now: Duration) throws {
        self.known = try KnownNode(number)
        self.address = Multiaddr([.ip4(try #require(IPv4Address([10, 0, 0, number]))), .tcp(4_001)])
        let keys = KnownKeys(seed: UInt64(number))
        var configuration = Node.Configuration(agentVersion: "test/\(number)", addresses: [self.address])
        configuration.kad?.validators["v"] = KadValidator(
            isValid: { _, value, _ in value.count < 100 }, isBetter: { _, current, candidate in current.count < candidate.count })
        self.node = Node(
            self.known.identity, staticKey: self.known.staticKey,
            makeEphemeralKey: { () throws(SecretMemoryError) in try keys.next() }, configuration: configuration, seed: UInt64(number),
            unixTimeOffset: .seconds(1_700_000_000), now: now)
    }

    var id: PeerID { self.known.id }
    var kad: ProtocolHandle<KadDHT> {
        get throws {
            let handle = self.node.kad
            return try #require(handle)
        }
    }
    var gossipsub: ProtocolHandle<Gossipsub> {
        get throws {
            let handle = self.node.gossipsub
            return try #require(handle)
        }
    }

    var messages: [[UInt8]] {
        self.events.compactMap { if case .gossipsub(.message(_, let message, _, _)) = $0 { message.data } else { nil } }
    }

    func outcome(of id: KadOperationID) -> KadOutcome? {
        for case .kad(.finished(id, let outcome, _)) in self.events { return outcome }
        return nil
    }
}

/// Whole nodes with pipes between them, each with a delay of one millisecond.
private final class NodeWorld {
    private struct End: Hashable {
        let node: Int
        let id: ConnectionID
    }

    private enum Happening {
        case dial(Int, ConnectionID, RawDial)
        case bytes(End, [UInt8])
        case end(End)
    }

    let nodes: [HostedNode]
    private(set) var now = Duration.zero
    private var others: [End: End] = [:]
    private var happenings: [Happening] = []

    init(nodeCount: UInt8) throws { self.nodes = try (1...nodeCount).map { try HostedNode($0, now: .zero) } }

    func dial(_ one: Int, _ other: Int) {
        self.nodes[one].node.swarm.dial(self.nodes[other].id, at: [self.nodes[other].address], now: self.now)
    }

    func run(for duration: Duration) {
        let end = self.now + duration
        self.pump()
        while true {
            if !self.happenings.isEmpty {
                self.now += .milliseconds(1)
                let due = self.happenings
                self.happenings = []
                for happening in due { self.happen(happening) }
            } else if let next = self.nodes.compactMap({ $0.node.swarm.deadline }).min(), next <= end {
                self.now = max(self.now, next)
            } else {
                break
            }
            if self.now > end { break }
            for host in self.nodes { host.node.swarm.tick(now: self.now) }
            self.pump()
        }
        self.now = max(self.now, end)
    }

    private func happen(_ happening: Happening) {
        switch happening {
        case .dial(let index, let id, let dial):
            let from = Multiaddr([self.nodes[index].address.components[0], .tcp(40_000)])
            guard let other = self.nodes.firstIndex(where: { $0.address == dial.address }),
                let otherID = self.nodes[other].node.swarm.accepted(from: from, now: self.now)
            else { return self.nodes[index].node.swarm.dialFailed(id, .refused, now: self.now) }
            self.others[End(node: index, id: id)] = End(node: other, id: otherID)
            self.others[End(node: other, id: otherID)] = End(node: index, id: id)
            self.nodes[index].node.swarm.dialled(id, now: self.now)
        case .bytes(let end, let bytes): self.nodes[end.node].node.swarm.receive(bytes, from: end.id, now: self.now)
        case .end(let end): self.nodes[end.node].node.swarm.endOfInput(end.id, now: self.now)
        }
    }

    private func pump() {
        for (index, host) in self.nodes.enumerated() {
            var isBusy = true
            while isBusy {
                isBusy = false
                while let event = host.node.nextEvent(now: self.now) {
                    isBusy = true
                    host.events.append(event)
                }
                while let command = host.node.swarm.nextCommand() {
                    isBusy = true
                    self.carryOut(command, of: index)
                }
            }
        }
    }

    private func carryOut(_ command: SwarmCommand, of index: Int) {
        switch command {
        case .dial(let id, let dial): self.happenings.append(.dial(index, id, dial))
        case .send(let id): self.send(End(node: index, id: id))
        case .close(let id, let afterOutput):
            let end = End(node: index, id: id)
            if afterOutput { self.send(end) }
            if let other = self.others.removeValue(forKey: end) { self.happenings.append(.end(other)) }
        }
    }

    private func send(_ end: End) {
        while true {
            let bytes = self.nodes[end.node].node.swarm.takeOutput(of: end.id, now: self.now)
            if bytes.isEmpty { return }
            if let other = self.others[end] { self.happenings.append(.bytes(other, bytes)) }
        }
    }
}

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
