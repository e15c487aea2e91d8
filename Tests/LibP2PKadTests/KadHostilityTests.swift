import CryptoPrimitives
import LibP2P
import Testing

struct `A hash table among hostile peers` {
    /// Answers a script may give.
    private static func frame(_ message: KadMessage) -> [UInt8] { FrameReader.frame(message.bytes) }

    private static func peers(_ range: Range<UInt64>, seed: UInt64 = 77) -> [KadPeer] {
        range.map { number in
            KadPeer(
                id: SimulatedNetwork.peer(number, seed: seed),
                addresses: [SimulatedNetwork.address(of: 100_000 + Int(number)).bytes])
        }
    }

    /// Peers that do not exist, nearer to a place than anybody who does.
    private static func bogus(near key: [UInt8], count: Int) -> [KadPeer] {
        let place = KadKey(hashing: key)
        let all = Self.peers(0..<4_000)
        return Array(all.sorted { KadKey(of: $0.id).distance(to: place) < KadKey(of: $1.id).distance(to: place) }.prefix(count))
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func `is not captured by peers that name only bogus nearer ones`(seed: UInt64) throws {
        var network = SimulatedNetwork(nodeCount: 40, seed: seed)
        network.join()
        let key = Array("/v/wanted".utf8)
        let put = try #require(network.result(of: 3) { $0.put(key: key, value: [1], now: $1) })
        #expect(put.outcome.storedCount == 20)
        let bogus = Self.bogus(near: key, count: 20)
        for liar in 10..<18 {
            network.scripts[liar] = { message, _ in
                Self.frame(KadMessage(message.type, key: message.key, closerPeers: bogus))
            }
        }
        for reader in [5, 25, 39] {
            let got = try #require(network.result(of: reader) { $0.get(key: key, now: $1) })
            #expect(got.outcome.value == [1], "replay: seed \(seed)")
            #expect(got.report.elapsed <= .seconds(10), "replay: seed \(seed)")
        }
    }

    @Test func `takes 20,000 named candidates within bounds`() throws {
        var network = SimulatedNetwork(nodeCount: 25, seed: 1)
        network.join()
        var asked: UInt64 = 0
        for liar in 5..<15 {
            network.scripts[liar] = { message, _ in
                asked += 1
                return Self.frame(
                    KadMessage(message.type, key: message.key, closerPeers: Self.peers((asked * 2_000)..<((asked + 1) * 2_000))))
            }
        }
        let held = network.machines[20].heldByteCount
        var most = 0
        for place in 0..<4 as Range<UInt8> {
            let id = network.do(20) { $0.findClosest(to: [place], now: $1) }
            for _ in 0..<110 {
                network.run(for: .milliseconds(100))
                most = max(most, network.machines[20].heldByteCount)
            }
            let result = try #require(network.results[20][id])
            guard case .closest(let closest) = result.outcome else {
                Issue.record("\(result.outcome)")
                continue
            }
            #expect(Set(closest).isSubset(of: network.ids))
            #expect(result.report.askedCount <= 120)
        }
        #expect(asked >= 10)
        #expect(most - held < 300_000)
        #expect(network.machines[20].counters.candidatesDropped > 0)
    }

    @Test func `believes no value that its validator does not take, and finds the good one`() throws {
        var network = SimulatedNetwork(nodeCount: 30, seed: 2) { _, configuration in configuration.validators["v"] = .good }
        network.join()
        let key = Array("/v/wanted".utf8)
        _ = network.result(of: 3) { $0.put(key: key, value: Array("good 1".utf8), now: $1) }
        for liar in 10..<16 {
            network.scripts[liar] = { message, _ in
                let isOtherKey = liar % 2 == 0
                let record = KadRecord(key: isOtherKey ? [9] : message.key, value: Array((isOtherKey ? "good 2" : "zzz").utf8))
                return Self.frame(KadMessage(message.type, key: message.key, record: record))
            }
        }
        let got = try #require(network.result(of: 20) { $0.get(key: key, now: $1) })
        #expect(got.outcome.value == Array("good 1".utf8))
        #expect(network.machines[20].counters.invalidValuesFound > 0)
        #expect(network.refusals.contains(.invalidValue))
        #expect(network.refusals.contains(.wrongKey))
        // What its validator does not take is not put either, nor under a namespace that is not known.
        let bad = network.do(20) { $0.put(key: key, value: [1], now: $1) }
        #expect(network.results[20][bad]?.outcome == .failed(.invalidValue))
        for name in ["/w/x", "/v", "v/x", "//x", "/", "no namespace"] {
            let unknown = network.do(20) { $0.put(key: Array(name.utf8), value: [1], now: $1) }
            #expect(network.results[20][unknown]?.outcome == .failed(.unknownNamespace), "\(name)")
        }
    }

    @Test func `goes on when peers answer wrongly, slowly, twice, with garbage or not at all`() throws {
        var network = SimulatedNetwork(nodeCount: 40, seed: 3)
        network.join()
        let key = Array("/v/wanted".utf8)
        _ = network.result(of: 3) { $0.put(key: key, value: [1], now: $1) }
        for liar in 10..<25 {
            network.scripts[liar] = { message, _ in
                switch liar % 5 {
                case 0: nil
                case 1: Self.frame(KadMessage(.ping))
                case 2: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]
                case 3: FrameReader.frame([0x0b, 1, 2, 3])
                default: Self.frame(KadMessage(message.type, key: message.key)) + Self.frame(KadMessage(message.type, key: message.key))
                }
            }
        }
        for reader in [5, 30, 39] {
            let got = try #require(network.result(of: reader) { $0.get(key: key, now: $1) })
            #expect(got.outcome.value == [1])
            #expect(got.report.elapsed < .seconds(10))
        }
        #expect(network.refusals.contains(.wrongAnswer))
        #expect(network.refusals.contains(.unasked))
        #expect(network.refusals.contains { if case .frame(.tooLong) = $0 { true } else { false } })
        #expect(network.refusals.contains { if case .malformed = $0 { true } else { false } })
    }

