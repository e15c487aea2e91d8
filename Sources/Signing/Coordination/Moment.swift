/// The time as a machine is told it: by a clock that never goes back, and of the day.
public struct Moment: Hashable, Sendable {
    /// Since any fixed moment, by a clock that never goes back and that goes on while the machine sleeps.
    public let uptime: Duration
    /// Seconds since 1970, which may be wrong: only expiries are compared with it.
    public let time: UInt64

    public init(uptime: Duration, time: UInt64) {
        self.uptime = uptime
        self.time = time
    }
}
