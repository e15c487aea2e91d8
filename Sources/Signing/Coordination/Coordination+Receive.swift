internal import Bitcoin
public import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// What others say.

extension Coordination {
    /// The request that a message is about; `nil` for bytes that are no message.
    public static func request(of message: [UInt8]) -> Bytes32? { (try? CoordinationMessage.Head(parsing: message))?.request }

    /// Whether a message holds a statement, or what completes: what a transcript keeps. Bytes that are no message hold none.
    public static func isStatement(_ message: [UInt8]) -> Bool {
        (try? CoordinationMessage.Head(parsing: message))?.isStatement ?? false
    }

    /// What a message says, without what its channel adds: the same whenever it is told again.
    public static func contentBytes(_ message: [UInt8]) -> [UInt8] {
        (try? CoordinationMessage.Head(parsing: message)).map { Array($0.rest) } ?? message
    }

    /// Whether a message proposes a request, and which: what a machine is made from.
    ///
    /// - Returns: `nil` for any other message.
    /// - Throws: what is wrong with it.
    public static func proposal(
        in message: [UInt8], roster: Roster
    ) throws(StatementError) -> (request: SigningRequest, proposal: Statement)? {
        let head = try CoordinationMessage.Head(parsing: message)
        guard head.isProposal, case .proposal(let request, let statement) = try head.content(roster) else { return nil }
        return (request, statement)
    }

    /// Takes a message.
    ///
    /// - Parameters:
    ///   - identity: whose the channel is that it came through, as the channel has proved; or who signed what lay in a mailbox.
    ///   - isLive: whether it came through a channel, at whose other end its sender's process is now. What lay in a mailbox may be of a process
    ///     that has ended, and come after what a later one said.
    public mutating func receive(
        _ message: [UInt8], from identity: Ed25519.PublicKey, isLive: Bool = true, now: Moment
    ) -> CoordinationReception {
        guard let sender = self.roster.signer(speakingThrough: identity), sender != self.signer, var link = self.links[sender] else {
            return .refused(.stranger)
        }
        if let enrolment = self.roster.enrolment(of: sender), enrolment.isExpired(at: now.time) {
            return .refused(.notEntitled("its enrolment has expired"))
        }
        let head: CoordinationMessage.Head
        do { head = try .init(parsing: message) } catch { return .refused(.malformed(error)) }
        guard head.request == self.requestDigest else { return .refused(.anotherRequest) }

        var provesLife = false
        if let acknowledged = head.acknowledged, acknowledged.series == .init(incarnation: self.incarnation, epoch: link.outbox.epoch) {
            // Who has heard what was said since the last change of its process is there, and no process of before can be.
            provesLife = link.outbox.hasSaidSinceRestart(acknowledged.sequences)
            link.outbox.acknowledge(acknowledged.sequences)
        }
        let isLive = isLive || provesLife
        let verdict = link.window.judge(head.series, head.sequence, isLive: isLive)
        self.links.update(sender) { $0 = link }
        switch verdict {
        case .stale: return .ignored
        case .gap, .tooManyIncarnations: return .refused(.sequenceGap)
        case .repeated:
            self.acknowledge(head.sequence, of: sender, now: now)
            return .repeated
        case .new: break
        }
        if provesLife, head.series.incarnation == link.window.series?.incarnation { self.links.update(sender) { $0.window.settle() } }
        if head.isOnlyAcknowledgement, !provesLife || verdict == .new(startsAnew: false) { return .accepted }

        let content: CoordinationMessage.Content
        do { content = try self.content(after: head) } catch .unknownEnrolment(let signer, _) {
            self.askForEnrolment(of: signer, from: sender)
            return .ignored
        } catch {
            return .refused(.malformed(error))
        }
        if case .new(startsAnew: true) = verdict, link.window.series != nil {
            self.noteRestart(of: sender, isLive: isLive, now: now)
        }
        // What came in another series is acknowledged in that one or not at all.
        if self.links[sender]?.window.series != head.series {
            self.links.update(sender) { ($0.unacknowledged, $0.acknowledgeAt) = ([], nil) }
        }
        self.links.update(sender) { $0.window.note(head.series, head.sequence, isLive: isLive) }
        if head.sequence != 0 { self.acknowledge(head.sequence, of: sender, now: now) }
        return self.take(content, from: sender, now: now)
    }

