import CryptoPrimitives
import Secp256k1
import Signing
import SigningTestSupport
import Synchronization
import Testing

@testable import SessionStore

struct `What every journal promises` {
    @Test(arguments: JournalPromise.allCases)
    func `holds for a journal in a file`(_ promise: JournalPromise) async throws {
        let folder = try TemporaryFolder()
        let conformance = SessionJournalConformance(
            open: { try await FileJournal.open(folder.file("journal")) },
            // Nothing is written on closing, so this leaves what a crash would leave; the tests with real processes kill for real.
            kill: { await $0.close() })
        try await conformance.check(promise)
    }

    @Test(arguments: JournalPromise.allCases)
    func `holds for a journal in a database`(_ promise: JournalPromise) async throws {
        let folder = try TemporaryFolder()
        let databases = Mutex<[SessionDatabase]>([])
        let conformance = SessionJournalConformance<SQLiteJournal>(
            open: {
                do {
                    let database = try await SessionDatabase.open(folder.file("database"))
                    databases.withLock { $0.append(database) }
                    return database.journal
                } catch let error as StoreError {
                    throw JournalError(error)
                }
            },
            // The tests with real processes kill for real, at each step.
            kill: { _ in await databases.withLock { $0.popLast() }?.close() })
        try await conformance.check(promise)
    }

    @Test(arguments: JournalPromise.allCases)
    func `holds for a journal in memory`(_ promise: JournalPromise) async throws {
        let last = Mutex<InMemoryJournal?>(nil)
        let conformance = SessionJournalConformance<InMemoryJournal>(
            open: {
                let journal = if let dead = last.withLock({ $0 }) { try await dead.reopened() } else { InMemoryJournal() }
                last.withLock { $0 = journal }
                return journal
            },
            kill: { await $0.kill() })
        try await conformance.check(promise)
    }

    @Test func `broken is noticed`() async throws {
        let place = Mutex(ForgetfulJournal())
        let conformance = SessionJournalConformance(
            open: { place.withLock { $0 } }, kill: { _ in place.withLock { $0 = ForgetfulJournal() } })
        for promise in JournalPromise.allCases where promise != .aNewJournalIsEmpty && promise != .forgettingTheUnknownChangesNothing {
            await #expect(throws: (any Error).self, "\(promise)") { try await conformance.check(promise) }
        }
    }
}

struct `A journal in memory` {
    @Test func `refuses once when told to, and records nothing of it`() async throws {
        let journal = InMemoryJournal()
        let record = try Sample.record(request: "a")
        await journal.prepare(.refuse)
        await #expect(throws: JournalError.self) { try await journal.burn(record) }
        #expect(try await journal.records(request: record.request).isEmpty)
        try await journal.burn(record)
        #expect(try await journal.records(request: record.request) == [record])
    }

    @Test(arguments: [(InMemoryJournal.Fault.crashBeforeDurable, 0), (.crashAfterDurable, 1)])
    func `crashes on either side of being durable`(_ fault: InMemoryJournal.Fault, _ survivors: Int) async throws {
        let journal = InMemoryJournal()
        let record = try Sample.record(request: "a")
        await journal.prepare(fault)
        await #expect(throws: JournalError.self) { try await journal.burn(record) }
        await #expect(throws: JournalError.self) { try await journal.records(request: record.request) }
        #expect(try await journal.reopened().records(request: record.request).count == survivors)
    }
}

/// Says yes to everything and keeps only the last record.
private final class ForgetfulJournal: SessionJournal {
    private let last = Mutex<BurnRecord?>(nil)

    func burn(_ record: BurnRecord) { self.last.withLock { $0 = record } }
    func record(request: Bytes32, attempt: UInt32, signer: PublicKey) -> BurnRecord? { nil }
    func records(request: Bytes32) -> [BurnRecord] { self.last.withLock { $0.map { [$0] } ?? [] } }
    func forget(request: Bytes32) {}
}
