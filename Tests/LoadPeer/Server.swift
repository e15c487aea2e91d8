import CryptoPrimitives
import LibP2P
import LibP2PPosix
import Synchronization

/// The end that is put under load.
enum Server {
    /// Load bytes read on all streams.
    private static let readByteCount = Atomic<Int>(0)

    static func run(isWhole: Bool) async throws {
        var configuration = LoadPeer.configuration(isWhole: isWhole)
        // All clients of these tests come from one address, and what counts is held until they go.
        configuration.limits.inboundCountFromAddressMax = configuration.limits.connectionCountMax
        let node = try PosixNode(PeerIdentity(Ed25519.SecretKey.generate()), configuration: configuration)
        if isWhole { _ = try await node.subscribe(to: "load") }
        await node.serve("/echo/1.0.0") { stream in await Self.echo(stream) }
        await node.serve(LoadStream.protocolID) { stream in await Self.sink(stream) }
        let addresses = try await node.listen(on: Multiaddr(text: "/ip4/127.0.0.1/tcp/0"))
        LoadPeer.say("ready \(addresses[0].appending(.p2p(node.id)))")
        // The loop needs no thread of ours, so this one may wait for words.
        while let word = readLine() {
            guard word == "state" else { continue }
            LoadPeer.say("state \(await node.connectedPeers.count) \(await node.pipeCount) \(await node.heldByteCount)")
        }
        await node.close()
        LoadPeer.say("bye")
    }

    private static func echo(_ stream: isolated NodeStream) async {
        do throws(NodeStreamError) {
            while let chunk = try await stream.read() { try await stream.write(chunk) }
            stream.closeWrite()
        } catch {
            stream.reset()
        }
    }

    /// Reads a load stream, checks where its bytes are, and answers how many came.
    private static func sink(_ stream: isolated NodeStream) async {
        do {
            var reader = LoadReader()
            while let chunk = try await stream.read() {
                try reader.take(chunk)
                self.readByteCount.add(chunk.count, ordering: .relaxed)
                guard let pause = reader.duePause() else { continue }
                LoadPeer.say("pausing \(self.readByteCount.load(ordering: .relaxed))")
                try await Task.sleep(for: .milliseconds(pause.milliseconds))
                LoadPeer.say("resuming \(self.readByteCount.load(ordering: .relaxed))")
            }
            try await stream.write(Array("\(reader.byteCount) of \(reader.wantedByteCount)".utf8))
            stream.closeWrite()
        } catch {
            LoadPeer.say("error \(error)")
            stream.reset()
        }
    }
}

/// Follows a load stream through chunks of any size.
struct LoadReader {
    struct OutOfPlace: Error {
        let offset: Int
    }

    private var head: [UInt8] = []
    private(set) var byteCount = 0
    private var stream: Int?
    private var mark: [UInt8] = []
    private var pause = Pause.none

    var wantedByteCount: Int { LoadStream.number(self.head.prefix(8)) }

    mutating func take(_ bytes: [UInt8]) throws(OutOfPlace) {
        var rest = bytes[...]
        if self.head.count < LoadStream.headByteCount {
            let part = rest.prefix(LoadStream.headByteCount - self.head.count)
            self.head += part
            rest = rest.dropFirst(part.count)
            guard self.head.count == LoadStream.headByteCount else { return }
            self.pause = Pause(at: LoadStream.number(self.head[8..<16]), milliseconds: LoadStream.number(self.head[16...]))
        }
        while !rest.isEmpty {
            let place = self.byteCount % LoadStream.chunkByteCount
            let part = rest.prefix(place < 8 ? 8 - place : LoadStream.chunkByteCount - place)
            if place < 8 {
                self.mark += part
                if self.mark.count == 8 { try self.check() }
            }
            self.byteCount += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    private mutating func check() throws(OutOfPlace) {
        let stream = self.stream ?? LoadStream.number(self.mark[..<3])
        guard self.mark == LoadStream.mark(stream: stream, chunk: self.byteCount / LoadStream.chunkByteCount) else {
            throw OutOfPlace(offset: self.byteCount)
        }
        self.stream = stream
        self.mark = []
    }

    /// Once, when its place is reached.
    mutating func duePause() -> Pause? {
        guard self.byteCount >= self.pause.at else { return nil }
        defer { self.pause = .none }
        return self.pause
    }
}
