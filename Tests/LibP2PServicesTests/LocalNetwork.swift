@testable import LibP2P

/// One link with nodes of mDNS, under virtual time. What is sent to all comes to everybody, its sender too, a little later.
struct LocalNetwork {
    static let prefixBitCount = 16

    struct Delivery {
        let to: Int
        let source: MDNSEndpoint
        let bytes: [UInt8]
    }

    var nodes: [MDNS] = []
    var events: [[MDNS.Event]] = []
    var random: SeededRandom
    var now = Duration.seconds(1_000)
    /// One datagram in so many is lost on its way to one node.
    var lossInverse: Int?
    private var underWay = DeadlineQueue<Delivery>()
    /// Nodes that may have something to do then. One that has not is looked at in vain.
    private var due = DeadlineQueue<Int>()
    private var dueAt: [Int: Duration] = [:]
    /// What was sent to all, and to one.
    private(set) var sent: [(at: Duration, from: Int, bytes: [UInt8])] = []
    private(set) var sentDirectly: [(from: Int, to: MDNSEndpoint, bytes: [UInt8])] = []

    init(seed: UInt64) { self.random = SeededRandom(seed: seed) }

    static let link = MDNSLink.ID(interface: 2, family: .ip4)

    static func address(_ index: Int) -> IPAddress {
        guard let address = IPv4Address([10, 9, UInt8(index / 200), UInt8(index % 200 + 1)]) else { preconditionFailure("four bytes") }
        return .ip4(address)
    }

    static func endpoint(_ index: Int, port: UInt16 = MDNS.port) -> MDNSEndpoint { MDNSEndpoint(Self.address(index), port: port) }

    static func listenAddress(_ index: Int) -> Multiaddr { Multiaddr([Self.address(index).component, .tcp(4_001)]) }

    static func link(of index: Int) -> MDNSLink {
        MDNSLink(
            id: Self.link, interfaceName: "eth0", isLoopback: false,
            subnets: [MDNSLink.Subnet(Self.address(index), prefixBitCount: Self.prefixBitCount)])
    }

    /// A peer that is known by its number; such ids need no key.
    static func peer(_ index: Int) throws -> PeerID {
        try PeerID(parsing: [0x12, 0x20] + [UInt8](repeating: 7, count: 30) + [UInt8(index >> 8), UInt8(index & 255)])
    }

    @discardableResult
    mutating func add(configuration: MDNS.Configuration = .init(), listening: Bool = true) throws -> Int {
        let index = self.nodes.count
        var node = MDNS(peer: try Self.peer(index), configuration: configuration, seed: self.random.next())
        if listening { node.setAddresses([Self.listenAddress(index)], now: self.now) }
        node.setLinks([Self.link(of: index)], now: self.now)
        self.nodes.append(node)
        self.events.append([])
        self.empty(index)
        return index
    }

    /// What anybody on the link may do.
    mutating func multicast(_ bytes: [UInt8], from source: MDNSEndpoint) {
        for node in self.nodes.indices {
            if let lossInverse = self.lossInverse, Int.random(in: 0..<lossInverse, using: &self.random) == 0 { continue }
            let delay = Duration.microseconds(Int.random(in: 100...3_000, using: &self.random))
            self.underWay.insert(Delivery(to: node, source: source, bytes: bytes), at: self.now + delay)
        }
    }

    mutating func with(_ index: Int, _ body: (inout MDNS, Duration) -> Void) {
        body(&self.nodes[index], self.now)
        self.empty(index)
    }

    mutating func run(for time: Duration) {
        let end = self.now + time
        while true {
            guard let at = earlier(self.due.first, self.underWay.first), at <= end else { break }
            self.now = max(self.now, at)
            while let (_, delivery) = self.underWay.popDue(now: self.now) {
                // Who is cut off hears nothing.
                guard self.nodes.indices.contains(delivery.to) else { continue }
                self.nodes[delivery.to].receive(delivery.bytes, from: delivery.source, on: Self.link, now: self.now)
                self.empty(delivery.to)
            }
            while let (_, index) = self.due.popDue(now: self.now) {
                guard self.nodes.indices.contains(index), let deadline = self.nodes[index].deadline, deadline <= self.now else { continue }
                self.nodes[index].tick(now: self.now)
                self.empty(index)
            }
        }
        self.now = end
    }

    private mutating func empty(_ index: Int) {
        while let datagram = self.nodes[index].nextDatagram() {
            if let destination = datagram.destination {
                self.sentDirectly.append((index, destination, datagram.bytes))
            } else {
                self.sent.append((self.now, index, datagram.bytes))
                self.multicast(datagram.bytes, from: Self.endpoint(index))
            }
        }
        while let event = self.nodes[index].nextEvent() { self.events[index].append(event) }
        if let deadline = self.nodes[index].deadline, self.dueAt[index] != deadline {
            self.dueAt[index] = deadline
            self.due.insert(index, at: deadline)
        }
    }

    mutating func forgetSent() {
        self.sent = []
        self.sentDirectly = []
        for index in self.events.indices { self.events[index] = [] }
    }

    /// How many nodes know all others where they are.
    var completeCount: Int {
        self.nodes.indices.count { index in
            let peers = self.nodes[index].peers
            return self.nodes.indices.allSatisfy { other in
                guard other != index, let peer = try? Self.peer(other) else { return true }
                return peers[peer] == [Self.listenAddress(other)]
            }
        }
    }
}

extension IPAddress {
    var component: Multiaddr.Component {
        switch self {
        case .ip4(let address): .ip4(address)
        case .ip6(let address): .ip6(address)
        }
    }
}
