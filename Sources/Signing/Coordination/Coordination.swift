public import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// One signer's part in one request over a network: from the proposal to one valid signature, or to a clear word on what stands in the
/// way.
///
///     proposed ──approve──▶ approved ──begin──▶ signing ──the signatures verify──▶ complete
///        │ reject             │ withdraw          └─ fault or time: next attempt
///        ▼                    ▼                  any ──▶ expired, aborted, endedMayStillComplete
///
/// A value without clock, file, socket, task or lock. What arrived goes in (`receive`, `recorded`, the person's word), `step` says what
/// to do: messages for members, records for the journal, events. Call `step` after every input, and when `nextStepAt` comes.
///
/// Members take turns at coordinating. The coordinator of a turn collects approvals with nonces, begins attempts, and adds up what comes
/// back; it can delay and no more, for everybody checks what it says, and moves on to the next one when it takes too long. Attempt a
/// belongs to the member at place (a − 1) mod n of the order of turns, which may begin a, a + n, a + 2n…: beside each other, with
/// different nonces, where a policy has more than one set (after ROAST, eprint 2022/550).
///
/// Everything that must hold towards a third one is a signed `Statement`. Decisions to sign are made durable before anything leaves.
/// Secret nonces live in here and nowhere else: after a restart the same request goes on with fresh ones.
public struct Coordination: ~Copyable, Sendable {
    // What is asked
    public let request: SigningRequest
    /// T0.
    public let requestDigest: Bytes32
    public let policy: any SpendingPolicy
    public let terms: RequestTerms
    /// The proposer's word, to be shown to who has not heard it.
    let proposal: Statement
    /// The inputs that the policy's signers sign.
    let signedInputs: [Int]

    // Who we are
    public let signer: PublicKey
    let enrolment: Enrolment
    /// Of this process; another one after `discardNonces`.
    var incarnation: [UInt8]
    /// All that are used for naming nonces: counts over incarnations.
    var nonceCounter: UInt32 = 0

    // Who the others are
    var roster: Roster
    /// Rises with each enrolment that is learned from others and counts.
    public internal(set) var enrolmentRevision: UInt32 = 0
    /// All other members, in the policy's order: what is done for each is done in this order.
    let others: [PublicKey]
    /// The order of turns.
    public let priority: [PublicKey]
    public var timing: CoordinationTiming

    // Where we stand
    public internal(set) var state: CoordinationState = .proposed
    /// Our own decision, in order: the last one counts.
    var decision: (serial: UInt32, statement: Decision)
    enum Decision: Equatable { case none, approved, refused(RefusalReason) }
    /// The turn we are in, which is also the number of its first attempt.
    public internal(set) var turn: UInt32 = 1
    var turnBeganAt: Duration?
    /// When we last signed in this turn, and how often that prolonged it.
    var signedAt: Duration?
    var prolongations = 0
    /// When the coordinator is next asked whether it is there.
    var probeAt: Duration?
    /// Whether this is a later life of our process: the others are asked where things stand.
    let resumes: Bool
    var isFirstStep = true
    /// Whether the others were told how the request ended for us.
    var hasSaidEnd = false
    var isCancelledByUs = false
    var lastMoment: Moment?
    /// Decisions about attempts, ours only; those of former lives too.
    var records: [UInt32: BurnRecord]
    /// Partial signatures that were released, as they were signed.
    var released: [UInt32: Statement] = [:]
    /// Decisions that are on their way to the journal, and those that are durable and not released yet.
    var recording: Set<UInt32> = []
    var toRelease: [BurnRecord] = []
    /// Nonces that no attempt has taken yet, and the approval that offers them.
    var offers = OwnedList<OwnNonces>()
    var offered: Statement?
    /// Unused nonces of ours that another coordinator has, which called for them in a turn that we are not in: no one else's attempt takes
    /// them.
    var visits: [PublicKey: Visit] = [:]
    /// Who called, and for which turn; 0 for whom nonces are left, whichever it is.
    var calls: [PublicKey: UInt32] = [:]
    /// Attempts of each such coordinator that were signed since our turn began.
    var visitCounts: [PublicKey: Int] = [:]
    /// Attempts of our turn's coordinator that were signed since it began.
    var turnCount = 0
    /// What the coordinator was told of it.
    var approvalTold: (statement: Statement, turn: UInt32)?
    /// Whether others need fresh nonces of us.
    var wantsOffer = true
    /// After nonces could not be made, or decisions not be written down, when to try again.
    var offerAt: Duration?
    /// How often the last decisions could not be made durable, one after the other.
    var recordFailures = 0
    /// The newest begin of each member that waits to be looked at.
    var begins: [PublicKey: Begin] = [:]
    /// Where nonces are committed to: the newest commitments that each coordinator has shown and that wait to be looked at, and the
    /// attempts for which we showed our nonces. See Coordination+Commitments.
    var shows: [PublicKey: Show] = [:]
    var opened: [UInt32: Opened] = [:]
    /// Whether the coordinator asked for others beside those.
    var isAskedBeside = false
    /// Begins that were looked at, the newest last, to tell a second, different one from a repeat.
    var seenBegins: [Statement] = []

