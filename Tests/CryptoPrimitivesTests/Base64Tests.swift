import CryptoPrimitives
import Foundation
import Testing

@Suite struct Base64Tests {
    /// RFC 4648, section 10.
    static let published = [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ]

    @Test(arguments: published)
    func `the figures of RFC 4648 hold both ways`(plain: String, encoded: String) throws {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
        #expect(try Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test func `every byte and every remainder agrees with Foundation`() throws {
        let all = (0...255).map { UInt8($0) }
        for count in 250...256 {
            let bytes = Array(all.prefix(count))
            let encoded = Base64.encode(bytes)
            #expect(encoded == Data(bytes).base64EncodedString())
            #expect(try Base64.decode(encoded) == bytes)
        }
    }

    @Test(arguments: [
        ("Z", Base64Error.wrongLength(1)), ("Zg=", .wrongLength(3)), ("Zm9v\n", .wrongLength(5)),
        ("Zm 9", .notADigit(offset: 2)), ("Zm9_", .notADigit(offset: 3)), ("====", .notADigit(offset: 0)),
        ("Z===", .notADigit(offset: 1)), ("Zg==Zg==", .notADigit(offset: 2)), ("Z=g=", .notADigit(offset: 1)),
        ("Zh==", .unusedBitsSet), ("Zm9=", .unusedBitsSet),
    ])
    func `what is not the one Base64 text of some bytes is refused`(text: String, error: Base64Error) {
        #expect(throws: error) { try Base64.decode(text) }
    }
}
