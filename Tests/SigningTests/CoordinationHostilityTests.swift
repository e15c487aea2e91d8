import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

/// What members and strangers may try. Names in brackets are those of the weaknesses of the described systems.
@Suite struct CoordinationHostilityTests {
    /// Nonces that nobody keeps the secrets of.
    private func nonces(of key: borrowing SecretKey, request: Bytes32) throws -> NonceSet {
        let name = NonceName(known: [UInt8](repeating: 7, count: NonceName.incarnationByteCount), counter: 1)
        return try OwnNonces(for: key, request: request, [.init(index: 0)], attempt: 0, name: name).set
    }

    private func isRefused(_ reception: CoordinationReception?) -> Bool { if case .refused = reception { true } else { false } }

    @Test func `strangers are not heard`() throws {
        let group = try CoordinationGroup(3)
        let stranger = try CoordinationGroup.Member(try Signer(77))
        group.approveAll()
        group.step(group.members[1])
        let message = try #require(group.members[1].sent.first).bytes
        #expect(group.deliver(message, from: stranger, to: group.members[0]) == .refused(.stranger))
        #expect(group.members[0].state == .approved)
    }

    @Test func `no member ends, completes or aborts a request by saying so`() throws {  // L11, L12, O6
        let group = try CoordinationGroup(3)
        let (cheat, member) = (group.members[0], group.members[1])
        group.approveAll()
        let one = try SchnorrSignature(parsing: [UInt8](repeating: 1, count: 64))
        let set = group.policy.members
        for content: CoordinationMessage.Content in [
            .complete(.init(signers: set, signatures: [])), .complete(.init(signers: set, signatures: [one])),
            .complete(.init(signers: [cheat.key], signatures: [one])), .cancellation(group.say(.cancellation, of: cheat)),
            .refusal(group.say(.cancellation, of: cheat)),
        ] {
            #expect(self.isRefused(group.deliver(group.message(content, of: cheat), from: cheat, to: member)), "\(content)")
        }
        #expect(member.state == .approved)
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `ends that do not verify are looked at a few times and no more`() throws {
        let group = try CoordinationGroup(3)
        let (cheat, member) = (group.members[0], group.members[1])
        group.approveAll()
        let one = try SchnorrSignature(parsing: [UInt8](repeating: 1, count: 64))
        let end = group.message(.complete(.init(signers: group.policy.members, signatures: [one])), of: cheat)
        for _ in 0..<Coordination.falseEndCountMax {
            #expect(self.isRefused(group.deliver(end, from: cheat, to: member)))
        }
        #expect(group.deliver(end, from: cheat, to: member) == .ignored)
        // That one is not heard on this any more; the others are, in their turns.
        group.exchange()
        group.pass(.seconds(120))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `what was verified before is taken as it was, and nothing that only looks like it`() throws {
        let group = try CoordinationGroup(2)
        let (member, other) = (group.members[0], group.members[1])
        group.approveAll()
        let set = try self.nonces(of: member.signer.key, request: group.request.digest)
        let statement = group.say(.approval(serial: 1, set.name, set.nonces.map(\.bytes)), of: member)
        var writer = ByteWriter()
        statement.write(compactTo: &writer, group.roster)
        let (bytes, heard) = (writer.bytes, [member.key: [statement]])
        func read(_ bytes: [UInt8], request: Bytes32) throws -> Statement {
            var reader = ByteReader(bytes)
            return try Statement(compact: &reader, request: request, group.roster, heard: heard)
        }
        #expect(try read(bytes, request: group.request.digest) == statement)
        #expect(throws: StatementError.badSignature(sender: member.key)) { _ = try read(bytes, request: SHA256.hash([9])) }
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                #expect(throws: (any Error).self, "byte \(index), bit \(bit)") { _ = try read(changed, request: group.request.digest) }
            }
        }
        // An enrolment that the roster has is not verified again; one that differs in any bit is, and fails.
        let whole = statement.serialized()
        #expect(try Statement(parsing: whole, group.roster) == statement)
        for index in 1..<(1 + Enrolment.byteCount) {
            var changed = whole
            changed[index] ^= 1
            #expect(throws: StatementError.self, "byte \(index)") { _ = try Statement(parsing: changed, group.roster) }
        }
        let foreign = other.enrolment.serialized()
        let exchanged = Array(whole.prefix(1 + 35)) + Array(foreign[35..<67]) + Array(whole.dropFirst(1 + 67))
        #expect(throws: StatementError.badEnrolment(signer: member.key)) { _ = try Statement(parsing: exchanged, group.roster) }
    }

