import CryptoPrimitives

/// BIP-340 in plain Swift: Schnorr signatures over messages of any length.
///
/// NEVER FOR REAL KEYS. Nothing takes constant time, secrets lie in ordinary memory and stay there. It is the other side of
/// tests that compare two implementations, and nothing of the product links it.
public enum BIP340 {
    /// PubKey(sk): the 32-byte x-only public key of a 32-byte secret key ("Public Key Generation").
    public static func pubKey(_ sk: [UInt8]) throws(ReferenceError) -> [UInt8] {
        try Self.keyPair(sk).P.xbytes
    }

    /// Sign(sk, m) with `rand` as the auxiliary random data a, 32 bytes; 64 bytes come out ("Default Signing").
    public static func sign(sk: [UInt8], msg: [UInt8], rand: [UInt8]) throws(ReferenceError) -> [UInt8] {
        guard rand.count == 32 else { throw .invalidValue(.byteCount(of: .rand, expected: 32, actual: rand.count)) }
        let (d, P) = try Self.keyPair(sk)
        let t = xor(d.bytes, SHA256.hash(tag: "BIP0340/aux", rand))
        let nonce = Scalar(reducing: SHA256.hash(tag: "BIP0340/nonce", t, P.xbytes, msg))
        guard let R = Point.generator(times: nonce).affine else { throw .invalidValue(.generatedNonceIsZero) }
        let k = R.hasEvenY ? nonce : -nonce
        let signature = R.xbytes + (k + Self.challenge(R, P, msg) * d).bytes
        guard Self.verify(pk: P.xbytes, msg: msg, sig: signature) else { throw .invalidValue(.ownSignatureDoesNotVerify) }
        return signature
    }

    /// Verify(pk, m, sig): false for anything that is not a valid signature, wrong lengths included ("Verification").
    public static func verify(pk: [UInt8], msg: [UInt8], sig: [UInt8]) -> Bool {
        guard
            sig.count == 64, let P = Point.liftX(pk),
            let r = UInt256(sig[..<32]), let rx = FieldElement(r), let s = Scalar(sig[32...])
        else { return false }
        let e = Self.challenge(r.bytes, P, msg)
        guard let R = (Point.generator(times: s).adding(-Point.sum(of: [(e, P)]))).affine else { return false }
        return R.hasEvenY && R.x == rx
    }

    /// int(hash_BIP0340/challenge(xbytes(R) || xbytes(P) || m)) mod n.
    static func challenge(_ R: Point, _ P: Point, _ msg: [UInt8]) -> Scalar { Self.challenge(R.xbytes, P, msg) }

    private static func challenge(_ r: [UInt8], _ P: Point, _ msg: [UInt8]) -> Scalar {
        Scalar(reducing: SHA256.hash(tag: "BIP0340/challenge", r, P.xbytes, msg))
    }

    /// The secret scalar, negated where needed, and its point with an even y.
    private static func keyPair(_ sk: [UInt8]) throws(ReferenceError) -> (d: Scalar, P: Point) {
        let (d, P) = try individualKeyPair(sk)
        return P.hasEvenY ? (d, P) : (-d, -P)
    }
}

/// d' = int(sk) and d'·G, for both BIPs; fails if d' is 0, or n and above.
func individualKeyPair(_ sk: [UInt8]) throws(ReferenceError) -> (d: Scalar, P: Point) {
    guard sk.count == 32 else { throw .invalidValue(.byteCount(of: .sk, expected: 32, actual: sk.count)) }
    guard let d = Scalar(sk), let P = Point.generator(times: d).affine else { throw .invalidValue(.secretKeyOutOfRange) }
    return (d, P)
}
