public import LibP2P

extension PosixNode {
    /// Adds a protocol machine to the swarm. Its events come through the stream; the oldest are dropped when nobody reads them.
    public func add<Machine: ProtocolMachine>(
        _ machine: Machine, onLimited: Bool = false
    ) -> (handle: ProtocolHandle<Machine>, events: AsyncStream<Machine.Event>) {
        let handle = self.node.swarm.add(machine, onLimited: onLimited, now: self.now)
        let (stream, continuation) = AsyncStream.makeStream(of: Machine.Event.self, bufferingPolicy: .bufferingNewest(Self.eventCountMax))
        self.machinePumps.append { swarm in
            while let event = swarm.nextEvent(of: handle) { continuation.yield(event) }
        }
        self.node.announce(now: self.now)
        self.carryOut()
        return (handle, stream)
    }

    /// Asks a machine for something, and carries out what it then wants.
    public func update<Machine: ProtocolMachine, Result: Sendable>(
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
