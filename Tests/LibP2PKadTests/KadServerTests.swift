import CryptoPrimitives
import LibP2P
import Testing

/// One machine whose peers are the test itself.
final class SingleNode {
    var machine: KadDHT
    private var number: UInt64 = 1_000
    var events: [KadEvent] = []

    init(seed: UInt64, configure: (inout KadDHT.Configuration) -> Void = { _ in }) {
        var configuration = KadDHT.Configuration()
        configuration.validators["v"] = .good
        configure(&configuration)
        self.machine = KadDHT(
            peer: SimulatedNetwork.peer(0, seed: seed), configuration: configuration, seed: seed, unixTimeOffset: .seconds(1_700_000_000))
    }

    func connect(_ peer: PeerID, from address: String = "/ip4/127.0.0.1/tcp/9", isOutbound: Bool = false, now: Duration = .zero) {
        guard let address = try? Multiaddr(text: address) else { preconditionFailure("the test's address") }
        self.number += 1
        let info = ConnectionInfo(
            id: ConnectionID(rawValue: self.number), peer: peer, isOutbound: isOutbound, remoteAddress: address, isLimited: false)
        self.machine.handle(.connected(info), now: now)
        if isOutbound { self.machine.handle(.protocols(of: peer, ["/ipfs/kad/1.0.0"]), now: now) }
    }

    func commands() -> [ProtocolCommand] {
        var commands: [ProtocolCommand] = []
        while let command = self.machine.nextCommand() { commands.append(command) }
        while let event = self.machine.nextEvent() { self.events.append(event) }
        return commands
    }

    /// The number of the stream that is asked for.
    func openRequest() -> UInt64? {
        for command in self.commands() { if case .open(let request, _, _, _) = command { return request } }
        return nil
    }

    /// A stream that a peer opens.
    func inbound(from peer: PeerID, at address: Multiaddr = SimulatedNetwork.address(of: 1), now: Duration = .zero) -> StreamID {
        self.number += 1
        let stream = StreamID(rawValue: self.number)
        let info = ConnectionInfo(
            id: ConnectionID(rawValue: 1), peer: peer, isOutbound: false, remoteAddress: address, isLimited: false)
        self.machine.handle(.inbound(stream, info, protocolID: "/ipfs/kad/1.0.0"), now: now)
        return stream
    }

    /// What is answered to requests on one stream: `nil` when it was reset.
    func ask(
        _ requests: [KadMessage], as peer: PeerID, at address: Multiaddr = SimulatedNetwork.address(of: 1), now: Duration = .zero
    ) -> [KadMessage]? {
        let stream = self.inbound(from: peer, at: address, now: now)
        for request in requests { self.machine.handle(.received(stream, FrameReader.frame(request.bytes)), now: now) }
        var reader = FrameReader(byteCountMax: KadMessage.byteCountMax)
        var answers: [KadMessage] = []
        for command in self.commands() {
            switch command {
            case .write(stream, let bytes):
                for frame in (try? reader.receive(bytes)) ?? [] {
                    if let answer = try? KadMessage(parsing: frame) { answers.append(answer) }
                }
            case .reset(stream): return nil
            default: break
            }
        }
        self.machine.handle(.reset(stream), now: now)
        return answers
    }

    var refusals: [KadRefusal] {
        self.events.compactMap { if case .refused(_, let refusal) = $0 { refusal } else { nil } }
    }
}

struct `A server of the hash table` {
    private let asker = SimulatedNetwork.peer(1, seed: 3)
    private let key = Array("/v/key".utf8)
    private let multihash = Multihash.sha256(of: [1]).bytes

    private func put(_ value: String, key: [UInt8]? = nil) -> KadMessage {
        let key = key ?? self.key
        return KadMessage(.putValue, key: key, record: KadRecord(key: key, value: Array(value.utf8)))
    }

