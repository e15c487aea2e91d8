public import CryptoPrimitives

/// A swarm with the protocols of a node, joined: what identify learns of a peer reaches all who need it.
///
///     var node = Node(identity, staticKey: key, makeEphemeralKey: X25519.SecretKey.generate, configuration: …, now: now)
///     node.swarm.dial(peer, at: [address], now: now)
///     if let kad = node.kad { node.swarm.update(kad, now: now) { $0.put(key: key, value: value, now: now) } }
///     while let event = node.nextEvent(now: now) { … }
///     while let command = node.swarm.nextCommand() { … }
///
/// The shell drives ``swarm`` as it would drive one alone (SwarmShell.swift), with one difference: it takes events by
/// ``nextEvent(now:)``, after each call and before the commands, for that is where the joining is done:
///
/// - what a peer serves goes to the swarm and from there to all machines: ``Gossipsub`` and ``KadDHT`` begin with the peer then;
/// - where it can be reached goes to the address book and to the hash table, its signed record to gossipsub for peer exchange;
/// - under which addresses others see us, and what we serve, goes into what identify and the hash table tell others.
///
/// Further machines are added to the swarm by the owner, who calls ``announce(now:)`` afterwards.
public struct Node: ~Copyable, Sendable {
    public struct Configuration: Sendable {
        /// `name/version` of the program, as identify tells it.
        public var agentVersion: String
        /// Where we listen, without our peer id, as others can dial it; the best first.
        public var addresses: [Multiaddr]
        public var limits = SwarmLimits()
        public var identify = Identify.Configuration()
        public var ping = Ping.Configuration()
        /// `nil`: gossipsub is not spoken.
        public var gossipsub: GossipsubParameters? = GossipsubParameters()
        /// Peers that get all messages whatever their score: see `Gossipsub.init`.
        public var directPeers: [PeerID: [Multiaddr]] = [:]
        /// `nil`: there is no hash table.
        public var kad: KadDHT.Configuration? = KadDHT.Configuration()

        public init(agentVersion: String, addresses: [Multiaddr] = []) {
            self.agentVersion = agentVersion
            self.addresses = addresses
        }

        /// With nothing but ping and identify, which every node speaks.
        public static func bare(agentVersion: String, addresses: [Multiaddr] = []) -> Configuration {
            var configuration = Configuration(agentVersion: agentVersion, addresses: addresses)
            configuration.gossipsub = nil
            configuration.kad = nil
            return configuration
        }
    }

    /// What the owner should know, from whom it comes.
    public enum Event: Equatable, Sendable {
        case swarm(SwarmEvent)
        case identify(Identify.Event)
        case ping(Ping.Event)
        case gossipsub(GossipsubEvent)
        case kad(KadEvent)
    }

    /// The connections. Everything may be asked of it except its events, which ``nextEvent(now:)`` takes.
    public var swarm: Swarm
    public let identify: ProtocolHandle<Identify>
    public let ping: ProtocolHandle<Ping>
    /// `nil` where the configuration has none.
    public let gossipsub: ProtocolHandle<Gossipsub>?
    /// `nil` where the configuration has none.
    public let kad: ProtocolHandle<KadDHT>?

    private let agentVersion: String
    /// Where we listen, as the owner said.
    private var listenAddresses: [Multiaddr]
    /// Where enough others see us.
    private var observedAddresses: [Multiaddr] = []
    private var unixTimeOffset: Duration
    /// The number of the last message that was published.
    private var publishedSequence: UInt64 = 0

    /// - Parameters:
    ///   - staticKey: made once for a process.
    ///   - makeEphemeralKey: gives a new, unpredictable key for each connection: `X25519.SecretKey.generate`.
    ///   - seed: for the choices among peers and the spread of timers. Nothing secret comes from it.
    ///   - unixTimeOffset: what to add to `now` for the time since 1970. Peers believe the younger one of two records of ours, so the
    ///     clock must not be before that of the last start.
    public init(
        _ identity: PeerIdentity, staticKey: NoiseStaticKey,
        makeEphemeralKey: @escaping @Sendable () throws(SecretMemoryError) -> X25519.SecretKey, configuration: Configuration,
        seed: UInt64, unixTimeOffset: Duration, now: Duration
    ) {
        var random = SeededRandom(seed: seed)
        var swarm = Swarm(
            identity, staticKey: staticKey, makeEphemeralKey: makeEphemeralKey, limits: configuration.limits, seed: random.next())
        self.ping = swarm.add(Ping(configuration: configuration.ping), onLimited: true, now: now)
        let (gossipSeed, kadSeed) = (random.next(), random.next())
        self.gossipsub = configuration.gossipsub.map { parameters in
            let machine = Gossipsub(
                identity: identity, parameters: parameters, directPeers: configuration.directPeers, seed: gossipSeed)
            return swarm.add(machine, now: now)
        }
        self.kad = configuration.kad.map { configuration in
            let machine = KadDHT(peer: identity.id, configuration: configuration, seed: kadSeed, unixTimeOffset: unixTimeOffset)
            return swarm.add(machine, now: now)
        }
        // Identify comes last: it tells of the others.
        let info = IdentifyInfo(agentVersion: configuration.agentVersion, protocols: [], addresses: [])
        let sequence = Self.nanoseconds(now + unixTimeOffset)
        let identify = Identify(identity, info: info, sequence: sequence, configuration: configuration.identify)
        self.identify = swarm.add(identify, onLimited: true, now: now)
        self.swarm = swarm
        self.agentVersion = configuration.agentVersion
        self.listenAddresses = configuration.addresses
        self.unixTimeOffset = unixTimeOffset
        self.announce(now: now)
    }

