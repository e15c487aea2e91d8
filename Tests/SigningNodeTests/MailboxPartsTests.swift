import CryptoPrimitives
import LibP2P
import Signing
import SigningTestSupport
import Testing

@testable import SigningNode

/// Bytes that tell where they stand.
private func long(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 4) } }

private func part(_ message: [UInt8], _ index: Int, of count: Int) throws -> SealedMessage.Part {
    try #require(SealedMessage.Part(digest: SHA256.hash(message), index: index, count: count))
}

struct `A message that is longer than a box` {
    private let matter = MailboxMatter(request: Sample.digest("request"), name: [1], isSettled: true)

    /// Leaves something for Ada with a real mailbox; gives how many boxes were asked to be kept.
    private func leave(_ message: [UInt8], by bo: MailboxMember, at node: MailboxNode, now: Moment) async throws -> Int {
        try bo.client.leave(message, about: self.matter, for: identity(of: "Ada"), expiry: expiry, now: now)
        try bo.client.connected(peer("mailbox"), now: now)
        let (own, before) = (try peer("Bo"), bo.client.counters.left)
        try await bo.run(now: now) { _, _, bytes in await node.ask(bytes, by: own, now: now) }
        try bo.client.disconnected(peer("mailbox"))
        return bo.client.counters.left - before
    }

    @Test(arguments: [
        (100 << 10, 1), ((100 << 10) + 1, 2), (200 << 10, 2), ((200 << 10) + 1, 3), (SealedMessage.messageByteCountMax, 7),
    ])
    func `goes in as few parts as it takes and comes as it was, once`(count: Int, parts: Int) async throws {
        let node = try await MailboxNode(for: ["Ada"])
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        #expect(try await self.leave(long(count), by: bo, at: node, now: moment(0)) == parts)
        #expect(try bo.client.waitingCount(for: identity(of: "Ada")) == 0)
        try await ada.visit(node, now: moment(60), isSafe: false)
        #expect(ada.received.map(\.payload) == [long(count)])
        #expect(try ada.received.map(\.sender) == [identity(of: "Bo")])
        // All parts stay in the mailbox until it is safe; then none does.
        for receipt in ada.receipts { ada.client.safe(receipt) }
        try await ada.visit(node, now: moment(120))
        let another = try MailboxMember("Ada", knowing: ["Bo"])
        try await another.visit(node, now: moment(180))
        #expect(ada.received.count == 1 && another.received.isEmpty && another.client.parts.count == 0)
    }

    @Test func `is whole after a crash in the middle of it, at either end`() async throws {
        let node = try await MailboxNode(for: ["Ada"])
        let message = long(450 << 10)
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        try bo.client.leave(message, about: self.matter, for: identity(of: "Ada"), expiry: expiry, now: moment(0))
        try bo.client.connected(peer("mailbox"), now: moment(0))
        var asked = 0
        let own = try peer("Bo")
        // The mailbox has three of five parts, and of the last the answer is lost.
        try await bo.run(now: moment(0)) { _, _, bytes in
            guard case .deposit = try MailboxRequest(parsing: bytes) else { return nil }
            asked += 1
            guard asked <= 3 else { return nil }
            let answer = await node.ask(bytes, by: own, now: moment(0))
            return asked == 3 ? nil : answer
        }
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        try await ada.visit(node, now: moment(10))
        #expect(ada.received.isEmpty && ada.client.parts.count == 3)
        #expect(ada.client.heldByteCount == 300 << 10)
        // Bo has forgotten all of it, says it anew, and seals it with other keys.
        let again = try MailboxMember("Bo", knowing: ["Ada"])
        #expect(try await self.leave(message, by: again, at: node, now: moment(20)) == 5)
        // Ada has forgotten what came; the mailbox has not, for nothing of it was safe.
        let anew = try MailboxMember("Ada", knowing: ["Bo"])
        try await anew.visit(node, now: moment(600))
        #expect(anew.received.map(\.payload) == [message])
    }

