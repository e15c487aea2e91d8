import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import TestVectors
import Testing

/// What BIP-373's own PSBTs say, beyond being parsed: aggregate keys, partial signatures and final transactions.
@Suite(.enabled(if: PSBTVectorFile.isThere(373), "\(PSBTVectorFile.absence)"))
struct PSBTMuSig2Tests {
    let file: PSBTVectorFile
    let aggregate: PublicKey
    let participants: [PublicKey]

    init() throws {
        self.file = try PSBTVectorFile.load(373)
        self.aggregate = try PublicKey(parsing: Hex.decode(try #require(self.file.aggregatePubkey)))
        self.participants = try #require(self.file.participants).map { try PublicKey(parsing: Hex.decode($0.pubkey)) }
    }

    private func psbt(_ start: String, _ end: String = "") throws -> PSBT {
        try #require(self.file.valid.first { $0.why.hasPrefix(start) && $0.why.hasSuffix(end) }).psbt()
    }

    @Test func `the participants aggregate to the stated key, in every PSBT that holds them`() throws {
        #expect(self.participants.count == 3)
        #expect(try KeyAggregation(self.participants).aggregateKey == self.aggregate)
        var inputs = 0
        var outputs = 0
        for vector in self.file.valid {
            let psbt = try vector.psbt()
            for input in psbt.inputs where !input.musig2Participants.isEmpty {
                #expect(input.musig2Participants == [self.aggregate: self.participants])
                inputs += 1
            }
            for output in psbt.outputs where !output.musig2Participants.isEmpty {
                #expect(output.musig2Participants == [self.aggregate: self.participants])
                outputs += 1
            }
        }
        #expect(inputs == 12)
        #expect(outputs == 2)
    }

    static let rounds = ["participants only", "all public nonces", "all partial signatures"]
    static let spends = ["spend, output key", "spend, internal key is", "spend, key in a leaf script", "spend, internal key derived"]

    @Test(arguments: spends)
    func `nonces and partial signatures are those of the three participants, for one key and leaf`(spend: String) throws {
        let psbts = try Self.rounds.map { try self.psbt(spend, $0) }
        #expect(psbts.map { $0.inputs[0].musig2PublicNonces.count } == [0, 3, 3])
        #expect(psbts.map { $0.inputs[0].musig2PartialSignatures.count } == [0, 0, 3])
        let contributions = Set(psbts[2].inputs[0].musig2PublicNonces.keys)
        #expect(contributions == Set(psbts[2].inputs[0].musig2PartialSignatures.keys))
        #expect(Set(contributions.map(\.participant)) == Set(self.participants))
        #expect(Set(contributions.map(\.aggregateKey)).count == 1)
        #expect(contributions.allSatisfy { ($0.leafHash != nil) == spend.contains("leaf") })
    }

    /// A PSBT's partial signatures, added up.
    private func signature(of psbt: PSBT, keys: KeyAggregation, leaf: TapLeafHash? = nil) throws -> SchnorrSignature {
        let input = psbt.inputs[0]
        let message = try psbt.unsignedTransaction.taprootSighash(
            input: 0, prevouts: psbt.spentOutputs(), type: .default, leaf: leaf)
        let contributions = self.participants.map {
            PSBT.MuSig2Contribution(participant: $0, aggregateKey: keys.aggregateKey, leafHash: leaf)
        }
        let nonces = try contributions.map { try PublicNonce(parsing: try #require(input.musig2PublicNonces[$0])) }
        let partials = try contributions.map { try PartialSignature(parsing: try #require(input.musig2PartialSignatures[$0])) }
        return try SigningContext(keys: keys, nonces: nonces, message: message).finish(partials)
    }

    @Test func `partial signatures for the output key make a signature that spends`() throws {
        var psbt = try self.psbt("spend, output key", "all partial signatures")
        let signature = try self.signature(of: psbt, keys: KeyAggregation(self.participants))
        try psbt.finalize()
        #expect(psbt.inputs[0].finalScriptWitness == Witness([signature.bytes]))
    }

    @Test func `a signer whose partial signature is wrong is named, and so is one whose signature is none`() throws {
        var psbt = try self.psbt("spend, output key", "all partial signatures")
        let input = psbt.inputs[0]
        let (label, right) = try #require(input.musig2PartialSignatures.first { $0.key.participant == self.participants[1] })
        func finalize(with partial: [UInt8]?) throws {
            psbt.removeMuSig2Contributions()
            for (label, nonce) in input.musig2PublicNonces { try psbt.addMuSig2PublicNonce(nonce, for: label, toInput: 0) }
            for (other, value) in input.musig2PartialSignatures where other != label {
                try psbt.addMuSig2PartialSignature(value, for: other, toInput: 0)
            }
            if let partial { try psbt.addMuSig2PartialSignature(partial, for: label, toInput: 0) }
            try psbt.finalize()
        }
        #expect(throws: PSBTError.notFinalizable(input: 0, .invalidPartialSignatures(signers: [self.participants[1]]))) {
            try finalize(with: right.dropLast() + [right[31] ^ 1])
        }
        let error = try #require(throws: PSBTError.self) { try finalize(with: [UInt8](repeating: 0xff, count: 32)) }
        guard case .notFinalizable(0, .malformedContribution(self.participants[1], _)) = error else { throw error }
        #expect(throws: PSBTError.notFinalizable(input: 0, .signaturesMissing(found: 0, needed: 1))) { try finalize(with: nil) }
        try finalize(with: right)
        #expect(psbt.isComplete)
    }

    @Test func `partial signatures whose message is not known, for want of a UTXO, are not added up, and the input is named`() throws {
        let psbt = try self.psbt("spend, output key", "all partial signatures")
        var transaction = psbt.unsignedTransaction
        transaction.inputs.append(TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0)))
        var wider = try PSBT(unsignedTransaction: transaction)
        wider.inputs[0] = psbt.inputs[0]
        #expect(throws: PSBTError.utxoMissing(input: 1)) { try wider.finalizeInput(0) }
    }

    @Test func `partial signatures for the internal key make the PSBT's own signature`() throws {
        let psbt = try self.psbt("spend, internal key is", "all partial signatures")
        let keys = try KeyAggregation(self.participants).tweakedForTaproot(merkleRoot: nil)
        #expect(try self.signature(of: psbt, keys: keys) == psbt.inputs[0].tapKeySignature?.signature)
    }

    @Test func `partial signatures for a leaf make the PSBT's own signature`() throws {
        let psbt = try self.psbt("spend, key in a leaf script", "all partial signatures")
        let (block, leaf) = try #require(psbt.inputs[0].tapLeafScripts.first)
        let signature = try self.signature(of: psbt, keys: KeyAggregation(self.participants), leaf: leaf.hash)
        let signer = PSBT.TapScriptSigner(key: self.aggregate.xOnly, leafHash: leaf.hash)
        #expect(signature == psbt.inputs[0].tapScriptSignatures[signer]?.signature)
        #expect(block.merklePath.isEmpty)
    }

    @Test(arguments: spends.dropFirst())
    func `a signed PSBT becomes a transaction, and only what BIP-174 keeps is kept`(spend: String) throws {
        var psbt = try self.psbt(spend, "all partial signatures")
        psbt.inputs[0].proprietary[PSBT.ProprietaryKey(identifier: [1, 2], subtype: 300, keyData: [3])] = [4]
        let signed = psbt.inputs[0]
        try psbt.finalize()

        var expected = PSBT.Input()
        expected.witnessUTXO = signed.witnessUTXO
        expected.proprietary = signed.proprietary
        if let signature = signed.tapKeySignature {
            expected.finalScriptWitness = Witness([signature.bytes])
        } else {
            let (block, leaf) = try #require(signed.tapLeafScripts.first)
            let signature = try #require(signed.tapScriptSignatures.values.first)
            expected.finalScriptWitness = Witness([signature.bytes, leaf.script.bytes, block.serialized()])
        }
        #expect(psbt.inputs[0] == expected)
        #expect(try psbt.extract().inputs[0].witness == expected.finalScriptWitness)
        #expect(try PSBT(parsing: psbt.serialized()) == psbt)
    }

    @Test func `a Taproot signature of another transaction is not made final`() throws {
        var psbt = try self.psbt("spend, internal key is", "all partial signatures")
        let output = try psbt.spentOutput(ofInput: 0)
        psbt.inputs[0].witnessUTXO = TransactionOutput(amount: output.amount + 1, scriptPubKey: output.scriptPubKey)
        let error = try #require(throws: PSBTError.self) { try psbt.finalize() }
        guard case .notFinalizable(0, .invalidSignature) = error else { throw error }

        // A byte that says SIGHASH_DEFAULT makes the same signature invalid (BIP-341).
        psbt.inputs[0].witnessUTXO = output
        psbt.inputs[0].tapKeySignature?.sighashType = 0
        #expect(throws: error) { try psbt.finalize() }
        psbt.inputs[0].tapKeySignature?.sighashType = nil
        try psbt.finalize()
    }
}
