internal import LibP2P

/// What one seed makes of a signing among whole nodes: real connections, real handshakes, disks, clocks, people, and those who cheat.
public struct NodeSigningScenario: Sendable {
    public let seed: UInt64
    public let memberCount: Int
    public let threshold: Int
    public let inputCount: Int
    public let election: UInt8
    /// Whether nonces are committed to before they are shown.
    public let usesNonceCommitments: Bool
    /// From proposal to expiry, in seconds.
    public let life: Int
    /// When faults end. Who cheats goes on.
    public let healing: Duration
    public let faults: NetworkFaults
    public let clockSkewMax: Int
    public let diskDelayMax: Duration
    public let thoughtMax: Duration
    /// Who cheats, by place, and how. Never all of them.
    public let cheats: [Int: SigningCheat]
    /// Nodes of nobody's group that flood.
    public let strangerCount: Int
    /// Who refuses, by place.
    public let refusers: Set<Int>
    /// Who takes an agreement back.
    public let withdrawers: Set<Int>
    /// When the proposer takes the request back.
    public let cancelledAt: Duration?
    public let crashes: [Crash]
    /// Members that crash in the middle of a durable step, by place: which of its steps it is, the first being 1.
    public let stepCrashes: [Int: Int]
    public let cuts: [Cut]
    public let diskFaults: [DiskFault]
    public let clockChanges: [ClockChange]

    /// What becomes of a disk while its process is down.
    public enum DiskFate: Sendable {
        case isKept
        case isLost
        /// It is put back as it was then.
        case isRolledBack(to: Duration)
    }

    public struct Crash: Sendable {
        public let place: Int
        public let at: Duration
        public let back: Duration
        /// Whether others are not even told that its connections are gone.
        public let isSilent: Bool
        public let disk: DiskFate
        /// Whether it comes back under a newer enrolment.
        public let renewsEnrolment: Bool
    }

    public struct Cut: Sendable {
        public let from: Duration
        public let to: Duration
        public let sides: [Bool]
        public let breaksPipes: Bool
    }

    /// A disk that takes nothing for a while.
    public struct DiskFault: Sendable {
        public let place: Int
        public let from: Duration
        public let to: Duration
        /// Whether it is not even known what became of the first write; then the process is started anew at the end.
        public let isUnknown: Bool
    }

    /// Somebody sets a clock, and sets it right when faults end.
    public struct ClockChange: Sendable {
        public let place: Int
        public let at: Duration
        /// By which it is then wrong, in seconds.
        public let skew: Int
    }

    /// Entries of nonces that each member gives each other one ahead.
    public var noncePool = 0

    /// Members that nobody can dial: they are reached through a node that is a relay for them.
    public private(set) var relayed: Set<Int> = []
    /// Whether members know nobody's address but a node's that passes gossip on, and find each other by announcements.
    public private(set) var announces = false
    /// Whether members look for direct connections in place of relayed ones.
    public private(set) var punchesHoles = false
    /// When the node in the middle dies, if it does, and comes back.
    public private(set) var hubCrash: (at: Duration, back: Duration)?
    /// Members that read slowly, or nothing, for a while.
    public private(set) var slowReaders: [SlowReader] = []

    public struct SlowReader: Sendable {
        public let place: Int
        public let from: Duration
        public let to: Duration
        /// What it reads in a second; `nil`: nothing.
        public let bytesPerSecond: Int?
    }

    /// Whether there is a node in the middle.
    public var hasHub: Bool { !self.relayed.isEmpty || self.announces }