    /// What a message says, its statements verified: those that were verified when they came before are not once more.
    private func content(after head: CoordinationMessage.Head) throws(StatementError) -> CoordinationMessage.Content {
        let proposal = CoordinationMessage.Content.proposal(self.request, self.proposal)
        if head.isProposal, head.rest.elementsEqual(proposal.serialized(self.roster)) { return proposal }
        return try head.content(self.roster, heard: self.named)
    }

    private mutating func acknowledge(_ sequence: UInt64, of sender: PublicKey, now: Moment) {
        let latest = now.uptime + self.timing.acknowledgementDelay
        self.links.update(sender) { link in
            if !link.unacknowledged.contains(sequence), link.unacknowledged.count < CoordinationMessage.Acknowledgement.countMax {
                link.unacknowledged.append(sequence)
            }
            link.acknowledgeAt = link.acknowledgeAt ?? latest
        }
    }

    /// A member's process was started anew: it has forgotten what we told it, and its nonces are gone.
    private mutating func noteRestart(of sender: PublicKey, isLive: Bool, now: Moment) {
        let isComplete = self.completion != nil
        self.links.update(sender) { link in
            link.outbox.receiverStartedAnew(now: now.uptime)
            (link.unacknowledged, link.acknowledgeAt) = ([], nil)
            (link.isToBeToldOfCompletion, link.hasBeenToldOfEnd) = (isComplete, false)
        }
        // Its decisions are numbered by its clock, which may have been set back with its disk; and what a former life said is not heard
        // any more. Which life is the later one nobody knows of what lay in a mailbox: there the higher number counts.
        self.desk.update(sender) { ($0.approvals, $0.left, $0.turn, $0.serial) = ([], nil, 0, isLive ? 0 : $0.serial) }
        self.leaveAgain(for: sender)
        self.forgetOpenings(to: sender)
        self.forgetPooled(by: sender)
        self.tell(.restarted(sender))
        if sender == self.currentCoordinator {
            self.approvalTold = nil
            if self.offered == nil { self.wantsOffer = true }
        }
        self.hasSaidEnd = false
        self.failAttempts(waitingFor: sender)
    }

    private mutating func askForEnrolment(of signer: PublicKey, from sender: PublicKey) {
        guard let place = self.roster.place(of: signer) else { return }
        self.sendOnce(.enrolmentsWanted([UInt16(truncatingIfNeeded: place)]), to: sender)
    }

