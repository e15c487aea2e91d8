import Testing

@testable import LibP2P

struct `A gossipsub node` {
    @Test func `opens its stream once a peer is known to speak pubsub, and announces its topics there`() throws {
        var bench = Bench()
        bench.machine.subscribe("b", now: bench.now)
        bench.machine.subscribe("a", now: bench.now)
        try bench.connect(1)
        #expect(try bench.sent(to: 1).subscriptions == [.init(topic: "a", isOn: true), .init(topic: "b", isOn: true)])
        bench.machine.unsubscribe("a", now: bench.now)
        #expect(try bench.sent(to: 1).subscriptions == [.init(topic: "a", isOn: false)])
        #expect(bench.machine.topics == ["b"])
    }

    @Test func `speaks the versions that it is told to, in their order`() throws {
        var bench = Bench { $0.protocolIDs = ["/meshsub/1.0.0", "/meshsub/1.1.0"] }
        #expect(bench.machine.servedProtocolIDs == ["/meshsub/1.0.0", "/meshsub/1.1.0"])
        try bench.connect(1)
        bench.commands = []
        bench.resetOurStream(1)
        for _ in 0..<20 { bench.pass(.seconds(1)) }
        let opened = bench.commands.compactMap { command in
            if case .open(_, _, let protocolIDs, _) = command { protocolIDs } else { nil }
        }
        #expect(opened.first == ["/meshsub/1.0.0", "/meshsub/1.1.0"])
        var parameters = GossipsubParameters()
        for wrong in [[], ["/meshsub/2.0.0"], ["/meshsub/1.1.0", ""]] {
            parameters.protocolIDs = wrong
            #expect(!parameters.isConsistent)
        }
    }

    @Test func `tries a lost stream again, later each time, and then no more`() throws {
        var bench = Bench()
        try bench.connect(1)
        bench.commands = []
        bench.resetOurStream(1)
        func requests() -> [UInt64] {
            bench.commands.compactMap { command in
                guard case .open(let request, _, _, _) = command else { return nil }
                return request
            }
        }
        for _ in 0..<300 {
            bench.pass(.seconds(1))
            if let last = requests().last { bench.handle(.failed(request: last, .ended)) }
        }
        #expect(requests().count == 3)
        bench.handle(.protocols(of: bench.id(1), ["/meshsub/1.1.0"]))
        #expect(requests().count == 4)
    }

    @Test func `knows who is subscribed to what, until they leave`() throws {
        var bench = Bench()
        try bench.connect(1, topics: ["t", "u"])
        try bench.connect(2, topics: ["t"])
        #expect(bench.machine.topicPeers("t") == [bench.id(1), bench.id(2)].sorted())
        bench.receive(1) { $0.subscriptions = [.init(topic: "t", isOn: false)] }
        #expect(bench.machine.topicPeers("t") == [bench.id(2)])
        bench.disconnect(2)
        #expect(bench.machine.topicPeers("t") == [])
        #expect(bench.machine.topicPeers("u") == [bench.id(1)])
        #expect(bench.events.filter { $0 == .subscribed(bench.id(1), topic: "t") }.count == 1)
        #expect(bench.events.filter { $0 == .unsubscribed(bench.id(1), topic: "t") }.count == 1)
    }