    /// Which requests have members that are hard to reach, one of so many seeds each. Drawn by a generator of its own, so that all else that a
    /// seed makes is the same in either case.
    private mutating func drawWays(hasHub: Bool?) {
        var random = SeededRandom(seed: self.seed ^ 0x6875_6273)
        let latest = Int(self.healing / .milliseconds(1))
        let honest = (0..<self.memberCount).filter { self.cheats[$0] == nil }
        if Int.random(in: 0..<6, using: &random) == 0 {
            self.relayed = Set(honest.shuffled(using: &random).prefix(Int.random(in: 1...2, using: &random)))
        }
        self.announces = Int.random(in: 0..<6, using: &random) == 0
        self.punchesHoles = Bool.random(using: &random)
        if hasHub == false { (self.relayed, self.announces) = ([], false) }
        if hasHub == true, !self.hasHub {
            if self.seed.isMultiple(of: 2) { self.announces = true } else { self.relayed = Set(honest.prefix(1)) }
        }
        guard latest > 0 else { return }
        func span() -> (from: Duration, to: Duration) {
            let from = Int.random(in: 0...latest, using: &random)
            return (.milliseconds(from), .milliseconds(min(latest, from + Int.random(in: 500...30_000, using: &random))))
        }
        if self.hasHub, Bool.random(using: &random) {
            let time = span()
            self.hubCrash = (time.from, time.to)
        }
        if Int.random(in: 0..<3, using: &random) == 0 {
            self.slowReaders = (0..<Int.random(in: 1...2, using: &random)).map { _ in
                let time = span()
                return SlowReader(
                    place: Int.random(in: 0..<self.memberCount, using: &random), from: time.from, to: time.to,
                    bytesPerSecond: Bool.random(using: &random) ? Int.random(in: 200...20_000, using: &random) : nil)
            }
        }
    }

    /// - Parameters:
    ///   - memberCounts: how many members there may be.
    ///   - hasWays: whether members may read slowly, or nothing for a while.
    ///   - hasHub: whether there is a node in the middle, without which some members are not reached or not found. Drawn, if it is left
    ///     out.
    ///   - only: a way of cheating of which there is then exactly one member, and no other cheats.
    ///   - commitments: whether nonces are committed to; drawn, if it is left out.
    public init(
        seed: UInt64, memberCounts: ClosedRange<Int> = 2...7, hasWays: Bool = true, hasHub: Bool? = nil, only: SigningCheat? = nil,
        commitments: Bool? = nil
    ) {
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
        // Most answer at once, some after minutes.
        let slowest = Int.random(in: 0..<6, using: &random) == 0 ? 240_000 : 5_000
        self.thoughtMax = .milliseconds(Int.random(in: 1...slowest, using: &random))

        var cheats: [Int: SigningCheat] = [:]
        if !isCalm, Int.random(in: 0..<2, using: &random) == 0 {
            let most = Int.random(in: 0..<4, using: &random) == 0 ? memberCount - 1 : memberCount - threshold
            for place in (0..<memberCount).shuffled(using: &random).prefix(Int.random(in: 0...max(0, most), using: &random)) {
                cheats[place] = SigningCheat.drawn.randomElement(using: &random)
            }
        }
        if let only { cheats = [Int.random(in: 0..<memberCount, using: &random): only] }
        self.usesNonceCommitments = NonceCommitmentDraw.decide(seed: seed, wanted: commitments, cheats: &cheats, only: only)
        if only == nil, !self.usesNonceCommitments, let place = cheats.keys.min(), seed % 8 == 5 { cheats[place] = .clones }
        if only == nil { SigningCheat.drawProposals(seed: seed, &cheats) }
        self.cheats = cheats
        self.strangerCount = !isCalm && Int.random(in: 0..<4, using: &random) == 0 ? Int.random(in: 1...2, using: &random) : 0
        let honest = (0..<memberCount).filter { cheats[$0] == nil }
        func somebody(onceIn count: Int) -> Set<Int> {
            guard Int.random(in: 0..<count, using: &random) == 0, let place = honest.randomElement(using: &random) else { return [] }
            return [place]
        }
        let (refusers, withdrawers) = (somebody(onceIn: 10), somebody(onceIn: 10))
        self.refusers = refusers
        self.withdrawers = withdrawers
        let latest = Int(healing / .milliseconds(1))
        func moment() -> Duration { .milliseconds(Int.random(in: 0...latest, using: &random)) }
        self.cancelledAt = Int.random(in: 0..<20, using: &random) == 0 ? moment() : nil

        var crashes: [Crash] = []
        var stepCrashes: [Int: Int] = [:]
        var cuts: [Cut] = []
        var diskFaults: [DiskFault] = []
        var clockChanges: [ClockChange] = []
        if !isCalm {
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let at = moment()
                let disk: DiskFate =
                    switch Int.random(in: 0..<6, using: &random) {
                    case 0: .isLost
                    case 1: .isRolledBack(to: .milliseconds(Int.random(in: 0...max(0, Int(at / .milliseconds(1))), using: &random)))
                    default: .isKept
                    }
                crashes.append(
                    Crash(
                        place: Int.random(in: 0..<memberCount, using: &random), at: at,
                        back: at + .milliseconds(Int.random(in: 10...8_000, using: &random)), isSilent: Bool.random(using: &random),
                        disk: disk, renewsEnrolment: Int.random(in: 0..<6, using: &random) == 0))
            }
            for place in 0..<memberCount where Int.random(in: 0..<2, using: &random) == 0 {
                stepCrashes[place] = Int.random(in: 1...10, using: &random)
            }
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let from = moment()
                cuts.append(
                    Cut(
                        from: from, to: min(healing, from + .milliseconds(Int.random(in: 500...20_000, using: &random))),
                        sides: (0..<memberCount + 2).map { _ in Bool.random(using: &random) }, breaksPipes: Bool.random(using: &random)))
            }
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let from = moment()
                diskFaults.append(
                    DiskFault(
                        place: Int.random(in: 0..<memberCount, using: &random), from: from,
                        to: min(healing, from + .milliseconds(Int.random(in: 100...10_000, using: &random))),
                        isUnknown: Bool.random(using: &random)))
            }
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                clockChanges.append(
                    ClockChange(
                        place: Int.random(in: 0..<memberCount, using: &random), at: moment(),
                        skew: Int.random(in: -240...240, using: &random)))
            }
        }
        self.crashes = crashes
        self.stepCrashes = stepCrashes
        self.cuts = cuts
        self.diskFaults = diskFaults
        self.clockChanges = clockChanges
        // Where too few are willing all of it passes, and nothing new comes of more.
        let willing = honest.count { !refusers.contains($0) && !withdrawers.contains($0) }
        let isHopeless = willing < threshold || self.cancelledAt != nil
        self.life = isHopeless ? Int.random(in: 400...600, using: &random) : Int.random(in: 900...3_600, using: &random)
        if hasWays { self.drawWays(hasHub: hasHub) }
    }

    /// Whether a member is honest, and wants the request signed to its end.
    public func isWilling(_ place: Int) -> Bool {
        self.cheats[place] == nil && !self.refusers.contains(place) && !self.withdrawers.contains(place)
    }

    /// Whether enough members agree for the request to have to complete.
    public var mustComplete: Bool {
        // Who proposes to each something else has nothing that could complete, or nobody whose turn it is for all.
        self.cancelledAt == nil && !self.cheats.values.contains(where: \.isOfProposer)
            && (0..<self.memberCount).count(where: self.isWilling) >= self.threshold
    }
}

