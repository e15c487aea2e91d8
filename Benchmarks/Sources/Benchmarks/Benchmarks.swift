import CryptoPrimitives
import Foundation

/// `make bench`: the Swift API beside the same calls from C, in one run.
@main struct Benchmarks {
    static let usage = """
        usage: make bench [ARGS="--quick --check --only SECTION... --output FOLDER"]

          --quick           a short run: fewer rounds, no 47-of-50
          --check           end with 1 when a row is over its budget, once everything is written
          --only SECTION    operations, sessions, policies, memory, hashing, store, coordination or network; may stand several times
          --output FOLDER   where results.json, coordination.json, network.json and the pictures go (default: Benchmarks/results; with
                            --only nowhere)
        """

    static func main() async throws {
        let options: Options
        do { options = try Options(CommandLine.arguments.dropFirst()) } catch {
            FileHandle.standardError.write(Data("bench: \(error.problem)\n\(Self.usage)\n".utf8))
            exit(2)
        }
        let machine = Machine()
        print(machine.description)
        print("Medians of interleaved batches, in CPU time of one thread unless a row says otherwise.")

        let recorder = Recorder()
        let load = Machine.load
        // First, while the process's memory is untouched.
        let held = options.runs(.coordination) ? try await NodeBenchmarks.liveRequestMemory(count: options.isQuick ? 200 : 1_000) : nil
        let memory = try await Self.run(options, machine, recorder)
        let store = options.runs(.store) ? try await Self.runStore(options) : []
        let results = Results(machine: machine, rows: recorder.rows, memory: memory, store: store, isQuick: options.isQuick)
        var coordination: CoordinationResults?
        if let held {
            let rows = try await Self.runCoordination(options, held)
            coordination = CoordinationResults(machine: machine, rows: rows, isQuick: options.isQuick, loadAtStart: load)
        }
        let network = options.runs(.network) ? try Self.runNetwork(options, machine) : nil
        if let folder = options.output {
            if !recorder.rows.isEmpty || !store.isEmpty { try results.write(to: folder) }
            try coordination?.write(to: folder)
            try network?.write(to: folder)
            print("\nWritten: JSON and pictures in \(folder.path(percentEncoded: false))")
        }
        let over = results.overBudget
        let slow = network?.rows.filter { $0.isWithinBudget == false } ?? []
        let dear = coordination?.overBudget ?? []
        let count = recorder.rows.count + (network?.rows.count ?? 0) + (coordination?.rows.count ?? 0)
        let overCount = over.count + slow.count + dear.count
        print(overCount == 0 ? "\nAll rows are within their budgets." : "\nOver budget: \(overCount) of \(count) rows:")
        for row in over {
            print("  \(row.name)\(row.signers.map { ", n = \($0)" } ?? ""): ratio \(row.ratio.map { decimal($0, 3) } ?? "")")
        }
        for row in dear {
            print("  \(row.name), n = \(row.signers): \(CoordinationTable.number(row.value)) \(row.unit), \(row.budgetText)")
        }
        for row in slow { print("  \(row.name): \(row.medians["chorale"].map(NetworkTable.number) ?? "") \(row.unit), \(row.budgetText)") }
        if options.checksBudgets, overCount > 0 { exit(1) }
    }

    private static func runStore(_ options: Options) async throws -> [StoreBenchmarks.Row] {
        print("\nDecisions made durable, each of one input, in wall time:")
        let rows = try await StoreBenchmarks(isQuick: options.isQuick).run()
        for row in rows {
            let name = row.name.padding(toLength: 60, withPad: " ", startingAt: 0)
            print("  \(name) \(decimal(row.microseconds, 0)) µs, \(decimal(row.perSecond, row.perSecond < 10 ? 1 : 0)) a second")
        }
        return rows
    }

    private static func runCoordination(_ options: Options, _ held: CoordinationRow) async throws -> [CoordinationRow] {
        var (rows, table): ([CoordinationRow], CoordinationTable) = ([], CoordinationTable())
        func report(_ row: CoordinationRow) {
            rows.append(row)
            table.show(row)
            fflush(nil)
        }
        let stopwatch = Stopwatch(sideMicroseconds: options.isQuick ? 60_000 : 600_000)
        try CoordinationBenchmarks(stopwatch: stopwatch, isQuick: options.isQuick, report: report).run()
        try await NodeBenchmarks(isQuick: options.isQuick, report: report).run()
        report(held)
        return rows
    }

