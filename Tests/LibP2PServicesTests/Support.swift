import CryptoPrimitives
import LibP2P

/// Identities that everybody knows.
enum KnownIdentity {
    /// A peer of whom nobody has the key.
    static func stranger(_ number: UInt64) -> PeerID {
        let digest = withUnsafeBytes(of: number.bigEndian) { [UInt8](repeating: 0, count: 24) + $0 }
        guard let peer = try? PeerID(parsing: [0x12, 0x20] + digest) else { preconditionFailure("32 bytes are a SHA-256 digest") }
        return peer
    }

    static func make(_ seed: UInt8) throws -> PeerIdentity {
        try PeerIdentity(Ed25519.SecretKey(seed: SecretBytes(count: 32) { $0.copyBytes(from: [UInt8](repeating: seed, count: 32)) }))
    }
}

/// A peer that does what the test says, and remembers what came.
struct Puppet: ProtocolMachine {
    var servedProtocolIDs: [String]
    var commands: [ProtocolCommand] = []
    var inbound: [StreamID] = []
    var opened: [StreamID] = []
    var failures: [StreamFailure] = []
    var received: [StreamID: [UInt8]] = [:]
    var ended: Set<StreamID> = []
    var reset: Set<StreamID> = []
    var connections: [ConnectionInfo] = []

    init(serving protocolIDs: [String] = []) { self.servedProtocolIDs = protocolIDs }

    mutating func handle(_ input: ProtocolInput, now: Duration) {
        switch input {
        case .connected(let info): self.connections.append(info)
        case .disconnected(let info): self.connections.removeAll { $0.id == info.id }
        case .opened(_, let stream, _): self.opened.append(stream)
        case .failed(_, let failure): self.failures.append(failure)
        case .inbound(let stream, _, _): self.inbound.append(stream)
        case .received(let stream, let bytes): self.received[stream, default: []] += bytes
        case .ended(let stream): self.ended.insert(stream)
        case .reset(let stream): self.reset.insert(stream)
        case .writable, .protocols: break
        }
    }

    mutating func tick(now: Duration) {}
    var deadline: Duration? { nil }
    mutating func nextCommand() -> ProtocolCommand? { self.commands.isEmpty ? nil : self.commands.removeFirst() }
    mutating func nextEvent() -> Never? { nil }
    var heldByteCount: Int { 0 }
}

/// Nodes of machines in one process, under virtual time. Bytes take `delay`, keep their order within a stream and are cut anywhere.
struct TestNetwork {
    typealias Node = Int

    struct Machine {
        var machine: any ProtocolMachine
        var events: [any Sendable] = []
    }

    struct End: Hashable {
        let node: Node
        let stream: StreamID
    }

    struct Stream {
        let other: End
        let machine: Int
        let connection: ConnectionID
        var isWriteOpen = true
    }

    struct Link {
        let ends: [Node]
        let infos: [ConnectionInfo]
    }

    enum Happening {
        case input(Node, machine: Int, ProtocolInput)
        /// The same, for a stream that may be gone by then.
        case streamInput(End, ProtocolInput)
        case disconnect(ConnectionID)
    }

    var now: Duration = .seconds(100)
    var delay: Duration = .milliseconds(10)
    /// Longest piece in which bytes arrive.
    var pieceByteCountMax = 1 << 20
    private(set) var identities: [PeerIdentity] = []
    private var machines: [[Machine]] = []
    private var links: [ConnectionID: Link] = [:]
    private var streams: [End: Stream] = [:]
    private var happenings: [(time: Duration, number: Int, what: Happening)] = []
    private var happeningCount = 0
    private var idCount: UInt64 = 0
    private var random: SeededRandom
    private(set) var dials: [(node: Node, peer: PeerID, addresses: [Multiaddr])] = []
    /// Who is written to takes nothing.
    var takesNothing = false
    var heldByteCountMax = 0

    init(seed: UInt64 = 1) { self.random = SeededRandom(seed: seed) }

    mutating func add(_ identity: PeerIdentity, _ machines: [any ProtocolMachine]) -> Node {
        self.identities.append(identity)
        self.machines.append(machines.map { Machine(machine: $0) })
        return self.machines.count - 1
    }

    // MARK: What a test does

