/// Where peers can be reached, as far as it is known: bounded, with expiry, and what a peer signed itself comes first.
public struct AddressBook: Sendable {
    /// How an address became known. What is worth more comes later.
    public enum Source: Int, Comparable, Sendable {
        /// Another peer said so: the DHT, a gossip peer exchange.
        case hearsay
        /// The peer's own signed record, by another peer's hand. Anybody can make up peers and sign for them.
        case exchanged
        /// The peer itself said so, unsigned (identify).
        case identified
        /// We were connected there.
        case connected
        /// The peer's own signed record, which it gave us itself.
        case signed
        /// The user of this node gave it. It does not expire.
        case configured

        public static func < (left: Source, right: Source) -> Bool { left.rawValue < right.rawValue }
    }

    struct Entry: Sendable {
        let address: Multiaddr
        var source: Source
        /// `nil`: never.
        var expiry: Duration?
    }

    struct Peer: Sendable {
        var entries: [Entry] = []
        var recordSequence: UInt64?
        /// When something was last said about the peer.
        var lastChange: Duration

        /// Whether we know of it only from others.
        var isUnmet: Bool { self.entries.allSatisfy { $0.source <= .exchanged } }
        var isConfigured: Bool { self.entries.contains { $0.source == .configured } }
    }

    /// Peers that are remembered. Those that we know only from others go first, and the one of which nothing was heard for longest.
    public static let peerCountMax = 4_096
    /// Addresses of one peer. As many as one dial tries.
    public static let addressCountMax = 32
    /// How long an address holds that nobody confirms. As go-libp2p keeps what it heard of connected peers.
    public static let lifetime = Duration.seconds(1_800)
    /// How long an address holds that another peer told.
    public static let hearsayLifetime = Duration.seconds(600)

    private var peers: [PeerID: Peer] = [:]

    public init() {}

    public var peerCount: Int { self.peers.count }

    /// Adds addresses of a peer. One that names another peer at its end is left out.
    public mutating func add(_ addresses: some Sequence<Multiaddr>, of peer: PeerID, from source: Source, now: Duration) {
        var known = self.peers[peer] ?? Peer(lastChange: now)
        known.lastChange = now
        let lifetime = source == .hearsay ? Self.hearsayLifetime : Self.lifetime
        let expiry = source == .configured ? nil : now + lifetime
        for address in addresses.lazy.prefix(Self.addressCountMax) where address.peerID == nil || address.peerID == peer {
            Self.add(Entry(address: address.withoutPeerID, source: source, expiry: expiry), to: &known)
        }
        guard !known.entries.isEmpty else { return }
        if self.peers[peer] == nil, !self.makeRoom(forUnmet: known.isUnmet, now: now) { return }
        self.peers[peer] = known
    }

    /// Takes a peer's signed record, unless a newer one is known. The addresses of the older one are forgotten.
    ///
    /// - Parameter source: `exchanged` where it came through another peer.
    /// - Returns: whether it was new.
    @discardableResult
    public mutating func add(_ record: PeerRecord, from source: Source = .signed, now: Duration) -> Bool {
        let known = self.peers[record.peerID]?.recordSequence
        guard known.map({ $0 <= record.sequence }) ?? true else { return false }
        self.peers[record.peerID]?.entries.removeAll { $0.source <= .identified || $0.source == .signed }
        self.add(record.addresses, of: record.peerID, from: source, now: now)
        self.peers[record.peerID]?.recordSequence = record.sequence
        return known != record.sequence
    }

    private static func add(_ entry: Entry, to peer: inout Peer) {
        guard !entry.address.components.isEmpty else { return }
        if let index = peer.entries.firstIndex(where: { $0.address == entry.address }) {
            peer.entries[index].source = max(peer.entries[index].source, entry.source)
            let expiry = peer.entries[index].expiry
            peer.entries[index].expiry = expiry.flatMap { old in entry.expiry.map { max(old, $0) } }
        } else if peer.entries.count < Self.addressCountMax {
            peer.entries.append(entry)
        } else if let worst = peer.entries.indices.min(by: { peer.entries[$0].source < peer.entries[$1].source }),
            peer.entries[worst].source <= entry.source
        {
            peer.entries[worst] = entry
        }
    }

    /// The addresses that still hold, the ones that the peer signed or the user gave first.
    public func addresses(of peer: PeerID, now: Duration) -> [Multiaddr] {
        guard let known = self.peers[peer] else { return [] }
        let live = known.entries.filter { entry in entry.expiry.map { $0 > now } ?? true }
        return live.sorted { $0.source > $1.source }.map(\.address)
    }

    /// The same for a dial, with what strangers say apart.
    func dialAddresses(of peer: PeerID, now: Duration) -> DialAddresses {
        let live = (self.peers[peer]?.entries ?? []).filter { entry in entry.expiry.map { $0 > now } ?? true }
        let sorted = live.sorted { $0.source > $1.source }
        return DialAddresses(
            own: sorted.filter { $0.source > .hearsay }.map(\.address), hearsay: sorted.filter { $0.source == .hearsay }.map(\.address))
    }

    /// An address led to somebody else.
    public mutating func remove(_ address: Multiaddr, of peer: PeerID) {
        self.peers[peer]?.entries.removeAll { $0.address == address.withoutPeerID }
        if self.peers[peer]?.entries.isEmpty == true { self.peers[peer] = nil }
    }

    public mutating func removeAll(of peer: PeerID) { self.peers[peer] = nil }

    /// Of two that were quiet for as long the lower id goes first, so that a seed replays.
    private static func isQuieter(_ left: (key: PeerID, value: Peer), _ right: (key: PeerID, value: Peer)) -> Bool {
        (left.value.lastChange, left.key) < (right.value.lastChange, right.key)
    }

    /// Drops what has expired, and then peers that were quiet for long: unmet ones first, and never one that the user gave. An unmet one
    /// takes no other's place, so that nobody can make us forget whom we know by naming many whom we do not.
    ///
    /// - Returns: whether there is room.
    private mutating func makeRoom(forUnmet isUnmet: Bool, now: Duration) -> Bool {
        guard self.peers.count >= Self.peerCountMax else { return true }
        self.peers = self.peers.filter { _, peer in peer.entries.contains { $0.expiry.map { $0 > now } ?? true } }
        guard self.peers.count >= Self.peerCountMax else { return true }
        var candidates = self.peers.filter { $0.value.isUnmet }
        if candidates.isEmpty, !isUnmet { candidates = self.peers.filter { !$0.value.isConfigured } }
        // An eighth at a time, so that a flood of new names does not cost a walk for each.
        for (peer, _) in candidates.sorted(by: Self.isQuieter).prefix(Self.peerCountMax / 8) {
            self.peers[peer] = nil
        }
        return self.peers.count < Self.peerCountMax
    }
}
