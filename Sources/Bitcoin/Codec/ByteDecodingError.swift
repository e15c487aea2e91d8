/// Why bytes are not the encoding they should be, with the field that was being read and where it starts.
///
/// Offsets count from the first byte given to the decoder.
public enum ByteDecodingError: Error, Equatable, Sendable {
    /// The field needs more bytes than are left.
    case truncated(field: String, offset: Int, needed: UInt64, available: Int)
    /// A CompactSize number is written longer than it need be, so that the same value would have two encodings.
    case nonCanonicalCompactSize(field: String, offset: Int)
    /// A count or length is above the stated limit.
    case tooLarge(field: String, offset: Int, value: UInt64, limit: UInt64)
    /// The value ended, and bytes follow it.
    case trailingBytes(offset: Int, count: Int)
}

extension ByteDecodingError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncated(let field, let offset, let needed, let available):
            "\(field) at byte \(offset) needs \(needed) bytes and only \(available) are left: the data was cut short or is not of this kind"
        case .nonCanonicalCompactSize(let field, let offset):
            "\(field) at byte \(offset) writes its number with more bytes than it needs; only the shortest form is valid"
        case .tooLarge(let field, let offset, let value, let limit):
            "\(field) at byte \(offset) is \(value), above the limit of \(limit)"
        case .trailingBytes(let offset, let count):
            "the data ends at byte \(offset), but \(count) more bytes follow"
        }
    }
}
