internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// Round 0, in requests that ask for it: nobody shows its nonces before all of the set have committed to theirs.
//
//     member        approval with a commitment ──▶               ──▶ nonces ──▶          ──▶ partial signatures
//     coordinator                                 commitments ──▶          begin ──────▶
//
// BIP-327 is safe without it. With it no nonce of a set can follow from another's: each member has seen, before it showed its own, what
// every other one had committed to, and signs nothing that rests on other nonces. That costs a round trip, and one visit more of whoever
// is not connected.
//
// Nonces that were shown are good for the attempt that they were shown for and no other, for in another one somebody might have committed
// after it saw them. So they are taken when they are shown, as without commitments they are when they sign; what an attempt comes to
// that never gets all nonces is lost with it, and its members commit to others.

extension Coordination {
    /// Commitments as a coordinator showed them, for an attempt that is to come.
    struct Show {
        let attempt: UInt32
        let commitments: [Statement]
    }

    /// An attempt for which we showed our nonces, and which has not begun.
    struct Opened {
        /// What the set committed to, in its order, as we saw it before.
        let commitments: [Statement]
        /// Our nonces, as we showed them.
        let approval: Statement
        /// Whether they were meant for that coordinator alone, whatever our turn.
        let isVisit: Bool
    }

    /// Most attempts of one coordinator for which we keep nonces that were shown, and secret nonces that they may take: as many as run beside
    /// each other in a group of any usual size.
    private static let (openedCountMax, openedNonceCountMax) = (4, 4_096)
    private var openedCountMax: Int {
        min(Self.openedCountMax, max(1, Self.openedNonceCountMax / (self.policy.members.count * self.signedInputs.count)))
    }

    // MARK: - A member's part

    /// Our agreement, with what the nonces will be.
    func commit(to nonces: [[UInt8]], _ name: NonceName, identity: borrowing Ed25519.SecretKey) -> Statement {
        let digest = NonceCommitment.digest(of: nonces, name, by: self.signer, request: self.requestDigest)
        return self.say(.commitment(serial: self.decision.serial, name, digest), identity: identity)
    }

    mutating func take(commitments: [Statement], attempt: UInt32, from sender: PublicKey, now: Moment) -> CoordinationReception {
        guard self.request.usesNonceCommitments else { return .refused(.inconsistent("commitments that nobody asked for")) }
        guard attempt > 0, attempt <= Self.attemptMax, self.coordinator(of: attempt) == sender else {
            return .refused(.notEntitled("it does not coordinate attempt \(attempt)"))
        }
        if self.completion != nil {
            self.remindOfCompletion(sender)
            return .accepted
        }
        guard !self.state.isOver else {
            self.remindOfEnd(sender)
            return .ignored
        }
        for statement in commitments {
            guard statement.commitment != nil, statement.attempt == 0, !statement.enrolment.isExpired(at: now.time) else {
                return .refused(.inconsistent("an attempt without commitments"))
            }
            // What proves a fault is told; the attempt leads nowhere.
            guard statement.sender == self.signer || self.note(commitment: statement) else { return .accepted }
        }
        self.shows[sender] = Show(attempt: attempt, commitments: commitments)
        return .accepted
    }

