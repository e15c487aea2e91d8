/// A secret of any length with one owner: a passphrase, a seed, the plain text of a key file.
///
/// Each has guarded, locked memory of its own, wiped when the owner goes. For the many small secrets of signing there is
/// `SecretArena`.
public struct SecretBytes: ~Copyable, Sendable {
    public let count: Int
    // A constant address, reached only through the one owner. Written in `init` alone, before anybody else can have it; then only
    // read, which many may do at once, until the owner goes.
    private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

    /// Longest secret, in bytes: far above any passphrase or key, far below the usual locked-memory limit.
    public static let byteCountMax = 65_536

    /// `count` bytes (1 to 65,536), which `fill` writes in place; they are zero before.
    ///
    /// - Throws: `wrongByteCount` for fewer or more; what keeps the system from giving locked memory.
    public init(count: Int, filledBy fill: (UnsafeMutableRawBufferPointer) -> Void) throws(SecretMemoryError) {
        guard (1...Self.byteCountMax).contains(count) else { throw .wrongByteCount(count, allowed: 1...Self.byteCountMax) }
        self.memory = try SecretMemory.allocate(byteCount: count, mayBeUnlocked: SecretArena.sharedLockPolicy == .allowUnlocked)
        self.count = count
        fill(UnsafeMutableRawBufferPointer(start: self.memory, count: count))
    }

    /// `count` bytes (1 to 65,536) from the system's random source.
    public static func random(count: Int) throws(SecretMemoryError) -> SecretBytes {
        try SecretBytes(count: count) { SystemRandom.fill($0) }
    }

    deinit { SecretMemory.free(self.memory) }

    /// Calls `body` with the bytes in place. The pointer must not leave the closure.
    public borrowing func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: self.memory, count: self.count))
    }
}
