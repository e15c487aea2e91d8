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
    let configuration: ExchangeConfiguration
    let enrolment: Enrolment
    /// This process's start: the name of its nonces and of its presence.
    let incarnation: [UInt8]

    /// Decisions of this signer from before, by attempt.
    var records: [UInt32: BurnRecord]
    var startedAt: Duration?
    var nextBeatAt: Duration = .zero
    var beatCount: UInt64 = 0
    var nonceCounter: UInt32 = 0
    var presences: [PublicKey: Presence] = [:]
    var attempts: [UInt32: AttemptFiles] = [:]
    var excluded: Set<PublicKey> = []
    var current: CurrentAttempt?
    /// The attempt whose set this process is creating right now.
    var proposing: UInt32?
    var finalTransaction: Transaction?
    var outcome: Outcome = .running
    var notices: [ExchangeNotice] = []
    var faults: [Fault] = []
    /// What the excluded did, and where the proof of it lies.
    var problems: [PublicKey: (text: String, file: String?)] = [:]
    /// Whether another process with our key wrote a file that only we should have written.
    var isOutpaced = false

    /// A contribution that its signer must answer for.
    struct Fault {
        let signer: PublicKey
        let problem: String
        /// `nil` where it spoils the attempt without proving anything to others.
        let evidence: Evidence?
    }

    enum Outcome { case running, over }

    /// What the folder says of a signer's process.
    struct Presence {
        var incarnation: [UInt8]
        var beat: UInt64
        /// When a change of it was last seen from here.
        var seenAt: Duration
        /// For our own signer: incarnations that stood there before we wrote ours.
        var ancestors: Set<[UInt8]> = []
    }

    /// What the folder holds of an attempt.
    struct AttemptFiles {
        enum SetFile {
            case chosen([PublicKey])
            /// Cannot be used; after a while the next attempt is due.
            case unusable(since: Duration)
        }
        var set: SetFile?
        var nonces: [PublicKey: Statement] = [:]
        var partials: [PublicKey: Statement] = [:]
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
        /// Set once this attempt can lead nowhere.
        var failure: String?

        init(number: UInt32, plan: SigningPlan, role: Role) {
            self.number = number
            self.plan = plan
            self.session = SigningSession(plan: plan, attempt: number)
            self.role = role
        }
    }

    /// - Parameters:
    ///   - records: this signer's decisions about the request from its journal.
    ///   - incarnation: 16 fresh random bytes, never used before.
    /// - Throws: `notASigner`, or what stands in the way of the agreed set.
    public init(
        request: SigningRequest, policy: any SpendingPolicy, enrolment: Enrolment, incarnation: [UInt8], records: [BurnRecord],
        configuration: ExchangeConfiguration = ExchangeConfiguration()
    ) throws(SigningError) {
        precondition(incarnation.count == NonceName.incarnationByteCount, "an incarnation has 16 bytes")
        guard policy.members.contains(enrolment.signer) else { throw .notASigner(enrolment.signer) }
        var configuration = configuration
        // An agreed set is checked, and brought into the order of aggregation, before anything is written.
        if let set = configuration.set { configuration.set = try PSBTSubject.plan(request, under: policy, set: set).signers }
        self.request = request
        self.requestDigest = request.digest
        self.signer = enrolment.signer
        self.policy = policy
        self.configuration = configuration
        self.enrolment = enrolment
        self.incarnation = incarnation
        self.records = Dictionary(
            records.filter { $0.signer == enrolment.signer }.map { ($0.attempt, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The set that is fixed before anybody is present, if there is one.
    var fixedSet: [PublicKey]? { self.configuration.set ?? self.policy.onlySet }
}

// MARK: - What the folder says

extension FileExchange {
    /// Takes in a file that is new or has changed since it was last given. What cannot be used is ignored, with a notice.
    public mutating func observe(_ file: ExchangeFile, now: Duration) {
        guard let path = ExchangePath(file.path) else { return }
        switch path {
        case .presence(let signer): self.observePresence(file, of: signer, now: now)
        case .set(let attempt): self.observeSet(file, attempt: attempt, now: now)
        case .nonces(let attempt, let signer): self.observeContribution(file, attempt: attempt, signer: signer, isNonces: true)
        case .partialSignatures(let attempt, let signer): self.observeContribution(file, attempt: attempt, signer: signer, isNonces: false)
        case .final: self.observeFinal(file)
        case .evidence: break
        }
    }

    private mutating func observePresence(_ file: ExchangeFile, of signer: PublicKey, now: Duration) {
        guard let statement = self.statement(file, from: signer, attempt: 0, { try Statement(parsing: $0) }),
            case .presence(let incarnation, let beat) = statement.body
        else { return }
        var presence = self.presences[signer] ?? Presence(incarnation: incarnation, beat: beat, seenAt: now)
        if presence.incarnation != incarnation || presence.beat != beat {
            presence.seenAt = now
            presence.incarnation = incarnation
            presence.beat = beat
        }
        if signer == self.signer, self.beatCount == 0 { presence.ancestors.insert(incarnation) }
        self.presences[signer] = presence
    }

    private mutating func observeSet(_ file: ExchangeFile, attempt: UInt32, now: Duration) {
        if case .chosen = self.attempts[attempt]?.set { return }
        let statement = self.statement(file, from: nil, attempt: attempt) { try StatementPSBT.decode($0).statement }
        guard case .set(let keys)? = statement?.body,
            let plan = try? PSBTSubject.plan(self.request, under: self.policy, set: keys), plan.signers == keys,
            self.configuration.set.map({ $0 == keys }) ?? true
        else {
            if statement != nil { self.ignore(file, "it names a set that cannot sign here, or not the agreed one") }
            // It may still be arriving, piece by piece.
            if self.attempts[attempt]?.set == nil { self.attempts[attempt, default: AttemptFiles()].set = .unusable(since: now) }
            return
        }
        self.attempts[attempt, default: AttemptFiles()].set = .chosen(keys)
    }

    private mutating func observeContribution(_ file: ExchangeFile, attempt: UInt32, signer: PublicKey, isNonces: Bool) {
        var psbt: PSBT?
        let statement = self.statement(file, from: signer, attempt: attempt) {
            let (decoded, statement) = try StatementPSBT.decode($0)
            psbt = decoded
            return statement
        }
        guard let statement, let psbt else { return }
        guard psbt.unsignedTransaction == self.request.transaction else { return self.ignore(file, "it is about another transaction") }
        switch statement.body {
        case .nonces where isNonces:
            // A second, different statement is given to the session, which knows a contradiction from a restart.
            if let standing = self.attempts[attempt]?.nonces[signer], standing != statement { self.reportIfConflict(standing, statement) }
            self.attempts[attempt, default: AttemptFiles()].nonces[signer] = statement
        case .partialSignatures where !isNonces: self.attempts[attempt, default: AttemptFiles()].partials[signer] = statement
        case .presence, .set, .nonces, .partialSignatures: self.ignore(file, "its name and its content disagree")
        }
    }

    private mutating func observeFinal(_ file: ExchangeFile) {
        guard let text = String(validating: file.bytes, as: UTF8.self),
            let bytes = try? Hex.decode(text.filter { !$0.isWhitespace }), let transaction = try? Transaction(parsing: bytes)
        else { return self.ignore(file, "it is no transaction in hex") }
        guard self.request.isSatisfied(by: transaction, spending: self.policy.scriptPubKey) else {
            return self.ignore(file, "it is not this request's transaction with valid signatures")
        }
        self.finalTransaction = transaction
    }

    /// Reads a signed statement and checks that it is about this request and from a member.
    private mutating func statement(
        _ file: ExchangeFile, from signer: PublicKey?, attempt: UInt32, _ read: ([UInt8]) throws -> Statement
    ) -> Statement? {
        guard file.bytes.count <= ExchangeFile.byteCountMax else {
            self.ignore(file, "\(file.bytes.count) bytes are more than any file of an exchange has")
            return nil
        }
        let statement: Statement
        do { statement = try read(file.bytes) } catch {
            self.ignore(file, "\(error)")
            return nil
        }
        guard statement.request == self.requestDigest, statement.attempt == attempt else {
            self.ignore(file, "it is about another request or attempt")
            return nil
        }
        guard self.policy.members.contains(statement.sender), signer.map({ $0 == statement.sender }) ?? true else {
            self.ignore(file, "it is from signer \(statement.sender), who has no place here")
            return nil
        }
        guard statement.enrolment.network == self.enrolment.network else {
            self.ignore(file, "its sender is enrolled on \(statement.enrolment.network), and this is \(self.enrolment.network)")
            return nil
        }
        return statement
    }

    private mutating func ignore(_ file: ExchangeFile, _ reason: String) {
        self.notices.append(.ignored(path: file.path, reason: reason))
    }

    /// Two different statements of one signer under one nonce name prove its fault.
    private mutating func reportIfConflict(_ first: Statement, _ second: Statement) {
        guard case .nonces(let name, let nonces) = first.body, case .nonces(name, let others) = second.body, nonces != others,
            let current, current.number == first.attempt
        else { return }
        current.failure = "signer \(first.sender) gave two different sets of nonces under one name"
        self.faults.append(
            Fault(
                signer: first.sender, problem: "it gave two different sets of nonces under one name",
                evidence: Evidence(plan: current.plan, attempt: first.attempt, statements: [first, second])))
    }
}
