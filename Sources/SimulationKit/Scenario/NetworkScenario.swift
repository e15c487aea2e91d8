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
    public var readerCount = Self.readerCount
    /// k of the hash table: so many hosts keep each value. Kademlia's 20 is for networks where nobody knows a large part of the others;
    /// below 200 hosts it would have everyone connect to everyone.
    public var replicationCount: Int
    /// In how many of its buckets a host that joins looks for others. With fewer than 200 hosts it would meet nearly all of them there,
    /// and nothing would be left for meshes and lookups to do; with more, those of the far half and the next quarter are enough.
    public var refreshedBucketCount: Int
    /// Whether messages go from their publisher to all its peers, as gossipsub 1.1 has it, or to its mesh alone, which then has to bring
    /// them to everybody. Unless it is set, every second seed leaves it to the meshes.
    public var floodsOwnMessages: Bool
    /// Only the hash table is tried: hosts join, put and find values, and nothing else happens.
    public var isOfValuesOnly = false
    /// Hosts that read slowly, or for a while not at all, while messages are published: nobody else may have to wait for them, and they get
    /// everything once they read again. Unless it is set, a seed has none to three.
    public var slowReaderCount: Int
    /// How long the cut lasts.
    public var cutTime = Duration.seconds(10)
    /// How long a network may take to be one again.
    public var healingTime = Duration.seconds(60)
    /// For tests of the checks: hosts that pass no message on.
    public var silentHosts: Set<Int> = []
    /// For tests of the checks: hosts that swallow the messages that reach them.
    public var deafHosts: Set<Int> = []
    /// For tests of the checks: changes a node's configuration.
    public var configure: @Sendable (_ host: Int, inout Node.Configuration) -> Void = { _, _ in }

    /// Hosts that look for each value, unless others are asked for.
    public static let readerCount = 4

    /// How long a network is left alone before its meshes are looked at: some heartbeats, each of which fills and prunes.
    static let settlingTime = Duration.seconds(5)
    /// Within so long all hosts have started. Of two that dial each other at the same moment both connections stay, so that a network that
    /// starts at once has many of them.
    static let startingTime = Duration.seconds(2)
    /// From so many hosts on a network's hash table is as large networks have it.
    static let largeHostCount = 200
    /// What a slow reader takes in a second: from a pace at which even its heartbeats' gossip waits to that of a poor line.
    static let slowReadingRates = [10_000, 40_000, 150_000]
    /// Or how long it takes nothing, in seconds: less than after which a peer that takes nothing loses its connection.
    static let stalledSeconds = 3...20
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
        self.floodsOwnMessages = seed.isMultiple(of: 2)
        var random = SeededRandom(seed: seed ^ 0x736c_6f77)
        self.slowReaderCount = min(Int.random(in: 0...3, using: &random), hostCount / 4)
        self.replicationCount = hostCount < Self.largeHostCount ? 8 : 20
        self.refreshedBucketCount = hostCount < Self.largeHostCount ? 0 : 2
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
