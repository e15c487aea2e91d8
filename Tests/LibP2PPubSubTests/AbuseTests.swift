import Testing

@testable import LibP2P

/// Peer 1 does what no honest peer does.
struct `A gossipsub node under abuse` {
    static func bench(_ configure: (inout GossipsubParameters) -> Void = { _ in }) throws -> Bench {
        var bench = Bench(configure)
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...3 { try bench.connect(peer, topics: ["t"]) }
        for peer in 1...3 { _ = try bench.sent(to: peer) }
        return bench
    }

    static func inventedIDs(_ count: Int, _ salt: Int = 0) -> [PubSubMessageID] {
        (0..<count).map { PubSubMessageID([UInt8(salt & 255), UInt8($0 >> 8), UInt8($0 & 255), 1]) }
    }

    @Test func `gives up the frame that has come for longest when too many have not come whole`() throws {
        var bench = Bench { $0.limits.unfinishedByteCountMax = 3_000_000 }
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...20 { try bench.connect(peer, topics: ["t"]) }
        bench.commands = []
        var rpc = PubSubRPC()
        rpc.messages = [.by(30, 1, data: [UInt8](repeating: 7, count: 900_000))]
        let frame = FrameReader.frame(rpc.encoded)
        // Twenty begin a frame, the last of them an honest one.
        for peer in 1...20 {
            bench.now += .milliseconds(10)
            bench.receive(peer, bytes: Array(frame.prefix(800_000)))
            #expect(bench.machine.unfinishedByteCount <= 3_000_000)
            #expect(bench.machine.heldByteCount < 3_500_000)
        }
        #expect(bench.refusals(.unfinishedFrame) == 17)
        #expect(bench.commands.filter { if case .reset = $0 { true } else { false } }.count == 17)
        #expect(bench.score(1) >= 0)
        bench.receive(20, bytes: Array(frame.dropFirst(800_000)))
        #expect(bench.delivered == rpc.messages)
        #expect(bench.machine.unfinishedByteCount == 2 * 800_000)
        // What goes otherwise is not counted any more.
        bench.disconnect(19)
        bench.openAgain(18)
        #expect(bench.machine.unfinishedByteCount == 0)
        bench.receive(18, bytes: Array(frame.prefix(10)))
        bench.receive(18, bytes: [UInt8](repeating: 255, count: 1_000_000))
        #expect(bench.refusals(.malformedFrame) == 1)
        #expect(bench.machine.unfinishedByteCount == 0)
    }

    @Test func `shuts out who sends messages that do not verify, and only that peer`() throws {
        let forgeries: [(GossipsubRefusal, (inout PubSubMessage) -> Void)] = [
            (.wrongSignature, { $0.from = Known.identities[5].id.bytes }),
            (.wrongSignature, { $0.data = [] }),
            (.forgedAuthor, { $0.key = Known.identities[5].publicKey.encoded }),
            (.missingFields, { $0.signature = nil }),
        ]
        for (refusal, change) in forgeries {
            var bench = try Self.bench()
            var message = PubSubMessage.by(9, 0)
            change(&message)
            bench.receive(1) { $0.messages = [message] }
            #expect(bench.refusals(refusal) == 1)
            #expect(bench.events.contains(.refused(bench.id(1), refusal)))
            #expect(bench.delivered == [])
            #expect(bench.score(1) == -10)
            // A forgery does not keep the true message out.
            bench.receive(2) { $0.messages = [.by(9, 0)] }
            #expect(bench.delivered == [.by(9, 0)])
        }
        var bench = try Self.bench()
        bench.receive(2) { $0.messages = [.by(9, 0)] }
        for sequence in UInt8(1)...3 {
            var message = PubSubMessage.by(9, sequence)
            message.data = []
            bench.receive(1) { $0.messages = [message] }
        }
        #expect(bench.score(1) == -90)
        bench.receive(1) { $0.messages = [.by(9, 7)] }
        #expect(bench.delivered.count == 1)
        #expect(bench.refusals(.graylisted) == 1)
        bench.pass(.seconds(1))
        #expect(!bench.machine.meshPeers("t").contains(bench.id(1)))
        // Dialling again does not help; time does.
        bench.disconnect(1)
        #expect(bench.score(1) < -80)
        try bench.connect(1, topics: ["t"])
        #expect(bench.score(1) < -80)
        bench.pass(.seconds(3_000))
        #expect(bench.score(1) > -10)
    }

