import Bitcoin
import CryptoPrimitives
import LibP2P
import LibP2PPosix
import Secp256k1
import SessionStore
import Signing
import Testing

@testable import SigningNode

/// Real nodes on loopback that find each other by what they announce and advertise.
@Suite struct DiscoveryNodeTests {
    /// A node that takes part in discovery, and knows the peers that it is given.
    private final class Finder: Sendable {
        let node: SigningNode
        private let database: SessionDatabase
        private let folder: TestFolder

        init(
            _ keys: SignerKeys, knowing others: [Finder] = [], kad: KadDHT.Configuration? = KadDHT.Configuration(), isOn: Bool = true
        ) async throws {
            self.folder = try TestFolder()
            self.database = try await SessionDatabase.open("\(self.folder.path)/node.db")
            var configuration = SigningNode.Configuration()
            configuration.listenAddresses = [try Multiaddr(text: "/ip4/127.0.0.1/tcp/0")]
            configuration.node.kad = kad
            configuration.discovery.isOn = isOn
            self.node = try SigningNode(keys, database: self.database, configuration: configuration)
            try await self.node.start()
            for other in others { try await self.meet(other) }
        }

        static func keys() throws -> SignerKeys {
            try SignerKeys(key: .generate(), identity: PeerIdentity(try .generate()), network: .regtest)
        }

        /// Dials another one, learns what it serves, and waits until each knows that the other listens to both topics.
        func meet(_ other: Finder) async throws {
            _ = try await self.node.network.dial(other.node.id, at: await other.node.addresses)
            _ = try? await self.node.network.addContact(other.node.id)
            _ = try? await other.node.network.addContact(self.node.id)
            guard await self.node.discovery != nil, await other.node.discovery != nil else { return }
            for topic in [DiscoveryNames.announcementTopic(.regtest), DiscoveryNames.signerTopic(.regtest)] {
                await self.node.network.hears(of: other.node.id, in: topic)
                await other.node.network.hears(of: self.node.id, in: topic)
            }
        }

        func stop() async {
            await self.node.stop()
            await self.database.close()
        }

        /// Waits for an event; those that came before are among them.
        func first<Value: Sendable>(_ find: @escaping @Sendable (SigningNodeEvent) -> Value?) async throws -> Value {
            for await (_, event) in await self.node.events() { if let value = find(event) { return value } }
            throw TestFolderError()
        }
    }

    private static func nickname(_ event: SigningNodeEvent) -> String? {
        if case .signerDiscovered(let advertisement) = event { advertisement.offer?.nickname } else { nil }
    }

    @Test(.timeLimit(.minutes(4)))
    func `a signer advertises at one node, is found at another through a third, and is found no more when it withdraws`() async throws {
        // No hash table: gossip alone carries it, past a node that has nothing to do with either.
        let middle = try await Finder(Finder.keys(), kad: nil)
        let ada = try await Finder(Finder.keys(), knowing: [middle], kad: nil)
        let bob = try await Finder(Finder.keys(), knowing: [middle], kad: nil)
        let told = try await ada.node.advertise(Found.offer(nickname: "Ada"))
        #expect(told.peerCount == 1 && told.holderCount == 0)
        #expect(try await bob.first(Self.nickname) == "Ada")
        let found = try await bob.node.findSigners(matching: SignerQuery(kinds: .custody, amount: 5_000), asksTable: false)
        #expect(found.map(\.signers) == [[ada.node.signer]])
        #expect(try await bob.node.findSigners(matching: SignerQuery(kinds: .swap), asksTable: false).isEmpty)
        #expect(await bob.node.network.connections(to: ada.node.id).isEmpty, "they have never met")
        #expect(await ada.node.advertisement == told.advertisement)
        // A second word so soon would not be heard, and a withdrawal is.
        await #expect(throws: SigningNodeError.self) { try await ada.node.advertise(Found.offer(nickname: "Adam")) }
        _ = try await ada.node.withdrawAdvertisement()
        let withdrawn = try await bob.first { event -> [PublicKey]? in
            if case .signerWithdrawn(let word) = event { word.signers } else { nil }
        }
        #expect(withdrawn == [ada.node.signer])
        #expect(try await bob.node.findSigners(asksTable: false).isEmpty)
        #expect(await ada.node.advertisement == nil)
        for finder in [ada, bob, middle] { await finder.stop() }
    }