    // What others said
    /// Of all members, ourselves too.
    var desk: MemberTable<Seat>
    /// The newest named nonces of each member, to find two under one name, and not to verify one twice. Ours too: each begin repeats them.
    var named: [PublicKey: [Statement]] = [:]
    /// The same of commitments.
    var committed: [PublicKey: [Statement]] = [:]
    /// What was read of nonces.
    var nonces = ReadNonces()
    /// Members of whom the coordinator said that they approved: to be shown, and believed no further.
    var known: Set<PublicKey> = []
    var excluded: Set<PublicKey> = []
    /// Evidence that was judged already, ours too.
    var evidence: [Evidence] = []
    var attempts: [UInt32: CoordinatedAttempt] = [:]
    /// Signatures under attempts of others that are not signed here yet, and may be finished here.
    var heldPartials: [UInt32: [PublicKey: Statement]] = [:]
    var highestBegun: UInt32 = 0
    /// Since when somebody waits for us in a turn of ours.
    var gatherings: [UInt32: Duration] = [:]
    /// Until when those without doubts have time to come before one of the others is chosen again.
    var patientUntil: Duration?
    public internal(set) var completion: CompletedSignatures?
    public internal(set) var transaction: Transaction?
    /// When it is our turn to broadcast, if nobody saw the transaction by then.
    var broadcastAt: Duration?
    var isBroadcastSeen = false
    /// Plans by set: the same set comes again and again.
    var plans: [[PublicKey]: SigningPlan] = [:]

    /// What is watched for two uses of one nonce.
    var clones = CloneWatch()
    /// What it has to do with nonces that were given ahead.
    var pooledStart = PooledStart()

    // The channels
    var links: MemberTable<Link>
    /// How many members are away: see `setDistance`.
    var awayCount = 0
    var actions: [CoordinationAction] = []

    /// A begin as it came: the coordinator's word, the approvals that it rests on, and the nonces in them.
    struct Begin {
        let statement: Statement
        let approvals: [Statement]
        let nonceSets: [NonceSet]
    }

