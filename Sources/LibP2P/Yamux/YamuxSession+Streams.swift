// What a session's user does with streams.

extension YamuxSession {
    /// When the peer hears of a stream that we open.
    public enum Announcement: Sendable {
        /// With the next output.
        case atOnce
        /// With the stream's first bytes, or its end, in the same frame. For streams that may never be used.
        case withFirstBytes
    }

    /// Opens a stream. It can be written to and read from at once; the peer may still turn it away by a reset.
    public mutating func open(
        announcing announcement: Announcement = .atOnce, now: Duration
    ) throws(YamuxOpenError) -> YamuxStreamID {
        if let reason = self.closeReason { throw .sessionEnded(reason) }
        if self.hasPeerGoneAway { throw .peerWentAway }
        guard self.unacknowledgedStreamCount < self.limits.unacknowledgedStreamCountMax else {
            self.hasWaitingOpener = true
            throw .tooManyUnacknowledged
        }
        guard let id = YamuxStreamID(self.nextStreamNumber), self.nextStreamNumber < UInt32.max - 1 else {
            throw .streamIDsExhausted
        }
        self.nextStreamNumber += 2
        self.unacknowledgedStreamCount += 1
        self.insert(id, openedHere: true, now: now)
        if announcement == .atOnce, let index = self.indices[id] { self.queueControl(index) }
        return id
    }

    /// Takes a stream that the peer has opened. Anything else is left as it is.
    public mutating func accept(_ id: YamuxStreamID) {
        guard let index = self.indices[id], self.streams[index].isUnaccepted else { return }
        self.streams[index].isUnaccepted = false
        self.streams[index].unsentFlags.insert(.ack)
        self.unacceptedStreamCount -= 1
        self.queueControl(index)
    }

    /// Sends a chunk. It is taken as a whole, without a copy, as long as the send buffer is not full.
    ///
    /// So a stream holds at most ``YamuxLimits/sendBufferByteCountMax`` bytes and one chunk.
    public mutating func write(_ chunk: [UInt8], to id: YamuxStreamID) throws(YamuxWriteError) {
        let index = try self.writableIndex(of: id)
        guard self.streams[index].outbound.byteCount < self.limits.sendBufferByteCountMax else {
            self.streams[index].hasWaitingWriter = true
            throw .bufferFull(id)
        }
        self.streams[index].outbound.append(chunk)
        self.unsentByteCount += chunk.count
        self.queueSending(index)
    }

    /// Copies as many bytes as the send buffer has room for.
    ///
    /// - Returns: how many were taken. If not all, ``YamuxEvent/writable(_:)`` will say when to go on.
    public mutating func write(_ bytes: RawSpan, to id: YamuxStreamID) throws(YamuxWriteError) -> Int {
        let index = try self.writableIndex(of: id)
        let room = max(0, self.limits.sendBufferByteCountMax - self.streams[index].outbound.byteCount)
        let count = min(room, bytes.byteCount)
        if count < bytes.byteCount { self.streams[index].hasWaitingWriter = true }
        self.streams[index].outbound.append(copying: bytes.extracting(first: count))
        self.unsentByteCount += count
        self.queueSending(index)
        return count
    }

    /// Closes our direction, once everything written has been sent. The peer's goes on.
    public mutating func closeWrite(_ id: YamuxStreamID) {
        guard let index = self.indices[id], self.streams[index].writing == .open else { return }
        self.streams[index].writing = .closing
        self.queueSending(index)
    }

    /// Gives a stream up, with all that was not sent or read. A stream that is gone already is no mistake.
    ///
    /// - Parameter code: an error code for the peer; 0 says nothing. Older peers do not read it.
    public mutating func reset(_ id: YamuxStreamID, code: UInt32 = 0) {
        guard let index = self.indices[id] else { return }
        if self.streams[index].hasBeenAnnounced { self.queueReset(id, code: code) }
        self.remove(id)
    }

    /// The oldest received chunk, without a copy; `nil` when nothing waits. The peer may then send as much again.
    public mutating func read(from id: YamuxStreamID, now: Duration) -> [UInt8]? {
        guard let index = self.indices[id], let chunk = self.streams[index].inbound.popFirst() else {
            return nil
        }
        self.wasRead(chunk.count, by: index, now: now)
        return chunk
    }

    /// Lets `body` look at the oldest received bytes and say how many it has used; the others stay.
    ///
    /// - Returns: that number; 0 when nothing waits, and `body` is then not called.
    public mutating func read(from id: YamuxStreamID, now: Duration, using body: (RawSpan) -> Int) -> Int {
        guard let index = self.indices[id] else { return 0 }
        let count = self.streams[index].inbound.consume(body)
        self.wasRead(count, by: index, now: now)
        return count
    }

    /// Bytes that wait to be read.
    public func readableByteCount(of id: YamuxStreamID) -> Int { self.indices[id].map { self.streams[$0].inbound.byteCount } ?? 0 }

