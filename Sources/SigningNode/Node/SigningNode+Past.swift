internal import CryptoPrimitives
internal import LibP2PPosix
internal import SessionStore
internal import Signing

// Requests that no machine answers for any more, as the store keeps them: for 30 days after their end.

extension SigningNode {
    /// Those that are over and that ``requests`` does not have, without the transactions that they led to.
    public var pastRequests: [RequestSummary] {
        get async throws(SigningNodeError) {
            var found: [RequestSummary] = []
            for stored in try await self.pastStored() {
                if let summary = try await self.summary(of: stored, withCompletion: false) { found.append(summary) }
            }
            return found
        }
    }

    /// Those of them whose ids begin with these hex digits, in lowercase, each with its transaction if it is complete.
    public func pastRequests(named digits: String) async throws(SigningNodeError) -> [RequestSummary] {
        var found: [RequestSummary] = []
        for stored in try await self.pastStored() where "\(stored.id)".hasPrefix(digits) {
            if let summary = try await self.summary(of: stored, withCompletion: true) { found.append(summary) }
        }
        return found
    }

    private func pastStored() async throws(SigningNodeError) -> [StoredRequest] {
        let living = Set(try await self.requests.map(\.id))
        let requests = self.database.requests(within: self.configuration.requests)
        var found: [Bytes32: StoredRequest] = [:]
        for state in StoredRequest.State.allCases where !state.isOpen {
            var last: Bytes32?
            while true {
                let page: [StoredRequest]
                do { page = try await requests.requests(in: state, after: last, countMax: Self.pageCount) } catch { throw .store(error) }
                guard let end = page.last?.id else { break }
                for stored in page where !living.contains(stored.id) { found[stored.id] = stored }
                last = end
            }
        }
        return found.values.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
    }

    private func summary(of stored: StoredRequest, withCompletion: Bool) async throws(SigningNodeError) -> RequestSummary? {
        let requests = self.database.requests(within: self.configuration.requests)
        let proposal: [UInt8]?, records: [BurnRecord]
        do { proposal = try await requests.proposal(of: stored.id) } catch { throw .store(error) }
        do { records = try await self.database.journal.records(request: stored.id) } catch { throw .journal(error) }
        guard let proposal else { return nil }
        let (completion, broadcast): ([UInt8]?, TranscriptEntry?)
        if stored.state == .complete {
            completion = withCompletion ? try await self.history(of: stored, requests).completion : nil
            do { broadcast = try await requests.firstEntry(of: TranscriptLine.Kind.broadcast.rawValue, in: stored.id) } catch {
                throw .store(error)
            }
        } else {
            (completion, broadcast) = (nil, nil)
        }
        return try await self.update { machine, now in
            machine.past(stored, proposal: proposal, records: records, completion: completion, broadcast: broadcast, now: now)
        }
    }

    /// The transaction of a request that only the store has was seen. Said once more it changes nothing.
    func noteBroadcastOfPast(_ id: Bytes32) async throws(SigningNodeError) {
        guard let past = try await self.pastRequests(named: "\(id)").first else { throw .machine(.unknownRequest) }
        guard past.state == .complete else { throw .machine(.notComplete(past.state)) }
        guard past.broadcastSeenAt == nil else { return }
        let time = WallClock.secondsSince1970
        let line = SigningMachine.broadcastLine(at: time)
        self.record.store.pendingCount += 1
        let result: Result<Void, StoreError>
        do throws(StoreError) {
            _ = try await self.database.requests(within: self.configuration.requests)
                .append([NewTranscriptEntry(kind: line.kind.rawValue, bytes: line.bytes)], to: id, at: time)
            self.record.wrote()
            result = .success(())
        } catch {
            self.record.failed(error, at: time)
            result = .failure(error)
        }
        self.hasWritten()
        do { try result.get() } catch { throw .store(error) }
    }
}
