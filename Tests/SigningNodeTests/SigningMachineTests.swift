import Bitcoin
import CryptoPrimitives
import LibP2P
import LibP2PPosix
import MuSig2
import Secp256k1
import SessionStore
import SigningTestSupport
import Synchronization
import Testing

@testable import Signing
@testable import SigningNode

/// What a signer's machine holds to beside the requests themselves: coins, names, enrolments, what it tells.
@Suite struct SigningMachineTests {
    private func machine(
        _ keys: SignerKeys, _ configuration: SigningMachine.Configuration = SigningMachine.Configuration()
    ) -> SigningMachine {
        SigningMachine(
            keys: keys, configuration: configuration, clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
    }

    /// What a machine wants to have written first.
    private func firstWrite(of machine: inout SigningMachine) -> SigningWrite? {
        while let event = machine.nextEvent() { if case .write(_, _, let write, _) = event { return write } }
        return nil
    }

    /// The disk takes whatever the machine wants to have written.
    private func keepAll(of machine: inout SigningMachine, now: Duration) {
        while let event = machine.nextEvent() {
            guard case .write(let number, let id, let write, _) = event else { continue }
            var stored: StoredRequest?
            if case .request(let new) = write {
                stored = StoredRequest(
                    id: id, source: new.source, created: new.created, expiry: new.expiry, updated: new.created, decision: .undecided,
                    decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: id))
            }
            machine.written(number, of: id, .done(stored), now: now)
        }
    }

