import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing

/// What a person asks of a PSBT: what it spends and pays, what it costs, and what is still missing.
struct PSBTSummary {
    struct Input {
        let outPoint: OutPoint
        let sequence: UInt32
        /// The output that is spent; `nil` when the PSBT does not tell, or tells two different ones.
        let spent: TransactionOutput?
        let state: State
        /// The participants by their aggregate key, in the order of aggregation.
        let groups: [PublicKey: [PublicKey]]
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
    /// The k-of-n policy that travels in the PSBT, as its maker says.
    let policy: PolicyRecord?
    /// The first input that spends a coin with each script.
    private let inputsByScript: [Script: Int]
    /// In satoshi, or why there is none.
    let fee: Result<UInt64, PSBTError>
    /// Once it is signed; `nil` when nothing is known of some input's size.
    let signedSize: SignedSize?

    init(_ psbt: PSBT) {
        self.psbt = psbt
        let context = PSBT.SpendingContext(psbt)
        let states = Self.states(of: psbt, context)
        self.inputs = psbt.inputs.indices.map { index in
            let transactionInput = psbt.unsignedTransaction.inputs[index]
            return Input(
                outPoint: transactionInput.previousOutput, sequence: transactionInput.sequence,
                spent: try? context.spentOutput(ofInput: index), state: states[index],
                groups: psbt.inputs[index].musig2Participants, signings: MuSig2Signing.all(of: psbt.inputs[index]),
                sighashType: psbt.inputs[index].sighashType)
        }
        self.policy = psbt.proprietary[PolicyRecord.psbtKey].flatMap { try? PolicyRecord(parsing: $0) }
        self.inputsByScript = Dictionary(
            self.inputs.enumerated().compactMap { index, input in input.spent.map { ($0.scriptPubKey, index) } }
        ) { first, _ in first }
        self.fee = Result { () throws(PSBTError) in try psbt.fee(using: context) }
        self.signedSize = Self.signedSize(of: psbt, self.policy, context)
    }

    var isComplete: Bool { self.psbt.isComplete }

    /// Whether something goes back to where it came from.
    var hasChange: Bool { self.psbt.unsignedTransaction.outputs.contains { self.input(withScriptOf: $0) != nil } }

    /// The first input whose coin has the output's script, so that the output pays back to whom the coin belongs.
    func input(withScriptOf output: TransactionOutput) -> Int? { self.inputsByScript[output.scriptPubKey] }

    /// Whether nonces or partial signatures are there without the coin and the signers that they belong to, as in the files of an
    /// exchange's attempt without its `set.psbt`.
    var hasLooseContributions: Bool { self.inputs.contains { Self.areLoose($0.signings, coin: $0.spent) } }

    /// The same of a PSBT of which nothing else is asked, so that no signature is verified for it.
    static func hasLooseContributions(_ psbt: PSBT) -> Bool {
        let context = PSBT.SpendingContext(psbt)
        return psbt.inputs.indices.contains { index in
            Self.areLoose(MuSig2Signing.all(of: psbt.inputs[index]), coin: try? context.spentOutput(ofInput: index))
        }
    }

    private static func areLoose(_ signings: [MuSig2Signing], coin: TransactionOutput?) -> Bool {
        signings.contains { $0.isBegun && (coin == nil || $0.aggregateKey == nil) }
    }

    static let looseContributionsText =
        "Nonces or signatures are there without their coins or signers: combine it with the PSBT that names those (in an exchange: set.psbt)."

    var hasHighFee: Bool {
        guard let fee = try? self.fee.get() else { return false }
        // The fee is known only where all amounts are, and their sum fits.
        let spent = self.inputs.reduce(UInt64(0)) { $0 + ($1.spent?.amount ?? 0) }
        return HighFee.isHigh(fee, spending: spent, virtualSize: self.signedSize?.virtualSizeMax)
    }

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
    private static func signedSize(of psbt: PSBT, _ record: PolicyRecord?, _ context: PSBT.SpendingContext) -> SignedSize? {
        SignedSize(
            inputs: psbt.inputs.indices.map { self.spends(ofInput: $0, of: psbt, record, context) },
            outputs: psbt.unsignedTransaction.outputs)
    }

