import CryptoPrimitives
import Foundation
import SessionStore
import Signing
import Testing

@testable import CommandLineTool

/// `chorale node backup`, and what becomes of a backup that is put back.
@Suite struct NodeBackupTests {
    private func requests(in path: String) async throws -> [StoredRequest] {
        // All of it is read and checked by opening it.
        let database = try await SessionDatabase.open(path)
        var found: [StoredRequest] = []
        for state in StoredRequest.State.allCases { found += try await database.requests().requests(in: state, after: nil, countMax: 10) }
        await database.close()
        return found
    }

    @Test(.timeLimit(.minutes(5)))
    func `a node is backed up while it runs, and from the copy it goes on: what was decided since waits, and nothing serves twice`()
        async throws
    {
        let pair = try NodePair()
        let (ada, bob) = (pair.ada, pair.bob)
        let id = try pair.ask(1)
        try bob.waitFor { $0.contains { $0["request"] as? String == id } }
        let copy = bob.folder.path("copy.db")
        let made = try bob.run("node", "backup", copy)
        #expect(made.exitCode == 0 && made.output == "wrote \(copy)\n" && made.errors.contains("The key file is not in it"), "\(made)")
        #expect(try await self.requests(in: copy).map { "\($0.id)" } == [id])
        #expect(try await self.requests(in: copy).first?.decision == .undecided)

        #expect(try bob.run("request", "approve", id, "--yes").exitCode == 0)
        for node in [ada, bob] { #expect(try node.run("request", "watch", "--request", id, "--time-limit", "60").exitCode == 0) }
        bob.kill()
        let files = FileManager.default
        for name in ["chorale.db", "chorale.db-wal"] where files.fileExists(atPath: "\(bob.home)/\(name)") {
            try files.moveItem(atPath: "\(bob.home)/\(name)", toPath: bob.folder.path(name))
        }
        try files.copyItem(atPath: copy, toPath: "\(bob.home)/chorale.db")
        try bob.start()
        // Ada's node has the signature, and Bob's takes it from there: an old disk signs nothing by itself.
        #expect(try bob.run("request", "watch", "--request", id, "--time-limit", "60").exitCode == 0)
        #expect(try bob.json("request", "show", id)["decision"] as? String == "undecided")
        let events = try ada.events() + bob.events()
        #expect(!events.contains { ["clone_alarm", "fault"].contains($0["event"] as? String ?? "") })
        // The next one is signed as ever.
        let next = try pair.ask(2)
        try bob.waitFor { $0.contains { $0["request"] as? String == next } }
        #expect(try bob.run("request", "approve", next, "--yes").exitCode == 0)
        #expect(try ada.run("request", "watch", "--request", next, "--time-limit", "60").exitCode == 0)
    }

    @Test(.timeLimit(.minutes(5)))
    func `a backup replaces no file unless it is told to, never the database, and needs a node that ever ran`()
        async throws
    {
        let node = try NodeProcess("Ada")
        let copy = try node.folder.write("mine", to: "copy.db")
        let refused = try node.run("node", "backup", copy)
        #expect(refused.exitCode == 1 && refused.errors.contains("--force"), "\(refused)")
        #expect(try node.folder.text("copy.db") == "mine")
        #expect(try node.json("node", "backup", copy, "--force")["node_runs"] as? Bool == true)
        #expect(try await self.requests(in: copy).isEmpty)
        let own = try node.run("node", "backup", "\(node.home)/chorale.db", "--force")
        #expect(own.exitCode == 1 && own.errors.contains("it is the database itself"), "\(own)")
        #expect(try node.run("node", "backup", node.folder.path("missing/copy.db")).exitCode == 3)
        #expect(node.interrupt() == 4)
        // Where none runs, too.
        let later = node.folder.path("later.db")
        #expect(try node.json("node", "backup", later)["node_runs"] as? Bool == false)
        #expect(try await self.requests(in: later).isEmpty)
        let never = try NodeHomeFolder()
        let run = try Tool("node", "backup", never.folder.path("copy.db"), "--home", never.home).run()
        #expect(run.exitCode == 3 && run.errors.contains("no node ever ran in"), "\(run)")
    }
}
