import Bitcoin
import CryptoPrimitives
import Foundation
import Testing

/// What is said to somebody who gives the wrong file, or a pipe in place of one.
@Suite struct WrongFileTests {
    /// Each kind of file that is no PSBT, and a part of what is said about it.
    private static func files(in folder: TemporaryFolder) throws -> [(path: String, advice: String)] {
        var psbt = try Samples.signedPayment(by: 1)
        let unsigned = psbt.serialized()
        try psbt.finalize()
        let transaction = try psbt.extract().serialized()
        return [
            (try folder.write("\(Hex.encode(transaction))\n", to: "hex.tx"), "it seems to be a transaction; to read it: chorale tx show"),
            (try folder.write(transaction, to: "binary.tx"), "it seems to be a transaction; to read it: chorale tx show"),
            (
                try folder.write("chorale-key 1\nnetwork: signet\n", to: "alice.key"),
                "it seems to be a key file; to read it: chorale key show"
            ),
            (try folder.write(Array("CHORJNL".utf8) + [1], to: "alice.key.journal"), "the journal of a signer's decisions"),
            (
                try folder.write("# us\n\(Samples.signersFile(2))", to: "signers.txt"),
                "a list of public keys; to read it: chorale multisig address --signers"
            ),
            (try folder.write(Hex.encode(unsigned), to: "hex.psbt"), "is a PSBT in hex"),
            (try folder.write("Dear all, please sign.", to: "letter.txt"), "it seems to be some text"),
        ]
    }

    @Test(arguments: ["show", "combine", "finalize", "extract"])
    func `a file that is no PSBT is called what it is, with the command that reads it`(_ command: String) throws {
        let folder = try TemporaryFolder()
        for (path, advice) in try Self.files(in: folder) {
            let run = try Tool("psbt", command, path).run()
            #expect(run.errors.hasPrefix("chorale: \(path) is "), "\(run.errors)")
            #expect(run.errors.contains(advice), "\(run.errors)")
            #expect(run.exitCode == 1 && run.output == "")
        }
        let empty = try Tool("psbt", command, try folder.write("", to: "empty")).run()
        #expect(empty.errors.contains("is empty, and a PSBT was expected"))
    }

    @Test func `a file that is no transaction is called what it is`() throws {
        let folder = try TemporaryFolder()
        let psbt = try Samples.signedPayment(by: 1)
        let psbts = [try folder.write(psbt.serialized(), to: "a.psbt"), try folder.write(psbt.base64(), to: "b.psbt")]
        for path in psbts {
            let run = try Tool("tx", "show", path).run()
            #expect(run.errors == "chorale: \(path) is not a transaction: it seems to be a PSBT; to read it: chorale psbt show\n")
            #expect(run.exitCode == 1 && run.output == "")
        }
        for (path, advice) in try Self.files(in: folder)
        where ["alice.key", "alice.key.journal", "signers.txt"].contains(where: path.hasSuffix) {
            let run = try Tool("tx", "show", path).run()
            #expect(run.errors.hasPrefix("chorale: \(path) is not a transaction: ") && run.errors.contains(advice), "\(run.errors)")
        }
    }

    @Test func `text is called text, and evidence is known by its first line`() throws {
        let folder = try TemporaryFolder()
        for text in ["Dear all, please sign.\n", "02", "x", "Zażółć\n", "{\"a\": 1}"] {
            let path = try folder.write(text, to: "letter.txt")
            let transaction = try Tool("tx", "show", path).run()
            if text == "02" {
                #expect(!transaction.errors.contains("some text"), "\(transaction.errors)")
            } else {
                #expect(
                    transaction.errors.hasPrefix("chorale: \(path) is not a transaction: it seems to be some text; "),
                    "\(transaction.errors)")
            }
            let evidence = try Tool("audit", "verify", path).run()
            #expect(evidence.errors.hasPrefix("chorale: \(path) is not an evidence file: those begin with \"chorale evidence 1\""))
            for run in [transaction, evidence] { #expect(run.exitCode == 1 && run.output == "") }
        }
        // What has the mark and is damaged keeps the decoder's word.
        let damaged = try folder.write("chorale evidence 1\n", to: "damaged")
        #expect(try Tool("audit", "verify", damaged).run().errors.hasPrefix("chorale: \(damaged): "))
    }

    // MARK: - Pipes

    @Test func `pipes are read like files`() throws {
        let folder = try TemporaryFolder()
        let psbt = try folder.write(try Samples.payment(from: Samples.keys(1)[0].xOnly).serialized(), to: "a.psbt")
        let signers = try folder.write(Samples.signersFile(3), to: "signers.txt")
        let pipe = folder.path("pipe")
        let expected = try Tool("psbt", "show", psbt).run().output
        let transaction = try folder.write(Hex.encode(try Self.transaction().serialized()), to: "a.tx")
        for (source, prelude, words) in [
            (psbt, "mkfifo \(pipe); cat \(psbt) > \(pipe) & :", ["psbt", "show", pipe]),
            (psbt, "exec 3< \(psbt)", ["psbt", "show", "/dev/fd/3"]),
            (transaction, "rm -f \(pipe); mkfifo \(pipe); cat \(transaction) > \(pipe) & :", ["tx", "show", pipe]),
            (
                signers, "rm -f \(pipe); mkfifo \(pipe); cat \(signers) > \(pipe) & :",
                ["multisig", "address", "--network", "signet", "--signers", pipe]
            ),
        ] {
            var tool = Tool(words)
            tool.shellPrelude = prelude
            let run = try tool.run()
            #expect(run.exitCode == 0 && run.errors == "", "\(run.errors)")
            if source == psbt { #expect(run.output == expected) }
        }
        var input = Tool("psbt", "show", "/dev/stdin")
        input.input = try folder.bytes("a.psbt")
        #expect(try input.run().output == expected)
    }

    @Test func `a pipe that gives too much is refused with the limit`() throws {
        let run = try Tool("tx", "show", "/dev/zero").run()
        #expect(run.errors.contains("/dev/zero gives more than 8,001,024 bytes"), "\(run.errors)")
        #expect(run.exitCode == 1)
        #expect(try Tool("psbt", "show", "/dev/null").run().errors.contains("is empty, and a PSBT was expected"))
    }

    private static func transaction() throws -> Transaction {
        var psbt = try Samples.signedPayment(by: 1)
        try psbt.finalize()
        return try psbt.extract()
    }
}
