import CSecp256k1
import CryptoPrimitives
import Secp256k1
import Testing

struct SecretKeyTests {
    private static let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"

    /// Keys are compared and hashed by the library's own bytes, whose form it does not promise.
    @Test func `one point has the same bytes in memory however it was come by`() throws {
        for _ in 0..<64 {
            let key = try SecretKey.generate()
            let parsed = try PublicKey(parsing: key.publicKey.bytes)
            #expect(Self.memory(key.publicKey.raw) == Self.memory(parsed.raw))
            let xOnly = try XOnlyPublicKey(parsing: key.publicKey.bytes.dropFirst())
            #expect(Self.memory(key.publicKey.xOnly.raw) == Self.memory(xOnly.raw))
            let root = Bytes32 { SystemRandom.fill($0) }
            let tweaked = try xOnly.tweaked(adding: xOnly.taprootTweak(merkleRoot: root))
            let again = try PublicKey(parsing: tweaked.bytes)
            let fromSecret = try key.tweakedForTaproot(merkleRoot: root).publicKey
            #expect(Self.memory(tweaked.raw) == Self.memory(again.raw))
            #expect(Self.memory(fromSecret.raw) == Self.memory(again.raw))
            #expect(Self.memory(xOnly.evenKey.raw) == Self.memory(try PublicKey(parsing: [2] + xOnly.bytes.bytes).raw))
        }
    }

    private static func memory(_ value: some BitwiseCopyable) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

    @Test func `a signature verifies for its message and key and for no other`() throws {
        let key = try SecretKey.generate()
        let other = try SecretKey.generate()
        let message = Bytes32 { SystemRandom.fill($0) }
        let signature = try key.sign(message)
        #expect(signature.isValid(for: message, by: key.publicKey.xOnly))
        #expect(signature.isValid(for: message.bytes, by: key.publicKey.xOnly))
        #expect(!signature.isValid(for: message, by: other.publicKey.xOnly))
        #expect(!signature.isValid(for: message.reversed, by: key.publicKey.xOnly))
        #expect(!SchnorrSignature(r: signature.s, s: signature.r).isValid(for: message, by: key.publicKey.xOnly))
    }

    @Test func `two signatures of one message differ, for the auxiliary randomness is fresh`() throws {
        let key = try SecretKey.generate()
        let message = Bytes32()
        #expect(try key.sign(message) != key.sign(message))
    }

    @Test func `a key comes back from its encoding`() throws {
        let key = try SecretKey.generate()
        let again = try SecretKey(parsing: key.encoded())
        #expect(again.publicKey == key.publicKey)
        #expect(try again.sign(Bytes32()).isValid(for: Bytes32(), by: key.publicKey.xOnly))
    }

    @Test(arguments: ["00" + String(repeating: "0", count: 62), order, String(repeating: "f", count: 64)])
    func `a scalar out of range is refused`(hex: String) throws {
        let scalar = try Hex.decode(hex)
        let secret = try SecretBytes(count: 32) { $0.copyBytes(from: scalar) }
        #expect(Self.error(parsing: secret) == .key(.scalarOutOfRange))
    }

    @Test(arguments: [1, 31, 33, 64])
    func `a scalar of a wrong length is refused with both lengths`(count: Int) throws {
        let secret = try SecretBytes.random(count: count)
        #expect(Self.error(parsing: secret) == .key(.wrongByteCount(expected: 32, actual: count)))
    }

    @Test func `the key tweaked for Taproot signs for the tweaked public key`() throws {
        let root = Bytes32 { SystemRandom.fill($0) }
        for merkleRoot in [nil, root] {
            let key = try SecretKey.generate()
            let internalKey = key.publicKey.xOnly
            let output = try internalKey.tweaked(adding: internalKey.taprootTweak(merkleRoot: merkleRoot)).xOnly
            let tweaked = try key.tweakedForTaproot(merkleRoot: merkleRoot)
            #expect(tweaked.publicKey.xOnly == output)
            #expect(try tweaked.sign(root).isValid(for: root, by: output))
        }
    }

    // Without the callback this test would not fail but end the process, and with it the whole run.
    @Test func `an argument that the library holds for illegal is counted and does not end the process`() {
        let before = Context.illegalArgumentCount
        var (zeros, point) = (secp256k1_keypair(), secp256k1_pubkey())
        #expect(secp256k1_keypair_pub(Context.shared, &point, &zeros) == 1)  // the library copies this one unread
        var bytes = [UInt8](repeating: 0, count: 33)
        var count = 33
        _ = secp256k1_ec_pubkey_serialize(Context.shared, &bytes, &count, &point, UInt32(SECP256K1_EC_COMPRESSED))
        #expect(Context.illegalArgumentCount > before)
    }

    /// A key cannot be the result of `#expect(throws:)`, which copies.
    private static func error(parsing secret: borrowing SecretBytes) -> SecretKeyError? {
        do {
            _ = try SecretKey(parsing: secret)
            return nil
        } catch { return error }
    }
}
