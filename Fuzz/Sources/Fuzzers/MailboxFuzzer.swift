import CryptoPrimitives
import LibP2P
import Signing
import SigningNode

extension Fuzzer {
    /// What is said to mailboxes, by them, and inside sealed messages; and what the two machines make of it.
    static let mailbox = Fuzzer(
        name: "mailbox", byteCountMax: 2_048, seeds: { try MailboxSeeds.all() },
        run: { start, count in
            let bytes = input(start, count)
            if let request = try? MailboxRequest(parsing: bytes) {
                require(request.serialized() == bytes, "a request to a mailbox comes back")
            }
            if let answer = try? MailboxAnswer(parsing: bytes) { require(answer.serialized() == bytes, "a mailbox's answer comes back") }
            guard let own = try? Known.identity(1), let sender = try? Known.identity(2) else { fatalError("no keys") }
            Self.read(bytes, for: own.publicKey, from: sender)
            Self.ask(bytes, keepingFor: own.publicKey, by: sender.publicKey)
            Self.answer(bytes, to: own, knowing: sender.publicKey)
            Self.gather(bytes, for: own, from: sender.publicKey)
            return 0
        })

    private static func read(_ bytes: [UInt8], for recipient: Ed25519.PublicKey, from sender: borrowing Ed25519.SecretKey) {
        if let message = try? SealedMessage(parsing: bytes, for: recipient) {
            require(message.payload.count <= SealedMessage.payloadByteCountMax, "no longer message than is read")
        }
        // Signed by somebody who signs anything.
        guard let plain = try? SealedMessage.plaintext(bytes, from: sender, to: recipient) else {
            fatalError("every payload can be signed")
        }
        let message = try? SealedMessage(parsing: plain, for: recipient)
        require(message?.payload == bytes && message?.sender == sender.publicKey, "what was signed comes back")
    }

    /// Parts of a few messages, and a false one, in any order and at two mailboxes: whatever comes, a message is delivered whole or not at all.
    private static func gather(_ bytes: [UInt8], for own: borrowing Ed25519.SecretKey, from sender: Ed25519.PublicKey) {
        let mailboxes = [PeerID(of: sender), PeerID(of: own.publicKey)]
        var limits = MailboxClient.Limits()
        (limits.partCountMax, limits.partByteCountMax) = (4, 8)
        var client = MailboxClient(limits: limits)
        let now = Moment(uptime: .seconds(1), time: 1_000_000)
        client.setOwnMailboxes(mailboxes, now: now)
        client.setMembers([(sender, [])], now: now)
        for mailbox in mailboxes { client.connected(mailbox, now: now) }
        let page = bytes.prefix(24).enumerated().map { place, byte in
            MailboxAnswer.Message(cursor: UInt64(place) + 1, sealed: MailboxSeeds.parts[Int(byte) % MailboxSeeds.parts.count])
        }
        while true {
            let actions = client.step(now: now, identity: own)
            if actions.isEmpty { break }
            for action in actions {
                switch action {
                case .ask(let id, let peer, let request):
                    guard case .fetch(let after, _, _)? = try? MailboxRequest(parsing: request) else {
                        client.answered(id, by: peer, MailboxAnswer.acknowledged.serialized(), now: now)
                        continue
                    }
                    let answer = MailboxAnswer.messages(page.filter { $0.cursor > after }, more: false)
                    client.answered(id, by: peer, answer.serialized(), now: now)
                case .deliver(let receipt, _, let message):
                    require(MailboxSeeds.messages.contains(message), "a message is whole")
                    client.safe(receipt)
                }
            }
        }
        require(client.heldByteCount <= 8, "parts have their bound")
    }

