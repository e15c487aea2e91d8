public import CryptoPrimitives
public import Signing

/// The `MailboxStore` in a `SessionDatabase`.
public struct SQLiteMailboxStore: MailboxStore {
    private let database: SessionDatabase
    private let bounds: MailboxBounds

    init(_ database: SessionDatabase, _ bounds: MailboxBounds) {
        self.database = database
        self.bounds = bounds
    }

    /// Messages over time that a deposit removes by the way, so that they take nobody's place until the next cleaning.
    private static let removedByDepositMax = 16

    public func deposit(
        _ bytes: [UInt8], for recipient: Ed25519.PublicKey, from source: String, expiry: UInt64, at now: UInt64
    ) async throws(StoreError) -> UInt64 {
        let bounds = self.bounds
        let source = try checkedText(source, "source's name", byteCountMax: MailboxBounds.sourceByteCountMax)
        guard bytes.count <= bounds.messageByteCountMax else { throw .tooLarge(what: "message", limit: bounds.messageByteCountMax) }
        guard expiry > now else { throw .stale(standing: now) }
        let digest = SHA256.hash(bytes)
        let place = Place(recipient: recipient.bytes, source: source)
        return try await self.database.write { database throws(StoreError) in
            let standing = try database.row(
                "SELECT cursor FROM sealed_message WHERE recipient = ? AND digest = ?", .blob(place.recipient), .bytes(digest)
            ) { row throws(StoreError) -> UInt64 in try row.number(0) }
            if let standing { return standing }
            _ = try Self.removeExpired(at: now, countMax: Self.removedByDepositMax, in: database)
            try place.count(Usage.Amount(count: 1, byteCount: bytes.count), within: bounds, in: database)
            try database.execute(
                "INSERT INTO sealed_message (recipient, digest, source, received, expiry, byte_count, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
                .blob(place.recipient), .bytes(digest), .text(source), .seconds(now),
                .seconds(min(expiry, now.addingReportingOverflow(bounds.secondsMax).partialValue)), .number(bytes.count), .blob(bytes))
            return UInt64(clamping: database.lastInsertedNumber)
        }
    }

    public func messages(
        for recipient: Ed25519.PublicKey, after cursor: UInt64, countMax: Int, byteCountMax: Int, at now: UInt64
    ) async throws(StoreError) -> [MailboxMessage] {
        let recipient = recipient.bytes
        return try await self.database.read { database throws(StoreError) in
            // Lengths first, so that no more is read than is asked for.
            let waiting = try database.rows(
                "SELECT cursor, byte_count FROM sealed_message WHERE recipient = ? AND cursor > ? AND expiry > ? ORDER BY cursor LIMIT ?",
                .blob(recipient), .number(cursor), .seconds(now), .number(max(0, countMax))
            ) { row throws(StoreError) -> (Int64, Int) in try (row.integer(0), row.number(1)) }
            var (messages, byteCount): ([MailboxMessage], Int) = ([], 0)
            for (cursor, length) in waiting {
                guard messages.isEmpty || byteCount + length <= byteCountMax else { break }
                byteCount += length
                let message = try database.row(
                    "SELECT cursor, bytes, received, expiry FROM sealed_message WHERE cursor = ?", .integer(cursor)
                ) { row throws(StoreError) in
                    try MailboxMessage(cursor: row.number(0), bytes: row.blob(1), received: row.number(2), expiry: row.number(3))
                }
                if let message { messages.append(message) }
            }
            return messages
        }
    }

    public func acknowledge(_ cursors: [UInt64], by recipient: Ed25519.PublicKey) async throws(StoreError) {
        let recipient = recipient.bytes
        try await self.database.write(.lazy) { database throws(StoreError) in
            for cursor in cursors.prefix(self.bounds.countPerRecipientMax) {
                let found = try database.row(
                    "SELECT cursor, recipient, source, byte_count FROM sealed_message WHERE cursor = ? AND recipient = ?", .number(cursor),
                    .blob(recipient), read: Self.readPlace)
                if let found { try Self.remove(found, in: database) }
            }
        }
    }

    public func removeExpired(at now: UInt64, countMax: Int) async throws(StoreError) -> Int {
        try await self.database.write(.lazy) { database throws(StoreError) in
            try Self.removeExpired(at: now, countMax: countMax, in: database)
        }
    }

    // MARK: - Rows

    private typealias Placed = (cursor: Int64, place: Place, byteCount: Int)

    private static func readPlace(_ row: DatabaseRow) throws(StoreError) -> Placed {
        (try row.integer(0), Place(recipient: try row.blob(1), source: try row.text(2)), try row.number(3))
    }

    private static func removeExpired(at now: UInt64, countMax: Int, in database: Database) throws(StoreError) -> Int {
        let expired = try database.rows(
            "SELECT cursor, recipient, source, byte_count FROM sealed_message WHERE expiry <= ? ORDER BY expiry LIMIT ?", .seconds(now),
            .number(max(0, countMax)), read: Self.readPlace)
        for message in expired { try Self.remove(message, in: database) }
        return expired.count
    }

    private static func remove(_ message: Placed, in database: Database) throws(StoreError) {
        try database.execute("DELETE FROM sealed_message WHERE cursor = ?", .integer(message.cursor))
        try message.place.count(Usage.Amount(count: -1, byteCount: -message.byteCount), within: nil, in: database)
    }

    // MARK: - Bounds

    /// What a message counts against.
    private struct Place: Sendable {
        let recipient: [UInt8]
        let source: String

        func count(_ amount: Usage.Amount, within bounds: MailboxBounds?, in database: Database) throws(StoreError) {
            let source = Array(self.source.utf8)
            let scopes: [(Usage.Scope, [UInt8], StoreError.Bound, count: Int?, byteCount: Int?)] = [
                // Whoever is refused learns of the narrowest bound first: it is the one that its own doing has reached.
                (
                    .mailByRecipientAndSource, self.recipient + source, .source, bounds?.countPerRecipientAndSourceMax,
                    bounds?.byteCountPerRecipientAndSourceMax
                ),
                (.mailBySource, source, .source, bounds?.countPerSourceMax, bounds?.byteCountPerSourceMax),
                (.mailByRecipient, self.recipient, .recipient, bounds?.countPerRecipientMax, bounds?.byteCountPerRecipientMax),
                (.allMail, [], .all, bounds?.countMax, bounds?.byteCountMax),
            ]
            for (scope, name, bound, countMax, byteCountMax) in scopes {
                try Usage.add(amount, to: scope, name, in: database)
                guard let countMax, let byteCountMax else { continue }
                let sum = try Usage.of(scope, name, in: database)
                guard sum.count <= countMax else { throw .full(bound, limit: countMax) }
                guard sum.byteCount <= byteCountMax else { throw .full(bound, limit: byteCountMax) }
            }
        }
    }
}
