internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// A coordinator's part: who can sign, with which nonces, and what came of it.

extension Coordination {
    /// Goes on with what this process coordinates: finishes, and begins what can begin.
    mutating func coordinate(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) {
        self.signLast(key: key)
        for number in self.attempts.keys.sorted() { self.finish(number, now: now) }
        guard !self.state.isOver else { return }
        guard self.isPossible() else { return }
        let turns = self.turnsToCoordinate
        self.noteGatherings(turns, now: now)
        self.beginOpened(now: now, key: key, identity: identity)
        if self.beginPooled(now: now, key: key, identity: identity) { return }
        for turn in turns {
            if self.beginAttempt(in: turn, now: now, key: key, identity: identity) { break }
            self.askForNonces(in: turn, now: now)
            self.callMembers(to: turn, now: now)
        }
        self.beginUponLeft(now: now, key: key, identity: identity)
    }

    /// Whether the members that neither refused nor are proved to be at fault can sign; else the request ends.
    private mutating func isPossible() -> Bool {
        let refused = self.refusers
        // All together always can.
        if refused.isEmpty, self.excluded.isEmpty { return true }
        let left = Set(self.policy.members).subtracting(self.excluded).subtracting(refused)
        guard self.policy.chooseSet(among: left) == nil else { return true }
        let faulty = self.policy.members.filter(self.excluded.contains)
        self.end(.aborted(faulty.isEmpty ? .refused(refused) : .fault(faulty)))
        return false
    }

    /// Members whose last word is that they do not agree, in the policy's order.
    var refusers: [PublicKey] {
        var refusers: [PublicKey] = []
        for place in self.desk.values.indices where self.desk.values[place].refusal != nil { refusers.append(self.desk.members[place]) }
        return refusers
    }

    /// The turns that are ours and in which somebody waits for us, the latest first.
    private var turnsToCoordinate: [UInt32] {
        var turns: [UInt32] = []
        // Nearly all are in one turn.
        func note(_ turn: UInt32) { if turn > 0, turn != turns.last { turns.append(turn) } }
        for place in self.desk.values.indices {
            note(self.desk.values[place].turn)
            note(self.desk.values[place].offeredFor)
        }
        return Set(turns.filter { self.coordinator(of: $0) == self.signer }).sorted(by: >)
    }

    /// The attempts begun here that may still complete, the oldest first.
    private func live(in turn: UInt32) -> [(number: UInt32, attempt: CoordinatedAttempt)] {
        self.attempts.filter { $0.value.isLive && $0.value.turn == turn }
            .sorted { $0.key < $1.key }.map { (number: $0.key, attempt: $0.value) }
    }

    /// Members whose unused nonces can serve an attempt of this turn now. After ROAST: not while they owe an answer.
    func eligible(in turn: UInt32) -> [PublicKey] {
        let highest = self.highestCredible(in: turn)
        var eligible: [PublicKey] = []
        for (place, member) in self.desk.members.enumerated()
        where self.desk.values[place].isReady(for: turn, highest: highest) && !self.excluded.contains(member) { eligible.append(member) }
        return eligible
    }

    /// The highest attempt of ours that a member can have signed: a little above all that we know of, for a former life of ours may have
    /// begun more. Whoever claims more is left out, or it would use up our numbers.
    func highestCredible(in turn: UInt32) -> UInt32 {
        max(turn, self.highestBegun, self.highestSigned(of: self.signer)) + 8 * UInt32(self.priority.count)
    }

    /// Whether another attempt may begin: the first one of a turn, or one beside those that are stuck.
    func mayBegin(in turn: UInt32, now: Moment) -> Bool {
        let live = self.live(in: turn)
        guard let newest = live.last else { return true }
        return self.policy.onlySet == nil && now.uptime >= newest.attempt.beganAt + self.stuckAfter
            && live.count <= self.policy.members.count - self.policy.threshold
    }

