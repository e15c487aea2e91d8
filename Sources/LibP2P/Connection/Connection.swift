public import CryptoPrimitives

/// A pipe of raw bytes made into an encrypted connection with one proved peer, and many streams in it.
///
/// A value without socket, clock or randomness. Raw bytes go into ``receive(_:now:supports:)-([UInt8],_,_)``, raw bytes for the other
/// side come out of ``fill(_:now:)``, and ``nextEvent()`` tells what happened. Any call may produce events and output.
///
///     var connection = try Connection(.dialer, staticKey: key, ephemeral: .generate(), expecting: peer, now: now)
///     while connection.hasOutput { send(connection.takeOutput(now: now)) }
///     connection.receive(bytes, now: now) { $0 == "/echo/1.0.0" }
///     while let event = connection.nextEvent() { … }
///
/// - Bytes are read when the owner asks for them (``read(from:now:)``), and the peer may send as much again only then: a slow owner
///   of one stream holds up nothing else.
/// - Call ``tick(now:)`` when ``deadline`` has come: it is what ends handshakes and negotiations of peers that keep silent.
/// - After an error there is `ConnectionEvent.closed`, which says at which step; nothing comes after it.
public struct Connection: ~Copyable, Sendable {
    /// The best size of a buffer for ``fill(_:now:)``: four whole Noise messages.
    public static let outputByteCount = 4 * (2 + NoiseChannel.messageByteCountMax)

    /// ``fill(_:now:)`` wants at least as much room: the handshake's messages are written in parts, those of the channel are not.
    public static let outputByteCountMin = 256

    public let role: ConnectionRole
    public let limits: ConnectionLimits
    /// How far the connection has come. Stays as it is when the connection ends.
    public internal(set) var step = ConnectionStep.negotiatingSecurity
    /// Why the connection ended; `nil` while it goes on.
    public internal(set) var closeReason: ConnectionError?
    /// Who is at the other end, once proved.
    public internal(set) var peer: PeerID?
    /// Its owner wants it even without streams: ``ConnectionLimits/idleTimeout`` does not end it.
    public var isKeptOpen = false

    /// How many streams of the peer were reset because too many were negotiating.
    public internal(set) var refusedNegotiations = 0
    /// How many streams of the peer were reset because it did not agree on a protocol: it said something else, nothing in time, or its end.
    public internal(set) var failedNegotiations = 0

    var upgrade: ConnectionUpgrade?
    var channel: NoiseChannel?
    var session: YamuxSession
    /// Bytes of the handshakes, encrypted where they must be, that were not sent yet.
    var upgradeOutput: [UInt8] = []
    /// Streams whose protocol is not agreed on.
    var negotiations: [YamuxStreamID: StreamNegotiation] = [:]
    /// The same, by the time when each must be over. An entry may be outdated: its serial then differs, or its stream is gone.
    var negotiationDeadlines = YamuxQueue<(id: YamuxStreamID, serial: UInt64, at: Duration)>()
    var nextNegotiationSerial: UInt64 = 0
    var events = YamuxQueue<ConnectionEvent>()

    let started: Duration
    /// When the last byte came.
    public internal(set) var lastReceived: Duration
    /// Since when there is no stream; `nil` while there are some.
    public internal(set) var idleSince: Duration?
    /// Since when bytes of streams went to the peer and nothing came from it.
    var unansweredSince: Duration?
    /// Since when a silent peer has been asked for a sign of life.
    var probedSince: Duration?

    /// - Parameters:
    ///   - staticKey: of this node; it carries the proof of its identity.
    ///   - ephemeral: a new key, which serves this connection and no other.
    ///   - peer: who must be at the other end; `nil` takes everybody.
    public init(
        _ role: ConnectionRole, staticKey: NoiseStaticKey, ephemeral: consuming X25519.SecretKey, expecting peer: PeerID? = nil,
        limits: ConnectionLimits = ConnectionLimits(), now: Duration
    ) throws(NoiseError) {
        self.role = role
        self.limits = limits
        self.session = YamuxSession(role.yamux, limits: limits.yamux)
        var upgrade = try ConnectionUpgrade(role, staticKey: staticKey, ephemeral: ephemeral, expecting: peer)
        self.upgradeOutput = upgrade.takeOutput()
        self.upgrade = consume upgrade
        self.started = now
        self.lastReceived = now
    }

