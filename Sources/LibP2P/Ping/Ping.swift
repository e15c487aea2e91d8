/// Why there was no round trip.
public enum PingError: Error, Equatable, Sendable, CustomStringConvertible {
    case stream(StreamFailure)
    case timedOut
    /// Other bytes came back than were sent, or bytes that nobody asked for.
    case wrongBytes
    /// The peer ended or reset the stream before it answered.
    case ended
    /// So many pings to this peer wait already.
    case tooManyWaiting(maximum: Int)
    /// The peer opened more streams than the protocol allows it.
    case tooManyStreams
    /// The peer ended its stream within a ping.
    case truncated
    /// The peer sends pings and does not read the answers.
    case answersNotRead

    public var description: String {
        switch self {
        case .stream(let failure): "ping: no stream to the peer (\(failure))"
        case .timedOut: "ping: no answer in time"
        case .wrongBytes: "ping: other bytes came back than were sent"
        case .ended: "ping: the peer ended the stream instead of answering"
        case .tooManyWaiting(let maximum): "ping: \(maximum) pings to this peer wait already"
        case .tooManyStreams: "ping: the peer opened more than \(Ping.inboundStreamsPerPeerMax) streams"
        case .truncated: "ping: the peer ended its stream within a ping"
        case .answersNotRead: "ping: the peer does not read the answers to its pings"
        }
    }
}

/// ping (libp2p ping): 32 bytes go, the same come back, as often as one likes on one stream.
public struct Ping: ProtocolMachine {
    public static let protocolID = "/ipfs/ping/1.0.0"
    public static let byteCount = 32
    /// Most streams of a peer at a time (libp2p ping, "Protocol").
    public static let inboundStreamsPerPeerMax = 2
    /// Most bytes of answers that wait for a peer to read: an honest one waits for each. Beyond the stream's own buffer only.
    public static let unreadByteCountMax = 4_096

    public struct Configuration: Sendable {
        /// How long one answer may take (py-libp2p: 10 s).
        public var timeout: Duration = .seconds(10)
        /// How long a peer's stream may be silent (go-libp2p: 60 s).
        public var inboundIdleTime: Duration = .seconds(60)
        /// How long our stream is kept for the next ping.
        public var outboundIdleTime: Duration = .seconds(30)
        /// Most pings to one peer that wait for their turn.
        public var waitingMax = 16

        public init() {}
    }

    public struct Counters: Equatable, Sendable {
        public var answered = 0
        public var roundTrips = 0
        public var failed = 0
        public var refused = 0
    }

    public enum Event: Equatable, Sendable {
        case roundTrip(PeerID, Duration)
        case failed(PeerID, PingError)
        /// A stream that the peer opened was refused or broken off.
        case refused(PeerID, PingError)
    }

    private struct Flight: Sendable {
        let bytes: [UInt8]
        let sentAt: Duration
        var answer: [UInt8] = []
        /// Whether it was sent on a stream that had stood idle: then the peer's end may have crossed it, and it is sent once more.
        let isOnUsedStream: Bool
    }

    private struct Outbound: Sendable {
        enum Stream: Sendable {
            case none
            case opening(UInt64)
            case open(StreamID, isUsed: Bool)
        }

        var stream = Stream.none
        var flight: Flight?
        var waiting: [[UInt8]] = []
    }

    private struct Inbound: Sendable {
        let peer: PeerID
        var partial: [UInt8] = []
        /// Written, and not in the connection's own buffers yet.
        var unreadByteCount = 0
    }

    private enum Timer: Hashable, Sendable {
        case outbound(PeerID)
        case inbound(StreamID)
    }

    public let configuration: Configuration
    private var outbound: [PeerID: Outbound] = [:]
    private var requests: [UInt64: PeerID] = [:]
    private var peerOfStream: [StreamID: PeerID] = [:]
    private var inbound: [StreamID: Inbound] = [:]
    private var inboundStreamCounts: [PeerID: Int] = [:]
    private var deadlines = ServiceDeadlines<Timer>()
    private var outbox = ServiceOutbox<Event>()
    private var nextRequest: UInt64 = 0
    public private(set) var counters = Counters()

    public init(configuration: Configuration = Configuration()) { self.configuration = configuration }