    mutating func beginAttempt(
        in turn: UInt32, now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) -> Bool {
        guard self.mayBegin(in: turn, now: now) else { return false }
        let eligible = self.eligible(in: turn)
        // Who left something is away, or was: those who are here come first.
        let chosenHere = eligible.count < self.policy.threshold ? nil : self.choose(among: eligible, now: now)
        guard let chosen = chosenHere ?? self.chooseWithLeft(in: turn, now: now) else { return false }
        guard let number = self.nextNumber(in: turn, for: chosen), let plan = try? self.plan(of: chosen) else { return false }
        let approvals = plan.signers.compactMap { signer in
            chosenHere != nil || eligible.contains(signer) ? self.desk[signer]?.approvals.last : self.desk[signer]?.left
        }
        guard approvals.count == plan.signers.count else { return false }
        if self.request.usesNonceCommitments {
            self.show(approvals, number, plan, turn: turn, now: now, key: key, identity: identity)
            return true
        }
        let sets = approvals.compactMap { try? self.nonces.nonceSet(of: $0) }
        guard sets.count == approvals.count else { return false }
        return self.start(number, of: plan, approvals, sets, turn: turn, now: now, key: key, identity: identity)
    }

    /// Begins an attempt upon nonces in the plan's order.
    ///
    /// - Returns: whether it has begun.
    mutating func start(
        _ number: UInt32, of plan: SigningPlan, _ approvals: [Statement], _ sets: [NonceSet], turn: UInt32, now: Moment,
        key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) -> Bool {
        guard let attempt = try? self.attempt(number: number, plan: plan, approvals, sets, now: now) else { return false }
        attempt.turn = turn
        self.occupy(attempt)
        self.begin(attempt, sets, now: now, key: key, identity: identity)
        return true
    }

    /// What its set offered it takes, and each of the set owes it an answer. What was given ahead was never on the desk.
    mutating func occupy(_ attempt: CoordinatedAttempt) {
        self.highestBegun = attempt.number
        for offer in attempt.commitments.isEmpty ? attempt.approvals : attempt.commitments {
            if self.desk[offer.sender]?.approvals.last == offer { self.desk.update(offer.sender) { $0.approvals.removeLast() } }
            if self.desk[offer.sender]?.left == offer {
                attempt.left.insert(offer.sender)
                self.desk.update(offer.sender) { $0.left = nil }
            }
            self.desk.update(offer.sender) { $0.owes = attempt.number }
        }
        if !attempt.left.isEmpty { self.keepFromCoordinator() }
        self.attempts[attempt.number] = attempt
    }

    /// Begins an attempt whose nonces are all here: where we are of its set we sign it, unless that comes last, and the set gets what it
    /// rests on.
    mutating func begin(
        _ attempt: CoordinatedAttempt, _ sets: [NonceSet], now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) {
        let (number, plan, approvals) = (attempt.number, attempt.plan, attempt.approvals)
        let transcript = plan.transcript(attempt: number, nonceSets: sets)
        let begin = self.say(.begin(incarnation: self.incarnation, transcript: transcript), attempt: number, identity: identity)
        attempt.begin = begin
        self.watch(begin: begin, approvals, plan: plan, now: now)
        self.tell(.attemptBegan(attempt: number, signers: plan.signers))
        if let own = approvals.first(where: { $0.sender == self.signer }) {
            attempt.signsLast = approvals.contains(where: \.isPooled)
            guard self.signOwn(attempt, own, key: key) else { return self.fail(attempt, number) }
        } else {
            do { try attempt.session.fixTranscript() } catch { self.fail(attempt, number) }
        }
        for signer in plan.signers where signer != self.signer {
            self.links.update(signer) { $0.outbox.remove { $0 == .renewal } }
            self.put(.begin(number), .begin(begin, approvals: approvals), to: signer, now: now)
        }
    }

    /// Those who let no attempt down come first. Where they could make a set they get time to come, twice as long after each time that
    /// somebody let one down: or one that does so over and over would always be there first.
    func choose(among eligible: [PublicKey], now: Moment) -> [PublicKey]? {
        if let chosen = self.policy.chooseSet(among: Set(eligible.filter { self.desk[$0]?.doubts == 0 })) { return chosen }
        let awaited = self.policy.members.filter { member in
            guard let seat = self.desk[member] else { return false }
            return seat.doubts == 0 && (seat.hasApproved || seat.saysApproved) && seat.refusal == nil && seat.owes == nil
                && !self.excluded.contains(member)
        }
        guard let chosen = self.policy.chooseSet(among: Set(eligible)) else { return nil }
        // To start anew once is a matter of course. Whoever does it again and again must not have everybody sign at its pace.
        let isRestless = chosen.contains { (self.desk[$0]?.doubts ?? 0) > 1 }
        if isRestless || self.policy.chooseSet(among: Set(awaited)) != nil, let patientUntil, now.uptime < patientUntil { return nil }
        return chosen
    }

