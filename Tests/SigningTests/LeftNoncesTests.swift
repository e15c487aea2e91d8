import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

private typealias Member = CoordinationGroup.Member

/// Members that reach each other, or a place where something can be left for them, now and then.
private final class Visits {
    let group: CoordinationGroup
    /// Between whom a connection stands while both are there, in either direction.
    var connected: Set<Set<PublicKey>> = []
    /// Who is at its mailbox.
    private var present: Member?
    private var boxes: [PublicKey: [(bytes: [UInt8], from: Member)]] = [:]
    /// Whoever has gone for good is not given time any more either.
    var gone: Set<PublicKey> = []
    /// Whether a message is lost.
    var loses: (Member, Member, CoordinationMessage.Content) -> Bool = { _, _, _ in false }
    /// Approvals that were left for a member before it called, by who left them.
    private(set) var left: [(from: PublicKey, to: PublicKey, approval: Statement)] = []

    init(_ group: CoordinationGroup, connected: [(Int, Int)] = []) {
        self.group = group
        group.isLive = false
        self.connected = Set(connected.map { [group.members[$0.0].key, group.members[$0.1].key] })
        for member in group.members { self.setDistances(of: member) }
    }

    private func setDistances(of member: Member) {
        for other in self.group.members where other !== member {
            let isConnected = self.connected.contains([member.key, other.key])
            member.machine?.setDistance(isConnected ? nil : .seconds(600), of: other.key, now: self.group.moment)
        }
    }

    /// From now on these two are connected, or not any more.
    func connect(_ one: Member, _ other: Member, _ isConnected: Bool) {
        if isConnected { self.connected.insert([one.key, other.key]) } else { self.connected.remove([one.key, other.key]) }
        self.setDistances(of: one)
        self.setDistances(of: other)
        self.run()
    }

    func restart(_ member: Member, approves: Bool = true) throws {
        try self.group.restart(member, approves: approves)
        self.setDistances(of: member)
        self.run()
    }

    /// Everybody does what is due; what cannot be told waits.
    func run() {
        for _ in 0..<100 {
            for member in self.group.members where !self.gone.contains(member.key) { self.group.step(member) }
            var hasMoved = false
            for member in self.group.members {
                let sent = member.sent
                member.sent = []
                for (bytes, to) in sent {
                    guard let receiver = self.group.member(to), let content = self.group.content(bytes) else { continue }
                    if case .approval(turn: 0, _, let approval) = content { self.left.append((member.key, to, approval)) }
                    guard !self.loses(member, receiver, content) else { continue }
                    hasMoved = true
                    if self.connected.contains([member.key, to]), !self.gone.contains(to) {
                        self.group.deliver(bytes, from: member, to: receiver)
                        self.group.step(receiver)
                    } else {
                        self.boxes[to, default: []].append((bytes, member))
                    }
                }
            }
            if let present, let waiting = self.boxes.removeValue(forKey: present.key), !waiting.isEmpty {
                hasMoved = true
                for (bytes, from) in waiting {
                    self.group.deliver(bytes, from: from, to: present)
                    self.group.step(present)
                }
            }
            if !hasMoved { return }
        }
        Issue.record("it goes on for ever")
    }

    /// A member comes, hears what waits for it, says what it has to say, and goes.
    func visit(_ member: Member, approves: Bool = false) {
        self.group.now += .seconds(60)
        self.present = member
        self.run()
        if approves {
            member.machine?.approve(serial: 1)
            self.run()
        }
        self.present = nil
        self.group.now += .seconds(1)
        self.run()
    }

    func isComplete(_ members: [Member]) -> Bool { members.allSatisfy { $0.state == .complete } }
}

/// Nonces that are left for whoever comes last, so that it comes once.
@Suite struct LeftNoncesTests {
    private func group(
        _ count: Int, threshold: Int? = nil, inputs: Int = 1, election: CoordinatorElection = .firstSigner, commitments: Bool = false
    ) throws -> CoordinationGroup {
        try CoordinationGroup(
            count, threshold: threshold, inputs: inputs, election: election, life: 1_000_000, commitments: commitments)
    }

    private func checkNonces(_ group: CoordinationGroup) {
        var transcripts: [PublicNonce: Bytes32] = [:]
        for record in group.members.flatMap(\.records) {
            for nonce in record.nonces {
                #expect(transcripts[nonce] == nil || transcripts[nonce] == record.transcript, "one nonce, two transcripts")
                transcripts[nonce] = record.transcript
            }
        }
        for member in group.members where member.state == .complete {
            #expect(member.transaction?.txid == group.request.transaction.txid)
            let isBlamed = member.events.contains { if case .fault = $0 { true } else { false } }
            #expect(!isBlamed && member.secretNonceCount == 0)
        }
    }

