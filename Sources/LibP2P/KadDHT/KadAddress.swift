/// An address with what is asked of it again and again.
///
/// An address reaches only as far as its scope, so it means something only to those at least as near: a peer that we know over a
/// public address is told no private ones, and none are taken from it. Otherwise a stranger could make a node dial into its own network.
package struct KadAddress: Hashable, Sendable {
    package let address: Multiaddr
    package let bytes: [UInt8]
    package let scope: AddressScope

    /// `nil` for an address that leads to no machine on a network, or to another peer than `peer`.
    package init?(_ address: Multiaddr, of peer: PeerID) {
        if let named = address.peerID, named != peer { return nil }
        // Before the circuit the peer is the relay, so only a peer behind it names the destination.
        let bare = address.withoutPeerID
        guard let scope = bare.scope, !bare.namesPortZero else { return nil }
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
        if address.isRelayed { return address.bytes }
        guard address.scope == .everywhere else { return nil }
        guard let household = address.household else { return Array("dns".utf8) }
        return Array(household.prefix(household.count / 2))
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
