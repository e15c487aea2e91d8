// Streams: the owner's, and the way of all of them from connections to whom they belong.

extension Swarm {
    /// Takes inbound streams of a protocol for the owner: `SwarmEvent.streamInbound`.
    ///
    /// - Parameter onLimited: also on connections whose duration and bytes a relay limits.
    public mutating func serve(_ protocolID: String, onLimited: Bool = false) {
        self.served[protocolID] = ServedProtocol(owner: .application, onLimited: onLimited)
    }

    public mutating func stopServing(_ protocolID: String) {
        if self.served[protocolID]?.owner == .application { self.served[protocolID] = nil }
    }

    /// All protocols of which inbound streams are taken, as identify tells them.
    public var servedProtocolIDs: [String] { self.served.keys.sorted() }

    /// Opens a stream to a connected peer, for the first of the protocols that it speaks. ``SwarmEvent/streamOpened(request:_:protocolID:)``
    /// or ``SwarmEvent/streamFailed(request:_:)`` follows, with the number that is given back here.
    public mutating func open(_ protocolIDs: [String], to peer: PeerID, onLimited: Bool = false, now: Duration) -> UInt64 {
        let request = self.nextRequestNumber
        self.nextRequestNumber += 1
        self.open(protocolIDs, on: self.connection(to: peer, onLimited: onLimited)?.id, .application, request, now: now)
        self.settle(now: now)
        return request
    }

    /// The oldest received chunk of a stream of the owner's; `nil` when nothing waits. The peer may then send as much again.
    public mutating func read(_ id: StreamID, now: Duration) -> [UInt8]? {
        guard let stream = self.streams[id], stream.owner == .application, let link = self.links[stream.link] else { return nil }
        let chunk = link.value.connection.read(from: stream.yamux, now: now)
        self.touch(link)
        self.settle(now: now)
        return chunk
    }

    /// Sends a chunk on a stream of the owner's. It is taken as a whole, without a copy, unless the stream's buffer is full;
    /// ``SwarmEvent/writable(_:)`` then says when to go on.
    public mutating func write(_ chunk: [UInt8], to id: StreamID, now: Duration) throws(SwarmWriteError) {
        guard let stream = self.streams[id], stream.owner == .application, stream.request == nil, let link = self.links[stream.link] else {
            throw .noSuchStream
        }
        do throws(YamuxWriteError) {
            try link.value.connection.write(chunk, to: stream.yamux)
        } catch {
            switch error {
            case .bufferFull: throw .bufferFull
            case .closed: throw .closed
            case .noSuchStream: throw .noSuchStream
            }
        }
        self.touch(link)
        self.settle(now: now)
    }

    /// No more bytes from us on a stream of the owner's, once everything written has been sent. The peer may go on.
    public mutating func closeWrite(_ id: StreamID, now: Duration) {
        guard let stream = self.streams[id], stream.owner == .application, let link = self.links[stream.link] else { return }
        link.value.connection.closeWrite(stream.yamux)
        self.touch(link)
        self.settle(now: now)
    }

    /// Gives a stream of the owner's up, with all that is under way. No event follows.
    public mutating func reset(_ id: StreamID, now: Duration) {
        guard self.streams[id]?.owner == .application else { return }
        self.dropStream(id, now: now)
        self.settle(now: now)
    }

    /// The connection of a stream.
    public func connection(of id: StreamID) -> ConnectionInfo? {
        self.streams[id].flatMap { self.links[$0.link]?.value.info }
    }

    /// Bytes that were written to a stream and wait to be sent.
    public func unsentByteCount(of id: StreamID) -> Int {
        guard let stream = self.streams[id], let link = self.links[stream.link] else { return 0 }
        return stream.pendingByteCount + link.value.connection.unsentByteCount(of: stream.yamux)
    }
}

/// Why a stream takes no bytes.
public enum SwarmWriteError: Error, Equatable, Sendable, CustomStringConvertible {
    case noSuchStream
    /// This side has closed its direction.
    case closed
    /// The send buffer is full: wait for ``SwarmEvent/writable(_:)``.
    case bufferFull

    public var description: String {
        switch self {
        case .noSuchStream: "the stream is not open"
        case .closed: "the stream is closed for writing"
        case .bufferFull: "the stream's send buffer is full; wait until it is writable again"
        }
    }
}

// MARK: - Opening

