import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// One manager for each signer of a group, as if each ran in a process of its own.
private struct Machines: Sendable {
    typealias Manager = SigningSessionManager<ManualClock>

    let clock = ManualClock()
    /// How far the calendar was set forth without the clock.
    let leap = ManualTime(seconds: 0)
    let group: SignerGroup
    /// In the group's order.
    let signers: [Signer]
    let journals: [TestJournal]
    let managers: [Manager]

    init(_ count: Int = 2, limits: Manager.Limits = Manager.Limits()) throws {
        let signers = try Signer.make(count)
        let group = try SignerGroup(signers.map(\.publicKey))
        let (clock, leap, journals) = (self.clock, self.leap, signers.map { _ in TestJournal() })
        self.managers = journals.map {
            Manager(policy: group, journal: $0, clock: clock, limits: limits, wallClock: { clock.wallSeconds + leap.seconds })
        }
        (self.group, self.signers, self.journals) = (group, signers, journals)
    }

    var us: Manager { self.managers[0] }
    var key: Signer { self.signers[0] }

    func transaction(_ salt: UInt64 = 0, inputs: Int = 1) -> (transaction: Transaction, coins: [TransactionOutput]) {
        let coins = (0..<inputs).map { _ in TransactionOutput(amount: 10_000, scriptPubKey: self.group.scriptPubKey) }
        let spent = (0..<inputs).map {
            TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash(Array("\(salt)".utf8))), index: UInt32($0)))
        }
        let paid = TransactionOutput(amount: 9_000, scriptPubKey: self.group.scriptPubKey)
        return (Transaction(inputs: spent, outputs: [paid]), coins)
    }

    /// Opens one request at every machine.
    func open(_ salt: UInt64 = 0, inputs: Int = 1, attempt: UInt32 = 1) async throws -> [SigningSessionID] {
        let (transaction, coins) = self.transaction(salt, inputs: inputs)
        let request = SHA256.hash(Array("request \(salt)".utf8))
        var ids: [SigningSessionID] = []
        for manager in self.managers {
            ids.append(try await manager.createSigningSession(transaction, coins: coins, requestID: request, attempt: attempt))
        }
        return ids
    }

    @discardableResult
    func exchangeNonces(_ ids: [SigningSessionID]) async throws -> [NonceSet] {
        var sets: [NonceSet] = []
        for place in ids.indices { sets.append(try await self.managers[place].generateNonces(ids[place], for: self.signers[place].key)) }
        for place in ids.indices {
            for other in ids.indices where other != place {
                try await self.managers[place].addNonces(ids[place], sets[other], from: self.signers[other].publicKey)
            }
        }
        return sets
    }

    /// Everybody signs and gives the shares to the first machine, which finishes.
    func finish(_ ids: [SigningSessionID]) async throws -> Transaction? {
        for place in ids.indices {
            let shares = try await self.managers[place].sign(ids[place], with: self.signers[place].key)
            try await self.us.addPartialSignatures(ids[0], shares, from: self.signers[place].publicKey)
        }
        return try await self.us.tryFinalize(ids[0])
    }
}

