public import CryptoPrimitives
public import Signing

/// The `RequestStore` in a `SessionDatabase`.
public struct SQLiteRequestStore: RequestStore {
    private let database: SessionDatabase
    private let bounds: RequestBounds

    init(_ database: SessionDatabase, _ bounds: RequestBounds) {
        self.database = database
        self.bounds = bounds
    }

    // MARK: - Requests

    public func add(_ request: NewRequest) async throws(StoreError) {
        let bounds = self.bounds
        guard request.proposal.count <= bounds.proposalByteCountMax else {
            throw .tooLarge(what: "proposal", limit: bounds.proposalByteCountMax)
        }
        if let source = request.source { _ = try checkedText(source, "source's name", byteCountMax: RequestBounds.sourceByteCountMax) }
        try await self.database.write { database throws(StoreError) in
            if let standing = try Self.kept(request.id, in: database) {
                guard try Self.proposal(standing.number, in: database) == request.proposal else { throw .differentStands }
                return
            }
            let stored = StoredRequest(
                id: request.id, source: request.source, created: request.created, expiry: request.expiry, updated: request.created,
                decision: .undecided, decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: request.id))
            var kept = Kept(number: 0, request: stored, byteCount: 0)
            try Self.count(kept.request, open: 1, within: bounds, in: database)
            try Self.count(&kept, byteCount: request.proposal.count, within: bounds, in: database)
            try database.execute(
                """
                INSERT INTO request (id, source, created, expiry, updated, decision, decision_serial, state, reason, entry_count, entry_hash, \
                byte_count, row_check) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                kept.values)
            try database.execute(
                "INSERT INTO proposal (request, bytes, row_check) VALUES (?, ?, ?)", .integer(database.lastInsertedNumber),
                .blob(request.proposal), .blob(RowCheck.over("proposal", [.blob(request.proposal)])))
        }
    }

    public func request(_ id: Bytes32) async throws(StoreError) -> StoredRequest? {
        try await self.database.read { database throws(StoreError) in try Self.kept(id, in: database)?.request }
    }

    public func proposal(of id: Bytes32) async throws(StoreError) -> [UInt8]? {
        try await self.database.read { database throws(StoreError) in
            guard let kept = try Self.kept(id, in: database) else { return nil }
            return try Self.proposal(kept.number, in: database)
        }
    }

    public func requests(
        in state: StoredRequest.State, after id: Bytes32?, countMax: Int
    ) async throws(StoreError) -> [StoredRequest] {
        try await self.database.read { database throws(StoreError) in
            try database.rows(
                "SELECT * FROM request WHERE state = ? AND id > ? ORDER BY id LIMIT ?", .number(state.rawValue), .blob(id?.bytes ?? []),
                .number(max(0, countMax))
            ) { row throws(StoreError) in try Self.read(row).request }
        }
    }

    public func decide(
        _ decision: StoredRequest.Decision, serial: UInt64, about id: Bytes32, at now: UInt64
    ) async throws(StoreError) {
        guard serial <= UInt64(Int64.max) else { throw .tooLarge(what: "serial", limit: .max) }
        try await self.database.write(isDecision: true) { database throws(StoreError) in
            guard var kept = try Self.kept(id, in: database) else { throw .notFound }
            let standing = kept.request.decisionSerial
            if standing == serial, kept.request.decision == decision { return }
            guard serial > standing else { throw .stale(standing: standing) }
            kept.request.decision = decision
            kept.request.decisionSerial = serial
            kept.request.updated = now
            try Self.save(kept, in: database)
        }
    }

    public func setState(_ state: StoredRequest.State, reason: String, of id: Bytes32, at now: UInt64) async throws(StoreError) {
        let bounds = self.bounds
        let reason = try checkedText(reason, "reason", byteCountMax: bounds.reasonByteCountMax)
        let isEnd = state.isOver || state == .endedMayStillComplete
        try await self.database.write(isEnd ? .durable : .lazy, isDecision: isEnd) { database throws(StoreError) in
            guard var kept = try Self.kept(id, in: database) else { throw .notFound }
            switch (kept.request.state.isOver, state.isOver) {
            case (false, true): try Self.count(kept.request, open: -1, within: bounds, in: database)
            // The bound is on what strangers bring; what comes back was let in once.
            case (true, false): try Self.count(kept.request, open: 1, within: nil, in: database)
            case (false, false), (true, true): break
            }
            kept.request.state = state
            kept.request.reason = reason
            kept.request.updated = now
            try Self.save(kept, in: database)
        }
    }

    public func removeOver(updatedBefore time: UInt64, countMax: Int) async throws(StoreError) -> [Bytes32] {
        let bounds = self.bounds
        return try await self.database.write { database throws(StoreError) in
            var removed: [Bytes32] = []
            for state in StoredRequest.State.allCases where state.isOver {
                // A partial signature of ours that left for a request without an end may still become a signature: that is told by its record.
                let rows = try database.rows(
                    """
                    SELECT * FROM request WHERE state = ?1 AND updated < ?2 \
                    AND (?1 = ?4 OR NOT EXISTS (SELECT 1 FROM burn WHERE burn.request = request.id)) ORDER BY updated LIMIT ?3
                    """,
                    .number(state.rawValue), .seconds(time), .number(max(0, countMax - removed.count)),
                    .number(StoredRequest.State.complete.rawValue), read: Self.read)
                for var kept in rows {
                    try Self.count(&kept, byteCount: -kept.byteCount, within: bounds, in: database)
                    try SQLiteJournal.forget(request: kept.request.id, in: database)
                    try database.execute("DELETE FROM request WHERE number = ?", .integer(kept.number))
                    removed.append(kept.request.id)
                }
            }
            return removed
        }
    }

    public func flush() async throws(StoreError) { try await self.database.flush() }

    // MARK: - Transcripts

    @discardableResult
    public func append(
        _ entries: [(kind: UInt8, bytes: [UInt8])], to id: Bytes32, at now: UInt64
    ) async throws(StoreError) -> TranscriptHead {
        let bounds = self.bounds
        return try await self.database.write(.lazy) { database throws(StoreError) in
            guard var kept = try Self.kept(id, in: database) else { throw .notFound }
            for (kind, bytes) in entries {
                let entry = try kept.request.transcript.append(kind: kind, bytes)
                try Self.count(&kept, byteCount: bytes.count + Self.entryOverhead, within: bounds, in: database)
                try database.execute(
                    "INSERT INTO transcript_entry (request, sequence, kind, hash, bytes) VALUES (?, ?, ?, ?, ?)", .integer(kept.number),
                    .number(entry.sequence), .number(kind), .bytes(entry.hash), .blob(bytes))
            }
            kept.request.updated = max(kept.request.updated, now)
            try Self.save(kept, in: database)
            return kept.request.transcript
        }
    }

    /// Bytes that an entry takes beside its own, so that empty ones count, too: hash, numbers, index.
    private static let entryOverhead = 100

    public func transcript(
        of id: Bytes32, after sequence: UInt32, countMax: Int, byteCountMax: Int
    ) async throws(StoreError) -> [TranscriptEntry] {
        let path = self.database.path
        let page = try await self.database.read { database throws(StoreError) -> (TranscriptHead, TranscriptHead, [TranscriptEntry])? in
            guard let kept = try Self.kept(id, in: database) else { throw .notFound }
            guard sequence < kept.request.transcript.sequence, countMax > 0 else { return nil }
            var start = TranscriptHead(request: id)
            if sequence > 0 {
                let hash = try database.row(
                    "SELECT hash FROM transcript_entry WHERE request = ? AND sequence = ?", .integer(kept.number), .number(sequence)
                ) { row throws(StoreError) in try row.bytes32(0) }
                guard let hash else { throw .damaged(path: path, detail: "a transcript has a gap") }
                start = TranscriptHead(sequence: sequence, hash: hash)
            }
            // Lengths first, so that no more is read than is asked for.
            let lengths = try database.rows(
                "SELECT length(bytes) FROM transcript_entry WHERE request = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                .integer(kept.number), .number(sequence), .number(countMax)
            ) { row throws(StoreError) -> Int in try row.number(0) }
            guard lengths.count == min(countMax, Int(kept.request.transcript.sequence - sequence)) else {
                throw .damaged(path: path, detail: "a transcript has a gap")
            }
            var (count, byteCount) = (0, 0)
            for length in lengths {
                guard count == 0 || byteCount + length <= byteCountMax else { break }
                (count, byteCount) = (count + 1, byteCount + length)
            }
            let entries = try database.rows(
                "SELECT sequence, kind, bytes, hash FROM transcript_entry WHERE request = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                .integer(kept.number), .number(sequence), .number(count)
            ) { row throws(StoreError) in
                try TranscriptEntry(sequence: row.number(0), kind: row.number(1), bytes: row.blob(2), hash: row.bytes32(3))
            }
            return (start, kept.request.transcript, entries)
        }
        // Hashing megabytes is nothing that others should wait for, so it is done outside the queue.
        guard case (var head, let end, let entries)? = page else { return [] }
        for entry in entries {
            guard head.follow(entry) else { throw .damaged(path: path, detail: "a transcript's chain breaks at entry \(entry.sequence)") }
        }
        guard !entries.isEmpty, head.sequence < end.sequence || head == end else {
            throw .damaged(path: path, detail: "a transcript's end is missing")
        }
        return entries
    }

    // MARK: - Rows

    /// A request with what only the store knows of it.
    private struct Kept {
        let number: Int64
        var request: StoredRequest
        /// Bytes that it counts for.
        var byteCount: Int

        /// In the order of the table's columns, without the number.
        var values: [SQLValue] {
            let request = self.request
            let values: [SQLValue] = [
                .bytes(request.id), request.source.map(SQLValue.text) ?? .null, .seconds(request.created), .seconds(request.expiry),
                .seconds(request.updated), .number(request.decision.rawValue), .number(request.decisionSerial),
                .number(request.state.rawValue), .text(request.reason), .number(request.transcript.sequence),
                .bytes(request.transcript.hash), .number(self.byteCount),
            ]
            return values + [.blob(RowCheck.over("request", values))]
        }
    }

    private static func kept(_ id: Bytes32, in database: Database) throws(StoreError) -> Kept? {
        try database.row("SELECT * FROM request WHERE id = ?", .bytes(id), read: Self.read)
    }

    private static func read(_ row: DatabaseRow) throws(StoreError) -> Kept {
        guard let decision = StoredRequest.Decision(rawValue: try row.number(6)),
            let state = StoredRequest.State(rawValue: try row.number(8))
        else { throw row.damage("no state", 8) }
        let kept = Kept(
            number: try row.integer(0),
            request: StoredRequest(
                id: try row.bytes32(1), source: try row.isNull(2) ? nil : row.text(2), created: try row.number(3),
                expiry: try row.number(4), updated: try row.number(5), decision: decision, decisionSerial: try row.number(7),
                state: state, reason: try row.text(9),
                transcript: TranscriptHead(sequence: try row.number(10), hash: try row.bytes32(11))),
            byteCount: try row.number(12))
        guard try kept.values.last == .blob(row.blob(13)) else { throw row.damage("an altered request", 13) }
        return kept
    }

    private static func save(_ kept: Kept, in database: Database) throws(StoreError) {
        try database.execute(
            """
            UPDATE request SET id = ?, source = ?, created = ?, expiry = ?, updated = ?, decision = ?, decision_serial = ?, state = ?, \
            reason = ?, entry_count = ?, entry_hash = ?, byte_count = ?, row_check = ? WHERE number = ?
            """,
            kept.values + [.integer(kept.number)])
    }

    private static func proposal(_ number: Int64, in database: Database) throws(StoreError) -> [UInt8] {
        let proposal = try database.row("SELECT bytes, row_check FROM proposal WHERE request = ?", .integer(number)) {
            row throws(StoreError) in
            let bytes = try row.blob(0)
            guard try row.blob(1) == RowCheck.over("proposal", [.blob(bytes)]) else { throw row.damage("an altered proposal", 0) }
            return bytes
        }
        guard let proposal else { throw .damaged(path: database.path, detail: "a request has no proposal") }
        return proposal
    }

    // MARK: - Bounds

    /// Counts a request as open, or as not open any more.
    private static func count(
        _ request: StoredRequest, open change: Int, within bounds: RequestBounds?, in database: Database
    ) throws(StoreError) {
        let amount = Usage.Amount(count: change, byteCount: 0)
        if change > 0, let bounds {
            guard try Usage.of(.openRequests, in: database).count < bounds.openCountMax else {
                throw .full(.all, limit: bounds.openCountMax)
            }
        }
        try Usage.add(amount, to: .openRequests, in: database)
        guard let source = request.source.map({ Array($0.utf8) }) else { return }
        if change > 0, let bounds {
            guard try Usage.of(.requestsBySource, source, in: database).count < bounds.openCountPerSourceMax else {
                throw .full(.source, limit: bounds.openCountPerSourceMax)
            }
        }
        try Usage.add(amount, to: .requestsBySource, source, in: database)
    }

    /// Counts bytes that are kept for a request.
    private static func count(
        _ kept: inout Kept, byteCount change: Int, within bounds: RequestBounds, in database: Database
    ) throws(StoreError) {
        let amount = Usage.Amount(count: 0, byteCount: change)
        kept.byteCount += change
        try Usage.add(amount, to: .allRequests, in: database)
        let sum = try Usage.of(.allRequests, in: database)
        guard change <= 0 || sum.byteCount <= bounds.byteCountMax else { throw .full(.all, limit: bounds.byteCountMax) }
        guard let source = kept.request.source.map({ Array($0.utf8) }) else { return }
        try Usage.add(amount, to: .requestsBySource, source, in: database)
        let ofSource = try Usage.of(.requestsBySource, source, in: database)
        guard change <= 0 || ofSource.byteCount <= bounds.byteCountPerSourceMax else {
            throw .full(.source, limit: bounds.byteCountPerSourceMax)
        }
    }
}
