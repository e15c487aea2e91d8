/// Bytes as one long number in another base, one leading zero digit for each leading zero byte: base 58 and base 36.
///
/// The cost grows with the square of the length, so whoever reads a stranger's text bounds it first.
package struct PositionalNumeral: Sendable {
    /// Without `0`, `O`, `I` and `l`, which look alike.
    package static let base58 = PositionalNumeral(alphabet: "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
    package static let base36 = PositionalNumeral(alphabet: "0123456789abcdefghijklmnopqrstuvwxyz")

    /// A character outside the alphabet, at this offset in UTF-8 code units.
    package struct InvalidCharacter: Error {
        package let offset: Int
    }

    private let alphabet: [UInt8]

    private init(alphabet: String) { self.alphabet = Array(alphabet.utf8) }

    package func encode(_ bytes: [UInt8]) -> String {
        let leadingZeros = bytes.prefix { $0 == 0 }.count
        let digits = Self.convert(bytes[leadingZeros...], from: 256, to: self.alphabet.count)
        let text = [UInt8](repeating: self.alphabet[0], count: leadingZeros) + digits.map { self.alphabet[Int($0)] }
        return String(decoding: text, as: UTF8.self)
    }

    package func decode(_ text: some StringProtocol) throws(InvalidCharacter) -> [UInt8] {
        var digits: [UInt8] = []
        digits.reserveCapacity(text.utf8.count)
        for (offset, character) in text.utf8.enumerated() {
            guard let digit = self.alphabet.firstIndex(of: character) else { throw InvalidCharacter(offset: offset) }
            digits.append(UInt8(digit))
        }
        let leadingZeros = digits.prefix { $0 == 0 }.count
        return [UInt8](repeating: 0, count: leadingZeros) + Self.convert(digits[leadingZeros...], from: self.alphabet.count, to: 256)
    }

    /// The digits of the same number in another base, the most significant first, without leading zeros.
    private static func convert(_ digits: ArraySlice<UInt8>, from source: Int, to target: Int) -> [UInt8] {
        var result: [UInt8] = []  // the least significant first
        for digit in digits {
            var carry = Int(digit)
            for index in result.indices {
                carry += Int(result[index]) * source
                result[index] = UInt8(carry % target)
                carry /= target
            }
            while carry > 0 {
                result.append(UInt8(carry % target))
                carry /= target
            }
        }
        return result.reversed()
    }
}
