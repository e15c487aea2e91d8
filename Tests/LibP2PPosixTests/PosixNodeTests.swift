import CryptoPrimitives
import Testing

@testable import LibP2P
@testable import LibP2PPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// One after another: some count sockets.
@Suite(.serialized)
struct `A node with real sockets` {
    static let ways = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip6/::1/tcp/0", "/ip6/::1/tcp/0/ws"]

    @Test(arguments: ways)
    func `connects, and echoes with half-close`(way: String) async throws {
        let (server, address) = try await listeningNode(on: way)
        let client = try newNode()
        let info = try await within { try await client.dial(server.id, at: [address]) }
        #expect(info.peer == server.id)
        #expect(info.remoteAddress == address)
        let text = [UInt8]("how many signers".utf8)
        #expect(try await within { try await exchange(text, client, server.id) } == text)
        #expect(try await within { try await exchange([], client, server.id) } == [])
        let large = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(try await within { try await exchange(large, client, server.id) } == large)
        await client.close()
        await server.close()
    }

    @Test func `listens on several addresses and tells them with their ports`() async throws {
        let (server, first) = try await listeningNode()
        for way in Self.ways.dropFirst() { try await server.listen(on: Multiaddr(text: way)) }
        let all = try await server.listen(on: Multiaddr(text: "/ip4/0.0.0.0/tcp/0"))
        #expect(!all.isEmpty)
        #expect(all.allSatisfy { !$0.description.hasPrefix("/ip4/0.0.0.0/") })
        let addresses = await server.listenAddresses
        #expect(addresses.count == 4 + all.count)
        #expect(addresses.first == first)
        #expect(!addresses.contains { $0.components.contains(.tcp(0)) })
        for address in addresses {
            let client = try newNode()
            #expect(try await within { try await client.dial(server.id, at: [address]) }.remoteAddress == address)
            await client.close()
        }
        await server.close()
    }

    @Test func `leaves nothing in memory, and none of its streams, once it is closed and let go`() async throws {
        weak var node: PosixNode?
        weak var server: PosixNode?
        weak var stream: NodeStream?
        weak var inbound: NodeStream?
        let (executor, serverExecutor) = (NodeExecutor(), NodeExecutor())
        do {
            let listening = try PosixNode(PeerIdentity(Ed25519.SecretKey.generate()), executor: serverExecutor)
            let address = try #require(try await listening.listen(on: Multiaddr(text: "/ip4/127.0.0.1/tcp/0")).first)
            let (streams, continuation) = AsyncStream.makeStream(of: NodeStream.self)
            // It ends with its stream, which is reset when the node closes.
            await listening.serve("/echo/1.0.0") { stream in
                continuation.yield(stream)
                while let chunk = try? await stream.read() { try? await stream.write(chunk) }
            }
            let dialling = try PosixNode(PeerIdentity(Ed25519.SecretKey.generate()), executor: executor)
            let events = await dialling.events()
            _ = try await within { try await dialling.dial(listening.id, at: [address]) }
            let open = try await within { try await dialling.openStream(to: listening.id, ["/echo/1.0.0"]) }
            try await open.write([1, 2, 3])
            #expect(try await within { try await open.read() } == [1, 2, 3])
            (node, server, stream) = (dialling, listening, open)
            inbound = try await within { await streams.first { _ in true } }
            #expect(inbound != nil)
            continuation.finish()
            await dialling.close()
            await listening.close()
            #expect(try await within { await events.contains { _ in false } } == false)
        }
        // What the loops still have to do: sources let go, and the handler's task ends.
        let end = ContinuousClock.now + .seconds(20)
        while node != nil || server != nil || stream != nil || inbound != nil, ContinuousClock.now < end {
            for queue in [executor.queue, serverExecutor.queue] {
                await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
            }
        }
        #expect(node == nil && stream == nil)
        #expect(server == nil && inbound == nil)
    }

