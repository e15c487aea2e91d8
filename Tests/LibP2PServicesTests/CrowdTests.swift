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
}
