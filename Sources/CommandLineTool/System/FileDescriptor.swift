#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// What the system said when it refused a call.
struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    let number: Int32

    /// The error of the call just made on this thread.
    static var last: SystemError { SystemError(number: errno) }

    /// There is no such open file.
    static let notOpen = SystemError(number: EBADF)

    /// The file is of another kind, or its name is none.
    static let invalid = SystemError(number: EINVAL)

    /// Whether the other end of a pipe has gone.
    var isBrokenPipe: Bool { self.number == EPIPE }

    var description: String { String(cString: strerror(self.number)) }
}

/// One of the open files that the process was given: standard input, output, error, or a passphrase's.
///
/// It belongs to whoever opened it, so nothing here closes it.
struct FileDescriptor: Equatable, Sendable {
    let number: Int32

    static let standardInput = FileDescriptor(number: 0)
    static let standardOutput = FileDescriptor(number: 1)
    static let standardError = FileDescriptor(number: 2)

    var isTerminal: Bool { isatty(self.number) == 1 }

    /// Whether this is something that a shell can open for a process.
    var isFilePipeOrTerminal: Bool {
        var status = stat()
        guard fstat(self.number, &status) == 0 else { return false }
        return [S_IFREG, S_IFIFO, S_IFCHR, S_IFSOCK].contains(status.st_mode & S_IFMT)
    }

    /// Reads once into the buffer, and says how many bytes came; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        while true {
            #if canImport(Darwin)
            let count = Darwin.read(self.number, buffer.baseAddress, buffer.count)
            #elseif canImport(Musl)
            let count = Musl.read(self.number, buffer.baseAddress, buffer.count)
            #else
            let count = Glibc.read(self.number, buffer.baseAddress, buffer.count)
            #endif
            if count >= 0 { return count }
            try self.recover(waitingFor: Int16(POLLIN))
        }
    }

    /// Reads once, up to this many bytes that are no secret; none at the end.
    func read(atMost count: Int) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let outcome = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(SystemError) in try self.read(into: buffer) }
        }
        return Array(bytes[..<(try outcome.get())])
    }

    /// Writes every byte.
    func write(_ text: String) throws(SystemError) {
        var text = text
        let failure: SystemError? = text.withUTF8 { bytes in
            do throws(SystemError) {
                try self.write(UnsafeRawBufferPointer(bytes))
                return nil
            } catch { return error }
        }
        if let failure { throw failure }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let slice = UnsafeRawBufferPointer(rebasing: rest)
            #if canImport(Darwin)
            let count = Darwin.write(self.number, slice.baseAddress, slice.count)
            #elseif canImport(Musl)
            let count = Musl.write(self.number, slice.baseAddress, slice.count)
            #else
            let count = Glibc.write(self.number, slice.baseAddress, slice.count)
            #endif
            if count >= 0 { rest = rest.dropFirst(count) } else { try self.recover(waitingFor: Int16(POLLOUT)) }
        }
    }

    /// After a failed call: waits where the caller of this process left the file non-blocking, returns to try again, or throws.
    private func recover(waitingFor events: Int16) throws(SystemError) {
        let error = SystemError.last
        switch error.number {
        case EINTR: return
        case EAGAIN:
            var request = pollfd(fd: self.number, events: events, revents: 0)
            _ = poll(&request, 1, -1)
        default: throw error
        }
    }
}

/// What a process does about its three standard files before anything else.
enum StandardFiles {
    /// Puts a file that refuses all use in place of each standard file that is closed.
    ///
    /// Else the next file opened takes the free number, and what is printed for a person lands inside, say, a new key file.
    static func occupyClosed() {
        for number in Int32(0)...2 where fcntl(number, F_GETFD) == -1 {
            // Opened the wrong way round, so that reading input and writing output fail as they do on a closed file. The system
            // gives the lowest free number, and every lower one is taken by now.
            _ = open("/dev/null", number == 0 ? O_WRONLY : O_RDONLY)
        }
    }

    /// A reader who leaves, and a file that may grow no further, are then errors of the write and not the end of the process.
    static func ignoreWriteSignals() {
        _ = signal(SIGPIPE, SIG_IGN)
        _ = signal(SIGXFSZ, SIG_IGN)
    }
}
