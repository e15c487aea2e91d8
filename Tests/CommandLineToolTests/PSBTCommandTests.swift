import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import Signing
import TestVectors
import Testing

@testable import CommandLineTool

@Suite struct PSBTCommandTests {
    @Test func `a payment is shown with amounts, addresses and fee`() throws {
        let folder = try TemporaryFolder()
        let psbt = try Samples.payment(from: try Samples.secretKey(1).publicKey.xOnly)
        let transaction = psbt.unsignedTransaction
        func address(_ script: Script) -> String { Address(scriptPubKey: script, network: .signet)?.text ?? "?" }
        let expected = """
            PSBT of transaction \(transaction.txid)
            version 2, no lock time; addresses as on signet (--network)
            Not complete: 1 of 1 input still needs signatures.

            Inputs
              0  0.01000000 BTC (1,000,000 sat)
                 from      \(address(try psbt.spentOutput(ofInput: 0).scriptPubKey))
                 coin      \(transaction.inputs[0].previousOutput)
                 state     not signed yet

            Outputs
              0  0.00600000 BTC (600,000 sat)
                 to        \(address(transaction.outputs[0].scriptPubKey))
              1  0.00399000 BTC (399,000 sat)
                 to        \(address(transaction.outputs[1].scriptPubKey))
                           change: the same script as the coin of input 0

            Fee
                 0.00001000 BTC (1,000 sat), 6.49 sat/vB at 154 vB by the key path

            """
        let base64 = psbt.base64()
        let sources = [
            try folder.write(psbt.serialized(), to: "binary.psbt"), try folder.write(base64, to: "base64.psbt"),
            try folder.write(base64.chunks(of: 76).joined(separator: "\r\n") + "\r\n", to: "lines.psbt"),
        ]
        for source in sources {
            let run = try Tool("psbt", "show", source, "--network", "signet").run()
            #expect(run.output == expected, "\(source)")
            #expect(run.errors == "" && run.exitCode == 0)
        }
        var piped = Tool("psbt", "show", "-", "--network", "signet")
        piped.input = Array(base64.utf8)
        #expect(try piped.run().output == expected)
    }

