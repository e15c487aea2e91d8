internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import LibP2PPosix
internal import Secp256k1
internal import Signing

// Finding each other: what is announced and advertised, and what is made of what others say. `Discovery` and its values decide; here is who
// subscribes, publishes and waits.

/// How far an advertisement got.
public struct AdvertisementReport: Sendable {
    public let advertisement: SignerAdvertisement
    /// Peers that it went to at once; they pass it on.
    public let peerCount: Int
    /// Nodes of the hash table that keep it, under the key where fewest do; 0 where there is no hash table, or nobody of it answers.
    public let holderCount: Int

    /// Whether anybody heard of it at all. If not, the node says it again by itself.
    public var isHeard: Bool { self.peerCount > 0 || self.holderCount > 0 }
}

extension SigningNode {
    // MARK: Signers

    /// Tells everybody that this node's signer can be asked, and again while the node runs, until ``withdrawAdvertisement()``. What stood
    /// before is replaced.
    ///
    /// - Parameters:
    ///   - offer: where it has no addresses, the node's own are told.
    ///   - life: seconds after which it is over for whoever hears nothing newer; at most a day.
    public func advertise(
        _ offer: SignerOffer, life: UInt64 = SignerAdvertisement.lifeMax
    ) async throws(SigningNodeError) -> AdvertisementReport {
        let report = try await self.tell(offer, life: life)
        self.tellLater(isHeard: report.isHeard)
        return report
    }

    /// Takes back what this node's signer advertised, in this process or before.
    public func withdrawAdvertisement() async throws(SigningNodeError) -> AdvertisementReport {
        let report = try await self.tell(nil, life: SignerAdvertisement.lifeMax)
        self.tellLater(isHeard: report.isHeard)
        return report
    }

    /// What this node's signer advertises now.
    public var advertisement: SignerAdvertisement? {
        self.discovery?.directory.advertisement(of: self.keys.enrolment.identity).flatMap { $0.isWithdrawal ? nil : $0 }
    }

    /// The signers that are looked for: those whom gossip brought, and those whom the hash table knows. The best first.
    ///
    /// - Parameter asksTable: whether the hash table is asked, which takes seconds.
    public func findSigners(
        matching query: SignerQuery = SignerQuery(), asksTable: Bool = true
    ) async throws(SigningNodeError) -> [SignerAdvertisement] {
        guard self.discovery != nil else { throw .discoveryIsOff }
        if asksTable {
            if let signer = query.signer {
                await self.fetch(DiscoveryNames.key(of: signer, on: self.keys.enrolment.network))
            } else {
                await self.fetchAdvertisers()
            }
        }
        return self.discovery?.directory.find(query, at: WallClock.secondsSince1970) ?? []
    }

    /// Announces to strangers that signers are looked for. Whoever is interested asks this node.
    ///
    /// - Returns: how many peers it went to at once.
    public func announce(_ content: PublicAnnouncement.Content) async throws(SigningNodeError) -> Int {
        let now = await self.network.now
        guard self.discovery != nil else { throw .discoveryIsOff }
        guard self.discovery?.mayAnnouncePublicly(now: now) == true else { throw .tooSoon(seconds: 15) }
        let (enrolment, addresses) = (self.keys.enrolment, await self.network.announcedAddresses)
        let expiry = WallClock.secondsSince1970 + SealedAnnouncement.lifeMax
        let announcement: PublicAnnouncement
        do throws(SignerOfferError) {
            announcement = try self.keys.identity.withSecretKey { (identity) throws(SignerOfferError) in
                try PublicAnnouncement(content, by: enrolment, at: addresses, expiry: expiry, identity: identity)
            }
        } catch { throw .offer(error) }
        return try await self.publish(announcement.serialized(), to: DiscoveryNames.announcementTopic(enrolment.network))
    }

    // MARK: Start