    @Test func `does not share a port with another node`() async throws {
        let (server, address) = try await listeningNode()
        let other = try newNode()
        let error = await #expect(throws: ListenError.self) { try await other.listen(on: address) }
        if case .system(_, _, let isAddressInUse) = error { #expect(isAddressInUse) } else { Issue.record("\(String(describing: error))") }
        await #expect(throws: ListenError.self) { try await other.listen(on: Multiaddr(text: "/ip4/127.0.0.1/udp/0/quic-v1")) }
        await other.close()
        await server.close()
    }

    @Test func `is told when nobody listens, and when a server is no WebSocket`() async throws {
        let (server, address) = try await listeningNode()
        let client = try newNode()
        // The port of a node that is closed again.
        let (closed, deadAddress) = try await listeningNode()
        await closed.close()
        let refused = await #expect(throws: NodeError.self) { try await within { try await client.dial(closed.id, at: [deadAddress]) } }
        #expect(refused == .dial(.allFailed([DialAttemptFailure(address: deadAddress, reason: .pipe(.refused))])))

        let wrong = address.appending(.ws)
        let failure = await #expect(throws: NodeError.self) { try await within { try await client.dial(server.id, at: [wrong]) } }
        guard case .dial(.allFailed(let failures)) = failure, case .pipe(.transport) = failures.first?.reason else {
            Issue.record("\(String(describing: failure))")
            return
        }
        await client.close()
        await server.close()
    }

    @Test func `follows a name into this machine for its owner, and for no stranger`() async throws {
        let (server, address) = try await listeningNode()
        guard case .tcp(let port) = address.components.last else { return }
        let client = try newNode()
        // To the system these are this machine's address; nothing in them says so.
        for name in ["127.0.0.1", "0x7f.1"] {
            let byName = Multiaddr([.dns4(name), .tcp(port)])
            var options = DialOptions()
            options.isHearsay = true
            options.ignoresBackoff = true
            let hearsay = options
            let failure = await #expect(throws: NodeError.self) {
                try await within { try await client.dial(server.id, at: [byName], options: hearsay) }
            }
            let leads = DialAttemptFailure(address: byName, reason: .pipe(.leadsNearby(byName.description)))
            #expect(failure == .dial(.allFailed([leads])))
        }
        #expect(await server.pipeCount == 0)
        let byName = Multiaddr([.dns4("127.0.0.1"), .tcp(port)])
        #expect(try await within { try await client.dial(server.id, at: [byName]) }.remoteAddress == byName)
        // The owner gave it once: it is followed again when the peer is dialled without it.
        await client.disconnect(server.id)
        try await Task.sleep(for: .milliseconds(100))
        #expect(try await within { try await client.dial(server.id) }.remoteAddress == byName)
        await client.close()
        await server.close()
    }