    /// The ways in which the input can be spent by what the PSBT tells, the smallest first; none where a size is not known.
    private static func spends(
        ofInput index: Int, of psbt: PSBT, _ record: PolicyRecord?, _ context: PSBT.SpendingContext
    ) -> [InputSpend] {
        let input = psbt.inputs[index]
        if input.isFinal {
            var signed = psbt.unsignedTransaction.inputs[index]
            signed.scriptSig = input.finalScriptSig ?? Script()
            signed.witness = input.finalScriptWitness ?? Witness()
            return [InputSpend(final: signed)]
        }
        guard let spent = try? context.spentOutput(ofInput: index), case .payToTaproot(let outputKey) = spent.scriptPubKey.kind,
            let type = try? input.sighashType.map({ (value) in try SighashType(parsing: value) }) ?? .default
        else { return [] }
        if let record, input.saysNothingOfTaproot { return InputSpend.all(of: record, type) }
        let paths = input.pathsBeingSigned ?? input.pathsOfGroups(outputKey: outputKey) ?? input.pathsKnown
        var spends = paths.keyPath ? [InputSpend(byKeyPath: type)] : []
        for (block, leaf) in input.tapLeafScripts where paths.leaves.contains(leaf.hash) {
            guard leaf.script.singleKey != nil else { return [] }
            spends.append(InputSpend(byLeafAtDepth: block.merklePath.count, type))
        }
        // A leaf that is meant and whose script is not there has no size that is known.
        guard paths.leaves.isSubset(of: input.tapLeafScripts.values.map(\.hash)) else { return [] }
        return Set(spends).sorted { $0.size.witnessByteCount < $1.size.witnessByteCount }
    }
}

// MARK: - What an input says of its paths

/// By which paths an input may be spent.
private struct Paths {
    var keyPath: Bool
    var leaves: Set<TapLeafHash>
}

extension PSBT.Input {
    /// Whether the input has nothing but its coin: then the PSBT's policy says how it is spent.
    fileprivate var saysNothingOfTaproot: Bool {
        self.tapInternalKey == nil && self.tapMerkleRoot == nil && self.tapKeySignature == nil && self.tapLeafScripts.isEmpty
            && self.tapScriptSignatures.isEmpty && self.musig2Participants.isEmpty && self.musig2PublicNonces.isEmpty
    }

    /// The one path for which signatures or nonces are there already (BIPs 371 and 373).
    fileprivate var pathsBeingSigned: Paths? {
        let leaves = Set(self.musig2PublicNonces.keys.compactMap(\.leafHash) + self.tapScriptSignatures.keys.map(\.leafHash))
        if self.tapKeySignature != nil { return Paths(keyPath: true, leaves: []) }
        guard leaves.isEmpty else { return Paths(keyPath: false, leaves: leaves) }
        return self.musig2PublicNonces.isEmpty ? nil : Paths(keyPath: true, leaves: [])
    }

    /// The paths whose keys are aggregates that the input lists the participants of (BIP-373).
    fileprivate func pathsOfGroups(outputKey: Bytes32) -> Paths? {
        let keys = Set(self.musig2Participants.keys.map(\.xOnly.bytes))
        let byKeyPath = keys.contains(outputKey) || self.tapInternalKey.map { keys.contains($0.bytes) } ?? false
        let leaves = self.tapLeafScripts.values.filter { leaf in leaf.script.singleKey.map(keys.contains) ?? false }
        return byKeyPath || !leaves.isEmpty ? Paths(keyPath: byKeyPath, leaves: Set(leaves.map(\.hash))) : nil
    }

    /// The key path, which every Taproot output has, and the leaves that are there.
    fileprivate var pathsKnown: Paths { Paths(keyPath: true, leaves: Set(self.tapLeafScripts.values.map(\.hash))) }
}

extension Script {
    /// The key of `<32-byte key> OP_CHECKSIG`, which takes one signature.
    fileprivate var singleKey: Bytes32? {
        guard self.bytes.count == 34, self.bytes.first == 32, self.bytes.last == Opcode.checkSig.rawValue else { return nil }
        return Bytes32(self.bytes[1...32])
    }
}
