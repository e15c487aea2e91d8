internal import CryptoPrimitives
internal import Secp256k1
internal import Signing

// Requests that are over for so long that nobody is answered about them any more. No machine of theirs runs; the store has them.

extension SigningMachine {
    /// Such a request as it stands, worked out from what the store keeps of it; `nil` where no group here has its policy.
    ///
    /// - Parameters:
    ///   - bytes: the message that it came as, with its proposal.
    ///   - completion: the message that completed it, where that was looked up.
    ///   - broadcast: the entry that says that its transaction was seen, if there is one.
    func past(
        _ stored: StoredRequest, proposal bytes: [UInt8], records: [BurnRecord], completion: [UInt8]?, broadcast: TranscriptEntry?,
        now: Duration
    ) -> RequestSummary? {
        for (digest, group) in self.groups {
            guard let found = try? Coordination.proposal(in: bytes, roster: group.roster), found.request.policyDigest == digest,
                let proposer = found.request.proposer
            else { continue }
            guard
                var coordination = try? Coordination(
                    request: found.request, proposal: found.proposal, policy: group.policy, roster: group.roster,
                    enrolment: self.keys.enrolment, incarnation: self.makeIncarnation(), records: records, resumes: true)
            else { return nil }
            Self.apply(stored.decision, serial: stored.decisionSerial, to: &coordination)
            if let completion, let head = try? CoordinationMessage.Head(parsing: completion),
                case .complete(let signatures)? = try? head.content(group.roster)
            {
                coordination.restore(signatures, now: self.moment(now))
            }
            return RequestSummary(
                id: stored.id, groupName: group.name, group: digest, request: found.request, proposer: proposer,
                terms: coordination.terms, decision: stored.decision, isByPolicy: stored.isByPolicy, isPast: true,
                progress: coordination.progress.over(as: CoordinationState(stored)),
                members: group.policy.members, threshold: group.policy.threshold,
                broadcastSeenAt: broadcast.flatMap(Self.broadcastTime), transaction: coordination.transaction,
                changeScript: group.policy.scriptPubKey)
        }
        return nil
    }
}

extension StoredRequest {
    private static let reasonOfPolicy = "decided by the group's policy"

    /// What is kept of why a request is as it is.
    ///
    /// - Parameters:
    ///   - reason: why it ended; empty where there is nothing to be said.
    ///   - byPolicy: whether the group's policy made our decision, and no person.
    static func reason(_ reason: String, byPolicy: Bool) -> String {
        guard byPolicy else { return reason }
        return reason.isEmpty ? Self.reasonOfPolicy : "\(Self.reasonOfPolicy); \(reason)"
    }

    /// Whether no person made the decision.
    var isByPolicy: Bool { self.reason == Self.reasonOfPolicy || self.reason.hasPrefix("\(Self.reasonOfPolicy); ") }

    /// Why it ended.
    var reasonOfEnd: String { self.isByPolicy ? String(self.reason.dropFirst("\(Self.reasonOfPolicy); ".count)) : self.reason }
}

extension CoordinationState {
    /// How a request of which only the store tells has ended.
    fileprivate init(_ stored: StoredRequest) {
        let reason = stored.reasonOfEnd
        self =
            switch stored.state {
            case .proposed: .proposed
            case .approved: .approved
            case .signing: .signing
            case .complete: .complete
            case .rejected: .rejected
            case .withdrawn: .withdrawn
            case .expired: .expired
            case .aborted: .aborted(.before(reason))
            case .endedMayStillComplete: .endedMayStillComplete(.aborted(.before(reason)))
            }
    }
}
