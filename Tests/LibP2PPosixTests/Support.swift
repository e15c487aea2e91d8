import CryptoPrimitives
import LibP2P
import Testing

@testable import LibP2PPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

struct TookTooLong: Error {}

/// The result of something that must not take longer than a limit.
func within<Value: Sendable>(
    _ limit: Duration = .seconds(120), _ work: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask { try await work() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw TookTooLong()
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw TookTooLong() }
        return first
    }
}

func newNode(limits: SwarmLimits = SwarmLimits()) throws -> PosixNode {
    try PosixNode(PeerIdentity(Ed25519.SecretKey.generate()), limits: limits)
}

/// A node that listens on loopback and speaks echo and sink.
func listeningNode(on text: String = "/ip4/127.0.0.1/tcp/0", limits: SwarmLimits = SwarmLimits()) async throws -> (PosixNode, Multiaddr) {
    let node = try newNode(limits: limits)
    let addresses = try await node.listen(on: Multiaddr(text: text))
    await node.serve("/echo/1.0.0") { stream in
        do {
            while let chunk = try await stream.read() { try await stream.write(chunk) }
            stream.closeWrite()
        } catch {
            stream.reset()
        }
    }
    // Answers how many bytes came.
    await node.serve("/count/1.0.0") { stream in
        do {
            var count = 0
            while let chunk = try await stream.read() { count += chunk.count }
            try await stream.write(Array(String(count).utf8))
            stream.closeWrite()
        } catch {
            stream.reset()
        }
    }
    return (node, try #require(addresses.first))
}

/// What comes back for bytes and a half-close.
func exchange(_ bytes: [UInt8], _ node: PosixNode, _ peer: PeerID, _ protocolID: String = "/echo/1.0.0") async throws -> [UInt8] {
    let stream = try await node.openStream(to: peer, [protocolID])
    async let answer = stream.readToEnd(upTo: 1 << 28)
    // Not all at once: a stream's send buffer takes a chunk only when it is not full.
    for start in stride(from: 0, to: bytes.count, by: 65_536) {
        try await stream.write(Array(bytes[start..<min(bytes.count, start + 65_536)]))
    }
    await stream.closeWrite()
    return try await answer
}

/// Memory of this process that is in use, where the system tells.
func residentByteCount() -> Int? {
    let descriptor = open("/proc/self/statm", O_RDONLY)
    guard descriptor >= 0 else { return nil }
    defer { System.close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    let words = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
    return words.count > 1 ? Int(words[1]).map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) } : nil
}

/// A bare socket that waits for what it reads, to be what no node is.
final class BareSocket: Sendable {
    let descriptor: Int32

    init(connectedTo address: Multiaddr) throws {
        let transport = try #require(TransportAddress(address))
        guard case .address(let host) = transport.host else { throw TookTooLong() }
        let target = SocketAddress(host, port: transport.port)
        self.descriptor = socket(target.family, System.stream, 0)
        // No test waits here for ever.
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        _ = try System.connect(self.descriptor, to: target)
    }

    deinit { System.close(self.descriptor) }

    func send(_ text: String) throws { try self.send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws { #expect(try System.send(self.descriptor, bytes) == bytes.count) }

    /// The next bytes, as many as there are up to a count.
    func read(_ count: Int) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let read = try? buffer.withUnsafeMutableBytes { try System.receive(self.descriptor, into: $0) }
        return Array(buffer.prefix(read ?? 0))
    }

    /// What comes until the other end is done.
    func readToEnd() -> [UInt8] {
        var (bytes, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 4_096))
        while let count = try? buffer.withUnsafeMutableBytes({ try System.receive(self.descriptor, into: $0) }), count > 0 {
            bytes += buffer.prefix(count)
        }
        return bytes
    }
}
