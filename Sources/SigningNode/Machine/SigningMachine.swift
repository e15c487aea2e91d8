internal import Bitcoin
public import CryptoPrimitives
public import LibP2P
internal import Secp256k1
public import Signing

/// One signer's part in all requests of its groups, as a protocol of its node: a value without clock, socket, disk or task.
///
///     peers ──▶ messages ──▶ Coordination, one a request ──▶ messages ──▶ peers
///                                  │        ▲
///                                  ▼ write  │ written
///                                 the shell's store
///
/// Nothing is said about a request before it is on the disk; no decision counts, and no partial signature leaves, before it is. Which
/// members are wanted, it dials. It hears members only, each through the identity that is enrolled for it; what a peer does wrong counts
/// against that peer's connection and against nobody that it names.
///
/// There is one of each machine, which cannot be copied: its secret nonces have one owner.
///
/// The shell adds it to a node, carries out what ``SigningMachineEvent`` asks for, and answers. Simulation does the same.
public struct SigningMachine: ~Copyable, ProtocolMachine {
    public typealias Event = SigningMachineEvent

    public struct Configuration: Sendable {
        public var timing = CoordinationTiming()
        /// Requests that are not over.
        public var openCountMax = 1_000
        /// Of them, such of one other member: as many as its part of a store takes.
        public var openCountPerProposerMax = RequestBounds().openCountPerSourceMax
        /// Requests that are over and still answered for.
        public var overCountMax = 256
        /// Farthest that a proposal's creation may lie ahead of our clock, in seconds.
        public var clockSkewMax: UInt64 = 300
        /// Longest life of a request, in seconds: 30 days.
        public var lifeMax: UInt64 = 30 * 86_400
        /// So many refused messages block a peer, for so long.
        public var refusalCountMax = 10
        public var blockTime = Duration.seconds(3_600)
        /// So many such blocks of a member within so many seconds, a week, block it until the owner says otherwise.
        public var lastingBlockCount = 5
        public var lastingBlockSeconds: UInt64 = 7 * 86_400
        /// How much is heard of each member.
        public var rates = RateLimits()
        /// Entries of nonces that each member is given ahead, so that its proposals take one round trip; 0 for none, at most 64. Each takes
        /// two places of guarded memory.
        public var noncePoolCount = 0
        public var mailboxes = MailboxConfiguration()

        public init() {}
    }

    struct Group: Sendable {
        let name: String
        let policy: any SpendingPolicy
        var roster: Roster
    }

    enum Deadline: Hashable, Sendable {
        case request(Bytes32)
        case dial(PeerID)
        /// The policy is asked about a request again.
        case approval(Bytes32)
        /// The time that was seen is written down.
        case approvalTime
        case check(ConnectivityCheckID)
        case mailboxes
        /// Clone alarms that could not be made durable.
        case alarms
        /// Nonces are given ahead.
        case pools
        case cleanup
    }

    let keys: SignerKeys
    var configuration: Configuration
    /// The machine's clocks, asked before secret nonces are used.
    private let clocks: @Sendable (_ now: Duration) -> SigningClocks
    private var clockGuard = ClockGuard()
    /// 16 random bytes, never the same twice.
    let makeIncarnation: @Sendable () -> Incarnation

