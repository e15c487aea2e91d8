internal import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

extension System {
    #if canImport(Darwin)
    static let datagram = SOCK_DGRAM
    #else
    static let datagram = Int32(SOCK_DGRAM.rawValue)
    #endif

    /// Where a datagram came from, and how many bytes it has: at most as many as the buffer.
    static func receiveDatagram(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> (count: Int, from: SocketAddress) {
        while true {
            var count = 0
            let address = SocketAddress { count = recvfrom(descriptor, buffer.baseAddress, buffer.count, 0, $0, $1) }
            if count >= 0 { return (count, address) }
            let error = SystemError.last
            guard error.isInterrupted else { throw error }
        }
    }

    static func sendDatagram(_ descriptor: Int32, _ bytes: [UInt8], to address: SocketAddress) throws(SystemError) {
        while true {
            let count = bytes.withUnsafeBytes { bytes in
                address.withPointer { sendto(descriptor, bytes.baseAddress, bytes.count, Self.sendFlags, $0, $1) }
            }
            if count >= 0 { return }
            let error = SystemError.last
            guard error.isInterrupted else { throw error }
        }
    }

    // MARK: Multicast

    /// Hears and reaches a group over one interface; what is sent comes back to this machine's own programs, too.
    static func join(_ group: MulticastGroup, _ descriptor: Int32) throws(SystemError) {
        switch group {
        case .ip4(let group, let interface):
            try Self.set(IP_MULTICAST_IF, of: descriptor, level: Int32(IPPROTO_IP), to: Self.address(interface))
            let request = ip_mreq(imr_multiaddr: Self.address(group), imr_interface: Self.address(interface))
            try Self.set(IP_ADD_MEMBERSHIP, of: descriptor, level: Int32(IPPROTO_IP), to: request)
            try Self.set(IP_MULTICAST_LOOP, of: descriptor, level: Int32(IPPROTO_IP), to: UInt8(1))
            try Self.set(IP_MULTICAST_TTL, of: descriptor, level: Int32(IPPROTO_IP), to: Self.hopLimit)
            try Self.set(IP_TTL, of: descriptor, level: Int32(IPPROTO_IP), to: Int32(Self.hopLimit))
            #if !canImport(Darwin)
            // Else the system gives it what came over any interface on which any program joined the group (ip(7)).
            try Self.set(IP_MULTICAST_ALL, of: descriptor, level: Int32(IPPROTO_IP), to: Int32(0))
            #endif
        case .ip6(let group, let interface):
            try Self.set(IPV6_MULTICAST_IF, of: descriptor, level: Int32(IPPROTO_IPV6), to: interface)
            var request = ipv6_mreq()
            withUnsafeMutableBytes(of: &request.ipv6mr_multiaddr) { $0.copyBytes(from: group.bytes) }
            request.ipv6mr_interface = .init(interface)
            try Self.set(IPV6_JOIN_GROUP, of: descriptor, level: Int32(IPPROTO_IPV6), to: request)
            try Self.set(IPV6_MULTICAST_LOOP, of: descriptor, level: Int32(IPPROTO_IPV6), to: UInt32(1))
            try Self.set(IPV6_MULTICAST_HOPS, of: descriptor, level: Int32(IPPROTO_IPV6), to: Int32(Self.hopLimit))
            try Self.set(IPV6_UNICAST_HOPS, of: descriptor, level: Int32(IPPROTO_IPV6), to: Int32(Self.hopLimit))
        }
    }

    /// What those expect who check that a datagram passed no router (RFC 6762, section 11).
    private static let hopLimit: UInt8 = 255

    private static func address(_ address: IPv4Address) -> in_addr {
        var result = in_addr()
        withUnsafeMutableBytes(of: &result) { $0.copyBytes(from: address.bytes) }
        return result
    }

    private static func set<Value>(
        _ option: Int32, of descriptor: Int32, level: Int32, to value: Value
    ) throws(SystemError) {
        let status = withUnsafeBytes(of: value) { setsockopt(descriptor, level, option, $0.baseAddress, socklen_t($0.count)) }
        guard status == 0 else { throw .last }
    }
}

/// A group on one interface: for IPv4 by an address of the interface, for IPv6 by its number.
enum MulticastGroup: Hashable, Sendable {
    case ip4(IPv4Address, interface: IPv4Address)
    case ip6(IPv6Address, interface: UInt32)
}
