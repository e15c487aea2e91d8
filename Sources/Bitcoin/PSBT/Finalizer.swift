import CryptoPrimitives
import MuSig2
import Secp256k1

extension PSBT {
    /// Why an input cannot be made final.
    public enum FinalizingObstacle: Equatable, Sendable {
        /// The script asks for more valid signatures than the PSBT holds. `found` and `needed` count signatures.
        case signaturesMissing(found: Int, needed: Int)
        /// A Taproot signature does not sign this transaction under its key.
        case invalidSignature(XOnlyPublicKey)
        /// Only single keys and bare multisig can be finalized here; in Taproot, the key path and leaves of one key.
        case unsupportedScript
        /// Consensus lets no script of this length run. Both count bytes.
        case scriptTooLong(byteCount: Int, limit: Int)
        /// The participants that the PSBT lists under this aggregate key do not make it.
        case otherAggregate(PublicKey)
        /// What this signer gave is no public nonce, or no partial signature (BIP-327).
        case malformedContribution(signer: PublicKey, MuSig2Error)
        /// The partial signatures of these signers do not verify.
        case invalidPartialSignatures(signers: [PublicKey])
        /// Partial signatures do not add up, though no signer can be named.
        case aggregationFailed(MuSig2Error)
    }

    /// Makes every input final: builds scriptSig and witness from the signatures, then drops all that was needed for them
    /// (BIP-174, "Input Finalizer"). After an error nothing has changed.
    ///
    /// MuSig2 partial signatures are added up where all participants have given theirs (BIP-373, "Finalizer").
    /// UTXOs, proprietary and unknown fields stay. Taproot signatures are verified when every input's UTXO is known; ECDSA
    /// signatures are not. A Taproot input is spent by the key path if it has that signature, else by the leaf that costs least.
    ///
    /// - Throws: `notFinalizable` or `notSignable`, which name the input and the obstacle; `utxoMissing`; `utxosDisagree`.
    public mutating func finalize() throws(PSBTError) {
        let context = SpendingContext(self)
        var finalized: [Input] = []
        finalized.reserveCapacity(self.inputs.count)
        for index in self.inputs.indices { finalized.append(try self.finalizedInput(index, using: context)) }
        self.inputs = finalized
    }

    /// Makes one input final; one that is final stays as it is.
    ///
    /// - Throws: As `finalize()`; `noSuchMap`.
    public mutating func finalizeInput(_ index: Int) throws(PSBTError) {
        try self.checkInput(index)
        try self.finalizeInput(index, using: SpendingContext(self))
    }

    /// The same with what all inputs have in common at hand: for many inputs, one after another.
    package mutating func finalizeInput(_ index: Int, using context: SpendingContext) throws(PSBTError) {
        try self.checkInput(index)
        self.inputs[index] = try self.finalizedInput(index, using: context)
    }

    /// An input as it is once it is final; nothing is copied but the input.
    package func finalizedInput(_ index: Int, using context: SpendingContext) throws(PSBTError) -> Input {
        try self.checkInput(index)
        var input = self.inputs[index]
        if input.isFinal { return input }
        let scripts = try self.scripts(ofInput: index, using: context)
        var failure: MuSig2Failure?
        if case .taproot(let outputKey) = scripts { failure = input.addMuSig2Signatures(index, outputKey: outputKey, using: context) }
        let (scriptSig, witness): (Script, Witness)
        do throws(Obstruction) {
            (scriptSig, witness) = try input.satisfy(scripts, TapVerifier(sighashes: context.sighashes, input: index))
        } catch {
            // A faulty MuSig2 signature does no harm where another one suffices, and is the reason where none does.
            if case .signaturesMissing = error.obstacle, let failure { throw failure.error(ofInput: index) }
            throw .notFinalizable(input: index, error.obstacle)
        }

        var final = Input()
        final.nonWitnessUTXO = input.nonWitnessUTXO
        final.witnessUTXO = input.witnessUTXO
        final.finalScriptSig = scriptSig.isEmpty ? nil : scriptSig
        final.finalScriptWitness = witness.isEmpty ? nil : witness
        final.proprietary = input.proprietary
        final.unknown = input.unknown
        return final
    }
}

/// An obstacle on its way to the place that knows the input's index.
private struct Obstruction: Error {
    let obstacle: PSBT.FinalizingObstacle

