internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

/// A local signer's nonces for one attempt, their secret halves among them: good for one record, and wiped with this value.
struct OwnNonces: ~Copyable {
    let signer: PublicKey
    /// What the others need of them.
    let set: NonceSet
    /// The last input's nonce first, so that taking the last gives the inputs in order.
    private var secrets: OwnedList<SecretNonce>

    /// Makes one for each signed input.
    ///
    /// - Throws: `musig` with what stood in the way, a full arena for one. Those that were made by then are wiped.
    init(for key: borrowing SecretKey, _ plan: SigningPlan, attempt: UInt32, name: NonceName) throws(SigningError) {
        var reversed = OwnedList<SecretNonce>(capacity: plan.inputs.count)
        var publicNonces: [PublicNonce] = []
        for input in plan.inputs.reversed() {
            let extra = Self.binding(plan.requestDigest, attempt, input: input.index, name)
            let secret = try Self.make(for: key, input, extra)
            publicNonces.append(secret.publicNonce)
            reversed.append(secret)
        }
        self.signer = key.publicKey
        self.set = NonceSet(request: plan.requestDigest, attempt: attempt, name: name, nonces: publicNonces.reversed())
        self.secrets = reversed
    }

    private static func make(
        for key: borrowing SecretKey, _ input: SigningPlan.Input, _ extra: Bytes32
    ) throws(SigningError) -> SecretNonce {
        do { return try SecretNonce(for: key, keys: input.keys, message: input.message, extraInput: extra) } catch {
            throw .musig(error, signer: key.publicKey, input: input.index)
        }
    }

    /// What else is mixed into a nonce: the request, the attempt, the input and the nonce's name.
    private static func binding(_ request: Bytes32, _ attempt: UInt32, input: Int, _ name: NonceName) -> Bytes32 {
        var writer = ByteWriter()
        writer.write(request)
        writer.writeUInt32(attempt)
        writer.writeUInt32(UInt32(input))
        name.write(to: &writer)
        var hash = Self.tag
        hash.update(writer.bytes)
        return hash.finalize()
    }

    private static let tag = SHA256.tagged("chorale/nonce")

    /// Signs every input under the transcript. The nonces are gone afterwards, whatever happens.
    consuming func sign(with key: borrowing SecretKey, _ plan: SigningPlan, _ transcript: Transcript) throws(SigningError) -> BurnRecord {
        var partials: [PartialSignature] = []
        for (input, context) in zip(plan.inputs, transcript.contexts) {
            guard let secret = self.secrets.popLast() else { throw .noOwnNonces(signer: self.signer) }
            do { partials.append(try secret.sign(with: key, in: context)) } catch {
                throw .musig(error, signer: self.signer, input: input.index)
            }
        }
        return BurnRecord(
            request: plan.requestDigest, attempt: self.set.attempt, signer: self.signer, transcript: transcript.digest,
            contributions: Array(zip(self.set.nonces, partials)))
    }
}
