import LibP2P
import Testing

/// A (node 0) has opened a connection over a relay to B (node 1).
private struct Pair {
    var network: TestNetwork
    let identities: [PeerIdentity]
    let relayed: ConnectionID

    init(
        seed: UInt64 = 1, delay: Duration = .milliseconds(100), puppet: Int? = nil, isAutomatic: Bool = true,
        addresses: [[String]] = [["/ip4/1.1.1.1/tcp/11"], ["/ip4/2.2.2.2/tcp/22"]], dialsPrivateAddresses: Bool = false
    ) throws {
        self.network = TestNetwork(seed: seed)
        self.network.delay = delay
        self.identities = [try KnownIdentity.make(1), try KnownIdentity.make(2)]
        for (node, identity) in self.identities.enumerated() {
            var configuration = DCUtR.Configuration()
            configuration.isAutomatic = isAutomatic
            configuration.dialsPrivateAddresses = dialsPrivateAddresses
            let machine = DCUtR(addresses: try addresses[node].map { try Multiaddr(text: $0) }, configuration: configuration)
            _ = self.network.add(identity, [node == puppet ? Puppet(serving: [DCUtR.protocolID]) : machine] as [any ProtocolMachine])
        }
        let relay = "/p2p/\(try KnownIdentity.make(9).id)/p2p-circuit"
        self.relayed = try self.network.connect(0, 1, dialerAddress: relay, listenerAddress: relay, isLimited: true)
    }

    func id(_ node: Int) -> PeerID { self.identities[node].id }
    func events(_ node: Int) -> [DCUtR.Event] { self.network.events(node, DCUtR.self) }

    func dials(_ node: Int) -> [DirectDial] {
        self.events(node).compactMap { if case .dial(let dial) = $0 { dial } else { nil } }
    }

    var inbound: StreamID { get throws { try #require(self.network.machine(0, Puppet.self).inbound.last) } }
}

/// Messages as bytes, so that the tests rest on the wire and not on our own codec.
private enum HolePunchBytes {
    static func connect(_ addresses: [[UInt8]]) -> [UInt8] {
        FrameReader.frame(
            ProtobufWriter.message { message in
                message.unsigned(100, field: 1)
                for address in addresses { message.bytes(address, field: 2) }
            })
    }

    static let sync: [UInt8] = [3, 0x08, 0xac, 0x02]
}

struct `A hole punch` {
    @Test(arguments: [10, 100, 700])
    func `has both sides dial at the same moment, the one who opened the relayed connection as dialer`(delay: Int) throws {
        var pair = try Pair(delay: .milliseconds(delay))
        var (first, second) = (Duration?.none, Duration?.none)
        for _ in 0..<20_000 where first == nil || second == nil {
            pair.network.run(for: .milliseconds(1))
            if first == nil, !pair.dials(0).isEmpty { first = pair.network.now }
            if second == nil, !pair.dials(1).isEmpty { second = pair.network.now }
        }
        #expect(first != nil && first == second)
        #expect(
            pair.dials(0)
                == [DirectDial(peer: pair.id(1), addresses: [try Multiaddr(text: "/ip4/2.2.2.2/tcp/22")], role: .dialer, isHolePunch: true)]
        )
        #expect(
            pair.dials(1)
                == [
                    DirectDial(
                        peer: pair.id(0), addresses: [try Multiaddr(text: "/ip4/1.1.1.1/tcp/11")], role: .listener, isHolePunch: true)
                ])
        try pair.network.connect(0, 1)
        pair.network.run(for: .seconds(60))
        for node in 0...1 {
            #expect(pair.events(node).last == .upgraded(pair.id(1 - node), attempts: 1))
            #expect(pair.events(node).count == 2)
            #expect(pair.network.machine(node, DCUtR.self).heldByteCount < 200)
        }
    }

    @Test func `is tried three times, each with a measurement of its own, and then given up`() throws {
        var pair = try Pair()
        pair.network.run(for: .seconds(120))
        #expect(pair.dials(0).count == 3 && pair.dials(1).count == 3)
        #expect(pair.events(1).last == .failed(pair.id(0), .noConnection))
        #expect(pair.network.machine(1, DCUtR.self).counters.attempts == 3)
        #expect(pair.network.machine(1, DCUtR.self).heldByteCount < 200)
    }

    @Test func `is not needed when the other side's own addresses can be dialled`() throws {
        var pair = try Pair()
        let peer = pair.id(0)
        let public4 = try Multiaddr(text: "/ip4/8.8.8.8/tcp/4001/p2p/\(peer)")
        pair.network.with(1, DCUtR.self) { machine, now in machine.learn([public4], of: peer, now: now) }
        #expect(pair.dials(1) == [DirectDial(peer: peer, addresses: [public4.withoutPeerID], role: .dialer, isHolePunch: false)])
        try pair.network.connect(1, 0)
        pair.network.run(for: .seconds(60))
        #expect(pair.events(1).last == .upgraded(peer, attempts: 0))
        #expect(pair.network.machine(1, DCUtR.self).counters.attempts == 0)
    }

