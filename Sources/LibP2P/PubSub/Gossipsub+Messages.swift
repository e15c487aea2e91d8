// Messages: ours out, others' in and on.

// MARK: - Publishing

extension Gossipsub {
    /// What publishing came to.
    public struct Publication: Equatable, Sendable {
        public let id: PubSubMessageID
        /// To how many peers the message goes at once. With none it is kept for a few heartbeats, for peers that come meanwhile.
        public let peerCount: Int
    }

    /// Publishes a message. It does not come back as an event.
    ///
    /// - Parameter sequence: A number that this identity uses once in the topic, also over restarts: a counter that is kept, or the
    ///   time in nanoseconds. Not used where nobody signs.
    @discardableResult
    public mutating func publish(
        _ data: [UInt8], to topic: String, sequence: UInt64, now: Duration
    ) throws(GossipsubPublishError) -> Publication {
        guard PubSubTopic.isValid(topic) else { throw .invalidTopic }
        // Before the work of signing: no message can be shorter than its data.
        guard data.count <= PubSubRPC.byteCountMax else { throw .tooLong(byteCount: data.count, maximum: PubSubRPC.byteCountMax) }
        self.start(now: now)
        let message = self.message(topic: topic, data: data, sequence: sequence)
        let id = self.parameters.identification.id(of: message)
        guard (1...PubSubMessageID.byteCountMax).contains(id.bytes.count) else { throw .invalidID }
        guard self.seen[id] == nil else { throw .duplicate(id) }
        let body = Self.frameBody(of: message)
        guard body.count <= PubSubRPC.byteCountMax else { throw .tooLong(byteCount: body.count, maximum: PubSubRPC.byteCountMax) }
        let frame = FrameReader.frame(body)
        self.seen.insert(id, .accepted(at: now), countMax: self.parameters.limits.seenCountMax, now: now)
        self.history.insert(id, topic: topic, frame: frame, byteCountMax: self.parameters.limits.historyByteCountMax)
        self.counters.published += 1
        let recipients = self.recipientsOfOwn(in: topic, now: now)
        let peerCount = recipients.reduce(0) { $0 + (self.send(id, frame, to: $1) ? 1 : 0) }
        self.flush()
        return Publication(id: id, peerCount: peerCount)
    }

    private func message(topic: String, data: [UInt8], sequence: UInt64) -> PubSubMessage {
        switch self.parameters.signaturePolicy {
        case .strictNoSign: PubSubMessage(topic: topic, data: data)
        case .strictSign:
            PubSubMessage(
                topic: topic, data: data, sequence: (0..<8).map { UInt8(truncatingIfNeeded: sequence >> (56 - 8 * $0)) },
                signedBy: self.identity)
        }
    }

    private static func frameBody(of message: PubSubMessage) -> [UInt8] {
        ProtobufWriter.message { $0.bytes(message.encoded, field: 2) }
    }

    /// Sorted.
    private mutating func recipientsOfOwn(in topic: String, now: Duration) -> [GossipsubPeerNumber] {
        if self.subscriptions[topic] == nil { self.refreshFanout(of: topic, now: now) }
        if self.parameters.floodsOwnMessages {
            return (self.topicPeers[topic] ?? []).sorted().filter { self.mayReceiveOwn($0, now: now) }
        }
        let chosen = self.subscriptions[topic]?.mesh ?? self.fanouts[topic]?.peers ?? []
        return chosen.union(self.floodPeers(in: topic, now: now)).sorted()
    }

    func mayReceiveOwn(_ number: GossipsubPeerNumber, now: Duration) -> Bool {
        self.peers[number]?.isDirect == true || self.score(number, now: now) >= self.parameters.scoring.publishThreshold
    }

    private mutating func refreshFanout(of topic: String, now: Duration) {
        self.fanouts[topic, default: Fanout(lastPublished: now)].lastPublished = now
        self.fillFanout(of: topic, now: now)
    }

    /// Direct and floodsub peers of a topic, which are in no mesh and get everything.
    private func floodPeers(in topic: String, now: Duration) -> Set<GossipsubPeerNumber> {
        guard !self.floodPeers.isEmpty else { return [] }
        return self.floodPeers.filter { self.peers[$0]?.topics.contains(topic) == true && self.mayReceiveOwn($0, now: now) }
    }

