#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Why a file could not be read or written. Nothing half-written has the file's name, where the file system has hard links.
///
/// An error of `Action.makeDurable` about the folder comes after the file is in place: it is whole, but a power cut may undo it.
public enum FileError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A file of this name stands already, and only a new one was asked for.
    case exists(path: String)
    case notFound(path: String)
    /// A folder, a device, a pipe, or a symbolic link where none is followed.
    case notARegularFile(path: String)
    case tooLarge(path: String, byteCountMax: Int)
    case tooManyEntries(path: String, countMax: Int)
    /// The system refused, with this `errno`.
    case system(path: String, action: Action, code: Int32)

    /// What was tried.
    public enum Action: String, Sendable {
        case open = "opened"
        case create = "created"
        case inspect = "inspected"
        case lock = "locked"
        case read = "read"
        case write = "written"
        case truncate = "cut"
        case makeDurable = "made durable"
        case rename = "renamed"
        case remove = "removed"
    }

    public var path: String {
        switch self {
        case .exists(let path), .notFound(let path), .notARegularFile(let path), .tooLarge(let path, _), .tooManyEntries(let path, _),
            .system(let path, _, _):
            path
        }
    }

    public var description: String { "\(self.path) \(self.reason)" }

    /// The description without the path before it.
    var reason: String {
        switch self {
        case .exists: "exists already and is not overwritten; choose another name, or move it away"
        case .notFound: "is not there; check the name, and that its folder exists"
        case .notARegularFile: "is a folder, a device or a link, not a file of its own; name the file itself"
        case .tooLarge(_, let byteCountMax): "is larger than \(byteCountMax) bytes, so it is not what was asked for; check the name"
        case .tooManyEntries(_, let countMax): "has more than \(countMax) entries; use a folder of its own"
        case .system(_, let action, let code): "could not be \(action.rawValue): \(Self.text(of: code))"
        }
    }

    /// The same for a sentence that has said already what failed.
    var cause: String {
        guard case .system(_, _, let code) = self else { return "it \(self.reason)" }
        return Self.text(of: code)
    }

    private static func text(of code: Int32) -> String { "\(String(cString: strerror(code))); \(Self.advice(for: code))" }

    private static func advice(for code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "free some space on its disk, then try again"
        case EFBIG: "raise the limit on file sizes (ulimit -f), or use another disk"
        case EACCES, EPERM: "check who owns it and its folder, and their permissions"
        case EROFS: "its disk is read-only: use another one"
        case EMFILE, ENFILE: "too many files are open: raise the limit (ulimit -n)"
        case ENAMETOOLONG, EINVAL: "choose another name"
        case ENOTDIR: "a part of its path is no folder: check the name"
        case EIO: "suspect the disk, and copy what matters to another one"
        default: "try again, or use another folder"
        }
    }
}

/// Who may do what with a new file. The process's umask may take rights away.
public struct FilePermissions: Equatable, Sendable {
    /// The lowest nine bits of a POSIX mode.
    public let mode: UInt16

    public init(mode: UInt16) { self.mode = mode & 0o777 }

    /// The owner reads and writes, nobody else does anything: for keys and journals.
    public static let ownerOnly = FilePermissions(mode: 0o600)
    /// The owner writes, everybody reads: for what is passed on.
    public static let everybodyReads = FilePermissions(mode: 0o644)

    /// Whether anybody but the owner may read or write.
    public var letOthersIn: Bool { self.mode & 0o066 != 0 }
}
