import CryptoPrimitives
import Testing

struct `Keys out of secrets` {
    /// RFC 4231, cases 1, 2, 3 and 6.
    static let authenticationFigures: [(key: [UInt8], message: [UInt8], code: String)] = [
        (
            [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        ),
        (
            [UInt8](repeating: 0xaa, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ]

    @Test(arguments: Self.authenticationFigures)
    func `HMAC gives the codes of RFC 4231, in one piece or two`(key: [UInt8], message: [UInt8], code: String) {
        for cut in [0, 1, message.count] {
            let actual = Bytes32 { target in
                key.withUnsafeBytes { key in
                    message.withUnsafeBytes { message in
                        HMACSHA256.write(
                            UnsafeRawBufferPointer(rebasing: message[..<cut]), UnsafeRawBufferPointer(rebasing: message[cut...]),
                            key: key, to: target)
                    }
                }
            }
            #expect(actual.description == code)
        }
    }

    struct DerivationFigure: Sendable {
        let material, salt, info: [UInt8]
        let pseudorandomKey, output: String
    }

    /// RFC 5869, appendices A.1 to A.3.
    static let derivationFigures = [
        DerivationFigure(
            material: [UInt8](repeating: 0x0b, count: 22), salt: Array(0x00...0x0c), info: Array(0xf0...0xf9),
            pseudorandomKey: "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            output: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
        DerivationFigure(
            material: Array(0x00...0x4f), salt: Array(0x60...0xaf), info: Array(0xb0...0xff),
            pseudorandomKey: "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            output: "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
                + "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
        DerivationFigure(
            material: [UInt8](repeating: 0x0b, count: 22), salt: [], info: [],
            pseudorandomKey: "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            output: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
    ]

    @Test(arguments: Self.derivationFigures)
    func `HKDF gives the keys of RFC 5869`(_ figure: DerivationFigure) {
        let key = Bytes32 { target in
            figure.salt.withUnsafeBytes { salt in
                figure.material.withUnsafeBytes { HKDFSHA256.extract(salt: salt, inputKeyMaterial: $0, to: target) }
            }
        }
        #expect(key.description == figure.pseudorandomKey)
        var output = [UInt8](repeating: 0, count: figure.output.count / 2)
        output.withUnsafeMutableBytes { output in
            key.withUnsafeBytes { key in figure.info.withUnsafeBytes { HKDFSHA256.expand(key, info: $0, to: output) } }
        }
        #expect(Hex.encode(output) == figure.output)
    }

    @Test func `extracting may write over its own salt`() {
        let (salt, material) = ([UInt8](repeating: 7, count: 32), [UInt8](repeating: 9, count: 32))
        let apart = Bytes32 { target in
            salt.withUnsafeBytes { salt in material.withUnsafeBytes { HKDFSHA256.extract(salt: salt, inputKeyMaterial: $0, to: target) } }
        }
        var over = salt
        over.withUnsafeMutableBytes { over in
            material.withUnsafeBytes { HKDFSHA256.extract(salt: UnsafeRawBufferPointer(over), inputKeyMaterial: $0, to: over) }
        }
        #expect(over == apart.bytes)
    }

    @Test func `the longest output is 255 blocks, all different`() {
        var output = [UInt8](repeating: 0, count: HKDFSHA256.byteCountMax)
        output.withUnsafeMutableBytes { output in
            [UInt8](repeating: 1, count: 32).withUnsafeBytes {
                HKDFSHA256.expand($0, info: UnsafeRawBufferPointer(start: nil, count: 0), to: output)
            }
        }
        #expect(Set(stride(from: 0, to: output.count, by: 32).map { Array(output[$0..<($0 + 32)]) }).count == 255)
    }
}