    /// Puts a message into a peer's outbox; `false` if it does not want it, or there is no room.
    private mutating func send(_ id: PubSubMessageID, _ frame: [UInt8], to number: GossipsubPeerNumber) -> Bool {
        guard let peer = self.peers[number], peer.version != nil else { return false }
        guard peer.unwanted[id] == nil else {
            self.counters.sparedByDoNotWant += 1
            return false
        }
        let asked = peer.outbox.hasWants
        guard self.peers[number]?.outbox.send(id, frame, self.parameters.limits) == true else {
            self.counters.droppedMessages += 1
            return false
        }
        // Where the message took the place of our questions, nobody owes an answer.
        if asked, self.peers[number]?.outbox.hasWants == false { self.forgivePromises(of: number) }
        self.counters.sent += 1
        self.dirty.insert(number)
        return true
    }

    /// Sends a message that a peer asked for.
    mutating func answer(_ id: PubSubMessageID, _ frame: [UInt8], to number: GossipsubPeerNumber) {
        if self.send(id, frame, to: number) { self.counters.answeredWants += 1 }
    }
}

// MARK: - Receiving

extension Gossipsub {
    mutating func received(_ message: PubSubMessage, from number: GossipsubPeerNumber, now: Duration) {
        guard let topic = message.topic, let subscription = self.subscriptions[topic] else { return self.refuse(.unknownTopic, of: number) }
        do throws(PubSubMessage.Fault) {
            try message.checkFields(self.parameters.signaturePolicy)
        } catch {
            return self.invalid(GossipsubRefusal(error), topic, from: number)
        }
        let id = self.parameters.identification.id(of: message)
        // Nobody's fault: elsewhere sequence numbers may be longer. What is not remembered is looked at each time, up to here.
        guard (1...PubSubMessageID.byteCountMax).contains(id.bytes.count) else { return self.refuse(.idTooLong, of: number) }
        if let seen = self.seen[id] { return self.receivedAgain(id, seen, topic, from: number, now: now) }
        // Ours, from before a restart: nobody's fault.
        guard message.from != self.identity.id.bytes else { return self.refuse(.ownMessage, id, from: number) }
        // Before the signature is checked, which is the dear part.
        guard !subscription.needsVerdict || self.hasRoomForWaiting(message) else {
            return self.refuse(.verdictQueueFull, id, from: number)
        }
        let verified: PubSubMessage
        do throws(PubSubMessage.Fault) {
            verified = try message.verify(self.parameters.signaturePolicy)
        } catch {
            guard !error.isForgery else { return self.invalid(GossipsubRefusal(error), topic, from: number) }
            if self.canOnlyBeRefused(message, error) { self.ignore(id, now: now) }
            return self.refuse(GossipsubRefusal(error), id, from: number)
        }
        let body = Self.frameBody(of: verified)
        // A message that others write with more bytes than its sender did could not be passed on.
        guard body.count <= PubSubRPC.byteCountMax else { return self.refuse(.oversizedFrame, id, from: number) }
        self.take(id, verified, topic, FrameReader.frame(body), from: number, subscription, now: now)
    }

    /// A message that is verified and new.
    private mutating func take(
        _ id: PubSubMessageID, _ message: PubSubMessage, _ topic: String, _ frame: [UInt8], from number: GossipsubPeerNumber,
        _ subscription: Subscription, now: Duration
    ) {
        guard let source = self.peers[number]?.id else { return }
        self.fulfilPromises(of: id)
        let seen = subscription.needsVerdict ? GossipsubSeen.waitsForVerdict : .accepted(at: now)
        self.seen.insert(id, seen, countMax: self.parameters.limits.seenCountMax, now: now)
        if message.data.count >= self.parameters.doNotWantByteCountMin {
            for other in subscription.mesh where other != number && self.peers[other]?.version == .v12 {
                self.peers[other]?.outbox.doNotWant(id)
                self.dirty.insert(other)
            }
        }
        self.counters.delivered += 1
        self.events.append(.message(id, message, from: source, needsVerdict: subscription.needsVerdict))
        let entry = GossipsubWaitingMessages.Entry(topic: topic, author: message.author, frame: frame, source: number, since: now)
        if subscription.needsVerdict {
            self.waiting.insert(id, entry)
        } else {
            self.accept(id, entry, now: now)
        }
    }

    /// Whether no message that is taken here can have the id of this one. Otherwise its id is not remembered, or a forger could keep
    /// messages out by being first with their ids.
    private func canOnlyBeRefused(_ message: PubSubMessage, _ fault: PubSubMessage.Fault) -> Bool {
        guard case .authorAndSequence = self.parameters.identification else { return false }
        // The author itself signed what has this sequence number.
        return fault == .unusualSequence || !message.hasVerifiableAuthor
    }

