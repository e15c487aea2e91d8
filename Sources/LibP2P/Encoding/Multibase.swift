internal import CryptoPrimitives

/// Why a text is no multibase text.
public enum MultibaseError: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    /// The first character names a base that is not known here.
    case unknownBase(Character)
    /// A character outside the alphabet, at this offset in UTF-8 code units from the text's start.
    case invalidCharacter(offset: Int)
    /// The last digit carries bits that belong to no byte, or there is one digit too many.
    case unusedBits
    case tooManyCharacters(count: Int, maximum: Int)

    public var description: String {
        switch self {
        case .empty: "an empty text names no base"
        case .unknownBase(let prefix): "the first character, '\(prefix)', names no base known here (z, b, k, f, u)"
        case .invalidCharacter(let offset): "the character at offset \(offset) is not a digit of its base"
        case .unusedBits: "the text ends in bits that belong to no byte: it was cut or changed"
        case .tooManyCharacters(let count, let maximum): "the text has \(count) characters, and at most \(maximum) are allowed"
        }
    }
}

/// Bytes as text whose first character says how (multiformats/multibase): the bases that peer ids and addresses use.
public enum Multibase: UInt8, Sendable, CaseIterable {
    case base16 = 0x66  // f
    case base32 = 0x62  // b: lowercase, without padding (RFC 4648, section 6)
    case base36 = 0x6b  // k: lowercase
    case base58btc = 0x7a  // z
    case base64url = 0x75  // u: without padding (RFC 4648, section 5)

    /// Most characters of one text: twice what the longest peer id or certificate hash takes. Base 36 and 58 cost the square of it.
    public static let characterCountMax = 512

    public func encode(_ bytes: [UInt8]) -> String {
        let digits =
            switch self {
            case .base16: PowerOfTwoBase.base16.encode(bytes)
            case .base32: PowerOfTwoBase.base32.encode(bytes)
            case .base36: PositionalNumeral.base36.encode(bytes)
            case .base58btc: PositionalNumeral.base58.encode(bytes)
            case .base64url: PowerOfTwoBase.base64url.encode(bytes)
            }
        return String(Character(UnicodeScalar(self.rawValue))) + digits
    }

    /// Reads a text in any of the bases; exactly one text in each stands for a sequence of bytes.
    public static func decode(_ text: some StringProtocol) throws(MultibaseError) -> (base: Multibase, bytes: [UInt8]) {
        let count = text.utf8.count
        guard count <= Self.characterCountMax else { throw .tooManyCharacters(count: count, maximum: Self.characterCountMax) }
        guard let first = text.first else { throw .empty }
        guard let prefix = first.asciiValue, let base = Multibase(rawValue: prefix) else { throw .unknownBase(first) }
        let digits = text.dropFirst()
        switch base {
        case .base16: return (base, try PowerOfTwoBase.base16.decode(digits))
        case .base32: return (base, try PowerOfTwoBase.base32.decode(digits))
        case .base64url: return (base, try PowerOfTwoBase.base64url.decode(digits))
        case .base36: return (base, try Self.decode(digits, as: .base36))
        case .base58btc: return (base, try Self.decode(digits, as: .base58))
        }
    }

    private static func decode(_ digits: some StringProtocol, as numeral: PositionalNumeral) throws(MultibaseError) -> [UInt8] {
        do throws(PositionalNumeral.InvalidCharacter) {
            return try numeral.decode(digits)
        } catch {
            throw .invalidCharacter(offset: error.offset + 1)
        }
    }
}

/// Bases whose digits are whole bits.
private struct PowerOfTwoBase {
    static let base16 = PowerOfTwoBase(bitCount: 4, alphabet: "0123456789abcdef")
    static let base32 = PowerOfTwoBase(bitCount: 5, alphabet: "abcdefghijklmnopqrstuvwxyz234567")
    static let base64url = PowerOfTwoBase(
        bitCount: 6, alphabet: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    private let bitCount: Int
    private let alphabet: [UInt8]

    private init(bitCount: Int, alphabet: String) {
        self.bitCount = bitCount
        self.alphabet = Array(alphabet.utf8)
    }

    func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count * 8 / self.bitCount + 1)
        let mask = (1 << self.bitCount) - 1
        var (held, heldBitCount) = (0, 0)
        for byte in bytes {
            held = held << 8 | Int(byte)
            heldBitCount += 8
            while heldBitCount >= self.bitCount {
                heldBitCount -= self.bitCount
                text.append(self.alphabet[held >> heldBitCount & mask])
            }
            held &= (1 << heldBitCount) - 1
        }
        if heldBitCount > 0 { text.append(self.alphabet[held << (self.bitCount - heldBitCount) & mask]) }
        return String(decoding: text, as: UTF8.self)
    }

    func decode(_ text: some StringProtocol) throws(MultibaseError) -> [UInt8] {
        var bytes: [UInt8] = []
        var (held, heldBitCount) = (0, 0)
        for (offset, character) in text.utf8.enumerated() {
            guard let digit = self.alphabet.firstIndex(of: character) else { throw .invalidCharacter(offset: offset + 1) }
            held = held << self.bitCount | digit
            heldBitCount += self.bitCount
            if heldBitCount >= 8 {
                heldBitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: held >> heldBitCount))
                held &= (1 << heldBitCount) - 1
            }
        }
        guard heldBitCount < self.bitCount, held == 0 else { throw .unusedBits }
        return bytes
    }
}
