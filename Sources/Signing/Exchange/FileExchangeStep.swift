internal import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

// What follows from what the folder says: the actions of one step.

extension FileExchange {
    /// Decides what to do now. Call it after every look at the folder, and after `created` and `recorded`.
    ///
    /// - Parameters:
    ///   - now: time since any fixed moment, from a clock that never goes back.
    ///   - key: this signer's key.
    ///   - identity: the identity that speaks for it.
    public mutating func step(
        now: Duration, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) -> [ExchangeAction] {
        guard self.outcome == .running else { return [] }
        let startedAt = self.startedAt ?? now
        self.startedAt = startedAt
        if let transaction = self.finalTransaction { return self.end(.complete(transaction)) }
        if self.isKeyInUseElsewhere { return self.end(.fail(.keyInUseElsewhere(self.signer))) }

        var actions: [ExchangeAction] = []
        if now >= self.nextBeatAt { actions.append(self.beat(now: now, identity: identity)) }
        do { actions += try self.follow(now: now, key: key, identity: identity) } catch { return actions + self.end(.fail(error)) }
        // What following the attempt found out may call for the next one at once.
        if let transaction = self.finalTransaction { return actions + self.end(.complete(transaction)) }
        actions += self.takeNotices()
        if now - startedAt >= self.configuration.timeLimit, actions.allSatisfy(\.isNotice) {
            let progress = self.progress(now: now)
            return actions + self.end(.fail(.timedOut(stage: progress.stage, missing: progress.missing)))
        }
        return actions
    }

    /// The outcome of a `create`.
    public mutating func created(_ path: ExchangePath, _ wasCreated: Bool) {
        switch path {
        case .set: self.proposing = nil
        case .nonces(let attempt, _):
            guard let current, current.number == attempt, current.role == .signing(isPublished: false) else { return }
            if wasCreated {
                current.role = .signing(isPublished: true)
            } else {
                // The name holds our key, and we looked before: somebody else with our key was faster.
                current.failure = "our nonces' file was written by another process"
                self.isOutpaced = true
            }
        case .presence, .partialSignatures, .final, .evidence: break
        }
    }

    /// The record is durable: its signatures may leave.
    public mutating func recorded(_ record: BurnRecord) {
        guard let current, current.number == record.attempt, current.role == .recording,
            let partials = try? current.session.release(record)
        else { return }
        self.records[record.attempt] = record
        current.ownPartials = partials.map(\.bytes.bytes)
        current.role = .signed
    }

    /// Throws away the nonces that have not signed yet, and begins the next attempt: the machine's clocks jumped, so that a copy of
    /// its memory may be running elsewhere.
    public mutating func discardNonces() {
        guard let current, current.role == .signing(isPublished: true) || current.role == .signing(isPublished: false) else { return }
        current.session.close()
        current.failure = "the clocks of this machine jumped, so its nonces were thrown away"
    }

    /// Says goodbye: this process is about to leave the folder.
    public mutating func leave() -> [ExchangeAction] {
        self.outcome = .over
        self.current = nil
        return [.remove(.presence(self.signer))]
    }

    // MARK: Presence

    private var isKeyInUseElsewhere: Bool {
        if self.isOutpaced { return true }
        guard self.beatCount > 0, let own = self.presences[self.signer] else { return false }
        return own.incarnation != self.incarnation && !own.ancestors.contains(own.incarnation)
    }

    private mutating func beat(now: Duration, identity: borrowing Ed25519.SecretKey) -> ExchangeAction {
        self.beatCount += 1
        self.nextBeatAt = now + self.configuration.beat
        let statement = Statement(
            .presence(incarnation: self.incarnation, beat: self.beatCount), request: self.requestDigest, attempt: 0,
            enrolment: self.enrolment, identity: identity)
        return .write(.presence(self.signer), statement.serialized())
    }

    /// Signers whose processes are here, as far as can be seen.
    func present(now: Duration) -> Set<PublicKey> {
        var present = Set(self.presences.filter { now - $0.value.seenAt < self.configuration.awayAfter }.keys)
        present.insert(self.signer)
        return present.subtracting(self.excluded)
    }

    // MARK: Attempts

