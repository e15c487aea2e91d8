import CryptoPrimitives
import LibP2P
import Signing
import Testing

@testable import SigningNode

struct `A mailbox's server` {
    private func deposit(_ bytes: [UInt8], for name: String, expiry: UInt64 = expiry) throws -> MailboxRequest {
        .deposit(recipient: try #require(Bytes32(identity(of: name).bytes)), expiry: expiry, sealed: bytes)
    }

    private func fetch(after cursor: UInt64 = 0) -> MailboxRequest { .fetch(after: cursor, countMax: .max, byteCountMax: .max) }

    @Test func `keeps what is left for those it knows, and gives it to them alone`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        guard case .deposited(let cursor) = try await node.ask(self.deposit([1, 2], for: "Bo"), by: "Ada", now: moment(0)) else {
            Issue.record("not deposited")
            return
        }
        // Told again, it is the same.
        #expect(try await node.ask(self.deposit([1, 2], for: "Bo"), by: "Ada", now: moment(1)) == .deposited(cursor))
        #expect(try await node.ask(self.fetch(), by: "Ada", now: moment(1)) == .messages([], more: false))
        let page = MailboxAnswer.messages([.init(cursor: cursor, sealed: [1, 2])], more: false)
        #expect(try await node.ask(self.fetch(), by: "Bo", now: moment(1)) == page)
        // Who is not its recipient acknowledges nothing.
        #expect(try await node.ask(.acknowledge([cursor]), by: "Ada", now: moment(2)) == .acknowledged)
        #expect(try await node.ask(self.fetch(), by: "Bo", now: moment(2)) == page)
        #expect(try await node.ask(.acknowledge([cursor, 99]), by: "Bo", now: moment(3)) == .acknowledged)
        #expect(try await node.ask(self.fetch(), by: "Bo", now: moment(3)) == .messages([], more: false))
    }

    @Test func `keeps nothing for strangers, and gives them nothing`() async throws {
        let node = try await MailboxNode(for: ["Bo"])
        #expect(try await node.ask(self.deposit([1], for: "Cy"), by: "Bo", now: moment(0)) == .refused(.unknownRecipient))
        #expect(try await node.ask(self.fetch(), by: "Cy", now: moment(0)) == .refused(.unknownRecipient))
        #expect(try await node.ask(.acknowledge([1]), by: "Cy", now: moment(0)) == .refused(.unknownRecipient))
        guard case .deposited = try await node.ask(self.deposit([1], for: "Bo"), by: "Cy", now: moment(0)) else {
            Issue.record("a stranger may leave something for those who are known")
            return
        }
        var limits = MailboxServer.Limits()
        limits.servesStrangers = false
        let closed = try await MailboxNode(limits: limits, for: ["Bo"])
        #expect(try await closed.ask(self.deposit([1], for: "Bo"), by: "Cy", now: moment(0)) == .refused(.unknownRecipient))
    }

