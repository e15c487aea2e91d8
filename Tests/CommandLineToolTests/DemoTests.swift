import Bitcoin
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

@Suite struct DemoTests {
    private let keys = Samples.keys(3)

    private func set(_ keys: [PublicKey], attempt: UInt32) throws -> ExchangeFile {
        var psbt = try Samples.payment(from: self.keys[0].xOnly)
        psbt.inputs[0].musig2Participants[self.keys[0]] = keys
        return ExchangeFile(path: "\(ExchangePath.set(attempt: attempt))", bytes: psbt.serialized())
    }

    @Test func `who signed is the set of the newest attempt in which all gave partial signatures`() throws {
        var seen = DemoSeen()
        let now = ContinuousClock.now
        #expect(seen.signedAttempt == nil && seen.newestSet == [])
        // The first attempt's second signer went away, and another one took its place.
        let first = [self.keys[0], self.keys[1]]
        seen.take(try self.set(first, attempt: 1))
        seen.take(ExchangeFile(path: "\(ExchangePath.nonces(attempt: 1, self.keys[0]))", bytes: []))
        seen.date(now)
        #expect(seen.newestSet == first && seen.attempts[1]?.noncesAt == nil)
        let second = [self.keys[0], self.keys[2]]
        seen.take(try self.set(second, attempt: 2))
        for key in second { seen.take(ExchangeFile(path: "\(ExchangePath.nonces(attempt: 2, key))", bytes: [])) }
        seen.date(now)
        seen.date(now + .seconds(1))
        #expect(seen.newestSet == second && seen.signedAttempt == nil)
        seen.take(ExchangeFile(path: "\(ExchangePath.partialSignatures(attempt: 2, self.keys[0]))", bytes: []))
        #expect(seen.signedAttempt == nil)
        seen.take(ExchangeFile(path: "\(ExchangePath.partialSignatures(attempt: 2, self.keys[2]))", bytes: []))
        #expect(seen.signedAttempt?.set == second && seen.signedAttempt?.noncesAt == now)
        // An attempt that was begun too late has made nothing.
        seen.take(try self.set(first, attempt: 3))
        #expect(seen.newestSet == first && seen.signedAttempt?.set == second)
    }

    @Test func `a process whose end was kept for nobody has ended`() throws {
        var actions = FileActions()
        defer { actions.destroy() }
        let process = try Tool.spawn(["/bin/sh", "-c", "exit 3"], [:], &actions)
        #expect(Tool.exitCode(of: process) == 3)
        #expect(ChildProcess(number: process).exitCode() == 0)
        let running = try Tool.spawn(["/bin/sleep", "600"], [:], &actions)
        #expect(ChildProcess(number: running).exitCode() == nil)
        Tool.end(running)
    }

    @Test(.timeLimit(.minutes(10))) func `the demo ends where whoever started it ignores the ends of processes`() throws {
        var tool = Tool("demo", "--signers", "1", "--json")
        tool.shellPrelude = "trap '' CHLD"
        let run = try tool.run()
        #expect(run.exitCode == 0, "\(run.errors)")
        #expect(try run.json()["verified"] as? Bool == true)
    }

    // MARK: - Over a network

    private static func step(_ milliseconds: Int, _ signer: Int, _ what: NetworkStep.What) -> NetworkStep {
        NetworkStep(time: .milliseconds(milliseconds), signer: signer, what: what)
    }

    /// Two of three sign, signer 3 coordinates; in the order in which a slow demo might hear of it.
    private static let told = [
        step(3, 3, .received), step(3, 1, .proposed), step(4, 2, .received), step(5, 3, .heardApproval(of: 1)),
        step(6, 3, .heardApproval(of: 2)), step(6, 3, .attemptBegan(3, set: [1, 2])), step(7, 3, .heardSignatures(of: 1, 3)),
        step(7, 3, .heardSignatures(of: 2, 3)), step(7, 2, .approved), step(8, 2, .signed(3)), step(8, 2, .complete),
        step(9, 1, .signed(3)), step(9, 1, .complete), step(9, 3, .complete),
    ]

