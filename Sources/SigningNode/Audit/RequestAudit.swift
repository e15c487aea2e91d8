public import Bitcoin
public import CryptoPrimitives
public import Secp256k1
public import Signing

/// What a transcript shows.
public struct RequestAudit: Sendable {
    /// Who said it, in which entry first, and what it means. The sender's identity has signed it, and its key has enrolled that identity.
    public struct Word: Hashable, Sendable {
        public let sequence: UInt32
        public let signer: PublicKey
        public let meaning: Meaning
    }

    public enum Meaning: Hashable, Sendable {
        case approved
        case refused(RefusalReason)
        case cancelled
        /// Coordinated this attempt, upon this transcript T1.
        case began(attempt: UInt32, transcript: Bytes32)
        /// Gave partial signatures in this attempt, under this transcript T1.
        case signed(attempt: UInt32, transcript: Bytes32)
    }

    public let id: Bytes32
    public let request: SigningRequest
    public let proposer: PublicKey
    public let terms: RequestTerms
    public let members: [PublicKey]
    public let threshold: Int
    /// Each once, in the order in which they were written down.
    public let words: [Word]
    /// Entries that cannot be read, or whose signatures do not verify under the enrolments in the transcript: they show nothing.
    public let unreadable: [UInt32]
    /// Whose own signed statements prove a fault, each fault once.
    public let faults: [(signer: PublicKey, fault: Evidence.Fault)]
    /// Of whom one nonce has served two transcripts, each once: a copy of that signer's machine may have run. No fault is proved by it.
    public let cloneAlarms: [CloneAlarm]
    /// Evidence that proves nothing.
    public let unprovedCount: Int
    /// The signed transaction, where the transcript holds signatures that complete it; they were verified.
    public let transaction: Transaction?
}

extension RequestTranscript {
    /// Verifies every signature in it, and says what that shows.
    ///
    /// - Throws: `malformed` where the proposal is not signed by a member, or is not of this group.
    public func audit() async throws(StatementError) -> RequestAudit {
        let policy: any SpendingPolicy
        do throws(SigningError) { policy = try await self.record.policy() } catch { throw .malformed("transcript: its group: \(error)") }
        var roster = Roster(members: policy.members, network: self.network, enrolments: self.enrolments)
        guard let (request, proposal) = try Coordination.proposal(in: self.proposal, roster: roster),
            case .proposal(let terms) = proposal.body
        else { throw .malformed("transcript: it begins with no proposal") }
        _ = roster.learn(proposal.enrolment)
        let coordination: Coordination
        do throws(SigningError) {
            coordination = try Coordination(
                request: request, proposal: proposal, policy: policy, roster: roster, enrolment: proposal.enrolment,
                incarnation: Incarnation(known: [UInt8](repeating: 0, count: Incarnation.byteCount)))
        } catch { throw .malformed("transcript: its proposal: \(error)") }
        var reading = Reading(roster: roster, coordination: coordination)
        for entry in self.entries { reading.take(entry) }
        return RequestAudit(
            id: request.digest, request: request, proposer: proposal.sender, terms: terms, members: policy.members,
            threshold: policy.threshold, words: reading.words, unreadable: reading.unreadable, faults: reading.faults,
            cloneAlarms: reading.cloneAlarms, unprovedCount: reading.unprovedCount, transaction: reading.coordination.transaction)
    }
}

/// Goes through a transcript's entries.
private struct Reading: ~Copyable {
    let roster: Roster
    /// Verifies what completes.
    var coordination: Coordination
    var words: [RequestAudit.Word] = []
    var unreadable: [UInt32] = []
    var faults: [(signer: PublicKey, fault: Evidence.Fault)] = []
    var cloneAlarms: [CloneAlarm] = []
    var unprovedCount = 0
    private var said: Set<RequestAudit.Word> = []

    init(roster: Roster, coordination: consuming Coordination) {
        self.roster = roster
        self.coordination = coordination
    }

    mutating func take(_ entry: TranscriptEntry) {
        switch TranscriptLine.Kind(rawValue: entry.kind) {
        case .received?: self.take(entry.bytes.dropFirst(Ed25519.PublicKey.byteCount), entry.sequence)
        case .sent?: self.take(entry.bytes.dropFirst(PublicKey.byteCount), entry.sequence)
        case .completion?: self.take(entry.bytes[...], entry.sequence)
        case .evidence?: self.judge(entry)
        case .cloneAlarm?: self.takeAlarm(entry)
        // The owner's own word, which nobody signed: it shows nothing of anybody.
        case .broadcast?: break
        case nil: self.unreadable.append(entry.sequence)
        }
    }

    private mutating func judge(_ entry: TranscriptEntry) {
        guard let evidence = try? Evidence(parsing: entry.bytes), evidence.request.digest == self.coordination.requestDigest else {
            return self.unreadable.append(entry.sequence)
        }
        switch evidence.verdict() {
        case .proved(let signer, let fault):
            if !self.faults.contains(where: { $0.signer == signer && $0.fault == fault }) { self.faults.append((signer, fault)) }
        case .nothingProved: self.unprovedCount += 1
        }
    }

    private mutating func takeAlarm(_ entry: TranscriptEntry) {
        guard let (alarm, _) = SigningMachine.alarm(in: entry), alarm.isAbout(self.coordination.requestDigest) else {
            return self.unreadable.append(entry.sequence)
        }
        if !self.cloneAlarms.contains(where: { $0.signer == alarm.signer }) { self.cloneAlarms.append(alarm) }
    }

    private mutating func take(_ message: ArraySlice<UInt8>, _ sequence: UInt32) {
        guard let head = try? CoordinationMessage.Head(parsing: Array(message)), head.request == self.coordination.requestDigest,
            let content = try? head.content(self.roster)
        else { return self.unreadable.append(sequence) }
        switch content {
        case .approval(_, _, let statement), .partialSignatures(let statement), .refusal(let statement), .cancellation(let statement):
            self.note(statement, sequence)
        case .begin(let statement, let approvals):
            for approval in approvals { self.note(approval, sequence) }
            self.note(statement, sequence)
        case .complete(let signatures): self.coordination.restore(signatures, now: Moment(uptime: .zero, time: 0))
        case .commitments(_, let commitments): for commitment in commitments { self.note(commitment, sequence) }
        case .opening(_, let approval): self.note(approval, sequence)
        case .proposal, .acknowledgement, .standing, .renewal, .evidence, .enrolments, .enrolmentsWanted, .nonceUse, .cloneAlarm,
            .pooledNonces:
            break
        }
    }

    private mutating func note(_ statement: Statement, _ sequence: UInt32) {
        let meaning: RequestAudit.Meaning
        switch statement.body {
        // With nonces, or with a commitment to some: either is a yes.
        case .approval, .commitment: meaning = .approved
        case .refusal(_, let reason): meaning = .refused(reason)
        case .cancellation: meaning = .cancelled
        case .begin(_, let transcript): meaning = .began(attempt: statement.attempt, transcript: transcript)
        case .partialSignatures(let transcript, _): meaning = .signed(attempt: statement.attempt, transcript: transcript)
        // Given ahead, and about no request by itself.
        case .pooledNonces: return
        case .presence, .set, .nonces, .proposal: return self.unreadable.append(sequence)
        }
        guard statement.request == self.coordination.requestDigest else { return self.unreadable.append(sequence) }
        // Once each: the first entry in which it stands.
        guard self.said.insert(RequestAudit.Word(sequence: 0, signer: statement.sender, meaning: meaning)).inserted else { return }
        self.words.append(RequestAudit.Word(sequence: sequence, signer: statement.sender, meaning: meaning))
    }
}
