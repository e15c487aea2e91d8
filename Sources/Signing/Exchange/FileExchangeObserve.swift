internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

// What the folder says. Only signed statements count; the BIP-373 fields beside them are for other wallets, and whoever changes
// those changes nothing here.

extension FileExchange {
    /// Most attempts ahead of the ones that are known whose files are kept: a file may come before the one that names its set.
    public static let attemptLookahead: UInt32 = 16

    /// How much of a file to read, in bytes; `nil` for one that is not to be read at all: no member's, or of an attempt that is over or
    /// too far ahead.
    ///
    /// Costs no more than reading the path. Ask again at every look: the attempts become known one after the other.
    public func wants(_ path: String) -> Int? { ExchangePath(path).flatMap { self.byteCountMax(of: $0) } }

    private func byteCountMax(of path: ExchangePath) -> Int? {
        switch path {
        case .presence(let signer): self.members.contains(signer) ? Statement.byteCountMax : nil
        case .set(let attempt): self.isWithinReach(attempt) ? ExchangeFile.byteCountMax : nil
        case .nonces(let attempt, let signer), .partialSignatures(let attempt, let signer):
            self.members.contains(signer) && self.isWithinReach(attempt) && !self.isForgotten(attempt) ? ExchangeFile.byteCountMax : nil
        // In hex, with an end of line.
        case .final: 2 * Transaction.byteCountMax + 2
        case .evidence(let signer):
            self.members.contains(signer) && signer != self.signer && !self.excluded.contains(signer) ? Evidence.byteCountMax : nil
        }
    }

    private func isWithinReach(_ attempt: UInt32) -> Bool { attempt <= self.attemptCount + Self.attemptLookahead }

    /// Takes in a file that is new or has changed since it was last given. What cannot be used is ignored, with a notice; what is not
    /// wanted (`wants`) is not looked at, and to be given again once it is.
    public mutating func observe(_ file: ExchangeFile, now: Duration) {
        guard let path = ExchangePath(file.path), let limit = self.byteCountMax(of: path) else { return }
        guard file.bytes.count <= limit else {
            return self.ignore(file, "\(file.bytes.count) bytes are more than any file of an exchange has")
        }
        switch path {
        case .presence(let signer): self.observePresence(file, of: signer, now: now)
        case .set(let attempt): self.observeSet(file, attempt: attempt, now: now)
        case .nonces(let attempt, let signer): self.observeNonces(file, attempt: attempt, signer: signer)
        case .partialSignatures(let attempt, let signer): self.observePartials(file, attempt: attempt, signer: signer)
        case .final: self.observeFinal(file)
        case .evidence(let signer): self.observeEvidence(file, against: signer)
        }
    }

    private mutating func observePresence(_ file: ExchangeFile, of signer: PublicKey, now: Duration) {
        guard let statement = self.statement(file, from: signer, attempt: 0, { try Statement(parsing: $0) }) else { return }
        guard case .presence(let incarnation, let beat, let other) = statement.body else {
            return self.ignore(file, "its name and its content disagree")
        }
        self.otherNetworks[signer] = nil
        if signer == self.signer { self.noteOwnPresence(incarnation, beat, sees: other) }
        guard var presence = self.presences[signer] else {
            self.presences[signer] = Presence(incarnation: incarnation, beat: beat, seenAt: now)
            return
        }
        if presence.incarnation == incarnation {
            guard beat > presence.beat else { return }
        } else {
            guard !presence.past.contains(incarnation), presence.past.count < Presence.pastCountMax else { return }
            presence.past.insert(presence.incarnation)
            presence.incarnation = incarnation
        }
        presence.beat = beat
        presence.seenAt = now
        self.presences[signer] = presence
    }

    private mutating func observeSet(_ file: ExchangeFile, attempt: UInt32, now: Duration) {
        if case .chosen = self.attempts[attempt]?.set { return }
        guard let statement = self.statement(file, from: nil, attempt: attempt, { try StatementPSBT.decode($0) }) else {
            return self.markUnusable(attempt, isSigned: self.isForOtherNetwork(file, attempt: attempt), now: now)
        }
        guard case .set(let keys) = statement.body,
            let plan = try? SigningPlan(request: self.request, under: self.policy, set: keys), plan.signers == keys
        else {
            self.ignore(file, "signer \(statement.sender) names a set that cannot sign here")
            return self.markUnusable(attempt, isSigned: true, now: now)
        }
        guard self.configuration.set.map({ $0 == keys }) ?? true else {
            self.ignore(file, "it names another set than the agreed one")
            return self.markUnusable(attempt, isSigned: false, now: now)
        }
        self.attempts[attempt, default: AttemptFiles()].set = .chosen(keys)
        self.judgeReuse(in: attempt)
        self.countAttempts()
    }

    private mutating func countAttempts() {
        while self.attempts[self.attemptCount + 1]?.set != nil { self.attemptCount += 1 }
    }