    @Test func `what follows from another stands behind it, whoever was heard first`() throws {
        var timeline = NetworkTimeline()
        for step in Self.told { timeline.take(step) }
        // More may come that belongs before.
        #expect(timeline.settle(now: .milliseconds(10)) == [])
        let steps = timeline.settle(now: .milliseconds(40))
        #expect(steps.count == Self.told.count && steps == timeline.steps && timeline.settle(now: nil) == [])
        for signer in 1...3 {
            let (own, told) = (steps.filter { $0.signer == signer }, Self.told.filter { $0.signer == signer })
            #expect(own.map(\.what) == told.map(\.what), "each node tells its own in order")
        }
        #expect(zip(steps, steps.dropFirst()).allSatisfy { $0.time <= $1.time })
        for (place, step) in steps.enumerated() {
            let later = steps[(place + 1)...]
            #expect(!later.contains { $0.isCause(of: step, coordinators: [3]) }, "\(step) stands before its cause")
        }
        #expect(timeline.attempts.count == 1 && timeline.signedAttempt?.number == 3 && timeline.signedAttempt?.set == [1, 2])
        #expect(timeline.blamed == [] && timeline.end == nil)
        // Request, approval, begin, partial signature.
        #expect(timeline.roundTrips == 2)
    }

    @Test func `who comes back too late and begins an attempt is not taken for who finished`() throws {
        var timeline = NetworkTimeline()
        for step in Self.told { timeline.take(step) }
        // Signer 2 was cut off in place of signing.
        timeline.take(Self.step(90, 2, .reconnected))
        timeline.take(Self.step(91, 2, .attemptBegan(2, set: [1, 2])))
        timeline.take(Self.step(92, 2, .heardRestart(of: 3)))
        let steps = timeline.settle(now: nil)
        #expect(steps.suffix(3).map(\.what) == [.reconnected, .attemptBegan(2, set: [1, 2]), .heardRestart(of: 3)])
        #expect(steps.suffix(3).map(\.time) == [.milliseconds(90), .milliseconds(91), .milliseconds(92)])
        #expect(timeline.coordinators == [3])
    }

    @Test
    func `attempts are told in the order in which they began, whatever the nodes call them, and who begins one too late does not know it`()
        throws
    {
        var timeline = NetworkTimeline()
        for step in Self.told { timeline.take(step) }
        timeline.take(Self.step(90, 2, .reconnected))
        timeline.take(Self.step(91, 2, .attemptBegan(2, set: [1, 2])))
        _ = timeline.settle(now: nil)
        // The nodes' attempts 3 and 2 are the story's 1 and 2.
        let told = timeline.told
        #expect(told.map(\.signer) == timeline.steps.map(\.signer) && told.compactMap(\.what.attempt) == [1, 1, 1, 1, 1, 2])
        let words = told.compactMap(\.words)
        #expect(words.contains("coordinates, and begins attempt 1: signers 1, 2"))
        #expect(words.last == "coordinates, and begins attempt 2: signers 1, 2; it has not heard yet that others have finished")
        #expect(timeline.signedAttempt?.number == 3 && timeline.attempts.map(\.number) == [3, 2])
    }

    @Test func `nobody begins an attempt in the story before it has approved, and nobody gives up waiting for itself`() throws {
        var timeline = NetworkTimeline()
        // A node tells of its decision when that is on the disk, and has begun by then.
        for what in [NetworkStep.What.received, .attemptBegan(1, set: [1, 2]), .approved] { timeline.take(Self.step(5, 2, what)) }
        _ = timeline.settle(now: nil)
        #expect(timeline.steps.map(\.what) == [.received, .approved, .attemptBegan(1, set: [1, 2])])
        #expect(Self.step(1, 2, .gaveUpTurn(of: 2)).words == "sees that its turn to coordinate is over")
        #expect(Self.step(1, 1, .gaveUpTurn(of: 2)).words == "waits no longer for signer 2 to coordinate")
    }

