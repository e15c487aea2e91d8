/// What the owner of a swarm should know, in the order in which it happened.
public enum SwarmEvent: Equatable, Sendable {
    /// A connection stands and its peer is proved.
    case connected(ConnectionInfo)
    case disconnected(ConnectionInfo, ConnectionError)
    /// A dial is over without a connection; `peer` is `nil` where only an address was given.
    case dialFailed(peer: PeerID?, DialError)
    /// Somebody connected and did not get as far as to prove who it is.
    case handshakeFailed(from: Multiaddr, ConnectionError)
    /// A limit or a list stood in the way; `peer` is `nil` where it is not known yet.
    case refused(SwarmRefusal, peer: PeerID?, address: Multiaddr)
    /// A stream was reset here: see ``StreamRefusal``. Of one connection 16 are told at once and then one a second; the counters have all.
    case streamRefused(ConnectionInfo, StreamRefusal)
    /// A dial needs a pipe through a relay. Answer with `Swarm.adopt` and its id, or with `Swarm.dialFailed`.
    case relayNeeded(ConnectionID, RawDial)

    // Streams that the owner opened or serves itself.

    case streamOpened(request: UInt64, StreamID, protocolID: String)
    case streamFailed(request: UInt64, StreamFailure)
    case streamInbound(StreamID, ConnectionInfo, protocolID: String)
    /// There is something to read where there was nothing: read until there is nothing.
    case readable(StreamID)
    /// The peer has sent its last byte, and all was read.
    case ended(StreamID)
    /// The stream is gone with all that was under way.
    case reset(StreamID)
    /// After a write that was refused: there is room again.
    case writable(StreamID)
}

/// Why a dial came to nothing.
public enum DialError: Error, Equatable, Sendable, CustomStringConvertible {
    /// No address is known, or none that can be dialled from here.
    case noAddresses
    case refused(SwarmRefusal)
    /// The last dial failed not long ago; the time is when the next one is allowed.
    case backingOff(until: Duration)
    /// Every address failed, in this order.
    case allFailed([DialAttemptFailure])

    public var description: String {
        switch self {
        case .noAddresses: "no address is known that can be dialled from here"
        case .refused(let refusal): refusal.description
        case .backingOff: "the last dial failed not long ago"
        case .allFailed(let failures): failures.map(\.description).joined(separator: "; ")
        }
    }
}

/// Why one address did not lead to a peer.
public struct DialAttemptFailure: Equatable, Sendable, CustomStringConvertible {
    public enum Reason: Error, Equatable, Sendable {
        case pipe(RawDialFailure)
        case connection(ConnectionError)
    }

    public let address: Multiaddr
    public let reason: Reason

    public var description: String {
        switch self.reason {
        case .pipe(let failure): "\(self.address): \(failure)"
        case .connection(let error): "\(self.address): \(error)"
        }
    }
}
