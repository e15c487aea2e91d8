internal import CSecp256k1
public import CryptoPrimitives

/// An ECDSA signature on secp256k1, for the identities of others; everything of Chorale's own signs by BIP-340.
public struct ECDSASignature: Sendable {
    private let raw: secp256k1_ecdsa_signature

    /// Reads the DER encoding (SEC 1, appendix C.5). Whether it signs something is what `isValid` answers.
    ///
    /// - Throws: `scalarOutOfRange` when the bytes are no DER of two numbers.
    public init(parsingDER bytes: some Collection<UInt8>) throws(KeyError) {
        let bytes = Array(bytes)
        var parsed = secp256k1_ecdsa_signature()
        guard !bytes.isEmpty, secp256k1_ecdsa_signature_parse_der(Context.shared, &parsed, bytes, bytes.count) == 1 else {
            throw .scalarOutOfRange
        }
        // The library takes only the lower of the two values that s can have, others sign with either.
        var lower = secp256k1_ecdsa_signature()
        _ = secp256k1_ecdsa_signature_normalize(Context.shared, &lower, &parsed)
        self.raw = lower
    }

    /// Whether this signs the 32-byte digest under the key.
    public func isValid(for digest: Bytes32, by key: PublicKey) -> Bool {
        var (signature, raw) = (self.raw, key.raw)
        return digest.withUnsafeBytes { secp256k1_ecdsa_verify(Context.shared, &signature, $0.bytePointer, &raw) == 1 }
    }
}
