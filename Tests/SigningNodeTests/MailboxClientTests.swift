import CryptoPrimitives
import LibP2P
import Signing
import SigningTestSupport
import Testing

@testable import SigningNode

/// A mailbox that says whatever the test has it say.
private struct LyingMailbox {
    var messages: [MailboxAnswer.Message] = []
    private(set) var acknowledged: [UInt64] = []
    private(set) var deposited: [MailboxRequest] = []
    private(set) var fetches = 0

    mutating func answer(
        _ bytes: [UInt8], fetch: (LyingMailbox, UInt64) throws -> MailboxAnswer, deposit: MailboxAnswer = .deposited(1)
    ) throws -> [UInt8] {
        switch try MailboxRequest(parsing: bytes) {
        case .fetch(let after, _, _):
            self.fetches += 1
            return try fetch(self, after).serialized()
        case .acknowledge(let cursors):
            self.acknowledged += cursors
            return MailboxAnswer.acknowledged.serialized()
        case .deposit:
            self.deposited.append(try MailboxRequest(parsing: bytes))
            return deposit.serialized()
        case .notice: return MailboxAnswer.refused(.unknownRecipient).serialized()
        }
    }
}

private func matter(_ name: UInt8, isSettled: Bool = true) -> MailboxMatter {
    MailboxMatter(request: Sample.digest("request"), name: [name], isSettled: isSettled)
}

struct `A mailbox's client` {
    private func connected(_ name: String = "Bo", knowing others: [String] = ["Ada"], limits: MailboxClient.Limits = .init()) throws
        -> MailboxMember
    {
        let member = try MailboxMember(name, limits: limits, knowing: others)
        try member.client.connected(peer("mailbox"), now: moment(0))
        return member
    }

    private func message(_ cursor: UInt64, _ payload: [UInt8], from sender: String = "Ada", to recipient: String = "Bo") throws
        -> MailboxAnswer.Message
    {
        .init(cursor: cursor, sealed: try sealed(payload, from: sender, to: recipient))
    }

    // MARK: What lies there for it

