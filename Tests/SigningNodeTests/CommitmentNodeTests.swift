import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Signing
import Testing

@testable import SigningNode

/// Nonce commitments over real sockets and disks, and in what is written down of them.
@Suite(.timeLimit(.minutes(15))) struct CommitmentNodeTests {
    @Test(arguments: [(2, nil), (3, 2)] as [(Int, Int?)])
    func `a group that commits to its nonces signs over the network, and every member sees that it does`(
        count: Int, threshold: Int?
    ) async throws {
        let group = try NodeGroup(count, threshold: threshold)
        for place in 0..<count { try await group.start(place) }
        let (transaction, coins) = try await group.spend(inputs: 2)
        let id = try await group.node(0).propose(
            transaction, prevouts: coins, group: try await group.record.policy().digest, seconds: 600, usesNonceCommitments: true)
        for place in 1..<count {
            try await group.request(id, at: place)
            let seen = try #require(try await group.node(place).request(id))
            #expect(seen.request.usesNonceCommitments)
            try await group.node(place).approve(id)
        }
        for place in 0..<count { #expect(try await group.completion(of: id, at: place)?.txid == transaction.txid) }
        // What is written last is there when a node has stopped.
        for place in 0..<count {
            await group.nodes[place]?.stop()
            group.nodes[place] = nil
            let database = try #require(group.databases[place])
            let audit = try await RequestTranscript(of: "\(id)", in: database).audit()
            #expect(audit.unreadable.isEmpty && audit.faults.isEmpty && audit.transaction?.txid == transaction.txid)
            let approved = Set(audit.words.filter { $0.meaning == .approved }.map(\.signer))
            #expect(!approved.isEmpty && approved.isSubset(of: Set(group.keys.map(\.signer))))
        }
        await group.stopAll()
    }

    @Test func `a transcript names who opened other nonces than it had committed to, and who committed twice`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let policy = try await group.record.policy()
        let id = try await group.node(0).propose(
            transaction, prevouts: coins, group: policy.digest, seconds: 600, usesNonceCommitments: true)
        try await group.request(id, at: 1)
        let database = try #require(group.databases[0])
        let transcript = try await RequestTranscript(of: "\(id)", in: database)
        let request = try await transcript.audit().request
        let plan = try SigningPlan(request: request, under: policy)
        let culprit = group.keys[1]
        let name = try #require(NonceName(incarnation: Array(repeating: 3, count: 16), counter: 1))
        func says(_ body: Statement.Body) -> Statement {
            culprit.identity.withSecretKey {
                Statement(body, request: request.digest, attempt: 0, enrolment: culprit.enrolment, identity: $0)
            }
        }
        func faults(_ statements: [Statement]) async throws -> [Evidence.Fault] {
            var head = transcript.head
            let evidence = Evidence(plan: plan, attempt: 0, statements: statements)
            let with = try RequestTranscript(
                network: .regtest, record: transcript.record, enrolments: transcript.enrolments, proposal: transcript.proposal,
                entries: transcript.entries + [head.append(kind: 5, evidence.serialized())])
            let audit = try await RequestTranscript(parsing: with.serialized()).audit()
            #expect(audit.faults.allSatisfy { $0.signer == culprit.signer } && audit.faults.count + audit.unprovedCount == 1)
            return audit.faults.map(\.fault)
        }
        let (first, second) = (says(.commitment(serial: 1, name, SHA256.hash([1]))), says(.commitment(serial: 1, name, SHA256.hash([2]))))
        let opening = says(.approval(serial: 1, name, []))
        #expect(try await faults([first, opening]) == [.wrongOpening(name)])
        #expect(try await faults([first, second]) == [.conflictingCommitments(name)])
        #expect(try await faults([first]).isEmpty)
        #expect(try await faults([opening]).isEmpty)
        await group.stopAll()
    }
}
