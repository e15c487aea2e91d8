internal import Bitcoin
public import CryptoPrimitives
internal import MuSig2
public import Secp256k1

/// One signer's side of signing over a shared folder, without any network (a shared drive, a synchronised directory, a USB stick).
///
///     gathering signers ──set chosen──▶ gathering nonces ──all there──▶ gathering signatures ──all there──▶ complete
///            ▲                                │ a member restarted, went away or is at fault │
///            └────────────────────────────────┴──── next attempt, fresh nonces ──────────────┘
///
/// A value without clock, file or task: the shell gives it the files that it sees (`observe`) and the time (`step`), and carries out
/// the actions that come back. Every file is signed by its sender's identity and kept whatever happens to the folder later.
///
/// Secret nonces live in here only. A process that was killed finds its old nonces in the folder and no decision in its journal: it
/// begins the next attempt, and the others follow. With a decision in the journal it gives the same bytes again and signs nothing.
public struct FileExchange: ~Copyable {
    public let request: SigningRequest
    public let requestDigest: Bytes32
    public let signer: PublicKey

    let policy: any SpendingPolicy
    /// The policy's members, to look up: every file asks whether its signer is one.
    let members: Set<PublicKey>
    let configuration: ExchangeConfiguration
    let enrolment: Enrolment
    /// This process's start, or the last jump of its clocks: the name of its nonces and of its presence.
    var incarnation: [UInt8]

    /// Decisions of this signer from before, by attempt.
    var records: [UInt32: BurnRecord]
    var startedAt: Duration?
    var lastStepAt: Duration = .zero
    var nextBeatAt: Duration = .zero
    var beatCount: UInt64 = 0
    var nonceCounter: UInt32 = 0
    var presences: [PublicKey: Presence] = [:]
    var attempts: [UInt32: AttemptFiles] = [:]
    /// So many attempts follow each other from the first without a gap, each with a file at the place of its set. When it has grown,
    /// more files are within reach (`wants`).
    public internal(set) var attemptCount: UInt32 = 0
    var excluded: Set<PublicKey> = []
    var current: CurrentAttempt?
    /// The attempt that was the current one when this process left.
    var lastAttempt: (number: UInt32, set: [PublicKey])?
    /// The attempt whose set this process is creating right now.
    var proposing: UInt32?
    var finalTransaction: Transaction?
    var outcome: Outcome = .running
    var notices: [ExchangeNotice] = []
    /// Why a file was ignored last, by its path.
    var ignored: [String: String] = [:]
    var faults: [Fault] = []
    /// What the excluded did, and where the proof of it lies.
    var problems: [PublicKey: (text: String, file: String)] = [:]
    /// Nonce statements under one name with two contents, until the plan that they belong to is known.
    var contradictions: [(first: Statement, second: Statement)] = []
    /// How often a signer spoilt or held up an attempt without anything being proved: who did so less often is chosen first.
    var doubts: [PublicKey: Int] = [:]
    /// Incarnations of our own signer that stood in the folder before this process wrote there: it was started again.
    var ancestors: Set<[UInt8]> = []
    /// Incarnations that this process had before its clocks jumped, and the last beat and nonces that it gave under each.
    var retired: [[UInt8]: (beat: UInt64, nonceCounter: UInt32)] = [:]
    /// Every other incarnation of our own signer that showed itself since this process began to write.
    var strangersWithOurKey: Set<[UInt8]> = []
    /// The last of them, which our presence names: if it lives, it learns of us.
    var strangerSeen: [UInt8]?
    /// Whether another process with our key wrote to the folder after this one began to.
    var isKeyInUseElsewhere = false
    /// Signers who signed two transcripts with one nonce: their keys can be computed.
    var reusers: Set<PublicKey> = []
    /// Attempts that our key signed under a transcript beside ours, as far as people were told.
    var attemptsSignedElsewhere: Set<UInt32> = []
    /// Signers whose presence is signed for another network than ours, and how many beats they have been there.
    var otherNetworks: [PublicKey: (network: Network, beat: UInt64)] = [:]
    /// Since when others on another network stand in the way, and this process is about to stop.
    var networkErrorSince: Duration?
    /// Signers of whom anything in the folder is signed for another network than ours.
    var traceNetworks: [PublicKey: Network] = [:]
    /// What of it our person was told.
    var toldNetworks: Set<ForeignSigner> = []
    /// Our own files in which something else was found: they are written again, the same bytes.
    var spoilt: Set<ExchangePath> = []

    /// A contribution that its signer must answer for.
    struct Fault {
        let signer: PublicKey
        let problem: String
        let proof: Proof

        enum Proof {
            case found(Evidence)
            /// Another process wrote it down.
            case standsInFolder
        }
    }

    enum Outcome { case running, over }

    /// What the folder says of a signer's process.
    struct Presence {
        var incarnation: [UInt8]
        var beat: UInt64
        /// When a change of it was last seen from here.
        var seenAt: Duration
        /// Incarnations that another followed: an old file that somebody puts back is no sign of life.
        var past: Set<[UInt8]> = []