    @Test(.timeLimit(.minutes(4)))
    func `a signer that advertised before somebody came is found in the hash table, by its key and by what it offers`() async throws {
        let holders = [try await Finder(Finder.keys()), try await Finder(Finder.keys(), isOn: false)]
        try await holders[1].meet(holders[0])
        let ada = try await Finder(Finder.keys(), knowing: holders)
        let told = try await ada.node.advertise(Found.offer(nickname: "Ada"))
        #expect(told.holderCount >= 2, "nodes that do not take part in discovery keep it, too")
        let bob = try await Finder(Finder.keys(), knowing: holders)
        #expect(try await bob.node.findSigners(asksTable: false).isEmpty, "gossip keeps nothing for those who come later")
        let byKey = try await bob.node.findSigners(matching: SignerQuery(signer: ada.node.signer))
        #expect(byKey == [told.advertisement])
        let cleo = try await Finder(Finder.keys(), knowing: holders)
        #expect(try await cleo.node.findSigners(matching: SignerQuery(kinds: .spend)) == [told.advertisement])
        #expect(try await cleo.node.findSigners(matching: SignerQuery(signer: bob.node.signer)).isEmpty)
        // The table learns of the withdrawal, whoever asks.
        _ = try await ada.node.withdrawAdvertisement()
        let dora = try await Finder(Finder.keys(), knowing: holders)
        #expect(try await dora.node.findSigners(matching: SignerQuery(signer: ada.node.signer)).isEmpty)
        for finder in [ada, bob, cleo, dora] + holders { await finder.stop() }
    }

    @Test(.timeLimit(.minutes(4)))
    func `a hash table that is poisoned gives no signer that did not sign, and no older word`() async throws {
        let holder = try await Finder(Finder.keys())
        let ada = try await Finder(Finder.keys(), knowing: [holder])
        let eve = try await Finder(Finder.keys(), knowing: [holder])
        let told = try await ada.node.advertise(Found.offer(nickname: "Ada")).advertisement
        let key = DiscoveryNames.key(of: ada.node.signer, on: .regtest)
        // Eve's own advertisement, Ada's with a byte changed, an old one of Ada's, and noise: under Ada's key.
        let poison: [[UInt8]] = try [
            eve.node.keys.identity.withSecretKey {
                try SignerAdvertisement(
                    Found.offer(), of: [eve.node.enrolment], identity: $0, sequence: WallClock.millisecondsSince1970)
            }.serialized(),
            Array(told.serialized().dropLast()) + told.serialized().suffix(1).map { $0 ^ 1 },
            ada.node.keys.identity.withSecretKey {
                try SignerAdvertisement(Found.offer(), of: [ada.node.enrolment], identity: $0, sequence: told.sequence - 10_000)
            }.serialized(),
            SystemRandom.bytes(count: 500),
        ]
        for value in poison {
            // Eve's own node refuses to say it, and one that does not mind is refused by the others.
            await #expect(throws: NodeError.self) { try await eve.node.network.putValue(value, under: key) }
            try await Self.putByHand(value, under: key, at: holder.node, by: eve.node)
            #expect(await holder.node.network.storedValue(of: key) == told.serialized())
        }
        let bob = try await Finder(Finder.keys(), knowing: [holder])
        #expect(try await bob.node.findSigners(matching: SignerQuery(signer: ada.node.signer)) == [told])
        for finder in [ada, bob, eve, holder] { await finder.stop() }
    }