    @Test func `answers several requests on one stream, cut into single bytes`() throws {
        let node = SingleNode(seed: 3)
        node.connect(self.asker)
        let answers = try #require(node.ask([self.put("good"), KadMessage(.getValue, key: self.key), KadMessage(.ping)], as: self.asker))
        #expect(answers.map(\.type) == [.putValue, .getValue, .ping])
        #expect(answers.first?.record?.value == Array("good".utf8))
        #expect(
            answers.dropFirst().first?.record == KadRecord(key: self.key, value: Array("good".utf8), timeReceived: "2023-11-14T22:13:20Z"))
        let stream = node.inbound(from: self.asker)
        for byte in FrameReader.frame(KadMessage(.getValue, key: self.key).bytes) {
            node.machine.handle(.received(stream, [byte]), now: .zero)
        }
        #expect(node.commands().count == 1)
        #expect(node.refusals.isEmpty)
    }

    @Test func `keeps no value that is wrong, and says why`() throws {
        let node = SingleNode(seed: 3)
        node.connect(self.asker)
        let identity = try PeerIdentity(
            Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.copyBytes(from: [UInt8](repeating: 1, count: 32)) }))
        let other = Array("/pk/".utf8) + self.asker.bytes
        let own = Array("/pk/".utf8) + identity.id.bytes
        func publicKey(under key: [UInt8]) -> KadMessage {
            KadMessage(.putValue, key: key, record: KadRecord(key: key, value: identity.publicKey.encoded))
        }
        let cases: [(KadMessage, KadRefusal)] = [
            (self.put("bad"), .invalidValue), (self.put("good", key: Array("/w/key".utf8)), .unknownNamespace),
            (self.put("good", key: [1]), .unknownNamespace), (self.put(""), .valueLength(0)), (publicKey(under: other), .invalidValue),
            (KadMessage(.putValue, key: self.key), .missingRecord), (KadMessage(.putValue), .missingKey),
            (KadMessage(.putValue, key: self.key, record: KadRecord(key: [1], value: Array("good".utf8))), .wrongKey),
            (self.put("good" + String(repeating: "x", count: 1 << 20)), .valueLength(4 + 1 << 20)),
            (KadMessage(.getValue), .missingKey), (KadMessage(.findNode), .missingKey), (KadMessage(.getProviders), .missingKey),
        ]
        for (message, refusal) in cases {
            #expect(node.ask([message], as: self.asker) == nil)
            #expect(node.refusals.last == refusal)
        }
        #expect(node.machine.storedKeys.isEmpty)
        #expect(node.machine.counters.refusals == cases.count)
        #expect(node.ask([publicKey(under: own)], as: self.asker) != nil)
        #expect(node.machine.storedKeys == [own])
    }

    @Test func `keeps the better of two values and refuses the worse`() throws {
        let node = SingleNode(seed: 3)
        node.connect(self.asker)
        #expect(node.ask([self.put("good 1"), self.put("good 2"), self.put("good 2")], as: self.asker)?.count == 3)
        #expect(node.ask([self.put("good 1")], as: self.asker) == nil)
        #expect(node.refusals == [.betterValueKnown])
        #expect(node.machine.storedValue(of: self.key, now: .zero) == Array("good 2".utf8))
    }

    @Test func `takes a provider's own word only`() throws {
        let node = SingleNode(seed: 3)
        node.connect(self.asker)
        let address = SimulatedNetwork.address(of: 7).bytes
        let foreign = KadPeer(id: SimulatedNetwork.peer(9, seed: 3), addresses: [address])
        #expect(node.ask([KadMessage(.addProvider, key: self.multihash, providerPeers: [foreign])], as: self.asker) == nil)
        #expect(node.refusals == [.foreignProvider])
        let own = KadPeer(id: self.asker, addresses: [address])
        // No answer comes: on a stream that is used again it would be taken for the next one.
        let answers = node.ask(
            [
                KadMessage(.addProvider, key: self.multihash, providerPeers: [foreign, own]),
                KadMessage(.getProviders, key: self.multihash),
            ],
            as: self.asker)
        #expect(answers?.map(\.type) == [.getProviders])
        #expect(answers?.first?.providerPeers.map(\.id) == [self.asker])
        #expect(answers?.first?.providerPeers.first?.addresses == [address])
        // After half an hour its addresses may be old, and are not told any more.
        let later = node.ask([KadMessage(.getProviders, key: self.multihash)], as: self.asker, now: .seconds(1_801))
        #expect(later?.first?.providerPeers == [KadPeer(id: self.asker, connection: .connected)])
        let gone = node.ask([KadMessage(.getProviders, key: self.multihash)], as: self.asker, now: .seconds(48 * 3_600))
        #expect(gone?.first?.providerPeers.isEmpty == true)
    }

    @Test func `stays within its bounds under a flood of values`() throws {
        let node = SingleNode(seed: 3) {
            $0.valueStoreByteCountMax = 100_000
            $0.recordBurst = 1_000
            $0.requestBurst = 1_000
        }
        for sender in 0..<40 as Range<UInt64> {
            let peer = SimulatedNetwork.peer(sender, seed: 4)
            node.connect(peer)
            for number in 0..<20 {
                _ = node.ask([self.put("good" + String(repeating: "x", count: 1_000), key: Array("/v/\(sender)-\(number)".utf8))], as: peer)
            }
        }
        #expect(node.machine.heldByteCount < 160_000)
        #expect(node.machine.storedKeys.count > 60)
        #expect(node.refusals.contains(.noRoom))
        // What stays is nearest to this node.
        let own = KadKey(of: node.machine.peer)
        let farthest = try #require(node.machine.storedKeys.map { KadKey(hashing: $0).distance(to: own) }.max())
        #expect(farthest.commonPrefixBitCount(with: own.distance(to: own)) >= 1)
    }

    @Test func `stays within its bounds under a flood of providers`() {
        let node = SingleNode(seed: 3) {
            $0.providerRecordCountMax = 1_600
            $0.recordBurst = 10_000
            $0.requestBurst = 10_000
        }
        node.connect(self.asker)
        let own = KadPeer(id: self.asker, addresses: Array(repeating: SimulatedNetwork.address(of: 7).bytes, count: 16))
        for number in 0..<300 as Range<UInt32> {
            let key = Multihash.sha256(of: Array("\(number)".utf8)).bytes
            _ = node.ask([KadMessage(.addProvider, key: key, providerPeers: [own])], as: self.asker)
        }
        #expect(node.machine.providerRecordCount == 100)
        for sender in 0..<200 as Range<UInt64> {
            let peer = SimulatedNetwork.peer(sender, seed: 4)
            _ = node.ask([KadMessage(.addProvider, key: self.multihash, providerPeers: [KadPeer(id: peer)])], as: peer)
        }
        #expect(node.machine.providerRecordCount == 164)
        #expect(node.refusals.allSatisfy { $0 == .noRoom })
        #expect(node.machine.heldByteCount < 500_000)
    }

    @Test func `lets no peer ask without end, and forgets that it did`() {
        let node = SingleNode(seed: 3)
        node.connect(self.asker)
        for _ in 0..<200 { #expect(node.ask([KadMessage(.ping)], as: self.asker) != nil) }
        #expect(node.ask([KadMessage(.ping)], as: self.asker) == nil)
        #expect(node.refusals == [.tooManyRequests])
        #expect(node.ask([KadMessage(.ping)], as: SimulatedNetwork.peer(2, seed: 3)) != nil)
        #expect(node.ask([KadMessage(.ping)], as: self.asker, now: .seconds(1)) != nil)
    }

    @Test func `lets no peer fill its memory with answers that it does not read`() {
        let node = SingleNode(seed: 3)
        node.connect(self.asker)
        let large = self.put("good" + String(repeating: "x", count: 1 << 20 - 4))
        #expect(node.ask([large], as: self.asker) != nil)
        #expect(node.ask(Array(repeating: KadMessage(.getValue, key: self.key), count: 4), as: self.asker) == nil)
        #expect(node.refusals == [.tooManyAnswerBytes])
    }

    @Test func `bounds half-sent requests, streams and waiting`() {
        let node = SingleNode(seed: 3)
        node.connect(self.asker)
        var streams: [StreamID] = []
        for _ in 0..<32 { streams.append(node.inbound(from: self.asker)) }
        #expect(node.commands().isEmpty)
        let over = node.inbound(from: self.asker)
        #expect(node.commands() == [.reset(over)])
        var start: [UInt8] = []
        Varint.append(UInt64(KadMessage.byteCountMax), to: &start)
        for stream in streams { node.machine.handle(.received(stream, start + [UInt8](repeating: 0, count: 1 << 20)), now: .zero) }
        #expect(node.commands().count == 21)
        #expect(node.machine.heldByteCount < 13 << 20)
        #expect(node.refusals.filter { $0 == .tooManyPartialBytes }.count == 21)
        node.machine.handle(.received(streams[0], [1]), now: .seconds(59))
        node.machine.tick(now: .seconds(60))
        #expect(node.commands().count == 11)
        #expect(node.refusals.filter { $0 == .idle }.count == 11)
        #expect(node.machine.heldByteCount < 4_096)
        // One byte more than the longest is refused by its length alone.
        let long = node.inbound(from: self.asker)
        node.machine.handle(.received(long, [0x81, 0x80, 0x80, 0x02]), now: .zero)
        #expect(node.commands() == [.reset(long)])
        #expect(node.refusals.last == .frame(.tooLong(byteCount: 4_194_305, limit: 4_194_304)))
    }

    @Test func `names those it can reach, and no private address to a public peer`() throws {
        let node = SingleNode(seed: 3)
        for (number, address) in ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/203.0.113.1/tcp/1", "/dns4/example.org/tcp/1"]
            .enumerated()
        {
            node.connect(SimulatedNetwork.peer(UInt64(10 + number), seed: 3), from: address, isOutbound: true)
        }
        // An inbound peer whose addresses nobody told is not named; one that is told by identify is.
        node.connect(self.asker, from: "/ip4/198.51.100.1/tcp/50000")
        node.machine.handle(.protocols(of: self.asker, ["/ipfs/kad/1.0.0"]), now: .zero)
        let near = SimulatedNetwork.peer(2, seed: 3)
        node.connect(near)
        func named(to peer: PeerID) -> Int? { node.ask([KadMessage(.findNode, key: [1])], as: peer)?.first?.closerPeers.count }
        #expect(named(to: self.asker) == 2)
        #expect(named(to: near) == 4)
        node.machine.learn(
            [try Multiaddr(text: "/ip4/198.51.100.1/tcp/4001"), try Multiaddr(text: "/ip4/192.168.0.1/tcp/4001")], of: self.asker)
        let told = try #require(
            node.ask([KadMessage(.findNode, key: self.asker.bytes)], as: near)?.first?.closerPeers.first { $0.id == self.asker })
        #expect(try told.addresses == [Multiaddr(text: "/ip4/198.51.100.1/tcp/4001").bytes])
    }
}