extension Swarm {
    /// The connection that new streams take: direct before relayed, without limits before limited, then one that does not owe an answer to
    /// the question whether it is there, then the oldest. None on which the peer has said that it takes no more: a dial then makes a new one.
    public func preferredConnection(to peer: PeerID) -> ConnectionInfo? {
        let infos = self.connections(to: peer).filter { self.links[$0.id]?.value.hasGoneAway == false }
        let direct = infos.filter { !$0.remoteAddress.isRelayed }
        let unlimited = direct.isEmpty ? infos.filter { !$0.isLimited } : direct
        let best = unlimited.isEmpty ? infos : unlimited
        return best.first { self.links[$0.id]?.value.connection.probedSince == nil } ?? best.first
    }

    func connection(to peer: PeerID, onLimited: Bool) -> ConnectionInfo? {
        self.preferredConnection(to: peer).flatMap { !$0.isLimited || onLimited ? $0 : nil }
    }

    mutating func open(_ protocolIDs: [String], on id: ConnectionID?, _ owner: StreamOwner, _ request: UInt64, now: Duration) {
        guard let link = id.flatMap({ self.links[$0] }), let info = link.value.info, link.value.closing == nil else {
            return self.tell(owner, failed: request, .notConnected)
        }
        guard !protocolIDs.isEmpty else { return self.tell(owner, failed: request, .notSupported) }
        // What the peer is known to speak needs no question.
        let known = self.peers[info.peer]?.protocolIDs.isEmpty == false ? self.peers[info.peer]?.protocolIDs : nil
        let spoken = known.flatMap { known in protocolIDs.first { known.contains($0) } }
        let yamux: YamuxStreamID
        do throws(YamuxOpenError) {
            yamux = try link.value.connection.open(spoken.map { [$0] } ?? protocolIDs, isLazy: spoken != nil, now: now)
        } catch {
            switch error {
            case .tooManyUnacknowledged, .streamIDsExhausted: self.tell(owner, failed: request, .tooManyStreams)
            case .peerWentAway, .sessionEnded: self.tell(owner, failed: request, .notConnected)
            }
            return
        }
        _ = self.add(SwarmStream(link: link.value.id, yamux: yamux, owner: owner, isInbound: false, request: request), to: link)
        self.touch(link)
    }

    private mutating func add(_ stream: SwarmStream, to link: Owned<SwarmLink>) -> StreamID {
        let id = StreamID(rawValue: self.nextStreamNumber)
        self.nextStreamNumber += 1
        self.streams[id] = stream
        link.value.streams[stream.yamux] = id
        return id
    }

    private mutating func tell(_ owner: StreamOwner, failed request: UInt64, _ failure: StreamFailure) {
        switch owner {
        case .application: self.events.append(.streamFailed(request: request, failure))
        case .machine(let index): self.machineInputs.append((index, .failed(request: request, failure)))
        case .circuit: break
        }
    }
}

// MARK: - What connections tell of streams

extension Swarm {
    mutating func streamOpened(_ yamux: YamuxStreamID, _ protocolID: String, of link: Owned<SwarmLink>, now: Duration) {
        guard let id = link.value.streams[yamux], let stream = self.streams[id], let request = stream.request else { return }
        self.streams[id]?.request = nil
        self.streams[id]?.protocolID = protocolID
        switch stream.owner {
        case .application: self.events.append(.streamOpened(request: request, id, protocolID: protocolID))
        case .machine(let index): self.machineInputs.append((index, .opened(request: request, id, protocolID: protocolID)))
        case .circuit: break
        }
    }

    mutating func streamFailed(_ yamux: YamuxStreamID, _ failure: StreamFailure, of link: Owned<SwarmLink>) {
        guard let id = link.value.streams.removeValue(forKey: yamux), let stream = self.streams.removeValue(forKey: id),
            let request = stream.request
        else { return }
        self.tell(stream.owner, failed: request, failure)
    }

    mutating func streamInbound(_ yamux: YamuxStreamID, _ protocolID: String, of link: Owned<SwarmLink>, now: Duration) {
        guard let info = link.value.info, let served = self.served[protocolID] else {
            return link.value.connection.reset(yamux, now: now)
        }
        if let refusal = self.refusalOfStream(protocolID, from: info.peer) {
            self.counters.refusedStreams += 1
            if link.value.refusalBudget.spend(Self.toldRefusals, now: now) {
                self.events.append(.refused(refusal, peer: info.peer, address: info.remoteAddress))
            }
            return link.value.connection.reset(yamux, now: now)
        }
        self.peers[info.peer]?.inboundStreamCount += 1
        self.peers[info.peer]?.inboundStreamCounts[protocolID, default: 0] += 1
        let stream = SwarmStream(
            link: link.value.id, yamux: yamux, owner: served.owner, isInbound: true, request: nil, protocolID: protocolID)
        let id = self.add(stream, to: link)
        switch served.owner {
        case .application: self.events.append(.streamInbound(id, info, protocolID: protocolID))
        case .machine(let index): self.machineInputs.append((index, .inbound(id, info, protocolID: protocolID)))
        case .circuit: break
        }
    }

