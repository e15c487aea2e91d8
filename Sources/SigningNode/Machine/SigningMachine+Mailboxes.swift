public import CryptoPrimitives
public import LibP2P
internal import Secp256k1
public import Signing

// What is said to members, and by them, that are never connected at the same time.
//
//     no connection, and dials lead nowhere ──▶ what is said waits in the member's mailboxes
//     our mailboxes ──fetch──▶ the request's machine ──what follows is on the disk──▶ acknowledge

extension SigningMachine {
    /// Which mailboxes a node uses, and whether it is one.
    public struct MailboxConfiguration: Sendable {
        /// Whether it keeps messages for those whom its owner knows: the members of its groups, and `setContacts`.
        public var serves = false
        /// Where messages for us are kept: addresses of nodes, each with its peer id. The first four count.
        public var own: [Multiaddr] = []
        /// How far apart the visits of members to their mailboxes are taken to be, in the longest case: the round trip to one that is not
        /// connected is so long for each member of its group. It never keeps a request from going round once in its time.
        public var visitInterval = Duration.seconds(600)
        public var server = MailboxServer.Limits()
        public var bounds = MailboxBounds()
        public var client: MailboxClient.Limits = {
            var limits = MailboxClient.Limits()
            // A connection without streams is let go after 120 s: a look keeps it, so that the mailbox can tell us when something comes.
            limits.pollIntervalMax = .seconds(90)
            return limits
        }()

        public init() {}
    }

    /// How it stands with a mailbox.
    public struct MailboxState: Hashable, Sendable {
        public let peer: PeerID
        /// Whether messages for us are kept there.
        public let isOurs: Bool
        public let isConnected: Bool
    }

    /// The mailboxes of ours and of members, ours first.
    public var mailboxStates: [MailboxState] {
        let ours = self.mailboxes.ownPeers
        let others = Set(self.mailboxesOf.values.joined()).subtracting(ours).sorted()
        return (ours + others).map { MailboxState(peer: $0, isOurs: ours.contains($0), isConnected: self.members.isConnected($0)) }
    }

    // MARK: Who is who

    /// For whom this node keeps messages if it is a mailbox, beside the members of its groups.
    public mutating func setContacts(_ identities: Set<Ed25519.PublicKey>) {
        self.contacts = identities
        self.membersChanged()
    }

    /// Members or contacts have changed, or where the mailboxes of these are: looked at once, however many change together.
    mutating func membersChanged(_ peers: Set<PeerID> = []) {
        self.changedPeers = (self.changedPeers ?? []).union(peers)
        self.deadlines.set(.mailboxes, at: .zero)
    }

    private mutating func setMembers(now: Duration) {
        guard let changed = self.changedPeers else { return }
        self.changedPeers = nil
        let own = self.keys.enrolment.identity
        var identities: [Ed25519.PublicKey] = []
        for group in self.groups.values {
            for member in group.policy.members {
                if let identity = group.roster.enrolment(of: member)?.identity { identities.append(identity) }
            }
        }
        for request in self.live.values { identities += request.others.map(\.enrolment.identity) }
        let members = Set(identities).subtracting([own]).sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        let moment = self.moment(now)
        self.mailboxes.client.setMembers(members.map { ($0, self.mailboxesOf[PeerID(of: $0)] ?? []) }, now: moment)
        // One that is new may be here already: nobody else would say so.
        for peer in self.mailboxes.client.unconnectedMailboxes where self.members.isConnected(peer) {
            self.mailboxes.client.connected(peer, now: moment)
        }
        self.mailboxes.server?.setRecipients(self.contacts.union(members).subtracting([own]))
        for peer in changed.sorted() { self.noteAway(peer, now: now) }
        guard self.hasNewGroup else { return }
        self.hasNewGroup = false
        let early = self.early
        self.early = []
        for message in early { self.deliver(message.bytes, from: message.from, message.receipt, now: now) }
    }

