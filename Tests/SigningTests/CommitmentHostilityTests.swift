import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

/// What members and strangers may try where nonces are committed to. Names in brackets are those of the weaknesses of the described systems.
@Suite struct CommitmentHostilityTests {
    private typealias Member = CoordinationGroup.Member

    /// Nonces that nobody keeps the secrets of.
    private func nonces(of member: Member, _ name: NonceName, request: Bytes32) throws -> [[UInt8]] {
        try OwnNonces(for: member.signer.key, request: request, [.init(index: 0)], attempt: 0, name: name).set.nonces.map(\.bytes)
    }

    private func isRefused(_ reception: CoordinationReception?) -> Bool { if case .refused = reception { true } else { false } }

    private func faults(_ member: Member) -> [PublicKey] {
        member.events.compactMap { if case .fault(let signer, _, _) = $0 { signer } else { nil } }
    }

    private func evidence(_ member: Member) throws -> Evidence {
        let found = member.events.compactMap { if case .fault(_, _, let evidence) = $0 { evidence } else { nil } }
        return try #require(found.first)
    }

    /// Up to where all have committed, and nothing of that has been shown.
    private func committed(_ group: CoordinationGroup) -> [(attempt: UInt32, commitments: [Statement], to: PublicKey)] {
        var shows: [(attempt: UInt32, commitments: [Statement], to: PublicKey)] = []
        group.approveAll()
        group.exchange { _, receiver, bytes in
            guard case .commitments(let attempt, let statements) = group.content(bytes) else { return bytes }
            shows.append((attempt, statements, receiver.key))
            return nil
        }
        return shows
    }

    @Test func `nobody is talked into or out of commitments`() throws {
        for usesCommitments in [true, false] {
            let group = try CoordinationGroup(3, commitments: usesCommitments)
            let (coordinator, cheat) = (group.members[0], group.members[1])
            group.approveAll()
            for member in group.members { group.step(member) }
            let name = NonceName(known: cheat.incarnation, counter: 40)
            let nonces = try self.nonces(of: cheat, name, request: group.request.digest)
            let digest = NonceCommitment.digest(of: nonces, name, by: cheat.key, request: group.request.digest)
            let bodies: [Statement.Body] = [.approval(serial: 1, name, nonces), .commitment(serial: 1, name, digest)]
            let (right, wrong) = usesCommitments ? (bodies[1], bodies[0]) : (bodies[0], bodies[1])
            func told(_ body: Statement.Body) -> CoordinationReception? {
                let approval = CoordinationMessage.Content.approval(turn: 1, highest: 0, group.say(body, of: cheat))
                return group.deliver(group.message(approval, of: cheat), from: cheat, to: coordinator)
            }
            #expect(told(wrong) == .refused(.inconsistent("no approval")))
            #expect(told(right) == .accepted)
            guard !usesCommitments else { continue }
            // Neither what a coordinator shows nor what it would get is anything there.
            let show = CoordinationMessage.Content.commitments(attempt: 1, [group.say(bodies[1], of: cheat)])
            #expect(self.isRefused(group.deliver(group.message(show, of: coordinator), from: coordinator, to: cheat)))
            let opening = CoordinationMessage.Content.opening(attempt: 1, group.say(bodies[0], of: cheat))
            #expect(self.isRefused(group.deliver(group.message(opening, of: cheat), from: cheat, to: coordinator)))
        }
    }

