internal import Bitcoin
public import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

/// One thing that has to be made durable.
public enum SigningWrite: Hashable, Sendable {
    /// A request that is new here. Answered with what then stands.
    case request(NewRequest)
    /// Ours, with why it stands as it does: that the group's policy made it, or nothing.
    case decision(StoredRequest.Decision, serial: UInt64, reason: String)
    /// A decision to sign: nothing of it has left.
    case burn(BurnRecord)
    case state(StoredRequest.State, reason: String)
    case transcript([TranscriptLine])
    case completion(TranscriptLine)
    /// A clone alarm and the policies that it halts, all of it or nothing. It has room whatever else was written.
    case cloneAlarm(TranscriptLine, [ApprovalHalt])
}

/// One entry for a request's transcript.
public struct TranscriptLine: Hashable, Sendable {
    /// The numbers are stored.
    public enum Kind: UInt8, Sendable {
        /// A message that a member sent: its identity (32 bytes), then the message.
        case received = 1
        /// A message of ours: the receiver's key (33 bytes), then the message.
        case sent = 2
        /// The end, as a message that completes.
        case completion = 3
        /// Proof of a fault, as `Evidence` writes it.
        case evidence = 5
        /// Proof that one nonce served two transcripts: whether this process found it (1), then the alarm as `CloneAlarm` writes it.
        case cloneAlarm = 6
        /// The owner's word that the transaction was seen on the Bitcoin network: when that was said, in seconds since 1970 (8, big-endian).
        case broadcast = 7
    }

    public let kind: Kind
    public let bytes: [UInt8]
    /// Who it counts for; `nil` for ours.
    public var source: String?
}

public struct SigningWriteID: Hashable, Sendable { let rawValue: UInt64 }

/// What became of a write.
public enum SigningWriteResult: Sendable {
    /// It is durable. For a request: what stands under its id now.
    case done(StoredRequest? = nil)
    /// It is not, for this reason, and nothing of it may be taken for granted.
    case failed(String)
}

/// What a signing machine wants of its shell, and tells.
public enum SigningMachineEvent: Sendable {
    /// Make this durable, then call `SigningMachine.written`. One at a time comes for each request.
    case write(SigningWriteID, request: Bytes32, SigningWrite, time: UInt64)
    /// Make this durable in place of what stands, then call `SigningMachine.approvalWritten`. One at a time comes for each group.
    case writeApproval(SigningWriteID, group: Bytes32, StoredApproval)
    /// A request came that its signer has to decide on.
    case requested(Bytes32)
    /// What the group's policy says of a request, when that is new.
    case approval(Bytes32, ApprovalNotice)
    /// What became of a group's policy.
    case policy(group: Bytes32, ApprovalPolicyNotice)
    case request(Bytes32, CoordinationEvent)
    /// Something of it could not be made durable.
    case notStored(Bytes32, reason: String)
    /// A message counts against the peer that brought it.
    case refused(PeerID, SigningRefusal)
    /// Nothing more of this peer is listened to until the time, by the node's clock.
    case blocked(PeerID, until: Duration)
    /// It was so again and again, and is so until the owner says otherwise: the peer, and the member that it speaks for. A group that cannot
    /// be spent from without that member signs nothing until then.
    case blockedLastingly(PeerID, PublicKey?)
    /// Make this durable in place of what stands of the peer, in the order in which such events come; `nil` forgets it.
    case keep(PeerID, PeerStanding?)
    /// A member speaks through another machine from now on, as its signer says in this: keep it, for its groups and for who knows it.
    case enrolled(Enrolment)
    /// Another machine speaks for our own signer, through this identity, and this one is heard no more.
    case superseded(by: PeerID)
    /// Refuse the connections of these, and of nobody else.
    case deny(Set<PeerID>)
    /// A member cannot be reached under any address that is known: ask others, `learn` what they say, and call `SigningMachine.searched`.
    case addressesWanted(PeerID)
    /// Secret nonces were wiped, for this memory may live twice.
    case clocksJumped
    /// A member's node is connected, or in another way than before.
    case connected(PublicKey, ConnectionMethod)
    /// The last connection with it ended. While a request is under way with it, it is dialled again, later each time; no request ends by it.
    case disconnected(PublicKey)
    case connectivity(ConnectivityStep)
    /// Of a member that is not connected: what it should hear cannot be left in its mailboxes, and is told when it is connected.
    case notLeft(Bytes32, for: PublicKey, MailboxClientError)
    /// Have the mailbox's store do this, then call `SigningMachine.done`.
    case mailbox(MailboxJobID, MailboxServer.Job, time: UInt64)
    /// Remove what is over for long from the store, and from the mailbox's.
    case cleanStore(time: UInt64)
}

/// What a check of connections wants of the shell, and what came of it.
public enum ConnectivityStep: Sendable {
    /// Dial the peer now, whatever failed before, at these addresses beside those that are known, and call
    /// `SigningMachine.dialled` when that is over.
    case dial(PeerID, PeerDialAddresses)
    /// Send the peer a ping, and call `SigningMachine.pinged`.
    case ping(PeerID)
    case over(ConnectivityCheckID, ConnectivityReport)
}

/// What became of a dial that a check wanted.
public enum ConnectivityDialEnd: Sendable {
    case connected
    case failed(DialError)
    /// The node ended it, or ends.
    case calledOff
}

public struct ConnectivityCheckID: Hashable, Sendable { let rawValue: UInt64 }

/// Why a message of a peer was refused.
public enum SigningRefusal: Hashable, Sendable, CustomStringConvertible {
    /// No identity that any group knows.
    case stranger
    case coordination(CoordinationRefusal)
    /// A proposal that cannot be a request here.
    case proposal(String)
    /// What came is no frame, or one that is too large.
    case transport(String)

    public var description: String {
        switch self {
        case .stranger: "its sender speaks for no member of any group here"
        case .coordination(let refusal): refusal.description
        case .proposal(let reason): "its proposal is refused: \(reason)"
        case .transport(let reason): reason
        }
    }
}
