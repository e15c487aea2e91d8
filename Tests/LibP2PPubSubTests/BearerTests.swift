import Testing

@testable import LibP2P

/// Peer 1 is honest and passes on what a stranger made and other implementations take.
struct `Who bears a message that others take` {
    /// A message with something changed, signed again as it then is.
    static func signed(_ author: Int, _ sequence: UInt8, _ change: (inout PubSubMessage) -> Void) -> PubSubMessage {
        var message = PubSubMessage.by(author, sequence)
        change(&message)
        message.signature = Known.identities[author].sign(message.signedBytes)
        return message
    }

    /// An Ed25519 key of order 8, as a peer id.
    static let smallOrderAuthor: [UInt8] = [
        0x00, 0x24, 0x08, 0x01, 0x12, 0x20, 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
        0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ]

    static let messages: [(GossipsubRefusal, @Sendable (UInt8) -> PubSubMessage)] = [
        (.unusualSequence, { round in Self.signed(9 + Int(round), 1) { $0.sequence = nil } }),
        (.unusualSequence, { round in Self.signed(9, 1) { $0.sequence = [round] } }),
        (.unusualSequence, { round in Self.signed(9, 1) { $0.sequence = [round] + [UInt8](repeating: 1, count: 100) } }),
        (.idTooLong, { round in Self.signed(9, 1) { $0.sequence = [round] + [UInt8](repeating: 1, count: 300) } }),
        (.unverifiableAuthor, { round in Self.signed(9, round) { $0.from = Self.smallOrderAuthor } }),
        (.unverifiableAuthor, { round in Self.signed(9, round) { $0.from = [0x12, 0x20] + [UInt8](repeating: round, count: 32) } }),
        (.unverifiableAuthor, { round in Self.signed(9, round) { $0.key = [8, 7, 0x12, 1, 0] } }),
        (
            .disputedSignature,
            { round in
                var message = PubSubMessage.by(9, round)
                message.unknownFields = [0x38, 0x01]
                return message
            }
        ),
    ]

    @Test(arguments: 0..<8)
    func `is not charged where only this implementation refuses it`(index: Int) throws {
        var bench = try `A gossipsub node under abuse`.bench()
        let (refusal, make) = Self.messages[index]
        for round in UInt8(1)...10 {
            let message = make(round)
            // Announced, asked for and brought: that is a kept word.
            bench.receive(1) { $0.haves = [.init(topic: "t", ids: [message.id])] }
            bench.receive(1) { $0.messages = [message] }
            bench.receive(2) { $0.messages = [message] }
            bench.pass(.seconds(1))
        }
        #expect(bench.refusals(refusal) >= 10)
        #expect(bench.delivered == [])
        bench.pass(.seconds(5))
        #expect(bench.refusals(.brokenPromise) == 0)
        for peer in 1...2 {
            #expect(bench.score(peer) >= 0)
            #expect(bench.machine.meshPeers("t").contains(bench.id(peer)))
        }
        bench.receive(1) { $0.messages = [.by(9, 200)] }
        #expect(bench.delivered == [.by(9, 200)])
    }

    @Test func `is not asked again for what can only be refused`() throws {
        var bench = try `A gossipsub node under abuse`.bench()
        let message = Self.signed(9, 1) { $0.sequence = [7] }
        for peer in 1...2 { bench.receive(peer) { $0.haves = [.init(topic: "t", ids: [message.id])] } }
        bench.receive(1) { $0.messages = [message] }
        #expect(bench.machine.promises.isEmpty)
        bench.receive(2) { $0.messages = [message] }
        #expect(bench.machine.counters.duplicates == 1)
        _ = try bench.sent(to: 3)
        bench.receive(3) { $0.haves = [.init(topic: "t", ids: [message.id])] }
        #expect(try bench.sent(to: 3).wants == [])
    }

    @Test func `keeps no true message out with a message that has its id`() throws {
        for change in [{ $0.key = [1] }, { $0.unknownFields = [0x38, 0x01] }] as [(inout PubSubMessage) -> Void] {
            var bench = try `A gossipsub node under abuse`.bench()
            var message = PubSubMessage.by(9, 1)
            change(&message)
            bench.receive(1) { $0.messages = [message] }
            bench.receive(2) { $0.messages = [.by(9, 1)] }
            #expect(bench.delivered == [.by(9, 1)])
        }
    }

    @Test func `without data finds it taken, signed with an empty field or with none`() throws {
        for isWritten in [false, true] {
            var bench = try `A gossipsub node under abuse`.bench()
            var message = PubSubMessage.by(9, 1, data: [])
            message.hasDataField = isWritten
            message.signature = Known.identities[9].sign(message.signedBytes)
            var sent = message
            sent.hasDataField = false
            bench.receive(1) { $0.messages = [sent] }
            #expect(bench.delivered == [message])
            // Passed on in the form that others verify.
            #expect(try bench.sent(to: 2).messages == [message])
            #expect(bench.score(1) > 0)
        }
        var bench = try `A gossipsub node under abuse`.bench()
        var forged = PubSubMessage.by(9, 1)
        (forged.data, forged.hasDataField) = ([], false)
        bench.receive(1) { $0.messages = [forged] }
        #expect(bench.refusals(.wrongSignature) == 1)
        #expect(bench.score(1) == -10)
    }

