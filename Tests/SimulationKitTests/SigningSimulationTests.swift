import SimulationKit
import Testing

@Suite struct SigningSimulationTests {
    /// A few; `make test` runs thousands from the release build, and `chorale simulate signing` as many as one likes.
    @Test(arguments: 1...UInt64(60))
    func `what must hold of a signing holds`(seed: UInt64) throws {
        let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...7))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    /// Seeds that found something once, with the most members that they had.
    @Test(arguments: [(778, 8)] as [(UInt64, Int)])
    func `what once did not hold holds`(seed: UInt64, members: Int) throws {
        let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...members))
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
            let scenario = SigningScenario(seed: seed, memberCounts: 2...5)
            let (first, second) = (try SigningReport.run(scenario), try SigningReport.run(scenario))
            #expect(first.messageCount == second.messageCount && first.virtualSeconds == second.virtualSeconds)
            #expect(first.coverage == second.coverage && first.completed == second.completed)
        }
    }

    /// A cheat that does nothing tries nothing.
    @Test(arguments: [
        (SigningCheat.conflictingNonces, "fault conflictingNonces"), (.malformedNonces, "fault malformedNonces"),
        (.malformedPartialSignatures, "fault malformedPartialSignatures"), (.wrongPartialSignatures, "fault invalidPartialSignature"),
        (.conflictingBegins, "fault conflictingBegins"), (.garbles, "refused malformed"), (.lies, "refused notEntitled"),
        (.frames, "refused inconsistent"), (.turns, "refused inconsistent"), (.replays, "refused notEntitled"),
        (.begins, "event attemptBegan"), (.silent, "event coordinatorFailed"), (.withholds, "event coordinatorFailed"),
        (.floods, "event attemptBegan"), (.climbs, "event attemptBegan"), (.leaves, "event attemptBegan"),
    ])
    func `who cheats is met`(cheat: SigningCheat, outcome: String) throws {
        var reached: Set<String> = []
        for seed in UInt64(1)...40 where !reached.contains(outcome) {
            let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...5, only: cheat))
            #expect(report.violations.isEmpty, "\(report.violations)")
            reached.formUnion(report.coverage)
        }
        #expect(reached.contains(outcome), "\(reached.sorted())")
    }

    /// Nor does a crash that comes at no bad time.
    @Test func `processes die while they write, and lose their disks`() throws {
        var reached: Set<String> = []
        for seed in UInt64(1)...60 { reached.formUnion(try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...4)).coverage) }
        let wanted: Set = [
            "crash", "crash that loses the disk", "crash while the journal writes", "event restarted", "event failoverExhausted",
        ]
        #expect(wanted.isSubset(of: reached), "\(wanted.subtracting(reached))")
    }
}
