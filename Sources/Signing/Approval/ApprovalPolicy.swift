public import Bitcoin
public import Secp256k1

/// What a signer's machine may approve without its person, and within what limits. For everything else a person is asked.
///
/// A machine that approves by itself is only as safe as its limits, so none of them is left open by leaving it out, and whatever it cannot
/// judge (a clock that was set, a coin of somebody else, a signature that covers less than all) goes to the person.
///
///     switch history.decide(request, by: proposer, under: policy, now: now) {
///     case .approve(let moment) where moment.uptime <= now.uptime: // Make the history durable, then approve.
///     case .approve(let moment): // Show it to the person, and decide again at that moment.
///     case .ask(let reasons): // Show it, with the reasons. Some pass: decide again later.
///     case .never(let reasons): // Refuse.
///     }
///
/// Its text, which people write, is described at ``init(parsing:)``.
public struct ApprovalPolicy: Hashable, Sendable {
    /// Whose requests may be approved automatically.
    public enum Proposers: Hashable, Sendable {
        /// Any member's.
        case any
        case these(Set<PublicKey>)
    }

    /// Where coins may go.
    public enum Destinations: Hashable, Sendable {
        case anywhere
        /// These scripts, byte by byte, and the own ones.
        case these(Set<Script>)
    }

    /// What becomes of a request that stays outside of the limits for good.
    public enum Otherwise: String, Hashable, Sendable, CaseIterable {
        case ask
        /// For a machine behind which nobody sits.
        case refuse
    }

    /// How much. Amounts are satoshi.
    public struct Limits: Hashable, Sendable {
        /// Most that one request may take from the group, its fee included.
        public var amountPerRequest: UInt64
        /// Most that all automatic approvals of any 24 hours may take together. A request counts when it is approved, however much
        /// later it is signed; what a person approved does not count.
        public var amountPerDay: UInt64
        /// Most automatic approvals in any 24 hours.
        public var approvalsPerDay: Int
        /// Highest fee, whoever's coins pay it.
        public var fee: UInt64
        /// Highest fee rate, of the least size that the signed transaction can have: it comes out too high rather than too low.
        public var feeRate: FeeRate

        public init(amountPerRequest: UInt64, amountPerDay: UInt64, approvalsPerDay: Int, fee: UInt64, feeRate: FeeRate) {
            self.amountPerRequest = amountPerRequest
            self.amountPerDay = amountPerDay
            self.approvalsPerDay = approvalsPerDay
            self.fee = fee
            self.feeRate = feeRate
        }
    }

    /// When.
    public struct Times: Hashable, Sendable {
        /// An approval takes effect only within one of these; `nil` for at any time.
        public var windows: [ApprovalWindow]?
        /// Seconds between the moment at which the request was first looked at and the approval, in which a person can object. They pass
        /// only while the process runs.
        public var delay: UInt64
        /// Seconds, in all, that may pass unseen before a person must say that the clock is right: while no process ran, the time of day
        /// may have been set.
        public var unseenMax: UInt64

        public init(windows: [ApprovalWindow]?, delay: UInt64, unseenMax: UInt64 = 3_600) {
            self.windows = windows
            self.delay = delay
            self.unseenMax = unseenMax
        }
    }

    public let network: Network
    /// The script of the group's coins. What leaves it counts.
    public let groupScript: Script
    /// Further scripts of the same owners, to which coins may return uncounted.
    public let otherOwnScripts: Set<Script>
    public let proposers: Proposers
    public let destinations: Destinations
    public let limits: Limits
    public let times: Times
    /// Whether a transaction may spend coins of others as well. Where they do not sign, what was counted never leaves.
    public let allowsCoinsOfOthers: Bool
    public let otherwise: Otherwise

    /// Most of each: proposers, destinations, further own scripts.
    ///
    /// Source: Chorale's own bound, above what a person keeps in a list.
    public static let listCountMax = 1_000
    public static let windowCountMax = 64
    /// Source: bounds `ApprovalHistory`.
    public static let approvalsPerDayMax = 1_000
    /// Seconds: 30 days, as long as a request may last.
    public static let delayMax: UInt64 = 30 * 86_400
    /// Seconds: a week.
    public static let unseenMaxMax: UInt64 = 7 * 86_400

