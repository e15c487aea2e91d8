internal import CryptoPrimitives

// The lives of connections.

extension Swarm {
    mutating func newConnectionID() -> ConnectionID {
        defer { self.nextConnectionNumber += 1 }
        return ConnectionID(rawValue: self.nextConnectionNumber)
    }

    /// A stream through a relay becomes the pipe of a connection of its own. Its bytes are the swarm's from now on.
    ///
    /// - Parameters:
    ///   - stream: what a relay machine or the owner has; the circuit stands.
    ///   - role: `dialer` for the side that asked for the circuit.
    ///   - dial: the id of `SwarmEvent.relayNeeded` that this answers, if it does.
    ///   - bytes: what the stream has brought already; `hasEnded`: and that was all.
    ///   - address: the relay's, ending in `/p2p-circuit`.
    ///   - isLimited: whether the relay limits duration and bytes.
    /// - Returns: the connection's id; `nil` if the stream is gone or may not be used, and has been reset.
    public mutating func adopt(
        _ stream: StreamID, as role: ConnectionRole, for dial: ConnectionID? = nil, startingWith bytes: [UInt8] = [],
        hasEnded: Bool = false,
        expecting peer: PeerID?, address: Multiaddr, isLimited: Bool, now: Duration
    ) -> ConnectionID? {
        defer { self.settle(now: now) }
        let pending = dial.flatMap { self.pendingDials.removeValue(forKey: $0) }
        let refusal = role == .dialer ? nil : self.refusalOfPipe(from: address, now: now)
        if let refusal { self.refuse(refusal, from: address) }
        guard self.streams[stream]?.request == nil, self.streams[stream] != nil, dial == nil || pending != nil, refusal == nil else {
            self.dropStream(stream, now: now)
            if let dial, let pending { self.attemptFailed(dial, of: peer, address: pending.raw.address, .pipe(.unreachable), now: now) }
            return nil
        }
        let id = dial ?? self.newConnectionID()
        self.streams[stream]?.owner = .circuit(id)
        guard
            self.connect(
                id, role, isOutbound: role == .dialer, address: address, expecting: peer, isLimited: isLimited,
                isGiven: pending.map { $0.raw.leastScope == nil } ?? false, carrier: stream, now: now),
            let link = self.links[id]
        else { return nil }
        var bytes = bytes
        bytes.withUnsafeMutableBytes { self.receive($0, from: link, now: now) }
        if hasEnded { self.streams[stream]?.hasEnded = true }
        self.receiveFromCarrier(stream, now: now)
        return id
    }

    /// Which limit stands in the way of a stranger's pipe. Where too many are in their handshakes, one of those may make room.
    mutating func refusalOfPipe(from address: Multiaddr, now: Duration) -> SwarmRefusal? {
        if let refusal = self.gate.refusal(of: address) { return refusal }
        // A protected peer that is missing may be behind it: who it is shows only in the handshake.
        if self.isFull, self.protectedPeers.allSatisfy({ self.peers[$0] != nil }) {
            return .tooManyConnections(maximum: self.limits.connectionCountMax)
        }
        if let key = address.household, !address.isRelayed,
            self.inboundCountsByAddress[key, default: 0] >= self.limits.inboundCountFromAddressMax
        {
            return .tooManyConnectionsFromAddress(maximum: self.limits.inboundCountFromAddressMax)
        }
        if self.inboundHandshakeCount >= self.limits.inboundHandshakeCountMax, !self.endOneHandshake(for: address, now: now) {
            return .tooManyHandshakes(maximum: self.limits.inboundHandshakeCountMax)
        }
        return nil
    }

    private var isFull: Bool { self.establishedCount >= self.limits.connectionCountMax }