    @Test func `that was not taken is fetched again, with all of its parts`() async throws {
        let node = try await MailboxNode(for: ["Ada"])
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        #expect(try await self.leave(long(250 << 10), by: bo, at: node, now: moment(0)) == 3)
        try await ada.visit(node, now: moment(10), isSafe: false)
        ada.client.giveBack(try #require(ada.receipts.first))
        try await ada.visit(node, now: moment(700))
        #expect(ada.received.map(\.payload) == [long(250 << 10), long(250 << 10)])
    }

    @Test func `gives way to a newer word in the middle of being left`() async throws {
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        let said = MailboxMatter(request: Sample.digest("request"), name: [1], isSettled: false)
        try bo.client.leave(long(300 << 10), about: said, for: identity(of: "Ada"), expiry: expiry, now: moment(0))
        try bo.client.connected(peer("mailbox"), now: moment(0))
        var boxes: [[UInt8]] = []
        try await bo.run(now: moment(0)) { _, _, bytes in
            guard case .deposit(_, _, let sealed) = try MailboxRequest(parsing: bytes) else {
                return MailboxAnswer.messages([], more: false).serialized()
            }
            boxes.append(sealed)
            if boxes.count == 2 {
                try bo.client.leave([7], about: said, for: identity(of: "Ada"), expiry: expiry, now: moment(0))
            }
            return MailboxAnswer.deposited(UInt64(boxes.count)).serialized()
        }
        let opened = try boxes.map { try SealedMessage(opening: $0, with: deviceKey(of: "Ada")) }
        #expect(opened.map { $0.part?.index } == [0, 1, nil])
        #expect(opened.last?.payload == [7])
    }
}

struct `Parts of messages` {
    private let box = Result { try peer("mailbox") }

    private func take(
        _ parts: inout MailboxParts, _ part: SealedMessage.Part, _ bytes: [UInt8], by sender: String = "Ada", number: UInt64 = 1,
        digest: String, at cursor: UInt64, until: Duration = .seconds(100)
    ) throws -> MailboxParts.Outcome {
        try parts.take(
            part, bytes, from: identity(of: sender), number: number, digest: Sample.digest(digest), at: self.box.get(), cursor,
            until: until)
    }

    @Test func `have counts and places that there can be`() {
        let digest = Sample.digest("whole")
        for (index, count) in [(0, 0), (0, 1), (0, 8), (2, 2), (-1, 2), (7, 7)] {
            #expect(SealedMessage.Part(digest: digest, index: index, count: count) == nil)
        }
        #expect(SealedMessage.Part(digest: digest, index: 6, count: 7) != nil)
    }

    @Test func `come in any order`() throws {
        let message: [UInt8] = [1, 2, 3]
        var parts = MailboxParts()
        #expect(try self.take(&parts, part(message, 2, of: 3), [3], digest: "c", at: 3) == .incomplete)
        #expect(try self.take(&parts, part(message, 0, of: 3), [1], digest: "a", at: 1) == .incomplete)
        // The same one, sealed anew, and the same box at another mailbox.
        #expect(try self.take(&parts, part(message, 0, of: 3), [1], digest: "a2", at: 7) == .incomplete)
        #expect(try parts.note(Sample.digest("a"), at: peer("other"), 9))
        #expect(try !parts.note(Sample.digest("b"), at: peer("other"), 9))
        let (here, other) = (try self.box.get(), try peer("other"))
        let places: MailboxPlaces = [
            Sample.digest("a"): [here: 1, other: 9], Sample.digest("a2"): [here: 7], Sample.digest("b"): [here: 2],
            Sample.digest("c"): [here: 3],
        ]
        #expect(try self.take(&parts, part(message, 1, of: 3), [2], digest: "b", at: 2) == .whole(message, places))
        #expect(parts.count == 0 && parts.byteCount == 0)
    }

    @Test func `that do not make up what they say are dropped, wherever they lie`() throws {
        let message: [UInt8] = [1, 2]
        var parts = MailboxParts()
        #expect(try self.take(&parts, part(message, 0, of: 2), [1], digest: "a", at: 1) == .incomplete)
        #expect(try self.take(&parts, part(message, 1, of: 2), [9], digest: "b", at: 2) == .broken)
        // It comes from another mailbox before anybody asked what was dropped.
        #expect(try parts.note(Sample.digest("b"), at: peer("other"), 5))
        let dropped = parts.takeDropped(now: .zero, countMax: 10, byteCountMax: 10)
        #expect(Set(dropped.map(\.digest)) == [Sample.digest("a"), Sample.digest("b")])
        #expect(try dropped.first { $0.digest == Sample.digest("b") }?.places == [self.box.get(): 2, peer("other"): 5])
        #expect(parts.takeDropped(now: .zero, countMax: 10, byteCountMax: 10).isEmpty)
    }

