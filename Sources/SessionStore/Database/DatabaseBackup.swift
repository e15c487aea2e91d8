internal import CSQLite
internal import Signing

/// A copy of a database that is being made while the database is in use: a slice at a time, in a file that has no name of its own yet.
///
/// What is written to the database meanwhile goes into the copy, too. A copy that is given up leaves nothing.
final class DatabaseBackup {
    /// Pages that one step copies: a quarter of a mebibyte, which takes about a millisecond.
    private static let pagesInStep: Int32 = 64

    private let path: String
    private let isReplacing: Bool
    private let temporaryPath: String
    private var copy: OpaquePointer?
    private var backup: OpaquePointer?

    /// - Parameter isReplacing: whether a file that has the name makes way for the copy, once it is whole.
    init(of database: Database, to path: String, replacing isReplacing: Bool) throws(StoreError) {
        self.path = path
        self.isReplacing = isReplacing
        guard !path.utf8.contains(0) else { throw .storage(path: path, reason: "it has a zero byte in its name; choose another one") }
        // SQLite would take a path that begins with "file:" for a URI.
        let folder: String
        do throws(FileError) { folder = try Folder.resolved(Folder.containing(path)) } catch {
            throw .storage(path: path, reason: error.cause)
        }
        self.temporaryPath = AtomicFile.temporaryName(beside: folder + "/copy")
        switch Folder.kind(of: path) {
        case .nothing: break
        case .regularFile where Self.files(of: database).contains { Folder.isOneFile($0, path) }:
            throw .storage(path: path, reason: "it is the database itself, which a copy must not replace; choose another name")
        case .regularFile where isReplacing: break
        case .regularFile: throw .storage(path: path, reason: FileError.exists(path: path).cause)
        case .other: throw .storage(path: path, reason: FileError.notARegularFile(path: path).cause)
        }
        do throws(FileError) { try AtomicFile.createInPlace([], at: self.temporaryPath, .ownerOnly) } catch {
            throw .storage(path: path, reason: error.cause)
        }
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE
        try self.check(sqlite3_open_v2(self.temporaryPath, &self.copy, flags, nil))
        // The file is nobody's until it is whole, so SQLite need neither be able to take steps back nor make it durable.
        try self.check(sqlite3_exec(self.copy, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", nil, nil, nil))
        let backup = try database.withConnection { connection in sqlite3_backup_init(self.copy, "main", connection, "main") }
        guard let backup else { throw self.error(sqlite3_extended_errcode(self.copy)) }
        self.backup = backup
    }

    /// The database, and its log.
    private static func files(of database: Database) -> [String] { [database.path, "\(database.path)-wal"] }

    deinit {
        self.close()
        Folder.remove(self.temporaryPath)
    }

    /// Copies some more; whether all is copied now.
    func step() throws(StoreError) -> Bool {
        let code = sqlite3_backup_step(self.backup, Self.pagesInStep)
        if code == SQLITE_DONE { return true }
        try self.check(code)
        return false
    }

    /// Makes the copy durable and gives it its name, which must still be free unless it is to be replaced.
    func finish() throws(StoreError) {
        let code = sqlite3_backup_finish(self.backup)
        self.backup = nil
        try self.check(code)
        self.close()
        do throws(FileError) {
            let file = try OpenFile(openingOrCreating: self.temporaryPath, permissions: .ownerOnly)
            try file.synchronize()
            try self.takeName()
            Folder.remove(self.temporaryPath)
            try Folder.synchronize(containing: self.path)
        } catch {
            throw .storage(path: self.path, reason: error.cause)
        }
    }

    private func takeName() throws(FileError) {
        guard !self.isReplacing else { return try Folder.rename(self.temporaryPath, to: self.path) }
        switch Folder.link(self.temporaryPath, to: self.path) {
        case .linked: break
        case .nameTaken: throw .exists(path: self.path)
        // A file system without hard links.
        case .notSupported: try Folder.rename(self.temporaryPath, to: self.path)
        case .failed(let error): throw error
        }
    }

    private func close() {
        if let backup { sqlite3_backup_finish(backup) }
        self.backup = nil
        sqlite3_close_v2(self.copy)
        self.copy = nil
    }

    private func check(_ code: Int32) throws(StoreError) {
        guard code == SQLITE_OK else { throw self.error(code) }
    }

    private func error(_ code: Int32) -> StoreError { Database.error(code, self.copy, path: self.path) }
}
