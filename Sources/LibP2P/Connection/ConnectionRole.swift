/// Which end of a connection this is.
///
/// It follows from who dialled. Where both did at the same moment (TCP's simultaneous open, as DCUtR provokes it), the two agree
/// on it beforehand.
public enum ConnectionRole: Hashable, Sendable {
    case dialer
    case listener

    var noise: NoiseRole { self == .dialer ? .initiator : .responder }
    var yamux: YamuxRole { self == .dialer ? .dialer : .listener }
}

/// How far a connection has come.
public enum ConnectionStep: Hashable, Sendable, CustomStringConvertible {
    /// multistream-select on the bare pipe, for the encryption.
    case negotiatingSecurity
    /// The Noise handshake.
    case encrypting
    /// multistream-select in the encrypted pipe, for the multiplexer.
    case negotiatingMuxer
    case established

    public var description: String {
        switch self {
        case .negotiatingSecurity: "agreeing on the encryption"
        case .encrypting: "the Noise handshake"
        case .negotiatingMuxer: "agreeing on the multiplexer"
        case .established: "use"
        }
    }
}

/// How long a connection waits, and how much it holds.
public struct ConnectionLimits: Equatable, Sendable {
    /// From the first byte until streams can be opened. Honest peers need a few round trips; a slow-loris has no more than this.
    public var handshakeTimeout = Duration.seconds(10)
    /// For a stream's protocol to be agreed on.
    public var streamNegotiationTimeout = Duration.seconds(10)
    /// After this long without a stream the connection ends, unless ``Connection/isKeptOpen``. `nil`: never.
    public var idleTimeout: Duration? = .seconds(120)
    /// A peer that has sent nothing for so long is asked for a sign of life. As go-yamux does. `nil`: never.
    public var keepAliveInterval: Duration? = .seconds(30)
    /// The same where bytes of a stream went to the peer meanwhile: they may be lost. A peer that writes nothing itself answers one ping in so
    /// long; one that went without a word is known to be gone after this and ``keepAliveTimeout``. `nil`: as where nothing was sent.
    public var keepAliveIntervalWhileSending: Duration? = .seconds(5)
    /// And if nothing comes for this long after, the connection ends.
    public var keepAliveTimeout = Duration.seconds(20)
    /// How many streams of the peer may negotiate at the same time. Further ones are reset. As many as a peer may open before it has an
    /// answer (libp2p's yamux specification, "ACK backlog & backpressure").
    public var negotiatingStreamCountMax = 256
    public var yamux = YamuxLimits()

    public init() {}
}
