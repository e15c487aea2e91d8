public import Signing

/// The `PeerStandingStore` in a `SessionDatabase`.
public struct SQLitePeerStandingStore: PeerStandingStore {
    private let database: SessionDatabase

    /// Peers in all. Source: Chorale's own bound, above what a signing machine keeps.
    public static let countMax = 4_096

    init(_ database: SessionDatabase) { self.database = database }

    public func put(_ standing: PeerStanding) async throws(StoreError) {
        guard (1...PeerStanding.peerByteCountMax).contains(standing.peer.count) else {
            throw .tooLarge(what: "peer id", limit: PeerStanding.peerByteCountMax)
        }
        guard standing.temporaryBlocks.count <= PeerStanding.temporaryBlockCountMax else {
            throw .tooLarge(what: "list of times", limit: PeerStanding.temporaryBlockCountMax)
        }
        _ = try checkedText(standing.note, "note", byteCountMax: PeerStanding.noteByteCountMax)
        try await self.database.write { database throws(StoreError) in
            let isKnown = try database.number("SELECT count(*) FROM peer_standing WHERE peer = ?", .blob(standing.peer)) > 0
            if !isKnown, try database.number("SELECT count(*) FROM peer_standing") >= Self.countMax {
                throw .full(.all, limit: Self.countMax)
            }
            try database.execute(
                "INSERT OR REPLACE INTO peer_standing (peer, block, since, note, temporary_blocks, row_check) VALUES (?, ?, ?, ?, ?, ?)",
                Self.values(standing))
        }
    }

    public func remove(_ peer: [UInt8]) async throws(StoreError) {
        try await self.database.write { database throws(StoreError) in
            try database.execute("DELETE FROM peer_standing WHERE peer = ?", .blob(peer))
        }
    }

    public func standings(after peer: [UInt8]?, countMax: Int) async throws(StoreError) -> [PeerStanding] {
        try await self.database.read { database throws(StoreError) in
            try database.rows(
                "SELECT * FROM peer_standing WHERE peer > ? ORDER BY peer LIMIT ?", .blob(peer ?? []), .number(max(0, countMax)),
                read: Self.read)
        }
    }

    // MARK: - Rows

    /// In the order of the table's columns.
    private static func values(_ standing: PeerStanding) -> [SQLValue] {
        let times = standing.temporaryBlocks.flatMap { time in withUnsafeBytes(of: time.bigEndian) { Array($0) } }
        let values: [SQLValue] = [
            .blob(standing.peer), .number(standing.block?.rawValue ?? 0), .seconds(standing.since), .text(standing.note), .blob(times),
        ]
        return values + [.blob(RowCheck.over("peer_standing", values))]
    }

    private static func read(_ row: DatabaseRow) throws(StoreError) -> PeerStanding {
        let number: UInt8 = try row.number(1)
        let block = PeerStanding.Block(rawValue: number)
        guard number == 0 || block != nil else { throw row.damage("no reason to block", 1) }
        let bytes = try row.blob(4)
        guard bytes.count.isMultiple(of: 8) else { throw row.damage("no times", 4) }
        let times = stride(from: 0, to: bytes.count, by: 8).map { start in
            bytes[start..<start + 8].reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        }
        let standing = PeerStanding(
            peer: try row.blob(0), block: block, since: try row.number(2), note: try row.text(3), temporaryBlocks: times)
        guard try Self.values(standing).last == .blob(row.blob(5)) else { throw row.damage("an altered standing of a peer", 5) }
        return standing
    }
}
