import CryptoPrimitives
import LibP2P

/// The initiator's side of Noise XX, written a second time, for one who may say anything where the library says only what is right.
///
/// Its keys are known to everybody, so they need no guarded memory.
struct NoiseByHand {
    private var hash: [UInt8]
    private var chainingKey: [UInt8]
    private var key: [UInt8]?
    private var nonce: UInt64 = 0

    /// The name has exactly as many bytes as the hash (Noise Protocol Framework, revision 34, section 5.2).
    init() {
        self.hash = Array("Noise_XX_25519_ChaChaPoly_SHA256".utf8)
        self.chainingKey = self.hash
        self.mixHash([])
    }

    private mutating func mixHash(_ bytes: [UInt8]) { self.hash = SHA256.hash(self.hash + bytes).bytes }

    private mutating func mixKey(_ secret: borrowing X25519.SecretKey, _ other: X25519.PublicKey) throws {
        var shared = [UInt8](repeating: 0, count: X25519.byteCount)
        try shared.withUnsafeMutableBytes { target in
            try Result { () throws(X25519Error) in try secret.writeSharedSecret(with: other, to: target) }.get()
        }
        var (pseudorandom, output) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 64))
        self.chainingKey.withUnsafeBytes { salt in
            shared.withUnsafeBytes { shared in
                pseudorandom.withUnsafeMutableBytes { HKDFSHA256.extract(salt: salt, inputKeyMaterial: shared, to: $0) }
            }
        }
        pseudorandom.withUnsafeBytes { key in
            output.withUnsafeMutableBytes { HKDFSHA256.expand(key, info: UnsafeRawBufferPointer(start: nil, count: 0), to: $0) }
        }
        (self.chainingKey, self.key, self.nonce) = (Array(output[..<32]), Array(output[32...]), 0)
    }

    private mutating func seal(_ text: [UInt8]) -> [UInt8] {
        var sealed = text
        if let key = self.key {
            sealed = [UInt8](repeating: 0, count: text.count + ChaCha20Poly1305.tagByteCount)
            text.withUnsafeBytes { text in
                key.withUnsafeBytes { key in
                    self.hash.withUnsafeBytes { hash in
                        sealed.withUnsafeMutableBytes { target in
                            ChaCha20Poly1305.seal(text, key: key, nonce: .init(counter: self.nonce), authenticating: hash, to: target)
                        }
                    }
                }
            }
            self.nonce += 1
        }
        self.mixHash(sealed)
        return sealed
    }

    /// What the other side sealed need not be checked here: it goes into the hash, and the text comes out unauthenticated.
    private mutating func open(_ sealed: [UInt8]) throws -> [UInt8] {
        var text = [UInt8](repeating: 0, count: sealed.count - ChaCha20Poly1305.tagByteCount)
        let key = self.key ?? []
        try sealed.withUnsafeBytes { sealed in
            try key.withUnsafeBytes { key in
                try self.hash.withUnsafeBytes { hash in
                    try text.withUnsafeMutableBytes { target in
                        try ChaCha20Poly1305.open(
                            sealed, key: key, nonce: .init(counter: self.nonce), authenticating: hash, to: target)
                    }
                }
            }
        }
        self.nonce += 1
        self.mixHash(sealed)
        return text
    }

    private static func message(_ bytes: [UInt8]) -> [UInt8] { [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes }

    /// Takes a responder through a handshake whose last payload is anything.
    ///
    /// - Parameter staticSecret: gives the key that the payload speaks for, or not.
    static func shake(_ responder: inout NoiseHandshake, payload: [UInt8], staticSecret: borrowing X25519.SecretKey) throws {
        var noise = NoiseByHand()
        let ephemeral = try KnownPeers.ephemeralKey(77)
        noise.mixHash(ephemeral.publicKey.bytes.bytes)
        noise.mixHash([])
        let answer = Array(try responder.receive(Self.message(ephemeral.publicKey.bytes.bytes)).dropFirst(2))
        let other = try X25519.PublicKey(parsing: answer[..<32])
        noise.mixHash(Array(answer[..<32]))
        try noise.mixKey(ephemeral, other)
        let otherStatic = try X25519.PublicKey(parsing: noise.open(Array(answer[32..<80])))
        try noise.mixKey(ephemeral, otherStatic)
        _ = try noise.open(Array(answer[80...]))
        let sealedKey = noise.seal(staticSecret.publicKey.bytes.bytes)
        try noise.mixKey(staticSecret, other)
        _ = try responder.receive(Self.message(sealedKey + noise.seal(payload)))
    }

    static func staticSecret() throws -> X25519.SecretKey { try KnownPeers.ephemeralKey(78) }

    /// The payload of an honest initiator with that key.
    static func payload(muxers: [String]) throws -> [UInt8] {
        let key = try Self.staticSecret().publicKey
        let peer = KnownPeers.others[0]
        return ProtobufWriter.message { message in
            message.bytes(peer.publicKey.encoded, field: 1)
            message.bytes(peer.sign(Array("noise-libp2p-static-key:".utf8) + key.bytes.bytes), field: 2)
            message.message(field: 4) { inner in for muxer in muxers { inner.string(muxer, field: 2) } }
        }
    }
}
