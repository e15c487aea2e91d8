import CryptoPrimitives
import Foundation
import LibP2P
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool
@testable import SigningNode

extension NodeServiceTests {
    @Test func `a peer is blocked by its id or by who it is, and listed until it is unblocked`() async throws {
        try await self.serving { service in
            let enrolment = try Enrolment(network: .regtest, signer: Samples.secretKey(1), identity: .generate())
            let card = ContactCard(enrolment, addresses: []).text
            _ = try await self.answer(service, #"{"do":"contact.add","label":"Bob","card":"\#(card)"}"#).get()
            let (bob, other) = (PeerID(of: enrolment.identity), PeerID(of: try Ed25519.SecretKey.generate().publicKey))
            let blocked = try await self.answer(service, #"{"do":"node.block","peer":"Bob","note":"stolen"}"#).get()
            #expect(blocked.first?["peer_id"]?.asText == "\(bob)" && blocked.first?["label"]?.asText == "Bob")
            #expect(blocked.first?["by"]?.asText == "owner" && blocked.first?["is_lasting"]?.asBool == true)
            #expect(blocked.first?["is_member"]?.asBool == false && blocked.first?["note"]?.asText == "stolen")
            _ = try await self.answer(service, #"{"do":"node.block","peer":"\#(other)"}"#).get()
            let listed = try await self.answer(service, #"{"do":"node.blocks"}"#).get()
            #expect(Set(listed.compactMap { $0["peer_id"]?.asText }) == ["\(bob)", "\(other)"])
            let lines = listed.map(BlockWords.line).joined(separator: "\n")
            #expect(lines.contains("\(bob)  Bob, blocked by you, since") && lines.contains(": “stolen”"))
            let labels = listed.map { $0["peer_id"]?.asText == "\(bob)" ? $0["label"]?.asText == "Bob" : $0["label"]?.asText == nil }
            #expect(labels == [true, true])
            for peer in ["Bob", "\(other)"] { _ = try await self.answer(service, #"{"do":"node.unblock","peer":"\#(peer)"}"#).get() }
            #expect(try await self.answer(service, #"{"do":"node.blocks"}"#).get().isEmpty)
            for (request, words) in [
                (#"{"do":"node.unblock","peer":"Bob"}"#, "is not blocked: chorale node blocks"),
                (#"{"do":"node.block","peer":"Bop"}"#, "did you mean Bob?"),
                (#"{"do":"node.block","peer":"\#(service.node.id)"}"#, "this node itself"),
                (#"{"do":"node.block"}"#, "needs \"peer\""),
            ] {
                guard case .failure(let error) = try await self.answer(service, request) else {
                    Issue.record("\(request) is done")
                    continue
                }
                #expect(error.message.contains(words), "\(error.message)")
            }
        }
    }

    @Test func `a lasting block of a member is told with what it means and how it ends`() throws {
        let (peer, signer) = (PeerID(of: try Ed25519.SecretKey.generate().publicKey), Samples.keys(1)[0])
        let names = SignerNames(own: Samples.keys(2)[1], label: nil, contacts: [signer: "Bob"])
        let report = EventReport(event: .blockedLastingly(peer, signer))
        #expect(report.signers == [signer] && report.request == nil)
        #expect(report.json(cursor: 4)["event"]?.asText == "blocked_lastingly" && report.json(cursor: 4)["peer_id"]?.asText == "\(peer)")
        let text = report.text(names)
        #expect(text.contains("Bob") && text.contains("may not be able to sign without it"))
        #expect(text.contains("chorale node unblock \(peer)"))
        #expect(EventReport(event: .blockedLastingly(peer, nil)).text(names).contains("chorale node unblock \(peer)"))
        let paused = PeerBlock(peer: peer, signer: signer, term: .until(.seconds(100)), note: "")
        #expect(BlockWords.line(BlockWords.json(paused, label: nil, now: .seconds(40))).contains("a member, blocked for 60 s"))
        let conduct = PeerBlock(peer: peer, signer: nil, term: .lasting(.conduct, since: 1_800_000_000), note: "")
        #expect(BlockWords.line(BlockWords.json(conduct, label: nil, now: .zero)).contains("for its conduct, again and again, since 2027"))
    }
}

@Suite struct NodeBlockCommandTests {
    @Test(.timeLimit(.minutes(5))) func `a running node is told whom to block, and remembers it when it is started again`() throws {
        let node = try NodeProcess("Ada")
        let peer = "\(PeerID(of: try Ed25519.SecretKey.generate().publicKey))"
        #expect(try node.run("node", "blocks").errors.contains("Nobody is blocked."))
        let blocked = try node.run("node", "block", peer, "--note", "spam")
        #expect(blocked.exitCode == 0 && blocked.output == "Nothing of \(peer) is heard any more.\n", "\(blocked)")
        #expect((try node.json("node", "blocks")["blocks"] as? [[String: Any]])?.first?["peer_id"] as? String == peer)
        #expect(try node.run("node", "blocks").output.contains("\(peer)  blocked by you, since"))
        // It is durable once the command says so.
        node.kill()
        try node.start()
        #expect(try node.run("node", "blocks").output.contains("\(peer)  blocked by you, since"))
        #expect(try node.json("node", "block", peer)["note"] as? String == "")
        #expect(try node.run("node", "unblock", peer).output == "\(peer) is heard again.\n")
        let again = try Tool("node", "unblock", peer, "--home", node.home).run()
        #expect(again.exitCode == 3 && again.errors.contains("is not blocked"))
        #expect(node.interrupt() == 4)
    }
}
