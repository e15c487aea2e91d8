internal import LibP2P

/// What one seed makes of a signing: who takes part, how the network and the machines fare, and who cheats how.
///
/// Everything follows from the seed but the secret nonces, which nobody can choose; nothing that happens depends on their bytes.
public struct SigningScenario: Sendable {
    public let seed: UInt64
    public let memberCount: Int
    /// How many of the members a signature takes.
    public let threshold: Int
    public let inputCount: Int
    public let election: UInt8
    /// Whether nonces are committed to before they are shown.
    public let usesNonceCommitments: Bool
    /// From proposal to expiry.
    public let life: Duration
    /// When faults end: from then on the network loses little and nobody crashes.
    public let healing: Duration
    public let delay: ClosedRange<Duration>
    /// Shares of messages that are lost or come twice before healing, in thousandths; a fifth of it afterwards.
    public let lossPerMille: Int
    public let duplicationPerMille: Int
    /// Most seconds by which a clock is wrong, in either direction.
    public let clockSkewMax: Int
    /// How long a write to a journal takes at most.
    public let journalDelayMax: Duration
    /// Who cheats, by place, and how. Never all of them.
    public let cheats: [Int: SigningCheat]
    /// Who refuses, by place.
    public let refusers: Set<Int>
    public let crashes: [Crash]
    /// Members that crash in the middle of a durable step, by place: which of its steps it is, the first being 1. Steps are a request that
    /// is kept, a decision of its person, and each decision to sign.
    public let stepCrashes: [Int: Int]
    public let partitions: [Partition]

    public struct Crash: Sendable {
        public let place: Int
        public let at: Duration
        public let back: Duration
        /// The disk is as it was at the start: decisions and journal are gone.
        public let losesDisk: Bool
    }

    /// Members below `border` in a shuffled order cannot reach the others for a while.
    public struct Partition: Sendable {
        public let from: Duration
        public let to: Duration
        public let sides: [Bool]
    }

