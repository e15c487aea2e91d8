import MuSig2Reference
import TestVectors
import Testing

@Suite(.enabled(if: BIP327Files.areHere, "needs the bips folder: set CHORALE_BIPS"))
struct SigningVectorTests {
    // MARK: sign_verify

    private struct SignVerifyFile: Decodable {
        let sk: HexBytes
        let pubkeys, secnonces, pnonces, aggnonces, msgs: [HexBytes]
        let validTestCases: [Valid]
        let signErrorTestCases: [SignError]
        let verifyFailTestCases: [VerifyFail]
        let verifyErrorTestCases: [VerifyError]

        struct Valid: Decodable {
            let keyIndices, nonceIndices: [Int]
            let aggnonceIndex, msgIndex, signerIndex: Int
            let expected: HexBytes
        }

        struct SignError: Decodable {
            let keyIndices: [Int]
            let aggnonceIndex, msgIndex, secnonceIndex: Int
            let error: ExpectedError
        }

        struct VerifyFail: Decodable {
            let sig: HexBytes
            let keyIndices, nonceIndices: [Int]
            let msgIndex, signerIndex: Int
        }

        struct VerifyError: Decodable {
            let sig: HexBytes
            let keyIndices, nonceIndices: [Int]
            let msgIndex, signerIndex: Int
            let error: ExpectedError
        }
    }

    @Test func `signing and verifying give what BIP-327 says, for every message length`() throws {
        let file: SignVerifyFile = try BIP327Files.load("sign_verify_vectors.json")
        var ran = 0
        for vector in file.validTestCases {
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let pubnonces = try file.pnonces.bytes(at: vector.nonceIndices)
            let aggnonce = try file.aggnonces.bytes(at: [vector.aggnonceIndex])[0]
            let msg = try file.msgs.bytes(at: [vector.msgIndex])[0]
            #expect(try BIP327.nonceAgg(pubnonces) == aggnonce, "case \(ran)")

            // The file's first secret nonce belongs to its one secret key, wherever that key stands in the list.
            let session = BIP327.SessionContext(aggnonce: aggnonce, pubkeys: pubkeys, tweaks: [], msg: msg)
            let psig = try BIP327.sign(secnonce: file.secnonces.bytes(at: [0])[0], sk: file.sk.bytes, session: session)
            #expect(psig == vector.expected.bytes, "case \(ran)")
            let isValid = try BIP327.partialSigVerify(
                psig: vector.expected.bytes, pubnonces: pubnonces, pubkeys: pubkeys, tweaks: [], msg: msg, signer: vector.signerIndex
            )
            #expect(isValid, "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("valid_test_cases", in: "sign_verify_vectors.json"))
    }

    @Test func `signing fails where BIP-327 says, with the one to blame`() throws {
        let file: SignVerifyFile = try BIP327Files.load("sign_verify_vectors.json")
        var ran = 0
        for vector in file.signErrorTestCases {
            let session = BIP327.SessionContext(
                aggnonce: try file.aggnonces.bytes(at: [vector.aggnonceIndex])[0],
                pubkeys: try file.pubkeys.bytes(at: vector.keyIndices), tweaks: [],
                msg: try file.msgs.bytes(at: [vector.msgIndex])[0]
            )
            let secnonce = try file.secnonces.bytes(at: [vector.secnonceIndex])[0]
            #expect(throws: try vector.error.error(), "case \(ran)") {
                try BIP327.sign(secnonce: secnonce, sk: file.sk.bytes, session: session)
            }
            ran += 1
        }
        #expect(try ran == BIP327Files.count("sign_error_test_cases", in: "sign_verify_vectors.json"))
    }

