import LibP2P
import Testing

struct `A hash table of many nodes` {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    // Every request and answer is encoded, carried and decoded: without optimisation 500 nodes take minutes. The full size, and the
    // second seed, are for a build with it by hand; 500 nodes in release are the simulation stage's, by `chorale simulate network`.
    #if DEBUG
    static let nodeCount = 100
    static let seeds: [UInt64] = [1]
    #else
    static let nodeCount = 500
    static let seeds: [UInt64] = [1, 2]
    #endif

    @Test func `finds what any of hundreds put from any other within 5 hops`() throws {
        let (clock, count) = (ContinuousClock(), Self.nodeCount)
        let start = clock.now
        var network = SimulatedNetwork(nodeCount: count, seed: 1)
        network.join()
        let joined = clock.now - start
        for round in 0..<5 {
            let key = self.bytes("/v/key \(round)")
            let writer = (round * 97 + 5) % count
            let put = try #require(network.result(of: writer) { $0.put(key: key, value: Array("value".utf8), now: $1) })
            #expect(put.outcome == .stored(count: 20, refusedCount: 0), "round \(round)")
            for reader in [(round * 131 + 17) % count, (round * 211 + 333) % count, count - 1 - round] where reader != writer {
                let got = try #require(network.result(of: reader) { $0.get(key: key, now: $1) })
                #expect(got.outcome.value == self.bytes("value"), "reader \(reader)")
                #expect(got.report.hopCount <= 5)
            }
        }
        // Also the very next step after one hop fewer: a first answer is enough where a quorum of one is.
        let quick = try #require(network.result(of: 77) { $0.get(key: Array("/v/key 0".utf8), quorum: 1, now: $1) })
        #expect(quick.outcome.value == self.bytes("value"))
        #expect(quick.report.askedCount <= 40)

        let multihash = Multihash.sha256(of: self.bytes("content")).bytes
        let providers = [3, count / 2, count - 2]
        for provider in providers {
            let result = try #require(network.result(of: provider) { $0.provide(multihash, now: $1) })
            #expect(result.outcome == .provided(count: 20))
        }
        network.run(for: .seconds(1))
        let found = try #require(network.result(of: 23) { $0.findProviders(of: multihash, count: 20, now: $1) })
        #expect(Set(found.outcome.providers.map(\.id)) == Set(providers.map { network.ids[$0] }))
        #expect(found.report.hopCount <= 5)
        for provider in found.outcome.providers {
            let index = try #require(network.ids.firstIndex(of: provider.id))
            #expect(provider.addresses == [SimulatedNetwork.address(of: index)])
        }
        let ids = network.ids
        for (seeker, target) in [(10, count - 56), (count - 100, 9), (count - 1, 1)] {
            let peer = try #require(network.result(of: seeker) { $0.findPeer(ids[target], now: $1) }?.outcome.peer)
            #expect(peer.addresses.contains(SimulatedNetwork.address(of: target)))
            #expect(peer.isConnected)
        }
        #expect(network.sentTypes[.ping] == nil)
        #expect(network.refusals.isEmpty)
        let requestCount = network.machines.reduce(0) { $0 + $1.counters.requestsSent }
        print("\(count) nodes: joined in \(joined), everything in \(clock.now - start), \(requestCount) requests")
    }

    @Test(arguments: seeds) func `keeps a value while a third of its nodes leave without a word`(seed: UInt64) throws {
        var network = SimulatedNetwork(nodeCount: 60, seed: seed)
        network.join()
        let put = try #require(network.result(of: 40) { $0.put(key: Array("/v/a".utf8), value: [1, 2, 3], now: $1) })
        #expect(put.outcome.storedCount == 20)
        for index in 0..<60 where index % 3 == 1 { network.stop(index, silently: true) }
        for reader in [2, 44, 56] {
            let got = try #require(network.result(of: reader) { $0.get(key: Array("/v/a".utf8), now: $1) }, "replay: seed \(seed)")
            #expect(got.outcome.value == [1, 2, 3], "replay: seed \(seed)")
            #expect(got.report.elapsed <= .seconds(10))
        }
        // After the next refreshes nobody's table holds those that left.
        network.run(for: .seconds(2_500))
        let contacts = (0..<60).filter { $0 % 3 != 1 }.map { index in
            (0..<60).filter { $0 % 3 == 1 && network.machines[index].isContact(network.ids[$0]) }.count
        }
        #expect(contacts.allSatisfy { $0 == 0 }, "replay: seed \(seed)")
    }

    @Test(arguments: seeds) func `does not wait long for those that left without a word`(seed: UInt64) throws {
        var network = SimulatedNetwork(nodeCount: 60, seed: seed)
        network.join()
        _ = try #require(network.result(of: 40) { $0.put(key: Array("/v/a".utf8), value: [1, 2, 3], now: $1) })
        for index in 0..<60 where index % 3 == 1 { network.stop(index, silently: true) }
        var elapsed: [Duration] = []
        for reader in [2, 14, 26, 44, 56] {
            let got = try #require(network.result(of: reader) { $0.get(key: Array("/v/a".utf8), now: $1) }, "replay: seed \(seed)")
            #expect(got.outcome.value == [1, 2, 3], "replay: seed \(seed)")
            elapsed.append(got.report.elapsed)
        }
        // Round trips here are 20 to 118 ms, so that a dial and an answer take up to 0.7 s.
        #expect(elapsed.allSatisfy { $0 < .seconds(3) }, "replay: seed \(seed), \(elapsed)")
        print("with a third of the contacts gone: \(elapsed)")
    }

