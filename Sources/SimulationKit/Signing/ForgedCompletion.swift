internal import Bitcoin
internal import MuSig2
internal import Secp256k1
internal import Signing

/// Signatures that verify and that no attempt made: for a fault on purpose, and for nothing else. It takes the keys of a whole set, which a
/// simulation has and nobody else.
enum ForgedCompletion {
    /// - Parameters:
    ///   - request: what they were asked for.
    ///   - changesTransaction: whether another transaction of the same coins is signed.
    ///   - seed: what makes its nonces, which protect nothing.
    ///   - sign: a signer's partial signature by one of these nonces.
    static func make(
        of request: SigningRequest, changesTransaction: Bool, by signers: [PublicKey], under policy: any SpendingPolicy, seed: [UInt8],
        sign: (PublicKey, RepeatedNonce, SigningContext) -> PartialSignature?
    ) throws -> Transaction {
        var signed = request
        if changesTransaction {
            var transaction = request.transaction
            transaction.outputs[0] = TransactionOutput(
                amount: transaction.outputs[0].amount - 1, scriptPubKey: transaction.outputs[0].scriptPubKey)
            signed = try SigningRequest(
                transaction: transaction, prevouts: request.prevouts, policyDigest: request.policyDigest, proposer: request.proposer,
                expiry: request.expiry, id: request.id, usesNonceCommitments: request.usesNonceCommitments)
        }
        let plan = try SigningPlan(request: signed, under: policy, set: signers)
        let signatures = try plan.inputs.map { input in
            let nonces = try plan.signers.map { try RepeatedNonce(seed: seed + $0.bytes + [UInt8(truncatingIfNeeded: input.index)]) }
            let context = try SigningContext(
                keys: input.keys, nonces: try nonces.map { try PublicNonce(parsing: $0.publicNonce) }, message: input.message)
            return try context.finish(zip(plan.signers, nonces).compactMap { sign($0, $1, context) })
        }
        return plan.transaction(with: signatures)
    }
}
