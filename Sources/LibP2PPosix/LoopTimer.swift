internal import Dispatch

/// The one timer of something on a loop. It may fire too early, when what it was set for has gone, and is set again then: so it is
/// seldom set.
struct LoopTimer {
    private let queue: DispatchQueue
    private var timer: (any DispatchSourceTimer)?
    private var armedAt: Duration?

    init(queue: DispatchQueue) { self.queue = queue }

    /// Has `notify` called when the time has come, unless it will be sooner anyway.
    mutating func arm(_ deadline: Duration, now: Duration, _ notify: @escaping @Sendable () -> Void) {
        if let armedAt = self.armedAt, armedAt <= deadline { return }
        self.armedAt = deadline
        let timer = self.timer ?? DispatchSource.makeTimerSource(queue: self.queue)
        if self.timer == nil {
            timer.setEventHandler(handler: notify)
            timer.schedule(deadline: .distantFuture)
            timer.resume()
            self.timer = timer
        }
        // At most a day ahead: the rest is for the next time.
        let wait = min(max(deadline - now, .zero), .seconds(86_400))
        timer.schedule(deadline: .now() + DispatchTimeInterval(wait), leeway: .milliseconds(1))
    }

    /// It has fired.
    mutating func fired() { self.armedAt = nil }

    mutating func cancel() {
        self.timer?.cancel()
        self.timer = nil
    }
}
