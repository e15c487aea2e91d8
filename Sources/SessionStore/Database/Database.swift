internal import CSQLite
internal import Signing

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// One SQLite database, open and held, as Chorale needs it: durable, suspicious of its own file, and never in doubt.
///
/// All calls block; the owner keeps them on one queue. While it is open, nothing in this process may open its file by other means:
/// closing any descriptor of a file gives up all POSIX locks that the process has on it.
final class Database {
    let path: String
    private let connection: OpaquePointer
    /// Prepared statements by the address of their text, which is a literal: so there are as many as the program has.
    private var statements: [UnsafePointer<UInt8>: OpaquePointer] = [:]
    /// Frames in the write-ahead log after the last commit, told by SQLite's hook.
    private let logFrameCount: UnsafeMutablePointer<Int32>
    private var synchronous = Durability.durable
    /// Whether something was committed that a power cut may still undo.
    private(set) var hasLazyCommits = false
    /// Why nothing may be written any more: what a failed commit left in the file is not known.
    private(set) var refusal: StoreError?

    /// When a commit counts.
    enum Durability {
        /// It is on the medium before `transaction` returns, and with it every lazy one before.
        case durable
        /// It outlives the process at once, and a power cut from the next durable commit on.
        case lazy
    }

    // MARK: - Limits

    static let pageByteCount = 4_096
    /// Largest database, in pages: 1 GiB.
    ///
    /// Source: Chorale's own bound; what is kept of strangers is bounded far below, and the check at start reads all of it.
    static let pageCountMax = 262_144
    /// Pages that only decisions to sign may take: the last quarter.
    static let pageCountForOthersMax = pageCountMax / 4 * 3
    /// Largest value or row, in bytes: a proposal and what stands beside it.
    static let valueByteCountMax = 20 << 20
    /// How long opening waits for whoever only looks at the file, in milliseconds.
    private static let busyMilliseconds: Int32 = 250
    /// Frames of the log, of a page each, after which they are copied into the main file.
    private static let checkpointFrameCount: Int32 = 1_000
    /// What is left of the log after a large transaction was copied, in bytes.
    private static let logByteCountMax = 8 << 20
    /// "CHOR": how a database says whose it is.
    static let applicationID: Int64 = 0x4348_4f52

    // MARK: - Opening

    /// Opens the database, or makes it where there is none; its folder must exist.
    ///
    /// - Parameters:
    ///   - migrations: What makes layout 1 out of nothing, layout 2 out of that, and so on; each in a transaction of its own.
    ///   - vfs: SQLite's access to files; `nil` for the system's. Tests put a faulty disk here.
    init(opening path: String, migrations: [StaticString], vfs: String? = nil) throws(StoreError) {
        guard let resolved = try Self.prepareFile(path) else {
            throw .damaged(path: path, detail: "its last page is not whole")
        }
        var connection: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(resolved, &connection, flags, vfs)
        guard code == SQLITE_OK, let connection else {
            let error = Self.error(code, connection, path: path)
            sqlite3_close(connection)
            throw error
        }
        self.path = path
        self.connection = connection
        self.logFrameCount = .allocate(capacity: 1)
        self.logFrameCount.initialize(to: 0)
        // From here on `deinit` closes.
        try self.configure()
        try self.hold(knownVersion: migrations.count)
        try self.checkPages()
        // What a crash left in the log may be in the system's memory only, and nobody may be told of a decision that a power cut could
        // still undo. So everything that was found is made durable in the main file before anything is read.
        try self.check(sqlite3_wal_checkpoint_v2(self.connection, nil, SQLITE_CHECKPOINT_TRUNCATE, nil, nil))
        try self.migrate(migrations)
        try self.check(chorale_sqlite_switch(self.connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0))
    }

    deinit {
        for statement in self.statements.values { sqlite3_finalize(statement) }
        // Without open statements this always closes. Copies the log into the main file and removes it.
        sqlite3_close_v2(self.connection)
        self.logFrameCount.deallocate()
    }