    /// A member let an attempt down: nothing is proved by it.
    private mutating func doubt(_ member: PublicKey) {
        guard member != self.signer else { return }
        let doubts = min((self.desk[member]?.doubts ?? 0) + 1, 6)
        self.desk.update(member) { $0.doubts = doubts }
        if let now = self.lastMoment?.uptime { self.patientUntil = now + self.stuckAfter * (1 << doubts) }
    }

    /// The lowest number of ours in the turn that none of the set has signed and we have not begun.
    private func nextNumber(in turn: UInt32, for set: [PublicKey]) -> UInt32? {
        let size = UInt32(self.priority.count)
        let used = max(
            set.map { self.desk[$0]?.highest ?? 0 }.max() ?? 0, self.highestBegun,
            self.highestSigned(of: self.signer))
        guard used >= turn else { return turn }
        let number = turn + ((used - turn) / size + 1) * size
        return number <= Self.attemptMax ? number : nil
    }

    /// Asks for fresh nonces of those who agreed, where what is here does not make a set and nothing is under way that may complete.
    private mutating func askForNonces(in turn: UInt32, now: Moment) {
        let live = self.live(in: turn)
        guard live.allSatisfy({ now.uptime >= $0.attempt.beganAt + self.stuckAfter }), self.mayBegin(in: turn, now: now) else { return }
        for (place, member) in self.desk.members.enumerated() where self.desk.values[place].lacksNonces(in: turn) {
            guard !self.excluded.contains(member) else { continue }
            if member == self.signer {
                self.wantOwnNonces(in: turn)
            } else if self.desk.values[place].askedAt.map({ now.uptime >= $0 + self.stuckAfter }) ?? true {
                self.desk.update(member) { $0.askedAt = now.uptime }
                self.put(.renewal, .renewal(turn: turn), to: member, now: now)
            }
        }
    }

    /// Calls for the nonces of those who agreed and are in another turn, once who is in this one waits in vain: see `visit`.
    private mutating func callMembers(to turn: UInt32, now: Moment) {
        guard let since = self.gatherings[turn], now.uptime >= since + self.stuckAfter, self.mayBegin(in: turn, now: now) else { return }
        let patience = self.patience(in: self.turn)
        let eligible = Set(self.eligible(in: turn))
        for member in self.policy.members {
            guard let seat = self.desk[member], seat.hasApproved || seat.saysApproved, seat.refusal == nil, seat.owes == nil,
                !eligible.contains(member), !self.excluded.contains(member)
            else { continue }
            if let called = seat.called, called.turn >= turn, now.uptime < called.at + patience { continue }
            self.desk.update(member) { $0.called = (turn, now.uptime) }
            if member == self.signer {
                if self.turn != turn { self.calls[member] = turn }
            } else {
                self.put(.renewal, .renewal(turn: turn), to: member, now: now)
            }
        }
    }

    /// Notes since when somebody is in a turn of ours.
    mutating func noteGatherings(_ turns: [UInt32], now: Moment) {
        let turns = turns.filter { !self.eligible(in: $0).isEmpty }
        self.gatherings = Dictionary(uniqueKeysWithValues: turns.map { ($0, self.gatherings[$0] ?? now.uptime) })
    }

    /// It leads nowhere any more: nobody owes an answer to it.
    mutating func fail(_ attempt: CoordinatedAttempt, _ number: UInt32) {
        attempt.hasFailed = true
        attempt.session.close()
        self.desk.updateAll { if $0.owes == number { $0.owes = nil } }
        self.links.updateAll { $0.outbox.remove { $0 == .begin(number) || $0 == .commitments(number) } }
        self.forgetOpening(number)
        // Where it began in another's turn, that one's coordinator was not given nonces meanwhile.
        if attempt.begin != nil, !attempt.left.isEmpty { self.approvalTold = nil }
        if !self.recording.contains(number) { self.attempts[number] = nil }
    }

    // MARK: What came