    @Test(
        arguments: [
            // A group, the end of none, a field number of 2²⁹, and a number whose tenth byte has more than the 64th bit.
            [0x3b, 0x3c], [0x3c], [0x80, 0x80, 0x80, 0x80, 0x10, 0x00], [0x38] + [UInt8](repeating: 0xff, count: 9) + [0x7f],
        ] as [[UInt8]])
    func `keeps its stream and its score where one message of a frame cannot be read`(field: [UInt8]) throws {
        var bench = try `A gossipsub node under abuse`.bench()
        bench.commands = []
        for round in UInt8(1)...10 {
            let odd = PubSubMessage.by(9, round)
            bench.receive(1) { $0.haves = [.init(topic: "t", ids: [odd.id])] }
            var (before, after) = (PubSubRPC(), PubSubRPC())
            before.messages = [.by(10, round)]
            after.messages = [.by(11, round)]
            let middle = ProtobufWriter.message { $0.bytes(odd.encoded + field, field: 2) }
            bench.receive(1, bytes: FrameReader.frame(before.encoded + middle + after.encoded))
            bench.pass(.seconds(1))
        }
        #expect(bench.delivered.count == 20)
        #expect(bench.refusals(.unreadableMessage) == 10)
        #expect(!bench.commands.contains { if case .reset = $0 { true } else { false } })
        bench.pass(.seconds(5))
        #expect(bench.refusals(.brokenPromise) == 0)
        #expect(bench.score(1) > 0)
    }

    @Test func `may announce ids and topics longer than are read here`() throws {
        var bench = try `A gossipsub node under abuse`.bench()
        let long = PubSubMessageID([UInt8](repeating: 7, count: 300))
        for _ in 0..<10 {
            bench.receive(1) { rpc in
                rpc.haves = [.init(topic: "t", ids: [long])]
                rpc.doNotWants = [long]
                rpc.subscriptions = [.init(topic: String(repeating: "x", count: 300), isOn: true)]
            }
            bench.pass(.seconds(1))
        }
        #expect(bench.refusals(.surplusEntries) == 30)
        #expect(bench.score(1) >= 0)
    }

    @Test func `may announce in more frames, and more ids, than are read in a heartbeat`() throws {
        var bench = try `A gossipsub node under abuse`.bench()
        var brought: UInt8 = 0
        for round in 0..<10 {
            // py-libp2p: a frame for each of twenty topics. What was asked for comes.
            for topic in 0..<20 { bench.receive(1) { $0.haves = [.init(topic: "topic \(topic)", ids: [PubSubMessageID([UInt8(topic)])])] } }
            brought += 1
            bench.receive(1) { $0.messages = [.by(9, brought)] }
            bench.receive(3) { rpc in
                rpc.haves = (0..<3).map { .init(topic: "other", ids: `A gossipsub node under abuse`.inventedIDs(4_000, round * 3 + $0)) }
            }
            bench.pass(.seconds(1))
        }
        #expect(bench.refusals(.haveFlood) == 100)
        #expect(bench.refusals(.surplusEntries) == 70_000)
        for peer in [1, 3] { #expect(bench.score(peer) >= 0) }
    }
}

struct `Gossip that waits` {
    @Test func `leaves in frames that no receiver finds too full`() throws {
        var (outbox, limits) = (GossipsubOutbox(), GossipsubLimits())
        limits.haveIDCountMax = 20_000
        let ids = (0..<4_000).map { PubSubMessageID([UInt8($0 >> 8), UInt8($0 & 255)]) }
        for topic in ["a", "b", "c"] {
            let isTaken = outbox.tell(.init(topic: topic, ids: ids), limits)
            #expect(isTaken)
        }
        let isTaken = outbox.ask((0..<12_000).map { PubSubMessageID([UInt8($0 >> 8), UInt8($0 & 255)]) }, limits)
        #expect(isTaken)
        var (reader, told, asked) = (FrameReader(byteCountMax: PubSubRPC.byteCountMax), [String: Int](), 0)
        while let bytes = outbox.next(unwanted: [:]) {
            let rpc = try PubSubRPC(parsing: try #require(try reader.receive(bytes).first))
            #expect(rpc.surplusCount == 0)
            #expect(rpc.haves.reduce(0) { $0 + $1.ids.count } <= 5_000)
            for have in rpc.haves { told[have.topic, default: 0] += have.ids.count }
            asked += rpc.wants.count
        }
        #expect(told == ["a": 4_000, "b": 4_000, "c": 4_000])
        #expect(asked == 12_000)
        #expect(outbox.isEmpty && outbox.heldByteCount == 0)
    }
}
