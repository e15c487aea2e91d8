import CryptoPrimitives
import Testing

@testable import LibP2P

struct `Random lives of swarms` {
    /// What a swarm counts must be what there is.
    private func check(_ node: TestNode, _ comment: Comment) {
        let links = Array(node.swarm.links.values)
        let live = links.filter { $0.value.closing == nil }
        let established = live.filter { $0.value.connection.step == .established }
        #expect(node.swarm.establishedCount == established.count, comment)
        #expect(
            node.swarm.inboundHandshakeCount == live.filter { !$0.value.isOutbound && $0.value.connection.step != .established }.count,
            comment)
        #expect(node.swarm.inboundCountsByAddress.values.reduce(0, +) == live.filter { !$0.value.isOutbound }.count, comment)
        #expect(node.swarm.linkByteCount == links.reduce(0) { $0 + $1.value.heldByteCount }, comment)
        #expect(links.allSatisfy { $0.value.heldByteCount == $0.value.connection.heldByteCount && !$0.value.isTouched }, comment)
        #expect(Set(node.swarm.peers.values.flatMap(\.connections)) == Set(established.map { $0.value.id }), comment)
        #expect(node.swarm.peers.values.allSatisfy { !$0.connections.isEmpty }, comment)
        #expect(Set(live.flatMap { $0.value.streams.values }) == Set(node.swarm.streams.keys), comment)
        let inbound = node.swarm.streams.values.filter(\.isInbound)
        #expect(node.swarm.peers.values.reduce(0) { $0 + $1.inboundStreamCount } == inbound.count, comment)
        #expect(node.swarm.peers.values.reduce(0) { $0 + $1.inboundStreamCounts.values.reduce(0, +) } == inbound.count, comment)
        #expect(node.swarm.pendingWriteByteCount == node.swarm.streams.values.reduce(0) { $0 + $1.pendingByteCount }, comment)
        #expect(node.swarm.pendingWriteByteCount == links.reduce(0) { $0 + $1.value.pendingWriteByteCount }, comment)
        let attempts = Set(node.swarm.ladders.values.flatMap(\.attempts.keys))
        #expect(attempts.isSubset(of: node.swarm.attemptPeers.keys), comment)
        for id in node.swarm.attemptPeers.keys {
            #expect(node.swarm.pendingDials[id] != nil || node.swarm.links[id] != nil, comment)
        }
    }

    @Test(arguments: UInt64(0)..<40)
    func `leave nothing behind, whatever happens in them`(seed: UInt64) throws {
        var limits = SwarmLimits()
        limits.connectionCountOfPeerMax = 3
        limits.inboundStreamCountMax = 4
        limits.connection.idleTimeout = .seconds(20)
        let world = try SwarmWorld(seed: seed, nodeCount: 4, limits: limits)
        var random = SeededRandom(seed: seed &+ 1_000)
        for node in world.nodes {
            node.echoes = true
            node.swarm.serve("/echo/1.0.0")
        }
        for step in 0..<120 {
            let node = world.nodes[Int.random(in: 0..<4, using: &random)]
            let other = world.nodes[Int.random(in: 0..<4, using: &random)]
            let streams = node.swarm.streams.keys.sorted()
            switch Int.random(in: 0..<14, using: &random) {
            case 0...2: node.swarm.dial(other.id, at: [other.address], now: world.now)
            case 3:
                node.swarm.dial(other.id, at: [other.address, world.nodes[0].address], options: .holePunch(as: .dialer), now: world.now)
            case 4: node.swarm.dial(other.address, now: world.now)
            case 5...7: _ = node.swarm.open(["/none", "/echo/1.0.0"], to: other.id, now: world.now)
            case 8, 9:
                guard let id = streams.randomElement(using: &random) else { break }
                try? node.swarm.write([UInt8](repeating: 1, count: Int.random(in: 0...100_000, using: &random)), to: id, now: world.now)
            case 10: if let id = streams.randomElement(using: &random) { node.swarm.closeWrite(id, now: world.now) }
            case 11: if let id = streams.randomElement(using: &random) { node.swarm.reset(id, now: world.now) }
            case 12: if Int.random(in: 0..<4, using: &random) == 0 { node.swarm.disconnect(other.id, now: world.now) }
            default:
                guard let id = node.swarm.links.keys.sorted().randomElement(using: &random) else { break }
                if Bool.random(using: &random) {
                    node.swarm.endOfInput(id, now: world.now)
                } else {
                    node.swarm.receive((0..<50).map { _ in UInt8(truncatingIfNeeded: random.next()) }, from: id, now: world.now)
                }
            }
            world.run(for: .milliseconds(Int64.random(in: 0...40, using: &random)))
            for node in world.nodes { self.check(node, "replay: seed \(seed), step \(step)") }
        }
        let events = world.nodes.flatMap(\.events)
        #expect(events.connected.count >= 4 && events.inboundStreams.count >= 2, "a life in which something happened")
        for node in world.nodes { node.swarm.shutDown(now: world.now) }
        world.run(for: .seconds(300))
        for node in world.nodes {
            self.check(node, "replay: seed \(seed), at the end")
            #expect(node.swarm.links.isEmpty && node.swarm.streams.isEmpty && node.swarm.pendingDials.isEmpty, "replay: seed \(seed)")
            #expect(
                node.swarm.ladders.isEmpty && node.swarm.attemptPeers.isEmpty && node.swarm.deadlines.count == 0, "replay: seed \(seed)")
            #expect(node.swarm.heldByteCount == node.swarm.addressBook.heldByteCount)
        }
    }
}

