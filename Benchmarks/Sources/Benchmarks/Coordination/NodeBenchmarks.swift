import Bitcoin
import CBaseline
import CryptoPrimitives
import Foundation
import LibP2P
import Secp256k1
import SessionStore
import Signing
import SigningNode

/// Real nodes with their sockets and disks, all in this process.
struct NodeBenchmarks {
    /// In a group.
    private static let nodeCount = 3
    /// Below what one member may have under way at another.
    private static let atOnce = 8

    let isQuick: Bool
    let report: (CoordinationRow) -> Void

    /// How long one request takes where packets take no time, and how many fit into a second.
    func run() async throws {
        try await self.measureStart()
        let group = try await LiveGroup(Self.nodeCount, startsAll: true)
        do {
            try await self.measureLatency(group)
            try await self.measureRate(group)
        } catch {
            await group.end()
            throw error
        }
        await group.end()
    }

    /// A node that starts on an empty disk, until others can reach it.
    private func measureStart() async throws {
        var times: [Double] = []
        for _ in 0..<(self.isQuick ? 3 : 11) {
            let start = Timing.wallTime.now
            let group = try await LiveGroup(Self.nodeCount, startsAll: false)
            times.append(Double(Timing.wallTime.now - start) / 1e6)
            await group.end()
        }
        self.report(
            CoordinationRow(
                part: .nodes, name: "a node starts", signers: Self.nodeCount, unit: "ms", value: Stopwatch.median(times), limit: 100,
                note: "its keys, its database and its group made as well"))
    }

    private func measureLatency(_ group: LiveGroup) async throws {
        var (signed, everywhere, agreed): ([Double], [Double], [Double]) = ([], [], [])
        // The first connects all.
        for round in 0...(self.isQuick ? 10 : 100) {
            let start = Timing.wallTime.now
            let id = try await group.propose()
            let first = try await group.firstCompletion(of: id)
            try await group.completion(of: id)
            guard round > 0 else { continue }
            signed.append(Double(first - start) / 1e6)
            // On a busy machine another attempt may have been the one, or its begin may be heard of behind what it led to.
            if let begun = await group.begin(of: id), begun <= first { agreed.append(Double(first - begun) / 1e6) }
            everywhere.append(Double(Timing.wallTime.now - start) / 1e6)
        }
        let rows = [
            ("last approval to signature", agreed), ("proposal to signature", signed), ("proposal to signature at everybody", everywhere),
        ]
        for (name, times) in rows where !times.isEmpty {
            self.report(
                CoordinationRow(
                    part: .nodes, name: name, signers: Self.nodeCount, unit: "ms", value: Stopwatch.median(times),
                    note: "one at a time, each approved by a program; two writes of each node are waited for"))
        }
    }

    private func measureRate(_ group: LiveGroup) async throws {
        let count = self.isQuick ? 50 : 500
        let (wall, processor) = (Timing.wallTime.now, Timing.processTime.now)
        try await withThrowingTaskGroup { tasks in
            for task in 0..<Self.atOnce {
                tasks.addTask {
                    for _ in stride(from: task, to: count, by: Self.atOnce) { try await group.completion(of: group.propose()) }
                }
            }
            try await tasks.waitForAll()
        }
        let seconds = Double(Timing.wallTime.now - wall) / 1e9
        let perRequest = Double(Timing.processTime.now - processor) / 1_000 / Double(count)
        self.report(
            CoordinationRow(
                part: .nodes, name: "requests a second, \(Self.atOnce) at once", signers: Self.nodeCount, unit: "a second",
                value: Double(count) / seconds, note: "all nodes on this machine"))
        self.report(
            CoordinationRow(
                part: .nodes, name: "CPU time of a request at one node", signers: Self.nodeCount, unit: "µs",
                value: perRequest / Double(Self.nodeCount), note: "sockets, disk and system calls included"))
    }

    /// What a request holds at a node while it waits for others.
    ///
    /// Measured first in a process, while its memory is untouched.
    static func liveRequestMemory(count: Int) async throws -> CoordinationRow {
        let group = try await LiveGroup(Self.nodeCount, startsAll: false)
        let arena = try SecretArena.shared
        // The first ones warm the allocator up and are not counted.
        let warmUp = 50
        for _ in 0..<warmUp { _ = try await group.propose() }
        let (resident, slots) = (baseline_resident_byte_count(), arena.usedSlotCount)
        for _ in warmUp..<count { _ = try await group.propose() }
        let counted = Double(count - warmUp)
        let bytes = Double(Int(baseline_resident_byte_count()) - Int(resident)) / counted
        let nonces = decimal(Double(arena.usedSlotCount - slots) / counted, 2)
        await group.end()
        return CoordinationRow(
            part: .nodes, name: "memory of a live request, of \(count)", signers: Self.nodeCount, unit: "kB", value: bytes / 1_000,
            note: "resident; and \(nonces) slots of the arena")
    }
}

