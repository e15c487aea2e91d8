import CryptoPrimitives
import MuSig2
import Secp256k1
import Synchronization
import Testing

@testable import Signing

@Suite struct SessionCellTests {
    /// What happens between a call's look into the journal and the use of its nonces.
    private final class Interruption: Sendable {
        private let action = Mutex<(@Sendable () -> Void)?>(nil)

        func set(_ action: @escaping @Sendable () -> Void) { self.action.withLock { $0 = action } }
        func run() { self.action.withLock { $0 }?() }
    }

    private let scene: Scene
    private let journal = TestJournal()
    private let interruption = Interruption()
    private let cell: SessionCell

    init() throws {
        self.scene = try Scene(signers: 2, inputs: 2)
        let interruption = self.interruption
        self.cell = SessionCell(
            SigningSession(plan: self.scene.plan), plan: self.scene.plan, journal: self.journal,
            names: NonceNames { [UInt8](repeating: 7, count: $0) },
            wallClock: {
                interruption.run()
                return 0
            }, clocks: WatchedClocks { (.zero, .zero) }, jumpCount: 0)
    }

    @Test func `a call that waited for the journal while its session was revoked signs nothing`() async throws {
        let (us, them) = (self.scene.signers[0], self.scene.signers[1])
        _ = try await self.cell.generateNonces(for: us.key)
        _ = try await self.cell.add(try Party(them, self.scene.plan).nonces(), from: them.publicKey)
        let cell = self.cell
        self.interruption.set { cell.revoke() }
        await #expect(throws: SigningError.closed) { try await cell.sign(with: us.key) }
        #expect(await self.journal.burnCount == 0)
        #expect(await cell.transcript == nil)
    }

    @Test func `a call that waited for the journal while its session was revoked makes no nonce`() async throws {
        let cell = self.cell
        self.interruption.set { cell.revoke() }
        await #expect(throws: SigningError.closed) { try await cell.generateNonces(for: self.scene.signers[0].key) }
        #expect(await cell.missing.nonces == self.scene.plan.signers)
    }

    @Test func `what was signed before is released when the journal has it`() async throws {
        let (us, them) = (self.scene.signers[0], self.scene.signers[1])
        _ = try await self.cell.generateNonces(for: us.key)
        _ = try await self.cell.add(try Party(them, self.scene.plan).nonces(), from: them.publicKey)
        await self.journal.loseNextAnswer()
        let cell = self.cell
        await #expect(throws: SigningError.journal(TestJournal.lostAnswer)) { try await cell.sign(with: us.key) }
        cell.revoke()
        #expect(try await cell.sign(with: us.key) == self.journal.stored.first?.shares)
    }
}
