/// Where peers can be reached, as far as it is known: bounded in number and bytes, with expiry, and what a peer signed itself comes first.
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
        /// Somebody else answered there, and the user gave the address: it is tried last.
        var isDoubted = false
        /// Whether the owner of the node gave it, if only for one dial.
        var isGiven: Bool
        let byteCount: Int

        init(_ address: Multiaddr, _ source: Source, expiry: Duration?, isGiven: Bool) {
            self.address = address
            self.source = source
            self.expiry = expiry
            self.isGiven = isGiven
            self.byteCount = address.bytes.count
        }

        var rank: Int { self.isDoubted ? -1 : self.source.rawValue }
    }

    struct Peer: Sendable {
        var entries: [Entry] = []
        /// Of the record that the peer gave us itself.
        var recordSequence: UInt64?
        /// Of its record by others' hands.
        var exchangedSequence: UInt64?
        /// Behind which address it is, as ``ConnectionInfo/household`` says; `nil` while it was never connected.
        var household: [UInt8]?
        /// When something was last said about the peer.
        var lastChange: Duration

        /// Whether we know of it only from others.
        var isUnmet: Bool { self.entries.allSatisfy { $0.source <= .exchanged } }
        var isConfigured: Bool { self.entries.contains { $0.source == .configured } }

        /// About what it takes to keep it.
        var heldByteCount: Int { self.entries.reduce(192) { $0 + 128 + 2 * $1.byteCount } }
    }

    /// Peers that are remembered. Those that we know only from others go first; then those of the household that has most, and among them
    /// the one of which nothing was heard for longest.
    public static let peerCountMax = 4_096
    /// Addresses of one peer. As many as one dial tries.
    public static let addressCountMax = 32
    /// Bytes of one peer's addresses: those of a peer with very many take half of it.
    public static let addressByteCountMax = KadAddress.byteCountOfPeerMax
    /// Bytes that all peers together take here: those of all peers with eight addresses each.
    public static let byteCountMax = 8 << 20
    /// How long an address holds that nobody confirms. As go-libp2p keeps what it heard of connected peers.
    public static let lifetime = Duration.seconds(1_800)
    /// How long an address holds that another peer told.
    public static let hearsayLifetime = Duration.seconds(600)

    private var peers: [PeerID: Peer] = [:]
    /// About how many bytes the book takes.
    public private(set) var heldByteCount = 0

    public init() {}

    public var peerCount: Int { self.peers.count }

    private mutating func set(_ peer: PeerID, _ known: Peer?) {
        self.heldByteCount += (known?.heldByteCount ?? 0) - (self.peers[peer]?.heldByteCount ?? 0)
        self.peers[peer] = known
    }

    /// Adds addresses of a peer. One that names another peer at its end is left out.
    ///
    /// - Parameter household: of a connected peer, as ``ConnectionInfo/household`` says.
    public mutating func add(
        _ addresses: some Sequence<Multiaddr>, of peer: PeerID, from source: Source, household: [UInt8]? = nil, now: Duration
    ) {
        self.add(addresses, of: peer, from: source, household: household, isGiven: source == .configured, now: now)
    }

    mutating func add(
        _ addresses: some Sequence<Multiaddr>, of peer: PeerID, from source: Source, household: [UInt8]?, isGiven: Bool, now: Duration
    ) {
        var known = self.peers[peer] ?? Peer(lastChange: now)
        known.lastChange = now
        known.household = household ?? known.household
        let lifetime = source == .hearsay ? Self.hearsayLifetime : Self.lifetime
        let expiry = source == .configured ? nil : now + lifetime
        for address in addresses.lazy.prefix(Self.addressCountMax) where address.peerID == nil || address.peerID == peer {
            Self.add(Entry(address.withoutPeerID, source, expiry: expiry, isGiven: isGiven), to: &known)
        }
        guard !known.entries.isEmpty, self.makeRoom(for: peer, known, now: now) else { return }
        self.set(peer, known)
    }

    /// Takes a peer's signed record, unless a newer one is known. The addresses of the older one are forgotten.
    ///
    /// One that came through another peer (`exchanged`) takes the place only of what others said, so that nobody makes us forget what the
    /// peer told us itself.
    ///
    /// - Returns: whether it was new.
    @discardableResult
    public mutating func add(
        _ record: PeerRecord, from source: Source = .signed, household: [UInt8]? = nil, now: Duration
    ) -> Bool {
        let known = self.peers[record.peerID]
        let isOthers = source <= .exchanged
        let sequence = isOthers ? [known?.recordSequence, known?.exchangedSequence].compactMap { $0 }.max() : known?.recordSequence
        guard sequence.map({ $0 <= record.sequence }) ?? true else { return false }
        if var known {
            known.entries.removeAll { isOthers ? $0.source <= .exchanged : $0.source <= .identified || $0.source == .signed }
            self.set(record.peerID, known)
        }
        self.add(record.addresses, of: record.peerID, from: source, household: household, now: now)
        if isOthers {
            self.peers[record.peerID]?.exchangedSequence = record.sequence
        } else {
            self.peers[record.peerID]?.recordSequence = record.sequence
        }
        if self.peers[record.peerID]?.entries.isEmpty == true { self.set(record.peerID, nil) }
        return sequence != record.sequence
    }

    private static func add(_ entry: Entry, to peer: inout Peer) {
        guard !entry.address.components.isEmpty else { return }
        if let index = peer.entries.firstIndex(where: { $0.address == entry.address }) {
            peer.entries[index].source = max(peer.entries[index].source, entry.source)
            peer.entries[index].isGiven = peer.entries[index].isGiven || entry.isGiven
            let expiry = peer.entries[index].expiry
            peer.entries[index].expiry = expiry.flatMap { old in entry.expiry.map { max(old, $0) } }
            if entry.source == .connected { peer.entries[index].isDoubted = false }
            return
        }
        // What the user gave is never left out for its length.
        let room = entry.source == .configured ? .max : Self.addressByteCountMax - entry.byteCount
        guard room >= 0 else { return }
        var kept = peer.entries
        while kept.count >= Self.addressCountMax || kept.reduce(0, { $0 + $1.byteCount }) > room {
            guard let worst = kept.indices.min(by: { kept[$0].source < kept[$1].source }), kept[worst].source <= entry.source,
                kept[worst].source < .configured
            else { return }
            // The newer ones of one kind: an older one may have been tried.
            kept.remove(at: worst)
        }
        peer.entries = kept + [entry]
    }

    /// The addresses that still hold, the ones that the peer signed or the user gave first.
    public func addresses(of peer: PeerID, now: Duration) -> [Multiaddr] {
        guard let known = self.peers[peer] else { return [] }
        let live = known.entries.filter { entry in entry.expiry.map { $0 > now } ?? true }
        return live.sorted { $0.rank > $1.rank }.map(\.address)
    }

    /// The same for a dial, with what the owner gave and what strangers say apart.
    func dialAddresses(of peer: PeerID, now: Duration) -> DialAddresses {
        let live = (self.peers[peer]?.entries ?? []).filter { entry in entry.expiry.map { $0 > now } ?? true }
        let sorted = live.sorted { $0.rank > $1.rank }
        return DialAddresses(
            given: sorted.filter(\.isGiven).map(\.address),
            own: sorted.filter { !$0.isGiven && $0.source > .hearsay }.map(\.address),
            hearsay: sorted.filter { !$0.isGiven && $0.source == .hearsay }.map(\.address))
    }

    /// An address led to somebody else. One that the user gave stays, and is tried last: whoever has it for a while does not take it away.
    public mutating func remove(_ address: Multiaddr, of peer: PeerID) {
        guard var known = self.peers[peer] else { return }
        let address = address.withoutPeerID
        known.entries.removeAll { $0.address == address && $0.source != .configured }
        for index in known.entries.indices where known.entries[index].address == address { known.entries[index].isDoubted = true }
        self.set(peer, known.entries.isEmpty ? nil : known)
    }

    public mutating func removeAll(of peer: PeerID) { self.set(peer, nil) }

    /// Drops what has expired, and then peers that were quiet for long: unmet ones first, then those of whom a household has many, and never
    /// one that the user gave. An unmet one takes no other's place, so that nobody can make us forget whom we know by naming many whom we
    /// do not.
    ///
    /// - Returns: whether there is room for the peer as it is to be.
    private mutating func makeRoom(for peer: PeerID, _ new: Peer, now: Duration) -> Bool {
        guard !self.hasRoom(for: peer, new) else { return true }
        let expired = self.peers.filter { _, known in !known.entries.contains { $0.expiry.map { $0 > now } ?? true } }.keys
        for other in expired where other != peer { self.set(other, nil) }
        guard !self.hasRoom(for: peer, new) else { return true }
        var candidates = self.peers.filter { $0.key != peer && $0.value.isUnmet && !$0.value.isConfigured }.keys.sorted(by: self.isQuieter)
        if !new.isUnmet { candidates += self.metPeers(without: peer) }
        // An eighth at a time, so that a flood of new names does not cost a walk for each.
        for other in candidates.prefix(Self.peerCountMax / 8) { self.set(other, nil) }
        return self.hasRoom(for: peer, new) || new.isConfigured
    }

    private func hasRoom(for peer: PeerID, _ new: Peer) -> Bool {
        let known = self.peers[peer]
        let byteCount = self.heldByteCount - (known?.heldByteCount ?? 0) + new.heldByteCount
        return (known != nil || self.peers.count < Self.peerCountMax) && byteCount <= Self.byteCountMax
    }

    /// Those that may go: first the quietest of the household that has most, and so on, until all households have as many.
    private func metPeers(without peer: PeerID) -> [PeerID] {
        let met = self.peers.filter { $0.key != peer && !$0.value.isUnmet && !$0.value.isConfigured }.keys.sorted(by: self.isQuieter)
        var places: [[UInt8]: Int] = [:]
        // How many of the same household were heard of later.
        var ranked: [(peer: PeerID, place: Int, order: Int)] = []
        for (order, peer) in met.reversed().enumerated() {
            let household = self.peers[peer]?.household ?? peer.bytes
            ranked.append((peer, places[household, default: 0], met.count - order))
            places[household, default: 0] += 1
        }
        return ranked.sorted { $0.place == $1.place ? $0.order < $1.order : $0.place > $1.place }.map(\.peer)
    }

    /// Of two that were quiet for as long the lower id goes first, so that a seed replays.
    private func isQuieter(_ left: PeerID, _ right: PeerID) -> Bool {
        (self.peers[left]?.lastChange ?? .zero, left) < (self.peers[right]?.lastChange ?? .zero, right)
    }
}
