extension Multiaddr {
    /// One protocol of an address, with its value.
    ///
    /// Names are visible ASCII without `/` (others go to DNS as Punycode); a `unix` path begins with `/` and has no control
    /// characters. What was parsed is so.
    public enum Component: Hashable, Sendable {
        case ip4(IPv4Address)
        case ip6(IPv6Address)
        /// The interface over which the link-local address that follows is reached.
        case ip6zone(String)
        /// How many bits of the address before name the network.
        case ipcidr(UInt8)
        case dns(String)
        case dns4(String)
        case dns6(String)
        /// A name whose TXT records hold addresses (multiformats/multiaddr, protocols/DNSADDR.md).
        case dnsaddr(String)
        case tcp(UInt16)
        case udp(UInt16)
        case tls
        case sni(String)
        case noise
        case ws
        case wss
        case http
        case https
        case quic
        case quicV1
        case webtransport
        case webrtc
        case webrtcDirect
        case certhash(Multihash)
        case p2p(PeerID)
        case p2pCircuit
        case unix(String)
        case memory(UInt64)

        public var protocolCode: MultiaddrProtocol {
            switch self {
            case .ip4: .ip4
            case .ip6: .ip6
            case .ip6zone: .ip6zone
            case .ipcidr: .ipcidr
            case .dns: .dns
            case .dns4: .dns4
            case .dns6: .dns6
            case .dnsaddr: .dnsaddr
            case .tcp: .tcp
            case .udp: .udp
            case .tls: .tls
            case .sni: .sni
            case .noise: .noise
            case .ws: .ws
            case .wss: .wss
            case .http: .http
            case .https: .https
            case .quic: .quic
            case .quicV1: .quicV1
            case .webtransport: .webtransport
            case .webrtc: .webrtc
            case .webrtcDirect: .webrtcDirect
            case .certhash: .certhash
            case .p2p: .p2p
            case .p2pCircuit: .p2pCircuit
            case .unix: .unix
            case .memory: .memory
            }
        }
    }
}

extension Multiaddr.Component {
    // MARK: Text

    /// What follows the protocol's name, without the `/` between; `nil` for a protocol without a value.
    var valueText: String? {
        switch self {
        case .ip4(let address): address.description
        case .ip6(let address): address.description
        case .ip6zone(let name), .dns(let name), .dns4(let name), .dns6(let name), .dnsaddr(let name), .sni(let name): name
        case .ipcidr(let bits): String(bits)
        case .tcp(let port), .udp(let port): String(port)
        case .certhash(let hash): Multibase.base64url.encode(hash.bytes)
        case .p2p(let peer): peer.description
        // By code units: a slash with an accent on it is one character.
        case .unix(let path): String(Substring(path.utf8.dropFirst()))
        case .memory(let number): String(number)
        case .tls, .noise, .ws, .wss, .http, .https, .quic, .quicV1, .webtransport, .webrtc, .webrtcDirect, .p2pCircuit: nil
        }
    }

    /// Reads a value from text; `nil` when it is none of this protocol. Not for protocols without a value.
    init?(_ code: MultiaddrProtocol, text: some StringProtocol) {
        switch code {
        case .ip4:
            guard let address = IPv4Address(text: text) else { return nil }
            self = .ip4(address)
        case .ip6:
            guard let address = IPv6Address(text: text) else { return nil }
            self = .ip6(address)
        case .ipcidr:
            guard let bits = Decimal.parse(text, as: UInt8.self) else { return nil }
            self = .ipcidr(bits)
        case .tcp, .udp:
            guard let port = Decimal.parse(text, as: UInt16.self) else { return nil }
            self = code == .tcp ? .tcp(port) : .udp(port)
        case .memory:
            guard let number = Decimal.parse(text, as: UInt64.self) else { return nil }
            self = .memory(number)
        case .p2p:
            guard let peer = try? PeerID(text: text) else { return nil }
            self = .p2p(peer)
        case .certhash:
            guard let decoded = try? Multibase.decode(text), let hash = try? Multihash(parsing: decoded.bytes) else { return nil }
            self = .certhash(hash)
        case .unix:
            self.init(code, name: "/" + text)
        case .ip6zone, .dns, .dns4, .dns6, .dnsaddr, .sni:
            self.init(code, name: String(text))
        case .tls, .noise, .ws, .wss, .http, .https, .quic, .quicV1, .webtransport, .webrtc, .webrtcDirect, .p2pCircuit:
            return nil
        }
    }

