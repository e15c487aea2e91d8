import CryptoPrimitives

/// BIP-340 in plain Swift: Schnorr signatures over messages of any length.
///
/// NEVER FOR REAL KEYS. Nothing takes constant time, secrets lie in ordinary memory and stay there. It is the other side of
/// tests that compare two implementations, and nothing of the product links it.
public enum BIP340 {
    /// PubKey(sk): the 32-byte x-only public key of a 32-byte secret key ("Public Key Generation").
    public static func pubKey(_ sk: [UInt8]) throws(ReferenceError) -> [UInt8] {
        try Self.keyPair(sk).key.xbytes
    }

    /// Sign(sk, m) with `rand` as the auxiliary random data a, 32 bytes; 64 bytes come out ("Default Signing").
    public static func sign(sk: [UInt8], msg: [UInt8], rand: [UInt8]) throws(ReferenceError) -> [UInt8] {
        guard rand.count == 32 else { throw .invalidValue(.byteCount(of: .rand, expected: 32, actual: rand.count)) }
        let (d, key) = try Self.keyPair(sk)
        let t = xor(d.bytes, SHA256.hash(tag: "BIP0340/aux", rand))
        let nonce = Scalar(reducing: SHA256.hash(tag: "BIP0340/nonce", t, key.xbytes, msg))
        guard let noncePoint = Point.generator(times: nonce).affine else { throw .invalidValue(.generatedNonceIsZero) }
        let k = noncePoint.hasEvenY ? nonce : -nonce
        let signature = noncePoint.xbytes + (k + Self.challenge(noncePoint, key, msg) * d).bytes
        guard Self.verify(pk: key.xbytes, msg: msg, sig: signature) else { throw .invalidValue(.ownSignatureDoesNotVerify) }
        return signature
    }

    /// Verify(pk, m, sig): false for anything that is not a valid signature, wrong lengths included ("Verification").
    public static func verify(pk: [UInt8], msg: [UInt8], sig: [UInt8]) -> Bool {
        guard
            sig.count == 64, let key = Point.liftX(pk),
            let r = UInt256(sig[..<32]), let rx = FieldElement(r), let s = Scalar(sig[32...])
        else { return false }
        let e = Self.challenge(r.bytes, key, msg)
        guard let noncePoint = Point.generator(times: s).adding(-Point.sum(of: [(e, key)])).affine else { return false }
        return noncePoint.hasEvenY && noncePoint.x == rx
    }

    /// int(hash_BIP0340/challenge(xbytes(R) || xbytes(P) || m)) mod n.
    static func challenge(_ nonce: Point, _ key: Point, _ msg: [UInt8]) -> Scalar { Self.challenge(nonce.xbytes, key, msg) }

    private static func challenge(_ r: [UInt8], _ key: Point, _ msg: [UInt8]) -> Scalar {
        Scalar(reducing: SHA256.hash(tag: "BIP0340/challenge", r, key.xbytes, msg))
    }

    /// The secret scalar, negated where needed, and its point with an even y.
    private static func keyPair(_ sk: [UInt8]) throws(ReferenceError) -> (d: Scalar, key: Point) {
        let (d, key) = try individualKeyPair(sk)
        return key.hasEvenY ? (d, key) : (-d, -key)
    }
}

/// d' = int(sk) and d'·G, for both BIPs; fails if d' is 0, or n and above.
func individualKeyPair(_ sk: [UInt8]) throws(ReferenceError) -> (d: Scalar, key: Point) {
    guard sk.count == 32 else { throw .invalidValue(.byteCount(of: .sk, expected: 32, actual: sk.count)) }
    guard let d = Scalar(sk), let key = Point.generator(times: d).affine else { throw .invalidValue(.secretKeyOutOfRange) }
    return (d, key)
}