    private mutating func take(_ content: CoordinationMessage.Content, from sender: PublicKey, now: Moment) -> CoordinationReception {
        switch content {
        case .acknowledgement: return .accepted
        case .proposal(_, let statement): return self.take(proposal: statement)
        case .approval(let turn, let highest, let statement):
            return self.take(approval: statement, turn: turn, highest: highest, from: sender)
        case .begin(let statement, let approvals): return self.take(begin: statement, approvals, from: sender, now: now)
        case .partialSignatures(let statement):
            guard statement.sender == sender else { return .refused(.notEntitled("another's partial signatures")) }
            guard case .partialSignatures = statement.body else { return .refused(.inconsistent("no partial signatures")) }
            self.watch(partialSignatures: statement, now: now)
            if self.completion != nil { self.remindOfCompletion(sender) }
            return self.take(partialSignatures: statement)
        case .complete(let completion): return self.take(completion: completion, from: sender, now: now)
        case .refusal(let statement): return self.take(refusal: statement, from: sender)
        case .cancellation(let statement):
            guard statement.sender == self.request.proposer, case .cancellation = statement.body, statement.sender == sender else {
                return .refused(.notEntitled("only the proposer cancels"))
            }
            self.end(.aborted(.cancelled))
            return .accepted
        case .standing(let standing): return self.take(standing, from: sender)
        case .renewal(let turn):
            guard self.coordinator(of: max(turn, 1)) == sender else { return .refused(.notEntitled("it does not coordinate that turn")) }
            // Unused nonces are as good as fresh ones.
            if turn == self.turn {
                self.isAskedBeside = true
                if self.offered == nil { self.wantsOffer = true } else { self.approvalTold = nil }
            } else if turn > 0, turn <= self.turnMax {
                self.calls[sender] = turn
            }
            return .accepted
        case .evidence(let bytes): return self.take(evidence: bytes, from: sender)
        case .nonceUse(let bytes): return self.take(nonceUse: bytes, from: sender, now: now)
        case .cloneAlarm(let bytes): return self.take(cloneAlarm: bytes, from: sender, now: now)
        case .pooledNonces: return .refused(.inconsistent("nonces ahead are about no request"))
        case .enrolments(let enrolments):
            for enrolment in enrolments { self.learn(enrolment) }
            return .accepted
        case .enrolmentsWanted(let places):
            let known = places.prefix(CoordinationMessage.Content.enrolmentCountMax).compactMap { place in
                self.roster.member(at: Int(place)).flatMap { self.roster.enrolment(of: $0) }
            }
            if !known.isEmpty { self.sendOnce(.enrolments(known), to: sender) }
            return .accepted
        case .commitments(let attempt, let statements):
            return self.take(commitments: statements, attempt: attempt, from: sender, now: now)
        case .opening(let attempt, let statement): return self.take(opening: statement, attempt: attempt, from: sender)
        }
    }

    /// A newer enrolment: what its signer said under the old one is void.
    public mutating func learn(_ enrolment: Enrolment) {
        guard case .taken = self.roster.learn(enrolment) else { return }
        self.enrolmentRevision &+= 1
        self.desk.update(enrolment.signer) { ($0.approvals, $0.left) = ([], nil) }
    }

    private mutating func take(proposal statement: Statement) -> CoordinationReception {
        guard statement.sender == self.request.proposer else { return .refused(.notEntitled("another's proposal")) }
        // Other terms under one request change the order of turns at most; the first ones stay.
        return statement == self.proposal ? .repeated : .ignored
    }

    private mutating func take(approval statement: Statement, turn: UInt32, highest: UInt32, from sender: PublicKey)
        -> CoordinationReception
    {
        guard statement.sender == sender else { return .refused(.notEntitled("another's approval")) }
        guard let offer = statement.offer(withCommitments: self.request.usesNonceCommitments), statement.attempt == 0 else {
            return .refused(.inconsistent("no approval"))
        }
        let (serial, nonceCount) = (offer.serial, statement.namedNonces?.items.count ?? 0)
        guard nonceCount == 0 || nonceCount == self.signedInputs.count else {
            return .refused(.inconsistent("\(nonceCount) nonces for \(self.signedInputs.count) inputs"))
        }
        guard turn <= self.turnMax, highest <= Self.attemptMax else { return .refused(.inconsistent("a turn beyond all bounds")) }
        if self.completion != nil {
            self.remindOfCompletion(sender)
            return .accepted
        }
        guard !self.state.isOver else {
            self.remindOfEnd(sender)
            return .ignored
        }
        guard statement.commitment == nil || self.note(commitment: statement) else { return .accepted }
        guard nonceCount == 0 || self.note(statement, named: offer.name) != nil else { return .accepted }
        guard let seat = self.desk[sender], serial >= seat.serial else { return .ignored }
        guard turn > 0 else {
            self.keepLeft(statement, of: sender, highest: highest)
            return .accepted
        }
        if self.coordinator(of: turn) == self.signer {
            self.seat(statement, of: sender, turn: turn, highest: highest)
        } else {
            self.desk.update(sender) { $0.turn = max(seat.turn, turn) }
        }
        if turn < self.turn { self.sendStanding(to: sender) }
        return .accepted
    }

