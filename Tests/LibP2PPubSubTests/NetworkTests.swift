import Testing

@testable import LibP2P

struct `A network of fifty nodes` {
    #if DEBUG
    static let seeds = UInt64(0)..<3
    #else
    static let seeds = UInt64(0)..<200
    #endif

    /// 45 subscribers and 5 who only publish, each with enough links to subscribers.
    static func network(_ seed: UInt64, _ configure: (inout GossipsubParameters) -> Void = { _ in }) -> GossipNetwork {
        var network = GossipNetwork(seed: seed, nodeCount: 50, configure)
        network.linkAtRandom(Array(0..<45), extraLinkCount: Int(3 + seed % 8))
        for publisher in 45..<50 {
            for _ in 0..<4 { network.link(publisher, Int.random(in: 0..<45, using: &network.random)) }
        }
        for node in 0..<45 { network.subscribe(node, "t", needsVerdict: node.isMultiple(of: 3)) }
        return network
    }

    /// That each message of these reached each of these within 5 heartbeats, once it was published.
    static func check(_ network: GossipNetwork, subscribers: some Sequence<Int>, replay: String) {
        for message in network.published {
            let arrivals = network.arrivals[message.id] ?? [:]
            let missed = subscribers.filter { $0 != message.by && (arrivals[$0].map { $0 - message.at > .seconds(5) } ?? true) }
            #expect(missed.isEmpty, "the message of \(message.at) did not reach these in time: \(replay)")
        }
    }

    @Test(arguments: seeds) func `brings every message to every subscriber within 5 heartbeats`(seed: UInt64) throws {
        var network = Self.network(seed) { $0.floodsOwnMessages = seed.isMultiple(of: 2) }
        network.run(for: .seconds(4))
        for index in 0..<4 {
            let size = index == 0 ? 3_000 : 100
            try network.publish([UInt8](repeating: UInt8(index), count: size), by: Int.random(in: 0..<50, using: &network.random), to: "t")
            network.run(for: .milliseconds(700))
        }
        network.run(for: .seconds(5))
        Self.check(network, subscribers: 0..<45, replay: "seed \(seed)")
        for node in 0..<45 {
            let counters = network.nodes[node].counters
            #expect(counters.delivered + counters.published == 4 || counters.delivered == 4, "seed \(seed)")
            #expect(counters.refusals.keys.allSatisfy { $0 == .meshFull || $0 == .graftInBackoff }, "\(counters.refusals), seed \(seed)")
        }
    }

    @Test(arguments: seeds) func `keeps its meshes within their bounds, and mutual`(seed: UInt64) {
        var network = Self.network(seed)
        network.run(for: .seconds(12))
        let meshes = (0..<45).map { Set(network.nodes[$0].meshPeers("t")) }
        for node in 0..<45 {
            let mesh = meshes[node]
            let available = network.neighbours(of: node).count { $0 < 45 }
            #expect(mesh.count <= 12, "node \(node), seed \(seed)")
            #expect(mesh.count >= min(5, available), "node \(node) of \(available) neighbours, seed \(seed)")
            let oneSided = (0..<45).filter { mesh.contains(Known.identities[$0].id) && !meshes[$0].contains(Known.identities[node].id) }
            #expect(oneSided.isEmpty, "node \(node), seed \(seed)")
        }
    }

    @Test(arguments: seeds.prefix(40)) func `that was cut in two is one again after it heals`(seed: UInt64) throws {
        var network = Self.network(seed)
        network.run(for: .seconds(3))
        var cut: [(Int, Int)] = []
        for left in 0..<50 {
            for right in left + 1..<50 where network.areLinked(left, right) && left.isMultiple(of: 2) != right.isMultiple(of: 2) {
                cut.append((left, right))
            }
        }
        for (left, right) in cut { network.cut(left, right) }
        // Each half must hold together by itself.
        network.linkAtRandom((0..<45).filter { $0.isMultiple(of: 2) }, extraLinkCount: 2)
        network.linkAtRandom((0..<45).filter { !$0.isMultiple(of: 2) }, extraLinkCount: 2)
        network.run(for: .seconds(20))
        let during = try network.publish([1], by: 0, to: "t")
        network.run(for: .milliseconds(500))
        #expect(network.arrivals[during]?.keys.allSatisfy { $0.isMultiple(of: 2) } ?? false, "seed \(seed)")
        for (left, right) in cut { network.link(left, right) }
        network.run(for: .seconds(1))
        try network.publish([2], by: 1, to: "t")
        network.run(for: .seconds(6))
        Self.check(network, subscribers: 0..<45, replay: "seed \(seed)")
    }

    @Test func `runs twice alike from one seed`() throws {
        func run() throws -> [PubSubMessageID: [Int: Duration]] {
            var network = Self.network(3)
            network.run(for: .seconds(3))
            for node in 0..<5 { try network.publish([UInt8(node)], by: node, to: "t") }
            network.run(for: .seconds(5))
            return network.arrivals
        }
        #expect(try run() == run())
    }

    @Test func `asks for what its meshes did not bring`() throws {
        // Nobody is in any mesh, so gossip alone carries the message.
        var network = Self.network(5) { parameters in
            (parameters.meshDegree, parameters.meshDegreeLow, parameters.meshDegreeOutbound, parameters.meshDegreeByScore) = (0, 0, 0, 0)
            parameters.meshDegreeHigh = 0
            parameters.floodsOwnMessages = false
            parameters.gossipDegree = 50
        }
        network.run(for: .seconds(3))
        let id = try network.publish([1], by: 0, to: "t")
        network.run(for: .seconds(20))
        #expect(network.arrivals[id]?.count == 44)
        #expect(network.nodes.contains { $0.counters.answeredWants > 0 })
        #expect(network.nodes.allSatisfy { $0.counters.count(of: .brokenPromise) == 0 })
    }

    @Test func `tells its peers to spare it large messages that it has`() throws {
        var network = Self.network(9)
        network.run(for: .seconds(5))
        for index in 0..<5 { try network.publish([UInt8](repeating: UInt8(index), count: 50_000), by: index * 3 + 1, to: "t") }
        network.run(for: .seconds(5))
        Self.check(network, subscribers: 0..<45, replay: "seed 9")
        #expect(network.nodes.reduce(0) { $0 + $1.counters.sparedByDoNotWant } > 0)
    }
}
