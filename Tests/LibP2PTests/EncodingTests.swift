import CryptoPrimitives
import LibP2P
import Testing

struct `Unsigned varints` {
    @Test(
        arguments: [
            // multiformats/unsigned-varint, "Examples", and the bounds.
            (1, "01"), (127, "7f"), (128, "8001"), (255, "ff01"), (300, "ac02"), (16_384, "808001"), (0, "00"),
            (Varint.valueMax, "ffffffffffffffff7f"), (1 << 56, "808080808080808001"), (1 << 56 - 1, "ffffffffffffff7f"),
        ] as [(UInt64, String)])
    func `have the published bytes, there and back`(value: UInt64, hex: String) throws {
        #expect(Hex.encode(Varint.encode(value)) == hex)
        #expect(Varint.byteCount(of: value) == hex.count / 2)
        var bytes = try (Hex.decode(hex) + [7, 8])[...]
        #expect(try Varint.read(from: &bytes) == value)
        #expect(Array(bytes) == [7, 8])
    }

    @Test(
        arguments: [
            ("", .truncated), ("80", .truncated), ("ffffffffffffffff", .truncated), ("8100", .notMinimal), ("808000", .notMinimal),
            ("ffffffffffffffff80", .tooLong), ("80808080808080808001", .tooLong), ("ffffffffffffffffff7f", .tooLong),
        ] as [(String, VarintError)])
    func `that are cut, too long or longer than needed are refused and left as they are`(hex: String, error: VarintError) throws {
        var bytes = try Hex.decode(hex)[...]
        #expect(throws: error) { try Varint.read(from: &bytes) }
        #expect(try Array(bytes) == Hex.decode(hex))
    }
}

struct `Protobuf messages` {
    /// Every kind of field, one of them unknown to most readers.
    private let sample = ProtobufWriter.message { message in
        message.unsigned(150, field: 1)
        message.string("testing", field: 2)
        message.message(field: 3) { $0.unsigned(.max, field: 1) }
        message.bool(true, field: 4)
        message.signed32(-2, field: 5)
        message.bytes([1, 2, 3] as [UInt8], field: ProtobufField.numberMax)
    }

    @Test func `are written as the protobuf documentation's examples`() {
        // protobuf.dev, "Encoding": a number, a string, a message inside a message, a negative int32.
        #expect(Hex.encode(ProtobufWriter.message { $0.unsigned(150, field: 1) }) == "089601")
        #expect(Hex.encode(ProtobufWriter.message { $0.string("testing", field: 2) }) == "120774657374696e67")
        #expect(Hex.encode(ProtobufWriter.message { $0.message(field: 3) { $0.unsigned(150, field: 1) } }) == "1a03089601")
        #expect(Hex.encode(ProtobufWriter.message { $0.signed32(-2, field: 1) }) == "08feffffffffffffffff01")
    }

    @Test func `are read back field by field`() throws {
        var reader = try ProtobufReader(self.sample, byteCountMax: 1_000)
        #expect(try reader.next()?.unsigned() == 150)
        #expect(try reader.next()?.string(byteCountMax: 7) == "testing")
        var inner = try #require(try reader.next()).message()
        #expect(try inner.next()?.unsigned() == .max)
        #expect(try inner.next() == nil)
        #expect(try reader.next()?.bool() == true)
        #expect(try reader.next()?.signed32() == -2)
        let last = try #require(try reader.next())
        #expect(last.number == ProtobufField.numberMax)
        #expect(try last.bytes() == [1, 2, 3])
        #expect(try reader.next() == nil)
    }

    @Test func `pass on unknown fields unchanged`() throws {
        let unknown = try Hex.decode("0d01020304" + "110102030405060708" + "8001888001" + "1200")
        var reader = try ProtobufReader(unknown, byteCountMax: 100)
        var writer = ProtobufWriter()
        var kinds: [ProtobufField.Value] = []
        while let field = try reader.next() {
            writer.encoded(field.encoded)
            kinds.append(field.value)
        }
        #expect(writer.bytes == unknown)
        #expect(kinds == [.fixed32(0x0403_0201), .fixed64(0x0807_0605_0403_0201), .varint(16_392), .bytes([])])
    }

    @Test func `cut short anywhere end between fields or are refused`() throws {
        for count in self.sample.indices {
            var reader = try ProtobufReader(self.sample[..<count], byteCountMax: 1_000)
            do {
                var read = 0
                while let field = try reader.next() { read += field.encoded.count }
                #expect(read == count)
            } catch {
                guard case .truncated = error else {
                    Issue.record("\(count) bytes gave \(error)")
                    continue
                }
            }
        }
    }

    @Test func `with any bit flipped are read or refused, within their bounds`() throws {
        for bit in 0..<(self.sample.count * 8) {
            var bytes = self.sample
            bytes[bit / 8] ^= 1 << (bit % 8)
            var reader = try ProtobufReader(bytes, byteCountMax: 1_000)
            var read = 0
            while let field = try? reader.next() { read += field.encoded.count }
            #expect(read <= bytes.count)
        }
    }

    @Test(
        arguments: [
            ("00", .wrongFieldNumber(offset: 0)), ("0800" + "8080808010" + "00", .wrongFieldNumber(offset: 2)),
            ("0b", .unsupportedWireType(3, offset: 0)), ("0c", .unsupportedWireType(4, offset: 0)),
            ("0f", .unsupportedWireType(7, offset: 0)), ("08ffffffffffffffffff02", .numberTooLong(offset: 1)),
            ("08ffffffffffffffffffff01", .numberTooLong(offset: 1)), ("0affffffffffffffffff01", .truncated(offset: 0)),
            ("0aff", .truncated(offset: 1)), ("0d010203", .truncated(offset: 1)),
        ] as [(String, ProtobufError)])
    func `of a form that does not exist are refused by name`(hex: String, expected: ProtobufError) throws {
        var reader = try ProtobufReader(Hex.decode(hex), byteCountMax: 100)
        #expect(throws: expected) { while try reader.next() != nil {} }
    }

