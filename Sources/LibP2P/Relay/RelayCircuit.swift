// How a relay's stream becomes the pipe of a new connection.
//
//     RelayClient ──event .circuit(RelayCircuit)──▶ the swarm's owner
//                 ◀──take(circuit.stream)──         and, in the same call, the swarm makes the stream a pipe
//                 ◀──drop(circuit.stream)──         or wants none of it
//
// Before `take` the machine keeps what comes on the stream, in bounds; after it the machine knows the stream no more, and all of the
// stream's bytes, its end and its reset are the new connection's. That connection runs Noise and the muxer over it as over any pipe:
// `isOutbound` says that we are the initiator of both. Who the peer is, Noise must prove: the relay only says it.

/// A stream through a relay that stands.
public struct RelayCircuit: Hashable, Sendable {
    /// The stream to the relay: from now on its bytes are those of the pipe.
    public let stream: StreamID
    public let relay: PeerID
    /// The other end, as the relay says or as we asked.
    public let peer: PeerID
    /// Whether we asked for it, and so are the initiator of Noise and of the muxer.
    public let isOutbound: Bool
    /// What the relay allows; `nil` for no limit. With one, the connection's `ConnectionInfo.isLimited` is true.
    public let limit: RelayLimit?
    /// What was given to `RelayClient.connect`; 0 for those that came in.
    public let tag: UInt64

    public init(stream: StreamID, relay: PeerID, peer: PeerID, isOutbound: Bool, limit: RelayLimit?, tag: UInt64) {
        self.stream = stream
        self.relay = relay
        self.peer = peer
        self.isOutbound = isOutbound
        self.limit = limit
        self.tag = tag
    }

    /// What `ConnectionInfo.remoteAddress` says of the connection in it: `/p2p/RELAY/p2p-circuit`.
    public var remoteAddress: Multiaddr { Multiaddr([.p2p(self.relay), .p2pCircuit]) }
}

/// What a circuit's stream has brought before it was taken.
public struct RelayCircuitStart: Equatable, Sendable {
    public let bytes: [UInt8]
    /// The other end has sent its last byte already.
    public let hasEnded: Bool

    public init(bytes: [UInt8], hasEnded: Bool) {
        self.bytes = bytes
        self.hasEnded = hasEnded
    }
}
