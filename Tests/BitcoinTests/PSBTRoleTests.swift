import Bitcoin
import CryptoPrimitives
import TestVectors
import Testing

/// The role steps of BIP-174, each from the result of the one before.
@Suite(.enabled(if: PSBTVectorFile.isThere(174), "\(PSBTVectorFile.absence)"))
struct PSBTRoleTests {
    let roles: PSBTRoles

    init() throws {
        self.roles = try #require(try PSBTVectorFile.load(174).roles)
    }

    @Test func `the creator makes a PSBT of nothing but the transaction`() throws {
        let transaction = Transaction(
            inputs: try self.roles.creator.inputs.map { input in
                TransactionInput(previousOutput: OutPoint(txid: try #require(Txid(input.txid)), index: input.index))
            },
            outputs: try self.roles.creator.outputs.map { output in
                // Eight decimals, so the digits without the point are satoshi.
                TransactionOutput(
                    amount: try #require(UInt64(output.amountBtc.filter { $0 != "." })),
                    scriptPubKey: try #require(Script(hex: output.scriptPubKey)))
            })
        let psbt = try PSBT(unsignedTransaction: transaction)
        #expect(Hex.encode(psbt.serialized()) == self.roles.creator.result.hex)
        #expect(psbt.base64() == self.roles.creator.result.base64)
    }

    @Test func `the updater adds UTXOs, scripts and key origins`() throws {
        var psbt = try self.roles.creator.result.psbt()
        let updater = self.roles.updater
        for previous in try updater.previousTxs.map({ try Transaction(parsing: Hex.decode($0)) }) {
            let index = try #require(psbt.unsignedTransaction.inputs.firstIndex { $0.previousOutput.txid == previous.txid })
            try psbt.addNonWitnessUTXO(previous, toInput: index)
        }
        // The second input is of the segwit kind: BIP-174's updater gives its output alone.
        let coin = try psbt.spentOutput(ofInput: 1)
        psbt.inputs[1] = PSBT.Input()
        psbt.inputs[1].witnessUTXO = coin

        psbt.inputs[0].redeemScript = Script(hex: updater.redeemScripts[0])
        psbt.inputs[1].redeemScript = Script(hex: updater.redeemScripts[1])
        psbt.inputs[1].witnessScript = Script(hex: updater.witnessScripts[0])
        for (index, key) in updater.publicKeys.enumerated() {
            let publicKey = try PSBT.ECDSAPublicKey(parsing: Hex.decode(key.key))
            let origin = PSBT.KeyOrigin(fingerprint: 0xd90c_6a4f, path: try Self.path(key.path))
            // Two keys for each input, then one for each output.
            if index < 4 {
                psbt.inputs[index / 2].bip32Derivations[publicKey] = origin
            } else {
                psbt.outputs[index - 4].bip32Derivations[publicKey] = origin
            }
        }
        #expect(Hex.encode(psbt.serialized()) == updater.result.hex)
    }

    private static func path(_ text: String) throws -> [UInt32] {
        try text.split(separator: "/").dropFirst().map { element in
            let isHardened = element.last == "'"
            let number = try #require(UInt32(isHardened ? element.dropLast() : element))
            return isHardened ? number | 0x8000_0000 : number
        }
    }

    @Test func `the updater sets the sighash type`() throws {
        var psbt = try self.roles.updater.result.psbt()
        for index in psbt.inputs.indices { psbt.inputs[index].sighashType = 1 }
        #expect(Hex.encode(psbt.serialized()) == self.roles.updaterSighashAll.result.hex)
    }

    @Test(arguments: [\PSBTRoles.signer1, \PSBTRoles.signer2])
    func `a signer checks the PSBT and adds its signatures, which sign it`(signer: KeyPath<PSBTRoles, PSBTRoles.Step> & Sendable) throws {
        var psbt = try self.roles.updaterSighashAll.result.psbt()
        try psbt.checkSignable()
        let signed = try self.roles[keyPath: signer].result.psbt()
        for index in psbt.inputs.indices {
            #expect(signed.inputs[index].partialSignatures.count == 1)
            // Chorale makes no such signatures; those of the figures are held against what this PSBT asks to be signed.
            let (hash, script) = try #require(try psbt.earlierSighash(ofInput: index))
            for (key, signature) in signed.inputs[index].partialSignatures {
                #expect(Hex.encode(script.bytes).contains(Hex.encode(key.bytes)))
                #expect(try signature.isValid(for: hash, by: key))
                try psbt.addPartialSignature(signature, of: key, toInput: index)
            }
        }
        #expect(Hex.encode(psbt.serialized()) == self.roles[keyPath: signer].result.hex)
    }

    @Test func `no signature of the figures signs anything else than its own input of this transaction`() throws {
        let psbt = try self.roles.combiner.result.psbt()
        let hashes = try psbt.inputs.indices.map { try #require(try psbt.earlierSighash(ofInput: $0)).hash }
        var others = psbt
        others.inputs[1].witnessUTXO?.amount += 1
        var changed = psbt.unsignedTransaction
        changed.outputs[0].amount -= 1
        let changedHashes = try psbt.inputs.indices.map { index in
            let (script, coin) = (try #require(try psbt.earlierSighash(ofInput: index)).script, try psbt.spentOutput(ofInput: index))
            return psbt.inputs[index].witnessScript == nil
                ? EarlierSighash.legacy(changed, input: index, script: script)
                : EarlierSighash.segwit(changed, input: index, script: script, amount: coin.amount)
        }
        let otherAmount = try #require(try others.earlierSighash(ofInput: 1)).hash
        for index in psbt.inputs.indices {
            let signatures = psbt.inputs[index].partialSignatures
            #expect(signatures.count == 2)
            let keys = Array(signatures.keys)
            for (key, signature) in signatures {
                #expect(try signature.isValid(for: hashes[index], by: key))
                for wrong in [hashes[1 - index], changedHashes[index], otherAmount] { #expect(try !signature.isValid(for: wrong, by: key)) }
                for other in keys where other != key { #expect(try !signature.isValid(for: hashes[index], by: other)) }
            }
        }
    }

    @Test func `the combiner joins two signers in either order`() throws {
        let first = try self.roles.signer1.result.psbt()
        let second = try self.roles.signer2.result.psbt()
        #expect(Hex.encode(try PSBT(combining: [first, second]).serialized()) == self.roles.combiner.result.hex)
        #expect(Hex.encode(try PSBT(combining: [second, first]).serialized()) == self.roles.combiner.result.hex)
    }

    @Test func `the finalizer builds scriptSigs and witnesses`() throws {
        var psbt = try self.roles.combiner.result.psbt()
        try psbt.checkSignable()
        try psbt.finalize()
        #expect(Hex.encode(psbt.serialized()) == self.roles.finalizer.result.hex)
        #expect(psbt.base64() == self.roles.finalizer.result.base64)
        try psbt.finalize()
        #expect(Hex.encode(psbt.serialized()) == self.roles.finalizer.result.hex)
    }

    @Test func `the finalizer changes nothing while signatures are missing, and says in which input`() throws {
        var psbt = try self.roles.signer1.result.psbt()
        let before = psbt
        #expect(throws: PSBTError.notFinalizable(input: 0, .signaturesMissing(found: 1, needed: 2))) { try psbt.finalize() }
        #expect(psbt == before)
        psbt = try self.roles.combiner.result.psbt()
        psbt.inputs[1].partialSignatures = [:]
        #expect(throws: PSBTError.notFinalizable(input: 1, .signaturesMissing(found: 0, needed: 2))) { try psbt.finalize() }
        #expect(!psbt.inputs[0].isFinal)
        try psbt.finalizeInput(0)
        #expect(psbt.inputs[0].isFinal)
    }

    @Test func `the extractor gives the network transaction`() throws {
        let psbt = try self.roles.finalizer.result.psbt()
        #expect(psbt.isComplete)
        #expect(Hex.encode(try psbt.extract().serialized()) == self.roles.extractor.resultTx)
    }

    @Test func `the extractor names the input that is not final`() throws {
        var psbt = try self.roles.finalizer.result.psbt()
        psbt.inputs[1].finalScriptSig = nil
        psbt.inputs[1].finalScriptWitness = nil
        #expect(!psbt.isComplete)
        #expect(throws: PSBTError.notFinal(input: 1)) { try psbt.extract() }
    }

    @Test func `the combiner keeps unknown fields of both sides`() throws {
        let unknown = self.roles.combinerUnknownKeys
        let inputs = try unknown.inputs.map { try $0.psbt() }
        #expect(inputs.count == 2)
        #expect(Hex.encode(try PSBT(combining: inputs).serialized()) == unknown.result.hex)
        #expect(Hex.encode(try PSBT(combining: inputs.reversed()).serialized()) == unknown.result.hex)
    }
}
