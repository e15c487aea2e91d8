/// One end of a yamux session: many streams over one reliable, ordered connection.
///
/// A value without connection, clock or task. Bytes of the peer go into ``receive(_:now:)``, bytes for the peer come out of
/// ``fill(_:now:)``, and ``nextEvent()`` tells what happened:
///
///     session.receive(decrypted, now: now)
///     while let event = session.nextEvent() { … }
///     while session.hasOutput { session.fill(&plaintext, now: now); … }
///
/// Any of the methods may produce events or output; look at both after calling one. `now` is a time on any clock that never
/// goes back; it serves to measure round trips.
///
/// - A slow reader holds up its own stream only: the peer may send again what was read, and not before.
/// - A peer that breaks a rule is told so by a go-away, and the session ends (``YamuxViolation``). What a peer may have done in
///   good faith costs it one stream at most. ``counters`` has both.
/// - What a peer can make grow is bounded by ``YamuxLimits``.
///
/// Sources: hashicorp/yamux, spec.md, and libp2p's `yamux` specification. Where they are silent, go-yamux is followed.
public struct YamuxSession: Sendable {
    /// The name under which multistream-select and Noise's early negotiation know this protocol.
    public static let protocolID = "/yamux/1.0.0"

    public let role: YamuxRole
    public var limits: YamuxLimits
    public internal(set) var counters = YamuxCounters()

    /// Why the session ended; `nil` while it goes on.
    public private(set) var closeReason: YamuxSessionError?
    /// Whether the peer announced that it will end the session.
    public internal(set) var hasPeerGoneAway = false
    /// Whether streams of the peer are turned away; see ``stopAccepting()``.
    public private(set) var isAccepting = true

    /// Received bytes that were not read yet, on all streams.
    public internal(set) var receivedByteCount = 0
    /// Written bytes that were not sent yet, on all streams.
    public internal(set) var unsentByteCount = 0
    /// The smoothed round trip time, once measured. Sessions that carry data measure by themselves, at most each 30 s.
    public internal(set) var roundTrip: Duration?

    /// All open streams, in no order; an array, because its elements are read and changed in their place.
    var streams: [YamuxStream] = []
    /// Where each stream stands in `streams`.
    var indices: [YamuxStreamID: Int] = [:]
    var inboundStreamCount = 0
    var unacceptedStreamCount = 0
    var unacknowledgedStreamCount = 0
    var hasWaitingOpener = false
    var windowGrowthByteCount = 0
    /// The number of the next stream that we open.
    var nextStreamNumber: UInt32
    /// Tells streams apart that have the same number one after the other.
    var nextSerial: UInt64 = 0
    /// The highest number of the streams that the peer has opened.
    var highestInboundNumber: UInt32 = 0

    var input = Input.header
    var partialHeader = YamuxPartialHeader()
    var refusals = YamuxAllowance()
    var peerResets = YamuxAllowance()
    var ping = Ping()

    var goAway: YamuxGoAwayCode?
    var pongs = YamuxQueue<UInt32>()
    var resets = YamuxQueue<(id: YamuxStreamID, code: UInt32)>()
    /// Streams that owe the peer a SYN, an ACK or a window update.
    var controls = YamuxStreamQueue()
    /// Streams that have data to send, or their end, in the order of their turns.
    var senders = YamuxStreamQueue()
    var events = YamuxQueue<YamuxEvent>()

    public init(_ role: YamuxRole, limits: YamuxLimits = YamuxLimits()) {
        self.role = role
        self.limits = limits
        self.nextStreamNumber = role == .dialer ? 1 : 2
    }

    /// Bytes that the session holds for its users: received and not read, written and not sent.
    public var bufferedByteCount: Int { self.receivedByteCount + self.unsentByteCount }

    /// How many streams are open, of either side.
    public var streamCount: Int { self.streams.count }

    /// What happened next; `nil` when all is told.
    public mutating func nextEvent() -> YamuxEvent? { self.events.popFirst() }
}

// MARK: - The session as a whole

extension YamuxSession {
    /// Turns the peer's new streams away from now on; open ones go on.
    ///
    /// The first half of an orderly end. ``close(_:)`` is the other, once ``streamCount`` is 0: a go-away cannot come earlier,
    /// because go-libp2p drops its streams when it sees one.
    public mutating func stopAccepting() { self.isAccepting = false }

    /// Ends the session and all its streams. ``fill(_:now:)`` then gives the go-away and nothing else.
    public mutating func close(_ code: YamuxGoAwayCode = .normal) {
        self.end(.endedHere(code), telling: code)
    }

    /// The connection below has ended: so has the session, and there is nobody to tell.
    public mutating func connectionEnded() { self.end(.connectionEnded, telling: nil) }

    /// Asks the peer for a sign of life. ``YamuxEvent/pingAnswered(roundTrip:)`` is its answer.
    ///
    /// A ping that is under way serves for this one too.
    public mutating func sendPing() {
        guard self.closeReason == nil else { return }
        self.ping.request()
    }

    /// Asks anew although an earlier ping has no answer: go-yamux drops pings when it is busy, and one that was lost must not make a peer
    /// that lives seem dead.
    public mutating func sendPingAgain() {
        guard self.closeReason == nil else { return }
        self.ping.repeatRequest()
    }

    /// When the ping was sent that has no answer yet; `nil` when there is none.
    public var unansweredPing: Duration? { self.ping.sent }

    mutating func end(_ reason: YamuxSessionError, telling code: YamuxGoAwayCode?) {
        guard self.closeReason == nil else { return }
        self.closeReason = reason
        self.goAway = code
        self.streams = []
        self.indices = [:]
        self.inboundStreamCount = 0
        self.unacceptedStreamCount = 0
        self.unacknowledgedStreamCount = 0
        self.windowGrowthByteCount = 0
        self.receivedByteCount = 0
        self.unsentByteCount = 0
        self.pongs.removeAll()
        self.resets.removeAll()
        self.controls.removeAll()
        self.senders.removeAll()
        self.ping = Ping()
        self.events.append(.closed(reason))
    }

    mutating func end(_ violation: YamuxViolation) {
        self.counters.violations += 1
        self.end(.violation(violation), telling: .protocolError)
    }
}