/// Nodes of one group, each with its own disk, over loopback.
final class LiveGroup: Sendable {
    private let folder: URL
    private let nodes: [SigningNode]
    private let databases: [SessionDatabase]
    private let tasks: [Task<Void, Never>]
    private let completions: Completions
    private let group: Bytes32
    private let script: Script

    /// - Parameter startsAll: whether all its nodes run; the first one alone otherwise.
    init(_ count: Int, startsAll: Bool) async throws {
        let keys = try (0..<count).map { _ in
            try SignerKeys(key: .generate(), identity: PeerIdentity(try .generate()), network: .regtest)
        }
        let record = GroupRecord.everyone(keys.map(\.signer).sorted())
        // Beside the build, on a disk: a system's folder for temporary files may be memory.
        self.folder = URL(filePath: ".build/bench-nodes-\(ProcessInfo.processInfo.processIdentifier)-\(startsAll ? "all" : "one")")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        var (nodes, databases): ([SigningNode], [SessionDatabase]) = ([], [])
        for (place, own) in keys.enumerated() where startsAll || place == 0 {
            let database = try await SessionDatabase.open(self.folder.appending(path: "\(place).db").path(percentEncoded: false))
            var configuration = SigningNode.Configuration()
            configuration.listenAddresses = [try Multiaddr(text: "/ip4/127.0.0.1/tcp/0")]
            // A small network needs no hash table.
            configuration.node.kad = nil
            let node = try SigningNode(own, database: database, configuration: configuration)
            try await node.start()
            try await node.addGroup(record, name: "group", members: keys.map(\.enrolment))
            for known in nodes {
                await node.learn(await known.addresses, of: known.id)
                await known.learn(await node.addresses, of: node.id)
            }
            nodes.append(node)
            databases.append(database)
        }
        let policy = try await record.policy()
        let completions = Completions(nodeCount: nodes.count)
        var tasks: [Task<Void, Never>] = []
        for (place, node) in nodes.enumerated() {
            let events = await node.events()
            tasks.append(
                Task {
                    for await (_, event) in events {
                        switch event {
                        case .requested(let id): try? await node.approve(id)
                        // The coordinator begins in the step in which it has the last approval.
                        case .request(let id, .attemptBegan(1, _)): await completions.noteBegin(of: id)
                        case .request(let id, .complete): await completions.note(id, at: place)
                        default: break
                        }
                    }
                })
        }
        (self.nodes, self.databases, self.tasks, self.completions) = (nodes, databases, tasks, completions)
        (self.group, self.script) = (policy.digest, policy.scriptPubKey)
    }

    /// Has the first node ask for a signature of a coin that never was.
    func propose() async throws -> Bytes32 {
        let coin = TransactionOutput(amount: 100_000, scriptPubKey: self.script)
        let input = TransactionInput(
            previousOutput: OutPoint(txid: Txid(SHA256.hash(SystemRandom.bytes(count: 32))), index: 0), sequence: 0xffff_fffd)
        let transaction = Transaction(inputs: [input], outputs: [TransactionOutput(amount: 90_000, scriptPubKey: self.script)])
        return try await self.nodes[0].propose(transaction, prevouts: [coin], group: self.group, seconds: 3_600)
    }

    /// When the first node held it complete, by the wall's clock.
    func firstCompletion(of id: Bytes32) async throws -> UInt64 { await self.completions.first(of: id) }

    /// When its first attempt began, if that was seen.
    func begin(of id: Bytes32) async -> UInt64? { await self.completions.begin(of: id) }

    /// Waits until all hold it complete.
    func completion(of id: Bytes32) async throws { await self.completions.all(of: id) }

    func end() async {
        for node in self.nodes { await node.stop() }
        for database in self.databases { await database.close() }
        for task in self.tasks { task.cancel() }
        try? FileManager.default.removeItem(at: self.folder)
    }
}

/// Who holds which request complete.
private actor Completions {
    private let nodeCount: Int
    private var times: [Bytes32: [UInt64]] = [:]
    private var begins: [Bytes32: UInt64] = [:]
    private var waiting: [(id: Bytes32, count: Int, continuation: CheckedContinuation<Void, Never>)] = []

    init(nodeCount: Int) { self.nodeCount = nodeCount }

    func note(_ id: Bytes32, at place: Int) {
        self.times[id, default: []].append(Timing.wallTime.now)
        let count = self.times[id]?.count ?? 0
        for waiter in self.waiting where waiter.id == id && waiter.count <= count { waiter.continuation.resume() }
        self.waiting.removeAll { $0.id == id && $0.count <= count }
    }

    func noteBegin(of id: Bytes32) { self.begins[id] = Timing.wallTime.now }

    func begin(of id: Bytes32) -> UInt64? { self.begins[id] }

    func first(of id: Bytes32) async -> UInt64 {
        await self.wait(for: 1, of: id)
        return self.times[id]?.first ?? 0
    }

    func all(of id: Bytes32) async { await self.wait(for: self.nodeCount, of: id) }

    private func wait(for count: Int, of id: Bytes32) async {
        guard self.times[id]?.count ?? 0 < count else { return }
        await withCheckedContinuation { self.waiting.append((id, count, $0)) }
    }
}