    /// Ends the oldest handshake of the household that has the most, so that a few who only connect and say nothing cannot keep
    /// everybody else out. One that has not been given its time yet stays, unless its household has more than the newcomer's would have.
    private mutating func endOneHandshake(for address: Multiaddr, now: Duration) -> Bool {
        var households: [[UInt8]: (count: Int, oldest: Owned<SwarmLink>)] = [:]
        for link in self.inboundHandshakes.compactMap({ self.links[$0] }) {
            let household = link.value.address.household ?? []
            let known = households[household]
            let oldest = known.map { $0.oldest.value.id < link.value.id ? $0.oldest : link } ?? link
            households[household] = ((known?.count ?? 0) + 1, oldest)
        }
        let own = households[address.household ?? []]?.count ?? 0
        guard let crowd = households.values.max(by: { ($0.count, $1.oldest.value.id) < ($1.count, $0.oldest.value.id) }),
            crowd.count > own + 1 || now - crowd.oldest.value.created >= self.limits.handshakeGracePeriod
        else { return false }
        crowd.oldest.value.connection.close(.limit(.tooManyHandshakes(maximum: self.limits.inboundHandshakeCountMax)))
        self.attend(to: crowd.oldest, now: now)
        return true
    }

    /// Begins the handshake in a pipe.
    @discardableResult
    mutating func connect(
        _ id: ConnectionID, _ role: ConnectionRole, isOutbound: Bool, address: Multiaddr, expecting peer: PeerID?, isLimited: Bool,
        isGiven: Bool = false, carrier: StreamID?, now: Duration
    ) -> Bool {
        let connection: Connection
        do {
            connection = try Connection(
                role, staticKey: self.staticKey, ephemeral: self.makeEphemeralKey(), expecting: peer, limits: self.limits.connection,
                now: now)
        } catch {
            self.noKey(for: id, of: peer, address: address, isOutbound: isOutbound, error, carrier: carrier, now: now)
            return false
        }
        let link = SwarmLink(
            id, connection, role: role, isOutbound: isOutbound, address: address.withoutPeerID, dialledPeer: peer, isLimited: isLimited,
            isGiven: isGiven, carrier: carrier, now: now)
        if !isOutbound {
            self.inboundHandshakes.insert(id)
            self.countInbound(address, by: 1)
        }
        let owned = Owned(link)
        self.links[id] = owned
        self.touch(owned)
        return true
    }

    /// Guarded memory for keys is finite.
    private mutating func noKey(
        for id: ConnectionID, of peer: PeerID?, address: Multiaddr, isOutbound: Bool, _ error: any Error, carrier: StreamID?, now: Duration
    ) {
        let failure: NoiseError =
            switch error {
            case let error as NoiseError: error
            case let error as SecretMemoryError: .secretMemory(error)
            default: .notAuthentic
            }
        self.counters.failedHandshakes += 1
        if let carrier { self.dropStream(carrier, now: now) }
        if isOutbound {
            if carrier == nil { self.commands.append(.close(id, afterOutput: false)) }
            self.attemptFailed(id, of: peer, address: address, .connection(.handshake(failure)), now: now)
        } else {
            self.events.append(.handshakeFailed(from: address, .handshake(failure)))
        }
    }

    private mutating func countInbound(_ address: Multiaddr, by change: Int) {
        guard let key = address.household, !address.isRelayed else { return }
        let count = self.inboundCountsByAddress[key, default: 0] + change
        self.inboundCountsByAddress[key] = count > 0 ? count : nil
    }

    // MARK: What a connection tells

    /// Takes a connection's events, counts its bytes, has its output sent and its deadline kept.
    mutating func attend(to link: Owned<SwarmLink>, now: Duration) {
        link.value.isTouched = false
        while let event = link.value.connection.nextEvent() { self.handle(event, of: link, now: now) }
        guard self.links[link.value.id] != nil else { return }
        if link.value.closing == nil { self.noteRefusedStreams(of: link, now: now) }
        let held = link.value.connection.heldByteCount
        self.linkByteCount += held - link.value.heldByteCount
        link.value.heldByteCount = held
        if link.value.closing == nil, self.linkByteCount + self.pendingWriteByteCount > self.limits.heldByteCountMax {
            self.closeGreatestHolder()
        }
        if let carrier = link.value.carrier {
            self.sendToCarrier(carrier, of: link, now: now)
        } else if !link.value.isSending, link.value.connection.hasOutput {
            link.value.isSending = true
            link.value.stalledSince = now
            self.commands.append(.send(link.value.id))
        }
        self.schedule(link)
    }

