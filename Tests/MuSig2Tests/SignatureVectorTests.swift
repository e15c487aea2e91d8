import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

/// BIP-327's `sig_agg_vectors.json`.
@Suite(.enabled(if: BIP327Files.areThere, "needs the bips folder: set CHORALE_BIPS"))
struct SignatureVectorTests {
    private struct SigAgg: Decodable {
        struct Valid: Decodable {
            let aggnonce: String
            let nonceIndices: [Int]
            let keyIndices: [Int]
            let tweakIndices: [Int]
            let isXonly: [Bool]
            let psigIndices: [Int]
            let expected: String
        }
        struct Failing: Decodable {
            let psigIndices: [Int]
            let error: OfficialError
            let comment: String
        }
        let pubkeys: [String]
        let pnonces: [String]
        let tweaks: [String]
        let psigs: [String]
        let msg: String
        let validTestCases: [Valid]
        let errorTestCases: [Failing]
    }

    @Test func `partial signatures aggregate as BIP-327 says`() async throws {
        let file: SigAgg = try BIP327Files.load("sig_agg_vectors.json")
        #expect(file.validTestCases.count == 4)
        for (index, vector) in file.validTestCases.enumerated() {
            let keys = try KeyAggregation(parsing: file.pubkeys.decoded(at: vector.keyIndices))
                .tweaked(by: file.tweaks.tweaks(at: vector.tweakIndices, isXonly: vector.isXonly))
            let message = try #require(Bytes32(hex: file.msg))
            let context = try SigningContext(
                keys: keys, nonces: PublicNonce.parseAll(file.pnonces.decoded(at: vector.nonceIndices)), message: message)
            #expect(context.aggregateNonce.bytes == (try Hex.decode(vector.aggnonce)), "case \(index)")
            let partials = try file.psigs.decoded(at: vector.psigIndices).enumerated().map {
                try PartialSignature(parsing: $1, signer: $0)
            }
            let signature = try context.finish(partials)
            #expect(signature.bytes == (try Hex.decode(vector.expected)), "case \(index)")
            #expect(signature.isValid(for: message, by: keys.xOnlyKey), "case \(index)")
            #expect(try await context.culprits(in: partials).isEmpty, "case \(index)")
        }
    }

    @Test func `a partial signature that is too large is refused with the signer's name`() throws {
        let file: SigAgg = try BIP327Files.load("sig_agg_vectors.json")
        #expect(file.errorTestCases.count == 1)
        for vector in file.errorTestCases {
            let expected = try vector.error.expected()
            let encoded = try file.psigs.decoded(at: vector.psigIndices)
            #expect(throws: expected, "\(vector.comment)") {
                for (signer, bytes) in encoded.enumerated() { _ = try PartialSignature(parsing: bytes, signer: signer) }
            }
            #expect(expected.culprit == vector.error.signer)
        }
    }
}
