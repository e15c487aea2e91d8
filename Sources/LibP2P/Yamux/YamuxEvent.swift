/// What a session's user should know. Events come in the order in which things happened.
public enum YamuxEvent: Equatable, Sendable {
    /// The peer opened a stream. Answer with ``YamuxSession/accept(_:)`` or ``YamuxSession/reset(_:code:)``.
    case opened(YamuxStreamID)
    /// The peer took a stream that we opened.
    case acknowledged(YamuxStreamID)
    /// There is something to read where there was nothing. Comes again only after all was read.
    case readable(YamuxStreamID)
    /// The peer closed its direction and everything it sent has been read.
    case ended(YamuxStreamID)
    /// The send buffer refused bytes before and is now half empty.
    case writable(YamuxStreamID)
    /// The peer wants nothing more from us on a stream that it had closed before; what it sent can still be read.
    case peerStoppedReading(YamuxStreamID)
    /// The stream is gone, with all that was not read or sent. The code is 0 where the peer gave none.
    case reset(YamuxStreamID, code: UInt32, by: YamuxResetOrigin)
    /// Both directions are closed and everything was read; the stream is gone.
    case finished(YamuxStreamID)
    /// A stream can be opened again, after ``YamuxOpenError/tooManyUnacknowledged``.
    case canOpen
    /// Our ping came back.
    case pingAnswered(roundTrip: Duration)
    /// The peer announced the session's end: open streams go on, new ones are not possible.
    case wentAway
    /// The session ended, and all its streams with it. Send what ``YamuxSession/fill(_:now:)`` still gives, then close.
    case closed(YamuxSessionError)
}

/// Who gave up a stream that this side's user had not.
public enum YamuxResetOrigin: Equatable, Sendable {
    case peer
    /// The session itself.
    case session(YamuxStreamFault)
}

/// Why a session gave up a stream by itself.
public enum YamuxStreamFault: Hashable, Sendable, CustomStringConvertible {
    /// The peer sent data after it had closed its direction.
    case dataAfterEnd
    /// ``YamuxLimits/receiveBufferByteCountMax`` was reached: too much waits to be read, on all streams together.
    case bufferOverflow

    public var description: String {
        switch self {
        case .dataAfterEnd: "the peer sent data on a stream after its end"
        case .bufferOverflow: "too many bytes of the connection's streams wait to be read"
        }
    }
}