    @Test func `a commitment is its signer's alone, for one request, one name and these nonces`() throws {  // O5
        let group = try CoordinationGroup(3, commitments: true)
        let (one, other) = (group.members[0], group.members[1])
        let (name, second) = (NonceName(known: one.incarnation, counter: 1), NonceName(known: one.incarnation, counter: 2))
        let nonces = try self.nonces(of: one, name, request: group.request.digest)
        let digest = NonceCommitment.digest(of: nonces, name, by: one.key, request: group.request.digest)
        let commitment = group.say(.commitment(serial: 1, name, digest), of: one)
        #expect(group.say(.approval(serial: 1, name, nonces), of: one).opens(commitment))
        // The decision that it rests on may be repeated meanwhile.
        #expect(group.say(.approval(serial: 2, name, nonces), of: one).opens(commitment))
        #expect(!group.say(.approval(serial: 1, second, nonces), of: one).opens(commitment))
        #expect(!group.say(.approval(serial: 1, name, nonces + nonces), of: one).opens(commitment))
        #expect(!group.say(.approval(serial: 1, name, []), of: one).opens(commitment))
        #expect(!group.say(.approval(serial: 1, name, nonces), of: other).opens(commitment))
        // The copy of another's commitment: not with its nonces, and with no others.
        let copy = group.say(.commitment(serial: 1, name, digest), of: other)
        #expect(!group.say(.approval(serial: 1, name, nonces), of: other).opens(copy))
        #expect(!group.say(.approval(serial: 1, name, nonces), of: one).opens(copy))
        #expect(digest != NonceCommitment.digest(of: nonces, name, by: one.key, request: SHA256.hash([1])))
    }