    @Test func `dials names, and says when they stand for nothing`() async throws {
        let (server, address) = try await listeningNode()
        guard case .tcp(let port) = address.components.last else { return }
        let client = try newNode()
        let byName = Multiaddr([.dns4("localhost"), .tcp(port)])
        #expect(try await within { try await client.dial(server.id, at: [byName]) }.remoteAddress == byName)

        let other = try newNode().id
        let nothing = Multiaddr([.dns("nothing.invalid"), .tcp(port)])
        let failure = await #expect(throws: NodeError.self) { try await within { try await client.dial(other, at: [nothing]) } }
        #expect(
            failure == .dial(.allFailed([DialAttemptFailure(address: nothing, reason: .pipe(.nameNotFound("nothing.invalid")))])))
        await client.close()
        await server.close()
    }

    @Test func `dials addresses that name the interface they belong to`() async throws {
        let (server, address) = try await listeningNode(on: "/ip6/::1/tcp/0")
        var buffer = [CChar](repeating: 0, count: Int(IF_NAMESIZE) + 1)
        // The first interface of every system is loopback.
        let name = try #require(if_indextoname(1, &buffer).map { String(cString: $0) })
        let client = try newNode()
        let zoned = Multiaddr([.ip6zone(name)] + address.components)
        #expect(try await within { try await client.dial(server.id, at: [zoned]) }.remoteAddress == zoned)
        let other = try newNode().id
        let nowhere = Multiaddr([.ip6zone("nothing9")] + address.components)
        let failure = await #expect(throws: NodeError.self) { try await within { try await client.dial(other, at: [nowhere]) } }
        #expect(failure == .dial(.allFailed([DialAttemptFailure(address: nowhere, reason: .pipe(.noTransport))])))
        await client.close()
        await server.close()
    }

    @Test(arguments: ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"])
    func `carries 64 MiB through one stream`(way: String) async throws {
        let (server, address) = try await listeningNode(on: way)
        let client = try newNode()
        _ = try await within { try await client.dial(server.id, at: [address]) }
        let count = 64 << 20
        let start = ContinuousClock.now
        let answer = try await within(.seconds(120)) {
            try await Self.fill(try await client.openStream(to: server.id, ["/count/1.0.0"]), count)
        }
        #expect(answer == Array(String(count).utf8))
        let seconds = start.duration(to: .now) / .seconds(1)
        print("64 MiB through \(way): \(Int(Double(count) / seconds / 1e6)) MB/s")
        await client.close()
        await server.close()
    }

    /// On the stream's own loop, as programs do that move much.
    private static func fill(_ stream: isolated NodeStream, _ count: Int) async throws -> [UInt8] {
        let chunk = [UInt8](repeating: 0x5a, count: 65_536)
        for _ in 0..<(count / chunk.count) { try await stream.write(chunk) }
        stream.closeWrite()
        return try await stream.readToEnd(upTo: 100)
    }

    @Test func `leaves no descriptor behind after 200 connections`() async throws {
        let sockets = try SocketCount()
        var limits = SwarmLimits()
        limits.inboundCountFromAddressMax = 1_000
        let (server, address) = try await listeningNode(limits: limits)
        for _ in 0..<8 {
            try await within(.seconds(60)) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<25 {
                        group.addTask {
                            let client = try newNode()
                            _ = try await client.dial(server.id, at: [address])
                            if number.isMultiple(of: 2) { #expect(try await exchange([1, 2, 3], client, server.id) == [1, 2, 3]) }
                            await client.close()
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
        #expect(try sockets.of(address) >= 1)
        await server.close()
        #expect(await server.pipeCount == 0)
        #expect(try sockets.of(address) == 0)
    }

    @Test func `holds little for a peer that reads nothing, and goes on when it does`() async throws {
        let (server, address) = try await listeningNode()
        let client = try newNode()
        _ = try await within { try await client.dial(server.id, at: [address]) }
        let stream = try await within { try await client.openStream(to: server.id, ["/count/1.0.0"]) }
        // Its loop stands still: not even its socket is read.
        server.executor.queue.suspend()
        let chunk = [UInt8](repeating: 7, count: 65_536)
        let written = Counter()
        let writing = Task {
            for _ in 0..<1_024 {
                try await stream.write(chunk)
                await written.add(chunk.count)
            }
            await stream.closeWrite()
            return try await stream.readToEnd(upTo: 100)
        }
        await #expect(throws: TookTooLong.self) {
            try await within(.seconds(1)) {
                // Nobody ends this wait: 64 MiB cannot be written.
                await withTaskCancellationHandler {
                    await written.reaches(64 << 20)
                } onCancel: {
                    Task { await written.giveUp() }
                }
                try Task.checkCancellation()
            }
        }
        #expect(await written.value < 32 << 20)
        #expect(await client.heldByteCount < 4 << 20)
        server.executor.queue.resume()
        #expect(try await within(.seconds(60)) { try await writing.value } == Array(String(64 << 20).utf8))
        await client.close()
        await server.close()
    }

    @Test func `hears of a connection that breaks, and of streams that go with it`() async throws {
        let (server, address) = try await listeningNode()
        let client = try newNode()
        _ = try await within { try await client.dial(server.id, at: [address]) }
        let events = await server.events()
        let stream = try await within { try await client.openStream(to: server.id, ["/echo/1.0.0"]) }
        try await stream.write([1])
        #expect(try await within { try await stream.read() } == [1])
        await client.breakPipes()
        let lost = try await within {
            for await case .swarm(.disconnected(let info, _)) in events { return info.peer }
            throw TookTooLong()
        }
        #expect(lost == client.id)
        await client.close()
        await #expect(throws: NodeStreamError.reset) { try await within { try await stream.read() } }
        await server.close()
    }

    @Test func `closes while a dial, a stream and a reader wait`() async throws {
        let sockets = try SocketCount()
        let (server, address) = try await listeningNode()
        let client = try newNode()
        _ = try await within { try await client.dial(server.id, at: [address]) }
        let stream = try await within { try await client.openStream(to: server.id, ["/echo/1.0.0"]) }
        let reading = Task { try await stream.read() }
        // Documentation addresses answer nothing, or are unreachable.
        let nowhere = try Multiaddr(text: "/ip4/192.0.2.1/tcp/4001")
        let stranger = try newNode().id
        let dialling = Task { try await client.dial(stranger, at: [nowhere]) }
        // The server's listener and the two ends of one connection, at least.
        #expect(try sockets.of(address) >= 3)
        await within0 { await client.close() }
        await #expect(throws: NodeError.self) { try await within { try await dialling.value } }
        await #expect(throws: NodeStreamError.self) { try await within { try await reading.value } }
        await #expect(throws: NodeError.closed) { try await client.dial(server.id, at: [address]) }
        await server.close()
        #expect(try sockets.of(address) == 0)
    }

    private func within0(_ work: @escaping @Sendable () async -> Void) async { _ = try? await within { await work() } }

    /// However the last bytes of the two sides meet.
    @Test(arguments: ways) func `closes at once while its peer answers`(way: String) async throws {
        let (server, address) = try await listeningNode(on: way)
        for _ in 0..<20 {
            let client = try newNode()
            _ = try await within { try await client.dial(server.id, at: [address]) }
            // A close that waited for its timeout takes all of it, however fast the machine is; and no load makes one that did not as slow.
            let (start, timeout) = (ContinuousClock.now, Duration.seconds(120))
            await client.close(within: timeout)
            #expect(start.duration(to: .now) < timeout)
        }
        await server.close()
    }

    @Test func `dials from a port that leads to the target`() async throws {
        let (node, near) = try await listeningNode()
        let far = try #require(try await node.listen(on: Multiaddr(text: "/ip4/0.0.0.0/tcp/0")).first)
        func ports(_ address: Multiaddr) -> [UInt16] { address.components.compactMap { if case .tcp(let port) = $0 { port } else { nil } } }
        // Loopback came first, and nothing leads out of it.
        #expect(try await node.portsToDialFrom(to: "/ip4/9.9.9.9/tcp/1") == ports(far))
        #expect(try await node.portsToDialFrom(to: "/ip4/127.0.0.1/tcp/1") == ports(far) + ports(near))
        #expect(try await node.portsToDialFrom(to: "/ip6/2606:4700::1/tcp/1") == [])
        await node.close()
    }

    @Test func `says that a stream is busy when two tasks read it, and goes on`() async throws {
        let (server, address) = try await listeningNode()
        let client = try newNode()
        _ = try await within { try await client.dial(server.id, at: [address]) }
        let stream = try await within { try await client.openStream(to: server.id, ["/echo/1.0.0"]) }
        let first = Task { try await stream.read() }
        // The first waits by then, or the other one does: one of them has to go.
        let second = Task { try await stream.read() }
        try await Task.sleep(for: .milliseconds(200))
        try await stream.write([1])
        var (results, busyCount) = ([[UInt8]?](), 0)
        for task in [first, second] {
            do { results.append(try await within { try await task.value }) } catch NodeStreamError.busy { busyCount += 1 }
        }
        #expect(results == [[1]])
        #expect(busyCount == 1)
        // One who was cancelled is in nobody's way for long.
        let third = Task { try await stream.read() }
        try await Task.sleep(for: .milliseconds(50))
        third.cancel()
        await #expect(throws: NodeStreamError.cancelled) { try await within { try await third.value } }
        try await stream.write([2])
        #expect(try await within { try await stream.read() } == [2])
        await client.close()
        await server.close()
    }

    @Test func `dials from the port on which it listens`() async throws {
        let (server, address) = try await listeningNode()
        let (client, own) = try await listeningNode()
        let events = await server.events()
        _ = try await within { try await client.dial(server.id, at: [address], options: .holePunch(as: .dialer)) }
        let seen = try await within {
            for await case .swarm(.connected(let info)) in events { return info.remoteAddress }
            throw TookTooLong()
        }
        #expect(seen == own)
        await client.close()
        await server.close()
    }
}

/// Counts, and lets one wait for a count.
actor Counter {
    private(set) var value = 0
    private var isOver = false
    private var waiter: (count: Int, continuation: CheckedContinuation<Void, Never>)?

    func add(_ count: Int) {
        self.value += count
        if let waiter = self.waiter, self.value >= waiter.count {
            self.waiter = nil
            waiter.continuation.resume()
        }
    }

    func reaches(_ count: Int) async {
        guard self.value < count, !self.isOver else { return }
        await withCheckedContinuation { self.waiter = (count, $0) }
    }

    func giveUp() {
        self.isOver = true
        self.waiter.take()?.continuation.resume()
    }
}

extension PosixNode {
    /// From which ports a hole punch would be tried, in order.
    func portsToDialFrom(to text: String) throws -> [UInt16] {
        let transport = try #require(TransportAddress(try Multiaddr(text: text)))
        guard case .address(let host) = transport.host else { return [] }
        let target = SocketAddress(host, port: transport.port)
        return self.sockets.listenPortAddresses(reaching: DialTarget(address: target, isWebSocket: false, hostText: "")).map(\.port)
    }

    /// As a crash or a cut cable does it: nothing is said on the way out.
    func breakPipes() { for pipe in Array(self.sockets.pipes.values) { self.sockets.destroy(pipe) } }
}
