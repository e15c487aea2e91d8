import Foundation
import Testing

@testable import CommandLineTool

/// `chorale signers`, between processes that find each other.
@Suite struct SignerCommandTests {
    @Test(.timeLimit(.minutes(4)))
    func `a signer advertises on the command line, another person's node finds it by what it looks for, and it takes it back`() throws {
        let hub = try NodeProcess("Hub", "--discover")
        let address = try #require(
            (try hub.json("node", "show")["addresses"] as? [String])?.first { $0.contains("/p2p/") })
        let ada = try NodeProcess("Ada", "--discover", "--bootstrap", address)
        let bob = try NodeProcess("Bob", "--discover", "--bootstrap", address)
        // The node says it again until somebody listens: they have only just met.
        let told = try ada.json(
            "signers", "advertise", "--kind", "spend", "--kind", "escrow", "--most", "10000000", "--fee", "1000", "--nickname", "Ada",
            "--fee-ppm", "100", "--responds-within", "90", "--details", "nights, too", "--expires-in", "7200")
        let key = try #require((told["public_keys"] as? [String])?.first)
        #expect(told["kinds"] as? [String] == ["spend", "escrow"] && told["most"] as? Int == 10_000_000)
        let (created, expiry) = (try #require(told["created"] as? Int), try #require(told["expiry"] as? Int))
        #expect(expiry == created + 7_200 && told["response_seconds"] as? Int == 90 && told["fee_ppm"] as? Int == 100)
        // By gossip or out of the hash table, whichever is there first.
        func found(_ words: String...) throws -> [[String: Any]] {
            let run = try Tool(["signers", "list", "--home", bob.home, "--json"] + words).run()
            #expect(run.exitCode == 0, "\(run.errors)")
            return try #require(try run.json()["signers"] as? [[String: Any]])
        }
        let end = ContinuousClock.now + .seconds(120)
        while try found("--kind", "spend", "--amount", "1000000").isEmpty, ContinuousClock.now < end {}
        let shown = try found("--kind", "escrow", "--fee-max", "1000")
        #expect(shown.count == 1 && shown[0]["public_keys"] as? [String] == [key] && shown[0]["nickname"] as? String == "Ada")
        #expect(shown[0]["details"] as? String == "nights, too" && shown[0]["expiry"] as? Int == expiry)
        // 1,000 sat, and a hundred of a million.
        let amount = ["--amount", "1000000", "--local"]
        func isFound(_ words: String...) throws -> Bool {
            let run = try Tool(["signers", "list", "--home", bob.home, "--json"] + amount + words).run()
            return try #require(try run.json()["signers"] as? [Any]).count == 1
        }
        #expect(try isFound("--fee-max", "1100") && !isFound("--fee-max", "1099"))
        #expect(try isFound("--responds-within", "90") && !isFound("--responds-within", "89"))
        #expect(try found("--kind", "swap", "--local").isEmpty && found("--fee-max", "999", "--local").isEmpty)
        let line = try bob.run("signers", "list", "--local")
        #expect(line.output.contains("“Ada”  spend,escrow  up to 0.10000000 BTC  1,000 sat and 100 ppm") && line.exitCode == 0)
        #expect(line.outputLines.contains("    nights, too"))
        // Strangers hear that signers are looked for, and who looks for them.
        let before = Int(Date().timeIntervalSince1970)
        let want = try ada.json(
            "signers", "want", "--kind", "spend", "--amount", "5000000", "--count", "2", "--note", "write to Ada", "--expires-in", "600")
        #expect(try #require(want["told_peers"] as? Int) >= 1)
        try bob.waitFor { events in
            events.contains { event in
                guard event["event"] as? String == "signers_wanted", let wanted = event["announcement"] as? [String: Any] else {
                    return false
                }
                let end = wanted["request_expiry"] as? Int ?? 0
                return wanted["public_key"] as? String == key && wanted["amount"] as? Int == 5_000_000
                    && wanted["kinds"] as? [String] == ["spend"] && wanted["wanted_count"] as? Int == 2
                    && wanted["note"] as? String == "write to Ada" && (before + 600...before + 700).contains(end)
                    && wanted["request"] as? String == want["request"] as? String
            }
        }
        // Four at once, and then one in a quarter of a minute.
        var (soon, saidCount) = (try ada.run("signers", "want", "--kind", "spend", "--amount", "1"), 0)
        while soon.exitCode == 0, saidCount < 20 {
            (soon, saidCount) = (try ada.run("signers", "want", "--kind", "spend", "--amount", "1"), saidCount + 1)
        }
        #expect(soon.exitCode == 1 && soon.errors.contains("try again in"), "\(soon)")
        // Again at once is refused with the time to wait; taking back is not.
        let again = try ada.run("signers", "advertise", "--kind", "spend")
        #expect(again.exitCode == 1 && again.errors.contains("try again in"))
        #expect(try ada.run("signers", "withdraw").output.contains("no more"))
        let later = ContinuousClock.now + .seconds(100)
        while try !found("--key", key).isEmpty, ContinuousClock.now < later {}
        #expect(try found("--key", key).isEmpty)
        #expect(try ada.json("signers", "list", "--local")["signers"] as? [Any] != nil)
    }

    @Test(.timeLimit(.minutes(2)))
    func `without taking part there is nobody to find, and wrong words are told with the right ones`() throws {
        let ada = try NodeProcess("Ada")
        for words in [
            ["signers", "list"], ["signers", "advertise", "--kind", "spend"], ["signers", "withdraw"],
            ["signers", "want", "--kind", "spend", "--amount", "1"],
        ] {
            let run = try Tool(words + ["--home", ada.home]).run()
            #expect(run.exitCode == 1 && run.errors.contains("chorale node run --discover"), "\(run.errors)")
        }
        let long = String(repeating: "n", count: 201)
        #expect(try Tool("signers", "want", "--kind", "spend", "--home", ada.home).run().exitCode == 2)
        #expect(try Tool("signers", "want", "--kind", "spend", "--amount", "1", "--note", long, "--home", ada.home).run().exitCode == 2)
        let unknown = try Tool("signers", "advertise", "--kind", "spent", "--home", ada.home).run()
        #expect(unknown.exitCode == 2 && unknown.errors.contains("did you mean spend?"), "\(unknown.errors)")
        #expect(try Tool("signers", "advertise", "--home", ada.home).run().exitCode == 2)
    }
}
