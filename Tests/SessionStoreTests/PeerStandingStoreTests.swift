import Foundation
import Signing
import Testing

@testable import SessionStore

struct `A store of how peers stand` {
    private let folder: TemporaryFolder

    init() throws { self.folder = try TemporaryFolder() }

    private func open() async throws -> SessionDatabase { try await SessionDatabase.open(self.folder.file("database")) }

    @Test func `keeps the last of each peer, in order, through its end, and forgets whom it is told to`() async throws {
        let database = try await self.open()
        let first = PeerStanding(peer: [1, 2], block: .owner, since: 1_800_000_000, note: "stolen on Monday – ärgerlich")
        let second = PeerStanding(peer: [1, 3], temporaryBlocks: [0, 7, .max])
        let third = PeerStanding(peer: Array(repeating: 9, count: PeerStanding.peerByteCountMax), block: .conduct, since: 5)
        for standing in [third, PeerStanding(peer: [1, 2]), second, first] { try await database.standings.put(standing) }
        await database.close()
        let again = try await self.open()
        #expect(try await again.standings.standings(after: nil, countMax: 10) == [first, second, third])
        #expect(try await again.standings.standings(after: [1, 2], countMax: 1) == [second])
        try await again.standings.remove([1, 3])
        try await again.standings.remove([4])
        #expect(try await again.standings.standings(after: nil, countMax: 10) == [first, third])
        await again.close()
    }

    @Test func `refuses what is too large and one too many, and keeps what stood`() async throws {
        let database = try await self.open()
        let stands = PeerStanding(peer: [1], block: .owner, since: 7, note: "x")
        try await database.standings.put(stands)
        for standing in [
            PeerStanding(peer: []), PeerStanding(peer: Array(repeating: 1, count: PeerStanding.peerByteCountMax + 1)),
            PeerStanding(peer: [1], note: String(repeating: "ä", count: PeerStanding.noteByteCountMax / 2 + 1)),
            PeerStanding(peer: [1], temporaryBlocks: Array(repeating: 1, count: PeerStanding.temporaryBlockCountMax + 1)),
        ] {
            await #expect(throws: StoreError.self) { try await database.standings.put(standing) }
        }
        #expect(try await database.standings.standings(after: nil, countMax: 10) == [stands])
        try await database.write { database throws(StoreError) in
            for number in 1..<SQLitePeerStandingStore.countMax {
                try database.execute(
                    "INSERT INTO peer_standing (peer, block, since, note, temporary_blocks, row_check) VALUES (?, 0, 0, '', x'', x'')",
                    .blob([2, UInt8(number >> 8), UInt8(number & 0xff)]))
            }
        }
        await #expect(throws: StoreError.full(.all, limit: SQLitePeerStandingStore.countMax)) {
            try await database.standings.put(PeerStanding(peer: [3]))
        }
        // One that is there can be changed all the same.
        try await database.standings.put(PeerStanding(peer: [1], block: .conduct))
        await database.close()
    }

    @Test(arguments: ["since = 8", "block = 2", "block = 9", "note = 'y'", "temporary_blocks = x'07'", "temporary_blocks = zeroblob(8)"])
    func `says so when a row was altered`(change: String) async throws {
        let database = try await self.open()
        try await database.standings.put(PeerStanding(peer: [1], block: .owner, since: 7, note: "x"))
        let sql: [String: StaticString] = [
            "since = 8": "UPDATE peer_standing SET since = 8", "block = 2": "UPDATE peer_standing SET block = 2",
            "block = 9": "UPDATE peer_standing SET block = 9", "note = 'y'": "UPDATE peer_standing SET note = 'y'",
            "temporary_blocks = x'07'": "UPDATE peer_standing SET temporary_blocks = x'07'",
            "temporary_blocks = zeroblob(8)": "UPDATE peer_standing SET temporary_blocks = zeroblob(8)",
        ]
        let statement = try #require(sql[change])
        try await database.write { database throws(StoreError) in try database.execute(statement) }
        await #expect(throws: StoreError.self) { try await database.standings.standings(after: nil, countMax: 10) }
        await database.close()
    }
}
