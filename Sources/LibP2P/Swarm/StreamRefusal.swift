/// Why a stream was reset here although nobody here wanted it to end: what the peer did on it, or which limit it met.
public enum StreamRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// The peer had as many streams open on the connection as it may.
    case tooManyStreams(maximum: Int)
    /// So many streams of the peer's were agreeing on a protocol.
    case tooManyNegotiating(maximum: Int)
    /// What the peer said on a stream of its own is no agreement on a protocol.
    case negotiation(MultistreamError)
    /// The peer named no protocol that is spoken here in time.
    case negotiationTimedOut
    /// The peer broke a rule of the stream, or what it sent was not read.
    case session(YamuxStreamFault)
    /// The peer took nothing of what one of our machines wrote, of which so many bytes may wait.
    case notReading(maximum: Int)

    public var description: String {
        switch self {
        case .tooManyStreams(let maximum): "the connection has \(maximum) streams of the peer's, which is the limit"
        case .tooManyNegotiating(let maximum): "\(maximum) streams of the peer's are agreeing on a protocol, which is the limit"
        case .negotiation(let error): "agreeing on a stream's protocol: \(error)"
        case .negotiationTimedOut: "the peer named no protocol for its stream in time"
        case .session(let fault): fault.description
        case .notReading(let maximum): "the peer does not read: \(maximum) bytes wait for it, which is the limit"
        }
    }
}
