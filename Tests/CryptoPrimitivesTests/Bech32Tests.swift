import CryptoPrimitives
import Foundation
import TestVectors
import Testing

private let vectorFile = "extracted/bip173_350.json"

@Suite(.enabled(if: VectorFolder.has(vectorFile), "needs the bips folder: set CHORALE_BIPS"))
struct `Bech32 by its official figures` {
    struct File: Decodable {
        let bech32: Strings
        let bech32m: Strings
        let addresses173: Addresses
        let addresses350: Addresses

        private enum CodingKeys: String, CodingKey {
            case bech32, bech32m
            case addresses173 = "addresses_173"
            case addresses350 = "addresses_350"
        }
    }
    struct Strings: Decodable {
        let valid: [Text]
        let invalid: [Text]
    }
    struct Text: Decodable {
        let string: String
        let bytes: String?
        let why: String?
    }
    struct Addresses: Decodable {
        let valid: [Address]
        let invalid: [Address]
    }
    struct Address: Decodable {
        let address: String
        let scriptPubKey: String?
        let why: String?
    }

    // Not by `load`: the keys of this file are read as they are.
    let file: File

    init() throws { self.file = try JSONDecoder().decode(File.self, from: VectorFolder.data(vectorFile)) }

    @Test func `the file has the cases it had when these tests were written`() {
        #expect(self.file.bech32.valid.count == 7 && self.file.bech32.invalid.count == 12)
        #expect(self.file.bech32m.valid.count == 7 && self.file.bech32m.invalid.count == 14)
        #expect(self.file.addresses173.valid.count == 6 && self.file.addresses350.valid.count == 8)
    }

    @Test func `valid texts decode with their variant and encode back to themselves in lower case`() throws {
        for (texts, variant) in [(self.file.bech32.valid, Bech32.Variant.bech32), (self.file.bech32m.valid, .bech32m)] {
            for text in texts {
                let decoded = try Bech32.decode(text.string)
                #expect(decoded.variant == variant, "\(text.string)")
                let again = try Bech32.encode(humanReadablePart: decoded.humanReadablePart, data5: decoded.data5, variant: variant)
                #expect(again == text.string.lowercased())
            }
        }
    }

    @Test func `every invalid text is refused for the reason the BIP gives`() throws {
        for text in self.file.bech32.invalid + self.file.bech32m.invalid {
            let why = try #require(text.why)
            let error = #expect(throws: Bech32Error.self, "\(text.string)") { try Bech32.decode(text.string) }
            let fits: Bool =
                switch (why, error) {
                case (_, nil): false
                case ("prefix character 0x20", .invalidPrefixCharacter(offset: 0)),
                    ("prefix character 0x7f", .invalidPrefixCharacter(offset: 0)),
                    ("prefix character 0x80", .invalidPrefixCharacter(offset: 0)):
                    true
                case ("too long overall", .tooLong(_, 90)), ("no separator", .noSeparator), ("empty prefix", .wrongPrefixLength(0)): true
                case ("bad data character", .invalidDataCharacter), ("checksum holds a bad character", .invalidDataCharacter): true
                case ("checksum too short", .checksumTooShort), ("checksum made over upper-case prefix", .wrongChecksum): true
                default: false
                }
            #expect(fits, "\(text.string): \(why), and the error is \(String(describing: error))")
        }
    }

    @Test func `the program of every valid address comes out of its groups and goes back in`() throws {
        for address in self.file.addresses173.valid + self.file.addresses350.valid {
            let decoded = try Bech32.decode(address.address)
            let program = try Bech32.convertBits(Array(decoded.data5.dropFirst()), from: 5, to: 8, padding: false)
            let script = try Hex.decode(#require(address.scriptPubKey))
            #expect(program == Array(script.dropFirst(2)))
            #expect(try Bech32.convertBits(program, from: 8, to: 5, padding: true) == Array(decoded.data5.dropFirst()))
        }
    }

    @Test func `badly padded addresses have a right checksum and are refused in regrouping`() throws {
        let padded = (self.file.addresses173.invalid + self.file.addresses350.invalid).filter { $0.why?.contains("padding") == true }
        #expect(padded.count == 4)
        for address in padded {
            let decoded = try Bech32.decode(address.address)
            #expect(throws: Bech32Error.invalidPadding) {
                try Bech32.convertBits(Array(decoded.data5.dropFirst()), from: 5, to: 8, padding: false)
            }
        }
    }

