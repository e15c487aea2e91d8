internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Ctrl-C, Ctrl-\ and requests to stop: SIGINT, SIGQUIT, SIGTERM, SIGHUP. None leaves a core file, which would hold secrets.
///
/// As a rule the process ends at once, with exit code 4 and the terminal's echo back on; the system takes back all memory, secrets
/// included. Work that must not be cut in two says so with `deferring`, or asks `isRequested` between its steps. A second request
/// always ends the process.
enum Interruption {
    private static let deferrals = Atomic<Int>(0)
    private static let requested = Atomic<Bool>(false)

    /// Whether somebody asked to stop while that was put off.
    static var isRequested: Bool { self.requested.load(ordering: .acquiring) }

    /// Returns when somebody asked to stop, or the task is cancelled. A signal can wake no task, so it is looked for.
    static func wait() async {
        while !self.isRequested, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(50)) }
    }

    /// Takes over the four signals, unless whoever started the process had them ignored, as nohup does.
    static func install() {
        // Everything that the handler touches is made before it can run.
        _ = Self.deferrals.load(ordering: .relaxed)
        _ = Self.requested.load(ordering: .relaxed)
        Echo.prepare()
        for number in [SIGINT, SIGQUIT, SIGTERM, SIGHUP] {
            let previous = signal(number, Self.handle)
            if unsafeBitCast(previous, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { _ = signal(number, SIG_IGN) }
        }
    }

    /// Puts a request to stop off until `body` is done, and then throws `interrupted` if one came.
    static func deferring<Value>(_ body: () throws(CommandError) -> Value) throws(CommandError) -> Value {
        Self.deferrals.add(1, ordering: .acquiringAndReleasing)
        defer { Self.deferrals.subtract(1, ordering: .acquiringAndReleasing) }
        let value = try body()
        if Self.isRequested { throw .interrupted }
        return value
    }

    /// The same for work that waits: `body` asks `isRequested` as it goes.
    static func deferring<Value: Sendable>(
        _ body: () async throws(CommandError) -> Value
    ) async throws(CommandError) -> Value {
        Self.deferrals.add(1, ordering: .acquiringAndReleasing)
        defer { Self.deferrals.subtract(1, ordering: .acquiringAndReleasing) }
        let value = try await body()
        if Self.isRequested { throw .interrupted }
        return value
    }

    /// Runs between any two instructions, so it only stores, and calls what POSIX allows in a signal handler.
    private static let handle: @convention(c) (Int32) -> Void = { _ in
        let isFirst = !Interruption.requested.exchange(true, ordering: .acquiringAndReleasing)
        if isFirst, Interruption.deferrals.load(ordering: .acquiring) > 0 { return }
        Echo.restore()
        let message: StaticString = "\nchorale: interrupted\n"
        message.withUTF8Buffer { _ = write(2, $0.baseAddress, $0.count) }
        _exit(ExitCode.interrupted.rawValue)
    }
}
