import CryptoPrimitives
import Synchronization
import Testing

@testable import LibP2P

/// A node of a test: its swarm, and what its owner does with it.
final class TestNode {
    let known: KnownNode
    var swarm: Swarm
    let address: Multiaddr
    /// Whence its pipes come.
    var household: Multiaddr.Component
    var events: [SwarmEvent] = []
    /// Answers each stream of others with what comes in, and closes when the other side does.
    var echoes = false
    var inbound: Set<StreamID> = []
    /// Takes no bytes of its streams while this is set.
    var isNotReading = false
    /// What was read of each stream.
    var received: [StreamID: [UInt8]] = [:]
    /// What is still to be written.
    var unwritten: [StreamID: [UInt8]] = [:]
    var closesAfterwards: Set<StreamID> = []
    /// Takes no more connections.
    var isDeaf = false
    /// The sockets to it are full: nobody's bytes for it are taken.
    var takesNothing = false

    init(_ number: UInt8, limits: SwarmLimits, seed: UInt64) throws {
        self.known = try KnownNode(number)
        self.household = .ip4(try #require(IPv4Address([10, 0, 0, number])))
        self.address = Multiaddr([self.household, .tcp(4_001)])
        let keys = KnownKeys(seed: seed &* 257 &+ UInt64(number))
        self.swarm = Swarm(
            self.known.identity, staticKey: self.known.staticKey, makeEphemeralKey: { () throws(SecretMemoryError) in try keys.next() },
            limits: limits, seed: seed)
    }

    var id: PeerID { self.known.id }
    func isConnected(to peer: PeerID) -> Bool { self.swarm.isConnected(to: peer) }
}

/// Ephemeral keys that a seed replays.
final class KnownKeys: Sendable {
    private let seed: UInt64
    private let count = Atomic<UInt64>(0)

    init(seed: UInt64) { self.seed = seed }

    func next() throws(SecretMemoryError) -> X25519.SecretKey {
        var random = SeededRandom(seed: self.seed &+ self.count.add(1, ordering: .relaxed).newValue &* 1_000_003)
        return try X25519.SecretKey { secret in
            for index in secret.indices { secret[index] = UInt8.random(in: 0...255, using: &random) }
        }
    }
}

/// Several swarms and a network between them, under virtual time.
final class SwarmWorld {
    var nodes: [TestNode] = []
    var now = Duration.zero
    var random: SeededRandom
    /// Bytes arrive in pieces of random sizes up to this.
    var pieceByteCountMax = 4_096
    var delayMax = Duration.milliseconds(20)
    /// Addresses from which no answer ever comes.
    var silent: Set<Multiaddr> = []
    /// How often a pipe was dialled.
    var dials: [(at: Duration, address: Multiaddr)] = []

    private struct End: Hashable {
        let node: Int
        let id: ConnectionID
    }

    private enum Happening: Sendable {
        case dial(Int, ConnectionID, RawDial)
        case bytes(Int, ConnectionID, [UInt8])
        case end(Int, ConnectionID)
    }

    private var others: [End: End] = [:]
    /// When the last bytes of each direction arrive: nothing overtakes them.
    private var lastArrivals: [End: Duration] = [:]
    private var happenings = DeadlineQueue<Happening>()

    init(seed: UInt64, nodeCount: Int, limits: SwarmLimits = SwarmLimits()) throws {
        self.random = SeededRandom(seed: seed)
        self.nodes = try (1...nodeCount).map { try TestNode(UInt8($0), limits: limits, seed: seed) }
    }

    /// Lets time pass until nothing happens any more, or until the time is over.
    func run(for duration: Duration = .seconds(5)) {
        let end = self.now + duration
        self.pump()
        while let next = self.nextTime, next <= end {
            self.now = max(self.now, next)
            while let (_, happening) = self.happenings.popDue(now: self.now) {
                self.happen(happening)
                self.pump()
            }
            for node in self.nodes { node.swarm.tick(now: self.now) }
            self.pump()
        }
        self.now = end
    }

    private var nextTime: Duration? {
        let times = self.nodes.compactMap { $0.swarm.deadline } + [self.happenings.first].compactMap { $0 }
        return times.min()
    }

    private func delay() -> Duration { .nanoseconds(Int64.random(in: 1...max(1, self.nanoseconds(self.delayMax)), using: &self.random)) }

    private func nanoseconds(_ duration: Duration) -> Int64 {
        duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
    }

    private func happen(_ happening: Happening) {
        switch happening {
        case .dial(let index, let id, let dial):
            guard let other = self.nodes.firstIndex(where: { $0.address == dial.address && !$0.isDeaf }) else {
                self.nodes[index].swarm.dialFailed(id, .refused, now: self.now)
                return
            }
            let from = Multiaddr([self.nodes[index].household, .tcp(UInt16.random(in: 30_000...60_000, using: &self.random))])
            guard let otherID = self.nodes[other].swarm.accepted(from: from, now: self.now) else {
                self.nodes[index].swarm.dialled(id, now: self.now)
                self.nodes[index].swarm.endOfInput(id, now: self.now)
                return
            }
            self.others[End(node: index, id: id)] = End(node: other, id: otherID)
            self.others[End(node: other, id: otherID)] = End(node: index, id: id)
            self.nodes[index].swarm.dialled(id, now: self.now)
        case .bytes(let node, let id, let bytes): self.nodes[node].swarm.receive(bytes, from: id, now: self.now)
        case .end(let node, let id): self.nodes[node].swarm.endOfInput(id, now: self.now)
        }
    }