    /// - Parameters:
    ///   - memberCounts: how many members there may be.
    ///   - only: a way of cheating of which there is then exactly one member, and no other cheats.
    ///   - commitments: whether nonces are committed to; drawn, if it is left out.
    public init(seed: UInt64, memberCounts: ClosedRange<Int> = 2...15, only: SigningCheat? = nil, commitments: Bool? = nil) {
        var random = SeededRandom(seed: seed ^ 0x5167_6e69_6e67)
        // Small groups are common, and cheap to try in many ways.
        let (least, most) = (memberCounts.lowerBound, memberCounts.upperBound)
        let memberCount = Int.random(in: least...(Bool.random(using: &random) ? min(max(5, least), most) : most), using: &random)
        let takesAll = Int.random(in: 0..<5, using: &random) < 2
        var threshold = takesAll ? memberCount : Int.random(in: 1...memberCount, using: &random)
        // A tree of thousands of leaves would take all the time.
        while !takesAll, Self.setCount(memberCount, threshold) > 200 { threshold += 1 }
        threshold = min(threshold, memberCount)
        let isCalm = Int.random(in: 0..<4, using: &random) == 0
        let healing = Duration.seconds(Int.random(in: 5...60, using: &random))

        var cheats: [Int: SigningCheat] = [:]
        if !isCalm, Int.random(in: 0..<3, using: &random) > 0 {
            let most = Int.random(in: 0..<4, using: &random) == 0 ? memberCount - 1 : memberCount - threshold
            for place in (0..<memberCount).shuffled(using: &random).prefix(Int.random(in: 0...max(0, most), using: &random)) {
                cheats[place] = SigningCheat.drawn.randomElement(using: &random)
            }
        }
        if let only { cheats = [Int.random(in: 0..<memberCount, using: &random): only] }
        self.usesNonceCommitments = NonceCommitmentDraw.decide(seed: seed, wanted: commitments, cheats: &cheats, only: only)
        let honest = (0..<memberCount).filter { cheats[$0] == nil }
        var refusers: Set<Int> = []
        if Int.random(in: 0..<6, using: &random) == 0, let place = honest.randomElement(using: &random) { refusers.insert(place) }

        var crashes: [Crash] = []
        var stepCrashes: [Int: Int] = [:]
        var partitions: [Partition] = []
        if !isCalm {
            for _ in 0..<Int.random(in: 0...min(6, memberCount), using: &random) {
                let at = Self.moment(before: healing, using: &random)
                crashes.append(
                    Crash(
                        place: Int.random(in: 0..<memberCount, using: &random), at: at,
                        back: at + .milliseconds(Int.random(in: 10...8_000, using: &random)),
                        losesDisk: Int.random(in: 0..<6, using: &random) == 0))
            }
            for place in 0..<memberCount where Int.random(in: 0..<3, using: &random) == 0 {
                stepCrashes[place] = Int.random(in: 1...4, using: &random)
            }
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                let from = Self.moment(before: healing, using: &random)
                partitions.append(
                    Partition(
                        from: from, to: min(healing, from + .milliseconds(Int.random(in: 500...20_000, using: &random))),
                        sides: (0..<memberCount).map { _ in Bool.random(using: &random) }))
            }
        }
        if only == nil, !self.usesNonceCommitments, let place = cheats.keys.min(), seed % 8 == 5 { cheats[place] = .clones }
        if only == nil { SigningCheat.drawProposals(seed: seed, &cheats) }
        self.seed = seed
        self.memberCount = memberCount
        self.threshold = threshold
        self.inputCount = Int.random(in: 1...3, using: &random)
        self.election = UInt8.random(in: 1...4, using: &random)
        // Where too few are honest all of it passes, and nothing new comes of more.
        let isHopeless = memberCount - cheats.count - refusers.count < threshold
        self.life = .seconds(isHopeless ? Int.random(in: 120...600, using: &random) : Int.random(in: 600...3_600, using: &random))
        self.healing = isCalm ? .zero : healing
        let shortest = Int.random(in: 1...40, using: &random)
        self.delay = .milliseconds(shortest) ... .milliseconds(shortest * Int.random(in: 1...8, using: &random))
        self.lossPerMille = isCalm ? 0 : Int.random(in: 0...250, using: &random)
        self.duplicationPerMille = isCalm ? 0 : Int.random(in: 0...100, using: &random)
        self.clockSkewMax = Int.random(in: 0...60, using: &random)
        self.journalDelayMax = .milliseconds(Int.random(in: 0...30, using: &random))
        self.cheats = cheats
        self.refusers = refusers
        self.crashes = crashes
        self.stepCrashes = stepCrashes
        self.partitions = partitions
    }

    private static func moment(before end: Duration, using random: inout SeededRandom) -> Duration {
        .milliseconds(Int.random(in: 0...max(1, Int(end / .milliseconds(1))), using: &random))
    }

    /// How many sets of k there are among n; a number above a thousand for all that are more.
    private static func setCount(_ n: Int, _ k: Int) -> Int {
        var count = 1
        for place in 0..<min(k, n - k) {
            count = count * (n - place) / (place + 1)
            if count > 1_000 { return count }
        }
        return count
    }

    /// Whether enough honest members agree for the request to have to complete.
    public var mustComplete: Bool {
        // Who proposes to each something else has nothing that could complete, or nobody whose turn it is for all.
        !self.cheats.values.contains(where: \.isOfProposer)
            && self.memberCount - self.cheats.count - self.refusers.count >= self.threshold
    }
}

