public import LibP2P

extension PosixNode {
    /// Asks a relay for a place, by which others reach this node. It is renewed, and asked for again when it is lost, until
    /// ``cancelReservation(at:)``; while it stands the node tells others the addresses through it.
    ///
    /// - Parameter addresses: where the relay is, beside what is known.
    /// - Returns: the place; at once where one stands already.
    @discardableResult
    public func reserve(at relay: PeerID, addresses: [Multiaddr] = []) async throws(NodeError) -> RelayReservation {
        guard self.node.relayClient != nil else { throw .notConfigured(.relayClient) }
        var options = DialOptions()
        options.isDirect = true
        _ = try await self.dial(relay, at: addresses, options: options)
        guard self.state == .open else { throw .closed }
        if Task.isCancelled { throw .cancelled }
        // It renews itself, and says nothing of a renewal that is refused while the place still stands.
        if let standing = self.node.reservations.first(where: { $0.relay == relay }) { return standing }
        self.node.reserve(at: relay, now: self.now)
        return try await self.answer(\.reservations, for: relay)
    }

    /// Gives a place up. The relay forgets it with its time, or with the connection.
    public func cancelReservation(at relay: PeerID) {
        self.node.cancelReservation(at: relay, now: self.now)
        self.waiters.reservations.answerAll(relay, .failure(.calledOff))
        self.carryOut()
    }

    /// The places at relays that stand.
    public var reservations: [RelayReservation] { self.node.reservations }

    /// Connects to a peer through a relay at which that peer has a place.
    ///
    /// - Parameter addresses: where the relay is; none are needed if it is connected or known.
    public func dial(_ peer: PeerID, through relay: PeerID, at addresses: [Multiaddr] = []) async throws(NodeError) -> ConnectionInfo {
        let ways = addresses.isEmpty ? [Multiaddr([])] : addresses.map(\.withoutPeerID)
        return try await self.dial(peer, at: ways.map { $0.appending(.p2p(relay), .p2pCircuit) })
    }

    func tell(_ event: RelayClient.Event) {
        switch event {
        case .reserved(let reservation, _): self.waiters.reservations.answerAll(reservation.relay, .success(reservation))
        case .notReserved(let relay, let error): self.waiters.reservations.answerAll(relay, .failure(.relay(error)))
        case .circuit, .connectFailed, .refused: break
        }
    }
}