    /// Looks at the commitments that coordinators have shown, in the order of turns, and shows our nonces where all is right.
    mutating func answerCommitments(now: Moment, identity: borrowing Ed25519.SecretKey) {
        guard self.decision.statement == .approved, !self.shows.isEmpty else { return }
        let size = UInt32(self.priority.count)
        for coordinator in self.priority {
            guard let show = self.shows[coordinator] else { continue }
            let number = show.attempt
            let visit = self.visits[coordinator]
            let isVisit = visit.map { show.commitments.contains($0.approval) } ?? false
            if let opened = self.opened[number], opened.commitments == show.commitments {
                // The same again: the same nonces again.
                self.shows[coordinator] = nil
                self.put(.opening(number), .opening(attempt: number, opened.approval), to: coordinator, now: now)
            } else if self.records[number] != nil || self.recording.contains(number) {
                self.shows[coordinator] = nil
                self.sendStanding(to: coordinator)
            } else if !isVisit, (number - 1) % size != (self.turn - 1) % size {
                // A turn that is to come waits; one that is over does not come again.
                guard number < self.turn else { continue }
                self.shows[coordinator] = nil
                self.sendStanding(to: coordinator)
            } else {
                self.shows[coordinator] = nil
                // A visit is for attempts from the turn on that called for it, whatever our own.
                guard number >= (isVisit ? visit?.turn ?? self.turn : self.turn), isVisit || self.turnCount < Self.attemptsOfTurnMax else {
                    self.sendStanding(to: coordinator)
                    continue
                }
                do throws(Objection) {
                    let opening = try self.open(show, isVisit: isVisit, now: now, identity: identity)
                    if !isVisit { self.turnCount += 1 }
                    self.put(.opening(number), .opening(attempt: number, opening), to: coordinator, now: now)
                } catch { self.reject(coordinator, error, now: now) }
            }
        }
    }

    /// Takes the nonces that we committed to for an attempt, and says what they are: all of a set have committed to theirs.
    private mutating func open(
        _ show: Show, isVisit: Bool, now: Moment, identity: borrowing Ed25519.SecretKey
    ) throws(Objection) -> Statement {
        let (set, number) = (show.commitments.map(\.sender), show.attempt)
        guard let own = show.commitments.first(where: { $0.sender == self.signer }) else { throw .inconsistent }
        guard set.allSatisfy({ !self.excluded.contains($0) }) else { throw .excluded }
        guard let plan = try? self.plan(of: set), plan.signers == set else { throw .inconsistent }
        let coordinator = self.coordinator(of: number)
        guard let name = own.commitment?.name, let nonces = self.publicNonces(named: name) else { throw .noncesGone }
        try self.takeOffer(own, for: coordinator)
        // A former life of the coordinator may have used the number.
        self.forgetOpening(number)
        self.makeRoom(for: coordinator)
        let opening = self.say(.approval(serial: self.decision.serial, name, nonces), identity: identity)
        self.opened[number] = Opened(commitments: show.commitments, approval: opening, isVisit: isVisit)
        self.tell(.commitmentsComplete(attempt: number, signers: set))
        if coordinator == self.currentCoordinator { self.prolongTurn(now: now) }
        return opening
    }

    /// Whether we showed nonces in this turn and wait for what comes of it. Unless its coordinator asks, it gets no others meanwhile, or it
    /// would take it that those are gone.
    var awaitsBegin: Bool { !self.isAskedBeside && self.opened.values.contains { !$0.isVisit } }

    /// What the others need of nonces whose secret halves are here.
    func publicNonces(named name: NonceName) -> [[UInt8]]? {
        self.offers.first(where: { $0.set.name == name }, { $0.set.nonces.map(\.bytes) })
    }

    private mutating func makeRoom(for coordinator: PublicKey) {
        let own = self.opened.keys.filter { self.coordinator(of: $0) == coordinator }.sorted()
        for oldest in own.dropLast(self.openedCountMax - 1) { self.forgetOpening(oldest) }
    }

    /// Wipes the nonces that were shown for an attempt that does not come any more.
    mutating func forgetOpening(_ number: UInt32) {
        guard let opened = self.opened.removeValue(forKey: number) else { return }
        let name = opened.approval.namedNonces?.name
        _ = self.offers.remove { $0.set.name == name }
        self.links.update(self.coordinator(of: number)) { $0.outbox.remove { $0 == .opening(number) } }
    }

    /// Those of a turn that we leave: nothing of them is signed any more. What was for one coordinator alone stays.
    mutating func forgetOpeningsOfTurn() {
        for number in self.opened.keys.sorted() where self.opened[number]?.isVisit == false { self.forgetOpening(number) }
        self.isAskedBeside = false
    }

    /// Those of a coordinator whose process was started anew: it knows nothing of them.
    mutating func forgetOpenings(to coordinator: PublicKey) {
        self.shows[coordinator] = nil
        for number in self.opened.keys.sorted() where self.coordinator(of: number) == coordinator { self.forgetOpening(number) }
    }

