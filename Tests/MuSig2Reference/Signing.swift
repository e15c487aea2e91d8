import CryptoPrimitives

// MARK: - Signing (BIP-327, "Signing")

extension BIP327 {
    /// Sign(secnonce, sk, session_ctx): a partial signature of 32 bytes.
    ///
    /// Signing twice with one `secnonce` gives the secret key away; here only the caller can prevent that.
    public static func sign(secnonce: [UInt8], sk: [UInt8], session: SessionContext) throws(ReferenceError) -> [UInt8] {
        try Self.sign(secnonce: secnonce, sk: sk, values: Self.getSessionValues(session))
    }

    /// Sign for session values worked out before.
    ///
    /// - Parameter verifyingOwn: whether to verify the result, which the BIP recommends and which is nine tenths of the
    ///   work. A test that verifies all partial signatures anyway may leave it out.
    public static func sign(
        secnonce: [UInt8], sk: [UInt8], values: SessionValues, verifyingOwn: Bool = true
    ) throws(ReferenceError) -> [UInt8] {
        guard secnonce.count == 97 else { throw .invalidValue(.byteCount(of: .secnonce, expected: 97, actual: secnonce.count)) }
        guard let k1 = Scalar(secnonce[..<32]), !k1.isZero else { throw .invalidValue(.secretNonceOutOfRange(which: 1)) }
        guard let k2 = Scalar(secnonce[32..<64]), !k2.isZero else { throw .invalidValue(.secretNonceOutOfRange(which: 2)) }
        let (d, key) = try individualKeyPair(sk)
        let pk = key.cbytes
        guard pk.elementsEqual(secnonce[64...]) else { throw .invalidValue(.secretNonceOfAnotherKey) }
        let a = try Self.getSessionKeyAggCoeff(values, pk)

        let k = k1 + values.b * k2
        let s = (values.nonce.hasEvenY ? k : -k) + values.e * a * values.g * values.gacc * d
        if verifyingOwn {
            guard
                let first = Point.generator(times: k1).affine, let second = Point.generator(times: k2).affine,
                try Self.partialSigVerifyInternal(psig: s.bytes, pubnonce: first.cbytes + second.cbytes, pk: pk, values: values)
            else { throw .invalidValue(.ownSignatureDoesNotVerify) }
        }
        return s.bytes
    }
}

// MARK: - Verifying partial signatures (BIP-327, "Partial Signature Verification")

extension BIP327 {
    /// PartialSigVerify(psig, pubnonce₁…pubnonceᵤ, pk₁…pkᵤ, tweak₁…tweakᵥ, is_xonly_t₁…is_xonly_tᵥ, m, i), with i from 0.
    ///
    /// False says that this signature is wrong; an error, that the session itself is.
    public static func partialSigVerify(
        psig: [UInt8], pubnonces: [[UInt8]], pubkeys: [[UInt8]], tweaks: [Tweak], msg: [UInt8], signer: Int
    ) throws(ReferenceError) -> Bool {
        guard pubnonces.count == pubkeys.count else {
            throw .invalidValue(.countsDiffer(pubkeys: pubkeys.count, others: pubnonces.count))
        }
        guard pubkeys.indices.contains(signer) else { throw .invalidValue(.signerIndexOutOfRange(signer)) }
        let session = SessionContext(aggnonce: try Self.nonceAgg(pubnonces), pubkeys: pubkeys, tweaks: tweaks, msg: msg)
        return try Self.partialSigVerifyInternal(psig: psig, pubnonce: pubnonces[signer], pk: pubkeys[signer], session: session)
    }

    /// PartialSigVerifyInternal(psig, pubnonce, pk, session_ctx).
    public static func partialSigVerifyInternal(
        psig: [UInt8], pubnonce: [UInt8], pk: [UInt8], session: SessionContext
    ) throws(ReferenceError) -> Bool {
        try Self.partialSigVerifyInternal(psig: psig, pubnonce: pubnonce, pk: pk, values: Self.getSessionValues(session))
    }