    /// Connects two nodes; the first dials.
    @discardableResult
    mutating func connect(
        _ dialer: Node, _ listener: Node, dialerAddress: String = "/ip4/127.0.0.1/tcp/4001",
        listenerAddress: String = "/ip4/127.0.0.1/tcp/4002", isLimited: Bool = false
    ) throws -> ConnectionID {
        let id = ConnectionID(rawValue: self.number())
        let infos = [
            ConnectionInfo(
                id: id, peer: self.identities[listener].id, isOutbound: true, remoteAddress: try Multiaddr(text: listenerAddress),
                isLimited: isLimited),
            ConnectionInfo(
                id: id, peer: self.identities[dialer].id, isOutbound: false, remoteAddress: try Multiaddr(text: dialerAddress),
                isLimited: isLimited),
        ]
        self.links[id] = Link(ends: [dialer, listener], infos: infos)
        for (node, info) in zip([dialer, listener], infos) { self.tellAll(node, .connected(info)) }
        return id
    }

    mutating func disconnect(_ id: ConnectionID) {
        guard let link = self.links.removeValue(forKey: id) else { return }
        for (end, stream) in self.streams where stream.connection == id {
            self.streams[end] = nil
            self.give(end.node, stream.machine, .reset(end.stream))
        }
        for (node, info) in zip(link.ends, link.infos) { self.tellAll(node, .disconnected(info)) }
    }

    /// Calls a machine and does what it then wants.
    mutating func with<M: ProtocolMachine, Result>(
        _ node: Node, _ type: M.Type, _ body: (inout M, Duration) throws -> Result
    ) rethrows -> Result {
        guard let index = self.machines[node].firstIndex(where: { $0.machine is M }), var machine = self.machines[node][index].machine as? M
        else { preconditionFailure("the test asks for a machine that the node has not") }
        let result = try body(&machine, self.now)
        self.machines[node][index].machine = machine
        self.drain(node, index)
        return result
    }

    func machine<M: ProtocolMachine>(_ node: Node, _ type: M.Type) -> M {
        for machine in self.machines[node] { if let found = machine.machine as? M { return found } }
        preconditionFailure("the test asks for a machine that the node has not")
    }

    func events<M: ProtocolMachine>(_ node: Node, _ type: M.Type) -> [M.Event] {
        self.machines[node].filter { $0.machine is M }.flatMap { $0.events.compactMap { $0 as? M.Event } }
    }

    mutating func command(_ node: Node, _ command: ProtocolCommand) {
        self.with(node, Puppet.self) { puppet, _ in puppet.commands.append(command) }
    }

    /// Lets a puppet open a stream and gives its id.
    mutating func open(_ node: Node, to peer: Node, _ protocolID: String) -> StreamID {
        let before = self.machine(node, Puppet.self).opened.count
        self.command(node, .open(request: 0, self.identities[peer].id, protocolIDs: [protocolID], onLimited: true))
        self.run(for: self.delay * 2)
        let opened = self.machine(node, Puppet.self).opened
        return opened.count > before ? opened[before] : StreamID(rawValue: 0)
    }

    /// Bytes that a puppet sends in one piece.
    mutating func inject(to node: Node, of stream: StreamID, at puppet: Node, _ bytes: [UInt8]) {
        guard let known = self.streams[End(node: puppet, stream: stream)] else { return }
        self.later(.streamInput(known.other, .received(known.other.stream, bytes)), after: self.delay)
    }

    /// A puppet's, or a taken stream's, last byte was sent.
    mutating func endInput(of stream: StreamID, at node: Node) {
        guard let known = self.streams[End(node: node, stream: stream)] else { return }
        self.later(.streamInput(known.other, .ended(known.other.stream)), after: self.delay)
    }

    mutating func run(for time: Duration) {
        let end = self.now + time
        while true {
            let happening = self.happenings.indices.min {
                (self.happenings[$0].time, self.happenings[$0].number) < (self.happenings[$1].time, self.happenings[$1].number)
            }
            let deadline = self.machines.joined().compactMap(\.machine.deadline).min()
            let next = [happening.map { self.happenings[$0].time }, deadline].compactMap { $0 }.min()
            guard let next, next <= end else { break }
            self.now = max(self.now, next)
            if let happening, self.happenings[happening].time <= self.now {
                self.perform(self.happenings.remove(at: happening).what)
            } else {
                self.tickAll()
            }
        }
        self.now = end
    }

    // MARK: What happens

    private mutating func number() -> UInt64 {
        self.idCount += 1
        return self.idCount
    }

    private mutating func later(_ what: Happening, after delay: Duration) {
        self.happeningCount += 1
        self.happenings.append((self.now + delay, self.happeningCount, what))
    }

    private mutating func tellAll(_ node: Node, _ input: ProtocolInput) {
        for index in self.machines[node].indices { self.give(node, index, input) }
    }

    private mutating func give(_ node: Node, _ index: Int, _ input: ProtocolInput) {
        self.machines[node][index].machine.handle(input, now: self.now)
        self.drain(node, index)
    }

