import Bitcoin
import CryptoPrimitives
import Foundation
import LibP2P
import Secp256k1
import SessionStore
import Signing
import SigningNode

/// A folder that goes with its test.
final class TestFolder: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("chorale-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        self.path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }
}

struct TestFolderError: Error {}

/// Nodes of one group, each with its own disk, over loopback.
final class NodeGroup {
    let folder: TestFolder
    let keys: [SignerKeys]
    let record: GroupRecord
    var nodes: [SigningNode?]
    var databases: [SessionDatabase?]

    /// Makes the group, and starts all nodes. Each knows the addresses of those before it.
    init(_ count: Int, threshold: Int? = nil) throws {
        self.folder = try TestFolder()
        self.keys = try (0..<count).map { _ in
            try SignerKeys(key: .generate(), identity: PeerIdentity(try .generate()), network: .regtest)
        }
        let signers = self.keys.map(\.signer).sorted()
        self.record =
            if let threshold { .delegated(PolicyRecord(internalKey: .unspendable, signers: signers, threshold: threshold)) } else {
                .everyone(signers)
            }
        self.nodes = Array(repeating: nil, count: count)
        self.databases = Array(repeating: nil, count: count)
    }

    func start(_ place: Int) async throws {
        let database = try await SessionDatabase.open("\(self.folder.path)/\(place).db")
        var configuration = SigningNode.Configuration()
        configuration.listenAddresses = [try Multiaddr(text: "/ip4/127.0.0.1/tcp/0")]
        // A small network needs no hash table.
        configuration.node.kad = nil
        let node = try SigningNode(self.keys[place], database: database, configuration: configuration)
        try await node.start()
        _ = try await node.addGroup(self.record, name: "group", members: self.keys.map(\.enrolment))
        self.databases[place] = database
        self.nodes[place] = node
        for (other, known) in self.nodes.enumerated() where other != place {
            guard let known else { continue }
            await node.learn(await known.addresses, of: known.id)
            await known.learn(await node.addresses, of: node.id)
        }
    }

    func stop(_ place: Int) async {
        await self.nodes[place]?.stop()
        await self.databases[place]?.close()
        self.nodes[place] = nil
        self.databases[place] = nil
    }

    func stopAll() async { for place in self.nodes.indices { await self.stop(place) } }

    func node(_ place: Int) throws -> SigningNode {
        guard let node = self.nodes[place] else { throw TestFolderError() }
        return node
    }

    /// A transaction that spends coins of the group back to it.
    func spend(inputs: Int = 1) async throws -> (transaction: Transaction, coins: [TransactionOutput]) {
        let script = try await self.record.policy().scriptPubKey
        let coins = (0..<inputs).map { TransactionOutput(amount: 100_000 + UInt64($0), scriptPubKey: script) }
        let salt = SystemRandom.bytes(count: 8)
        let transaction = Transaction(
            inputs: (0..<inputs).map {
                TransactionInput(
                    previousOutput: OutPoint(txid: Txid(SHA256.hash(salt)), index: UInt32($0)), sequence: 0xffff_fffd)
            }, outputs: [TransactionOutput(amount: 90_000, scriptPubKey: script)])
        return (transaction, coins)
    }

    /// Waits for a node's event. Events that came before are among those that are looked at.
    func first<Value: Sendable>(
        of place: Int, _ find: @escaping @Sendable (SigningNodeEvent) -> Value?
    ) async throws -> Value? {
        for await (_, event) in try await self.node(place).events() {
            if let value = find(event) { return value }
        }
        return nil
    }

    /// Waits until a node holds the request complete.
    func completion(of id: Bytes32, at place: Int) async throws -> Transaction? {
        try await self.first(of: place) { event in
            if case .request(id, .complete(let transaction, _)) = event { transaction } else { nil }
        }
    }

    /// Waits until a node was asked to decide on the request.
    func request(_ id: Bytes32, at place: Int) async throws {
        _ = try await self.first(of: place) { event -> Bool? in if case .requested(id) = event { true } else { nil } }
    }
}
