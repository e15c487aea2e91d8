package import CryptoPrimitives
package import SessionStore
package import Signing

/// What a signing machine has made durable, in a database.
package struct SigningWriter: Sendable {
    private let database: SessionDatabase
    private let requests: SQLiteRequestStore

    package init(_ database: SessionDatabase, _ bounds: RequestBounds) {
        self.database = database
        self.requests = database.requests(within: bounds)
    }

    /// - Returns: of a request what stands under its id now.
    /// - Throws: why it is not durable.
    package func perform(_ write: SigningWrite, of request: Bytes32, at time: UInt64) async throws -> StoredRequest? {
        switch write {
        case .request(let new):
            // Proposed once more on other terms it is the same request: what stands stays.
            do throws(StoreError) { try await self.requests.add(new) } catch .differentStands {}
            return try await self.requests.request(request)
        case .decision(let decision, let serial, let reason):
            try await self.requests.decide(decision, serial: serial, reason: reason, about: request, at: time)
        case .burn(let record): try await self.database.journal.burn(record)
        case .state(let state, let reason): try await self.requests.setState(state, reason: reason, of: request, at: time)
        case .transcript(let lines): try await self.append(lines, to: request, at: time)
        case .completion(let line):
            try await self.requests.conclude(request, with: NewTranscriptEntry(kind: line.kind.rawValue, bytes: line.bytes), at: time)
        case .cloneAlarm(let line, let halts):
            let entry = NewTranscriptEntry(kind: line.kind.rawValue, bytes: line.bytes)
            try await self.requests.raise(entry, about: request, halting: halts, at: time)
        }
        return nil
    }

    /// Where one source's share is full, the lines of the others are kept all the same.
    private func append(_ lines: [TranscriptLine], to request: Bytes32, at time: UInt64) async throws(StoreError) {
        let entries = lines.map { NewTranscriptEntry(kind: $0.kind.rawValue, bytes: $0.bytes, source: $0.source) }
        let full: StoreError
        do throws(StoreError) {
            try await self.requests.append(entries, to: request, at: time)
            return
        } catch {
            guard case .full(.source, _) = error else { throw error }
            full = error
        }
        for source in Set(entries.map(\.source)) {
            do throws(StoreError) {
                try await self.requests.append(entries.filter { $0.source == source }, to: request, at: time)
            } catch {
                guard case .full(.source, _) = error else { throw error }
            }
        }
        throw full
    }
}
