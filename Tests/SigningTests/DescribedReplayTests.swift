import CryptoPrimitives
import Secp256k1
import Testing

@testable import Signing

/// The cases of the described systems' replay protection that need whole machines, by name, and what they leave out.
///
/// `ReplayProtectionTests` holds those of one window of numbers; `docs/described-systems.md` lists all.
@Suite struct DescribedReplayTests {
    /// A request of two that completed, and every message of it.
    private func recorded() throws -> (group: CoordinationGroup, messages: [(sender: Int, receiver: Int, bytes: [UInt8])]) {
        let group = try CoordinationGroup(2)
        var messages: [(Int, Int, [UInt8])] = []
        group.approveAll()
        group.exchange { sender, receiver, bytes in
            let places = [sender, receiver].compactMap { member in group.members.firstIndex { $0 === member } }
            if let from = places.first, let to = places.last { messages.append((from, to, bytes)) }
            return bytes
        }
        #expect(group.members.allSatisfy { $0.state == .complete })
        return (group, messages)
    }

    @Test func `numbers rise by one with each message to a member, from 1, in both directions`() throws {
        let (_, messages) = try self.recorded()
        for sender in 0..<2 {
            let heads = try messages.filter { $0.sender == sender }.map { try CoordinationMessage.Head(parsing: $0.bytes) }
            let numbers = heads.map(\.sequence).filter { $0 != 0 }
            #expect(!numbers.isEmpty)
            #expect(numbers == Array(1...UInt64(max(numbers.count, 1))))
        }
    }

    @Test func `a whole conversation said again changes nothing, in any order`() throws {
        let (group, messages) = try self.recorded()
        let records = group.members.map(\.records)
        var numbers = SeededNumbers(seed: 5)
        for _ in 0..<20 {
            for message in messages.shuffled(using: &numbers) {
                let reception = group.deliver(message.bytes, from: group.members[message.sender], to: group.members[message.receiver])
                #expect(reception == .repeated || reception == .ignored || reception == .accepted)
            }
            for member in group.members { group.step(member) }
        }
        #expect(group.members.map(\.records) == records)
        #expect(group.members.allSatisfy { $0.state == .complete })
        for member in group.members {
            let ends = member.events.filter { if case .complete = $0 { true } else { false } }
            #expect(ends.count == 1)
        }
    }

    @Test func `approvals and nonces of one request count in no other`() throws {
        let (group, messages) = try self.recorded()
        let other = try CoordinationGroup(2, inputs: 2)
        for message in messages {
            let (sender, receiver) = (other.members[message.sender], other.members[message.receiver])
            #expect(other.deliver(message.bytes, from: sender, to: receiver) == .refused(.anotherRequest))
        }
        #expect(other.members.allSatisfy { $0.state == .proposed && $0.records.isEmpty })
        #expect(group.request.digest != other.request.digest)
    }

    @Test func `each request counts its own numbers`() throws {
        let (one, other) = (try CoordinationGroup(2), try CoordinationGroup(2, inputs: 2))
        one.approveAll()
        one.exchange()
        other.approveAll()
        var first: [UInt64] = []
        other.exchange { _, _, bytes in
            if let head = try? CoordinationMessage.Head(parsing: bytes), head.sequence != 0 { first.append(head.sequence) }
            return bytes
        }
        #expect(first.first == 1)
        #expect(other.members.allSatisfy { $0.state == .complete })
    }

    @Test func `what one member said, brought by another, is not its word`() throws {
        let group = try CoordinationGroup(3)
        var approvals: [[UInt8]] = []
        group.approveAll()
        group.exchange { sender, _, bytes in
            if sender === group.members[1], case .approval = group.content(bytes) { approvals.append(bytes) }
            return sender === group.members[1] ? nil : bytes
        }
        let approval = try #require(approvals.first)
        let (cheat, coordinator) = (group.members[2], group.members[0])
        guard case .refused = group.deliver(approval, from: cheat, to: coordinator) else {
            Issue.record("a member's approval was taken from another")
            return
        }
        group.step(coordinator)
        #expect(group.members.allSatisfy { $0.records.isEmpty })
    }

