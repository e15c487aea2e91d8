// Raw bytes in and out.

extension Connection {
    /// Takes in bytes of the pipe, in pieces of any size, and overwrites them: they are decrypted where they lie.
    ///
    /// - Parameter supports: whether a protocol is spoken here; asked for each stream that the peer opens.
    public mutating func receive(_ bytes: UnsafeMutableRawBufferPointer, now: Duration, supports: (String) -> Bool) {
        guard self.closeReason == nil, !bytes.isEmpty else { return }
        self.lastReceived = now
        self.probedSince = nil
        self.unansweredSince = nil
        if self.step == .established {
            do throws(NoiseError) {
                try Self.decrypt(bytes, &self.channel, &self.session, now: now)
            } catch {
                return self.end(.encryption(error))
            }
        } else {
            do throws(ConnectionError) {
                try self.continueUpgrade(Array(bytes), now: now)
            } catch {
                return self.end(error)
            }
        }
        self.handleSessionEvents(now: now, supports: supports)
    }

    /// The same for bytes in an array.
    public mutating func receive(_ bytes: [UInt8], now: Duration, supports: (String) -> Bool) {
        var bytes = bytes
        bytes.withUnsafeMutableBytes { self.receive($0, now: now, supports: supports) }
    }

    private static func decrypt(
        _ bytes: UnsafeMutableRawBufferPointer, _ channel: inout NoiseChannel?, _ session: inout YamuxSession, now: Duration
    ) throws(NoiseError) {
        try channel?.receive(bytes) { text in session.receive(text.bytes, now: now) }
    }

    private mutating func continueUpgrade(_ bytes: [UInt8], now: Duration) throws(ConnectionError) {
        let text = try self.upgrade?.receive(bytes, channel: &self.channel)
        if let step = self.upgrade?.step { self.step = step }
        if let output = self.upgrade?.takeOutput() { self.upgradeOutput += output }
        guard let text else { return }
        self.establish(now: now)
        self.session.receive(text.span.bytes, now: now)
    }

    private mutating func establish(now: Duration) {
        guard let peer = self.upgrade?.peer, let key = self.upgrade?.peerKey else { return }
        self.upgrade = nil
        self.peer = peer
        self.idleSince = now
        self.events.append(.established(peer, key))
    }
}

// MARK: - Output

extension Connection {
    /// Whether it is worth to call ``fill(_:now:)``. It may still give nothing, when what waited was dropped meanwhile.
    public var hasOutput: Bool {
        !self.upgradeOutput.isEmpty || self.mayUseChannel && self.session.hasOutput
    }

    /// A session whose connection failed in the handshake has nothing to say, and nothing to say it with.
    private var mayUseChannel: Bool { self.step == .established }

    /// Writes bytes for the other side: whole encrypted messages, made where they are sent from.
    ///
    /// - Parameter target: room for at least ``outputByteCountMin`` bytes, better ``outputByteCount``.
    /// - Returns: how many bytes were written; 0 when there is nothing to send now.
    public mutating func fill(_ target: UnsafeMutableRawBufferPointer, now: Duration) -> Int {
        precondition(target.count >= Self.outputByteCountMin, "a message needs \(Self.outputByteCountMin) bytes of room")
        var count = min(target.count, self.upgradeOutput.count)
        if count > 0 {
            target.copyBytes(from: self.upgradeOutput.prefix(count))
            self.upgradeOutput.removeFirst(count)
        }
        guard self.upgradeOutput.isEmpty, self.mayUseChannel else { return count }
        let unsentByteCount = self.session.unsentByteCount
        while self.session.hasOutput, target.count - count >= Self.outputByteCountMin {
            do throws(NoiseError) {
                let rest = UnsafeMutableRawBufferPointer(rebasing: target[count...])
                let written = try Self.encrypt(into: rest, &self.channel, &self.session, now: now)
                if written == 0 { break }
                count += written
            } catch {
                self.end(.encryption(error))
                break
            }
        }
        // Only bytes of streams: an answer to a ping would else be asked to be answered, without end.
        if self.session.unsentByteCount < unsentByteCount, self.unansweredSince == nil { self.unansweredSince = now }
        self.handleSessionEvents(now: now)
        return count
    }

    /// The same as an array of at most `byteCountMax` bytes.
    public mutating func takeOutput(upTo byteCountMax: Int = Self.outputByteCount, now: Duration) -> [UInt8] {
        Array(unsafeUninitializedCapacity: byteCountMax) { target, count in
            count = self.fill(UnsafeMutableRawBufferPointer(target), now: now)
        }
    }

    private static func encrypt(
        into target: UnsafeMutableRawBufferPointer, _ channel: inout NoiseChannel?, _ session: inout YamuxSession, now: Duration
    ) throws(NoiseError) -> Int {
        try channel?.send(into: target) { output in session.fill(&output, now: now) } ?? 0
    }
}