    @Test func `whoever copies a commitment cannot open it, is named if it tries, and proves nothing against whom it copied`() throws {
        let group = try CoordinationGroup(3, threshold: 2, commitments: true)
        let (coordinator, cheat, victim) = (group.members[0], group.members[1], group.members[2])
        var copied: Statement?
        var opening: Statement?
        group.approveAll()
        func copy(_ sender: Member, _ receiver: Member, _ bytes: [UInt8]) throws -> [UInt8]? {
            guard sender === cheat else { return bytes }
            switch group.content(bytes) {
            case .approval(let turn, let highest, let statement):
                guard case .commitment(let serial, let name, _) = statement.body, let digest = copied?.commitment?.digest else {
                    return nil
                }
                let own = group.say(.commitment(serial: serial, name, digest), of: cheat)
                return group.message(.approval(turn: turn, highest: highest, own), of: cheat)
            default: return bytes
            }
        }
        // The victim's commitment is seen on its way, and kept from the coordinator.
        group.step(victim)
        copied =
            victim.sent.compactMap { sent -> Statement? in
                if case .approval(_, _, let statement) = group.content(sent.bytes) { statement } else { nil }
            }.first
        #expect(copied?.commitment != nil)
        victim.sent = []
        group.exchange { sender, receiver, bytes in
            if sender === victim { return nil }
            return try? copy(sender, receiver, bytes)
        }
        // The cheat stands in an attempt with a commitment that is the victim's; it opens it with what it can have.
        let attempt = try #require(coordinator.machine?.attempts[1])
        #expect(attempt.commitments.contains { $0.sender == cheat.key && $0.commitment?.digest == copied?.commitment?.digest })
        let name = try #require(attempt.commitments.first { $0.sender == cheat.key }?.commitment?.name)
        let nonces = victim.nonces(named: try #require(copied?.commitment?.name))
        opening = group.say(.approval(serial: 1, name, nonces), of: cheat)
        let message = group.message(.opening(attempt: 1, try #require(opening)), of: cheat)
        #expect(group.deliver(message, from: cheat, to: coordinator) == .accepted)
        group.step(coordinator)
        #expect(self.faults(coordinator) == [cheat.key] && coordinator.records.isEmpty)
        // The others sign without it.
        group.pass(.seconds(30)) { sender, receiver, bytes in sender === cheat || receiver === cheat ? nil : bytes }
        #expect(coordinator.state == .complete && victim.state == .complete)
        #expect(!self.faults(victim).contains(victim.key))
    }

    @Test func `other nonces than were committed to are refused, and prove it to anyone`() throws {
        let group = try CoordinationGroup(3, threshold: 2, commitments: true)
        let (coordinator, cheat) = (group.members[0], group.members[1])
        group.approveAll()
        group.exchange { sender, _, bytes in
            guard sender === cheat, case .opening(let attempt, let statement) = group.content(bytes),
                let name = statement.namedNonces?.name, let other = try? self.nonces(of: cheat, name, request: group.request.digest)
            else { return bytes }
            return group.message(.opening(attempt: attempt, group.say(.approval(serial: 1, name, other), of: cheat)), of: cheat)
        }
        #expect(self.faults(coordinator) == [cheat.key])
        let evidence = try self.evidence(coordinator)
        guard case .proved(cheat.key, .wrongOpening) = evidence.verdict() else {
            Issue.record("\(evidence.verdict())")
            return
        }
        #expect(evidence.statements.count == 2)
        // Anybody who reads the file comes to the same.
        let bytes = evidence.serialized()
        #expect(String(decoding: bytes.prefix(19), as: UTF8.self) == "chorale evidence 2\n")
        let read = try Evidence(parsing: bytes)
        #expect(read == evidence && read.verdict() == evidence.verdict() && read.request.usesNonceCommitments)
        // Of half of it nothing follows.
        for statement in evidence.statements {
            let half = Evidence(plan: try self.plan(group, evidence), attempt: 0, statements: [statement])
            guard case .nothingProved = half.verdict() else {
                Issue.record("\(half.verdict())")
                continue
            }
        }
        group.pass(.seconds(30)) { sender, _, bytes in sender === cheat ? nil : bytes }
        #expect(coordinator.state == .complete && group.members[2].state == .complete)
        #expect(self.faults(group.members[2]).allSatisfy { $0 == cheat.key })
    }

    private func plan(_ group: CoordinationGroup, _ evidence: Evidence) throws -> SigningPlan {
        try SigningPlan(request: group.request, under: group.policy, set: evidence.signers)
    }

    @Test func `a coordinator that has seen the others' nonces cannot take others of its own any more`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let coordinator = group.members[0]
        group.approveAll()
        group.exchange { sender, _, bytes in
            guard sender === coordinator, case .begin(let statement, let approvals) = group.content(bytes),
                case .begin(let incarnation, _) = statement.body, let own = approvals.first(where: { $0.sender == coordinator.key }),
                let name = own.namedNonces?.name, let other = try? self.nonces(of: coordinator, name, request: group.request.digest),
                let plan = try? SigningPlan(request: group.request, under: group.policy, set: nil)
            else { return bytes }
            let changed = approvals.map { $0 == own ? group.say(.approval(serial: 1, name, other), of: coordinator) : $0 }
            let transcript = plan.transcript(attempt: statement.attempt, nonceSets: changed.compactMap { try? $0.nonceSet() })
            let begin = group.say(
                .begin(incarnation: incarnation, transcript: transcript), attempt: statement.attempt, of: coordinator)
            return group.message(.begin(begin, approvals: changed), of: coordinator)
        }
        for member in group.members.dropFirst() {
            #expect(member.records.isEmpty)
            #expect(self.faults(member) == [coordinator.key])
            guard case .proved(coordinator.key, .wrongOpening) = try self.evidence(member).verdict() else {
                Issue.record("not proved")
                continue
            }
        }
    }

    @Test func `nonces are shown to nobody before all of a set have committed`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let shows = self.committed(group)
        #expect(shows.count == 2)
        let (coordinator, member, other) = (group.members[0], group.members[1], group.members[2])
        let commitments = try #require(shows.first?.commitments)
        let foreign = group.say(.commitment(serial: 1, NonceName(known: other.incarnation, counter: 9), SHA256.hash([1])), of: other)
        let tried: [[Statement]] = [
            [], Array(commitments.prefix(2)), Array(commitments.suffix(2)), commitments.reversed(), commitments + [foreign],
            [commitments[1]], [commitments[0], commitments[1], commitments[1]],
            // Nonces in place of a commitment.
            [
                commitments[0], commitments[1],
                group.say(.approval(serial: 1, NonceName(known: other.incarnation, counter: 1), []), of: other),
            ],
        ]
        for statements in tried {
            group.deliver(group.message(.commitments(attempt: 1, statements), of: coordinator), from: coordinator, to: member)
            group.step(member)
            let hasShown = member.sent.contains { if case .opening = group.content($0.bytes) { true } else { false } }
            #expect(!hasShown && member.machine?.opened.isEmpty == true, "\(statements.count) statements")
        }
        // And to nobody but whose turn it is.
        #expect(
            self.isRefused(group.deliver(group.message(.commitments(attempt: 1, commitments), of: other), from: other, to: member)))
        group.deliver(group.message(.commitments(attempt: 3, commitments), of: other), from: other, to: member)
        group.step(member)
        #expect(member.machine?.opened.isEmpty == true)
    }

