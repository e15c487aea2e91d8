public import Bitcoin
public import CryptoPrimitives
public import LibP2P
internal import Secp256k1
public import Signing

/// The advertisements of signers that a node knows: of each identity the newest, for as long as it says, bounded for each bearer and
/// in all.
///
/// What an advertisement says counts against nobody whom it names. What nobody could rightly have passed on is refused, which is the
/// bearer's fault; what is stale, early, too much or from a newer program is passed over, which is nobody's. Nothing that comes pushes
/// out what is there: a household of bearers has as much as is left, so one alone has half. Withdrawals stay until their time is
/// over, or what they took back could be told again.
public struct SignerDirectory: Sendable {
    public struct Limits: Sendable {
        /// Advertisements, and their bytes with what is kept beside them.
        public var byteCountMax = 8 << 20
        /// Of one identity: two at once, for who corrects itself or takes back, and one a minute. Source: the described systems' bound.
        public var identityBurst = 2
        public var identityInterval = Duration.seconds(60)
        /// From one household of bearers: each costs up to eleven signatures to verify, a millisecond or two.
        public var bearerBurst = 256
        public var bearerInterval = Duration.milliseconds(100)
        /// Identities and bearers that are counted.
        public var ratedCountMax = 4_096
        /// How far the clock of whoever signed may be before ours, in seconds.
        public var clockSkewMax: UInt64 = 300

        public init() {}
    }

    /// Why an advertisement is passed over, and nobody is at fault.
    public enum Passed: Hashable, Sendable {
        /// The same, or a newer one of its identity, is known.
        case known
        case expired
        /// It says that it is signed in the future: clocks differ.
        case early
        /// Its identity or its bearer has told too many.
        case tooOften
        case full
        case newerFormat
    }

    public enum Reception: Equatable, Sendable {
        /// `isNew`: nothing of this identity stood here.
        case taken(SignerAdvertisement, isNew: Bool)
        case withdrawn(SignerAdvertisement)
        case passed(Passed)
        /// Nobody could rightly have passed it on.
        case refused(AdvertisementError)

        /// What becomes of it in gossip.
        public var verdict: PubSubVerdict {
            switch self {
            case .taken, .withdrawn: .accept
            case .passed: .ignore
            case .refused: .reject
            }
        }
    }

    private struct Entry: Sendable {
        let advertisement: SignerAdvertisement
        let byteCount: Int
        /// On whose account it is; `nil` for the owner's own and for whom the owner knows.
        let household: [UInt8]?
    }

    public let limits: Limits
    private let network: Network
    private var entries: [Ed25519.PublicKey: Entry] = [:]
    private var shares = HouseholdShares()
    private var known: Set<Ed25519.PublicKey> = []
    private var identityRates: RateTable<Ed25519.PublicKey>
    private var bearerRates: RateTable<[UInt8]>

    /// What an entry takes beside its bytes, about: keys and texts taken apart.
    private static let entryByteCount = 1_024

    public init(_ network: Network, limits: Limits = Limits()) {
        self.network = network
        self.limits = limits
        self.identityRates = RateTable(
            burst: limits.identityBurst, interval: limits.identityInterval, countMax: limits.ratedCountMax)
        self.bearerRates = RateTable(burst: limits.bearerBurst, interval: limits.bearerInterval, countMax: limits.ratedCountMax)
    }

    /// Advertisements and withdrawals that are kept.
    public var count: Int { self.entries.count }
    public var heldByteCount: Int { self.entries.values.reduce(self.shares.heldByteCount) { $0 + $1.byteCount } }

    /// Whom the owner knows: members of its groups and contacts. For them there is always room.
    public mutating func setKnown(_ identities: Set<Ed25519.PublicKey>) { self.known = identities }

    // MARK: - What comes

    /// Takes what came by gossip.
    ///
    /// - Parameters:
    ///   - author: the peer that published the message, and signed it.
    ///   - household: of the peer that brought it.
    public mutating func receive(_ bytes: [UInt8], by author: PeerID?, from household: [UInt8], now: Moment) -> Reception {
        // Who says something in its own name says it itself: so nobody uses up another's minute with what that one once said.
        self.receive(bytes, household, now: now) { author == PeerID(of: $0) }
    }

    /// Takes what was found in the hash table, under a key that belongs to it.
    public mutating func found(_ bytes: [UInt8], now: Moment) -> Reception {
        self.receive(bytes, Self.tableHousehold, now: now) { _ in true }
    }

    private static let tableHousehold = Array("hash table".utf8)

