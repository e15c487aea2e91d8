/// What the owner of a connection should know. Events come in the order in which things happened.
public enum ConnectionEvent: Equatable, Sendable {
    /// The peer is proved and streams can be opened. The first event, unless it is `closed`.
    case established(PeerID, PeerPublicKey)
    /// A stream that was asked for can be used.
    case opened(YamuxStreamID, protocolID: String)
    /// A stream that was asked for did not come about, and is gone.
    case failed(YamuxStreamID, StreamFailure)
    /// The peer opened a stream for a protocol that is spoken here.
    case inbound(YamuxStreamID, protocolID: String)
    /// There is something to read where there was nothing.
    case readable(YamuxStreamID)
    /// The peer has sent its last byte, and all was read. Ours may go on.
    case ended(YamuxStreamID)
    /// The peer wants nothing more from us, and has sent its last byte; what it sent can still be read.
    case peerStoppedReading(YamuxStreamID)
    /// The stream is gone with all that was under way.
    case reset(YamuxStreamID, by: YamuxResetOrigin)
    /// A stream of the peer's was reset before its owner here knew of it.
    case refused(StreamRefusal)
    /// The stream is gone, and everything was sent and read.
    case finished(YamuxStreamID)
    /// After a write that was refused: there is room again.
    case writable(YamuxStreamID)
    /// A stream can be opened again after `YamuxOpenError.tooManyUnacknowledged`.
    case canOpen
    /// The peer will open and take no more streams; open ones go on.
    case wentAway
    /// A ping came back.
    case roundTrip(Duration)
    /// The last event. Bytes that are still to be sent say goodbye; close the pipe after them.
    case closed(ConnectionError)
}