        /// Most past incarnations that are kept, one a restart of the signer's process.
        static let pastCountMax = 1_000
    }

    /// What the folder holds of an attempt.
    struct AttemptFiles {
        enum SetFile {
            case chosen([PublicKey])
            /// Cannot be used; after a while the next attempt is due. It may still be arriving, unless a member signed it as it is.
            case unusable(since: Duration, isSigned: Bool)
        }
        var set: SetFile?
        /// Different statements of each signer in the order in which they came; an honest one makes one of each kind.
        var nonces: [PublicKey: [ReceivedNonces]] = [:]
        private(set) var partials: [PublicKey: [Statement]] = [:]
        /// Who gave more than one statement of partial signatures: perhaps under several transcripts. No honest process does.
        private(set) var repeaters: Set<PublicKey> = []

        mutating func addPartials(_ statement: Statement) {
            self.partials[statement.sender, default: []].append(statement)
            if self.partials[statement.sender]?.count != 1 { self.repeaters.insert(statement.sender) }
        }

        /// What was worked out of them.
        let transcripts = KnownTranscripts()

        /// Keeps nothing but the set.
        mutating func forgetContributions() { self = AttemptFiles(set: self.set) }

        /// Most different statements of one kind that are kept of one signer in one attempt.
        static let statementCountMax = 4
    }

    /// Signed nonces that the folder gave. Whether each is a pair of points is found out when it is first asked, and once.
    final class ReceivedNonces {
        let statement: Statement
        private var reading: Result<NonceSet?, SigningError>?

        init(_ statement: Statement) { self.statement = statement }

        /// - Throws: as `Statement.nonceSet()`.
        func nonceSet() throws(SigningError) -> NonceSet? {
            if let reading { return try reading.get() }
            let reading = Result { () throws(SigningError) in try self.statement.nonceSet() }
            self.reading = reading
            return try reading.get()
        }
    }

    /// The attempt that this process takes part in or watches.
    final class CurrentAttempt {
        enum Role: Equatable {
            /// Our nonces were made; whether their file is there.
            case signing(isPublished: Bool)
            /// The decision waits to be durable.
            case recording
            /// Our partial signatures are out.
            case signed
            /// A decision from before this process: its bytes are given again.
            case replaying
            /// Not a member of the set.
            case watching
        }

        let number: UInt32
        let plan: SigningPlan
        var session: SigningSession
        var role: Role
        var ownPartials: [[UInt8]]?
        /// The signed nonces that the session holds, and the signed partial signatures that count: what evidence is made of.
        var usedNonces: [PublicKey: Statement] = [:]
        var usedPartials: [PublicKey: Statement] = [:]
        /// How many of the nonce statements that the folder gave of a signer were looked at: each is, once.
        var takenNonceCounts: [PublicKey: Int] = [:]
        /// Set once this attempt can lead nowhere.
        private(set) var failure: String?
        /// Not before this does the next attempt begin.
        var nextAttemptAt: Duration = .zero
        /// How many contributions were awaited when that last changed, and when it did.
        var awaitedCount = Int.max
        var progressedAt: Duration

        init(number: UInt32, plan: SigningPlan, role: Role, now: Duration) {
            self.number = number
            self.plan = plan
            self.session = SigningSession(plan: plan, attempt: number)
            self.role = role
            self.progressedAt = now
        }

        /// Nothing comes of this attempt any more. Nonces that have not signed go at once: the next attempt may be long in coming.
        func fail(_ reason: String) {
            self.failure = reason
            guard case .signing = self.role else { return }
            self.session.close()
        }
    }

    /// - Parameters:
    ///   - records: this signer's decisions about the request from its journal.
    ///   - incarnation: fresh, never used before.
    /// - Throws: `notASigner`, what stands in the way of the agreed set, or `transaction` for a request with nonce commitments.
    public init(
        request: SigningRequest, policy: any SpendingPolicy, enrolment: Enrolment, incarnation: Incarnation, records: [BurnRecord],
        configuration: ExchangeConfiguration = ExchangeConfiguration()
    ) throws(SigningError) {
        guard policy.members.contains(enrolment.signer) else { throw .notASigner(enrolment.signer) }
        // Nobody is to be told that nonces are committed to where they are not.
        guard !request.usesNonceCommitments else { throw .transaction("signers who share a folder do not commit to their nonces") }
        var configuration = configuration
        // An agreed set is checked, and brought into the order of aggregation, before anything is written.
        if let set = configuration.set { configuration.set = try SigningPlan(request: request, under: policy, set: set).signers }
        self.request = request
        self.requestDigest = request.digest
        self.signer = enrolment.signer
        self.policy = policy
        self.members = Set(policy.members)
        self.configuration = configuration
        self.enrolment = enrolment
        self.incarnation = incarnation.bytes
        self.records = Dictionary(
            records.filter { $0.signer == enrolment.signer }.map { ($0.attempt, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The set that is fixed before anybody is present, if there is one.
    var fixedSet: [PublicKey]? { self.configuration.set ?? self.policy.onlySet }
}
