internal import Dispatch
public import LibP2P

/// Finding peers on the networks of this machine: what an owner chooses, and what it hears.
public enum LocalDiscovery {
    public struct Configuration: Sendable {
        public var mdns = MDNS.Configuration()
        /// The names of the interfaces that are used; `nil`: all that are up and of a network on which everybody can be asked at once,
        /// which loopback is not.
        public var interfaces: Set<String>?
        /// Whether peers that are found are dialled.
        public var dialsDiscovered = false

        public init() {}
    }

    public enum Event: Equatable, Sendable {
        /// Somebody near by says that the peer can be reached here. That it is so only a connection proves.
        case discovered(PeerID, [Multiaddr])
        /// Nobody says so any more.
        case expired(PeerID)
        /// What the system says against speaking on an interface. It is tried again; the others go on.
        case failed(interface: String, MDNSLink.Family, reason: String)
    }
}

/// What the sockets of local discovery report.
enum DiscoverySocketEvent: Sendable {
    case readable(SocketNumber)
    case cancelled(SocketNumber)
    case timer
}

/// Multicast DNS on real sockets, one for each interface and version of IP.
///
/// Everything happens on the node's loop. Nothing is kept to be sent: what a socket does not take is lost, as datagrams may be.
final class DiscoverySockets {
    /// How often interfaces are looked at: the system does not tell in one way everywhere that they have changed.
    static let interfacesInterval = Duration.seconds(15)
    /// Datagrams that are read from one socket before others have their turn.
    static let readCountMax = 64

    private struct Socket {
        let number: SocketNumber
        let link: MDNSLink
        let descriptor: Int32
        let source: any DispatchSourceRead
    }