    @Test func `dials no private address that a public peer names`() throws {
        let node = SingleNode(seed: 1)
        let liar = SimulatedNetwork.peer(1, seed: 5)
        node.connect(liar, from: "/ip4/198.51.100.7/tcp/4001", isOutbound: true)
        _ = node.machine.findClosest(to: [1], now: .zero)
        let request = try #require(node.openRequest())
        let victim = SimulatedNetwork.peer(2, seed: 5)
        let told = try [
            "/ip4/127.0.0.1/tcp/22", "/ip4/192.168.1.1/tcp/80", "/ip6/::1/tcp/1", "/ip6/fd00::1/tcp/1", "/ip4/203.0.113.9/tcp/4001",
        ]
        .map { try Multiaddr(text: $0).bytes }
        node.machine.handle(.opened(request: request, StreamID(rawValue: 1), protocolID: "/ipfs/kad/1.0.0"), now: .zero)
        let answer = KadMessage(.findNode, closerPeers: [KadPeer(id: victim, addresses: told)])
        node.machine.handle(.received(StreamID(rawValue: 1), Self.frame(answer)), now: .zero)
        let dials = node.commands().filter { if case .dial = $0 { true } else { false } }
        #expect(dials == [.dial(victim, [try Multiaddr(text: "/ip4/203.0.113.9/tcp/4001")], isHearsay: true)])
        #expect(node.machine.counters.addressesDropped == 4)
    }

