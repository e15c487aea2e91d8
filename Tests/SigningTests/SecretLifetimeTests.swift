import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// How many slots of the arena secrets hold. Each test runs in a process of its own, so that no other test's secrets count.
private var usedSlots: Int {
    get throws { try SecretArena.shared.usedSlotCount }
}

@Suite struct SecretLifetimeTests {
    @Test func `nonces go with signing, with close and with the session`() async {
        await #expect(processExitsWith: .success) {
            let scene = try Scene(signers: 2, inputs: 3)
            let baseline = try usedSlots
            do {
                let parties = scene.processes()
                try exchangeNonces(parties)
                #expect(try usedSlots == baseline + 6)
                _ = try parties[0].sign()
                #expect(try usedSlots == baseline + 3)
                parties[1].session.close()
                #expect(try usedSlots == baseline)
                _ = try parties[0].sign()
            }
            var party: Party? = Party(scene.signers[0], scene.plan)
            _ = try party?.nonces()
            _ = try party?.nonces()
            #expect(try usedSlots == baseline + 3)
            party = nil
            #expect(try usedSlots == baseline)
        }
    }

    @Test func `a shared key is one secret, and goes with its last holder`() async {
        await #expect(processExitsWith: .success) {
            let baseline = try usedSlots
            var keys = [SecretKey.Shared(try SecretKey.generate())]
            let holder = keys[0]
            keys.append(holder)
            #expect(try usedSlots == baseline + 1)
            keys = []
            #expect(try usedSlots == baseline + 1)
            _ = try holder.key.sign(Bytes32())
            _ = consume holder
            #expect(try usedSlots == baseline)
        }
    }

    @Test func `refused contributions and failed calls keep no secrets`() async {
        await #expect(processExitsWith: .success) {
            let scene = try Scene(signers: 2, inputs: 2)
            let stranger = try Signer(99)
            let baseline = try usedSlots
            let us = Party(scene.signers[0], scene.plan)
            #expect(throws: SigningError.self) { _ = try us.session.generateNonces(for: stranger.key, name: Party.name(1)) }
            #expect(throws: SigningError.self) { _ = try us.sign() }
            #expect(try usedSlots == baseline)
            let foreign = try Party(scene.signers[0], scene.plan, incarnation: 3).nonces()
            #expect(try usedSlots == baseline)
            _ = try us.nonces()
            #expect(throws: SigningError.self) { try us.add(foreign, from: us.key) }
            #expect(throws: SigningError.self) { _ = try us.sign() }
            // The nonces are still good: nothing was signed with them.
            #expect(try usedSlots == baseline + 2)
            try us.add(try Party(scene.signers[1], scene.plan).nonces(), from: scene.signers[1].publicKey)
            _ = try us.sign()
            #expect(try usedSlots == baseline)
        }
    }

    @Test func `a full arena refuses by name, keeps nothing half-made, and goes on when there is room`() async {
        await #expect(processExitsWith: .success) {
            // One page: 30 slots, of which two hold keys.
            try SecretArena.configure(SecretArena.Configuration(byteCount: 4_096))
            let scene = try Scene(signers: 2, inputs: 20)
            let slots = try SecretArena.shared.slotCount
            let baseline = try usedSlots
            let (first, second) = (Party(scene.signers[0], scene.plan), Party(scene.signers[1], scene.plan))
            _ = try first.nonces()
            let error = #expect(throws: SigningError.self) { _ = try second.nonces() }
            // Of the 8 free slots 7 become nonces, from the last input on, for each is made with a second slot beside it.
            #expect(error == .musig(.memory(.secretMemoryFull(slots: slots)), signer: second.key, input: 12))
            #expect(error?.culprit == nil)
            #expect(try usedSlots == baseline + 20)
            #expect(second.session.localSigners.isEmpty)
            first.session.close()
            #expect(try second.nonces().nonces.count == 20)
        }
    }

    @Test func `nonces of an attempt that failed go at once, not with the next attempt`() async {
        await #expect(processExitsWith: .success) {
            for isMalformed in [true, false] {
                let simulation = try ExchangeSimulation(.allOfThree, seed: 10)
                let (signer, other) = (simulation.signers[0], simulation.signers[1])
                let baseline = try usedSlots
                func statement(_ body: Statement.Body) -> Statement { other.says(body, simulation.request.digest, attempt: 1) }
                let set = statement(.set(simulation.policy.members))
                // Nonces that are none are proof; too few of them prove nothing.
                let items = isMalformed ? Array(repeating: [2] + Array(repeating: UInt8(0xff), count: 65), count: 2) : []
                let nonces = statement(.nonces(NonceName(known: Array(repeating: 3, count: 16), counter: 1), items))
                try simulation.start(signer)
                let process = try #require(signer.process)
                func see(_ path: ExchangePath, _ statement: Statement) throws {
                    process.machine.observe(
                        ExchangeFile(path: path.description, bytes: try simulation.psbt(statement)), now: simulation.now)
                }
                try see(.set(attempt: 1), set)
                for case .create(let path, _) in process.machine.step(now: .zero, key: signer.key, identity: signer.identity) {
                    process.machine.created(path, true)
                }
                #expect(try usedSlots == baseline + 2)
                try see(.nonces(attempt: 1, other.publicKey), nonces)
                _ = process.machine.step(now: .milliseconds(1), key: signer.key, identity: signer.identity)
                #expect(try usedSlots == baseline, "malformed: \(isMalformed)")
            }
        }
    }

    @Test func `a manager's nonces are wiped by close, closeAll, expiry and its end`() async {
        await #expect(processExitsWith: .success) {
            let signers = try Signer.make(2)
            let group = try SignerGroup(signers.map(\.publicKey))
            let clock = ManualClock()
            let baseline = try usedSlots
            var manager: SigningSessionManager<ManualClock>? = SigningSessionManager(
                policy: group, journal: TestJournal(), clock: clock, wallClock: { clock.wallSeconds })
            func open() async throws -> SigningSessionID? {
                let (transaction, coins) = Scene.transaction(inputs: 2, script: group.scriptPubKey)
                let requestID = SigningRequest.randomID()
                guard let id = try await manager?.createSigningSession(transaction, coins: coins, requestID: requestID) else { return nil }
                _ = try await manager?.generateNonces(id, for: signers[0].key)
                return id
            }
            let first = try #require(try await open())
            _ = try await open()
            #expect(try usedSlots == baseline + 4)
            await manager?.close(first)
            #expect(try usedSlots == baseline + 2)
            await manager?.closeAll()
            #expect(try usedSlots == baseline)

            _ = try await open()
            await clock.waitForSleeper()
            clock.advance(by: .seconds(3_600))
            #expect(await eventually { (try? usedSlots) == baseline })

            _ = try await open()
            #expect(try usedSlots == baseline + 2)
            manager = nil
            #expect(await eventually { (try? usedSlots) == baseline })
            #expect(await eventually { clock.sleeperCount == 0 })
        }
    }
}
