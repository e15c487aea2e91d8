extension DCUtR {
    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .connected(let info): self.connected(info, now: now)
        case .disconnected(let info): self.disconnected(info)
        case .opened(let request, let stream, _): self.opened(request, stream, now: now)
        case .failed(let request, let failure):
            guard let peer = self.requests.removeValue(forKey: request) else { return }
            guard case .opening(request)? = self.upgrades[peer]?.phase else { return }
            self.end(peer, .stream(failure))
        case .inbound(let stream, let info, _): self.admit(stream, info, now: now)
        case .received(let stream, let bytes):
            if self.answers[stream] != nil { self.answer(stream, bytes, now: now) } else { self.measure(stream, bytes, now: now) }
        case .ended(let stream), .reset(let stream): self.ended(stream, now: now)
        case .writable, .protocols: break
        }
    }

    public mutating func tick(now: Duration) {
        while let timer = self.deadlines.popDue(now: now) {
            switch timer {
            case .answer(let stream):
                guard let answer = self.answers[stream] else { continue }
                let error: DCUtRError = if case .punching = answer.phase { .noConnection } else { .timedOut }
                self.refuse(stream, error)
            case .upgrade(let peer): self.timeIsOver(peer, now: now)
            }
        }
    }

    // MARK: Connections

    private mutating func connected(_ info: ConnectionInfo, now: Duration) {
        guard info.remoteAddress.isRelayed else {
            self.peers[info.peer, default: Peer()].directCount += 1
            return self.succeed(info.peer)
        }
        self.peers[info.peer, default: Peer()].relayed.append(info)
        let isWanted = self.configuration.isAutomatic && !info.isOutbound && self.peers[info.peer]?.directCount == 0
        guard isWanted, self.upgrades[info.peer] == nil else { return }
        guard self.automaticBudgets.spend(info.remoteAddress.bytes, now: now) else {
            self.counters.refused += 1
            return self.outbox.report(.failed(info.peer, .tooMany))
        }
        self.begin(info.peer, on: info.id, now: now)
    }

    private mutating func disconnected(_ info: ConnectionInfo) {
        guard var peer = self.peers[info.peer] else { return }
        if info.remoteAddress.isRelayed {
            peer.relayed.removeAll { $0.id == info.id }
        } else {
            peer.directCount -= 1
        }
        self.peers[info.peer] = peer.directCount <= 0 && peer.relayed.isEmpty && peer.answerCount == 0 ? nil : peer
        guard let upgrade = self.upgrades[info.peer], upgrade.connection == info.id else { return }
        switch upgrade.phase {
        // The dials under way need no relay.
        case .dialling, .punching: break
        case .waitingForAddresses, .opening, .measuring, .delaying: self.end(info.peer, .noRelayedConnection)
        }
    }

    /// A direct connection stands, whoever's dial it was.
    private mutating func succeed(_ peer: PeerID) {
        var attempts: Int?
        if let upgrade = self.upgrades.removeValue(forKey: peer) {
            self.deadlines.remove(.upgrade(peer))
            self.dropStream(of: upgrade)
            attempts = upgrade.attempt
        }
        if self.peers[peer]?.answerCount ?? 0 > 0 {
            for (stream, answer) in self.answers.sorted(by: { $0.key < $1.key }) where answer.peer == peer {
                if case .punching = answer.phase { attempts = max(attempts ?? 0, 1) }
                self.forget(answer: stream)
                self.outbox.send(.reset(stream))
            }
        }
        guard let attempts else { return }
        self.counters.upgraded += 1
        self.outbox.report(.upgraded(peer, attempts: attempts))
    }

    // MARK: B, who asks

    private mutating func timeIsOver(_ peer: PeerID, now: Duration) {
        guard let upgrade = self.upgrades[peer] else { return }
        switch upgrade.phase {
        case .waitingForAddresses, .dialling: self.attempt(peer, now: now)
        case .opening, .measuring: self.attemptFailed(peer, .timedOut, now: now)
        case .punching: self.attemptFailed(peer, .noConnection, now: now)
        case .delaying(let stream, let addresses):
            self.upgrades[peer]?.phase = .punching(stream)
            self.deadlines.set(.upgrade(peer), at: now + self.configuration.dialTimeout)
            // Without addresses the other side's dial may still come through.
            guard !addresses.isEmpty else { return }
            self.outbox.report(.dial(DirectDial(peer: peer, addresses: addresses, role: .listener, isHolePunch: true)))
        }
    }

    /// A stream for each attempt, so that one wrong measurement does not spoil the next (DCUtR, "FAQ").
    mutating func attempt(_ peer: PeerID, now: Duration) {
        guard var upgrade = self.upgrades[peer] else { return }
        self.nextRequest += 1
        upgrade.attempt += 1
        upgrade.phase = .opening(request: self.nextRequest)
        self.counters.attempts += 1
        self.upgrades[peer] = upgrade
        self.requests[self.nextRequest] = peer
        self.deadlines.set(.upgrade(peer), at: now + self.configuration.messageTimeout)
        self.outbox.send(.openOn(request: self.nextRequest, upgrade.connection, protocolIDs: [Self.protocolID]))
    }

    private mutating func attemptFailed(_ peer: PeerID, _ error: DCUtRError, now: Duration) {
        guard let upgrade = self.upgrades[peer] else { return }
        guard upgrade.attempt < self.configuration.attemptCountMax else { return self.end(peer, error) }
        guard self.peers[peer]?.relayed.contains(where: { $0.id == upgrade.connection }) ?? false else {
            return self.end(peer, .noRelayedConnection)
        }
        self.dropStream(of: upgrade)
        self.attempt(peer, now: now)
    }

    private mutating func opened(_ request: UInt64, _ stream: StreamID, now: Duration) {
        guard let peer = self.requests.removeValue(forKey: request), case .opening(request)? = self.upgrades[peer]?.phase else {
            return self.outbox.send(.reset(stream))
        }
        let reader = FrameReader(byteCountMax: HolePunchMessage.byteCountMax)
        self.upgrades[peer]?.phase = .measuring(stream, sentAt: now, reader)
        self.peerOfStream[stream] = peer
        self.deadlines.set(.upgrade(peer), at: now + self.configuration.messageTimeout)
        self.outbox.send(.write(stream, FrameReader.frame(HolePunchMessage(.connect, addresses: self.addresses).bytes)))
    }

    private mutating func measure(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard let peer = self.peerOfStream[stream] else { return }
        guard case .measuring(stream, let sentAt, var reader)? = self.upgrades[peer]?.phase else {
            // After `Connect` nothing is expected of the peer, and nothing kept.
            return
        }
        let messages: [HolePunchMessage]
        do throws(DCUtRError) {
            messages = try Self.messages(in: bytes, &reader)
            guard messages.count <= 1, messages.allSatisfy({ $0.kind == .connect }) else { throw .unexpectedMessage }
        } catch {
            return self.attemptFailed(peer, error, now: now)
        }
        guard let message = messages.first else {
            self.upgrades[peer]?.phase = .measuring(stream, sentAt: sentAt, reader)
            return
        }
        self.outbox.send(.write(stream, FrameReader.frame(HolePunchMessage(.sync).bytes)))
        self.outbox.send(.closeWrite(stream))
        let addresses = self.punchable(message.addresses, of: peer)
        self.upgrades[peer]?.phase = .delaying(stream, addresses)
        self.deadlines.set(.upgrade(peer), at: now + min((now - sentAt) / 2, self.configuration.syncDelayMax))
    }

    private mutating func end(_ peer: PeerID, _ error: DCUtRError) {
        guard let upgrade = self.upgrades.removeValue(forKey: peer) else { return }
        self.deadlines.remove(.upgrade(peer))
        self.dropStream(of: upgrade)
        self.counters.failed += 1
        self.outbox.report(.failed(peer, error))
    }

    private mutating func dropStream(of upgrade: Upgrade) {
        switch upgrade.phase {
        case .waitingForAddresses, .dialling: break
        case .opening(let request): self.requests[request] = nil
        case .measuring(let stream, _, _), .delaying(let stream, _), .punching(let stream):
            if self.peerOfStream.removeValue(forKey: stream) != nil { self.outbox.send(.reset(stream)) }
        }
    }

    // MARK: A, who answers

    private mutating func admit(_ stream: StreamID, _ info: ConnectionInfo, now: Duration) {
        let refusal: DCUtRError? =
            if !info.remoteAddress.isRelayed {
                .overDirectConnection
            } else if self.answers.count >= self.configuration.upgradesMax
                || self.peers[info.peer]?.answerCount ?? 0 >= self.configuration.inboundPerPeerMax
                || self.answers.values.count(where: { $0.relay == info.remoteAddress }) >= self.configuration.inboundPerRelayMax
                || !self.inboundBudgets.spend(info.peer, now: now)
            {
                .tooMany
            } else {
                nil
            }
        if let refusal {
            self.counters.refused += 1
            self.outbox.send(.reset(stream))
            return self.outbox.report(.refused(info.peer, refusal))
        }
        self.peers[info.peer, default: Peer()].answerCount += 1
        self.answers[stream] = Answer(peer: info.peer, relay: info.remoteAddress)
        self.deadlines.set(.answer(stream), at: now + self.configuration.messageTimeout)
    }

    private mutating func answer(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard var answer = self.answers[stream] else { return }
        do throws(DCUtRError) {
            let messages = try Self.messages(in: bytes, &answer.reader)
            self.answers[stream] = answer
            for message in messages { try self.take(message, stream, now: now) }
        } catch {
            self.refuse(stream, error)
        }
    }

    private mutating func take(_ message: HolePunchMessage, _ stream: StreamID, now: Duration) throws(DCUtRError) {
        guard let answer = self.answers[stream] else { return }
        switch (answer.phase, message.kind) {
        case (.waitingForConnect, .connect):
            let addresses = self.punchable(message.addresses, of: answer.peer)
            self.answers[stream]?.phase = .waitingForSync(addresses)
            self.deadlines.set(.answer(stream), at: now + self.configuration.messageTimeout)
            self.outbox.send(.write(stream, FrameReader.frame(HolePunchMessage(.connect, addresses: self.addresses).bytes)))
        case (.waitingForSync(let addresses), .sync):
            self.answers[stream]?.phase = .punching
            self.deadlines.set(.answer(stream), at: now + self.configuration.dialTimeout)
            self.outbox.send(.closeWrite(stream))
            guard !addresses.isEmpty else { return }
            self.outbox.report(.dial(DirectDial(peer: answer.peer, addresses: addresses, role: .dialer, isHolePunch: true)))
        case (.waitingForConnect, .sync), (.waitingForSync, .connect), (.punching, _):
            throw .unexpectedMessage
        }
    }

    private mutating func refuse(_ stream: StreamID, _ error: DCUtRError) {
        guard let answer = self.answers[stream] else { return }
        self.forget(answer: stream)
        self.counters.refused += 1
        self.outbox.send(.reset(stream))
        self.outbox.report(.refused(answer.peer, error))
    }

    private mutating func forget(answer stream: StreamID) {
        guard let answer = self.answers.removeValue(forKey: stream) else { return }
        self.deadlines.remove(.answer(stream))
        self.peers[answer.peer]?.answerCount -= 1
        guard let peer = self.peers[answer.peer], peer.directCount <= 0, peer.relayed.isEmpty, peer.answerCount == 0 else { return }
        self.peers[answer.peer] = nil
    }

    // MARK: Both

    private mutating func ended(_ stream: StreamID, now: Duration) {
        if let answer = self.answers[stream] {
            // B may end its side after `Sync`, and reset it when the direct connection stands.
            if case .punching = answer.phase { return }
            return self.refuse(stream, .ended)
        }
        guard let peer = self.peerOfStream[stream], case .measuring(stream, _, _)? = self.upgrades[peer]?.phase else { return }
        self.attemptFailed(peer, .ended, now: now)
    }

    private static func messages(in bytes: [UInt8], _ reader: inout FrameReader) throws(DCUtRError) -> [HolePunchMessage] {
        let frames: [[UInt8]]
        do throws(FrameReader.Failure) { frames = try reader.receive(bytes) } catch { throw .frame(error) }
        do throws(HolePunchMessageError) {
            var messages: [HolePunchMessage] = []
            // Nobody needs more than three; the wrong ones are refused by their order.
            for frame in frames.prefix(4) { messages.append(try HolePunchMessage(parsing: frame)) }
            return messages
        } catch {
            throw .message(error)
        }
    }
}
