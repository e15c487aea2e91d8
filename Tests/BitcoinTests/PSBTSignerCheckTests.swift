import Bitcoin
import CryptoPrimitives
import Secp256k1
import TestVectors
import Testing

@Suite(.enabled(if: [174, 371, 373].allSatisfy(PSBTVectorFile.isThere), "\(PSBTVectorFile.absence)"))
struct PSBTSignerCheckTests {
    @Test func `the four PSBTs that a signer must refuse are refused for the right reason`() throws {
        let cases = try #require(try PSBTVectorFile.load(174).signerFails)
        let expected: [PSBTError] = [
            .notSignable(input: 0, .witnessUTXOForNonWitnessInput),
            .notSignable(input: 0, .redeemScriptMismatch),
            .notSignable(input: 1, .redeemScriptMismatch),
            .notSignable(input: 1, .witnessScriptMismatch),
        ]
        #expect(cases.count == expected.count)
        for (vector, error) in zip(cases, expected) {
            let psbt = try vector.psbt()
            #expect(throws: error, "\(vector.why)") { try psbt.checkSignable() }
        }
    }

    @Test func `every other official PSBT passes a signer's checks, or lacks a UTXO`() throws {
        var (passed, lacking): (Int, [String]) = (0, [])
        for vector in try [174, 371, 373].flatMap({ try PSBTVectorFile.load($0).valid }) {
            do throws(PSBTError) {
                try vector.psbt().checkSignable()
                passed += 1
            } catch {
                #expect(error == .utxoMissing(input: 0), "\(vector.why)")
                lacking.append(vector.why)
            }
        }
        #expect(passed == 29)
        #expect(lacking == ["unknown types in the inputs"])
    }

    @Test func `a previous transaction of another txid is refused`() throws {
        let roles = try #require(try PSBTVectorFile.load(174).roles)
        var psbt = try roles.creator.result.psbt()
        let previous = try roles.updater.previousTxs.map { try Transaction(parsing: Hex.decode($0)) }
        let index = try #require(psbt.unsignedTransaction.inputs.firstIndex { $0.previousOutput.txid == previous[0].txid })
        let wanted = psbt.unsignedTransaction.inputs[index].previousOutput.txid
        let flaw = PSBT.Flaw.wrongTxid(expected: wanted, actual: previous[1].txid)
        #expect(throws: PSBTError.invalidField(.input(index), .input(.nonWitnessUTXO), flaw)) {
            try psbt.addNonWitnessUTXO(previous[1], toInput: index)
        }
        try psbt.addNonWitnessUTXO(previous[0], toInput: index)
        #expect(throws: PSBTError.noSuchMap(.input(2))) { try psbt.addNonWitnessUTXO(previous[0], toInput: 2) }
    }

    @Test func `a sighash type that the signer does not accept is refused`() throws {
        let roles = try #require(try PSBTVectorFile.load(174).roles)
        var psbt = try roles.updaterSighashAll.result.psbt()
        try psbt.checkSignable()
        psbt.inputs[1].sighashType = 0x83
        #expect(throws: PSBTError.notSignable(input: 1, .sighashTypeNotAllowed(0x83))) { try psbt.checkSignable() }
        try psbt.checkSignable(allowing: [1, 0x83])
        psbt.inputs[1].sighashType = 0
        #expect(throws: PSBTError.notSignable(input: 1, .sighashTypeNotAllowed(0))) { try psbt.checkSignable() }
    }

    @Test func `a signature of another sighash type than stated is refused`() throws {
        let roles = try #require(try PSBTVectorFile.load(174).roles)
        var psbt = try roles.signer1.result.psbt()
        psbt.inputs[0].sighashType = 3
        let error = PSBTError.notSignable(input: 0, .signatureOfOtherSighashType(stated: 3, actual: 1))
        #expect(throws: error) { try psbt.checkSignable(allowing: [1, 3]) }
        #expect(throws: error) { try psbt.finalize() }
        let (key, signature) = try #require(psbt.inputs[0].partialSignatures.first)
        psbt.inputs[0].partialSignatures = [:]
        #expect(throws: error) { try psbt.addPartialSignature(signature, of: key, toInput: 0) }
    }

    @Test func `a Taproot input whose keys or leaves do not give its output is refused`() throws {
        let vector = try #require(try PSBTVectorFile.load(371).valid.first { $0.why.hasPrefix("script-path input: leaf") })
        let psbt = try vector.psbt()
        try psbt.checkSignable()

        var wrongRoot = psbt
        wrongRoot.inputs[0].tapMerkleRoot = Bytes32()
        #expect(throws: PSBTError.notSignable(input: 0, .internalKeyMismatch)) { try wrongRoot.checkSignable() }

        var wrongLeaf = psbt
        let block = try #require(psbt.inputs[0].tapLeafScripts.keys.first)
        wrongLeaf.inputs[0].tapLeafScripts[block] = TapLeaf(script: Script([0x51]))
        #expect(throws: PSBTError.notSignable(input: 0, .leafScriptMismatch)) { try wrongLeaf.checkSignable() }
    }

    @Test func `internal key and root are compared with the control blocks, each on its own`() throws {
        let vector = try #require(try PSBTVectorFile.load(371).valid.first { $0.why.hasPrefix("script-path input: leaf") })
        let psbt = try vector.psbt()
        let internalKey = try #require(psbt.inputs[0].tapInternalKey)
        let output = try psbt.spentOutput(ofInput: 0)
        guard case .payToTaproot(let outputKey) = output.scriptPubKey.kind else { throw PSBTError.notAPSBT }

        var onlyRoot = psbt
        onlyRoot.inputs[0].tapInternalKey = nil
        try onlyRoot.checkSignable()
        onlyRoot.inputs[0].tapMerkleRoot = Bytes32()
        #expect(throws: PSBTError.notSignable(input: 0, .merkleRootMismatch)) { try onlyRoot.checkSignable() }

        var onlyKey = psbt
        onlyKey.inputs[0].tapMerkleRoot = nil
        #expect(onlyKey.inputs[0].tapInternalKey == internalKey)
        try onlyKey.checkSignable()
        onlyKey.inputs[0].tapInternalKey = try XOnlyPublicKey(outputKey)
        #expect(throws: PSBTError.notSignable(input: 0, .internalKeyMismatch)) { try onlyKey.checkSignable() }
    }

    @Test func `a signature that covers less than everything is refused where the PSBT does not ask for it`() throws {
        let roles = try #require(try PSBTVectorFile.load(174).roles)
        var psbt = try roles.signer1.result.psbt()
        let (key, signature) = try #require(psbt.inputs[0].partialSignatures.first)
        let none = try PSBT.ECDSASignature(parsing: signature.bytes.dropLast() + [2])
        psbt.inputs[0].sighashType = nil
        try psbt.checkSignable()
        psbt.inputs[0].partialSignatures[key] = none
        let error = PSBTError.notSignable(input: 0, .signatureOfUnusualSighashType(actual: 2))
        #expect(throws: error) { try psbt.checkSignable() }
        #expect(throws: error) { try psbt.finalizeInput(0) }
        psbt.inputs[0].sighashType = 2
        try psbt.checkSignable(input: 0, allowing: [2])
    }

    @Test func `UTXO fields that disagree are refused`() throws {
        let roles = try #require(try PSBTVectorFile.load(174).roles)
        var psbt = try roles.updater.result.psbt()
        let output = try psbt.spentOutput(ofInput: 0)
        psbt.inputs[0].witnessUTXO = TransactionOutput(amount: output.amount + 1, scriptPubKey: output.scriptPubKey)
        #expect(throws: PSBTError.utxosDisagree(input: 0)) { try psbt.fee() }
        #expect(throws: PSBTError.utxosDisagree(input: 0)) { try psbt.checkSignable() }
    }
}

