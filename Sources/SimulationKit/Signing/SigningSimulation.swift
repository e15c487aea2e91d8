/// Many signings under virtual time, each from its seed.
public struct SigningReport: Sendable {
    public private(set) var seeds = 0
    /// Signings that every honest member holds complete.
    public private(set) var completed = 0
    /// Signings that ended otherwise, as somebody refused or is at fault.
    public private(set) var aborted = 0
    /// Signings whose time ended.
    public private(set) var expired = 0
    public private(set) var violations: [(seed: UInt64, violation: SigningViolation)] = []
    public private(set) var virtualSeconds = 0.0
    public private(set) var messageCount = 0
    /// Signings in which nonces were committed to.
    public private(set) var committedCount = 0
    /// How many members the groups had; `nil` of none.
    public private(set) var memberCounts: ClosedRange<Int>?
    /// States, events and refusals that were reached.
    public private(set) var coverage: Set<String> = []

    private static let arrow = " → "
    private var transitions: [[Substring]] { self.coverage.map { $0.split(separator: Self.arrow) }.filter { $0.count == 2 } }

    /// States of a member's machine that were reached, and ways from one to another.
    public var stateCount: Int { Set(self.transitions.compactMap(\.last)).count }
    public var transitionCount: Int { self.transitions.count }

    public init() {}

    /// Under which it stands in the coverage.
    static let commitmentsName = "nonce commitments"

    enum Outcome { case completed, aborted, expired }

    /// Of one signing.
    init(
        violations: [(seed: UInt64, violation: SigningViolation)], outcome: Outcome, virtualSeconds: Double, messageCount: Int,
        memberCount: Int, coverage: Set<String>
    ) {
        self.seeds = 1
        self.memberCounts = memberCount...memberCount
        self.violations = violations
        switch outcome {
        case .completed: self.completed = 1
        case .aborted: self.aborted = 1
        case .expired: self.expired = 1
        }
        self.virtualSeconds = virtualSeconds
        self.messageCount = messageCount
        self.coverage = coverage
        self.committedCount = coverage.contains(Self.commitmentsName) ? 1 : 0
    }

    public mutating func add(_ other: SigningReport) {
        self.seeds += other.seeds
        self.completed += other.completed
        self.aborted += other.aborted
        self.expired += other.expired
        self.violations += other.violations
        self.virtualSeconds += other.virtualSeconds
        self.messageCount += other.messageCount
        self.committedCount += other.committedCount
        if let added = other.memberCounts {
            let own = self.memberCounts ?? added
            self.memberCounts = min(own.lowerBound, added.lowerBound)...max(own.upperBound, added.upperBound)
        }
        self.coverage.formUnion(other.coverage)
    }

    /// Runs one signing.
    ///
    /// - Parameter fault: what is made wrong with every honest member, to see that it is found.
    /// - Throws: what stands in the way of simulating at all, a full arena for one.
    public static func run(_ scenario: SigningScenario, fault: SigningFault? = nil) throws -> SigningReport {
        var run = try SigningRun(scenario, fault: fault)
        run.run()
        let honest = run.hosts.filter { $0.cheat == nil }
        let outcome: Outcome =
            if honest.allSatisfy({ $0.transaction != nil || scenario.refusers.contains($0.place) }) {
                .completed
            } else if honest.contains(where: { $0.hasAborted }) { .aborted } else { .expired }
        return SigningReport(
            violations: run.ledger.violations.map { (scenario.seed, $0) }.sorted { $0.1.description < $1.1.description },
            outcome: outcome, virtualSeconds: Double(run.now.components.seconds),
            messageCount: run.hosts.reduce(0) { $0 + $1.sentCount }, memberCount: scenario.memberCount,
            coverage: run.coverage.union(scenario.cheats.values.map { "cheat \($0.rawValue)" })
                .union(scenario.usesNonceCommitments ? [Self.commitmentsName] : []))
    }
}
