import CryptoPrimitives

/// Reads Bitcoin's encodings from bytes that a stranger may have written.
///
/// Total: every read gives a value or a `ByteDecodingError`, and none allocates more than the bytes that are really there.
package struct ByteReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    /// Index into `bytes` of the next byte; never past `bytes.endIndex`.
    private var position: Int

    package init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    package init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        self.position = bytes.startIndex
    }

    /// How many bytes have been read.
    package var offset: Int { self.position - self.bytes.startIndex }

    /// How many bytes are left.
    package var remainingCount: Int { self.bytes.endIndex - self.position }

    package var isAtEnd: Bool { self.remainingCount == 0 }

    /// The next byte, which stays to be read.
    package func peek() -> UInt8? { self.isAtEnd ? nil : self.bytes[self.position] }

    /// Refuses bytes after the end of the value.
    package func finish() throws(ByteDecodingError) {
        guard self.isAtEnd else { throw .trailingBytes(offset: self.offset, count: self.remainingCount) }
    }

    // MARK: Bytes

    /// A view of the next `count` bytes, without a copy.
    package mutating func readSlice(_ count: Int, _ field: String) throws(ByteDecodingError) -> ArraySlice<UInt8> {
        precondition(count >= 0, "a count of bytes is not negative")
        guard count <= self.remainingCount else {
            throw .truncated(field: field, offset: self.offset, needed: UInt64(count), available: self.remainingCount)
        }
        let end = self.position + count
        defer { self.position = end }
        return self.bytes[self.position..<end]
    }

    package mutating func readBytes(_ count: Int, _ field: String) throws(ByteDecodingError) -> [UInt8] {
        Array(try self.readSlice(count, field))
    }

    package mutating func readRemaining() -> ArraySlice<UInt8> {
        defer { self.position = self.bytes.endIndex }
        return self.bytes[self.position...]
    }

    package mutating func readBytes32(_ field: String) throws(ByteDecodingError) -> Bytes32 {
        let offset = self.offset
        guard let value = Bytes32(try self.readSlice(32, field)) else {
            throw .truncated(field: field, offset: offset, needed: 32, available: 0)
        }
        return value
    }

    // MARK: Numbers, little endian

    package mutating func readUInt8(_ field: String) throws(ByteDecodingError) -> UInt8 { try self.readInteger(field) }
    package mutating func readUInt16(_ field: String) throws(ByteDecodingError) -> UInt16 { try self.readInteger(field) }
    package mutating func readUInt32(_ field: String) throws(ByteDecodingError) -> UInt32 { try self.readInteger(field) }
    package mutating func readUInt64(_ field: String) throws(ByteDecodingError) -> UInt64 { try self.readInteger(field) }

    private mutating func readInteger<Integer: FixedWidthInteger & UnsignedInteger>(
        _ field: String
    ) throws(ByteDecodingError) -> Integer {
        var value: Integer = 0
        for byte in try self.readSlice(Integer.bitWidth / 8, field).reversed() {
            value = (value << 8) | Integer(truncatingIfNeeded: byte)
        }
        return value
    }

    // MARK: CompactSize

    /// A CompactSize number: 1, 3, 5 or 9 bytes, and always the shortest that holds the value.
    package mutating func readCompactSize(_ field: String) throws(ByteDecodingError) -> UInt64 {
        let start = self.offset
        let value: UInt64
        switch try self.readUInt8(field) {
        case 0xfd: value = UInt64(try self.readUInt16(field))
        case 0xfe: value = UInt64(try self.readUInt32(field))
        case 0xff: value = try self.readUInt64(field)
        case let small: return UInt64(small)
        }
        guard self.offset - start == CompactSize.byteCount(value) else {
            throw .nonCanonicalCompactSize(field: field, offset: start)
        }
        return value
    }

    /// How many elements follow. Each takes at least `minimumByteCount` bytes, so that a count which the remaining
    /// bytes cannot hold is refused before anything is allocated for it.
    package mutating func readCount(_ field: String, minimumByteCount: Int) throws(ByteDecodingError) -> Int {
        precondition(minimumByteCount > 0, "an element takes at least one byte")
        let start = self.offset
        let count = try self.readCompactSize(field)
        guard count <= UInt64(self.remainingCount / minimumByteCount) else {
            let (needed, overflows) = count.multipliedReportingOverflow(by: UInt64(minimumByteCount))
            throw .truncated(field: field, offset: start, needed: overflows ? .max : needed, available: self.remainingCount)
        }
        return Int(count)
    }

    /// Bytes with their CompactSize length before them.
    package mutating func readVariableBytes(_ field: String) throws(ByteDecodingError) -> [UInt8] {
        Array(try self.readVariableSlice(field))
    }

    /// The same as a view, without a copy.
    package mutating func readVariableSlice(_ field: String) throws(ByteDecodingError) -> ArraySlice<UInt8> {
        let count = try self.readCount(field, minimumByteCount: 1)
        return try self.readSlice(count, field)
    }
}
