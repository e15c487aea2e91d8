// What happens once a heartbeat.
extension Gossipsub {
    mutating func heartbeat(now: Duration) {
        self.heartbeatCount += 1
        self.decay(now: now)
        self.chargeBrokenPromises(now: now)
        self.exchangeAddressCount = 0
        let backoffEnd = now - self.backoffSlack
        for number in self.peers.keys.sorted() {
            self.peers[number]?.window = GossipsubPeer.Window()
            self.peers[number]?.standing.forgetBackoffs(before: backoffEnd)
            self.reopenStream(to: number)
            self.serveFloodPeer(number)
        }
        if self.heartbeatCount % self.parameters.directDialHeartbeatCount == 1 || self.parameters.directDialHeartbeatCount == 1 {
            self.dialDirectPeers()
        }
        let scores = self.peers.keys.reduce(into: [:]) { $0[$1] = self.score($1, now: now) }
        for topic in self.topics {
            self.tendMesh(of: topic, scores: scores, now: now)
            self.tellGossip(in: topic, beside: self.subscriptions[topic]?.mesh ?? [], scores: scores)
        }
        for topic in self.fanouts.keys.sorted() { self.tendFanout(of: topic, scores: scores, now: now) }
        self.history.shift(heartbeatCount: self.parameters.historyHeartbeatCount)
        self.expire(now: now)
    }

    private mutating func decay(now: Duration) {
        let scoring = self.parameters.scoring
        guard let last = self.lastDecay, now - last >= scoring.decayInterval else { return }
        // After an hour asleep everything has faded; the bound keeps a clock that jumped from costing more.
        let count = Int(min(3_600, (now - last) / scoring.decayInterval))
        self.lastDecay = count < 3_600 ? last + scoring.decayInterval * count : now
        self.peers.changeValues { $0.standing.decay(scoring, intervalCount: count, now: now) }
        self.remembered.changeValues { $0.standing.decay(scoring, intervalCount: count, now: now) }
    }

    private mutating func chargeBrokenPromises(now: Duration) {
        var broken: [GossipsubPeerNumber: Int] = [:]
        for (id, peers) in self.promises where peers.contains(where: { $0.value <= now }) {
            for (number, end) in peers where end <= now {
                self.promises[id]?[number] = nil
                if !self.waitsForRoom(number) { broken[number, default: 0] += 1 }
            }
            if self.promises[id]?.isEmpty == true { self.promises[id] = nil }
        }
        for (number, count) in broken.sorted(by: { $0.key < $1.key }) where self.peers[number] != nil {
            self.peers[number]?.standing.penalise(count)
            self.refuse(.brokenPromise, of: number, count: count)
        }
    }

    /// Whether our questions to a peer may not have left yet: then it cannot be blamed for not answering them.
    private func waitsForRoom(_ number: GossipsubPeerNumber) -> Bool {
        guard let peer = self.peers[number] else { return false }
        return peer.outbox.hasWants || peer.underWayByteCount >= self.parameters.limits.underWayByteCountMax
    }

    mutating func forgivePromises(of number: GossipsubPeerNumber) {
        for (id, peers) in self.promises where peers[number] != nil {
            self.promises[id] = peers.count > 1 ? peers.filter { $0.key != number } : nil
        }
    }

    private mutating func reopenStream(to number: GossipsubPeerNumber) {
        guard let peer = self.peers[number] else { return }
        // A stream that has stood for a while has earned new tries.
        if peer.version != nil, self.heartbeatCount.isMultiple(of: 64) { self.peers[number]?.openFailureCount = 0 }
        if let due = peer.reopenHeartbeat, due <= self.heartbeatCount { self.openStream(to: number) }
    }

    private mutating func dialDirectPeers() {
        for (peer, addresses) in self.directPeers.sorted(by: { $0.key < $1.key }) where self.numbers[peer] == nil {
            self.commands.append(.dial(peer, addresses))
        }
    }

    // MARK: Gossip

