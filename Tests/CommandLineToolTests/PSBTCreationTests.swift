import Bitcoin
import Secp256k1
import Signing
import Testing

@Suite struct PSBTCreationTests {
    private static let txid = String(repeating: "ab", count: 32)

    /// Three signers; the coins as words of the command line.
    private static func run(_ more: [String], coins: [UInt64] = [100_000]) throws -> Transcript {
        let spend = coins.enumerated().flatMap { ["--spend", "\(Self.txid):\($0):\($1)"] }
        var tool = Tool(["psbt", "create", "--network", "regtest", "--signers", "-"] + spend + more)
        tool.input = Array(Samples.signersFile(3).utf8)
        return try tool.run()
    }

    private static func psbt(_ run: Transcript) throws -> PSBT {
        try PSBT(base64: try #require(try run.json()["psbt"] as? String))
    }

    @Test func `a payment of all signers names them, the coins and the change, and each of them can sign it`() throws {
        let address = try #require(Address(scriptPubKey: .payToTaproot(Samples.keys(4)[3].xOnly), network: .regtest))
        let run = try Self.run(["--pay", "\(address):70000", "--fee-rate", "2.5", "--json"], coins: [60_000, 40_000])
        let json = try run.json()
        #expect(Set(json.keys) == ["txid", "group_address", "fee", "virtual_size", "fee_is_high", "sizes", "change_index", "psbt", "out"])
        let psbt = try Self.psbt(run)
        let group = try SignerGroup(Samples.keys(3))
        #expect(json["group_address"] as? String == Address(scriptPubKey: group.scriptPubKey, network: .regtest)?.text)
        #expect(json["txid"] as? String == "\(psbt.unsignedTransaction.txid)")
        #expect(try psbt.spentOutputs() == [60_000, 40_000].map { TransactionOutput(amount: $0, scriptPubKey: group.scriptPubKey) })
        let fee = try #require(json["fee"] as? Int)
        #expect(fee == (try #require(json["virtual_size"] as? Int) * 5 + 1) / 2)
        #expect(
            psbt.unsignedTransaction.outputs == [
                TransactionOutput(amount: 70_000, scriptPubKey: address.scriptPubKey),
                TransactionOutput(amount: UInt64(30_000 - fee), scriptPubKey: group.scriptPubKey),
            ])
        #expect("\(psbt.unsignedTransaction.inputs[1].previousOutput.txid)" == Self.txid)
        #expect(psbt.unsignedTransaction.inputs.map(\.previousOutput.index) == [0, 1])
        for key in Samples.keys(3) {
            let subject = try PSBTSubject(psbt, for: key)
            guard case .all(let found) = subject.group else { return #expect(Bool(false), "the signers' own group is expected") }
            #expect(found.members == group.members)
        }
    }

    @Test func `a payment of any two carries their policy, and its coins have the policy's script`() throws {
        let run = try Self.run(["--threshold", "2", "--owner-aggregate", "--fee-rate", "1", "--json"])
        let psbt = try Self.psbt(run)
        let policy = try DelegatedMultisig(internalKey: .aggregate, signers: Samples.keys(3), threshold: 2)
        #expect(try psbt.spentOutputs().map(\.scriptPubKey) == [policy.scriptPubKey])
        guard case .delegated(let record) = try PSBTSubject(psbt, for: Samples.keys(3)[1]).group else {
            return #expect(Bool(false), "a policy is expected")
        }
        #expect(record == PolicyRecord(policy))
    }

    @Test func `the rest goes where it is told, and to the fee where it is dust`() throws {
        let elsewhere = try #require(Address(scriptPubKey: .payToTaproot(Samples.keys(4)[3].xOnly), network: .regtest))
        let told = try Self.psbt(try Self.run(["--change", "\(elsewhere)", "--fee-rate", "1", "--json"]))
        #expect(told.unsignedTransaction.outputs.map(\.scriptPubKey) == [elsewhere.scriptPubKey])
        let run = try Self.run(["--pay", "\(elsewhere):99800", "--fee-rate", "1", "--json"])
        #expect(try run.json()["fee"] as? Int == 200)
        #expect(try Self.psbt(run).unsignedTransaction.outputs.count == 1)
    }

    @Test func `without --out the PSBT is printed in Base64, and what a person should check stands beside it`() throws {
        let run = try Self.run(["--fee-rate", "1"])
        #expect(run.exitCode == 0 && run.outputLines.count == 1)
        #expect(run.errors.split(separator: "\n").allSatisfy { $0.count <= 100 })
        #expect(try PSBT(base64: run.outputLines[0]).inputs.count == 1)
        #expect(run.errors.contains("where the coins must be:\n  bcrt1p") && run.errors.contains("The rest is change."))
    }

    @Test(arguments: [
        (["--threshold", "2"], "--owner-unspendable"),
        (["--owner-unspendable"], "add --threshold K"),
        (["--threshold", "2", "--owner-unspendable", "--owner-aggregate"], "exclude each other"),
        (["--pay", "bcrt1nonsense:1000"], "--pay cannot be"),
        (["--pay", "1000"], "ADDRESS:AMOUNT"),
        (["--spend", "ab:0:1"], "64 hex digits"),
        (["--spend", "\(String(repeating: "cd", count: 32)):0:-1"], "whole number of satoshi"),
        (["--spend", "\(String(repeating: "cd", count: 32)):4294967296:1"], "number of an output"),
    ])
    func `words that make no sense end with exit code 2`(_ words: [String], _ text: String) throws {
        let run = try Self.run(words + ["--fee-rate", "1"])
        #expect(run.exitCode == 2)
        #expect(run.errors.contains(text), "\(run.errors)")
        #expect(run.output.isEmpty)
    }

    @Test func `a coin that is named twice, and --force without --out, are slips of the command line`() throws {
        let coin = "\(Self.txid):0:100000"
        let twice = try Self.run(["--spend", coin, "--fee-rate", "1"])
        #expect(twice.exitCode == 2 && twice.errors.contains("names the coin \(Self.txid):0 twice"), "\(twice)")
        let force = try Self.run(["--fee-rate", "1", "--force"])
        #expect(force.exitCode == 2 && force.output == "" && force.errors.contains("add --out FILE, or leave it away"), "\(force)")
        for words in [["psbt", "extract", "x", "--force"], ["psbt", "finalize", "x", "--force"], ["request", "show", "abcd", "--force"]] {
            let run = try Tool(words).run()
            #expect(run.exitCode == 2 && run.errors.contains("add --out FILE"), "\(run)")
        }
    }

    @Test func `coins that do not pay for it end with exit code 1 and the numbers`() throws {
        let address = try #require(Address(scriptPubKey: .payToTaproot(Samples.keys(4)[3].xOnly), network: .regtest))
        let run = try Self.run(["--pay", "\(address):100000", "--fee-rate", "1"])
        #expect(run.exitCode == 1)
        #expect(run.errors.contains("the coins hold 100000 sat"))
    }

    @Test(arguments: ["0", "0.000", "0.099", "-1", "-0.5"])
    func `a fee rate below what nodes relay is refused with the least one`(_ rate: String) throws {
        for words in [["--fee-rate", rate], ["--fee-rate=\(rate)"]] {
            let run = try Self.run(words)
            #expect(run.exitCode == 2 && run.output.isEmpty)
            #expect(run.errors.contains("--fee-rate cannot be \"\(rate)\": the least is 0.1 sat/vB"), "\(run.errors)")
        }
    }

    @Test func `a fee rate that only newer nodes relay is taken with a warning`() throws {
        for (rate, isLow) in [("0.1", true), ("0.999", true), ("1", false)] {
            let run = try Self.run(["--fee-rate", rate])
            #expect(run.exitCode == 0)
            #expect(run.errors.contains("Careful: below 1 sat/vB") == isLow, "\(rate)")
        }
    }

    @Test func `a fee that nobody pays on purpose is warned of, by create and by show`() throws {
        let high = try Self.run(["--fee-rate", "200"])
        #expect(high.errors.contains("Careful: the fee is unusually high.\n"))
        var show = Tool("psbt", "show", "-")
        show.input = Array(high.output.utf8)
        #expect(try show.run().output.contains("Careful: the fee is unusually high.\n"))
        show.arguments.append("--json")
        #expect(try show.run().json()["fee_is_high"] as? Bool == true)
        let usual = try Self.run(["--fee-rate", "50"])
        #expect(!usual.errors.contains("Careful"))
        show.input = Array(usual.output.utf8)
        #expect(try show.run().json()["fee_is_high"] as? Bool == false)
    }

    @Test func `a payment that is dust is named as it was given, with the least amount`() throws {
        let address = try #require(Address(scriptPubKey: .payToTaproot(Samples.keys(4)[3].xOnly), network: .regtest))
        let run = try Self.run(["--pay", "\(address):1000", "--pay", "\(address):329", "--fee-rate", "1"])
        #expect(run.exitCode == 2 && run.output.isEmpty)
        #expect(
            run.errors.contains(
                "--pay cannot be \"\(address):329\": 329 sat is dust, which nodes do not relay; pay at least 330 sat to this P2TR address"))
    }

