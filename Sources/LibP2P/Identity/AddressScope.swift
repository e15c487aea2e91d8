/// How far an address reaches: to whom it means something.
///
/// A stranger could otherwise make a node dial into its own network: what a peer names counts only if it reaches at least as far as the
/// peer is away.
public enum AddressScope: Int, Comparable, Sendable {
    /// This machine.
    case loopback
    /// This network: private, shared and link-local ranges.
    case local
    /// Everybody: all other ranges, and names that are not one network's own.
    case everywhere

    public static func < (left: AddressScope, right: AddressScope) -> Bool { left.rawValue < right.rawValue }

    /// `nil` for what is nobody's: unspecified, multicast and reserved addresses.
    public init?(of address: IPAddress) {
        switch address {
        case .ip4(let address): self.init(ofIPv4: address.bytes[...])
        case .ip6(let address): self.init(ofIPv6: address.bytes)
        }
    }

    /// Source: IANA IPv4 Special-Purpose Address Registry; RFC 1918, 2544, 3927, 6598 and 6890.
    private init?(ofIPv4 bytes: ArraySlice<UInt8>) {
        switch (bytes[bytes.startIndex], bytes[bytes.startIndex + 1]) {
        case (0, _), (224..., _): return nil
        case (127, _): self = .loopback
        case (10, _), (172, 16...31), (192, 168), (169, 254), (100, 64...127), (198, 18...19): self = .local
        // Of 192.0.0.0/24 two addresses reach everybody, and none is a peer's.
        case (192, 0) where bytes[bytes.startIndex + 2] == 0: self = .local
        default: self = .everywhere
        }
    }

    /// Source: IANA IPv6 Special-Purpose Address Registry; RFC 3879, 4193, 4291 and 8215.
    private init?(ofIPv6 bytes: [UInt8]) {
        if let inner = Self.innerIPv4(of: bytes) {
            self.init(ofIPv4: inner)
            return
        }
        if bytes[..<15].allSatisfy({ $0 == 0 }), bytes[15] <= 1 {
            guard bytes[15] == 1 else { return nil }
            self = .loopback
            return
        }
        switch (bytes[0], bytes[1]) {
        case (0xff, _): return nil
        // Link-local ones, and site-local ones, which some networks have still.
        case (0xfc...0xfd, _), (0xfe, 0x80...0xff): self = .local
        // Translated by a router of this network, to wherever it likes.
        case (0, 0x64) where bytes.starts(with: [0, 0x64, 0xff, 0x9b, 0, 1]): self = .local
        default: self = .everywhere
        }
    }

    /// The IPv4 address to which one of IPv6 leads: a mapped one (RFC 4291, section 2.5.5.2), or one that a router on the way translates or
    /// unwraps (64:ff9b::/96, RFC 6052; 2002::/16, RFC 3056).
    private static func innerIPv4(of bytes: [UInt8]) -> ArraySlice<UInt8>? {
        if bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) { return bytes[12...] }
        if bytes.starts(with: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]) { return bytes[12...] }
        if bytes.starts(with: [0x20, 0x02]) { return bytes[2..<6] }
        return nil
    }

    /// Names that each network has for itself (RFC 6761, RFC 6762, RFC 8375), or that have no domain. Where another one leads shows only
    /// when it is looked up: see ``RawDial/leastScope``.
    fileprivate init(ofName name: String) {
        let labels = name.lowercased().split(separator: ".")
        switch labels.last ?? "" {
        case "localhost": self = .loopback
        case "local", "internal", "lan", "arpa": self = .local
        default: self = labels.count < 2 ? .local : .everywhere
        }
    }
}

extension IPAddress {
    /// How far it reaches; `nil` for what is nobody's.
    var scope: AddressScope? { AddressScope(of: self) }
}

extension Multiaddr {
    /// The IP address with which it begins, behind an interface's name or not.
    var ipAddress: IPAddress? {
        switch self.host {
        case .ip4(let address): .ip4(address)
        case .ip6(let address): .ip6(address)
        default: nil
        }
    }

    /// How far it reaches; `nil` for what is no address of a machine on a network. One through a relay reaches as far as that relay's own.
    var scope: AddressScope? {
        if let circuit = self.components.firstIndex(of: .p2pCircuit) {
            let way = Multiaddr(Array(self.components[..<circuit])).withoutPeerID
            return way.components.isEmpty ? .everywhere : way.scope
        }
        switch self.host {
        case .ip4, .ip6:
            guard let scope = self.ipAddress?.scope else { return nil }
            // Of an interface only its own machine and network know.
            if case .ip6zone? = self.components.first { return min(scope, .local) }
            return scope
        case .dns(let name), .dns4(let name), .dns6(let name), .dnsaddr(let name): return AddressScope(ofName: name)
        default: return nil
        }
    }

    /// The address as it may be taken from a peer that is so far away; `nil` for one that reaches less far. Of one through a relay that
    /// is nearer by its address the relay's name remains, which may be known.
    package func reaching(_ distance: AddressScope) -> Multiaddr? {
        guard let scope = self.scope else { return nil }
        if scope >= distance { return self }
        guard let circuit = self.components.firstIndex(of: .p2pCircuit), circuit > 0, case .p2p = self.components[circuit - 1] else {
            return nil
        }
        return Multiaddr(Array(self.components[(circuit - 1)...]))
    }

    /// What one household has: an IPv4 address, or the first 64 bits of one of IPv6. Limits and votes count by it. `nil` for an address
    /// without either: nobody is told apart by a name that resolves to anything.
    public var household: [UInt8]? {
        switch self.host {
        case .ip4(let address): return address.bytes
        case .ip6(let address):
            // An IPv4 address in IPv6's clothes is the same household.
            return address.mappedIPv4?.bytes ?? Array(address.bytes[..<8])
        default: return nil
        }
    }
}

extension ConnectionInfo {
    /// How far away the peer is. Behind a relay it may be anywhere.
    var distance: AddressScope? { self.remoteAddress.isRelayed ? .everywhere : self.remoteAddress.scope }

    /// Who counts as one where all share what there is: whoever has a public address, or comes through one relay. In networks of our own,
    /// where many peers may be on one machine, each counts for itself.
    public var household: [UInt8] {
        if self.remoteAddress.isRelayed { return self.remoteAddress.bytes }
        guard self.distance == .everywhere else { return self.peer.bytes }
        return self.remoteAddress.household ?? self.peer.bytes
    }
}
