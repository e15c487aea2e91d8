import CryptoPrimitives
import LibP2P
import Testing

/// A relay and peers around it, all connected to it.
struct RelayedNetwork {
    var network: TestNetwork
    let relay = 0
    let identities: [PeerIdentity]
    /// `now` begins at 100 s.
    static let unixOffset: Duration = .seconds(1_700_000_000)

    init(
        seed: UInt64 = 1, peers: Int = 2, puppets: Int = 0, relayIsPuppet: Bool = false,
        configure: (inout RelayServer.Configuration) -> Void = { _ in }
    ) throws {
        self.network = TestNetwork(seed: seed)
        self.identities = try (1...UInt8(1 + peers + puppets)).map { try KnownIdentity.make($0) }
        var configuration = RelayServer.Configuration()
        configure(&configuration)
        let address = try Multiaddr(text: "/ip4/127.0.0.1/tcp/4001")
        let server = RelayServer(self.identities[0], unixOffset: Self.unixOffset, addresses: [address], configuration: configuration)
        _ = self.network.add(self.identities[0], relayIsPuppet ? [Puppet(serving: [RelayClient.hopProtocolID])] : [server])
        for index in 1...(peers + puppets) {
            let client = RelayClient(localPeer: self.identities[index].id, unixOffset: Self.unixOffset)
            let machine: any ProtocolMachine = index <= peers ? client : Puppet(serving: [RelayClient.stopProtocolID])
            _ = self.network.add(self.identities[index], [machine])
            try self.network.connect(index, 0, dialerAddress: "/ip4/10.0.0.\(index)/tcp/1", listenerAddress: "/ip4/127.0.0.1/tcp/4001")
        }
    }

    func id(_ node: Int) -> PeerID { self.identities[node].id }

    mutating func reserve(_ node: Int) {
        let relay = self.id(0)
        self.network.with(node, RelayClient.self) { client, now in client.reserve(at: relay, now: now) }
        self.network.run(for: .seconds(1))
    }

    mutating func connect(_ node: Int, to target: Int, tag: UInt64 = 7) {
        let (relay, peer) = (self.id(0), self.id(target))
        self.network.with(node, RelayClient.self) { client, now in client.connect(to: peer, through: relay, tag: tag, now: now) }
        self.network.run(for: .seconds(1))
    }

    func clientEvents(_ node: Int) -> [RelayClient.Event] { self.network.events(node, RelayClient.self) }
    var serverEvents: [RelayServer.Event] { self.network.events(0, RelayServer.self) }
    var server: RelayServer { self.network.machine(0, RelayServer.self) }

    func circuits(_ node: Int) -> [RelayCircuit] {
        self.clientEvents(node).compactMap { if case .circuit(let circuit) = $0 { circuit } else { nil } }
    }

    func reservations(_ node: Int) -> [RelayReservation] {
        self.clientEvents(node).compactMap { if case .reserved(let reservation, _) = $0 { reservation } else { nil } }
    }

    /// Sends a message as a puppet on a new stream to the relay, and gives what came back within a second.
    mutating func ask(_ puppet: Int, _ message: [UInt8], framed: Bool = true, ends: Bool = false) -> [UInt8]? {
        let stream = self.network.open(puppet, to: 0, RelayClient.hopProtocolID)
        self.network.command(puppet, .write(stream, framed ? FrameReader.frame(message) : message))
        if ends { self.network.command(puppet, .closeWrite(stream)) }
        self.network.run(for: .seconds(1))
        return self.network.machine(puppet, Puppet.self).received[stream]
    }

    /// A puppet that plays the relay answers the last stream to it.
    mutating func relayAnswers(_ message: [UInt8]) throws {
        let stream = try #require(self.network.machine(0, Puppet.self).inbound.last)
        self.network.command(0, .write(stream, FrameReader.frame(message)))
        self.network.run(for: .seconds(1))
    }
}

/// Messages as bytes, so that the tests rest on the wire and not on our own codec.
enum RelayBytes {
    static let reserve: [UInt8] = [0x08, 0x00]

