import Foundation
import Testing

@testable import CommandLineTool

/// What is told of requests that are over, by whom they ended, and what is looked at before anybody is asked.
@Suite struct RequestEndsTests {
    @Test(.timeLimit(.minutes(5)))
    func `a request that expired is listed, shown and explained after a restart, for as long as its transcript can be exported`() throws {
        let pair = try NodePair()
        let ada = pair.ada
        let id = try pair.ask(1, "--expires-in", "2")
        try ada.waitFor { $0.contains { $0["event"] as? String == "ended" && $0["request"] as? String == id } }
        ada.kill()
        try ada.start()
        let listed = try #require(try ada.json("request", "list")["requests"] as? [[String: Any]])
        #expect(listed.count == 1 && listed[0]["request"] as? String == id && listed[0]["state"] as? String == "expired")
        #expect(listed[0]["is_over"] as? Bool == true && listed[0]["paid"] as? Int == 40_000)
        #expect(try ada.run("request", "list").output.contains("  expired"))
        let short = String(id.prefix(6))
        #expect(try ada.run("request", "show", short).output.contains("0.00040000 BTC"))
        #expect(try ada.run("explain", short).output.contains("Where it stands: expired."))
        #expect(try ada.run("request", "watch", "--request", short).exitCode == 1)
        #expect(try ada.run("audit", "export", short, "--out", ada.folder.path("said")).exitCode == 0)
        // Without --yes and without a terminal: it is looked at before anything is asked.
        let approved = try ada.run("request", "approve", short)
        #expect(approved.exitCode == 1 && approved.errors.contains("is over: expired"), "\(approved)")
        #expect(approved.errors.contains("somebody asks anew (chorale request new)"))
    }

    @Test(.timeLimit(.minutes(5)))
    func `who refused is named, by the name that it has here, before a restart and after it`() throws {
        let pair = try NodePair()
        let (ada, bob) = (pair.ada, pair.bob)
        let contact = try #require(try bob.json("node", "show")["contact"] as? String)
        #expect(try ada.run("contact", "add", "Robert", contact).exitCode == 0)
        let id = try pair.ask(1)
        try bob.waitFor { $0.contains { $0["request"] as? String == id } }
        #expect(try bob.run("request", "reject", id).exitCode == 0)
        let watched = try ada.run("request", "watch", "--request", id, "--time-limit", "60")
        #expect(watched.exitCode == 1 && watched.errors.contains("refused by Robert ("), "\(watched)")
        ada.kill()
        try ada.start()
        for run in [try ada.run("request", "list"), try ada.run("request", "show", id), try ada.run("explain", id)] {
            #expect(run.output.contains("refused by Robert ("), "\(run)")
        }
        // Whoever is told before being asked needs no terminal.
        let late = try bob.run("request", "approve", id)
        #expect(late.exitCode == 1 && late.errors.contains("is over: rejected by you"), "\(late)")
    }

    @Test(.timeLimit(.minutes(5)))
    func `a complete request says that it is still to be sent, how, and that nobody here knows whether it was`() throws {
        let pair = try NodePair()
        let id = try pair.ask(1)
        try pair.bob.waitFor { $0.contains { $0["request"] as? String == id } }
        #expect(try pair.bob.run("request", "approve", id, "--yes").exitCode == 0)
        #expect(try pair.ada.run("request", "watch", "--request", id, "--time-limit", "60").exitCode == 0)
        let (explained, shown) = (try pair.ada.run("explain", id), try pair.ada.run("request", "show", id))
        for text in [explained.output, shown.errors] {
            let words = text.split { $0.isWhitespace }.joined(separator: " ")
            #expect(words.contains("Somebody still has to send it to the Bitcoin network, for no node of Chorale does."), "\(words)")
            #expect(words.contains("Whether somebody has already, this node cannot know") && words.contains("sendrawtransaction"))
        }
        #expect(!shown.output.contains("sendrawtransaction"), "the transaction stays the last line of the result")
        let again = try pair.bob.run("request", "approve", id)
        #expect(again.exitCode == 1 && again.errors.contains("is over: complete"), "\(again)")
    }

    @Test(.timeLimit(.minutes(5)))
    func `what stands in a request's way is told before its owner is asked`() throws {
        let pair = try NodePair()
        func asked(_ salt: UInt8, _ words: String...) throws -> Transcript {
            try Tool(["request", "new", "--group", "pair", "--psbt", pair.payment(salt), "--home", pair.ada.home] + words).run()
        }
        // A question that there is no terminal for ends with 2.
        #expect(try asked(1).exitCode == 2)
        let few = try asked(1, "--minimum-connected", "1")
        #expect(few.exitCode == 1 && few.errors.contains("ask for 2"), "\(few)")
        let unknown = try asked(1, "--replaces", "abcd")
        #expect(unknown.exitCode == 3 && unknown.errors.contains("nothing can be replaced: there is no request abcd here"), "\(unknown)")
        let id = try pair.ask(1)
        let taken = try asked(1)
        #expect(taken.exitCode == 1 && taken.errors.contains(id), "\(taken)")
        let foreign = try asked(2, "--replaces", id)
        #expect(foreign.exitCode == 1 && foreign.errors.contains("it spends no coin of request \(id)"), "\(foreign)")
    }

    @Test(.timeLimit(.minutes(5))) func `a node tells of groups that are begun, joined, made and called off`() throws {
        let pair = try NodePair()
        func states(_ node: NodeProcess, of name: String) throws -> [String] {
            try node.events().filter { $0["event"] as? String == "group" && $0["name"] as? String == name }.compactMap {
                $0["state"] as? String
            }
        }
        try pair.ada.waitFor { $0.contains { $0["event"] as? String == "group" && $0["state"] as? String == "made" } }
        #expect(try states(pair.ada, of: "pair") == ["inviting", "joined", "made"])
        #expect(try states(pair.bob, of: "pair") == ["joining", "made"])
        let invited = try pair.ada.json("group", "invite", "--name", "other", "--members", "2")
        let invitation = try #require((invited["invitations"] as? [String])?.first)
        #expect(try pair.ada.run("group", "cancel", "other").exitCode == 0)
        try pair.ada.waitFor { $0.contains { $0["name"] as? String == "other" && $0["state"] as? String == "called_off" } }
        let refused = try pair.bob.run("group", "join", invitation, "--yes")
        #expect(refused.exitCode == 1 && refused.errors.contains("ask for a new one"), "\(refused)")
        try pair.bob.waitFor { $0.contains { $0["name"] as? String == "other" && $0["state"] as? String == "refused" } }
        // A restart makes no group again.
        pair.ada.kill()
        try pair.ada.start(["--serve-relay", "--serve-mailbox"])
        #expect(try pair.ada.json("group", "show", "pair")["state"] as? String == "made")
        #expect(try states(pair.ada, of: "pair") == [])
        let shown = try pair.ada.run("node", "show").output
        #expect(shown.contains("a relay, for anybody") && shown.contains("a mailbox, for contacts"), "\(shown)")
        #expect(try pair.ada.json("node", "show")["serves_relay"] as? Bool == true)
        #expect(try pair.bob.json("node", "show")["serves_relay"] as? Bool == false)
    }
}
