/// A request of ours to one peer.
struct KadRequest: Sendable {
    enum Purpose: Equatable, Sendable {
        case lookup(UInt64)
        case store(UInt64)
        /// Whoever waited for it is gone; its end still tells whether the peer is there.
        case none
    }

    enum Phase: Equatable, Sendable {
        case dialling
        case opening
        /// On a stream, perhaps one that was used before.
        case waiting(StreamID, isReused: Bool)
    }

    let peer: PeerID
    let type: KadMessageType
    let key: [UInt8]
    /// With its length before it.
    let frame: [UInt8]
    let addresses: [KadAddress]
    var purpose: Purpose
    let deadline: Duration
    var phase: Phase
    var hasDialled: Bool
}

/// A stream that we opened.
struct KadOutboundStream: Sendable {
    enum State: Equatable, Sendable {
        case answering(UInt64)
        case idle
        /// Closed by us; the peer has nothing more to say that we would read.
        case closing
    }

    let peer: PeerID
    /// On whose account are the bytes of an answer that is not whole, and how many are counted.
    let household: [UInt8]
    var partialByteCount = 0
    var reader = FrameReader(byteCountMax: KadMessage.byteCountMax)
    var state: State
    var since: Duration
}

enum KadRequestFailure: Equatable, Sendable {
    case timedOut
    /// The peer does not serve the protocol.
    case notSupported
    /// No stream came about, or none could.
    case unreachable
    /// The peer ended the stream instead of answering: its way to refuse.
    case refused
    case wrongAnswer
}

/// Requests to other peers: dial, stream, answer, each in its time.
extension KadDHT {
    /// Requests that may go on after whoever waited for them is gone.
    static let orphanCountMax = 256

    mutating func request(
        _ message: KadMessage, frame: [UInt8], to peer: PeerID, addresses: [KadAddress], for purpose: KadRequest.Purpose, now: Duration
    ) {
        let id = self.makeNumber()
        let isConnected = self.connections[peer] != nil
        let request = KadRequest(
            peer: peer, type: message.type, key: message.key, frame: frame, addresses: addresses, purpose: purpose,
            deadline: now + self.configuration.requestTimeout, phase: isConnected ? .opening : .dialling, hasDialled: !isConnected)
        self.counters.requestsSent += 1
        self.wake(by: request.deadline)
        self.requests[id] = request
        if let stream = self.idleStreams.removeValue(forKey: peer) {
            self.send(id, on: stream, isReused: true, now: now)
        } else if isConnected {
            self.command(.open(request: id, peer, protocolIDs: self.protocolIDs))
        } else {
            self.command(.dial(peer, addresses.map(\.address), isHearsay: true))
        }
    }

    private mutating func send(_ id: UInt64, on stream: StreamID, isReused: Bool, now: Duration) {
        guard let request = self.requests[id] else { return }
        self.requests[id]?.phase = .waiting(stream, isReused: isReused)
        let household = self.connections[request.peer]?.first?.household ?? request.peer.bytes
        self.outbound[stream, default: KadOutboundStream(peer: request.peer, household: household, state: .idle, since: now)].state =
            .answering(id)
        self.command(.write(stream, request.frame))
        guard request.type == .addProvider else { return }
        // No answer comes to it, so it is done when it is sent; what some peers answer all the same must not meet a later request.
        self.outbound[stream]?.state = .closing
        self.outbound[stream]?.since = now
        self.sweep(by: now + self.configuration.idleStreamTimeout)
        self.command(.closeWrite(stream))
        self.succeeded(id, with: nil, now: now)
    }

    /// Connection stands: streams for those who waited for it.
    mutating func openStreams(to peer: PeerID) {
        for id in self.requestIDs(where: { $0.peer == peer && $0.phase == .dialling }) {
            self.requests[id]?.phase = .opening
            self.command(.open(request: id, peer, protocolIDs: self.protocolIDs))
        }
    }

