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

    /// Fewest rounds: what disturbs one does not decide.
    private static let roundCountMin = 3

    func run(threshold k: Int, of n: Int) async throws {
        let group = try Group(count: n)
        let signers = group.keys.publicKeys.sorted()
        let leafCount = try DelegatedMultisig.leafCount(signers: n, threshold: k)
        for cores in Set([1, self.processorCount]).sorted() {
            // On one core a neighbour on the machine must not count; on all of them only the wall's clock tells what they save.
            let timing: Timing = cores == 1 ? .processTime : .wallTime
            // A policy of few leaves is made many times over, a large one once in each of a few rounds.
            let repeats = max(1, 2_000 / (leafCount * k))
            let (ours, theirs) = try await Stopwatch.compare(
                rounds: max(Self.roundCountMin, min(self.rounds, 200_000 / (leafCount * k))),
                swift: {
                    let start = timing.now
                    for _ in 0..<repeats {
                        consume(try await DelegatedMultisig.make(internalKey: .unspendable, signers: signers, threshold: k, workers: cores))
                    }
                    return Double(timing.now - start) / 1_000 / Double(repeats)
                },
                c: {
                    var aggregates = [UInt8](repeating: 0, count: leafCount * 32)
                    let start = timing.now
                    for _ in 0..<repeats { require(baseline_subsets(group.c, k, cores, &aggregates) == 1) }
                    return Double(timing.now - start) / 1_000 / Double(repeats)
                })
            self.report(
                Row(
                    section: "k-of-n", name: "\(k)-of-\(n), \(cores == 1 ? "one core" : "all \(cores) cores")", signers: n,
                    swift: ours, c: theirs, budget: leafCount < 100 ? .none : .factor(1.2),
                    note: "\(leafCount) leaves; C: the aggregations alone; \(cores == 1 ? "CPU" : "wall") time"))
        }
    }
}
