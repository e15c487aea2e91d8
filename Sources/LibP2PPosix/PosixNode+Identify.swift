public import LibP2P

extension PosixNode {
    /// Asks a connected peer who it is: what it says, verified as far as it can be.
    ///
    /// Each connection's peer is asked once without this; what is learnt then goes to all who need it, and answers those who wait here.
    public func identify(_ peer: PeerID) async throws(NodeError) -> IdentifiedPeer {
        guard self.state == .open else { throw .closed }
        if Task.isCancelled { throw .cancelled }
        if self.waiters.identifications.count(of: peer) == 0 {
            let now = self.now
            self.node.swarm.update(self.node.identify, now: now) { $0.identify(peer, now: now) }
        }
        return try await self.answer(\.identifications, for: peer)
    }

    func tell(_ event: Identify.Event) {
        switch event {
        case .identified(let found, _):
            // A push tells changes only.
            if !found.isPush { self.waiters.identifications.answerAll(found.peer, .success(found)) }
        // A question that the connection asked by itself is not the one that is waited for.
        case .failed(let peer, nil, let error): self.waiters.identifications.answerAll(peer, .failure(.identify(error)))
        case .failed, .refused, .observedAddresses: break
        }
    }
}
