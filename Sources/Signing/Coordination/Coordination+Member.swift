internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// A member's part: nonces for the coordinator, and a signature under each attempt that it begins rightly.

extension Coordination {
    /// Makes nonces where some are wanted, and lets the turn's coordinator have the approval that offers them.
    mutating func offer(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) {
        guard self.decision.statement == .approved else { return }
        guard self.mayOffer else { return }
        if self.lacksOffer, self.offerAt.map({ $0 <= now.uptime }) ?? true {
            self.offerAt = nil
            do {
                self.offered = try self.makeOffer(key: key, identity: identity)
                self.wantsOffer = false
                self.isAskedBeside = false
            } catch {
                // The arena is full: others' sessions will end.
                self.offerAt = now.uptime + .seconds(1)
            }
        }
        self.leaveNonces()
        self.visit(now: now, key: key, identity: identity)
        guard let offered else { return }
        let coordinator = self.currentCoordinator
        if coordinator == self.signer {
            self.seat(offered, of: self.signer, turn: self.turn, highest: self.highestSigned(of: self.signer))
        } else if self.approvalTold?.statement != offered || self.approvalTold?.turn != self.turn {
            self.approvalTold = (offered, self.turn)
            let highest = self.highestSigned(of: coordinator)
            self.put(.approval, .approval(turn: self.turn, highest: highest, offered), to: coordinator, now: now)
        }
    }

    /// Nonces that follow on a signature come after it, or the coordinator would take it that there is none.
    private var mayOffer: Bool { self.recording.isEmpty && self.toRelease.isEmpty && !self.awaitsPooledBegin }

    /// Whether nonces are to be made as soon as their time has come: nothing else is waited for.
    var lacksOffer: Bool { self.mayOffer && self.offered == nil && self.wantsOffer && !self.awaitsBegin }

    /// Gives a coordinator nonces that called from a turn that we are not in, or for whom they are left.
    ///
    /// Members may be in different turns for good: whom a coordinator answers, and who was down, moves on later. So nobody has to be in
    /// one's turn to sign with one (after ROAST, where any number of coordinators go on beside each other). Nonces of a visit are known to
    /// one coordinator only and are good for its attempts only, so that no other can use them up.
    private mutating func visit(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) {
        guard !self.calls.isEmpty else { return }
        for coordinator in self.priority {
            guard let turn = self.calls.removeValue(forKey: coordinator) else { continue }
            if self.visits[coordinator] != nil {
                self.visits[coordinator]?.turn = turn
            } else if self.visitCounts[coordinator, default: 0] < self.visitCountMax {
                // Where the arena is full it is called again.
                guard let approval = try? self.makeOffer(key: key, identity: identity) else { continue }
                self.visits[coordinator] = Visit(turn: turn, approval: approval)
            }
            if turn == 0 { self.visits[coordinator]?.isLeft = true }
            guard let visit = self.visits[coordinator] else { continue }
            let highest = self.highestSigned(of: coordinator)
            if coordinator == self.signer {
                self.seat(visit.approval, of: self.signer, turn: turn, highest: highest)
            } else {
                let content = CoordinationMessage.Content.approval(turn: turn, highest: highest, visit.approval)
                self.put(turn == 0 ? .leftNonces : .approval, content, to: coordinator, now: now)
            }
        }
    }

    /// Most attempts of a coordinator that are signed while we are in one turn of another: as many as can fail while those who answer
    /// suffice, and one.
    private var visitCountMax: Int { self.policy.members.count - self.policy.threshold + 2 }

    /// One nonce for each signed input, for whichever attempt takes them. Where only one set can sign, they are bound to it. Where nonces are
    /// committed to, the commitment stands in their place.
    private mutating func makeOffer(
        key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) throws(SigningError) -> Statement {
        self.nonceCounter += 1
        let name = NonceName(known: self.incarnation, counter: self.nonceCounter)
        let targets: [OwnNonces.Target]
        if let set = self.policy.onlySet {
            targets = try self.plan(of: set).inputs.map { .init(index: $0.index, keys: $0.keys, message: $0.message) }
        } else {
            targets = self.signedInputs.map { .init(index: $0) }
        }
        let own = try OwnNonces(for: key, request: self.requestDigest, targets, attempt: 0, name: name)
        let set = own.set
        let nonces = set.nonces.map(\.bytes)
        self.offers.append(own)
        if self.request.usesNonceCommitments { return self.commit(to: nonces, name, identity: identity) }
        let approval = self.say(.approval(serial: self.decision.serial, name, nonces), identity: identity)
        self.remember(approval)
        self.nonces.note(set, of: approval)
        return approval
    }

