public import LibP2P

/// Where peers of signers may be, by who says so.
///
/// What the owner says stands before what the group's members gave each other, that before what a peer's own announcements say, and that
/// before what strangers tell of it in the hash table; what somebody says of its mailboxes comes last. No source takes a place from a better one. Whose peer a signer's is, enrolments
/// say alone: `Roster` for members, where the highest version counts, and `SignerDirectory` for who advertises.
struct PeerDirectory: Sendable {
    /// Who says it, the best first.
    enum Source: Int, CaseIterable, Sendable {
        /// A contact, or an address that was typed.
        case owner
        /// A group's members, as they joined: what each said of itself, and no owner has read.
        case group
        /// A signed announcement or advertisement of the peer itself.
        case gossip
        /// Found in the hash table.
        case table
        /// Where a peer is that somebody named as its mailbox: of another peer it is that one's word alone.
        case mailbox
    }

    private struct Places: Sendable {
        var bySource: [[Multiaddr]] = Source.allCases.map { _ in [] }
        /// When it was last learned of, by a count.
        var order: UInt64
    }

    /// Addresses of one peer that are given to each dial, beside those that the swarm knows; half of them for each source.
    static let addressCountMax = 16
    static let addressCountOfSourceMax = 8
    static let addressCountOfMailboxMax = 2
    /// Peers. Beyond it the one goes that nothing was heard of for longest, and of which only gossip or the hash table told.
    static let peerCountMax = 4_096

    private var places: [PeerID: Places] = [:]
    private var order: UInt64 = 0

    var count: Int { self.places.count }

    /// All that are known, those of better sources first.
    func addresses(of peer: PeerID) -> [Multiaddr] {
        var all: [Multiaddr] = []
        for address in (self.places[peer]?.bySource ?? []).joined() where !all.contains(address) { all.append(address) }
        return Array(all.prefix(Self.addressCountMax))
    }

    /// The same, by whether the owner said so: only what the owner says may lead into the owner's own network.
    func dialAddresses(of peer: PeerID) -> PeerDialAddresses {
        let owners = self.places[peer]?.bySource[Source.owner.rawValue] ?? []
        return PeerDialAddresses(owners: owners, others: self.addresses(of: peer).filter { !owners.contains($0) })
    }

    /// The owner, the groups and who names a mailbox add to what they said, and the newest is kept; what is told anew by gossip or the table replaces what was.
    mutating func learn(_ addresses: [Multiaddr], of peer: PeerID, from source: Source) {
        guard !addresses.isEmpty, self.makeRoom(for: peer, source) else { return }
        self.order += 1
        var places = self.places[peer] ?? Places(order: self.order)
        places.order = self.order
        var known: [Multiaddr] = []
        switch source {
        case .owner, .group:
            known = places.bySource[source.rawValue]
            for address in addresses where !known.contains(address) { known.append(address) }
            known = known.suffix(Self.addressCountOfSourceMax)
        case .mailbox:
            known = places.bySource[source.rawValue].filter { !addresses.contains($0) }
            for address in addresses where !known.contains(address) { known.append(address) }
            known = known.suffix(Self.addressCountOfMailboxMax)
        case .gossip, .table:
            for address in addresses where !known.contains(address) { known.append(address) }
            known = Array(known.prefix(Self.addressCountOfSourceMax))
        }
        places.bySource[source.rawValue] = known
        self.places[peer] = places
    }

    private mutating func makeRoom(for peer: PeerID, _ source: Source) -> Bool {
        guard self.places[peer] == nil, self.places.count >= Self.peerCountMax else { return true }
        let loose = self.places.filter {
            $0.value.bySource[Source.owner.rawValue].isEmpty && $0.value.bySource[Source.group.rawValue].isEmpty
        }
        // Of whom the owner says where they are there are as many as the owner wants.
        guard let oldest = loose.min(by: { $0.value.order < $1.value.order }) else { return source == .owner || source == .group }
        self.places[oldest.key] = nil
        return true
    }
}

/// Where a peer is dialled.
public struct PeerDialAddresses: Hashable, Sendable {
    /// By the owner's word.
    public let owners: [Multiaddr]
    /// What others say, the peer itself among them. A name among these may lie, and leads into no network that is nearer than it looks.
    public let others: [Multiaddr]

    /// The dials to begin, in this order and at once: they become one.
    var dials: [(addresses: [Multiaddr], isHearsay: Bool)] {
        let all = [(addresses: self.owners, isHearsay: false), (addresses: self.others, isHearsay: true)].filter { !$0.addresses.isEmpty }
        // The swarm may know addresses by itself.
        return all.isEmpty ? [([], false)] : all
    }
}