    /// Sends PUT_VALUE as a peer would that checks nothing, and waits until it was looked at.
    private static func putByHand(_ value: [UInt8], under key: [UInt8], at target: SigningNode, by sender: SigningNode) async throws {
        // Protobuf by hand: type 0 (PUT_VALUE), key, and a record of key and value (kad-dht, "RPC messages").
        func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2] + Varint.encode(UInt64(bytes.count)) + bytes }
        let record = field(1, key) + field(2, value)
        let message = [0x08, 0x00] + field(2, key) + field(3, record)
        let stream = try await sender.network.openStream(to: target.id, ["/ipfs/kad/1.0.0"])
        try await stream.write(FrameReader.frame(message))
        await stream.closeWrite()
        while let chunk = try? await stream.read() { _ = chunk }
    }

    @Test(.timeLimit(.minutes(4)))
    func `members that do not know each other's address find each other by a sealed announcement, and sign`() async throws {
        let keys = try (0..<2).map { _ in try Finder.keys() }
        let record = GroupRecord.everyone(keys.map(\.signer).sorted())
        let middle = try await Finder(Finder.keys(), kad: nil)
        let ada = try await Finder(keys[0], knowing: [middle], kad: nil)
        let bob = try await Finder(keys[1], knowing: [middle], kad: nil)
        var group: Bytes32?
        for finder in [ada, bob] { group = try await finder.node.addGroup(record, name: "pair", members: keys.map(\.enrolment)) }
        let script = try await record.policy().scriptPubKey
        let coins = [TransactionOutput(amount: 100_000, scriptPubKey: script)]
        let transaction = Transaction(
            inputs: [TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0), sequence: 0xffff_fffd)],
            outputs: [TransactionOutput(amount: 90_000, scriptPubKey: script)])
        let id = try await ada.node.propose(transaction, prevouts: coins, group: try #require(group), seconds: 600)
        let announced = try await bob.first { event -> (Bytes32, PublicKey)? in
            if case .announced(let request, let signer) = event { (request, signer) } else { nil }
        }
        #expect(announced.0 == id && announced.1 == ada.node.signer)
        _ = try await bob.first { event -> Bool? in if case .requested(id) = event { true } else { nil } }
        try await bob.node.approve(id)
        for finder in [ada, bob] {
            _ = try await finder.first { event -> Bool? in if case .request(id, .complete) = event { true } else { nil } }
        }
        // Who passed it on was told nothing.
        #expect(await middle.node.log.cursor == 0)
        for finder in [ada, bob, middle] { await finder.stop() }
    }

    @Test(.timeLimit(.minutes(4)))
    func `forged, stale and foreign words in gossip cost whoever brings them, and nobody whom they name`() async throws {
        let target = try await Finder(Finder.keys(), kad: nil)
        let eve = try await Finder(Finder.keys(), knowing: [target], kad: nil)
        let ada = try await Finder(Finder.keys(), knowing: [target], kad: nil)
        let topic = DiscoveryNames.signerTopic(.regtest)
        let honest = try ada.node.keys.identity.withSecretKey {
            try SignerAdvertisement(
                Found.offer(nickname: "before"), of: [ada.node.enrolment], identity: $0, sequence: WallClock.millisecondsSince1970 - 60_000)
        }
        var forged = honest.serialized()
        forged[forged.count - 1] ^= 1
        let refusals = await target.node.network.events()
        // Ten forgeries of Ada's word, published by Eve, and Ada's own word published by Eve.
        for number in 0..<10 { _ = try await eve.node.network.publish(forged + [UInt8(number)], to: topic) }
        _ = try await eve.node.network.publish(honest.serialized(), to: topic)
        for await event in refusals {
            if case .gossipsub(.refused(let peer, .rejected)) = event {
                #expect(peer == eve.node.id)
                break
            }
        }
        let scores = await (target.node.network.score(of: eve.node.id), target.node.network.score(of: ada.node.id))
        #expect(scores.0 < 0 && scores.1 >= 0)
        _ = try await ada.node.advertise(Found.offer(nickname: "Ada"))
        #expect(try await target.first(Self.nickname) == "Ada")
        for finder in [ada, eve, target] { await finder.stop() }
    }

    @Test(.timeLimit(.minutes(2)))
    func `what strangers look for is announced to everybody, and who takes no part neither hears nor says anything`() async throws {
        let target = try await Finder(Finder.keys(), kad: nil)
        let ada = try await Finder(Finder.keys(), knowing: [target], kad: nil)
        #expect(try await ada.node.announce(Found.content()) == 1)
        let wanted = try await target.first { event -> PublicAnnouncement? in if case .signersWanted(let word) = event { word } else { nil }
        }
        #expect(wanted.content == Found.content() && wanted.enrolment == ada.node.enrolment)
        let silent = try await Finder(Finder.keys(), knowing: [target], kad: nil, isOn: false)
        #expect(await silent.node.network.topics.isEmpty)
        await #expect(throws: SigningNodeError.self) { try await silent.node.advertise(Found.offer()) }
        await #expect(throws: SigningNodeError.self) { try await silent.node.findSigners() }
        await #expect(throws: SigningNodeError.self) { try await silent.node.announce(Found.content()) }
        for finder in [ada, silent, target] { await finder.stop() }
    }
}

extension PosixNode {
    /// Waits until a peer is known to listen to a topic.
    fileprivate func hears(of peer: PeerID, in topic: String) async {
        let events = self.events()
        guard !self.peers(of: topic).contains(peer) else { return }
        for await event in events { if case .gossipsub(.subscribed(peer, topic: topic)) = event { return } }
    }

    /// What the hash table keeps here under a key.
    fileprivate func storedValue(of key: [UInt8]) -> [UInt8]? {
        self.withNode { node, now -> [UInt8]? in
            guard let kad = node.kad else { return nil }
            return node.swarm.read(kad) { $0.storedValue(of: key, now: now) }
        }
    }

    /// What gossipsub holds of a peer.
    fileprivate func score(of peer: PeerID) -> Double {
        self.withNode { node, now -> Double in
            guard let gossipsub = node.gossipsub else { return 0 }
            return node.swarm.read(gossipsub) { $0.score(of: peer, now: now) }
        }
    }
}
