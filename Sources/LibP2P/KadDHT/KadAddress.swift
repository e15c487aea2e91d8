/// How far an address reaches.
package enum KadAddressScope: Int, Comparable, Sendable {
    /// This machine.
    case loopback
    /// This network: private, shared and link-local ranges.
    case local
    /// Everybody: all other ranges, names, and addresses through a relay.
    case everywhere

    package static func < (left: KadAddressScope, right: KadAddressScope) -> Bool { left.rawValue < right.rawValue }
}

/// An address with what is asked of it again and again.
///
/// An address reaches only as far as its scope, so it means something only to those at least as near: a peer that we know over a
/// public address is told no private ones, and none are taken from it. Otherwise a stranger could make a node dial into its own network.
package struct KadAddress: Hashable, Sendable {
    package let address: Multiaddr
    package let bytes: [UInt8]
    package let scope: KadAddressScope

    /// `nil` for an address that leads to no machine on a network, or to another peer than `peer`.
    package init?(_ address: Multiaddr, of peer: PeerID) {
        let isRelayed = address.isRelayed
        if let named = address.peerID, named != peer { return nil }
        // Before the circuit the peer is the relay, so only a peer behind it names the destination.
        let bare = address.withoutPeerID
        guard let scope = isRelayed ? .everywhere : KadAddressScope(of: bare), !bare.namesPortZero else { return nil }
        self.address = bare
        self.bytes = bare.bytes
        self.scope = scope
    }

    package init?(bytes: [UInt8], of peer: PeerID) {
        guard let address = try? Multiaddr(parsing: bytes) else { return nil }
        self.init(address, of: peer)
    }

    /// Bytes of one peer's addresses that are kept: several times what peers with many of them have.
    package static let byteCountOfPeerMax = 2_048

    /// As many of a peer's addresses, the first ones, as are kept.
    package static func fitting(_ addresses: some Sequence<KadAddress>) -> [KadAddress] {
        var room = Self.byteCountOfPeerMax
        return addresses.prefix { address in
            room -= address.bytes.count
            return room >= 0
        }
    }

    /// About what it takes to keep an address: as bytes and in its parts.
    package var heldByteCount: Int { 128 + 2 * self.bytes.count }

    /// Which network a connection comes from, for the limit on peers of one network: the first 16 bits of IPv4, as
    /// go-libp2p-kbucket groups them, and 32 of IPv6, which is what a registry gives one operator; a relay is one for itself, and all
    /// names are one, for a thousand of them may lead to one machine. Only public addresses belong to any.
    package static func network(of address: Multiaddr) -> [UInt8]? {
        guard KadAddressScope(of: address) == .everywhere else { return nil }
        if address.isRelayed { return address.bytes }
        guard let household = SwarmGate.addressKey(of: address) else { return Array("dns".utf8) }
        return Array(household.prefix(household.count / 2))
    }
}

extension ConnectionInfo {
    /// Who counts as one where all share what there is: whoever has a public address, or comes through one relay. In networks of our own,
    /// where many peers may be on one machine, each counts for itself.
    var household: [UInt8] {
        if self.remoteAddress.isRelayed { return self.remoteAddress.bytes }
        guard KadAddressScope(of: self.remoteAddress) == .everywhere else { return self.peer.bytes }
        return SwarmGate.addressKey(of: self.remoteAddress) ?? self.peer.bytes
    }
}

extension Multiaddr {
    /// Whether the address ends at port 0, where nobody can be.
    var namesPortZero: Bool {
        self.components.contains { component in
            switch component {
            case .tcp(let port), .udp(let port): port == 0
            default: false
            }
        }
    }
}

extension KadAddressScope {
    /// `nil` for what is no address of a machine on a network.
    package init?(of address: Multiaddr) {
        if address.isRelayed {
            self = .everywhere
            return
        }
        switch address.components.first {
        case .ip4(let address):
            guard let scope = Self.scope(ofIPv4: address.bytes) else { return nil }
            self = scope
        case .ip6(let address):
            guard let scope = Self.scope(ofIPv6: address.bytes) else { return nil }
            self = scope
        case .ip6zone: self = .local
        case .dns(let name), .dns4(let name), .dns6(let name), .dnsaddr(let name): self = Self.scope(ofName: name)
        default: return nil
        }
    }

    /// Names that each network has for itself (RFC 6761, RFC 6762, RFC 8375), or that have no domain. Where another one leads shows only
    /// when it is looked up.
    private static func scope(ofName name: String) -> KadAddressScope {
        let labels = name.lowercased().split(separator: ".")
        switch labels.last ?? "" {
        case "localhost": return .loopback
        case "local", "internal", "lan", "arpa": return .local
        default: return labels.count < 2 ? .local : .everywhere
        }
    }

    /// Source: IANA IPv4 Special-Purpose Address Registry. Multicast, reserved and unspecified addresses are nobody's.
    private static func scope(ofIPv4 bytes: [UInt8]) -> KadAddressScope? {
        switch (bytes[0], bytes[1]) {
        case (0, _), (224..., _): nil
        case (127, _): .loopback
        case (10, _), (172, 16...31), (192, 168), (169, 254), (100, 64...127): .local
        default: .everywhere
        }
    }

    /// Source: IANA IPv6 Special-Purpose Address Registry.
    private static func scope(ofIPv6 bytes: [UInt8]) -> KadAddressScope? {
        if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff { return Self.scope(ofIPv4: Array(bytes[12...])) }
        if bytes[..<15].allSatisfy({ $0 == 0 }), bytes[15] <= 1 { return bytes[15] == 1 ? .loopback : nil }
        if bytes[0] == 0xff { return nil }
        // fc00::/7 and fe80::/10.
        return bytes[0] & 0xfe == 0xfc || (bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80) ? .local : .everywhere
    }
}
