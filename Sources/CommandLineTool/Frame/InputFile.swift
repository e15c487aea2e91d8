#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

extension Files {
    /// Everything in a file that a command works on, as `read` gives it, and also what comes out of a pipe or a device:
    /// `/dev/stdin`, `<(another command)`. More than `byteCountMax` is refused.
    static func readInput(_ path: String, byteCountMax: Int) throws(CommandError) -> [UInt8] {
        guard path != self.standardInput, self.isStream(path) else { return try self.read(path, byteCountMax: byteCountMax) }
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try self.readStream(path, byteCountMax: byteCountMax) } catch {
            throw .failed("\(path.printable) cannot be read: \(error)")
        }
        guard bytes.count <= byteCountMax else {
            throw .failed(
                "\(path.printable) gives more than \(Amounts.grouped(byteCountMax)) bytes, so it is not what was asked for; "
                    + "check what is piped in")
        }
        return bytes
    }

    /// Whether bytes come out of it one after the other: a pipe, a terminal or another such device.
    private static func isStream(_ path: String) -> Bool {
        var status = stat()
        guard !path.utf8.contains(0), stat(path, &status) == 0 else { return false }
        return [S_IFIFO, S_IFCHR].contains(status.st_mode & S_IFMT)
    }

    /// Up to the end, or to the first piece that passes the bound.
    private static func readStream(_ path: String, byteCountMax: Int) throws(SystemError) -> [UInt8] {
        let file = FileDescriptor(number: try self.openForReading(path))
        defer { close(file.number) }
        var bytes: [UInt8] = []
        while bytes.count <= byteCountMax {
            let piece = try file.read(atMost: 64 * 1_024)
            guard !piece.isEmpty else { break }
            bytes += piece
        }
        return bytes
    }

    /// Waits for somebody who writes, where the pipe has a name.
    private static func openForReading(_ path: String) throws(SystemError) -> Int32 {
        while true {
            let number = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
            if number >= 0 { return number }
            guard errno == EINTR else { throw .last }
        }
    }
}
