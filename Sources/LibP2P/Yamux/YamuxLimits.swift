/// How much of everything a session holds. Counts of bytes are payload; the overhead of keeping them is at most as much again.
public struct YamuxLimits: Equatable, Sendable {
    /// Bytes that either side may send on a new stream before it hears from the other.
    ///
    /// Fixed by the specification: hashicorp/yamux, spec.md, "Flow Control".
    public static let initialWindowByteCount = 262_144

    /// Streams of the peer open at the same time. Further ones are reset.
    public var inboundStreamCountMax = 1_024

    /// Streams of the peer that ``YamuxSession/accept(_:)`` has not been called for. Further ones are reset.
    ///
    /// Source: libp2p's yamux specification, "ACK backlog & backpressure", lets a peer open 256 without an answer.
    public var unacceptedStreamCountMax = 256

    /// Streams of ours that the peer has not acknowledged. Source: as above.
    public var unacknowledgedStreamCountMax = 256

    /// The most that a stream's receive window grows to, in bytes. As in go-yamux.
    public var receiveWindowByteCountMax = 16_777_216

    /// By how much the receive windows of all streams may exceed their initial size together, in bytes.
    public var windowGrowthByteCountMax = 33_554_432

    /// Received bytes that wait to be read on all streams together. A stream whose data would exceed it is reset.
    ///
    /// It lies above what 100 streams with full windows and all growth hold, so that only a hoarder meets it.
    public var receiveBufferByteCountMax = 67_108_864

    /// Bytes that wait to be sent on one stream, beyond which it takes no further ones.
    public var sendBufferByteCountMax = 262_144

    /// Answers to pings that wait to be sent. Further pings stay unanswered: who floods does not measure. As in go-yamux.
    public var pongCountMax = 32

    /// Resets that wait to be sent. A peer that causes more without reading them ends the session.
    public var queuedResetCountMax = 4_096

    /// How many streams beyond the limits are forgiven at once; ``forgivenPerSecond`` come back.
    public var refusalCountMax = 4_096

    /// How many resets by the peer of its own streams are forgiven at once; ``forgivenPerSecond`` come back.
    public var peerResetCountMax = 1_024

    /// How fast the two counts above recover.
    ///
    /// Faster than a program cancels streams that it meant, and far slower than one that opens them only to reset them.
    public var forgivenPerSecond = 128

    public init() {}
}

/// What a session has seen that an honest peer seldom does.
public struct YamuxCounters: Equatable, Sendable {
    /// Streams of the peer that were reset because a limit was reached.
    public internal(set) var refusedStreams = 0
    /// Streams of the peer that it reset itself.
    public internal(set) var peerResets = 0
    /// Frames for streams that had ended here: usual after a reset of ours, which they crossed.
    public internal(set) var lateFrames = 0
    /// Bytes of data that were thrown away, for whatever reason.
    public internal(set) var discardedByteCount = 0
    /// Streams reset because the peer sent data after it had closed its direction.
    public internal(set) var dataAfterEnd = 0
    /// Streams reset because ``YamuxLimits/receiveBufferByteCountMax`` was reached.
    public internal(set) var bufferOverflows = 0
    /// Pings that were left unanswered.
    public internal(set) var unansweredPings = 0
    /// Answers to pings that were never sent, or answered before.
    public internal(set) var unexpectedPongs = 0
    /// 1 once the peer has broken a rule; the session then ends.
    public internal(set) var violations = 0

    /// Adds what another session has seen.
    mutating func add(_ other: YamuxCounters) {
        self.refusedStreams += other.refusedStreams
        self.peerResets += other.peerResets
        self.lateFrames += other.lateFrames
        self.discardedByteCount += other.discardedByteCount
        self.dataAfterEnd += other.dataAfterEnd
        self.bufferOverflows += other.bufferOverflows
        self.unansweredPings += other.unansweredPings
        self.unexpectedPongs += other.unexpectedPongs
        self.violations += other.violations
    }
}

/// A number of things forgiven at once, which comes back with time.
struct YamuxAllowance: Equatable, Sendable {
    private var spent = 0
    private var since = Duration.zero

    /// Spends one; `false` when none is left.
    mutating func spend(of count: Int, perSecond: Int, now: Duration) -> Bool {
        // A second is the grain: what is left of one goes on counting.
        let seconds = (now - self.since).components.seconds
        if seconds > 0 {
            let (returned, overflow) = Int(seconds).multipliedReportingOverflow(by: perSecond)
            self.spent = overflow ? 0 : max(0, self.spent - returned)
            self.since += .seconds(seconds)
        }
        guard self.spent < count else { return false }
        self.spent += 1
        return true
    }
}
