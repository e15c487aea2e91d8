import CSecp256k1
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

/// A secret nonce with chosen scalars, which the product can never make: official figures and replayed cases need theirs.
///
/// The layout is the library's own (`secp256k1_musig_secnonce_save` in 0.6 to 0.8): a magic number, the two scalars, the public
/// key as the library holds it. Should it ever change, the library refuses the magic number and the tests here fail loudly.
struct ForgedNonce {
    private static let magic: [UInt8] = [0x22, 0x0e, 0xdc, 0xf1]

    let k1: [UInt8]
    let k2: [UInt8]
    let publicKey: PublicKey

    init(k1: [UInt8], k2: [UInt8], publicKey: PublicKey) {
        (self.k1, self.k2, self.publicKey) = (k1, k2, publicKey)
    }

    /// Takes BIP-327's own encoding: 97 bytes, k₁ ‖ k₂ ‖ pk.
    init(parsing secnonce: [UInt8]) throws {
        try #require(secnonce.count == 97)
        self.init(
            k1: Array(secnonce[..<32]), k2: Array(secnonce[32..<64]), publicKey: try PublicKey(parsing: secnonce[64...]))
    }

    /// BIP-327's encoding of what the library made, to compare byte by byte.
    init(reading raw: secp256k1_musig_secnonce) throws {
        let bytes = withUnsafeBytes(of: raw) { Array($0) }
        try #require(bytes.count == 132 && Array(bytes[..<4]) == Self.magic)
        var key = secp256k1_pubkey()
        withUnsafeMutableBytes(of: &key) { $0.copyBytes(from: bytes[68...]) }
        self.init(k1: Array(bytes[4..<36]), k2: Array(bytes[36..<68]), publicKey: PublicKey(raw: key))
    }

    var encoded: [UInt8] { self.k1 + self.k2 + self.publicKey.bytes }

    var raw: secp256k1_musig_secnonce {
        var raw = secp256k1_musig_secnonce()
        let key = withUnsafeBytes(of: self.publicKey.raw) { Array($0) }
        withUnsafeMutableBytes(of: &raw) { $0.copyBytes(from: Self.magic + self.k1 + self.k2 + key) }
        return raw
    }

    /// k₁·G and k₂·G.
    func publicNonce() throws -> PublicNonce {
        try PublicNonce(parsing: Self.point(self.k1).bytes + Self.point(self.k2).bytes)
    }

    /// Signs with the library's own function, past everything that `SecretNonce.sign` checks; `nil` when the library refuses.
    func sign(with scalar: [UInt8], in context: SigningContext) throws -> PartialSignature? {
        var keyPair = secp256k1_keypair()
        try #require(scalar.count == 32)
        try #require(secp256k1_keypair_create(Context.shared, &keyPair, scalar) == 1)
        var (partial, nonce) = (secp256k1_musig_partial_sig(), self.raw)
        var (cache, session) = (context.keys.cache, context.session)
        let isMade = secp256k1_musig_partial_sign(Context.shared, &partial, &nonce, &keyPair, &cache, &session) == 1
        return isMade ? PartialSignature(raw: partial) : nil
    }

    static func point(_ scalar: [UInt8]) throws -> PublicKey {
        var raw = secp256k1_pubkey()
        try #require(scalar.count == 32)
        try #require(secp256k1_ec_pubkey_create(Context.shared, &raw, scalar) == 1)
        return PublicKey(raw: raw)
    }
}

extension SecretKey {
    /// A key with a chosen scalar: figures and replayed cases need theirs.
    init(knownScalar scalar: [UInt8]) throws {
        let secret = try SecretBytes(count: scalar.count) { $0.copyBytes(from: scalar) }
        try self.init(parsing: secret)
    }
}
