internal import Dispatch
internal import LibP2P

#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Looks names up away from the loop, which must not wait for them.
///
/// Used on the loop; answers come as `SocketEvent.resolved`, and `finished` must be called for each.
final class NameResolver {
    /// Threads that wait for name servers at the same time.
    static let threadCountMax = 4
    /// Names that wait for a thread. Beyond it a dial fails at once.
    static let waitingCountMax = 256

    private let loop: DispatchQueue
    private var notify: @Sendable (SocketEvent) -> Void
    private let threads = DispatchQueue(label: "chorale.names", attributes: .concurrent)
    private var runningCount = 0
    private var waiting: [(id: ConnectionID, work: @Sendable () -> Void)] = []

    init(queue: DispatchQueue, notify: @escaping @Sendable (SocketEvent) -> Void) {
        self.loop = queue
        self.notify = notify
    }

    /// Whether the name was taken: too many may be waiting.
    func resolve(_ address: TransportAddress, for peer: PeerID?, _ id: ConnectionID) -> Bool {
        let (loop, notify) = (self.loop, self.notify)
        let work: @Sendable () -> Void = {
            let result = NameLookup().targets(of: address, for: peer)
            loop.async { notify(.resolved(id, result)) }
        }
        if self.runningCount < Self.threadCountMax {
            self.runningCount += 1
            self.threads.async(execute: work)
            return true
        }
        guard self.waiting.count < Self.waitingCountMax else { return false }
        self.waiting.append((id, work))
        return true
    }

    /// Nobody wants the answer any more. A lookup that has begun goes on, for it cannot be stopped; one that waits gives up its place.
    func callOff(_ id: ConnectionID) { self.waiting.removeAll { $0.id == id } }

    /// Answers that still come reach nobody.
    func stop() {
        self.notify = { _ in }
        self.waiting = []
    }

    func finished() {
        if self.waiting.isEmpty {
            self.runningCount -= 1
        } else {
            self.threads.async(execute: self.waiting.removeFirst().work)
        }
    }
}

/// What a name stands for. Everything here waits for name servers.
struct NameLookup: Sendable {
    /// Lookups of TXT records for one dial: entries may name further names.
    static let recordLookupCountMax = 8
    /// After this long no further lookup begins for a dial, which would be over anyway: few threads serve all dials.
    static let recordLookupTimeout = Duration.seconds(6)

    /// Whom to ask for TXT records, in this order. Asked for again with each lookup: a machine that moves gets other servers.
    var servers: @Sendable () -> [SocketAddress] = { TXTLookup.systemServers }
    /// How long each server has.
    var answerTimeout = TXTLookup.timeout
    /// See ``recordLookupTimeout``.
    var timeout = Self.recordLookupTimeout

    func targets(of address: TransportAddress, for peer: PeerID?) -> Result<[DialTarget], RawDialFailure> {
        var lookupCount = 0
        let end = ContinuousClock.now + self.timeout
        let targets = self.targets(of: address, for: peer, lookupCount: &lookupCount, until: end)
        if !targets.isEmpty { return .success(targets) }
        switch address.host {
        case .name(let name, _), .records(let name, _): return .failure(.nameNotFound(name))
        case .address: return .failure(.noTransport)
        }
    }

    private func targets(
        of address: TransportAddress, for peer: PeerID?, lookupCount: inout Int, until end: ContinuousClock.Instant
    ) -> [DialTarget] {
        switch address.host {
        case .address(let host):
            let socketAddress = SocketAddress(host, port: address.port)
            return [DialTarget(address: socketAddress, isWebSocket: address.isWebSocket, hostText: socketAddress.hostText)]
        case .name(let name, let family):
            return Self.addresses(of: name, family).map { host in
                DialTarget(
                    address: SocketAddress(host, port: address.port), isWebSocket: address.isWebSocket, hostText: "\(name):\(address.port)")
            }
        case .records(let name, let suffix):
            guard lookupCount < Self.recordLookupCountMax, ContinuousClock.now < end else { return [] }
            lookupCount += 1
            var targets: [DialTarget] = []
            let texts = TXTLookup.texts(of: "_dnsaddr.\(name)", from: self.servers(), within: self.answerTimeout)
            for entry in DNSAddress.entries(in: texts, for: peer, suffix: suffix) {
                guard targets.count < SocketTable.targetCountMax, let transport = TransportAddress(entry) else { continue }
                targets += self.targets(of: transport, for: peer, lookupCount: &lookupCount, until: end)
            }
            return targets
        }
    }

    /// The addresses of a name, in the order in which the system wants them tried.
    private static func addresses(of name: String, _ family: TransportAddress.Family) -> [SocketAddress.Host] {
        var hints = addrinfo()
        hints.ai_socktype = System.stream
        hints.ai_family =
            switch family {
            case .any: AF_UNSPEC
            case .ip4: AF_INET
            case .ip6: AF_INET6
            }
        var first: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &first) == 0 else { return [] }
        defer { freeaddrinfo(first) }
        var hosts: [SocketAddress.Host] = []
        var next = first
        while let entry = next?.pointee, hosts.count < SocketTable.targetCountMax {
            next = entry.ai_next
            guard let pointer = entry.ai_addr, Int(entry.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size else { continue }
            let address = SocketAddress { target, length in
                UnsafeMutableRawPointer(target).copyMemory(from: pointer, byteCount: Int(entry.ai_addrlen))
                length.pointee = entry.ai_addrlen
            }
            if let host = address.host, !hosts.contains(host) { hosts.append(host) }
        }
        return hosts
    }
}

/// The entries of a `/dnsaddr` (multiformats/multiaddr, protocols/DNSADDR.md).
enum DNSAddress {
    /// Those texts that are addresses, lead to the peer if one is wanted, and end in `suffix`.
    static func entries(in texts: [String], for peer: PeerID?, suffix: [Multiaddr.Component]) -> [Multiaddr] {
        texts.compactMap { text in
            guard text.hasPrefix("dnsaddr="), let address = try? Multiaddr(text: text.dropFirst(8)) else { return nil }
            if let peer, let named = address.peerID, named != peer { return nil }
            let components = address.withoutPeerID.components
            guard components.suffix(suffix.count).elementsEqual(suffix), !components.contains(.p2pCircuit) else { return nil }
            return Multiaddr(components)
        }
    }
}
