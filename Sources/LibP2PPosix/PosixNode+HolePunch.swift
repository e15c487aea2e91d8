public import LibP2P

extension PosixNode {
    /// Makes a direct connection to a peer with which there is one through a relay: by an ordinary dial where the peer can be dialled, else
    /// by dials of both sides at the same moment.
    ///
    /// - Returns: how many times both dialled at once; 0 where that was not needed.
    @discardableResult
    public func upgrade(_ peer: PeerID) async throws(NodeError) -> Int {
        guard self.state == .open else { throw .closed }
        guard self.node.holePunch != nil else { throw .notConfigured(.holePunch) }
        self.node.upgrade(peer, now: self.now)
        let result = await withCheckedContinuation { waiter in
            self.upgradeWaiters.add(waiter, for: peer)
            self.carryOut()
        }
        return try result.get()
    }

    func tell(_ event: DCUtR.Event) {
        switch event {
        case .upgraded(let peer, let attempts): self.upgradeWaiters.answerAll(peer, .success(attempts))
        case .failed(let peer, let error): self.upgradeWaiters.answerAll(peer, .failure(.holePunch(error)))
        case .dial, .refused: break
        }
    }
}
