import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1

/// Adds up the partial signatures that a PSBT holds to the signatures that its inputs need (BIP-373, "Finalizer").
enum MuSig2Aggregation {
    enum Failure: Error, Equatable, CustomStringConvertible {
        /// The participants that the PSBT lists do not make the aggregate key under which it lists them.
        case otherAggregate(input: Int, aggregate: PublicKey)
        /// What this signer gave is no nonce or no partial signature.
        case malformed(input: Int, signer: PublicKey, MuSig2Error)
        /// These signers' partial signatures do not verify.
        case invalid(input: Int, signers: [PublicKey])
        /// Every partial signature verifies and their sum does not, or the library refused.
        case musig(input: Int, MuSig2Error)

        var description: String {
            switch self {
            case .otherAggregate(let input, let aggregate):
                "input \(input): the participants listed for the key \(aggregate) aggregate to another key; ask for the PSBT again"
            case .malformed(let input, let signer, let error):
                "input \(input): what signer \(signer) gave cannot be used: \(error)"
            case .invalid(let input, let signers):
                "input \(input): the partial signature of \(signers.map { "\($0)" }.joined(separator: " and ")) does not sign this "
                    + "transaction with these nonces; start again with fresh nonces"
            case .musig(let input, let error): "input \(input): \(error)"
            }
        }
    }

    /// The PSBT with a signature for every input to which all participants have given a partial signature.
    ///
    /// Inputs that have a signature, or that some participant has yet to sign, stay as they are, and so do those whose key was
    /// derived from the aggregate (BIP-328).
    static func adding(to psbt: PSBT) async throws(Failure) -> PSBT {
        guard let prevouts = try? psbt.spentOutputs(), let sighashes = try? SighashCache(psbt.unsignedTransaction, prevouts: prevouts)
        else { return psbt }
        var result = psbt
        for (index, input) in psbt.inputs.enumerated() where !input.isFinal && input.tapKeySignature == nil {
            guard let type = try? input.sighashType.map({ (value) in try SighashType(parsing: value) }) ?? .default else { continue }
            for signing in MuSig2Signing.all(of: input) where signing.isComplete {
                guard let signedKey = signing.signedKey,
                    let keys = try Self.keys(of: signing, for: signedKey, input, index, spending: prevouts[index].scriptPubKey),
                    let message = try? sighashes.taprootSighash(input: index, type: type, leaf: signing.leafHash)
                else { continue }
                let signature = PSBT.TapSignature(
                    try await Self.signature(of: signing, for: signedKey, keys, message, input, index),
                    sighashType: type == .default ? nil : type.rawValue)
                if let leafHash = signing.leafHash {
                    result.inputs[index].tapScriptSignatures[PSBT.TapScriptSigner(key: keys.xOnlyKey, leafHash: leafHash)] = signature
                } else {
                    result.inputs[index].tapKeySignature = signature
                }
            }
        }
        return result
    }

    /// The group with the tweak with which its key stands in the output or the leaf; `nil` when it stands there in no known way.
    private static func keys(
        of signing: MuSig2Signing, for signedKey: PublicKey, _ input: PSBT.Input, _ index: Int, spending script: Script
    ) throws(Failure) -> KeyAggregation? {
        guard let aggregate = signing.aggregateKey else { return nil }
        guard let group = try? KeyAggregation(signing.participants), group.xOnlyKey == aggregate.xOnly else {
            throw .otherAggregate(input: index, aggregate: aggregate)
        }
        if group.xOnlyKey == signedKey.xOnly { return group }
        guard signing.leafHash == nil else { return nil }
        let tweaked: KeyAggregation
        do { tweaked = try group.tweakedForTaproot(merkleRoot: input.tapMerkleRoot) } catch { throw .musig(input: index, error) }
        return tweaked.xOnlyKey == signedKey.xOnly && script == .payToTaproot(tweaked.xOnlyKey) ? tweaked : nil
    }

    private static func signature(
        of signing: MuSig2Signing, for signedKey: PublicKey, _ keys: KeyAggregation, _ message: Bytes32, _ input: PSBT.Input, _ index: Int
    ) async throws(Failure) -> SchnorrSignature {
        var (nonces, partials) = ([PublicNonce](), [PartialSignature]())
        for signer in signing.participants {
            let label = PSBT.MuSig2Contribution(participant: signer, aggregateKey: signedKey, leafHash: signing.leafHash)
            do throws(MuSig2Error) {
                nonces.append(try PublicNonce(parsing: input.musig2PublicNonces[label] ?? []))
                partials.append(try PartialSignature(parsing: input.musig2PartialSignatures[label] ?? []))
            } catch {
                throw .malformed(input: index, signer: signer, error)
            }
        }
        let culprits: [Int]
        do throws(MuSig2Error) {
            let context = try SigningContext(keys: keys, nonces: nonces, message: message)
            // One verification is the rule; only a bad sum is worth asking whose fault it is.
            if let signature = try? context.finish(partials) { return signature }
            culprits = try await context.culprits(in: partials)
            if culprits.isEmpty { return try context.finish(partials) }
        } catch {
            throw .musig(input: index, error)
        }
        throw .invalid(input: index, signers: culprits.map { signing.participants[$0] })
    }
}

extension MuSig2Signing {
    /// Whether every listed participant has given a nonce and a partial signature.
    var isComplete: Bool {
        self.aggregateKey != nil && self.participants.allSatisfy { self.nonces.contains($0) && self.partialSignatures.contains($0) }
    }
}