    /// Makes an empty file for its owner's eyes only where there is none; gives the path that SQLite opens.
    private static func prepareFile(_ path: String) throws(StoreError) -> String? {
        do throws(FileError) {
            guard !path.utf8.contains(0) else { throw .system(path: path, action: .open, code: EINVAL) }
            switch Folder.kind(of: path) {
            case .regularFile(let byteCount):
                // SQLite takes a file of less than a page for an empty one, and zeros for what is missing of a page. A process that was killed
                // while it wrote leaves a log or a journal, too.
                if byteCount % Self.pageByteCount != 0, ["-wal", "-journal"].allSatisfy({ Folder.kind(of: path + $0) == .nothing }) {
                    return nil
                }
            case .other: throw .notARegularFile(path: path)
            case .nothing:
                do throws(FileError) {
                    // Closed before it has the name, so that no lock of another opening is given up by that.
                    try AtomicFile.createByTemporary([], at: path, .ownerOnly)
                } catch .exists {
                    // Somebody else was first; the lock decides.
                }
                try Folder.synchronize(containing: path)
            }
            // SQLite refuses links anywhere in a path, so the folder's are followed here. An absolute path is never taken for a URI.
            let folder = try Folder.resolved(Folder.containing(path))
            return folder + "/" + (path.split(separator: "/").last.map(String.init) ?? "")
        } catch {
            throw .storage(path: path, reason: error.cause)
        }
    }

    private func configure() throws(StoreError) {
        let switches: [(Int32, Int32)] = [
            (SQLITE_DBCONFIG_DEFENSIVE, 1),  // no statement can harm the file's structure
            (SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),  // nothing in the file's own schema may have effects
            (SQLITE_DBCONFIG_ENABLE_TRIGGER, 0), (SQLITE_DBCONFIG_ENABLE_VIEW, 0),  // ours has none
            (SQLITE_DBCONFIG_DQS_DML, 0), (SQLITE_DBCONFIG_DQS_DDL, 0),
            (SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1),  // a file that is refused stays as it is
        ]
        for (option, on) in switches { try self.check(chorale_sqlite_switch(self.connection, option, on)) }
        try self.check(sqlite3_busy_timeout(self.connection, Self.busyMilliseconds))
        sqlite3_limit(self.connection, SQLITE_LIMIT_ATTACHED, 0)
        sqlite3_limit(self.connection, SQLITE_LIMIT_LENGTH, Int32(Self.valueByteCountMax))
        // In place of SQLite's own hook, which copies the log and forgets when that failed.
        sqlite3_wal_hook(
            self.connection,
            { count, _, _, frames in
                count?.assumingMemoryBound(to: Int32.self).pointee = frames
                return SQLITE_OK
            }, self.logFrameCount)
        // Exclusive before the log is first used: the lock is then held until the end, and the log's index is in our memory and not in a
        // file that others share.
        try self.execute("PRAGMA locking_mode = EXCLUSIVE")
        try self.execute("PRAGMA page_size = 4096")  // of a new file; others keep theirs
        try self.execute("PRAGMA mmap_size = 0")  // a failing disk is an error, not a signal
        try self.execute("PRAGMA cell_size_check = ON")
        try self.execute("PRAGMA foreign_keys = ON")
        try self.execute("PRAGMA temp_store = MEMORY")
        // FULL means, with a write-ahead log: each commit synchronises the log before it returns, so that it outlives a power cut. (With
        // NORMAL only copying the log does: a commit then outlives the process, and its order among others is kept.)
        try self.execute("PRAGMA synchronous = FULL")
        // fsync on Apple systems leaves the bytes in the drive's cache; elsewhere these change nothing.
        try self.execute("PRAGMA fullfsync = ON")
        try self.execute("PRAGMA checkpoint_fullfsync = ON")
    }

