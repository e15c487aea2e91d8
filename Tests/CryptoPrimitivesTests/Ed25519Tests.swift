import CryptoPrimitives
import Testing

struct `Ed25519 signatures` {
    /// RFC 8032, section 7.1.
    struct Figure: Sendable {
        let seed: String
        let publicKey: String
        let message: String
        let signature: String
    }

    static let figures = [
        Figure(
            seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            publicKey: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            message: "",
            signature:
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
        Figure(
            seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            message: "72",
            signature:
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
        Figure(
            seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            publicKey: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            message: "af82",
            signature:
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
        Figure(
            seed: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            publicKey: "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            message:
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            signature:
                "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ]

    @Test(arguments: Self.figures)
    func `keys and signatures are those of RFC 8032`(_ figure: Figure) throws {
        let key = try Ed25519.SecretKey(seed: .known(Hex.decode(figure.seed)))
        #expect(Hex.encode(key.publicKey.bytes) == figure.publicKey)
        let message = try Hex.decode(figure.message)
        let signature = key.sign(message)
        #expect(Hex.encode(signature.bytes) == figure.signature)
        let publicKey = try Ed25519.PublicKey(parsing: Hex.decode(figure.publicKey))
        #expect(signature.isValid(for: message, by: publicKey))
        #expect(!signature.isValid(for: message + [0], by: publicKey))
        #expect(Hex.encode(key.withUnsafeSeed { Array($0) }) == figure.seed)
    }

    @Test func `a signature, message or key with any one bit flipped is refused`() throws {
        let key = try Ed25519.SecretKey(seed: .known(Array(0..<32)))
        let message = Array("chorale".utf8)
        let signature = key.sign(message)
        for bit in 0..<(64 * 8) {
            var bytes = signature.bytes
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(try !Ed25519.Signature(parsing: bytes).isValid(for: message, by: key.publicKey))
        }
        for bit in 0..<(message.count * 8) {
            var wrong = message
            wrong[bit / 8] ^= 1 << (bit % 8)
            #expect(!signature.isValid(for: wrong, by: key.publicKey))
        }
        for bit in 0..<(32 * 8) {
            var bytes = key.publicKey.bytes
            bytes[bit / 8] ^= 1 << (bit % 8)
            // Most are no keys at all; those that are have not signed.
            if let other = try? Ed25519.PublicKey(parsing: bytes) { #expect(!signature.isValid(for: message, by: other)) }
        }
    }

    @Test func `a signature whose s has the group's order added is refused`() throws {
        let key = try Ed25519.SecretKey(seed: .known(Array(0..<32)))
        let signature = key.sign([1, 2, 3])
        let order = try Hex.decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        var bytes = signature.bytes
        var carry = 0
        for index in 0..<32 {
            carry += Int(bytes[32 + index]) + Int(order[index])
            bytes[32 + index] = UInt8(carry & 255)
            carry >>= 8
        }
        #expect(carry == 0)
        #expect(try !Ed25519.Signature(parsing: bytes).isValid(for: [1, 2, 3], by: key.publicKey))
    }

    @Test(arguments: [
        // The eight points of small order, some of them in their second, not canonical, encoding.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        // y is above the field's prime, y = 2 is on no point, and a point of the right group plus one of order 8.
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0200000000000000000000000000000000000000000000000000000000000000",
        "9158312a9a8d6e3b34c891d6d61444f8b8211c5117ebad15bdb0bd68b07e0245",
    ])
    func `bytes that are no point of the right group are no key`(_ hex: String) throws {
        let bytes = try Hex.decode(hex)
        #expect(throws: Ed25519Error.invalidPublicKey) { try Ed25519.PublicKey(parsing: bytes) }
    }

    @Test func `wrong lengths are refused by name`() throws {
        for count in [0, 31, 33, 64] {
            let bytes = [UInt8](repeating: 1, count: count)
            #expect(throws: Ed25519Error.wrongByteCount(expected: 32, actual: count)) { try Ed25519.PublicKey(parsing: bytes) }
        }
        for count in [0, 63, 65] {
            let bytes = [UInt8](repeating: 1, count: count)
            #expect(throws: Ed25519Error.wrongByteCount(expected: 64, actual: count)) { try Ed25519.Signature(parsing: bytes) }
        }
        #expect(throws: Ed25519Error.wrongByteCount(expected: 32, actual: 33)) {
            _ = try Ed25519.SecretKey(seed: .known([UInt8](repeating: 1, count: 33)))
        }
    }

    @Test func `two new keys differ and sign`() throws {
        let one = try Ed25519.SecretKey.generate()
        let other = try Ed25519.SecretKey.generate()
        #expect(one.publicKey != other.publicKey)
        #expect(one.sign([7]).isValid(for: [7], by: one.publicKey))
        #expect(!one.sign([7]).isValid(for: [7], by: other.publicKey))
        #expect(try Ed25519.PublicKey(parsing: one.publicKey.bytes) == one.publicKey)
    }
}