    private mutating func receive(
        _ bytes: [UInt8], _ household: [UInt8], now: Moment, mayTell: (Ed25519.PublicKey) -> Bool
    ) -> Reception {
        // Cheap first: what is stale costs no signature.
        let head: SignerAdvertisement.Head
        do throws(AdvertisementError) { head = try SignerAdvertisement.Head(parsing: bytes) } catch { return Self.reception(of: error) }
        guard head.network == self.network else { return .refused(.malformed("it is of the network \(head.network)")) }
        guard mayTell(head.identity) else { return .refused(.malformed("another peer published it than the one that it is of")) }
        if now.time > head.expiry { return .passed(.expired) }
        if head.sequence / 1_000 > now.time &+ self.limits.clockSkewMax { return .passed(.early) }
        let standing = self.entries[head.identity]
        if let standing, standing.advertisement.sequence >= head.sequence, !standing.advertisement.isExpired(at: now.time) {
            return .passed(.known)
        }
        guard self.bearerRates.take(household, now: now.uptime) else { return .passed(.tooOften) }
        let advertisement: SignerAdvertisement
        do throws(AdvertisementError) { advertisement = try SignerAdvertisement(parsing: bytes) } catch {
            return Self.reception(of: error)
        }
        if advertisement.enrolments.allSatisfy({ $0.isExpired(at: now.time) }) { return .passed(.expired) }
        // Only what its identity signed counts for it.
        guard self.identityRates.take(head.identity, now: now.uptime) else { return .passed(.tooOften) }
        guard self.keep(advertisement, byteCount: bytes.count + Self.entryByteCount, household, now: now.time) else {
            return .passed(.full)
        }
        if advertisement.isWithdrawal { return .withdrawn(advertisement) }
        return .taken(advertisement, isNew: standing?.advertisement.isWithdrawal ?? true)
    }

    private static func reception(of error: AdvertisementError) -> Reception {
        switch error {
        case .unknownFormat: .passed(.newerFormat)
        case .tooLarge, .malformed, .wrongSignature: .refused(error)
        }
    }

    /// Keeps what this node says itself.
    mutating func keepOwn(_ advertisement: SignerAdvertisement) {
        self.remove(advertisement.identity)
        self.entries[advertisement.identity] = Entry(
            advertisement: advertisement, byteCount: advertisement.serialized().count + Self.entryByteCount, household: nil)
    }

    private mutating func keep(
        _ advertisement: SignerAdvertisement, byteCount: Int, _ household: [UInt8], now: UInt64
    ) -> Bool {
        let identity = advertisement.identity
        if self.entries[identity]?.advertisement.isExpired(at: now) == true { self.remove(identity) }
        let previous = self.entries[identity]
        // A newer version stays on the account of the first, or its bearer's neighbours would pay for it.
        let account = self.known.contains(identity) ? nil : previous?.household ?? household
        if let account {
            let growth = byteCount - (previous?.household == nil ? 0 : previous?.byteCount ?? 0)
            if growth <= 0 {
                self.shares.giveBack(-growth, of: account)
            } else if advertisement.isWithdrawal, previous != nil {
                // What stands is over by its own signer's word, and that must not be lost for want of room.
                self.shares.take(growth, for: account)
            } else if !self.shares.take(growth, for: account, of: self.limits.byteCountMax) {
                self.forgetExpired(at: now)
                guard self.shares.take(growth, for: account, of: self.limits.byteCountMax) else { return false }
            }
        } else if let previous, let payer = previous.household {
            self.shares.giveBack(previous.byteCount, of: payer)
        }
        self.entries[identity] = Entry(advertisement: advertisement, byteCount: byteCount, household: account)
        return true
    }

    private mutating func remove(_ identity: Ed25519.PublicKey) {
        guard let entry = self.entries.removeValue(forKey: identity) else { return }
        if let household = entry.household { self.shares.giveBack(entry.byteCount, of: household) }
    }

    /// Lets go of what is over, in seconds since 1970.
    public mutating func forgetExpired(at now: UInt64) {
        for (identity, entry) in self.entries where entry.advertisement.isExpired(at: now) { self.remove(identity) }
    }

    // MARK: - What is asked

    /// The advertisements that are looked for, the best first.
    public func find(_ query: SignerQuery, at now: UInt64) -> [SignerAdvertisement] {
        query.sorted(self.entries.values.map(\.advertisement).filter { query.matches($0, at: now) })
    }

    /// What stands of an identity, a withdrawal too.
    public func advertisement(of identity: Ed25519.PublicKey) -> SignerAdvertisement? { self.entries[identity]?.advertisement }
}
