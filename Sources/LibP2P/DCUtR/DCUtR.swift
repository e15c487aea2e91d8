/// Direct connection upgrade through relay: two peers that a relay connects dial each other at the same moment.
///
///     B (to whom the relayed connection came)              A (who opened it)
///     waits for A's addresses, dials the public ones
///     Connect, addresses ─────────────────────────────────▶
///     ◀───────────────────────────────── Connect, addresses     B knows the round trip time
///     Sync ───────────────────────────────────────────────▶     A dials at once, as dialer
///     dials after half a round trip, as listener
///     … and all again, up to three times
public struct DCUtR: ProtocolMachine {
    public static let protocolID = "/libp2p/dcutr"

    public struct Configuration: Sendable {
        /// Whether an upgrade begins by itself with each relayed connection that comes in.
        public var isAutomatic = true
        /// How many of these may begin at once with peers that come through one relay, and one in each interval after that: for each we dial
        /// where the peer says, up to four times.
        public var automaticBurst = 16
        public var automaticInterval: Duration = .seconds(5)
        /// How long B waits to be told the peer's addresses (`learn`) before it goes on without them.
        public var addressWait: Duration = .seconds(2)
        /// How long each message may take.
        public var messageTimeout: Duration = .seconds(10)
        /// How long the dials may take until the attempt has failed.
        public var dialTimeout: Duration = .seconds(5)
        /// Three in all (DCUtR, step 6).
        public var attemptCountMax = 3
        /// Longest wait for half a round trip: a peer that answers slowly must not make us wait (py-libp2p: 2 s).
        public var syncDelayMax: Duration = .seconds(2)
        /// Most upgrades of either side at a time, and most of one peer's asking.
        public var upgradesMax = 64
        public var inboundPerPeerMax = 2
        /// Of those that peers ask for, most through one relay.
        public var inboundPerRelayMax = 16
        /// How often one peer may ask: each time we dial where it says.
        public var inboundBurst = 6
        public var inboundInterval: Duration = .seconds(30)
        /// Most addresses dialled at a time.
        public var dialledAddressesMax = 16
        /// Whether loopback and private networks are dialled where both sides dial at once. A stranger who may name them can look around in
        /// ours. Alone, without `Connect` and `Sync`, B never dials them (DCUtR, "The Protocol", step 1: "A's public address(es)").
        public var dialsPrivateAddresses = false

        public init() {}
    }

    public struct Counters: Equatable, Sendable {
        public var attempts = 0
        public var upgraded = 0
        public var failed = 0
        public var refused = 0
        /// Addresses of peers that were not dialled: not direct, not TCP, not theirs to name. Those that mean nothing outside a network are
        /// counted also where a hole punch dials them afterwards.
        public var addressesIgnored = 0
    }

    public enum Event: Equatable, Sendable {
        /// Dial now (DirectDial.swift).
        case dial(DirectDial)
        /// A direct connection stands; the relayed one can go after a while. `attempts` is 0 when no hole had to be punched.
        case upgraded(PeerID, attempts: Int)
        case failed(PeerID, DCUtRError)
        case refused(PeerID, DCUtRError)
    }

    /// B's part.
    struct Upgrade: Sendable {
        enum Phase: Sendable {
            case waitingForAddresses
            case dialling
            case opening(request: UInt64)
            case measuring(StreamID, sentAt: Duration, FrameReader)
            case delaying(StreamID, [Multiaddr])
            case punching(StreamID)
        }

        let connection: ConnectionID
        var phase: Phase
        var attempt = 0
    }

    /// A's part.
    struct Answer: Sendable {
        enum Phase: Sendable {
            case waitingForConnect
            case waitingForSync([Multiaddr])
            case punching
        }

        let peer: PeerID
        /// The address through which it came.
        let relay: Multiaddr
        var phase = Phase.waitingForConnect
        var reader = FrameReader(byteCountMax: HolePunchMessage.byteCountMax)
    }

    struct Peer: Sendable {
        var directCount = 0
        var relayed: [ConnectionInfo] = []
        var answerCount = 0
    }

    enum Timer: Hashable, Sendable {
        case upgrade(PeerID)
        case answer(StreamID)
    }

    let configuration: Configuration
    /// Where we can be reached, or may be after a punch: observed and public addresses, the best first.
    public var addresses: [Multiaddr]
    var peers: [PeerID: Peer] = [:]
    var upgrades: [PeerID: Upgrade] = [:]
    var answers: [StreamID: Answer] = [:]
    var requests: [UInt64: PeerID] = [:]
    var peerOfStream: [StreamID: PeerID] = [:]
    var inboundBudgets: ServiceBudgets<PeerID>
    /// By the relay's address.
    var automaticBudgets: ServiceBudgets<[UInt8]>
    var deadlines = ServiceDeadlines<Timer>()
    var outbox = ServiceOutbox<Event>()
    var nextRequest: UInt64 = 0
    public internal(set) var counters = Counters()

