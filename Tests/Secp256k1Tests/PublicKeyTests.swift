import CryptoPrimitives
import Secp256k1
import Testing

struct PublicKeyTests {
    /// The generator of secp256k1 (SEC 2, section 2.4.1).
    static let generatorX = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"

    @Test func `a key comes back from its bytes as it went in`() throws {
        for prefix in ["02", "03"] {
            let bytes = try Hex.decode(prefix + Self.generatorX)
            let key = try PublicKey(parsing: bytes)
            #expect(key.bytes == bytes)
            #expect(key.hasEvenY == (prefix == "02"))
            #expect(key.description == prefix + Self.generatorX)
        }
    }

    @Test(arguments: [0, 1, 32, 34, 65])
    func `a key of a wrong length is refused with both lengths`(count: Int) {
        #expect(throws: KeyError.wrongByteCount(expected: 33, actual: count)) {
            try PublicKey(parsing: [UInt8](repeating: 2, count: count))
        }
    }

    @Test(arguments: [
        "04" + generatorX,  // tag of the uncompressed encoding
        "06" + generatorX,  // tag of the hybrid encoding
        "00" + generatorX,
        "020000000000000000000000000000000000000000000000000000000000000005",  // 5 is no x coordinate (BIP-327's invalid key)
        "02fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",  // above the field's prime
    ])
    func `bytes that are no point are refused`(hex: String) throws {
        let bytes = try Hex.decode(hex)
        #expect(throws: KeyError.notOnCurve) { try PublicKey(parsing: bytes) }
    }

    @Test func `keys are ordered by their 33 bytes`() throws {
        var keys: [PublicKey] = []
        for _ in 0..<32 { keys.append(try SecretKey.generate().publicKey) }
        let byBytes = keys.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        #expect(keys.sorted() == byBytes)
    }

    @Test func `the even key has the x and an even y`() throws {
        let odd = try PublicKey(parsing: Hex.decode("03" + Self.generatorX))
        #expect(odd.xOnly.evenKey.bytes == [2] + odd.bytes.dropFirst())
        #expect(odd.xOnly.evenKey.xOnly == odd.xOnly)
    }

    @Test func `a tweak that is not below the order is refused`() throws {
        let key = try XOnlyPublicKey(parsing: Hex.decode(Self.generatorX))
        let order = try #require(Bytes32(hex: "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"))
        #expect(throws: KeyError.scalarOutOfRange) { try key.tweaked(adding: order) }
        // The order less one is −1, and G + (−1)·G is the point at infinity.
        let minusOne = try #require(Bytes32(hex: "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140"))
        #expect(throws: KeyError.scalarOutOfRange) { try key.tweaked(adding: minusOne) }
        #expect(try key.tweaked(adding: Bytes32()) == key.evenKey)
    }

    @Test(arguments: [0, 31, 63, 65, 128])
    func `a signature of a wrong length is refused`(count: Int) {
        #expect(throws: KeyError.wrongByteCount(expected: 64, actual: count)) {
            try SchnorrSignature(parsing: [UInt8](repeating: 1, count: count))
        }
    }

    /// Whoever puts keys into a PSBT need not know their secrets, and so chooses any part of them.
    @Test(arguments: 0..<4)
    func `keys that agree in any eight bytes of x are told apart by their hashes`(word: Int) throws {
        var keys: [XOnlyPublicKey] = []
        for number in 0..<256 {
            var bytes = [UInt8](repeating: 0x55, count: 32)
            // Not in that word, and in none of the lowest, so that each is below the field's order.
            bytes[(word * 8 + 9) % 32] = UInt8(number)
            if let key = try? XOnlyPublicKey(parsing: bytes) { keys.append(key) }
        }
        #expect(keys.count > 64)
        #expect(Set(keys.map(\.hashValue)).count == keys.count)
        let points = try keys.map { try PublicKey(parsing: [2] + $0.bytes.bytes) }
        #expect(Set(points.map(\.hashValue)).count == points.count)
        #expect(Set(points).count == points.count && Set(keys).count == keys.count)
    }
}
