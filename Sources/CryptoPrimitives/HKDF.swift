internal import CSodium

/// HMAC with SHA-256 (RFC 2104), in place: key, message and result may all be secret and stay in their owner's memory.
public enum HMACSHA256 {
    /// Bytes of the result.
    public static let byteCount = 32

    /// Writes the authentication code of the pieces, one after the other, to `target`.
    ///
    /// - Parameters:
    ///   - key: Any length.
    ///   - target: 32 bytes. May be one of the pieces or the key: it is written last.
    public static func write(
        _ pieces: UnsafeRawBufferPointer..., key: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer
    ) {
        precondition(target.count == Self.byteCount, "an HMAC-SHA256 takes \(Self.byteCount) bytes")
        Sodium.ready
        var state = crypto_auth_hmacsha256_state()
        // The state is as good as the key.
        defer { withUnsafeMutableBytes(of: &state) { SecretMemory.wipe($0) } }
        withUnsafeBytesOrNone(key) { _ = crypto_auth_hmacsha256_init(&state, $0, key.count) }
        for piece in pieces {
            withUnsafeBytesOrNone(piece) { _ = crypto_auth_hmacsha256_update(&state, $0, UInt64(piece.count)) }
        }
        _ = crypto_auth_hmacsha256_final(&state, target.start)
    }

    /// C wants an address also where there is nothing to read.
    private static func withUnsafeBytesOrNone(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafePointer<UInt8>) -> Void) {
        var none: UInt8 = 0
        if bytes.isEmpty { body(&none) } else { body(bytes.start) }
    }
}

/// Keys out of shared secrets (RFC 5869) with SHA-256, in place.
public enum HKDFSHA256 {
    /// Most bytes that can be drawn from one key: 255 blocks (RFC 5869, section 2.3).
    public static let byteCountMax = 255 * HMACSHA256.byteCount

    /// Writes a pseudorandom key of 32 bytes to `target` (RFC 5869, section 2.2).
    ///
    /// - Parameters:
    ///   - salt: Any length; empty means 32 zero bytes, which HMAC takes for the same.
    ///   - target: May be the same memory as `salt` or `inputKeyMaterial`.
    public static func extract(
        salt: UnsafeRawBufferPointer, inputKeyMaterial: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer
    ) {
        HMACSHA256.write(inputKeyMaterial, key: salt, to: target)
    }

    /// Fills `target` with 1 to 8,160 bytes drawn from a pseudorandom key (RFC 5869, section 2.3).
    ///
    /// - Parameter target: Must not overlap the key.
    public static func expand(
        _ pseudorandomKey: UnsafeRawBufferPointer, info: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer
    ) {
        precondition((1...Self.byteCountMax).contains(target.count), "HKDF-SHA256 gives 1 to \(Self.byteCountMax) bytes")
        withUnsafeTemporaryAllocation(byteCount: HMACSHA256.byteCount, alignment: 1) { block in
            defer { SecretMemory.wipe(block) }
            var counter: UInt8 = 0
            for start in stride(from: 0, to: target.count, by: HMACSHA256.byteCount) {
                let previous = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(block)[..<(counter == 0 ? 0 : block.count)])
                counter += 1  // at most 255, by the precondition
                withUnsafeBytes(of: counter) { HMACSHA256.write(previous, info, $0, key: pseudorandomKey, to: block) }
                let rest = UnsafeMutableRawBufferPointer(rebasing: target[start...])
                rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: block[..<min(block.count, rest.count)]))
            }
        }
    }
}
