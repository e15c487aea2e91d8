import Bitcoin
import Secp256k1
import Signing

/// A PSBT as JSON for programs, a few times as long as the PSBT at most.
enum PSBTDescription {
    static func json(_ summary: PSBTSummary, on network: Network?, _ names: SignerNames = SignerNames()) -> JSONValue {
        let transaction = summary.psbt.unsignedTransaction
        let fee = try? summary.fee.get()
        return .object([
            ("txid", .string("\(transaction.txid)")), ("network", .optional(network?.rawValue)),
            ("version", .unsigned(UInt64(transaction.version))), ("lock_time", .unsigned(UInt64(transaction.lockTime))),
            ("policy", self.policy(summary.policy, names)), ("complete", .bool(summary.isComplete)),
            ("ready_to_finalize", .bool(summary.unfinishedCount == 0)),
            ("inputs", .array(summary.inputs.enumerated().map { self.json($0.element, index: $0.offset, on: network) })),
            ("outputs", .array(self.outputs(of: summary, on: network))),
            ("fee", fee.map(JSONValue.unsigned) ?? .null),
            ("virtual_size", summary.signedSize.map { .integer($0.virtualSizeMax) } ?? .null),
            ("fee_rate", self.feeRate(fee, summary.signedSize?.virtualSizeMax)), ("fee_is_high", .bool(summary.hasHighFee)),
            ("sizes", .array(summary.signedSize.map { self.json($0, fee: fee) } ?? [])),
        ])
    }

    private static func policy(_ policy: PolicyRecord?, _ names: SignerNames) -> JSONValue {
        guard let policy else { return .null }
        let signers = policy.signers.map { JSONValue.string("\($0)") }
        let called = policy.signers.map { JSONValue.optional(names[$0]) }
        return .object(["threshold": .integer(policy.threshold), "signers": .array(signers), "names": .array(called)])
    }

    private static func outputs(of summary: PSBTSummary, on network: Network?) -> [JSONValue] {
        summary.psbt.unsignedTransaction.outputs.enumerated().map { index, output in
            var members: [(name: String, value: JSONValue)] = [("index", .integer(index))]
            members += ScriptDescription.json(output, on: network)
            members.append(("change", .bool(summary.input(withScriptOf: output) != nil)))
            return .object(members)
        }
    }

    /// Satoshi per virtual byte, rounded down to hundredths.
    private static func feeRate(_ fee: UInt64?, _ virtualSize: Int?) -> JSONValue {
        guard let fee, let virtualSize, virtualSize > 0 else { return .null }
        // A fee is at most 21 million bitcoin, a hundred times of which fits.
        return .number(Double(fee * 100 / UInt64(virtualSize)) / 100)
    }

    /// Every size that the transaction can have, the smallest first.
    static func json(_ size: SignedSize, fee: UInt64?) -> [JSONValue] {
        size.choices.map { choice in
            .object([
                "path": .optional(choice.path?.name), "depth": choice.path?.depth.map(JSONValue.integer) ?? .null,
                "virtual_size": .integer(choice.virtualSize), "fee_rate": self.feeRate(fee, choice.virtualSize),
            ])
        }
    }

    private static func json(_ input: PSBTSummary.Input, index: Int, on network: Network?) -> JSONValue {
        var members: [(name: String, value: JSONValue)] = [
            ("index", .integer(index)), ("txid", .string("\(input.outPoint.txid)")),
            ("output", .unsigned(UInt64(input.outPoint.index))), ("sequence", .unsigned(UInt64(input.sequence))),
        ]
        if let spent = input.spent {
            members += ScriptDescription.json(spent, on: network)
        } else {
            members += [("amount", .null), ("script_pubkey", .null), ("type", .null), ("address", .null)]
        }
        let (state, detail) = self.state(input.state)
        members += [
            ("state", .string(state)), ("detail", .optional(detail)),
            ("sighash_type", input.sighashType.map { .unsigned(UInt64($0)) } ?? .null),
            ("musig2_groups", .array(input.groups.sorted { $0.key < $1.key }.map(self.json(aggregate:participants:)))),
            ("musig2", .array(input.signings.filter(\.isBegun).map(self.json))),
        ]
        return .object(members)
    }

    private static func state(_ state: PSBTSummary.State) -> (name: String, detail: String?) {
        switch state {
        case .final: ("final", nil)
        case .finalizable: ("signed", nil)
        case .unfinished(let what): ("unsigned", what)
        case .flawed(let what): ("invalid", what)
        }
    }

    private static func json(aggregate: PublicKey, participants: [PublicKey]) -> JSONValue {
        .object(["aggregate_key": .string("\(aggregate)"), "participants": .array(participants.map { .string("\($0)") })])
    }

    /// What is there of a signature. Its group is named alone: a stranger can have thousands of signatures share a group of a
    /// thousand, and all participants for each would fill the memory.
    private static func json(_ signing: MuSig2Signing) -> JSONValue {
        .object([
            ("aggregate_key", .optional(signing.aggregateKey.map { "\($0)" })),
            ("signed_key", .optional(signing.signedKey.map { "\($0)" })),
            ("leaf_hash", .optional(signing.leafHash.map { "\($0)" })),
            ("nonces", .array(signing.nonces.sorted().map { .string("\($0)") })),
            ("partial_signatures", .array(signing.partialSignatures.sorted().map { .string("\($0)") })),
        ])
    }
}
