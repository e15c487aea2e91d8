public import CryptoPrimitives
public import LibP2P
public import Signing

/// Who may leave and fetch messages at this node, and how much of it: a value that turns requests into jobs for the store, and what became
/// of them into answers.
///
///     bytes of a peer ──receive──▶ answer                              refused without asking the store
///                          └─────▶ job ──(the store)──▶ `answer(_:with:now:)` ──▶ answer
///
/// Nothing that stands in a message counts for or against anybody: a message is sealed, a recipient that it names does nothing by being named,
/// and who asks is whoever the connection shows.
public struct MailboxServer: Sendable {
    /// How much is served.
    public struct Limits: Hashable, Sendable {
        /// What is done for one, at once and in every second.
        public struct Rate: Hashable, Sendable {
            public var requestBurst: Int
            public var requestsPerSecond: Int
            /// Bytes of requests and of answers.
            public var byteBurst: Int
            public var bytesPerSecond: Int

            public init(requestBurst: Int, requestsPerSecond: Int, byteBurst: Int, bytesPerSecond: Int) {
                self.requestBurst = requestBurst
                self.requestsPerSecond = requestsPerSecond
                self.byteBurst = byteBurst
                self.bytesPerSecond = bytesPerSecond
            }
        }

        /// For each peer that the owner knows: a whole box at once.
        public var known = Rate(requestBurst: 256, requestsPerSecond: 4, byteBurst: 8 << 20, bytesPerSecond: 128 << 10)
        /// For all strangers of one household together: as much as may wait from one source for one recipient.
        public var household = Rate(requestBurst: 128, requestsPerSecond: 1, byteBurst: 1 << 20, bytesPerSecond: 16 << 10)
        /// For all strangers together.
        public var strangers = Rate(requestBurst: 1_024, requestsPerSecond: 64, byteBurst: 16 << 20, bytesPerSecond: 1 << 20)
        /// Whether strangers may leave messages for those whom the owner knows: half of a box at most.
        public var servesStrangers = true
        /// Households of strangers that are remembered; the one that was silent longest is forgotten first.
        public var householdCountMax = 4_096
        /// Peers whose faults are remembered.
        public var offenderCountMax = 4_096
        /// Requests that are none before a peer is blocked, and for how long.
        public var faultCountMax = 10
        public var blockDuration = Duration.seconds(3_600)

        public init() {}
    }

    public struct Counters: Hashable, Sendable {
        public var jobs = 0
        public var refused: [MailboxRefusal: Int] = [:]
        public var blocks = 0
    }

    /// What the store has to do for a peer.
    public struct Job: Hashable, Sendable {
        public enum Operation: Hashable, Sendable {
            case deposit([UInt8], for: Ed25519.PublicKey, source: String, expiry: UInt64)
            case fetch(for: Ed25519.PublicKey, after: UInt64, countMax: Int, byteCountMax: Int)
            case acknowledge([UInt64], by: Ed25519.PublicKey)
        }

        public let operation: Operation
        let peer: PeerID
    }

    /// What became of a job.
    public enum Outcome: Sendable {
        case deposited(cursor: UInt64)
        case fetched([MailboxMessage])
        case acknowledged
        case failed(StoreError)
    }

    public enum Verdict: Hashable, Sendable {
        /// Bytes for the peer, and nothing else to do.
        case answer([UInt8])
        case job(Job)
    }

    /// What one has drawn.
    private struct Account: Sendable {
        var requests: TokenBucket
        var bytes: TokenBucket
        /// When it was last used, counted in requests: no two are alike, so the oldest does not depend on a dictionary's order.
        var usedAt: UInt64 = 0

        init(_ rate: Limits.Rate, now: Duration) {
            self.requests = TokenBucket(burst: rate.requestBurst, perSecond: rate.requestsPerSecond, now: now)
            self.bytes = TokenBucket(burst: rate.byteBurst, perSecond: rate.bytesPerSecond, now: now)
        }

        mutating func allows(_ byteCount: Int, now: Duration) -> Bool {
            let hasBytes = self.bytes.holds(byteCount, now: now)
            return self.requests.holds(1, now: now) && hasBytes
        }

        mutating func draw(_ byteCount: Int) {
            self.requests.draw(1)
            self.bytes.draw(byteCount)
        }
    }

    private struct Offender: Sendable {
        var faults = 0
        var blockedUntil: Duration?
        var lastAt: Duration
        var usedAt: UInt64

        /// 1 while nobody listens to it, else 0.
        func isBlocked(_ now: Duration) -> Int { self.blockedUntil.map { now < $0 ? 1 : 0 } ?? 0 }
    }

    private let limits: Limits
    private let bounds: MailboxBounds
    /// Those whom the owner knows: for them messages are kept, each by its identity's bytes and as a peer.
    private var recipients: [Bytes32: Ed25519.PublicKey] = [:]
    private var known: [PeerID: Ed25519.PublicKey] = [:]
    private var accounts: [PeerID: Account] = [:]
    private var households: [[UInt8]: Account] = [:]
    private var strangers: Account?
    private var offenders: [PeerID: Offender] = [:]
    private var requestCount: UInt64 = 0
    public private(set) var counters = Counters()

