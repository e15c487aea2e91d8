@testable import LibP2P

/// Machines joined by streams in memory, which lose nothing, under a time that only the network moves. One number replays it all.
struct GossipNetwork {
    private enum Action {
        case input(Int, ProtocolInput)
        case tick(Int)
        case verdict(Int, PubSubMessageID)
    }

    /// How long applications think about a message.
    private static let verdictDelay = Duration.milliseconds(20)

    private struct Link {
        var delay: Duration
        var ids: [Int: ConnectionID]
    }

    private struct Pair: Hashable {
        let low: Int
        let high: Int
        init(_ left: Int, _ right: Int) { (self.low, self.high) = (min(left, right), max(left, right)) }
    }

    private(set) var now = Duration.seconds(1)
    var random: SeededRandom
    var nodes: [Gossipsub] = []
    /// When each node's application got each message.
    private(set) var arrivals: [PubSubMessageID: [Int: Duration]] = [:]
    private(set) var published: [(id: PubSubMessageID, topic: String, by: Int, at: Duration)] = []
    private var agenda = Agenda<Action>()
    private var links: [Pair: Link] = [:]
    private var streams: [StreamID: (node: Int, other: Int, remote: StreamID)] = [:]
    private var indices: [PeerID: Int] = [:]
    private var nextNumber: UInt64 = 1
    private var ticks: [Duration?] = []
    private var sequence: UInt64 = 0

    init(seed: UInt64, nodeCount: Int, _ configure: (inout GossipsubParameters) -> Void = { _ in }) {
        self.random = SeededRandom(seed: seed)
        var parameters = GossipsubParameters()
        configure(&parameters)
        for index in 0..<nodeCount {
            let identity = Known.identities[index]
            self.nodes.append(Gossipsub(identity: identity, parameters: parameters, seed: self.random.next()))
            self.indices[identity.id] = index
            self.ticks.append(nil)
        }
    }

    func areLinked(_ left: Int, _ right: Int) -> Bool { self.links[Pair(left, right)] != nil }

    func neighbours(of node: Int) -> [Int] { self.nodes.indices.filter { self.areLinked(node, $0) } }

    /// A ring, so that all is connected, and random links.
    mutating func linkAtRandom(_ members: [Int], extraLinkCount: Int) {
        for (offset, node) in members.enumerated() { self.link(node, members[(offset + 1) % members.count]) }
        for node in members {
            for _ in 0..<extraLinkCount {
                if let other = members.randomElement(using: &self.random) { self.link(node, other) }
            }
        }
    }

    /// The left one dials.
    mutating func link(_ left: Int, _ right: Int) {
        guard left != right, !self.areLinked(left, right) else { return }
        let delay = Duration.milliseconds(Int.random(in: 1...50, using: &self.random))
        let ids = [left: ConnectionID(rawValue: self.number()), right: ConnectionID(rawValue: self.number())]
        self.links[Pair(left, right)] = Link(delay: delay, ids: ids)
        for (node, other) in [(left, right), (right, left)] {
            guard let connection = self.connection(node, to: other, isOutbound: node == left) else { continue }
            self.agenda.add(.input(node, .connected(connection)), at: self.now + delay)
            self.agenda.add(
                .input(node, .protocols(of: connection.peer, self.nodes[other].servedProtocolIDs)), at: self.now + delay * 3)
        }
    }

    mutating func cut(_ left: Int, _ right: Int) {
        guard self.areLinked(left, right) else { return }
        for (node, other) in [(left, right), (right, left)] {
            guard let connection = self.connection(node, to: other, isOutbound: false) else { continue }
            self.agenda.add(.input(node, .disconnected(connection)), at: self.now)
        }
        self.links[Pair(left, right)] = nil
        for (stream, end) in self.streams where Pair(end.node, end.other) == Pair(left, right) { self.streams[stream] = nil }
    }

    private func connection(_ node: Int, to other: Int, isOutbound: Bool) -> ConnectionInfo? {
        guard let id = self.links[Pair(node, other)]?.ids[node], let address = try? Known.address(UInt8(other)) else { return nil }
        return ConnectionInfo(id: id, peer: Known.identities[other].id, isOutbound: isOutbound, remoteAddress: address, isLimited: false)
    }

    private mutating func number() -> UInt64 {
        defer { self.nextNumber += 1 }
        return self.nextNumber
    }

    mutating func subscribe(_ node: Int, _ topic: String, needsVerdict: Bool = false) {
        self.nodes[node].subscribe(topic, needsVerdict: needsVerdict, now: self.now)
        self.drain(node)
    }

