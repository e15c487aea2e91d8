internal import CryptoPrimitives
public import LibP2P

extension PosixNode {
    /// Measures the round trip to a connected peer, one ping after the other.
    ///
    /// - Parameter count: how often.
    /// - Returns: as many round trip times.
    public func ping(_ peer: PeerID, count: Int = 1) async throws(NodeError) -> [Duration] {
        var times: [Duration] = []
        for _ in 0..<count { times.append(try await self.pingOnce(peer)) }
        return times
    }

    private func pingOnce(_ peer: PeerID) async throws(NodeError) -> Duration {
        guard self.state == .open else { throw .closed }
        if Task.isCancelled { throw .cancelled }
        // The machine answers in the order in which it was asked, except that it refuses at once: that is done here.
        let maximum = self.node.swarm.read(self.node.ping) { $0.configuration.waitingMax }
        guard self.waiters.pings.count(of: peer) < maximum else { throw .ping(.tooManyWaiting(maximum: maximum)) }
        let now = self.now
        self.node.swarm.update(self.node.ping, now: now) { $0.ping(peer, bytes: SystemRandom.bytes(count: Ping.byteCount), now: now) }
        return try await self.answer(\.pings, for: peer)
    }

    func tell(_ event: Ping.Event) {
        switch event {
        case .roundTrip(let peer, let time): self.waiters.pings.answerFirst(peer, .success(time))
        case .failed(let peer, let error): self.waiters.pings.answerFirst(peer, .failure(.ping(error)))
        case .refused: break
        }
    }
}
