import LibP2P
import Testing

private let protocolID = "/kept/1"

/// Two nodes, the second of which answers whatever it is asked, with the same bytes; or does what the test says.
private struct Talk {
    var network: TestNetwork
    let peers: [PeerID]

    init(seed: UInt64 = 1, secondIsPuppet: Bool = false, _ change: (inout RequestResponse.Configuration) -> Void = { _ in }) throws {
        self.network = TestNetwork(seed: seed)
        let identities = [try KnownIdentity.make(1), try KnownIdentity.make(2)]
        self.peers = identities.map(\.id)
        var configuration = RequestResponse.Configuration(protocolIDs: [protocolID], requestByteCountMax: 1_000, answerByteCountMax: 1_000)
        configuration.keepsStreams = true
        change(&configuration)
        for (index, identity) in identities.enumerated() {
            let isPuppet = secondIsPuppet && index == 1
            _ = self.network.add(
                identity, isPuppet ? [Puppet(serving: [protocolID])] : [RequestResponse(configuration: configuration)])
        }
        try self.network.connect(0, 1)
    }

    @discardableResult
    mutating func send(_ body: [UInt8]) throws -> RequestResponse.RequestID {
        let peer = self.peers[1]
        return try self.network.with(0, RequestResponse.self) { machine, now in try machine.send(body, to: peer, now: now) }
    }

    /// Answers all questions that the second has not answered, with what they said.
    mutating func answerAll(_ answered: inout Int) throws {
        self.network.run(for: .seconds(1))
        for case .asked(let question, let body) in self.network.events(1, RequestResponse.self).dropFirst(answered) {
            try self.network.with(1, RequestResponse.self) { machine, now in try machine.answer(question, with: body, now: now) }
        }
        answered = self.network.events(1, RequestResponse.self).count
        self.network.run(for: .seconds(1))
    }

    /// A stream on which the second, a puppet, has answered once.
    mutating func keepStream() throws -> StreamID {
        try self.send([1])
        self.network.run(for: .seconds(1))
        let stream = try #require(self.network.machine(1, Puppet.self).inbound.first)
        self.network.command(1, .write(stream, FrameReader.frame([9])))
        self.network.run(for: .seconds(1))
        return stream
    }

    func events(_ node: Int) -> [RequestResponse.Event] { self.network.events(node, RequestResponse.self) }
    func counters(_ node: Int) -> RequestResponse.Counters { self.network.machine(node, RequestResponse.self).counters }
    func heldByteCount(_ node: Int) -> Int { self.network.machine(node, RequestResponse.self).heldByteCount }
}

struct `A stream that is kept` {
    @Test(arguments: UInt64(1)...10)
    func `serves one request after the other, each with its own answer, however they are cut`(seed: UInt64) throws {
        var talk = try Talk(seed: seed)
        talk.network.pieceByteCountMax = 7
        var answered = 0
        var expected: [RequestResponse.Event] = []
        for number in UInt8(0)..<20 {
            let body = [UInt8](repeating: number, count: Int(number) * 50)
            expected.append(.answered(try talk.send(body), by: talk.peers[1], body))
            try talk.answerAll(&answered)
        }
        #expect(talk.events(0) == expected)
        #expect((talk.counters(0).sent, talk.counters(0).sentOnKept) == (20, 19))
        // Nothing is kept for ever.
        talk.network.run(for: .seconds(41))
        #expect((talk.heldByteCount(0), talk.heldByteCount(1)) == (0, 0))
        #expect((talk.counters(0).refused, talk.counters(1).refused) == (0, 0))
        #expect(talk.network.machine(0, RequestResponse.self).deadline == nil)
    }

    @Test func `serves as many at once as there are streams, and no more wait`() throws {
        var talk = try Talk { $0.parallelRequestsPerPeerMax = 3 }
        var answered = 0
        for round in 0..<3 {
            for number in UInt8(0)..<6 { try talk.send([number]) }
            for _ in 0..<3 { try talk.answerAll(&answered) }
            #expect(talk.counters(0).answered == 6 * (round + 1))
        }
        #expect((talk.counters(0).sent, talk.counters(0).sentOnKept) == (18, 15))
    }

