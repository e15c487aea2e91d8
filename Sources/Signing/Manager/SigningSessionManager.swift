public import Bitcoin
public import CryptoPrimitives
public import MuSig2
public import Secp256k1

/// Names a session of a `SigningSessionManager`: 16 random bytes.
public struct SigningSessionID: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// Takes the 32 hex digits of `description`; `nil` for anything else.
    public init?(_ text: String) {
        guard let bytes = try? Hex.decode(text), bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    init(bytes: [UInt8]) { self.bytes = bytes }

    public var description: String { Hex.encode(self.bytes) }
}

/// Many signing sessions in one process: thousands at once that never touch each other.
///
///     let manager = SigningSessionManager(policy: group, journal: journal)
///     let id = try await manager.createSigningSession(transaction, coins: coins)
///     let nonces = try await manager.generateNonces(id, for: key)
///     try await manager.addNonces(id, theirs, from: them)
///     let partials = try await manager.sign(id, with: key)
///     try await manager.addPartialSignatures(id, theirPartials, from: them)
///     let transaction = try await manager.tryFinalize(id) // nil while signatures are missing
///
/// A session idle for an hour is closed by a timer. Its secret nonces are wiped then, on `close`, and when the manager goes.
/// Signatures leave only after the journal has made the decision durable.
public actor SigningSessionManager<C: Clock> where C.Duration == Duration {
    /// Limits, with their defaults.
    public struct Limits: Sendable {
        /// How long a session may stay untouched. Source: the described system's one hour.
        public var idle: Duration
        /// Most sessions at once. A session of one input takes about 5 kB beside its slot in the arena.
        public var sessionCountMax: Int

        public init(idle: Duration = .seconds(3_600), sessionCountMax: Int = 20_000) {
            self.idle = idle
            self.sessionCountMax = sessionCountMax
        }
    }

    public nonisolated let policy: any SpendingPolicy
    private let journal: any SessionJournal
    private let clock: C
    private let limits: Limits
    /// This manager's start: part of every nonce's name.
    private let incarnation: [UInt8]
    private let random: @Sendable (Int) -> [UInt8]

    private var sessions: [SigningSessionID: Entry] = [:]
    private var nonceCounter: UInt32 = 0
    private var timer: Task<Void, Never>?

    private struct Entry {
        let cell: SessionCell
        var lastTouched: C.Instant
    }

    /// - Parameters:
    ///   - journal: where decisions to sign are made durable before signatures leave.
    ///   - random: gives that many random bytes for ids and names. Nonces never come from here.
    public init(
        policy: any SpendingPolicy, journal: any SessionJournal, clock: C, limits: Limits = Limits(),
        random: @escaping @Sendable (Int) -> [UInt8] = { SystemRandom.bytes(count: $0) }
    ) {
        self.policy = policy
        self.journal = journal
        self.clock = clock
        self.limits = limits
        self.random = random
        self.incarnation = random(NonceName.incarnationByteCount)
    }

    deinit { self.timer?.cancel() }

    /// Open sessions.
    public var activeSessionCount: Int { self.sessions.count }

    // MARK: The described calls

    /// Opens a session for the transaction's inputs that spend coins of this manager's policy.
    ///
    /// - Parameters:
    ///   - coins: the output that each input spends, in order.
    ///   - signers: the set that will sign; needed for k-of-n, where the set is chosen first.
    ///   - sighashTypes: one for each input; `DEFAULT` everywhere when left out.
    ///   - requestID: sets two requests for one transaction apart; random when left out. Who goes on after a restart gives the same
    ///     id with the next attempt's number.
    public func createSigningSession(
        _ transaction: Transaction, coins: [TransactionOutput], signers: [PublicKey]? = nil, sighashTypes: [SighashType]? = nil,
        requestID: Bytes32? = nil, attempt: UInt32 = 1
    ) throws(SigningError) -> SigningSessionID {
        guard self.sessions.count < self.limits.sessionCountMax else { throw .tooManySessions(limit: self.limits.sessionCountMax) }
        let requestID = requestID ?? Bytes32(self.random(32)) ?? Bytes32()
        let request = try SigningRequest(
            transaction: transaction, prevouts: coins, sighashTypes: sighashTypes, policyDigest: self.policy.digest, id: requestID)
        let (set, path) = try self.policy.spend(by: signers)
        let own = coins.indices.filter { coins[$0].scriptPubKey == self.policy.scriptPubKey }
        let plan = try SigningPlan(request: request, signers: set, paths: Dictionary(uniqueKeysWithValues: own.map { ($0, path) }))
        let id = SigningSessionID(bytes: self.random(16))
        self.sessions[id] = Entry(
            cell: SessionCell(SigningSession(plan: plan, attempt: attempt), journal: self.journal), lastTouched: self.clock.now)
        self.startTimer()
        return id
    }

    /// Round 1: makes the signer's nonces for all inputs, or gives again the ones it made before.
    public func generateNonces(_ id: SigningSessionID, for key: borrowing SecretKey) async throws(SigningError) -> NonceSet {
        let cell = try self.touch(id)
        self.nonceCounter += 1
        return try await cell.generateNonces(for: key, name: NonceName(incarnation: self.incarnation, counter: self.nonceCounter))
    }

    /// Takes another signer's nonces, in any order.
    @discardableResult
    public func addNonces(
        _ id: SigningSessionID, _ nonces: NonceSet, from signer: PublicKey
    ) async throws(SigningError) -> SigningSession.Outcome {
        try await self.touch(id).add(nonces, from: signer)
    }

    /// Round 2: signs all inputs, makes the decision durable, and only then gives the partial signatures out.
    ///
    /// Called again, it gives the same signatures and signs nothing. So it does after a restart, when all nonces of the attempt, our
    /// own old ones among them, were added again; with other nonces it throws `attemptDecided`, and the next attempt is due.
    public func sign(_ id: SigningSessionID, with key: borrowing SecretKey) async throws(SigningError) -> [PartialSignature] {
        try await self.touch(id).sign(with: key)
    }

    /// What a signer's partial signatures rest on, T1: it goes out with them, so that nobody is blamed for having seen other nonces.
    /// `nil` before a signer of this process has signed.
    public func transcript(_ id: SigningSessionID) async throws(SigningError) -> Bytes32? {
        await (try self.touch(id)).transcript
    }

    /// Takes another signer's partial signatures.
    ///
    /// - Parameter transcript: T1 as the sender names it; without it, the caller must know that both saw the same nonces.
    /// - Throws: `differentTranscript` when the sender saw other nonces: the next attempt is due, and nobody is to blame.
    @discardableResult
    public func addPartialSignatures(
        _ id: SigningSessionID, _ partials: [PartialSignature], restingOn transcript: Bytes32? = nil, from signer: PublicKey
    ) async throws(SigningError) -> SigningSession.Outcome {
        try await self.touch(id).add(partials, restingOn: transcript, from: signer)
    }

    /// The signed transaction, or `nil` while signatures are missing.
    ///
    /// - Throws: `invalidPartialSignature` with the signer to blame when the signatures do not add up.
    public func tryFinalize(_ id: SigningSessionID) async throws(SigningError) -> Transaction? {
        try await self.touch(id).tryFinalize()
    }

    /// Whose contributions are still awaited: nonces, then partial signatures.
    public func missing(_ id: SigningSessionID) async throws(SigningError) -> (nonces: [PublicKey], partialSignatures: [PublicKey]) {
        await (try self.touch(id)).missing
    }

    /// Ends a session and wipes its secret nonces. Closing an unknown session does nothing.
    public func close(_ id: SigningSessionID) async { await self.sessions.removeValue(forKey: id)?.cell.close() }

    /// Ends all sessions: after the machine was suspended or resumed from a snapshot, for one.
    public func closeAll() async {
        let entries = self.sessions.values
        self.sessions = [:]
        for entry in entries { await entry.cell.close() }
    }

    // MARK: Idle expiry

    private func touch(_ id: SigningSessionID) throws(SigningError) -> SessionCell {
        let now = self.clock.now
        guard let entry = self.sessions[id], entry.lastTouched.advanced(by: self.limits.idle) > now else { throw .noSuchSession }
        self.sessions[id]?.lastTouched = now
        return entry.cell
    }

    private func startTimer() {
        guard self.timer == nil else { return }
        let clock = self.clock
        self.timer = Task { [weak self] in
            while let deadline = await self?.expireIdle() {
                do { try await clock.sleep(until: deadline, tolerance: nil) } catch { return }
            }
        }
    }

    /// Closes what was idle too long, and says when to look again; `nil` when nothing is left to wait for.
    private func expireIdle() async -> C.Instant? {
        let now = self.clock.now
        let expired = self.sessions.filter { $0.value.lastTouched.advanced(by: self.limits.idle) <= now }
        for (id, entry) in expired {
            self.sessions[id] = nil
            await entry.cell.close()
        }
        guard let oldest = self.sessions.values.map(\.lastTouched).min() else {
            self.timer = nil
            return nil
        }
        return oldest.advanced(by: self.limits.idle)
    }
}

