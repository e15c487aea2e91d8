import CryptoPrimitives
import Testing

@Suite struct RIPEMD160Tests {
    /// The figures in the authors' own report, appendix B.
    static let published = [
        ("", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
        ("a", "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe"),
        ("abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        ("message digest", "5d0689ef49d2fae572b881b123a85ffa21595f36"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "12a053384a9c0c88e405a06c27dcf49ada62eb2b"),
        (String(repeating: "1234567890", count: 8), "9b752e45573d4b39f4dbd3323cab82bf63326bfb"),
    ]

    @Test(arguments: published)
    func `digests are those of the authors`(message: String, digest: String) {
        #expect(Hex.encode(RIPEMD160.hash(Array(message.utf8))) == digest)
    }

    @Test func `HASH160 of a public key is the one that pays to it`() throws {
        let key = try Hex.decode("023add904f3d6dcf59ddb906b0dee23529b7ffb9ed50e5e86151926860221f0e73")
        #expect(Hex.encode(RIPEMD160.ofSHA256(key)) == "d48ed3110b94014cb114bd32d6f4d066dc74256b")
    }
}
