/// Discovery of peers on the local network (libp2p mDNS, r2; RFC 6762 and 6763 where it builds on them).
///
/// Everybody on a link asks everybody for `_p2p._udp.local`, and answers with a name made up for this purpose and the addresses of a
/// peer. Anybody can say so of any peer: who is really there only a connection proves. So what is heard is a hint where to dial.
///
///     var mdns = MDNS(peer: id, seed: seed)
///     mdns.setLinks(links, now: now)
///     mdns.setAddresses(listenAddresses, now: now)
///     mdns.receive(bytes, from: endpoint, on: link, now: now)
///     mdns.tick(now: now)                                 // when `deadline` has come
///     while let datagram = mdns.nextDatagram() { … }      // after each call
///     while let event = mdns.nextEvent() { … }
///
/// What a link costs is bounded whatever is heard: questions double their distance up to `Configuration.queryIntervalMax`, everything
/// is told at most once a second, and datagrams beyond a rate are not looked at. Each set of names, sources and addresses has a bound.
public struct MDNS: Sendable {
    /// Where multicast DNS is spoken (RFC 6762, section 3).
    public static let port: UInt16 = 5_353
    /// Most bytes of a datagram that is sent: what IPv6 carries everywhere in one packet, 1,280, without its header and UDP's.
    public static let datagramByteCountMax = 1_232
    /// Most bytes of a datagram that is read (RFC 6762, section 17).
    public static let receivedByteCountMax = DNSMessage.byteCountMax
    /// Links that are used. More are left out: a machine with virtual interfaces can have hundreds.
    public static let linkCountMax = 32
    /// Names of peers that are kept, and those of them that one machine told. A machine of a developer runs several nodes.
    public static let instanceCountMax = 256
    public static let instancesPerSourceMax = 32
    /// Addresses that we tell on a link, and that are kept for a name.
    public static let addressCountMax = 16
    /// How long what was heard is believed at the most: as long as the address book keeps hearsay. Others say up to 75 minutes; they
    /// are asked again before.
    public static let lifetimeMax = AddressBook.hearsayLifetime

    public struct Configuration: Sendable {
        /// How long what we tell holds: as long as RFC 6762, section 10, wants it for records with addresses of hosts. Whole seconds.
        public var timeToLive: Duration = .seconds(120)
        /// How long until the second question; later ones double it up to the maximum (RFC 6762, section 5.2; the maximum is
        /// go-libp2p's).
        public var queryIntervalMin: Duration = .seconds(1)
        public var queryIntervalMax: Duration = .seconds(60)

        public init() {}
    }

    public struct Counters: Equatable, Sendable {
        public var queriesSent = 0
        public var answersSent = 0
        /// Questions that were not asked because another one asked just now.
        public var queriesSpared = 0
        /// Datagrams that were not looked at: from beyond the link, or beyond the rate.
        public var refusedOffLink = 0
        public var refusedOverRate = 0
        public var malformed = 0
        /// Names that were not taken: too many are known, they name another peer than before or nobody, or they say nothing usable.
        public var namesRefused = 0
    }

    public enum Event: Equatable, Sendable {
        /// Somebody says that the peer can be reached here. Comes again when the addresses change, and when they are confirmed.
        ///
        /// The addresses are without the peer's id; `lifetime` is how long they hold if nobody confirms them.
        case discovered(PeerID, [Multiaddr], lifetime: Duration)
        /// Nobody says so any more.
        case expired(PeerID)
    }

    enum Timer: Hashable, Sendable {
        case query(MDNSLink.ID)
        case answer(MDNSLink.ID)
        case instance(DNSName)
    }

    struct Source: Hashable, Sendable {
        let link: MDNSLink.ID
        let address: IPAddress
    }

    let peer: PeerID
    let configuration: Configuration
    let names: MDNSNames
    var random: SeededRandom
    var addresses: [Multiaddr] = []
    /// In the order in which they were given.
    var links: [MDNSLinkState] = []
    var instances: [DNSName: MDNSInstance] = [:]
    /// How many names each source has in `instances`.
    var instanceCounts: [Source: Int] = [:]
    var deadlines = ServiceDeadlines<Timer>()
    var datagrams = ServiceQueue<MDNSDatagram>()
    var events = ServiceQueue<Event>()
    private var sourceBudgets = ServiceBudgets<Source>(rate: MDNS.sourceRate, countMax: MDNS.sourceCountMax)
    private var isStopped = false
    public internal(set) var counters = Counters()

    /// What is read of one link and of one machine on it: a hundred peers that all start at once say less.
    private static let linkRate = ServiceBudget.Rate(burst: 1_024, interval: .milliseconds(4))
    private static let sourceRate = ServiceBudget.Rate(burst: 128, interval: .milliseconds(20))
    private static let sourceCountMax = 512

    /// - Parameter seed: for the name under which we are found and for all delays. Two nodes of a link must have different ones.
    public init(peer: PeerID, configuration: Configuration = Configuration(), seed: UInt64) {
        self.peer = peer
        self.configuration = configuration
        var random = SeededRandom(seed: seed)
        self.names = MDNSNames(&random)
        self.random = random
    }

    public var deadline: Duration? { self.deadlines.next }
    public mutating func nextDatagram() -> MDNSDatagram? { self.datagrams.popFirst() }
    public mutating func nextEvent() -> Event? { self.events.popFirst() }

    /// The peers that are known now, with their addresses.
    public var peers: [PeerID: [Multiaddr]] {
        self.instances.values.reduce(into: [:]) { $0[$1.peer] = self.knownAddresses(of: $1.peer) }
    }

