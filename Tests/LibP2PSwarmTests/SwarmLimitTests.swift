import CryptoPrimitives
import Testing

@testable import LibP2P

struct `A swarm's limits` {
    private func world(_ nodeCount: Int, seed: UInt64 = 1, _ change: (inout SwarmLimits) -> Void) throws -> SwarmWorld {
        var limits = SwarmLimits()
        change(&limits)
        return try SwarmWorld(seed: seed, nodeCount: nodeCount, limits: limits)
    }

    // MARK: Connections

    @Test func `ends a connection whose peer takes no bytes, whatever it sends itself`() throws {
        var limits = SwarmLimits()
        // The peer does not mind that it hears nothing.
        limits.connection.keepAliveTimeout = .seconds(1_000)
        let world = try SwarmWorld(seed: 40, nodeCount: 2, limits: limits)
        let (one, other) = (world.nodes[0], world.nodes[1])
        for node in [one, other] {
            node.swarm.serve("/echo/1.0.0")
            node.isNotReading = true
        }
        world.connect(0, to: 1)
        let (there, back) = (try world.openStream(0, to: 1), try world.openStream(1, to: 0))
        // While it takes bytes, a slow reader is none that is to be ended.
        try one.swarm.write([UInt8](repeating: 1, count: 1_000), to: there, now: world.now)
        world.run(for: .seconds(100))
        #expect(one.isConnected(to: other.id))
        other.takesNothing = true
        try one.swarm.write([UInt8](repeating: 1, count: 1_000), to: there, now: world.now)
        for second in 1...65 {
            try? other.swarm.write([1], to: back, now: world.now)
            world.run(for: .seconds(1))
            #expect(one.isConnected(to: other.id) == (second < 60), "after \(second) s")
        }
        #expect(one.events.disconnected == [.peerNotReading])
        #expect(one.swarm.counters.stalledConnections == 1)
        // What is left is where the peer was.
        #expect(one.swarm.heldByteCount == one.swarm.addressBook.heldByteCount)
    }

    @Test func `refuse connections beyond the number in all`() throws {
        let world = try self.world(4) { $0.connectionCountMax = 2 }
        for index in 1...3 { world.connect(index, to: 0) }
        #expect(world.nodes[0].swarm.connectionCount == 2)
        #expect(world.nodes[0].events.refusals == [.tooManyConnections(maximum: 2)])
        #expect(world.nodes[0].swarm.counters.refusedPipes == 1)
        #expect(world.nodes[3].events.dialFailures.count == 1)
    }

    @Test func `leave a way in, and out, to protected peers when strangers have all places`() throws {
        let world = try self.world(6) { $0.connectionCountMax = 2 }
        let node = world.nodes[0]
        for index in [3, 4] { node.swarm.protect(world.nodes[index].id, now: world.now) }
        for index in [1, 2] { world.connect(index, to: 0) }
        // Who else comes is refused once it is known who it is, or at once when no protected peer is missing.
        world.connect(5, to: 0)
        #expect(node.swarm.connectionCount == 2)
        world.connect(3, to: 0)
        world.connect(0, to: 4)
        #expect(Set(node.swarm.connectedPeers) == Set((1...4).map { world.nodes[$0].id }))
        #expect(node.swarm.counters.refusedPeers == 1 && node.swarm.counters.refusedPipes == 0)
        world.run(for: .seconds(10))
        world.connect(5, to: 0)
        #expect(node.swarm.counters.refusedPipes == 1)
        #expect(node.swarm.connectionCount == 4)
    }

    @Test func `refuse connections of one peer beyond its number`() throws {
        let world = try self.world(2) { $0.connectionCountOfPeerMax = 2 }
        let (one, other) = (world.nodes[0], world.nodes[1])
        for _ in 0..<3 {
            one.swarm.dial(other.id, at: [other.address], options: .holePunch(as: .dialer), now: world.now)
            world.run(for: .seconds(1))
        }
        #expect(other.swarm.connectionCount == 2)
        // The dialer is the first to know who is there, and ends it before the other one does.
        #expect(one.events.refusals == [.tooManyConnectionsOfPeer(maximum: 2)])
        #expect(one.events.dialFailures.count == 0)
        #expect(other.swarm.links.count == 2)
    }