    private mutating func tickAll() {
        for node in self.machines.indices {
            for index in self.machines[node].indices {
                guard let deadline = self.machines[node][index].machine.deadline, deadline <= self.now else { continue }
                self.machines[node][index].machine.tick(now: self.now)
                self.drain(node, index)
                if let after = self.machines[node][index].machine.deadline, after <= self.now {
                    preconditionFailure("\(type(of: self.machines[node][index].machine)) wants the same tick again and again")
                }
            }
        }
    }

    private mutating func drain(_ node: Node, _ index: Int) {
        self.heldByteCountMax = max(self.heldByteCountMax, self.machines[node][index].machine.heldByteCount)
        while let event = Self.nextEvent(&self.machines[node][index].machine) { self.machines[node][index].events.append(event) }
        while let command = self.machines[node][index].machine.nextCommand() { self.perform(command, node, index) }
        while let event = Self.nextEvent(&self.machines[node][index].machine) { self.machines[node][index].events.append(event) }
    }

    private static func nextEvent(_ machine: inout any ProtocolMachine) -> (any Sendable)? {
        func next(_ machine: inout some ProtocolMachine) -> (any Sendable)? { machine.nextEvent() }
        return next(&machine)
    }

    private mutating func perform(_ happening: Happening) {
        switch happening {
        case .input(let node, let machine, let input): self.give(node, machine, input)
        case .streamInput(let end, let input):
            guard let stream = self.streams[end] else { return }
            if case .reset = input { self.streams[end] = nil }
            self.give(end.node, stream.machine, input)
        case .disconnect(let id): self.disconnect(id)
        }
    }

    private mutating func perform(_ command: ProtocolCommand, _ node: Node, _ index: Int) {
        switch command {
        case .open(let request, let peer, let protocolIDs, let onLimited):
            let link = self.links.values.sorted { $0.infos[0].id < $1.infos[0].id }.first { link in
                zip(link.ends, link.infos).contains { $0 == node && $1.peer == peer && (onLimited || !$1.isLimited) }
            }
            self.open(request, link, node, index, protocolIDs)
        case .openOn(let request, let id, let protocolIDs):
            self.open(request, self.links[id], node, index, protocolIDs)
        case .write(let stream, let bytes):
            guard let known = self.streams[End(node: node, stream: stream)], known.isWriteOpen, !self.takesNothing else { return }
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Int.random(in: 1...max(1, min(rest.count, self.pieceByteCountMax)), using: &self.random)
                self.later(.streamInput(known.other, .received(known.other.stream, Array(rest.prefix(count)))), after: self.delay)
                rest = rest.dropFirst(count)
            }
            self.later(.streamInput(End(node: node, stream: stream), .writable(stream)), after: .zero)
        // Every stream takes what it is given at once, or nothing ever.
        case .pauseReading, .resumeReading: break
        case .closeWrite(let stream):
            guard let known = self.streams[End(node: node, stream: stream)], known.isWriteOpen else { return }
            self.streams[End(node: node, stream: stream)]?.isWriteOpen = false
            self.later(.streamInput(known.other, .ended(known.other.stream)), after: self.delay)
        case .reset(let stream):
            guard let known = self.streams.removeValue(forKey: End(node: node, stream: stream)) else { return }
            self.later(.streamInput(known.other, .reset(known.other.stream)), after: self.delay)
        case .dial(let peer, let addresses, _): self.dials.append((node, peer, addresses))
        case .disconnect(let peer):
            for (id, link) in self.links where zip(link.ends, link.infos).contains(where: { $0 == node && $1.peer == peer }) {
                self.later(.disconnect(id), after: .zero)
            }
        }
    }

    private mutating func open(_ request: UInt64, _ link: Link?, _ node: Node, _ index: Int, _ protocolIDs: [String]) {
        guard let link, let side = link.ends.firstIndex(of: node) else {
            return self.later(.input(node, machine: index, .failed(request: request, .notConnected)), after: .zero)
        }
        let other = link.ends[1 - side]
        for name in protocolIDs {
            guard let target = self.machines[other].firstIndex(where: { $0.machine.servedProtocolIDs.contains(name) }) else { continue }
            let (here, there) = (StreamID(rawValue: self.number()), StreamID(rawValue: self.number()))
            let (near, far) = (End(node: node, stream: here), End(node: other, stream: there))
            self.streams[near] = Stream(other: far, machine: index, connection: link.infos[0].id)
            self.streams[far] = Stream(other: near, machine: target, connection: link.infos[0].id)
            self.later(.input(other, machine: target, .inbound(there, link.infos[1 - side], protocolID: name)), after: self.delay)
            return self.later(
                .input(node, machine: index, .opened(request: request, here, protocolID: name)), after: self.delay + self.delay)
        }
        self.later(.input(node, machine: index, .failed(request: request, .notSupported)), after: self.delay + self.delay)
    }
}