    @Test func `delivers what is for it and acknowledges it only once it is safe`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        let one = try self.message(5, [1])
        try await bo.run(now: moment(0), isSafe: false) { _, _, bytes in
            try box.answer(bytes, fetch: { _, after in .messages(after < 5 ? [one] : [], more: false) })
        }
        #expect(bo.received.map(\.payload) == [[1]])
        #expect(try bo.received.map(\.sender) == [identity(of: "Ada")])
        #expect(box.acknowledged == [])
        bo.client.safe(bo.receipts[0])
        try await bo.run(now: moment(0)) { _, _, bytes in try box.answer(bytes, fetch: { _, _ in .messages([], more: false) }) }
        #expect(box.acknowledged == [5])
    }

    @Test func `drops others' messages and rubbish, and has them removed; strangers' stay where they lie`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        let page = [
            try self.message(1, [1], from: "Mallory"), try self.message(2, [2], to: "Cy"),
            .init(cursor: 3, sealed: [UInt8](repeating: 0, count: 512)),
            .init(cursor: 4, sealed: []), try self.message(5, [5]),
        ]
        try await bo.run(now: moment(0)) { _, _, bytes in
            try box.answer(bytes, fetch: { _, after in .messages(page.filter { $0.cursor > after }, more: false) })
        }
        #expect(bo.received.map(\.payload) == [[5]])
        #expect(bo.client.counters.strangers == 1 && bo.client.counters.unreadable == 3)
        #expect(box.acknowledged.sorted() == [2, 3, 4, 5])
    }

    /// All that is in a mailbox behind a cursor.
    private func look(_ bo: MailboxMember, _ box: inout LyingMailbox, at second: Int64) async throws {
        var mailbox = box
        try await bo.run(now: moment(second)) { _, _, bytes in
            try mailbox.answer(
                bytes,
                fetch: { box, after in
                    let rest = box.messages.filter { $0.cursor > after && !box.acknowledged.contains($0.cursor) }
                    return .messages(Array(rest.prefix(64)), more: rest.count > 64)
                })
        }
        box = mailbox
    }

    @Test func `what came before its sender was a member is fetched once it is one`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        box.messages = [
            try self.message(1, [1], from: "Cy"), try self.message(2, [2]), try self.message(3, [3], from: "Mallory"),
            try self.message(4, [4], from: "Cy"),
        ]
        try await self.look(bo, &box, at: 0)
        #expect(bo.received.map(\.payload) == [[2]] && bo.client.held.count == 3 && box.acknowledged == [2])
        // It lies in the same place after the next connection, and is held once.
        bo.client.disconnected(try peer("mailbox"))
        bo.client.connected(try peer("mailbox"), now: moment(100))
        try await self.look(bo, &box, at: 100)
        #expect(bo.received.count == 1 && bo.client.held.count == 3 && bo.client.counters.strangers == 3)
        let members = try ["Ada", "Cy"].map { try (identity: identity(of: $0), mailboxes: [peer("mailbox")]) }
        bo.client.setMembers(members, now: moment(101))
        try await self.look(bo, &box, at: 101)
        #expect(bo.received.map(\.payload) == [[2], [1], [4]])
        #expect(box.acknowledged.sorted() == [1, 2, 4] && bo.client.held.count == 1)
        // A day later the stranger's is dropped.
        try await self.look(bo, &box, at: 86_399)
        #expect(!box.acknowledged.contains(3))
        try await self.look(bo, &box, at: 86_401)
        #expect(box.acknowledged.contains(3) && bo.client.held.isEmpty)
    }

    @Test func `of what strangers sent so much is held, and the one with most gives way`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        box.messages = [try self.message(1, [1], from: "Cy")]
        box.messages += try (2...80).map { try self.message($0, [UInt8($0)], from: "Mallory") }
        try await self.look(bo, &box, at: 0)
        #expect(bo.client.held.count == 64 && box.acknowledged.sorted() == Array(2...17))
        var limits = MailboxClient.Limits()
        limits.heldByteCountMax = 100_000
        let small = try self.connected(limits: limits)
        var long = LyingMailbox()
        long.messages = [try self.message(1, [1], from: "Cy")]
        long.messages += try (2...3).map { try self.message($0, [UInt8](repeating: 1, count: 50_000), from: "Mallory") }
        try await self.look(small, &long, at: 0)
        #expect(small.client.held.values.reduce(0) { $0 + $1.byteCount } <= 100_000 && !long.acknowledged.contains(1))
    }

    @Test func `a look that is under way when a member comes does not pass over what is held of it`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        box.messages = [try self.message(1, [1], from: "Cy")]
        try await self.look(bo, &box, at: 0)
        // The next look has begun, and its answer comes after the member.
        guard case .ask(let id, _, _)? = try bo.client.step(now: moment(20), identity: deviceKey(of: "Bo")).first else {
            Issue.record("it does not look")
            return
        }
        bo.client.setMembers([(try identity(of: "Cy"), [try peer("mailbox")])], now: moment(21))
        let later = try self.message(2, [2], to: "Ada")
        box.messages.append(later)
        bo.client.answered(id, by: try peer("mailbox"), MailboxAnswer.messages([later], more: false).serialized(), now: moment(21))
        try await self.look(bo, &box, at: 22)
        #expect(bo.received.map(\.payload) == [[1]])
    }

    @Test func `takes each message once, whatever is repeated under whatever cursor`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        let one = try self.message(1, [1])
        for second in 0..<4 {
            try await bo.run(now: moment(Int64(second) * 1_000)) { _, _, bytes in
                try box.answer(
                    bytes,
                    fetch: { _, after in .messages(after < 1 << 60 ? [.init(cursor: after + 1, sealed: one.sealed)] : [], more: true) })
            }
        }
        #expect(bo.received.count == 1)
        #expect(bo.client.counters.delivered == 1)
        #expect(bo.client.counters.repeated > 100)
    }

    @Test func `stops at a look's bound when pages have no end`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        let count = try await bo.run(now: moment(0)) { _, _, bytes in
            try box.answer(
                bytes,
                fetch: { _, after in
                    .messages((1...64).map { .init(cursor: after + $0, sealed: withUnsafeBytes(of: after + $0) { Array($0) }) }, more: true)
                })
        }
        #expect(box.fetches == 16)
        #expect(count < 40)
        #expect(bo.client.counters.unreadable == 1_024)
        // And the next look is not before its time.
        #expect(try #require(bo.client.nextStepAt) >= .seconds(15))
    }

    @Test func `looks when its own mailbox says that something is there, once a second at most, and for nobody else's word`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        func fetches(at milliseconds: Int64) async throws -> Int {
            let before = box.fetches
            let now = Moment(uptime: .milliseconds(milliseconds), time: 1_000_000)
            _ = try await bo.run(now: now) { _, _, bytes in try box.answer(bytes, fetch: { _, _ in .messages([], more: false) }) }
            return box.fetches - before
        }
        #expect(try await fetches(at: 0) == 1)
        #expect(try !bo.client.noticed(by: peer("Mallory"), now: moment(5)))
        #expect(try await fetches(at: 5_000) == 0)
        #expect(try bo.client.noticed(by: peer("mailbox"), now: moment(5)))
        #expect(try await fetches(at: 5_000) == 1)
        for milliseconds in stride(from: Int64(5_100), through: 8_000, by: 100) {
            #expect(try bo.client.noticed(by: peer("mailbox"), now: Moment(uptime: .milliseconds(milliseconds), time: 1_000_000)))
            _ = try await fetches(at: milliseconds)
        }
        #expect((4...6).contains(box.fetches))
    }

    @Test func `a notice that comes while it looks has it look once more`() throws {
        let bo = try self.connected()
        guard case .ask(let id, _, _)? = try bo.client.step(now: moment(0), identity: deviceKey(of: "Bo")).first else {
            Issue.record("it does not look")
            return
        }
        #expect(try bo.client.noticed(by: peer("mailbox"), now: moment(0)))
        try bo.client.answered(id, by: peer("mailbox"), MailboxAnswer.messages([], more: false).serialized(), now: moment(0))
        #expect(bo.client.nextStepAt == .seconds(1))
    }

    @Test func `what could not be taken is fetched again`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        let page = [try self.message(5, [1]), try self.message(6, [2])]
        let look: (Int64) async throws -> Void = { second in
            _ = try await bo.run(now: moment(second), isSafe: false) { _, _, bytes in
                try box.answer(bytes, fetch: { _, after in .messages(page.filter { $0.cursor > after }, more: false) })
            }
        }
        try await look(0)
        bo.client.giveBack(bo.receipts[0])
        bo.client.safe(bo.receipts[1])
        try await look(600)
        #expect(bo.received.map(\.payload) == [[1], [2], [1]])
        #expect(box.acknowledged == [6] || box.acknowledged == [6, 6])
    }

    @Test func `looks sooner where something of use lay, and not for what it gives back`() async throws {
        for isSafe in [true, false] {
            let bo = try self.connected()
            let one = try self.message(1, [1])
            var fetches = 0
            for second in 0..<Int64(3_600) {
                try await bo.run(now: moment(second), isSafe: false) { _, _, bytes in
                    guard case .fetch(let after, _, _) = try MailboxRequest(parsing: bytes) else {
                        return MailboxAnswer.acknowledged.serialized()
                    }
                    fetches += 1
                    return MailboxAnswer.messages(after < 1 ? [one] : [], more: false).serialized()
                }
                if second % 600 == 300, let receipt = bo.receipts.last { isSafe ? bo.client.safe(receipt) : bo.client.giveBack(receipt) }
            }
            #expect(bo.received.count == (isSafe ? 1 : 7), "\(bo.received.count)")
            // In an hour: as often as where there is nothing, and after what is safe as from the beginning.
            #expect(fetches == (isSafe ? 15 : 11), "\(fetches)")
        }
    }

    @Test(arguments: ["the same again", "more of nothing", "out of order", "another answer", "rubbish", "too much"])
    func `asks less often who says what no honest mailbox says`(_ lie: String) async throws {
        let bo = try self.connected()
        let one = try self.message(7, [1])
        var fetches = 0
        var count = 0
        for second in 0..<3_600 {
            try await bo.run(now: moment(Int64(second))) { _, _, bytes in
                guard case .fetch(let after, _, _) = try MailboxRequest(parsing: bytes) else {
                    return MailboxAnswer.acknowledged.serialized()
                }
                fetches += 1
                count += 1
                switch lie {
                case "the same again":
                    return MailboxAnswer.messages(count == 1 ? [one] : [.init(cursor: after, sealed: one.sealed)], more: true).serialized()
                case "more of nothing": return MailboxAnswer.messages([], more: true).serialized()
                case "out of order":
                    return MailboxAnswer.messages([one, .init(cursor: 3, sealed: one.sealed)], more: false).serialized()
                case "another answer": return MailboxAnswer.deposited(1).serialized()
                case "rubbish": return [1, 2, 3]
                default:
                    let long = [UInt8](repeating: 0, count: 100_000)
                    return MailboxAnswer.messages((1...3).map { .init(cursor: after + $0, sealed: long) }, more: true).serialized()
                }
            }
        }
        #expect(bo.client.counters.lies >= 5)
        // In an hour: what a minute and its doublings allow.
        #expect(fetches < 20)
        #expect(bo.received.count <= 1)
    }

    @Test func `fetches no more than can be kept unsafe`() async throws {
        var limits = MailboxClient.Limits()
        limits.unsafeCountMax = 130
        let bo = try self.connected(limits: limits)
        var box = LyingMailbox()
        box.messages = try (1...300).map { try self.message($0, withUnsafeBytes(of: $0) { Array($0) }) }
        let page: (LyingMailbox, UInt64) -> MailboxAnswer = { box, after in
            let rest = box.messages.filter { $0.cursor > after }
            return .messages(Array(rest.prefix(64)), more: rest.count > 64)
        }
        try await bo.run(now: moment(0), isSafe: false) { _, _, bytes in try box.answer(bytes, fetch: page) }
        #expect(bo.received.count == 128)
        for receipt in bo.receipts { bo.client.safe(receipt) }
        try await bo.run(now: moment(20), isSafe: true) { _, _, bytes in try box.answer(bytes, fetch: page) }
        #expect(bo.received.count == 300)
        #expect(box.acknowledged.sorted() == Array(1...300))
    }

    @Test func `acknowledges in every mailbox in which a message lay`() async throws {
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        try bo.client.setOwnMailboxes([peer("mailbox"), peer("second")], now: moment(0))
        for name in ["mailbox", "second"] { try bo.client.connected(peer(name), now: moment(0)) }
        let box = try sealed([1], from: "Ada", to: "Bo")
        var acknowledged: [PeerID: [UInt64]] = [:]
        try await bo.run(now: moment(0)) { _, asked, bytes in
            switch try MailboxRequest(parsing: bytes) {
            case .fetch(let after, _, _):
                let cursor: UInt64 = try asked == peer("mailbox") ? 7 : 9
                return MailboxAnswer.messages(after < cursor ? [.init(cursor: cursor, sealed: box)] : [], more: false).serialized()
            case .acknowledge(let cursors): acknowledged[asked, default: []] += cursors
            case .deposit, .notice: Issue.record("nothing is to be left")
            }
            return MailboxAnswer.acknowledged.serialized()
        }
        #expect(bo.received.count == 1)
        #expect(try acknowledged == [peer("mailbox"): [7], peer("second"): [9]])
    }

    @Test func `looks after connecting, then less and less often, and at once when it is told`() async throws {
        let bo = try self.connected()
        var times: [Int64] = []
        for second in 0..<Int64(3_600) {
            if second == 3_000 { bo.client.look(now: moment(second)) }
            let count = try await bo.run(now: moment(second)) { _, _, _ in MailboxAnswer.messages([], more: false).serialized() }
            if count > 0 { times.append(second) }
        }
        #expect(times == [0, 15, 45, 105, 225, 465, 945, 1_545, 2_145, 2_745, 3_000, 3_015, 3_045, 3_105, 3_225, 3_465])
    }

    @Test func `asks nobody who is not connected, and says whom it wants`() throws {
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        #expect(try bo.client.step(now: moment(0), identity: deviceKey(of: "Bo")).isEmpty)
        #expect(try bo.client.wanted(now: moment(0)) == [peer("mailbox")])
        #expect(bo.client.nextStepAt == nil)
        // Answers to what was never asked change nothing.
        try bo.client.answered(.init(rawValue: 1), by: peer("mailbox"), [1, 3], now: moment(0))
        try bo.client.answered(.init(rawValue: 1), by: peer("nobody"), [1, 3], now: moment(0))
        #expect(bo.client.counters == .init())
    }

    // MARK: What it leaves

    private func leave(
        _ payload: [UInt8], _ matter: MailboxMatter, by member: MailboxMember, for recipient: String = "Ada", until end: UInt64 = expiry,
        at second: Int64 = 0
    ) throws {
        try member.client.leave(payload, about: matter, for: identity(of: recipient), expiry: end, now: moment(second))
    }

    @Test func `leaves each word once, however often it is told, and again only after days`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        for hour in 0..<Int64(29 * 24) {
            // Told again with other acknowledgements, as a coordination does.
            try self.leave([1, UInt8(hour & 255)], matter(1), by: bo, at: hour * 3_600)
            try self.leave([2], matter(2, isSettled: false), by: bo, at: hour * 3_600)
            try await bo.run(now: moment(hour * 3_600)) { _, _, bytes in
                try box.answer(bytes, fetch: { _, _ in .messages([], more: false) })
            }
            // Each on days 0, 1, 3, 7, 14, 21 and 28.
            if hour == 23 { #expect(box.deposited.count == 2) }
        }
        #expect(box.deposited.count == 14)
        #expect(bo.client.counters.left == 14)
        #expect(try bo.client.waitingCount(for: identity(of: "Ada")) == 0)
    }

    @Test func `leaves few words in a month's absence, the newest of each matter`() async throws {
        let bo = try self.connected()
        var box = LyingMailbox()
        let minutes = Int64(30 * 24 * 60 - 10)
        for minute in 0..<minutes where minute % 5 == 0 || minute < 60 {
            try self.leave(withUnsafeBytes(of: minute) { Array($0) }, matter(3, isSettled: false), by: bo, at: minute * 60)
            try await bo.run(now: moment(minute * 60)) { _, _, bytes in
                try box.answer(bytes, fetch: { _, _ in .messages([], more: false) })
            }
            #expect(try bo.client.waitingCount(for: identity(of: "Ada")) <= 1)
        }
        #expect((10...20).contains(box.deposited.count))
        #expect(try bo.client.waitingCount(for: identity(of: "Ada")) == 1)
        guard case .deposit(_, _, let last)? = box.deposited.last else { return }
        let newest = try SealedMessage(opening: last, with: deviceKey(of: "Ada")).payload
        let minute = newest.reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) }
        #expect(minute > 10_000)
        // Once it shows that it is there, changed words go to it soon again.
        let shown = try self.message(1, [1])
        bo.client.look(now: moment(minutes * 60))
        try await bo.run(now: moment(minutes * 60)) { _, _, bytes in
            try box.answer(bytes, fetch: { _, after in .messages(after == 0 ? [shown] : [], more: false) })
        }
        #expect(bo.received.count == 1)
        let before = box.deposited.count
        try self.leave([77], matter(3, isSettled: false), by: bo, at: minutes * 60 + 1)
        try await bo.run(now: moment(minutes * 60 + 61)) { _, _, bytes in
            try box.answer(bytes, fetch: { _, _ in .messages([], more: false) })
        }
        #expect(box.deposited.count == before + 1)
    }

    @Test func `keeps trying the same bytes until they are taken`() async throws {
        let bo = try self.connected()
        try self.leave([1], matter(1), by: bo)
        var tries: [[UInt8]] = []
        for second in 0..<Int64(1_000) {
            try await bo.run(now: moment(second)) { _, _, bytes in
                guard case .deposit(_, let end, let sealed) = try MailboxRequest(parsing: bytes) else {
                    return MailboxAnswer.messages([], more: false).serialized()
                }
                #expect(end == expiry)
                tries.append(sealed)
                return tries.count < 6
                    ? (tries.count % 2 == 0 ? nil : MailboxAnswer.refused(.full).serialized()) : MailboxAnswer.deposited(1).serialized()
            }
        }
        #expect(tries.count == 6)
        #expect(Set(tries).count == 1)
        #expect(try SealedMessage(opening: tries[0], with: deviceKey(of: "Ada")).payload == [1])
    }

    @Test func `lets one member's full box hold up nobody else's`() async throws {
        let bo = try self.connected(knowing: ["Ada", "Cy"])
        try self.leave([1], matter(1), by: bo, for: "Ada")
        try self.leave([2], matter(1), by: bo, for: "Cy")
        let ada = try #require(Bytes32(identity(of: "Ada").bytes))
        var asked = 0
        try await bo.run(now: moment(0)) { _, _, bytes in
            guard case .deposit(let recipient, _, _) = try MailboxRequest(parsing: bytes) else {
                return MailboxAnswer.messages([], more: false).serialized()
            }
            asked += 1
            return (recipient == ada ? MailboxAnswer.refused(.fullForRecipient) : .deposited(4)).serialized()
        }
        #expect(asked == 2)
        #expect(try bo.client.waitingCount(for: identity(of: "Ada")) == 1)
        #expect(try bo.client.waitingCount(for: identity(of: "Cy")) == 0)
    }

    @Test func `leaves in every mailbox of a member, and gives up where it is never taken`() async throws {
        let bo = try MailboxMember("Bo", knowing: [])
        let boxes = try ["one", "two"].map { try peer($0) }
        try bo.client.setMembers([(identity(of: "Ada"), boxes + boxes)], now: moment(0))
        for box in boxes { bo.client.connected(box, now: moment(0)) }
        try self.leave([1], matter(1), by: bo)
        var asked: [PeerID] = []
        try await bo.run(now: moment(0)) { _, peer, bytes in
            guard case .deposit = try MailboxRequest(parsing: bytes) else { return nil }
            asked.append(peer)
            return (peer == boxes[0] ? MailboxAnswer.refused(.tooLarge) : .deposited(1)).serialized()
        }
        #expect(asked == boxes)
        #expect(try bo.client.waitingCount(for: identity(of: "Ada")) == 0)
        #expect(bo.client.counters.left == 1 && bo.client.counters.rejected == 0)
    }

    @Test func `bounds what waits, and refuses what cannot be left by name`() async throws {
        var limits = MailboxClient.Limits()
        (limits.waitingPerMemberMax, limits.waitingByteCountPerMemberMax, limits.waitingByteCountMax) = (4, 1_000, 1_500)
        let bo = try MailboxMember("Bo", limits: limits, knowing: ["Ada", "Cy"])
        #expect(throws: MailboxClientError.unknownMember) { try self.leave([1], matter(1), by: bo, for: "Mallory") }
        #expect(throws: MailboxClientError.expired) { try self.leave([1], matter(1), by: bo, until: 1_000_000) }
        let long = [UInt8](repeating: 0, count: 716_801)
        #expect(throws: MailboxClientError.tooLarge(byteCount: 716_801, limit: 716_800)) { try self.leave(long, matter(1), by: bo) }
        for index in UInt8(0)..<4 { try self.leave([index], matter(index), by: bo) }
        #expect(throws: MailboxClientError.full) { try self.leave([5], matter(5), by: bo) }
        // A newer word needs no place of its own.
        try self.leave([6], matter(7, isSettled: false), by: bo, for: "Cy")
        try self.leave([UInt8](repeating: 1, count: 900), matter(7, isSettled: false), by: bo, for: "Cy")
        #expect(throws: MailboxClientError.full) { try self.leave([UInt8](repeating: 1, count: 200), matter(8), by: bo, for: "Cy") }
        try bo.client.setMembers([(identity(of: "Ada"), [])], now: moment(0))
        #expect(throws: MailboxClientError.noMailbox) { try self.leave([9], matter(9), by: bo) }
        #expect(try bo.client.waitingCount(for: identity(of: "Cy")) == 0)
    }

    @Test func `forgets what is over, and what is told directly`() async throws {
        let bo = try MailboxMember("Bo", knowing: ["Ada", "Cy"])
        try self.leave([1], matter(1), by: bo, until: 1_000_100)
        try self.leave([2], matter(2), by: bo)
        try self.leave([3], matter(3), by: bo, for: "Cy")
        _ = try bo.client.step(now: moment(100), identity: deviceKey(of: "Bo"))
        #expect(try bo.client.waitingCount(for: identity(of: "Ada")) == 1)
        #expect(bo.client.counters.expired == 1)
        try bo.client.reached(identity(of: "Ada"))
        #expect(try bo.client.waitingCount(for: identity(of: "Ada")) == 0)
        bo.client.forget(Sample.digest("another"))
        #expect(try bo.client.waitingCount(for: identity(of: "Cy")) == 1)
        bo.client.forget(Sample.digest("request"))
        #expect(try bo.client.waitingCount(for: identity(of: "Cy")) == 0)
    }

    @Test func `seals the same bytes from the same keys, so that a simulated network repeats itself`() throws {
        let runs = try (0..<2).map { _ in
            let bo = try self.connected()
            try self.leave([1], matter(1), by: bo)
            return try bo.client.step(now: moment(0), identity: deviceKey(of: "Bo")) { () throws(SecretMemoryError) -> X25519.SecretKey in
                try X25519.SecretKey { $0.copyBytes(from: [UInt8](repeating: 3, count: 32)) }
            }
        }
        #expect(runs[0] == runs[1])
        #expect(runs[0].count == 1)
    }
}
