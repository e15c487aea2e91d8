internal import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

// Peers that are not listened to. A block is of the peer that a channel proves, for what came through that channel, or by the owner's word:
// nothing that anybody says, or passes on, has another one blocked. What a blocked member has signed counts all the same where another
// member brings it, for the group may need it.

/// A peer to which nobody listens here.
public struct PeerBlock: Hashable, Sendable {
    public enum Term: Hashable, Sendable {
        /// Until then, by the node's clock.
        case until(Duration)
        /// Until the owner says otherwise; it began so many seconds after 1970.
        case lasting(PeerStanding.Block, since: UInt64)
    }

    public let peer: PeerID
    /// The member that it speaks for, in the groups that are known here.
    public let signer: PublicKey?
    public let term: Term
    /// What the owner says about it.
    public let note: String
}

extension SigningMachine {
    /// Listens to nothing of a peer until ``unblock(_:now:)``: its connections end, and none comes about.
    ///
    /// - Returns: what to make durable.
    public mutating func block(_ peer: PeerID, note: String = "", now: Duration) throws(SigningMachineError) -> PeerStanding {
        guard peer != self.keys.identity.id else { throw .ownPeer }
        guard note.utf8.count <= PeerStanding.noteByteCountMax, !note.utf8.contains(0) else { throw .blockNoteTooLong }
        guard let standing = self.blocks.block(peer, note: note, at: self.moment(now).time) else {
            throw .tooManyBlocks(limit: PeerBlocks.countByOwnerMax)
        }
        self.endConnections(with: peer)
        return standing
    }

    /// Listens to a peer again, whatever it was blocked for, and forgets all that counted against it. What has to be removed from the disk is
    /// its standing.
    public mutating func unblock(_ peer: PeerID, now: Duration) throws(SigningMachineError) {
        let isPaused = self.conduct.isBlocked(peer, now: now) || self.strangers.isBlocked(peer, now: now)
        guard self.blocks.isBlocked(peer) || isPaused else { throw .notBlocked }
        self.blocks.forgive(peer)
        self.conduct.forgive(peer)
        self.strangers.forgive(peer)
        self.outbox.report(.deny(self.blocks.blocked))
        // Whoever waits for it does not wait for the next dial.
        if self.members.isWanted(peer), !self.members.isConnected(peer) { self.deadlines.set(.dial(peer), at: now) }
    }

    /// Everybody to whom nobody listens here, in order.
    public func blocks(now: Duration) -> [PeerBlock] {
        let lasting = self.blocks.blocked
        let strangers = self.strangers.blocked(now: now).filter { !self.isMember($0.peer) }
        let paused = (self.conduct.blocked(now: now) + strangers).reduce(into: [PeerID: Duration]()) {
            $0[$1.peer] = max($0[$1.peer] ?? $1.until, $1.until)
        }
        return lasting.union(paused.keys).sorted().compactMap { peer in
            let signer = peer.identity.flatMap { self.signer(speakingThrough: $0) }
            if let standing = self.blocks.block(of: peer), let block = standing.block {
                return PeerBlock(peer: peer, signer: signer, term: .lasting(block, since: standing.since), note: standing.note)
            }
            return paused[peer].map { PeerBlock(peer: peer, signer: signer, term: .until($0), note: "") }
        }
    }

    /// Those whose connections are to be refused as soon as they show who they are.
    public var deniedPeers: Set<PeerID> { self.blocks.blocked }

    /// What a former life of the process knew of a peer. One that was blocked for a while when that life ended is so for the rest of it.
    public mutating func restore(_ standing: PeerStanding, now: Duration) {
        guard let peer = try? PeerID(parsing: standing.peer), peer != self.keys.identity.id else { return }
        self.blocks.restore(standing, of: peer)
        guard standing.block == nil, let last = standing.temporaryBlocks.last else { return }
        let time = self.moment(now).time
        let gone = time > last ? Duration.seconds(Int64(clamping: time - last)) : .zero
        guard gone < self.configuration.blockTime else { return }
        self.conduct.block(peer, until: now + self.configuration.blockTime - gone, now: now)
    }

    /// A member was blocked for a while: that is remembered, and if it happens again and again it is for good.
    mutating func noteBlocked(_ peer: PeerID, now: Duration) {
        let (most, seconds) = (self.configuration.lastingBlockCount, self.configuration.lastingBlockSeconds)
        guard let change = self.blocks.blockedForAWhile(peer, most: most, within: seconds, at: self.moment(now).time) else { return }
        self.outbox.report(.keep(peer, change.standing))
        if let forgotten = change.forgotten { self.outbox.report(.keep(forgotten, nil)) }
        guard change.isLasting else { return }
        self.outbox.report(.blockedLastingly(peer, peer.identity.flatMap { self.signer(speakingThrough: $0) }))
        self.endConnections(with: peer)
    }

    private mutating func endConnections(with peer: PeerID) {
        // First the list, so that it does not come back at once.
        self.outbox.report(.deny(self.blocks.blocked))
        self.outbox.send(.disconnect(peer))
    }

    /// Lets go of what counts against nobody any more.
    mutating func forgetConduct(now: Duration) {
        self.conduct.forgetOver(now: now)
        self.strangers.forgetOver(now: now)
        for peer in self.blocks.forgetOver(within: self.configuration.lastingBlockSeconds, at: self.moment(now).time) {
            self.outbox.report(.keep(peer, nil))
        }
        self.rates = self.rates.filter { !$0.value.isFull(now: now) }
    }
}
