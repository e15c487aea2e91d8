/// Why a stream was reset here although nobody here wanted it to end: what the peer did on it, or which limit it met.
public enum StreamRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// The connection's session turned the stream away: the peer had as many open as it may, or as many that nobody had looked at, or no more
    /// are taken.
    case refusedBySession
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
        case .refusedBySession: "the peer has as many streams open as it may, or opens them faster than they are looked at"
        case .tooManyNegotiating(let maximum): "\(maximum) streams of the peer's are agreeing on a protocol, which is the limit"
        case .negotiation(let error): "agreeing on a stream's protocol: \(error)"
        case .negotiationTimedOut: "the peer named no protocol for its stream in time"
        case .session(let fault): fault.description
        case .notReading(let maximum): "the peer does not read: \(maximum) bytes wait for it, which is the limit"
        }
    }
}
