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
    func `an invalid PSBT is refused`(vector: PSBTVectorFile.Case) throws {
        let error = try #require(throws: PSBTError.self) { try vector.psbt() }
        #expect(throws: error) { try PSBT(base64: vector.base64) }
        print(vector.why, "|", error)
    }

    @Test(arguments: PSBTVectorFile.cases(370, \.psbts))
    func `a PSBT of version 2, or a field of it in version 0, is refused`(vector: PSBTVectorFile.Case) throws {
        let error = try #require(throws: PSBTError.self) { try vector.psbt() }
        print(vector.why, "|", error)
    }
}