/// How a member cheats. Its own machine is honest; what it sends is not.
public enum SigningCheat: String, CaseIterable, Sendable {
    /// Sends nothing any more.
    case silent
    /// Never sends partial signatures, and never what completes.
    case withholds
    /// Signs another number than its partial signature.
    case wrongPartialSignatures
    /// Signs partial signatures that are none.
    case malformedPartialSignatures
    /// Signs nonces that are none.
    case malformedNonces
    /// Signs different nonces under one name for each receiver.
    case conflictingNonces
    /// As a coordinator, tells each receiver another transcript.
    case conflictingBegins
    /// As a coordinator, begins attempts far ahead.
    case begins
    /// Claims to be many turns ahead.
    case turns
    /// Claims to have signed higher attempts than there are, as high as is believed.
    case climbs
    /// Offers fresh nonces in place of each partial signature.
    case leaves
    /// Says everything again, and what others said as if it were its own.
    case replays
    /// Changes single bits of what it sends.
    case garbles
    /// Says everything twenty times.
    case floods
    /// Accuses others of faults that they did not make.
    case frames
    /// Says that the request is cancelled, refused and complete.
    case lies
    /// Runs twice, as a copied memory does: one nonce signs under two transcripts.
    case clones
    /// Shows other nonces than it committed to.
    case opensOther

    /// As the proposer, asks each for something else under one id: another amount, another policy, another end.
    case proposesOther
    /// As the proposer, tells each another order of turns for one request.
    case proposesOrders
    /// Passes the proposal on with other contents, as its proposer never signed it, or signed by itself.
    case altersProposals

    /// Those that come by chance in any request: what a seed makes of them stays what it was. In one of eight seeds the first one runs twice
    /// in place of it, and where nonces are committed to some show others. In one of sixteen the first one lies about what is proposed.
    static let drawn: [SigningCheat] = Self.allCases.filter { $0 != .clones && $0 != .opensOther && !Self.ofProposals.contains($0) }

    private static let ofProposals: [SigningCheat] = [.proposesOther, .proposesOrders, .altersProposals]

    /// Whether it is the proposer that cheats.
    var isOfProposer: Bool { self == .proposesOther || self == .proposesOrders }

    static func drawProposals(seed: UInt64, _ cheats: inout [Int: SigningCheat]) {
        guard seed % 16 == 9, let place = cheats.keys.min() else { return }
        cheats[place] = Self.ofProposals[Int(seed / 16 % UInt64(Self.ofProposals.count))]
    }
}

/// Which requests have their nonces committed to, and who cheats then.
///
/// Drawn by a generator of its own, so that all else that a seed makes is the same in either case.
enum NonceCommitmentDraw {
    /// One request in so many.
    private static let share = 4
    /// One cheat in so many of such a request cheats by its nonces.
    private static let cheatShare = 4

    static func decide(seed: UInt64, wanted: Bool?, cheats: inout [Int: SigningCheat], only: SigningCheat?) -> Bool {
        var random = SeededRandom(seed: seed ^ 0x636f_6d6d_6974)
        let isDrawn = Int.random(in: 0..<Self.share, using: &random) == 0
        guard wanted ?? (isDrawn || only == .opensOther) else { return false }
        guard only == nil else { return true }
        for place in cheats.keys.sorted() where Int.random(in: 0..<Self.cheatShare, using: &random) == 0 { cheats[place] = .opensOther }
        return true
    }
}

/// What can be made wrong with every honest member on purpose: each must be found, or the checks are worth nothing.
public enum SigningFault: String, CaseIterable, Sendable {
    /// Partial signatures leave before the decision is durable.
    case releasesBeforeDurable
    /// Whoever refuses signs all the same.
    case signsUnapproved
    /// Time never makes anybody do anything.
    case forgetsTimers
    /// Says everything so many times.
    case repeatsItself
    /// Takes a transaction for complete that is not.
    case believesTooEarly
    /// Calls a member faulty that is not.
    case blamesWithoutProof
    /// Shows nonces with its commitment to them.
    case showsNoncesEarly
    /// Says that a member runs twice that does not.
    case alarmsWithoutProof
    /// Tells nobody that a member runs twice.
    case overlooksClones
    /// Always has something to do at once.
    case neverRests
    /// Time makes nobody do anything from shortly before the request's end.
    case outlivesItsTime
    /// Holds another transaction of the same coins complete, with signatures that verify.
    case completesAnother
    /// Holds the transaction complete with signatures that verify and that no attempt made.
    case signsAside
}
