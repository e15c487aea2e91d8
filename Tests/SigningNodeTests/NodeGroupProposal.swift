import CryptoPrimitives
import Testing

@testable import Signing
@testable import SigningNode

extension NodeGroup {
    /// A request of the second member, and the message that it comes as, for machines that are told it by hand.
    func proposalOfSecondMember() async throws -> (policy: any SpendingPolicy, request: SigningRequest, message: [UInt8]) {
        let policy = try await self.record.policy()
        let (transaction, coins) = try await self.spend()
        let proposer = self.keys[1]
        let request = try SigningRequest(
            transaction: transaction, prevouts: coins, policyDigest: policy.digest, proposer: proposer.signer, expiry: 1_800_003_600,
            id: SHA256.hash([1]))
        let terms = try #require(RequestTerms(createdAt: 1_800_000_000))
        let roster = Roster(members: policy.members, network: .regtest, enrolments: self.keys.map(\.enrolment))
        return (policy, request, SigningMachine.message(proposing: request, proposer.propose(request, terms), roster))
    }
}