    /// Keeps what stands under a name, and reads it. A second content under it, or nonces that are none, prove a fault.
    mutating func note(_ statement: Statement, named name: NonceName) -> NonceSet? {
        let sender = statement.sender
        if let other = self.named[sender]?.first(where: { $0.namedNonces?.name == name }), other != statement {
            guard other.namedNonces?.items == statement.namedNonces?.items else {
                self.accuse(sender, with: [other, statement])
                return nil
            }
        } else if !(self.named[sender]?.contains(statement) ?? false) {
            self.remember(statement)
        }
        guard let set = try? self.nonces.nonceSet(of: statement) else {
            self.accuse(sender, with: [statement])
            return nil
        }
        return self.keepsItsCommitment(statement) ? set : nil
    }

    /// Keeps a statement with nonces among the newest of its sender.
    mutating func remember(_ statement: Statement) {
        self.named[statement.sender, default: []].append(statement)
        if (self.named[statement.sender]?.count ?? 0) > Self.namedCountMax { self.named[statement.sender]?.removeFirst() }
    }

    private mutating func take(
        begin statement: Statement, _ approvals: [Statement], from sender: PublicKey, now: Moment
    ) -> CoordinationReception {
        guard case .begin(let incarnation, let transcript) = statement.body, statement.attempt > 0, statement.attempt <= Self.attemptMax
        else {
            return .refused(.inconsistent("no begin"))
        }
        guard statement.sender == sender, self.coordinator(of: statement.attempt) == sender else {
            return .refused(.notEntitled("it does not coordinate attempt \(statement.attempt)"))
        }
        self.watch(begin: statement, approvals, now: now)
        if self.completion != nil {
            self.remindOfCompletion(sender)
            return .accepted
        }
        guard !self.state.isOver else {
            self.remindOfEnd(sender)
            return .ignored
        }
        for other in self.seenBegins where other.sender == sender && other.attempt == statement.attempt && other != statement {
            if case .begin(incarnation, let first) = other.body, first != transcript {
                self.accuse(sender, with: [other, statement])
                return .accepted
            }
        }
        if !self.seenBegins.contains(statement) {
            self.seenBegins.append(statement)
            if self.seenBegins.count > Self.seenBeginCountMax { self.seenBegins.removeFirst() }
        }
        var sets: [NonceSet] = []
        for approval in approvals {
            guard let name = self.nonceName(in: approval, begunBy: statement), !approval.enrolment.isExpired(at: now.time) else {
                return .refused(.inconsistent("an attempt without approvals"))
            }
            // What proves a fault is told; the attempt leads nowhere.
            guard approval.sender == self.signer || self.note(approval, named: name) != nil,
                let set = try? self.nonces.nonceSet(of: approval),
                let part = approval.part(of: set, for: self.requestDigest, inputs: self.signedInputs.count)
            else { return .accepted }
            sets.append(part)
        }
        self.begins[sender] = Begin(statement: statement, approvals: approvals, nonceSets: sets)
        return .accepted
    }

    /// The name of the nonces that a begin may take of an approval, or of an entry of a pool: those only its proposer takes, in the first
    /// attempt, which is the only one that nobody has to agree to before.
    private func nonceName(in approval: Statement, begunBy begin: Statement) -> NonceName? {
        guard approval.attempt == 0 else { return nil }
        switch approval.body {
        case .approval(_, let name, let nonces): return nonces.count == self.signedInputs.count ? name : nil
        case .pooledNonces(_, let name, let nonces):
            let isFirst = begin.attempt == 1 && begin.sender == self.request.proposer && approval.sender != begin.sender
            return isFirst && nonces.count == NoncePool.width && NoncePool.width >= self.signedInputs.count ? name : nil
        case .presence, .set, .nonces, .partialSignatures, .proposal, .refusal, .cancellation, .begin, .commitment: return nil
        }
    }

