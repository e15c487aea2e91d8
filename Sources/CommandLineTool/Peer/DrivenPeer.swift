import CryptoPrimitives
import LibP2P
import LibP2PPosix

/// A node that does what a driver says: the contract of Interop/README.md.
struct DrivenPeer: Sendable {
    typealias Members = [(name: String, value: JSONValue)]

    let node: PosixNode
    let channel: DriverChannel
    let services: PeerServices
    /// What is put before a message that is published once more; `nil` if none is.
    let republishedPrefix: String?

    init(_ node: PosixNode, _ channel: DriverChannel, republishing prefix: String?) {
        self.node = node
        self.channel = channel
        self.services = PeerServices(channel: channel)
        self.republishedPrefix = prefix
    }

    /// The most bytes of an answer that a `stream` command keeps.
    static let answerByteCountMax = 256 << 20
    /// How many of them the reply shows.
    static let shownByteCountMax = 4_096

    /// Carries one command out and answers it.
    func answer(_ command: DriverCommand) async {
        var members: Members = [("id", command.id), ("cmd", .string(command.name))]
        do {
            let answer = try await self.carryOut(command)
            members.append(("ok", .bool(true)))
            members += answer
        } catch {
            members.append(("ok", .bool(false)))
            members.append(("error", .string("\(error)")))
        }
        self.channel.reply(members)
    }

    private func carryOut(_ command: DriverCommand) async throws -> Members {
        switch command.name {
        case "id": return [("peer_id", .string(self.node.id.description)), ("addrs", await self.addresses())]
        case "connect": return try await self.connect(command)
        case "disconnect":
            await self.node.disconnect(try command.peer())
            return []
        case "peers": return [("peers", await self.peers())]
        case "ping": return try await self.ping(command)
        case "identify": return PeerIdentifyCommand.members(of: try await self.node.identify(command.peer()))
        case "handle": return try await self.handle(command)
        case "stream": return try await self.stream(command)
        case "throughput": return try await self.throughput(command)
        case "subscribe", "unsubscribe", "publish", "topics", "topic_peers": return try await self.carryOutPubSub(command)
        case "dht_add", "dht_put", "dht_get", "dht_provide", "dht_providers", "dht_find_peer":
            return try await self.carryOutKad(command)
        case "relay_reserve", "relay_dial", "dcutr": return try await self.carryOutRelay(command)
        default: throw DriverCommand.Unusable("there is no command \"\(command.name)\"")
        }
    }

    /// Where it listens, each address with its own id.
    func addresses() async -> JSONValue {
        .array(await self.node.listenAddresses.map { .string($0.appending(.p2p(self.node.id)).description) })
    }
}

// MARK: - Connections

extension DrivenPeer {
    private func connect(_ command: DriverCommand) async throws -> Members {
        let (peer, address) = try command.peerAddress("addr")
        let start = ContinuousClock.now
        _ = try await TimeLimit.run(try command.timeLimit(default: .seconds(15)), "no connection came about") {
            var options = DialOptions()
            options.ignoresBackoff = true
            return try await self.node.dial(peer, at: [address], options: options)
        } callOff: {
            await self.node.disconnect(peer)
        }
        return [("peer_id", .string(peer.description)), ("ms", .number((ContinuousClock.now - start).milliseconds))]
    }

    private func ping(_ command: DriverCommand) async throws -> Members {
        let times = try await self.node.ping(command.peer(), count: command.integer("count", 1...100_000, default: 5))
        return [("ms", .array(times.map { .number($0.milliseconds) }))]
    }

    private func peers() async -> JSONValue {
        var peers: [JSONValue] = []
        for peer in await self.node.connectedPeers {
            let addresses = await self.node.connections(to: peer).map { JSONValue.string($0.remoteAddress.description) }
            peers.append(.object(["peer_id": .string(peer.description), "addrs": .array(addresses)]))
        }
        return .array(peers)
    }
}

// MARK: - Streams

extension DrivenPeer {
    private func handle(_ command: DriverCommand) async throws -> Members {
        let protocolID = try command.requiredText("proto")
        let name = try command.text("mode") ?? "echo"
        guard let mode = PeerServices.Mode(rawValue: name) else { throw DriverCommand.Unusable("\"mode\" is echo or sink") }
        await self.services.serve(protocolID, mode, on: self.node)
        return []
    }

