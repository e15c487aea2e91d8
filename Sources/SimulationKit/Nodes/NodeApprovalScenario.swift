internal import LibP2P

/// What one seed makes of requests among whole nodes that approve by themselves, each within its owner's limits.
public struct NodeApprovalScenario: Sendable {
    public let seed: UInt64
    /// All sign together, so nothing is signed that one of their policies does not let out.
    public let memberCount: Int
    /// Seconds in which a person could object, by place.
    public let delays: [UInt64]
    public let asks: [Ask]
    public let crashes: [NodeSigningScenario.Crash]
    public let diskDelayMax: Duration
    public let clockSkewMax: Int

    /// A request for some of the group's coins.
    public struct Ask: Sendable {
        public let at: Duration
        public let proposer: Int
        /// What leaves the group, in satoshi, the fee included.
        public let amount: UInt64
        /// Whether it goes where no policy lets anything go.
        public let isToStranger: Bool
    }

    /// The limits of all members' policies, in satoshi.
    public static let amountPerRequest: UInt64 = 60_000
    public static let amountPerDay: UInt64 = 130_000
    public static let approvalsPerDay = 4
    static let fee: UInt64 = 1_000
    static let coinAmount: UInt64 = 200_000
    /// From the first request until all is over. Everything is within one of a policy's days.
    static let length = Duration.seconds(900)

    public init(seed: UInt64) {
        var random = SeededRandom(seed: seed ^ 0x6170_7072_6f76_616c)
        let memberCount = Int.random(in: 2...4, using: &random)
        self.seed = seed
        self.memberCount = memberCount
        self.delays = (0..<memberCount).map { _ in Bool.random(using: &random) ? 0 : UInt64.random(in: 1...60, using: &random) }
        self.asks = (0..<Int.random(in: 3...8, using: &random)).map { _ in
            Ask(
                at: .milliseconds(Int.random(in: 0...240_000, using: &random)), proposer: Int.random(in: 0..<memberCount, using: &random),
                amount: UInt64.random(in: 10_000...70_000, using: &random), isToStranger: Int.random(in: 0..<6, using: &random) == 0)
        }
        self.crashes = (0..<Int.random(in: 0...10, using: &random)).map { _ in
            let at = Duration.milliseconds(Int.random(in: 1_000...300_000, using: &random))
            return NodeSigningScenario.Crash(
                place: Int.random(in: 0..<memberCount, using: &random), at: at,
                back: at + .milliseconds(Int.random(in: 10...8_000, using: &random)), isSilent: Bool.random(using: &random),
                disk: .isKept, renewsEnrolment: false)
        }
        self.diskDelayMax = .milliseconds(Int.random(in: 1...40, using: &random))
        self.clockSkewMax = Int.random(in: 0...60, using: &random)
    }
}

/// What can be made wrong with every node on purpose: each must be found, or the checks are worth nothing.
public enum NodeApprovalFault: String, CaseIterable, Sendable {
    /// The disk says that what was approved automatically is durable, and forgets it.
    case losesHistory
    /// The machine goes by other limits than its owner's.
    case widensLimits
    /// The machine leaves its person no time to object.
    case dropsDelay
}
