/// Where on the internet an address lies, as far as it says so itself.
enum ServiceAddressScope: Hashable, Sendable {
    case loopback
    /// Private, link-local and unique-local networks (RFC 1918, 3927, 4193, 6598).
    case local
    case global
    /// Nobody can be dialled there: unspecified, multicast, reserved.
    case nowhere
}

extension Multiaddr {
    /// `nil` unless the address begins with an IP address.
    var scope: ServiceAddressScope? {
        switch self.host {
        case .ip4(let address): Self.scope(ofIPv4: address.bytes[...])
        case .ip6(let address): Self.scope(ofIPv6: address.bytes)
        default: nil
        }
    }

    private static func scope(ofIPv4 bytes: ArraySlice<UInt8>) -> ServiceAddressScope {
        let (first, second) = (bytes.first ?? 0, bytes.dropFirst().first ?? 0)
        return switch (first, second) {
        case (127, _): .loopback
        case (0, _), (224..., _): .nowhere
        case (10, _), (172, 16...31), (192, 168), (169, 254), (100, 64...127): .local
        default: .global
        }
    }

    private static func scope(ofIPv6 bytes: [UInt8]) -> ServiceAddressScope {
        let (first, second) = (bytes.first ?? 0, bytes.dropFirst().first ?? 0)
        if bytes.prefix(10).allSatisfy({ $0 == 0 }), bytes.dropFirst(10).prefix(2).allSatisfy({ $0 == 0xff }) {
            return Self.scope(ofIPv4: bytes.suffix(4))
        }
        if bytes.dropLast().allSatisfy({ $0 == 0 }) { return bytes.last == 1 ? .loopback : .nowhere }
        if first == 0xff { return .nowhere }
        if first & 0xfe == 0xfc || first == 0xfe && second & 0xc0 == 0x80 { return .local }
        return .global
    }

    /// What one household has: an IPv4 address, or the first 64 bits of an IPv6 address. Limits and votes count by it.
    /// Nobody is told apart by a name that resolves to anything.
    var household: [UInt8] { SwarmGate.addressKey(of: self) ?? [] }
}