    /// The plan of a set, made once.
    mutating func plan(of set: [PublicKey]) throws(SigningError) -> SigningPlan {
        let sorted = set.sorted()
        if let known = self.plans[sorted] { return known }
        let plan = try SigningPlan(request: self.request, under: self.policy, set: set)
        if self.plans.count >= Self.planCountMax { self.plans.removeAll() }
        self.plans[sorted] = plan
        return plan
    }

    private static let planCountMax = 16

    /// Looks at the begins that wait, in the order of turns.
    mutating func answerBegins(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) {
        guard self.decision.statement == .approved, !self.begins.isEmpty else { return }
        let size = UInt32(self.priority.count)
        for coordinator in self.priority {
            guard let begin = self.begins[coordinator] else { continue }
            let number = begin.statement.attempt
            if let record = self.records[number] {
                self.begins[coordinator] = nil
                self.answerAgain(record, begin.statement, to: coordinator, now: now, identity: identity)
            } else if self.recording.contains(number) {
                self.begins[coordinator] = nil
            } else if self.request.usesNonceCommitments {
                self.begins[coordinator] = nil
                // Whether the turn is over was asked when the nonces were shown for it, and is again when another one comes.
                do throws(Objection) { try self.sign(begin, now: now, key: key) } catch { self.reject(coordinator, error, now: now) }
            } else if let own = begin.approvals.first(where: { $0.sender == self.signer }), own.isPooled, number >= self.turn,
                self.turnCount < Self.attemptsOfTurnMax, self.askForPooled(own, of: coordinator)
            {
                // It is looked at again once that is here.
                continue
            } else if let visit = self.visits[coordinator], begin.approvals.contains(visit.approval) {
                self.begins[coordinator] = nil
                do throws(Objection) {
                    guard number >= visit.turn else { throw .inconsistent }
                    try self.sign(begin, now: now, key: key)
                } catch { self.reject(coordinator, error, now: now) }
            } else if (number - 1) % size != (self.turn - 1) % size {
                // A turn that is to come waits; one that is over does not come again.
                if number < self.turn {
                    self.begins[coordinator] = nil
                    self.dropPooled()
                    self.sendStanding(to: coordinator)
                }
            } else {
                self.begins[coordinator] = nil
                guard number >= self.turn, self.turnCount < Self.attemptsOfTurnMax else {
                    self.dropPooled()
                    self.sendStanding(to: coordinator)
                    continue
                }
                do throws(Objection) {
                    try self.sign(begin, now: now, key: key)
                    self.turnCount += 1
                } catch { self.reject(coordinator, error, now: now) }
            }
        }
    }

    /// Most attempts of a coordinator that are signed in one turn.
    static let attemptsOfTurnMax = 64

    /// Why a begun attempt is not signed.
    enum Objection: Error {
        /// It takes nonces that are not here, or not any more.
        case noncesGone
        /// Signing failed, and the nonces are gone.
        case noSignature
        case excluded
        case inconsistent
    }

    private mutating func sign(_ begin: Begin, now: Moment, key: borrowing SecretKey) throws(Objection) {
        guard case .begin(_, let transcript) = begin.statement.body else { throw .inconsistent }
        guard let own = begin.approvals.first(where: { $0.sender == self.signer }) else { throw .inconsistent }
        guard begin.approvals.allSatisfy({ !self.excluded.contains($0.sender) }) else { throw .excluded }
        let number = begin.statement.attempt
        guard !self.request.usesNonceCommitments || self.opened[number] != nil else { throw .noncesGone }
        guard let plan = try? self.plan(of: begin.approvals.map(\.sender)), plan.signers == begin.approvals.map(\.sender),
            plan.transcript(attempt: number, nonceSets: begin.nonceSets) == transcript,
            let attempt = try? self.attempt(number: number, plan: plan, begin.approvals, begin.nonceSets, now: now)
        else { throw .inconsistent }
        self.clones.note(plan, of: transcript, attempt: number, over: begin.approvals)
        try self.adopt(own, for: attempt)
        try self.sign(attempt, key: key)
    }

