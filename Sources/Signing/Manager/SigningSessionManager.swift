public import Bitcoin
public import CryptoPrimitives
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
/// Each signer's process has a manager. Who asks for the signatures draws the request's id and tells it to the others with the
/// transaction; from these each works out the same request for itself. Then nonces and shares travel, in any order:
///
///     // Once, at whoever asks: the id goes to all signers, with the transaction and its coins.
///     let requestID = SigningRequest.randomID()
///
///     // At every signer:
///     let manager = SigningSessionManager(policy: group, journal: journal)
///     let id = try await manager.createSigningSession(transaction, coins: coins, requestID: requestID)
///     send(try await manager.generateNonces(id, for: key).serialized())
///     try await manager.addNonces(id, NonceSet(parsing: received), from: them)           // for each of the others
///     send(try await manager.sign(id, with: key).serialized())
///     try await manager.addPartialSignatures(id, SignatureShares(parsing: received), from: them)
///     let transaction = try await manager.tryFinalize(id)                                // nil while signatures are missing
///     try await journal.forget(request: manager.request(id).digest)                      // once it is confirmed
///
/// `them` is who the connection proved the sender to be. A session's id names it in its own process only.
///
/// A session idle for an hour is closed by a timer. Its secret nonces are wiped then, on `close`, and when the manager goes.
/// Signatures leave only after the journal has made the decision durable.
///
/// When time of day and running time go apart, the machine may be a resumed snapshot, of which another copy runs somewhere: all
/// sessions are closed before any nonce is used, and the call that noticed says `clocksJumped`. The clocks are looked at in each call,
/// and once more right before nonces are made or used.
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
    private let random: @Sendable (Int) -> [UInt8]
    private let wallClock: @Sendable () -> UInt64
    private let names: NonceNames

    private var sessions: [SigningSessionID: Entry] = [:]
    private let clocks: WatchedClocks
    /// How often the clocks had gone apart when all sessions were ended for it the last time.
    private var jumpCount = 0
    private var timer: Task<Void, Never>?

    private struct Entry {
        let cell: SessionCell
        var lastTouched: C.Instant
    }

    /// - Parameters:
    ///   - journal: where decisions to sign are made durable before signatures leave.
    ///   - clock: measures how long a session is idle. It goes on while the machine sleeps.
    ///   - wallClock: the seconds since 1970, against which a request's expiry is held. When it goes more than
    ///     `ClockGuard.driftMax` apart from `clock` between two calls, all sessions are closed.
    ///   - random: gives that many random bytes for ids and names. Nonces never come from here.
    public init(
        policy: any SpendingPolicy, journal: any SessionJournal, clock: C, limits: Limits = Limits(),
        wallClock: @escaping @Sendable () -> UInt64 = { WallClock.secondsSince1970 },
        random: @escaping @Sendable (Int) -> [UInt8] = { SystemRandom.bytes(count: $0) }
    ) {
        self.policy = policy
        self.journal = journal
        self.clock = clock
        let start = clock.now
        self.clocks = WatchedClocks { (.seconds(Int64(clamping: wallClock())), start.duration(to: clock.now)) }
        self.limits = limits
        self.wallClock = wallClock
        self.random = random
        self.names = NonceNames(random: random)
    }

    deinit { self.timer?.cancel() }

    /// Open sessions.
    public var activeSessionCount: Int { self.sessions.count }

    // MARK: The described calls

    /// Opens a session for the transaction's inputs that spend coins of this manager's policy.
    ///
    /// - Parameters:
    ///   - coins: the output that each input spends, in order.
    ///   - requestID: sets two requests for one transaction apart, and is the same at all signers: `SigningRequest.randomID()`, drawn
    ///     by who asks. Who goes on after a restart gives the same id, and the next attempt's number where this one was decided.
    ///   - signers: the set that will sign; needed for k-of-n, where the set is chosen first.
    ///   - sighashTypes: one for each input; `DEFAULT` everywhere when left out.
    ///   - expiry: seconds since 1970 after which nothing new is signed, the same at all signers; 0 for never.
    public func createSigningSession(
        _ transaction: Transaction, coins: [TransactionOutput], requestID: Bytes32, signers: [PublicKey]? = nil,
        sighashTypes: [SighashType]? = nil, expiry: UInt64 = 0, attempt: UInt32 = 1
    ) throws(SigningError) -> SigningSessionID {
        try self.lookAtClocks()
        guard self.sessions.count < self.limits.sessionCountMax else { throw .tooManySessions(limit: self.limits.sessionCountMax) }
        let request = try SigningRequest(
            transaction: transaction, prevouts: coins, sighashTypes: sighashTypes, policyDigest: self.policy.digest, expiry: expiry,
            id: requestID)
        let plan = try SigningPlan(request: request, under: self.policy, set: signers)
        let id = SigningSessionID(bytes: self.random(16))
        let cell = SessionCell(
            SigningSession(plan: plan, attempt: attempt), plan: plan, journal: self.journal, names: self.names, wallClock: self.wallClock,
            clocks: self.clocks, jumpCount: self.jumpCount)
        self.sessions[id] = Entry(cell: cell, lastTouched: self.clock.now)
        self.startTimer()
        return id
    }

    /// What the session's signatures are for. Its digest, T0, is what a journal keeps records under.
    public func request(_ id: SigningSessionID) throws(SigningError) -> SigningRequest { try self.touch(id).plan.request }

    /// Round 1: makes the signer's nonces for all inputs, or gives again the ones it made before.
    ///
    /// - Throws: `attemptDecided` when the journal holds the signer's decision already, as after a restart: to send it again, add all
    ///   nonces of the attempt, our own old ones among them, and `sign`; otherwise begin the next attempt. `expired`.
    public func generateNonces(_ id: SigningSessionID, for key: borrowing SecretKey) async throws(SigningError) -> NonceSet {
        let cell = try self.touch(id)
        do { return try await cell.generateNonces(for: key) } catch { throw self.noting(error) }
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
    ///
    /// - Throws: `missingNonces`, `noOwnNonces`, `expired` for a request whose time is over and that was not decided before, `journal`.
    public func sign(_ id: SigningSessionID, with key: borrowing SecretKey) async throws(SigningError) -> SignatureShares {
        let cell = try self.touch(id)
        do { return try await cell.sign(with: key) } catch { throw self.noting(error) }
    }

    /// Fixes the transcript without signing: for a process without a key that collects the shares and finishes.
    ///
    /// - Throws: `missingNonces`.
    public func fixTranscript(_ id: SigningSessionID) async throws(SigningError) { try await self.touch(id).fixTranscript() }

    /// What the shares rest on, T1; `nil` before a signer of this process has signed or `fixTranscript` was called.
    public func transcript(_ id: SigningSessionID) async throws(SigningError) -> Bytes32? {
        await (try self.touch(id)).transcript
    }

    /// Takes another signer's shares, before or after this process has signed.
    ///
    /// - Throws: `differentTranscript` when the sender saw other nonces: the next attempt is due, and nobody is to blame.
    @discardableResult
    public func addPartialSignatures(
        _ id: SigningSessionID, _ shares: SignatureShares, from signer: PublicKey
    ) async throws(SigningError) -> SigningSession.Outcome {
        try await self.touch(id).add(shares, from: signer)
    }

    /// Signers whose shares came and rest on other nonces than those that stand here: with them only the next attempt can finish.
    public func signersOfOtherTranscripts(_ id: SigningSessionID) async throws(SigningError) -> [PublicKey] {
        await (try self.touch(id)).signersOfOtherTranscripts
    }

    /// The signed transaction, or `nil` while signatures are missing.
    ///
    /// - Throws: `invalidPartialSignatures` with everybody who is to blame when the signatures do not add up: the next attempt is due,
    ///   without all of them.
    public func tryFinalize(_ id: SigningSessionID) async throws(SigningError) -> Transaction? {
        try await self.touch(id).tryFinalize()
    }

    /// Whose contributions are still awaited: nonces, then partial signatures.
    public func missing(_ id: SigningSessionID) async throws(SigningError) -> (nonces: [PublicKey], partialSignatures: [PublicKey]) {
        await (try self.touch(id)).missing
    }

    /// Ends a session and wipes its secret nonces. Closing an unknown session does nothing.
    public func close(_ id: SigningSessionID) async { await self.sessions.removeValue(forKey: id)?.cell.close() }

    /// Ends all sessions: after the machine was suspended or resumed from a snapshot, for one. Nonces made from now on have names of
    /// a new incarnation, so that a copy of this process never gives other nonces under the same names.
    ///
    /// A call that waits for the journal at that moment signs nothing any more. What was signed before is still released once the
    /// journal has it: a copy of this process can release nothing else, for the nonce is spent.
    public func closeAll() async {
        for entry in self.revokeAll() { await entry.cell.close() }
    }

    /// Lets go of all sessions, none of which signs anything from now on. Their nonces are wiped with their last owner.
    @discardableResult
    private func revokeAll() -> [Entry] {
        self.names.beginIncarnation()
        let entries = Array(self.sessions.values)
        self.sessions = [:]
        // All of them before the first wait: closing one after the other leaves the last ones time to sign.
        for entry in entries { entry.cell.revoke() }
        return entries
    }

    // MARK: Clocks

    private func lookAtClocks() throws(SigningError) {
        guard self.endSessionsAfterJump() else { return }
        throw .clocksJumped
    }

    /// Ends all sessions if the clocks have gone apart since that was done last. Whether it was so.
    private func endSessionsAfterJump() -> Bool {
        let jumpCount = self.clocks.countJumps()
        guard jumpCount != self.jumpCount else { return false }
        self.jumpCount = jumpCount
        self.revokeAll()
        return true
    }

    /// What one session noticed ends them all.
    private func noting(_ error: SigningError) -> SigningError {
        if error == .clocksJumped { _ = self.endSessionsAfterJump() }
        return error
    }

    // MARK: Idle expiry

    private func touch(_ id: SigningSessionID) throws(SigningError) -> SessionCell {
        try self.lookAtClocks()
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
