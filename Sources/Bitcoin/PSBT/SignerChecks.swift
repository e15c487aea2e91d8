import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// Why a signer must not sign an input (BIP-174, "Data Signers Check For").
    public enum SigningObstacle: Equatable, Sendable {
        /// A witness UTXO does not prove the amount to a signature that is not of the segwit kind.
        case witnessUTXOForNonWitnessInput
        case redeemScriptMissing
        /// The output pays to another script.
        case redeemScriptMismatch
        case witnessScriptMissing
        /// The output, or the redeem script, pays to another script.
        case witnessScriptMismatch
        /// The PSBT asks for a sighash type that the signer does not accept.
        case sighashTypeNotAllowed(UInt32)
        /// A signature covers something else than the PSBT asks for.
        case signatureOfOtherSighashType(stated: UInt32, actual: UInt8)
        /// The input states no sighash type, and a signature does not cover the whole transaction.
        case signatureOfUnusualSighashType(actual: UInt8)
        /// Internal key and Merkle root do not give the output key, or a control block has another internal key.
        case internalKeyMismatch
        /// A control block and its leaf lead to another Merkle root than the PSBT states.
        case merkleRootMismatch
        /// A control block does not lead from its leaf to the output key.
        case leafScriptMismatch
    }

    /// SIGHASH_ALL, and SIGHASH_DEFAULT for Taproot: what covers the whole transaction.
    public static let usualSighashTypes: Set<UInt32> = [0x00, 0x01]

    /// Checks of all inputs that are not final what a signer must check before signing.
    ///
    /// - Parameter sighashTypes: those that the signer accepts; an input that states none asks for the usual one.
    /// - Throws: `notSignable`, which names the input and the obstacle; `utxoMissing`; `utxosDisagree`;
    ///   `invalidField` for a previous transaction of another txid.
    public func checkSignable(allowing sighashTypes: Set<UInt32> = Self.usualSighashTypes) throws(PSBTError) {
        let context = SpendingContext(self)
        for index in self.inputs.indices { try self.checkSignable(input: index, allowing: sighashTypes, using: context) }
    }

    /// The same for one input. A final one passes.
    public func checkSignable(
        input index: Int, allowing sighashTypes: Set<UInt32> = Self.usualSighashTypes
    ) throws(PSBTError) {
        try self.checkSignable(
            input: index, allowing: sighashTypes,
            scripts: { () throws(PSBTError) in
                try self.scripts(ofInput: index, spending: try self.spentOutput(ofInput: index))
            })
    }

    /// The same with what all inputs have in common at hand.
    package func checkSignable(
        input index: Int, allowing sighashTypes: Set<UInt32>, using context: SpendingContext
    ) throws(PSBTError) {
        try self.checkSignable(
            input: index, allowing: sighashTypes, scripts: { () throws(PSBTError) in try self.scripts(ofInput: index, using: context) })
    }

    private func checkSignable(
        input index: Int, allowing sighashTypes: Set<UInt32>, scripts: () throws(PSBTError) -> SpendingScripts
    ) throws(PSBTError) {
        try self.checkInput(index)
        let input = self.inputs[index]
        if input.isFinal { return }
        let scripts = try scripts()
        if let type = input.sighashType, !sighashTypes.contains(type) || (type == 0 && !scripts.isTaproot) {
            throw .notSignable(input: index, .sighashTypeNotAllowed(type))
        }
    }
}

extension PSBT.Input {
    /// Whether the input has a final scriptSig or a final witness, so that nothing is left to sign.
    public var isFinal: Bool { self.finalScriptSig != nil || self.finalScriptWitness != nil }
}

/// How an input can be spent: the scripts that its output commits to, all proved.
enum SpendingScripts {
    /// The key's 32 bytes as they stand in the output.
    case taproot(outputKey: Bytes32)
    /// A script that is satisfied by the witness; `redeemScript` where the output is P2SH.
    case witness(WitnessKind, redeemScript: Script?)
    /// A script that is satisfied by the scriptSig; `redeemScript` where the output is P2SH.
    case legacy(scriptPubKey: Script, redeemScript: Script?)

