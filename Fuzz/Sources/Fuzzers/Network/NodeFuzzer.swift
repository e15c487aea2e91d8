import CryptoPrimitives
import LibP2P
import Synchronization

extension Fuzzer {
    /// A whole node with several pipes: at their other ends peers that are honest up to their streams, and some that are not at all.
    static let node = Fuzzer(
        name: "node", byteCountMax: 2_048, seeds: { NodePlay.seeds },
        run: { start, count in
            var script = PlayScript(input(start, count))
            let play = NodePlay()
            while !script.isOver { play.carryOut(&script) }
            play.finish()
            return 0
        })
}

/// The other end of a pipe.
private final class FarEnd {
    /// `nil` for one whose bytes are the script's.
    let peer: PeerIdentity?
    var connection: Connection
    var streams: [YamuxStreamID] = []
    /// It takes no bytes of the node.
    var isStanding = false
    /// The node has bytes for it.
    var isOwed = false

    init(_ number: Int, _ role: ConnectionRole, isHonest: Bool, now: Duration) throws {
        self.peer = isHonest ? KnownPeers.identities[number] : nil
        self.connection = try Connection(
            role, staticKey: KnownPeers.staticKeys[number], ephemeral: NodePlay.ephemeralKey(), limits: NodePlay.limits.connection, now: now
        )
    }
}

private final class NodePlay {
    private enum Step: UInt8, CaseIterable {
        case accept, answerDial, open, sendMessage, sendChanged, sendFrame, finishStream, sendIntoPipe, endPipe, stand, wait, use
    }

    static let limits: SwarmLimits = {
        var limits = SwarmLimits()
        limits.connectionCountMax = 6
        limits.connectionCountHighWater = 5
        limits.trimmedConnectionCount = 3
        limits.connectionCountOfPeerMax = 2
        limits.inboundHandshakeCountMax = 3
        limits.dialCountMax = 4
        limits.inboundStreamCountMax = 4
        limits.inboundStreamCountOfPeerMax = 16
        limits.pendingWriteByteCountMax = 16_384
        limits.heldByteCountMax = 262_144
        limits.connection.negotiatingStreamCountMax = 8
        limits.connection.yamux.inboundStreamCountMax = 32
        limits.connection.yamux.receiveBufferByteCountMax = 131_072
        limits.connection.yamux.sendBufferByteCountMax = 16_384
        return limits
    }()

    private static let ephemeralCount = Atomic<UInt64>(0)

    static func ephemeralKey() throws(SecretMemoryError) -> X25519.SecretKey {
        try KnownPeers.ephemeralKey(1_000 + Self.ephemeralCount.wrappingAdd(1, ordering: .relaxed).newValue)
    }

    private static let messages: [[UInt8]] =
        (NetworkMessages.identify + [
            NetworkMessages.reserve, NetworkMessages.connect(to: KnownPeers.others[0].id),
            NetworkMessages.connect(to: KnownPeers.others[1].id),
            NetworkMessages.reservation, NetworkMessages.circuit, NetworkMessages.stopConnect(from: KnownPeers.others[1].id),
            NetworkMessages.stopStatus(100), NetworkMessages.holePunchConnect, NetworkMessages.holePunchSync,
        ]).map(FrameReader.frame) + NetworkMessages.gossip + NetworkMessages.kad + Plans.ping.messages + Plans.requestResponse.messages

    /// What one step may give rise to.
    private static let outputCountMax = 100_000

    private var node: Node
    private let requests: ProtocolHandle<RequestResponse>
    private var now = KnownPeers.start
    private var ends: [ConnectionID: FarEnd] = [:]
    private var dials: [(id: ConnectionID, raw: RawDial)] = []
    private var ownStreams: [StreamID] = []
    private var questions: [RequestResponse.Question] = []

    init() {
        Self.ephemeralCount.store(0, ordering: .relaxed)
        var configuration = Node.Configuration(agentVersion: "own/1", addresses: Array(KnownPeers.addresses.prefix(2)))
        configuration.limits = Self.limits
        configuration.gossipsub = Plans.gossipParameters
        configuration.kad = Plans.kadConfiguration
        configuration.relayServer = RelayServer.Configuration()
        let now = KnownPeers.start
        var node = Node(
            KnownPeers.own, staticKey: KnownPeers.staticKeys[0],
            makeEphemeralKey: { () throws(SecretMemoryError) in try Self.ephemeralKey() },
            configuration: configuration, seed: 1, unixTimeOffset: KnownPeers.unixOffset, now: now)
        self.requests = node.swarm.add(Plans.requestResponse.machine(), now: now)
        node.swarm.serve("/echo/1")
        node.announce(now: now)
        if let gossipsub = node.gossipsub { node.swarm.update(gossipsub, now: now) { _ = $0.subscribe("a", now: now) } }
        self.node = node
        self.settle()
    }

