import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import SessionStore
import Testing

@testable import Signing
@testable import SigningNode

/// A request's transcript, as anybody gets to see it.
@Suite(.timeLimit(.minutes(15))) struct RequestTranscriptTests {
    /// What the first of two nodes keeps of a request that both signed.
    private func transcript(_ group: NodeGroup) async throws -> RequestTranscript {
        for place in 0..<2 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let digest = try await group.record.policy().digest
        let id = try await group.node(0).propose(transaction, prevouts: coins, group: digest, note: "rent", seconds: 600)
        try await group.request(id, at: 1)
        try await group.node(1).approve(id)
        for place in 0..<2 { #expect(try await group.completion(of: id, at: place) != nil) }
        // What is written last is there when the node has stopped.
        await group.nodes[0]?.stop()
        group.nodes[0] = nil
        let database = try #require(group.databases[0])
        let transcript = try await RequestTranscript(of: String("\(id)".prefix(8)), in: database)
        await group.stopAll()
        return transcript
    }

    @Test func `it tells who said what, reads back, and is cut or changed nowhere unseen`() async throws {
        let group = try NodeGroup(2)
        let transcript = try await self.transcript(group)
        let bytes = transcript.serialized()
        #expect(try RequestTranscript(parsing: bytes) == transcript)
        let audit = try await transcript.audit()
        #expect(audit.terms.note == "rent" && audit.proposer == group.keys[0].signer && audit.threshold == 2)
        #expect(audit.transaction?.txid == audit.request.transaction.txid)
        #expect(audit.unreadable.isEmpty && audit.faults.isEmpty)
        for keys in group.keys {
            #expect(audit.words.contains { $0.signer == keys.signer && $0.meaning == .approved }, "\(audit.words)")
        }
        #expect(audit.words.contains { if case .signed = $0.meaning { true } else { false } })
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: StatementError.self) { try RequestTranscript(parsing: Array(bytes[..<count])) }
        }
        #expect(throws: StatementError.self) { try RequestTranscript(parsing: bytes + [0]) }
        // All from the first entry on is in the chain.
        let entries = transcript.entries.reduce(32) { $0 + $1.bytes.count + 1 }
        for place in stride(from: bytes.count - entries, to: bytes.count, by: 11) {
            var altered = bytes
            altered[place] ^= 0x10
            #expect(throws: StatementError.self) { try RequestTranscript(parsing: altered) }
        }
        // What stands before it is signed, or says nothing: it is refused, or nobody is said to have said more.
        for place in stride(from: 0, to: bytes.count - entries, by: 13) {
            var altered = bytes
            altered[place] ^= 0x10
            guard let other = try? await RequestTranscript(parsing: altered).audit() else { continue }
            #expect(other.id == audit.id && Set(other.words).isSubset(of: audit.words) && other.faults.isEmpty)
        }
    }

    @Test func `evidence in it names whom it convicts, and what is not signed shows nothing`() async throws {
        let group = try NodeGroup(2)
        let transcript = try await self.transcript(group)
        let audit = try await transcript.audit()
        let (request, culprit) = (audit.request, group.keys[1])
        let policy = try await group.record.policy()
        let plan = try SigningPlan(request: request, under: policy)
        func begin(_ number: UInt8) -> Statement {
            culprit.identity.withSecretKey { identity in
                Statement(
                    .begin(incarnation: Array(repeating: 1, count: 16), transcript: SHA256.hash([number])), request: request.digest,
                    attempt: 2,
                    enrolment: culprit.enrolment, identity: identity)
            }
        }
        func with(_ kind: UInt8, _ bytes: [UInt8]) throws -> RequestTranscript {
            var head = transcript.head
            return try RequestTranscript(
                network: .regtest, record: transcript.record, enrolments: transcript.enrolments, proposal: transcript.proposal,
                entries: transcript.entries + [head.append(kind: kind, bytes)])
        }
        let proof = Evidence(plan: plan, attempt: 2, statements: [begin(1), begin(2)])
        let convicted = try await with(5, proof.serialized()).audit()
        #expect(convicted.faults.count == 1 && convicted.faults[0].signer == culprit.signer)
        #expect(convicted.faults[0].fault == .conflictingBegins(attempt: 2) && convicted.unprovedCount == 0)
        let nothing = try await with(5, Evidence(plan: plan, attempt: 2, statements: [begin(1)]).serialized()).audit()
        #expect(nothing.faults.isEmpty && nothing.unprovedCount == 1)
        let place = transcript.head.sequence + 1
        for (kind, bytes) in [(UInt8(5), [7]), (9, []), (1, []), (3, [1, 2, 3])] as [(UInt8, [UInt8])] {
            let strange = try await with(kind, bytes).audit()
            #expect(strange.unreadable == [place] && strange.words == audit.words)
        }
        // Somebody else's group makes nothing of it.
        let other = try NodeGroup(2)
        let foreign = try RequestTranscript(
            network: .regtest, record: other.record, enrolments: transcript.enrolments, proposal: transcript.proposal,
            entries: transcript.entries)
        await #expect(throws: StatementError.self) { try await foreign.audit() }
    }
}