    /// The newest attempt that was begun, counted without a gap, and whether its set can be used.
    private func newestAttempt(now: Duration) -> (number: UInt32, set: [PublicKey]?)? {
        var newest: (UInt32, [PublicKey]?)?
        var number: UInt32 = 1
        while let file = self.attempts[number]?.set {
            switch file {
            case .chosen(let set): newest = (number, set)
            case .unusable(let since):
                guard now - since >= self.configuration.awayAfter || self.attempts[number + 1]?.set != nil else { return newest }
                newest = (number, nil)
            }
            number += 1
        }
        return newest
    }

    private mutating func follow(
        now: Duration, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) throws(ExchangeError) -> [ExchangeAction] {
        guard let newest = self.newestAttempt(now: now) else { return try self.propose(1, now: now, identity: identity) }
        guard let set = newest.set else { return try self.propose(newest.number + 1, now: now, identity: identity) }
        var actions: [ExchangeAction] = []
        if self.current?.number != newest.number {
            // Nonces of an older attempt go with it.
            self.current = nil
            actions += try self.begin(newest.number, set: set)
        }
        guard let current else { return actions }
        if current.failure == nil { actions += try self.advance(current, key: key, identity: identity) }
        actions += self.takeFaults()
        if self.finalTransaction == nil, current.failure != nil || self.isStuck(current, now: now) {
            actions += try self.propose(current.number + 1, now: now, identity: identity)
        }
        return actions
    }

    /// Creates the next attempt's set, unless this process waits for its creation or too few signers are here.
    private mutating func propose(
        _ attempt: UInt32, now: Duration, identity: borrowing Ed25519.SecretKey
    ) throws(ExchangeError) -> [ExchangeAction] {
        guard self.proposing != attempt else { return [] }
        guard attempt <= ExchangePath.attemptMax else { throw .tooManyAttempts(limit: ExchangePath.attemptMax) }
        guard let set = try self.nextSet(now: now) else { return [] }
        let plan: SigningPlan
        do { plan = try PSBTSubject.plan(self.request, under: self.policy, set: set) } catch { throw .signing(error) }
        let statement = Statement(
            .set(plan.signers), request: self.requestDigest, attempt: attempt, enrolment: self.enrolment, identity: identity)
        self.proposing = attempt
        return [.create(.set(attempt: attempt), Self.encoded(statement, plan))]
    }

    private func nextSet(now: Duration) throws(ExchangeError) -> [PublicKey]? {
        if let set = self.fixedSet {
            guard let culprit = set.first(where: self.excluded.contains) else { return set }
            throw self.fatal(culprit)
        }
        if let set = self.policy.chooseSet(among: self.present(now: now)) { return set }
        // Even all others together could not sign without the excluded.
        guard self.policy.chooseSet(among: Set(self.policy.members).subtracting(self.excluded)) == nil, let culprit = self.excluded.first
        else { return nil }
        throw self.fatal(culprit)
    }

    private func fatal(_ culprit: PublicKey) -> ExchangeError {
        .fault(signer: culprit, problem: self.problems[culprit]?.text ?? "its contribution is bad", evidence: self.problems[culprit]?.file)
    }

    /// Whether a member that is awaited went away while another set could sign.
    private func isStuck(_ current: CurrentAttempt, now: Duration) -> Bool {
        guard self.fixedSet == nil else { return false }
        let present = self.present(now: now)
        let awaited = self.awaited(current)
        guard awaited.contains(where: { !present.contains($0) }), let other = self.policy.chooseSet(among: present) else { return false }
        return other != current.plan.signers
    }

    private func awaited(_ current: CurrentAttempt) -> [PublicKey] {
        let missing = current.session.missingNonces
        return missing.isEmpty ? current.session.missingPartialSignatures : missing
    }

    private mutating func begin(_ number: UInt32, set: [PublicKey]) throws(ExchangeError) -> [ExchangeAction] {
        let plan: SigningPlan
        do { plan = try PSBTSubject.plan(self.request, under: self.policy, set: set) } catch { throw .signing(error) }
        let role: CurrentAttempt.Role
        var failure: String?
        if !set.contains(self.signer) {
            role = .watching
        } else if self.records[number] != nil {
            role = .replaying
        } else if self.attempts[number]?.nonces[self.signer] != nil {
            // Ours, from a process that is gone. Unless it signed with them and the folder has the signatures, they are lost.
            role = .watching
            failure =
                self.attempts[number]?.partials[self.signer] == nil
                ? "the nonces that this signer gave before are gone with their process" : nil
        } else {
            role = .signing(isPublished: false)
        }
        if let culprit = set.first(where: self.excluded.contains) { failure = "its set names signer \(culprit), whose fault was found" }
        let current = CurrentAttempt(number: number, plan: plan, role: role)
        current.failure = failure
        self.current = current
        var notices: [ExchangeAction] = []
        if number > 1 || failure != nil { notices.append(.say(.attemptBegun(number, reason: failure ?? "fresh nonces"))) }
        if role == .replaying { notices.append(.say(.repeatedRecordedSignatures(attempt: number))) }
        return notices
    }