    /// What happened next; `nil` when all is told.
    public mutating func nextEvent() -> ConnectionEvent? { self.events.popFirst() }

    /// Open streams of either side, negotiating ones counted.
    public var streamCount: Int { self.session.streamCount }

    /// The smoothed round trip time, once measured.
    public var roundTrip: Duration? { self.session.roundTrip }

    /// What the session saw that honest peers seldom do.
    public var counters: YamuxCounters { self.session.counters }

    /// What keeping a stream takes in bytes besides its data, here and with the connection's owner: about this much.
    static let streamByteCount = 512

    /// Bytes held: not read yet, not sent yet, the part of a message that waits for its rest, and what open streams take.
    public var heldByteCount: Int {
        let partial =
            switch self.channel {
            case .some(let channel): channel.bufferedByteCount
            case .none: 0
            }
        return self.session.bufferedByteCount + self.session.streamCount * Self.streamByteCount + self.upgradeOutput.count + partial
    }

    /// Asks the peer for a sign of life; ``ConnectionEvent/roundTrip(_:)`` is the answer.
    public mutating func ping() { self.session.sendPing() }
}

// MARK: - Time and end

extension Connection {
    /// When ``tick(now:)`` is wanted next; `nil` for never.
    public var deadline: Duration? {
        guard self.closeReason == nil else { return nil }
        guard self.step == .established else { return self.started + self.limits.handshakeTimeout }
        var deadline = self.keepAliveDeadline
        if let first = self.negotiationDeadlines.first { deadline = min(deadline ?? first.at, first.at) }
        if let idle = self.idleDeadline { deadline = min(deadline ?? idle, idle) }
        return deadline
    }

    private var keepAliveDeadline: Duration? {
        if let since = self.probedSince { return since + self.limits.keepAliveTimeout }
        let quiet = self.limits.keepAliveInterval.map { self.lastReceived + $0 }
        guard let since = self.unansweredSince, let interval = self.limits.keepAliveIntervalWhileSending else { return quiet }
        return min(quiet ?? since + interval, since + interval)
    }

    private var idleDeadline: Duration? {
        guard !self.isKeptOpen, let since = self.idleSince, let timeout = self.limits.idleTimeout else { return nil }
        return since + timeout
    }

    /// Does what time brings: gives up what was not over in time, and asks silent peers for a sign of life.
    public mutating func tick(now: Duration) {
        guard self.closeReason == nil else { return }
        guard self.step == .established else {
            if now >= self.started + self.limits.handshakeTimeout { self.end(.timedOut(at: self.step)) }
            return
        }
        self.expireNegotiations(now: now)
        if let deadline = self.idleDeadline, now >= deadline { return self.end(.idle) }
        if let deadline = self.keepAliveDeadline, now >= deadline {
            guard self.probedSince == nil else { return self.end(.peerSilent) }
            self.probedSince = now
            self.session.sendPingAgain()
        }
        self.handleSessionEvents(now: now)
    }

    /// Ends the connection and all its streams. A last word may wait to be sent.
    public mutating func close(_ reason: ConnectionClosing = .requested) { self.end(.closedHere(reason)) }

    /// The pipe has ended: the other side sends no more, or it broke.
    public mutating func pipeEnded(_ violation: WebSocketError? = nil) {
        self.end(violation.map { .webSocket($0) } ?? .pipeEnded(at: self.step))
    }

    /// The other side takes no bytes.
    mutating func peerStoppedTaking() { self.end(.peerNotReading) }

    /// Nothing is said to the other side where it can no longer be heard or trusted.
    mutating func end(_ reason: ConnectionError) {
        guard self.closeReason == nil else { return }
        self.closeReason = reason
        switch reason {
        case .idle, .closedHere:
            self.session.close()
            self.channel?.stopReceiving()
        case .session: self.channel?.stopReceiving()
        case .security, .handshake, .muxer, .timedOut, .pipeEnded, .webSocket, .encryption, .peerSilent, .peerNotReading:
            self.session.connectionEnded()
            self.channel = nil
        }
        self.upgrade = nil
        self.upgradeOutput = []
        self.negotiations = [:]
        self.negotiationDeadlines.removeAll()
        while self.session.nextEvent() != nil {}
        self.events.append(.closed(reason))
    }
}
