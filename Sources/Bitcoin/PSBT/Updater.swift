import CryptoPrimitives
import Secp256k1

// What an updater or a signer adds and what must be checked against the transaction, or against what is already there. All
// other fields are set as properties of `inputs` and `outputs`. (BIP-174, "Updater" and "Signer".)

extension PSBT {
    /// Adds the whole previous transaction of an input.
    ///
    /// - Throws: `invalidField` when it is another transaction than the input names, or lacks the output; `noSuchMap`.
    public mutating func addNonWitnessUTXO(_ transaction: Transaction, toInput index: Int) throws(PSBTError) {
        try self.checkInput(index)
        do throws(Flaw) {
            try Flaw.check(transaction, spentBy: self.unsignedTransaction.inputs[index].previousOutput)
        } catch {
            throw .invalidField(.input(index), .input(.nonWitnessUTXO), error)
        }
        self.inputs[index].nonWitnessUTXO = transaction
    }

    /// Adds the preimage of a hash that an input's script asks for.
    ///
    /// - Throws: `invalidField` when it is not the preimage; `noSuchMap`.
    public mutating func addPreimage(_ preimage: [UInt8], of lock: HashLock, toInput index: Int) throws(PSBTError) {
        try self.checkInput(index)
        guard lock.isOpened(by: preimage) else { throw .invalidField(.input(index), .input(lock.field), .wrongPreimage) }
        self.inputs[index].preimages[lock] = preimage
    }

    /// Adds an extended public key and where it comes from.
    ///
    /// - Throws: `invalidField` when the path's length is not the key's depth.
    public mutating func addExtendedPublicKey(_ key: ExtendedPublicKey, origin: KeyOrigin) throws(PSBTError) {
        do throws(Flaw) {
            try key.checkDepth(of: origin)
        } catch {
            throw .invalidField(.global, .global(.extendedPublicKey), error)
        }
        self.extendedPublicKeys[key] = origin
    }
}

// MARK: - Contributions of signers

extension PSBT {
    /// Adds an ECDSA signature. Adding the same one again changes nothing.
    ///
    /// - Throws: `conflictingContributions` when the key has already given another; `notSignable` when the input states
    ///   another sighash type; `noSuchMap`.
    public mutating func addPartialSignature(
        _ signature: ECDSASignature, of key: ECDSAPublicKey, toInput index: Int
    ) throws(PSBTError) {
        try self.checkInput(index)
        if let stated = self.inputs[index].sighashType, stated != UInt32(signature.sighashType) {
            throw .notSignable(input: index, .signatureOfOtherSighashType(stated: stated, actual: signature.sighashType))
        }
        guard self.inputs[index].partialSignatures[key, default: signature] == signature else {
            throw .conflictingContributions(signer: key.bytes, input: index, .partialSignature)
        }
        self.inputs[index].partialSignatures[key] = signature
    }

    /// Adds the signature of one key in one leaf's script. Adding the same one again changes nothing.
    ///
    /// - Throws: `conflictingContributions` when the key has already given another for this leaf; `noSuchMap`.
    public mutating func addTapScriptSignature(
        _ signature: TapSignature, of signer: TapScriptSigner, toInput index: Int
    ) throws(PSBTError) {
        try self.checkInput(index)
        guard self.inputs[index].tapScriptSignatures[signer, default: signature] == signature else {
            throw .conflictingContributions(signer: signer.key.bytes.bytes, input: index, .tapScriptSignature)
        }
        self.inputs[index].tapScriptSignatures[signer] = signature
    }

    /// Adds a signer's public nonce, 66 bytes (BIP-373). Adding the same one again changes nothing.
    ///
    /// Whether the bytes are two points is seen when they are used.
    ///
    /// - Throws: `conflictingContributions` when the signer has already given another under this key; `invalidField` for
    ///   another length; `noSuchMap`.
    public mutating func addMuSig2PublicNonce(
        _ nonce: [UInt8], for contribution: MuSig2Contribution, toInput index: Int
    ) throws(PSBTError) {
        try self.checkInput(index)
        guard nonce.count == Input.musig2PublicNonceByteCount else {
            let flaw = Flaw.wrongValueLength(expected: [Input.musig2PublicNonceByteCount], actual: nonce.count)
            throw .invalidField(.input(index), .input(.musig2PublicNonce), flaw)
        }
        guard self.inputs[index].musig2PublicNonces[contribution, default: nonce] == nonce else {
            throw .conflictingContributions(signer: contribution.participant.bytes, input: index, .musig2PublicNonce)
        }
        self.inputs[index].musig2PublicNonces[contribution] = nonce
    }

    /// Adds a signer's partial signature, 32 bytes (BIP-373). Adding the same one again changes nothing.
    ///
    /// - Throws: `conflictingContributions` when the signer has already given another under this key; `invalidField` for
    ///   another length; `noSuchMap`.
    public mutating func addMuSig2PartialSignature(
        _ signature: [UInt8], for contribution: MuSig2Contribution, toInput index: Int
    ) throws(PSBTError) {
        try self.checkInput(index)
        guard signature.count == Input.musig2PartialSignatureByteCount else {
            let flaw = Flaw.wrongValueLength(expected: [Input.musig2PartialSignatureByteCount], actual: signature.count)
            throw .invalidField(.input(index), .input(.musig2PartialSignature), flaw)
        }
        guard self.inputs[index].musig2PartialSignatures[contribution, default: signature] == signature else {
            throw .conflictingContributions(signer: contribution.participant.bytes, input: index, .musig2PartialSignature)
        }
        self.inputs[index].musig2PartialSignatures[contribution] = signature
    }

    /// Drops all public nonces and partial signatures, as a new attempt with fresh nonces must.
    public mutating func removeMuSig2Contributions() {
        for index in self.inputs.indices {
            self.inputs[index].musig2PublicNonces = [:]
            self.inputs[index].musig2PartialSignatures = [:]
        }
    }

    func checkInput(_ index: Int) throws(PSBTError) {
        guard self.inputs.indices.contains(index) else { throw .noSuchMap(.input(index)) }
    }
}
