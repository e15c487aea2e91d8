#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Another process of this same program.
struct ChildProcess {
    let number: pid_t

    /// Makes the system keep how children end until it is asked. Who started this program may have told it to forget, and then nobody
    /// could wait for them.
    static func keepEnds() { _ = signal(SIGCHLD, SIG_DFL) }

    /// Where this program's own executable is.
    static var ownExecutable: String {
        #if os(Linux)
        var buffer = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        if count > 0, count < buffer.count { return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) }
        #endif
        return CommandLine.arguments.first ?? "chorale"
    }

    /// A process that is there already.
    init(number: pid_t) { self.number = number }

    /// Starts this program with other arguments. What it prints goes to a file, and its standard input is empty.
    ///
    /// - Parameter environment: `NAME=VALUE` for each variable; it gets no others.
    init(arguments: [String], environment: [String], output: String) throws(CommandError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let executable = Self.ownExecutable
        var words = ([executable] + arguments).map { strdup($0) } + [nil]
        var variables = environment.map { strdup($0) } + [nil]
        defer { for word in words + variables { free(word) } }
        var number: pid_t = 0
        let code = posix_spawn(&number, executable, &actions, nil, &words, &variables)
        guard code == 0 else { throw .failed("\(executable) cannot be started: \(SystemError(number: code))") }
        self.number = number
    }

    /// The exit code if the process has ended, 128 and more for one that a signal ended; `nil` while it runs. Of a process whose end was
    /// kept for nobody it is 0: what it did must tell.
    func exitCode() -> Int32? {
        var status: Int32 = 0
        let ended = waitpid(self.number, &status, WNOHANG)
        if ended == -1, errno == ECHILD { return 0 }
        guard ended == self.number else { return nil }
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }

    func askToStop() { kill(self.number, SIGTERM) }

    /// Until `goOn` it does nothing, and does not know it.
    func standStill() { kill(self.number, SIGSTOP) }

    func goOn() { kill(self.number, SIGCONT) }

    /// Ends it without a word, as a crash does.
    func endAtOnce() {
        kill(self.number, SIGKILL)
        self.waitUntilStopped()
    }

    /// Waits for the end of a process that was asked to stop; after five seconds it is ended.
    func waitUntilStopped() {
        var status: Int32 = 0
        for _ in 0..<500 {
            guard waitpid(self.number, &status, WNOHANG) == 0 else { return }
            usleep(10_000)
        }
        kill(self.number, SIGKILL)
        _ = waitpid(self.number, &status, 0)
    }
}
