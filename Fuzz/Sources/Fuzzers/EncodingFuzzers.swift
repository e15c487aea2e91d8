import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1

extension Fuzzer {
    /// Texts: each decoder gives bytes whose text is the one it was given.
    static let encodings = Fuzzer(
        name: "encodings", byteCountMax: 256, seeds: { try Seeds.addresses() + [Array("00ff7a".utf8), Array("AAECAw==".utf8)] },
        run: { start, count in
            let bytes = input(start, count)
            let text = String(decoding: bytes, as: UTF8.self)
            if let (prefix, data, variant) = try? Bech32.decode(text) {
                let again = try? Bech32.encode(humanReadablePart: prefix, data5: data, variant: variant)
                require(again == text.lowercased(), "bech32 has one text")
                consume(try? Bech32.convertBits(data, from: 5, to: 8, padding: false))
            }
            if let decoded = try? Base58Check.decode(text) { require(Base58Check.encode(decoded) == text, "base58 has one text") }
            if let decoded = try? Base64.decode(text) { require(Base64.encode(decoded) == text, "base64 has one text") }
            if let decoded = try? Hex.decode(text) { require(Hex.encode(decoded) == text.lowercased(), "hex has one text") }
            if let txid = Txid(text) { require(txid.description == text.lowercased(), "a transaction id has one text") }
            require((try? Base64.decode(Base64.encode(bytes))) == bytes, "bytes come back from base64")
            require((try? Hex.decode(Hex.encode(bytes))) == bytes, "bytes come back from hex")
            if bytes.count <= Base58Check.byteCountMax {
                require((try? Base58Check.decode(Base58Check.encode(bytes))) == bytes, "bytes come back from base58")
            }
            return 0
        })

    /// Keys, nonces and signatures: one encoding each, and what was parsed can be used.
    static let keysAndNonces = Fuzzer(
        name: "keys-and-nonces", byteCountMax: 256, seeds: { try Seeds.keysAndNonces() },
        run: { start, count in
            let bytes = input(start, count)
            let message = SHA256.hash(bytes)
            if let key = try? PublicKey(parsing: bytes) {
                require(key.bytes == bytes, "the same key")
                require(key.xOnly.bytes.bytes == Array(bytes.dropFirst()), "the same x")
                if let group = try? KeyAggregation(parsing: [bytes, bytes]) { consume(try? group.tweaked(by: .plain(message))) }
            }
            if let key = try? XOnlyPublicKey(parsing: bytes) {
                require(key.bytes.bytes == bytes, "the same x-only key")
                require(key.evenKey.hasEvenY && key.evenKey.xOnly == key, "lifted to an even y")
                consume(try? key.tweaked(adding: message))
            }
            if let nonce = try? PublicNonce(parsing: bytes) {
                require(nonce.bytes == bytes, "the same nonce")
                // Twice the same nonce and once with a key: sums and contexts of anything valid end.
                if let key = try? Known.key(1), let group = try? KeyAggregation([key, key]),
                    let context = try? SigningContext(keys: group, nonces: [nonce, nonce], message: message)
                {
                    require((try? AggregateNonce(parsing: context.aggregateNonce.bytes)) == context.aggregateNonce, "the same sum")
                }
            }
            if let nonce = try? AggregateNonce(parsing: bytes) {
                require(nonce.bytes == bytes, "the same aggregate nonce")
                if let key = try? Known.key(1), let group = try? KeyAggregation([key]) {
                    consume(try? SigningContext(keys: group, aggregateNonce: nonce, message: message))
                }
            }
            if let partial = try? PartialSignature(parsing: bytes) { require(partial.bytes.bytes == bytes, "the same partial signature") }
            if let signature = try? SchnorrSignature(parsing: bytes) {
                require(signature.bytes == bytes, "the same signature")
                if let key = try? Known.key(1).xOnly { require(!signature.isValid(for: message, by: key), "nobody forges a signature") }
            }
            if let key = try? Ed25519.PublicKey(parsing: bytes) { require(key.bytes == bytes, "the same Ed25519 key") }
            if let signature = try? Ed25519.Signature(parsing: bytes), let key = try? Known.identity(1).publicKey {
                require(signature.bytes == bytes, "the same Ed25519 signature")
                require(!signature.isValid(for: message.bytes, by: key), "nobody forges an Ed25519 signature")
            }
            return 0
        })
}
