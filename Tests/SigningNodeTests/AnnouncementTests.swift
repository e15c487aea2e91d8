import Bitcoin
import CryptoPrimitives
import LibP2P
import Signing
import SigningTestSupport
import Testing

@testable import SigningNode

@Suite struct AnnouncementTests {
    @Test func `a sealed announcement is read by its readers, and by nobody else`() throws {
        let people = try (0..<16).map { try Person("reader \($0)") }
        let (ada, eve) = (try Person("ada"), try Person("eve"))
        for count in [1, 2, 16] {
            let sealed = try SealedAnnouncement(parsing: Found.sealed(ada, for: Array(people.prefix(count))).serialized())
            for reader in people.prefix(count) {
                let read = try sealed.open(with: reader.identity)
                #expect(read.identity == ada.identity.publicKey && read.request == Sample.digest("request"))
                #expect(read.requestExpiry == Found.start + 3_600 && read.addresses.map(\.description) == ["/ip4/192.0.2.1/tcp/4001"])
            }
            for other in Array(people.dropFirst(count)) + [eve, ada] {
                #expect(throws: AnnouncementError.forOthers) { try sealed.open(with: other.identity) }
            }
        }
    }

    @Test func `sealed announcements are of one length, and nothing in them is in the open`() throws {
        let people = try (0..<16).map { try Person("reader \($0)") }
        let ada = try Person("ada")
        let addresses = ["/ip4/192.0.2.77/tcp/4001", "/ip6/2001:db8::77/tcp/4001", "/dns4/wallet.example/tcp/443/wss"]
        var all: [[UInt8]] = []
        for count in [1, 3, 16] {
            for told in [0, 1, 3] {
                all.append(
                    try Found.sealed(ada, for: Array(people.prefix(count)), addresses: Array(addresses.prefix(told))).serialized())
            }
        }
        #expect(Set(all.map(\.count)) == [SealedAnnouncement.byteCount])
        // Beside version, form and expiry no byte is the same in all of them but by chance.
        let alike = (10..<SealedAnnouncement.byteCount).filter { place in Set(all.map { $0[place] }).count == 1 }
        #expect(alike.isEmpty)
        let secrets = [
            ada.identity.publicKey.bytes, Array(ada.key.publicKey.bytes), Sample.digest("request").bytes, Array("wallet.example".utf8),
            people[0].identity.publicKey.bytes,
        ]
        for bytes in all {
            for secret in secrets {
                let isThere = (0...(bytes.count - secret.count)).contains { Array(bytes[$0..<$0 + secret.count]) == secret }
                #expect(!isThere)
            }
        }
    }

    @Test func `a reader cannot pass an announcement on in an envelope of its own, and nobody announces for another`() throws {
        let (ada, bob, cleo) = (try Person("ada"), try Person("bob"), try Person("cleo"))
        let sealed = try Found.sealed(ada, for: [bob])
        // Bob knows all that is in it, with Ada's signature, and seals that for Cleo.
        let head = Array(sealed.serialized()[..<10])
        let content = try AnonymousEnvelope.open(Array(sealed.serialized()[10...]), beside: head, with: bob.identity)
        let again = try AnonymousEnvelope.seal(
            content, for: [cleo.identity.publicKey], beside: head, ephemeral: .generate(), fill: SystemRandom.fill)
        #expect(throws: AnnouncementError.wrongSignature) { try SealedAnnouncement(parsing: head + again).open(with: cleo.identity) }
        // With Ada's name over what Bob signed himself.
        var forged = try AnonymousEnvelope.open(
            Array(Found.sealed(bob, for: [cleo]).serialized()[10...]), beside: head, with: cleo.identity)
        forged.replaceSubrange(0..<32, with: ada.identity.publicKey.bytes)
        let resealed = try AnonymousEnvelope.seal(
            forged, for: [cleo.identity.publicKey], beside: head, ephemeral: .generate(), fill: SystemRandom.fill)
        #expect(throws: AnnouncementError.wrongSignature) { try SealedAnnouncement(parsing: head + resealed).open(with: cleo.identity) }
        // Its time cannot be prolonged.
        var longer = sealed.serialized()
        longer[2] ^= 0x80
        #expect(throws: AnnouncementError.forOthers) { try SealedAnnouncement(parsing: longer).open(with: bob.identity) }
    }