    // MARK: Input

    /// The links that there are now. New and changed ones are asked at once; what was heard over an interface that is gone is forgotten.
    public mutating func setLinks(_ links: [MDNSLink], now: Duration) {
        guard !self.isStopped else { return }
        let links = links.prefix(Self.linkCountMax)
        for gone in self.links.map(\.link) where !links.contains(gone) {
            self.deadlines.remove(.query(gone.id))
            self.deadlines.remove(.answer(gone.id))
        }
        let old = self.links
        self.links = []
        for link in links where self.index(of: link.id) == nil {
            if let known = old.first(where: { $0.link == link }) {
                self.links.append(known)
            } else {
                self.links.append(MDNSLinkState(link, queryInterval: self.configuration.queryIntervalMin))
                self.beginAsking(self.links.count - 1, now: now)
                self.beginTelling(self.links.count - 1, now: now)
            }
        }
        self.forgetInterfaces(except: Set(self.links.map(\.link.id.interface)), now: now)
    }

    /// The addresses on which we listen. On each link those of its interface are told.
    public mutating func setAddresses(_ addresses: [Multiaddr], now: Duration) {
        guard !self.isStopped, addresses != self.addresses else { return }
        self.addresses = addresses
        for index in self.links.indices { self.beginTelling(index, now: now) }
    }

    /// Takes a datagram that came in on a link.
    public mutating func receive(_ bytes: some Collection<UInt8>, from source: MDNSEndpoint, on link: MDNSLink.ID, now: Duration) {
        guard !self.isStopped, let index = self.index(of: link) else { return }
        guard self.links[index].link.reaches(source.address) else { return self.counters.refusedOffLink += 1 }
        guard self.sourceBudgets.spend(Source(link: link, address: source.address), now: now),
            self.links[index].budget.spend(Self.linkRate, now: now)
        else { return self.counters.refusedOverRate += 1 }
        guard let message = try? DNSMessage(parsing: bytes) else { return self.counters.malformed += 1 }
        // Others are to be ignored in silence (RFC 6762, sections 18.3 and 18.11).
        guard message.isPlain else { return }
        if message.isResponse {
            // Not only from port 5353, as section 6 wants: rust-libp2p answers from another one.
            self.hear(message, from: source, on: index, now: now)
        } else {
            self.answer(message, from: source, on: index, now: now)
            self.spareQuery(message, from: source, on: index, now: now)
        }
    }

    public mutating func tick(now: Duration) {
        while let timer = self.deadlines.popDue(now: now) {
            switch timer {
            case .query(let link):
                if let index = self.index(of: link) { self.ask(index, now: now) }
            case .answer(let link):
                if let index = self.index(of: link) { self.sendAnswer(index, now: now) }
            case .instance(let name): self.passTime(of: name, now: now)
            }
        }
    }

    /// Takes leave: others forget us at once. Nothing happens here afterwards.
    public mutating func stop(now: Duration) {
        guard !self.isStopped else { return }
        self.isStopped = true
        for index in self.links.indices where !self.links[index].told.isEmpty { self.sendGoodbye(index) }
        self.links = []
        self.instances = [:]
        self.instanceCounts = [:]
        self.deadlines = ServiceDeadlines()
    }

    func index(of link: MDNSLink.ID) -> Int? { self.links.firstIndex { $0.link.id == link } }

    /// A time within a range, from the seed.
    mutating func delay(_ range: ClosedRange<Int>) -> Duration { .milliseconds(Int.random(in: range, using: &self.random)) }
}

/// What one link is in the middle of.
struct MDNSLinkState: Sendable {
    let link: MDNSLink
    var budget = ServiceBudget()
    var directAnswerBudget = ServiceBudget()

    /// Which of our addresses are told here.
    var told: [Multiaddr] = []

    // Asking.
    var queryInterval: Duration
    var queryAt: Duration?
    var lastQueryAt: Duration?
    var spareableUntil = Duration.zero
    /// Who asked instead of us, and has more to say about what it knows.
    var sparedBy: MDNSEndpoint?

    // Answering.
    var answers: MDNSAnswers = []
    var answerAt: Duration?
    /// Who asked and said that more will follow about what it knows (RFC 6762, section 7.2).
    var undecided: [MDNSEndpoint] = []
    var undecidedAt: Duration?
    var lastAnswerAt: Duration?
    var announcementsLeft = 0

    init(_ link: MDNSLink, queryInterval: Duration) {
        self.link = link
        self.queryInterval = queryInterval
    }
}

/// The names that we ask for and are found under.
struct MDNSNames: Sendable {
    /// libp2p mDNS, "Definitions".
    static let service = DNSName(constant: "_p2p._udp.local")
    /// Which services there are (RFC 6763, section 9).
    static let meta = DNSName(constant: "_services._dns-sd._udp.local")
    private static let hostParent = DNSName(constant: "p2p.local")
    /// The specification wants at least 32. That nobody else has the name rests on chance: 36³² are enough not to ask before.
    private static let characterCount = 32
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789")

    let instance: DNSName
    let host: DNSName

    init(_ random: inout SeededRandom) {
        let name = String((0..<Self.characterCount).map { _ in Self.alphabet[Int.random(in: 0..<Self.alphabet.count, using: &random)] })
        // 32 letters and digits are a part of a name, and neither name is long.
        self.instance = DNSName(name, in: Self.service) ?? Self.service
        self.host = DNSName(name, in: Self.hostParent) ?? Self.hostParent
    }
}
