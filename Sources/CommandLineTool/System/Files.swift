import SessionStore

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Files that a command names: read within a bound, written whole or not at all.
enum Files {
    /// The name that stands for standard input.
    static let standardInput = "-"

    /// The arguments that every command with an output file takes.
    static let force = Argument.flag("force", help: "replace the file of --out if there is one")

    /// Refuses `--force` where there is no file that it could be about.
    static func checkForce(_ arguments: Arguments, out: String?) throws(CommandError) {
        guard arguments[Self.force], out == nil else { return }
        throw arguments.refused(.inconsistent("--force replaces the file of --out: add --out FILE, or leave it away"))
    }

    /// The name as messages show it.
    static func shownName(_ path: String) -> String { path == self.standardInput ? "standard input" : path.printable }

    /// Everything in the file, or on standard input for `-`; more than `byteCountMax` is refused.
    static func read(_ path: String, byteCountMax: Int) throws(CommandError) -> [UInt8] {
        if path == self.standardInput { return try self.readStandardInput(byteCountMax: byteCountMax) }
        do throws(FileError) { return try AtomicFile.read(path, byteCountMax: byteCountMax) } catch { throw self.failure(error) }
    }

    private static func readStandardInput(byteCountMax: Int) throws(CommandError) -> [UInt8] {
        var bytes: [UInt8] = []
        do throws(SystemError) {
            while true {
                let piece = try FileDescriptor.standardInput.read(atMost: 64 * 1_024)
                guard !piece.isEmpty else { return bytes }
                bytes += piece
                guard bytes.count <= byteCountMax else { break }
            }
        } catch {
            throw .failed("standard input cannot be read: \(error)")
        }
        throw .failed(
            "standard input has more than \(Amounts.grouped(byteCountMax)) bytes, so it is not what was asked for; check what is piped in")
    }

    /// The first bytes of a regular file, as many as it has or `byteCount`.
    static func head(of path: String, byteCount: Int) throws(SystemError) -> [UInt8] {
        guard !path.utf8.contains(0) else { throw .invalid }
        // A pipe without a writer would make this wait.
        let number = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard number >= 0 else { throw SystemError.last }
        defer { close(number) }
        var status = stat()
        guard fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw .invalid }
        var head: [UInt8] = []
        while head.count < byteCount {
            let piece = try FileDescriptor(number: number).read(atMost: byteCount - head.count)
            guard !piece.isEmpty else { break }
            head += piece
        }
        return head
    }

    /// Writes the whole file or nothing. A file that is there is replaced only when `replacing` says so.
    static func write(
        _ bytes: [UInt8], to path: String, replacing: Bool, permissions: FilePermissions = .everybodyReads
    ) throws(CommandError) {
        try Interruption.deferring { () throws(CommandError) in
            do throws(FileError) {
                if replacing {
                    try self.checkReplaceable(path)
                    try AtomicFile.write(bytes, to: path, permissions: permissions)
                } else {
                    try AtomicFile.create(bytes, at: path, permissions: permissions)
                }
            } catch {
                if case .notFound = error { try self.checkFolder(of: path) }
                throw self.failure(error)
            }
        }
    }

    /// What has the name, with its article, where that is no file with something in it: `a folder`.
    static func otherKind(of path: String) -> String? {
        var status = stat()
        guard !path.utf8.contains(0), stat(path, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return nil
        case S_IFDIR: return "a folder"
        case S_IFIFO: return "a pipe"
        case S_IFSOCK: return "a socket"
        default: return "a device"
        }
    }

    /// Whether anything has the name.
    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// Refuses, before long work, to begin what `write` would refuse in the end.
    static func checkFree(_ path: String, replacing: Bool) throws(CommandError) {
        guard self.exists(path) else { return try self.checkFolder(of: path) }
        guard replacing else { throw self.failure(.exists(path: path)) }
        do throws(FileError) { try self.checkReplaceable(path) } catch { throw self.failure(error) }
    }

    /// Refuses a new file whose folder is not there, and says how to make one.
    static func checkFolder(of path: String) throws(CommandError) {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash != path.utf8.startIndex else { return }
        let folder = String(path[..<slash])
        var status = stat()
        guard stat(folder, &status) != 0 else {
            guard status.st_mode & S_IFMT != S_IFDIR else { return }
            throw .failed("\(path.printable) cannot be made: \(folder.printable) is no folder; choose another place")
        }
        // Of other refusals the write itself tells.
        guard errno == ENOENT else { return }
        throw .missing(
            "\(path.printable) cannot be made: the folder \(folder.printable) does not exist; make it with: mkdir -p \(folder.shellWord)")
    }

    /// To take the place of a device, a folder or a link would destroy it, and nobody means that.
    private static func checkReplaceable(_ path: String) throws(FileError) {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG { throw .notARegularFile(path: path) }
    }

    static func failure(_ error: FileError) -> CommandError {
        switch error {
        case .notFound: .missing("\(error)".printable)
        case .exists(let path): .failed("\(path.printable) exists already: choose another name, or replace it with --force")
        case .notARegularFile, .tooLarge, .tooManyEntries, .system: .failed("\(error)".printable)
        }
    }
}

extension String {
    /// The text as one word of a shell's command line, for people to copy.
    var shellWord: String {
        let isPlain = self.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-")...UInt8(ascii: "9"): true
            default: byte == UInt8(ascii: "_")
            }
        }
        guard !isPlain else { return self }
        return "'" + self.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#).printable + "'"
    }
}
