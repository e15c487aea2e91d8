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
        case .ip4(let address):
            guard let rank = Self.rank(of: address) else { return nil }
            self = isWebSocket ? .webSocket : rank
        case .ip6(let address):
            guard let rank = Self.rank(of: address) else { return nil }
            self = isWebSocket ? .webSocket : rank
        case .dns, .dns4, .dns6: self = isWebSocket ? .webSocket : .publicNetwork
        default: return nil
        }
    }

    /// Private ranges of RFC 1918, RFC 3927 and RFC 6598.
    private static func rank(of address: IPv4Address) -> AddressRank? {
        let (first, second) = (address.bytes[0], address.bytes[1])
        switch first {
        case 0, 224...255: return nil
        case 127: return .loopback
        case 10: return .privateNetwork
        case 172 where 16...31 ~= second: return .privateNetwork
        case 192 where second == 168: return .privateNetwork
        case 169 where second == 254: return .privateNetwork
        case 100 where 64...127 ~= second: return .privateNetwork
        default: return .publicNetwork
        }
    }

    /// Unique local and link-local addresses (RFC 4193, RFC 4291).
    private static func rank(of address: IPv6Address) -> AddressRank? {
        let bytes = address.bytes
        if bytes.dropLast().allSatisfy({ $0 == 0 }) { return bytes[15] == 0 ? nil : bytes[15] == 1 ? .loopback : .publicNetwork }
        if bytes[0] == 0xff { return nil }
        if bytes[0] & 0xfe == 0xfc || bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 { return .privateNetwork }
        return .publicNetwork
    }
}

/// One dial of one peer: its addresses one after the other, each with a head start before the next, until one leads there.
struct DialLadder: Sendable {
    private var waiting: [Multiaddr]
    /// Every address that was given, so that none is tried twice.
    private var known: Set<Multiaddr>
    private(set) var attempts: [ConnectionID: Multiaddr] = [:]
    private(set) var failures: [DialAttemptFailure] = []
    /// When the next address may start.
    private var nextStart: Duration
    let options: DialOptions

    init(_ addresses: [Multiaddr], options: DialOptions, addressCountMax: Int, now: Duration) {
        (self.waiting, self.known, self.nextStart, self.options) = ([], [], now, options)
        self.add(addresses, addressCountMax: addressCountMax)
    }

    /// Puts further addresses into their places. Those of one rank keep their order.
    mutating func add(_ addresses: [Multiaddr], addressCountMax: Int) {
        var ranked = self.waiting.compactMap { address in AddressRank(address).map { ($0, address) } }
        for address in addresses.lazy.map(\.withoutPeerID) where self.known.count < addressCountMax {
            guard let rank = AddressRank(address), self.known.insert(address).inserted else { continue }
            ranked.append((rank, address))
        }
        // Swift's sort is stable.
        self.waiting = ranked.sorted { $0.0 < $1.0 }.map(\.1)
    }

    var isOver: Bool { self.waiting.isEmpty && self.attempts.isEmpty }

    /// When the next address wants to start.
    var deadline: Duration? { self.waiting.isEmpty ? nil : self.nextStart }

    /// The address to start now.
    mutating func next(stagger: Duration, attemptCountMax: Int, now: Duration) -> Multiaddr? {
        guard now >= self.nextStart, self.attempts.count < attemptCountMax, !self.waiting.isEmpty else { return nil }
        self.nextStart = self.options.isHolePunch ? now : now + stagger
        return self.waiting.removeFirst()
    }

    mutating func started(_ id: ConnectionID, _ address: Multiaddr) { self.attempts[id] = address }

    /// An address led nowhere: the next one need not wait any more.
    mutating func failed(_ id: ConnectionID, _ reason: DialAttemptFailure.Reason, now: Duration) {
        guard let address = self.attempts.removeValue(forKey: id) else { return }
        self.failures.append(DialAttemptFailure(address: address, reason: reason))
        self.nextStart = min(self.nextStart, now)
    }

    /// There is no room for more dials at the moment.
    mutating func postpone(_ address: Multiaddr, until time: Duration) {
        self.waiting.insert(address, at: 0)
        self.nextStart = time
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

    public init() {}

    public static func holePunch(as role: ConnectionRole) -> DialOptions {
        var options = DialOptions()
        (options.role, options.isHolePunch, options.isDirect, options.ignoresBackoff) = (role, true, true, true)
        return options
    }

    /// Whether a connection is what is dialled for.
    func isAnswered(by info: ConnectionInfo) -> Bool { !info.isLimited && !(self.isDirect && info.remoteAddress.isRelayed) }
}
