internal import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// One interface of this machine that is up.
struct NetworkInterface: Hashable, Sendable {
    let name: String
    let number: UInt32
    let isLoopback: Bool
    /// Whether it is one of a network, by what the system says, on which everybody can be asked at once.
    let isMulticast: Bool
    var subnets: [MDNSLink.Subnet] = []

    /// All that are up, in the order of their numbers.
    static var all: [NetworkInterface] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var found: [UInt32: NetworkInterface] = [:]
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            let number = if_nametoindex(entry.ifa_name)
            guard Self.has(IFF_UP, entry.ifa_flags), number != 0, let address = Self.address(entry.ifa_addr),
                let mask = Self.address(entry.ifa_netmask)
            else { continue }
            let bare = NetworkInterface(
                name: String(cString: entry.ifa_name), number: number, isLoopback: Self.has(IFF_LOOPBACK, entry.ifa_flags),
                isMulticast: Self.has(IFF_MULTICAST, entry.ifa_flags) && !Self.has(IFF_POINTOPOINT, entry.ifa_flags))
            let prefixBitCount = mask.bytes.reduce(0) { $0 + $1.nonzeroBitCount }
            found[number, default: bare].subnets.append(MDNSLink.Subnet(address, prefixBitCount: prefixBitCount))
        }
        return found.values.sorted { $0.number < $1.number }
    }

    /// With which versions of IP it can be spoken on.
    var links: [MDNSLink] {
        [MDNSLink.Family.ip4, .ip6].filter { family in self.subnets.contains { $0.family == family } }.map { family in
            MDNSLink(
                id: MDNSLink.ID(interface: self.number, family: family), interfaceName: self.name, isLoopback: self.isLoopback,
                subnets: self.subnets)
        }
    }

    private static func has(_ flag: some BinaryInteger, _ flags: UInt32) -> Bool { flags & UInt32(truncatingIfNeeded: flag) != 0 }

    /// Of IP; `nil` for others.
    private static func address(_ pointer: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
        guard let pointer else { return nil }
        let byteCount: Int
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET: byteCount = MemoryLayout<sockaddr_in>.size
        case AF_INET6: byteCount = MemoryLayout<sockaddr_in6>.size
        default: return nil
        }
        let address = SocketAddress { target, length in
            UnsafeMutableRawPointer(target).copyMemory(from: pointer, byteCount: byteCount)
            length.pointee = socklen_t(byteCount)
        }
        return address.host?.ip
    }
}

extension MDNSLink.Subnet {
    var family: MDNSLink.Family {
        switch self.address {
        case .ip4: .ip4
        case .ip6: .ip6
        }
    }
}

extension SocketAddress.Host {
    var ip: IPAddress {
        switch self {
        case .ip4(let address): .ip4(address)
        case .ip6(let address, _): .ip6(address)
        }
    }
}
