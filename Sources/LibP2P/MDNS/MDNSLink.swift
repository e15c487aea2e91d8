/// What one interface of this machine reaches with one version of IP, without a router between.
public struct MDNSLink: Hashable, Sendable {
    public enum Family: Hashable, Sendable {
        case ip4
        case ip6
    }

    public struct ID: Hashable, Sendable, CustomStringConvertible {
        /// The interface's number, as the system has it.
        public let interface: UInt32
        public let family: Family

        public init(interface: UInt32, family: Family) {
            self.interface = interface
            self.family = family
        }

        public var description: String { "interface \(self.interface), \(self.family == .ip4 ? "IPv4" : "IPv6")" }
    }

    /// An address of the interface, and how many of its bits name the network.
    public struct Subnet: Hashable, Sendable {
        public let address: IPAddress
        public let prefixBitCount: Int

        public init(_ address: IPAddress, prefixBitCount: Int) {
            self.address = address
            self.prefixBitCount = prefixBitCount
        }

        func contains(_ other: IPAddress) -> Bool {
            let (own, others) = (self.address.bytes, other.bytes)
            guard own.count == others.count, (0...own.count * 8).contains(self.prefixBitCount) else { return false }
            let (wholeCount, bitCount) = self.prefixBitCount.quotientAndRemainder(dividingBy: 8)
            guard own.prefix(wholeCount) == others.prefix(wholeCount) else { return false }
            return bitCount == 0 || (own[wholeCount] ^ others[wholeCount]) >> (8 - bitCount) == 0
        }
    }

    public let id: ID
    /// The interface's name: the zone of link-local addresses of IPv6.
    public let interfaceName: String
    public let isLoopback: Bool
    /// The interface's addresses of both versions.
    public let subnets: [Subnet]

    public init(id: ID, interfaceName: String, isLoopback: Bool, subnets: [Subnet]) {
        self.id = id
        self.interfaceName = interfaceName
        self.isLoopback = isLoopback
        self.subnets = subnets
    }
}

// MARK: - What makes sense on a link

extension MDNSLink {
    /// Whether a machine with this address is reached without a router (RFC 6762, section 11).
    func reaches(_ address: IPAddress) -> Bool { Self.isLinkLocal(address) || self.subnets.contains { $0.contains(address) } }

    /// Those of our addresses that are this interface's own, as they are told here: without a zone, which means something to us alone.
    func told(of addresses: [Multiaddr]) -> [Multiaddr] {
        var told: [Multiaddr] = []
        for address in addresses where !address.isRelayed {
            let bare = Self.withoutZone(address.withoutPeerID)
            guard let ip = bare.ipAddress, self.subnets.contains(where: { $0.address == ip }), !told.contains(bare) else { continue }
            told.append(bare)
        }
        return told
    }

    /// An address that was heard here, as it is dialled from here; `nil` for one that leads elsewhere than to a machine near by.
    ///
    /// Anybody on the link can tell any address of anybody. Without this, one datagram would make all who hear it dial a victim on
    /// the internet.
    func usable(_ address: Multiaddr) -> Multiaddr? {
        let bare = Self.withoutZone(address.withoutPeerID)
        guard !bare.components.contains(where: \.isP2P), bare.components.count > 1, let ip = bare.ipAddress else {
            return nil
        }
        switch ip.scope {
        case nil: return nil
        case .loopback: return self.isLoopback ? bare : nil
        case .everywhere: return self.subnets.contains { $0.contains(ip) } ? bare : nil
        case .local:
            guard case .ip6 = ip, Self.isLinkLocal(ip) else { return bare }
            return Multiaddr([.ip6zone(self.interfaceName)] + bare.components)
        }
    }

    /// 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291).
    private static func isLinkLocal(_ address: IPAddress) -> Bool {
        switch address {
        case .ip4(let address): address.bytes.starts(with: [169, 254])
        case .ip6(let address): address.bytes[0] == 0xfe && address.bytes[1] & 0xc0 == 0x80
        }
    }

    private static func withoutZone(_ address: Multiaddr) -> Multiaddr {
        if case .ip6zone = address.components.first { Multiaddr(Array(address.components.dropFirst())) } else { address }
    }
}

extension Multiaddr.Component {
    /// Whether it names a peer or a relay's circuit.
    fileprivate var isP2P: Bool {
        switch self {
        case .p2p, .p2pCircuit: true
        default: false
        }
    }
}

extension Multiaddr {
    /// The first port that it names.
    var port: UInt16? {
        for component in self.components {
            switch component {
            case .tcp(let port), .udp(let port): return port
            default: continue
            }
        }
        return nil
    }
}

/// Where a datagram comes from or goes to.
public struct MDNSEndpoint: Hashable, Sendable {
    public let address: IPAddress
    public let port: UInt16

    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// A datagram to be sent.
public struct MDNSDatagram: Equatable, Sendable {
    public let link: MDNSLink.ID
    /// `nil`: to everybody on the link (224.0.0.251 or ff02::fb, port 5353).
    public let destination: MDNSEndpoint?
    public let bytes: [UInt8]
}