    func startDiscovery() async throws(SigningNodeError) {
        guard self.configuration.discovery.isOn else { return }
        let network = self.keys.enrolment.network
        self.discovery = Discovery(network, self.configuration.discovery)
        await self.noteKnown()
        let announcements: AsyncStream<PubSubDelivery>, signers: AsyncStream<PubSubDelivery>
        do throws(NodeError) {
            announcements = try await self.network.subscribe(to: DiscoveryNames.announcementTopic(network), needsVerdict: true)
            signers = try await self.network.subscribe(to: DiscoveryNames.signerTopic(network), needsVerdict: true)
        } catch { throw .network(error) }
        // They end with the network.
        Task { [weak self] in for await delivery in announcements { await self?.takeAnnouncement(delivery) } }
        Task { [weak self] in for await delivery in signers { await self?.takeAdvertisement(delivery) } }
    }

    /// For members of groups and contacts there is always room.
    func noteKnown() async {
        guard let machine = self.machine else { return }
        let (members, kept) = await self.network.update(machine) { machine, _ in (machine.memberIdentities, machine.peersToKeep) }
        self.discovery?.directory.setKnown(members.union(self.heardOfIdentities))
        let (new, gone) = (kept.subtracting(self.protectedPeers), self.protectedPeers.subtracting(kept))
        guard !new.isEmpty || !gone.isEmpty else { return }
        self.protectedPeers = kept
        await self.network.withNode { node, now in
            for peer in gone.sorted() { node.swarm.unprotect(peer, now: now) }
            for peer in new.sorted() { node.swarm.protect(peer, now: now) }
        }
    }

    // MARK: What comes

    private func takeAdvertisement(_ delivery: PubSubDelivery) async {
        let (household, now) = (await self.household(of: delivery.from), await self.moment)
        guard
            let reception = self.discovery?.directory.receive(delivery.message.data, by: delivery.message.author, from: household, now: now)
        else { return }
        await self.network.judge(delivery.id, reception.verdict)
        await self.take(reception, bringer: delivery.from, now: now)
    }

    private func take(_ reception: SignerDirectory.Reception, bringer: PeerID?, now: Moment) async {
        switch reception {
        case .taken(let advertisement, let isNew):
            if isNew, self.discovery?.mayTellOfSigner(now: now.uptime) == true { self.log.append(.signerDiscovered(advertisement)) }
            await self.learn(from: advertisement, bringer: bringer)
        case .withdrawn(let advertisement):
            if self.discovery?.mayTellOfSigner(now: now.uptime) == true { self.log.append(.signerWithdrawn(advertisement)) }
        case .passed, .refused: break
        }
    }

    /// Where a member's node says that it is.
    private func learn(from advertisement: SignerAdvertisement, bringer: PeerID?) async {
        guard let addresses = advertisement.offer?.addresses, let machine = self.machine else { return }
        let usable = await self.usable(addresses, from: bringer)
        await self.network.update(machine) { machine, now in
            guard machine.memberIdentities.contains(advertisement.identity) else { return }
            machine.learn(usable, of: PeerID(of: advertisement.identity), from: bringer == nil ? .table : .gossip, now: now)
        }
    }

    private func takeAnnouncement(_ delivery: PubSubDelivery) async {
        let (household, now) = (await self.household(of: delivery.from), await self.moment)
        guard let reception = self.discovery?.inbox.receive(delivery.message.data, by: delivery.message.author, from: household, now: now)
        else { return }
        // Before it is opened: whether it is for us must not show.
        await self.network.judge(delivery.id, reception.verdict)
        switch reception {
        case .sealed(let sealed):
            // For others, or of somebody who seals what makes no sense: nobody can be blamed for what only we can read.
            guard let announcement = try? self.keys.identity.withSecretKey({ try sealed.open(with: $0) }) else { return }
            await self.follow(announcement, bringer: delivery.from, now: now)
        case .forEverybody(let announcement):
            if self.discovery?.mayTellOfSigner(now: now.uptime) == true { self.log.append(.signersWanted(announcement)) }
        case .passed, .refused: break
        }
    }

