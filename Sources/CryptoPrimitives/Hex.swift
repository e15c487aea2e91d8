/// Why a text is not hexadecimal.
public enum HexError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The count of digits is odd.
    case oddLength(Int)
    /// A character that is no hex digit, at this offset in UTF-8 code units from the start.
    case notADigit(offset: Int)

    public var description: String {
        switch self {
        case .oddLength(let count): "hex needs an even count of digits, and here are \(count)"
        case .notADigit(let offset): "the character at offset \(offset) is not a hex digit"
        }
    }
}

/// Base 16, lowercase on the way out, either case on the way in.
public enum Hex {
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(bytes.underestimatedCount * 2)
        for byte in bytes {
            text.append(Self.digit(byte >> 4))
            text.append(Self.digit(byte & 15))
        }
        return String(decoding: text, as: UTF8.self)
    }

    public static func decode(_ text: some StringProtocol) throws(HexError) -> [UInt8] {
        let count = text.utf8.count
        guard count % 2 == 0 else { throw .oddLength(count) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count / 2)
        var high: UInt8 = 0
        for (offset, character) in text.utf8.enumerated() {
            guard let value = Self.value(character) else { throw .notADigit(offset: offset) }
            if offset % 2 == 0 { high = value << 4 } else { bytes.append(high | value) }
        }
        return bytes
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 + value - 10 }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x30...0x39: character - 0x30
        case 0x41...0x46: character - 0x41 + 10
        case 0x61...0x66: character - 0x61 + 10
        default: nil
        }
    }
}
