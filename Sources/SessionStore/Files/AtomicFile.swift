internal import CryptoPrimitives

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Files that are there whole or not at all, whatever happens meanwhile: a crash, a power cut, a full disk, a second process.
///
/// All calls block until the bytes are on the medium.
public enum AtomicFile {
    /// Writes a file, in place of one that has the name.
    ///
    /// The bytes go into a new file beside it, which takes the name only once it is durable. Who reads meanwhile sees the old
    /// bytes or the new ones.
    public static func write(
        _ bytes: [UInt8], to path: String, permissions: FilePermissions = .ownerOnly
    ) throws(FileError) {
        let temporary = try Self.writeTemporary(bytes, beside: path, permissions)
        do throws(FileError) {
            try Folder.rename(temporary, to: path)
        } catch {
            Folder.remove(temporary)
            throw error
        }
        try Folder.synchronize(containing: path)
        Self.removeStale(beside: path)
    }

    /// Makes a file that must not exist yet. Of several processes that try, exactly one succeeds.
    ///
    /// Others never see a part of it, except on file systems without hard links (FAT, some network drives): there the name
    /// comes first and the bytes follow, and a crash between the two leaves a short file.
    ///
    /// - Throws: `exists` when the name is taken.
    public static func create(
        _ bytes: [UInt8], at path: String, permissions: FilePermissions = .ownerOnly
    ) throws(FileError) {
        switch try Self.linkUnnamed(bytes, to: path, permissions) {
        case .linked: break
        case .nameTaken: throw .exists(path: path)
        case .notSupported, .failed: try Self.createByTemporary(bytes, at: path, permissions)
        }
        try Folder.synchronize(containing: path)
        Self.removeStale(beside: path)
    }

    /// The same where a file has a name from its beginning: a process killed meanwhile leaves it behind.
    static func createByTemporary(
        _ bytes: [UInt8], at path: String, _ permissions: FilePermissions
    ) throws(FileError) {
        let temporary = try Self.writeNamedTemporary(bytes, beside: path, permissions)
        let outcome = Folder.link(temporary, to: path)
        Folder.remove(temporary)
        switch outcome {
        case .linked: break
        case .nameTaken: throw .exists(path: path)
        case .notSupported: try Self.createInPlace(bytes, at: path, permissions)
        case .failed(let error): throw error
        }
    }

    /// Everything in a regular file.
    ///
    /// - Parameters:
    ///   - byteCountMax: A file with more bytes is refused, and no more than these are read.
    ///   - followingLinks: Whether the path may be a symbolic link.
    public static func read(_ path: String, byteCountMax: Int, followingLinks: Bool = true) throws(FileError) -> [UInt8] {
        try OpenFile(reading: path, followingLinks: followingLinks).readAll(byteCountMax: byteCountMax)
    }

    /// Removes a file, durably. Where there is none, nothing happens.
    public static func remove(_ path: String) throws(FileError) {
        guard unlink(path) == 0 else {
            let code = errno
            guard code != ENOENT else { return }
            throw .system(path: path, action: .remove, code: code)
        }
        try Folder.synchronize(containing: path)
    }