    @Test func `what a former life of a process said is not heard in the next one`() throws {
        let group = try CoordinationGroup(2)
        let (coordinator, member) = (group.members[0], group.members[1])
        var old: [[UInt8]] = []
        member.machine?.approve(serial: 1)
        group.exchange { sender, _, bytes in
            if sender === member { old.append(bytes) }
            return bytes
        }
        try group.restart(member)
        group.exchange()
        #expect(!old.isEmpty)
        for bytes in old {
            #expect(group.deliver(bytes, from: member, to: coordinator) == .ignored)
        }
        coordinator.machine?.approve(serial: 1)
        group.pass(.seconds(30))
        #expect(group.members.allSatisfy { $0.state == .complete })
        // Its first nonces, which are gone, were never asked for a signature.
        #expect(Set(member.records.flatMap { $0.nonces }).count == member.records.reduce(0) { $0 + $1.nonces.count })
    }

    @Test func `what a former life left in a mailbox comes after what the next one said, and does not end it`() throws {
        let group = try CoordinationGroup(2)
        let (coordinator, member) = (group.members[0], group.members[1])
        group.isLive = false
        // A mailbox keeps to itself what the first life says, for a while.
        var held: [[UInt8]] = []
        group.approveAll()
        group.exchange { sender, _, bytes in
            if sender === member { held.append(bytes) }
            return sender === member ? nil : bytes
        }
        #expect(!held.isEmpty)
        try group.restart(member)
        // The second life's greeting is all that comes of it before the mailbox gives what it held, again and again.
        var hasGreeted = false
        group.exchange { sender, _, bytes in
            defer { hasGreeted = hasGreeted || sender === member }
            return sender === member && hasGreeted ? nil : bytes
        }
        for bytes in held + held.reversed() + held { group.deliver(bytes, from: member, to: coordinator) }
        group.pass(.seconds(60))
        #expect(group.members.allSatisfy { $0.state == .complete })
        #expect(Set(member.records.flatMap { $0.nonces }).count == member.records.reduce(0) { $0 + $1.nonces.count })
        #expect(!coordinator.events.contains { if case .fault = $0 { true } else { false } })
    }

    @Test func `a number too far ahead is refused, and what comes in turn is still taken`() throws {
        let group = try CoordinationGroup(2)
        let (coordinator, member) = (group.members[0], group.members[1])
        func message(_ number: UInt64) -> [UInt8] {
            CoordinationMessage(
                request: group.request.digest, series: .init(incarnation: member.incarnation), sequence: number, acknowledged: nil,
                content: .renewal(turn: 2)
            ).serialized(group.roster)
        }
        for number in [101, 5_000, .max] as [UInt64] {
            #expect(group.deliver(message(number), from: member, to: coordinator) == .refused(.sequenceGap))
        }
        #expect(group.deliver(message(100), from: member, to: coordinator) == .accepted)
        #expect(group.deliver(message(100), from: member, to: coordinator) == .repeated)
        #expect(group.deliver(message(1), from: member, to: coordinator) == .accepted)
    }

    @Test func `numbers at the end of their range neither trap nor wrap`() {
        let series = CoordinationMessage.Series(incarnation: Array(repeating: 1, count: 16), epoch: .max)
        var window = ReplayWindow()
        window.note(series, .max)
        #expect(window.judge(series, .max) == .repeated)
        #expect(window.judge(series, .max - 1) == .new(startsAnew: false))
        #expect(window.judge(series, 1) == .stale)
        window.note(series, .max - 127)
        #expect(window.judge(series, .max - 127) == .repeated)
        #expect(window.judge(series, .max - 128) == .stale)
    }
}