    private func follow(_ announcement: Announcement, bringer: PeerID, now: Moment) async {
        guard now.time <= announcement.requestExpiry, let machine = self.machine else { return }
        let usable = await self.usable(announcement.addresses, from: bringer)
        let signer = await self.network.update(machine) { $0.announced(by: announcement.identity, at: usable, now: $1) }
        guard let signer, self.discovery?.mayTellOfAnnouncement(now: now.uptime) == true else { return }
        self.log.append(.announced(announcement.request, by: signer))
    }

    /// Without those that reach less far than whoever brought them is away, as everywhere in the network; of the hash table's only those
    /// that everybody can reach.
    private func usable(_ addresses: [Multiaddr], from bringer: PeerID?) async -> [Multiaddr] {
        guard let bringer else { return addresses.compactMap { $0.reaching(.everywhere) } }
        return await self.network.withNode { node, _ in node.usable(addresses, of: bringer) }
    }

    private func household(of peer: PeerID) async -> [UInt8] { await self.network.connections(to: peer).first?.household ?? peer.bytes }

    private var moment: Moment { get async { Moment(uptime: await self.network.now, time: WallClock.secondsSince1970) } }

    // MARK: What is said

    /// A member cannot be reached: tells it, wherever it is, that a request waits here.
    func announce(wanting peer: PeerID) async {
        guard self.discovery != nil, let machine = self.machine else { return }
        let (found, now) = await self.network.update(machine) { ($0.announceable(wanting: peer), $1) }
        guard let found, let all = self.discovery?.schedule.readers(found.missing, now: now) else { return }
        let addresses = await self.network.announcedAddresses
        for readers in all {
            let isHeard = await self.announce(found, at: addresses, to: readers)
            // Where nobody listens it is said again at the next occasion.
            if !isHeard { self.discovery?.schedule.forget(readers) }
        }
    }

    private func announce(_ found: SigningMachine.Announceable, at addresses: [Multiaddr], to readers: [Ed25519.PublicKey]) async -> Bool {
        let enrolment = self.keys.enrolment
        let announcement = Announcement(of: found.request, requestExpiry: found.expiry, by: enrolment.identity, at: addresses)
        let expiry = min(found.expiry, WallClock.secondsSince1970 + SealedAnnouncement.lifeMax)
        // Without guarded memory there is none now.
        let sealed = try? self.keys.identity.withSecretKey { (identity) throws in
            try SealedAnnouncement(
                announcement, for: readers, expiry: expiry, identity: identity, ephemeral: .generate(), fill: SystemRandom.fill)
        }
        guard let sealed else { return false }
        let topic = DiscoveryNames.announcementTopic(enrolment.network)
        return ((try? await self.publish(sealed.serialized(), to: topic)) ?? 0) > 0
    }

    private func publish(_ bytes: [UInt8], to topic: String) async throws(SigningNodeError) -> Int {
        do throws(NodeError) { return try await self.network.publish(bytes, to: topic).peerCount } catch { throw .network(error) }
    }

    private func tell(_ offer: SignerOffer?, life: UInt64) async throws(SigningNodeError) -> AdvertisementReport {
        let (now, addresses) = (await self.network.now, await self.network.announcedAddresses)
        guard let wait = self.discovery?.wait(for: offer, now: now) else { throw .discoveryIsOff }
        guard wait == .zero else { throw .tooSoon(seconds: Int(wait.components.seconds) + 1) }
        let placed = offer.map { $0.addresses.isEmpty ? $0.at(addresses) : $0 }
        let said: SignerAdvertisement?
        do throws(SignerOfferError) {
            said = try self.discovery?.say(
                placed, life: life, standing: offer, keys: self.keys, time: WallClock.millisecondsSince1970, now: now)
        } catch { throw .offer(error) }
        guard let advertisement = said else { throw .discoveryIsOff }
        let bytes = advertisement.serialized()
        let peerCount = try await self.publish(bytes, to: DiscoveryNames.signerTopic(advertisement.network))
        self.log.append(.advertised(advertisement))
        let report = AdvertisementReport(
            advertisement: advertisement, peerCount: peerCount, holderCount: await self.put(advertisement, bytes))
        let end = await self.network.now
        if !report.isHeard { self.discovery?.noteUnheard(now: end) }
        return report
    }

