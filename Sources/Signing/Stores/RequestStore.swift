public import CryptoPrimitives

/// What a signer keeps of the requests that it was asked for, so that a restart goes on where the process ended.
///
/// A decision is durable before `decide` returns. Transcript entries and passing states outlive the process at once and a power cut with the
/// next durable write, or within a second: who must be sure calls `flush`.
public protocol RequestStore: Sendable {
    /// Keeps a new request; one that is there already with the same proposal changes nothing.
    ///
    /// - Throws: `differentStands` when its id has another proposal; `full` by the bound that is reached; `tooLarge`.
    func add(_ request: NewRequest) async throws(StoreError)

    func request(_ id: Bytes32) async throws(StoreError) -> StoredRequest?

    /// The signed bytes that the request came as.
    func proposal(of id: Bytes32) async throws(StoreError) -> [UInt8]?

    /// Requests in a state in the order of their ids, at most so many, from behind `id` on.
    func requests(in state: StoredRequest.State, after id: Bytes32?, countMax: Int) async throws(StoreError) -> [StoredRequest]

    /// Makes our decision durable, and with it why it stands as it does, if that is to be said. The same one under the same serial changes
    /// nothing.
    ///
    /// - Throws: `stale` unless the serial is above the one that stands.
    func decide(
        _ decision: StoredRequest.Decision, serial: UInt64, reason: String, about id: Bytes32, at now: UInt64
    ) async throws(StoreError)

    /// Notes where the request is, and why. An end is durable before this returns.
    func setState(_ state: StoredRequest.State, reason: String, of id: Bytes32, at now: UInt64) async throws(StoreError)

    /// Adds entries to the transcript, all or none; gives its new end. Each counts for whoever said it, and not for the request's proposer:
    /// nobody fills another's share.
    @discardableResult
    func append(_ entries: [NewTranscriptEntry], to id: Bytes32, at now: UInt64) async throws(StoreError) -> TranscriptHead

    /// Adds the entry that says how a request was completed. It has room whatever else was written, for nobody may take it away.
    ///
    /// - Throws: `tooLarge`; `full` when a transcript has so many of them that something is wrong.
    @discardableResult
    func conclude(_ id: Bytes32, with entry: NewTranscriptEntry, at now: UInt64) async throws(StoreError) -> TranscriptHead

    /// Adds the entry that says that a signer's machine may run twice, and puts what it halts in place of what stands: all of it is durable
    /// when this returns, or none is. It has room whatever else was written; where even that is used up, where the entry is longer than any may
    /// be, and where the request is not there any more, the halts are kept alone. A group that is not there any more has nothing to halt.
    func raise(
        _ alarm: NewTranscriptEntry, about id: Bytes32, halting halts: [ApprovalHalt], at now: UInt64
    ) async throws(StoreError)

    /// Entries behind the sequence, at most so many and, but for the first, so many bytes. Their chain is verified, up to the transcript's end.
    func transcript(
        of id: Bytes32, after sequence: UInt32, countMax: Int, byteCountMax: Int
    ) async throws(StoreError) -> [TranscriptEntry]

    /// Removes requests that are over and were last changed before that time, with their transcripts and decisions; gives their ids.
    ///
    /// One that may still complete is never removed by this, nor one that ended without a signature after we gave partial ones.
    func removeOver(updatedBefore time: UInt64, countMax: Int) async throws(StoreError) -> [Bytes32]

    /// Returns when everything that was written is durable.
    func flush() async throws(StoreError)
}

/// A request as it comes.
public struct NewRequest: Hashable, Sendable {
    /// T0.
    public let id: Bytes32
    /// Who the request counts for: the peer or household that brought it; `nil` for our own, which only the bound on all stops.
    public let source: String?
    /// The signed proposal.
    public let proposal: [UInt8]
    /// Seconds since 1970.
    public let created: UInt64
    /// Seconds since 1970; 0 for never.
    public let expiry: UInt64