    public var localPeer: PeerID { self.swarm.localPeer }

    /// What happened next; `nil` when all is told. What machines need to know of each other is told them here.
    public mutating func nextEvent(now: Duration) -> Event? {
        if let event = self.swarm.nextEvent() { return .swarm(event) }
        guard self.swarm.machinesMayTell else { return nil }
        if let event = self.swarm.nextEvent(of: self.identify) {
            self.join(event, now: now)
            return .identify(event)
        }
        if let event = self.swarm.nextEvent(of: self.ping) { return .ping(event) }
        if let gossipsub = self.gossipsub, let event = self.swarm.nextEvent(of: gossipsub) {
            // Only a record that its peer signed comes this far.
            if case .peerExchanged(let record, _) = event { self.swarm.addressBook.add(record, now: now) }
            return .gossipsub(event)
        }
        if let kad = self.kad, let event = self.swarm.nextEvent(of: kad) { return .kad(event) }
        self.swarm.machinesMayTell = false
        return nil
    }
}

// MARK: - What its owner does

extension Node {
    /// Publishes a message, under the time in nanoseconds as its number: a restart does not use one again. `nil` without gossipsub.
    public mutating func publish(
        _ data: [UInt8], to topic: String, now: Duration
    ) throws(GossipsubPublishError) -> Gossipsub.Publication? {
        guard let gossipsub = self.gossipsub else { return nil }
        let time = Self.nanoseconds(now + self.unixTimeOffset)
        let sequence = time > self.publishedSequence ? time : self.publishedSequence &+ 1
        self.publishedSequence = sequence
        return try self.swarm.update(gossipsub, now: now) { machine throws(GossipsubPublishError) in
            try machine.publish(data, to: topic, sequence: sequence, now: now)
        }
    }
}

// MARK: - What we say of ourselves

extension Node {
    /// The addresses that others are told: where we listen, then where others see us.
    public var announcedAddresses: [Multiaddr] {
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
    }

    /// Corrects the clock.
    public mutating func setUnixTimeOffset(_ offset: Duration, now: Duration) {
        self.unixTimeOffset = offset
        if let kad = self.kad { self.swarm.update(kad, now: now) { $0.setUnixTimeOffset(offset) } }
    }

    /// Records and messages are numbered by nanoseconds since 1970, as others number them.
    private static func nanoseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        let (nanoseconds, isTooLarge) = UInt64(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return isTooLarge ? .max : nanoseconds &+ UInt64(clamping: attoseconds / 1_000_000_000)
    }
}

// MARK: - What others say of themselves

extension Node {
    private mutating func join(_ event: Identify.Event, now: Duration) {
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
            if let record = found.record {
                self.swarm.addressBook.add(PeerRecord(peerID: peer, sequence: record.sequence, addresses: usable), now: now)
            } else {
                self.swarm.addressBook.add(usable, of: peer, from: .identified, now: now)
            }
            if let kad = self.kad { self.swarm.update(kad, now: now) { $0.learn(usable, of: peer) } }
        }
        if let gossipsub = self.gossipsub, let bytes = found.signedPeerRecord, let envelope = try? SignedEnvelope(parsing: bytes) {
            self.swarm.update(gossipsub, now: now) { _ = $0.setRecord(envelope, of: peer) }
        }
        if let protocols = found.protocols { self.swarm.learned(protocols, of: peer, now: now) }
    }

    /// Without those that reach less far than the peer is away. Otherwise a stranger could make us dial into our own network.
    private func usable(_ addresses: [Multiaddr], of peer: PeerID) -> [Multiaddr] {
        let scopes = self.swarm.connections(to: peer).compactMap { KadAddressScope(of: $0.remoteAddress) }
        let farthest = scopes.max() ?? .everywhere
        return addresses.filter { address in KadAddressScope(of: address).map { $0 >= farthest } ?? false }
    }
}
