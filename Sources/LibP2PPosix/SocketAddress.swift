internal import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// An IP address with a TCP port, as the system's calls take it.
struct SocketAddress: Hashable, Sendable {
    enum Host: Hashable, Sendable {
        case ip4(IPv4Address)
        /// `scope` is the number of the interface of a link-local address, else 0.
        case ip6(IPv6Address, scope: UInt32)
    }

    /// `nil` where the system gave an address of another family.
    let host: Host?
    let port: UInt16

    init(_ host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// What a call of the system writes.
    init(filledBy call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Void) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &length) }
        }
        self.init(storage)
    }

    init(_ storage: sockaddr_storage) {
        (self.host, self.port) = withUnsafeBytes(of: storage) { bytes in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let address = bytes.loadUnaligned(as: sockaddr_in.self)
                let host = withUnsafeBytes(of: address.sin_addr) { IPv4Address(Array($0)) }
                return (host.map { .ip4($0) }, UInt16(bigEndian: address.sin_port))
            case AF_INET6:
                let address = bytes.loadUnaligned(as: sockaddr_in6.self)
                let host = withUnsafeBytes(of: address.sin6_addr) { IPv6Address(Array($0)) }
                return (host.map { .ip6($0, scope: address.sin6_scope_id) }, UInt16(bigEndian: address.sin6_port))
            default: return (nil, 0)
            }
        }
    }

    var family: Int32 {
        switch self.host {
        case .ip6: AF_INET6
        case .ip4, .none: AF_INET
        }
    }

    /// Whether it stands for all addresses of this machine.
    var isUnspecified: Bool {
        switch self.host {
        case .ip4(let address): address.bytes.allSatisfy { $0 == 0 }
        case .ip6(let address, _): address.bytes.allSatisfy { $0 == 0 }
        case .none: false
        }
    }

    func withPort(_ port: UInt16) -> SocketAddress? { self.host.map { SocketAddress($0, port: port) } }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        switch self.host {
        case .ip6(let host, let scope):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = self.port.bigEndian
            address.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: host.bytes) }
            return Self.withPointer(to: &address, body)
        case .ip4(let host):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = self.port.bigEndian
            withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: host.bytes) }
            return Self.withPointer(to: &address, body)
        case .none:
            // No family: every call refuses it.
            var address = sockaddr()
            return body(&address, socklen_t(MemoryLayout<sockaddr>.size))
        }
    }

    private static func withPointer<Address, Result>(
        to address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<Address>.size)) }
        }
    }

    // MARK: Multiaddresses

    /// As a multiaddress; a link-local one names its interface.
    func multiaddr(isWebSocket: Bool) -> Multiaddr {
        var components: [Multiaddr.Component] = []
        switch self.host {
        case .ip4(let address): components.append(.ip4(address))
        case .ip6(let address, let scope):
            if scope != 0, let name = Self.interfaceName(scope) { components.append(.ip6zone(name)) }
            components.append(.ip6(address))
        case .none: break
        }
        return Multiaddr(components + [.tcp(self.port)] + (isWebSocket ? [.ws] : []))
    }

    private static func interfaceName(_ number: UInt32) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(IF_NAMESIZE) + 1)
        guard if_indextoname(number, &buffer) != nil else { return nil }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// For HTTP's `Host`.
    var hostText: String {
        switch self.host {
        case .ip4(let address): "\(address):\(self.port)"
        case .ip6(let address, _): "[\(address)]:\(self.port)"
        case .none: ""
        }
    }

    // MARK: This machine

    /// The addresses of the interfaces that are up, with this port; only those of the same family.
    var expanded: [SocketAddress] {
        guard self.isUnspecified else { return [self] }
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [self] }
        defer { freeifaddrs(first) }
        var found: [SocketAddress] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard entry.ifa_flags & UInt32(truncatingIfNeeded: Self.up) != 0, let pointer = entry.ifa_addr,
                Int32(pointer.pointee.sa_family) == self.family
            else { continue }
            let address = SocketAddress { target, length in
                let byteCount = self.family == AF_INET6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
                UnsafeMutableRawPointer(target).copyMemory(from: pointer, byteCount: byteCount)
                length.pointee = socklen_t(byteCount)
            }
            if let address = address.withPort(self.port), !found.contains(address) { found.append(address) }
        }
        return found.isEmpty ? [self] : found
    }

    #if canImport(Darwin)
    private static let up = IFF_UP
    #else
    private static let up = IFF_UP
    #endif
}

/// What of an address this module can connect to or listen on.
struct TransportAddress: Equatable, Sendable {
    enum Host: Equatable, Sendable {
        case address(SocketAddress.Host)
        case name(String, Family)
        /// TXT records of a name; entries end in what follows the name in the address.
        case records(String, suffix: [Multiaddr.Component])
    }

    enum Family: Equatable, Sendable {
        case any
        case ip4
        case ip6
    }

    let host: Host
    let port: UInt16
    let isWebSocket: Bool

    /// `nil` for anything but TCP, with `/ws` behind it or not. TLS is none of ours.
    init?(_ address: Multiaddr) {
        var rest = address.withoutPeerID.components[...]
        var scope: UInt32 = 0
        if case .ip6zone(let name) = rest.first {
            scope = if_nametoindex(name)
            guard scope != 0 else { return nil }
            rest = rest.dropFirst()
        }
        switch rest.popFirst() {
        case .ip4(let address) where scope == 0: self.host = .address(.ip4(address))
        case .ip6(let address): self.host = .address(.ip6(address, scope: scope))
        case .dns(let name) where scope == 0: self.host = .name(name, .any)
        case .dns4(let name) where scope == 0: self.host = .name(name, .ip4)
        case .dns6(let name) where scope == 0: self.host = .name(name, .ip6)
        case .dnsaddr(let name) where scope == 0:
            self.host = .records(name, suffix: Array(rest))
            self.port = 0
            self.isWebSocket = false
            return
        default: return nil
        }
        guard case .tcp(let port) = rest.popFirst() else { return nil }
        self.port = port
        self.isWebSocket = rest.first == .ws
        if self.isWebSocket { rest = rest.dropFirst() }
        guard rest.isEmpty else { return nil }
    }
}
