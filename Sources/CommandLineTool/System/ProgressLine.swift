internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// One line on standard error that says how far long work is: redrawn in place on a terminal, at most a line a second elsewhere.
///
/// May be told from any thread. Work that is over in a moment shows nothing, and neither does work that was asked to stop: what says so
/// stays the last line, however long the process takes to end.
final class ProgressLine: Sendable {
    private struct State {
        var lastShown: ContinuousClock.Instant
        var isDrawn = false
        var isOver = false
    }

    private let isTerminal: Bool
    private let columnCount: Int
    private let state: Mutex<State>

    private let interval: Duration

    /// - Parameter pause: Time between two lines where there is no terminal. A terminal is redrawn ten times a second, which looks
    ///   steady and costs nothing.
    init(pause: Duration = .seconds(1)) {
        self.isTerminal = FileDescriptor.standardError.isTerminal
        self.interval = self.isTerminal ? .milliseconds(100) : pause
        self.columnCount = Self.terminalColumnCount() ?? 80
        self.state = Mutex(State(lastShown: .now))
    }

    // A forgotten line would stand before the shell's prompt.
    deinit { self.finish() }

    /// Shows the text, if it is time to. The text is made only then.
    func update(_ text: () -> String) {
        self.state.withLock { state in
            let now = ContinuousClock.now
            guard !state.isOver, !Interruption.isRequested, now - state.lastShown >= self.interval else { return }
            state.lastShown = now
            self.show(text(), in: &state)
        }
    }

    /// Shows the text now, whatever the time: something has changed that a person waits for.
    func announce(_ text: String) {
        self.state.withLock { state in
            guard !state.isOver, !Interruption.isRequested else { return }
            state.lastShown = .now
            self.show(text, in: &state)
        }
    }

    /// Tells something that stays, whole, above the line.
    func note(_ text: String) {
        self.state.withLock { state in
            if state.isDrawn { try? FileDescriptor.standardError.write("\r\u{1b}[K") }
            state.isDrawn = false
            try? FileDescriptor.standardError.write(text + "\n")
        }
    }

    /// Takes the line away. Nothing is shown from now on.
    func finish() {
        self.state.withLock { state in
            if state.isDrawn { try? FileDescriptor.standardError.write("\r\u{1b}[K") }
            state.isDrawn = false
            state.isOver = true
        }
    }

    private func show(_ text: String, in state: inout State) {
        if self.isTerminal {
            // One column stays free, or the terminal begins a new line.
            try? FileDescriptor.standardError.write("\r\u{1b}[K" + text.prefix(max(1, self.columnCount - 1)))
            state.isDrawn = true
        } else {
            try? FileDescriptor.standardError.write(text + "\n")
        }
    }

    private static func terminalColumnCount() -> Int? {
        var size = winsize()
        guard ioctl(FileDescriptor.standardError.number, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }
}

extension ProgressLine {
    /// Shows `Adding up keys  1,234 of 19,600 (6 %)`.
    func update(_ what: String, done: Int, of total: Int) {
        self.update { Self.text(what, done: done, of: total) }
    }

    static func text(_ what: String, done: Int, of total: Int) -> String {
        let percent = total > 0 ? Int((Double(done) / Double(total) * 100)) : 100
        return "\(what)  \(Amounts.grouped(done)) of \(Amounts.grouped(total)) (\(percent) %)"
    }
}
