/// Requests and their answers: one frame there and one back, on a stream of their own.
///
///     asker      open ─ frame, end ──────────────▶ frame ─▶ `answered`
///     answerer        `asked` ─ `answer(_:with:)` ─▶ frame, end
///
/// Where both ends keep streams (``Configuration/keepsStreams``), a stream whose answer has come serves the next request to the peer, and
/// saves it the negotiation:
///
///     asker      open ─ frame ▶        ◀ frame ─ frame ▶        ◀ frame … nothing to ask for a while ─ reset
///
/// An answerer that ends its side with its answer is asked on a new stream the next time, as is one that gives up a stream that waits.
public struct RequestResponse: ProtocolMachine {
    /// One of our requests.
    public struct RequestID: Hashable, Sendable { let rawValue: UInt64 }

    /// A request of a peer that waits for our answer.
    public struct Question: Hashable, Sendable {
        public let peer: PeerID
        public let protocolID: String
        /// Who counts as one with the peer where all share what there is: see ``ConnectionInfo/household``.
        public let household: [UInt8]
        let stream: StreamID
        /// Which one of the stream's.
        var number: UInt64 = 1
    }

    public struct Configuration: Sendable {
        /// Preferred first.
        public var protocolIDs: [String]
        /// Longest request and answer in bytes, without their lengths.
        public var requestByteCountMax: Int
        public var answerByteCountMax: Int
        /// From the stream, or the request's first byte on a stream that was kept, to the whole answer; for a peer's request to our answer,
        /// and on a stream that is not kept to its end.
        public var timeout: Duration = .seconds(10)
        /// Whether a stream serves one request after the other. A request whose stream was kept, and which the peer resets or ends without an
        /// answer, is told again once on another stream: the peer may have given up the stream before it heard of it. So a request may come
        /// twice.
        public var keepsStreams = false
        /// How long a stream is kept for the next request. The answerer waits twice as long, so that it does not give up what the asker counts on.
        public var keepTime: Duration = .seconds(20)
        /// Most streams of all peers together that wait for a next request of theirs. Beyond it the one that waits longest is given up.
        public var keptQuestionsMax = 1_024
        /// Most requests to one peer that are under way at a time.
        public var parallelRequestsPerPeerMax = 8
        /// Most requests to one peer that wait for their turn.
        public var waitingPerPeerMax = 64
        /// Most requests of one peer that are under way at a time, streams that wait for its next one included.
        public var parallelQuestionsPerPeerMax = 8
        /// Most requests of all peers together that are under way at a time. Beyond it the household that has most of them loses its oldest.
        public var parallelQuestionsMax = 256
        /// Most bytes of requests that have not come whole, of all peers together. Beyond it the household that has most of them loses its
        /// oldest.
        public var partialByteCountMax: Int
        /// Whether connections over a limited relay are used.
        public var usesLimitedConnections = false
        /// Whether requests are taken at all.
        public var answers = true

        public init(protocolIDs: [String], requestByteCountMax: Int, answerByteCountMax: Int) {
            self.protocolIDs = protocolIDs
            self.requestByteCountMax = requestByteCountMax
            self.answerByteCountMax = answerByteCountMax
            self.partialByteCountMax = max(16_777_216, 4 * requestByteCountMax)
        }
    }

    public struct Counters: Equatable, Sendable {
        /// Requests that went out, those that went again on another stream counted again; and those of them on a stream that was kept.
        public var sent = 0
        public var sentOnKept = 0
        public var answered = 0
        public var failed = 0
        public var asked = 0
        public var refused = 0
    }

    public enum Event: Equatable, Sendable {
        case answered(RequestID, by: PeerID, [UInt8])
        case failed(RequestID, to: PeerID, RequestResponseError)
        /// A peer asks. Answer with `answer(_:with:)` or `refuse(_:)`.
        case asked(Question, [UInt8])
        /// A peer's request was refused or broken off; a question of it, if there was one, needs no answer any more.
        case refused(PeerID, Question?, RequestResponseError)
    }

