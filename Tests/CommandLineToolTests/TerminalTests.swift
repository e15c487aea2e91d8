import Foundation
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// A terminal without a screen, and a run of the tool that sits at it.
final class Terminal {
    private let keyboard: Int32
    /// The tool's end, kept open to look at the terminal's settings.
    private let line: Int32
    private let folder: TemporaryFolder
    private let process: pid_t
    private var isOver = false
    private var shown: [UInt8] = []
    /// Everything that the terminal has shown.
    var screen: String { String(decoding: self.shown, as: UTF8.self) }

    convenience init(_ arguments: String..., environment: [String: String] = ["TERM": "xterm"]) throws {
        try self.init(arguments, environment: environment)
    }

    init(_ arguments: [String], environment: [String: String] = ["TERM": "xterm"]) throws {
        self.folder = try TemporaryFolder()
        var (keyboard, line) = (Int32(-1), Int32(-1))
        try #require(openpty(&keyboard, &line, nil, nil, nil) == 0)
        (self.keyboard, self.line) = (keyboard, line)
        let name = String(cString: try #require(ttyname(line)))
        _ = fcntl(self.keyboard, F_SETFL, O_NONBLOCK)
        for number in [self.keyboard, self.line] { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
        var actions = FileActions()
        defer { actions.destroy() }
        // The first terminal that a new session opens is its own.
        actions.open(0, name, O_RDWR)
        actions.open(1, self.folder.path("output"), O_WRONLY | O_CREAT | O_TRUNC)
        actions.duplicate(0, 2)
        let executable = try #require(Tool.executable)
        // What `Echo` keeps on purpose, a leak checker would find: whoever runs the tests under one says what it shall look for.
        let options = ProcessInfo.processInfo.environment.filter { $0.key == "ASAN_OPTIONS" }
        self.process = try Tool.spawn([executable] + arguments, environment.merging(options) { own, _ in own }, &actions)
    }

    deinit {
        if !self.isOver { Tool.end(self.process) }
        close(self.keyboard)
        close(self.line)
    }

    /// Waits until the screen shows the text.
    func waitFor(_ text: String) throws {
        let deadline = Date().addingTimeInterval(20)
        while !self.screen.contains(text) {
            try #require(Date() < deadline, "the terminal never showed \"\(text)\", but: \(self.screen)")
            self.look()
            usleep(2_000)
        }
    }

    /// Reads what is there by now. The system gives a part of it at a time.
    private func look() {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        while case let count = read(self.keyboard, &bytes, bytes.count), count > 0 { self.shown += bytes[..<count] }
    }

    func type(_ text: String) { _ = write(self.keyboard, text, text.utf8.count) }

    func send(_ signal: Int32) { kill(self.process, signal) }

    /// Waits for the end of the tool, and until the screen shows all that it wrote.
    func wait() throws -> (output: String, exitCode: Int32) {
        // Looked at all the while: a tool that writes to a full terminal stands still.
        var end: Int32?
        while end == nil {
            end = Tool.exitCodeIfOver(of: self.process)
            self.look()
            if end == nil { usleep(2_000) }
        }
        self.isOver = true
        let exitCode = try #require(end)
        // The system brings what was written to the screen in its own time, perhaps after the tool's end, but in order.
        let mark = "\u{4}all\u{4}"
        try #require(write(self.line, mark, mark.utf8.count) == mark.utf8.count)
        try self.waitFor(mark)
        self.shown.removeLast(mark.utf8.count)
        return (try self.folder.text("output"), exitCode)
    }

    /// Whether what is typed now would show.
    var echoes: Bool {
        var settings = termios()
        return tcgetattr(self.line, &settings) == 0 && settings.c_lflag & tcflag_t(ECHO) != 0
    }
}

@Suite(.serialized) struct TerminalTests {
    @Test func `a new passphrase is asked for twice and never shows`() throws {
        let folder = try TemporaryFolder()
        let terminal = try Terminal("key", "new", "--network", "signet", "--out", folder.path("a.key"))
        try terminal.waitFor("New passphrase for \(folder.path("a.key")): ")
        #expect(!terminal.echoes)
        terminal.type("correct horse\n")
        try terminal.waitFor("The same again: ")
        terminal.type("correct horse\n")
        let end = try terminal.wait()
        #expect(end.exitCode == 0 && end.output.hasPrefix("New key in"))
        #expect(!terminal.screen.contains("horse"))
        #expect(terminal.echoes)

        let check = try Terminal("key", "show", folder.path("a.key"), "--check")
        try check.waitFor("Passphrase of \(folder.path("a.key")): ")
        check.type("correct horse\n")
        #expect(try check.wait().exitCode == 0)
        #expect(!check.screen.contains("horse") && check.echoes)
    }

    @Test func `two passphrases that differ, or none, make no key`() throws {
        let folder = try TemporaryFolder()
        for (first, second, message) in [("one", "two", "the two passphrases are not the same"), ("", "", "is empty")] {
            let terminal = try Terminal("key", "new", "--network", "signet", "--out", folder.path("a.key"))
            try terminal.waitFor("New passphrase")
            terminal.type("\(first)\n")
            if !first.isEmpty {
                try terminal.waitFor("The same again: ")
                terminal.type("\(second)\n")
            }
            try terminal.waitFor(message)
            #expect(try terminal.wait().exitCode == 1)
            #expect(terminal.echoes)
        }
        #expect(try folder.names() == [])
    }

    @Test func `Ctrl-C while a passphrase is typed ends with exit code 4 and the echo back on`() throws {
        let folder = try TemporaryFolder()
        let terminal = try Terminal("key", "new", "--network", "signet", "--out", folder.path("a.key"))
        try terminal.waitFor("New passphrase")
        #expect(!terminal.echoes)
        terminal.type("half a pass\u{3}")
        try terminal.waitFor("chorale: interrupted")
        #expect(try terminal.wait().exitCode == 4)
        #expect(terminal.echoes)
        #expect(try folder.names() == [])
    }

    @Test func `no other key and no signal leaves the terminal without its echo`() throws {
        let folder = try TemporaryFolder()
        let terminal = try Terminal("key", "new", "--network", "signet", "--out", folder.path("a.key"))
        try terminal.waitFor("New passphrase")
        // Ctrl-Z and its signal are passed over, and Ctrl-\ ends like Ctrl-C, without a core file.
        terminal.type("half\u{1a}")
        terminal.send(SIGTSTP)
        usleep(50_000)
        #expect(!terminal.echoes)
        terminal.type(" a pass\u{1c}")
        try terminal.waitFor("chorale: interrupted")
        #expect(try terminal.wait().exitCode == 4)
        #expect(terminal.echoes)
        #expect(try folder.names() == [])
    }

    @Test func `messages are coloured on a terminal, unless NO_COLOR is set`() throws {
        let coloured = try Terminal("nonsense")
        try coloured.waitFor("see: chorale --help")
        #expect(try coloured.wait().exitCode == 2)
        #expect(coloured.screen.contains("\u{1b}[31mchorale:\u{1b}[0m there is no command"))
        for environment in [["TERM": "xterm", "NO_COLOR": "1"], ["TERM": "dumb"]] {
            let plain = try Terminal("nonsense", environment: environment)
            try plain.waitFor("see: chorale --help")
            #expect(try plain.wait().exitCode == 2)
            #expect(!plain.screen.contains("\u{1b}"))
        }
    }

    /// Work of some seconds.
    private static func longWork(in folder: TemporaryFolder) throws -> [String] {
        let signers = try folder.write(Samples.signersFile(16), to: "signers.txt")
        return ["multisig", "address", "--threshold", "8", "--signers", signers, "--owner-unspendable", "--network", "signet"]
    }

    @Test func `long work shows how far it is, and takes the line away`() throws {
        let folder = try TemporaryFolder()
        let terminal = try Terminal(Self.longWork(in: folder))
        try terminal.waitFor("computing the keys of all sets of signers  ")
        try terminal.waitFor(" of 12,870 (")
        let end = try terminal.wait()
        #expect(end.exitCode == 0 && end.output.contains("  leaves         12,870, one for each set of 8 signers"))
        #expect(terminal.screen.hasSuffix("\r\u{1b}[K"))
    }

    @Test func `long work without a terminal tells at most one line a second`() throws {
        let folder = try TemporaryFolder()
        let start = Date()
        let run = try Tool(Self.longWork(in: folder)).run()
        let seconds = Date().timeIntervalSince(start)
        #expect(run.exitCode == 0)
        let lines = run.errors.split(separator: "\n")
        #expect(Double(lines.count) <= seconds)
        #expect(lines.allSatisfy { $0.hasPrefix("computing the keys of all sets of signers  ") }, "\(run.errors)")
        #expect(!run.errors.contains("\u{1b}") && !run.errors.contains("\r"))
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
    func `long work that is asked to stop ends with exit code 4`(signal: Int32) throws {
        let folder = try TemporaryFolder()
        let terminal = try Terminal(Self.longWork(in: folder))
        try terminal.waitFor("computing the keys")
        terminal.send(signal)
        let end = try terminal.wait()
        #expect(end.exitCode == 4 && end.output == "")
        #expect(terminal.screen.hasSuffix("chorale: interrupted\r\n"))
    }
}
