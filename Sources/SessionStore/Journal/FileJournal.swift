public import CryptoPrimitives
public import Secp256k1
public import Signing

/// A `SessionJournal` in one file, which only ever grows, and is held by one process at a time.
///
/// `burn` returns once its record is on the medium. Burns that come while the disk is busy are made durable together, so many
/// concurrent sessions share the price of one write. The actor runs on a queue of its own and blocks nobody else's tasks.
///
/// A crash can leave the last write unfinished; opening cuts it off and says so in `tornTail`. Nothing of it was released. Damage
/// anywhere before is refused with its offset. (A last write damaged *after* it was durable looks the same as an unfinished one.)
///
/// When a write fails, for example on a full disk, the file is taken back to what it was, and later burns may succeed. When that
/// is not certain, only what stands already is confirmed until the journal is opened again. At most 256 MiB.
public actor FileJournal: SessionJournal {
    /// What a crash left unfinished at the end of the file.
    public struct TornTail: Equatable, Sendable {
        /// Where it began, and the file ends since.
        public let offset: Int
        public let byteCount: Int
    }

    public nonisolated let path: String
    /// What opening had to cut off.
    public nonisolated let tornTail: TornTail?

    private nonisolated let executor: QueueExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    private var file: JournalFile?  // until it is closed
    private var ledger: BurnLedger
    /// Bytes of entries that nobody needs any more.
    private var forgottenByteCount: Int
    private var waiting: [Waiting] = []
    private var isCommitEnqueued = false

    // MARK: - Opening and closing

    /// Opens the journal, or makes it where there is none; its folder must exist.
    ///
    /// - Throws: `heldByAnotherProcess` while it is open elsewhere, in this process too; `damaged` with the offset; `storage`.
    public static func open(_ path: String) async throws(JournalError) -> FileJournal {
        let executor = QueueExecutor(label: "chorale.journal")
        let opened: Result<FileJournal, JournalError> = await withCheckedContinuation { continuation in
            executor.enqueueLast {
                continuation.resume(returning: Result { () throws(JournalError) in try FileJournal(opening: path, executor) })
            }
        }
        return try opened.get()
    }

    private init(opening path: String, _ executor: QueueExecutor) throws(JournalError) {
        var file = try JournalFile(opening: path)
        let (entries, tornTail) = try file.load()
        var (ledger, forgottenByteCount) = (BurnLedger(), 0)
        for (entry, offset) in entries {
            switch entry {
            case .burn(let record):
                // Nothing of the kind is ever written, so it cannot be told which of the two records is the true one.
                guard (try? ledger.judge(record)) == .new else { throw .damaged(path: path, offset: offset) }
                ledger.insert(record)
            case .forget(let request):
                forgottenByteCount += Self.byteCount(forgotten: ledger.forget(request: request))
            }
        }
        self.path = path
        self.tornTail = tornTail
        self.executor = executor
        self.file = consume file
        self.ledger = ledger
        self.forgottenByteCount = forgottenByteCount
    }

    /// Ends the use of the file, so that it can be opened again. What waits is written first; what comes later is refused.
    public func close() {
        self.commit()
        self.file = nil
    }

    // MARK: - The journal

    public func burn(_ record: BurnRecord) async throws(JournalError) {
        try await self.write(.burn(record))
    }

    public func record(request: Bytes32, attempt: UInt32, signer: PublicKey) throws(JournalError) -> BurnRecord? {
        self.ledger.record(request: request, attempt: attempt, signer: signer)
    }

    public func records(request: Bytes32) throws(JournalError) -> [BurnRecord] {
        self.ledger.records(request: request)
    }

    /// Everything that the journal holds, by request, then attempt, then signer.
    public func records() -> [BurnRecord] {
        self.ledger.allRecords.sorted { ($0.request, $0.attempt, $0.signer) < ($1.request, $1.attempt, $1.signer) }
    }

    /// Drops a request's records and their nonces. The file shrinks when more than half of it is forgotten, or when it is nearly full.
    public func forget(request: Bytes32) async throws(JournalError) {
        try await self.write(.forget(request: request))
    }

    // MARK: - Writing together

    private struct Waiting {
        let entry: JournalEntry
        let continuation: CheckedContinuation<Result<Void, JournalError>, Never>
    }

    /// Waits its turn. The queue is first in, first out, so the commit comes after every call that waited while the disk was busy.
    private func write(_ entry: JournalEntry) async throws(JournalError) {
        let outcome: Result<Void, JournalError> = await withCheckedContinuation { continuation in
            self.waiting.append(Waiting(entry: entry, continuation: continuation))
            guard !self.isCommitEnqueued else { return }
            self.isCommitEnqueued = true
            self.executor.enqueueLast { self.assumeIsolated { $0.commit() } }
        }
        try outcome.get()
    }

    /// Makes everything that waits durable, with as few writes as its size allows.
    private func commit() {
        self.isCommitEnqueued = false
        var rest = self.waiting[...]
        self.waiting = []
        while !rest.isEmpty { self.commitFirst(of: &rest) }
    }

    /// Takes as many as fit into one frame, writes them, and answers.
    private func commitFirst(of rest: inout ArraySlice<Waiting>) {
        var staged = Stage()
        while let next = rest.first, self.stage(next, in: &staged) { rest.removeFirst() }

        var outcome: Result<Void, JournalError> = .success(())
        do throws(JournalError) {
            if !staged.payload.isEmpty { try self.append(staged.payload, onlyForgets: staged.inserted.isEmpty) }
            self.forgottenByteCount += Self.byteCount(forgotten: staged.forgotten)
        } catch {
            for record in staged.inserted { self.ledger.remove(record) }
            for record in staged.forgotten { self.ledger.insert(record) }
            outcome = .failure(error)
        }
        for (waiting, verdict) in staged.verdicts {
            switch outcome {
            case .success: waiting.continuation.resume(returning: verdict)
            case .failure(let error): waiting.continuation.resume(returning: self.verdict(on: waiting.entry, afterFailing: error))
            }
        }
        if !staged.forgotten.isEmpty { self.shrinkIfWorthwhile() }
    }

    /// What one write will hold; the ledger has it already, so that each entry is judged with those before it.
    private struct Stage {
        var payload: [UInt8] = []
        var inserted: [BurnRecord] = []
        var forgotten: [BurnRecord] = []
        var verdicts: [(Waiting, Result<Void, JournalError>)] = []
    }

    /// False when the entry does not fit any more.
    private func stage(_ waiting: Waiting, in stage: inout Stage) -> Bool {
        let encoded = JournalFormat.encode(waiting.entry)
        let isFirst = stage.payload.isEmpty
        guard isFirst || stage.payload.count + encoded.count <= JournalFormat.payloadByteCountMax else { return false }
        // A forgotten request's records come back if the write fails, so nothing new of that request may stand beside it.
        guard stage.forgotten.isEmpty else { return false }
        do throws(JournalError) {
            switch waiting.entry {
            case .burn(let record):
                if try self.ledger.judge(record) == .new {
                    stage.payload += encoded
                    stage.inserted.append(record)
                    self.ledger.insert(record)
                }
            case .forget(let request):
                // Likewise, records inserted by this write are not forgotten by it.
                guard stage.inserted.isEmpty else { return false }
                stage.forgotten = self.ledger.forget(request: request)
                if !stage.forgotten.isEmpty { stage.payload += encoded }
            }
            stage.verdicts.append((waiting, .success(())))
        } catch {
            stage.verdicts.append((waiting, .failure(error)))
        }
        return true
    }

    private func append(_ payload: [UInt8], onlyForgets: Bool) throws(JournalError) {
        guard self.file != nil else { throw .storage(path: self.path, reason: "it was closed; open it again") }
        try self.file?.append(payload, onlyForgets: onlyForgets)
    }

    /// The verdict from what was durable before: one that rested on a record of the failed write would not be true any more.
    private func verdict(on entry: JournalEntry, afterFailing error: JournalError) -> Result<Void, JournalError> {
        switch entry {
        case .burn(let record):
            Result { () throws(JournalError) in try self.ledger.judge(record) }
                .flatMap { $0 == .repeated ? .success(()) : .failure(error) }
        case .forget(let request):
            self.ledger.records(request: request).isEmpty ? .success(()) : .failure(error)
        }
    }

    // MARK: - Shrinking

    /// Writes the file anew when more than half of it is forgotten, or when it must make room. A failure changes nothing: the longer file is as good.
    private func shrinkIfWorthwhile() {
        guard let byteCount = self.file?.byteCount, let isNearlyFull = self.file?.isNearlyFull,
            self.forgottenByteCount > byteCount / 2 || isNearlyFull
        else { return }
        var payloads: [[UInt8]] = []
        for record in self.ledger.allRecords {
            let encoded = JournalFormat.encode(.burn(record))
            if let last = payloads.indices.last, payloads[last].count + encoded.count <= JournalFormat.payloadByteCountMax {
                payloads[last] += encoded
            } else {
                payloads.append(encoded)
            }
        }
        do throws(JournalError) {
            try self.file?.rewrite(payloads)
            self.forgottenByteCount = 0
        } catch {
            // `forget` did what it promised. What the failure means for later writes, the file itself knows.
        }
    }

    /// The bytes that forgotten records take in the file, with the entry that forgets them.
    private static func byteCount(forgotten records: [BurnRecord]) -> Int {
        guard let first = records.first else { return 0 }
        return records.reduce(JournalFormat.encode(.forget(request: first.request)).count) {
            $0 + JournalFormat.encode(.burn($1)).count
        }
    }
}
