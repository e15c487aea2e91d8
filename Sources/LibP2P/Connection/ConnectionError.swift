/// Why a connection ended, or never came about.
public enum ConnectionError: Error, Equatable, Sendable {
    /// No agreement on `/noise`.
    case security(MultistreamError)
    /// The Noise handshake failed: forged, cut short, or another peer than the expected one.
    case handshake(NoiseError)
    /// No agreement on `/yamux/1.0.0`.
    case muxer(MultistreamError)
    /// Not everything was over in ``ConnectionLimits/handshakeTimeout``.
    case timedOut(at: ConnectionStep)
    /// The other side ended the pipe, or it broke.
    case pipeEnded(at: ConnectionStep)
    /// The other side broke a rule of the WebSocket that is the pipe.
    case webSocket(WebSocketError)
    /// Encrypted bytes were not what the other side sent.
    case encryption(NoiseError)
    /// The session above the encryption ended; see there whose doing it was.
    case session(YamuxSessionError)
    /// No stream was open for ``ConnectionLimits/idleTimeout``.
    case idle
    /// The peer gave no sign of life for ``ConnectionLimits/keepAliveTimeout`` after it was asked for one.
    case peerSilent
    /// The peer took nothing of what waited to be sent for ``SwarmLimits/sendTimeout``, whatever it sent itself meanwhile.
    case peerNotReading
    /// The owner ended it.
    case closedHere(ConnectionClosing)
}

/// Why the owner of a connection ends it.
public enum ConnectionClosing: Hashable, Sendable {
    case requested
    /// Another connection of the same dial came first.
    case otherDialWon
    /// There were too many, and this one was the least used.
    case trimmed
    case limit(SwarmRefusal)
    /// The connections held more memory together than they may, and this one the most.
    case memory
}

extension ConnectionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .security(let error): "agreeing on the encryption: \(error)"
        case .handshake(let error): "the Noise handshake: \(error)"
        case .muxer(let error): "agreeing on the multiplexer: \(error)"
        case .timedOut(let step): "\(step) was not over in time"
        case .pipeEnded(let step): "the other side ended the connection during \(step)"
        case .webSocket(let error): error.description
        case .encryption(let error): error.description
        case .session(let error): error.description
        case .idle: "the connection was not used for long"
        case .peerSilent: "the peer gave no sign of life any more"
        case .peerNotReading: "the peer took no bytes any more"
        case .closedHere(let closing): closing.description
        }
    }
}

extension ConnectionClosing: CustomStringConvertible {
    public var description: String {
        switch self {
        case .requested: "the connection was closed here"
        case .otherDialWon: "another address of the peer answered first"
        case .trimmed: "there were too many connections, and this was the least used"
        case .limit(let refusal): refusal.description
        case .memory: "the connections held too much memory, and this one the most"
        }
    }
}
