import CryptoPrimitives
import Testing

@testable import LibP2P

struct `A swarm` {
    @Test(arguments: UInt64(0)..<20)
    func `connects, and echoes a mebibyte with half-close`(seed: UInt64) throws {
        let world = try SwarmWorld(seed: seed, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        other.echoes = true
        other.swarm.serve("/echo/1.0.0")
        world.connect(0, to: 1)
        #expect(one.events.connected.map(\.peer) == [other.id])
        #expect(other.events.connected.map(\.peer) == [one.id])
        #expect(one.swarm.connections(to: other.id).first?.isOutbound == true)

        let id = try world.openStream(0, to: 1)
        var random = SeededRandom(seed: seed)
        let bytes = (0..<1_048_576).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        one.unwritten[id] = bytes
        one.closesAfterwards.insert(id)
        world.write(id, of: one)
        world.run(for: .seconds(20))
        #expect(one.received[id] == bytes)
        #expect(one.events.last == .ended(id))
        #expect(one.swarm.streamCount == 0 && other.swarm.streamCount == 0)
        #expect(one.swarm.heldByteCount == one.swarm.addressBook.heldByteCount && other.swarm.heldByteCount == 0)
    }

    @Test func `of three, each talks to both others`() throws {
        let world = try SwarmWorld(seed: 3, nodeCount: 3)
        for node in world.nodes {
            node.echoes = true
            node.swarm.serve("/echo/1.0.0")
        }
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            world.connect(one, to: other)
            let id = try world.openStream(one, to: other)
            try world.nodes[one].swarm.write([1, 2, 3], to: id, now: world.now)
            world.run(for: .seconds(1))
            #expect(world.nodes[one].received[id] == [1, 2, 3])
        }
        #expect(world.nodes.allSatisfy { $0.swarm.connectionCount == 2 && $0.swarm.connectedPeers.count == 2 })
    }

    // MARK: Dials

    @Test func `refuses another peer than the dialled one, and forgets the address`() throws {
        let world = try SwarmWorld(seed: 4, nodeCount: 3)
        let (one, other, third) = (world.nodes[0], world.nodes[1], world.nodes[2])
        one.swarm.addressBook.add([other.address], of: third.id, from: .hearsay, now: world.now)
        one.swarm.dial(third.id, now: world.now)
        world.run()
        let failure = DialAttemptFailure(
            address: other.address, reason: .connection(.handshake(.wrongPeer(expected: third.id, actual: other.id))))
        #expect(one.events == [.dialFailed(peer: third.id, .allFailed([failure]))])
        #expect(one.swarm.addressBook.addresses(of: third.id, now: world.now).isEmpty)
        #expect(one.swarm.pendingCount == 0 && other.swarm.pendingCount == 0)
        #expect(other.events.handshakeFailures == [.pipeEnded(at: .encrypting)])
    }

    @Test func `makes one dial of many wishes for one peer`() throws {
        let world = try SwarmWorld(seed: 5, nodeCount: 2)
        for _ in 0..<10 { world.nodes[0].swarm.dial(world.nodes[1].id, at: [world.nodes[1].address], now: world.now) }
        world.run()
        #expect(world.dials.count == 1)
        #expect(world.nodes[0].events.connected.count == 1)
        #expect(world.nodes[0].swarm.dial(world.nodes[1].id, now: world.now)?.peer == world.nodes[1].id)
        #expect(world.dials.count == 1)
    }