    public init(addresses: [Multiaddr] = [], configuration: Configuration = Configuration()) {
        self.addresses = addresses
        self.configuration = configuration
        // As many as can have a relayed connection at a time, and room for those that come again.
        self.inboundBudgets = ServiceBudgets(
            rate: .init(burst: configuration.inboundBurst, interval: configuration.inboundInterval), countMax: 4_096)
        // Relays are chosen by the node's owner: no stranger adds one.
        self.automaticBudgets = ServiceBudgets(
            rate: .init(burst: configuration.automaticBurst, interval: configuration.automaticInterval), countMax: 256)
    }

    public var servedProtocolIDs: [String] { [Self.protocolID] }
    public var deadline: Duration? { self.deadlines.next }
    public mutating func nextCommand() -> ProtocolCommand? { self.outbox.nextCommand() }
    public mutating func nextEvent() -> Event? { self.outbox.nextEvent() }

    public var heldByteCount: Int {
        self.outbox.heldByteCount + self.answers.values.reduce(0) { $0 + 512 + $1.reader.heldByteCount }
            + self.upgrades.values.reduce(0) { count, upgrade in
                if case .measuring(_, _, let reader) = upgrade.phase { count + 512 + reader.heldByteCount } else { count + 512 }
            } + (self.inboundBudgets.count + self.automaticBudgets.count) * 96
    }

    // MARK: What the user wants

    /// Begins an upgrade with a peer to which there is a relayed connection, whoever opened that.
    ///
    /// - Parameter addresses: What the peer says about itself (identify). The public ones are tried first.
    public mutating func upgrade(_ peer: PeerID, addresses: [Multiaddr], now: Duration) {
        let known = self.peers[peer]
        if known?.directCount ?? 0 > 0 { return self.outbox.report(.upgraded(peer, attempts: 0)) }
        guard let connection = known?.relayed.first else { return self.outbox.report(.failed(peer, .noRelayedConnection)) }
        if self.upgrades[peer] == nil { self.begin(peer, on: connection.id, now: now) }
        self.learn(addresses, of: peer, now: now)
    }

    /// What a peer says about itself became known (identify). Its public addresses are dialled before anything else; where there are none,
    /// both sides dial at once.
    public mutating func learn(_ addresses: [Multiaddr], of peer: PeerID, now: Duration) {
        guard case .waitingForAddresses? = self.upgrades[peer]?.phase else { return }
        let usable = self.usable(addresses, of: peer, reaching: .everywhere)
        guard !usable.isEmpty else { return self.attempt(peer, now: now) }
        self.upgrades[peer]?.phase = .dialling
        self.deadlines.set(.upgrade(peer), at: now + self.configuration.dialTimeout)
        self.outbox.report(.dial(DirectDial(peer: peer, addresses: usable, role: .dialer, isHolePunch: false)))
    }

    mutating func begin(_ peer: PeerID, on connection: ConnectionID, now: Duration) {
        guard self.upgrades.count < self.configuration.upgradesMax else {
            self.counters.refused += 1
            return self.outbox.report(.failed(peer, .tooMany))
        }
        self.upgrades[peer] = Upgrade(connection: connection, phase: .waitingForAddresses)
        self.deadlines.set(.upgrade(peer), at: now + self.configuration.addressWait)
    }

    /// The addresses that a peer may have us dial while it dials us: where a stranger may send us.
    mutating func punchable(_ addresses: [Multiaddr], of peer: PeerID) -> [Multiaddr] {
        self.usable(addresses, of: peer, reaching: self.configuration.dialsPrivateAddresses ? .loopback : .everywhere)
    }

    /// The addresses that a peer may have us dial: direct, TCP, its own, and reaching so far.
    private mutating func usable(_ addresses: [Multiaddr], of peer: PeerID, reaching scope: AddressScope) -> [Multiaddr] {
        var usable: [Multiaddr] = []
        for address in addresses {
            let bare = address.withoutPeerID
            let isOthers = address.peerID.map { $0 != peer } ?? false
            if isOthers || !Self.isDialable(bare, reaching: scope) || usable.contains(bare)
                || usable.count >= self.configuration.dialledAddressesMax
            {
                self.counters.addressesIgnored += 1
            } else {
                usable.append(bare)
            }
        }
        return usable
    }

    private static func isDialable(_ address: Multiaddr, reaching scope: AddressScope) -> Bool {
        guard address.components.count == 2 || address.components.count == 3 && address.components.last == .ws else { return false }
        guard case .tcp(let port) = address.components[1], port != 0 else { return false }
        return address.ipAddress?.scope.map { $0 >= scope } ?? false
    }
}
