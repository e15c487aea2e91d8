import LibP2P
import Testing

/// A machine under inputs in no sensible order, with bytes that are almost right.
private struct Storm {
    var random: SeededRandom
    let peers: [PeerID]
    let identities: [PeerIdentity]
    var streams: [StreamID] = []
    var connections: [ConnectionInfo] = []
    var nextID: UInt64 = 1
    var openRequests: [(UInt64, String)] = []
    /// Messages of all the protocols, to be changed.
    let seeds: [[UInt8]]

    init(seed: UInt64) throws {
        self.random = SeededRandom(seed: seed)
        self.identities = try (1...4).map { try KnownIdentity.make($0) }
        self.peers = self.identities.map(\.id)
        var message = IdentifyMessage()
        message.publicKey = self.identities[1].publicKey.encoded
        message.agentVersion = "x"
        message.protocols = [Identify.pushProtocolID, DCUtR.protocolID]
        message.observedAddress = try Multiaddr(text: "/ip4/8.8.8.8/tcp/1")
        message.signedPeerRecord = PeerRecord(peerID: self.peers[1], sequence: seed, addresses: []).sealed(by: self.identities[1]).bytes
        self.seeds = [
            FrameReader.frame(message.bytes), FrameReader.frame(RelayBytes.reserve), FrameReader.frame(RelayBytes.connect(self.peers[2])),
            FrameReader.frame(RelayBytes.stopConnect(self.peers[1])), FrameReader.frame(RelayBytes.stopStatus(100)),
            RelayBytes.hopStatus(100),
            FrameReader.frame(RelayBytes.reservation(expiration: 1_700_003_700)), [3, 0x08, 0xac, 0x02], [2, 0x08, 0x64],
            [UInt8](repeating: 1, count: 32), [UInt8](repeating: 1, count: 33), [1, 0], [],
        ]
    }

    mutating func id() -> UInt64 {
        self.nextID += 1
        return self.nextID
    }

    mutating func bytes() -> [UInt8] {
        var bytes = self.seeds.randomElement(using: &self.random) ?? []
        switch Int.random(in: 0..<5, using: &self.random) {
        case 0: bytes = (0..<Int.random(in: 0..<200, using: &self.random)).map { _ in UInt8.random(in: 0...255, using: &self.random) }
        case 1:
            if !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &self.random)] ^= 1 << UInt8.random(in: 0..<8, using: &self.random)
            }
        case 2: bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &self.random)))
        case 3: bytes += self.seeds.randomElement(using: &self.random) ?? []
        default: break
        }
        return bytes
    }

    mutating func input(for protocolIDs: [String]) -> ProtocolInput {
        let stream = self.streams.randomElement(using: &self.random) ?? StreamID(rawValue: 999_999)
        switch Int.random(in: 0..<16, using: &self.random) {
        case 0:
            let texts = ["/ip4/8.8.8.8/tcp/1", "/p2p/\(self.peers[3])/p2p-circuit"]
            let address = texts.randomElement(using: &self.random).flatMap { try? Multiaddr(text: $0) } ?? Multiaddr([])
            let info = ConnectionInfo(
                id: ConnectionID(rawValue: self.id()), peer: self.peers.randomElement(using: &self.random) ?? self.peers[0],
                isOutbound: .random(using: &self.random), remoteAddress: address, isLimited: .random(using: &self.random))
            self.connections.append(info)
            return .connected(info)
        case 1 where !self.connections.isEmpty:
            return .disconnected(self.connections.remove(at: Int.random(in: 0..<self.connections.count, using: &self.random)))
        case 2...4 where !protocolIDs.isEmpty && !self.connections.isEmpty:
            let new = StreamID(rawValue: self.id())
            self.streams.append(new)
            return .inbound(
                new, self.connections.randomElement(using: &self.random) ?? self.connections[0],
                protocolID: protocolIDs.randomElement(using: &self.random) ?? "")
        case 5...7 where !self.openRequests.isEmpty:
            let (request, name) = self.openRequests.remove(at: Int.random(in: 0..<self.openRequests.count, using: &self.random))
            if Bool.random(using: &self.random) {
                let failures: [StreamFailure] = [.notConnected, .notSupported, .timedOut, .tooManyStreams, .ended]
                return .failed(request: request, failures.randomElement(using: &self.random) ?? .ended)
            }
            let new = StreamID(rawValue: self.id())
            self.streams.append(new)
            return .opened(request: request, new, protocolID: name)
        case 8: return .ended(stream)
        case 9:
            self.streams.removeAll { $0 == stream }
            return .reset(stream)
        case 10: return .protocols(of: self.peers[1], [Identify.pushProtocolID])
        case 11: return .opened(request: UInt64.random(in: 0..<100, using: &self.random), StreamID(rawValue: self.id()), protocolID: "/x")
        default:
            let bytes = self.bytes()
            return bytes.isEmpty ? .writable(stream) : .received(stream, bytes)
        }
    }

    /// Runs, and gives the most bytes that the machine ever held.
    ///
    /// - Parameter wantsNoMore: the user gives up what the machine would else do for ever.
    mutating func run<M: ProtocolMachine>(
        _ machine: inout M, rounds: Int, wantsNoMore: (inout M) -> Void = { _ in },
        took: (inout M, M.Event, Duration) -> Void = { _, _, _ in }, user: (inout M, inout Storm, Duration) -> Void
    ) -> Int {
        var (now, mostBytes) = (Duration.seconds(100), 0)
        for _ in 0..<rounds {
            now += .milliseconds(Int.random(in: 0..<200, using: &self.random))
            if let deadline = machine.deadline, deadline <= now { machine.tick(now: now) }
            machine.handle(self.input(for: machine.servedProtocolIDs), now: now)
            if Int.random(in: 0..<8, using: &self.random) == 0 { user(&machine, &self, now) }
            while let event = machine.nextEvent() { took(&machine, event, now) }
            while let command = machine.nextCommand() {
                switch command {
                case .open(let request, _, let names, _), .openOn(let request, _, let names): self.openRequests.append((request, names[0]))
                case .reset(let stream): self.streams.removeAll { $0 == stream }
                case .write, .closeWrite, .pauseReading, .resumeReading, .dial, .disconnect: break
                }
            }
            mostBytes = max(mostBytes, machine.heldByteCount)
        }
        // Then nothing comes any more: all that has an end has ended, and ticks do not go on for ever.
        for request in self.openRequests { machine.handle(.failed(request: request.0, .timedOut), now: now) }
        for connection in self.connections { machine.handle(.disconnected(connection), now: now) }
        wantsNoMore(&machine)
        var (ticks, isOver) = (0, false)
        while !isOver, ticks < 10_000 {
            isOver = machine.deadline == nil
            if let deadline = machine.deadline { now = max(now, deadline) }
            machine.tick(now: now)
            while let event = machine.nextEvent() { took(&machine, event, now) }
            while let command = machine.nextCommand() {
                isOver = false
                if case .open(let request, _, _, _) = command { machine.handle(.failed(request: request, .notConnected), now: now) }
                if case .openOn(let request, _, _) = command { machine.handle(.failed(request: request, .notConnected), now: now) }
            }
            while let event = machine.nextEvent() { took(&machine, event, now) }
            ticks += 1
        }
        #expect(ticks < 10_000, "ticks go on for ever")
        return mostBytes
    }
}

