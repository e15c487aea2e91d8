import CryptoPrimitives
import Foundation
import SessionStore
import Signing
import SigningNode
import Testing

@testable import SimulationKit

/// What whole nodes write under virtual time, once more into a real database: the simulated disk stands in for it. All computing tests begin at
/// once, so the time of one is that of all.
@Suite(.timeLimit(.minutes(120))) struct SimulatedStoreTests {
    private struct Written {
        let write: SigningWrite
        let request: Bytes32
        let time: UInt64
        let isDone: Bool
    }

    private static func isDone(_ result: SigningWriteResult) -> Bool { if case .done = result { true } else { false } }

    /// Runs a signing, and gives for each member whose disk was neither lost nor put back what got there.
    private static func run(_ seed: UInt64) throws -> [(store: SimulatedStore, written: [Written])] {
        let run = try NodeSigningRun(NodeSigningScenario(seed: seed, memberCounts: 2...4))
        final class Log { var written: [Written] = [] }
        let logs = run.people.map { person in
            let log = Log()
            person.store.whenPerformed = { log.written.append(.init(write: $0, request: $1, time: $2, isDone: Self.isDone($3))) }
            return (person.store, log)
        }
        try run.run()
        return logs.filter { !$0.0.wasReplaced && !$0.1.written.isEmpty }.map { ($0.0, $0.1.written) }
    }

    @Test func `keeps what a database keeps, and refuses what it refuses`() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("simulated-store-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        var (storeCount, writeCount, refusedCount) = (0, 0, 0)
        for seed in UInt64(1)...12 {
            for (store, written) in try Self.run(seed) {
                storeCount += 1
                let database = try await SessionDatabase.open(folder.appendingPathComponent("\(storeCount)").path)
                let writer = SigningWriter(database, RequestBounds())
                for (number, entry) in written.enumerated() {
                    writeCount += 1
                    if !entry.isDone { refusedCount += 1 }
                    let isDone: Bool
                    do {
                        _ = try await writer.perform(entry.write, of: entry.request, at: entry.time)
                        isDone = true
                    } catch { isDone = false }
                    #expect(isDone == entry.isDone, "seed \(seed), write \(number): \(entry.write)")
                }
                for (id, row) in store.rows {
                    let (kept, stored) = (try await database.requests().request(id), store.stored(id))
                    #expect(kept?.decision == stored?.decision && kept?.decisionSerial == stored?.decisionSerial)
                    #expect(kept?.state == stored?.state && kept?.reason == stored?.reason && kept?.expiry == stored?.expiry)
                    #expect(kept?.transcript == stored?.transcript, "seed \(seed)")
                    #expect(try await database.requests().proposal(of: id) == row.proposal)
                    let records = try await database.journal.records(request: id)
                    #expect(Set(records) == Set(store.journal.filter { $0.request == id }))
                }
                await database.close()
            }
        }
        #expect(storeCount > 15 && writeCount > 200, "\(storeCount) \(writeCount)")

        // What no run does all the same: a decision that is not newer, a nonce that was used, another decision for one attempt, and a
        // request that is not there.
        let run = try #require(try (UInt64(1)...6).flatMap { try Self.run($0) }.first { $0.store.journal.count > 0 })
        let database = try await SessionDatabase.open(folder.appendingPathComponent("refusals").path)
        let writer = SigningWriter(database, RequestBounds())
        for entry in run.written { _ = try? await writer.perform(entry.write, of: entry.request, at: entry.time) }
        let record = try #require(run.store.journal.first)
        let other = SHA256.hash([1])
        func changed(attempt: UInt32, transcript: Bytes32) -> SigningWrite {
            .burn(
                BurnRecord(
                    request: record.request, attempt: attempt, signer: record.signer, transcript: transcript,
                    contributions: Array(zip(record.nonces, record.partialSignatures))))
        }
        let refused: [(SigningWrite, Bytes32)] = [
            (.decision(.rejected, serial: 0, reason: ""), record.request),
            (changed(attempt: record.attempt, transcript: other), record.request),
            (changed(attempt: record.attempt + 500, transcript: other), record.request),
            (.decision(.approved, serial: 1, reason: ""), other),
        ]
        for (write, request) in refused {
            #expect(!Self.isDone(run.store.perform(write, of: request, at: 1)), "\(write)")
            await #expect(throws: (any Error).self, "\(write)") { try await writer.perform(write, of: request, at: 1) }
        }
        #expect(Self.isDone(run.store.perform(.burn(record), of: record.request, at: 1)))
        _ = try await writer.perform(.burn(record), of: record.request, at: 1)
        await database.close()
    }
}
