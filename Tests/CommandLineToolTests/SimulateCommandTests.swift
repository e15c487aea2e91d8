import Foundation
import Testing

@testable import CommandLineTool

/// `chorale simulate network` as a process: each run has dictionaries in an order of its own, so what is the same in two runs follows
/// from the seed.
@Suite struct SimulateCommandTests {
    private func run(_ words: String...) throws -> Transcript { try Tool(["simulate", "network", "--nodes", "6"] + words).run() }

    private func runs(_ transcript: Transcript) throws -> [[String: Any]] {
        try #require(transcript.json()["runs"] as? [[String: Any]])
    }

    @Test func `a network that holds is told with its figures, and replays to the byte in another process`() throws {
        let text = try self.run("--seed", "3")
        #expect(text.exitCode == 0, "\(text.errors)")
        let lines = text.outputLines
        #expect(lines.first?.contains("6 nodes, seed 3") == true, "\(text.output)")
        for name in ["messages", "delivered after", "mesh peers", "slow readers", "values", "hops to a value", "time", "digest"] {
            #expect(lines.contains { $0.contains(name) }, "\(text.output)")
        }
        #expect(lines.contains { $0.contains("checks") && $0.contains("everything held") }, "\(text.output)")

        let json = try self.run("--seed", "3", "--json")
        #expect(json.exitCode == 0, "\(json.errors)")
        let only = try #require(try self.runs(json).first)
        #expect(only["seed"] as? Int == 3 && (only["violations"] as? [String])?.isEmpty == true)
        #expect((only["messages"] as? Int ?? 0) > 0 && (only["values"] as? Int ?? 0) > 0)
        let digest = try #require(only["digest"] as? String)
        #expect(digest.count == 16 && lines.contains { $0.contains("digest") && $0.contains(digest) }, "\(text.output)")
    }

    @Test func `networks that run at the same time come to the same as one after the other, in the order of their seeds`() throws {
        func outcome(jobs: String) throws -> [String] {
            let transcript = try self.run("--seed", "20", "--seeds", "3", "--jobs", jobs, "--json")
            #expect(transcript.exitCode == 0, "\(transcript.errors)")
            return try self.runs(transcript).map { run in
                "\(run["seed"] as? Int ?? 0) \(run["digest"] as? String ?? "") \(run["flood_publishing"] as? Bool == true)"
            }
        }
        let serial = try outcome(jobs: "1")
        #expect(serial.map { $0.prefix(2) } == ["20", "21", "22"])
        // Every second seed leaves delivery to the meshes.
        #expect(serial.map { $0.hasSuffix("true") } == [true, false, true], "\(serial)")
        #expect(try outcome(jobs: "3") == serial)
    }

    @Test func `what does not hold is told with its seed and the command that replays it, and the exit code is 1`() throws {
        let run = try self.run("--seed", "8", "--seeds", "2", "--heartbeats", "0", "--json")
        #expect(run.exitCode == 1)
        #expect(try run.json()["passed"] as? Bool == false)
        for (seed, found) in zip([8, 9], try self.runs(run)) {
            #expect(found["seed"] as? Int == seed && (found["violations"] as? [String])?.isEmpty == false)
            #expect(run.errors.contains("seed \(seed): message "), "\(run.errors)")
            #expect(run.errors.contains("replay: chorale simulate network --nodes 6 --seed \(seed) --heartbeats 0\n"), "\(run.errors)")
        }
        #expect(run.errors.contains("2 networks"), "\(run.errors)")
    }

    @Test func `nodes, seeds and bounds that cannot be are refused`() throws {
        for words in [["--nodes", "1"], ["--seeds", "0"], ["--jobs", "0"], ["--readers", "0"], ["--hops", "-1"], ["--seed", "x"]] {
            #expect(throws: CommandError.self) {
                try CommandLineParser(root: CommandLineTool.root).parse(["simulate", "network"] + words)
            }
        }
    }
}

@Suite struct SimulateSigningCommandTests {
    @Test func `signings are counted, and the JSON has what its readers expect`() throws {
        let run = try Tool(["simulate", "signing", "--seeds", "12", "--first-seed", "3", "--members", "4", "--jobs", "2", "--json"]).run()
        // A machine that is busy may show how far it is.
        #expect(run.exitCode == 0 && run.errors.split(separator: "\n").allSatisfy { $0.hasPrefix("Signings") })
        let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        #expect(
            Set(object.keys) == [
                "seeds", "completed", "aborted", "expired", "violations", "virtual_seconds", "wall_seconds", "coverage",
            ])
        #expect(object["seeds"] as? Int == 12 && (object["violations"] as? [Any])?.isEmpty == true)
        let ended = ["completed", "aborted", "expired"].compactMap { object[$0] as? Int }
        #expect(ended.count == 3 && ended.reduce(0, +) == 12)
        #expect((object["coverage"] as? [String])?.contains("event complete") == true)
    }

    @Test func `signings are told in words`() throws {
        let run = try Tool(["simulate", "signing", "--seeds", "4", "--members", "3"]).run()
        #expect(run.exitCode == 0)
        #expect(run.output.contains("signings      4: ") && run.output.contains("violations    0\n"))
        #expect(run.output.contains("a second; ") && run.output.contains("states and "))
    }

    @Test func `whole nodes are simulated, and the JSON is the same`() throws {
        let run = try Tool(["simulate", "signing", "--whole-nodes", "--seeds", "2", "--members", "2", "--json"]).run()
        #expect(run.exitCode == 0, "\(run.errors)")
        let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        #expect(object["seeds"] as? Int == 2 && object.count == 8)
    }

    @Test(arguments: [["--fault", "believesTooEarly"], ["--whole-nodes", "--fault", "believesTooEarly"]])
    func `what does not hold is told with its seed, and the exit code is 1`(options: [String]) throws {
        let words = ["--members", "2", "--first-seed", "1", "--seeds", "4"]
        let run = try Tool(["simulate", "signing", "--json"] + words + options).run()
        #expect(run.exitCode == 1)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        let found = try #require((object["violations"] as? [[String: Any]])?.first)
        let seed = try #require(found["seed"] as? Int)
        #expect((1...4).contains(seed) && (found["violation"] as? String)?.contains("does not verify") == true)
        let isOfNodes = options.contains("--whole-nodes") ? " --whole-nodes" : ""
        let again = "chorale simulate signing --seeds 1 --first-seed \(seed)\(isOfNodes) --members 2 --fault believesTooEarly"
        #expect(run.errors.contains("seed \(seed): ") && run.errors.contains(again), "\(run.errors)")
    }

    @Test func `all whole nodes have one in the middle where that is asked for, and nothing else has`() throws {
        let words = ["simulate", "signing", "--relays", "--seeds", "4", "--members", "2"]
        let run = try Tool(words + ["--whole-nodes", "--json"]).run()
        #expect(run.exitCode == 0, "\(run.errors)")
        let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
        let coverage = try #require(object["coverage"] as? [String])
        #expect(coverage.contains("member reached through a relay") || coverage.contains("announcement heard"), "\(coverage)")
        let alone = try Tool(words).run()
        #expect(alone.exitCode == 2 && alone.errors.contains("--relays is for whole nodes: add --whole-nodes"), "\(alone.errors)")
    }

    @Test func `a fault that there is not is refused, and the others are named`() throws {
        let run = try Tool(["simulate", "signing", "--fault", "keepsNonces"]).run()
        #expect(run.exitCode != 0 && run.errors.contains("releasesBeforeDurable"), "\(run.errors)")
    }
}