struct `An address book` {
    private let peer = Result { try KnownNode(1).id }

    private func address(_ number: Int) throws -> Multiaddr { try Multiaddr(text: "/ip4/192.0.2.\(number % 250 + 1)/tcp/\(number + 1)") }

    @Test func `gives what a peer signed before what others say, and forgets in time`() throws {
        let peer = try self.peer.get()
        var book = AddressBook()
        book.add([try self.address(1)], of: peer, from: .hearsay, now: .zero)
        book.add([try self.address(2)], of: peer, from: .signed, now: .zero)
        book.add([try self.address(3)], of: peer, from: .configured, now: .zero)
        book.add([try self.address(1)], of: peer, from: .hearsay, now: .seconds(300))
        #expect(book.addresses(of: peer, now: .seconds(899)) == [try self.address(3), try self.address(2), try self.address(1)])
        #expect(book.addresses(of: peer, now: .seconds(900)) == [try self.address(3), try self.address(2)])
        #expect(book.addresses(of: peer, now: .seconds(1_800)) == [try self.address(3)])
        book.remove(try self.address(1), of: peer)
        #expect(book.addresses(of: peer, now: .zero) == [try self.address(3), try self.address(2)])
        // What the user gave is never forgotten: whoever else answers there for a while only puts it last.
        book.remove(try self.address(3), of: peer)
        #expect(book.addresses(of: peer, now: .zero) == [try self.address(2), try self.address(3)])
        book.add([try self.address(3)], of: peer, from: .connected, now: .zero)
        #expect(book.addresses(of: peer, now: .zero) == [try self.address(3), try self.address(2)])
        book.add([try self.address(4).appending(.p2p(KnownNode(2).id))], of: peer, from: .signed, now: .zero)
        #expect(book.addresses(of: peer, now: .zero).count == 2)
    }

    @Test func `takes a newer signed record for the older one, and no older one`() throws {
        let node = try KnownNode(1)
        var book = AddressBook()
        book.add([try self.address(9)], of: node.id, from: .identified, now: .zero)
        #expect(book.add(PeerRecord(peerID: node.id, sequence: 2, addresses: [try self.address(1)]), now: .zero) == true)
        #expect(book.add(PeerRecord(peerID: node.id, sequence: 1, addresses: [try self.address(2)]), now: .zero) == false)
        #expect(book.addresses(of: node.id, now: .zero) == [try self.address(1)])
        #expect(book.add(PeerRecord(peerID: node.id, sequence: 3, addresses: [try self.address(3)]), now: .zero) == true)
        #expect(book.addresses(of: node.id, now: .zero) == [try self.address(3)])
    }

    @Test func `keeps what a peer told itself, whatever record of it others bring`() throws {
        let node = try KnownNode(1)
        var book = AddressBook()
        func record(_ sequence: UInt64, _ number: Int) throws -> PeerRecord {
            PeerRecord(peerID: node.id, sequence: sequence, addresses: [try self.address(number)])
        }
        book.add([try self.address(8)], of: node.id, from: .hearsay, now: .zero)
        book.add([try self.address(9)], of: node.id, from: .identified, now: .zero)
        #expect(book.add(try record(5, 1), now: .zero) == true)
        // An old one says nothing, a newer one is one more place to try; the next takes its place and nothing else.
        #expect(book.add(try record(4, 2), from: .exchanged, now: .zero) == false)
        #expect(book.addresses(of: node.id, now: .zero) == [try self.address(1)])
        #expect(book.add(try record(7, 3), from: .exchanged, now: .zero) == true)
        #expect(book.addresses(of: node.id, now: .zero) == [try self.address(1), try self.address(3)])
        #expect(book.add(try record(8, 4), from: .exchanged, now: .zero) == true)
        #expect(book.addresses(of: node.id, now: .zero) == [try self.address(1), try self.address(4)])
        // The peer's own word counts by its own number.
        #expect(book.add(try record(6, 5), now: .zero) == true)
        #expect(book.addresses(of: node.id, now: .zero) == [try self.address(5)])
    }

