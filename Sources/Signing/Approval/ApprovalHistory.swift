internal import Bitcoin
public import CryptoPrimitives
public import Secp256k1

/// What was approved automatically, refused by a person or waits for its delay, and how much time was seen to pass meanwhile.
///
/// A bounded value without a clock or a disk. Its owner makes it durable (`serialized()`) before an approval is acted on, and every few
/// minutes besides (after `look`), for what passed since the last writing counts as unseen at the next start.
///
/// **Days are measured in time that was seen.** The time of day may be set by whoever speaks to the machine's time service, and a process
/// that was down did not see what passed. So the 24 hours of a limit and the seconds of a delay are counted by the clock that never goes
/// back, in running processes only; what passed between two of them counts when a person said that the clock is right (`confirmClock`). A
/// copy of the history that was put back is noticed in the same way: it is older than the clock says.
public struct ApprovalHistory: Sendable {
    /// What an approval takes from one coin at most.
    struct Charge: Hashable, Sendable {
        let coin: OutPoint
        var amount: UInt64
    }

    struct Approval: Hashable, Sendable {
        let request: Bytes32
        /// In milliseconds that were seen.
        let at: UInt64
        /// Empty when it ended before a partial signature left.
        var charges: [Charge]
    }

    struct Mark: Hashable, Sendable {
        var at: UInt64
        /// What a person refused to spend; empty for a request that waits.
        var coins: [OutPoint] = []
    }

    /// Most approvals that are kept: above what any policy allows in a day.
    static let approvalCountMax = 1_024
    /// Most requests that wait, and most that a person refused.
    static let markCountMax = 1_024
    /// Most coins of all of them.
    ///
    /// Source: bounds `serialized()` below 2 MiB.
    static let coinCountMax = 20_000
    /// In milliseconds that were seen: the 24 hours that limits are about.
    static let day: UInt64 = 86_400_000
    /// In milliseconds that were seen: as long as a request may last, after which a refusal and a delay concern nothing any more.
    static let markLife: UInt64 = 30 * 86_400_000
    /// Seconds by which the two clocks may go apart in one process: the skew that is allowed between signers.
    static let driftMax: UInt64 = 300

    private(set) var approvals: [Approval] = []
    private(set) var waiting: [Bytes32: Mark] = [:]
    private(set) var refused: [Bytes32: Mark] = [:]

    /// Milliseconds that were seen to pass.
    private(set) var seen: UInt64
    /// What the time of day should be, in seconds since 1970, by all that was seen.
    private(set) var time: UInt64
    /// Seconds that went by, or back, between processes since a person last said that the clock is right.
    private(set) var unseen: UInt64
    private(set) var setBack: UInt64
    /// This process's first look.
    private var anchor: (moment: Moment, seen: UInt64, time: UInt64)?

    /// An empty history. Whoever sets a policy up sees what time the machine thinks it is.
    public init(now: Moment) {
        (self.seen, self.time, self.unseen, self.setBack) = (0, now.time, 0, 0)
        self.anchor = (now, 0, now.time)
    }

    init(
        seen: UInt64, time: UInt64, unseen: UInt64, setBack: UInt64, approvals: [Approval], waiting: [Bytes32: Mark],
        refused: [Bytes32: Mark]
    ) {
        (self.seen, self.time, self.unseen, self.setBack) = (seen, time, unseen, setBack)
        (self.approvals, self.waiting, self.refused) = (approvals, waiting, refused)
    }

    // MARK: - Time

    /// Takes in what time it is, and lets go of what is older than any limit asks about.
    public mutating func look(_ now: Moment) {
        if let anchor = self.anchor {
            let passed = Self.milliseconds(from: anchor.moment.uptime, to: now.uptime)
            self.seen = max(self.seen, anchor.seen + passed)
            self.time = max(self.time, anchor.time.addingClamped(passed / 1_000))
        } else {
            if now.time >= self.time {
                self.unseen = self.unseen.addingClamped(now.time - self.time)
            } else {
                self.setBack = self.setBack.addingClamped(self.time - now.time)
            }
            self.time = now.time
            self.anchor = (now, self.seen, now.time)
        }
        self.approvals.removeAll { self.seen - $0.at >= Self.day }
        self.waiting = self.waiting.filter { self.seen - $0.value.at < Self.markLife }
        self.refused = self.refused.filter { self.seen - $0.value.at < Self.markLife }
    }

    /// A person said that this is the time. What passed unseen counts from now on, but not towards a delay, in which a person could have
    /// looked.
    public mutating func confirmClock(_ now: Moment) {
        self.look(now)
        let credit = self.unseen > self.setBack ? min(self.unseen - self.setBack, Self.creditMax) * 1_000 : 0
        self.seen += credit
        for request in self.waiting.keys { self.waiting[request]?.at += credit }
        (self.unseen, self.setBack, self.time) = (0, 0, now.time)
        self.anchor = (now, self.seen, now.time)
        self.look(now)
    }

    /// Why the time is not to be relied on.
    func doubts(_ now: Moment, unseenMax: UInt64) -> [ApprovalReason] {
        var doubts: [ApprovalReason] = []
        let drift = now.time > self.time ? now.time - self.time : self.time - now.time
        if drift > Self.driftMax { doubts.append(.clockWasSet(seconds: drift)) }
        if self.setBack > Self.driftMax { doubts.append(.clockWasSet(seconds: self.setBack)) }
        if let anchor = self.anchor, now.uptime < anchor.moment.uptime { doubts.append(.clockWasSet(seconds: 0)) }
        if self.unseen > unseenMax { doubts.append(.timeUnseen(seconds: self.unseen, limit: unseenMax)) }
        return doubts
    }