    @Test func `the end of a request is told in words, with the signers' numbers`() throws {
        let (first, second) = ("\(self.keys[0])", "\(self.keys[1])")
        let event = try JSONValue(
            parsing: Array(#"{"event":"ended","state":"ended_may_still_complete","reason":"refused by \#(second), without whom"}"#.utf8))
        let what = try #require(NetworkStep.What(event) { [first: 1, second: 2][$0] })
        #expect(Self.step(1, 1, what).words == "has given the request up: refused by signer 2, without whom")
    }

    @Test func `a message that has to be waited for is half a round trip more, wherever it comes from`() throws {
        var timeline = NetworkTimeline()
        #expect(timeline.roundTrips == nil)
        // Signer 2 was started anew while the proposer waited for its partial signature.
        let steps: [NetworkStep.What] = [.proposed, .received, .approved]
        for (place, what) in steps.enumerated() { timeline.take(Self.step(place, place == 0 ? 1 : 2, what)) }
        timeline.take(Self.step(4, 1, .heardApproval(of: 2)))
        timeline.take(Self.step(4, 1, .attemptBegan(1, set: [1, 2])))
        timeline.take(Self.step(5, 2, .killed))
        timeline.take(Self.step(6, 2, .startedAgain))
        timeline.take(Self.step(7, 1, .heardRestart(of: 2)))
        timeline.take(Self.step(8, 1, .attemptBegan(3, set: [1, 2])))
        timeline.take(Self.step(9, 2, .signed(3)))
        timeline.take(Self.step(10, 1, .heardSignatures(of: 2, 3)))
        timeline.take(Self.step(11, 1, .complete))
        _ = timeline.settle(now: nil)
        #expect(timeline.steps.count == 12 && timeline.roundTrips == 2)
        // One more in the chain: what signer 2 told after it had heard of the first attempt.
        var longer = NetworkTimeline()
        for step in timeline.steps {
            if step.what == .killed { longer.take(Self.step(4, 2, .signed(1))) }
            longer.take(step)
        }
        _ = longer.settle(now: nil)
        #expect(longer.roundTrips == 3)
    }

    @Test func `an attempt that lacks a signature has made nothing, and who is at fault is named once`() throws {
        var timeline = NetworkTimeline()
        timeline.take(Self.step(1, 1, .attemptBegan(1, set: [1, 2])))
        timeline.take(Self.step(2, 1, .heardSignatures(of: 1, 1)))
        for signer in [1, 3] { timeline.take(Self.step(3, signer, .fault(of: 2, "it does not verify"))) }
        timeline.take(Self.step(4, 3, .ended("aborted")))
        _ = timeline.settle(now: nil)
        #expect(timeline.signedAttempt == nil && timeline.attempts.count == 1 && timeline.blamed == [2])
        #expect(timeline.end?.signer == 3 && timeline.end?.state == "aborted")
    }

    @Test func `events of nodes are read, and what has no part in the story is not`() throws {
        func what(_ text: String) throws -> NetworkStep.What? {
            NetworkStep.What(try JSONValue(parsing: Array(text.utf8))) { ["aa": 1, "bb": 2][$0] }
        }
        #expect(try what(#"{"event":"requested"}"#) == .received)
        #expect(try what(#"{"event":"decided","decision":"approved"}"#) == .approved)
        #expect(try what(#"{"event":"decided","decision":"rejected"}"#) == nil)
        #expect(try what(#"{"event":"joined","public_key":"bb"}"#) == .heardApproval(of: 2))
        #expect(try what(#"{"event":"joined","public_key":"cc"}"#) == nil)
        #expect(try what(#"{"event":"attempt_began","attempt":4,"signers":["bb","aa"]}"#) == .attemptBegan(4, set: [2, 1]))
        #expect(try what(#"{"event":"attempt_began","attempt":-4,"signers":["bb","aa"]}"#) == nil)
        #expect(try what(#"{"event":"partial_signatures_received","attempt":4,"public_key":"aa"}"#) == .heardSignatures(of: 1, 4))
        #expect(try what(#"{"event":"fault","public_key":"aa","fault":"f"}"#) == .fault(of: 1, "f"))
        #expect(try what(#"{"event":"connected","public_key":"aa"}"#) == nil)
    }

    @Test func `the diagram has an arrow for each message and a break where a process was gone`() throws {
        var timeline = NetworkTimeline()
        for step in Self.told { timeline.take(step) }
        _ = timeline.settle(now: nil)
        func count(_ part: String, in text: String) -> Int { text.components(separatedBy: part).count - 1 }
        let svg = SequenceDiagram(title: "2 of 3 <sign>", signerCount: 3, steps: timeline.steps).svg
        // Two requests, two approvals, two begins, two partial signatures, two completions.
        #expect(count("class=\"arrow", in: svg) == 10 && count("class=\"life", in: svg) == 3)
        #expect(svg.contains("2 of 3 &lt;sign&gt;") && !svg.contains("<sign>") && svg.contains("prefers-color-scheme: dark"))
        #expect(!svg.contains("killed"))

        let crashed = timeline.steps + [Self.step(20, 2, .killed), Self.step(30, 2, .startedAgain), Self.step(31, 1, .heardRestart(of: 2))]
        let broken = SequenceDiagram(title: "crash", signerCount: 3, steps: crashed).svg
        #expect(count("class=\"life", in: broken) == 5 && count("class=\"life gone\"", in: broken) == 1)
        #expect(broken.contains(">killed<") && broken.contains(">started again<"))
    }

    @Test(.timeLimit(.minutes(15))) func `a demo over a network outlives a node that is killed, and draws what happened`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("diagram.svg")
        let run = try Tool("demo", "--signers", "2", "--kill", "--diagram", path, "--json").run()
        #expect(run.exitCode == 0, "\(run.errors)")
        let result = try run.json()
        #expect(result["verified"] as? Bool == true && result["transport"] as? String == "libp2p")
        #expect(try #require(result["attempts"] as? Int) >= 1 && (result["blamed"] as? [String]) == [])
        let svg = try folder.text("diagram.svg")
        #expect(svg.hasPrefix("<svg") && svg.contains(">killed<") && svg.contains(">started again<"))
    }

    @Test(.timeLimit(.minutes(5))) func `in a demo over a network whoever cheats is named, and those who can finish without it`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("diagram.svg")
        let finished = try Tool("demo", "--threshold", "2", "--cheat", "--diagram", path, "--json").run()
        #expect(finished.exitCode == 0, "\(finished.errors)")
        let result = try finished.json()
        #expect(result["verified"] as? Bool == true && (result["blamed"] as? [String])?.count == 1)
        #expect(try folder.text("diagram.svg").contains("proof against 2"))

        let ended = try Tool("demo", "--signers", "2", "--cheat", "--json").run()
        #expect(ended.exitCode == 0, "\(ended.errors)")
        let end = try ended.json()
        #expect(end["verified"] as? Bool == false && (end["blamed"] as? [String])?.count == 1)
        #expect(end["transaction"] is NSNull && end["txid"] is NSNull && end["round_trips"] is NSNull)
    }