    /// Carries out what the swarms want, until they want nothing more now.
    func pump() {
        var isBusy = true
        while isBusy {
            isBusy = false
            for (index, node) in self.nodes.enumerated() {
                while let command = node.swarm.nextCommand() {
                    isBusy = true
                    self.carryOut(command, of: index)
                }
                while let event = node.swarm.nextEvent() {
                    isBusy = true
                    node.events.append(event)
                    self.serve(event, of: node)
                }
            }
        }
    }

    private func carryOut(_ command: SwarmCommand, of index: Int) {
        switch command {
        case .dial(let id, let dial):
            self.dials.append((self.now, dial.address))
            if !self.silent.contains(dial.address) { self.happenings.insert(.dial(index, id, dial), at: self.now + self.delay()) }
        case .send(let id): self.send(index, id)
        case .close(let id, let afterOutput):
            if afterOutput { self.send(index, id) }
            let end = End(node: index, id: id)
            guard let other = self.others.removeValue(forKey: end) else { return }
            self.happenings.insert(.end(other.node, other.id), at: self.arrival(at: other))
        }
    }

    private func send(_ index: Int, _ id: ConnectionID) {
        while true {
            if let other = self.others[End(node: index, id: id)], self.nodes[other.node].takesNothing { return }
            let bytes = self.nodes[index].swarm.takeOutput(of: id, now: self.now)
            if bytes.isEmpty { return }
            guard let other = self.others[End(node: index, id: id)] else { continue }
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...self.pieceByteCountMax, using: &self.random))
                self.happenings.insert(.bytes(other.node, other.id, Array(piece)), at: self.arrival(at: other))
                rest = rest.dropFirst(piece.count)
            }
        }
    }

    private func arrival(at end: End) -> Duration {
        let time = max(self.now + self.delay() / 8, (self.lastArrivals[end] ?? .zero) + .nanoseconds(1))
        self.lastArrivals[end] = time
        return time
    }

    // MARK: Owners

    private func serve(_ event: SwarmEvent, of node: TestNode) {
        switch event {
        case .streamInbound(let id, _, _): node.inbound.insert(id)
        case .readable(let id): self.read(id, of: node)
        case .writable(let id): self.write(id, of: node)
        case .ended(let id):
            guard node.echoes, node.inbound.contains(id) else { return }
            node.closesAfterwards.insert(id)
            self.write(id, of: node)
        default: return
        }
    }

    func read(_ id: StreamID, of node: TestNode) {
        guard !node.isNotReading else { return }
        while let chunk = node.swarm.read(id, now: self.now) {
            node.received[id, default: []] += chunk
            if node.echoes, node.inbound.contains(id) { node.unwritten[id, default: []] += chunk }
        }
        if node.echoes { self.write(id, of: node) }
    }

    /// Writes what is left, in chunks of random size.
    func write(_ id: StreamID, of node: TestNode) {
        while let bytes = node.unwritten[id], !bytes.isEmpty {
            let chunk = Array(bytes.prefix(Int.random(in: 1...65_536, using: &self.random)))
            guard (try? node.swarm.write(chunk, to: id, now: self.now)) != nil else { return }
            node.unwritten[id]?.removeFirst(chunk.count)
        }
        if node.closesAfterwards.remove(id) != nil { node.swarm.closeWrite(id, now: self.now) }
    }

    func connect(_ one: Int, to other: Int) {
        self.nodes[one].swarm.dial(self.nodes[other].id, at: [self.nodes[other].address], now: self.now)
        self.run(for: .seconds(1))
    }

    func openStream(_ one: Int, to other: Int, _ protocolID: String = "/echo/1.0.0") throws -> StreamID {
        let request = self.nodes[one].swarm.open([protocolID], to: self.nodes[other].id, now: self.now)
        self.run(for: .seconds(1))
        for case .streamOpened(request, let id, _) in self.nodes[one].events { return id }
        Issue.record("the stream was not opened: \(self.nodes[one].events)")
        throw StreamFailure.notConnected
    }
}

extension [SwarmEvent] {
    var connected: [ConnectionInfo] { self.compactMap { if case .connected(let info) = $0 { info } else { nil } } }
    var disconnected: [ConnectionError] { self.compactMap { if case .disconnected(_, let error) = $0 { error } else { nil } } }
    var dialFailures: [DialError] { self.compactMap { if case .dialFailed(_, let error) = $0 { error } else { nil } } }
    var refusals: [SwarmRefusal] { self.compactMap { if case .refused(let refusal, _, _) = $0 { refusal } else { nil } } }
    var streamRefusals: [StreamRefusal] { self.compactMap { if case .streamRefused(_, let refusal) = $0 { refusal } else { nil } } }
    var handshakeFailures: [ConnectionError] { self.compactMap { if case .handshakeFailed(_, let error) = $0 { error } else { nil } } }
    var inboundStreams: [StreamID] { self.compactMap { if case .streamInbound(let id, _, _) = $0 { id } else { nil } } }
}
