import LibP2P

extension Fuzzer {
    /// Datagrams of anybody on two links, links and addresses that come and go, and time. What is sent and kept stays within its bounds,
    /// and what one machine says another one reads.
    static let mdns = Fuzzer(
        name: "mdns", byteCountMax: 2_048, seeds: { MDNSPlay.seeds },
        run: { start, count in
            var play = MDNSPlay(input(start, count))
            play.run()
            return 0
        })

    /// What a name server answers to a question for texts: the first two bytes are the question's number.
    static let nameServer = Fuzzer(
        name: "name-server", byteCountMax: 4_100, seeds: { nameServerSeeds },
        run: { start, count in
            let bytes = input(start, count)
            guard bytes.count >= 2 else { return 0 }
            let id = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
            guard let texts = DNSTextLookup.texts(in: Array(bytes.dropFirst(2)), to: askedName, id: id) else { return 0 }
            require(texts.count <= DNSTextLookup.textCountMax, "no more texts than are taken")
            require(texts.reduce(0) { $0 + $1.utf8.count } <= bytes.count, "no more text than has come")
            require(bytes[2] == bytes[0] && bytes[3] == bytes[1], "only an answer to this question is read")
            return 0
        })

    private static let askedName = "_dnsaddr.a.io"

    /// The question itself, and answers to it: none, one in two pieces, an alias before it, and more than one.
    private static var nameServerSeeds: [[UInt8]] {
        let id: [UInt8] = [7, 9]
        guard let question = DNSTextLookup.question(askedName, id: 0x0709) else { return [] }
        // Behind the head of 12 bytes the name, of 15, type and class; then the additional record.
        let asked = question.dropFirst(12).prefix(15 + 4)
        let pointer: [UInt8] = [0xc0, 12]
        func text(_ pieces: String...) -> [UInt8] {
            let data = pieces.flatMap { [UInt8($0.utf8.count)] + $0.utf8 }
            return pointer + [0, 16, 0, 1, 0, 0, 0, 60, 0, UInt8(data.count)] + data
        }
        let alias = pointer + [0, 5, 0, 1, 0, 0, 0, 60, 0, 2] + pointer
        let answers = [
            [], [text("dnsaddr=", "/ip4/192.0.2.1")], [alias, text("dnsaddr=/ip4/192.0.2.1")], [text("one"), text(""), text("two")],
        ]
        return [id + question]
            + answers.map { id + id + [0x81, 0x80, 0, 1, 0, UInt8($0.count), 0, 0, 0, 0] + asked + $0.joined() }
    }
}

private struct MDNSPlay {
    private static let addresses = [
        "/ip4/192.168.1.2/tcp/4001", "/ip4/192.168.1.2/tcp/4002/ws", "/ip6/fe80::2/tcp/4001", "/ip4/10.0.0.2/tcp/1",
    ]
    .compactMap { try? Multiaddr(text: $0) }

    private static func ip4(_ bytes: UInt8...) -> IPAddress {
        guard let address = IPv4Address(bytes) else { preconditionFailure("an address of IPv4 has four bytes") }
        return .ip4(address)
    }

