internal import CryptoPrimitives
internal import Signing
internal import SigningNode

/// What a member's disk holds: it outlives the process, and may be lost.
///
/// It keeps what `SessionDatabase` keeps, by the same rules, as far as a signing machine sees them.
final class SimulatedStore {
    struct Row {
        let proposal: [UInt8]
        let new: NewRequest
        var decision = StoredRequest.Decision.undecided
        var serial: UInt64 = 0
        var state = StoredRequest.State.proposed
        var reason = ""
        var completion: [UInt8]?
        var transcript: TranscriptHead
        var updated: UInt64
    }

    private(set) var rows: [Bytes32: Row] = [:]
    private(set) var journal: [BurnRecord] = []
    /// Writes that came to their end, in all lives of the process.
    private(set) var writeCount = 0

    func stored(_ id: Bytes32) -> StoredRequest? {
        self.rows[id].map { row in
            StoredRequest(
                id: id, source: row.new.source, created: row.new.created, expiry: row.new.expiry, updated: row.updated,
                decision: row.decision, decisionSerial: row.serial, state: row.state, reason: row.reason, transcript: row.transcript)
        }
    }

    /// Makes a write durable.
    func perform(_ write: SigningWrite, of id: Bytes32, at time: UInt64) -> SigningWriteResult {
        self.writeCount += 1
        switch write {
        case .request(let new):
            if let standing = self.rows[id], standing.proposal != new.proposal, standing.new.expiry != new.expiry {
                return .failed("another one stands under this name")
            }
            if self.rows[id] == nil {
                self.rows[id] = Row(proposal: new.proposal, new: new, transcript: TranscriptHead(request: id), updated: time)
            }
            return .done(self.stored(id))
        case .decision(let decision, let serial):
            guard let row = self.rows[id] else { return .failed("it is not there") }
            guard serial > row.serial || (serial == row.serial && decision == row.decision) else { return .failed("it is not newer") }
            self.rows[id]?.decision = decision
            self.rows[id]?.serial = serial
        case .burn(let record):
            for other in self.journal where other != record {
                if other.attempt == record.attempt, other.request == record.request { return .failed("it was decided otherwise") }
                if other.transcript != record.transcript, !Set(other.nonces).isDisjoint(with: record.nonces) {
                    return .failed("a nonce was used before")
                }
            }
            if !self.journal.contains(record) { self.journal.append(record) }
        case .state(let state, let reason):
            self.rows[id]?.state = state
            self.rows[id]?.reason = reason
        case .completion(let line): return self.append([line], to: id)
        case .transcript(let lines): return self.append(lines, to: id)
        }
        self.rows[id]?.updated = time
        return .done()
    }

    private func append(_ lines: [TranscriptLine], to id: Bytes32) -> SigningWriteResult {
        guard var head = self.rows[id]?.transcript else { return .failed("it is not there") }
        for line in lines {
            guard (try? head.append(kind: line.kind.rawValue, line.bytes)) != nil else { return .failed("the transcript is full") }
            if line.kind == .completion { self.rows[id]?.completion = line.bytes }
        }
        self.rows[id]?.transcript = head
        return .done()
    }

    /// The disk is gone, or as it was long ago.
    func lose() {
        self.rows = [:]
        self.journal = []
    }
}
