internal import Bitcoin
public import CryptoPrimitives
internal import Secp256k1
public import Signing

/// Joining a group, as whoever was invited sees it.
///
///     asking ──"wait"──▶ asking ──"made", and it holds──▶ made
///        └──────────────"refused"───────────────────────▶ refused
///
/// The group is worked out here, from terms and keys: of the inviter nothing is believed but which keys have joined, and that shows in
/// the policy digest that all members compare.
public struct GroupJoining: Sendable {
    public enum State: Hashable, Sendable {
        /// Ask again in a while. Nothing is known before the first answer.
        case asking(joined: Int)
        /// Everybody has joined.
        case made(GroupRecord, [GroupMember])
        case refused(GroupRefusal)
    }

    public let invitation: GroupInvitation
    public let own: GroupMember
    /// What to send to the inviter, the same each time.
    public let message: [UInt8]
    public private(set) var state = State.asking(joined: 0)

    /// - Parameters:
    ///   - own: the member that takes the invitation.
    ///   - identity: its identity.
    ///   - takenAt: when the invitation is taken, or was in an earlier process; seconds since 1970.
    /// - Throws: `expired`, `anotherNetwork`, `ownInvitation`; `inconsistent` where the signer is the group's owner.
    /// - Precondition: the identity is the enrolment's.
    public init(
        _ invitation: GroupInvitation, as own: GroupMember, identity: borrowing Ed25519.SecretKey, takenAt: UInt64
    ) throws(GroupError) {
        let terms = invitation.terms
        guard own.enrolment.network == terms.network else {
            throw .anotherNetwork(invitation: terms.network, own: own.enrolment.network)
        }
        guard own.enrolment.identity != terms.inviter else { throw .ownInvitation }
        guard !terms.isExpired(at: takenAt) else { throw .expired }
        self.invitation = invitation
        self.own = own
        self.message = GroupJoin(invitation, as: own, identity: identity).serialized()
    }

    /// Takes an answer of the inviter. One that is late changes nothing.
    ///
    /// - Throws: `malformed`, `unknownFormat`, or `inconsistent` for a group that does not hold. Then nothing has changed.
    public mutating func receive(_ bytes: [UInt8]) throws(GroupError) {
        switch self.state {
        case .made, .refused: return
        case .asking: break
        }
        switch try GroupAnswer(parsing: bytes) {
        case .waiting(let joined, let wanted):
            guard wanted == self.invitation.terms.memberCount, (0..<wanted).contains(joined) else {
                throw .inconsistent("\(joined) of \(wanted) have joined, and the group has \(self.invitation.terms.memberCount) members")
            }
            self.state = .asking(joined: joined)
        case .made(let members, let signature):
            try self.check(members, signature)
            self.state = .made(self.invitation.terms.record(of: members.map(\.signer)), members)
        case .refused(let reason): self.state = .refused(reason)
        }
    }

    private func check(_ members: [GroupMember], _ signature: Ed25519.Signature) throws(GroupError) {
        let terms = self.invitation.terms
        guard signature.isValid(for: GroupAnswer.digest(members, terms).bytes, by: terms.inviter) else {
            throw .inconsistent("it is not signed by the inviter")
        }
        guard members.count == terms.memberCount else {
            throw .inconsistent("it names \(members.count) members, and the group has \(terms.memberCount)")
        }
        let signers = members.map(\.signer)
        guard zip(signers, signers.dropFirst()).allSatisfy({ $0 < $1 }) else { throw .inconsistent("its members are not sorted") }
        guard Set(signers.map(\.xOnly)).count == members.count, Set(members.map(\.enrolment.identity)).count == members.count else {
            throw .inconsistent("two of its members are one")
        }
        guard members.allSatisfy({ $0.enrolment.network == terms.network }) else {
            throw .inconsistent("a member's key is for another network")
        }
        guard members.contains(where: { $0.signer == self.own.signer && $0.enrolment.identity == self.own.enrolment.identity }) else {
            throw .inconsistent("this node's own key is not in it")
        }
        guard members.contains(where: { $0.enrolment.identity == terms.inviter }) else {
            throw .inconsistent("its inviter is no member")
        }
        if case .delegated(_, .owner(let owner)) = terms.shape, signers.contains(where: { $0.xOnly == owner }) {
            throw .inconsistent("its owner is a member, too")
        }
    }
}
