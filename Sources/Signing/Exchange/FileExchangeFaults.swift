internal import CryptoPrimitives
internal import Secp256k1

// Whose contribution is bad, and what follows from it. Only what a signer itself signed is held against it.

extension FileExchange {
    /// Holds a signed contribution against its signer: with proof that convinces others it is excluded, without it is doubted.
    mutating func blame(_ signer: PublicKey, _ problem: String, _ current: CurrentAttempt, statements: [Statement]) {
        let evidence = Evidence(plan: current.plan, attempt: current.number, statements: statements)
        guard self.accuse(signer, problem, evidence) else { return self.distrust(signer, problem, current) }
        current.fail("signer \(signer): \(problem)")
    }

    /// The signatures do not add up. Looks for the partial signatures that do not verify, and holds them against each of their signers
    /// once, however many inputs they spoil: one judgement of all that was signed tells against whom the proof is good.
    mutating func blameForBadPartialSignatures(_ current: CurrentAttempt) {
        var suspects: [(signer: PublicKey, problem: String, partials: Statement)] = []
        var met: Set<PublicKey> = []
        for fault in current.session.inquiry?.faultsAtOnce() ?? [] where met.insert(fault.signer).inserted {
            guard let partials = current.usedPartials[fault.signer] else { continue }
            suspects.append((fault.signer, "its partial signature for input \(fault.input) does not verify", partials))
        }
        guard !suspects.isEmpty else { return }
        let nonces = current.plan.signers.compactMap { current.usedNonces[$0] }
        func evidence(_ partials: [Statement]) -> Evidence {
            Evidence(plan: current.plan, attempt: current.number, statements: nonces + partials)
        }
        let culprits = evidence(suspects.map(\.partials)).signersOfBadPartialSignatures()
        for (signer, problem, partials) in suspects {
            guard signer != self.signer, culprits.contains(signer) else {
                self.distrust(signer, problem, current)
                continue
            }
            self.faults.append(Fault(signer: signer, problem: problem, proof: .found(evidence([partials]))))
            current.fail("signer \(signer): \(problem)")
        }
    }

    /// Whether the evidence convinces. What it does not convince others of is held against nobody.
    private mutating func accuse(_ signer: PublicKey, _ problem: String, _ evidence: Evidence) -> Bool {
        guard signer != self.signer, case .proved(signer, _) = evidence.verdict() else { return false }
        self.faults.append(Fault(signer: signer, problem: problem, proof: .found(evidence)))
        return true
    }

    /// The attempt is spoilt, and nothing is proved: the signer may be at fault, or the folder, or whoever gave it other files.
    mutating func distrust(_ signer: PublicKey, _ problem: String, _ current: CurrentAttempt) {
        guard current.failure == nil else { return }
        current.fail("signer \(signer): \(problem)")
        self.doubt(signer)
        self.notices.append(.doubted(signer, reason: problem))
        // Where others can sign they begin at once; the same set again, not faster than a beat.
        if self.fixedSet != nil { current.nextAttemptAt = self.lastStepAt + self.configuration.beat }
    }

    /// Two contents under one name prove the fault, in whichever attempt; a plan with the signer in it makes the evidence complete.
    mutating func judgeContradictions() {
        var open: [(first: Statement, second: Statement)] = []
        for (first, second) in self.contradictions where !self.excluded.contains(first.sender) {
            guard case .chosen(let set)? = self.attempts[first.attempt]?.set, set.contains(first.sender),
                let plan = try? SigningPlan(request: self.request, under: self.policy, set: set)
            else {
                open.append((first, second))
                continue
            }
            _ = self.accuse(
                first.sender, "it gave two different sets of nonces under one name",
                Evidence(plan: plan, attempt: first.attempt, statements: [first, second]))
        }
        self.contradictions = Array(open.suffix(Self.openContradictionCountMax))
    }

    /// Most contradictions that wait for the set of their attempt.
    private static let openContradictionCountMax = 16

    /// Excludes who is at fault, and writes down the proof where there is one.
    mutating func takeFaults() -> [ExchangeAction] {
        let faults = self.faults
        self.faults = []
        var actions: [ExchangeAction] = []
        for fault in faults where self.excluded.insert(fault.signer).inserted {
            let path = ExchangePath.evidence(fault.signer)
            switch fault.proof {
            case .standsInFolder: self.problems[fault.signer] = (fault.problem, path.description)
            case .found(let evidence):
                self.problems[fault.signer] = (fault.problem, path.description)
                actions.append(.write(path, evidence.serialized()))
            }
            actions.append(.say(.excluded(fault.signer, reason: fault.problem)))
            if let current, current.failure == nil, current.plan.signers.contains(fault.signer) {
                current.fail("its set names signer \(fault.signer), whose fault was found")
            }
        }
        return actions
    }
}

extension Statement {
    /// Whether these are partial signatures that rest on the transcript, as their signer says.
    func isPartialSignature(under transcript: Bytes32) -> Bool {
        if case .partialSignatures(transcript, _) = self.body { true } else { false }
    }
}
