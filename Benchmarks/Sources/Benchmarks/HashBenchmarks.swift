import CBaseline
import CryptoPrimitives

/// SHA-256 and ChaCha20-Poly1305 through the Swift API beside libsodium's own calls.
struct HashBenchmarks {
    let stopwatch: Stopwatch
    let report: (Row) -> Void

    func run() throws {
        try self.hash()
        try self.encrypt()
    }

    /// On much data and on little.
    private func hash() throws {
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

    /// What a connection does to each of its bytes, in pieces about as long as Noise's longest message.
    private func encrypt() throws {
        let byteCount = 1 << 16
        let plaintext = [UInt8](repeating: 7, count: byteCount)
        let key = [UInt8](repeating: 9, count: ChaCha20Poly1305.keyByteCount)
        var target = [UInt8](repeating: 0, count: byteCount + ChaCha20Poly1305.tagByteCount)
        var theirTarget = target
        let (ours, theirs) = try self.stopwatch.compare(
            swift: Side { count in
                plaintext.withUnsafeBytes { plaintext in
                    key.withUnsafeBytes { key in
                        target.withUnsafeMutableBytes { target in
                            for counter in 0..<UInt64(count) {
                                ChaCha20Poly1305.seal(plaintext, key: key, nonce: .init(counter: counter), to: target)
                            }
                        }
                    }
                }
            },
            c: Side.c({ baseline_chacha20poly1305(plaintext, byteCount, key, $0, &theirTarget) }))
        let rate = decimal(Double(byteCount) / ours, 0)
        self.report(
            Row(
                section: "Hashing", name: "ChaCha20-Poly1305, 64 KiB", swift: ours, c: theirs,
                budget: .callAndRate(byteCount: byteCount, megabytesPerSecondMin: Self.megabytesPerSecondMin), note: "\(rate) MB/s"))
    }

    /// Least that a machine with vector instructions makes of it, in 10^6 bytes a second.
    ///
    /// Source: libsodium that was not initialised takes its plain code, without a word, which makes less than half of it.
    private static let megabytesPerSecondMin = 1_000.0
}
