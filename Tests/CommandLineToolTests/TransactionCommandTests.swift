import Bitcoin
import CryptoPrimitives
import Testing

@Suite struct TransactionCommandTests {
    private static func transaction() throws -> Transaction {
        var psbt = try Samples.signedPayment(by: 1)
        try psbt.finalize()
        return try psbt.extract()
    }

    @Test func `a transaction is shown from hex, file, binary file and standard input`() throws {
        let folder = try TemporaryFolder()
        let transaction = try Self.transaction()
        let hex = Hex.encode(transaction.serialized())
        let expected = """
            Transaction \(transaction.txid)
            version   2, no lock time; addresses as on regtest (--network)
            size      154 vB, 616 weight units, 205 bytes
            wtxid     \(transaction.wtxid)

            Inputs: 1
              0     \(transaction.inputs[0].previousOutput)
                    witness of 1 item (64 bytes), sequence 0xfffffffd

            Outputs: 2
              0     0.00600000 BTC (600,000 sat)
                    \(Address(scriptPubKey: transaction.outputs[0].scriptPubKey, network: .regtest)?.text ?? "?")
              1     0.00399000 BTC (399,000 sat)
                    \(Address(scriptPubKey: transaction.outputs[1].scriptPubKey, network: .regtest)?.text ?? "?")

            paid      0.00999000 BTC (999,000 sat)

            """
        let sources = [
            hex, hex.uppercased(), try folder.write("\(hex)\n", to: "hex.tx"), try folder.write(transaction.serialized(), to: "binary.tx"),
            try folder.write(hex.chunks(of: 76).joined(separator: "\n"), to: "lines.tx"),
        ]
        for source in sources {
            let run = try Tool("tx", "show", source, "--network", "regtest").run()
            #expect(run.output == expected, "\(source)")
            #expect(run.errors == "" && run.exitCode == 0)
        }
        var piped = Tool("tx", "show", "-", "--network=regtest")
        piped.input = transaction.serialized()
        #expect(try piped.run().output == expected)
    }

    @Test func `without a network scripts are shown, as for a PSBT`() throws {
        let transaction = try Self.transaction()
        let run = try Tool("tx", "show", Hex.encode(transaction.serialized())).run()
        #expect(run.outputLines[1] == "version   2, no lock time; scripts are shown, and with --network NET addresses")
        #expect(run.output.contains("P2TR script \(transaction.outputs[0].scriptPubKey.hex)"))
    }

    @Test func `a transaction is told to programs`() throws {
        let transaction = try Self.transaction()
        let run = try Tool("tx", "show", Hex.encode(transaction.serialized()), "--json").run()
        let json = try run.json()
        #expect(json["txid"] as? String == "\(transaction.txid)")
        #expect(json["virtual_size"] as? Int == transaction.virtualSize)
        let outputs = try #require(json["outputs"] as? [[String: Any]])
        #expect(outputs.map { $0["amount"] as? Int } == [600_000, 399_000])
        #expect(outputs.map { $0["script_pubkey"] as? String } == transaction.outputs.map(\.scriptPubKey.hex))
        let inputs = try #require(json["inputs"] as? [[String: Any]])
        #expect((inputs[0]["witness"] as? [String])?.first == Hex.encode(transaction.inputs[0].witness.items[0]))
    }

    @Test func `what is no transaction is refused with where it breaks off`() throws {
        let folder = try TemporaryFolder()
        let bytes = try Self.transaction().serialized()
        let cases: [([UInt8], String)] = [
            (Array(bytes.dropLast()), "not a transaction: lock time at byte 201 needs 4 bytes and only 3 are left"),
            (bytes + [0], "not a transaction: the data ends at byte 205, but 1 more bytes follow"),
            (Array("abc".utf8), "not a transaction: hex needs an even count of digits"),
            ([], "is empty, and a transaction was expected"),
            (Array("hello".utf8), "not a transaction: "),
        ]
        for (content, message) in cases {
            let run = try Tool("tx", "show", try folder.write(content, to: "bad.tx")).run()
            #expect(run.errors.contains(message), "\(run.errors)")
            #expect(run.errors.hasPrefix("chorale: ") && run.errors.contains("bad.tx"))
            #expect(run.output == "" && run.exitCode == 1)
        }
    }

    @Test func `a file that is not there is missing, and one too large is refused by number`() throws {
        let folder = try TemporaryFolder()
        let missing = try Tool("tx", "show", folder.path("none.tx")).run()
        #expect(missing.errors == "chorale: \(folder.path("none.tx")) is not there; check the name, and that its folder exists\n")
        #expect(missing.exitCode == 3)
        for short in ["0200000001", ""] {
            let run = try Tool("tx", "show", short).run()
            #expect(run.errors.hasSuffix("; if it is the transaction itself, it was cut short\n"), "\(run.errors)")
            #expect(run.exitCode == 3)
        }
        let large = try Tool("tx", "show", try folder.write([UInt8](repeating: 0x30, count: 8_001_025), to: "large.tx")).run()
        #expect(large.errors.contains("is larger than 8001024 bytes"))
        #expect(large.exitCode == 1)
        var piped = Tool("tx", "show", "-")
        piped.input = [UInt8](repeating: 0x30, count: 8_001_025)
        #expect(try piped.run().errors.contains("standard input has more than 8,001,024 bytes"))
        let folderRun = try Tool("tx", "show", folder.path).run()
        #expect(folderRun.errors.contains("is a folder, a device or a link"))
        #expect(folderRun.exitCode == 1)
    }
}

extension String {
    /// Pieces of this many characters.
    func chunks(of length: Int) -> [String] {
        stride(from: 0, to: self.count, by: length).map { String(self.dropFirst($0).prefix(length)) }
    }
}
