internal import Bitcoin
internal import CryptoPrimitives
internal import Signing

// How one cheats with what is proposed: to each member something else, or what somebody else proposed with other contents.

extension CheatingSpeaker {
    /// What it sends in place of a message; `nil` where it cheats in none of these ways.
    ///
    /// - Parameter receiver: the receiver's place.
    func saidOfProposals(
        _ content: CoordinationMessage.Content, _ message: [UInt8], _ head: CoordinationMessage.Head, to receiver: Int,
        identity: borrowing Ed25519.SecretKey
    ) -> [[UInt8]]? {
        let roster = self.roster
        func with(_ content: CoordinationMessage.Content, about request: Bytes32, sequence: UInt64? = nil) -> [UInt8] {
            CoordinationMessage(
                request: request, series: head.series, sequence: sequence ?? head.sequence, acknowledged: head.acknowledged,
                content: content
            ).serialized(roster)
        }
        switch (self.cheat, content) {
        case (.proposesOther, .proposal):
            let other = self.variant(receiver)
            let digest = other.digest
            let statement = Statement(
                .proposal(self.terms), request: digest, attempt: 0, enrolment: self.enrolment, identity: identity)
            return [with(.proposal(other, statement), about: digest)]
        // It agrees to whatever the receiver was asked for, with the same nonces for all.
        case (.proposesOther, .approval(let turn, let highest, let statement)):
            let digest = self.variant(receiver).digest
            let approval = Statement(statement.body, request: digest, attempt: 0, enrolment: self.enrolment, identity: identity)
            return [message, with(.approval(turn: turn, highest: highest, approval), about: digest, sequence: 0)]
        case (.proposesOrders, .proposal(let request, let statement)):
            let elections = CoordinatorElection.allCases
            guard let terms = RequestTerms(election: elections[receiver % elections.count], createdAt: self.terms.createdAt) else {
                return [message]
            }
            let other = Statement(
                .proposal(terms), request: statement.request, attempt: 0, enrolment: self.enrolment, identity: identity)
            // First another order than it keeps to, then its own: the first one stays.
            return [with(.proposal(request, other), about: head.request, sequence: 0), message]
        case (.altersProposals, .standing), (.altersProposals, .approval), (.altersProposals, .proposal):
            return self.altered(identity: identity).map { with(.proposal($0, $1), about: $0.digest, sequence: 0) } + [message]
        default: return nil
        }
    }

    /// The request as this receiver is asked for it.
    private func variant(_ receiver: Int) -> SigningRequest {
        switch receiver % 4 {
        case 1: self.other(amountLess: 1 + UInt64(receiver))
        case 2: self.other(policyDigest: SHA256.hash([UInt8(truncatingIfNeeded: receiver)]))
        case 3: self.other(expiryLess: 30)
        default: self.request
        }
    }

    /// What it makes of the proposal: other contents that the proposer never signed, and such as it signs itself in the proposer's place.
    private func altered(identity: borrowing Ed25519.SecretKey) -> [(SigningRequest, Statement)] {
        let other = self.other(amountLess: 7)
        let own = Statement(
            .proposal(self.terms), request: other.digest, attempt: 0, enrolment: self.enrolment, identity: identity)
        let same = Statement(
            .proposal(self.terms), request: self.request.digest, attempt: 0, enrolment: self.enrolment, identity: identity)
        return [(other, own), (self.request, same)]
    }

    private func other(amountLess less: UInt64 = 0, policyDigest: Bytes32? = nil, expiryLess seconds: UInt64 = 0) -> SigningRequest {
        var transaction = self.request.transaction
        let first = transaction.outputs[0]
        transaction.outputs[0] = TransactionOutput(amount: first.amount - min(less, first.amount), scriptPubKey: first.scriptPubKey)
        do {
            return try SigningRequest(
                transaction: transaction, prevouts: self.request.prevouts, sighashTypes: self.request.sighashTypes,
                policyDigest: policyDigest ?? self.request.policyDigest, proposer: self.request.proposer,
                expiry: self.request.expiry - seconds, id: self.request.id, usesNonceCommitments: self.request.usesNonceCommitments)
        } catch { preconditionFailure("what pays less can be asked for: \(error)") }
    }
}
