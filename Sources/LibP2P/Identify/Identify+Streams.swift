extension Identify {
    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .connected(let info):
            self.peers[info.peer, default: Peer()].connections.append(info)
            let request = self.request(info.peer, info.id, .ask)
            self.outbox.send(.openOn(request: request, info.id, protocolIDs: [Self.protocolID]))
        case .disconnected(let info):
            self.peers[info.peer]?.connections.removeAll { $0.id == info.id }
            if self.peers[info.peer]?.connections.isEmpty ?? false { self.peers[info.peer] = nil }
        case .opened(let request, let stream, _): self.opened(request, stream, now: now)
        case .failed(let request, let failure): self.failed(request, failure, now: now)
        case .inbound(let stream, let info, let protocolID):
            if protocolID == Self.pushProtocolID { self.takePush(stream, info, now: now) } else { self.answer(stream, info, now: now) }
        case .received(let stream, let bytes): self.received(stream, bytes, now: now)
        case .ended(let stream): self.ended(stream, now: now)
        case .reset(let stream): self.fail(stream, .reset, now: now, resets: false)
        case .protocols(let peer, let names): self.peers[peer]?.takesPushes = names.contains(Self.pushProtocolID)
        case .writable: break
        }
    }

    public mutating func tick(now: Duration) {
        while let stream = self.deadlines.popDue(now: now) {
            guard let exchange = self.streams[stream] else { continue }
            // A peer that said all and forgot to end its stream has said all.
            let isWhole = exchange.messageCount > 0 && exchange.frames.heldByteCount == 0
            if isWhole { self.outbox.send(.reset(stream)) }
            if isWhole { self.ended(stream, now: now) } else { self.fail(stream, .timedOut, now: now, resets: true) }
        }
        self.pushIfDue(now: now)
        if let deadline = self.observed.deadline, deadline <= now, self.observed.expire(now: now) {
            self.outbox.report(.observedAddresses(self.observed.addresses))
        }
    }

    // MARK: Streams of ours

    private mutating func opened(_ request: UInt64, _ stream: StreamID, now: Duration) {
        guard let request = self.requests.removeValue(forKey: request) else { return self.outbox.send(.reset(stream)) }
        self.deadlines.set(stream, at: now + self.configuration.timeout)
        switch request.purpose {
        case .ask:
            self.streams[stream] = Exchange(
                peer: request.peer, kind: .asking(request.connection), isInbound: false, isPush: false, since: now)
            self.outbox.send(.closeWrite(stream))
        case .push:
            self.streams[stream] = Exchange(peer: request.peer, kind: .finishing, isInbound: false, isPush: true, since: now)
            self.counters.pushesSent += 1
            self.outbox.send(.write(stream, FrameReader.frame(self.message.bytes)))
            self.outbox.send(.closeWrite(stream))
        }
    }

    private mutating func failed(_ request: UInt64, _ failure: StreamFailure, now: Duration) {
        guard let request = self.requests.removeValue(forKey: request) else { return }
        switch request.purpose {
        case .ask: self.outbox.report(.failed(request.peer, on: request.connection, .stream(failure)))
        case .push:
            self.pushesUnderWay -= 1
            if failure == .notSupported { self.peers[request.peer]?.takesPushes = false }
            self.pushIfDue(now: now)
        }
    }

    /// Begins as many pushes as may be under way, once their time has come.
    mutating func pushIfDue(now: Duration) {
        guard let round = self.nextPushRound, round <= now else { return }
        while self.pushesUnderWay < self.configuration.parallelPushesMax, let peer = self.unheard.popLast() {
            guard self.peers[peer]?.takesPushes ?? false else { continue }
            self.pushesUnderWay += 1
            self.lastPushRound = now
            let request = self.request(peer, nil, .push)
            self.outbox.send(.open(request: request, peer, protocolIDs: [Self.pushProtocolID], onLimited: true))
        }
        if self.unheard.isEmpty { self.nextPushRound = nil }
    }

    // MARK: Streams of the peer

    private mutating func answer(_ stream: StreamID, _ info: ConnectionInfo, now: Duration) {
        let rate = ServiceBudget.Rate(burst: self.configuration.answersBurst, interval: self.configuration.answersInterval)
        let mayAsk = self.peers[info.peer]?.answers.spend(rate, now: now) ?? false
        guard self.hasRoom(info.peer), mayAsk else { return self.refuse(stream, info.peer, .tooManyQuestions) }
        self.admit(stream, Exchange(peer: info.peer, kind: .finishing, isInbound: true, isPush: false, since: now), now: now)
        var message = self.message
        message.observedAddress = info.remoteAddress.withoutPeerID
        self.counters.answered += 1
        self.outbox.send(.write(stream, FrameReader.frame(message.bytes)))
        self.outbox.send(.closeWrite(stream))
    }

    private mutating func takePush(_ stream: StreamID, _ info: ConnectionInfo, now: Duration) {
        let rate = ServiceBudget.Rate(burst: self.configuration.pushesTakenBurst, interval: self.configuration.pushesTakenInterval)
        let mayPush = self.peers[info.peer]?.pushes.spend(rate, now: now) ?? false
        guard self.hasRoom(info.peer), mayPush else { return self.refuse(stream, info.peer, .tooManyPushes) }
        self.admit(stream, Exchange(peer: info.peer, kind: .taking, isInbound: true, isPush: true, since: now), now: now)
        self.outbox.send(.closeWrite(stream))
    }

    private func hasRoom(_ peer: PeerID) -> Bool {
        guard let known = self.peers[peer] else { return false }
        return known.inboundStreamCount < self.configuration.inboundStreamsPerPeerMax
    }

    private mutating func admit(_ stream: StreamID, _ exchange: Exchange, now: Duration) {
        self.peers[exchange.peer]?.inboundStreamCount += 1
        self.streams[stream] = exchange
        self.deadlines.set(stream, at: now + self.configuration.timeout)
    }

    private mutating func refuse(_ stream: StreamID, _ peer: PeerID, _ error: IdentifyError) {
        self.counters.refused += 1
        self.outbox.send(.reset(stream))
        self.outbox.report(.refused(peer, error))
    }

    // MARK: Bytes

    private mutating func received(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard var exchange = self.streams.removeValue(forKey: stream) else { return }
        if case .finishing = exchange.kind {
            // Nothing is said to whom was told: it is passed over.
            self.streams[stream] = exchange
            return
        }
        let before = exchange.heldByteCount
        let error: IdentifyError?
        do throws(IdentifyError) {
            try exchange.take(bytes)
            error = nil
        } catch let failure {
            error = failure
        }
        self.unfinishedByteCount += exchange.heldByteCount - before
        self.streams[stream] = exchange
        if let error { self.fail(stream, error, now: now, resets: true) }
        while self.unfinishedByteCount > self.configuration.unfinishedByteCountMax {
            let unfinished = self.streams.filter { $0.value.heldByteCount > 0 }
            guard let oldest = unfinished.min(by: { ($0.value.since, $0.key) < ($1.value.since, $1.key) }) else { return }
            self.fail(oldest.key, .tooManyUnfinished, now: now, resets: true)
        }
    }

    private mutating func ended(_ stream: StreamID, now: Duration) {
        guard let exchange = self.streams[stream] else { return }
        switch exchange.kind {
        case .finishing:
            self.forget(stream, now: now)
        case .asking(let connection):
            self.conclude(stream, exchange, on: connection, now: now)
        case .taking:
            self.conclude(stream, exchange, on: nil, now: now)
        }
    }

    private mutating func conclude(_ stream: StreamID, _ exchange: Exchange, on connection: ConnectionID?, now: Duration) {
        do throws(IdentifyError) {
            guard exchange.messageCount > 0, exchange.frames.heldByteCount == 0 else { throw .truncated }
            let message = try Self.parse(exchange.messages)
            let sequence = self.peers[exchange.peer]?.recordSequence
            let found = try IdentifiedPeer(message, from: exchange.peer, isPush: exchange.isPush, notOlderThan: sequence)
            self.forget(stream, now: now)
            self.accept(found, on: connection, now: now)
        } catch {
            self.fail(stream, error, now: now, resets: false)
        }
    }

    private static func parse(_ bytes: [UInt8]) throws(IdentifyError) -> IdentifyMessage {
        do throws(ProtobufError) {
            return try IdentifyMessage(parsing: bytes)
        } catch {
            throw .protobuf(error)
        }
    }

    private mutating func accept(_ found: IdentifiedPeer, on connection: ConnectionID?, now: Duration) {
        if found.isPush { self.counters.pushesTaken += 1 } else { self.counters.identified += 1 }
        if let names = found.protocols { self.peers[found.peer]?.takesPushes = names.contains(Self.pushProtocolID) }
        if let record = found.record { self.peers[found.peer]?.recordSequence = record.sequence }
        self.outbox.report(.identified(found, on: connection))
        guard let address = found.observedAddress, let connection else { return }
        let observer = self.peers[found.peer]?.connections.first { $0.id == connection }?.remoteAddress
        guard let observer, ObservedAddresses.isPlausible(address, observer: observer) else {
            self.counters.observationsIgnored += 1
            return
        }
        if self.observed.observe(address.withoutPeerID, by: observer, now: now) {
            self.outbox.report(.observedAddresses(self.observed.addresses))
        }
    }

    // MARK: Ends

    private mutating func fail(_ stream: StreamID, _ error: IdentifyError, now: Duration, resets: Bool) {
        guard let exchange = self.streams[stream] else { return }
        self.forget(stream, now: now)
        if resets { self.outbox.send(.reset(stream)) }
        switch exchange.kind {
        case .asking(let connection):
            self.counters.refused += 1
            self.outbox.report(.failed(exchange.peer, on: connection, error))
        case .taking:
            self.counters.refused += 1
            self.outbox.report(.refused(exchange.peer, error))
        case .finishing:
            break
        }
    }

    private mutating func forget(_ stream: StreamID, now: Duration) {
        guard let exchange = self.streams.removeValue(forKey: stream) else { return }
        self.deadlines.remove(stream)
        self.unfinishedByteCount -= exchange.heldByteCount
        if exchange.isInbound {
            self.peers[exchange.peer]?.inboundStreamCount -= 1
        } else if exchange.isPush {
            self.pushesUnderWay -= 1
            self.pushIfDue(now: now)
        }
    }
}

extension Identify.Exchange {
    /// Keeps whole messages, one behind the other, within the bounds.
    mutating func take(_ bytes: [UInt8]) throws(IdentifyError) {
        let found: [[UInt8]]
        do throws(FrameReader.Failure) {
            found = try self.frames.receive(bytes)
        } catch {
            throw .frame(error)
        }
        for frame in found {
            self.messageCount += 1
            guard self.messageCount <= IdentifyMessage.messageCountMax else { throw .tooManyMessages }
            guard self.messages.count + frame.count <= IdentifyMessage.receivedByteCountMax else { throw .tooManyBytes }
            self.messages += frame
        }
    }
}