    private func refusalOfStream(_ protocolID: String, from peer: PeerID) -> SwarmRefusal? {
        let maximum = self.limits.inboundStreamCountMaxOfProtocol[protocolID] ?? self.limits.inboundStreamCountMax
        if (self.peers[peer]?.inboundStreamCounts[protocolID] ?? 0) >= maximum {
            return .tooManyStreams(ofProtocol: protocolID, maximum: maximum)
        }
        if (self.peers[peer]?.inboundStreamCount ?? 0) >= self.limits.inboundStreamCountOfPeerMax {
            return .tooManyStreamsOfPeer(maximum: self.limits.inboundStreamCountOfPeerMax)
        }
        return nil
    }

    /// How often streams of one connection that were refused are told of: who opens thousands to have them refused gains nothing by it.
    private static let toldRefusals = ServiceBudget.Rate(burst: 16, interval: .seconds(1))

    /// A stream was reset here. What the connection itself counts is added when it ends.
    mutating func streamRefused(_ refusal: StreamRefusal, of link: Owned<SwarmLink>, now: Duration) {
        switch refusal {
        case .session: self.counters.brokenStreams += 1
        case .notReading: self.counters.overfullStreams += 1
        case .refusedBySession, .tooManyNegotiating, .negotiation, .negotiationTimedOut: break
        }
        guard let info = link.value.info, link.value.refusalBudget.spend(Self.toldRefusals, now: now) else { return }
        self.events.append(.streamRefused(info, refusal))
    }

    /// Streams that the session itself turned away, as often as it was looked at since.
    mutating func noteRefusedStreams(of link: Owned<SwarmLink>, now: Duration) {
        let count = link.value.connection.counters.refusedStreams
        guard count > link.value.refusedStreamCount else { return }
        link.value.refusedStreamCount = count
        self.streamRefused(.refusedBySession, of: link, now: now)
    }

    mutating func streamReadable(_ yamux: YamuxStreamID, of link: Owned<SwarmLink>, now: Duration) {
        guard let id = link.value.streams[yamux], let stream = self.streams[id] else { return }
        switch stream.owner {
        case .application: self.events.append(.readable(id))
        case .machine: self.readForMachine(id, now: now)
        case .circuit: self.receiveFromCarrier(id, now: now)
        }
    }

    /// Bytes that a machine gets of one stream before it can say that it wants no more: what a peer may send without being asked.
    static let machineReadByteCountMax = YamuxLimits.initialWindowByteCount

    mutating func readForMachine(_ id: StreamID, now: Duration) {
        guard let stream = self.streams[id], case .machine(let index) = stream.owner, !stream.isReadingPaused,
            let link = self.links[stream.link]
        else { return }
        var byteCount = 0
        while byteCount < Self.machineReadByteCountMax, let chunk = link.value.connection.read(from: stream.yamux, now: now) {
            byteCount += chunk.count
            self.machineInputs.append((index, .received(id, chunk)))
        }
        if byteCount >= Self.machineReadByteCountMax { self.unread.append(id) }
        self.touch(link)
    }

    mutating func streamEnded(_ yamux: YamuxStreamID, of link: Owned<SwarmLink>, now: Duration) {
        guard let id = link.value.streams[yamux], let stream = self.streams[id] else { return }
        self.streams[id]?.hasEnded = true
        switch stream.owner {
        case .application: self.events.append(.ended(id))
        case .machine(let index): self.machineInputs.append((index, .ended(id)))
        case .circuit(let circuit): self.carrierEnded(circuit)
        }
    }

    mutating func streamWritable(_ yamux: YamuxStreamID, of link: Owned<SwarmLink>, now: Duration) {
        guard let id = link.value.streams[yamux], let stream = self.streams[id] else { return }
        switch stream.owner {
        case .application: self.events.append(.writable(id))
        case .machine(let index):
            self.writePending(id, to: link)
            if self.streams[id]?.pendingWrites.isEmpty ?? false { self.machineInputs.append((index, .writable(id))) }
        case .circuit(let circuit): if let inner = self.links[circuit] { self.touch(inner) }
        }
    }

