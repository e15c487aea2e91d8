import CryptoPrimitives
import Foundation
import LibP2P
import SessionStore
import Signing
import SigningNode
import SigningTestSupport
import Testing

/// The identity of a name, always the same.
func deviceKey(of name: String) throws -> Ed25519.SecretKey {
    let seed = Sample.digest("identity \(name)")
    return try Ed25519.SecretKey(seed: SecretBytes(count: 32) { target in seed.withUnsafeBytes { target.copyMemory(from: $0) } })
}

func identity(of name: String) throws -> Ed25519.PublicKey { try deviceKey(of: name).publicKey }

func peer(_ name: String) throws -> PeerID { try PeerID(of: identity(of: name)) }

/// What one name leaves for another, sealed.
func sealed(_ payload: [UInt8], from sender: String, to recipient: String) throws -> [UInt8] {
    try SealedMessage.seal(payload, from: deviceKey(of: sender), to: identity(of: recipient), ephemeral: .generate())
}

func moment(_ seconds: Int64) -> Moment { Moment(uptime: .seconds(seconds), time: 1_000_000 + UInt64(seconds)) }

/// When what is left in these tests is over: after 30 days.
let expiry: UInt64 = 1_000_000 + 30 * 86_400

/// A mailbox as a node has it: who is served, and a database of its own.
final class MailboxNode {
    var server: MailboxServer
    let database: SessionDatabase
    let store: SQLiteMailboxStore
    private let folder: String

    init(limits: MailboxServer.Limits = .init(), bounds: MailboxBounds = MailboxBounds(), for names: [String]) async throws {
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent("chorale-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
        self.database = try await SessionDatabase.open("\(self.folder)/database")
        self.store = self.database.mailbox(within: bounds)
        self.server = MailboxServer(limits: limits, bounds: bounds)
        self.server.setRecipients(try names.map { try identity(of: $0) })
    }

    deinit { try? FileManager.default.removeItem(atPath: self.folder) }

    /// The answer to a peer's request.
    func ask(_ bytes: [UInt8], by peer: PeerID, household: [UInt8] = [1, 2, 3, 4], now: Moment) async -> [UInt8] {
        switch self.server.receive(bytes, from: peer, household: household, now: now) {
        case .answer(let answer): return answer
        case .job(let job): return self.server.answer(job, with: await job.carryOut(in: self.store, at: now.time), now: now)
        }
    }

    func ask(_ request: MailboxRequest, by name: String, household: [UInt8] = [1, 2, 3, 4], now: Moment) async throws -> MailboxAnswer {
        try await MailboxAnswer(parsing: self.ask(request.serialized(), by: peer(name), household: household, now: now))
    }
}

/// A member: its client, and what came.
final class MailboxMember {
    let name: String
    private let key: Ed25519.SecretKey
    var client: MailboxClient
    private(set) var received: [(sender: Ed25519.PublicKey, payload: [UInt8])] = []
    private(set) var receipts: [MailboxReceipt] = []

    init(_ name: String, limits: MailboxClient.Limits = .init(), knowing others: [String], mailbox: String = "mailbox") throws {
        self.name = name
        self.key = try deviceKey(of: name)
        self.client = MailboxClient(limits: limits)
        try self.client.setOwnMailboxes([peer(mailbox)], now: moment(0))
        try self.client.setMembers(others.map { try (identity(of: $0), [peer(mailbox)]) }, now: moment(0))
    }

    /// Does all there is to do now, with a mailbox to ask; gives how often it was asked.
    @discardableResult func run(
        now: Moment, isSafe: Bool = true, asking: (MailboxClient.AskID, PeerID, [UInt8]) async throws -> [UInt8]?
    ) async throws -> Int {
        var count = 0
        while count < 1_000 {
            let actions = self.client.step(now: now, identity: self.key)
            if actions.isEmpty {
                // Or a node would turn round and round.
                #expect(self.client.nextStepAt.map { $0 > now.uptime } ?? true, "what can be done is done")
                break
            }
            for action in actions {
                switch action {
                case .deliver(let receipt, let sender, let payload):
                    self.received.append((sender, payload))
                    self.receipts.append(receipt)
                    if isSafe { self.client.safe(receipt) }
                case .ask(let id, let mailbox, let bytes):
                    count += 1
                    if let answer = try await asking(id, mailbox, bytes) {
                        self.client.answered(id, by: mailbox, answer, now: now)
                    } else {
                        self.client.failed(id, of: mailbox, now: now)
                    }
                }
            }
        }
        return count
    }

    @discardableResult func visit(_ node: MailboxNode, now: Moment, isSafe: Bool = true) async throws -> Int {
        let own = try peer(self.name)
        try self.client.connected(peer("mailbox"), now: now)
        let count = try await self.run(now: now, isSafe: isSafe) { _, _, bytes in await node.ask(bytes, by: own, now: now) }
        try self.client.disconnected(peer("mailbox"))
        return count
    }
}
