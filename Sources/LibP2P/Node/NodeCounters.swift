/// What a node has done and seen since it began, of each of its protocols: among it all that was refused of peers, so that what bad input
/// there was shows also to who did not read the events.
///
/// `nil` where the node's configuration has no such protocol.
public struct NodeCounters: Equatable, Sendable {
    /// With what the connections that stand have seen.
    public var swarm: SwarmCounters
    public var identify: IdentifyCounters
    public var ping: Ping.Counters
    public var gossipsub: GossipsubCounters?
    public var kad: KadCounters?
    public var relayClient: RelayClient.Counters?
    public var relayServer: RelayServer.Counters?
    public var holePunch: DCUtR.Counters?
    /// Of multicast DNS, which is no protocol of the swarm's: set by who speaks it, `nil` where nobody does.
    public var mdns: MDNS.Counters?
}

extension Node {
    /// What the swarm and its protocols have counted. Machines that the owner added have counters of their own.
    public var counters: NodeCounters {
        NodeCounters(
            swarm: self.swarm.totalCounters, identify: self.swarm.read(self.identify) { $0.counters },
            ping: self.swarm.read(self.ping) { $0.counters },
            gossipsub: self.gossipsub.map { self.swarm.read($0) { $0.counters } },
            kad: self.kad.map { self.swarm.read($0) { $0.counters } },
            relayClient: self.relayClient.map { self.swarm.read($0) { $0.counters } },
            relayServer: self.relayServer.map { self.swarm.read($0) { $0.counters } },
            holePunch: self.holePunch.map { self.swarm.read($0) { $0.counters } })
    }
}
