/// circuit relay v2, the relay's side: places for peers that cannot be reached, and circuits to them, all of it limited.
///
///     RESERVE ──▶ limits ──▶ OK, voucher                 (gone with its time, or with the peer's last connection)
///     CONNECT ──▶ limits ──▶ STOP to the target ──OK──▶ OK; then bytes both ways, until either ends, or a limit resets both
public struct RelayServer: ProtocolMachine {
    public struct Configuration: Sendable {
        /// How long a place lasts (go-libp2p and py-libp2p: 1 h).
        public var reservationDuration: Duration = .seconds(3_600)
        /// Most places (go-libp2p and rust-libp2p: 128), and most of one household (go-libp2p: 8).
        public var reservationCountMax = 128
        public var reservationsPerHouseholdMax = 8
        /// What each circuit is limited to (go, js and rust: 2 min, 128 KiB); `nil` parts for no limit.
        public var circuitLimit = RelayLimit(duration: .seconds(120), byteCount: 131_072)
        /// Most circuits, and most of one peer, whichever end of them it is (rust-libp2p: 16 and 4). Of both a household at the other end has
        /// at most what is left, so half: whoever makes up peers does not cut one off that can be reached in no other way.
        public var circuitCountMax = 64
        public var circuitsPerPeerMax = 4
        /// How often one peer may ask (rust-libp2p: 30 an hour), and one household (60 an hour); the first may come at once.
        public var requestsPerPeerBurst = 30
        public var requestsPerPeerInterval: Duration = .seconds(120)
        public var requestsPerHouseholdBurst = 60
        public var requestsPerHouseholdInterval: Duration = .seconds(60)
        /// Most peers and households whose requests are counted; beyond it strangers are refused.
        public var countedMax = 4_096
        /// Most streams of one peer, and of all, that are open for a request at a time.
        public var requestStreamsPerPeerMax = 8
        public var requestStreamsMax = 512
        /// How long a request, an answer of the other peer, or the end of a refused stream may take.
        public var timeout: Duration = .seconds(15)
        /// Bytes that wait for one end of a circuit before the other end is read no more. Little: the streams have buffers of their own.
        public var underWayByteCountMax = 65_536
        /// Most bytes that a source may send before its circuit stands. It should send none.
        public var earlyByteCountMax = 4_096
        /// Peers that are not served.
        public var deniedPeers: Set<PeerID> = []

        public init() {}
    }

    public struct Counters: Equatable, Sendable {
        public var reservations = 0
        public var renewals = 0
        public var circuits = 0
        public var bytes: UInt64 = 0
        public var refused = 0
    }

    public enum CircuitEnd: Equatable, Sendable {
        /// Both ends said all they had to say.
        case finished
        /// One of the ends, or its connection, went.
        case reset
        case durationLimit
        case byteLimit
        /// It never stood.
        case failed(RelayError)
    }

    public enum Event: Equatable, Sendable {
        case reserved(PeerID, isRenewal: Bool)
        case reservationEnded(PeerID, RelayError)
        case circuitStands(from: PeerID, to: PeerID)
        case circuitEnded(from: PeerID, to: PeerID, CircuitEnd, byteCount: UInt64)
        case refused(PeerID, RelayStatus)
        /// A peer opened a stream for a request and made none: it ended the stream (`ended`), or let its time pass (`timedOut`).
        case requestMissing(PeerID, RelayError)
    }

    struct Place: Sendable {
        let household: [UInt8]
    }

    struct Hop: Sendable {
        let info: ConnectionInfo
        /// `nil` once it is answered, and its end is waited for.
        var reader: ServiceFrameReader?
    }

    struct Circuit: Sendable {
        enum Phase: Sendable {
            /// The stream to the target; its request has the circuit's number.
            case opening
            case asking(ServiceFrameReader)
            case standing
        }

        let sourceInfo: ConnectionInfo
        let target: PeerID
        let sourceStream: StreamID
        var targetStream: StreamID?
        var phase: Phase
        var early: [UInt8] = []
        var bytesFromSource: UInt64 = 0
        var bytesFromTarget: UInt64 = 0
        /// Bytes written since that end had taken all, and whether the other end is therefore not read.
        var underWayToSource = 0
        var underWayToTarget = 0
        var isSourcePaused = false
        var isTargetPaused = false
        var sourceHasEnded = false
        var targetHasEnded = false

        var source: PeerID { self.sourceInfo.peer }
    }

    enum Timer: Hashable, Sendable {
        case hop(StreamID)
        case circuit(UInt64)
        case place(PeerID)
    }

