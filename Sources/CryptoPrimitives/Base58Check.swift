/// Why a text is not Base58Check.
public enum Base58Error: Error, Equatable, Sendable, CustomStringConvertible {
    /// More characters than anything in Bitcoin needs.
    case tooManyCharacters(count: Int, maximum: Int)
    /// More bytes than anything in Bitcoin has.
    case tooManyBytes(count: Int, maximum: Int)
    /// Too few bytes to hold a checksum.
    case tooShort
    /// A character outside the alphabet, at this offset in UTF-8 code units; `0`, `O`, `I` and `l` are outside on purpose.
    case invalidCharacter(offset: Int)
    /// A character is wrong, missing or too many.
    case wrongChecksum

    public var description: String {
        switch self {
        case .tooManyCharacters(let count, let maximum): "the text has \(count) characters, and at most \(maximum) are allowed"
        case .tooManyBytes(let count, let maximum): "the text holds \(count) bytes, and at most \(maximum) are allowed"
        case .tooShort: "the text is too short to hold its checksum"
        case .invalidCharacter(let offset): "the character at offset \(offset) is not one of the 58 (0, O, I and l are never used)"
        case .wrongChecksum: "the checksum does not fit: a character is mistyped, missing or too many; compare it with its source"
        }
    }
}

/// Base 58 with the first four bytes of a double SHA-256 behind the data: old addresses and extended keys.
public enum Base58Check {
    /// Most bytes in one text, the checksum not counted: those of an extended key (BIP-32, "Serialization format").
    public static let byteCountMax = 78

    /// Most characters of one text: what 78 + 4 bytes can take. The cost of decoding grows with the square of it.
    public static let characterCountMax = 112

    private static let checksumByteCount = 4

    /// The text of the bytes. `decode` reads that of 78 bytes at most; the cost grows with the square of their count.
    public static func encode(_ bytes: [UInt8]) -> String {
        let whole = bytes + Self.checksum(bytes)
        return PositionalNumeral.base58.encode(whole)
    }

    /// The bytes of a text, their checksum verified and taken off.
    public static func decode(_ text: String) throws(Base58Error) -> [UInt8] {
        let count = text.utf8.count
        guard count <= Self.characterCountMax else { throw .tooManyCharacters(count: count, maximum: Self.characterCountMax) }
        let whole: [UInt8]
        do throws(PositionalNumeral.InvalidCharacter) {
            whole = try PositionalNumeral.base58.decode(text)
        } catch {
            throw .invalidCharacter(offset: error.offset)
        }
        guard whole.count >= Self.checksumByteCount else { throw .tooShort }
        let bytes = Array(whole.dropLast(Self.checksumByteCount))
        guard bytes.count <= Self.byteCountMax else { throw .tooManyBytes(count: bytes.count, maximum: Self.byteCountMax) }
        guard whole.suffix(Self.checksumByteCount).elementsEqual(Self.checksum(bytes)) else { throw .wrongChecksum }
        return bytes
    }

    private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
        Array(SHA256.doubleHash(bytes).bytes.prefix(Self.checksumByteCount))
    }
}