    private static let seenBeginCountMax = 64

    private mutating func take(completion: CompletedSignatures, from sender: PublicKey, now: Moment) -> CoordinationReception {
        guard self.completion == nil else { return .repeated }
        guard let count = self.links[sender]?.falseEndCount, count < Self.falseEndCountMax else { return .ignored }
        guard let transaction = self.verified(completion) else {
            self.links.update(sender) { $0.falseEndCount = count + 1 }
            return .refused(.inconsistent("signatures that do not verify"))
        }
        self.complete(transaction, completion, now: now)
        return .accepted
    }

    private mutating func take(refusal statement: Statement, from sender: PublicKey) -> CoordinationReception {
        guard statement.sender == sender, case .refusal(let serial, let reason) = statement.body else {
            return .refused(.notEntitled("another's refusal"))
        }
        if self.completion != nil {
            self.remindOfCompletion(sender)
            return .accepted
        }
        guard let seat = self.desk[sender], serial > seat.serial || (serial == seat.serial && !seat.hasApproved) else { return .ignored }
        self.desk.update(sender) { ($0.serial, $0.refusal, $0.approvals, $0.left) = (serial, reason, [], nil) }
        self.tell(.refused(sender, reason))
        return .accepted
    }

    private mutating func take(_ standing: CoordinationMessage.Standing, from sender: PublicKey) -> CoordinationReception {
        guard standing.turn <= self.turnMax, standing.highest <= Self.attemptMax else {
            return .refused(.inconsistent("a turn beyond all bounds"))
        }
        if self.completion != nil {
            self.remindOfCompletion(sender)
            return .accepted
        }
        guard !self.state.isOver else {
            self.remindOfEnd(sender)
            return .ignored
        }
        self.desk.update(sender) { seat in
            seat.rise(turn: standing.turn, highest: standing.highest)
            seat.saysApproved = standing.hasApproved
        }
        if standing.hasApproved, sender == self.currentCoordinator { self.known.insert(sender) }
        if sender == self.currentCoordinator {
            self.known.formUnion(standing.approvers.compactMap { self.roster.member(at: Int($0)) })
        }
        let isBehind = standing.turn < self.turn
        if standing.asks || isBehind || self.hasNews(for: sender, in: standing.turn) { self.sendStanding(to: sender) }
        return .accepted
    }

    /// Whether a member that asks its coordinator whether it is there has something to hear: approvals come here alone, and with the answer,
    /// which is sent in any case, it learns who agreed.
    private func hasNews(for member: PublicKey, in turn: UInt32) -> Bool {
        guard turn == self.turn, self.currentCoordinator == self.signer else { return false }
        let approvers = self.standing(for: member, asks: false).approvers
        return approvers != self.links[member]?.standingSent?.standing.approvers ?? []
    }

    /// A member that does not know yet is told again.
    mutating func remindOfCompletion(_ member: PublicKey) {
        guard let link = self.links[member], !link.outbox.holds(.completion) else { return }
        self.links.update(member) { $0.isToBeToldOfCompletion = true }
    }

    /// It ended here without any signature of ours, and a member that shows that it still goes on need not wait for us: it is told once in a
    /// life of its process. Where partial signatures of ours are out others may still complete it, and nothing is said.
    mutating func remindOfEnd(_ member: PublicKey) {
        guard case .aborted = self.state, !self.isCancelledByUs, self.links[member]?.hasBeenToldOfEnd == false else { return }
        self.links.update(member) { $0.isToBeToldOfEnd = true }
    }

    // MARK: Evidence