    /// Sends bytes, and reads as many as are expected, or all that come after the own end.
    private func stream(_ command: DriverCommand) async throws -> Members {
        let data = try command.bytes("data") ?? []
        let expectedCount = try command.integer("expect", -1...Self.answerByteCountMax, default: data.count)
        let (peer, protocolIDs) = (try command.peer(), try command.texts("proto"))
        return try await TimeLimit.run(try command.timeLimit(default: .seconds(20)), "the stream took too long") {
            let stream = try await self.node.openStream(to: peer, protocolIDs, onLimited: true)
            do {
                let answer = try await Self.exchange(data, expectedCount, on: stream)
                await Self.leave(stream)
                return [
                    ("proto", .string(stream.protocolID)), ("bytes", .integer(answer.count)), ("same", .bool(answer == data)),
                    ("data_hex", .string(Hex.encode(answer.prefix(Self.shownByteCountMax)))),
                ]
            } catch {
                await stream.reset()
                throw error
            }
        }
    }

    /// Reading and writing go on together, for a peer that echoes may not read while it cannot write.
    private static func exchange(_ data: [UInt8], _ expectedCount: Int, on stream: NodeStream) async throws -> [UInt8] {
        async let written: Void = Self.write(data, to: stream, thenClosing: expectedCount < 0)
        var answer: [UInt8] = []
        while expectedCount < 0 || answer.count < expectedCount, let chunk = try await stream.read() {
            guard chunk.count <= Self.answerByteCountMax - answer.count else {
                throw NodeStreamError.tooLong(maximum: Self.answerByteCountMax)
            }
            answer += chunk
        }
        try await written
        guard expectedCount < 0 || answer.count >= expectedCount else {
            throw DriverCommand.Unusable("the stream ended after \(answer.count) of \(expectedCount) bytes")
        }
        return expectedCount < 0 ? answer : Array(answer.prefix(expectedCount))
    }

    private static func write(_ data: [UInt8], to stream: NodeStream, thenClosing: Bool) async throws {
        for start in stride(from: 0, to: data.count, by: 65_536) {
            try await stream.write(Array(data[start..<min(data.count, start + 65_536)]))
        }
        if thenClosing { await stream.closeWrite() }
    }

    /// Ends the own side, and the stream once the peer has ended its own, too; or after a while.
    private static func leave(_ stream: NodeStream) async {
        await stream.closeWrite()
        Task {
            let ended: Void? = try? await TimeLimit.run(.seconds(5), "the peer did not end the stream") {
                while try await stream.read() != nil {}
            }
            if ended == nil { await stream.reset() }
        }
    }

    private func throughput(_ command: DriverCommand) async throws -> Members {
        let count = try command.integer("bytes", 0...(1 << 40))
        let chunk = [UInt8](repeating: 0xa5, count: try command.integer("chunk", 1...(1 << 20), default: 65_536))
        let (peer, protocolID) = (try command.peer(), try command.text("proto") ?? "/sink/1.0.0")
        return try await TimeLimit.run(try command.timeLimit(default: .seconds(300)), "the transfer took too long") {
            let stream = try await self.node.openStream(to: peer, [protocolID], onLimited: true)
            do {
                let (taken, seconds) = try await Self.fill(stream, count, chunk)
                await Self.leave(stream)
                return [
                    ("bytes", .unsigned(taken)), ("seconds", .number(seconds)), ("MBps", .number(Double(taken) / seconds / 1e6)),
                ]
            } catch {
                await stream.reset()
                throw error
            }
        }
    }

    /// Sends so many bytes to a sink, on the stream's own loop.
    ///
    /// - Returns: how many the sink has counted, and the seconds until its answer came.
    private static func fill(_ stream: isolated NodeStream, _ count: Int, _ chunk: [UInt8]) async throws -> (UInt64, Double) {
        let start = ContinuousClock.now
        try await stream.write(PeerServices.bytes(of: UInt64(count)))
        var left = count
        while left > 0 {
            try await stream.write(left >= chunk.count ? chunk : Array(chunk.prefix(left)))
            left -= min(left, chunk.count)
        }
        var answer: [UInt8] = []
        while answer.count < 8, let piece = try await stream.read() { answer += piece }
        guard answer.count >= 8 else { throw DriverCommand.Unusable("the sink ended without its count") }
        return (answer.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }, (ContinuousClock.now - start) / .seconds(1))
    }
}
