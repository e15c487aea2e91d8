import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

/// BIP-327's `sign_verify_vectors.json` and `tweak_vectors.json`.
///
/// `det_sign_vectors.json` is not here: the library has no deterministic signing, so MuSig2Reference runs those 9 cases.
@Suite(.enabled(if: BIP327Files.areThere, "needs the bips folder: set CHORALE_BIPS"))
struct SigningVectorTests {
    private struct SignVerify: Decodable {
        struct Valid: Decodable {
            let keyIndices: [Int]
            let nonceIndices: [Int]
            let aggnonceIndex: Int
            let msgIndex: Int
            let signerIndex: Int
            let expected: String
        }
        struct SignError: Decodable {
            let keyIndices: [Int]
            let aggnonceIndex: Int
            let msgIndex: Int
            let secnonceIndex: Int
            let error: OfficialError
            let comment: String
        }
        struct VerifyFail: Decodable {
            let sig: String
            let keyIndices: [Int]
            let nonceIndices: [Int]
            let msgIndex: Int
            let signerIndex: Int
            let comment: String
        }
        struct VerifyError: Decodable {
            let sig: String
            let keyIndices: [Int]
            let nonceIndices: [Int]
            let msgIndex: Int
            let signerIndex: Int
            let error: OfficialError
            let comment: String
        }
        let sk: String
        let pubkeys: [String]
        let secnonces: [String]
        let pnonces: [String]
        let aggnonces: [String]
        let msgs: [String]
        let validTestCases: [Valid]
        let signErrorTestCases: [SignError]
        let verifyFailTestCases: [VerifyFail]
        let verifyErrorTestCases: [VerifyError]

        /// The context that these places name. Every error on the way carries the signer.
        func context(keys: [Int], nonces: [Int], message: Int) throws -> SigningContext {
            try SigningContext(
                keys: KeyAggregation(parsing: self.pubkeys.decoded(at: keys)),
                nonces: PublicNonce.parseAll(self.pnonces.decoded(at: nonces)),
                message: #require(Bytes32(hex: self.msgs[message])))
        }
    }

    private struct Tweaking: Decodable {
        struct Valid: Decodable {
            let keyIndices: [Int]
            let nonceIndices: [Int]
            let tweakIndices: [Int]
            let isXonly: [Bool]
            let signerIndex: Int
            let expected: String
            let comment: String
        }
        struct Failing: Decodable {
            let keyIndices: [Int]
            let tweakIndices: [Int]
            let isXonly: [Bool]
            let error: OfficialError
            let comment: String
        }
        let sk: String
        let pubkeys: [String]
        let secnonce: String
        let pnonces: [String]
        let aggnonce: String
        let tweaks: [String]
        let msg: String
        let validTestCases: [Valid]
        let errorTestCases: [Failing]
    }

    // Cases 4 and 5 have messages of 0 and 38 bytes, which the library's function does not take: MuSig2Reference runs them.
    @Test func `partial signatures come out and verify as BIP-327 says`() throws {
        let file: SignVerify = try BIP327Files.load("sign_verify_vectors.json")
        #expect(file.validTestCases.count == 6)
        let nonce = try ForgedNonce(parsing: Hex.decode(file.secnonces[0]))
        var ran: [Int] = []
        for (index, vector) in file.validTestCases.enumerated() where file.msgs[vector.msgIndex].count == 64 {
            let context = try file.context(keys: vector.keyIndices, nonces: vector.nonceIndices, message: vector.msgIndex)
            #expect(context.aggregateNonce.bytes == (try Hex.decode(file.aggnonces[vector.aggnonceIndex])), "case \(index)")
            let partial = try #require(try nonce.sign(with: Hex.decode(file.sk), in: context))
            #expect(partial.bytes.bytes == (try Hex.decode(vector.expected)), "case \(index)")
            #expect(try context.isValid(partial, of: vector.signerIndex), "case \(index)")
            ran.append(index)
        }
        #expect(ran == [0, 1, 2, 3])
    }

    // Case 0, a signer outside the group, signs in the library, which does not look: `SecretNonce.sign` refuses it, by a test in
    // SecretNonceTests. Case 5 is a nonce of zeros.
    @Test func `signing is refused as BIP-327 says`() throws {
        let file: SignVerify = try BIP327Files.load("sign_verify_vectors.json")
        #expect(file.signErrorTestCases.count == 6)
        for vector in file.signErrorTestCases[1...4] {
            let expected = try vector.error.expected()
            #expect(throws: expected, "\(vector.comment)") {
                try SigningContext(
                    keys: KeyAggregation(parsing: file.pubkeys.decoded(at: vector.keyIndices)),
                    aggregateNonce: AggregateNonce(parsing: Hex.decode(file.aggnonces[vector.aggnonceIndex])),
                    message: #require(Bytes32(hex: file.msgs[vector.msgIndex])))
            }
            #expect(expected.culprit == vector.error.signer)
        }
    }