    /// - Throws: `groupIsNotTaproot`, `outOfRange` for a limit that is none, `tooMany` for lists.
    public init(
        network: Network, groupScript: Script, otherOwnScripts: Set<Script> = [], proposers: Proposers, destinations: Destinations,
        limits: Limits, times: Times, allowsCoinsOfOthers: Bool = false, otherwise: Otherwise = .ask
    ) throws(ApprovalPolicyError) {
        guard case .payToTaproot = groupScript.kind else { throw .groupIsNotTaproot }
        for amount in [limits.amountPerRequest, limits.amountPerDay, limits.fee] where amount > TransactionOutput.amountMax {
            throw .outOfRange("an amount", amount, limit: TransactionOutput.amountMax)
        }
        guard (0...Self.approvalsPerDayMax).contains(limits.approvalsPerDay) else {
            throw .outOfRange("the approvals a day", UInt64(clamping: limits.approvalsPerDay), limit: UInt64(Self.approvalsPerDayMax))
        }
        guard times.delay <= Self.delayMax else { throw .outOfRange("the delay", times.delay, limit: Self.delayMax) }
        guard times.unseenMax <= Self.unseenMaxMax else {
            throw .outOfRange("the time that may pass unseen", times.unseenMax, limit: Self.unseenMaxMax)
        }
        guard times.windows?.count ?? 0 <= Self.windowCountMax else { throw .tooMany("time windows", limit: Self.windowCountMax) }
        if case .these(let keys) = proposers, keys.count > Self.listCountMax { throw .tooMany("proposers", limit: Self.listCountMax) }
        if case .these(let scripts) = destinations, scripts.count > Self.listCountMax {
            throw .tooMany("destinations", limit: Self.listCountMax)
        }
        guard otherOwnScripts.count <= Self.listCountMax else { throw .tooMany("own scripts", limit: Self.listCountMax) }
        self.network = network
        self.groupScript = groupScript
        self.otherOwnScripts = otherOwnScripts.subtracting([groupScript])
        self.proposers = proposers
        self.destinations = destinations
        self.limits = limits
        self.times = times
        self.allowsCoinsOfOthers = allowsCoinsOfOthers
        self.otherwise = otherwise
    }

    /// Whether coins that go there have not left: an exact script, never a pattern.
    func isOwn(_ script: Script) -> Bool { script == self.groupScript || self.otherOwnScripts.contains(script) }
}

/// Hours of some days of the week, UTC, in which approvals may take effect.
public struct ApprovalWindow: Hashable, Sendable {
    public enum Weekday: Int, Hashable, Sendable, CaseIterable {
        case monday, tuesday, wednesday, thursday, friday, saturday, sunday
    }

    public let days: Set<Weekday>
    /// Of the day: from the first on, up to and without the last. A window over midnight is two.
    public let minutes: Range<Int>

    /// `nil` for no day, no minute, or minutes outside of a day.
    public init?(days: Set<Weekday>, minutes: Range<Int>) {
        guard !days.isEmpty, !minutes.isEmpty, minutes.lowerBound >= 0, minutes.upperBound <= Self.minutesADay else { return nil }
        self.days = days
        self.minutes = minutes
    }

    static let minutesADay = 1_440

    /// - Parameter time: seconds since 1970, which was a Thursday.
    public func contains(_ time: UInt64) -> Bool {
        let minute = Int(time % 86_400 / 60)
        guard let day = Weekday(rawValue: Int((time / 86_400 + 3) % 7)) else { return false }
        return self.days.contains(day) && self.minutes.contains(minute)
    }

    /// The first second behind `time` at which the window opens; `nil` at the end of time.
    func nextOpening(after time: UInt64) -> UInt64? {
        let today = time / 86_400
        for day in UInt64(0)...7 {
            let (start, overflows) = (today + day).multipliedReportingOverflow(by: 86_400)
            let (opening, overflowsToo) = start.addingReportingOverflow(UInt64(self.minutes.lowerBound) * 60)
            guard !overflows, !overflowsToo else { return nil }
            if opening > time, self.contains(opening) { return opening }
        }
        return nil
    }
}
