// Who is in the meshes.
extension Gossipsub {
    /// Whether we may ask a peer into a mesh.
    func mayGraft(_ number: GossipsubPeerNumber, in topic: String, now: Duration) -> Bool {
        guard let peer = self.peers[number], peer.speaksGossipsub, !peer.isDirect, peer.topics.contains(topic) else { return false }
        // The peer counts from when it sent or got the PRUNE: a GRAFT at the very end could still be too early for it.
        if let end = peer.standing.backoffs[topic], now < end + self.backoffSlack { return false }
        return self.score(number, now: now) >= 0
    }

    var backoffSlack: Duration { self.parameters.heartbeatInterval * 2 }

    /// Peers outside a mesh that may be grafted, in random order.
    private mutating func candidates(for topic: String, now: Duration) -> [GossipsubPeerNumber] {
        let mesh = self.subscriptions[topic]?.mesh ?? []
        return (self.topicPeers[topic] ?? []).subtracting(mesh).sorted().filter { self.mayGraft($0, in: topic, now: now) }
            .shuffled(using: &self.random)
    }

    /// Grafts up to D peers if there are fewer than D_lo.
    mutating func fillMesh(of topic: String, now: Duration) {
        guard let count = self.subscriptions[topic]?.mesh.count, count < self.parameters.meshDegreeLow else { return }
        for number in self.candidates(for: topic, now: now).prefix(self.parameters.meshDegree - count) {
            self.graft(number, in: topic, now: now)
        }
    }

    /// The same with a peer that has just come.
    mutating func fillMesh(of topic: String, with number: GossipsubPeerNumber, now: Duration) {
        guard let mesh = self.subscriptions[topic]?.mesh, mesh.count < self.parameters.meshDegreeLow, !mesh.contains(number),
            self.mayGraft(number, in: topic, now: now)
        else { return }
        self.graft(number, in: topic, now: now)
    }

    mutating func graft(_ number: GossipsubPeerNumber, in topic: String, now: Duration) {
        self.joinMesh(number, in: topic, byPeer: false, now: now)
        self.peers[number]?.outbox.graft(topic)
        self.dirty.insert(number)
    }

    mutating func joinMesh(_ number: GossipsubPeerNumber, in topic: String, byPeer: Bool, now: Duration) {
        guard self.subscriptions[topic]?.mesh.insert(number).inserted == true, let id = self.peers[number]?.id else { return }
        self.peers[number]?.standing.joinedMesh(topic, now: now)
        self.events.append(.grafted(id, topic: topic, byPeer: byPeer))
    }

    mutating func leaveMesh(_ number: GossipsubPeerNumber, in topic: String, byPeer: Bool, now: Duration) {
        guard self.subscriptions[topic]?.mesh.remove(number) != nil, let id = self.peers[number]?.id else { return }
        self.peers[number]?.standing.leftMesh(topic, self.parameters.scoring, now: now)
        self.events.append(.pruned(id, topic: topic, byPeer: byPeer))
    }

    mutating func prune(_ number: GossipsubPeerNumber, in topic: String, backoff: Duration, exchanges: Bool, now: Duration) {
        self.leaveMesh(number, in: topic, byPeer: false, now: now)
        self.sendPrune(to: number, in: topic, backoff: backoff, exchanges: exchanges, now: now)
    }

    mutating func sendPrune(to number: GossipsubPeerNumber, in topic: String, backoff: Duration, exchanges: Bool, now: Duration) {
        self.peers[number]?.standing.backOff(topic, until: now + backoff)
        guard let version = self.peers[number]?.version, version > .floodsub else { return }
        var prune = PubSubRPC.Prune(topic: topic)
        if version >= .v11 {
            prune.backoff = UInt64(max(0, backoff.components.seconds))
            if exchanges, self.parameters.exchangesPeers { prune.peers = self.peersToName(to: number, in: topic, now: now) }
        }
        self.peers[number]?.outbox.prune(prune)
        self.dirty.insert(number)
    }

