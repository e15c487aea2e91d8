import CryptoPrimitives

/// A point of secp256k1 or the point at infinity, as (X : Y : Z) with x = X / Z² and y = Y / Z³.
///
/// Adding in these coordinates needs no inversion, which would cost as much as thirty additions. Z = 0 is infinity.
/// NEVER FOR REAL KEYS: not constant-time.
struct JacobianPoint: Sendable {
    private let x: FieldElement
    private let y: FieldElement
    private let z: FieldElement

    static let infinity = JacobianPoint(x: .one, y: .one, z: .zero)

    init(_ point: Point) {
        self.init(x: point.x, y: point.y, z: .one)
    }

    private init(x: FieldElement, y: FieldElement, z: FieldElement) {
        self.x = x
        self.y = y
        self.z = z
    }

    var isInfinite: Bool { self.z.isZero }

    /// The point in plain coordinates; `nil` for infinity.
    var affine: Point? {
        if self.isInfinite { return nil }
        let inverse = self.z.inverse
        let inverseSquared = inverse.squared
        return Point(x: self.x * inverseSquared, y: self.y * inverseSquared * inverse)
    }

    static prefix func - (point: JacobianPoint) -> JacobianPoint { JacobianPoint(x: point.x, y: -point.y, z: point.z) }

    /// Twice the point.
    ///
    /// The tangent's slope is (3x² / 2) / y; the denominator y goes into Z. No point of the curve has y = 0 (the order is odd), and infinity stays infinity by Z.
    var doubled: JacobianPoint {
        let xSquared = self.x.squared
        let slope = xSquared + xSquared.halved
        let ySquared = self.y.squared
        let product = self.x * ySquared
        let x = slope.squared - product - product
        return JacobianPoint(x: x, y: slope * (product - x) - ySquared.squared, z: self.y * self.z)
    }

    /// The sum of two points.
    func adding(_ other: JacobianPoint) -> JacobianPoint {
        if self.isInfinite { return other }
        if other.isInfinite { return self }
        let zSquared = self.z.squared
        let otherZSquared = other.z.squared
        return self.chord(
            ownX: self.x * otherZSquared, ownY: self.y * otherZSquared * other.z,
            otherX: other.x * zSquared, otherY: other.y * zSquared * self.z,
            z: self.z * other.z
        )
    }

    /// The sum with a point in plain coordinates, whose Z is 1: a third cheaper.
    func adding(_ other: Point) -> JacobianPoint {
        if self.isInfinite { return JacobianPoint(other) }
        let zSquared = self.z.squared
        return self.chord(
            ownX: self.x, ownY: self.y,
            otherX: other.x * zSquared, otherY: other.y * zSquared * self.z,
            z: self.z
        )
    }

    /// The third point on the line through two, mirrored, both of them brought to the common denominator `z`.
    private func chord(
        ownX: FieldElement, ownY: FieldElement, otherX: FieldElement, otherY: FieldElement, z: FieldElement
    ) -> JacobianPoint {
        let run = otherX - ownX
        let rise = otherY - ownY
        if run.isZero { return rise.isZero ? self.doubled : .infinity }
        let runSquared = run.squared
        let runCubed = runSquared * run
        let product = ownX * runSquared
        let x = rise.squared - runCubed - product - product
        return JacobianPoint(x: x, y: rise * (product - x) - ownY * runCubed, z: z * run)
    }

    /// Whether both are the same point, without leaving these coordinates.
    static func == (left: JacobianPoint, right: JacobianPoint) -> Bool {
        left.adding(-right).isInfinite
    }
}

extension JacobianPoint: Equatable {}

// MARK: - Encodings in which infinity has a place (BIP-327, "Notation")

extension JacobianPoint {
    /// cbytes_ext(P): 33 bytes, all of them zero for infinity.
    var cbytesExt: [UInt8] { self.affine?.cbytes ?? Array(repeating: 0, count: 33) }

    /// cpoint_ext(x): 33 zero bytes are infinity; else as `Point.cpoint`.
    static func cpointExt(_ bytes: some Collection<UInt8>) -> JacobianPoint? {
        if bytes.count == 33 && bytes.allSatisfy({ $0 == 0 }) { return .infinity }
        return Point.cpoint(bytes).map { JacobianPoint($0) }
    }
}
