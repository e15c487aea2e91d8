/// A measure that fills with time and is drawn from.
struct KadRate: Sendable {
    let burst: Int
    let perSecond: Int
    private var level: Double
    private var at: Duration

    init(burst: Int, perSecond: Int, now: Duration) {
        self.burst = burst
        self.perSecond = perSecond
        self.level = Double(burst)
        self.at = now
    }

    /// Draws so much, if it is there.
    mutating func take(_ amount: Int, now: Duration) -> Bool {
        self.fill(now: now)
        guard self.level >= Double(amount) else { return false }
        self.level -= Double(amount)
        return true
    }

    mutating func isFull(now: Duration) -> Bool {
        self.fill(now: now)
        return self.level >= Double(self.burst)
    }

    private mutating func fill(now: Duration) {
        guard now > self.at else { return }
        let parts = (now - self.at).components
        let seconds = Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
        self.level = min(Double(self.burst), self.level + seconds * Double(self.perSecond))
        self.at = now
    }
}

/// What one peer may ask of us.
struct KadRates: Sendable {
    var requests: KadRate
    var records: KadRate
    var answerBytes: KadRate
    /// Whose it is, as ``ConnectionInfo/household`` says.
    let household: [UInt8]

    init(_ configuration: KadDHT.Configuration, household: [UInt8], now: Duration) {
        self.household = household
        self.requests = KadRate(burst: configuration.requestBurst, perSecond: configuration.requestsPerSecond, now: now)
        self.records = KadRate(burst: configuration.recordBurst, perSecond: configuration.recordsPerSecond, now: now)
        self.answerBytes = KadRate(burst: configuration.answerByteBurst, perSecond: configuration.answerBytesPerSecond, now: now)
    }

    /// Whether forgetting them would give the peer nothing.
    mutating func areFull(now: Duration) -> Bool {
        self.requests.isFull(now: now) && self.records.isFull(now: now) && self.answerBytes.isFull(now: now)
    }
}
