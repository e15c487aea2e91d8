// What the shell tells and asks.

extension Swarm {
    /// A pipe that was to be dialled stands.
    public mutating func dialled(_ id: ConnectionID, now: Duration) {
        guard let dial = self.pendingDials.removeValue(forKey: id) else { return }
        self.connect(
            id, dial.options.role, isOutbound: true, address: dial.raw.address, expecting: dial.raw.peer, isLimited: false,
            isGiven: dial.raw.leastScope == nil, carrier: nil, now: now)
        self.settle(now: now)
    }

    /// A pipe that was to be dialled could not be connected. A relayed one fails the same way.
    public mutating func dialFailed(_ id: ConnectionID, _ failure: RawDialFailure, now: Duration) {
        guard self.pendingDials[id] != nil else { return }
        self.pendingDialFailed(id, failure, now: now)
        self.settle(now: now)
    }

    /// Somebody connected.
    ///
    /// - Parameter address: whence, without a peer id.
    /// - Returns: the pipe's id; `nil` if it is to be closed at once.
    public mutating func accepted(from address: Multiaddr, now: Duration) -> ConnectionID? {
        if let refusal = self.refusalOfPipe(from: address, now: now) {
            self.refuse(refusal, from: address)
            return nil
        }
        let id = self.newConnectionID()
        let isConnected = self.connect(
            id, .listener, isOutbound: false, address: address, expecting: nil, isLimited: false, carrier: nil, now: now)
        self.settle(now: now)
        return isConnected ? id : nil
    }

    /// Somebody connected, and the shell could not take it.
    public mutating func refused(_ refusal: SwarmRefusal, from address: Multiaddr, now: Duration) {
        self.refuse(refusal, from: address)
        self.settle(now: now)
    }

    mutating func refuse(_ refusal: SwarmRefusal, from address: Multiaddr) {
        self.counters.refusedPipes += 1
        self.events.append(.refused(refusal, peer: nil, address: address))
    }

    /// Bytes that came through a pipe, in order. They are decrypted where they lie.
    public mutating func receive(_ bytes: UnsafeMutableRawBufferPointer, from id: ConnectionID, now: Duration) {
        guard let link = self.links[id] else { return }
        self.receive(bytes, from: link, now: now)
        self.settle(now: now)
    }

    /// The same for bytes in an array.
    public mutating func receive(_ bytes: [UInt8], from id: ConnectionID, now: Duration) {
        var bytes = bytes
        bytes.withUnsafeMutableBytes { self.receive($0, from: id, now: now) }
    }

    mutating func receive(_ bytes: UnsafeMutableRawBufferPointer, from link: Owned<SwarmLink>, now: Duration) {
        let (served, isLimited) = (self.served, link.value.isLimited)
        link.value.connection.receive(bytes, now: now) { name in
            guard let found = served[name] else { return false }
            return !isLimited || found.onLimited
        }
        self.touch(link)
    }

    /// The other end of a pipe sends no more, or the pipe broke: either way the connection is over.
    ///
    /// - Parameter violation: the rule of the pipe's own that the other end broke, if that is why.
    public mutating func endOfInput(_ id: ConnectionID, violation: WebSocketError? = nil, now: Duration) {
        if violation != nil { self.counters.brokenPipes += 1 }
        if self.pendingDials[id] != nil { return self.dialFailed(id, .refused, now: now) }
        guard let link = self.links[id] else { return }
        if link.value.closing != nil {
            self.commands.append(.close(id, afterOutput: false))
            self.forget(link)
        } else {
            link.value.connection.pipeEnded(violation)
            self.touch(link)
        }
        self.settle(now: now)
    }

    /// Writes bytes for a pipe into a buffer of at least `Connection.outputByteCountMin` bytes, better `Connection.outputByteCount`.
    ///
    /// - Returns: how many; 0 when there is nothing more to send now, and `SwarmCommand.send` will say when there is.
    public mutating func fillOutput(of id: ConnectionID, into buffer: UnsafeMutableRawBufferPointer, now: Duration) -> Int {
        guard let link = self.links[id] else { return 0 }
        let count = link.value.connection.fill(buffer, now: now)
        link.value.stalledSince = count == 0 ? nil : now
        if count == 0 {
            link.value.isSending = false
            if link.value.closing != nil { self.forget(link) }
        }
        self.touch(link)
        self.settle(now: now)
        return count
    }

    /// The same as an array.
    public mutating func takeOutput(of id: ConnectionID, upTo byteCountMax: Int = Connection.outputByteCount, now: Duration) -> [UInt8] {
        Array(unsafeUninitializedCapacity: byteCountMax) { buffer, count in
            count = self.fillOutput(of: id, into: UnsafeMutableRawBufferPointer(buffer), now: now)
        }
    }
}
