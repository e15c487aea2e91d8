import Testing

@testable import LibP2P

/// One node on a link whose other machines do what the test says.
private struct Stranger {
    static let node = LocalNetwork.endpoint(0)
    var mdns: MDNS
    var now = Duration.seconds(1_000)

    init(listening: [Multiaddr] = [LocalNetwork.listenAddress(0)], link: MDNSLink = LocalNetwork.link(of: 0)) throws {
        self.mdns = MDNS(peer: try LocalNetwork.peer(0), seed: 5)
        self.mdns.setAddresses(listening, now: self.now)
        self.mdns.setLinks([link], now: self.now)
    }

    /// After announcements and the first questions; the next one comes after half a minute.
    static func settled(listening: [Multiaddr] = [LocalNetwork.listenAddress(0)]) throws -> Stranger {
        var stranger = try Stranger(listening: listening)
        _ = stranger.run(for: .seconds(40))
        return stranger
    }

    mutating func send(_ message: DNSMessage, from source: MDNSEndpoint = LocalNetwork.endpoint(9)) {
        self.mdns.receive(message.bytes, from: source, on: LocalNetwork.link, now: self.now)
    }

    /// What the node sends meanwhile.
    mutating func run(for time: Duration) -> [(at: Duration, datagram: MDNSDatagram)] {
        let end = self.now + time
        var sent: [(Duration, MDNSDatagram)] = []
        while true {
            while let datagram = self.mdns.nextDatagram() { sent.append((self.now, datagram)) }
            guard let deadline = self.mdns.deadline, deadline <= end else { break }
            self.now = max(self.now, deadline)
            self.mdns.tick(now: self.now)
        }
        self.now = end
        return sent
    }

    mutating func answers(for time: Duration = .seconds(2)) throws -> [DNSMessage] {
        try self.run(for: time).map { try DNSMessage(parsing: $0.datagram.bytes) }.filter(\.isResponse)
    }

    var events: [MDNS.Event] {
        mutating get {
            var events: [MDNS.Event] = []
            while let event = self.mdns.nextEvent() { events.append(event) }
            return events
        }
    }
}

/// What a peer says of itself.
private func claim(_ texts: [String], name: String = "other", ttl: UInt32 = 120, flushes: Bool = true) throws -> DNSMessage {
    let instance = try #require(DNSName(name, in: MDNSNames.service))
    return DNSMessage(
        flags: 0x8400, answers: [DNSRecord(name: MDNSNames.service, ttl: ttl, data: .ptr(instance))],
        additionals: [
            DNSRecord(name: instance, classCode: flushes ? 0x8001 : 1, ttl: ttl, data: .txt(texts.map { Array($0.utf8) }))
        ])
}

private func question(_ name: DNSName, _ type: DNSType, id: UInt16 = 0, knowing known: [DNSRecord] = []) -> DNSMessage {
    DNSMessage(id: id, questions: [DNSQuestion(name: name, type: type)], answers: known)
}

private let findAll = question(MDNSNames.service, .ptr)