    @Test func `what makes no sense inside a seal is refused, whoever sealed it`() throws {
        let bob = try Person("bob")
        let head = Array(try Found.sealed(Person("ada"), for: [bob]).serialized()[..<10])
        for content in [[UInt8](repeating: 0, count: 832), SystemRandom.bytes(count: 832), [UInt8](repeating: 0xff, count: 832)] {
            let envelope = try AnonymousEnvelope.seal(
                content, for: [bob.identity.publicKey], beside: head, ephemeral: .generate(), fill: SystemRandom.fill)
            let sealed = try SealedAnnouncement(parsing: head + envelope)
            #expect(throws: AnnouncementError.self) { try sealed.open(with: bob.identity) }
        }
    }

    @Test func `a sealed announcement of another length is none, and one of a newer form is nobody's fault`() throws {
        let bytes = try Found.sealed(Person("ada"), for: [Person("bob")]).serialized()
        for count in [0, 1, 2, 9, 10, bytes.count - 1] {
            #expect(throws: AnnouncementError.self) { try SealedAnnouncement(parsing: Array(bytes.prefix(count))) }
        }
        #expect(throws: AnnouncementError.wrongByteCount(bytes.count + 1)) { try SealedAnnouncement(parsing: bytes + [0]) }
        #expect(throws: AnnouncementError.unknownFormat) { try SealedAnnouncement(parsing: [2] + bytes.dropFirst()) }
        #expect(throws: AnnouncementError.unknownFormat) { try SealedAnnouncement(parsing: [1, 3] + bytes.dropFirst(2)) }
    }

    @Test func `a public announcement reads as it was written, and with any bit flipped or cut short it is refused`() throws {
        let ada = try Person("ada")
        let announcement = try PublicAnnouncement(
            Found.content(), by: ada.enrolment(), at: [Multiaddr(text: "/ip4/192.0.2.1/tcp/4001")], expiry: Found.start + 300,
            identity: ada.identity)
        let bytes = announcement.serialized()
        let read = try PublicAnnouncement(parsing: bytes)
        #expect(read == announcement && read.serialized() == bytes && read.content == Found.content())
        for place in 0..<bytes.count {
            var altered = bytes
            altered[place] ^= 1 << (place % 8)
            #expect(throws: AnnouncementError.self, "byte \(place)") { try PublicAnnouncement(parsing: altered) }
        }
        for count in 0..<bytes.count {
            #expect(throws: AnnouncementError.self) { try PublicAnnouncement(parsing: Array(bytes.prefix(count))) }
        }
        #expect(throws: AnnouncementError.self) { try PublicAnnouncement(parsing: bytes + [0]) }
        #expect(throws: SignerOfferError.self) {
            try PublicAnnouncement(Found.content("a\nb"), by: ada.enrolment(), at: [], expiry: 1, identity: ada.identity)
        }
        let longest = try PublicAnnouncement(
            Found.content(String(repeating: "n", count: 200)), by: ada.enrolment(),
            at: (0..<8).map { try Multiaddr(text: "/dns4/\(String(repeating: "x", count: 60))\($0)/tcp/4001") }, expiry: 1,
            identity: ada.identity)
        #expect(longest.serialized().count <= PublicAnnouncement.byteCountMax)
    }
}

@Suite struct AnnouncementInboxTests {
    private func receive(
        _ bytes: [UInt8], _ inbox: inout AnnouncementInbox, by author: String = "ada", from household: [UInt8] = [1], at seconds: Int64 = 1
    ) throws -> AnnouncementInbox.Reception {
        try inbox.receive(bytes, by: peer(author), from: household, now: Found.moment(seconds))
    }