    public init(limits: Limits = Limits(), bounds: MailboxBounds = MailboxBounds()) {
        self.limits = limits
        self.bounds = bounds
    }

    /// For whom messages are kept, and who may fetch them: whom the owner knows, and the owner itself.
    public mutating func setRecipients(_ identities: some Collection<Ed25519.PublicKey>) {
        self.recipients = [:]
        self.known = [:]
        for identity in identities {
            guard let name = Bytes32(identity.bytes) else { continue }
            self.recipients[name] = identity
            self.known[PeerID(of: identity)] = identity
        }
        self.accounts = self.accounts.filter { self.known[$0.key] != nil }
    }

    /// What is remembered of others, in entries: never more than the limits and the owner's own list say.
    public var heldCount: Int { self.accounts.count + self.households.count + self.offenders.count }

    // MARK: - Requests

    /// Takes a request.
    ///
    /// - Parameters:
    ///   - peer: who asks, as the connection has proved.
    ///   - household: where it is, as the connection shows (`ConnectionInfo`'s address). All strangers of one count as one.
    public mutating func receive(_ bytes: [UInt8], from peer: PeerID, household: [UInt8], now: Moment) -> Verdict {
        self.requestCount += 1
        if self.isBlocked(peer, now: now.uptime) { return self.refuse(.blocked) }
        // Before anything is read: what costs us is bounded, whatever it says.
        guard self.draw(bytes.count, for: peer, of: household, now: now.uptime) else { return self.refuse(.tooOften) }
        let request: MailboxRequest
        do throws(MailboxFormatError) {
            request = try MailboxRequest(parsing: bytes)
        } catch {
            self.noteFault(of: peer, now: now.uptime)
            return self.refuse(.malformed)
        }
        switch request {
        case .deposit(let recipient, let expiry, let sealed):
            guard let recipient = self.recipients[recipient], self.limits.servesStrangers || self.known[peer] != nil else {
                return self.refuse(.unknownRecipient)
            }
            guard expiry > now.time else { return self.refuse(.expired) }
            guard sealed.count <= self.bounds.messageByteCountMax else { return self.refuse(.tooLarge) }
            return self.order(.deposit(sealed, for: recipient, source: self.source(of: peer, household), expiry: expiry), for: peer)
        case .fetch(let after, let countMax, let byteCountMax):
            guard let recipient = self.known[peer] else { return self.refuse(.unknownRecipient) }
            return self.order(
                .fetch(
                    for: recipient, after: after, countMax: min(Int(countMax), MailboxProtocol.pageCountMax),
                    byteCountMax: min(Int(clamping: byteCountMax), MailboxProtocol.pageByteCountMax)),
                for: peer)
        case .acknowledge(let cursors):
            guard let recipient = self.known[peer] else { return self.refuse(.unknownRecipient) }
            return self.order(.acknowledge(cursors, by: recipient), for: peer)
        // It is no mailbox of ours, or it would not have come here.
        case .notice: return self.refuse(.unknownRecipient)
        }
    }

    /// The peer's request was broken off or was too long to be taken: it counts as one that could not be read.
    public mutating func noteMalformed(from peer: PeerID, now: Moment) {
        self.requestCount += 1
        self.noteFault(of: peer, now: now.uptime)
    }

    private mutating func order(_ operation: Job.Operation, for peer: PeerID) -> Verdict {
        self.counters.jobs += 1
        return .job(Job(operation: operation, peer: peer))
    }

    private mutating func refuse(_ refusal: MailboxRefusal) -> Verdict {
        self.counters.refused[refusal, default: 0] += 1
        return .answer(MailboxAnswer.refused(refusal).serialized())
    }

    // MARK: - What became of jobs

    /// The answer to the peer whose job it was.
    public mutating func answer(_ job: Job, with outcome: Outcome, now: Moment) -> [UInt8] {
        let answer: MailboxAnswer
        switch outcome {
        case .deposited(let cursor): answer = .deposited(cursor)
        case .acknowledged: answer = .acknowledged
        case .fetched(let messages): answer = self.page(messages, for: job)
        case .failed(let error): answer = .refused(Self.refusal(for: error))
        }
        if case .refused(let refusal) = answer { self.counters.refused[refusal, default: 0] += 1 }
        let bytes = answer.serialized()
        // On trust, for how much it is shows only now: who fetches much waits for its next turn.
        self.accounts[job.peer]?.bytes.draw(bytes.count)
        return bytes
    }

