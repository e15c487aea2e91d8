internal import CSodium

/// libsodium, made ready once.
///
/// Without `sodium_init()` the library still answers, but with slow code and, on some systems, an unready random source.
/// Everything in this module that calls libsodium goes through `ready` first.
enum Sodium {
    static let ready: Void = {
        precondition(sodium_init() >= 0, "libsodium could not start: the system gives no randomness")
    }()
}

/// The operating system's random source.
public enum SystemRandom {
    /// Overwrites the whole buffer with unpredictable bytes.
    public static func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        Sodium.ready
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
        randombytes_buf(base, buffer.count)
    }

    /// `count` unpredictable bytes that are no secret: ids, salts, names.
    public static func bytes(count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            Self.fill(UnsafeMutableRawBufferPointer(buffer))
            filled = count
        }
    }
}