    var groups: [Bytes32: Group] = [:]
    var live: [Bytes32: LiveRequest] = [:]
    /// What is approved without a person, by group.
    var approvals: [Bytes32: GroupApproval] = [:]
    var arriving: [Bytes32: ArrivingRequest] = [:]
    var transport = RequestResponse(configuration: CoordinationProtocol.configuration)
    /// Messages whose answers have not come: about which request, and to whom.
    var underWay: [RequestResponse.RequestID: (request: Bytes32, member: PublicKey)] = [:]
    var members = MemberLinks()
    /// Of members, and of everybody else: whoever speaks before we know its group is not blocked when we do.
    var conduct = PeerConduct()
    var strangers = PeerConduct()
    /// Who is not listened to until the owner says otherwise.
    var blocks = PeerBlocks()
    /// When a member last spoke through another machine, by another's word; and the highest version of our own enrolment that was told.
    var enrolledAt: [PublicKey: Duration] = [:]
    var versionTold: UInt32 = 0
    /// How much each member said lately, where that is anything; and how many messages were over a member's rate.
    var rates: [PeerID: MemberRate] = [:]
    public internal(set) var heldBackCount: UInt64 = 0
    /// Which nonces of others served which attempts, in all requests.
    var sightings = NonceSightings()
    /// Nonces ahead, by `Roster.poolDigest`.
    var pools: [Bytes32: LivePool] = [:]
    /// How much of what each member gives ahead is looked at.
    var poolAllowances: [PublicKey: TokenBucket] = [:]
    /// Coins of requests that may still complete and are not answered for any more. There are as many as the store has.
    var reserved: [OutPoint: Bytes32] = [:]
    /// Refusals that are told: of strangers, and of members. Whoever has many refused counts in `conduct` all the same.
    var refusalReports: [TokenBucket]
    /// Checks of connections that are not over.
    var checks: [ConnectivityCheckID: ConnectivityCheck] = [:]
    var nextCheck: UInt64 = 0
    var mailboxes: MailboxService
    /// The mailboxes of members, by the peers that they are as far as any are known.
    var mailboxesOf: [PeerID: [PeerID]] = [:]
    var contacts: Set<Ed25519.PublicKey> = []
    /// Members, contacts or mailboxes have changed, those of these peers among them.
    var changedPeers: Set<PeerID>?
    /// What came through mailboxes before its proposal, or its group; and whether a group is new since that was looked at.
    var early: [EarlyMessage] = []
    var hasNewGroup = false
    var deadlines = ServiceDeadlines<Deadline>()
    var outbox = ServiceOutbox<SigningMachineEvent>()
    private var nextWrite: UInt64 = 0

    /// - Parameters:
    ///   - clocks: the time of the day, and that since the machine started, when the node's clock shows `now`.
    ///   - makeIncarnation: gives a fresh one at each call.
    ///   - now: the node's clock.
    package init(
        keys: SignerKeys, configuration: Configuration = Configuration(), clocks: @escaping @Sendable (_ now: Duration) -> SigningClocks,
        makeIncarnation: @escaping @Sendable () -> Incarnation, now: Duration
    ) {
        self.keys = keys
        self.configuration = configuration
        self.clocks = clocks
        self.makeIncarnation = makeIncarnation
        self.refusalReports = [TokenBucket](repeating: TokenBucket(burst: 64, perSecond: 1, now: now), count: 2)
        self.mailboxes = MailboxService(configuration.mailboxes)
        self.mailboxes.client.setOwnMailboxes(self.mailboxes.ownPeers, now: Moment(uptime: now, time: 0))
        for address in configuration.mailboxes.own {
            if let peer = address.peerID { self.members.learn([address.withoutPeerID], of: peer, from: .owner) }
        }
        self.deadlines.set(.mailboxes, at: now)
        self.deadlines.set(.cleanup, at: now + Self.cleanupInterval)
        self.deadlines.set(.approvalTime, at: now + Self.approvalLookInterval)
    }

    /// How often requests that are over are let go.
    static let cleanupInterval = Duration.seconds(60)

    func moment(_ now: Duration) -> Moment {
        Moment(uptime: now, time: UInt64(clamping: self.clocks(now).wall.components.seconds))
    }

    /// If the clocks went apart, as those of a resumed snapshot do, this memory may live twice: all secret nonces are wiped, and requests
    /// go on with others.
    mutating func lookAtClocks(now: Duration) {
        let clocks = self.clocks(now)
        guard self.clockGuard.hasJumped(wall: clocks.wall, running: clocks.running) else { return }
        self.outbox.report(.clocksJumped)
        self.dropNonces(now: now)
    }

    // MARK: Groups

    /// Takes part in a group's requests from now on. What is known of its members stays where it is newer.
    public mutating func add(_ policy: any SpendingPolicy, name: String, members: [Enrolment], now: Duration = .zero) {
        let network = self.keys.enrolment.network
        var roster = self.groups[policy.digest]?.roster ?? Roster(members: policy.members, network: network)
        for enrolment in members + [self.keys.enrolment] { _ = roster.learn(enrolment) }
        self.groups[policy.digest] = Group(name: name, policy: policy, roster: roster)
        for request in self.live.values where request.group == policy.digest {
            for enrolment in members { request.coordination.learn(enrolment) }
            // A machine that is new is dialled, too.
            if request.overSince == nil { self.connect(request, now: now) }
        }
        self.addPool(of: policy.digest, now: now)
        self.hasNewGroup = true
        self.membersChanged()
    }

