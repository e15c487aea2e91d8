extension RelayClient {
    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .connected(let info): if !info.remoteAddress.isRelayed { self.connected(info.peer) }
        case .disconnected(let info): if !info.remoteAddress.isRelayed { self.disconnected(info, now: now) }
        case .opened(let request, let stream, _): self.opened(request, stream, now: now)
        case .failed(let request, let failure):
            switch self.requests.removeValue(forKey: request) {
            case nil: break
            case .reserve(let relay): self.reservationFailed(relay, .stream(failure), now: now)
            case .connect(let tag, let peer, let relay): self.connectFailed(tag, peer, relay, .stream(failure))
            }
        case .inbound(let stream, let info, _): self.admit(stream, info, now: now)
        case .received(let stream, let bytes): self.received(stream, bytes, now: now)
        case .ended(let stream):
            guard case .standing(let isOutbound, let bytes, _)? = self.streams[stream]?.kind else {
                return self.fail(stream, .ended, resets: true, now: now)
            }
            self.streams[stream]?.kind = .standing(isOutbound: isOutbound, bytes, hasEnded: true)
        case .reset(let stream): self.fail(stream, .ended, resets: false, now: now)
        case .writable, .protocols: break
        }
    }

    public mutating func tick(now: Duration) {
        while let timer = self.deadlines.popDue(now: now) {
            switch timer {
            case .stream(let stream): self.fail(stream, .timedOut, resets: true, now: now)
            case .renewal(let relay):
                guard let place = self.places[relay], !place.isAsking else { continue }
                guard self.connectionCounts[relay] == nil else {
                    self.places[relay]?.isAsking = true
                    self.ask(relay)
                    continue
                }
                // Nobody tells when nothing comes of it, so the next try is set already.
                self.outbox.send(.dial(relay, place.address.map { [$0] } ?? []))
                self.askLater(relay, now: now)
            }
        }
    }

    private mutating func connected(_ relay: PeerID) {
        let count = (self.connectionCounts[relay] ?? 0) + 1
        self.connectionCounts[relay] = count
        guard count == 1, let place = self.places[relay], place.reservation == nil, !place.isAsking else { return }
        self.askNow(relay)
    }

    private mutating func askNow(_ relay: PeerID) {
        self.deadlines.remove(.renewal(relay))
        self.places[relay]?.isAsking = true
        self.ask(relay)
    }

    private mutating func disconnected(_ info: ConnectionInfo, now: Duration) {
        let count = (self.connectionCounts[info.peer] ?? 1) - 1
        self.connectionCounts[info.peer] = count <= 0 ? nil : count
        if info.isOutbound { self.places[info.peer]?.address = info.remoteAddress }
        // One that is only waited for is lost already.
        guard let place = self.places[info.peer], place.reservation != nil || place.isAsking else { return }
        guard count > 0 else { return self.lost(info.peer, .disconnected, now: now) }
        // A relay may have known for longer that this one had ended, and of the others only since: it has started again, or its place ended
        // between the two. By a renewal it says so, or has the place again.
        if !place.isAsking { self.askNow(info.peer) }
    }

    /// There is no reservation any more, or there will be none.
    private mutating func lost(_ relay: PeerID, _ error: RelayError, now: Duration) {
        if self.places[relay]?.hasStood == true {
            self.places[relay]?.reservation = nil
            self.places[relay]?.isAsking = false
            self.askLater(relay, now: now)
        } else {
            self.places[relay] = nil
            self.deadlines.remove(.renewal(relay))
        }
        self.outbox.report(.notReserved(relay, error))
    }

    private mutating func askLater(_ relay: PeerID, now: Duration) {
        guard let failureCount = self.places[relay]?.failureCount else { return }
        self.places[relay]?.failureCount = failureCount + 1
        let wait = min(self.configuration.askAgainFirst * (1 << min(failureCount, 20)), self.configuration.askAgainMax)
        let spread = wait * Int(self.localPeer.bytes.last ?? 0) / 1_024
        self.deadlines.set(.renewal(relay), at: now + wait + spread)
    }

    // MARK: Our requests

    private mutating func opened(_ request: UInt64, _ stream: StreamID, now: Duration) {
        let message: HopMessage
        switch self.requests.removeValue(forKey: request) {
        case nil: return self.outbox.send(.reset(stream))
        case .reserve(let relay):
            self.streams[stream] = Exchange(relay: relay, kind: .reserve)
            message = HopMessage(.reserve)
        case .connect(let tag, let peer, let relay):
            self.streams[stream] = Exchange(relay: relay, kind: .connect(tag: tag, to: peer))
            message = HopMessage(.connect, peer: peer)
        }
        self.deadlines.set(.stream(stream), at: now + self.configuration.timeout)
        self.outbox.send(.write(stream, FrameReader.frame(message.bytes)))
    }

    private mutating func received(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard var exchange = self.streams[stream] else { return }
        if case .standing(let isOutbound, let held, let hasEnded) = exchange.kind {
            let maximum = self.configuration.bytesBeforeTakenMax
            guard held.count + bytes.count <= maximum else {
                return self.fail(stream, .tooManyBytes(maximum: maximum), resets: true, now: now)
            }
            self.streams[stream]?.kind = .standing(isOutbound: isOutbound, held + bytes, hasEnded: hasEnded)
            return
        }
        do throws(FrameReader.Failure) {
            guard let found = try exchange.reader.receive(bytes) else { return self.streams[stream] = exchange }
            self.streams[stream] = exchange
            self.take(found.frame, rest: found.rest, stream, exchange, now: now)
        } catch {
            self.fail(stream, .frame(error), resets: true, now: now)
        }
    }

    private mutating func take(_ frame: [UInt8], rest: [UInt8], _ stream: StreamID, _ exchange: Exchange, now: Duration) {
        do throws(RelayError) {
            switch exchange.kind {
            case .reserve:
                let reservation = try self.reservation(in: Self.hop(frame), from: exchange.relay, now: now)
                self.streams[stream] = nil
                self.deadlines.remove(.stream(stream))
                // A relay may wait for more on it: nothing more comes.
                self.outbox.send(.reset(stream))
                self.reserved(reservation, now: now)
            case .connect(let tag, let peer):
                let message = try Self.hop(frame)
                guard message.kind == .status, let status = message.status else { throw .unexpectedMessage }
                guard status == .ok else { throw .refused(status) }
                self.counters.circuitsOut += 1
                self.stand(stream, exchange.relay, peer, isOutbound: true, message.limit, tag: tag, rest, now: now)
            case .stop:
                let message = try Self.stop(frame)
                guard message.kind == .connect, let peer = message.peer, peer != self.localPeer else { throw .unexpectedMessage }
                self.counters.circuitsIn += 1
                self.outbox.send(.write(stream, FrameReader.frame(StopMessage(.status, status: .ok).bytes)))
                self.stand(stream, exchange.relay, peer, isOutbound: false, message.limit, tag: 0, rest, now: now)
            case .standing: break
            }
        } catch {
            self.fail(stream, error, resets: true, now: now)
        }
    }

    private mutating func stand(
        _ stream: StreamID, _ relay: PeerID, _ peer: PeerID, isOutbound: Bool, _ limit: RelayLimit?, tag: UInt64, _ bytes: [UInt8],
        now: Duration
    ) {
        self.streams[stream]?.kind = .standing(isOutbound: isOutbound, bytes, hasEnded: false)
        self.deadlines.set(.stream(stream), at: now + self.configuration.takeTimeout)
        let limit = limit.flatMap { $0.isUnlimited ? nil : $0 }
        self.outbox.report(
            .circuit(RelayCircuit(stream: stream, relay: relay, peer: peer, isOutbound: isOutbound, limit: limit, tag: tag)))
    }

    private static func hop(_ frame: [UInt8]) throws(RelayError) -> HopMessage {
        do throws(RelayMessageError) { return try HopMessage(parsing: frame) } catch { throw .message(error) }
    }

    private static func stop(_ frame: [UInt8]) throws(RelayError) -> StopMessage {
        do throws(RelayMessageError) { return try StopMessage(parsing: frame) } catch { throw .message(error) }
    }

    // MARK: Reservations

    private mutating func reservation(
        in message: HopMessage, from relay: PeerID, now: Duration
    ) throws(RelayError) -> RelayReservation {
        guard message.kind == .status, let status = message.status else { throw .unexpectedMessage }
        guard status == .ok else { throw .refused(status) }
        guard let reservation = message.reservation else { throw .unexpectedMessage }
        guard self.remaining(until: reservation.expiration, now: now) > .zero else { throw .expired }
        let voucher = self.voucher(in: reservation.voucher, from: relay, now: now)
        return RelayReservation(
            relay: relay, expiration: reservation.expiration, relayAddresses: reservation.addresses.filter { !$0.isRelayed },
            limit: message.limit.flatMap { $0.isUnlimited ? nil : $0 }, voucher: voucher,
            voucherBytes: voucher == nil ? [] : reservation.voucher)
    }

    /// Vouchers are advisory: a wrong one is told, and left out.
    private mutating func voucher(in bytes: [UInt8], from relay: PeerID, now: Duration) -> RelayVoucher? {
        guard !bytes.isEmpty else { return nil }
        var problem: SignedEnvelopeError?
        do throws(SignedEnvelopeError) {
            let voucher = try RelayVoucher(opening: SignedEnvelope(parsing: bytes))
            let isOurs = voucher.relay == relay && voucher.peer == self.localPeer
            if isOurs, self.remaining(until: voucher.expiration, now: now) > .zero { return voucher }
        } catch {
            problem = error
        }
        self.counters.refused += 1
        self.outbox.report(.refused(relay, .wrongVoucher(problem)))
        return nil
    }

    /// Time until a moment in Unix seconds, at most as long as anything is believed.
    private func remaining(until expiration: UInt64, now: Duration) -> Duration {
        let unixNow = now + self.unixOffset
        guard let expiration = Int64(exactly: expiration), expiration < Int64.max / 4 else { return self.configuration.lifetimeMax }
        return min(.seconds(expiration) - unixNow, self.configuration.lifetimeMax)
    }

    private mutating func reserved(_ reservation: RelayReservation, now: Duration) {
        // Cancelled meanwhile.
        guard let place = self.places[reservation.relay] else { return }
        self.places[reservation.relay] = Place(reservation: reservation, isAsking: false, hasStood: true, address: place.address)
        let remaining = self.remaining(until: reservation.expiration, now: now)
        self.deadlines.set(.renewal(reservation.relay), at: now + max(remaining * 3 / 4, self.configuration.renewalIntervalMin))
        self.counters.reserved += 1
        self.outbox.report(.reserved(reservation, isRenewal: place.reservation != nil))
    }

    /// A place that stands is kept while it lasts; the renewal is tried again.
    private mutating func reservationFailed(_ relay: PeerID, _ error: RelayError, now: Duration) {
        self.counters.failed += 1
        guard let place = self.places[relay] else { return }
        if let reservation = place.reservation {
            let remaining = self.remaining(until: reservation.expiration, now: now)
            if remaining > .zero {
                self.places[relay]?.isAsking = false
                let retry = min(self.configuration.retryInterval, max(remaining, .seconds(1)))
                return self.deadlines.set(.renewal(relay), at: now + retry)
            }
        }
        self.lost(relay, error, now: now)
    }

    // MARK: Circuits to us

    private mutating func admit(_ stream: StreamID, _ info: ConnectionInfo, now: Duration) {
        let beginning = self.streams.values.filter {
            switch $0.kind {
            case .stop, .standing(isOutbound: false, _, _): true
            case .reserve, .connect, .standing: false
            }
        }
        let refusal: RelayError? =
            if info.isLimited || info.remoteAddress.isRelayed {
                .overRelayedConnection
            } else if self.places[info.peer]?.reservation == nil, self.places[info.peer]?.isAsking != true {
                .notOurRelay
            } else if beginning.count >= self.configuration.pendingCircuitsMax
                || beginning.count(where: { $0.relay == info.peer }) >= self.configuration.pendingCircuitsPerRelayMax
            {
                .tooManyPending(maximum: self.configuration.pendingCircuitsPerRelayMax)
            } else {
                nil
            }
        if let refusal {
            self.counters.refused += 1
            self.outbox.send(.reset(stream))
            self.outbox.report(.refused(info.peer, refusal))
        } else {
            self.streams[stream] = Exchange(relay: info.peer, kind: .stop)
            self.deadlines.set(.stream(stream), at: now + self.configuration.timeout)
        }
    }

    // MARK: Ends

    private mutating func connectFailed(_ tag: UInt64, _ peer: PeerID, _ relay: PeerID, _ error: RelayError) {
        self.counters.failed += 1
        self.outbox.report(.connectFailed(tag: tag, to: peer, through: relay, error))
    }

    private mutating func fail(_ stream: StreamID, _ error: RelayError, resets: Bool, now: Duration) {
        guard let exchange = self.streams.removeValue(forKey: stream) else { return }
        self.deadlines.remove(.stream(stream))
        if resets { self.outbox.send(.reset(stream)) }
        switch exchange.kind {
        case .reserve: self.reservationFailed(exchange.relay, error, now: now)
        case .connect(let tag, let peer): self.connectFailed(tag, peer, exchange.relay, error)
        case .stop, .standing:
            self.counters.refused += 1
            self.outbox.report(.refused(exchange.relay, error))
        }
    }
}
