/// What a relay, or a peer behind one, answers (circuit relay v2, "Protobuf").
public enum RelayStatus: Hashable, Sendable, CustomStringConvertible {
    case ok
    case reservationRefused
    case resourceLimitExceeded
    case permissionDenied
    case connectionFailed
    case noReservation
    case malformedMessage
    case unexpectedMessage
    /// A number that the specification does not have. It is no success.
    case unknown(UInt64)

    init(code: UInt64) {
        self =
            switch code {
            case 100: .ok
            case 200: .reservationRefused
            case 201: .resourceLimitExceeded
            case 202: .permissionDenied
            case 203: .connectionFailed
            case 204: .noReservation
            case 400: .malformedMessage
            case 401: .unexpectedMessage
            default: .unknown(code)
            }
    }

    var code: UInt64 {
        switch self {
        case .ok: 100
        case .reservationRefused: 200
        case .resourceLimitExceeded: 201
        case .permissionDenied: 202
        case .connectionFailed: 203
        case .noReservation: 204
        case .malformedMessage: 400
        case .unexpectedMessage: 401
        case .unknown(let code): code
        }
    }

    public var description: String {
        switch self {
        case .ok: "ok"
        case .reservationRefused: "the relay takes no reservation now"
        case .resourceLimitExceeded: "the relay has reached a limit"
        case .permissionDenied: "the relay does not serve this peer, or not over this connection"
        case .connectionFailed: "the relay could not reach the other peer"
        case .noReservation: "the other peer has no reservation at the relay"
        case .malformedMessage: "the message could not be read"
        case .unexpectedMessage: "the message came at the wrong moment"
        case .unknown(let code): "status \(code), which the specification does not have"
        }
    }
}

/// How long a relay keeps a circuit, and how many bytes it carries in each direction.
public struct RelayLimit: Hashable, Sendable {
    /// `nil` for no limit.
    public var duration: Duration?
    public var byteCount: UInt64?

    public init(duration: Duration?, byteCount: UInt64?) {
        self.duration = duration
        self.byteCount = byteCount
    }

    public var isUnlimited: Bool { self.duration == nil && self.byteCount == nil }

    /// Zero stands for no limit, as absence does.
    init(_ message: ProtobufReader) throws(ProtobufError) {
        var (reader, seconds, byteCount) = (message, UInt32(0), UInt64(0))
        while let field = try reader.next() {
            switch field.number {
            case 1: seconds = try field.unsigned32()
            case 2: byteCount = try field.unsigned()
            default: break
            }
        }
        self.duration = seconds == 0 ? nil : .seconds(Int64(seconds))
        self.byteCount = byteCount == 0 ? nil : byteCount
    }

    func write(to message: inout ProtobufWriter) {
        if let duration = self.duration {
            message.unsigned(UInt64(clamping: min(max(duration.components.seconds, 1), Int64(UInt32.max))), field: 1)
        }
        if let byteCount = self.byteCount { message.unsigned(byteCount, field: 2) }
    }
}

/// Why bytes are no message of the relay's protocols.
public enum RelayMessageError: Error, Equatable, Sendable, CustomStringConvertible {
    case protobuf(ProtobufError)
    case unknownType(UInt64)
    case peerID(PeerIDError)

    public var description: String {
        switch self {
        case .protobuf(let error): "relay message: \(error)"
        case .unknownType(let type): "relay message: type \(type) does not exist"
        case .peerID(let error): "relay message: \(error)"
        }
    }
}

/// What every message of the relay's protocols has in common.
enum RelayMessage {
    /// Most bytes of a message that is read: a reservation with many addresses has one or two thousand.
    static let receivedByteCountMax = 16_384
    /// Most bytes of a message that is sent (go-libp2p, `maxMessageSize`).
    static let sentByteCountMax = 4_096
    /// Most addresses that are kept of a relay; those behind are passed over.
    static let addressCountMax = 16

    /// The `id` of a `Peer`. Its addresses are for active relays, which are deprecated.
    static func peer(_ message: ProtobufReader) throws(RelayMessageError) -> PeerID {
        var (reader, id) = (message, ArraySlice<UInt8>?.none)
        do throws(ProtobufError) {
            while let field = try reader.next() { if field.number == 1 { id = try field.bytes() } }
        } catch {
            throw .protobuf(error)
        }
        guard let id else { throw .protobuf(.missing(field: 1)) }
        do throws(PeerIDError) {
            return try PeerID(parsing: id)
        } catch {
            throw .peerID(error)
        }
    }
}

/// Between a relay and its clients: `/libp2p/circuit/relay/0.2.0/hop`.
struct HopMessage: Equatable, Sendable {
    enum Kind: UInt64, Sendable {
        case reserve = 0
        case connect = 1
        case status = 2
    }

    /// A reservation as it travels.
    struct Reservation: Equatable, Sendable {
        /// Unix seconds.
        var expiration: UInt64 = 0
        var addresses: [Multiaddr] = []
        /// The bytes of a signed envelope; empty for none.
        var voucher: [UInt8] = []
    }

