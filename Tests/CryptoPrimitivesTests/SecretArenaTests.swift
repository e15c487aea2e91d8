import CTestSupport
import CryptoPrimitives
import Testing

struct SecretArenaTests {
    private static func arena(slots: Int) throws -> SecretArena {
        try SecretArena(SecretArena.Configuration(byteCount: slots * SecretArena.slotByteCount))
    }

    @Test func `the default arena holds 30,840 slots`() throws {
        #expect(try SecretArena().slotCount == 30_840)
    }

    @Test func `a new slot holds zeros and keeps what is written`() throws {
        let arena = try Self.arena(slots: 30)
        var slot = try arena.take()
        slot.withUnsafeMutableBytes {
            #expect($0.count == SecretArena.slotByteCount)
            #expect($0.allSatisfy { $0 == 0 })
            $0.fill(0xa5)
        }
        slot.withUnsafeBytes { bytes in #expect(bytes.allSatisfy { $0 == 0xa5 }) }
        #expect(arena.usedSlotCount == 1)
    }

    @Test func `a slot is wiped when its owner goes`() throws {
        let arena = try Self.arena(slots: 30)
        let memory = try Self.fillAndDrop(arena)
        #expect(arena.usedSlotCount == 0)
        #expect(memory.allSatisfy { $0 == 0 })
    }

    @Test func `a slot is wiped when its owner goes by an error`() throws {
        struct Thrown: Error {}
        let arena = try Self.arena(slots: 30)
        var memory = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(throws: Thrown.self) {
            var slot = try arena.take()
            try slot.withUnsafeMutableBytes {
                $0.fill(0xa5)
                memory = UnsafeRawBufferPointer($0)
                throw Thrown()
            }
        }
        #expect(arena.usedSlotCount == 0)
        #expect(memory.count == SecretArena.slotByteCount && memory.allSatisfy { $0 == 0 })
    }

    @Test func `slots do not overlap`() throws {
        let arena = try Self.arena(slots: 30)
        var held: [Held] = []
        for index in 0..<arena.slotCount { held.append(try Held(arena, filledWith: UInt8(index + 1))) }
        for (index, one) in held.enumerated() { #expect(one.holds(UInt8(index + 1))) }
    }

    @Test func `a full arena refuses, and serves again when a slot comes back`() throws {
        let arena = try Self.arena(slots: 30)
        var held: [Held] = []
        for _ in 0..<arena.slotCount { held.append(try Held(arena, filledWith: 1)) }
        for _ in 0..<2 {
            #expect(throws: SecretMemoryError.secretMemoryFull(slots: 30)) { try Held(arena, filledWith: 2) }
            #expect(arena.usedSlotCount == 30)
        }
        held.remove(at: 7)
        #expect(arena.usedSlotCount == 29)
        held.append(try Held(arena, filledWith: 3))
        #expect(held.last?.holds(3) == true)
        held = []
        #expect(arena.usedSlotCount == 0)
    }

    @Test func `many threads take and give back, and no slot has two owners`() async throws {
        let arena = try Self.arena(slots: 30)
        let failures = try await withThrowingTaskGroup(of: Int.self) { group in
            for worker in UInt8(1)...8 {
                group.addTask {
                    var failures = 0
                    for round in 0..<2_000 {
                        let one = try Held(arena, filledWith: worker)
                        let other = try Held(arena, filledWith: ~worker)
                        // Others take and give back meanwhile, also where there is one core.
                        if round.isMultiple(of: 4) { await Task.yield() }
                        if !one.holds(worker) || !other.holds(~worker) { failures += 1 }
                    }
                    return failures
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(failures == 0)
        #expect(arena.usedSlotCount == 0)
    }

    @Test func `a slot keeps its arena alive`() throws {
        var arena: SecretArena? = try Self.arena(slots: 30)
        weak let watched = arena
        var held: Held? = try arena.map { try Held($0, filledWith: 9) }
        arena = nil
        #expect(watched != nil)
        #expect(held?.holds(9) == true)
        held = nil
        #expect(watched == nil)
    }

    @Test(.enabled(if: Platform.isLinux, "only Linux wipes memory in a forked child"))
    func `a forked child reads zeros where its parent has secrets`() throws {
        let arena = try Self.arena(slots: 30)
        let held = try Held(arena, filledWith: 0xa5)
        let ordinary = [UInt8](repeating: 0xa5, count: 64)
        let childSees = held.withBytes { chorale_test_forked_child_reads($0.baseAddress, $0.count, 0) }
        #expect(childSees == 1)
        #expect(arena.isWipedInForkedChild)
        // The counter-check: what is no secret is there, so the child did look.
        #expect(ordinary.withUnsafeBytes { chorale_test_forked_child_reads($0.baseAddress, $0.count, 0xa5) } == 1)
        #expect(held.holds(0xa5))
    }

    @Test(.enabled(if: Platform.locksMemory, "only Linux tells what memory is locked, and a sanitizer locks none"))
    func `every page of an arena is locked, left out of core dumps, and marked to be wiped on fork`() throws {
        let arena = try Self.arena(slots: 300)  // ten pages
        var held: [Held] = []
        for _ in 0..<arena.slotCount { held.append(try Held(arena, filledWith: 1)) }
        for one in [held.first, held[150], held.last].compactMap(\.self) {
            let flags = try one.withBytes { try MemoryMap.flags(at: UnsafeRawPointer(#require($0.baseAddress))) }
            #expect(flags.isSuperset(of: ["lo", "dd", "wf"]), "\(flags)")
        }
    }

    @Test(.enabled(if: Platform.locksMemory, "other systems count locked memory otherwise, and a sanitizer locks none"))
    func `memory that the system does not lock is refused, or taken by name only`() async {
        await #expect(processExitsWith: .success) {
            try #require(chorale_test_limit_locked_memory(16_384) == 0)
            let byteCount = 1 << 20
            #expect(throws: SecretMemoryError.notLocked(byteCount: byteCount)) {
                try SecretArena(SecretArena.Configuration(byteCount: byteCount))
            }
            let unlocked = try SecretArena(SecretArena.Configuration(byteCount: byteCount, lockPolicy: .allowUnlocked))
            let slot = try unlocked.take()
            slot.withUnsafeBytes { bytes in #expect(bytes.allSatisfy { $0 == 0 }) }

            #expect(throws: SecretMemoryError.notLocked(byteCount: 65_536)) { _ = try SecretBytes.random(count: 65_536).count }
            // The downgrade of the shared arena is the whole process's: a key file must open too.
            try SecretArena.configure(SecretArena.Configuration(byteCount: byteCount, lockPolicy: .allowUnlocked))
            #expect(try SecretBytes.random(count: 65_536).count == 65_536)
            #expect(try SecretArena.shared.slotCount > 7_000)
            #expect(try SecretBytes.random(count: 65_536).count == 65_536)
            // An arena of its own still asks for the lock, and gets it for what fits the limit.
            #expect(try SecretArena(SecretArena.Configuration(byteCount: 4_096)).slotCount == 30)
        }
    }

    @Test(arguments: [0, -1, .min, 1 << 34 + 1, .max])
    func `an arena of no bytes, or of too many, is refused where it is asked for`(byteCount: Int) {
        let error = SecretMemoryError.wrongByteCount(byteCount, allowed: 1...(1 << 34))
        let configuration = SecretArena.Configuration(byteCount: byteCount)
        #expect(throws: error) { _ = try SecretArena(configuration) }
        #expect(throws: error) { try SecretArena.configure(configuration) }
    }

    @Test func `the shared arena is configured before its first use only`() async {
        await #expect(processExitsWith: .success) {
            try SecretArena.configure(SecretArena.Configuration(byteCount: 10))
            try SecretArena.configure(SecretArena.Configuration(byteCount: 8_192))
            #expect(try SecretArena.shared.slotCount == 60)
            #expect(try SecretArena.shared === SecretArena.shared)
            #expect(throws: SecretMemoryError.alreadyInUse) { try SecretArena.configure(SecretArena.Configuration()) }
            #expect(try SecretArena.shared.slotCount == 60)
        }
    }

    @Test(.enabled(if: Platform.isLinux, "only Linux tells whether a process can be traced"))
    func `a hardened process leaves no core dump and cannot be traced`() async {
        await #expect(processExitsWith: .success) {
            chorale_test_allow_core_dumps()
            #expect(chorale_test_is_dumpable() == 1)
            #expect(ProcessHardening.forbidCoreDumps())
            #expect(chorale_test_core_dumps_are_forbidden() == 1)
            #expect(chorale_test_is_dumpable() == 0)
        }
    }

    /// The memory of a slot that is no one's any more; the arena keeps it.
    private static func fillAndDrop(_ arena: SecretArena) throws -> UnsafeRawBufferPointer {
        var slot = try arena.take()
        return slot.withUnsafeMutableBytes {
            $0.fill(0xa5)
            return UnsafeRawBufferPointer($0)
        }
    }
}

/// A slot that can stand in an array, for tests that hold many.
private final class Held: Sendable {
    private let slot: SecretArena.Slot

    init(_ arena: SecretArena, filledWith value: UInt8) throws(SecretMemoryError) {
        var slot = try arena.take()
        slot.withUnsafeMutableBytes {
            if $0.contains(where: { $0 != 0 }) { Issue.record("a slot comes with what somebody else left in it") }
            $0.fill(value)
        }
        self.slot = slot
    }

    func holds(_ value: UInt8) -> Bool { self.withBytes { $0.allSatisfy { $0 == value } } }

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try self.slot.withUnsafeBytes(body)
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func fill(_ value: UInt8) { self.initializeMemory(as: UInt8.self, repeating: value) }
}
