/// Why bytes are no key, signature or tweak on secp256k1.
public enum KeyError: Error, Equatable, Sendable, CustomStringConvertible {
    case wrongByteCount(expected: Int, actual: Int)
    /// The bytes are no point of the curve in the expected encoding.
    case notOnCurve
    /// A scalar is zero where it must not be, or not below the curve's order.
    case scalarOutOfRange
    /// A sum of points is the point at infinity, which is no key.
    case pointAtInfinity

    public var description: String {
        switch self {
        case .wrongByteCount(let expected, let actual): "\(expected) bytes are needed, and here are \(actual)"
        case .notOnCurve: "these bytes are no point of the curve secp256k1"
        case .scalarOutOfRange: "the number is zero or not below the order of secp256k1"
        case .pointAtInfinity: "the resulting point is the point at infinity, which is no key"
        }
    }
}