    @discardableResult
    mutating func publish(_ data: [UInt8], by node: Int, to topic: String) throws -> PubSubMessageID {
        self.sequence += 1
        let id = try self.nodes[node].publish(data, to: topic, sequence: self.sequence, now: self.now).id
        self.published.append((id, topic, node, self.now))
        self.drain(node)
        return id
    }

    mutating func run(for duration: Duration) {
        let end = self.now + duration
        while let (time, action) = self.agenda.next(until: end) {
            self.now = time
            switch action {
            case .input(let node, let input):
                self.nodes[node].handle(input, now: time)
                self.drain(node)
            case .tick(let node):
                self.ticks[node] = nil
                self.nodes[node].tick(now: time)
                self.drain(node)
            case .verdict(let node, let id):
                self.nodes[node].verdict(.accept, on: id, now: time)
                self.drain(node)
            }
        }
        self.now = end
    }

    private mutating func drain(_ node: Int) {
        while let command = self.nodes[node].nextCommand() { self.carryOut(command, of: node) }
        while let event = self.nodes[node].nextEvent() {
            guard case .message(let id, _, _, let needsVerdict) = event else { continue }
            self.arrivals[id, default: [:]][node] = self.now
            if needsVerdict { self.agenda.add(.verdict(node, id), at: self.now + Self.verdictDelay) }
        }
        if self.ticks[node] == nil, let deadline = self.nodes[node].deadline {
            self.ticks[node] = deadline
            self.agenda.add(.tick(node), at: max(deadline, self.now))
        }
    }

    private mutating func carryOut(_ command: ProtocolCommand, of node: Int) {
        switch command {
        case .open(let request, let peer, let protocolIDs, _):
            guard let other = self.indices[peer], let link = self.links[Pair(node, other)],
                let connection = self.connection(other, to: node, isOutbound: false),
                let protocolID = protocolIDs.first(where: { self.nodes[other].servedProtocolIDs.contains($0) })
            else {
                self.agenda.add(.input(node, .failed(request: request, .notConnected)), at: self.now)
                return
            }
            let (ours, theirs) = (StreamID(rawValue: self.number()), StreamID(rawValue: self.number()))
            self.streams[ours] = (node, other, theirs)
            self.streams[theirs] = (other, node, ours)
            self.agenda.add(.input(other, .inbound(theirs, connection, protocolID: protocolID)), at: self.now + link.delay)
            self.agenda.add(.input(node, .opened(request: request, ours, protocolID: protocolID)), at: self.now + link.delay * 2)
        case .write(let stream, let bytes):
            guard let end = self.streams[stream], let link = self.links[Pair(end.node, end.other)] else { return }
            self.agenda.add(.input(end.other, .received(end.remote, bytes)), at: self.now + link.delay)
            self.nodes[node].handle(.writable(stream), now: self.now)
        case .reset(let stream):
            guard let end = self.streams.removeValue(forKey: stream), let link = self.links[Pair(end.node, end.other)] else { return }
            self.agenda.add(.input(end.other, .reset(end.remote)), at: self.now + link.delay)
        case .openOn, .closeWrite, .pauseReading, .resumeReading, .dial, .disconnect: break
        }
    }
}

/// What comes next: a binary heap by time, then by the order of adding. Actions stay where they are, only numbers move.
private struct Agenda<Action> {
    private var heap: [(time: Duration, order: Int, slot: Int)] = []
    private var actions: [Action?] = []
    private var freeSlots: [Int] = []
    private var added = 0

    mutating func add(_ action: Action, at time: Duration) {
        let slot = self.freeSlots.popLast() ?? self.actions.count
        if slot == self.actions.count { self.actions.append(action) } else { self.actions[slot] = action }
        self.heap.append((time, self.added, slot))
        self.added += 1
        var index = self.heap.count - 1
        while index > 0, self.isBefore(index, (index - 1) / 2) {
            self.heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func next(until end: Duration) -> (Duration, Action)? {
        guard let first = self.heap.first, first.time <= end, let action = self.actions[first.slot].take() else { return nil }
        self.freeSlots.append(first.slot)
        self.heap.swapAt(0, self.heap.count - 1)
        self.heap.removeLast()
        var index = 0
        while 2 * index + 1 < self.heap.count {
            var child = 2 * index + 1
            if child + 1 < self.heap.count, self.isBefore(child + 1, child) { child += 1 }
            guard self.isBefore(child, index) else { break }
            self.heap.swapAt(child, index)
            index = child
        }
        return (first.time, action)
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        let (left, right) = (self.heap[left], self.heap[right])
        return left.time != right.time ? left.time < right.time : left.order < right.order
    }
}