    private var endIDs: [ConnectionID] { self.ends.keys.sorted() }

    func carryOut(_ script: inout PlayScript) {
        let step = Step.allCases[script.choice(Step.allCases.count)]
        switch step {
        case .accept: self.accept(&script)
        case .answerDial: self.answerDial(&script)
        case .use: self.use(&script)
        case .wait:
            let (unit, count) = (script.choice(5), Int(script.byte()))
            self.now += [Duration.milliseconds(count), .seconds(count), .seconds(60 * count)][min(unit, 2)]
            if unit > 2 { self.now = max(self.now, self.node.swarm.deadline ?? self.now) }
        case .open, .sendMessage, .sendChanged, .sendFrame, .finishStream, .sendIntoPipe, .endPipe, .stand:
            guard let id = script.choice(of: self.endIDs), let end = self.ends[id] else { break }
            self.act(step, id, end, &script)
        }
        self.settle()
    }

    // MARK: Pipes

    private func accept(_ script: inout PlayScript) {
        let (what, address) = (script.byte(), script.choice(KnownPeers.addresses.count))
        guard let id = self.node.swarm.accepted(from: KnownPeers.addresses[address], now: self.now) else { return }
        self.ends[id] = try? FarEnd(Int(what) % KnownPeers.identities.count, .dialer, isHonest: what & 0x80 == 0, now: self.now)
    }

    private func answerDial(_ script: inout PlayScript) {
        guard !self.dials.isEmpty else { return }
        let (dial, what) = (self.dials.remove(at: script.choice(self.dials.count)), script.byte())
        guard what & 3 != 3 else {
            let failures: [RawDialFailure] = [.refused, .timedOut, .nameNotFound("a.example"), .tooManyDescriptors]
            return self.node.swarm.dialFailed(dial.id, failures[Int(what >> 2) % failures.count], now: self.now)
        }
        // Mostly the peer that is expected.
        let expected = KnownPeers.identities.firstIndex { $0.id == dial.raw.peer } ?? 1
        let number = what & 3 == 2 ? Int(what >> 2) % KnownPeers.identities.count : expected
        self.ends[dial.id] = try? FarEnd(number, .listener, isHonest: what & 0x80 == 0, now: self.now)
        self.node.swarm.dialled(dial.id, now: self.now)
    }

    private func act(_ step: Step, _ id: ConnectionID, _ end: FarEnd, _ script: inout PlayScript) {
        switch step {
        case .open:
            guard let name = script.choice(of: self.node.swarm.servedProtocolIDs), end.connection.step == .established else { return }
            if let stream = try? end.connection.open([name], isLazy: true, now: self.now) { end.streams.append(stream) }
        case .sendMessage: self.write(script.choice(of: Self.messages) ?? [], to: end, &script)
        case .sendChanged:
            var bytes = script.choice(of: Self.messages) ?? []
            if !bytes.isEmpty { bytes[script.number() % bytes.count] ^= script.byte() }
            self.write(bytes, to: end, &script)
        case .sendFrame: self.write(FrameReader.frame(script.bytes()), to: end, &script)
        case .finishStream:
            guard let stream = self.stream(of: end, &script) else { return }
            if script.flag() { end.connection.closeWrite(stream) } else { end.connection.reset(stream, now: self.now) }
        case .sendIntoPipe: self.node.swarm.receive(script.bytes(), from: id, now: self.now)
        case .endPipe:
            self.ends[id] = nil
            self.node.swarm.endOfInput(id, now: self.now)
        case .stand:
            end.isStanding.toggle()
            end.isOwed = true
        case .accept, .answerDial, .wait, .use: break
        }
    }

    /// The newest one for 0.
    private func stream(of end: FarEnd, _ script: inout PlayScript) -> YamuxStreamID? { script.choice(of: end.streams.reversed()) }

    private func write(_ bytes: [UInt8], to end: FarEnd, _ script: inout PlayScript) {
        guard !bytes.isEmpty, let stream = self.stream(of: end, &script) else { return }
        try? end.connection.write(bytes, to: stream)
    }

    // MARK: The node's owner

