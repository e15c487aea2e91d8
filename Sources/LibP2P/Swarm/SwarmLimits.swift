/// How much of everything a swarm holds, and how long it waits. The defaults suit a node of a person or a small service.
public struct SwarmLimits: Equatable, Sendable {
    // MARK: Connections

    /// Established connections in all. Beyond it new ones are refused, but for those of protected peers.
    public var connectionCountMax = 8_192
    /// From this many on, the least used connections without protection are closed, down to ``trimmedConnectionCount``.
    public var connectionCountHighWater = 6_144
    public var trimmedConnectionCount = 5_120
    /// Younger connections are not trimmed: it is not known yet what they are good for.
    public var trimGracePeriod = Duration.seconds(20)
    /// Connections of strangers from one household that are trimmed like all others. More are a crowd, and go first.
    public var uncrowdedCount = 8
    /// Established connections with one peer. As many as rust-libp2p's users set: two that crossed, one over a relay, and some to spare.
    public var connectionCountOfPeerMax = 8
    /// Connections of strangers from one IPv4 address, or from one /64 of IPv6, which is what one household has.
    public var inboundCountFromAddressMax = 64
    /// Connections of strangers in their handshakes: each costs guarded memory and a signature.
    public var inboundHandshakeCountMax = 256
    /// How long a stranger's handshake is left its place when others want it: several round trips around the world.
    public var handshakeGracePeriod = Duration.seconds(2)
    public var connection = ConnectionLimits()

    // MARK: Dials

    /// Pipes being connected at the same time, for all peers. As in go-libp2p. Of these, half may go to addresses that strangers told.
    public var dialCountMax = 160
    /// Pipes being connected or in their handshakes at the same time for one peer.
    public var dialCountOfPeerMax = 8
    /// Addresses tried in one dial.
    public var dialAddressCountMax = 32
    /// How long one address has before the next one is tried beside it. As happy eyeballs has it (RFC 8305, section 8).
    public var dialStagger = Duration.milliseconds(250)
    /// How long a pipe may take to be connected.
    public var dialTimeout = Duration.seconds(15)
    /// After a dial in which all addresses failed, the next has to wait this long; then twice as long, and so on.
    public var backoffFirst = Duration.seconds(1)
    public var backoffMax = Duration.seconds(300)
    /// Peers whose failures are remembered.
    public var backoffCountMax = 4_096

    // MARK: Streams and bytes

    /// Inbound streams of one protocol and one peer. As in js-libp2p.
    public var inboundStreamCountMax = 32
    /// The same for protocols that need another number.
    public var inboundStreamCountMaxOfProtocol: [String: Int] = [:]
    /// Inbound streams of one peer in all.
    public var inboundStreamCountOfPeerMax = 512
    /// Bytes that a protocol machine may have waiting on one stream beyond the stream's own send buffer. A stream that exceeds it is
    /// reset: its reader is too slow.
    public var pendingWriteByteCountMax = 4_194_304
    /// Bytes that all connections hold together, with what machines have waiting. Beyond it one is closed of the household that holds the
    /// most.
    public var heldByteCountMax = 268_435_456
    /// A peer that takes nothing for so long of what waits to be sent to it loses its connection. The shell asks for up to 256 KiB at a
    /// time, so that this is a link of less than 5 KiB a second.
    public var sendTimeout = Duration.seconds(60)
    /// How long a closed connection's last words may take.
    public var lingerTimeout = Duration.seconds(5)

    public init() {
        // A stranger's connection may hold a sixteenth of all bytes, and no more streams than a peer.
        self.connection.yamux.receiveBufferByteCountMax = 16_777_216
        self.connection.yamux.windowGrowthByteCountMax = 8_388_608
        self.connection.yamux.inboundStreamCountMax = 512
    }
}

/// What a swarm has seen that should be seldom.
public struct SwarmCounters: Equatable, Sendable {
    /// Inbound pipes, circuits among them, that were refused before a byte was read.
    public internal(set) var refusedPipes = 0
    /// Connections whose pipe broke a rule of its own.
    public internal(set) var brokenPipes = 0
    /// Connections whose handshake failed, of either side.
    public internal(set) var failedHandshakes = 0
    /// Proved peers that were turned away.
    public internal(set) var refusedPeers = 0
    /// Streams that were turned away by a limit.
    public internal(set) var refusedStreams = 0
    /// Streams of peers that were turned away because too many of one connection were agreeing on a protocol.
    public internal(set) var refusedNegotiations = 0
    /// Streams of peers that were reset because the peer did not agree on a protocol: it said something else, nothing in time, or its end.
    public internal(set) var failedNegotiations = 0
    /// Streams that sessions gave up: a limit was reached, or the peer broke a rule of the stream.
    public internal(set) var brokenStreams = 0
    /// What the sessions of connections that are over have seen; with those that stand: ``Swarm/totalCounters``.
    public internal(set) var sessions = YamuxCounters()
    /// Streams that were reset because a machine wrote more than their readers took.
    public internal(set) var overfullStreams = 0
    /// Connections closed because their peers took no bytes.
    public internal(set) var stalledConnections = 0
    /// Connections closed because too many were open, or too much memory was held.
    public internal(set) var trimmedConnections = 0
    /// Dials that ended without a connection.
    public internal(set) var failedDials = 0
}
