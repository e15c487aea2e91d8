import Bitcoin
import Foundation
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool

/// What `cosign` asks for first, and what it says last.
@Suite struct CosignEndsTests {
    /// A group with its payment; the signer of a group of one needs nobody else.
    private func group(count: Int = 1) throws -> CosignGroup {
        let group = try CosignGroup(count: count)
        let policy = try SignerGroup(group.publicKeys)
        let (transaction, coin) = CosignGroup.transaction(spending: policy.scriptPubKey)
        _ = try group.folder.write(PSBT(asking: policy, toSign: transaction, spending: [coin]).serialized(), to: "payment.psbt")
        return group
    }

    @Test func `a wrong passphrase is refused before anything is shown or asked`() throws {
        let group = try self.group()
        for isAsked in [true, false] {
            var tool = group.cosign(0, timeLimit: 60)
            if isAsked { tool.arguments.removeAll { $0 == "--yes" } }
            tool.environment["CHORALE_PASSPHRASE"] = "qqqq"
            let run = try tool.run()
            #expect(run.exitCode == 1 && run.errors.contains("CHORALE_PASSPHRASE is wrong"), "\(run.errors)")
            #expect(!run.errors.contains("To be signed") && !run.errors.contains("no terminal"), "\(run.errors)")
            #expect(try group.sharedFiles() == [])
        }
    }

    @Test func `every place of the transaction is named, and who comes later hears that it was signed already`() throws {
        let group = try self.group()
        let (first, second) = (group.folder.path("first.tx"), group.folder.path("second.tx"))
        let signed = try group.cosign(0, timeLimit: 60, "--out", first).run()
        #expect(signed.exitCode == 0 && signed.errors.contains("Signed: transaction "), "\(signed.errors)")
        #expect(signed.errors.contains("final.tx and in \(first).\n"), "\(signed.errors)")
        #expect(try group.folder.text("first.tx") == signed.output)

        let late = try group.cosign(0, timeLimit: 60, "--out", second).run()
        #expect(late.exitCode == 0 && late.output == signed.output)
        #expect(late.errors.contains("Was signed already: transaction ") && !late.errors.contains("Signed:"), "\(late.errors)")
        #expect(late.errors.contains("final.tx and in \(second).\n"), "\(late.errors)")

        // A false one signs nothing away: it is replaced, by a signature of this process.
        let final = try #require(try group.sharedFiles().first { $0.hasSuffix("final.tx") })
        try FileManager.default.removeItem(atPath: "\(group.keyFile(0)).journal")
        for file in try group.sharedFiles() { try FileManager.default.removeItem(atPath: "\(group.shared)/\(file)") }
        try Data("garbage\n".utf8).write(to: URL(fileURLWithPath: "\(group.shared)/\(final)"))
        let again = try group.cosign(0, timeLimit: 60).run()
        #expect(again.exitCode == 0 && again.errors.contains("Signed: transaction "), "\(again.errors)")
    }

    @Test func `who leaves after signing tells a program the same as who waits for the end, and the set with it`() throws {
        let group = try self.group(count: 2)
        // The first one's nonces stay in the folder when it has waited long enough.
        let first = try group.cosign(0, timeLimit: 1).run()
        #expect(first.exitCode == ExitCode.missing.rawValue, "\(first.errors)")
        let left = try group.cosign(1, timeLimit: 60, "--no-wait", "--json").run()
        #expect(left.exitCode == 0 && left.errors.contains("Your signature is in the folder"), "\(left.errors)")
        let told = try left.json()
        #expect(told["complete"] as? Bool == false && told["transaction"] is NSNull && told["attempt"] as? Int == 1)
        #expect(try #require(told["set"] as? [String]) == SignerGroup(group.publicKeys).members.map(\.description))

        let whole = try self.group()
        let finished = try whole.cosign(0, timeLimit: 60, "--json").run().json()
        #expect(finished["complete"] as? Bool == true && finished["set"] as? [String] == whole.publicKeys.map(\.description))
        #expect(Set(told.keys) == Set(finished.keys))
    }

    @Test(.timeLimit(.minutes(5)))
    func `a process on a wrong network is told so, and what it leaves holds the others up for a moment only`() throws {
        let group = try self.group(count: 2)
        // It begins the first attempt, and goes.
        let mistaken = try group.cosign(1, timeLimit: 1, "--network", "signet").run()
        #expect(mistaken.exitCode == ExitCode.missing.rawValue, "\(mistaken.errors)")
        // Less than the time for which a file that may still be arriving is waited for.
        let first = Ending(of: group.cosign(0, timeLimit: 20))
        let second = try group.cosign(1, timeLimit: 20).run()
        let told = try first.wait()
        #expect(told.exitCode == 0 && second.exitCode == 0, "\(told.errors) \(second.errors)")
        #expect(told.errors.contains("was here for signet, and this process is for regtest"), "\(told.errors)")
        #expect(second.errors.contains("your own key was here for signet, and this process is for regtest"), "\(second.errors)")
    }

    @Test(.timeLimit(.minutes(5))) func `of two who are there for different networks both hear at once which, and what to do`() throws {
        let group = try self.group(count: 2)
        let first = Ending(of: group.cosign(0, timeLimit: 8))
        let second = try group.cosign(1, timeLimit: 8, "--network", "signet").run()
        for (run, theirs, own) in [(try first.wait(), "signet", "regtest"), (second, "regtest", "signet")] {
            #expect(run.exitCode == ExitCode.failed.rawValue, "\(run.errors)")
            #expect(run.errors.contains("is here for \(theirs), and this process is for \(own)"), "\(run.errors)")
            #expect(run.errors.contains("starts again on that network: with the right key file or, if this key"), "\(run.errors)")
        }
    }

    @Test func `a list of signers that fits in part is told beside the question`() throws {
        let group = try self.group()
        let stranger = Samples.keys(1)[0]
        let list = try group.folder.write("\(group.publicKeys[0]) # me\n\(stranger) # Dora\n", to: "signers.txt")
        let run = try group.cosign(0, timeLimit: 60, "--signers", list).run()
        let words = run.errors.split { $0.isWhitespace }.joined(separator: " ")
        #expect(words.contains("Careful: \(list) has these keys that are no signers of the group: Dora (\(stranger))"), "\(run.errors)")
        #expect(run.exitCode == 0)
    }
}
