public import LibP2P

/// Why something that a node was asked for did not come about.
public enum NodeError: Error, Equatable, Sendable, CustomStringConvertible {
    case dial(DialError)
    case stream(StreamFailure)
    case ping(PingError)
    case identify(IdentifyError)
    case publish(GossipsubPublishError)
    /// The name is none that a topic can have.
    case invalidTopic(String)
    case kad(KadFailure)
    case relay(RelayError)
    case holePunch(DCUtRError)
    /// The node's configuration leaves the service out.
    case notConfigured(NodeService)
    /// `disconnect` came before the dial was over.
    case calledOff
    /// The task that waits was cancelled.
    case cancelled
    /// The node is closed.
    case closed

    public var description: String {
        switch self {
        case .dial(let error): error.description
        case .stream(.notConnected): "there is no connection to the peer"
        case .stream(.notSupported): "the peer speaks none of the protocols"
        case .stream(.timedOut): "the peer did not agree on a protocol in time"
        case .stream(.tooManyStreams): "too many streams are open"
        case .stream(.ended): "the peer ended the stream before a protocol was agreed on"
        case .ping(let error): error.description
        case .identify(let error): error.description
        case .publish(let error): error.description
        case .invalidTopic: "a topic's name has 1 to \(PubSubTopic.byteCountMax) bytes"
        case .kad(let failure): failure.description
        case .relay(let error): error.description
        case .holePunch(let error): error.description
        case .notConfigured(let service): "this node has no \(service.rawValue): its configuration leaves it out"
        case .calledOff: "the dial was called off"
        case .cancelled: "the task was cancelled"
        case .closed: "the node is closed"
        }
    }
}

/// What a node can do without.
public enum NodeService: String, Sendable {
    case gossipsub
    case kad = "hash table"
    case relayClient = "use of relays"
    case holePunch = "hole punching"
}