    @Test func `refuse connections from one address, and handshakes that do not end, before anything is kept of them`() throws {
        let world = try self.world(1) {
            $0.inboundCountFromAddressMax = 3
            $0.inboundHandshakeCountMax = 5
        }
        let node = world.nodes[0]
        var ids: [ConnectionID?] = []
        for _ in 0..<4 { ids.append(node.swarm.accepted(from: try Multiaddr(text: "/ip6/2001:db8::1/tcp/1"), now: world.now)) }
        // Another address of the same /64 is the same household.
        ids.append(node.swarm.accepted(from: try Multiaddr(text: "/ip6/2001:db8::2/tcp/1"), now: world.now))
        for port in 1...3 { ids.append(node.swarm.accepted(from: try Multiaddr(text: "/ip4/192.0.2.1/tcp/\(port)"), now: world.now)) }
        #expect(ids.map { $0 != nil } == [true, true, true, false, false, true, true, false])
        world.pump()
        #expect(
            node.events.refusals == [
                .tooManyConnectionsFromAddress(maximum: 3), .tooManyConnectionsFromAddress(maximum: 3), .tooManyHandshakes(maximum: 5),
            ])
        // Who says nothing has ten seconds.
        world.run(for: .seconds(9))
        #expect(node.swarm.pendingCount == 5)
        world.run(for: .seconds(2))
        #expect(node.swarm.pendingCount == 0)
        #expect(node.events.handshakeFailures == [ConnectionError](repeating: .timedOut(at: .negotiatingSecurity), count: 5))
        #expect(node.swarm.accepted(from: try Multiaddr(text: "/ip6/2001:db8::2/tcp/1"), now: world.now) != nil)
    }

    @Test func `do not let a few who connect and say nothing keep the others out`() throws {
        let world = try self.world(2) { _ in }
        let (node, honest) = (world.nodes[0], world.nodes[1])
        let (most, grace) = (node.swarm.limits.inboundHandshakeCountMax, node.swarm.limits.handshakeGracePeriod)
        // Four households take all places, and take them again whenever they lose one.
        let silent = try (1...4).map { try Multiaddr(text: "/ip4/192.0.2.\($0)/tcp/1") }
        func crowd() {
            for address in silent { while node.swarm.accepted(from: address, now: world.now) != nil {} }
            #expect(node.swarm.inboundHandshakeCount == most)
        }
        crowd()
        honest.swarm.dial(node.id, at: [node.address], now: world.now)
        for _ in 0..<20 {
            world.run(for: .milliseconds(10))
            crowd()
        }
        #expect(honest.isConnected(to: node.id))
        #expect(node.isConnected(to: honest.id))
        #expect(node.events.handshakeFailures.allSatisfy { $0 == .closedHere(.limit(.tooManyHandshakes(maximum: most))) })

        // Where each comes from a household of its own, none loses its place before its time.
        let many = try self.world(1) { $0.inboundHandshakeCountMax = 10 }
        func isTaken(_ text: String, at now: Duration) throws -> Bool {
            try many.nodes[0].swarm.accepted(from: Multiaddr(text: text), now: now) != nil
        }
        for number in 1...10 { #expect(try isTaken("/ip4/192.0.2.\(number)/tcp/1", at: .milliseconds(number))) }
        #expect(try !isTaken("/ip4/198.51.100.1/tcp/1", at: .milliseconds(1) + grace - .nanoseconds(1)))
        #expect(try isTaken("/ip4/198.51.100.1/tcp/1", at: .milliseconds(1) + grace))
        #expect(try !isTaken("/ip4/198.51.100.1/tcp/1", at: .milliseconds(1) + grace))
        many.pump()
        #expect(many.nodes[0].swarm.pendingCount == 10)
        #expect(many.nodes[0].events.handshakeFailures == [.closedHere(.limit(.tooManyHandshakes(maximum: 10)))])
    }

    @Test func `drop the least used connections, but no protected and no young ones`() throws {
        let world = try self.world(6) {
            $0.connectionCountHighWater = 4
            $0.trimmedConnectionCount = 3
        }
        let node = world.nodes[0]
        node.swarm.serve("/echo/1.0.0")
        for index in 1...3 { world.connect(index, to: 0) }
        node.swarm.protect(world.nodes[1].id, now: world.now)
        _ = try world.openStream(2, to: 0)
        world.run(for: .seconds(30))
        world.connect(4, to: 0)
        #expect(node.swarm.connectionCount == 4)
        world.connect(5, to: 0)
        // Five are too many, and only the third is neither protected, nor used, nor young; then goes the used one.
        #expect(Set(node.swarm.connectedPeers) == Set([1, 4, 5].map { world.nodes[$0].id }))
        #expect(node.events.disconnected == [.closedHere(.trimmed), .closedHere(.trimmed)])
        #expect(node.swarm.counters.trimmedConnections == 2)
    }

    @Test func `end a flood from one household before those who were here`() throws {
        let world = try self.world(16) {
            $0.connectionCountHighWater = 12
            $0.trimmedConnectionCount = 12
        }
        let node = world.nodes[0]
        for index in 1...4 { world.connect(index, to: 0) }
        world.run(for: .seconds(30))
        for index in 5...15 {
            world.nodes[index].household = world.nodes[5].household
            world.connect(index, to: 0)
            #expect(node.swarm.connectionCount <= 12)
        }
        #expect(node.swarm.counters.trimmedConnections == 3)
        for index in 1...4 { #expect(node.isConnected(to: world.nodes[index].id)) }
    }

    @Test func `keep out whom a list keeps out`() throws {
        let world = try self.world(4) { _ in }
        let node = world.nodes[0]
        node.swarm.gate.allowedPeers = [world.nodes[1].id, world.nodes[2].id]
        node.swarm.gate.deniedPeers = [world.nodes[2].id]
        for index in 1...3 { world.connect(index, to: 0) }
        #expect(node.swarm.connectedPeers == [world.nodes[1].id])
        #expect(node.events.refusals == [.peerDenied, .peerNotAllowed])
        #expect(node.swarm.counters.refusedPeers == 2)
        node.swarm.gate.deniedAddresses = [[10, 0, 0, 3]]
        world.run(for: .seconds(60))
        world.connect(2, to: 0)
        #expect(node.events.refusals.last == .addressDenied)
        #expect(node.swarm.links.count == 1)
    }

    // MARK: Streams

    @Test func `reset streams of one protocol beyond its number, and give places back`() throws {
        let world = try self.world(2) { $0.inboundStreamCountMaxOfProtocol["/few"] = 3 }
        let (one, other) = (world.nodes[0], world.nodes[1])
        for name in ["/few", "/many"] { other.swarm.serve(name) }
        world.connect(0, to: 1)
        for _ in 0..<5 { _ = one.swarm.open(["/few"], to: other.id, now: world.now) }
        for _ in 0..<40 { _ = one.swarm.open(["/many"], to: other.id, now: world.now) }
        world.run(for: .seconds(1))
        let counts = other.swarm.peers[one.id]?.inboundStreamCounts
        #expect(counts == ["/few": 3, "/many": 32])
        #expect(other.swarm.counters.refusedStreams == 10)
        #expect(other.events.refusals.contains(.tooManyStreams(ofProtocol: "/few", maximum: 3)))
        #expect(one.events.count { if case .streamFailed(_, .ended) = $0 { true } else { false } } == 10)
        for id in other.events.inboundStreams { other.swarm.reset(id, now: world.now) }
        world.run(for: .seconds(1))
        #expect(other.swarm.peers[one.id]?.inboundStreamCounts == [:])
        #expect(one.swarm.streamCount == 0 && other.swarm.streamCount == 0)
    }

    @Test func `tell of one peer's refused streams a few at a time, and count them all`() throws {
        let world = try self.world(2) { $0.inboundStreamCountMaxOfProtocol["/few"] = 1 }
        let (one, other) = (world.nodes[0], world.nodes[1])
        other.swarm.serve("/few")
        world.connect(0, to: 1)
        for _ in 0..<41 { _ = one.swarm.open(["/few"], to: other.id, now: world.now) }
        world.run(for: .milliseconds(900))
        #expect(other.swarm.counters.refusedStreams == 40)
        #expect(other.events.refusals.count == 16)
    }

    @Test func `answer a protocol that is not spoken with a refusal`() throws {
        let world = try self.world(2) { _ in }
        world.connect(0, to: 1)
        let request = world.nodes[0].swarm.open(["/unknown/1", "/unknown/2"], to: world.nodes[1].id, now: world.now)
        let other = world.nodes[0].swarm.open(["/echo/1.0.0"], to: try KnownNode(9).id, now: world.now)
        world.run(for: .seconds(1))
        #expect(world.nodes[0].events.contains(.streamFailed(request: request, .notSupported)))
        #expect(world.nodes[0].events.contains(.streamFailed(request: other, .notConnected)))
        #expect(world.nodes[0].swarm.streamCount == 0 && world.nodes[1].swarm.streamCount == 0)
    }

    // MARK: Bytes

    @Test func `hold no more for an owner who does not read than the stream's window, and lose nothing`() throws {
        let world = try self.world(2) { _ in }
        let (one, other) = (world.nodes[0], world.nodes[1])
        world.pieceByteCountMax = 60_000
        other.swarm.serve("/echo/1.0.0")
        other.isNotReading = true
        world.connect(0, to: 1)
        let id = try world.openStream(0, to: 1)
        let bytes = (0..<4_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        one.unwritten[id] = bytes
        one.closesAfterwards.insert(id)
        world.write(id, of: one)
        world.run(for: .seconds(5))
        #expect(other.swarm.heldByteCount <= 262_144 + Connection.streamByteCount)
        #expect(one.swarm.heldByteCount <= 262_144 + 65_536)
        #expect(other.swarm.heldByteCount(of: one.id) > 200_000)
        other.isNotReading = false
        let theirs = try #require(other.events.inboundStreams.first)
        world.read(theirs, of: other)
        world.run(for: .seconds(20))
        #expect(other.received[theirs] == bytes)
        #expect(other.events.contains(.ended(theirs)))
    }

    @Test func `close the connection that holds the most when all hold too much`() throws {
        let world = try self.world(3) { $0.heldByteCountMax = 400_000 }
        let node = world.nodes[0]
        node.swarm.serve("/echo/1.0.0")
        node.isNotReading = true
        for (index, count) in [(1, 180_000), (2, 250_000)] {
            world.connect(index, to: 0)
            let id = try world.openStream(index, to: 0)
            world.nodes[index].unwritten[id] = [UInt8](repeating: 1, count: count)
            world.write(id, of: world.nodes[index])
            world.run(for: .seconds(1))
        }
        #expect(node.events.disconnected == [.closedHere(.memory)])
        #expect(node.swarm.connectedPeers == [world.nodes[1].id])
        #expect(node.swarm.heldByteCount >= 180_000 && node.swarm.heldByteCount < 181_000)
    }

    /// Has each of the nodes from 1 on send so many bytes to the first, who reads none of them.
    private func hoard(_ byteCounts: [Int], in world: SwarmWorld) throws {
        world.nodes[0].swarm.serve("/echo/1.0.0")
        world.nodes[0].isNotReading = true
        for index in 1...byteCounts.count { world.connect(index, to: 0) }
        for (index, count) in zip(1..., byteCounts) {
            let id = try world.openStream(index, to: 0)
            world.nodes[index].unwritten[id] = [UInt8](repeating: 1, count: count)
            world.write(id, of: world.nodes[index])
            world.run(for: .seconds(1))
        }
    }

    @Test func `count those behind one address together when all hold too much, and spare protected peers`() throws {
        // Three of one household hold 150,000 bytes each; another household holds more than each of them, and less than all.
        let world = try self.world(5) { $0.heldByteCountMax = 600_000 }
        for index in 2...4 { world.nodes[index].household = world.nodes[2].household }
        try self.hoard([200_000, 150_000, 150_000, 150_000], in: world)
        #expect(world.nodes[0].events.disconnected == [.closedHere(.memory)])
        #expect(world.nodes[0].isConnected(to: world.nodes[1].id))

        // A protected peer holds more than each of two others, and those more than half of the limit together.
        let spared = try self.world(4) { $0.heldByteCountMax = 400_000 }
        spared.nodes[0].swarm.protect(spared.nodes[1].id, now: spared.now)
        try self.hoard([180_000, 130_000, 100_000], in: spared)
        #expect(Set(spared.nodes[0].swarm.connectedPeers) == Set([1, 3].map { spared.nodes[$0].id }))

        // But not where it is they who hold it.
        let guilty = try self.world(4) { $0.heldByteCountMax = 400_000 }
        for index in [1, 2] { guilty.nodes[0].swarm.protect(guilty.nodes[index].id, now: guilty.now) }
        try self.hoard([200_000, 190_000, 20_000], in: guilty)
        #expect(Set(guilty.nodes[0].swarm.connectedPeers) == Set([2, 3].map { guilty.nodes[$0].id }))
    }

    @Test func `count the streams that are open among the bytes that are held`() throws {
        let world = try self.world(2) { $0.heldByteCountMax = 60_000 }
        world.nodes[0].swarm.serve("/echo/1.0.0")
        world.connect(1, to: 0)
        let count = world.nodes[0].swarm.heldByteCount
        for _ in 0..<32 { _ = try world.openStream(1, to: 0) }
        #expect(world.nodes[0].swarm.heldByteCount - count == 32 * 512)
    }
}

struct `A hole punch` {
    @Test func `takes half of all places for dials, whoever asks for how many, and leaves the others to the owner`() throws {
        var limits = SwarmLimits()
        limits.dialCountMax = 16
        let world = try SwarmWorld(seed: 1, nodeCount: 1, limits: limits)
        let node = world.nodes[0]
        var dials: [RawDial] = []
        func take() { while let command = node.swarm.nextCommand() { if case .dial(_, let dial) = command { dials.append(dial) } } }
        for number in 0..<20 as Range<UInt8> {
            let address = try Multiaddr(text: "/ip4/203.0.113.\(number)/tcp/4001")
            node.swarm.dial(try PeerID(parsing: [0, 1, number]), at: [address], options: .holePunch(as: .dialer), now: .zero)
            take()
        }
        #expect(dials.count == 8)
        for number in 20..<28 as Range<UInt8> {
            let address = try Multiaddr(text: "/ip4/203.0.113.\(number)/tcp/4001")
            node.swarm.dial(try PeerID(parsing: [0, 1, number]), at: [address], now: .zero)
            take()
        }
        #expect(dials.count == 16)
    }

    @Test func `makes one connection of two dials where both sides agreed on their roles`() throws {
        // The pipe of a TCP simultaneous open: both sides dialled it, and one of them listens to the other's handshake.
        let world = try SwarmWorld(seed: 1, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        one.swarm.dial(other.id, at: [other.address], options: .holePunch(as: .dialer), now: .zero)
        other.swarm.dial(one.id, at: [one.address], options: .holePunch(as: .listener), now: .zero)
        var ids: [ConnectionID] = []
        for node in world.nodes {
            while let command = node.swarm.nextCommand() {
                guard case .dial(let id, let dial) = command else { continue }
                #expect(dial.fromListenPort)
                // The address is another's word, and its name leads no nearer than it says.
                #expect(dial.leastScope == dial.address.scope && dial.leastScope != nil)
                ids.append(id)
                node.swarm.dialled(id, now: .zero)
            }
        }
        let (oneID, otherID) = (try #require(ids.first), try #require(ids.last))
        for _ in 0..<10 {
            other.swarm.receive(one.swarm.takeOutput(of: oneID, now: .zero), from: otherID, now: .zero)
            one.swarm.receive(other.swarm.takeOutput(of: otherID, now: .zero), from: oneID, now: .zero)
        }
        #expect(one.swarm.connections(to: other.id).map(\.isOutbound) == [true])
        #expect(other.swarm.connections(to: one.id).map(\.isOutbound) == [true])
        #expect(one.swarm.pendingCount == 0 && other.swarm.pendingCount == 0)
    }
}