    @Test func `is what private addresses are dialled in, while public ones are dialled before it`() throws {
        let both = ["/ip4/127.0.0.1/tcp/11", "/ip4/192.168.1.2/tcp/12", "/ip4/8.8.8.8/tcp/13"]
        var pair = try Pair(addresses: [both, ["/ip4/2.2.2.2/tcp/22"]], dialsPrivateAddresses: true)
        let (peer, all) = (pair.id(0), try both.map { try Multiaddr(text: $0) })
        pair.network.with(1, DCUtR.self) { machine, now in machine.learn(all, of: peer, now: now) }
        #expect(pair.dials(1) == [DirectDial(peer: peer, addresses: [all[2]], role: .dialer, isHolePunch: false)])
        pair.network.run(for: .seconds(6))
        #expect(pair.dials(1).dropFirst() == [DirectDial(peer: peer, addresses: all, role: .listener, isHolePunch: true)])

        // With private ones alone there is nothing to dial before it, and no waiting.
        let near = Array(all.prefix(2))
        pair = try Pair(addresses: [Array(both.prefix(2)), []], dialsPrivateAddresses: true)
        pair.network.with(1, DCUtR.self) { machine, now in machine.learn(near, of: peer, now: now) }
        #expect(pair.dials(1).isEmpty && pair.network.machine(1, DCUtR.self).counters.attempts == 1)
        pair.network.run(for: .seconds(1))
        #expect(pair.dials(1) == [DirectDial(peer: peer, addresses: near, role: .listener, isHolePunch: true)])
        try pair.network.connect(0, 1)
        #expect(pair.events(1).last == .upgraded(peer, attempts: 1))
    }

    @Test func `follows when the other side's own addresses lead nowhere`() throws {
        var pair = try Pair()
        let peer = pair.id(0)
        let wrong = [try Multiaddr(text: "/ip4/8.8.8.8/tcp/4001")]
        pair.network.with(1, DCUtR.self) { machine, now in machine.learn(wrong, of: peer, now: now) }
        pair.network.run(for: .seconds(6))
        #expect(pair.dials(1).map(\.isHolePunch) == [false, true])
    }

    @Test func `begins when it is asked for, also from the side that opened the relayed connection`() throws {
        var pair = try Pair(isAutomatic: false)
        pair.network.run(for: .seconds(10))
        #expect(pair.events(0).isEmpty && pair.events(1).isEmpty)
        let peer = pair.id(1)
        pair.network.with(0, DCUtR.self) { machine, now in machine.upgrade(peer, addresses: [], now: now) }
        pair.network.run(for: .seconds(1))
        #expect(pair.dials(0).map(\.role) == [.listener])
        #expect(pair.dials(1).map(\.role) == [.dialer])
        let stranger = try KnownIdentity.make(7).id
        pair.network.with(0, DCUtR.self) { machine, now in machine.upgrade(stranger, addresses: [], now: now) }
        #expect(pair.events(0).last == .failed(stranger, .noRelayedConnection))
    }

    @Test func `ends with the relayed connection`() throws {
        var pair = try Pair()
        pair.network.run(for: .seconds(1))
        pair.network.disconnect(pair.relayed)
        #expect(pair.events(1) == [.failed(pair.id(0), .noRelayedConnection)])
        pair.network.run(for: .seconds(60))
        #expect(pair.events(1).count == 1)
    }

    @Test func `with a peer that does not speak it is given up at once`() throws {
        var pair = try Pair(puppet: 0)
        pair.network.with(0, Puppet.self) { puppet, _ in puppet.servedProtocolIDs = [] }
        pair.network.run(for: .seconds(4))
        #expect(pair.events(1) == [.failed(pair.id(0), .stream(.notSupported))])
    }
}

struct `A peer in a hole punch` {
    @Test func `has us dial only direct addresses of its own on the open internet, and not many`() throws {
        var pair = try Pair(puppet: 0)
        pair.network.run(for: .seconds(3))
        let (peer, other) = (pair.id(0), pair.id(1))
        let absurd = try [
            "/ip4/127.0.0.1/tcp/22", "/ip4/192.168.1.1/tcp/80", "/ip4/0.0.0.0/tcp/1", "/ip4/224.0.0.1/tcp/1", "/ip6/::1/tcp/1",
            "/ip6/fe80::1/tcp/1", "/ip6/ff02::1/tcp/1", "/ip6/::ffff:10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/0", "/ip4/8.8.8.8/udp/1/quic-v1",
            "/dns4/example.com/tcp/1", "/ip4/8.8.8.8/tcp/1/p2p/\(other)", "/p2p/\(other)/p2p-circuit",
            "/ip4/8.8.8.8/tcp/1/p2p/\(other)/p2p-circuit",
        ].map { try Multiaddr(text: $0).bytes }
        let good = try ["/ip4/8.8.8.8/tcp/5", "/ip4/8.8.8.8/tcp/5/p2p/\(peer)", "/ip6/2001:4860::1/tcp/6/ws"].map {
            try Multiaddr(text: $0).bytes
        }
        let stream = try pair.inbound
        pair.network.command(0, .write(stream, HolePunchBytes.connect(absurd + [[1, 2, 3], []] + good)))
        pair.network.run(for: .seconds(3))
        #expect(pair.dials(1).map { $0.addresses.map(\.description) } == [["/ip4/8.8.8.8/tcp/5", "/ip6/2001:4860::1/tcp/6/ws"]])
        pair = try Pair(puppet: 0)
        pair.network.run(for: .seconds(3))
        let many = try (1...60).map { try Multiaddr(text: "/ip4/8.8.8.8/tcp/\($0)").bytes }
        pair.network.command(0, .write(try pair.inbound, HolePunchBytes.connect(many)))
        pair.network.run(for: .seconds(3))
        #expect(pair.dials(1).map(\.addresses.count) == [16])
    }