    let identity: PeerIdentity
    let configuration: Configuration
    /// What is added to `now` for the time since 1970, in which the ends of reservations are stated.
    public var unixOffset: Duration
    /// Where we can be reached, for the addresses of those with a place.
    public var addresses: [Multiaddr]
    var places: [PeerID: Place] = [:]
    var hops: [StreamID: Hop] = [:]
    var hopCounts: [PeerID: Int] = [:]
    var circuits: [UInt64: Circuit] = [:]
    var circuitCounts: [PeerID: Int] = [:]
    /// What the sources' households have of all circuits, and of those to one target.
    var circuitShares = HouseholdShares()
    var circuitSharesOfTarget: [PeerID: HouseholdShares] = [:]
    var circuitOfStream: [StreamID: UInt64] = [:]
    var connectionCounts: [PeerID: Int] = [:]
    var peerBudgets: ServiceBudgets<PeerID>
    var householdBudgets: ServiceBudgets<[UInt8]>
    var deadlines = ServiceDeadlines<Timer>()
    var outbox = ServiceOutbox<Event>()
    var nextNumber: UInt64 = 0
    public internal(set) var counters = Counters()

    public init(_ identity: PeerIdentity, unixOffset: Duration, addresses: [Multiaddr], configuration: Configuration = Configuration()) {
        self.identity = identity
        self.unixOffset = unixOffset
        self.addresses = addresses
        self.configuration = configuration
        self.peerBudgets = ServiceBudgets(
            rate: .init(burst: configuration.requestsPerPeerBurst, interval: configuration.requestsPerPeerInterval),
            countMax: configuration.countedMax)
        self.householdBudgets = ServiceBudgets(
            rate: .init(burst: configuration.requestsPerHouseholdBurst, interval: configuration.requestsPerHouseholdInterval),
            countMax: configuration.countedMax)
    }

    public var servedProtocolIDs: [String] { [RelayClient.hopProtocolID] }
    public var deadline: Duration? { self.deadlines.next }
    public mutating func nextCommand() -> ProtocolCommand? { self.outbox.nextCommand() }
    public mutating func nextEvent() -> Event? { self.outbox.nextEvent() }

    /// The peers that have a place.
    public var reservedPeers: [PeerID] { self.places.keys.sorted() }
    public func isReserved(_ peer: PeerID) -> Bool { self.places[peer] != nil }
    /// Circuits that stand or begin.
    public var circuitCount: Int { self.circuits.count }

    public var heldByteCount: Int {
        self.outbox.heldByteCount + self.places.count * 128
            + self.hops.values.reduce(0) { $0 + 192 + ($1.reader?.heldByteCount ?? 0) }
            + self.circuits.values.reduce(0) { $0 + 256 + $1.early.count }
            + (self.peerBudgets.count + self.householdBudgets.count) * 96
    }

    // MARK: Requests

    mutating func admit(_ stream: StreamID, _ info: ConnectionInfo, now: Duration) {
        let count = self.hopCounts[info.peer] ?? 0
        guard count < self.configuration.requestStreamsPerPeerMax, self.makeRoomForHop(of: info.household) else {
            return self.turnAway(stream, info.peer)
        }
        self.hopCounts[info.peer] = count + 1
        self.hops[stream] = Hop(info: info, reader: ServiceFrameReader(byteCountMax: RelayMessage.receivedByteCountMax))
        self.deadlines.set(.hop(stream), at: now + self.configuration.timeout)
    }

    private mutating func turnAway(_ stream: StreamID, _ peer: PeerID) {
        self.counters.refused += 1
        self.outbox.send(.reset(stream))
        self.outbox.report(.refused(peer, .resourceLimitExceeded))
    }

    /// When all places are taken, the household that has most of them gives up its oldest, unless the newcomer's has as many: who opens
    /// streams and says nothing keeps nobody else from asking.
    private mutating func makeRoomForHop(of household: [UInt8]) -> Bool {
        guard self.hops.count >= self.configuration.requestStreamsMax else { return true }
        let counts: [[UInt8]: Int] = self.hops.values.reduce(into: [:]) { $0[$1.info.household, default: 0] += 1 }
        guard let most = counts.values.max(), most > counts[household, default: 0] + 1,
            // Streams are numbered as they come.
            let oldest = self.hops.filter({ counts[$0.value.info.household] == most }).min(by: { $0.key < $1.key })
        else { return false }
        self.forget(hop: oldest.key)
        self.turnAway(oldest.key, oldest.value.info.peer)
        return true
    }

    /// A stream without a request, to which there is nothing to answer. One that was answered goes without a word.
    mutating func giveUp(hop stream: StreamID, _ error: RelayError) {
        guard let hop = self.hops[stream] else { return }
        self.forget(hop: stream)
        guard hop.reader != nil else { return }
        self.counters.refused += 1
        self.outbox.report(.requestMissing(hop.info.peer, error))
    }