    /// No connection to a peer came about: whoever waits for one need not wait until its time is over. Without this, each contact that went
    /// away costs a lookup the whole `KadDHT.Configuration.requestTimeout`, though its machine refused at once.
    public mutating func dialFailed(_ peer: PeerID, now: Duration) {
        for id in self.requestIDs(where: { $0.peer == peer && $0.phase == .dialling }) { self.failed(id, .unreachable, now: now) }
    }

    mutating func opened(_ stream: StreamID, for id: UInt64, now: Duration) {
        guard self.requests[id]?.phase == .opening else {
            // It came too late.
            self.command(.reset(stream))
            return
        }
        self.send(id, on: stream, isReused: false, now: now)
    }

    mutating func streamFailed(_ id: UInt64, _ failure: StreamFailure, now: Duration) {
        guard let request = self.requests[id], request.phase == .opening else { return }
        switch failure {
        case .notSupported: self.failed(id, .notSupported, now: now)
        case .notConnected where !request.hasDialled:
            self.requests[id]?.phase = .dialling
            self.requests[id]?.hasDialled = true
            self.command(.dial(request.peer, request.addresses.map(\.address), isHearsay: true))
        case .notConnected, .timedOut, .tooManyStreams, .ended: self.failed(id, .unreachable, now: now)
        }
    }

    mutating func receivedAnswer(_ bytes: [UInt8], on stream: StreamID, now: Duration) {
        guard let entry = self.outbound[stream] else { return }
        switch entry.state {
        case .closing: return
        case .idle:
            self.refuse(.unasked, of: entry.peer)
            self.dropOutbound(stream, resetting: true)
        case .answering(let id):
            var frames: [[UInt8]] = []
            do throws(FrameReader.Failure) {
                frames = try self.outbound[stream]?.reader.receive(bytes) ?? []
            } catch {
                self.refuse(.frame(error), of: entry.peer)
                self.dropOutbound(stream, resetting: true)
                self.failed(id, .wrongAnswer, now: now)
                return
            }
            guard self.countPartialAnswer(on: stream) else {
                self.refuse(.tooManyPartialBytes, of: entry.peer)
                self.dropOutbound(stream, resetting: true)
                return self.failed(id, .wrongAnswer, now: now)
            }
            guard let frame = frames.first else { return }
            let isAlone = frames.count == 1 && self.outbound[stream]?.reader.heldByteCount == 0
            self.take(frame, isAlone: isAlone, on: stream, for: id, of: entry.peer, now: now)
        }
    }

    /// Counts what a stream has brought of an answer.
    ///
    /// - Returns: whether there is room for it.
    private mutating func countPartialAnswer(on stream: StreamID) -> Bool {
        guard let entry = self.outbound[stream] else { return true }
        self.answerShares.giveBack(entry.partialByteCount, of: entry.household)
        let byteCount = entry.reader.heldByteCount
        let hasRoom = self.answerShares.take(byteCount, for: entry.household, of: self.configuration.answerPartialByteCountMax)
        self.outbound[stream]?.partialByteCount = hasRoom ? byteCount : 0
        return hasRoom
    }

    private mutating func take(_ frame: [UInt8], isAlone: Bool, on stream: StreamID, for id: UInt64, of peer: PeerID, now: Duration) {
        guard let request = self.requests[id] else { return self.dropOutbound(stream, resetting: true) }
        do throws(ProtobufError) {
            let answer = try KadMessage(parsing: frame)
            let isAboutIt = answer.key.isEmpty || answer.key == request.key
            guard answer.type == request.type, isAboutIt, isAlone else {
                self.refuse(isAlone ? .wrongAnswer : .unasked, of: peer)
                self.dropOutbound(stream, resetting: true)
                return self.failed(id, .wrongAnswer, now: now)
            }
            self.keepIdle(stream, of: peer, now: now)
            self.succeeded(id, with: answer, now: now)
        } catch {
            self.refuse(.malformed(error), of: peer)
            self.dropOutbound(stream, resetting: true)
            self.failed(id, .wrongAnswer, now: now)
        }
    }

