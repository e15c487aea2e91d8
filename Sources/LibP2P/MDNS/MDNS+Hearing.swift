// What others tell: kept for as long as they say, and not longer than we think fit (RFC 6762, section 10).

/// A name under which somebody told of a peer.
struct MDNSInstance: Sendable {
    struct Address: Sendable {
        let address: Multiaddr
        var interface: UInt32
        var heardAt: Duration
        var expiry: Duration
    }

    /// The name stands for this peer as long as it is known.
    let peer: PeerID
    let source: MDNS.Source
    var addresses: [Address] = []
    var heardAt: Duration
    /// As it was told, in seconds, and as we believe it.
    var timeToLive: UInt32
    var lifetime: Duration
    /// How often it was asked for since, because it is about to expire.
    var refreshCount = 0
    var refreshAt: Duration?
    /// Until when the last event said that it holds.
    var reportedUntil: Duration
}

extension MDNS {
    /// How long what is taken back, or replaced, still holds: another message may say more (sections 10.1 and 10.2).
    private static let graceTime = Duration.seconds(1)
    /// When it is asked for again what nobody confirmed, in percent of its time (section 5.2), and how much later at most.
    private static let refreshPercentages = [80, 85, 90, 95]
    private static let refreshSpread = 20
    /// Texts that are read of one message for one name.
    private static let textCountMax = 64
    private static let key = Array("dnsaddr".utf8)

    mutating func hear(_ message: DNSMessage, from source: MDNSEndpoint, on index: Int, now: Duration) {
        self.spareAnswer(message, on: index)
        let records = message.records.filter(\.isOfInternet)
        var texts: [DNSName: (texts: [[UInt8]], timeToLive: UInt32, flushes: Bool)] = [:]
        for record in records {
            guard case .txt(let more) = record.data, record.ttl > 0 else { continue }
            let known = texts[record.name] ?? ([], record.ttl, false)
            texts[record.name] = (
                known.texts + more.prefix(max(0, Self.textCountMax - known.texts.count)), min(known.timeToLive, record.ttl),
                known.flushes || record.flushesCache
            )
        }
        // Each once: one message must not make us read the same addresses five hundred times.
        var seen: Set<DNSName> = []
        for record in records where record.name == MDNSNames.service {
            guard case .ptr(let name) = record.data, name.isChild(of: MDNSNames.service), seen.insert(name).inserted else { continue }
            if name == self.names.instance {
                self.contradict(index, timeToLive: record.ttl, now: now)
            } else if record.ttl == 0 {
                self.takeLeave(name, now: now)
            } else if let text = texts[name] {
                let claim = Claim(
                    name: name, texts: text.texts, timeToLive: min(text.timeToLive, record.ttl), flushes: text.flushes,
                    source: Source(link: self.links[index].link.id, address: source.address))
                if !self.take(claim, on: self.links[index].link, now: now) { self.counters.namesRefused += 1 }
            }
        }
    }

    private struct Claim {
        let name: DNSName
        let texts: [[UInt8]]
        let timeToLive: UInt32
        let flushes: Bool
        let source: Source
    }

    private mutating func take(_ claim: Claim, on link: MDNSLink, now: Duration) -> Bool {
        let told = claim.texts.compactMap { Self.address(in: $0) }
        // The first one says who it is. Whoever else is named does not belong here.
        guard let peer = told.first?.peerID, peer != self.peer else { return told.first?.peerID == self.peer }
        let addresses = told.filter { $0.peerID == peer }.compactMap { link.usable($0) }
        guard !addresses.isEmpty else { return false }
        let known = self.instances[claim.name]
        guard known?.peer ?? peer == peer else { return false }
        if known == nil {
            guard self.instances.count < Self.instanceCountMax, self.instanceCounts[claim.source, default: 0] < Self.instancesPerSourceMax
            else { return false }
            self.instanceCounts[claim.source, default: 0] += 1
        }
        let lifetime = min(.seconds(Int64(claim.timeToLive)), Self.lifetimeMax)
        var instance =
            known
            ?? MDNSInstance(
                peer: peer, source: claim.source, heardAt: now, timeToLive: claim.timeToLive, lifetime: lifetime, reportedUntil: now)
        let before = instance.addresses.map(\.address)
        instance.heardAt = now
        instance.timeToLive = claim.timeToLive
        instance.lifetime = lifetime
        instance.refreshCount = 0
        if claim.flushes { instance.replace(on: link.id.interface, now: now, grace: Self.graceTime) }
        for address in addresses { instance.add(address, on: link.id.interface, until: now + lifetime, now: now) }
        let isNews = instance.addresses.map(\.address) != before || instance.reportedUntil - now < lifetime / 2
        if isNews { instance.reportedUntil = now + lifetime }
        self.instances[claim.name] = instance
        self.planRefresh(of: claim.name)
        if isNews { self.report(peer, lifetime: lifetime) }
        return true
    }

