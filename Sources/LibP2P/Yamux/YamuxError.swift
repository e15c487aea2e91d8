/// A rule of yamux that the peer broke, so that nothing it sends further can be trusted. It ends the session.
public enum YamuxViolation: Error, Equatable, Sendable {
    case unknownVersion(UInt8)
    case unknownFrameType(UInt8)
    /// Data or a window update for stream 0, which is the session itself.
    case streamZero
    /// The peer opened a stream with a number that only we may give.
    case wrongParity(YamuxStreamID)
    /// The peer opened a stream that is open.
    case duplicateOpen(YamuxStreamID)
    /// A frame for a stream that nobody has opened.
    case neverOpened(YamuxStreamID)
    /// More data than the stream's receive window allows.
    case windowExceeded(YamuxStreamID, allowed: Int, announced: Int)
    /// Window updates that add up to more than 2³² − 1 bytes.
    case windowOverflow(YamuxStreamID)
    /// More streams opened beyond the limits than ``YamuxLimits/refusalCountMax`` forgives.
    case openFlood
    /// More streams opened and reset again than ``YamuxLimits/peerResetCountMax`` forgives.
    case resetFlood
    /// The peer causes answers and does not read them.
    case answersNotRead
}

extension YamuxViolation: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unknownVersion(let version): "the peer sent a yamux frame of version \(version); only 0 exists"
        case .unknownFrameType(let type): "the peer sent a yamux frame of the unknown type \(type)"
        case .streamZero: "the peer sent a stream's frame for number 0, which is the session itself"
        case .wrongParity(let id): "the peer opened \(id), a number that only this side may give"
        case .duplicateOpen(let id): "the peer opened \(id), which is open"
        case .neverOpened(let id): "the peer sent a frame for \(id), which nobody has opened"
        case .windowExceeded(let id, let allowed, let announced):
            "the peer announced \(announced) bytes on \(id), whose window had room for \(allowed)"
        case .windowOverflow(let id): "the peer raised the window of \(id) beyond 2^32 - 1 bytes"
        case .openFlood: "the peer kept opening streams beyond the limits"
        case .resetFlood: "the peer kept opening streams and resetting them"
        case .answersNotRead: "the peer caused answers without reading them"
        }
    }
}

/// Why a session ended.
public enum YamuxSessionError: Error, Equatable, Sendable {
    /// The peer broke a rule; it was told so by a go-away with ``YamuxGoAwayCode/protocolError``.
    case violation(YamuxViolation)
    /// The peer ended the session with another code than ``YamuxGoAwayCode/normal``.
    case endedByPeer(YamuxGoAwayCode)
    /// This side ended the session.
    case endedHere(YamuxGoAwayCode)
    /// The connection below ended.
    case connectionEnded
}

extension YamuxSessionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .violation(let violation): violation.description
        case .endedByPeer(let code): "the peer ended the session: \(code)"
        case .endedHere(let code): "the session was ended here: \(code)"
        case .connectionEnded: "the connection ended"
        }
    }
}

/// What a go-away frame says. Source: hashicorp/yamux, spec.md, "Session termination".
public struct YamuxGoAwayCode: RawRepresentable, Equatable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let normal = YamuxGoAwayCode(rawValue: 0)
    public static let protocolError = YamuxGoAwayCode(rawValue: 1)
    public static let internalError = YamuxGoAwayCode(rawValue: 2)
}

extension YamuxGoAwayCode: CustomStringConvertible {
    public var description: String {
        switch self {
        case .normal: "normal end"
        case .protocolError: "protocol error"
        case .internalError: "internal error"
        default: "code \(self.rawValue)"
        }
    }
}

/// Why no stream can be opened now.
public enum YamuxOpenError: Error, Equatable, Sendable {
    case sessionEnded(YamuxSessionError)
    /// The peer announced the session's end; open streams go on, new ones are not possible.
    case peerWentAway
    /// ``YamuxLimits/unacknowledgedStreamCountMax`` streams wait for the peer. ``YamuxEvent/canOpen`` comes when one is free.
    case tooManyUnacknowledged
    /// All 2³¹ numbers of this side were used.
    case streamIDsExhausted
}

extension YamuxOpenError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .sessionEnded(let error): "no stream can be opened: \(error)"
        case .peerWentAway: "no stream can be opened: the peer announced the session's end; dial again"
        case .tooManyUnacknowledged: "no stream can be opened now: the peer has not yet accepted the earlier ones"
        case .streamIDsExhausted: "no stream can be opened: the session has used up its numbers; dial again"
        }
    }
}

/// Why a stream takes no bytes.
public enum YamuxWriteError: Error, Equatable, Sendable {
    /// The stream was reset, or both its ends were closed, or it never existed.
    case noSuchStream(YamuxStreamID)
    /// This side has closed its direction.
    case closed(YamuxStreamID)
    /// The send buffer is full. ``YamuxEvent/writable(_:)`` comes when half of it is free.
    case bufferFull(YamuxStreamID)
}

extension YamuxWriteError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSuchStream(let id): "\(id) is not open"
        case .closed(let id): "\(id) is closed for writing"
        case .bufferFull(let id): "the send buffer of \(id) is full; wait until it is writable again"
        }
    }
}
