/// Why what a peer says about itself does not count, or did not come.
public enum IdentifyError: Error, Equatable, Sendable, CustomStringConvertible {
    case stream(StreamFailure)
    case frame(FrameReader.Failure)
    case protobuf(ProtobufError)
    /// More messages on one stream than `IdentifyMessage.messageCountMax`.
    case tooManyMessages
    /// More bytes on one stream than `IdentifyMessage.receivedByteCountMax`.
    case tooManyBytes
    /// All peers together have said more than is kept, and this one has taken longest.
    case tooManyUnfinished
    /// The stream ended without a message, or in the middle of one.
    case truncated
    case key(PeerKeyError)
    /// The peer shows the key of another peer.
    case keyOfAnother(PeerID)
    case record(SignedEnvelopeError)
    /// The peer passes on another peer's record as its own.
    case recordOfAnother
    case timedOut
    /// The peer reset the stream.
    case reset
    /// The peer pushes more often than its own information can change.
    case tooManyPushes
    /// The peer asks again and again.
    case tooManyQuestions

    public var description: String {
        switch self {
        case .stream(let failure): "identify: no stream to the peer (\(failure))"
        case .frame(let failure): "identify: what came is no message with its length before it (\(failure))"
        case .protobuf(let error): "identify: \(error)"
        case .tooManyMessages: "identify: more than \(IdentifyMessage.messageCountMax) messages on one stream"
        case .tooManyBytes: "identify: more than \(IdentifyMessage.receivedByteCountMax) bytes on one stream"
        case .tooManyUnfinished: "identify: too many peers do not finish what they say, and this one has taken longest"
        case .truncated: "identify: the stream ended before the message did"
        case .key(let error): "identify: \(error)"
        case .keyOfAnother(let peer): "identify: the peer shows the key of \(peer)"
        case .record(let error): "identify: \(error)"
        case .recordOfAnother: "identify: the peer shows another peer's record as its own"
        case .timedOut: "identify: the peer did not answer in time"
        case .reset: "identify: the peer broke the stream off"
        case .tooManyPushes: "identify: the peer sends news of itself too often"
        case .tooManyQuestions: "identify: the peer asks for our information too often"
        }
    }
}

/// What identify has done, and what it has not believed.
public struct IdentifyCounters: Equatable, Sendable {
    public var identified = 0
    public var pushesTaken = 0
    public var pushesSent = 0
    public var answered = 0
    /// Answers and pushes that did not count, and questions that got no answer.
    public var refused = 0
    /// Observed addresses that got no vote: relayed, unreadable to dial, or of another scope than the observer.
    public var observationsIgnored = 0
}