    /// Remembers a message that is not taken, whoever brings it.
    private mutating func ignore(_ id: PubSubMessageID, now: Duration) {
        self.fulfilPromises(of: id)
        self.seen.insert(id, .ignored, countMax: self.parameters.limits.seenCountMax, now: now)
    }

    private func hasRoomForWaiting(_ message: PubSubMessage) -> Bool {
        let limits = self.parameters.limits
        return self.waiting.count < limits.verdictCountMax
            && self.waiting.byteCount + message.data.count + message.unknownFields.count <= limits.verdictByteCountMax
    }

    private mutating func receivedAgain(
        _ id: PubSubMessageID, _ seen: GossipsubSeen, _ topic: String, from number: GossipsubPeerNumber, now: Duration
    ) {
        self.counters.duplicates += 1
        switch seen {
        case .waitsForVerdict: self.waiting.add(number, to: id)
        case .accepted(let time):
            let scoring = self.parameters.scoring
            guard now - time <= scoring.topic(topic).meshDeliveryWindow else { return }
            // Once for each who brings it: the same message again and again is no more than one.
            guard self.bearers[id].map({ !$0.peers.contains(number) }) ?? true else { return }
            self.bearers[id]?.peers.insert(number)
            self.peers[number]?.standing.deliveredNearFirst(topic, scoring)
        case .rejected: self.invalid(.rejected, topic, from: number)
        case .ignored: break
        }
    }

    /// What was brought is not taken, for a reason that is not its bringer's: who announced it has kept its word.
    mutating func refuse(_ refusal: GossipsubRefusal, _ id: PubSubMessageID, from number: GossipsubPeerNumber) {
        for id in [id, id.inHex] {
            self.promises[id]?[number] = nil
            if self.promises[id]?.isEmpty == true { self.promises[id] = nil }
        }
        self.refuse(refusal, of: number)
    }

    private mutating func invalid(_ refusal: GossipsubRefusal, _ topic: String, from number: GossipsubPeerNumber) {
        self.peers[number]?.standing.deliveredInvalid(topic)
        self.refuse(refusal, of: number)
    }

    /// The application's verdict on a message of which an event said that it needs one.
    ///
    /// - Returns: `false` if no such message waits (any more).
    @discardableResult
    public mutating func verdict(_ verdict: PubSubVerdict, on id: PubSubMessageID, now: Duration) -> Bool {
        guard let entry = self.waiting.remove(id) else { return false }
        switch verdict {
        case .accept:
            self.seen.update(id, .accepted(at: now))
            for other in entry.others { self.peers[other]?.standing.deliveredNearFirst(entry.topic, self.parameters.scoring) }
            self.accept(id, entry, now: now)
        case .reject:
            self.seen.update(id, .rejected)
            for source in entry.others.union([entry.source]).sorted() { self.invalid(.rejected, entry.topic, from: source) }
        case .ignore:
            self.seen.update(id, .ignored)
        }
        self.flush()
        return true
    }

    /// Passes a message on and keeps it for who asks.
    private mutating func accept(_ id: PubSubMessageID, _ entry: GossipsubWaitingMessages.Entry, now: Duration) {
        let scoring = self.parameters.scoring.topic(entry.topic)
        if scoring.countsMeshDeliveries {
            self.bearers[id] = (until: now + scoring.meshDeliveryWindow, peers: entry.others.union([entry.source]))
        }
        self.peers[entry.source]?.standing.deliveredFirst(entry.topic, self.parameters.scoring)
        self.history.insert(id, topic: entry.topic, frame: entry.frame, byteCountMax: self.parameters.limits.historyByteCountMax)
        var recipients = self.subscriptions[entry.topic]?.mesh ?? []
        recipients.formUnion(self.floodPeers(in: entry.topic, now: entry.since))
        let author = entry.author.flatMap { self.numbers[$0] }
        for number in recipients.sorted() where number != entry.source && number != author && !entry.others.contains(number) {
            _ = self.send(id, entry.frame, to: number)
        }
    }

    private mutating func fulfilPromises(of id: PubSubMessageID) {
        guard !self.promises.isEmpty else { return }
        self.promises[id] = nil
        self.promises[id.inHex] = nil
    }
}

extension GossipsubRefusal {
    fileprivate init(_ fault: PubSubMessage.Fault) {
        self =
            switch fault {
            case .missingField: .missingFields
            case .unexpectedField: .unexpectedFields
            case .forgedAuthor: .forgedAuthor
            case .wrongSignature: .wrongSignature
            case .unverifiableAuthor: .unverifiableAuthor
            case .disputedSignature: .disputedSignature
            case .unusualSequence: .unusualSequence
            }
    }
}
