import Bitcoin
import CBaseline
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing

/// What thousands of open sessions hold, each after its round 1.
struct MemoryBenchmarks {
    struct Result {
        let sessions: Int
        let residentBytesPerSession: Int
        let arenaSlotsPerSession: Double
    }

    /// Sessions of three signers and one input, in one manager, whose nonces are all there.
    static func run(sessions count: Int) async throws -> Result {
        let group = try Group(count: 3)
        let wallet = try SignerGroup(inOrder: group.keys.publicKeys)
        let manager = SigningSessionManager(policy: wallet, journal: NoJournal())
        let (transaction, coins) = SessionBenchmarks.spend(of: wallet)
        let arena = try SecretArena.shared
        let key = group.own
        // The first ones warm the allocator up and are not counted.
        for _ in 0..<100 { try await Self.open(manager, transaction, coins, key, group) }
        let (residentBefore, slotsBefore) = (baseline_resident_byte_count(), arena.usedSlotCount)
        for _ in 0..<count { try await Self.open(manager, transaction, coins, key, group) }
        let (resident, slots) = (baseline_resident_byte_count(), arena.usedSlotCount)
        await manager.closeAll()
        return Result(
            sessions: count, residentBytesPerSession: (Int(resident) - Int(residentBefore)) / count,
            arenaSlotsPerSession: Double(slots - slotsBefore) / Double(count))
    }

    private static func open(
        _ manager: SigningSessionManager<ContinuousClock>, _ transaction: Transaction, _ coins: [TransactionOutput],
        _ signer: Group.Signer, _ group: Group
    ) async throws {
        let id = try await manager.createSigningSession(transaction, coins: coins, requestID: SigningRequest.randomID())
        let own = try await manager.generateNonces(id, for: signer.key)
        for place in 0..<group.count - 1 {
            let theirs = NonceSet(request: own.request, attempt: 1, name: .first(), nonces: [group.nonces[place]])
            _ = try await manager.addNonces(id, theirs, from: group.keys.publicKeys[place])
        }
    }
}

/// Nothing is signed here, so nothing is recorded.
private struct NoJournal: SessionJournal {
    func burn(_ record: BurnRecord) async throws(JournalError) {}
    func record(request: Bytes32, attempt: UInt32, signer: PublicKey) async throws(JournalError) -> BurnRecord? { nil }
    func records(request: Bytes32) async throws(JournalError) -> [BurnRecord] { [] }
    func forget(request: Bytes32) async throws(JournalError) {}
}
