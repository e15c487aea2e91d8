/// A number that stands for everything that happened, in its order: two runs that differ anywhere differ here.
///
/// Not cryptographic: it compares a program with itself.
public struct EventDigest: Hashable, Sendable, CustomStringConvertible {
    public private(set) var value: UInt64 = 0x6a09_e667_f3bc_c908
    /// How many things happened.
    public private(set) var eventCount = 0

    public init() {}

    /// Notes an event by the numbers that describe it.
    public mutating func note(_ words: UInt64...) {
        self.eventCount += 1
        for word in words { self.mix(word) }
    }

    /// Notes bytes by their count and their ends. Encrypted messages end in a tag that vouches for all that is before it.
    mutating func mix(_ bytes: [UInt8]) {
        self.mix(UInt64(bytes.count))
        self.mix(bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
        self.mix(bytes.suffix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    private mutating func mix(_ word: UInt64) {
        var mixed = (self.value ^ word) &* 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 29)) &* 0xbf58_476d_1ce4_e5b9
        self.value = mixed ^ (mixed >> 32)
    }

    /// Sixteen hex digits.
    public var description: String {
        let digits = String(self.value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension Duration {
    /// Whole nanoseconds, rounded down.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = self.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
