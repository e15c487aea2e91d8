internal import CryptoPrimitives
internal import Secp256k1

// Which attempt is next, and who signs in it.

extension FileExchange {
    /// Where the attempts stand, counted without a gap.
    struct Standing {
        /// The newest attempt whose set can be used. A useless file at a later place does not end it.
        var chosen: (number: UInt32, set: [PublicKey])?
        /// The first number without a set; `nil` while the file before it may still be arriving.
        var next: UInt32?
    }

    func standing(now: Duration) -> Standing {
        var chosen: (UInt32, [PublicKey])?
        var number: UInt32 = 1
        while let file = self.attempts[number]?.set {
            switch file {
            case .chosen(let set): chosen = (number, set)
            case .unusable(let since, let isSigned):
                let patience = isSigned ? self.configuration.beat : self.configuration.awayAfter
                guard now - since >= patience || self.attempts[number + 1]?.set != nil else { return Standing(chosen: chosen, next: nil) }
            }
            number += 1
        }
        return Standing(chosen: chosen, next: number)
    }

    /// Creates the next attempt's set, unless this process waits for its creation or too few signers are here.
    mutating func propose(
        _ next: UInt32?, now: Duration, identity: borrowing Ed25519.SecretKey
    ) throws(ExchangeError) -> [ExchangeAction] {
        let set = try self.nextSet(now: now)
        guard let attempt = next, let set, self.proposing != attempt else { return [] }
        guard attempt <= ExchangePath.attemptMax else { throw .tooManyAttempts(limit: ExchangePath.attemptMax) }
        let plan: SigningPlan
        do { plan = try SigningPlan(request: self.request, under: self.policy, set: set) } catch { throw .signing(error) }
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
        if let set = self.preferredSet(now: now) { return set }
        // Even all others together could not sign without the excluded.
        guard self.policy.chooseSet(among: Set(self.policy.members).subtracting(self.excluded)) == nil, let culprit = self.excluded.min()
        else { return nil }
        throw self.fatal(culprit)
    }

    /// The set of those who are here, of the least doubtful among them: who holds up an attempt is not chosen again while others can
    /// sign. Nothing more follows from doubt, for it proves nothing.
    private func preferredSet(now: Duration) -> [PublicKey]? {
        let present = self.present(now: now)
        for level in Set(present.map { self.doubts[$0] ?? 0 }).sorted() {
            if let set = self.policy.chooseSet(among: present.filter { (self.doubts[$0] ?? 0) <= level }) { return set }
        }
        return nil
    }

    /// Most doubts that are counted of one signer.
    private static let doubtMax = 16

    mutating func doubt(_ signer: PublicKey, by count: Int = 1) {
        guard signer != self.signer else { return }
        self.doubts[signer] = min(Self.doubtMax, (self.doubts[signer] ?? 0) + count)
    }

    private func fatal(_ culprit: PublicKey) -> ExchangeError {
        .fault(signer: culprit, problem: self.problems[culprit]?.text ?? "its contribution is bad", evidence: self.problems[culprit]?.file)
    }

    /// Whether another set could sign while members of this one are awaited who went away, or who are here and give nothing.
    mutating func isStuck(_ current: CurrentAttempt, now: Duration) -> Bool {
        guard self.fixedSet == nil else { return false }
        let awaited = self.awaited(current)
        if awaited.count != current.awaitedCount {
            current.awaitedCount = awaited.count
            current.progressedAt = now
        }
        let present = self.present(now: now)
        // Longer with each attempt, for the folder may be slower than we think.
        let patience = self.configuration.awayAfter * (1 << min(Int(current.number), 4))
        if !awaited.allSatisfy(present.contains) {
            guard let other = self.preferredSet(now: now) else { return false }
            return other != current.plan.signers
        }
        guard now - current.progressedAt >= patience else { return false }
        current.progressedAt = now
        for signer in awaited { self.doubt(signer) }
        guard let other = self.preferredSet(now: now), other != current.plan.signers else { return false }
        current.fail("signers who are here gave nothing")
        return true
    }

    func awaited(_ current: CurrentAttempt) -> [PublicKey] {
        let missing = current.session.missingNonces
        return missing.isEmpty ? current.session.missingPartialSignatures : missing
    }
}