    /// A member's approval, for its turn.
    mutating func seat(_ approval: Statement, of member: PublicKey, turn: UInt32, highest: UInt32) {
        guard let (serial, name) = approval.offer(withCommitments: self.request.usesNonceCommitments), var seat = self.desk[member],
            seat.refusal == nil ? serial >= seat.serial : serial > seat.serial
        else { return }
        let isNew = !seat.hasApproved
        seat.serial = serial
        seat.refusal = nil
        seat.hasApproved = true
        // Whom we called need not be in the turn that it answers for.
        seat.isVisitor = turn < seat.turn || seat.called?.turn == turn
        if seat.offeredFor != turn { seat.approvals = [] }
        seat.offeredFor = turn
        let wasAsked = seat.askedAt != nil || seat.called?.turn == turn
        seat.askedAt = nil
        seat.rise(turn: seat.isVisitor ? 0 : turn, highest: highest)
        self.desk.update(member) { $0 = seat }
        // It may owe less after that, and be thought less of.
        if member != self.signer {
            self.failAttempts(leftBy: member, offering: name, wasAsked: wasAsked, turn: turn, highest: highest)
        }
        let isTaken = self.wasTaken(approval)
        self.desk.update(member) { $0.hold(approval, isTaken: isTaken) }
        self.links.update(member) { $0.outbox.remove { $0 == .renewal } }
        if isNew { self.tell(.joined(member)) }
    }

    /// Whether an attempt of ours took these nonces already.
    func wasTaken(_ approval: Statement) -> Bool {
        self.attempts.values.contains { $0.approvals.contains(approval) || $0.commitments.contains(approval) }
    }

    /// Attempts that wait for a member in vain: it offers other nonces, which it would not, unasked, if it could still answer; or it has
    /// left the turn. One that it says it signed it still answers.
    private mutating func failAttempts(
        leftBy member: PublicKey, offering name: NonceName, wasAsked: Bool, turn: UInt32, highest: UInt32
    ) {
        let left = self.failAttempts { attempt in
            let offers = attempt.commitments.isEmpty ? attempt.approvals : attempt.commitments
            guard attempt.partials[member] == nil, attempt.number > highest,
                let used = offers.first(where: { $0.sender == member })?.offeredName
            else { return false }
            // Who has shown its nonces and was asked for others offers those beside.
            if wasAsked, attempt.openings[member] != nil, used.incarnation == name.incarnation { return attempt.turn < turn }
            // What was left for us is good whatever else it offers.
            if attempt.left.contains(member), used.incarnation == name.incarnation { return attempt.turn < turn }
            return used != name || attempt.turn < turn
        }
        self.doubt(member, for: left)
    }

    /// A member let these down. Who has no more of what it gave ahead has let nobody down.
    private mutating func doubt(_ member: PublicKey, for left: [CoordinatedAttempt]) {
        if left.contains(where: { !$0.takesPooled(of: member) }) { self.doubt(member) }
    }

    /// Attempts that wait for a member that is not coming: its process was started anew, or it is proved to be at fault.
    mutating func failAttempts(waitingFor member: PublicKey) {
        self.doubt(member, for: self.failAttempts { $0.partials[member] == nil && $0.plan.signers.contains(member) })
    }

    /// - Returns: those that failed.
    private mutating func failAttempts(where isLost: (CoordinatedAttempt) -> Bool) -> [CoordinatedAttempt] {
        let lost = self.attempts.sorted { $0.key < $1.key }.filter { $0.value.isLive && isLost($0.value) }
        for (number, attempt) in lost { self.fail(attempt, number) }
        return lost.map(\.value)
    }

