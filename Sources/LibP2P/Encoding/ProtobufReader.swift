/// Why bytes are no protobuf message of the expected form.
public enum ProtobufError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The message ends in the middle of a field.
    case truncated(offset: Int)
    /// A number goes on after ten bytes, or has more than 64 bits.
    case numberTooLong(offset: Int)
    /// Field numbers are 1 to 2²⁹ − 1.
    case wrongFieldNumber(offset: Int)
    /// A group (deprecated, used by nothing here) or a wire type that does not exist.
    case unsupportedWireType(UInt8, offset: Int)
    /// The field is known, and its value is of another kind.
    case wrongKind(field: UInt32)
    /// The field holds a number outside its range.
    case valueOutOfRange(field: UInt32)
    /// The field holds text that is not UTF-8.
    case notUTF8(field: UInt32)
    /// More bytes than this message may have.
    case tooManyBytes(count: Int, maximum: Int)
    /// A field comes more often than this message allows.
    case tooManyFields(field: UInt32, maximum: Int)
    /// A field that must be there is not.
    case missing(field: UInt32)

    public var description: String {
        switch self {
        case .truncated(let offset): "the message ends in the middle of the field at offset \(offset)"
        case .numberTooLong(let offset): "the number at offset \(offset) has more than 64 bits"
        case .wrongFieldNumber(let offset): "the field at offset \(offset) has a number that no field can have"
        case .unsupportedWireType(let type, let offset): "the field at offset \(offset) has wire type \(type), which is not used here"
        case .wrongKind(let field): "field \(field) has a value of the wrong kind"
        case .valueOutOfRange(let field): "field \(field) has a number outside its range"
        case .notUTF8(let field): "field \(field) has text that is not UTF-8"
        case .tooManyBytes(let count, let maximum): "the message has \(count) bytes, and at most \(maximum) are allowed"
        case .tooManyFields(let field, let maximum): "field \(field) comes more than \(maximum) times"
        case .missing(let field): "field \(field) is missing"
        }
    }
}

/// Walks over the fields of a protobuf message that a stranger may have written.
///
///     var reader = try ProtobufReader(bytes, byteCountMax: 4_096)
///     while let field = try reader.next() {
///         switch field.number {
///         case 1: name = try field.string()
///         default: unknown += field.encoded
///         }
///     }
///
/// Total, and it allocates nothing: values are views of the message. How often a field may come is the caller's to bound. By the
/// rules of protobuf the last value of a field that comes twice counts, unless it is `repeated`.
public struct ProtobufReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    /// A message as a view of a longer one, whose size was checked with it.
    public init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        self.position = bytes.startIndex
    }

    /// A message of at most `byteCountMax` bytes.
    public init(_ bytes: some Collection<UInt8>, byteCountMax: Int) throws(ProtobufError) {
        guard bytes.count <= byteCountMax else { throw .tooManyBytes(count: bytes.count, maximum: byteCountMax) }
        self.init(Array(bytes)[...])
    }

    /// The next field, or `nil` at the end of the message.
    public mutating func next() throws(ProtobufError) -> ProtobufField? {
        guard self.position < self.bytes.endIndex else { return nil }
        let start = self.position
        let tag = try self.readNumber()
        guard let number = UInt32(exactly: tag >> 3), (1...ProtobufField.numberMax).contains(number) else {
            throw .wrongFieldNumber(offset: start - self.bytes.startIndex)
        }
        let value: ProtobufField.Value
        switch UInt8(tag & 7) {
        case 0: value = .varint(try self.readNumber())
        case 1: value = .fixed64(try self.readFixed(8))
        case 2: value = .bytes(try self.readBytes(try self.readNumber(), of: start))
        case 5: value = .fixed32(UInt32(truncatingIfNeeded: try self.readFixed(4)))
        case let other: throw .unsupportedWireType(other, offset: start - self.bytes.startIndex)
        }
        return ProtobufField(number: number, value: value, encoded: self.bytes[start..<self.position])
    }

    /// Ten bytes at most, and not necessarily the fewest possible (protobuf, "Base 128 Varints").
    private mutating func readNumber() throws(ProtobufError) -> UInt64 {
        let start = self.position
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard self.position < self.bytes.endIndex else { throw .truncated(offset: start - self.bytes.startIndex) }
            let byte = self.bytes[self.position]
            self.position += 1
            // The tenth byte holds the 64th bit and no more.
            guard shift < 63 || byte <= 1 else { throw .numberTooLong(offset: start - self.bytes.startIndex) }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw .numberTooLong(offset: start - self.bytes.startIndex)
    }

    private mutating func readFixed(_ count: Int) throws(ProtobufError) -> UInt64 {
        try self.readBytes(UInt64(count), of: self.position).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func readBytes(_ count: UInt64, of start: Int) throws(ProtobufError) -> ArraySlice<UInt8> {
        guard count <= UInt64(self.bytes.endIndex - self.position) else { throw .truncated(offset: start - self.bytes.startIndex) }
        let end = self.position + Int(count)
        defer { self.position = end }
        return self.bytes[self.position..<end]
    }
}

/// One field of a protobuf message.
public struct ProtobufField: Sendable {
    /// Largest field number: 2²⁹ − 1.
    public static let numberMax: UInt32 = 1 << 29 - 1

    public enum Value: Hashable, Sendable {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(ArraySlice<UInt8>)
        case fixed32(UInt32)
    }

    public let number: UInt32
    public let value: Value
    /// The whole field as it arrived, so that what is not known can be kept and passed on.
    public let encoded: ArraySlice<UInt8>

    /// The value of a `uint64`.
    public func unsigned() throws(ProtobufError) -> UInt64 {
        guard case .varint(let value) = self.value else { throw .wrongKind(field: self.number) }
        return value
    }

    /// The value of a `uint32` or of an enum whose cases are not negative.
    public func unsigned32() throws(ProtobufError) -> UInt32 {
        guard let value = UInt32(exactly: try self.unsigned()) else { throw .valueOutOfRange(field: self.number) }
        return value
    }

    /// The value of an `int32`, whose negative numbers take ten bytes.
    public func signed32() throws(ProtobufError) -> Int32 {
        guard let value = Int32(exactly: Int64(bitPattern: try self.unsigned())) else { throw .valueOutOfRange(field: self.number) }
        return value
    }

    /// The value of a `bool`: anything but zero is true.
    public func bool() throws(ProtobufError) -> Bool { try self.unsigned() != 0 }

    /// The value of a `bytes` field, as a view of the message.
    public func bytes() throws(ProtobufError) -> ArraySlice<UInt8> {
        guard case .bytes(let value) = self.value else { throw .wrongKind(field: self.number) }
        return value
    }

    /// The value of a `bytes` field of at most so many bytes.
    public func bytes(byteCountMax: Int) throws(ProtobufError) -> [UInt8] {
        let value = try self.bytes()
        guard value.count <= byteCountMax else { throw .tooManyBytes(count: value.count, maximum: byteCountMax) }
        return Array(value)
    }

    /// The value of a `string` of at most so many bytes.
    public func string(byteCountMax: Int) throws(ProtobufError) -> String {
        guard let text = String(validating: try self.bytes(byteCountMax: byteCountMax), as: UTF8.self) else {
            throw .notUTF8(field: self.number)
        }
        return text
    }

    /// The message that is the value of this field.
    public func message() throws(ProtobufError) -> ProtobufReader { ProtobufReader(try self.bytes()) }
}