    @Test(arguments: seeds) func `holds both sides' values after a cut heals`(seed: UInt64) throws {
        var network = SimulatedNetwork(nodeCount: 50, seed: seed)
        network.join()
        network.split { $0 % 2 }
        for side in 0..<2 {
            let put = try #require(
                network.result(of: 20 + side) { $0.put(key: Array("/v/side \(side)".utf8), value: [UInt8(side)], now: $1) })
            #expect(put.outcome.storedCount > 0)
            let other = try #require(network.result(of: 30 + side) { $0.get(key: Array("/v/side \(1 - side)".utf8), now: $1) })
            #expect(other.outcome == .failed(.notFound), "replay: seed \(seed)")
        }
        network.run(for: .seconds(1_300))
        network.split { _ in 0 }
        network.run(for: .seconds(1_300))
        for reader in [3, 4, 47, 48] {
            for side in 0..<2 {
                let got = try #require(network.result(of: reader) { $0.get(key: Array("/v/side \(side)".utf8), now: $1) })
                #expect(got.outcome.value == [UInt8(side)], "replay: seed \(seed)")
            }
        }
    }

    @Test func `stores with farther contacts what none of the nearest can be reached for`() throws {
        var network = SimulatedNetwork(nodeCount: 40, seed: 9) { _, configuration in configuration.replicationCount = 4 }
        network.join()
        let (key, writer) = (self.bytes("/v/cut"), 7)
        let target = KadKey(hashing: key)
        let contacts = (0..<40).filter { network.machines[writer].isContact(network.ids[$0]) }
        let distances = contacts.map { (KadKey(of: network.ids[$0]).distance(to: target), $0) }
        let nearest = Set(distances.sorted { $0.0 < $1.0 }.prefix(4).map(\.1))
        network.split { nearest.contains($0) ? 1 : 0 }
        let put = try #require(network.result(of: writer) { $0.put(key: key, value: [1], now: $1) })
        #expect(put.outcome.storedCount > 0, "\(put.outcome)")
    }

    @Test func `corrects those that hold an older value`() throws {
        var network = SimulatedNetwork(nodeCount: 30, seed: 4)
        network.join()
        let key = self.bytes("/v/changes")
        _ = network.result(of: 5) { $0.put(key: key, value: [1], now: $1) }
        // The newer one reaches few at first: the others are away.
        for index in 0..<30 where index % 3 == 0 { network.stop(index) }
        _ = network.result(of: 7) { $0.put(key: key, value: [2], now: $1) }
        let holders = (0..<30).filter { network.machines[$0].storedValue(of: key, now: network.now) == [2] }.count
        #expect(holders > 0)
        let got = try #require(network.result(of: 8) { $0.get(key: key, now: $1) })
        #expect(got.outcome.value == [2])
        network.run(for: .seconds(10))
        let stale = (0..<30).filter { $0 % 3 != 0 && network.machines[$0].storedValue(of: key, now: network.now) == [1] }
        #expect(stale.isEmpty)
    }

    @Test func `forgets values and providers after 48 hours unless they are put again, which happens after 22`() throws {
        var network = SimulatedNetwork(nodeCount: 25, seed: 5) { _, configuration in
            // Nothing else than republishing is looked at.
            configuration.refreshInterval = .seconds(12 * 3_600)
        }
        network.join()
        let multihash = Multihash.sha256(of: [1]).bytes
        _ = network.result(of: 3) { $0.put(key: Array("/v/kept".utf8), value: [1], now: $1) }
        _ = network.result(of: 3) { $0.provide(multihash, now: $1) }
        _ = network.result(of: 4) { $0.put(key: Array("/v/given up".utf8), value: [1], now: $1) }
        network.machines[4].withdraw(key: self.bytes("/v/given up"))
        network.run(for: .seconds(60 * 3_600))
        #expect(network.machines[3].counters.republications == 4)
        #expect(network.result(of: 9) { $0.get(key: Array("/v/kept".utf8), now: $1) }?.outcome.value == [1])
        #expect(network.result(of: 9) { $0.findProviders(of: multihash, now: $1) }?.outcome.providers.map(\.id) == [network.ids[3]])
        #expect(network.result(of: 9) { $0.get(key: Array("/v/given up".utf8), now: $1) }?.outcome == .failed(.notFound))
        network.machines[3].stopProviding(multihash)
        network.machines[3].withdraw(key: self.bytes("/v/kept"))
        network.run(for: .seconds(50 * 3_600))
        #expect(network.machines.allSatisfy { $0.storedKeys.isEmpty && $0.providerRecordCount == 0 })
    }

    @Test func `lets clients ask and does not ask them`() throws {
        var network = SimulatedNetwork(nodeCount: 30, seed: 6) { index, configuration in
            configuration.mode = index >= 20 ? .client : .server
        }
        network.join()
        #expect(network.machines[25].servedProtocolIDs.isEmpty)
        let put = try #require(network.result(of: 25) { $0.put(key: Array("/v/a".utf8), value: [7], now: $1) })
        #expect(put.outcome.storedCount == 20)
        #expect(network.result(of: 29) { $0.get(key: Array("/v/a".utf8), now: $1) }?.outcome.value == [7])
        #expect(network.machines.allSatisfy { machine in network.ids[20...].allSatisfy { !machine.isContact($0) } })
        let ids = network.ids
        // A client that is connected to a server is found through it.
        #expect(network.result(of: 21) { $0.findPeer(ids[26], now: $1) }?.outcome.peer?.isConnected == true)
    }

    @Test func `replays from its seed`() {
        func run() -> [KadCounters] {
            var network = SimulatedNetwork(nodeCount: 40, seed: 9)
            network.join()
            _ = network.result(of: 11) { $0.put(key: Array("/v/a".utf8), value: [7], now: $1) }
            return network.machines.map(\.counters)
        }
        #expect(run() == run())
    }
}
