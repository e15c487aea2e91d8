import CryptoPrimitives
import LibP2P
import LibP2PPosix
import SessionStore
import Signing
import SigningNode
import Testing

/// Blocks of whole nodes, over loopback and real disks.
@Suite(.timeLimit(.minutes(15))) struct BlockNodeTests {
    private let twoSeconds = ConnectivityOptions(requirement: .all, timeLimit: .seconds(2))

    @Test func `a member that is blocked is not let in, through restarts, and takes part again once it is unblocked`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let digest = try await group.record.policy().digest
        #expect(try await group.node(1).connectivity(of: digest, self.twoSeconds).isMet)
        let other = try group.node(1).id
        try await group.node(0).block(other, note: "stolen")
        _ = try await group.first(of: 1) { event -> Bool? in if case .disconnected = event { true } else { nil } }
        #expect(try await !group.node(1).connectivity(of: digest, self.twoSeconds).isMet)
        await group.stop(0)
        try await group.start(0)
        let node = try group.node(0)
        let kept = try await node.blocks
        #expect(kept.map(\.peer) == [other] && kept.map(\.signer) == [group.keys[1].signer] && kept.map(\.note) == ["stolen"])
        guard case .lasting(.owner, let since)? = kept.first?.term else {
            Issue.record("\(kept)")
            return
        }
        #expect(since > 1_700_000_000)
        // It is refused as soon as it shows who it is, and nothing else here ever hears of it.
        #expect(try await !group.node(1).connectivity(of: digest, self.twoSeconds).isMet)
        #expect(await node.network.withNode { node, _ in node.swarm.counters.refusedPeers } > 0)
        let check = try await node.connectivity(of: digest, self.twoSeconds)
        #expect(check.participants.map(\.state) == [.failed(.refusedHere(.peerDenied))])
        let (transaction, coins) = try await group.spend()
        let id = try await group.node(1).propose(transaction, prevouts: coins, group: digest, seconds: 600)
        #expect(try await !group.node(1).connectivity(of: digest, self.twoSeconds).isMet)
        #expect(try await node.request(id) == nil)

        try await node.unblock(other)
        #expect(try await node.blocks.isEmpty)
        #expect(try await node.connectivity(of: digest, ConnectivityOptions(requirement: .all)).isMet)
        try await group.request(id, at: 0)
        try await node.approve(id)
        for place in 0..<2 { #expect(try await group.completion(of: id, at: place)?.txid == transaction.txid) }
        // Nor does the disk remember.
        await group.stop(0)
        try await group.start(0)
        #expect(try await group.node(0).blocks.isEmpty)
        await group.stopAll()
    }

    @Test func `a block that the disk does not take is told, and holds meanwhile`() async throws {
        let group = try NodeGroup(2)
        try await group.start(0)
        let (node, peer) = (try group.node(0), group.keys[1].identity.id)
        await group.databases[0]?.close()
        do throws(SigningNodeError) {
            try await node.block(peer)
            Issue.record("it is durable on a disk that is gone")
        } catch {
            guard case .blockNotStored = error else { throw error }
            #expect("\(error)".contains("say it again"))
        }
        #expect(try await node.blocks.map(\.peer) == [peer])
        // To let it in again is not durable either, and can be said again until it is.
        for _ in 0..<2 {
            do throws(SigningNodeError) {
                try await node.unblock(peer)
                Issue.record("it is durable on a disk that is gone")
            } catch { guard case .blockNotStored = error else { throw error } }
            #expect(try await node.blocks.isEmpty)
        }
        #expect(try await !node.health.store.isWritable)
        await group.stopAll()
    }

    @Test func `what others have put on the network's list stays there`() async throws {
        let group = try NodeGroup(2)
        try await group.start(0)
        let (node, own) = (try group.node(0), PeerID(of: try Ed25519.SecretKey.generate().publicKey))
        await node.network.withNode { node, _ in node.swarm.gate.deniedPeers = [own] }
        func denied() async -> Set<PeerID> { await node.network.withNode { node, _ in node.swarm.gate.deniedPeers } }
        try await node.block(group.keys[1].identity.id)
        #expect(await denied() == [own, group.keys[1].identity.id])
        try await node.unblock(group.keys[1].identity.id)
        #expect(await denied() == [own])
        await group.stopAll()
    }

    @Test func `that a transaction was seen is said once, of a request that is complete, and remembered`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let id = try await group.node(0).propose(
            transaction, prevouts: coins, group: try await group.record.policy().digest, seconds: 600)
        try await group.request(id, at: 1)
        for (unseen, isKnown) in [(id, true), (SHA256.hash([1]), false)] {
            let other = try group.node(1)
            do throws(SigningNodeError) {
                try await other.noteBroadcast(unseen)
                Issue.record("a transaction is seen that there is not")
            } catch {
                switch error {
                case .machine(.notComplete(.proposed)): #expect(isKnown)
                case .machine(.unknownRequest): #expect(!isKnown)
                default: throw error
                }
            }
        }
        try await group.node(1).approve(id)
        for place in 0..<2 { #expect(try await group.completion(of: id, at: place)?.txid == transaction.txid) }
        #expect(try await group.node(0).explain(id).advice == [.broadcast])
        try await group.node(0).noteBroadcast(id)
        let seen = try #require(try await group.node(0).request(id)?.broadcastSeenAt)
        #expect(seen > 1_700_000_000)
        await group.stop(0)
        try await group.start(0)
        let node = try group.node(0)
        try await node.noteBroadcast(id)
        #expect(try await node.request(id)?.broadcastSeenAt == seen, "the first word counts")
        let explanation = try await node.explain(id)
        #expect(explanation.advice.isEmpty && explanation.broadcastSeenAt == seen)
        // Nobody else said so.
        #expect(try await group.node(1).explain(id).advice == [.broadcast])
        // It stands in the transcript, once, and proves nothing about anybody.
        let database = try #require(group.databases[0])
        let transcript = try await RequestTranscript(of: "\(id)", in: database)
        #expect(transcript.entries.count { $0.kind == TranscriptLine.Kind.broadcast.rawValue } == 1)
        #expect(try await transcript.audit().unreadable.isEmpty)
        await group.stopAll()
    }
}
