import LibP2P
import SimulationKit
import Testing

struct `The network scenario` {
    private func scenario(_ seed: UInt64) -> NetworkScenario {
        var scenario = NetworkScenario(hostCount: 10, seed: seed)
        (scenario.messageCount, scenario.valueCount, scenario.readerCount) = (3, 1, 2)
        return scenario
    }

    @Test func `holds, and comes to the same when it is run again`() throws {
        let report = try self.scenario(1).run()
        #expect(report.violations == [])
        #expect(report.messageCount >= 3 + 2 + 3 + 2 + 3 && report.deliveries.count > 80)
        #expect(report.valueCount >= 1 && report.hops.count > 0 && report.meshDegrees.count >= 20)
        #expect(try self.scenario(1).run().digest == report.digest)
        #expect(try self.scenario(2).run().digest != report.digest)
    }

    @Test func `has readers that are slow, whom nobody waits for and who get everything in the end`() throws {
        var scenario = self.scenario(11)
        (scenario.hostCount, scenario.slowReaderCount, scenario.messageCount) = (16, 3, 6)
        let report = try scenario.run()
        #expect(report.violations == [])
        #expect(report.slowReaderCount == 3 && report.slowDeliveries.count == 3 * 6)
        #expect(report.slowDeliveries.maximum > report.deliveries.maximum)
        // A seed has as many as it draws.
        #expect(Set((UInt64(0)..<40).map { NetworkScenario(hostCount: 50, seed: $0).slowReaderCount }) == [0, 1, 2, 3])
        // One that gets nothing even then is noticed.
        scenario.deafHosts = Set(1..<16)
        let missed = try scenario.run().violations.filter { if case .missedDelivery = $0 { true } else { false } }
        #expect(missed.count > report.slowDeliveries.count)
    }

    @Test func `notices nodes that pass no message on`() throws {
        var scenario = self.scenario(3)
        scenario.silentHosts = Set(0..<10)
        // Messages go to few peers at first; without anybody who passes them on there they stay.
        scenario.configure = { _, configuration in
            var parameters = GossipsubParameters()
            parameters.floodsOwnMessages = false
            (parameters.meshDegree, parameters.meshDegreeLow) = (2, 2)
            (parameters.meshDegreeByScore, parameters.meshDegreeOutbound) = (1, 1)
            (parameters.gossipDegree, parameters.gossipFactor) = (0, 0)
            configuration.gossipsub = parameters
        }
        let missed = try scenario.run().violations.filter { if case .missedDelivery = $0 { true } else { false } }
        #expect(missed.count > 20)
    }

    @Test func `notices the one node that swallows messages, and no other`() throws {
        var scenario = self.scenario(6)
        scenario.faults = NetworkFaults()
        scenario.deafHosts = [4]
        let report = try scenario.run()
        let missed = report.violations.compactMap { if case .missedDelivery(_, _, _, let subscriber, _) = $0 { subscriber } else { nil } }
        // All messages of others, but for those across the cut.
        #expect(missed.count >= 10 && Set(missed) == [4])
        #expect(missed.count == report.violations.count, "\(report.violations)")
    }

    @Test func `notices the one mesh that is never pruned`() throws {
        var scenario = self.scenario(7)
        (scenario.hostCount, scenario.faults) = (18, NetworkFaults())
        scenario.configure = { host, configuration in
            guard host == 5 else { return }
            configuration.gossipsub?.meshDegree = 17
            configuration.gossipsub?.meshDegreeLow = 17
            configuration.gossipsub?.meshDegreeHigh = 100
        }
        let overfull = try scenario.run().violations.compactMap {
            if case .meshDegree(let host, _, let degree, _) = $0, degree > 12 { host } else { nil }
        }
        #expect(Set(overfull) == [5] && !overfull.isEmpty)
    }

    @Test func `notices a node to which no answer of the hash table comes`() throws {
        var scenario = self.scenario(8)
        (scenario.faults, scenario.readerCount) = (NetworkFaults(), 10)
        // Every answer comes after its time, and is dropped. It serves nobody, or it would hold the value itself.
        scenario.configure = { host, configuration in
            guard host == 3 else { return }
            configuration.kad?.requestTimeout = .nanoseconds(1)
            configuration.kad?.mode = .client
        }
        let violations = try scenario.run().violations
        #expect(violations.contains(.notJoined(host: 3)))
        let readers = violations.compactMap { if case .notFound(_, let reader, _) = $0 { reader } else { nil } }
        #expect(!readers.isEmpty && Set(readers) == [3], "\(violations)")
    }

    @Test func `notices meshes that are too large or too small`() throws {
        var scenario = self.scenario(4)
        scenario.bounds.meshDegree = 0...3
        let large = try scenario.run().violations
        #expect(large.contains { if case .meshDegree(_, _, let degree, _) = $0 { degree > 3 } else { false } })
        scenario.bounds.meshDegree = 9...12
        let small = try scenario.run().violations
        #expect(small.contains { if case .meshDegree(_, _, let degree, _) = $0 { degree < 9 } else { false } })
    }

    @Test func `notices values that nobody keeps, and such as are too far away`() throws {
        var scenario = self.scenario(5)
        scenario.bounds.hopCountMax = -1
        #expect(try scenario.run().violations.contains { if case .tooManyHops = $0 { true } else { false } })
        scenario = self.scenario(5)
        scenario.configure = { _, configuration in configuration.kad?.valueStoreByteCountMax = 1 }
        #expect(
            try scenario.run().violations.contains {
                switch $0 {
                case .notStored, .notFound: true
                default: false
                }
            })
    }
}
