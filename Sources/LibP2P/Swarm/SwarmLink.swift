/// A connected pipe and the connection in it.
struct SwarmLink: ~Copyable, Sendable {
    let id: ConnectionID
    var connection: Connection
    let role: ConnectionRole
    /// Whether we opened the pipe; after a hole punch that says nothing about the role.
    let isOutbound: Bool
    /// Without a peer id.
    let address: Multiaddr
    /// Whom we dialled.
    let dialledPeer: PeerID?
    let isLimited: Bool
    /// Whether the owner of the node gave the address.
    let isGiven: Bool
    /// The stream of another connection that is this one's pipe; `nil` where the shell has it.
    let carrier: StreamID?
    let created: Duration

    /// Set once the peer is proved.
    var info: ConnectionInfo?
    /// Why it ended, once it has and the others were told; last words may still be sent.
    var closing: ConnectionError?
    var streams: [YamuxStreamID: StreamID] = [:]
    /// The peer takes no more streams on it.
    var hasGoneAway = false

    /// How many of its streams that were refused may still be told of.
    var refusalBudget = ServiceBudget()
    /// Of streams that the session refused, so many are told.
    var refusedStreamCount = 0

    /// What this connection was last counted with.
    var heldByteCount = 0
    /// What machines wrote to its streams and the send buffers did not take.
    var pendingWriteByteCount = 0
    var countedByteCount: Int { self.heldByteCount + self.pendingWriteByteCount }
    /// The shell knows that there is output.
    var isSending = false
    /// Since when nothing was taken of the output that there is; `nil` when there is none.
    var stalledSince: Duration?
    /// The link waits to be looked at.
    var isTouched = false
    /// When the timer looks at it.
    var lookedAt: Duration?
    var lingerDeadline: Duration?

    init(
        _ id: ConnectionID, _ connection: consuming Connection, role: ConnectionRole, isOutbound: Bool, address: Multiaddr,
        dialledPeer: PeerID?, isLimited: Bool, isGiven: Bool, carrier: StreamID?, now: Duration
    ) {
        self.id = id
        self.connection = connection
        self.role = role
        self.isOutbound = isOutbound
        self.address = address
        self.dialledPeer = dialledPeer
        self.isLimited = isLimited
        self.isGiven = isGiven
        self.carrier = carrier
        self.created = now
    }
}

/// A pipe that is being connected.
struct PendingDial: Sendable {
    let raw: RawDial
    let options: DialOptions
    /// Whether strangers told the address.
    let isHearsay: Bool
    let deadline: Duration
}

/// Who has a stream's bytes.
enum StreamOwner: Hashable, Sendable {
    /// The owner of the swarm.
    case application
    case machine(Int)
    /// The connection whose pipe it is.
    case circuit(ConnectionID)
}

/// A stream of a connection, as the swarm knows it.
struct SwarmStream: Sendable {
    let link: ConnectionID
    let yamux: YamuxStreamID
    var owner: StreamOwner
    let isInbound: Bool
    /// What it was asked for with, while its protocol is not agreed on.
    var request: UInt64?
    var protocolID = ""

    /// What a machine wrote and the stream's send buffer did not take.
    var pendingWrites = YamuxQueue<[UInt8]>()
    var pendingByteCount = 0
    /// Close our direction after them.
    var closesAfterWrites = false
    /// The machine wants no bytes now.
    var isReadingPaused = false
    /// The peer has ended its direction, and the owner knows.
    var hasEnded = false
}

/// A peer with which there is at least one connection.
struct SwarmPeer: Sendable {
    /// The oldest first.
    var connections: [ConnectionID] = []
    var inboundStreamCount = 0
    var inboundStreamCounts: [String: Int] = [:]
    /// What the peer is known to speak (identify).
    var protocolIDs: Set<String> = []

    /// About what it takes to keep what the peer said of itself.
    var heldByteCount: Int { self.protocolIDs.reduce(0) { $0 + 64 + $1.utf8.count } }
}

/// After how long a peer that could not be reached may be dialled again.
struct DialBackoff: Sendable {
    struct Key: Hashable, Sendable {
        let peer: PeerID
        /// Whether only what strangers had said of the peer was tried.
        let isHearsay: Bool
    }

    var failureCount: Int
    var until: Duration
}