    private func use(_ script: inout PlayScript) {
        let now = self.now
        let peer = Plans.peer(&script)
        let addresses = Array(KnownPeers.addresses.prefix(script.choice(7)))
        switch script.choice(16) {
        case 0: self.node.swarm.dial(peer, at: addresses, now: now)
        case 1: self.node.swarm.disconnect(peer, now: now)
        case 2: if script.flag() { self.node.swarm.protect(peer, now: now) } else { self.node.swarm.unprotect(peer, now: now) }
        case 3: self.node.swarm.update(self.node.ping, now: now) { $0.ping(peer, bytes: [UInt8](repeating: 1, count: 32), now: now) }
        case 4: self.node.swarm.update(self.node.identify, now: now) { $0.identify(peer, now: now) }
        case 5:
            let data = [UInt8](repeating: 2, count: 8 * Int(script.byte()))
            let sequence = UInt64(script.byte())
            guard let gossipsub = self.node.gossipsub else { return }
            self.node.swarm.update(gossipsub, now: now) { _ = try? $0.publish(data, to: "a", sequence: sequence, now: now) }
        case 6, 7:
            guard let kad = self.node.kad else { return }
            let puts = script.flag()
            self.node.swarm.update(kad, now: now) { machine in
                _ = puts ? machine.put(key: NetworkMessages.keys[0], value: [7, 1], now: now) : machine.findPeer(peer, now: now)
            }
        case 8: self.node.reserve(at: peer, now: now)
        case 9: self.node.cancelReservation(at: peer, now: now)
        case 10: self.node.upgrade(peer, now: now)
        case 11: self.node.swarm.update(self.requests, now: now) { _ = try? $0.send([1, 2], to: peer, now: now) }
        case 12:
            guard let question = self.questions.popLast() else { return }
            self.node.swarm.update(self.requests, now: now) { try? $0.answer(question, with: [3], now: now) }
        case 13: _ = self.node.swarm.open(["/echo/1"], to: peer, onLimited: script.flag(), now: now)
        case 14:
            guard let stream = script.choice(of: self.ownStreams) else { return }
            try? self.node.swarm.write([UInt8](repeating: 4, count: 64 * Int(script.byte())), to: stream, now: now)
            if script.flag() { self.node.swarm.closeWrite(stream, now: now) }
        default: self.node.setAddresses(addresses, now: now)
        }
    }

    // MARK: Carrying

    /// Carries bytes to and fro until nothing moves, and gives the node the time that it asked for.
    private func settle() {
        var outputCount = 0
        var tickCount = 0
        repeat {
            while self.pump(&outputCount) {}
            guard let deadline = self.node.swarm.deadline, deadline <= self.now else { break }
            self.node.swarm.tick(now: self.now)
            tickCount += 1
            require(tickCount < 64, "a tick takes the deadline on")
        } while true
        self.check()
    }

    private static func count(_ outputCount: inout Int) {
        outputCount += 1
        require(outputCount <= Self.outputCountMax, "what a step gives rise to has an end")
    }

    private func pump(_ outputCount: inout Int) -> Bool {
        var hasMoved = false
        while let event = self.node.nextEvent(now: self.now) {
            Self.count(&outputCount)
            self.hear(event)
        }
        while let event = self.node.swarm.nextEvent(of: self.requests) {
            Self.count(&outputCount)
            if case .asked(let question, _) = event { self.questions.append(question) }
        }
        while let command = self.node.swarm.nextCommand() {
            Self.count(&outputCount)
            hasMoved = true
            self.carryOut(command)
        }
        for id in self.endIDs {
            guard let end = self.ends[id] else { continue }
            if end.isOwed, !end.isStanding {
                end.isOwed = false
                hasMoved = true
                self.drain(id, end, &outputCount)
            }
            self.listen(to: end)
            while end.peer != nil, end.connection.hasOutput {
                let bytes = end.connection.takeOutput(upTo: 16_384, now: self.now)
                if bytes.isEmpty { break }
                Self.count(&outputCount)
                hasMoved = true
                self.node.swarm.receive(bytes, from: id, now: self.now)
            }
        }
        return hasMoved
    }

    /// All that the node has for a pipe, now.
    private func drain(_ id: ConnectionID, _ end: FarEnd, _ outputCount: inout Int) {
        while true {
            let bytes = self.node.swarm.takeOutput(of: id, upTo: 16_384, now: self.now)
            if bytes.isEmpty { return }
            Self.count(&outputCount)
            if end.peer != nil { end.connection.receive(bytes, now: self.now) { _ in true } }
        }
    }

    /// What the far end learns: it takes every stream and reads everything.
    private func listen(to end: FarEnd) {
        while let event = end.connection.nextEvent() {
            switch event {
            case .inbound(let stream, _): end.streams.append(stream)
            case .readable(let stream): while end.connection.read(from: stream, now: self.now) != nil {}
            case .reset(let stream, _), .finished(let stream), .failed(let stream, _): end.streams.removeAll { $0 == stream }
            default: break
            }
        }
    }

