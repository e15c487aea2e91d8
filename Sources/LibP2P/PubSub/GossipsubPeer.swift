/// A connected peer inside one machine: smaller than its id, and in the order in which peers came, so that a seed replays.
typealias GossipsubPeerNumber = Int

/// What a peer speaks on the stream that we opened to it.
enum GossipsubVersion: Int, Comparable, Sendable {
    case floodsub
    case v10
    case v11
    case v12

    init?(protocolID: String) {
        switch protocolID {
        case "/meshsub/1.2.0": self = .v12
        case "/meshsub/1.1.0": self = .v11
        case "/meshsub/1.0.0": self = .v10
        case "/floodsub/1.0.0": self = .floodsub
        default: return nil
        }
    }

    static func < (left: GossipsubVersion, right: GossipsubVersion) -> Bool { left.rawValue < right.rawValue }
}

/// A connected peer.
struct GossipsubPeer: Sendable {
    enum Outbound: Equatable, Sendable {
        case none
        case opening(request: UInt64)
        case open(StreamID, GossipsubVersion)
    }

    /// What a peer did since the last heartbeat.
    struct Window: Sendable {
        var haveFrameCount = 0
        var requestedIDCount = 0
        var wantIDCount = 0
        var subscriptionChangeCount = 0
        /// For what an event was given, once.
        var told: Set<GossipsubRefusal> = []
    }

    let id: PeerID
    let isDirect: Bool
    /// On whose account is what the peer makes this node keep: that of its first connection.
    let household: [UInt8]
    var connections: [ConnectionInfo] = [] {
        didSet { self.addressGroups = Set(self.connections.compactMap { GossipsubAddressGroup($0.remoteAddress) }) }
    }
    /// Where the peer is, for P6.
    private(set) var addressGroups: Set<GossipsubAddressGroup> = []
    var outbound = Outbound.none
    /// How often in a row the stream could not be opened, or went.
    var openFailureCount = 0
    /// In which heartbeat to try again; `nil` for not by ourselves.
    var reopenHeartbeat: Int?
    /// The stream that the peer opened, and what came on it.
    var inbound: StreamID?
    var reader = FrameReader(byteCountMax: PubSubRPC.byteCountMax)
    /// The frame that has not come whole: how many bytes of it are counted, and since when it comes.
    var unfinished: (byteCount: Int, since: Duration)?
    var topics: Set<String> = []
    var standing = GossipsubStanding()
    var window = Window()
    var outbox = GossipsubOutbox()
    /// Bytes that the stream has not taken yet.
    var underWayByteCount = 0
    /// Messages that the peer has already, and in which heartbeat it said so.
    var unwanted: [PubSubMessageID: Int] = [:]
    /// The peer's own signed record, for others.
    var record: [UInt8]?

    init(_ id: PeerID, isDirect: Bool, household: [UInt8]) {
        self.id = id
        self.isDirect = isDirect
        self.household = household
    }

    /// What a topic that a peer is subscribed to takes here, about: its name, and its places in the tables of the peer and of the topic.
    static func byteCount(ofTopic topic: String) -> Int { topic.utf8.count + 192 }

    /// What keeping that a peer does not want a message takes, about.
    static func byteCount(ofUnwanted id: PubSubMessageID) -> Int { id.bytes.count + 96 }

    /// Bytes of the topics, and of the ids of unwanted messages, that are counted on the account of its household.
    var topicByteCount: Int { self.topics.reduce(0) { $0 + Self.byteCount(ofTopic: $1) } }
    var unwantedByteCount: Int { self.unwanted.keys.reduce(0) { $0 + Self.byteCount(ofUnwanted: $1) } }

    /// What the peer understands; `nil` while nothing can be sent to it.
    var version: GossipsubVersion? {
        guard case .open(_, let version) = self.outbound else { return nil }
        return version
    }

    /// Whether the peer can be in a mesh.
    var speaksGossipsub: Bool { self.version.map { $0 > .floodsub } ?? false }

    /// Whether we dialled.
    var isOutbound: Bool { self.connections.contains(where: \.isOutbound) }

    var heldByteCount: Int {
        512 + self.reader.heldByteCount + self.outbox.heldByteCount + self.standing.heldByteCount + (self.record?.count ?? 0)
    }
}
