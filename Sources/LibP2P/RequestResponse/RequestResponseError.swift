/// Why a request got no answer, or was not taken.
public enum RequestResponseError: Error, Equatable, Sendable, CustomStringConvertible {
    case stream(StreamFailure)
    case timedOut
    /// The peer ended or reset the stream without a whole answer (or request).
    case ended
    /// What came is no frame, or one that is too long.
    case frame(FrameReader.Failure)
    /// Bytes after the one frame of the stream.
    case bytesBehind
    /// We would send a frame that is longer than the protocol allows.
    case tooLong(byteCount: Int, limit: Int)
    /// So many requests to this peer wait already.
    case tooManyWaiting(maximum: Int)
    /// The peer has as many requests under way as it may.
    case tooManyRequests(maximum: Int)
    /// Too many requests have not come whole, and the peer's household has most of them.
    case tooManyPartialBytes(maximum: Int)
    /// Our user did not answer in time.
    case notAnswered
    /// The peer did not take the answer to its request in time, or took it and did not end the stream: which of the two cannot be seen, for
    /// what is written may still lie in the connection's buffers.
    case answerNotTaken

    public var description: String {
        switch self {
        case .stream(let failure): "no stream to the peer (\(failure))"
        case .timedOut: "no answer in time"
        case .ended: "the peer ended the stream before its message did"
        case .frame(let failure): "what came is no message with its length before it (\(failure))"
        case .bytesBehind: "the peer sent more than its one message"
        case .tooLong(let count, let limit): "the message has \(count) bytes, and the protocol allows \(limit)"
        case .tooManyWaiting(let maximum): "\(maximum) requests to this peer wait already; wait for some to be answered"
        case .tooManyRequests(let maximum): "the peer has \(maximum) requests under way and may have no more"
        case .tooManyPartialBytes(let maximum): "requests that have not come whole take more than \(maximum) bytes"
        case .notAnswered: "the request was not answered in time, so its stream was reset"
        case .answerNotTaken: "the peer asked, and neither took the answer nor ended the stream in time"
        }
    }
}
