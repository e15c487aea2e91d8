import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

@Suite struct CoordinationTests {
    private typealias Content = CoordinationMessage.Content

    // MARK: The ordinary course

    @Test(arguments: [(2, 2), (3, 3), (3, 2), (5, 3), (7, 7), (4, 1)])
    func `a group that agrees signs in one attempt`(count: Int, threshold: Int) throws {
        let group = try CoordinationGroup(count, threshold: threshold, inputs: 2)
        group.approveAll()
        group.exchange()
        for member in group.members { #expect(member.state == .complete) }
        #expect(Set(group.members.compactMap { $0.machine?.transaction?.txid }).count == 1)
        #expect(group.members.flatMap(\.records).count == threshold)
        #expect(Set(group.members.flatMap(\.records).map(\.attempt)) == [1])
        // Whoever coordinated broadcasts; the others wait whether it is seen.
        let broadcasters = group.members.filter { $0.events.contains { if case .shouldBroadcast = $0 { true } else { false } } }
        #expect(broadcasters.count == 1)
    }

    @Test func `nobody signs before its person agreed`() throws {
        let group = try CoordinationGroup(3)
        group.members[0].machine?.approve(serial: 1)
        group.members[1].machine?.approve(serial: 1)
        group.exchange()
        group.pass(.seconds(30))
        #expect(group.members.allSatisfy { $0.records.isEmpty })
        #expect(group.members[2].state == .proposed)
        group.members[2].machine?.approve(serial: 1)
        group.pass(.seconds(60))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `two messages for each other member are enough`() throws {
        // The described systems send n(n − 1) messages in each of up to four rounds.
        for count in [3, 7, 15] {
            let group = try CoordinationGroup(count)
            var messages = 0
            group.approveAll()
            group.exchange { _, _, bytes in
                if let content = group.content(bytes), content != .acknowledgement { messages += 1 }
                return bytes
            }
            // Proposal, approval, begin, partial signatures, the end: one each for each other member.
            #expect(messages <= 5 * (count - 1))
        }
    }

    @Test func `what is released is durable first, and is released once it is`() throws {
        let group = try CoordinationGroup(2)
        let slow = group.members[1]
        slow.isJournalUp = false
        group.approveAll()
        var released = 0
        group.exchange { sender, _, bytes in
            if case .partialSignatures = group.content(bytes), sender === slow { released += 1 }
            return bytes
        }
        #expect(released == 0 && slow.waiting.count == 1 && slow.state == .approved)
        slow.isJournalUp = true
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `a decision that cannot be written down costs its attempt and nothing else`() throws {
        let group = try CoordinationGroup(2)
        let other = group.members[1]
        other.isJournalUp = false
        group.approveAll()
        group.exchange()
        let record = try #require(other.waiting.first)
        other.waiting = []
        other.machine?.notRecorded(record)
        other.isJournalUp = true
        group.pass(.seconds(60))
        #expect(group.members.allSatisfy { $0.state == .complete })
        #expect(!other.records.contains(record))
    }

    @Test func `a disk that takes nothing does not have everybody else sign over and over`() throws {
        let group = try CoordinationGroup(3)
        let (broken, other) = (group.members[0], group.members[1])
        broken.isJournalUp = false
        group.approveAll()
        for _ in 0..<80 {
            group.pass(.milliseconds(250))
            for record in broken.waiting { broken.machine?.notRecorded(record) }
            broken.waiting = []
        }
        #expect(other.records.count <= 12, "\(other.records.count)")
        broken.isJournalUp = true
        group.pass(.seconds(120))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    // MARK: Restarts and failures

    @Test func `who lost its disk, and whose clock was set back since, agrees again`() throws {
        let group = try CoordinationGroup(3)
        let member = group.members[2]
        for other in group.members { other.machine?.approve(serial: 1_000) }
        // Its approval came, and nothing could begin.
        group.exchange { _, _, bytes in if case .begin = group.content(bytes) { nil } else { bytes } }
        #expect(group.members[0].events.contains(.joined(member.key)))
        member.records = []
        try group.restart(member, approves: false)
        member.machine?.approve(serial: 5)
        group.pass(.seconds(10))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test(arguments: 0..<3) func `a member that restarts at any time goes on by itself`(place: Int) throws {
        for moment in 0..<12 {
            let group = try CoordinationGroup(3)
            group.approveAll()
            var seen = 0
            var hasRestarted = false
            group.exchange { _, _, bytes in
                seen += 1
                return bytes
            }
            _ = seen
            let again = try CoordinationGroup(3)
            again.approveAll()
            var count = 0
            again.exchange { _, _, bytes in
                count += 1
                if count == moment, !hasRestarted {
                    hasRestarted = true
                    try? again.restart(again.members[place])
                }
                return bytes
            }
            again.pass(.seconds(60))
            #expect(again.members.allSatisfy { $0.state == .complete }, "member \(place) restarted at message \(moment)")
            var transcripts: [PublicNonce: Set<Bytes32>] = [:]
            for record in again.members.flatMap(\.records) {
                for nonce in record.nonces { transcripts[nonce, default: []].insert(record.transcript) }
            }
            #expect(transcripts.values.allSatisfy { $0.count == 1 })
        }
    }

    @Test func `a coordinator that is gone is followed by the next one, at every member`() throws {
        let group = try CoordinationGroup(4, threshold: 2)
        let gone = group.members[0]
        gone.machine = nil
        for member in group.members.dropFirst() { member.machine?.approve(serial: 1) }
        group.pass(.seconds(60))
        for member in group.members.dropFirst() {
            #expect(member.state == .complete)
            #expect(member.events.contains(.coordinatorFailed(gone.key, turn: 1)) || member.machine?.turn == 1)
        }
    }

    @Test func `a coordinator that withholds the end is followed by the next one`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        group.approveAll()
        let cheat = group.members[0]
        let filter: (CoordinationGroup.Member, CoordinationGroup.Member, [UInt8]) -> [UInt8]? = { sender, _, bytes in
            if sender === cheat, case .complete = group.content(bytes) { return nil }
            return bytes
        }
        group.exchange(filter)
        group.pass(.seconds(120), filter)
        #expect(group.members.dropFirst().allSatisfy { $0.state == .complete })
    }

    @Test func `when everybody had a turn it is said, and it goes on`() throws {
        let group = try CoordinationGroup(3)
        group.members[0].machine?.approve(serial: 1)
        group.members[1].machine?.approve(serial: 1)
        group.pass(.seconds(400))
        let exhausted = group.members[0].events.contains { if case .failoverExhausted = $0 { true } else { false } }
        #expect(exhausted)
        group.members[2].machine?.approve(serial: 1)
        group.pass(.seconds(150))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `members whose turns are apart for good sign all the same`() throws {
        let group = try CoordinationGroup(7, threshold: 3)
        // The others are there, and acknowledge, and their people say nothing: nobody's turn ends sooner than anybody else's.
        let willing = [0, 2, 5].map { group.members[$0] }
        for member in willing { member.machine?.approve(serial: 1) }
        willing[1].machine?.turn = 4
        group.pass(.seconds(30))
        #expect(group.members.allSatisfy { $0.state == .complete })
        let attempts = Set(group.members.flatMap(\.records).map(\.attempt))
        #expect(attempts.count == 1, "as many attempts as were needed: \(attempts)")
    }

    @Test func `who is called from another turn signs, with nonces that nobody else has`() throws {
        let group = try CoordinationGroup(4, threshold: 2)
        let (coordinator, visitor) = (group.members[1], group.members[3])
        visitor.machine?.approve(serial: 1)
        group.exchange()
        let before = visitor.machine?.offered
        group.deliver(group.message(.renewal(turn: 2), of: coordinator), from: coordinator, to: visitor)
        group.step(visitor)
        let approvals = visitor.sent.compactMap { bytes, to -> Statement? in
            guard to == coordinator.key, case .approval(turn: 2, highest: 0, let statement) = group.content(bytes) else { return nil }
            return statement
        }
        #expect(approvals.count == 1 && approvals.first != before)
        #expect(visitor.machine?.turn == 1 && visitor.machine?.offered == before)
        // Called again, and by all: one set for each, however often.
        for _ in 0..<20 {
            for caller in group.members.dropLast() {
                let place = UInt32(group.members.firstIndex { $0 === caller } ?? 0)
                group.deliver(group.message(.renewal(turn: place + 5), of: caller), from: caller, to: visitor)
                group.step(visitor)
            }
        }
        #expect(visitor.machine?.offers.count == 4)
        #expect(visitor.machine?.nonceCounter == 4)
        group.members[1].machine?.approve(serial: 1)
        group.pass(.seconds(150))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `the begin of an attempt is told again until it came`() throws {
        // S3, O3: the described READY is told once, and a lost one leaves its receiver waiting for ever.
        let group = try CoordinationGroup(2)
        group.approveAll()
        var lost = 0
        group.exchange { _, _, bytes in
            if case .begin = group.content(bytes), lost < 1 {
                lost += 1
                return nil
            }
            return bytes
        }
        #expect(lost == 1 && group.members[0].state != .complete)
        group.pass(.seconds(5))
        #expect(group.members.allSatisfy { $0.state == .complete })
        #expect(Set(group.members.flatMap(\.records).map(\.attempt)) == [1])
    }

    // MARK: The person's word

    @Test func `a refusal ends what needs all, and names who refused`() throws {
        let group = try CoordinationGroup(3)
        let refuser = group.members[1]
        refuser.machine?.refuse(.rejected, serial: 1)
        group.members[0].machine?.approve(serial: 1)
        group.exchange()
        #expect(refuser.state == .rejected)
        #expect(group.members[0].state == .aborted(.refused([refuser.key])))
        #expect(group.members[2].events.contains(.refused(refuser.key, .rejected)))
    }

    @Test func `where others suffice a refusal ends nothing`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        group.members[1].machine?.refuse(.rejected, serial: 1)
        group.members[0].machine?.approve(serial: 1)
        group.members[2].machine?.approve(serial: 1)
        group.exchange()
        #expect(group.members[0].state == .complete && group.members[2].state == .complete)
        #expect(group.members[1].records.isEmpty)
    }

    @Test func `whoever agrees again after a refusal counts again`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        let member = group.members[0]
        group.deliver(
            group.message(.refusal(group.say(.refusal(serial: 5, .withdrawn), of: group.members[1])), of: group.members[1]),
            from: group.members[1], to: member)
        group.members[1].machine?.approve(serial: 6)
        member.machine?.approve(serial: 1)
        group.exchange()
        #expect(member.state == .complete)
    }

    @Test func `after a partial signature is out, withdrawing says that others may still finish`() throws {
        let group = try CoordinationGroup(2)
        group.approveAll()
        group.exchange { _, _, bytes in
            if case .complete = group.content(bytes) { return nil }
            if case .partialSignatures = group.content(bytes) { return nil }
            return bytes
        }
        let member = group.members[1]
        #expect(member.state == .signing)
        member.machine?.refuse(.withdrawn, serial: 2)
        #expect(member.state == .endedMayStillComplete(.withdrawn))
    }

    @Test func `who waits for a request that has ended for another signer is told so once`() throws {
        let group = try CoordinationGroup(3)
        let (member, refuser, late) = (group.members[0], group.members[1], group.members[2])
        refuser.machine?.refuse(.rejected, serial: 1)
        member.machine?.approve(serial: 1)
        var told = 0
        let filter: (CoordinationGroup.Member, CoordinationGroup.Member, [UInt8]) -> [UInt8]? = { sender, receiver, bytes in
            if case .refusal(let statement) = group.content(bytes), statement.body == .refusal(serial: 2, .aborted) { told += 1 }
            // The two are never connected.
            return sender === refuser && receiver === late ? nil : bytes
        }
        group.exchange(filter)
        #expect(member.state == .aborted(.refused([refuser.key])) && told == 0)
        #expect(late.state == .proposed)
        late.machine?.approve(serial: 1)
        group.pass(.seconds(5), filter)
        // It counts as that signer's own refusal.
        #expect(late.events.contains(.refused(member.key, .aborted)))
        #expect(late.state == .aborted(.refused([member.key])) && told == 1)
        // A process that starts anew without its disk hears it again.
        try group.restart(late)
        group.pass(.seconds(5), filter)
        #expect(late.state == .aborted(.refused([member.key])) && told == 2)
    }

    @Test func `whose partial signatures are out does not say that it ended, for others may complete it`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        let (coordinator, member) = (group.members[0], group.members[1])
        group.exchange { _, _, bytes in
            if case .partialSignatures = group.content(bytes) { return nil }
            return bytes
        }
        #expect(member.state == .signing)
        let refusal = group.message(.refusal(group.say(.refusal(serial: 9, .withdrawn), of: group.members[2])), of: group.members[2])
        group.deliver(refusal, from: group.members[2], to: member)
        group.step(member)
        #expect(member.state == .endedMayStillComplete(.aborted(.refused([group.members[2].key]))))
        var told = 0
        group.pass(.seconds(20)) { sender, _, bytes in
            if sender === member, case .refusal = group.content(bytes) { told += 1 }
            return bytes
        }
        #expect(told == 0 && coordinator.state == .complete)
    }

    @Test func `only the proposer cancels`() throws {
        let group = try CoordinationGroup(3)
        let (member, stranger) = (group.members[0], group.members[1])
        let forged = group.message(.cancellation(group.say(.cancellation, of: stranger)), of: stranger)
        guard case .refused(.notEntitled) = group.deliver(forged, from: stranger, to: member) else {
            Issue.record("a member cancelled what another proposed")
            return
        }
        #expect(member.state == .proposed)
        // Nor does it do so of its own accord.
        stranger.machine?.cancel()
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .proposed })
        group.members[2].machine?.cancel()
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .aborted(.cancelled) })
    }

    @Test func `nothing is signed after the request's time`() throws {
        let group = try CoordinationGroup(2, life: 60)
        group.members[0].machine?.approve(serial: 1)
        group.pass(.seconds(62))
        group.members[1].machine?.approve(serial: 1)
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .expired && $0.records.isEmpty })
    }

    @Test func `the longest wait without others is a deadline, not a poll`() throws {
        let group = try CoordinationGroup(2)
        let member = group.members[0]
        group.step(member)
        let next = member.machine?.nextStepAt
        let due = try #require(next)
        #expect(due > group.now)
    }
}
