import LibP2P
import Testing

/// One stranger makes up as many peers as it likes: what it can take must not grow with them.
struct `Services and a stranger who is many peers` {
    private static func connection(_ number: UInt64, _ peer: PeerID, from address: String, isLimited: Bool = false) throws -> ConnectionInfo
    {
        ConnectionInfo(
            id: ConnectionID(rawValue: number), peer: peer, isOutbound: false, remoteAddress: try Multiaddr(text: address),
            isLimited: isLimited)
    }

    @Test func `a relay serves others beside a household whose peers all ask`() throws {
        var configuration = RelayServer.Configuration()
        configuration.countedMax = 64
        var server = RelayServer(
            try KnownIdentity.make(1), unixOffset: .seconds(1_700_000_000), addresses: [], configuration: configuration)
        let reserve = FrameReader.frame(ProtobufWriter.message { $0.unsigned(0, field: 1) })
        func ask(_ peer: PeerID, from address: String, _ number: UInt64) throws -> [RelayServer.Event] {
            let info = try Self.connection(number, peer, from: address)
            server.handle(.connected(info), now: .zero)
            let stream = StreamID(rawValue: number)
            server.handle(.inbound(stream, info, protocolID: RelayClient.hopProtocolID), now: .zero)
            server.handle(.received(stream, reserve), now: .zero)
            server.handle(.reset(stream), now: .zero)
            server.handle(.disconnected(info), now: .zero)
            var events: [RelayServer.Event] = []
            while let event = server.nextEvent() { events.append(event) }
            return events
        }
        var servedCount = 0
        for number in 0..<200 as Range<UInt64> {
            let events = try ask(KnownIdentity.stranger(number), from: "/ip4/203.0.113.5/tcp/\(1_000 + number)", number)
            if events.contains(where: { if case .reserved = $0 { true } else { false } }) { servedCount += 1 }
        }
        #expect(servedCount == 60)
        let honest = try KnownIdentity.make(2).id
        #expect(try ask(honest, from: "/ip4/198.51.100.9/tcp/1", 1_000).first == .reserved(honest, isRenewal: false))
    }

    @Test func `hole punches that peers of one relay begin are bounded together`() throws {
        var machine = DCUtR()
        func begun(_ numbers: Range<UInt64>, relay: UInt8, now: Duration) throws -> Int {
            let address = "/p2p/\(try KnownIdentity.make(relay).id)/p2p-circuit"
            var refusedCount = 0
            for number in numbers {
                let info = try Self.connection(number, KnownIdentity.stranger(number), from: address, isLimited: true)
                machine.handle(.connected(info), now: now)
                while let event = machine.nextEvent() { if case .failed(_, .tooMany) = event { refusedCount += 1 } }
                machine.handle(.disconnected(info), now: now)
                while machine.nextEvent() != nil {}
            }
            return numbers.count - refusedCount
        }
        #expect(try begun(0..<100, relay: 1, now: .zero) == 16)
        #expect(try begun(100..<200, relay: 1, now: .seconds(10)) == 2)
        // Who comes through another one is not held up.
        #expect(try begun(200..<210, relay: 2, now: .seconds(10)) == 10)
    }

    @Test func `identify keeps so much of what strangers do not finish, and hears others to the end`() throws {
        let own = try KnownIdentity.make(1)
        let info = IdentifyInfo(agentVersion: "a/1", protocols: [], addresses: [])
        var machine = Identify(own, info: info, sequence: 1)
        func connect(_ number: UInt64, _ peer: PeerID) throws -> StreamID {
            machine.handle(.connected(try Self.connection(number, peer, from: "/ip4/203.0.113.5/tcp/1")), now: .zero)
            var request: UInt64?
            while let command = machine.nextCommand() { if case .openOn(let number, _, _) = command { request = number } }
            let stream = StreamID(rawValue: number)
            machine.handle(.opened(request: try #require(request), stream, protocolID: Identify.protocolID), now: .zero)
            return stream
        }
        for number in 0..<1_000 as Range<UInt64> {
            let stream = try connect(number, KnownIdentity.stranger(number))
            machine.handle(.received(stream, [0x80, 0x40] + [UInt8](repeating: 0, count: 8_000)), now: .milliseconds(Int64(number)))
            #expect(machine.heldByteCount < 5_000_000)
        }
        let identity = try KnownIdentity.make(2)
        let honest = try connect(1_000, identity.id)
        var message = IdentifyMessage()
        message.agentVersion = "b/1"
        message.publicKey = identity.publicKey.encoded
        let bytes = FrameReader.frame(message.bytes)
        machine.handle(.received(honest, Array(bytes.dropLast())), now: .seconds(2))
        machine.handle(.received(honest, Array(bytes.suffix(1))), now: .seconds(2))
        machine.handle(.ended(honest), now: .seconds(2))
        var (identified, unfinished) = (0, 0)
        while let event = machine.nextEvent() {
            if case .identified = event { identified += 1 }
            if case .failed(_, _, .tooManyUnfinished) = event { unfinished += 1 }
        }
        #expect(identified == 1)
        #expect((400..<600).contains(unfinished))
    }

    @Test func `a network of 48 bits has one voice about our address, and nobody one about the other version of IP`() throws {
        var machine = Identify(
            try KnownIdentity.make(1), info: IdentifyInfo(agentVersion: "a/1", protocols: [], addresses: []), sequence: 1)
        func tell(_ number: UInt64, _ seen: String, from address: String) throws -> [Multiaddr] {
            let identity = KnownIdentity.stranger(number)
            machine.handle(.connected(try Self.connection(number, identity, from: address)), now: .zero)
            var request: UInt64?
            while let command = machine.nextCommand() { if case .openOn(let number, _, _) = command { request = number } }
            let stream = StreamID(rawValue: number)
            machine.handle(.opened(request: try #require(request), stream, protocolID: Identify.protocolID), now: .zero)
            var message = IdentifyMessage()
            message.observedAddress = try Multiaddr(text: seen)
            machine.handle(.received(stream, FrameReader.frame(message.bytes)), now: .zero)
            machine.handle(.ended(stream), now: .zero)
            return machine.observedAddresses
        }
        let victim = "/ip6/2606:4700::1/tcp/443"
        for number in 0..<20 as Range<UInt64> { #expect(try tell(number, victim, from: "/ip6/2001:470:1:\(number)::1/tcp/9") == []) }
        for number in 20..<40 as Range<UInt64> { #expect(try tell(number, victim, from: "/ip4/9.9.\(number).9/tcp/9") == []) }
        for number in 40..<42 as Range<UInt64> { #expect(try tell(number, victim, from: "/ip6/2001:470:\(number)::1/tcp/9") == []) }
        #expect(try tell(42, victim, from: "/ip6/2001:470:42::1/tcp/9") == [Multiaddr(text: victim)])
    }
}
