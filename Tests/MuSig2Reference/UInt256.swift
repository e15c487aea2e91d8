import CryptoPrimitives

/// An unsigned integer of 256 bits.
///
/// NEVER FOR REAL KEYS: nothing in this module takes constant time or wipes anything. It exists so that tests have a
/// second, independent answer to compare with.
struct UInt256: Equatable, Sendable {
    // Four limbs, least significant first. Named fields, because an array would allocate in every operation.
    var limb0: UInt64
    var limb1: UInt64
    var limb2: UInt64
    var limb3: UInt64

    static let zero = UInt256(0, 0, 0, 0)

    /// Limbs from the most significant to the least, as the number is written.
    init(_ limb3: UInt64, _ limb2: UInt64, _ limb1: UInt64, _ limb0: UInt64) {
        self.limb0 = limb0
        self.limb1 = limb1
        self.limb2 = limb2
        self.limb3 = limb3
    }

    var isZero: Bool { self.limb0 | self.limb1 | self.limb2 | self.limb3 == 0 }

    var isOdd: Bool { self.limb0 & 1 == 1 }
}

// MARK: - Bytes, most significant first: int(x) and bytes(32, x) of BIP-327

extension UInt256 {
    /// `nil` unless there are exactly 32 bytes.
    init?(_ bytes: some Collection<UInt8>) {
        guard let bytes = Bytes32(bytes) else { return nil }
        self.init(bytes)
    }

    init(_ bytes: Bytes32) {
        self = bytes.withUnsafeBytes { raw in
            UInt256(
                Self.limb(of: raw, at: 0), Self.limb(of: raw, at: 8), Self.limb(of: raw, at: 16), Self.limb(of: raw, at: 24)
            )
        }
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(32)
        Self.append(self.limb3, to: &bytes)
        Self.append(self.limb2, to: &bytes)
        Self.append(self.limb1, to: &bytes)
        Self.append(self.limb0, to: &bytes)
        return bytes
    }

    private static func limb(of raw: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    private static func append(_ limb: UInt64, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: limb.bigEndian) { bytes.append(contentsOf: $0) }
    }
}

// MARK: - Arithmetic

extension UInt256 {
    static func < (left: UInt256, right: UInt256) -> Bool {
        if left.limb3 != right.limb3 { return left.limb3 < right.limb3 }
        if left.limb2 != right.limb2 { return left.limb2 < right.limb2 }
        if left.limb1 != right.limb1 { return left.limb1 < right.limb1 }
        return left.limb0 < right.limb0
    }

    /// The sum modulo 2^256, and whether a carry was lost.
    func adding(_ other: UInt256) -> (sum: UInt256, carry: Bool) {
        var carry: UInt64 = 0
        let limb0 = addWithCarry(self.limb0, other.limb0, &carry)
        let limb1 = addWithCarry(self.limb1, other.limb1, &carry)
        let limb2 = addWithCarry(self.limb2, other.limb2, &carry)
        let limb3 = addWithCarry(self.limb3, other.limb3, &carry)
        return (UInt256(limb3, limb2, limb1, limb0), carry == 1)
    }

    /// The difference modulo 2^256, and whether it was below zero.
    func subtracting(_ other: UInt256) -> (difference: UInt256, borrow: Bool) {
        var borrow: UInt64 = 0
        let limb0 = subtractWithBorrow(self.limb0, other.limb0, &borrow)
        let limb1 = subtractWithBorrow(self.limb1, other.limb1, &borrow)
        let limb2 = subtractWithBorrow(self.limb2, other.limb2, &borrow)
        let limb3 = subtractWithBorrow(self.limb3, other.limb3, &borrow)
        return (UInt256(limb3, limb2, limb1, limb0), borrow == 1)
    }

