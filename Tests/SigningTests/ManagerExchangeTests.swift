import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

/// One signer's process as `SigningSessionManager`'s description shows it: all that comes and goes is bytes.
private final class RemoteProcess: Sendable {
    typealias Manager = SigningSessionManager<ManualClock>

    let signer: Signer
    let journal = TestJournal()
    let manager: Manager
    private let clock: ManualClock

    init(
        _ signer: Signer, _ policy: any SpendingPolicy, clock: ManualClock = ManualClock(),
        wallClock: @escaping @Sendable () -> UInt64 = { 1_000 }
    ) {
        self.signer = signer
        self.clock = clock
        self.manager = Manager(policy: policy, journal: self.journal, clock: clock, wallClock: wallClock)
    }

    /// The same key and disk after a restart.
    func restarted(policy: any SpendingPolicy) -> Manager { Manager(policy: policy, journal: self.journal, clock: self.clock) }

    func nonces(_ id: SigningSessionID) async throws -> [UInt8] {
        try await self.manager.generateNonces(id, for: self.signer.key).serialized()
    }

    func shares(_ id: SigningSessionID) async throws -> [UInt8] { try await self.manager.sign(id, with: self.signer.key).serialized() }

    @discardableResult
    func takeNonces(_ id: SigningSessionID, _ bytes: [UInt8], from them: Signer) async throws -> SigningSession.Outcome {
        try await self.manager.addNonces(id, NonceSet(parsing: bytes), from: them.publicKey)
    }

    @discardableResult
    func takeShares(_ id: SigningSessionID, _ bytes: [UInt8], from them: Signer) async throws -> SigningSession.Outcome {
        try await self.manager.addPartialSignatures(id, SignatureShares(parsing: bytes), from: them.publicKey)
    }
}

/// A group, its coin and one process for each signer.
private struct Office {
    let group: SignerGroup
    let signers: [Signer]
    let processes: [RemoteProcess]

    init(_ count: Int = 2, wallClock: @escaping @Sendable () -> UInt64 = { 1_000 }) throws {
        let signers = try Signer.make(count)
        let group = try SignerGroup(signers.map(\.publicKey))
        self.processes = signers.map { RemoteProcess($0, group, wallClock: wallClock) }
        (self.signers, self.group) = (signers, group)
    }

    var us: RemoteProcess { self.processes[0] }

    func open(requestID: Bytes32 = SHA256.hash([7]), expiry: UInt64 = 0) async throws -> [SigningSessionID] {
        let (transaction, coins) = self.transaction()
        return try await self.open(transaction, coins, requestID: requestID, expiry: expiry)
    }

    func open(
        _ transaction: Transaction, _ coins: [TransactionOutput], requestID: Bytes32 = SHA256.hash([7]), expiry: UInt64 = 0
    ) async throws -> [SigningSessionID] {
        var ids: [SigningSessionID] = []
        for process in self.processes {
            ids.append(try await process.manager.createSigningSession(transaction, coins: coins, requestID: requestID, expiry: expiry))
        }
        return ids
    }

    func transaction() -> (transaction: Transaction, coins: [TransactionOutput]) {
        let coin = TransactionOutput(amount: 10_000, scriptPubKey: self.group.scriptPubKey)
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([3])), index: 0))
        let paid = TransactionOutput(amount: 9_000, scriptPubKey: self.group.scriptPubKey)
        return (Transaction(inputs: [spent], outputs: [paid]), [coin])
    }

    /// Round 1 over bytes, among all.
    func exchangeNonces(_ ids: [SigningSessionID]) async throws {
        for (sender, process) in self.processes.enumerated() {
            let bytes = try await process.nonces(ids[sender])
            for (receiver, other) in self.processes.enumerated() where receiver != sender {
                try await other.takeNonces(ids[receiver], bytes, from: process.signer)
            }
        }
    }
}

