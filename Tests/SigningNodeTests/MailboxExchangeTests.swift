import CryptoPrimitives
import LibP2P
import SigningNode
import SigningTestSupport
import Testing

@testable import Signing

struct `Two members who are never connected at the same time` {
    private func matter(_ name: UInt8) -> MailboxMatter { MailboxMatter(request: Sample.digest("request"), name: [name], isSettled: true) }

    private func leave(_ payload: [UInt8], _ name: UInt8, by member: MailboxMember, for recipient: String, at second: Int64) throws {
        try member.client.leave(payload, about: self.matter(name), for: identity(of: recipient), expiry: expiry, now: moment(second))
    }

    @Test func `talk to each other through a mailbox that reads nothing of it`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        let day = Int64(86_400)
        var payload = [UInt8](repeating: 0xad, count: 1_000)
        // Eight rounds of question and answer, each visit a day apart.
        for round in UInt8(0)..<8 {
            let (questioner, answerer) = round % 2 == 0 ? (ada, bo) : (bo, ada)
            payload[0] = round
            try self.leave(payload, round, by: questioner, for: answerer.name, at: Int64(round) * day)
            try await questioner.visit(node, now: moment(Int64(round) * day))
            // What is kept shows nothing of it.
            let kept = try await node.store.messages(
                for: identity(of: answerer.name), after: 0, countMax: 10, byteCountMax: 1 << 20, at: moment(Int64(round) * day).time)
            #expect(kept.count == 1)
            for message in kept {
                #expect(message.bytes.count == 2_048)
                #expect(!message.bytes.starts(with: payload.prefix(4)))
                let sender = try identity(of: questioner.name).bytes
                #expect(!message.bytes.indices.contains { message.bytes[$0...].starts(with: sender) })
            }
            try await answerer.visit(node, now: moment(Int64(round) * day + 43_200))
            #expect(answerer.received.last?.payload == payload)
            #expect(try answerer.received.last?.sender == identity(of: questioner.name))
        }
        #expect(ada.received.count == 4 && bo.received.count == 4)
        for name in ["Ada", "Bo"] {
            let left = try await node.store.messages(
                for: identity(of: name), after: 0, countMax: 10, byteCountMax: 1 << 20, at: moment(0).time)
            #expect(left.isEmpty)
        }
        #expect(ada.client.counters.failures == 0 && bo.client.counters.failures == 0)
    }

    @Test func `get everything that was left, in order, over several pages`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        var limits = MailboxClient.Limits()
        limits.waitingPerMemberMax = 120
        let ada = try MailboxMember("Ada", limits: limits, knowing: ["Bo"])
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        for index in UInt8(0)..<120 { try self.leave([index], index, by: ada, for: "Bo", at: 0) }
        try await ada.visit(node, now: moment(0))
        #expect(ada.client.counters.left == 120)
        let asked = try await bo.visit(node, now: moment(100))
        #expect(bo.received.map(\.payload) == (UInt8(0)..<120).map { [$0] })
        #expect(asked < 8)
        // And nothing comes again.
        try await bo.visit(node, now: moment(200))
        #expect(bo.received.count == 120)
    }

    @Test func `get again what was not safe when the process ended`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        try self.leave([1], 1, by: ada, for: "Bo", at: 0)
        try await ada.visit(node, now: moment(0))
        let before = try MailboxMember("Bo", knowing: ["Ada"])
        try await before.visit(node, now: moment(10), isSafe: false)
        #expect(before.received.count == 1)
        let after = try MailboxMember("Bo", knowing: ["Ada"])
        try await after.visit(node, now: moment(20))
        #expect(after.received.map(\.payload) == [[1]])
        let later = try MailboxMember("Bo", knowing: ["Ada"])
        try await later.visit(node, now: moment(30))
        #expect(later.received.isEmpty)
    }

    @Test func `wait for a full mailbox, and lose nothing by it`() async throws {
        var bounds = MailboxBounds()
        bounds.countPerRecipientAndSourceMax = 3
        let node = try await MailboxNode(bounds: bounds, for: ["Ada", "Bo"])
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        for index in UInt8(0)..<8 { try self.leave([index], index, by: ada, for: "Bo", at: 0) }
        for hour in 0..<Int64(4) {
            try await ada.visit(node, now: moment(hour * 3_600))
            try await bo.visit(node, now: moment(hour * 3_600 + 1_800))
        }
        #expect(bo.received.map(\.payload) == (UInt8(0)..<8).map { [$0] })
        #expect(ada.client.counters.refused >= 2)
        #expect(try ada.client.waitingCount(for: identity(of: "Bo")) == 0)
    }

    @Test func `find nothing whose time is over`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        for (name, end) in [(UInt8(1), UInt64(1_000_100)), (2, 1_000_300)] {
            try ada.client.leave([name], about: self.matter(name), for: identity(of: "Bo"), expiry: end, now: moment(0))
        }
        try await ada.visit(node, now: moment(0))
        try await bo.visit(node, now: moment(200))
        #expect(bo.received.map(\.payload) == [[2]])
        #expect(try await node.store.removeExpired(at: moment(200).time, countMax: 10) == 1)
    }

    @Test func `are reached through a flood of strangers`() async throws {
        let node = try await MailboxNode(for: ["Ada", "Bo"])
        let recipient = try #require(Bytes32(identity(of: "Bo").bytes))
        var taken = 0
        // Forty households with thirty peers each, all of whom write to Bo: more than its box holds.
        for household in UInt8(0)..<40 {
            for index in 0..<30 {
                let flood = MailboxRequest.deposit(
                    recipient: recipient, expiry: expiry, sealed: [household, UInt8(index)] + [UInt8](repeating: 7, count: 510))
                let answer = try await node.ask(flood, by: "m\(household)-\(index)", household: [household, 1, 1, 1], now: moment(0))
                if case .deposited = answer { taken += 1 }
            }
        }
        #expect(taken == 512)
        let ada = try MailboxMember("Ada", knowing: ["Bo"])
        let bo = try MailboxMember("Bo", knowing: ["Ada"])
        try self.leave([1], 1, by: ada, for: "Bo", at: 1)
        try await ada.visit(node, now: moment(1))
        try await bo.visit(node, now: moment(2))
        #expect(bo.received.map(\.payload) == [[1]])
        #expect(bo.client.counters.unreadable == 512)
        let left = try await node.store.messages(for: identity(of: "Bo"), after: 0, countMax: 10, byteCountMax: 1 << 20, at: moment(2).time)
        #expect(left.isEmpty, "what is of no use was acknowledged as well")
    }

    @Test func `know a coordination's words apart, and one that is told again`() throws {
        let signer = try Sample.secretKey("Ada")
        let enrolment = try Enrolment(network: .regtest, signer: signer, identity: deviceKey(of: "Ada"))
        func message(_ sequence: UInt64, acknowledging: [UInt64] = [], turn: UInt32 = 1, life: UInt8 = 1) -> MailboxMatter? {
            let series = CoordinationMessage.Series(incarnation: [UInt8](repeating: life, count: 16))
            let bytes = CoordinationMessage(
                request: Sample.digest("T0"), series: series, sequence: sequence,
                acknowledged: acknowledging.isEmpty ? nil : .init(series: series, sequences: acknowledging), content: .renewal(turn: turn)
            ).serialized(Roster(members: [enrolment.signer], network: .regtest))
            return MailboxMatter(of: bytes)
        }
        #expect(message(1) == message(1, turn: 2))
        #expect(message(1) != message(1, acknowledging: [4, 5]), "or its acknowledgements would be lost with it")
        #expect(message(1, acknowledging: [4, 5]) != message(1, acknowledging: [4]))
        #expect(message(0, acknowledging: [4])?.isSettled == true)
        #expect(message(1) != message(2))
        #expect(message(1) != message(1, life: 2))
        #expect(message(0, turn: 1) == message(0, turn: 2, life: 2))
        #expect(message(1)?.isSettled == true && message(0)?.isSettled == false)
        #expect(message(1)?.request == Sample.digest("T0"))
        #expect(MailboxMatter(of: [1, 2, 3]) == nil)
    }
}
