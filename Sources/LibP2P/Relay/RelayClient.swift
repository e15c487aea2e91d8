/// A place at a relay, by which others reach us.
public struct RelayReservation: Equatable, Sendable {
    public let relay: PeerID
    /// Unix seconds.
    public let expiration: UInt64
    /// Where the relay can be reached, as it says.
    public let relayAddresses: [Multiaddr]
    /// What circuits to us are limited to; `nil` for no limit.
    public let limit: RelayLimit?
    /// Verified. Relays need not give one.
    public let voucher: RelayVoucher?
    /// The voucher's envelope, to be shown to others.
    public let voucherBytes: [UInt8]

    /// Where others reach `peer` by this reservation: `…/p2p/RELAY/p2p-circuit/p2p/PEER`.
    public func circuitAddresses(for peer: PeerID) -> [Multiaddr] {
        let relays = self.relayAddresses.isEmpty ? [Multiaddr([])] : self.relayAddresses.map(\.withoutPeerID)
        return relays.map { $0.appending(.p2p(self.relay), .p2pCircuit, .p2p(peer)) }
    }
}

/// circuit relay v2, its clients' side: reservations that are renewed, and asked for again when they are lost; circuits to others, and
/// circuits from others.
///
///     reserve ──RESERVE──▶ relay ──OK──▶ `reserved` ──¾ of its time──▶ RESERVE again …
///                                            └─lost─▶ `notReserved` ──later each time──▶ dial, RESERVE again …
///     connect ──CONNECT──▶ relay ──OK──▶ `circuit`, outbound
///     relay ──STOP CONNECT──▶ OK ──▶ `circuit`, inbound
public struct RelayClient: ProtocolMachine {
    public static let hopProtocolID = "/libp2p/circuit/relay/0.2.0/hop"
    public static let stopProtocolID = "/libp2p/circuit/relay/0.2.0/stop"

    public struct Configuration: Sendable {
        /// How long the relay may take for an answer; it may have to wait for the other peer.
        public var timeout: Duration = .seconds(30)
        /// Time until a renewal that failed is tried again.
        public var retryInterval: Duration = .seconds(30)
        /// Least time between two renewals, whatever the relay says.
        public var renewalIntervalMin: Duration = .seconds(10)
        /// When a place that was lost is asked for again: after so long first, then after twice as long each time, and up to a quarter more, so
        /// that not all come at once who lost the same relay.
        public var askAgainFirst: Duration = .seconds(5)
        public var askAgainMax: Duration = .seconds(600)
        /// Longest time for which a reservation is believed.
        public var lifetimeMax: Duration = .seconds(86_400)
        /// Most circuits that are asked for at a time.
        public var pendingConnectsMax = 64
        /// Most circuits of one relay that begin at a time, and of all.
        public var pendingCircuitsPerRelayMax = 16
        public var pendingCircuitsMax = 64
        /// Most bytes that are kept of a circuit before it is taken.
        public var bytesBeforeTakenMax = 65_536
        /// How long a circuit may wait to be taken.
        public var takeTimeout: Duration = .seconds(10)

        public init() {}
    }

    public struct Counters: Equatable, Sendable {
        public var reserved = 0
        public var circuitsOut = 0
        public var circuitsIn = 0
        public var failed = 0
        public var refused = 0
    }

    public enum Event: Equatable, Sendable {
        case reserved(RelayReservation, isRenewal: Bool)
        /// There is no reservation at the relay, or no more.
        case notReserved(PeerID, RelayError)
        /// Call `take` and make the stream a connection's pipe (RelayCircuit.swift).
        case circuit(RelayCircuit)
        case connectFailed(tag: UInt64, to: PeerID, through: PeerID, RelayError)
        /// What a relay did was refused.
        case refused(PeerID, RelayError)
    }

    struct Place: Sendable {
        var reservation: RelayReservation?
        var isAsking = true
        /// There was a reservation: it is asked for again when it is lost.
        var hasStood = false
        /// How often in a row that was in vain.
        var failureCount = 0
        /// Where the relay was reached.
        var address: Multiaddr?
    }

    enum Request: Sendable {
        case reserve(PeerID)
        case connect(tag: UInt64, to: PeerID, through: PeerID)
    }

    struct Exchange: Sendable {
        enum Kind: Sendable {
            case reserve
            case connect(tag: UInt64, to: PeerID)
            /// A circuit that a relay opens to us.
            case stop
            /// It stands and waits to be taken, with what came meanwhile.
            case standing(isOutbound: Bool, [UInt8], hasEnded: Bool)
        }

