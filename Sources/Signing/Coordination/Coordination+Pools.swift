internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

// An attempt that begins with the proposal, upon nonces that were given ahead.
//
//     proposer:  proposal, begin of attempt 1 ──▶ member: verifies, approves, takes its entry, signs ──▶ the proposer signs, and finishes
//
// Nothing else is other than in any attempt: a member signs what its person or policy agreed to, after everything that it verifies otherwise,
// and its decision is durable before anything leaves. The proposer signs last, for what nobody has agreed to yet it may have to take back. Where an entry is gone, or the person takes too long, the turn goes on with fresh
// nonces.

/// What a request's machine has to do with pooled nonces.
struct PooledStart: Sendable {
    /// What a proposer took of others, before its first attempt.
    var others: [Statement] = []
    /// The entry of ours that a begin named: the machine that has the pool was asked for it, and gave it or has it no more.
    var asked: Statement?
    var given: Statement?
    var isGone = false
}

extension Statement {
    /// Whether it gives nonces ahead.
    var isPooled: Bool { if case .pooledNonces = self.body { true } else { false } }

    /// Whether its nonces serve the one attempt that takes them, whichever it is.
    var servesAnyAttempt: Bool { self.isApproval || self.isPooled }

    /// Whether it is about a request; nonces that were given ahead are about whichever takes them.
    func isAbout(_ request: Bytes32) -> Bool { self.request == request || self.isPooled }

    /// The nonces that it has for a request: of an entry of a pool the first ones.
    func nonceSet(for request: Bytes32, inputs: Int) throws(SigningError) -> NonceSet? {
        try self.nonceSet().flatMap { self.part(of: $0, for: request, inputs: inputs) }
    }

    /// The same of its nonces that were read before.
    func part(of set: NonceSet, for request: Bytes32, inputs: Int) -> NonceSet? {
        guard self.isPooled else { return set }
        guard set.nonces.count >= inputs else { return nil }
        return NonceSet(request: request, attempt: 0, name: set.name, nonces: Array(set.nonces.prefix(inputs)))
    }
}

extension Coordination {
    /// The proposer begins its first attempt with its proposal, upon these: one entry of each other member of a set.
    ///
    /// Only the proposer's machine, in its first life, begins so: for others, and after a restart, these nonces stay unused.
    public mutating func begin(withPooled others: [Statement]) {
        guard self.signer == self.request.proposer, !self.resumes else { return }
        self.pooledStart.others = others
    }

    /// Begins attempt 1 with what was given ahead.
    ///
    /// - Returns: whether it has begun.
    mutating func beginPooled(now: Moment, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey) -> Bool {
        // Before its owner's word is durable, and its own nonces are there, it waits.
        guard !self.pooledStart.others.isEmpty, self.decision.statement == .approved, let own = self.desk[self.signer]?.approvals.last
        else {
            return false
        }
        let others = self.pooledStart.others
        // Once, whatever comes of it.
        self.pooledStart.others = []
        guard !self.request.usesNonceCommitments, self.turn == 1, self.highestBegun == 0, self.records.isEmpty,
            self.currentCoordinator == self.signer,
            let plan = try? self.plan(of: others.map(\.sender) + [self.signer])
        else { return false }
        let approvals = plan.signers.compactMap { signer in signer == self.signer ? own : others.first { $0.sender == signer } }
        let sets = approvals.compactMap { try? $0.nonceSet(for: self.requestDigest, inputs: self.signedInputs.count) }
        guard approvals.count == plan.signers.count, sets.count == approvals.count,
            self.start(1, of: plan, approvals, sets, turn: 1, now: now, key: key, identity: identity)
        else { return false }
        return true
    }

    /// Whether the begin that waits for us takes an entry of our pool: then no fresh nonces are made before that has come to something.
    var awaitsPooledBegin: Bool {
        guard let begin = self.begins[self.currentCoordinator] else { return false }
        return begin.approvals.contains { $0.sender == self.signer && $0.isPooled }
    }

    /// Asks for the entry that a begin names, once.
    ///
    /// - Returns: whether it is still to come.
    mutating func askForPooled(_ entry: Statement, of coordinator: PublicKey) -> Bool {
        guard self.pooledStart.asked != entry else { return self.pooledStart.given == nil && !self.pooledStart.isGone }
        // One of a request: a second begin has to do with fresh nonces.
        guard self.pooledStart.asked == nil else { return false }
        self.pooledStart.asked = entry
        self.actions.append(.takePooled(entry, for: coordinator))
        return true
    }

    /// What was asked for with `takePooled`; `nil` where it is not there any more. Call `step` then.
    public mutating func give(_ nonces: consuming PooledNonces?, for entry: Statement) {
        guard self.pooledStart.asked == entry, self.pooledStart.given == nil, !self.pooledStart.isGone else { return }
        // What can sign no more is wiped here.
        guard let nonces = consume nonces, !self.state.isOver, self.decision.statement == .approved, self.awaits(entry) else {
            self.pooledStart.isGone = true
            return
        }
        self.pooledStart.given = entry
        self.offers.append(nonces.serving(self.requestDigest, inputs: self.signedInputs.count))
    }

    /// Whether a begin that may still be signed takes this.
    private func awaits(_ entry: Statement) -> Bool {
        self.begins.values.contains { $0.statement.attempt >= self.turn && $0.approvals.contains(entry) }
    }

    /// A coordinator's process was started anew: it has forgotten the attempt that takes what was given ahead.
    mutating func forgetPooled(by coordinator: PublicKey) {
        guard let begin = self.begins[coordinator], begin.approvals.contains(where: { $0.sender == self.signer && $0.isPooled }) else {
            return
        }
        self.begins[coordinator] = nil
        self.dropPooled()
    }

    /// An entry that was given and did not sign is wiped: it was named, and is not used again.
    mutating func dropPooled() {
        guard let name = self.pooledStart.given?.namedNonces?.name else { return }
        _ = self.offers.remove { $0.set.name == name }
    }
}

extension Coordination.CoordinatedAttempt {
    /// Whether it takes what a member gave ahead.
    func takesPooled(of member: PublicKey) -> Bool { self.approvals.contains { $0.sender == member && $0.isPooled } }
}
