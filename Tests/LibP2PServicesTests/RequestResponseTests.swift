import LibP2P
import Testing

private let protocolID = "/test/1"

private struct Pair {
    var network: TestNetwork
    let peers: [PeerID]

    /// The second is a machine, or does what the test says.
    init(seed: UInt64 = 1, secondIsPuppet: Bool = false) throws {
        self.network = TestNetwork(seed: seed)
        let identities = [try KnownIdentity.make(1), try KnownIdentity.make(2)]
        self.peers = identities.map(\.id)
        for (index, identity) in identities.enumerated() {
            let isPuppet = secondIsPuppet && index == 1
            _ = self.network.add(identity, isPuppet ? [Puppet(serving: [protocolID])] : [Self.machine()])
        }
        try self.network.connect(0, 1)
    }

    static func machine() -> RequestResponse {
        var configuration = RequestResponse.Configuration(protocolIDs: [protocolID], requestByteCountMax: 1_000, answerByteCountMax: 5_000)
        configuration.parallelRequestsPerPeerMax = 2
        configuration.parallelQuestionsPerPeerMax = 2
        configuration.waitingPerPeerMax = 4
        return RequestResponse(configuration: configuration)
    }

    @discardableResult
    mutating func send(_ body: [UInt8]) throws -> RequestResponse.RequestID {
        let peer = self.peers[1]
        return try self.network.with(0, RequestResponse.self) { machine, now in try machine.send(body, to: peer, now: now) }
    }

    func events(_ node: Int) -> [RequestResponse.Event] { self.network.events(node, RequestResponse.self) }

    var questions: [(RequestResponse.Question, [UInt8])] {
        self.events(1).compactMap { if case .asked(let question, let body) = $0 { (question, body) } else { nil } }
    }

    mutating func answer(_ question: RequestResponse.Question, _ body: [UInt8]) throws {
        try self.network.with(1, RequestResponse.self) { machine, now in try machine.answer(question, with: body, now: now) }
    }
}

struct `A request` {
    @Test(arguments: UInt64(1)...20)
    func `is answered, however it is cut`(seed: UInt64) throws {
        var pair = try Pair(seed: seed)
        pair.network.pieceByteCountMax = 300
        let id = try pair.send([UInt8](repeating: 3, count: 1_000))
        pair.network.run(for: .seconds(1))
        let (question, body) = try #require(pair.questions.first)
        #expect(body == [UInt8](repeating: 3, count: 1_000))
        #expect(question.peer == pair.peers[0])
        try pair.answer(question, [UInt8](repeating: 4, count: 5_000))
        pair.network.run(for: .seconds(1))
        #expect(pair.events(0) == [.answered(id, by: pair.peers[1], [UInt8](repeating: 4, count: 5_000))])
        #expect(pair.network.machine(0, RequestResponse.self).heldByteCount == 0)
        #expect(pair.network.machine(1, RequestResponse.self).heldByteCount == 0)
    }

    @Test func `waits for its turn, within a bound`() throws {
        var pair = try Pair()
        for number in UInt8(0)..<6 { try pair.send([number]) }
        #expect(throws: RequestResponseError.tooManyWaiting(maximum: 4)) { try pair.send([6]) }
        #expect(throws: RequestResponseError.tooLong(byteCount: 1_001, limit: 1_000)) { try pair.send([UInt8](repeating: 0, count: 1_001)) }
        for round in 1...3 {
            pair.network.run(for: .seconds(1))
            #expect(pair.questions.count == 2 * round)
            for (question, body) in pair.questions.suffix(2) { try pair.answer(question, body) }
        }
        pair.network.run(for: .seconds(1))
        #expect(pair.network.machine(0, RequestResponse.self).counters.answered == 6)
    }

    @Test func `that nobody answers fails on both sides, once`() throws {
        var pair = try Pair()
        let id = try pair.send([1])
        pair.network.run(for: .seconds(30))
        #expect(pair.events(0).count == 1)
        #expect([.failed(id, to: pair.peers[1], .timedOut), .failed(id, to: pair.peers[1], .ended)].contains(pair.events(0)[0]))
        let (question, _) = try #require(pair.questions.first)
        #expect(pair.events(1).last == .refused(pair.peers[0], question, .notAnswered))
        // An answer that comes too late goes nowhere.
        try pair.answer(question, [1])
        pair.network.run(for: .seconds(1))
        #expect(pair.events(0).count == 1)
    }

