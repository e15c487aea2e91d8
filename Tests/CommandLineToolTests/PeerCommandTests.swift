import Foundation
import Testing

@testable import CommandLineTool

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

@Suite struct PeerCommandTests {
    private func error(_ words: String...) -> String? {
        do throws(CommandError) {
            _ = try CommandLineParser(root: CommandLineTool.root).parse(["peer"] + words)
            return nil
        } catch { return "\(error)" }
    }

    @Test func `the contract's options need no name of a command`() throws {
        for words in [["peer"], ["peer", "--listen", "/ip4/127.0.0.1/tcp/0", "--no-pubsub"], ["peer", "run", "--echo=/e"]] {
            guard case .run(_, let arguments) = try CommandLineParser(root: CommandLineTool.root).parse(words) else {
                Issue.record("\(words) run nothing")
                continue
            }
            #expect(arguments.command == "peer run")
        }
        guard case .help(let command, _) = try CommandLineParser(root: CommandLineTool.root).parse(["peer", "--help"]) else {
            Issue.record("the group has no help of its own")
            return
        }
        #expect(command.name == "peer")
    }

    @Test func `wrong words are told with what would be right`() {
        #expect(self.error("rnu") == #"peer: there is no command "rnu": did you mean run? (see: chorale peer --help)"#)
        #expect(self.error("--lisen", "x")?.contains("did you mean --listen?") == true)
    }

