internal import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

// The clone alarm. A nonce that signs two transcripts gives its key away. No process does that; two copies of one memory can, when
// somebody shows them different nonces of the others. It cannot be undone, so what is left is to say so.

extension FileExchange {
    /// Raises the alarm for whoever signed two transcripts of the attempt that both rest on one of its nonces.
    ///
    /// A statement names its transcript by the digest only. So the transcripts are made again from the nonces that the folder shows:
    /// only where both come out is anything said of a member. Of our own key less is enough for a notice, which says that it is
    /// no certainty.
    mutating func judgeReuse(in attempt: UInt32) {
        guard let files = self.attempts[attempt], !files.repeaters.isEmpty, case .chosen(let set)? = files.set else { return }
        var plan: SigningPlan?
        for signer in files.repeaters.intersection(set).subtracting(self.reusers) {
            let named = Set((files.partials[signer] ?? []).compactMap(\.transcript))
            guard named.count > 1 else { continue }
            if plan == nil { plan = try? SigningPlan(request: self.request, under: self.policy, set: set) }
            guard let plan else { return }
            var standing = files.nonces[signer] ?? []
            // Ours, even if somebody removed them before this process saw them in the folder.
            if signer == self.signer, let current, current.number == attempt, let own = current.usedNonces[signer] { standing.append(own) }
            let servesTwo = standing.contains { nonces in
                var files = files
                files.nonces[signer] = [nonces]
                return self.transcripts(of: plan, attempt, files, among: named).count > 1
            }
            if servesTwo {
                self.reusers.insert(signer)
                self.doubt(signer, by: 2)
                // Of our own the error tells.
                if signer != self.signer { self.notices.append(.nonceReused(signer)) }
            } else if signer == self.signer, let current, current.number == attempt, current.role == .signed,
                self.attemptsSignedElsewhere.insert(attempt).inserted
            {
                self.notices.append(.signedElsewhere(attempt: attempt))
            }
        }
    }

    /// Most combinations of nonce statements that are tried, each one hash of a transcript. Honest signers leave one.
    private static let combinationCountMax = 64

    /// Which of the digests are transcripts of the plan with nonces that the folder shows.
    private func transcripts(
        of plan: SigningPlan, _ attempt: UInt32, _ files: AttemptFiles, among digests: Set<Bytes32>
    ) -> Set<Bytes32> {
        // Counted before anything is parsed: with many signers that costs far more.
        var count = 1
        for signer in plan.signers {
            count *= files.nonces[signer]?.count ?? 0
            guard (1...Self.combinationCountMax).contains(count) else { return [] }
        }
        var combinations: [[NonceSet]] = [[]]
        for signer in plan.signers {
            let sets = (files.nonces[signer] ?? []).compactMap { statement -> NonceSet? in
                guard let set = try? statement.nonceSet(), set.nonces.count == plan.inputs.count else { return nil }
                return set
            }
            combinations = combinations.flatMap { combination in sets.map { combination + [$0] } }
        }
        return digests.intersection(combinations.map { plan.transcript(attempt: attempt, nonceSets: $0) })
    }

    /// Our key has signed this attempt already, and it was not this process: it does not sign a second time.
    ///
    /// If it was a copy of our memory, its nonces are ours. Otherwise this costs one attempt.
    mutating func giveUpNonces(_ current: CurrentAttempt) {
        current.session.close()
        current.failure = "this signer's key has signed it in another process: its nonces here were thrown away"
        current.nextAttemptAt = self.lastStepAt + self.configuration.beat
    }
}

extension Statement {
    /// T1 that its partial signatures rest on, as their signer says.
    fileprivate var transcript: Bytes32? {
        if case .partialSignatures(let transcript, _) = self.body { transcript } else { nil }
    }
}
