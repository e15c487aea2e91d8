/// What kind of way an address is: the lower it ranks, the earlier it is tried.
enum AddressRank: Int, Comparable, Sendable {
    case loopback
    case privateNetwork
    case publicNetwork
    case webSocket
    case relay

    static func < (left: AddressRank, right: AddressRank) -> Bool { left.rawValue < right.rawValue }

    /// `nil` for an address that is not spoken here, or names no place to go to.
    init?(_ address: Multiaddr) {
        if address.isRelayed {
            self = .relay
            return
        }
        let components = address.withoutPeerID.components
        guard let host = address.host,
            components.dropFirst().contains(where: { if case .tcp(let port) = $0 { port != 0 } else { false } })
        else {
            switch address.host {
            case .dnsaddr, .memory: self = .publicNetwork
            default: return nil
            }
            return
        }
        let isWebSocket = components.contains(.ws) || components.contains(.wss)
        switch host {
        case .ip4, .ip6:
            guard let rank = Self.rank(of: address.ipAddress) else { return nil }
            self = isWebSocket ? .webSocket : rank
        case .dns, .dns4, .dns6: self = isWebSocket ? .webSocket : .publicNetwork
        default: return nil
        }
    }

    private static func rank(of address: IPAddress?) -> AddressRank? {
        switch address?.scope {
        case .loopback: .loopback
        case .local: .privateNetwork
        case .everywhere: .publicNetwork
        case nil: nil
        }
    }
}

/// One dial of one peer: its addresses one after the other, each with a head start before the next, until one leads there.
///
/// Strangers who say where a peer is may lie, to keep it from being reached. So what they say comes last, has half of the places and half
/// of the attempts at a time, and no failure of it counts against the peer's own addresses. And whatever others than this node's owner
/// say, the peer itself among them, leads nowhere that is nearer than it looks.
struct DialLadder: Sendable {
    private struct Rung: Sendable {
        let address: Multiaddr
        let rank: AddressRank
        var isHearsay: Bool
        /// `nil` where the owner of the node gave the address.
        var leastScope: AddressScope?

        var place: (Int, AddressRank) { (self.isHearsay ? 1 : 0, self.rank) }
    }

    private var waiting: [Rung]
    /// Every address that was given, so that none is tried twice.
    private var known: Set<Multiaddr>
    private var hearsayCount = 0
    private(set) var attempts: [ConnectionID: Multiaddr] = [:]
    private(set) var failures: [DialAttemptFailure] = []
    /// When the next address may start.
    private var nextStart: Duration
    private(set) var options: DialOptions

    init(options: DialOptions, now: Duration) {
        (self.waiting, self.known, self.nextStart, self.options) = ([], [], now, options)
    }

    /// Another dial of the peer joins this one. If either is for a direct connection, one through a relay is no end.
    mutating func join(_ options: DialOptions) { self.options.isDirect = self.options.isDirect || options.isDirect }

    /// An address led to the peer, and not to what the dial is for: others go on, and no relay is tried any more.
    mutating func connected(_ id: ConnectionID) {
        self.attempts[id] = nil
        self.waiting.removeAll { $0.rank == .relay }
    }

    /// Whether all addresses that were given are what others say.
    var isHearsay: Bool { self.hearsayCount == self.known.count }

    /// Puts further addresses into their places. Those of one rank keep their order.
    mutating func add(_ addresses: DialAddresses, addressCountMax: Int) {
        for address in addresses.given { self.add(address.withoutPeerID, leastScope: nil, addressCountMax: addressCountMax) }
        for address in addresses.own.lazy.map(\.withoutPeerID) {
            self.add(address, leastScope: address.scope ?? .everywhere, addressCountMax: addressCountMax)
        }
        for address in addresses.hearsay.lazy.map(\.withoutPeerID) {
            guard self.hearsayCount < (addressCountMax + 1) / 2, self.known.count < addressCountMax else { break }
            guard let rank = AddressRank(address), self.known.insert(address).inserted else { continue }
            self.hearsayCount += 1
            self.waiting.append(Rung(address: address, rank: rank, isHearsay: true, leastScope: address.scope ?? .everywhere))
        }
        // Swift's sort is stable.
        self.waiting.sort { $0.place < $1.place }
    }