    @Test func `keeps so much of answers that do not come whole, and hears others to the end`() throws {
        let node = SingleNode(seed: 21) { $0.answerPartialByteCountMax = 4_000_000 }
        let liars = (1...18).map { SimulatedNetwork.peer(UInt64($0), seed: 21) }
        let honest = SimulatedNetwork.peer(19, seed: 21)
        for (number, liar) in liars.enumerated() { node.connect(liar, from: "/ip4/203.0.113.5/tcp/\(1_000 + number)", isOutbound: true) }
        node.connect(honest, from: "/ip4/198.51.100.9/tcp/1", isOutbound: true)
        var streams: [StreamID: PeerID] = [:]
        _ = node.machine.findClosest(to: [1], now: .zero)
        // Each request gets its stream; those of the liars bring the beginning of the longest answer there is.
        let head = Varint.encode(UInt64(KadMessage.byteCountMax))
        var honestStream: StreamID?
        for _ in 0..<30 {
            for case .open(let request, let peer, _, _) in node.commands() {
                let stream = StreamID(rawValue: request)
                streams[stream] = peer
                node.machine.handle(.opened(request: request, stream, protocolID: "/ipfs/kad/1.0.0"), now: .zero)
                if peer == honest {
                    honestStream = stream
                } else {
                    node.machine.handle(.received(stream, head + [UInt8](repeating: 0, count: 900_000)), now: .zero)
                }
                #expect(node.machine.heldByteCount < 2_200_000)
            }
        }
        #expect(node.events.count { if case .refused(_, .tooManyPartialBytes) = $0 { true } else { false } } >= 14)
        let answer = KadMessage(.findNode, closerPeers: [KadPeer(id: SimulatedNetwork.peer(30, seed: 21), addresses: [])])
        node.machine.handle(.received(try #require(honestStream), Self.frame(answer)), now: .zero)
        _ = node.commands()
        #expect(node.machine.counters.answersReceived == 1)
        // Their time is over: nothing is held.
        node.machine.tick(now: .seconds(6))
        _ = node.commands()
        #expect(node.machine.heldByteCount < 100_000)
    }

    @Test func `finds a peer although the first that names it lies about its address`() throws {
        var network = SimulatedNetwork(nodeCount: 40, seed: 8)
        network.join()
        let target = network.ids[33]
        for liar in 1..<12 {
            network.scripts[liar] = { message, _ in
                let fake = KadPeer(id: target, addresses: [SimulatedNetwork.address(of: 70_000 + liar).bytes])
                return Self.frame(KadMessage(message.type, key: message.key, closerPeers: [fake]))
            }
        }
        let found = try #require(network.result(of: 20) { $0.findPeer(target, now: $1) }?.outcome.peer)
        #expect(found.isConnected)
        #expect(found.addresses.contains(SimulatedNetwork.address(of: 33)))
    }

    @Test func `keeps the contacts that answer however many newcomers there are`() throws {
        var table = KadRoutingTable(ownKey: KadKey(hashing: [0]), bucketSize: 20, networkShareMax: 10)
        let old = (0..<20).map { SimulatedNetwork.peer($0, seed: 1) }
        for peer in old { _ = table.insert(peer, addresses: [], networks: [], now: .zero) }
        let kept = old.filter { table.contact($0) != nil }
        for number in 0..<5_000 {
            _ = table.insert(SimulatedNetwork.peer(UInt64(number), seed: 2), addresses: [], networks: [], now: .seconds(1))
        }
        #expect(kept.allSatisfy { table.contact($0) != nil })
        #expect(table.count < 20 * 14)
        #expect(table.heldByteCount < 300_000)
        // One that fails twice in a row makes room for one that waits.
        let count = table.count
        let hasGone = (0..<2).map { _ in table.noteFailure(of: kept[0]) }
        #expect(hasGone == [false, true])
        #expect(table.contact(kept[0]) == nil)
        #expect(table.count == count)
        // The order is that of the distances.
        let target = KadKey(hashing: [9])
        let all = table.closest(to: target, count: 1_000)
        #expect(all.count == count)
        #expect(zip(all, all.dropFirst()).allSatisfy { $0.key.distance(to: target) < $1.key.distance(to: target) })
    }

    @Test func `gives one network at most half of a bucket`() throws {
        var table = KadRoutingTable(ownKey: KadKey(hashing: [0]), bucketSize: 20, networkShareMax: 10)
        for number in 0..<200 {
            let peer = SimulatedNetwork.peer(UInt64(number), seed: 1)
            let network = try #require(KadAddress.network(of: try Multiaddr(text: "/ip4/203.0.1.\(number)/tcp/1")))
            _ = table.insert(peer, addresses: [], networks: [network], now: .zero)
        }
        let own = KadKey(hashing: [0])
        let shares = Dictionary(grouping: table.closest(to: own, count: 1_000)) { own.commonPrefixBitCount(with: $0.key) }
        #expect(shares.values.allSatisfy { $0.count <= 10 })
        #expect(shares[0]?.count == 10)
    }
}
