// What peers say about meshes and messages.
extension Gossipsub {
    mutating func received(_ rpc: PubSubRPC, from number: GossipsubPeerNumber, now: Duration) {
        // Nobody's fault: others may name topics and ids that are longer, and more of them in a frame.
        if rpc.surplusCount > 0 { self.refuse(.surplusEntries, of: number, count: rpc.surplusCount) }
        for subscription in rpc.subscriptions { self.received(subscription, from: number, now: now) }
        for (index, message) in rpc.messages.enumerated() {
            // A frame may hold thousands, and each may cost a signature's verification: the rest of a forger's are not looked at.
            guard !self.isGraylisted(number, now: now) else {
                return self.refuse(.graylisted, of: number, count: rpc.messages.count - index)
            }
            self.received(message, from: number, now: now)
        }
        for message in rpc.unreadableMessages {
            self.refuse(.unreadableMessage, self.parameters.identification.id(of: message), from: number)
        }
        if !rpc.haves.isEmpty || !rpc.wants.isEmpty || !rpc.doNotWants.isEmpty { self.receivedGossip(rpc, from: number, now: now) }
        for topic in rpc.grafts { self.receivedGraft(topic, from: number, now: now) }
        for prune in rpc.prunes { self.received(prune, from: number, now: now) }
    }

    // MARK: Subscriptions

    private mutating func received(_ subscription: PubSubRPC.Subscription, from number: GossipsubPeerNumber, now: Duration) {
        guard let peer = self.peers[number], peer.topics.contains(subscription.topic) != subscription.isOn else { return }
        let limits = self.parameters.limits
        let isFlood =
            peer.window.subscriptionChangeCount >= limits.peerSubscriptionChangeCountMax
            || subscription.isOn && peer.topics.count >= limits.peerTopicCountMax
        guard !isFlood else { return self.punish(.subscriptionFlood, of: number) }
        self.peers[number]?.window.subscriptionChangeCount += 1
        let byteCount = GossipsubPeer.byteCount(ofTopic: subscription.topic)
        // Nobody is to blame for what others take.
        guard !subscription.isOn || self.topicShares.take(byteCount, for: peer.household, of: limits.topicByteCountMax) else {
            return self.refuse(.subscriptionCrowd, of: number)
        }
        if subscription.isOn {
            self.peers[number]?.topics.insert(subscription.topic)
            self.topicPeers[subscription.topic, default: []].insert(number)
            self.events.append(.subscribed(peer.id, topic: subscription.topic))
            self.fillMesh(of: subscription.topic, with: number, now: now)
        } else {
            self.leaveMesh(number, in: subscription.topic, byPeer: true, now: now)
            self.fanouts[subscription.topic]?.peers.remove(number)
            self.peers[number]?.topics.remove(subscription.topic)
            self.topicShares.giveBack(byteCount, of: peer.household)
            self.removeSubscriber(number, of: subscription.topic)
            self.events.append(.unsubscribed(peer.id, topic: subscription.topic))
        }
    }

    mutating func removeSubscriber(_ number: GossipsubPeerNumber, of topic: String) {
        self.topicPeers[topic]?.remove(number)
        if self.topicPeers[topic]?.isEmpty == true { self.topicPeers[topic] = nil }
    }

    // MARK: Gossip

    private mutating func receivedGossip(_ rpc: PubSubRPC, from number: GossipsubPeerNumber, now: Duration) {
        guard self.score(number, now: now) >= self.parameters.scoring.gossipThreshold else {
            return self.refuse(.gossipBelowThreshold, of: number)
        }
        if !rpc.haves.isEmpty { self.received(rpc.haves, from: number, now: now) }
        if !rpc.wants.isEmpty { self.receivedWants(rpc.wants, from: number) }
        let limits = self.parameters.limits
        for id in rpc.doNotWants {
            guard let count = self.peers[number]?.unwanted.count, let household = self.peers[number]?.household,
                count < limits.doNotWantIDCountMax
            else { return self.refuse(.doNotWantFlood, of: number) }
            if self.peers[number]?.unwanted[id] == nil {
                let byteCount = GossipsubPeer.byteCount(ofUnwanted: id)
                guard self.unwantedShares.take(byteCount, for: household, of: limits.doNotWantByteCountMax) else {
                    return self.refuse(.doNotWantFlood, of: number)
                }
            }
            self.peers[number]?.unwanted[id] = self.heartbeatCount
        }
    }

