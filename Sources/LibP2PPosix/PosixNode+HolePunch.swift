public import LibP2P

extension PosixNode {
    /// Makes a direct connection to a peer with which there is one through a relay: by an ordinary dial where a public address of
    /// the peer can be dialled, else by dials of both sides at the same moment.
    ///
    /// - Returns: how many times both dialled at once; 0 where that was not needed.
    @discardableResult
    public func upgrade(_ peer: PeerID) async throws(NodeError) -> Int {
        guard self.state == .open else { throw .closed }
        guard self.node.holePunch != nil else { throw .notConfigured(.holePunch) }
        if Task.isCancelled { throw .cancelled }
        self.node.upgrade(peer, now: self.now)
        return try await self.answer(\.upgrades, for: peer)
    }

    func tell(_ event: DCUtR.Event) {
        switch event {
        case .upgraded(let peer, let attempts): self.waiters.upgrades.answerAll(peer, .success(attempts))
        case .failed(let peer, let error): self.waiters.upgrades.answerAll(peer, .failure(.holePunch(error)))
        case .dial, .refused: break
        }
    }
}
