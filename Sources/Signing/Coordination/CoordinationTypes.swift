public import Bitcoin
internal import CryptoPrimitives
public import Secp256k1

/// How long a coordination waits.
public struct CoordinationTiming: Sendable {
    /// The longest round trip to a member, as far as it is known.
    public var roundTrip: Duration
    /// Shortest patience with a coordinator (a retransmission, a slow disk and the round trip fit in it).
    public var patienceMin: Duration
    /// How long an acknowledgement waits for something else to go with.
    public var acknowledgementDelay: Duration
    /// If the finished transaction is not seen for this long, the next member broadcasts it.
    public var broadcastTimeout: Duration

    public init(
        roundTrip: Duration = .milliseconds(200), patienceMin: Duration = .seconds(2), acknowledgementDelay: Duration = .milliseconds(50),
        broadcastTimeout: Duration = .seconds(300)
    ) {
        self.roundTrip = roundTrip
        self.patienceMin = patienceMin
        self.acknowledgementDelay = acknowledgementDelay
        self.broadcastTimeout = broadcastTimeout
    }
}

/// Where a request stands for one signer.
public enum CoordinationState: Hashable, Sendable {
    /// The signer has not said anything yet.
    case proposed
    /// It agreed, and waits for an attempt.
    case approved
    /// Its partial signatures of at least one attempt are out, or about to be.
    case signing
    case complete
    case rejected
    case withdrawn
    case expired
    case aborted(AbortReason)
    /// It ended here, but partial signatures are out: whoever holds them may still finish. The coins stay reserved until a conflicting
    /// transaction is confirmed.
    case endedMayStillComplete(EndReason)

    /// Whether nothing more is signed.
    public var isOver: Bool {
        switch self {
        case .proposed, .approved, .signing: false
        case .complete, .rejected, .withdrawn, .expired, .aborted, .endedMayStillComplete: true
        }
    }
}

extension CoordinationState: CustomStringConvertible {
    public var description: String {
        switch self {
        case .proposed: "not decided on"
        case .approved: "approved"
        case .signing: "being signed"
        case .complete: "complete"
        case .rejected: "rejected"
        case .withdrawn: "withdrawn"
        case .expired: "expired"
        case .aborted(let reason): "\(reason)"
        case .endedMayStillComplete(let reason): "\(reason), and others may still complete it"
        }
    }
}

/// Why a request cannot be completed any more.
public enum AbortReason: Hashable, Sendable, CustomStringConvertible {
    /// The proposer does not ask for it any more.
    case cancelled
    /// Without these no set can sign.
    case refused([PublicKey])
    /// These are proved to be at fault, and no set without them can sign.
    case fault([PublicKey])
    /// It ended in a former life of this process, which wrote down why.
    case before(String)

    public var description: String {
        switch self {
        case .cancelled: "its proposer took it back"
        case .before(let reason): reason
        case .refused(let signers): "refused by \(Self.list(signers)), without whom no set can sign"
        case .fault(let signers): "proved to be at fault: \(Self.list(signers))"
        }
    }

    /// Most signers that are named: a reason is kept, and has its limit there (`RequestBounds.reasonByteCountMax`).
    private static let namedMax = 5

    private static func list(_ signers: [PublicKey]) -> String {
        let rest = signers.count > Self.namedMax ? " and \(signers.count - Self.namedMax) more" : ""
        return signers.prefix(Self.namedMax).map(\.description).joined(separator: ", ") + rest
    }
}

/// How a request ended whose partial signatures are out.
public enum EndReason: Hashable, Sendable {
    case withdrawn, expired
    case aborted(AbortReason)
}

extension EndReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .withdrawn: "withdrawn"
        case .expired: "expired"
        case .aborted(let reason): "\(reason)"
        }
    }
}

/// What has to be done.
public enum CoordinationAction: Sendable {
    /// Bytes for a member, over a channel that shows it who sends them. They may be lost: what matters is sent again.
    case send([UInt8], to: PublicKey)
    /// Make this durable, then call `recorded`; if it cannot be, `notRecorded`. Nothing of it has left.
    case record(BurnRecord)
    /// A signer's nonces were seen to be used: compare with its other requests (`NonceSightings`).
    case sighted(NonceUse)
    /// A begin of this coordinator takes an entry of our nonce pool: take it out for good, then call `give`.
    case takePooled(Statement, for: PublicKey)
    case tell(CoordinationEvent)
}

