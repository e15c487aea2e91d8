internal import Bitcoin
public import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
public import Signing

// What is approved without a person: `ApprovalPolicy` decides, and what follows is durable before it counts.

extension SigningMachine {
    // MARK: The owner

    /// Says what this signer's machine may approve by itself in a group; `nil` has a person asked about everything. It is in force once it
    /// is durable, which `SigningMachineEvent.policy` tells, and is asked then about all requests that nobody has decided on.
    ///
    /// What was approved before counts on.
    public mutating func setApprovalPolicy(
        _ policy: ApprovalPolicy?, of digest: Bytes32, now: Duration
    ) throws(SigningMachineError) {
        guard self.groups[digest] != nil else { throw .unknownGroup }
        if let policy { try self.check(policy, of: digest) }
        let moment = self.moment(now)
        self.approvals[digest, default: GroupApproval(history: ApprovalHistory(now: moment))].set(policy)
        self.writeApproval(of: digest, now: now)
    }

    /// Whether a policy is about the group's coins, on the signer's network.
    func check(_ policy: ApprovalPolicy, of digest: Bytes32) throws(SigningMachineError) {
        guard let group = self.groups[digest] else { throw .unknownGroup }
        let network = self.keys.enrolment.network
        guard policy.network == network else { throw .policyOfAnotherNetwork(policy.network, own: network) }
        guard policy.groupScript == group.policy.scriptPubKey else { throw .policyOfAnotherGroup }
    }

    /// A person says that the time of day is right: what passed while nothing ran counts from now on.
    public mutating func confirmClock(of digest: Bytes32, now: Duration) throws(SigningMachineError) {
        let moment = self.moment(now)
        try self.change(digest, now: now) { $0.history.confirmClock(moment) }
    }

    /// A person wants the coins that were refused to be judged by the policy again.
    public mutating func forgetRefusals(of digest: Bytes32, now: Duration) throws(SigningMachineError) {
        try self.change(digest, now: now) { $0.history.forgetRefusals() }
    }

    private mutating func change(
        _ digest: Bytes32, now: Duration, _ body: (inout GroupApproval) -> Void
    ) throws(SigningMachineError) {
        guard self.groups[digest] != nil else { throw .unknownGroup }
        guard var approval = self.approvals[digest] else { throw .noPolicy }
        body(&approval)
        approval.changed()
        self.approvals[digest] = approval
        self.writeApproval(of: digest, now: now)
    }

    /// Approves nothing automatically any more, in any group, until a person sets the policies again: something is wrong with the key, or
    /// with this copy of it.
    public mutating func haltAutomaticApproval(_ reason: String, now: Duration) {
        for digest in self.approvals.keys.sorted() { self.halt(digest, reason, now: now) }
    }

    private mutating func halt(_ digest: Bytes32, _ reason: String, now: Duration) {
        guard let approval = self.approvals[digest], approval.policy != nil, approval.halt.isEmpty else { return }
        self.approvals[digest]?.stop(reason)
        self.writeApproval(of: digest, now: now)
    }

    /// The policy of a group, as it was last set.
    public func approvalPolicy(of digest: Bytes32) -> ApprovalPolicy? { self.approvals[digest]?.policy }

    /// Why nothing is approved automatically in a group though it has a policy; empty where nothing stands in the way.
    public func approvalHalt(of digest: Bytes32) -> String { self.approvals[digest]?.halt ?? "" }

    /// What a policy makes of a request now. Nothing follows from the question.
    ///
    /// - Parameter policy: one that is not set, to see what it would say; `nil` for the group's own.
    /// - Returns: `nil` where a person is asked about everything, and for requests of our own.
    public func approvalNotice(
        of id: Bytes32, under policy: ApprovalPolicy? = nil, now: Duration
    ) throws(SigningMachineError) -> ApprovalNotice? {
        guard let request = self.live[id] else { throw .unknownRequest }
        guard let proposer = request.coordination.request.proposer, proposer != self.keys.signer else { return nil }
        let approval = self.approvals[request.group]
        let moment = self.moment(now)
        if policy == nil, let approval, approval.policy != nil, !approval.halt.isEmpty { return .isHalted(approval.halt) }
        guard let policy = policy ?? approval?.policy else { return nil }
        let history = approval?.history ?? ApprovalHistory(now: moment)
        return ApprovalNotice(policy.decide(request.coordination.request, by: proposer, history: history, now: moment), now: moment)
    }

