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
    ///
    /// - Parameter signer: whose partial signatures are new; `nil` when the set or nonces are, which concern everybody.
    mutating func judgeReuse(in attempt: UInt32, by signer: PublicKey? = nil) {
        guard let files = self.attempts[attempt], !files.repeaters.isEmpty, case .chosen(let set)? = files.set else { return }
        let suspects = files.repeaters.intersection(set).subtracting(self.reusers)
        for signer in signer.map({ suspects.intersection([$0]) }) ?? suspects {
            let named = Set((files.partials[signer] ?? []).compactMap(\.signedTranscript))
            guard named.count > 1, let plan = self.plan(of: attempt, files, set) else { continue }
            var standing = (files.nonces[signer] ?? []).indices.map { StandingNonces.inFolder($0) }
            // Ours, even if somebody removed them before this process saw them in the folder.
            if signer == self.signer, self.ownNonces(in: attempt) != nil { standing.append(.ownOnly) }
            let servesTwo = standing.contains { nonces in
                named.intersection(self.transcripts(of: plan, attempt, files, with: nonces, of: signer)).count > 1
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

    /// Most combinations of nonce statements that are tried for one statement of the signer who is judged, each one hash of a
    /// transcript. Honest signers leave one.
    private static let combinationCountMax = 64

    /// The transcripts that can be made of the nonces that the folder shows, with this one statement of the signer.
    private func transcripts(
        of plan: SigningPlan, _ attempt: UInt32, _ files: AttemptFiles, with standing: StandingNonces, of signer: PublicKey
    ) -> Set<Bytes32> {
        // Counted before anything is parsed: with many signers that costs far more.
        var count = 1
        for other in plan.signers where other != signer {
            count *= files.nonces[other]?.count ?? 0
            guard (1...Self.combinationCountMax).contains(count) else { return [] }
        }
        var combinations = [plan.signers.map { $0 == signer ? standing : .inFolder(0) }]
        for (seat, other) in plan.signers.enumerated() where other != signer {
            guard let others = files.nonces[other], others.count > 1 else { continue }
            combinations = combinations.flatMap { combination in
                others.indices.map { place in
                    var combination = combination
                    combination[seat] = .inFolder(place)
                    return combination
                }
            }
        }
        return Set(
            combinations.compactMap { combination in
                files.transcripts.digest(of: combination) {
                    var sets: [NonceSet] = []
                    for (signer, standing) in zip(plan.signers, combination) {
                        guard let set = self.nonceSet(standing, of: signer, attempt, files), set.nonces.count == plan.inputs.count else {
                            return nil
                        }
                        sets.append(set)
                    }
                    return plan.transcript(attempt: attempt, nonceSets: sets)
                }
            })
    }

    private func nonceSet(_ standing: StandingNonces, of signer: PublicKey, _ attempt: UInt32, _ files: AttemptFiles) -> NonceSet? {
        switch standing {
        case .inFolder(let place): try? files.nonces[signer]?[place].nonceSet()
        case .ownOnly: try? self.ownNonces(in: attempt)?.nonceSet()
        }
    }

    /// The nonces that this process gave for the attempt, if it is the current one.
    private func ownNonces(in attempt: UInt32) -> Statement? {
        guard let current, current.number == attempt else { return nil }
        return current.usedNonces[self.signer]
    }

    private func plan(of attempt: UInt32, _ files: AttemptFiles, _ set: [PublicKey]) -> SigningPlan? {
        if let current, current.number == attempt { return current.plan }
        return files.transcripts.plan { try? SigningPlan(request: self.request, under: self.policy, set: set) }
    }

    /// One statement of a signer's nonces.
    enum StandingNonces: Hashable {
        /// By its place among those that the folder gave.
        case inFolder(Int)
        /// The one that this process made, whether the folder has it or not.
        case ownOnly
    }

    /// What was worked out of an attempt's files to judge reuse, so that a file that comes later costs only what it changes. Statements
    /// keep their places, so nothing in here grows old; it is forgotten with them.
    final class KnownTranscripts {
        private var plan: SigningPlan??
        private var digests: [[StandingNonces]: Bytes32?] = [:]

        /// How many transcripts were made, each of them of all nonces of a set.
        var madeCount: Int { self.digests.count }

        func plan(_ make: () -> SigningPlan?) -> SigningPlan? {
            if let plan { return plan }
            let plan = make()
            self.plan = .some(plan)
            return plan
        }

        /// T1 over one statement of each signer, in the plan's order; `nil` where one of them holds no nonces for the plan.
        func digest(of combination: [StandingNonces], _ make: () -> Bytes32?) -> Bytes32? {
            if let digest = self.digests[combination] { return digest }
            let digest = make()
            self.digests[combination] = .some(digest)
            return digest
        }
    }

    /// Our key has signed this attempt already, and it was not this process: it does not sign a second time.
    ///
    /// If it was a copy of our memory, its nonces are ours. Otherwise this costs one attempt.
    mutating func giveUpNonces(_ current: CurrentAttempt) {
        current.fail("this signer's key has signed it in another process: its nonces here were thrown away")
        current.nextAttemptAt = self.lastStepAt + self.configuration.beat
    }
}