    mutating func markUnusable(_ attempt: UInt32, isSigned: Bool, now: Duration) {
        switch self.attempts[attempt]?.set {
        case .chosen?: return
        case .unusable(let since, let wasSigned)?:
            self.attempts[attempt, default: AttemptFiles()].set = .unusable(since: since, isSigned: isSigned || wasSigned)
        case nil: self.attempts[attempt, default: AttemptFiles()].set = .unusable(since: now, isSigned: isSigned)
        }
        self.countAttempts()
    }

    private mutating func observeNonces(_ file: ExchangeFile, attempt: UInt32, signer: PublicKey) {
        guard let statement = self.statement(file, from: signer, attempt: attempt, { try StatementPSBT.decode($0) }) else {
            if signer == self.signer { self.spoilt.insert(.nonces(attempt: attempt, signer)) }
            return
        }
        guard case .nonces(let name, let items) = statement.body else { return self.ignore(file, "its name and its content disagree") }
        if signer == self.signer { self.noteOwnNonces(statement, name) }
        let standing = self.attempts[attempt]?.nonces[signer] ?? []
        guard !standing.contains(where: { $0.statement == statement }) else { return }
        guard standing.count < AttemptFiles.statementCountMax else { return self.ignore(file, "its sender changed it too often") }
        for other in standing.map(\.statement) {
            guard case .nonces(name, let others) = other.body, items != others else { continue }
            self.contradictions.append((other, statement))
        }
        // Who changes its nonces within one attempt makes the others sign for different ones. An honest signer does
        // so at most when it was started again before its first nonces reached its own copy of the folder.
        if !standing.isEmpty { self.doubt(signer, by: 2) }
        self.attempts[attempt, default: AttemptFiles()].nonces[signer, default: []].append(ReceivedNonces(statement))
        self.judgeReuse(in: attempt)
    }

    private mutating func observePartials(_ file: ExchangeFile, attempt: UInt32, signer: PublicKey) {
        guard let statement = self.statement(file, from: signer, attempt: attempt, { try StatementPSBT.decode($0) }) else {
            if signer == self.signer { self.spoilt.insert(.partialSignatures(attempt: attempt, signer)) }
            return
        }
        guard case .partialSignatures = statement.body else { return self.ignore(file, "its name and its content disagree") }
        let standing = self.attempts[attempt]?.partials[signer] ?? []
        guard !standing.contains(statement) else { return }
        guard standing.count < AttemptFiles.statementCountMax else { return self.ignore(file, "its sender changed it too often") }
        self.attempts[attempt, default: AttemptFiles()].addPartials(statement)
        self.judgeReuse(in: attempt, by: signer)
    }

    private mutating func observeFinal(_ file: ExchangeFile) {
        guard let text = String(validating: file.bytes, as: UTF8.self),
            let bytes = try? Hex.decode(text.filter { !$0.isWhitespace }), let transaction = try? Transaction(parsing: bytes)
        else { return self.ignore(file, "it is no transaction in hex") }
        guard self.request.isSatisfied(by: transaction, spending: self.policy.scriptPubKey) else {
            return self.ignore(file, "it is not this request's transaction with valid signatures")
        }
        // Witnesses of others' inputs were not judged: they are not taken over.
        var own = self.request.transaction
        for (index, coin) in self.request.prevouts.enumerated() where coin.scriptPubKey == self.policy.scriptPubKey {
            own.inputs[index].witness = transaction.inputs[index].witness
        }
        self.finalTransaction = own
    }

    /// What another process proved holds here too, once it is checked: the statements in it need not be in the folder any more.
    private mutating func observeEvidence(_ file: ExchangeFile, against signer: PublicKey) {
        let evidence: Evidence
        do { evidence = try Evidence(parsing: file.bytes) } catch { return self.ignore(file, "\(error)") }
        guard evidence.request == self.request, case .proved(signer, let fault) = evidence.verdict() else {
            return self.ignore(file, "it proves nothing against signer \(signer) in this request")
        }
        self.faults.append(Fault(signer: signer, problem: "\(fault)", proof: .standsInFolder))
    }

    /// Reads a signed statement and checks that it is about this request and from a member.
    private mutating func statement(
        _ file: ExchangeFile, from signer: PublicKey?, attempt: UInt32, _ read: ([UInt8]) throws -> Statement
    ) -> Statement? {
        let statement: Statement
        do { statement = try read(file.bytes) } catch {
            self.ignore(file, "\(error)")
            return nil
        }
        guard statement.request == self.requestDigest, statement.attempt == attempt else {
            self.ignore(file, "it is about another request or attempt")
            return nil
        }
        guard self.members.contains(statement.sender), signer.map({ $0 == statement.sender }) ?? true else {
            self.ignore(file, "it is from signer \(statement.sender), who has no place here")
            return nil
        }
        guard statement.enrolment.network == self.enrolment.network else {
            self.noteOtherNetwork(statement)
            return nil
        }
        return statement
    }

    /// Says so once: a presence file that cannot be used is written again every two seconds.
    private mutating func ignore(_ file: ExchangeFile, _ reason: String) {
        guard self.ignored.updateValue(reason, forKey: file.path) != reason else { return }
        self.notices.append(.ignored(path: file.path, reason: reason))
    }
}