    /// An attribute `dnsaddr=` with an address that ends in a peer's id.
    ///
    /// py-libp2p numbers further ones, `dnsaddr2=` and so on, since DNS-SD lets an attribute occur once.
    private static func address(in text: [UInt8]) -> Multiaddr? {
        guard text.starts(with: Self.key) else { return nil }
        let rest = text.dropFirst(Self.key.count).drop { (0x30...0x39).contains($0) }
        guard rest.first == 0x3d, let value = String(validating: rest.dropFirst(), as: UTF8.self),
            let address = try? Multiaddr(text: value), address.peerID != nil
        else { return nil }
        return address
    }

    /// The name's owner says goodbye. Since anybody can, it has a second to contradict.
    private mutating func takeLeave(_ name: DNSName, now: Duration) {
        guard var instance = self.instances[name] else { return }
        instance.expire(at: now + Self.graceTime) { _ in true }
        instance.refreshAt = nil
        instance.refreshCount = Self.refreshPercentages.count
        self.instances[name] = instance
        self.schedule(name)
    }

    // MARK: Time

    mutating func passTime(of name: DNSName, now: Duration) {
        guard var instance = self.instances[name] else { return }
        let count = instance.addresses.count
        instance.addresses.removeAll { $0.expiry <= now }
        let isChanged = instance.addresses.count != count
        self.instances[name] = instance
        guard !instance.addresses.isEmpty else { return self.forget(name) }
        if let refresh = instance.refreshAt, refresh <= now {
            self.instances[name]?.refreshCount += 1
            self.hastenQuery(on: instance.source.link, now: now)
        }
        self.planRefresh(of: name)
        if isChanged { self.report(instance.peer, lifetime: max(.zero, instance.reportedUntil - now)) }
    }

    private mutating func planRefresh(of name: DNSName) {
        guard var instance = self.instances[name] else { return }
        instance.refreshAt = nil
        if instance.refreshCount < Self.refreshPercentages.count {
            // Spread over two percent, so that not all who know it ask at once.
            let spread = Int.random(in: 0...Self.refreshSpread, using: &self.random)
            let thousandths = Self.refreshPercentages[instance.refreshCount] * 10 + spread
            instance.refreshAt = instance.heardAt + instance.lifetime * thousandths / 1_000
        }
        self.instances[name] = instance
        self.schedule(name)
    }

    private mutating func schedule(_ name: DNSName) {
        guard let instance = self.instances[name] else { return }
        guard let time = earlier(instance.addresses.map(\.expiry).min(), instance.refreshAt) else { return }
        self.deadlines.set(.instance(name), at: time)
    }

    private mutating func forget(_ name: DNSName) {
        self.deadlines.remove(.instance(name))
        guard let instance = self.instances.removeValue(forKey: name) else { return }
        let count = self.instanceCounts[instance.source, default: 1] - 1
        self.instanceCounts[instance.source] = count > 0 ? count : nil
        if !self.instances.values.contains(where: { $0.peer == instance.peer }) { self.events.append(.expired(instance.peer)) }
    }

    /// What was heard over other interfaces than these.
    mutating func forgetInterfaces(except interfaces: Set<UInt32>, now: Duration) {
        for name in self.instances.keys.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
            self.instances[name]?.expire(at: now) { !interfaces.contains($0.interface) }
            if self.instances[name]?.addresses.contains(where: { $0.expiry <= now }) ?? false { self.passTime(of: name, now: now) }
        }
    }

    // MARK: Telling the owner

    private mutating func report(_ peer: PeerID, lifetime: Duration) {
        self.events.append(.discovered(peer, self.knownAddresses(of: peer), lifetime: lifetime))
    }

    /// All that is known under any name.
    func knownAddresses(of peer: PeerID) -> [Multiaddr] {
        let instances = self.instances.filter { $0.value.peer == peer }.sorted { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) }
        var addresses: [Multiaddr] = []
        for address in instances.lazy.flatMap(\.value.addresses) where !addresses.contains(address.address) {
            addresses.append(address.address)
            if addresses.count == AddressBook.addressCountMax { break }
        }
        return addresses
    }
}

extension MDNSInstance {
    mutating func add(_ address: Multiaddr, on interface: UInt32, until expiry: Duration, now: Duration) {
        let heard = Address(address: address, interface: interface, heardAt: now, expiry: expiry)
        if let index = self.addresses.firstIndex(where: { $0.address == address }) {
            self.addresses[index] = heard
        } else if self.addresses.count < MDNS.addressCountMax {
            self.addresses.append(heard)
        } else if let index = self.addresses.indices.min(by: { self.addresses[$0].expiry < self.addresses[$1].expiry }),
            self.addresses[index].expiry < expiry
        {
            self.addresses[index] = heard
        }
    }

    /// What was heard here before, not just now in another message, is to be replaced.
    mutating func replace(on interface: UInt32, now: Duration, grace: Duration) {
        self.expire(at: now + grace) { $0.interface == interface && now - $0.heardAt >= grace }
    }

    mutating func expire(at time: Duration, where isMeant: (Address) -> Bool) {
        for index in self.addresses.indices where isMeant(self.addresses[index]) {
            self.addresses[index].expiry = min(self.addresses[index].expiry, time)
        }
    }
}