    /// What a coordinator knows of a member.
    struct Seat {
        /// The turn that it last said it is in.
        var turn: UInt32 = 0
        /// The turn of ours that its nonces are for, and whether it was in a later one when it offered them.
        var offeredFor: UInt32 = 0
        var isVisitor = false
        /// The turn for which it was last called from another turn, and when.
        var called: (turn: UInt32, at: Duration)?
        /// Whether it says that its person agreed, to us or to another coordinator.
        var saysApproved = false
        /// The highest attempt of ours that it said it signed.
        var highest: UInt32 = 0
        /// The highest decision of it.
        var serial: UInt32 = 0
        var refusal: RefusalReason?
        var hasApproved = false
        /// Approvals whose nonces no attempt has taken.
        var approvals: [Statement] = []
        /// The one whose nonces it left for attempts of ours, whichever turn it is in: see Coordination+Leaving.
        var left: Statement?
        /// The attempt of ours to which it owes an answer.
        var owes: UInt32?
        /// How often it let an attempt down, without anything being proved.
        var doubts = 0
        /// When it was last asked for fresh nonces.
        var askedAt: Duration?

        /// Whether its unused nonces can serve an attempt of this turn, where numbers of attempts up to `highest` are believed.
        func isReady(for turn: UInt32, highest: UInt32) -> Bool {
            self.offeredFor == turn && (self.turn <= turn || self.isVisitor) && self.hasApproved && self.refusal == nil && self.owes == nil
                && !self.approvals.isEmpty && self.highest <= highest
        }

        /// Whether it agreed, is in this turn and can answer, and no unused nonces of it are here.
        func lacksNonces(in turn: UInt32) -> Bool {
            self.turn == turn && self.hasApproved && self.refusal == nil && self.owes == nil && self.approvals.isEmpty
        }

        mutating func rise(turn: UInt32, highest: UInt32) {
            self.turn = max(self.turn, turn)
            self.highest = max(self.highest, highest)
        }

        /// Its nonces can serve an attempt, unless one has taken them. Those of a former life of its process are gone.
        mutating func hold(_ approval: Statement, isTaken: Bool) {
            self.approvals.removeAll { $0 == approval }
            if self.left == approval { self.left = nil }
            guard !isTaken else { return }
            self.approvals.removeAll { $0.offeredName?.incarnation != approval.offeredName?.incarnation }
            self.approvals.append(approval)
            if self.approvals.count > Self.approvalCountMax { self.approvals.removeFirst() }
        }

        /// Most unused approvals of one member: for parallel attempts.
        static let approvalCountMax = 4
    }

    /// Nonces for a coordinator whose turn we are not in.
    struct Visit {
        /// The turn that it called from; 0 for any.
        var turn: UInt32
        let approval: Statement
        /// Whether they were left for it before it called.
        var isLeft = false
    }

    /// An attempt that this process coordinates, signs in, or both.
    ///
    /// Unchecked, because the compiler does not see what makes it safe: each is made by one coordination, which cannot be copied, and never
    /// leaves it. It is changed by mutating methods of the coordination only (or before anybody else has it), to which the language gives
    /// that exclusively; its other methods only read, which many may do at once, for what is in here is `Sendable` itself.
    final class CoordinatedAttempt: @unchecked Sendable {
        let plan: SigningPlan
        let number: UInt32
        var session: SigningSession
        var approvals: [Statement]
        /// What its set committed to, in its order, where it does and this process coordinates; and the nonces that came of that.
        var commitments: [Statement] = []
        var openings: [PublicKey: Statement] = [:]
        /// The begin of it, where this process coordinates it.
        var begin: Statement?
        var beganAt: Duration
        /// It can lead nowhere any more.
        var hasFailed = false
        /// The turn in which it was begun here.
        var turn: UInt32 = 0
        /// Whether we, who coordinate it, sign when everybody else has, and have not yet.
        var signsLast = false
        /// What came for it as its coordinator, as it was signed.
        var partials: [PublicKey: Statement] = [:]

        /// Whether it is kept to be finished here, though another process coordinates it: see Coordination+Sharing.
        var isShared = false
        /// Whose nonces it takes that were left for its coordinator, as far as we know: of all where we coordinate, else ours.
        var left: Set<PublicKey> = []

        /// Whether this process coordinates it, and it may still complete.
        var isLive: Bool { (self.begin != nil || !self.commitments.isEmpty) && !self.hasFailed }
        /// Whether this process adds up its signatures.
        var mayBeFinishedHere: Bool { (self.begin != nil || self.isShared) && !self.hasFailed }

