// Dials of the owner and of machines.

extension Swarm {
    /// Dials a peer, with these addresses beside those of the address book. ``SwarmEvent/connected(_:)`` or
    /// ``SwarmEvent/dialFailed(peer:_:)`` follows, unless there is a connection already.
    ///
    /// - Returns: the connection that there is, with which nothing more is done.
    @discardableResult
    public mutating func dial(
        _ peer: PeerID, at addresses: [Multiaddr] = [], options: DialOptions = DialOptions(), now: Duration
    ) -> ConnectionInfo? {
        defer { self.settle(now: now) }
        return self.startLadder(peer, addresses, options, now: now)
    }

    /// The same without carrying on, for machines: whoever calls does that.
    @discardableResult
    mutating func startLadder(_ peer: PeerID, _ addresses: [Multiaddr], _ options: DialOptions, now: Duration) -> ConnectionInfo? {
        let known = self.preferredConnection(to: peer)
        if !options.isHolePunch, let known, options.isAnswered(by: known) { return known }
        // What the caller gives comes first within its rank.
        let given = addresses.filter { $0.peerID == nil || $0.peerID == peer }
        var all = self.addressBook.dialAddresses(of: peer, now: now)
        if options.isHearsay { all.hearsay = given + all.hearsay } else { all.given = given + all.given }
        let wantsDirect = options.isDirect || known != nil
        let useful = all.filter { self.gate.refusal(of: $0) == nil && !(wantsDirect && $0.isRelayed) }
        if let error = self.refusalOfDial(peer, useful, options, now: now) {
            self.events.append(.dialFailed(peer: peer, error))
            return nil
        }
        // There is no better one to be had than the one through a relay.
        if useful.isEmpty, !options.isDirect, self.ladders[peer] == nil, let known { return known }
        // A hole punch has its moment and its role: it does not wait in another dial's queue.
        if options.isHolePunch { self.callOffUnconnected(of: peer) }
        self.ladders[peer, default: DialLadder(options: options, now: now)].join(options)
        self.ladders[peer]?.add(useful, addressCountMax: self.limits.dialAddressCountMax)
        self.climb(peer, now: now)
        return nil
    }

    /// Whether a dial of the peer is under way.
    public func isDialling(_ peer: PeerID) -> Bool { self.ladders[peer] != nil }

    /// Dials an address of which it is not known who answers there. If it names a peer at its end, that peer must.
    public mutating func dial(_ address: Multiaddr, now: Duration) {
        if let peer = address.peerID {
            self.dial(peer, at: [address], now: now)
            return
        }
        guard AddressRank(address) != nil, self.gate.refusal(of: address) == nil, self.pendingDials.count < self.limits.dialCountMax else {
            self.events.append(.dialFailed(peer: nil, .noAddresses))
            return
        }
        self.startDial(address, leastScope: nil, isHearsay: false, of: nil, DialOptions(), now: now)
        self.settle(now: now)
    }

    /// Calls a dial off. Handshakes that are under way go on by themselves.
    private mutating func callOffUnconnected(of peer: PeerID) {
        guard let ladder = self.ladders.removeValue(forKey: peer) else { return }
        for id in ladder.attempts.keys.sorted() where self.pendingDials.removeValue(forKey: id) != nil {
            self.attemptPeers[id] = nil
            self.commands.append(.close(id, afterOutput: false))
        }
    }

    private func refusalOfDial(_ peer: PeerID, _ addresses: DialAddresses, _ options: DialOptions, now: Duration) -> DialError? {
        if peer == self.localPeer { return .refused(.ownIdentity) }
        if let refusal = self.gate.refusal(of: peer) { return .refused(refusal) }
        guard !options.ignoresBackoff, self.ladders[peer] == nil else { return nil }
        // That what strangers said led nowhere does not stand in the way of what is known better.
        let kinds = addresses.given.isEmpty && addresses.own.isEmpty ? [false, true] : [false]
        let until = kinds.compactMap { self.backoffs[DialBackoff.Key(peer: peer, isHearsay: $0)]?.until }.max()
        return until.flatMap { $0 > now ? .backingOff(until: $0) : nil }
    }

    /// Starts what may be started of a dial, or ends it when nothing is left.
    mutating func climb(_ peer: PeerID, now: Duration) {
        while let options = self.ladders[peer]?.options {
            // What is dialled at the same moment as another dials us, that other has named.
            let isHearsay = options.isHolePunch || self.ladders[peer]?.nextIsHearsay ?? false
            guard self.hasRoomForDial(isHearsay: isHearsay) else {
                self.ladders[peer]?.postpone(until: now + self.limits.dialStagger)
                break
            }
            guard
                let (address, leastScope) = self.ladders[peer]?.next(
                    stagger: self.limits.dialStagger, attemptCountMax: self.limits.dialCountOfPeerMax, now: now)
            else { break }
            let least = leastScope ?? (options.isHolePunch ? address.scope : nil)
            let id = self.startDial(address, leastScope: least, isHearsay: isHearsay, of: peer, options, now: now)
            self.ladders[peer]?.started(id, address)
        }
        guard let ladder = self.ladders[peer] else { return }
        if ladder.isOver {
            self.ladders[peer] = nil
            self.dialIsOver(peer, ladder, now: now)
        } else if let deadline = ladder.deadline(attemptCountMax: self.limits.dialCountOfPeerMax) {
            self.deadlines.insert(.ladder(peer), at: max(deadline, now))
        }
    }