    /// Whether an attempt rests on what we showed for it, and on what everybody had committed to before.
    mutating func verifyOpenings(_ approvals: [Statement], _ own: Statement, number: UInt32) throws(Objection) {
        guard let opened = self.opened[number], opened.approval == own else { throw .noncesGone }
        guard approvals.map(\.sender) == opened.commitments.map(\.sender) else { throw .inconsistent }
        for (approval, commitment) in zip(approvals, opened.commitments) {
            guard approval.namedNonces?.name == commitment.commitment?.name else { throw .inconsistent }
            guard approval.opens(commitment) else {
                self.accuse(approval.sender, with: [commitment, approval])
                throw .excluded
            }
        }
    }

    // MARK: - A coordinator's part

    /// Everybody whom an attempt takes has committed: they are shown that, and asked for their nonces.
    mutating func show(
        _ commitments: [Statement], _ number: UInt32, _ plan: SigningPlan, turn: UInt32, now: Moment, key: borrowing SecretKey,
        identity: borrowing Ed25519.SecretKey
    ) {
        let attempt = CoordinatedAttempt(plan: plan, number: number, approvals: [], now: now.uptime)
        attempt.commitments = commitments
        attempt.turn = turn
        self.occupy(attempt)
        for signer in plan.signers { self.desk.update(signer) { $0.askedAt = nil } }
        if let own = commitments.first(where: { $0.sender == self.signer }) {
            let isVisit = own == self.visits[self.signer]?.approval
            do throws(Objection) {
                attempt.openings[self.signer] = try self.open(
                    Show(attempt: number, commitments: commitments), isVisit: isVisit, now: now, identity: identity)
            } catch {
                self.wantsOffer = true
                return self.fail(attempt, number)
            }
            self.desk.update(self.signer) { $0.owes = nil }
        } else {
            self.tell(.commitmentsComplete(attempt: number, signers: plan.signers))
        }
        for signer in plan.signers where signer != self.signer {
            self.links.update(signer) { $0.outbox.remove { $0 == .renewal } }
            self.put(.commitments(number), .commitments(attempt: number, commitments), to: signer, now: now)
        }
        // Where we are the whole set, nothing more comes.
        self.beginOpened(now: now, key: key, identity: identity)
    }

    /// As a coordinator we lack nonces of our own for a turn of ours.
    mutating func wantOwnNonces(in turn: UInt32) {
        guard self.offered == nil else { return }
        // Whom we wait for in another turn would else get ours unasked. For this one we call ourselves as we call everybody.
        guard !self.request.usesNonceCommitments || turn == self.turn else { return }
        self.wantsOffer = true
        self.isAskedBeside = true
    }

    /// A member's nonces, for the attempt that they were asked for.
    mutating func take(opening statement: Statement, attempt number: UInt32, from sender: PublicKey) -> CoordinationReception {
        guard self.request.usesNonceCommitments else { return .refused(.inconsistent("nonces that nobody asked for")) }
        guard statement.sender == sender, self.coordinator(of: max(number, 1)) == self.signer else {
            return .refused(.notEntitled("another's nonces, or another's attempt"))
        }
        guard case .approval(_, let name, let nonces) = statement.body, statement.attempt == 0 else {
            return .refused(.inconsistent("no nonces"))
        }
        guard nonces.count == self.signedInputs.count else {
            return .refused(.inconsistent("\(nonces.count) nonces for \(self.signedInputs.count) inputs"))
        }
        if self.completion != nil {
            self.remindOfCompletion(sender)
            return .accepted
        }
        // Of an attempt that was given up they come late, which is no fault.
        guard !self.state.isOver, let attempt = self.attempts[number], attempt.isLive else { return .ignored }
        guard let commitment = attempt.commitments.first(where: { $0.sender == sender })?.commitment else {
            return .refused(.notEntitled("nonces for an attempt without it"))
        }
        guard name == commitment.name else { return .refused(.inconsistent("other nonces than those that it committed to")) }
        guard attempt.openings[sender] == nil || attempt.openings[sender] == statement else { return .ignored }
        // What they were committed to is known by name: nonces that are others prove a fault, as do such as are none.
        guard self.note(statement, named: name) != nil, self.keepsItsCommitment(statement, in: attempt) else { return .accepted }
        guard attempt.openings.updateValue(statement, forKey: sender) == nil else { return .repeated }
        if self.desk[sender]?.owes == number { self.desk.update(sender) { $0.owes = nil } }
        return .accepted
    }

