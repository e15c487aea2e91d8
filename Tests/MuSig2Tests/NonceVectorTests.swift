import CSecp256k1
import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

/// BIP-327's `nonce_gen_vectors.json` and `nonce_agg_vectors.json`.
@Suite(.enabled(if: BIP327Files.areThere, "needs the bips folder: set CHORALE_BIPS"))
struct NonceVectorTests {
    private struct NonceGen: Decodable {
        struct Vector: Decodable {
            let rand: String
            let sk: String?
            let pk: String
            let aggpk: String?
            let msg: String?
            let extraIn: String?
            let expectedSecnonce: String
            let expectedPubnonce: String

            enum CodingKeys: String, CodingKey {
                case rand = "rand_"
                case sk, pk, aggpk, msg, extraIn, expectedSecnonce, expectedPubnonce
            }
        }
        let testCases: [Vector]
    }

    private struct NonceAgg: Decodable {
        struct Valid: Decodable {
            let pnonceIndices: [Int]
            let expected: String
        }
        struct Failing: Decodable {
            let pnonceIndices: [Int]
            let error: OfficialError
            let comment: String
        }
        let pnonces: [String]
        let validTestCases: [Valid]
        let errorTestCases: [Failing]
    }

    // Cases 1 and 2 have messages of 0 and 38 bytes, which the library's function does not take: MuSig2Reference runs them.
    @Test func `nonces come out of given randomness as BIP-327 says`() throws {
        let file: NonceGen = try BIP327Files.load("nonce_gen_vectors.json")
        #expect(file.testCases.count == 4)
        var ran: [Int] = []
        for (index, vector) in file.testCases.enumerated() {
            let message = try vector.msg.map { try Hex.decode($0) }
            if let message, message.count != 32 { continue }
            let (secnonce, pubnonce) = try Self.generate(vector, message: message)
            #expect(secnonce.encoded == (try Hex.decode(vector.expectedSecnonce)), "case \(index)")
            #expect(pubnonce.bytes == (try Hex.decode(vector.expectedPubnonce)), "case \(index)")
            ran.append(index)
        }
        #expect(ran == [0, 3])
    }

    @Test func `nonces aggregate as BIP-327 says`() throws {
        let file: NonceAgg = try BIP327Files.load("nonce_agg_vectors.json")
        #expect(file.validTestCases.count == 2)
        for (index, vector) in file.validTestCases.enumerated() {
            let nonces = try PublicNonce.parseAll(file.pnonces.decoded(at: vector.pnonceIndices))
            let aggregate = try AggregateNonce(nonces)
            let expected = try Hex.decode(vector.expected)
            #expect(aggregate.bytes == expected, "case \(index)")
            // Sums with a point at infinity come back from their bytes too.
            #expect(try AggregateNonce(parsing: expected) == aggregate)
        }
    }

    @Test func `nonces are refused as BIP-327 says, with the signer's name`() throws {
        let file: NonceAgg = try BIP327Files.load("nonce_agg_vectors.json")
        #expect(file.errorTestCases.count == 3)
        for vector in file.errorTestCases {
            let expected = try vector.error.expected()
            let nonces = try file.pnonces.decoded(at: vector.pnonceIndices)
            #expect(throws: expected, "\(vector.comment)") { try PublicNonce.parseAll(nonces) }
            #expect(expected.culprit == vector.error.signer)
        }
    }

    private static func generate(_ vector: NonceGen.Vector, message: [UInt8]?) throws -> (ForgedNonce, PublicNonce) {
        var random = try Hex.decode(vector.rand)
        let secretKey = try vector.sk.map { try Hex.decode($0) }
        let extraInput = try vector.extraIn.map { try Hex.decode($0) }
        try #require(random.count == 32 && secretKey?.count ?? 32 == 32 && extraInput?.count ?? 32 == 32)
        var publicKey = try PublicKey(parsing: Hex.decode(vector.pk)).raw
        var (secnonce, pubnonce) = (secp256k1_musig_secnonce(), secp256k1_musig_pubnonce())
        let cache = try vector.aggpk.map { [try Self.cache(ofXOnly: Hex.decode($0))] }
        let isMade = secp256k1_musig_nonce_gen(
            Context.shared, &secnonce, &pubnonce, &random, secretKey, &publicKey, message, cache, extraInput)
        try #require(isMade == 1)
        #expect(random == [UInt8](repeating: 0, count: 32), "the library wipes the randomness, so that it serves once")
        return (try ForgedNonce(reading: secnonce), PublicNonce(raw: pubnonce))
    }

    /// A cache with this aggregate key, which nobody can make from keys, for it is chosen.
    ///
    /// Nonce generation reads the x coordinate only. The layout is the library's own: a magic number, then the point as a public
    /// key holds it.
    private static func cache(ofXOnly key: [UInt8]) throws -> secp256k1_musig_keyagg_cache {
        let point = try XOnlyPublicKey(parsing: key).evenKey
        var cache = secp256k1_musig_keyagg_cache()
        withUnsafeMutableBytes(of: &cache) { cache in
            withUnsafeBytes(of: point.raw) { cache.copyBytes(from: [0xf4, 0xad, 0xbb, 0xdf] + $0) }
        }
        return cache
    }
}
