// Bytes of the peer.

extension YamuxSession {
    /// What the next byte of the peer belongs to.
    enum Input: Sendable {
        case header
        /// Data of a stream; nobody's when `id` is `nil`. `isLast` when the frame also closes the peer's direction.
        case data(of: YamuxStreamID?, remaining: Int, isLast: Bool)
    }

    /// Takes in bytes of the peer, in pieces of any size.
    ///
    /// Data is copied once, into the buffers from which ``read(from:now:)`` gives it. After the session's end, bytes are ignored.
    public mutating func receive(_ bytes: RawSpan, now: Duration) {
        var offset = 0
        while offset < bytes.byteCount, self.closeReason == nil {
            switch self.input {
            case .header:
                do throws(YamuxViolation) {
                    guard let header = try self.takeHeader(from: bytes, at: &offset) else { return }
                    try self.receive(header, now: now)
                } catch {
                    self.end(error)
                }
            case .data(let id, let remaining, let isLast):
                let count = min(remaining, bytes.byteCount - offset)
                let isWhole = count == remaining
                self.input = isWhole ? .header : .data(of: id, remaining: remaining - count, isLast: isLast)
                self.receiveData(bytes.extracting(offset..<offset + count), of: id, isLast: isWhole && isLast)
                offset += count
            }
        }
    }

    private mutating func takeHeader(from bytes: RawSpan, at offset: inout Int) throws(YamuxViolation) -> YamuxHeader? {
        guard self.partialHeader.isEmpty, bytes.byteCount - offset >= YamuxHeader.byteCount else {
            return try self.partialHeader.take(from: bytes, at: &offset)
        }
        defer { offset += YamuxHeader.byteCount }
        return try YamuxHeader(parsing: bytes.extracting(offset..<offset + YamuxHeader.byteCount))
    }

    private mutating func receive(_ header: YamuxHeader, now: Duration) throws(YamuxViolation) {
        switch header.kind {
        case .data, .windowUpdate: try self.receiveStreamFrame(header, now: now)
        case .ping: self.receivePing(header, now: now)
        case .goAway: self.receiveGoAway(YamuxGoAwayCode(rawValue: header.length))
        }
    }

    private mutating func receivePing(_ header: YamuxHeader, now: Duration) {
        if header.flags.contains(.syn) {
            if self.pongs.count < self.limits.pongCountMax {
                self.pongs.append(header.length)
            } else {
                self.counters.unansweredPings += 1
            }
        } else if let time = self.ping.answered(header.length, now: now) {
            self.roundTrip = self.roundTrip.map { ($0 + time) / 2 } ?? time
            self.events.append(.pingAnswered(roundTrip: time))
        } else {
            self.counters.unexpectedPongs += 1
        }
    }

    private mutating func receiveGoAway(_ code: YamuxGoAwayCode) {
        guard code == .normal else { return self.end(.endedByPeer(code), telling: nil) }
        guard !self.hasPeerGoneAway else { return }
        self.hasPeerGoneAway = true
        self.events.append(.wentAway)
    }
}

// MARK: - Frames of streams

extension YamuxSession {
    private mutating func receiveStreamFrame(_ header: YamuxHeader, now: Duration) throws(YamuxViolation) {
        guard let id = YamuxStreamID(header.streamID) else { throw .streamZero }
        if header.flags.contains(.syn) { try self.receiveOpen(id, header.flags, now: now) }
        guard let index = self.indices[id] else { return try self.receiveLate(header, of: id) }
        guard self.streams[index].hasBeenAnnounced else { throw .neverOpened(id) }

        // Go-libp2p and others acknowledge by a flag; whoever sends anything on the stream has taken it as well.
        if self.streams[index].isUnacknowledged, !header.flags.contains(.rst) {
            self.streams[index].isUnacknowledged = false
            self.oneLessUnacknowledged()
            self.events.append(.acknowledged(id))
        }
        if header.flags.contains(.rst) {
            try self.receiveReset(header, of: id, now: now)
        } else if header.kind == .data {
            try self.receiveDataHeader(header, of: id)
        } else {
            guard self.streams[index].addSendCredit(header.length) else { throw .windowOverflow(id) }
            self.queueSending(index)
            if header.flags.contains(.fin) { self.receiveEnd(of: id) }
        }
    }

    /// A SYN of the peer. Afterwards the stream is there, unless it was turned away.
    private mutating func receiveOpen(_ id: YamuxStreamID, _ flags: YamuxHeader.Flags, now: Duration) throws(YamuxViolation) {
        guard id.opener != self.role else { throw .wrongParity(id) }
        guard self.indices[id] == nil else { throw .duplicateOpen(id) }
        // Numbers may come out of order: a peer with threads numbers its streams before it sends.
        self.highestInboundNumber = max(self.highestInboundNumber, id.rawValue)
        guard !flags.contains(.rst) else { return try self.countPeerReset(now: now) }
        guard self.isAccepting, self.inboundStreamCount < self.limits.inboundStreamCountMax,
            self.unacceptedStreamCount < self.limits.unacceptedStreamCountMax
        else {
            self.counters.refusedStreams += 1
            guard self.refusals.spend(of: self.limits.refusalCountMax, perSecond: self.limits.forgivenPerSecond, now: now) else {
                throw .openFlood
            }
            return self.queueReset(id, code: 0)
        }
        self.inboundStreamCount += 1
        self.unacceptedStreamCount += 1
        self.insert(id, openedHere: false, now: now)
        self.events.append(.opened(id))
    }