    @Test func `strangers and other members show nothing and get nothing`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let stranger = try CoordinationGroup.Member(try Signer(77))
        let shows = self.committed(group)
        let (member, other) = (group.members[1], group.members[2])
        let bytes = group.message(.commitments(attempt: 1, try #require(shows.first?.commitments)), of: group.members[0])
        #expect(group.deliver(bytes, from: stranger, to: member) == .refused(.stranger))
        // Nonces for an attempt that is not the receiver's, and in another's name.
        let name = NonceName(known: other.incarnation, counter: 1)
        let nonces = try self.nonces(of: other, name, request: group.request.digest)
        let opening = group.say(.approval(serial: 1, name, nonces), of: other)
        #expect(self.isRefused(group.deliver(group.message(.opening(attempt: 1, opening), of: other), from: other, to: member)))
        #expect(
            self.isRefused(group.deliver(group.message(.opening(attempt: 1, opening), of: member), from: member, to: group.members[0])))
        for attempt in [0, .max] as [UInt32] {
            _ = group.deliver(group.message(.opening(attempt: attempt, opening), of: other), from: other, to: group.members[0])
            _ = group.deliver(group.message(.commitments(attempt: attempt, []), of: group.members[0]), from: group.members[0], to: member)
        }
        // As the coordinator wrote it, brought by somebody else.
        #expect(self.isRefused(group.deliver(bytes, from: other, to: member)))
        group.step(member)
        #expect(member.machine?.opened.isEmpty == true)
    }

    @Test func `two commitments under one name prove a fault, and two names do not`() throws {
        let group = try CoordinationGroup(3, threshold: 2, commitments: true)
        let (coordinator, cheat) = (group.members[0], group.members[1])
        group.approveAll()
        func told(_ counter: UInt32, _ digest: Bytes32) -> CoordinationReception? {
            let body = Statement.Body.commitment(serial: 1, NonceName(known: cheat.incarnation, counter: counter), digest)
            let content = CoordinationMessage.Content.approval(turn: 1, highest: 0, group.say(body, of: cheat))
            return group.deliver(group.message(content, of: cheat), from: cheat, to: coordinator)
        }
        #expect(told(1, SHA256.hash([1])) == .accepted && told(2, SHA256.hash([2])) == .accepted && told(1, SHA256.hash([1])) == .accepted)
        group.step(coordinator)
        #expect(self.faults(coordinator).isEmpty)
        #expect(told(1, SHA256.hash([3])) == .accepted)
        group.step(coordinator)
        #expect(self.faults(coordinator) == [cheat.key])
        let evidence = try Evidence(parsing: self.evidence(coordinator).serialized())
        let name = NonceName(known: cheat.incarnation, counter: 1)
        #expect(evidence.verdict() == .proved(signer: cheat.key, .conflictingCommitments(name)))
    }

