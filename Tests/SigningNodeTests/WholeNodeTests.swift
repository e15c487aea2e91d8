import Bitcoin
import CryptoPrimitives
import LibP2P
import SessionStore
import Signing
import SigningNode
import Testing

/// Whole nodes with real sockets and real disks in one process.
@Suite(.timeLimit(.minutes(15))) struct WholeNodeTests {
    @Test(arguments: [(2, nil), (3, nil), (3, 2), (5, 3)] as [(Int, Int?)])
    func `a group signs over the network`(count: Int, threshold: Int?) async throws {
        let group = try NodeGroup(count, threshold: threshold)
        for place in 0..<count { try await group.start(place) }
        let (transaction, coins) = try await group.spend(inputs: 2)
        let digest = try await group.record.policy().digest
        let id = try await group.node(0).propose(transaction, prevouts: coins, group: digest, note: "rent", seconds: 600)
        for place in 1..<count {
            try await group.request(id, at: place)
            let seen = try #require(try await group.node(place).request(id))
            #expect(seen.request.transaction == transaction && seen.terms.note == "rent" && seen.decision == .undecided)
        }
        for place in 1..<count {
            do {
                try await group.node(place).approve(id)
            } catch SigningNodeError.machine(.tooLate(.complete)) where place >= threshold ?? count {
                // As many as it takes were quicker.
            }
        }
        var txids: Set<Txid> = []
        for place in 0..<count {
            let signed = try #require(try await group.completion(of: id, at: place))
            #expect(signed.inputs.allSatisfy { !$0.witness.items.isEmpty })
            txids.insert(signed.txid)
        }
        #expect(txids == [transaction.txid])
        await group.stopAll()
    }

    @Test func `a request survives the restart of every process`() async throws {
        let group = try NodeGroup(3)
        for place in 0..<3 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let id = try await group.node(0).propose(
            transaction, prevouts: coins, group: try await group.record.policy().digest, seconds: 600)
        try await group.request(id, at: 1)
        try await group.node(1).approve(id)
        _ = try await group.first(of: 1) { event -> Bool? in if case .decided(id, .approved) = event { true } else { nil } }
        try await group.request(id, at: 2)
        await group.stopAll()
        for place in 0..<3 { try await group.start(place) }
        // Who agreed still does; who did not is asked still.
        #expect(try await group.node(0).request(id)?.decision == .approved)
        #expect(try await group.node(1).request(id)?.decision == .approved)
        #expect(try await group.node(2).request(id)?.decision == .undecided)
        try await group.node(2).approve(id)
        for place in 0..<3 { #expect(try await group.completion(of: id, at: place)?.txid == transaction.txid) }
        await group.stopAll()
        // And what is complete stays so.
        try await group.start(1)
        #expect(try await group.node(1).request(id)?.state == .complete)
        #expect(try await group.node(1).request(id)?.transaction?.txid == transaction.txid)
        await group.stopAll()
    }

    @Test func `a member who was away for the proposal and the approvals signs when it comes`() async throws {
        let group = try NodeGroup(3)
        try await group.start(0)
        try await group.start(1)
        let (transaction, coins) = try await group.spend()
        let id = try await group.node(0).propose(
            transaction, prevouts: coins, group: try await group.record.policy().digest, seconds: 600)
        try await group.request(id, at: 1)
        try await group.node(1).approve(id)
        try await group.start(2)
        try await group.request(id, at: 2)
        try await group.node(2).approve(id)
        for place in 0..<3 { #expect(try await group.completion(of: id, at: place)?.txid == transaction.txid) }
        await group.stopAll()
    }

    @Test func `what is refused ends, and says by whom`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let digest = try await group.record.policy().digest
        let id = try await group.node(0).propose(transaction, prevouts: coins, group: digest, seconds: 600)
        // The coins are reserved as long as it is not over.
        await #expect(throws: SigningNodeError.self) {
            try await group.node(0).propose(transaction, prevouts: coins, group: digest, seconds: 600)
        }
        try await group.request(id, at: 1)
        try await group.node(1).reject(id)
        let end = try await group.first(of: 0) { event -> CoordinationState? in
            if case .request(id, .ended(let state)) = event { state } else { nil }
        }
        #expect(end == .aborted(.refused([group.keys[1].signer])))
        _ = try await group.node(0).propose(transaction, prevouts: coins, group: digest, seconds: 600)
        await group.stopAll()
    }

    @Test func `what was taken back stays so through restarts, and who was away hears of it`() async throws {
        let group = try NodeGroup(3)
        for place in 0..<2 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let digest = try await group.record.policy().digest
        let id = try await group.node(0).propose(transaction, prevouts: coins, group: digest, seconds: 600)
        try await group.request(id, at: 1)
        try await group.node(1).approve(id)
        _ = try await group.first(of: 1) { event -> Bool? in if case .decided(id, .approved) = event { true } else { nil } }
        await group.stop(1)
        try await group.node(0).cancel(id)
        _ = try await group.first(of: 0) { event -> Bool? in if case .decided(id, .cancelled) = event { true } else { nil } }
        await group.stop(0)
        for place in 0..<3 { try await group.start(place) }
        #expect(try await group.node(0).request(id)?.state == .aborted(.cancelled))
        let end = try await group.first(of: 1) { event -> CoordinationState? in
            if case .request(id, .ended(let state)) = event { state } else { nil }
        }
        #expect(end == .aborted(.cancelled))
        // Its coins are free again.
        let again = try await group.node(0).propose(transaction, prevouts: coins, group: digest, seconds: 600)
        try await group.request(again, at: 1)
        try await group.node(1).approve(again)
        try await group.request(again, at: 2)
        try await group.node(2).approve(again)
        for place in 0..<3 { #expect(try await group.completion(of: again, at: place)?.txid == transaction.txid) }
        await group.stopAll()
    }

    @Test func `a decision that cannot be written down is not one, and can be said again`() async throws {
        let group = try NodeGroup(2)
        let keys = group.keys[0]
        let policy = try await group.record.policy()
        var machine = SigningMachine(
            keys: keys, clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        let (transaction, coins) = try await group.spend()
        /// The next write that is wanted; those of the transcript are carried out by the way.
        func write(_ id: Bytes32?) -> (SigningWriteID, SigningWrite)? {
            while let event = machine.nextEvent() {
                guard case .write(let number, _, let write, _) = event else { continue }
                if case .transcript = write, let id {
                    machine.written(number, of: id, .done(), now: .seconds(1))
                } else {
                    return (number, write)
                }
            }
            return nil
        }
        let id = try machine.propose(
            transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: .seconds(1))
        let new = try #require(write(nil))
        guard case .request(let request) = new.1 else { throw TestFolderError() }
        let folder = try TestFolder()
        let database = try await SessionDatabase.open("\(folder.path)/store.db")
        try await database.requests().add(request)
        machine.written(new.0, of: id, .done(try await database.requests().request(id)), now: .seconds(1))
        let first = try #require(write(id))
        guard case .decision(.approved, let serial, _) = first.1 else { throw TestFolderError() }
        #expect(machine.request(id)?.state == .proposed)
        machine.written(first.0, of: id, .failed("the disk is full"), now: .seconds(2))
        #expect(machine.request(id)?.decision == .undecided && machine.request(id)?.state == .proposed)
        try machine.approve(id, now: .seconds(3))
        let second = try #require(write(id))
        guard case .decision(.approved, let next, _) = second.1 else { throw TestFolderError() }
        #expect(next >= serial)
        machine.written(second.0, of: id, .done(), now: .seconds(3))
        #expect(machine.request(id)?.state == .approved)
        await database.close()
    }

    @Test func `strangers are told nothing, and are not heard for long`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let stranger = try SigningNode(
            SignerKeys(key: .generate(), identity: PeerIdentity(try .generate()), network: .regtest),
            database: try await SessionDatabase.open("\(group.folder.path)/s.db"))
        try await stranger.start()
        let target = try group.node(0)
        let dialled = try await stranger.network.dial(target.id, at: await target.addresses)
        for _ in 0..<10 {
            guard let stream = try? await stranger.network.openStream(to: dialled.peer, [CoordinationProtocol.id]) else { continue }
            try? await stream.write(FrameReader.frame([1, 2, 3]))
            await stream.closeWrite()
            _ = try? await stream.read()
        }
        let blocked = try await group.first(of: 0) { event -> PeerID? in if case .blocked(let peer) = event { peer } else { nil } }
        #expect(blocked == stranger.id)
        await stranger.stop()
        await group.stopAll()
    }
}
