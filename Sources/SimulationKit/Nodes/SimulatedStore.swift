internal import CryptoPrimitives
internal import Signing
internal import SigningNode

/// What a member's disk holds: it outlives the process, and may be full, lost, or put back as it was.
///
/// It keeps what `SessionDatabase` keeps, by the same rules, as far as a signing machine sees them: the writes of simulated runs are held
/// against a `SessionDatabase` by a test. SQLite itself has no place under virtual time, for a database writes on a queue of its own, gathers
/// what comes within a moment, and answers when the disk has.
final class SimulatedStore {
    struct Row {
        let proposal: [UInt8]
        let new: NewRequest
        var decision = StoredRequest.Decision.undecided
        var serial: UInt64 = 0
        var state = StoredRequest.State.proposed
        var reason = ""
        var completion: [UInt8]?
        /// The newest of what a machine that starts has a use for.
        var said: [TranscriptEntry] = []
        var transcript: TranscriptHead
        var updated: UInt64
    }

    /// What stands in the way of writing.
    enum Trouble {
        /// Nothing more fits, for now.
        case full
        /// Of a write nobody knows whether it got there; then no more are taken until the process is started anew.
        case unknown
    }

    private struct Content {
        var rows: [Bytes32: Row] = [:]
        var journal: [BurnRecord] = []
        var byteCount = 0
        var approvals: [Bytes32: StoredApproval] = [:]
    }

    private var content = Content()
    private var copy = Content()
    private var isShut = false
    var trouble: Trouble?
    /// Told of each write that got there, and of what came of it; and whether more became of the disk than writes.
    var whenPerformed: ((SigningWrite, Bytes32, UInt64, SigningWriteResult) -> Void)?
    private(set) var wasReplaced = false

    var rows: [Bytes32: Row] { self.content.rows }
    var journal: [BurnRecord] { self.content.journal }
    var approvals: [Bytes32: StoredApproval] { self.content.approvals }
    /// Bytes of proposals, transcripts and decisions, about.
    var byteCount: Int { self.content.byteCount }

    func stored(_ id: Bytes32) -> StoredRequest? {
        self.rows[id].map { row in
            StoredRequest(
                id: id, source: row.new.source, created: row.new.created, expiry: row.new.expiry, updated: row.updated,
                decision: row.decision, decisionSerial: row.serial, state: row.state, reason: row.reason, transcript: row.transcript)
        }
    }

    /// Makes a write durable, or does not.
    ///
    /// - Parameter getsThere: whether a write of which nobody learns what became of it is on the disk.
    func write(_ write: SigningWrite, of id: Bytes32, at time: UInt64, getsThere: Bool) -> SigningWriteResult {
        if self.isShut { return .failed("a write before it failed: it has to be opened again") }
        switch self.trouble {
        case nil: return self.perform(write, of: id, at: time)
        case .full: return .failed("the disk is full")
        case .unknown:
            if getsThere { _ = self.perform(write, of: id, at: time) }
            self.isShut = true
            return .failed("nobody knows what became of it")
        }
    }

    /// A process opens it anew.
    func open() { self.isShut = false }

    /// What was written gets there.
    func perform(_ write: SigningWrite, of id: Bytes32, at time: UInt64) -> SigningWriteResult {
        let result = self.result(of: write, of: id, at: time)
        self.whenPerformed?(write, id, time, result)
        return result
    }

    private func result(of write: SigningWrite, of id: Bytes32, at time: UInt64) -> SigningWriteResult {
        switch write {
        case .request(let new):
            if self.rows[id] == nil {
                self.content.rows[id] = Row(proposal: new.proposal, new: new, transcript: TranscriptHead(request: id), updated: time)
                self.content.byteCount += new.proposal.count
            }
            return .done(self.stored(id))
        case .decision(let decision, let serial, let reason):
            guard let row = self.rows[id] else { return .failed("it is not there") }
            guard serial > row.serial || (serial == row.serial && decision == row.decision) else { return .failed("it is not newer") }
            self.content.rows[id]?.decision = decision
            self.content.rows[id]?.serial = serial
            self.content.rows[id]?.reason = reason
        case .burn(let record):
            for other in self.journal where other != record {
                if other.attempt == record.attempt, other.request == record.request { return .failed("it was decided otherwise") }
                if other.transcript != record.transcript, !Set(other.nonces).isDisjoint(with: record.nonces) {
                    return .failed("a nonce was used before")
                }
            }
            if !self.journal.contains(record) {
                self.content.journal.append(record)
                self.content.byteCount += record.nonces.count * 98
            }
        case .state(let state, let reason):
            self.content.rows[id]?.state = state
            self.content.rows[id]?.reason = reason
        case .completion(let line): return self.append([line], to: id)
        case .cloneAlarm(let line, let halts):
            for halt in halts { self.content.approvals[halt.group] = halt.approval }
            return self.append([line], to: id)
        case .transcript(let lines): return self.append(lines, to: id)
        }
        self.content.rows[id]?.updated = time
        return .done()
    }

    private func append(_ lines: [TranscriptLine], to id: Bytes32) -> SigningWriteResult {
        guard var head = self.rows[id]?.transcript else { return .failed("it is not there") }
        for line in lines {
            let concludes = line.kind == .completion || line.kind == .cloneAlarm
            guard let entry = try? head.append(kind: line.kind.rawValue, line.bytes, concludes: concludes) else {
                return .failed("the transcript is full")
            }
            if line.kind == .completion { self.content.rows[id]?.completion = line.bytes }
            if SigningMachine.isWorthRecalling(entry) {
                self.content.rows[id]?.said.append(entry)
                if self.rows[id]?.said.count ?? 0 > Self.saidCountMax { self.content.rows[id]?.said.removeFirst() }
            }
            self.content.byteCount += line.bytes.count
        }
        self.content.rows[id]?.transcript = head
        return .done()
    }

    private static let saidCountMax = 256

    func keep(_ approval: StoredApproval, of group: Bytes32) { self.content.approvals[group] = approval }

    // MARK: What becomes of disks

    func keepCopy() { self.copy = self.content }

    /// Whether a copy was kept that knows the request.
    func copyKnows(_ id: Bytes32) -> Bool { self.copy.rows[id] != nil }

    /// It is as it was when the copy was kept: at the start, if none was.
    func goBack() { (self.content, self.wasReplaced) = (self.copy, true) }

    /// All is gone.
    func lose() { (self.content, self.wasReplaced) = (Content(), true) }
}
