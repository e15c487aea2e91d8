// What the owner of a connection does with streams.

extension Connection {
    /// Opens a stream for the first of these protocols that the peer speaks.
    ///
    /// `ConnectionEvent.opened` or `failed` is the answer.
    ///
    /// - Parameter isLazy: for one protocol of which it is known that the peer speaks it: the stream counts as open at once, and our bytes
    ///   go out with the proposal, which saves a round trip. If the peer refuses after all, the stream is reset.
    public mutating func open(
        _ protocolIDs: [String], isLazy: Bool = false, now: Duration
    ) throws(YamuxOpenError) -> YamuxStreamID {
        let id = try self.session.open(announcing: .withFirstBytes, now: now)
        var dialer = MultistreamDialer(proposing: protocolIDs)
        let proposal = dialer.takeOutput()
        let isLazy = isLazy && dialer.allowsEarlyData
        self.negotiate(id, .dialer(dialer, isLazy: isLazy), now: now)
        // A new stream's buffer has room for a line or two.
        try? self.session.write(proposal, to: id)
        if isLazy { self.events.append(.opened(id, protocolID: protocolIDs[0])) }
        self.idleSince = nil
        return id
    }

    /// The oldest received chunk, without a copy; `nil` when nothing waits. The peer may then send as much again.
    public mutating func read(from id: YamuxStreamID, now: Duration) -> [UInt8]? {
        guard self.negotiations[id] == nil, let chunk = self.session.read(from: id, now: now) else { return nil }
        self.handleSessionEvents(now: now)
        return chunk
    }

    /// Bytes that wait to be read.
    public func readableByteCount(of id: YamuxStreamID) -> Int {
        self.negotiations[id] == nil ? self.session.readableByteCount(of: id) : 0
    }

    /// Bytes that were written and wait to be sent.
    public func unsentByteCount(of id: YamuxStreamID) -> Int { self.session.unsentByteCount(of: id) }

    /// Sends a chunk. It is taken as a whole, without a copy, unless the send buffer is full; ``ConnectionEvent/writable(_:)`` then
    /// says when to go on.
    public mutating func write(_ chunk: [UInt8], to id: YamuxStreamID) throws(YamuxWriteError) {
        guard self.canUse(id) else { throw .noSuchStream(id) }
        try self.session.write(chunk, to: id)
    }

    /// No more bytes from us, once everything written has been sent. The peer may go on.
    public mutating func closeWrite(_ id: YamuxStreamID) {
        guard self.canUse(id) else { return }
        self.session.closeWrite(id)
    }

    /// Gives a stream up, with all that was not sent or read. No event follows.
    public mutating func reset(_ id: YamuxStreamID, now: Duration) {
        self.negotiations[id] = nil
        self.session.reset(id)
        self.handleSessionEvents(now: now)
    }

    /// A stream that waits for the peer's agreement takes bytes only in the lazy form.
    private func canUse(_ id: YamuxStreamID) -> Bool {
        guard !self.negotiations.isEmpty, let negotiation = self.negotiations[id] else { return true }
        return negotiation.isLazyDialer
    }
}

// MARK: - Events of the session

extension Connection {
    /// Passes on what the session tells, and carries on negotiations. After any call into the session.
    ///
    /// Only bytes of the peer begin or carry on a listener's negotiation; for everything else `supports` is not needed.
    mutating func handleSessionEvents(now: Duration, supports: (String) -> Bool = { _ in false }) {
        while let event = self.session.nextEvent() {
            switch event {
            case .opened(let id): self.wasOpenedByPeer(id, now: now)
            case .acknowledged: break
            case .readable(let id):
                if self.negotiations.isEmpty || self.negotiations[id] == nil {
                    self.events.append(.readable(id))
                } else {
                    self.continueNegotiation(of: id, now: now, supports: supports)
                }
            case .ended(let id):
                if self.negotiations[id] == nil {
                    self.events.append(.ended(id))
                } else {
                    self.failNegotiation(of: id, .ended, .negotiation(.endedEarly))
                }
            case .writable(let id): self.events.append(.writable(id))
            case .peerStoppedReading(let id):
                if self.negotiations[id] == nil { self.events.append(.peerStoppedReading(id)) }
            case .reset(let id, _, let origin):
                if let negotiation = self.negotiations.removeValue(forKey: id) {
                    self.wasLost(id, negotiation, .ended)
                    if case .session(let fault) = origin { self.events.append(.refused(.session(fault))) }
                } else {
                    self.events.append(.reset(id, by: origin))
                }
            case .finished(let id):
                if let negotiation = self.negotiations.removeValue(forKey: id) {
                    self.wasLost(id, negotiation, .ended)
                } else {
                    self.events.append(.finished(id))
                }
            case .canOpen: self.events.append(.canOpen)
            case .pingAnswered(let roundTrip): self.events.append(.roundTrip(roundTrip))
            case .wentAway: self.events.append(.wentAway)
            case .closed(let reason): return self.end(.session(reason))
            }
        }
        guard self.step == .established else { return }
        if self.session.streamCount > 0 {
            self.idleSince = nil
        } else if self.idleSince == nil {
            self.idleSince = now
        }
    }

