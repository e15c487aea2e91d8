/// A dial that DCUtR wants at this very moment: all addresses at once, from the port on which we listen, although there is a
/// connection (over the relay) already.
///
/// Both sides dial at the same time, so one TCP connection may come out of two dials. Who is who on it is therefore fixed beforehand:
/// the `dialer` is the initiator of Noise and of the muxer, the `listener` the responder of both, whoever's dial it was that went
/// through (DCUtR, "The Protocol", step 5).
public struct DirectDial: Equatable, Sendable {
    public enum Role: Hashable, Sendable {
        case dialer
        case listener
    }

    public let peer: PeerID
    /// Direct TCP addresses, never empty, without the peer's id.
    public let addresses: [Multiaddr]
    public let role: Role
    /// Whether the peer dials at the same moment. If not, it is a dial like any other.
    public let isHolePunch: Bool

    public init(peer: PeerID, addresses: [Multiaddr], role: Role, isHolePunch: Bool) {
        self.peer = peer
        self.addresses = addresses
        self.role = role
        self.isHolePunch = isHolePunch
    }
}

/// Why there is no direct connection.
public enum DCUtRError: Error, Equatable, Sendable, CustomStringConvertible {
    case stream(StreamFailure)
    case frame(FrameReader.Failure)
    case message(HolePunchMessageError)
    /// A message at the wrong moment: `Sync` first, or `Connect` twice.
    case unexpectedMessage
    case timedOut
    /// The peer ended or reset the stream.
    case ended
    /// Neither side's dial went through.
    case noConnection
    /// There is no connection over a relay (any more).
    case noRelayedConnection
    /// The protocol is for relayed connections.
    case overDirectConnection
    case tooMany

    public var description: String {
        switch self {
        case .stream(let failure): "hole punch: no stream to the peer (\(failure))"
        case .frame(let failure): "hole punch: what came is no message with its length before it (\(failure))"
        case .message(let error): "\(error)"
        case .unexpectedMessage: "hole punch: a message at the wrong moment"
        case .timedOut: "hole punch: the peer did not answer in time"
        case .ended: "hole punch: the peer ended the stream"
        case .noConnection: "hole punch: no dial of either side went through"
        case .noRelayedConnection: "hole punch: there is no connection over a relay to talk over"
        case .overDirectConnection: "hole punch: asked for over a direct connection, which needs none"
        case .tooMany: "hole punch: too many at a time, or too often"
        }
    }
}
