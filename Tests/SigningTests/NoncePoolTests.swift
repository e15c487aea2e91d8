import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

/// Nonces that were given ahead: one round trip, once, and by whom they were for.
@Suite struct NoncePoolTests {
    private typealias Member = CoordinationGroup.Member
    private static let time = CoordinationGroup.start

    /// Members whose last one proposes, with entries of all others at hand.
    private func group(_ count: Int, threshold: Int? = nil, inputs: Int = 1) throws -> CoordinationGroup {
        try CoordinationGroup(count, threshold: threshold, inputs: inputs, election: .proposerFirst)
    }

    /// A member's pool, and what it gives the proposer.
    private func fill(_ member: Member, _ group: CoordinationGroup, for counterparty: Member, count: Int = 1) throws -> [Statement] {
        member.pool = NoncePool(policy: group.policy, roster: group.roster, incarnation: .random())
        let made = member.pool?.fill(for: counterparty.key, count: count, now: Self.time, key: member.signer.key) { body in
            Statement(body, request: group.roster.poolDigest, attempt: 0, enrolment: member.enrolment, identity: member.identity)
        }
        return try #require(made)
    }

    /// The proposer has taken one entry of each of these.
    private func begin(_ group: CoordinationGroup, with members: [Member]) throws -> [Statement] {
        let proposer = try #require(group.members.last)
        let entries = try members.map { try self.fill($0, group, for: proposer)[0] }
        proposer.machine?.begin(withPooled: entries)
        return entries
    }

    private func hasFault(_ group: CoordinationGroup) -> Bool {
        group.members.contains { $0.events.contains { if case .fault = $0 { true } else { false } } }
    }