@Suite struct SigningSessionManagerTests {
    @Test func `the described calls lead from a transaction to its signatures`() async throws {
        let machines = try Machines(3)
        let ids = try await machines.open(inputs: 2)
        #expect(await machines.us.activeSessionCount == 1)
        let keys = machines.signers.map(\.publicKey)
        #expect(try await machines.us.missing(ids[0]).nonces == keys)
        try await machines.exchangeNonces(ids)
        let missing = try await machines.us.missing(ids[0])
        #expect(missing.nonces.isEmpty && missing.partialSignatures == keys)
        #expect(try await machines.us.tryFinalize(ids[0]) == nil)
        #expect(try await machines.us.transcript(ids[0]) == nil)
        for place in ids.indices {
            let partials = try await machines.managers[place].sign(ids[place], with: machines.signers[place].key)
            guard place > 0 else { continue }
            #expect(try await machines.us.tryFinalize(ids[0]) == nil)
            try await machines.us.addPartialSignatures(ids[0], partials, from: keys[place])
        }
        let signed = try #require(try await machines.us.tryFinalize(ids[0]))
        let (transaction, coins) = machines.transaction(inputs: 2)
        #expect(signed.txid == transaction.txid)
        let request = try SigningRequest(transaction: transaction, prevouts: coins)
        try expectValid(signed, for: try SigningPlan(request: request, under: machines.group, set: nil))
        await machines.us.close(ids[0])
        await machines.us.close(ids[0])
        #expect(await machines.us.activeSessionCount == 0)
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.tryFinalize(ids[0]) }
    }

    @Test(arguments: [false, true])
    func `clocks that go apart while the journal is asked end all sessions before a nonce is made or used`(signs: Bool) async throws {
        let machines = try Machines(2)
        let ids = try await machines.open(1)
        let other = try await machines.open(2)
        try await machines.exchangeNonces(other)
        if signs { try await machines.exchangeNonces(ids) }
        let leap = machines.leap
        await machines.journals[0].interrupt { leap.seconds = 3_600 }
        await #expect(throws: SigningError.clocksJumped) {
            if signs {
                _ = try await machines.us.sign(ids[0], with: machines.key.key)
            } else {
                _ = try await machines.us.generateNonces(ids[0], for: machines.key.key)
            }
        }
        #expect(await machines.journals[0].burnCount == 0)
        #expect(await machines.us.activeSessionCount == 0)
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.sign(other[0], with: machines.key.key) }
        // It is told once; what begins now has nonces of a new name.
        let (transaction, coins) = machines.transaction(3)
        let id = try await machines.us.createSigningSession(transaction, coins: coins, requestID: SHA256.hash([3]))
        _ = try await machines.us.generateNonces(id, for: machines.key.key)
    }

    @Test func `two thousand sessions at once never touch each other, and all finish`() async throws {
        let machines = try Machines(2)
        let count = 2_000
        // All are open and have nonces before any signs.
        var sessions: [(salt: UInt64, ids: [SigningSessionID])] = []
        try await withThrowingTaskGroup(of: (UInt64, [SigningSessionID]).self) { group in
            for salt in 0..<UInt64(count) {
                group.addTask {
                    let ids = try await machines.open(salt)
                    try await machines.exchangeNonces(ids)
                    return (salt, ids)
                }
            }
            for try await session in group { sessions.append(session) }
        }
        for manager in machines.managers { #expect(await manager.activeSessionCount == count) }
        var signatures: Set<[UInt8]> = []
        try await withThrowingTaskGroup(of: (UInt64, Transaction?).self) { group in
            for (salt, ids) in sessions { group.addTask { (salt, try await machines.finish(ids)) } }
            for try await (salt, signed) in group {
                let signed = try #require(signed)
                #expect(signed.txid == machines.transaction(salt).transaction.txid)
                signatures.insert(try #require(signed.inputs[0].witness.items.first))
            }
        }
        #expect(signatures.count == count)
        for journal in machines.journals { #expect(await journal.stored.count == count) }
        for manager in machines.managers {
            await manager.closeAll()
            #expect(await manager.activeSessionCount == 0)
        }
    }

    @Test func `twenty tasks that sign one session get one signature and leave one record`() async throws {
        let machines = try Machines(2)
        let ids = try await machines.open(inputs: 2)
        try await machines.exchangeNonces(ids)
        let results = try await withThrowingTaskGroup(of: SignatureShares.self) { group in
            for _ in 0..<20 { group.addTask { try await machines.us.sign(ids[0], with: machines.key.key) } }
            return try await group.reduce(into: Set<SignatureShares>()) { $0.insert($1) }
        }
        #expect(results.count == 1)
        #expect(await machines.journals[0].stored.map(\.shares) == Array(results))
        #expect(try await machines.finish(ids) != nil)
    }

    @Test func `tasks that ask for one session's nonces get the same ones`() async throws {
        let machines = try Machines(2)
        let id = try await machines.open()[0]
        let sets = try await withThrowingTaskGroup(of: NonceSet.self) { group in
            for _ in 0..<20 { group.addTask { try await machines.us.generateNonces(id, for: machines.key.key) } }
            return try await group.reduce(into: Set<NonceSet>()) { $0.insert($1) }
        }
        #expect(sets.count == 1)
    }

    @Test func `a bad partial signature is named by its signer and input`() async throws {
        let machines = try Machines(3)
        let ids = try await machines.open(inputs: 2)
        try await machines.exchangeNonces(ids)
        var shares: [SignatureShares] = []
        for place in ids.indices { shares.append(try await machines.managers[place].sign(ids[place], with: machines.signers[place].key)) }
        let first = shares[2].partialSignatures[0]
        shares[2] = SignatureShares(transcript: shares[2].transcript, partialSignatures: [first, first])
        let culprit = machines.signers[2].publicKey
        for place in 1...2 { try await machines.us.addPartialSignatures(ids[0], shares[place], from: machines.signers[place].publicKey) }
        let error = SigningError.invalidPartialSignatures([BadPartialSignature(input: 1, signer: culprit)])
        await #expect(throws: error) { try await machines.us.tryFinalize(ids[0]) }
        #expect(error.culprit == culprit && error.culprits == [culprit])
    }

    @Test func `three liars are all named at once, and nobody else is`() async throws {
        let machines = try Machines(6)
        let ids = try await machines.open(inputs: 3)
        try await machines.exchangeNonces(ids)
        for place in ids.indices {
            var shares = try await machines.managers[place].sign(ids[place], with: machines.signers[place].key)
            let (good, transcript) = (shares.partialSignatures, shares.transcript)
            // The second lies about the last input, the fourth about the first two, and the fifth about all of them.
            let said: [[PartialSignature]] = [good, [good[0], good[1], good[0]], good, [good[1], good[0], good[2]], good.rotated, good]
            shares = SignatureShares(transcript: transcript, partialSignatures: said[place])
            if place > 0 { try await machines.us.addPartialSignatures(ids[0], shares, from: machines.signers[place].publicKey) }
        }
        let keys = machines.signers.map(\.publicKey)
        let faults = [(0, 3), (0, 4), (1, 3), (1, 4), (2, 1), (2, 4)].map { BadPartialSignature(input: $0, signer: keys[$1]) }
        let error = SigningError.invalidPartialSignatures(faults)
        await #expect(throws: error) { try await machines.us.tryFinalize(ids[0]) }
        #expect(error.culprits == [keys[3], keys[4], keys[1]])
        for culprit in error.culprits { #expect("\(error)".contains("\(culprit)")) }
        #expect(error.description.hasSuffix("begin a new attempt without them"))
    }

    @Test func `a signer who saw other nonces is not blamed`() async throws {
        let machines = try Machines(2)
        let ids = try await machines.open()
        let sets = try await machines.exchangeNonces(ids)
        let other = machines.signers[1].publicKey
        // Our process restarts; the other has signed with what it heard before.
        let theirs = try await machines.managers[1].sign(ids[1], with: machines.signers[1].key)
        let restarted = SigningSessionManager(policy: machines.group, journal: machines.journals[0], clock: machines.clock)
        let (transaction, coins) = machines.transaction()
        let id = try await restarted.createSigningSession(
            transaction, coins: coins, requestID: SHA256.hash(Array("request 0".utf8)))
        _ = try await restarted.generateNonces(id, for: machines.key.key)
        try await restarted.addNonces(id, sets[1], from: other)
        _ = try await restarted.sign(id, with: machines.key.key)
        await #expect(throws: SigningError.differentTranscript(signer: other)) {
            try await restarted.addPartialSignatures(id, theirs, from: other)
        }
    }

    @Test func `calls that name no open session, or one too many, are refused`() async throws {
        let machines = try Machines(2, limits: Machines.Manager.Limits(sessionCountMax: 2))
        let unknown = try #require(SigningSessionID(String(repeating: "0a", count: 16)))
        #expect(SigningSessionID(unknown.description) == unknown)
        for text in ["", "0a", String(repeating: "0a", count: 17), String(repeating: "zz", count: 16)] {
            #expect(SigningSessionID(text) == nil)
        }
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.generateNonces(unknown, for: machines.key.key) }
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.sign(unknown, with: machines.key.key) }
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.missing(unknown) }
        let first = try await machines.open(1)[0]
        _ = try await machines.open(2)
        await #expect(throws: SigningError.tooManySessions(limit: 2)) { try await machines.open(3) }
        await machines.us.close(first)
        let (transaction, coins) = machines.transaction(3)
        _ = try await machines.us.createSigningSession(transaction, coins: coins, requestID: Bytes32())
        #expect(await machines.us.activeSessionCount == 2)
        // A refused request leaves no session behind.
        await machines.us.closeAll()
        await #expect(throws: SigningError.scriptDoesNotMatch(input: 0)) {
            let foreign = TransactionOutput(amount: 10_000, scriptPubKey: Script([0x51]))
            return try await machines.us.createSigningSession(transaction, coins: [foreign], requestID: Bytes32())
        }
        #expect(await machines.us.activeSessionCount == 0)
    }
}

