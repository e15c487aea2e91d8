// What is told of us, and what we believe of others.

// MARK: - What we say of ourselves

extension Node {
    /// The addresses that others are told: where we listen, then where others see us, then those through relays.
    public var announcedAddresses: [Multiaddr] { self.directAddresses + self.circuitAddresses }

    private var directAddresses: [Multiaddr] {
        self.listenAddresses + self.observedAddresses.filter { !self.listenAddresses.contains($0) }
    }

    /// Where we listen has changed.
    public mutating func setAddresses(_ addresses: [Multiaddr], now: Duration) {
        self.listenAddresses = addresses
        self.announce(now: now)
    }

    /// Tells others what we serve and where, if that has changed: to be called after protocols were added to the swarm or removed, and
    /// after a change of the hash table's mode.
    public mutating func announce(now: Duration) {
        let addresses = self.announcedAddresses
        let info = IdentifyInfo(agentVersion: self.agentVersion, protocols: self.swarm.servedProtocolIDs, addresses: addresses)
        let sequence = Self.nanoseconds(now + self.unixTimeOffset)
        self.swarm.update(self.identify, now: now) { $0.update(info, sequence: sequence, now: now) }
        if let kad = self.kad { self.swarm.update(kad, now: now) { $0.setOwnAddresses(addresses) } }
        let direct = self.directAddresses
        if let relayServer = self.relayServer { self.swarm.update(relayServer, now: now) { $0.addresses = direct } }
        if let holePunch = self.holePunch { self.swarm.update(holePunch, now: now) { $0.addresses = direct } }
    }

    /// Corrects the clock.
    public mutating func setUnixTimeOffset(_ offset: Duration, now: Duration) {
        self.unixTimeOffset = offset
        if let kad = self.kad { self.swarm.update(kad, now: now) { $0.setUnixTimeOffset(offset) } }
        if let relayClient = self.relayClient { self.swarm.update(relayClient, now: now) { $0.unixOffset = offset } }
        if let relayServer = self.relayServer { self.swarm.update(relayServer, now: now) { $0.unixOffset = offset } }
    }

    /// Records and messages are numbered by nanoseconds since 1970, as others number them.
    static func nanoseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        let (nanoseconds, isTooLarge) = UInt64(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return isTooLarge ? .max : nanoseconds &+ UInt64(clamping: attoseconds / 1_000_000_000)
    }
}

// MARK: - What others say of themselves

extension Node {
    mutating func join(_ event: Identify.Event, now: Duration) {
        switch event {
        case .identified(let found, _): self.learn(found, now: now)
        case .observedAddresses(let addresses):
            self.observedAddresses = addresses
            self.announce(now: now)
        case .failed, .refused: return
        }
    }

    /// Addresses come first: once the protocols are known, machines begin to use them.
    private mutating func learn(_ found: IdentifiedPeer, now: Duration) {
        let peer = found.peer
        // The peer may have gone since.
        guard self.swarm.isConnected(to: peer) else { return }
        if let addresses = found.record?.addresses ?? found.listenAddresses {
            let usable = self.usable(addresses, of: peer)
            let household = self.swarm.connections(to: peer).first?.household
            if let record = found.record {
                let known = PeerRecord(peerID: peer, sequence: record.sequence, addresses: usable)
                self.swarm.addressBook.add(known, household: household, now: now)
            } else {
                self.swarm.addressBook.add(usable, of: peer, from: .identified, household: household, now: now)
            }
            if let kad = self.kad { self.swarm.update(kad, now: now) { $0.learn(usable, of: peer) } }
            // It has its own rule for which of them it dials.
            if let holePunch = self.holePunch { self.swarm.update(holePunch, now: now) { $0.learn(addresses, of: peer, now: now) } }
        }
        // Its signature was verified where the peer said who it is.
        if let gossipsub = self.gossipsub, let bytes = found.signedPeerRecord {
            self.swarm.update(gossipsub, now: now) { _ = $0.setVerifiedRecord(bytes, of: peer) }
        }
        if let protocols = found.protocols { self.swarm.learned(protocols, of: peer, now: now) }
    }

    /// Without those that reach less far than the peer is away. Otherwise a stranger could make us dial into our own network.
    package func usable(_ addresses: [Multiaddr], of peer: PeerID) -> [Multiaddr] {
        let distance = self.swarm.connections(to: peer).compactMap(\.distance).max() ?? .everywhere
        return addresses.compactMap { $0.reaching(distance) }
    }
}