        let relay: PeerID
        var kind: Kind
        var reader = ServiceFrameReader(byteCountMax: RelayMessage.receivedByteCountMax)
    }

    enum Timer: Hashable, Sendable {
        case stream(StreamID)
        case renewal(PeerID)
    }

    let localPeer: PeerID
    let configuration: Configuration
    /// What is added to `now` for the time since 1970, which relays state the ends of reservations in.
    public var unixOffset: Duration
    var places: [PeerID: Place] = [:]
    var requests: [UInt64: Request] = [:]
    var streams: [StreamID: Exchange] = [:]
    var connectionCounts: [PeerID: Int] = [:]
    var deadlines = ServiceDeadlines<Timer>()
    var outbox = ServiceOutbox<Event>()
    var nextRequest: UInt64 = 0
    public internal(set) var counters = Counters()

    public init(localPeer: PeerID, unixOffset: Duration, configuration: Configuration = Configuration()) {
        self.localPeer = localPeer
        self.unixOffset = unixOffset
        self.configuration = configuration
    }

    public var servedProtocolIDs: [String] { [Self.stopProtocolID] }
    public var deadline: Duration? { self.deadlines.next }
    public mutating func nextCommand() -> ProtocolCommand? { self.outbox.nextCommand() }
    public mutating func nextEvent() -> Event? { self.outbox.nextEvent() }

    public var heldByteCount: Int {
        self.streams.values.reduce(self.outbox.heldByteCount + self.places.count * 1_024 + self.requests.count * 128) { count, exchange in
            guard case .standing(_, let bytes, _) = exchange.kind else { return count + 128 + exchange.reader.heldByteCount }
            return count + 128 + bytes.count
        }
    }

    /// The reservations that stand.
    public var reservations: [RelayReservation] {
        self.places.values.compactMap(\.reservation).sorted { $0.relay < $1.relay }
    }

    // MARK: What the user wants

    /// Asks a connected relay for a place, and keeps it until `cancel`: one that is lost, with the connection or because the relay wants no
    /// more, is asked for again. One that never stood is not.
    public mutating func reserve(at relay: PeerID, now: Duration) {
        guard self.places[relay]?.isAsking != true else { return }
        self.places[relay, default: Place()].isAsking = true
        self.ask(relay)
    }

    /// Renews no more. The relay forgets the place by itself.
    public mutating func cancel(at relay: PeerID) {
        self.places[relay] = nil
        self.deadlines.remove(.renewal(relay))
    }

    /// Asks a connected relay for a circuit to a peer; `circuit` or `connectFailed` follows with the same tag.
    public mutating func connect(to peer: PeerID, through relay: PeerID, tag: UInt64, now: Duration) {
        let pending =
            self.requests.values.count { if case .connect = $0 { true } else { false } }
            + self.streams.values.count { if case .connect = $0.kind { true } else { false } }
        guard pending < self.configuration.pendingConnectsMax else {
            let error = RelayError.tooManyPending(maximum: self.configuration.pendingConnectsMax)
            return self.outbox.report(.connectFailed(tag: tag, to: peer, through: relay, error))
        }
        self.open(.connect(tag: tag, to: peer, through: relay), relay)
    }

    /// Takes a circuit's stream over from the machine, which then knows it no more. `nil` when it is gone.
    public mutating func take(_ stream: StreamID) -> RelayCircuitStart? {
        guard case .standing(_, let bytes, let hasEnded)? = self.streams[stream]?.kind else { return nil }
        self.streams[stream] = nil
        self.deadlines.remove(.stream(stream))
        return RelayCircuitStart(bytes: bytes, hasEnded: hasEnded)
    }

    /// Resets a circuit's stream instead of taking it.
    public mutating func drop(_ stream: StreamID) {
        guard self.take(stream) != nil else { return }
        self.outbox.send(.reset(stream))
    }

    /// A fresh stream each time: relays end theirs after one exchange.
    mutating func open(_ request: Request, _ relay: PeerID) {
        self.nextRequest += 1
        self.requests[self.nextRequest] = request
        self.outbox.send(.open(request: self.nextRequest, relay, protocolIDs: [Self.hopProtocolID]))
    }

    mutating func ask(_ relay: PeerID) { self.open(.reserve(relay), relay) }
}
