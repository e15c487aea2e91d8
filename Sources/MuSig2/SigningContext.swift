package import CSecp256k1
public import CryptoPrimitives
public import Secp256k1

/// Everything public that one signature rests on: the group, its nonces, the message (BIP-327, "Session Context").
///
/// It can be made only when all nonces are there, and `SecretNonce.sign` asks for it: so signing before the nonces are complete
/// does not compile. It is always computed here and never taken from anyone else.
public struct SigningContext: Sendable {
    public let keys: KeyAggregation
    /// Each signer's nonce in the group's order, or `nil` when only their sum is known.
    public let nonces: [PublicNonce]?
    public let aggregateNonce: AggregateNonce
    /// The 32 bytes that are signed: for Bitcoin, a BIP-341 signature hash.
    public let message: Bytes32

    package let session: secp256k1_musig_session

    /// A signing whose nonces are all known, one for each of the group's keys and in their order: faults can be named.
    public init(keys: KeyAggregation, nonces: [PublicNonce], message: Bytes32) throws(MuSig2Error) {
        guard nonces.count == keys.publicKeys.count else {
            throw .wrongCount(.publicNonce, expected: keys.publicKeys.count, actual: nonces.count)
        }
        try self.init(keys: keys, nonces: nonces, aggregateNonce: AggregateNonce(nonces), message: message)
    }

    /// A signing of which only the sum of the nonces is known: partial signatures can be made and the result verified, but no
    /// single signer judged.
    public init(keys: KeyAggregation, aggregateNonce: AggregateNonce, message: Bytes32) throws(MuSig2Error) {
        try self.init(keys: keys, nonces: nil, aggregateNonce: aggregateNonce, message: message)
    }

    private init(
        keys: KeyAggregation, nonces: [PublicNonce]?, aggregateNonce: AggregateNonce, message: Bytes32
    ) throws(MuSig2Error) {
        var (session, aggregate, cache) = (secp256k1_musig_session(), aggregateNonce.raw, keys.cache)
        let isMade = message.withUnsafeBytes {
            secp256k1_musig_nonce_process(Context.shared, &session, &aggregate, $0.bytePointer, &cache) == 1
        }
        guard isMade else { throw .invalid(.aggregateNonce, signer: nil) }
        self.keys = keys
        self.nonces = nonces
        self.aggregateNonce = aggregateNonce
        self.message = message
        self.session = session
    }

    /// Whether the partial signature is what this signer had to contribute (BIP-327, "PartialSigVerify"). About 63 µs.
    ///
    /// - Throws: `noncesUnknown`, or `noSuchSigner` for an index outside the group.
    public func isValid(_ partial: PartialSignature, of signer: Int) throws(MuSig2Error) -> Bool {
        guard let nonces else { throw .noncesUnknown }
        guard nonces.indices.contains(signer) else { throw .noSuchSigner(signer, count: nonces.count) }
        return self.isValid(partial, nonce: nonces[signer], key: self.keys.publicKeys[signer])
    }

    func isValid(_ partial: PartialSignature, nonce: PublicNonce, key: PublicKey) -> Bool {
        var (partial, nonce, key, cache, session) = (partial.raw, nonce.raw, key.raw, self.keys.cache, self.session)
        return secp256k1_musig_partial_sig_verify(Context.shared, &partial, &nonce, &key, &cache, &session) == 1
    }

    /// Sums the partial signatures, one a signer (BIP-327, "PartialSigAgg"). The result may be worthless: see `finish`.
    public func aggregate(_ partials: [PartialSignature]) throws(MuSig2Error) -> SchnorrSignature {
        guard partials.count == self.keys.publicKeys.count else {
            throw .wrongCount(.partialSignature, expected: self.keys.publicKeys.count, actual: partials.count)
        }
        var session = self.session
        var signature = (Bytes32(), Bytes32())
        let isMade = withUnsafeMutableBytes(of: &signature) { signature in
            partials.withLibraryPointers(of: secp256k1_musig_partial_sig.self) {
                secp256k1_musig_partial_sig_agg(Context.shared, signature.bytePointer, &session, $0, partials.count) == 1
            }
        }
        guard isMade else { throw .invalid(.partialSignature, signer: nil) }
        return SchnorrSignature(r: signature.0, s: signature.1)
    }

    /// Sums the partial signatures and verifies the result once: the ordinary end of a session.
    ///
    /// One Schnorr verification whatever the count of signers, instead of one partial verification each; only when it fails is
    /// there anything to find out, with `culprits(in:)`.
    ///
    /// - Throws: `signatureDoesNotVerify`.
    public func finish(_ partials: [PartialSignature]) throws(MuSig2Error) -> SchnorrSignature {
        let signature = try self.aggregate(partials)
        guard signature.isValid(for: self.message, by: self.keys.xOnlyKey) else { throw .signatureDoesNotVerify }
        return signature
    }

    /// The signers whose partial signatures do not verify, in order; verified in parallel on all cores.
    ///
    /// - Throws: `noncesUnknown`, or `wrongCount` unless there is one of each signer.
    public func culprits(in partials: [PartialSignature]) async throws(MuSig2Error) -> [Int] {
        let nonces = try self.nonces(behind: partials)
        // Pieces small enough that the cores end together, and large enough that tasks cost nothing beside them.
        let piece = 16
        return await withTaskGroup(of: [Int].self) { group in
            for start in stride(from: 0, to: partials.count, by: piece) {
                group.addTask {
                    (start..<min(start + piece, partials.count)).filter {
                        !self.isValid(partials[$0], nonce: nonces[$0], key: self.keys.publicKeys[$0])
                    }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }.sorted()
        }
    }

    /// The same for a caller that cannot wait for tasks: it verifies, too, while the other cores help.
    package func culpritsAtOnce(in partials: [PartialSignature]) throws(MuSig2Error) -> [Int] {
        let nonces = try self.nonces(behind: partials)
        return Cores.indices(below: partials.count) { !self.isValid(partials[$0], nonce: nonces[$0], key: self.keys.publicKeys[$0]) }
    }

    private func nonces(behind partials: [PartialSignature]) throws(MuSig2Error) -> [PublicNonce] {
        guard let nonces else { throw .noncesUnknown }
        guard partials.count == nonces.count else {
            throw .wrongCount(.partialSignature, expected: nonces.count, actual: partials.count)
        }
        return nonces
    }
}