    private mutating func handle(_ event: ConnectionEvent, of link: Owned<SwarmLink>, now: Duration) {
        switch event {
        case .established(let peer, _): self.established(link, peer, now: now)
        case .closed(let error): self.closed(link, error, now: now)
        case .wentAway: link.value.hasGoneAway = true
        case .roundTrip, .canOpen: break
        case .opened(let yamux, let protocolID): self.streamOpened(yamux, protocolID, of: link, now: now)
        case .failed(let yamux, let failure): self.streamFailed(yamux, failure, of: link)
        case .inbound(let yamux, let protocolID): self.streamInbound(yamux, protocolID, of: link, now: now)
        case .readable(let yamux): self.streamReadable(yamux, of: link, now: now)
        case .ended(let yamux): self.streamEnded(yamux, of: link, now: now)
        case .reset(let yamux, let origin):
            if case .session(let fault) = origin { self.streamRefused(.session(fault), of: link, now: now) }
            self.streamLost(yamux, of: link, now: now)
        case .refused(let refusal): self.streamRefused(refusal, of: link, now: now)
        case .finished(let yamux): self.streamFinished(yamux, of: link)
        case .writable(let yamux): self.streamWritable(yamux, of: link, now: now)
        case .peerStoppedReading: break  // What is written is refused, and the end follows when all was read.
        }
    }

    private mutating func established(_ link: Owned<SwarmLink>, _ peer: PeerID, now: Duration) {
        self.inboundHandshakes.remove(link.value.id)
        if let refusal = self.refusal(of: peer) {
            self.counters.refusedPeers += 1
            self.events.append(.refused(refusal, peer: peer, address: link.value.address))
            // Counted as established so that its end is counted as well.
            self.establishedCount += 1
            link.value.info = nil
            link.value.connection.close(.limit(refusal))
            return
        }
        let info = ConnectionInfo(
            id: link.value.id, peer: peer, isOutbound: link.value.isOutbound, remoteAddress: link.value.address,
            isLimited: link.value.isLimited)
        self.establishedCount += 1
        link.value.info = info
        link.value.connection.isKeptOpen = self.protectedPeers.contains(peer)
        self.peers[peer, default: SwarmPeer()].connections.append(link.value.id)
        if link.value.isOutbound {
            self.addressBook.add(
                [link.value.address], of: peer, from: .connected, household: info.household, isGiven: link.value.isGiven, now: now)
        }
        self.endDial(of: peer, winner: info, now: now)
        self.events.append(.connected(info))
        self.tellMachines(.connected(info))
        if self.establishedCount > self.limits.connectionCountHighWater { self.trim(now: now) }
    }

    private func refusal(of peer: PeerID) -> SwarmRefusal? {
        if peer == self.localPeer { return .ownIdentity }
        if let refusal = self.gate.refusal(of: peer) { return refusal }
        if self.isFull, !self.protectedPeers.contains(peer) { return .tooManyConnections(maximum: self.limits.connectionCountMax) }
        if (self.peers[peer]?.connections.count ?? 0) >= self.limits.connectionCountOfPeerMax {
            return .tooManyConnectionsOfPeer(maximum: self.limits.connectionCountOfPeerMax)
        }
        return nil
    }

    // MARK: End

    /// Ends all connections with a peer, and a dial that is under way.
    public mutating func disconnect(_ peer: PeerID, now: Duration) {
        self.closeConnections(with: peer)
        self.callOffDial(of: peer)
        self.settle(now: now)
    }

    /// Ends one connection, established or not.
    public mutating func close(_ id: ConnectionID, now: Duration) {
        if let link = self.links[id] {
            link.value.connection.close()
            self.touch(link)
        }
        self.settle(now: now)
    }

    /// Ends everything, in order: go-aways are sent first. The shell's listeners are its own to close.
    public mutating func shutDown(now: Duration) {
        for peer in self.ladders.keys.sorted() { self.callOffDial(of: peer) }
        for id in self.pendingDials.keys.sorted() { self.commands.append(.close(id, afterOutput: false)) }
        self.pendingDials = [:]
        for id in self.links.keys.sorted() {
            guard let link = self.links[id] else { continue }
            link.value.connection.close()
            self.touch(link)
        }
        self.settle(now: now)
    }