    @Test func `a nonce of zeros signs nothing, and the process lives`() throws {
        let file: SignVerify = try BIP327Files.load("sign_verify_vectors.json")
        let vector = try #require(file.signErrorTestCases.last)
        #expect(vector.error.message == "first secnonce value is out of range.")
        let context = try SigningContext(
            keys: KeyAggregation(parsing: file.pubkeys.decoded(at: vector.keyIndices)),
            aggregateNonce: AggregateNonce(parsing: Hex.decode(file.aggnonces[vector.aggnonceIndex])),
            message: #require(Bytes32(hex: file.msgs[vector.msgIndex])))
        let before = Context.illegalArgumentCount
        let nonce = try ForgedNonce(parsing: Hex.decode(file.secnonces[vector.secnonceIndex]))
        #expect(try nonce.sign(with: Hex.decode(file.sk), in: context) == nil)
        #expect(Context.illegalArgumentCount > before)
    }

    @Test func `wrong partial signatures do not verify, as BIP-327 says`() throws {
        let file: SignVerify = try BIP327Files.load("sign_verify_vectors.json")
        #expect(file.verifyFailTestCases.count == 3)
        var tooLarge = 0
        for vector in file.verifyFailTestCases {
            let context = try file.context(keys: vector.keyIndices, nonces: vector.nonceIndices, message: vector.msgIndex)
            let bytes = try Hex.decode(vector.sig)
            do {
                let partial = try PartialSignature(parsing: bytes, signer: vector.signerIndex)
                #expect(try !context.isValid(partial, of: vector.signerIndex), "\(vector.comment)")
            } catch {
                // A scalar above the order is stopped at the door already, and its sender named.
                #expect(error == .invalid(.partialSignature, signer: vector.signerIndex), "\(vector.comment)")
                tooLarge += 1
            }
        }
        #expect(tooLarge == 1)
    }

    @Test func `verification is refused as BIP-327 says, with the signer's name`() throws {
        let file: SignVerify = try BIP327Files.load("sign_verify_vectors.json")
        #expect(file.verifyErrorTestCases.count == 2)
        for vector in file.verifyErrorTestCases {
            let expected = try vector.error.expected()
            #expect(throws: expected, "\(vector.comment)") {
                try file.context(keys: vector.keyIndices, nonces: vector.nonceIndices, message: vector.msgIndex)
            }
            #expect(expected.culprit == vector.error.signer)
        }
    }

    @Test func `tweaked groups sign as BIP-327 says`() throws {
        let file: Tweaking = try BIP327Files.load("tweak_vectors.json")
        #expect(file.validTestCases.count == 5)
        let nonce = try ForgedNonce(parsing: Hex.decode(file.secnonce))
        for vector in file.validTestCases {
            let keys = try KeyAggregation(parsing: file.pubkeys.decoded(at: vector.keyIndices))
                .tweaked(by: file.tweaks.tweaks(at: vector.tweakIndices, isXonly: vector.isXonly))
            let context = try SigningContext(
                keys: keys, nonces: PublicNonce.parseAll(file.pnonces.decoded(at: vector.nonceIndices)),
                message: #require(Bytes32(hex: file.msg)))
            #expect(context.aggregateNonce.bytes == (try Hex.decode(file.aggnonce)))
            let partial = try #require(try nonce.sign(with: Hex.decode(file.sk), in: context))
            #expect(partial.bytes.bytes == (try Hex.decode(vector.expected)), "\(vector.comment)")
            #expect(try context.isValid(partial, of: vector.signerIndex), "\(vector.comment)")
        }
    }

    @Test func `tweaks are refused as BIP-327 says`() throws {
        let file: Tweaking = try BIP327Files.load("tweak_vectors.json")
        #expect(file.errorTestCases.count == 1)
        for vector in file.errorTestCases {
            let keys = try KeyAggregation(parsing: file.pubkeys.decoded(at: vector.keyIndices))
            let tweaks = try file.tweaks.tweaks(at: vector.tweakIndices, isXonly: vector.isXonly)
            #expect(throws: try vector.error.expected(), "\(vector.comment)") { try keys.tweaked(by: tweaks) }
        }
    }
}
