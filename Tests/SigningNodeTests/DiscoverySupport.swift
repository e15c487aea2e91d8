import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import Signing
import SigningTestSupport

@testable import SigningNode

/// What the tests of announcements and advertisements have in common.
enum Found {
    /// Seconds since 1970 at which they begin.
    static let start: UInt64 = 1_800_000_000

    static func moment(_ seconds: Int64) -> Moment { Moment(uptime: .seconds(seconds), time: Self.start &+ UInt64(bitPattern: seconds)) }

    static func offer(
        kinds: TransactionKinds = [.spend, .custody], amounts: ClosedRange<UInt64> = 1_000...1_000_000, nickname: String = "Ada",
        fee: SignerOffer.Fee = .init(flat: 500, partsPerMillion: 100), responseSeconds: UInt32 = 60
    ) throws -> SignerOffer {
        try SignerOffer(
            kinds: kinds, amounts: amounts, nickname: nickname, details: "weekdays", fee: fee, responseSeconds: responseSeconds,
            addresses: [Multiaddr(text: "/ip4/192.0.2.1/tcp/4001")])
    }

    /// A person's advertisement, so many seconds after the start.
    static func advertisement(
        _ person: Person, at seconds: Int64 = 0, _ offer: SignerOffer?, life: UInt64 = SignerAdvertisement.lifeMax
    ) throws -> SignerAdvertisement {
        try SignerAdvertisement(
            offer, of: [person.enrolment()], identity: person.identity,
            sequence: (Self.start &+ UInt64(bitPattern: seconds)) * 1_000, life: life)
    }

    static func peer(_ person: Person) -> PeerID { PeerID(of: person.identity.publicKey) }

    /// Somebody's announcement for others.
    static func sealed(
        _ person: Person, for readers: [Person], request: String = "request", expiry: UInt64 = Self.start + 300,
        addresses: [String] = ["/ip4/192.0.2.1/tcp/4001"]
    ) throws -> SealedAnnouncement {
        let announcement = Announcement(
            of: Sample.digest(request), requestExpiry: Self.start + 3_600, by: person.identity.publicKey,
            at: try addresses.map { try Multiaddr(text: $0) })
        return try SealedAnnouncement(
            announcement, for: readers.map { $0.identity.publicKey }, expiry: expiry, identity: person.identity, ephemeral: .generate(),
            fill: SystemRandom.fill)
    }

    static func content(_ note: String = "a vault") -> PublicAnnouncement.Content {
        .init(
            request: Sample.digest("public"), requestExpiry: Self.start + 3_600, kinds: .custody, amount: 70_000, wantedCount: 2, note: note
        )
    }
}