    mutating func forget(hop stream: StreamID) {
        guard let hop = self.hops.removeValue(forKey: stream) else { return }
        self.deadlines.remove(.hop(stream))
        let count = (self.hopCounts[hop.info.peer] ?? 1) - 1
        self.hopCounts[hop.info.peer] = count == 0 ? nil : count
    }

    mutating func request(_ stream: StreamID, _ hop: Hop, _ bytes: [UInt8], now: Duration) {
        guard var reader = hop.reader else { return }
        let message: HopMessage
        let rest: [UInt8]
        do {
            guard let found = try reader.receive(bytes) else {
                self.hops[stream]?.reader = reader
                return
            }
            message = try HopMessage(parsing: found.frame)
            rest = found.rest
        } catch {
            return self.refuse(stream, hop.info.peer, .malformedMessage, now: now)
        }
        if let status = self.refusal(of: hop.info, now: now) { return self.refuse(stream, hop.info.peer, status, now: now) }
        switch message.kind {
        case .reserve: self.reserve(stream, hop.info, now: now)
        case .connect: self.connect(stream, hop.info, to: message.peer, rest, now: now)
        case .status: self.refuse(stream, hop.info.peer, .unexpectedMessage, now: now)
        }
    }

    /// What speaks against any request of this peer.
    private mutating func refusal(of info: ConnectionInfo, now: Duration) -> RelayStatus? {
        // A relay over a relay would lend out what is not its own.
        if info.isLimited || info.remoteAddress.isRelayed { return .permissionDenied }
        if self.configuration.deniedPeers.contains(info.peer) { return .permissionDenied }
        // The household first: whoever makes up peers in one takes no more places among those that are counted than it may ask.
        let mayAsk =
            self.householdBudgets.spend(info.remoteAddress.household ?? [], now: now) && self.peerBudgets.spend(info.peer, now: now)
        return mayAsk ? nil : .resourceLimitExceeded
    }

    mutating func refuse(_ stream: StreamID, _ peer: PeerID, _ status: RelayStatus, now: Duration) {
        self.counters.refused += 1
        self.outbox.report(.refused(peer, status))
        self.answer(stream, HopMessage(.status, status: status), now: now)
    }

    /// Answers and ends our direction; the peer has a while for its own.
    mutating func answer(_ stream: StreamID, _ message: HopMessage, now: Duration) {
        self.hops[stream]?.reader = nil
        self.deadlines.set(.hop(stream), at: now + self.configuration.timeout)
        self.outbox.send(.write(stream, FrameReader.frame(message.bytes)))
        self.outbox.send(.closeWrite(stream))
    }

    // MARK: Reservations

    private mutating func reserve(_ stream: StreamID, _ info: ConnectionInfo, now: Duration) {
        let isRenewal = self.places[info.peer] != nil
        if !isRenewal {
            let household = info.remoteAddress.household ?? []
            let neighbours = self.places.values.count { $0.household == household }
            guard self.places.count < self.configuration.reservationCountMax,
                neighbours < self.configuration.reservationsPerHouseholdMax
            else { return self.refuse(stream, info.peer, .reservationRefused, now: now) }
            self.places[info.peer] = Place(household: household)
        }
        self.deadlines.set(.place(info.peer), at: now + self.configuration.reservationDuration)
        if isRenewal { self.counters.renewals += 1 } else { self.counters.reservations += 1 }
        self.answer(stream, self.confirmation(for: info.peer, now: now), now: now)
        self.outbox.report(.reserved(info.peer, isRenewal: isRenewal))
    }

    /// The answer to a reservation, with as many of our addresses as others read.
    private func confirmation(for peer: PeerID, now: Duration) -> HopMessage {
        let end = (now + self.unixOffset + self.configuration.reservationDuration).components.seconds
        let expiration = UInt64(clamping: end)
        let voucher = RelayVoucher(relay: self.identity.id, peer: peer, expiration: expiration).sealed(by: self.identity).bytes
        let addresses = self.addresses.filter { !$0.isRelayed }.map { $0.withoutPeerID.appending(.p2p(self.identity.id)) }
        var reservation = HopMessage.Reservation(
            expiration: expiration, addresses: Array(addresses.prefix(RelayMessage.addressCountMax)), voucher: voucher)
        while true {
            let message = HopMessage(.status, reservation: reservation, limit: self.configuration.circuitLimit, status: .ok)
            if message.bytes.count <= RelayMessage.sentByteCountMax || reservation.addresses.isEmpty { return message }
            reservation.addresses.removeLast()
        }
    }

    mutating func endPlace(_ peer: PeerID, _ error: RelayError) {
        guard self.places.removeValue(forKey: peer) != nil else { return }
        self.deadlines.remove(.place(peer))
        self.outbox.report(.reservationEnded(peer, error))
    }
}