    private static let near = IPv6Address([0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [2])

    private static let links: [MDNSLink] = [
        MDNSLink(
            id: MDNSLink.ID(interface: 1, family: .ip4), interfaceName: "eth0", isLoopback: false,
            subnets: [.init(Self.ip4(192, 168, 1, 2), prefixBitCount: 24)] + (Self.near.map { [.init(.ip6($0), prefixBitCount: 64)] } ?? [])
        ),
        MDNSLink(
            id: MDNSLink.ID(interface: 1, family: .ip6), interfaceName: "eth0", isLoopback: false,
            subnets: [.init(Self.ip4(192, 168, 1, 2), prefixBitCount: 24)] + (Self.near.map { [.init(.ip6($0), prefixBitCount: 64)] } ?? [])
        ),
        MDNSLink(
            id: MDNSLink.ID(interface: 2, family: .ip4), interfaceName: "eth1", isLoopback: false,
            subnets: [.init(Self.ip4(10, 0, 0, 2), prefixBitCount: 8)]),
    ]

    private var script: PlayScript
    private var mdns: MDNS
    private var now = KnownPeers.start
    /// What the machine sent, which may come back, whole or changed.
    private var sent: [[UInt8]] = Self.honest

    init(_ bytes: [UInt8]) {
        self.script = PlayScript(bytes)
        self.mdns = MDNS(peer: KnownPeers.own.id, seed: 1)
        self.mdns.setLinks(Self.links, now: self.now)
        self.mdns.setAddresses(Self.addresses, now: self.now)
    }

    /// A peer of the link that has heard nothing yet; of which each datagram gets a copy.
    private static let listener: MDNS = {
        var listener = MDNS(peer: KnownPeers.others[1].id, seed: 3)
        listener.setLinks(Self.links, now: .zero)
        return listener
    }()

    /// What another peer of the link says: questions, answers and its leave.
    private static let honest: [[UInt8]] = {
        var other = MDNS(peer: KnownPeers.others[0].id, seed: 2)
        other.setLinks(Self.links, now: .zero)
        other.setAddresses(Self.addresses, now: .zero)
        var (said, now) = ([[UInt8]](), Duration.zero)
        for _ in 0..<40 {
            while let datagram = other.nextDatagram() { said.append(datagram.bytes) }
            guard let deadline = other.deadline, said.count < 12 else { break }
            now = max(now, deadline)
            other.tick(now: now)
        }
        other.stop(now: now)
        while let datagram = other.nextDatagram() { said.append(datagram.bytes) }
        return said
    }()

    static var seeds: [[UInt8]] {
        Self.honest.indices.map { [0, UInt8($0), 0, 1, 0, 2, 0, 0, 4, 3, 200, 5] }
            + Self.honest.prefix(6).map { [1] + PlayScript.encode($0) + [0, 1, 4, 9] }
            + [[2, 0, 0, 0, 12, 0, 1, 0, 0, 4, 5], [3, 0, 3, 2, 4, 1, 4, 2, 5, 1, 4, 255]]
    }

    mutating func run() {
        var stepCount = 0
        while !self.script.isOver, stepCount < 96 {
            self.step()
            self.check()
            stepCount += 1
        }
        // All that was heard is over after its longest life; nothing is then known, and nothing told but our own. In few steps, the first
        // ones from deadline to deadline: to follow all of them would take a thousand times as long as what came before.
        let end = self.now + MDNS.lifetimeMax
        for step in 0..<12 {
            self.now = step < 8 ? min(end, max(self.now, self.mdns.deadline ?? end)) : end + .seconds(step)
            self.mdns.tick(now: self.now)
            self.check()
        }
        require(self.mdns.peers.isEmpty, "nothing is known for longer than its life")
    }

    private mutating func step() {
        switch self.script.choice(6) {
        case 0:
            if let bytes = self.script.choice(of: self.sent) { self.receive(bytes) }
        case 1: self.receive(self.script.bytes())
        case 2:
            guard var bytes = self.script.choice(of: self.sent), !bytes.isEmpty else { return }
            for _ in 0...self.script.choice(4) { bytes[self.script.number() % bytes.count] = self.script.byte() }
            self.receive(self.script.flag() ? Array(bytes.prefix(self.script.number() % (bytes.count + 1))) : bytes)
        case 3:
            let kept = self.script.byte()
            self.mdns.setLinks(Self.links.enumerated().filter { kept >> $0.offset & 1 == 1 }.map(\.element), now: self.now)
            self.mdns.setAddresses(Array(Self.addresses.prefix(self.script.choice(Self.addresses.count + 1))), now: self.now)
        case 4:
            self.now += .milliseconds(Int64(self.script.byte()) * 50)
            self.mdns.tick(now: self.now)
        default:
            if let deadline = self.mdns.deadline { self.now = max(self.now, deadline) }
            self.mdns.tick(now: self.now)
        }
    }

    private mutating func receive(_ bytes: [UInt8]) {
        let host = self.script.byte()
        let sources =
            [Self.ip4(192, 168, 1, host), Self.ip4(10, 0, 0, host), Self.ip4(8, 8, 8, host)] + (Self.near.map { [.ip6($0)] } ?? [])
        let source = MDNSEndpoint(sources[self.script.choice(sources.count)], port: self.script.flag() ? MDNS.port : 40_000)
        self.mdns.receive(bytes, from: source, on: Self.links[self.script.choice(Self.links.count)].id, now: self.now)
    }

    private mutating func check() {
        while let datagram = self.mdns.nextDatagram() {
            require(datagram.bytes.count <= MDNS.datagramByteCountMax, "no datagram is too long")
            // Others read it: it is not malformed to a machine that gets it.
            var other = Self.listener
            other.receive(
                datagram.bytes, from: MDNSEndpoint(Self.ip4(192, 168, 1, 9), port: MDNS.port), on: Self.links[0].id, now: .zero)
            require(other.counters.malformed == 0, "what is sent can be read")
            if self.sent.count < 32 { self.sent.append(datagram.bytes) }
        }
        while let event = self.mdns.nextEvent() {
            guard case .discovered(let peer, let addresses, let lifetime) = event else { continue }
            require(peer != KnownPeers.own.id, "nobody discovers itself")
            require(!addresses.isEmpty, "who is discovered is somewhere")
            require(lifetime <= MDNS.lifetimeMax, "nothing is believed for longer than the limit")
        }
        let peers = self.mdns.peers
        require(peers.count <= MDNS.instanceCountMax, "so many names are kept")
        require(
            peers.values.reduce(0) { $0 + $1.count } <= MDNS.instanceCountMax * MDNS.addressCountMax, "so many addresses of them are kept")
    }
}
