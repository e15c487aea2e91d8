import Bitcoin
import CryptoPrimitives
import Foundation
import LibP2P
import LibP2PPosix
import Secp256k1
import SessionStore
import Signing
import SigningNode
import Testing

/// A node on loopback that invites and joins, with its own disk.
private final class Member {
    let folder: TestFolder
    let keys: SignerKeys
    private(set) var node: SigningNode
    private(set) var host: GroupHost
    private var database: SessionDatabase
    private let port: Multiaddr

    init(listening: String = "/ip4/127.0.0.1/tcp/0") async throws {
        self.folder = try TestFolder()
        try FileManager.default.createDirectory(atPath: "\(self.folder.path)/groups", withIntermediateDirectories: false)
        self.keys = try SignerKeys(key: .generate(), identity: PeerIdentity(try .generate()), network: .regtest)
        (self.node, self.host, self.database) = try await Self.start(self.keys, self.folder, try Multiaddr(text: listening))
        // After a restart it is found where it was.
        self.port = try #require(await self.node.network.listenAddresses.first)
    }

    private static func start(
        _ keys: SignerKeys, _ folder: TestFolder, _ address: Multiaddr
    ) async throws -> (SigningNode, GroupHost, SessionDatabase) {
        let database = try await SessionDatabase.open("\(folder.path)/node.db")
        var configuration = SigningNode.Configuration()
        configuration.listenAddresses = [address]
        configuration.node.kad = nil
        let node = try SigningNode(keys, database: database, configuration: configuration)
        try await node.start()
        let host = GroupHost(node, folder: "\(folder.path)/groups")
        #expect(try await host.start().isEmpty)
        return (node, host, database)
    }

    func stop() async {
        await self.host.stop()
        await self.node.stop()
        await self.database.close()
    }

    func restart() async throws {
        await self.stop()
        (self.node, self.host, self.database) = try await Self.start(self.keys, self.folder, self.port)
    }

    var files: [String] {
        get throws { try FileManager.default.contentsOfDirectory(atPath: "\(self.folder.path)/groups").sorted() }
    }
}

@Suite struct GroupHostTests {
    private func digest(_ progress: AsyncStream<GroupHost.Progress>) async -> Bytes32? {
        for await step in progress { if case .made(let digest) = step { return digest } }
        return nil
    }

    @Test(.timeLimit(.minutes(15)))
    func `members that were invited have one group, through restarts of all of them, and sign in it`() async throws {
        let (ada, bob, cleo) = try await (Member(), Member(), Member())
        let gathering = try await ada.host.invite(
            to: "family", memberCount: 3, shape: .delegated(threshold: 2, .unspendable), seconds: 3_600)
        #expect(gathering.invitations.count == 2 && gathering.invitations.allSatisfy { !$0.addresses.isEmpty })
        let texts = gathering.invitations.map(\.text)

        // Bob joins, and both end before Cleo comes.
        for await step in try await bob.host.join(GroupInvitation(text: texts[0]), name: "the family") {
            if step == .asking(joined: 2, of: 3) { break }
        }
        #expect(await bob.host.joinings.map(\.name) == ["the family"])
        try await ada.restart()
        try await bob.restart()
        #expect(await ada.host.gatherings.first?.joined.count == 2)

        let joined = try await cleo.host.join(GroupInvitation(text: texts[1]), name: "family")
        let digest = try #require(await self.digest(joined))
        for (member, name) in [(ada, "family"), (bob, "the family"), (cleo, "family")] {
            while try await member.node.group(named: name) == nil { try await Task.sleep(for: .milliseconds(20)) }
            let group = try #require(try await member.node.group(named: name))
            #expect(group.policyDigest == digest && group.members.count == 3)
        }
        // What is made cannot be called off any more, and stays.
        await #expect {
            try await ada.host.cancel("family")
        } throws: { error in
            if case .made("family")? = error as? GroupHostError { true } else { false }
        }
        while await !bob.host.joinings.isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        // What is left of joining is where the others are.
        #expect(try bob.files.count == 1 && bob.files.allSatisfy { $0.hasSuffix(".members") })

