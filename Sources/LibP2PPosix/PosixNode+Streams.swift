public import LibP2P

extension PosixNode {
    /// Takes inbound streams of a protocol. The handler must end them: by `closeWrite` and reading to the end, or by `reset`.
    ///
    /// It runs on the node's loop, as an `isolated` function does that gets a stream, so that no byte costs a change of threads. What takes
    /// long to compute belongs elsewhere.
    ///
    /// - Parameter onLimited: also on connections whose duration and bytes a relay limits.
    public func serve(_ protocolID: String, onLimited: Bool = false, _ handler: @escaping @Sendable (isolated NodeStream) async -> Void) {
        self.handlers[protocolID] = handler
        self.node.swarm.serve(protocolID, onLimited: onLimited)
        self.node.announce(now: self.now)
        self.carryOut()
    }

    public func stopServing(_ protocolID: String) {
        self.handlers[protocolID] = nil
        self.node.swarm.stopServing(protocolID)
        self.node.announce(now: self.now)
        self.carryOut()
    }

    /// Opens a stream to a connected peer, for the first of the protocols that it speaks.
    ///
    /// - Parameter onLimited: over a relay that limits duration and bytes, if there is no other connection.
    public func openStream(to peer: PeerID, _ protocolIDs: [String], onLimited: Bool = false) async throws(NodeError) -> NodeStream {
        guard self.state == .open else { throw .closed }
        if Task.isCancelled { throw .cancelled }
        let request = self.node.swarm.open(protocolIDs, to: peer, onLimited: onLimited, now: self.now)
        return try await self.answer(\.streams, for: request)
    }

    // MARK: What streams ask

    func read(_ id: StreamID) -> [UInt8]? {
        guard let chunk = self.node.swarm.read(id, now: self.now) else { return nil }
        self.carryOutSoon()
        return chunk
    }

    func write(_ chunk: [UInt8], to id: StreamID) throws(SwarmWriteError) {
        try self.node.swarm.write(chunk, to: id, now: self.now)
        self.carryOutSoon()
    }

    func closeWrite(_ id: StreamID, hasEnded: Bool) {
        self.node.swarm.closeWrite(id, now: self.now)
        if hasEnded { self.streams[id] = nil }
        self.carryOutSoon()
    }

    func reset(_ id: StreamID) {
        self.streams[id] = nil
        self.node.swarm.reset(id, now: self.now)
        self.carryOut()
    }

    // MARK: What streams are told

    func tellStream(_ event: SwarmEvent) {
        switch event {
        case .streamOpened(let request, let id, let protocolID):
            let stream = self.addStream(id, protocolID)
            if !self.waiters.streams.answerFirst(request, .success(stream)) { self.reset(id) }
        case .streamFailed(let request, let failure): self.waiters.streams.answerFirst(request, .failure(.stream(failure)))
        case .streamInbound(let id, _, let protocolID):
            guard let handler = self.handlers[protocolID] else { return self.reset(id) }
            let stream = self.addStream(id, protocolID)
            Task { await handler(stream) }
        case .readable(let id): self.streams[id]?.assumeIsolated { $0.becameReadable() }
        case .writable(let id): self.streams[id]?.assumeIsolated { $0.becameWritable() }
        case .ended(let id):
            guard let stream = self.streams[id] else { break }
            if stream.assumeIsolated({ $0.inputEnded() }) { self.streams[id] = nil }
        case .reset(let id): self.streams.removeValue(forKey: id)?.assumeIsolated { $0.wasReset() }
        case .connected, .disconnected, .dialFailed, .handshakeFailed, .refused, .streamRefused, .relayNeeded: break
        }
    }

    private func addStream(_ id: StreamID, _ protocolID: String) -> NodeStream {
        let stream = NodeStream(self, id, protocolID, self.node.swarm.connection(of: id))
        self.streams[id] = stream
        return stream
    }
}