    @Test func `looks at no more of a frame once its sender has shown what it is`() throws {
        var bench = try Self.bench()
        let forgeries = (0..<200).map { number in
            var message = PubSubMessage.by(9, UInt8(number))
            message.data = []
            return message
        }
        bench.receive(1) { rpc in
            rpc.messages = forgeries
            rpc.subscriptions = [.init(topic: "late", isOn: true)]
            rpc.prunes = [.init(topic: "t")]
        }
        #expect(bench.refusals(.wrongSignature) == 3)
        #expect(bench.refusals(.graylisted) == 197)
        #expect(!bench.events.contains(.pruned(bench.id(1), topic: "t", byPeer: true)))
        // Of several frames in one piece as well.
        bench = try Self.bench()
        let frames = forgeries.prefix(10).flatMap { forgery in
            var rpc = PubSubRPC()
            rpc.messages = [forgery]
            return FrameReader.frame(rpc.encoded)
        }
        bench.receive(1, bytes: frames)
        #expect(bench.refusals(.wrongSignature) == 3)
        #expect(bench.refusals(.graylisted) == 7)
    }

    @Test func `charges nobody for a message that it has no room to take`() throws {
        var bench = Bench { $0.limits.verdictCountMax = 1 }
        bench.machine.subscribe("t", needsVerdict: true, now: bench.now)
        for peer in 1...2 { try bench.connect(peer, topics: ["t"]) }
        for round in UInt8(1)...10 {
            // Peer 1 keeps the queue full, and peer 2 brings what it announced.
            bench.receive(1) { $0.messages = [.by(9, round)] }
            bench.receive(2) { $0.haves = [.init(topic: "t", ids: [PubSubMessage.by(8, round).id])] }
            #expect(bench.machine.promises.count == 1)
            bench.receive(2) { $0.messages = [.by(8, round)] }
            bench.pass(.seconds(4))
        }
        #expect(bench.refusals(.verdictQueueFull) >= 10)
        #expect(bench.refusals(.brokenPromise) == 0)
        #expect(bench.score(2) >= 0)
    }

    @Test func `charges nobody for a question that could not leave`() throws {
        // The peer reads slowly, so our stream to it is full.
        var bench = try Self.bench { $0.limits.outboxByteCountMax = 600_000 }
        try bench.machine.publish([UInt8](repeating: 1, count: 300_000), to: "t", sequence: 1, now: bench.now)
        for round in 0..<8 {
            bench.receive(1) { $0.haves = [.init(topic: "t", ids: Self.inventedIDs(10, round))] }
            bench.pass(.seconds(1))
        }
        #expect(bench.machine.promises.count >= 2)
        // A message takes the place of the questions.
        try bench.machine.publish([UInt8](repeating: 2, count: 599_000), to: "t", sequence: 2, now: bench.now)
        #expect(bench.machine.promises.isEmpty)
        bench.pass(.seconds(5))
        #expect(bench.refusals(.brokenPromise) == 0)
        #expect(bench.score(1) >= 0)
        // Where the stream takes more and the question leaves, it counts.
        bench.ourStreamTakesMore(1)
        bench.ourStreamTakesMore(1)
        bench.receive(1) { $0.haves = [.init(topic: "t", ids: Self.inventedIDs(10, 99))] }
        #expect(try bench.sent(to: 1).wants.count == 10)
        bench.pass(.seconds(5))
        #expect(bench.refusals(.brokenPromise) == 1)
    }

    @Test func `keeps nothing of messages that have their verdict while an older one waits for its own`() {
        var waiting = GossipsubWaitingMessages()
        let entry = GossipsubWaitingMessages.Entry(topic: "t", author: nil, frame: [1, 2, 3], source: 1, since: .zero)
        for number in 0..<10_000 {
            let id = PubSubMessageID([UInt8(number >> 8), UInt8(number & 255)])
            waiting.insert(id, entry)
            let removed = number > 0 ? waiting.remove(id)?.topic : "t"
            #expect(removed == "t")
            if waiting.heldByteCount > 10_000 { Issue.record("\(waiting.heldByteCount) bytes after \(number) messages"); break }
        }
        #expect(waiting.popExpired(before: .seconds(1)) == PubSubMessageID([0, 0]))
        #expect(waiting.popExpired(before: .seconds(1)) == nil)
        #expect(waiting.count == 0)
    }

    @Test func `takes a message's own author only from others, and without blame`() throws {
        var bench = try Self.bench()
        bench.receive(1) { $0.messages = [.by(0, 1)] }
        #expect(bench.delivered == [])
        #expect(bench.refusals(.ownMessage) == 1)
        #expect(bench.score(1) == 0)
    }

