#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Runs of a simulation, several at the same time: what `simulate network` and `simulate signing` have in common.
enum SimulationJobs {
    static let argument = Argument.optional(
        "jobs", "J", help: "how many run at the same time (default: one on each core)", parse: Parsing.integer(1...1_024))

    /// How many run at the same time, of so many in all.
    static func count(_ asked: Int?, of runs: Int) -> Int {
        min(asked ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))), runs)
    }

    /// Does the runs 0 to `runs` − 1, and lets `take` have each outcome as it comes, in any order.
    ///
    /// The first one that cannot run ends it all.
    static func run<Outcome: Sendable>(
        _ runs: Int, jobs: Int, _ body: @escaping @Sendable (Int) throws(CommandError) -> Outcome, take: (Int, Outcome) -> Void
    ) async throws(CommandError) {
        let failure = await withTaskGroup(of: (Int, Result<Outcome, CommandError>).self) { group -> CommandError? in
            var next = 0
            func startNext() {
                guard next < runs else { return }
                let index = next
                next += 1
                group.addTask { (index, Result { () throws(CommandError) in try body(index) }) }
            }
            for _ in 0..<jobs { startNext() }
            for await (index, result) in group {
                switch result {
                case .success(let outcome): take(index, outcome)
                case .failure(let error): return error
                }
                startNext()
            }
            return nil
        }
        if let failure { throw failure }
    }
}
