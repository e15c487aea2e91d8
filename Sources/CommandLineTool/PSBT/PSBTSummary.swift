import Bitcoin
import Secp256k1

/// What a person asks of a PSBT: what it spends and pays, what it costs, and what is still missing.
struct PSBTSummary {
    struct Input {
        let outPoint: OutPoint
        let sequence: UInt32
        /// The output that is spent; `nil` when the PSBT does not tell, or tells two different ones.
        let spent: TransactionOutput?
        let state: State
        let signings: [MuSig2Signing]
        let sighashType: UInt32?
    }

    enum State {
        /// Signed and done.
        case final
        /// Its signatures suffice.
        case finalizable
        /// Signatures are missing, or what is there cannot be finalized here.
        case unfinished(String)
        /// Something is wrong with it; do not sign.
        case flawed(String)
    }

    let psbt: PSBT
    let inputs: [Input]
    /// In satoshi, or why there is none.
    let fee: Result<UInt64, PSBTError>
    /// Once it is signed; `nil` when some input could be spent in several ways.
    let virtualSize: Int?

    init(_ psbt: PSBT) {
        self.psbt = psbt
        let context = PSBT.SpendingContext(psbt)
        let states = Self.states(of: psbt, context)
        self.inputs = psbt.inputs.indices.map { index in
            let transactionInput = psbt.unsignedTransaction.inputs[index]
            return Input(
                outPoint: transactionInput.previousOutput, sequence: transactionInput.sequence,
                spent: try? context.spentOutput(ofInput: index), state: states[index],
                signings: MuSig2Signing.all(of: psbt.inputs[index]), sighashType: psbt.inputs[index].sighashType)
        }
        self.fee = Result { () throws(PSBTError) in try psbt.fee(using: context) }
        self.virtualSize = Self.virtualSize(of: psbt, context)
    }

    var isComplete: Bool { self.psbt.isComplete }

    /// How many inputs are neither final nor ready to become so.
    var unfinishedCount: Int {
        self.inputs.count {
            switch $0.state {
            case .final, .finalizable: false
            case .unfinished, .flawed: true
            }
        }
    }
}

// MARK: - States

extension PSBTSummary {
    private static func states(of psbt: PSBT, _ context: PSBT.SpendingContext) -> [State] {
        psbt.inputs.indices.map { psbt.inputs[$0].isFinal ? .final : self.state(ofInput: $0, of: psbt, context) }
    }

    private static func state(ofInput index: Int, of psbt: PSBT, _ context: PSBT.SpendingContext) -> State {
        do throws(PSBTError) {
            // Whether to accept an unusual sighash type is the signer's question; here it is only shown.
            try psbt.checkSignable(input: index, allowing: Set(SighashType.allCases.map { UInt32($0.rawValue) }), using: context)
        } catch {
            return .flawed(self.reason(error, input: index))
        }
        do throws(PSBTError) {
            _ = try psbt.finalizedInput(index, using: context)
            return .finalizable
        } catch .notFinalizable(_, .signaturesMissing(let found, let needed)) {
            return .unfinished(needed == 1 ? "not signed yet" : "\(found) of \(needed) signatures")
        } catch .notFinalizable(_, .unsupportedScript) {
            return .unfinished("a script that cannot be finalized here")
        } catch {
            return .flawed(self.reason(error, input: index))
        }
    }

    /// What is wrong, without the number of the input under which it is shown.
    private static func reason(_ error: PSBTError, input index: Int) -> String {
        switch error {
        case .notSignable(_, let obstacle): return "\(obstacle)"
        case .notFinalizable(_, let obstacle): return "\(obstacle)"
        default:
            let (message, prefix) = ("\(error)", "input \(index): ")
            return message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message
        }
    }
}

// MARK: - Size

extension PSBTSummary {
    private static func virtualSize(of psbt: PSBT, _ context: PSBT.SpendingContext) -> Int? {
        var sizes: [InputSize] = []
        for index in psbt.inputs.indices {
            guard let size = self.inputSize(ofInput: index, of: psbt, context) else { return nil }
            sizes.append(size)
        }
        return TransactionSize(inputs: sizes, outputs: psbt.unsignedTransaction.outputs).virtualSize
    }

    /// The input's size once it is signed, where that is known to the byte.
    private static func inputSize(ofInput index: Int, of psbt: PSBT, _ context: PSBT.SpendingContext) -> InputSize? {
        let input = psbt.inputs[index]
        var signed = psbt.unsignedTransaction.inputs[index]
        if input.isFinal {
            signed.scriptSig = input.finalScriptSig ?? Script()
            signed.witness = input.finalScriptWitness ?? Witness()
            return InputSize(of: signed)
        }
        guard let spent = try? context.spentOutput(ofInput: index), case .payToTaproot = spent.scriptPubKey.kind else { return nil }
        guard let type = try? input.sighashType.map({ (value) in try SighashType(parsing: value) }) ?? .default else { return nil }
        let leaves = Set(input.musig2PublicNonces.keys.compactMap(\.leafHash) + input.tapScriptSignatures.keys.map(\.leafHash))
        if input.tapKeySignature != nil || leaves.isEmpty && (input.tapLeafScripts.isEmpty || !input.musig2PublicNonces.isEmpty) {
            return .taprootKeyPath(sighashType: type)
        }
        // One leaf is meant where only one is known, or only one is being signed.
        let meant = input.tapLeafScripts.filter { leaves.isEmpty || leaves.contains($0.value.hash) }
        guard meant.count == 1, let (block, leaf) = meant.first, Self.isSingleKey(leaf.script) else { return nil }
        let signature = [UInt8](repeating: 0, count: InputSize.signatureByteCount(type))
        signed.witness = Witness([signature, leaf.script.bytes, block.serialized()])
        return InputSize(of: signed)
    }

    /// Whether the script is `<32-byte key> OP_CHECKSIG`, which takes one signature.
    private static func isSingleKey(_ script: Script) -> Bool {
        script.bytes.count == 34 && script.bytes.first == 32 && script.bytes.last == Opcode.checkSig.rawValue
    }
}