    /// Proof against a member by its own statements alone, whatever the attempt.
    mutating func accuse(_ member: PublicKey, with statements: [Statement]) {
        // Any set that it belongs to: what the statements contradict is each other.
        let set = [member] + self.policy.members.filter { $0 != member }.prefix(self.policy.threshold - 1)
        guard let plan = try? self.plan(of: set) else { return }
        let attempt = statements.map(\.attempt).max() ?? 0
        _ = self.judge(Evidence(plan: plan, attempt: attempt, statements: statements))
    }

    /// Judges evidence. What it proves excludes the signer, and everybody hears of it.
    ///
    /// - Returns: whether it proves anything.
    mutating func judge(_ evidence: Evidence) -> Bool {
        guard evidence.request.digest == self.requestDigest, case .proved(let signer, let fault) = evidence.verdict(),
            self.policy.members.contains(signer)
        else { return false }
        guard self.excluded.insert(signer).inserted else { return true }
        self.evidence.append(evidence)
        self.failAttempts(waitingFor: signer)
        self.tell(.fault(signer: signer, fault, evidence))
        if let now = self.lastMoment {
            for member in self.others where member != signer { self.tellEvidence(evidence, to: member, now: now) }
        }
        return true
    }

    mutating func tellEvidence(_ evidence: Evidence, to member: PublicKey, now: Moment) {
        let bytes = evidence.serialized()
        guard bytes.count <= CoordinationMessage.evidenceByteCountMax, let place = self.evidence.firstIndex(of: evidence) else { return }
        self.put(.evidence(place), .evidence(bytes), to: member, now: now)
    }

    private mutating func take(evidence bytes: [UInt8], from sender: PublicKey) -> CoordinationReception {
        guard !self.state.isOver else { return .ignored }
        guard let count = self.links[sender]?.evidenceCount, count < Self.evidenceCountMax else { return .ignored }
        self.links.update(sender) { $0.evidenceCount += 1 }
        let evidence: Evidence
        do { evidence = try Evidence(parsing: bytes) } catch { return .refused(.malformed(error)) }
        return self.judge(evidence) ? .accepted : .refused(.inconsistent("evidence that proves nothing"))
    }
}

// MARK: - For people

extension Coordination {
    /// What the request waits for, as far as this process knows.
    public var progress: CoordinationProgress {
        var approved = self.known
        for member in self.policy.members where self.desk[member]?.hasApproved ?? false { approved.insert(member) }
        var refused = Set(self.refusers)
        // Of ourselves the person's last word counts, whatever others have heard.
        switch self.decision.statement {
        case .none: break
        case .approved: approved.insert(self.signer)
        case .refused: refused.insert(self.signer)
        }
        approved.subtract(refused)
        // Who signed has agreed, whatever of it was heard here.
        if let completion {
            approved.formUnion(completion.signers)
            refused.subtract(completion.signers)
        }
        let newest = self.attempts.filter { $0.value.isLive }.max { $0.key < $1.key }?.value
        return CoordinationProgress(
            state: self.state, turn: self.turn, coordinator: self.currentCoordinator,
            approved: self.policy.members.filter(approved.contains), refused: self.policy.members.filter(refused.contains),
            // Who signs last waits for the others.
            awaited: newest.map { attempt in attempt.awaited.filter { !attempt.signsLast || $0 != self.signer } } ?? [],
            awaitsNonces: newest?.isGathering ?? false, holdsNoncesOfASet: !self.state.isOver && self.holdsNoncesOfASet,
            signedAttempts: self.records.keys.sorted())
    }

    /// Secret nonces that this process holds for the request: those that no attempt has taken, and those of one that it signs last; signing
    /// uses up all others at once.
    public var secretNonceCount: Int {
        self.attempts.values.reduce(self.offers.sum { $0.set.nonces.count }) { $0 + $1.session.secretNonceCount }
    }
}