    private mutating func wasOpenedByPeer(_ id: YamuxStreamID, now: Duration) {
        // While it negotiates, a stream counts as one of the owner's: the session's limit of unaccepted ones is for those who wait.
        guard !self.negotiatesTooMany else {
            self.refusedNegotiations += 1
            self.events.append(.refused(.tooManyNegotiating(maximum: self.limits.negotiatingStreamCountMax)))
            return self.session.reset(id)
        }
        self.session.accept(id)
        self.negotiate(id, .listener(MultistreamListener()), now: now)
    }

    /// Our own streams take no place of the peer's.
    private var negotiatesTooMany: Bool {
        let maximum = self.limits.negotiatingStreamCountMax
        guard self.negotiations.count >= maximum else { return false }
        return self.negotiations.values.count { if case .listener = $0.side { true } else { false } } >= maximum
    }

    private mutating func negotiate(_ id: YamuxStreamID, _ side: StreamNegotiation.Side, now: Duration) {
        let serial = self.nextNegotiationSerial
        self.nextNegotiationSerial += 1
        self.negotiations[id] = StreamNegotiation(side: side, serial: serial)
        self.negotiationDeadlines.append((id, serial, now + self.limits.streamNegotiationTimeout))
        self.dropOutdatedDeadlines()
    }

    private mutating func continueNegotiation(of id: YamuxStreamID, now: Duration, supports: (String) -> Bool) {
        guard var negotiation = self.negotiations[id] else { return }
        var failure: MultistreamError?
        var isTaking = true
        while isTaking, failure == nil, negotiation.agreed == nil {
            let count = self.session.read(from: id, now: now) { bytes in
                do throws(MultistreamError) {
                    return try negotiation.receive(bytes, supports: supports)
                } catch {
                    failure = error
                    return 0
                }
            }
            isTaking = count > 0
        }
        let output = negotiation.takeOutput()
        if !output.isEmpty { try? self.session.write(output, to: id) }
        self.negotiations[id] = negotiation
        if let failure {
            if case .refused = failure { return self.failNegotiation(of: id, .notSupported, .negotiation(failure)) }
            return self.failNegotiation(of: id, .ended, .negotiation(failure))
        }
        guard let agreed = negotiation.agreed else { return }
        self.negotiations[id] = nil
        self.dropOutdatedDeadlines()
        switch negotiation.side {
        case .dialer(_, isLazy: true): break
        case .dialer: self.events.append(.opened(id, protocolID: agreed))
        case .listener: self.events.append(.inbound(id, protocolID: agreed))
        }
        if self.session.readableByteCount(of: id) > 0 { self.events.append(.readable(id)) }
    }

    /// Gives up a stream that is still there.
    ///
    /// - Parameter refusal: what is told of it where the peer had opened it.
    private mutating func failNegotiation(of id: YamuxStreamID, _ failure: StreamFailure, _ refusal: StreamRefusal) {
        guard let negotiation = self.negotiations.removeValue(forKey: id) else { return }
        self.session.reset(id)
        self.wasLost(id, negotiation, failure)
        if case .listener = negotiation.side {
            self.failedNegotiations += 1
            self.events.append(.refused(refusal))
        }
        self.dropOutdatedDeadlines()
    }

    /// The owner hears of streams that it knows: its own.
    private mutating func wasLost(_ id: YamuxStreamID, _ negotiation: StreamNegotiation, _ failure: StreamFailure) {
        switch negotiation.side {
        case .dialer(_, isLazy: false): self.events.append(.failed(id, failure))
        case .dialer(_, isLazy: true): self.events.append(.reset(id, by: .peer))
        case .listener: break
        }
    }

    mutating func expireNegotiations(now: Duration) {
        while let first = self.negotiationDeadlines.first, first.at <= now {
            _ = self.negotiationDeadlines.popFirst()
            if self.negotiations[first.id]?.serial == first.serial { self.failNegotiation(of: first.id, .timedOut, .negotiationTimedOut) }
        }
        self.dropOutdatedDeadlines()
    }

    /// Negotiations end in almost the order in which they began, so that the oldest deadline is seldom an outdated one for long.
    private mutating func dropOutdatedDeadlines() {
        while let first = self.negotiationDeadlines.first, self.negotiations[first.id]?.serial != first.serial {
            _ = self.negotiationDeadlines.popFirst()
        }
        // Behind one stream that a peer leaves in the middle, all that it opens and ends after it would else be kept.
        guard self.negotiationDeadlines.count > 2 * self.negotiations.count + 32 else { return }
        let live = self.negotiations
        self.negotiationDeadlines.keep { live[$0.id]?.serial == $0.serial }
    }
}
