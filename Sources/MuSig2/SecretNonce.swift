internal import CSecp256k1
public import CryptoPrimitives
public import Secp256k1

/// A signer's secret nonce, good for exactly one partial signature.
///
/// Signing twice with one nonce reveals the secret key (BIP-327, "Signing"), so the type cannot be copied, signing consumes it,
/// and there is no way to make one from bytes or to choose its randomness. The bytes sit in one slot of the guarded arena,
/// which is wiped when the nonce goes, on every path out. Nothing writes it down: after a restart, a new attempt begins with a
/// new nonce.
public struct SecretNonce: ~Copyable, Sendable {
    /// What the others need of it.
    public let publicNonce: PublicNonce
    /// The key it was made for.
    public let publicKey: PublicKey

    var slot: SecretArena.Slot  // holds the library's secret nonce; the only part with a deinit
    private let boundAggregateKey: XOnlyPublicKey?
    private let boundMessage: Bytes32?

    /// Makes a nonce (BIP-327, "NonceGen"): 32 fresh bytes of the system's randomness, mixed with everything that is known.
    ///
    /// - Parameters:
    ///   - key: the signer's secret key, always mixed in.
    ///   - keys: the group, where it is known already; signing then refuses any other.
    ///   - message: the 32 bytes to sign, where they are known already; signing then refuses any other.
    ///   - extraInput: what else sets this signing apart (request, attempt, input): a second line of defence should the
    ///     system's randomness ever repeat.
    /// - Throws: `notAMember`, `memory` when the arena is full, `nonceNotMade`.
    public init(
        for key: borrowing SecretKey, keys: KeyAggregation? = nil, message: Bytes32? = nil, extraInput: Bytes32
    ) throws(MuSig2Error) {
        if let keys, keys.signers(holding: key.publicKey).isEmpty { throw .notAMember(key.publicKey) }
        var slot = try Self.takeSlot()
        var scratch = try Self.takeSlot()  // session randomness, then the secret scalar
        var (publicNonce, publicKey) = (secp256k1_musig_pubnonce(), key.publicKey.raw)
        let isMade = slot.withUnsafeMutableBytes { nonce in
            scratch.withUnsafeMutableBytes { scratch in
                key.withKeyPair { keyPair in
                    let (random, scalar) = (scratch.bytePointer, scratch.bytePointer + 32)
                    SystemRandom.fill(UnsafeMutableRawBufferPointer(start: random, count: 32))
                    return secp256k1_keypair_sec(Context.shared, scalar, keyPair) == 1
                        && Self.withOptional(message) { message in
                            Self.withOptional(keys?.cache) { cache in
                                extraInput.withUnsafeBytes { extra in
                                    secp256k1_musig_nonce_gen(
                                        Context.shared, nonce.secretNonce, &publicNonce, random, scalar, &publicKey, message,
                                        cache, extra.bytePointer) == 1
                                }
                            }
                        }
                }
            }
        }
        guard isMade else { throw .nonceNotMade }
        self.publicNonce = PublicNonce(raw: publicNonce)
        self.publicKey = key.publicKey
        self.slot = slot
        self.boundAggregateKey = keys?.xOnlyKey
        self.boundMessage = message
    }

    /// Ends the nonce's life with a partial signature (BIP-327, "Sign"), verified before it is returned.
    ///
    /// Whatever happens, the nonce is gone afterwards. A caller that releases the result must have written it down durably
    /// first, so that a restart sends the same bytes again instead of signing anew.
    ///
    /// - Throws: `notAMember` for a key outside the group (libsecp256k1 does not check it), `ownNonceMissing`,
    ///   `nonceOfAnotherKey`, `nonceOfAnotherSigning`, `selfCheckFailed`.
    public consuming func sign(with key: borrowing SecretKey, in context: SigningContext) throws(MuSig2Error) -> PartialSignature {
        guard key.publicKey == self.publicKey else { throw .nonceOfAnotherKey }
        if let boundAggregateKey, boundAggregateKey != context.keys.xOnlyKey { throw .nonceOfAnotherSigning }
        if let boundMessage, boundMessage != context.message { throw .nonceOfAnotherSigning }
        let places = context.keys.signers(holding: self.publicKey)
        guard let first = places.first else { throw .notAMember(self.publicKey) }
        if let nonces = context.nonces, !places.contains(where: { nonces[$0] == self.publicNonce }) {
            throw .ownNonceMissing(signer: first)
        }
        var (partial, cache, session) = (secp256k1_musig_partial_sig(), context.keys.cache, context.session)
        let isMade = self.slot.withUnsafeMutableBytes { nonce in
            key.withKeyPair { keyPair in
                secp256k1_musig_partial_sign(Context.shared, &partial, nonce.secretNonce, keyPair, &cache, &session) == 1
            }
        }
        let result = PartialSignature(raw: partial)
        // A fault in the machine could otherwise release a wrong signature from which the key can be computed.
        guard isMade, context.isValid(result, nonce: self.publicNonce, key: self.publicKey) else { throw .selfCheckFailed }
        return result
    }

    private static func takeSlot() throws(MuSig2Error) -> SecretArena.Slot {
        do { return try SecretArena.shared.take() } catch { throw .memory(error) }
    }

    private static func withOptional<Result>(_ bytes: Bytes32?, _ body: (UnsafePointer<UInt8>?) -> Result) -> Result {
        guard let bytes else { return body(nil) }
        return bytes.withUnsafeBytes { body($0.bytePointer) }
    }

    private static func withOptional<Result>(
        _ cache: secp256k1_musig_keyagg_cache?, _ body: (UnsafePointer<secp256k1_musig_keyagg_cache>?) -> Result
    ) -> Result {
        guard var cache else { return body(nil) }
        return withUnsafePointer(to: &cache) { body($0) }
    }
}

extension UnsafeMutableRawBufferPointer {
    /// The library's secret nonce is 132 plain bytes, so a slot holds one at its start.
    fileprivate var secretNonce: UnsafeMutablePointer<secp256k1_musig_secnonce> {
        guard let base = self.baseAddress else { preconditionFailure("an empty buffer for a secret nonce") }
        return base.assumingMemoryBound(to: secp256k1_musig_secnonce.self)
    }
}
