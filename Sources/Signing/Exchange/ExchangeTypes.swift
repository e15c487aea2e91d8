public import Bitcoin
public import Secp256k1

/// How an exchange over files goes on and when it gives up.
public struct ExchangeConfiguration: Sendable {
    /// The set, where it was agreed on beforehand; else it follows from the policy and from who is present.
    public var set: [PublicKey]?
    /// How long to wait for the others, in all.
    public var timeLimit: Duration
    /// How often a waiting process says that it is here.
    public var beat: Duration
    /// A signer whose presence has not changed for this long, as seen from here, counts as away; another set is then chosen if
    /// there is one. Long enough for a shared drive that synchronises slowly.
    public var awayAfter: Duration

    public init(
        set: [PublicKey]? = nil, timeLimit: Duration = .seconds(3_600), beat: Duration = .seconds(2), awayAfter: Duration = .seconds(30)
    ) {
        self.set = set
        self.timeLimit = timeLimit
        self.beat = beat
        self.awayAfter = awayAfter
    }
}

/// Why an exchange ended without a signature.
public enum ExchangeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Others did not come in time; so many of these are awaited: all of them, unless any k may sign.
    case timedOut(stage: ExchangeStage, missing: [PublicKey], needed: Int)
    /// Another process signs with the same key in this folder.
    case keyInUseElsewhere(PublicKey)
    /// This process's key signed two transcripts with one nonce, in a copy of its memory: the key can be computed from them.
    case nonceReused(PublicKey)
    /// This signer, whom a set needs, runs on another network.
    case otherNetwork(own: Network, signer: PublicKey, theirs: Network)
    /// This signer's contribution is bad, and no set without it can sign. With `evidence`, the file proves it to anyone.
    case fault(signer: PublicKey, problem: String, evidence: String?)
    case tooManyAttempts(limit: UInt32)
    case signing(SigningError)

    public var description: String { self.description { "\($0)" } }

    /// In words, with the signers called as whoever reads them knows them.
    public func description(naming name: (PublicKey) -> String) -> String {
        switch self {
        case .timedOut(let stage, let missing, let needed):
            "the time limit was reached while \(stage)" + Self.awaited(missing.map(name), needed: needed)
                + "Start again when they are there: nothing is lost"
        case .keyInUseElsewhere(let key):
            "another process signs with the key \(name(key)) in this folder: end one of the two, then start again"
        case .nonceReused(let key):
            "the key \(name(key)) signed two transcripts with one nonce: a copy of this process or of its machine runs. Whoever sees "
                + "this folder can compute the key from the two: do not use it any more, and move the funds that rest on it at once"
        case .otherNetwork(let own, let signer, let theirs):
            "signer \(name(signer)) signs on \(theirs), and this process on \(own): agree on the network that the coins are on; "
                + "whoever has the other one starts again on that network"
        case .fault(let signer, let problem, let evidence):
            "signer \(name(signer)): \(problem). No other set can sign"
                + (evidence.map { "; the proof is in \($0), see: chorale audit verify" } ?? "")
        case .tooManyAttempts(let limit): "\(limit) attempts are in this folder already: begin with an empty one"
        case .signing(let error): error.description
        }
    }

    private static func awaited(_ names: [String], needed: Int) -> String {
        guard !names.isEmpty else { return ". " }
        let list = names.joined(separator: ", ")
        guard needed < names.count else { return "; still missing: \(list). " }
        return "; \(needed) more of these \(needed == 1 ? "is" : "are") needed: \(list). "
    }
}

/// What an exchange waits for.
public enum ExchangeStage: String, Hashable, Sendable, CustomStringConvertible {
    case gatheringSigners = "waiting for signers"
    case gatheringNonces = "waiting for nonces"
    case gatheringSignatures = "waiting for partial signatures"
    case complete = "complete"

    public var description: String { self.rawValue }
}