    /// Puts an advertisement into the hash table, under all its keys.
    private func put(_ advertisement: SignerAdvertisement, _ bytes: [UInt8]) async -> Int {
        let network = self.network
        let advertisers = DiscoveryNames.advertisers(on: advertisement.network)
        return await withTaskGroup(of: Int?.self) { group in
            for key in DiscoveryNames.keys(of: advertisement) {
                group.addTask { (try? await network.putValue(bytes, under: key)) ?? 0 }
            }
            group.addTask {
                if advertisement.isWithdrawal {
                    await network.stopProviding(advertisers)
                } else {
                    _ = try? await network.provide(advertisers)
                }
                return nil
            }
            var least: Int?
            for await count in group { if let count { least = min(least ?? count, count) } }
            return least ?? 0
        }
    }

    /// Tells an offer anew at intervals, for gossip keeps nothing for those who come later; and what nobody heard soon, as right after a
    /// start.
    private func tellLater(isHeard: Bool) {
        self.refreshing?.cancel()
        let interval = self.configuration.discovery.refreshInterval
        self.refreshing = Task { [weak self] in
            var (wasHeard, pause) = (isHeard, Self.shortestPause)
            // A withdrawal is told until somebody heard it, an offer again and again.
            while await self?.hasToTellAnew(afterHeard: wasHeard) ?? false {
                guard (try? await Task.sleep(for: wasHeard ? interval : min(pause, interval))) != nil else { return }
                pause = wasHeard ? Self.shortestPause : pause * 2
                wasHeard = await self?.tellAnew() ?? true
            }
        }
    }

    private func hasToTellAnew(afterHeard isHeard: Bool) async -> Bool { !isHeard || self.discovery?.standing?.offer != nil }

    /// Between two tries to tell what nobody heard: twice as long each time.
    private static let shortestPause = Duration.seconds(2)

    private func tellAnew() async -> Bool {
        guard let (offer, life) = self.discovery?.standing, !Task.isCancelled else { return true }
        return ((try? await self.tell(offer, life: life))?.isHeard) ?? false
    }

    // MARK: The hash table

    /// Looks an advertisement up, and keeps it beside those that gossip brought.
    @discardableResult
    private func fetch(_ key: [UInt8]) async -> SignerAdvertisement? {
        guard let bytes = try? await self.network.getValue(of: key) else { return nil }
        let now = await self.moment
        guard let reception = self.discovery?.directory.found(bytes, now: now) else { return nil }
        await self.take(reception, bringer: nil, now: now)
        return try? SignerAdvertisement(parsing: bytes)
    }

    /// Advertisers that are asked for in one search, and so many at a time.
    private static let advertiserCountMax = 20
    private static let searchCountMax = 4

    private func fetchAdvertisers() async {
        let network = self.keys.enrolment.network
        guard
            let found = try? await self.network.findProviders(
                of: DiscoveryNames.advertisers(on: network), count: Self.advertiserCountMax)
        else { return }
        let keys = found.prefix(Self.advertiserCountMax).compactMap { $0.id.identity.map { DiscoveryNames.key(of: $0, on: network) } }
        await withTaskGroup(of: Void.self) { group in
            for (place, key) in keys.enumerated() {
                if place >= Self.searchCountMax { await group.next() }
                group.addTask { await self.fetch(key) }
            }
        }
    }

    /// A member's advertisement may say where it is, when the hash table does not know the peer itself.
    func searchAdvertisement(of peer: PeerID) async {
        guard self.discovery != nil, let identity = peer.identity else { return }
        await self.fetch(DiscoveryNames.key(of: identity, on: self.keys.enrolment.network))
    }
}