    @Test(.timeLimit(.minutes(5))) func `a demo over a network goes on while whoever coordinates is cut off`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("diagram.svg")
        let run = try Tool("demo", "--threshold", "2", "--partition", "--diagram", path, "--json").run()
        #expect(run.exitCode == 0, "\(run.errors)")
        let result = try run.json()
        #expect(result["verified"] as? Bool == true && (result["blamed"] as? [String]) == [])
        // Of two, one begins and the other answers.
        #expect(try #require(result["round_trips"] as? Double) >= 1)
        let svg = try folder.text("diagram.svg")
        #expect(svg.contains(">cut off<") && svg.contains(">back<") && svg.contains("waits no longer for"))
    }

    @Test func `no command that takes a key file has a way to cheat`() throws {
        // What a person's key signs goes through `node run` and `cosign`; the demo makes its own keys.
        for words in [["node", "run"], ["cosign"]] {
            let help = try Tool(words + ["--help"]).run()
            #expect(help.exitCode == 0 && !help.output.contains("cheat"))
            let refused = try Tool(words + ["--cheat"]).run()
            #expect(refused.exitCode == 2, "\(refused)")
        }
        #expect(try Tool("demo", "--cheat", "--key", "my.key").run().exitCode == 2)
    }

    @Test func `what makes no demo over a network is refused`() throws {
        func refused(_ words: String..., because part: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let run = try Tool(["demo"] + words).run()
            #expect(run.exitCode == 2 && run.errors.contains(part), "\(run)", sourceLocation: sourceLocation)
        }
        try refused("--transport", "libp2p", "--signers", "1", because: "2 members or more")
        try refused("--transport", "libp2p", "--threshold", "1", "--kill", because: "nobody to wait for")
        try refused("--kill", "--transport", "folder", because: "choose --transport libp2p")
        try refused("--cheat", "--transport", "folder", because: "choose --transport libp2p")
        try refused("--threshold", "1", "--partition", because: "nobody to wait for")
        try refused("--kill", "--cheat", because: "one thing goes wrong at a time")
        try refused("--diagram", "x.svg", "--transport", "folder", "--signers", "1", because: "choose --transport libp2p")
        try refused("--kill", "--signers", "1", because: "2 signers or more")
        try refused("--force", because: "add --diagram FILE, or leave it away")
    }

    @Test(.timeLimit(.minutes(5))) func `a demo replaces the picture of another one, and nothing else of that name`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("what-happened.svg")
        for _ in 1...2 { #expect(try Tool("demo", "--signers", "2", "--diagram", path, "--json").run().exitCode == 0) }
        let mine = try folder.write("<svg xmlns=\"http://www.w3.org/2000/svg\"><title>mine</title></svg>", to: "mine.svg")
        let refused = try Tool("demo", "--signers", "2", "--diagram", mine, "--json").run()
        #expect(refused.exitCode == 1 && refused.errors.contains("--force"), "\(refused)")
        #expect(try folder.text("mine.svg").contains("mine"))
        #expect(try Tool("demo", "--signers", "2", "--diagram", mine, "--force", "--json").run().exitCode == 0)
        #expect(try folder.text("mine.svg").contains("not to scale"))
    }

    @Test(.timeLimit(.minutes(5))) func `what a demo leaves behind can be signed and looked at by the lines that it tells`() throws {
        let folder = try TemporaryFolder()
        var tool = Tool("demo", "--signers", "3", "--threshold", "2", "--keep")
        tool.environment["TMPDIR"] = folder.path
        let run = try tool.run()
        #expect(run.exitCode == 0, "\(run)")
        let commands = run.errors.split(separator: "\n").filter { $0.hasPrefix("  ") }.map { $0.dropFirst(2) }
        #expect(commands.contains { $0.contains("chorale cosign") } && commands.contains { $0.contains("chorale audit verify") })
        let executable = try #require(Tool.executable)
        let script = try folder.write("set -e\nchorale() { '\(executable)' \"$@\"; }\n\(commands.joined(separator: "\n"))\n", to: "script")
        var actions = FileActions()
        defer { actions.destroy() }
        actions.open(0, "/dev/null", O_RDONLY)
        actions.open(1, folder.path("output"), O_WRONLY | O_CREAT | O_TRUNC)
        actions.open(2, folder.path("errors"), O_WRONLY | O_CREAT | O_TRUNC)
        let shell = try Tool.spawn(["/bin/sh", script], ["PATH": "/usr/bin:/bin"], &actions)
        let exitCode = Tool.exitCode(of: shell)
        let (output, errors) = (try folder.text("output"), try folder.text("errors"))
        #expect(exitCode == 0, "\(errors)")
        #expect(output.contains("signed: the signatures in it verify") && output.contains("Who said what"), "\(output)")
        // Signed once more: both processes have the transaction.
        #expect(errors.components(separatedBy: "Signed: transaction").count == 3, "\(errors)")
    }

    @Test(.timeLimit(.minutes(5))) func `one signer, of whom there is no picture, signs all the same and says so`() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("mine", to: "diagram.svg")
        let run = try Tool("demo", "--signers", "1", "--diagram", path, "--json").run()
        #expect(run.exitCode == 0 && run.errors.contains("No picture was drawn"), "\(run)")
        let told = try Tool("demo", "--signers", "1", "--diagram", path).run()
        #expect(told.errors.contains("No picture was drawn") && !told.errors.contains("What happened is drawn"), "\(told)")
        #expect(try run.json()["verified"] as? Bool == true)
        // Nothing is drawn, so a file of that name is in nobody's way, and stays.
        #expect(try folder.text("diagram.svg") == "mine")
    }

    @Test(
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/make"), "needs make"),
        arguments: [
            ("", true), ("--signers 5 --kill", true), ("--transport folder", false), ("--transport=folder", false),
            ("--diagram other.svg", false), ("--diagram=other.svg", false), ("--json", false),
        ])
    func `make demo asks for a picture where nodes say something and no other one is asked for`(words: String, isAskedFor: Bool) throws {
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder = try TemporaryFolder()
        var actions = FileActions()
        defer { actions.destroy() }
        actions.open(1, folder.path("output"), O_WRONLY | O_CREAT | O_TRUNC)
        let make = try Tool.spawn(
            ["/usr/bin/make", "--dry-run", "-C", package.path, "demo", "ARGS=\(words)"], ["PATH": "/usr/bin:/bin"], &actions)
        #expect(Tool.exitCode(of: make) == 0)
        let command = try #require(try folder.text("output").split(separator: "\n").first { $0.contains("chorale demo") })
        #expect(command.contains("--diagram .build/demo.svg") == isAskedFor && command.hasSuffix(words), "\(command)")
    }
}