    /// Seconds until a person had the whole delay to object.
    func waitingTimeLeft(of request: Bytes32, delay: UInt64) -> UInt64 {
        guard let mark = self.waiting[request] else { return delay }
        let passed = (self.seen - mark.at) / 1_000
        return delay > passed ? delay - passed : 0
    }

    /// Seconds of unseen time that a person's word can count at once: longer than anything that is kept.
    private static let creditMax: UInt64 = 60 * 86_400

    private static func milliseconds(from start: Duration, to end: Duration) -> UInt64 {
        guard end > start else { return 0 }
        let (seconds, attoseconds) = (end - start).components
        return min(UInt64(clamping: seconds), 1 << 40) * 1_000 + UInt64(clamping: attoseconds / 1_000_000_000_000_000)
    }

    // MARK: - What counts

    /// The highest charge on each coin within the last 24 hours.
    func standingCharges(besides request: Bytes32) -> [OutPoint: UInt64] {
        var standing: [OutPoint: UInt64] = [:]
        for approval in self.approvals where approval.request != request {
            for charge in approval.charges { standing[charge.coin] = max(standing[charge.coin] ?? 0, charge.amount) }
        }
        return standing
    }

    func approvalCount(besides request: Bytes32) -> Int { self.approvals.reduce(0) { $1.request == request ? $0 : $0 + 1 } }

    var refusedCoins: Set<OutPoint> { self.refused.values.reduce(into: []) { $0.formUnion($1.coins) } }

    private var coinCount: Int {
        self.approvals.reduce(0) { $0 + $1.charges.count } + self.refused.values.reduce(0) { $0 + $1.coins.count }
    }

    func hasRoom(for exposure: ApprovalExposure, _ request: Bytes32) -> Bool {
        let standing = self.approvals.first { $0.request == request }
        if let standing, !standing.charges.isEmpty { return true }
        return (standing != nil || self.approvals.count < Self.approvalCountMax)
            && self.coinCount + exposure.coins.count <= Self.coinCountMax
            && (self.waiting[request] != nil || self.waiting.count < Self.markCountMax)
    }

    // MARK: - What happened

    /// Decides as the policy does, and notes what follows from it, in one step: of two requests that would fit alone the second one
    /// finds the first.
    ///
    /// - Returns: the decision. Where it is to approve now, make the history durable first, then approve.
    public mutating func decide(
        _ request: SigningRequest, by proposer: PublicKey, under policy: ApprovalPolicy, now: Moment
    ) -> ApprovalDecision {
        self.look(now)
        let decision = policy.decide(request, by: proposer, history: self, now: now)
        guard case .approve(let moment) = decision else { return decision }
        let digest = request.digest
        guard moment.uptime <= now.uptime else {
            if self.waiting[digest] == nil { self.waiting[digest] = Mark(at: self.seen) }
            return decision
        }
        self.waiting[digest] = nil
        // The first approval's moment stands, and what it charged: asked again, it is the same one.
        guard !self.approvals.contains(where: { $0.request == digest && !$0.charges.isEmpty }) else { return decision }
        self.approvals.removeAll { $0.request == digest }
        let charges = ApprovalExposure(request, under: policy).charges(over: self.standingCharges(besides: digest))
        self.approvals.append(Approval(request: digest, at: self.seen, charges: charges))
        return decision
    }

    /// A person refused it, or took an automatic approval back: no request for any of the same coins is approved automatically for
    /// 30 days.
    ///
    /// - Returns: false when there is no room to note it: then ``forgetRefusals()`` makes some.
    public mutating func noteRefusal(of request: SigningRequest, under policy: ApprovalPolicy, at now: Moment) -> Bool {
        self.look(now)
        let digest = request.digest
        self.waiting[digest] = nil
        let coins = ApprovalExposure(request, under: policy).coins.map(\.outPoint)
        guard self.refused[digest] == nil else { return true }
        guard self.refused.count < Self.markCountMax, self.coinCount + coins.count <= Self.coinCountMax else { return false }
        self.refused[digest] = Mark(at: self.seen, coins: coins)
        return true
    }

    /// A person wants the coins that were refused to be judged by the policy again.
    public mutating func forgetRefusals() { self.refused = [:] }

    /// Whether the policy approved it within the last 24 hours, or waits for its delay.
    public func holds(_ request: Bytes32) -> Bool {
        self.waiting[request] != nil || self.approvals.contains { $0.request == request }
    }

    /// A request that was approved, or waited, ended without a signature: expired, withdrawn or given up.
    ///
    /// While no partial signature left, it can take nothing. Once one has, whoever holds the others may still finish, and it counts on.
    public mutating func noteEnd(of request: Bytes32, partialSignaturesAreOut: Bool) {
        self.waiting[request] = nil
        guard !partialSignaturesAreOut, let place = self.approvals.firstIndex(where: { $0.request == request }) else { return }
        self.approvals[place].charges = []
    }
}

extension UInt64 {
    func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflows) = self.addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}
