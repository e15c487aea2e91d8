import MuSig2Reference
import TestVectors
import Testing

@Suite(.enabled(if: BIP327Files.areHere, "needs the bips folder: set CHORALE_BIPS"))
struct KeyVectorTests {
    @Test(arguments: BIP327Files.leastCounts.keys.sorted())
    func `no list of cases in an official file goes unread`(name: String) throws {
        let known = try #require(BIP327Files.leastCounts[name])
        #expect(try Set(BIP327Files.lists(in: name).keys) == Set(known.keys))
    }

    @Test func `keys sort as BIP-327 says`() throws {
        struct File: Decodable { let pubkeys, sortedPubkeys: [HexBytes] }
        let file: File = try BIP327Files.load("key_sort_vectors.json")
        try #require(file.pubkeys.count >= 6)
        #expect(BIP327.keySort(file.pubkeys.bytes) == file.sortedPubkeys.bytes)
    }

    private struct KeyAggFile: Decodable {
        let pubkeys, tweaks: [HexBytes]
        let validTestCases: [Valid]
        let errorTestCases: [Failing]

        struct Valid: Decodable {
            let keyIndices: [Int]
            let expected: HexBytes
        }

        struct Failing: Decodable {
            let keyIndices, tweakIndices: [Int]
            let isXonly: [Bool]
            let error: ExpectedError
        }
    }

    @Test func `keys aggregate as BIP-327 says`() throws {
        let file: KeyAggFile = try BIP327Files.load("key_agg_vectors.json")
        var ran = 0
        for vector in file.validTestCases {
            let context = try BIP327.keyAgg(file.pubkeys.bytes(at: vector.keyIndices))
            #expect(BIP327.getXonlyPubkey(context) == vector.expected.bytes, "case \(ran)")
            #expect(Array(BIP327.getPlainPubkey(context).dropFirst()) == vector.expected.bytes, "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("valid_test_cases", in: "key_agg_vectors.json"))
    }

    @Test func `keys and tweaks that BIP-327 refuses are refused, with the signer to blame`() throws {
        let file: KeyAggFile = try BIP327Files.load("key_agg_vectors.json")
        var ran = 0
        for vector in file.errorTestCases {
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let tweaks = try tweaks(file.tweaks.bytes(at: vector.tweakIndices), vector.isXonly)
            #expect(throws: try vector.error.error(), "case \(ran)") { try BIP327.keyAgg(pubkeys, tweaks: tweaks) }
            ran += 1
        }
        #expect(try ran == BIP327Files.count("error_test_cases", in: "key_agg_vectors.json"))
    }
}
