import Bitcoin
import CryptoPrimitives
import Foundation
import SessionStore
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A `chorale node run` in the background, with a home of its own on this machine.
final class NodeProcess {
    let folder: TemporaryFolder
    private let label: String
    private(set) var process: pid_t = -1
    private var lives = 0

    var home: String { self.folder.path("home") }

    /// Makes home and key, and starts the node.
    init(_ label: String, _ words: String...) throws {
        self.folder = try NodeHomeFolder(label).folder
        self.label = label
        try self.start(words)
    }

    deinit { self.kill() }

    /// Starts it, and waits until it is ready.
    func start(_ words: [String] = []) throws {
        let executable = try #require(Tool.executable, "chorale must be built beside the tests")
        self.lives += 1
        var actions = FileActions()
        defer { actions.destroy() }
        actions.open(0, "/dev/null", O_RDONLY)
        actions.open(1, self.folder.path("output \(self.lives)"), O_WRONLY | O_CREAT | O_TRUNC)
        actions.open(2, self.folder.path("errors \(self.lives)"), O_WRONLY | O_CREAT | O_TRUNC)
        let sanitizers = ProcessInfo.processInfo.environment.filter { ["TSAN_OPTIONS", "ASAN_OPTIONS"].contains($0.key) }
        let variables = ["PATH": "/usr/bin:/bin", "CHORALE_PASSPHRASE": "pppp"].merging(sanitizers) { $1 }
        let arguments = [executable, "node", "run", "--home", self.home, "--json", "--listen", "/ip4/127.0.0.1/tcp/0"] + words
        self.process = try Tool.spawn(arguments, variables, &actions)
        try self.waitFor { !$0.isEmpty }
    }

    /// What it told in this life, line by line.
    func events() throws -> [[String: Any]] {
        // The last line may be half written.
        try self.folder.text("output \(self.lives)").split(separator: "\n").compactMap { line in
            try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        }
    }

    func waitFor(_ isThere: ([[String: Any]]) throws -> Bool) throws {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            if try isThere(self.events()) { return }
            usleep(20_000)
        }
        let told = "\(try self.folder.text("output \(self.lives)")) \(try self.folder.text("errors \(self.lives)"))"
        Issue.record("\(self.label) does not tell it: \(told)")
    }

    func kill() {
        guard self.process > 0 else { return }
        Tool.end(self.process)
        self.process = -1
    }

    /// Asks it to stop.
    func interrupt() -> Int32 {
        Foundation.kill(self.process, SIGINT)
        defer { self.process = -1 }
        return Tool.exitCode(of: self.process)
    }

    /// A command to this node.
    func run(_ words: String...) throws -> Transcript { try Tool(words + ["--home", self.home]).run() }

    /// The one object that a command prints, after it has done its work.
    func json(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> [String: Any] {
        let run = try Tool(words + ["--home", self.home, "--json"]).run()
        #expect(run.exitCode == 0, "\(run.errors)", sourceLocation: sourceLocation)
        return try run.json()
    }
}

/// A node's home with its key, in which none runs.
struct NodeHomeFolder {
    let folder: TemporaryFolder

    var home: String { self.folder.path("home") }

    init(_ label: String = "Ada") throws {
        self.folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            atPath: self.folder.path("home"), withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        // Cheap to unlock: it guards nothing.
        _ = try KeyFile.create(
            at: self.folder.path("home/node.key"), key: .generate(), identity: .generate(), network: .regtest, label: label,
            passphrase: SecretBytes(count: 4) { $0.initializeMemory(as: UInt8.self, repeating: 0x70) },
            cost: SealedSecret.Cost(passes: 1, memoryKibibytes: 8))
    }
}
