import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

/// BIP-327's `key_sort_vectors.json` and `key_agg_vectors.json`, and BIP-328's `vectors.json`.
@Suite(.enabled(if: BIP327Files.areThere, "needs the bips folder: set CHORALE_BIPS"))
struct KeyVectorTests {
    private struct KeySort: Decodable {
        let pubkeys: [String]
        let sortedPubkeys: [String]
    }

    private struct KeyAgg: Decodable {
        struct Valid: Decodable {
            let keyIndices: [Int]
            let expected: String
        }
        struct Failing: Decodable {
            let keyIndices: [Int]
            let tweakIndices: [Int]
            let isXonly: [Bool]
            let error: OfficialError
            let comment: String
        }
        let pubkeys: [String]
        let tweaks: [String]
        let validTestCases: [Valid]
        let errorTestCases: [Failing]
    }

    @Test func `keys sort as BIP-327 says`() throws {
        let file: KeySort = try BIP327Files.load("key_sort_vectors.json")
        #expect(file.pubkeys.count == 6)
        let keys = try file.pubkeys.map { try PublicKey(parsing: Hex.decode($0)) }
        let expected = try file.sortedPubkeys.map { try Hex.decode($0) }
        #expect(keys.sorted().map(\.bytes) == expected)
        #expect(try KeyAggregation(sorting: keys).publicKeys.map(\.bytes) == expected)
    }

    @Test func `keys aggregate as BIP-327 says`() throws {
        let file: KeyAgg = try BIP327Files.load("key_agg_vectors.json")
        #expect(file.validTestCases.count == 4)
        for (index, vector) in file.validTestCases.enumerated() {
            let expected = try #require(Bytes32(hex: vector.expected))
            let keys = try KeyAggregation(parsing: file.pubkeys.decoded(at: vector.keyIndices))
            #expect(keys.xOnlyKey.bytes == expected, "case \(index)")
            #expect(try AggregateKey.xOnly(of: keys.publicKeys).bytes == expected, "case \(index), without a cache")
        }
    }

    @Test func `keys and tweaks are refused as BIP-327 says, with the signer's name`() throws {
        let file: KeyAgg = try BIP327Files.load("key_agg_vectors.json")
        #expect(file.errorTestCases.count == 5)
        for vector in file.errorTestCases {
            let expected = try vector.error.expected()
            let keys = try file.pubkeys.decoded(at: vector.keyIndices)
            let tweaks = try file.tweaks.tweaks(at: vector.tweakIndices, isXonly: vector.isXonly)
            #expect(throws: expected, "\(vector.comment)") { try KeyAggregation(parsing: keys).tweaked(by: tweaks) }
            #expect(expected.culprit == vector.error.signer)
        }
    }

    @Test(.enabled(if: VectorFolder.has("bip-0328/vectors.json"), "needs the bips folder: set CHORALE_BIPS"))
    func `aggregate keys become the extended keys of BIP-328`() throws {
        struct Vector: Decodable {
            let aggregatePubkey: String
            let keys: [String]
            let xpub: String
        }
        let vectors: [Vector] = try VectorFolder.load("bip-0328/vectors.json")
        #expect(vectors.count == 3)
        // BIP-328, "Synthetic xpub construction": SHA256("MuSig2MuSig2MuSig2") as the chain code, depth and child number 0.
        let chainCode = SHA256.hash(Array("MuSig2MuSig2MuSig2".utf8))
        #expect(chainCode.description == "868087ca02a6f974c4598924c36b57762d32cb45717167e300622c7167e38965")
        for vector in vectors {
            let keys = try KeyAggregation(parsing: vector.keys.map { try Hex.decode($0) })
            #expect(keys.aggregateKey.description == vector.aggregatePubkey)
            let version: [UInt8] = [0x04, 0x88, 0xb2, 0x1e]  // BIP-32, "Serialization format": mainnet, public
            let payload = version + [UInt8](repeating: 0, count: 9) + chainCode.bytes + keys.aggregateKey.bytes
            #expect(Base58Check.encode(payload) == vector.xpub)
        }
    }
}