    /// Begins what all nonces are here for.
    mutating func beginOpened(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) {
        guard self.request.usesNonceCommitments else { return }
        for number in self.attempts.keys.sorted() {
            guard let attempt = self.attempts[number], attempt.isLive, attempt.begin == nil else { continue }
            let approvals = attempt.plan.signers.compactMap { attempt.openings[$0] }
            guard approvals.count == attempt.plan.signers.count else { continue }
            let sets = approvals.compactMap { try? self.nonces.nonceSet(of: $0) }
            do throws(SigningError) {
                guard sets.count == approvals.count else { throw .closed }
                for (approval, set) in zip(approvals, sets) where approval.sender != self.signer {
                    _ = try attempt.session.add(set, from: approval.sender)
                }
            } catch {
                self.fail(attempt, number)
                continue
            }
            attempt.approvals = approvals
            attempt.beganAt = now.uptime
            for signer in attempt.plan.signers { self.desk.update(signer) { $0.owes = number } }
            self.links.updateAll { $0.outbox.remove { $0 == .commitments(number) } }
            self.begin(attempt, sets, now: now, key: key, identity: identity)
        }
    }

    // MARK: - What was said

    /// Keeps a commitment under its name. A second one under it proves a fault, and so do nonces that it was not made for.
    ///
    /// - Returns: whether nothing is wrong with it.
    mutating func note(commitment statement: Statement) -> Bool {
        let sender = statement.sender
        guard let (name, digest) = statement.commitment else { return false }
        if let other = self.committed[sender]?.first(where: { $0.commitment?.name == name }) {
            guard other.commitment?.digest == digest else {
                self.accuse(sender, with: [other, statement])
                return false
            }
        } else {
            self.committed[sender, default: []].append(statement)
            if (self.committed[sender]?.count ?? 0) > Self.namedCountMax { self.committed[sender]?.removeFirst() }
        }
        guard let nonces = self.named[sender]?.first(where: { $0.namedNonces?.name == name }) else { return true }
        return self.keepsItsCommitment(nonces, statement)
    }

    /// Whether nonces are those that their signer committed to, as far as we know.
    mutating func keepsItsCommitment(_ nonces: Statement) -> Bool {
        guard let name = nonces.namedNonces?.name,
            let commitment = self.committed[nonces.sender]?.first(where: { $0.commitment?.name == name })
        else { return true }
        return self.keepsItsCommitment(nonces, commitment)
    }

    /// The same of nonces for an attempt, whatever of others is not known any more.
    private mutating func keepsItsCommitment(_ nonces: Statement, in attempt: CoordinatedAttempt) -> Bool {
        guard let commitment = attempt.commitments.first(where: { $0.sender == nonces.sender }) else { return false }
        return self.keepsItsCommitment(nonces, commitment)
    }

    private mutating func keepsItsCommitment(_ nonces: Statement, _ commitment: Statement) -> Bool {
        guard !nonces.opens(commitment) else { return true }
        self.accuse(nonces.sender, with: [commitment, nonces])
        return false
    }
}

extension Coordination.CoordinatedAttempt {
    /// Whether its set has committed, and not all of its nonces are here.
    var isGathering: Bool { self.begin == nil && !self.commitments.isEmpty }

    /// Who has not said yet what the attempt needs next.
    var awaited: [PublicKey] {
        self.isGathering ? self.plan.signers.filter { self.openings[$0] == nil } : self.session.missingPartialSignatures
    }
}
