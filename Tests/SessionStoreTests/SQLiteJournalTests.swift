import CFaultyDisk
import CryptoPrimitives
import Foundation
import Signing
import SigningTestSupport
import Testing

@testable import SessionStore

struct `A journal in a database` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("database")
    }

    /// What is there after a crash: the main file and the log as they are while the journal is open.
    private func image(of names: [String] = ["database", "database-wal"]) throws -> [[UInt8]] {
        try names.map { try bytes(of: self.folder.file($0)) }
    }

    @Test func `cut at any place of its log holds what had returned by then, and goes on`() async throws {
        // In a process of its own it would be a copy of the files; here the original must not be opened by other means while it is open, so a
        // faulty disk keeps copies of it.
        let disk = try #require(chorale_faulty_disk_create("cut \(self.path)"))
        chorale_faulty_disk_keep_synced(disk)
        let database = try await SessionDatabase.open(self.path, vfs: "cut \(self.path)")
        let records = try (0..<4).map { try Sample.record(request: "a", attempt: UInt32($0), inputs: $0 % 3) }
        var lengths: [Int] = []
        for record in records {
            try await database.journal.burn(record)
            lengths.append(try bytes(of: self.path + "-wal.synced").count)
        }
        let (main, log) = try (bytes(of: self.path + ".synced"), bytes(of: self.path + "-wal.synced"))
        await database.close()

        let cut = self.folder.file("cut")
        let next = try Sample.record(request: "a", attempt: 100)
        for length in Array(stride(from: 0, to: log.count, by: 769)) + lengths {
            for suffix in ["", "-wal"] { try? FileManager.default.removeItem(atPath: cut + suffix) }
            try put(main, at: cut)
            try put(Array(log[..<length]), at: cut + "-wal")
            let opened = try await SessionDatabase.open(cut)
            let expected = Array(records.prefix(lengths.count { $0 <= length }))
            #expect(try await opened.journal.records(request: next.request) == expected, "\(length) bytes")
            try await opened.journal.burn(next)
            await opened.close()
            let again = try await SessionDatabase.open(cut)
            #expect(try await again.journal.records(request: next.request) == expected + [next], "\(length) bytes")
            await again.close()
        }
    }

    @Test func `with a byte of its log altered holds a beginning of what it held`() async throws {
        let disk = try #require(chorale_faulty_disk_create("altered \(self.path)"))
        chorale_faulty_disk_keep_synced(disk)
        let database = try await SessionDatabase.open(self.path, vfs: "altered \(self.path)")
        let records = try (0..<4).map { try Sample.record(request: "a", attempt: UInt32($0)) }
        for record in records { try await database.journal.burn(record) }
        let (main, log) = try (bytes(of: self.path + ".synced"), bytes(of: self.path + "-wal.synced"))
        await database.close()
        let altered = self.folder.file("altered")
        for index in stride(from: 3, to: log.count, by: 1_201) {
            for suffix in ["", "-wal"] { try? FileManager.default.removeItem(atPath: altered + suffix) }
            try put(main, at: altered)
            var damaged = log
            damaged[index] ^= 0x10
            try put(damaged, at: altered + "-wal")
            let opened = try await SessionDatabase.open(altered)
            let found = try await opened.journal.records(request: records[0].request)
            #expect(found == Array(records.prefix(found.count)), "byte \(index)")
            await opened.close()
        }
    }

    @Test func `whose bytes were altered on the disk is refused when it is opened`() async throws {
        var database = try await SessionDatabase.open(self.path)
        let records = try (0..<40).map { try Sample.record(request: "\($0)", inputs: 2) }
        for record in records { try await database.journal.burn(record) }
        await database.close()
        let whole = try bytes(of: self.path)
        for (index, record) in records.enumerated() {
            // In the record itself, and in the digest by which its nonce is known again.
            for needle in [record.transcript.bytes, SHA256.hash(record.nonces[1].bytes).bytes] {
                let range = try #require(Data(whole).range(of: Data(needle)))
                var damaged = whole
                damaged[range.lowerBound + index % 32] ^= 1
                try put(damaged, at: self.path)
                let error = await #expect(throws: StoreError.self) { try await SessionDatabase.open(self.path) }
                guard case .damaged(self.path, _) = error else {
                    Issue.record("\(String(describing: error))")
                    continue
                }
            }
        }
        try put(whole, at: self.path)
        database = try await SessionDatabase.open(self.path)
        for record in records { #expect(try await database.journal.records(request: record.request) == [record]) }
    }

    @Test func `tells each error of its store as one of a journal`() {
        let path = "/a"
        #expect(JournalError(StoreError.heldByAnotherProcess(path: path)) == .heldByAnotherProcess(path: path))
        #expect(JournalError(StoreError.damaged(path: path, detail: "b")) == .corrupt(path: path, detail: "b"))
        #expect(JournalError(StoreError.storage(path: path, reason: "b")) == .storage(path: path, reason: "b"))
        for error in [StoreError.newerVersion(path: path, version: 2, known: 1), .notOurs(path: path), .full(.store, limit: 1)] {
            #expect(JournalError(error).description.contains("nothing was released"))
        }
    }
}
