import SimulationKit
import Testing

@Suite struct SigningSimulationTests {
    /// A few; `make test` runs thousands from the release build, and `chorale simulate signing` as many as one likes.
    @Test(arguments: 1...UInt64(30))
    func `what must hold of a signing holds`(seed: UInt64) throws {
        let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...7))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    /// Seeds that found something once, with the most members that they had.
    @Test(arguments: [(778, 8)] as [(UInt64, Int)])
    func `what once did not hold holds`(seed: UInt64, members: Int) throws {
        // They found it in requests without commitments, and the options of a request change everything that is drawn by its hash.
        let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...members, commitments: false))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    /// Of 137 a member hears the honest request first as another signed it.
    @Test(arguments: [(137, 8)] as [(UInt64, Int)])
    func `what once did not hold holds, in requests as they are drawn`(seed: UInt64, members: Int) throws {
        let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...members))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    @Test(arguments: 1...UInt64(30))
    func `what must hold of a signing holds where nonces are committed to`(seed: UInt64) throws {
        let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...7, commitments: true))
        #expect(report.violations.isEmpty && report.committedCount == 1, "\(report.violations)")
    }

    @Test func `a share of the seeds commits to nonces, and all else that they draw is the same`() {
        var count = 0
        for seed in UInt64(1)...1_000 {
            let (drawn, without) = (SigningScenario(seed: seed), SigningScenario(seed: seed, commitments: false))
            if drawn.usesNonceCommitments { count += 1 }
            #expect(!without.usesNonceCommitments && !without.cheats.values.contains(.opensOther))
            #expect(drawn.memberCount == without.memberCount && drawn.threshold == without.threshold && drawn.life == without.life)
            #expect(Set(drawn.cheats.keys) == Set(without.cheats.keys) && drawn.refusers == without.refusers)
            if !drawn.usesNonceCommitments { #expect(drawn.cheats == without.cheats) }
        }
        #expect((200...300).contains(count))
    }

    /// A checker that finds nothing is worth nothing. Each fault is found by the rule that it breaks, in some seed by that one alone; where
    /// time does nothing, nothing ends either.
    @Test(
        arguments: [
            (SigningFault.releasesBeforeDurable, ["releasedBeforeDurable"]), (.signsUnapproved, ["signedUnapproved"]),
            (.forgetsTimers, ["notCompleted", "notOver"]), (.repeatsItself, ["messages"]), (.believesTooEarly, ["doesNotVerify"]),
            (.blamesWithoutProof, ["honestBlamed"]), (.showsNoncesEarly, ["shownEarly"]), (.alarmsWithoutProof, ["falseAlarm"]),
            (.neverRests, ["endless"]), (.outlivesItsTime, ["notOver"]), (.completesAnother, ["differentTransactions"]),
            (.signsAside, ["differentTransactions"]), (.overlooksClones, ["cloneUnnoticed"]),
        ])
    func `what is made wrong on purpose is found by its rule`(fault: SigningFault, names: [String]) throws {
        let cheat: SigningCheat? =
            switch fault {
            case .overlooksClones: .clones
            // Somebody has to be waited for until the end.
            case .outlivesItsTime: .silent
            default: nil
            }
        let wanted = Set(names)
        var rules: Set<Set<String>> = []
        for seed in UInt64(1)...60 where !rules.contains(wanted) {
            let scenario = SigningScenario(seed: seed, memberCounts: 2...5, only: cheat)
            rules.insert(Set(try SigningReport.run(scenario, fault: fault).violations.map(\.violation.rule)))
        }
        #expect(rules.contains(wanted), "\(rules)")
        #expect(SigningFault.allCases.contains(fault))
    }

    @Test func `every fault has its rule`() {
        // As many as the table above has.
        #expect(SigningFault.allCases.count == 13)
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
        (.clones, "event cloneAlarm"), (.floods, "event attemptBegan"), (.climbs, "event attemptBegan"), (.leaves, "event attemptBegan"),
        (.opensOther, "fault wrongOpening"), (.proposesOther, "refused anotherRequest"), (.proposesOrders, "refused notEntitled"),
        (.altersProposals, "refused notEntitled"),
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

    @Test(arguments: [
        (SigningCheat.conflictingNonces, "fault conflictingCommitments"), (.malformedNonces, "fault malformedNonces"),
        (.conflictingBegins, "fault wrongOpening"), (.frames, "refused inconsistent"), (.withholds, "event coordinatorFailed"),
        (.leaves, "event commitmentsComplete"), (.begins, "event commitmentsComplete"), (.replays, "refused notEntitled"),
        (.opensOther, "fault wrongOpening"),
    ])
    func `who cheats is met where nonces are committed to`(cheat: SigningCheat, outcome: String) throws {
        var reached: Set<String> = []
        for seed in UInt64(1)...40 where !reached.contains(outcome) {
            let report = try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...5, only: cheat, commitments: true))
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