    private static func runNetwork(_ options: Options, _ machine: Machine) throws -> NetworkResults {
        let load = Machine.load
        let (kinds, missing) = PeerKind.all()
        let table = NetworkTable(kinds: kinds)
        table.showHead()
        var rows: [NetworkRow] = []
        let benchmarks = NetworkBenchmarks(kinds: kinds, isQuick: options.isQuick) { row in
            rows.append(row)
            table.show(row)
            fflush(nil)
        }
        let agents = try benchmarks.run()
        for kind in kinds { print("  \(kind.name): \(agents[kind.key] ?? "")\(kind.remark.isEmpty ? "" : "; \(kind.remark)")") }
        for line in missing { print("  left out: \(line)") }
        if load > 1 { print("  The machine had other work: \(decimal(load, 1)) processes waited when the run began.") }
        return NetworkResults(machine: machine, kinds: kinds, agents: agents, rows: rows, isQuick: options.isQuick, loadAtStart: load)
    }

    private static func run(_ options: Options, _ machine: Machine, _ recorder: Recorder) async throws -> MemoryBenchmarks.Result? {
        let stopwatch = Stopwatch(sideMicroseconds: options.isQuick ? 60_000 : 600_000)
        let report: (Row) -> Void = { recorder.add($0) }
        var memory: MemoryBenchmarks.Result?
        // First, while the process's memory is untouched.
        if options.runs(.memory) {
            let found = try await MemoryBenchmarks.run(sessions: options.isQuick ? 1_000 : 5_000)
            print("\nMemory of an open session of three signers, over \(found.sessions) of them:")
            print("  \(found.residentBytesPerSession) bytes resident, \(decimal(found.arenaSlotsPerSession, 2)) slots of the arena")
            print("  (a slot has \(SecretArena.slotByteCount) bytes)")
            memory = found
        }
        let groups = try (options.runs(.operations) || options.runs(.sessions)) ? [2, 15, 100, 1_000].map { try Group(count: $0) } : []
        if options.runs(.operations), let first = groups.first {
            try OperationBenchmarks(group: first, stopwatch: stopwatch, report: report).runSingle()
            for group in groups { try OperationBenchmarks(group: group, stopwatch: stopwatch, report: report).runForGroup() }
        }
        if options.runs(.sessions) {
            for group in groups {
                try await SessionBenchmarks(
                    group: group, stopwatch: stopwatch, processorCount: machine.cores, report: report
                ).run()
            }
        }
        if options.runs(.hashing) { try HashBenchmarks(stopwatch: stopwatch, report: report).run() }
        if options.runs(.policies) {
            let policies = PolicyBenchmarks(processorCount: machine.cores, rounds: options.isQuick ? 1 : 9, report: report)
            try await policies.run(threshold: 2, of: 3)
            try await policies.run(threshold: 8, of: 15)
            if !options.isQuick { try await policies.run(threshold: 47, of: 50) }
        }
        return memory
    }
}

/// Rows in the order in which they were measured, shown as they come.
final class Recorder {
    private(set) var rows: [Row] = []
    private var table = Table()

    func add(_ row: Row) {
        self.rows.append(row)
        self.table.show(row)
        // Rows take a while; who watches through a pipe sees them come, too.
        fflush(nil)
    }
}

struct Options {
    enum Section: String { case operations, sessions, policies, memory, hashing, store, coordination, network }
    struct Problem: Error { let problem: String }

    private(set) var isQuick = false
    /// Whether a row over its budget makes the run fail.
    private(set) var checksBudgets = false
    private(set) var output: URL?
    private var only: Set<Section> = []

    init(_ arguments: some Sequence<String>) throws(Problem) {
        var (rest, folder) = (Array(arguments), String?.none)
        while !rest.isEmpty {
            let option = rest.removeFirst()
            switch option {
            case "--quick": self.isQuick = true
            case "--check": self.checksBudgets = true
            case "--only", "--output":
                guard !rest.isEmpty else { throw Problem(problem: "\(option) needs a value") }
                let value = rest.removeFirst()
                if option == "--output" {
                    folder = value
                } else if let section = Section(rawValue: value) {
                    self.only.insert(section)
                } else {
                    throw Problem(problem: "there is no section \(value)")
                }
            default: throw Problem(problem: "unknown option \(option)")
            }
        }
        if let path = folder ?? (self.only.isEmpty ? "Benchmarks/results" : nil) { self.output = URL(filePath: path) }
    }

    func runs(_ section: Section) -> Bool { self.only.isEmpty || self.only.contains(section) }
}
