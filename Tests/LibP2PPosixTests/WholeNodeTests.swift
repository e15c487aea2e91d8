import CryptoPrimitives
import LibP2P
import Testing

@testable import LibP2PPosix

/// A node with all services that listens on loopback.
func wholeNode(_ change: (inout Node.Configuration) -> Void = { _ in }) async throws -> (PosixNode, Multiaddr) {
    var configuration = Node.Configuration(agentVersion: "test/1.0")
    configuration.gossipsub?.heartbeatInterval = .milliseconds(100)
    configuration.kad?.validators["v"] = KadValidator(
        isValid: { _, value, _ in value.count < 100 }, isBetter: { _, current, candidate in current.count < candidate.count })
    change(&configuration)
    let node = try PosixNode(PeerIdentity(Ed25519.SecretKey.generate()), configuration: configuration)
    let addresses = try await node.listen(on: Multiaddr(text: "/ip4/127.0.0.1/tcp/0"))
    return (node, try #require(addresses.first))
}

/// Nodes in a row, each connected to the next one, and each knowing what its neighbours serve.
private func row(of count: Int) async throws -> [PosixNode] {
    var nodes: [PosixNode] = []
    for _ in 0..<count {
        let (node, address) = try await wholeNode()
        if let last = nodes.last {
            _ = try await within { try await node.dial(last.id, at: [await last.listenAddresses[0]]) }
            _ = try await within { try await node.identify(last.id) }
            _ = try await within { try await last.identify(node.id) }
        }
        #expect(await node.announcedAddresses == [address])
        nodes.append(node)
    }
    return nodes
}

func close(_ nodes: [PosixNode]) async { for node in nodes { await node.close() } }

/// The first event of a kind.
func first<Value: Sendable>(
    in events: AsyncStream<Node.Event>, where take: @escaping @Sendable (Node.Event) -> Value?
) async throws -> Value {
    try await within {
        for await event in events { if let value = take(event) { return value } }
        throw TookTooLong()
    }
}

extension `A node with real sockets` {
    @Suite(.serialized)
    struct `and all services, with others` {
        @Test func `measure the way to each other, again and again`() async throws {
            let nodes = try await row(of: 2)
            let times = try await within { try await nodes[0].ping(nodes[1].id, count: 5) }
            #expect(times.count == 5)
            #expect(times.allSatisfy { $0 > .zero && $0 < .seconds(5) })
            // From both sides and by several at once; each gets its own answer.
            try await within {
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for index in 0..<10 {
                        group.addTask { try await nodes[index % 2].ping(nodes[1 - index % 2].id, count: 3).count }
                    }
                    for try await count in group { #expect(count == 3) }
                }
            }
            let stranger = try newNode().id
            await #expect(throws: NodeError.ping(.stream(.notConnected))) { try await nodes[0].ping(stranger) }
            await close(nodes)
            await #expect(throws: NodeError.closed) { try await nodes[0].ping(nodes[1].id) }
        }

        @Test func `count what each protocol did, and what was refused`() async throws {
            let nodes = try await row(of: 2)
            let (node, peer) = (nodes[0], nodes[1].id)
            _ = try await within { try await node.ping(peer) }
            let stranger = try BareSocket(connectedTo: await node.listenAddresses[0])
            try stranger.send("GET / HTTP/1.1\r\n\r\n")
            _ = stranger.readToEnd()
            let counters = await node.counters
            #expect(counters.swarm.failedHandshakes == 1 && counters.swarm.failedNegotiations == 0)
            #expect(counters.identify.identified >= 1 && counters.identify.answered >= 1)
            #expect(counters.ping.roundTrips >= 1 && counters.ping.refused == 0)
            #expect(counters.gossipsub?.published == 0 && counters.kad?.refusals == 0)
            #expect(counters.relayClient?.reserved == 0 && counters.holePunch?.attempts == 0)
            // What is not spoken counts nothing.
            #expect(counters.relayServer == nil && counters.mdns == nil)
            let bare = try newNode()
            #expect(await bare.counters.gossipsub == nil)
            #expect(await bare.counters.kad == nil)
            await close(nodes + [bare])
        }

        @Test func `say who they are`() async throws {
            let nodes = try await row(of: 2)
            let found = try await within { try await nodes[0].identify(nodes[1].id) }
            #expect(found.agentVersion == "test/1.0")
            #expect(found.protocolVersion == IdentifyInfo.defaultProtocolVersion)
            #expect(found.publicKey == nodes[1].identity.publicKey)
            #expect(found.listenAddresses == (await nodes[1].listenAddresses))
            #expect(found.record?.addresses == found.listenAddresses)
            #expect(Set(found.protocols ?? []).isSuperset(of: [Ping.protocolID, Identify.protocolID, "/meshsub/1.1.0", "/ipfs/kad/1.0.0"]))
            // The one who is asked dialled: it was seen at the port that its system chose.
            #expect(found.observedAddress?.components.first == .ip4(try #require(IPv4Address([127, 0, 0, 1]))))
            let envelope = try SignedEnvelope(parsing: try #require(found.signedPeerRecord))
            #expect(try PeerRecord(opening: envelope).peerID == nodes[1].id)
            let stranger = try newNode().id
            await #expect(throws: NodeError.identify(.stream(.notConnected))) { try await nodes[0].identify(stranger) }
            await close(nodes)
        }

        @Test func `hear by a push when a neighbour serves something new, and listens elsewhere`() async throws {
            let nodes = try await row(of: 2)
            let events = await nodes[1].events()
            let server = nodes[0].id
            await nodes[0].serve("/new/1.0.0") { $0.reset() }
            let protocols = try await first(in: events) { event in
                guard case .identify(.identified(let found, _)) = event, found.isPush, found.peer == server else { return [String]?.none }
                return found.protocols
            }
            #expect(protocols.contains("/new/1.0.0"))
            let more = try await nodes[0].listen(on: Multiaddr(text: "/ip6/::1/tcp/0"))
            let addresses = try await first(in: events) { event in
                guard case .identify(.identified(let found, _)) = event, found.isPush else { return [Multiaddr]?.none }
                return found.listenAddresses
            }
            #expect(addresses.contains(more[0]))
            #expect(await nodes[1].addresses(of: server).contains(more[0]))
            await close(nodes)
        }

        @Test func `bring messages to all of a topic through a third one`() async throws {
            let nodes = try await row(of: 3)
            var streams: [AsyncStream<PubSubDelivery>] = []
            for node in nodes { streams.append(try await node.subscribe(to: "topic")) }
            let events = await nodes[1].events()
            // The one in the middle has both in its mesh before anything is published.
            while await nodes[1].meshPeers(of: "topic").count < 2 {
                _ = try await first(in: events) { if case .gossipsub(.grafted) = $0 { true } else { Bool?.none } }
            }
            #expect(await nodes[1].peers(of: "topic") == [nodes[0].id, nodes[2].id].sorted())
            #expect(await nodes[0].topics == ["topic"])
            let unread = await nodes[1].events()
            for text in ["one", "two"] { #expect(try await nodes[0].publish(Array(text.utf8), to: "topic").peerCount == 1) }
            for stream in streams.dropFirst() {
                let texts = try await within {
                    var texts: [String] = []
                    for await delivery in stream.prefix(2) {
                        #expect(delivery.message.author == nodes[0].id)
                        texts.append(String(decoding: delivery.message.data, as: UTF8.self))
                    }
                    return texts
                }
                #expect(texts.sorted() == ["one", "two"])
            }
            await nodes[2].unsubscribe(from: "topic")
            #expect(await nodes[2].topics.isEmpty)
            await #expect(throws: NodeError.invalidTopic("")) { try await nodes[0].subscribe(to: "") }
            await close(nodes)
            // They come to who subscribed, and wait for nobody else.
            for stream in [events, unread] {
                for await event in stream { if case .gossipsub(.message) = event { Issue.record("a message among the events") } }
            }
        }

        @Test func `pass on only what was accepted where a verdict is needed`() async throws {
            let nodes = try await row(of: 3)
            let middle = try await nodes[1].subscribe(to: "topic", needsVerdict: true)
            let last = try await nodes[2].subscribe(to: "topic")
            let publisher = await nodes[0].events()
            while await nodes[0].peers(of: "topic").isEmpty {
                _ = try await first(in: publisher) { if case .gossipsub(.subscribed) = $0 { true } else { Bool?.none } }
            }
            for text in ["bad", "good"] { try await nodes[0].publish(Array(text.utf8), to: "topic") }
            try await within {
                for await delivery in middle.prefix(2) {
                    #expect(delivery.needsVerdict)
                    let isGood = delivery.message.data == Array("good".utf8)
                    #expect(await nodes[1].judge(delivery.id, isGood ? .accept : .reject))
                    #expect(await nodes[1].judge(delivery.id, .accept) == false)
                }
            }
            let heard = try await within {
                for await delivery in last { return String(decoding: delivery.message.data, as: UTF8.self) }
                throw TookTooLong()
            }
            #expect(heard == "good")
            await close(nodes)
        }

        @Test func `keep values for each other, and find who provides and where peers are`() async throws {
            let nodes = try await row(of: 3)
            #expect(try await within { try await nodes[0].addContact(nodes[1].id) })
            #expect(await nodes[1].contactCount == 2)
            let key = Array("/v/name".utf8)
            #expect(try await within { try await nodes[0].putValue([1, 2, 3], under: key) } == 2)
            #expect(try await within { try await nodes[2].getValue(of: key) } == [1, 2, 3])

            let multihash = Multihash.sha256(of: [7]).bytes
            #expect(try await within { try await nodes[0].provide(multihash) } == 2)
            let found = try await within { try await nodes[2].findProviders(of: multihash, count: 1) }
            #expect(found.map(\.id) == [nodes[0].id])

            let peer = try await within { try await nodes[2].findPeer(nodes[0].id) }
            #expect(peer.addresses == (await nodes[0].listenAddresses))

            await #expect(throws: NodeError.kad(.invalidValue)) {
                try await within { try await nodes[0].putValue([UInt8](repeating: 0, count: 100), under: key) }
            }
            await #expect(throws: NodeError.kad(.unknownNamespace)) {
                try await within { try await nodes[0].getValue(of: Array("/w/name".utf8)) }
            }
            await #expect(throws: NodeError.kad(.notFound)) { try await within { try await nodes[0].getValue(of: Array("/v/other".utf8)) } }
            await close(nodes)
        }

        @Test func `do without what their configuration leaves out, and say so`() async throws {
            let (node, address) = try await wholeNode { configuration in
                configuration.gossipsub = nil
                configuration.kad = nil
            }
            let (other, _) = try await wholeNode()
            _ = try await within { try await other.dial(node.id, at: [address]) }
            let found = try await within { try await other.identify(node.id) }
            #expect(Set(found.protocols ?? []).isDisjoint(with: ["/meshsub/1.1.0", "/ipfs/kad/1.0.0"]))
            #expect(try await within { try await other.ping(node.id) }.count == 1)
            await #expect(throws: NodeError.notConfigured(.gossipsub)) { try await node.subscribe(to: "topic") }
            await #expect(throws: NodeError.notConfigured(.gossipsub)) { try await node.publish([1], to: "topic") }
            await #expect(throws: NodeError.notConfigured(.kad)) { try await node.getValue(of: Array("/v/name".utf8)) }
            await close([node, other])
        }

        @Test func `close while questions wait, and end the streams of subscribers`() async throws {
            let nodes = try await row(of: 2)
            let events = await nodes[0].events()
            let messages = try await nodes[0].subscribe(to: "topic")
            // The other one's loop stands still: nothing is answered.
            nodes[1].executor.queue.suspend()
            let waiting = Task {
                await withTaskGroup(of: NodeError?.self) { group in
                    let (node, peer) = (nodes[0], nodes[1].id)
                    group.addTask { await Self.failure { () throws(NodeError) in _ = try await node.ping(peer) } }
                    group.addTask { await Self.failure { () throws(NodeError) in _ = try await node.identify(peer) } }
                    group.addTask { await Self.failure { () throws(NodeError) in _ = try await node.getValue(of: Array("/v/name".utf8)) } }
                    return await group.reduce(into: []) { $0.append($1) }
                }
            }
            try await within { while await !nodes[0].isAskedForAll { await Task.yield() } }
            await nodes[0].close()
            #expect(try await within { await waiting.value } == [.closed, .closed, .closed])
            #expect(try await within { await messages.reduce(0) { count, _ in count + 1 } } == 0)
            for await _ in events {}
            nodes[1].executor.queue.resume()
            await nodes[1].close()
        }

        private static func failure(_ work: () async throws(NodeError) -> Void) async -> NodeError? {
            do throws(NodeError) {
                try await work()
                return nil
            } catch {
                return error
            }
        }
    }
}

extension PosixNode {
    /// Whether somebody waits for each kind of answer.
    fileprivate var isAskedForAll: Bool {
        self.waiters.pings.count > 0 && self.waiters.identifications.count > 0 && self.waiters.kad.count > 0
    }
}
