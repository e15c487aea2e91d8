import CBaseline

/// What a row must hold to, Swift against C (see the project's issue on cost: the same calls in the same run).
enum Budget: Hashable {
    /// One call into the library: within 1.05 × from 10 µs up, within 1.05 × + 0.15 µs below.
    case call
    /// The same for a call on so many bytes, and at least so many megabytes (10^6) a second, whatever the C side does.
    case callAndRate(byteCount: Int, megabytesPerSecondMin: Double)
    /// Within a factor of the C side, whatever its time.
    case factor(Double)
    /// Told, not judged.
    case none

    func allows(swift: Double, c: Double) -> Bool? {
        switch self {
        case .call: swift <= c * 1.05 + (c < 10 ? 0.15 : 0)
        // Bytes a microsecond are megabytes a second.
        case .callAndRate(let byteCount, let least): Budget.call.allows(swift: swift, c: c) == true && Double(byteCount) / swift >= least
        case .factor(let factor): swift <= c * factor
        case .none: nil
        }
    }

    func text(c: Double) -> String {
        switch self {
        case .call: c < 10 ? "1.05 × + 0.15 µs" : "1.05 ×"
        case .callAndRate(_, let least): "\(Budget.call.text(c: c)), ≥ \(decimal(least, 0)) MB/s"
        case .factor(let factor): "\(decimal(factor, 2)) ×"
        case .none: ""
        }
    }
}

/// One line of a table: the same work through the Swift API and from C, in microseconds.
struct Row {
    let section: String
    let name: String
    /// Signers in the group, where the work depends on them.
    var signers: Int?
    /// Median of one operation; `nil` where one side does not exist.
    let swift: Double?
    let c: Double?
    var budget: Budget = .call
    var note: String = ""

    var ratio: Double? {
        guard let swift, let c, c > 0 else { return nil }
        return swift / c
    }

    var isWithinBudget: Bool? {
        guard let swift, let c else { return nil }
        return self.budget.allows(swift: swift, c: c)
    }
}

/// Which clock counts.
enum Timing {
    /// CPU time of the calling thread: what a neighbour on the machine does changes it least. For work on one core.
    case threadTime
    /// CPU time of all threads of the process.
    case processTime
    case wallTime

    var now: UInt64 {
        switch self {
        case .threadTime: baseline_thread_nanoseconds()
        case .processTime: baseline_process_nanoseconds()
        case .wallTime: baseline_wall_nanoseconds()
        }
    }
}

/// One side of a comparison. `run` does the work the given number of times; `prepare` makes what it uses up, and is not timed.
struct Side {
    var prepare: (Int) throws -> Void = { _ in }
    let run: (Int) throws -> Void

    init(prepare: @escaping (Int) throws -> Void = { _ in }, _ run: @escaping (Int) throws -> Void) {
        self.prepare = prepare
        self.run = run
    }

    /// A side in C, whose functions return 1 when all went well.
    static func c(preparing prepare: @escaping (Int) -> Int32 = { _ in 1 }, _ run: @escaping (Int) -> Int32) -> Side {
        Side(prepare: { require(prepare($0) == 1) }, { require(run($0) == 1) })
    }

    /// Microseconds that one operation took, over a batch.
    fileprivate func time(_ iterations: Int, _ timing: Timing) throws -> Double {
        try self.prepare(iterations)
        let start = timing.now
        try self.run(iterations)
        return Double(timing.now - start) / 1_000 / Double(iterations)
    }
}

/// Interleaved medians: a batch of Swift, a batch of C, turn about, many times over.
struct Stopwatch {
    /// About how long the batches of one side take together, in microseconds.
    let sideMicroseconds: Double
    /// About how long one batch takes: long beside a clock reading, short beside the machine's moods.
    let batchMicroseconds: Double = 1_000

    func compare(swift: Side, c: Side, timing: Timing = .threadTime, iterationsMax: Int = .max) throws -> (swift: Double, c: Double) {
        let one = max(0.005, min(try self.estimate(c, timing, iterationsMax), try self.estimate(swift, timing, iterationsMax)))
        let iterations = max(1, min(iterationsMax, Int(self.batchMicroseconds / one)))
        let rounds = max(5, min(401, Int(self.sideMicroseconds / (one * Double(iterations))))) | 1
        var times: (swift: [Double], c: [Double]) = ([], [])
        for round in 0..<rounds {
            // Who goes first changes, so that neither always finds the caches as the other left them.
            if round % 2 == 0 {
                times.swift.append(try swift.time(iterations, timing))
                times.c.append(try c.time(iterations, timing))
            } else {
                times.c.append(try c.time(iterations, timing))
                times.swift.append(try swift.time(iterations, timing))
            }
        }
        return (Self.median(times.swift), Self.median(times.c))
    }

    /// The medians of two sides that are timed elsewhere, in any unit, turn about and as many times as asked for.
    static func compare(
        rounds: Int, swift: () async throws -> Double, c: () async throws -> Double
    ) async rethrows -> (swift: Double, c: Double) {
        var times: (swift: [Double], c: [Double]) = ([], [])
        for round in 0..<rounds {
            // As in `compare` for operations.
            if round % 2 == 0 {
                times.swift.append(try await swift())
                times.c.append(try await c())
            } else {
                times.c.append(try await c())
                times.swift.append(try await swift())
            }
        }
        return (Self.median(times.swift), Self.median(times.c))
    }

    /// A first idea of one operation's time; also warms up.
    private func estimate(_ side: Side, _ timing: Timing, _ iterationsMax: Int) throws -> Double {
        let first = try side.time(1, timing)
        return first > 200 ? first : try side.time(min(20, iterationsMax), timing)
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}

/// Keeps the optimiser from leaving out work whose result nobody reads.
@inline(never) func consume<Value>(_ value: Value) { withExtendedLifetime(value) {} }

/// Stops when a measured operation did not come out as it must.
func require(_ isTrue: Bool) { precondition(isTrue, "a measured operation failed") }

/// A number with this many digits after the point.
func decimal(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int64((value * scale + (value < 0 ? -0.5 : 0.5)))
    guard digits > 0 else { return "\(scaled)" }
    let text = "\(scaled.magnitude)"
    let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
    return (scaled < 0 ? "-" : "") + padded.dropLast(digits) + "." + padded.suffix(digits)
}