    // MARK: Deciding

    /// Longest time between two looks at what the policy says of a request, and between two writings of the time that was seen.
    static let approvalLookInterval = Duration.seconds(300)
    /// Most requests that are looked at in one step, and how long the others wait: each costs as much as the history is long.
    static let consideredCountMax = 32
    static let considerationPause = Duration.milliseconds(50)

    /// Goes on with what was kept, before any request of the group does.
    public mutating func restoreApproval(_ stored: StoredApproval, of digest: Bytes32, now: Duration) {
        let approval = GroupApproval(stored, now: self.moment(now))
        self.approvals[digest] = approval
        if !approval.halt.isEmpty { self.outbox.report(.policy(group: digest, .isHalted(approval.halt))) }
    }

    /// Has the policy decide on a request that is durable, and on which nobody has decided.
    mutating func consider(_ request: LiveRequest, now: Duration) {
        guard request.decision == .undecided, !request.coordination.state.isOver,
            let proposer = request.coordination.request.proposer, proposer != self.keys.signer,
            let approval = self.approvals[request.group], approval.pending[request.id] == nil
        else { return }
        guard approval.halt.isEmpty else { return self.tell(.isHalted(approval.halt), of: request) }
        guard let policy = approval.policyInForce else { return }
        let moment = self.moment(now)
        let isKnown = approval.history.holds(request.id)
        guard
            let decision = self.approvals[request.group]?.history
                .decide(request.coordination.request, by: proposer, under: policy, now: moment)
        else { return }
        let notice = ApprovalNotice(decision, now: moment)
        self.tell(notice, of: request)
        switch decision {
        case .approve(let at) where at.uptime <= now:
            self.hold(.approved, of: request, now: now)
        case .approve(let at):
            // So that the delay does not begin anew with the next process.
            if !isKnown { self.writeApproval(of: request.group, now: now) }
            self.deadlines.set(.approval(request.id), at: at.uptime)
        case .ask(let reasons):
            if let again = Self.nextLook(reasons, now: moment) { self.deadlines.set(.approval(request.id), at: again) }
        case .never(let reasons):
            // What is late ends by itself.
            guard !reasons.contains(where: { if case .expired = $0 { true } else { false } }) else { return }
            self.decide(.rejected, about: request, byPolicy: true, now: now)
        }
    }

    private mutating func tell(_ notice: ApprovalNotice, of request: LiveRequest) {
        guard !notice.tellsTheSame(as: request.approvalNotice) else { return }
        request.approvalNotice = notice
        self.outbox.report(.approval(request.id, notice))
    }

    /// When what stands in the way may have passed.
    private static func nextLook(_ reasons: [ApprovalReason], now: Moment) -> Duration? {
        guard reasons.allSatisfy(\.passes) else { return nil }
        var seconds = Self.approvalLookInterval.components.seconds
        for case .outsideOfWindows(let opening?) in reasons where opening > now.time {
            seconds = min(seconds, Int64(clamping: opening - now.time))
        }
        return now.uptime + .seconds(seconds)
    }

    /// Has the policy decide again on all requests of a group.
    private mutating func reconsider(_ digest: Bytes32, now: Duration) {
        for request in self.live.values.filter({ $0.group == digest && $0.decision == .undecided }).sorted(by: { $0.id < $1.id }) {
            self.deadlines.set(.approval(request.id), at: now)
        }
    }

    /// A moment came at which the policy may say something else of a request.
    mutating func approvalIsDue(_ id: Bytes32, count: inout Int, now: Duration) {
        guard let request = self.live[id] else { return }
        guard count < Self.consideredCountMax else { return self.deadlines.set(.approval(id), at: now + Self.considerationPause) }
        count += 1
        self.consider(request, now: now)
    }

    /// Makes the time durable that was seen to pass: what passed since counts as unseen at the next start.
    public mutating func noteApprovalTime(now: Duration) {
        let moment = self.moment(now)
        for digest in self.approvals.keys.sorted() where self.approvals[digest]?.policy != nil {
            self.approvals[digest]?.history.look(moment)
            self.writeApproval(of: digest, now: now)
        }
    }

    // MARK: What a person says, and how requests end

