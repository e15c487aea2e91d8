import CryptoPrimitives
import LibP2P
import Testing

/// Two nodes that speak identify.
private struct Pair {
    var network: TestNetwork
    let (first, second): (PeerIdentity, PeerIdentity)

    init(seed: UInt64 = 1, voiceCountMin: Int = 1) throws {
        self.network = TestNetwork(seed: seed)
        (self.first, self.second) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        for (identity, port) in [(self.first, 4_001), (self.second, 4_002)] {
            var configuration = Identify.Configuration()
            configuration.observedAddresses.voiceCountMin = voiceCountMin
            let info = try Self.info(port: port)
            _ = self.network.add(identity, [Identify(identity, info: info, sequence: 5, configuration: configuration)])
        }
    }

    static func info(port: Int, protocols: [String] = [Identify.protocolID, Identify.pushProtocolID]) throws -> IdentifyInfo {
        IdentifyInfo(agentVersion: "chorale/0.1.0", protocols: protocols, addresses: [try Multiaddr(text: "/ip4/127.0.0.1/tcp/\(port)")])
    }

    func identified(_ node: Int) -> [IdentifiedPeer] {
        self.network.events(node, Identify.self).compactMap { if case .identified(let found, _) = $0 { found } else { nil } }
    }
}

/// A node that speaks identify, and one that does what the test says.
private struct Hostile {
    var network = TestNetwork()
    let (honest, liar): (PeerIdentity, PeerIdentity)

    init(serving protocolIDs: [String] = [Identify.protocolID]) throws {
        (self.honest, self.liar) = (try KnownIdentity.make(1), try KnownIdentity.make(2))
        _ = self.network.add(self.honest, [Identify(self.honest, info: try Pair.info(port: 4_001), sequence: 1)])
        _ = self.network.add(self.liar, [Puppet(serving: protocolIDs)])
        try self.network.connect(0, 1)
        self.network.run(for: .milliseconds(50))
    }

    /// The honest side's last complaint about an answer of these bytes.
    mutating func complaint(about bytes: [UInt8], ends: Bool = true) throws -> IdentifyError? {
        let stream = try #require(self.network.machine(1, Puppet.self).inbound.last)
        self.network.command(1, .write(stream, bytes))
        if ends { self.network.command(1, .closeWrite(stream)) }
        self.network.run(for: .seconds(20))
        guard case .failed(_, _, let error)? = self.network.events(0, Identify.self).last else { return nil }
        return error
    }

    func message(change: (inout IdentifyMessage) throws -> Void = { _ in }) rethrows -> [UInt8] {
        var message = IdentifyMessage()
        message.publicKey = self.liar.publicKey.encoded
        message.protocols = ["/a/1"]
        try change(&message)
        return FrameReader.frame(message.bytes)
    }
}

struct `A node that identifies itself` {
    @Test(arguments: UInt64(1)...20)
    func `tells both ends of a connection who the other is`(seed: UInt64) throws {
        var pair = try Pair(seed: seed)
        try pair.network.connect(0, 1)
        pair.network.run(for: .seconds(1))
        for (node, other, port) in [(0, pair.second, 4_002), (1, pair.first, 4_001)] {
            let found = try #require(pair.identified(node).first)
            #expect(pair.identified(node).count == 1)
            #expect(found.peer == other.id)
            #expect(found.publicKey == other.publicKey)
            #expect(found.agentVersion == "chorale/0.1.0")
            #expect(found.protocols == [Identify.protocolID, Identify.pushProtocolID])
            #expect(found.record?.sequence == 5)
            #expect(found.record?.addresses.map(\.description) == ["/ip4/127.0.0.1/tcp/\(port)"])
            #expect(found.observedAddress?.description == "/ip4/127.0.0.1/tcp/\(node == 0 ? 4_001 : 4_002)")
            #expect(pair.network.machine(node, Identify.self).observedAddresses == [try #require(found.observedAddress)])
        }
    }

    @Test func `asks once for each connection, and again when it is told to`() throws {
        var pair = try Pair()
        try pair.network.connect(0, 1)
        try pair.network.connect(1, 0)
        pair.network.run(for: .seconds(1))
        #expect(pair.identified(0).count == 2)
        pair.network.with(0, Identify.self) { machine, now in machine.identify(pair.second.id, now: now) }
        pair.network.run(for: .seconds(1))
        #expect(pair.identified(0).count == 3)
        #expect(pair.identified(0).last?.record?.sequence == 5)
    }

