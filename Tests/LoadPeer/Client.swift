import CryptoPrimitives
import LibP2P
import LibP2PPosix

/// The end that makes the load.
struct Client: Sendable {
    struct Failure: Error {
        let reason: String
    }

    private let address: Multiaddr
    private let server: PeerID

    /// Connections that are made at the same time: fewer than the handshakes that a node lets strangers have at once.
    private static let taskCount = 32
    /// Connections of one identity: as many as a node takes of one peer.
    private static let connectionCountOfIdentity = 8

    init(_ address: String) throws {
        self.address = try Multiaddr(text: address)
        guard let server = self.address.peerID else { throw Failure(reason: "\(address) names no peer") }
        self.server = server
    }

    private static func identity() throws -> PeerIdentity { PeerIdentity(try Ed25519.SecretKey.generate()) }

    private func node(
        _ identity: PeerIdentity, isWhole: Bool = false, on executor: NodeExecutor = NodeExecutor()
    ) throws -> PosixNode {
        try PosixNode(identity, configuration: LoadPeer.configuration(isWhole: isWhole), executor: executor)
    }

    private func connect(_ node: PosixNode) async throws {
        var options = DialOptions()
        options.ignoresBackoff = true
        _ = try await node.dial(self.server, at: [self.address], options: options)
    }

    /// Does `work` for each number below `count`, so many at a time, each task its own share.
    private func spread(_ count: Int, _ work: @escaping @Sendable (_ task: Int, _ number: Int) async throws -> Void) async throws {
        try await withThrowingTaskGroup { group in
            for task in 0..<Self.taskCount {
                group.addTask {
                    for number in stride(from: task, to: count, by: Self.taskCount) { try await work(task, number) }
                }
            }
            try await group.waitForAll()
        }
    }

    // MARK: Loads

    /// Each connection has a node of its own, since a node makes only one to a peer.
    ///
    /// Whole nodes are a peer each: what a node keeps of peers counts then for each connection.
    func hold(_ count: Int, isWhole: Bool) async throws {
        let executor = NodeExecutor()
        let identityCount = isWhole ? count : (count + Self.connectionCountOfIdentity - 1) / Self.connectionCountOfIdentity
        let identities = try (0..<identityCount).map { _ in try Self.identity() }
        // Numbers of one task follow at distances that spread over the identities.
        let nodes = try (0..<count).map { try self.node(identities[$0 % identityCount], isWhole: isWhole, on: executor) }
        LoadPeer.say("ready")
        LoadPeer.waitForWord()
        try await self.spread(count) { _, number in try await self.connect(nodes[number]) }
        LoadPeer.say("holding")
        LoadPeer.waitForWord()
        // The last one made still works.
        let stream = try await nodes[count - 1].openStream(to: self.server, ["/echo/1.0.0"])
        try await Self.echo(on: stream)
        LoadPeer.say("used")
        LoadPeer.waitForWord()
        try await self.spread(count) { _, number in await nodes[number].close() }
        LoadPeer.say("closed")
        LoadPeer.waitForWord()
    }

    func churn(_ count: Int) async throws {
        let executor = NodeExecutor()
        let nodes = try (0..<Self.taskCount).map { _ in try self.node(Self.identity(), on: executor) }
        let cycle: @Sendable (Int, Int) async throws -> Void = { task, _ in
            try await self.connect(nodes[task])
            try await Self.echo(on: try await nodes[task].openStream(to: self.server, ["/echo/1.0.0"]))
            await nodes[task].disconnect(self.server)
        }
        // What a process opens once, it keeps.
        try await self.spread(Self.taskCount, cycle)
        LoadPeer.say("ready")
        LoadPeer.waitForWord()
        try await self.spread(count, cycle)
        LoadPeer.say("churned")
        LoadPeer.waitForWord()
        for node in nodes { await node.close() }
        LoadPeer.say("closed")
        LoadPeer.waitForWord()
    }

    private static func echo(on stream: isolated NodeStream) async throws {
        try await stream.write(Array("are you there?".utf8))
        stream.closeWrite()
        let answer = try await stream.readToEnd(upTo: 64)
        guard answer == Array("are you there?".utf8) else { throw Failure(reason: "the echo is another: \(answer)") }
    }

    func stream(_ count: Int, byteCount: Int, pausing pausedCount: Int, _ pause: Pause) async throws {
        let node = try self.node(Self.identity())
        try await self.connect(node)
        try await Self.echo(on: try await node.openStream(to: self.server, ["/echo/1.0.0"]))
        LoadPeer.say("ready")
        LoadPeer.waitForWord()
        let start = ContinuousClock.now
        try await withThrowingTaskGroup { group in
            for number in 0..<count {
                let pause = number < pausedCount ? pause : .none
                group.addTask {
                    let stream = try await node.openStream(to: self.server, [LoadStream.protocolID])
                    try await Self.send(byteCount, number, pause, on: stream)
                }
            }
            try await group.waitForAll()
        }
        LoadPeer.say("sent \(start.duration(to: .now) / .seconds(1))")
        LoadPeer.waitForWord()
        await node.close()
        LoadPeer.say("closed")
        LoadPeer.waitForWord()
    }

    private static func send(_ byteCount: Int, _ number: Int, _ pause: Pause, on stream: isolated NodeStream) async throws {
        try await stream.write(LoadStream.head(byteCount, pause))
        for start in stride(from: 0, to: byteCount, by: LoadStream.chunkByteCount) {
            var chunk = LoadStream.mark(stream: number, chunk: start / LoadStream.chunkByteCount)
            chunk.reserveCapacity(LoadStream.chunkByteCount)
            let rest = min(LoadStream.chunkByteCount, byteCount - start)
            chunk += repeatElement(0xa5, count: max(0, rest - chunk.count))
            try await stream.write(chunk.count > rest ? Array(chunk.prefix(rest)) : chunk)
        }
        stream.closeWrite()
        let answer = String(decoding: try await stream.readToEnd(upTo: 64), as: UTF8.self)
        guard answer == "\(byteCount) of \(byteCount)" else { throw Failure(reason: "stream \(number): \(answer) bytes came") }
    }
}
