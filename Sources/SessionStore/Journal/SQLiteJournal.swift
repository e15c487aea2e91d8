internal import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1
public import Signing

/// The `SessionJournal` in a `SessionDatabase`.
///
/// `burn` returns once the record is on the medium. Burns that come while the disk is busy share one transaction and one synchronisation,
/// and with them goes all else that waits, such as transcripts.
public struct SQLiteJournal: SessionJournal {
    private let database: SessionDatabase

    init(_ database: SessionDatabase) { self.database = database }

    public func burn(_ record: BurnRecord) async throws(JournalError) {
        let verdict: Result<Void, JournalError> = try await self.translating { () throws(StoreError) in
            try await self.database.write(
                isDecision: true, { database throws(StoreError) in try Self.burn(record, in: database) },
                afterFailure: { database, error in Self.verdict(on: record, in: database, afterFailing: error) })
        }
        try verdict.get()
    }

    public func record(request: Bytes32, attempt: UInt32, signer: PublicKey) async throws(JournalError) -> BurnRecord? {
        try await self.translating { () throws(StoreError) in
            try await self.database.read { database throws(StoreError) in
                try Self.record(request: request, attempt: attempt, signer: signer, in: database)
            }
        }
    }

    public func records(request: Bytes32) async throws(JournalError) -> [BurnRecord] {
        try await self.translating { () throws(StoreError) in
            try await self.database.read { database throws(StoreError) in try Self.records(request: request, in: database) }
        }
    }

    public func forget(request: Bytes32) async throws(JournalError) {
        try await self.translating { () throws(StoreError) in
            try await self.database.write(
                isDecision: true, { database throws(StoreError) in try Self.forget(request: request, in: database) },
                afterFailure: { database, error in
                    // What is not there need not be forgotten.
                    Result { () throws(StoreError) in
                        guard try Self.records(request: request, in: database).isEmpty else { throw error }
                    }
                })
        }
    }

    // MARK: - In a transaction

    private static func burn(_ record: BurnRecord, in database: Database) throws(StoreError) -> Result<Void, JournalError> {
        switch try Self.judge(record, in: database) {
        case .success(.repeated): return .success(())
        case .failure(let error): return .failure(error)
        case .success(.new): break
        }
        let encoded = record.encoded()
        try database.execute(
            "INSERT INTO burn (request, attempt, signer, record, row_check) VALUES (?, ?, ?, ?, ?)", .bytes(record.request),
            .number(record.attempt), .key(record.signer), .blob(encoded), .blob(Self.check(encoded)))
        for nonce in record.nonces {
            try database.execute("INSERT INTO nonce (digest) VALUES (?)", .bytes(SHA256.hash(nonce.bytes)))
        }
        return .success(())
    }

    /// What the protocol says about burning this record now. See `BurnLedger.judge`, which does it in memory.
    private static func judge(
        _ record: BurnRecord, in database: Database
    ) throws(StoreError) -> Result<BurnLedger.Verdict, JournalError> {
        if let standing = try Self.record(request: record.request, attempt: record.attempt, signer: record.signer, in: database) {
            return standing == record
                ? .success(.repeated) : .failure(.differentRecordStands(attempt: record.attempt, signer: record.signer))
        }
        var own: Set<Bytes32> = []
        for nonce in record.nonces {
            let digest = SHA256.hash(nonce.bytes)
            let isKnown = try database.number("SELECT count(*) FROM nonce WHERE digest = ?", .bytes(digest)) > 0
            guard !isKnown, own.insert(digest).inserted else { return .failure(.nonceServedAlready(nonce)) }
        }
        return .success(.new)
    }

    /// The verdict from what was committed before: one that rested on a record of the failed transaction would not be true any more.
    private static func verdict(
        on record: BurnRecord, in database: Database, afterFailing error: StoreError
    ) -> Result<Result<Void, JournalError>, StoreError> {
        do throws(StoreError) {
            switch try Self.judge(record, in: database) {
            case .success(.repeated): return .success(.success(()))
            case .failure(let refusal): return .success(.failure(refusal))
            case .success(.new): return .failure(error)
            }
        } catch {
            return .failure(error)
        }
    }

