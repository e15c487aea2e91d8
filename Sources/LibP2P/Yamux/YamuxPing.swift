extension YamuxSession {
    /// Our own ping. One is under way at a time: its answer serves everybody who asked meanwhile.
    struct Ping: Sendable {
        private enum State: Sendable {
            case idle
            case waiting
            case sent(at: Duration)
        }

        private var state = State.idle
        /// What the next ping carries, so that a late answer is not taken for a later ping's.
        private var value: UInt32 = 0
        private var lastSent: Duration?

        var isWaiting: Bool { if case .waiting = self.state { true } else { false } }
        var sent: Duration? { if case .sent(let time) = self.state { time } else { nil } }

        mutating func request() {
            if case .idle = self.state { self.state = .waiting }
        }

        /// Asks anew: the answer to one that is under way may never come.
        mutating func repeatRequest() {
            if case .sent = self.state { self.value &+= 1 }
            self.state = .waiting
        }

        func isDue(after lifetime: Duration, now: Duration) -> Bool {
            guard let lastSent = self.lastSent else { return true }
            return now - lastSent >= lifetime
        }

        /// The time runs from here, and not from when the ping was asked for: output may have stood still.
        mutating func send(now: Duration) -> UInt32 {
            self.state = .sent(at: now)
            self.lastSent = now
            return self.value
        }

        /// - Returns: the round trip time, or `nil` when the answer is none to this ping.
        mutating func answered(_ value: UInt32, now: Duration) -> Duration? {
            guard case .sent(let time) = self.state, value == self.value else { return nil }
            self.state = .idle
            self.value &+= 1
            return max(.zero, now - time)
        }
    }
}
