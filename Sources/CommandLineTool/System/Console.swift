#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Where a command's results and messages go: results to standard output, everything else to standard error.
struct Console: Sendable {
    /// For what is printed on standard output.
    let style: Style
    /// For what is printed on standard error.
    let errorStyle: Style

    /// The process's own standard files.
    static func ofProcess() -> Console {
        // https://no-color.org: set, and not empty.
        let mayColour = getenv("NO_COLOR").map { $0.pointee == 0 } ?? true
        let isDumb = getenv("TERM").map { strcmp($0, "dumb") == 0 } ?? false
        return Console(
            style: Style(isOn: mayColour && !isDumb && FileDescriptor.standardOutput.isTerminal),
            errorStyle: Style(isOn: mayColour && !isDumb && FileDescriptor.standardError.isTerminal))
    }

    /// Prints a result, as it is.
    func write(_ text: String) throws(CommandError) {
        do throws(SystemError) { try FileDescriptor.standardOutput.write(text) } catch {
            if error.isBrokenPipe { throw .readerGone }
            throw .failed("the result cannot be written to standard output: \(error)")
        }
    }

    /// Prints lines of a result.
    func print(_ lines: [String]) throws(CommandError) { try self.write(lines.map { $0 + "\n" }.joined()) }

    func print(_ line: String) throws(CommandError) { try self.write(line + "\n") }

    /// Prints the one object of `--json`.
    func print(_ json: JSONValue) throws(CommandError) { try self.print(json.text) }

    /// Tells the person something that is no result. Nobody there to read it is no reason to stop.
    func note(_ line: String) { try? FileDescriptor.standardError.write(line + "\n") }

    /// Says why the command ends without having done its work.
    func report(_ error: CommandError) {
        self.note("\(self.errorStyle.red("chorale:")) \(error)")
    }
}
