internal import LibP2P

/// What one seed makes of a signing among whole nodes: real connections, real handshakes, and disks.
public struct NodeSigningScenario: Sendable {
    public let seed: UInt64
    public let memberCount: Int
    public let threshold: Int
    public let inputCount: Int
    public let election: UInt8
    /// From proposal to expiry, in seconds.
    public let life: Int
    /// When faults end.
    public let healing: Duration
    public let faults: NetworkFaults
    public let clockSkewMax: Int
    public let diskDelayMax: Duration
    public let thoughtMax: Duration
    /// Who refuses, by place.
    public let refusers: Set<Int>
    public let crashes: [Crash]
    /// Members that crash in the middle of a durable step, by place: which of its steps it is, the first being 1.
    public let stepCrashes: [Int: Int]
    public let cuts: [Cut]

    public struct Crash: Sendable {
        public let place: Int
        public let at: Duration
        public let back: Duration
        /// Whether others are not even told that its connections are gone.
        public let isSilent: Bool
        public let losesDisk: Bool
    }

    public struct Cut: Sendable {
        public let from: Duration
        public let to: Duration
        public let sides: [Bool]
        public let breaksPipes: Bool
    }

    public init(seed: UInt64, memberCounts: ClosedRange<Int> = 2...7) {
        var random = SeededRandom(seed: seed ^ 0x6e6f_6465_7369_676e)
        let memberCount = Int.random(in: memberCounts, using: &random)
        let threshold = Bool.random(using: &random) ? memberCount : Int.random(in: 1...memberCount, using: &random)
        let isCalm = Int.random(in: 0..<5, using: &random) == 0
        let healing = isCalm ? Duration.zero : Duration.seconds(Int.random(in: 5...60, using: &random))
        self.seed = seed
        self.memberCount = memberCount
        self.threshold = threshold
        self.inputCount = Int.random(in: 1...3, using: &random)
        self.election = UInt8.random(in: 1...4, using: &random)
        self.life = Int.random(in: 900...3_600, using: &random)
        self.healing = healing
        var faults = NetworkFaults()
        let least = Int.random(in: 1...60, using: &random)
        faults.delay = .milliseconds(least) ... .milliseconds(least * Int.random(in: 1...4, using: &random))
        if !isCalm {
            faults.jitter = .milliseconds(Int.random(in: 0...50, using: &random))
            faults.dialFailureProbability = Double.random(in: 0...0.3, using: &random)
            faults.silentFailureShare = 0.3
            faults.pipeLifetime = Bool.random(using: &random) ? .seconds(Int.random(in: 5...60, using: &random)) : nil
            faults.silentBreakShare = Double.random(in: 0...0.5, using: &random)
            faults.cutProbability = Double.random(in: 0...0.3, using: &random)
        }
        self.faults = faults
        self.clockSkewMax = Int.random(in: 0...60, using: &random)
        self.diskDelayMax = .milliseconds(Int.random(in: 1...40, using: &random))
        self.thoughtMax = .milliseconds(Int.random(in: 1...5_000, using: &random))
        var refusers: Set<Int> = []
        if Int.random(in: 0..<8, using: &random) == 0 { refusers.insert(Int.random(in: 0..<memberCount, using: &random)) }
        var crashes: [Crash] = []
        var stepCrashes: [Int: Int] = [:]
        var cuts: [Cut] = []
        if !isCalm {
            let latest = Int(healing / .milliseconds(1))
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let at = Duration.milliseconds(Int.random(in: 0...latest, using: &random))
                crashes.append(
                    Crash(
                        place: Int.random(in: 0..<memberCount, using: &random), at: at,
                        back: at + .milliseconds(Int.random(in: 10...8_000, using: &random)), isSilent: Bool.random(using: &random),
                        losesDisk: Int.random(in: 0..<6, using: &random) == 0))
            }
            for place in 0..<memberCount where Int.random(in: 0..<2, using: &random) == 0 {
                stepCrashes[place] = Int.random(in: 1...10, using: &random)
            }
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let from = Duration.milliseconds(Int.random(in: 0...latest, using: &random))
                cuts.append(
                    Cut(
                        from: from, to: min(healing, from + .milliseconds(Int.random(in: 500...20_000, using: &random))),
                        sides: (0..<memberCount).map { _ in Bool.random(using: &random) }, breaksPipes: Bool.random(using: &random)))
            }
        }
        self.refusers = refusers
        self.crashes = crashes
        self.stepCrashes = stepCrashes
        self.cuts = cuts
    }

    /// Whether enough members agree for the request to have to complete.
    public var mustComplete: Bool { self.memberCount - self.refusers.count >= self.threshold }
}

/// What can be made wrong with every node on purpose: each must be found, or the checks are worth nothing.
public enum NodeSigningFault: String, CaseIterable, Sendable {
    /// The disk says that a decision of its person is durable, and forgets it.
    case losesDecisions
    /// Of decisions to sign nobody hears that they are durable.
    case losesAnswers
    /// Every life of a process calls itself the same.
    case reusesIncarnations
    /// Takes a transaction for complete that is not.
    case believesTooEarly
}
