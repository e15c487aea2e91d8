import Foundation
import Signing
import SigningTestSupport
import Testing

@testable import SessionStore

struct `A journal in a file` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("journal")
    }

    /// Burns the records one after the other; gives the file's length after each, the empty journal's first.
    private func write(_ records: [BurnRecord]) async throws -> [Int] {
        let journal = try await FileJournal.open(self.path)
        var lengths = [try bytes(of: self.path).count]
        for record in records {
            try await journal.burn(record)
            lengths.append(try bytes(of: self.path).count)
        }
        await journal.close()
        return lengths
    }

    private static func records() throws -> [BurnRecord] {
        try (0..<4).map { try Sample.record(request: "a", attempt: UInt32($0), inputs: $0 % 3) }
    }

    @Test func `is for its owner's eyes only`() async throws {
        _ = try await self.write([])
        #expect(try permissions(of: self.path) == 0o600)
        #expect(try bytes(of: self.path) == Array("CHORJNL".utf8) + [1])
    }

    // MARK: - Crashes and damage

    @Test func `cut at any byte holds what had returned by then, and goes on`() async throws {
        let records = try Self.records()
        let lengths = try await self.write(records)
        let whole = try bytes(of: self.path)
        let next = try Sample.record(request: "a", attempt: 100)
        for length in 0...whole.count {
            try put(Array(whole[..<length]), at: self.path)
            var journal = try await FileJournal.open(self.path)
            let expected = Array(records.prefix(max(0, lengths.count { $0 <= length } - 1)))
            #expect(try await journal.records(request: next.request) == expected, "\(length) bytes")
            let isAtBoundary = length < lengths[0] || lengths.contains(length)
            #expect((journal.tornTail == nil) == isAtBoundary, "\(length) bytes")
            if let tail = journal.tornTail { #expect(tail.offset + tail.byteCount == length && lengths.contains(tail.offset)) }

            try await journal.burn(next)
            await journal.close()
            journal = try await FileJournal.open(self.path)
            #expect(journal.tornTail == nil)
            #expect(try await journal.records(request: next.request) == expected + [next], "\(length) bytes")
            await journal.close()
        }
    }

    @Test func `with any byte altered is refused, or loses no more than its last write`() async throws {
        let records = try Self.records()
        let lengths = try await self.write(records)
        let whole = try bytes(of: self.path)
        let lastStart = lengths[lengths.count - 2]
        for index in whole.indices {
            for flip: UInt8 in [0x01, 0x80, 0xff] {
                var damaged = whole
                damaged[index] ^= flip
                try put(damaged, at: self.path)
                switch await self.opening() {
                case .success(let journal):
                    #expect(index >= lastStart, "byte \(index) was altered and not noticed")
                    #expect(journal.tornTail == FileJournal.TornTail(offset: lastStart, byteCount: whole.count - lastStart))
                    #expect(try await journal.records(request: records[0].request) == records.dropLast())
                    await journal.close()
                case .failure(.damaged(_, let offset)):
                    #expect(index < lastStart && offset <= index, "byte \(index), offset \(offset)")
                    #expect(offset == 0 || lengths.contains(offset), "byte \(index), offset \(offset)")
                    #expect(try bytes(of: self.path) == damaged, "a damaged journal is left as it is")
                case .failure(.storage(_, let reason)):
                    #expect(index == 7 && reason.contains("version"))
                case .failure(let error):
                    Issue.record("byte \(index) gave \(error)")
                }
            }
        }
    }

    private func opening() async -> Result<FileJournal, JournalError> {
        do throws(JournalError) { return .success(try await FileJournal.open(self.path)) } catch { return .failure(error) }
    }

    @Test func `followed by zeros or noise opens without them`() async throws {
        let records = try Self.records()
        let length = try #require(await self.write(records).last)
        let whole = try bytes(of: self.path)
        var noise = SplitMix(seed: 7)
        for count in [1, 7, 8, 16, 100, 5_000] {
            for tail in [[UInt8](repeating: 0, count: count), (0..<count).map { _ in UInt8.random(in: 0...255, using: &noise) }] {
                try put(whole + tail, at: self.path)
                let journal = try await FileJournal.open(self.path)
                #expect(journal.tornTail == FileJournal.TornTail(offset: length, byteCount: count))
                #expect(try await journal.records(request: records[0].request) == records)
                await journal.close()
                #expect(try bytes(of: self.path) == whole)
            }
        }
    }

    @Test func `of noise or of frames in the wrong place never traps`() async throws {
        let lengths = try await self.write(try Self.records())
        let whole = try bytes(of: self.path)
        var random = SplitMix(seed: 11)
        for round in 0..<300 {
            var bytes = whole
            for _ in 0..<(1 + round % 4) {
                let from = lengths.randomElement(using: &random) ?? 0
                let to = Int.random(in: from...whole.count, using: &random)
                bytes.insert(contentsOf: whole[from..<to], at: Int.random(in: 0...bytes.count, using: &random))
                bytes.removeFirst(Int.random(in: 0...3, using: &random) == 0 ? Int.random(in: 0...bytes.count, using: &random) : 0)
            }
            switch JournalFormat.read(bytes) {
            case .entries(let entries, let byteCount): #expect(byteCount <= bytes.count && entries.count <= 4)
            case .damaged(let offset): #expect(offset <= bytes.count)
            case .unborn, .otherVersion: break
            }
        }
    }

    @Test func `whose good frames contradict each other is refused`() async throws {
        let rivals = try ["one", "two"].map { try Sample.record(request: "a", transcript: $0) }
        var file = JournalFormat.header
        for rival in rivals { file += JournalFormat.frame(JournalFormat.encode(.burn(rival)), at: file.count) }
        let secondFrame = JournalFormat.header.count + (file.count - JournalFormat.header.count) / 2
        try put(file, at: self.path)
        await #expect(throws: JournalError.damaged(path: self.path, offset: secondFrame)) { try await FileJournal.open(self.path) }
    }

    // MARK: - Refusals

    @Test func `opened twice is refused the second time, until the first is closed`() async throws {
        var first: FileJournal? = try await FileJournal.open(self.path)
        await #expect(throws: JournalError.heldByAnotherProcess(path: self.path)) { try await FileJournal.open(self.path) }
        await first?.close()
        first = try await FileJournal.open(self.path)
        await #expect(throws: JournalError.heldByAnotherProcess(path: self.path)) { try await FileJournal.open(self.path) }
        // The new file that forgetting puts in place is held as well.
        try await first?.burn(Sample.record(request: "a"))
        try await first?.forget(request: Sample.digest("a"))
        await #expect(throws: JournalError.heldByAnotherProcess(path: self.path)) { try await FileJournal.open(self.path) }
    }

    @Test func `closed confirms what stands and takes nothing new`() async throws {
        let journal = try await FileJournal.open(self.path)
        let record = try Sample.record(request: "a")
        try await journal.burn(record)
        await journal.close()
        try await journal.burn(record)
        await #expect(throws: JournalError.self) { try await journal.burn(Sample.record(request: "b")) }
        #expect(try await journal.records(request: Sample.digest("b")).isEmpty)
    }

    @Test func `in no folder, or in place of something else, is a typed error`() async throws {
        let target = self.folder.file("target")
        try put([], at: target)
        let link = self.folder.file("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        for path in [self.folder.file("missing/journal"), self.folder.path, link, "/dev/full", "/dev/null", ""] {
            let error = await #expect(throws: JournalError.self, "\(path)") { try await FileJournal.open(path) }
            guard case .storage(path, let reason) = error else {
                Issue.record("\(path) gave \(String(describing: error))")
                continue
            }
            #expect(!reason.isEmpty)
        }
    }

    /// Two files that fail when written to: one opened for reading only, and one that takes bytes but cannot make them durable.
    @Test(arguments: ["journal", "/dev/null"])
    func `refuses everything new once it is not known what the file holds`(_ name: String) async throws {
        _ = try await self.write([])
        var file =
            try name == "journal"
            ? JournalFile(OpenFile(reading: self.path, followingLinks: true), path: self.path, byteCount: 8)
            : JournalFile(OpenFile(openingOrCreating: name, permissions: .ownerOnly), path: self.path, byteCount: 8)
        var refusals: [JournalError] = []
        for attempt in 0..<3 {
            do throws(JournalError) {
                if attempt < 2 { try file.append([1]) } else { try file.rewrite([]) }
            } catch {
                refusals.append(error)
            }
        }
        #expect(refusals.count == 3)
        #expect(refusals.dropFirst().allSatisfy { "\($0)".contains("start this program again") })
        #expect(try bytes(of: self.path).count == 8)
    }

    // MARK: - Forgetting

    @Test func `shrinks when more than half of it is forgotten, and not before`() async throws {
        let journal = try await FileJournal.open(self.path)
        for index in 0..<10 { try await journal.burn(Sample.record(request: "\(index)")) }
        var lengths = [try bytes(of: self.path).count]
        for index in 0..<10 {
            try await journal.forget(request: Sample.digest("\(index)"))
            lengths.append(try bytes(of: self.path).count)
        }
        #expect(lengths[1] > lengths[0], "the first one is only noted")
        #expect(lengths.last == JournalFormat.header.count, "nothing is left of an empty journal but its header")
        let shrunk = zip(lengths, lengths.dropFirst()).filter { $1 < $0 }
        #expect((2...5).contains(shrunk.count) && shrunk.allSatisfy { $1 * 2 < $0 + 100 }, "\(lengths)")
        #expect(try self.folder.names == ["journal"])
    }

    @Test func `that cannot be written anew forgets all the same, and goes on`() async throws {
        var journal = try await FileJournal.open(self.path)
        // A folder with something in it cannot be removed, so it stays in the way.
        try FileManager.default.createDirectory(atPath: self.path + ".rewrite/inside", withIntermediateDirectories: true)
        try await journal.burn(Sample.record(request: "gone"))
        try await journal.forget(request: Sample.digest("gone"))
        let kept = try Sample.record(request: "kept")
        try await journal.burn(kept)
        await journal.close()
        journal = try await FileJournal.open(self.path)
        #expect(try await journal.records(request: Sample.digest("gone")).isEmpty)
        #expect(try await journal.records(request: kept.request) == [kept])
    }

    @Test func `left in the middle of being written anew opens with all it had`() async throws {
        let records = try Self.records()
        _ = try await self.write(records)
        try put(Array(try bytes(of: self.path).prefix(50)), at: self.path + ".rewrite")
        let journal = try await FileJournal.open(self.path)
        #expect(try await journal.records(request: records[0].request) == records)
        #expect(try self.folder.names == ["journal"])
    }

    /// Whoever made it may have been killed before the name was durable, and a power cut would take the file.
    @Test func `is opened only where its name can be made to last, whoever made it`() async throws {
        _ = try await self.write([try Sample.record(request: "a")])
        let file = try OpenFile(openingOrCreating: self.path, permissions: .ownerOnly)
        var journal = JournalFile(file, path: self.folder.file("gone") + "/journal", byteCount: 0)
        var refusal: JournalError?
        do throws(JournalError) { _ = try journal.load() } catch { refusal = error }
        guard case .storage? = refusal else {
            Issue.record("\(String(describing: refusal))")
            return
        }
    }

    @Test func `of more inputs than a record can hold is no record, and stops nobody`() throws {
        let record = try Sample.record(request: "a", inputs: 1)
        for (count, isRecord) in [(BurnRecord.inputCountMax, true), (BurnRecord.inputCountMax + 1, false)] {
            let made = BurnRecord(
                request: record.request, attempt: 1, signer: record.signer, transcript: record.transcript,
                nonces: Array(repeating: record.nonces[0], count: count),
                partialSignatures: Array(repeating: record.partialSignatures[0], count: count))
            #expect((made != nil) == isRecord, "\(count) inputs")
        }
    }

    @Test func `that is full refuses decisions, says what to do, and still forgets`() throws {
        let file = try OpenFile(openingOrCreating: self.path, permissions: .ownerOnly)
        // Of all that stands before, nothing but its length matters here.
        let start = JournalFormat.fileByteCountMax - 10
        var journal = JournalFile(file, path: self.path, byteCount: start)
        let record = try JournalFormat.encode(.burn(Sample.record(request: "one more")))
        var refusal: JournalError?
        do throws(JournalError) { try journal.append(record) } catch { refusal = error }
        #expect(refusal?.description.contains("chorale journal forget") == true)
        #expect(journal.byteCount == start && journal.isNearlyFull)
        let entry = JournalFormat.encode(.forget(request: Sample.digest("old")))
        try journal.append(entry, onlyForgets: true)
        #expect(journal.byteCount == start + JournalFormat.frame(entry, at: start).count)
    }

    @Test func `tells everything that it holds, by request, attempt and signer`() async throws {
        let records = try ["b", "a", "c"].flatMap { request in
            try [2, 1].flatMap { attempt in
                try ["Bob", "Ada"].map { try Sample.record(request: request, attempt: attempt, signer: $0) }
            }
        }
        _ = try await self.write(records)
        let journal = try await FileJournal.open(self.path)
        let all = await journal.records()
        #expect(all.count == 12 && Set(all) == Set(records))
        for request in ["a", "b", "c"] {
            let digest = Sample.digest(request)
            #expect(try await journal.records(request: digest) == all.filter { $0.request == digest })
        }
        #expect(all.map(\.request) == all.map(\.request).sorted())
    }

    // MARK: - Writing together

    @Test func `makes burns durable together that come at one time`() async throws {
        let journal = try await FileJournal.open(self.path)
        let records = try (0..<400).map { try Sample.record(request: "\($0)") }
        try await withThrowingTaskGroup { group in
            for record in records { group.addTask { try await journal.burn(record) } }
            try await group.waitForAll()
        }
        await journal.close()
        // Each frame has 16 bytes around its entries, so the length tells how many there were.
        let entryByteCount = JournalFormat.encode(.burn(records[0])).count
        let frames = (try bytes(of: self.path).count - JournalFormat.header.count - records.count * entryByteCount) / 16
        #expect((1..<400).contains(frames))
    }

    @Test func `with the largest records divides what it writes into frames`() async throws {
        let largest = try Sample.record(request: "a", inputs: 1)
        // One nonce only, for thousands of points take long; the ledger would refuse it, so this is about the format.
        let count = BurnRecord.inputCountMax
        let record = BurnRecord(
            request: largest.request, attempt: 1, signer: largest.signer, transcript: largest.transcript,
            contributions: Array(repeating: (largest.nonces[0], largest.partialSignatures[0]), count: count))
        let encoded = JournalFormat.encode(.burn(record))
        #expect(encoded.count <= JournalFormat.payloadByteCountMax)
        let file = JournalFormat.header + JournalFormat.frame(encoded, at: JournalFormat.header.count)
        guard case .entries(let entries, file.count) = JournalFormat.read(file) else {
            Issue.record("the frame was not read back")
            return
        }
        #expect(entries.map(\.entry) == [.burn(record)])
    }
}

/// Random numbers from a seed.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