extension SigningSessionManager where C == ContinuousClock {
    public init(policy: any SpendingPolicy, journal: any SessionJournal, limits: Limits = Limits()) {
        self.init(policy: policy, journal: journal, clock: ContinuousClock(), limits: limits)
    }
}

/// One session's own isolation, so that sessions run beside each other on all cores. It carries out what the machine decides.
actor SessionCell {
    private var session: SigningSession
    private let journal: any SessionJournal

    init(_ session: consuming SigningSession, journal: any SessionJournal) {
        self.session = session
        self.journal = journal
    }

    func generateNonces(for key: borrowing SecretKey, name: NonceName) throws(SigningError) -> NonceSet {
        try self.session.generateNonces(for: key, name: name)
    }

    func add(_ nonces: NonceSet, from signer: PublicKey) throws(SigningError) -> SigningSession.Outcome {
        try self.session.add(nonces, from: signer)
    }

    func add(
        _ partials: [PartialSignature], restingOn transcript: Bytes32?, from signer: PublicKey
    ) throws(SigningError) -> SigningSession.Outcome {
        try self.session.add(partials, restingOn: transcript, from: signer)
    }

    func sign(with key: borrowing SecretKey) async throws(SigningError) -> [PartialSignature] {
        let (request, attempt, signer) = (self.session.plan.requestDigest, self.session.attempt, key.publicKey)
        let decided: BurnRecord?
        do { decided = try await self.journal.record(request: request, attempt: attempt, signer: signer) } catch { throw .journal(error) }
        if let decided { return try self.session.resume(decided) }
        let record = try self.session.sign(with: key)
        do { try await self.journal.burn(record) } catch { throw .journal(error) }
        return try self.session.release(record)
    }

    func tryFinalize() async throws(SigningError) -> Transaction? {
        do { return try self.session.tryFinalize() } catch {
            guard case .signatureDoesNotVerify = error, let fault = await self.session.inquiry?.faults().first else { throw error }
            throw .invalidPartialSignature(signer: fault.signer, input: fault.input)
        }
    }

    var missing: (nonces: [PublicKey], partialSignatures: [PublicKey]) {
        (self.session.missingNonces, self.session.missingPartialSignatures)
    }

    var transcript: Bytes32? { self.session.transcriptDigest }

    func close() { self.session.close() }
}