    // MARK: The last signer

    @Test(arguments: [(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (7, 3)], [CoordinatorElection.firstSigner, .lastSigner, .hash])
    func `the last one to agree signs at its one visit, whoever coordinates`(who: (count: Int, last: Int), election: CoordinatorElection)
        throws
    {
        let group = try self.group(who.count, election: election)
        let visits = Visits(group)
        let last = group.members[who.last]
        let others = group.members.filter { $0 !== last }
        // The proposer comes first.
        for member in others.reversed() { visits.visit(member, approves: true) }
        visits.visit(last, approves: true)
        #expect(last.records.count == 1 && last.state == .signing)
        visits.gone = [last.key]
        // Each signs when it comes next, and the last of them has all signatures; a round later everybody has heard.
        for member in others { visits.visit(member) }
        #expect(others.last?.state == .complete)
        for member in others { visits.visit(member) }
        #expect(visits.isComplete(others))
        // One attempt, and no other was begun beside it.
        #expect(group.members.allSatisfy { $0.records.count == 1 })
        #expect(Set(group.members.flatMap(\.records).map(\.transcript)).count == 1)
        self.checkNonces(group)
        // What was left: one message for each pair of which one had agreed and the other had not, but for those who coordinate.
        #expect(visits.left.count <= who.count * (who.count - 1) / 2, "\(visits.left.count)")
    }

    @Test(arguments: [(3, 2), (5, 3), (4, 1), (5, 4)])
    func `the last of a set that suffices comes once, and nobody else is waited for`(count: Int, threshold: Int) throws {
        let group = try self.group(count, threshold: threshold)
        let visits = Visits(group)
        // The first one, who would coordinate, is not among them.
        let set = group.members.suffix(threshold)
        for member in set.reversed() { visits.visit(member, approves: true) }
        let last = try #require(set.first)
        #expect(last.records.count == 1)
        visits.gone = [last.key]
        for _ in 0..<2 { for member in set.dropFirst() { visits.visit(member) } }
        // Who suffices alone does not wait for anybody to come and say so.
        #expect(visits.isComplete(threshold == 1 ? [last] : Array(set.dropFirst())))
        self.checkNonces(group)
    }

    @Test func `those who are connected among themselves finish what the last one has begun`() throws {
        let group = try self.group(3)
        let visits = Visits(group, connected: [(0, 2)])
        let (coordinator, last, proposer) = (group.members[0], group.members[1], group.members[2])
        proposer.machine?.approve(serial: 1)
        coordinator.machine?.approve(serial: 1)
        visits.run()
        visits.visit(last, approves: true)
        #expect(last.records.count == 1)
        visits.gone = [last.key]
        visits.visit(coordinator)
        visits.visit(proposer)
        #expect(visits.isComplete([coordinator, proposer]))
        #expect(group.members.allSatisfy { $0.records.count == 1 })
        self.checkNonces(group)
    }

    @Test func `members that are connected do not wait for a coordinator that is away and that they can do without`() throws {
        let group = try self.group(3, threshold: 2)
        let visits = Visits(group, connected: [(1, 2)])
        group.members[2].machine?.approve(serial: 1)
        visits.run()
        group.members[1].machine?.approve(serial: 1)
        visits.run()
        #expect(visits.isComplete([group.members[1], group.members[2]]))
        #expect(group.members[1].records.count == 1 && group.members[2].records.count == 1)
        self.checkNonces(group)
    }

    @Test func `where the last one is connected with some and gone before the others come, all of them finish`() throws {
        let group = try self.group(4)
        let visits = Visits(group)
        let (last, near) = (group.members[1], group.members[2])
        for place in [3, 2, 0] { visits.visit(group.members[place], approves: true) }
        // It meets one of them, signs with that one over the connection, and goes. The coordinator was never there.
        visits.connect(last, near, true)
        visits.visit(last, approves: true)
        visits.connect(last, near, false)
        #expect(last.records.count == 1 && near.records.count == 1)
        visits.gone = [last.key]
        for _ in 0..<2 { for place in [0, 3, 2] { visits.visit(group.members[place]) } }
        #expect(visits.isComplete([0, 2, 3].map { group.members[$0] }))
        #expect(group.members.allSatisfy { $0.records.count == 1 })
        self.checkNonces(group)
    }

    @Test func `whoever waits in a later turn for one that is away is counted with those who left something for it`() throws {
        let group = try self.group(3)
        let visits = Visits(group)
        let (late, last, proposer) = (group.members[0], group.members[1], group.members[2])
        visits.visit(proposer, approves: true)
        // The coordinator is in the turn of the last one before it says anything: what it offers is for that turn.
        late.machine?.turn = 2
        visits.visit(late, approves: true)
        #expect(visits.left.allSatisfy { $0.from == proposer.key })
        visits.visit(last, approves: true)
        #expect(last.records.count == 1)
        visits.gone = [last.key]
        for _ in 0..<2 { for member in [late, proposer] { visits.visit(member) } }
        #expect(visits.isComplete([late, proposer]))
        self.checkNonces(group)
    }

    // MARK: What is not done

    @Test func `while everybody is connected nothing is left for anybody`() throws {
        let group = try self.group(5, threshold: 3)
        group.approveAll()
        var left = 0
        group.exchange { _, _, bytes in
            if case .approval(turn: 0, _, _) = group.content(bytes) { left += 1 }
            return bytes
        }
        #expect(left == 0 && group.members.allSatisfy { $0.state == .complete && $0.machine?.nonceCounter == 1 })
    }

    @Test func `where nonces are committed to nothing is left, and what somebody leaves is not taken`() throws {
        let group = try self.group(3, commitments: true)
        let visits = Visits(group)
        for place in [2, 1, 0] { visits.visit(group.members[place], approves: true) }
        #expect(visits.left.isEmpty)
        let cheat = group.members[2]
        let name = NonceName(known: cheat.incarnation, counter: 77)
        let commitment = group.say(.commitment(serial: 1, name, SHA256.hash([9])), of: cheat)
        group.deliver(group.message(.approval(turn: 0, highest: 0, commitment), of: cheat), from: cheat, to: group.members[1])
        #expect(group.members[1].machine?.desk[cheat.key]?.left == nil)
    }

    @Test func `nonces that are left for members who are away take no more room than they may`() throws {
        let group = try self.group(8, inputs: 200)
        let visits = Visits(group)
        visits.visit(group.members[7], approves: true)
        // Five sets of 200 are left, and the sixth would be too many; the coordinator has one as ever.
        #expect(group.members[7].machine?.nonceCounter == 6 && visits.left.count == 5)
        #expect(!Coordination.leavesNonces(about: group.request, members: 8))
        #expect(Coordination.leavesNonces(about: group.request, members: 5))
    }

    @Test func `for one that never comes one set is left, however many turns pass, and none stays at the end`() throws {
        let group = try self.group(4, threshold: 2)
        let visits = Visits(group, connected: [(2, 3)])
        // The two that are there never get each other's begin, so that it goes on.
        visits.loses = { _, _, content in if case .begin = content { true } else { false } }
        for place in [3, 2] { group.members[place].machine?.approve(serial: 1) }
        for _ in 0..<40 {
            group.now += .seconds(20_000)
            visits.run()
        }
        #expect(group.members[2].machine?.turn ?? 0 > 8)
        for member in [group.members[2], group.members[3]] {
            for away in [group.members[0], group.members[1]] {
                // It is told again and again, and nobody hears it.
                let mine = visits.left.filter { $0.from == member.key && $0.to == away.key }.map(\.approval)
                #expect(mine.count > 1 && mine.allSatisfy { $0 == mine.first })
                #expect(member.machine?.visits[away.key]?.approval == mine.first)
            }
            // One set for each member, and what is offered in our turn.
            #expect(member.machine?.visits.count ?? 0 <= 4)
            #expect(member.machine?.offers.count ?? 0 <= 5)
            member.machine?.refuse(.withdrawn, serial: 2)
            group.step(member)
            #expect(member.secretNonceCount == 0)
        }
    }

    // MARK: What hostile members gain

    @Test func `whoever leaves nonces over and over holds one place, and an attempt takes one of them`() throws {
        let group = try self.group(3)
        let visits = Visits(group)
        let (coordinator, last, cheat) = (group.members[0], group.members[1], group.members[2])
        visits.visit(coordinator, approves: true)
        let own = cheat.signer
        var approvals: [Statement] = []
        for counter in UInt32(1)...50 {
            let name = NonceName(known: cheat.incarnation, counter: 100 + counter)
            let nonces = try OwnNonces(for: own.key, request: group.request.digest, [.init(index: 0)], attempt: 0, name: name).set
            approvals.append(group.say(.approval(serial: 1, name, nonces.nonces.map(\.bytes)), of: cheat))
        }
        for approval in approvals + approvals {
            group.deliver(group.message(.approval(turn: 0, highest: 0, approval), of: cheat), from: cheat, to: last)
        }
        #expect(last.machine?.desk[cheat.key]?.left == approvals.last)
        #expect(last.machine?.desk[cheat.key]?.approvals.isEmpty == true)
        visits.visit(last, approves: true)
        #expect(last.records.count == 1)
        // Told once more, after they were taken: nothing.
        for approval in approvals.suffix(1) {
            group.deliver(group.message(.approval(turn: 0, highest: 0, approval), of: cheat), from: cheat, to: last)
            #expect(last.machine?.desk[cheat.key]?.left == nil)
        }
        visits.run()
        #expect(last.records.count == 1 && last.machine?.nonceCounter ?? 0 <= 3)
    }

    @Test func `a number that nobody reaches, claimed with what is left, uses up none of ours`() throws {
        let group = try self.group(3, threshold: 2)
        let visits = Visits(group)
        let (last, cheat) = (group.members[1], group.members[2])
        let name = NonceName(known: cheat.incarnation, counter: 1)
        let nonces = try OwnNonces(for: cheat.signer.key, request: group.request.digest, [.init(index: 0)], attempt: 0, name: name).set
        let approval = group.say(.approval(serial: 1, name, nonces.nonces.map(\.bytes)), of: cheat)
        let message = group.message(.approval(turn: 0, highest: Coordination.attemptMax, approval), of: cheat)
        group.deliver(message, from: cheat, to: last)
        visits.visit(last, approves: true)
        #expect(last.records.isEmpty && last.machine?.highestBegun == 0)
    }

    @Test func `what was left for one member no other can take`() throws {
        let group = try self.group(4)
        let visits = Visits(group)
        let (thief, last, proposer) = (group.members[0], group.members[1], group.members[3])
        var stolen: Statement?
        visits.loses = { from, to, content in
            if case .approval(turn: 0, _, let statement) = content, from === proposer, to === last { stolen = statement }
            return false
        }
        visits.visit(proposer, approves: true)
        let taken = try #require(stolen)
        // The thief coordinates turn 1, which the proposer is in, and begins upon nonces that were not for it.
        var approvals: [Statement] = []
        for member in group.members.prefix(3) {
            let name = NonceName(known: member.incarnation, counter: 50)
            let set = try OwnNonces(for: member.signer.key, request: group.request.digest, [.init(index: 0)], attempt: 0, name: name).set
            approvals.append(group.say(.approval(serial: 1, name, set.nonces.map(\.bytes)), of: member))
        }
        approvals.append(taken)
        let plan = try SigningPlan(request: group.request, under: group.policy, set: group.policy.members)
        let sets = try approvals.map { try #require(try $0.nonceSet()) }
        for number in [UInt32(1), 5] {
            let begin = group.say(
                .begin(incarnation: thief.incarnation, transcript: plan.transcript(attempt: number, nonceSets: sets)), attempt: number,
                of: thief)
            group.deliver(group.message(.begin(begin, approvals: approvals), of: thief), from: thief, to: proposer)
            group.step(proposer)
        }
        // Nor may it use the last one's numbers.
        let begin = group.say(
            .begin(incarnation: thief.incarnation, transcript: plan.transcript(attempt: 2, nonceSets: sets)), attempt: 2, of: thief)
        let reception = group.deliver(group.message(.begin(begin, approvals: approvals), of: thief), from: thief, to: proposer)
        let isRefused = if case .refused = reception { true } else { false }
        #expect(isRefused && proposer.records.isEmpty)
        // They are where they were, for whom they are for.
        #expect(proposer.machine?.visits[last.key]?.approval == taken)
        for place in [2, 0] { visits.visit(group.members[place], approves: true) }
        visits.visit(last, approves: true)
        visits.visit(proposer)
        #expect(proposer.records.map(\.attempt) == [2])
    }

    @Test func `whoever was left something begins with it once, whatever it numbers its attempts`() throws {
        let group = try self.group(3)
        let visits = Visits(group)
        let (coordinator, cheat, proposer) = (group.members[0], group.members[1], group.members[2])
        for member in [proposer, coordinator] { visits.visit(member, approves: true) }
        let given = visits.left.filter { $0.to == cheat.key }.map(\.approval)
        #expect(given.map(\.sender) == [proposer.key, coordinator.key])
        let plan = try SigningPlan(request: group.request, under: group.policy, set: group.policy.members)
        for (counter, number) in zip(UInt32(60)..., [UInt32(2), 5, 8, 11]) {
            let name = NonceName(known: cheat.incarnation, counter: counter)
            let set = try OwnNonces(for: cheat.signer.key, request: group.request.digest, [.init(index: 0)], attempt: 0, name: name).set
            let approvals = [given[1], group.say(.approval(serial: 1, name, set.nonces.map(\.bytes)), of: cheat), given[0]]
            let sets = try approvals.map { try #require(try $0.nonceSet()) }
            let begin = group.say(
                .begin(incarnation: cheat.incarnation, transcript: plan.transcript(attempt: number, nonceSets: sets)), attempt: number,
                of: cheat)
            group.deliver(group.message(.begin(begin, approvals: approvals), of: cheat), from: cheat, to: coordinator)
            group.step(coordinator)
        }
        #expect(coordinator.records.map(\.attempt) == [2])
    }

    @Test func `an attempt of the last one and one of the coordinator may both complete, with other nonces each`() throws {
        let group = try self.group(3)
        let visits = Visits(group)
        let (coordinator, last, proposer) = (group.members[0], group.members[1], group.members[2])
        for member in [proposer, coordinator] { visits.visit(member, approves: true) }
        // Its approval gets to the coordinator all the same, as one that went out before: that one begins, too.
        last.machine?.approve(serial: 1)
        group.step(last)
        let offered = last.machine?.offered
        let lastOffer = try #require(offered)
        group.deliver(group.message(.approval(turn: 1, highest: 0, lastOffer), of: last), from: last, to: coordinator)
        visits.run()
        #expect(coordinator.records.map(\.attempt) == [1])
        visits.visit(last)
        #expect(Set(last.records.map(\.attempt)) == [1, 2])
        // Both go to their ends where they are: signatures cross.
        for _ in 0..<3 { for member in [proposer, coordinator, last] { visits.visit(member) } }
        #expect(visits.isComplete(group.members))
        #expect(Set(group.members.flatMap(\.records).map(\.transcript)).count == 2)
        self.checkNonces(group)
    }

    // MARK: Who changes its mind, or starts anew

    @Test func `what somebody left that takes its agreement back is not taken`() throws {
        let group = try self.group(3, threshold: 2)
        let visits = Visits(group)
        let (last, proposer) = (group.members[1], group.members[2])
        visits.visit(proposer, approves: true)
        proposer.machine?.refuse(.withdrawn, serial: 2)
        visits.run()
        visits.visit(last)
        #expect(last.machine?.desk[proposer.key]?.left == nil && last.machine?.progress.holdsNoncesOfASet == false)
        last.machine?.approve(serial: 1)
        visits.run()
        #expect(last.records.isEmpty && proposer.secretNonceCount == 0)
    }

    @Test func `whoever starts anew leaves others, and what it left before is not counted on`() throws {
        let group = try self.group(3)
        let visits = Visits(group)
        let (coordinator, last, proposer) = (group.members[0], group.members[1], group.members[2])
        for member in [proposer, coordinator] { visits.visit(member, approves: true) }
        try visits.restart(proposer)
        visits.visit(proposer)
        visits.visit(last, approves: true)
        visits.gone = [last.key]
        for _ in 0..<2 { for member in [coordinator, proposer] { visits.visit(member) } }
        #expect(visits.isComplete([coordinator, proposer]))
        self.checkNonces(group)
    }

    @Test func `when one of the set has lost its nonces the coordinator is given others, and it goes on`() throws {
        let group = try self.group(3)
        let visits = Visits(group)
        let (coordinator, last, proposer) = (group.members[0], group.members[1], group.members[2])
        for member in [proposer, coordinator] { visits.visit(member, approves: true) }
        visits.visit(last, approves: true)
        #expect(last.records.map(\.attempt) == [2])
        // Its secret nonces are gone with its process, and the begin comes after that.
        try visits.restart(proposer)
        for _ in 0..<5 { for member in [proposer, coordinator, last] { visits.visit(member) } }
        #expect(visits.isComplete(group.members), "\(group.members.map { String(describing: $0.state) })")
        self.checkNonces(group)
    }

    @Test func `the last one to agree knows that it needs nobody, and nobody else does`() throws {
        let group = try self.group(3)
        let visits = Visits(group)
        let (coordinator, last, proposer) = (group.members[0], group.members[1], group.members[2])
        visits.visit(proposer, approves: true)
        visits.visit(last)
        #expect(last.machine?.progress.holdsNoncesOfASet == false)
        visits.visit(coordinator, approves: true)
        visits.visit(last)
        #expect(last.machine?.progress.holdsNoncesOfASet == true)
        #expect(last.machine?.progress.approved == [coordinator.key, proposer.key])
        for member in [coordinator, proposer] { #expect(member.machine?.progress.holdsNoncesOfASet == false) }
        visits.visit(last, approves: true)
        #expect(last.machine?.progress.holdsNoncesOfASet == false)
    }
}