    @Test(
        arguments: [
            ([0x81, 0x20], DCUtRError.frame(.tooLong(byteCount: 4_097, limit: 4_096))), (HolePunchBytes.sync, .unexpectedMessage),
            ([2, 0x08, 0x07], .message(.unknownType(7))), ([1, 0x08], .message(.protobuf(.truncated(offset: 1)))),
            ([0], .message(.protobuf(.missing(field: 1)))), (HolePunchBytes.connect([]) + HolePunchBytes.connect([]), .unexpectedMessage),
        ] as [([UInt8], DCUtRError)])
    func `that breaks the rules is asked no more than three times`(answer: [UInt8], error: DCUtRError) throws {
        var pair = try Pair(puppet: 0)
        pair.network.run(for: .seconds(3))
        for round in 1...3 {
            let stream = try pair.inbound
            #expect(pair.network.machine(0, Puppet.self).inbound.count == round)
            pair.network.inject(to: 1, of: stream, at: 0, answer)
            pair.network.run(for: .seconds(1))
            #expect(pair.network.machine(0, Puppet.self).reset.contains(stream))
        }
        #expect(pair.events(1) == [.failed(pair.id(0), error)])
    }

    @Test func `that answers late does not make us wait long`() throws {
        var pair = try Pair(puppet: 0)
        pair.network.run(for: .seconds(3))
        let stream = try pair.inbound
        pair.network.run(for: .seconds(8))
        pair.network.command(0, .write(stream, HolePunchBytes.connect([try Multiaddr(text: "/ip4/8.8.8.8/tcp/1").bytes])))
        pair.network.run(for: .milliseconds(2_200))
        #expect(pair.dials(1).count == 1)
        #expect(pair.network.machine(0, Puppet.self).received[stream]?.suffix(4) == HolePunchBytes.sync[...])
    }

    @Test func `that syncs late, first, or twice is refused`() throws {
        let address = [try Multiaddr(text: "/ip4/8.8.8.8/tcp/1").bytes]
        var pair = try Pair(puppet: 1)
        let late = pair.network.open(1, to: 0, DCUtR.protocolID)
        pair.network.command(1, .write(late, HolePunchBytes.connect(address)))
        pair.network.run(for: .seconds(11))
        #expect(pair.events(0) == [.refused(pair.id(1), .timedOut)])
        pair.network.command(1, .write(late, HolePunchBytes.sync))
        let first = pair.network.open(1, to: 0, DCUtR.protocolID)
        pair.network.command(1, .write(first, HolePunchBytes.sync))
        pair.network.run(for: .seconds(1))
        #expect(pair.events(0).last == .refused(pair.id(1), .unexpectedMessage))
        #expect(pair.dials(0).isEmpty)
        let twice = pair.network.open(1, to: 0, DCUtR.protocolID)
        pair.network.command(1, .write(twice, HolePunchBytes.connect(address) + HolePunchBytes.sync + HolePunchBytes.sync))
        pair.network.run(for: .seconds(1))
        #expect(pair.dials(0).count == 1)
        #expect(pair.events(0).last == .refused(pair.id(1), .unexpectedMessage))
    }

    @Test func `that asks too often, or over a direct connection, is refused`() throws {
        var pair = try Pair(puppet: 1)
        for _ in 0..<50 { _ = pair.network.open(1, to: 0, DCUtR.protocolID) }
        #expect(pair.events(0).contains(.refused(pair.id(1), .tooMany)))
        pair.network.run(for: .seconds(20))
        #expect(pair.network.machine(0, DCUtR.self).counters.refused == 50)
        #expect(pair.network.heldByteCountMax < 3_000)
        pair.network.disconnect(pair.relayed)
        try pair.network.connect(1, 0)
        _ = pair.network.open(1, to: 0, DCUtR.protocolID)
        #expect(pair.events(0).last == .refused(pair.id(1), .overDirectConnection))
    }

    @Test func `gets at most 4 KiB from us, whatever we have`() throws {
        let many = (0..<100).map { "/dns4/\(String(repeating: "a", count: 250))/tcp/\($0)" }
        var pair = try Pair(puppet: 0, addresses: [[], many])
        pair.network.run(for: .seconds(3))
        let bytes = try #require(try pair.network.machine(0, Puppet.self).received[pair.inbound])
        #expect((3_000...4_098).contains(bytes.count))
    }
}
