public import LibP2P

/// What runs on a host above its node: a program that uses the network. A value without clock or task, like everything that it uses.
///
/// It is told what its node tells, and may do with the node whatever an owner does. What the node then wants is carried out.
public protocol SimulatedProgram {
    /// The process has started, the first time or again after a crash.
    mutating func start(_ node: inout Node, now: Duration)
    mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration)
    /// When ``tick(_:now:)`` is wanted next; `nil` for never.
    var deadline: Duration? { get }
    mutating func tick(_ node: inout Node, now: Duration)
    /// Takes what the protocol machines have to tell that the program added to the node. Called until there is nothing more.
    ///
    /// - Returns: whether there was anything.
    mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool
}

extension SimulatedProgram {
    public mutating func start(_ node: inout Node, now: Duration) {}
    public var deadline: Duration? { nil }
    public mutating func tick(_ node: inout Node, now: Duration) {}
    public mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool { false }
}

/// A machine of a simulated network: one whole node, and the program that owns it.
public final class SimulatedHost<Program: SimulatedProgram> {
    /// Its place in ``SimulatedNetwork/hosts``.
    public let number: Int
    public let identity: PeerIdentity
    /// Where its node listens.
    public let address: Multiaddr
    /// Of a host that is down: as it was when it crashed. Whoever changes anything does so by ``SimulatedNetwork/update(_:_:)``.
    public internal(set) var node: Node
    public internal(set) var program: Program
    public internal(set) var isUp = true
    /// How often its process was started.
    public internal(set) var startCount = 1
    /// Which part of a cut network it is in. Hosts of different parts do not reach each other.
    public internal(set) var part = 0
    /// Bytes that it sent, by all its pipes.
    public internal(set) var sentByteCount = 0
    /// Bytes that it read, from all its pipes.
    public internal(set) var receivedByteCount = 0
    /// What its node and program computed, by ``SimulatedNetwork/processorClock``.
    public internal(set) var processorTime: UInt64 = 0
    /// How fast it reads, in bytes a second; `nil`: at once.
    public internal(set) var readBytesPerSecond: Int?

    /// Whether no dial reaches it, as behind a translator of addresses: it dials itself.
    public internal(set) var isHidden = false
    /// Bytes that may be under way to it in each of its pipes, in place of ``NetworkFaults/windowByteCount``.
    public internal(set) var windowByteCount: Int?

    var pipes: [ConnectionID: (pipe: SimulatedPipe, side: SimulatedPipe.Side)] = [:]
    var pendingDials: Set<ConnectionID> = []
    /// Pipes of which only the other ends are left.
    var orphans: [SimulatedPipe] = []
    /// The one tick that counts.
    var tickTime: Duration?
    /// When its uplink has sent what it was given.
    var uplinkFreeAt = Duration.zero
    /// Until when it is busy with what it has read.
    var readsAgainAt = Duration.zero

    init(number: Int, identity: PeerIdentity, address: Multiaddr, node: consuming Node, program: Program) {
        self.number = number
        self.identity = identity
        self.address = address
        self.node = node
        self.program = program
    }

    public var id: PeerID { self.identity.id }

    /// By itself, for as a loop's condition the optimiser leaves the access to the program open (Swift 6.3).
    @inline(never)
    func takeEvents(now: Duration) -> Bool { self.program.takeEvents(&self.node, now: now) }

    var deadline: Duration? {
        guard let program = self.program.deadline else { return self.node.swarm.deadline }
        return self.node.swarm.deadline.map { min($0, program) } ?? program
    }
}
