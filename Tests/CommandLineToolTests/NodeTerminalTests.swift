import Bitcoin
import CryptoPrimitives
import Foundation
import Signing
import Testing

/// What a node's owner is asked at a terminal: nothing happens without a clear yes.
@Suite(.serialized) struct NodeTerminalTests {
    private func answer(_ words: [String], _ question: String, _ answer: String) throws -> (output: String, screen: String, exitCode: Int32)
    {
        let terminal = try Terminal(words)
        try terminal.waitFor(question)
        terminal.type("\(answer)\n")
        let end = try terminal.wait()
        return (end.output, terminal.screen, end.exitCode)
    }

    @Test(.timeLimit(.minutes(15)))
    func `joining, verifying and signing each take a yes, after it is shown what they are about`() throws {
        let (ada, bob) = try (NodeProcess("Ada"), NodeProcess("Bob"))
        let invited = try ada.json("group", "invite", "--name", "pair", "--members", "2")
        let invitation = try #require((invited["invitations"] as? [String])?.first)
        let join = ["group", "join", invitation, "--home", bob.home]
        let refused = try self.answer(join, "Join it with this node's key? [y/N] ", "")
        #expect(refused.exitCode == 1 && refused.screen.contains("all members together") && refused.screen.contains("not joined"))
        #expect(try bob.run("group", "list").output == "")
        let joined = try self.answer(join, "Join it with this node's key? [y/N] ", "y")
        #expect(joined.exitCode == 0 && joined.output.contains("policy digest"))

        let word = try #require(try ada.json("node", "show")["contact"] as? String)
        #expect(try bob.run("contact", "add", "Ada", word).exitCode == 0)
        let number = try bob.run("contact", "verify", "Ada", "--show").output.dropLast()
        for (said, isVerified) in [("n", false), ("yes", true)] {
            let end = try self.answer(["contact", "verify", "Ada", "--home", bob.home], "Is it the same there, all of it? [y/N] ", said)
            #expect(end.exitCode == (isVerified ? 0 : 1) && end.screen.contains(number))
            #expect(try bob.run("contact", "list").output.contains("verified") == isVerified)
        }

        let address = try #require(try bob.json("group", "show", "pair")["address"] as? String)
        let (transaction, coin) = CosignGroup.transaction(spending: try Address(parsing: address, on: .regtest).scriptPubKey)
        var psbt = try PSBT(unsignedTransaction: transaction)
        psbt.inputs[0].witnessUTXO = coin
        let file = try bob.folder.write(psbt.serialized(), to: "payment.psbt")
        let new = ["request", "new", "--group", "pair", "--psbt", file, "--home", bob.home]
        let unasked = try self.answer(new, "Ask for this, and agree to it? [y/N] ", "no")
        #expect(unasked.exitCode == 1 && unasked.output == "" && unasked.screen.contains("0.00099000 BTC"))
        #expect(try bob.run("request", "list").output == "")
        let asked = try self.answer(new, "Ask for this, and agree to it? [y/N] ", "y")
        let id = try #require(asked.output.split(separator: "\n").first.map(String.init), "\(asked)")
        try ada.waitFor { $0.contains { $0["event"] as? String == "requested" && $0["request"] as? String == id } }
        let approve = ["request", "approve", id, "--home", ada.home]
        let unsigned = try self.answer(approve, "Sign this? [y/N] ", "later")
        #expect(unsigned.exitCode == 1 && unsigned.screen.contains("asked by"))
        #expect(try ada.json("request", "show", id)["decision"] as? String == "undecided")
        #expect(try self.answer(approve, "Sign this? [y/N] ", "y").exitCode == 0)
        #expect(try bob.run("request", "watch", "--request", id, "--time-limit", "60").exitCode == 0)
    }
}
