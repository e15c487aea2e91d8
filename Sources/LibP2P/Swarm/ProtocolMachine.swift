/// A stream of one connection, as protocols know it. Never given twice by one swarm.
public struct StreamID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (left: StreamID, right: StreamID) -> Bool { left.rawValue < right.rawValue }

    public var description: String { "stream \(self.rawValue)" }
}

/// A connection of a swarm. Never given twice by one swarm.
public struct ConnectionID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (left: ConnectionID, right: ConnectionID) -> Bool { left.rawValue < right.rawValue }

    public var description: String { "connection \(self.rawValue)" }
}

/// What protocols may know of a connection that stands: its peer is proved.
public struct ConnectionInfo: Hashable, Sendable {
    public let id: ConnectionID
    public let peer: PeerID
    /// Whether we dialled.
    public let isOutbound: Bool
    /// The other end's address, without its peer id; a relayed connection's names the relay and ends in `/p2p-circuit`.
    public let remoteAddress: Multiaddr
    /// Whether a relay between the two limits duration and bytes: protocols that are not meant for it open no streams there.
    public let isLimited: Bool

    public init(id: ConnectionID, peer: PeerID, isOutbound: Bool, remoteAddress: Multiaddr, isLimited: Bool) {
        self.id = id
        self.peer = peer
        self.isOutbound = isOutbound
        self.remoteAddress = remoteAddress
        self.isLimited = isLimited
    }
}

/// Why a stream that was asked for did not come about.
public enum StreamFailure: Error, Equatable, Sendable {
    /// There is no connection to the peer (any more).
    case notConnected
    /// The peer speaks none of the protocols.
    case notSupported
    /// The negotiation was not over in time.
    case timedOut
    /// A limit of ours or of the connection: too many streams.
    case tooManyStreams
    /// The peer ended or reset the stream, or the connection went, before a protocol was agreed on.
    case ended
}

/// What reaches a protocol from below.
public enum ProtocolInput: Sendable {
    /// A connection stands. The first one to a peer comes before anything else about it.
    case connected(ConnectionInfo)
    case disconnected(ConnectionInfo)
    /// A stream that this protocol asked for stands; the peer agreed on this protocol id.
    case opened(request: UInt64, StreamID, protocolID: String)
    case failed(request: UInt64, StreamFailure)
    /// The peer opened a stream for one of the protocol ids that this machine serves.
    case inbound(StreamID, ConnectionInfo, protocolID: String)
    /// Bytes of a stream, in order, never empty.
    case received(StreamID, [UInt8])
    /// The peer has sent its last byte; ours may go on.
    case ended(StreamID)
    /// The stream is gone in both directions: reset by the peer, or with its connection. Nothing more comes for it.
    case reset(StreamID)
    /// All bytes written so far are in the connection's own, bounded buffers: at once after a `ProtocolCommand.write` that fits, later
    /// after one that does not. So a machine that counts what it wrote since knows how much is under way.
    case writable(StreamID)
    /// Which protocols a peer serves became known or changed (identify).
    case protocols(of: PeerID, [String])
}

/// What a protocol wants done.
public enum ProtocolCommand: Equatable, Sendable {
    /// Opens a stream to a connected peer, for the first of the protocol ids that the peer speaks. The answer is `opened` or `failed`
    /// with the same `request`. A limited connection is used only if `onLimited` says so.
    case open(request: UInt64, PeerID, protocolIDs: [String], onLimited: Bool = false)
    /// Opens a stream on one connection.
    case openOn(request: UInt64, ConnectionID, protocolIDs: [String])
    /// Bytes for the peer. They are kept until they are sent; a machine bounds what it has under way for each stream.
    case write(StreamID, [UInt8])
    /// No more bytes from us; the peer may go on.
    case closeWrite(StreamID)
    /// Both directions at once, bytes under way are dropped.
    case reset(StreamID)
    /// No more of the peer's bytes for now: they wait in the stream, and the peer waits once its window is used up. A little of what is
    /// there already may still come.
    case pauseReading(StreamID)
    case resumeReading(StreamID)
    /// Dial the peer, with these addresses beside those that are known. `connected` follows, or nothing. With `isHearsay` they come from
    /// others than the peer or the node's owner, and may be lies.
    case dial(PeerID, [Multiaddr], isHearsay: Bool = false)
    /// Ends all connections to a peer.
    case disconnect(PeerID)
}

/// A protocol of libp2p as a value: inputs come in with the time, commands and events are taken out, nothing else happens.
///
/// Whoever drives a machine calls `handle` for each input, then takes commands and events until there are none, and calls `tick`
/// when `deadline` has come. `now` is any clock that never goes back, from any start. A machine may be a value that cannot be copied: what
/// holds secrets is such a one.
public protocol ProtocolMachine: ~Copyable, Sendable {
    associatedtype Event: Sendable

    /// The protocol ids of which inbound streams are taken, preferred first.
    var servedProtocolIDs: [String] { get }
    mutating func handle(_ input: ProtocolInput, now: Duration)
    mutating func tick(now: Duration)
    /// When `tick` is wanted next; `nil` for never.
    var deadline: Duration? { get }
    mutating func nextCommand() -> ProtocolCommand?
    mutating func nextEvent() -> Event?
    /// Bytes held for streams, peers and messages, to be counted against the node's budget.
    var heldByteCount: Int { get }
}

/// A generator that one number replays (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). It chooses
/// peers and spreads timers; nothing secret ever comes from it.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { self.state = seed }

    public mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