@Suite struct ClockJumpTests {
    @Test func `clocks that go apart close every session before a nonce is used, and new ones have names of their own`() async throws {
        let machines = try Machines(2)
        let ids = try await machines.open()
        let sets = try await machines.exchangeNonces(ids)
        _ = try await machines.open(1)
        machines.clock.advance(by: .seconds(600))
        machines.leap.seconds = 11
        await #expect(throws: SigningError.clocksJumped) { try await machines.us.sign(ids[0], with: machines.key.key) }
        #expect(await machines.us.activeSessionCount == 0)
        #expect(await machines.journals[0].stored.isEmpty)
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.sign(ids[0], with: machines.key.key) }

        let (transaction, coins) = machines.transaction()
        let again = try await machines.us.createSigningSession(
            transaction, coins: coins, requestID: SHA256.hash(Array("request 0".utf8)), attempt: 2)
        let new = try await machines.us.generateNonces(again, for: machines.key.key)
        #expect(new.name.incarnation != sets[0].name.incarnation)
    }

    @Test(arguments: [0, 10] as [UInt64])
    func `clocks that drift as time services correct them close nothing`(seconds: UInt64) async throws {
        let machines = try Machines(2)
        let ids = try await machines.open()
        try await machines.exchangeNonces(ids)
        machines.clock.advance(by: .seconds(3_000))
        machines.leap.seconds = seconds
        _ = try await machines.us.sign(ids[0], with: machines.key.key)
    }
}