    enum WitnessKind {
        case publicKeyHash(Hash160)
        case script(Script)
        /// A program of a version that has no meaning yet.
        case unknown
    }

    var isTaproot: Bool {
        if case .taproot = self { true } else { false }
    }
}

extension PSBT {
    /// Finds the scripts of an input and proves every one that the PSBT holds.
    func scripts(ofInput index: Int, using context: SpendingContext) throws(PSBTError) -> SpendingScripts {
        try self.scripts(ofInput: index, spending: try context.spentOutput(ofInput: index))
    }

    private func scripts(ofInput index: Int, spending spent: TransactionOutput) throws(PSBTError) -> SpendingScripts {
        let input = self.inputs[index]
        do throws(Obstruction) {
            let scripts = try input.scripts(spending: spent.scriptPubKey)
            try input.checkSignatureTypes()
            return scripts
        } catch {
            throw .notSignable(input: index, error.obstacle)
        }
    }
}

/// An obstacle on its way to the place that knows the input's index.
private struct Obstruction: Error {
    let obstacle: PSBT.SigningObstacle

    init(_ obstacle: PSBT.SigningObstacle) { self.obstacle = obstacle }
}

extension PSBT.Input {
    fileprivate func scripts(spending scriptPubKey: Script) throws(Obstruction) -> SpendingScripts {
        let program = try self.programScript(spending: scriptPubKey)
        // P2TR inside P2SH has no meaning (BIP-341): it stays a witness program of an unknown kind.
        if self.redeemScript == nil, case .payToTaproot(let outputKey) = program.kind {
            guard self.witnessScript == nil else { throw Obstruction(.witnessScriptMismatch) }
            try self.checkTaproot(outputKey)
            return .taproot(outputKey: outputKey)
        }
        switch program.kind {
        case .payToWitnessScriptHash(let hash):
            guard let script = self.witnessScript else { throw Obstruction(.witnessScriptMissing) }
            guard SHA256.hash(script.bytes) == hash else { throw Obstruction(.witnessScriptMismatch) }
            return .witness(.script(script), redeemScript: self.redeemScript)
        case .payToWitnessPublicKeyHash(let hash):
            guard self.witnessScript == nil else { throw Obstruction(.witnessScriptMismatch) }
            return .witness(.publicKeyHash(hash), redeemScript: self.redeemScript)
        case .payToTaproot, .payToUnknownWitness:
            guard self.witnessScript == nil else { throw Obstruction(.witnessScriptMismatch) }
            return .witness(.unknown, redeemScript: self.redeemScript)
        case .payToPublicKeyHash, .payToScriptHash, .dataCarrier, .other:
            guard self.witnessScript == nil else { throw Obstruction(.witnessScriptMismatch) }
            guard self.witnessUTXO == nil else { throw Obstruction(.witnessUTXOForNonWitnessInput) }
            return .legacy(scriptPubKey: scriptPubKey, redeemScript: self.redeemScript)
        }
    }

    /// The output's own script or, for P2SH, the redeem script that it commits to.
    private func programScript(spending scriptPubKey: Script) throws(Obstruction) -> Script {
        guard case .payToScriptHash(let hash) = scriptPubKey.kind else {
            guard self.redeemScript == nil else { throw Obstruction(.redeemScriptMismatch) }
            return scriptPubKey
        }
        guard let redeemScript = self.redeemScript else { throw Obstruction(.redeemScriptMissing) }
        guard RIPEMD160.ofSHA256(redeemScript.bytes) == hash.bytes else { throw Obstruction(.redeemScriptMismatch) }
        return redeemScript
    }