    private func carryOut(_ command: SwarmCommand) {
        switch command {
        case .dial(let id, let raw): self.dials.append((id, raw))
        case .send(let id): self.ends[id]?.isOwed = true
        case .close(let id, let afterOutput):
            self.dials.removeAll { $0.id == id }
            if afterOutput, let end = self.ends[id] {
                var count = 0
                self.drain(id, end, &count)
            }
            self.ends[id] = nil
        }
    }

    private func hear(_ event: Node.Event) {
        switch event {
        case .swarm(.streamOpened(_, let stream, _)), .swarm(.streamInbound(let stream, _, _)): self.ownStreams.append(stream)
        case .swarm(.readable(let stream)): while self.node.swarm.read(stream, now: self.now) != nil {}
        case .swarm(.reset(let stream)): self.ownStreams.removeAll { $0 == stream }
        default: break
        }
    }

    // MARK: What must hold

    private func check() {
        let limits = Self.limits
        let swarm = (
            held: self.node.swarm.heldByteCount - self.node.swarm.addressBook.heldByteCount,
            connections: self.node.swarm.connectionCount, pending: self.node.swarm.pendingCount,
            streams: self.node.swarm.streamCount, known: self.node.swarm.addressBook.peerCount
        )
        require(swarm.connections <= limits.connectionCountMax, "no more connections than may be")
        // Closed ones may still say goodbye.
        require(swarm.pending <= limits.dialCountMax + limits.inboundHandshakeCountMax + limits.connectionCountMax + 64, "few are pending")
        require(swarm.streams <= limits.connectionCountMax * 64, "no more streams than may be")
        require(swarm.known <= KnownPeers.identities.count + 8, "an address book has the peers that there are")
        require(self.node.swarm.addressBook.heldByteCount <= AddressBook.byteCountMax, "an address book holds no more than it may")
        // Connections, what waits for streams, and the machines with their low limits.
        require(swarm.held <= limits.heldByteCountMax + swarm.streams * limits.pendingWriteByteCountMax + 1_048_576, "memory is bounded")
    }

    func finish() {
        self.node.swarm.shutDown(now: self.now)
        for id in self.endIDs { self.ends[id]?.isStanding = false }
        self.settle()
        for _ in 0..<4 {
            self.now += .seconds(100)
            self.settle()
        }
        // Machines may have begun to dial again.
        self.node.swarm.shutDown(now: self.now)
        self.settle()
        require(self.node.swarm.connectionCount == 0 && self.node.swarm.pendingCount == 0, "a swarm that was shut down has no connections")
        require(self.node.swarm.streamCount == 0, "a swarm that was shut down has no streams")
    }

    // MARK: Seeds

    static let seeds: [[UInt8]] = {
        func step(_ step: Step, _ bytes: UInt8...) -> [UInt8] { [step.rawValue] + bytes }
        let names = NodePlay().node.swarm.servedProtocolIDs
        let meeting = step(.accept, 1, 0) + step(.accept, 2, 1)
        var seeds: [[UInt8]] = []
        for name in names.indices.map({ UInt8($0) }) {
            for start in stride(from: 0, to: NodePlay.messages.count, by: 6) {
                let end = min(start + 6, NodePlay.messages.count)
                let talk = (start..<end).flatMap {
                    step(.open, 0, name) + step(.sendMessage, 0, UInt8($0), 0) + (($0 & 1) == 0 ? step(.finishStream, 0, 0, 1) : [])
                }
                seeds.append(meeting + talk + step(.wait, 1, 5))
            }
            seeds.append(
                step(.accept, 1, 0) + step(.open, 0, name) + [Step.sendFrame.rawValue, 0] + PlayScript.encode([8, 1, 18, 3, 1, 2, 3]))
        }
        for use in UInt8(0)..<16 {
            let used = step(.use, 1, 6, use, 1, 1)
            seeds.append(meeting + used + (0..<UInt8(12)).flatMap { step(.sendMessage, 0, $0, 0) } + used + step(.wait, 1, 20))
            seeds.append(
                step(.use, 1, 6, 0) + step(.answerDial, 0, 0) + used + step(.stand, 0) + used + step(.wait, 3, 0) + step(.endPipe, 0))
        }
        seeds.append(step(.accept, 0x81, 0) + [Step.sendIntoPipe.rawValue, 0] + PlayScript.encode(YamuxFrames.proposal("/noise")))
        seeds.append((0..<UInt8(9)).flatMap { step(.accept, $0, $0 % 7) } + step(.wait, 1, 60) + step(.accept, 1, 0))
        return seeds
    }()
}