@Suite struct IdleExpiryTests {
    @Test func `a session untouched for an hour is closed by the clock alone, and no moment sooner`() async throws {
        let machines = try Machines(2)
        let id = try await machines.open()[0]
        await machines.clock.waitForSleeper()
        machines.clock.advance(by: .seconds(3_600) - .nanoseconds(1))
        #expect(await machines.us.activeSessionCount == 1)
        machines.clock.advance(by: .nanoseconds(1))
        #expect(await eventually { await machines.us.activeSessionCount == 0 })
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.missing(id) }
        // The next session has a timer again.
        _ = try await machines.open(2)
        await machines.clock.waitForSleeper()
        machines.clock.advance(by: .seconds(3_600))
        #expect(await eventually { await machines.us.activeSessionCount == 0 })
    }

    @Test func `a session that is due is gone for its callers before the timer has run`() async throws {
        let machines = try Machines(2)
        let id = try await machines.open()[0]
        machines.clock.advance(by: .seconds(3_600))
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.generateNonces(id, for: machines.key.key) }
    }

    @Test func `each call prolongs its own session and no other`() async throws {
        let machines = try Machines(2)
        let (first, second) = (try await machines.open(1)[0], try await machines.open(2)[0])
        await machines.clock.waitForSleeper()
        machines.clock.advance(by: .seconds(1_800))
        _ = try await machines.us.missing(first)
        machines.clock.advance(by: .seconds(1_800))
        #expect(await eventually { await machines.us.activeSessionCount == 1 })
        await #expect(throws: SigningError.noSuchSession) { try await machines.us.missing(second) }
        await machines.clock.waitForSleeper()
        _ = try await machines.us.generateNonces(first, for: machines.key.key)
        machines.clock.advance(by: .seconds(3_599))
        _ = try await machines.us.missing(first)
        machines.clock.advance(by: .seconds(3_599))
        _ = try await machines.us.missing(first)
        #expect(await machines.us.activeSessionCount == 1)
    }
}

@Suite struct ManagerJournalTests {
    @Test func `nothing is released when the journal refuses, and the same bytes when it takes them later`() async throws {
        let machines = try Machines(2)
        let ids = try await machines.open()
        try await machines.exchangeNonces(ids)
        await machines.journals[0].refuseNext()
        await #expect(throws: SigningError.journal(TestJournal.refusal)) { try await machines.us.sign(ids[0], with: machines.key.key) }
        let theirs = try await machines.managers[1].sign(ids[1], with: machines.signers[1].key)
        try await machines.us.addPartialSignatures(ids[0], theirs, from: machines.signers[1].publicKey)
        // All shares exist in the process now, but ours is not durable.
        #expect(try await machines.us.tryFinalize(ids[0]) == nil)
        #expect(await machines.journals[0].stored.isEmpty)
        let partials = try await machines.us.sign(ids[0], with: machines.key.key)
        #expect(await machines.journals[0].stored.map(\.shares) == [partials])
        #expect(try await machines.us.tryFinalize(ids[0]) != nil)
    }

