/// How often each of many may do something: so many times at once, and then once in an interval.
///
/// One time is kept for each: when it would have its whole burst again (the generic cell rate algorithm, ITU-T I.371). Whoever has is
/// forgotten without loss. The table is bounded; whom there is no room for is not counted here, so a limit that counts by something that
/// strangers cannot make up goes beside it.
struct RateTable<Key: Hashable & Sendable>: Sendable {
    private let burst: Int
    private let interval: Duration
    private let countMax: Int
    private var fullAt: [Key: Duration] = [:]

    init(burst: Int, interval: Duration, countMax: Int) {
        precondition(burst > 0 && interval > .zero && countMax > 0, "a rate lets something through")
        self.burst = burst
        self.interval = interval
        self.countMax = countMax
    }

    var count: Int { self.fullAt.count }

    /// Counts one, if it may.
    mutating func take(_ key: Key, now: Duration) -> Bool {
        let full = max(self.fullAt[key] ?? now, now)
        guard full - now <= self.interval * (self.burst - 1) else { return false }
        if self.fullAt[key] == nil, self.fullAt.count >= self.countMax { self.fullAt = self.fullAt.filter { $0.value > now } }
        if self.fullAt[key] != nil || self.fullAt.count < self.countMax { self.fullAt[key] = full + self.interval }
        return true
    }
}
