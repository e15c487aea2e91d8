import CFaultyDisk
import CryptoPrimitives
import Foundation
import Signing
import SigningTestSupport
import Testing

@testable import SessionStore

struct `A store of requests` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        self.folder = try TemporaryFolder()
        self.path = self.folder.file("database")
    }

    private static func request(_ name: String, source: String? = "household", byteCount: Int = 100) -> NewRequest {
        NewRequest(
            id: Sample.digest(name), source: source, proposal: [UInt8](repeating: UInt8(name.utf8.count), count: byteCount), created: 1_000,
            expiry: 2_000)
    }

    private static func entry(_ kind: UInt8, _ bytes: [UInt8], source: String? = nil) -> NewTranscriptEntry {
        NewTranscriptEntry(kind: kind, bytes: bytes, source: source)
    }

    private static let id = Sample.digest("a")

    @Test func `gives back a request as it came, and nothing for one that it does not know`() async throws {
        var database = try await SessionDatabase.open(self.path)
        for (name, source) in [("a", "household" as String?), ("own", nil)] {
            let request = Self.request(name, source: source)
            try await database.requests().add(request)
            try await database.requests().add(request)
        }
        for _ in 0..<2 {
            let requests = database.requests()
            for (name, source) in [("a", "household" as String?), ("own", nil)] {
                let found = try #require(try await requests.request(Sample.digest(name)))
                #expect(found.source == source && found.created == 1_000 && found.updated == 1_000 && found.expiry == 2_000)
                #expect(found.decision == .undecided && found.decisionSerial == 0 && found.state == .proposed && found.reason.isEmpty)
                #expect(found.transcript == TranscriptHead(request: Sample.digest(name)))
                #expect(try await requests.proposal(of: Sample.digest(name)) == Self.request(name, source: source).proposal)
            }
            #expect(try await requests.request(Sample.digest("b")) == nil)
            #expect(try await requests.proposal(of: Sample.digest("b")) == nil)
            await #expect(throws: StoreError.differentStands) { try await requests.add(Self.request("a", byteCount: 99)) }
            await database.close()
            database = try await SessionDatabase.open(self.path)
        }
    }

    @Test func `takes a decision only under a higher serial, durably`() async throws {
        let name = "decision \(self.path)"
        let disk = try #require(chorale_faulty_disk_create(name))
        let database = try await SessionDatabase.open(self.path, vfs: name)
        let requests = database.requests()
        await #expect(throws: StoreError.notFound) { try await requests.decide(.approved, serial: 1, about: Self.id, at: 1) }
        try await requests.add(Self.request("a"))
        try await requests.decide(.approved, serial: 5, about: Self.id, at: 1_100)
        try await requests.decide(.approved, serial: 5, about: Self.id, at: 1_200)
        #expect(try await requests.request(Self.id)?.updated == 1_100, "a repeat changes nothing")
        for (decision, serial) in [(StoredRequest.Decision.rejected, UInt64(5)), (.rejected, 4), (.approved, 4), (.undecided, 0)] {
            await #expect(throws: StoreError.stale(standing: 5)) {
                try await requests.decide(decision, serial: serial, about: Self.id, at: 1_300)
            }
        }
        await #expect(throws: StoreError.self) { try await requests.decide(.rejected, serial: .max, about: Self.id, at: 1_300) }
        try await requests.decide(.withdrawn, serial: 6, reason: "by somebody", about: Self.id, at: 1_400)
        #expect(try await requests.request(Self.id)?.reason == "by somebody")
        await #expect(throws: StoreError.self) {
            try await requests.decide(.approved, serial: 7, reason: String(repeating: "x", count: 501), about: Self.id, at: 1_400)
        }
        chorale_faulty_disk_arm(disk, Int32(CHORALE_FAULT_NO_SYNC.rawValue), 1)
        await #expect(throws: StoreError.self) { try await requests.decide(.approved, serial: 7, about: Self.id, at: 1_500) }
        let found = try await requests.request(Self.id)
        #expect(found?.decision == .withdrawn && found?.decisionSerial == 6 && found?.updated == 1_400)
    }

    @Test func `lists the requests of a state by pages`() async throws {
        let requests = try await SessionDatabase.open(self.path).requests()
        let names = (0..<25).map { "\($0)" }
        for name in names { try await requests.add(Self.request(name, source: nil)) }
        for name in names.prefix(5) { try await requests.setState(.approved, reason: "", of: Sample.digest(name), at: 1_001) }
        var (listed, last): ([Bytes32], Bytes32?) = ([], nil)
        while true {
            let page = try await requests.requests(in: .proposed, after: last, countMax: 7)
            listed += page.map(\.id)
            guard page.count == 7 else { break }
            last = page.last?.id
        }
        #expect(listed == names.dropFirst(5).map { Sample.digest($0) }.sorted())
        #expect(try await requests.requests(in: .approved, after: nil, countMax: 100).count == 5)
        #expect(try await requests.requests(in: .approved, after: nil, countMax: -1).isEmpty)
    }

    // MARK: - Transcripts

    @Test func `keeps a transcript whose chain is verified, by pages`() async throws {
        let database = try await SessionDatabase.open(self.path)
        let requests = database.requests()
        await #expect(throws: StoreError.notFound) { try await requests.append([Self.entry(1, [1])], to: Self.id, at: 1) }
        try await requests.add(Self.request("a"))
        #expect(try await requests.transcript(of: Self.id, after: 0, countMax: 10, byteCountMax: 10).isEmpty)
        var head = TranscriptHead(request: Self.id)
        for index in 0..<30 {
            let bytes = [UInt8](repeating: UInt8(index), count: index)
            _ = try head.append(kind: UInt8(index), bytes)
            #expect(try await requests.append([Self.entry(UInt8(index), bytes)], to: Self.id, at: 1_100) == head)
        }
        try await requests.append([Self.entry(200, [1]), Self.entry(201, [2])], to: Self.id, at: 1_200)
        for (countMax, byteCountMax) in [(100, 1_000_000), (7, 1_000), (100, 40), (1, 0)] {
            var entries: [TranscriptEntry] = []
            while true {
                let page = try await requests.transcript(
                    of: Self.id, after: entries.last?.sequence ?? 0, countMax: countMax, byteCountMax: byteCountMax)
                if page.isEmpty { break }
                #expect(page.count <= countMax)
                #expect(page.count == 1 || page.reduce(0) { $0 + $1.bytes.count } <= byteCountMax)
                entries += page
            }
            #expect(entries.map(\.sequence) == Array(1...32))
            #expect(entries.map(\.kind) == (0..<30).map { UInt8($0) } + [200, 201])
            #expect(entries.map(\.bytes.count) == Array(0..<30) + [1, 1])
        }
        #expect(try await requests.request(Self.id)?.updated == 1_200)
    }

    @Test func `tells a transcript that was altered, cut, or put in another order`() async throws {
        let harms: [(StaticString, Bool)] = [
            ("UPDATE transcript_entry SET bytes = x'ff' WHERE sequence = 3", true),
            ("UPDATE transcript_entry SET kind = 9 WHERE sequence = 3", true),
            ("UPDATE transcript_entry SET hash = zeroblob(32) WHERE sequence = 3", true),
            ("DELETE FROM transcript_entry WHERE sequence = 3", true), ("DELETE FROM transcript_entry WHERE sequence = 5", true),
            ("UPDATE transcript_entry SET sequence = 9 WHERE sequence = 5", true),
            ("UPDATE request SET entry_count = 4", true), ("UPDATE request SET entry_hash = zeroblob(32)", true),
            ("UPDATE request SET decision = 1", true), ("UPDATE request SET state = 77", true), ("UPDATE request SET reason = 'x'", true),
            ("UPDATE request SET expiry = -1", true), ("UPDATE proposal SET bytes = x'00'", false), ("DELETE FROM proposal", false),
        ]
        for (harm, isOfTranscript) in harms {
            let path = self.folder.file(UUID().uuidString)
            var database = try await SessionDatabase.open(path)
            try await database.requests().add(Self.request("a"))
            for index in 0..<5 { try await database.requests().append([Self.entry(1, [UInt8(index)])], to: Self.id, at: 1_100) }
            await database.close()
            try Self.harm(path, harm)
            database = try await SessionDatabase.open(path)
            let requests = database.requests()
            let error = await #expect(throws: StoreError.self, "\(harm)") {
                if isOfTranscript {
                    _ = try await requests.transcript(of: Self.id, after: 0, countMax: 10, byteCountMax: 1_000)
                } else {
                    _ = try await requests.proposal(of: Self.id)
                }
            }
            guard case .damaged(path, _) = error else {
                Issue.record("\(harm): \(String(describing: error))")
                continue
            }
            await database.close()
        }
    }

    /// Changes a closed database as a hand would.
    private static func harm(_ path: String, _ sql: StaticString) throws {
        try Database(opening: path, migrations: Schema.migrations).execute(sql)
    }

    @Test func `finds the first entry of a kind, in its place in the chain`() async throws {
        let database = try await SessionDatabase.open(self.path)
        let requests = database.requests()
        await #expect(throws: StoreError.notFound) { try await requests.firstEntry(of: 1, in: Self.id) }
        try await requests.add(Self.request("a"))
        #expect(try await requests.firstEntry(of: 1, in: Self.id) == nil)
        try await requests.append([Self.entry(1, [1]), Self.entry(2, [2]), Self.entry(1, [3]), Self.entry(2, [4])], to: Self.id, at: 1_100)
        let all = try await requests.transcript(of: Self.id, after: 0, countMax: 10, byteCountMax: 1_000)
        #expect(try await requests.firstEntry(of: 1, in: Self.id) == all[0])
        #expect(try await requests.firstEntry(of: 2, in: Self.id) == all[1])
        #expect(try await requests.firstEntry(of: 3, in: Self.id) == nil)
        try await database.write { database throws(StoreError) in
            try database.execute("UPDATE transcript_entry SET bytes = x'09' WHERE sequence = 2")
        }
        await #expect(throws: StoreError.self) { try await requests.firstEntry(of: 2, in: Self.id) }
    }

    @Test func `makes entries durable with the next decision, or within a second`() async throws {
        let name = "lazy \(self.path)"
        let disk = try #require(chorale_faulty_disk_create(name))
        chorale_faulty_disk_keep_synced(disk)
        // An hour, so that nothing is made durable by itself.
        var database = try await SessionDatabase.open(self.path, vfs: name, lazyMilliseconds: 3_600_000)
        var requests = database.requests()
        try await requests.add(Self.request("a"))

        try await requests.append([Self.entry(1, [1])], to: Self.id, at: 1_100)
        #expect(try await self.entryCountAfterPowerCut() == 0)
        try await requests.decide(.approved, serial: 1, about: Self.id, at: 1_100)
        #expect(try await self.entryCountAfterPowerCut() == 1)

        try await requests.append([Self.entry(1, [2])], to: Self.id, at: 1_100)
        try await database.journal.burn(Sample.record(request: "a"))
        #expect(try await self.entryCountAfterPowerCut() == 2)

        try await requests.append([Self.entry(1, [3])], to: Self.id, at: 1_100)
        #expect(try await self.entryCountAfterPowerCut() == 2)
        try await requests.flush()
        #expect(try await self.entryCountAfterPowerCut() == 3)
        await database.close()

        database = try await SessionDatabase.open(self.path, vfs: name, lazyMilliseconds: 1)
        requests = database.requests()
        try await requests.append([Self.entry(1, [4])], to: Self.id, at: 1_100)
        for _ in 0..<600 where try await self.entryCountAfterPowerCut() == 3 { try await Task.sleep(for: .milliseconds(50)) }
        #expect(try await self.entryCountAfterPowerCut() == 4)
        await database.close()
    }

    /// How long the transcript is when nothing lasts but what was made durable.
    private func entryCountAfterPowerCut() async throws -> UInt32 {
        let path = self.folder.file(UUID().uuidString)
        for suffix in ["", "-wal"] where FileManager.default.fileExists(atPath: self.path + suffix + ".synced") {
            try put(bytes(of: self.path + suffix + ".synced"), at: path + suffix)
        }
        let database = try await SessionDatabase.open(path)
        let count = try await database.requests().request(Self.id)?.transcript.sequence
        await database.close()
        return count ?? 0
    }

    // MARK: - Bounds and ends

    @Test func `bounds what each source and all may bring`() async throws {
        var bounds = RequestBounds()
        (bounds.openCountMax, bounds.openCountPerSourceMax, bounds.proposalByteCountMax) = (5, 2, 1_000)
        (bounds.byteCountMax, bounds.byteCountPerSourceMax) = (4_000, 1_500)
        let requests = try await SessionDatabase.open(self.path).requests(within: bounds)
        await #expect(throws: StoreError.tooLarge(what: "proposal", limit: 1_000)) {
            try await requests.add(Self.request("large", byteCount: 1_001))
        }
        await #expect(throws: StoreError.self) { try await requests.add(Self.request("a", source: String(repeating: "x", count: 65))) }
        try await requests.add(Self.request("a"))
        try await requests.add(Self.request("b"))
        await #expect(throws: StoreError.full(.source, limit: 2)) { try await requests.add(Self.request("c")) }
        try await requests.setState(.expired, reason: "late", of: Sample.digest("b"), at: 1_100)
        try await requests.add(Self.request("c"))
        await #expect(throws: StoreError.full(.source, limit: 1_500)) {
            try await requests.append([Self.entry(1, [UInt8](repeating: 0, count: 1_200), source: "household")], to: Self.id, at: 1_100)
        }
        #expect(try await requests.request(Self.id)?.transcript.sequence == 0, "nothing is left of what was refused")
        for name in ["d", "e", "f"] { try await requests.add(Self.request(name, source: nil)) }
        await #expect(throws: StoreError.full(.all, limit: 5)) { try await requests.add(Self.request("g", source: nil)) }
        try await requests.append([Self.entry(1, [UInt8](repeating: 0, count: 3_000))], to: Sample.digest("d"), at: 1_100)
        await #expect(throws: StoreError.full(.all, limit: 4_000)) {
            try await requests.append([Self.entry(1, [UInt8](repeating: 0, count: 400))], to: Sample.digest("e"), at: 1_100)
        }
        await #expect(throws: StoreError.tooLarge(what: "reason", limit: 500)) {
            try await requests.setState(.aborted, reason: String(repeating: "x", count: 501), of: Self.id, at: 1_100)
        }
        await #expect(throws: StoreError.tooLarge(what: "transcript entry", limit: TranscriptHead.entryByteCountMax)) {
            try await requests.append([Self.entry(1, [UInt8](repeating: 0, count: (8 << 20) + 1))], to: Self.id, at: 1_100)
        }
    }

    @Test func `who ends many requests that may still complete takes no places by it`() async throws {
        var bounds = RequestBounds()
        (bounds.openCountMax, bounds.openCountPerSourceMax) = (4, 2)
        let requests = try await SessionDatabase.open(self.path).requests(within: bounds)
        for number in 0..<6 {
            try await requests.add(Self.request("\(number)"))
            try await requests.setState(.signing, reason: "", of: Sample.digest("\(number)"), at: 1_100)
            try await requests.setState(.endedMayStillComplete, reason: "late", of: Sample.digest("\(number)"), at: 1_200)
        }
        // Two, as before; and what comes back takes its place again.
        try await requests.add(Self.request("a"))
        try await requests.setState(.signing, reason: "", of: Sample.digest("0"), at: 1_300)
        await #expect(throws: StoreError.full(.source, limit: 2)) { try await requests.add(Self.request("b")) }
        try await requests.setState(.complete, reason: "", of: Sample.digest("0"), at: 1_300)
        try await requests.add(Self.request("b"))
    }

    @Test func `what a member says counts for it, and takes nothing from whoever proposed`() async throws {
        var bounds = RequestBounds()
        (bounds.byteCountMax, bounds.byteCountPerSourceMax) = (100_000, 2_000)
        let database = try await SessionDatabase.open(self.path)
        let requests = database.requests(within: bounds)
        try await requests.add(Self.request("a", source: "proposer"))
        let word = [UInt8](repeating: 0, count: 400)
        for _ in 0..<4 { try await requests.append([Self.entry(1, word, source: "talker")], to: Self.id, at: 1_100) }
        await #expect(throws: StoreError.full(.source, limit: 2_000)) {
            try await requests.append([Self.entry(1, word, source: "talker")], to: Self.id, at: 1_100)
        }
        // The talker's share is full for its own requests too, and nobody else's is.
        await #expect(throws: StoreError.full(.source, limit: 2_000)) { try await requests.add(Self.request("b", source: "talker")) }
        try await requests.append([Self.entry(1, word, source: "other")], to: Self.id, at: 1_100)
        try await requests.add(Self.request("b", source: "proposer", byteCount: 1_800))
        // It comes back with the request.
        try await requests.setState(.expired, reason: "", of: Self.id, at: 1_200)
        #expect(try await requests.removeOver(updatedBefore: 1_201, countMax: 1) == [Self.id])
        try await requests.add(Self.request("c", source: "talker", byteCount: 1_900))
        try await requests.add(Self.request("d", source: "proposer", byteCount: 200))
        await #expect(throws: StoreError.full(.source, limit: 2_000)) {
            try await requests.add(Self.request("e", source: "proposer", byteCount: 1))
        }
    }

    @Test func `how a request was completed has room when nothing else has`() async throws {
        var bounds = RequestBounds()
        (bounds.byteCountMax, bounds.byteCountPerSourceMax) = (500, 500)
        let requests = try await SessionDatabase.open(self.path).requests(within: bounds)
        try await requests.add(Self.request("a"))
        try await requests.append([Self.entry(1, [UInt8](repeating: 0, count: 300), source: "talker")], to: Self.id, at: 1_100)
        await #expect(throws: StoreError.self) { try await requests.append([Self.entry(1, [1])], to: Self.id, at: 1_100) }
        try await requests.conclude(Self.id, with: Self.entry(3, [7]), at: 1_100)
        let entries = try await requests.transcript(of: Self.id, after: 0, countMax: 10, byteCountMax: 1_000)
        #expect(entries.map(\.kind) == [1, 3] && entries.last?.bytes == [7])
        // Nor does the count of entries stand in its way.
        var head = TranscriptHead(request: Self.id)
        for _ in 0..<TranscriptHead.entryCountMax { _ = try head.append(kind: 1, []) }
        #expect(throws: StoreError.self) { try head.append(kind: 1, []) }
        #expect(try head.append(kind: 3, [], concludes: true).sequence == TranscriptHead.entryCountMax + 1)
    }

    @Test func `a clone alarm and what it halts are durable together, and have room when nothing else has`() async throws {
        var bounds = RequestBounds()
        (bounds.byteCountMax, bounds.byteCountPerSourceMax) = (500, 500)
        let database = try await SessionDatabase.open(self.path)
        let requests = database.requests(within: bounds)
        let group = Sample.digest("group")
        try await database.groups.put(StoredGroup(name: "till", policy: [1], policyDigest: group, members: []))
        let halted = StoredApproval(policy: [1], history: [2], halt: "a copy of the machine may be running")
        let halts = [ApprovalHalt(group: group, approval: halted), ApprovalHalt(group: Sample.digest("left"), approval: halted)]
        // Where the entry has no place, for its request is gone or it is longer than any, what it halts is halted all the same.
        for (number, entry) in [Self.entry(6, [7]), Self.entry(6, [UInt8](repeating: 7, count: TranscriptHead.entryByteCountMax + 1))]
            .enumerated()
        {
            let one = StoredApproval(policy: [1], history: [2], halt: "halt \(number)")
            try await requests.raise(entry, about: Self.id, halting: [ApprovalHalt(group: group, approval: one)], at: 1_100)
            #expect(try await database.approvals.approval(of: group) == one)
            if number == 0 { try await requests.add(Self.request("a")) }
        }
        #expect(try await requests.transcript(of: Self.id, after: 0, countMax: 10, byteCountMax: 1_000).isEmpty)
        try await requests.append([Self.entry(1, [UInt8](repeating: 0, count: 300), source: "talker")], to: Self.id, at: 1_100)
        await #expect(throws: StoreError.self) { try await requests.append([Self.entry(1, [1])], to: Self.id, at: 1_100) }
        try await requests.raise(Self.entry(6, [7]), about: Self.id, halting: halts, at: 1_100)
        await database.close()
        let again = try await SessionDatabase.open(self.path)
        #expect(try await again.approvals.approval(of: group) == halted)
        let entries = try await again.requests(within: bounds).transcript(of: Self.id, after: 0, countMax: 10, byteCountMax: 1_000)
        #expect(entries.map(\.kind) == [1, 6] && entries.last?.bytes == [7])
        await again.close()
    }

    @Test func `of an older layout entries count for whoever proposed, and ended requests take no place`() async throws {
        do {
            let old = try Database(opening: self.path, migrations: Array(Schema.migrations.prefix(4)))
            let transaction: StaticString = """
                INSERT INTO request (id, source, created, expiry, updated, decision, decision_serial, state, reason, entry_count, entry_hash, \
                byte_count, row_check) VALUES (randomblob(32), 'p', 1, 2, 1, 1, 1, 8, '', 1, randomblob(32), 250, x'00')
                """
            try old.execute(transaction)
            try old.execute("INSERT INTO transcript_entry (request, sequence, kind, hash, bytes) VALUES (1, 1, 1, randomblob(32), x'0102')")
            try old.execute("INSERT INTO usage (scope, name, item_count, byte_count) VALUES (1, x'', 1, 0), (2, x'70', 1, 250)")
        }
        let database = try await SessionDatabase.open(self.path)
        let found = try await database.read { database throws(StoreError) -> [Int64] in
            [
                try database.number("SELECT count(*) FROM transcript_entry WHERE source = 'p'"),
                try database.number("SELECT count(*) FROM usage WHERE scope = 1"),
                try database.number("SELECT item_count FROM usage WHERE scope = 2 AND name = x'70'"),
                try database.number("SELECT byte_count FROM usage WHERE scope = 2 AND name = x'70'"),
            ]
        }
        #expect(found == [1, 0, 0, 250])
    }

    @Test func `removes what is over and old with all that belongs to it, and nothing that may still complete`() async throws {
        let database = try await SessionDatabase.open(self.path)
        let requests = database.requests()
        for state in StoredRequest.State.allCases {
            for (suffix, isBurned) in [("", false), (" burned", true)] {
                let name = "\(state)\(suffix)"
                try await requests.add(Self.request(name, source: nil))
                try await requests.append([Self.entry(1, [1])], to: Sample.digest(name), at: 1_100)
                if isBurned { try await database.journal.burn(Sample.record(request: name)) }
                try await requests.setState(state, reason: "because", of: Sample.digest(name), at: 1_100)
                #expect(try await requests.request(Sample.digest(name))?.reason == "because")
            }
        }
        #expect(try await requests.removeOver(updatedBefore: 1_100, countMax: 100).isEmpty)
        #expect(try await requests.removeOver(updatedBefore: 1_101, countMax: 2).count == 2)
        let rest = try await requests.removeOver(updatedBefore: 1_101, countMax: 100)
        #expect(rest.count == 4)
        for state in StoredRequest.State.allCases {
            let isThere = try await requests.request(Sample.digest("\(state)")) != nil
            #expect(isThere == !state.isOver, "\(state)")
            let burned = "\(state) burned"
            let isBurnedThere = try await requests.request(Sample.digest(burned)) != nil
            #expect(isBurnedThere == (state != .complete), "\(state)")
            #expect(try await database.journal.records(request: Sample.digest(burned)).count == (state == .complete ? 0 : 1))
        }
        // What is gone counts no more.
        for state in StoredRequest.State.allCases where !state.isOver {
            for suffix in ["", " burned"] {
                try await requests.setState(.complete, reason: "", of: Sample.digest("\(state)\(suffix)"), at: 1_100)
            }
        }
        for state in StoredRequest.State.allCases where state.isOver && state != .complete {
            try await database.journal.forget(request: Sample.digest("\(state) burned"))
        }
        _ = try await requests.removeOver(updatedBefore: 1_101, countMax: 100)
        let left = try await database.read { database throws(StoreError) in
            try ["request", "proposal", "transcript_entry", "usage", "burn", "nonce"].map { table throws(StoreError) in
                switch table {
                case "request": try database.number("SELECT count(*) FROM request")
                case "proposal": try database.number("SELECT count(*) FROM proposal")
                case "transcript_entry": try database.number("SELECT count(*) FROM transcript_entry")
                case "usage": try database.number("SELECT count(*) FROM usage")
                case "burn": try database.number("SELECT count(*) FROM burn")
                default: try database.number("SELECT count(*) FROM nonce")
                }
            }
        }
        #expect(left == [0, 0, 0, 0, 0, 0])
    }
}