    private static func ask(_ bytes: [UInt8], keepingFor recipient: Ed25519.PublicKey, by sender: Ed25519.PublicKey) {
        var server = MailboxServer()
        server.setRecipients([recipient])
        let now = Moment(uptime: .seconds(1), time: 1_000_000)
        for identity in [recipient, sender] {
            switch server.receive(bytes, from: PeerID(of: identity), household: [1], now: now) {
            case .answer(let answer): require((try? MailboxAnswer(parsing: answer)) != nil, "a server's answer is one")
            case .job(let job):
                for outcome: MailboxServer.Outcome in [.acknowledged, .fetched([]), .deposited(cursor: 1), .failed(.notFound)] {
                    let answer = server.answer(job, with: outcome, now: now)
                    require((try? MailboxAnswer(parsing: answer)) != nil, "a server's answer is one")
                }
            }
        }
        require(server.heldCount <= 4, "no more is remembered than who asked")
    }

    private static func answer(_ bytes: [UInt8], to own: borrowing Ed25519.SecretKey, knowing sender: Ed25519.PublicKey) {
        let mailbox = PeerID(of: sender)
        var client = MailboxClient()
        var now = Moment(uptime: .seconds(1), time: 1_000_000)
        client.setOwnMailboxes([mailbox], now: now)
        client.setMembers([(sender, [mailbox])], now: now)
        client.connected(mailbox, now: now)
        // Whatever is asked, this is what comes back: a dozen times.
        for _ in 0..<12 {
            let actions = client.step(now: now, identity: own)
            if actions.isEmpty { require(client.nextStepAt.map { $0 > now.uptime } ?? true, "what can be done is done") }
            for action in actions {
                switch action {
                case .ask(let id, let peer, let request):
                    require((try? MailboxRequest(parsing: request)) != nil, "a client's request is one")
                    client.answered(id, by: peer, bytes, now: now)
                case .deliver(let receipt, let from, _):
                    require(from == sender, "nothing is delivered of strangers")
                    client.safe(receipt)
                }
            }
            now = Moment(uptime: max(now.uptime, client.nextStepAt ?? now.uptime), time: now.time)
        }
        let page: [MailboxAnswer.Message] =
            if case .messages(let messages, _)? = try? MailboxAnswer(parsing: bytes) { messages } else { [] }
        require(client.counters.delivered <= page.count, "each message is delivered once, however often it comes")
    }
}

/// Well-formed inputs of the mailbox's decoders.
private enum MailboxSeeds {
    static let messages: [[UInt8]] = [[1, 2], [3, 4], [5, 6]]

    /// Both parts of each message, sealed twice, and false ones in their name.
    static let parts: [[UInt8]] = Self.messages.flatMap { message in
        [message[0], message[1], message[0], message[1], 9].enumerated().compactMap { place, byte in
            guard let own = try? Known.identity(1).publicKey,
                let part = SealedMessage.Part(digest: SHA256.hash(message), index: place % 2, count: 2)
            else { return nil }
            return try? SealedMessage.seal([byte], part: part, from: Known.identity(2), to: own, ephemeral: .generate())
        }
    }

    static func all() throws -> [[UInt8]] {
        let recipient = try Known.identity(1).publicKey
        let plain = try SealedMessage.plaintext([1, 2, 3], from: Known.identity(2), to: recipient)
        let sealed = try SealedMessage.seal([1, 2, 3], from: Known.identity(2), to: recipient, ephemeral: .generate())
        let part = SealedMessage.Part(digest: SHA256.hash([4]), index: 1, count: 3)
        let plainPart = try SealedMessage.plaintext([1, 2, 3], part: part, from: Known.identity(2), to: recipient)
        let requests: [MailboxRequest] = [
            .deposit(recipient: Bytes32(recipient.bytes) ?? Bytes32(), expiry: 2_000_000, sealed: sealed),
            .fetch(after: 7, countMax: 64, byteCountMax: 1 << 18), .acknowledge([1, 2, 300]), .acknowledge([]), .notice,
        ]
        let answers: [MailboxAnswer] = [
            .deposited(9), .messages([.init(cursor: 1, sealed: sealed), .init(cursor: 2, sealed: [1])], more: false), .acknowledged,
            .messages([.init(cursor: 5, sealed: sealed)], more: true), .messages([], more: false), .refused(.full),
        ]
        return requests.map { $0.serialized() } + answers.map { $0.serialized() } + [plain, plainPart]
    }
}