struct `A node that is asked` {
    @Test func `tells its name, its addresses, its port and its host`() throws {
        var node = try Stranger.settled()
        node.send(findAll)
        let answer = try #require(try node.answers().first)
        let names = node.mdns.names
        #expect(answer.flags == 0x8400 && answer.id == 0 && answer.questions.isEmpty)
        #expect(answer.answers == [DNSRecord(name: MDNSNames.service, ttl: 120, data: .ptr(names.instance))])
        let text = Array("dnsaddr=/ip4/10.9.0.1/tcp/4001/p2p/\(try LocalNetwork.peer(0))".utf8)
        #expect(
            answer.additionals == [
                DNSRecord(name: names.instance, classCode: 0x8001, ttl: 120, data: .txt([text])),
                DNSRecord(
                    name: names.instance, classCode: 0x8001, ttl: 120, data: .srv(priority: 0, weight: 0, port: 4_001, target: names.host)),
                DNSRecord(name: names.host, classCode: 0x8001, ttl: 120, data: .a(try #require(IPv4Address([10, 9, 0, 1])))),
            ])
        // A name of its own, which is not its id.
        let label = try #require(names.instance.labels.first)
        #expect(label.count == 32 && label.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) })
        #expect(names.host.labels.first == label && names.host.isChild(of: DNSName(constant: "p2p.local")))
    }

    @Test func `answers what administrators' tools ask`() throws {
        var node = try Stranger.settled()
        let names = node.mdns.names
        let wanted: [(DNSName, DNSType, [DNSType])] = [
            (MDNSNames.meta, .ptr, [.ptr]), (names.instance, .srv, [.txt, .srv]), (names.instance, .txt, [.txt, .srv]),
            (names.instance, .any, [.txt, .srv]), (names.host, .a, [.a]), (names.host, .any, [.a]), (MDNSNames.service, .any, [.ptr]),
        ]
        for (name, type, types) in wanted {
            node.send(question(name, type))
            let answers = try node.answers()
            #expect(answers.count == 1 && answers.first?.answers.map(\.type) == types, "\(name) \(type)")
        }
        node.send(question(MDNSNames.meta, .ptr))
        let meta = try #require(try node.answers().first)
        #expect(meta.answers == [DNSRecord(name: MDNSNames.meta, ttl: 120, data: .ptr(MDNSNames.service))])
        #expect(meta.additionals.isEmpty)
    }

    @Test func `is silent about what is not its own`() throws {
        var node = try Stranger.settled()
        let name = try #require(DNSName("other", in: MDNSNames.service))
        for message in [
            question(name, .txt), question(MDNSNames.service, .txt), question(DNSName(constant: "_http._tcp.local"), .ptr),
            DNSMessage(questions: [DNSQuestion(name: MDNSNames.service, type: .ptr, classCode: 3)]),
            // Another kind of question; one with an error; none at all.
            DNSMessage(flags: 0x2800, questions: findAll.questions), DNSMessage(flags: 3, questions: findAll.questions), DNSMessage(),
        ] { node.send(message) }
        #expect(try node.answers().isEmpty)
    }

    @Test(arguments: UInt64(0)..<30) func `waits 20 to 120 ms, and tells nothing twice within a second`(seed: UInt64) throws {
        var node = try Stranger.settled()
        node.mdns.random = SeededRandom(seed: seed)
        let asked = node.now
        node.send(findAll)
        let first = try #require(node.run(for: .milliseconds(200)).first?.at)
        #expect((Duration.milliseconds(20)...Duration.milliseconds(120)).contains(first - asked))
        // As often as anybody asks.
        var times = [first]
        for _ in 0..<100 {
            node.send(findAll)
            times += node.run(for: .milliseconds(25)).map(\.at)
        }
        #expect(times.count >= 3)
        for (earlier, later) in zip(times, times.dropFirst()) { #expect(later - earlier >= .seconds(1)) }
    }

    @Test func `is silent when the asker knows it for half its time, and answers when it does not`() throws {
        var node = try Stranger.settled()
        let name = node.mdns.names.instance
        func known(_ ttl: UInt32) -> [DNSRecord] { [DNSRecord(name: MDNSNames.service, ttl: ttl, data: .ptr(name))] }
        node.send(question(MDNSNames.service, .ptr, knowing: known(60)))
        #expect(try node.answers().isEmpty)
        node.send(question(MDNSNames.service, .ptr, knowing: known(59)))
        #expect(try node.answers().count == 1)
        let meta = DNSRecord(name: MDNSNames.meta, ttl: 60, data: .ptr(MDNSNames.service))
        node.send(question(MDNSNames.meta, .ptr, knowing: [meta]))
        #expect(try node.answers().isEmpty)
        // Another one tells which services there are, before it does.
        node.send(question(MDNSNames.meta, .ptr))
        node.send(DNSMessage(flags: 0x8400, answers: [meta]))
        #expect(try node.answers().isEmpty)
    }

    @Test func `waits for an asker who has more to say`() throws {
        var node = try Stranger.settled()
        var first = findAll
        first.flags = DNSMessage.truncatedFlag
        let known = DNSRecord(name: MDNSNames.service, ttl: 100, data: .ptr(node.mdns.names.instance))
        // It knows the node already.
        node.send(first)
        #expect(node.run(for: .milliseconds(300)).isEmpty)
        node.send(DNSMessage(answers: [known]))
        #expect(try node.answers().isEmpty)
        // It does not; and another one's words are not its own.
        let asked = node.now
        node.send(first)
        node.send(DNSMessage(answers: [known]), from: LocalNetwork.endpoint(8))
        let sent = node.run(for: .seconds(1))
        #expect(sent.count == 1)
        #expect(sent.allSatisfy { (Duration.milliseconds(400)...Duration.milliseconds(500)).contains($0.at - asked) })
        // Two ask, and one of them knows.
        node.send(first)
        node.send(first, from: LocalNetwork.endpoint(8))
        node.send(DNSMessage(answers: [known]))
        #expect(try node.answers().count == 1)
    }

    @Test func `answers a plain resolver by itself, and everybody`() throws {
        var node = try Stranger.settled()
        let source = LocalNetwork.endpoint(9, port: 40_000)
        node.send(question(MDNSNames.service, .ptr, id: 77), from: source)
        let sent = node.run(for: .seconds(1)).map(\.datagram)
        #expect(sent.map(\.destination) == [source, nil])
        let direct = try DNSMessage(parsing: try #require(sent.first).bytes)
        #expect(direct.id == 77 && direct.questions == findAll.questions)
        #expect(direct.records.count == 4 && direct.records.allSatisfy { $0.ttl == 10 && !$0.flushesCache })
        // Whose name is forged does not get many.
        var count = 0
        for _ in 0..<1_000 {
            node.send(question(MDNSNames.service, .ptr, id: 77), from: source)
            count += node.run(for: .milliseconds(1)).count { $0.datagram.destination != nil }
        }
        #expect(count <= 12)
    }

    @Test func `does not hear who is not on the link`() throws {
        var node = try Stranger.settled()
        let far = MDNSEndpoint(.ip4(try #require(IPv4Address(text: "10.10.0.1"))), port: 5_353)
        node.send(findAll, from: far)
        node.send(try claim(["dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(try LocalNetwork.peer(7))"]), from: far)
        #expect(try node.answers().isEmpty && node.events.isEmpty)
        #expect(node.mdns.counters.refusedOffLink == 2)
    }

    @Test func `tells many addresses in several datagrams, each whole by itself`() throws {
        let own = (0..<40).map { Multiaddr([LocalNetwork.address(0).component, .tcp(UInt16(4_001 + $0)), .ws]) }
        var node = try Stranger.settled(listening: own)
        node.send(findAll)
        let sent = node.run(for: .seconds(1)).map(\.datagram.bytes)
        #expect(sent.count > 1 && sent.allSatisfy { $0.count <= 1_232 })
        var other = MDNS(peer: try LocalNetwork.peer(1), seed: 1)
        other.setLinks([LocalNetwork.link(of: 1)], now: .zero)
        for bytes in sent.reversed() { other.receive(bytes, from: Stranger.node, on: LocalNetwork.link, now: .zero) }
        let heard = try #require(other.peers[try LocalNetwork.peer(0)])
        #expect(Set(heard) == Set(own.prefix(MDNS.addressCountMax)))
    }
}

struct `What is told on a link` {
    private static func told(_ addresses: [String], subnets: [MDNSLink.Subnet], isLoopback: Bool = false) throws -> [String] {
        let id = MDNSLink.ID(interface: 3, family: .ip6)
        let link = MDNSLink(id: id, interfaceName: "eth0", isLoopback: isLoopback, subnets: subnets)
        return link.told(of: try addresses.map { try Multiaddr(text: $0) }).map(\.description)
    }

    @Test func `is what belongs to its interface`() throws {
        let own = MDNSLink.Subnet(.ip4(try #require(IPv4Address(text: "192.0.2.1"))), prefixBitCount: 24)
        let local = MDNSLink.Subnet(.ip6(try #require(IPv6Address(text: "fe80::1"))), prefixBitCount: 64)
        let relay = try LocalNetwork.peer(4)
        let all = [
            "/ip4/127.0.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/1/p2p/\(try LocalNetwork.peer(0))",
            "/ip4/192.0.2.1/tcp/2/ws",
            "/ip4/192.0.2.2/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip6zone/eth0/ip6/fe80::1/tcp/1", "/dns4/a.example/tcp/1",
            "/ip4/192.0.2.1/tcp/1/p2p/\(relay)/p2p-circuit",
        ]
        #expect(
            try Self.told(all, subnets: [own, local]) == ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2/ws", "/ip6/fe80::1/tcp/1"])
        let loopback = MDNSLink.Subnet(.ip4(try #require(IPv4Address(text: "127.0.0.1"))), prefixBitCount: 8)
        #expect(try Self.told(all, subnets: [loopback], isLoopback: true) == ["/ip4/127.0.0.1/tcp/1"])
    }

    @Test func `reaches as far as its networks`() throws {
        let subnet = MDNSLink.Subnet(.ip4(try #require(IPv4Address(text: "10.1.16.1"))), prefixBitCount: 20)
        let link = MDNSLink(id: LocalNetwork.link, interfaceName: "e", isLoopback: false, subnets: [subnet])
        for (text, isReached) in [("10.1.31.255", true), ("10.1.32.0", false), ("169.254.1.1", true), ("10.1.15.255", false)] {
            #expect(link.reaches(.ip4(try #require(IPv4Address(text: text)))) == isReached, "\(text)")
        }
        for (text, isReached) in [("fe80::1", true), ("2001:db8::1", false), ("::ffff:10.1.16.2", false)] {
            #expect(link.reaches(.ip6(try #require(IPv6Address(text: text)))) == isReached, "\(text)")
        }
    }
}

struct `A node that hears` {
    static let peer = Result { try LocalNetwork.peer(7) }

    @Test func `takes addresses near by, with the zone they have here`() throws {
        var node = try Stranger.settled()
        let (peer, other) = (try Self.peer.get(), try LocalNetwork.peer(8))
        node.send(
            try claim([
                "dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(peer)", "dnsaddr=/ip4/192.168.1.1/tcp/1/ws/p2p/\(peer)",
                "dnsaddr=/ip6zone/wlan9/ip6/fe80::7/tcp/1/p2p/\(peer)", "dnsaddr=/ip6/fd00::7/udp/1/quic-v1/p2p/\(peer)",
                // Somebody else's; nobody's; of all, of this machine, and of the whole world.
                "dnsaddr=/ip4/10.9.0.8/tcp/1/p2p/\(other)", "dnsaddr=/ip4/10.9.0.8/tcp/1", "dnsaddr=/ip4/224.0.0.251/tcp/1/p2p/\(peer)",
                "dnsaddr=/ip4/0.0.0.0/tcp/1/p2p/\(peer)", "dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/\(peer)",
                "dnsaddr=/ip6/::ffff:127.0.0.1/tcp/1/p2p/\(peer)", "dnsaddr=/ip4/198.51.100.1/tcp/1/p2p/\(peer)",
                "dnsaddr=/dns4/victim.example/tcp/1/p2p/\(peer)", "dnsaddr=/ip4/10.9.0.7/p2p/\(peer)/p2p-circuit/p2p/\(peer)",
                "dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(other)/p2p/\(peer)", "dnsaddr=/ip4/10.9.0.7/p2p/\(peer)",
                // No attribute of this kind.
                "dnsaddr", "dnsaddr=", "dnsaddr=nonsense", "dnsaddrx=/ip4/10.9.0.9/tcp/1/p2p/\(peer)", "id=\(peer)", "",
            ]))
        let expected = [
            "/ip4/10.9.0.7/tcp/1", "/ip4/192.168.1.1/tcp/1/ws", "/ip6zone/eth0/ip6/fe80::7/tcp/1", "/ip6/fd00::7/udp/1/quic-v1",
        ]
        #expect(node.events == [.discovered(peer, try expected.map { try Multiaddr(text: $0) }, lifetime: .seconds(120))])
    }

    @Test func `takes nothing of its own id, and no second peer under one name`() throws {
        var node = try Stranger.settled()
        node.send(try claim(["dnsaddr=/ip4/10.9.0.9/tcp/1/p2p/\(try LocalNetwork.peer(0))"]))
        #expect(node.events.isEmpty)
        let first = try claim(["dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(try LocalNetwork.peer(7))"])
        node.send(first)
        node.send(try claim(["dnsaddr=/ip4/10.9.0.9/tcp/1/p2p/\(try LocalNetwork.peer(8))"]))
        #expect(node.events.map(\.peer) == [try LocalNetwork.peer(7)])
        #expect(node.mdns.counters.namesRefused == 1)
        #expect(node.mdns.peers == [try LocalNetwork.peer(7): [LocalNetwork.listenAddress(6).withPort(1)]])
    }

    @Test func `joins what is told of one peer under several names, and forgets it with the last`() throws {
        var node = try Stranger.settled()
        let peer = try Self.peer.get()
        node.send(try claim(["dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(peer)"], name: "a", ttl: 20))
        node.send(try claim(["dnsaddr=/ip4/10.9.0.66/tcp/1/p2p/\(peer)"], name: "b", ttl: 40))
        #expect(node.mdns.peers[peer]?.count == 2)
        _ = node.run(for: .seconds(21))
        #expect(!node.events.contains { $0.isExpiry })
        #expect(node.mdns.peers[peer]?.map(\.description) == ["/ip4/10.9.0.66/tcp/1"])
        _ = node.run(for: .seconds(20))
        #expect(node.events == [.expired(peer)])
    }

    @Test func `believes nobody for longer than ten minutes`() throws {
        var node = try Stranger.settled()
        node.send(try claim(["dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(try Self.peer.get())"], ttl: .max))
        _ = node.run(for: .seconds(599))
        #expect(node.events.count == 1)
        _ = node.run(for: .seconds(2))
        #expect(node.events == [.expired(try Self.peer.get())])
    }

    @Test func `asks again before what it knows expires`() throws {
        var node = try Stranger.settled()
        node.send(try claim(["dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(try Self.peer.get())"], ttl: 600))
        let start = node.now
        let questions = node.run(for: .seconds(599)).filter { (try? DNSMessage(parsing: $0.datagram.bytes).isResponse) == false }
        // The usual ones name it as known for half its time.
        for (at, datagram) in questions {
            let isKnown = !(try DNSMessage(parsing: datagram.bytes).answers.isEmpty)
            #expect(isKnown == (at - start < .seconds(300)))
        }
        for percent in [80, 85, 90, 95] {
            let time = start + .seconds(6 * percent)
            #expect(questions.contains { (time...time + .seconds(13)).contains($0.at) }, "\(percent) %")
        }
    }

    @Test func `leaves a question to another who asks the same, but not for ever`() throws {
        var node = try Stranger.settled()
        // Who knows more than we do does not ask for us.
        let unknown = DNSRecord(name: MDNSNames.service, ttl: 100, data: .ptr(try #require(DNSName("x", in: MDNSNames.service))))
        node.send(question(MDNSNames.service, .ptr, knowing: [unknown]))
        #expect(node.mdns.counters.queriesSpared == 0)
        let before = node.mdns.counters.queriesSent
        for _ in 0..<600 {
            node.send(findAll)
            _ = node.run(for: .seconds(3))
        }
        let sent = node.mdns.counters.queriesSent - before
        #expect((2...7).contains(sent))
        #expect(node.mdns.counters.queriesSpared > 400)
    }

    @Test func `keeps no more names than it has room for`() throws {
        var node = try Stranger.settled()
        for index in 0..<2_000 {
            let text = "dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(try LocalNetwork.peer(index + 1))"
            node.send(try claim([text], name: "n\(index)"), from: LocalNetwork.endpoint(9))
            node.now += .milliseconds(30)
        }
        #expect(node.mdns.peers.count == MDNS.instancesPerSourceMax)
        for index in 0..<2_000 {
            let text = "dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(try LocalNetwork.peer(index + 3_000))"
            node.send(try claim([text], name: "m\(index)"), from: LocalNetwork.endpoint(10 + index % 200))
            node.now += .milliseconds(5)
        }
        #expect(node.mdns.peers.count == MDNS.instanceCountMax)
        // One name with more addresses than are kept.
        var other = try Stranger.settled()
        let peer = try Self.peer.get()
        for port in 1...100 { other.send(try claim(["dnsaddr=/ip4/10.9.0.7/tcp/\(port)/p2p/\(peer)"], flushes: false)) }
        #expect(other.mdns.peers[peer]?.count == MDNS.addressCountMax)
    }

    @Test func `hears others while one floods it`() throws {
        var node = try Stranger.settled()
        let peer = try Self.peer.get()
        for index in 0..<20_000 {
            let garbage = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 40)
            node.mdns.receive(garbage, from: LocalNetwork.endpoint(9), on: LocalNetwork.link, now: node.now)
        }
        #expect(node.mdns.counters.refusedOverRate >= 19_800)
        node.send(try claim(["dnsaddr=/ip4/10.9.0.7/tcp/1/p2p/\(peer)"]), from: LocalNetwork.endpoint(6))
        #expect(node.mdns.peers.keys.contains(peer))
        // Under many names it gets further, and no more is looked at than the link may carry.
        for index in 0..<20_000 {
            node.mdns.receive([1], from: LocalNetwork.endpoint(100 + index % 600), on: LocalNetwork.link, now: node.now)
        }
        #expect(node.mdns.counters.malformed <= 128 + 1_024)
    }

    @Test(arguments: UInt64(0)..<200) func `is not confused by datagrams with any bytes changed`(seed: UInt64) throws {
        var node = try Stranger.settled()
        var random = SeededRandom(seed: seed)
        let peer = try Self.peer.get()
        let texts = (1...5).map { "dnsaddr=/ip4/10.9.0.7/tcp/\($0)/p2p/\(peer)" }
        let messages = [try claim(texts).bytes, findAll.bytes, try claim(texts, ttl: 0).bytes]
        for _ in 0..<20 {
            var bytes = messages[Int.random(in: 0..<3, using: &random)]
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            bytes.removeLast(Int.random(in: 0...bytes.count / 4, using: &random))
            node.mdns.receive(bytes, from: LocalNetwork.endpoint(9), on: LocalNetwork.link, now: node.now)
            _ = node.run(for: .milliseconds(Int.random(in: 0...3_000, using: &random)))
        }
        #expect(node.mdns.peers.count <= 20)
        _ = node.run(for: .seconds(700))
        #expect(node.mdns.peers.isEmpty)
    }

    /// Sent by py-libp2p 0.8.1 (zeroconf 0.150.5) as it registers, and as it leaves; recorded.
    @Test func `understands py-libp2p`() throws {
        let link = MDNSLink(
            id: LocalNetwork.link, interfaceName: "eth0", isLoopback: false,
            subnets: [MDNSLink.Subnet(.ip4(try #require(IPv4Address(text: "192.0.2.1"))), prefixBitCount: 24)])
        var node = try Stranger(link: link)
        let source = MDNSEndpoint(.ip4(try #require(IPv4Address(text: "192.0.2.2"))), port: 5_353)
        let peer = try PeerID(text: "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")
        for bytes in [Recorded.answer, Recorded.announcement] {
            node.mdns.receive(bytes, from: source, on: LocalNetwork.link, now: node.now)
        }
        #expect(node.events == [.discovered(peer, [try Multiaddr(text: "/ip4/192.0.2.7/tcp/4001")], lifetime: .seconds(600))])
        node.mdns.receive(Recorded.goodbye, from: source, on: LocalNetwork.link, now: node.now)
        _ = node.run(for: .seconds(1))
        #expect(node.events == [.expired(peer)])
    }

    @Test func `answers py-libp2p's questions`() throws {
        var node = try Stranger.settled()
        node.mdns.receive(Recorded.question, from: LocalNetwork.endpoint(9), on: LocalNetwork.link, now: node.now)
        #expect(try node.answers().count == 1)
        // It asks whether anybody has its name.
        node.mdns.receive(Recorded.probe, from: LocalNetwork.endpoint(9), on: LocalNetwork.link, now: node.now)
        #expect(try node.answers().count == 1)
    }
}

extension Multiaddr {
    fileprivate func withPort(_ port: UInt16) -> Multiaddr { Multiaddr(self.components.dropLast() + [.tcp(port)]) }
}
