import LibP2P
import Testing

/// A node that pings, and one that does what the test says.
private struct Hostile {
    var network = TestNetwork()
    let (honest, liar): (PeerIdentity, PeerIdentity)

    init(machines: [any ProtocolMachine] = [Puppet(serving: [Ping.protocolID])]) throws {
        (self.honest, self.liar) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        _ = self.network.add(self.honest, [Ping()])
        _ = self.network.add(self.liar, machines)
        try self.network.connect(0, 1)
    }

    mutating func ping(_ byte: UInt8 = 1) {
        let peer = self.liar.id
        self.network.with(0, Ping.self) { ping, now in ping.ping(peer, bytes: [UInt8](repeating: byte, count: 32), now: now) }
    }

    var events: [Ping.Event] { self.network.events(0, Ping.self) }
    var inbound: StreamID { get throws { try #require(self.network.machine(1, Puppet.self).inbound.last) } }
}

struct `A ping` {
    @Test(arguments: UInt64(1)...20)
    func `measures the round trip, many times on one stream`(seed: UInt64) throws {
        var network = TestNetwork(seed: seed)
        network.pieceByteCountMax = 40
        let (first, second) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        for identity in [first, second] { _ = network.add(identity, [Ping()]) }
        try network.connect(0, 1)
        for round in 0..<50 {
            let bytes = (0..<32).map { UInt8(truncatingIfNeeded: round * 31 + $0) }
            network.with(0, Ping.self) { ping, now in ping.ping(second.id, bytes: bytes, now: now) }
            network.run(for: .milliseconds(50))
        }
        let trips = network.events(0, Ping.self)
        #expect(trips == [Ping.Event](repeating: .roundTrip(second.id, .milliseconds(20)), count: 50))
        #expect(network.machine(1, Ping.self).counters.answered == 50)
    }

    @Test func `waits for its turn, and is refused when too many wait`() throws {
        var hostile = try Hostile()
        for byte in UInt8(0)..<20 { hostile.ping(byte) }
        #expect(hostile.events.count == 4)
        #expect(hostile.events.allSatisfy { $0 == .failed(hostile.liar.id, .tooManyWaiting(maximum: 16)) })
        hostile.network.run(for: .seconds(1))
        // One under way: the others are not sent before it is answered.
        #expect(try hostile.network.machine(1, Puppet.self).received[hostile.inbound]?.count == 32)
    }

    @Test func `is not answered for long to a peer that does not read the answers`() throws {
        var ping = Ping()
        let (peer, stream) = (try KnownIdentity.make(2).id, StreamID(rawValue: 1))
        let address = try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")
        let info = ConnectionInfo(id: ConnectionID(rawValue: 1), peer: peer, isOutbound: false, remoteAddress: address, isLimited: false)
        ping.handle(.inbound(stream, info, protocolID: Ping.protocolID), now: .zero)
        func answer(_ ping: inout Ping) -> [ProtocolCommand] {
            ping.handle(.received(stream, [UInt8](repeating: 7, count: 1_024)), now: .zero)
            var commands: [ProtocolCommand] = []
            while let command = ping.nextCommand() { commands.append(command) }
            return commands
        }
        // As long as the connection takes them, there may be any number.
        for _ in 0..<100 {
            #expect(answer(&ping) == [.write(stream, [UInt8](repeating: 7, count: 1_024))])
            ping.handle(.writable(stream), now: .zero)
        }
        for _ in 0...4 { #expect(answer(&ping) == [.write(stream, [UInt8](repeating: 7, count: 1_024))]) }
        #expect(answer(&ping) == [.reset(stream)])
        #expect(ping.nextEvent() == .refused(peer, .answersNotRead))
        #expect(answer(&ping) == [] && ping.deadline == nil && ping.heldByteCount == 0)
    }

    @Test func `fails when there is no answer, and the next one has a stream of its own`() throws {
        var hostile = try Hostile()
        hostile.ping(1)
        hostile.network.run(for: .seconds(11))
        #expect(hostile.events == [.failed(hostile.liar.id, .timedOut)])
        hostile.ping(2)
        hostile.network.run(for: .milliseconds(40))
        #expect(hostile.network.machine(1, Puppet.self).inbound.count == 2)
        // The late answer to the first is not taken for one to the second.
        hostile.network.command(1, .write(hostile.network.machine(1, Puppet.self).inbound[0], [UInt8](repeating: 1, count: 32)))
        hostile.network.command(1, .write(try hostile.inbound, [UInt8](repeating: 2, count: 32)))
        hostile.network.run(for: .seconds(1))
        #expect(hostile.network.machine(0, Ping.self).counters.roundTrips == 1)
    }

    @Test(arguments: [[UInt8](repeating: 1, count: 31) + [2], [UInt8](repeating: 1, count: 33), [9]])
    func `takes no other bytes for an answer`(answer: [UInt8]) throws {
        var hostile = try Hostile()
        hostile.ping(1)
        hostile.network.run(for: .milliseconds(100))
        let stream = try hostile.inbound
        hostile.network.command(1, .write(stream, answer))
        hostile.network.run(for: .seconds(1))
        // 33 bytes in two pieces may count as a round trip and a byte that nobody asked for.
        #expect(hostile.events.last == .failed(hostile.liar.id, .wrongBytes))
        #expect(hostile.network.machine(1, Puppet.self).reset.contains(stream))
    }

    @Test func `goes out again when the peer ended the idle stream at the same time`() throws {
        var hostile = try Hostile()
        hostile.ping(1)
        hostile.network.run(for: .milliseconds(100))
        let first = try hostile.inbound
        hostile.network.command(1, .write(first, [UInt8](repeating: 1, count: 32)))
        hostile.network.run(for: .seconds(5))
        hostile.network.command(1, .closeWrite(first))
        hostile.ping(2)
        hostile.network.run(for: .milliseconds(100))
        let second = try hostile.inbound
        #expect(second != first)
        #expect(hostile.network.machine(1, Puppet.self).received[second] == [UInt8](repeating: 2, count: 32))
        hostile.network.command(1, .write(second, [UInt8](repeating: 2, count: 32)))
        hostile.network.run(for: .seconds(1))
        #expect(hostile.network.machine(0, Ping.self).counters.roundTrips == 2)
    }

    @Test func `to a peer that is not there or does not speak it fails`() throws {
        var hostile = try Hostile(machines: [Puppet()])
        hostile.ping()
        let stranger = try KnownIdentity.make(9).id
        hostile.network.with(0, Ping.self) { ping, now in ping.ping(stranger, bytes: [UInt8](repeating: 0, count: 32), now: now) }
        hostile.network.run(for: .seconds(1))
        #expect(Set(hostile.events.map { "\($0)" }).count == 2)
        #expect(hostile.events.contains(.failed(hostile.liar.id, .stream(.notSupported))))
        #expect(hostile.events.contains(.failed(stranger, .stream(.notConnected))))
    }

    @Test func `of a peer is answered on two streams and not on a third`() throws {
        var hostile = try Hostile()
        let streams = (0..<3).map { _ in hostile.network.open(1, to: 0, Ping.protocolID) }
        for stream in streams { hostile.network.command(1, .write(stream, [UInt8](repeating: 7, count: 33))) }
        hostile.network.run(for: .seconds(1))
        let puppet = hostile.network.machine(1, Puppet.self)
        #expect(streams.map { puppet.received[$0]?.count } == [32, 32, nil])
        #expect(puppet.reset == [streams[2]])
        #expect(hostile.events == [.refused(hostile.liar.id, .tooManyStreams)])
        hostile.network.command(1, .closeWrite(streams[0]))
        hostile.network.run(for: .seconds(1))
        #expect(hostile.events.last == .refused(hostile.liar.id, .truncated))
        // A silent stream is not kept.
        hostile.network.run(for: .seconds(100))
        #expect(hostile.network.machine(1, Puppet.self).reset == Set(streams))
        #expect(hostile.network.machine(0, Ping.self).heldByteCount == 0)
    }
}
