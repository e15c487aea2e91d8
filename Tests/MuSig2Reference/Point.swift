import CryptoPrimitives

/// A point of secp256k1, y² = x³ + 7, that is not the point at infinity.
///
/// NEVER FOR REAL KEYS: not constant-time.
struct Point: Equatable, Sendable {
    let x: FieldElement
    let y: FieldElement

    /// The base point G.
    static let generator = Point(
        x: UInt256(0x79be_667e_f9dc_bbac, 0x55a0_6295_ce87_0b07, 0x029b_fcdb_2dce_28d9, 0x59f2_815b_16f8_1798),
        y: UInt256(0x483a_da77_26a3_c465, 0x5da4_fbfc_0e11_08a8, 0xfd17_b448_a685_5419, 0x9c47_d08f_fb10_d4b8)
    )

    init(x: FieldElement, y: FieldElement) {
        self.x = x
        self.y = y
    }

    private init(x: UInt256, y: UInt256) {
        guard let x = FieldElement(x), let y = FieldElement(y) else { preconditionFailure("the base point's coordinates are below p") }
        self.init(x: x, y: y)
    }

    var hasEvenY: Bool { !self.y.isOdd }

    /// with_even_y(P).
    var withEvenY: Point { self.hasEvenY ? self : -self }

    static prefix func - (point: Point) -> Point { Point(x: point.x, y: -point.y) }
}

// MARK: - Encodings (BIP-327, "Notation")

extension Point {
    /// xbytes(P): 32 bytes.
    var xbytes: [UInt8] { self.x.value.bytes }

    /// cbytes(P): 33 bytes.
    var cbytes: [UInt8] { [self.hasEvenY ? 2 : 3] + self.xbytes }

    /// lift_x(x): the point with this x and an even y; `nil` if x is p or above, or on no point, or not 32 bytes.
    static func liftX(_ bytes: some Collection<UInt8>) -> Point? {
        guard
            let value = UInt256(bytes), let x = FieldElement(value),
            let y = (x.squared * x + Self.seven).squareRoot
        else { return nil }
        return Point(x: x, y: y).withEvenY
    }

    /// cpoint(x): `nil` unless these are 33 bytes that encode a point.
    static func cpoint(_ bytes: some Collection<UInt8>) -> Point? {
        guard let first = bytes.first, first == 2 || first == 3, let even = Self.liftX(bytes.dropFirst()) else { return nil }
        return first == 2 ? even : -even
    }

    private static let seven: FieldElement = {
        let two = FieldElement.one + .one
        return two + two + two + .one
    }()
}

// MARK: - Multiplication

extension Point {
    /// scalar · G.
    static func generator(times scalar: Scalar) -> JacobianPoint {
        var result = JacobianPoint.infinity
        for position in 0..<64 {
            let digit = scalar.value.hexDigit(at: position)
            if digit != 0 { result = result.adding(Self.generatorMultiples[position &* 15 &+ digit &- 1]) }
        }
        return result
    }

    /// At index 15 · w + d − 1, the point d · 16^w · G, for w in 0…63 and d in 1…15.
    private static let generatorMultiples: [Point] = {
        var multiples: [Point] = []
        multiples.reserveCapacity(64 * 15)
        var base = Point.generator
        for _ in 0..<64 {
            var multiple = JacobianPoint(base)
            for _ in 1...15 {
                guard let affine = multiple.affine else { preconditionFailure("n is prime and above 15") }
                multiples.append(affine)
                multiple = multiple.adding(base)
            }
            guard let next = multiple.affine else { preconditionFailure("n is odd") }
            base = next
        }
        return multiples
    }()

    /// The sum of all scalar · point. The doublings are shared by all terms, which is most of the work.
    static func sum(of terms: [(scalar: Scalar, point: Point)]) -> JacobianPoint {
        let multiples = terms.map { $0.point.multiplesBelow16 }
        var result = JacobianPoint.infinity
        for position in stride(from: 63, through: 0, by: -1) {
            result = result.doubled.doubled.doubled.doubled
            for index in terms.indices {
                let digit = terms[index].scalar.value.hexDigit(at: position)
                if digit != 0 { result = result.adding(multiples[index][digit]) }
            }
        }
        return result
    }

    private var multiplesBelow16: [JacobianPoint] {
        var multiples = [JacobianPoint.infinity, JacobianPoint(self)]
        for index in 2..<16 { multiples.append(multiples[index - 1].adding(self)) }
        return multiples
    }
}