    // MARK: A request's life in this process

    /// Goes on with a request that the store has.
    ///
    /// - Parameters:
    ///   - bytes: the message that it came as, with its proposal.
    ///   - completion: the message that completed it, if it is complete.
    ///   - said: entries of its transcript, those that `isWorthRecalling`.
    public mutating func restore(
        _ stored: StoredRequest, proposal bytes: [UInt8], records: [BurnRecord], completion: [UInt8]?, said: [TranscriptEntry] = [],
        now: Duration
    ) throws(SigningError) {
        for (digest, group) in self.groups {
            guard let found = try? Coordination.proposal(in: bytes, roster: group.roster), found.request.policyDigest == digest else {
                continue
            }
            let arrived = ArrivingRequest(request: found.request, proposal: found.proposal, bytes: bytes, group: digest, isOurs: false)
            let request = try self.open(arrived, stored, records, resumes: true)
            if let completion, let head = try? CoordinationMessage.Head(parsing: completion),
                case .complete(let signatures)? = try? head.content(group.roster)
            {
                request.coordination.restore(signatures, now: self.moment(now))
            } else if stored.state == .endedMayStillComplete || stored.state == .aborted {
                request.coordination.restoreEnd(stored.reasonOfEnd)
            }
            self.recall(said, of: request, now: now)
            self.takeEnrolments(of: request, now: now)
            if request.coordination.state.isOver { request.overSince = now }
            self.live[stored.id] = request
            // Whoever asks agrees: a process may have died between the two.
            if stored.decision == .undecided, found.request.proposer == self.keys.signer, !request.coordination.state.isOver {
                self.decide(.approved, about: request, now: now)
            }
            self.connect(request, now: now)
            self.step(request, now: now)
            return self.consider(request, now: now)
        }
        throw .transaction("no group here has its policy")
    }

    /// Makes a request's machine.
    mutating func open(
        _ arrived: ArrivingRequest, _ stored: StoredRequest, _ records: [BurnRecord], resumes: Bool
    ) throws(SigningError) -> LiveRequest {
        guard let group = self.groups[arrived.group] else { throw .transaction("no group here has its policy") }
        let coordination = try Coordination(
            request: arrived.request, proposal: arrived.proposal, policy: group.policy, roster: group.roster,
            enrolment: self.keys.enrolment, incarnation: self.makeIncarnation(), records: records, resumes: resumes,
            timing: self.configuration.timing)
        let request = LiveRequest(
            id: stored.id, group: arrived.group, proposal: arrived.bytes, coordination: coordination, state: stored.state,
            serial: stored.decisionSerial, decision: stored.decision, isByPolicy: stored.isByPolicy)
        request.hasDecidedToSign = !records.isEmpty
        request.coordination.timing = self.timing(for: request)
        self.apply(stored.decision, serial: stored.decisionSerial, to: request)
        return request
    }

    /// Our decision is durable.
    mutating func apply(_ decision: StoredRequest.Decision, serial: UInt64, to request: LiveRequest) {
        Self.apply(decision, serial: serial, to: &request.coordination)
    }

    static func apply(_ decision: StoredRequest.Decision, serial: UInt64, to coordination: inout Coordination) {
        let serial = UInt32(truncatingIfNeeded: serial)
        switch decision {
        case .undecided: break
        case .approved: coordination.approve(serial: serial)
        case .rejected: coordination.refuse(.rejected, serial: serial)
        case .withdrawn: coordination.refuse(.withdrawn, serial: serial)
        case .cancelled: coordination.cancel()
        }
    }

