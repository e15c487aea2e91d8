/// The kinds of frames (RFC 6455, section 5.2).
enum WebSocketOpcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    var isControl: Bool { self.rawValue >= 8 }
}

/// What stands before a frame's bytes.
struct WebSocketFrameHeader: Equatable, Sendable {
    /// Most bytes of a header: two, eight of length, four of mask.
    static let byteCountMax = 14
    /// Most bytes in a control frame (section 5.5).
    static let controlByteCountMax = 125

    var isFinal: Bool
    var opcode: WebSocketOpcode
    var byteCount: Int
    /// Four bytes, in the order in which they are sent; the first is the lowest.
    var mask: UInt32?

    /// Reads a header; `nil` while it is not whole.
    static func parse(_ bytes: [UInt8]) throws(WebSocketError) -> (header: WebSocketFrameHeader, byteCount: Int)? {
        guard let first = bytes.first else { return nil }
        guard first & 0x70 == 0 else { throw .reservedBitsSet }
        guard let opcode = WebSocketOpcode(rawValue: first & 0x0f) else { throw .unknownOpcode(first & 0x0f) }
        guard bytes.count >= 2 else { return nil }
        let isFinal = first & 0x80 != 0
        let short = bytes[1] & 0x7f
        // A close frame that says why says it in two bytes or more (section 5.5.1).
        if opcode.isControl, !isFinal || short > Self.controlByteCountMax || opcode == .close && short == 1 { throw .wrongControlFrame }

        let lengthByteCount = short == 126 ? 2 : short == 127 ? 8 : 0
        let isMasked = bytes[1] & 0x80 != 0
        let headerByteCount = 2 + lengthByteCount + (isMasked ? 4 : 0)
        guard bytes.count >= 2 + lengthByteCount else { return nil }
        let length = lengthByteCount == 0 ? UInt64(short) : bytes[2..<2 + lengthByteCount].reduce(0) { $0 << 8 | UInt64($1) }
        // The shortest form, and never the highest bit.
        switch lengthByteCount {
        case 2: guard length > 125 else { throw .wrongLength }
        case 8: guard length > 0xffff, length >> 63 == 0 else { throw .wrongLength }
        default: break
        }
        guard let byteCount = Int(exactly: length) else { throw .wrongLength }
        guard bytes.count >= headerByteCount else { return nil }
        let mask = isMasked ? bytes[(headerByteCount - 4)..<headerByteCount].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) } : nil
        return (WebSocketFrameHeader(isFinal: isFinal, opcode: opcode, byteCount: byteCount, mask: mask), headerByteCount)
    }

    var bytes: [UInt8] {
        var bytes: [UInt8] = [(self.isFinal ? 0x80 : 0) | self.opcode.rawValue]
        let maskBit: UInt8 = self.mask == nil ? 0 : 0x80
        switch self.byteCount {
        case ...125: bytes.append(maskBit | UInt8(self.byteCount))
        case ...0xffff:
            bytes.append(maskBit | 126)
            withUnsafeBytes(of: UInt16(self.byteCount).bigEndian) { bytes += $0 }
        default:
            bytes.append(maskBit | 127)
            withUnsafeBytes(of: UInt64(self.byteCount).bigEndian) { bytes += $0 }
        }
        if let mask = self.mask { withUnsafeBytes(of: mask.littleEndian) { bytes += $0 } }
        return bytes
    }

    /// Masks bytes, or takes the mask off: it is the same. `offset` of them were done before.
    static func apply(_ mask: UInt32, to bytes: UnsafeMutableRawBufferPointer, offset: Int) {
        guard mask != 0 else { return }
        let shift = UInt32(offset & 3) * 8
        let rotated = shift == 0 ? mask : mask >> shift | mask << (32 - shift)
        let wide = (UInt64(rotated) << 32 | UInt64(rotated)).littleEndian
        let wordsEnd = bytes.count & ~7
        for start in stride(from: 0, to: wordsEnd, by: 8) {
            bytes.storeBytes(of: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self) ^ wide, toByteOffset: start, as: UInt64.self)
        }
        for index in wordsEnd..<bytes.count { bytes[index] ^= UInt8(truncatingIfNeeded: rotated >> (UInt32(index & 3) * 8)) }
    }
}
