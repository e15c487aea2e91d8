/// A server of the hash table that we know.
package struct KadContact: Sendable {
    package let peer: PeerID
    package let key: KadKey
    package fileprivate(set) var addresses: [KadAddress]
    /// From which networks it was connected when it came in.
    fileprivate let networks: Set<[UInt8]>
    /// When it last answered, or was seen to serve the protocol.
    package fileprivate(set) var heardAt: Duration
    /// Requests that failed since.
    fileprivate var failureCount = 0
}

/// The servers that we know, in buckets by how many bits their place begins with in common with ours (kad-dht, "Kademlia routing
/// table"): few of the far half of the space, all of those nearby.
///
/// Who is in stays while it answers: a flood of new peers cannot push old ones out (Kademlia, section 2.2). A bucket that is full
/// keeps a few newcomers in wait, for the day one goes.
package struct KadRoutingTable: Sendable {
    /// Failed requests in a row after which a contact goes: one may be a lost packet, two are a pattern.
    static let failureCountMax = 2
    /// Newcomers that wait at a full bucket.
    static let waitingCountMax = 4
    /// Most addresses kept of a contact.
    static let addressCountMax = 8

    private struct Bucket {
        var contacts: [KadContact] = []
        /// The newest last.
        var waiting: [KadContact] = []
    }

    package let ownKey: KadKey
    package let bucketSize: Int
    /// Places of one bucket that peers of one network (``KadAddress/network(of:)``) can have, so that whoever owns a network does not
    /// own a bucket.
    package let networkShareMax: Int
    private var buckets: [Bucket] = Array(repeating: Bucket(), count: 257)
    package private(set) var count = 0

    package init(ownKey: KadKey, bucketSize: Int, networkShareMax: Int) {
        self.ownKey = ownKey
        self.bucketSize = bucketSize
        self.networkShareMax = networkShareMax
    }

    package enum Insertion: Equatable, Sendable { case added, updated, waiting, networkIsFull, isSelf }

    /// Takes in a peer that is known to be a server, or notes that it was heard of again.
    ///
    /// - Parameter networks: from which it is connected.
    package mutating func insert(_ peer: PeerID, addresses: [KadAddress], networks: Set<[UInt8]>, now: Duration) -> Insertion {
        let key = KadKey(of: peer)
        guard key != self.ownKey else { return .isSelf }
        let number = self.ownKey.commonPrefixBitCount(with: key)
        if let index = self.buckets[number].contacts.firstIndex(where: { $0.key == key }) {
            self.buckets[number].contacts[index].heardAt = now
            self.buckets[number].contacts[index].failureCount = 0
            Self.merge(addresses, into: &self.buckets[number].contacts[index].addresses)
            return .updated
        }
        var contact = KadContact(peer: peer, key: key, addresses: [], networks: networks, heardAt: now)
        Self.merge(addresses, into: &contact.addresses)
        guard self.hasRoom(for: contact, in: number) else { return .networkIsFull }
        guard self.buckets[number].contacts.count < self.bucketSize else {
            self.buckets[number].waiting.removeAll { $0.key == key }
            self.buckets[number].waiting.append(contact)
            if self.buckets[number].waiting.count > Self.waitingCountMax { self.buckets[number].waiting.removeFirst() }
            return .waiting
        }
        self.buckets[number].contacts.append(contact)
        self.count += 1
        return .added
    }

    /// Adds addresses of a contact; of others they are not kept here.
    package mutating func learn(_ addresses: [KadAddress], of peer: PeerID) {
        let key = KadKey(of: peer)
        let number = self.ownKey.commonPrefixBitCount(with: key)
        guard let index = self.buckets[number].contacts.firstIndex(where: { $0.key == key }) else { return }
        Self.merge(addresses, into: &self.buckets[number].contacts[index].addresses)
    }

    /// Notes that a request to the peer failed.
    ///
    /// - Returns: whether the peer went for it.
    package mutating func noteFailure(of peer: PeerID) -> Bool {
        let key = KadKey(of: peer)
        let number = self.ownKey.commonPrefixBitCount(with: key)
        guard let index = self.buckets[number].contacts.firstIndex(where: { $0.key == key }) else { return false }
        self.buckets[number].contacts[index].failureCount += 1
        guard self.buckets[number].contacts[index].failureCount >= Self.failureCountMax else { return false }
        self.remove(at: index, from: number)
        return true
    }

    /// Takes a peer out that is no server any more.
    package mutating func remove(_ peer: PeerID) {
        let key = KadKey(of: peer)
        let number = self.ownKey.commonPrefixBitCount(with: key)
        self.buckets[number].waiting.removeAll { $0.key == key }
        guard let index = self.buckets[number].contacts.firstIndex(where: { $0.key == key }) else { return }
        self.remove(at: index, from: number)
    }

    private mutating func remove(at index: Int, from number: Int) {
        self.buckets[number].contacts.remove(at: index)
        self.count -= 1
        while self.buckets[number].contacts.count < self.bucketSize, let next = self.buckets[number].waiting.popLast() {
            guard self.hasRoom(for: next, in: number) else { continue }
            self.buckets[number].contacts.append(next)
            self.count += 1
        }
    }

    private func hasRoom(for contact: KadContact, in number: Int) -> Bool {
        contact.networks.allSatisfy { network in
            self.buckets[number].contacts.count { $0.networks.contains(network) } < self.networkShareMax
        }
    }

    /// Newest first, so that those that nobody names any more fall off the end.
    private static func merge(_ new: [KadAddress], into addresses: inout [KadAddress]) {
        for address in new.prefix(Self.addressCountMax) where !addresses.contains(address) { addresses.insert(address, at: 0) }
        if addresses.count > Self.addressCountMax { addresses.removeLast(addresses.count - Self.addressCountMax) }
    }

    // MARK: Looking

    package func contact(_ peer: PeerID) -> KadContact? {
        let key = KadKey(of: peer)
        return self.buckets[self.ownKey.commonPrefixBitCount(with: key)].contacts.first { $0.key == key }
    }

    /// The contacts nearest to a place, nearest first.
    package func closest(to target: KadKey, count: Int) -> [KadContact] {
        // With the target's own bucket share contacts more bits with it than any other; those of the deeper buckets share exactly as
        // many as we do, those of each shallower one fewer. So whole groups come in order, and only inside of one is compared.
        let own = self.ownKey.commonPrefixBitCount(with: target)
        var found = self.sorted(self.buckets[own].contacts, by: target)
        if found.count < count, own < 256 {
            found += self.sorted(self.buckets[(own + 1)...].flatMap(\.contacts), by: target)
        }
        for number in stride(from: own - 1, through: 0, by: -1) {
            guard found.count < count else { break }
            found += self.sorted(self.buckets[number].contacts, by: target)
        }
        return Array(found.prefix(count))
    }

    private func sorted(_ contacts: [KadContact], by target: KadKey) -> [KadContact] {
        guard contacts.count > 1 else { return contacts }
        return contacts.map { (distance: $0.key.distance(to: target), contact: $0) }.sorted { $0.distance < $1.distance }.map(\.contact)
    }

    /// Contacts that nobody has heard of since a time, those unheard for longest first.
    package func contacts(unheardSince time: Duration, count: Int) -> [KadContact] {
        let quiet = self.buckets.flatMap(\.contacts).filter { $0.heardAt <= time }
        return Array(quiet.sorted { ($0.heardAt, $0.key) < ($1.heardAt, $1.key) }.prefix(count))
    }

    /// The buckets that hold someone, by number.
    package var usedBuckets: [Int] { self.buckets.indices.filter { !self.buckets[$0].contacts.isEmpty } }

    package var heldByteCount: Int {
        self.buckets.reduce(0) { $0 + Self.byteCount(of: $1.contacts) + Self.byteCount(of: $1.waiting) }
    }

    private static func byteCount(of contacts: [KadContact]) -> Int {
        contacts.reduce(0) { $1.addresses.reduce($0 + 192) { $0 + 128 + $1.bytes.count } }
    }
}
