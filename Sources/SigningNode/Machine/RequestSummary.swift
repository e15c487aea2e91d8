public import Bitcoin
public import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

/// A request as it stands, to be shown to people.
public struct RequestSummary: Sendable {
    public let id: Bytes32
    public let groupName: String
    public let group: Bytes32
    public let request: SigningRequest
    public let proposer: PublicKey
    public let terms: RequestTerms
    /// Ours.
    public let decision: StoredRequest.Decision
    /// Whether the group's policy made it, and no person.
    public var isByPolicy = false
    /// Whether it is over for so long that only the store has it: nobody is answered about it any more.
    public var isPast = false
    public let progress: CoordinationProgress
    public let members: [PublicKey]
    public let threshold: Int
    /// The members of whom it is proved that one of their nonces has served two attempts.
    public var cloneAlarms: [PublicKey] = []
    /// When the owner said that its transaction was seen on the Bitcoin network, in seconds since 1970; `nil` where nobody has.
    public var broadcastSeenAt: UInt64?
    /// The signed transaction, once it is complete.
    public let transaction: Transaction?
    /// The group's own script: outputs to it are change.
    public let changeScript: Script

    public var state: CoordinationState { self.progress.state }

    /// The members that are known here to agree, in the policy's order. Who asks agrees by that.
    public var approvers: [PublicKey] {
        let (approved, refused) = (Set(self.progress.approved), Set(self.progress.refused))
        return self.members.filter { approved.contains($0) || ($0 == self.proposer && !refused.contains($0)) }
    }
}

/// How a member's node can be reached now.
public struct MemberConnectivity: Hashable, Sendable {
    public let signer: PublicKey
    public let peer: PeerID
    /// `nil` while there is no connection.
    public let method: ConnectionMethod?
    /// By the node's clock; `nil` while there is no connection.
    public let connectedSince: Duration?
    /// How long the last ping and its answer took, as far as there was one on this connection.
    public let roundTrip: Duration?
    /// Dials that led to nothing since the last connection.
    public let failures: Int
    /// Why the last dial led to nothing whose end was told, as that of a check is.
    public let lastError: ConnectivityError?
    public let addresses: [Multiaddr]
    /// Why nothing of it is listened to until the owner says otherwise; `nil` where it is.
    public var block: PeerStanding.Block?
    /// Seconds since 1970 after which its enrolment counts no more, and nothing of it is heard; 0 for never.
    public var enrolmentExpiry: UInt64 = 0

    /// Whether its enrolment's time is over, in seconds since 1970.
    public func isEnrolmentOver(at time: UInt64) -> Bool { self.enrolmentExpiry != 0 && time > self.enrolmentExpiry }
}

extension SigningMachine {
    public var requests: [RequestSummary] { self.live.values.sorted { $0.id < $1.id }.compactMap { self.summary($0) } }

    public func request(_ id: Bytes32) -> RequestSummary? { self.live[id].flatMap { self.summary($0) } }

    private func summary(_ request: LiveRequest) -> RequestSummary? {
        guard let group = self.groups[request.group], let proposer = request.coordination.request.proposer else { return nil }
        return RequestSummary(
            id: request.id, groupName: group.name, group: request.group, request: request.coordination.request, proposer: proposer,
            terms: request.coordination.terms, decision: request.decision, isByPolicy: request.isByPolicy,
            progress: request.coordination.progress,
            members: group.policy.members, threshold: group.policy.threshold,
            cloneAlarms: request.coordination.cloneAlarms.map(\.signer), broadcastSeenAt: request.broadcastSeenAt,
            transaction: request.coordination.transaction,
            changeScript: group.policy.scriptPubKey)
    }

    /// All members of all groups but ourselves, each once, as far as an identity speaks for them.
    public var connectivity: [MemberConnectivity] {
        var found: [PeerID: MemberConnectivity] = [:]
        for group in self.groups.values {
            for member in group.policy.members where member != self.keys.signer {
                guard let enrolment = group.roster.enrolment(of: member) else { continue }
                let peer = PeerID(of: enrolment.identity)
                found[peer] = MemberConnectivity(
                    signer: member, peer: peer, method: self.members.method(of: peer),
                    connectedSince: self.members.connectedSince(peer), roundTrip: self.members.roundTrip(to: peer),
                    failures: self.members.failures(of: peer), lastError: self.members.lastError(of: peer),
                    addresses: self.members.addresses(of: peer), block: self.blocks.block(of: peer)?.block,
                    enrolmentExpiry: enrolment.expiry)
            }
        }
        return found.keys.sorted().compactMap { found[$0] }
    }
}
