internal import CryptoPrimitives
internal import Secp256k1
internal import Signing

/// A request that this node takes part in, while its process lives: the machine, and what of it is on its way to the disk.
///
/// Unchecked, because the compiler does not see what makes it safe: each is made and reached by one `SigningMachine` alone, which never hands
/// it out and cannot be copied. It is changed by mutating methods of the machine only, to which the language gives it exclusively; the others
/// only read here, which many may do at once, for what stands here is `Sendable` itself.
final class LiveRequest: @unchecked Sendable {
    let id: Bytes32
    /// The group's policy digest.
    let group: Bytes32
    /// What it came as.
    let proposal: [UInt8]
    var coordination: Coordination
    /// As it was last given to the store.
    var state: StoredRequest.State
    /// Of our last decision that is durable, or on its way.
    var serial: UInt64
    var decision: StoredRequest.Decision
    /// Whether the group's policy made it, and no person.
    var isByPolicy = false
    /// The last one that is durable, with its serial, and whether the group's policy made it.
    var durableDecision: (decision: StoredRequest.Decision, serial: UInt64, isByPolicy: Bool)
    /// Writes that wait, in order, and the one that is under way: one at a time for each request, so that the disk has them in order.
    var writes: [SigningWrite] = []
    var writing: (id: SigningWriteID, write: SigningWrite)?
    /// Statements that stand in the transcript already: what is told again is no news.
    var transcribed: Set<Bytes32> = []
    /// How many of them are whose, and their bytes.
    var transcribedShares: [PublicKey: (count: Int, byteCount: Int)] = [:]
    /// Whether it was told that the transcript lacks something.
    var hasToldOfTranscript = false
    /// When it was over for us.
    var overSince: Duration?
    /// When the owner said that its transaction was seen on the Bitcoin network, in seconds since 1970.
    var broadcastSeenAt: UInt64?
    /// Whether a decision to sign ever went to the disk, in this life of the process or a former one.
    var hasDecidedToSign = false
    /// Whether what one step led to calls for another one.
    var wantsStep = false
    /// What the owner was last told of the policy's word.
    var approvalNotice: ApprovalNotice?
    /// Alarms that are not durable yet, and the name of the write that the first one is in.
    var alarms: [PendingAlarm] = []
    var alarmWrite: SigningWriteID?
    /// What came through mailboxes and is not safe yet.
    var receipts: [MailboxReceipt] = []
    /// Members for whom something could not be left, as their owner knows by now.
    var notLeft: Set<PublicKey> = []

    init(
        id: Bytes32, group: Bytes32, proposal: [UInt8], coordination: consuming Coordination, state: StoredRequest.State, serial: UInt64,
        decision: StoredRequest.Decision, isByPolicy: Bool
    ) {
        self.id = id
        self.group = group
        self.proposal = proposal
        self.coordination = coordination
        self.state = state
        self.serial = serial
        self.decision = decision
        self.isByPolicy = isByPolicy
        self.durableDecision = (decision, serial, isByPolicy)
    }

    /// Whether a member is needed yet, or has to be told how it ended.
    func waits(for signer: PublicKey) -> Bool { self.overSince == nil || self.coordination.hasToTell(signer) }

    /// The other members, by the identities that speak for them now.
    var others: [(signer: PublicKey, enrolment: Enrolment)] {
        self.coordination.policy.members.compactMap { member in
            guard member != self.coordination.signer, let enrolment = self.coordination.enrolment(of: member) else { return nil }
            return (member, enrolment)
        }
    }
}

/// A proposal that came and is not on the disk yet: nothing is said about it before.
struct ArrivingRequest: Sendable {
    let request: SigningRequest
    let proposal: Statement
    let bytes: [UInt8]
    let group: Bytes32
    /// Whether it is ours, and agreed to by that.
    let isOurs: Bool
    /// Nonces that others gave ahead, with which ours begins.
    var pooled: [Statement] = []
    /// Whoever brought it; `nil` for ours.
    var bringer: Ed25519.PublicKey?
    /// What came about it meanwhile, with who sent it, and whether over a connection.
    var waiting: [(bytes: [UInt8], from: Ed25519.PublicKey, isLive: Bool)] = []
    /// What of it came through mailboxes.
    var receipts: [MailboxReceipt] = []

    /// Most that one member may have on their way to the disk, and bytes of all of them.
    static let countPerMemberMax = 16
    static let byteCountMax = 64 << 20
    /// Most messages that wait, and their bytes. The senders tell them again.
    static let waitingCountMax = 32
    static let waitingByteCountMax = 1 << 20
}
