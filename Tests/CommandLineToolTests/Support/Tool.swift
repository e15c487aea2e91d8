import Foundation
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// What a run of the tool left behind.
struct Transcript {
    var output: String
    var errors: String
    /// The exit code, or 128 and the signal's number on top.
    var exitCode: Int32

    var outputLines: [String] { self.output.split(separator: "\n").map(String.init) }

    /// The one object of `--json`, and proof that nothing else was printed.
    func json() throws -> [String: Any] {
        #expect(self.outputLines.count == 1, "\(self.output)")
        return try #require(JSONSerialization.jsonObject(with: Data(self.output.utf8)) as? [String: Any])
    }
}

/// A run of the tool itself as a process, as a shell starts it.
struct Tool {
    var arguments: [String]
    var input: [UInt8] = []
    /// Added to a bare environment.
    var environment: [String: String] = [:]
    var output = Output.captured
    /// The bytes that file descriptor 3 gives, if it is open.
    var passphraseFile: String?
    /// Commands of a shell that come first: limits and the like.
    var shellPrelude: String?

    enum Output {
        case captured
        case closed
        case file(String)
        /// A pipe whose reader has gone.
        case brokenPipe
    }

    init(_ arguments: String...) { self.arguments = arguments }
    init(_ arguments: [String]) { self.arguments = arguments }

    /// The built executable: beside the test bundle.
    static let executable: String? = {
        var folders = CommandLine.arguments.map { ($0 as NSString).deletingLastPathComponent }
        if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            folders.append((own as NSString).deletingLastPathComponent)
        }
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        folders += ["debug", "release"].map { package.appendingPathComponent(".build/\($0)").path }
        return folders.map { "\($0)/chorale" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    func run() throws -> Transcript {
        let executable = try #require(Self.executable, "chorale must be built beside the tests")
        let folder = try TemporaryFolder()
        try Data(self.input).write(to: URL(fileURLWithPath: folder.path("input")))
        var actions = FileActions()
        defer { actions.destroy() }
        actions.open(0, folder.path("input"), O_RDONLY)
        var pipe: [Int32] = [-1, -1]
        switch self.output {
        case .captured: actions.open(1, folder.path("output"), O_WRONLY | O_CREAT | O_TRUNC)
        case .closed: actions.close(1)
        case .file(let path): actions.open(1, path, O_WRONLY)
        case .brokenPipe:
            try #require(Foundation.pipe(&pipe) == 0)
            actions.duplicate(pipe[1], 1)
            actions.close(pipe[0])
            actions.close(pipe[1])
        }
        actions.open(2, folder.path("errors"), O_WRONLY | O_CREAT | O_TRUNC)
        if let passphraseFile {
            try Data(passphraseFile.utf8).write(to: URL(fileURLWithPath: folder.path("passphrase")))
            actions.open(3, folder.path("passphrase"), O_RDONLY)
        } else {
            actions.close(3)
        }
        var words = [executable] + self.arguments
        if let shellPrelude { words = ["/bin/sh", "-c", "\(shellPrelude); exec \"$0\" \"$@\""] + words }
        // What a sanitizer was told holds for the processes that it watches, too.
        let sanitizers = ProcessInfo.processInfo.environment.filter { ["TSAN_OPTIONS", "ASAN_OPTIONS"].contains($0.key) }
        let variables = ["PATH": "/usr/bin:/bin"].merging(sanitizers) { $1 }.merging(self.environment) { $1 }
        let process = try Self.spawn(words, variables, &actions)
        for end in pipe where end >= 0 { close(end) }
        // Only then are the files complete.
        let exitCode = Self.exitCode(of: process)
        return Transcript(output: try folder.text("output"), errors: try folder.text("errors"), exitCode: exitCode)
    }

    /// Starts a process, in a session of its own: it has no terminal but the one that the actions open. And it hears SIGINT, whatever a
    /// shell did that runs the tests in its background.
    static func spawn(_ words: [String], _ environment: [String: String], _ actions: inout FileActions) throws -> pid_t {
        #if canImport(Glibc)
        var attributes = posix_spawnattr_t()
        let newSession: Int16 = 0x80
        #else
        var attributes: posix_spawnattr_t?
        let newSession = Int16(POSIX_SPAWN_SETSID)
        #endif
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var heard = sigset_t()
        sigemptyset(&heard)
        sigaddset(&heard, SIGINT)
        posix_spawnattr_setsigdefault(&attributes, &heard)
        posix_spawnattr_setflags(&attributes, newSession | Int16(POSIX_SPAWN_SETSIGDEF))
        var arguments = words.map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (arguments + variables).forEach { free($0) } }
        var process = pid_t()
        let code = posix_spawn(&process, words[0], &actions.raw, &attributes, &arguments, &variables)
        try #require(code == 0, "\(words[0]) cannot be started: \(String(cString: strerror(code)))")
        return process
    }

    static func exitCode(of process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) == -1, errno == EINTR {}
        return Self.exitCode(status)
    }

    /// The exit code if the process has ended; `nil` while it runs.
    static func exitCodeIfOver(of process: pid_t) -> Int32? {
        var status: Int32 = 0
        return waitpid(process, &status, WNOHANG) == process ? Self.exitCode(status) : nil
    }

    /// Ends a process that nobody waits for any more. One that is not waited for would stay, ended or not, and the testing library, which
    /// waits for whichever child ends first, would hear of no other one.
    static func end(_ process: pid_t) {
        kill(process, SIGKILL)
        _ = Self.exitCode(of: process)
    }

    private static func exitCode(_ status: Int32) -> Int32 {
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
}

/// What is opened and closed in a process before its program starts.
struct FileActions {
    #if canImport(Glibc)
    var raw = posix_spawn_file_actions_t()
    #else
    var raw: posix_spawn_file_actions_t?
    #endif

    init() { posix_spawn_file_actions_init(&self.raw) }

    mutating func open(_ number: Int32, _ path: String, _ flags: Int32) {
        posix_spawn_file_actions_addopen(&self.raw, number, path, flags, 0o600)
    }
    mutating func close(_ number: Int32) { posix_spawn_file_actions_addclose(&self.raw, number) }
    mutating func duplicate(_ number: Int32, _ target: Int32) { posix_spawn_file_actions_adddup2(&self.raw, number, target) }
    mutating func destroy() { posix_spawn_file_actions_destroy(&self.raw) }
}

/// A folder that goes when its owner does.
final class TemporaryFolder {
    let path: String

    init() throws {
        self.path = FileManager.default.temporaryDirectory.appendingPathComponent("chorale-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    func path(_ name: String) -> String { "\(self.path)/\(name)" }

    /// The text of a file, or nothing where there is none.
    func text(_ name: String) throws -> String {
        guard FileManager.default.fileExists(atPath: self.path(name)) else { return "" }
        return try String(contentsOfFile: self.path(name), encoding: .utf8)
    }

    func write(_ text: String, to name: String) throws -> String { try self.write(Array(text.utf8), to: name) }

    func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: self.path(name)))
        return self.path(name)
    }

    func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: self.path(name)))) }

    /// Everything in the folder, temporary files included.
    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: self.path).sorted() }
}
