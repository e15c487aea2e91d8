import Bitcoin
import CryptoPrimitives
import Secp256k1
import TestVectors
import Testing

@Suite(.enabled(if: [174, 371, 373].allSatisfy(PSBTVectorFile.isThere), "\(PSBTVectorFile.absence)"))
struct PSBTCombinerTests {
    /// A PSBT with the contributions of three signers.
    let complete: PSBT
    /// The same without any.
    let empty: PSBT
    /// What each of the three signers alone would hand in.
    let parts: [PSBT]

    init() throws {
        let vector = try #require(
            try PSBTVectorFile.load(373).valid.first { $0.why == "spend, key in a leaf script is the aggregate: all partial signatures" })
        self.complete = try vector.psbt()
        var empty = self.complete
        empty.removeMuSig2Contributions()
        self.empty = empty
        self.parts = try self.complete.inputs[0].musig2PublicNonces.sorted { $0.key.participant < $1.key.participant }
            .map { [complete] contribution, nonce in
                var part = empty
                try part.addMuSig2PublicNonce(nonce, for: contribution, toInput: 0)
                let partial = try #require(complete.inputs[0].musig2PartialSignatures[contribution])
                try part.addMuSig2PartialSignature(partial, for: contribution, toInput: 0)
                return part
            }
    }

    @Test(arguments: [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [0, 0, 1, 2, 1, 2]])
    func `contributions combine in any order, and repeats change nothing`(order: [Int]) throws {
        #expect(self.parts.count == 3)
        let combined = try PSBT(combining: order.map { self.parts[$0] })
        #expect(combined == self.complete)
        #expect(combined.serialized() == self.complete.serialized())
    }

    @Test func `two nonces of one signer are refused, and the signer is named`() throws {
        var other = self.parts[1]
        let (contribution, nonce) = try #require(self.parts[1].inputs[0].musig2PublicNonces.first)
        let stranger = try #require(self.parts[2].inputs[0].musig2PublicNonces.values.first)
        let error = PSBTError.conflictingContributions(signer: contribution.participant.bytes, input: 0, .musig2PublicNonce)
        #expect(throws: error) { try other.addMuSig2PublicNonce(stranger, for: contribution, toInput: 0) }
        try other.addMuSig2PublicNonce(nonce, for: contribution, toInput: 0)
        #expect(other == self.parts[1])

        other = self.empty
        try other.addMuSig2PublicNonce(stranger, for: contribution, toInput: 0)
        #expect(throws: error) { try PSBT(combining: [other, self.parts[1]]) }
        #expect(throws: error) { try PSBT(combining: [self.parts[1], other]) }
        #expect("\(error)".contains(contribution.participant.description))
        #expect("\(error)".contains("PSBT_IN_MUSIG2_PUB_NONCE"))
        // Nothing in a PSBT's fields is signed by the signer under whose name it stands.
        #expect("\(error)".contains("proves nothing") && !"\(error)".contains("gave"))
    }

    @Test func `two partial signatures of one signer are refused, and the signer is named`() throws {
        let contribution = try #require(self.parts[0].inputs[0].musig2PartialSignatures.keys.first)
        var other = self.empty
        try other.addMuSig2PartialSignature([UInt8](repeating: 7, count: 32), for: contribution, toInput: 0)
        let error = PSBTError.conflictingContributions(signer: contribution.participant.bytes, input: 0, .musig2PartialSignature)
        #expect(throws: error) { try PSBT(combining: [self.parts[0], other]) }
        #expect(throws: error) { try PSBT(combining: [other, self.parts[0]]) }
        var target = self.parts[0]
        #expect(throws: error) { try target.combine(with: other) }
        #expect(target == self.parts[0])
    }

    @Test func `what together is more than is read of one PSBT does not combine, and nothing changes`() throws {
        func key(_ number: Int) -> PSBT.ProprietaryKey { PSBT.ProprietaryKey(identifier: [1], subtype: UInt64(number)) }
        var (first, second) = (self.empty, self.empty)
        let half = PSBT.fieldCountMax / 2
        for number in 0..<half {
            first.proprietary[key(number)] = []
            second.proprietary[key(half + number)] = []
        }
        var combined = first
        #expect(throws: PSBTError.tooManyFields) { try combined.combine(with: second) }
        #expect(throws: PSBTError.tooManyFields) { try PSBT(combining: [first, second]) }
        #expect(combined == first)

        (first, second) = (self.empty, self.empty)
        first.proprietary[key(1)] = Array(repeating: 0, count: PSBT.byteCountMax / 2)
        second.proprietary[key(2)] = Array(repeating: 0, count: PSBT.byteCountMax / 2)
        let error = #expect(throws: PSBTError.self) { try PSBT(combining: [first, second]) }
        guard case .tooLong? = error else { throw PSBTError.notAPSBT }

        let input = TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))
        first = try PSBT(unsignedTransaction: Transaction(inputs: [input, input], outputs: []))
        second = first
        first.inputs[0].finalScriptWitness = Witness([[UInt8]](repeating: [], count: PSBT.itemCountMax))
        second.inputs[1].finalScriptWitness = Witness([[]])
        #expect(throws: PSBTError.tooManyItems) { try PSBT(combining: [first, second]) }
        #expect(try PSBT(combining: [first, first]) == first)
    }

    @Test func `contributions of a wrong length never get in`() throws {
        let contribution = try #require(self.parts[0].inputs[0].musig2PartialSignatures.keys.first)
        var psbt = self.empty
        #expect(throws: PSBTError.invalidField(.input(0), .input(.musig2PublicNonce), .wrongValueLength(expected: [66], actual: 65))) {
            try psbt.addMuSig2PublicNonce([UInt8](repeating: 2, count: 65), for: contribution, toInput: 0)
        }
        #expect(throws: PSBTError.invalidField(.input(0), .input(.musig2PartialSignature), .wrongValueLength(expected: [32], actual: 33))) {
            try psbt.addMuSig2PartialSignature([UInt8](repeating: 2, count: 33), for: contribution, toInput: 0)
        }
        #expect(throws: PSBTError.noSuchMap(.input(1))) {
            try psbt.addMuSig2PartialSignature([UInt8](repeating: 2, count: 32), for: contribution, toInput: 1)
        }
        #expect(psbt == self.empty)
    }

    @Test func `of two ECDSA signatures of one key the lesser is kept, and two Taproot signatures are refused by the key's name`() throws {
        let roles = try #require(try PSBTVectorFile.load(174).roles)
        let first = try roles.signer1.result.psbt()
        let second = try roles.signer2.result.psbt()
        let key = try #require(first.inputs[0].partialSignatures.keys.first)
        let wrong = try #require(second.inputs[0].partialSignatures.values.first)
        var other = try roles.updaterSighashAll.result.psbt()
        try other.addPartialSignature(wrong, of: key, toInput: 0)
        let mine = try #require(first.inputs[0].partialSignatures[key])
        let lesser = mine.bytes.lexicographicallyPrecedes(wrong.bytes) ? mine : wrong
        #expect(mine != wrong)
        #expect(try PSBT(combining: [first, other]).inputs[0].partialSignatures[key] == lesser)
        #expect(try PSBT(combining: [first, other]) == PSBT(combining: [other, first]))

        var tapOther = self.complete
        let (signer, signature) = try #require(self.complete.inputs[0].tapScriptSignatures.first)
        tapOther.inputs[0].tapScriptSignatures[signer] = PSBT.TapSignature(signature.signature, sighashType: 1)
        let tapError = PSBTError.conflictingContributions(signer: signer.key.bytes.bytes, input: 0, .tapScriptSignature)
        #expect(throws: tapError) { try PSBT(combining: [self.complete, tapOther]) }
        #expect(throws: tapError) { try tapOther.addTapScriptSignature(signature, of: signer, toInput: 0) }
    }

    @Test func `any other field with two values is refused by name`() throws {
        var other = self.complete
        other.inputs[0].sighashType = 1
        var third = self.complete
        third.inputs[0].sighashType = 2
        #expect(try PSBT(combining: [self.complete, other]) == other)
        #expect(throws: PSBTError.conflictingValues(.input(0), .input(.sighashType), keyData: [])) {
            try PSBT(combining: [other, third])
        }

        other = self.complete
        let key = try #require(other.inputs[0].tapBIP32Derivations.keys.min())
        other.inputs[0].tapBIP32Derivations[key] = PSBT.TapKeyOrigin(origin: PSBT.KeyOrigin(fingerprint: 1, path: []))
        #expect(throws: PSBTError.conflictingValues(.input(0), .input(.tapBIP32Derivation), keyData: key.bytes.bytes)) {
            try PSBT(combining: [self.complete, other])
        }

        other = self.complete
        third = self.complete
        other.outputs[0].redeemScript = Script([1])
        third.outputs[0].redeemScript = Script([2])
        #expect(throws: PSBTError.conflictingValues(.output(0), .output(.redeemScript), keyData: [])) {
            try PSBT(combining: [other, third])
        }

        let proprietary = PSBT.ProprietaryKey(identifier: [0x63], subtype: 1)
        other.proprietary[proprietary] = [1]
        third.proprietary[proprietary] = [2]
        #expect(throws: PSBTError.conflictingValues(.global, .global(.proprietary), keyData: [1, 0x63, 1])) {
            try PSBT(combining: [other, third])
        }
    }

    @Test func `PSBTs of different transactions, and none at all, do not combine`() throws {
        let stranger = try #require(try PSBTVectorFile.load(371).valid.first).psbt()
        let error = PSBTError.differentTransactions(self.complete.unsignedTransaction.txid, stranger.unsignedTransaction.txid)
        #expect(throws: error) { try PSBT(combining: [self.complete, stranger]) }
        #expect(throws: PSBTError.nothingToCombine) { try PSBT(combining: []) }
        #expect(try PSBT(combining: [stranger]) == stranger)
    }

    @Test func `a previous transaction with its witnesses and one without are the same`() throws {
        let vector = try #require(try PSBTVectorFile.load(174).valid.first { $0.why.hasPrefix("one P2PKH input") })
        let full = try vector.psbt()
        let previous = try #require(full.inputs[0].nonWitnessUTXO)
        #expect(previous.hasWitness)
        var bare = full
        try bare.addNonWitnessUTXO(Transaction(parsing: previous.serializedWithoutWitness()), toInput: 0)
        #expect(bare != full)
        #expect(try PSBT(combining: [bare, full]) == full)
        #expect(try PSBT(combining: [full, bare]) == full)
    }
}
