import CryptoPrimitives
import Testing

@Suite struct AuditCommandTests {
    @Test func `another kind of file is named, with the command that reads it`() throws {
        let folder = try TemporaryFolder()
        let psbt = try Samples.payment(from: Samples.keys(1)[0].xOnly)
        let transaction = psbt.unsignedTransaction.serialized()
        let cases: [([UInt8], String)] = [
            (psbt.serialized(), "a PSBT; to read it: chorale psbt show"),
            (Array(psbt.base64().utf8), "a PSBT; to read it: chorale psbt show"),
            (Array("\(Hex.encode(transaction))\n".utf8), "a transaction; to read it: chorale tx show"),
            (Array("chorale-key 1\n".utf8), "a key file; to read it: chorale key show"),
        ]
        for (bytes, seen) in cases {
            let path = try folder.write(bytes, to: "file")
            let run = try Tool("audit", "verify", path).run()
            #expect(run.errors == "chorale: \(path) is not an evidence file: it seems to be \(seen)\n")
            #expect(run.exitCode == 1 && run.output == "")
            var piped = Tool("audit", "verify", "-")
            piped.input = bytes
            #expect(try piped.run().errors == "chorale: standard input is not an evidence file: it seems to be \(seen)\n")
        }
    }

    @Test func `an empty file and a damaged one are told apart`() throws {
        let folder = try TemporaryFolder()
        let empty = try Tool("audit", "verify", folder.write("", to: "empty")).run()
        #expect(empty.errors.hasSuffix("empty is empty, and an evidence file was expected: check the name, or get the file again\n"))
        let damaged = try Tool("audit", "verify", folder.write("chorale evidence 1\nx", to: "damaged")).run()
        #expect(!damaged.errors.contains("seems to be"))
        for run in [empty, damaged] { #expect(run.exitCode == 1 && run.output == "") }
    }
}
