import Bitcoin
import CryptoPrimitives
import Secp256k1
import Testing

@Suite(.enabled(if: [174, 370, 371, 373].allSatisfy(PSBTVectorFile.isThere), "\(PSBTVectorFile.absence)"))
struct PSBTParsingTests {
    @Test func `every official case is here`() throws {
        #expect(try PSBTVectorFile.load(174).valid.count == 10)
        #expect(try PSBTVectorFile.load(174).invalid.count == 20)
        #expect(try PSBTVectorFile.load(174).signerFails?.count == 4)
        #expect(try PSBTVectorFile.load(371).valid.count == 6)
        #expect(try PSBTVectorFile.load(371).invalid.count == 11)
        #expect(try PSBTVectorFile.load(373).valid.count == 14)
        #expect(try PSBTVectorFile.load(373).invalid.count == 10)
    }

    static let valid =
        [174, 371, 373].flatMap { PSBTVectorFile.cases($0, \.valid) } + ((try? PSBTVectorFile.load(174))?.signerFails ?? [])

    @Test(arguments: valid)
    func `a valid PSBT comes out as it went in`(vector: PSBTVectorFile.Case) throws {
        let psbt = try vector.psbt()
        #expect(Hex.encode(psbt.serialized()) == vector.hex)
        #expect(psbt.base64() == vector.base64)
        #expect(try PSBT(base64: vector.base64) == psbt)
    }

    static let invalid = [174, 371, 373].flatMap { PSBTVectorFile.cases($0, \.invalid) }

    @Test(arguments: invalid)
    func `an invalid PSBT is refused in both encodings`(vector: PSBTVectorFile.Case) throws {
        let error = try #require(throws: PSBTError.self) { try vector.psbt() }
        #expect(throws: error) { try PSBT(base64: vector.base64) }
    }

    @Test func `an error names the map, the field and what is wrong`() throws {
        let expected = Self.errors174 + Self.errors371 + Self.errors373
        #expect(Self.invalid.count == expected.count)
        for (vector, text) in zip(Self.invalid, expected) {
            let error = try #require(throws: PSBTError.self) { try vector.psbt() }
            #expect("\(error)".contains(text), "\(vector.why)")
        }
    }

    private static let errors174 = [
        "this is no PSBT",
        "output 0: key at byte",
        "input 0 of PSBT_GLOBAL_UNSIGNED_TX has a scriptSig",
        "global map: PSBT_GLOBAL_UNSIGNED_TX is missing",
        "input 0: PSBT_IN_NON_WITNESS_UTXO stands there twice",
        "global map: PSBT_GLOBAL_UNSIGNED_TX must have no key data",
        "input 0: PSBT_IN_WITNESS_UTXO must have no key data",
        "input 0: PSBT_IN_PARTIAL_SIG has a key of 32 bytes, and it takes 33 or 65",
        "input 0: PSBT_IN_REDEEM_SCRIPT must have no key data",
        "input 0: PSBT_IN_WITNESS_SCRIPT must have no key data",
        "input 0: PSBT_IN_BIP32_DERIVATION has a key of 32 bytes, and it takes 33 or 65",
        "input 0: PSBT_IN_NON_WITNESS_UTXO must have no key data",
        "input 0: PSBT_IN_FINAL_SCRIPTSIG must have no key data",
        "input 1: PSBT_IN_FINAL_SCRIPTWITNESS must have no key data",
        "output 0: PSBT_OUT_BIP32_DERIVATION has a key of 32 bytes, and it takes 33 or 65",
        "input 0: PSBT_IN_SIGHASH_TYPE must have no key data",
        "output 0: PSBT_OUT_REDEEM_SCRIPT must have no key data",
        "output 1: PSBT_OUT_WITNESS_SCRIPT must have no key data",
        "global map: PSBT_GLOBAL_UNSIGNED_TX holds a damaged transaction",
        "global map: PSBT_GLOBAL_UNSIGNED_TX holds a damaged transaction",
    ]

    private static let errors371 = [
        "input 0: PSBT_IN_TAP_INTERNAL_KEY has a value of 33 bytes, and it takes 32",
        "input 0: PSBT_IN_TAP_KEY_SIG has a value of 63 bytes, and it takes 64 or 65",
        "input 0: PSBT_IN_TAP_KEY_SIG has a value of 66 bytes, and it takes 64 or 65",
        "input 0: PSBT_IN_TAP_BIP32_DERIVATION has a key of 33 bytes, and it takes 32",
        "output 1: PSBT_OUT_TAP_INTERNAL_KEY has a value of 33 bytes, and it takes 32",
        "output 1: PSBT_OUT_TAP_BIP32_DERIVATION has a key of 33 bytes, and it takes 32",
        "input 0: PSBT_IN_TAP_SCRIPT_SIG has a key of 65 bytes, and it takes 64",
        "input 0: PSBT_IN_TAP_SCRIPT_SIG has a value of 66 bytes, and it takes 64 or 65",
        "input 0: PSBT_IN_TAP_SCRIPT_SIG has a value of 63 bytes, and it takes 64 or 65",
        "input 0: PSBT_IN_TAP_LEAF_SCRIPT is not valid: a control block has 33 bytes and 32 more",
        "input 0: PSBT_IN_TAP_LEAF_SCRIPT is not valid: a control block has 33 bytes and 32 more",
    ]

    private static let errors373 = [
        "input 0: PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS has a key of 32 bytes, and it takes 33",
        "input 0: PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS has a value of 98 bytes, which is no multiple of 33",
        "output 0: PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS has a key of 32 bytes, and it takes 33",
        "output 0: PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS has a key of 32 bytes, and it takes 33",
        "input 0: PSBT_IN_MUSIG2_PUB_NONCE has a key of 65 bytes, and it takes 66 or 98",
        "input 0: PSBT_IN_MUSIG2_PUB_NONCE has a key of 65 bytes, and it takes 66 or 98",
        "input 0: PSBT_IN_MUSIG2_PUB_NONCE has a value of 65 bytes, and it takes 66",
        "input 0: PSBT_IN_MUSIG2_PARTIAL_SIG has a key of 97 bytes, and it takes 66 or 98",
        "input 0: PSBT_IN_MUSIG2_PARTIAL_SIG has a key of 97 bytes, and it takes 66 or 98",
        "input 0: PSBT_IN_MUSIG2_PARTIAL_SIG has a value of 31 bytes, and it takes 32",
    ]

    /// BIP-370's own figures, valid and invalid: none of them is a PSBT of version 0.
    @Test(arguments: PSBTVectorFile.cases(370, \.psbts))
    func `a PSBT of version 2, or a field of it in version 0, is refused by name`(vector: PSBTVectorFile.Case) throws {
        let error = try #require(throws: PSBTError.self) { try vector.psbt() }
        switch error {
        case .unsupportedVersion(2): #expect(vector.valid || vector.why.contains("v2") || vector.why.contains("version field 2"))
        case .invalidField(_, _, .notInVersion0): #expect(vector.why.hasPrefix("v0 with"))
        default: Issue.record("\(vector.why): \(error)")
        }
    }
}