    // MARK: One attempt

    private mutating func advance(
        _ current: CurrentAttempt, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) throws(ExchangeError) -> [ExchangeAction] {
        var actions: [ExchangeAction] = []
        if current.role == .signing(isPublished: false), !current.session.localSigners.contains(self.signer) {
            actions.append(try self.makeNonces(current, key: key, identity: identity))
        }
        self.takeNonces(current)
        guard current.failure == nil, current.session.missingNonces.isEmpty else { return actions }
        switch current.role {
        case .signing(isPublished: true):
            do { actions.append(.record(try current.session.sign(with: key))) } catch { throw .signing(error) }
            current.role = .recording
        case .replaying: actions += self.replay(current, identity: identity)
        case .signed, .watching:
            do { try current.session.fixTranscript() } catch { throw .signing(error) }
        case .signing(isPublished: false), .recording: break
        }
        if current.role == .signed { actions += self.publishPartials(current, identity: identity) }
        self.takePartials(current)
        guard current.failure == nil, current.role != .recording, current.session.missingPartialSignatures.isEmpty else { return actions }
        return actions + self.finish(current)
    }

    private mutating func makeNonces(
        _ current: CurrentAttempt, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) throws(ExchangeError) -> ExchangeAction {
        self.nonceCounter += 1
        let set: NonceSet
        do {
            set = try current.session.generateNonces(for: key, name: NonceName(incarnation: self.incarnation, counter: self.nonceCounter))
        } catch { throw .signing(error) }
        let statement = Statement(
            .nonces(set.name, set.nonces.map(\.bytes)), request: self.requestDigest, attempt: current.number, enrolment: self.enrolment,
            identity: identity)
        // Created, never replaced: two processes with one key must not both believe that their nonces stand.
        return .create(.nonces(attempt: current.number, self.signer), Self.encoded(statement, current.plan))
    }

    private mutating func takeNonces(_ current: CurrentAttempt) {
        for signer in current.plan.signers where !(current.session.localSigners.contains(signer)) {
            guard let statement = self.attempts[current.number]?.nonces[signer] else { continue }
            do {
                guard let set = try statement.nonceSet() else { continue }
                _ = try current.session.add(set, from: signer)
            } catch {
                self.blame(signer, "\(error)", current, statements: [statement], isProof: error.culprit != nil)
            }
        }
    }

    private mutating func takePartials(_ current: CurrentAttempt) {
        guard let transcript = current.session.transcriptDigest else { return }
        for signer in current.plan.signers where signer != self.signer || current.role == .watching {
            guard let statement = self.attempts[current.number]?.partials[signer],
                case .partialSignatures(let theirs, _) = statement.body
            else { continue }
            guard theirs == transcript else {
                // He saw other nonces than we: whose doing that is, nobody can tell from here.
                current.failure = "signer \(signer) signed for other nonces than those in the folder"
                continue
            }
            do {
                guard let partials = try statement.partialSignatures() else { continue }
                _ = try current.session.add(partials, from: signer)
            } catch {
                self.blame(signer, "\(error)", current, statements: [statement], isProof: error.culprit != nil)
            }
        }
    }

    /// Our decision from before this process, if the nonces in the folder are still those it rests on.
    private mutating func replay(_ current: CurrentAttempt, identity: borrowing Ed25519.SecretKey) -> [ExchangeAction] {
        guard let record = self.records[current.number] else { return [] }
        do { try current.session.fixTranscript() } catch {
            current.failure = "\(error)"
            return []
        }
        guard current.session.transcriptDigest == record.transcript else {
            current.failure = "the nonces in the folder are not those that our recorded signatures rest on"
            return []
        }
        _ = try? current.session.add(record.partialSignatures, from: self.signer)
        current.ownPartials = record.partialSignatures.map(\.bytes.bytes)
        current.role = .signed
        return []
    }

