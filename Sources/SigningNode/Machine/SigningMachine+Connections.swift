internal import CryptoPrimitives
public import LibP2P
internal import Secp256k1
internal import Signing

// Reaching the members of requests that are under way.

extension SigningMachine {
    /// The other members' nodes are wanted as long as the request is under way.
    mutating func connect(_ request: LiveRequest, now: Duration) {
        for (_, enrolment) in request.others { self.want(PeerID(of: enrolment.identity), now: now) }
        self.setDistances(of: request, now: now)
    }

    mutating func want(_ peer: PeerID, now: Duration) {
        guard self.members.setWanted(peer, true), !self.members.isConnected(peer) else { return }
        self.deadlines.set(.dial(peer), at: now)
    }

    /// Where a member's node may be found, by its owner's word.
    public mutating func learn(_ addresses: [Multiaddr], of peer: PeerID, now: Duration) {
        self.learn(addresses, of: peer, from: .owner, now: now)
    }

    /// The same, by whoever says so; and the member's mailboxes, which are among its addresses those of other peers: as itself or the owner
    /// says. Whom strangers name as its mailbox is nobody's but their word.
    mutating func learn(_ addresses: [Multiaddr], of peer: PeerID, from source: PeerDirectory.Source, now: Duration) {
        let own =
            source == .table
            ? addresses.filter { $0.mailbox(of: peer) == nil } : self.takeMailboxes(from: addresses, of: peer, by: source)
        // Who says the same again has nobody dialled.
        guard self.members.learn(own, of: peer, from: source) else { return }
        self.tellChecks(now: now) { $0.learned(peer) }
        guard self.members.isWanted(peer), !self.members.isConnected(peer) else { return }
        self.deadlines.set(.dial(peer), at: self.members.mayDialAt(peer, now: now))
    }

    /// Dials a wanted member's node, and again later if that leads to nothing.
    mutating func dial(_ peer: PeerID, now: Duration) {
        guard !self.members.isConnected(peer), self.members.isWanted(peer), !self.blocks.isBlocked(peer) else { return }
        guard self.isStillWanted(peer, now: now) || self.mailboxes.wants(peer, now: self.moment(now)) else {
            _ = self.members.setWanted(peer, false)
            return
        }
        let (pause, searches) = self.members.dials(peer, now: now)
        self.sendDial(peer)
        if searches { self.outbox.report(.addressesWanted(peer)) }
        self.deadlines.set(.dial(peer), at: now + pause)
        if self.members.failures(of: peer) >= Self.dialsUntilAway { self.noteAway(peer, now: now) }
    }

    mutating func sendDial(_ peer: PeerID) {
        for dial in self.members.dialAddresses(of: peer).dials {
            self.outbox.send(.dial(peer, dial.addresses, isHearsay: dial.isHearsay))
        }
    }

    /// Whether a request is under way with the member, or it has to be told how one ended, or somebody asked whether it is there.
    private func isStillWanted(_ peer: PeerID, now: Duration) -> Bool {
        if self.members.isAttended(peer, now: now) || self.isPooled(peer) { return true }
        return self.live.values.contains { request in
            request.others.contains { signer, enrolment in
                PeerID(of: enrolment.identity) == peer && request.waits(for: signer)
            }
        }
    }

    mutating func connected(_ info: ConnectionInfo, now: Duration) {
        // One that came about before the list was known below.
        if self.blocks.isBlocked(info.peer) { self.outbox.send(.disconnect(info.peer)) }
        guard let change = self.members.connected(info, now: now) else { return }
        if case .connected = change {
            self.deadlines.remove(.dial(info.peer))
            self.giveAgain(to: info.peer, now: now)
            self.noteReached(info.peer, now: now)
        }
        guard let identity = info.peer.identity else { return }
        if case .connected = change {
            for request in self.live.values.sorted(by: { $0.id < $1.id }) {
                guard let member = request.coordination.signer(speakingThrough: identity) else { continue }
                request.coordination.noteConnected(member, now: self.moment(now))
                self.step(request, now: now)
            }
        }
        self.tell(change, of: info.peer, now: now)
    }

    mutating func disconnected(_ info: ConnectionInfo, now: Duration) {
        guard let change = self.members.disconnected(info, now: now) else { return }
        if case .disconnected = change {
            self.mailboxes.client.disconnected(info.peer)
            self.deadlines.set(.mailboxes, at: now)
            if self.members.isWanted(info.peer) {
                self.deadlines.set(.dial(info.peer), at: now + self.members.pauseAfterLoss(of: info.peer))
            }
        }
        self.tell(change, of: info.peer, now: now)
    }

    /// Lets the owner know of a member's connection, and the checks that wait for it.
    private mutating func tell(_ change: MemberLinks.Change, of peer: PeerID, now: Duration) {
        guard let identity = peer.identity, let member = self.signer(speakingThrough: identity) else { return }
        switch change {
        case .connected(let method):
            self.outbox.report(.connected(member, method))
            self.ping(peer)
            self.tellChecks(now: now) { $0.connected(peer) }
        case .moved(let method):
            // Another way has another length.
            self.outbox.report(.connected(member, method))
            self.ping(peer)
        case .disconnected:
            self.outbox.report(.disconnected(member))
            self.tellChecks(now: now) { $0.lost(peer) }
        }
    }

    func signer(speakingThrough identity: Ed25519.PublicKey) -> PublicKey? {
        for digest in self.groups.keys.sorted() {
            if let signer = self.groups[digest]?.roster.signer(speakingThrough: identity) { return signer }
        }
        return nil
    }
}
