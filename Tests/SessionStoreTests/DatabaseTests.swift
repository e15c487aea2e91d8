import CFaultyDisk
import Foundation
import Signing
import SigningTestSupport
import Testing

@testable import SessionStore

struct `A database` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("database")
    }

    private static let first: StaticString = "CREATE TABLE note (number INTEGER PRIMARY KEY, text TEXT, bytes BLOB) STRICT;"

    private func open(_ migrations: [StaticString] = [Self.first], vfs: String? = nil) throws(StoreError) -> Database {
        try Database(opening: self.path, migrations: migrations, vfs: vfs)
    }

    private func error(_ migrations: [StaticString] = [Self.first]) -> StoreError? {
        do throws(StoreError) { _ = try self.open(migrations) } catch { return error }
        return nil
    }

    private static func add(_ text: String, to database: Database, _ durability: Database.Durability = .durable) throws(StoreError) {
        try database.transaction(durability) { () throws(StoreError) in
            try database.execute("INSERT INTO note (text) VALUES (?)", .text(text))
        }
    }

    private static func texts(in database: Database) throws(StoreError) -> [String] {
        try database.rows("SELECT text FROM note ORDER BY number") { row throws(StoreError) in try row.text(0) }
    }

    // MARK: - The file

    @Test func `is for its owner's eyes only, and so is its log, and nothing else lies beside it`() throws {
        let database = try self.open()
        try Self.add("a", to: database)
        #expect(try self.folder.names == ["database", "database-wal"])
        for name in try self.folder.names { #expect(try permissions(of: self.folder.file(name)) == 0o600) }
    }

    @Test func `works as was asked for`() throws {
        let database = try self.open()
        let settings: [(StaticString, Int64)] = [
            ("PRAGMA synchronous", 2), ("PRAGMA foreign_keys", 1), ("PRAGMA trusted_schema", 0), ("PRAGMA cell_size_check", 1),
            ("PRAGMA temp_store", 2), ("PRAGMA max_page_count", 262_144), ("PRAGMA journal_size_limit", 8 << 20),
            ("PRAGMA user_version", 1), ("PRAGMA application_id", 0x4348_4f52), ("PRAGMA busy_timeout", 250), ("PRAGMA fullfsync", 1),
        ]
        for (question, answer) in settings { #expect(try database.number(question) == answer, "\(question)") }
        #expect(try database.rows("PRAGMA journal_mode") { row throws(StoreError) in try row.text(0) } == ["wal"])
        #expect(try database.rows("PRAGMA locking_mode") { row throws(StoreError) in try row.text(0) } == ["exclusive"])
    }

    @Test func `opened twice is refused the second time, until the first is closed`() throws {
        for round in 0..<3 {
            let database = try self.open()
            #expect(self.error() == .heldByAnotherProcess(path: self.path))
            // Refusing gave up no lock of ours.
            #expect(self.error() == .heldByAnotherProcess(path: self.path))
            try Self.add("\(round)", to: database)
        }
        #expect(try Self.texts(in: self.open()) == ["0", "1", "2"])
    }

    @Test func `in no folder, or in place of something else, is a typed error`() throws {
        let target = self.folder.file("target")
        try put([], at: target)
        let link = self.folder.file("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        for path in [self.folder.file("missing/database"), self.folder.path, link, "/dev/full", "/dev/null", "", "\(self.path)\0x"] {
            let error = #expect(throws: StoreError.self, "\(path)") { try Database(opening: path, migrations: [Self.first]) }
            guard case .storage(path, let reason) = error else {
                Issue.record("\(path) gave \(String(describing: error))")
                continue
            }
            #expect(!reason.isEmpty)
        }
        #expect(try self.folder.names == ["link", "target"])
    }

    @Test func `in a folder behind a link opens, and a name that looks like an address is a name`() throws {
        let link = self.folder.file("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: self.folder.path)
        _ = try Database(opening: link + "/file:a?mode=memory", migrations: [Self.first])
        #expect(try self.folder.names == ["file:a?mode=memory", "link"])
    }

    // MARK: - Values

    @Test func `gives back what was bound, and an error for any other kind of value`() throws {
        let database = try self.open()
        let long = String(repeating: "ä\u{0}\n", count: 1_000)
        for (text, bytes) in [("", [UInt8]()), ("a", [0]), (long, [UInt8](repeating: 7, count: 100_000))] {
            try database.execute("DELETE FROM note")
            try database.execute("INSERT INTO note (number, text, bytes) VALUES (?, ?, ?)", .integer(.min), .text(text), .blob(bytes))
            #expect(try database.number("SELECT number FROM note") == .min)
            #expect(try database.row("SELECT text FROM note") { row throws(StoreError) in try row.text(0) } == text)
            #expect(try database.row("SELECT bytes FROM note") { row throws(StoreError) in try row.blob(0) } == bytes)
        }
        try database.execute("INSERT INTO note (number, text, bytes) VALUES (7, ?, ?)", .null, .null)
        let reads: [(DatabaseRow) throws -> Any] = [
            { try $0.text(0) }, { try $0.blob(0) }, { try $0.text(1) }, { try $0.blob(2) }, { try $0.integer(1) }, { try $0.integer(3) },
            { try $0.number(4) as UInt8 }, { try $0.number(5) as UInt64 }, { try $0.bytes32(6) }, { try $0.publicKey(6) },
            { try $0.text(7) },
        ]
        for (index, read) in reads.enumerated() {
            let error = try database.row(
                "SELECT number, text, bytes, 1.5, 256, -1, x'0102', CAST(x'ff' AS TEXT) FROM note WHERE number = 7"
            ) { row throws(StoreError) -> StoreError? in
                do {
                    _ = try read(row)
                    return nil
                } catch {
                    return error as? StoreError
                }
            }
            guard case .damaged(self.path, _)?? = error else {
                Issue.record("reading \(index) gave \(String(describing: error))")
                continue
            }
        }
    }

    @Test func `refuses what is larger than any value may be`() throws {
        let database = try self.open()
        let bytes = [UInt8](repeating: 0, count: Database.valueByteCountMax + 1)
        #expect(throws: StoreError.tooLarge(what: "row", limit: Database.valueByteCountMax)) {
            try database.execute("INSERT INTO note (bytes) VALUES (?)", .blob(bytes))
        }
    }

    // MARK: - Migrations

    private static let migrations: [StaticString] = [
        Self.first, "ALTER TABLE note ADD COLUMN second INTEGER NOT NULL DEFAULT 2;", "CREATE INDEX by_text ON note (text);",
    ]

    @Test(arguments: 0...3) func `of any earlier layout becomes the newest and keeps what it held`(_ count: Int) throws {
        if count > 0 { try Self.add("old", to: self.open(Array(Self.migrations.prefix(count)))) } else { try put([], at: self.path) }
        let database = try self.open(Self.migrations)
        #expect(try database.number("PRAGMA user_version") == 3)
        #expect(try Self.texts(in: database) == (count > 0 ? ["old"] : []))
        try Self.add("new", to: database)
        #expect(try database.number("SELECT count(*) FROM note WHERE second = 2") == (count > 0 ? 2 : 1))
    }

    @Test func `whose step to a newer layout fails stays whole in the one before`() throws {
        try Self.add("old", to: self.open(Array(Self.migrations.prefix(1))))
        let broken: StaticString = "CREATE TABLE other (a) ; INSERT INTO nowhere VALUES (1);"
        #expect(self.error([Self.first, Self.migrations[1], broken]) != nil)
        let database = try self.open(Array(Self.migrations.prefix(2)))
        #expect(try database.number("PRAGMA user_version") == 2)
        #expect(try Self.texts(in: database) == ["old"])
        #expect(try database.number("SELECT count(*) FROM sqlite_schema WHERE name = 'other'") == 0)
    }

    @Test func `of a newer program is refused by name, and left as it is`() throws {
        try Self.add("new", to: self.open(Self.migrations))
        let before = try bytes(of: self.path)
        let error = self.error()
        #expect(error == .newerVersion(path: self.path, version: 3, known: 1))
        #expect(error?.description.contains("newer Chorale") == true)
        #expect(try bytes(of: self.path) == before)
    }

    @Test(arguments: 0...Schema.migrations.count) func `of any released layout becomes the newest`(_ count: Int) async throws {
        _ = try self.open(Array(Schema.migrations.prefix(count)))
        let database = try await SessionDatabase.open(self.path)
        try await database.journal.burn(Sample.record(request: "a"))
        await database.close()
        #expect(self.error(Schema.migrations) == nil)
    }

    // MARK: - Damage

    @Test func `that is none, or another program's, is refused and left as it is`() throws {
        let text = Array("a text that is long enough to be no header of a database at all\n".utf8)
        for content in [text, Array("CHORJNL".utf8) + [1], [UInt8](repeating: 0xff, count: 9_000)] {
            for whole in [content, content + [UInt8](repeating: 0, count: 8_192 - content.count % 4_096)] {
                try put(whole, at: self.path)
                let error = self.error()
                guard error == .notOurs(path: self.path) || error == .damaged(path: self.path, detail: "its last page is not whole") else {
                    Issue.record("\(whole.count) bytes gave \(String(describing: error))")
                    continue
                }
                #expect(try bytes(of: self.path) == whole)
            }
        }
        for content in [[UInt8](repeating: 0xff, count: 8_192)] {
            try put(content, at: self.path)
            #expect(self.error() == .notOurs(path: self.path))
            #expect(try bytes(of: self.path) == content)
        }
        try FileManager.default.removeItem(atPath: self.path)
        do {
            let other = try self.open(["CREATE TABLE theirs (a);"])
            try other.execute("PRAGMA application_id = 1")
        }
        let before = try bytes(of: self.path)
        #expect(self.error() == .notOurs(path: self.path))
        #expect(try bytes(of: self.path) == before)
    }

    @Test func `cut anywhere is refused or holds all it held, and never traps`() throws {
        let whole = try self.filled()
        var refused = 0
        for length in stride(from: 0, to: whole.count, by: 509) {
            try put(Array(whole[..<length]), at: self.path)
            do throws(StoreError) {
                let database = try self.open()
                // Where nothing is left, nothing says that there was ever anything.
                let count = try database.number("SELECT count(*) FROM note")
                #expect(length == 0 && count == 0, "\(length) bytes were taken for a database")
            } catch {
                refused += 1
                switch error {
                case .damaged(self.path, _), .notOurs(self.path): break
                default: Issue.record("\(length) bytes gave \(error)")
                }
            }
        }
        #expect(refused > 50)
    }

    @Test func `with any byte altered is a typed error or another value, and never traps`() throws {
        let whole = try self.filled()
        var random = SplitMix(seed: 5)
        var refused = 0
        for index in Array(0..<120) + (0..<200).map({ _ in Int.random(in: 0..<whole.count, using: &random) }) {
            var damaged = whole
            damaged[index] ^= UInt8.random(in: 1...255, using: &random)
            try put(damaged, at: self.path)
            do throws(StoreError) {
                let database = try self.open()
                _ = try Self.texts(in: database)
                try Self.add("more", to: database)
            } catch {
                refused += 1
                switch error {
                case .damaged, .notOurs, .newerVersion: break
                default: Issue.record("byte \(index) gave \(error)")
                }
            }
            try? FileManager.default.removeItem(atPath: self.path + "-wal")
        }
        #expect(refused > 50)
    }

    /// The bytes of a closed database of some pages.
    private func filled() throws -> [UInt8] {
        do {
            let database = try self.open()
            for index in 0..<300 { try Self.add("\(index) " + String(repeating: "x", count: 100 + index), to: database) }
        }
        return try bytes(of: self.path)
    }

    // MARK: - Transactions

    @Test func `does a transaction whole or not at all, and a part of it likewise`() throws {
        let database = try self.open()
        #expect(throws: StoreError.notFound) {
            try database.transaction(.durable) { () throws(StoreError) in
                try database.execute("INSERT INTO note (text) VALUES ('a')")
                throw StoreError.notFound
            }
        }
        try database.transaction(.durable) { () throws(StoreError) in
            try database.execute("INSERT INTO note (text) VALUES ('b')")
            do throws(StoreError) {
                try database.part { () throws(StoreError) in
                    try database.execute("INSERT INTO note (text) VALUES ('c')")
                    throw StoreError.notFound
                }
            } catch {}
            try database.part { () throws(StoreError) in try database.execute("INSERT INTO note (text) VALUES ('d')") }
        }
        #expect(try Self.texts(in: database) == ["b", "d"])
    }

    private func faultyDisk() throws -> (disk: OpaquePointer, name: String) {
        let name = "faulty \(UUID().uuidString)"
        return (try #require(chorale_faulty_disk_create(name)), name)
    }

    @Test func `synchronises its log once for a durable commit, and not for a lazy one, until it is flushed`() throws {
        let (disk, name) = try self.faultyDisk()
        let database = try self.open(vfs: name)
        // What cannot be synchronised fails a durable commit, and nothing else notices.
        try Self.add("first", to: database)
        chorale_faulty_disk_arm(disk, Int32(CHORALE_FAULT_NO_SYNC.rawValue), 1)
        try Self.add("lazy", to: database, .lazy)
        #expect(database.hasLazyCommits)
        #expect(throws: StoreError.self) { try database.flush() }
        chorale_faulty_disk_arm(disk, 0, 0)
        #expect(try Self.texts(in: database) == ["first", "lazy"])
    }

    @Test func `on a full disk refuses with a reason, holds what it held, and goes on when there is room`() throws {
        let (disk, name) = try self.faultyDisk()
        let database = try self.open(vfs: name)
        try Self.add("a", to: database)
        for step in 1...4 {
            chorale_faulty_disk_arm(disk, Int32(CHORALE_FAULT_NO_SPACE.rawValue), step)
            var refusal: StoreError?
            do throws(StoreError) { try Self.add(String(repeating: "x", count: 9_000), to: database) } catch { refusal = error }
            guard case .storage(self.path, let reason) = refusal else {
                Issue.record("step \(step) gave \(String(describing: refusal))")
                continue
            }
            #expect(reason.contains("free some space"))
            #expect(try Self.texts(in: database) == ["a"])
        }
        chorale_faulty_disk_arm(disk, 0, 0)
        try Self.add("b", to: database)
        #expect(try Self.texts(in: database) == ["a", "b"])
    }

    @Test(arguments: [CHORALE_FAULT_NO_SYNC, CHORALE_FAULT_BROKEN])
    func `after a commit of unknown outcome writes nothing more until it is opened again`(_ fault: chorale_fault) throws {
        let (disk, name) = try self.faultyDisk()
        do {
            let database = try self.open(vfs: name)
            try Self.add("a", to: database)
            chorale_faulty_disk_arm(disk, Int32(fault.rawValue), 1)
            #expect(throws: StoreError.self) { try Self.add("b", to: database) }
            chorale_faulty_disk_arm(disk, 0, 0)
            var refusal: StoreError?
            do throws(StoreError) { try Self.add("c", to: database) } catch { refusal = error }
            #expect(refusal?.description.contains("start this program again") == true)
            #expect(try Self.texts(in: database) == ["a"])
        }
        let texts = try Self.texts(in: self.open())
        #expect(texts == ["a"] || texts == ["a", "b"], "either may be true, and nothing else")
    }

    @Test func `whose log cannot be copied goes on in it, unless it is not known what is on the medium`() throws {
        for fault in [CHORALE_FAULT_NO_SPACE, CHORALE_FAULT_NO_SYNC] {
            let (disk, name) = try self.faultyDisk()
            let database = try self.open(vfs: name)
            for _ in 0..<10 { try Self.add(String(repeating: "x", count: 500_000), to: database) }
            chorale_faulty_disk_arm(disk, Int32(fault.rawValue), 1)
            database.checkpointIfWorthwhile()
            chorale_faulty_disk_arm(disk, 0, 0)
            #expect((database.refusal == nil) == (fault == CHORALE_FAULT_NO_SPACE))
            if database.refusal == nil {
                database.checkpointIfWorthwhile()
                try Self.add("after", to: database)
            }
            try database.execute("SELECT 1")
        }
    }

    // MARK: - Writing together

    /// Burns all at one time; gives what each was told, in their order.
    private static func fates(of records: some Collection<BurnRecord>, in database: SessionDatabase) async -> [JournalError?] {
        await withTaskGroup { group in
            for (index, record) in records.enumerated() {
                group.addTask {
                    do throws(JournalError) {
                        try await database.journal.burn(record)
                        return (index, JournalError?.none)
                    } catch {
                        return (index, error)
                    }
                }
            }
            var fates = [JournalError?](repeating: nil, count: records.count)
            for await (index, fate) in group { fates[index] = fate }
            return fates
        }
    }

    @Test func `shares one synchronisation among all that wait, and each has its own answer`() async throws {
        let (disk, name) = try self.faultyDisk()
        let database = try await SessionDatabase.open(self.path, vfs: name)
        let records = try (0..<64).map { try Sample.record(request: "\($0)") }
        chorale_faulty_disk_arm(disk, 0, 0)
        for record in records.prefix(8) { try await database.journal.burn(record) }
        let alone = chorale_faulty_disk_steps(disk) / 8
        chorale_faulty_disk_arm(disk, 0, 0)
        let rivals = try (0..<56).map { try Sample.record(request: "0", transcript: "rival \($0)") }
        let fates = await Self.fates(of: records.dropFirst(8) + rivals, in: database)
        #expect(fates.count { $0 == nil } == 56)
        #expect(fates.count { $0 == .differentRecordStands(attempt: 1, signer: rivals[0].signer) } == 56)
        #expect(chorale_faulty_disk_steps(disk) < alone * 56)
    }

    @Test func `that fails a transaction tells all that were in it, and confirms what stands`() async throws {
        let (disk, name) = try self.faultyDisk()
        let database = try await SessionDatabase.open(self.path, vfs: name)
        let standing = try Sample.record(request: "standing")
        try await database.journal.burn(standing)
        chorale_faulty_disk_arm(disk, Int32(CHORALE_FAULT_NO_SYNC.rawValue), 1)
        let new = try (0..<10).map { try Sample.record(request: "\($0)") }
        let rival = try Sample.record(request: "standing", transcript: "rival")
        let fates = await Self.fates(of: new + [new[0], standing, rival], in: database)
        for fate in fates.prefix(11) {
            guard case .storage = fate else {
                Issue.record("\(String(describing: fate))")
                continue
            }
        }
        #expect(fates[11] == nil)
        #expect(fates[12] == .differentRecordStands(attempt: 1, signer: rival.signer))
        for record in new { #expect(try await database.journal.records(request: record.request).isEmpty) }
    }

    @Test func `closed takes and tells nothing more`() async throws {
        let database = try await SessionDatabase.open(self.path)
        try await database.journal.burn(Sample.record(request: "a"))
        await database.close()
        await #expect(throws: JournalError.self) { try await database.journal.burn(Sample.record(request: "b")) }
        await #expect(throws: JournalError.self) { try await database.journal.records(request: Sample.digest("a")) }
        await #expect(throws: StoreError.self) { try await database.backUp(to: self.folder.file("copy")) }
        await #expect(throws: StoreError.self) { try await database.flush() }
    }

    // MARK: - Backup

    @Test func `is copied while it is written to, and the copy holds what was there before and opens by itself`() async throws {
        let database = try await SessionDatabase.open(self.path)
        let before = try (0..<400).map { try Sample.record(request: "before \($0)", inputs: 3) }
        try await withThrowingTaskGroup { group in
            for record in before { group.addTask { try await database.journal.burn(record) } }
            try await group.waitForAll()
        }
        let copy = self.folder.file("copy")
        let during = try (0..<200).map { try Sample.record(request: "during \($0)") }
        async let copying: Void = database.backUp(to: copy)
        for record in during { try await database.journal.burn(record) }
        try await copying
        await database.close()

        #expect(try permissions(of: copy) == 0o600)
        #expect(try self.folder.names == ["copy", "database"])
        let other = try await SessionDatabase.open(copy)
        for record in before { #expect(try await other.journal.records(request: record.request) == [record]) }
        // Of what came meanwhile, some: a beginning, for each was there before the next began.
        var isThere = true
        for record in during {
            let found = try await !other.journal.records(request: record.request).isEmpty
            #expect(isThere || !found)
            isThere = found
        }
    }

    @Test func `a copy that is called off leaves nothing`() async throws {
        let database = try await SessionDatabase.open(self.path)
        try await withThrowingTaskGroup { group in
            for number in 0..<1_500 {
                let record = try Sample.record(request: "\(number)", inputs: 3)
                group.addTask { try await database.journal.burn(record) }
            }
            try await group.waitForAll()
        }
        let copy = self.folder.file("copy")
        let copying = Task { try await database.backUp(to: copy) }
        copying.cancel()
        let result = await copying.result
        #expect(throws: StoreError.storage(path: copy, reason: "the copying was called off")) { try result.get() }
        #expect(try self.folder.names == ["database", "database-wal"])
    }

    @Test func `is not copied over a file that is there, nor into no folder, and leaves nothing`() async throws {
        let database = try await SessionDatabase.open(self.path)
        let copy = self.folder.file("copy")
        try put([1, 2, 3], at: copy)
        for path in [copy, self.path, self.folder.file("missing/copy"), "\(copy)\0x"] {
            let error = await #expect(throws: StoreError.self) { try await database.backUp(to: path) }
            guard case .storage(path, _) = error else {
                Issue.record("\(path) gave \(String(describing: error))")
                continue
            }
        }
        #expect(try bytes(of: copy) == [1, 2, 3])
        #expect(try self.folder.names == ["copy", "database", "database-wal"])
    }
}
