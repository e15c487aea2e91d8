import Foundation
import SessionStore
import Signing
import SigningTestSupport
import Testing

@Suite(.enabled(if: Helper.url != nil, "needs JournalCrashHelper beside the tests"))
struct `A journal whose process` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("journal")
    }

    @Test func `is killed at any moment holds every record that it said was burned`() async throws {
        var random = SplitMix(seed: 2_026)
        var standing: [Int: BurnRecord] = [:]
        var (next, forgotten, burned) = (0, 0, 0)

        for round in 1...60 {
            let first = next
            let (process, output) = try Helper.start(["burn", self.path, "\(first)"])
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

            let journal = try await FileJournal.open(self.path)
            for (index, record) in standing {
                #expect(try await journal.records(request: record.request) == [record], "round \(round): \(index) was said to be burned")
            }
            // Each of the four tasks may have been past one burn without having said so, and nothing else may be there.
            var unsaid: Set<Int> = []
            for index in (round == 60 ? 0 : first)..<(next + 8) where standing[index] == nil && !undecided.contains(index) {
                if try await !journal.records(request: Sample.digest("\(index)")).isEmpty { unsaid.insert(index) }
            }
            #expect(unsaid.count <= 4, "round \(round): \(unsaid) are there")
            for index in unsaid.union(undecided) { try await journal.forget(request: Sample.digest("\(index)")) }
            await journal.close()
            // Each number is used once, so that no nonce comes a second time.
            next += 8
        }
        #expect(burned > 200 && forgotten > 50, "too little was going on for this to prove anything")
    }

    @Test func `may write no more says so, leaves nothing half-written, and goes on when it may again`() async throws {
        let other = self.folder.file("other")
        try put([1, 2, 3], at: other)
        let (process, output) = try Helper.start(["limited", self.path, other])
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
        #expect(try self.folder.names == ["journal", "other"])
        #expect(said.suffix(2).elementsEqual([("repeated", "0"), ("burned", "\(refused)")], by: ==))

        let journal = try await FileJournal.open(self.path)
        #expect(journal.tornTail == nil)
        for index in 0...refused {
            let record = try Sample.record(request: "\(index)")
            #expect(try await journal.records(request: record.request) == [record])
        }
    }

    @Test func `holds it keeps another process out, and no longer than it lives`() async throws {
        let (process, output) = try Helper.start(["burn", self.path, "0"])
        _ = output.availableData
        await #expect(throws: JournalError.heldByAnotherProcess(path: self.path)) { try await FileJournal.open(self.path) }
        kill(process.processIdentifier, SIGKILL)
        _ = output.readDataToEndOfFile()
        process.waitUntilExit()
        _ = try await FileJournal.open(self.path)
    }
}