    @Test(arguments: [(2, 2, 1), (3, 3, 2), (4, 3, 1), (5, 2, 2)])
    func `a proposal and one answer of each are enough`(count: Int, threshold: Int, inputs: Int) throws {
        let group = try self.group(count, threshold: threshold, inputs: inputs)
        let proposer = try #require(group.members.last)
        let set = Array(group.members.prefix(threshold - 1))
        _ = try self.begin(group, with: set)
        var fresh = 0
        func watch(_ from: Member, _ to: Member, _ bytes: [UInt8]) -> [UInt8]? {
            if case .approval? = group.content(bytes), set.contains(where: { $0 === from }) { fresh += 1 }
            return bytes
        }
        // It goes out with the proposal, so it is there when the others agree.
        proposer.machine?.approve(serial: 1)
        group.exchange(watch)
        #expect(set.allSatisfy { $0.asked.isEmpty })
        for member in set { member.machine?.approve(serial: 1) }
        group.exchange(watch)
        #expect(proposer.state == .complete && fresh == 0)
        #expect(group.members.allSatisfy { $0.state == .complete })
        #expect(proposer.events.contains { if case .attemptBegan(1, _) = $0 { true } else { false } })
        for member in set { #expect(member.asked.count == 1 && member.records.map(\.attempt) == [1]) }
    }

    @Test func `nobody signs before its person agreed, and nothing is taken`() throws {
        let group = try self.group(2)
        let member = group.members[0]
        _ = try self.begin(group, with: [member])
        group.members[1].machine?.approve(serial: 1)
        group.exchange()
        #expect(member.asked.isEmpty && member.records.isEmpty)
        member.machine?.refuse(.rejected, serial: 2)
        group.exchange()
        #expect(member.asked.isEmpty && member.records.isEmpty && group.members[1].state != .complete)
    }

    @Test func `an entry that is gone costs a round trip and nothing else`() throws {
        let group = try self.group(3)
        _ = try self.begin(group, with: Array(group.members.prefix(2)))
        // Its process has started anew, and its pool went with the old one.
        group.members[0].pool = nil
        group.approveAll()
        group.exchange()
        group.pass(.seconds(20))
        #expect(group.members.allSatisfy { $0.state == .complete })
        // The proposer signs last, and the first attempt came to nothing before.
        #expect(group.members[2].records.map(\.attempt) == [4] && !self.hasFault(group))
        // The other one signed twice, each time with other nonces.
        let nonces = group.members[1].records.flatMap(\.nonces)
        #expect(Set(nonces).count == nonces.count)
    }

    private func attemptCount(_ member: Member) -> Int {
        member.events.count { if case .attemptBegan = $0 { true } else { false } }
    }

    @Test(arguments: ["refused", "cancelled", "expired"])
    func `a proposal that nobody agreed to leaves no decision to sign behind, whatever becomes of it`(end: String) throws {
        let group = try self.group(2)
        let (member, proposer) = (group.members[0], group.members[1])
        _ = try self.begin(group, with: [member])
        proposer.machine?.approve(serial: 1)
        group.exchange()
        #expect(self.attemptCount(proposer) == 1 && proposer.secretNonceCount == 1)
        let state: CoordinationState
        switch end {
        case "refused":
            member.machine?.refuse(.rejected, serial: 2)
            state = .aborted(.refused([member.key]))
        case "cancelled":
            proposer.machine?.cancel()
            state = .aborted(.cancelled)
        default:
            group.now += .seconds(601)
            state = .expired
        }
        group.exchange()
        // Nobody can finish, so its coins are free.
        #expect(proposer.state == state && proposer.records.isEmpty && proposer.secretNonceCount == 0)
    }

    @Test func `nobody but the proposer begins with what was given ahead, and the request goes on as any other`() throws {
        let group = try self.group(3)
        let (member, other, proposer) = (group.members[0], group.members[1], group.members[2])
        let given = group.say(
            .approval(serial: 1, NonceName(known: other.incarnation, counter: 9), try ClonedSigner(other.signer).nonces), of: other)
        member.machine?.begin(withPooled: [given])
        for member in group.members { member.machine?.approve(serial: 1) }
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .complete } && proposer.records.map(\.attempt) == [1] && !self.hasFault(group))
    }

    @Test func `a person who takes half a minute costs no attempt`() throws {
        let group = try self.group(3)
        let (member, slow, proposer) = (group.members[0], group.members[1], group.members[2])
        _ = try self.begin(group, with: [member, slow])
        for agreed in [proposer, member] {
            agreed.machine?.approve(serial: 1)
            group.exchange()
        }
        group.pass(.seconds(30))
        #expect(member.records.count == 1 && proposer.records.isEmpty)
        #expect(group.members.allSatisfy { $0.machine?.turn == 1 })
        // Who signed has agreed, and who signs last waits for the others.
        let progress = proposer.machine?.progress
        #expect(progress?.approved == group.policy.members.filter { $0 != slow.key } && progress?.awaited == [slow.key])
        slow.machine?.approve(serial: 1)
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .complete && $0.records.map(\.attempt) == [1] })
        #expect(self.attemptCount(proposer) == 1)
    }

    @Test func `where others can take its place, who does not answer is not waited for`() throws {
        let group = try self.group(4, threshold: 3)
        let (silent, proposer) = (group.members[1], group.members[3])
        _ = try self.begin(group, with: Array(group.members.prefix(2)))
        for member in group.members where member !== silent { member.machine?.approve(serial: 1) }
        group.exchange()
        group.pass(.seconds(5))
        // With fresh nonces of those who signed, in the same turn.
        #expect(group.members.allSatisfy { $0.state == .complete && $0.machine?.turn == 1 })
        #expect(proposer.records.map(\.attempt) == [5] && group.members[0].records.map(\.attempt) == [1, 5])
        #expect(!self.hasFault(group))
    }

    @Test func `what a process began that has started anew since takes nothing`() throws {
        let group = try self.group(2)
        let (member, proposer) = (group.members[0], group.members[1])
        _ = try self.begin(group, with: [member])
        proposer.machine?.approve(serial: 1)
        group.exchange()
        try group.restart(proposer)
        group.exchange()
        member.machine?.approve(serial: 1)
        group.exchange()
        group.pass(.seconds(5))
        #expect(member.asked.isEmpty && member.pool?.secretNonceCount == NoncePool.width)
        #expect(group.members.allSatisfy { $0.state == .complete && $0.records.count == 1 })
    }

    @Test func `who is past the turn takes no entry, and wipes one that comes too late`() throws {
        for isPoolUp in [true, false] {
            let group = try self.group(2)
            let (member, proposer) = (group.members[0], group.members[1])
            let entry = try self.begin(group, with: [member])[0]
            member.isPoolUp = isPoolUp
            group.approveAll()
            // The begin does not come, or the pool does not answer, before the turn is over. Nothing comes of the next one either.
            let lose: (Member, Member, [UInt8]) -> [UInt8]? = { _, _, bytes in
                switch group.content(bytes) {
                case .begin?: isPoolUp ? nil : bytes
                case .approval?: nil
                default: bytes
                }
            }
            group.exchange(lose)
            while member.machine?.turn == 1, group.now < .seconds(200) { group.pass(.seconds(1), lose) }
            #expect(member.machine?.turn == 2 && member.asked.count == (isPoolUp ? 0 : 1))
            let count = member.secretNonceCount
            if isPoolUp {
                guard let attempt = proposer.machine?.attempts[1], let begin = attempt.begin else { throw CoordinationGroup.Missing() }
                let approvals = attempt.approvals
                group.deliver(group.message(.begin(begin, approvals: approvals), of: proposer), from: proposer, to: member)
                group.step(member)
                #expect(member.asked.isEmpty && member.pool?.secretNonceCount == NoncePool.width)
            } else {
                group.give(entry, by: proposer.key, to: member)
                #expect(member.pool?.secretNonceCount == 0)
            }
            let name = try #require(entry.namedNonces?.name)
            #expect(member.nonces(named: name).isEmpty && member.secretNonceCount == count && member.records.isEmpty)
        }
    }

    @Test func `an entry that is wider than any is not taken`() throws {
        let group = try self.group(2)
        let (member, proposer) = (group.members[0], group.members[1])
        func approvals(width: Int) throws -> [Statement] {
            let entry = Statement(
                .pooledNonces(
                    until: Self.time + 60, NonceName(known: member.incarnation, counter: 7),
                    try ClonedSigner(member.signer, inputs: width).nonces),
                request: group.roster.poolDigest, attempt: 0, enrolment: member.enrolment, identity: member.identity)
            let own = group.say(
                .approval(serial: 1, NonceName(known: proposer.incarnation, counter: 9), try ClonedSigner(proposer.signer).nonces),
                of: proposer)
            return [entry, own].sorted { $0.sender < $1.sender }
        }
        let plan = try SigningPlan(request: group.request, under: group.policy, set: nil)
        for width in [NoncePool.width + 1, NoncePool.width] {
            let approvals = try approvals(width: width)
            let transcript = try #require(plan.transcript(attempt: 1, of: approvals))
            let begin = group.say(
                .begin(incarnation: [UInt8](repeating: UInt8(width), count: 16), transcript: transcript), attempt: 1, of: proposer)
            let reception = group.deliver(group.message(.begin(begin, approvals: approvals), of: proposer), from: proposer, to: member)
            #expect((reception == .accepted) == (width == NoncePool.width))
        }
    }

    @Test func `only the proposer's first attempt may take what was given ahead`() throws {
        let group = try self.group(3)
        let (member, proposer) = (group.members[0], group.members[2])
        let entry = try self.fill(member, group, for: proposer)[0]
        let others = try [group.members[1], proposer].map { other in
            let nonces = try ClonedSigner(other.signer).nonces
            return group.say(.approval(serial: 1, NonceName(known: other.incarnation, counter: 9), nonces), of: other)
        }
        member.machine?.approve(serial: 1)
        let approvals = ([entry] + others).sorted { $0.sender < $1.sender }
        let plan = try SigningPlan(request: group.request, under: group.policy, set: nil)
        for (attempt, coordinator) in [(UInt32(4), proposer), (2, group.members.first { $0.key == member.machine?.priority[1] } ?? member)]
        {
            guard coordinator !== member else { continue }
            let transcript = try #require(plan.transcript(attempt: attempt, of: approvals))
            let begin = group.say(.begin(incarnation: coordinator.incarnation, transcript: transcript), attempt: attempt, of: coordinator)
            let message = group.message(.begin(begin, approvals: approvals), of: coordinator)
            guard case .refused(.inconsistent)? = group.deliver(message, from: coordinator, to: member) else {
                Issue.record("attempt \(attempt) is taken")
                continue
            }
        }
        group.step(member)
        #expect(member.asked.isEmpty)
    }

    @Test func `a bad signature under nonces that were given ahead is proved as any other`() throws {
        let group = try self.group(2)
        let (cheat, proposer) = (group.members[0], group.members[1])
        _ = try self.begin(group, with: [cheat])
        group.approveAll()
        let one = [UInt8](repeating: 0, count: 31) + [1]
        group.exchange { from, _, bytes in
            guard from === cheat, case .partialSignatures(let statement)? = group.content(bytes),
                case .partialSignatures(let transcript, _) = statement.body
            else { return bytes }
            return group.message(
                .partialSignatures(
                    group.say(.partialSignatures(transcript: transcript, [one]), attempt: statement.attempt, of: cheat)), of: cheat)
        }
        let faults = proposer.events.compactMap { event -> PublicKey? in
            if case .fault(let signer, .invalidPartialSignature, let evidence) = event, case .proved(signer, _) = evidence.verdict() {
                signer
            } else {
                nil
            }
        }
        #expect(faults == [cheat.key])
    }

    // MARK: The pool

    @Test func `an entry is taken once, and by whom it was given to`() throws {
        let group = try self.group(3)
        let (member, one, other) = (group.members[0], group.members[1], group.members[2])
        let entries = try self.fill(member, group, for: one, count: 3)
        #expect(Set(entries.compactMap { $0.namedNonces?.name }).count == 3)
        guard member.pool?.secretNonceCount == 3 * NoncePool.width else { throw CoordinationGroup.Missing() }
        #expect(Self.takes(entries[0], from: member, by: other) == false)
        #expect(Self.takes(entries[0], from: member, by: one) == true)
        #expect(Self.takes(entries[0], from: member, by: one) == false, "a second begin has to do without")
        // What is missing is made anew, under other names.
        let again = member.pool?.fill(for: one.key, count: 3, now: Self.time, key: member.signer.key) { body in
            Statement(body, request: group.roster.poolDigest, attempt: 0, enrolment: member.enrolment, identity: member.identity)
        }
        #expect(again?.count == 3 && again?.contains(entries[0]) == false)
        // Memory that may live twice has none that is good.
        member.pool?.discard(incarnation: .random())
        for entry in entries { #expect(Self.takes(entry, from: member, by: one) == false) }
    }

    @Test func `entries end with their time, at who made them and at who has them`() throws {
        let group = try self.group(2)
        let (member, proposer) = (group.members[0], group.members[1])
        let entries = try self.fill(member, group, for: proposer, count: 2)
        proposer.pool = NoncePool(policy: group.policy, roster: group.roster, incarnation: .random())
        #expect(proposer.pool?.receive(entries, from: member.key, now: Self.time) == true)
        #expect(proposer.pool?.counterparties(inputs: 2, group.roster, now: Self.time) == [member.key])
        #expect(proposer.pool?.counterparties(inputs: 3, group.roster, now: Self.time) == [])
        let late = Self.time + NoncePool.lifetime - NoncePool.margin + 1
        #expect(proposer.pool?.counterparties(inputs: 1, group.roster, now: late) == [])
        #expect(Self.takes(entries[0], from: member, by: proposer, now: Self.time + NoncePool.lifetime + 1) == false)
        #expect(member.pool?.secretNonceCount == 0)
    }

    @Test func `what others give is theirs, well formed, and counts once`() throws {
        let group = try self.group(3)
        let (member, other, proposer) = (group.members[0], group.members[1], group.members[2])
        let entries = try self.fill(member, group, for: proposer, count: 2)
        proposer.pool = NoncePool(policy: group.policy, roster: group.roster, incarnation: .random())
        func pooled(_ until: UInt64, _ items: [[UInt8]], request: Bytes32? = nil, attempt: UInt32 = 0) -> Statement {
            Statement(
                .pooledNonces(until: until, NonceName(known: member.incarnation, counter: 5), items),
                request: request ?? group.roster.poolDigest, attempt: attempt, enrolment: member.enrolment, identity: member.identity)
        }
        let nonces = try ClonedSigner(member.signer, inputs: 2).nonces
        let none = [UInt8](repeating: 0xff, count: 66)
        for strange in [
            pooled(.max, nonces), pooled(Self.time + 60, [nonces[0]]), pooled(Self.time + 60, [none, none]),
            pooled(Self.time + 60, nonces, request: group.request.digest), pooled(Self.time + 60, nonces, attempt: 1),
            group.say(.cancellation, of: member),
        ] {
            #expect(proposer.pool?.receive([strange], from: member.key, now: Self.time) == false)
        }
        #expect(proposer.pool?.receive(entries, from: other.key, now: Self.time) == false, "not its own")
        #expect(proposer.pool?.receive(entries, from: member.key, now: Self.time) == true)
        #expect(proposer.pool?.takeOthers([member.key, other.key], inputs: 1, group.roster, now: Self.time) == nil)
        #expect(proposer.pool?.takeOthers([member.key], inputs: 1, group.roster, now: Self.time)?.count == 1)
        // Told again, what was taken stays taken.
        #expect(proposer.pool?.receive(entries, from: member.key, now: Self.time) == true)
        #expect(proposer.pool?.takeOthers([member.key], inputs: 1, group.roster, now: Self.time)?.count == 1)
        #expect(proposer.pool?.takeOthers([member.key], inputs: 1, group.roster, now: Self.time) == nil)
    }

    @Test func `what was said under an enrolment that counts no more is not taken, and costs nobody else's`() throws {
        let group = try self.group(3)
        let (renewed, other, proposer) = (group.members[0], group.members[1], group.members[2])
        proposer.pool = NoncePool(policy: group.policy, roster: group.roster, incarnation: .random())
        for member in [renewed, other] {
            let entries = try self.fill(member, group, for: proposer)
            #expect(proposer.pool?.receive(entries, from: member.key, now: Self.time) == true)
        }
        var roster = group.roster
        let enrolment = try Enrolment(network: .regtest, signer: renewed.signer.key, identity: .generate(), version: 9)
        #expect(roster.learn(enrolment) == .taken)
        #expect(proposer.pool?.counterparties(inputs: 1, roster, now: Self.time) == [other.key])
        #expect(proposer.pool?.takeOthers([renewed.key, other.key], inputs: 1, roster, now: Self.time) == nil)
        #expect(proposer.pool?.takeOthers([other.key], inputs: 1, roster, now: Self.time)?.count == 1)
    }

    @Test func `what its taker will soon take no more is replaced before, and the newest is given first`() throws {
        let group = try self.group(2)
        let (member, proposer) = (group.members[0], group.members[1])
        let old = try self.fill(member, group, for: proposer, count: 2)
        func fill(_ count: Int, room: Int = .max, after seconds: UInt64) -> [Statement]? {
            member.pool?.fill(for: proposer.key, count: count, room: room, now: Self.time + seconds, key: member.signer.key) { body in
                Statement(body, request: group.roster.poolDigest, attempt: 0, enrolment: member.enrolment, identity: member.identity)
            }
        }
        // Until we look again, both can be taken.
        let late = NoncePool.lifetime - NoncePool.margin - NoncePool.refillInterval
        #expect(fill(2, after: late) == nil)
        #expect(fill(2, room: 0, after: late + 1) == nil)
        #expect(fill(2, room: 1, after: late + 1)?.count == 3)
        let all = try #require(fill(2, after: late + 1))
        #expect(all.count == 4 && Set(all.suffix(2).map { $0.serialized() }) == Set(old.map { $0.serialized() }))
        // As many as its taker takes, however many are there.
        let most = try #require(fill(NoncePool.countMax, after: late + 1))
        #expect(most.count == NoncePool.countMax && !most.contains(old[0]) && !most.contains(old[1]))
        #expect(member.pool?.secretNonceCount == (NoncePool.countMax + 2) * NoncePool.width)
    }

    /// Whether the entry was there. What was taken is wiped.
    private static func takes(_ entry: Statement, from member: Member, by taker: Member, now: UInt64 = Self.time) -> Bool {
        guard var pool = member.pool.take() else { return false }
        let taken = pool.take(entry, by: taker.key, now: now) != nil
        member.pool = consume pool
        return taken
    }
}
