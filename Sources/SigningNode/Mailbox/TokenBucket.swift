/// A measure that fills with time and is drawn from. How much that is, is the caller's to say: requests, bytes.
struct TokenBucket: Hashable, Sendable {
    private let burst: Int
    private let perSecond: Int
    /// Below zero for what was drawn on trust.
    private var level: Double
    private var filledAt: Duration

    init(burst: Int, perSecond: Int, now: Duration) {
        self.burst = burst
        self.perSecond = perSecond
        self.level = Double(burst)
        self.filledAt = now
    }

    /// Whether so much is there; nothing is drawn.
    mutating func holds(_ amount: Int, now: Duration) -> Bool {
        if now > self.filledAt {
            self.level = min(Double(self.burst), self.level + (now - self.filledAt) / .seconds(1) * Double(self.perSecond))
            self.filledAt = now
        }
        return self.level >= Double(amount)
    }

    /// Whether nothing was drawn that is not made up for.
    func isFull(now: Duration) -> Bool {
        let filled = now > self.filledAt ? (now - self.filledAt) / .seconds(1) * Double(self.perSecond) : 0
        return self.level + filled >= Double(self.burst)
    }

    /// Draws so much, whether it is there or not: what follows waits until it is made up for.
    mutating func draw(_ amount: Int) { self.level -= Double(amount) }
}