    /// An attempt of these approvals, in the plan's order, with everybody's nonces but ours.
    func attempt(
        number: UInt32, plan: SigningPlan, _ approvals: [Statement], _ nonceSets: [NonceSet], now: Moment
    ) throws(SigningError) -> CoordinatedAttempt {
        let attempt = CoordinatedAttempt(plan: plan, number: number, approvals: approvals, now: now.uptime)
        for (approval, set) in zip(approvals, nonceSets) where approval.sender != self.signer {
            _ = try attempt.session.add(set, from: approval.sender)
        }
        return attempt
    }

    /// Takes the nonces of ours that an attempt rests on: they serve it, or are wiped with it.
    private mutating func adopt(_ own: Statement, for attempt: CoordinatedAttempt) throws(Objection) {
        let number = attempt.number
        if self.request.usesNonceCommitments {
            try self.verifyOpenings(attempt.approvals, own, number: number)
            self.opened[number] = nil
            self.links.update(self.coordinator(of: number)) { $0.outbox.remove { $0 == .opening(number) } }
        } else {
            let coordinator = self.coordinator(of: number)
            if let visit = self.visits[coordinator], visit.isLeft, visit.approval == own {
                attempt.left.insert(self.signer)
                self.noteAgreed(attempt.plan.signers)
            }
            try self.takeOffer(own, for: coordinator)
        }
        guard let name = own.namedNonces?.name, let nonces = self.offers.remove(where: { $0.set.name == name }) else {
            throw .noncesGone
        }
        do { try attempt.session.adopt(nonces) } catch { throw .noSignature }
    }

    /// Signs an attempt with the nonces that it has taken, and has the decision made durable.
    private mutating func sign(_ attempt: CoordinatedAttempt, key: borrowing SecretKey) throws(Objection) {
        let record: BurnRecord
        do { record = try attempt.session.sign(with: key) } catch { throw .noSignature }
        self.attempts[attempt.number] = attempt
        self.recording.insert(attempt.number)
        self.actions.append(.record(record))
    }

    /// What we offered is taken from now on, and offered to nobody else.
    mutating func takeOffer(_ own: Statement, for coordinator: PublicKey) throws(Objection) {
        if own == self.visits[coordinator]?.approval {
            self.visits[coordinator] = nil
            self.visitCounts[coordinator, default: 0] += 1
        } else if own == self.offered {
            self.offered = nil
        } else {
            guard own == self.pooledStart.given else { throw .noncesGone }
            // What was given ahead serves in place of what would have been offered.
            self.wantsOffer = false
        }
    }

    /// As a coordinator that is a member of the set: at once, or when everybody else has.
    mutating func signOwn(_ attempt: CoordinatedAttempt, _ own: Statement, key: borrowing SecretKey) -> Bool {
        do throws(Objection) {
            try self.adopt(own, for: attempt)
            if attempt.signsLast {
                do { try attempt.session.fixTranscript() } catch { throw .noSignature }
                // What it has, it does not owe: other attempts may begin beside this one.
                self.desk.update(self.signer) { $0.owes = nil }
            } else {
                try self.sign(attempt, key: key)
            }
            return true
        } catch {
            self.wantsOffer = true
            return false
        }
    }

    /// Signs what waits for our signatures alone.
    ///
    /// What began with a proposal nobody had agreed to. Who signed it then could not take the proposal back for good, though nobody ever
    /// answers it: so its coordinator has not signed before everybody else has.
    mutating func signLast(key: borrowing SecretKey) {
        for number in self.attempts.keys.sorted() {
            guard let attempt = self.attempts[number], attempt.signsLast, !attempt.hasFailed,
                attempt.plan.signers.allSatisfy({ $0 == self.signer || attempt.partials[$0] != nil })
            else { continue }
            attempt.signsLast = false
            do throws(Objection) { try self.sign(attempt, key: key) } catch {
                self.wantsOffer = true
                self.fail(attempt, number)
            }
        }
    }

