import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

/// Round 0, in requests that ask for it: what it does, and that it goes on through whatever happens.
@Suite struct CommitmentTests {
    @Test func `a request without options has the bytes that it always had, and one with commitments is another request`() throws {
        let (plain, committed) = (try CoordinationGroup(3).request, try CoordinationGroup(3, commitments: true).request)
        #expect(!plain.usesNonceCommitments && committed.usesNonceCommitments)
        #expect(plain.serialized() + [1] == committed.serialized())
        #expect(plain.digest != committed.digest)
        for request in [plain, committed] {
            let read = try SigningRequest(parsing: request.serialized())
            #expect(read == request && read.digest == request.digest)
        }
        for options: [UInt8] in [[0], [2], [3], [255], [1, 1]] {
            #expect(throws: StatementError.self, "\(options)") { _ = try SigningRequest(parsing: plain.serialized() + options) }
        }
    }

    @Test func `signers who share a folder are told nothing of commitments that are not made there`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let member = group.members[0]
        #expect(throws: SigningError.transaction("signers who share a folder do not commit to their nonces")) {
            _ = try FileExchange(
                request: group.request, policy: group.policy, enrolment: member.enrolment, incarnation: .random(), records: [])
        }
    }

    @Test(arguments: [1, 3], [2, 3, 7])
    func `a group that commits to its nonces signs in one attempt, and each phase waits for the one before`(inputs: Int, count: Int) throws
    {
        let group = try CoordinationGroup(count, inputs: inputs, commitments: true)
        group.approveAll()
        var (commitments, shows, openings, begins, partials) = (0, 0, 0, 0, 0)
        group.exchange { _, _, bytes in
            switch group.content(bytes) {
            case .approval(_, _, let statement):
                #expect(statement.commitment != nil && statement.namedNonces == nil)
                commitments += 1
            case .commitments(let attempt, let statements):
                #expect(attempt == 1 && statements.map(\.sender) == group.policy.members && commitments >= count - 1)
                shows += 1
            case .opening(let attempt, let statement):
                #expect(attempt == 1 && statement.namedNonces?.items.count == inputs && shows >= 1)
                openings += 1
            case .begin:
                #expect(openings >= count - 1)
                begins += 1
            case .partialSignatures:
                #expect(begins >= 1)
                partials += 1
            default: break
            }
            return bytes
        }
        #expect((shows, openings, begins, partials) == (count - 1, count - 1, count - 1, count - 1))
        let plan = try SigningPlan(request: group.request, under: group.policy, set: nil)
        for member in group.members {
            #expect(member.state == .complete && member.records.count == 1)
            try expectValid(#require(member.transaction), for: plan)
            #expect(member.secretNonceCount == 0)
            #expect(member.events.filter { $0 == .commitmentsComplete(attempt: 1, signers: group.policy.members) }.count == 1)
        }
    }

    @Test func `a coordinator that is a whole set by itself needs nobody's word`() throws {
        let group = try CoordinationGroup(3, threshold: 1, commitments: true)
        group.members[0].machine?.approve(serial: 1)
        group.exchange()
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test(arguments: [nil, 2] as [Int?])
    func `members that are never connected at one time sign with commitments, by what lies in mailboxes`(threshold: Int?) throws {
        let group = try CoordinationGroup(3, threshold: threshold, commitments: true)
        group.isLive = false
        group.approveAll()
        for member in group.members {
            for other in group.members where other !== member { member.machine?.setDistance(.seconds(2), of: other.key, now: group.moment) }
        }
        group.exchange()
        group.pass(.seconds(20))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `whoever starts anew between its commitment and its nonces commits to others, and nobody is to blame`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let member = group.members[1]
        group.approveAll()
        // The commitments are shown, and its nonces never leave.
        group.exchange { sender, _, bytes in
            if sender === member, case .opening = group.content(bytes) { nil } else { bytes }
        }
        #expect(member.machine?.opened.count == 1 && group.members.allSatisfy { $0.records.isEmpty })
        try group.restart(member)
        group.exchange()
        group.pass(.seconds(60))
        for each in group.members {
            #expect(each.state == .complete)
            #expect(!each.events.contains { if case .fault = $0 { true } else { false } })
        }
    }

    @Test func `a coordinator that starts anew before it begins shows new commitments, and old nonces are gone`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let (coordinator, member) = (group.members[0], group.members[1])
        group.approveAll()
        group.exchange { sender, _, bytes in
            if case .opening = group.content(bytes) { nil } else { bytes }
        }
        let first = try #require(member.machine?.opened[1]?.approval)
        try group.restart(coordinator)
        group.exchange()
        group.pass(.seconds(60))
        for each in group.members {
            #expect(each.state == .complete && each.secretNonceCount == 0)
            #expect(!each.events.contains { if case .fault = $0 { true } else { false } })
        }
        // What it had shown never signed.
        let nonces = try #require(try first.nonceSet()).nonces
        #expect(member.records.allSatisfy { Set($0.nonces).isDisjoint(with: nonces) })
    }

    @Test func `whoever coordinated before offers the next coordinator nothing beside the nonces that it has shown`() throws {
        let group = try CoordinationGroup(2, commitments: true)
        let (first, second) = (group.members[0], group.members[1])
        group.approveAll()
        // The first turn leads nowhere, and is over for both.
        group.exchange { sender, _, bytes in
            if sender === first, case .commitments = group.content(bytes) { nil } else { bytes }
        }
        var offers = 0
        group.pass(.seconds(30)) { sender, _, bytes in
            switch group.content(bytes) {
            case .commitments(1, _): return nil
            case .approval where sender === first: offers += 1
            default: break
            }
            return bytes
        }
        #expect(first.state == .complete && second.state == .complete)
        #expect(offers == 1 && first.records.count == 1 && second.records.count == 1)
    }

    @Test func `clocks that jump wipe what was shown, and the request goes on`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let member = group.members[2]
        group.approveAll()
        group.exchange { sender, _, bytes in
            if sender === member, case .opening = group.content(bytes) { nil } else { bytes }
        }
        #expect(member.secretNonceCount == 1)
        member.life += 1
        member.sent = []
        member.machine?.discardNonces(incarnation: Incarnation(known: member.incarnation))
        #expect(member.secretNonceCount == 0)
        group.exchange()
        group.pass(.seconds(60))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    @Test func `where more can sign than have to, another attempt begins beside one whose nonces do not come`() throws {
        let group = try CoordinationGroup(4, threshold: 2, commitments: true)
        let silent = group.members[1]
        group.approveAll()
        func loseNonces(_ sender: CoordinationGroup.Member, _ receiver: CoordinationGroup.Member, _ bytes: [UInt8]) -> [UInt8]? {
            if sender === silent, case .opening = group.content(bytes) { nil } else { bytes }
        }
        group.exchange(loseNonces)
        #expect(group.members.allSatisfy { $0.records.isEmpty })
        group.pass(.seconds(10), loseNonces)
        #expect(group.members.allSatisfy { $0.state == .complete })
        // In the first coordinator's turn: its second attempt, of those from whom nothing had come yet.
        #expect(group.members.map { $0.records.map(\.attempt) } == [[], [], [5], [5]])
        #expect(group.members.allSatisfy { !$0.events.contains { if case .fault = $0 { true } else { false } } })
    }

    @Test func `a coordinator that withholds the begin is followed by the next one, with other nonces`() throws {
        let group = try CoordinationGroup(3, commitments: true)
        let coordinator = group.members[0]
        group.approveAll()
        var shown: [PublicKey: Set<[UInt8]>] = [:]
        func withhold(_ sender: CoordinationGroup.Member, _ receiver: CoordinationGroup.Member, _ bytes: [UInt8]) -> [UInt8]? {
            switch group.content(bytes) {
            case .begin where sender === coordinator: return nil
            case .opening(_, let statement): shown[sender.key, default: []].formUnion(statement.namedNonces?.items ?? [])
            default: break
            }
            return bytes
        }
        group.exchange(withhold)
        let first = shown
        group.pass(.seconds(60), withhold)
        #expect(group.members.allSatisfy { $0.state == .complete })
        for member in group.members.dropFirst() {
            let used = Set(member.records.flatMap(\.nonces).map(\.bytes))
            #expect(used.isDisjoint(with: first[member.key] ?? []), "what was shown for one attempt signs no other")
        }
    }

    @Test func `messages that come twice and in any order lead to the same end`() throws {
        for seed in UInt64(0)..<20 {
            var numbers = SeededNumbers(seed: seed)
            let group = try CoordinationGroup(4, threshold: seed % 2 == 0 ? 4 : 3, commitments: true)
            group.approveAll()
            for member in group.members { group.step(member) }
            for _ in 0..<4_000 where !group.members.allSatisfy({ $0.state == .complete }) {
                let talking = group.members.filter { !$0.sent.isEmpty }
                guard let sender = talking.randomElement(using: &numbers) else {
                    group.now += .milliseconds(500)
                    for member in group.members { group.step(member) }
                    continue
                }
                let place = Int.random(in: 0..<sender.sent.count, using: &numbers)
                let (bytes, to) = Int.random(in: 0..<4, using: &numbers) == 0 ? sender.sent[place] : sender.sent.remove(at: place)
                guard let receiver = group.member(to) else { continue }
                group.deliver(bytes, from: sender, to: receiver)
                group.step(receiver)
            }
            #expect(group.members.allSatisfy { $0.state == .complete }, "seed \(seed)")
            for member in group.members {
                #expect(!member.events.contains { if case .fault = $0 { true } else { false } }, "seed \(seed)")
            }
        }
    }
}
