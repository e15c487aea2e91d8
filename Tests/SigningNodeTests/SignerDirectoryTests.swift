import Bitcoin
import CryptoPrimitives
import LibP2P
import Signing
import SigningTestSupport
import Testing

@testable import SigningNode

@Suite struct SignerDirectoryTests {
    private let household: [UInt8] = [1, 2, 3, 4]

    /// What becomes of an advertisement that its own peer published.
    private func receive(
        _ advertisement: SignerAdvertisement, _ directory: inout SignerDirectory, from household: [UInt8]? = nil, at seconds: Int64 = 10
    ) -> SignerDirectory.Reception {
        directory.receive(
            advertisement.serialized(), by: PeerID(of: advertisement.identity), from: household ?? self.household,
            now: Found.moment(seconds))
    }

    @Test func `the newest of an identity counts, in whatever order they come, and nothing told again changes that`() throws {
        let ada = try Person("ada")
        var directory = SignerDirectory(.regtest)
        let versions = try (0..<4).map { try Found.advertisement(ada, at: Int64($0) * 100, Found.offer(nickname: "Ada \($0)")) }
        #expect(self.receive(versions[1], &directory, at: 400) == .taken(versions[1], isNew: true))
        #expect(self.receive(versions[1], &directory, at: 400) == .passed(.known))
        #expect(self.receive(versions[0], &directory, at: 400) == .passed(.known))
        #expect(self.receive(versions[3], &directory, at: 500) == .taken(versions[3], isNew: false))
        #expect(self.receive(versions[2], &directory, at: 600) == .passed(.known))
        #expect(directory.find(SignerQuery(), at: Found.start + 600) == [versions[3]])
        // Another one under the same number: the first stays.
        #expect(self.receive(try Found.advertisement(ada, at: 300, Found.offer(nickname: "Eve")), &directory, at: 700) == .passed(.known))
    }

    @Test func `what is withdrawn is found no more, and what it took back cannot be told again`() throws {
        let ada = try Person("ada")
        var directory = SignerDirectory(.regtest)
        let offered = try Found.advertisement(ada, Found.offer())
        let withdrawn = try Found.advertisement(ada, at: 5, nil)
        _ = self.receive(offered, &directory)
        #expect(self.receive(withdrawn, &directory) == .withdrawn(withdrawn))
        #expect(directory.find(SignerQuery(), at: Found.start + 10).isEmpty)
        for seconds in [20, 3_600, 86_000, 86_400] as [Int64] {
            directory.forgetExpired(at: Found.start + UInt64(seconds))
            guard case .passed = self.receive(offered, &directory, at: seconds) else {
                Issue.record("it is there again after \(seconds) s")
                return
            }
        }
        // Once the withdrawal is over, so is what it took back.
        directory.forgetExpired(at: Found.start + 86_410)
        #expect(directory.count == 0 && self.receive(offered, &directory, at: 86_410) == .passed(.expired))
        // A withdrawal that comes first keeps out what comes behind it.
        var other = SignerDirectory(.regtest)
        #expect(self.receive(withdrawn, &other) == .withdrawn(withdrawn))
        #expect(self.receive(offered, &other) == .passed(.known))
    }

    @Test func `what is over, or signed in the future, is passed over and nobody's fault`() throws {
        let ada = try Person("ada")
        var directory = SignerDirectory(.regtest)
        let short = try Found.advertisement(ada, Found.offer(), life: 60)
        #expect(self.receive(short, &directory, at: 61) == .passed(.expired))
        #expect(self.receive(try Found.advertisement(ada, at: 400, Found.offer()), &directory, at: 99) == .passed(.early))
        let early = try Found.advertisement(ada, at: 399, Found.offer())
        #expect(self.receive(early, &directory, at: 99) == .taken(early, isNew: true), "five minutes are between honest clocks")
        for reception in [SignerDirectory.Reception.passed(.expired), .passed(.early), .passed(.known), .passed(.full), .passed(.tooOften)]
        {
            #expect(reception.verdict == .ignore)
        }
    }

