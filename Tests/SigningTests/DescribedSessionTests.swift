import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

/// The described systems' sessions: the three phases, several at a time, and the order in which things may come.
@Suite struct DescribedSessionTests {
    // MARK: Three phases

    @Test func `a request goes from its proposal through nonces and partial signatures to one transaction, and each phase is told`() throws
    {
        let group = try CoordinationGroup(3, inputs: 2)
        let coordinator = group.members[0]
        #expect(group.members.allSatisfy { $0.state == .proposed })
        group.approveAll()
        #expect(group.members.allSatisfy { $0.state == .approved })
        group.exchange()
        var phases: [String] = []
        for event in coordinator.events {
            switch event {
            case .joined: phases.append("joined")
            case .attemptBegan(attempt: 1, let signers):
                #expect(signers == group.members.map(\.key))
                phases.append("began")
            case .partialSignaturesReceived(attempt: 1, _): phases.append("partial signatures")
            case .complete(let transaction, _):
                let plan = try SigningPlan(request: group.request, under: group.policy, set: nil)
                try expectValid(transaction, for: plan)
                phases.append("complete")
            default: continue
            }
        }
        let first = phases.reduce(into: [String]()) { if $0.last != $1 { $0.append($1) } }
        #expect(first == ["joined", "began", "partial signatures", "complete"])
        #expect(phases.filter { $0 == "joined" }.count >= 2 && phases.filter { $0 == "partial signatures" }.count >= 2)
    }

    @Test func `nobody's partial signature is given before all nonces are there, and nothing is complete before all signatures are`() throws
    {
        let group = try CoordinationGroup(3)
        var (approvals, begins, partials) = (0, 0, 0)
        group.approveAll()
        group.exchange { _, _, bytes in
            switch group.content(bytes) {
            case .approval: approvals += 1
            case .begin:
                #expect(approvals >= 2)
                begins += 1
            case .partialSignatures:
                #expect(begins >= 1)
                partials += 1
            case .complete: #expect(partials >= 2)
            default: break
            }
            return bytes
        }
        #expect(partials == 2)
    }

    @Test func `who finds its request after a restart still knows what it decided, and signs with nonces that never were before`() throws {
        let group = try CoordinationGroup(2)
        let member = group.members[1]
        member.machine?.approve(serial: 1)
        group.exchange()
        var seen: Set<PublicNonce> = []
        for _ in 0..<4 {
            try group.restart(member)
            group.exchange { sender, _, bytes in
                if sender === member, case .approval(_, _, let statement) = group.content(bytes),
                    case .approval(_, _, let contributions) = statement.body
                {
                    for nonce in contributions.compactMap({ try? PublicNonce(parsing: $0) }) { #expect(seen.insert(nonce).inserted) }
                }
                return bytes
            }
        }
        #expect(seen.count >= 4)
        group.members[0].machine?.approve(serial: 1)
        group.pass(.seconds(60))
        #expect(group.members.allSatisfy { $0.state == .complete })
    }

    // MARK: Several at once

    @Test func `three requests of one group, woven into each other, complete apart, and no nonce serves two`() throws {
        let groups = try (1...3).map { try CoordinationGroup(3, inputs: $0) }
        for group in groups { group.approveAll() }
        // One step of each in turn: none waits for another.
        for _ in 0..<40 {
            for group in groups {
                for member in group.members {
                    group.step(member)
                    let sent = member.sent
                    member.sent = []
                    for (bytes, to) in sent {
                        guard let receiver = group.member(to) else { continue }
                        group.deliver(bytes, from: member, to: receiver)
                    }
                }
            }
        }
        for group in groups { #expect(group.members.allSatisfy { $0.state == .complete }) }
        let nonces = groups.flatMap(\.members).flatMap(\.records).flatMap { $0.nonces }
        #expect(Set(nonces).count == nonces.count && nonces.count == 3 * (1 + 2 + 3))
        #expect(Set(groups.compactMap { $0.members[0].machine?.transaction?.txid }).count == 3)
    }

    @Test func `one request that ends badly leaves the others beside it alone`() throws {
        let (good, bad) = (try CoordinationGroup(2), try CoordinationGroup(2, inputs: 2))
        good.approveAll()
        bad.members[0].machine?.approve(serial: 1)
        bad.members[1].machine?.refuse(.rejected, serial: 1)
        bad.exchange()
        good.exchange()
        #expect(bad.members[0].state == .aborted(.refused([bad.members[1].key])))
        #expect(good.members.allSatisfy { $0.state == .complete })
    }

    @Test func `two requests for one transaction are two, and what is said in one is nothing in the other`() throws {
        let scene = try Scene(signers: 2, inputs: 1, id: SHA256.hash([1]))
        let again = try Scene(signers: 2, inputs: 1, id: SHA256.hash([2]))
        #expect(scene.plan.request.transaction == again.plan.request.transaction)
        #expect(scene.plan.requestDigest != again.plan.requestDigest)
        let (first, second) = (scene.processes(), again.processes())
        let sets = try first.map { try $0.nonces() }
        _ = try second.map { try $0.nonces() }
        #expect(throws: SigningError.differentRequest(signer: first[1].key)) { try second[0].add(sets[1], from: first[1].key) }
        #expect(throws: SigningError.missingNonces([second[1].key])) { try second[0].sign() }
    }
}