    /// All 512 bits of the product: high · 2^256 + low, by the schoolbook method.
    func multiplied(by other: UInt256) -> (high: UInt256, low: UInt256) {
        let (a0, a1, a2, a3) = (self.limb0, self.limb1, self.limb2, self.limb3)
        let (b0, b1, b2, b3) = (other.limb0, other.limb1, other.limb2, other.limb3)
        var r4: UInt64 = 0
        var r5: UInt64 = 0
        var r6: UInt64 = 0
        var r7: UInt64 = 0
        let r0 = multiplyAdd(a0, b0, 0, &r4)
        var r1 = multiplyAdd(a0, b1, 0, &r4)
        var r2 = multiplyAdd(a0, b2, 0, &r4)
        var r3 = multiplyAdd(a0, b3, 0, &r4)
        r1 = multiplyAdd(a1, b0, r1, &r5)
        r2 = multiplyAdd(a1, b1, r2, &r5)
        r3 = multiplyAdd(a1, b2, r3, &r5)
        r4 = multiplyAdd(a1, b3, r4, &r5)
        r2 = multiplyAdd(a2, b0, r2, &r6)
        r3 = multiplyAdd(a2, b1, r3, &r6)
        r4 = multiplyAdd(a2, b2, r4, &r6)
        r5 = multiplyAdd(a2, b3, r5, &r6)
        r3 = multiplyAdd(a3, b0, r3, &r7)
        r4 = multiplyAdd(a3, b1, r4, &r7)
        r5 = multiplyAdd(a3, b2, r5, &r7)
        r6 = multiplyAdd(a3, b3, r6, &r7)
        return (UInt256(r7, r6, r5, r4), UInt256(r3, r2, r1, r0))
    }

    /// The product, but for a multiple of 2^256 − `excess`, and whether 2^256 is missing of it.
    func multiplied(by other: UInt256, foldedBy excess: UInt64) -> (rest: UInt256, carry: Bool) {
        let (high, low) = self.multiplied(by: other)
        // high · 2^256 + low = high · excess + low, which leaves an overflow of at most 34 bits …
        var overflow: UInt64 = 0
        let limb0 = multiplyAdd(high.limb0, excess, low.limb0, &overflow)
        let limb1 = multiplyAdd(high.limb1, excess, low.limb1, &overflow)
        let limb2 = multiplyAdd(high.limb2, excess, low.limb2, &overflow)
        let limb3 = multiplyAdd(high.limb3, excess, low.limb3, &overflow)
        // … which folds in the same way.
        var upper: UInt64 = 0
        let lower = multiplyAdd(overflow, excess, 0, &upper)
        let (sum, carry) = UInt256(limb3, limb2, limb1, limb0).adding(UInt256(0, 0, upper, lower))
        return (sum, carry)
    }

    /// The four bits worth 16^position.
    func hexDigit(at position: Int) -> Int {
        let limb =
            switch position &>> 4 {
            case 0: self.limb0
            case 1: self.limb1
            case 2: self.limb2
            default: self.limb3
            }
        return Int((limb &>> UInt64((position & 15) &* 4)) & 15)
    }
}

/// a · b + addend + carry; the upper half becomes the new carry, the lower half is returned.
///
/// The largest possible result, (2^64 − 1)² + 2 · (2^64 − 1), is 2^128 − 1, so nothing is ever lost.
@inline(__always)
private func multiplyAdd(_ a: UInt64, _ b: UInt64, _ addend: UInt64, _ carry: inout UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    let (partial, first) = product.low.addingReportingOverflow(addend)
    let (sum, second) = partial.addingReportingOverflow(carry)
    carry = product.high &+ (first ? 1 : 0) &+ (second ? 1 : 0)
    return sum
}

/// a + b + carry, the carry being 0 or 1 before and after.
///
/// A bit position carries over if both bits are set, or if one is and the sum's is not; of that, the highest bit is needed.
@inline(__always)
private func addWithCarry(_ a: UInt64, _ b: UInt64, _ carry: inout UInt64) -> UInt64 {
    let sum = a &+ b &+ carry
    carry = ((a & b) | ((a | b) & ~sum)) &>> 63
    return sum
}

/// a − b − borrow, the borrow being 0 or 1 before and after.
@inline(__always)
private func subtractWithBorrow(_ a: UInt64, _ b: UInt64, _ borrow: inout UInt64) -> UInt64 {
    let difference = a &- b &- borrow
    borrow = ((~a & b) | ((~a | b) & difference)) &>> 63
    return difference
}
