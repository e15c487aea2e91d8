#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// A question to the person at the terminal, whatever standard input is.
enum Question {
    enum Answer {
        case yes
        /// Anything else than a clear yes.
        case no
        case noTerminal
    }

    static func ask(_ text: String) -> Answer {
        let number = open("/dev/tty", O_RDWR | O_CLOEXEC)
        guard number >= 0 else { return .noTerminal }
        defer { close(number) }
        let terminal = FileDescriptor(number: number)
        do throws(SystemError) {
            // What was typed before the question is no answer to it.
            _ = tcflush(number, TCIFLUSH)
            try terminal.write(text)
            let answer = String(decoding: try terminal.read(atMost: 256), as: UTF8.self).lowercased().filter { !$0.isWhitespace }
            return answer == "y" || answer == "yes" ? .yes : .no
        } catch { return .noTerminal }
    }
}
