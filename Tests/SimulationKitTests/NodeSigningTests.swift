import SimulationKit
import Testing

@Suite struct NodeSigningTests {
    /// A few; `make test` runs more from the release build.
    @Test(arguments: 1...UInt64(24))
    func `what must hold of a signing holds among whole nodes`(seed: UInt64) throws {
        let report = try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    @Test func `a seed does the same twice, to the byte`() throws {
        for seed in UInt64(1)...6 {
            let scenario = NodeSigningScenario(seed: seed, memberCounts: 2...3)
            let (first, second) = (try SigningReport.run(scenario), try SigningReport.run(scenario))
            #expect(first.messageCount == second.messageCount && first.virtualSeconds == second.virtualSeconds)
            #expect(first.coverage == second.coverage && first.completed == second.completed)
        }
    }

    @Test func `processes die in durable steps, and the network is cut`() throws {
        var reached: Set<String> = []
        for seed in UInt64(1)...24 {
            reached.formUnion(try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4)).coverage)
        }
        let wanted: Set = [
            "crash", "crash in a durable step", "crash that loses the disk", "crash without a word", "cut", "event restarted",
        ]
        #expect(wanted.isSubset(of: reached), "\(wanted.subtracting(reached))")
    }

    /// A checker that finds nothing is worth nothing.
    @Test(arguments: NodeSigningFault.allCases)
    func `what is made wrong with nodes on purpose is found`(fault: NodeSigningFault) throws {
        let found = try (UInt64(1)...60).contains { seed in
            try !SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4), fault: fault).violations.isEmpty
        }
        #expect(found, "no seed found it")
    }
}
