/// Why a text is not bech32, or a value cannot be written as bech32.
public enum Bech32Error: Error, Equatable, Sendable, CustomStringConvertible {
    /// More characters than the caller allows.
    case tooLong(count: Int, maximum: Int)
    /// Upper-case and lower-case letters in one text.
    case mixedCase
    /// No `1` between the human-readable part and the data.
    case noSeparator
    /// The human-readable part must have 1 to 83 characters.
    case wrongPrefixLength(Int)
    /// A character of the human-readable part, at this offset in UTF-8 code units, that is no printable ASCII; when encoding
    /// also an upper-case letter.
    case invalidPrefixCharacter(offset: Int)
    /// A character behind the separator, at this offset in UTF-8 code units, that is none of the 32 data characters.
    case invalidDataCharacter(offset: Int)
    /// Fewer than six characters behind the separator.
    case checksumTooShort
    /// The checksum fits neither bech32 nor bech32m: a character is wrong, missing or too many.
    case wrongChecksum
    /// A value to encode or to regroup that needs more bits than its group has.
    case valueOutOfRange(index: Int)
    /// Regrouping left over a whole group, or bits that are not zero.
    case invalidPadding
    /// A group of a byte's bits has 1 to 8 of them.
    case wrongGroup(bitCount: Int)

    public var description: String {
        switch self {
        case .tooLong(let count, let maximum): "the text has \(count) characters, and at most \(maximum) are allowed"
        case .mixedCase: "the text mixes upper-case and lower-case letters; write it in one of the two"
        case .noSeparator: "there is no separator: a 1 must stand between the prefix and the data"
        case .wrongPrefixLength(let count): "the prefix has \(count) characters, and 1 to 83 are allowed"
        case .invalidPrefixCharacter(let offset): "the character at offset \(offset) cannot stand in a prefix"
        case .invalidDataCharacter(let offset): "the character at offset \(offset) cannot stand behind the separator"
        case .checksumTooShort: "fewer than six characters stand behind the separator, so there is no whole checksum"
        case .wrongChecksum: "the checksum does not fit: a character is mistyped, missing or too many; compare it with its source"
        case .valueOutOfRange(let index): "the value at index \(index) has more bits than a group holds"
        case .invalidPadding: "the data does not fill whole bytes: its last bits should be zero and fewer than one group"
        case .wrongGroup(let count): "a group has 1 to 8 bits, and not \(count)"
        }
    }
}

/// Base 32 with a checksum that finds any four wrong characters (BIP-173, BIP-350).
public enum Bech32 {
    /// Which constant the checksum is made with.
    public enum Variant: Hashable, Sendable {
        /// BIP-173: segregated witness version 0.
        case bech32
        /// BIP-350: segregated witness versions 1 to 16.
        case bech32m

        fileprivate var checksumConstant: UInt32 {
            switch self {
            case .bech32: 1
            case .bech32m: 0x2bc8_30a3
            }
        }
    }

    /// Longest text, in characters, for which the checksum keeps its promise (BIP-173, "Bech32").
    public static let characterCountMax = 90

    /// Longest human-readable part, in characters (BIP-173, "Bech32").
    public static let prefixCharacterCountMax = 83

    private static let checksumCharacterCount = 6