    private static func record(
        request: Bytes32, attempt: UInt32, signer: PublicKey, in database: Database
    ) throws(StoreError) -> BurnRecord? {
        try database.row(
            "SELECT request, attempt, signer, record, row_check FROM burn WHERE request = ? AND attempt = ? AND signer = ?",
            .bytes(request), .number(attempt), .key(signer), read: Self.read)
    }

    /// By attempt, then signer: keys compare as their bytes do.
    private static func records(request: Bytes32, in database: Database) throws(StoreError) -> [BurnRecord] {
        try database.rows(
            "SELECT request, attempt, signer, record, row_check FROM burn WHERE request = ? ORDER BY attempt, signer",
            .bytes(request), read: Self.read)
    }

    /// Drops a request's records and their nonces.
    static func forget(request: Bytes32, in database: Database) throws(StoreError) {
        for record in try Self.records(request: request, in: database) {
            for nonce in record.nonces { try database.execute("DELETE FROM nonce WHERE digest = ?", .bytes(SHA256.hash(nonce.bytes))) }
        }
        try database.execute("DELETE FROM burn WHERE request = ?", .bytes(request))
    }

    // MARK: - Reading

    private static func check(_ encoded: [UInt8]) -> [UInt8] { RowCheck.over("burn", [.blob(encoded)]) }

    private static func read(_ row: DatabaseRow) throws(StoreError) -> BurnRecord {
        let encoded = try Self.readChecked(row)
        // The record says again what the key of its row says.
        guard let record = BurnRecord(decoding: encoded), try record.request == row.bytes32(0), try record.attempt == row.number(1),
            try record.signer.bytes == row.blob(2)
        else { throw row.damage("no record of this decision", 3) }
        return record
    }

    private static func readChecked(_ row: DatabaseRow) throws(StoreError) -> [UInt8] {
        let encoded = try row.blob(3)
        guard try row.blob(4) == Self.check(encoded) else { throw row.damage("an altered record", 3) }
        return encoded
    }

    /// Checks all records and that exactly their nonces are known, without taking points of the curve apart.
    static func checkAll(_ database: Database) throws(StoreError) {
        var (nonces, known): (Int64, Int64) = (0, 0)
        // The columns of a row within the record: those of its key, and the nonces.
        try database.forEachRow("SELECT request, attempt, signer, record, row_check FROM burn") { row throws(StoreError) in
            let encoded = try Self.readChecked(row)
            guard let outline = BurnRecordOutline(encoded), try outline.request[...] == row.blob(0)[...],
                try outline.attempt == row.number(1), try outline.signer[...] == row.blob(2)[...]
            else { throw row.damage("no record of this decision", 3) }
            for nonce in outline.nonces {
                nonces += 1
                known += try database.number("SELECT count(*) FROM nonce WHERE digest = ?", .bytes(SHA256.hash(Array(nonce))))
            }
        }
        guard nonces == known, try nonces == database.number("SELECT count(*) FROM nonce") else {
            throw .damaged(path: database.path, detail: "its nonces are not those of its records")
        }
    }

    private func translating<Value>(_ work: () async throws(StoreError) -> Value) async throws(JournalError) -> Value {
        do throws(StoreError) { return try await work() } catch { throw JournalError(error) }
    }
}

extension JournalError {
    init(_ error: StoreError) {
        switch error {
        case .heldByAnotherProcess(let path): self = .heldByAnotherProcess(path: path)
        case .damaged(let path, let detail): self = .corrupt(path: path, detail: detail)
        case .storage(let path, let reason): self = .storage(path: path, reason: reason)
        case .newerVersion(let path, _, _), .notOurs(let path): self = .storage(path: path, reason: error.description)
        case .tooLarge, .full, .notFound, .differentStands, .stale: self = .storage(path: "the journal", reason: error.description)
        }
    }
}