    @Test func `that the peer gives up as a request goes has the request told again, on another one`() throws {
        for resets in [true, false] {
            var talk = try Talk(secondIsPuppet: true)
            let first = try talk.keepStream()
            // The two cross.
            let id = try talk.send([2])
            talk.network.command(1, resets ? .reset(first) : .closeWrite(first))
            talk.network.run(for: .seconds(1))
            let second = try #require(talk.network.machine(1, Puppet.self).inbound.dropFirst().first)
            #expect(talk.network.machine(1, Puppet.self).received[second] == FrameReader.frame([2]))
            talk.network.command(1, .write(second, FrameReader.frame([8])))
            talk.network.run(for: .seconds(1))
            #expect(talk.events(0).last == .answered(id, by: talk.peers[1], [8]))
            #expect(talk.counters(0).failed == 0)
        }
    }

    @Test func `has its request told again once, not for ever`() throws {
        var talk = try Talk(secondIsPuppet: true)
        let first = try talk.keepStream()
        let id = try talk.send([2])
        talk.network.command(1, .reset(first))
        talk.network.run(for: .seconds(1))
        let second = try #require(talk.network.machine(1, Puppet.self).inbound.dropFirst().first)
        talk.network.command(1, .reset(second))
        talk.network.run(for: .seconds(1))
        #expect(talk.events(0).last == .failed(id, to: talk.peers[1], .ended))
        #expect(talk.network.machine(1, Puppet.self).inbound.count == 2)
        #expect(talk.heldByteCount(0) == 0)
    }

    @Test func `whose answer has begun is not asked again`() throws {
        var talk = try Talk(secondIsPuppet: true)
        let stream = try talk.keepStream()
        let id = try talk.send([2])
        talk.network.command(1, .write(stream, [5, 1]))
        talk.network.run(for: .seconds(1))
        talk.network.command(1, .reset(stream))
        talk.network.run(for: .seconds(1))
        #expect(talk.events(0).last == .failed(id, to: talk.peers[1], .ended))
        #expect(talk.network.machine(1, Puppet.self).inbound.count == 1)
    }

    @Test func `is let go when a new connection may be a better one, also after an answer that comes later`() throws {
        var talk = try Talk()
        var answered = 0
        try talk.send([1])
        try talk.answerAll(&answered)
        try talk.network.connect(0, 1, listenerAddress: "/ip4/127.0.0.1/tcp/4003")
        try talk.send([2])
        talk.network.run(for: .seconds(1))
        try talk.network.connect(0, 1, listenerAddress: "/ip4/127.0.0.1/tcp/4004")
        try talk.answerAll(&answered)
        try talk.send([3])
        try talk.answerAll(&answered)
        #expect((talk.counters(0).answered, talk.counters(0).sentOnKept) == (3, 0))
        try talk.send([4])
        try talk.answerAll(&answered)
        #expect((talk.counters(0).answered, talk.counters(0).sentOnKept) == (4, 1))
    }

    @Test func `on which bytes come that nobody asked for is reset, told and counted`() throws {
        var talk = try Talk(secondIsPuppet: true)
        let stream = try talk.keepStream()
        talk.network.command(1, .write(stream, FrameReader.frame([9])))
        talk.network.run(for: .seconds(1))
        #expect(talk.events(0).last == .refused(talk.peers[1], nil, .bytesBehind))
        #expect(talk.network.machine(1, Puppet.self).reset == [stream])
        #expect((talk.counters(0).refused, talk.heldByteCount(0)) == (1, 0))
    }

