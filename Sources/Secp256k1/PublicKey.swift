package import CSecp256k1
public import CryptoPrimitives

/// A point of secp256k1: a plain public key as BIP-327 uses them, 33 bytes compressed.
///
/// Parsed once; a value of this type is always on the curve.
public struct PublicKey: Sendable {
    /// Bytes of the compressed encoding.
    public static let byteCount = 33

    // The only stored property, so that an array of keys is also an array of the library's keys.
    package var raw: secp256k1_pubkey

    package init(raw: secp256k1_pubkey) { self.raw = raw }

    /// Reads the 33-byte compressed encoding (first byte 2 or 3).
    public init(parsing bytes: some Collection<UInt8>) throws(KeyError) {
        guard bytes.count == Self.byteCount else { throw .wrongByteCount(expected: Self.byteCount, actual: bytes.count) }
        var raw = secp256k1_pubkey()
        guard secp256k1_ec_pubkey_parse(Context.shared, &raw, Array(bytes), Self.byteCount) == 1 else { throw .notOnCurve }
        self.raw = raw
    }

    /// The 33-byte compressed encoding.
    public var bytes: [UInt8] {
        var (raw, count) = (self.raw, Self.byteCount)
        var bytes = [UInt8](repeating: 0, count: count)
        _ = secp256k1_ec_pubkey_serialize(Context.shared, &bytes, &count, &raw, UInt32(SECP256K1_EC_COMPRESSED))
        return bytes
    }

    /// The point's x coordinate (BIP-340): the key without its sign.
    public var xOnly: XOnlyPublicKey {
        var (raw, xOnly) = (self.raw, secp256k1_xonly_pubkey())
        _ = secp256k1_xonly_pubkey_from_pubkey(Context.shared, &xOnly, nil, &raw)
        return XOnlyPublicKey(raw: xOnly)
    }

    public var hasEvenY: Bool { self.bytes.first == 2 }
}

extension PublicKey: Hashable {
    public static func == (left: PublicKey, right: PublicKey) -> Bool {
        withUnsafeBytes(of: left.raw) { a in withUnsafeBytes(of: right.raw) { b in a.hasSameBytes(as: b) } }
    }

    public func hash(into hasher: inout Hasher) { withUnsafeBytes(of: self.raw) { combineX(of: $0, into: &hasher) } }
}

extension PublicKey: Comparable {
    /// By the 33 bytes, lexicographically: the order of BIP-327's KeySort.
    public static func < (left: PublicKey, right: PublicKey) -> Bool {
        var (left, right) = (left.raw, right.raw)
        return secp256k1_ec_pubkey_cmp(Context.shared, &left, &right) < 0
    }
}

extension PublicKey: CustomStringConvertible {
    public var description: String { Hex.encode(self.bytes) }
}

/// The x coordinate of a point: a BIP-340 public key, 32 bytes.
public struct XOnlyPublicKey: Sendable {
    /// Bytes of the encoding.
    public static let byteCount = 32

    package var raw: secp256k1_xonly_pubkey

    package init(raw: secp256k1_xonly_pubkey) { self.raw = raw }

    /// Takes 32 bytes that are the x coordinate of a point on the curve.
    public init(_ bytes: Bytes32) throws(KeyError) {
        var raw = secp256k1_xonly_pubkey()
        let isValid = bytes.withUnsafeBytes {
            secp256k1_xonly_pubkey_parse(Context.shared, &raw, $0.bytePointer)
        }
        guard isValid == 1 else { throw .notOnCurve }
        self.raw = raw
    }

    public init(parsing bytes: some Collection<UInt8>) throws(KeyError) {
        guard let fixed = Bytes32(bytes) else { throw .wrongByteCount(expected: Self.byteCount, actual: bytes.count) }
        try self.init(fixed)
    }

    /// The 32 bytes of the x coordinate.
    public var bytes: Bytes32 {
        Bytes32 { target in
            var raw = self.raw
            _ = secp256k1_xonly_pubkey_serialize(Context.shared, target.bytePointer, &raw)
        }
    }

    /// The point with this x and an even y: `lift_x` of BIP-340.
    public var evenKey: PublicKey {
        var full = secp256k1_pubkey()
        // Adding nothing is the public API's way from an x-only key to a point: both hold the same even point.
        var (raw, zero) = (self.raw, [UInt8](repeating: 0, count: 32))
        _ = secp256k1_xonly_pubkey_tweak_add(Context.shared, &full, &raw, &zero)
        return PublicKey(raw: full)
    }

    /// `lift_x(self) + tweak·G` (BIP-341, "Script validation rules"; the parity of the result's y goes into the control block).
    ///
    /// - Throws: `scalarOutOfRange` when the tweak is not below the order or the sum is the point at infinity; a hash hits
    ///   neither by chance.
    public func tweaked(adding tweak: Bytes32) throws(KeyError) -> PublicKey {
        var (raw, result) = (self.raw, secp256k1_pubkey())
        let done = tweak.withUnsafeBytes {
            secp256k1_xonly_pubkey_tweak_add(Context.shared, &result, &raw, $0.bytePointer)
        }
        guard done == 1 else { throw .scalarOutOfRange }
        return PublicKey(raw: result)
    }

    /// The scalar that commits an internal key to a script tree (BIP-341): tagged hash `TapTweak` of the key and, where there
    /// is one, the tree's root.
    public func taprootTweak(merkleRoot: Bytes32?) -> Bytes32 {
        var hash = Self.tapTweak
        hash.update(self.bytes)
        if let merkleRoot { hash.update(merkleRoot) }
        return hash.finalize()
    }

    private static let tapTweak = SHA256.tagged("TapTweak")
}

extension XOnlyPublicKey: Hashable, Comparable, CustomStringConvertible {
    public static func == (left: XOnlyPublicKey, right: XOnlyPublicKey) -> Bool {
        withUnsafeBytes(of: left.raw) { a in withUnsafeBytes(of: right.raw) { b in a.hasSameBytes(as: b) } }
    }

    public func hash(into hasher: inout Hasher) { withUnsafeBytes(of: self.raw) { combineX(of: $0, into: &hasher) } }

    /// By the 32 bytes, lexicographically.
    public static func < (left: XOnlyPublicKey, right: XOnlyPublicKey) -> Bool { left.bytes < right.bytes }

    public var description: String { self.bytes.description }
}

/// All of x, a word at a time, which is quicker than its bytes, and y tells no more. No part of it would do: nobody has to know a key's secret
/// to put it into a PSBT, so that strangers choose any part that they like.
private func combineX(of raw: UnsafeRawBufferPointer, into hasher: inout Hasher) {
    for word in 0..<4 { hasher.combine(raw.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)) }
}