    @Test func `tries addresses by rank, each with a head start, and takes the first that leads there`() throws {
        let world = try SwarmWorld(seed: 6, nodeCount: 2)
        world.delayMax = .milliseconds(10)
        let texts = [
            "/ip4/198.51.100.7/tcp/4001/ws", "/ip4/198.51.100.7/tcp/4001", "/ip4/198.51.100.7/udp/4001/quic-v1", "/ip4/0.0.0.0/tcp/1",
            "/ip4/127.0.0.1/tcp/4001",
        ]
        let addresses = try texts.map { try Multiaddr(text: $0) }
        world.silent = Set(addresses)
        world.nodes[0].swarm.dial(world.nodes[1].id, at: addresses + [world.nodes[1].address], now: world.now)
        world.run()
        #expect(world.dials.map(\.address) == [addresses[4], world.nodes[1].address])
        #expect(world.dials.map(\.at) == [.zero, .milliseconds(250)])
        #expect(world.nodes[0].swarm.connectionCount == 1)
        #expect(world.nodes[0].swarm.pendingCount == 0)

        // Without the one that answers, all are tried, and the dial fails only when the last one's time is over.
        let alone = try SwarmWorld(seed: 6, nodeCount: 1)
        alone.silent = Set(addresses)
        let stranger = try KnownNode(9).id
        alone.nodes[0].swarm.dial(stranger, at: addresses, now: .zero)
        alone.run(for: .seconds(60))
        #expect(alone.dials.map(\.address) == [addresses[4], addresses[1], addresses[0]])
        let failures = alone.dials.map { DialAttemptFailure(address: $0.address, reason: .pipe(.timedOut)) }
        #expect(alone.nodes[0].events == [.dialFailed(peer: stranger, .allFailed(failures))])
    }

