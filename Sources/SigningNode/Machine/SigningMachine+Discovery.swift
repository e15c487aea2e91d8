package import CryptoPrimitives
package import LibP2P
package import Secp256k1
internal import Signing

// What announcements are made of, and what follows from one.

extension SigningMachine {
    /// A request that waits for members whose nodes are not connected, or has to tell them how it ended.
    package struct Announceable: Sendable {
        package let request: Bytes32
        package let expiry: UInt64
        /// Whose nodes they are, in the order of the group's members.
        package let missing: [Ed25519.PublicKey]
    }

    /// The request that ends last of those that wait for a member's node; whoever hears of it asks, and hears of the others, too.
    package func announceable(wanting peer: PeerID) -> Announceable? {
        guard !self.members.isConnected(peer) else { return nil }
        let waiting = self.live.values.filter { request in
            request.others.contains { PeerID(of: $0.enrolment.identity) == peer && request.waits(for: $0.signer) }
        }
        guard
            let request = waiting.max(by: {
                ($0.coordination.request.expiry, $0.id) < ($1.coordination.request.expiry, $1.id)
            })
        else { return nil }
        let missing = request.others.filter { request.waits(for: $0.signer) }.map(\.enrolment.identity)
            .filter { !self.members.isConnected(PeerID(of: $0)) }
        return Announceable(request: request.id, expiry: request.coordination.request.expiry, missing: missing)
    }

    /// A member said to its readers that a request waits at its node: it is dialled, and tells the rest itself.
    ///
    /// - Parameter addresses: as far as they may be dialled by whoever brought the announcement.
    /// - Returns: the member; `nil` for an identity that speaks for nobody in any group here.
    package mutating func announced(by identity: Ed25519.PublicKey, at addresses: [Multiaddr], now: Duration) -> PublicKey? {
        guard let signer = self.signer(speakingThrough: identity), signer != self.keys.signer else { return nil }
        let peer = PeerID(of: identity)
        self.learn(addresses, of: peer, from: .gossip, now: now)
        guard !self.members.isConnected(peer), !self.conduct.isBlocked(peer, now: now) else { return signer }
        self.sendDial(peer)
        return signer
    }

    /// Peers whose connections are kept when places for them are short, and while nothing is said: those that keep messages for us, and
    /// members. There are no more than a node has places to spare for.
    var peersToKeep: Set<PeerID> {
        let members = self.memberIdentities.subtracting([self.keys.enrolment.identity]).map { PeerID(of: $0) }
        return Set((self.mailboxes.ownPeers + members.sorted()).prefix(Self.keptPeerCountMax))
    }

    static let keptPeerCountMax = 1_024

    /// The identities that speak for members of groups.
    var memberIdentities: Set<Ed25519.PublicKey> {
        var identities: Set<Ed25519.PublicKey> = []
        for group in self.groups.values {
            for member in group.policy.members {
                if let enrolment = group.roster.enrolment(of: member) { identities.insert(enrolment.identity) }
            }
        }
        return identities
    }
}
