import Foundation
import Synchronization
import Testing

@testable import CommandLineTool

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A client that says and leaves out what it likes.
private final class RawClient {
    let descriptor: Int32

    init(_ path: String) throws { self.descriptor = try ControlSocket.connect(to: path) }
    deinit { close(self.descriptor) }

    func write(_ text: String) throws { _ = try ControlSocket.send(Array(text.utf8)[...], to: self.descriptor) }

    /// Everything until the node ends the connection.
    func rest() throws -> String {
        var bytes: [UInt8] = []
        while true {
            var request = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&request, 1, 30_000) == 1, "the node does not end the connection")
            do throws(SystemError) {
                let chunk = try FileDescriptor(number: self.descriptor).read(atMost: 65_536)
                guard !chunk.isEmpty else { break }
                bytes += chunk
            } catch { break }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite struct ControlChannelTests {
    private let folder: TemporaryFolder
    private let home: NodeHome

    init() throws {
        self.folder = try TemporaryFolder()
        self.home = NodeHome(self.folder.path("home"))
        try self.home.create()
    }

    /// A server, for as long as the work goes on.
    private func serving(
        _ handler: @escaping ControlHandler, within limits: ControlServer.Limits = ControlServer.Limits(),
        _ work: (ControlServer) async throws -> Void
    ) async throws {
        let server = ControlServer(at: self.home.socket, limits: limits, handler)
        try await server.start()
        do { try await work(server) } catch {
            await server.stop()
            throw error
        }
        await server.stop()
        #expect(!FileManager.default.fileExists(atPath: self.home.socket))
    }

    private static let echo: ControlHandler = { request, reply async throws(ControlError) in
        guard case .array(let items)? = request["items"] else { throw .missing("there are no items") }
        for item in items { try await reply.send(item) }
    }

    @Test func `a request is answered with no, one or many things, or with the reason why not`() async throws {
        try await self.serving(Self.echo) { _ in
            let client = ControlClient(self.home)
            #expect(try await client.items(.object(["items": .array([])])).isEmpty)
            let items = try await client.items(.object(["items": .array([.integer(1), .string("a\n\"b"), .object(["x": .null])])]))
            #expect(items.map(\.text) == ["1", #""a\n\"b""#, #"{"x":null}"#])
            #expect(try await client.ask(.object(["items": .array([.bool(true)])])).text == "true")
            await #expect(throws: CommandError.missing("there are no items")) { try await client.ask(.object([:])) }
            let taken = Mutex(0)
            try await client.ask(.object(["items": .array((0..<100).map { .integer($0) })])) { _ in
                taken.withLock {
                    $0 += 1; return $0 < 3
                }
            }
            #expect(taken.withLock { $0 } == 3)
        }
    }

    @Test func `a long line comes through whole, a longer one is refused, and so is what is no JSON`() async throws {
        var limits = ControlServer.Limits()
        limits.lineByteCountMax = 3_000_000
        try await self.serving(Self.echo, within: limits) { _ in
            let client = ControlClient(self.home)
            let text = String(repeating: "abcdefgh", count: 300_000)
            guard case .string(let back) = try await client.ask(.object(["items": .array([.string(text)])])) else {
                return #expect(Bool(false))
            }
            #expect(back == text)
            await #expect(throws: CommandError.failed("a request has more than 3000000 bytes: send a smaller one")) {
                try await client.ask(.object(["items": .array([.string(text + text)])]))
            }
            for nonsense in ["{", "\u{1}\u{2}", "{\"a\":1}}", "", "nul"] {
                let raw = try RawClient(self.home.socket)
                try raw.write(nonsense + "\n")
                #expect(try raw.rest().hasPrefix(#"{"error":{"kind":"failed","message":"this is no JSON"#))
            }
        }
    }