    @Test func `a record that became durable unnoticed is found, not made again`() async throws {
        let machines = try Machines(2)
        let ids = try await machines.open()
        try await machines.exchangeNonces(ids)
        await machines.journals[0].loseNextAnswer()
        await #expect(throws: SigningError.journal(TestJournal.lostAnswer)) { try await machines.us.sign(ids[0], with: machines.key.key) }
        let record = try #require(await machines.journals[0].stored.first)
        #expect(try await machines.us.sign(ids[0], with: machines.key.key) == record.shares)
        #expect(await machines.journals[0].burnCount == 1)
        #expect(try await machines.finish(ids) != nil)
    }

    @Test func `after a restart the same nonces give the same bytes, and other nonces nothing`() async throws {
        let machines = try Machines(2)
        let ids = try await machines.open()
        let sets = try await machines.exchangeNonces(ids)
        let before = try await machines.us.sign(ids[0], with: machines.key.key)
        let (transaction, coins) = machines.transaction()
        let request = SHA256.hash(Array("request 0".utf8))

        let restarted = SigningSessionManager(policy: machines.group, journal: machines.journals[0], clock: machines.clock)
        let fresh = try await restarted.createSigningSession(transaction, coins: coins, requestID: request)
        let decided = SigningError.attemptDecided(attempt: 1, signer: machines.key.publicKey)
        // New nonces would be useless: nothing is ever signed with them.
        await #expect(throws: decided) { try await restarted.generateNonces(fresh, for: machines.key.key) }
        let theirNew = try await machines.managers[1].generateNonces(
            try await machines.managers[1].createSigningSession(transaction, coins: coins, requestID: request, attempt: 2),
            for: machines.signers[1].key)

        let again = try await restarted.createSigningSession(transaction, coins: coins, requestID: request)
        await #expect(throws: SigningError.missingNonces(machines.signers.map(\.publicKey))) {
            try await restarted.sign(again, with: machines.key.key)
        }
        for (signer, set) in zip(machines.signers, sets) { try await restarted.addNonces(again, set, from: signer.publicKey) }
        #expect(try await restarted.sign(again, with: machines.key.key) == before)
        #expect(try await restarted.generateNonces(again, for: machines.key.key) == sets[0])
        let theirs = try await machines.managers[1].sign(ids[1], with: machines.signers[1].key)
        try await restarted.addPartialSignatures(again, theirs, from: machines.signers[1].publicKey)
        #expect(try await restarted.tryFinalize(again) != nil)
        #expect(await machines.journals[0].stored.count == 1)

        let next = try await restarted.createSigningSession(transaction, coins: coins, requestID: request, attempt: 2)
        _ = try await restarted.generateNonces(next, for: machines.key.key)
        await #expect(throws: SigningError.differentAttempt(signer: machines.signers[1].publicKey, expected: 2, actual: 1)) {
            try await restarted.addNonces(next, sets[1], from: machines.signers[1].publicKey)
        }
        try await restarted.addNonces(next, theirNew, from: machines.signers[1].publicKey)
        _ = try await restarted.sign(next, with: machines.key.key)
        #expect(await machines.journals[0].stored.map(\.attempt) == [1, 2])
    }

    @Test func `two sessions of one attempt release the signatures of one`() async throws {
        let machines = try Machines(2)
        let first = try await machines.open()
        let second = try await machines.open()
        for ids in [first, second] { try await machines.exchangeNonces(ids) }
        let outcomes = await withTaskGroup(of: SignatureShares?.self) { group in
            for ids in [first, second] { group.addTask { try? await machines.us.sign(ids[0], with: machines.key.key) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.filter { $0 != nil }.count == 1)
        #expect(await machines.journals[0].stored.count == 1)
    }
}

extension [PartialSignature] {
    /// Each of them in the next one's place.
    fileprivate var rotated: [PartialSignature] { self.suffix(1) + self.dropLast() }
}