    mutating func streamLost(_ yamux: YamuxStreamID, of link: Owned<SwarmLink>, now: Duration) {
        guard let id = link.value.streams.removeValue(forKey: yamux) else { return }
        self.streamIsGone(id, failure: .ended, now: now)
    }

    /// Everything was sent and read: nobody needs to hear of it, since both ends were told.
    mutating func streamFinished(_ yamux: YamuxStreamID, of link: Owned<SwarmLink>) {
        guard let id = link.value.streams.removeValue(forKey: yamux), let stream = self.streams.removeValue(forKey: id) else { return }
        self.uncount(stream)
    }

    /// A stream is gone, and its owner hears of it.
    mutating func streamIsGone(_ id: StreamID, failure: StreamFailure, now: Duration) {
        guard let stream = self.streams.removeValue(forKey: id) else { return }
        self.uncount(stream)
        if let request = stream.request { return self.tell(stream.owner, failed: request, failure) }
        switch stream.owner {
        case .application: self.events.append(.reset(id))
        case .machine(let index): self.machineInputs.append((index, .reset(id)))
        case .circuit(let circuit): self.carrierEnded(circuit)
        }
    }

    /// Gives a stream up without a word to its owner.
    mutating func dropStream(_ id: StreamID, now: Duration) {
        guard let stream = self.streams.removeValue(forKey: id) else { return }
        self.uncount(stream)
        guard let link = self.links[stream.link] else { return }
        link.value.streams[stream.yamux] = nil
        link.value.connection.reset(stream.yamux, now: now)
        self.touch(link)
    }

    private mutating func uncount(_ stream: SwarmStream) {
        guard let link = self.links[stream.link] else { return }
        self.countPending(-stream.pendingByteCount, of: link)
        guard stream.isInbound, let peer = link.value.info?.peer else { return }
        self.peers[peer]?.inboundStreamCount -= 1
        let count = (self.peers[peer]?.inboundStreamCounts[stream.protocolID] ?? 0) - 1
        self.peers[peer]?.inboundStreamCounts[stream.protocolID] = count > 0 ? count : nil
    }
}

// MARK: - Streams that are pipes

extension Swarm {
    /// Passes on what came through a relay. It is taken as fast as it comes: the connection inside holds its streams' windows.
    mutating func receiveFromCarrier(_ id: StreamID, now: Duration) {
        guard let stream = self.streams[id], case .circuit(let circuit) = stream.owner, let outer = self.links[stream.link] else { return }
        while var chunk = outer.value.connection.read(from: stream.yamux, now: now) {
            // What comes after the connection inside has ended is nobody's.
            guard let inner = self.links[circuit] else { continue }
            chunk.withUnsafeMutableBytes { self.receive($0, from: inner, now: now) }
        }
        self.touch(outer)
        if stream.hasEnded { self.carrierEnded(circuit) }
    }

    /// Sends what a connection says through its relay, as long as the stream there takes it.
    mutating func sendToCarrier(_ id: StreamID, of link: Owned<SwarmLink>, now: Duration) {
        guard let stream = self.streams[id], let outer = self.links[stream.link] else { return }
        let most = self.limits.connection.yamux.sendBufferByteCountMax
        while link.value.connection.hasOutput, outer.value.connection.unsentByteCount(of: stream.yamux) < most {
            let bytes = link.value.connection.takeOutput(upTo: Connection.outputByteCount / 4, now: now)
            guard !bytes.isEmpty, (try? outer.value.connection.write(bytes, to: stream.yamux)) != nil else { break }
            link.value.stalledSince = now
        }
        link.value.stalledSince = link.value.connection.hasOutput ? link.value.stalledSince ?? now : nil
        if link.value.connection.hasOutput {
            // An empty chunk asks to be told when there is room.
            try? outer.value.connection.write([], to: stream.yamux)
        }
        self.touch(outer)
    }

    mutating func carrierEnded(_ circuit: ConnectionID) {
        guard let inner = self.links[circuit] else { return }
        inner.value.connection.pipeEnded()
        self.touch(inner)
    }

    /// Ends a relayed connection's pipe, once its last words are sent.
    mutating func closeCarrier(_ id: StreamID, now: Duration) {
        guard let stream = self.streams[id], let outer = self.links[stream.link] else { return }
        outer.value.connection.closeWrite(stream.yamux)
        self.deadlines.insert(.carrier(id), at: now + self.limits.lingerTimeout)
        self.touch(outer)
    }
}