    /// A frame for a stream that is not there: it crossed our reset, or its SYN was turned away.
    private mutating func receiveLate(_ header: YamuxHeader, of id: YamuxStreamID) throws(YamuxViolation) {
        let wasOpened = id.opener == self.role ? id.rawValue < self.nextStreamNumber : id.rawValue <= self.highestInboundNumber
        guard wasOpened else { throw .neverOpened(id) }
        self.counters.lateFrames += 1
        guard header.kind == .data else { return }
        // No window of ours was ever wider, so that no stream can have had so much under way.
        let allowed = self.limits.receiveWindowByteCountMax
        guard Int(header.length) <= allowed else {
            throw .windowExceeded(id, allowed: allowed, announced: Int(header.length))
        }
        self.expectData(of: nil, Int(header.length))
    }

    private mutating func receiveReset(_ header: YamuxHeader, of id: YamuxStreamID, now: Duration) throws(YamuxViolation) {
        if header.kind == .data { self.expectData(of: nil, Int(header.length)) }
        if id.opener != self.role { try self.countPeerReset(now: now) }
        guard let index = self.indices[id] else { return }
        // What came before an orderly end stays readable: peers close their direction, then reset what is left.
        if self.streams[index].reading == .closing {
            guard self.streams[index].writing != .closed else { return }
            self.streams[index].writing = .closed
            self.unsentByteCount -= self.streams[index].outbound.byteCount
            self.streams[index].outbound.removeAll()
            self.events.append(.peerStoppedReading(id))
        } else {
            self.remove(id)
            self.events.append(.reset(id, code: header.kind == .windowUpdate ? header.length : 0, by: .peer))
        }
    }

    private mutating func countPeerReset(now: Duration) throws(YamuxViolation) {
        self.counters.peerResets += 1
        guard self.peerResets.spend(of: self.limits.peerResetCountMax, perSecond: self.limits.forgivenPerSecond, now: now) else {
            throw .resetFlood
        }
    }

    private mutating func receiveDataHeader(_ header: YamuxHeader, of id: YamuxStreamID) throws(YamuxViolation) {
        guard let index = self.indices[id] else { return }
        let byteCount = Int(header.length)
        let isLast = header.flags.contains(.fin)
        guard byteCount > 0 else {
            if isLast { self.receiveEnd(of: id) }
            return
        }
        let credit = self.streams[index].receiveWindow.credit
        guard self.streams[index].receiveWindow.announce(byteCount) else {
            throw .windowExceeded(id, allowed: credit, announced: byteCount)
        }
        if self.streams[index].reading != .open {
            self.counters.dataAfterEnd += 1
            self.giveUp(id, .dataAfterEnd)
            self.expectData(of: nil, byteCount)
        } else if self.receivedByteCount + byteCount > self.limits.receiveBufferByteCountMax {
            self.counters.bufferOverflows += 1
            self.giveUp(id, .bufferOverflow)
            self.expectData(of: nil, byteCount)
        } else {
            self.expectData(of: id, byteCount, isLast: isLast)
        }
    }

    /// Resets a stream for what the peer did on it.
    private mutating func giveUp(_ id: YamuxStreamID, _ fault: YamuxStreamFault) {
        self.reset(id)
        // A queue of resets that is full has ended the session, and its streams with it.
        if self.closeReason == nil { self.events.append(.reset(id, code: 0, by: .session(fault))) }
    }

    private mutating func expectData(of id: YamuxStreamID?, _ byteCount: Int, isLast: Bool = false) {
        if byteCount > 0 { self.input = .data(of: id, remaining: byteCount, isLast: isLast) }
    }

    private mutating func receiveData(_ bytes: RawSpan, of id: YamuxStreamID?, isLast: Bool) {
        guard let id, let index = self.indices[id] else {
            self.counters.discardedByteCount += bytes.byteCount
            return
        }
        if self.streams[index].inbound.isEmpty { self.events.append(.readable(id)) }
        self.streams[index].inbound.append(copying: bytes)
        self.receivedByteCount += bytes.byteCount
        if isLast { self.receiveEnd(of: id) }
    }

    private mutating func receiveEnd(of id: YamuxStreamID) {
        guard let index = self.indices[id], self.streams[index].reading == .open else { return }
        if self.streams[index].inbound.isEmpty {
            self.readingHasEnded(id)
        } else {
            self.streams[index].reading = .closing
        }
    }
}
