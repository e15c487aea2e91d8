internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Signing

/// How a node lets itself be found, and finds others.
public struct DiscoveryConfiguration: Sendable {
    /// Whether the node takes part in the gossip about requests and signers at all. Off unless asked for: it shows to strangers that this
    /// peer signs with Chorale and when it looks for somebody, and spends its bandwidth on what others say. Groups whose members know each
    /// other's addresses need none of it.
    public var isOn = false
    public var directory = SignerDirectory.Limits()
    public var inbox = AnnouncementInbox.Limits()
    /// After this time an advertisement is told anew, for those who have come since. Source: the described systems' default.
    public var refreshInterval = Duration.seconds(20 * 60)

    public init() {}
}

/// What a node has heard and said of signers and requests in public: a value, whose shell is `SigningNode`.
struct Discovery: Sendable {
    let configuration: DiscoveryConfiguration
    var directory: SignerDirectory
    var inbox: AnnouncementInbox
    var schedule = AnnouncementSchedule()
    /// What this node said last, to be told anew; `nil` before anything. Without an offer it is a withdrawal.
    private(set) var standing: (offer: SignerOffer?, life: UInt64)?
    private var lastSequence: UInt64 = 0
    /// When as much may be said again as others take at once.
    private var freeAt: Duration = .zero
    /// Signers that were told as discovered: a flood of them must not push other events out of the node's log.
    private var eventRate = RateTable<Int>(burst: 64, interval: .seconds(60), countMax: 1)
    /// The same of members' announcements: one of them may be hostile.
    private var announcedRate = RateTable<Int>(burst: 64, interval: .seconds(60), countMax: 1)
    private var publicRate = RateTable<Int>(burst: 4, interval: .seconds(15), countMax: 1)

    init(_ network: Network, _ configuration: DiscoveryConfiguration) {
        self.configuration = configuration
        self.directory = SignerDirectory(network, limits: configuration.directory)
        self.inbox = AnnouncementInbox(limits: configuration.inbox)
    }

    /// A little more than others want between two words of one identity, for words may overtake each other's pauses on their way.
    static let ownInterval = Duration.seconds(70)

    /// How long the owner has to wait before it may say this: an offer always so that a withdrawal would still be heard right after it.
    func wait(for offer: SignerOffer?, now: Duration) -> Duration {
        max(.zero, self.freeAt - now - (offer == nil ? Self.ownInterval : .zero))
    }

    /// The next word of this node's signer.
    ///
    /// - Parameters:
    ///   - offer: `nil` takes back what stands.
    ///   - standing: the same, as its owner gave it: it is told anew at whatever addresses there are then.
    ///   - time: milliseconds since 1970.
    mutating func say(
        _ offer: SignerOffer?, life: UInt64, standing: SignerOffer?, keys: SignerKeys, time: UInt64, now: Duration
    ) throws(SignerOfferError) -> SignerAdvertisement {
        let sequence = max(time, self.lastSequence &+ 1)
        let enrolment = keys.enrolment
        let advertisement = try keys.identity.withSecretKey { (identity) throws(SignerOfferError) in
            try SignerAdvertisement(offer, of: [enrolment], identity: identity, sequence: sequence, life: life)
        }
        self.lastSequence = sequence
        self.standing = (standing, life)
        self.freeAt = max(self.freeAt, now) + Self.ownInterval
        self.directory.keepOwn(advertisement)
        return advertisement
    }

    /// Nobody heard what was said last: it does not count.
    mutating func noteUnheard(now: Duration) { self.freeAt = now }

    mutating func mayTellOfSigner(now: Duration) -> Bool { self.eventRate.take(0, now: now) }
    mutating func mayTellOfAnnouncement(now: Duration) -> Bool { self.announcedRate.take(0, now: now) }
    mutating func mayAnnouncePublicly(now: Duration) -> Bool { self.publicRate.take(0, now: now) }
}