struct `Requests of the hash table` {
    @Test func `use a stream again, and a new one when the old one has ended`() throws {
        let node = SingleNode(seed: 5)
        let server = SimulatedNetwork.peer(1, seed: 5)
        node.connect(server, isOutbound: true)
        func answer(on stream: StreamID) {
            node.machine.handle(.received(stream, FrameReader.frame(KadMessage(.findNode).bytes)), now: .zero)
        }
        _ = node.machine.findClosest(to: [1], now: .zero)
        let first = try #require(node.openRequest())
        let old = StreamID(rawValue: 1)
        node.machine.handle(.opened(request: first, old, protocolID: "/ipfs/kad/1.0.0"), now: .zero)
        answer(on: old)
        #expect(node.commands().count == 1)
        _ = node.machine.findClosest(to: [2], now: .zero)
        #expect(node.commands() == [.write(old, FrameReader.frame(KadMessage(.findNode, key: [2]).bytes))])
        node.machine.handle(.reset(old), now: .zero)
        let second = try #require(node.openRequest())
        let new = StreamID(rawValue: 2)
        node.machine.handle(.opened(request: second, new, protocolID: "/ipfs/kad/1.0.0"), now: .zero)
        answer(on: new)
        _ = node.commands()
        let outcomes = node.events.compactMap { if case .finished(_, let outcome, _) = $0 { outcome } else { nil } }
        #expect(outcomes == [.closest([server]), .closest([server])])
        // It is closed when nobody needs it for a while.
        node.machine.tick(now: .seconds(31))
        #expect(node.commands() == [.closeWrite(new)])
    }

