import SimulationKit
import Testing

// All computing tests begin at once, so the time of one is that of all.
@Suite(.timeLimit(.minutes(120))) struct NodeSigningTests {
    /// A few; `make test` runs more from the release build.
    @Test(arguments: 1...UInt64(16))
    func `what must hold of a signing holds among whole nodes`(seed: UInt64) throws {
        let report = try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    /// Seeds that found something once, with the most members that they had: decisions to sign that waited for the disk when their signer
    /// took its word back, a coordinator whose disk took none, and a step that was taken again and again while the disk was slow.
    @Test(arguments: [(58, 5), (113, 5), (223, 5), (2_010, 6), (499, 7)] as [(UInt64, Int)])
    func `what once did not hold among whole nodes holds`(seed: UInt64, members: Int) throws {
        let report = try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...members, hasWays: false, commitments: false))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    /// The same of requests with commitments: one that had coordinated offered others beside the nonces that it had shown to the next one,
    /// who took it each time that those were gone.
    @Test(arguments: [(13, 4)] as [(UInt64, Int)])
    func `what once did not hold among whole nodes with commitments holds`(seed: UInt64, members: Int) throws {
        let report = try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...members, hasWays: false, commitments: true))
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    /// The same where members are reached through a relay, or find each other by announcements: a group of which one is reached through a
    /// relay alone that starts again, while a disk is lost; circuits of a relay that had too few; and one whose disk takes no decisions while
    /// nonces that it committed to are shown, which never came to an end.
    @Test(arguments: [(92, 0), (92, 4), (194, 0), (194, 4), (683, 0)] as [(UInt64, Int)])
    func `what once did not hold among whole nodes with a relay holds`(seed: UInt64, pool: Int) throws {
        var scenario = NodeSigningScenario(seed: seed, hasHub: true)
        scenario.noncePool = pool
        #expect(scenario.hasHub)
        let report = try SigningReport.run(scenario)
        #expect(report.violations.isEmpty, "\(report.violations)")
    }

    @Test(arguments: 1...UInt64(8))
    func `what must hold of a signing holds among whole nodes where nonces are committed to`(seed: UInt64) throws {
        let report = try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4, commitments: true))
        #expect(report.violations.isEmpty && report.committedCount == 1, "\(report.violations)")
    }

    @Test(arguments: 1...UInt64(16))
    func `what must hold of a signing holds among whole nodes that give each other nonces ahead`(seed: UInt64) throws {
        var scenario = NodeSigningScenario(seed: seed, memberCounts: 2...4)
        scenario.noncePool = 3
        let report = try SigningReport.run(scenario)
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

    /// What never comes about tries nothing.
    @Test func `processes die, disks and clocks fail, the network is cut, people go back on their word, and others flood`() throws {
        var wanted: Set = [
            "crash", "crash in a durable step", "crash that loses the disk", "crash without a word", "cut", "event restarted",
            "disk rolled back", "full disk", "write whose end nobody knows", "clock set back", "clock set forth", "enrolment renewed",
            "strangers that flood", "refused stranger", "blocked", "cancelled", "event refused", "event ended", "being signed → complete",
        ]
        for seed in UInt64(1)...80 where !wanted.isEmpty {
            wanted.subtract(try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4)).coverage)
        }
        #expect(wanted.isEmpty, "\(wanted)")
    }

    @Test func `members are reached through relays alone, find each other by announcements, and read slowly or not at all`() throws {
        var wanted: Set = [
            "member reached through a relay", "member reached directly", "announcement told", "announcement heard", "relay down",
            "slow reader", "reader that stops",
        ]
        var completed = (relayed: 0, announced: 0)
        for seed in UInt64(1)...60 {
            let scenario = NodeSigningScenario(seed: seed, memberCounts: 2...4)
            guard scenario.hasHub || !scenario.slowReaders.isEmpty else { continue }
            let report = try SigningReport.run(scenario)
            #expect(report.violations.isEmpty, "\(report.violations)")
            wanted.subtract(report.coverage)
            if !scenario.relayed.isEmpty { completed.relayed += report.completed }
            if scenario.announces { completed.announced += report.completed }
        }
        #expect(wanted.isEmpty, "\(wanted)")
        #expect(completed.relayed > 2 && completed.announced > 2, "\(completed)")
        // Unless it is asked for, some have a node in the middle; else all or none.
        let drawn = (UInt64(1)...300).count { NodeSigningScenario(seed: $0).hasHub }
        #expect((60...130).contains(drawn), "\(drawn)")
        #expect((UInt64(1)...40).allSatisfy { NodeSigningScenario(seed: $0, hasHub: true).hasHub })
        #expect((UInt64(1)...40).allSatisfy { !NodeSigningScenario(seed: $0, hasHub: false).hasHub })
    }

    /// Nor does a cheat that does nothing.
    @Test(arguments: [
        (SigningCheat.conflictingNonces, "fault conflictingNonces"), (.malformedNonces, "fault malformedNonces"),
        (.malformedPartialSignatures, "fault malformedPartialSignatures"), (.wrongPartialSignatures, "fault invalidPartialSignature"),
        (.conflictingBegins, "fault conflictingBegins"), (.garbles, "blocked"), (.lies, "refused notEntitled"),
        (.frames, "refused inconsistent"), (.turns, "refused inconsistent"), (.replays, "refused notEntitled"),
        (.begins, "event attemptBegan"), (.silent, "event coordinatorFailed"), (.withholds, "event coordinatorFailed"),
        (.clones, "event cloneAlarm"), (.floods, "event attemptBegan"), (.climbs, "event attemptBegan"), (.leaves, "event attemptBegan"),
        (.opensOther, "fault wrongOpening"), (.proposesOther, "event ended"), (.proposesOrders, "refused notEntitled"),
        (.altersProposals, "refused proposal"),
    ])
    func `who cheats is met among whole nodes`(cheat: SigningCheat, outcome: String) throws {
        var reached: Set<String> = []
        for seed in UInt64(1)...40 where !reached.contains(outcome) {
            let report = try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 3...4, only: cheat))
            #expect(report.violations.isEmpty, "\(report.violations)")
            reached.formUnion(report.coverage)
        }
        #expect(reached.contains(outcome), "\(reached.sorted())")
    }

    /// A checker that finds nothing is worth nothing. Each fault is found by the rule that it breaks.
    @Test(arguments: [
        (NodeSigningFault.losesDecisions, "signedUnapproved"), (.losesAnswers, "notCompleted"),
        (.releasesBeforeDurable, "releasedBeforeDurable"), (.reusesIncarnations, "honestBlamed"), (.keepsNonces, "nonceReused"),
        (.signsUnapproved, "signedUnapproved"), (.believesTooEarly, "doesNotVerify"), (.blamesWithoutProof, "honestBlamed"),
        (.forgetsTimers, "notCompleted"), (.repeatsItself, "messages"), (.writesWithoutEnd, "bytes on the disk"),
        (.letsNothingGo, "bytes held"), (.hearsLittle, "messages over the rate"),
    ])
    func `what is made wrong with nodes on purpose is found`(fault: NodeSigningFault, rule: String) throws {
        let found = try (UInt64(1)...60).contains { seed in
            try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4), fault: fault).violations.contains {
                $0.violation.rule == rule
            }
        }
        #expect(found, "no seed found it")
        #expect(NodeSigningFault.allCases.contains(fault))
    }

    /// The same, where one rule and no other finds it.
    @Test(arguments: [
        (NodeSigningFault.garblesItsWords, "honestBlocked"), (.padsItsWords, "bytes sent"), (.writesAgain, "writes"),
        (.signsWithoutEnd, "decisions to sign"), (.tellsRefusalsAgain, "refusals told"), (.outlivesItsTime, "notOver"),
        (.alarmsWithoutProof, "falseAlarm"), (.completesAnother, "differentTransactions"), (.signsAside, "differentTransactions"),
    ])
    func `what is made wrong with nodes on purpose is found by its rule alone`(fault: NodeSigningFault, rule: String) throws {
        var rules: Set<Set<String>> = []
        for seed in UInt64(1)...60 where !rules.contains([rule]) {
            // Long words are read beside each other: of two members nobody holds more than one. And somebody has to be waited for until the
            // end, where that is what is wrong.
            let scenario = NodeSigningScenario(
                seed: seed, memberCounts: fault == .padsItsWords ? 2...2 : 2...4, hasWays: false,
                only: fault == .outlivesItsTime ? .silent : nil)
            rules.insert(Set(try SigningReport.run(scenario, fault: fault).violations.map(\.violation.rule)))
        }
        #expect(rules.contains([rule]), "\(rules)")
    }

    @Test func `every fault has its rule`() {
        // As many as the two tables above have.
        #expect(NodeSigningFault.allCases.count == 22)
    }

    /// What no honest member can hit is hit here on purpose.
    @Test(arguments: 1...UInt64(12))
    func `what came on top of a member's rate is told again until it is heard, and harms nobody`(seed: UInt64) throws {
        let report = try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...4), fault: .hearsLittle)
        #expect(report.violations.allSatisfy { $0.violation.rule == "messages over the rate" }, "\(report.violations)")
    }
}
