internal import CryptoPrimitives
public import LibP2P

/// A network's life in one run: nodes join, publish, put and find values; the network is cut and heals; some nodes crash and come
/// back. After each step it is checked what must hold of it.
///
///     let report = try NetworkScenario(hostCount: 50, seed: 7).run()
///     for violation in report.violations { print(violation) }
///
/// Seeds differ in more than chance: in how many fail to connect, in what breaks, and in how the network is cut.
public struct NetworkScenario: Sendable {
    public var hostCount: Int
    public var seed: UInt64
    public var faults: NetworkFaults
    public var bounds = NetworkBounds()
    /// Messages that are published in each step.
    public var messageCount = 6
    /// Values that are put in each step, and by how many hosts each is looked for.
    public var valueCount = 3
    public var readerCount = 4
    /// k of the hash table: so many hosts keep each value. Kademlia's 20 is for networks where nobody knows a large part of the others;
    /// below 200 hosts it would have everyone connect to everyone.
    public var replicationCount: Int
    /// How long the cut lasts.
    public var cutTime = Duration.seconds(15)
    /// How long a network may take to be one again.
    public var healingTime = Duration.seconds(60)
    /// For tests of the checks: hosts that pass no message on.
    public var silentHosts: Set<Int> = []
    /// For tests of the checks: changes a node's configuration.
    public var configure: @Sendable (_ host: Int, inout Node.Configuration) -> Void = { _, _ in }

    /// How long a network is left alone before its meshes are looked at.
    static let settlingTime = Duration.seconds(8)
    /// Hosts through which the others join.
    static let bootstrapCount = 3
    /// Connections beyond which a node closes the least used ones, and down to how many: what keeps a network of a thousand nodes from
    /// being a thousand times a thousand connections.
    static let connectionCounts = (highWater: 160, trimmed: 128)

    /// Keys that one host has in guarded memory at most: one for each end of a connection, three while it is in its handshake.
    public static let keyCountOfHostMax = 512

    public init(hostCount: Int, seed: UInt64) {
        self.hostCount = hostCount
        self.seed = seed
        self.faults = Self.faults(of: seed)
        self.replicationCount = hostCount < 200 ? 8 : 20
    }

    /// The network that a seed has: from quiet to stormy.
    static func faults(of seed: UInt64) -> NetworkFaults {
        var random = SeededRandom(seed: seed ^ 0x6661_756c_7473)
        var faults = NetworkFaults.internet
        let longest = Int.random(in: 20...150, using: &random)
        faults.delay = .milliseconds(Int.random(in: 1...10, using: &random)) ... .milliseconds(longest)
        faults.jitter = .milliseconds(Int.random(in: 0...30, using: &random))
        faults.dialFailureProbability = [0, 0.02, 0.1, 0.2].randomElement(using: &random) ?? 0
        faults.silentFailureShare = [0, 0.3, 1].randomElement(using: &random) ?? 0
        faults.pipeLifetime = [nil, .seconds(1_200), .seconds(300)].randomElement(using: &random) ?? nil
        faults.silentBreakShare = [0, 0.25, 0.5].randomElement(using: &random) ?? 0
        faults.uplinkBytesPerSecond = [nil, 4_000_000, 1_000_000].randomElement(using: &random) ?? nil
        return faults
    }

    /// - Parameter progress: told what begins, and at what virtual time.
    public func run(progress: (_ step: String, _ now: Duration) -> Void = { _, _ in }) throws -> SimulationReport {
        var run = try NetworkRun(self)
        try run.perform(progress)
        return run.report
    }
}