    @Test func `nobody speaks for another`() throws {  // L10, L13, O4: slots, indices, nonces in another's name
        let group = try CoordinationGroup(3)
        let (cheat, victim, member) = (group.members[1], group.members[2], group.members[0])
        group.approveAll()
        group.step(victim)
        let approval = try #require(
            victim.sent.compactMap { sent -> Statement? in
                if case .approval(_, _, let statement) = group.content(sent.bytes) { statement } else { nil }
            }.first)
        // Signed by the victim, brought by the cheat.
        let brought = group.message(.approval(turn: 1, highest: 0, approval), of: cheat)
        #expect(self.isRefused(group.deliver(brought, from: cheat, to: member)))
        // Its bytes with the victim's place in them, signed by the cheat.
        var forged = group.message(.approval(turn: 1, highest: 0, group.say(approval.body, of: cheat)), of: cheat)
        let place = try #require(group.roster.place(of: victim.key))
        let offset = 1 + 32 + 17 + 1 + 1 + 1 + 2
        #expect(forged[offset] == UInt8(try #require(group.roster.place(of: cheat.key))))
        forged[offset] = UInt8(place)
        #expect(self.isRefused(group.deliver(forged, from: cheat, to: member)))
        #expect(member.events.allSatisfy { if case .joined(victim.key) = $0 { false } else { true } })
    }

    @Test func `only whose turn it is begins an attempt`() throws {  // a forged READY
        let group = try CoordinationGroup(3)
        group.approveAll()
        var begin: [UInt8]?
        group.exchange { sender, _, bytes in
            if case .begin = group.content(bytes) {
                begin = bytes
                return nil
            }
            return bytes
        }
        guard case .begin(let statement, let approvals) = group.content(try #require(begin)) else { return }
        let (cheat, member) = (group.members[2], group.members[1])
        let forged = Statement(
            statement.body, request: statement.request, attempt: statement.attempt, enrolment: cheat.enrolment, identity: cheat.identity)
        #expect(self.isRefused(group.deliver(group.message(.begin(forged, approvals: approvals), of: cheat), from: cheat, to: member)))
        #expect(self.isRefused(group.deliver(try #require(begin), from: cheat, to: member)))
        group.step(member)
        #expect(member.records.isEmpty)
    }

    @Test func `a transcript that is not what it rests on is not signed`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        let coordinator = group.members[0]
        group.exchange { sender, _, bytes in
            guard sender === coordinator, case .begin(let statement, let approvals) = group.content(bytes),
                case .begin(let incarnation, _) = statement.body
            else { return bytes }
            let other = group.say(
                .begin(incarnation: incarnation, transcript: SHA256.hash([9])), attempt: statement.attempt, of: coordinator)
            return group.message(.begin(other, approvals: approvals), of: coordinator)
        }
        #expect(group.members.dropFirst().allSatisfy { $0.records.isEmpty })
    }

    @Test func `one nonce never signs twice, whatever a coordinator begins`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        let (coordinator, member) = (group.members[0], group.members[1])
        group.exchange { _, _, bytes in
            if case .complete = group.content(bytes) { return nil }
            if case .partialSignatures = group.content(bytes) { return nil }
            return bytes
        }
        let first = try #require(member.records.first)
        // The same nonces again, in another attempt of the same coordinator.
        let attempt = try #require(coordinator.machine?.attempts[1])
        for number in [4, 7] as [UInt32] {
            let sets = try attempt.approvals.map { try #require(try $0.nonceSet()) }
            let transcript = attempt.plan.transcript(attempt: number, nonceSets: sets)
            let begin = group.say(.begin(incarnation: coordinator.incarnation, transcript: transcript), attempt: number, of: coordinator)
            group.deliver(group.message(.begin(begin, approvals: attempt.approvals), of: coordinator), from: coordinator, to: member)
            group.step(member)
        }
        #expect(member.records == [first])
    }

    @Test(arguments: ["wrong", "malformed"]) func `a bad partial signature names its signer, with proof for anyone`(kind: String) throws {
        let group = try CoordinationGroup(3)
        let cheat = group.members[2]
        group.approveAll()
        group.exchange { sender, _, bytes in
            guard sender === cheat, case .partialSignatures(let statement) = group.content(bytes),
                case .partialSignatures(let transcript, let items) = statement.body
            else { return bytes }
            let bad = kind == "wrong" ? [UInt8](repeating: 0, count: 31) + [5] : [UInt8](repeating: 0xff, count: 32)
            let said = group.say(.partialSignatures(transcript: transcript, items.map { _ in bad }), attempt: statement.attempt, of: cheat)
            return group.message(.partialSignatures(said), of: cheat)
        }
        for member in group.members.dropLast() {
            #expect(member.state == .endedMayStillComplete(.aborted(.fault([cheat.key]))))
            let proofs = member.events.compactMap { event -> Evidence? in
                if case .fault(cheat.key, _, let evidence) = event { evidence } else { nil }
            }
            let proof = try #require(proofs.first)
            guard case .proved(let signer, _) = try Evidence(parsing: proof.serialized()).verdict() else {
                Issue.record("the evidence proves nothing")
                return
            }
            #expect(signer == cheat.key)
        }
    }

    @Test func `two nonces under one name are a proven fault`() throws {  // equivocation
        let group = try CoordinationGroup(3, threshold: 2)
        let cheat = group.members[2]
        group.approveAll()
        group.step(cheat)
        let approvals = cheat.sent.compactMap { sent -> Statement? in
            if case .approval(_, _, let statement) = group.content(sent.bytes) { statement } else { nil }
        }
        guard case .approval(let serial, let name, _) = try #require(approvals.first).body else { return }
        let other = try SecretNonce(for: cheat.signer.key, extraInput: Bytes32()).publicNonce.bytes
        let second = group.say(.approval(serial: serial, name, [other]), of: cheat)
        group.deliver(group.message(.approval(turn: 1, highest: 0, second), of: cheat), from: cheat, to: group.members[0])
        group.exchange()
        #expect(group.members[0].events.contains { if case .fault(cheat.key, .conflictingNonces, _) = $0 { true } else { false } })
        #expect(group.members[0].state == .complete && group.members[1].state == .complete)
    }

    @Test func `two begins of one attempt are a proven fault, and those of two lives are not`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        let (coordinator, member) = (group.members[0], group.members[1])
        func begin(life: UInt8, _ transcript: UInt8) -> [UInt8] {
            let body = Statement.Body.begin(incarnation: Array(repeating: life, count: 16), transcript: SHA256.hash([transcript]))
            return group.message(.begin(group.say(body, attempt: 1, of: coordinator), approvals: []), of: coordinator)
        }
        group.deliver(begin(life: 1, 1), from: coordinator, to: member)
        group.deliver(begin(life: 2, 2), from: coordinator, to: member)
        group.step(member)
        #expect(!member.events.contains { if case .fault = $0 { true } else { false } })
        group.deliver(begin(life: 2, 3), from: coordinator, to: member)
        group.step(member)
        #expect(member.events.contains { if case .fault(coordinator.key, .conflictingBegins(attempt: 1), _) = $0 { true } else { false } })
    }

    /// A demo of a cheat found it: a member that agreed after the proof had nothing to send to whose turn it was, and so waited for it for
    /// its whole share of the request's life.
    @Test func `who is proved to be at fault has no turn, also before those who agree later`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        let (cheat, honest) = (group.members[0], group.members[1...])
        for member in honest {
            for transcript in [1, 2] as [UInt8] {
                let body = Statement.Body.begin(incarnation: cheat.incarnation, transcript: SHA256.hash([transcript]))
                let begin = CoordinationMessage.Content.begin(group.say(body, attempt: 1, of: cheat), approvals: [])
                group.deliver(group.message(begin, of: cheat), from: cheat, to: member)
            }
            group.step(member)
        }
        for member in honest { member.machine?.approve(serial: 1) }
        group.exchange { sender, _, bytes in sender === cheat ? nil : bytes }
        // At once: no time has passed.
        for member in honest { #expect(member.state == .complete && member.machine?.turn == 2) }
    }

    @Test func `slander proves nothing`() throws {  // a coordinator that frames
        let group = try CoordinationGroup(3)
        group.approveAll()
        let (cheat, victim, member) = (group.members[0], group.members[1], group.members[2])
        group.exchange { _, _, bytes in
            if case .complete = group.content(bytes) { return nil }
            return bytes
        }
        let attempt = cheat.machine?.attempts[1]
        let statements = (attempt?.approvals ?? []) + (attempt?.partials[victim.key].map { [$0] } ?? [])
        let plan = try SigningPlan(request: group.request, under: group.policy)
        for others in [statements, Array(statements.dropFirst()), statements.reversed()] {
            let evidence = Evidence(plan: plan, attempt: 1, statements: others)
            let reception = group.deliver(group.message(.evidence(evidence.serialized()), of: cheat), from: cheat, to: member)
            #expect(self.isRefused(reception))
        }
        group.step(member)
        #expect(!member.events.contains { if case .fault = $0 { true } else { false } })
    }

    @Test func `a message that came again changes nothing`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        var heard: [(from: CoordinationGroup.Member, to: CoordinationGroup.Member, bytes: [UInt8])] = []
        group.exchange { sender, receiver, bytes in
            heard.append((sender, receiver, bytes))
            return bytes
        }
        let before = group.members.map(\.records)
        for (sender, receiver, bytes) in heard + heard.reversed() { group.deliver(bytes, from: sender, to: receiver) }
        group.exchange()
        #expect(group.members.map(\.records) == before)
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `messages in any order lead to the same end`() throws {  // L6, L7: the last to share deadlocks
        for seed in UInt64(0)..<20 {
            var numbers = SeededNumbers(seed: seed)
            let group = try CoordinationGroup(4)
            group.approveAll()
            for member in group.members { group.step(member) }
            for _ in 0..<400 {
                let waiting = group.members.filter { !$0.sent.isEmpty }
                guard let sender = waiting.randomElement(using: &numbers) else { break }
                let place = Int.random(in: sender.sent.indices, using: &numbers)
                let (bytes, to) = sender.sent.remove(at: place)
                let receiver = try #require(group.member(to))
                group.deliver(bytes, from: sender, to: receiver)
                group.step(receiver)
            }
            group.pass(.seconds(5))
            #expect(group.members.allSatisfy { $0.state == .complete }, "seed \(seed)")
        }
    }

    /// Two of five signers whose keys were chosen among thousands so that they come first.
    private func groupWithGroundKeys(_ election: CoordinatorElection) throws -> (group: CoordinationGroup, ground: Set<PublicKey>)? {
        let honest = try (0..<3).map { try Signer($0) }
        func group(_ ground: [Signer]) throws -> (group: CoordinationGroup, ground: Set<PublicKey>) {
            (try CoordinationGroup(5, threshold: 3, election: election, signers: honest + ground), Set(ground.map(\.publicKey)))
        }
        let candidates = try (1_000..<4_000).map { try Signer($0) }
        switch election {
        case .lexicographic, .firstSigner: return try group(Array(candidates.sorted { $0.publicKey < $1.publicKey }.prefix(2)))
        case .lastSigner: return try group(Array(candidates.sorted { $0.publicKey < $1.publicKey }.suffix(2)))
        // The order is by T0, which names the policy and so each key: every pair makes another one.
        case .hash, .proposerFirst:
            for place in stride(from: 0, to: candidates.count, by: 2) {
                let found = try group(Array(candidates[place..<(place + 2)]))
                let order = found.group.members[0].machine?.priority ?? []
                // Whoever proposes comes first there without grinding anything; the others come after.
                let isProposerFirst = election == .proposerFirst
                if Set(order.dropFirst(isProposerFirst ? 1 : 0).prefix(2)) == found.ground,
                    !isProposerFirst || !found.ground.contains(found.group.request.proposer ?? order[0])
                {
                    return found
                }
            }
            return nil
        }
    }

    @Test(arguments: CoordinatorElection.allCases)
    func `keys ground to come first gain a turn each, and no more`(election: CoordinatorElection) throws {  // a key ground to win elections
        let (group, ground) = try #require(try self.groupWithGroundKeys(election))
        let order = group.members[0].machine?.priority ?? []
        #expect(Set(order.dropFirst(election == .proposerFirst ? 1 : 0).prefix(2)) == ground)
        let honest = group.members.filter { !ground.contains($0.key) }
        group.approveAll()
        // Whoever coordinates first and says nothing is passed over.
        let filter: (CoordinationGroup.Member, CoordinationGroup.Member, [UInt8]) -> [UInt8]? = { sender, _, bytes in
            ground.contains(sender.key) ? nil : bytes
        }
        group.exchange(filter)
        let turnCount = election == .proposerFirst ? 0 : ground.count
        #expect(honest.allSatisfy { ($0.state == .complete) == (turnCount == 0) })
        // Each has the shortest patience and no more: a rotation is doubled only when it is over.
        group.pass(CoordinationTiming().patienceMin * turnCount + .seconds(1), filter)
        #expect(honest.allSatisfy { $0.state == .complete && ($0.machine?.turn ?? .max) <= UInt32(1 + turnCount) }, "\(group.now)")
    }

    @Test(arguments: [CoordinatorElection.lexicographic, .hash])
    func `whoever has ground its way to the first turns and answers without beginning has its share of the time`(
        election: CoordinatorElection
    ) throws {
        let life: UInt64 = 600
        let (group, ground) = try #require(try self.groupWithGroundKeys(election))
        let honest = group.members.filter { !ground.contains($0.key) }
        group.approveAll()
        let filter: (CoordinationGroup.Member, CoordinationGroup.Member, [UInt8]) -> [UInt8]? = { sender, _, bytes in
            guard ground.contains(sender.key) else { return bytes }
            return switch group.content(bytes) {
            case .begin, .renewal, .partialSignatures: nil
            default: bytes
            }
        }
        group.exchange(filter)
        // Of a quarter of the request's life all members have the same share.
        let share = Duration.seconds(Int64(life)) / (4 * group.members.count)
        group.pass(share * 2 - .seconds(1), filter)
        #expect(!honest.contains { $0.state == .complete })
        group.pass(.seconds(10), filter)
        #expect(honest.allSatisfy { $0.state == .complete }, "\(group.now)")
    }

    @Test func `turns far ahead, claimed by fewer than could all be honest, are not followed`() throws {
        let group = try CoordinationGroup(4, threshold: 3)
        let (cheat, member) = (group.members[3], group.members[1])
        group.approveAll()
        let far = CoordinationMessage.Standing(turn: 1_000, highest: 900_000, hasApproved: true, asks: false)
        group.deliver(group.message(.standing(far), of: cheat), from: cheat, to: member)
        group.step(member)
        #expect(member.machine?.turn == 1)
        let beyond = CoordinationMessage.Standing(turn: .max, highest: 0, hasApproved: true, asks: false)
        #expect(self.isRefused(group.deliver(group.message(.standing(beyond), of: cheat), from: cheat, to: member)))
        group.exchange()
        #expect(group.members.dropLast().allSatisfy { $0.state == .complete })
    }

    @Test func `whoever claims to have signed attempts beyond all bounds is left out, and stops nobody`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        let (coordinator, cheat) = (group.members[0], group.members[2])
        let set = try self.nonces(of: cheat.signer.key, request: group.request.digest)
        let approval = group.say(.approval(serial: 1, set.name, set.nonces.map(\.bytes)), of: cheat)
        coordinator.machine?.approve(serial: 1)
        group.step(coordinator)
        let said = group.message(.approval(turn: 1, highest: Coordination.attemptMax, approval), of: cheat)
        #expect(group.deliver(said, from: cheat, to: coordinator) == .accepted)
        group.step(coordinator)
        #expect(coordinator.machine?.highestBegun == 0)
        group.members[1].machine?.approve(serial: 1)
        group.exchange()
        #expect(coordinator.state == .complete && group.members[1].state == .complete)
    }

    @Test func `attempts far ahead of one coordinator leave the others their numbers`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        let (coordinator, member) = (group.members[0], group.members[1])
        // As many as it may begin in a turn, signed and led nowhere.
        let nonces = try self.nonces(of: member.signer.key, request: group.request.digest)
        let partial = try PartialSignature(parsing: [UInt8](repeating: 0, count: 31) + [1])
        let record = BurnRecord(
            request: group.request.digest, attempt: 900, signer: member.key, transcript: SHA256.hash([1]),
            contributions: [(nonce: nonces.nonces[0], partialSignature: partial)])
        member.machine?.records[900] = record
        for member in group.members { member.machine?.approve(serial: 1) }
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .complete })
        #expect(coordinator.machine?.highestBegun == 1)
    }

    @Test func `a newer enrolment replaces an identity, and the old one is not heard any more`() throws {
        let group = try CoordinationGroup(2)
        let (member, other) = (group.members[0], group.members[1])
        let identity = try Ed25519.SecretKey.generate()
        let newer = try Enrolment(network: .regtest, signer: other.signer.key, identity: identity, version: 2)
        member.machine?.learn(newer)
        other.machine?.approve(serial: 1)
        group.step(other)
        for (bytes, _) in other.sent {
            #expect(group.deliver(bytes, from: other, to: member) == .refused(.stranger))
        }
        // An older one, or another one of the same version, changes nothing.
        member.machine?.learn(other.enrolment)
        let second = try Enrolment(
            network: .regtest, signer: other.signer.key, identity: try Ed25519.SecretKey.generate(), version: 2)
        member.machine?.learn(second)
        #expect(member.machine?.roster.enrolment(of: other.key) == newer)
    }

    @Test func `whatever bytes come, none trap and none count`() throws {
        let group = try CoordinationGroup(3)
        group.approveAll()
        var heard: [(from: CoordinationGroup.Member, to: CoordinationGroup.Member, bytes: [UInt8])] = []
        group.exchange { sender, receiver, bytes in
            heard.append((sender, receiver, bytes))
            return bytes
        }
        let fresh = try CoordinationGroup(3)
        fresh.approveAll()
        var numbers = SeededNumbers(seed: 5)
        for (sender, receiver, bytes) in heard {
            let (from, to) = (fresh.members.first { $0.key == sender.key }, fresh.members.first { $0.key == receiver.key })
            guard let from, let to else { continue }
            for length in Set((0..<40).map { _ in Int.random(in: 0..<bytes.count, using: &numbers) }) {
                let reception = fresh.deliver(Array(bytes.prefix(length)), from: from, to: to)
                #expect(reception != .accepted || length > 60)
            }
            for _ in 0..<40 {
                var changed = bytes
                changed[Int.random(in: 0..<changed.count, using: &numbers)] ^= 1 << UInt8.random(in: 0..<8, using: &numbers)
                _ = fresh.deliver(changed, from: from, to: to)
            }
        }
        fresh.exchange()
        #expect(fresh.members.allSatisfy { !$0.events.contains { if case .fault = $0 { true } else { false } } })
    }

    @Test func `nonces that differ from coordinator to coordinator are found by whoever is shown both`() throws {
        let group = try CoordinationGroup(4, threshold: 3)
        let (cheat, member) = (group.members[3], group.members[2])
        group.approveAll()
        for other in group.members { group.step(other) }
        let name = NonceName(known: cheat.incarnation, counter: 77)
        // One name, other nonces for each of two coordinators, who show them in their begins.
        for (place, turn) in [(0, 1), (1, 2)] as [(Int, UInt32)] {
            let nonce = try SecretNonce(for: cheat.signer.key, extraInput: Bytes32()).publicNonce.bytes
            let approval = group.say(.approval(serial: 1, name, [nonce]), of: cheat)
            let coordinator = group.members[place]
            let body = Statement.Body.begin(incarnation: coordinator.incarnation, transcript: Bytes32())
            let begin = group.say(body, attempt: turn, of: coordinator)
            group.deliver(group.message(.begin(begin, approvals: [approval]), of: coordinator), from: coordinator, to: member)
        }
        group.step(member)
        #expect(member.events.contains { if case .fault(cheat.key, .conflictingNonces(name), _) = $0 { true } else { false } })
    }

    @Test func `nonces that are none name their signer, whoever passes them on`() throws {
        let group = try CoordinationGroup(3)
        let (coordinator, cheat, member) = (group.members[0], group.members[1], group.members[2])
        group.approveAll()
        let approval = group.say(.approval(serial: 1, Party.name(9), [[UInt8](repeating: 0xff, count: 66)]), of: cheat)
        let begin = group.say(.begin(incarnation: coordinator.incarnation, transcript: Bytes32()), attempt: 1, of: coordinator)
        group.deliver(group.message(.begin(begin, approvals: [approval]), of: coordinator), from: coordinator, to: member)
        group.step(member)
        #expect(member.events.contains { if case .fault(cheat.key, .malformedNonces, _) = $0 { true } else { false } })
    }

    @Test func `a word too long to be shown whole is not taken, and all that is taken can be shown`() throws {
        for excess in [0, 1] {
            let group = try CoordinationGroup(3)
            let (cheat, member, third) = (group.members[1], group.members[0], group.members[2])
            group.approveAll()
            func say(_ count: Int) -> Statement {
                group.say(.approval(serial: 1, Party.name(9), [[UInt8](repeating: 0xff, count: count)]), of: cheat)
            }
            let spare = Statement.byteCountMax - say(90_000).serialized().count
            let statement = say(90_000 + spare + excess)
            #expect(statement.serialized().count == Statement.byteCountMax + excess)
            let reception = group.deliver(
                group.message(.approval(turn: 1, highest: 0, statement), of: cheat), from: cheat, to: member)
            group.step(member)
            let proofs = member.events.compactMap {
                if case .fault(cheat.key, .malformedNonces, let evidence) = $0 { evidence } else { nil }
            }
            if excess > 0 {
                guard case .refused(.malformed(.tooLarge))? = reception else {
                    Issue.record("\(String(describing: reception))")
                    continue
                }
                #expect(proofs.isEmpty)
            } else {
                let proof = try #require(proofs.first).serialized()
                #expect(group.deliver(group.message(.evidence(proof), of: member), from: member, to: third) == .accepted)
            }
        }
    }

    @Test func `what a former life left in a mailbox does not take back what a later one said`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        let (member, other) = (group.members[1], group.members[0])
        let nonces = try self.nonces(of: member.signer.key, request: group.request.digest).nonces.map(\.bytes)
        let left = group.message(
            .approval(turn: 1, highest: 0, group.say(.approval(serial: 5, Party.name(9), nonces), of: member)), of: member)
        member.life += 1
        let said = group.message(.refusal(group.say(.refusal(serial: 6, .withdrawn), of: member)), of: member)
        #expect(group.deliver(said, from: member, to: other) == .accepted)
        #expect(other.machine?.progress.refused == [member.key])
        group.isLive = false
        _ = group.deliver(left, from: member, to: other)
        #expect(other.machine?.progress.refused == [member.key])
        // A life that is there now has the last word, whatever its clock shows.
        group.isLive = true
        member.life += 1
        let again = group.message(
            .approval(turn: 1, highest: 0, group.say(.approval(serial: 4, Party.name(8), nonces), of: member)), of: member)
        _ = group.deliver(again, from: member, to: other)
        #expect(other.machine?.progress.refused == [])
    }

    @Test func `an attempt whose transcript does not come out is worked out once, however often somebody names it`() throws {
        let group = try CoordinationGroup(3)
        let begun = CloneWatch.Begun(
            transcript: Bytes32(), attempt: 1, coordinator: group.members[0].key, approvals: [], plan: nil, byteCount: 100)
        var watch = CloneWatch()
        let isNew = watch.note(begun)
        #expect(isNew)
        var count = 0
        for _ in 0..<10 {
            let found = watch.begun(Bytes32(), attempt: 1) { _ in
                count += 1
                return nil
            }
            #expect(found == nil)
        }
        #expect(count == 1)
    }

    @Test func `an identity whose enrolment has expired is not heard`() throws {
        let group = try CoordinationGroup(2)
        let (member, other) = (group.members[0], group.members[1])
        let short = try Enrolment(
            network: .regtest, signer: other.signer.key, identity: other.identity, version: 2, expiry: CoordinationGroup.start + 30)
        member.machine?.learn(short)
        let said = group.message(.standing(.init(turn: 1, highest: 0, hasApproved: false, asks: false)), of: other)
        #expect(group.deliver(said, from: other, to: member) == .accepted)
        group.now += .seconds(40)
        #expect(self.isRefused(group.deliver(said, from: other, to: member)))
    }

    @Test func `who offers other nonces in place of each answer has nobody sign at its pace`() throws {
        let group = try CoordinationGroup(3, threshold: 2)
        let (coordinator, restless, silent) = (group.members[0], group.members[1], group.members[2])
        coordinator.machine?.approve(serial: 1)
        restless.machine?.approve(serial: 1)
        var counter: UInt32 = 100
        group.pass(.seconds(60)) { from, to, bytes in
            guard from !== silent, to !== silent else { return nil }
            guard from === restless, case .partialSignatures? = group.content(bytes) else { return bytes }
            counter += 1
            guard let nonces = try? ClonedSigner(restless.signer).nonces else { return nil }
            let other = group.say(.approval(serial: 1, NonceName(known: restless.incarnation, counter: counter), nonces), of: restless)
            return group.message(.approval(turn: 1, highest: 0, other), of: restless)
        }
        // Each time it has to wait twice as long.
        #expect((2...12).contains(coordinator.records.count), "\(coordinator.records.count) decisions to sign in a minute")
    }

    @Test func `a coordinator takes again the nonces of a member that left its turn before it signed`() throws {
        // All others are gone, so everything hangs on the one coordinator whose begin came to nobody.
        let group = try CoordinationGroup(2)
        group.approveAll()
        let member = group.members[1]
        var isCut = true
        let filter: (CoordinationGroup.Member, CoordinationGroup.Member, [UInt8]) -> [UInt8]? = { sender, _, bytes in
            if isCut, case .begin = group.content(bytes) { return nil }
            return bytes
        }
        group.exchange(filter)
        group.pass(.seconds(12), filter)
        #expect((member.machine?.turn ?? 0) > 1)
        isCut = false
        group.pass(.seconds(60), filter)
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `long after its time an end is not told again and again`() throws {
        let group = try CoordinationGroup(2, life: 60)
        let (member, gone) = (group.members[0], group.members[1])
        gone.machine = nil
        member.machine?.refuse(.rejected, serial: 1)
        group.step(member)
        #expect(member.machine?.nextStepAt != nil)
        group.now += .seconds(60 + 3_700)
        group.step(member)
        #expect(member.machine?.nextStepAt == nil)
    }
}
