public import CryptoPrimitives
internal import LibP2P
public import Secp256k1
internal import Signing

/// What was said about a request to a member who is not connected, by way of its mailboxes.
public struct MemberMail: Hashable, Sendable {
    public let signer: PublicKey
    /// Messages that no mailbox of the member has yet.
    public let waitingCount: Int
    /// Messages that a mailbox took. Whether the member has fetched them nobody tells.
    public let leftCount: Int
}

extension MailboxClient {
    /// How much about a request waits to be left for a member, and how much was.
    func mail(about request: Bytes32, for recipient: Ed25519.PublicKey) -> (waitingCount: Int, leftCount: Int) {
        guard let member = self.members[recipient] else { return (0, 0) }
        return (
            member.waiting.count { $0.matter.request == request && !$0.isLeft }, member.left.keys.count { $0.request == request }
        )
    }
}

extension SigningMachine {
    /// Of members that are not connected now, in the policy's order: who is gets told directly.
    func mail(about id: Bytes32) -> [MemberMail] {
        guard let request = self.live[id] else { return [] }
        return request.others.compactMap { signer, enrolment in
            guard self.members.method(of: PeerID(of: enrolment.identity)) == nil else { return nil }
            let (waiting, left) = self.mailboxes.client.mail(about: id, for: enrolment.identity)
            return waiting + left > 0 ? MemberMail(signer: signer, waitingCount: waiting, leftCount: left) : nil
        }
    }
}

extension SigningNode {
    /// What of a request went to mailboxes, or is to.
    public func mail(about id: Bytes32) async throws(SigningNodeError) -> [MemberMail] { try await self.update { $0.mail(about: id) } }

    /// Whether others reach each other through this node.
    public nonisolated var servesRelay: Bool { self.configuration.node.relayServer != nil }
}