        init(plan: SigningPlan, number: UInt32, approvals: [Statement], now: Duration) {
            self.plan = plan
            self.number = number
            self.session = SigningSession(plan: plan, attempt: number)
            self.approvals = approvals
            self.beganAt = now
        }
    }

    /// The channel to a member.
    struct Link: Sendable {
        var outbox = Outbox()
        var window = ReplayWindow()
        /// How far away the member is while it can only be reached by messages that wait for it somewhere.
        var distance: Duration?
        /// What came and is not acknowledged yet, and by when it should be.
        var unacknowledged: [UInt64] = []
        var acknowledgeAt: Duration?
        /// Messages without a number, sent once.
        var once: [CoordinationMessage.Content] = []
        /// Where we stand, as it was told last without a number.
        var standingSent: (standing: CoordinationMessage.Standing, at: Duration)?
        /// Pieces of evidence of it that were judged.
        var evidenceCount = 0
        /// Ends of it that did not verify.
        var falseEndCount = 0
        /// Whether it has shown that it may not know how the request ended.
        var isToBeToldOfCompletion = false
        /// The same of an end without a signature; and whether this life of its process was told.
        var isToBeToldOfEnd = false
        var hasBeenToldOfEnd = false
        /// When it was last told the proposal because it did not know the request.
        var proposedAt: Duration?
    }

    /// Highest number of an attempt.
    public static let attemptMax: UInt32 = 1_000_000
    /// The last turn: patience doubles with each rotation up to a share of the request's life, so that honest members come to a tenth of it.
    var turnMax: UInt32 { min(Self.attemptMax, 256 * UInt32(self.priority.count)) }
    /// Most named nonces that are kept of one member.
    static let namedCountMax = 8
    /// Most pieces of evidence that are judged for one member.
    static let evidenceCountMax = 8
    /// So many ends of one member that do not verify are looked at. No honest member tells one, and each costs a verification an input.
    static let falseEndCountMax = 8

    /// Takes part in a request, from its proposal or again after a restart.
    ///
    /// - Parameters:
    ///   - proposal: the proposer's signed word on the request.
    ///   - policy: the signer's own registered policy, under which it signs.
    ///   - roster: the policy's members and their enrolments.
    ///   - incarnation: fresh, never used before.
    ///   - records: this signer's decisions about the request from its journal.
    ///   - resumes: whether a former life of this process took part already.
    /// - Throws: `notASigner`; `transaction` for a proposal that is not this request's, or a policy that it does not name;
    ///   `scriptDoesNotMatch` when no coin is the policy's; `tooLarge`.
    public init(
        request: SigningRequest, proposal: Statement, policy: any SpendingPolicy, roster: Roster, enrolment: Enrolment,
        incarnation: Incarnation, records: [BurnRecord] = [], resumes: Bool = false, timing: CoordinationTiming = CoordinationTiming()
    ) throws(SigningError) {
        let digest = request.digest
        guard policy.members.contains(enrolment.signer) else { throw .notASigner(enrolment.signer) }
        let (terms, signedInputs) = try Self.check(request, digest: digest, proposal: proposal, under: policy)
        self.request = request
        self.requestDigest = digest
        self.policy = policy
        self.terms = terms
        self.proposal = proposal
        self.signedInputs = signedInputs
        self.signer = enrolment.signer
        self.enrolment = enrolment
        self.incarnation = incarnation.bytes
        self.roster = roster
        self.priority = terms.election.priority(of: policy.members, request: digest, proposer: proposal.sender)
        self.timing = timing
        self.resumes = resumes
        self.decision = (0, .none)
        self.records = Dictionary(
            records.filter { $0.signer == enrolment.signer && $0.request == digest }.map { ($0.attempt, $0) },
            uniquingKeysWith: { first, _ in first })
        self.others = policy.members.filter { $0 != enrolment.signer }
        self.links = MemberTable(self.others, Link())
        self.desk = MemberTable(policy.members, Seat())
        _ = self.roster.learn(enrolment)
        _ = self.roster.learn(proposal.enrolment)
    }