    @Test func `asks for so many ids a heartbeat, and charges promises that are not kept`() throws {
        var bench = try Self.bench()
        for round in 0..<20 { bench.receive(1) { $0.haves = [.init(topic: "t", ids: Self.inventedIDs(4_000, round))] } }
        #expect(try bench.sent(to: 1).wants.count == 5_000)
        #expect(bench.refusals(.haveFlood) > 0)
        #expect(bench.machine.promises.count == 2)
        bench.pass(.seconds(4))
        #expect(bench.refusals(.brokenPromise) == 2)
        #expect(bench.machine.promises.isEmpty)
        for round in 0..<8 {
            for _ in 0..<12 { bench.receive(1) { $0.haves = [.init(topic: "t", ids: Self.inventedIDs(10, round))] } }
            bench.pass(.seconds(1))
        }
        #expect(bench.score(1) < -80)
        #expect(bench.refusals(.graylisted) > 0)
        #expect(bench.score(2) == bench.score(3))
    }

    @Test func `answers a flood of IWANT within its limits, and charges it`() throws {
        var bench = try Self.bench()
        let id = try bench.machine.publish([1], to: "t", sequence: 1, now: bench.now).id
        _ = try bench.sent(to: 1)
        for _ in 0..<8 {
            for _ in 0..<3 { bench.receive(1) { $0.wants = [PubSubMessageID](repeating: id, count: 5_000) } }
            bench.pass(.seconds(1))
        }
        #expect(try bench.sent(to: 1).messages.count <= 3)
        #expect(bench.refusals(.wantFlood) > 0)
        // Below the threshold for gossip it is not heard any more.
        #expect(bench.score(1) < -10)
        #expect(bench.refusals(.gossipBelowThreshold) > 0)
    }

    @Test func `answers a GRAFT inside the backoff with a PRUNE, and extends and charges it`() throws {
        var bench = try Self.bench()
        bench.receive(1) { $0.prunes = [.init(topic: "t", backoff: 60)] }
        bench.pass(.seconds(30))
        bench.receive(1) { $0.grafts = ["t"] }
        #expect(try bench.sent(to: 1).prunes == [.init(topic: "t", backoff: 60)])
        #expect(bench.refusals(.graftInBackoff) == 1)
        // The first 60 seconds are over, the extended ones not.
        bench.pass(.seconds(40))
        bench.receive(1) { $0.grafts = ["t"] }
        #expect(bench.refusals(.graftInBackoff) == 2)
        // Within ten seconds it counts twice.
        for _ in 0..<2 { bench.receive(1) { $0.grafts = ["t"] } }
        #expect(bench.score(1) < -80)
        #expect(!bench.machine.meshPeers("t").contains(bench.id(1)))
        bench.receive(1) { $0.messages = [.by(9, 1)] }
        #expect(bench.delivered == [])
    }

    @Test func `gives no answer to GRAFT and PRUNE for topics that it does not have`() throws {
        var bench = try Self.bench()
        let before = bench.machine.heldByteCount
        for round in 0..<20 {
            bench.receive(1) { rpc in
                rpc.grafts = (0..<1_000).map { "invented \(round) \($0)" }
                rpc.prunes = rpc.grafts.map { .init(topic: $0, backoff: 100) }
            }
        }
        #expect(bench.refusals(.graftWithoutSubscription) == 20_000)
        #expect(try bench.sent(to: 1) == PubSubRPC())
        #expect(bench.machine.heldByteCount == before)
    }

    @Test func `keeps so many topics of a peer`() throws {
        var bench = try Self.bench()
        for round in 0..<40 {
            bench.receive(1) { $0.subscriptions = (0..<1_000).map { .init(topic: "invented \(round) \($0)", isOn: true) } }
            bench.pass(.seconds(1))
        }
        #expect(bench.machine.topicPeers.count <= 257)
        #expect(bench.refusals(.subscriptionFlood) > 0)
        #expect(bench.refusals(.graylisted) > 0)
        #expect(bench.score(1) < -50)
        #expect(bench.machine.heldByteCount < 200_000)
        bench.disconnect(1)
        #expect(bench.machine.topicPeers.count == 1)
    }

    @Test func `resets a stream with a frame that is too long or cannot be read`() throws {
        for (bytes, refusal) in [
            ([0x81, 0x80, 0x40], .oversizedFrame), ([0xff, 0xff, 0xff, 0xff, 0x0f], .oversizedFrame), ([0x80, 0x00], .malformedFrame),
            ([UInt8](repeating: 0xff, count: 10), .malformedFrame), ([0x02, 0x0a, 0x05], .malformedFrame),
        ] as [([UInt8], GossipsubRefusal)] {
            var bench = try Self.bench()
            bench.receive(1, bytes: bytes)
            #expect(bench.refusals(refusal) == 1)
            #expect(bench.commands.contains { if case .reset = $0 { true } else { false } })
            #expect(bench.machine.heldByteCount < 10_000)
            // What still comes for that stream is nothing.
            bench.receive(1) { $0.messages = [.by(9, 1)] }
            #expect(bench.delivered == [])
            bench.openAgain(1)
            bench.receive(1) { $0.messages = [.by(9, 1)] }
            #expect(bench.delivered.count == 1)
            for _ in 0..<6 {
                bench.receive(1, bytes: bytes)
                bench.openAgain(1)
                bench.pass(.seconds(1))
            }
            #expect(bench.score(1) < -80)
        }
    }

