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
    /// A terminal whose echo is off, and the settings that bring it back.
    private struct Silenced {
        let terminal: Int32
        let settings: termios
    }

    // The address of a `Silenced`; 0 for none. What is there is written before its address is, and never changed. Whoever takes the address
    // out, this file or a signal handler on any thread, is the only one to use it. The memory stays, some 70 bytes for each question:
    // a signal handler may not free any.
    private static let silenced = Atomic<UInt>(0)

    /// Makes what `restore` touches, so that a signal handler never makes it.
    static func prepare() { _ = Self.silenced.load(ordering: .relaxed) }

    /// Calls `body` with the terminal's echo off.
    static func withoutEcho<Value: ~Copyable>(
        on terminal: FileDescriptor, _ body: () throws(PassphraseError) -> Value
    ) throws(PassphraseError) -> Value {
        var settings = termios()
        guard tcgetattr(terminal.number, &settings) == 0 else { throw .unreadable("the terminal", SystemError.last) }
        var silent = settings
        silent.c_lflag &= ~tcflag_t(ECHO)
        // The line's end still shows, so that the person sees it was taken.
        silent.c_lflag |= tcflag_t(ECHONL) | tcflag_t(ICANON) | tcflag_t(ISIG)
        // Ctrl-Z would give the terminal back to the shell without its echo; whoever wants to stop presses Ctrl-C.
        let suspended = signal(SIGTSTP, SIG_IGN)
        let place = UnsafeMutablePointer<Silenced>.allocate(capacity: 1)
        place.initialize(to: Silenced(terminal: terminal.number, settings: settings))
        Self.silenced.store(UInt(bitPattern: place), ordering: .releasing)
        defer {
            Self.restore()
            _ = signal(SIGTSTP, suspended)
        }
        guard tcsetattr(terminal.number, TCSAFLUSH, &silent) == 0 else { throw .unreadable("the terminal", SystemError.last) }
        return try body()
    }

    /// Brings the echo back, if it is off. May be called from a signal handler: `tcsetattr` is allowed there.
    static func restore() {
        let address = Self.silenced.exchange(0, ordering: .acquiringAndReleasing)
        guard let place = UnsafePointer<Silenced>(bitPattern: address) else { return }
        var settings = place.pointee.settings
        _ = tcsetattr(place.pointee.terminal, TCSANOW, &settings)
    }
}
