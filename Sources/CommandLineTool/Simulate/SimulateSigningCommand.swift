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
    private static let membersMin = Argument.option(
        "members-min", "M", default: 2, help: "fewest members of a group", parse: Parsing.integer(2...100))
    private static let wholeNodes = Argument.flag(
        "whole-nodes", help: "whole nodes, with their connections, handshakes and disks, in place of the members' machines alone")
    private static let pools = Argument.flag(
        "pools", help: "members give each other nonces ahead in all signings of whole nodes, and not in every fourth one")
    private static let relays = Argument.flag(
        "relays",
        help: "some members are reached through a relay alone, or found by announcements, in all signings of whole nodes, and not in every "
            + "third one or so")
    private static let policies = Argument.flag(
        "policies", help: "whole nodes that approve by themselves what their owners' limits let out, and nothing else")
    private static let fault = Argument.optional(
        "fault", "NAME", help: "make every honest member wrong in this way, to see that it is found", parse: Parsing.text)

    static let command = Command(
        "signing", summary: "have groups sign while machines crash and some cheat",
        discussion: """
            Each seed makes a group of members, all of whom or any k of whom sign, a request, and what happens to it: messages are lost, \
            late, repeated and out of order; the network is cut; machines crash, also while their journal writes, and lose their disks; \
            clocks are wrong; people think, and refuse; members send wrong, malformed and contradicting contributions, propose \
            something else to each, flood, slander and keep silent.

            It is checked that no nonce serves two transcripts; that nothing is released before its decision is durable; that nobody \
            honest is blamed; that whatever completes verifies and is the same for all; that a request completes once enough honest \
            members agreed and can talk; that nobody signs who did not agree; and that nobody says more than a bound. What does not \
            hold is told with the seed that replays it, and the exit code is then 1.

            With --whole-nodes each member is a node as chorale runs it, over connections that break and dials that fail. Its disk \
            takes its time, is full for a while, fails so that nobody knows what was written, and is lost or put back as it was; its \
            clock is set back and forth; its person thinks for minutes, takes a word back or the whole request; and strangers flood. \
            Some members read slowly, or nothing for a while; some are reached through a relay alone, which dies and comes back, or are \
            found by announcements. There it is also checked that no honest node is blocked, that nothing is open after its time, and \
            that memory, disk and messages stay within their bounds.

            Whether the checks find anything is tried by --fault: \
            \(SigningFault.allCases.map(\.rawValue).joined(separator: ", ")); with --whole-nodes \
            \(NodeSigningFault.allCases.map(\.rawValue).joined(separator: ", ")); with --policies \
            \(NodeApprovalFault.allCases.map(\.rawValue).joined(separator: ", ")).
            """,
        items: [
            .argument(seeds), .argument(firstSeed), .argument(SimulationJobs.argument), .argument(members), .argument(membersMin),
            .argument(wholeNodes), .argument(pools), .argument(relays), .argument(policies), .argument(fault), .argument(.json),
        ],
        examples: [
            Command.Example("a thousand signings", "chorale simulate signing"),
            Command.Example("one again, by its seed", "chorale simulate signing --seeds 1 --first-seed 4711"),
            Command.Example("a million on two cores", "chorale simulate signing --seeds 1000000 --jobs 2"),
            Command.Example("a hundred among whole nodes", "chorale simulate signing --whole-nodes --seeds 100"),
            Command.Example(
                "what is found of a nonce that is kept", "chorale simulate signing --whole-nodes --fault keepsNonces --seeds 20"),
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
        let (least, most) = (arguments[Self.membersMin], arguments[Self.members] ?? (isOfNodes ? 7 : 15))
        guard least <= most else { throw arguments.refused(.inconsistent("--members-min is more than --members, which is \(most)")) }
        let kind = try Self.kind(arguments)
        let report = try await Self.run(first: UInt64(first), count: arguments[Self.seeds], least...most, kind, jobs: jobs)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        if arguments[.json] {
            try console.print(Self.json(report, seconds: seconds))
        } else {
            try console.print(Self.lines(report, seconds: seconds))
        }
        for (seed, violation) in report.violations.prefix(20) {
            let group =
                (isOfNodes ? " --whole-nodes" : "") + (arguments[Self.pools] ? " --pools" : "")
                + (arguments[Self.relays] ? " --relays" : "") + (arguments[Self.policies] ? " --policies" : "")
                + (arguments[Self.members].map { " --members \($0)" } ?? "") + (least > 2 ? " --members-min \(least)" : "")
                + (arguments[Self.fault].map { " --fault \($0)" } ?? "")
            console.note("seed \(seed): \(violation); again: chorale simulate signing --seeds 1 --first-seed \(seed)\(group)")
        }
        guard report.violations.isEmpty else {
            let seeds = Set(report.violations.map(\.seed)).count
            throw .failed("what must hold of a signing did not, in \(Amounts.count(seeds, "signing"))")
        }
    }

    /// What is simulated, and what is made wrong with it.
    private enum Kind {
        case machines(SigningFault?)
        case nodes(NodeSigningFault?, hasPools: Bool, hasRelays: Bool)
        case approvals(NodeApprovalFault?)
    }

    private static func kind(_ arguments: Arguments) throws(CommandError) -> Kind {
        func fault<Fault: RawRepresentable<String> & CaseIterable & Sendable>() throws(CommandError) -> Fault? {
            guard let name = arguments[Self.fault] else { return nil }
            if let fault = Fault(rawValue: name) { return fault }
            let names = Fault.allCases.map(\.rawValue).joined(separator: ", ")
            throw arguments.refused(.inconsistent("there is no such fault as \(name.printable): take one of \(names)"))
        }
        let ofNodes = [("pools", Self.pools), ("relays", Self.relays), ("policies", Self.policies)]
        for (name, argument) in ofNodes where arguments[argument] && !arguments[Self.wholeNodes] {
            throw arguments.refused(.inconsistent("--\(name) is for whole nodes: add --whole-nodes"))
        }
        if arguments[Self.policies] {
            guard !arguments[Self.pools], !arguments[Self.relays], arguments[Self.members] == nil, arguments[Self.membersMin] == 2 else {
                let problem = "--policies has groups of 2 to 4 without pools and relays: leave the other options out"
                throw arguments.refused(.inconsistent(problem))
            }
            return .approvals(try fault())
        }
        guard arguments[Self.wholeNodes] else { return .machines(try fault()) }
        return .nodes(try fault(), hasPools: arguments[Self.pools], hasRelays: arguments[Self.relays])
    }

    /// Signings that one task runs before it tells how far it is.
    private static let pieceCount = 8

    private static func run(
        first: UInt64, count: Int, _ memberCounts: ClosedRange<Int>, _ kind: Kind, jobs: Int
    ) async throws(CommandError) -> SigningReport {
        let line = ProgressLine()
        defer { line.finish() }
        var all = SigningReport()
        try await SimulationJobs.run((count + Self.pieceCount - 1) / Self.pieceCount, jobs: jobs) { (piece) throws(CommandError) in
            var report = SigningReport()
            for offset in (piece * Self.pieceCount)..<min((piece + 1) * Self.pieceCount, count) {
                let seed = first + UInt64(offset)
                do {
                    switch kind {
                    case .nodes(let fault, let hasPools, let hasRelays):
                        var scenario = NodeSigningScenario(seed: seed, memberCounts: memberCounts, hasHub: hasRelays ? true : nil)
                        if hasPools || seed % 4 == 0 { scenario.noncePool = 4 }
                        report.add(try .run(scenario, fault: fault))
                    case .machines(let fault):
                        report.add(try .run(SigningScenario(seed: seed, memberCounts: memberCounts), fault: fault))
                    case .approvals(let fault): report.add(try .run(NodeApprovalScenario(seed: seed), fault: fault))
                    }
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
            "wall_seconds": .number(seconds),
            "coverage": .array(report.coverage.sorted().map(JSONValue.string)),
        ])
    }

    private static func lines(_ report: SigningReport, seconds: Double) -> [String] {
        let rate = seconds > 0 ? Int(Double(report.seeds) / seconds) : 0
        let messages = report.seeds > 0 ? report.messageCount / report.seeds : 0
        return [
            "signings      \(Amounts.grouped(report.seeds)): \(Amounts.grouped(report.completed)) complete, "
                + "\(Amounts.grouped(report.aborted)) ended by a refusal or a fault, \(Amounts.grouped(report.expired)) by time",
            "members       \(report.memberCounts.map { "\($0.lowerBound) to \($0.upperBound)" } ?? "none") in a group",
            "commitments   in \(Amounts.grouped(report.committedCount)) of them nonces were committed to before they were shown",
            "violations    \(Amounts.grouped(report.violations.count))",
            "messages      \(Amounts.grouped(messages)) a signing, in the mean",
            "coverage      \(report.stateCount) states and \(report.transitionCount) transitions between them; "
                + "\(report.coverage.count - report.transitionCount) kinds of events, faults and refusals",
            "rate          \(Amounts.grouped(rate)) a second; \(Int(report.virtualSeconds).description) s of virtual time in \(Int(seconds.rounded())) s",
        ]
    }
}