    @Test func `values of another kind, range or size than expected are refused`() throws {
        var reader = try ProtobufReader(self.sample, byteCountMax: 1_000)
        let (number, text) = (try #require(try reader.next()), try #require(try reader.next()))
        #expect(throws: ProtobufError.wrongKind(field: 1)) { try number.bytes() }
        #expect(throws: ProtobufError.wrongKind(field: 2)) { try text.unsigned() }
        #expect(throws: ProtobufError.tooManyBytes(count: 7, maximum: 6)) { try text.string(byteCountMax: 6) }
        var inner = try #require(try reader.next()).message()
        let large = try #require(try inner.next())
        #expect(throws: ProtobufError.valueOutOfRange(field: 1)) { try large.unsigned32() }
        #expect(throws: ProtobufError.tooManyBytes(count: self.sample.count, maximum: 3)) {
            try ProtobufReader(self.sample, byteCountMax: 3)
        }
        var wrongText = try ProtobufReader([0x0a, 0x01, 0xff], byteCountMax: 3)
        let field = try #require(try wrongText.next())
        #expect(throws: ProtobufError.notUTF8(field: 1)) { try field.string(byteCountMax: 3) }
    }
}

struct `Texts in multibase` {
    @Test(
        arguments: [
            // multiformats/multibase, tests/basic.csv and leading_zero.csv: "yes mani !" and a zero byte before it.
            (.base16, "f796573206d616e692021", false), (.base32, "bpfsxgidnmfxgsibb", false), (.base36, "k2lcpzo5yikidynfl", false),
            (.base58btc, "z7paNL19xttacUY", false), (.base64url, "ueWVzIG1hbmkgIQ", false),
            (.base16, "f00796573206d616e692021", true), (.base32, "bab4wk4zanvqw42jaee", true), (.base36, "k02lcpzo5yikidynfl", true),
            (.base58btc, "z17paNL19xttacUY", true), (.base64url, "uAHllcyBtYW5pICE", true),
        ] as [(Multibase, String, Bool)])
    func `are those of the published tests`(base: Multibase, text: String, hasZero: Bool) throws {
        let bytes = (hasZero ? [0] : []) + Array("yes mani !".utf8)
        #expect(base.encode(bytes) == text)
        let decoded = try Multibase.decode(text)
        #expect(decoded.base == base)
        #expect(decoded.bytes == bytes)
    }

    @Test(
        arguments: [
            ("", .empty), ("Qabc", .unknownBase("Q")), ("é", .unknownBase("é")), ("z0", .invalidCharacter(offset: 1)),
            ("bab1", .invalidCharacter(offset: 3)), ("bAB", .invalidCharacter(offset: 1)), ("bab=", .invalidCharacter(offset: 3)),
            ("f0", .unusedBits), ("f0g", .invalidCharacter(offset: 2)), ("ba", .unusedBits), ("bab", .unusedBits), ("uAB", .unusedBits),
            ("k!", .invalidCharacter(offset: 1)),
        ] as [(String, MultibaseError)])
    func `with a wrong digit or a wrong end are refused`(text: String, error: MultibaseError) {
        #expect(throws: error) { try Multibase.decode(text) }
    }

    @Test func `are bounded before any work is done`() {
        let text = "z" + String(repeating: "z", count: Multibase.characterCountMax)
        #expect(throws: MultibaseError.tooManyCharacters(count: text.count, maximum: text.count - 1)) { try Multibase.decode(text) }
    }

    @Test(arguments: Multibase.allCases)
    func `come back as they were, whatever the length`(base: Multibase) throws {
        for count in 0..<40 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 73) }
            #expect(try Multibase.decode(base.encode(bytes)).bytes == bytes)
        }
    }
}

struct `Multihashes` {
    @Test func `say their function and length`() throws {
        // multiformats/multihash, "Example": SHA-256 of "multihash".
        let hex = "12209cbc07c3f991725836a3aa2a581ca2029198aa420b9d99bc0e131d9f3e2cbe47"
        #expect(Hex.encode(Multihash.sha256(of: Array("multihash".utf8)).bytes) == hex)
        #expect(try Multihash(parsing: Hex.decode(hex)) == .sha256(of: Array("multihash".utf8)))
        #expect(Hex.encode(Multihash.identity([5, 6]).bytes) == "00020506")
    }

    @Test func `cut short, lengthened or of a wrong length are refused`() throws {
        let bytes = Multihash.sha256(of: []).bytes
        for count in bytes.indices { #expect(throws: MultihashError.self) { try Multihash(parsing: bytes[..<count]) } }
        #expect(throws: MultihashError.wrongDigestByteCount(stated: 32, actual: 33)) { try Multihash(parsing: bytes + [0]) }
        #expect(throws: MultihashError.wrongDigestByteCountForFunction(code: 0x12, actual: 2)) {
            try Multihash(parsing: [0x12, 2, 0, 0])
        }
        #expect(throws: MultihashError.wrongDigestByteCount(stated: Varint.valueMax, actual: 0)) {
            try Multihash(parsing: [0] + Varint.encode(Varint.valueMax))
        }
        #expect(throws: MultihashError.self) { try Multihash(parsing: [UInt8](repeating: 0, count: 1_000)) }
    }
}
