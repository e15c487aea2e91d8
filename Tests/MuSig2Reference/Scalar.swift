import CryptoPrimitives

/// An integer modulo n, the order of secp256k1: a secret key, a nonce, a tweak, a challenge.
///
/// Always fully reduced. NEVER FOR REAL KEYS: not constant-time, and copies stay wherever they were.
struct Scalar: Equatable, Sendable {
    let value: UInt256

    static let n = UInt256(0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_fffe, 0xbaae_dce6_af48_a03b, 0xbfd2_5e8c_d036_4141)

    /// 2^256 − n: what 2^256 is worth modulo n.
    private static let excess = UInt256.zero.subtracting(Scalar.n).difference

    static let zero = Scalar(reducing: .zero)
    static let one = Scalar(reducing: UInt256(0, 0, 0, 1))

    /// `nil` for integers of n and above, and unless there are exactly 32 bytes.
    init?(_ bytes: some Collection<UInt8>) {
        guard let value = UInt256(bytes), value < Self.n else { return nil }
        self.value = value
    }

    /// int(digest) mod n.
    init(reducing digest: Bytes32) { self.init(reducing: UInt256(digest)) }

    private init(reducing value: UInt256) {
        self.value = value < Self.n ? value : value.subtracting(Self.n).difference
    }

    var isZero: Bool { self.value.isZero }
    var bytes: [UInt8] { self.value.bytes }

    static func + (a: Scalar, b: Scalar) -> Scalar {
        let (sum, carry) = a.value.adding(b.value)
        return Scalar(reducing: carry ? sum.adding(Self.excess).sum : sum)
    }

    static prefix func - (a: Scalar) -> Scalar {
        a.isZero ? a : Scalar(reducing: Self.n.subtracting(a.value).difference)
    }

    static func * (a: Scalar, b: Scalar) -> Scalar {
        var (high, low) = a.value.multiplied(by: b.value)
        // high · 2^256 + low = high · excess + low, which is 127 bits shorter each time.
        while !high.isZero {
            let folded = high.multiplied(by: Self.excess)
            let (sum, carry) = low.adding(folded.low)
            low = sum
            high = carry ? folded.high.adding(UInt256(0, 0, 0, 1)).sum : folded.high
        }
        return Scalar(reducing: low)
    }
}
