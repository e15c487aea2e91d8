internal import Bitcoin
internal import CryptoPrimitives
internal import MuSig2
internal import Secp256k1

/// A local signer's nonces for one attempt, their secret halves among them: good for one record, and wiped with this value.
struct OwnNonces: ~Copyable {
    let signer: PublicKey
    /// What the others need of them.
    private(set) var set: NonceSet
    /// The last input's nonce first, so that taking the last gives the inputs in order.
    private var secrets: OwnedList<SecretNonce>

    /// What is known of an input when its nonce is made. All of it is mixed in, and binds the nonce.
    struct Target {
        let index: Int
        var keys: KeyAggregation?
        var message: Bytes32?
    }

    /// Makes one for each signed input of a plan.
    ///
    /// - Throws: `musig` with what stood in the way, a full arena for one. Those that were made by then are wiped.
    init(for key: borrowing SecretKey, _ plan: SigningPlan, attempt: UInt32, name: NonceName) throws(SigningError) {
        let targets = plan.inputs.map { Target(index: $0.index, keys: $0.keys, message: $0.message) }
        try self.init(for: key, request: plan.requestDigest, targets, attempt: attempt, name: name)
    }

    /// Makes one for each target.
    ///
    /// - Parameter attempt: 0 where they serve whichever attempt takes them.
    init(
        for key: borrowing SecretKey, request: Bytes32, _ targets: [Target], attempt: UInt32, name: NonceName
    ) throws(SigningError) {
        var reversed = OwnedList<SecretNonce>(capacity: targets.count)
        var publicNonces: [PublicNonce] = []
        for target in targets.reversed() {
            let secret = try Self.make(for: key, target, Self.binding(request, attempt, input: target.index, name))
            publicNonces.append(secret.publicNonce)
            reversed.append(secret)
        }
        self.signer = key.publicKey
        self.set = NonceSet(request: request, attempt: attempt, name: name, nonces: publicNonces.reversed())
        self.secrets = reversed
    }

    private static func make(
        for key: borrowing SecretKey, _ target: Target, _ extra: Bytes32
    ) throws(SigningError) -> SecretNonce {
        do { return try SecretNonce(for: key, keys: target.keys, message: target.message, extraInput: extra) } catch {
            throw .musig(error, signer: key.publicKey, input: target.index)
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

    /// Those that were made ahead, for the request that takes them: the first ones, one for each input. The others are wiped with this value.
    consuming func serving(_ request: Bytes32, inputs: Int) -> OwnNonces {
        self.set = NonceSet(request: request, attempt: 0, name: self.set.name, nonces: Array(self.set.nonces.prefix(inputs)))
        return self
    }

    /// Signs every input under the transcript of an attempt. The nonces are gone afterwards, whatever happens.
    consuming func sign(
        with key: borrowing SecretKey, _ plan: SigningPlan, attempt: UInt32, _ transcript: Transcript
    ) throws(SigningError) -> BurnRecord {
        var partials: [PartialSignature] = []
        for (input, context) in zip(plan.inputs, transcript.contexts) {
            guard let secret = self.secrets.popLast() else { throw .noOwnNonces(signer: self.signer) }
            do { partials.append(try secret.sign(with: key, in: context)) } catch {
                throw .musig(error, signer: self.signer, input: input.index)
            }
        }
        return BurnRecord(
            request: plan.requestDigest, attempt: attempt, signer: self.signer, transcript: transcript.digest,
            contributions: Array(zip(self.set.nonces, partials)))
    }
}
