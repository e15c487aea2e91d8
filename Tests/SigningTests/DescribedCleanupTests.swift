import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// The cases of the described systems' session cleanup that the manager's idle expiry has, by name, and what they leave out.
///
/// What is not here stands in `IdleExpiryTests`; `docs/described-systems.md` lists all.
@Suite struct DescribedCleanupTests {
    private typealias Manager = SigningSessionManager<ManualClock>

    private let clock = ManualClock()
    private let signers: [Signer]
    private let group: SignerGroup
    private let journal = TestJournal()

    init() throws {
        self.signers = try Signer.make(2)
        self.group = try SignerGroup(self.signers.map(\.publicKey))
    }

    private func manager(idle: Duration) -> Manager {
        let clock = self.clock
        return Manager(
            policy: self.group, journal: self.journal, clock: clock, limits: .init(idle: idle), wallClock: { clock.wallSeconds })
    }

    private func open(_ manager: Manager, _ number: UInt8 = 1) async throws -> SigningSessionID {
        let (transaction, coins) = Scene.transaction(inputs: 1, script: self.group.scriptPubKey, salt: number)
        return try await manager.createSigningSession(transaction, coins: coins, requestID: SHA256.hash([number]))
    }

    /// Round 1 at both ends.
    private func exchangeNonces(_ first: (Manager, SigningSessionID), _ second: (Manager, SigningSessionID)) async throws {
        let ours = try await first.0.generateNonces(first.1, for: self.signers[0].key)
        let theirs = try await second.0.generateNonces(second.1, for: self.signers[1].key)
        try await first.0.addNonces(first.1, theirs, from: self.signers[1].publicKey)
        try await second.0.addNonces(second.1, ours, from: self.signers[0].publicKey)
    }

    // MARK: Configuration

    @Test(arguments: [1, 60, 86_400] as [Int64])
    func `the time after which a session goes is what was asked for`(seconds: Int64) async throws {
        let manager = self.manager(idle: .seconds(seconds))
        _ = try await self.open(manager)
        await self.clock.waitForSleeper()
        self.clock.advance(by: .seconds(seconds) - .milliseconds(1))
        #expect(await manager.activeSessionCount == 1)
        self.clock.advance(by: .milliseconds(1))
        #expect(await eventually { await manager.activeSessionCount == 0 })
    }

    @Test func `an idle time longer than any life closes nothing`() async throws {
        let manager = self.manager(idle: .seconds(1 << 40))
        let id = try await self.open(manager)
        await self.clock.waitForSleeper()
        self.clock.advance(by: .seconds(100 * 365 * 86_400))
        #expect(try await manager.missing(id).nonces.count == 2)
    }

    @Test func `no idle time at all closes at once, and keeps nothing busy`() async throws {
        let manager = self.manager(idle: .zero)
        let id = try await self.open(manager)
        await #expect(throws: SigningError.noSuchSession) { try await manager.missing(id) }
        #expect(await eventually { await manager.activeSessionCount == 0 })
        #expect(self.clock.sleeperCount == 0)
    }

    @Test func `one timer serves all sessions, and none runs without one`() async throws {
        let manager = self.manager(idle: .seconds(60))
        await manager.closeAll()
        #expect(await manager.activeSessionCount == 0 && self.clock.sleeperCount == 0)
        for number in UInt8(0)..<50 { _ = try await self.open(manager, number) }
        await self.clock.waitForSleeper()
        #expect(self.clock.sleeperCount == 1)
    }

    // MARK: Expired and stuck sessions

    @Test func `sessions of different ages go one by one, each at its own time`() async throws {
        let manager = self.manager(idle: .seconds(60))
        for number in UInt8(0)..<3 {
            _ = try await self.open(manager, number)
            await self.clock.waitForSleeper()
            self.clock.advance(by: .seconds(10))
        }
        for left in [2, 1, 0] {
            let wait = left == 2 ? 30 : 10
            self.clock.advance(by: .seconds(wait) - .nanoseconds(1))
            #expect(await manager.activeSessionCount == left + 1)
            self.clock.advance(by: .nanoseconds(1))
            #expect(await eventually { await manager.activeSessionCount == left })
            if left > 0 { await self.clock.waitForSleeper() }
        }
    }

