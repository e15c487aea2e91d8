/// What the application thinks of a message (gossipsub 1.1, "Extended Validators").
public enum PubSubVerdict: Sendable {
    /// It is passed on.
    case accept
    /// It is not, and those who brought it are charged.
    case reject
    /// It is not, and nobody is charged: what is stale, or known from elsewhere.
    case ignore
}

/// What a gossipsub node tells its application.
public enum GossipsubEvent: Equatable, Sendable {
    /// A verified message in one of our topics, each once.
    case message(PubSubMessageID, PubSubMessage, from: PeerID, needsVerdict: Bool)
    /// The application's verdict did not come in time; the message was ignored.
    case verdictMissed(PubSubMessageID)
    case subscribed(PeerID, topic: String)
    case unsubscribed(PeerID, topic: String)
    /// A peer came into the mesh, by its wish or ours.
    case grafted(PeerID, topic: String, byPeer: Bool)
    /// A peer left the mesh, by its wish or ours, or with its connection.
    case pruned(PeerID, topic: String, byPeer: Bool)
    /// A peer named another one, with a record that the other one signed. It is dialled.
    case peerExchanged(PeerRecord, by: PeerID)
    /// A peer did what is not taken; told once a heartbeat for each kind. `GossipsubCounters.refusals` counts all.
    case refused(PeerID, GossipsubRefusal)
}

/// What is not taken from a peer, and why.
public enum GossipsubRefusal: String, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    // Frames
    case malformedFrame = "a frame that cannot be read"
    case oversizedFrame = "a frame longer than 1 MiB"
    case unfinishedFrame = "a frame that has not come whole, while too many have not"
    case surplusEntries = "more entries of a frame than are read, or longer ones"
    case graylisted = "anything, while the peer's score is below the graylist threshold"
    case bytesOnOurStream = "bytes on a stream that only we write to"
    case secondStream = "a second stream beside one that is open"
    // Messages
    case unreadableMessage = "a message with something in it that cannot be read"
    case missingFields = "a message without author or signature"
    case unexpectedFields = "a message with an author or signature in a topic where nobody signs"
    case forgedAuthor = "a message whose author is not the owner of its key"
    case wrongSignature = "a message with a wrong signature"
    case disputedSignature = "a message with a signature that some take and others do not"
    case unverifiableAuthor = "a message by an author whose key is not one that is verified here"
    case unusualSequence = "a message whose sequence number does not have 8 bytes"
    case unknownTopic = "a message in a topic that we are not subscribed to"
    case ownMessage = "a message that names us as its author"
    case idTooLong = "a message whose id is empty or too long"
    case rejected = "a message that the application rejected"
    case verdictQueueFull = "a message while too many wait for the application's verdict"
    // Control
    case subscriptionFlood = "more subscriptions than are kept"
    case subscriptionCrowd = "a subscription while peers' subscriptions take as much memory as they may"
    case floodsubCrowd = "serving a floodsub peer beside as many as there may be"
    case haveFlood = "more IHAVE than are read in a heartbeat"
    case wantFlood = "more IWANT than are answered in a heartbeat"
    case retransmissions = "IWANT for a message that was sent often enough"
    case doNotWantFlood = "more IDONTWANT than are kept"
    case gossipBelowThreshold = "gossip, while the peer's score is below the gossip threshold"
    case brokenPromise = "announcing a message and not sending it"
    case graftInBackoff = "a GRAFT before the backoff was over"
    case graftBelowZero = "a GRAFT, while the peer's score is below zero"
    case graftOfDirectPeer = "a GRAFT from a direct peer"
    case graftWithoutSubscription = "a GRAFT for a topic that we or the peer are not subscribed to"
    case meshFull = "a GRAFT, while the mesh is full"
    case untrustedExchange = "naming other peers, while its score is too low for that"
    case forgedExchange = "naming another peer with a record that the other one did not sign"
    case unreadableExchange = "naming another peer with a record that cannot be read or verified here"

    public var description: String { self.rawValue }
}

/// What a gossipsub node has done and seen.
public struct GossipsubCounters: Equatable, Sendable {
    public internal(set) var refusals: [GossipsubRefusal: Int] = [:]
    /// Own messages.
    public internal(set) var published = 0
    /// Messages that went to the application for the first time.
    public internal(set) var delivered = 0
    /// Messages that had been seen.
    public internal(set) var duplicates = 0
    /// Copies given to peers' outboxes, own and others'.
    public internal(set) var sent = 0
    /// Copies for which an outbox had no room.
    public internal(set) var droppedMessages = 0
    /// IHAVE and IWANT for which an outbox had no room.
    public internal(set) var droppedGossip = 0
    /// Messages sent because a peer asked for them.
    public internal(set) var answeredWants = 0
    /// Messages whose sending was spared because the peer had them.
    public internal(set) var sparedByDoNotWant = 0

    /// How often something was refused.
    public func count(of refusal: GossipsubRefusal) -> Int { self.refusals[refusal] ?? 0 }
}

/// Why a message was not published.
public enum GossipsubPublishError: Error, Equatable, Sendable, CustomStringConvertible {
    case invalidTopic
    /// The message with everything around it would be longer than a frame may be.
    case tooLong(byteCount: Int, maximum: Int)
    /// A message with this id was seen before: the sequence number was used already.
    case duplicate(PubSubMessageID)
    /// The application's rule made no id of it, or too long a one.
    case invalidID

    public var description: String {
        switch self {
        case .invalidTopic: "a topic's name has 1 to \(PubSubTopic.byteCountMax) bytes"
        case .tooLong(let count, let maximum): "the message takes \(count) bytes on the wire, and at most \(maximum) are allowed"
        case .duplicate: "a message with this id was sent or received before; use a new sequence number"
        case .invalidID: "a message's id has 1 to \(PubSubMessageID.byteCountMax) bytes, and the rule gave another one"
        }
    }
}
