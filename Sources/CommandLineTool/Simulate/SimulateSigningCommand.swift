import CryptoPrimitives
import SimulationKit

/// `chorale simulate signing`: members sign together while messages are lost, machines crash and some of them cheat.
enum SimulateSigningCommand {
    private static let seeds = Argument.option(
        "seeds", "N", default: 1_000, help: "how many signings", parse: Parsing.integer(1...1_000_000_000))
    private static let firstSeed = Argument.option(
        "first-seed", "S", default: 1, help: "the first one's seed; the others follow", parse: Parsing.integer(0...Int.max))
    private static let members = Argument.optional(
        "members", "M", help: "most members of a group (default: 15, and 7 with --whole-nodes)", parse: Parsing.integer(2...100))
    private static let wholeNodes = Argument.flag(
        "whole-nodes", help: "whole nodes, with their connections, handshakes and disks, in place of the members' machines alone")

    static let command = Command(
        "signing", summary: "have groups sign while machines crash and some cheat",
        discussion: """
            Each seed makes a group of members, all of whom or any k of whom sign, a request, and what happens to it: messages are lost, \
            late, repeated and out of order; the network is cut; machines crash, also while their journal writes, and lose their disks; \
            clocks are wrong; people think, and refuse; members send wrong, malformed and contradicting contributions, flood, slander \
            and keep silent.

            It is checked that no nonce serves two transcripts; that nothing is released before its decision is durable; that nobody \
            honest is blamed; that whatever completes verifies and is the same for all; that a request completes once enough honest \
            members agreed and can talk; that nobody signs who did not agree; and that nobody says more than a bound. What does not \
            hold is told with the seed that replays it, and the exit code is then 1.

            With --whole-nodes each member is a node as chorale runs it, over connections that break and dials that fail, with a disk \
            that takes its time and loses what was under way when the process dies; nobody cheats there.
            """,
        items: [
            .argument(seeds), .argument(firstSeed), .argument(SimulationJobs.argument), .argument(members), .argument(wholeNodes),
            .argument(.json),
        ],
        examples: [
            Command.Example("a thousand signings", "chorale simulate signing"),
            Command.Example("one again, by its seed", "chorale simulate signing --seeds 1 --first-seed 4711"),
            Command.Example("a million on two cores", "chorale simulate signing --seeds 1000000 --jobs 2"),
            Command.Example("a hundred among whole nodes", "chorale simulate signing --whole-nodes --seeds 100"),
        ]
    ) { (arguments, console) async throws(CommandError) in
        let first = arguments[Self.firstSeed]
        guard first <= Int.max - arguments[Self.seeds] else {
            throw arguments.refused(.inconsistent("there are not so many seeds after --first-seed: choose a smaller one"))
        }
        let jobs = SimulationJobs.count(arguments[SimulationJobs.argument], of: arguments[Self.seeds])
        do throws(SecretMemoryError) {
            // The keys are secret to nobody; so their memory need not be locked.
            try SecretArena.configure(SecretArena.Configuration(lockPolicy: .allowUnlocked))
        } catch { throw .failed("there is no room for the members' keys: \(error)") }
        let start = ContinuousClock.now
        let isOfNodes = arguments[Self.wholeNodes]
        let memberMax = arguments[Self.members] ?? (isOfNodes ? 7 : 15)
        let report = try await Self.run(first: UInt64(first), count: arguments[Self.seeds], memberMax, isOfNodes: isOfNodes, jobs: jobs)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        if arguments[.json] {
            try console.print(Self.json(report, seconds: seconds))
        } else {
            try console.print(Self.lines(report, seconds: seconds))
        }
        for (seed, violation) in report.violations.prefix(20) {
            let group = (isOfNodes ? " --whole-nodes" : "") + (arguments[Self.members].map { " --members \($0)" } ?? "")
            console.note("seed \(seed): \(violation); again: chorale simulate signing --seeds 1 --first-seed \(seed)\(group)")
        }
        guard report.violations.isEmpty else {
            let seeds = Set(report.violations.map(\.seed)).count
            throw .failed("what must hold of a signing did not, in \(Amounts.count(seeds, "signing"))")
        }
    }

    /// Signings that one task runs before it tells how far it is.
    private static let pieceCount = 8

    private static func run(
        first: UInt64, count: Int, _ memberMax: Int, isOfNodes: Bool, jobs: Int
    ) async throws(CommandError) -> SigningReport {
        let line = ProgressLine()
        defer { line.finish() }
        var all = SigningReport()
        try await SimulationJobs.run((count + Self.pieceCount - 1) / Self.pieceCount, jobs: jobs) { (piece) throws(CommandError) in
            var report = SigningReport()
            for offset in (piece * Self.pieceCount)..<min((piece + 1) * Self.pieceCount, count) {
                let seed = first + UInt64(offset)
                do {
                    report.add(
                        isOfNodes
                            ? try SigningReport.run(NodeSigningScenario(seed: seed, memberCounts: 2...memberMax))
                            : try SigningReport.run(SigningScenario(seed: seed, memberCounts: 2...memberMax)))
                } catch { throw .failed("the signing of seed \(seed) cannot be simulated: \(error)") }
            }
            return report
        } take: { _, report in
            all.add(report)
            line.update("Signings", done: all.seeds, of: count)
        }
        return all
    }

    private static func json(_ report: SigningReport, seconds: Double) -> JSONValue {
        let violations = report.violations.map { found in
            JSONValue.object(["seed": .unsigned(found.seed), "violation": .string(found.violation.description)])
        }
        return .object([
            "seeds": .integer(report.seeds), "completed": .integer(report.completed), "aborted": .integer(report.aborted),
            "expired": .integer(report.expired), "violations": .array(violations), "virtual_seconds": .number(report.virtualSeconds),
            "wall_seconds": .number(seconds), "coverage": .array(report.coverage.sorted().map(JSONValue.string)),
        ])
    }

    private static func lines(_ report: SigningReport, seconds: Double) -> [String] {
        let rate = seconds > 0 ? Int(Double(report.seeds) / seconds) : 0
        let messages = report.seeds > 0 ? report.messageCount / report.seeds : 0
        return [
            "signings      \(Amounts.grouped(report.seeds)): \(Amounts.grouped(report.completed)) complete, "
                + "\(Amounts.grouped(report.aborted)) ended by a refusal or a fault, \(Amounts.grouped(report.expired)) by time",
            "violations    \(Amounts.grouped(report.violations.count))",
            "messages      \(Amounts.grouped(messages)) a signing, in the mean",
            "coverage      \(report.coverage.count) states, transitions, events, faults and refusals were reached",
            "rate          \(Amounts.grouped(rate)) a second; \(Int(report.virtualSeconds).description) s of virtual time in \(Int(seconds.rounded())) s",
        ]
    }
}
