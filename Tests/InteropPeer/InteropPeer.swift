// A peer for tests with other implementations of libp2p: commands as JSON come in, one a line; replies and events go out the same way.

import CryptoPrimitives
import Dispatch
import Foundation
import LibP2P
import LibP2PPosix

@main
struct InteropPeer {
    static func main() async throws {
        DescriptorLimit.raise()
        let options: Options
        do {
            options = try Options(Array(CommandLine.arguments.dropFirst()))
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(64)
        }
        let peer = Peer(try PosixNode(options.identity()))
        try await peer.start(options)
        for await line in Self.lines() {
            guard let command = try? Command(line) else { continue }
            if command.name == "quit" { break }
            // Commands may wait for one another.
            Task { await peer.answer(command) }
        }
        await peer.node.close()
        Output.emit("bye")
    }

    /// Standard input has no end of its own loop: a thread waits for it.
    private static func lines() -> AsyncStream<String> {
        let (stream, continuation) = AsyncStream.makeStream(of: String.self)
        Thread.detachNewThread {
            while let line = readLine() { continuation.yield(line) }
            continuation.finish()
        }
        return stream
    }
}

/// What the command line says.
struct Options {
    struct Unknown: Error, CustomStringConvertible {
        let description: String
    }

    var listen: [Multiaddr] = []
    var seed: [UInt8]?
    var echo = "/echo/1.0.0"
    var sink = "/sink/1.0.0"

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            if name == "--no-pubsub" { continue }
            guard let value = rest.popFirst() else { throw Unknown(description: "\(name) needs a value") }
            switch (name, value) {
            case ("--listen", _): self.listen.append(try Multiaddr(text: value))
            case ("--seed", _): self.seed = try Hex.decode(value)
            case ("--echo", _): self.echo = value
            case ("--sink", _): self.sink = value
            case ("--dht", "off"), ("--relay", "off"): break
            default: throw Unknown(description: "\(name) \(value) is not known here")
            }
        }
        if self.listen.isEmpty { self.listen = [try Multiaddr(text: "/ip4/127.0.0.1/tcp/0")] }
    }

    func identity() throws -> PeerIdentity {
        guard let seed = self.seed else { return PeerIdentity(try Ed25519.SecretKey.generate()) }
        guard seed.count == 32 else { throw Unknown(description: "--seed takes 64 hexadecimal digits") }
        return PeerIdentity(try Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.copyBytes(from: seed) }))
    }
}

/// One line of standard input.
struct Command: Sendable {
    struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    let id: Int
    let name: String
    private let texts: [String: String]
    private let numbers: [String: Int]
    private let lists: [String: [String]]

    init(_ line: String) throws {
        guard let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], let id = object["id"] as? Int,
            let name = object["cmd"] as? String
        else { throw Missing(description: "no id or no cmd") }
        self.id = id
        self.name = name
        self.texts = object.compactMapValues { $0 as? String }
        self.numbers = object.compactMapValues { $0 as? Int }
        self.lists = object.compactMapValues { $0 as? [String] }
    }

    func bytes(_ key: String) throws -> [UInt8]? {
        if let hex = self.texts[key + "_hex"] { return try Hex.decode(hex) }
        return self.texts[key].map { Array($0.utf8) }
    }

    func text(_ key: String) throws -> String {
        guard let bytes = try self.bytes(key) else { throw Missing(description: "\(key) is missing") }
        return String(decoding: bytes, as: UTF8.self)
    }

    func texts(_ key: String) throws -> [String] { try self.lists[key] ?? [self.text(key)] }

    func number(_ key: String) -> Int? { self.numbers[key] }

    func peer() throws -> PeerID { try PeerID(text: self.text("peer")) }
}

/// One JSON object a line on standard output.
enum Output {
    private static let queue = DispatchQueue(label: "output")

    static func emit(_ event: String, _ fields: [String: any Sendable] = [:]) {
        var object = fields
        object["event"] = event
        object["t"] = Date().timeIntervalSince1970
        let options: JSONSerialization.WritingOptions = [.withoutEscapingSlashes, .sortedKeys]
        guard let data = try? JSONSerialization.data(withJSONObject: object, options: options) else { return }
        self.queue.sync { FileHandle.standardOutput.write(data + Data([0x0a])) }
    }
}