    /// A person said no: no request for any of the same coins is approved automatically for a while. The word waits for the disk to hold
    /// that, and no longer.
    mutating func refuse(_ decision: StoredRequest.Decision, _ request: LiveRequest, now: Duration) {
        guard decision != request.decision else { return }
        guard let policy = self.approvals[request.group]?.policy else { return self.decide(decision, about: request, now: now) }
        // What a person agreed to and takes back is no word against the coins.
        if decision == .withdrawn, self.approvals[request.group]?.history.holds(request.id) != true {
            return self.decide(decision, about: request, now: now)
        }
        let moment = self.moment(now)
        let isNoted = self.approvals[request.group]?.history.noteRefusal(of: request.coordination.request, under: policy, at: moment)
        if isNoted != true {
            self.halt(request.group, "there is no room to note what was refused: let refusals be forgotten first", now: now)
        }
        self.hold(decision, of: request, now: now)
    }

    /// A request is over, whichever way. What left for it counts on.
    mutating func noteApprovalEnd(of request: LiveRequest) {
        self.approvals[request.group]?.forget(request.id)
        self.deadlines.remove(.approval(request.id))
        guard self.approvals[request.group]?.history.holds(request.id) == true else { return }
        let areOut = request.hasDecidedToSign || request.state == .complete || request.state == .endedMayStillComplete
        self.approvals[request.group]?.history.noteEnd(of: request.id, partialSignaturesAreOut: areOut)
        // Whenever something else is written: until then it counts.
        self.approvals[request.group]?.isChanged = true
    }

    // MARK: The disk

    private mutating func hold(_ decision: StoredRequest.Decision, of request: LiveRequest, now: Duration) {
        self.approvals[request.group]?.hold(decision, about: request.id)
        self.writeApproval(of: request.group, now: now)
    }

    /// Gives the store what stands, unless a write is under way: then it comes next.
    private mutating func writeApproval(of digest: Bytes32, now: Duration) {
        self.approvals[digest]?.isChanged = true
        self.writeNextApproval(of: digest, now: now)
    }

    private mutating func writeNextApproval(of digest: Bytes32, now: Duration) {
        guard let approval = self.approvals[digest], approval.writing == nil, approval.isChanged else { return }
        let id = self.newWriteID()
        self.approvals[digest]?.begin(id)
        self.outbox.report(.writeApproval(id, group: digest, approval.stored))
    }

    /// A write of `SigningMachineEvent.writeApproval` came to its end.
    ///
    /// - Parameter failure: why it is not durable; `nil` where it is.
    public mutating func approvalWritten(_ id: SigningWriteID, of digest: Bytes32, failure: String?, now: Duration) {
        guard let (decisions, isNewPolicy) = self.approvals[digest]?.end(id, isDurable: failure == nil) else { return }
        // An alarm goes before whatever else is to be written of the group.
        self.writeAlarms(now: now)
        if let failure { self.outbox.report(.policy(group: digest, .isNotStored(failure))) }
        for (id, decision) in decisions {
            guard let request = self.live[id], !request.coordination.state.isOver else { continue }
            if decision != .approved {
                // A person's no counts, whatever the disk says of the history.
                self.decide(decision, about: request, now: now)
            } else if failure != nil {
                self.deadlines.set(.approval(id), at: now + Self.approvalLookInterval)
            } else if request.decision == .undecided {
                self.decide(.approved, about: request, byPolicy: true, now: now)
            }
        }
        if let approval = self.approvals[digest], isNewPolicy || (failure != nil && !approval.halt.isEmpty) {
            self.outbox.report(.policy(group: digest, ApprovalPolicyNotice(approval)))
            self.reconsider(digest, now: now)
        }
        // Not at once after a failure: what did not go is tried again with the next change.
        if failure == nil || self.approvals[digest]?.pending.isEmpty == false { self.writeNextApproval(of: digest, now: now) }
    }
}

extension ApprovalPolicyNotice {
    init(_ approval: GroupApproval) {
        self = approval.halt.isEmpty ? approval.policy.map { .isInForce($0) } ?? .asks : .isHalted(approval.halt)
    }
}

extension ApprovalNotice {
    init(_ decision: ApprovalDecision, now: Moment) {
        self =
            switch decision {
            case .approve(let at) where at.uptime <= now.uptime: .approves
            case .approve(let at): .waits(until: at.time)
            case .ask(let reasons): .asks(reasons)
            case .never(let reasons): .refuses(reasons)
            }
    }
}