    static func connect(_ peer: PeerID) -> [UInt8] {
        [0x08, 0x01, 0x12, UInt8(peer.bytes.count + 2), 0x0a, UInt8(peer.bytes.count)] + peer.bytes
    }

    /// A hop status, with its length before it.
    static func hopStatus(_ code: UInt64) -> [UInt8] { FrameReader.frame([0x08, 0x02, 0x28] + Varint.encode(code)) }

    static func stopConnect(_ peer: PeerID) -> [UInt8] {
        [0x08, 0x00, 0x12, UInt8(peer.bytes.count + 2), 0x0a, UInt8(peer.bytes.count)] + peer.bytes
    }

    static func stopStatus(_ code: UInt64) -> [UInt8] { [0x08, 0x01, 0x20] + Varint.encode(code) }

    static func reservation(expiration: UInt64, voucher: [UInt8] = []) -> [UInt8] {
        ProtobufWriter.message { message in
            message.unsigned(2, field: 1)
            message.message(field: 3) { inner in
                inner.unsigned(expiration, field: 1)
                if !voucher.isEmpty { inner.bytes(voucher, field: 3) }
            }
            message.unsigned(100, field: 5)
        }
    }
}

struct `A relay` {
    @Test(arguments: UInt64(1)...20)
    func `carries bytes between two peers in both directions, in order and to the end`(seed: UInt64) throws {
        var net = try RelayedNetwork(seed: seed)
        net.network.pieceByteCountMax = 700
        net.reserve(1)
        let reservation = try #require(net.reservations(1).first)
        #expect(reservation.expiration == 1_700_003_700)
        #expect(reservation.limit == RelayLimit(duration: .seconds(120), byteCount: 131_072))
        #expect(reservation.voucher == RelayVoucher(relay: net.id(0), peer: net.id(1), expiration: 1_700_003_700))
        #expect(
            reservation.circuitAddresses(for: net.id(1)).map(\.description)
                == ["/ip4/127.0.0.1/tcp/4001/p2p/\(net.id(0))/p2p-circuit/p2p/\(net.id(1))"])
        net.connect(2, to: 1)
        let (out, back) = (try #require(net.circuits(2).first), try #require(net.circuits(1).first))
        #expect(out.isOutbound && !back.isOutbound && out.tag == 7)
        #expect(out.peer == net.id(1) && back.peer == net.id(2) && out.relay == net.id(0) && back.relay == net.id(0))
        #expect(out.limit == reservation.limit && back.limit == reservation.limit)
        #expect(back.remoteAddress.description == "/p2p/\(net.id(0))/p2p-circuit")
        // What comes before the swarm takes the stream is there when it does.
        let (there, here) = ((0..<60_000).map { UInt8(truncatingIfNeeded: $0 * 7) }, (0..<900).map { UInt8(truncatingIfNeeded: $0) })
        net.network.inject(to: 0, of: out.stream, at: 2, there)
        net.network.inject(to: 0, of: back.stream, at: 1, here)
        net.network.run(for: .seconds(1))
        net.network.endInput(of: out.stream, at: 2)
        net.network.run(for: .seconds(1))
        let started = net.network.with(1, RelayClient.self) { client, _ in client.take(back.stream) }
        #expect(started == RelayCircuitStart(bytes: there, hasEnded: true))
        #expect(
            net.network.with(2, RelayClient.self) { client, _ in client.take(out.stream) }
                == RelayCircuitStart(bytes: here, hasEnded: false))
        net.network.endInput(of: back.stream, at: 1)
        net.network.run(for: .seconds(1))
        #expect(net.serverEvents.last == .circuitEnded(from: net.id(2), to: net.id(1), .finished, byteCount: 60_900))
        net.network.run(for: .seconds(60))
        #expect(net.server.circuitCount == 0)
    }

    @Test func `keeps a reservation as long as it is renewed, and forgets it with its time or its connection`() throws {
        var net = try RelayedNetwork(peers: 1)
        net.reserve(1)
        net.network.run(for: .seconds(10_000))
        #expect(net.reservations(1).count == 4)
        #expect(net.server.reservedPeers == [net.id(1)])
        let relay = net.id(0)
        net.network.with(1, RelayClient.self) { client, _ in client.cancel(at: relay) }
        net.network.run(for: .seconds(3_700))
        #expect(net.server.reservedPeers.isEmpty)
        #expect(net.serverEvents.last == .reservationEnded(net.id(1), .expired))
        net = try RelayedNetwork(peers: 1)
        net.reserve(1)
        let second = try net.network.connect(1, 0)
        net.network.disconnect(ConnectionID(rawValue: 1))
        #expect(net.server.reservedPeers == [net.id(1)])
        net.network.disconnect(second)
        #expect(net.server.reservedPeers.isEmpty)
        #expect(net.clientEvents(1).last == .notReserved(relay, .disconnected))
    }

    @Test func `answers on the wire as others expect it`() throws {
        var net = try RelayedNetwork(peers: 1, puppets: 1)
        let answer = net.ask(2, RelayBytes.reserve)
        let voucher = RelayVoucher(relay: net.id(0), peer: net.id(2), expiration: 1_700_003_700).sealed(by: net.identities[0]).bytes
        let address = try Multiaddr(text: "/ip4/127.0.0.1/tcp/4001/p2p/\(net.id(0))").bytes
        let expected = ProtobufWriter.message { message in
            message.unsigned(2, field: 1)
            message.message(field: 3) { inner in
                inner.unsigned(1_700_003_700, field: 1)
                inner.bytes(address, field: 2)
                inner.bytes(voucher, field: 3)
            }
            message.message(field: 4) { inner in
                inner.unsigned(120, field: 1)
                inner.unsigned(131_072, field: 2)
            }
            message.unsigned(100, field: 5)
        }
        #expect(answer == FrameReader.frame(expected))
    }

    @Test(
        arguments: [
            ([0x08, 0x02, 0x28, 0x64], 401), ([0x08, 0x03], 400), ([], 400), ([0x08], 400), ([0x08, 0x01], 400),
            ([0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x00, 0x00], 400), ([0x0b, 0x0c], 400),
        ] as [([UInt8], UInt64)])
    func `refuses messages that are none`(message: [UInt8], status: UInt64) throws {
        var net = try RelayedNetwork(peers: 1, puppets: 1)
        #expect(net.ask(2, message) == RelayBytes.hopStatus(status))
        net.network.run(for: .seconds(20))
        #expect(net.network.machine(2, Puppet.self).reset.count == 1)
    }

    @Test func `refuses frames that are too long, and drops those who never say anything`() throws {
        var net = try RelayedNetwork(peers: 1, puppets: 1)
        #expect(net.ask(2, [0xff, 0xff, 0xff, 0xff, 0x0f], framed: false) == RelayBytes.hopStatus(400))
        let streams = (0..<20).map { _ in net.network.open(2, to: 0, RelayClient.hopProtocolID) }
        #expect(net.serverEvents.filter { $0 == .refused(net.id(2), .resourceLimitExceeded) }.count == 13)
        net.network.run(for: .seconds(20))
        #expect(net.network.machine(2, Puppet.self).reset.isSuperset(of: streams))
        #expect(net.network.heldByteCountMax < 3_000)
        // The seven that had a place, and the one that was refused for its length before: that one was answered.
        #expect(net.serverEvents.filter { $0 == .requestMissing(net.id(2), .timedOut) }.count == 7)
        #expect(net.network.machine(0, RelayServer.self).counters.refused == 1 + 13 + 7)

        let ended = net.network.open(2, to: 0, RelayClient.hopProtocolID)
        net.network.command(2, .closeWrite(ended))
        net.network.run(for: .seconds(1))
        #expect(net.serverEvents.last == .requestMissing(net.id(2), .ended))
        #expect(net.network.machine(0, RelayServer.self).counters.refused == 1 + 13 + 7 + 1)
    }

    @Test func `refuses who has no reservation, whoever connects to itself, and strangers to its rules`() throws {
        let denied = try KnownIdentity.make(3).id
        var net = try RelayedNetwork(peers: 1, puppets: 2) { $0.deniedPeers = [denied] }
        #expect(net.ask(3, RelayBytes.connect(net.id(1))) == RelayBytes.hopStatus(204))
        #expect(net.ask(3, RelayBytes.connect(net.id(3))) == RelayBytes.hopStatus(400))
        #expect(net.ask(3, RelayBytes.connect(net.id(0))) == RelayBytes.hopStatus(400))
        #expect(net.ask(2, RelayBytes.reserve) == RelayBytes.hopStatus(202))
    }

    @Test func `does not serve over another relay`() throws {
        var net = try RelayedNetwork(peers: 1, puppets: 0)
        let puppet = net.network.add(try KnownIdentity.make(9), [Puppet(serving: [RelayClient.stopProtocolID])])
        let other = try KnownIdentity.make(8).id
        try net.network.connect(puppet, 0, dialerAddress: "/p2p/\(other)/p2p-circuit", isLimited: true)
        #expect(net.ask(puppet, RelayBytes.reserve) == RelayBytes.hopStatus(202))
        net.reserve(1)
        #expect(net.ask(puppet, RelayBytes.connect(net.id(1))) == RelayBytes.hopStatus(202))
        #expect(net.server.circuitCount == 0)
    }

    @Test func `bounds reservations in all and of one household, and how often it is asked`() throws {
        var net = try RelayedNetwork(peers: 6) {
            $0.reservationCountMax = 5
            $0.reservationsPerHouseholdMax = 3
        }
        for node in 1...6 { net.reserve(node) }
        #expect(net.server.reservedPeers.count == 5)
        #expect(net.clientEvents(6).last == .notReserved(net.id(0), .refused(.reservationRefused)))
        net = try RelayedNetwork(peers: 1) { $0.reservationsPerHouseholdMax = 3 }
        for seed in UInt8(20)..<30 {
            let puppet = net.network.add(try KnownIdentity.make(seed), [Puppet()])
            try net.network.connect(puppet, 0, dialerAddress: "/ip4/9.9.9.9/tcp/\(seed)")
            let answer = net.ask(puppet, RelayBytes.reserve)
            #expect((answer == RelayBytes.hopStatus(200)) == (seed >= 23))
        }
        net = try RelayedNetwork(peers: 1, puppets: 1)
        let answers = (0..<60).map { _ in net.ask(2, RelayBytes.reserve, ends: true) }
        #expect((30...31).contains(answers.count { $0 != RelayBytes.hopStatus(201) }))
        #expect(net.server.counters.reservations == 1)
    }

    @Test func `bounds circuits of one peer`() throws {
        var net = try RelayedNetwork(peers: 4)
        for target in [1, 3, 4] { net.reserve(target) }
        // Half of what each target has, and in all what one peer has.
        for tag in UInt64(0)..<6 { net.connect(2, to: 1, tag: tag) }
        #expect(net.circuits(2).count == 2)
        #expect(net.clientEvents(2).last == .connectFailed(tag: 5, to: net.id(1), through: net.id(0), .refused(.resourceLimitExceeded)))
        for target in [3, 3, 4] { net.connect(2, to: target) }
        #expect(net.circuits(2).count == 4)
        // The places of circuits that are over are free again.
        net.network.run(for: .seconds(121))
        #expect(net.server.circuitCount == 0)
        net.connect(2, to: 1)
        #expect(net.circuits(2).count == 5)
    }

    @Test func `resets both ends when time or bytes are over`() throws {
        var net = try RelayedNetwork(peers: 1, puppets: 1) { $0.circuitLimit = RelayLimit(duration: .seconds(5), byteCount: 1_000) }
        net.reserve(1)
        _ = net.ask(2, RelayBytes.connect(net.id(1)))
        let circuit = try #require(net.circuits(1).first)
        _ = net.network.with(1, RelayClient.self) { client, _ in client.take(circuit.stream) }
        let stream = try #require(net.network.machine(2, Puppet.self).opened.last)
        net.network.command(2, .write(stream, [UInt8](repeating: 1, count: 1_000)))
        net.network.run(for: .seconds(1))
        #expect(net.server.circuitCount == 1)
        net.network.command(2, .write(stream, [1]))
        net.network.run(for: .seconds(1))
        #expect(net.serverEvents.last == .circuitEnded(from: net.id(2), to: net.id(1), .byteLimit, byteCount: 1_000))
        #expect(net.network.machine(2, Puppet.self).reset.contains(stream))
        _ = net.ask(2, RelayBytes.connect(net.id(1)))
        let second = try #require(net.network.machine(2, Puppet.self).opened.last)
        net.network.run(for: .seconds(6))
        #expect(net.serverEvents.last == .circuitEnded(from: net.id(2), to: net.id(1), .durationLimit, byteCount: 0))
        #expect(net.network.machine(2, Puppet.self).reset.contains(second))
    }

    @Test func `tells the source when the target does not want, does not answer, or is gone`() throws {
        for (answer, expected) in [
            (RelayBytes.stopStatus(203), RelayError.refused(.connectionFailed)), (RelayBytes.stopStatus(777), .refused(.unknown(777))),
            ([0x08, 0x00], .message(.protobuf(.missing(field: 2)))), ([0x08, 0x09], .message(.unknownType(9))), ([], .timedOut),
        ] as [([UInt8], RelayError)] {
            var net = try RelayedNetwork(peers: 1, puppets: 1)
            _ = net.ask(2, RelayBytes.reserve)
            net.connect(1, to: 2)
            let stream = try #require(net.network.machine(2, Puppet.self).inbound.last)
            #expect(
                net.network.machine(2, Puppet.self).received[stream]?.dropFirst().prefix(44) == RelayBytes.stopConnect(net.id(1))[..<44])
            if !answer.isEmpty { net.network.command(2, .write(stream, FrameReader.frame(answer))) }
            net.network.run(for: .seconds(20))
            #expect(net.clientEvents(1).last == .connectFailed(tag: 7, to: net.id(2), through: net.id(0), .refused(.connectionFailed)))
            #expect(net.serverEvents.last == .circuitEnded(from: net.id(1), to: net.id(2), .failed(expected), byteCount: 0))
            net.network.run(for: .seconds(20))
            #expect(net.server.circuitCount == 0)
        }
    }

    @Test func `keeps little of a source that does not wait`() throws {
        var net = try RelayedNetwork(peers: 1, puppets: 2)
        _ = net.ask(2, RelayBytes.reserve)
        _ = net.ask(3, RelayBytes.connect(net.id(2)))
        let stream = try #require(net.network.machine(3, Puppet.self).opened.last)
        net.network.command(3, .write(stream, [UInt8](repeating: 1, count: 100_000)))
        net.network.run(for: .seconds(1))
        #expect(net.server.circuitCount == 0)
        #expect(net.network.machine(3, Puppet.self).reset.contains(stream))
        #expect(net.network.heldByteCountMax < 10_000)
    }
}

