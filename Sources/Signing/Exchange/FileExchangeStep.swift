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
        self.lastStepAt = now
        // Before everything else, a finished transaction included: it must not be overlooked.
        if self.reusers.contains(self.signer) { return self.end(.fail(.nonceReused(self.signer))) }
        if let transaction = self.finalTransaction { return self.end(.complete(transaction)) }
        if self.isKeyInUseElsewhere { return self.end(.fail(.keyInUseElsewhere(self.signer))) }
        if let (actions, error) = self.stopForNetwork(now: now, identity: identity) {
            return error.map { self.end(.fail($0)) } ?? self.takeNotices() + actions
        }

        var actions: [ExchangeAction] = []
        if now >= self.nextBeatAt { actions.append(self.beat(now: now, identity: identity)) }
        // What was decided before an error, evidence above all, is carried out all the same.
        do { try self.follow(now: now, key: key, identity: identity, &actions) } catch { return actions + self.end(.fail(error)) }
        // What following the attempt found out may call for the next one at once.
        if self.reusers.contains(self.signer) { return actions + self.end(.fail(.nonceReused(self.signer))) }
        if let transaction = self.finalTransaction { return actions + self.end(.complete(transaction)) }
        actions += self.takeNotices()
        let overtime = now - startedAt - self.configuration.timeLimit
        guard overtime >= .zero else { return actions }
        // What is under way ends, even in a visit of no time at all; but others cannot keep this process going by one new attempt
        // after the other.
        let mayGoOn = actions.contains {
            $0.weight == .contribution || ($0.weight == .beginning && overtime < self.configuration.awayAfter)
        }
        if mayGoOn { return actions }
        let progress = self.progress(now: now)
        let error =
            self.networkError(awaiting: progress.missing)
            ?? .timedOut(stage: progress.stage, missing: progress.missing, needed: progress.neededCount)
        return actions.filter { $0.weight == .notice } + self.end(.fail(error))
    }

    /// The outcome of a `create`.
    public mutating func created(_ path: ExchangePath, _ wasCreated: Bool) {
        switch path {
        case .set(let attempt):
            self.proposing = nil
            // Something is there, perhaps not to be read at all: it counts like a file that cannot be used until it can.
            if !wasCreated { self.markUnusable(attempt, isSigned: false, now: self.lastStepAt) }
        case .nonces(let attempt, _):
            guard let current, current.number == attempt, current.role == .signing(isPublished: false) else { return }
            if wasCreated {
                current.role = .signing(isPublished: true)
            } else {
                // Garbage, or another process with our key: what `observe` finds in the file tells.
                current.fail("something stands already where this signer's nonces belong")
                current.nextAttemptAt = self.lastStepAt + self.configuration.beat
            }
        case .presence, .partialSignatures, .final, .evidence: break
        }
    }

    /// The record is durable: its signatures may leave.
    public mutating func recorded(_ record: BurnRecord) {
        guard let current, current.number == record.attempt, current.role == .recording,
            let partials = try? current.session.release(record).partialSignatures
        else { return }
        self.records[record.attempt] = record
        current.ownPartials = partials.map(\.bytes.bytes)
        current.role = .signed
    }

    /// Says goodbye: this process is about to leave the folder.
    public mutating func leave() -> [ExchangeAction] {
        self.outcome = .over
        if let current = self.current { self.lastAttempt = (current.number, current.plan.signers) }
        self.current = nil
        // The presence file is the other process's.
        return self.isKeyInUseElsewhere ? [] : [.remove(.presence(self.signer))]
    }

    // MARK: Presence

    private mutating func beat(now: Duration, identity: borrowing Ed25519.SecretKey) -> ExchangeAction {
        self.beatCount += 1
        self.nextBeatAt = now + self.configuration.beat
        return self.presence(identity: identity)
    }

    func presence(identity: borrowing Ed25519.SecretKey) -> ExchangeAction {
        let statement = Statement(
            .presence(incarnation: self.incarnation, beat: self.beatCount, sees: self.strangerSeen), request: self.requestDigest,
            attempt: 0, enrolment: self.enrolment, identity: identity)
        return .write(.presence(self.signer), statement.serialized())
    }

    /// Signers whose processes are here, as far as can be seen.
    func present(now: Duration) -> Set<PublicKey> {
        var present = Set(self.presences.filter { now - $0.value.seenAt < self.configuration.awayAfter }.keys)
        present.insert(self.signer)
        return present.subtracting(self.excluded)
    }

    // MARK: Attempts

    private mutating func follow(
        now: Duration, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey, _ actions: inout [ExchangeAction]
    ) throws(ExchangeError) {
        let standing = self.standing(now: now)
        self.judgeContradictions()
        guard let (number, set) = standing.chosen else {
            actions += self.takeFaults()
            return actions += try self.propose(standing.next, now: now, identity: identity)
        }
        if self.current?.number != number {
            // Nonces of an older attempt go with it.
            self.current = nil
            try self.begin(number, set: set, now: now, &actions)
        }
        guard let current else { return }
        actions += self.takeFaults()
        if current.failure == nil {
            try self.advance(current, now: now, key: key, identity: identity, &actions)
            if now - (self.startedAt ?? now) < self.configuration.timeLimit { self.mend(current, &actions) }
        }
        self.spoilt = []
        actions += self.takeFaults()
        guard self.finalTransaction == nil else { return }
        if current.failure != nil ? now >= current.nextAttemptAt : self.isStuck(current, now: now) {
            actions += try self.propose(standing.next, now: now, identity: identity)
        }
    }

    private mutating func begin(
        _ number: UInt32, set: [PublicKey], now: Duration, _ actions: inout [ExchangeAction]
    ) throws(ExchangeError) {
        let plan: SigningPlan
        do { plan = try SigningPlan(request: self.request, under: self.policy, set: set) } catch { throw .signing(error) }
        let areNoncesThere = !(self.attempts[number]?.nonces[self.signer] ?? []).isEmpty
        let role: CurrentAttempt.Role
        var failure: String?
        if !set.contains(self.signer) {
            role = .watching
        } else if self.records[number] != nil {
            role = .replaying
            // In another folder, or when somebody cleared this one, the recorded signatures fit nothing that is there.
            if !areNoncesThere { failure = "the nonces of this signer's recorded signatures are not in the folder" }
        } else if areNoncesThere {
            // Ours, from a process that is gone. Unless it signed with them and the folder has the signatures, they are lost.
            role = .watching
            if self.attempts[number]?.partials[self.signer] == nil {
                failure = "the nonces that this signer gave before are gone with their process"
            }
        } else {
            role = .signing(isPublished: false)
        }
        if let culprit = set.first(where: self.excluded.contains) { failure = "its set names signer \(culprit), whose fault was found" }
        let current = CurrentAttempt(number: number, plan: plan, role: role, now: now)
        if let failure { current.fail(failure) }
        // Ours, and made after we began to make our own: another process with our key runs. Until the alarm is sure, attempts do not race.
        if areNoncesThere, failure != nil, self.nonceCounter > 0 { current.nextAttemptAt = now + self.configuration.beat }
        self.current = current
        if number > 1 || failure != nil { actions.append(.say(.attemptBegun(number, reason: failure ?? "fresh nonces"))) }
        if role == .replaying, failure == nil { actions.append(.say(.repeatedRecordedSignatures(attempt: number))) }
        self.forgetContributions()
    }

    /// Attempts whose contributions are kept beside the newest, for contradictions that arrive late.
    private static let keptAttemptCount: UInt32 = 8

    /// Whether the attempt was over so long ago that nothing of it is kept.
    func isForgotten(_ attempt: UInt32) -> Bool { attempt + Self.keptAttemptCount < self.current?.number ?? 0 }

    private mutating func forgetContributions() {
        for old in self.attempts.keys where self.isForgotten(old) { self.attempts[old]?.forgetContributions() }
    }

    // MARK: One attempt

    private mutating func advance(
        _ current: CurrentAttempt, now: Duration, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey,
        _ actions: inout [ExchangeAction]
    ) throws(ExchangeError) {
        if current.role == .signing(isPublished: false), !current.session.localSigners.contains(self.signer) {
            actions.append(try self.makeNonces(current, key: key, identity: identity))
        }
        self.takeNonces(current)
        guard current.failure == nil, current.session.missingNonces.isEmpty else { return }
        switch current.role {
        case .signing(isPublished: true):
            guard self.attempts[current.number]?.partials[self.signer] == nil else { return self.giveUpNonces(current) }
            do { actions.append(.record(try current.session.sign(with: key))) } catch { throw .signing(error) }
            current.role = .recording
        case .replaying: self.replay(current)
        case .signed, .watching:
            do { try current.session.fixTranscript() } catch { throw .signing(error) }
        case .signing(isPublished: false), .recording: break
        }
        if current.role == .signed { actions += self.publishPartials(current, identity: identity) }
        self.takePartials(current)
        guard current.failure == nil, current.role != .recording, current.session.missingPartialSignatures.isEmpty else { return }
        actions += self.finish(current)
    }

    private mutating func makeNonces(
        _ current: CurrentAttempt, key: borrowing SecretKey, identity: borrowing Ed25519.SecretKey
    ) throws(ExchangeError) -> ExchangeAction {
        self.nonceCounter += 1
        let set: NonceSet
        do {
            set = try current.session.generateNonces(for: key, name: NonceName(known: self.incarnation, counter: self.nonceCounter))
        } catch { throw .signing(error) }
        let statement = Statement(
            .nonces(set.name, set.nonces.map(\.bytes)), request: self.requestDigest, attempt: current.number, enrolment: self.enrolment,
            identity: identity)
        current.usedNonces[self.signer] = statement
        // Created, never replaced: two processes with one key must not both believe that their nonces stand.
        return .create(.nonces(attempt: current.number, self.signer), Self.encoded(statement, current.plan))
    }

    private mutating func takeNonces(_ current: CurrentAttempt) {
        guard let files = self.attempts[current.number]?.nonces else { return }
        for signer in current.plan.signers where !(current.session.localSigners.contains(signer)) {
            let statements = files[signer] ?? []
            let takenCount = current.takenNonceCounts.updateValue(statements.count, forKey: signer) ?? 0
            for nonces in statements.dropFirst(takenCount) {
                do {
                    // Once the attempt has failed, its session may be closed; what is no nonce is found all the same.
                    guard let set = try nonces.nonceSet(), current.failure == nil else { continue }
                    switch try current.session.add(set, from: signer) {
                    case .added, .replaced: current.usedNonces[signer] = nonces.statement
                    case .repeated, .ignored, .waiting: break
                    }
                } catch {
                    // Two contents under one name are judged from the statements themselves.
                    if case .conflictingNonces = error { continue }
                    self.blame(signer, "\(error)", current, statements: [nonces.statement])
                }
            }
        }
    }

    private mutating func takePartials(_ current: CurrentAttempt) {
        guard let transcript = current.session.transcriptDigest else { return }
        for signer in current.plan.signers where signer != self.signer || current.role == .watching {
            let statements = self.attempts[current.number]?.partials[signer] ?? []
            guard current.usedPartials[signer] == nil, !statements.isEmpty else { continue }
            // The first that fits counts: no later one can spoil what is already here.
            guard let statement = statements.first(where: { $0.isPartialSignature(under: transcript) }) else {
                // It saw other nonces than we, or says so: whose doing that is, nobody can tell from here.
                self.distrust(signer, "it signed for other nonces than those in the folder", current)
                continue
            }
            do {
                guard let partials = try statement.partialSignatures() else { continue }
                _ = try current.session.add(SignatureShares(transcript: transcript, partialSignatures: partials), from: signer)
                current.usedPartials[signer] = statement
            } catch {
                self.blame(signer, "\(error)", current, statements: [statement])
            }
        }
    }

    /// Our decision from before this process, if the nonces in the folder are still those it rests on.
    private mutating func replay(_ current: CurrentAttempt) {
        guard let record = self.records[current.number] else { return }
        do { try current.session.fixTranscript() } catch { return current.fail("\(error)") }
        guard current.session.transcriptDigest == record.transcript else {
            return current.fail("the nonces in the folder are not those that our recorded signatures rest on")
        }
        _ = try? current.session.add(record.shares, from: self.signer)
        current.ownPartials = record.partialSignatures.map(\.bytes.bytes)
        current.role = .signed
    }

    private mutating func publishPartials(_ current: CurrentAttempt, identity: borrowing Ed25519.SecretKey) -> [ExchangeAction] {
        guard current.usedPartials[self.signer] == nil, let partials = current.ownPartials,
            let transcript = current.session.transcriptDigest
        else { return [] }
        let statement = Statement(
            .partialSignatures(transcript: transcript, partials), request: self.requestDigest, attempt: current.number,
            enrolment: self.enrolment, identity: identity)
        current.usedPartials[self.signer] = statement
        guard self.attempts[current.number]?.partials[self.signer]?.contains(statement) != true else { return [] }
        self.attempts[current.number, default: AttemptFiles()].addPartials(statement)
        self.judgeReuse(in: current.number, by: self.signer)
        // Replacing is harmless: the bytes are the same whenever they are written.
        return [.write(.partialSignatures(attempt: current.number, self.signer), Self.encoded(statement, current.plan))]
    }

    /// Writes our own files again where something else was found in them. Another process with our key is told apart by its name.
    private func mend(_ current: CurrentAttempt, _ actions: inout [ExchangeAction]) {
        let isPublished = current.role != .signing(isPublished: false) && current.session.localSigners.contains(self.signer)
        let nonces = ExchangePath.nonces(attempt: current.number, self.signer)
        if isPublished, self.spoilt.contains(nonces), let statement = current.usedNonces[self.signer] {
            actions.append(.write(nonces, Self.encoded(statement, current.plan)))
        }
        let partials = ExchangePath.partialSignatures(attempt: current.number, self.signer)
        if current.role == .signed, self.spoilt.contains(partials), let statement = current.usedPartials[self.signer] {
            actions.append(.write(partials, Self.encoded(statement, current.plan)))
        }
    }

    private mutating func finish(_ current: CurrentAttempt) -> [ExchangeAction] {
        do {
            guard let transaction = try current.session.tryFinalize() else { return [] }
            self.finalTransaction = transaction
            let bytes = Array("\(Hex.encode(transaction.serialized()))\n".utf8)
            // Replaced, whatever is there: a false file is none that anybody needs, and a true one has the same transaction.
            return [.write(.final, bytes)]
        } catch {
            self.blameForBadPartialSignatures(current)
            if current.failure == nil { current.fail("\(error)") }
            return []
        }
    }

    // MARK: The end

    private mutating func end(_ action: ExchangeAction) -> [ExchangeAction] {
        self.takeNotices() + [action] + self.leave()
    }

    mutating func takeNotices() -> [ExchangeAction] {
        let notices = self.notices
        self.notices = []
        return notices.map { .say($0) }
    }

    /// A statement that this process makes always fits: its contributions were just made for this plan.
    static func encoded(_ statement: Statement, _ plan: SigningPlan) -> [UInt8] {
        guard let bytes = try? StatementPSBT.encode(statement, plan: plan) else {
            preconditionFailure("a request that was accepted can be written as a PSBT")
        }
        return bytes
    }
}

// MARK: - Weight

extension ExchangeAction {
    fileprivate enum Weight { case notice, beginning, contribution }

    /// What is lost when the action is not carried out.
    fileprivate var weight: Weight {
        switch self {
        case .say, .write(.presence, _): .notice
        case .create(.set, _), .create(.nonces, _): .beginning
        case .write, .create, .record, .remove, .complete, .fail: .contribution
        }
    }
}
