internal import CryptoPrimitives
public import LibP2P
internal import Secp256k1
internal import Signing

// Reaching the members of requests that are under way.

extension SigningMachine {
    /// The other members' nodes are wanted as long as the request is under way.
    mutating func connect(_ request: LiveRequest, now: Duration) {
        for (_, enrolment) in request.others { self.want(PeerID(of: enrolment.identity), now: now) }
    }

    private mutating func want(_ peer: PeerID, now: Duration) {
        guard self.members.setWanted(peer, true), !self.members.isConnected(peer) else { return }
        self.deadlines.set(.dial(peer), at: now)
    }

    /// Where a member's node may be found.
    public mutating func learn(_ addresses: [Multiaddr], of peer: PeerID, now: Duration) {
        self.members.learn(addresses, of: peer)
        guard self.members.isWanted(peer), !self.members.isConnected(peer) else { return }
        self.deadlines.set(.dial(peer), at: now)
    }

    /// Dials a wanted member's node, and again later if that leads to nothing.
    mutating func dial(_ peer: PeerID, now: Duration) {
        guard !self.members.isConnected(peer), self.members.isWanted(peer) else { return }
        guard self.isStillWanted(peer) else {
            _ = self.members.setWanted(peer, false)
            return
        }
        let (pause, searches) = self.members.dials(peer)
        self.outbox.send(.dial(peer, self.members.addresses(of: peer)))
        if searches { self.outbox.report(.addressesWanted(peer)) }
        self.deadlines.set(.dial(peer), at: now + pause)
    }

    /// Whether a request is under way with the member, or it has to be told how one ended.
    private func isStillWanted(_ peer: PeerID) -> Bool {
        self.live.values.contains { request in
            request.others.contains { signer, enrolment in
                PeerID(of: enrolment.identity) == peer && (request.overSince == nil || request.coordination.hasToTell(signer))
            }
        }
    }

    mutating func connected(_ info: ConnectionInfo, now: Duration) {
        guard self.members.connected(info, now: now) else { return }
        self.deadlines.remove(.dial(info.peer))
        guard let identity = info.peer.identity else { return }
        for request in self.live.values.sorted(by: { $0.id < $1.id }) {
            guard let member = request.coordination.signer(speakingThrough: identity) else { continue }
            request.coordination.noteConnected(member, now: self.moment(now))
            self.step(request, now: now)
        }
        if let member = self.signer(speakingThrough: identity) { self.outbox.report(.connected(member)) }
    }

    mutating func disconnected(_ info: ConnectionInfo, now: Duration) {
        guard self.members.disconnected(info) else { return }
        if self.members.isWanted(info.peer) { self.deadlines.set(.dial(info.peer), at: now) }
        if let identity = info.peer.identity, let member = self.signer(speakingThrough: identity) {
            self.outbox.report(.disconnected(member))
        }
    }

    private func signer(speakingThrough identity: Ed25519.PublicKey) -> PublicKey? {
        for digest in self.groups.keys.sorted() {
            if let signer = self.groups[digest]?.roster.signer(speakingThrough: identity) { return signer }
        }
        return nil
    }
}