    /// Does not do what a coordinator wants of us, and says where we stand.
    mutating func reject(_ coordinator: PublicKey, _ objection: Objection, now: Moment) {
        self.dropPooled()
        switch objection {
        case .noncesGone:
            // Those of a former life, or such as another attempt took: it shall have others.
            self.approvalTold = nil
        case .excluded: for evidence in self.evidence { self.tellEvidence(evidence, to: coordinator, now: now) }
        case .inconsistent, .noSignature: break
        }
        if self.offered == nil { self.wantsOffer = true }
        self.sendStanding(to: coordinator)
    }

    /// The same begin again, after a restart perhaps: the same bytes. Another one of that number: it has to take a higher number.
    private mutating func answerAgain(
        _ record: BurnRecord, _ begin: Statement, to coordinator: PublicKey, now: Moment, identity: borrowing Ed25519.SecretKey
    ) {
        guard case .begin(_, let transcript) = begin.body, record.transcript == transcript else {
            self.sendStanding(to: coordinator)
            return
        }
        self.tellShares(of: record, to: coordinator, now: now, identity: identity)
    }

    private mutating func tellShares(
        of record: BurnRecord, to coordinator: PublicKey, now: Moment, identity: borrowing Ed25519.SecretKey
    ) {
        let statement =
            self.released[record.attempt]
            ?? self.say(
                .partialSignatures(transcript: record.transcript, record.partialSignatures.map(\.bytes.bytes)), attempt: record.attempt,
                identity: identity)
        self.released[record.attempt] = statement
        self.watch(partialSignatures: statement, now: now)
        for member in self.sharers(of: record.attempt) {
            self.put(.partialSignatures(record.attempt), .partialSignatures(statement), to: member, now: now)
        }
        guard coordinator != self.signer else {
            self.take(partialSignatures: statement)
            return
        }
        self.put(.partialSignatures(record.attempt), .partialSignatures(statement), to: coordinator, now: now)
    }

    // MARK: The journal

    /// The record is durable: its signatures may leave.
    public mutating func recorded(_ record: BurnRecord) {
        guard self.recording.remove(record.attempt) != nil else { return }
        self.recordFailures = 0
        self.records[record.attempt] = record
        // Of what ended meanwhile nothing leaves.
        if self.attempts[record.attempt] != nil { self.toRelease.append(record) }
    }

    /// The record could not be made durable: nothing of it leaves, ever, and its nonces are gone.
    public mutating func notRecorded(_ record: BurnRecord) {
        guard self.recording.remove(record.attempt) != nil else { return }
        if let attempt = self.attempts[record.attempt] { self.fail(attempt, record.attempt) }
        self.wantsOffer = true
        // Once is no matter. A disk that takes nothing must not have everybody else sign at the pace of the network.
        self.recordFailures = min(self.recordFailures + 1, 7)
        if self.recordFailures > 1, let now = self.lastMoment?.uptime {
            self.offerAt = now + Duration.seconds(1) * (1 << (self.recordFailures - 2))
        }
    }

    /// Lets out what is durable.
    mutating func release(now: Moment, identity: borrowing Ed25519.SecretKey) {
        for record in self.toRelease {
            let attempt = self.attempts[record.attempt]
            _ = try? attempt?.session.release(record)
            let coordinator = self.coordinator(of: record.attempt)
            self.tellShares(of: record, to: coordinator, now: now, identity: identity)
            if attempt?.begin == nil, !self.share(record.attempt) { self.attempts[record.attempt] = nil }
            if self.state == .approved { self.state = .signing }
            self.tell(.signed(attempt: record.attempt))
            // What went out with the proposal waits for people, as any request that is new: unless there are but two, for its coordinator signs
            // last and has agreed.
            let waitsForPeople =
                coordinator != self.signer && attempt.map { $0.plan.signers.count > 2 && $0.approvals.contains(where: \.isPooled) } ?? false
            if coordinator == self.currentCoordinator, !waitsForPeople { self.prolongTurn(now: now) }
        }
        self.toRelease = []
    }
}