    /// Goes on with a request: carries out what its machine wants, and notes where it stands.
    mutating func step(_ request: LiveRequest, now: Duration) {
        self.lookAtClocks(now: now)
        for action in self.keys.step(&request.coordination, at: self.moment(now)) {
            switch action {
            case .send(let bytes, let member): self.send(bytes, to: member, about: request, now: now)
            case .record(let record):
                request.hasDecidedToSign = true
                self.write(.burn(record), of: request, now: now)
            case .sighted(let use): self.note(use, in: request, now: now)
            case .takePooled(let entry, let coordinator): self.take(entry, for: coordinator, of: request, now: now)
            case .tell(let event): self.tell(event, of: request, now: now)
            }
        }
        self.noteState(of: request, now: now)
        if request.wantsStep {
            request.wantsStep = false
            return self.step(request, now: now)
        }
        if let due = request.coordination.nextStepAt {
            self.deadlines.set(.request(request.id), at: max(due, now))
        } else {
            self.deadlines.remove(.request(request.id))
        }
    }

    private mutating func tell(_ event: CoordinationEvent, of request: LiveRequest, now: Duration) {
        if case .complete(_, let signatures) = event, let group = self.groups[request.group] {
            let message = CoordinationMessage(
                request: request.id, series: .init(incarnation: [UInt8](repeating: 0, count: NonceName.incarnationByteCount)), sequence: 0,
                acknowledged: nil, content: .complete(signatures))
            // By itself: what else is written down about the request may be refused for its length.
            self.write(.completion(TranscriptLine(kind: .completion, bytes: message.serialized(group.roster))), of: request, now: now)
        }
        // Of each signer once: whoever is at fault is not heard any more.
        if case .fault(_, _, let evidence) = event {
            let bytes = evidence.serialized()
            // A longer one would be refused, and with it what is written in the same step.
            if bytes.count <= TranscriptHead.entryByteCountMax {
                self.write(.transcript([TranscriptLine(kind: .evidence, bytes: bytes)]), of: request, now: now)
            }
        }
        if case .cloneAlarm(let alarm, let isFoundHere) = event { self.take(alarm, isFoundHere: isFoundHere, of: request, now: now) }
        self.outbox.report(.request(request.id, event))
    }

    /// Gives the store a state that is new.
    private mutating func noteState(of request: LiveRequest, now: Duration) {
        let state = StoredRequest.State(request.coordination.state)
        guard state != request.state else { return }
        request.state = state
        if !state.isOpen {
            request.overSince = now
            self.dropDecisionsToSign(of: request)
            self.noteApprovalEnd(of: request)
        }
        let reason = StoredRequest.reason(request.coordination.state.reason, byPolicy: request.isByPolicy)
        self.write(.state(state, reason: reason), of: request, now: now)
    }

    /// Lets go of requests that are over, and of whose end everybody knows that can be expected to.
    mutating func cleanUp(now: Duration) {
        let over = self.live.values.filter { $0.overSince != nil && $0.writing == nil && $0.writes.isEmpty && $0.alarms.isEmpty }
        let time = self.moment(now).time
        for request in over {
            let expiry = request.coordination.request.expiry
            guard expiry != 0, time > expiry &+ Self.afterlife, request.coordination.nextStepAt == nil else { continue }
            self.forget(request)
        }
        let left = over.filter { self.live[$0.id] != nil }.sorted { ($0.overSince ?? .zero, $0.id) < ($1.overSince ?? .zero, $1.id) }
        for request in left.prefix(max(0, left.count - self.configuration.overCountMax)) { self.forget(request) }
        self.forgetConduct(now: now)
        self.outbox.report(.cleanStore(time: time))
    }

    /// Seconds after its expiry for which a request that is over is answered for.
    static let afterlife: UInt64 = 3_600

    private mutating func forget(_ request: LiveRequest) {
        // Whoever holds the partial signatures that are out may finish for ever.
        if request.state == .endedMayStillComplete {
            for input in request.coordination.request.transaction.inputs { self.reserved[input.previousOutput] = request.id }
        }
        self.live[request.id] = nil
        self.deadlines.remove(.request(request.id))
        self.deadlines.remove(.approval(request.id))
        self.mailboxes.client.forget(request.id)
        for receipt in request.receipts { self.mailboxes.client.safe(receipt) }
    }

    // MARK: The store

