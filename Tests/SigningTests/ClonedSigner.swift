import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import SigningTestSupport

@testable import Signing

/// A signer whose nonces sign as often as one likes.
struct ClonedSigner {
    let signer: Signer
    let repeating: RepeatingNonces
    var nonces: [[UInt8]] { self.repeating.nonces }

    init(_ signer: Signer, inputs: Int = 1, salt: UInt8 = 0) throws {
        self.signer = signer
        self.repeating = try RepeatingNonces(of: signer.key, inputs: inputs, salt: salt)
    }

    /// Round 2 under whatever begins.
    func answer(
        _ approvals: [Statement], attempt: UInt32, _ group: CoordinationGroup, as member: CoordinationGroup.Member
    ) throws -> Statement {
        let plan = try SigningPlan(request: group.request, under: group.policy, set: approvals.map(\.sender))
        return try self.repeating.answer(approvals, plan, attempt: attempt) { group.say($0, attempt: $1, of: member) }
    }
}

extension CoordinationGroup {
    /// The use of a member's nonces in an attempt that everybody but the clone takes fresh nonces for.
    func use(of clone: ClonedSigner, _ member: Member, attempt: UInt32, salt: UInt8) throws -> NonceUse {
        let approvals = try self.policy.members.map { key -> Statement in
            let speaker = try self.require(key)
            let own = key == member.key ? clone : try ClonedSigner(speaker.signer, inputs: clone.nonces.count, salt: salt)
            let name = NonceName(known: speaker.incarnation, counter: key == member.key ? 1 : UInt32(salt))
            return self.say(.approval(serial: 1, name, own.nonces), of: speaker)
        }
        let statement = try clone.answer(approvals, attempt: attempt, self, as: member)
        let plan = try SigningPlan(request: self.request, under: self.policy, set: self.policy.members)
        guard let use = NonceUse(plan: plan, attempt: attempt, nonces: approvals, statement: statement) else { throw Missing() }
        return use
    }

    func require(_ key: PublicKey) throws -> Member {
        guard let member = self.member(key) else { throw Missing() }
        return member
    }

    struct Missing: Error {}
}
