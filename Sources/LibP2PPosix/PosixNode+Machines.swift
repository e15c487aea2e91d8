public import LibP2P

extension PosixNode {
    /// Adds a protocol machine to the swarm. Its events come through the stream; the oldest are dropped when nobody reads them.
    public func add<Machine: ProtocolMachine & ~Copyable>(
        _ machine: consuming Machine, onLimited: Bool = false
    ) -> (handle: ProtocolHandle<Machine>, events: AsyncStream<Machine.Event>) {
        let (stream, continuation) = AsyncStream.makeStream(of: Machine.Event.self, bufferingPolicy: .bufferingNewest(Self.eventCountMax))
        return (self.add(machine, onLimited: onLimited) { continuation.yield($0) }, stream)
    }

    /// Adds a protocol machine to the swarm, and hands each of its events to `take`, on the loop: none is lost, and none may block there.
    public func add<Machine: ProtocolMachine & ~Copyable>(
        _ machine: consuming Machine, onLimited: Bool = false, take: @escaping @Sendable (Machine.Event) -> Void
    ) -> ProtocolHandle<Machine> {
        let handle = self.node.swarm.add(machine, onLimited: onLimited, now: self.now)
        self.machinePumps.append { swarm in
            while let event = swarm.nextEvent(of: handle) { take(event) }
        }
        self.node.announce(now: self.now)
        self.carryOut()
        return handle
    }

    /// Asks a machine for something, and carries out what it then wants.
    public func update<Machine: ProtocolMachine & ~Copyable, Result: Sendable>(
        _ handle: ProtocolHandle<Machine>, _ body: @Sendable (inout Machine, Duration) -> Result
    ) -> Result {
        let now = self.now
        let result = self.node.swarm.update(handle, now: now) { body(&$0, now) }
        self.carryOut()
        return result
    }

    /// Uses the node itself: its machines, its address book, its gate, its protections. What it then wants is carried out.
    public func withNode<Result: Sendable>(_ body: @Sendable (inout Node, Duration) -> Result) -> Result {
        let result = body(&self.node, self.now)
        self.carryOut()
        return result
    }
}