    @Test func `whose answer nobody reads, or whose stream nobody ends, is told and counted`() throws {
        let request = FrameReader.frame([1])
        for takesAnswer in [false, true] {
            var pair = try Pair(secondIsPuppet: true)
            // The puppet asks the machine.
            let stream = pair.network.open(1, to: 0, protocolID)
            pair.network.command(1, .write(stream, request))
            pair.network.run(for: .seconds(1))
            guard case .asked(let question, [1])? = pair.events(0).last else {
                Issue.record("\(pair.events(0))")
                return
            }
            pair.network.takesNothing = !takesAnswer
            try pair.network.with(0, RequestResponse.self) { machine, now in try machine.answer(question, with: [2], now: now) }
            pair.network.run(for: .seconds(11))
            #expect(pair.events(0).last == .refused(pair.peers[1], nil, .answerNotTaken))
            #expect(pair.network.machine(0, RequestResponse.self).counters.refused == 1)
            #expect(pair.network.machine(0, RequestResponse.self).heldByteCount == 0)
        }
    }

    @Test func `that is refused fails`() throws {
        var pair = try Pair()
        let id = try pair.send([1])
        pair.network.run(for: .seconds(1))
        let (question, _) = try #require(pair.questions.first)
        pair.network.with(1, RequestResponse.self) { machine, _ in machine.refuse(question) }
        pair.network.run(for: .seconds(1))
        #expect(pair.events(0) == [.failed(id, to: pair.peers[1], .ended)])
    }

    @Test(
        arguments: [
            ([0x88, 0x27, 1], RequestResponseError.ended), ([0x89, 0x27], .frame(.tooLong(byteCount: 5_001, limit: 5_000))),
            ([1, 7, 7], .bytesBehind), ([0x80, 0], .frame(.length(.notMinimal))), ([], .ended),
        ] as [([UInt8], RequestResponseError)])
    func `with a wrong answer fails`(answer: [UInt8], error: RequestResponseError) throws {
        var pair = try Pair(secondIsPuppet: true)
        pair.network.pieceByteCountMax = 1 << 20
        let id = try pair.send([1])
        pair.network.run(for: .seconds(1))
        let stream = try #require(pair.network.machine(1, Puppet.self).inbound.first)
        // In one piece, whatever the seed.
        if !answer.isEmpty { pair.network.inject(to: 0, of: stream, at: 1, answer) }
        pair.network.command(1, .closeWrite(stream))
        pair.network.run(for: .seconds(1))
        #expect(pair.events(0) == [.failed(id, to: pair.peers[1], error)])
    }

    @Test func `of a stranger is bounded in number, length and time`() throws {
        var pair = try Pair(secondIsPuppet: true)
        let streams = (0..<100).map { _ in pair.network.open(1, to: 0, protocolID) }
        #expect(pair.network.machine(0, RequestResponse.self).counters.refused == 98)
        for stream in streams.prefix(1) { pair.network.command(1, .write(stream, [0xff, 0xff, 0xff, 0xff, 0x7f])) }
        for stream in streams[1...1] { pair.network.command(1, .write(stream, [0xe8, 0x07] + [UInt8](repeating: 1, count: 999))) }
        pair.network.run(for: .seconds(1))
        #expect(pair.events(0).last == .refused(pair.peers[1], nil, .frame(.tooLong(byteCount: 0x7_ffff_ffff, limit: 1_000))))
        #expect(pair.network.heldByteCountMax < 3_000)
        pair.network.run(for: .seconds(30))
        #expect(pair.network.machine(1, Puppet.self).reset == Set(streams))
        #expect(pair.network.machine(0, RequestResponse.self).heldByteCount == 0)
        #expect(pair.network.machine(0, RequestResponse.self).counters.asked == 0)
    }
}
