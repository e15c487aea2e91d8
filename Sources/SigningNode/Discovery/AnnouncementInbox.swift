package import CryptoPrimitives
public import LibP2P
public import Signing

/// Which announcements are passed on and looked at: each once, in its time, and so many of each publisher, each bearer's household and in
/// all.
///
/// What comes of a sealed one for us does not change whether it is passed on, or those around could see from it whose it is.
public struct AnnouncementInbox: Sendable {
    public struct Limits: Sendable {
        /// Of one publisher: a group of a thousand whose members all are away takes 63 at once.
        public var publisherBurst = 64
        public var publisherInterval = Duration.seconds(1)
        /// From one household of bearers, and of all: a Diffie-Hellman each, and 1.7 kB to pass on. Of a household that brings few, those
        /// come through however many others bring.
        public var calmBurst = 16
        public var calmInterval = Duration.seconds(4)
        public var bearerBurst = 256
        public var bearerInterval = Duration.milliseconds(100)
        public var totalBurst = 1_024
        public var totalInterval = Duration.milliseconds(25)
        /// Publishers and bearers that are counted.
        public var ratedCountMax = 4_096
        /// Announcements that are known for repeats: as many as come through in the longest life of one. The oldest are forgotten.
        public var knownCountMax = 32_768
        /// How far the clock of whoever announces may be before ours, in seconds.
        public var clockSkewMax: UInt64 = 300

        public init() {}
    }

    public enum Reception: Equatable, Sendable {
        case sealed(SealedAnnouncement)
        case forEverybody(PublicAnnouncement)
        /// Passed over, and nobody is at fault: known, over, too many, or of a newer program.
        case passed
        /// Nobody could rightly have passed it on.
        case refused(AnnouncementError)

        /// What becomes of it in gossip.
        public var verdict: PubSubVerdict {
            switch self {
            case .sealed, .forEverybody: .accept
            case .passed: .ignore
            case .refused: .reject
            }
        }
    }

    public let limits: Limits
    private var publisherRates: RateTable<PeerID>
    private var bearerRates: RateTable<[UInt8]>
    private var calmRates: RateTable<[UInt8]>
    private var totalRate: RateTable<Int>
    /// Digests, and the same in the order in which they came.
    private var known: Set<Bytes32> = []
    private var order: [(digest: Bytes32, until: UInt64)] = []
    private var start = 0

    public init(limits: Limits = Limits()) {
        self.limits = limits
        self.publisherRates = RateTable(burst: limits.publisherBurst, interval: limits.publisherInterval, countMax: limits.ratedCountMax)
        self.bearerRates = RateTable(burst: limits.bearerBurst, interval: limits.bearerInterval, countMax: limits.ratedCountMax)
        self.calmRates = RateTable(burst: limits.calmBurst, interval: limits.calmInterval, countMax: limits.ratedCountMax)
        self.totalRate = RateTable(burst: limits.totalBurst, interval: limits.totalInterval, countMax: 1)
    }

    /// - Parameters:
    ///   - author: the peer that published the message, and signed it.
    ///   - household: of the peer that brought it.
    public mutating func receive(_ bytes: [UInt8], by author: PeerID?, from household: [UInt8], now: Moment) -> Reception {
        guard bytes.count <= max(SealedAnnouncement.byteCount, PublicAnnouncement.byteCountMax) else {
            return .refused(.wrongByteCount(bytes.count))
        }
        guard let author else { return .refused(.malformed("it has no publisher")) }
        let digest = SHA256.hash(bytes)
        guard !self.known.contains(digest) else { return .passed }
        // What is too much is not remembered: it may come again later.
        guard self.publisherRates.take(author, now: now.uptime), self.bearerRates.take(household, now: now.uptime),
            self.calmRates.take(household, now: now.uptime) || self.totalRate.take(0, now: now.uptime)
        else { return .passed }
        let reception: Reception, expiry: UInt64
        do throws(AnnouncementError) {
            if bytes.dropFirst().first == PublicAnnouncement.form {
                let announcement = try PublicAnnouncement(parsing: bytes)
                guard author == PeerID(of: announcement.enrolment.identity) else {
                    throw .malformed("another peer published it than the one that it is of")
                }
                (reception, expiry) = (.forEverybody(announcement), announcement.expiry)
            } else {
                let announcement = try SealedAnnouncement(parsing: bytes)
                (reception, expiry) = (.sealed(announcement), announcement.expiry)
            }
        } catch { return error == .unknownFormat ? .passed : .refused(error) }
        let latest = now.time &+ SealedAnnouncement.lifeMax &+ self.limits.clockSkewMax
        guard now.time <= expiry, expiry <= latest else { return .passed }
        self.remember(digest, until: expiry, now: now.time)
        return reception
    }

    private mutating func remember(_ digest: Bytes32, until: UInt64, now: UInt64) {
        self.known.insert(digest)
        self.order.append((digest, until))
        while self.start < self.order.count,
            self.order[self.start].until < now || self.order.count - self.start > self.limits.knownCountMax
        {
            self.known.remove(self.order[self.start].digest)
            self.start += 1
        }
        guard self.start > 64, self.start * 2 > self.order.count else { return }
        self.order.removeFirst(self.start)
        self.start = 0
    }

    /// Digests that are kept.
    var knownCount: Int { self.known.count }
}

/// Which announcements of ours are made when: of each member that cannot be reached, so often that it hears of one soon after it comes.
package struct AnnouncementSchedule: Sendable {
    /// Between two announcements to one member. Gossip is kept for a few seconds only, so this is how long who has just come waits.
    static let interval = Duration.seconds(60)
    /// Members that are remembered.
    static let countMax = 8_192

    private var told: [Ed25519.PublicKey: Duration] = [:]

    package init() {}

    /// Of members that cannot be reached, those who are told now, as readers of one announcement after the other.
    package mutating func readers(_ missing: [Ed25519.PublicKey], now: Duration) -> [[Ed25519.PublicKey]] {
        if self.told.count + missing.count > Self.countMax { self.told = self.told.filter { now - $0.value < Self.interval } }
        var due: [Ed25519.PublicKey] = []
        for identity in missing where self.told[identity].map({ now - $0 >= Self.interval }) ?? (self.told.count < Self.countMax) {
            self.told[identity] = now
            due.append(identity)
        }
        return stride(from: 0, to: due.count, by: SealedAnnouncement.readerCountMax).map { start in
            Array(due[start..<min(start + SealedAnnouncement.readerCountMax, due.count)])
        }
    }

    /// These were not told after all.
    package mutating func forget(_ readers: [Ed25519.PublicKey]) { for identity in readers { self.told[identity] = nil } }
}