    @Test func `an announcement is passed on once, whoever publishes it again`() throws {
        let bytes = try Found.sealed(Person("ada"), for: [Person("bob")]).serialized()
        var inbox = AnnouncementInbox()
        #expect(try self.receive(bytes, &inbox) == .sealed(SealedAnnouncement(parsing: bytes)))
        for author in ["ada", "eve", "bob"] { #expect(try self.receive(bytes, &inbox, by: author, at: 200) == .passed) }
        #expect(try self.receive(bytes, &inbox, at: 301) == .passed, "and not when its time is over")
    }

    @Test func `what is over or would last too long is passed over, within five minutes of clocks that differ`() throws {
        func reception(expiry: UInt64) throws -> AnnouncementInbox.Reception {
            var inbox = AnnouncementInbox()
            return try self.receive(Found.sealed(Person("ada"), for: [Person("bob")], expiry: expiry).serialized(), &inbox, at: 0)
        }
        for (expiry, isTaken) in [
            (Found.start - 1, false), (Found.start, true), (Found.start + 600, true), (Found.start + 601, false), (UInt64.max, false),
            (0, false),
        ] { #expect(try (reception(expiry: expiry) != .passed) == isTaken, "\(expiry)") }
    }

    @Test func `what is none is refused, and what came of a newer program is passed over`() throws {
        var inbox = AnnouncementInbox()
        let bytes = try Found.sealed(Person("ada"), for: [Person("bob")]).serialized()
        for nothing in [[], [1], [1, 1], Array(bytes.dropLast()), bytes + [0], [1, 2] + bytes.dropFirst(2)] as [[UInt8]] {
            #expect(try self.receive(nothing, &inbox).verdict == .reject, "\(nothing.count)")
        }
        #expect(try self.receive([UInt8](repeating: 2, count: 2_049), &inbox).verdict == .reject)
        #expect(inbox.receive(bytes, by: nil, from: [1], now: Found.moment(1)).verdict == .reject)
        #expect(try self.receive([2] + bytes.dropFirst(), &inbox) == .passed)
        #expect(try self.receive([1, 7] + bytes.dropFirst(2), &inbox) == .passed)
    }

    @Test func `nobody announces publicly for another, and what is said counts against nobody who is named`() throws {
        let ada = try Person("ada")
        let bytes = try PublicAnnouncement(
            Found.content(), by: ada.enrolment(), at: [], expiry: Found.start + 300, identity: ada.identity
        ).serialized()
        var inbox = AnnouncementInbox()
        for _ in 0..<20 { #expect(try self.receive(bytes, &inbox, by: "eve").verdict == .reject) }
        #expect(try self.receive(bytes, &inbox, by: "ada") == .forEverybody(PublicAnnouncement(parsing: bytes)))
    }

    @Test func `floods of one publisher and of one household end, and others are heard meanwhile`() throws {
        var inbox = AnnouncementInbox()
        let (ada, bob) = (try Person("ada"), try Person("bob"))
        func flood(_ count: Int, author: (Int) -> String, from household: (Int) -> [UInt8]) throws -> Int {
            var taken = 0
            for number in 0..<count {
                let bytes = try Found.sealed(ada, for: [bob], request: "\(number)").serialized()
                if case .sealed = try self.receive(bytes, &inbox, by: author(number), from: household(number), at: 0) { taken += 1 }
            }
            return taken
        }
        #expect(try flood(80, author: { _ in "eve" }, from: { _ in [6] }) == 64)
        // Publishers are made up: the household ends it, and then what there is for all.
        #expect(try flood(400, author: { "eve \($0)" }, from: { _ in [6, 6] }) == 256)
        #expect(try flood(1_600, author: { "mallory \($0)" }, from: { [7, UInt8($0 % 8)] }) < 1_100)
        // Whoever brings little comes through all the same.
        #expect(try flood(16, author: { _ in "ada" }, from: { _ in [8] }) == 16)
        #expect(inbox.knownCount <= inbox.limits.knownCountMax)
    }

    @Test func `what is known for repeats is forgotten with its time, and never more than its bound`() throws {
        var limits = AnnouncementInbox.Limits()
        (limits.knownCountMax, limits.publisherBurst) = (10, 1_000)
        var inbox = AnnouncementInbox(limits: limits)
        for number in 0..<30 {
            _ = try self.receive(Found.sealed(Person("ada"), for: [Person("bob")], request: "\(number)").serialized(), &inbox)
            #expect(inbox.knownCount <= 10)
        }
        _ = try self.receive(
            Found.sealed(Person("ada"), for: [Person("bob")], expiry: Found.start + 900).serialized(), &inbox, at: 600)
        #expect(inbox.knownCount == 1)
    }

    @Test func `each member that is missed is told once a minute, sixteen at a time`() throws {
        var schedule = AnnouncementSchedule()
        let missing = try (0..<20).map { try identity(of: "\($0)") }
        #expect(schedule.readers(missing, now: .zero).map(\.count) == [16, 4])
        #expect(schedule.readers(missing, now: .seconds(59)).isEmpty)
        #expect(schedule.readers(missing + [try identity(of: "new")], now: .seconds(59)) == [[try identity(of: "new")]])
        #expect(schedule.readers(Array(missing.prefix(3)), now: .seconds(60)).map(\.count) == [3])
        schedule.forget(Array(missing.prefix(2)))
        #expect(schedule.readers(Array(missing.prefix(3)), now: .seconds(61)) == [Array(missing.prefix(2))])
    }
}

@Suite struct PeerDirectoryTests {
    private func address(_ number: Int) throws -> Multiaddr { try Multiaddr(text: "/ip4/192.0.2.1/tcp/\(number)") }

    @Test func `what better sources say comes first, and no source takes a place from a better one`() throws {
        var directory = PeerDirectory()
        let ada = try peer("ada")
        try directory.learn((100..<140).map(self.address), of: ada, from: .table)
        try directory.learn((200..<240).map(self.address), of: ada, from: .gossip)
        try directory.learn([self.address(1)], of: ada, from: .owner)
        try directory.learn([self.address(2)], of: ada, from: .group)
        let all = directory.addresses(of: ada)
        #expect(try Array(all.prefix(3)) == [self.address(1), self.address(2), self.address(200)])
        #expect(all.count == PeerDirectory.addressCountMax)
        // Gossip replaces what gossip said, the owner adds to what the owner said.
        try directory.learn([self.address(300)], of: ada, from: .gossip)
        try directory.learn([self.address(3), self.address(1)], of: ada, from: .owner)
        #expect(try Array(directory.addresses(of: ada).prefix(4)) == [1, 3, 2, 300].map(self.address))
        directory.learn([], of: ada, from: .owner)
        #expect(directory.addresses(of: ada).first == (try self.address(1)))
    }

    @Test func `where a mailbox is counts least, has two places, and makes room as strangers do`() throws {
        var directory = PeerDirectory()
        let ada = try peer("ada")
        for number in 1...5 { directory.learn([try self.address(number)], of: ada, from: .mailbox) }
        directory.learn([try self.address(4)], of: ada, from: .mailbox)
        #expect(try directory.addresses(of: ada) == [5, 4].map(self.address))
        directory.learn([try self.address(9)], of: ada, from: .table)
        #expect(try directory.addresses(of: ada) == [9, 5, 4].map(self.address))
        #expect(directory.dialAddresses(of: ada).owners.isEmpty)
        let address = try self.address(2)
        for number in 0..<PeerDirectory.peerCountMax {
            let name = [UInt8](repeating: 1, count: 30) + [UInt8(number >> 8), UInt8(number & 0xff)]
            directory.learn([address], of: try PeerID(parsing: [0x12, 0x20] + name), from: .gossip)
        }
        #expect(directory.count == PeerDirectory.peerCountMax && directory.addresses(of: ada).isEmpty)
    }

    @Test func `peers of whom only strangers tell make room for each other, and for whom the owner knows`() throws {
        var directory = PeerDirectory()
        let friend = try peer("friend")
        try directory.learn([self.address(1)], of: friend, from: .owner)
        let count = PeerDirectory.peerCountMax + 10
        let strangers = (0..<count).map { number in
            var seed = Array(repeating: UInt8(0), count: 30)
            seed += [UInt8(number >> 8), UInt8(number & 0xff)]
            return seed
        }
        // Peer ids need no key behind them here.
        let address = try self.address(2)
        for seed in strangers {
            guard let id = try? PeerID(parsing: [0x12, 0x20] + seed) else { throw TestFolderError() }
            directory.learn([address], of: id, from: .gossip)
        }
        #expect(directory.count == PeerDirectory.peerCountMax && directory.addresses(of: friend).count == 1)
        let other = try peer("other")
        try directory.learn([self.address(3)], of: other, from: .group)
        #expect(directory.count == PeerDirectory.peerCountMax && directory.addresses(of: other).count == 1)
    }
}

@Suite struct RateTableTests {
    @Test func `a rate lets its burst through and then one in an interval, each by itself`() {
        var rates = RateTable<Int>(burst: 3, interval: .seconds(10), countMax: 10)
        func taken(_ key: Int, _ times: [Int64]) -> [Bool] { times.map { rates.take(key, now: .seconds($0)) } }
        #expect(taken(1, [0, 0, 0, 0, 9, 10, 10]) == [true, true, true, false, false, true, false])
        #expect(taken(2, [10, 10, 10, 10]) == [true, true, true, false])
        #expect(taken(1, [1_000, 1_000, 1_000, 1_000]) == [true, true, true, false])
    }

    @Test func `a table of rates is bounded, and forgets whoever has all of its burst again`() {
        var rates = RateTable<Int>(burst: 1, interval: .seconds(10), countMax: 5)
        for key in 0..<50 {
            let isTaken = rates.take(key, now: .zero)
            #expect(isTaken)
        }
        let (again, uncounted) = (rates.take(0, now: .zero), rates.take(40, now: .zero))
        #expect(rates.count == 5 && !again && uncounted)
        let later = rates.take(99, now: .seconds(10))
        #expect(later && rates.count == 1)
    }
}