    @Test func `addresses with mixed case or a wrong checksum are refused`() {
        for address in self.file.addresses173.invalid + self.file.addresses350.invalid {
            switch address.why {
            case "mixed case": #expect(throws: Bech32Error.mixedCase) { try Bech32.decode(address.address) }
            case "bad checksum": #expect(throws: Bech32Error.wrongChecksum) { try Bech32.decode(address.address) }
            default: break
            }
        }
    }
}

struct `Bech32 of any input` {
    @Test func `any one wrong character is found`() throws {
        let text = Array(try Bech32.encode(humanReadablePart: "tb", data5: Array(0..<32), variant: .bech32m).utf8)
        for index in text.indices {
            for character in "qpzry9x8gf2tvdw0s3jn54khce6mua7l1b".utf8 where character != text[index] {
                var wrong = text
                wrong[index] = character
                #expect(throws: Bech32Error.self) { try Bech32.decode(String(decoding: wrong, as: UTF8.self)) }
            }
        }
    }

    @Test func `every byte string survives regrouping, and its spare bits must be zero`() throws {
        for count in 0..<40 {
            let bytes = Array((SHA256.hash([UInt8(count)]).bytes + SHA256.hash([UInt8(count), 1]).bytes).prefix(count))
            let groups = try Bech32.convertBits(bytes, from: 8, to: 5, padding: true)
            #expect(groups.count == (count * 8 + 4) / 5)
            #expect(try Bech32.convertBits(groups, from: 5, to: 8, padding: false) == bytes)
            if count % 5 != 0, let last = groups.last {
                #expect(throws: Bech32Error.invalidPadding) {
                    try Bech32.convertBits(groups.dropLast() + [last | 1], from: 5, to: 8, padding: false)
                }
            }
        }
    }

    @Test func `what cannot be written is refused by name`() {
        #expect(throws: Bech32Error.wrongPrefixLength(0)) { try Bech32.encode(humanReadablePart: "", data5: [], variant: .bech32) }
        #expect(throws: Bech32Error.wrongPrefixLength(84)) {
            try Bech32.encode(humanReadablePart: String(repeating: "a", count: 84), data5: [], variant: .bech32, maximumLength: 200)
        }
        #expect(throws: Bech32Error.invalidPrefixCharacter(offset: 1)) {
            try Bech32.encode(humanReadablePart: "bC", data5: [], variant: .bech32)
        }
        #expect(throws: Bech32Error.invalidPrefixCharacter(offset: 0)) {
            try Bech32.encode(humanReadablePart: "é", data5: [], variant: .bech32)
        }
        #expect(throws: Bech32Error.valueOutOfRange(index: 1)) {
            try Bech32.encode(humanReadablePart: "bc", data5: [31, 32], variant: .bech32)
        }
        #expect(throws: Bech32Error.valueOutOfRange(index: 0)) { try Bech32.convertBits([32], from: 5, to: 8, padding: true) }
        for bits in [0, -1, 9, .max] {
            #expect(throws: Bech32Error.wrongGroup(bitCount: bits)) { try Bech32.convertBits([1], from: bits, to: 8, padding: true) }
            #expect(throws: Bech32Error.wrongGroup(bitCount: bits)) { try Bech32.convertBits([1], from: 8, to: bits, padding: true) }
        }
        #expect(throws: Bech32Error.tooLong(count: 91, maximum: 90)) {
            try Bech32.encode(humanReadablePart: "bc", data5: [UInt8](repeating: 0, count: 82), variant: .bech32)
        }
    }

    @Test func `a longer text passes where the caller allows it`() throws {
        let text = try Bech32.encode(
            humanReadablePart: "x", data5: [UInt8](repeating: 7, count: 300), variant: .bech32m, maximumLength: 400)
        #expect(throws: Bech32Error.tooLong(count: 308, maximum: 90)) { try Bech32.decode(text) }
        #expect(try Bech32.decode(text, maximumLength: 308).data5.count == 300)
    }
}
