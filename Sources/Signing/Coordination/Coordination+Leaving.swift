internal import CryptoPrimitives
internal import Secp256k1

// Nonces that wait for whoever comes last, so that it need not come twice.
//
//     members that agreed ── nonces for the attempts of a member that is away ──▶ its mailbox
//     that member, last   ── begin of an attempt of its own, its signatures ────▶ all of the set, at once
//     each of the set     ── its own to all of the set ─────────────────────────▶ whoever has all finishes
//
// They are those of a visit (see `visit`), given before anybody calls for them: known to that member only, good for its attempts only, and in
// whichever turn anybody is. So nothing of what others wait for is used up by them, and a member that never comes keeps nobody waiting.

extension Coordination {
    /// Secret nonces that are left for members in one request at most: a signer for each of a group of any usual size.
    public static let leftNonceCountMax = 1_024

    /// Whether nonces are left for all members that may be away: not where they are committed to before they are shown, nor where they would be
    /// too many.
    public static func leavesNonces(about request: SigningRequest, members: Int) -> Bool {
        !request.usesNonceCommitments && members * request.prevouts.count <= Self.leftNonceCountMax
    }

    /// The first turn that is ours, whichever we are in.
    private var firstOwnTurn: UInt32 { UInt32(self.priority.firstIndex(of: self.signer) ?? 0) + 1 }

    // MARK: - For others

    /// Has nonces lie ready for those who have not agreed yet, as far as we know, and are away: one of them may come last. Where our coordinator
    /// is away, one that is here may, too.
    mutating func leaveNonces() {
        guard self.awayCount > 0, !self.request.usesNonceCommitments else { return }
        let coordinator = self.currentCoordinator
        let isCoordinatorAway = self.isAway(coordinator)
        for (place, member) in self.others.enumerated() where isCoordinatorAway || self.links.values[place].distance != nil {
            guard member != coordinator, member != self.request.proposer, self.visits[member] == nil, self.calls[member] == nil,
                self.visitCounts[member] == nil, !self.excluded.contains(member), let seat = self.desk[member], seat.refusal == nil,
                !seat.hasApproved, !seat.saysApproved, self.leftNonceCount + self.signedInputs.count <= Self.leftNonceCountMax
            else { continue }
            self.calls[member] = 0
        }
    }

    private var leftNonceCount: Int {
        (self.visits.values.count(where: \.isLeft) + self.calls.values.count { $0 == 0 }) * self.signedInputs.count
    }

    /// Whether a member is reached by what is left for it alone.
    func isAway(_ member: PublicKey) -> Bool { self.links[member]?.distance != nil }

    /// The process of a member was started anew: what was left for it is left again.
    mutating func leaveAgain(for member: PublicKey) {
        if self.visits[member]?.isLeft ?? false, self.calls[member] == nil { self.calls[member] = 0 }
    }

    /// The set of an attempt that takes what we left has agreed, all of it: its begin shows everybody's signed word.
    mutating func noteAgreed(_ signers: [PublicKey]) {
        for signer in signers where signer != self.signer { self.desk.update(signer) { $0.saysApproved = true } }
        self.known.formUnion(signers)
    }

    // MARK: - For us

    /// A member's nonces for our attempts, in whichever turn.
    mutating func keepLeft(_ approval: Statement, of member: PublicKey, highest: UInt32) {
        guard !self.request.usesNonceCommitments, let offer = approval.offer(withCommitments: false), var seat = self.desk[member],
            seat.refusal == nil ? offer.serial >= seat.serial : offer.serial > seat.serial, !seat.approvals.contains(approval),
            !self.wasTaken(approval)
        else { return }
        let isNew = !seat.hasApproved
        (seat.serial, seat.refusal, seat.hasApproved, seat.left) = (offer.serial, nil, true, approval)
        seat.rise(turn: 0, highest: highest)
        self.desk.update(member) { $0 = seat }
        // It has agreed, so it does not come last.
        self.links.update(member) { $0.outbox.remove { $0 == .leftNonces } }
        if isNew { self.tell(.joined(member)) }
    }

    /// Those whose nonces can serve an attempt of this turn, with those that were left for any.
    func eligibleWithLeft(in turn: UInt32) -> [PublicKey] {
        let (eligible, highest) = (Set(self.eligible(in: turn)), self.highestCredible(in: turn))
        return self.policy.members.filter { member in
            if eligible.contains(member) { return true }
            guard let seat = self.desk[member], !self.excluded.contains(member) else { return false }
            return seat.left != nil && seat.hasApproved && seat.refusal == nil && seat.owes == nil && seat.highest <= highest
        }
    }

    func chooseWithLeft(in turn: UInt32, now: Moment) -> [PublicKey]? {
        self.hasLeftNonces ? self.choose(among: self.eligibleWithLeft(in: turn), now: now) : nil
    }

    /// An attempt of ours begins upon what was left: a coordinator that we do not reach is not given nonces for another one beside it, for which
    /// we would have to come again.
    mutating func keepFromCoordinator() {
        guard self.isAway(self.currentCoordinator) else { return }
        self.links.update(self.currentCoordinator) { $0.outbox.remove { $0 == .approval } }
    }

    /// Whether somebody's nonces were left here.
    var hasLeftNonces: Bool {
        for place in self.desk.values.indices where self.desk.values[place].left != nil { return true }
        return false
    }

    /// Whether nonces of others are here that make a set with ours, so that nobody has to be asked for any.
    var holdsNoncesOfASet: Bool { self.turnOfLeft != nil }

    /// The turn of ours whose attempts have nonces of a set with us: the first one, or one in which others wait for us that left nothing.
    private var turnOfLeft: UInt32? {
        guard !self.request.usesNonceCommitments, self.hasLeftNonces || self.policy.threshold == 1 else { return nil }
        let turns = Set(self.desk.values.map(\.offeredFor) + [self.firstOwnTurn]).subtracting([0])
        return turns.sorted().first { turn in
            let here = Set(self.eligibleWithLeft(in: turn)).union([self.signer])
            return self.policy.chooseSet(among: here)?.contains(self.signer) ?? false
        }
    }

    /// Begins an attempt of our own in another's turn, where nonces of a whole set are here and the turn's coordinator is not.
    mutating func beginUponLeft(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) {
        guard self.decision.statement == .approved, self.isAway(self.currentCoordinator), !self.awaitsAnothersAttempt(now: now),
            let turn = self.turnOfLeft, self.mayBegin(in: turn, now: now)
        else { return }
        if self.eligible(in: turn).contains(self.signer) {
            _ = self.beginAttempt(in: turn, now: now, key: key, identity: identity)
        } else if self.desk[self.signer]?.owes == nil, self.calls[self.signer] == nil {
            // Ours are given as everybody's are: that is then done in the same step.
            self.desk.update(self.signer) { $0.called = (turn, now.uptime) }
            self.calls[self.signer] = turn
        }
    }

    /// Whether an attempt of another was signed here lately, and nobody can do without those who are in it.
    private func awaitsAnothersAttempt(now: Moment) -> Bool {
        self.policy.onlySet != nil
            && self.attempts.values.contains {
                !$0.hasFailed && self.coordinator(of: $0.number) != self.signer && now.uptime < $0.beganAt + self.stuckAfter
            }
    }
}