    private static let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)

    /// The text in lower case.
    ///
    /// - Parameters:
    ///   - humanReadablePart: 1 to 83 printable ASCII characters, none of them an upper-case letter.
    ///   - data5: Values below 32; `convertBits` makes them out of bytes.
    ///   - variant: Which of the two checksums the format at hand asks for.
    ///   - maximumLength: Most characters of the whole text. Above 90 the checksum finds fewer mistakes.
    public static func encode(
        humanReadablePart: String, data5: [UInt8], variant: Variant, maximumLength: Int = Self.characterCountMax
    ) throws(Bech32Error) -> String {
        let prefix = Array(humanReadablePart.utf8)
        try Self.checkPrefix(prefix)
        if let offset = prefix.firstIndex(where: Self.isUpperCase) { throw .invalidPrefixCharacter(offset: offset) }
        if let index = data5.firstIndex(where: { $0 > 31 }) { throw .valueOutOfRange(index: index) }
        let count = prefix.count + 1 + data5.count + Self.checksumCharacterCount
        guard count <= maximumLength else { throw .tooLong(count: count, maximum: maximumLength) }

        var checksum = Checksum(prefix: prefix)
        for value in data5 { checksum.add(value) }
        for _ in 0..<Self.checksumCharacterCount { checksum.add(0) }
        let remainder = checksum.state ^ variant.checksumConstant

        var text = prefix
        text.append(Self.separator)
        for value in data5 { text.append(Self.alphabet[Int(value)]) }
        for position in 0..<Self.checksumCharacterCount {
            text.append(Self.alphabet[Int((remainder >> (5 * UInt32(Self.checksumCharacterCount - 1 - position))) & 31)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Takes a text apart; the human-readable part comes back in lower case.
    ///
    /// The caller checks that the variant is the one its format asks for.
    public static func decode(
        _ text: String, maximumLength: Int = Self.characterCountMax
    ) throws(Bech32Error) -> (humanReadablePart: String, data5: [UInt8], variant: Variant) {
        let count = text.utf8.count
        guard count <= maximumLength else { throw .tooLong(count: count, maximum: maximumLength) }
        let characters = Array(text.utf8)
        let hasUpperCase = characters.contains(where: Self.isUpperCase)
        if hasUpperCase && characters.contains(where: Self.isLowerCase) { throw .mixedCase }

        guard let separator = characters.lastIndex(of: Self.separator) else { throw .noSeparator }
        let prefix = characters[..<separator].map { Self.isUpperCase($0) ? $0 + 32 : $0 }
        try Self.checkPrefix(prefix)
        let payload = characters[(separator + 1)...]
        guard payload.count >= Self.checksumCharacterCount else { throw .checksumTooShort }

        var checksum = Checksum(prefix: prefix)
        var values: [UInt8] = []
        values.reserveCapacity(payload.count)
        for (offset, character) in zip(payload.indices, payload) {
            guard let value = Self.value(of: character) else { throw .invalidDataCharacter(offset: offset) }
            values.append(value)
            checksum.add(value)
        }
        let variant: Variant
        switch checksum.state {
        case Variant.bech32.checksumConstant: variant = .bech32
        case Variant.bech32m.checksumConstant: variant = .bech32m
        default: throw .wrongChecksum
        }
        return (String(decoding: prefix, as: UTF8.self), Array(values.dropLast(Self.checksumCharacterCount)), variant)
    }

    /// Cuts a stream of bits into groups of another size, highest bit first (BIP-173, "Segwit address format").
    ///
    /// - Parameters:
    ///   - values: Each with no more bits than `sourceBits`.
    ///   - sourceBits: Bits in each given value, 1 to 8.
    ///   - targetBits: Bits in each value that comes out, 1 to 8.
    ///   - padding: `true` fills the last group with zeros (encoding); `false` demands that what is left over is zeros and less
    ///     than one source group (decoding).
    public static func convertBits(
        _ values: [UInt8], from sourceBits: Int, to targetBits: Int, padding: Bool
    ) throws(Bech32Error) -> [UInt8] {
        for count in [sourceBits, targetBits] where !(1...8).contains(count) { throw .wrongGroup(bitCount: count) }
        var result: [UInt8] = []
        result.reserveCapacity(values.count / targetBits * sourceBits + sourceBits)
        // At most 7 bits are left when the next 8 come, so 16 bits are enough.
        var held: UInt16 = 0
        var heldBits = 0
        for (index, value) in values.enumerated() {
            guard UInt16(value) >> sourceBits == 0 else { throw .valueOutOfRange(index: index) }
            held = (held << sourceBits) | UInt16(value)
            heldBits += sourceBits
            while heldBits >= targetBits {
                heldBits -= targetBits
                result.append(UInt8(truncatingIfNeeded: held >> heldBits))
                held &= (1 << heldBits) - 1
            }
        }
        if padding {
            if heldBits > 0 { result.append(UInt8(truncatingIfNeeded: held << (targetBits - heldBits))) }
        } else if heldBits >= sourceBits || held != 0 {
            throw .invalidPadding
        }
        return result
    }

    // MARK: - Characters

    private static let separator = UInt8(ascii: "1")

    private static func isUpperCase(_ character: UInt8) -> Bool { (0x41...0x5a).contains(character) }

    private static func isLowerCase(_ character: UInt8) -> Bool { (0x61...0x7a).contains(character) }

    private static func value(of character: UInt8) -> UInt8? {
        let lowerCase = Self.isUpperCase(character) ? character + 32 : character
        return Self.alphabet.firstIndex(of: lowerCase).map { UInt8($0) }
    }

    private static func checkPrefix(_ prefix: [UInt8]) throws(Bech32Error) {
        guard (1...Self.prefixCharacterCountMax).contains(prefix.count) else { throw .wrongPrefixLength(prefix.count) }
        if let offset = prefix.firstIndex(where: { !(33...126).contains($0) }) { throw .invalidPrefixCharacter(offset: offset) }
    }

    /// The remainder of a polynomial over GF(32), taken in value by value (BIP-173, "Checksum").
    private struct Checksum {
        private(set) var state: UInt32 = 1

        init(prefix: [UInt8]) {
            for character in prefix { self.add(character >> 5) }
            self.add(0)
            for character in prefix { self.add(character & 31) }
        }

        mutating func add(_ value: UInt8) {
            let top = self.state >> 25
            self.state = (self.state & 0x01ff_ffff) << 5 ^ UInt32(value)
            if top & 1 != 0 { self.state ^= 0x3b6a_57b2 }
            if top & 2 != 0 { self.state ^= 0x2650_8e6d }
            if top & 4 != 0 { self.state ^= 0x1ea1_19fa }
            if top & 8 != 0 { self.state ^= 0x3d42_33dd }
            if top & 16 != 0 { self.state ^= 0x2a14_62b3 }
        }
    }
}
