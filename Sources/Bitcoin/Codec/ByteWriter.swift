import CryptoPrimitives

/// Writes Bitcoin's encodings: the inverse of `ByteReader`.
package struct ByteWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package init(capacity: Int) { self.bytes.reserveCapacity(capacity) }

    package mutating func write(_ bytes: some Collection<UInt8>) { self.bytes.append(contentsOf: bytes) }

    package mutating func write(_ value: Bytes32) {
        value.withUnsafeBytes { self.bytes.append(contentsOf: $0) }
    }

    // Numbers are little endian. The width is in the name, so that a change of a property's type cannot change an encoding.

    package mutating func writeUInt8(_ value: UInt8) { self.bytes.append(value) }
    package mutating func writeUInt16(_ value: UInt16) { self.writeInteger(value) }
    package mutating func writeUInt32(_ value: UInt32) { self.writeInteger(value) }
    package mutating func writeUInt64(_ value: UInt64) { self.writeInteger(value) }

    private mutating func writeInteger(_ value: some FixedWidthInteger & UnsignedInteger) {
        withUnsafeBytes(of: value.littleEndian) { self.bytes.append(contentsOf: $0) }
    }

    package mutating func writeCompactSize(_ value: UInt64) {
        switch value {
        case ..<0xfd:
            self.writeUInt8(UInt8(truncatingIfNeeded: value))
        case ...0xffff:
            self.writeUInt8(0xfd)
            self.writeUInt16(UInt16(truncatingIfNeeded: value))
        case ...0xffff_ffff:
            self.writeUInt8(0xfe)
            self.writeUInt32(UInt32(truncatingIfNeeded: value))
        default:
            self.writeUInt8(0xff)
            self.writeUInt64(value)
        }
    }

    package mutating func writeCompactSize(_ count: Int) { self.writeCompactSize(UInt64(count)) }

    /// Bytes with their CompactSize length before them.
    package mutating func writeVariableBytes(_ bytes: some Collection<UInt8>) {
        self.writeCompactSize(bytes.count)
        self.write(bytes)
    }
}

/// Bitcoin's variable-length number.
package enum CompactSize {
    /// How many bytes the shortest encoding of `value` takes: 1, 3, 5 or 9.
    package static func byteCount(_ value: UInt64) -> Int {
        switch value {
        case ..<0xfd: 1
        case ...0xffff: 3
        case ...0xffff_ffff: 5
        default: 9
        }
    }

    package static func byteCount(_ count: Int) -> Int { self.byteCount(UInt64(count)) }

    /// How many bytes `count` bytes take together with their length.
    package static func byteCountWithLength(_ count: Int) -> Int { self.byteCount(count) + count }
}