    /// The next request to this peer needs no new stream.
    private mutating func keepIdle(_ stream: StreamID, of peer: PeerID, now: Duration) {
        guard self.idleStreams[peer] == nil, self.idleStreams.count < self.configuration.idleStreamCountMax else {
            self.command(.closeWrite(stream))
            self.outbound[stream]?.state = .closing
            self.outbound[stream]?.since = now
            return self.sweep(by: now + self.configuration.idleStreamTimeout)
        }
        self.outbound[stream]?.state = .idle
        self.outbound[stream]?.since = now
        self.idleStreams[peer] = stream
        self.sweep(by: now + self.configuration.idleStreamTimeout)
    }

    mutating func dropOutbound(_ stream: StreamID, resetting: Bool) {
        guard let entry = self.outbound.removeValue(forKey: stream) else { return }
        self.answerShares.giveBack(entry.partialByteCount, of: entry.household)
        if self.idleStreams[entry.peer] == stream { self.idleStreams[entry.peer] = nil }
        if resetting { self.command(.reset(stream)) }
    }

    mutating func outboundEnded(_ stream: StreamID, isReset: Bool, now: Duration) {
        guard let entry = self.outbound[stream] else { return }
        self.dropOutbound(stream, resetting: false)
        if !isReset, entry.state != .closing { self.command(.closeWrite(stream)) }
        guard case .answering(let id) = entry.state, let request = self.requests[id] else { return }
        if case .waiting(_, isReused: true) = request.phase, entry.reader.heldByteCount == 0 {
            // The peer may have ended the old stream before it saw the request: once more on a new one.
            self.requests[id]?.phase = .opening
            self.command(.open(request: id, request.peer, protocolIDs: self.protocolIDs))
        } else {
            self.failed(id, .refused, now: now)
        }
    }

    /// In their order, so that a seed replays.
    private func requestIDs(where isWanted: (KadRequest) -> Bool) -> [UInt64] {
        self.requests.filter { isWanted($0.value) }.keys.sorted()
    }

    // MARK: Ends

    mutating func expireRequests(now: Duration) {
        for id in self.requestIDs(where: { $0.deadline <= now }) {
            if case .waiting(let stream, _) = self.requests[id]?.phase { self.dropOutbound(stream, resetting: true) }
            self.counters.requestsTimedOut += 1
            self.failed(id, .timedOut, now: now)
        }
    }

    private mutating func succeeded(_ id: UInt64, with answer: KadMessage?, now: Duration) {
        guard let request = self.requests.removeValue(forKey: id) else { return }
        self.counters.answersReceived += 1
        self.noteServer(request.peer, addresses: request.addresses, now: now)
        switch request.purpose {
        case .lookup(let operation):
            if let answer { self.lookupAnswered(operation, by: request.peer, answer, hasDialled: request.hasDialled, now: now) }
        case .store(let operation): self.storeEnded(operation, failure: nil, now: now)
        case .none: break
        }
    }

    private mutating func failed(_ id: UInt64, _ failure: KadRequestFailure, now: Duration) {
        guard let request = self.requests.removeValue(forKey: id) else { return }
        self.counters.requestsFailed += 1
        switch failure {
        case .notSupported: self.forgetContact(request.peer)
        // A peer that refuses a value is there.
        case .refused where request.type == .putValue: break
        case .timedOut, .unreachable, .refused, .wrongAnswer:
            if self.table.noteFailure(of: request.peer) { self.event(.contactRemoved(request.peer)) }
        }
        switch request.purpose {
        case .lookup(let operation): self.lookupFailed(operation, by: request.peer, failure, now: now)
        case .store(let operation): self.storeEnded(operation, failure: failure, now: now)
        case .none: break
        }
    }

    /// An operation is over: what it asked may still tell whether the peers are there, within bounds.
    mutating func orphanRequests(of operation: UInt64) {
        for id in self.requestIDs(where: { $0.purpose == .lookup(operation) || $0.purpose == .store(operation) }) {
            if self.requests.count <= Self.orphanCountMax {
                self.requests[id]?.purpose = .none
            } else if let request = self.requests.removeValue(forKey: id), case .waiting(let stream, _) = request.phase {
                self.dropOutbound(stream, resetting: true)
            }
        }
    }
}
