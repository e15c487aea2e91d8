import CSecp256k1
import CryptoPrimitives
import MuSig2
import MuSig2Reference
import Secp256k1
import Testing

/// One random signing by one random group, the same for the same seed.
///
/// Two to six signers, now and then with a key that stands there twice; none to four tweaks, some of them zero or not below the
/// order; nonces whose first or second sum is now and then the point at infinity.
struct GroupCase {
    struct Signer {
        let scalar: [UInt8]
        let publicKey: PublicKey
        let nonce: ForgedNonce
    }

    let seed: UInt64
    let signers: [Signer]
    let tweaks: [Tweak]
    let message: Bytes32
    /// Draws what a test needs beyond the case itself.
    var generator: SplitMix64

    init(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let count = Int.random(in: 2...6, using: &generator)
        var scalars = (0..<count).map { _ in Self.scalar(&generator) }
        if generator.isOneIn(4) {
            scalars[Int.random(in: 0..<count, using: &generator)] = scalars[Int.random(in: 0..<count, using: &generator)]
        }
        let nonces1 = try Self.nonces(count, &generator)
        let nonces2 = try Self.nonces(count, &generator)
        self.signers = try scalars.indices.map { index in
            let key = try ForgedNonce.point(scalars[index])
            return Signer(
                scalar: scalars[index], publicKey: key,
                nonce: ForgedNonce(k1: nonces1[index], k2: nonces2[index], publicKey: key))
        }
        self.tweaks = try (0..<Int.random(in: 0...4, using: &generator)).map { _ in
            let scalar = try #require(Bytes32(Self.tweak(&generator)))
            return Bool.random(using: &generator) ? .xOnly(scalar) : .plain(scalar)
        }
        self.message = try #require(Bytes32(generator.bytes(count: 32)))
        self.seed = seed
        self.generator = generator
    }

    var referenceTweaks: [BIP327.Tweak] {
        self.tweaks.map { tweak in
            switch tweak {
            case .plain(let scalar): BIP327.Tweak(scalar.bytes, isXonly: false)
            case .xOnly(let scalar): BIP327.Tweak(scalar.bytes, isXonly: true)
            }
        }
    }

    /// A number from 1 to below the order: the highest byte stays under 0xff, and zero has no chance.
    private static func scalar(_ generator: inout SplitMix64) -> [UInt8] {
        [UInt8.random(in: 0..<0xff, using: &generator)] + generator.bytes(count: 31)
    }

    private static func tweak(_ generator: inout SplitMix64) -> [UInt8] {
        if generator.isOneIn(32) { return [UInt8](repeating: 0, count: 32) }
        if generator.isOneIn(64) { return [UInt8](repeating: 0xff, count: 32) }
        return Self.scalar(&generator)
    }

    /// One nonce scalar a signer, once in sixteen cases with a sum of zero.
    private static func nonces(_ count: Int, _ generator: inout SplitMix64) throws -> [[UInt8]] {
        var nonces = (0..<count).map { _ in Self.scalar(&generator) }
        guard generator.isOneIn(16) else { return nonces }
        var last = nonces[0]
        for other in nonces[1..<(count - 1)] { try #require(secp256k1_ec_seckey_tweak_add(Context.shared, &last, other) == 1) }
        try #require(secp256k1_ec_seckey_negate(Context.shared, &last) == 1)
        nonces[count - 1] = last
        return nonces
    }
}
