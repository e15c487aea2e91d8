internal import LibP2P

/// Which members' nodes are connected and how, and when those that are wanted and are not are dialled next.
struct MemberLinks: Sendable {
    private struct Link: Sendable {
        var connections: [ConnectionID: ConnectionMethod] = [:]
        var since: Duration?
        var failures = 0
        /// When it was last dialled because it is wanted, and when others were last asked where it is.
        var dialledAt: Duration?
        var searchedAt: Duration?
        /// How often they were asked, since a connection last stood for long.
        var searchCount = 0
        var isWanted = false
        /// Until when it is wanted although no request is under way with it: somebody asked whether it is there.
        var attendedUntil: Duration?
        /// Of the last ping that was answered on a connection that stands.
        var roundTrip: Duration?
        /// What the last dial led to whose end was told.
        var lastError: ConnectivityError?
        /// Dials and pings that the shell has not answered yet: one of each is enough for all who wait.
        var isBeingDialled = false
        var isBeingPinged = false

        var method: ConnectionMethod? {
            self.connections.isEmpty ? nil : self.connections.values.contains(.direct) ? .direct : .relay
        }
    }

    /// What a connection, or the end of one, changes.
    enum Change: Sendable {
        case connected(ConnectionMethod)
        /// There is another way than before.
        case moved(ConnectionMethod)
        case disconnected
    }

    private var links: [PeerID: Link] = [:]
    private var directory = PeerDirectory()

    /// Between a dial and the next one: twice as long after each, up to this.
    static let pauseMax = Duration.seconds(60)
    /// A connection that lasted less is no success: what keeps ending is dialled again later each time, as what leads nowhere.
    static let shortestSuccess = Duration.seconds(60)
    /// Dials without success after which others are asked where the peer is.
    static let failuresUntilSearch = 2

    func isConnected(_ peer: PeerID) -> Bool { self.method(of: peer) != nil }
    /// The best one, where there are several connections.
    func method(of peer: PeerID) -> ConnectionMethod? { self.links[peer]?.method }
    func connectedSince(_ peer: PeerID) -> Duration? { self.isConnected(peer) ? self.links[peer]?.since : nil }
    func roundTrip(to peer: PeerID) -> Duration? { self.links[peer]?.roundTrip }
    func addresses(of peer: PeerID) -> [Multiaddr] { self.directory.addresses(of: peer) }
    func dialAddresses(of peer: PeerID) -> PeerDialAddresses { self.directory.dialAddresses(of: peer) }
    func failures(of peer: PeerID) -> Int { self.links[peer]?.failures ?? 0 }
    func lastError(of peer: PeerID) -> ConnectivityError? { self.links[peer]?.lastError }

    /// - Returns: what changed; `nil` for a further connection of the same kind.
    mutating func connected(_ info: ConnectionInfo, now: Duration) -> Change? {
        var link = self.links[info.peer] ?? Link()
        let before = link.method
        link.connections[info.id] = ConnectionMethod(info)
        if before == nil {
            link.since = now
            link.lastError = nil
        }
        self.links[info.peer] = link
        guard let after = link.method, after != before else { return nil }
        return before == nil ? .connected(after) : .moved(after)
    }

    mutating func disconnected(_ info: ConnectionInfo, now: Duration) -> Change? {
        guard var link = self.links[info.peer], let before = link.method, link.connections.removeValue(forKey: info.id) != nil else {
            return nil
        }
        let after = link.method
        if after == nil {
            link.roundTrip = nil
            // The dial that led here was a failure after all; and who came by itself and left counts as one.
            let lasted = now - (link.since ?? now)
            link.failures = lasted >= Self.shortestSuccess ? 0 : max(1, link.failures)
            if link.failures == 0 { link.searchCount = 0 }
        }
        let isForgotten = after == nil && !link.isWanted && !link.isBeingDialled && !link.isBeingPinged
        self.links[info.peer] = isForgotten ? nil : link
        guard let after else { return .disconnected }
        return after == before ? nil : .moved(after)
    }

    // MARK: Dials and pings whose end is told

