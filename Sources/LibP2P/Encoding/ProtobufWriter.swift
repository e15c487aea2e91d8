/// Writes protobuf messages, field by field, in the order of the calls.
///
/// The result is canonical when fields are written in the order of their numbers: varints are as short as they can be.
public struct ProtobufWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    /// The bytes of a message that `write` fills.
    public static func message(_ write: (inout ProtobufWriter) -> Void) -> [UInt8] {
        var writer = ProtobufWriter()
        write(&writer)
        return writer.bytes
    }

    /// A `uint64`, `uint32` or enum field.
    public mutating func unsigned(_ value: UInt64, field: UInt32) {
        self.tag(field, wireType: 0)
        Varint.appendUnbounded(value, to: &self.bytes)
    }

    /// An `int32` field; a negative number takes ten bytes.
    public mutating func signed32(_ value: Int32, field: UInt32) {
        self.unsigned(UInt64(bitPattern: Int64(value)), field: field)
    }

    /// A `bool` field.
    public mutating func bool(_ value: Bool, field: UInt32) { self.unsigned(value ? 1 : 0, field: field) }

    /// A `bytes` field.
    public mutating func bytes(_ value: some Collection<UInt8>, field: UInt32) {
        self.tag(field, wireType: 2)
        Varint.appendUnbounded(UInt64(value.count), to: &self.bytes)
        self.bytes.append(contentsOf: value)
    }

    /// A `string` field.
    public mutating func string(_ value: String, field: UInt32) { self.bytes(Array(value.utf8), field: field) }

    /// A field whose value is a message of its own.
    public mutating func message(field: UInt32, _ write: (inout ProtobufWriter) -> Void) {
        self.bytes(Self.message(write), field: field)
    }

    /// A field as it was read (`ProtobufField.encoded`).
    public mutating func encoded(_ field: some Sequence<UInt8>) { self.bytes.append(contentsOf: field) }

    private mutating func tag(_ field: UInt32, wireType: UInt64) {
        precondition((1...ProtobufField.numberMax).contains(field), "a field number is 1 to 2²⁹ − 1")
        Varint.appendUnbounded(UInt64(field) << 3 | wireType, to: &self.bytes)
    }
}
