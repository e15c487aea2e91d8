package import CSecp256k1
internal import CryptoPrimitives
internal import Secp256k1

/// A signer's public nonce: two points, 66 bytes (BIP-327, "NonceGen").
public struct PublicNonce: Sendable {
    public static let byteCount = 66

    // The only stored property, so that an array of nonces is also an array of the library's nonces.
    package var raw: secp256k1_musig_pubnonce

    package init(raw: secp256k1_musig_pubnonce) { self.raw = raw }

    /// Reads 66 bytes, two compressed points. `signer` goes into the error, to say whose they are.
    public init(parsing bytes: some Collection<UInt8>, signer: Int? = nil) throws(MuSig2Error) {
        guard bytes.count == Self.byteCount else {
            throw .wrongByteCount(.publicNonce, signer: signer, expected: Self.byteCount, actual: bytes.count)
        }
        var raw = secp256k1_musig_pubnonce()
        guard secp256k1_musig_pubnonce_parse(Context.shared, &raw, Array(bytes)) == 1 else {
            throw .invalid(.publicNonce, signer: signer)
        }
        self.raw = raw
    }

    public var bytes: [UInt8] {
        var raw = self.raw
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        _ = secp256k1_musig_pubnonce_serialize(Context.shared, &bytes, &raw)
        return bytes
    }
}

extension PublicNonce: Hashable, CustomStringConvertible {
    public static func == (left: PublicNonce, right: PublicNonce) -> Bool {
        withUnsafeBytes(of: left.raw) { a in withUnsafeBytes(of: right.raw) { b in a.hasSameBytes(as: b) } }
    }

    public func hash(into hasher: inout Hasher) { withUnsafeBytes(of: self.raw) { hasher.combine(bytes: $0) } }

    public var description: String { Hex.encode(self.bytes) }
}

/// The sum of all signers' public nonces: 66 bytes (BIP-327, "NonceAgg"). Either point may be the point at infinity.
public struct AggregateNonce: Sendable {
    public static let byteCount = 66

    package var raw: secp256k1_musig_aggnonce

    /// Sums the nonces; their order does not matter.
    public init(_ nonces: [PublicNonce]) throws(MuSig2Error) {
        guard !nonces.isEmpty else { throw .noSigners }
        var raw = secp256k1_musig_aggnonce()
        let isMade = nonces.withLibraryPointers(of: secp256k1_musig_pubnonce.self) {
            secp256k1_musig_nonce_agg(Context.shared, &raw, $0, nonces.count) == 1
        }
        guard isMade else { throw .invalid(.publicNonce, signer: nil) }
        self.raw = raw
    }

    /// Reads 66 bytes from a coordinator. Who trusts it can be kept from signing, but loses no key by it (BIP-327, "Nonce
    /// Aggregation"); who wants to name a disruptive signer needs the single nonces.
    public init(parsing bytes: some Collection<UInt8>) throws(MuSig2Error) {
        guard bytes.count == Self.byteCount else {
            throw .wrongByteCount(.aggregateNonce, signer: nil, expected: Self.byteCount, actual: bytes.count)
        }
        var raw = secp256k1_musig_aggnonce()
        guard secp256k1_musig_aggnonce_parse(Context.shared, &raw, Array(bytes)) == 1 else {
            throw .invalid(.aggregateNonce, signer: nil)
        }
        self.raw = raw
    }

    public var bytes: [UInt8] {
        var raw = self.raw
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        _ = secp256k1_musig_aggnonce_serialize(Context.shared, &bytes, &raw)
        return bytes
    }
}

extension AggregateNonce: Hashable {
    public static func == (left: AggregateNonce, right: AggregateNonce) -> Bool { left.bytes == right.bytes }

    public func hash(into hasher: inout Hasher) { hasher.combine(self.bytes) }
}
