internal import CSodium

/// SHA-256 (FIPS 180-4), piece by piece.
///
///     var hash = SHA256()
///     hash.update(header)
///     hash.update(body)
///     let digest = hash.finalize()
///
/// A copy carries the state on, which makes a shared prefix (a midstate) free.
public struct SHA256: Sendable {
    private var state = crypto_hash_sha256_state()

    public init() {
        Sodium.ready
        crypto_hash_sha256_init(&self.state)
    }

    public mutating func update(_ bytes: [UInt8]) {
        crypto_hash_sha256_update(&self.state, bytes, UInt64(bytes.count))
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        crypto_hash_sha256_update(&self.state, base.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }

    public mutating func update(_ bytes: Bytes32) {
        bytes.withUnsafeBytes { self.update($0) }
    }

    public mutating func update(_ byte: UInt8) {
        withUnsafeBytes(of: byte) { self.update($0) }
    }

    /// The digest of everything given so far; the state itself is not changed.
    public func finalize() -> Bytes32 {
        var state = self.state
        return Bytes32 { target in
            guard let base = target.baseAddress else { return }
            crypto_hash_sha256_final(&state, base.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// The digest of one piece.
    public static func hash(_ bytes: [UInt8]) -> Bytes32 {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finalize()
    }

    /// SHA-256 of SHA-256: how Bitcoin names transactions.
    public static func doubleHash(_ bytes: [UInt8]) -> Bytes32 {
        Self.hash(Self.hash(bytes).bytes)
    }

    /// A hash that has already taken in its tag: SHA-256(tag) twice (BIP-340, "Tagged Hashes").
    ///
    /// Keep one as a `static let` for each tag; copies start from its midstate.
    public static func tagged(_ tag: StaticString) -> SHA256 {
        let name = tag.withUTF8Buffer { Self.hash(Array($0)) }
        var hash = SHA256()
        hash.update(name)
        hash.update(name)
        return hash
    }
}