/// What can be made wrong with every honest node on purpose: each must be found, or the checks are worth nothing.
public enum NodeSigningFault: String, CaseIterable, Sendable {
    /// The disk says that a decision of its person is durable, and forgets it.
    case losesDecisions
    /// Of decisions to sign nobody hears that they are durable.
    case losesAnswers
    /// Of decisions to sign it is said that they are durable before they are.
    case releasesBeforeDurable
    /// Every life of a process calls itself the same.
    case reusesIncarnations
    /// Signs with the nonces of its first decision once more, as one would that kept them.
    case keepsNonces
    /// Whoever refuses signs all the same.
    case signsUnapproved
    /// Takes a transaction for complete that is not.
    case believesTooEarly
    /// Calls a member faulty that is not.
    case blamesWithoutProof
    /// Time never makes its machine do anything.
    case forgetsTimers
    /// Says everything so many times.
    case repeatsItself
    /// Writes down everything so many times.
    case writesWithoutEnd
    /// What it sent it holds for ever.
    case letsNothingGo
    /// Says to everybody what is no message, beside what it has to say.
    case garblesItsWords
    /// The same, so long and so seldom that only its bytes are too many.
    case padsItsWords
    /// Writes what is on the disk again and again.
    case writesAgain
    /// Decides to sign what nobody began.
    case signsWithoutEnd
    /// Tells each refusal many times.
    case tellsRefusalsAgain
    /// Time makes its machine do nothing from shortly before the request's end.
    case outlivesItsTime
    /// Says that a member runs twice that does not.
    case alarmsWithoutProof
    /// Holds another transaction of the same coins complete, with signatures that verify.
    case completesAnother
    /// Holds the transaction complete with signatures that verify and that no attempt made.
    case signsAside
    /// Hears so little of each member at a time that honest ones have to wait.
    case hearsLittle
}