    /// Takes the lock that is held until the end, and looks whose the file is before anything in it changes.
    private func hold(knownVersion: Int) throws(StoreError) {
        try self.execute("BEGIN EXCLUSIVE")
        let id = try self.number("PRAGMA application_id")
        let version = try self.number("PRAGMA user_version")
        let isEmpty = try self.number("SELECT count(*) FROM sqlite_schema") == 0
        try self.execute("COMMIT")
        // An empty one was never finished being made.
        guard id == Self.applicationID || id == 0 && version == 0 && isEmpty else { throw .notOurs(path: self.path) }
        guard (0...Int64(knownVersion)).contains(version) else {
            throw .newerVersion(path: self.path, version: Int(version), known: knownVersion)
        }
        let mode = try self.rows("PRAGMA journal_mode = WAL") { row throws(StoreError) in try row.text(0) }
        guard mode == ["wal"] else { throw .storage(path: self.path, reason: "its folder cannot hold a write-ahead log; use another one") }
        try self.execute("PRAGMA journal_size_limit = 8388608")
        try self.execute("PRAGMA max_page_count = 262144")
    }

    /// Reads every page, and tells trees that are out of order, unreadable pages and values of the wrong kind.
    ///
    /// It takes time with the file's size, which is bounded by `pageCountMax`; ARCHITECTURE.md gives figures. What stands in the values is
    /// not checked here: signatures, chains and `RowCheck` vouch for that.
    private func checkPages() throws(StoreError) {
        let findings = try self.rows("PRAGMA quick_check(1)") { row throws(StoreError) in try row.text(0) }
        guard findings == ["ok"] else { throw .damaged(path: self.path, detail: findings.first ?? "the check said nothing") }
    }

    private func migrate(_ migrations: [StaticString]) throws(StoreError) {
        let version = Int(try self.number("PRAGMA user_version"))
        for (index, migration) in migrations.enumerated().dropFirst(version) {
            try self.transaction(.durable) { () throws(StoreError) in
                try self.runScript(migration.description)
                try self.runScript("PRAGMA application_id = \(Self.applicationID); PRAGMA user_version = \(index + 1)")
            }
        }
    }

    /// Several statements that are used once.
    private func runScript(_ script: String) throws(StoreError) {
        try self.check(sqlite3_exec(self.connection, script, nil, nil, nil))
    }

    // MARK: - Statements

    /// Runs a statement whose answer does not matter.
    func execute(_ sql: StaticString, _ values: SQLValue...) throws(StoreError) {
        try self.run(sql, values) { _ throws(StoreError) in }
    }

    func execute(_ sql: StaticString, _ values: [SQLValue]) throws(StoreError) {
        try self.run(sql, values) { _ throws(StoreError) in }
    }

    /// All rows of an answer, each made into a value. `read` must not use the database.
    func rows<Value>(
        _ sql: StaticString, _ values: SQLValue..., read: (DatabaseRow) throws(StoreError) -> Value
    ) throws(StoreError) -> [Value] {
        var rows: [Value] = []
        try self.run(sql, values) { row throws(StoreError) in rows.append(try read(row)) }
        return rows
    }

    /// The only row of an answer, if there is one.
    func row<Value>(
        _ sql: StaticString, _ values: SQLValue..., read: (DatabaseRow) throws(StoreError) -> Value
    ) throws(StoreError) -> Value? {
        var found: Value?
        try self.run(sql, values) { row throws(StoreError) in found = try read(row) }
        return found
    }

    /// Looks at each row of an answer, of which only one is in memory. `body` may use the database, but not this statement.
    func forEachRow(_ sql: StaticString, _ body: (DatabaseRow) throws(StoreError) -> Void) throws(StoreError) {
        try self.run(sql, [], body)
    }

    /// The one number that the answer is.
    func number(_ sql: StaticString, _ values: SQLValue...) throws(StoreError) -> Int64 {
        var found: Int64?
        try self.run(sql, values) { row throws(StoreError) in found = try row.integer(0) }
        guard let found else { throw .damaged(path: self.path, detail: "a question about it has no answer") }
        return found
    }

    /// How many rows the last statement changed.
    var changedCount: Int { Int(sqlite3_changes(self.connection)) }

    /// The number that the last insertion gave its row.
    var lastInsertedNumber: Int64 { sqlite3_last_insert_rowid(self.connection) }