    /// Tells some peers outside the mesh what came lately (gossipsub 1.0, "Gossip emission").
    private mutating func tellGossip(in topic: String, beside mesh: Set<GossipsubPeerNumber>, scores: [GossipsubPeerNumber: Double]) {
        let ids = self.history.ids(in: topic, heartbeatCount: self.parameters.gossipHeartbeatCount)
        guard !ids.isEmpty else { return }
        let threshold = self.parameters.scoring.gossipThreshold
        let candidates = (self.topicPeers[topic] ?? []).subtracting(mesh).sorted().filter { number in
            guard let peer = self.peers[number] else { return false }
            return peer.speaksGossipsub && !peer.isDirect && scores[number] ?? 0 >= threshold
        }
        let share = Int(Double(candidates.count) * self.parameters.gossipFactor)
        for number in candidates.shuffled(using: &self.random).prefix(max(self.parameters.gossipDegree, share)) {
            // More than fit: each peer gets another choice.
            let told = ids.count > self.parameters.limits.haveIDCountMax ? ids.shuffled(using: &self.random) : ids
            let have = PubSubRPC.Have(topic: topic, ids: Self.fitting(told.prefix(self.parameters.limits.haveIDCountMax)))
            if self.peers[number]?.outbox.tell(have, self.parameters.limits) == true {
                self.dirty.insert(number)
            } else {
                self.counters.droppedGossip += 1
            }
        }
    }

    private static func fitting(_ ids: ArraySlice<PubSubMessageID>) -> [PubSubMessageID] {
        var room = GossipsubOutbox.haveByteCountMax
        return Array(
            ids.prefix { id in
                room -= id.bytes.count
                return room >= 0
            })
    }

    // MARK: Topics that we only publish to

    private mutating func tendFanout(of topic: String, scores: [GossipsubPeerNumber: Double], now: Duration) {
        guard let fanout = self.fanouts[topic], now - fanout.lastPublished < self.parameters.fanoutLifetime else {
            self.fanouts[topic] = nil
            return
        }
        let threshold = self.parameters.scoring.publishThreshold
        self.fanouts[topic]?.peers = fanout.peers.filter { scores[$0] ?? 0 >= threshold }
        self.fillFanout(of: topic, now: now)
        self.tellGossip(in: topic, beside: self.fanouts[topic]?.peers ?? [], scores: scores)
    }

    mutating func fillFanout(of topic: String, now: Duration) {
        guard let fanout = self.fanouts[topic], fanout.peers.count < self.parameters.meshDegree else { return }
        let candidates = (self.topicPeers[topic] ?? []).subtracting(fanout.peers).sorted().filter { number in
            guard let peer = self.peers[number] else { return false }
            return peer.speaksGossipsub && !peer.isDirect && self.mayReceiveOwn(number, now: now)
        }
        let chosen = candidates.shuffled(using: &self.random).prefix(self.parameters.meshDegree - fanout.peers.count)
        self.fanouts[topic]?.peers.formUnion(chosen)
    }

    // MARK: Forgetting

    /// For how many heartbeats it is remembered that a peer does not want a message. As in go-libp2p-pubsub.
    private static let doNotWantHeartbeatCount = 3

    private mutating func expire(now: Duration) {
        self.seen.expire(before: now - self.parameters.seenLifetime)
        if !self.bearers.isEmpty { self.bearers = self.bearers.filter { $0.value.until >= now } }
        while let id = self.waiting.popExpired(before: now - self.parameters.verdictLifetime) {
            self.seen.update(id, .ignored)
            self.events.append(.verdictMissed(id))
        }
        let oldest = self.heartbeatCount - Self.doNotWantHeartbeatCount
        var returned: [(byteCount: Int, household: [UInt8])] = []
        self.peers.changeValues { peer in
            guard !peer.unwanted.isEmpty else { return }
            let before = peer.unwantedByteCount
            peer.unwanted = peer.unwanted.filter { $0.value > oldest }
            returned.append((before - peer.unwantedByteCount, peer.household))
        }
        for (byteCount, household) in returned { self.unwantedShares.giveBack(byteCount, of: household) }
        if self.remembered.contains(where: { $0.value.until <= now }) { self.remembered = self.remembered.filter { $0.value.until > now } }
    }
}

extension Dictionary {
    /// Changes each value in its place. A loop over `keys` holds the dictionary meanwhile, so that the first change copies all of it.
    mutating func changeValues(_ change: (inout Value) -> Void) {
        var index = self.startIndex
        while index != self.endIndex {
            change(&self.values[index])
            self.formIndex(after: &index)
        }
    }
}
