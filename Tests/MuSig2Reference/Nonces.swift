import CryptoPrimitives

// MARK: - Nonce generation (BIP-327, "Nonce Generation")

extension BIP327 {
    /// NonceGen(sk, pk, aggpk, m, extra_in), with rand' given instead of drawn, so that a case can be run again.
    ///
    /// - Parameters:
    ///   - rand: rand', 32 bytes.
    ///   - sk: the secret key, 32 bytes, or `nil`. Its range is not checked, as in the BIP: it is only mixed in.
    ///   - pk: the individual public key, 33 bytes.
    ///   - aggpk: the x-only aggregate public key, 32 bytes, or `nil`.
    ///   - msg: a message of any length, the empty one included, or `nil`, which is something else.
    ///   - extraIn: up to 2^32 − 1 bytes, or `nil`, which is the same as none.
    /// - Returns: the secret nonce k₁ || k₂ || pk and the public nonce.
    public static func nonceGen(
        rand: [UInt8], sk: [UInt8]?, pk: [UInt8], aggpk: [UInt8]?, msg: [UInt8]?, extraIn: [UInt8]?
    ) throws(ReferenceError) -> (secnonce: [UInt8], pubnonce: [UInt8]) {
        guard rand.count == 32 else { throw .invalidValue(.byteCount(of: .rand, expected: 32, actual: rand.count)) }
        guard pk.count == 33 else { throw .invalidValue(.byteCount(of: .pk, expected: 33, actual: pk.count)) }
        if let sk, sk.count != 32 { throw .invalidValue(.byteCount(of: .sk, expected: 32, actual: sk.count)) }
        if let aggpk, aggpk.count != 32 { throw .invalidValue(.byteCount(of: .aggpk, expected: 32, actual: aggpk.count)) }
        let extraIn = extraIn ?? []
        guard let extraCount = UInt32(exactly: extraIn.count) else { throw .invalidValue(.extraInputTooLong) }

        let mixed = sk.map { xor($0, SHA256.hash(tag: "MuSig/aux", rand)) } ?? rand
        let aggpk = aggpk ?? []
        let prefixedMessage = msg.map { [1] + bigEndianBytes(UInt64($0.count)) + $0 } ?? [0]
        return try Self.noncePair(for: pk) { index in
            SHA256.hash(
                tag: "MuSig/nonce",
                mixed, [UInt8(pk.count)], pk, [UInt8(aggpk.count)], aggpk, prefixedMessage,
                bigEndianBytes(extraCount), extraIn, [index]
            )
        }
    }

    /// Two nonces out of two hashes, in both their forms.
    static func noncePair(
        for pk: [UInt8], _ hash: (_ index: UInt8) -> Bytes32
    ) throws(ReferenceError) -> (secnonce: [UInt8], pubnonce: [UInt8]) {
        let k1 = Scalar(reducing: hash(0))
        let k2 = Scalar(reducing: hash(1))
        guard let first = Point.generator(times: k1).affine, let second = Point.generator(times: k2).affine else {
            throw .invalidValue(.generatedNonceIsZero)
        }
        return (k1.bytes + k2.bytes + pk, first.cbytes + second.cbytes)
    }
}

// MARK: - Nonce aggregation (BIP-327, "Nonce Aggregation")

extension BIP327 {
    /// NonceAgg(pubnonce₁…pubnonceᵤ): 66 bytes, where a sum that is infinity stands as 33 zeros.
    public static func nonceAgg(_ pubnonces: [[UInt8]]) throws(ReferenceError) -> [UInt8] {
        guard !pubnonces.isEmpty else { throw .invalidValue(.emptyList) }
        var sums = (JacobianPoint.infinity, JacobianPoint.infinity)
        for (signer, pubnonce) in pubnonces.enumerated() {
            guard let (first, second) = Self.points(ofPubnonce: pubnonce) else { throw .invalidContribution(signer: signer, .pubnonce) }
            sums.0 = sums.0.adding(first)
            sums.1 = sums.1.adding(second)
        }
        return sums.0.cbytesExt + sums.1.cbytesExt
    }

    /// cpoint of both halves; `nil` if either is none or there are not 66 bytes.
    static func points(ofPubnonce pubnonce: [UInt8]) -> (first: Point, second: Point)? {
        guard
            pubnonce.count == 66,
            let first = Point.cpoint(pubnonce[..<33]), let second = Point.cpoint(pubnonce[33...])
        else { return nil }
        return (first, second)
    }
}