    @Test func `leaves a peer alone for longer and longer while all addresses fail, and comes back at once when asked to`() throws {
        let world = try SwarmWorld(seed: 7, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        other.isDeaf = true
        for _ in 0..<3 {
            one.swarm.dial(other.id, at: [other.address], now: world.now)
            world.run(for: .milliseconds(100))
        }
        #expect(world.dials.count == 1)
        #expect(one.events.dialFailures.count == 3)
        world.run(for: .seconds(2))
        one.swarm.dial(other.id, at: [other.address], now: world.now)
        world.run(for: .milliseconds(1_500))
        one.swarm.dial(other.id, at: [other.address], now: world.now)
        #expect(world.dials.count == 2)
        other.isDeaf = false
        var options = DialOptions()
        options.ignoresBackoff = true
        one.swarm.dial(other.id, at: [other.address], options: options, now: world.now)
        world.run()
        #expect(one.isConnected(to: other.id))
    }

    /// Addresses that lead nowhere, of the kinds that are tried first.
    private func lies() throws -> [Multiaddr] {
        try (1...64).map { try Multiaddr(text: $0.isMultiple(of: 2) ? "/ip4/127.0.0.1/tcp/\($0)" : "/ip4/10.9.9.\($0)/tcp/4001") }
    }

    @Test(arguments: [false, true])
    func `finds a peer whose address it knows, whatever strangers say of it`(isSilent: Bool) throws {
        let world = try SwarmWorld(seed: 8, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        world.delayMax = .milliseconds(10)
        let lies = try self.lies()
        if isSilent { world.silent = Set(lies) }
        var hearsay = DialOptions()
        hearsay.isHearsay = true

        // They are at it already when the owner dials: its address is tried at once.
        one.swarm.addressBook.add(lies, of: other.id, from: .hearsay, now: world.now)
        one.swarm.dial(other.id, at: lies.reversed(), options: hearsay, now: world.now)
        world.run(for: .seconds(2))
        #expect(!one.isConnected(to: other.id))
        one.swarm.dial(other.id, at: [other.address], now: world.now)
        world.run(for: .milliseconds(500))
        #expect(one.isConnected(to: other.id))

        // From now on the address is in the book, and comes before what strangers say. Its own failures count, theirs do not.
        other.swarm.disconnect(one.id, now: world.now)
        world.run(for: .seconds(1))
        #expect(!one.isConnected(to: other.id))
        one.swarm.dial(other.id, at: lies, options: hearsay, now: world.now)
        world.run(for: .milliseconds(500))
        #expect(one.isConnected(to: other.id))
    }

    @Test func `has a name lead into its own network only where its owner gave it`() throws {
        let world = try SwarmWorld(seed: 10, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        let names = try ["heard.example", "printer.local", "own.example", "given.example", "configured.example"]
            .map { try Multiaddr(text: "/dns4/\($0)/tcp/4001") }
        let addressBook: [(Int, AddressBook.Source)] = [(0, .hearsay), (2, .signed), (4, .configured)]
        for (index, source) in addressBook { one.swarm.addressBook.add([names[index]], of: other.id, from: source, now: world.now) }
        var hearsay = DialOptions()
        hearsay.isHearsay = true
        one.swarm.dial(other.id, at: [names[1]], options: hearsay, now: world.now)
        one.swarm.dial(other.id, at: [names[3]], now: world.now)
        var scopes: [Multiaddr: AddressScope?] = [:]
        for time in 0...10 as ClosedRange<Int64> {
            let now = Duration.milliseconds(250 * time)
            one.swarm.tick(now: now)
            while let command = one.swarm.nextCommand() {
                guard case .dial(let id, let raw) = command else { continue }
                scopes[raw.address] = .some(raw.leastScope)
                one.swarm.dialFailed(id, .refused, now: now)
            }
        }
        #expect(scopes[names[0]] == .some(.everywhere))
        #expect(scopes[names[1]] == .some(.local))
        #expect(scopes[names[2]] == .some(.everywhere))
        #expect(scopes[names[3]] == .some(nil))
        #expect(scopes[names[4]] == .some(nil))
    }

    @Test func `goes on with a dial for a direct connection when a relay answers that is asked beside it`() throws {
        let world = try SwarmWorld(seed: 13, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        let silent = try Multiaddr(text: "/ip4/203.0.113.9/tcp/4001")
        world.silent = [silent]
        var direct = DialOptions()
        direct.isDirect = true
        let circuit = try Multiaddr(text: "/p2p/\(try KnownNode(9).id)/p2p-circuit")
        one.swarm.dial(other.id, at: [circuit], now: world.now)
        one.swarm.dial(other.id, at: [silent], options: direct, now: world.now)
        var isDialling = one.swarm.isDialling(other.id)
        #expect(isDialling)
        world.run(for: .seconds(1))
        // Whoever has relays says that there is none; the direct dial has its time.
        for case .relayNeeded(let id, _) in one.events { one.swarm.dialFailed(id, .unreachable, now: world.now) }
        world.run(for: .seconds(5))
        isDialling = one.swarm.isDialling(other.id)
        #expect(isDialling)
        world.run(for: .seconds(15))
        isDialling = one.swarm.isDialling(other.id)
        #expect(!isDialling)
        #expect(one.events.dialFailures.count == 1)
    }

    @Test func `knows where it was connected by its owner's word, and where by a stranger's`() throws {
        for isHearsay in [false, true] {
            let world = try SwarmWorld(seed: 11, nodeCount: 2)
            let (one, other) = (world.nodes[0], world.nodes[1])
            var options = DialOptions()
            options.isHearsay = isHearsay
            one.swarm.dial(other.id, at: [other.address], options: options, now: world.now)
            world.run(for: .seconds(1))
            #expect(one.isConnected(to: other.id))
            let known = one.swarm.addressBook.dialAddresses(of: other.id, now: world.now)
            #expect(known.given == (isHearsay ? [] : [other.address]))
            #expect(known.own == (isHearsay ? [other.address] : []))
        }
    }

    @Test func `leaves half of its dials to what is known better than by hearsay`() throws {
        let world = try SwarmWorld(seed: 12, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        var hearsay = DialOptions()
        hearsay.isHearsay = true
        let lies = try (1...4).map { try Multiaddr(text: "/ip4/203.0.113.\($0)/tcp/4001") }
        world.silent = Set(lies)
        for number in 0..<200 as Range<UInt64> {
            let digest = SHA256.hash(Array("stranger \(number)".utf8)).bytes
            one.swarm.dial(try PeerID(parsing: [0x12, 0x20] + digest), at: lies, options: hearsay, now: world.now)
        }
        world.run(for: .seconds(5))
        #expect(one.swarm.pendingDials.count == 80)
        one.swarm.dial(other.id, at: [other.address], now: world.now)
        world.run(for: .milliseconds(200))
        #expect(one.isConnected(to: other.id))
    }

    @Test func `does not hold it against a peer that what strangers said of it led nowhere`() throws {
        let world = try SwarmWorld(seed: 9, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        var hearsay = DialOptions()
        hearsay.isHearsay = true
        for _ in 0..<2 {
            one.swarm.dial(other.id, at: try self.lies(), options: hearsay, now: world.now)
            world.run(for: .milliseconds(500))
        }
        // They had half of the places of one dial.
        #expect(world.dials.count == 16)
        guard case .backingOff? = one.events.dialFailures.last else {
            Issue.record("what strangers say is tried again at once: \(one.events)")
            return
        }
        one.swarm.dial(other.id, at: [other.address], now: world.now)
        world.run(for: .seconds(1))
        #expect(one.isConnected(to: other.id))
    }

    @Test(arguments: UInt64(0)..<50)
    func `keeps a connection whenever two dial each other at once`(seed: UInt64) throws {
        let world = try SwarmWorld(seed: seed, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        other.echoes = true
        other.swarm.serve("/echo/1.0.0")
        one.swarm.dial(other.id, at: [other.address], now: world.now)
        other.swarm.dial(one.id, at: [one.address], now: world.now)
        world.run(for: .seconds(10))
        #expect(one.swarm.connectionCount == other.swarm.connectionCount)
        #expect((1...2).contains(one.swarm.connectionCount))
        #expect(one.events.dialFailures.isEmpty && other.events.dialFailures.isEmpty)
        #expect(one.events.disconnected.isEmpty && other.events.disconnected.isEmpty)
        let id = try world.openStream(0, to: 1)
        try one.swarm.write([7], to: id, now: world.now)
        world.run(for: .seconds(200))
        #expect(one.received[id] == [7])
        // The one that nobody uses has ended.
        #expect(one.swarm.connectionCount == 1)
        #expect(one.swarm.pendingCount == 0 && other.swarm.pendingCount == 0)
    }

    @Test func `connects again after the connection was lost`() throws {
        let world = try SwarmWorld(seed: 8, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        for round in 1...3 {
            world.connect(0, to: 1)
            other.swarm.disconnect(one.id, now: world.now)
            world.run(for: .seconds(1))
            #expect(one.events.connected.count == round)
            #expect(one.events.disconnected.count == round)
            #expect(!one.isConnected(to: other.id) && !other.isConnected(to: one.id))
        }
        #expect(other.events.disconnected.allSatisfy { $0 == .closedHere(.requested) })
    }

    @Test func `dials nobody who is itself, denied, or without an address`() throws {
        let world = try SwarmWorld(seed: 9, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        one.swarm.dial(one.id, at: [one.address], now: .zero)
        one.swarm.dial(other.id, now: .zero)
        one.swarm.gate.deniedPeers = [other.id]
        one.swarm.dial(other.id, at: [other.address], now: .zero)
        world.run()
        #expect(one.events.dialFailures == [.refused(.ownIdentity), .noAddresses, .refused(.peerDenied)])
        #expect(world.dials.isEmpty)
    }

    // MARK: Ends

    @Test func `ends a connection that nobody uses, unless its peer is protected`() throws {
        let world = try SwarmWorld(seed: 10, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        one.swarm.protect(other.id, now: world.now)
        other.swarm.protect(one.id, now: world.now)
        world.connect(0, to: 1)
        world.run(for: .seconds(1_000))
        #expect(one.swarm.connectionCount == 1)
        one.swarm.unprotect(other.id, now: world.now)
        world.run(for: .seconds(200))
        #expect(one.events.disconnected == [.idle])
        #expect(other.events.disconnected == [.session(.connectionEnded)] || other.events.disconnected == [.pipeEnded(at: .established)])
        #expect(one.swarm.links.isEmpty && other.swarm.links.isEmpty)
    }

    @Test func `says goodbye to everybody when it shuts down`() throws {
        let world = try SwarmWorld(seed: 11, nodeCount: 3)
        world.connect(0, to: 1)
        world.connect(2, to: 0)
        world.nodes[0].swarm.shutDown(now: world.now)
        world.run()
        for node in world.nodes {
            #expect(node.swarm.links.isEmpty && node.swarm.peers.isEmpty)
            #expect(node.swarm.heldByteCount == node.swarm.addressBook.heldByteCount)
        }
    }

    @Test func `ends a dial whose only handshake its owner closes, and goes on with the next address`() throws {
        let world = try SwarmWorld(seed: 12, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        for isLast in [true, false] {
            // A pipe that stands, and a handshake that does not move.
            one.swarm.dial(
                other.id, at: isLast ? [other.address] : [other.address, try Multiaddr(text: "/ip4/192.0.2.1/tcp/1")], now: world.now)
            var dials: [ConnectionID] = []
            while let command = one.swarm.nextCommand() { if case .dial(let id, _) = command { dials.append(id) } }
            let id = try #require(dials.first)
            one.swarm.dialled(id, now: world.now)
            one.swarm.close(id, now: world.now)
            #expect(one.swarm.ladders[other.id] == nil || !isLast)
            #expect(one.swarm.attemptPeers[id] == nil)
            if !isLast { one.swarm.disconnect(other.id, now: world.now) }
            #expect(one.swarm.ladders.isEmpty && one.swarm.attemptPeers.isEmpty)
            one.swarm.backoffs = [:]
        }
    }

    @Test func `passes over a connection on which its peer takes no more streams, and dials a new one`() throws {
        let world = try SwarmWorld(seed: 13, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        other.swarm.serve("/echo/1.0.0")
        world.connect(0, to: 1)
        let old = try #require(one.swarm.connections(to: other.id).first)
        // Open streams go on, so the connection stays for a while.
        let stream = try world.openStream(0, to: 1)
        let link = try #require(one.swarm.links[old.id])
        link.value.hasGoneAway = true
        #expect(one.swarm.preferredConnection(to: other.id) == nil)
        let known = one.swarm.dial(other.id, at: [other.address], now: world.now)
        #expect(known == nil)
        world.run(for: .seconds(1))
        #expect(one.swarm.connections(to: other.id).count == 2)
        #expect(one.swarm.preferredConnection(to: other.id)?.id != old.id)
        #expect(one.swarm.connection(of: stream)?.id == old.id)
        _ = try world.openStream(0, to: 1)
    }

    /// Two nodes, the first of which has opened so many streams and says nothing on them.
    private func opened(_ count: Int, seed: UInt64, _ limits: SwarmLimits) throws -> (SwarmWorld, TestNode, TestNode) {
        let world = try SwarmWorld(seed: seed, nodeCount: 2, limits: limits)
        let (one, other) = (world.nodes[0], world.nodes[1])
        world.connect(0, to: 1)
        let link = try #require(one.swarm.links.values.first)
        for _ in 0..<count { _ = try link.value.connection.session.open(now: world.now) }
        one.swarm.touch(link)
        one.swarm.settle(now: world.now)
        world.run(for: .seconds(1))
        return (world, one, other)
    }

    @Test func `counts what sessions have seen, of connections that stand and of those that are over`() throws {
        var limits = SwarmLimits()
        limits.connection.negotiatingStreamCountMax = 4
        let (world, one, other) = try self.opened(10, seed: 14, limits)
        #expect(other.swarm.counters.refusedNegotiations == 0)
        #expect(other.swarm.totalCounters.refusedNegotiations == 6)
        let info = try #require(other.events.connected.first)
        let refused = SwarmEvent.streamRefused(info, .tooManyNegotiating(maximum: 4))
        #expect(other.events.filter { $0 == refused }.count == 6 && other.events.streamRefusals.count == 6)
        one.swarm.disconnect(other.id, now: world.now)
        world.run(for: .seconds(1))
        #expect(other.swarm.counters.refusedNegotiations == 6)
        #expect(other.swarm.totalCounters == other.swarm.counters)
        #expect(one.swarm.counters.sessions.lateFrames == one.swarm.totalCounters.sessions.lateFrames)
    }

    @Test func `tells of streams beyond their number, however many came at once`() throws {
        var limits = SwarmLimits()
        limits.connection.yamux.inboundStreamCountMax = 4
        let (_, _, other) = try self.opened(10, seed: 20, limits)
        #expect(other.swarm.totalCounters.sessions.refusedStreams == 6)
        #expect((1...6).contains(other.events.streamRefusals.count))
        #expect(other.events.streamRefusals.allSatisfy { $0 == .refusedBySession })
        #expect(other.events.disconnected.isEmpty)
    }

    @Test func `tells nothing of a connection after its end, whatever came in its last bytes`() throws {
        var limits = SwarmLimits()
        limits.connection.yamux.inboundStreamCountMax = 4
        limits.connection.yamux.refusalCountMax = 8
        let (_, _, other) = try self.opened(60, seed: 21, limits)
        let info = try #require(other.events.connected.first)
        let end = try #require(other.events.lastIndex { if case .disconnected(info, _) = $0 { true } else { false } })
        #expect(other.events.streamRefusals.contains(.refusedBySession))
        #expect(!other.events[end...].contains(.streamRefused(info, .refusedBySession)))
    }

    @Test func `tells why it reset a peer's streams, of a crowd of them a few, and counts all`() throws {
        let world = try SwarmWorld(seed: 19, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        other.swarm.serve("/echo/1.0.0")
        world.connect(0, to: 1)
        let link = try #require(one.swarm.links.values.first)
        func open(_ count: Int, saying bytes: [UInt8]) throws {
            for _ in 0..<count {
                let id = try link.value.connection.session.open(now: world.now)
                try link.value.connection.session.write(bytes, to: id)
            }
            one.swarm.touch(link)
            one.swarm.settle(now: world.now)
            world.run(for: .seconds(1))
        }
        // A line without its newline, and an empty one whose length takes two bytes.
        try open(1, saying: [1, 65])
        #expect(other.events.streamRefusals == [.negotiation(.newlineMissing)])
        try open(1, saying: [0x80, 0])
        #expect(other.events.streamRefusals.last == .negotiation(.lengthNotMinimal))
        try open(200, saying: [1, 65])
        #expect(other.swarm.totalCounters.failedNegotiations == 202)
        #expect((15...24).contains(other.events.streamRefusals.count))
        // Who has been quiet for a while is told of again.
        let told = other.events.streamRefusals.count
        world.run(for: .seconds(20))
        try open(1, saying: [1, 65])
        #expect(other.events.streamRefusals.count == told + 1)

        // Data after the end of a stream that is agreed on.
        let stream = try world.openStream(0, to: 1)
        let number = try #require(one.swarm.streams[stream]?.yamux.rawValue)
        one.swarm.closeWrite(stream, now: world.now)
        world.run(for: .seconds(20))
        let frame: [UInt8] = [0, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) } + [0, 0, 0, 1, 7]
        let bytes = try #require(try link.value.connection.channel?.send(frame))
        let session = try #require(other.swarm.links.values.first)
        other.swarm.receive(bytes, from: session.value.id, now: world.now)
        world.run(for: .seconds(1))
        #expect(session.value.connection.counters.dataAfterEnd == 1)
        #expect(other.events.streamRefusals.last == .session(.dataAfterEnd) && other.swarm.counters.brokenStreams == 1)
    }

    @Test func `says why a pipe is over, or was not taken`() throws {
        let world = try SwarmWorld(seed: 15, nodeCount: 1)
        let node = world.nodes[0]
        let address = try Multiaddr(text: "/ip4/192.0.2.1/tcp/1/ws")
        let accepted = node.swarm.accepted(from: address, now: world.now)
        let id = try #require(accepted)
        node.swarm.endOfInput(id, violation: .textFrame, now: world.now)
        node.swarm.refused(.noDescriptors, from: address, now: world.now)
        world.pump()
        #expect(node.events.handshakeFailures == [.webSocket(.textFrame)])
        #expect(node.events.refusals == [.noDescriptors])
        #expect(node.swarm.counters.brokenPipes == 1)
        #expect(node.swarm.counters.refusedPipes == 1)
    }

    @Test func `keeps so many bytes of what a peer says that it speaks, and counts them`() throws {
        let world = try SwarmWorld(seed: 16, nodeCount: 2)
        let (one, other) = (world.nodes[0], world.nodes[1])
        world.connect(0, to: 1)
        let before = one.swarm.heldByteCount
        one.swarm.learned((0..<200).map { "/\($0)" + String(repeating: "x", count: 400) }, of: other.id, now: world.now)
        let kept = one.swarm.protocolIDs(of: other.id)
        #expect(kept.count == 20)
        #expect((8_000..<10_000).contains(one.swarm.heldByteCount - before))
    }
}
