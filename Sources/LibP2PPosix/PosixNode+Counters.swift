public import LibP2P

extension PosixNode {
    /// What the node has done and seen since it was made, and what multicast DNS has since ``discoverLocalPeers(_:)``: `nil` there after
    /// ``stopLocalDiscovery()``.
    public var counters: NodeCounters {
        var counters = self.node.counters
        counters.mdns = self.discoveries.values.first { !$0.isStopped }?.sockets.counters
        return counters
    }
}