    /// The names in a folder, sorted by their UTF-8 bytes. Files that are still being written are left out, and so are names
    /// that are not UTF-8.
    ///
    /// What a killed process left half-written is removed, once it is an hour old. (So it is after each write in the folder.)
    ///
    /// - Throws: `tooManyEntries` when there are more than `countMax`.
    public static func names(in folder: String, countMax: Int) throws(FileError) -> [String] {
        var temporaries: [String] = []
        let names = try Folder.names(in: folder, countMax: countMax) { name in
            guard Self.isTemporary(name) else { return true }
            if temporaries.count < Self.staleCountMax { temporaries.append(name) }
            return false
        }
        for name in temporaries { Folder.remove(folder + "/" + name, ifUntouchedFor: Self.staleSeconds) }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    // MARK: - Steps

    private static let temporaryPrefix = ".chorale-"
    private static let temporarySuffix = ".tmp"

    /// How old a temporary file is that no living process still writes, in seconds: an hour.
    ///
    /// Source: Chorale's own bound. Writing takes seconds, and clocks across a network differ by minutes.
    private static let staleSeconds = 3_600
    /// Most files of a folder that are listed in search of stale ones, so that a full folder does not hold up a write.
    private static let entryCountMax = 10_000
    /// Most temporary files that one listing looks at, so that a folder full of them does not hold it up.
    private static let staleCountMax = 1_000

    private static let temporaryRandomByteCount = 16

    /// Whether a name is one of those that `temporaryName` gives, and so nobody else's.
    private static func isTemporary(_ name: String) -> Bool {
        guard name.hasPrefix(Self.temporaryPrefix), name.hasSuffix(Self.temporarySuffix) else { return false }
        let digits = name.dropFirst(Self.temporaryPrefix.count).dropLast(Self.temporarySuffix.count)
        return digits.utf8.count == Self.temporaryRandomByteCount * 2 && digits.allSatisfy(\.isHexDigit)
    }

    /// A name that nobody else uses, in the same folder, for only there a rename is one step.
    static func temporaryName(beside path: String) -> String {
        let random = Hex.encode(SystemRandom.bytes(count: Self.temporaryRandomByteCount))
        return Folder.containing(path) + "/" + Self.temporaryPrefix + random + Self.temporarySuffix
    }

    /// Writes a durable file under a temporary name.
    private static func writeTemporary(
        _ bytes: [UInt8], beside path: String, _ permissions: FilePermissions
    ) throws(FileError) -> String {
        // C would take such a name as ending at the zero: another file than the one named.
        guard !path.utf8.contains(0) else { throw .system(path: path, action: .create, code: EINVAL) }
        let temporary = Self.temporaryName(beside: path)
        do throws(FileError) {
            if case .linked = try Self.linkUnnamed(bytes, to: temporary, permissions) { return temporary }
        } catch {
            throw error.renamed(to: path)
        }
        return try Self.writeNamedTemporary(bytes, beside: path, permissions)
    }

    private static func writeNamedTemporary(
        _ bytes: [UInt8], beside path: String, _ permissions: FilePermissions
    ) throws(FileError) -> String {
        // C would take such a name as ending at the zero: another file than the one named.
        guard !path.utf8.contains(0) else { throw .system(path: path, action: .create, code: EINVAL) }
        let temporary = Self.temporaryName(beside: path)
        do throws(FileError) {
            try Self.createInPlace(bytes, at: temporary, permissions)
            return temporary
        } catch {
            throw error.renamed(to: path)
        }
    }

    /// Writes a file that has no name yet, of which a process killed meanwhile leaves nothing, and names it once it is durable.
    private static func linkUnnamed(
        _ bytes: [UInt8], to path: String, _ permissions: FilePermissions
    ) throws(FileError) -> Folder.LinkOutcome {
        guard let file = OpenFile(unnamedFor: path, permissions: permissions) else { return .notSupported }
        do throws(FileError) {
            try file.write(bytes, at: 0)
            try file.synchronize()
        } catch {
            throw error.renamed(to: path)
        }
        return file.link(to: path)
    }

    /// Removes what processes killed long ago left in the folder: a crash between two steps, or no files without names there.
    private static func removeStale(beside path: String) {
        // What cannot be listed now stays for the next time.
        _ = try? Self.names(in: Folder.containing(path), countMax: Self.entryCountMax)
    }

    static func createInPlace(_ bytes: [UInt8], at path: String, _ permissions: FilePermissions) throws(FileError) {
        let file = try OpenFile(creating: path, permissions: permissions)
        do throws(FileError) {
            try file.write(bytes, at: 0)
            try file.synchronize()
        } catch {
            Folder.remove(path)
            throw error
        }
    }
}

extension FileError {
    /// The same about the file that the caller named; of a temporary one it knows nothing.
    fileprivate func renamed(to path: String) -> FileError {
        switch self {
        case .exists: .exists(path: path)
        case .notFound: .notFound(path: path)
        case .notARegularFile: .notARegularFile(path: path)
        case .tooLarge(_, let byteCountMax): .tooLarge(path: path, byteCountMax: byteCountMax)
        case .tooManyEntries(_, let countMax): .tooManyEntries(path: path, countMax: countMax)
        case .system(_, let action, let code): .system(path: path, action: action, code: code)
        }
    }
}