    @Test func `is closed by an answerer that keeps none, and costs nobody anything`() throws {
        var network = TestNetwork()
        let identities = [try KnownIdentity.make(1), try KnownIdentity.make(2)]
        for (index, identity) in identities.enumerated() {
            var configuration = RequestResponse.Configuration(protocolIDs: [protocolID], requestByteCountMax: 100, answerByteCountMax: 100)
            configuration.keepsStreams = index == 0
            _ = network.add(identity, [RequestResponse(configuration: configuration)])
        }
        try network.connect(0, 1)
        for (asker, other) in [(0, 1), (1, 0)] {
            let peer = identities[other].id
            for number in 1...3 {
                let id = try network.with(asker, RequestResponse.self) { machine, now in try machine.send([1], to: peer, now: now) }
                network.run(for: .seconds(1))
                guard case .asked(let question, [1])? = network.events(other, RequestResponse.self).last else {
                    Issue.record("request \(number) of \(asker) did not come")
                    return
                }
                try network.with(other, RequestResponse.self) { machine, now in try machine.answer(question, with: [2], now: now) }
                network.run(for: .seconds(1))
                #expect(network.events(asker, RequestResponse.self).last == .answered(id, by: peer, [2]))
            }
        }
        for node in 0...1 {
            #expect(network.machine(node, RequestResponse.self).heldByteCount == 0)
            #expect(network.machine(node, RequestResponse.self).counters.refused == 0)
            #expect(network.machine(node, RequestResponse.self).counters.sentOnKept == 0)
        }
    }
}

struct `A peer whose streams are kept` {
    /// The second, a puppet, asks on a stream of its own, again and again.
    private static func ask(_ talk: inout Talk, on stream: StreamID, takesAnswers: Bool = true, count: Int = 1) throws -> Int {
        for number in 0..<count {
            let before = talk.events(0).count
            talk.network.command(1, .write(stream, FrameReader.frame([UInt8(number)])))
            talk.network.run(for: .milliseconds(100))
            guard case .asked(let question, _)? = talk.events(0).dropFirst(before).last else { return number }
            talk.network.takesNothing = !takesAnswers
            try talk.network.with(0, RequestResponse.self) { machine, now in try machine.answer(question, with: [7], now: now) }
            talk.network.run(for: .milliseconds(100))
            talk.network.takesNothing = false
        }
        return count
    }

    @Test func `asks as often as it likes, as long as it reads the answers`() throws {
        var talk = try Talk(secondIsPuppet: true)
        let stream = talk.network.open(1, to: 0, protocolID)
        #expect(try Self.ask(&talk, on: stream, count: 100) == 100)
        let other = talk.network.open(1, to: 0, protocolID)
        #expect(try Self.ask(&talk, on: other, takesAnswers: false, count: 100) == 5)
        #expect(talk.events(0).last == .refused(talk.peers[1], nil, .answerNotTaken))
        #expect(talk.network.machine(1, Puppet.self).reset == [other])
        // The other stream goes on.
        #expect(try Self.ask(&talk, on: stream) == 1)
    }

    @Test func `has as much time for each request as for the first, and none to send it byte by byte`() throws {
        var talk = try Talk(secondIsPuppet: true)
        let stream = talk.network.open(1, to: 0, protocolID)
        #expect(try Self.ask(&talk, on: stream) == 1)
        talk.network.run(for: .seconds(39))
        #expect(try Self.ask(&talk, on: stream) == 1)
        for byte in FrameReader.frame([UInt8](repeating: 1, count: 100)).prefix(9) {
            talk.network.command(1, .write(stream, [byte]))
            talk.network.run(for: .milliseconds(1_100))
        }
        #expect(talk.network.machine(1, Puppet.self).reset == [])
        talk.network.run(for: .milliseconds(200))
        #expect(talk.events(0).last == .refused(talk.peers[1], nil, .timedOut))
        #expect(talk.network.machine(1, Puppet.self).reset == [stream])
    }

