internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

/// What the signatures of an attempt rest on, fixed once the first local signer signs, and what has come of it since.
struct Transcript {
    /// T1.
    let digest: Bytes32
    let nonceSets: [PublicKey: NonceSet]
    /// One for each signed input.
    let contexts: [SigningContext]
    /// Decisions of local signers, released only once they are recorded.
    var decisions: [PublicKey: BurnRecord] = [:]
    /// What counts towards the signature: others' and our own recorded ones.
    var partials: [PublicKey: [PartialSignature]] = [:]

    /// - Throws: `missingNonces` unless there is a set of each signer; `musig`.
    init(_ plan: SigningPlan, attempt: UInt32, nonceSets: [PublicKey: NonceSet]) throws(SigningError) {
        let ordered = plan.signers.compactMap { nonceSets[$0] }
        guard ordered.count == plan.signers.count else { throw .missingNonces(plan.signers.filter { nonceSets[$0] == nil }) }
        var contexts: [SigningContext] = []
        for (place, input) in plan.inputs.enumerated() {
            do {
                contexts.append(try SigningContext(keys: input.keys, nonces: ordered.map { $0.nonces[place] }, message: input.message))
            } catch { throw .musig(error, signer: nil, input: input.index) }
        }
        self.digest = plan.transcript(attempt: attempt, nonceSets: ordered)
        self.nonceSets = nonceSets
        self.contexts = contexts
    }

    /// The signature of each input, its partial signatures summed and the result verified once; `nil` while some are missing.
    ///
    /// - Throws: `signatureDoesNotVerify`.
    func signatures(of plan: SigningPlan) throws(SigningError) -> [SchnorrSignature]? {
        let ordered = plan.signers.compactMap { self.partials[$0] }
        guard ordered.count == plan.signers.count else { return nil }
        var signatures: [SchnorrSignature] = []
        for (place, context) in self.contexts.enumerated() {
            do { signatures.append(try context.finish(ordered.map { $0[place] })) } catch {
                throw .signatureDoesNotVerify(input: plan.inputs[place].index)
            }
        }
        return signatures
    }
}