    @Test func `a client that hangs, leaves or says too much harms nobody`() async throws {
        var limits = ControlServer.Limits()
        limits.requestTimeout = .milliseconds(300)
        let ended = Mutex(0)
        let handler: ControlHandler = { request, reply async throws(ControlError) in
            guard case .bool(true)? = request["forever"] else { return try await Self.echo(request, reply) }
            try await reply.send(.string("begun"))
            // Ends when the client has gone.
            try? await Task.sleep(for: .seconds(3_600))
            ended.withLock { $0 += 1 }
        }
        try await self.serving(handler, within: limits) { _ in
            // Says nothing, or half of it.
            let silent = try RawClient(self.home.socket)
            let half = try RawClient(self.home.socket)
            try half.write(#"{"items":"#)
            // Says more than one thing.
            let two = try RawClient(self.home.socket)
            try two.write("{\"items\":[]}\n{\"items\":[]}\n")
            #expect(try two.rest() == "")
            // Leaves while the node waits for it.
            let leaving = ControlClient(self.home)
            try await leaving.ask(.object(["forever": .bool(true)])) { _ in false }
            #expect(try await ControlClient(self.home).ask(.object(["items": .array([.integer(7)])])).text == "7")
            #expect(try silent.rest() == "")
            #expect(try half.rest() == "")
            let end = ContinuousClock.now + .seconds(30)
            while ended.withLock({ $0 }) == 0, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(10)) }
            #expect(ended.withLock { $0 } == 1)
        }
    }

    @Test func `a client that does not read is dropped, and its answer does not pile up`() async throws {
        var limits = ControlServer.Limits()
        limits.writeTimeout = .milliseconds(300)
        let sent = Mutex(0)
        let isGone = Mutex(false)
        let handler: ControlHandler = { _, reply async throws(ControlError) in
            do throws(ControlError) {
                while true {
                    try await reply.send(.string(String(repeating: "x", count: 10_000)))
                    sent.withLock { $0 += 1 }
                }
            } catch {
                isGone.withLock { $0 = error == .clientGone }
                throw error
            }
        }
        try await self.serving(handler, within: limits) { _ in
            let raw = try RawClient(self.home.socket)
            try raw.write("{}\n")
            let end = ContinuousClock.now + .seconds(30)
            while !isGone.withLock({ $0 }), ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(10)) }
            #expect(isGone.withLock { $0 })
            // What the system's own buffer holds, and no more.
            #expect(sent.withLock { $0 } < 1_000)
        }
    }

    @Test func `there are so many places, and one that is left is free again`() async throws {
        var limits = ControlServer.Limits()
        limits.clientCountMax = 2
        try await self.serving(Self.echo, within: limits) { _ in
            var clients = try (0..<2).map { _ in try RawClient(self.home.socket) }
            let request = JSONValue.object(["items": .array([.integer(1)])])
            await #expect(throws: CommandError.failed("the node answers 2 commands already: end one of them first")) {
                try await ControlClient(self.home).ask(request)
            }
            clients.removeLast()
            var answer: String?
            let end = ContinuousClock.now + .seconds(30)
            while answer == nil, ContinuousClock.now < end { answer = try? await ControlClient(self.home).ask(request).text }
            #expect(answer == "1")
        }
    }

    @Test func `a node that ends, or hangs, is told as such`() async throws {
        let handler: ControlHandler = { _, reply async throws(ControlError) in
            try await reply.send(.integer(1))
            try? await Task.sleep(for: .seconds(3_600))
        }
        try await self.serving(handler) { server in
            let client = ControlClient(self.home)
            await #expect(throws: CommandError.self) { try await client.ask(.object([:]), patience: .milliseconds(100)) }
            do throws(CommandError) {
                try await client.ask(.object([:])) { _ in
                    Task { await server.stop() }
                    return true
                }
                Issue.record("an answer that was cut off counts as whole")
            } catch {
                #expect("\(error)".contains("has gone: it ended in the middle of its answer; start it again with: chorale node run --home"))
            }
        }
        await #expect(throws: CommandError.self) { try await ControlClient(self.home).ask(.object([:])) }
    }

    @Test func `where no node runs, the line to run one is told`() async throws {
        do throws(CommandError) {
            _ = try await ControlClient(self.home).ask(.object([:]))
            Issue.record("somebody answers")
        } catch {
            #expect(error.exitCode == .missing)
            #expect(
                "\(error)"
                    == "no node runs in \(self.home.path): start it in another terminal with: chorale node run --home \(self.home.path)")
        }
    }

    @Test func `a socket that a killed node left is taken over, one that answers is not, and other files stay`() async throws {
        // Bound, and its process gone.
        let left = try ControlSocket.listen(at: self.home.socket)
        close(left)
        #expect(FileManager.default.fileExists(atPath: self.home.socket))
        try await self.serving(Self.echo) { _ async throws in
            var status = stat()
            #expect(stat(self.home.socket, &status) == 0 && status.st_mode & 0o777 == 0o600)
            do throws(CommandError) {
                close(try ControlSocket.listen(at: self.home.socket))
                Issue.record("a second node takes the name")
            } catch {
                #expect("\(error)" == "a node runs already behind \(self.home.socket): end it first, or use another --home")
            }
            #expect(try await ControlClient(self.home).ask(.object(["items": .array([.integer(3)])])).text == "3")
        }
        _ = try self.folder.write("a letter", to: "home/control.sock")
        #expect(throws: CommandError.self) { try ControlSocket.listen(at: self.home.socket) }
        #expect(try self.folder.text("home/control.sock") == "a letter")
    }

    @Test func `a path that is too long for a socket is refused with its length`() throws {
        let path = self.folder.path(String(repeating: "x", count: 120))
        do throws(CommandError) {
            close(try ControlSocket.listen(at: path))
            Issue.record("it listens")
        } catch {
            #expect("\(error)".contains("has \(path.utf8.count) bytes, and a socket's has at most \(ControlSocket.pathByteCountMax)"))
        }
    }

    @Test func `whose process is at the other end is known`() throws {
        var pair: [Int32] = [0, 0]
        #if canImport(Glibc)
        let type = Int32(SOCK_STREAM.rawValue)
        #else
        let type = SOCK_STREAM
        #endif
        try #require(socketpair(AF_UNIX, type, 0, &pair) == 0)
        defer { for end in pair { close(end) } }
        #expect(ControlSocket.peerUser(of: pair[0]) == geteuid())
        #expect(ControlSocket.peerUser(of: -1) == nil)
    }
}

