import Bitcoin
import Foundation
import Testing

@testable import CommandLineTool

/// What somebody stumbles over who does it for the first time.
@Suite struct NewcomerTests {
    @Test(.timeLimit(.minutes(4)))
    func `a payment is made of a group's name, asked for, agreed to by a program, and too late to take back`() throws {
        let pair = try NodePair()
        let (ada, bob) = (pair.ada, pair.bob)
        let coin = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b:0:80000"
        let recipient = try #require(Address(scriptPubKey: .payToTaproot(NodePair.recipient), network: .regtest)).text
        let file = ada.folder.path("payment.psbt")
        let made = try ada.run(
            "psbt", "create", "--group", "pair", "--spend", coin, "--pay", "\(recipient):50000", "--fee-rate", "2", "--out", file)
        #expect(made.exitCode == 0 && made.errors.contains("chorale request new --group pair --psbt"), "\(made)")
        #expect(made.errors.contains(pair.address))
        // What says the same is no contradiction, what says something else is.
        func refused(_ words: String..., says part: String) throws {
            let run = try Tool(
                ["psbt", "create", "--spend", coin, "--pay", "\(recipient):50000", "--fee-rate", "2", "--home", ada.home] + words
            ).run()
            #expect(run.exitCode == 2 && run.output == "" && run.errors.contains(part), "\(run)")
        }
        try refused("--group", "pair", "--threshold", "2", says: "leave --threshold away")
        try refused("--group", "pair", "--network", "signet", says: "is on regtest")
        try refused("--group", "pair", "--signers", "signers.txt", says: "--signers")
        try refused("--network", "regtest", says: "--group")

        let asked = try ada.run("request", "new", "--group", "pair", "--psbt", file, "--yes", "--json")
        #expect(asked.exitCode == 0 && asked.errors == "", "\(asked)")
        let id = try #require(try asked.json()["request"] as? String)
        try bob.waitFor { $0.contains { $0["event"] as? String == "requested" && $0["request"] as? String == id } }
        let agreed = try bob.run("request", "approve", id, "--yes", "--json")
        #expect(agreed.exitCode == 0 && agreed.errors == "" && agreed.outputLines.count == 1, "\(agreed)")
        #expect(try bob.run("request", "watch", "--request", id, "--time-limit", "60").exitCode == 0)
        let late = try bob.run("request", "withdraw", id)
        let short = id.prefix(8)
        let text =
            "request \(short) is over: complete. Nothing is left to decide; the signed transaction is shown by: chorale request show \(short)"
        #expect(late.exitCode == 1 && late.errors == "chorale: \(text)\n", "\(late)")
    }

    @Test(.timeLimit(.minutes(4)))
    func `a node says which groups it serves, a second one says that it runs, and a group that is there is not asked for again`() throws {
        let pair = try NodePair()
        let (ada, bob) = (pair.ada, pair.bob)
        var second = Tool("node", "run", "--home", bob.home)
        second.environment["CHORALE_PASSPHRASE"] = "pppp"
        let run = try second.run()
        #expect(run.exitCode == 1 && run.errors.contains("a node runs in \(bob.home) already"), "\(run)")

        let invited = try ada.json("group", "invite", "--name", "twice", "--members", "2")
        let invitation = try #require((invited["invitations"] as? [String])?.first)
        let joined = try bob.run("group", "join", invitation, "--yes", "--name", "again")
        #expect(
            joined.exitCode == 1 && joined.errors.contains("you and these members have this group already: it is called pair"), "\(joined)")
        for node in [ada, bob] {
            let groups = try #require(try node.json("group", "list")["groups"] as? [[String: Any]])
            #expect(groups.compactMap { $0["name"] as? String } == ["pair"] && groups.allSatisfy { $0["state"] as? String == "made" })
        }
        bob.kill()
        try bob.start()
        #expect(try bob.events().first?["groups"] as? [String] == ["pair"])
    }

    @Test(.timeLimit(.minutes(4)))
    func `what a node keeps of a request is written down while it runs and when it does not, and shows who said what`() throws {
        let pair = try NodePair()
        let (ada, bob) = (pair.ada, pair.bob)
        let id = try pair.ask(1)
        try bob.waitFor { $0.contains { $0["event"] as? String == "requested" && $0["request"] as? String == id } }
        #expect(try bob.run("request", "approve", id, "--yes").exitCode == 0)
        for node in [ada, bob] { #expect(try node.run("request", "watch", "--request", id, "--time-limit", "60").exitCode == 0) }
        #expect(bob.interrupt() == 4)
        for node in [ada, bob] {
            let file = node.folder.path("transcript")
            let exported = try node.json("audit", "export", String(id.prefix(8)), "--out", file)
            #expect(exported["request"] as? String == id && exported["out"] as? String == file)
            #expect(try node.run("audit", "export", id, "--out", file).exitCode == 1)
            let shown = try Tool("audit", "verify", file).run()
            #expect(shown.exitCode == 0 && shown.output.contains("signed: the signatures in it verify"), "\(shown)")
            let audit = try Tool("audit", "verify", file, "--json").run().json()
            #expect(audit["request"] as? String == id && audit["head"] as? String == exported["head"] as? String)
            for name in ["unreadable", "faults", "blamed"] { #expect((audit[name] as? [Any])?.isEmpty == true) }
            let words = try #require(audit["words"] as? [[String: Any]])
            let approvers = Set(words.filter { $0["says"] as? String == "approved" }.compactMap { $0["public_key"] as? String })
            #expect(approvers == Set(try #require(audit["members"] as? [String])), "\(words)")
            // One bit, anywhere in what was said.
            var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
            bytes[bytes.count - 40] ^= 1
            let altered = try Tool("audit", "verify", node.folder.write(bytes, to: "altered")).run()
            #expect(altered.exitCode == 1 && altered.errors.contains("something was changed, left out or moved"), "\(altered)")
        }
        #expect(try bob.run("audit", "export", "00000000", "--out", bob.folder.path("none")).exitCode == 3)
        #expect(try bob.run("audit", "export", "xyz").exitCode == 2)
    }
}