    @Test func `the signers of a k-of-n policy are listed, and what pays back to it is called change`() throws {
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: Samples.keys(3), threshold: 2)
        var psbt = try Samples.payment(from: policy.output.outputKey)
        psbt.addPolicy(policy)
        let folder = try TemporaryFolder()
        let path = try folder.write(psbt.serialized(), to: "a.psbt")
        let lines = try Tool("psbt", "show", path).run().outputLines
        let heading = try #require(lines.firstIndex(of: "Signers"))
        #expect(Array(lines[(heading + 1)...(heading + 3)]) == policy.signers.enumerated().map { "  \($0.offset)  \($0.element)" })
        #expect(lines.count { $0.contains("change: the same script as the coin of input 0") } == 1)
        let json = try Tool("psbt", "show", path, "--json").run().json()
        let shown = try #require(json["policy"] as? [String: Any])
        #expect(shown["threshold"] as? Int == 2 && shown["signers"] as? [String] == policy.signers.map { "\($0)" })
        let outputs = try #require(json["outputs"] as? [[String: Any]])
        #expect(outputs.compactMap { $0["change"] as? Bool } == [false, true])
    }

    @Test func `signers are called by the names of the own list, in a policy and in a group`() throws {
        let keys = Samples.keys(3)
        let policy = try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: 2)
        let folder = try TemporaryFolder()
        let list = try folder.write("\(keys[0]) # Alice\n\(keys[2]) #\u{301}Éva\n", to: "signers.txt")
        var psbt = try Samples.payment(from: policy.output.outputKey)
        psbt.addPolicy(policy)
        let path = try folder.write(psbt.serialized(), to: "a.psbt")
        let named = Set(["Alice (\(keys[0]))", "\(keys[1])", "Éva (\(keys[2]))"])
        let lines = try Tool("psbt", "show", path, "--signers", list).run().outputLines
        let heading = try #require(lines.firstIndex(of: "Signers"))
        #expect(Set(lines[(heading + 1)...(heading + 3)].map { String($0.dropFirst(5)) }) == named)
        let json = try Tool("psbt", "show", path, "--signers", list, "--json").run().json()
        let names = try #require((json["policy"] as? [String: Any])?["names"] as? [Any]).map { $0 as? String }
        #expect(names == policy.signers.map { $0 == keys[0] ? "Alice" : $0 == keys[2] ? "Éva" : nil })

        psbt = try Samples.payment(from: keys[0].xOnly)
        psbt.inputs[0].musig2Participants[keys[0]] = keys
        let group = try Tool("psbt", "show", try folder.write(psbt.serialized(), to: "b.psbt"), "--signers", list).run().output
        for name in named { #expect(group.contains("\(name)  nothing yet\n"), "\(group)") }
        #expect(try Tool("psbt", "show", path, "--signers", folder.path("none")).run().exitCode == ExitCode.missing.rawValue)
    }

    @Test func `nonces without their coins and signers are told, and with these they are not`() throws {
        let keys = Samples.keys(2)
        let group = try SignerGroup(keys)
        let named = try PSBT(
            asking: group, toSign: Samples.payment(from: group.outputKey).unsignedTransaction,
            spending: [TransactionOutput(amount: 1_000_000, scriptPubKey: group.scriptPubKey)])
        let folder = try TemporaryFolder()
        var paths: [String] = []
        for (number, key) in keys.enumerated() {
            var nonces = try PSBT(unsignedTransaction: named.unsignedTransaction)
            let label = PSBT.MuSig2Contribution(participant: key, aggregateKey: group.keys.aggregateKey)
            try nonces.addMuSig2PublicNonce(keys[0].bytes + keys[1].bytes, for: label, toInput: 0)
            paths.append(try folder.write(nonces.serialized(), to: "nonces-\(number).psbt"))
        }
        let word = "Nonces or signatures are there without their coins or signers"
        let loose = try Tool(["psbt", "combine"] + paths + ["--out", folder.path("loose.psbt")]).run()
        #expect(loose.exitCode == 0 && loose.errors.contains(word), "\(loose.errors)")
        #expect(try Tool("psbt", "show", folder.path("loose.psbt")).run().output.contains(word))
        let unfinished = try Tool("psbt", "finalize", folder.path("loose.psbt")).run()
        #expect(unfinished.exitCode == 3 && unfinished.errors.contains(word) && unfinished.errors.contains("set.psbt"))

        let set = try folder.write(named.serialized(), to: "set.psbt")
        let whole = try Tool(["psbt", "combine"] + paths + [set, "--out", folder.path("whole.psbt")]).run()
        #expect(whole.exitCode == 0 && !whole.errors.contains(word), "\(whole.errors)")
        #expect(try !Tool("psbt", "show", folder.path("whole.psbt")).run().output.contains(word))
        #expect(try !Tool("psbt", "finalize", folder.path("whole.psbt")).run().errors.contains(word))
    }

    @Test func `without a network scripts are shown, and no address is guessed`() throws {
        let psbt = try Samples.payment(from: try Samples.secretKey(1).publicKey.xOnly)
        var tool = Tool("psbt", "show", "-")
        tool.input = psbt.serialized()
        let run = try tool.run()
        #expect(run.outputLines[1] == "version 2, no lock time; scripts are shown, and with --network NET addresses")
        for output in psbt.unsignedTransaction.outputs {
            #expect(run.outputLines.contains("     to        P2TR script \(output.scriptPubKey.hex)"))
        }
        #expect(!run.output.contains("bc1") && run.outputLines.allSatisfy { $0.count <= 100 })
        tool.arguments.append("--json")
        let json = try tool.run().json()
        #expect(json["network"] is NSNull)
        let outputs = try #require(json["outputs"] as? [[String: Any]])
        #expect(outputs.allSatisfy { $0["address"] is NSNull })
    }

    @Test func `a payment is told to programs`() throws {
        var tool = Tool("psbt", "show", "-", "--json", "--network", "regtest")
        let psbt = try Samples.signedPayment(by: 1)
        tool.input = psbt.serialized()
        let json = try tool.run().json()
        #expect(json["txid"] as? String == "\(psbt.unsignedTransaction.txid)")
        #expect(json["network"] as? String == "regtest")
        #expect(json["complete"] as? Bool == false)
        #expect(json["ready_to_finalize"] as? Bool == true)
        #expect(json["fee"] as? Int == 1_000)
        #expect(json["virtual_size"] as? Int == 154)
        #expect(json["fee_rate"] as? Double == 6.49)
        let input = try #require((json["inputs"] as? [[String: Any]])?.first)
        #expect(input["state"] as? String == "signed")
        #expect(input["amount"] as? Int == 1_000_000)
    }

    @Test func `signatures are verified before an input is called signed`() throws {
        var psbt = try Samples.signedPayment(by: 1)
        psbt.inputs[0].tapKeySignature = try Samples.signedPayment(by: 2).inputs[0].tapKeySignature
        var tool = Tool("psbt", "show", "-")
        tool.input = psbt.serialized()
        let run = try tool.run()
        #expect(run.output.contains("do not sign: "))
        #expect(run.output.contains("do not sign: its signature under the key"))
        #expect(run.exitCode == 0)
    }

    @Test func `a fee that nobody knows, and amounts that cannot be, are shown as that`() throws {
        var unknown = try Samples.payment(from: Samples.keys(1)[0].xOnly)
        unknown.inputs[0].witnessUTXO = nil
        var tool = Tool("psbt", "show", "-")
        tool.input = unknown.serialized()
        let run = try tool.run()
        #expect(run.output.contains("amount not known"))
        #expect(run.output.contains("not known: input 0: the output it spends is not known"))
        #expect(run.outputLines.allSatisfy { $0.count <= 100 })
        unknown.inputs[0].witnessUTXO = TransactionOutput(amount: .max, scriptPubKey: .payToTaproot(Samples.keys(1)[0].xOnly))
        tool.input = unknown.serialized()
        #expect(try tool.run().output.contains("184,467,440,737.09551615 BTC"))
    }

    @Test func `a PSBT goes from signatures to a transaction`() throws {
        let folder = try TemporaryFolder()
        let signed = try folder.write(try Samples.signedPayment(by: 1, inputs: 3).base64(), to: "signed.psbt")

        let early = try Tool("psbt", "extract", signed).run()
        #expect(early.errors.contains("input 0 is not final"))
        #expect(early.exitCode == 3)

        let finalize = try Tool("psbt", "finalize", signed, "--out", folder.path("final.psbt")).run()
        #expect(finalize.output == "")
        #expect(finalize.errors == "wrote \(folder.path("final.psbt")): complete, every input is final\n")
        #expect(finalize.exitCode == 0)
        let printed = try Tool("psbt", "finalize", signed).run()
        #expect(printed.outputLines == [try PSBT(parsing: folder.bytes("final.psbt")).base64()])

        var psbt = try Samples.signedPayment(by: 1, inputs: 3)
        try psbt.finalize()
        // Signatures take randomness, so the transaction is the same only by its name.
        let txid = try psbt.extract().txid
        let extract = try Tool("psbt", "extract", folder.path("final.psbt")).run()
        #expect(try Transaction(parsing: Hex.decode(extract.outputLines[0])).txid == txid)
        let json = try Tool("psbt", "extract", folder.path("final.psbt"), "--json", "--out", folder.path("final.tx")).run().json()
        #expect(json["txid"] as? String == "\(txid)")
        #expect(try folder.text("final.tx") == extract.output)
        #expect(try Tool("tx", "show", folder.path("final.tx")).run().exitCode == 0)
    }

    @Test func `a PSBT without signatures cannot be finalized, and nothing is written`() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(try Samples.payment(from: Samples.keys(1)[0].xOnly).serialized(), to: "a.psbt")
        let run = try Tool("psbt", "finalize", path, "--out", folder.path("b.psbt")).run()
        #expect(run.errors.contains("input 0 cannot be finalized: it has 0 of the 1 signatures that it needs"))
        #expect(run.exitCode == 3)
        #expect(try folder.names() == ["a.psbt"])
    }

    @Test func `PSBTs of one transaction combine, and others are refused`() throws {
        let folder = try TemporaryFolder()
        let unsigned = try folder.write(try Samples.payment(from: try Samples.secretKey(1).publicKey.xOnly).serialized(), to: "a.psbt")
        let signed = try folder.write(try Samples.signedPayment(by: 1).serialized(), to: "b.psbt")
        let other = try folder.write(try Samples.signedPayment(by: 2).serialized(), to: "c.psbt")
        let run = try Tool("psbt", "combine", unsigned, signed, "--out", folder.path("d.psbt")).run()
        #expect(run.exitCode == 0)
        #expect(try folder.bytes("d.psbt") == folder.bytes("b.psbt"))

        let mixed = try Tool("psbt", "combine", unsigned, other).run()
        #expect(mixed.errors.contains("c.psbt: the PSBTs are about different transactions"))
        #expect(mixed.exitCode == 1 && mixed.output == "")
        // Another signature of the same key over the same transaction, for signing takes randomness.
        let again = try folder.write(try Samples.signedPayment(by: 1).serialized(), to: "e.psbt")
        let conflict = try Tool("psbt", "combine", signed, again).run()
        #expect(conflict.errors.contains("e.psbt: input 0: PSBT_IN_TAP_KEY_SIG"))
        #expect(conflict.exitCode == 1)
        let twice = try Tool("psbt", "combine", "-", "-").run()
        #expect(twice.errors.contains("- is given twice"))
        #expect(twice.exitCode == 2)
    }

    @Test(.enabled(if: VectorFolder.has("extracted/bip373.json"), "needs the bips folder: set CHORALE_BIPS"))
    func `who has given nonces and signatures is shown for every official MuSig2 PSBT`() throws {
        struct File: Decodable {
            struct Case: Decodable { var valid: Bool, why: String, hex: String, participants: [String]? }
            var psbts: [Case]
        }
        for vector in try VectorFolder.load("extracted/bip373.json", as: File.self).psbts {
            var tool = Tool("psbt", "show", "-", "--json")
            tool.input = try Hex.decode(vector.hex)
            let run = try tool.run()
            guard vector.valid else {
                #expect(run.exitCode == 1 && run.output == "" && run.errors.hasPrefix("chorale: standard input: "), "\(vector.why)")
                continue
            }
            guard vector.why.hasPrefix("spend") else { continue }
            let input = try #require((try run.json()["inputs"] as? [[String: Any]])?.first)
            let groups = try #require(input["musig2_groups"] as? [[String: Any]])
            #expect(groups.count == 1, "\(vector.why)")
            let participants = try #require(groups.first?["participants"] as? [String])
            #expect(participants.count == 3, "\(vector.why)")
            let hasNonces = !vector.why.hasSuffix("participants only")
            let signings = try #require(input["musig2"] as? [[String: Any]])
            #expect(signings.count == (hasNonces ? 1 : 0), "\(vector.why)")
            let hasSignatures = vector.why.hasSuffix("all partial signatures")
            if let signing = signings.first {
                #expect(signing["aggregate_key"] as? String == groups[0]["aggregate_key"] as? String, "\(vector.why)")
                #expect(signing["nonces"] as? [String] == participants.sorted(), "\(vector.why)")
                #expect(signing["partial_signatures"] as? [String] == (hasSignatures ? participants.sorted() : []), "\(vector.why)")
            }
            tool.arguments = ["psbt", "show", "-"]
            let lines = try tool.run().outputLines
            #expect(lines.allSatisfy { $0.count <= 100 }, "\(vector.why)")
            #expect(lines.contains { $0.contains("\(hasNonces ? 3 : 0) of 3 nonces, \(hasSignatures ? 3 : 0) of 3 partial signatures") })
        }
    }

    /// The official PSBT with this description.
    private static func official(_ why: String) throws -> PSBT {
        struct File: Decodable {
            struct Case: Decodable { var why: String, hex: String }
            var psbts: [Case]
        }
        let vectors = try VectorFolder.load("extracted/bip373.json", as: File.self).psbts
        return try PSBT(parsing: Hex.decode(try #require(vectors.first { $0.why == why }).hex))
    }

    @Test(
        .enabled(if: VectorFolder.has("extracted/bip373.json"), "needs the bips folder: set CHORALE_BIPS"),
        arguments: ["output key is the aggregate", "internal key is the aggregate", "key in a leaf script is the aggregate"])
    func `partial signatures add up to the signature, and a wrong one names its signer`(kind: String) throws {
        var psbt = try Self.official("spend, \(kind): all partial signatures")
        let known = psbt.inputs[0].tapKeySignature ?? psbt.inputs[0].tapScriptSignatures.values.first
        psbt.inputs[0].tapKeySignature = nil
        psbt.inputs[0].tapScriptSignatures = [:]
        var tool = Tool("psbt", "finalize", "-")
        tool.input = psbt.serialized()
        let run = try tool.run()
        let final = try PSBT(base64: try #require(run.outputLines.first, "\(run.errors)"))
        let signature = try #require(final.inputs[0].finalScriptWitness?.items.first)
        // One of the three cases comes without its signature; the finalizer verifies that one.
        if let known { #expect(signature == known.bytes) }

        let (signer, partial) = try #require(psbt.inputs[0].musig2PartialSignatures.first)
        let bytes = tool.input
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: partial) })
        tool.input[place + 31] ^= 1
        let wrong = try tool.run()
        let message = "input 0 cannot be finalized: the partial signature of \(signer.participant) does not sign this transaction"
        #expect(wrong.errors.contains(message))
        #expect(wrong.exitCode == 1 && wrong.output == "")

        tool.input = try Self.official("spend, \(kind): all public nonces").serialized()
        let early = try tool.run()
        #expect(early.exitCode == 3 && early.output == "")
    }

    @Test(
        .enabled(if: VectorFolder.has("extracted/bip373.json"), "needs the bips folder: set CHORALE_BIPS"),
        arguments: ["output key is the aggregate", "internal key is the aggregate", "key in a leaf script is the aggregate"])
    func `the size shown before the first nonce is that of the finished transaction`(kind: String) throws {
        var finished = try Self.official("spend, \(kind): all partial signatures")
        try finished.finalize()
        let size = try finished.extract().virtualSize
        for stage in ["participants only", "all public nonces", "all partial signatures"] {
            var tool = Tool("psbt", "show", "-", "--json")
            tool.input = try Self.official("spend, \(kind): \(stage)").serialized()
            let json = try tool.run().json()
            #expect(json["virtual_size"] as? Int == size, "\(stage)")
            #expect((json["sizes"] as? [Any])?.count == 1, "\(stage)")
        }
    }

    @Test func `a coin with known leaves has a size by each path until somebody signs`() throws {
        let keys = Samples.keys(3)
        func leaf(_ key: PublicKey) -> TapLeaf { TapLeaf(script: Script([32] + key.xOnly.bytes.bytes + [0xac])) }
        let tree = try TaprootTree(balanced: [leaf(keys[1]), leaf(keys[2])])
        let output = try TaprootOutput(internalKey: keys[0].xOnly, tree: tree)
        var psbt = try Samples.payment(from: output.outputKey)
        psbt.inputs[0].tapInternalKey = keys[0].xOnly
        for index in 0..<2 {
            psbt.inputs[0].tapLeafScripts[try output.controlBlock(forLeafAt: index, in: tree)] = leaf(keys[index + 1])
        }
        var tool = Tool("psbt", "show", "-")
        tool.input = psbt.serialized()
        let open = try tool.run().output
        #expect(open.contains("at 154 vB by the key path\n") && open.contains("by a leaf at depth 1\n"))
        let signature = try #require(try Samples.signedPayment(by: 1).inputs[0].tapKeySignature)
        psbt.inputs[0].tapScriptSignatures[PSBT.TapScriptSigner(key: keys[1].xOnly, leafHash: leaf(keys[1]).hash)] = signature
        tool.input = psbt.serialized()
        let decided = try tool.run().output
        #expect(!decided.contains("by the key path") && decided.contains("by a leaf at depth 1\n"))
    }
}
