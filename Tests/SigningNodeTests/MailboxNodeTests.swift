import Bitcoin
import CryptoPrimitives
import LibP2P
import SessionStore
import Signing
import SigningNode
import Testing

/// Real nodes that do not reach each other, and a third one between them.
@Suite(.timeLimit(.minutes(5))) struct MailboxNodeTests {
    /// Two members without addresses, and a node of no group.
    private final class Scene {
        let folder: TestFolder
        let keys: [SignerKeys]
        let record: GroupRecord
        var nodes: [(node: SigningNode, database: SessionDatabase)?] = [nil, nil, nil]
        private var hasGroup = [false, false]
        /// The third one's, from its first start on.
        private var address: Multiaddr?

        init() throws {
            self.folder = try TestFolder()
            self.keys = try (0..<3).map { _ in
                try SignerKeys(key: .generate(), identity: PeerIdentity(try .generate()), network: .regtest)
            }
            self.record = .everyone(self.keys[..<2].map(\.signer).sorted())
        }

        private func open(_ place: Int, _ configuration: SigningNode.Configuration) async throws -> SigningNode {
            var configuration = configuration
            configuration.node.kad = nil
            let database = try await SessionDatabase.open("\(self.folder.path)/\(place).db")
            if place == 2 {
                for member in self.keys[..<2] where try await database.contacts.contact(member.signer) == nil {
                    try await database.contacts.put(Contact(signer: member.signer, label: "\(member.signer)".suffix(8) + ""))
                    try await database.contacts.learn(member.enrolment)
                }
            }
            let node = try SigningNode(self.keys[place], database: database, configuration: configuration)
            try await node.start()
            self.nodes[place] = (node, database)
            return node
        }

        /// Starts the third node, at the same address every time.
        func startThird(_ configure: (inout SigningNode.Configuration) -> Void) async throws -> Multiaddr {
            var configuration = SigningNode.Configuration()
            configuration.listenAddresses = [try self.address?.withoutPeerID ?? Multiaddr(text: "/ip4/127.0.0.1/tcp/0")]
            configure(&configuration)
            let node = try await self.open(2, configuration)
            let address = try #require(await node.addresses.first)
            self.address = address
            return address
        }

        func start(_ place: Int, _ configure: (inout SigningNode.Configuration) -> Void) async throws -> SigningNode {
            if !self.hasGroup[place] {
                // In a life without mailboxes: what lies in one comes from a stranger until the group is known, and is dropped.
                let node = try await self.open(place, SigningNode.Configuration())
                _ = try await node.addGroup(self.record, name: "pair", members: self.keys[..<2].map(\.enrolment))
                await self.stop(place)
                self.hasGroup[place] = true
            }
            var configuration = SigningNode.Configuration()
            configure(&configuration)
            return try await self.open(place, configuration)
        }

        func stop(_ place: Int) async {
            await self.nodes[place]?.node.stop()
            await self.nodes[place]?.database.close()
            self.nodes[place] = nil
        }

        func spend() async throws -> (Transaction, [TransactionOutput]) {
            let script = try await self.record.policy().scriptPubKey
            let input = TransactionInput(
                previousOutput: OutPoint(txid: Txid(SHA256.hash(SystemRandom.bytes(count: 8))), index: 0), sequence: 0xffff_fffd)
            return (
                Transaction(inputs: [input], outputs: [TransactionOutput(amount: 90_000, scriptPubKey: script)]),
                [TransactionOutput(amount: 100_000, scriptPubKey: script)]
            )
        }
    }

    private static func first<Value>(of node: SigningNode, _ find: (SigningNodeEvent) -> Value?) async -> Value? {
        for await (_, event) in await node.events() { if let value = find(event) { return value } }
        return nil
    }

    private static func isAsked(_ node: SigningNode, about id: Bytes32) async {
        _ = await Self.first(of: node) { event -> Bool? in if case .requested(id) = event { true } else { nil } }
    }

    private static func completion(of id: Bytes32, at node: SigningNode) async -> Txid? {
        await Self.first(of: node) { event in if case .request(id, .complete(let transaction, _)) = event { transaction.txid } else { nil }
        }
    }

    /// One asks, the other agrees, and both have the transaction.
    private static func sign(_ scene: Scene, _ one: SigningNode, _ other: SigningNode) async throws {
        let (transaction, coins) = try await scene.spend()
        let digest = try await scene.record.policy().digest
        let id = try await one.propose(transaction, prevouts: coins, group: digest, seconds: 3_600)
        await Self.isAsked(other, about: id)
        try await other.approve(id)
        #expect(await Self.completion(of: id, at: one) == transaction.txid)
        #expect(await Self.completion(of: id, at: other) == transaction.txid)
    }

    @Test func `two members that only know a node between them sign by way of its mailbox`() async throws {
        let scene = try Scene()
        let mailbox = try await scene.startThird { $0.machine.mailboxes.serves = true }
        let one = try await scene.start(0) { $0.machine.mailboxes.own = [mailbox] }
        let other = try await scene.start(1) { $0.machine.mailboxes.own = [mailbox] }
        // What each has of the other is its contact's word.
        await one.learn(await other.contactAddresses, of: other.id)
        await other.learn(await one.contactAddresses, of: one.id)
        try await Self.sign(scene, one, other)
        for node in [one, other] { #expect(try await node.connectivity.allSatisfy { $0.connectedSince == nil }) }
        #expect(await one.mailboxes.map(\.peer) == [try #require(mailbox.peerID)])
        for place in 0..<3 { await scene.stop(place) }
    }

    @Test func `what lies in a mailbox outlives its node, and a proposal whose proposer has gone is signed when both are back`()
        async throws
    {
        let scene = try Scene()
        let mailbox = try await scene.startThird { $0.machine.mailboxes.serves = true }
        let one = try await scene.start(0) { $0.machine.mailboxes.own = [mailbox] }
        await one.learn([mailbox], of: scene.keys[1].identity.id)
        let (transaction, coins) = try await scene.spend()
        let digest = try await scene.record.policy().digest
        let id = try await one.propose(transaction, prevouts: coins, group: digest, seconds: 3_600)
        // It is in the mailbox once the mailbox's own disk has it.
        let store = try #require(scene.nodes[2]).database.mailbox()
        let recipient = scene.keys[1].enrolment.identity
        while try await store.messages(for: recipient, after: 0, countMax: 1, byteCountMax: 1, at: 0).isEmpty {
            try await Task.sleep(for: .milliseconds(10))
        }
        await scene.stop(0)
        await scene.stop(2)
        #expect(try await scene.startThird { $0.machine.mailboxes.serves = true } == mailbox)
        let other = try await scene.start(1) { $0.machine.mailboxes.own = [mailbox] }
        await other.learn([mailbox], of: scene.keys[0].identity.id)
        await Self.isAsked(other, about: id)
        try await other.approve(id)
        let back = try await scene.start(0) { $0.machine.mailboxes.own = [mailbox] }
        await back.learn([mailbox], of: other.id)
        #expect(await Self.completion(of: id, at: back) == transaction.txid)
        #expect(await Self.completion(of: id, at: other) == transaction.txid)
        for place in 0..<3 { await scene.stop(place) }
    }

    @Test func `who can only be reached through a relay is asked, and signs`() async throws {
        let scene = try Scene()
        let relay = try await scene.startThird { $0.node.relayServer = RelayServer.Configuration() }
        let one = try await scene.start(0) { $0.bootstrap = [relay] }
        let other = try await scene.start(1) { $0.relays = [relay] }
        // Listening first, looking then: whichever comes first is seen.
        let events = await other.network.events()
        if await other.network.reservations.isEmpty { for await event in events { if case .relayClient(.reserved) = event { break } } }
        let addresses = await other.contactAddresses
        #expect(!addresses.isEmpty && addresses.allSatisfy(\.isRelayed))
        await one.learn(addresses, of: other.id)
        try await Self.sign(scene, one, other)
        for place in 0..<3 { await scene.stop(place) }
    }
}