    @Test func `whoever tells each member another commitment gets no signature, and is found by whoever sees both`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let shows = self.committed(group)
        let (coordinator, first, second) = (group.members[0], group.members[1], group.members[2])
        let commitments = try #require(shows.first?.commitments)
        // As a coordinator it says that it committed to other nonces, under the same name, to one of them.
        let name = try #require(commitments[0].commitment?.name)
        let other = group.say(.commitment(serial: 1, name, SHA256.hash([5])), of: coordinator)
        group.deliver(group.message(.commitments(attempt: 1, commitments), of: coordinator), from: coordinator, to: first)
        let changed = group.message(.commitments(attempt: 1, [other] + commitments.dropFirst()), of: coordinator)
        group.deliver(changed, from: coordinator, to: second)
        group.step(first)
        group.step(second)
        // Both cannot tell. What begins fits one of the two at most, and is signed by nobody else.
        group.exchange()
        #expect(second.records.isEmpty && self.faults(second) == [coordinator.key])
        guard case .proved(coordinator.key, .wrongOpening) = try self.evidence(second).verdict() else {
            Issue.record("\(try self.evidence(second).verdict())")
            return
        }
    }

    @Test func `another's newer commitment in place of the one that was shown is signed by nobody, and blames nobody`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let shows = self.committed(group)
        let (coordinator, first, second) = (group.members[0], group.members[1], group.members[2])
        let commitments = try #require(shows.first?.commitments)
        group.deliver(group.message(.commitments(attempt: 1, commitments), of: coordinator), from: coordinator, to: first)
        group.step(first)
        let opened = try #require(first.machine?.opened[1]?.approval)
        // The second member's nonces of another name stand in the begin.
        let name = NonceName(known: second.incarnation, counter: 50)
        let late = group.say(.approval(serial: 1, name, try self.nonces(of: second, name, request: group.request.digest)), of: second)
        let ownName = try #require(commitments[0].commitment?.name)
        let own = group.say(.approval(serial: 1, ownName, coordinator.nonces(named: ownName)), of: coordinator)
        let plan = try SigningPlan(request: group.request, under: group.policy, set: nil)
        let approvals = [own, opened, late]
        let transcript = plan.transcript(attempt: 1, nonceSets: try approvals.map { try #require(try $0.nonceSet()) })
        let begin = group.say(.begin(incarnation: coordinator.incarnation, transcript: transcript), attempt: 1, of: coordinator)
        group.deliver(group.message(.begin(begin, approvals: approvals), of: coordinator), from: coordinator, to: first)
        group.step(first)
        #expect(first.records.isEmpty && self.faults(first).isEmpty)
    }

    @Test func `nonces that were shown serve the attempt that they were shown for and no other`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let shows = self.committed(group)
        let (coordinator, member) = (group.members[0], group.members[1])
        let commitments = try #require(shows.first?.commitments)
        func show(_ attempt: UInt32, _ statements: [Statement]) -> [Statement] {
            member.sent = []
            group.deliver(group.message(.commitments(attempt: attempt, statements), of: coordinator), from: coordinator, to: member)
            group.step(member)
            return member.sent.compactMap { if case .opening(attempt, let statement) = group.content($0.bytes) { statement } else { nil } }
        }
        let first = show(1, commitments)
        #expect(first.count == 1)
        // The same shown again changes nothing.
        let again = show(1, commitments)
        #expect(again.isEmpty || again == first)
        #expect(member.machine?.opened[1]?.approval == first.first)
        // In another attempt, or with others' commitments exchanged, it is not shown.
        let other = group.members[2]
        let later = group.say(.commitment(serial: 1, NonceName(known: other.incarnation, counter: 8), SHA256.hash([8])), of: other)
        #expect(show(4, commitments).isEmpty && show(7, commitments).isEmpty)
        #expect(show(1, [commitments[0], commitments[1], later]).isEmpty)
        #expect(member.machine?.opened.count == 1 && member.records.isEmpty)
        // A begin that nothing was shown for is not signed either.
        let approvals = [first[0], first[0], first[0]]
        let begin = group.say(.begin(incarnation: coordinator.incarnation, transcript: SHA256.hash([1])), attempt: 4, of: coordinator)
        group.deliver(group.message(.begin(begin, approvals: approvals), of: coordinator), from: coordinator, to: member)
        group.step(member)
        #expect(member.records.isEmpty)
    }

    @Test func `whatever a coordinator shows, the nonces that it can have shown to it are few`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let shows = self.committed(group)
        let (coordinator, member, other) = (group.members[0], group.members[1], group.members[2])
        let commitments = try #require(shows.first?.commitments)
        for round in UInt32(0)..<100 {
            guard let own = member.machine?.offered else { break }
            let attempt = 1 + 3 * round
            let late = group.say(
                .commitment(serial: 1, NonceName(known: other.incarnation, counter: 100 + round), SHA256.hash([8])), of: other)
            let statements = [commitments[0], own, late]
            group.deliver(group.message(.commitments(attempt: attempt, statements), of: coordinator), from: coordinator, to: member)
            group.step(member)
            group.deliver(group.message(.renewal(turn: 1), of: coordinator), from: coordinator, to: member)
            group.step(member)
            #expect(member.secretNonceCount <= 5)
        }
        #expect(member.machine?.turnCount == Coordination.attemptsOfTurnMax)
        #expect(member.records.isEmpty && self.faults(member).isEmpty)
    }
}