    /// Whether a policy's members can take part in a request as it is proposed: asked before anything of it is kept.
    ///
    /// - Throws: what `init` throws, but for a signer that is none.
    public static func check(_ request: SigningRequest, proposal: Statement, under policy: any SpendingPolicy) throws(SigningError) {
        _ = try Self.check(request, digest: request.digest, proposal: proposal, under: policy)
    }

    private static func check(
        _ request: SigningRequest, digest: Bytes32, proposal: Statement, under policy: any SpendingPolicy
    ) throws(SigningError) -> (terms: RequestTerms, signedInputs: [Int]) {
        guard case .proposal(let terms) = proposal.body, proposal.request == digest, proposal.sender == request.proposer else {
            throw .transaction("its proposal is not signed by its proposer")
        }
        guard policy.members.contains(proposal.sender) else { throw .notASigner(proposal.sender) }
        guard request.policyDigest == policy.digest else { throw .transaction("it is proposed under another policy") }
        guard policy.chooseSet(among: Set(policy.members)) != nil else { throw .transaction("its policy lets no set of its members sign") }
        let script = policy.scriptPubKey
        let signedInputs = request.prevouts.indices.filter { request.prevouts[$0].scriptPubKey == script }
        guard !signedInputs.isEmpty else { throw .scriptDoesNotMatch(input: 0) }
        guard policy.members.count <= SigningPlan.signerCountMax else {
            throw .tooLarge(what: "signers", actual: policy.members.count, limit: SigningPlan.signerCountMax)
        }
        guard policy.members.count * signedInputs.count <= SigningPlan.nonceCountMax else {
            let count = policy.members.count * signedInputs.count
            throw .tooLarge(what: "signers × inputs", actual: count, limit: SigningPlan.nonceCountMax)
        }
        return (terms, signedInputs)
    }

    /// The proposer's word on a request, to begin with.
    public static func propose(
        _ request: SigningRequest, terms: RequestTerms, enrolment: Enrolment, identity: borrowing Ed25519.SecretKey
    ) -> Statement {
        Statement(.proposal(terms), request: request.digest, attempt: 0, enrolment: enrolment, identity: identity)
    }

    /// The highest attempt of a coordinator that this signer decided. Of others' it need not know: their numbers are not its own, and it
    /// could be made to skip its turn by one that began attempts far ahead.
    func highestSigned(of coordinator: PublicKey) -> UInt32 {
        self.records.keys.filter { self.coordinator(of: $0) == coordinator }.max() ?? 0
    }

    /// Who coordinates an attempt or turn.
    func coordinator(of number: UInt32) -> PublicKey { self.priority[Int((number - 1) % UInt32(self.priority.count))] }

    /// What speaks for a member now, as far as it is known.
    public func enrolment(of member: PublicKey) -> Enrolment? { self.roster.enrolment(of: member) }

    /// The member for which an identity speaks.
    public func signer(speakingThrough identity: Ed25519.PublicKey) -> PublicKey? { self.roster.signer(speakingThrough: identity) }

    /// Who coordinates now, as far as this process knows.
    public var currentCoordinator: PublicKey { self.coordinator(of: self.turn) }

    mutating func tell(_ event: CoordinationEvent) { self.actions.append(.tell(event)) }
}

// MARK: - The person's word

extension Coordination {
    /// The signer agrees. The caller has made it durable, with a serial above all before.
    public mutating func approve(serial: UInt32) {
        guard !self.state.isOver, serial > self.decision.serial || self.decision.statement == .approved else { return }
        self.decision = (serial, .approved)
        if self.state == .proposed { self.state = self.records.isEmpty ? .approved : .signing }
    }

