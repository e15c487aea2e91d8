import CryptoPrimitives
import SigningNode
import Testing

struct `A sealed message` {
    private func plaintext(_ payload: [UInt8] = [1, 2, 3]) throws -> [UInt8] {
        try SealedMessage.plaintext(payload, from: deviceKey(of: "Ada"), to: identity(of: "Bo"))
    }

    @Test(arguments: [0, 1, 363, 364, 1_899, 1_900, 8_043, 8_044, 32_619, 32_620, 100 << 10])
    func `has one of a few lengths and comes back with its sender`(count: Int) throws {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let box = try sealed(payload, from: "Ada", to: "Bo")
        #expect(SealedMessage.sealedByteCounts.contains(box.count))
        let least = count + 101 + SealedBox.overheadByteCount
        #expect(box.count == SealedMessage.sealedByteCounts.first { $0 >= least })
        let opened = try SealedMessage(opening: box, with: deviceKey(of: "Bo"))
        #expect(try opened.sender == identity(of: "Ada"))
        #expect(opened.payload == payload)
    }

    @Test func `longer than a control message is not sealed`() throws {
        let payload = [UInt8](repeating: 0, count: (100 << 10) + 1)
        #expect(throws: SealedMessageError.tooLarge(byteCount: 102_401, limit: 102_400)) { try sealed(payload, from: "Ada", to: "Bo") }
    }

    @Test func `for another, altered, cut short or too long is refused`() throws {
        let box = try sealed([1, 2, 3], from: "Ada", to: "Bo")
        #expect(throws: SealedMessageError.forAnotherOrDamaged) { try SealedMessage(opening: box, with: deviceKey(of: "Cy")) }
        for count in 0..<box.count {
            #expect(throws: SealedMessageError.forAnotherOrDamaged) {
                try SealedMessage(opening: Array(box.prefix(count)), with: deviceKey(of: "Bo"))
            }
        }
        for place in box.indices {
            var altered = box
            altered[place] ^= 0x10
            #expect(throws: SealedMessageError.forAnotherOrDamaged) { try SealedMessage(opening: altered, with: deviceKey(of: "Bo")) }
        }
        let long = [UInt8](repeating: 0, count: SealedMessage.sealedByteCountMax + 1)
        #expect(throws: SealedMessageError.tooLarge(byteCount: long.count, limit: SealedMessage.sealedByteCountMax)) {
            try SealedMessage(opening: long, with: deviceKey(of: "Bo"))
        }
    }

    @Test func `cut short at any byte inside is refused, or says the same`() throws {
        let plain = try self.plaintext()
        for count in plain.indices {
            guard let opened = try? SealedMessage(parsing: Array(plain.prefix(count)), for: identity(of: "Bo")) else { continue }
            // Only zeros were cut off.
            #expect(count >= 104)
            #expect(opened.payload == [1, 2, 3])
        }
        #expect(throws: SealedMessageError.self) { try SealedMessage(parsing: Array(plain.prefix(103)), for: identity(of: "Bo")) }
    }

    @Test func `with any byte inside changed is refused`() throws {
        let plain = try self.plaintext()
        for place in plain.indices {
            var altered = plain
            altered[place] ^= 1
            #expect(throws: SealedMessageError.self) { try SealedMessage(parsing: altered, for: identity(of: "Bo")) }
        }
        #expect(try SealedMessage(parsing: plain, for: identity(of: "Bo")).payload == [1, 2, 3])
    }

    @Test func `signed for one recipient cannot be passed on to another`() throws {
        // Bo opens it and seals what was inside for Cy, who must not take it for a word of Ada to itself.
        let box = try SealedBox.seal(self.plaintext(), to: identity(of: "Cy"))
        #expect(throws: SealedMessageError.wrongSignature) { try SealedMessage(opening: box, with: deviceKey(of: "Cy")) }
    }

    @Test func `in another's name is refused`() throws {
        var forged = try SealedMessage.plaintext([9], from: deviceKey(of: "Mallory"), to: identity(of: "Bo"))
        forged.replaceSubrange(1..<33, with: try identity(of: "Ada").bytes)
        #expect(throws: SealedMessageError.wrongSignature) { try SealedMessage(parsing: forged, for: identity(of: "Bo")) }
        forged.replaceSubrange(1..<33, with: [UInt8](repeating: 0, count: 32))
        #expect(throws: SealedMessageError.self) { try SealedMessage(parsing: forged, for: identity(of: "Bo")) }
    }

    @Test func `of a length that it does not have is refused before anything is taken for it`() throws {
        var plain = try self.plaintext()
        plain.replaceSubrange(97..<101, with: [255, 255, 255, 255])
        #expect(throws: SealedMessageError.tooLarge(byteCount: 4_294_967_295, limit: 102_400)) {
            try SealedMessage(parsing: plain, for: identity(of: "Bo"))
        }
        plain.replaceSubrange(97..<101, with: [0, 144, 1, 0])
        #expect(throws: SealedMessageError.self) { try SealedMessage(parsing: plain, for: identity(of: "Bo")) }
    }

    @Test func `of a newer version is known as such`() throws {
        var plain = try self.plaintext()
        plain[0] = 3
        #expect(throws: SealedMessageError.unknownFormat) { try SealedMessage(parsing: plain, for: identity(of: "Bo")) }
    }
}
