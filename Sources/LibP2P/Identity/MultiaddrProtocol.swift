/// The protocols that an address can name (multiformats/multiaddr, protocols.csv), as far as they are read here.
public enum MultiaddrProtocol: UInt64, Sendable, CaseIterable {
    case ip4 = 4
    case tcp = 6
    case ip6 = 41
    case ip6zone = 42
    case ipcidr = 43
    case dns = 53
    case dns4 = 54
    case dns6 = 55
    case dnsaddr = 56
    case udp = 273
    case webrtcDirect = 280
    case webrtc = 281
    case p2pCircuit = 290
    case unix = 400
    case p2p = 421
    case https = 443
    case tls = 448
    case sni = 449
    case noise = 454
    case quic = 460
    case quicV1 = 461
    case webtransport = 465
    case certhash = 466
    case ws = 477
    case wss = 478
    case http = 480
    case memory = 777

    /// What stands in texts.
    public var name: String {
        switch self {
        case .ip4: "ip4"
        case .tcp: "tcp"
        case .ip6: "ip6"
        case .ip6zone: "ip6zone"
        case .ipcidr: "ipcidr"
        case .dns: "dns"
        case .dns4: "dns4"
        case .dns6: "dns6"
        case .dnsaddr: "dnsaddr"
        case .udp: "udp"
        case .webrtcDirect: "webrtc-direct"
        case .webrtc: "webrtc"
        case .p2pCircuit: "p2p-circuit"
        case .unix: "unix"
        case .p2p: "p2p"
        case .https: "https"
        case .tls: "tls"
        case .sni: "sni"
        case .noise: "noise"
        case .quic: "quic"
        case .quicV1: "quic-v1"
        case .webtransport: "webtransport"
        case .certhash: "certhash"
        case .ws: "ws"
        case .wss: "wss"
        case .http: "http"
        case .memory: "memory"
        }
    }

    private static let byName: [String: MultiaddrProtocol] =
        // Old addresses say `ipfs` for `p2p`; the code is the same.
        Dictionary(uniqueKeysWithValues: Self.allCases.map { ($0.name, $0) } + [("ipfs", .p2p)])

    init?(name: some StringProtocol) {
        guard let found = Self.byName[String(name)] else { return nil }
        self = found
    }

    /// How many bytes the value has in the binary form.
    enum ValueLength {
        case none
        case fixed(Int)
        /// A varint before the value says.
        case prefixed
    }

    var valueLength: ValueLength {
        switch self {
        case .ipcidr: .fixed(1)
        case .tcp, .udp: .fixed(2)
        case .ip4: .fixed(4)
        case .memory: .fixed(8)
        case .ip6: .fixed(16)
        case .ip6zone, .dns, .dns4, .dns6, .dnsaddr, .unix, .p2p, .sni, .certhash: .prefixed
        case .webrtcDirect, .webrtc, .p2pCircuit, .https, .tls, .noise, .quic, .quicV1, .webtransport, .ws, .wss, .http: .none
        }
    }
}