    @Test func `grafts peers as they come, up to D_lo, and fills up to D later`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...10 { try bench.connect(peer, topics: ["t"]) }
        #expect(bench.machine.meshPeers("t").count == 5)
        #expect(try bench.sent(to: 1).grafts == ["t"])
        bench.disconnect(1)
        bench.pass(.seconds(1))
        #expect(bench.machine.meshPeers("t").count == 6)
    }

    @Test func `prunes down to D with the best and enough that it dialled`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...14 { try bench.connect(peer, isOutbound: peer >= 12, topics: ["t"]) }
        for peer in 1...4 { bench.machine.setApplicationScore(Double(peer), of: bench.id(peer)) }
        for peer in 1...14 { bench.receive(peer) { $0.grafts = ["t"] } }
        // Twelve places, and peers that we dialled may come on top.
        #expect(bench.machine.meshPeers("t").count == 14)
        bench.pass(.seconds(1))
        let mesh = bench.machine.meshPeers("t")
        #expect(mesh.count == 6)
        for peer in 1...4 { #expect(mesh.contains(bench.id(peer))) }
        #expect((12...14).count { mesh.contains(bench.id($0)) } == 2)
        let pruned = try #require((1...14).first { !mesh.contains(bench.id($0)) })
        #expect(try bench.sent(to: pruned).prunes == [.init(topic: "t", backoff: 60)])
    }

    @Test func `turns a GRAFT away when its mesh is full`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...13 { try bench.connect(peer, topics: ["t"]) }
        for peer in 1...13 { bench.receive(peer) { $0.grafts = ["t"] } }
        #expect(bench.machine.meshPeers("t").count == 12)
        #expect(bench.refusals(.meshFull) == 1)
        #expect(try bench.sent(to: 13).prunes.map(\.topic) == ["t"])
    }

    @Test func `leaves a peer alone for the backoff that it asked for`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        try bench.connect(1, topics: ["t"])
        #expect(bench.machine.meshPeers("t") == [bench.id(1)])
        bench.receive(1) { $0.prunes = [.init(topic: "t", backoff: 20)] }
        #expect(bench.machine.meshPeers("t") == [])
        _ = try bench.sent(to: 1)
        bench.pass(.seconds(20))
        #expect(try bench.sent(to: 1).grafts == [])
        bench.pass(.seconds(4))
        #expect(try bench.sent(to: 1).grafts == ["t"])
        // Neither a backoff beyond all time nor a new connection changes anything.
        bench.receive(1) { $0.prunes = [.init(topic: "t", backoff: .max)] }
        bench.disconnect(1)
        try bench.connect(1, topics: ["t"])
        #expect(bench.machine.meshPeers("t") == [])
    }

    @Test func `says at unsubscribing that it may be grafted again soon`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        try bench.connect(1, topics: ["t"])
        _ = try bench.sent(to: 1)
        bench.machine.unsubscribe("t", now: bench.now)
        #expect(try bench.sent(to: 1).prunes == [.init(topic: "t", backoff: 10)])
        bench.machine.subscribe("t", now: bench.now)
        #expect(bench.machine.meshPeers("t") == [])
    }

    @Test func `passes a message on to its mesh and to floodsub peers, not back and not to its author`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...4 { try bench.connect(peer, topics: ["t"]) }
        try bench.connect(5, protocolID: "/floodsub/1.0.0", topics: ["t"])
        try bench.connect(6, topics: ["u"])
        bench.receive(1) { $0.messages = [.by(2, 1)] }
        #expect(bench.delivered == [.by(2, 1)])
        for (peer, count) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 0)] {
            #expect(try bench.sent(to: peer).messages.count == count, "peer \(peer)")
        }
        #expect(!bench.machine.meshPeers("t").contains(bench.id(5)))
        bench.receive(3) { $0.messages = [.by(2, 1), .by(2, 1)] }
        #expect(bench.delivered.count == 1)
        #expect(bench.machine.counters.duplicates == 2)
    }

    @Test func `publishes to all peers of the topic, and only to the mesh or a fanout where that is asked for`() throws {
        for floods in [true, false] {
            var bench = Bench { $0.floodsOwnMessages = floods }
            for peer in 1...20 { try bench.connect(peer, topics: ["t"]) }
            #expect(try bench.machine.publish([1], to: "t", sequence: 1, now: bench.now).peerCount == (floods ? 20 : 6))
            #expect(try bench.machine.publish([1], to: "t", sequence: 2, now: bench.now).peerCount == (floods ? 20 : 6))
            let reached = try (1...20).filter { try bench.sent(to: $0).messages.count == 2 }
            #expect(reached.count == (floods ? 20 : 6))
            // The fanout becomes the mesh.
            bench.machine.subscribe("t", now: bench.now)
            #expect(bench.machine.meshPeers("t").count == 6)
            if !floods { #expect(bench.machine.meshPeers("t") == reached.map { bench.id($0) }.sorted()) }
        }
    }

    @Test func `does not publish what nobody could take`() throws {
        var bench = Bench()
        #expect(throws: GossipsubPublishError.invalidTopic) { try bench.machine.publish([], to: "", sequence: 1, now: bench.now) }
        #expect(throws: GossipsubPublishError.tooLong(byteCount: 1_048_576 + 127, maximum: 1_048_576)) {
            try bench.machine.publish([UInt8](repeating: 0, count: 1_048_576), to: "t", sequence: 1, now: bench.now)
        }
        let id = try bench.machine.publish([], to: "t", sequence: 1, now: bench.now).id
        #expect(throws: GossipsubPublishError.duplicate(id)) { try bench.machine.publish([1], to: "t", sequence: 1, now: bench.now) }
        try bench.connect(1, topics: ["t"])
        // As much as fits arrives.
        #expect(try bench.machine.publish([UInt8](repeating: 0, count: 1_048_449), to: "t", sequence: 2, now: bench.now).peerCount == 1)
    }

    @Test func `holds a message until the verdict, and charges those who brought a rejected one`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", needsVerdict: true, now: bench.now)
        for peer in 1...4 { try bench.connect(peer, topics: ["t"]) }
        for (sequence, verdict) in [(UInt8(1), PubSubVerdict.accept), (2, .reject), (3, .ignore)] {
            let message = PubSubMessage.by(9, sequence)
            bench.receive(1) { $0.messages = [message] }
            bench.receive(2) { $0.messages = [message] }
            #expect(try bench.sent(to: 3).messages == [])
            #expect(
                bench.events.last { if case .message = $0 { true } else { false } }
                    == .message(message.id, message, from: bench.id(1), needsVerdict: true))
            let taken = (0..<2).map { _ in bench.machine.verdict(verdict, on: message.id, now: bench.now) }
            #expect(taken == [true, false])
            #expect(try bench.sent(to: 3).messages == (sequence == 1 ? [message] : []))
            #expect(try bench.sent(to: 2).messages == [])
            bench.receive(4) { $0.messages = [message] }
        }
        #expect(bench.delivered.count == 3)
        // One rejected message each, P4 = 10; the first one brought an accepted one too.
        #expect(bench.score(2) == -10)
        #expect(bench.score(4) == -10)
        #expect(bench.score(1) == -9.5)
        #expect(bench.score(3) == 0)
    }

    @Test func `holds so many messages for a verdict and no more, and lets them go in time`() throws {
        var bench = Bench { $0.limits.verdictCountMax = 3 }
        bench.machine.subscribe("t", needsVerdict: true, now: bench.now)
        try bench.connect(1, topics: ["t"])
        for sequence in UInt8(1)...5 { bench.receive(1) { $0.messages = [.by(9, sequence)] } }
        #expect(bench.delivered.count == 3)
        #expect(bench.refusals(.verdictQueueFull) == 2)
        bench.pass(.seconds(62))
        #expect(bench.events.contains(.verdictMissed(PubSubMessage.by(9, 1).id)))
        // What was turned away was not marked as seen.
        bench.receive(1) { $0.messages = [.by(9, 5)] }
        #expect(bench.delivered.count == 4)
        #expect(bench.score(1) >= 0)
    }

    @Test func `tells its gossip outside the mesh, and answers who asks, three times each`() throws {
        var bench = Bench { $0.floodsOwnMessages = false }
        for peer in 1...8 { try bench.connect(peer, topics: ["t"]) }
        bench.machine.subscribe("t", now: bench.now)
        let id = try bench.machine.publish([1], to: "t", sequence: 1, now: bench.now).id
        let outside = (1...8).filter { !bench.machine.meshPeers("t").contains(bench.id($0)) }
        #expect(outside.count == 2)
        bench.pass(.seconds(1))
        let peer = outside[0]
        #expect(try bench.sent(to: peer).haves == [.init(topic: "t", ids: [id])])
        #expect(try bench.sent(to: outside[1]).haves.count == 1)
        // The hexadecimal form, as py-libp2p writes it, is the same message.
        for asked in [id, id.inHex, id, id, id] { bench.receive(peer) { $0.wants = [asked] } }
        #expect(try bench.sent(to: peer).messages.count == 3)
        #expect(bench.refusals(.retransmissions) == 2)
        bench.pass(.seconds(5))
        bench.receive(outside[1]) { $0.wants = [id] }
        #expect(try bench.sent(to: outside[1]).messages == [])
    }

    @Test func `asks for what it has not seen, in whatever form the id came, and takes the answer as kept promise`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        try bench.connect(1, topics: ["t"])
        _ = try bench.sent(to: 1)
        let (first, second) = (PubSubMessage.by(9, 1), PubSubMessage.by(9, 2))
        bench.receive(1) { $0.messages = [first] }
        bench.receive(1) {
            $0.haves = [.init(topic: "t", ids: [first.id, first.id.inHex, second.id.inHex]), .init(topic: "u", ids: [first.id])]
        }
        #expect(try bench.sent(to: 1).wants == [second.id.inHex])
        bench.receive(1) { $0.messages = [second] }
        bench.pass(.seconds(10))
        #expect(bench.refusals(.brokenPromise) == 0)
    }

    @Test func `announces large messages to its mesh as had, and spares peers what they have`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...3 { try bench.connect(peer, topics: ["t"]) }
        try bench.connect(4, protocolID: "/meshsub/1.1.0", topics: ["t"])
        let large = PubSubMessage.by(9, 1, data: [UInt8](repeating: 0, count: 1_024))
        bench.receive(3) { $0.doNotWants = [large.id] }
        bench.receive(1) { $0.messages = [large, .by(9, 2)] }
        let second = try bench.sent(to: 2)
        #expect(second.doNotWants == [large.id])
        #expect(second.messages.count == 2)
        #expect(try bench.sent(to: 3).messages == [.by(9, 2)])
        #expect(try bench.sent(to: 1).doNotWants == [])
        #expect(try bench.sent(to: 4).doNotWants == [])
    }

    @Test func `always exchanges with direct peers, outside the mesh, and dials them`() throws {
        var bench = Bench(direct: [1, 2])
        bench.machine.subscribe("t", now: bench.now)
        for peer in [1, 3, 4] { try bench.connect(peer, topics: ["t"]) }
        bench.pass(.seconds(1))
        #expect(bench.commands.contains(.dial(bench.id(2), [])))
        #expect(!bench.machine.meshPeers("t").contains(bench.id(1)))
        bench.machine.setApplicationScore(-1_000, of: bench.id(1))
        bench.receive(1) { rpc in
            rpc.messages = [.by(9, 1)]
            rpc.grafts = ["t"]
        }
        #expect(bench.delivered.count == 1)
        let answer = try bench.sent(to: 1)
        #expect(answer.prunes.map(\.topic) == ["t"])
        bench.receive(3) { $0.messages = [.by(9, 2)] }
        #expect(try bench.sent(to: 1).messages.count == 1)
    }

    @Test func `grafts better peers when its mesh is poor`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        for peer in 1...8 { try bench.connect(peer, topics: ["t"]) }
        let mesh = bench.machine.meshPeers("t")
        for peer in 1...8 where !mesh.contains(bench.id(peer)) { bench.machine.setApplicationScore(30, of: bench.id(peer)) }
        bench.pass(.seconds(61))
        #expect(bench.machine.meshPeers("t").count == mesh.count + 2)
    }

    @Test func `uses another id and no signature where that is configured`() throws {
        var bench = Bench { parameters in
            parameters.signaturePolicy = .strictNoSign
            parameters.identification = .custom { $0.data }
        }
        bench.machine.subscribe("t", now: bench.now)
        try bench.connect(1, topics: ["t"])
        #expect(try bench.machine.publish([7], to: "t", sequence: 0, now: bench.now).id.bytes == [7])
        #expect(try bench.sent(to: 1).messages == [PubSubMessage(topic: "t", data: [7])])
        bench.receive(1) { $0.messages = [PubSubMessage(topic: "t", data: [7]), PubSubMessage(topic: "t", data: [8]), .by(9, 9)] }
        #expect(bench.delivered.map(\.data) == [[8]])
        #expect(bench.refusals(.unexpectedFields) == 1)
    }

    @Test func `gives a stream only so much before it takes more, and drops gossip before messages`() throws {
        var bench = Bench()
        bench.machine.subscribe("t", now: bench.now)
        try bench.connect(1, topics: ["t"])
        _ = try bench.sent(to: 1)
        for sequence in UInt64(1)...40 {
            try bench.machine.publish([UInt8](repeating: 0, count: 100_000), to: "t", sequence: sequence, now: bench.now)
        }
        #expect(try bench.sent(to: 1).messages.count == 3)
        // Twenty wait, the others found no room.
        #expect(bench.machine.counters.droppedMessages == 17)
        bench.receive(1) { $0.haves = [.init(topic: "t", ids: (0..<5_000).map { PubSubMessageID([UInt8($0 >> 8), UInt8($0 & 255)]) })] }
        #expect(bench.machine.counters.droppedGossip == 1)
        #expect(bench.machine.heldByteCount < 2 * 2_097_152 + 40 * 101_000)
        var count = 0
        for _ in 0..<10 {
            bench.ourStreamTakesMore(1)
            count += try bench.sent(to: 1).messages.count
        }
        #expect(count == 20)
    }
}