    @Test func `end in one event also when nobody is there`() throws {
        let node = SingleNode(seed: 5)
        let id = node.machine.get(key: Array("/v/a".utf8), now: .zero)
        _ = node.commands()
        #expect(node.events == [.finished(id, .failed(.noPeers), KadReport())])
        node.machine.addPeer(SimulatedNetwork.peer(1, seed: 5), addresses: [SimulatedNetwork.address(of: 1)], now: .zero)
        node.events = []
        let silent = node.machine.bootstrap(now: .zero)
        #expect(node.commands() == [.dial(SimulatedNetwork.peer(1, seed: 5), [SimulatedNetwork.address(of: 1)], isHearsay: true)])
        var now = Duration.zero
        while node.events.isEmpty, let deadline = node.machine.deadline, deadline < .seconds(60) {
            now = deadline
            node.machine.tick(now: now)
            _ = node.commands()
        }
        #expect(now == .seconds(5))
        guard case .finished(silent, .failed(.nobodyAnswered), let report)? = node.events.first else {
            Issue.record("\(node.events)")
            return
        }
        #expect(report.askedCount == 1)
        #expect(report.failedCount == 1)
    }

    @Test func `to a peer that cannot be connected to end when that is known, and not with their time`() throws {
        let node = SingleNode(seed: 14)
        let gone = SimulatedNetwork.peer(5, seed: 14)
        node.machine.addPeer(gone, addresses: [SimulatedNetwork.address(of: 5)], now: .zero)
        let operation = node.machine.get(key: Array("/v/key".utf8), now: .zero)
        let dialled = node.commands().compactMap { command in
            if case .dial(let peer, _, _) = command { peer } else { nil }
        }
        #expect(dialled == [gone])
        node.machine.dialFailed(SimulatedNetwork.peer(6, seed: 14), now: .milliseconds(1))
        _ = node.commands()
        #expect(node.events.isEmpty)
        node.machine.dialFailed(gone, now: .milliseconds(2))
        #expect(node.commands().isEmpty)
        guard case .finished(operation, .failed(.nobodyAnswered), _)? = node.events.first else {
            Issue.record("\(node.events)")
            return
        }
        // A connection that comes all the same finds nobody who waits for it.
        node.connect(gone, isOutbound: true, now: .milliseconds(3))
        #expect(node.openRequest() == nil)
    }

    @Test func `are bounded in number`() {
        let node = SingleNode(seed: 5)
        node.machine.addPeer(SimulatedNetwork.peer(1, seed: 5), addresses: [SimulatedNetwork.address(of: 1)], now: .zero)
        for number in 0..<200 as Range<UInt8> { _ = node.machine.findClosest(to: [number, 1], now: .zero) }
        _ = node.commands()
        let refused = node.events.filter { if case .finished(_, .failed(.tooManyOperations(maximum: 64)), _) = $0 { true } else { false } }
        #expect(refused.count == 136)
        #expect(node.machine.heldByteCount < 100_000)
    }
}
