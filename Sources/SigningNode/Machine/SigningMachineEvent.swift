internal import Bitcoin
public import CryptoPrimitives
public import LibP2P
public import Secp256k1
public import Signing

/// One thing that has to be made durable.
public enum SigningWrite: Hashable, Sendable {
    /// A request that is new here. Answered with what then stands.
    case request(NewRequest)
    case decision(StoredRequest.Decision, serial: UInt64)
    /// A decision to sign: nothing of it has left.
    case burn(BurnRecord)
    case state(StoredRequest.State, reason: String)
    case transcript([TranscriptLine])
    case completion(TranscriptLine)
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
    }

    public let kind: Kind
    public let bytes: [UInt8]
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
    /// A request came that its signer has to decide on.
    case requested(Bytes32)
    case request(Bytes32, CoordinationEvent)
    /// Something of it could not be made durable.
    case notStored(Bytes32, reason: String)
    /// A message counts against the peer that brought it.
    case refused(PeerID, SigningRefusal)
    /// Nothing more of this peer is listened to until the time, by the node's clock.
    case blocked(PeerID, until: Duration)
    /// A member cannot be reached under any address that is known.
    case addressesWanted(PeerID)
    /// Secret nonces were wiped, for this memory may live twice.
    case clocksJumped
    case connected(PublicKey)
    case disconnected(PublicKey)
}

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
