/// Notices that the machine's clocks went apart: the mark of a snapshot that was resumed, whose memory may live twice.
///
/// A wall clock that is set by hand looks the same; that costs fresh nonces and nothing else.
public struct ClockGuard: Sendable {
    /// How far the two clocks may drift apart between two looks. Time services correct by less without a jump.
    public static let driftMax: Duration = .seconds(10)

    private var last: (wall: Duration, running: Duration)?

    public init() {}

    /// Whether the clocks went apart since the last call.
    ///
    /// - Parameters:
    ///   - wall: time of day, since any fixed moment.
    ///   - running: time since the machine started, its sleep included.
    public mutating func hasJumped(wall: Duration, running: Duration) -> Bool {
        defer { self.last = (wall, running) }
        guard let last else { return false }
        let drift = (wall - last.wall) - (running - last.running)
        return drift > Self.driftMax || drift < .zero - Self.driftMax
    }
}