    @Test func `holds no more bytes than its bounds, however long the addresses are`() throws {
        var book = AddressBook()
        let long = try (0..<8).map { try Multiaddr(text: "/dns4/\(String(repeating: "a", count: 248))\($0).ex/tcp/1/ws") }
        #expect(throws: MultiaddrError.self) { try Multiaddr(text: "/dns4/\(String(repeating: "a", count: 254))/tcp/1") }
        let configured = try PeerID(parsing: [0, 1, 0])
        book.add([try self.address(0)], of: configured, from: .configured, now: .zero)
        for number in 0..<5_000 {
            let peer = try PeerID(parsing: [0, 3, 1, UInt8(number >> 8), UInt8(number & 255)])
            book.add(long, of: peer, from: .signed, now: .milliseconds(number))
            #expect(book.heldByteCount <= AddressBook.byteCountMax)
        }
        #expect(book.addresses(of: configured, now: .zero).count == 1)
        let last = try PeerID(parsing: [0, 3, 1, UInt8(4_999 >> 8), UInt8(4_999 & 255)])
        let kept = book.addresses(of: last, now: .zero)
        #expect((1..<8).contains(kept.count))
        #expect(kept.reduce(0) { $0 + $1.bytes.count } <= AddressBook.addressByteCountMax)
        for peer in [configured] + (0..<5_000).compactMap({ try? PeerID(parsing: [0, 3, 1, UInt8($0 >> 8), UInt8($0 & 255)]) }) {
            book.removeAll(of: peer)
        }
        #expect(book.heldByteCount == 0)
    }

    @Test func `forgets peers of a household that has many before those of others`() throws {
        var book = AddressBook()
        let honest = try (1...100).map { try PeerID(parsing: [0, 2, 9, UInt8($0)]) }
        for (number, peer) in honest.enumerated() {
            book.add([try self.address(1)], of: peer, from: .signed, household: [UInt8(number)], now: .zero)
        }
        for number in 0..<10_000 {
            let peer = try PeerID(parsing: [0, 3, 1, UInt8(number >> 8), UInt8(number & 255)])
            book.add([try self.address(1)], of: peer, from: .signed, household: [1, 2, 3, 4], now: .seconds(1))
        }
        #expect(book.peerCount <= AddressBook.peerCountMax)
        #expect(honest.allSatisfy { book.addresses(of: $0, now: .seconds(1)).count == 1 })
    }

    @Test func `holds no more peers and addresses than its bounds, and keeps what the user gave`() throws {
        var book = AddressBook()
        let configured = try PeerID(parsing: [0, 1, 0])
        book.add([try self.address(0)], of: configured, from: .configured, now: .zero)
        for number in 0..<6_000 {
            let peer = try PeerID(parsing: [0, 3, 1, UInt8(number >> 8), UInt8(number & 255)])
            book.add([try self.address(1)], of: peer, from: .hearsay, now: .milliseconds(number))
            #expect(book.peerCount <= AddressBook.peerCountMax)
        }
        #expect(book.addresses(of: configured, now: .zero).count == 1)
        // Nobody is forgotten whom we know for those whom others name, whoever signs for them.
        let known = try KnownNode(2).id
        book.add([try self.address(1)], of: known, from: .identified, now: .zero)
        for number in 0..<6_000 {
            let peer = try PeerID(parsing: [0, 3, 2, UInt8(number >> 8), UInt8(number & 255)])
            book.add(PeerRecord(peerID: peer, sequence: 1, addresses: [try self.address(1)]), from: .exchanged, now: .seconds(100))
            #expect(book.peerCount <= AddressBook.peerCountMax)
        }
        #expect(book.addresses(of: known, now: .zero).count == 1)
        for number in 0..<20_000 where number < 6_000 || book.peerCount < AddressBook.peerCountMax {
            let peer = try PeerID(parsing: [0, 3, 3, UInt8(number >> 8), UInt8(number & 255)])
            book.add([try self.address(1)], of: peer, from: .connected, now: .seconds(100))
            #expect(book.peerCount <= AddressBook.peerCountMax)
        }
        let late = try KnownNode(3).id
        book.add([try self.address(1)], of: late, from: .hearsay, now: .seconds(100))
        #expect(book.addresses(of: late, now: .seconds(100)).isEmpty)
        book.add([try self.address(1)], of: late, from: .hearsay, now: .seconds(10_000))
        #expect(book.addresses(of: late, now: .seconds(10_000)).count == 1)
        for number in 0..<100 { book.add([try self.address(number)], of: configured, from: .hearsay, now: .zero) }
        let addresses = book.addresses(of: configured, now: .zero)
        #expect(addresses.count == AddressBook.addressCountMax)
        #expect(addresses.first == (try self.address(0)))
    }
}