    mutating func closeConnections(with peer: PeerID) {
        for id in self.peers[peer]?.connections ?? [] {
            guard let link = self.links[id] else { continue }
            link.value.connection.close()
            self.touch(link)
        }
    }

    private mutating func callOffDial(of peer: PeerID) {
        guard let ladder = self.ladders.removeValue(forKey: peer) else { return }
        for id in ladder.attempts.keys.sorted() {
            self.attemptPeers[id] = nil
            if self.pendingDials.removeValue(forKey: id) != nil {
                self.commands.append(.close(id, afterOutput: false))
            } else if let link = self.links[id] {
                link.value.connection.close()
                self.touch(link)
            }
        }
    }

    /// A connection is over: everybody hears of it. Its last words may still be sent.
    private mutating func closed(_ link: Owned<SwarmLink>, _ error: ConnectionError, now: Duration) {
        let id = link.value.id
        link.value.closing = error
        if !link.value.isOutbound { self.countInbound(link.value.address, by: -1) }
        let isEstablished = link.value.connection.step == .established
        if isEstablished { self.establishedCount -= 1 }
        self.counters.count(link)
        for stream in link.value.streams.values.sorted() { self.streamIsGone(stream, failure: .ended, now: now) }
        link.value.streams = [:]
        if let info = link.value.info {
            // Before it is told that the connection ended: nothing of a connection is told after that.
            self.noteRefusedStreams(of: link, now: now)
            self.peers[info.peer]?.connections.removeAll { $0 == id }
            if self.peers[info.peer]?.connections.isEmpty == true { self.peers[info.peer] = nil }
            self.events.append(.disconnected(info, error))
            self.tellMachines(.disconnected(info))
        } else {
            self.handshakeFailed(link, error, isEstablished: isEstablished, now: now)
        }
        if let carrier = link.value.carrier {
            self.sendToCarrier(carrier, of: link, now: now)
            self.closeCarrier(carrier, now: now)
            self.forget(link)
        } else if link.value.connection.hasOutput {
            link.value.lingerDeadline = now + self.limits.lingerTimeout
            link.value.lookedAt = nil
            // With `close` the shell asks for output anyway.
            link.value.isSending = true
            self.commands.append(.close(id, afterOutput: true))
        } else {
            self.commands.append(.close(id, afterOutput: false))
            self.forget(link)
        }
    }

    /// A connection ended before it had a peer that may stay.
    private mutating func handshakeFailed(_ link: Owned<SwarmLink>, _ error: ConnectionError, isEstablished: Bool, now: Duration) {
        self.inboundHandshakes.remove(link.value.id)
        if case .closedHere(let closing) = error, closing == .otherDialWon || closing == .requested {
            // Of a dial that goes on it is one attempt that came to nothing.
            if closing == .requested, let peer = self.attemptPeers[link.value.id], self.ladders[peer] != nil {
                return self.attemptFailed(link.value.id, of: peer, address: link.value.address, .connection(error), now: now)
            }
            self.attemptPeers[link.value.id] = nil
            return
        }
        if !isEstablished { self.counters.failedHandshakes += 1 }
        if link.value.isOutbound {
            self.attemptFailed(link.value.id, of: link.value.dialledPeer, address: link.value.address, .connection(error), now: now)
        } else if !isEstablished {
            self.events.append(.handshakeFailed(from: link.value.address, error))
        }
    }

    /// Nothing more is to be sent.
    mutating func forget(_ link: Owned<SwarmLink>) {
        self.linkByteCount -= link.value.heldByteCount
        link.value.heldByteCount = 0
        self.links[link.value.id] = nil
    }

    // MARK: Protection and trimming

    /// Keeps connections with a peer: they are neither trimmed nor ended for being idle.
    public mutating func protect(_ peer: PeerID, now: Duration) { self.setProtection(of: peer, true, now: now) }

    public func isProtected(_ peer: PeerID) -> Bool { self.protectedPeers.contains(peer) }