    @Test func `leaves out a record that is older than the one before`() throws {
        var hostile = try Hostile()
        let records = [9, 8, 9, 10].map { PeerRecord(peerID: hostile.liar.id, sequence: $0, addresses: []).sealed(by: hostile.liar).bytes }
        #expect(try hostile.complaint(about: hostile.message { $0.signedPeerRecord = records[0] }) == nil)
        for record in records.dropFirst() {
            let stream = hostile.network.open(1, to: 0, Identify.pushProtocolID)
            hostile.network.command(1, .write(stream, hostile.message { $0.signedPeerRecord = record }))
            hostile.network.command(1, .closeWrite(stream))
            hostile.network.run(for: .seconds(1))
        }
        let found = hostile.network.events(0, Identify.self).compactMap { if case .identified(let found, _) = $0 { found } else { nil } }
        let sequences = found.map { $0.record?.sequence }
        #expect(sequences == [9, nil, 9, 10])
    }

    @Test func `pushes what changed, many changes at once and not too often`() throws {
        var pair = try Pair()
        try pair.network.connect(0, 1)
        pair.network.run(for: .seconds(1))
        for round in 1...20 {
            let info = try Pair.info(port: 5_000 + round)
            pair.network.with(0, Identify.self) { machine, now in machine.update(info, sequence: 0, now: now) }
            pair.network.run(for: .milliseconds(100))
        }
        pair.network.run(for: .seconds(10))
        let pushes = pair.identified(1).filter(\.isPush)
        #expect(pushes.count == 2)
        #expect(pushes.last?.record?.addresses.map(\.description) == ["/ip4/127.0.0.1/tcp/5020"])
        #expect(pushes.last?.record?.sequence == 25)
        #expect(pair.network.machine(0, Identify.self).counters.pushesSent == 2)
    }

    @Test func `does not push to who does not take it`() throws {
        var hostile = try Hostile()
        #expect(try hostile.complaint(about: hostile.message()) == nil)
        let info = try Pair.info(port: 1)
        hostile.network.with(0, Identify.self) { machine, now in machine.update(info, sequence: 0, now: now) }
        hostile.network.run(for: .seconds(20))
        #expect(hostile.network.machine(0, Identify.self).counters.pushesSent == 0)
    }

    @Test func `takes several messages of one stream as one`() throws {
        var hostile = try Hostile()
        let record = PeerRecord(peerID: hostile.liar.id, sequence: 9, addresses: []).sealed(by: hostile.liar).bytes
        var second = IdentifyMessage()
        second.signedPeerRecord = record
        second.protocols = ["/b/1"]
        #expect(try hostile.complaint(about: hostile.message() + FrameReader.frame(second.bytes)) == nil)
        guard case .identified(let found, _)? = hostile.network.events(0, Identify.self).last else { throw IdentifyError.timedOut }
        #expect(found.protocols == ["/a/1", "/b/1"])
        #expect(found.record?.sequence == 9)
        #expect(found.signedPeerRecord == record)
    }

    @Test func `takes a whole message of a peer that does not end its stream`() throws {
        var hostile = try Hostile()
        #expect(try hostile.complaint(about: hostile.message(), ends: false) == nil)
        #expect(hostile.network.machine(0, Identify.self).counters.identified == 1)
    }

