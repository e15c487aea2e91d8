/// Why a reservation, a circuit or a request for one came to nothing.
public enum RelayError: Error, Equatable, Sendable, CustomStringConvertible {
    case stream(StreamFailure)
    /// The relay, or the peer behind it, said no.
    case refused(RelayStatus)
    case frame(FrameReader.Failure)
    case message(RelayMessageError)
    /// A message of the right form at the wrong moment, or without what it must have.
    case unexpectedMessage
    case timedOut
    /// The stream ended or was reset before the answer.
    case ended
    /// The reservation that the relay gave is over already by our clock.
    case expired
    case disconnected
    /// The voucher is not one of this relay for us, or is over; the reservation counts without it.
    case wrongVoucher(SignedEnvelopeError?)
    case tooManyPending(maximum: Int)
    /// Relays are not asked, and do not serve, over other relays.
    case overRelayedConnection
    /// A circuit from a peer at which we have no reservation.
    case notOurRelay
    /// More bytes than may wait before the circuit stands.
    case tooManyBytes(maximum: Int)

    public var description: String {
        switch self {
        case .stream(let failure): "relay: no stream to the peer (\(failure))"
        case .refused(let status): "relay: refused: \(status)"
        case .frame(let failure): "relay: what came is no message with its length before it (\(failure))"
        case .message(let error): "\(error)"
        case .unexpectedMessage: "relay: a message at the wrong moment"
        case .timedOut: "relay: no answer in time"
        case .ended: "relay: the stream ended before the answer"
        case .expired: "relay: the reservation is over already; compare the clocks"
        case .disconnected: "relay: the connection to the relay is gone, and the reservation with it"
        case .wrongVoucher(let error):
            "relay: the voucher does not count (\(error.map(\.description) ?? "it is for another peer, or over"))"
        case .tooManyPending(let maximum): "relay: \(maximum) wait already"
        case .overRelayedConnection: "relay: a relay does not serve over another relay"
        case .notOurRelay: "relay: a circuit from a peer at which we have no reservation"
        case .tooManyBytes(let maximum): "relay: more than \(maximum) bytes before the circuit stood"
        }
    }
}
