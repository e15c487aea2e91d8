import Testing

@testable import CryptoPrimitives

struct `A sealed secret` {
    private let purpose = Array("purpose".utf8)

    private func seal(_ bytes: [UInt8], under passphrase: String = "correct horse") throws -> SealedSecret {
        try SealedSecret(sealing: .known(bytes), passphrase: .known(passphrase), associatedData: self.purpose, cost: .least)
    }

    @Test(arguments: [1, 31, 32, 33, 1000, SealedSecret.secretByteCountMax])
    func `opens under its passphrase and purpose`(count: Int) throws {
        let secret = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let sealed = try self.seal(secret)
        #expect(sealed.bytes.count == 56 + count + 16)
        let read = try SealedSecret(parsing: sealed.bytes)
        #expect(read == sealed)
        #expect(try read.open(passphrase: .known("correct horse"), associatedData: self.purpose).copied() == secret)
    }

    /// Made once with two other implementations: Argon2id of argon2-cffi 25.1, XChaCha20-Poly1305 of PyCryptodome 3.23.
    @Test func `made elsewhere by the same rules opens`() throws {
        let bytes = try Hex.decode(
            "43484f52414c45010200000040000000000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f707172737475767778797a7b"
                + "bb6b89e589756437c021c21880e8bcbbefa0b8f0313120dad8f41d88f9519f1e605ccf03a1f1757f0279d76ce761961a")
        let sealed = try SealedSecret(parsing: bytes)
        #expect(sealed.cost.passes == 2 && sealed.cost.memoryKibibytes == 64)
        #expect(try sealed.open(passphrase: .known("correct horse"), associatedData: self.purpose).copied() == Array(0..<32))
    }

    @Test func `does not open under another passphrase or for another purpose`() throws {
        let sealed = try self.seal(Array(0..<32))
        for passphrase in ["Correct horse", "correct horse ", "c"] {
            #expect(throws: SealedSecretError.wrongPassphraseOrDamaged) {
                _ = try sealed.open(passphrase: .known(passphrase), associatedData: self.purpose)
            }
        }
        for other in [[], Array("purposes".utf8), Array("Purpose".utf8)] {
            #expect(throws: SealedSecretError.wrongPassphraseOrDamaged) {
                _ = try sealed.open(passphrase: .known("correct horse"), associatedData: other)
            }
        }
    }

    @Test func `with a bit flipped in any byte does not open`() throws {
        let bytes = try self.seal(Array(0..<32)).bytes
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 1
            // Magic and version, the number of passes, and the amount of memory have bounds of their own; all else shows on opening.
            let error = #expect(throws: SealedSecretError.self, "byte \(index)") {
                _ = try SealedSecret(parsing: damaged).open(passphrase: .known("correct horse"), associatedData: self.purpose)
            }
            switch (index, error) {
            case (0..<8, .notASealedSecret), (8..<16, .costOutOfBounds), (8..., .wrongPassphraseOrDamaged): break
            default: Issue.record("byte \(index) gave \(String(describing: error))")
            }
        }
    }

    @Test func `cut short or lengthened anywhere is refused`() throws {
        let bytes = try self.seal([1, 2, 3]).bytes
        for count in bytes.indices {
            #expect(throws: SealedSecretError.self, "\(count) bytes") {
                _ = try SealedSecret(parsing: Array(bytes[..<count])).open(
                    passphrase: .known("correct horse"), associatedData: self.purpose)
            }
        }
        #expect(throws: SealedSecretError.wrongPassphraseOrDamaged) {
            _ = try SealedSecret(parsing: bytes + [0]).open(passphrase: .known("correct horse"), associatedData: self.purpose)
        }
        let tooLong = bytes + [UInt8](repeating: 0, count: SealedSecret.byteCountMax - bytes.count + 1)
        #expect(throws: SealedSecretError.wrongByteCount(tooLong.count)) { try SealedSecret(parsing: tooLong) }
    }

    @Test func `looks different each time it is made`() throws {
        let (one, other) = (try self.seal([1, 2, 3]), try self.seal([1, 2, 3]))
        #expect(one.bytes[16..<32] != other.bytes[16..<32], "the salts")
        #expect(one.bytes[32..<56] != other.bytes[32..<56], "the nonces")
        #expect(one.bytes[56...] != other.bytes[56...])
    }

    @Test(
        arguments: [
            (0, 64), (1, 7), (1, 0), (UInt32.max, 8), (1, UInt32.max), (1, (1 << 20) + 1), (5, 1 << 20), (UInt32.max, UInt32.max),
        ] as [(UInt32, UInt32)])
    func `that asks for too little or too much work is refused before any work`(passes: UInt32, memory: UInt32) throws {
        var bytes = try self.seal([1]).bytes
        withUnsafeBytes(of: passes.littleEndian) { bytes.replaceSubrange(8..<12, with: $0) }
        withUnsafeBytes(of: memory.littleEndian) { bytes.replaceSubrange(12..<16, with: $0) }
        let expected = SealedSecretError.costOutOfBounds(passes: passes, memoryKibibytes: memory)
        #expect(throws: expected) { try SealedSecret(parsing: bytes) }
        #expect(throws: expected) { try SealedSecret.Cost(passes: passes, memoryKibibytes: memory) }
    }

    @Test func `may ask for as much as the strongest named setting`() throws {
        #expect(try SealedSecret.Cost(passes: 4, memoryKibibytes: 1 << 20).passes == 4)
        #expect(try SealedSecret.Cost(passes: 3, memoryKibibytes: 256 << 10) == .moderate)
        #expect(try SealedSecret.Cost(passes: 2, memoryKibibytes: 64 << 10) == .interactive)
    }
}
