internal import LibP2P

/// Which members' nodes are connected, and when those that are wanted and are not are dialled next.
struct MemberLinks: Sendable {
    private struct Link: Sendable {
        var connections: Set<ConnectionID> = []
        var since: Duration?
        var failures = 0
        /// Its round trip, as far as one was seen.
        var isWanted = false
        var addresses: [Multiaddr] = []
    }

    private var links: [PeerID: Link] = [:]

    /// Addresses of one peer that are given to each dial, beside those that the swarm knows.
    static let addressCountMax = 16
    /// Between a dial and the next one: twice as long after each, up to this.
    static let pauseMax = Duration.seconds(60)
    /// Dials without success after which others are asked where the peer is.
    static let failuresUntilSearch = 2

    func isConnected(_ peer: PeerID) -> Bool { !(self.links[peer]?.connections.isEmpty ?? true) }
    func connectedSince(_ peer: PeerID) -> Duration? { self.isConnected(peer) ? self.links[peer]?.since : nil }
    func addresses(of peer: PeerID) -> [Multiaddr] { self.links[peer]?.addresses ?? [] }
    func failures(of peer: PeerID) -> Int { self.links[peer]?.failures ?? 0 }

    /// - Returns: whether it is the first connection.
    mutating func connected(_ info: ConnectionInfo, now: Duration) -> Bool {
        let isFirst = !self.isConnected(info.peer)
        self.links[info.peer, default: Link()].connections.insert(info.id)
        if isFirst {
            self.links[info.peer]?.since = now
            self.links[info.peer]?.failures = 0
        }
        return isFirst
    }

    /// - Returns: whether it was the last connection.
    mutating func disconnected(_ info: ConnectionInfo) -> Bool {
        guard self.links[info.peer]?.connections.remove(info.id) != nil, !self.isConnected(info.peer) else { return false }
        if let link = self.links[info.peer], !link.isWanted, link.addresses.isEmpty { self.links[info.peer] = nil }
        return true
    }

    mutating func learn(_ addresses: [Multiaddr], of peer: PeerID) {
        var known = self.links[peer]?.addresses ?? []
        for address in addresses where !known.contains(address) { known.append(address) }
        self.links[peer, default: Link()].addresses = Array(known.suffix(Self.addressCountMax))
    }

    /// A member is wanted, or not any more.
    ///
    /// - Returns: whether that is new.
    mutating func setWanted(_ peer: PeerID, _ isWanted: Bool) -> Bool {
        guard (self.links[peer]?.isWanted ?? false) != isWanted else { return false }
        self.links[peer, default: Link()].isWanted = isWanted
        return true
    }

    func isWanted(_ peer: PeerID) -> Bool { self.links[peer]?.isWanted ?? false }

    var wanted: [PeerID] { self.links.filter { $0.value.isWanted }.keys.sorted() }

    /// A dial begins.
    ///
    /// - Returns: how long to wait for it before the next one, and whether others should be asked for addresses.
    mutating func dials(_ peer: PeerID) -> (pause: Duration, searches: Bool) {
        let failures = self.links[peer]?.failures ?? 0
        self.links[peer, default: Link()].failures = failures + 1
        return (min(Self.pauseMax, .seconds(2) * (1 << min(failures, 6))), failures >= Self.failuresUntilSearch)
    }
}
