import Bitcoin
import Foundation
import Testing

@testable import CommandLineTool

/// Options that change little to look at: each makes a difference that would be missing without it.
@Suite struct OptionEffectTests {
    @Test(.timeLimit(.minutes(5))) func `invitations are good for as many days as was said, and a week where nothing is said`() throws {
        let node = try NodeProcess("Ada")
        for (words, days) in [(["--days", "2"], 2.0), ([], 7.0)] {
            let before = Date().timeIntervalSince1970.rounded(.down)
            let run = try Tool(
                ["group", "invite", "--name", "for \(days)", "--members", "2", "--home", node.home, "--json"] + words
            ).run()
            let expiry = try #require(try run.json()["expiry"] as? Double)
            #expect((before + days * 86_400...Date().timeIntervalSince1970 + days * 86_400).contains(expiry), "\(run)")
        }
        #expect(try Tool("group", "invite", "--name", "x", "--members", "2", "--days", "0", "--home", node.home).run().exitCode == 2)
    }

    @Test(.timeLimit(.minutes(5)))
    func `a request takes the coins of another one only if it says that it replaces that one`() throws {
        let pair = try NodePair()
        let first = try pair.ask(1)
        let taken = try Tool(
            "request", "new", "--group", "pair", "--psbt", try pair.payment(1), "--yes", "--home", pair.ada.home
        ).run()
        #expect(taken.exitCode == 1 && taken.errors.contains(first), "\(taken)")
        let second = try pair.ask(1, "--replaces", String(first.prefix(8)))
        #expect(second != first && second.count == 64)
    }

    @Test(.timeLimit(.minutes(5))) func `whoever watches goes on behind the event that was read last`() throws {
        let pair = try NodePair()
        let ada = pair.ada
        let id = try pair.ask(1)
        func cursors(_ words: String...) throws -> [Int] {
            // Nobody decides meanwhile, so only the time limit ends it.
            let run = try Tool(
                ["request", "watch", "--request", id, "--time-limit", "1", "--home", ada.home, "--json"] + words
            ).run()
            #expect(run.exitCode == 3 && run.errors.contains("the time limit came first"), "\(run)")
            return try run.outputLines.map { line in
                let event = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
                return try #require(event["cursor"] as? Int)
            }
        }
        let all = try cursors()
        #expect(all == all.sorted())
        let (first, last) = (try #require(all.first), try #require(all.last))
        // The group was made before.
        #expect(first > 1)
        #expect(try cursors("--after", "\(first - 1)").starts(with: all))
        #expect(try cursors("--after", "\(last)").allSatisfy { $0 > last })
    }

    @Test(.timeLimit(.minutes(5)))
    func `coins that were refused are asked about until the refusals are forgotten`() throws {
        let pair = try NodePair()
        let (ada, bob) = (pair.ada, pair.bob)
        let recipient = try #require(Address(scriptPubKey: .payToTaproot(NodePair.recipient), network: .regtest)).text
        let policy = """
            chorale-approval 1
            network: regtest
            group: \(pair.address)
            proposer: any
            destination: \(recipient)
            amount-per-request: 45000 sat
            amount-per-day: 500000 sat
            approvals-per-day: 5
            fee: 2000 sat
            fee-rate: 50 sat/vB
            window: always
            delay: 600 s
            otherwise: ask

            """
        let file = try bob.folder.write(Array(policy.utf8), to: "policy")
        #expect(try bob.json("group", "policy", "pair", "--set", file, "--yes")["state"] as? String == "in_force")
        func says(of id: String) throws -> String? {
            try bob.waitFor { $0.contains { $0["request"] as? String == id && $0["event"] as? String == "policy_says" } }
            return (try bob.json("request", "show", id)["policy"] as? [String: Any])?["policy"] as? String
        }
        let first = try pair.ask(1)
        #expect(try says(of: first) == "wait")
        #expect(try bob.run("request", "reject", first).exitCode == 0)
        try ada.waitFor { $0.contains { $0["request"] as? String == first && $0["event"] as? String == "ended" } }
        let second = try pair.ask(1)
        #expect(try says(of: second) == "ask")
        #expect(try bob.json("group", "policy", "pair", "--forget-refusals")["state"] as? String == "in_force")
        #expect(try says(of: second) == "wait")
    }
}