/// Where an exchange stands, for people to see.
public struct ExchangeProgress: Hashable, Sendable {
    public let stage: ExchangeStage
    /// Number of the attempt, 0 before the first.
    public let attempt: UInt32
    /// The attempt's set, empty before one is chosen.
    public let set: [PublicKey]
    /// Whose presence or contributions are awaited.
    public let missing: [PublicKey]
    /// How many of the missing are needed: all of them, unless any k may sign and the set is not chosen yet.
    public let neededCount: Int
    /// Whether this process's signer is in the set, and whether its partial signatures are out.
    public let isMember: Bool
    public let hasSigned: Bool
}

/// What the machine asks its shell to do.
public enum ExchangeAction: Equatable, Sendable {
    /// Write the file, replacing what is there, whole or not at all.
    case write(ExchangePath, [UInt8])
    /// Create the file with this content at once, or find that it exists; then tell `created`.
    case create(ExchangePath, [UInt8])
    /// Make the record durable in the journal, then tell `recorded`. Until then nothing of it is released.
    case record(BurnRecord)
    /// Remove the file; it does not matter if that fails.
    case remove(ExchangePath)
    /// Tell the person.
    case say(ExchangeNotice)
    case complete(Transaction)
    case fail(ExchangeError)
}

/// What a person should know of an exchange beside its progress.
public enum ExchangeNotice: Hashable, Sendable, CustomStringConvertible {
    /// A file that cannot be used, and why. It is ignored.
    case ignored(path: String, reason: String)
    case attemptBegun(UInt32, reason: String)
    case repeatedRecordedSignatures(attempt: UInt32)
    case excluded(PublicKey, reason: String)
    /// An attempt failed by what this signer gave, and that proves nothing against it.
    case doubted(PublicKey, reason: String)
    /// This signer runs on another network than we; or a process of it did, which left this behind.
    case otherNetwork(own: Network, signer: PublicKey, theirs: Network, isHere: Bool)
    /// A process of our own signer ran on another network before, and left this behind.
    case ranOnOtherNetwork(own: Network, before: Network)
    /// This signer signed two transcripts with one nonce: whoever sees the folder can compute its key.
    case nonceReused(PublicKey)
    /// Our key signed this attempt under another transcript too, and whether with the same nonce cannot be seen from here.
    case signedElsewhere(attempt: UInt32)

    public var description: String { self.description { "\($0)" } }

    /// In words, with the signers called as whoever reads them knows them.
    public func description(naming name: (PublicKey) -> String) -> String {
        switch self {
        case .ignored(let path, let reason): "ignoring \(path): \(reason)"
        case .attemptBegun(let attempt, let reason): "attempt \(attempt): \(reason)"
        case .repeatedRecordedSignatures(let attempt):
            "attempt \(attempt) was signed before this process started: the recorded signatures are given again"
        case .excluded(let signer, let reason): "going on without signer \(name(signer)): \(reason)"
        case .doubted(let signer, let reason):
            "what signer \(name(signer)) gave cannot be used: \(reason). That proves no fault; another attempt follows"
        case .otherNetwork(let own, let signer, let theirs, let isHere):
            "signer \(name(signer)) \(isHere ? "is here" : "was here") for \(theirs), and this process is for \(own): the two cannot sign "
                + "together. "
                + (isHere
                    ? "Agree on the network that the coins are on; whoever has the other one starts again on that network"
                    : "What it left is passed over")
        case .ranOnOtherNetwork(let own, let before):
            "your own key was here for \(before), and this process is for \(own): what is left of that is passed over"
        case .nonceReused(let signer):
            "careful: signer \(name(signer)) signed two transcripts with one nonce, as a cloned machine does. Whoever sees this folder can "
                + "compute its key: its owner must know, and the funds that rest on it must move"
        case .signedElsewhere(let attempt):
            "careful: your own key signed attempt \(attempt) for other nonces as well. That may be an old file. But if a copy of this "
                + "process or machine runs, your key can be computed from the two: then move the funds"
        }
    }
}
