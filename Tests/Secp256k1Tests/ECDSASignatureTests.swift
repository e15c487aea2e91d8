import CSecp256k1
import CryptoPrimitives
import Testing

@testable import Secp256k1

struct `ECDSA signatures` {
    private let message = SHA256.hash(Array("chorale".utf8))

    /// The library's own signature, with s made high where asked: the form that some of the others send.
    private func sign(_ key: borrowing SecretKey, high: Bool = false) throws -> [UInt8] {
        var signature = secp256k1_ecdsa_signature()
        var secret = try key.encoded().withUnsafeBytes { Array($0) }
        #expect(secp256k1_ecdsa_sign(Context.shared, &signature, self.message.bytes, &secret, nil, nil) == 1)
        if high {
            var compact = [UInt8](repeating: 0, count: 64)
            secp256k1_ecdsa_signature_serialize_compact(Context.shared, &compact, &signature)
            var s = Array(compact[32...])
            #expect(secp256k1_ec_seckey_negate(Context.shared, &s) == 1)
            #expect(secp256k1_ecdsa_signature_parse_compact(Context.shared, &signature, Array(compact[..<32]) + s) == 1)
        }
        var (bytes, count) = ([UInt8](repeating: 0, count: 72), 72)
        #expect(secp256k1_ecdsa_signature_serialize_der(Context.shared, &bytes, &count, &signature) == 1)
        return Array(bytes[..<count])
    }

    @Test func `with either value of s are valid for their message and key alone`() throws {
        let key = try SecretKey.generate()
        let (low, high) = (try self.sign(key), try self.sign(key, high: true))
        #expect(low != high)
        for bytes in [low, high] {
            let signature = try ECDSASignature(parsingDER: bytes)
            #expect(signature.isValid(for: self.message, by: key.publicKey))
            #expect(!signature.isValid(for: Bytes32(), by: key.publicKey))
            #expect(try !signature.isValid(for: self.message, by: SecretKey.generate().publicKey))
        }
    }

    @Test func `cut short anywhere or with any bit flipped are not valid`() throws {
        let key = try SecretKey.generate()
        let bytes = try self.sign(key)
        for count in bytes.indices { #expect(throws: KeyError.scalarOutOfRange) { try ECDSASignature(parsingDER: bytes[..<count]) } }
        for bit in 0..<(bytes.count * 8) {
            var wrong = bytes
            wrong[bit / 8] ^= 1 << (bit % 8)
            if let signature = try? ECDSASignature(parsingDER: wrong) {
                #expect(!signature.isValid(for: self.message, by: key.publicKey), "bit \(bit)")
            }
        }
    }
}
