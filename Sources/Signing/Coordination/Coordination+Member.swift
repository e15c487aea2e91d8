internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// A member's part: nonces for the coordinator, and a signature under each attempt that it begins rightly.

extension Coordination {
    /// Makes nonces where some are wanted, and lets the turn's coordinator have the approval that offers them.
    mutating func offer(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) {
        guard self.decision.statement == .approved else { return }
        if self.offered == nil, self.wantsOffer, self.offerAt.map({ $0 <= now.uptime }) ?? true {
            self.offerAt = nil
            do {
                self.offered = try self.makeOffer(key: key, identity: identity)
                self.wantsOffer = false
            } catch {
                // The arena is full: others' sessions will end.
                self.offerAt = now.uptime + .seconds(1)
            }
        }
        guard let offered else { return }
        let coordinator = self.currentCoordinator
        if coordinator == self.signer {
            self.seat(offered, of: self.signer, turn: self.turn, highest: self.highestSigned)
        } else if self.approvalTold?.statement != offered || self.approvalTold?.turn != self.turn {
            self.approvalTold = (offered, self.turn)
            self.put(.approval, .approval(turn: self.turn, highest: self.highestSigned, offered), to: coordinator, now: now)
        }
    }

    /// One nonce for each signed input, for whichever attempt takes them. Where only one set can sign, they are bound to it.
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
        let nonces = own.set.nonces.map(\.bytes)
        self.offers.append(own)
        return self.say(.approval(serial: self.decision.serial, name, nonces), identity: identity)
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
        guard self.decision.statement == .approved else { return }
        let size = UInt32(self.priority.count)
        for coordinator in self.priority {
            guard let (statement, approvals) = self.begins[coordinator] else { continue }
            let number = statement.attempt
            if let record = self.records[number] {
                self.begins[coordinator] = nil
                self.answerAgain(record, statement, to: coordinator, now: now, identity: identity)
            } else if self.recording.contains(number) {
                self.begins[coordinator] = nil
            } else if (number - 1) % size != (self.turn - 1) % size {
                // A turn that is to come waits; one that is over does not come again.
                if number < self.turn {
                    self.begins[coordinator] = nil
                    self.sendStanding(to: coordinator)
                }
            } else {
                self.begins[coordinator] = nil
                guard number >= self.turn, number - self.turn <= size * Self.attemptsOfTurnMax else {
                    self.sendStanding(to: coordinator)
                    continue
                }
                do { try self.sign(statement, approvals, now: now, key: key) } catch {
                    self.reject(statement, error, now: now)
                }
            }
        }
    }

    /// Most attempts that a coordinator may begin in one turn.
    static let attemptsOfTurnMax: UInt32 = 64

    /// Why a begun attempt is not signed.
    private enum Objection: Error {
        /// It takes nonces that are not here, or not any more.
        case noncesGone
        case excluded
        case inconsistent(String)
        case signing(SigningError)
    }

    private mutating func sign(
        _ begin: Statement, _ approvals: [Statement], now: Moment, key: borrowing SecretKey
    ) throws(Objection) {
        guard case .begin(_, let transcript) = begin.body else { throw .inconsistent("no begin") }
        guard let own = approvals.first(where: { $0.sender == self.signer }) else { throw .inconsistent("an attempt without us") }
        guard approvals.allSatisfy({ !self.excluded.contains($0.sender) }) else { throw .excluded }
        let attempt = try self.attempt(begin.attempt, of: approvals, now: now)
        guard attempt.plan.transcript(attempt: begin.attempt, nonceSets: try self.nonceSets(of: approvals, attempt.plan)) == transcript
        else {
            throw .inconsistent("it rests on another transcript than it says")
        }
        try self.sign(attempt, number: begin.attempt, own, key: key)
    }

    /// An attempt of these approvals, with everybody's nonces but ours, each set checked.
    func attempt(number: UInt32, plan: SigningPlan, _ approvals: [Statement], now: Moment) throws(SigningError) -> CoordinatedAttempt {
        let attempt = CoordinatedAttempt(plan: plan, number: number, approvals: approvals, now: now.uptime)
        for approval in approvals where approval.sender != self.signer {
            guard let set = try approval.nonceSet() else { throw .transaction("an attempt needs nonces of all its signers") }
            _ = try attempt.session.add(set, from: approval.sender)
        }
        return attempt
    }

    private mutating func attempt(
        _ number: UInt32, of approvals: [Statement], now: Moment
    ) throws(Objection) -> CoordinatedAttempt {
        let signers = approvals.map(\.sender)
        guard Set(signers).count == signers.count else { throw .inconsistent("a signer stands twice in an attempt") }
        guard approvals.allSatisfy(\.isApproval) else { throw .inconsistent("an attempt without approvals") }
        do throws(SigningError) {
            let plan = try self.plan(of: signers)
            guard plan.signers.count == signers.count else { throw .transaction("it is another set") }
            return try self.attempt(number: number, plan: plan, approvals, now: now)
        } catch { throw .signing(error) }
    }

    private func nonceSets(of approvals: [Statement], _ plan: SigningPlan) throws(Objection) -> [NonceSet] {
        var sets: [PublicKey: NonceSet] = [:]
        for approval in approvals {
            do { sets[approval.sender] = try approval.nonceSet() } catch { throw .signing(error) }
        }
        let ordered = plan.signers.compactMap { sets[$0] }
        guard ordered.count == plan.signers.count else { throw .inconsistent("another set") }
        return ordered
    }

    /// Signs an attempt with the nonces that it takes, and has the decision made durable.
    private mutating func sign(
        _ attempt: CoordinatedAttempt, number: UInt32, _ own: Statement, key: borrowing SecretKey
    ) throws(Objection) {
        guard own == self.offered, let name = own.namedNonces?.name, let nonces = self.offers.remove(where: { $0.set.name == name }) else {
            throw .noncesGone
        }
        self.offered = nil
        let record: BurnRecord
        do {
            try attempt.session.adopt(nonces)
            record = try attempt.session.sign(with: key)
        } catch { throw .signing(error) }
        self.attempts[number] = attempt
        self.recording.insert(number)
        self.actions.append(.record(record))
    }

    /// As a coordinator that is a member of the set.
    mutating func signOwn(_ attempt: CoordinatedAttempt, number: UInt32, _ own: Statement, key: borrowing SecretKey) -> Bool {
        do {
            try self.sign(attempt, number: number, own, key: key)
            return true
        } catch {
            self.wantsOffer = true
            return false
        }
    }

    private mutating func reject(_ begin: Statement, _ objection: Objection, now: Moment) {
        switch objection {
        case .noncesGone:
            // It took nonces of a former life, or such as another attempt took: it shall have others.
            self.wantsOffer = true
            self.approvalTold = nil
        case .excluded:
            for evidence in self.evidence { self.tellEvidence(evidence, to: begin.sender, now: now) }
            if self.offered == nil { self.wantsOffer = true }
        case .signing(.musig(let error, let signer?, _)) where signer != self.signer:
            _ = error
            // A nonce that is none: its signer's fault, and the coordinator should have seen it.
            if self.offered == nil { self.wantsOffer = true }
        case .inconsistent, .signing:
            if self.offered == nil { self.wantsOffer = true }
        }
        self.sendStanding(to: begin.sender)
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
        self.records[record.attempt] = record
        self.toRelease.append(record)
    }

    /// The record could not be made durable: nothing of it leaves, ever, and its nonces are gone.
    public mutating func notRecorded(_ record: BurnRecord) {
        guard self.recording.remove(record.attempt) != nil else { return }
        if let attempt = self.attempts[record.attempt] {
            attempt.hasFailed = true
            attempt.session.close()
        }
        self.wantsOffer = true
    }

    /// Lets out what is durable.
    mutating func release(now: Moment, identity: borrowing Ed25519.SecretKey) {
        for record in self.toRelease {
            let attempt = self.attempts[record.attempt]
            _ = try? attempt?.session.release(record)
            let coordinator = self.coordinator(of: record.attempt)
            self.tellShares(of: record, to: coordinator, now: now, identity: identity)
            if attempt?.begin == nil { self.attempts[record.attempt] = nil }
            if self.state == .approved { self.state = .signing }
            self.tell(.signed(attempt: record.attempt))
            if coordinator == self.currentCoordinator { self.prolongTurn(now: now) }
        }
        self.toRelease = []
    }
}