    @Test(arguments: [
        ("--listen", "127.0.0.1:4001"), ("--listen", "/ip4/127.0.0.1/tcp/66000"), ("--listen", ""), ("--seed", "00"), ("--seed", "xyz"),
        ("--echo", ""), ("--echo", "/a\n/b"), ("--sink", String(repeating: "x", count: 1_024)),
        ("--meshsub", "/meshsub/2.0.0"), ("--heartbeat", "0"), ("--heartbeat", "x"), ("--dht", "on"), ("--relay", "yes"),
        ("--kad-protocol", ""), ("--namespace", "a/b"), ("--d", "0"), ("--relay-data", "0"),
    ])
    func `a value that cannot be is refused before a node starts`(option: String, value: String) throws {
        #expect(throws: CommandError.self) {
            try CommandLineParser(root: CommandLineTool.root).parse(["peer", "run", option, value])
        }
    }

    // MARK: A process

    /// Runs `chorale peer` with these lines as its input; gives what it said, an object a line.
    private func run(_ words: [String] = [], _ lines: [String]) throws -> (events: [[String: Any]], run: Transcript) {
        var tool = Tool(["peer"] + words)
        tool.input = Array(lines.map { $0 + "\n" }.joined().utf8)
        let run = try tool.run()
        let events = try run.outputLines.map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
        }
        return (events, run)
    }

    @Test func `a mesh whose bounds contradict each other, and a topic that can be none, are refused`() throws {
        let (events, run) = try self.run(["--d", "3", "--dlo", "5"], [])
        #expect(events.isEmpty && run.exitCode == 2 && run.errors.contains("--dlo, --d and --dhi"))
        #expect(try self.run(["--topic", ""], []).run.exitCode == 2)
        // The smallest that go together.
        #expect(try self.run(["--d=1", "--dlo=1", "--dhi=1", "--px", "--no-sign", "--topic=t"], []).run.exitCode == 0)
    }

    @Test func `a seed makes the same identity each time, and the peer tells it with its address`() throws {
        let seed = String(repeating: "07", count: 32)
        let (events, run) = try self.run(["--seed", seed, "--listen", "/ip4/127.0.0.1/tcp/0"], [#"{"id":1,"cmd":"quit"}"#])
        #expect(run.exitCode == 0 && run.errors == "")
        #expect(events.map { $0["event"] as? String } == ["ready", "bye"])
        let ready = try #require(events.first)
        #expect(ready["impl"] as? String == "chorale")
        // By PyNaCl and base 58 in Python: the public key of this seed, in a key's protobuf, as an identity multihash.
        #expect(ready["peer_id"] as? String == "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7")
        let address = try #require((ready["addrs"] as? [String])?.first)
        #expect(address.hasPrefix("/ip4/127.0.0.1/tcp/") && address.hasSuffix("/p2p/12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7"))
        #expect((ready["t"] as? Double).map { abs($0 - Date().timeIntervalSince1970) < 600 } == true)
    }

    @Test func `it ends with its input, and what cannot be done is answered with the command's number`() throws {
        let commands = [
            #"{"id":1,"cmd":"id"}"#, #"{"id":"two","cmd":"fly"}"#, #"{"id":3,"cmd":"connect","addr":"/ip4/127.0.0.1/tcp/9"}"#,
            #"{"id":4,"cmd":"stream","peer":"QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb","proto":"/x"}"#,
            #"{"id":5,"cmd":"handle","proto":"/x","mode":"shout"}"#, #"{"id":6,"cmd":"throughput","peer":"x","bytes":-1}"#,
        ]
        let (events, run) = try self.run([], commands)
        #expect(run.exitCode == 0)
        let replies = events.filter { $0["event"] as? String == "reply" }
        #expect(replies.count == commands.count && events.last?["event"] as? String == "bye")
        #expect(replies.contains { $0["id"] as? String == "two" && $0["error"] as? String == "there is no command \"fly\"" })
        for reply in replies {
            #expect((reply["ok"] as? Bool == true) == (reply["id"] as? Int == 1))
            #expect(reply["ok"] as? Bool == true || !(reply["error"] as? String ?? "").isEmpty)
        }
    }

    @Test func `lines that are no command are told, and the next one is obeyed`() throws {
        let (events, run) = try self.run([], ["{", "[]", #"{"cmd":7}"#, "\u{0}", "", #"{"id":9,"cmd":"quit"}"#])
        #expect(run.exitCode == 0)
        #expect(events.map { $0["event"] as? String } == ["ready", "error", "error", "error", "error", "bye"])
    }

    @Test func `an address that cannot be listened on ends it with the reason`() throws {
        let (events, run) = try self.run(["--listen", "/ip4/192.0.2.77/tcp/0"], [])
        #expect(events.isEmpty && run.exitCode == 1)
        #expect(run.errors.contains("/ip4/192.0.2.77/tcp/0"))
    }

    @Test(arguments: ["run", "listen"])
    func `an address of a kind that nobody here listens on is wrong usage`(command: String) throws {
        let run = try Tool("peer", command, "--listen", "/ip4/127.0.0.1/udp/99").run()
        let reason = "it must be /ip4/…/tcp/… or /ip6/…/tcp/…, with /ws behind it for WebSockets"
        #expect(
            run.errors == "chorale: peer \(command): --listen cannot be \"/ip4/127.0.0.1/udp/99\": \(reason) "
                + "(see: chorale peer \(command) --help)\n")
        #expect(run.output == "" && run.exitCode == 2)
    }

    @Test(.enabled(if: if_nametoindex("lo") != 0, "there is no interface lo"))
    func `networks to ask are named only where networks are asked, and only those that are there`() throws {
        let nameless = try Tool("peer", "listen", "--mdns-interface", "lo").run()
        #expect(nameless.errors.contains("--mdns-interface belongs to --mdns: add it"))
        #expect(nameless.output == "" && nameless.exitCode == 2)
        for name in ["nosuch0", ""] {
            let run = try Tool("peer", "listen", "--mdns", "--mdns-interface", name).run()
            #expect(run.errors.contains("--mdns-interface cannot be \"\(name)\": there is no network interface of this name"))
            #expect(run.output == "" && run.exitCode == 2)
        }
    }

    // MARK: By hand

    /// A `chorale peer listen` in the background, and what it prints.
    private final class Listener {
        let process: pid_t
        private let folder: TemporaryFolder
        private var isOver = false

        convenience init(_ words: String...) throws { try self.init(words) }

        init(_ words: [String]) throws {
            let executable = try #require(Tool.executable, "chorale must be built beside the tests")
            self.folder = try TemporaryFolder()
            var actions = FileActions()
            defer { actions.destroy() }
            actions.open(0, "/dev/null", O_RDONLY)
            actions.open(1, self.folder.path("output"), O_WRONLY | O_CREAT | O_TRUNC)
            actions.open(2, self.folder.path("errors"), O_WRONLY | O_CREAT | O_TRUNC)
            let sanitizers = ProcessInfo.processInfo.environment.filter { ["TSAN_OPTIONS", "ASAN_OPTIONS"].contains($0.key) }
            let variables = ["PATH": "/usr/bin:/bin"].merging(sanitizers) { $1 }
            self.process = try Tool.spawn([executable, "peer", "listen"] + words, variables, &actions)
        }

        deinit { if !self.isOver { Tool.end(self.process) } }

        /// Its lines, once there is one that is asked for.
        func lines(with text: String) throws -> [String] {
            let end = ContinuousClock.now + .seconds(30)
            while ContinuousClock.now < end {
                let lines = try self.folder.text("output").split(separator: "\n").map(String.init)
                if lines.contains(where: { $0.contains(text) }) { return lines }
                usleep(10_000)
            }
            Issue.record("\(text) is not told: \(try self.folder.text("output")) \(try self.folder.text("errors"))")
            return []
        }

        func interrupt() -> Int32 {
            kill(self.process, SIGINT)
            self.isOver = true
            return Tool.exitCode(of: self.process)
        }
    }

    @Test func `one listens; others dial it, ping it and ask who it is; Ctrl-C ends it`() throws {
        let listener = try Listener()
        let address = try #require(try listener.lines(with: "/p2p/").first)
        let peer = try #require(address.split(separator: "/").last.map(String.init))

        let dial = try Tool("peer", "dial", address).run()
        #expect(dial.exitCode == 0 && dial.errors == "")
        #expect(dial.outputLines.contains("  peer     \(peer)") && dial.outputLines.contains("  way      directly"))
        #expect(try Tool("peer", "dial", address, "--json").run().json()["peer_id"] as? String == peer)

        let ping = try Tool("peer", "ping", "--count", "3", address).run()
        #expect(ping.exitCode == 0 && ping.outputLines.count == 5 && ping.outputLines.first == peer)
        let times = try #require(try Tool("peer", "ping", "--json", "--count=2", address).run().json()["ms"] as? [Double])
        #expect(times.count == 2 && times.allSatisfy { $0 > 0 })

        let identify = try Tool("peer", "identify", address).run()
        #expect(identify.exitCode == 0)
        #expect(identify.outputLines.contains("  agent      chorale/\(CommandLineTool.version)"))
        #expect(identify.outputLines.contains("addresses, signed") && identify.outputLines.contains("  /ipfs/ping/1.0.0"))
        let said = try Tool("peer", "identify", "--json", address).run().json()
        #expect(said["peer_id"] as? String == peer && (said["protocols"] as? [String])?.contains("/echo/1.0.0") == true)

        #expect(try listener.lines(with: "disconnected").contains { $0.hasPrefix("connected    12D3KooW") })
        #expect(listener.interrupt() == 4)
    }

    @Test func `what listen tells can be read by programs`() throws {
        let listener = try Listener("--json", "--listen", "/ip4/127.0.0.1/tcp/0/ws")
        let first = try #require(try listener.lines(with: "listening").first)
        let start = try #require(JSONSerialization.jsonObject(with: Data(first.utf8)) as? [String: Any])
        let address = try #require((start["addrs"] as? [String])?.first)
        #expect(address.contains("/ws/p2p/"))
        #expect(try Tool("peer", "dial", address).run().exitCode == 0)
        for line in try listener.lines(with: "disconnected") {
            let event = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
            #expect(["listening", "connected", "identified", "disconnected"].contains(event["event"] as? String))
        }
        #expect(listener.interrupt() == 4)
    }

    @Test(.enabled(if: if_nametoindex("lo") != 0, "there is no interface lo"))
    func `who is near by is found when that is asked for, and not otherwise`() throws {
        // On loopback alone: nothing leaves this machine.
        let quiet = try Listener()
        let words = ["--mdns", "--mdns-interface", "lo"]
        let first = try Listener(words)
        let second = try Listener(words + ["--json"])
        func peer(_ listener: Listener) throws -> String {
            let line = try #require(try listener.lines(with: "/p2p/").first)
            return try #require(line.split(separator: "/p2p/").last?.split(separator: "\"").first.map(String.init))
        }
        #expect(try first.lines(with: try peer(second)).contains { $0.hasPrefix("discovered") && $0.contains("/ip4/127.0.0.1/tcp/") })
        let told = try second.lines(with: "\"peer_id\":\"\(try peer(first))\"")
        #expect(told.contains { $0.contains("\"event\":\"discovered\"") })
        let silent = try peer(quiet)
        #expect(try !first.lines(with: "discovered").contains { $0.contains(silent) })
        #expect(first.interrupt() == 4)
        // It has taken leave.
        #expect(try second.lines(with: "expired").contains { $0.contains("\"event\":\"expired\"") })
        #expect(second.interrupt() == 4)
        #expect(try quiet.lines(with: "/p2p/").allSatisfy { !$0.hasPrefix("discovered") })
        #expect(quiet.interrupt() == 4)
    }

    @Test func `who is not there, or is another one, is told with the reason`() throws {
        let other = "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7"
        let nobody = try Tool("peer", "ping", "/ip4/127.0.0.1/tcp/1/p2p/\(other)").run()
        #expect(nobody.exitCode == 3 && nobody.output == "")
        #expect(nobody.errors.contains("\(other) cannot be reached: /ip4/127.0.0.1/tcp/1: "))

        let listener = try Listener()
        let address = try #require(try listener.lines(with: "/p2p/").first)
        let peer = try #require(address.split(separator: "/").last.map(String.init))
        let wrong = try Tool("peer", "dial", address.replacingOccurrences(of: peer, with: other)).run()
        #expect(wrong.exitCode == 3 && wrong.errors.contains("\(other) was dialled, and \(peer) answered"))

        let nameless = try Tool("peer", "dial", "/ip4/127.0.0.1/tcp/1").run()
        #expect(nameless.exitCode == 2 && nameless.errors.contains("it must end in /p2p/"))
        #expect(try Tool("peer", "ping", "--count", "0", address).run().exitCode == 2)
        #expect(try Tool("peer", "dial").run().exitCode == 2)
    }
}