    private mutating func received(_ haves: [PubSubRPC.Have], from number: GossipsubPeerNumber, now: Duration) {
        guard let window = self.peers[number]?.window else { return }
        let (limits, room) = (self.parameters.limits, self.parameters.limits.haveIDCountMax - window.requestedIDCount)
        self.peers[number]?.window.haveFrameCount += 1
        // py-libp2p writes a frame for each topic, so this may be an honest peer's. What is not asked for costs nothing.
        guard window.haveFrameCount < limits.haveFrameCountMax, room > 0 else { return self.refuse(.haveFlood, of: number) }
        var (wanted, known) = ([PubSubMessageID](), Set<PubSubMessageID>())
        for have in haves where self.subscriptions[have.topic] != nil {
            for id in have.ids where !self.hasSeen(id) && known.insert(id).inserted { wanted.append(id) }
        }
        if wanted.count > room {
            self.refuse(.haveFlood, of: number, count: wanted.count - room)
            // Which ones is chance, so that nobody decides what is left out.
            wanted.shuffle(using: &self.random)
            wanted.removeLast(wanted.count - room)
        }
        guard let promised = wanted.randomElement(using: &self.random) else { return }
        self.peers[number]?.window.requestedIDCount += wanted.count
        guard self.peers[number]?.version != nil, self.peers[number]?.outbox.ask(wanted, limits) == true else {
            self.counters.droppedGossip += 1
            return
        }
        self.promises[promised, default: [:]][number] = now + self.parameters.promiseLifetime
        self.dirty.insert(number)
    }

    /// Also if the id came as text.
    private func hasSeen(_ id: PubSubMessageID) -> Bool {
        if self.seen[id] != nil { return true }
        return id.fromHex.map { self.seen[$0] != nil } ?? false
    }

    private mutating func receivedWants(_ wants: [PubSubMessageID], from number: GossipsubPeerNumber) {
        guard let past = self.peers[number]?.window.wantIDCount else { return }
        let room = max(0, self.parameters.limits.wantIDCountMax - past)
        self.peers[number]?.window.wantIDCount += wants.count
        if wants.count > room { self.punish(.wantFlood, of: number, count: wants.count - room) }
        for id in wants.prefix(room) {
            guard let (id, found) = self.find(id, for: number) else { continue }
            guard found.sentCount <= self.parameters.retransmissionCountMax else {
                self.refuse(.retransmissions, of: number)
                continue
            }
            self.answer(id, found.frame, to: number)
        }
    }

    private mutating func find(
        _ id: PubSubMessageID, for number: GossipsubPeerNumber
    ) -> (PubSubMessageID, (frame: [UInt8], sentCount: Int))? {
        if let found = self.history.frame(id, for: number) { return (id, found) }
        guard let id = id.fromHex, let found = self.history.frame(id, for: number) else { return nil }
        return (id, found)
    }

    // MARK: GRAFT and PRUNE