    private let queue: DispatchQueue
    private let configuration: LocalDiscovery.Configuration
    private var notify: @Sendable (DiscoverySocketEvent) -> Void
    private var mdns: MDNS
    private var sockets: [Socket] = []
    private var closing: [SocketNumber: Int32] = [:]
    private var nextNumber: UInt64 = 1
    /// What the system says against speaking on a link: said once, until it says something else.
    private var failures: [MDNSLink.ID: SystemError] = [:]
    private var events: [LocalDiscovery.Event] = []
    private var interfacesAt: Duration?
    private var timer: LoopTimer
    private var whenStopped: (@Sendable () -> Void)?
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: MDNS.receivedByteCountMax + 1, alignment: 16)

    init(
        peer: PeerID, configuration: LocalDiscovery.Configuration, seed: UInt64, queue: DispatchQueue,
        notify: @escaping @Sendable (DiscoverySocketEvent) -> Void
    ) {
        self.queue = queue
        self.configuration = configuration
        self.notify = notify
        self.timer = LoopTimer(queue: queue)
        self.mdns = MDNS(peer: peer, configuration: configuration.mdns, seed: seed)
    }

    deinit { self.buffer.deallocate() }

    // MARK: What the owner calls

    func start(addresses: [Multiaddr], now: Duration) {
        self.mdns.setAddresses(addresses, now: now)
        self.lookAtInterfaces(now: now)
        self.carryOut(now: now)
    }

    func setAddresses(_ addresses: [Multiaddr], now: Duration) {
        self.mdns.setAddresses(addresses, now: now)
        self.carryOut(now: now)
    }

    func handle(_ event: DiscoverySocketEvent, now: Duration) {
        switch event {
        case .readable(let number):
            if let index = self.sockets.firstIndex(where: { $0.number == number }) { self.read(self.sockets[index], now: now) }
        case .cancelled(let number):
            if let descriptor = self.closing.removeValue(forKey: number) { System.close(descriptor) }
            return self.tellIfStopped()
        case .timer:
            self.timer.fired()
            if let time = self.interfacesAt, time <= now { self.lookAtInterfaces(now: now) }
            self.mdns.tick(now: now)
        }
        self.carryOut(now: now)
    }

    var counters: MDNS.Counters { self.mdns.counters }

    func nextEvent() -> LocalDiscovery.Event? { self.events.isEmpty ? nil : self.events.removeFirst() }

    /// Takes leave of everybody and gives all sockets up.
    func stop(now: Duration) {
        self.mdns.stop(now: now)
        self.carryOut(now: now)
        for socket in self.sockets { self.close(socket) }
        self.sockets = []
        self.interfacesAt = nil
        self.timer.cancel()
    }

    /// Calls `done` once no descriptor is left, after `stop`.
    func whenStopped(_ done: @escaping @Sendable () -> Void) {
        self.whenStopped = done
        self.tellIfStopped()
    }

    private func tellIfStopped() {
        guard self.sockets.isEmpty, self.closing.isEmpty, let done = self.whenStopped.take() else { return }
        done()
    }

    // MARK: Interfaces

    private func lookAtInterfaces(now: Duration) {
        self.interfacesAt = now + Self.interfacesInterval
        let interfaces = NetworkInterface.all.filter { interface in
            self.configuration.interfaces.map { $0.contains(interface.name) } ?? (interface.isMulticast && !interface.isLoopback)
        }
        let links = interfaces.flatMap(\.links).prefix(MDNS.linkCountMax)
        for socket in self.sockets where !links.contains(socket.link) { self.close(socket) }
        self.sockets.removeAll { !links.contains($0.link) }
        self.failures = self.failures.filter { failure in links.contains { $0.id == failure.key } }
        for link in links where !self.sockets.contains(where: { $0.link.id == link.id }) { self.open(link) }
        self.mdns.setLinks(self.sockets.map(\.link), now: now)
    }

    private func open(_ link: MDNSLink) {
        do throws(SystemError) {
            guard let group = link.group, let address = link.groupAddress else { return }
            let descriptor = try Self.socket(group, address)
            let number = SocketNumber(rawValue: self.nextNumber)
            self.nextNumber += 1
            let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: self.queue)
            let notify = self.notify
            source.setEventHandler { notify(.readable(number)) }
            source.setCancelHandler { notify(.cancelled(number)) }
            source.resume()
            self.sockets.append(Socket(number: number, link: link, descriptor: descriptor, source: source))
            self.failures[link.id] = nil
        } catch {
            self.fail(link, error)
        }
    }

    private static func socket(_ group: MulticastGroup, _ address: SocketAddress) throws(SystemError) -> Int32 {
        let descriptor = try System.makeSocket(address.family, System.datagram)
        do throws(SystemError) {
            // Other programs of this machine speak multicast DNS as well.
            System.setSharesPort(descriptor)
            if case .ip6 = group { System.setOnlyIPv6(descriptor) }
            // Bound to the group, it hears nothing that is meant for this machine alone.
            try System.bind(descriptor, to: address)
            try System.join(group, descriptor)
        } catch {
            System.close(descriptor)
            throw error
        }
        return descriptor
    }

    private func close(_ socket: Socket) {
        // The system's watcher must let go of the descriptor before its number can come to mean another socket.
        self.closing[socket.number] = socket.descriptor
        socket.source.cancel()
    }

    private func fail(_ link: MDNSLink, _ error: SystemError) {
        guard self.failures.updateValue(error, forKey: link.id) != error else { return }
        self.events.append(.failed(interface: link.interfaceName, link.id.family, reason: error.description))
    }

    // MARK: Datagrams

    private func read(_ socket: Socket, now: Duration) {
        for _ in 0..<Self.readCountMax {
            do throws(SystemError) {
                let (count, from) = try System.receiveDatagram(socket.descriptor, into: self.buffer)
                guard let host = from.host else { continue }
                self.mdns.receive(
                    UnsafeRawBufferPointer(rebasing: self.buffer[..<count]), from: MDNSEndpoint(host.ip, port: from.port),
                    on: socket.link.id, now: now)
            } catch {
                guard !error.isWouldBlock else { return }
                // The interface went, or is going. It is opened again if it is there when interfaces are looked at next.
                self.fail(socket.link, error)
                self.sockets.removeAll { $0.number == socket.number }
                self.close(socket)
                return self.mdns.setLinks(self.sockets.map(\.link), now: now)
            }
        }
    }

    private func carryOut(now: Duration) {
        while let datagram = self.mdns.nextDatagram() { self.send(datagram) }
        while let event = self.mdns.nextEvent() {
            switch event {
            case .discovered(let peer, let addresses, _): self.events.append(.discovered(peer, addresses))
            case .expired(let peer): self.events.append(.expired(peer))
            }
        }
        self.arm(now: now)
    }

    private func send(_ datagram: MDNSDatagram) {
        guard let index = self.sockets.firstIndex(where: { $0.link.id == datagram.link }) else { return }
        let socket = self.sockets[index]
        guard let address = datagram.destination.map({ socket.link.address(of: $0) }) ?? socket.link.groupAddress else { return }
        do throws(SystemError) {
            try System.sendDatagram(socket.descriptor, datagram.bytes, to: address)
            if datagram.destination == nil { self.failures[socket.link.id] = nil }
        } catch {
            // What one asker gets for itself says nothing of the link.
            if !error.isWouldBlock, datagram.destination == nil { self.fail(socket.link, error) }
        }
    }

    // MARK: Time

    private func arm(now: Duration) {
        guard let deadline = [self.mdns.deadline, self.interfacesAt].compactMap({ $0 }).min() else { return }
        let notify = self.notify
        self.timer.arm(deadline, now: now) { notify(.timer) }
    }
}

extension MDNSLink {
    /// RFC 6762, section 3.
    private static let group4 = IPv4Address([224, 0, 0, 251])
    private static let group6 = IPv6Address([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb])

    fileprivate var group: MulticastGroup? {
        switch self.id.family {
        case .ip4:
            let own = self.subnets.lazy.compactMap { if case .ip4(let address) = $0.address { address } else { nil } }.first
            guard let group = Self.group4, let own else { return nil }
            return .ip4(group, interface: own)
        case .ip6: return Self.group6.map { .ip6($0, interface: self.id.interface) }
        }
    }

    fileprivate var groupAddress: SocketAddress? {
        switch self.id.family {
        case .ip4: Self.group4.map { SocketAddress(.ip4($0), port: MDNS.port) }
        case .ip6: Self.group6.map { SocketAddress(.ip6($0, scope: self.id.interface), port: MDNS.port) }
        }
    }

    /// Where an asker on this link is.
    fileprivate func address(of endpoint: MDNSEndpoint) -> SocketAddress {
        switch endpoint.address {
        case .ip4(let address): SocketAddress(.ip4(address), port: endpoint.port)
        case .ip6(let address): SocketAddress(.ip6(address, scope: self.id.interface), port: endpoint.port)
        }
    }
}
