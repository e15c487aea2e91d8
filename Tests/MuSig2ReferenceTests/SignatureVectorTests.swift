import MuSig2Reference
import TestVectors
import Testing

@Suite(.enabled(if: BIP327Files.areHere, "needs the bips folder: set CHORALE_BIPS"))
struct SignatureVectorTests {
    // MARK: sig_agg

    private struct SigAggFile: Decodable {
        let pubkeys, pnonces, tweaks, psigs: [HexBytes]
        let msg: HexBytes
        let validTestCases: [Valid]
        let errorTestCases: [Failing]

        struct Valid: Decodable {
            let aggnonce, expected: HexBytes
            let nonceIndices, keyIndices, tweakIndices, psigIndices: [Int]
            let isXonly: [Bool]
        }

        struct Failing: Decodable {
            let aggnonce: HexBytes
            let nonceIndices, keyIndices, tweakIndices, psigIndices: [Int]
            let isXonly: [Bool]
            let error: ExpectedError
        }
    }

    @Test func `partial signatures add up to the signature of BIP-327, and BIP-340 accepts it`() throws {
        let file: SigAggFile = try BIP327Files.load("sig_agg_vectors.json")
        var ran = 0
        for vector in file.validTestCases {
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let pubnonces = try file.pnonces.bytes(at: vector.nonceIndices)
            let tweaks = try tweaks(file.tweaks.bytes(at: vector.tweakIndices), vector.isXonly)
            let psigs = try file.psigs.bytes(at: vector.psigIndices)
            #expect(try BIP327.nonceAgg(pubnonces) == vector.aggnonce.bytes, "case \(ran)")
            for (signer, psig) in psigs.enumerated() {
                let isValid = try BIP327.partialSigVerify(
                    psig: psig, pubnonces: pubnonces, pubkeys: pubkeys, tweaks: tweaks, msg: file.msg.bytes, signer: signer
                )
                #expect(isValid, "case \(ran), signer \(signer)")
            }

            let session = BIP327.SessionContext(aggnonce: vector.aggnonce.bytes, pubkeys: pubkeys, tweaks: tweaks, msg: file.msg.bytes)
            let signature = try BIP327.partialSigAgg(psigs, session: session)
            #expect(signature == vector.expected.bytes, "case \(ran)")
            let key = BIP327.getXonlyPubkey(try BIP327.keyAgg(pubkeys, tweaks: tweaks))
            #expect(BIP340.verify(pk: key, msg: file.msg.bytes, sig: signature), "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("valid_test_cases", in: "sig_agg_vectors.json"))
    }

    @Test func `a partial signature out of range is refused with its signer's index`() throws {
        let file: SigAggFile = try BIP327Files.load("sig_agg_vectors.json")
        var ran = 0
        for vector in file.errorTestCases {
            let session = BIP327.SessionContext(
                aggnonce: vector.aggnonce.bytes, pubkeys: try file.pubkeys.bytes(at: vector.keyIndices),
                tweaks: try tweaks(file.tweaks.bytes(at: vector.tweakIndices), vector.isXonly), msg: file.msg.bytes
            )
            let psigs = try file.psigs.bytes(at: vector.psigIndices)
            #expect(throws: try vector.error.error(), "case \(ran)") { try BIP327.partialSigAgg(psigs, session: session) }
            ran += 1
        }
        #expect(try ran == BIP327Files.count("error_test_cases", in: "sig_agg_vectors.json"))
    }

    // MARK: det_sign

    private struct DetSignFile: Decodable {
        let sk: HexBytes
        let pubkeys, msgs: [HexBytes]
        let validTestCases: [Valid]
        let errorTestCases: [Failing]

        struct Valid: Decodable {
            let rand: HexBytes?
            let aggothernonce: HexBytes
            let keyIndices: [Int]
            let tweaks: [HexBytes]
            let isXonly: [Bool]
            let msgIndex, signerIndex: Int
            let expected: [HexBytes]
        }

        struct Failing: Decodable {
            let rand: HexBytes?
            let aggothernonce: HexBytes
            let keyIndices: [Int]
            let tweaks: [HexBytes]
            let isXonly: [Bool]
            let msgIndex: Int
            let error: ExpectedError
        }
    }

    @Test func `deterministic signing gives the nonce and the partial signature of BIP-327`() throws {
        let file: DetSignFile = try BIP327Files.load("det_sign_vectors.json")
        var ran = 0
        for vector in file.validTestCases {
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let tweaks = try tweaks(vector.tweaks.bytes, vector.isXonly)
            let msg = try file.msgs.bytes(at: [vector.msgIndex])[0]
            let (pubnonce, psig) = try BIP327.deterministicSign(
                sk: file.sk.bytes, aggothernonce: vector.aggothernonce.bytes, pubkeys: pubkeys, tweaks: tweaks, msg: msg,
                rand: vector.rand?.bytes
            )
            #expect([pubnonce, psig] == vector.expected.bytes, "case \(ran)")

            let aggnonce = try BIP327.nonceAgg([pubnonce, vector.aggothernonce.bytes])
            let session = BIP327.SessionContext(aggnonce: aggnonce, pubkeys: pubkeys, tweaks: tweaks, msg: msg)
            let isValid = try BIP327.partialSigVerifyInternal(
                psig: psig, pubnonce: pubnonce, pk: pubkeys[vector.signerIndex], session: session
            )
            #expect(isValid, "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("valid_test_cases", in: "det_sign_vectors.json"))
    }

    @Test func `deterministic signing fails where BIP-327 says, with the one to blame`() throws {
        let file: DetSignFile = try BIP327Files.load("det_sign_vectors.json")
        var ran = 0
        for vector in file.errorTestCases {
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let tweaks = try tweaks(vector.tweaks.bytes, vector.isXonly)
            let msg = try file.msgs.bytes(at: [vector.msgIndex])[0]
            #expect(throws: try vector.error.error(), "case \(ran)") {
                try BIP327.deterministicSign(
                    sk: file.sk.bytes, aggothernonce: vector.aggothernonce.bytes, pubkeys: pubkeys, tweaks: tweaks, msg: msg,
                    rand: vector.rand?.bytes
                )
            }
            ran += 1
        }
        #expect(try ran == BIP327Files.count("error_test_cases", in: "det_sign_vectors.json"))
    }
}
