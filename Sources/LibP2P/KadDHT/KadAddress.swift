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
        guard let scope = isRelayed ? .everywhere : KadAddressScope(of: bare) else { return nil }
        self.address = bare
        self.bytes = bare.bytes
        self.scope = scope
    }

    package init?(bytes: [UInt8], of peer: PeerID) {
        guard let address = try? Multiaddr(parsing: bytes) else { return nil }
        self.init(address, of: peer)
    }

    /// Which network the address belongs to, for the limit on peers of one network: the first 16 bits of IPv4, as
    /// go-libp2p-kbucket groups them, and 32 of IPv6, which is what a registry gives one operator. Only public addresses of machines
    /// belong to any.
    package var network: [UInt8]? {
        guard self.scope == .everywhere, !self.address.isRelayed else { return nil }
        switch self.address.components.first {
        case .ip4(let address): return Array(address.bytes.prefix(2))
        case .ip6(let address): return Array(address.bytes.prefix(4))
        default: return nil
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
        case .ip4(let address): self = Self.scope(ofIPv4: address.bytes)
        case .ip6(let address): self = Self.scope(ofIPv6: address.bytes)
        case .ip6zone: self = .local
        case .dns, .dns4, .dns6, .dnsaddr: self = .everywhere
        default: return nil
        }
    }

    /// Source: IANA IPv4 Special-Purpose Address Registry.
    private static func scope(ofIPv4 bytes: [UInt8]) -> KadAddressScope {
        switch (bytes[0], bytes[1]) {
        case (127, _), (0, _): .loopback
        case (10, _), (172, 16...31), (192, 168), (169, 254), (100, 64...127): .local
        default: .everywhere
        }
    }

    /// Source: IANA IPv6 Special-Purpose Address Registry.
    private static func scope(ofIPv6 bytes: [UInt8]) -> KadAddressScope {
        if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff { return Self.scope(ofIPv4: Array(bytes[12...])) }
        if bytes[..<15].allSatisfy({ $0 == 0 }), bytes[15] <= 1 { return .loopback }
        // fc00::/7 and fe80::/10.
        return bytes[0] & 0xfe == 0xfc || (bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80) ? .local : .everywhere
    }
}