/// What can be observed of a request.
public enum CoordinationEvent: Hashable, Sendable {
    /// This signer takes its turn at coordinating, as far as it knows.
    case coordinatorElected(PublicKey, turn: UInt32)
    /// It did not lead to a signature in time.
    case coordinatorFailed(PublicKey, turn: UInt32)
    /// Everybody had a turn, and there is no signature.
    case failoverExhausted(turn: UInt32)
    /// A member's approval is here, with its nonces.
    case joined(PublicKey)
    case refused(PublicKey, RefusalReason)
    /// The commitments of all of a set are here, where nonces are committed to: from now on these signers show theirs.
    case commitmentsComplete(attempt: UInt32, signers: [PublicKey])
    case attemptBegan(attempt: UInt32, signers: [PublicKey])
    case partialSignaturesReceived(attempt: UInt32, from: PublicKey)
    case signed(attempt: UInt32)
    /// A member's process was started anew: its nonces are gone, and its attempts with them.
    case restarted(PublicKey)
    /// Proof of a fault, which anyone can check.
    case fault(signer: PublicKey, Evidence.Fault, Evidence)
    /// Proof that one nonce of a signer has served two transcripts: a copy of its machine may be running, and its key may be known. Whoever
    /// found it tells everybody.
    case cloneAlarm(CloneAlarm, isFoundHere: Bool)
    case complete(Transaction, CompletedSignatures)
    case shouldBroadcast(Transaction)
    case ended(CoordinationState)
}

/// What became of a message.
public enum CoordinationReception: Hashable, Sendable {
    case accepted
    /// It came before.
    case repeated
    /// Nothing is wrong with it, and it changes nothing any more.
    case ignored
    /// It counts against the connection that brought it.
    case refused(CoordinationRefusal)
}

/// Why a message was refused.
public enum CoordinationRefusal: Hashable, Sendable, CustomStringConvertible {
    /// Whoever is at the other end speaks for no member.
    case stranger
    case anotherRequest
    /// Not a message, or a signature in it does not verify.
    case malformed(StatementError)
    /// Too far ahead of what its sender can have under way.
    case sequenceGap
    /// Only the one named may say this.
    case notEntitled(String)
    /// It contradicts what it rests on.
    case inconsistent(String)

    public var description: String {
        switch self {
        case .stranger: "its sender speaks for no member of the group"
        case .anotherRequest: "it is about another request"
        case .malformed(let error): error.description
        case .sequenceGap: "its number is too far ahead"
        case .notEntitled(let what): "its sender may not say this: \(what)"
        case .inconsistent(let what): what
        }
    }
}

/// What a request waits for, to be shown to people.
public struct CoordinationProgress: Hashable, Sendable {
    public let state: CoordinationState
    public let turn: UInt32
    public let coordinator: PublicKey
    /// The members that are known to agree, in the policy's order. All of them only at who coordinates: approvals go there, and what the
    /// others know is what the coordinator told them last.
    public let approved: [PublicKey]
    /// Those that said no, or took their agreement back.
    public let refused: [PublicKey]
    /// Signers whose partial signatures the newest attempt that this process coordinates waits for; or their nonces, before it begins.
    public let awaited: [PublicKey]
    /// Whether it is for their nonces, which they have committed to.
    public var awaitsNonces = false
    /// Whether nonces of others were left here that make a set with this signer's own: it can sign at once, whoever is connected.
    public var holdsNoncesOfASet = false
    /// Attempts in which this signer's partial signatures are out.
    public let signedAttempts: [UInt32]
}

extension CoordinationProgress {
    /// The same of a request that is known to have ended so: nothing of it is awaited.
    package func over(as state: CoordinationState) -> CoordinationProgress {
        CoordinationProgress(
            state: state, turn: self.turn, coordinator: self.coordinator, approved: self.approved, refused: self.refused, awaited: [],
            signedAttempts: self.signedAttempts)
    }
}