    // MARK: Binary

    /// The value's bytes, without a length before them.
    var valueBytes: [UInt8] {
        switch self {
        case .ip4(let address): address.bytes
        case .ip6(let address): address.bytes
        case .ip6zone(let name), .dns(let name), .dns4(let name), .dns6(let name), .dnsaddr(let name), .sni(let name), .unix(let name):
            Array(name.utf8)
        case .ipcidr(let bits): [bits]
        case .tcp(let port), .udp(let port): withUnsafeBytes(of: port.bigEndian) { Array($0) }
        case .certhash(let hash): hash.bytes
        case .p2p(let peer): peer.bytes
        case .memory(let number): withUnsafeBytes(of: number.bigEndian) { Array($0) }
        case .tls, .noise, .ws, .wss, .http, .https, .quic, .quicV1, .webtransport, .webrtc, .webrtcDirect, .p2pCircuit: []
        }
    }

    /// Reads a value from as many bytes as the protocol says; `nil` when it is none of this protocol.
    init?(_ code: MultiaddrProtocol, bytes: ArraySlice<UInt8>) {
        switch code {
        case .ip4:
            guard let address = IPv4Address(bytes) else { return nil }
            self = .ip4(address)
        case .ip6:
            guard let address = IPv6Address(bytes) else { return nil }
            self = .ip6(address)
        case .ipcidr:
            self = .ipcidr(UInt8(truncatingIfNeeded: Self.number(bytes)))
        case .tcp, .udp:
            let port = UInt16(truncatingIfNeeded: Self.number(bytes))
            self = code == .tcp ? .tcp(port) : .udp(port)
        case .memory:
            self = .memory(Self.number(bytes))
        case .p2p:
            guard let peer = try? PeerID(parsing: bytes) else { return nil }
            self = .p2p(peer)
        case .certhash:
            guard let hash = try? Multihash(parsing: bytes) else { return nil }
            self = .certhash(hash)
        case .ip6zone, .dns, .dns4, .dns6, .dnsaddr, .sni, .unix:
            guard let name = String(validating: bytes, as: UTF8.self) else { return nil }
            self.init(code, name: name)
        case .tls: self = .tls
        case .noise: self = .noise
        case .ws: self = .ws
        case .wss: self = .wss
        case .http: self = .http
        case .https: self = .https
        case .quic: self = .quic
        case .quicV1: self = .quicV1
        case .webtransport: self = .webtransport
        case .webrtc: self = .webrtc
        case .webrtcDirect: self = .webrtcDirect
        case .p2pCircuit: self = .p2pCircuit
        }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    // MARK: Names

    /// Most bytes of a name. Source: RFC 1035, section 2.3.4: 255 on the wire, which are 253 as text.
    static let nameByteCountMax = 253

    /// A name that comes back from text as it went in, and that a terminal shows as it is.
    private init?(_ code: MultiaddrProtocol, name: String) {
        let isInOrder =
            code == .unix
            ? name.utf8.count > 1 && name.utf8.first == 0x2f && name.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f }
            : (1...Self.nameByteCountMax).contains(name.utf8.count)
                && name.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x2f }
        guard isInOrder else { return nil }
        switch code {
        case .ip6zone: self = .ip6zone(name)
        case .dns: self = .dns(name)
        case .dns4: self = .dns4(name)
        case .dns6: self = .dns6(name)
        case .dnsaddr: self = .dnsaddr(name)
        case .sni: self = .sni(name)
        case .unix: self = .unix(name)
        case .ip4, .ip6, .ipcidr, .tcp, .udp, .tls, .noise, .ws, .wss, .http, .https, .quic, .quicV1, .webtransport, .webrtc,
            .webrtcDirect, .certhash, .p2p, .p2pCircuit, .memory:
            return nil
        }
    }
}
