import CryptoPrimitives

/// An endless row of bytes that one seed fixes: SHA-256 of the seed and a counter.
struct SeededBytes {
    private let seed: UInt64
    private var counter: UInt64 = 0

    init(seed: UInt64) { self.seed = seed }

    mutating func next32() -> [UInt8] {
        self.counter += 1
        return SHA256.hash(Array("chorale reference tests \(self.seed) \(self.counter)".utf8)).bytes
    }

    mutating func next(below bound: Int) -> Int { Int(self.next32()[0]) % bound }

    mutating func bytes(count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count { bytes += self.next32() }
        return Array(bytes.prefix(count))
    }
}