@Suite struct ManagerExchangeTests {
    @Test func `three processes that share bytes alone arrive at one transaction`() async throws {
        let office = try Office(3)
        let ids = try await office.open(requestID: SigningRequest.randomID())
        try await office.exchangeNonces(ids)
        for (sender, process) in office.processes.enumerated() {
            let bytes = try await process.shares(ids[sender])
            for (receiver, other) in office.processes.enumerated() where receiver != sender {
                try await other.takeShares(ids[receiver], bytes, from: process.signer)
            }
        }
        var signed: Set<Transaction> = []
        for (place, process) in office.processes.enumerated() {
            signed.insert(try #require(try await process.manager.tryFinalize(ids[place])))
            let request = try await process.manager.request(ids[place])
            #expect(try await process.journal.records(request: request.digest).count == 1)
            try await process.journal.forget(request: request.digest)
            #expect(try await process.journal.records(request: request.digest).isEmpty)
        }
        #expect(signed.count == 1)
        let request = try await office.us.manager.request(ids[0])
        try expectValid(try #require(signed.first), for: try SigningPlan(request: request, under: office.group, set: nil))
    }

    @Test func `two ids make two requests, whose nonces do not mix and blame nobody`() async throws {
        let office = try Office()
        let (one, other) = (try await office.open(), try await office.open(requestID: SHA256.hash([8])))
        let bytes = try await office.processes[1].nonces(other[1])
        let error = SigningError.differentRequest(signer: office.signers[1].publicKey)
        await #expect(throws: error) { try await office.us.takeNonces(one[0], bytes, from: office.signers[1]) }
        #expect(error.culprit == nil)
        #expect(try await office.us.takeNonces(other[0], bytes, from: office.signers[1]) == .added)
        #expect(SigningRequest.randomID() != SigningRequest.randomID())
    }

    @Test func `shares that come before we sign wait, and count once we have signed`() async throws {
        let office = try Office()
        let ids = try await office.open()
        try await office.exchangeNonces(ids)
        let bytes = try await office.processes[1].shares(ids[1])
        #expect(try await office.us.takeShares(ids[0], bytes, from: office.signers[1]) == .waiting)
        #expect(try await office.us.takeShares(ids[0], bytes, from: office.signers[1]) == .repeated)
        #expect(try await office.us.manager.tryFinalize(ids[0]) == nil)
        _ = try await office.us.shares(ids[0])
        #expect(try await office.us.manager.tryFinalize(ids[0]) != nil)
    }

    @Test func `a process without a key collects the shares, fixes the transcript and finishes`() async throws {
        let office = try Office()
        let ids = try await office.open()
        let (transaction, coins) = office.transaction()
        let coordinator = SigningSessionManager(policy: office.group, journal: TestJournal(), clock: ManualClock())
        let id = try await coordinator.createSigningSession(transaction, coins: coins, requestID: SHA256.hash([7]))
        try await office.exchangeNonces(ids)
        await #expect(throws: SigningError.missingNonces(office.signers.map(\.publicKey))) { try await coordinator.fixTranscript(id) }
        for (place, process) in office.processes.enumerated() {
            let (nonces, shares) = (try await process.nonces(ids[place]), try await process.shares(ids[place]))
            try await coordinator.addNonces(id, NonceSet(parsing: nonces), from: process.signer.publicKey)
            let outcome = try await coordinator.addPartialSignatures(id, SignatureShares(parsing: shares), from: process.signer.publicKey)
            #expect(outcome == .waiting)
        }
        #expect(try await coordinator.tryFinalize(id) == nil)
        try await coordinator.fixTranscript(id)
        #expect(try await coordinator.tryFinalize(id) != nil)
    }

    @Test func `the names of nonces are counted when nonces are made, and begin anew after closeAll`() async throws {
        let office = try Office()
        let (first, second) = (try await office.open(), try await office.open(requestID: SHA256.hash([8])))
        func name(_ id: SigningSessionID) async throws -> NonceName { try NonceSet(parsing: try await office.us.nonces(id)).name }
        let one = try await name(first[0])
        for _ in 0..<5 { #expect(try await name(first[0]) == one) }
        let two = try await name(second[0])
        #expect(one.counter == 1 && two.counter == 2 && two.incarnation == one.incarnation)
        await office.us.manager.closeAll()
        let third = try await name(try await office.open()[0])
        #expect(third.counter == 1 && third.incarnation != one.incarnation)
    }

    @Test(arguments: [0, 15, 17])
    func `a random source that gives another count of bytes than it was asked for costs nothing but itself`(count: Int) async throws {
        let office = try Office()
        let manager = SigningSessionManager(
            policy: office.group, journal: TestJournal(), clock: ContinuousClock(),
            random: { [UInt8](repeating: 1, count: $0 == Incarnation.byteCount ? count : $0) })
        let (transaction, coins) = office.transaction()
        let id = try await manager.createSigningSession(transaction, coins: coins, requestID: SHA256.hash([7]))
        let name = try await manager.generateNonces(id, for: office.us.signer.key).name
        // Drawn from the system instead.
        #expect(name.incarnation.count == Incarnation.byteCount && Set(name.incarnation).count > 1)
    }

    @Test(arguments: [1_000, 1_001] as [UInt64])
    func `after its expiry nothing new is signed for a request, and what was signed is given again`(now: UInt64) async throws {
        let time = ManualTime(seconds: 1_000)
        let office = try Office(wallClock: { time.seconds })
        let ids = try await office.open(expiry: 1_000)
        try await office.exchangeNonces(ids)
        let before = try await office.us.shares(ids[0])
        time.seconds = now
        #expect(try await office.us.shares(ids[0]) == before)
        let late = try await office.open(requestID: SHA256.hash([8]), expiry: 1_000)
        if now == 1_000 {
            _ = try await office.processes[1].shares(ids[1])
            _ = try await office.us.nonces(late[0])
        } else {
            await #expect(throws: SigningError.expired(1_000)) { try await office.processes[1].shares(ids[1]) }
            await #expect(throws: SigningError.expired(1_000)) { try await office.us.nonces(late[0]) }
        }
    }

    @Test func `of two versions of a transaction only the one that the last signer signs completes`() async throws {
        let office = try Office(3)
        let script = office.group.scriptPubKey
        let coin = FundingCoin(
            outPoint: OutPoint(txid: Txid(SHA256.hash([3])), index: 0), output: TransactionOutput(amount: 100_000, scriptPubKey: script),
            inputSize: try InputSize(witnessByteCount: 66))
        let dual = try DualTransaction(
            spending: [coin], paying: [TransactionOutput(amount: 50_000, scriptPubKey: Script([0x51]))], changeTo: script,
            feeRate: FeeRate(2), buffer: FeeBuffer(percent: 50))
        let base = try await office.open(dual.base.transaction, [coin.output])
        let buffered = try await office.open(dual.buffered.transaction, [coin.output])
        let last = office.processes[2]
        for ids in [base, buffered] {
            try await office.exchangeNonces(ids)
            for place in 0...1 {
                try await last.takeShares(ids[2], try await office.processes[place].shares(ids[place]), from: office.signers[place])
            }
        }
        // All but the last have signed both; the last holds both and picks.
        _ = try await last.shares(buffered[2])
        let signed = try #require(try await last.manager.tryFinalize(buffered[2]))
        #expect(signed.txid == dual.buffered.txid && dual.buffered.txid != dual.base.txid)
        // The other version stays without a signature: here, and at those who hold all shares but one.
        #expect(try await last.manager.tryFinalize(base[2]) == nil)
        _ = try await office.us.shares(base[0])
        try await office.us.takeShares(base[0], try await office.processes[1].shares(base[1]), from: office.signers[1])
        #expect(try await office.us.manager.tryFinalize(base[0]) == nil)
        #expect(try await office.us.manager.missing(base[0]).partialSignatures == [last.signer.publicKey])
        await last.manager.close(base[2])
        await #expect(throws: SigningError.noSuchSession) { try await last.shares(base[2]) }
    }
}
