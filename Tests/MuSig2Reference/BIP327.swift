import CryptoPrimitives

/// BIP-327 (MuSig2) in plain Swift, every algorithm under the name the BIP gives it, bytes in and bytes out.
///
/// NEVER FOR REAL KEYS. Nothing takes constant time, secrets lie in ordinary memory and stay there, and `sign` cannot stop
/// anybody from using a nonce twice. It is the other side of tests that compare two implementations, and it runs those
/// official vectors that a C library's public API cannot; nothing of the product links it.
///
/// Individual public keys have 33 bytes, public and aggregate nonces 66, secret nonces 97, tweaks, secret keys and partial
/// signatures 32. Other lengths are refused like other invalid contents. Signers count from 0.
public enum BIP327 {
    /// A tweak with its mode (BIP-327, "Applying Tweaks").
    public struct Tweak: Hashable, Sendable {
        public let bytes: [UInt8]
        public let isXonly: Bool

        public init(_ bytes: [UInt8], isXonly: Bool) {
            self.bytes = bytes
            self.isXonly = isXonly
        }
    }

    /// The KeyAgg Context: a possibly tweaked aggregate public key and how it came about.
    public struct KeyAggContext: Equatable, Sendable {
        /// pk₁…pkᵤ, in the order that was aggregated.
        public let pubkeys: [[UInt8]]
        /// Q.
        let key: Point
        /// 1 or −1: the sign that the individual keys have in Q.
        let gacc: Scalar
        /// The accumulated tweak.
        let tacc: Scalar
    }
}

// MARK: - Keys ("Key Generation and Aggregation")

extension BIP327 {
    /// IndividualPubkey(sk).
    public static func individualPubkey(_ sk: [UInt8]) throws(ReferenceError) -> [UInt8] {
        try individualKeyPair(sk).key.cbytes
    }

    /// KeySort(pk₁…pkᵤ): lexicographic by all bytes.
    public static func keySort(_ pubkeys: [[UInt8]]) -> [[UInt8]] {
        pubkeys.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// KeyAgg(pk₁…pkᵤ), in the order given.
    public static func keyAgg(_ pubkeys: [[UInt8]]) throws(ReferenceError) -> KeyAggContext {
        guard !pubkeys.isEmpty else { throw .invalidValue(.emptyList) }
        let hash = Self.hashKeys(pubkeys)
        let second = Self.getSecondKey(pubkeys)
        var terms: [(scalar: Scalar, point: Point)] = []
        for (signer, pubkey) in pubkeys.enumerated() {
            guard let point = Point.cpoint(pubkey) else { throw .invalidContribution(signer: signer, .pubkey) }
            terms.append((Self.keyAggCoeffInternal(hash, pubkey, second), point))
        }
        guard let key = Point.sum(of: terms).affine else { throw .invalidValue(.aggregateKeyIsInfinity) }
        return KeyAggContext(pubkeys: pubkeys, key: key, gacc: .one, tacc: .zero)
    }

    /// KeyAgg, then ApplyTweak for each tweak in order.
    public static func keyAgg(_ pubkeys: [[UInt8]], tweaks: [Tweak]) throws(ReferenceError) -> KeyAggContext {
        var context = try Self.keyAgg(pubkeys)
        for tweak in tweaks { context = try Self.applyTweak(context, tweak) }
        return context
    }

    /// GetXonlyPubkey(keyagg_ctx): 32 bytes.
    public static func getXonlyPubkey(_ context: KeyAggContext) -> [UInt8] { context.key.xbytes }

    /// GetPlainPubkey(keyagg_ctx): 33 bytes.
    public static func getPlainPubkey(_ context: KeyAggContext) -> [UInt8] { context.key.cbytes }

    /// KeyAggCoeff(pk₁…pkᵤ, pk').
    static func keyAggCoeff(_ pubkeys: [[UInt8]], _ pubkey: [UInt8]) -> Scalar {
        Self.keyAggCoeffInternal(Self.hashKeys(pubkeys), pubkey, Self.getSecondKey(pubkeys))
    }

    /// HashKeys(pk₁…pkᵤ).
    private static func hashKeys(_ pubkeys: [[UInt8]]) -> [UInt8] {
        SHA256.hash(tag: "KeyAgg list", Array(pubkeys.joined())).bytes
    }

    /// GetSecondKey(pk₁…pkᵤ): the first key that differs from the first one, or 33 zero bytes, which are no key.
    private static func getSecondKey(_ pubkeys: [[UInt8]]) -> [UInt8] {
        pubkeys.first { $0 != pubkeys[0] } ?? Array(repeating: 0, count: 33)
    }

    /// KeyAggCoeffInternal, with HashKeys already worked out.
    private static func keyAggCoeffInternal(_ hash: [UInt8], _ pubkey: [UInt8], _ second: [UInt8]) -> Scalar {
        pubkey == second ? .one : Scalar(reducing: SHA256.hash(tag: "KeyAgg coefficient", hash, pubkey))
    }
}

// MARK: - Tweaks ("Applying Tweaks")

extension BIP327 {
    /// ApplyTweak(keyagg_ctx, tweak, is_xonly_t).
    public static func applyTweak(_ context: KeyAggContext, _ tweak: Tweak) throws(ReferenceError) -> KeyAggContext {
        guard tweak.bytes.count == 32 else { throw .invalidValue(.byteCount(of: .tweak, expected: 32, actual: tweak.bytes.count)) }
        let negates = tweak.isXonly && !context.key.hasEvenY
        guard let t = Scalar(tweak.bytes) else { throw .invalidValue(.tweakOutOfRange) }
        guard let key = Point.generator(times: t).adding(negates ? -context.key : context.key).affine else {
            throw .invalidValue(.tweakedKeyIsInfinity)
        }
        return KeyAggContext(
            pubkeys: context.pubkeys, key: key,
            gacc: negates ? -context.gacc : context.gacc,
            tacc: t + (negates ? -context.tacc : context.tacc)
        )
    }
}