    public init(id: Bytes32, source: String?, proposal: [UInt8], created: UInt64, expiry: UInt64) {
        self.id = id
        self.source = source
        self.proposal = proposal
        self.created = created
        self.expiry = expiry
    }
}

/// An entry for a transcript.
public struct NewTranscriptEntry: Hashable, Sendable {
    public let kind: UInt8
    public let bytes: [UInt8]
    /// Who its bytes count for, as `NewRequest.source`; `nil` for our own, which only the bound on all stops.
    public let source: String?

    public init(kind: UInt8, bytes: [UInt8], source: String? = nil) {
        self.kind = kind
        self.bytes = bytes
        self.source = source
    }
}

/// A request as it is kept, without its proposal.
public struct StoredRequest: Hashable, Sendable {
    /// Ours, whatever the others decide. The numbers are stored.
    public enum Decision: UInt8, CaseIterable, Sendable {
        case undecided = 0
        case approved = 1
        case rejected = 2
        case withdrawn = 3
        /// By its proposer, for everybody.
        case cancelled = 4
    }

    /// Where the request was last. The numbers are stored.
    public enum State: UInt8, CaseIterable, Sendable {
        case proposed = 0
        case approved = 1
        case signing = 2
        case complete = 3
        case rejected = 4
        case withdrawn = 5
        case expired = 6
        case aborted = 7
        /// Ended for us, while others hold partial signatures of ours: its coins stay reserved.
        case endedMayStillComplete = 8

        /// Whether nothing more can come of it.
        public var isOver: Bool {
            switch self {
            case .proposed, .approved, .signing, .endedMayStillComplete: false
            case .complete, .rejected, .withdrawn, .expired, .aborted: true
            }
        }

        /// Whether it takes one of the places for requests that are under way. One that ended here takes none, though its coins stay
        /// reserved: or a proposer's places would be gone for good.
        public var isOpen: Bool {
            switch self {
            case .proposed, .approved, .signing: true
            case .complete, .rejected, .withdrawn, .expired, .aborted, .endedMayStillComplete: false
            }
        }
    }

    public let id: Bytes32
    public let source: String?
    public let created: UInt64
    public let expiry: UInt64
    public package(set) var updated: UInt64
    public package(set) var decision: Decision
    /// Rises with each decision; 0 before the first.
    public package(set) var decisionSerial: UInt64
    public package(set) var state: State
    /// Why it is in this state, for people.
    public package(set) var reason: String
    /// The end of its transcript.
    public package(set) var transcript: TranscriptHead

    package init(
        id: Bytes32, source: String?, created: UInt64, expiry: UInt64, updated: UInt64, decision: Decision, decisionSerial: UInt64,
        state: State, reason: String, transcript: TranscriptHead
    ) {
        self.id = id
        self.source = source
        self.created = created
        self.expiry = expiry
        self.updated = updated
        self.decision = decision
        self.decisionSerial = decisionSerial
        self.state = state
        self.reason = reason
        self.transcript = transcript
    }
}

/// How much of requests a store keeps. The defaults are Chorale's own, and together far below what a store may hold.
public struct RequestBounds: Hashable, Sendable {
    /// Requests that are under way.
    public var openCountMax = 1_000
    /// Of them, from one source.
    public var openCountPerSourceMax = 16
    /// Bytes of a proposal: what a message in chunks may have in all.
    public var proposalByteCountMax = 8 << 20
    /// Bytes of proposals and transcripts of all requests, those that are over too.
    public var byteCountMax = 256 << 20
    /// Of them, of what one source proposed and said.
    public var byteCountPerSourceMax = 32 << 20
    /// Bytes of a reason, in UTF-8.
    public var reasonByteCountMax = 500
    /// Bytes of a source's name, in UTF-8.
    public static let sourceByteCountMax = 64

    public init() {}
}
