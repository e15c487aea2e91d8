internal import Secp256k1

// Where an exchange stands, for people to see.

extension FileExchange {
    /// Where the exchange stands, and who is awaited.
    public func progress(now: Duration) -> ExchangeProgress {
        let isOver = self.finalTransaction != nil
        guard let current else {
            let (missing, neededCount) = self.away(now: now)
            return ExchangeProgress(
                stage: isOver ? .complete : .gatheringSigners, attempt: self.lastAttempt?.number ?? 0,
                set: self.lastAttempt?.set ?? self.fixedSet ?? [], missing: missing, neededCount: neededCount, isMember: false,
                hasSigned: false)
        }
        let stage: ExchangeStage =
            if isOver { .complete } else if current.failure != nil { .gatheringSigners } else if current.session.missingNonces.isEmpty {
                .gatheringSignatures
            } else { .gatheringNonces }
        let awaited = self.awaited(current)
        let (missing, neededCount) = stage == .gatheringSigners ? self.away(now: now) : (awaited, awaited.count)
        return ExchangeProgress(
            stage: stage, attempt: current.number, set: current.plan.signers, missing: missing, neededCount: neededCount,
            isMember: current.plan.signers.contains(self.signer), hasSigned: current.role == .signed && current.failure == nil)
    }

    /// Who could sign and does not seem to be here, and how many of them a set lacks.
    private func away(now: Duration) -> (signers: [PublicKey], neededCount: Int) {
        let present = self.present(now: now)
        let candidates = self.fixedSet ?? self.policy.members
        let away = candidates.filter { !present.contains($0) && !self.excluded.contains($0) }
        let neededCount = self.fixedSet == nil ? self.countNeeded(of: away, beside: present) : away.count
        guard neededCount == 0 else { return (away, neededCount) }
        // When enough are here, those are awaited whose contributions could not be used.
        let doubted = candidates.filter { self.doubts[$0] != nil && !self.excluded.contains($0) }
        return (doubted, doubted.count)
    }

    /// How many of those who are away make a set with those who are here. By halving, for it is asked at every look.
    private func countNeeded(of away: [PublicKey], beside present: Set<PublicKey>) -> Int {
        var (low, high) = (0, away.count)
        while low < high {
            let middle = (low + high) / 2
            if self.policy.chooseSet(among: present.union(away.prefix(middle))) == nil { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
