import SimulationKit
import Testing

@Suite struct SigningSimulationTests {
    /// A few; `make test` runs thousands from the release build, and `chorale simulate signing` as many as one likes.
    @Test(arguments: 1...UInt64(60))
    func `what must hold of a signing holds`(seed: UInt64) throws {
        let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...7))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    /// A checker that finds nothing is worth nothing.
    @Test(arguments: SigningFault.allCases)
    func `what is made wrong on purpose is found`(fault: SigningFault) throws {
        let found = try (1...60).contains { seed in
            try !SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...5), fault: fault).violations.isEmpty
        }
        #expect(found, "no seed found it")
    }

    @Test func `a seed does the same twice`() throws {
        for seed in UInt64(1)...20 {
            let scenario = SigningScenario(seed: seed, memberCounts: 2...7)
            let (first, second) = (try SigningReport.run(scenario), try SigningReport.run(scenario))
            #expect(first.messageCount == second.messageCount && first.virtualSeconds == second.virtualSeconds)
            #expect(first.coverage == second.coverage && first.completed == second.completed)
        }
    }
}