    @Test(
        arguments: [
            (["--owner-unspendable"], [2]), (["--owner-aggregate"], [nil, 2]), (["--owner", "\(Samples.keys(9)[8])"], [nil, 2]),
            (["--owner-unspendable"], [1, 2]), (["--owner-aggregate"], [nil, 1, 2]),
        ] as [([String], [Int?])])
    func `create and show say the same sizes of a policy's coins, and those of the real witnesses`(
        _ owner: [String], _ depths: [Int?]
    ) throws {
        // Two of three have three leaves, of which one lies less deep; three of four have four at one depth.
        let (count, threshold) = depths.contains(1) ? (3, 2) : (4, 3)
        var tool = Tool(["psbt", "create", "--network", "regtest", "--signers", "-", "--json", "--fee-rate", "2"])
        tool.arguments += ["--threshold", "\(threshold)", "--spend", "\(Self.txid):0:60000", "--spend", "\(Self.txid):1:40000"] + owner
        tool.input = Array(Samples.signersFile(count).utf8)
        let created = try tool.run().json()
        let psbt = try PSBT(base64: try #require(created["psbt"] as? String))
        var show = Tool("psbt", "show", "-", "--json")
        show.input = psbt.serialized()
        let shown = try show.run().json()

        func sizes(_ json: [String: Any]) throws -> [Int?: Int] {
            let list = try #require(json["sizes"] as? [[String: Any]])
            return Dictionary(uniqueKeysWithValues: list.map { ($0["depth"] as? Int, $0["virtual_size"] as? Int ?? 0) })
        }
        var expected: [Int?: Int] = [:]
        for depth in depths {
            var transaction = psbt.unsignedTransaction
            let items = depth.map { [64, 34, 33 + 32 * $0] } ?? [64]
            for index in transaction.inputs.indices {
                transaction.inputs[index].witness = Witness(items.map { [UInt8](repeating: 1, count: $0) })
            }
            expected[depth] = transaction.virtualSize
        }
        #expect(try sizes(created) == expected && sizes(shown) == expected)
        let most = try #require(expected.values.max())
        #expect(created["virtual_size"] as? Int == most && shown["virtual_size"] as? Int == most)
        #expect(created["fee"] as? Int == 2 * most)
        show.arguments.removeLast()
        let text = try show.run()
        for (depth, size) in expected {
            #expect(text.output.contains("at \(size) vB \(depth.map { "by a leaf at depth \($0)" } ?? "by the key path")\n"))
        }
    }

    @Test func `cosign says the same rates as create, and one alone once the set is named`() throws {
        let folder = try TemporaryFolder()
        var new = Tool("key", "new", "--network", "regtest", "--out", folder.path("a.key"), "--json")
        new.environment = ["CHORALE_PASSPHRASE": "no secret at all"]
        let own = try #require(try new.run().json()["public_key"] as? String)
        let signers = try folder.write("\(own)\n\(Samples.signersFile(2))", to: "signers.txt")
        let made = try Tool(
            "psbt", "create", "--network", "regtest", "--signers", signers, "--threshold", "2", "--owner-aggregate", "--fee-rate", "2",
            "--spend", "\(Self.txid):0:100000", "--out", folder.path("a.psbt")
        ).run()
        let rates = made.errors.split(separator: "\n").map { $0.drop { $0 == " " } }.filter { $0.contains("sat/vB at") }
        #expect(rates.count == 3)
        // Nobody can be asked, so it shows what would be signed and ends.
        var cosign = Tool("cosign", "--psbt", folder.path("a.psbt"), "--key", folder.path("a.key"), "--exchange", folder.path)
        cosign.environment = new.environment
        let open = try cosign.run()
        #expect(open.exitCode == 2 && rates.allSatisfy { open.errors.contains("           \($0)\n") }, "\(open.errors)")
        cosign.arguments += ["--set", "\(own),\(Samples.keys(1)[0])"]
        let decided = try cosign.run()
        #expect(rates.filter { decided.errors.contains("(290 sat), \($0)\n") }.count == 1, "\(decided.errors)")
    }
}
