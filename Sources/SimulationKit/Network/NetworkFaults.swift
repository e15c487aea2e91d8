internal import LibP2P

/// What a simulated network does to its connections. May be changed while the network runs; what is under way then keeps its time.
public struct NetworkFaults: Equatable, Sendable {
    /// How long bytes travel one way. Each pair of hosts has one value of the range, which follows from the network's seed.
    public var delay: ClosedRange<Duration> = .milliseconds(1) ... .milliseconds(1)
    /// What is added to that at most, drawn for each piece. Nothing overtakes anything in one pipe.
    public var jitter: Duration = .zero
    /// How likely a dial leads nowhere.
    public var dialFailureProbability = 0.0
    /// Which part of those dials is not even refused: no answer ever comes.
    public var silentFailureShare = 0.0
    /// After how long a pipe breaks, on average (exponentially distributed); `nil`: never.
    public var pipeLifetime: Duration?
    /// Which part of the pipes that break do so without a sign: bytes vanish, and neither end is told.
    public var silentBreakShare = 0.0
    /// What one host sends in a second, all its pipes together; `nil`: as much as it likes.
    public var uplinkBytesPerSecond: Int?
    /// Bytes that may be under way in one direction of a pipe, those that the other host has not read yet included.
    public var windowByteCount = 262_144
    /// How likely a piece is cut in two on its way.
    public var cutProbability = 0.0

    /// A network that takes a millisecond and has no faults.
    public init() {}

    /// What many machines far from each other see: up to a tenth of the dials fail, and now and then a connection breaks.
    public static let internet: NetworkFaults = {
        var faults = NetworkFaults()
        (faults.delay, faults.jitter) = (.milliseconds(5) ... .milliseconds(120), .milliseconds(20))
        (faults.dialFailureProbability, faults.silentFailureShare) = (0.05, 0.3)
        (faults.pipeLifetime, faults.silentBreakShare) = (.seconds(1_200), 0.25)
        (faults.uplinkBytesPerSecond, faults.cutProbability) = (4_000_000, 0.05)
        return faults
    }()
}

/// What happened in a simulated network so far.
public struct NetworkCounters: Equatable, Sendable {
    public internal(set) var dials = 0
    public internal(set) var failedDials = 0
    /// Pipes that were connected.
    public internal(set) var pipes = 0
    public internal(set) var brokenPipes = 0
    /// Bytes that arrived.
    public internal(set) var byteCount = 0
    /// Pieces that they came in.
    public internal(set) var pieceCount = 0
    public internal(set) var tickCount = 0
}