        // Bob knows Cleo by the group alone, also in his next life.
        try await bob.restart()
        let policy = try #require(try await bob.node.policy(of: digest))
        let coin = TransactionOutput(amount: 10_000, scriptPubKey: policy.scriptPubKey)
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0))
        let transaction = Transaction(inputs: [spent], outputs: [TransactionOutput(amount: 9_000, scriptPubKey: policy.scriptPubKey)])
        await ada.stop()
        let id = try await bob.node.propose(transaction, prevouts: [coin], group: digest, seconds: 600)
        for await (_, event) in await cleo.node.events() {
            if case .requested(id) = event { break }
        }
        try await cleo.node.approve(id)
        for await (_, event) in await bob.node.events() {
            if case .request(id, .complete) = event { break }
        }
        for member in [bob, cleo] { await member.stop() }
    }

    @Test(.timeLimit(.minutes(15)))
    func `what cannot be is refused, and what is taken back is gone`() async throws {
        let (ada, bob, eve) = try await (Member(), Member(), Member())
        let gathering = try await ada.host.invite(to: "pair", memberCount: 3, shape: .everyone, seconds: 3_600)
        let invitation = gathering.invitations[0]
        await #expect(throws: GroupHostError.self) { try await ada.host.join(invitation, name: "own") }
        await #expect(throws: GroupHostError.self) {
            try await ada.host.invite(to: "pair", memberCount: 2, shape: .everyone, seconds: 3_600)
        }
        await #expect(throws: GroupHostError.self) {
            try await ada.host.invite(to: "", memberCount: 2, shape: .everyone, seconds: 3_600)
        }
        for await step in try await bob.host.join(invitation, name: "pair") {
            if step == .asking(joined: 2, of: 3) { break }
        }
        // Once more is the same; under another name it is not.
        _ = try await bob.host.join(invitation, name: "pair")
        await #expect(throws: GroupHostError.self) { try await bob.host.join(invitation, name: "other") }
        // Eve read Bob's invitation.
        var last: GroupHost.Progress?
        for await step in try await eve.host.join(invitation, name: "pair") { last = step }
        #expect(last == .refused(.used))
        #expect(try eve.files.isEmpty)

        try await bob.host.cancel("pair")
        #expect(try bob.files.isEmpty)
        await #expect(throws: GroupHostError.self) { try await bob.host.cancel("pair") }
        try await ada.host.cancel("pair")
        #expect(try ada.files.isEmpty)
        for await step in try await bob.host.join(invitation, name: "pair") { last = step }
        #expect(last == .refused(.unknown))
        for member in [ada, bob, eve] { await member.stop() }
    }

    @Test(.timeLimit(.minutes(15)))
    func `an inviter that is away is asked again until it is there`() async throws {
        let (ada, bob) = try await (Member(), Member())
        let gathering = try await ada.host.invite(to: "pair", memberCount: 2, shape: .everyone, seconds: 3_600)
        await ada.stop()
        let progress = try await bob.host.join(gathering.invitations[0], name: "pair")
        for await step in progress {
            if case .trouble = step { break }
        }
        try await ada.restart()
        let again = try await bob.host.join(gathering.invitations[0], name: "pair")
        #expect(await self.digest(again) != nil)
        for member in [ada, bob] { await member.stop() }
    }

    @Test(.timeLimit(.minutes(15)))
    func `a file that is damaged is named, and the others go on`() async throws {
        let ada = try await Member()
        _ = try await ada.host.invite(to: "pair", memberCount: 2, shape: .everyone, seconds: 3_600)
        await ada.host.stop()
        let names = ["1.gathering", "2.joining", "3.members", "4.letter"]
        for name in names { try Data([1, 2, 3]).write(to: URL(fileURLWithPath: "\(ada.folder.path)/groups/\(name)")) }
        let again = GroupHost(ada.node, folder: "\(ada.folder.path)/groups")
        let damaged = try await again.start()
        #expect(damaged.map { $0.path.split(separator: "/").last.map(String.init) } == ["1.gathering", "2.joining", "3.members"])
        #expect(await again.gatherings.map(\.terms.name) == ["pair"])
        await again.stop()
        await ada.stop()
    }

    @Test(.timeLimit(.minutes(15)))
    func `strangers' bytes are answered with a refusal, and nobody joins by them`() async throws {
        let (ada, eve) = try await (Member(), Member())
        _ = try await ada.host.invite(to: "pair", memberCount: 2, shape: .everyone, seconds: 3_600)
        let address = try #require(await ada.node.network.listenAddresses.first)
        _ = try await eve.node.network.dial(ada.node.id, at: [address])
        for bytes in [[], [1], [UInt8](repeating: 0xff, count: 900), [UInt8](repeating: 0, count: 288)] as [[UInt8]] {
            let stream = try await eve.node.network.openStream(to: ada.node.id, [GroupProtocol.id])
            try await stream.write(FrameReader.frame(bytes))
            await stream.closeWrite()
            let answer = try await stream.readToEnd(upTo: 100)
            // A length, a version, that it is refused, and why.
            #expect(Array(answer.prefix(3)) == [3, 1, 2])
        }
        // Longer than any join: the stream is reset.
        let stream = try await eve.node.network.openStream(to: ada.node.id, [GroupProtocol.id])
        try? await stream.write(FrameReader.frame([UInt8](repeating: 1, count: 100_000)))
        await #expect(throws: NodeStreamError.self) { try await stream.readToEnd(upTo: 100) }
        #expect(await ada.host.gatherings.first?.joined.count == 1)
        for member in [ada, eve] { await member.stop() }
    }
}
