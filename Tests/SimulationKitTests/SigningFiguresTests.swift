import SimulationKit
import Testing

/// What a signature may cost; the budgets are the project's.
@Suite struct SigningFiguresTests {
    /// Members, how many sign, and whether the proposer coordinates.
    static let groups: [(members: Int, threshold: Int, proposerCoordinates: Bool)] = [
        (2, 2, true), (2, 2, false), (3, 3, true), (3, 3, false), (3, 2, true), (5, 3, false), (7, 7, true),
    ]

    @Test(arguments: groups, [Duration.milliseconds(25), .milliseconds(100)])
    func `one round trip lies between the last approval and the signature, and two between proposal and signature`(
        group: (members: Int, threshold: Int, proposerCoordinates: Bool), oneWay: Duration
    ) throws {
        let figures = try SigningFigures.measure(
            memberCount: group.members, threshold: group.threshold, oneWay: oneWay, proposerCoordinates: group.proposerCoordinates)
        let roundTrip = oneWay * 2
        #expect(figures.lastApprovalToSignature <= roundTrip * 1.1, "\(figures)")
        #expect(figures.proposalToSignature <= roundTrip * 2.1, "\(figures)")
        #expect(figures.proposalToEverybody <= roundTrip * 2.6, "\(figures)")
        // Nobody can be quicker than its messages.
        #expect(figures.proposalToEverybody > figures.proposalToSignature && figures.lastApprovalToSignature >= .zero)
        #expect(figures.proposalToSignature >= oneWay)
    }

    @Test(arguments: [(2, 2), (3, 3), (3, 2), (7, 7)], [Duration.milliseconds(25), .milliseconds(100)])
    func `with nonces that were given ahead one round trip lies between proposal and signature`(
        group: (members: Int, threshold: Int), oneWay: Duration
    ) throws {
        let figures = try SigningFigures.measure(
            memberCount: group.members, threshold: group.threshold, oneWay: oneWay, requestCount: 3, noncePool: 4)
        #expect(figures.proposalToSignature <= oneWay * 2 * 1.1, "\(figures)")
        #expect(figures.proposalToSignature >= oneWay * 2 && figures.proposalToEverybody <= oneWay * 2 * 1.6)
    }

    @Test func `what a member says and hears does not grow with the group, but for the nonces of the others`() throws {
        let (small, large) = (
            try SigningFigures.measure(memberCount: 3, threshold: 3, oneWay: .milliseconds(25)),
            try SigningFigures.measure(memberCount: 12, threshold: 12, oneWay: .milliseconds(25))
        )
        #expect(small.member.sentMessageCount == large.member.sentMessageCount, "\(small.member), \(large.member)")
        #expect(small.member.receivedMessageCount == large.member.receivedMessageCount)
        // In the begin: 66 bytes of a nonce, and what proves whose it is.
        let grown = large.member.receivedByteCount - small.member.receivedByteCount
        #expect(grown > 9 * 66 && grown <= 9 * (66 + 160), "\(grown) bytes for nine more signers")
        #expect(large.coordinator.sentMessageCount <= 6 * 11, "\(large.coordinator)")
    }

    @Test func `a member's work is counted for its host, and changes nothing that happens`() throws {
        var reading: UInt64 = 0
        let counted = try SigningFigures.measure(
            memberCount: 3, threshold: 2, oneWay: .milliseconds(25),
            processorClock: {
                reading += 1
                return reading
            })
        let plain = try SigningFigures.measure(memberCount: 3, threshold: 2, oneWay: .milliseconds(25))
        #expect(counted.member.processorTime > 0 && counted.coordinator.processorTime > 0 && plain.member.processorTime == 0)
        #expect(counted.proposalToEverybody == plain.proposalToEverybody)
        #expect(counted.member.sentByteCount == plain.member.sentByteCount && plain.member.sentByteCount > 0)
    }
}
