/// Why a text is not Base64.
public enum Base64Error: Error, Equatable, Sendable, CustomStringConvertible {
    /// The count of characters, padding included, is not a multiple of four.
    case wrongLength(Int)
    /// A character outside the alphabet, or padding where none belongs, at this offset in UTF-8 code units from the start.
    case notADigit(offset: Int)
    /// The last digit carries bits that belong to no byte; they must be zero, or two texts would mean the same bytes.
    case unusedBitsSet

    public var description: String {
        switch self {
        case .wrongLength(let count): "Base64 comes in groups of four characters, and here are \(count)"
        case .notADigit(let offset): "the character at offset \(offset) is not a Base64 digit"
        case .unusedBitsSet: "the last Base64 digit has bits set that belong to no byte; the text was cut or changed"
        }
    }
}

/// Base 64 with the standard alphabet and padding (RFC 4648, section 4).
///
/// Decoding is strict: exactly one text stands for each sequence of bytes. White space is the caller's to remove.
public enum Base64 {
    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.underestimatedCount + 2) / 3 * 4)
        var group: UInt32 = 0
        var filled = 0
        for byte in bytes {
            group = group << 8 | UInt32(byte)
            filled += 1
            if filled == 3 {
                for shift in [18, 12, 6, 0] as [UInt32] { text.append(Self.digit(UInt8(group >> shift & 63))) }
                group = 0
                filled = 0
            }
        }
        switch filled {
        case 1:
            text += [Self.digit(UInt8(group >> 2 & 63)), Self.digit(UInt8(group << 4 & 63)), Self.padding, Self.padding]
        case 2:
            text += [
                Self.digit(UInt8(group >> 10 & 63)), Self.digit(UInt8(group >> 4 & 63)), Self.digit(UInt8(group << 2 & 63)),
                Self.padding,
            ]
        default:
            break
        }
        return String(decoding: text, as: UTF8.self)
    }

    public static func decode(_ text: some StringProtocol) throws(Base64Error) -> [UInt8] {
        let characters = Array(text.utf8)
        guard characters.count % 4 == 0 else { throw .wrongLength(characters.count) }
        var digits = characters[...]
        // At most two: with three, the last group would hold no whole byte.
        for _ in 0..<2 where digits.last == Self.padding { digits = digits.dropLast() }

        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 4 * 3 + 2)
        var bits: UInt32 = 0
        var bitCount = 0
        for (offset, character) in digits.enumerated() {
            guard let value = Self.value(character) else { throw .notADigit(offset: offset) }
            bits = bits << 6 | UInt32(value)
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
                bits &= (1 << UInt32(bitCount)) - 1
            }
        }
        guard bits == 0 else { throw .unusedBitsSet }
        return bytes
    }

    private static let padding: UInt8 = 0x3d

    private static func digit(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: 0x41 + value
        case 26..<52: 0x61 + value - 26
        case 52..<62: 0x30 + value - 52
        case 62: 0x2b
        default: 0x2f
        }
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x41...0x5a: character - 0x41
        case 0x61...0x7a: character - 0x61 + 26
        case 0x30...0x39: character - 0x30 + 52
        case 0x2b: 62
        case 0x2f: 63
        default: nil
        }
    }
}
