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

    @Test func `a relay hears others although one household holds streams open and says nothing`() throws {
        var server = RelayServer(try KnownIdentity.make(1), unixOffset: .seconds(1_700_000_000), addresses: [])
        func open(_ number: UInt64, _ peer: PeerID, from address: String) throws -> StreamID {
            let stream = StreamID(rawValue: number)
            let info = try Self.connection(number, peer, from: address)
            server.handle(.inbound(stream, info, protocolID: RelayClient.hopProtocolID), now: .milliseconds(Int64(number)))
            return stream
        }
        func resets() -> [StreamID] {
            var resets: [StreamID] = []
            while let command = server.nextCommand() { if case .reset(let stream) = command { resets.append(stream) } }
            while server.nextEvent() != nil {}
            return resets
        }
        for number in 0..<512 as Range<UInt64> {
            _ = try open(number, KnownIdentity.stranger(number / 8), from: "/ip4/203.0.113.5/tcp/\(1_000 + number)")
        }
        #expect(resets() == [])
        // Its own next one finds no place; somebody else's takes the place of its oldest, and keeps it.
        let surplus = try open(600, KnownIdentity.stranger(99), from: "/ip4/203.0.113.5/tcp/1")
        #expect(resets() == [surplus])
        let honest = try KnownIdentity.make(2).id
        let stream = try open(700, honest, from: "/ip4/198.51.100.9/tcp/1")
        #expect(resets() == [StreamID(rawValue: 0)])
        for number in 1_000..<1_100 as Range<UInt64> {
            _ = try open(number, KnownIdentity.stranger(number), from: "/ip4/203.0.113.5/tcp/1")
        }
        #expect(!resets().contains(stream))
        server.handle(.received(stream, FrameReader.frame(ProtobufWriter.message { $0.unsigned(0, field: 1) })), now: .seconds(2))
        #expect(server.isReserved(honest))
    }

    private struct Asked {
        var machine: RequestResponse
        var now = Duration.zero

        init(_ change: (inout RequestResponse.Configuration) -> Void = { _ in }) {
            var configuration = RequestResponse.Configuration(
                protocolIDs: ["/test/1"], requestByteCountMax: 8 << 20, answerByteCountMax: 8 << 20)
            change(&configuration)
            self.machine = RequestResponse(configuration: configuration)
        }

        mutating func open(_ number: UInt64, _ peer: PeerID, from address: String) throws -> StreamID {
            let stream = StreamID(rawValue: number)
            let info = try `Services and a stranger who is many peers`.connection(number, peer, from: address)
            self.machine.handle(.inbound(stream, info, protocolID: "/test/1"), now: self.now)
            return stream
        }

        mutating func resets() -> [StreamID] {
            var resets: [StreamID] = []
            while let command = self.machine.nextCommand() { if case .reset(let stream) = command { resets.append(stream) } }
            return resets
        }

        mutating func questions() -> [RequestResponse.Question] {
            var questions: [RequestResponse.Question] = []
            while let event = self.machine.nextEvent() { if case .asked(let question, _) = event { questions.append(question) } }
            return questions
        }
    }

    @Test func `questions of others are heard although one household has all places`() throws {
        var asked = Asked()
        for number in 0..<256 as Range<UInt64> {
            _ = try asked.open(number, KnownIdentity.stranger(number / 8), from: "/ip4/203.0.113.5/tcp/\(1 + number)")
        }
        #expect(asked.resets() == [])
        let surplus = try asked.open(300, KnownIdentity.stranger(99), from: "/ip4/203.0.113.5/tcp/9")
        #expect(asked.resets() == [surplus])
        let honest = try asked.open(400, KnownIdentity.make(2).id, from: "/ip4/198.51.100.9/tcp/1")
        #expect(asked.resets() == [StreamID(rawValue: 0)])
        asked.machine.handle(.received(honest, FrameReader.frame([1])), now: asked.now)
        #expect(asked.questions().count == 1)
    }

    @Test func `streams that wait for a next question take no place of questions, and have one when they bring it`() throws {
        var asked = Asked { $0.keepsStreams = true }
        // Everybody has a household of its own, and one stream.
        func open(_ numbers: Range<UInt64>, answering: Bool) throws {
            for number in numbers {
                let address = "/ip4/198.\(30 + number / 40_000).\(number / 200 % 200).\(number % 200)/tcp/1"
                let stream = try asked.open(number, KnownIdentity.stranger(number), from: address)
                asked.machine.handle(.received(stream, FrameReader.frame([1])), now: asked.now)
                let question = try #require(asked.questions().first)
                if answering { try asked.machine.answer(question, with: [2], now: asked.now) }
                asked.machine.handle(.writable(stream), now: asked.now)
            }
        }
        try open(0..<1_024, answering: true)
        try open(2_000..<2_256, answering: false)
        #expect(asked.resets() == [])
        // All places are taken: one that waited has none either, nor has a newcomer. Neither pushes out what others ask.
        let woken = StreamID(rawValue: 5)
        asked.machine.handle(.received(woken, FrameReader.frame([1])), now: asked.now)
        #expect(asked.resets() == [woken])
        let surplus = try asked.open(3_000, KnownIdentity.stranger(3_000), from: "/ip4/203.0.113.5/tcp/9")
        #expect(asked.resets() == [surplus])
        #expect(asked.machine.counters.refused == 2)
        // Beyond their own number the one that waits longest goes, and nobody is blamed.
        asked.machine.handle(.reset(StreamID(rawValue: 2_000)), now: asked.now)
        asked.machine.handle(.reset(StreamID(rawValue: 2_001)), now: asked.now)
        _ = asked.questions()
        try open(4_000..<4_001, answering: true)
        #expect(asked.resets() == [])
        try open(4_001..<4_002, answering: true)
        #expect(asked.resets() == [StreamID(rawValue: 0)])
        #expect(asked.machine.counters.refused == 4)
    }

    @Test func `questions that are half sent take so many bytes together, and the greatest household loses its own`() throws {
        var asked = Asked()
        let honest = try asked.open(0, KnownIdentity.make(2).id, from: "/ip4/198.51.100.9/tcp/1")
        let question = FrameReader.frame([UInt8](repeating: 1, count: 1 << 20))
        asked.machine.handle(.received(honest, Array(question.dropLast())), now: asked.now)
        let beginning = Array(FrameReader.frame([UInt8](repeating: 0, count: 8 << 20)).prefix(7 << 20))
        for number in 1..<100 as Range<UInt64> {
            let stream = try asked.open(number, KnownIdentity.stranger(number / 8), from: "/ip4/203.0.113.5/tcp/\(1 + number)")
            asked.machine.handle(.received(stream, beginning), now: asked.now)
            #expect(asked.machine.heldByteCount < 34 << 20)
        }
        #expect(!asked.resets().contains(honest))
        #expect(asked.machine.counters.refused == 95)
        asked.machine.handle(.received(honest, Array(question.suffix(1))), now: asked.now)
        #expect(asked.questions().count == 1)
        // What is over is counted no more.
        asked.now = .seconds(60)
        asked.machine.tick(now: asked.now)
        while asked.machine.nextCommand() != nil {}
        while asked.machine.nextEvent() != nil {}
        #expect(asked.machine.heldByteCount == 0)
    }

    @Test func `answers that nobody reads or ends are reset when their time is over, and others are left alone`() throws {
        var asked = Asked()
        let streams = try (0..<3).map { try asked.open($0, KnownIdentity.make(2).id, from: "/ip4/198.51.100.9/tcp/1") }
        for stream in streams { asked.machine.handle(.received(stream, FrameReader.frame([1])), now: asked.now) }
        // The first has ended its side and reads, the second does not read, the third does not end.
        for stream in streams[..<2] { asked.machine.handle(.ended(stream), now: asked.now) }
        for question in asked.questions() { try asked.machine.answer(question, with: [2], now: asked.now) }
        for stream in [streams[0], streams[2]] { asked.machine.handle(.writable(stream), now: asked.now) }
        #expect(asked.resets() == [])
        asked.machine.tick(now: .seconds(10))
        #expect(asked.resets().sorted() == Array(streams[1...]))
        #expect(asked.machine.heldByteCount == 0)
        #expect(asked.machine.deadline == nil)
    }

    @Test func `hole punches that peers ask for through one relay leave room for those of others`() throws {
        var machine = DCUtR()
        func ask(_ number: UInt64, relay: UInt8) throws -> Bool {
            let address = "/p2p/\(try KnownIdentity.make(relay).id)/p2p-circuit"
            let info = try Self.connection(number, KnownIdentity.stranger(number), from: address, isLimited: true)
            machine.handle(.inbound(StreamID(rawValue: number), info, protocolID: DCUtR.protocolID), now: .zero)
            var isRefused = false
            while let event = machine.nextEvent() { if case .refused = event { isRefused = true } }
            return !isRefused
        }
        #expect(try (0..<100).filter { try ask($0, relay: 1) }.count == 16)
        #expect(try ask(200, relay: 2))
    }

    @Test func `a peer behind a relay can be reached beside a household that asks for all circuits to it`() throws {
        var server = RelayServer(try KnownIdentity.make(1), unixOffset: .seconds(1_700_000_000), addresses: [])
        func ask(_ peer: PeerID, from address: String, _ number: UInt64, _ message: [UInt8]) throws {
            let info = try Self.connection(number, peer, from: address)
            server.handle(.connected(info), now: .zero)
            server.handle(.inbound(StreamID(rawValue: number), info, protocolID: RelayClient.hopProtocolID), now: .zero)
            server.handle(.received(StreamID(rawValue: number), FrameReader.frame(message)), now: .zero)
        }
        func connect(to target: PeerID) -> [UInt8] {
            ProtobufWriter.message { message in
                message.unsigned(1, field: 1)
                message.message(field: 2) { $0.bytes(target.bytes, field: 1) }
            }
        }
        let target = try KnownIdentity.make(2).id
        try ask(target, from: "/ip4/198.51.100.9/tcp/1", 1, ProtobufWriter.message { $0.unsigned(0, field: 1) })
        #expect(server.isReserved(target))
        for number in 10..<30 as Range<UInt64> {
            try ask(KnownIdentity.stranger(number), from: "/ip4/203.0.113.5/tcp/\(number)", number, connect(to: target))
        }
        #expect(server.circuitCount == 2)
        try ask(KnownIdentity.make(3).id, from: "/ip4/192.0.2.7/tcp/1", 100, connect(to: target))
        #expect(server.circuitCount == 3)
        // Of many households with a peer each as well there are never more than a target takes.
        for number in 200..<230 as Range<UInt64> {
            try ask(KnownIdentity.stranger(number), from: "/ip4/9.9.9.\(number)/tcp/1", number, connect(to: target))
        }
        #expect(server.circuitCount == 4)
        // All have ended: nothing is counted any more.
        server.tick(now: .seconds(16))
        #expect(server.circuitCount == 0)
        try ask(KnownIdentity.make(4).id, from: "/ip4/203.0.113.5/tcp/1", 300, connect(to: target))
        #expect(server.circuitCount == 1)
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
