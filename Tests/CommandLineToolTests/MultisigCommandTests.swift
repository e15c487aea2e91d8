import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import Testing

@Suite struct MultisigCommandTests {
    private static func run(_ command: String, _ more: String..., signers: String = Samples.signersFile(5)) throws -> Transcript {
        var tool = Tool(["multisig", command, "--signers", "-"] + more)
        tool.input = Array(signers.utf8)
        return try tool.run()
    }

    @Test func `the address is that of the policy, whatever the order of the file`() throws {
        let keys = Samples.keys(5)
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 3)
        let shuffled = "# the board\n\n" + keys.reversed().map { "  \("\($0)".uppercased())  # somebody\r\n" }.joined()
        for signers in [Samples.signersFile(5), shuffled] {
            let run = try Self.run("address", "--threshold", "3", "--owner-unspendable", "--network", "regtest", "--json", signers: signers)
            let json = try run.json()
            #expect(Set(json.keys) == ["address", "script_pubkey", "internal_key", "merkle_root", "leaves", "milliseconds"])
            #expect(json["address"] as? String == policy.address(on: .regtest).text)
            #expect(json["script_pubkey"] as? String == policy.scriptPubKey.hex)
            #expect(json["internal_key"] as? String == "\(policy.output.internalKey)")
            #expect(json["merkle_root"] as? String == "\(policy.merkleRoot)")
            #expect(json["leaves"] as? Int == 10)
            #expect(json["milliseconds"] is NSNumber)
            #expect(run.errors == "" && run.exitCode == 0)
        }
    }

    @Test func `each kind of owner has its own address`() throws {
        let owner = try Samples.secretKey(9).publicKey
        let kinds: [([String], DelegatedMultisig.InternalKey)] = [
            (["--owner", "\(owner)"], .owner(owner)), (["--owner=\(owner.xOnly)"], .owner(owner)), (["--owner-aggregate"], .aggregate),
            (["--owner-unspendable"], .unspendable),
        ]
        for (words, internalKey) in kinds {
            let policy = try DelegatedMultisig(internalKey: internalKey, signers: Samples.keys(3), threshold: 2)
            var tool = Tool(["multisig", "address", "--threshold", "2", "--signers", "-", "--network", "mainnet"] + words)
            tool.input = Array(Samples.signersFile(3).utf8)
            let run = try tool.run()
            #expect(run.outputLines[0] == "2-of-3 on mainnet")
            #expect(run.outputLines[1] == "  address        \(policy.address(on: .mainnet).text)")
            #expect(run.outputLines.allSatisfy { $0.count <= 100 })
        }
    }

    @Test func `the descriptor is printed when asked for`() throws {
        let policy = try DelegatedMultisig(internalKey: .aggregate, signers: Samples.keys(3), threshold: 2)
        let words = ["--threshold", "2", "--owner-aggregate", "--network", "signet", "--descriptor"]
        var tool = Tool(["multisig", "address", "--signers", "-"] + words)
        tool.input = Array(Samples.signersFile(3).utf8)
        #expect(try tool.run().outputLines.last == policy.descriptor())
        tool.arguments.append("--json")
        #expect(try tool.run().exitCode == 2)
    }

    @Test func `a policy too large for a descriptor is refused before its leaves are computed`() throws {
        // 92,378 aggregates of 10 keys would take a minute.
        let run = try Self.run(
            "address", "--threshold", "10", "--owner-aggregate", "--network", "signet", "--descriptor", signers: Samples.signersFile(19))
        #expect(
            run.errors == "chorale: multisig address: the descriptor would list 92378 leaves, and 1000 is the limit: leave the descriptor "
                + "away; the keys, k and the kind of key path make the policy again (see: chorale multisig address --help)\n")
        #expect(run.exitCode == 2 && run.output == "")
        // What is no policy at all is told first.
        let none = try Self.run(
            "address", "--threshold", "20", "--owner-aggregate", "--network", "signet", "--descriptor", signers: Samples.signersFile(40))
        #expect(none.errors.contains("possible sets of signers") && none.exitCode == 1)
    }

    @Test func `a wrong list of signers is told by its line`() throws {
        let keys = Samples.keys(3).map { "\($0)" }
        let cases: [(String, String)] = [
            (
                "\(keys[0])\n\n# x\nnonsense\n",
                "standard input, line 4: \"nonsense\" is no public key: the character at offset 0 is not a hex digit"
            ),
            ("\(keys[0])\n\(keys[1].dropLast(2))\n", "standard input, line 2"),
            ("\(keys[0])\n02\(String(repeating: "f", count: 64))\n", "no point of the curve"),
            ("\(keys[0]) \(keys[1])\n", "standard input, line 1: one key a line, and here are 2 words"),
            ("# nobody\n", "standard input holds no key"),
            ("", "standard input holds no key"),
            (
                "\(keys[0]) # Alice\n\(keys[1])\n\(keys[0])\n\(keys[0]) # Bob\n",
                "standard input, line 4: this key is called \"Alice\" on line 1: give it one name"
            ),
            ("\(keys[0]) # Alice\n\(keys[0])  #  Alice\n", "line 1 of standard input and line 2 of standard input hold the same key"),
            ("\(keys[0])\n\(keys[1])\n\n\(keys[0])\n", "line 1 of standard input and line 4 of standard input hold the same key"),
        ]
        for (signers, message) in cases {
            let run = try Self.run("address", "--threshold", "1", "--owner-aggregate", "--network", "signet", signers: signers)
            #expect(run.errors.contains(message), "\(run.errors)")
            #expect(run.exitCode == 1 && run.output == "")
        }
        let owner = try Self.run("address", "--threshold", "2", "--owner", keys[2], "--network", "signet")
        #expect(owner.errors == "chorale: the owner's key is also that on line 3 of standard input: give the owner a key of its own\n")
    }

    @Test func `a threshold above the number of signers is wrong usage`() throws {
        for command in ["address", "paths", "size"] {
            let network = command == "address" ? ["--network", "signet"] : []
            var tool = Tool(["multisig", command, "--threshold", "4", "--owner-aggregate", "--signers", "-"] + network)
            tool.input = Array(Samples.signersFile(3).utf8)
            let run = try tool.run()
            #expect(
                run.errors.hasPrefix(
                    "chorale: multisig \(command): --threshold cannot be \"4\": with 3 signers it must be from 1 to 3 (see"),
                "\(run.errors)")
            #expect(run.exitCode == 2 && run.output == "")
        }
    }

    @Test func `an identity in place of a public key is told from a slip`() throws {
        let identity = String(repeating: "5a", count: 32)
        let run = try Self.run("address", "--network", "signet", signers: "\(Samples.keys(1)[0])\n\(identity)\n")
        #expect(
            run.errors.contains("standard input, line 2: \"\(identity)\" is no public key: it has 64 hex digits, like the \"identity\""))
        #expect(run.errors.contains("give the \"public key\", which has 66"))
        #expect(run.exitCode == 1)
    }

    @Test func `a policy that is too large is refused with the numbers`() throws {
        let run = try Self.run("address", "--threshold", "20", "--owner-aggregate", "--network", "signet", signers: Samples.signersFile(40))
        #expect(run.errors.contains("20-of-40 has 137846528820 possible sets of signers, and 1000000 is the limit"))
        #expect(run.exitCode == 1)
        let work = try Self.run(
            "address", "--threshold", "66", "--owner-aggregate", "--network", "signet", signers: Samples.signersFile(70))
        #expect(work.errors.contains("916895 sets of 66 signers are 60515070 keys to aggregate, and 20000000 is the limit"))
        #expect(work.errors.hasSuffix("(--allow-large-tree)\n"))
        #expect(work.exitCode == 1)
    }

    @Test func `the owner is named exactly once`() throws {
        let none = try Self.run("address", "--threshold", "2", "--network", "signet")
        #expect(none.errors.contains("one of these is missing, add one: --owner HEX, --owner-aggregate, --owner-unspendable"))
        let two = try Self.run("address", "--threshold", "2", "--network", "signet", "--owner-aggregate", "--owner-unspendable")
        #expect(two.errors.contains("--owner-aggregate and --owner-unspendable exclude each other"))
        #expect(none.exitCode == 2 && two.exitCode == 2)
        for owner in ["02ab", "00", "", String(repeating: "0", count: 65)] {
            let run = try Self.run("address", "--threshold", "2", "--network", "signet", "--owner", owner)
            #expect(run.errors.contains("--owner cannot be \"\(owner)\": it must have 66 hex digits, or 64 for an x-only key"))
            #expect(run.exitCode == 2)
        }
    }

    @Test func `the paths are listed, a part at a time`() throws {
        let all = try Self.run("paths", "--threshold", "3", "--owner-aggregate")
        let keys = Samples.keys(5).sorted()
        let expected =
            ["Signers, sorted"] + keys.enumerated().map { "    \($0.offset)  \($0.element)" }
            + ["Paths of 3-of-5", "  key path: all 5 signers together", "  leaf  depth  signers", "     0      4  0 1 2"]
        #expect(Array(all.outputLines.prefix(expected.count)) == expected)
        #expect(all.outputLines.last == "     9      3  2 3 4")
        let some = try Self.run("paths", "--threshold", "3", "--owner-aggregate", "--from", "8", "--limit", "1")
        #expect(some.outputLines.suffix(2) == ["     8      3  1 3 4", "  shown are leaves 8 to 8 of 10 (--from, --limit)"])
        let beyond = try Self.run("paths", "--threshold", "3", "--owner-aggregate", "--from", "10")
        #expect(beyond.errors.contains("--from cannot be \"10\": there are 10 leaves, numbered from 0") && beyond.exitCode == 2)
        let one = try Self.run("paths", "--threshold", "5", "--owner-aggregate", "--from", "1")
        #expect(one.errors.contains("there is 1 leaf, numbered from 0") && one.exitCode == 2)

        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: Samples.keys(5), threshold: 3)
        let json = try Self.run("paths", "--threshold", "3", "--owner-unspendable", "--json").json()
        #expect(json["key_path"] is NSNull)
        let paths = try #require(json["paths"] as? [[String: Any]])
        #expect(paths.count == 10)
        for (index, path) in paths.enumerated() {
            let leaf = try policy.leaf(at: index)
            #expect(path["signers"] as? [Int] == leaf.signers)
            #expect(path["key"] as? String == "\(leaf.key)")
            #expect(path["depth"] as? Int == leaf.controlBlock.merklePath.count)
        }
    }

    @Test func `sizes and fees are exact to the byte`() throws {
        let run = try Self.run(
            "size", "--threshold", "3", "--owner-aggregate", "--inputs", "2", "--fee-rate", "2.5", "--buffer", "10", "--present", "1,3,4")
        let expected = """
            A spend of 2 inputs of 3-of-5 to 2 Taproot outputs, at 2.5 sat/vB
              path                          vB  weight  fee in sat  with 10 % more
              key path of all signers      212     846         530             583
              leaf at depth 3 (6 of them)  294   1,176         735             809
              leaf at depth 4 (4 of them)  310   1,240         775             853

            Cheapest for those who are there
              leaf 8, signed by 1, 3, 4: 294 vB, 735 sat (809 sat with the buffer)

            """
        #expect(run.output == expected)
        #expect(run.exitCode == 0)
        let all = try Self.run("size", "--threshold", "3", "--owner-aggregate", "--present", "0,1,2,3,4", "--json").json()
        #expect((all["cheapest"] as? [String: Any])?["path"] as? String == "aggregate")
    }

    @Test func `a spend too heavy for nodes to relay is called that`() throws {
        let heavy = try Self.run("size", "--threshold", "3", "--owner-aggregate", "--inputs", "2000")
        #expect(heavy.output.contains("nodes relay at most 400,000 weight units; spend fewer coins at once"))
        let light = try Self.run("size", "--threshold", "3", "--owner-aggregate", "--inputs", "900")
        #expect(!light.output.contains("nodes relay"))
    }

    @Test func `sizes agree with a transaction that is signed`() throws {
        let json = try Self.run(
            "size", "--threshold", "3", "--owner-unspendable", "--sighash-all", "--inputs", "3", "--outputs", "1", "--json"
        ).json()
        let paths = try #require(json["paths"] as? [[String: Any]])
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: Samples.keys(5), threshold: 3)
        var signed = try Samples.signedPayment(by: 1, inputs: 3)
        try signed.finalize()
        var transaction = try signed.extract()
        transaction.outputs.removeLast()
        let signature = try SchnorrSignature(parsing: transaction.inputs[0].witness.items[0])
        for path in paths {
            let index = try #require(
                (0..<policy.leafCount).first { try policy.leaf(at: $0).controlBlock.merklePath.count == path["depth"] as? Int })
            let witness = try policy.witness(for: .leaf(index), signature: signature, sighashType: .all)
            for input in transaction.inputs.indices { transaction.inputs[input].witness = witness }
            #expect(path["virtual_size"] as? Int == transaction.virtualSize)
            #expect(path["weight"] as? Int == transaction.weight)
        }
    }

    @Test func `too few signers are missing, and unknown ones wrong`() throws {
        let few = try Self.run("size", "--threshold", "3", "--owner-unspendable", "--present", "0,2")
        #expect(few.errors == "chorale: 3 signers are needed, and of them 2 are there: wait for 1 more\n")
        #expect(few.exitCode == 3)
        for list in ["0,1,5", "0,1,x", "0,,1", "\(try Samples.secretKey(1).publicKey),1,2"] {
            #expect(try Self.run("size", "--threshold", "3", "--owner-unspendable", "--present", list).exitCode == 2, "\(list)")
        }
        let byKey = try Self.run(
            "size", "--threshold", "3", "--owner-unspendable", "--present", "0,1,\(Samples.keys(5).sorted()[4])", "--json")
        #expect((try byKey.json()["cheapest"] as? [String: Any])?["signers"] as? [Int] == [0, 1, 4])
        #expect(try Self.run("size", "--threshold", "3", "--owner-unspendable", "--buffer", "10").exitCode == 2)
        #expect(try Self.run("size", "--threshold", "3", "--owner-unspendable", "--owner-present").exitCode == 2)
        #expect(try Self.run("size", "--threshold", "3", "--owner-unspendable", "--fee-rate", "1,5").exitCode == 2)
    }
}