    @Test func `reads frames that come byte by byte`() throws {
        var bench = try Self.bench()
        var rpc = PubSubRPC()
        rpc.messages = [.by(9, 1)]
        for byte in FrameReader.frame(rpc.encoded) + FrameReader.frame(rpc.encoded) { bench.receive(1, bytes: [byte]) }
        #expect(bench.delivered.count == 1)
        #expect(bench.machine.counters.duplicates == 1)
    }

    @Test func `keeps one stream of each peer, the newest`() throws {
        var bench = try Self.bench()
        for _ in 0..<100 { bench.openAgain(1) }
        #expect(bench.refusals(.secondStream) == 100)
        #expect(bench.machine.streams.count == 6)
        bench.receive(1) { $0.messages = [.by(9, 1)] }
        #expect(bench.delivered.count == 1)
    }

    @Test func `remembers so many unwanted messages`() throws {
        var bench = try Self.bench()
        for round in 0..<10 { bench.receive(1) { $0.doNotWants = Self.inventedIDs(5_000, round) } }
        #expect(bench.machine.peers.values.allSatisfy { $0.unwanted.count <= 1_000 })
        #expect(bench.refusals(.doNotWantFlood) > 0)
        bench.pass(.seconds(4))
        #expect(bench.machine.peers.values.allSatisfy { $0.unwanted.isEmpty })
    }

    @Test func `remembers so many messages, and keeps so many bytes of them`() throws {
        var bench = try Self.bench { parameters in
            parameters.limits.seenCountMax = 100
            parameters.limits.historyByteCountMax = 20_000
        }
        for sequence in 0..<250 { bench.receive(1) { $0.messages = [.by(9, UInt8(sequence), data: [UInt8](repeating: 0, count: 300))] } }
        #expect(bench.delivered.count == 250)
        #expect(bench.machine.seen.count == 100)
        #expect(bench.machine.history.heldByteCount <= 20_000)
        bench.pass(.seconds(122))
        #expect(bench.machine.seen.count == 0)
        #expect(bench.machine.seen.heldByteCount == 0)
        #expect(bench.machine.history.heldByteCount == 0)
    }

    @Test func `names peers with their records, and dials those whose records are their own and whose sender it trusts`() throws {
        func record(_ peer: Int, host: UInt8 = 50) throws -> SignedEnvelope {
            let identity = Known.identities[peer]
            // The last ones would lead into our own network, and nobody out there can know what is in it.
            let texts = ["/ip4/127.0.0.1/tcp/6379", "/ip4/192.168.1.1/tcp/80", "/ip6/::ffff:10.0.0.1/tcp/80"]
            let inside = try texts.map { try Multiaddr(text: $0) }
            return PeerRecord(peerID: identity.id, sequence: 1, addresses: [try Known.address(host)] + inside).sealed(by: identity)
        }
        var bench = try Self.bench()
        let taken = try [(2, 2), (2, 3), (4, 4)].map { bench.machine.setRecord(try record($0), of: bench.id($1)) }
        #expect(taken == [true, false, false])
        bench.machine.unsubscribe("t", now: bench.now)
        #expect(try bench.sent(to: 1).prunes.first?.peers == [.init(id: bench.id(2).bytes, record: record(2).bytes)])
        #expect(try bench.sent(to: 2).prunes.first?.peers == [])

        let offers = try [
            PubSubRPC.ExchangedPeer(id: bench.id(20).bytes, record: record(20).bytes),
            .init(id: bench.id(21).bytes, record: record(20).bytes), .init(id: bench.id(22).bytes, record: [1, 2]),
            .init(id: bench.id(23).bytes, record: []), .init(id: [], record: record(20).bytes),
        ]
        for trusts in [false, true] {
            var bench = try Self.bench()
            if trusts { bench.machine.setApplicationScore(20, of: bench.id(1)) }
            bench.receive(1) { $0.prunes = [.init(topic: "t", peers: offers, backoff: 60)] }
            let address = try Known.address(50)
            #expect(bench.commands.contains(.dial(bench.id(20), [address], isHearsay: true)) == trusts)
            #expect(bench.commands.count { if case .dial = $0 { true } else { false } } == (trusts ? 1 : 0))
            #expect(bench.refusals(.untrustedExchange) == (trusts ? 0 : 1))
            #expect(bench.refusals(.forgedExchange) == (trusts ? 1 : 0))
            #expect(bench.refusals(.unreadableExchange) == (trusts ? 2 : 0))
            // A second one ends nothing and names nobody.
            bench.receive(1) { $0.prunes = [.init(topic: "t", peers: offers, backoff: 60)] }
            #expect(bench.refusals(.forgedExchange) == (trusts ? 1 : 0))
        }
    }