    /// What strangers name has half of all places: whoever names many leaves room for what is known better.
    private func hasRoomForDial(isHearsay: Bool) -> Bool {
        guard self.pendingDials.count < self.limits.dialCountMax else { return false }
        return !isHearsay || self.pendingDials.values.count { $0.isHearsay } < (self.limits.dialCountMax + 1) / 2
    }

    /// What a dial that has no pipe yet is for.
    func pendingDial(_ id: ConnectionID) -> RawDial? { self.pendingDials[id]?.raw }

    @discardableResult
    private mutating func startDial(
        _ address: Multiaddr, leastScope: AddressScope?, isHearsay: Bool, of peer: PeerID?, _ options: DialOptions, now: Duration
    ) -> ConnectionID {
        let id = self.newConnectionID()
        let raw = RawDial(address: address, peer: peer, fromListenPort: options.isHolePunch, leastScope: leastScope)
        let deadline = now + self.limits.dialTimeout
        self.pendingDials[id] = PendingDial(raw: raw, options: options, isHearsay: isHearsay, deadline: deadline)
        self.deadlines.insert(.pendingDial(id), at: deadline)
        if let peer { self.attemptPeers[id] = peer }
        if address.isRelayed {
            self.events.append(.relayNeeded(id, raw))
        } else {
            self.commands.append(.dial(id, raw))
        }
        return id
    }

    private mutating func dialIsOver(_ peer: PeerID, _ ladder: DialLadder, now: Duration) {
        // A connection that came from the other side meanwhile is what the dial was for; one through a relay is not.
        if let known = self.preferredConnection(to: peer), ladder.options.isAnswered(by: known) { return }
        self.counters.failedDials += 1
        guard !ladder.failures.isEmpty else {
            self.events.append(.dialFailed(peer: peer, .noAddresses))
            return
        }
        self.backOff(DialBackoff.Key(peer: peer, isHearsay: ladder.isHearsay), now: now)
        self.events.append(.dialFailed(peer: peer, .allFailed(ladder.failures)))
    }

    private mutating func backOff(_ key: DialBackoff.Key, now: Duration) {
        let count = self.backoffs[key]?.failureCount ?? 0
        let wait = min(self.limits.backoffFirst * (1 << min(count, 20)), self.limits.backoffMax)
        // Up to a quarter more, so that many who lost one peer do not all come back at once.
        let spread = wait * Int.random(in: 0..<256, using: &self.random) / 1_024
        if self.backoffs.count >= self.limits.backoffCountMax { self.backoffs = self.backoffs.filter { $0.value.until > now } }
        guard self.backoffs.count < self.limits.backoffCountMax else { return }
        self.backoffs[key] = DialBackoff(failureCount: count + 1, until: now + wait + spread)
    }

    // MARK: Ends of attempts

    mutating func pendingDialFailed(_ id: ConnectionID, _ failure: RawDialFailure, now: Duration) {
        guard let dial = self.pendingDials.removeValue(forKey: id) else { return }
        self.attemptFailed(id, of: dial.raw.peer, address: dial.raw.address, .pipe(failure), now: now)
    }

    mutating func attemptFailed(
        _ id: ConnectionID, of dialledPeer: PeerID?, address: Multiaddr, _ reason: DialAttemptFailure.Reason, now: Duration
    ) {
        guard let peer = self.attemptPeers.removeValue(forKey: id) else {
            self.counters.failedDials += 1
            self.events.append(.dialFailed(peer: dialledPeer, .allFailed([DialAttemptFailure(address: address, reason: reason)])))
            return
        }
        if case .connection(.handshake(.wrongPeer)) = reason { self.addressBook.remove(address, of: peer) }
        self.ladders[peer]?.failed(id, reason, now: now)
        self.climb(peer, now: now)
    }

    /// There is a proved connection with the peer: what the dial has not connected yet is not needed any more.
    ///
    /// Handshakes of ours that are under way are ended only if the connection is ours as well. Otherwise both sides might end the
    /// connection that the other one has just chosen.
    mutating func endDial(of peer: PeerID, winner: ConnectionInfo, now: Duration) {
        for isHearsay in [false, true] { self.backoffs[DialBackoff.Key(peer: peer, isHearsay: isHearsay)] = nil }
        self.attemptPeers[winner.id] = nil
        // One that comes through a relay while we dial directly does not end that dial.
        guard let ladder = self.ladders[peer] else { return }
        guard ladder.options.isAnswered(by: winner) || ladder.attempts[winner.id] != nil && !ladder.options.isDirect else {
            guard ladder.attempts[winner.id] != nil else { return }
            self.ladders[peer]?.connected(winner.id)
            return self.climb(peer, now: now)
        }
        self.ladders[peer] = nil
        for id in ladder.attempts.keys.sorted() where id != winner.id {
            if self.pendingDials.removeValue(forKey: id) != nil {
                self.attemptPeers[id] = nil
                self.commands.append(.close(id, afterOutput: false))
            } else if winner.isOutbound, let link = self.links[id] {
                link.value.connection.close(.otherDialWon)
                self.touch(link)
            }
        }
    }
}