    struct Outgoing: Sendable {
        let id: RequestID
        let peer: PeerID
        var body: [UInt8]
        var reader: ServiceFrameReader
        /// Whether its stream served others before, whose end says nothing of this request; and whether one has ended so.
        var isOnKept = false
        var needsNewStream = false
        /// ``Peer/epoch`` when its stream was opened.
        var epoch: UInt64 = 0
    }

    struct Incoming: Sendable {
        enum State: Sendable {
            case reading
            case asked
            /// The answer is given, and the stream waits for the next request. The order is that in which streams began to.
            case idle(order: UInt64)
        }

        var question: Question
        var household: [UInt8] { self.question.household }
        var state = State.reading
        /// The peer has said all it has to say.
        var hasEnded = false
        /// Bytes of a request that has not come whole.
        var partialByteCount = 0
        /// Answers on this stream that our own buffers have not taken.
        var unwrittenCount = 0

        var idleOrder: UInt64? { if case .idle(let order) = self.state { order } else { nil } }
        var isAsked: Bool { if case .asked = self.state { true } else { false } }
    }

    /// A stream with our last answer, which is over once both ends have said all.
    struct Answered: Sendable {
        let peer: PeerID
        var hasEnded: Bool
        var isWritten = false
    }

    struct Peer: Sendable {
        var underWay = 0
        var waiting: [Outgoing] = []
        var questions = 0
        /// Streams of ours that wait for the next request, the last used last.
        var kept: [StreamID] = []
        /// Rises with each new connection: what was opened before may not be on the best one any more.
        var epoch: UInt64 = 0

        var isIdle: Bool { self.underWay == 0 && self.waiting.isEmpty && self.questions == 0 && self.kept.isEmpty }
    }

    let configuration: Configuration
    var peers: [PeerID: Peer] = [:]
    private var requests: [UInt64: Outgoing] = [:]
    private var outgoing: [StreamID: Outgoing] = [:]
    private var kept: [StreamID: PeerID] = [:]
    var incoming: [StreamID: Incoming] = [:]
    /// What has come of a request: by itself, so that bytes are added to it and not to a copy.
    var readers: [StreamID: ServiceFrameReader] = [:]
    var idleCount = 0
    var nextIdleOrder: UInt64 = 0
    var partialByteCount = 0
    var answered: [StreamID: Answered] = [:]
    var deadlines = ServiceDeadlines<StreamID>()
    var outbox = ServiceOutbox<Event>()
    private var nextID: UInt64 = 0
    public internal(set) var counters = Counters()

    public init(configuration: Configuration) { self.configuration = configuration }

    public var servedProtocolIDs: [String] { self.configuration.answers ? self.configuration.protocolIDs : [] }
    public var deadline: Duration? { self.deadlines.next }
    public mutating func nextCommand() -> ProtocolCommand? { self.outbox.nextCommand() }
    public mutating func nextEvent() -> Event? { self.outbox.nextEvent() }

    public var heldByteCount: Int {
        self.outbox.heldByteCount + self.partialByteCount + self.incoming.count * 128 + self.answered.count * 64 + self.kept.count * 64
            + self.outgoing.values.reduce(0) { $0 + 128 + $1.body.count + $1.reader.heldByteCount }
            + self.requests.values.reduce(0) { $0 + 128 + $1.body.count }
            + self.peers.values.reduce(0) { $0 + $1.waiting.reduce(64) { $0 + 128 + $1.body.count } }
    }

    // MARK: Asking