    @Test func `says at most 8 KiB about a node with much to say`() throws {
        let identity = try KnownIdentity.make(1)
        let info = IdentifyInfo(
            agentVersion: String(repeating: "é", count: 1_000), protocols: (0..<300).map { "/protocol/\($0)" },
            addresses: try (0..<200).map { try Multiaddr(text: "/dns4/\(String(repeating: "a", count: 60)).example/tcp/\($0)") })
        var network = TestNetwork()
        _ = network.add(identity, [Identify(identity, info: info, sequence: 1)])
        let puppet = network.add(try KnownIdentity.make(2), [Puppet()])
        try network.connect(0, puppet)
        let stream = network.open(puppet, to: 0, Identify.protocolID)
        network.run(for: .seconds(1))
        let bytes = try #require(network.machine(puppet, Puppet.self).received[stream])
        let message = try IdentifyMessage(parsing: bytes.dropFirst(2))
        #expect(bytes.count <= 8_194)
        #expect(!message.listenAddresses.isEmpty)
        #expect(message.protocols.count == 256)
        let record = try PeerRecord(opening: SignedEnvelope(parsing: try #require(message.signedPeerRecord)))
        #expect(record.addresses == message.listenAddresses)
        #expect(message.agentVersion == String(repeating: "é", count: 128))
    }
}

struct `Identify refuses` {
    @Test func `every message that was cut`() throws {
        let whole = try Hostile().message()
        for count in 0..<whole.count {
            var hostile = try Hostile()
            #expect(try hostile.complaint(about: Array(whole.prefix(count))) == .truncated)
        }
    }

    @Test func `a message that only ends in time for nobody`() throws {
        var hostile = try Hostile()
        #expect(try hostile.complaint(about: hostile.message().dropLast(), ends: false) == .timedOut)
    }

    @Test func `another peer's key`() throws {
        var hostile = try Hostile()
        let bytes = hostile.message { $0.publicKey = hostile.honest.publicKey.encoded }
        #expect(try hostile.complaint(about: bytes) == .keyOfAnother(hostile.honest.id))
    }

    @Test func `another peer's record, and a record with a changed bit`() throws {
        var hostile = try Hostile()
        let record = PeerRecord(peerID: hostile.honest.id, sequence: 9, addresses: []).sealed(by: hostile.honest).bytes
        #expect(try hostile.complaint(about: hostile.message { $0.signedPeerRecord = record }) == .recordOfAnother)
        var second = try Hostile()
        var forged = PeerRecord(peerID: second.liar.id, sequence: 9, addresses: []).sealed(by: second.liar).bytes
        forged[forged.count - 1] ^= 1
        let complaint = try second.complaint(about: second.message { $0.signedPeerRecord = forged })
        #expect(complaint == .record(.key(.wrongSignature)))
    }

    @Test func `messages that are too long, too many or no messages`() throws {
        var hostile = try Hostile()
        #expect(
            try hostile.complaint(about: [0xff, 0xff, 0xff, 0xff, 0x0f])
                == .frame(.tooLong(byteCount: 0xffff_ffff, limit: IdentifyMessage.sentByteCountMax)))
        hostile = try Hostile()
        #expect(try hostile.complaint(about: [UInt8](repeating: 0, count: 11)) == .tooManyMessages)
        hostile = try Hostile()
        let padding = ProtobufWriter.message { $0.bytes([UInt8](repeating: 7, count: 8_100), field: 99) }
        let flood = [[UInt8]](repeating: FrameReader.frame(padding), count: 9).flatMap { $0 }
        #expect(try hostile.complaint(about: flood) == .tooManyBytes)
        #expect(hostile.network.heldByteCountMax < 100_000)
        hostile = try Hostile()
        #expect(try hostile.complaint(about: [1, 0x0b]) == .protobuf(.unsupportedWireType(3, offset: 0)))
    }

    @Test func `a flood of pushes, and keeps nothing of it`() throws {
        var hostile = try Hostile()
        let bytes = try hostile.message()
        for _ in 0..<500 {
            let stream = hostile.network.open(1, to: 0, Identify.pushProtocolID)
            hostile.network.command(1, .write(stream, bytes))
            hostile.network.command(1, .closeWrite(stream))
        }
        hostile.network.run(for: .seconds(1))
        let counters = hostile.network.machine(0, Identify.self).counters
        // Eight at once, and two more in the ten seconds that the flood took.
        #expect((8...11).contains(counters.pushesTaken))
        #expect(counters.pushesTaken + counters.refused >= 500)
        #expect(hostile.network.events(0, Identify.self).contains(.refused(hostile.liar.id, .tooManyPushes)))
        hostile.network.run(for: .seconds(20))
        #expect(hostile.network.machine(0, Identify.self).heldByteCount < 1_000)
    }

    @Test func `streams that are opened and left open`() throws {
        var hostile = try Hostile()
        for _ in 0..<100 { _ = hostile.network.open(1, to: 0, Identify.protocolID) }
        #expect(hostile.network.machine(0, Identify.self).counters.answered <= 16 + 3)
        hostile.network.run(for: .seconds(30))
        #expect(hostile.network.machine(0, Identify.self).heldByteCount < 1_000)
    }

    @Test func `to believe one liar about our address, with however many peers`() throws {
        let identity = try KnownIdentity.make(1)
        var network = TestNetwork()
        _ = network.add(identity, [Identify(identity, info: try Pair.info(port: 4_001), sequence: 1)])
        for seed in UInt8(2)..<40 {
            let other = try KnownIdentity.make(seed)
            let node = network.add(other, [Identify(other, info: try Pair.info(port: 4_001), sequence: 1)])
            // All of one household, and each sees us at the same address.
            try network.connect(0, node, dialerAddress: "/ip4/8.8.8.8/tcp/9", listenerAddress: "/ip4/9.9.9.9/tcp/\(seed)")
        }
        network.run(for: .seconds(5))
        #expect(network.machine(0, Identify.self).observedAddresses.isEmpty)
        for seed in UInt8(40)..<43 {
            let other = try KnownIdentity.make(seed)
            let node = network.add(other, [Identify(other, info: try Pair.info(port: 4_001), sequence: 1)])
            try network.connect(0, node, dialerAddress: "/ip4/8.8.8.8/tcp/9", listenerAddress: "/ip4/9.9.9.\(seed)/tcp/1")
        }
        network.run(for: .seconds(5))
        #expect(network.machine(0, Identify.self).observedAddresses.map(\.description) == ["/ip4/8.8.8.8/tcp/9"])
        network.run(for: .seconds(3_600))
        #expect(network.machine(0, Identify.self).observedAddresses.isEmpty)
    }
}
