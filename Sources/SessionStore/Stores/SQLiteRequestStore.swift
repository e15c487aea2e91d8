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
            let kept = Kept(number: 0, request: stored, byteCount: request.proposal.count)
            try Self.count(stored, open: 1, within: bounds, in: database)
            try Self.count(byteCount: kept.byteCount, of: stored.source, within: bounds, in: database)
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
        _ decision: StoredRequest.Decision, serial: UInt64, reason: String = "", about id: Bytes32, at now: UInt64
    ) async throws(StoreError) {
        let reason = try checkedText(reason, "reason", byteCountMax: self.bounds.reasonByteCountMax)
        guard serial <= UInt64(Int64.max) else { throw .tooLarge(what: "serial", limit: .max) }
        try await self.database.write(isDecision: true) { database throws(StoreError) in
            guard var kept = try Self.kept(id, in: database) else { throw .notFound }
            let standing = kept.request.decisionSerial
            if standing == serial, kept.request.decision == decision { return }
            guard serial > standing else { throw .stale(standing: standing) }
            kept.request.decision = decision
            kept.request.decisionSerial = serial
            kept.request.reason = reason
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
            switch (kept.request.state.isOpen, state.isOpen) {
            case (true, false): try Self.count(kept.request, open: -1, within: bounds, in: database)
            // The bound is on what strangers bring; what comes back was let in once.
            case (false, true): try Self.count(kept.request, open: 1, within: nil, in: database)
            case (false, false), (true, true): break
            }
            kept.request.state = state
            kept.request.reason = reason
            kept.request.updated = now
            try Self.save(kept, in: database)
        }
    }

    public func removeOver(updatedBefore time: UInt64, countMax: Int) async throws(StoreError) -> [Bytes32] {
        try await self.database.write { database throws(StoreError) in
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
                for kept in rows {
                    try Self.discount(kept, in: database)
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
    public func append(_ entries: [NewTranscriptEntry], to id: Bytes32, at now: UInt64) async throws(StoreError) -> TranscriptHead {
        for source in Set(entries.compactMap(\.source)) {
            _ = try checkedText(source, "source's name", byteCountMax: RequestBounds.sourceByteCountMax)
        }
        return try await self.append(entries, to: id, within: self.bounds, at: now)
    }

    @discardableResult
    public func conclude(_ id: Bytes32, with entry: NewTranscriptEntry, at now: UInt64) async throws(StoreError) -> TranscriptHead {
        try await self.append([NewTranscriptEntry(kind: entry.kind, bytes: entry.bytes)], to: id, within: nil, at: now)
    }

    public func raise(
        _ alarm: NewTranscriptEntry, about id: Bytes32, halting halts: [ApprovalHalt], at now: UInt64
    ) async throws(StoreError) {
        for halt in halts { try SQLiteApprovalStore.check(halt.approval) }
        // Counted for nobody.
        let entry = NewTranscriptEntry(kind: alarm.kind, bytes: alarm.bytes)
        let fits = alarm.bytes.count <= TranscriptHead.entryByteCountMax
        try await self.database.write(isDecision: true) { database throws(StoreError) in
            for halt in halts {
                do throws(StoreError) { try SQLiteApprovalStore.put(halt.approval, of: halt.group, in: database) } catch {
                    guard case .notFound = error else { throw error }
                }
            }
            guard fits else { return }
            do throws(StoreError) { _ = try Self.append([entry], to: id, within: nil, at: now, in: database) } catch {
                switch error {
                case .full(.transcript, _), .notFound: break
                default: throw error
                }
            }
        }
    }

    /// - Parameter bounds: `nil` for what concludes, which nobody's share and no bound on all stands in the way of.
    private func append(
        _ entries: [NewTranscriptEntry], to id: Bytes32, within bounds: RequestBounds?, at now: UInt64
    ) async throws(StoreError) -> TranscriptHead {
        try await self.database.write(.lazy, isDecision: bounds == nil) { database throws(StoreError) in
            try Self.append(entries, to: id, within: bounds, at: now, in: database)
        }
    }

    private static func append(
        _ entries: [NewTranscriptEntry], to id: Bytes32, within bounds: RequestBounds?, at now: UInt64, in database: Database
    ) throws(StoreError) -> TranscriptHead {
        guard var kept = try Self.kept(id, in: database) else { throw .notFound }
        for new in entries {
            let entry = try kept.request.transcript.append(kind: new.kind, new.bytes, concludes: bounds == nil)
            let byteCount = new.bytes.count + Self.entryOverhead
            kept.byteCount += byteCount
            try Self.count(byteCount: byteCount, of: new.source, within: bounds, in: database)
            try database.execute(
                "INSERT INTO transcript_entry (request, sequence, kind, hash, bytes, source) VALUES (?, ?, ?, ?, ?, ?)",
                .integer(kept.number), .number(entry.sequence), .number(new.kind), .bytes(entry.hash), .blob(new.bytes),
                new.source.map(SQLValue.text) ?? .null)
        }
        kept.request.updated = max(kept.request.updated, now)
        try Self.save(kept, in: database)
        return kept.request.transcript
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

    /// The first entry of a kind, where reading the whole transcript would take long. Its place in the chain is verified.
    public func firstEntry(of kind: UInt8, in id: Bytes32) async throws(StoreError) -> TranscriptEntry? {
        let path = self.database.path
        let found = try await self.database.read { database throws(StoreError) -> (before: TranscriptHead, entry: TranscriptEntry)? in
            guard let kept = try Self.kept(id, in: database) else { throw .notFound }
            let entry = try database.row(
                "SELECT sequence, kind, bytes, hash FROM transcript_entry WHERE request = ? AND kind = ? ORDER BY sequence LIMIT 1",
                .integer(kept.number), .number(kind)
            ) { row throws(StoreError) in
                try TranscriptEntry(sequence: row.number(0), kind: row.number(1), bytes: row.blob(2), hash: row.bytes32(3))
            }
            guard let entry else { return nil }
            guard entry.sequence > 1 else { return (TranscriptHead(request: id), entry) }
            let hash = try database.row(
                "SELECT hash FROM transcript_entry WHERE request = ? AND sequence = ?", .integer(kept.number), .number(entry.sequence - 1)
            ) { row throws(StoreError) in try row.bytes32(0) }
            guard let hash else { throw .damaged(path: path, detail: "a transcript has a gap") }
            return (TranscriptHead(sequence: entry.sequence - 1, hash: hash), entry)
        }
        guard case (var head, let entry)? = found else { return nil }
        guard head.follow(entry) else { throw .damaged(path: path, detail: "a transcript's chain breaks at entry \(entry.sequence)") }
        return entry
    }

    // MARK: - Rows

    /// A request with what only the store knows of it.
    private struct Kept {
        let number: Int64
        var request: StoredRequest
        /// Bytes of its proposal and of its transcript, whoever they count for.
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

    /// Counts bytes that are kept, and for whom.
    private static func count(
        byteCount: Int, of source: String?, within bounds: RequestBounds?, in database: Database
    ) throws(StoreError) {
        let amount = Usage.Amount(count: 0, byteCount: byteCount)
        try Usage.add(amount, to: .allRequests, in: database)
        if let bounds, try Usage.of(.allRequests, in: database).byteCount > bounds.byteCountMax {
            throw .full(.all, limit: bounds.byteCountMax)
        }
        guard let source = source.map({ Array($0.utf8) }) else { return }
        try Usage.add(amount, to: .requestsBySource, source, in: database)
        if let bounds, try Usage.of(.requestsBySource, source, in: database).byteCount > bounds.byteCountPerSourceMax {
            throw .full(.source, limit: bounds.byteCountPerSourceMax)
        }
    }

    /// What is removed counts no more, for its proposer and for whoever said something about it.
    private static func discount(_ kept: Kept, in database: Database) throws(StoreError) {
        let shares = try database.rows(
            "SELECT source, count(*), sum(length(bytes)) FROM transcript_entry WHERE request = ? GROUP BY source", .integer(kept.number)
        ) { row throws(StoreError) -> (source: String?, byteCount: Int) in
            let (count, byteCount): (Int, Int) = (try row.number(1), try row.number(2))
            return (try row.isNull(0) ? nil : row.text(0), byteCount + count * Self.entryOverhead)
        }
        let ofProposal = kept.byteCount - shares.reduce(0) { $0 + $1.byteCount }
        for (source, byteCount) in shares + [(kept.request.source, ofProposal)] {
            try Self.count(byteCount: -byteCount, of: source, within: nil, in: database)
        }
    }
}