    /// Sends a request to a connected peer. An answer or a failure follows as an event, exactly one.
    public mutating func send(_ body: [UInt8], to peer: PeerID, now: Duration) throws(RequestResponseError) -> RequestID {
        guard body.count <= self.configuration.requestByteCountMax else {
            throw .tooLong(byteCount: body.count, limit: self.configuration.requestByteCountMax)
        }
        let (underWay, waiting) = self.peers[peer].map { ($0.underWay, $0.waiting.count) } ?? (0, 0)
        let mayGo = underWay < self.configuration.parallelRequestsPerPeerMax
        guard mayGo || waiting < self.configuration.waitingPerPeerMax else {
            throw .tooManyWaiting(maximum: self.configuration.waitingPerPeerMax)
        }
        self.nextID += 1
        let id = RequestID(rawValue: self.nextID)
        let reader = ServiceFrameReader(byteCountMax: self.configuration.answerByteCountMax)
        self.peers[peer, default: Peer()].waiting.append(Outgoing(id: id, peer: peer, body: body, reader: reader))
        self.proceed(peer, now: now)
        return id
    }

    /// Those whose turn it is go, on streams that wait for them or on new ones.
    private mutating func proceed(_ peer: PeerID, now: Duration) {
        while let state = self.peers[peer], state.underWay < self.configuration.parallelRequestsPerPeerMax, !state.waiting.isEmpty {
            guard var outgoing = self.peers[peer]?.waiting.removeFirst() else { break }
            self.peers[peer]?.underWay += 1
            outgoing.epoch = state.epoch
            if !outgoing.needsNewStream, let stream = self.peers[peer]?.kept.popLast() {
                self.kept[stream] = nil
                outgoing.isOnKept = true
                self.ask(outgoing, on: stream, now: now)
                continue
            }
            self.requests[outgoing.id.rawValue] = outgoing
            self.outbox.send(
                .open(
                    request: outgoing.id.rawValue, peer, protocolIDs: self.configuration.protocolIDs,
                    onLimited: self.configuration.usesLimitedConnections))
        }
        self.forgetIfIdle(peer)
    }

    private mutating func ask(_ outgoing: Outgoing, on stream: StreamID, now: Duration) {
        var outgoing = outgoing
        self.outbox.send(.write(stream, FrameReader.frame(outgoing.body)))
        if !self.configuration.keepsStreams { self.outbox.send(.closeWrite(stream)) }
        self.counters.sent += 1
        if outgoing.isOnKept { self.counters.sentOnKept += 1 } else { outgoing.body = [] }
        self.outgoing[stream] = outgoing
        self.deadlines.set(stream, at: now + self.configuration.timeout)
    }

    private mutating func opened(_ request: UInt64, _ stream: StreamID, now: Duration) {
        guard let outgoing = self.requests.removeValue(forKey: request) else { return self.outbox.send(.reset(stream)) }
        self.ask(outgoing, on: stream, now: now)
    }

    private mutating func takeAnswer(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        // Out of the table while it grows, or each chunk would copy it.
        guard var outgoing = self.outgoing.removeValue(forKey: stream) else { return }
        let result: Result<[UInt8], RequestResponseError>
        do throws(FrameReader.Failure) {
            guard let found = try outgoing.reader.receive(bytes) else { return self.outgoing[stream] = outgoing }
            result = found.rest.isEmpty ? .success(found.frame) : .failure(.bytesBehind)
        } catch {
            result = .failure(.frame(error))
        }
        if case .success = result, self.configuration.keepsStreams, outgoing.epoch == self.peers[outgoing.peer]?.epoch {
            self.kept[stream] = outgoing.peer
            self.peers[outgoing.peer]?.kept.append(stream)
            self.deadlines.set(stream, at: now + self.configuration.keepTime)
        } else {
            // Nothing more can come that is of use, and a peer that does not end its stream must not keep it.
            self.deadlines.remove(stream)
            self.outbox.send(.reset(stream))
        }
        self.conclude(outgoing, result, now: now)
    }