@Suite struct NodeHomeTests {
    private let folder: TemporaryFolder

    init() throws { self.folder = try TemporaryFolder() }

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test func `a home is made for its owner alone, and made again it stays as it is`() throws {
        let home = NodeHome(self.folder.path("home") + "//")
        #expect(home.path == self.folder.path("home"))
        for _ in 0..<2 {
            try home.create()
            #expect(self.mode(home.path) == 0o700 && self.mode(home.groups) == 0o700)
        }
        #expect(NodeHome("/").path == "/")
    }

    @Test func `a home that others may look into, that is none, or that is not there is refused with what to do`() throws {
        let home = NodeHome(self.folder.path("it's home"))
        #expect(
            throws: CommandError.missing(
                "there is no folder \(home.path): name the node's with --home FOLDER, or start one: chorale node run")
        ) { try home.check() }
        try home.create()
        chmod(home.path, 0o750)
        let shown = home.path.replacingOccurrences(of: "'", with: #"'\''"#)
        #expect(throws: CommandError.failed("others may look into the node's folder: chmod 700 '\(shown)'")) { try home.check() }
        #expect(throws: CommandError.self) { try home.create() }
        let file = NodeHome(try self.folder.write("", to: "file"))
        #expect(throws: CommandError.failed("\(file.path) is no folder: name the node's with --home FOLDER")) { try file.check() }
        #expect(throws: CommandError.self) { try NodeHome(self.folder.path("a/b/c")).create() }
        #expect(throws: CommandError.self) { try NodeHome("\(file.path)/x").check() }
        #expect(throws: CommandError.self) { try NodeHome("a\u{0}b").create() }
    }
}
