// How peers that cannot be dialled are reached: through a relay first, and then directly.
//
//     dial /…/p2p/RELAY/p2p-circuit ──▶ connection to the relay ──▶ circuit ──▶ connection in it
//     reserve at a relay ──▶ addresses through it are ours while the reservation stands ──▶ circuits of others come in
//     connection through a relay ──▶ DCUtR ──▶ dials at the same moment ──▶ direct connection

// MARK: - What its owner does

extension Node {
    /// Asks a connected relay for a place, which is kept and renewed, and asked for again when it is lost, until
    /// ``cancelReservation(at:now:)``. ``Event/relayClient(_:)`` with `reserved` or `notReserved` follows. Without a `relayClient` nothing does.
    public mutating func reserve(at relay: PeerID, now: Duration) {
        guard let relayClient = self.relayClient else { return }
        self.swarm.update(relayClient, now: now) { $0.reserve(at: relay, now: now) }
    }

    /// Gives a place up: its addresses are told no more, and the relay forgets it with its time.
    public mutating func cancelReservation(at relay: PeerID, now: Duration) {
        guard let relayClient = self.relayClient else { return }
        self.swarm.update(relayClient, now: now) { $0.cancel(at: relay) }
        self.reservationsChanged(with: relay, now: now)
    }

    /// The places at relays that stand.
    public var reservations: [RelayReservation] { self.relayClient.map { self.swarm.read($0) { $0.reservations } } ?? [] }

    /// Asks for a direct connection to a peer with which there is one through a relay. ``Event/holePunch(_:)`` with `upgraded` or `failed`
    /// follows. Without a `holePunch` nothing does.
    public mutating func upgrade(_ peer: PeerID, now: Duration) {
        guard let holePunch = self.holePunch else { return }
        let addresses = self.swarm.addressBook.addresses(of: peer, now: now).filter { !$0.isRelayed }
        self.swarm.update(holePunch, now: now) { $0.upgrade(peer, addresses: addresses, now: now) }
    }

    /// Whether a connection stands that no relay is part of.
    public func isDirectlyConnected(to peer: PeerID) -> Bool {
        self.swarm.connections(to: peer).contains { !$0.remoteAddress.isRelayed }
    }
}

// MARK: - Circuits

extension Node {
    mutating func join(_ event: SwarmEvent, now: Duration) {
        switch event {
        case .relayNeeded(let id, let dial): self.needRelay(for: id, dial, now: now)
        case .connected(let info): self.relayDialEnded(info.peer, nil, now: now)
        case .dialFailed(let peer?, let error):
            self.relayDialEnded(peer, error, now: now)
            if let kad = self.kad { self.swarm.update(kad, now: now) { $0.dialFailed(peer, now: now) } }
        case .disconnected, .dialFailed(nil, _), .handshakeFailed, .refused, .streamRefused: break
        case .streamOpened, .streamFailed, .streamInbound, .readable, .ended, .reset, .writable: break
        }
    }

    private mutating func needRelay(for id: ConnectionID, _ dial: RawDial, now: Duration) {
        guard self.relayClient != nil, let peer = dial.peer, let way = dial.address.circuit, way.relay != self.localPeer, way.relay != peer
        else { return self.swarm.dialFailed(id, .noTransport, now: now) }
        if self.isDirectlyConnected(to: way.relay) { return self.askForCircuit(id, through: way.relay, now: now) }
        // Whose dial was called off waits no more.
        self.dialsWaitingForRelay = self.dialsWaitingForRelay.compactMapValues { ids in
            let waiting = ids.filter { self.swarm.pendingDial($0) != nil }
            return waiting.isEmpty ? nil : waiting
        }
        self.dialsWaitingForRelay[way.relay, default: []].append(id)
        var options = DialOptions()
        // A circuit through a relay that is itself reached through one is served by nobody.
        options.isDirect = true
        options.isHearsay = dial.leastScope != nil
        self.swarm.dial(way.relay, at: way.addresses, options: options, now: now)
    }

    private mutating func relayDialEnded(_ relay: PeerID, _ error: DialError?, now: Duration) {
        guard self.dialsWaitingForRelay[relay] != nil else { return }
        let isConnected = self.isDirectlyConnected(to: relay)
        // A connection through another relay does not end the dial.
        guard isConnected || error != nil else { return }
        for id in self.dialsWaitingForRelay.removeValue(forKey: relay) ?? [] {
            if isConnected {
                self.askForCircuit(id, through: relay, now: now)
            } else if let error {
                self.swarm.dialFailed(id, .transport("the relay cannot be reached: \(error)"), now: now)
            }
        }
    }

    private mutating func askForCircuit(_ id: ConnectionID, through relay: PeerID, now: Duration) {
        guard let relayClient = self.relayClient, let peer = self.swarm.pendingDial(id)?.peer else { return }
        self.swarm.update(relayClient, now: now) { $0.connect(to: peer, through: relay, tag: id.rawValue, now: now) }
    }