    /// The answer to one of our requests will not come on its stream.
    private mutating func lost(_ outgoing: Outgoing, of stream: StreamID, now: Duration) {
        self.deadlines.remove(stream)
        guard outgoing.isOnKept, outgoing.reader.heldByteCount == 0 else { return self.conclude(outgoing, .failure(.ended), now: now) }
        // The peer gave up the stream before it heard of the request: it is told on another one.
        var again = outgoing
        (again.isOnKept, again.needsNewStream) = (false, true)
        self.peers[outgoing.peer]?.underWay -= 1
        self.peers[outgoing.peer]?.waiting.insert(again, at: 0)
        self.proceed(outgoing.peer, now: now)
    }

    private mutating func conclude(_ outgoing: Outgoing, _ result: Result<[UInt8], RequestResponseError>, now: Duration) {
        switch result {
        case .success(let answer):
            self.counters.answered += 1
            self.outbox.report(.answered(outgoing.id, by: outgoing.peer, answer))
        case .failure(let error):
            self.counters.failed += 1
            self.outbox.report(.failed(outgoing.id, to: outgoing.peer, error))
        }
        self.peers[outgoing.peer]?.underWay -= 1
        self.proceed(outgoing.peer, now: now)
    }

    /// Lets go of a stream that waited for our next request.
    private mutating func giveUpKept(_ stream: StreamID, isGone: Bool) {
        guard let peer = self.kept.removeValue(forKey: stream) else { return }
        self.deadlines.remove(stream)
        self.peers[peer]?.kept.removeAll { $0 == stream }
        self.forgetIfIdle(peer)
        if !isGone { self.outbox.send(.reset(stream)) }
    }

    /// A new connection may be a better one, as a direct one is after a relay's: what comes next goes on a stream of its own choice.
    private mutating func connected(_ peer: PeerID) {
        self.peers[peer]?.epoch += 1
        for stream in self.peers[peer]?.kept ?? [] { self.giveUpKept(stream, isGone: false) }
    }

    /// Of who has nothing under way and nothing kept, nothing is kept.
    mutating func forgetIfIdle(_ peer: PeerID) { if self.peers[peer]?.isIdle ?? false { self.peers[peer] = nil } }

    // MARK: Inputs

    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .opened(let request, let stream, _): self.opened(request, stream, now: now)
        case .failed(let request, let failure):
            guard let outgoing = self.requests.removeValue(forKey: request) else { return }
            self.conclude(outgoing, .failure(.stream(failure)), now: now)
        case .inbound(let stream, let info, let protocolID): self.admit(stream, info, protocolID, now: now)
        case .received(let stream, let bytes):
            if self.outgoing[stream] != nil {
                self.takeAnswer(stream, bytes, now: now)
            } else if let peer = self.kept[stream] {
                // Nothing was asked.
                self.giveUpKept(stream, isGone: false)
                self.counters.refused += 1
                self.outbox.report(.refused(peer, nil, .bytesBehind))
            } else {
                self.takeQuestion(stream, bytes, now: now)
            }
        case .ended(let stream): self.ended(stream, isReset: false, now: now)
        case .reset(let stream): self.ended(stream, isReset: true, now: now)
        case .writable(let stream): self.wroteAll(to: stream)
        case .connected(let info): self.connected(info.peer)
        case .disconnected, .protocols: break
        }
    }

    public mutating func tick(now: Duration) {
        while let stream = self.deadlines.popDue(now: now) {
            if let outgoing = self.outgoing.removeValue(forKey: stream) {
                self.outbox.send(.reset(stream))
                self.conclude(outgoing, .failure(.timedOut), now: now)
            } else if self.kept[stream] != nil {
                self.giveUpKept(stream, isGone: false)
            } else {
                self.questionIsDue(stream)
            }
        }
    }

    private mutating func ended(_ stream: StreamID, isReset: Bool, now: Duration) {
        if let outgoing = self.outgoing.removeValue(forKey: stream) {
            self.lost(outgoing, of: stream, now: now)
            if !isReset { self.outbox.send(.reset(stream)) }
        } else if self.kept[stream] != nil {
            self.giveUpKept(stream, isGone: isReset)
        } else {
            self.questionEnded(stream, isReset: isReset, now: now)
        }
    }
}