    /// - Returns: whether none is under way.
    mutating func beginDial(_ peer: PeerID) -> Bool {
        defer { self.links[peer, default: Link()].isBeingDialled = true }
        return !(self.links[peer]?.isBeingDialled ?? false)
    }

    /// - Parameter error: `nil` where there is a connection now.
    mutating func endDial(_ peer: PeerID, _ error: ConnectivityError?) {
        self.links[peer]?.isBeingDialled = false
        guard let error, !self.isConnected(peer) else { return }
        self.links[peer]?.lastError = error
    }

    mutating func beginPing(_ peer: PeerID) -> Bool {
        guard self.isConnected(peer) else { return false }
        defer { self.links[peer]?.isBeingPinged = true }
        return !(self.links[peer]?.isBeingPinged ?? false)
    }

    mutating func endPing(_ peer: PeerID, _ roundTrip: Duration?) {
        self.links[peer]?.isBeingPinged = false
        if let roundTrip, self.isConnected(peer) { self.links[peer]?.roundTrip = roundTrip }
    }

    /// Somebody wants to know about it for a while.
    mutating func attend(to peer: PeerID, until time: Duration) {
        self.links[peer, default: Link()].attendedUntil = max(self.links[peer]?.attendedUntil ?? time, time)
    }

    func isAttended(_ peer: PeerID, now: Duration) -> Bool { self.links[peer]?.attendedUntil.map { now < $0 } ?? false }

    // MARK: Who is wanted

    /// - Returns: whether there was anything new among them.
    @discardableResult
    mutating func learn(_ addresses: [Multiaddr], of peer: PeerID, from source: PeerDirectory.Source) -> Bool {
        let before = self.directory.addresses(of: peer)
        self.directory.learn(addresses, of: peer, from: source)
        return self.directory.addresses(of: peer).contains { !before.contains($0) }
    }

    /// A member is wanted, or not any more.
    ///
    /// - Returns: whether that is new.
    mutating func setWanted(_ peer: PeerID, _ isWanted: Bool) -> Bool {
        guard (self.links[peer]?.isWanted ?? false) != isWanted else { return false }
        self.links[peer, default: Link()].isWanted = isWanted
        return true
    }

    /// After the end of its last connection: how long to wait before the peer is dialled again.
    func pauseAfterLoss(of peer: PeerID) -> Duration {
        let failures = self.failures(of: peer)
        return failures == 0 ? .zero : Self.pause(after: failures - 1)
    }

    private static func pause(after failures: Int) -> Duration {
        min(Self.pauseMax, .seconds(2) * (1 << max(0, min(failures, 6))))
    }

    func isWanted(_ peer: PeerID) -> Bool { self.links[peer]?.isWanted ?? false }

    var wanted: [PeerID] { self.links.filter { $0.value.isWanted }.keys.sorted() }

    /// A dial begins.
    ///
    /// - Returns: how long to wait for it before the next one, and whether others should be asked for addresses: at once where none is
    ///   known.
    mutating func dials(_ peer: PeerID, now: Duration) -> (pause: Duration, searches: Bool) {
        let failures = self.failures(of: peer)
        self.links[peer, default: Link()].failures = failures + 1
        self.links[peer]?.dialledAt = now
        let isUnknown = failures >= Self.failuresUntilSearch || self.addresses(of: peer).isEmpty
        return (Self.pause(after: failures), isUnknown && self.beginSearch(for: peer, now: now))
    }

    /// What others say has a peer dialled, and a dial has others asked: each time later than the last, up to a minute.
    private mutating func beginSearch(for peer: PeerID, now: Duration) -> Bool {
        if let link = self.links[peer], let last = link.searchedAt, now < last + Self.pause(after: link.searchCount - 1) { return false }
        self.noteSearch(for: peer, now: now)
        return true
    }

    /// Others are asked where the peer is.
    mutating func noteSearch(for peer: PeerID, now: Duration) {
        self.links[peer, default: Link()].searchedAt = now
        self.links[peer]?.searchCount += 1
    }

    /// When a peer that is wanted may be dialled again because of what somebody said.
    func mayDialAt(_ peer: PeerID, now: Duration) -> Duration {
        max(now, self.links[peer]?.dialledAt.map { $0 + Self.pause(after: 0) } ?? now)
    }
}