    init(_ obstacle: PSBT.FinalizingObstacle) { self.obstacle = obstacle }
}

extension PSBT.Input {
    fileprivate func satisfy(_ scripts: SpendingScripts, _ verifier: TapVerifier) throws(Obstruction) -> (Script, Witness) {
        switch scripts {
        case .taproot(let outputKey):
            return (Script(), try self.satisfyTaproot(outputKey, verifier))
        case .witness(.publicKeyHash(let hash), let redeemScript):
            return (Self.scriptSig(redeemScript), Witness(try self.satisfyKeyHash(hash)))
        case .witness(.script(let script), let redeemScript):
            return (Self.scriptSig(redeemScript), Witness(try self.satisfyScript(script) + [script.bytes]))
        case .witness(.unknown, _):
            throw Obstruction(.unsupportedScript)
        case .legacy(let scriptPubKey, let redeemScript):
            let stack = try self.satisfyScript(redeemScript ?? scriptPubKey)
            return (Self.scriptSig(stack + (redeemScript.map { [$0.bytes] } ?? [])), Witness())
        }
    }

    private static func scriptSig(_ redeemScript: Script?) -> Script {
        self.scriptSig(redeemScript.map { [$0.bytes] } ?? [])
    }

    private static func scriptSig(_ stack: [[UInt8]]) -> Script {
        Script { script in
            for item in stack { script.appendPush(item) }
        }
    }
}

// MARK: - ECDSA

extension PSBT.Input {
    /// The stack that satisfies a script of the legacy or segwit v0 kind.
    private func satisfyScript(_ script: Script) throws(Obstruction) -> [[UInt8]] {
        if case .payToPublicKeyHash(let hash) = script.kind { return try self.satisfyKeyHash(hash) }
        // Each byte may be a piece of its own, and a piece takes some fifty bytes of memory.
        guard script.bytes.count <= Script.spendableByteCountMax else {
            throw Obstruction(.scriptTooLong(byteCount: script.bytes.count, limit: Script.spendableByteCountMax))
        }
        guard let multisig = BareMultisig(script) else { throw Obstruction(.unsupportedScript) }
        let signatures = multisig.keys.compactMap { self.partialSignatures[$0]?.bytes }
        guard signatures.count >= multisig.threshold else {
            throw Obstruction(.signaturesMissing(found: signatures.count, needed: multisig.threshold))
        }
        // OP_CHECKMULTISIG takes one item too many, which must be empty (BIP-147). A single key's script has no such item.
        return (multisig.isSingleKey ? [] : [[]]) + signatures.prefix(multisig.threshold)
    }

    private func satisfyKeyHash(_ hash: Hash160) throws(Obstruction) -> [[UInt8]] {
        guard let (key, signature) = self.partialSignatures.first(where: { $0.key.hash160 == hash.bytes }) else {
            throw Obstruction(.signaturesMissing(found: 0, needed: 1))
        }
        return [signature.bytes, key.bytes]
    }
}

/// `<key> OP_CHECKSIG`, or `k <key>… n OP_CHECKMULTISIG`.
private struct BareMultisig {
    let threshold: Int
    let keys: [PSBT.ECDSAPublicKey]
    let isSingleKey: Bool

    /// `nil` for any other script.
    init?(_ script: Script) {
        var pieces = Array(script.pieces)
        let last = pieces.popLast()
        self.isSingleKey = last == .opcode(.checkSig)
        if self.isSingleKey {
            guard pieces.count == 1 else { return nil }
            self.threshold = 1
        } else {
            guard last == .opcode(.checkMultiSig), let count = Self.number(pieces.popLast()),
                let threshold = Self.number(pieces.first), pieces.count == count + 1, (1...count).contains(threshold)
            else { return nil }
            self.threshold = threshold
            pieces.removeFirst()
        }
        let keys = pieces.compactMap { piece -> PSBT.ECDSAPublicKey? in
            guard case .push(_, let data) = piece else { return nil }
            return try? PSBT.ECDSAPublicKey(parsing: data)
        }
        guard keys.count == pieces.count else { return nil }
        self.keys = keys
    }

    /// The number from 1 to 16 that the piece puts on the stack.
    private static func number(_ piece: ScriptPiece?) -> Int? {
        guard case .opcode(let opcode) = piece, let number = opcode.smallNumber, number > 0 else { return nil }
        return number
    }
}

