import Bitcoin
import Foundation
import Testing

@testable import CommandLineTool

@Suite struct GroupPolicyCommandTests {
    private func policy(_ pair: NodePair, perDay: Int = 50_000, otherwise: String = "ask") throws -> String {
        let recipient = try #require(Address(scriptPubKey: .payToTaproot(NodePair.recipient), network: .regtest)).text
        let text = """
            chorale-approval 1
            network: regtest
            group: \(pair.address)
            proposer: any
            destination: \(recipient)
            amount-per-request: 45000 sat
            amount-per-day: \(perDay) sat
            approvals-per-day: 5
            fee: 2000 sat
            fee-rate: 50 sat/vB
            window: always
            delay: 0 s
            otherwise: \(otherwise)
            """
        return try pair.bob.folder.write(Array("\(text)\n".utf8), to: "policy-\(perDay)")
    }

    @Test(.timeLimit(.minutes(4)))
    func `a node signs by itself what its owner's policy lets out, says what it says of the rest, and goes on after a restart`() throws {
        let pair = try NodePair()
        let bob = pair.bob
        #expect(try bob.json("group", "policy", "pair")["state"] as? String == "ask")
        let file = try self.policy(pair)
        // Without a terminal nobody can say yes.
        let unasked = try bob.run("group", "policy", "pair", "--set", file)
        #expect(unasked.exitCode == 2 && unasked.errors.contains("--yes") && unasked.errors.contains("up to 45,000 sat"))
        #expect(try bob.json("group", "policy", "pair")["state"] as? String == "ask")
        let set = try bob.run("group", "policy", "pair", "--set", file, "--yes")
        // What it lets out is shown once.
        #expect(set.exitCode == 0 && set.errors.contains("up to 50,000 sat, in up to 5 approvals"), "\(set)")
        #expect(set.output == "The policy of pair is in force.\n")

        let first = try pair.ask(1)
        #expect(try bob.run("request", "watch", "--request", first, "--time-limit", "60").exitCode == 0)
        try bob.waitFor { $0.contains { $0["event"] as? String == "policy_says" && $0["policy"] as? String == "approve" } }
        // The policy did it, and is said to have.
        try bob.waitFor { $0.contains { $0["event"] as? String == "decided" && $0["by_policy"] as? Bool == true } }
        #expect(try bob.json("request", "show", first)["by_policy"] as? Bool == true)

        // The next one is too much for one day.
        let second = try pair.ask(2)
        try bob.waitFor { $0.contains { $0["event"] as? String == "policy_says" && $0["request"] as? String == second } }
        let shown = try bob.run("request", "show", second)
        #expect(shown.output.contains("your policy leaves it to you: 41000 sat more would leave the group"), "\(shown)")
        let said = try #require(try bob.json("request", "show", second)["policy"] as? [String: Any])
        #expect(said["policy"] as? String == "ask" && (said["reasons"] as? [String])?.count == 1)
        // A dry run changes nothing.
        let wide = try self.policy(pair, perDay: 100_000)
        let tried = try bob.run("group", "policy", "pair", "--set", wide, "--try", second)
        #expect(tried.exitCode == 0 && tried.output.contains("your policy approves it"), "\(tried)")
        #expect((try bob.json("group", "policy", "pair")["policy"] as? String)?.contains("amount-per-day: 50000 sat") == true)
        #expect(try bob.json("request", "show", second)["decision"] as? String == "undecided")

        bob.kill()
        try bob.start()
        #expect(try bob.json("group", "policy", "pair")["state"] as? String == "in_force")
        #expect(try bob.json("request", "show", first)["by_policy"] as? Bool == true)
        #expect(try bob.json("group", "policy", "pair", "--set", wide, "--yes")["state"] as? String == "in_force")
        #expect(try bob.run("request", "watch", "--request", second, "--time-limit", "60").exitCode == 0)
        #expect(try bob.json("group", "policy", "pair", "--ask")["state"] as? String == "ask")
    }

    @Test(.timeLimit(.minutes(15))) func `what is no policy for this group is refused with its line, and nothing changes`() throws {
        let pair = try NodePair()
        let bob = pair.bob
        func refused(_ words: String..., code: Int32 = 1, says part: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let run = try Tool(["group", "policy", "pair"] + words + ["--home", bob.home]).run()
            #expect(run.exitCode == code && run.output == "" && run.errors.contains(part), "\(run)", sourceLocation: sourceLocation)
        }
        let good = try String(contentsOfFile: self.policy(pair), encoding: .utf8)
        let lacking = try bob.folder.write(Array(good.replacing("fee: 2000 sat\n", with: "").utf8), to: "lacking")
        try refused("--set", lacking, "--yes", says: "the line \"fee: …\" is missing")
        let unreadable = try bob.folder.write(Array(good.replacing("fee: 2000 sat", with: "fee: much").utf8), to: "unreadable")
        try refused("--set", unreadable, "--yes", says: "line 9")
        let own = try #require(Address(scriptPubKey: .payToTaproot(NodePair.recipient), network: .regtest)).text
        let foreign = try bob.folder.write(Array(good.replacing("group: \(pair.address)", with: "group: \(own)").utf8), to: "foreign")
        try refused("--set", foreign, "--yes", says: "the policy is about another group")
        try refused("--set", lacking, "--ask", "--yes", code: 2, says: "say one thing at a time")
        try refused("--ask", "--try", "abcd", code: 2, says: "--try changes nothing")
        try refused("--try", "abcd", code: 3, says: "there is no request abcd here")
        try refused("--confirm-clock", says: "this group has no policy")
        #expect(try bob.json("group", "policy", "pair")["state"] as? String == "ask")
    }
}