    private func checkTaproot(_ outputKeyBytes: Bytes32) throws(Obstruction) {
        guard let outputKey = try? XOnlyPublicKey(outputKeyBytes) else { throw Obstruction(.internalKeyMismatch) }
        // Without the root and with leaves, the control blocks say what the tree is; with neither, there is no tree.
        if let internalKey = self.tapInternalKey, self.tapMerkleRoot != nil || self.tapLeafScripts.isEmpty {
            let output = try? TaprootOutput(internalKey: internalKey, merkleRoot: self.tapMerkleRoot)
            guard output?.outputKey == outputKey else { throw Obstruction(.internalKeyMismatch) }
        }
        for (block, leaf) in self.tapLeafScripts {
            guard block.leafVersion == leaf.version, block.proves(leaf.script, for: outputKey) else {
                throw Obstruction(.leafScriptMismatch)
            }
            // The output proves the block, so what the PSBT states beside it must be the same.
            guard self.tapInternalKey == nil || self.tapInternalKey == block.internalKey else {
                throw Obstruction(.internalKeyMismatch)
            }
            guard self.tapMerkleRoot == nil || self.tapMerkleRoot == block.merkleRoot(for: leaf.hash) else {
                throw Obstruction(.merkleRootMismatch)
            }
        }
    }

    /// Signatures must be of the type that the input states (BIP-174, PSBT_IN_SIGHASH_TYPE).
    ///
    /// BIP-174 lets signers choose where it states none. But a signature that covers less than the whole transaction lets others
    /// change the rest, so whoever wants one must say so in the PSBT, where all signers see it.
    fileprivate func checkSignatureTypes() throws(Obstruction) {
        let ecdsaTypes = self.partialSignatures.values.map(\.sighashType)
        let tapTypes = ([self.tapKeySignature].compactMap { $0 } + self.tapScriptSignatures.values).map { $0.sighashType ?? 0 }
        guard let stated = self.sighashType else {
            let unusual = ecdsaTypes.filter { $0 != SighashType.all.rawValue } + tapTypes.filter { $0 > SighashType.all.rawValue }
            if let type = unusual.min() { throw Obstruction(.signatureOfUnusualSighashType(actual: type)) }
            return
        }
        if let other = (ecdsaTypes + tapTypes).filter({ UInt32($0) != stated }).min() {
            throw Obstruction(.signatureOfOtherSighashType(stated: stated, actual: other))
        }
    }
}

extension PSBT.SigningObstacle: CustomStringConvertible {
    public var description: String {
        switch self {
        case .witnessUTXOForNonWitnessInput:
            "it has PSBT_IN_WITNESS_UTXO, but its script is not of the segwit kind; ask for PSBT_IN_NON_WITNESS_UTXO instead"
        case .redeemScriptMissing:
            "PSBT_IN_REDEEM_SCRIPT is missing, and the output pays to a script hash"
        case .redeemScriptMismatch:
            "the output does not pay to PSBT_IN_REDEEM_SCRIPT; somebody changed one of them"
        case .witnessScriptMissing:
            "PSBT_IN_WITNESS_SCRIPT is missing, and the output pays to a witness script hash"
        case .witnessScriptMismatch:
            "neither the output nor the redeem script pays to PSBT_IN_WITNESS_SCRIPT; somebody changed one of them"
        case .sighashTypeNotAllowed(let type):
            "PSBT_IN_SIGHASH_TYPE asks for type 0x\(String(type, radix: 16)), which this signer does not accept for it"
        case .signatureOfOtherSighashType(let stated, let actual):
            """
            PSBT_IN_SIGHASH_TYPE asks for type 0x\(String(stated, radix: 16)), and a signature is of type \
            0x\(String(actual, radix: 16)); drop that signature
            """
        case .signatureOfUnusualSighashType(let actual):
            """
            a signature is of type 0x\(String(actual, radix: 16)), which does not cover the whole transaction, and the PSBT does not \
            ask for that type; drop that signature, or state the type in PSBT_IN_SIGHASH_TYPE
            """
        case .internalKeyMismatch:
            "PSBT_IN_TAP_INTERNAL_KEY, with PSBT_IN_TAP_MERKLE_ROOT if there is one, does not give the key in the output"
        case .merkleRootMismatch:
            "a control block of PSBT_IN_TAP_LEAF_SCRIPT leads to another root than PSBT_IN_TAP_MERKLE_ROOT; somebody changed one of them"
        case .leafScriptMismatch:
            "a control block of PSBT_IN_TAP_LEAF_SCRIPT does not lead from its script to the key in the output"
        }
    }
}