    public var servedProtocolIDs: [String] { [Self.protocolID] }
    public var deadline: Duration? { self.deadlines.next }
    public mutating func nextCommand() -> ProtocolCommand? { self.outbox.nextCommand() }
    public mutating func nextEvent() -> Event? { self.outbox.nextEvent() }

    public var heldByteCount: Int {
        self.outbox.heldByteCount + self.outbound.values.reduce(0) { $0 + 160 + $1.waiting.count * (Self.byteCount + 32) }
            + self.inbound.count * 128
    }

    /// Sends one ping to a connected peer; what came of it is an event. Pings to one peer go one after the other.
    ///
    /// - Parameter bytes: 32 bytes that nobody can guess.
    public mutating func ping(_ peer: PeerID, bytes: [UInt8], now: Duration) {
        precondition(bytes.count == Self.byteCount, "a ping has 32 bytes")
        var state = self.outbound[peer] ?? Outbound()
        guard state.waiting.count < self.configuration.waitingMax else {
            return self.failed(peer, .tooManyWaiting(maximum: self.configuration.waitingMax))
        }
        state.waiting.append(bytes)
        self.outbound[peer] = state
        self.proceed(peer, now: now)
    }

    public mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .opened(let request, let stream, _):
            guard let peer = self.requests.removeValue(forKey: request) else { return self.outbox.send(.reset(stream)) }
            self.peerOfStream[stream] = peer
            self.outbound[peer]?.stream = .open(stream, isUsed: false)
            self.proceed(peer, now: now)
        case .failed(let request, let failure):
            guard let peer = self.requests.removeValue(forKey: request) else { return }
            // All that wait would fail the same way.
            let count = self.outbound.removeValue(forKey: peer)?.waiting.count ?? 0
            for _ in 0..<count { self.failed(peer, .stream(failure)) }
        case .inbound(let stream, let info, _): self.admit(stream, info.peer, now: now)
        case .received(let stream, let bytes):
            if self.inbound[stream] != nil { self.echo(stream, bytes, now: now) } else { self.compare(stream, bytes, now: now) }
        case .ended(let stream): self.ended(stream, isReset: false, now: now)
        case .reset(let stream): self.ended(stream, isReset: true, now: now)
        case .writable(let stream): self.inbound[stream]?.unreadByteCount = 0
        case .connected, .disconnected, .protocols: break
        }
    }

    public mutating func tick(now: Duration) {
        while let timer = self.deadlines.popDue(now: now) {
            switch timer {
            case .inbound(let stream):
                self.forget(stream)
                self.outbox.send(.reset(stream))
            case .outbound(let peer):
                guard let state = self.outbound[peer], case .open(let stream, _) = state.stream else { continue }
                self.peerOfStream[stream] = nil
                self.outbound[peer]?.stream = .none
                if state.flight == nil {
                    self.outbox.send(.closeWrite(stream))
                } else {
                    // The answer may still come: it must not meet the next ping's.
                    self.outbox.send(.reset(stream))
                    self.outbound[peer]?.flight = nil
                    self.failed(peer, .timedOut)
                }
                self.proceed(peer, now: now)
            }
        }
    }

    // MARK: Our pings

    private mutating func proceed(_ peer: PeerID, now: Duration) {
        guard var state = self.outbound[peer], state.flight == nil else { return }
        switch state.stream {
        case .opening: return
        case .none:
            guard !state.waiting.isEmpty else { return self.outbound[peer] = nil }
            self.nextRequest += 1
            self.requests[self.nextRequest] = peer
            state.stream = .opening(self.nextRequest)
            self.outbox.send(.open(request: self.nextRequest, peer, protocolIDs: [Self.protocolID], onLimited: true))
        case .open(let stream, let isUsed):
            guard !state.waiting.isEmpty else {
                self.deadlines.set(.outbound(peer), at: now + self.configuration.outboundIdleTime)
                return
            }
            let bytes = state.waiting.removeFirst()
            state.flight = Flight(bytes: bytes, sentAt: now, isOnUsedStream: isUsed)
            state.stream = .open(stream, isUsed: true)
            self.deadlines.set(.outbound(peer), at: now + self.configuration.timeout)
            self.outbox.send(.write(stream, bytes))
        }
        self.outbound[peer] = state
    }

    private mutating func compare(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard let peer = self.peerOfStream[stream], var state = self.outbound[peer] else { return }
        var flight = state.flight
        flight?.answer += bytes
        guard let flight, flight.bytes.starts(with: flight.answer) else {
            return self.breakOff(stream, peer, .wrongBytes, now: now)
        }
        if flight.answer.count < Self.byteCount {
            state.flight = flight
            self.outbound[peer] = state
        } else {
            state.flight = nil
            self.outbound[peer] = state
            self.counters.roundTrips += 1
            self.outbox.report(.roundTrip(peer, now - flight.sentAt))
            self.proceed(peer, now: now)
        }
    }

    private mutating func breakOff(_ stream: StreamID, _ peer: PeerID, _ error: PingError, now: Duration) {
        self.peerOfStream[stream] = nil
        self.deadlines.remove(.outbound(peer))
        self.outbound[peer]?.stream = .none
        self.outbound[peer]?.flight = nil
        self.outbox.send(.reset(stream))
        self.failed(peer, error)
        self.proceed(peer, now: now)
    }

    private mutating func failed(_ peer: PeerID, _ error: PingError) {
        self.counters.failed += 1
        self.outbox.report(.failed(peer, error))
    }

    // MARK: The peer's pings

    private mutating func admit(_ stream: StreamID, _ peer: PeerID, now: Duration) {
        let count = self.inboundStreamCounts[peer] ?? 0
        guard count < Self.inboundStreamsPerPeerMax else {
            self.counters.refused += 1
            self.outbox.send(.reset(stream))
            return self.outbox.report(.refused(peer, .tooManyStreams))
        }
        self.inboundStreamCounts[peer] = count + 1
        self.inbound[stream] = Inbound(peer: peer)
        self.deadlines.set(.inbound(stream), at: now + self.configuration.inboundIdleTime)
    }

    private mutating func echo(_ stream: StreamID, _ bytes: [UInt8], now: Duration) {
        guard var state = self.inbound[stream] else { return }
        guard state.unreadByteCount <= Self.unreadByteCountMax else {
            self.counters.refused += 1
            self.forget(stream)
            self.outbox.send(.reset(stream))
            return self.outbox.report(.refused(state.peer, .answersNotRead))
        }
        let all = state.partial + bytes
        let wholeByteCount = all.count - all.count % Self.byteCount
        state.partial = Array(all[wholeByteCount...])
        state.unreadByteCount += wholeByteCount
        self.inbound[stream] = state
        guard wholeByteCount > 0 else { return }
        self.counters.answered += wholeByteCount / Self.byteCount
        // Not for every byte: one byte a minute is no ping.
        self.deadlines.set(.inbound(stream), at: now + self.configuration.inboundIdleTime)
        self.outbox.send(.write(stream, Array(all[..<wholeByteCount])))
    }

    // MARK: Ends

    private mutating func ended(_ stream: StreamID, isReset: Bool, now: Duration) {
        if let state = self.inbound[stream] {
            self.forget(stream)
            if isReset { return }
            guard state.partial.isEmpty else {
                self.counters.refused += 1
                self.outbox.send(.reset(stream))
                return self.outbox.report(.refused(state.peer, .truncated))
            }
            return self.outbox.send(.closeWrite(stream))
        }
        guard let peer = self.peerOfStream.removeValue(forKey: stream), let state = self.outbound[peer] else { return }
        self.deadlines.remove(.outbound(peer))
        self.outbound[peer]?.stream = .none
        self.outbound[peer]?.flight = nil
        if !isReset { self.outbox.send(.closeWrite(stream)) }
        if let flight = state.flight {
            if flight.isOnUsedStream, flight.answer.isEmpty {
                self.outbound[peer]?.waiting.insert(flight.bytes, at: 0)
            } else {
                self.failed(peer, .ended)
            }
        }
        self.proceed(peer, now: now)
    }

    private mutating func forget(_ stream: StreamID) {
        guard let state = self.inbound.removeValue(forKey: stream) else { return }
        self.deadlines.remove(.inbound(stream))
        let count = (self.inboundStreamCounts[state.peer] ?? 1) - 1
        self.inboundStreamCounts[state.peer] = count == 0 ? nil : count
    }
}
