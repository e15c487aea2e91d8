public import Bitcoin
public import Secp256k1

/// What is done with a request without its person.
public enum ApprovalDecision: Hashable, Sendable {
    /// A person decides, for these reasons. Some of them pass: ask the policy again later.
    case ask([ApprovalReason])
    /// To be approved at this moment, if the policy, asked again, still says so then; now, when its uptime is not ahead.
    case approve(at: Moment)
    /// Not to be approved, by a person either.
    case never([ApprovalReason])
}

/// Why a request is not approved automatically. Amounts are satoshi, times seconds.
public enum ApprovalReason: Hashable, Sendable {
    // What nobody may approve under this policy
    case noCoinOfTheGroup
    case expired(UInt64)
    /// Who asks is not whom the request names.
    case notItsProposer(PublicKey)

    // What lies outside of the limits
    case proposer(PublicKey)
    /// The first input of the group's whose signature would not cover the whole transaction.
    case sighashType(SighashType, input: Int)
    /// The first input whose coin is not the group's.
    case coinOfOthers(input: Int)
    /// The first output that goes where it may not.
    case destination(Script, output: Int)
    case amount(UInt64, limit: UInt64)
    case fee(UInt64, limit: UInt64)
    case feeRate(fee: UInt64, virtualSize: Int, limit: FeeRate)
    /// It can be signed for ever, so it would count when nobody looks any more.
    case neverExpires
    /// Its time is over before the delay is.
    case expiresBeforeDelay(seconds: UInt64)
    /// A person refused to spend this coin.
    case refusedBefore(OutPoint)

    // What passes by itself, or with a person's word
    case amountPerDay(UInt64, counted: UInt64, limit: UInt64)
    case approvalsPerDay(Int, limit: Int)
    case outsideOfWindows(opensAt: UInt64?)
    /// The time of day and the running time have gone apart by so much, or the time of day went back.
    case clockWasSet(seconds: UInt64)
    /// So much time, in all, passed while nothing ran, and nobody said since that the clock is right.
    case timeUnseen(seconds: UInt64, limit: UInt64)
    case historyFull

    /// Whether the same request may be approved later.
    public var passes: Bool {
        switch self {
        case .amountPerDay, .approvalsPerDay, .outsideOfWindows, .clockWasSet, .timeUnseen, .historyFull: true
        case .noCoinOfTheGroup, .expired, .notItsProposer, .proposer, .sighashType, .coinOfOthers, .destination, .amount, .fee, .feeRate,
            .neverExpires, .expiresBeforeDelay, .refusedBefore:
            false
        }
    }
}

extension ApprovalReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noCoinOfTheGroup: "it spends no coin of the group"
        case .expired(let expiry): "it expired at second \(expiry) since 1970"
        case .notItsProposer(let key): "signer \(key) asks for it, and another one proposed it"
        case .proposer(let key): "signer \(key) is not among those whose requests are approved automatically"
        case .sighashType(let type, let input):
            "input \(input) asks for a signature of type \(type), which leaves part of the transaction open"
        case .coinOfOthers(let input): "input \(input) spends a coin that is not the group's"
        case .destination(let script, let output): "output \(output) pays a script that is not on the list: \(script.hex)"
        case .amount(let amount, let limit): "\(amount) sat would leave the group, and the limit for one request is \(limit) sat"
        case .fee(let fee, let limit): "the fee is \(fee) sat, and the limit is \(limit) sat"
        case .feeRate(let fee, let size, let limit): "the fee is \(fee) sat for some \(size) vB, and the limit is \(limit)"
        case .neverExpires: "it never expires"
        case .expiresBeforeDelay(let seconds): "it expires before the \(seconds) s are over in which a person could object"
        case .refusedBefore(let coin): "a person refused to spend the coin \(coin)"
        case .amountPerDay(let amount, let counted, let limit):
            "\(amount) sat more would leave the group, after \(counted) sat in 24 hours, and the limit is \(limit) sat"
        case .approvalsPerDay(let count, let limit): "\(count) requests were approved automatically in 24 hours, and the limit is \(limit)"
        case .outsideOfWindows(let opening):
            "it is not the time for automatic approvals" + (opening.map { ": that comes at second \($0) since 1970" } ?? "")
        case .clockWasSet(let seconds): "the clock was set by \(seconds) s: a person must say that it is right"
        case .timeUnseen(let seconds, let limit):
            "\(seconds) s passed while nothing ran, more than \(limit) s: a person must say that the clock is right"
        case .historyFull: "there is no room to note another approval"
        }
    }
}