    @Test func `of an enrolment that is over nothing is advertised`() throws {
        let ada = try Person("ada")
        let advertisement = try SignerAdvertisement(
            Found.offer(), of: [ada.enrolment(expiry: Found.start + 5)], identity: ada.identity, sequence: Found.start * 1_000)
        var directory = SignerDirectory(.regtest)
        #expect(self.receive(advertisement, &directory, at: 6) == .passed(.expired))
        #expect(self.receive(advertisement, &directory, at: 5) == .taken(advertisement, isNew: true))
        #expect(directory.find(SignerQuery(), at: Found.start + 6).isEmpty)
    }

    @Test func `what nobody could rightly pass on is refused, and says nothing against whom it names`() throws {
        let (ada, eve) = (try Person("ada"), try Person("eve"))
        var directory = SignerDirectory(.regtest)
        let honest = try Found.advertisement(ada, Found.offer())
        // Eve publishes Ada's: so she cannot use up Ada's minute.
        let stolen = directory.receive(honest.serialized(), by: Found.peer(eve), from: self.household, now: Found.moment(1))
        // Forged in Ada's name, over and over.
        var forged = try Found.advertisement(ada, at: 1, Found.offer(nickname: "Eve")).serialized()
        forged[forged.count - 1] ^= 1
        var refusals = [stolen]
        for _ in 0..<50 { refusals.append(directory.receive(forged, by: Found.peer(ada), from: self.household, now: Found.moment(1))) }
        // Of another network, without a publisher, and none at all.
        let elsewhere = try Found.advertisement(Person("ada", network: .signet), Found.offer())
        refusals.append(self.receive(elsewhere, &directory))
        refusals.append(directory.receive(honest.serialized(), by: nil, from: self.household, now: Found.moment(1)))
        refusals.append(directory.receive([1, 3, 1], by: Found.peer(eve), from: self.household, now: Found.moment(1)))
        refusals.append(
            directory.receive([UInt8](repeating: 1, count: 10_001), by: Found.peer(eve), from: self.household, now: Found.moment(1)))
        for refusal in refusals { #expect(refusal.verdict == .reject, "\(refusal)") }
        // Ada is heard all the same.
        #expect(self.receive(honest, &directory, at: 2) == .taken(honest, isNew: true))
        var newer = honest.serialized()
        newer[0] = 2
        #expect(directory.receive(newer, by: Found.peer(ada), from: self.household, now: Found.moment(3)) == .passed(.newerFormat))
    }

    @Test func `an identity is heard twice at once, and then once a minute`() throws {
        let ada = try Person("ada")
        var directory = SignerDirectory(.regtest)
        var taken: [Int64] = []
        for seconds in 1...600 as ClosedRange<Int64> {
            let advertisement = try Found.advertisement(ada, at: seconds, Found.offer())
            if case .taken = self.receive(advertisement, &directory, at: seconds) { taken.append(seconds) }
        }
        #expect(taken.prefix(4) == [1, 2, 61, 121] && taken.count == 11)
    }

    @Test func `a flood from one household leaves room for all others, and pushes nobody out`() throws {
        var limits = SignerDirectory.Limits()
        limits.byteCountMax = 64 << 10
        limits.bearerBurst = 1_000
        var directory = SignerDirectory(.regtest, limits: limits)
        let first = try Found.advertisement(Person("first"), Found.offer())
        _ = self.receive(first, &directory, from: [9])
        var (taken, full) = (0, 0)
        for number in 0..<120 {
            switch self.receive(try Found.advertisement(Person("flood \(number)"), Found.offer()), &directory) {
            case .taken: taken += 1
            case .passed(.full): full += 1
            default: Issue.record("neither taken nor full")
            }
        }
        #expect(taken > 5 && full > 50 && taken < 25)
        #expect(directory.heldByteCount <= limits.byteCountMax + 1_024)
        // Others, and whom the owner knows even of that household.
        for number in 0..<4 {
            let other = try Found.advertisement(Person("other \(number)"), Found.offer())
            #expect(self.receive(other, &directory, from: [UInt8(number)]) == .taken(other, isNew: true))
        }
        let friend = try Person("friend")
        #expect(self.receive(try Found.advertisement(friend, Found.offer()), &directory) == .passed(.full))
        directory.setKnown([friend.identity.publicKey])
        let known = try Found.advertisement(friend, at: 1, Found.offer())
        #expect(self.receive(known, &directory, at: 100) == .taken(known, isNew: true))
        #expect(directory.advertisement(of: first.identity) == first)
        // Whoever is in it stays in it with a newer word, however full it is; and goes when it says so.
        let newer = try Found.advertisement(Person("flood 0"), at: 90, Found.offer())
        #expect(self.receive(newer, &directory, at: 100) == .taken(newer, isNew: false))
        let gone = try Found.advertisement(Person("flood 1"), at: 90, nil)
        #expect(self.receive(gone, &directory, at: 100) == .withdrawn(gone))
        // With their time all go.
        directory.forgetExpired(at: Found.start + 90_000)
        #expect(directory.count == 0 && directory.heldByteCount == 0)
    }

    @Test func `a bearer has so many signatures verified, and no more`() throws {
        var directory = SignerDirectory(.regtest)
        var forged = try Found.advertisement(Person("ada"), Found.offer()).serialized()
        forged[200] ^= 1
        var verified = 0
        for _ in 0..<1_000 {
            let reception = directory.receive(forged, by: Found.peer(try Person("ada")), from: self.household, now: Found.moment(0))
            if reception.verdict == .reject { verified += 1 }
        }
        #expect(verified == 256)
        // Another one is heard.
        let bob = try Found.advertisement(Person("bob"), Found.offer())
        #expect(self.receive(bob, &directory, from: [7], at: 0) == .taken(bob, isNew: true))
    }

    @Test func `values of the hash table are taken for what they are, and stand under their own keys alone`() throws {
        let (ada, bob) = (try Person("ada"), try Person("bob"))
        let validator = DiscoveryNames.validator
        let value = try Found.advertisement(ada, Found.offer())
        let now = Duration.seconds(Int64(Found.start) + 10)
        let keys = [
            DiscoveryNames.key(of: ada.key.publicKey, on: .regtest), DiscoveryNames.key(of: ada.identity.publicKey, on: .regtest),
        ]
        for key in keys {
            #expect(key.count <= KadMessage.keyByteCountMax && validator.isValid(key, value.serialized(), now))
            #expect(!validator.isValid(key, value.serialized(), .seconds(Int64(value.expiry) + 1)), "it is over")
            #expect(!validator.isValid(key, value.serialized(), .seconds(Int64(Found.start) - 301)), "it is signed in the future")
            #expect(!validator.isValid(key, try Found.advertisement(bob, Found.offer()).serialized(), now), "poison")
            var forged = value.serialized()
            forged[forged.count - 1] ^= 1
            #expect(!validator.isValid(key, forged, now) && !validator.isValid(key, [], now) && !validator.isValid(key, [1, 2, 3], now))
        }
        for other in [
            DiscoveryNames.key(of: bob.key.publicKey, on: .regtest), DiscoveryNames.key(of: ada.key.publicKey, on: .signet), [],
            keys[0] + [0],
        ] { #expect(!validator.isValid(other, value.serialized(), now)) }
    }

    @Test func `of two values the hash table keeps the same one everywhere, whichever came first`() throws {
        let ada = try Person("ada")
        let (key, isBetter) = (DiscoveryNames.key(of: ada.key.publicKey, on: .regtest), DiscoveryNames.validator.isBetter)
        // Another device of the same signer, enrolled later; it says less recent things.
        let device = try Person("ada", identity: "device")
        let moved = try SignerAdvertisement(
            Found.offer(), of: [device.enrolment(version: 2)], identity: device.identity, sequence: Found.start * 1_000)
        let values = [
            try Found.advertisement(ada, Found.offer()), try Found.advertisement(ada, Found.offer(nickname: "A")),
            try Found.advertisement(ada, at: 1, nil), try Found.advertisement(ada, at: 2, Found.offer()), moved,
        ].map { $0.serialized() }
        for (place, one) in values.enumerated() {
            #expect(!isBetter(key, one, one))
            for (behind, other) in values.enumerated() where behind > place {
                #expect(isBetter(key, one, other) != isBetter(key, other, one))
                // The first two are of one time: any order will do, if it is one.
                if behind > 1 { #expect(isBetter(key, one, other), "\(place) gives way to \(behind)") }
            }
        }
    }
}