    @Test func `gives large boxes by pages of bounded size`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        for index in 0..<100 {
            let bytes = [UInt8](repeating: UInt8(index), count: index % 10 == 0 ? 90_000 : 500)
            _ = try await node.ask(self.deposit(bytes, for: "Bo"), by: "Ada", now: moment(0))
        }
        var (cursor, found, pages): (UInt64, [UInt8], Int) = (0, [], 0)
        while pages < 50 {
            let bytes = try await node.ask(self.fetch(after: cursor).serialized(), by: peer("Bo"), now: moment(10))
            #expect(bytes.count <= MailboxProtocol.answerByteCountMax)
            guard case .messages(let messages, let more) = try MailboxAnswer(parsing: bytes) else {
                Issue.record("no page")
                return
            }
            pages += 1
            found += messages.map { $0.sealed[0] }
            cursor = messages.last?.cursor ?? cursor
            if !more { break }
        }
        #expect(found == (0..<100).map { UInt8($0) })
        #expect(pages > 3)
    }

    @Test func `says which bound is reached`() async throws {
        var bounds = MailboxBounds()
        (bounds.countPerRecipientAndSourceMax, bounds.countPerRecipientMax, bounds.countMax, bounds.messageByteCountMax) = (2, 3, 4, 100)
        let node = try await MailboxNode(bounds: bounds, for: ["Ada", "Bo", "Cy"])
        func leave(_ byte: UInt8, for name: String, by source: String) async throws -> MailboxAnswer {
            try await node.ask(self.deposit([byte], for: name), by: source, now: moment(0))
        }
        _ = try await leave(1, for: "Bo", by: "Ada")
        _ = try await leave(2, for: "Bo", by: "Ada")
        #expect(try await leave(3, for: "Bo", by: "Ada") == .refused(.fullForSource))
        _ = try await leave(3, for: "Bo", by: "Cy")
        #expect(try await leave(4, for: "Bo", by: "Cy") == .refused(.fullForRecipient))
        _ = try await leave(5, for: "Ada", by: "Bo")
        #expect(try await leave(6, for: "Cy", by: "Bo") == .refused(.full))
        let long = [UInt8](repeating: 0, count: 101)
        #expect(try await node.ask(self.deposit(long, for: "Cy"), by: "Bo", now: moment(0)) == .refused(.tooLarge))
        #expect(
            try await node.ask(self.deposit([7], for: "Cy", expiry: 1_000_000), by: "Bo", now: moment(0)) == .refused(.expired))
    }

    @Test func `bounds all strangers of a household as one, and a known peer in it not at all`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        let home: [UInt8] = [9, 9, 9, 9]
        var answers: [MailboxAnswer: Int] = [:]
        // Three hundred peers behind one address: as many identities as it likes.
        for index in 0..<300 {
            var answer = try await node.ask(
                self.deposit([1, UInt8(index & 255)], for: "Bo"), by: "s\(index)", household: home, now: moment(0))
            if case .deposited = answer { answer = .deposited(0) }
            answers[answer, default: 0] += 1
        }
        #expect(answers[.deposited(0)] == 128)
        #expect(answers[.refused(.tooOften)] == 172)
        guard case .deposited = try await node.ask(self.deposit([2], for: "Bo"), by: "Ada", household: home, now: moment(0)) else {
            Issue.record("a known peer pays for no stranger in its house")
            return
        }
        // Nor do other households, but for those that come through the same door.
        var others = 0
        for index in UInt8(0)..<20 {
            let answer = try await node.ask(self.deposit([3, index], for: "Bo"), by: "t\(index)", household: [8, index], now: moment(0))
            if case .deposited = answer { others += 1 } else { #expect(answer == .refused(.fullForSource)) }
        }
        #expect((10..<20).contains(others))
        #expect(node.server.counters.refused[.tooOften] == 172)
        // With time more is done, but the store still counts them as one.
        #expect(try await node.ask(self.deposit([4], for: "Bo"), by: "s5", household: home, now: moment(60)) == .refused(.fullForSource))
    }

    @Test func `serves a peer no more than its share, and goes on later`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        for _ in 0..<256 { #expect(try await node.ask(self.fetch(), by: "Bo", now: moment(0)) == .messages([], more: false)) }
        #expect(try await node.ask(self.fetch(), by: "Bo", now: moment(0)) == .refused(.tooOften))
        #expect(try await node.ask(self.fetch(), by: "Ada", now: moment(0)) == .messages([], more: false))
        #expect(try await node.ask(self.fetch(), by: "Bo", now: moment(1)) == .messages([], more: false))
    }

    @Test func `charges a peer for the bytes that it fetches`() async throws {
        var limits = MailboxServer.Limits()
        limits.known = .init(requestBurst: 1_000, requestsPerSecond: 1_000, byteBurst: 1_000_000, bytesPerSecond: 1_000)
        let node = try await MailboxNode(limits: limits, for: ["Ada", "Bo"])
        _ = try await node.ask(self.deposit([UInt8](repeating: 1, count: 100_000), for: "Bo"), by: "Ada", now: moment(0))
        var count = 0
        while count < 100, case .messages = try await node.ask(self.fetch(), by: "Bo", now: moment(0)) { count += 1 }
        #expect(count == 10)
    }

    @Test func `blocks who sends rubbish, and nobody else`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo", "Mallory"])
        let mallory = try peer("Mallory")
        for _ in 0..<10 {
            // It names Ada as loudly as it can.
            let answer = try await node.ask([1, 1] + identity(of: "Ada").bytes, by: mallory, now: moment(0))
            #expect(try MailboxAnswer(parsing: answer) == .refused(.malformed))
        }
        #expect(try await node.ask(self.fetch(), by: "Mallory", now: moment(1)) == .refused(.blocked))
        #expect(try await node.ask(self.fetch(), by: "Ada", now: moment(1)) == .messages([], more: false))
        #expect(try await node.ask(self.fetch(), by: "Mallory", now: moment(3_599)) == .refused(.blocked))
        #expect(try await node.ask(self.fetch(), by: "Mallory", now: moment(3_601)) == .messages([], more: false))
        // What a message holds counts against nobody: it is not even looked at.
        for index in 0..<50 {
            _ = try await node.ask(self.deposit([UInt8](repeating: UInt8(index), count: 99), for: "Bo"), by: "Ada", now: moment(3_602))
        }
        #expect(try await node.ask(self.fetch(), by: "Ada", now: moment(3_602)) == .messages([], more: false))
        #expect(node.server.counters.blocks == 1)
    }

    @Test func `remembers a bounded number of households and offenders`() throws {
        var limits = MailboxServer.Limits()
        (limits.householdCountMax, limits.offenderCountMax) = (50, 20)
        limits.strangers = .init(requestBurst: 10_000, requestsPerSecond: 1, byteBurst: 1 << 30, bytesPerSecond: 1)
        var server = MailboxServer(limits: limits)
        try server.setRecipients([identity(of: "Bo")])
        for index in 0..<500 {
            let household = [UInt8(index >> 8), UInt8(index & 255)]
            _ = try server.receive([0], from: peer("m\(index)"), household: household, now: moment(0))
        }
        #expect(server.heldCount == 70)
        #expect(server.counters.refused[.malformed] == 500)
    }

    @Test func `keeps who is blocked blocked, however many others misbehave`() throws {
        var limits = MailboxServer.Limits()
        limits.offenderCountMax = 20
        var server = MailboxServer(limits: limits)
        try server.setRecipients([identity(of: "Mallory")])
        for _ in 0..<10 { _ = try server.receive([0], from: peer("Mallory"), household: [1], now: moment(0)) }
        for index in 0..<100 { _ = try server.receive([0], from: peer("m\(index)"), household: [UInt8(index)], now: moment(1)) }
        let verdict = try server.receive(self.fetch().serialized(), from: peer("Mallory"), household: [1], now: moment(2))
        #expect(verdict == .answer(MailboxAnswer.refused(.blocked).serialized()))
        #expect(server.counters.blocks == 1)
    }

    @Test func `counts what never became a request against whoever broke it off`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Mallory"])
        for _ in 0..<9 { try node.server.noteMalformed(from: peer("Mallory"), now: moment(0)) }
        #expect(try await node.ask(self.fetch(), by: "Mallory", now: moment(1)) == .messages([], more: false))
        try node.server.noteMalformed(from: peer("Mallory"), now: moment(2))
        #expect(try await node.ask(self.fetch(), by: "Mallory", now: moment(3)) == .refused(.blocked))
        // Faults that lie an hour apart are forgotten.
        for hour in 0..<20 { try node.server.noteMalformed(from: peer("Ada"), now: moment(Int64(hour) * 3_600)) }
        #expect(try await node.ask(self.fetch(), by: "Ada", now: moment(80_000)) == .messages([], more: false))
    }

    @Test func `says when it has trouble of its own, and blames nobody for it`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        await node.database.close()
        for _ in 0..<20 {
            #expect(try await node.ask(self.deposit([1], for: "Bo"), by: "Ada", now: moment(0)) == .refused(.unavailable))
            #expect(try await node.ask(self.fetch(), by: "Bo", now: moment(0)) == .refused(.unavailable))
        }
        #expect(node.server.counters.blocks == 0)
    }

    @Test func `is not brought down by any bytes`() throws {
        var server = MailboxServer()
        try server.setRecipients([identity(of: "Bo")])
        let whole = try self.deposit([1, 2, 3], for: "Bo").serialized()
        for count in whole.indices {
            let verdict = try server.receive(Array(whole.prefix(count)), from: peer("p\(count)"), household: [UInt8(count)], now: moment(0))
            #expect(verdict == .answer(MailboxAnswer.refused(.malformed).serialized()))
        }
        let long = [UInt8](repeating: 1, count: 300_000)
        #expect(
            try server.receive(long, from: peer("q"), household: [7], now: moment(0))
                == .answer(MailboxAnswer.refused(.malformed).serialized()))
    }
}