    @Test func `coins of a request that may still complete stay reserved when it is not answered for any more`() async throws {
        let group = try NodeGroup(2)
        let keys = group.keys[0]
        let policy = try await group.record.policy()
        let (transaction, coins) = try await group.spend()
        var first = self.machine(keys)
        first.add(policy, name: "group", members: group.keys.map(\.enrolment))
        let id = try first.propose(
            transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: .seconds(1))
        guard case .request(let new)? = self.firstWrite(of: &first) else { throw TestFolderError() }

        // In its next life: it had given a partial signature, and took its word back.
        var configuration = SigningMachine.Configuration()
        configuration.overCountMax = 0
        var machine = self.machine(keys, configuration)
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        let stored = StoredRequest(
            id: id, source: nil, created: new.created, expiry: new.expiry, updated: new.created, decision: .withdrawn, decisionSerial: 2,
            state: .endedMayStillComplete, reason: "withdrawn", transcript: TranscriptHead(request: id))
        let record = BurnRecord(
            request: id, attempt: 1, signer: keys.signer, transcript: SHA256.hash([2]),
            contributions: [(try Sample.nonce("one"), try PartialSignature(parsing: [0] + SHA256.hash([3]).bytes.dropFirst()))])
        try machine.restore(stored, proposal: new.proposal, records: [record], completion: nil, now: .seconds(1))
        #expect(machine.request(id) != nil)
        self.keepAll(of: &machine, now: .seconds(1))
        for now in [Duration.seconds(61), .seconds(7_200)] {
            machine.tick(now: now)
            #expect(machine.request(id) == nil, "it is let go")
            #expect(throws: SigningMachineError.coinsReserved(by: id)) {
                try machine.propose(transaction, prevouts: coins, group: policy.digest, seconds: 60, id: SHA256.hash([4]), now: now)
            }
        }
        _ = try machine.propose(
            transaction, prevouts: coins, group: policy.digest, seconds: 60, id: SHA256.hash([5]), replaces: id, now: .seconds(7_200))
    }

    @Test func `what replaces a request spends one of its coins`() async throws {
        let group = try NodeGroup(2)
        let policy = try await group.record.policy()
        var machine = self.machine(group.keys[0])
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        let (transaction, coins) = try await group.spend()
        let id = try machine.propose(transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: .zero)
        var other = transaction
        other.inputs[0] = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([7])), index: 0))
        #expect(throws: SigningMachineError.replacesNothing(of: id)) {
            try machine.propose(
                other, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([2]), replaces: id, now: .zero)
        }
        _ = try machine.propose(
            transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([3]), replaces: id, now: .zero)
    }

    /// The time of the day, which somebody can set.
    private final class SetClock: Sendable {
        private let ahead = Mutex(Duration.zero)
        func set(ahead: Duration) { self.ahead.withLock { $0 = ahead } }
        func clocks(_ now: Duration) -> SigningClocks {
            SigningClocks(wall: .seconds(1_800_000_000) + now + self.ahead.withLock { $0 }, running: now)
        }
    }

    @Test func `no secret nonce outlives the moment at which the clocks went apart`() async throws {
        let group = try NodeGroup(2)
        let (policy, clock) = (try await group.record.policy(), SetClock())
        var configuration = SigningMachine.Configuration()
        configuration.noncePoolCount = 4
        var machine = SigningMachine(
            keys: group.keys[0], configuration: configuration, clocks: { clock.clocks($0) },
            makeIncarnation: { .random() }, now: .zero)
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        let (transaction, coins) = try await group.spend()
        _ = try machine.propose(transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: .zero)
        self.keepAll(of: &machine, now: .zero)
        let other = ConnectionInfo(
            id: ConnectionID(rawValue: 1), peer: group.keys[1].identity.id, isOutbound: true,
            remoteAddress: try Multiaddr(text: "/ip4/192.0.2.1/tcp/1"), isLimited: false)
        machine.handle(.connected(other), now: .seconds(1))
        machine.tick(now: .seconds(1))
        #expect(machine.pooledNonceCount == 4 * NoncePool.width)
        #expect(machine.vitals(now: .seconds(1)).secretNonceCount > 4 * NoncePool.width, "and those of the request")

        clock.set(ahead: .seconds(60))
        machine.lookAtClocks(now: .seconds(2))
        #expect(machine.vitals(now: .seconds(2)).secretNonceCount == 0)
        var hasTold = false
        while let event = machine.nextEvent() { if case .clocksJumped = event { hasTold = true } }
        #expect(hasTold)
        // It goes on with others.
        machine.tick(now: .seconds(3))
        #expect(machine.pooledNonceCount == 4 * NoncePool.width)
    }

    private func connection(_ number: UInt64, to keys: SignerKeys) throws -> ConnectionInfo {
        ConnectionInfo(
            id: ConnectionID(rawValue: number), peer: keys.identity.id, isOutbound: true,
            remoteAddress: try Multiaddr(text: "/ip4/192.0.2.1/tcp/1"), isLimited: false)
    }

    @Test func `what was given ahead and did not arrive is given again`() async throws {
        let group = try NodeGroup(2)
        var configuration = SigningMachine.Configuration()
        configuration.noncePoolCount = 4
        var machine = self.machine(group.keys[0], configuration)
        machine.add(try await group.record.policy(), name: "group", members: group.keys.map(\.enrolment))
        let context = try #require(machine.pools.keys.first)
        machine.handle(.connected(try self.connection(1, to: group.keys[1])), now: .seconds(1))
        machine.tick(now: .seconds(1))
        #expect(machine.underWay.count == 1 && machine.pooledNonceCount == 4 * NoncePool.width)
        // What stands is not given again and again.
        machine.underWay = [:]
        machine.tick(now: .seconds(62))
        #expect(machine.underWay.isEmpty)
        // It had no time for it, or could not be reached.
        machine.notGiven(context, to: group.keys[1].signer)
        machine.tick(now: .seconds(123))
        #expect(machine.underWay.values.map(\.member) == [group.keys[1].signer])
        // Its process may have started anew.
        machine.handle(.disconnected(try self.connection(1, to: group.keys[1])), now: .seconds(124))
        machine.underWay = [:]
        machine.handle(.connected(try self.connection(2, to: group.keys[1])), now: .seconds(125))
        machine.tick(now: .seconds(125))
        #expect(machine.underWay.count == 1 && machine.pooledNonceCount == 4 * NoncePool.width)
    }

    @Test func `who gives ahead too much at once hears that it was not looked at`() async throws {
        let group = try NodeGroup(2)
        var configuration = SigningMachine.Configuration()
        configuration.noncePoolCount = 4
        var machine = self.machine(group.keys[0], configuration)
        let policy = try await group.record.policy()
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        let context = try #require(machine.pools.keys.first)
        let roster = Roster(members: policy.members, network: .regtest, enrolments: group.keys.map(\.enrolment))
        let message = CoordinationMessage(
            request: context, series: .init(incarnation: [UInt8](repeating: 0, count: 16)), sequence: 0, acknowledged: nil,
            content: .pooledNonces([])
        ).serialized(roster)
        var answers: [CoordinationProtocol.Answer?] = []
        for _ in 0..<9 {
            answers.append(machine.takePooled(message, about: context, from: group.keys[1].enrolment.identity, now: .seconds(1)))
        }
        #expect(answers.dropLast().allSatisfy { $0 == .taken } && answers.last == .blocked)
    }

    @Test func `of groups with the same members the first has a pool, and keeps it`() async throws {
        let group = try NodeGroup(3)
        var configuration = SigningMachine.Configuration()
        configuration.noncePoolCount = 4
        var machine = self.machine(group.keys[0], configuration)
        let first = try await group.record.policy()
        let second = try DelegatedMultisig(internalKey: .unspendable, signers: first.members, threshold: 2)
        for policy in [first, second, first] as [any SpendingPolicy] {
            machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        }
        #expect(machine.pools.values.map(\.group) == [first.digest])
    }

    @Test func `what came while its proposal was being written stands in the transcript`() async throws {
        let group = try NodeGroup(2)
        let policy = try await group.record.policy()
        let other = group.keys[1]
        var machine = self.machine(group.keys[0])
        machine.add(policy, name: "group", members: group.keys.map(\.enrolment))
        let (transaction, coins) = try await group.spend()
        let request = try SigningRequest(
            transaction: transaction, prevouts: coins, policyDigest: policy.digest, proposer: other.signer, expiry: 1_800_000_600,
            id: SHA256.hash([1]))
        let statement = other.propose(request, try #require(RequestTerms(createdAt: 1_800_000_000)))
        let roster = Roster(members: policy.members, network: .regtest, enrolments: group.keys.map(\.enrolment))
        machine.store(
            ArrivingRequest(
                request: request, proposal: statement, bytes: SigningMachine.message(proposing: request, statement, roster),
                group: policy.digest, isOurs: false, bringer: other.enrolment.identity),
            source: nil, now: .zero)
        let approval = other.identity.withSecretKey { identity in
            Statement(
                .approval(serial: 1, NonceName(known: [UInt8](repeating: 1, count: 16), counter: 1), []), request: request.digest,
                attempt: 0, enrolment: other.enrolment, identity: identity)
        }
        let message = CoordinationMessage(
            request: request.digest, series: .init(incarnation: [UInt8](repeating: 1, count: 16)), sequence: 1, acknowledged: nil,
            content: .approval(turn: 1, highest: 0, approval)
        ).serialized(roster)
        let hasRoom = machine.keep(message, from: other.enrolment.identity, about: request.digest, isLive: true)
        #expect(hasRoom)
        var lines: [TranscriptLine] = []
        while let event = machine.nextEvent() {
            guard case .write(let number, let id, let write, _) = event else { continue }
            if case .transcript(let new) = write { lines += new }
            guard case .request(let new) = write else {
                machine.written(number, of: id, .done(), now: .zero)
                continue
            }
            let stored = StoredRequest(
                id: id, source: nil, created: new.created, expiry: new.expiry, updated: new.created, decision: .undecided,
                decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: id))
            machine.written(number, of: id, .done(stored), now: .zero)
        }
        #expect(lines.map(\.kind) == [.received] && lines.map(\.bytes) == [other.enrolment.identity.bytes + message])
    }

    @Test(.timeLimit(.minutes(15)))
    func `what is over for a month goes from the disk while the node runs`() async throws {
        let group = try NodeGroup(2)
        try await group.start(0)
        let (transaction, coins) = try await group.spend()
        let digest = try await group.record.policy().digest
        let id = try await group.node(0).propose(transaction, prevouts: coins, group: digest, seconds: 600)
        _ = try await group.first(of: 0) { event -> Bool? in if case .decided(id, .approved) = event { true } else { nil } }
        try await group.node(0).cancel(id)
        _ = try await group.first(of: 0) { event -> Bool? in if case .decided(id, .cancelled) = event { true } else { nil } }
        let day: UInt64 = 86_400
        for (days, isThere) in [(29 as UInt64, true), (32, false)] {
            try await group.node(0).cleanStore(at: WallClock.secondsSince1970 + days * day)
            // Its end waits for what is being written.
            await group.stopAll()
            try await group.start(0)
            #expect(try await (group.node(0).request(id) != nil) == isThere, "after \(days) days")
        }
        await group.stopAll()
    }

    @Test func `a group that is given again brings no old enrolment back`() throws {
        func key(_ name: UInt8) throws -> SecretKey {
            try SecretKey(parsing: SecretBytes(count: 32) { $0.copyBytes(from: SHA256.hash([name]).bytes) })
        }
        let own = try SignerKeys(key: key(1), identity: PeerIdentity(.generate()), network: .regtest)
        let old = try SignerKeys(key: key(2), identity: PeerIdentity(.generate()), network: .regtest)
        let new = try SignerKeys(key: key(2), identity: PeerIdentity(.generate()), network: .regtest, version: 2)
        let pair = try SignerGroup([own.signer, old.signer].sorted())
        var machine = self.machine(own)
        for members in [[old.enrolment], [new.enrolment], [old.enrolment], []] {
            machine.add(pair, name: "pair", members: members)
        }
        #expect(machine.connectivity.map(\.peer) == [new.identity.id])
    }

    @Test(.timeLimit(.minutes(15)))
    func `connections of members and of mailboxes are kept, after a restart too`() async throws {
        let group = try NodeGroup(2)
        let mailbox = PeerIdentity(try .generate()).id
        let member = group.keys[1].identity.id
        for isKnown in [false, true] {
            let database = try await SessionDatabase.open("\(group.folder.path)/kept.db")
            var configuration = SigningNode.Configuration()
            configuration.node.kad = nil
            configuration.machine.mailboxes.own = [try Multiaddr(text: "/ip4/192.0.2.1/tcp/1/p2p/\(mailbox)")]
            let node = try SigningNode(group.keys[0], database: database, configuration: configuration)
            try await node.start()
            func isKept(_ peer: PeerID) async -> Bool { await node.network.withNode { node, _ in node.swarm.isProtected(peer) } }
            #expect(await isKept(mailbox))
            #expect(await isKept(member) == isKnown)
            _ = try await node.addGroup(group.record, name: "group", members: group.keys.map(\.enrolment))
            #expect(await isKept(member))
            #expect(await !isKept(group.keys[0].identity.id))
            await node.stop()
            await database.close()
        }
    }

    @Test func `what strangers bring about pushes nothing out that happened to requests`() throws {
        var log = EventLog()
        let id = SHA256.hash([1])
        log.append(.requested(id))
        let stranger = PeerIdentity(try .generate()).id
        for _ in 0..<10_000 { log.append(.refused(stranger, .stranger)) }
        log.append(.decided(id, .approved))
        let entries = log.entries(after: 0)
        #expect(entries.map(\.cursor) == entries.map(\.cursor).sorted())
        guard case .missed(let missed) = entries[0].event, case .requested(id) = entries[1].event,
            case .decided(id, .approved) = entries[entries.count - 1].event
        else { throw TestFolderError() }
        #expect(missed == UInt64(10_000 - EventLog.countOfPeersMax) && entries.count == EventLog.countOfPeersMax + 3)
        // Whoever goes on where it was misses what came since, and no more; nothing is missed by who was there.
        #expect(log.entries(after: entries[1].cursor).count == EventLog.countOfPeersMax + 2)
        #expect(log.entries(after: 10_000).count == 2 && log.entries(after: 10_002).isEmpty && log.entries(after: .max).isEmpty)
    }

    @Test(.timeLimit(.minutes(15)))
    func `a request that stands under other bytes is the same request`() async throws {
        let group = try NodeGroup(2)
        try await group.start(0)
        let (transaction, coins) = try await group.spend()
        let policy = try await group.record.policy()
        let id = try await group.node(0).propose(transaction, prevouts: coins, group: policy.digest, seconds: 600)
        _ = try await group.first(of: 0) { event -> Bool? in if case .decided(id, _) = event { true } else { nil } }
        // On the other's disk it stands as somebody else told it.
        let database = try await SessionDatabase.open("\(group.folder.path)/1.db")
        try await database.requests().add(
            NewRequest(id: id, source: "another", proposal: [1, 2, 3], created: 1_000, expiry: UInt64(Int64.max)))
        await database.close()
        try await group.start(1)
        try await group.request(id, at: 1)
        try await group.node(1).approve(id)
        for place in 0..<2 { #expect(try await group.completion(of: id, at: place)?.txid == transaction.txid) }
        await group.stopAll()
    }

    @Test(.timeLimit(.minutes(15)))
    func `a proposal is kept as the same bytes, whoever told it and how often`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let policy = try await group.record.policy()
        let id = try await group.node(0).propose(transaction, prevouts: coins, group: policy.digest, seconds: 600)
        try await group.request(id, at: 1)
        var kept: [[UInt8]?] = []
        for place in 0..<2 { kept.append(try await group.databases[place]?.requests().proposal(of: id)) }
        #expect(kept[0] != nil && kept[0] == kept[1])
        await group.stopAll()
    }

    @Test(.timeLimit(.minutes(15)))
    func `a start that overlaps another shares its end, and one that failed goes on where it was`() async throws {
        let group = try NodeGroup(1)
        let taken = try PosixNode(PeerIdentity(.generate()), configuration: Node.Configuration(agentVersion: "test"))
        let address = try #require(try await taken.listen(on: Multiaddr(text: "/ip4/127.0.0.1/tcp/0")).first)
        let database = try await SessionDatabase.open("\(group.folder.path)/start.db")
        var configuration = SigningNode.Configuration()
        configuration.listenAddresses = [try Multiaddr(text: "/ip4/127.0.0.1/tcp/0"), address]
        configuration.node.kad = nil
        let node = try SigningNode(group.keys[0], database: database, configuration: configuration)
        await #expect(throws: SigningNodeError.self) { try await node.start() }
        await #expect(throws: SigningNodeError.self) { try await node.start() }
        let listening = await node.network.listenAddresses.count
        #expect(listening == 1, "what listens goes on, and is not begun twice")
        await taken.close()
        async let first: Void = node.start()
        async let second: Void = node.start()
        _ = try await (first, second)
        #expect(await node.network.listenAddresses.count == 2)
        #expect(try await node.requests.isEmpty, "it runs")
        await node.stop()
        await #expect(throws: SigningNodeError.self) { try await node.start() }
        await database.close()
    }
}
