import CryptoPrimitives
import SimulationKit

/// `chorale simulate network`: nodes of libp2p join, publish, put and find values, are cut apart and crash.
enum SimulateNetworkCommand {
    private static let nodes = Argument.option(
        "nodes", "N", default: 50, help: "how many nodes", parse: Parsing.integer(2...10_000))
    private static let seed = Argument.option(
        "seed", "S", default: 1, help: "what everything follows from", parse: Parsing.integer(0...Int.max))
    private static let seeds = Argument.option(
        "seeds", "K", default: 1, help: "how many seeds to run, from --seed on", parse: Parsing.integer(1...1_000_000))
    private static let readers = Argument.option(
        "readers", "R", default: NetworkScenario.readerCount, help: "how many nodes look for each value",
        parse: Parsing.integer(1...10_000))
    private static let valuesOnly = Argument.flag(
        "values-only", help: "nodes only join, put and find values: no messages, no cut, no crashes")
    private static let heartbeats = Argument.option(
        "heartbeats", "H", default: NetworkBounds().deliveryHeartbeatCountMax, help: "within so many heartbeats messages must arrive",
        parse: Parsing.integer(0...1_000))
    private static let hops = Argument.option(
        "hops", "P", default: NetworkBounds().hopCountMax, help: "within so many hops values must be found",
        parse: Parsing.integer(0...1_000))

    static let command = Command(
        "network", summary: "run a network of nodes through faults, and check what must hold of it",
        discussion: """
            Nodes join through three of them, exchange messages over gossipsub and keep values in the hash table. The network delays, \
            refuses and breaks connections; up to three nodes read slowly, or nothing for a while; it is cut in two and heals; a tenth of \
            the nodes crash and come back.

            It is checked that each message reaches every connected subscriber within 5 heartbeats, that meshes have 5 to 12 peers, \
            that every value is found within 5 hops, and that messages and values cross again where the network was cut: also such as were \
            put meanwhile, which are put again where not everybody finds them. Slow readers hold up nobody else, and get everything once \
            they read again. What does not hold is told with the command that replays it, and the exit code is then 1.

            How fast connections are and how often they break differs from seed to seed. With odd seeds, own messages go to the mesh \
            alone; with even ones to all peers at once, as is usual.
            """,
        items: [
            .argument(nodes), .argument(seed), .argument(seeds), .argument(readers), .argument(valuesOnly), .argument(heartbeats),
            .argument(hops), .argument(SimulationJobs.argument), .argument(.json),
        ],
        examples: [
            Command.Example("one network of 50 nodes", "chorale simulate network"),
            Command.Example("a thousand nodes", "chorale simulate network --nodes 1000 --seed 7"),
            Command.Example("200 networks, each from a seed of its own", "chorale simulate network --nodes 50 --seeds 200"),
            Command.Example("every node looks for every value", "chorale simulate network --nodes 500 --values-only --readers 500"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        let first = arguments[Self.seed]
        guard first <= Int.max - arguments[Self.seeds] else {
            throw arguments.refused(.inconsistent("there are not so many seeds after --seed: choose a smaller one"))
        }
        let jobs = SimulationJobs.count(arguments[SimulationJobs.argument], of: arguments[Self.seeds])
        try Self.makeRoomForKeys(nodeCount: arguments[Self.nodes], jobs: jobs)
        let start = ContinuousClock.now
        let scenarios = (0..<arguments[Self.seeds]).map { number in
            var scenario = NetworkScenario(hostCount: arguments[Self.nodes], seed: UInt64(first + number))
            scenario.readerCount = arguments[Self.readers]
            scenario.isOfValuesOnly = arguments[Self.valuesOnly]
            scenario.bounds.deliveryHeartbeatCountMax = arguments[Self.heartbeats]
            scenario.bounds.hopCountMax = arguments[Self.hops]
            return scenario
        }
        let reports = try await Self.run(scenarios, jobs: jobs)
        let summary = NetworkSummary(
            reports: reports, nodeCount: arguments[Self.nodes], replayOptions: Self.replayOptions(arguments), jobs: jobs,
            wallTime: ContinuousClock.now - start)
        if arguments[.json] {
            try console.print(summary.json)
        } else {
            try console.print(summary.report(style: console.style).lines)
        }
        for line in summary.violationLines { console.note(line) }
        guard summary.hasPassed else {
            throw .failed("what must hold of a network did not, in \(Amounts.count(summary.failed.count, "network"))")
        }
    }

    /// What else decides what happens in a network, and what is a violation: options that are not as they are by themselves.
    private static func replayOptions(_ arguments: Arguments) -> [String] {
        let options = [
            ("--readers", arguments[Self.readers], NetworkScenario.readerCount),
            ("--heartbeats", arguments[Self.heartbeats], NetworkBounds().deliveryHeartbeatCountMax),
            ("--hops", arguments[Self.hops], NetworkBounds().hopCountMax),
        ]
        return (arguments[Self.valuesOnly] ? ["--values-only"] : [])
            + options.flatMap { name, value, usual in value == usual ? [] : [name, "\(value)"] }
    }

    /// Keys of simulated nodes are secret to nobody, so the memory that they lie in need not be locked; it must hold those of all
    /// connections at once.
    private static func makeRoomForKeys(nodeCount: Int, jobs: Int) throws(CommandError) {
        let slotCount = nodeCount * jobs * NetworkScenario.keyCountOfHostMax
        // An arena has at most 16 GiB; whoever asks for more networks than fit is told when it is full.
        let byteCount = min(1 << 34, max(4 << 20, slotCount * SecretArena.slotByteCount))
        do throws(SecretMemoryError) {
            try SecretArena.configure(SecretArena.Configuration(byteCount: byteCount, lockPolicy: .allowUnlocked))
        } catch {
            throw .failed("there is no room for the keys of so many nodes: \(error)")
        }
    }

    /// Runs networks, so many at a time.
    ///
    /// - Returns: the reports, in the order of the scenarios.
    private static func run(_ scenarios: [NetworkScenario], jobs: Int) async throws(CommandError) -> [SimulationReport] {
        // A log of hundreds of networks need not have a line a second.
        let line = ProgressLine(pause: .seconds(10))
        defer { line.finish() }
        var reports: [(index: Int, report: SimulationReport)] = []
        try await SimulationJobs.run(scenarios.count, jobs: jobs) { (index) throws(CommandError) in
            do {
                return try scenarios[index].run { step, now in
                    if scenarios.count == 1 { line.announce("\(step), at \(now.wholeSeconds) s") }
                }
            } catch { throw .failed("the network of seed \(scenarios[index].seed) cannot run: \(error)") }
        } take: { index, report in
            reports.append((index, report))
            if scenarios.count > 1 { line.update("Networks", done: reports.count, of: scenarios.count) }
        }
        return reports.sorted { $0.index < $1.index }.map(\.report)
    }
}

extension Duration {
    fileprivate var wholeSeconds: Int64 { self.components.seconds }
}