    @Test func `charges a forged record, and none that it only cannot read`() throws {
        func offer(_ peer: Int, _ record: [UInt8]) -> PubSubRPC.ExchangedPeer { .init(id: Known.identities[peer].id.bytes, record: record) }
        func record(_ peer: Int, addressCount: UInt16 = 1) throws -> [UInt8] {
            let addresses = try (0..<addressCount).map { try Known.address(50, 1 + $0) }
            return PeerRecord(peerID: Known.identities[peer].id, sequence: 1, addresses: addresses).sealed(by: Known.identities[peer]).bytes
        }
        /// An envelope with another's key in the place of the signer's.
        func unread(_ key: [UInt8]) -> [UInt8] {
            ProtobufWriter.message { message in
                message.bytes(key, field: 1)
                message.bytes(PeerRecord.payloadType, field: 2)
                message.bytes([1, 2, 3], field: 3)
                message.bytes([UInt8](repeating: 7, count: 256), field: 5)
            }
        }
        let (rsa, ecdsa): ([UInt8], [UInt8]) = ([8, 0, 0x12, 2, 0x30, 0], [8, 3, 0x12, 2, 0x30, 0])
        let honest = try [
            offer(20, unread(rsa)), offer(21, unread(ecdsa)), offer(22, record(22, addressCount: 65)),
            offer(23, record(23) + [0xfa, 0x01, 0x80, 0x80, 0x02] + [UInt8](repeating: 0, count: 32_768)), offer(24, [1, 2]),
        ]
        var wrong = try record(25)
        wrong[wrong.count - 20] ^= 1
        for (offers, isForged) in try [(honest, false), ([offer(26, record(27))], true), ([offer(25, wrong)], true)] {
            var bench = try Self.bench()
            bench.machine.setApplicationScore(20, of: bench.id(1))
            for _ in 0..<4 {
                bench.receive(1) { $0.grafts = ["t"] }
                bench.receive(1) { $0.prunes = [.init(topic: "t", peers: offers, backoff: 1)] }
                bench.pass(.seconds(70))
                bench.receive(1) { $0.grafts = ["t"] }
            }
            #expect(bench.refusals(.forgedExchange) == (isForged ? 4 : 0))
            #expect(bench.refusals(.unreadableExchange) == (isForged ? 0 : 20))
            #expect(bench.machine.peers.values.contains { $0.standing.behaviour > 0 } == isForged)
        }
    }

    @Test func `counts a message for P3 once for each who brings it`() throws {
        var bench = try Self.bench {
            $0.scoring.anyTopic.meshDeliveryWeight = -1
            $0.scoring.anyTopic.meshDeliveryActivation = .zero
            $0.scoring.anyTopic.meshTimeWeight = 0
        }
        bench.receive(2) { $0.messages = [.by(9, 1)] }
        for _ in 0..<20 {
            bench.receive(1) { $0.messages = [.by(9, 1)] }
            bench.receive(2) { $0.messages = [.by(9, 1)] }
        }
        #expect(bench.machine.bearers.count == 1)
        bench.now += .milliseconds(1)
        #expect(bench.score(1) == -81)
        #expect(bench.score(2) == -81 + 0.5)
        #expect(bench.score(3) == -100)
        bench.pass(.seconds(2))
        #expect(bench.machine.bearers.isEmpty)
    }

    /// A score that follows from what peer 1 did, everything else weighing nothing.
    struct ScoreCase: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let score: Double
        let configure: @Sendable (inout GossipsubScoring) -> Void
        let play: @Sendable (inout Bench) -> Void

        /// In the mesh for so many seconds, at half a point for each two, for three times two at most.
        static func meshTime(_ seconds: Double, _ score: Double) -> ScoreCase {
            ScoreCase(testDescription: "P1 after \(seconds) s", score: score) {
                ($0.anyTopic.meshTimeWeight, $0.anyTopic.meshTimeQuantum, $0.anyTopic.meshTimeCap) = (0.5, .seconds(2), 3)
            } play: { bench in
                bench.now += .seconds(seconds)
            }
        }

