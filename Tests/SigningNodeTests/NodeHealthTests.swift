import CryptoPrimitives
import LibP2P
import Secp256k1
import SessionStore
import Signing
import Testing

@testable import SigningNode

/// What a monitor is told of a node.
@Suite(.timeLimit(.minutes(15))) struct NodeHealthTests {
    @Test func `a node tells its connections, requests, nonces and disk as they are`() async throws {
        let group = try NodeGroup(3)
        try await group.start(0)
        let node = try group.node(0)
        let idle = try await node.health
        #expect(idle.startedAt > 1_700_000_000 && idle.uptime >= .zero && idle.memberCount == 2 && idle.connectedMemberCount == 0)
        #expect(idle.requestCounts.isEmpty && idle.openRequestCount == 0 && idle.secretNonceCount == 0 && idle.blocked.isEmpty)
        #expect(idle.store.isWritable && idle.store.failureCount == 0 && idle.lastClockJumpAt == nil)
        let arena = try #require(idle.arena)
        #expect(arena.usedSlotCount > 0 && arena.slotCount > arena.usedSlotCount)

        try await group.start(1)
        let digest = try await group.record.policy().digest
        let found = try await node.connectivity(of: digest)
        #expect(found.connected == [group.keys[1].signer])
        let (transaction, coins) = try await group.spend(inputs: 3)
        let id = try await node.propose(transaction, prevouts: coins, group: digest, seconds: 600)
        _ = try await group.first(of: 0) { event -> Bool? in if case .decided(id, .approved) = event { true } else { nil } }
        let busy = try await node.health
        #expect(busy.connectionCount >= 1 && busy.connectedMemberCount == 1 && busy.heldByteCount > 0)
        #expect(busy.requestCounts == [.approved: 1] && busy.openRequestCount == 1)
        // One for each coin, for whichever attempt takes them.
        #expect(busy.secretNonceCount == 3)
        #expect(busy.time > idle.time && busy.uptime > idle.uptime && busy.startedAt == idle.startedAt)
        await group.stopAll()
    }

    @Test func `a disk that takes no writes shows at once, and who is blocked shows while it is`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let node = try group.node(0)
        let stranger = try SigningNode(
            SignerKeys(key: .generate(), identity: PeerIdentity(try .generate()), network: .regtest),
            database: try await SessionDatabase.open("\(group.folder.path)/s.db"))
        try await stranger.start()
        _ = try await stranger.network.dial(node.id, at: await node.addresses)
        for _ in 0..<10 {
            // It is reset before it is used, perhaps before it is open here.
            guard let stream = try? await stranger.network.openStream(to: node.id, [CoordinationProtocol.id]) else { continue }
            try? await stream.write(FrameReader.frame([1, 2, 3]))
            await stream.closeWrite()
            _ = try? await stream.read()
        }
        _ = try await group.first(of: 0) { event -> Bool? in if case .blocked = event { true } else { nil } }
        let blocked = try await node.health
        #expect(blocked.blocked.map(\.peer) == [stranger.id] && blocked.blocked.allSatisfy { $0.until > blocked.time })
        await stranger.stop()

        await group.databases[0]?.close()
        let (transaction, coins) = try await group.spend()
        let id = try await node.propose(transaction, prevouts: coins, group: try await group.record.policy().digest, seconds: 600)
        _ = try await group.first(of: 0) { event -> Bool? in if case .notStored(id, _) = event { true } else { nil } }
        let failing = try await node.health
        #expect(!failing.store.isWritable && failing.store.failureCount == 1 && failing.openRequestCount == 0)
        #expect(try #require(failing.store.lastFailure).time >= failing.startedAt)
        await group.stopAll()
    }

    @Test func `what a bound refuses is no fault of the disk, and a write that succeeds ends one`() throws {
        var record = HealthRecord()
        for error in [
            StoreError.full(.source, limit: 16), .stale(standing: 1), .tooLarge(what: "it", limit: 1), .notFound, .differentStands,
        ] {
            record.failed(error, at: 5)
        }
        record.failed(JournalError.differentRecordStands(attempt: 1, signer: try SecretKey.generate().publicKey), at: 5)
        #expect(record.store.isWritable && record.store.failureCount == 0 && record.store.lastFailure == nil)
        record.failed(StoreError.storage(path: "/x", reason: "the disk is full"), at: 7)
        record.failed(StoreError.full(.store, limit: 1), at: 8)
        record.failed(JournalError.corrupt(path: "/x", detail: "a page"), at: 9)
        #expect(!record.store.isWritable && record.store.failureCount == 3 && record.store.lastFailure?.time == 9)
        record.wrote()
        #expect(record.store.isWritable && record.store.lastFailure?.time == 9)
        record.clocksJumped(at: 11)
        record.clocksJumped(at: 12)
        #expect(record.clockJumpCount == 2 && record.lastClockJumpAt == 12)
    }
}