    @Test func `a wrong partial signature does not verify`() throws {
        let file: SignVerifyFile = try BIP327Files.load("sign_verify_vectors.json")
        var ran = 0
        for vector in file.verifyFailTestCases {
            let isValid = try BIP327.partialSigVerify(
                psig: vector.sig.bytes, pubnonces: file.pnonces.bytes(at: vector.nonceIndices),
                pubkeys: file.pubkeys.bytes(at: vector.keyIndices), tweaks: [],
                msg: file.msgs.bytes(at: [vector.msgIndex])[0], signer: vector.signerIndex
            )
            #expect(!isValid, "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("verify_fail_test_cases", in: "sign_verify_vectors.json"))
    }

    @Test func `verifying fails where BIP-327 says, with the one to blame`() throws {
        let file: SignVerifyFile = try BIP327Files.load("sign_verify_vectors.json")
        var ran = 0
        for vector in file.verifyErrorTestCases {
            let pubnonces = try file.pnonces.bytes(at: vector.nonceIndices)
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let msg = try file.msgs.bytes(at: [vector.msgIndex])[0]
            #expect(throws: try vector.error.error(), "case \(ran)") {
                try BIP327.partialSigVerify(
                    psig: vector.sig.bytes, pubnonces: pubnonces, pubkeys: pubkeys, tweaks: [], msg: msg, signer: vector.signerIndex
                )
            }
            ran += 1
        }
        #expect(try ran == BIP327Files.count("verify_error_test_cases", in: "sign_verify_vectors.json"))
    }

    // MARK: tweak

    private struct TweakFile: Decodable {
        let sk, secnonce, aggnonce, msg: HexBytes
        let pubkeys, pnonces, tweaks: [HexBytes]
        let validTestCases: [Valid]
        let errorTestCases: [Failing]

        struct Valid: Decodable {
            let keyIndices, nonceIndices, tweakIndices: [Int]
            let isXonly: [Bool]
            let signerIndex: Int
            let expected: HexBytes
        }

        struct Failing: Decodable {
            let keyIndices, nonceIndices, tweakIndices: [Int]
            let isXonly: [Bool]
            let signerIndex: Int
            let error: ExpectedError
        }
    }

    @Test func `signing under tweaks, in any order of their modes, gives what BIP-327 says`() throws {
        let file: TweakFile = try BIP327Files.load("tweak_vectors.json")
        var ran = 0
        for vector in file.validTestCases {
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let pubnonces = try file.pnonces.bytes(at: vector.nonceIndices)
            let tweaks = try tweaks(file.tweaks.bytes(at: vector.tweakIndices), vector.isXonly)
            #expect(try BIP327.nonceAgg(pubnonces) == file.aggnonce.bytes, "case \(ran)")

            let session = BIP327.SessionContext(aggnonce: file.aggnonce.bytes, pubkeys: pubkeys, tweaks: tweaks, msg: file.msg.bytes)
            let psig = try BIP327.sign(secnonce: file.secnonce.bytes, sk: file.sk.bytes, session: session)
            #expect(psig == vector.expected.bytes, "case \(ran)")
            let isValid = try BIP327.partialSigVerify(
                psig: psig, pubnonces: pubnonces, pubkeys: pubkeys, tweaks: tweaks, msg: file.msg.bytes, signer: vector.signerIndex
            )
            #expect(isValid, "case \(ran)")
            ran += 1
        }
        #expect(try ran == BIP327Files.count("valid_test_cases", in: "tweak_vectors.json"))
    }

    @Test func `signing under a tweak out of range fails, and so does verifying`() throws {
        let file: TweakFile = try BIP327Files.load("tweak_vectors.json")
        var ran = 0
        for vector in file.errorTestCases {
            let pubkeys = try file.pubkeys.bytes(at: vector.keyIndices)
            let pubnonces = try file.pnonces.bytes(at: vector.nonceIndices)
            let tweaks = try tweaks(file.tweaks.bytes(at: vector.tweakIndices), vector.isXonly)
            let session = BIP327.SessionContext(aggnonce: file.aggnonce.bytes, pubkeys: pubkeys, tweaks: tweaks, msg: file.msg.bytes)
            let expected = try vector.error.error()
            #expect(throws: expected, "case \(ran)") {
                try BIP327.sign(secnonce: file.secnonce.bytes, sk: file.sk.bytes, session: session)
            }
            #expect(throws: expected, "case \(ran)") {
                try BIP327.partialSigVerify(
                    psig: [UInt8](repeating: 1, count: 32), pubnonces: pubnonces, pubkeys: pubkeys, tweaks: tweaks,
                    msg: file.msg.bytes, signer: vector.signerIndex
                )
            }
            ran += 1
        }
        #expect(try ran == BIP327Files.count("error_test_cases", in: "tweak_vectors.json"))
    }
}
