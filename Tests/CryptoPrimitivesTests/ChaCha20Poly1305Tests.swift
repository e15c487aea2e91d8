import CryptoPrimitives
import Testing

struct `ChaCha20-Poly1305` {
    // RFC 8439, section 2.8.2.
    private let key = Array(UInt8(0x80)...0x9f)
    private let nonceBytes: [UInt8] = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47]
    private let associatedData: [UInt8] = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7]
    private let text = Array(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.".utf8)
    private let sealed =
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        + "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"

    private func nonce() throws -> ChaCha20Poly1305.Nonce { try #require(ChaCha20Poly1305.Nonce(self.nonceBytes)) }

    private func seal(_ text: [UInt8], nonce: ChaCha20Poly1305.Nonce, authenticating data: [UInt8]) -> [UInt8] {
        var target = [UInt8](repeating: 0, count: text.count + 16)
        target.withUnsafeMutableBytes { target in
            self.key.withUnsafeBytes { key in
                data.withUnsafeBytes { data in
                    text.withUnsafeBytes { ChaCha20Poly1305.seal($0, key: key, nonce: nonce, authenticating: data, to: target) }
                }
            }
        }
        return target
    }

    private func open(
        _ sealed: [UInt8], key: [UInt8]? = nil, nonce: ChaCha20Poly1305.Nonce, authenticating data: [UInt8]
    ) throws -> [UInt8] {
        var target = [UInt8](repeating: 0, count: max(0, sealed.count - 16))
        try target.withUnsafeMutableBytes { target in
            try (key ?? self.key).withUnsafeBytes { key in
                try data.withUnsafeBytes { data in
                    try sealed.withUnsafeBytes { sealed in
                        try ChaCha20Poly1305.open(sealed, key: key, nonce: nonce, authenticating: data, to: target)
                    }
                }
            }
        }
        return target
    }

    @Test func `gives the figures of RFC 8439, there and back`() throws {
        let made = try self.seal(self.text, nonce: self.nonce(), authenticating: self.associatedData)
        #expect(Hex.encode(made) == self.sealed)
        #expect(try self.open(made, nonce: self.nonce(), authenticating: self.associatedData) == self.text)
    }

    @Test func `works where the bytes already stand`() throws {
        let nonce = try self.nonce()
        var buffer = self.text + [UInt8](repeating: 0, count: 16)
        let count = self.text.count
        try buffer.withUnsafeMutableBytes { buffer in
            try self.key.withUnsafeBytes { key in
                try self.associatedData.withUnsafeBytes { data in
                    let text = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
                    ChaCha20Poly1305.seal(UnsafeRawBufferPointer(text), key: key, nonce: nonce, authenticating: data, to: buffer)
                    #expect(Hex.encode(buffer) == self.sealed)
                    try ChaCha20Poly1305.open(UnsafeRawBufferPointer(buffer), key: key, nonce: nonce, authenticating: data, to: text)
                }
            }
        }
        #expect(Array(buffer[..<count]) == self.text)
    }

    @Test func `refuses bytes with any one bit flipped, cut short anywhere, or lengthened`() throws {
        let (nonce, sealed) = (try self.nonce(), try Hex.decode(self.sealed))
        for bit in 0..<(sealed.count * 8) {
            var wrong = sealed
            wrong[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: AuthenticationError()) { try self.open(wrong, nonce: nonce, authenticating: self.associatedData) }
        }
        for count in sealed.indices {
            #expect(throws: AuthenticationError(), "\(count) bytes") {
                try self.open(Array(sealed[..<count]), nonce: nonce, authenticating: self.associatedData)
            }
        }
        #expect(throws: AuthenticationError()) { try self.open(sealed + [0], nonce: nonce, authenticating: self.associatedData) }
    }

    @Test func `refuses another key, nonce or associated data`() throws {
        let (nonce, sealed) = (try self.nonce(), try Hex.decode(self.sealed))
        #expect(throws: AuthenticationError()) { try self.open(sealed, nonce: nonce, authenticating: []) }
        #expect(throws: AuthenticationError()) {
            try self.open(sealed, nonce: .init(counter: 0), authenticating: self.associatedData)
        }
        #expect(throws: AuthenticationError()) {
            try self.open(sealed, key: self.key.reversed(), nonce: nonce, authenticating: self.associatedData)
        }
    }

    @Test func `seals nothing at all too`() throws {
        let made = self.seal([], nonce: .init(counter: 1), authenticating: [])
        #expect(made.count == 16)
        #expect(try self.open(made, nonce: .init(counter: 1), authenticating: []) == [])
    }

    @Test func `a counter stands in the nonce's last eight bytes, the lowest first`() throws {
        let counter: UInt64 = 0x0102_0304_0506_0708
        let spelled = try #require(ChaCha20Poly1305.Nonce([0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]))
        let made = self.seal(self.text, nonce: .init(counter: counter), authenticating: [])
        #expect(made == self.seal(self.text, nonce: spelled, authenticating: []))
        #expect(ChaCha20Poly1305.Nonce([UInt8](repeating: 0, count: 11)) == nil)
    }
}
