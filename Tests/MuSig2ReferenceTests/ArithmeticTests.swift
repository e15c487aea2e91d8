import CryptoPrimitives
import Testing

@testable import MuSig2Reference

/// The arithmetic below the algorithms, at the places where carries happen and no official vector would notice.
struct ArithmeticTests {
    private static let largest = UInt256(.max, .max, .max, .max)
    private static let two = UInt256(0, 0, 0, 2)

    /// Small numbers, numbers just below a modulus, single full limbs, and random ones; all below both n and p.
    private static let values: [UInt256] = {
        var values = (0..<4).map { UInt256(0, 0, 0, $0) }
        values += (1..<4).map { Scalar.n.subtracting(UInt256(0, 0, 0, $0)).difference }
        values += [UInt256(0, 0, 0, .max), UInt256(0, 0, .max, 0), UInt256(0, .max, 0, 0), UInt256(1 << 63, 0, 0, 0)]
        values += [UInt256(0x7fff_ffff_ffff_ffff, .max, .max, .max), UInt256(0, 0, .max, .max), UInt256(0xffff_ffff_ffff_ffff, 0, 0, 0)]
        var random = SeededBytes(seed: 1)
        while values.count < 30 {
            if let value = Scalar(random.next32())?.value { values.append(value) }
        }
        return values
    }()

    private static let elements: [FieldElement] = {
        var elements = Self.values.compactMap { FieldElement($0) }
        elements += (1..<4).compactMap { FieldElement(FieldElement.p.subtracting(UInt256(0, 0, 0, $0)).difference) }
        return elements
    }()

    private static let scalars: [Scalar] = Self.values.compactMap { Scalar($0.bytes) }

    @Test func `a number reads back from its bytes, most significant first`() throws {
        let bytes = (0..<32).map { UInt8($0) }
        let value = try #require(UInt256(bytes))
        #expect(value == UInt256(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f, 0x1011_1213_1415_1617, 0x1819_1a1b_1c1d_1e1f))
        #expect(value.bytes == bytes)
        #expect(UInt256(bytes + [0]) == nil)
        #expect(UInt256(bytes.dropFirst()) == nil)
        #expect((0..<64).map { value.hexDigit(at: 63 - $0) } == bytes.flatMap { [Int($0 >> 4), Int($0 & 15)] })
    }

    @Test func `carries and borrows go through all limbs`() {
        let one = UInt256(0, 0, 0, 1)
        #expect(Self.largest.adding(one) == (.zero, true))
        #expect(Self.largest.adding(Self.largest) == (Self.largest.subtracting(one).difference, true))
        #expect(UInt256.zero.subtracting(one) == (Self.largest, true))
        #expect(Self.largest.subtracting(Self.largest) == (.zero, false))
        #expect(UInt256(1, 0, 0, 0).subtracting(one) == (UInt256(0, .max, .max, .max), false))
        #expect(Self.largest.multiplied(by: Self.largest) == (Self.largest.subtracting(one).difference, one))
    }

    @Test func `numbers of the modulus and above are neither field elements nor scalars`() {
        let one = UInt256(0, 0, 0, 1)
        #expect(FieldElement(FieldElement.p) == nil)
        #expect(FieldElement(Self.largest) == nil)
        #expect(FieldElement(FieldElement.p.subtracting(one).difference) != nil)
        #expect(Scalar(Scalar.n.bytes) == nil)
        #expect(Scalar(Self.largest.bytes) == nil)
        #expect(Scalar(Scalar.n.subtracting(one).difference.bytes) != nil)
    }

    @Test func `field multiplication is repeated addition`() {
        for a in Self.elements {
            for b in Self.elements {
                var sum = FieldElement.zero
                for position in stride(from: 63, through: 0, by: -1) {
                    for _ in 0..<4 { sum = sum + sum }
                    for _ in 0..<b.value.hexDigit(at: position) { sum = sum + a }
                }
                #expect(a * b == sum, "\(a.value) · \(b.value)")
            }
        }
    }

