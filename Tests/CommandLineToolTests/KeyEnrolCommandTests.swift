import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import SessionStore
import Testing

@testable import CommandLineTool

@Suite struct KeyEnrolCommandTests {
    private func enrol(_ words: String..., passphrase: String = "pppp") throws -> Transcript {
        var tool = Tool(["key", "enrol"] + words)
        tool.environment["CHORALE_PASSPHRASE"] = passphrase
        return try tool.run()
    }

    /// A payment of a coin at the address, most of it back to there.
    private func payment(from address: String, in folder: TemporaryFolder) throws -> String {
        let script = try Address(parsing: address, on: .regtest).scriptPubKey
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([1])), index: 0), sequence: 0xffff_fffd)
        var psbt = try PSBT(
            unsignedTransaction: Transaction(inputs: [spent], outputs: [TransactionOutput(amount: 99_000, scriptPubKey: script)]))
        psbt.inputs[0].witnessUTXO = TransactionOutput(amount: 100_000, scriptPubKey: script)
        return try folder.write(psbt.serialized(), to: "payment.psbt")
    }

    @Test func `a version is above any before, whichever copy of the file it is made from`() {
        #expect(KeyEnrolCommand.version(after: 1, at: 1_800_000_000) == 1_800_000_000)
        #expect(KeyEnrolCommand.version(after: 1_900_000_000, at: 1_800_000_000) == 1_900_000_001)
        #expect(KeyEnrolCommand.version(after: .max - 1, at: .max) == .max && KeyEnrolCommand.version(after: .max, at: 1) == nil)
    }

    @Test(.timeLimit(.minutes(15)))
    func `a member whose machine is gone signs from another one, and the former one is heard no more`() throws {
        let (ada, bob) = try (NodeProcess("Ada"), NodeProcess("Bob"))
        let invited = try ada.json("group", "invite", "--name", "pair", "--members", "2")
        let invitation = try #require((invited["invitations"] as? [String])?.first)
        let joined = try bob.json("group", "join", invitation, "--yes")
        let end = ContinuousClock.now + .seconds(60)
        while try ada.json("group", "show", "pair")["state"] as? String != "made", ContinuousClock.now < end { usleep(20_000) }
        let former = try #require(try bob.json("node", "show")["peer_id"] as? String)
        #expect(try ada.run("contact", "add", "Bob", #require(try bob.json("node", "show")["contact"] as? String)).exitCode == 0)

        // Bob's machine is gone; he has a copy of its folder.
        bob.kill()
        let (key, other) = ("\(bob.home)/node.key", bob.folder.path("other.key"))
        let wrong = try self.enrol(key, "--out", other, passphrase: "wrong")
        #expect(wrong.exitCode == 1 && wrong.errors.contains("check what it is set to, or unset it to be asked"), "\(wrong)")
        let made = try self.enrol(key, "--out", other, "--expires-in", "365", "--json")
        #expect(made.exitCode == 0, "\(made)")
        let (before, after) = (try Tool("key", "show", key, "--json").run().json(), try Tool("key", "show", other, "--json").run().json())
        #expect(before["public_key"] as? String == after["public_key"] as? String && before["version"] as? Int == 1)
        #expect(before["identity"] as? String != after["identity"] as? String && (after["version"] as? Int ?? 0) > 1_700_000_000)
        #expect((after["expiry"] as? Int ?? 0) > 1_700_000_000 && after["label"] as? String == "Bob")
        #expect(try Tool("key", "show", other).run().output.contains("enrolment   version"))
        #expect(try self.enrol(key, "--out", other).exitCode == 1, "no key is replaced")
        try FileManager.default.removeItem(atPath: key)
        try FileManager.default.moveItem(atPath: other, toPath: key)
        try bob.start()
        let shown = try bob.json("node", "show")
        #expect(shown["peer_id"] as? String != former && shown["public_key"] as? String == before["public_key"] as? String)
        #expect(try bob.run("node", "show").output.contains("expires"))

        // Ada adds it under the name that he has.
        let added = try ada.json("contact", "add", "Bob", #require(shown["contact"] as? String))
        #expect(added["peer_id"] as? String == shown["peer_id"] as? String && added["is_verified"] as? Bool == false)
        let members = try #require(try ada.json("node", "show")["members"] as? [[String: Any]])
        #expect(members.map { $0["peer_id"] as? String } == [shown["peer_id"] as? String])
        let address = try #require(joined["address"] as? String)
        let psbt = try self.payment(from: address, in: ada.folder)
        let id = try #require(try ada.run("request", "new", "--group", "pair", "--psbt", psbt, "--yes").outputLines.first)
        try bob.waitFor { $0.contains { $0["event"] as? String == "requested" && $0["request"] as? String == id } }
        #expect(try bob.run("request", "approve", id, "--yes").exitCode == 0)
        for node in [ada, bob] {
            try node.waitFor { $0.contains { $0["event"] as? String == "complete" && $0["request"] as? String == id } }
            #expect(node.interrupt() == 4)
        }
    }

    @Test func `a machine whose enrolment is over is not started, and told how to go on`() throws {
        let folder = try TemporaryFolder()
        let home = folder.path("home")
        try FileManager.default.createDirectory(
            atPath: home, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        _ = try KeyFile.create(
            at: "\(home)/node.key", key: .generate(), identity: .generate(), network: .regtest, version: 7, expiry: 1_700_000_000,
            passphrase: SecretBytes(count: 4) { $0.initializeMemory(as: UInt8.self, repeating: 0x70) },
            cost: SealedSecret.Cost(passes: 1, memoryKibibytes: 8))
        var tool = Tool("node", "run", "--home", home, "--no-listen")
        tool.environment["CHORALE_PASSPHRASE"] = "pppp"
        let run = try tool.run()
        #expect(run.exitCode == 1 && run.errors.contains("ended at 2023-11-14") && run.errors.contains("chorale key enrol"), "\(run)")
    }
}