    private func page(_ messages: [MailboxMessage], for job: Job) -> MailboxAnswer {
        guard case .fetch(_, _, let countMax, let byteCountMax) = job.operation else { return .refused(.unavailable) }
        let page = messages.prefix(MailboxProtocol.pageCountMax).map { MailboxAnswer.Message(cursor: $0.cursor, sealed: $0.bytes) }
        let byteCount = page.reduce(0) { $0 + $1.sealed.count }
        // The store stopped for one of two reasons, or had no more; if it may have stopped, the peer asks again.
        let mayHaveStopped = page.count >= countMax || byteCount + self.bounds.messageByteCountMax > byteCountMax
        return .messages(page, more: !page.isEmpty && mayHaveStopped)
    }

    private static func refusal(for error: StoreError) -> MailboxRefusal {
        switch error {
        case .full(.source, _): .fullForSource
        case .full(.recipient, _): .fullForRecipient
        case .full: .full
        case .tooLarge: .tooLarge
        case .stale: .expired
        case .heldByAnotherProcess, .newerVersion, .notOurs, .damaged, .storage, .notFound, .differentStands: .unavailable
        }
    }

    // MARK: - Who counts for what

    /// What the store counts a peer's messages for: a known peer for itself, a stranger for one of a few doors, by its household.
    ///
    /// The store lets a source have so much of a box; strangers, who may have any number of households, have as much as that and no more at
    /// each door, so that they never fill a box, and those who are known find room in it.
    private func source(of peer: PeerID, _ household: [UInt8]) -> String {
        if self.known[peer] != nil { return "peer \(peer)" }
        return "strangers \(Int(SHA256.hash(household)[0]) % Self.doorCount)"
    }

    /// With the store's own bounds strangers have half of a box at most, and a quarter of all mailboxes' bytes.
    static let doorCount = 4

    /// Draws a request from whoever pays for it: known peers share with nobody, so that no stranger in their house can silence them.
    private mutating func draw(_ byteCount: Int, for peer: PeerID, of household: [UInt8], now: Duration) -> Bool {
        if self.known[peer] != nil {
            var account = self.accounts[peer] ?? Account(self.limits.known, now: now)
            defer { self.accounts[peer] = account }
            guard account.allows(byteCount, now: now) else { return false }
            account.draw(byteCount)
            return true
        }
        var account = self.households[household] ?? Account(self.limits.household, now: now)
        // Its own first: a household that asks too often takes nothing of what is there for all.
        guard account.allows(byteCount, now: now) else { return false }
        var strangers = self.strangers ?? Account(self.limits.strangers, now: now)
        defer { self.strangers = strangers }
        guard strangers.allows(byteCount, now: now) else { return false }
        strangers.draw(byteCount)
        account.draw(byteCount)
        account.usedAt = self.requestCount
        if self.households[household] == nil, self.households.count >= self.limits.householdCountMax,
            let oldest = self.households.min(by: { $0.value.usedAt < $1.value.usedAt })
        {
            self.households[oldest.key] = nil
        }
        self.households[household] = account
        return true
    }

    // MARK: - Faults

    private func isBlocked(_ peer: PeerID, now: Duration) -> Bool {
        self.offenders[peer]?.isBlocked(now) == 1
    }

    /// Counts against the peer at the other end of the connection, and nobody else; an hour without any is as good as none.
    private mutating func noteFault(of peer: PeerID, now: Duration) {
        var offender = self.offenders[peer] ?? Offender(lastAt: now, usedAt: self.requestCount)
        if now - offender.lastAt >= self.limits.blockDuration { (offender.faults, offender.blockedUntil) = (0, nil) }
        offender.faults += 1
        (offender.lastAt, offender.usedAt) = (now, self.requestCount)
        if offender.faults >= self.limits.faultCountMax, offender.blockedUntil == nil {
            offender.blockedUntil = now + self.limits.blockDuration
            self.counters.blocks += 1
        }
        if self.offenders[peer] == nil, self.offenders.count >= self.limits.offenderCountMax,
            // Those who are blocked stay the longest: nobody gets out of it by having others misbehave.
            let oldest = self.offenders.min(by: { ($0.value.isBlocked(now), $0.value.usedAt) < ($1.value.isBlocked(now), $1.value.usedAt) })
        {
            self.offenders[oldest.key] = nil
        }
        self.offenders[peer] = offender
    }
}

extension MailboxServer.Job {
    /// Has the store do it.
    ///
    /// - Parameter now: Seconds since 1970.
    public func carryOut(in store: some MailboxStore, at now: UInt64) async -> MailboxServer.Outcome {
        do throws(StoreError) {
            switch self.operation {
            case .deposit(let bytes, let recipient, let source, let expiry):
                return .deposited(cursor: try await store.deposit(bytes, for: recipient, from: source, expiry: expiry, at: now))
            case .fetch(let recipient, let after, let countMax, let byteCountMax):
                return .fetched(
                    try await store.messages(for: recipient, after: after, countMax: countMax, byteCountMax: byteCountMax, at: now))
            case .acknowledge(let cursors, let recipient):
                try await store.acknowledge(cursors, by: recipient)
                return .acknowledged
            }
        } catch {
            return .failed(error)
        }
    }
}
