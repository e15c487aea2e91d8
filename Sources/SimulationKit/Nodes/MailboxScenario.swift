/// A signing whose members are never connected to each other: each visits nodes that keep messages now and then, one after the other.
public struct MailboxScenario: Sendable {
    public var seed: UInt64
    public var memberCount = 2
    public var threshold = 2
    /// What each mailbox does with what it is given; `nil` for an honest one.
    public var mailboxes: [MailboxWhim?] = [nil]
    /// Between the beginnings of two visits, whoever's they are; and how long each lasts: longer than a node waits between two dials.
    public var interval = Duration.seconds(3_600)
    public var length = Duration.seconds(600)
    /// Visits after which it is over.
    public var visitCountMax = 60
    /// Who comes once and never again, by its place in the order of turns, the first to coordinate being 0: when all others have agreed, as
    /// the last signer.
    public var singleVisitor: Int?
    /// Visits of each other member before that one.
    public var visitsBeforeSingle = 2
    /// Whether nonces are committed to before they are shown, which takes a visit more.
    public var usesNonceCommitments = false
    /// Peers that nobody knows, who leave as much for the members as they can.
    public var strangerCount = 0
    /// Members whose processes are killed after so many of their own visits, and started again.
    public var restarts: [Int: Int] = [:]
    /// Mailboxes whose processes are killed after so many visits, and started again.
    public var mailboxRestarts: [Int: Int] = [:]

    public init(seed: UInt64) { self.seed = seed }
}

/// What a mailbox can do to those who use it, which is no more than a network can.
public enum MailboxWhim: String, CaseIterable, Sendable {
    /// One message of three it says that it keeps, and does not.
    case drops
    /// What was acknowledged it gives again.
    case repeats
    /// The last message comes first.
    case reorders
    /// It gives nothing that came within the last visits.
    case delays
}

/// What came of it.
public struct MailboxReport: Sendable {
    public var violations: Set<SigningViolation> = []
    /// Members that hold it complete, by place.
    public var completed: Set<Int> = []
    /// Visits by all.
    public var visitCount = 0
    /// Visits of each member until it held it complete.
    public var visitsUntilComplete: [Int: Int] = [:]
    /// Messages that mailboxes took, and those that they refused for want of room.
    public var depositCount = 0
    public var refusedCount = 0
    public var droppedCount = 0
    /// Messages that wait in mailboxes at the end for members.
    public var waitingCount = 0
    /// Whether two members were ever connected.
    public var hasMet = false
    /// Deposits of strangers that were answered, whatever the answer.
    public var strangersAnswerCount = 0
}
