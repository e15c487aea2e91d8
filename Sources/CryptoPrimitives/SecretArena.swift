internal import Synchronization

/// One guarded, locked slab of memory, cut into equal slots for secret keys and secret nonces.
///
/// A slot is taken in tens of nanoseconds, where a guarded allocation of its own costs 23 µs. The slab lies between guard
/// pages, is locked (never swapped), left out of core dumps, and reads as zeros in a forked child where the system can do that
/// (`isWipedInForkedChild`). A slot is wiped when its owner goes, on every path out.
public final class SecretArena: Sendable {
    /// Bytes in one slot: a secp256k1 secret nonce (132) or key pair (96) fits.
    public static let slotByteCount = 136

    /// What to do when the system refuses to lock memory.
    public enum LockPolicy: Sendable {
        /// Refuse to hold secrets: `SecretMemoryError.notLocked`.
        case required
        /// Go on with memory that may reach a swap file. A named downgrade, for machines without swap. Set for the shared
        /// arena, it holds for `SecretBytes` too.
        case allowUnlocked
    }

    /// How the shared arena is made.
    public struct Configuration: Sendable {
        /// Size of the slab in bytes, 1 to 16 GiB, rounded up to whole pages. The default, 4 MiB, holds 30,840 slots and leaves half of
        /// the usual locked-memory limit of 8 MiB.
        public var byteCount: Int
        public var lockPolicy: LockPolicy

        public init(byteCount: Int = 4 << 20, lockPolicy: LockPolicy = .required) {
            self.byteCount = byteCount
            self.lockPolicy = lockPolicy
        }

        // The free list counts in 32 bits; 16 GiB of secrets is beyond any use.
        private static let byteCounts = 1...(1 << 34)

        fileprivate func check() throws(SecretMemoryError) {
            guard Self.byteCounts.contains(self.byteCount) else { throw .wrongByteCount(self.byteCount, allowed: Self.byteCounts) }
        }
    }

    /// How many secrets fit.
    public let slotCount: Int
    /// Whether a child made by `fork` reads zeros here: on Linux from 4.14 on, where nothing forbids it. Elsewhere a program must not
    /// fork while secrets are alive.
    public let isWipedInForkedChild: Bool

    // Unsafe only because the compiler does not know what the pointer points at. The address is constant for the arena's whole life, and
    // every access to what it points at goes through a slot: two slots in use never overlap, a slot cannot be copied, and only who has
    // it exclusively may write (`withUnsafeMutableBytes` is mutating), while those who borrow it, perhaps several at once, only read.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer
    private let free: Mutex<FreeSlots>
    private let lockPolicy: LockPolicy

    private struct FreeSlots {
        var returned: [Int32] = []
        /// Slots from here on have never been taken.
        var untouched: Int32 = 0
    }

    /// - Throws: `wrongByteCount`; what keeps the system from giving locked memory.
    public init(_ configuration: Configuration = Configuration()) throws(SecretMemoryError) {
        try configuration.check()
        let page = SecretMemory.pageByteCount
        let byteCount = (configuration.byteCount + page - 1) / page * page
        self.base = try SecretMemory.allocate(byteCount: byteCount, mayBeUnlocked: configuration.lockPolicy == .allowUnlocked)
        self.isWipedInForkedChild = SecretMemory.wipeInForkedChild(self.base, byteCount: byteCount)
        self.slotCount = byteCount / Self.slotByteCount
        self.lockPolicy = configuration.lockPolicy
        self.free = Mutex(FreeSlots())
    }

    // Slots keep their arena alive, so none is left when this runs.
    deinit { SecretMemory.free(self.base) }

    /// Slots in use now.
    public var usedSlotCount: Int {
        self.free.withLock { Int($0.untouched) - $0.returned.count }
    }

    /// Takes a slot, zeroed.
    package func take() throws(SecretMemoryError) -> Slot {
        let index: Int32? = self.free.withLock { slots in
            if let again = slots.returned.popLast() { return again }
            guard Int(slots.untouched) < self.slotCount else { return nil }
            defer { slots.untouched += 1 }
            return slots.untouched
        }
        guard let index else { throw .secretMemoryFull(slots: self.slotCount) }
        return Slot(arena: self, index: index)
    }

    /// The owner of one secret. It cannot be copied, and when it goes the bytes are wiped.
    package struct Slot: ~Copyable, Sendable {
        fileprivate let arena: SecretArena
        fileprivate let index: Int32

        /// Calls `body` with the slot's 136 bytes to be read. The pointer must not leave the closure.
        package borrowing func withUnsafeBytes<Result, Failure: Error>(
            _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
        ) throws(Failure) -> Result {
            try body(UnsafeRawBufferPointer(self.arena.bytes(of: self.index)))
        }

        /// Calls `body` with the slot's 136 bytes, which stay where they are. The pointer must not leave the closure.
        package mutating func withUnsafeMutableBytes<Result, Failure: Error>(
            _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
        ) throws(Failure) -> Result {
            try body(self.arena.bytes(of: self.index))
        }

        deinit { self.arena.giveBack(self.index) }
    }

    private func bytes(of index: Int32) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: self.base + Int(index) * Self.slotByteCount, count: Self.slotByteCount)
    }

    private func giveBack(_ index: Int32) {
        SecretMemory.wipe(self.base + Int(index) * Self.slotByteCount, byteCount: Self.slotByteCount)
        self.free.withLock { $0.returned.append(index) }
    }
}

extension SecretArena {
    private enum Shared {
        case notYet(Configuration)
        case ready(SecretArena)
    }

    private static let sharedState = Mutex(Shared.notYet(Configuration()))

    /// The process's arena, made at its first use.
    public static var shared: SecretArena {
        get throws(SecretMemoryError) {
            let outcome: Result<SecretArena, SecretMemoryError> = self.sharedState.withLock { state in
                switch state {
                case .ready(let arena): return .success(arena)
                case .notYet(let configuration):
                    return Result { () throws(SecretMemoryError) in
                        let arena = try SecretArena(configuration)
                        state = .ready(arena)
                        return arena
                    }
                }
            }
            return try outcome.get()
        }
    }

    /// What the process decided about memory that the system does not lock.
    static var sharedLockPolicy: LockPolicy {
        self.sharedState.withLock { state in
            switch state {
            case .ready(let arena): arena.lockPolicy
            case .notYet(let configuration): configuration.lockPolicy
            }
        }
    }

    /// Chooses size and lock policy of the shared arena, before its first use.
    ///
    /// - Throws: `alreadyInUse` afterwards, and `wrongByteCount` for a size that no arena has.
    public static func configure(_ configuration: Configuration) throws(SecretMemoryError) {
        try configuration.check()
        let inUse = self.sharedState.withLock { state in
            if case .ready = state { return true }
            state = .notYet(configuration)
            return false
        }
        if inUse { throw .alreadyInUse }
    }
}