    public mutating func unprotect(_ peer: PeerID, now: Duration) { self.setProtection(of: peer, false, now: now) }

    private mutating func setProtection(of peer: PeerID, _ isProtected: Bool, now: Duration) {
        if isProtected { self.protectedPeers.insert(peer) } else { self.protectedPeers.remove(peer) }
        for id in self.peers[peer]?.connections ?? [] {
            guard let link = self.links[id] else { continue }
            link.value.connection.isKeptOpen = isProtected
            self.touch(link)
        }
        self.settle(now: now)
    }

    /// Closes the least used connections: those with the fewest streams first, and among them the one that was silent longest. But before
    /// them, and however young, those of which a household has many: a flood of strangers ends itself and not those who were here before.
    private mutating func trim(now: Duration) {
        var candidates: [(link: Owned<SwarmLink>, isInCrowd: Bool, streamCount: Int, lastReceived: Duration)] = []
        var householdCounts: [[UInt8]: Int] = [:]
        for link in self.links.values.sorted(by: { $0.value.id < $1.value.id }) {
            guard let info = link.value.info, link.value.closing == nil, !self.protectedPeers.contains(info.peer) else { continue }
            var isInCrowd = false
            if !link.value.isOutbound, let household = link.value.address.household {
                householdCounts[household, default: 0] += 1
                isInCrowd = householdCounts[household, default: 0] > self.limits.uncrowdedCount
            }
            guard isInCrowd || now - link.value.created >= self.limits.trimGracePeriod else { continue }
            candidates.append((link, isInCrowd, link.value.streams.count, link.value.connection.lastReceived))
        }
        candidates.sort {
            if $0.isInCrowd != $1.isInCrowd { return $0.isInCrowd }
            return ($0.streamCount, $0.lastReceived, $0.link.value.id) < ($1.streamCount, $1.lastReceived, $1.link.value.id)
        }
        let surplus = self.establishedCount - self.limits.trimmedConnectionCount
        for candidate in candidates.prefix(max(0, surplus)) {
            self.counters.trimmedConnections += 1
            candidate.link.value.connection.close(.trimmed)
            self.touch(candidate.link)
        }
    }

    /// Closes the connection that holds the most of the household that holds the most: many who hold a little each, behind one address,
    /// do not push out one elsewhere who holds more. Protected peers' stay, unless the others together do not hold half of the limit.
    private mutating func closeGreatestHolder() {
        // In an order that does not depend on hashes, so that a seed replays.
        let live = self.links.values.filter { $0.value.closing == nil }.sorted { $0.value.id < $1.value.id }
        let strangers = live.filter { link in link.value.info.map { !self.protectedPeers.contains($0.peer) } ?? true }
        let isTheirs = strangers.reduce(0) { $0 + $1.value.countedByteCount } >= self.limits.heldByteCountMax / 2
        var households: [[UInt8]: (byteCount: Int, greatest: Owned<SwarmLink>)] = [:]
        for link in isTheirs ? strangers : live {
            // Whom we dialled ourselves is counted alone, as is who has no address.
            let household = link.value.isOutbound ? nil : link.value.address.household
            let key = household ?? withUnsafeBytes(of: link.value.id.rawValue) { [0] + $0 }
            let known = households[key]
            let greatest = known.map { $0.greatest.value.countedByteCount >= link.value.countedByteCount ? $0.greatest : link } ?? link
            households[key] = ((known?.byteCount ?? 0) + link.value.countedByteCount, greatest)
        }
        let most = households.values.max { ($0.byteCount, $1.greatest.value.id) < ($1.byteCount, $0.greatest.value.id) }
        guard let greatest = most?.greatest else { return }
        self.counters.trimmedConnections += 1
        greatest.value.connection.close(.memory)
        self.touch(greatest)
    }
}

extension SwarmCounters {
    /// Adds what a connection's session has seen.
    mutating func count(_ link: Owned<SwarmLink>) {
        self.refusedNegotiations += link.value.connection.refusedNegotiations
        self.failedNegotiations += link.value.connection.failedNegotiations
        self.sessions.add(link.value.connection.counters)
    }
}
