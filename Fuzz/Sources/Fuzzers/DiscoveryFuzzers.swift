import Bitcoin
import CryptoPrimitives
import LibP2P
import Signing
import SigningNode

extension Fuzzer {
    /// What signers say of themselves in gossip and the hash table, and what a directory makes of it.
    static let advertisement = Fuzzer(
        name: "advertisement", byteCountMax: 4_096, seeds: { try DiscoverySeeds.advertisements() },
        run: { start, count in
            let bytes = input(start, count)
            guard let own = try? Known.identity(1), let key = try? Known.key(1) else { fatalError("no keys") }
            if let advertisement = try? SignerAdvertisement(parsing: bytes) {
                require(advertisement.serialized() == bytes, "an advertisement comes back")
                require(advertisement.expiry > advertisement.createdAt, "an advertisement ends after it began")
            }
            let now = Moment(uptime: .seconds(1), time: DiscoverySeeds.start + 1)
            var directory = SignerDirectory(.regtest)
            for author in [PeerID(of: own.publicKey), nil] {
                let reception = directory.receive(bytes, by: author, from: [1], now: now)
                if case .taken = reception { require(directory.count == 1, "what is taken is kept") }
            }
            _ = directory.found(bytes, now: now)
            require(directory.count <= 1, "one input is one advertisement")
            for found in directory.find(SignerQuery(), at: now.time) { require(!found.isWithdrawal, "what is found is an offer") }
            for place in [DiscoveryNames.key(of: key, on: .regtest), DiscoveryNames.key(of: own.publicKey, on: .regtest)] {
                let validator = DiscoveryNames.validator
                let isValid = validator.isValid(place, bytes, .seconds(Int64(now.time)))
                require(!isValid || (try? SignerAdvertisement(parsing: bytes)) != nil, "only advertisements are valid")
                require(!validator.isBetter(place, bytes, bytes) || !isValid, "nothing is better than itself")
            }
            return 0
        })

    /// What is announced, and what is in a sealed announcement.
    static let announcement = Fuzzer(
        name: "announcement", byteCountMax: 2_048, seeds: { try DiscoverySeeds.announcements() },
        run: { start, count in
            let bytes = input(start, count)
            guard let own = try? Known.identity(1), let sender = try? Known.identity(2) else { fatalError("no keys") }
            if let announcement = try? PublicAnnouncement(parsing: bytes) {
                require(announcement.serialized() == bytes, "a public announcement comes back")
            }
            if let announcement = try? SealedAnnouncement(parsing: bytes) {
                require(announcement.serialized() == bytes, "a sealed announcement comes back")
                _ = try? announcement.open(with: own)
            }
            var inbox = AnnouncementInbox()
            let now = Moment(uptime: .seconds(1), time: DiscoverySeeds.start + 1)
            let first = inbox.receive(bytes, by: PeerID(of: sender.publicKey), from: [1], now: now)
            let again = inbox.receive(bytes, by: PeerID(of: sender.publicKey), from: [1], now: now)
            switch first {
            case .sealed, .forEverybody: require(again == .passed, "an announcement is passed on once")
            case .passed, .refused: break
            }
            // What a reader finds in an envelope that somebody filled with anything.
            let head = Array(bytes.prefix(10))
            guard bytes.count > 10,
                let envelope = try? AnonymousEnvelope.seal(
                    Array(bytes.dropFirst(10)), for: [own.publicKey], beside: head, ephemeral: .generate(), fill: SystemRandom.fill)
            else { return 0 }
            require((try? AnonymousEnvelope.open(envelope, beside: head, with: own)) == Array(bytes.dropFirst(10)), "an envelope opens")
            if let sealed = try? SealedAnnouncement(parsing: head + envelope) { _ = try? sealed.open(with: own) }
            _ = try? AnonymousEnvelope.open(bytes, with: own)
            return 0
        })
}

/// Well-formed inputs of discovery's decoders.
private enum DiscoverySeeds {
    static let start: UInt64 = 1_800_000_000

    private static func enrolment() throws -> Enrolment {
        try Enrolment(network: .regtest, signer: Known.secretKey(1), identity: Known.identity(1))
    }

    static func advertisements() throws -> [[UInt8]] {
        let offers = [
            try SignerOffer(kinds: .spend),
            try SignerOffer(
                kinds: [.custody, .escrow], amounts: 1...2, nickname: "Ada", details: "weekdays", fee: .init(flat: 1, partsPerMillion: 2),
                responseSeconds: 3, addresses: [Multiaddr(text: "/ip4/192.0.2.1/tcp/4001"), Multiaddr(text: "/dns4/a.example/tcp/1")]),
            nil,
        ]
        return try offers.map {
            try SignerAdvertisement($0, of: [Self.enrolment()], identity: Known.identity(1), sequence: Self.start * 1_000).serialized()
        }
    }

    static func announcements() throws -> [[UInt8]] {
        let sender = try Known.identity(2)
        let content = Announcement(
            of: SHA256.hash([1]), requestExpiry: Self.start + 600, by: sender.publicKey,
            at: [try Multiaddr(text: "/ip4/192.0.2.1/tcp/4001")])
        let sealed = try SealedAnnouncement(
            content, for: [Known.identity(1).publicKey], expiry: Self.start + 300, identity: sender, ephemeral: .generate(),
            fill: SystemRandom.fill)
        let open = try PublicAnnouncement(
            .init(request: SHA256.hash([1]), requestExpiry: Self.start + 600, kinds: .spend, amount: 5, note: "a vault"),
            by: Self.enrolment(), at: [], expiry: Self.start + 300, identity: Known.identity(1))
        // What stands in a sealed one, for the envelope that the fuzzer makes itself.
        let inner = try AnonymousEnvelope.open(
            Array(sealed.serialized().dropFirst(10)), beside: Array(sealed.serialized().prefix(10)), with: Known.identity(1))
        return [sealed.serialized(), open.serialized(), Array(sealed.serialized().prefix(10)) + inner]
    }
}