    /// PartialSigVerifyInternal for session values worked out before.
    public static func partialSigVerifyInternal(
        psig: [UInt8], pubnonce: [UInt8], pk: [UInt8], values: SessionValues
    ) throws(ReferenceError) -> Bool {
        guard let s = Scalar(psig) else { return false }
        guard let (first, second) = Self.points(ofPubnonce: pubnonce) else { throw .invalidContribution(signer: nil, .pubnonce) }
        guard let key = Point.cpoint(pk) else { throw .invalidContribution(signer: nil, .pubkey) }
        let a = try Self.getSessionKeyAggCoeff(values, pk)

        // s·G = ±(R1 + b·R2) + e·a·g'·P, with both signs moved into the scalars.
        let sign = values.nonce.hasEvenY ? Scalar.one : -.one
        let expected = Point.sum(of: [(sign * values.b, second), (values.e * a * values.g * values.gacc, key)])
        return Point.generator(times: s) == expected.adding(values.nonce.hasEvenY ? first : -first)
    }
}

// MARK: - The final signature (BIP-327, "Partial Signature Aggregation")

extension BIP327 {
    /// PartialSigAgg(psig₁…psigᵤ, session_ctx): a signature of 64 bytes for BIP-340.
    public static func partialSigAgg(_ psigs: [[UInt8]], session: SessionContext) throws(ReferenceError) -> [UInt8] {
        try Self.partialSigAgg(psigs, values: Self.getSessionValues(session))
    }

    /// PartialSigAgg for session values worked out before.
    public static func partialSigAgg(_ psigs: [[UInt8]], values: SessionValues) throws(ReferenceError) -> [UInt8] {
        guard psigs.count == values.pubkeys.count else {
            throw .invalidValue(.countsDiffer(pubkeys: values.pubkeys.count, others: psigs.count))
        }
        var sum = values.e * values.g * values.tacc
        for (signer, psig) in psigs.enumerated() {
            guard let s = Scalar(psig) else { throw .invalidContribution(signer: signer, .psig) }
            sum = sum + s
        }
        return values.nonce.xbytes + sum.bytes
    }
}

// MARK: - One signer without state (BIP-327, "Deterministic and Stateless Signing for a Single Signer")

extension BIP327 {
    /// DeterministicSign(sk, aggothernonce, pk₁…pkᵤ, tweak₁…tweakᵥ, is_xonly_t₁…is_xonly_tᵥ, m, rand).
    ///
    /// - Parameters:
    ///   - aggothernonce: NonceAgg of the public nonces of all other signers, 66 bytes.
    ///   - rand: auxiliary randomness, 32 bytes, or `nil`.
    public static func deterministicSign(
        sk: [UInt8], aggothernonce: [UInt8], pubkeys: [[UInt8]], tweaks: [Tweak], msg: [UInt8], rand: [UInt8]?
    ) throws(ReferenceError) -> (pubnonce: [UInt8], psig: [UInt8]) {
        if let rand, rand.count != 32 { throw .invalidValue(.byteCount(of: .rand, expected: 32, actual: rand.count)) }
        guard sk.count == 32 else { throw .invalidValue(.byteCount(of: .sk, expected: 32, actual: sk.count)) }
        let mixed = rand.map { xor(sk, SHA256.hash(tag: "MuSig/aux", $0)) } ?? sk
        let context = try Self.keyAgg(pubkeys, tweaks: tweaks)
        let pk = try Self.individualPubkey(sk)
        let (secnonce, pubnonce) = try Self.noncePair(for: pk) { index in
            SHA256.hash(
                tag: "MuSig/deterministic/nonce",
                mixed, aggothernonce, context.key.xbytes, bigEndianBytes(UInt64(msg.count)), msg, [index]
            )
        }
        // Not NonceAgg over both: its error would name signer 1, and the aggregator is to blame.
        guard Self.points(ofPubnonce: aggothernonce) != nil else { throw .invalidContribution(signer: nil, .aggothernonce) }
        let aggnonce = try Self.nonceAgg([pubnonce, aggothernonce])
        let values = try Self.getSessionValues(context, aggnonce: aggnonce, msg: msg)
        return (pubnonce, try Self.sign(secnonce: secnonce, sk: sk, values: values))
    }
}
