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
/// - under which addresses others see us, and what we serve, goes into what identify and the hash table tell others;
/// - circuits through relays become connections, and reservations become addresses of ours (Node+Relays.swift).
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
        /// Reaching others, and being reached, through relays. `nil`: addresses with a relay in them are not dialled.
        public var relayClient: RelayClient.Configuration? = RelayClient.Configuration()
        /// Being a relay for others: `nil` unless asked for, since it spends this node's bandwidth on strangers.
        public var relayServer: RelayServer.Configuration?
        /// Direct connections in place of relayed ones. Whether a peer that came through a relay is dialled directly without being asked is
        /// `DCUtR.Configuration.isAutomatic`. `nil`: relayed connections stay what they are.
        public var holePunch: DCUtR.Configuration? = DCUtR.Configuration()

        public init(agentVersion: String, addresses: [Multiaddr] = []) {
            self.agentVersion = agentVersion
            self.addresses = addresses
        }

        /// With nothing but ping and identify, which every node speaks.
        public static func bare(agentVersion: String, addresses: [Multiaddr] = []) -> Configuration {
            var configuration = Configuration(agentVersion: agentVersion, addresses: addresses)
            configuration.gossipsub = nil
            configuration.kad = nil
            configuration.relayClient = nil
            configuration.holePunch = nil
            return configuration
        }
    }

    /// What the owner should know, from whom it comes. What an event asks of the swarm's owner (`relayNeeded`, `circuit`, `dial`) the node
    /// has done already.
    public enum Event: Equatable, Sendable {
        case swarm(SwarmEvent)
        case identify(Identify.Event)
        case ping(Ping.Event)
        case gossipsub(GossipsubEvent)
        case kad(KadEvent)
        case relayClient(RelayClient.Event)
        case relayServer(RelayServer.Event)
        case holePunch(DCUtR.Event)
    }

    /// The connections. Everything may be asked of it except its events, which ``nextEvent(now:)`` takes.
    public var swarm: Swarm
    public let identify: ProtocolHandle<Identify>
    public let ping: ProtocolHandle<Ping>
    // `nil` where the configuration has none.

    public let gossipsub: ProtocolHandle<Gossipsub>?
    public let kad: ProtocolHandle<KadDHT>?
    public let relayClient: ProtocolHandle<RelayClient>?
    public let relayServer: ProtocolHandle<RelayServer>?
    public let holePunch: ProtocolHandle<DCUtR>?

    let agentVersion: String
    /// Where we listen, as the owner said.
    var listenAddresses: [Multiaddr]
    /// Where enough others see us.
    var observedAddresses: [Multiaddr] = []
    var unixTimeOffset: Duration
    /// Dials through relays to which there is no connection yet, by relay.
    var dialsWaitingForRelay: [PeerID: [ConnectionID]] = [:]
    /// Peers that are protected because a reservation rests on the connection with them, ours or theirs.
    var protectedForReservations: Set<PeerID> = []
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
        self.relayClient = configuration.relayClient.map { configuration in
            let machine = RelayClient(localPeer: identity.id, unixOffset: unixTimeOffset, configuration: configuration)
            return swarm.add(machine, now: now)
        }
        self.relayServer = configuration.relayServer.map { configuration in
            let machine = RelayServer(identity, unixOffset: unixTimeOffset, addresses: [], configuration: configuration)
            return swarm.add(machine, now: now)
        }
        self.holePunch = configuration.holePunch.map { configuration in
            swarm.add(DCUtR(configuration: configuration), onLimited: true, now: now)
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
        if let event = self.swarm.nextEvent() {
            self.join(event, now: now)
            return .swarm(event)
        }
        guard self.swarm.machinesMayTell else { return nil }
        if let event = self.swarm.nextEvent(of: self.identify) {
            self.join(event, now: now)
            return .identify(event)
        }
        if let event = self.swarm.nextEvent(of: self.ping) { return .ping(event) }
        if let gossipsub = self.gossipsub, let event = self.swarm.nextEvent(of: gossipsub) {
            // Only a record that its peer signed comes this far.
            if case .peerExchanged(let record, let source) = event {
                let addresses = self.usable(record.addresses, of: source)
                let usable = PeerRecord(peerID: record.peerID, sequence: record.sequence, addresses: addresses)
                self.swarm.addressBook.add(usable, from: .exchanged, now: now)
            }
            return .gossipsub(event)
        }
        if let kad = self.kad, let event = self.swarm.nextEvent(of: kad) { return .kad(event) }
        if let relayClient = self.relayClient, let event = self.swarm.nextEvent(of: relayClient) {
            self.join(event, now: now)
            return .relayClient(event)
        }
        if let relayServer = self.relayServer, let event = self.swarm.nextEvent(of: relayServer) {
            self.join(event, now: now)
            return .relayServer(event)
        }
        if let holePunch = self.holePunch, let event = self.swarm.nextEvent(of: holePunch) {
            self.join(event, now: now)
            return .holePunch(event)
        }
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