// MARK: - Taproot

/// Verifies signatures of one Taproot input, as far as the PSBT tells what they sign.
private struct TapVerifier {
    let sighashes: SighashCache?
    let input: Int

    /// Whether the signature is one, or cannot be verified because the UTXO of some input is not known.
    func accepts(_ signature: PSBT.TapSignature, by key: XOnlyPublicKey, leaf: TapLeafHash? = nil) -> Bool {
        // A byte that says SIGHASH_DEFAULT must be left away (BIP-341).
        guard signature.sighashType != 0, let type = SighashType(rawValue: signature.sighashType ?? 0) else { return false }
        guard let sighashes = self.sighashes else { return true }
        guard let message = try? sighashes.taprootSighash(input: self.input, type: type, leaf: leaf) else { return false }
        return signature.signature.isValid(for: message, by: key)
    }
}

extension PSBT.Input {
    private func satisfyTaproot(_ outputKeyBytes: Bytes32, _ verifier: TapVerifier) throws(Obstruction) -> Witness {
        if let signature = self.tapKeySignature {
            guard let outputKey = try? XOnlyPublicKey(outputKeyBytes) else { throw Obstruction(.unsupportedScript) }
            guard verifier.accepts(signature, by: outputKey) else { throw Obstruction(.invalidSignature(outputKey)) }
            return Witness([signature.bytes])
        }

        var cheapest: Witness?
        var invalid: XOnlyPublicKey?
        for (block, leaf) in self.tapLeafScripts {
            guard leaf.version == TapLeaf.tapscriptVersion, let key = Self.singleKey(of: leaf.script) else { continue }
            let signer = PSBT.TapScriptSigner(key: key, leafHash: leaf.hash)
            guard let signature = self.tapScriptSignatures[signer] else { continue }
            guard verifier.accepts(signature, by: key, leaf: leaf.hash) else {
                invalid = min(invalid ?? key, key)
                continue
            }
            let witness = Witness([signature.bytes, leaf.script.bytes, block.serialized()])
            if cheapest.map({ Self.isCheaper(witness, than: $0) }) ?? true { cheapest = witness }
        }
        if let cheapest { return cheapest }
        if let invalid { throw Obstruction(.invalidSignature(invalid)) }
        throw Obstruction(.signaturesMissing(found: 0, needed: 1))
    }

    /// The key of a leaf `<key> OP_CHECKSIG`.
    private static func singleKey(of script: Script) -> XOnlyPublicKey? {
        let bytes = script.bytes
        guard bytes.count == 34, bytes.first == 32, bytes.last == Opcode.checkSig.rawValue else { return nil }
        return try? XOnlyPublicKey(parsing: bytes[1..<33])
    }

    /// Fewer bytes first, and among equals the lesser ones, so that the choice does not depend on a dictionary's order.
    private static func isCheaper(_ left: Witness, than right: Witness) -> Bool {
        if left.byteCount != right.byteCount { return left.byteCount < right.byteCount }
        return left.serialized().lexicographicallyPrecedes(right.serialized())
    }
}

extension PSBT.FinalizingObstacle: CustomStringConvertible {
    public var description: String {
        switch self {
        case .signaturesMissing(let found, let needed):
            "it has \(found) of the \(needed) signatures that it needs; collect the others"
        case .invalidSignature(let key):
            "its signature under the key \(key) does not sign this transaction; drop it and sign again"
        case .unsupportedScript:
            """
            its script is not one that can be finalized here: single keys, bare multisig, and in Taproot the key path and \
            leaves of one key
            """
        case .scriptTooLong(let count, let limit):
            "its script has \(count) bytes, and none above \(limit) can run; the output cannot be spent"
        case .otherAggregate(let key):
            "the participants listed for the key \(key) aggregate to another key; ask for the PSBT again"
        case .malformedContribution(let signer, let error):
            "what signer \(signer) gave cannot be used: \(error)"
        case .invalidPartialSignatures(let signers):
            """
            the partial signature of \(signers.map { "\($0)" }.joined(separator: " and ")) does not sign this transaction with these \
            nonces; start again with fresh nonces
            """
        case .aggregationFailed(let error):
            "its partial signatures do not add up: \(error)"
        }
    }
}