    /// Peers of a topic of which we have a signed record, and of which we think well.
    private mutating func peersToName(to number: GossipsubPeerNumber, in topic: String, now: Duration) -> [PubSubRPC.ExchangedPeer] {
        let fit = (self.topicPeers[topic] ?? []).sorted().filter { other in
            other != number && self.peers[other]?.record != nil && self.score(other, now: now) >= 0
        }
        return fit.shuffled(using: &self.random).prefix(PubSubRPC.CountMax.exchangedPeers).compactMap { other in
            guard let peer = self.peers[other], let record = peer.record else { return nil }
            return PubSubRPC.ExchangedPeer(id: peer.id.bytes, record: record)
        }
    }

    // MARK: Each heartbeat

    mutating func tendMesh(of topic: String, scores: [GossipsubPeerNumber: Double], now: Duration) {
        func score(_ number: GossipsubPeerNumber) -> Double { scores[number] ?? 0 }
        guard let mesh = self.subscriptions[topic]?.mesh else { return }
        for number in mesh.sorted() where score(number) < 0 {
            self.prune(number, in: topic, backoff: self.parameters.pruneBackoff, exchanges: false, now: now)
        }
        self.fillMesh(of: topic, now: now)
        self.thinMesh(of: topic, scores: scores, now: now)
        self.fillOutboundQuota(of: topic, now: now)
        if self.heartbeatCount.isMultiple(of: self.parameters.opportunisticGraftHeartbeatCount) {
            self.graftOpportunistically(in: topic, scores: scores, now: now)
        }
    }

    /// Prunes down to D if there are more than D_hi: the best stay, then chance decides, with enough that we dialled.
    private mutating func thinMesh(of topic: String, scores: [GossipsubPeerNumber: Double], now: Duration) {
        guard let mesh = self.subscriptions[topic]?.mesh, mesh.count > self.parameters.meshDegreeHigh else { return }
        // Shuffled first, so that equal scores are in random order.
        var ranked = mesh.sorted().shuffled(using: &self.random).enumerated().sorted { left, right in
            let (leftScore, rightScore) = (scores[left.element] ?? 0, scores[right.element] ?? 0)
            return leftScore != rightScore ? leftScore > rightScore : left.offset < right.offset
        }.map(\.element)
        var rest = Array(ranked.dropFirst(self.parameters.meshDegreeByScore))
        rest.shuffle(using: &self.random)
        ranked = ranked.prefix(self.parameters.meshDegreeByScore) + rest
        var kept = Array(ranked.prefix(self.parameters.meshDegree))
        let missing = self.parameters.meshDegreeOutbound - kept.count { self.peers[$0]?.isOutbound == true }
        if missing > 0 {
            let spare = ranked.dropFirst(self.parameters.meshDegree).filter { self.peers[$0]?.isOutbound == true }.prefix(missing)
            // In place of the last ones that we did not dial; the best by score are not touched while there are others.
            for outbound in spare {
                guard let index = kept.lastIndex(where: { self.peers[$0]?.isOutbound != true }) else { break }
                kept[index] = outbound
            }
        }
        for number in mesh.subtracting(kept).sorted() {
            self.prune(number, in: topic, backoff: self.parameters.pruneBackoff, exchanges: true, now: now)
        }
    }

    private mutating func fillOutboundQuota(of topic: String, now: Duration) {
        guard let mesh = self.subscriptions[topic]?.mesh, mesh.count >= self.parameters.meshDegreeLow else { return }
        let missing = self.parameters.meshDegreeOutbound - mesh.count { self.peers[$0]?.isOutbound == true }
        guard missing > 0 else { return }
        let outbound = self.candidates(for: topic, now: now).filter { self.peers[$0]?.isOutbound == true }
        for number in outbound.prefix(missing) { self.graft(number, in: topic, now: now) }
    }

    /// A mesh of poor peers gets some better ones (gossipsub 1.1, "Opportunistic Grafting").
    private mutating func graftOpportunistically(in topic: String, scores: [GossipsubPeerNumber: Double], now: Duration) {
        guard let mesh = self.subscriptions[topic]?.mesh, mesh.count > 1 else { return }
        let median = mesh.map { scores[$0] ?? 0 }.sorted()[mesh.count / 2]
        guard median < self.parameters.scoring.opportunisticGraftThreshold else { return }
        let better = self.candidates(for: topic, now: now).filter { (scores[$0] ?? 0) > median }
        for number in better.prefix(self.parameters.opportunisticGraftPeerCount) { self.graft(number, in: topic, now: now) }
    }
}