    @Test func `a session that is stuck in the exchange of nonces goes, and its late nonces find nothing`() async throws {
        let (manager, other) = (self.manager(idle: .seconds(60)), self.manager(idle: .seconds(600)))
        let (id, theirID) = (try await self.open(manager), try await self.open(other))
        _ = try await manager.generateNonces(id, for: self.signers[0].key)
        await self.clock.waitForSleeper()
        self.clock.advance(by: .seconds(60))
        #expect(await eventually { await manager.activeSessionCount == 0 })
        let late = try await other.generateNonces(theirID, for: self.signers[1].key)
        await #expect(throws: SigningError.noSuchSession) { try await manager.addNonces(id, late, from: self.signers[1].publicKey) }
    }

    @Test func `a session that is stuck after it signed goes, and what it decided stays`() async throws {
        let (manager, other) = (self.manager(idle: .seconds(60)), self.manager(idle: .seconds(600)))
        let (id, theirID) = (try await self.open(manager), try await self.open(other))
        try await self.exchangeNonces((manager, id), (other, theirID))
        let shares = try await manager.sign(id, with: self.signers[0].key)
        await self.clock.waitForSleeper()
        self.clock.advance(by: .seconds(60))
        #expect(await eventually { await manager.activeSessionCount == 0 })
        #expect(await self.journal.stored.map(\.shares) == [shares])
        // Opened again, the attempt is known to be decided; no nonce is made for it.
        let again = try await self.open(manager)
        await #expect(throws: SigningError.attemptDecided(attempt: 1, signer: self.signers[0].publicKey)) {
            try await manager.generateNonces(again, for: self.signers[0].key)
        }
    }

    @Test func `a session that goes at one end does not end the other's`() async throws {
        let (manager, other) = (self.manager(idle: .seconds(60)), self.manager(idle: .seconds(600)))
        let (id, theirID) = (try await self.open(manager), try await self.open(other))
        try await self.exchangeNonces((manager, id), (other, theirID))
        let shares = try await manager.sign(id, with: self.signers[0].key)
        await self.clock.waitForSleeper()
        self.clock.advance(by: .seconds(60))
        #expect(await eventually { await manager.activeSessionCount == 0 })
        // What left before is enough for the other to finish.
        _ = try await other.sign(theirID, with: self.signers[1].key)
        try await other.addPartialSignatures(theirID, shares, from: self.signers[0].publicKey)
        #expect(try await other.tryFinalize(theirID) != nil)
    }

    // MARK: By hand

    @Test func `closing by hand ends one session, all of them, or none, and is no error twice`() async throws {
        let manager = self.manager(idle: .seconds(60))
        let (first, second) = (try await self.open(manager, 1), try await self.open(manager, 2))
        await manager.close(first)
        await manager.close(first)
        #expect(await manager.activeSessionCount == 1)
        #expect(try await manager.missing(second).nonces.count == 2)
        await manager.closeAll()
        await manager.closeAll()
        #expect(await manager.activeSessionCount == 0)
        // It goes on being of use.
        let third = try await self.open(manager, 3)
        #expect(try await manager.missing(third).nonces.count == 2)
    }

    @Test func `a session that is opened while the timer is about to run is not taken for an old one`() async throws {
        let manager = self.manager(idle: .seconds(60))
        _ = try await self.open(manager, 1)
        await self.clock.waitForSleeper()
        self.clock.advance(by: .seconds(60))
        let late = try await self.open(manager, 2)
        #expect(await eventually { await manager.activeSessionCount == 1 })
        #expect(try await manager.missing(late).nonces.count == 2)
    }
}
