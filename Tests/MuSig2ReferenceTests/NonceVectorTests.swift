import MuSig2Reference
import TestVectors
import Testing

@Suite(.enabled(if: BIP327Files.areHere, "needs the bips folder: set CHORALE_BIPS"))
struct NonceVectorTests {
    private struct NonceGenFile: Decodable {
        let testCases: [Case]

        struct Case: Decodable {
            let rand, pk: HexBytes
            let sk, aggpk, msg, extraIn: HexBytes?
            let expectedSecnonce, expectedPubnonce: HexBytes

            enum CodingKeys: String, CodingKey {
                // The file writes the BIP's rand' so.
                case rand = "rand_"
                case pk, sk, aggpk, msg, extraIn, expectedSecnonce, expectedPubnonce
            }
        }
    }

    @Test func `nonces come out as BIP-327 says, for every message length and every input left out`() throws {
        let file: NonceGenFile = try BIP327Files.load("nonce_gen_vectors.json")
        var ran = 0
        for vector in file.testCases {
            let (secnonce, pubnonce) = try BIP327.nonceGen(
                rand: vector.rand.bytes, sk: vector.sk?.bytes, pk: vector.pk.bytes, aggpk: vector.aggpk?.bytes,
                msg: vector.msg?.bytes, extraIn: vector.extraIn?.bytes
            )
            #expect(secnonce == vector.expectedSecnonce.bytes, "case \(ran)")
            #expect(pubnonce == vector.expectedPubnonce.bytes, "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("test_cases", in: "nonce_gen_vectors.json"))
    }

    private struct NonceAggFile: Decodable {
        let pnonces: [HexBytes]
        let validTestCases: [Valid]
        let errorTestCases: [Failing]

        struct Valid: Decodable {
            let pnonceIndices: [Int]
            let expected: HexBytes
        }

        struct Failing: Decodable {
            let pnonceIndices: [Int]
            let error: ExpectedError
        }
    }

    @Test func `nonces aggregate as BIP-327 says, infinity included`() throws {
        let file: NonceAggFile = try BIP327Files.load("nonce_agg_vectors.json")
        var ran = 0
        for vector in file.validTestCases {
            #expect(try BIP327.nonceAgg(file.pnonces.bytes(at: vector.pnonceIndices)) == vector.expected.bytes, "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("valid_test_cases", in: "nonce_agg_vectors.json"))
    }

    @Test func `an invalid public nonce is refused with its signer's index`() throws {
        let file: NonceAggFile = try BIP327Files.load("nonce_agg_vectors.json")
        var ran = 0
        for vector in file.errorTestCases {
            let pubnonces = try file.pnonces.bytes(at: vector.pnonceIndices)
            #expect(throws: try vector.error.error(), "case \(ran)") { try BIP327.nonceAgg(pubnonces) }
            ran += 1
        }
        #expect(try ran == BIP327Files.count("error_test_cases", in: "nonce_agg_vectors.json"))
    }
}