    /// Among a node's addresses those that end with another peer's id are its mailboxes: there something can be left for it.
    ///
    /// - Returns: where the node itself is.
    mutating func takeMailboxes(
        from addresses: [Multiaddr], of peer: PeerID, by source: PeerDirectory.Source
    ) -> [Multiaddr] {
        let before = self.mailboxesOf[peer] ?? []
        var known = before
        let told = addresses.compactMap { address in address.mailbox(of: peer).map { (mailbox: $0, address: address.withoutPeerID) } }
        for (mailbox, _) in told where mailbox != self.keys.identity.id && !known.contains(mailbox) { known.append(mailbox) }
        // The last word counts most.
        known = Array(known.suffix(self.configuration.mailboxes.client.mailboxesPerMemberMax))
        for (mailbox, address) in told where known.contains(mailbox) {
            let isKnownOtherwise = self.isMember(mailbox) || mailbox.identity.map { self.contacts.contains($0) } ?? false
            if source == .owner {
                self.members.learn([address], of: mailbox, from: isKnownOtherwise ? .mailbox : .owner)
            } else if !isKnownOtherwise {
                // Where members and contacts are, nobody says for them.
                self.members.learn([address], of: mailbox, from: .mailbox)
            }
        }
        if known != before {
            self.mailboxesOf[peer] = known
            self.membersChanged([peer])
        }
        return addresses.filter { $0.mailbox(of: peer) == nil }
    }

    // MARK: Leaving

    /// Dials without success after which what is said to a member goes to its mailboxes.
    static let dialsUntilAway = 2

    /// Whether no connection leads to a member, as far as dialling can tell, and a mailbox does.
    private func isAway(_ peer: PeerID) -> Bool {
        guard !self.members.isConnected(peer), self.members.failures(of: peer) >= Self.dialsUntilAway, !self.blocks.isBlocked(peer) else {
            return false
        }
        return peer.identity.map(self.mailboxes.client.hasMailbox) ?? false
    }

    /// As far away as the visits of all who have to come are apart.
    private func distance(in request: LiveRequest) -> Duration {
        self.configuration.mailboxes.visitInterval * max(2, request.coordination.policy.members.count)
    }

    /// Members that are away now are farther away for a request that begins.
    mutating func setDistances(of request: LiveRequest, now: Duration) {
        for (member, enrolment) in request.others where self.isAway(PeerID(of: enrolment.identity)) {
            request.coordination.setDistance(self.distance(in: request), of: member, now: self.moment(now))
        }
    }

    /// A member's node was dialled again: if that leads nowhere, what it has to be told is left in its mailboxes.
    mutating func noteAway(_ peer: PeerID, now: Duration) {
        guard self.isAway(peer), let identity = peer.identity else { return }
        for request in self.live.values.sorted(by: { $0.id < $1.id }) {
            guard let member = request.coordination.signer(speakingThrough: identity) else { continue }
            request.coordination.setDistance(self.distance(in: request), of: member, now: self.moment(now))
            request.coordination.noteConnected(member, now: self.moment(now))
            self.step(request, now: now)
        }
    }

    /// A member's node is connected: what it has to be told is told there.
    mutating func noteReached(_ peer: PeerID, now: Duration) {
        self.mailboxes.client.connected(peer, now: self.moment(now))
        self.deadlines.set(.mailboxes, at: now)
        guard let identity = peer.identity else { return }
        self.mailboxes.client.reached(identity)
        for request in self.live.values {
            guard let member = request.coordination.signer(speakingThrough: identity) else { continue }
            request.coordination.setDistance(nil, of: member, now: self.moment(now))
        }
    }

    /// Leaves a message for a member that is away.
    mutating func leave(_ bytes: [UInt8], to member: PublicKey, _ identity: Ed25519.PublicKey, about request: LiveRequest, now: Duration) {
        guard self.isAway(PeerID(of: identity)), let matter = MailboxMatter(of: bytes) else { return }
        let (expiry, overflows) = request.coordination.request.expiry.addingReportingOverflow(Self.afterlife)
        do throws(MailboxClientError) {
            try self.mailboxes.client.leave(
                bytes, about: matter, for: identity, expiry: overflows ? .max : expiry, now: self.moment(now))
            self.deadlines.set(.mailboxes, at: now)
        } catch {
            // Once is enough for its owner to know.
            guard request.notLeft.insert(member).inserted else { return }
            self.outbox.report(.notLeft(request.id, for: member, error))
        }
    }

    // MARK: Fetching

    /// Takes what came by the mailboxes' protocol, and does what is due with them.
    mutating func tendMailboxes(now: Duration) {
        self.setMembers(now: now)
        let moment = self.moment(now)
        while true {
            let needs = self.mailboxes.step(now: moment, self.keys)
            for need in needs {
                switch need {
                case .job(let id, let job): self.outbox.report(.mailbox(id, job, time: moment.time))
                case .deliver(let receipt, let sender, let bytes): self.deliver(bytes, from: sender, receipt, now: now)
                }
            }
            if needs.isEmpty { break }
        }
        for peer in self.mailboxes.wanted(now: moment) { self.want(peer, now: now) }
        let due = [self.mailboxes.client.nextStepAt, self.mailboxes.client.nextWantedAt(now: moment)].compactMap { $0 }.min()
        if let due { self.deadlines.set(.mailboxes, at: max(due, now)) } else { self.deadlines.remove(.mailboxes) }
    }

