import CryptoPrimitives
import Testing

@testable import LibP2P

/// A whole node, and what it told its owner.
final class HostedNode {
    let known: KnownNode
    let address: Multiaddr
    var node: Node
    var events: [Node.Event] = []
    /// What was read of each stream.
    var received: [StreamID: [UInt8]] = [:]
    /// Streams that others opened: what comes on them goes back.
    private var echoed: Set<StreamID> = []

    init(_ number: UInt8, network: UInt8 = 10, seed: UInt64, now: Duration, _ change: (inout Node.Configuration) -> Void) throws {
        self.known = try KnownNode(number)
        self.address = Multiaddr([.ip4(try #require(IPv4Address([network, 0, 0, number]))), .tcp(4_001)])
        let seed = seed &* 257 &+ UInt64(number)
        let keys = KnownKeys(seed: seed)
        var configuration = Node.Configuration(agentVersion: "test/\(number)", addresses: [self.address])
        configuration.kad?.validators["v"] = KadValidator(
            isValid: { _, value, _ in value.count < 100 }, isBetter: { _, current, candidate in current.count < candidate.count })
        // The nodes of most tests live in 10.0.0.0/8.
        configuration.holePunch?.dialsPrivateAddresses = true
        change(&configuration)
        self.node = Node(
            self.known.identity, staticKey: self.known.staticKey,
            makeEphemeralKey: { () throws(SecretMemoryError) in try keys.next() }, configuration: configuration, seed: seed,
            unixTimeOffset: .seconds(1_700_000_000), now: now)
    }

    var id: PeerID { self.known.id }
    var kad: ProtocolHandle<KadDHT> {
        get throws {
            let handle = self.node.kad
            return try #require(handle)
        }
    }
    var gossipsub: ProtocolHandle<Gossipsub> {
        get throws {
            let handle = self.node.gossipsub
            return try #require(handle)
        }
    }

    func isConnected(to peer: PeerID) -> Bool { self.node.swarm.isConnected(to: peer) }
    func isDirectlyConnected(to peer: PeerID) -> Bool { self.node.isDirectlyConnected(to: peer) }
    func isProtected(_ peer: PeerID) -> Bool { self.node.swarm.isProtected(peer) }

    var messages: [[UInt8]] {
        self.events.compactMap { if case .gossipsub(.message(_, let message, _, _)) = $0 { message.data } else { nil } }
    }

    var swarmEvents: [SwarmEvent] { self.events.compactMap { if case .swarm(let event) = $0 { event } else { nil } } }

    func outcome(of id: KadOperationID) -> KadOutcome? {
        for case .kad(.finished(id, let outcome, _)) in self.events { return outcome }
        return nil
    }

    func takeNews(now: Duration) -> Bool {
        var isNew = false
        while let event = self.node.nextEvent(now: now) {
            isNew = true
            self.events.append(event)
            if case .swarm(let event) = event { self.serve(event, now: now) }
        }
        return isNew
    }

    private func serve(_ event: SwarmEvent, now: Duration) {
        switch event {
        case .streamInbound(let id, _, _): self.echoed.insert(id)
        case .readable(let id):
            while let chunk = self.node.swarm.read(id, now: now) {
                self.received[id, default: []] += chunk
                if self.echoed.contains(id) { try? self.node.swarm.write(chunk, to: id, now: now) }
            }
        case .ended(let id): if self.echoed.contains(id) { self.node.swarm.closeWrite(id, now: now) }
        default: break
        }
    }
}

/// Whole nodes with pipes between them, each with a delay of one millisecond.
final class NodeWorld {
    private struct End: Hashable {
        let node: Int
        let id: ConnectionID
    }

    /// A dial that has opened a NAT for what comes from its address.
    private struct Hole: Hashable {
        let node: Int
        let address: Multiaddr
    }

    private enum Happening {
        case dial(Int, ConnectionID, RawDial)
        case bytes(End, [UInt8])
        case end(End)
    }

    let nodes: [HostedNode]
    private(set) var now = Duration.zero
    /// Nodes behind a NAT: nobody can dial them, except from where they dial at the same time.
    var hidden: Set<Int> = []
    private(set) var isUp: [Bool]
    private var others: [End: End] = [:]
    private var holes: [Hole: ConnectionID] = [:]
    private var happenings: [Happening] = []

    /// - Parameter network: the first byte of all addresses.
    init(
        nodeCount: UInt8, network: UInt8 = 10, seed: UInt64 = 0, _ change: (Int, inout Node.Configuration) -> Void = { _, _ in }
    ) throws {
        self.nodes = try (0..<nodeCount).map { index in
            try HostedNode(index + 1, network: network, seed: seed, now: .zero) { change(Int(index), &$0) }
        }
        self.isUp = Array(repeating: true, count: Int(nodeCount))
    }

    func dial(_ one: Int, _ other: Int) {
        self.nodes[one].node.swarm.dial(self.nodes[other].id, at: [self.nodes[other].address], now: self.now)
    }

    func connect(_ one: Int, to other: Int) {
        self.dial(one, other)
        self.run(for: .seconds(1))
    }

    /// A node is gone without a word; the others' pipes to it break.
    func crash(_ index: Int) {
        self.isUp[index] = false
        for (end, other) in self.others where end.node == index {
            self.happenings.append(.end(other))
            self.others[end] = nil
            self.others[other] = nil
        }
    }

    func run(for duration: Duration) {
        let end = self.now + duration
        self.pump()
        while true {
            if !self.happenings.isEmpty {
                self.now += .milliseconds(1)
                let due = self.happenings
                self.happenings = []
                for happening in due { self.happen(happening) }
            } else if let next = self.nextDeadline, next <= end {
                self.now = max(self.now, next)
            } else {
                break
            }
            if self.now > end { break }
            for (index, host) in self.nodes.enumerated() where self.isUp[index] { host.node.swarm.tick(now: self.now) }
            self.pump()
        }
        self.now = max(self.now, end)
    }

    private var nextDeadline: Duration? {
        self.nodes.indices.compactMap { self.isUp[$0] ? self.nodes[$0].node.swarm.deadline : nil }.min()
    }

    private func happen(_ happening: Happening) {
        switch happening {
        case .dial(let index, let id, let dial): self.happen(dial, id, of: index)
        case .bytes(let end, let bytes): self.nodes[end.node].node.swarm.receive(bytes, from: end.id, now: self.now)
        case .end(let end): self.nodes[end.node].node.swarm.endOfInput(end.id, now: self.now)
        }
    }

    private func happen(_ dial: RawDial, _ id: ConnectionID, of index: Int) {
        guard let other = self.nodes.firstIndex(where: { $0.address == dial.address }), self.isUp[other] else {
            return self.nodes[index].node.swarm.dialFailed(id, .refused, now: self.now)
        }
        let own = self.nodes[index].address
        if dial.fromListenPort, let crossing = self.holes.removeValue(forKey: Hole(node: other, address: own)) {
            // Both dialled: of two dials one connection comes (TCP's simultaneous open).
            self.join(End(node: index, id: id), End(node: other, id: crossing))
            self.nodes[index].node.swarm.dialled(id, now: self.now)
            self.nodes[other].node.swarm.dialled(crossing, now: self.now)
            return
        }
        guard !self.hidden.contains(other) else {
            if dial.fromListenPort { self.holes[Hole(node: index, address: dial.address)] = id }
            return
        }
        let from = dial.fromListenPort ? own : Multiaddr([own.components[0], .tcp(40_000)])
        guard let otherID = self.nodes[other].node.swarm.accepted(from: from, now: self.now) else {
            return self.nodes[index].node.swarm.dialFailed(id, .refused, now: self.now)
        }
        self.join(End(node: index, id: id), End(node: other, id: otherID))
        self.nodes[index].node.swarm.dialled(id, now: self.now)
    }

    private func join(_ one: End, _ other: End) {
        self.others[one] = other
        self.others[other] = one
    }

    private func pump() {
        for (index, host) in self.nodes.enumerated() where self.isUp[index] {
            var isBusy = true
            while isBusy {
                isBusy = host.takeNews(now: self.now)
                while let command = host.node.swarm.nextCommand() {
                    isBusy = true
                    self.carryOut(command, of: index)
                }
            }
        }
    }

    private func carryOut(_ command: SwarmCommand, of index: Int) {
        switch command {
        case .dial(let id, let dial): self.happenings.append(.dial(index, id, dial))
        case .send(let id): self.send(End(node: index, id: id))
        case .close(let id, let afterOutput):
            let end = End(node: index, id: id)
            if afterOutput { self.send(end) }
            self.holes = self.holes.filter { $0.key.node != index || $0.value != id }
            if let other = self.others.removeValue(forKey: end) { self.happenings.append(.end(other)) }
        }
    }

    private func send(_ end: End) {
        while true {
            let bytes = self.nodes[end.node].node.swarm.takeOutput(of: end.id, now: self.now)
            if bytes.isEmpty { return }
            if let other = self.others[end] { self.happenings.append(.bytes(other, bytes)) }
        }
    }
}