    private mutating func add(_ address: Multiaddr, leastScope: AddressScope?, addressCountMax: Int) {
        guard let rank = AddressRank(address) else { return }
        if self.known.count < addressCountMax, self.known.insert(address).inserted {
            self.waiting.append(Rung(address: address, rank: rank, isHearsay: false, leastScope: leastScope))
        } else if let index = self.waiting.firstIndex(where: { $0.address == address }) {
            // It was known less well.
            if self.waiting[index].isHearsay { self.hearsayCount -= 1 }
            self.waiting[index].isHearsay = false
            if leastScope == nil { self.waiting[index].leastScope = nil }
        }
    }

    /// Whether only what strangers say is left to try.
    var nextIsHearsay: Bool { self.waiting.first?.isHearsay ?? false }

    var isOver: Bool { self.waiting.isEmpty && self.attempts.isEmpty }

    /// When the next address wants to start; `nil` when there is none, or when an attempt must end before it.
    func deadline(attemptCountMax: Int) -> Duration? {
        guard let next = self.waiting.first else { return nil }
        return self.attempts.count < (next.isHearsay ? (attemptCountMax + 1) / 2 : attemptCountMax) ? self.nextStart : nil
    }

    /// The address to start now, and how far whatever it leads to must reach at least.
    mutating func next(stagger: Duration, attemptCountMax: Int, now: Duration) -> (address: Multiaddr, leastScope: AddressScope?)? {
        guard let deadline = self.deadline(attemptCountMax: attemptCountMax), now >= deadline else { return nil }
        self.nextStart = self.options.isHolePunch ? now : now + stagger
        let rung = self.waiting.removeFirst()
        return (rung.address, rung.leastScope)
    }

    mutating func started(_ id: ConnectionID, _ address: Multiaddr) { self.attempts[id] = address }

    /// An address led nowhere: the next one need not wait any more.
    mutating func failed(_ id: ConnectionID, _ reason: DialAttemptFailure.Reason, now: Duration) {
        guard let address = self.attempts.removeValue(forKey: id) else { return }
        self.failures.append(DialAttemptFailure(address: address, reason: reason))
        self.nextStart = min(self.nextStart, now)
    }

    /// There is no room for more dials at the moment.
    mutating func postpone(until time: Duration) { self.nextStart = time }
}

/// Where a peer may be: what the owner of the node says, what the peer itself says, and what strangers say.
struct DialAddresses: Sendable {
    var given: [Multiaddr] = []
    var own: [Multiaddr] = []
    var hearsay: [Multiaddr] = []

    var isEmpty: Bool { self.given.isEmpty && self.own.isEmpty && self.hearsay.isEmpty }

    /// Those of all that pass.
    func filter(_ isUsed: (Multiaddr) -> Bool) -> DialAddresses {
        DialAddresses(given: self.given.filter(isUsed), own: self.own.filter(isUsed), hearsay: self.hearsay.filter(isUsed))
    }
}

/// How a peer is dialled.
public struct DialOptions: Hashable, Sendable {
    /// Which side of the handshake we take. `listener` only where both sides agreed to dial at the same moment.
    public var role = ConnectionRole.dialer
    /// All addresses at once, from the port on which we listen, and whether or not there is a connection (DCUtR).
    public var isHolePunch = false
    /// Through no relay, and also when there is a connection through one.
    public var isDirect = false
    /// Dial although the last attempt failed not long ago: a person is waiting.
    public var ignoresBackoff = false
    /// The addresses that are given come from others than the owner of this node, a hash table for example, and may be lies. What is known
    /// better is tried first, that these fail is not held against it, and a name among them that leads into a network of ours is not
    /// followed there.
    public var isHearsay = false

    public init() {}

    public static func holePunch(as role: ConnectionRole) -> DialOptions {
        var options = DialOptions()
        (options.role, options.isHolePunch, options.isDirect, options.ignoresBackoff) = (role, true, true, true)
        return options
    }

    /// Whether a connection is what is dialled for.
    public func isAnswered(by info: ConnectionInfo) -> Bool { !info.isLimited && !(self.isDirect && info.remoteAddress.isRelayed) }
}
