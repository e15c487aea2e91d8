/// What must hold of every network, and did not. Hosts go by their numbers, times are since the start.
public enum NetworkViolation: Equatable, Sendable, CustomStringConvertible {
    /// So long after its start a host had found nobody.
    case notJoined(host: Int)
    /// A message did not reach a connected subscriber in time; `after` is when it came at all.
    case missedDelivery(message: Int, publisher: Int, at: Duration, subscriber: Int, after: Duration?)
    /// A message was told to a subscriber more than once.
    case repeatedDelivery(host: Int, count: Int)
    /// Something came through where the network was cut.
    case crossedCut(message: Int, subscriber: Int)
    /// A mesh is too small though enough peers are there, or too large.
    case meshDegree(host: Int, at: Duration, degree: Int, availableCount: Int)
    /// Some seconds after a cut was healed, or hosts came back, hosts were still apart.
    case notConnected(at: Duration, reachedCount: Int, of: Int)
    case notStored(value: Int, writer: Int, reason: String)
    case notFound(value: Int, reader: Int, reason: String)
    case tooManyHops(value: Int, reader: Int, hopCount: Int)

    public var description: String {
        switch self {
        case .notJoined(let host): "host \(host) found no peers of the hash table"
        case .missedDelivery(let message, let publisher, let at, let subscriber, let after):
            "message \(message), published by host \(publisher) at \(at), "
                + (after.map { "reached host \(subscriber) only after \($0)" } ?? "did not reach host \(subscriber)")
        case .repeatedDelivery(let host, let count): "\(count) messages reached host \(host) more than once"
        case .crossedCut(let message, let subscriber): "message \(message) reached host \(subscriber) across the cut"
        case .meshDegree(let host, let at, let degree, let available):
            "host \(host) had \(degree) mesh peers at \(at), with \(available) to choose from"
        case .notConnected(let at, let reached, let count): "only \(reached) of \(count) hosts were connected at \(at)"
        case .notStored(let value, let writer, let reason): "host \(writer) could not put value \(value): \(reason)"
        case .notFound(let value, let reader, let reason): "host \(reader) did not find value \(value): \(reason)"
        case .tooManyHops(let value, let reader, let hops): "host \(reader) found value \(value) only after \(hops) hops"
        }
    }
}

/// The limits that a network is measured by.
public struct NetworkBounds: Equatable, Sendable {
    /// Within so many heartbeats a message reaches every subscriber that is connected.
    public var deliveryHeartbeatCountMax = 5
    /// How many mesh peers a settled node has: `D_lo` to `D_hi` of gossipsub.
    public var meshDegree = 5...12
    /// Within so many hops a value is found.
    public var hopCountMax = 5

    public init() {}
}
