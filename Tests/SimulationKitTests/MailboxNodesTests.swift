import SimulationKit
import Testing

/// Whole nodes under virtual time, of which no two members are ever connected: what they say lies in mailboxes until the other one comes.
@Suite struct MailboxNodesTests {
    @Test(arguments: [(2, 2), (3, 3), (3, 2), (4, 3)])
    func `members who are never connected at the same time sign by way of a mailbox`(count: Int, threshold: Int) throws {
        var scenario = MailboxScenario(seed: UInt64(count * 10 + threshold))
        (scenario.memberCount, scenario.threshold) = (count, threshold)
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && !report.hasMet)
        #expect(report.completed == Set(0..<count))
        // A few messages for each other member in a visit, and what was fetched is acknowledged, but for what came last.
        #expect(report.depositCount <= 4 * report.visitCount * (count - 1), "\(report)")
        #expect(report.waitingCount <= 4 * count * (count - 1), "\(report)")
    }

    @Test(arguments: [(2, 2), (3, 3), (3, 2)])
    func `members who are never connected at the same time commit to their nonces, show them and sign`(count: Int, threshold: Int) throws {
        var scenario = MailboxScenario(seed: UInt64(300 + count * 10 + threshold))
        (scenario.memberCount, scenario.threshold, scenario.usesNonceCommitments) = (count, threshold, true)
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && !report.hasMet)
        #expect(report.completed == Set(0..<count), "\(report)")
        #expect(report.depositCount <= 5 * report.visitCount * (count - 1), "\(report)")
    }

    @Test(arguments: [(2, 2), (3, 3), (3, 2), (4, 4), (4, 3)], 0..<8)
    func `the last signer comes once, and never again, whoever coordinates`(who: (count: Int, threshold: Int), seed: Int) throws {
        var scenario = MailboxScenario(seed: UInt64(10_000 * who.count + 1_000 * who.threshold + seed))
        (scenario.memberCount, scenario.threshold) = (who.count, who.threshold)
        (scenario.singleVisitor, scenario.visitsBeforeSingle) = (seed % who.count, 1 + seed / who.count % 2)
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && !report.hasMet)
        // Everybody but whoever did not come back holds it complete. That one has been there once, or was not needed.
        #expect(report.completed.count >= who.count - 1, "\(report)")
        // Each of the others signs when it comes next, and has heard the end a round later.
        #expect(report.visitCount <= (scenario.visitsBeforeSingle + 2) * (who.count - 1) + 1, "\(report)")
        #expect(report.depositCount <= 4 * report.visitCount * (who.count - 1), "\(report)")
    }

    @Test(arguments: MailboxWhim.allCases)
    func `a hostile mailbox beside an honest one changes nothing but the time`(whim: MailboxWhim) throws {
        var scenario = MailboxScenario(seed: 5)
        (scenario.memberCount, scenario.threshold, scenario.mailboxes) = (3, 3, [whim, nil])
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && report.completed == [0, 1, 2], "\(report)")
    }

    @Test(arguments: MailboxWhim.allCases)
    func `a hostile mailbox alone can make them wait, and neither blames anybody nor ends it`(whim: MailboxWhim) throws {
        var scenario = MailboxScenario(seed: 9)
        (scenario.mailboxes, scenario.visitCountMax) = ([whim], whim == .drops ? 240 : 40)
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && report.completed == [0, 1], "\(report)")
        #expect(whim != .drops || report.droppedCount > 0)
    }

    @Test func `strangers leave what they can in a mailbox, and members find room in it`() throws {
        var scenario = MailboxScenario(seed: 3)
        scenario.strangerCount = 6
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && report.completed == [0, 1], "\(report)")
        // As much as each could say at once, and it was answered.
        #expect(report.strangersAnswerCount > 200 && report.depositCount > 100, "\(report)")
    }

    @Test(arguments: [0, 1], [1, 2])
    func `a member whose process starts anew between its visits signs with fresh nonces`(member: Int, visit: Int) throws {
        var scenario = MailboxScenario(seed: 11)
        scenario.restarts = [member: visit]
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && report.completed == [0, 1], "\(report)")
    }

    @Test func `a mailbox that starts anew has what it said that it has`() throws {
        var scenario = MailboxScenario(seed: 13)
        scenario.mailboxRestarts = [0: 3]
        let report = try MailboxReport.run(scenario)
        #expect(report.violations.isEmpty && report.completed == [0, 1], "\(report)")
    }
}