        /// Leaves the mesh after so many seconds, having brought so many of the four messages that are wanted of it within ten seconds.
        static func failure(
            after seconds: Double, bringing count: UInt8, then decays: Int = 0, isPruned: Bool = true, _ score: Double
        ) -> ScoreCase {
            ScoreCase(testDescription: "P3b after \(seconds) s and \(count) messages, \(decays) s ago, left: \(isPruned)", score: score) {
                ($0.anyTopic.meshFailureWeight, $0.anyTopic.meshFailureDecay) = (-0.25, 0.5)
                ($0.anyTopic.meshDeliveryThreshold, $0.anyTopic.meshDeliveryActivation) = (4, .seconds(10))
                $0.anyTopic.meshDeliveryDecay = 1
            } play: { bench in
                for number in 0..<count { bench.receive(1) { $0.messages = [.by(9, number + 1)] } }
                bench.now += .seconds(seconds)
                // What time has passed is made up for: only what comes now fades afterwards.
                bench.pass(.zero)
                if isPruned { bench.receive(1) { $0.prunes = [.init(topic: "t", peers: [], backoff: 3_600)] } }
                if decays > 0 { bench.pass(.seconds(decays)) }
            }
        }

        /// Brings so many messages first, at two points each; topics add five at most.
        static func cap(_ count: UInt8, application: Double = 0, invalid: Int = 0, misdeeds: Int = 0, _ score: Double) -> ScoreCase {
            ScoreCase(
                testDescription: "cap: \(count) messages, \(application) by the application, \(invalid) invalid, \(misdeeds) misdeeds",
                score: score
            ) {
                ($0.topicScoreCap, $0.anyTopic.firstDeliveryWeight, $0.anyTopic.weight) = (5, 1, 2)
                ($0.anyTopic.invalidWeight, $0.behaviourWeight, $0.behaviourThreshold) = (-3, -1, 0)
            } play: { bench in
                for number in 0..<count { bench.receive(1) { $0.messages = [.by(9, number + 1)] } }
                bench.machine.setApplicationScore(application, of: bench.id(1))
                let id = bench.id(1)
                guard let number = bench.machine.peers.first(where: { $0.value.id == id })?.key else { return }
                for _ in 0..<invalid { bench.machine.peers[number]?.standing.deliveredInvalid("t") }
                bench.machine.peers[number]?.standing.penalise(misdeeds)
            }
        }
    }

    @Test(arguments: [
        ScoreCase.meshTime(0, 0), .meshTime(1, 0.25), .meshTime(5, 1.25), .meshTime(6, 1.5), .meshTime(100, 1.5),
        // Not long enough in the mesh; then the deficit squared, a quarter each; nobody is charged while it stays.
        .failure(after: 10, bringing: 0, 0), .failure(after: 11, bringing: 0, -4), .failure(after: 11, bringing: 1, -2.25),
        .failure(after: 11, bringing: 3, -0.25), .failure(after: 11, bringing: 4, 0), .failure(after: 11, bringing: 9, 0),
        .failure(after: 11, bringing: 0, isPruned: false, 0), .failure(after: 11, bringing: 0, then: 1, -2),
        .failure(after: 11, bringing: 0, then: 3, -0.5),
        // What topics add is bounded, and nothing else is; nor is what they take away.
        .cap(1, 2), .cap(2, 4), .cap(3, 5), .cap(40, 5), .cap(40, application: 3, 8), .cap(40, misdeeds: 3, -4),
        .cap(1, invalid: 2, 2 - 24), .cap(40, invalid: 3, 5), .cap(40, invalid: 4, 80 - 96),
    ])
    func `scores time in a mesh, failures there and the cap of topics to the point`(_ example: ScoreCase) throws {
        var bench = try Self.bench { parameters in
            parameters.scoring.anyTopic.meshTimeWeight = 0
            parameters.scoring.anyTopic.firstDeliveryWeight = 0
            example.configure(&parameters.scoring)
        }
        example.play(&bench)
        #expect(bench.score(1) == example.score)
    }

    @Test func `counts what it keeps of those who had a message`() throws {
        var bench = try Self.bench()
        let id = try bench.machine.publish([1], to: "t", sequence: 1, now: bench.now).id
        let before = bench.machine.history.heldByteCount
        for peer in 1...3 { bench.receive(peer) { $0.wants = [id] } }
        #expect(bench.machine.history.heldByteCount >= before + 3 * 16)
        bench.pass(.seconds(10))
        #expect(bench.machine.history.heldByteCount == 0)
    }

    @Test func `gives up the unfinished frames of the household that has most of them`() throws {
        var bench = Bench { $0.limits.unfinishedByteCountMax = 3_000_000 }
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...20 { try bench.connect(peer, host: peer == 1 ? 1 : 2, topics: ["t"]) }
        var rpc = PubSubRPC()
        rpc.messages = [.by(30, 1, data: [UInt8](repeating: 7, count: 900_000))]
        let frame = FrameReader.frame(rpc.encoded)
        // The honest one comes first, and nineteen in one household after it.
        for peer in 1...20 {
            bench.now += .milliseconds(10)
            bench.receive(peer, bytes: Array(frame.prefix(800_000)))
        }
        #expect(bench.machine.unfinishedByteCount <= 3_000_000)
        bench.receive(1, bytes: Array(frame.dropFirst(800_000)))
        #expect(bench.delivered == rpc.messages)
    }

    @Test func `dials few addresses of the peers that another one names`() throws {
        var bench = try Self.bench()
        bench.machine.setApplicationScore(20, of: bench.id(1))
        // Made up, each signing for as many addresses of a victim as a dial would try.
        let offers = (20..<36).map { peer in
            let addresses = (1...32).map { Multiaddr([.ip4(IPv4Address([203, 0, 113, 7]) ?? .init([1, 1, 1, 1])!), .tcp(UInt16($0))]) }
            let record = PeerRecord(peerID: bench.id(peer), sequence: 1, addresses: addresses).sealed(by: Known.identities[peer])
            return PubSubRPC.ExchangedPeer(id: bench.id(peer).bytes, record: record.bytes)
        }
        func dialledCounts() -> [Int] {
            bench.commands.compactMap { command in
                guard case .dial(_, let addresses, isHearsay: true) = command else { return nil }
                return addresses.count
            }
        }
        bench.receive(1) { $0.prunes = [.init(topic: "t", peers: offers, backoff: 60)] }
        #expect(dialledCounts() == [4, 4, 4, 4, 4, 4, 4, 4])
        bench.pass(.seconds(1))
        bench.commands = []
        // The rest could be named only by ending another place in a mesh.
        bench.receive(1) { $0.prunes = [.init(topic: "t", peers: offers, backoff: 60)] }
        #expect(dialledCounts() == [])
    }

    @Test func `keeps so many bytes of the topics of all peers, and knows the topics of one who comes after a crowd`() throws {
        var bench = Bench {
            $0.limits.topicByteCountMax = 100_000
            $0.scoring.addressWeight = 0
        }
        // One household, many peers, topics of 256 bytes.
        for peer in 1...20 {
            let topics = (0..<100).map { number in String("\(peer)-\(number)-" + String(repeating: "x", count: 256)).prefix(256).description
            }
            try bench.connect(peer, host: 9, topics: topics)
            #expect(bench.machine.topicShares.total <= 50_000 + 256)
        }
        #expect(bench.refusals(.subscriptionCrowd) > 1_000)
        #expect(bench.score(1) >= 0)
        try bench.connect(30, topics: ["t", "u"])
        #expect(bench.machine.topicPeers("u") == [bench.id(30)])
        // What goes is counted no more, in whichever way it goes.
        bench.receive(30) { $0.subscriptions = [.init(topic: "u", isOn: false)] }
        for peer in 1...20 { bench.disconnect(peer) }
        #expect(bench.machine.topicShares.total == GossipsubPeer.byteCount(ofTopic: "t"))
        bench.disconnect(30)
        #expect(bench.machine.topicShares.total == 0)
        #expect(bench.machine.topicPeers.isEmpty)
    }

    @Test func `keeps so many bytes of what all peers do not want, and spares one who comes after a crowd`() throws {
        var bench = Bench {
            $0.limits.doNotWantByteCountMax = 100_000
            $0.scoring.addressWeight = 0
        }
        bench.machine.subscribe("t", now: bench.now)
        func ids(_ peer: Int) -> [PubSubMessageID] { (0..<500).map { PubSubMessageID([UInt8(peer), UInt8($0 >> 8), UInt8($0 & 255)]) } }
        for peer in 1...20 {
            try bench.connect(peer, host: 9, topics: ["t"])
            bench.receive(peer) { $0.doNotWants = ids(peer) }
            #expect(bench.machine.unwantedShares.total <= 50_000 + 64)
        }
        try bench.connect(30, topics: ["t"])
        let message = PubSubMessage.by(40, 1)
        bench.receive(30) { rpc in
            rpc.grafts = ["t"]
            rpc.doNotWants = [message.id]
        }
        bench.receive(1) { $0.messages = [message] }
        #expect(try bench.sent(to: 30).messages.isEmpty)
        #expect(bench.machine.counters.sparedByDoNotWant == 1)
        // They are forgotten after a while, or with their peers.
        bench.disconnect(1)
        #expect(bench.machine.unwantedShares.total < 10_000)
        bench.pass(.seconds(5))
        #expect(bench.machine.unwantedShares.total == 0)
    }

    @Test func `passes everything on to so many floodsub peers, and to others when those go`() throws {
        var bench = Bench {
            $0.limits.floodPeerCountMax = 8
            $0.scoring.addressWeight = 0
        }
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...20 { try bench.connect(peer, protocolID: "/floodsub/1.0.0", host: 9, topics: ["t"]) }
        try bench.connect(30, protocolID: "/floodsub/1.0.0", host: 10, topics: ["t"])
        try bench.connect(31, topics: ["t"])
        func served(_ sequence: UInt8) throws -> [Int] {
            bench.receive(31) { $0.messages = [.by(40, sequence)] }
            return try (1...30).filter { $0 <= 20 || $0 == 30 }.filter { try !bench.sent(to: $0).messages.isEmpty }
        }
        #expect(try served(1) == [1, 2, 3, 4, 30])
        #expect(bench.refusals(.floodsubCrowd) == 16)
        bench.disconnect(1)
        bench.resetOurStream(2)
        bench.pass(.milliseconds(1_100))
        #expect(try served(2).count == 5)
        #expect(bench.machine.floodShares.total == 5)
        for peer in 3...30 { bench.disconnect(peer) }
        bench.disconnect(2)
        #expect(bench.machine.floodShares.total == 0)
    }

    @Test func `counts peers that share an address, unless it is one that may be shared`() throws {
        var bench = Bench()
        for peer in 1...13 { try bench.connect(peer, host: 9) }
        try bench.connect(14)
        #expect(bench.score(1) == -45)
        #expect(bench.score(14) == 0)
        bench.disconnect(13)
        #expect(bench.score(1) == -20)
        var scoring = GossipsubScoring()
        #expect(scoring.sharedAddresses == [.loopback])
        #expect(GossipsubAddressGroup(try Multiaddr(text: "/ip4/127.3.2.1/tcp/1")) == .loopback)
        #expect(GossipsubAddressGroup(try Multiaddr(text: "/ip6/::1/tcp/1")) == .loopback)
        #expect(GossipsubAddressGroup(try Multiaddr(text: "/ip6/::ffff:127.0.0.1/tcp/1")) == .loopback)
        #expect(
            GossipsubAddressGroup(try Multiaddr(text: "/ip6/::ffff:192.0.2.1/tcp/1"))
                != GossipsubAddressGroup(try Multiaddr(text: "/ip6/::ffff:192.0.2.2/tcp/1")))
        #expect(
            GossipsubAddressGroup(try Multiaddr(text: "/ip6/2001:db8::1/tcp/1"))
                == GossipsubAddressGroup(try Multiaddr(text: "/ip6/2001:db8::ffff:1/tcp/1")))
        #expect(GossipsubAddressGroup(try Multiaddr(text: "/ip4/192.0.2.1/tcp/1/p2p/\(bench.id(1))/p2p-circuit")) == nil)
        scoring.graylistThreshold = 0
        #expect(!scoring.isConsistent)
    }

    @Test func `survives whatever is fed to it, within its memory`() throws {
        // Frames made of parts of good ones, changed at random; only peers 1 and 2 send them.
        for seed in UInt64(0)..<20 {
            var random = SeededRandom(seed: seed)
            var bench = try Self.bench()
            for _ in 0..<300 {
                var rpc = PubSubRPC()
                let id = PubSubMessageID((0..<4).map { _ in UInt8.random(in: 0...255, using: &random) })
                switch Int.random(in: 0..<7, using: &random) {
                case 0: rpc.subscriptions = [.init(topic: "t", isOn: Bool.random(using: &random))]
                case 1: rpc.messages = [.by(9, UInt8.random(in: 0...255, using: &random))]
                case 2: rpc.haves = [.init(topic: "t", ids: [id])]
                case 3: rpc.wants = [PubSubMessage.by(9, 1).id]
                case 4: rpc.grafts = ["t"]
                case 5: rpc.prunes = [.init(topic: "t", backoff: UInt64.random(in: 0...(.max), using: &random))]
                default: rpc.doNotWants = [id]
                }
                var bytes = FrameReader.frame(rpc.encoded)
                if Int.random(in: 0..<4, using: &random) == 0 {
                    bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                let peer = Int.random(in: 1...2, using: &random)
                bench.receive(peer, bytes: bytes)
                if Int.random(in: 0..<10, using: &random) == 0 { bench.openAgain(peer) }
                if Int.random(in: 0..<20, using: &random) == 0 { bench.pass(.milliseconds(700)) }
                bench.ourStreamTakesMore(peer)
            }
            #expect(bench.machine.heldByteCount < 3_000_000, "seed \(seed)")
            bench.receive(3) { $0.messages = [.by(10, 1)] }
            #expect(bench.delivered.last == .by(10, 1), "seed \(seed)")
            for peer in 1...3 { bench.disconnect(peer) }
            #expect(bench.machine.peers.isEmpty && bench.machine.streams.isEmpty && bench.machine.topicPeers.isEmpty, "seed \(seed)")
        }
    }
}