    /// A mailbox's store has done what it was asked to, or cannot.
    public mutating func done(_ id: MailboxJobID, _ outcome: MailboxServer.Outcome, now: Duration) {
        let members = self.members
        self.mailboxes.done(id, outcome, isConnected: members.isConnected, now: self.moment(now))
    }

    /// Takes a message that lay in a mailbox. Who signed it said it; whoever kept it may have kept it long.
    mutating func deliver(_ bytes: [UInt8], from identity: Ed25519.PublicKey, _ receipt: MailboxReceipt, now: Duration) {
        let peer = PeerID(of: identity)
        guard !self.conduct.isBlocked(peer, now: now), !self.blocks.isBlocked(peer), self.isMember(identity) else {
            return self.mailboxes.client.safe(receipt)
        }
        guard let id = Coordination.request(of: bytes) else {
            self.outbox.report(.refused(peer, .coordination(.malformed(.unknownFormat))))
            return self.mailboxes.client.safe(receipt)
        }
        if let request = self.live[id] {
            _ = self.take(bytes, from: identity, peer, about: request, isLive: false, now: now)
            request.receipts.append(receipt)
            return self.giveReceipts(of: request, now: now)
        }
        let isKnown = self.arriving[id] != nil
        if isKnown {
            guard self.keep(bytes, from: identity, about: id, isLive: false) else { return self.mailboxes.client.giveBack(receipt) }
        } else {
            switch self.takeNew(bytes, from: identity, peer, isLive: false, now: now) {
            case .taken: break
            case .unknown: return self.keepEarly(EarlyMessage(request: id, bytes: bytes, from: identity, receipt: receipt))
            case .refused, .blocked, .busy: return self.mailboxes.client.safe(receipt)
            }
        }
        // Without a place there it was not taken for want of room.
        guard self.arriving[id] != nil else { return self.mailboxes.client.giveBack(receipt) }
        self.arriving[id]?.receipts.append(receipt)
    }

    /// What came through mailboxes about a request is safe once nothing about it waits for the disk.
    mutating func giveReceipts(of request: LiveRequest, now: Duration) {
        guard !request.receipts.isEmpty, request.writing == nil, request.writes.isEmpty else { return }
        for receipt in request.receipts { self.mailboxes.client.safe(receipt) }
        request.receipts = []
        self.deadlines.set(.mailboxes, at: now)
    }

    /// A message about a request that is not known here: its proposal may lie in another mailbox, and its group may not be known yet.
    struct EarlyMessage: Sendable {
        let request: Bytes32
        let bytes: [UInt8]
        let from: Ed25519.PublicKey
        let receipt: MailboxReceipt

        /// Most that are kept, and their bytes. Whoever has most of them loses its oldest, which is told again after a day.
        static let countMax = 64
        static let byteCountMax = 2 << 20
    }

    mutating func keepEarly(_ message: EarlyMessage) {
        self.early.append(message)
        while true {
            let isCountAbove = self.early.count > EarlyMessage.countMax
            guard isCountAbove || self.early.reduce(0, { $0 + $1.bytes.count }) > EarlyMessage.byteCountMax else { return }
            let shares: [Ed25519.PublicKey: Int] = self.early.reduce(into: [:]) {
                $0[$1.from, default: 0] += isCountAbove ? 1 : $1.bytes.count
            }
            let most = shares.values.max()
            guard let place = self.early.firstIndex(where: { shares[$0.from] == most }) else { return }
            self.mailboxes.client.safe(self.early.remove(at: place).receipt)
        }
    }

    /// The request is known now.
    mutating func takeEarly(about id: Bytes32, now: Duration) {
        let messages = self.early.filter { $0.request == id }
        guard !messages.isEmpty else { return }
        self.early.removeAll { $0.request == id }
        for message in messages { self.deliver(message.bytes, from: message.from, message.receipt, now: now) }
    }
}

extension Multiaddr {
    /// The node where something can be left for a peer, if that is what this is among the peer's addresses: it ends with another's peer id,
    /// and no relay is part of it.
    public func mailbox(of peer: PeerID) -> PeerID? {
        guard let other = self.peerID, other != peer, !self.isRelayed else { return nil }
        return other
    }
}
