/// Which limit or list stood in the way of a connection or a stream.
public enum SwarmRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    case peerDenied
    /// There is an allow list, and the peer is not on it.
    case peerNotAllowed
    case addressDenied
    case tooManyConnections(maximum: Int)
    case tooManyConnectionsOfPeer(maximum: Int)
    case tooManyConnectionsFromAddress(maximum: Int)
    /// So many pipes of strangers are still in their handshakes.
    case tooManyHandshakes(maximum: Int)
    case tooManyStreams(ofProtocol: String, maximum: Int)
    case tooManyStreamsOfPeer(maximum: Int)
    /// The process may open no further descriptor.
    case noDescriptors
    /// We connected to ourselves.
    case ownIdentity

    public var description: String {
        switch self {
        case .peerDenied: "the peer is on the deny list"
        case .peerNotAllowed: "the peer is not on the allow list"
        case .addressDenied: "the address is on the deny list"
        case .tooManyConnections(let maximum): "there are \(maximum) connections, which is the limit"
        case .tooManyConnectionsOfPeer(let maximum): "the peer has \(maximum) connections, which is the limit"
        case .tooManyConnectionsFromAddress(let maximum): "the address has \(maximum) connections, which is the limit"
        case .tooManyHandshakes(let maximum): "\(maximum) connections are in their handshakes, which is the limit"
        case .tooManyStreams(let name, let maximum): "the peer has \(maximum) streams of \(name.prefix(128)), which is the limit"
        case .tooManyStreamsOfPeer(let maximum): "the peer has \(maximum) streams, which is the limit"
        case .noDescriptors: "this process may open no more sockets; raise its limit of descriptors"
        case .ownIdentity: "the other side is this node itself"
        }
    }
}