    private mutating func publishPartials(_ current: CurrentAttempt, identity: borrowing Ed25519.SecretKey) -> [ExchangeAction] {
        guard let partials = current.ownPartials, let transcript = current.session.transcriptDigest else { return [] }
        let statement = Statement(
            .partialSignatures(transcript: transcript, partials), request: self.requestDigest, attempt: current.number,
            enrolment: self.enrolment, identity: identity)
        guard self.attempts[current.number]?.partials[self.signer] != statement else { return [] }
        self.attempts[current.number, default: AttemptFiles()].partials[self.signer] = statement
        // Replacing is harmless: the bytes are the same whenever they are written.
        return [.write(.partialSignatures(attempt: current.number, self.signer), Self.encoded(statement, current.plan))]
    }

    private mutating func finish(_ current: CurrentAttempt) -> [ExchangeAction] {
        do {
            guard let transaction = try current.session.tryFinalize() else { return [] }
            self.finalTransaction = transaction
            return [.create(.final, Array("\(Hex.encode(transaction.serialized()))\n".utf8))]
        } catch {
            let nonces = current.plan.signers.compactMap { self.attempts[current.number]?.nonces[$0] }
            for (input, signer) in current.session.inquiry?.faultsOneByOne() ?? [] {
                guard let partial = self.attempts[current.number]?.partials[signer] else { continue }
                self.blame(
                    signer, "its partial signature for input \(input) does not verify", current, statements: nonces + [partial],
                    isProof: true)
            }
            current.failure = current.failure ?? "\(error)"
            return []
        }
    }

    // MARK: Faults

    private mutating func blame(
        _ signer: PublicKey, _ problem: String, _ current: CurrentAttempt, statements: [Statement], isProof: Bool
    ) {
        current.failure = "signer \(signer): \(problem)"
        let evidence = isProof ? Evidence(plan: current.plan, attempt: current.number, statements: statements) : nil
        self.faults.append(Fault(signer: signer, problem: problem, evidence: evidence))
    }

    /// Excludes who is at fault, and writes down the proof where there is one.
    private mutating func takeFaults() -> [ExchangeAction] {
        let faults = self.faults
        self.faults = []
        var actions: [ExchangeAction] = []
        for fault in faults where self.excluded.insert(fault.signer).inserted {
            let path = ExchangePath.evidence(fault.signer)
            self.problems[fault.signer] = (fault.problem, fault.evidence == nil ? nil : path.description)
            actions.append(.say(.excluded(fault.signer, reason: fault.problem)))
            if let evidence = fault.evidence { actions.append(.write(path, evidence.serialized())) }
        }
        return actions
    }

    // MARK: The end

    private mutating func end(_ action: ExchangeAction) -> [ExchangeAction] {
        self.takeNotices() + [action] + self.leave()
    }

    private mutating func takeNotices() -> [ExchangeAction] {
        let notices = self.notices
        self.notices = []
        return notices.map { .say($0) }
    }

    /// A statement that this process makes always fits: its contributions were just made for this plan.
    private static func encoded(_ statement: Statement, _ plan: SigningPlan) -> [UInt8] {
        guard let bytes = try? StatementPSBT.encode(statement, plan: plan) else {
            preconditionFailure("a request that was accepted can be written as a PSBT")
        }
        return bytes
    }
}

// MARK: - Progress

extension FileExchange {
    /// Where the exchange stands, and who is awaited.
    public func progress(now: Duration) -> ExchangeProgress {
        guard let current else {
            let present = self.present(now: now)
            return ExchangeProgress(
                stage: self.finalTransaction == nil ? .gatheringSigners : .complete, attempt: 0, set: self.fixedSet ?? [],
                missing: self.policy.members.filter { !present.contains($0) && !self.excluded.contains($0) }, isMember: false,
                hasSigned: false)
        }
        let missingNonces = current.session.missingNonces
        return ExchangeProgress(
            stage: self.finalTransaction != nil ? .complete : missingNonces.isEmpty ? .gatheringSignatures : .gatheringNonces,
            attempt: current.number, set: current.plan.signers, missing: self.awaited(current),
            isMember: current.plan.signers.contains(self.signer), hasSigned: current.role == .signed)
    }
}

extension ExchangeAction {
    fileprivate var isNotice: Bool {
        switch self {
        case .say, .write(.presence, _): true
        case .write, .create, .record, .remove, .complete, .fail: false
        }
    }
}
