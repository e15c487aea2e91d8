import CryptoPrimitives
import MuSig2Reference
import TestVectors
import Testing

private let schnorrVectorFile = "bip-0340/test-vectors.csv"

@Suite(.enabled(if: VectorFolder.has(schnorrVectorFile), "needs the bips folder: set CHORALE_BIPS"))
struct SchnorrVectorTests {
    private struct Row {
        let index: String
        let pk, msg, sig: [UInt8]
        let secret: (sk: [UInt8], rand: [UInt8])?
        let isValid: Bool
    }

    /// All rows, without the one of the column names. A comment may hold commas and is not read.
    private static func rows() throws -> [Row] {
        let text = String(decoding: try VectorFolder.data(schnorrVectorFile), as: UTF8.self)
        return try text.split(whereSeparator: \.isNewline).dropFirst().map { line in
            let columns = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            try #require(columns.count >= 8, "row \(line) has too few columns")
            try #require(columns[6] == "TRUE" || columns[6] == "FALSE", "row \(line) gives no result")
            return Row(
                index: columns[0], pk: try Hex.decode(columns[2]), msg: try Hex.decode(columns[4]), sig: try Hex.decode(columns[5]),
                secret: columns[1].isEmpty ? nil : (try Hex.decode(columns[1]), try Hex.decode(columns[3])),
                isValid: columns[6] == "TRUE"
            )
        }
    }

    @Test func `every row verifies or fails as BIP-340 says`() throws {
        var ran = 0
        for row in try Self.rows() {
            #expect(BIP340.verify(pk: row.pk, msg: row.msg, sig: row.sig) == row.isValid, "row \(row.index)")
            ran += 1
        }
        #expect(ran >= 19)
    }

    @Test func `every row with a secret key signs to the same bytes`() throws {
        var ran = 0
        for row in try Self.rows() {
            guard let secret = row.secret else { continue }
            #expect(try BIP340.pubKey(secret.sk) == row.pk, "row \(row.index)")
            #expect(try BIP340.sign(sk: secret.sk, msg: row.msg, rand: secret.rand) == row.sig, "row \(row.index)")
            ran += 1
        }
        #expect(ran >= 8)
    }
}
