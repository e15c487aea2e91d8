import CryptoPrimitives
import Testing

struct `Key agreement over X25519` {
    private func key(_ hex: String) throws -> X25519.SecretKey {
        let bytes = try Hex.decode(hex)
        return try X25519.SecretKey { $0.copyBytes(from: bytes) }
    }

    private func publicKey(_ hex: String) throws -> X25519.PublicKey { try X25519.PublicKey(parsing: Hex.decode(hex)) }

    private func shared(_ secret: borrowing X25519.SecretKey, _ other: X25519.PublicKey) throws -> Bytes32 {
        try Bytes32 { target in try secret.writeSharedSecret(with: other, to: target) }
    }

    @Test(arguments: [
        // RFC 7748, section 5.2: scalar, u coordinate, product.
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"
        ),
    ])
    func `multiplies as RFC 7748 says`(scalar: String, u: String, product: String) throws {
        let secret = try self.key(scalar)
        #expect(try self.shared(secret, self.publicKey(u)).description == product)
    }

    @Test func `gives the figures of a thousand rounds in RFC 7748`() throws {
        var scalar = try #require(Bytes32(hex: "0900000000000000000000000000000000000000000000000000000000000000"))
        var u = scalar
        for round in 1...1_000 {
            let secret = try X25519.SecretKey { $0.copyBytes(from: scalar.bytes) }
            (scalar, u) = (try self.shared(secret, X25519.PublicKey(u)), scalar)
            if round == 1 { #expect(scalar.description == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079") }
        }
        #expect(scalar.description == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
    }

    @Test func `lets both sides share the secret of RFC 7748, section 6`() throws {
        let alice = try self.key("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
        let bob = try self.key("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
        #expect(alice.publicKey.bytes.description == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        #expect(bob.publicKey.bytes.description == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let expected = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
        #expect(try self.shared(alice, bob.publicKey).description == expected)
        #expect(try self.shared(bob, alice.publicKey).description == expected)
    }

    @Test(arguments: [
        // Zero, one, the two points of order eight, and the prime's neighbours, which are all of small order.
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ])
    func `refuses a key that gives zero with every secret`(_ hex: String) throws {
        let secret = try X25519.SecretKey.generate()
        #expect(throws: X25519Error.publicKeyOfSmallOrder) { try self.shared(secret, self.publicKey(hex)) }
    }

    @Test func `refuses public keys of a wrong length`() {
        for count in [0, 31, 33] {
            #expect(throws: X25519Error.wrongByteCount(expected: 32, actual: count)) {
                try X25519.PublicKey(parsing: [UInt8](repeating: 9, count: count))
            }
        }
    }
}