    private func run(_ sql: StaticString, _ values: [SQLValue], _ body: (DatabaseRow) throws(StoreError) -> Void) throws(StoreError) {
        let statement = try self.statement(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (index, value) in values.enumerated() { try self.bind(value, to: statement, Int32(index + 1)) }
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: try body(DatabaseRow(statement, path: self.path))
            case SQLITE_DONE: return
            case let code: throw self.error(code)
            }
        }
    }

    private func statement(_ sql: StaticString) throws(StoreError) -> OpaquePointer {
        if let statement = self.statements[sql.utf8Start] { return statement }
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(
            self.connection, UnsafeRawPointer(sql.utf8Start).assumingMemoryBound(to: CChar.self), Int32(sql.utf8CodeUnitCount),
            UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw self.error(code) }
        self.statements[sql.utf8Start] = statement
        return statement
    }

    private func bind(_ value: SQLValue, to statement: OpaquePointer, _ index: Int32) throws(StoreError) {
        let code: Int32
        switch value {
        case .null: code = sqlite3_bind_null(statement, index)
        case .integer(let integer): code = sqlite3_bind_int64(statement, index, integer)
        case .text(let text):
            code = chorale_sqlite_bind_text(statement, index, text, Int32(text.utf8.count))
        case .blob(let bytes):
            code = bytes.withUnsafeBytes { chorale_sqlite_bind_blob(statement, index, $0.baseAddress, Int32($0.count)) }
        }
        try self.check(code)
    }

    // MARK: - Transactions

    /// Runs `work` as a whole or not at all.
    ///
    /// When even this is not certain, after an error that may have come behind the write, nothing more is written until the database is
    /// opened again: then it is read anew, and what it holds is made durable before it counts.
    func transaction<Value>(
        _ durability: Durability, _ work: () throws(StoreError) -> Value
    ) throws(StoreError) -> Value {
        if let refusal = self.refusal { throw refusal }
        try self.setSynchronous(durability)
        try self.execute("BEGIN IMMEDIATE")
        let value: Value
        do throws(StoreError) {
            value = try work()
        } catch {
            self.rollBack()
            throw error
        }
        try self.commit()
        self.hasLazyCommits = durability == .lazy
        return value
    }

    /// Runs a part of a transaction, of which nothing is left when it fails.
    func part<Value>(_ work: () throws(StoreError) -> Value) throws(StoreError) -> Value {
        try self.execute("SAVEPOINT part")
        do throws(StoreError) {
            let value = try work()
            try self.execute("RELEASE part")
            return value
        } catch {
            // After some errors SQLite has rolled everything back by itself; then it is not a part that failed.
            guard sqlite3_get_autocommit(self.connection) == 0 else { throw error.isAboutItem ? self.lost(error) : error }
            try self.execute("ROLLBACK TO part")
            try self.execute("RELEASE part")
            throw error
        }
    }

    private func lost(_ error: StoreError) -> StoreError { .storage(path: self.path, reason: "a transaction was lost: \(error)") }

    private func setSynchronous(_ durability: Durability) throws(StoreError) {
        guard durability != self.synchronous else { return }
        // This one takes effect when it is compiled, so it must not be a statement that is kept.
        try self.runScript(durability == .durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL")
        self.synchronous = durability
    }

    private func commit() throws(StoreError) {
        let (code, system) = Self.attempt { sqlite3_exec(self.connection, "COMMIT", nil, nil, nil) }
        guard code != SQLITE_OK else { return }
        let error = self.error(code, system)
        self.doubt(error, after: code, system)
        self.rollBack()
        throw self.refusal ?? error
    }

    private func rollBack() {
        guard sqlite3_get_autocommit(self.connection) == 0 else { return }
        do throws(StoreError) {
            try self.execute("ROLLBACK")
        } catch {
            self.doubt(error)
        }
    }

    /// Calls SQLite; gives its answer and the system's error, which SQLite keeps of some calls only.
    private static func attempt(_ call: () -> Int32) -> (code: Int32, system: Int32) {
        errno = 0
        let code = call()
        return (code, errno)
    }

    /// Writes nothing more if the error may have come after bytes were taken that cannot be called back.
    ///
    /// A log that found no room holds no finished commit, and the next one overwrites what it left. After a failed synchronisation the
    /// commit may be there all the same, and a system may forget what it failed to write and call the next synchronisation a success.
    private func doubt(_ error: StoreError, after code: Int32, _ system: Int32) {
        switch code & 0xff {
        case SQLITE_FULL, SQLITE_BUSY, SQLITE_CONSTRAINT: return
        case SQLITE_IOERR where code == Self.ioErrorWrite && [ENOSPC, EDQUOT, EFBIG].contains(system): return
        default: self.doubt(error)
        }
    }

    /// `SQLITE_IOERR_WRITE`, whose definition Swift does not import.
    private static let ioErrorWrite = SQLITE_IOERR | 3 << 8

    private func doubt(_ error: StoreError) {
        guard self.refusal == nil else { return }
        let reason = if case .storage(_, let reason) = error { reason } else { "\(error)" }
        self.refusal = .storage(path: self.path, reason: "\(reason); then start this program again")
        _ = chorale_sqlite_switch(self.connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    }

    /// Makes lazy commits durable.
    func flush() throws(StoreError) {
        guard self.hasLazyCommits else { return }
        let version = try self.number("PRAGMA user_version")
        // Writes one page that is already so, for a commit that writes nothing synchronises nothing.
        try self.transaction(.durable) { () throws(StoreError) in try self.runScript("PRAGMA user_version = \(version)") }
    }

    /// Copies the log into the main file when it has grown, so that it starts again from its beginning. A failure costs room only, or else
    /// ends all writing.
    func checkpointIfWorthwhile() {
        guard self.refusal == nil, self.logFrameCount.pointee >= Self.checkpointFrameCount else { return }
        // The log's lazy commits are synchronised by this, too, so a failure of that must not be overlooked.
        let (code, system) = Self.attempt { sqlite3_wal_checkpoint_v2(self.connection, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil) }
        if code == SQLITE_OK { self.logFrameCount.pointee = 0 } else { self.doubt(self.error(code, system), after: code, system) }
    }

    /// Pages that hold something.
    func usedPageCount() throws(StoreError) -> Int {
        Int(try self.number("PRAGMA page_count") - self.number("PRAGMA freelist_count"))
    }

    // MARK: - Errors

    private func check(_ code: Int32) throws(StoreError) {
        guard code == SQLITE_OK else { throw self.error(code) }
    }

    private func error(_ code: Int32, _ system: Int32 = 0) -> StoreError {
        if code & 0xff == SQLITE_FULL, (try? self.number("PRAGMA page_count")) ?? 0 >= Self.pageCountMax {
            return .full(.store, limit: Self.pageCountMax * Self.pageByteCount)
        }
        return Self.error(code, self.connection, path: self.path, system)
    }

    static func error(_ code: Int32, _ connection: OpaquePointer?, path: String, _ system: Int32 = 0) -> StoreError {
        let text = connection.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
        let system = system != 0 ? system : connection.map { sqlite3_system_errno($0) } ?? 0
        switch code & 0xff {
        case SQLITE_BUSY, SQLITE_LOCKED: return .heldByAnotherProcess(path: path)
        case SQLITE_NOTADB: return .notOurs(path: path)
        // The statements are ours and right, so what contradicts them is the file.
        case SQLITE_CORRUPT, SQLITE_ERROR, SQLITE_CONSTRAINT, SQLITE_MISMATCH: return .damaged(path: path, detail: text)
        // So a file is told whose header asks for a newer SQLite than there is, and one that its owner may not write.
        case SQLITE_READONLY where access(path, W_OK) == 0: return .damaged(path: path, detail: text)
        case SQLITE_TOOBIG: return .tooLarge(what: "row", limit: Self.valueByteCountMax)
        case SQLITE_FULL: return .storage(path: path, reason: FileError.system(path: path, action: .write, code: ENOSPC).cause)
        case SQLITE_IOERR, SQLITE_CANTOPEN:
            return .storage(path: path, reason: system == 0 ? text : FileError.system(path: path, action: .write, code: system).cause)
        default: return .storage(path: path, reason: text)
        }
    }

    /// The connection, for an online backup.
    func withConnection<Value>(_ body: (OpaquePointer) throws(StoreError) -> Value) throws(StoreError) -> Value {
        try body(self.connection)
    }
}