    /// Has something made durable, after what waits already.
    mutating func write(_ write: SigningWrite, of request: LiveRequest, now: Duration) {
        // What is said between two writes goes into one.
        if case .transcript(let lines) = write, case .transcript(let waiting)? = request.writes.last {
            request.writes[request.writes.count - 1] = .transcript(waiting + lines)
        } else {
            request.writes.append(write)
        }
        self.writeNext(of: request, now: now)
    }

    mutating func writeNext(of request: LiveRequest, now: Duration) {
        guard request.writing == nil, !request.writes.isEmpty else { return }
        let write = request.writes.removeFirst()
        let id = self.newWriteID()
        request.writing = (id, write)
        self.outbox.report(.write(id, request: request.id, write, time: self.moment(now).time))
    }

    mutating func newWriteID() -> SigningWriteID {
        self.nextWrite += 1
        return SigningWriteID(rawValue: self.nextWrite)
    }

    /// How many messages about requests went and came, and what became of them.
    public var messageCounters: RequestResponse.Counters { self.transport.counters }

    /// A write came to its end.
    public mutating func written(_ id: SigningWriteID, of request: Bytes32, _ result: SigningWriteResult, now: Duration) {
        guard let request = self.live[request] else { return self.arrived(request, result, now: now) }
        guard let (current, write) = request.writing, current == id else { return }
        request.writing = nil
        switch (write, result) {
        case (.burn(let record), .done): request.coordination.recorded(record)
        case (.burn(let record), .failed(let reason)):
            request.coordination.notRecorded(record)
            self.outbox.report(.notStored(request.id, reason: reason))
        case (.decision(let decision, let serial, let reason), .done):
            request.durableDecision = (decision, serial, !reason.isEmpty)
            self.apply(decision, serial: serial, to: request)
            if request.coordination.state.isOver { self.dropDecisionsToSign(of: request) }
        case (.decision, .failed(let reason)):
            // It can be said again.
            (request.decision, request.serial, request.isByPolicy) = request.durableDecision
            self.deadlines.set(.approval(request.id), at: now + Self.approvalLookInterval)
            self.outbox.report(.notStored(request.id, reason: reason))
        case (.cloneAlarm(_, let halts), .done): self.alarmWritten(halts, failure: nil, of: request, now: now)
        case (.cloneAlarm(_, let halts), .failed(let reason)):
            self.alarmWritten(halts, failure: reason, of: request, now: now)
            self.outbox.report(.notStored(request.id, reason: reason))
        case (.transcript, .failed(let reason)):
            // Once: a transcript that is full stays so, and others can make it full.
            if !request.hasToldOfTranscript { self.outbox.report(.notStored(request.id, reason: reason)) }
            request.hasToldOfTranscript = true
        case (_, .failed(let reason)): self.outbox.report(.notStored(request.id, reason: reason))
        case (_, .done): break
        }
        self.writeNext(of: request, now: now)
        switch write {
        case .burn, .decision, .cloneAlarm: self.step(request, now: now)
        // Nothing waits for these but what is told of them, and there are many.
        case .request, .state, .transcript, .completion: break
        }
        self.giveReceipts(of: request, now: now)
    }

    /// Of what is over nothing more is signed: what waits for the disk does not get there, or it would say later that others may finish.
    private mutating func dropDecisionsToSign(of request: LiveRequest) {
        for case .burn(let record) in request.writes { request.coordination.notRecorded(record) }
        request.writes.removeAll { if case .burn = $0 { true } else { false } }
    }

    /// Wipes all secret nonces: the process is about to end.
    public mutating func wipe() {
        for request in self.live.values { request.coordination.discardNonces(incarnation: self.makeIncarnation()) }
        self.pools = [:]
        self.live = [:]
        self.arriving = [:]
        self.checks = [:]
    }

    // MARK: A protocol of a node

    public var servedProtocolIDs: [String] { self.transport.servedProtocolIDs + self.mailboxes.servedProtocolIDs }

    public var deadline: Duration? {
        earlier(earlier(self.deadlines.next, self.transport.deadline), self.mailboxes.deadline)
    }

    public mutating func nextCommand() -> ProtocolCommand? {
        self.outbox.nextCommand() ?? self.transport.nextCommand() ?? self.mailboxes.nextCommand()
    }