    @Test func `field elements halve, subtract, invert and have roots as they should`() throws {
        for a in Self.elements {
            #expect(a.halved + a.halved == a)
            #expect(a + (-a) == .zero)
            for b in Self.elements { #expect((a - b) + b == a && a + b == b + a) }
            #expect(a * a.inverse == (a.isZero ? .zero : .one))
            let root = try #require(a.squared.squareRoot)
            #expect(root == a || root == -a)
            // −1 has no root, for p = 3 mod 4; so of a and −a exactly one has.
            if !a.isZero { #expect((a.squareRoot == nil) != ((-a).squareRoot == nil)) }
        }
    }

    @Test func `scalar multiplication is repeated addition`() {
        for a in Self.scalars {
            for b in Self.scalars {
                var sum = Scalar.zero
                for position in stride(from: 63, through: 0, by: -1) {
                    for _ in 0..<4 { sum = sum + sum }
                    for _ in 0..<b.value.hexDigit(at: position) { sum = sum + a }
                }
                #expect(a * b == sum, "\(a.value) · \(b.value)")
            }
            #expect(a + (-a) == .zero)
        }
    }

    @Test func `both ways to multiply the base point agree, and its order is n`() throws {
        for k in Self.scalars {
            let product = Point.generator(times: k)
            #expect(product == Point.sum(of: [(k, .generator)]))
            #expect(product.isInfinite == k.isZero)
            #expect(product.adding(Point.generator(times: -k)).isInfinite)
        }
        #expect(Point.generator(times: -Scalar.one).affine == -Point.generator)
    }

    @Test func `adding points holds for equal, opposite and infinite ones`() throws {
        let two = try #require(Scalar(Self.two.bytes))
        let point = Point.generator(times: try #require(Scalar(SHA256.hash([1]).bytes)))
        let affine = try #require(point.affine)
        // The same point under another Z.
        let other = point.doubled.adding(-affine)
        #expect(point.adding(other) == Point.sum(of: [(two, affine)]))
        #expect(point.adding(affine) == point.doubled)
        #expect(other.adding(affine) == point.doubled)
        #expect(point.adding(-other).isInfinite)
        #expect(other.adding(-affine).isInfinite)
        #expect(point.adding(.infinity) == other)
        #expect(JacobianPoint.infinity.adding(affine) == point)
        #expect(JacobianPoint.infinity.adding(other) == point)
        #expect(JacobianPoint.infinity.doubled.isInfinite)
        #expect(JacobianPoint.infinity == .infinity && JacobianPoint.infinity != point)
    }

    @Test func `a sum of several multiples is the sum of each`() throws {
        let points = try Self.scalars[10..<14].map { try #require(Point.generator(times: $0).affine) }
        let terms = Array(zip(Self.scalars[20...], points)).map { (scalar: $0, point: $1) }
        let each = terms.reduce(JacobianPoint.infinity) { $0.adding(Point.sum(of: [$1])) }
        #expect(terms.count == 4)
        #expect(Point.sum(of: terms) == each)
    }

    @Test func `points read back from their encodings, and other bytes are no points`() throws {
        let generator = Point.generator
        #expect(Point.cpoint(generator.cbytes) == generator)
        #expect(Point.cpoint((-generator).cbytes) == -generator)
        #expect(Point.liftX(generator.xbytes) == generator)
        #expect(Point.cpoint([]) == nil)
        #expect(Point.cpoint([4] + generator.xbytes) == nil)
        #expect(Point.cpoint(generator.cbytes.dropLast()) == nil)
        #expect(Point.cpoint(generator.cbytes + [0]) == nil)
        #expect(Point.cpoint([UInt8](repeating: 0, count: 33)) == nil)
        #expect(JacobianPoint.cpointExt([UInt8](repeating: 0, count: 33))?.isInfinite == true)
        #expect(JacobianPoint.cpointExt([UInt8](repeating: 0, count: 32)) == nil)
        #expect(JacobianPoint.infinity.cbytesExt == [UInt8](repeating: 0, count: 33))
    }
}
