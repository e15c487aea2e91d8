internal import CryptoPrimitives
internal import LibP2P
internal import Signing
internal import SigningNode

/// A node of nobody's group that others know: it passes gossip on, and is a relay for who cannot be dialled.
struct HubNode {
    /// What members know of it.
    struct Place {
        let peer: PeerID
        let address: Multiaddr
    }

    /// Whether it takes part in the gossip of announcements.
    let passesAnnouncements: Bool

    mutating func start(_ node: inout Node, now: Duration) {
        if self.passesAnnouncements {
            node.withGossipsub(now: now) { _ = $0.subscribe(DiscoveryNames.announcementTopic(.regtest), now: now) }
        }
        node.announce(now: now)
    }
}

/// What a member does to be found, and to find others: it keeps a connection to a hub, asks it for a place where nobody can dial it, and
/// tells and hears announcements.
struct MemberMeeting {
    /// How a member meets the others, apart from what it knows of them.
    struct Plan {
        let hub: HubNode.Place
        /// Whether others reach it through the hub alone.
        let isRelayed: Bool
        /// Whether members find each other by announcements.
        let announces: Bool
    }

    let plan: Plan
    private var inbox = AnnouncementInbox()
    private var schedule = AnnouncementSchedule()
    private(set) var nextCareAt: Duration = .zero

    /// How often it looks whether the hub is there.
    private static let careInterval = Duration.seconds(5)

    init(_ plan: Plan) { self.plan = plan }

    mutating func start(_ node: inout Node, now: Duration) {
        if self.plan.announces {
            node.withGossipsub(now: now) { _ = $0.subscribe(DiscoveryNames.announcementTopic(.regtest), needsVerdict: true, now: now) }
        }
        self.nextCareAt = now
    }

    mutating func tick(_ node: inout Node, now: Duration) {
        guard self.nextCareAt <= now else { return }
        self.nextCareAt = now + Self.careInterval
        let hub = self.plan.hub
        if !node.swarm.isConnected(to: hub.peer) {
            node.swarm.dial(hub.peer, at: [hub.address], now: now)
        } else if self.plan.isRelayed, node.reservations.isEmpty {
            // A place that is lost later the node itself asks for again.
            node.reserve(at: hub.peer, now: now)
        }
    }

    /// A member that nobody here knows the address of is wanted: it is told, wherever it is.
    ///
    /// - Returns: whether an announcement left.
    mutating func announce(
        wanting peer: PeerID, _ person: SigningPerson, _ machine: ProtocolHandle<WatchedMachine>, _ node: inout Node, now: Duration
    ) -> Bool {
        guard self.plan.announces, let found = node.swarm.read(machine, { $0.machine.announceable(wanting: peer) }) else { return false }
        let enrolment = person.keys.enrolment
        let announcement = Announcement(
            of: found.request, requestExpiry: found.expiry, by: enrolment.identity, at: node.announcedAddresses)
        let time = UInt64(clamping: person.clock.wall(at: now).components.seconds)
        var isHeard = false
        for readers in self.schedule.readers(found.missing, now: now) {
            let bytes = person.identity.withSecretKey { identity in
                try? SealedAnnouncement(
                    announcement, for: readers, expiry: min(found.expiry, time + SealedAnnouncement.lifeMax), identity: identity,
                    ephemeral: .init(filledBy: person.fill), fill: person.fill
                ).serialized()
            }
            let publication = bytes.flatMap { try? node.publish($0, to: DiscoveryNames.announcementTopic(.regtest), now: now) }
            if publication?.peerCount ?? 0 > 0 { isHeard = true } else { self.schedule.forget(readers) }
        }
        return isHeard
    }

    /// What gossip brings.
    ///
    /// - Returns: whether it was an announcement for this member.
    mutating func hear(
        _ id: PubSubMessageID, _ message: PubSubMessage, from bearer: PeerID, _ person: SigningPerson,
        _ machine: ProtocolHandle<WatchedMachine>, _ node: inout Node, now: Duration
    ) -> Bool {
        let moment = Moment(uptime: now, time: UInt64(clamping: person.clock.wall(at: now).components.seconds))
        let household = node.swarm.connections(to: bearer).first?.household ?? bearer.bytes
        let reception = self.inbox.receive(message.data, by: message.author, from: household, now: moment)
        node.withGossipsub(now: now) { _ = $0.verdict(reception.verdict, on: id, now: now) }
        guard case .sealed(let sealed) = reception,
            let announcement = person.identity.withSecretKey({ try? sealed.open(with: $0) }), moment.time <= announcement.requestExpiry
        else { return false }
        let usable = node.usable(announcement.addresses, of: bearer)
        node.swarm.update(machine, now: now) { _ = $0.machine.announced(by: announcement.identity, at: usable, now: now) }
        return true
    }
}