    public mutating func nextEvent() -> SigningMachineEvent? { self.outbox.nextEvent() }

    public var heldByteCount: Int {
        let arriving = self.arriving.values.reduce(0) { $0 + $1.bytes.count + $1.waiting.reduce(0) { $0 + $1.bytes.count } }
        let live = self.live.values.reduce(0) { $0 + Self.heldByteCountOfRequest + $1.proposal.count }
        let checks = self.checks.values.reduce(0) { $0 + $1.heldByteCount } + self.reserved.count * 100
        let early = self.early.reduce(0) { $0 + $1.bytes.count } + self.pooledByteCount
        let services = self.mailboxes.heldByteCount + self.sightings.heldByteCount
        return self.transport.heldByteCount + self.outbox.heldByteCount + arriving + live + checks + early + services
    }

    /// What a request's machine holds beside its proposal, about.
    private static let heldByteCountOfRequest = 16_384

    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .connected(let info): self.connected(info, now: now)
        case .disconnected(let info): self.disconnected(info, now: now)
        case .inbound(let stream, let info, CoordinationProtocol.id) where self.blocks.isBlocked(info.peer):
            // Its connection is about to end.
            return self.outbox.send(.reset(stream))
        case .inbound(let stream, let info, CoordinationProtocol.id) where !self.isMember(info.peer):
            // Before it has a place: whoever has many addresses would hold all of them, and members would find none.
            self.turnAway(info.peer, now: now)
            return self.outbox.send(.reset(stream))
        default: break
        }
        if self.mailboxes.handle(input, now: now) { return self.tendMailboxes(now: now) }
        self.transport.handle(input, now: now)
        self.takeWhatCame(now: now)
        // Bytes of a stream may be of either protocol.
        if self.mailboxes.hasEvents { self.tendMailboxes(now: now) }
    }

    public mutating func tick(now: Duration) {
        var consideredCount = 0
        while let due = self.deadlines.popDue(now: now) {
            switch due {
            case .request(let id): if let request = self.live[id] { self.step(request, now: now) }
            case .dial(let peer): self.dial(peer, now: now)
            case .approval(let id): self.approvalIsDue(id, count: &consideredCount, now: now)
            case .approvalTime:
                self.noteApprovalTime(now: now)
                self.deadlines.set(.approvalTime, at: now + Self.approvalLookInterval)
            case .check(let id): self.endCheck(id, now: now)
            case .mailboxes: self.tendMailboxes(now: now)
            case .alarms: self.writeAlarms(now: now)
            case .pools: self.tendPools(now: now)
            case .cleanup:
                self.cleanUp(now: now)
                self.deadlines.set(.cleanup, at: now + Self.cleanupInterval)
            }
        }
        self.transport.tick(now: now)
        self.mailboxes.tick(now: now)
        self.takeWhatCame(now: now)
        if self.mailboxes.hasEvents { self.tendMailboxes(now: now) }
    }
}

/// What a machine's clocks show.
public struct SigningClocks: Sendable {
    /// Since 1970; may be wrong, and may be set.
    public let wall: Duration
    /// Since the machine started, its sleep included.
    public let running: Duration

    public init(wall: Duration, running: Duration) {
        self.wall = wall
        self.running = running
    }
}

extension StoredRequest.State {
    package init(_ state: CoordinationState) {
        self =
            switch state {
            case .proposed: .proposed
            case .approved: .approved
            case .signing: .signing
            case .complete: .complete
            case .rejected: .rejected
            case .withdrawn: .withdrawn
            case .expired: .expired
            case .aborted: .aborted
            case .endedMayStillComplete: .endedMayStillComplete
            }
    }
}

extension CoordinationState {
    /// Why it is so, for people; empty where the state says it all.
    var reason: String {
        switch self {
        case .aborted(let reason), .endedMayStillComplete(.aborted(let reason)): "\(reason)"
        case .endedMayStillComplete(.withdrawn): "withdrawn, after a partial signature was out"
        case .endedMayStillComplete(.expired): "its time is over, and a partial signature is out"
        case .proposed, .approved, .signing, .complete, .rejected, .withdrawn, .expired: ""
        }
    }
}
