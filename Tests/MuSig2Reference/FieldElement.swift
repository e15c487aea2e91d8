import CryptoPrimitives

/// An integer modulo p = 2^256 − 2^32 − 977: a coordinate of a point of secp256k1.
///
/// Always fully reduced, so that equal elements have equal limbs. NEVER FOR REAL KEYS: not constant-time.
struct FieldElement: Equatable, Sendable {
    private(set) var value: UInt256

    static let p = UInt256(0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_fffe_ffff_fc2f)

    /// 2^256 − p. Modulo p, 2^256 equals this small number, which makes reducing cheap.
    private static let excess: UInt64 = 0x1_0000_03d1

    static let zero = FieldElement(unchecked: .zero)
    static let one = FieldElement(unchecked: UInt256(0, 0, 0, 1))

    /// `nil` for integers of p and above.
    init?(_ value: UInt256) {
        guard value < Self.p else { return nil }
        self.value = value
    }

    private init(unchecked value: UInt256) { self.value = value }

    /// Brings a value below 2^256 under p.
    private init(reducing value: UInt256) {
        // The upper three limbs of p are all ones; they settle nearly every comparison.
        if value.limb3 == .max && !(value < Self.p) {
            self.value = value.subtracting(Self.p).difference
        } else {
            self.value = value
        }
    }

    var isZero: Bool { self.value.isZero }
    var isOdd: Bool { self.value.isOdd }

    static func + (a: FieldElement, b: FieldElement) -> FieldElement {
        let (sum, carry) = a.value.adding(b.value)
        // Taking p away is adding the excess, modulo 2^256.
        return carry ? FieldElement(unchecked: sum.adding(Self.excessValue).sum) : FieldElement(reducing: sum)
    }

    static func - (a: FieldElement, b: FieldElement) -> FieldElement {
        let (difference, borrow) = a.value.subtracting(b.value)
        return FieldElement(unchecked: borrow ? difference.adding(Self.p).sum : difference)
    }

    static prefix func - (a: FieldElement) -> FieldElement { .zero - a }

    static func * (a: FieldElement, b: FieldElement) -> FieldElement {
        let (sum, carry) = a.value.multiplied(by: b.value, foldedBy: Self.excess)
        // If even the last folding carries over, what is left is so small that nothing more can.
        return FieldElement(reducing: carry ? sum.adding(Self.excessValue).sum : sum)
    }

    private static let excessValue = UInt256(0, 0, 0, FieldElement.excess)

    var squared: FieldElement { self * self }

    /// Half of the element: of the two numbers that are equal to it modulo p, one is even, and that one is shifted.
    var halved: FieldElement {
        let (even, carry) = self.isOdd ? self.value.adding(Self.p) : (self.value, false)
        return FieldElement(
            unchecked: UInt256(
                (even.limb3 &>> 1) | (carry ? 1 &<< 63 : 0),
                (even.limb2 &>> 1) | (even.limb3 &<< 63),
                (even.limb1 &>> 1) | (even.limb2 &<< 63),
                (even.limb0 &>> 1) | (even.limb1 &<< 63)
            )
        )
    }

    /// The element raised to `exponent`, one hex digit of the exponent at a time.
    func power(_ exponent: UInt256) -> FieldElement {
        var powers = [FieldElement.one, self]
        for index in 2..<16 { powers.append(powers[index - 1] * self) }
        var result = powers[exponent.hexDigit(at: 63)]
        var position = 62
        while position >= 0 {
            result = result.squared.squared.squared.squared
            let digit = exponent.hexDigit(at: position)
            if digit != 0 { result = result * powers[digit] }
            position -= 1
        }
        return result
    }

    /// The inverse, by Fermat: a^(p − 2). The inverse of zero comes out as zero.
    var inverse: FieldElement { self.power(Self.p.subtracting(UInt256(0, 0, 0, 2)).difference) }

    /// A square root, a^((p + 1) / 4), or `nil` if there is none (BIP-327, "Notation", lift_x).
    var squareRoot: FieldElement? {
        let root = self.power(
            UInt256(0x3fff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0xffff_ffff_bfff_ff0c)
        )
        return root.squared == self ? root : nil
    }
}