struct `No order of inputs and no bytes` {
    @Test(arguments: UInt64(1)...30)
    func `trap a machine, fill its memory or leave anything behind`(seed: UInt64) throws {
        var storm = try Storm(seed: seed)
        let own = storm.identities[0]
        let info = IdentifyInfo(agentVersion: "a/1", protocols: ["/a"], addresses: [])

        var identify = Identify(own, info: info, sequence: 1)
        var most = storm.run(&identify, rounds: 600) { machine, storm, now in
            let info = IdentifyInfo(agentVersion: "a/\(storm.id())", protocols: ["/a"], addresses: [])
            machine.update(info, sequence: 0, now: now)
            machine.identify(storm.peers[1], now: now)
        }
        #expect(most < 200_000 && identify.heldByteCount < 2_000)

        storm = try Storm(seed: seed)
        var ping = Ping()
        most = storm.run(&ping, rounds: 600) { machine, storm, now in
            machine.ping(storm.peers[Int(storm.id() % 4)], bytes: [UInt8](repeating: 1, count: 32), now: now)
        }
        #expect(most < 20_000 && ping.heldByteCount == 0)

        storm = try Storm(seed: seed)
        var client = RelayClient(localPeer: own.id, unixOffset: RelayedNetwork.unixOffset)
        let relay = storm.peers[1]
        most = storm.run(&client, rounds: 600, wantsNoMore: { $0.cancel(at: relay) }) { machine, storm, now in
            machine.reserve(at: storm.peers[1], now: now)
            machine.connect(to: storm.peers[2], through: storm.peers[1], tag: 1, now: now)
        }
        #expect(most < 100_000 && client.heldByteCount == 0)

        storm = try Storm(seed: seed)
        var server = RelayServer(own, unixOffset: RelayedNetwork.unixOffset, addresses: [])
        most = storm.run(&server, rounds: 600) { _, _, _ in }
        #expect(most < 100_000 && server.heldByteCount < 2_000)

        storm = try Storm(seed: seed)
        var punch = DCUtR()
        most = storm.run(&punch, rounds: 600) { machine, storm, now in machine.upgrade(storm.peers[1], addresses: [], now: now) }
        #expect(most < 20_000 && punch.heldByteCount < 1_000)

        for keepsStreams in [false, true] { try Self.ask(seed: seed, keepsStreams: keepsStreams) }
    }

    /// Requests and answers: besides, each request of ours comes to one end, answered or failed.
    private static func ask(seed: UInt64, keepsStreams: Bool) throws {
        var storm = try Storm(seed: seed)
        var configuration = RequestResponse.Configuration(protocolIDs: ["/r"], requestByteCountMax: 100, answerByteCountMax: 100)
        configuration.keepsStreams = keepsStreams
        var machine = RequestResponse(configuration: configuration)
        var (sent, ended): ([RequestResponse.RequestID], [RequestResponse.RequestID: Int]) = ([], [:])
        var late: [RequestResponse.Question] = []
        func took(_ machine: inout RequestResponse, _ event: RequestResponse.Event, now: Duration) {
            switch event {
            case .answered(let id, _, _), .failed(let id, _, _): ended[id, default: 0] += 1
            case .asked(let question, let body):
                // Some at once, some later, when they may be over.
                guard body.count % 2 == 0 else { return late.append(question) }
                try? machine.answer(question, with: body, now: now)
            case .refused: break
            }
        }
        let most = storm.run(&machine, rounds: 600, took: { took(&$0, $1, now: $2) }) { machine, storm, now in
            if let id = try? machine.send([1], to: storm.peers[1], now: now) { sent.append(id) }
            for question in late.prefix(1) { try? machine.answer(question, with: [], now: now) }
            late = Array(late.dropFirst())
        }
        #expect(most < 50_000 && machine.heldByteCount == 0 && machine.deadline == nil)
        #expect(!sent.isEmpty && ended == Dictionary(uniqueKeysWithValues: sent.map { ($0, 1) }))
    }
}
