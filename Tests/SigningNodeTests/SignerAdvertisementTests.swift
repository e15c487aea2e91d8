import Bitcoin
import CryptoPrimitives
import LibP2P
import Signing
import SigningTestSupport
import Testing

@testable import SigningNode

@Suite struct SignerAdvertisementTests {
    @Test func `an advertisement reads as it was written, offer and withdrawal`() throws {
        let ada = try Person("ada")
        for offer in [try Found.offer(), try SignerOffer(kinds: .spend), nil] {
            let advertisement = try Found.advertisement(ada, offer)
            let bytes = advertisement.serialized()
            #expect(bytes.count <= SignerAdvertisement.byteCountMax)
            let read = try SignerAdvertisement(parsing: bytes)
            #expect(read == advertisement && read.serialized() == bytes && read.offer == offer)
            #expect(read.signers == [ada.key.publicKey] && read.identity == ada.identity.publicKey)
        }
    }

    @Test func `an advertisement of ten signers is taken, and one more is not made`() throws {
        let people = try (0..<11).map { try Person("signer \($0)", identity: "device") }
        let enrolments = try people.map { try $0.enrolment() }
        let full = try SignerAdvertisement(
            Found.offer(), of: Array(enrolments.prefix(10)), identity: people[0].identity, sequence: Found.start * 1_000)
        #expect(try SignerAdvertisement(parsing: full.serialized()).signers.count == 10)
        #expect(throws: SignerOfferError.self) {
            try SignerAdvertisement(Found.offer(), of: enrolments, identity: people[0].identity, sequence: Found.start * 1_000)
        }
        // Nobody says that more of them are its own: not by a signer of another device, nor by one signer twice.
        #expect(throws: SignerOfferError.self) {
            try SignerAdvertisement(
                Found.offer(), of: [enrolments[0], Person("bob").enrolment()], identity: people[0].identity, sequence: 1_000)
        }
        #expect(throws: SignerOfferError.self) {
            try SignerAdvertisement(
                Found.offer(), of: [enrolments[0], enrolments[0]], identity: people[0].identity, sequence: 1_000)
        }
    }

    @Test func `an advertisement with any bit flipped, cut short or with more behind it is refused`() throws {
        let bytes = try Found.advertisement(Person("ada"), Found.offer()).serialized()
        // Every bit of what is not a signature that others look at, and some of those.
        for place in 0..<bytes.count {
            for bit in place < 60 || place > bytes.count - 140 ? Array(0..<8) : [place % 8] {
                var altered = bytes
                altered[place] ^= 1 << bit
                #expect(throws: AdvertisementError.self, "byte \(place), bit \(bit)") { try SignerAdvertisement(parsing: altered) }
            }
        }
        for count in 0..<bytes.count {
            #expect(throws: AdvertisementError.self) { try SignerAdvertisement(parsing: Array(bytes.prefix(count))) }
        }
        #expect(throws: AdvertisementError.self) { try SignerAdvertisement(parsing: bytes + [0]) }
    }

    @Test func `an advertisement of more than ten thousand bytes is not looked at`() throws {
        let bytes = try Found.advertisement(Person("ada"), Found.offer()).serialized()
        let long = bytes + [UInt8](repeating: 0, count: SignerAdvertisement.byteCountMax + 1 - bytes.count)
        #expect(throws: AdvertisementError.tooLarge(byteCount: 10_001, limit: 10_000)) { try SignerAdvertisement(parsing: long) }
    }

    @Test func `one of a newer form is nobody's fault, and noise is no advertisement`() throws {
        var bytes = try Found.advertisement(Person("ada"), Found.offer()).serialized()
        bytes[0] = 2
        #expect(throws: AdvertisementError.unknownFormat) { try SignerAdvertisement(parsing: bytes) }
        for count in [0, 1, 50, 400, 3_000] {
            for _ in 0..<50 {
                var noise = SystemRandom.bytes(count: count)
                if count > 0 { noise[0] = 1 }
                #expect(throws: AdvertisementError.self) { try SignerAdvertisement(parsing: noise) }
            }
        }
    }

    @Test func `a key that did not sign its enrolment is in no advertisement, and what the fields say is covered`() throws {
        let (ada, eve) = (try Person("ada"), try Person("eve"))
        // Eve's identity signs all of it, with Ada's key in an enrolment that only Eve's identity signed.
        let honest = try Found.advertisement(ada, Found.offer())
        #expect(throws: SignerOfferError.self) {
            try SignerAdvertisement(Found.offer(), of: honest.enrolments, identity: eve.identity, sequence: Found.start * 1_000)
        }
        // Every field makes another advertisement, and none takes the other's signature.
        let others = [
            try Found.offer(kinds: .swap), try Found.offer(amounts: 1_000...1_000_001), try Found.offer(amounts: 999...1_000_000),
            try Found.offer(nickname: "Adam"), try Found.offer(fee: .init(flat: 501, partsPerMillion: 100)),
            try Found.offer(fee: .init(flat: 500, partsPerMillion: 101)), try Found.offer(responseSeconds: 61),
            try Found.offer().at([Multiaddr(text: "/ip4/192.0.2.2/tcp/4001")]),
        ]
        let signature = honest.serialized().suffix(Ed25519.Signature.byteCount)
        for offer in others {
            let other = try Found.advertisement(ada, offer).serialized()
            #expect(throws: AdvertisementError.wrongSignature) {
                try SignerAdvertisement(parsing: other.dropLast(Ed25519.Signature.byteCount) + signature)
            }
        }
    }

    @Test func `an advertisement lives for a day at most, and a withdrawal longer than what it takes back`() throws {
        let ada = try Person("ada")
        #expect(try Found.advertisement(ada, Found.offer(), life: 1 << 60).expiry == Found.start + 86_400)
        let withdrawn = try Found.advertisement(ada, at: 1, nil, life: 5)
        #expect(try withdrawn.expiry > Found.advertisement(ada, Found.offer()).expiry)
        // Of one that is signed so all the same: its head alone says that it cannot be.
        let bytes = try Found.advertisement(ada, Found.offer()).serialized()
        for expiry in [Found.start, Found.start - 1, Found.start + 86_401, UInt64.max, 0] {
            var altered = bytes
            altered.replaceSubrange(43..<51, with: (0..<8).map { UInt8(truncatingIfNeeded: expiry >> (8 * $0)) })
            #expect(throws: AdvertisementError.malformed("it lives for more than a day, or not at all")) {
                try SignerAdvertisement(parsing: altered)
            }
        }
        var short = withdrawn.serialized()
        let expiry = Found.start + 2
        short.replaceSubrange(43..<51, with: (0..<8).map { UInt8(truncatingIfNeeded: expiry >> (8 * $0)) })
        #expect(throws: AdvertisementError.malformed("a withdrawal that ends before what it takes back")) {
            try SignerAdvertisement(parsing: short)
        }
    }

    @Test func `texts that cannot be seen or are too long are in no offer`() throws {
        for nickname in ["a\nb", "\u{202e}abc", "a\u{0}", String(repeating: "x", count: 65)] {
            #expect(throws: SignerOfferError.self) { try SignerOffer(kinds: .spend, nickname: nickname) }
        }
        #expect(throws: SignerOfferError.self) { try SignerOffer(kinds: .spend, details: String(repeating: "x", count: 1_001)) }
        #expect(throws: SignerOfferError.self) { try SignerOffer(kinds: []) }
        let longest = try SignerOffer(
            kinds: .spend, nickname: String(repeating: "n", count: 64), details: String(repeating: "d", count: 1_000),
            addresses: (0..<20).map { try Multiaddr(text: "/ip6/2001:db8::\($0)/tcp/4001") })
        #expect(longest.addresses.count == GroupAddresses.countMax)
        #expect(try SignerAdvertisement(parsing: Found.advertisement(Person("ada"), longest).serialized()).offer == longest)
    }

    @Test func `fees are worked out for any amount, without end or overflow`() {
        let fee = SignerOffer.Fee(flat: 500, partsPerMillion: 100)
        #expect(fee.total(for: 0) == 500 && fee.total(for: 1) == 501 && fee.total(for: 10_000) == 501 && fee.total(for: 10_001) == 502)
        #expect(SignerOffer.Fee(flat: .max).total(for: 1) == .max)
        #expect(SignerOffer.Fee(flat: .max, partsPerMillion: .max).total(for: .max) == .max)
        #expect(SignerOffer.Fee(partsPerMillion: 1_000_000).total(for: .max) == .max)
    }

    @Test func `who looks for a signer finds by every criterion, and the cheapest first`() throws {
        let (ada, bob) = (try Person("ada"), try Person("bob"))
        let cheap = try Found.advertisement(ada, Found.offer(fee: .init(flat: 1)))
        let dear = try Found.advertisement(
            bob, Found.offer(kinds: .spend, amounts: 0...UInt64.max, fee: .init(flat: 9), responseSeconds: 0))
        let now = Found.start + 1
        func finds(_ query: SignerQuery) -> [SignerAdvertisement] { query.sorted([dear, cheap].filter { query.matches($0, at: now) }) }
        #expect(finds(SignerQuery()) == [cheap, dear])
        #expect(finds(SignerQuery(signer: bob.key.publicKey)) == [dear])
        #expect(finds(SignerQuery(kinds: [.spend, .custody])) == [cheap])
        #expect(finds(SignerQuery(amount: 999)) == [dear] && finds(SignerQuery(amount: 1_000)) == [cheap, dear])
        #expect(finds(SignerQuery(amount: 1_000_000)) == [cheap, dear] && finds(SignerQuery(amount: 1_000_001)) == [dear])
        #expect(finds(SignerQuery(feeMax: 8)) == [cheap] && finds(SignerQuery(feeMax: 0)).isEmpty)
        #expect(finds(SignerQuery(responseSecondsMax: 60)) == [cheap] && finds(SignerQuery(responseSecondsMax: 59)).isEmpty)
        #expect(!SignerQuery().matches(cheap, at: cheap.expiry + 1) && SignerQuery().matches(cheap, at: cheap.expiry))
        #expect(!SignerQuery().matches(try Found.advertisement(ada, nil), at: now))
    }
}
