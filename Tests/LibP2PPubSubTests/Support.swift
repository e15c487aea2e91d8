import CryptoPrimitives
import Testing

@testable import LibP2P

/// Identities that everybody knows, made once: seeds of 32 times the same byte.
enum Known {
    static let identities: [PeerIdentity] = (1...80).compactMap { seed in
        guard let secret = try? SecretBytes(count: 32, filledBy: { $0.copyBytes(from: [UInt8](repeating: UInt8(seed), count: 32)) }),
            let key = try? Ed25519.SecretKey(seed: secret)
        else { return nil }
        return PeerIdentity(key)
    }

    static func address(_ host: UInt8, _ port: UInt16 = 4_001) throws -> Multiaddr {
        try Multiaddr(text: "/ip4/192.0.2.\(host)/tcp/\(port)")
    }
}

/// One machine, and peers played by hand.
struct Bench {
    /// The machine's own identity is the first of the known ones; peers are the others.
    static let own = Known.identities[0]

    var machine: Gossipsub
    var now = Duration.seconds(1_000)
    var commands: [ProtocolCommand] = []
    var events: [GossipsubEvent] = []
    private var streams: [Int: (ours: StreamID, theirs: StreamID, connection: ConnectionInfo)] = [:]
    private var nextStream: UInt64 = 1

    init(_ configure: (inout GossipsubParameters) -> Void = { _ in }, direct: [Int] = [], seed: UInt64 = 1) {
        var parameters = GossipsubParameters()
        configure(&parameters)
        let directPeers = direct.reduce(into: [PeerID: [Multiaddr]]()) { $0[Known.identities[$1].id] = [] }
        self.machine = Gossipsub(identity: Self.own, parameters: parameters, directPeers: directPeers, seed: seed)
    }

    func id(_ peer: Int) -> PeerID { Known.identities[peer].id }

    func score(_ peer: Int) -> Double { self.machine.score(of: self.id(peer), now: self.now) }

    /// Connects a peer with both streams standing.
    mutating func connect(
        _ peer: Int, protocolID: String = "/meshsub/1.2.0", isOutbound: Bool = false, host: UInt8? = nil, topics: [String] = []
    ) throws {
        let address = try Known.address(host ?? UInt8(peer))
        let connection = ConnectionInfo(
            id: ConnectionID(rawValue: self.nextStream), peer: self.id(peer), isOutbound: isOutbound, remoteAddress: address,
            isLimited: false)
        let (ours, theirs) = (StreamID(rawValue: self.nextStream), StreamID(rawValue: self.nextStream + 1))
        self.nextStream += 2
        self.streams[peer] = (ours, theirs, connection)
        self.handle(.connected(connection))
        self.handle(.protocols(of: self.id(peer), [protocolID]))
        var requests: [UInt64] = []
        for case .open(let request, self.id(peer), _, _) in self.commands { requests.append(request) }
        let request = try #require(requests.last)
        self.handle(.opened(request: request, ours, protocolID: protocolID))
        self.handle(.inbound(theirs, connection, protocolID: protocolID))
        if !topics.isEmpty { self.receive(peer) { rpc in rpc.subscriptions = topics.map { .init(topic: $0, isOn: true) } } }
    }

    mutating func disconnect(_ peer: Int) {
        guard let (_, _, connection) = self.streams.removeValue(forKey: peer) else { return }
        self.handle(.disconnected(connection))
    }

    /// A second stream by the peer, in place of one that was reset.
    mutating func openAgain(_ peer: Int) {
        guard let (ours, _, connection) = self.streams[peer] else { return }
        let theirs = StreamID(rawValue: self.nextStream)
        self.nextStream += 1
        self.streams[peer] = (ours, theirs, connection)
        self.handle(.inbound(theirs, connection, protocolID: "/meshsub/1.2.0"))
    }

    mutating func receive(_ peer: Int, _ fill: (inout PubSubRPC) -> Void) {
        var rpc = PubSubRPC()
        fill(&rpc)
        self.receive(peer, bytes: FrameReader.frame(rpc.encoded))
    }

    mutating func receive(_ peer: Int, bytes: [UInt8]) {
        guard let stream = self.streams[peer]?.theirs else { return }
        self.handle(.received(stream, bytes))
    }

    mutating func ourStreamTakesMore(_ peer: Int) {
        guard let stream = self.streams[peer]?.ours else { return }
        self.handle(.writable(stream))
    }

    mutating func resetOurStream(_ peer: Int) {
        guard let stream = self.streams[peer]?.ours else { return }
        self.handle(.reset(stream))
    }

    mutating func handle(_ input: ProtocolInput) {
        self.machine.handle(input, now: self.now)
        self.drain()
    }

    /// Lets heartbeats pass.
    mutating func pass(_ duration: Duration) {
        let end = self.now + duration
        while let due = self.machine.deadline, due <= end {
            self.now = max(self.now, due)
            self.machine.tick(now: self.now)
            self.drain()
        }
        self.now = end
    }

    mutating func drain() {
        while let command = self.machine.nextCommand() { self.commands.append(command) }
        while let event = self.machine.nextEvent() { self.events.append(event) }
    }

    /// What was sent to a peer since the last call, as one.
    mutating func sent(to peer: Int) throws -> PubSubRPC {
        self.drain()
        guard let stream = self.streams[peer]?.ours else { return PubSubRPC() }
        var reader = FrameReader(byteCountMax: PubSubRPC.byteCountMax)
        var whole = PubSubRPC()
        for case .write(stream, let bytes) in self.commands {
            for frame in try reader.receive(bytes) {
                let rpc = try PubSubRPC(parsing: frame)
                #expect(rpc.surplusCount == 0)
                whole.subscriptions += rpc.subscriptions
                whole.messages += rpc.messages
                whole.haves += rpc.haves
                whole.wants += rpc.wants
                whole.grafts += rpc.grafts
                whole.prunes += rpc.prunes
                whole.doNotWants += rpc.doNotWants
            }
        }
        self.commands.removeAll { command in
            if case .write(stream, _) = command { return true }
            return false
        }
        return whole
    }

    func refusals(_ refusal: GossipsubRefusal) -> Int { self.machine.counters.count(of: refusal) }

    /// The messages that the application got.
    var delivered: [PubSubMessage] {
        self.events.compactMap { event in
            guard case .message(_, let message, _, _) = event else { return nil }
            return message
        }
    }
}

extension PubSubMessage {
    /// A message by one of the known identities.
    static func by(_ author: Int, _ sequence: UInt8, topic: String = "t", data: [UInt8] = [1, 2, 3]) -> PubSubMessage {
        PubSubMessage(topic: topic, data: data, sequence: [0, 0, 0, 0, 0, 0, 0, sequence], signedBy: Known.identities[author])
    }

    var id: PubSubMessageID { PubSubMessageIdentification.authorAndSequence.id(of: self) }
}