    var kind: Kind
    var peer: PeerID?
    var reservation: Reservation?
    var limit: RelayLimit?
    var status: RelayStatus?

    init(_ kind: Kind, peer: PeerID? = nil, reservation: Reservation? = nil, limit: RelayLimit? = nil, status: RelayStatus? = nil) {
        (self.kind, self.peer, self.reservation, self.limit, self.status) = (kind, peer, reservation, limit, status)
    }

    /// A peer id that cannot be read counts in a `CONNECT` only: elsewhere the field means nothing.
    init(parsing bytes: [UInt8]) throws(RelayMessageError) {
        var (type, peer) = (UInt64?.none, ProtobufReader?.none)
        do throws(ProtobufError) {
            var reader = try ProtobufReader(bytes, byteCountMax: RelayMessage.receivedByteCountMax)
            while let field = try reader.next() {
                switch field.number {
                case 1: type = try field.unsigned()
                case 2: peer = try field.message()
                case 3: self.reservation = try Self.reservation(field.message())
                case 4: self.limit = try RelayLimit(field.message())
                case 5: self.status = RelayStatus(code: try field.unsigned())
                default: break
                }
            }
            if type == nil { throw .missing(field: 1) }
        } catch {
            throw .protobuf(error)
        }
        guard let kind = Kind(rawValue: type ?? 0) else { throw .unknownType(type ?? 0) }
        self.kind = kind
        guard kind == .connect else { return }
        guard let peer else { throw .protobuf(.missing(field: 2)) }
        self.peer = try RelayMessage.peer(peer)
    }

    private static func reservation(_ message: ProtobufReader) throws(ProtobufError) -> Reservation {
        var (reader, reservation) = (message, Reservation())
        while let field = try reader.next() {
            switch field.number {
            case 1: reservation.expiration = try field.unsigned()
            case 2:
                let address = try field.bytes()
                guard reservation.addresses.count < RelayMessage.addressCountMax else { continue }
                if let address = try? Multiaddr(parsing: address) { reservation.addresses.append(address) }
            case 3: reservation.voucher = Array(try field.bytes())
            default: break
            }
        }
        return reservation
    }

    var bytes: [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(self.kind.rawValue, field: 1)
            if let peer = self.peer { message.message(field: 2) { $0.bytes(peer.bytes, field: 1) } }
            if let reservation = self.reservation {
                message.message(field: 3) { inner in
                    inner.unsigned(reservation.expiration, field: 1)
                    for address in reservation.addresses { inner.bytes(address.bytes, field: 2) }
                    if !reservation.voucher.isEmpty { inner.bytes(reservation.voucher, field: 3) }
                }
            }
            if let limit = self.limit, !limit.isUnlimited { message.message(field: 4) { limit.write(to: &$0) } }
            if let status = self.status { message.unsigned(status.code, field: 5) }
        }
    }
}

/// Between a relay and the peer that a circuit leads to: `/libp2p/circuit/relay/0.2.0/stop`.
struct StopMessage: Equatable, Sendable {
    enum Kind: UInt64, Sendable {
        case connect = 0
        case status = 1
    }

    var kind: Kind
    var peer: PeerID?
    var limit: RelayLimit?
    var status: RelayStatus?

    init(_ kind: Kind, peer: PeerID? = nil, limit: RelayLimit? = nil, status: RelayStatus? = nil) {
        (self.kind, self.peer, self.limit, self.status) = (kind, peer, limit, status)
    }

    init(parsing bytes: [UInt8]) throws(RelayMessageError) {
        var (type, peer) = (UInt64?.none, ProtobufReader?.none)
        do throws(ProtobufError) {
            var reader = try ProtobufReader(bytes, byteCountMax: RelayMessage.receivedByteCountMax)
            while let field = try reader.next() {
                switch field.number {
                case 1: type = try field.unsigned()
                case 2: peer = try field.message()
                case 3: self.limit = try RelayLimit(field.message())
                case 4: self.status = RelayStatus(code: try field.unsigned())
                default: break
                }
            }
            if type == nil { throw .missing(field: 1) }
        } catch {
            throw .protobuf(error)
        }
        guard let kind = Kind(rawValue: type ?? 0) else { throw .unknownType(type ?? 0) }
        self.kind = kind
        guard kind == .connect else { return }
        guard let peer else { throw .protobuf(.missing(field: 2)) }
        self.peer = try RelayMessage.peer(peer)
    }

    var bytes: [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(self.kind.rawValue, field: 1)
            if let peer = self.peer { message.message(field: 2) { $0.bytes(peer.bytes, field: 1) } }
            if let limit = self.limit, !limit.isUnlimited { message.message(field: 3) { limit.write(to: &$0) } }
            if let status = self.status { message.unsigned(status.code, field: 4) }
        }
    }
}
