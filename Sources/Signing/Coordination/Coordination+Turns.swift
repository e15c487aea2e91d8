internal import CryptoPrimitives
internal import Secp256k1

// Whose turn it is, and when it has had its time.

extension Coordination {
    /// Goes on to the next turn when this one took too long, and asks the coordinator now and then whether it is there.
    mutating func takeTurns(now: Moment) {
        guard self.decision.statement == .approved else { return }
        if self.turnBeganAt == nil { self.turnBeganAt = now.uptime }
        self.followOthers(now: now)
        // Who is proved to be at fault has no turn. That is never we ourselves, so this comes to an end.
        while self.turn < self.turnMax, self.excluded.contains(self.currentCoordinator), self.currentCoordinator != self.signer {
            self.enter(self.turn + 1, now: now)
        }
        while let deadline = self.turnDeadline, now.uptime >= deadline { self.enter(self.turn + 1, now: now) }
        self.probe(now: now)
    }

    /// When this turn has had its time.
    ///
    /// A coordinator that does not acknowledge what it is sent has one patience. One that does may wait for people, and for that it has
    /// its share of the request's life; once we signed, only machines are to be waited for. Signing again prolongs a turn, as often as
    /// attempts can be needed.
    var turnDeadline: Duration? {
        guard let began = self.turnBeganAt, self.turn < self.turnMax else { return nil }
        let patience = self.patience(in: self.turn)
        var deadline = began + max(patience, self.shareOfLife)
        if let signedAt { deadline = signedAt + patience }
        if self.currentCoordinator != self.signer, let place = self.links.place(of: self.currentCoordinator),
            let since = self.links.values[place].outbox.waitingSince({ $0.concernsCoordinator })
        {
            deadline = min(deadline, max(since, began) + patience)
        }
        return deadline
    }

    /// How long a turn's coordinator has for what needs no person: four round trips, doubling with each rotation.
    func patience(in turn: UInt32) -> Duration {
        let rotation = min((turn - 1) / UInt32(self.priority.count), 20)
        let patience = max(self.timing.patienceMin, self.roundTrip * 4) * (1 << Int(rotation))
        // One rotation fits what the request has to live.
        guard let life = self.life else { return min(patience, .seconds(3_600)) }
        return min(patience, max(self.timing.patienceMin, life / (2 * self.priority.count)))
    }

    /// A coordinator's share of the request's life, while it waits for people.
    private var shareOfLife: Duration {
        guard let life = self.life else { return .seconds(3_600) }
        return life / (4 * self.priority.count)
    }

    /// From proposal to expiry, as its proposer says; `nil` where it does not expire.
    private var life: Duration? {
        guard self.request.expiry > self.terms.createdAt else { return nil }
        return .seconds(Int64(clamping: min(self.request.expiry - self.terms.createdAt, 1 << 32)))
    }

    /// How long a begun attempt waits before another is begun beside it.
    var stuckAfter: Duration { self.patience(in: self.turn) / 2 }

    /// Most times that a signature prolongs a turn: as many attempts as can fail while those who answer suffice, and one.
    /// Where nonces are committed to, showing them prolongs it as well.
    private var prolongationMax: Int {
        (self.policy.members.count - self.policy.threshold + 2) * (self.request.usesNonceCommitments ? 2 : 1)
    }

    /// We signed in this turn, or showed nonces.
    mutating func prolongTurn(now: Moment) {
        guard self.prolongations < self.prolongationMax else { return }
        self.prolongations += 1
        self.signedAt = now.uptime
    }

    mutating func enter(_ turn: UInt32, now: Moment) {
        let old = self.currentCoordinator
        let rotation = (self.turn - 1) / UInt32(self.priority.count)
        self.tell(.coordinatorFailed(old, turn: self.turn))
        self.turn = turn
        self.turnBeganAt = now.uptime
        self.signedAt = nil
        self.prolongations = 0
        self.visitCounts = [:]
        self.turnCount = 0
        self.probeAt = nil
        if (turn - 1) / UInt32(self.priority.count) > rotation { self.tell(.failoverExhausted(turn: turn)) }
        self.tell(.coordinatorElected(self.currentCoordinator, turn: turn))
        self.links.update(old) { $0.outbox.remove { $0 == .approval || $0 == .probe } }
        self.forgetOpeningsOfTurn()
        self.dropPooled()
        for member in self.others { self.put(.turn, .standing(self.standing(for: member, asks: false)), to: member, now: now) }
        if self.offered == nil { self.wantsOffer = true }
    }

    /// Goes to the turn that so many claim to be in that one of them must be honest: who was away finds the others so.
    private mutating func followOthers(now: Moment) {
        let liarsMax = self.policy.members.count - self.policy.threshold
        var later: [UInt32] = []
        for (place, member) in self.desk.members.enumerated()
        where self.desk.values[place].turn > self.turn && member != self.signer { later.append(self.desk.values[place].turn) }
        guard liarsMax >= 0, later.count > liarsMax else { return }
        self.enter(later.sorted(by: >)[liarsMax], now: now)
    }

    private mutating func probe(now: Moment) {
        let coordinator = self.currentCoordinator
        guard coordinator != self.signer else { return self.probeAt = nil }
        guard let due = self.probeAt else { return self.probeAt = now.uptime + self.patience(in: self.turn) }
        guard now.uptime >= due else { return }
        self.probeAt = now.uptime + self.patience(in: self.turn)
        guard self.links[coordinator]?.outbox.waitingSince({ $0.concernsCoordinator }) == nil else { return }
        self.put(.probe, .standing(self.standing(for: coordinator, asks: false)), to: coordinator, now: now)
    }
}

extension Outbox.Matter {
    /// Whether a coordinator that is there acknowledges it.
    fileprivate var concernsCoordinator: Bool {
        switch self {
        case .approval, .probe, .partialSignatures, .opening: true
        case .proposal, .decision, .cancellation, .turn, .completion, .greeting, .leftNonces, .begin, .renewal, .evidence, .commitments,
            .nonceUse, .cloneAlarm:
            false
        }
    }
}