    /// A member's partial signatures, its word on them verified.
    @discardableResult
    mutating func take(partialSignatures statement: Statement) -> CoordinationReception {
        let (number, member) = (statement.attempt, statement.sender)
        guard case .partialSignatures(let transcript, _) = statement.body else { return .ignored }
        guard let attempt = self.attempts[number], attempt.mayBeFinishedHere else { return self.hold(statement) }
        guard attempt.plan.signers.contains(member) else { return .refused(.notEntitled("partial signatures of an attempt without it")) }
        guard transcript == attempt.session.transcriptDigest else { return .refused(.inconsistent("it signed another transcript")) }
        let partials: [PartialSignature]
        do {
            guard let parsed = try statement.partialSignatures() else { return .ignored }
            partials = parsed
        } catch {
            self.accuse(member, attempt, number, statement)
            return .accepted
        }
        if member != self.signer {
            do {
                switch try attempt.session.add(SignatureShares(transcript: transcript, partialSignatures: partials), from: member) {
                case .repeated: return .repeated
                case .added, .waiting, .replaced, .ignored: break
                }
            } catch { return .refused(.inconsistent("\(error)")) }
        }
        attempt.partials[member] = statement
        self.tell(.partialSignaturesReceived(attempt: number, from: member))
        // What follows is kept of members of attempts that begin here.
        guard attempt.begin != nil else { return .accepted }
        if let doubts = self.desk[member]?.doubts, doubts > 0 { self.desk.update(member) { $0.doubts = doubts - 1 } }
        if self.desk[member]?.owes == number { self.desk.update(member) { $0.owes = nil } }
        self.desk.update(member) { $0.rise(turn: 0, highest: number) }
        if attempt.takesPooled(of: member) { self.noteAgreed(member, to: attempt) }
        return .accepted
    }

    /// Who signed with what it had given ahead has agreed, and is in the turn: it may be asked for more, though it never offered any.
    private mutating func noteAgreed(_ member: PublicKey, to attempt: CoordinatedAttempt) {
        guard let seat = self.desk[member] else { return }
        self.desk.update(member) { $0.rise(turn: attempt.turn, highest: attempt.number) }
        guard seat.refusal == nil, !seat.hasApproved else { return }
        self.desk.update(member) { $0.hasApproved = true }
        self.tell(.joined(member))
    }

    /// Adds up what came, once all of it is here.
    private mutating func finish(_ number: UInt32, now: Moment) {
        guard let attempt = self.attempts[number], attempt.mayBeFinishedHere else { return }
        do {
            guard let transaction = try attempt.session.tryFinalize(), let signatures = attempt.session.signatures else { return }
            self.complete(transaction, CompletedSignatures(signers: attempt.plan.signers, signatures: signatures), now: now)
            // Whoever put it together tells everybody; the others tell whoever shows that it does not know.
            self.links.updateAll { $0.isToBeToldOfCompletion = true }
        } catch {
            var blamed: Set<PublicKey> = []
            for fault in attempt.session.inquiry?.faultsAtOnce() ?? [] where blamed.insert(fault.signer).inserted {
                if let partials = attempt.partials[fault.signer] { self.accuse(fault.signer, attempt, number, partials) }
            }
            self.fail(attempt, number)
        }
    }

    /// Composes the proof of a fault in an attempt, and lets everybody have it.
    private mutating func accuse(_ member: PublicKey, _ attempt: CoordinatedAttempt, _ number: UInt32, _ statement: Statement) {
        let evidence = Evidence(plan: attempt.plan, attempt: number, statements: attempt.approvals + [statement])
        if !self.judge(evidence) {
            // Nothing is proved, and still it led nowhere: another is chosen first.
            self.doubt(member)
        }
        self.fail(attempt, number)
    }

    /// The request's end: the signatures verify.
    mutating func complete(_ transaction: Transaction, _ completion: CompletedSignatures, now: Moment) {
        guard self.completion == nil else { return }
        // Asked before nonces and attempts go.
        let rank = self.priority.firstIndex(of: self.signer) ?? 0
        let coordinator = self.priority.firstIndex(of: self.currentCoordinator) ?? 0
        let distance = (rank - coordinator + self.priority.count) % self.priority.count
        self.wipe()
        self.completion = completion
        self.transaction = transaction
        self.state = .complete
        self.broadcastAt = now.uptime + self.timing.broadcastTimeout * distance
        self.tell(.complete(transaction, completion))
    }

    /// Verifies what somebody says is the end.
    ///
    /// - Returns: the transaction, or `nil` when the signatures are not those of a set of the policy.
    mutating func verified(_ completion: CompletedSignatures) -> Transaction? {
        guard let plan = try? self.plan(of: completion.signers), plan.inputs.count == completion.signatures.count else { return nil }
        for (input, signature) in zip(plan.inputs, completion.signatures)
        where !signature.isValid(for: input.message, by: input.keys.xOnlyKey) { return nil }
        return plan.transaction(with: completion.signatures)
    }
}
