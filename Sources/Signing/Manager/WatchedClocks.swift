internal import Synchronization

/// A manager's clocks. Its sessions ask them too, each right before it uses secret nonces: the look that the manager takes when it is
/// called may be long ago by then, for in between a journal was waited for.
final class WatchedClocks: Sendable {
    private struct State {
        var clocks = ClockGuard()
        var jumpCount = 0
    }

    private let state = Mutex(State())
    private let now: @Sendable () -> (wall: Duration, running: Duration)

    /// - Parameter now: time of day, and time since the start, as `ClockGuard` takes them.
    init(now: @escaping @Sendable () -> (wall: Duration, running: Duration)) { self.now = now }

    /// How often the clocks went apart since the first look. Whoever asks looks; that another asked first hides no jump.
    func countJumps() -> Int {
        self.state.withLock { state in
            let (wall, running) = self.now()
            if state.clocks.hasJumped(wall: wall, running: running) { state.jumpCount += 1 }
            return state.jumpCount
        }
    }
}
