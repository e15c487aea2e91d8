import Dispatch
import Foundation
import LibP2P
import LibP2PPosix

/// What commands are answered with.
struct Peer: Sendable {
    let node: PosixNode

    /// The most that one `stream` command keeps.
    private static let answerByteCountMax = 1 << 30

    init(_ node: PosixNode) { self.node = node }

    func start(_ options: Options) async throws {
        await self.serveEcho(options.echo)
        await self.serveSink(options.sink)
        for address in options.listen { try await self.node.listen(on: address) }
        Output.emit(
            "ready", ["impl": "chorale", "peer_id": self.node.id.description, "addrs": await self.addresses(), "pid": Int(getpid())])
    }

    private func addresses() async -> [String] {
        await self.node.listenAddresses.map { $0.appending(.p2p(self.node.id)).description }
    }

    func answer(_ command: Command) async {
        var reply: [String: any Sendable] = ["id": command.id, "cmd": command.name]
        do {
            for (key, value) in try await self.carryOut(command) { reply[key] = value }
            reply["ok"] = true
        } catch {
            reply["ok"] = false
            reply["error"] = "\(error)"
        }
        Output.emit("reply", reply)
    }

    private func carryOut(_ command: Command) async throws -> [String: any Sendable] {
        switch command.name {
        case "id": return ["peer_id": self.node.id.description, "addrs": await self.addresses()]
        case "connect": return try await self.connect(command)
        case "disconnect":
            await self.node.disconnect(try command.peer())
            return [:]
        case "peers":
            var peers: [[String: any Sendable]] = []
            for peer in await self.node.connectedPeers {
                peers.append([
                    "peer_id": peer.description, "addrs": await self.node.connections(to: peer).map { $0.remoteAddress.description },
                ])
            }
            return ["peers": peers]
        case "handle":
            let name = try command.text("proto")
            if try command.bytes("mode").map({ String(decoding: $0, as: UTF8.self) }) == "sink" {
                await self.serveSink(name)
            } else {
                await self.serveEcho(name)
            }
            return [:]
        case "stream": return try await self.stream(command)
        case "throughput": return try await self.throughput(command)
        default: throw Command.Missing(description: "\(command.name) is not spoken here")
        }
    }

    // MARK: Commands

    private func connect(_ command: Command) async throws -> [String: any Sendable] {
        let address = try Multiaddr(text: command.text("addr"))
        guard let peer = address.peerID else { throw Command.Missing(description: "the address ends without /p2p/ID") }
        let start = ContinuousClock.now
        var options = DialOptions()
        options.ignoresBackoff = true
        _ = try await self.node.dial(peer, at: [address], options: options)
        return ["peer_id": peer.description, "ms": start.duration(to: .now) / .milliseconds(1)]
    }

    private func stream(_ command: Command) async throws -> [String: any Sendable] {
        let data = try command.bytes("data") ?? []
        let expected = command.number("expect") ?? data.count
        let stream = try await self.node.openStream(to: command.peer(), command.texts("proto"))
        async let written: Void = Self.write(data, to: stream, closing: expected < 0)
        var got: [UInt8] = []
        while expected < 0 || got.count < expected, let chunk = try await stream.read() {
            guard chunk.count <= Self.answerByteCountMax - got.count else {
                throw NodeStreamError.tooLong(maximum: Self.answerByteCountMax)
            }
            got += chunk
        }
        try await written
        await stream.closeWrite()
        return [
            "proto": stream.protocolID, "bytes": got.count, "same": got == data,
            "data_hex": got.prefix(4_096).map { String(format: "%02x", $0) }.joined(),
        ]
    }

    private static func write(_ data: [UInt8], to stream: NodeStream, closing: Bool) async throws {
        for start in stride(from: 0, to: data.count, by: 65_536) {
            try await stream.write(Array(data[start..<min(data.count, start + 65_536)]))
        }
        if closing { await stream.closeWrite() }
    }

    private func throughput(_ command: Command) async throws -> [String: any Sendable] {
        let count = command.number("bytes") ?? 0
        let chunk = [UInt8](repeating: 0xa5, count: max(1, command.number("chunk") ?? 65_536))
        let name = (try? command.text("proto")) ?? "/sink/1.0.0"
        let (got, seconds) = try await Self.fill(try await self.node.openStream(to: command.peer(), [name]), count, chunk)
        return ["bytes": Int(clamping: got), "seconds": seconds, "MBps": Double(got) / seconds / 1e6]
    }

    /// On the stream's own loop.
    private static func fill(_ stream: isolated NodeStream, _ count: Int, _ chunk: [UInt8]) async throws -> (UInt64, Double) {
        let start = ContinuousClock.now
        try await stream.write(Self.bytes(of: UInt64(count)))
        var left = count
        while left > 0 {
            try await stream.write(left >= chunk.count ? chunk : Array(chunk.prefix(left)))
            left -= min(left, chunk.count)
        }
        var answer: [UInt8] = []
        while answer.count < 8, let piece = try await stream.read() { answer += piece }
        let seconds = start.duration(to: .now) / .seconds(1)
        stream.closeWrite()
        return (answer.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }, seconds)
    }

    private static func bytes(of number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    // MARK: What it serves

    private func serveEcho(_ name: String) async {
        await self.node.serve(name) { stream in
            let start = ContinuousClock.now
            var (count, head) = (0, [UInt8]())
            do {
                while let chunk = try await stream.read() {
                    if head.count < 64 { head += chunk.prefix(64 - head.count) }
                    count += chunk.count
                    try await stream.write(chunk)
                }
                stream.closeWrite()
            } catch {
                stream.reset()
                Output.emit("stream_error", ["error": "\(error)"])
            }
            Self.tell("echo", stream, count, start, ["head_hex": head.map { String(format: "%02x", $0) }.joined()])
        }
    }

    private func serveSink(_ name: String) async {
        await self.node.serve(name) { stream in
            let start = ContinuousClock.now
            var (count, head) = (0, [UInt8]())
            do {
                while head.count < 8, let chunk = try await stream.read() { head += chunk }
                let wanted = head.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                count = max(0, head.count - 8)
                while count < wanted, let chunk = try await stream.read() { count += chunk.count }
                try await stream.write(Self.bytes(of: UInt64(count)))
                stream.closeWrite()
                // Until the other end is done as well.
                while try await stream.read() != nil {}
            } catch {
                stream.reset()
                if count == 0 { Output.emit("stream_error", ["error": "\(error)"]) }
            }
            Self.tell("sink", stream, count, start)
        }
    }

    private static func tell(
        _ mode: String, _ stream: NodeStream, _ count: Int, _ start: ContinuousClock.Instant, _ more: [String: any Sendable] = [:]
    ) {
        var fields = more
        fields["mode"] = mode
        fields["peer"] = stream.peer?.description ?? ""
        fields["bytes"] = count
        fields["seconds"] = start.duration(to: .now) / .seconds(1)
        Output.emit("stream", fields)
    }
}