    private mutating func receivedGraft(_ topic: String, from number: GossipsubPeerNumber, now: Duration) {
        // No answer to a GRAFT for an unknown topic: it would be ours to send, at the peer's pleasure.
        guard let subscription = self.subscriptions[topic], self.peers[number]?.topics.contains(topic) == true else {
            return self.refuse(.graftWithoutSubscription, of: number)
        }
        guard !subscription.mesh.contains(number), let peer = self.peers[number] else { return }
        if peer.isDirect {
            self.refuse(.graftOfDirectPeer, of: number)
            return self.sendPrune(to: number, in: topic, backoff: self.parameters.pruneBackoff, exchanges: false, now: now)
        }
        if let end = peer.standing.backoffs[topic], now < end {
            let isFlood = now < end - self.parameters.pruneBackoff + self.parameters.graftFloodThreshold
            self.peers[number]?.standing.penalise(isFlood ? 2 : 1)
            self.refuse(.graftInBackoff, of: number)
            return self.sendPrune(to: number, in: topic, backoff: self.parameters.pruneBackoff, exchanges: false, now: now)
        }
        if self.score(number, now: now) < 0 {
            self.refuse(.graftBelowZero, of: number)
            return self.sendPrune(to: number, in: topic, backoff: self.parameters.pruneBackoff, exchanges: false, now: now)
        }
        if subscription.mesh.count >= self.parameters.meshDegreeHigh, !peer.isOutbound {
            self.refuse(.meshFull, of: number)
            return self.sendPrune(to: number, in: topic, backoff: self.parameters.pruneBackoff, exchanges: true, now: now)
        }
        self.openStream(to: number)
        self.joinMesh(number, in: topic, byPeer: true, now: now)
    }

    private mutating func received(_ prune: PubSubRPC.Prune, from number: GossipsubPeerNumber, now: Duration) {
        guard let subscription = self.subscriptions[prune.topic] else { return }
        let wasInMesh = subscription.mesh.contains(number)
        let score = self.score(number, now: now)
        self.leaveMesh(number, in: prune.topic, byPeer: true, now: now)
        let stated = prune.backoff.map { Duration.seconds(Int64(min($0, Self.backoffSecondsMax))) } ?? .zero
        self.peers[number]?.standing.backOff(prune.topic, until: now + (stated > .zero ? stated : self.parameters.pruneBackoff))
        guard !prune.peers.isEmpty else { return }
        // Only a PRUNE that ended something may name others, so that nobody can send many.
        guard wasInMesh, score >= self.parameters.scoring.peerExchangeThreshold else { return self.refuse(.untrustedExchange, of: number) }
        for peer in prune.peers { self.received(peer, from: number) }
    }

    /// Longest backoff that a peer can ask for. Who never wants to be grafted need not subscribe.
    private static let backoffSecondsMax: UInt64 = 3_600

    private mutating func received(_ exchanged: PubSubRPC.ExchangedPeer, from number: GossipsubPeerNumber) {
        // Without a record there is nothing to dial.
        let limits = self.parameters.limits
        let room = min(limits.exchangeAddressCountOfPeerMax, limits.exchangeAddressCountMax - self.exchangeAddressCount)
        guard !exchanged.record.isEmpty, room > 0 else { return }
        guard let source = self.peers[number]?.id, let id = try? PeerID(parsing: exchanged.id),
            let envelope = try? SignedEnvelope(parsing: exchanged.record)
        else { return self.refuse(.unreadableExchange, of: number) }
        let record: PeerRecord
        do throws(SignedEnvelopeError) {
            record = try PeerRecord(opening: envelope)
        } catch {
            let isForged =
                switch error {
                case .key(.wrongSignature): envelope.isJudgedAlike
                case .signedByAnother: true
                case .key, .protobuf, .wrongPayloadType, .peerID: false
                }
            return isForged ? self.charge(.forgedExchange, of: number) : self.refuse(.unreadableExchange, of: number)
        }
        guard record.peerID == id else { return self.charge(.forgedExchange, of: number) }
        // Addresses that reach less far than the peer who names them is away would have us dial into our own network.
        let distance = self.peers[number]?.connections.compactMap(\.distance).max() ?? .everywhere
        let addresses = Array(record.addresses.compactMap { $0.reaching(distance) }.prefix(room))
        guard self.numbers[id] == nil, id != self.identity.id, !addresses.isEmpty else { return }
        self.exchangeAddressCount += addresses.count
        self.events.append(.peerExchanged(record, by: source))
        self.commands.append(.dial(id, addresses, isHearsay: true))
    }

    /// For each one, and not once a heartbeat: a single answer may hold sixteen.
    private mutating func charge(_ refusal: GossipsubRefusal, of number: GossipsubPeerNumber) {
        self.peers[number]?.standing.penalise()
        self.refuse(refusal, of: number)
    }
}
