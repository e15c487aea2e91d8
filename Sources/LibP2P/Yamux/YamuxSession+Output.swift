// Bytes for the peer.

extension YamuxSession {
    /// Most bytes of data in a frame while other streams wait for their turn, so that none waits long.
    static let sharedFrameByteCountMax = 16_384

    /// Most bytes of data in a frame of the only stream that sends: with its header, one Noise message of 65,519 bytes.
    static let loneFrameByteCountMax = 65_507

    /// A data frame is not cut to fewer bytes than this only to use up the end of an output.
    static let cutByteCountMin = 1_024

    /// Whether it is worth to call ``fill(_:now:)``. It may still give nothing, when what waited was dropped meanwhile.
    public var hasOutput: Bool {
        self.goAway != nil || self.ping.isWaiting || !self.pongs.isEmpty || !self.resets.isEmpty || self.controls.count > 0
            || self.senders.count > 0
    }

    /// Writes frames behind what `output` holds, until it is full or nothing is left to say.
    ///
    /// Frames are always whole. Those without data come first, then the streams take turns. Data is copied once, from
    /// what was written to where it is wanted, for example the plaintext of a Noise message.
    ///
    /// - Parameter output: with room for at least 13 bytes, better for a whole Noise message.
    public mutating func fill(_ output: inout OutputRawSpan, now: Duration) {
        while output.freeCapacity >= YamuxHeader.byteCount, let header = self.nextControl(now: now) {
            header.append(to: &output)
        }
        // Whatever ends a stream's turn, each turn writes a frame or takes a stream out of the queue.
        while output.freeCapacity > YamuxHeader.byteCount, self.senders.count > 0 {
            guard self.fillFromNextSender(&output) else { return }
        }
    }

    /// As ``fill(_:now:)``, into an array of its own of at most `byteCountMax` bytes.
    public mutating func output(upTo byteCountMax: Int, now: Duration) -> [UInt8] {
        Array(unsafeUninitializedCapacity: byteCountMax) { target, count in
            var output = OutputRawSpan(buffer: UnsafeMutableRawBufferPointer(target), initializedCount: 0)
            self.fill(&output, now: now)
            count = output.finalize(for: UnsafeMutableRawBufferPointer(target))
        }
    }

    private mutating func nextControl(now: Duration) -> YamuxHeader? {
        if let code = self.goAway.take() { return YamuxHeader(.goAway, [], length: Int(code.rawValue)) }
        if let value = self.pongs.popFirst() { return YamuxHeader(.ping, .ack, length: Int(value)) }
        if self.ping.isWaiting { return YamuxHeader(.ping, .syn, length: Int(self.ping.send(now: now))) }
        if let (id, code) = self.resets.popFirst() { return YamuxHeader(.windowUpdate, .rst, stream: id, length: Int(code)) }
        while let index = self.nextInControlQueue() {
            self.streams[index].isInControlQueue = false
            let flags = self.streams[index].takeFlags()
            let update = self.streams[index].receiveWindow.takeUpdate()
            // A data frame may have taken the flags along.
            if !flags.isEmpty || update > 0 {
                return YamuxHeader(.windowUpdate, flags, stream: self.streams[index].id, length: update)
            }
        }
        return nil
    }

    /// - Returns: `false` when the output is too full for it.
    private mutating func fillFromNextSender(_ output: inout OutputRawSpan) -> Bool {
        let most = self.senders.count > 1 ? Self.sharedFrameByteCountMax : Self.loneFrameByteCountMax
        guard let index = self.nextSender() else { return false }
        let id = self.streams[index].id
        let wanted = min(self.streams[index].outbound.byteCount, self.streams[index].sendCredit, most)
        let room = output.freeCapacity - YamuxHeader.byteCount
        if wanted > room, room < Self.cutByteCountMin, output.byteCount > 0 {
            self.senders.putBack(self.streams[index])
            return false
        }
        self.streams[index].isInSendQueue = false
        if wanted > 0 {
            let count = min(wanted, room)
            YamuxHeader(.data, self.streams[index].takeFlags(), stream: id, length: count).append(to: &output)
            self.streams[index].outbound.move(count, to: &output)
            self.streams[index].sendCredit -= count
            self.unsentByteCount -= count
            self.tellWaitingWriter(index)
            self.queueSending(index)
        } else if self.streams[index].canSend {
            // A frame of its own: go-yamux shows a reader the end before the data of the same frame.
            YamuxHeader(.windowUpdate, self.streams[index].takeFlags().union(.fin), stream: id, length: 0).append(to: &output)
            self.streams[index].writing = .closed
            self.removeIfFinished(id)
        }
        return true
    }

    private mutating func tellWaitingWriter(_ index: Int) {
        guard self.streams[index].hasWaitingWriter,
            self.streams[index].outbound.byteCount <= self.limits.sendBufferByteCountMax / 2
        else { return }
        self.streams[index].hasWaitingWriter = false
        if self.streams[index].writing == .open { self.events.append(.writable(self.streams[index].id)) }
    }

    private mutating func nextInControlQueue() -> Int? {
        while let place = self.controls.popFirst() {
            if let index = self.indices[place.id], self.streams[index].serial == place.serial { return index }
            self.controls.foundAbandoned()
        }
        return nil
    }

    private mutating func nextSender() -> Int? {
        while let place = self.senders.popFirst() {
            if let index = self.indices[place.id], self.streams[index].serial == place.serial { return index }
            self.senders.foundAbandoned()
        }
        return nil
    }
}
