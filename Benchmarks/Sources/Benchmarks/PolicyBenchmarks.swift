import Bitcoin
import CBaseline
import CryptoPrimitives
import Secp256k1

/// k-of-n policies beside the bare aggregations of all their leaves in C, on the same cores.
///
/// A policy of few leaves is told and not judged: its internal key and its output key weigh as much as a leaf each.
struct PolicyBenchmarks {
    let processorCount: Int
    let rounds: Int
    let report: (Row) -> Void

    func run(threshold k: Int, of n: Int) async throws {
        let group = try Group(count: n)
        let signers = group.keys.publicKeys.sorted()
        let leafCount = try DelegatedMultisig.leafCount(signers: n, threshold: k)
        for cores in Set([1, self.processorCount]).sorted() {
            // On one core a neighbour on the machine must not count; on all of them only the wall's clock tells what they save.
            let timing: Timing = cores == 1 ? .processTime : .wallTime
            var times: (swift: [Double], c: [Double]) = ([], [])
            // A policy of few leaves is made many times over, a large one once or twice.
            let repeats = max(1, 2_000 / (leafCount * k))
            for _ in 0..<max(1, min(self.rounds, 200_000 / (leafCount * k))) {
                var start = timing.now
                for _ in 0..<repeats {
                    consume(try await DelegatedMultisig.make(internalKey: .unspendable, signers: signers, threshold: k, workers: cores))
                }
                times.swift.append(Double(timing.now - start) / 1_000 / Double(repeats))
                var aggregates = [UInt8](repeating: 0, count: leafCount * 32)
                start = timing.now
                for _ in 0..<repeats { require(baseline_subsets(group.c, k, cores, &aggregates) == 1) }
                times.c.append(Double(timing.now - start) / 1_000 / Double(repeats))
            }
            self.report(
                Row(
                    section: "k-of-n", name: "\(k)-of-\(n), \(cores == 1 ? "one core" : "all \(cores) cores")", signers: n,
                    swift: Stopwatch.median(times.swift), c: Stopwatch.median(times.c), budget: leafCount < 100 ? .none : .factor(1.2),
                    note: "\(leafCount) leaves; C: the aggregations alone; \(cores == 1 ? "CPU" : "wall") time"))
        }
    }
}
