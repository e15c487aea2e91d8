import CBaseline
import CryptoPrimitives

/// SHA-256 through the Swift API beside libsodium's own call, on much data and on little.
struct HashBenchmarks {
    let stopwatch: Stopwatch
    let report: (Row) -> Void

    func run() throws {
        for (name, byteCount) in [("SHA-256 of 1 MiB", 1 << 20), ("SHA-256 of 64 bytes", 64)] {
            let bytes = [UInt8](repeating: 7, count: byteCount)
            var digest = [UInt8](repeating: 0, count: 32)
            let (ours, theirs) = try self.stopwatch.compare(
                swift: Side { count in
                    for _ in 0..<count { consume(SHA256.hash(bytes)) }
                },
                c: Side.c({ baseline_sha256(bytes, byteCount, $0, &digest) }))
            let rate = decimal(Double(byteCount) / ours, 0)
            self.report(Row(section: "Hashing", name: name, swift: ours, c: theirs, note: "\(rate) MB/s"))
        }
    }
}
