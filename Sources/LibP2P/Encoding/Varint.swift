/// Why bytes are no unsigned varint.
public enum VarintError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes end before the number does. More may still come.
    case truncated
    /// The number goes on after nine bytes.
    case tooLong
    /// The number could be written with fewer bytes.
    case notMinimal

    public var description: String {
        switch self {
        case .truncated: "the bytes end in the middle of a varint"
        case .tooLong: "a varint has at most \(Varint.byteCountMax) bytes, and this one goes on"
        case .notMinimal: "this varint is written with more bytes than it needs, which is not allowed"
        }
    }
}

/// Unsigned varints as libp2p uses them: seven bits a byte, the lowest first, the top bit set on all bytes but the last.
///
/// Exactly one encoding stands for each number, and at most nine bytes are read (multiformats/unsigned-varint, "Practical
/// maximum"). Protobuf's own varints go up to ten bytes and need not be minimal: those are `ProtobufReader`'s.
public enum Varint {
    /// Most bytes of one number.
    public static let byteCountMax = 9
    /// Largest number that nine bytes hold: 2⁶³ − 1.
    public static let valueMax: UInt64 = 1 << 63 - 1

    /// Appends the number.
    public static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        precondition(value <= Self.valueMax, "a varint holds at most 63 bits")
        Self.appendUnbounded(value, to: &bytes)
    }

    /// The bytes of the number.
    public static func encode(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        Self.append(value, to: &bytes)
        return bytes
    }

    /// How many bytes the number takes.
    public static func byteCount(of value: UInt64) -> Int { max(1, (70 - value.leadingZeroBitCount) / 7) }

    /// Reads a number from the front and takes its bytes away. After an error the bytes are as they were.
    public static func read(from bytes: inout ArraySlice<UInt8>) throws(VarintError) -> UInt64 {
        var value: UInt64 = 0
        for (position, byte) in bytes.prefix(Self.byteCountMax).enumerated() {
            value |= UInt64(byte & 0x7f) << UInt64(7 * position)
            if byte < 0x80 {
                guard byte != 0 || position == 0 else { throw .notMinimal }
                bytes = bytes.dropFirst(position + 1)
                return value
            }
        }
        throw bytes.count < Self.byteCountMax ? .truncated : .tooLong
    }

    /// The same for all 64 bits, which protobuf needs.
    static func appendUnbounded(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
