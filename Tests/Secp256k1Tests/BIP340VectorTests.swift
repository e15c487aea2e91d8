import CSecp256k1
import CryptoPrimitives
import Foundation
import Secp256k1
import TestVectors
import Testing

/// All rows of BIP-340's `test-vectors.csv`.
@Suite(.enabled(if: VectorFolder.has(BIP340Row.file), "needs the bips folder: set CHORALE_BIPS"))
struct BIP340VectorTests {
    @Test func `the file holds 19 rows, 8 of them with a secret key and 9 of them valid`() throws {
        let rows = try BIP340Row.all()
        #expect(rows.count == 19)
        #expect(rows.count { $0.secretKey != nil } == 8)
        #expect(rows.count { $0.isValid } == 9)
    }

    @Test func `each signature is valid or not as BIP-340 says`() throws {
        for row in try BIP340Row.all() {
            #expect(row.verdict() == row.isValid, "row \(row.index): \(row.comment)")
        }
    }

    @Test func `each secret key gives the public key beside it`() throws {
        for row in try BIP340Row.all() {
            guard let scalar = row.secretKey else { continue }
            let secret = try SecretBytes(count: scalar.count) { $0.copyBytes(from: scalar) }
            let key = try SecretKey(parsing: secret)
            #expect(key.publicKey.xOnly.bytes.bytes == row.publicKey, "row \(row.index)")
        }
    }

    // `SecretKey.sign` draws its auxiliary randomness itself, so here the library is given the row's.
    @Test func `each signing row gives exactly its signature`() throws {
        for row in try BIP340Row.all() {
            guard let scalar = row.secretKey else { continue }
            var (keyPair, signature, auxiliary) = (secp256k1_keypair(), [UInt8](repeating: 0, count: 64), row.auxiliary)
            try #require(auxiliary.count == 32)
            try #require(secp256k1_keypair_create(Context.shared, &keyPair, scalar) == 1)
            let isMade = auxiliary.withUnsafeMutableBytes { auxiliary in
                // The magic of SECP256K1_SCHNORRSIG_EXTRAPARAMS_INIT, a macro that Swift does not import.
                var parameters = secp256k1_schnorrsig_extraparams(
                    magic: (0xda, 0x6f, 0xb3, 0x8c), noncefp: nil, ndata: auxiliary.baseAddress)
                return secp256k1_schnorrsig_sign_custom(
                    Context.shared, &signature, row.message, row.message.count, &keyPair, &parameters) == 1
            }
            #expect(isMade, "row \(row.index)")
            #expect(signature == row.signature, "row \(row.index)")
        }
    }
}

private struct BIP340Row {
    static let file = "bip-0340/test-vectors.csv"

    let index: String
    let secretKey: [UInt8]?
    let publicKey: [UInt8]
    let auxiliary: [UInt8]
    let message: [UInt8]
    let signature: [UInt8]
    let isValid: Bool
    let comment: String

    static func all() throws -> [BIP340Row] {
        let text = String(decoding: try VectorFolder.data(Self.file), as: UTF8.self)
        return try text.split(whereSeparator: \.isNewline).dropFirst().map { line in
            let fields = line.split(separator: ",", maxSplits: 7, omittingEmptySubsequences: false)
            try #require(fields.count == 8)
            try #require(["TRUE", "FALSE"].contains(fields[6]))
            return BIP340Row(
                index: String(fields[0]), secretKey: fields[1].isEmpty ? nil : try Hex.decode(fields[1]),
                publicKey: try Hex.decode(fields[2]), auxiliary: try Hex.decode(fields[3]), message: try Hex.decode(fields[4]),
                signature: try Hex.decode(fields[5]), isValid: fields[6] == "TRUE", comment: String(fields[7]))
        }
    }

    /// What the Swift API says of the row; a key that is not on the curve verifies nothing.
    func verdict() -> Bool {
        guard let key = try? XOnlyPublicKey(parsing: self.publicKey), let signature = try? SchnorrSignature(parsing: self.signature)
        else { return false }
        return signature.isValid(for: self.message, by: key)
    }
}
