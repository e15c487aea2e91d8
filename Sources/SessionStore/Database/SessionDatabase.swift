public import Signing

/// Everything that a node keeps, in one SQLite database that one process holds: the journal of decisions, requests with their
/// transcripts, contacts, groups and the mailbox.
///
/// It runs on a queue of its own, where it may block on the disk without holding up anybody's tasks. What waits there while the disk is
/// busy is written in one transaction, so that many sessions share the price of one synchronisation.
///
///     let database = try await SessionDatabase.open("chorale.db")
///     let manager = SigningSessionManager(journal: database.journal)
public actor SessionDatabase {
    public nonisolated let path: String

    private let lazyMilliseconds: Int
    private nonisolated let executor: QueueExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    private var database: Database?  // from when it was loaded until it is closed
    private var waiting: [Waiting] = []
    private var isCommitEnqueued = false
    private var isFlushEnqueued = false

    /// Parts of one transaction. Source: Chorale's own bound, so that one commit does not keep the others waiting for long.
    private static let partCountMax = 1_000
    /// How long a power cut may undo what was written lazily, in milliseconds. Source: Chorale's own bound.
    package static let lazyMilliseconds = 1_000

    // MARK: - Opening and closing

    /// Opens the database, or makes it where there is none; its folder must exist. Reads all of it once, to check it.
    public static func open(_ path: String) async throws(StoreError) -> SessionDatabase { try await self.open(path, vfs: nil) }

    /// The same through another access to files than the system's, by the name under which SQLite knows it, and with another time for lazy
    /// writes.
    package static func open(
        _ path: String, vfs: String?, lazyMilliseconds: Int = SessionDatabase.lazyMilliseconds
    ) async throws(StoreError) -> SessionDatabase {
        let database = SessionDatabase(at: path, lazyMilliseconds)
        try await database.load(vfs)
        return database
    }

    private init(at path: String, _ lazyMilliseconds: Int) {
        self.path = path
        self.lazyMilliseconds = lazyMilliseconds
        self.executor = QueueExecutor(label: "chorale.database")
    }

    /// On its own queue, for it reads the whole file.
    private func load(_ vfs: String?) throws(StoreError) {
        let database = try Database(opening: self.path, migrations: Schema.migrations, vfs: vfs)
        try SQLiteJournal.checkAll(database)
        self.database = database
    }

    /// Ends the use of the file, so that it can be opened again. What waits is written first; what comes later is refused.
    public func close() {
        self.commit()
        self.flushNow()
        self.database = nil
    }

    /// The decisions to sign.
    public nonisolated var journal: SQLiteJournal { SQLiteJournal(self) }

    public nonisolated func requests(within bounds: RequestBounds = RequestBounds()) -> SQLiteRequestStore {
        SQLiteRequestStore(self, bounds)
    }

    public nonisolated var contacts: SQLiteContactStore { SQLiteContactStore(self) }
    public nonisolated var groups: SQLiteGroupStore { SQLiteGroupStore(self) }
    public nonisolated var approvals: SQLiteApprovalStore { SQLiteApprovalStore(self) }
    public nonisolated var standings: SQLitePeerStandingStore { SQLitePeerStandingStore(self) }

    public nonisolated func mailbox(within bounds: MailboxBounds = MailboxBounds()) -> SQLiteMailboxStore {
        SQLiteMailboxStore(self, bounds)
    }

    // MARK: - Reading

    /// Asks the database between two transactions: what is seen was committed.
    func read<Value: Sendable>(_ work: @Sendable (Database) throws(StoreError) -> Value) throws(StoreError) -> Value {
        guard let database = self.database else { throw self.closed }
        return try work(database)
    }

    private var closed: StoreError { .storage(path: self.path, reason: "it was closed; open it again") }

    // MARK: - Writing together

    private struct Waiting {
        let durability: Database.Durability
        /// Decisions to sign come in where others find the store full.
        let isDecision: Bool
        /// Does its part of the transaction; gives what to do once all of it is committed.
        let perform: (Database) throws(StoreError) -> () -> Void
        /// Answers when its part was refused, or the whole transaction failed.
        let refuse: (StoreError) -> Void
    }

    /// Does `work` as one part of the next transaction, and returns when that counts.
    ///
    /// - Parameter afterFailure: What to answer when the transaction failed, from what was committed before.
    func write<Value: Sendable>(
        _ durability: Database.Durability = .durable, isDecision: Bool = false,
        _ work: @escaping @Sendable (Database) throws(StoreError) -> Value,
        afterFailure: @escaping @Sendable (Database, StoreError) -> Result<Value, StoreError> = { .failure($1) }
    ) async throws(StoreError) -> Value {
        let outcome: Result<Value, StoreError> = await withCheckedContinuation { continuation in
            self.waiting.append(
                Waiting(
                    durability: durability, isDecision: isDecision,
                    perform: { database throws(StoreError) in
                        let value = try work(database)
                        return { continuation.resume(returning: .success(value)) }
                    },
                    refuse: { error in
                        continuation.resume(returning: self.database.map { afterFailure($0, error) } ?? .failure(error))
                    }))
            self.enqueueCommit()
        }
        return try outcome.get()
    }

    /// The queue is first in, first out, so the commit comes after every call that waited while the disk was busy.
    private func enqueueCommit() {
        guard !self.isCommitEnqueued else { return }
        self.isCommitEnqueued = true
        self.executor.enqueueLast { self.assumeIsolated { $0.commit() } }
    }

    /// Writes everything that waits, with as few transactions as its count allows.
    private func commit() {
        self.isCommitEnqueued = false
        var rest = self.waiting[...]
        self.waiting = []
        while !rest.isEmpty {
            self.commit(rest.prefix(Self.partCountMax))
            rest = rest.dropFirst(Self.partCountMax)
        }
        // Behind the answers: who waited for a decision does not wait for this.
        self.database?.checkpointIfWorthwhile()
        self.enqueueFlush()
    }

    private func commit(_ parts: ArraySlice<Waiting>) {
        guard let database = self.database else {
            for part in parts { part.refuse(self.closed) }
            return
        }
        let durability: Database.Durability = parts.contains { $0.durability == .durable } ? .durable : .lazy
        let answers: [() -> Void]
        do throws(StoreError) {
            answers = try database.transaction(durability) { () throws(StoreError) in
                try Self.perform(parts, in: database)
            }
        } catch {
            for part in parts { part.refuse(error) }
            return
        }
        for answer in answers { answer() }
    }

    /// Does all parts. One that is refused for its own sake leaves the others be; an error of the store ends them all.
    private static func perform(_ parts: ArraySlice<Waiting>, in database: Database) throws(StoreError) -> [() -> Void] {
        let isNearlyFull = try database.usedPageCount() >= Database.pageCountForOthersMax
        var answers: [() -> Void] = []
        for part in parts {
            do throws(StoreError) {
                answers.append(
                    try database.part { () throws(StoreError) in
                        let answer = try part.perform(database)
                        if isNearlyFull, !part.isDecision, try database.usedPageCount() > Database.pageCountForOthersMax {
                            throw .full(.store, limit: Database.pageCountForOthersMax * Database.pageByteCount)
                        }
                        return answer
                    })
            } catch {
                guard error.isAboutItem else { throw error }
                answers.append { part.refuse(error) }
            }
        }
        return answers
    }

    // MARK: - Lazy writes

    /// Makes everything durable that was written lazily, now.
    public func flush() throws(StoreError) {
        guard let database = self.database else { throw self.closed }
        try database.flush()
    }

    private func flushNow() {
        self.isFlushEnqueued = false
        // A failure ends all writing, and the next write tells it.
        do throws(StoreError) { try self.database?.flush() } catch {}
    }

    private func enqueueFlush() {
        guard !self.isFlushEnqueued, self.database?.hasLazyCommits == true else { return }
        self.isFlushEnqueued = true
        self.executor.enqueue(afterMilliseconds: self.lazyMilliseconds) { [weak self] in self?.assumeIsolated { $0.flushNow() } }
    }

    // MARK: - Backup

    /// Copies the database as it is at the end of the copying into a new file, which has its name only when it is whole and durable.
    ///
    /// Others go on reading and writing meanwhile. A journal that is put back from a copy is safe for the keys, for secret nonces never
    /// outlive their process; requests that it does not know as signed are signed again with fresh ones.
    ///
    /// When its task is cancelled, nothing is left of the copy.
    ///
    /// - Parameter isReplacing: whether a file that has the name makes way.
    public func backUp(to path: String, replacing isReplacing: Bool = false) async throws(StoreError) {
        guard let database = self.database else { throw self.closed }
        let backup = try DatabaseBackup(of: database, to: path, replacing: isReplacing)
        while try !backup.step() {
            await Task.yield()
            guard self.database != nil else { throw self.closed }
            guard !Task.isCancelled else { throw .storage(path: path, reason: "the copying was called off") }
        }
        try backup.finish()
    }
}