    @Test func `loses one that waits when it opens more than it may have, and nobody is blamed`() throws {
        var talk = try Talk(secondIsPuppet: true) { $0.parallelQuestionsPerPeerMax = 2 }
        let streams = [talk.network.open(1, to: 0, protocolID), talk.network.open(1, to: 0, protocolID)]
        for stream in streams { #expect(try Self.ask(&talk, on: stream) == 1) }
        let third = talk.network.open(1, to: 0, protocolID)
        talk.network.run(for: .seconds(1))
        #expect(talk.network.machine(1, Puppet.self).reset == [streams[0]])
        #expect(talk.counters(0).refused == 0)
        #expect(try Self.ask(&talk, on: third) == 1)
        #expect(try Self.ask(&talk, on: streams[1]) == 1)
    }

    @Test func `is answered once for each, also where somebody answers twice`() throws {
        var talk = try Talk(secondIsPuppet: true)
        let stream = talk.network.open(1, to: 0, protocolID)
        talk.network.command(1, .write(stream, FrameReader.frame([1])))
        talk.network.run(for: .seconds(1))
        guard case .asked(let first, [1])? = talk.events(0).last else {
            Issue.record("it was not asked")
            return
        }
        for _ in 0..<2 { try talk.network.with(0, RequestResponse.self) { machine, now in try machine.answer(first, with: [5], now: now) } }
        talk.network.command(1, .write(stream, FrameReader.frame([2])))
        talk.network.run(for: .seconds(1))
        // An answer to the first one is none to the second, and does not refuse it either.
        try talk.network.with(0, RequestResponse.self) { machine, now in
            try machine.answer(first, with: [6], now: now)
            machine.refuse(first)
        }
        talk.network.run(for: .seconds(1))
        #expect(talk.network.machine(1, Puppet.self).received[stream] == FrameReader.frame([5]))
        #expect(talk.network.machine(1, Puppet.self).reset == [])
    }

    @Test func `gets its answer also where it has said all together with its request, as nodes do that keep none`() throws {
        var configuration = RequestResponse.Configuration(protocolIDs: [protocolID], requestByteCountMax: 100, answerByteCountMax: 100)
        configuration.keepsStreams = true
        for endsFirst in [false, true] {
            var machine = RequestResponse(configuration: configuration)
            let info = ConnectionInfo(
                id: ConnectionID(rawValue: 1), peer: try KnownIdentity.make(2).id, isOutbound: false,
                remoteAddress: try Multiaddr(text: "/ip4/127.0.0.1/tcp/1"), isLimited: false)
            let stream = StreamID(rawValue: 1)
            // All that came at once is taken before anything that follows from it is done.
            machine.handle(.inbound(stream, info, protocolID: protocolID), now: .zero)
            machine.handle(.received(stream, FrameReader.frame([1])), now: .zero)
            if endsFirst { machine.handle(.ended(stream), now: .zero) }
            guard case .asked(let question, [1])? = machine.nextEvent() else {
                Issue.record("it was not asked")
                return
            }
            try machine.answer(question, with: [2], now: .zero)
            if !endsFirst { machine.handle(.ended(stream), now: .zero) }
            var commands: [ProtocolCommand] = []
            while let command = machine.nextCommand() { commands.append(command) }
            #expect(commands == [.write(stream, FrameReader.frame([2])), .closeWrite(stream)])
            machine.handle(.writable(stream), now: .zero)
            #expect(machine.heldByteCount == 0 && machine.deadline == nil && machine.nextEvent() == nil)
        }
    }

    @Test func `keeps the stream that it uses, and loses the one that waits longest`() throws {
        var talk = try Talk(secondIsPuppet: true) { $0.keptQuestionsMax = 2 }
        let streams = (0..<3).map { _ in talk.network.open(1, to: 0, protocolID) }
        for stream in [streams[0], streams[1], streams[0], streams[2]] { #expect(try Self.ask(&talk, on: stream) == 1) }
        talk.network.run(for: .seconds(1))
        #expect(talk.network.machine(1, Puppet.self).reset == [streams[1]])
        #expect(talk.counters(0).refused == 0)
    }

    @Test func `may end its side between two requests`() throws {
        var talk = try Talk(secondIsPuppet: true)
        let stream = talk.network.open(1, to: 0, protocolID)
        #expect(try Self.ask(&talk, on: stream) == 1)
        talk.network.command(1, .closeWrite(stream))
        talk.network.run(for: .seconds(1))
        #expect(talk.network.machine(1, Puppet.self).ended == [stream])
        #expect((talk.counters(0).refused, talk.heldByteCount(0)) == (0, 0))
    }
}