    /// The signer does not, or no longer, agree. Its unused nonces are wiped.
    ///
    /// What was released before stays out: the state then says that others may still finish.
    public mutating func refuse(_ reason: RefusalReason, serial: UInt32) {
        guard !self.state.isOver, serial > self.decision.serial else { return }
        self.decision = (serial, .refused(reason))
        self.end(reason == .rejected ? .rejected : .withdrawn)
    }

    /// The proposer does not ask for it any more. Nobody else can take a request back: at others this does nothing.
    public mutating func cancel() {
        guard self.signer == self.request.proposer, !self.state.isOver else { return }
        self.isCancelledByUs = true
        self.end(.aborted(.cancelled))
    }

    /// A former life of this process held the request complete: it is, if the signatures verify.
    public mutating func restore(_ completion: CompletedSignatures, now: Moment) {
        guard let transaction = self.verified(completion) else { return }
        self.complete(transaction, completion, now: now)
        // The former life told its owner. Who of the others has heard is not known any more.
        self.actions = []
        self.links.updateAll { $0.isToBeToldOfCompletion = true }
    }

    /// The request ended in a former life of this process: nothing more is signed. What was released then may still complete.
    public mutating func restoreEnd(_ reason: String) {
        self.end(.aborted(.before(reason)))
        self.actions = []
    }

    /// Whether there is something that a member has to be told until it says that it came.
    public func hasToTell(_ member: PublicKey) -> Bool { !(self.links[member]?.outbox.isEmpty ?? true) }

    /// Ends our part; how depends on whether partial signatures are out.
    mutating func end(_ state: CoordinationState) {
        guard !self.state.isOver else { return }
        self.wipe()
        if self.records.isEmpty {
            self.state = state
        } else {
            switch state {
            case .rejected, .withdrawn: self.state = .endedMayStillComplete(.withdrawn)
            case .expired: self.state = .endedMayStillComplete(.expired)
            case .aborted(let reason): self.state = .endedMayStillComplete(.aborted(reason))
            case .proposed, .approved, .signing, .complete, .endedMayStillComplete: self.state = state
            }
        }
        self.tell(.ended(self.state))
    }

    /// Wipes all secret nonces, those of attempts under way too.
    mutating func wipe() {
        self.offers = OwnedList()
        self.offered = nil
        self.visits = [:]
        self.calls = [:]
        self.begins = [:]
        self.shows = [:]
        self.opened = [:]
        self.toRelease = []
        for attempt in self.attempts.values { attempt.session.close() }
        self.attempts = [:]
        self.heldPartials = [:]
        self.nonces = ReadNonces()
    }

    /// The machine's clocks went apart, as those of a resumed snapshot do: wipes all secret nonces. The request goes on with others,
    /// in a new incarnation, as after a restart.
    public mutating func discardNonces(incarnation: Incarnation) {
        self.wipe()
        self.incarnation = incarnation.bytes
        let now = self.lastMoment?.uptime ?? .zero
        self.links.updateAll {
            $0.outbox.remove { $0.goesWithNonces }
            // Numbers begin anew with the incarnation: in a new series nobody takes one far from the first.
            $0.outbox.receiverStartedAnew(now: now)
        }
        self.desk.updateAll { $0.owes = nil }
        self.desk.update(self.signer) { $0.approvals = [] }
        self.wantsOffer = true
    }
}

extension Outbox.Matter {
    /// Whether it makes no sense any more once the nonces of our process are gone.
    fileprivate var goesWithNonces: Bool {
        switch self {
        case .approval, .leftNonces, .begin, .renewal, .commitments, .opening: true
        case .proposal, .decision, .cancellation, .turn, .completion, .greeting, .probe, .partialSignatures, .evidence, .nonceUse,
            .cloneAlarm:
            false
        }
    }
}
