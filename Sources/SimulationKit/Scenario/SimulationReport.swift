/// What a run of the network scenario came to.
public struct SimulationReport: Sendable {
    public let seed: UInt64
    public let hostCount: Int
    /// See ``NetworkScenario/floodsOwnMessages``.
    public let floodsOwnMessages: Bool
    public internal(set) var violations: [NetworkViolation] = []
    /// Of two runs of one seed it is the same.
    public internal(set) var digest = EventDigest()
    public internal(set) var virtualTime = Duration.zero

    public internal(set) var messageCount = 0
    /// Of each message to each subscriber that it had to reach: after how many heartbeats it was there.
    public internal(set) var deliveries = Figures()
    /// Deliveries that were not asked for, while a cut had left its pipes hanging: to hosts whose meshes lay wholly across it.
    public internal(set) var excusedDeliveryCount = 0
    /// Mesh peers of each subscriber, each time when the network had settled.
    public internal(set) var meshDegrees = Figures()
    /// See ``NetworkScenario/slowReaderCount``.
    public internal(set) var slowReaderCount = 0
    /// Of each message to each slow reader: after how many heartbeats it was there.
    public internal(set) var slowDeliveries = Figures()
    public internal(set) var valueCount = 0
    /// Values that were put while the network was cut and that not everybody found afterwards before they were put again.
    public internal(set) var putAgainCount = 0
    /// Of each value that was found.
    public internal(set) var hops = Figures()
    /// Seconds of virtual time that this took.
    public internal(set) var lookupSeconds = Figures()
    /// Bytes that each host sent.
    public internal(set) var sentBytes = Figures()
    /// Connections of each host at the end.
    public internal(set) var connections = Figures()
    public internal(set) var counters = NetworkCounters()

    public var hasPassed: Bool { self.violations.isEmpty }
}

/// Measured values, and what is said of many of them.
public struct Figures: Equatable, Sendable {
    private var values: [Double] = []

    public init() {}

    public mutating func add(_ value: Double) { self.values.append(value) }
    public mutating func add(_ other: Figures) { self.values += other.values }

    public var count: Int { self.values.count }
    public var minimum: Double { self.values.min() ?? 0 }
    public var maximum: Double { self.values.max() ?? 0 }
    public var mean: Double { self.values.isEmpty ? 0 : self.values.reduce(0, +) / Double(self.values.count) }

    /// The least value that is not below this share of all.
    public func quantile(_ share: Double) -> Double {
        guard !self.values.isEmpty else { return 0 }
        let index = Int((share * Double(self.values.count)).rounded(.up)) - 1
        return self.values.sorted()[min(max(0, index), self.values.count - 1)]
    }
}

extension Duration {
    /// Seconds, as a number that is not exact.
    var seconds: Double {
        let (seconds, attoseconds) = self.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