@Suite struct PSBTAmountTests {
    private static func psbt(spending spent: [UInt64?], paying paid: [UInt64]) throws -> PSBT {
        var psbt = try PSBT(
            unsignedTransaction: Transaction(
                inputs: spent.indices.map { index in
                    TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: UInt32(index)))
                },
                outputs: paid.map { TransactionOutput(amount: $0, scriptPubKey: Script()) }))
        for (index, amount) in spent.enumerated() {
            psbt.inputs[index].witnessUTXO = amount.map { TransactionOutput(amount: $0, scriptPubKey: Script()) }
        }
        return psbt
    }

    @Test func `the fee is what is spent less what is paid`() throws {
        #expect(try Self.psbt(spending: [700, 400], paying: [1_000, 60]).fee() == 40)
        #expect(try Self.psbt(spending: [700], paying: [700]).fee() == 0)
    }

    @Test func `there is no fee while a UTXO is missing, or when more is paid than spent`() throws {
        #expect(throws: PSBTError.utxoMissing(input: 1)) { try Self.psbt(spending: [700, nil], paying: [1]).fee() }
        #expect(throws: PSBTError.outputsExceedInputs(spent: 700, paid: 701)) { try Self.psbt(spending: [700], paying: [701]).fee() }
    }

    @Test(arguments: [[UInt64.max], [.max, .max], [2_100_000_000_000_001], [2_100_000_000_000_000, 1]])
    func `amounts beyond all bitcoin are refused and overflow nothing`(amounts: [UInt64]) throws {
        #expect(throws: PSBTError.amountsTooLarge) { try Self.psbt(spending: amounts, paying: [1]).fee() }
        #expect(throws: PSBTError.amountsTooLarge) { try Self.psbt(spending: [1], paying: amounts).fee() }
    }
}
