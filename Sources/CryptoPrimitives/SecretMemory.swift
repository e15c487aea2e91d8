internal import CSodium

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Why secret memory could not be had.
public enum SecretMemoryError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Every slot of the arena is in use: finish or close sessions, or configure a larger arena.
    case secretMemoryFull(slots: Int)
    /// The system refused to lock this many bytes into memory, so they could reach a swap file.
    case notLocked(byteCount: Int)
    /// The system gave no memory at all.
    case outOfMemory(byteCount: Int)
    /// `SecretArena.configure` came after the shared arena's first use.
    case alreadyInUse
    /// No secret and no arena has this many bytes.
    case wrongByteCount(Int, allowed: ClosedRange<Int>)

    public var description: String {
        switch self {
        case .secretMemoryFull(let slots):
            "all \(slots) slots for secrets are in use: close finished sessions, or configure a larger SecretArena"
        case .notLocked(let byteCount):
            "the system refused to lock \(byteCount) bytes of secret memory: raise the locked-memory limit (ulimit -l), "
                + "configure a smaller SecretArena, or allow unlocked memory by name (SecretArena.LockPolicy.allowUnlocked)"
        case .outOfMemory(let byteCount): "the system gave no \(byteCount) bytes of secret memory"
        case .alreadyInUse: "SecretArena.configure must come before the first secret is made"
        case .wrongByteCount(let count, let allowed):
            "\(count) bytes of secret memory cannot be: choose \(allowed.lowerBound) to \(allowed.upperBound)"
        }
    }
}

/// The one place that asks the system for memory that holds secrets.
package enum SecretMemory {
    /// Memory between guard pages, locked, left out of core dumps, and zero in a forked child where the system can do that.
    static func allocate(byteCount: Int, mayBeUnlocked: Bool) throws(SecretMemoryError) -> UnsafeMutableRawPointer {
        Sodium.ready
        guard let memory = sodium_malloc(byteCount) else { throw .outOfMemory(byteCount: byteCount) }
        // sodium_malloc locks too, but says nothing when that fails. Locking does not nest, so a second call is the question.
        if sodium_mlock(memory, byteCount) != 0, !mayBeUnlocked {
            sodium_free(memory)
            throw .notLocked(byteCount: byteCount)
        }
        sodium_memzero(memory, byteCount)
        return memory
    }

    /// In a child made by `fork`, the range reads as zeros, so that two processes never hold one nonce.
    ///
    /// Only whole pages can be marked; the arena's slab begins and ends on page bounds. Where the system has no such call,
    /// this does nothing, and forking while nonces are alive is outside the promise (SECURITY.md).
    ///
    /// - Returns: whether the system took the mark.
    static func wipeInForkedChild(_ memory: UnsafeMutableRawPointer, byteCount: Int) -> Bool {
        #if os(Linux)
        // MADV_WIPEONFORK is 18 on every Linux architecture (include/uapi/asm-generic/mman-common.h, since 4.14).
        madvise(memory, byteCount, 18) == 0
        #else
        false
        #endif
    }

    static func free(_ memory: UnsafeMutableRawPointer) { sodium_free(memory) }

    package static func wipe(_ memory: UnsafeMutableRawPointer, byteCount: Int) { sodium_memzero(memory, byteCount) }

    package static func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
        if let start = bytes.baseAddress { sodium_memzero(start, bytes.count) }
    }

    static var pageByteCount: Int { max(4_096, Int(sysconf(Int32(_SC_PAGESIZE)))) }
}

/// What a process that holds secrets does for itself at its start.
public enum ProcessHardening {
    /// No core dump of this process from now on, and (on Linux) no tracing by other processes of the same user.
    ///
    /// - Returns: whether the system agreed to all of it. The arena's own memory is left out of core dumps in any case.
    @discardableResult
    public static func forbidCoreDumps() -> Bool {
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        #if canImport(Glibc)
        let isLimited = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit) == 0
        #else
        let isLimited = setrlimit(RLIMIT_CORE, &limit) == 0
        #endif
        return chorale_make_undumpable() == 0 && isLimited
    }
}