    /// Bytes that were written and wait to be sent.
    public func unsentByteCount(of id: YamuxStreamID) -> Int { self.indices[id].map { self.streams[$0].outbound.byteCount } ?? 0 }

    /// Whether the stream is open in at least one direction, or has something to be read.
    public func has(_ id: YamuxStreamID) -> Bool { self.indices[id] != nil }

    /// Whether the peer has closed its direction, though not all may be read yet.
    public func hasPeerClosed(_ id: YamuxStreamID) -> Bool { self.indices[id].map { self.streams[$0].reading != .open } ?? false }

    private func writableIndex(of id: YamuxStreamID) throws(YamuxWriteError) -> Int {
        guard let index = self.indices[id] else { throw .noSuchStream(id) }
        guard self.streams[index].writing == .open else { throw .closed(id) }
        return index
    }
}

// MARK: - Within the session

extension YamuxSession {
    /// A round trip time older than this is measured anew before a window grows by it. As go-yamux does.
    static let roundTripLifetime = Duration.seconds(30)

    mutating func insert(_ id: YamuxStreamID, openedHere: Bool, now: Duration) {
        self.indices[id] = self.streams.count
        self.streams.append(YamuxStream(id, serial: self.nextSerial, openedHere: openedHere, now: now))
        self.nextSerial += 1
    }

    /// Forgets a stream. Says nothing to anybody.
    mutating func remove(_ id: YamuxStreamID) {
        guard let index = self.indices.removeValue(forKey: id) else { return }
        let stream = self.streams[index]
        // The last stream takes its place.
        let last = self.streams.removeLast()
        if last.id != id {
            self.streams[index] = last
            self.indices[last.id] = index
        }
        self.receivedByteCount -= stream.inbound.byteCount
        self.unsentByteCount -= stream.outbound.byteCount
        self.windowGrowthByteCount -= stream.receiveWindow.growth
        if id.opener != self.role { self.inboundStreamCount -= 1 }
        if stream.isUnaccepted { self.unacceptedStreamCount -= 1 }
        if stream.isUnacknowledged { self.oneLessUnacknowledged() }
        if stream.isInControlQueue { self.controls.abandonOne() }
        if stream.isInSendQueue { self.senders.abandonOne() }
        if self.controls.isMostlyAbandoned || self.senders.isMostlyAbandoned { self.clearQueues() }
    }

    private mutating func clearQueues() {
        let live = Set(self.streams.map(\.serial))
        self.controls.clear { live.contains($0.serial) }
        self.senders.clear { live.contains($0.serial) }
    }

    mutating func oneLessUnacknowledged() {
        self.unacknowledgedStreamCount -= 1
        if self.hasWaitingOpener {
            self.hasWaitingOpener = false
            self.events.append(.canOpen)
        }
    }

    /// The stream's next frame without data goes out as soon as there is output.
    mutating func queueControl(_ index: Int) {
        guard !self.streams[index].isInControlQueue else { return }
        self.streams[index].isInControlQueue = true
        self.controls.append(self.streams[index])
    }

    /// The stream takes its turn in sending if it has something that it may send.
    mutating func queueSending(_ index: Int) {
        guard !self.streams[index].isInSendQueue, self.streams[index].canSend else { return }
        self.streams[index].isInSendQueue = true
        self.senders.append(self.streams[index])
    }

    mutating func queueReset(_ id: YamuxStreamID, code: UInt32) {
        guard self.resets.count < self.limits.queuedResetCountMax else { return self.end(.answersNotRead) }
        self.resets.append((id, code))
    }

    /// Gives read bytes back to the peer and tells the user of the end when it was reached.
    private mutating func wasRead(_ count: Int, by index: Int, now: Duration) {
        guard count > 0 else { return }
        self.receivedByteCount -= count
        let id = self.streams[index].id
        switch self.streams[index].reading {
        case .open:
            guard self.streams[index].receiveWindow.release(count), !self.streams[index].isInControlQueue else { return }
            let growth = self.streams[index].receiveWindow.grow(
                roundTrip: self.roundTrip, room: self.limits.windowGrowthByteCountMax - self.windowGrowthByteCount,
                most: self.limits.receiveWindowByteCountMax, now: now)
            self.windowGrowthByteCount += growth
            self.queueControl(index)
            if self.ping.isDue(after: Self.roundTripLifetime, now: now) { self.sendPing() }
        case .closing:
            guard self.streams[index].inbound.isEmpty else { return }
            self.readingHasEnded(id)
        case .closed:
            return
        }
    }

    /// The peer's direction is closed and all of it was read.
    mutating func readingHasEnded(_ id: YamuxStreamID) {
        guard let index = self.indices[id] else { return }
        self.streams[index].reading = .closed
        self.events.append(.ended(id))
        self.removeIfFinished(id)
    }

    mutating func removeIfFinished(_ id: YamuxStreamID) {
        guard let index = self.indices[id], self.streams[index].isFinished else { return }
        self.remove(id)
        self.events.append(.finished(id))
    }
}
