internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

/// A nonce that signs as often as one likes, as a copied memory would: for a member that cheats in a simulation, and for nothing else.
///
/// The library has no way to use a nonce twice, so BIP-327's "Sign" is worked out here: (k₁ + b·k₂) + e·a·d, the first or the last part
/// negative where a point has an odd y. The numbers follow from a seed and protect nothing.
struct RepeatedNonce {
    private let first: OrderNumber
    private let second: OrderNumber
    /// 66 bytes.
    let publicNonce: [UInt8]

    init(seed: [UInt8]) throws {
        let secrets = (1...2).map { SHA256.hash(Array("repeated nonce \($0) ".utf8) + seed) }
        let points = try secrets.map { secret in
            try SecretKey(parsing: SecretBytes(count: 32) { $0.copyBytes(from: secret.bytes) }).publicKey.bytes
        }
        (self.first, self.second) = (OrderNumber(secrets[0]), OrderNumber(secrets[1]))
        self.publicNonce = points.flatMap { $0 }
    }

    /// - Returns: `nil` where the library's session is not laid out as it is read here.
    func sign(with key: borrowing SecretKey, in context: SigningContext) -> PartialSignature? {
        guard let seat = context.keys.publicKeys.firstIndex(of: key.publicKey),
            let secret = try? key.encoded().withUnsafeBytes({ Bytes32($0) }) ?? nil
        else { return nil }
        // Magic, parity of the nonce's y, its x, b, e.
        let session = withUnsafeBytes(of: context.session) { Array($0) }
        guard session.count >= 133, let b = Bytes32(session[37..<69]), let e = Bytes32(session[69..<101]) else { return nil }
        var nonce = self.first + OrderNumber(b) * self.second
        if session[4] & 1 == 1 { nonce = -nonce }
        let challenge = OrderNumber(e) * Self.coefficient(of: key.publicKey, in: context.keys.publicKeys) * OrderNumber(secret)
        // Whether the key counts as negative depends on all tweaks; one of the two verifies.
        for sum in [nonce + challenge, nonce + -challenge] {
            if let partial = try? PartialSignature(parsing: sum.bytes), (try? context.isValid(partial, of: seat)) ?? false {
                return partial
            }
        }
        return nil
    }

    /// BIP-327, "KeyAggCoeff".
    private static func coefficient(of key: PublicKey, in keys: [PublicKey]) -> OrderNumber {
        if key == keys.first(where: { $0 != keys[0] }) { return .one }
        var list = SHA256.tagged("KeyAgg list")
        for other in keys { list.update(other.bytes) }
        var hash = SHA256.tagged("KeyAgg coefficient")
        hash.update(list.finalize())
        hash.update(key.bytes)
        return OrderNumber(hash.finalize())
    }
}

/// A number modulo the order of the curve's group. Slow, and not in constant time.
private struct OrderNumber {
    /// Least significant first.
    private var words: [UInt64]

    private static let order: [UInt64] = [0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, .max]
    static let one = OrderNumber(words: [1, 0, 0, 0])

    private init(words: [UInt64]) { self.words = words }

    init(_ number: Bytes32) {
        let bytes = number.bytes
        let words = (0..<4).map { word in bytes[(24 - 8 * word)..<(32 - 8 * word)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        self.words = Self.reduced(words, carry: false)
    }

    var bytes: [UInt8] { self.words.reversed().flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } } }

    private static func subtract(_ a: [UInt64], _ b: [UInt64]) -> (words: [UInt64], borrows: Bool) {
        var (words, borrow): ([UInt64], UInt64) = (a, 0)
        for place in 0..<4 {
            let (once, overflows) = a[place].subtractingReportingOverflow(b[place])
            let (twice, overflowsAgain) = once.subtractingReportingOverflow(borrow)
            words[place] = twice
            borrow = overflows || overflowsAgain ? 1 : 0
        }
        return (words, borrow == 1)
    }

    private static func reduced(_ words: [UInt64], carry: Bool) -> [UInt64] {
        let less = Self.subtract(words, Self.order)
        return carry || !less.borrows ? less.words : words
    }

    static func + (a: OrderNumber, b: OrderNumber) -> OrderNumber {
        var (words, carry): ([UInt64], UInt64) = (a.words, 0)
        for place in 0..<4 {
            let (once, overflows) = a.words[place].addingReportingOverflow(b.words[place])
            let (twice, overflowsAgain) = once.addingReportingOverflow(carry)
            words[place] = twice
            carry = overflows || overflowsAgain ? 1 : 0
        }
        return OrderNumber(words: Self.reduced(words, carry: carry == 1))
    }

    static prefix func - (a: OrderNumber) -> OrderNumber {
        OrderNumber(words: Self.reduced(Self.subtract(Self.order, a.words).words, carry: false))
    }

    static func * (a: OrderNumber, b: OrderNumber) -> OrderNumber {
        var product = OrderNumber(words: [0, 0, 0, 0])
        for word in b.words.reversed() {
            for bit in (0..<64).reversed() {
                product = product + product
                if word >> UInt64(bit) & 1 == 1 { product = product + a }
            }
        }
        return product
    }
}