    @Test func `of another sender, or of another count, belong to another message`() throws {
        let message: [UInt8] = [1, 2]
        var parts = MailboxParts()
        #expect(try self.take(&parts, part(message, 0, of: 2), [1], digest: "a", at: 1) == .incomplete)
        #expect(try self.take(&parts, part(message, 1, of: 2), [2], by: "Mallory", digest: "m", at: 2) == .incomplete)
        #expect(try self.take(&parts, part(message, 1, of: 3), [2], digest: "n", at: 3) == .incomplete)
        guard case .whole(message, _) = try self.take(&parts, part(message, 1, of: 2), [2], digest: "b", at: 4) else {
            Issue.record("the parts of one sender make up its message")
            return
        }
        #expect(parts.count == 2)
    }

    @Test func `wait so long, and who sends most of them loses its oldest`() throws {
        var parts = MailboxParts()
        for number in UInt64(0)..<20 {
            let message = [UInt8(number), 1]
            _ = try self.take(
                &parts, part(message, 0, of: 2), [UInt8](repeating: 0, count: 50), by: "Mallory", number: number, digest: "m\(number)",
                at: number, until: .seconds(200))
        }
        _ = try self.take(&parts, part([1, 2], 0, of: 2), [1], number: 100, digest: "a", at: 100)
        let byBytes = parts.takeDropped(now: .zero, countMax: 100, byteCountMax: 501)
        #expect(Set(byBytes.map(\.digest)) == Set((0..<10).map { Sample.digest("m\($0)") }))
        let byCount = parts.takeDropped(now: .zero, countMax: 6, byteCountMax: 501)
        #expect(Set(byCount.map(\.digest)) == Set((10..<15).map { Sample.digest("m\($0)") }))
        #expect(parts.count == 6 && parts.byteCount == 251)
        #expect(parts.takeDropped(now: .seconds(99), countMax: 6, byteCountMax: 501).isEmpty)
        #expect(parts.takeDropped(now: .seconds(100), countMax: 6, byteCountMax: 501).map(\.digest) == [Sample.digest("a")])
        #expect(parts.takeDropped(now: .seconds(200), countMax: 6, byteCountMax: 501).count == 5)
        #expect(parts.count == 0 && parts.byteCount == 0)
    }

    @Test func `of a member that signs what is no message are not kept in its mailbox`() async throws {
        let node = try await MailboxNode(for: ["Ada"])
        for index in 0..<2 {
            let box = try SealedMessage.seal(
                [UInt8(index)], part: part([5, 5], index, of: 2), from: deviceKey(of: "Bo"), to: identity(of: "Ada"), ephemeral: .generate()
            )
            let name = try #require(Bytes32(identity(of: "Ada").bytes))
            let answer = try await node.ask(.deposit(recipient: name, expiry: expiry, sealed: box), by: "Bo", now: moment(0))
            guard case .deposited = answer else {
                Issue.record("\(answer)")
                return
            }
        }
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        try await ada.visit(node, now: moment(10))
        #expect(ada.received.isEmpty && ada.client.counters.unreadable == 1 && ada.client.parts.count == 0)
        let anew = try MailboxMember("Ada", knowing: ["Bo"])
        try await anew.visit(node, now: moment(20))
        #expect(anew.client.counters.unreadable == 0)
    }
}

struct `A sealed part` {
    private func plaintext() throws -> [UInt8] {
        try SealedMessage.plaintext([1, 2, 3], part: part([9], 1, of: 3), from: deviceKey(of: "Ada"), to: identity(of: "Bo"))
    }

    @Test func `says of what it is one`() throws {
        let opened = try SealedMessage(parsing: self.plaintext(), for: identity(of: "Bo"))
        #expect(try opened.part == part([9], 1, of: 3))
        #expect(try opened.payload == [1, 2, 3] && opened.sender == identity(of: "Ada"))
    }

    @Test func `with any byte changed is refused, also where it says which part it is`() throws {
        let plain = try self.plaintext()
        for place in plain.indices {
            for flip in [UInt8(1), 3, 0x80] {
                var altered = plain
                altered[place] ^= flip
                #expect(throws: SealedMessageError.self) { try SealedMessage(parsing: altered, for: identity(of: "Bo")) }
            }
        }
    }

    @Test func `of more parts than there may be is refused`() throws {
        var plain = try self.plaintext()
        // Its place and the count stand behind version, sender, signature and digest.
        for (index, count) in [(0, 0), (0, 1), (3, 3), (0, 8), (255, 255)] {
            (plain[129], plain[130]) = (UInt8(index), UInt8(count))
            #expect(throws: SealedMessageError.malformed("part \(index) of \(count)")) {
                try SealedMessage(parsing: plain, for: identity(of: "Bo"))
            }
        }
    }
}
