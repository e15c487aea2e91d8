/// The 12 bytes before each frame of yamux: version, type, flags, stream and length, in network order.
///
/// Source: hashicorp/yamux, spec.md, "Framing".
struct YamuxHeader: Equatable, Sendable {
    static let byteCount = 12

    /// The only version there is.
    static let version: UInt8 = 0

    enum Kind: UInt8, Sendable {
        /// `length` bytes of a stream follow.
        case data = 0
        /// The sender of this frame can take `length` more bytes of the stream. With RST: `length` is an error code.
        case windowUpdate = 1
        /// `length` is a value to be sent back.
        case ping = 2
        /// The session ends; `length` says why.
        case goAway = 3
    }

    /// Bits without a meaning are kept out of the way, not refused: all known peers do so.
    struct Flags: OptionSet, Sendable {
        let rawValue: UInt16

        static let syn = Flags(rawValue: 1)
        static let ack = Flags(rawValue: 2)
        static let fin = Flags(rawValue: 4)
        static let rst = Flags(rawValue: 8)
    }

    var kind: Kind
    var flags: Flags
    /// 0 for the session itself.
    var streamID: UInt32
    var length: UInt32

    init(_ kind: Kind, _ flags: Flags, stream: YamuxStreamID? = nil, length: Int) {
        self.kind = kind
        self.flags = flags
        self.streamID = stream?.rawValue ?? 0
        self.length = UInt32(length)
    }

    /// - Parameter bytes: exactly ``byteCount`` of them.
    init(parsing bytes: RawSpan) throws(YamuxViolation) {
        precondition(bytes.byteCount == Self.byteCount, "a yamux header is parsed when it is whole")
        let version = bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        guard version == Self.version else { throw .unknownVersion(version) }
        let type = bytes.unsafeLoad(fromByteOffset: 1, as: UInt8.self)
        guard let kind = Kind(rawValue: type) else { throw .unknownFrameType(type) }
        self.kind = kind
        self.flags = Flags(rawValue: UInt16(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        self.streamID = UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt32.self))
        self.length = UInt32(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt32.self))
    }

    func append(to output: inout OutputRawSpan) {
        output.append(Self.version)
        output.append(self.kind.rawValue)
        output.append(self.flags.rawValue.bigEndian, as: UInt16.self)
        output.append(self.streamID.bigEndian, as: UInt32.self)
        output.append(self.length.bigEndian, as: UInt32.self)
    }
}

/// Collects a header that arrives in several pieces.
struct YamuxPartialHeader: Sendable {
    private var bytes = InlineArray<12, UInt8>(repeating: 0)
    private var count = 0

    var isEmpty: Bool { self.count == 0 }

    /// Takes what is missing from `offset` on; gives the header once it is whole, and is then empty again.
    mutating func take(from bytes: RawSpan, at offset: inout Int) throws(YamuxViolation) -> YamuxHeader? {
        while self.count < YamuxHeader.byteCount, offset < bytes.byteCount {
            self.bytes[self.count] = bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            self.count += 1
            offset += 1
        }
        guard self.count == YamuxHeader.byteCount else { return nil }
        self.count = 0
        return try YamuxHeader(parsing: self.bytes.span.bytes)
    }
}