    mutating func join(_ event: RelayClient.Event, now: Duration) {
        switch event {
        case .circuit(let circuit): self.adopt(circuit, now: now)
        case .connectFailed(let tag, _, _, let error):
            self.swarm.dialFailed(ConnectionID(rawValue: tag), .transport(error.description), now: now)
        case .reserved(let reservation, _): self.reservationsChanged(with: reservation.relay, now: now)
        case .notReserved(let relay, _): self.reservationsChanged(with: relay, now: now)
        case .refused: break
        }
    }

    /// Who is at the other end of a circuit that came in, the relay only says: the handshake proves it.
    private mutating func adopt(_ circuit: RelayCircuit, now: Duration) {
        guard let relayClient = self.relayClient else { return }
        let dial = circuit.isOutbound ? ConnectionID(rawValue: circuit.tag) : nil
        guard let start = self.swarm.update(relayClient, now: now, { $0.take(circuit.stream) }) else {
            if let dial { self.swarm.dialFailed(dial, .transport("the circuit ended before it was used"), now: now) }
            return
        }
        let address = dial.flatMap { self.swarm.pendingDial($0)?.address } ?? circuit.remoteAddress
        _ = self.swarm.adopt(
            circuit.stream, as: circuit.isOutbound ? .dialer : .listener, for: dial, startingWith: start.bytes, hasEnded: start.hasEnded,
            expecting: circuit.isOutbound ? circuit.peer : nil, address: address, isLimited: circuit.limit != nil, now: now)
    }
}

// MARK: - Reservations

extension Node {
    /// Addresses of one relay through which we say that we can be reached: what a relay says of itself is a stranger's text.
    public static let circuitAddressCountMax = 4

    /// Where we can be reached through relays, without our peer id.
    var circuitAddresses: [Multiaddr] {
        self.reservations.flatMap { reservation in
            let relay = reservation.relay
            let stated = reservation.relayAddresses.filter { $0.peerID == nil || $0.peerID == relay }.map(\.withoutPeerID)
            let dialled = self.swarm.connections(to: relay).filter { $0.isOutbound && !$0.remoteAddress.isRelayed }.map(\.remoteAddress)
            let usable = self.usable(stated, of: relay)
            return (usable.isEmpty ? dialled : usable).prefix(Self.circuitAddressCountMax).map { $0.appending(.p2p(relay), .p2pCircuit) }
        }
    }

    mutating func join(_ event: RelayServer.Event, now: Duration) {
        switch event {
        case .reserved(let peer, _): self.protectReservation(with: peer, now: now)
        case .reservationEnded(let peer, _): self.protectReservation(with: peer, now: now)
        case .circuitStands, .circuitEnded, .refused, .requestMissing: break
        }
    }

    private mutating func reservationsChanged(with relay: PeerID, now: Duration) {
        self.protectReservation(with: relay, now: now)
        self.announce(now: now)
    }

    /// A reservation ends with its connection, so neither side lets that one go for being idle.
    private mutating func protectReservation(with peer: PeerID, now: Duration) {
        let isOurs = self.reservations.contains { $0.relay == peer }
        let isTheirs = self.relayServer.map { self.swarm.read($0) { $0.isReserved(peer) } } ?? false
        if isOurs || isTheirs {
            // Whom the owner protects, it protects.
            guard !self.swarm.isProtected(peer), self.protectedForReservations.insert(peer).inserted else { return }
            self.swarm.protect(peer, now: now)
        } else if self.protectedForReservations.remove(peer) != nil {
            self.swarm.unprotect(peer, now: now)
        }
    }
}

// MARK: - Direct connections

extension Node {
    mutating func join(_ event: DCUtR.Event, now: Duration) {
        guard case .dial(let dial) = event else { return }
        var options: DialOptions
        if dial.isHolePunch {
            options = .holePunch(as: dial.role == .dialer ? .dialer : .listener)
        } else {
            options = DialOptions()
            options.isDirect = true
            options.ignoresBackoff = true
            // The peer told them, or somebody else did.
            options.isHearsay = true
        }
        self.swarm.dial(dial.peer, at: dial.addresses, options: options, now: now)
    }
}

extension Multiaddr {
    /// The relay of `/…/p2p/RELAY/p2p-circuit`, and where it is if the address says so; `nil` for an address with no relay or with several.
    var circuit: (relay: PeerID, addresses: [Multiaddr])? {
        guard let end = self.components.firstIndex(of: .p2pCircuit), end == self.components.lastIndex(of: .p2pCircuit), end > 0,
            case .p2p(let relay) = self.components[end - 1]
        else { return nil }
        let address = Multiaddr(Array(self.components[..<(end - 1)]))
        return (relay, address.components.isEmpty ? [] : [address])
    }
}