struct `A relay's client` {
    @Test func `renews a short reservation in time, and no faster than it must`() throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        net.reserve(1)
        // Over in two seconds: it is asked for again after ten, not at once.
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_000_103))
        #expect(net.reservations(1).count == 1)
        net.network.run(for: .seconds(8))
        #expect(net.network.machine(0, Puppet.self).inbound.count == 1)
        net.network.run(for: .seconds(3))
        #expect(net.network.machine(0, Puppet.self).inbound.count == 2)
        try net.relayAnswers(RelayBytes.reservation(expiration: .max))
        #expect(net.reservations(1).count == 2)
        net.network.run(for: .seconds(60_000))
        #expect(net.network.machine(0, Puppet.self).inbound.count == 2)
    }

    @Test func `tries a renewal that failed again while the place lasts`() throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        net.reserve(1)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_000_500))
        net.network.run(for: .seconds(310))
        for round in 0..<4 {
            try net.relayAnswers([0x08, 0x02, 0x28, 0xc8, 0x01])
            #expect(net.network.machine(1, RelayClient.self).reservations.count == (round < 3 ? 1 : 0))
            net.network.run(for: .seconds(30))
        }
        #expect(net.clientEvents(1).contains(.notReserved(net.id(0), .refused(.reservationRefused))))
        #expect(net.network.machine(1, RelayClient.self).reservations.isEmpty)
    }

    @Test func `asks for a place that was lost again, later each time, until it has it or wants it no more`() throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        let relay = net.id(0)
        net.reserve(1)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_003_700))
        net.network.disconnect(ConnectionID(rawValue: 1))
        #expect(net.clientEvents(1).last == .notReserved(relay, .disconnected))
        // The relay is gone: it is dialled after 5, 10, 20 s and so on, up to a quarter more each time, and then every ten minutes.
        func dialCount() -> Int { net.network.dials.count { $0.peer == relay } }
        var counts: [Int] = []
        for wait in [4, 3, 9, 4, 17, 10, 1_000, 10_000] as [Int64] {
            net.network.run(for: .seconds(wait))
            counts.append(dialCount())
        }
        #expect(counts[0] == 0 && counts[1] == 1 && counts[3] == 2 && counts[5] == 3)
        #expect((6...8).contains(counts[6]) && (19...25).contains(counts[7]))
        #expect(net.network.dials.last?.addresses == [try Multiaddr(text: "/ip4/127.0.0.1/tcp/4001")])
        // It is back: asked at once, and the place is told as a new one.
        let inboundCount = net.network.machine(0, Puppet.self).inbound.count
        let connection = try net.network.connect(1, 0)
        net.network.run(for: .seconds(1))
        #expect(net.network.machine(0, Puppet.self).inbound.count == inboundCount + 1)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_900_000))
        #expect(net.network.machine(1, RelayClient.self).reservations.map(\.relay) == [relay])
        guard case .reserved(_, isRenewal: false)? = net.clientEvents(1).last else {
            Issue.record("\(net.clientEvents(1))")
            return
        }
        // Refused over a connection that stands, it is asked again as well; and not when it is not wanted any more.
        net.network.disconnect(connection)
        try net.network.connect(1, 0)
        net.network.run(for: .seconds(1))
        try net.relayAnswers([0x08, 0x02, 0x28, 0xc8, 0x01])
        let refusedCount = net.network.machine(0, Puppet.self).inbound.count
        net.network.run(for: .seconds(13))
        #expect(net.network.machine(0, Puppet.self).inbound.count == refusedCount + 1)
        net.network.with(1, RelayClient.self) { client, _ in client.cancel(at: relay) }
        net.network.run(for: .seconds(10_000))
        #expect(net.network.machine(0, Puppet.self).inbound.count == refusedCount + 1)
        #expect(net.network.machine(1, RelayClient.self).heldByteCount == 0)
    }

    @Test func `asks again when one of several connections ends, and is without a place when the last one does`() throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        let relay = net.id(0)
        net.reserve(1)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_900_000))
        // The relay has started again, which is seen of the first connection only after there is a second one.
        let second = try net.network.connect(1, 0)
        net.network.run(for: .seconds(1))
        #expect(net.network.machine(0, Puppet.self).inbound.count == 1)
        net.network.disconnect(ConnectionID(rawValue: 1))
        net.network.run(for: .seconds(1))
        #expect(net.network.machine(0, Puppet.self).inbound.count == 2)
        #expect(net.network.machine(1, RelayClient.self).reservations.count == 1)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_900_000))
        guard case .reserved(_, isRenewal: true)? = net.clientEvents(1).last else {
            Issue.record("\(net.clientEvents(1))")
            return
        }
        net.network.disconnect(second)
        #expect(net.clientEvents(1).last == .notReserved(relay, .disconnected))
    }

    @Test func `does not ask again for a place that it never had`() throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        net.reserve(1)
        try net.relayAnswers([0x08, 0x02, 0x28, 0xc8, 0x01])
        net.network.run(for: .seconds(10_000))
        #expect(net.network.machine(0, Puppet.self).inbound.count == 1)
        #expect(net.network.dials.isEmpty)
    }

    @Test(
        arguments: [
            (RelayBytes.reservation(expiration: 1_700_000_050), RelayError.expired),
            (RelayBytes.stopStatus(100), .message(.protobuf(.wrongKind(field: 4)))),
            ([0x08, 0x02, 0x28, 0x89, 0x06], .refused(.unknown(777))), ([0x08, 0x02, 0x28, 0x64], .unexpectedMessage),
            ([0x08, 0x02], .unexpectedMessage), ([0x08, 0x02, 0x28], .message(.protobuf(.truncated(offset: 3)))),
        ] as [([UInt8], RelayError)])
    func `believes no answer that is none`(answer: [UInt8], error: RelayError) throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        net.reserve(1)
        try net.relayAnswers(answer)
        #expect(net.clientEvents(1).last == .notReserved(net.id(0), error))
    }

    @Test func `leaves out vouchers that are over, of another relay, for another peer or changed`() throws {
        let identities = try (1...3).map { try KnownIdentity.make($0) }
        let good = RelayVoucher(relay: identities[0].id, peer: identities[1].id, expiration: 1_700_003_700)
        let changed = Array(good.sealed(by: identities[0]).bytes.dropLast()) + [0xff]
        for voucher in [
            RelayVoucher(relay: identities[0].id, peer: identities[1].id, expiration: 1_600_000_000).sealed(by: identities[0]).bytes,
            RelayVoucher(relay: identities[0].id, peer: identities[2].id, expiration: 1_700_003_700).sealed(by: identities[0]).bytes,
            RelayVoucher(relay: identities[2].id, peer: identities[1].id, expiration: 1_700_003_700).sealed(by: identities[2]).bytes,
            changed, [1, 2, 3],
        ] {
            var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
            net.reserve(1)
            try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_003_700, voucher: voucher))
            #expect(net.reservations(1).map(\.voucher) == [nil])
            #expect(net.network.machine(1, RelayClient.self).counters.refused == 1)
        }
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        net.reserve(1)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_003_700, voucher: good.sealed(by: identities[0]).bytes))
        #expect(net.reservations(1).map(\.voucher) == [good])
    }

    @Test func `takes circuits only from its relays, directly, and so many at a time`() throws {
        var net = try RelayedNetwork(peers: 1, relayIsPuppet: true)
        let stranger = net.network.open(0, to: 1, RelayClient.stopProtocolID)
        net.network.run(for: .seconds(1))
        #expect(net.network.machine(0, Puppet.self).reset == [stranger])
        #expect(net.clientEvents(1).last == .refused(net.id(0), .notOurRelay))
        net.reserve(1)
        try net.relayAnswers(RelayBytes.reservation(expiration: 1_700_003_700))
        let streams = (0..<20).map { _ in net.network.open(0, to: 1, RelayClient.stopProtocolID) }
        for stream in streams { net.network.command(0, .write(stream, FrameReader.frame(RelayBytes.stopConnect(net.id(0))))) }
        net.network.run(for: .seconds(1))
        #expect(net.circuits(1).count == 16)
        let unwanted = try #require(net.circuits(1).first)
        net.network.with(1, RelayClient.self) { client, _ in client.drop(unwanted.stream) }
        net.network.run(for: .seconds(1))
        #expect(net.network.machine(0, Puppet.self).reset.contains(streams[0]))
        // Nobody took the others.
        for stream in streams { net.network.command(0, .write(stream, [UInt8](repeating: 0, count: 70_000))) }
        net.network.run(for: .seconds(30))
        #expect(net.network.heldByteCountMax < 16 * 66_000 + 10_000)
        #expect(net.network.machine(0, Puppet.self).reset.isSuperset(of: streams))
        #expect(net.network.machine(1, RelayClient.self).heldByteCount < 2_000)
    }
}
