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

    /// A cheat that does nothing, or a crash at no bad time, tries nothing.
    @Test func `what is to be tried is tried`() throws {
        var all = SigningReport()
        for seed in UInt64(1)...120 { all.add(try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...5))) }
        let faults = [
            "conflictingNonces", "malformedNonces", "malformedPartialSignatures", "invalidPartialSignature", "conflictingBegins",
        ]
        let wanted =
            faults.map { "fault \($0)" } + SigningCheat.allCases.map { "cheat \($0.rawValue)" } + [
                "crash", "crash that loses the disk", "crash while the journal writes", "refused malformed", "refused notEntitled",
                "refused inconsistent", "event failoverExhausted", "event restarted",
            ]
        #expect(all.coverage.isSuperset(of: wanted), "\(Set(wanted).subtracting(all.coverage))")
        #expect(all.violations.isEmpty && all.completed > 80 && all.aborted > 0)
    }
}
