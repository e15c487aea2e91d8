import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

@Suite struct NodeCommandTests {
    /// Two nodes that share a group, made over the network.
    private func pair(_ words: String...) throws -> (ada: NodeProcess, bob: NodeProcess) {
        let (ada, bob) = try (NodeProcess("Ada"), NodeProcess("Bob"))
        let run = try Tool(["group", "invite", "--name", "pair", "--members", "2", "--home", ada.home, "--json"] + words).run()
        let invitation = try #require((try run.json()["invitations"] as? [String])?.first, "\(run.errors)")
        let joined = try bob.json("group", "join", invitation, "--yes")
        #expect(joined["state"] as? String == "made")
        // Ada's node has it as soon as it has answered Bob's.
        let end = ContinuousClock.now + .seconds(30)
        while try ada.json("group", "show", "pair")["state"] as? String != "made", ContinuousClock.now < end { usleep(20_000) }
        return (ada, bob)
    }

    /// A payment of a coin at the address, most of it back to there.
    private func payment(from address: String, in folder: TemporaryFolder, fee: UInt64 = 1_000, salt: UInt8 = 1) throws -> String {
        let script = try Address(parsing: address, on: .regtest).scriptPubKey
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([salt])), index: 0), sequence: 0xffff_fffd)
        let outputs = [
            TransactionOutput(amount: 40_000, scriptPubKey: .payToTaproot(Samples.keys(1)[0].xOnly)),
            TransactionOutput(amount: 60_000 - fee, scriptPubKey: script),
        ]
        var psbt = try PSBT(unsignedTransaction: Transaction(inputs: [spent], outputs: outputs))
        psbt.inputs[0].witnessUTXO = TransactionOutput(amount: 100_000, scriptPubKey: script)
        return try folder.write(psbt.serialized(), to: "payment-\(salt).psbt")
    }

    @Test(.timeLimit(.minutes(15)))
    func `three people make a group, compare numbers, ask, agree, and have the transaction`() throws {
        let nodes = try ["Ada", "Bob", "Cleo"].map { try NodeProcess($0) }
        let (ada, bob, cleo) = (nodes[0], nodes[1], nodes[2])
        let invited = try ada.json("group", "invite", "--name", "family", "--members", "3", "--threshold", "2", "--owner-unspendable")
        let invitations = try #require(invited["invitations"] as? [String])
        #expect(invitations.count == 2)
        let carefully = try ada.run("group", "invite", "--name", "other", "--members", "2")
        #expect(carefully.exitCode == 0 && carefully.outputLines.count == 1 && carefully.errors.contains("--announce"))

        // Bob leaves before it is made, and his node goes on.
        let first = try bob.run("group", "join", invitations[0], "--yes", "--no-wait")
        #expect(first.exitCode == 0 && first.errors.contains("any 2 of 3 members") && first.errors.contains("2 of 3 have joined"))
        #expect(try bob.run("group", "list").output.contains("joining"))
        #expect(try (ada.json("group", "show", "family")["joined"] as? [Any])?.count == 2)
        let joined = try cleo.json("group", "join", invitations[1], "--yes")
        let digest = try #require(joined["policy_digest"] as? String)
        // All three see one group, under one number.
        for node in nodes {
            let end = ContinuousClock.now + .seconds(60)
            while try node.json("group", "show", "family")["state"] as? String != "made", ContinuousClock.now < end { usleep(50_000) }
            let shown = try node.json("group", "show", "family")
            #expect(shown["policy_digest"] as? String == digest && shown["number"] as? String == joined["number"] as? String)
            #expect((shown["members"] as? [Any])?.count == 3 && shown["threshold"] as? Int == 2)
        }
        // An invitation serves once.
        let used = try Tool("group", "join", invitations[0], "--yes", "--name", "again", "--home", cleo.home).run()
        #expect(used.exitCode == 1 && used.errors.contains("tell the inviter at once, and ask for a new one"), "\(used)")

        // Ada and Bob compare numbers.
        let contacts = try nodes.map { try #require(try $0.json("node", "show")["contact"] as? String) }
        #expect(try ada.run("contact", "add", "Bobby", contacts[1]).exitCode == 0)
        #expect(try bob.run("contact", "add", "Ada", contacts[0]).exitCode == 0)
        let number = try #require(try ada.json("contact", "verify", "Bobby", "--show")["number"] as? String)
        #expect(try bob.run("contact", "verify", "Ada", "--show").output == "\(number)\n")
        #expect(try ada.run("contact", "verify", "Bobby", "--yes").output == "Bobby is verified.\n")
        #expect(try ada.run("contact", "list").output.contains("Bobby  verified"))

        // Ada asks.
        let address = try #require(joined["address"] as? String)
        let file = try self.payment(from: address, in: ada.folder)
        let asked = try ada.run("request", "new", "--group", "family", "--psbt", file, "--note", "new roof", "--yes")
        #expect(asked.exitCode == 0 && asked.errors.contains("0.00040000 BTC") && asked.errors.contains("back to this group"))
        let id = try #require(asked.outputLines.first)
        let short = String(id.prefix(8))
        for node in [bob, cleo] {
            try node.waitFor { $0.contains { $0["event"] as? String == "requested" && $0["request"] as? String == id } }
        }
        #expect(try bob.run("request", "list").output.contains("1 of 2"))
        #expect(try bob.json("request", "show", short)["note"] as? String == "new roof")
        let explained = try bob.run("explain", short)
        #expect(explained.output.contains("Where it stands: waits for your decision."))
        #expect(explained.output.contains("that is you: chorale request approve \(short)") && explained.output.contains("Ada"))
        let program = try bob.json("explain", short)
        #expect(program["awaited"] as? [String] != nil && (program["must_stay_running"] as? [String])?.count == 1)

        // Bob agrees, and all three have it.
        let approved = try bob.run("request", "approve", short, "--yes")
        #expect(approved.exitCode == 0 && approved.errors.contains("asked by") && approved.errors.contains("new roof"))
        let watched = try ada.run("request", "watch", "--request", short, "--time-limit", "60")
        #expect(watched.exitCode == 0 && watched.output.contains("\(short)  is over: complete"), "\(watched)")
        var transactions: Set<String> = []
        for node in nodes {
            try node.waitFor { $0.contains { $0["event"] as? String == "complete" && $0["request"] as? String == id } }
            transactions.insert(try #require(try node.json("request", "show", short)["transaction"] as? String))
        }
        #expect(transactions.count == 1)
        let out = ada.folder.path("signed.hex")
        #expect(try ada.run("request", "show", short, "--out", out).exitCode == 0)
        let signed = try Transaction(parsing: Hex.decode(String(contentsOfFile: out, encoding: .utf8).filter { !$0.isWhitespace }))
        #expect(signed.inputs[0].witness.items.first?.count == 64)
        #expect(try bob.run("explain", short).output.contains("Nobody has to stay running"))
        // And seen on the Bitcoin network, as Bob says.
        #expect(try bob.json("request", "show", short)["seen"] is NSNull)
        let sent = try bob.run("request", "sent", short)
        #expect(sent.exitCode == 0 && sent.output.contains("Nobody is told to send it any more"), "\(sent)")
        #expect(try bob.run("request", "show", short).output.contains("seen on the Bitcoin network, as you said at"))
        #expect(try bob.run("explain", short).output.contains("nobody here has to send the transaction"))
        #expect(try bob.json("request", "sent", short)["seen"] as? Int == bob.json("explain", short)["seen"] as? Int)
        // It is over.
        #expect(try bob.run("request", "withdraw", short).exitCode == 1)
        for node in nodes { #expect(node.interrupt() == 4) }
        #expect(!FileManager.default.fileExists(atPath: "\(ada.home)/control.sock"))
    }

    @Test(.timeLimit(.minutes(15)))
    func `a node that is killed goes on where it was, and nobody approves twice`() throws {
        let (ada, bob) = try self.pair()
        let address = try #require(try ada.json("group", "show", "pair")["address"] as? String)
        let file = try self.payment(from: address, in: ada.folder)
        let id = try #require(try ada.json("request", "new", "--group", "pair", "--psbt", file, "--yes")["request"] as? String)
        try bob.waitFor { $0.contains { $0["request"] as? String == id } }
        ada.kill()
        #expect(FileManager.default.fileExists(atPath: "\(ada.home)/control.sock"))
        let alone = try bob.run("explain", id)
        #expect(alone.exitCode == 0)
        try ada.start()
        #expect(try ada.json("request", "show", id)["decision"] as? String == "approved")
        #expect(try bob.json("request", "approve", String(id.prefix(6)), "--yes")["decision"] as? String == "approved")
        for node in [ada, bob] {
            #expect(try node.run("request", "watch", "--request", id, "--time-limit", "60", "--json").exitCode == 0)
        }
    }

    @Test(.timeLimit(.minutes(15)))
    func `a request that is refused, withdrawn or cancelled ends as such`() throws {
        let (ada, bob) = try self.pair("--threshold", "2", "--owner-aggregate")
        let address = try #require(try ada.json("group", "show", "pair")["address"] as? String)
        func ask(_ salt: UInt8, fee: UInt64 = 1_000, _ words: String...) throws -> Transcript {
            let file = try self.payment(from: address, in: ada.folder, fee: fee, salt: salt)
            return try Tool(["request", "new", "--group", "pair", "--psbt", file, "--yes", "--home", ada.home] + words).run()
        }
        let first = try #require(try ask(1).outputLines.first)
        try bob.waitFor { $0.contains { $0["request"] as? String == first } }
        // Its coin is taken.
        let second = try ask(1)
        #expect(second.exitCode == 1 && second.errors.contains(first))
        #expect(try bob.run("request", "reject", first).exitCode == 0)
        let watched = try ada.run("request", "watch", "--request", first, "--time-limit", "60")
        #expect(watched.exitCode == 1 && watched.errors.contains("the request is over, and not signed"))

        let third = try #require(try ask(2).outputLines.first)
        try bob.waitFor { $0.contains { $0["request"] as? String == third } }
        #expect(try bob.run("request", "cancel", third).exitCode == 1)
        #expect(try ada.json("request", "cancel", third)["state"] as? String == "aborted")
        #expect(try bob.run("request", "watch", "--request", third, "--time-limit", "60").exitCode == 1)
        // Half of the coins for the miners is nobody's intention.
        let dear = try ask(3, fee: 50_000)
        #expect(dear.exitCode == 1 && dear.errors.contains("--high-fee"))
        #expect(try ask(3, fee: 50_000, "--high-fee").exitCode == 0)
    }

    @Test(.timeLimit(.minutes(15)))
    func `a request that wants all of them there is made while they are, and asks nobody while one is missing`() throws {
        let (ada, bob) = try self.pair()
        let address = try #require(try ada.json("group", "show", "pair")["address"] as? String)
        func ask(_ salt: UInt8, _ words: String...) throws -> Transcript {
            let file = try self.payment(from: address, in: ada.folder, salt: salt)
            return try Tool(["request", "new", "--group", "pair", "--psbt", file, "--yes", "--home", ada.home] + words).run()
        }
        let asked = try ask(1, "--require-all")
        #expect(asked.exitCode == 0, "\(asked)")
        let id = try #require(asked.outputLines.first)
        try bob.waitFor { $0.contains { $0["request"] as? String == id } }
        let shown = try ada.json("node", "show")
        let member = try #require((shown["members"] as? [[String: Any]])?.first)
        #expect(member["is_connected"] as? Bool == true && member["by"] as? String == "direct")
        #expect((member["round_trip_microseconds"] as? Int).map { $0 > 0 } == true && member["connected_seconds"] as? Int != nil)
        let health = try #require(shown["health"] as? [String: Any])
        #expect(health["members_connected"] as? Int == 1 && health["open_requests"] as? Int == 1 && health["is_writable"] as? Bool == true)
        let text = try ada.run("node", "show").output
        #expect(text.contains("connected for ") && text.contains("round trip ") && text.contains("all writes succeeded"))
        // What its owner says no to is said to be so.
        #expect(try bob.run("request", "reject", id).exitCode == 0)
        #expect(try bob.run("request", "show", id).output.contains("(you)  refused"))

        #expect(bob.interrupt() == 4)
        try ada.waitFor { $0.contains { $0["event"] as? String == "disconnected" } }
        let waits = try ask(2, "--connect-within", "5")
        #expect(waits.exitCode == 2 && waits.errors.contains("add --require-all"), "\(waits)")
        let refused = try ask(2, "--require-all", "--connect-within", "5")
        // Not now, so a program may try again: and it is said who is away, and what to do.
        #expect(refused.exitCode == 3 && refused.output == "" && refused.errors.contains("nobody is asked"), "\(refused)")
        #expect(refused.errors.contains("Away: ") && refused.errors.contains("Nobody else is connected"))
        #expect(refused.errors.contains("start their nodes (chorale node run), and ask again"))
        #expect((try ada.json("request", "list")["requests"] as? [Any])?.count == 1)
        let few = try ask(2, "--minimum-connected", "1")
        #expect(few.exitCode == 1 && few.errors.contains("ask for 2"), "\(few)")
        #expect(try ask(2, "--minimum-connected", "2", "--require-all").exitCode == 2)
        #expect(try ada.json("request", "show", id)["nonce_commitments"] as? Bool == false)
        // Who does not ask for it may ask all the same; and what else is asked for everybody is shown.
        let other = try ask(2, "--nonce-commitments")
        #expect(other.exitCode == 0 && other.errors.contains("commit to their nonces"), "\(other)")
        let committed = try ada.json("request", "show", try #require(other.outputLines.first))
        #expect(committed["nonce_commitments"] as? Bool == true)
    }

    @Test(.timeLimit(.minutes(15)))
    func `what cannot be done is told with what to do`() throws {
        let node = try NodeProcess("Ada")
        func error(_ words: String..., code: Int32, _ part: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let run = try Tool(words + ["--home", node.home]).run()
            #expect(
                run.exitCode == code && run.output == "" && run.errors.contains(part), "\(run)", sourceLocation: sourceLocation)
        }
        try error("group", "show", "nobody", code: 3, "this node has no group nobody")
        try error("group", "cancel", "nobody", code: 3, "no group called nobody")
        try error("request", "show", "abcd", code: 3, "there is no request abcd here")
        for words in [
            ["request", "show", "xyz"], ["request", "approve", "xyz", "--yes"], ["request", "reject", "12"], ["explain", "abcdefgh"],
            ["request", "watch", "--request", "abcé"], ["audit", "export", "xyz"], ["group", "policy", "nobody", "--try", "xyz"],
            ["request", "new", "--group", "nobody", "--psbt", "x", "--replaces", "xyz"],
        ] {
            let run = try Tool(words + ["--home", node.home]).run()
            #expect(run.exitCode == 2 && run.errors.contains("4 at least: see chorale request list"), "\(run)")
        }
        try error("audit", "export", "abcd", code: 3, "chorale request list")
        try error("group", "policy", "nobody", code: 3, "chorale group list")
        try error("contact", "remove", "Bob", code: 3, "chorale contact list")
        try error("explain", "abcdef", code: 3, "there is no request abcdef here")
        try error("contact", "verify", "Bob", code: 3, "there is no contact Bob")
        try error("contact", "add", "Bob", "chorale-contact1qqqq", code: 2, "WORD cannot be")
        try error("group", "join", "chorale-group1qqqq", "--yes", code: 2, "INVITATION cannot be")
        try error("group", "invite", "--name", "x", "--members", "3", "--threshold", "2", code: 2, "--owner-unspendable")
        try error("group", "invite", "--name", "x", "--members", "1", code: 2, "--members cannot be \"1\"")
        try error("group", "invite", "--name", " x", "--members", "2", code: 1, "a group's name has")
        try error("request", "watch", "--time-limit", "5", code: 2, "add --request ID")
        let own = try #require(try node.json("node", "show")["contact"] as? String)
        try error("contact", "add", "Me", own, code: 1, "this node's own key")
        // Without a terminal nobody is asked, and nothing is done.
        let invited = try node.json("group", "invite", "--name", "trio", "--members", "3")
        let invitation = try #require((invited["invitations"] as? [String])?.first)
        try error("group", "join", invitation, code: 2, "then say --yes")
        try error("group", "join", invitation, "--yes", code: 1, "this node made the invitation")
        // One node in a home.
        var second = Tool("node", "run", "--home", node.home)
        second.environment["CHORALE_PASSPHRASE"] = "pppp"
        let run = try second.run()
        #expect(run.exitCode == 1 && run.errors.contains("chorale.db"), "\(run)")
        let taken = try #require((try node.json("node", "show")["addresses"] as? [String])?.first?.components(separatedBy: "/p2p/").first)
        for (address, code, part) in [
            (taken, Int32(1), "listens on \(taken) already"), ("/ip4/192.0.2.1/tcp/4001", 1, "Choose an address of this machine"),
            ("/dns4/example.org/tcp/4001", 2, "it must be /ip4/…/tcp/…"),
        ] {
            let other = try NodeHomeFolder()
            var listens = Tool("node", "run", "--home", other.home, "--listen", address)
            listens.environment["CHORALE_PASSPHRASE"] = "pppp"
            let refused = try listens.run()
            #expect(refused.exitCode == code && refused.errors.contains(part), "\(refused)")
        }
        #expect(try node.run("group", "cancel", "trio").exitCode == 0)
        #expect(node.interrupt() == 4)
        try error("request", "list", code: 3, "no node runs in \(node.home): start it in another terminal with: chorale node run --home")
    }

    @Test func `a home without a key, or with a wrong passphrase, starts no node`() throws {
        let folder = try TemporaryFolder()
        let home = folder.path("home")
        let keyless = try Tool("node", "run", "--home", home).run()
        #expect(keyless.exitCode == 3 && keyless.errors.contains("chorale key new --network NET --out \(home)/node.key"))
        // Nothing is left that looks like a node, and what is to be made first is said.
        #expect(keyless.errors.contains("mkdir -m 700 \(home), and chorale key new"))
        #expect(!FileManager.default.fileExists(atPath: home))
        #expect(try Tool("node", "show", "--home", folder.path("nowhere")).run().exitCode == 3)
        #expect(try Tool("node", "run", "--home", home, "--bootstrap", "/ip4/192.0.2.1/tcp/1").run().exitCode == 2)
    }
}

@Suite struct UnixTimeTests {
    @Test func `points in time have their date`() {
        #expect(UnixTime.text(0) == "1970-01-01 00:00:00 UTC")
        #expect(UnixTime.text(951_782_399) == "2000-02-28 23:59:59 UTC")
        #expect(UnixTime.text(951_782_400) == "2000-02-29 00:00:00 UTC")
        #expect(UnixTime.text(1_800_000_000) == "2027-01-15 08:00:00 UTC")
        #expect(UnixTime.text(4_107_542_399) == "2100-02-28 23:59:59 UTC")
        #expect(UnixTime.text(4_107_542_400) == "2100-03-01 00:00:00 UTC")
        #expect(UnixTime.text(253_402_300_799) == "9999-12-31 23:59:59 UTC")
        #expect(UnixTime.text(.max) == "Unix time 18446744073709551615")
    }

    @Test func `spans are told in the largest unit of which there are two`() {
        #expect(UnixTime.span(1) == "1 second" && UnixTime.span(119) == "119 seconds" && UnixTime.span(120) == "2 minutes")
        #expect(
            UnixTime.span(7_200) == "2 hours" && UnixTime.span(172_800) == "2 days" && UnixTime.span(.max) == "213,503,982,334,601 days")
    }
}
