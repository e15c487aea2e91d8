#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Names in a folder: which there are, and that changes to them last.
enum Folder {
    /// The folder in which a path's last name stands.
    static func containing(_ path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.utf8.startIndex ? "/" : String(path[..<slash])
    }

    enum Kind: Equatable {
        case nothing
        case regularFile(byteCount: Int)
        /// A folder, a device, a pipe or a link.
        case other
    }

    /// What has this name, without opening it.
    static func kind(of path: String) -> Kind {
        var status = stat()
        guard lstat(path, &status) == 0 else { return .nothing }
        return status.st_mode & S_IFMT == S_IFREG ? .regularFile(byteCount: Int(status.st_size)) : .other
    }

    /// A folder's own path, without links in it.
    static func resolved(_ folder: String) throws(FileError) -> String {
        guard let path = realpath(folder, nil) else { throw .system(path: folder, action: .open, code: errno) }
        defer { free(path) }
        return String(cString: path)
    }

    /// Makes a file's name durable: that it was created, renamed or removed.
    static func synchronize(containing path: String) throws(FileError) {
        let folder = Self.containing(path)
        let (descriptor, code) = restarting { Int(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) }
        guard descriptor >= 0 else { throw .system(path: folder, action: .open, code: code) }
        defer { _ = close(Int32(descriptor)) }
        #if canImport(Darwin)
        // As for files: fsync on Apple systems leaves it in the drive's cache. File systems that know no such request are asked for less.
        if restarting({ Int(fcntl(Int32(descriptor), F_FULLFSYNC)) }).0 == 0 { return }
        #endif
        let (result, syncCode) = restarting { Int(fsync(Int32(descriptor))) }
        // Some file systems cannot do this for folders; then a name is as durable as they make it by themselves.
        guard result == 0 || syncCode == EINVAL || syncCode == ENOTSUP else {
            throw .system(path: folder, action: .makeDurable, code: syncCode)
        }
    }

    /// Gives the file another name, in place of a file that has it, in one step.
    static func rename(_ path: String, to newPath: String) throws(FileError) {
        #if canImport(Glibc)
        let result = Glibc.rename(path, newPath)
        #elseif canImport(Musl)
        let result = Musl.rename(path, newPath)
        #else
        let result = Darwin.rename(path, newPath)
        #endif
        guard result == 0 else { throw .system(path: newPath, action: .rename, code: errno) }
    }

    /// Gives the file a second name, which must be free.
    static func link(_ path: String, to newPath: String) -> LinkOutcome {
        #if canImport(Glibc)
        let result = Glibc.link(path, newPath)
        #elseif canImport(Musl)
        let result = Musl.link(path, newPath)
        #else
        let result = Darwin.link(path, newPath)
        #endif
        if result == 0 { return .linked }
        switch errno {
        // Over a network a link can be made, its answer lost, and the call made again by the system: then the name that is taken is ours.
        case EEXIST: return Self.areTheOneFile(path, newPath) ? .linked : .nameTaken
        case EPERM, ENOTSUP, EOPNOTSUPP, EMLINK, ENOSYS: return .notSupported
        case let code: return .failed(.system(path: newPath, action: .create, code: code))
        }
    }

    /// Whether both names, and no third one, are of one file.
    private static func areTheOneFile(_ path: String, _ other: String) -> Bool {
        var (first, second) = (stat(), stat())
        guard lstat(path, &first) == 0, lstat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino && first.st_nlink == 2
    }

    /// Whether both names lead to one file.
    static func isOneFile(_ path: String, _ other: String) -> Bool {
        var (first, second) = (stat(), stat())
        guard stat(path, &first) == 0, stat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    enum LinkOutcome {
        case linked
        case nameTaken
        case notSupported
        case failed(FileError)
    }

    /// Removes a file of ours, if it is there.
    static func remove(_ path: String) { _ = unlink(path) }

    /// Removes a file of ours that nobody has written to for so many seconds.
    static func remove(_ path: String, ifUntouchedFor seconds: Int) {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() else { return }
        #if canImport(Darwin)
        let written = Int(status.st_mtimespec.tv_sec)
        #else
        let written = Int(status.st_mtim.tv_sec)
        #endif
        if time(nil) - written > seconds { Self.remove(path) }
    }

    /// The names in a folder without `.` and `..`, in no particular order. Names that are not UTF-8 are left out, and so are those
    /// that `isCounted` does not count.
    static func names(
        in folder: String, countMax: Int, counting isCounted: (String) -> Bool = { _ in true }
    ) throws(FileError) -> [String] {
        guard !folder.utf8.contains(0) else { throw .system(path: folder, action: .open, code: EINVAL) }
        guard let stream = opendir(folder) else {
            throw errno == ENOENT ? .notFound(path: folder) : .system(path: folder, action: .open, code: errno)
        }
        defer { _ = closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw .system(path: folder, action: .read, code: errno) }
                return names
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: field.pointee)) {
                    String(validatingCString: $0)
                }
            }
            guard let name, name != ".", name != "..", isCounted(name) else { continue }
            guard names.count < countMax else { throw .tooManyEntries(path: folder, countMax: countMax) }
            names.append(name)
        }
    }
}
