#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// A file descriptor with one owner, closed when the owner goes. All calls block and start again after a signal.
struct OpenFile: ~Copyable {
    let path: String
    private let descriptor: Int32

    // MARK: - Opening

    /// Opens for reading. Never waits: opening a pipe succeeds at once, and `status` tells that it is one.
    init(reading path: String, followingLinks: Bool) throws(FileError) {
        try self.init(path, O_RDONLY | O_NONBLOCK | (followingLinks ? 0 : O_NOFOLLOW), permissions: nil, action: .open)
    }

    /// Makes a new file; one of this name must not exist.
    init(creating path: String, permissions: FilePermissions) throws(FileError) {
        try self.init(path, O_RDWR | O_CREAT | O_EXCL, permissions: permissions, action: .create)
    }

    /// Opens for reading and writing, and makes the file where there is none. A symbolic link is not followed.
    init(openingOrCreating path: String, permissions: FilePermissions) throws(FileError) {
        try self.init(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, permissions: permissions, action: .open)
    }

    /// Makes a new file without a name, in the folder of `path`; `nil` where the system or the file system has none.
    ///
    /// It goes with its owner unless `link(to:)` names it.
    init?(unnamedFor path: String, permissions: FilePermissions) {
        #if os(Linux)
        guard !path.utf8.contains(0) else { return nil }
        // Whatever else is refused is met again, and told, when a named file is made instead.
        do { try self.init(Folder.containing(path), O_RDWR | Self.unnamed, permissions: permissions, action: .create) } catch { return nil }
        #else
        return nil
        #endif
    }

    #if os(Linux)
    /// `O_TMPFILE`, whose definition Swift does not import. Source: include/uapi/asm-generic/fcntl.h of Linux.
    private static let unnamed: Int32 = 0o20000000 | O_DIRECTORY

    /// Gives a file without a name its first one, which must be free.
    borrowing func link(to path: String) -> Folder.LinkOutcome {
        let result = linkat(AT_FDCWD, "/proc/self/fd/\(self.descriptor)", AT_FDCWD, path, AT_SYMLINK_FOLLOW)
        if result == 0 { return .linked }
        return errno == EEXIST ? .nameTaken : .notSupported
    }
    #else
    borrowing func link(to path: String) -> Folder.LinkOutcome { .notSupported }
    #endif

    private init(_ path: String, _ flags: Int32, permissions: FilePermissions?, action: FileError.Action) throws(FileError) {
        // C would take such a name as ending at the zero: another file than the one named.
        guard !path.utf8.contains(0) else { throw .system(path: path, action: action, code: EINVAL) }
        let (descriptor, code) = restarting { Int(open(path, flags | O_CLOEXEC, mode_t(permissions?.mode ?? 0))) }
        guard descriptor >= 0 else {
            switch code {
            case EEXIST: throw .exists(path: path)
            case ENOENT: throw .notFound(path: path)
            case ELOOP, EISDIR, ENXIO: throw .notARegularFile(path: path)
            default: throw .system(path: path, action: action, code: code)
            }
        }
        self.path = path
        self.descriptor = Int32(descriptor)
    }

    deinit {
        // A child that another thread has just forked holds the same lock until it becomes a program of its own.
        _ = flock(self.descriptor, LOCK_UN)
        _ = close(self.descriptor)
    }

    // MARK: - Status

    struct Status {
        let isRegular: Bool
        let byteCount: Int
        let permissions: FilePermissions
        /// Which file it is, whatever its name.
        let identity: Identity
    }

    struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
    }

    borrowing func status() throws(FileError) -> Status {
        var raw = stat()
        guard fstat(self.descriptor, &raw) == 0 else { throw .system(path: self.path, action: .inspect, code: errno) }
        return Status(
            isRegular: raw.st_mode & S_IFMT == S_IFREG, byteCount: Int(raw.st_size),
            permissions: FilePermissions(mode: UInt16(truncatingIfNeeded: raw.st_mode)), identity: Identity(raw))
    }

    /// Which file stands under a name now, if one does.
    static func identity(of path: String) -> Identity? {
        var raw = stat()
        return lstat(path, &raw) == 0 ? Identity(raw) : nil
    }

    /// Takes the exclusive lock of the whole file; false when another opening of it holds it.
    borrowing func lock() throws(FileError) -> Bool {
        let (result, code) = restarting { Int(flock(self.descriptor, LOCK_EX | LOCK_NB)) }
        if result == 0 { return true }
        guard code == EWOULDBLOCK else { throw .system(path: self.path, action: .lock, code: code) }
        return false
    }

    // MARK: - Bytes

    /// Everything from the start to the end, which must not be more than `byteCountMax` bytes.
    borrowing func readAll(byteCountMax: Int) throws(FileError) -> [UInt8] {
        let status = try self.status()
        guard status.isRegular else { throw .notARegularFile(path: self.path) }
        guard status.byteCount <= byteCountMax else { throw .tooLarge(path: self.path, byteCountMax: byteCountMax) }
        var bytes: [UInt8] = []
        // One more than expected, so that the end shows in the first round; a file that grows meanwhile is read on.
        var chunk = [UInt8](repeating: 0, count: min(max(status.byteCount, 0) + 1, Self.chunkByteCount))
        while true {
            let (count, code) = restarting { pread(self.descriptor, &chunk, chunk.count, off_t(bytes.count)) }
            guard count >= 0 else { throw .system(path: self.path, action: .read, code: code) }
            guard count > 0 else { return bytes }
            guard bytes.count + count <= byteCountMax else { throw .tooLarge(path: self.path, byteCountMax: byteCountMax) }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    /// Most bytes read in one call, to bound the memory that an absurd size costs.
    private static let chunkByteCount = 1 << 20

    /// Writes all bytes at an offset. After an error some of them may stand there.
    borrowing func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
        var done = 0
        while done < bytes.count {
            let (count, code) = bytes.withUnsafeBytes { buffer in
                let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
                return restarting { pwrite(self.descriptor, rest.baseAddress, rest.count, off_t(offset + done)) }
            }
            // No system writes nothing and calls it success; should one do, this must not go round forever.
            guard count > 0 else { throw .system(path: self.path, action: .write, code: count == 0 ? ENOSPC : code) }
            done += count
        }
    }

    borrowing func truncate(to byteCount: Int) throws(FileError) {
        let (result, code) = restarting { Int(ftruncate(self.descriptor, off_t(byteCount))) }
        guard result == 0 else { throw .system(path: self.path, action: .truncate, code: code) }
    }

    /// Returns once bytes and length are on the medium itself.
    borrowing func synchronize() throws(FileError) {
        #if canImport(Darwin)
        // fsync on Apple systems leaves the bytes in the drive's cache.
        let (result, code) = restarting { Int(fcntl(self.descriptor, F_FULLFSYNC)) }
        #else
        let (result, code) = restarting { Int(fdatasync(self.descriptor)) }
        #endif
        guard result == 0 else { throw .system(path: self.path, action: .makeDurable, code: code) }
    }
}

extension OpenFile.Identity {
    fileprivate init(_ raw: stat) {
        self.init(device: UInt64(truncatingIfNeeded: raw.st_dev), inode: UInt64(truncatingIfNeeded: raw.st_ino))
    }
}

/// Calls until no signal interrupts; gives the result with the `errno` of the last call.
func restarting(_ call: () -> Int) -> (result: Int, code: Int32) {
    while true {
        let result = call()
        let code = errno
        if result != -1 || code != EINTR { return (result, code) }
    }
}
