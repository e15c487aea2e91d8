import Testing

@testable import LibP2P

struct `Peers on one link` {
    @Test(arguments: UInt64(0)..<20) func `all find each other within half a second`(seed: UInt64) throws {
        var network = LocalNetwork(seed: seed)
        for _ in 0..<8 { try network.add() }
        network.run(for: .milliseconds(500))
        #expect(network.completeCount == 8, "replay: seed \(seed)")
    }

    @Test(arguments: UInt64(0)..<20) func `find each other when every tenth datagram is lost`(seed: UInt64) throws {
        var network = LocalNetwork(seed: seed)
        network.lossInverse = 10
        for _ in 0..<8 { try network.add() }
        network.run(for: .seconds(20))
        #expect(network.completeCount == 8, "replay: seed \(seed)")
    }

    @Test func `find one who comes later, and are found, within a second and a half`() throws {
        var network = LocalNetwork(seed: 1)
        for _ in 0..<5 { try network.add() }
        network.run(for: .seconds(300))
        network.forgetSent()
        let late = try network.add()
        // What was told just now is told again only after a second.
        network.run(for: .milliseconds(1_500))
        #expect(network.completeCount == 6)
        #expect(Set(network.events[late].map(\.peer)).count == 5)
    }

    @Test func `are found by one who only listens, and do not find it`() throws {
        var network = LocalNetwork(seed: 1)
        try network.add()
        let silent = try network.add(listening: false)
        network.run(for: .seconds(5))
        #expect(network.nodes[silent].peers == [try LocalNetwork.peer(0): [LocalNetwork.listenAddress(0)]])
        #expect(network.nodes[0].peers.isEmpty)
    }

    @Test func `do not storm when a hundred start at once`() throws {
        var network = LocalNetwork(seed: 7)
        for _ in 0..<100 { try network.add() }
        network.run(for: .seconds(1))
        #expect(network.completeCount == 100)
        // Each has asked once and told once, and none had to leave anything unread.
        #expect(network.nodes.allSatisfy { $0.counters.queriesSent == 1 && $0.counters.answersSent == 1 })
        network.run(for: .seconds(4))
        #expect(network.nodes.allSatisfy { $0.counters.answersSent <= 5 && $0.counters.refusedOverRate == 0 })
        // Alone, each would have asked three times by now. But one question serves all.
        #expect(network.nodes.map(\.counters.queriesSent).reduce(0, +) < 200)
        #expect(network.sent.allSatisfy { $0.bytes.count <= MDNS.datagramByteCountMax })
    }

    @Test func `share their questions as long as they are there`() throws {
        var network = LocalNetwork(seed: 7)
        for _ in 0..<12 { try network.add() }
        network.run(for: .seconds(600))
        #expect(network.completeCount == 12)
        #expect(!network.events.joined().contains { $0.isExpiry })
        // Alone, each would ask fourteen times: after 0, 1, 3, 7, 15, 31 and 63 seconds, and then every minute.
        #expect(network.nodes.map(\.counters.queriesSent).reduce(0, +) < 12 * 10)
    }

    @Test func `stay known for as long as they are there, and are forgotten when they are not`() throws {
        var network = LocalNetwork(seed: 3)
        for _ in 0..<4 { try network.add() }
        network.run(for: .seconds(1_800))
        #expect(network.completeCount == 4)
        #expect(!network.events.joined().contains { $0.isExpiry })
        // One is cut off without a word.
        let gone = try LocalNetwork.peer(3)
        network.nodes.removeLast()
        // It was confirmed when four fifths of two minutes were over, at the latest.
        network.run(for: .seconds(20))
        #expect(!network.events.joined().contains { $0.isExpiry })
        network.run(for: .seconds(101))
        for index in 0..<3 { #expect(network.events[index].filter(\.isExpiry) == [.expired(gone)]) }
        #expect(network.completeCount == 3)
    }

    @Test func `are forgotten a second after they took leave`() throws {
        var network = LocalNetwork(seed: 3)
        for _ in 0..<3 { try network.add() }
        network.run(for: .seconds(5))
        network.with(2) { node, now in node.stop(now: now) }
        network.run(for: .milliseconds(900))
        #expect(!network.events.joined().contains { $0.isExpiry })
        network.run(for: .milliseconds(200))
        for index in 0..<2 { #expect(network.events[index].filter(\.isExpiry) == [.expired(try LocalNetwork.peer(2))]) }
        // Nothing comes from it any more, whatever it is asked.
        network.forgetSent()
        network.run(for: .seconds(300))
        #expect(!network.sent.contains { $0.from == 2 })
        #expect(network.nodes[2].deadline == nil)
    }

    @Test func `contradict who takes leave in their name`() throws {
        var network = LocalNetwork(seed: 3)
        for _ in 0..<3 { try network.add() }
        network.run(for: .seconds(5))
        let name = network.nodes[2].names.instance
        let goodbye = DNSMessage(flags: 0x8400, answers: [DNSRecord(name: MDNSNames.service, ttl: 0, data: .ptr(name))])
        network.multicast(goodbye.bytes, from: LocalNetwork.endpoint(50))
        network.run(for: .seconds(10))
        #expect(network.completeCount == 3)
        #expect(!network.events.joined().contains { $0.isExpiry })
    }

    @Test func `are found under new addresses at once, and no longer under the old ones`() throws {
        var network = LocalNetwork(seed: 3)
        for _ in 0..<2 { try network.add() }
        network.run(for: .seconds(10))
        network.forgetSent()
        let new = Multiaddr([LocalNetwork.address(1).component, .tcp(5_000)])
        network.with(1) { node, now in node.setAddresses([new], now: now) }
        network.run(for: .seconds(3))
        #expect(network.nodes[0].peers == [try LocalNetwork.peer(1): [new]])
        let told = network.events[0].compactMap { if case .discovered(_, let addresses, _) = $0 { addresses } else { nil } }
        #expect(told == [[LocalNetwork.listenAddress(1), new], [new]])
        // Nobody listens any more.
        network.with(1) { node, now in node.setAddresses([], now: now) }
        network.run(for: .seconds(3))
        #expect(network.nodes[0].peers.isEmpty)
    }

    @Test func `are forgotten when the interface is gone, and found when it is back`() throws {
        var network = LocalNetwork(seed: 3)
        for _ in 0..<2 { try network.add() }
        network.run(for: .seconds(10))
        network.with(0) { node, now in node.setLinks([], now: now) }
        #expect(network.nodes[0].peers.isEmpty && network.nodes[0].deadline == nil)
        #expect(network.events[0].last == .expired(try LocalNetwork.peer(1)))
        network.run(for: .seconds(10))
        network.with(0) { node, now in node.setLinks([LocalNetwork.link(of: 0)], now: now) }
        network.run(for: .milliseconds(1_300))
        #expect(network.completeCount == 2)
    }

    @Test(arguments: UInt64(0)..<3) func `do the same again from the same seed`(seed: UInt64) throws {
        func run() throws -> [[UInt8]] {
            var network = LocalNetwork(seed: seed)
            network.lossInverse = 5
            for _ in 0..<6 { try network.add() }
            network.run(for: .seconds(200))
            return network.sent.map(\.bytes)
        }
        #expect(try run() == run())
    }
}

extension MDNS.Event {
    var isExpiry: Bool { if case .expired = self { true } else { false } }

    var peer: PeerID {
        switch self {
        case .discovered(let peer, _, _), .expired(let peer): peer
        }
    }
}
