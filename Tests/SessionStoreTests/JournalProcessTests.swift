import CFaultyDisk
import Foundation
import SessionStore
import Signing
import SigningTestSupport
import Testing

/// The journals that lie on a disk.
enum JournalKind: String, CaseIterable, Sendable {
    case file, sqlite

    /// Opens one; gives also how to close it.
    func open(_ path: String) async throws -> (journal: any SessionJournal, close: @Sendable () async -> Void) {
        switch self {
        case .file:
            let journal = try await FileJournal.open(path)
            return (journal, { await journal.close() })
        case .sqlite:
            let database = try await SessionDatabase.open(path)
            return (database.journal, { await database.close() })
        }
    }
}

@Suite(.enabled(if: Helper.url != nil, "needs JournalCrashHelper beside the tests"))
struct `A journal whose process` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("journal")
    }

    @Test(arguments: JournalKind.allCases)
    func `is killed at any moment holds every record that it said was burned`(_ kind: JournalKind) async throws {
        var random = SplitMix(seed: 2_026)
        var standing: [Int: BurnRecord] = [:]
        var (next, forgotten, burned) = (0, 0, 0)

        // On a machine that is busy with other things processes come to less before they are killed: then there are more of them.
        var round = 0
        while round < 60 || round < 600 && (burned <= 200 || forgotten <= 50) {
            round += 1
            let first = next
            let (process, output) = try Helper.start(["burn", kind.rawValue, self.path, "\(first)"])
            // From the first word on, so that most kills hit a process at work; some come before.
            var said = round % 10 == 0 ? Data() : output.availableData
            #expect(Helper.kill(process, afterMicroseconds: .random(in: 0...30_000, using: &random)))
            said += output.readDataToEndOfFile()
            process.waitUntilExit()
            #expect(process.terminationReason == .uncaughtSignal, "it ended by itself")

            /// Said to be about to be forgotten, and not that they were: either may be true.
            var undecided: Set<Int> = []
            for (word, rest) in Helper.lines(said) {
                let index = try #require(Int(rest))
                switch word {
                case "burned":
                    standing[index] = try Sample.record(request: rest, inputs: index % 3)
                    burned += 1
                case "forgetting":
                    standing[index] = nil
                    undecided.insert(index)
                case "forgot":
                    undecided.remove(index)
                    forgotten += 1
                default: Issue.record("it said \(word) \(rest)")
                }
                next = max(next, index + 1)
            }

            let (journal, close) = try await kind.open(self.path)
            for (index, record) in standing {
                #expect(try await journal.records(request: record.request) == [record], "round \(round): \(index) was said to be burned")
            }
            // Each of the four tasks may have been past one burn without having said so, and nothing else may be there.
            var unsaid: Set<Int> = []
            for index in (round.isMultiple(of: 60) ? 0 : first)..<(next + 8) where standing[index] == nil && !undecided.contains(index) {
                if try await !journal.records(request: Sample.digest("\(index)")).isEmpty { unsaid.insert(index) }
            }
            #expect(unsaid.count <= 4, "round \(round): \(unsaid) are there")
            for index in unsaid.union(undecided) { try await journal.forget(request: Sample.digest("\(index)")) }
            await close()
            // Each number is used once, so that no nonce comes a second time.
            next += 8
        }
        #expect(burned > 200 && forgotten > 50, "too little was going on for this to prove anything")
    }

    @Test(arguments: [(JournalKind.file, 3_000), (.sqlite, 300_000)])
    func `may write no more says so, leaves nothing half-written, and goes on when it may again`(
        _ kind: JournalKind, _ limit: Int
    ) async throws {
        let other = self.folder.file("other")
        try put([1, 2, 3], at: other)
        let (process, output) = try Helper.start(["limited", kind.rawValue, self.path, other, "\(limit)"])
        let said = Helper.lines(output.readDataToEndOfFile())
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 0)

        let refused = try #require(said.first { $0.word == "refused" }.flatMap { Int($0.rest) })
        let expected: [(word: String, rest: String)] =
            (0..<refused).map { ("burned", "\($0)") } + [("refused", "\(refused)")]
        #expect(said.prefix(refused + 1).elementsEqual(expected, by: ==))
        #expect(said.contains { $0.word == "reason" && $0.rest.contains("limit on file sizes") })
        #expect(said.count { $0.word == "fell" } == 5)
        #expect(said.contains { $0.word == "kept" && $0.rest.contains("limit on file sizes") })
        #expect(try bytes(of: other) == [1, 2, 3])
        // A database's log stays when its process just ends.
        #expect(try Set(self.folder.names).subtracting(["journal-wal"]) == ["journal", "other"])
        #expect(said.suffix(2).elementsEqual([("repeated", "0"), ("burned", "\(refused)")], by: ==))

        let (journal, _) = try await kind.open(self.path)
        #expect((journal as? FileJournal)?.tornTail == nil)
        for index in 0...refused {
            let record = try Sample.record(request: "\(index)")
            #expect(try await journal.records(request: record.request) == [record])
        }
    }

    @Test(arguments: JournalKind.allCases)
    func `holds it keeps another process out, and no longer than it lives`(_ kind: JournalKind) async throws {
        let (process, output) = try Helper.start(["burn", kind.rawValue, self.path, "0"])
        _ = output.availableData
        let error = await #expect(throws: (any Error).self) { try await kind.open(self.path) }
        switch kind {
        case .file: #expect(error as? JournalError == .heldByAnotherProcess(path: self.path))
        case .sqlite: #expect(error as? StoreError == .heldByAnotherProcess(path: self.path))
        }
        kill(process.processIdentifier, SIGKILL)
        _ = output.readDataToEndOfFile()
        process.waitUntilExit()
        _ = try await kind.open(self.path)
    }

    // MARK: - Each step of a database

    /// Before, within and after each write, synchronisation, truncation and removal, from making the database to closing it; and each
    /// time twice: with all that was written, as after a kill, and with nothing but what was made durable, as after a power cut.
    @Test(arguments: [CHORALE_FAULT_KILL_BEFORE, CHORALE_FAULT_KILL_WITHIN, CHORALE_FAULT_KILL_AFTER])
    func `is killed at a step of its disk leaves a database with all that it said`(_ fault: chorale_fault) async throws {
        let whole = try self.run(step: 0, .init(0))
        let stepCount = try #require(whole.first { $0.word == "steps" }.flatMap { Int($0.rest) })
        #expect(stepCount > 40)
        for step in 1...stepCount {
            let said = try self.run(step: step, fault)
            #expect(!said.contains { $0.word == "steps" }, "step \(step): it was not killed")
            let powerCut = try self.afterPowerCut()
            for path in [self.path, powerCut] {
                // The file's name may be all there is of it.
                let database = try await SessionDatabase.open(path)
                for (word, rest) in said where word == "burned" && !(rest == "1" && said.contains { $0.word == "forgetting" }) {
                    let index = try #require(Int(rest))
                    let record = try Sample.record(request: rest, inputs: index % 3)
                    #expect(try await database.journal.records(request: record.request) == [record], "step \(step): \(rest), \(path)")
                }
                if said.contains(where: { $0.word == "forgot" }) {
                    #expect(try await database.journal.records(request: Sample.digest("1")).isEmpty, "step \(step), \(path)")
                }
                // It goes on as if nothing had been.
                try await database.journal.burn(Sample.record(request: "next"))
                await database.close()
            }
            for name in try self.folder.names { try FileManager.default.removeItem(atPath: self.folder.file(name)) }
        }
    }

    /// Runs the helper on an empty folder; gives what it said.
    private func run(step: Int, _ fault: chorale_fault) throws -> [(word: String, rest: String)] {
        let (process, output) = try Helper.start(["step", self.path, "\(fault.rawValue)", "\(step)"])
        let said = Helper.lines(output.readDataToEndOfFile())
        process.waitUntilExit()
        if fault.rawValue == 0 {
            for name in try self.folder.names { try FileManager.default.removeItem(atPath: self.folder.file(name)) }
        }
        return said
    }

    /// What is left of the database when nothing lasts but what was synchronised; names last.
    private func afterPowerCut() throws -> String {
        let path = self.folder.file("powerless")
        for suffix in ["", "-wal", "-journal"] where FileManager.default.fileExists(atPath: self.path + suffix) {
            let synced = self.path + suffix + ".synced"
            let isSynced = FileManager.default.fileExists(atPath: synced)
            try put(isSynced ? bytes(of: synced) : [], at: path + suffix)
        }
        return path
    }
}
