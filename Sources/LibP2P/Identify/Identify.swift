/// identify and identify/push (libp2p identify): each connection's peer is asked once who it is, and all are told when we change.
///
///     connected ──ask──▶ answer, verified ──▶ event `identified`
///     peer asks ──▶ our message, end          peer pushes ──▶ verified ──▶ event `identified`, `isPush`
///     `update` ──at most once an interval──▶ push to all who take pushes
public struct Identify: ProtocolMachine {
    public static let protocolID = "/ipfs/id/1.0.0"
    public static let pushProtocolID = "/ipfs/id/push/1.0.0"

    public struct Configuration: Sendable {
        /// How long an answer, a push or the end of a stream may take.
        public var timeout: Duration = .seconds(10)
        /// Least time between two rounds of pushes: changes in between go out together.
        public var pushInterval: Duration = .seconds(5)
        /// Most pushes under way at a time: each costs a stream and up to 8 KiB.
        public var parallelPushesMax = 32
        /// A peer's pushes that are taken: so many at once, then one an interval. Our own come no faster.
        public var pushesTakenBurst = 8
        public var pushesTakenInterval: Duration = .seconds(5)
        /// A peer's questions that are answered: so many at once, then one an interval. An answer is 100 times its question.
        public var answersBurst = 16
        public var answersInterval: Duration = .seconds(1)
        /// Most bytes of what all peers have said and not said to the end: five hundred answers of 8 KiB. Beyond it the stream that has taken
        /// longest is broken off: honest peers are soon done.
        public var unfinishedByteCountMax = 4_194_304
        /// Most streams of one peer that are open for it at a time.
        public var inboundStreamsPerPeerMax = 8
        public var observedAddresses = ObservedAddresses.Configuration()

        public init() {}
    }

    public enum Event: Equatable, Sendable {
        /// What a peer says about itself, verified.
        case identified(IdentifiedPeer, on: ConnectionID?)
        /// The peer did not say, or not what can be true.
        case failed(PeerID, on: ConnectionID?, IdentifyError)
        /// A stream that the peer opened was refused.
        case refused(PeerID, IdentifyError)
        /// The addresses under which others see us changed: all that count now.
        case observedAddresses([Multiaddr])
    }

    enum Purpose: Equatable, Sendable {
        case ask
        case push
    }

    struct Request: Sendable {
        let peer: PeerID
        let connection: ConnectionID?
        let purpose: Purpose
    }

    struct Exchange: Sendable {
        enum Kind: Sendable {
            case asking(ConnectionID?)
            case taking
            /// All is sent; the peer's end is waited for.
            case finishing
        }

        let peer: PeerID
        let kind: Kind
        let isInbound: Bool
        let isPush: Bool
        let since: Duration
        var frames = FrameReader(byteCountMax: IdentifyMessage.sentByteCountMax)
        var messages: [UInt8] = []
        var messageCount = 0

        var heldByteCount: Int { self.messages.count + self.frames.heldByteCount }
    }

    struct Peer: Sendable {
        var connections: [ConnectionInfo] = []
        var recordSequence: UInt64?
        var takesPushes = false
        var inboundStreamCount = 0
        var pushes = ServiceBudget()
        var answers = ServiceBudget()
    }

    let identity: PeerIdentity
    let configuration: Configuration
    var message: IdentifyMessage
    var info: IdentifyInfo
    var sequence: UInt64
    var peers: [PeerID: Peer] = [:]
    var requests: [UInt64: Request] = [:]
    var streams: [StreamID: Exchange] = [:]
    /// Bytes held in all of them.
    var unfinishedByteCount = 0
    var deadlines = ServiceDeadlines<StreamID>()
    var observed: ObservedAddresses
    var outbox = ServiceOutbox<Event>()
    var nextRequest: UInt64 = 0
    /// Peers that have not heard of the last change yet; the next one is the last. Some may be gone.
    var unheard: [PeerID] = []
    var pushesUnderWay = 0
    var nextPushRound: Duration?
    var lastPushRound: Duration?
    public internal(set) var counters = IdentifyCounters()

    /// - Parameter sequence: The number of our first record. Others take the time in Unix nanoseconds: it must be higher than all
    ///   that peers have seen of us before.
    public init(_ identity: PeerIdentity, info: IdentifyInfo, sequence: UInt64, configuration: Configuration = Configuration()) {
        self.identity = identity
        self.info = info
        self.sequence = sequence
        self.configuration = configuration
        self.message = info.message(sequence: sequence, by: identity)
        self.observed = ObservedAddresses(configuration.observedAddresses)
    }

    public var servedProtocolIDs: [String] { [Self.protocolID, Self.pushProtocolID] }

    /// The addresses under which enough others see us.
    public var observedAddresses: [Multiaddr] { self.observed.addresses }

    /// Our own record, signed, as others get it.
    public var signedPeerRecord: [UInt8] { self.message.signedPeerRecord ?? [] }

    /// Changes what we say about ourselves, and tells the peers that take pushes.
    ///
    /// - Parameter sequence: The new record's number; raised if it is not above the last one's.
    public mutating func update(_ info: IdentifyInfo, sequence: UInt64, now: Duration) {
        guard info != self.info else { return }
        self.info = info
        self.sequence = max(sequence, self.sequence == .max ? .max : self.sequence + 1)
        self.message = info.message(sequence: self.sequence, by: self.identity)
        self.unheard = self.peers.filter { $0.value.takesPushes }.keys.sorted(by: >)
        let earliest = self.lastPushRound.map { $0 + self.configuration.pushInterval } ?? now
        self.nextPushRound = max(now, earliest)
        self.pushIfDue(now: now)
    }

    /// Asks a connected peer again. The answer is an event.
    public mutating func identify(_ peer: PeerID, now: Duration) {
        self.outbox.send(.open(request: self.request(peer, nil, .ask), peer, protocolIDs: [Self.protocolID], onLimited: true))
    }

    public mutating func nextCommand() -> ProtocolCommand? { self.outbox.nextCommand() }
    public mutating func nextEvent() -> Event? { self.outbox.nextEvent() }

    public var deadline: Duration? {
        let pushRound = self.pushesUnderWay < self.configuration.parallelPushesMax && !self.unheard.isEmpty ? self.nextPushRound : nil
        return earlier(earlier(self.deadlines.next, pushRound), self.observed.deadline)
    }

    public var heldByteCount: Int {
        self.streams.values.reduce(self.outbox.heldByteCount + self.observed.heldByteCount) { $0 + $1.heldByteCount }
            + self.peers.count * 128 + self.requests.count * 64
    }

    mutating func request(_ peer: PeerID, _ connection: ConnectionID?, _ purpose: Purpose) -> UInt64 {
        self.nextRequest += 1
        self.requests[self.nextRequest] = Request(peer: peer, connection: connection, purpose: purpose)
        return self.nextRequest
    }
}
