/// Requests and their answers: one stream each, one frame there and one back.
///
///     asker      open ─ frame, end ──────────────▶ frame ─▶ `answered`
///     answerer        `asked` ─ `answer(_:with:)` ─▶ frame, end
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
    }

    public struct Configuration: Sendable {
        /// Preferred first.
        public var protocolIDs: [String]
        /// Longest request and answer in bytes, without their lengths.
        public var requestByteCountMax: Int
        public var answerByteCountMax: Int
        /// From the stream to the whole answer; for a peer's request from its stream to our answer's end.
        public var timeout: Duration = .seconds(10)
        /// Most requests to one peer that are under way at a time.
        public var parallelRequestsPerPeerMax = 8
        /// Most requests to one peer that wait for their turn.
        public var waitingPerPeerMax = 64
        /// Most requests of one peer that are under way at a time.
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
        public var sent = 0
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

    private struct Outgoing: Sendable {
        let id: RequestID
        let peer: PeerID
        var body: [UInt8]
        var reader: ServiceFrameReader
    }

    private struct Incoming: Sendable {
        enum State: Sendable {
            case reading(ServiceFrameReader)
            case asked
        }

        let question: Question
        var household: [UInt8] { self.question.household }
        var state: State
        /// The peer has said all it has to say.
        var hasEnded = false

        var partialByteCount: Int { if case .reading(let reader) = self.state { reader.heldByteCount } else { 0 } }
    }

    /// A stream with our answer, which is over once both ends have said all.
    private struct Answered: Sendable {
        let peer: PeerID
        var hasEnded: Bool
        var isWritten = false
    }

    private struct Peer: Sendable {
        var underWay = 0
        var waiting: [Outgoing] = []
        var questions = 0
    }

    private let configuration: Configuration
    private var peers: [PeerID: Peer] = [:]
    private var requests: [UInt64: Outgoing] = [:]
    private var outgoing: [StreamID: Outgoing] = [:]
    private var incoming: [StreamID: Incoming] = [:]
    private var partialByteCount = 0
    private var answered: [StreamID: Answered] = [:]
    private var deadlines = ServiceDeadlines<StreamID>()
    private var outbox = ServiceOutbox<Event>()
    private var nextID: UInt64 = 0
    public private(set) var counters = Counters()

    public init(configuration: Configuration) { self.configuration = configuration }

    public var servedProtocolIDs: [String] { self.configuration.answers ? self.configuration.protocolIDs : [] }
    public var deadline: Duration? { self.deadlines.next }
    public mutating func nextCommand() -> ProtocolCommand? { self.outbox.nextCommand() }
    public mutating func nextEvent() -> Event? { self.outbox.nextEvent() }

    public var heldByteCount: Int {
        self.outbox.heldByteCount + self.partialByteCount + self.incoming.count * 128 + self.answered.count * 64
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
        var state = self.peers[peer] ?? Peer()
        let mayGo = state.underWay < self.configuration.parallelRequestsPerPeerMax
        guard mayGo || state.waiting.count < self.configuration.waitingPerPeerMax else {
            throw .tooManyWaiting(maximum: self.configuration.waitingPerPeerMax)
        }
        self.nextID += 1
        let id = RequestID(rawValue: self.nextID)
        let reader = ServiceFrameReader(byteCountMax: self.configuration.answerByteCountMax)
        state.waiting.append(Outgoing(id: id, peer: peer, body: body, reader: reader))
        self.peers[peer] = state
        self.proceed(peer)
        return id
    }

    /// Opens streams for those whose turn it is.
    private mutating func proceed(_ peer: PeerID) {
        guard var state = self.peers[peer] else { return }
        while state.underWay < self.configuration.parallelRequestsPerPeerMax, !state.waiting.isEmpty {
            let outgoing = state.waiting.removeFirst()
            state.underWay += 1
            self.requests[outgoing.id.rawValue] = outgoing
            self.outbox.send(
                .open(
                    request: outgoing.id.rawValue, peer, protocolIDs: self.configuration.protocolIDs,
                    onLimited: self.configuration.usesLimitedConnections))
        }
        self.peers[peer] = state.underWay == 0 && state.waiting.isEmpty && state.questions == 0 ? nil : state
    }

    private mutating func conclude(_ outgoing: Outgoing, _ result: Result<[UInt8], RequestResponseError>) {
        switch result {
        case .success(let answer):
            self.counters.answered += 1
            self.outbox.report(.answered(outgoing.id, by: outgoing.peer, answer))
        case .failure(let error):
            self.counters.failed += 1
            self.outbox.report(.failed(outgoing.id, to: outgoing.peer, error))
        }
        self.peers[outgoing.peer]?.underWay -= 1
        self.proceed(outgoing.peer)
    }

    // MARK: Answering

    /// Answers a question. One that is over is passed over.
    public mutating func answer(_ question: Question, with body: [UInt8], now: Duration) throws(RequestResponseError) {
        guard body.count <= self.configuration.answerByteCountMax else {
            throw .tooLong(byteCount: body.count, limit: self.configuration.answerByteCountMax)
        }
        guard case .asked? = self.incoming[question.stream]?.state else { return }
        self.outbox.send(.write(question.stream, FrameReader.frame(body)))
        self.outbox.send(.closeWrite(question.stream))
        // Of the peer nothing is wanted any more; what it still sends is passed over. Who neither reads nor ends it keeps no stream by that.
        let hasEnded = self.incoming[question.stream]?.hasEnded ?? false
        self.forget(question.stream)
        self.answered[question.stream] = Answered(peer: question.peer, hasEnded: hasEnded)
        self.deadlines.set(question.stream, at: now + self.configuration.timeout)
    }

    /// Resets the stream of a question.
    public mutating func refuse(_ question: Question) {
        guard case .asked? = self.incoming[question.stream]?.state else { return }
        self.forget(question.stream)
        self.outbox.send(.reset(question.stream))
    }

    private mutating func admit(_ stream: StreamID, _ info: ConnectionInfo, _ protocolID: String, now: Duration) {
        let peer = info.peer
        let count = self.peers[peer]?.questions ?? 0
        guard count < self.configuration.parallelQuestionsPerPeerMax, self.makeRoom(for: info.household) else {
            self.counters.refused += 1
            self.outbox.send(.reset(stream))
            let maximum = self.configuration.parallelQuestionsPerPeerMax
            return self.outbox.report(.refused(peer, nil, .tooManyRequests(maximum: maximum)))
        }
        self.peers[peer, default: Peer()].questions = count + 1
        let reader = ServiceFrameReader(byteCountMax: self.configuration.requestByteCountMax)
        let question = Question(peer: peer, protocolID: protocolID, household: info.household, stream: stream)
        self.incoming[stream] = Incoming(question: question, state: .reading(reader))
        self.deadlines.set(stream, at: now + self.configuration.timeout)
    }

    /// When all places are taken, the household that has most of them gives up its oldest, unless the newcomer's has as many.
    private mutating func makeRoom(for household: [UInt8]) -> Bool {
        guard self.incoming.count >= self.configuration.parallelQuestionsMax else { return true }
        let counts: [[UInt8]: Int] = self.incoming.values.reduce(into: [:]) { $0[$1.household, default: 0] += 1 }
        guard let most = counts.values.max(), most > counts[household, default: 0] + 1,
            let oldest = self.oldest(where: { counts[$0.household] == most })
        else { return false }
        self.breakOff(oldest, .tooManyRequests(maximum: self.configuration.parallelQuestionsMax), resets: true)
        return true
    }

    /// Requests may be half sent, and not without end: the household that has most of that gives up its oldest.
    private mutating func giveUpPartials() {
        while self.partialByteCount > self.configuration.partialByteCountMax {
            let shares: [[UInt8]: Int] = self.incoming.values.reduce(into: [:]) { $0[$1.household, default: 0] += $1.partialByteCount }
            guard let most = shares.values.max(),
                let oldest = self.oldest(where: { $0.partialByteCount > 0 && shares[$0.household] == most })
            else { return }
            self.breakOff(oldest, .tooManyPartialBytes(maximum: self.configuration.partialByteCountMax), resets: true)
        }
    }

    /// Streams are numbered as they come.
    private func oldest(where isMeant: (Incoming) -> Bool) -> Incoming? {
        self.incoming.values.filter(isMeant).min { $0.question.stream < $1.question.stream }
    }

    private mutating func forget(_ stream: StreamID) {
        guard let incoming = self.incoming.removeValue(forKey: stream) else { return }
        self.partialByteCount -= incoming.partialByteCount
        self.deadlines.remove(stream)
        self.peers[incoming.question.peer]?.questions -= 1
        self.proceed(incoming.question.peer)
    }

    private mutating func breakOff(_ incoming: Incoming, _ error: RequestResponseError, resets: Bool) {
        self.forget(incoming.question.stream)
        self.counters.refused += 1
        if resets { self.outbox.send(.reset(incoming.question.stream)) }
        let wasAsked = if case .asked = incoming.state { true } else { false }
        self.outbox.report(.refused(incoming.question.peer, wasAsked ? incoming.question : nil, error))
    }

    // MARK: Inputs

    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .opened(let request, let stream, _):
            guard var outgoing = self.requests.removeValue(forKey: request) else { return self.outbox.send(.reset(stream)) }
            self.outbox.send(.write(stream, FrameReader.frame(outgoing.body)))
            self.outbox.send(.closeWrite(stream))
            outgoing.body = []
            self.counters.sent += 1
            self.outgoing[stream] = outgoing
            self.deadlines.set(stream, at: now + self.configuration.timeout)
        case .failed(let request, let failure):
            guard let outgoing = self.requests.removeValue(forKey: request) else { return }
            self.conclude(outgoing, .failure(.stream(failure)))
        case .inbound(let stream, let info, let protocolID): self.admit(stream, info, protocolID, now: now)
        case .received(let stream, let bytes):
            if self.outgoing[stream] != nil { self.takeAnswer(stream, bytes) } else { self.takeQuestion(stream, bytes) }
        case .ended(let stream): self.ended(stream, isReset: false)
        case .reset(let stream): self.ended(stream, isReset: true)
        case .writable(let stream):
            self.answered[stream]?.isWritten = true
            self.forgetIfOver(stream)
        case .connected, .disconnected, .protocols: break
        }
    }

    public mutating func tick(now: Duration) {
        while let stream = self.deadlines.popDue(now: now) {
            if let outgoing = self.outgoing.removeValue(forKey: stream) {
                self.outbox.send(.reset(stream))
                self.conclude(outgoing, .failure(.timedOut))
            } else if let answered = self.answered.removeValue(forKey: stream) {
                self.counters.refused += 1
                self.outbox.send(.reset(stream))
                self.outbox.report(.refused(answered.peer, nil, answered.isWritten ? .notEnded : .notRead))
            } else if let incoming = self.incoming[stream] {
                if case .asked = incoming.state {
                    self.breakOff(incoming, .notAnswered, resets: true)
                } else {
                    self.breakOff(incoming, .timedOut, resets: true)
                }
            }
        }
    }

    private mutating func takeAnswer(_ stream: StreamID, _ bytes: [UInt8]) {
        guard var outgoing = self.outgoing[stream] else { return }
        let result: Result<[UInt8], RequestResponseError>
        do throws(FrameReader.Failure) {
            guard let found = try outgoing.reader.receive(bytes) else { return self.outgoing[stream] = outgoing }
            result = found.rest.isEmpty ? .success(found.frame) : .failure(.bytesBehind)
        } catch {
            result = .failure(.frame(error))
        }
        self.outgoing[stream] = nil
        self.deadlines.remove(stream)
        // Nothing more can come that is of use, and a peer that does not end its stream must not keep it.
        self.outbox.send(.reset(stream))
        self.conclude(outgoing, result)
    }

    private mutating func takeQuestion(_ stream: StreamID, _ bytes: [UInt8]) {
        guard var incoming = self.incoming[stream] else { return }
        guard case .reading(var reader) = incoming.state else { return self.breakOff(incoming, .bytesBehind, resets: true) }
        do throws(FrameReader.Failure) {
            guard let found = try reader.receive(bytes) else {
                self.partialByteCount += reader.heldByteCount - incoming.partialByteCount
                self.incoming[stream]?.state = .reading(reader)
                return self.giveUpPartials()
            }
            guard found.rest.isEmpty else { return self.breakOff(incoming, .bytesBehind, resets: true) }
            self.partialByteCount -= incoming.partialByteCount
            incoming.state = .asked
            self.incoming[stream] = incoming
            self.counters.asked += 1
            self.outbox.report(.asked(incoming.question, found.frame))
        } catch {
            self.breakOff(incoming, .frame(error), resets: true)
        }
    }

    private mutating func forgetIfOver(_ stream: StreamID) {
        guard let answered = self.answered[stream], answered.hasEnded, answered.isWritten else { return }
        self.answered[stream] = nil
        self.deadlines.remove(stream)
    }

    private mutating func ended(_ stream: StreamID, isReset: Bool) {
        if var answered = self.answered[stream] {
            answered.hasEnded = true
            if isReset { answered.isWritten = true }
            self.answered[stream] = answered
            return self.forgetIfOver(stream)
        }
        if let outgoing = self.outgoing.removeValue(forKey: stream) {
            self.deadlines.remove(stream)
            self.conclude(outgoing, .failure(.ended))
        } else if let incoming = self.incoming[stream] {
            // A peer that has asked has said all, so the end of its side is in order.
            if case .asked = incoming.state, !isReset {
                self.incoming[stream]?.hasEnded = true
                return
            }
            self.breakOff(incoming, .ended, resets: !isReset)
        }
    }
}
