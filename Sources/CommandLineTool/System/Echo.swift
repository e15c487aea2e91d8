internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The echo of a terminal, switched off while a passphrase is typed and back on whatever happens.
enum Echo {
    /// The terminal whose echo is off; -1 for none.
    private static let silenced = Atomic<Int32>(-1)

    // The settings to go back to. A signal handler reads them, so they lie at a fixed address, are written before `silenced` says
    // that they are valid, and are never freed. No second writer: a command asks its questions one after the other.
    private nonisolated(unsafe) static let settings = UnsafeMutablePointer<termios>.allocate(capacity: 1)

    /// Makes what `restore` touches, so that a signal handler never makes it.
    static func prepare() {
        _ = Self.silenced.load(ordering: .relaxed)
        Self.settings.initialize(to: termios())
    }

    /// Calls `body` with the terminal's echo off.
    static func withoutEcho<Value: ~Copyable>(
        on terminal: FileDescriptor, _ body: () throws(PassphraseError) -> Value
    ) throws(PassphraseError) -> Value {
        guard tcgetattr(terminal.number, Self.settings) == 0 else { throw .unreadable("the terminal", SystemError.last) }
        var silent = Self.settings.pointee
        silent.c_lflag &= ~tcflag_t(ECHO)
        // The line's end still shows, so that the person sees it was taken.
        silent.c_lflag |= tcflag_t(ECHONL) | tcflag_t(ICANON) | tcflag_t(ISIG)
        // Ctrl-Z would give the terminal back to the shell without its echo; whoever wants to stop presses Ctrl-C.
        let suspended = signal(SIGTSTP, SIG_IGN)
        Self.silenced.store(terminal.number, ordering: .releasing)
        defer {
            Self.restore()
            _ = signal(SIGTSTP, suspended)
        }
        guard tcsetattr(terminal.number, TCSAFLUSH, &silent) == 0 else { throw .unreadable("the terminal", SystemError.last) }
        return try body()
    }

    /// Brings the echo back, if it is off. May be called from a signal handler: `tcsetattr` is allowed there.
    static func restore() {
        let terminal = Self.silenced.exchange(-1, ordering: .acquiringAndReleasing)
        guard terminal >= 0 else { return }
        _ = tcsetattr(terminal, TCSANOW, Self.settings)
    }
}
