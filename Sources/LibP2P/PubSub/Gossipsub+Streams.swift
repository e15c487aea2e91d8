// Connections, streams and frames.
extension Gossipsub {
    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        self.start(now: now)
        switch input {
        case .connected(let connection): self.connected(connection, now: now)
        case .disconnected(let connection): self.disconnected(connection, now: now)
        case .protocols(let peer, let ids):
            if let number = self.numbers[peer], ids.contains(where: { GossipsubVersion(protocolID: $0) != nil }) {
                self.peers[number]?.openFailureCount = 0
                self.openStream(to: number)
            }
        case .opened(let request, let stream, let protocolID): self.opened(request, stream, protocolID, now: now)
        case .failed(let request, let failure): self.failed(request, failure, now: now)
        case .inbound(let stream, let connection, _): self.accepted(stream, connection)
        case .received(let stream, let bytes): self.received(bytes, on: stream, now: now)
        case .ended(let stream): self.ended(stream)
        case .reset(let stream): self.wasReset(stream, now: now)
        case .writable(let stream):
            if let number = self.streams[stream], self.outboundStream(of: number) == stream {
                self.peers[number]?.underWayByteCount = 0
                self.dirty.insert(number)
            }
        }
        self.flush()
    }

    // MARK: Connections

    private mutating func connected(_ connection: ConnectionInfo, now: Duration) {
        let number: GossipsubPeerNumber
        if let known = self.numbers[connection.peer] {
            number = known
        } else {
            number = self.nextPeerNumber
            self.nextPeerNumber += 1
            var peer = GossipsubPeer(
                connection.peer, isDirect: self.directPeers[connection.peer] != nil, household: connection.household)
            if let past = self.remembered.removeValue(forKey: connection.peer), past.until > now { peer.standing = past.standing }
            self.numbers[connection.peer] = number
            self.peers[number] = peer
        }
        guard self.peers[number]?.connections.contains(where: { $0.id == connection.id }) == false else { return }
        self.peers[number]?.connections.append(connection)
        // Another way to the peer may be better than the one on which a stream failed.
        self.peers[number]?.openFailureCount = 0
        if let group = GossipsubAddressGroup(connection.remoteAddress) { self.addressPeers[group, default: [:]][number, default: 0] += 1 }
    }

    private mutating func disconnected(_ connection: ConnectionInfo, now: Duration) {
        guard let number = self.numbers[connection.peer],
            let index = self.peers[number]?.connections.firstIndex(where: { $0.id == connection.id })
        else { return }
        self.peers[number]?.connections.remove(at: index)
        if let group = GossipsubAddressGroup(connection.remoteAddress), let count = self.addressPeers[group]?[number] {
            self.addressPeers[group]?[number] = count > 1 ? count - 1 : nil
            if self.addressPeers[group]?.isEmpty == true { self.addressPeers[group] = nil }
        }
        if self.peers[number]?.connections.isEmpty == true { self.forget(number, now: now) }
    }

    private mutating func forget(_ number: GossipsubPeerNumber, now: Duration) {
        self.leaveMeshes(number, now: now)
        self.endFlooding(to: number)
        for topic in self.fanouts.keys { self.fanouts[topic]?.peers.remove(number) }
        for topic in self.peers[number]?.topics ?? [] { self.removeSubscriber(number, of: topic) }
        self.waiting.forget(number)
        // Promises stay: who leaves owing a message and comes back still owes it, but a number is never given twice.
        self.countUnfinished(0, of: number, isNew: false, now: now)
        guard var peer = self.peers.removeValue(forKey: number) else { return }
        self.topicShares.giveBack(peer.topicByteCount, of: peer.household)
        self.unwantedShares.giveBack(peer.unwantedByteCount, of: peer.household)
        for stream in [peer.inbound, peer.outboundStream].compactMap({ $0 }) { self.streams[stream] = nil }
        if case .opening(let request) = peer.outbound { self.openRequests[request] = nil }
        self.numbers[peer.id] = nil
        self.dirty.remove(number)
        peer.standing.disconnected(self.parameters.scoring, now: now)
        self.remember(peer, now: now)
    }

    /// Keeps what a peer owes, so that it does not get rid of it by dialling again.
    private mutating func remember(_ peer: GossipsubPeer, now: Duration) {
        let owes = peer.standing.score(self.parameters.scoring, now: now) < 0 || !peer.standing.backoffs.isEmpty
        guard owes else { return }
        if self.remembered.count >= self.parameters.limits.rememberedPeerCountMax {
            // Retention is the same for all, so this is who left first.
            let oldest = self.remembered.min { ($0.value.until, $0.key) < ($1.value.until, $1.key) }
            if let oldest { self.remembered[oldest.key] = nil }
        }
        self.remembered[peer.id] = (peer.standing, now + self.parameters.scoring.retention)
    }

    // MARK: Our stream

    /// How often in a row we try to open a stream by ourselves.
    private static let openFailureCountMax = 4

    mutating func openStream(to number: GossipsubPeerNumber) {
        guard let peer = self.peers[number], peer.outbound == .none, peer.openFailureCount < Self.openFailureCountMax else { return }
        let request = self.nextRequest
        self.nextRequest += 1
        self.openRequests[request] = number
        self.peers[number]?.outbound = .opening(request: request)
        self.peers[number]?.reopenHeartbeat = nil
        self.commands.append(.open(request: request, peer.id, protocolIDs: self.parameters.protocolIDs))
    }

    private mutating func opened(_ request: UInt64, _ stream: StreamID, _ protocolID: String, now: Duration) {
        guard let number = self.openRequests.removeValue(forKey: request), let version = GossipsubVersion(protocolID: protocolID) else {
            self.commands.append(.reset(stream))
            return
        }
        self.streams[stream] = number
        self.peers[number]?.outbound = .open(stream, version)
        self.peers[number]?.underWayByteCount = 0
        self.peers[number]?.outbox = GossipsubOutbox()
        if self.peers[number]?.isDirect == true { self.floodPeers.insert(number) } else { self.serveFloodPeer(number) }
        // It may have come into a mesh before this was known.
        if version == .floodsub { self.leaveMeshes(number, now: now) }
        for topic in self.subscriptions.keys { self.peers[number]?.outbox.announce(topic, isOn: true) }
        self.dirty.insert(number)
        // The peer's subscriptions may have come before this stream stood.
        for topic in (self.peers[number]?.topics ?? []).sorted() { self.fillMesh(of: topic, with: number, now: now) }
    }

    /// Gives a floodsub peer a place among those that get every message, if it has none and there is one.
    mutating func serveFloodPeer(_ number: GossipsubPeerNumber) {
        guard let peer = self.peers[number], peer.version == .floodsub, !self.floodPeers.contains(number) else { return }
        guard self.floodShares.take(1, for: peer.household, of: self.parameters.limits.floodPeerCountMax) else {
            return self.refuse(.floodsubCrowd, of: number)
        }
        self.floodPeers.insert(number)
    }

    private mutating func endFlooding(to number: GossipsubPeerNumber) {
        guard self.floodPeers.remove(number) != nil, let peer = self.peers[number], !peer.isDirect else { return }
        self.floodShares.giveBack(1, of: peer.household)
    }

    private mutating func failed(_ request: UInt64, _ failure: StreamFailure, now: Duration) {
        guard let number = self.openRequests.removeValue(forKey: request) else { return }
        self.peers[number]?.outbound = .none
        self.leaveMeshes(number, now: now)
        self.lostStream(to: number, mayComeBack: failure != .notSupported)
    }

    /// Another try comes later each time, and after some no more until something changes.
    private mutating func lostStream(to number: GossipsubPeerNumber, mayComeBack: Bool) {
        guard let failureCount = self.peers[number]?.openFailureCount else { return }
        self.peers[number]?.openFailureCount = failureCount + 1
        self.peers[number]?.reopenHeartbeat = mayComeBack ? self.heartbeatCount + 1 << min(failureCount, 8) : nil
    }

    func outboundStream(of number: GossipsubPeerNumber) -> StreamID? { self.peers[number]?.outboundStream }

    // MARK: The peer's stream

    private mutating func accepted(_ stream: StreamID, _ connection: ConnectionInfo) {
        guard let number = self.numbers[connection.peer] else {
            self.commands.append(.reset(stream))
            return
        }
        // The newer one counts, as in go-libp2p-pubsub: the peer may know that the older one is lost.
        if let old = self.peers[number]?.inbound {
            self.refuse(.secondStream, of: number)
            self.forgetInbound(old, of: number)
            self.commands.append(.reset(old))
        }
        self.streams[stream] = number
        self.peers[number]?.inbound = stream
        self.openStream(to: number)
    }

    private mutating func received(_ bytes: [UInt8], on stream: StreamID, now: Duration) {
        // No copy of the peer is held meanwhile: the reader's bytes would be copied with each chunk.
        guard let number = self.streams[stream], let inbound = self.peers[number]?.inbound, inbound == stream else {
            if let number = self.streams[stream] { self.refuse(.bytesOnOurStream, of: number) }
            return
        }
        let isGraylisted = self.isGraylisted(number, now: now)
        let frames: [[UInt8]]
        do {
            frames = try self.peers[number]?.reader.receive(bytes) ?? []
        } catch {
            if case .tooLong = error { return self.endInbound(number, .oversizedFrame) }
            return self.endInbound(number, .malformedFrame)
        }
        self.countUnfinished(self.peers[number]?.reader.heldByteCount ?? 0, of: number, isNew: !frames.isEmpty, now: now)
        self.giveUpUnfinished()
        // Frames are cut also then: what comes after the score has recovered must begin at a frame's beginning.
        if isGraylisted {
            if !frames.isEmpty { self.refuse(.graylisted, of: number, count: frames.count) }
            return
        }
        for frame in frames {
            do throws(ProtobufError) {
                self.received(try PubSubRPC(parsing: frame), from: number, now: now)
            } catch {
                return self.endInbound(number, .malformedFrame)
            }
        }
    }

    /// - Parameter isNew: Whether the frame began after another one had come whole.
    private mutating func countUnfinished(_ byteCount: Int, of number: GossipsubPeerNumber, isNew: Bool, now: Duration) {
        guard let known = self.peers[number]?.unfinished else {
            if byteCount > 0 { self.peers[number]?.unfinished = (byteCount, now) }
            self.unfinishedByteCount += byteCount
            return
        }
        self.unfinishedByteCount += byteCount - known.byteCount
        self.peers[number]?.unfinished = byteCount > 0 ? (byteCount, isNew ? now : known.since) : nil
    }

    /// Each peer may leave a frame unfinished, and all of them together may not. The household that has most of it gives up its oldest, so
    /// that one with many peers pushes out nobody else's.
    private mutating func giveUpUnfinished() {
        while self.unfinishedByteCount > self.parameters.limits.unfinishedByteCountMax {
            let unfinished = self.peers.compactMap { number, peer in
                peer.unfinished.map { (household: peer.household, byteCount: $0.byteCount, since: $0.since, number: number) }
            }
            let shares: [[UInt8]: Int] = unfinished.reduce(into: [:]) { $0[$1.household, default: 0] += $1.byteCount }
            guard let most = shares.values.max(),
                let number = unfinished.filter({ shares[$0.household] == most })
                    .min(by: { ($0.since, $0.number) < ($1.since, $1.number) })?.number,
                let stream = self.peers[number]?.inbound
            else { return }
            self.refuse(.unfinishedFrame, of: number)
            self.forgetInbound(stream, of: number)
            self.commands.append(.reset(stream))
        }
    }

    /// Ends a stream on which nothing that follows could be understood.
    private mutating func endInbound(_ number: GossipsubPeerNumber, _ refusal: GossipsubRefusal) {
        self.punish(refusal, of: number)
        guard let stream = self.peers[number]?.inbound else { return }
        self.forgetInbound(stream, of: number)
        self.commands.append(.reset(stream))
    }

    private mutating func forgetInbound(_ stream: StreamID, of number: GossipsubPeerNumber) {
        self.streams[stream] = nil
        self.peers[number]?.inbound = nil
        self.peers[number]?.reader = FrameReader(byteCountMax: PubSubRPC.byteCountMax)
        self.countUnfinished(0, of: number, isNew: false, now: .zero)
    }

    // MARK: Ends

    private mutating func ended(_ stream: StreamID) {
        guard let number = self.streams[stream], self.peers[number]?.inbound == stream else {
            // Nobody writes on the stream that we opened, so its end in that direction means nothing.
            return
        }
        self.forgetInbound(stream, of: number)
        self.commands.append(.closeWrite(stream))
    }

    private mutating func wasReset(_ stream: StreamID, now: Duration) {
        guard let number = self.streams[stream] else { return }
        if self.peers[number]?.inbound == stream {
            self.forgetInbound(stream, of: number)
            return
        }
        self.streams[stream] = nil
        self.peers[number]?.outbound = .none
        self.peers[number]?.outbox = GossipsubOutbox()
        self.dirty.remove(number)
        // Nothing can be sent: not a mesh peer any more.
        self.leaveMeshes(number, now: now)
        self.endFlooding(to: number)
        self.lostStream(to: number, mayComeBack: true)
    }

    private mutating func leaveMeshes(_ number: GossipsubPeerNumber, now: Duration) {
        for topic in self.topics { self.leaveMesh(number, in: topic, byPeer: true, now: now) }
    }

    // MARK: Sending

    /// Gives streams what waits for them, as much as they may have under way.
    mutating func flush() {
        guard !self.dirty.isEmpty else { return }
        for number in self.dirty.sorted() {
            while let (stream, frame) = self.peers[number]?.nextFrame(underWayByteCountMax: self.parameters.limits.underWayByteCountMax) {
                self.commands.append(.write(stream, frame))
            }
        }
        self.dirty = []
    }
}

extension GossipsubPeer {
    /// The stream that we opened.
    var outboundStream: StreamID? {
        guard case .open(let stream, _) = self.outbound else { return nil }
        return stream
    }

    /// What is to be written next, while there may be more under way.
    fileprivate mutating func nextFrame(underWayByteCountMax: Int) -> (StreamID, [UInt8])? {
        guard case .open(let stream, _) = self.outbound, self.underWayByteCount < underWayByteCountMax,
            let frame = self.outbox.next(unwanted: self.unwanted)
        else { return nil }
        self.underWayByteCount += frame.count
        return (stream, frame)
    }
}
