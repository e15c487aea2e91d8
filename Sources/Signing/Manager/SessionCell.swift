internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1
internal import Synchronization

/// One session's own isolation, so that sessions run beside each other on all cores. It carries out what the machine decides.
actor SessionCell {
    nonisolated let plan: SigningPlan
    private var session: SigningSession
    private let journal: any SessionJournal
    private let names: NonceNames
    private let wallClock: @Sendable () -> UInt64
    private let clocks: WatchedClocks
    /// How often the clocks had gone apart when this session began: once more, and its nonces may lie in two memories.
    private let jumpCount: Int
    /// Set from outside the isolation, where a call of this session may be under way.
    private nonisolated let isRevoked = Atomic(false)

    init(
        _ session: consuming SigningSession, plan: SigningPlan, journal: any SessionJournal, names: NonceNames,
        wallClock: @escaping @Sendable () -> UInt64, clocks: WatchedClocks, jumpCount: Int
    ) {
        self.plan = plan
        self.session = session
        self.journal = journal
        self.names = names
        self.wallClock = wallClock
        self.clocks = clocks
        self.jumpCount = jumpCount
    }

    func generateNonces(for key: borrowing SecretKey) async throws(SigningError) -> NonceSet {
        let signer = key.publicKey
        if let own = self.session.ownNonces(of: signer) { return own }
        if let decided = try await self.decision(of: signer) { throw .attemptDecided(attempt: decided.attempt, signer: signer) }
        // Another call may have made them while the journal was asked.
        if let own = self.session.ownNonces(of: signer) { return own }
        try self.requireTimeLeft()
        guard !self.isRevoked.load(ordering: .acquiring) else { throw .closed }
        try self.requireSteadyClocks()
        return try self.session.generateNonces(for: key, name: self.names.next())
    }

    func add(_ nonces: NonceSet, from signer: PublicKey) throws(SigningError) -> SigningSession.Outcome {
        try self.session.add(nonces, from: signer)
    }

    func add(_ shares: SignatureShares, from signer: PublicKey) throws(SigningError) -> SigningSession.Outcome {
        try self.session.add(shares, from: signer)
    }

    func sign(with key: borrowing SecretKey) async throws(SigningError) -> SignatureShares {
        if let decided = try await self.decision(of: key.publicKey) { return try self.session.resume(decided) }
        try self.requireTimeLeft()
        guard !self.isRevoked.load(ordering: .acquiring) else { throw .closed }
        try self.requireSteadyClocks()
        let record = try self.session.sign(with: key)
        do { try await self.journal.burn(record) } catch { throw .journal(error) }
        return try self.session.release(record)
    }

    func fixTranscript() throws(SigningError) { try self.session.fixTranscript() }

    func tryFinalize() async throws(SigningError) -> Transaction? {
        do { return try self.session.tryFinalize() } catch {
            guard case .signatureDoesNotVerify = error, let faults = await self.session.inquiry?.faults(), !faults.isEmpty else {
                throw error
            }
            throw .invalidPartialSignatures(faults)
        }
    }

    var missing: (nonces: [PublicKey], partialSignatures: [PublicKey]) {
        (self.session.missingNonces, self.session.missingPartialSignatures)
    }

    var transcript: Bytes32? { self.session.transcriptDigest }

    var signersOfOtherTranscripts: [PublicKey] { self.session.signersOfOtherTranscripts }

    func close() { self.session.close() }

    /// From now on nothing is signed, and no nonce made, even by a call that waits for the journal at this moment. `close` wipes.
    nonisolated func revoke() { self.isRevoked.store(true, ordering: .releasing) }

    private func decision(of signer: PublicKey) async throws(SigningError) -> BurnRecord? {
        do {
            return try await self.journal.record(request: self.plan.requestDigest, attempt: self.session.attempt, signer: signer)
        } catch { throw .journal(error) }
    }

    /// The last thing that is asked before nonces are made or used, with nothing to wait for in between.
    private func requireSteadyClocks() throws(SigningError) {
        guard self.clocks.countJumps() == self.jumpCount else {
            self.session.close()
            throw .clocksJumped
        }
    }

    private func requireTimeLeft() throws(SigningError) {
        guard !self.plan.request.isExpired(at: self.wallClock()) else { throw .expired(self.plan.request.expiry) }
    }
}
