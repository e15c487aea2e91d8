import CryptoPrimitives
import MuSig2
import Secp256k1

// What a finalizer makes of the partial signatures that a PSBT holds: the signature they add up to (BIP-373, "Finalizer").

extension PSBT.Input {
    /// Adds the signature of every key or leaf for which all participants have given a partial signature.
    ///
    /// What has a signature, or waits for some participant, stays as it is, and so does what is signed for by a key that was derived
    /// from the aggregate (BIP-328). Gives back the first signature that could not be made, though all partial signatures are there.
    package mutating func addMuSig2Signatures(
        _ index: Int, outputKey: Bytes32, using context: PSBT.SpendingContext
    ) -> PSBT.MuSig2Failure? {
        guard self.tapKeySignature == nil, !self.musig2PartialSignatures.isEmpty else { return nil }
        let stated = self.sighashType ?? UInt32(SighashType.default.rawValue)
        guard let type = try? SighashType(parsing: stated) else { return nil }
        let leaves = Set(self.tapLeafScripts.values.map(\.hash))
        var groups = AggregatedGroups()
        var failure: PSBT.MuSig2Failure?
        for signing in MuSig2Signing.all(of: self) where signing.isComplete {
            // Who only names a key or a leaf that the input does not have costs no aggregation.
            if let leaf = signing.leafHash {
                guard leaves.contains(leaf) else { continue }
            } else {
                guard signing.signedKey?.xOnly.bytes == outputKey else { continue }
            }
            do throws(PSBT.MuSig2Failure) {
                try self.addSignature(of: signing, type, index, context, &groups)
            } catch {
                failure = failure ?? error
            }
        }
        return failure
    }

    private mutating func addSignature(
        of signing: MuSig2Signing, _ type: SighashType, _ index: Int, _ context: PSBT.SpendingContext,
        _ groups: inout AggregatedGroups
    ) throws(PSBT.MuSig2Failure) {
        guard let keys = try self.keys(of: signing, &groups), let signedKey = signing.signedKey else { return }
        let signer = signing.leafHash.map { PSBT.TapScriptSigner(key: keys.xOnlyKey, leafHash: $0) }
        if let signer, self.tapScriptSignatures[signer] != nil { return }
        guard let sighashes = context.sighashes else {
            // What is signed covers every input's output, so the missing one is named; there is one, else there were hashes.
            do throws(PSBTError) { _ = try context.spentOutputs() } catch { throw .error(error) }
            return
        }
        guard let message = try? sighashes.taprootSighash(input: index, type: type, leaf: signing.leafHash) else { return }
        let signature = PSBT.TapSignature(
            try self.signature(of: signing, for: signedKey, keys, message), sighashType: type == .default ? nil : type.rawValue)
        if let signer { self.tapScriptSignatures[signer] = signature } else { self.tapKeySignature = signature }
    }

    /// The group with the tweak with which its key stands in the output or the leaf; `nil` when it stands there in no known way.
    private func keys(
        of signing: MuSig2Signing, _ groups: inout AggregatedGroups
    ) throws(PSBT.MuSig2Failure) -> KeyAggregation? {
        guard let aggregate = signing.aggregateKey, let signedKey = signing.signedKey else { return nil }
        let group = try groups.group(of: aggregate, signing.participants)
        if signing.leafHash != nil { return group.xOnlyKey == signedKey.xOnly ? group : nil }
        if group.xOnlyKey == signedKey.xOnly { return group }
        let tweaked: KeyAggregation
        do throws(MuSig2Error) { tweaked = try group.tweakedForTaproot(merkleRoot: self.tapMerkleRoot) } catch {
            throw .obstacle(.aggregationFailed(error))
        }
        return tweaked.xOnlyKey == signedKey.xOnly ? tweaked : nil
    }

    private func signature(
        of signing: MuSig2Signing, for signedKey: PublicKey, _ keys: KeyAggregation, _ message: Bytes32
    ) throws(PSBT.MuSig2Failure) -> SchnorrSignature {
        var (nonces, partials) = ([PublicNonce](), [PartialSignature]())
        for signer in signing.participants {
            let label = PSBT.MuSig2Contribution(participant: signer, aggregateKey: signedKey, leafHash: signing.leafHash)
            do throws(MuSig2Error) {
                nonces.append(try PublicNonce(parsing: self.musig2PublicNonces[label] ?? []))
                partials.append(try PartialSignature(parsing: self.musig2PartialSignatures[label] ?? []))
            } catch {
                throw .obstacle(.malformedContribution(signer: signer, error))
            }
        }
        let context: SigningContext
        do throws(MuSig2Error) { context = try SigningContext(keys: keys, nonces: nonces, message: message) } catch {
            throw .obstacle(.aggregationFailed(error))
        }
        do throws(MuSig2Error) { return try context.finish(partials) } catch { throw .badSum(context, partials) }
    }
}

extension PSBT {
    /// Why a signature could not be made of partial signatures that are all there.
    package enum MuSig2Failure: Error {
        case obstacle(FinalizingObstacle)
        case error(PSBTError)
        /// They do not add up to a signature. Whose doing that is has not been looked for.
        case badSum(SigningContext, [PartialSignature])

        /// What to tell of the input. For a bad sum this verifies every partial signature by itself, up to a thousand at some 65 µs
        /// of one core each: to be asked of one signature, and only when its failure is what is told.
        func error(ofInput index: Int) -> PSBTError {
            switch self {
            case .obstacle(let obstacle): .notFinalizable(input: index, obstacle)
            case .error(let error): error
            case .badSum(let context, let partials): .notFinalizable(input: index, Self.obstacle(context, partials))
            }
        }

        private static func obstacle(_ context: SigningContext, _ partials: [PartialSignature]) -> FinalizingObstacle {
            do throws(MuSig2Error) {
                let culprits = try context.culpritsAtOnce(in: partials)
                if culprits.isEmpty { _ = try context.finish(partials) }
                return .invalidPartialSignatures(signers: culprits.map { context.keys.publicKeys[$0] })
            } catch {
                return .aggregationFailed(error)
            }
        }
    }
}

/// The groups of one input, each aggregated once, whatever number of signatures names it.
private struct AggregatedGroups {
    private var known: [PublicKey: KeyAggregation?] = [:]

    mutating func group(of aggregate: PublicKey, _ participants: [PublicKey]) throws(PSBT.MuSig2Failure) -> KeyAggregation {
        let group: KeyAggregation?
        if let known = self.known[aggregate] {
            group = known
        } else {
            let aggregated = try? KeyAggregation(participants)
            group = aggregated?.xOnlyKey == aggregate.xOnly ? aggregated : nil
            self.known[aggregate] = .some(group)
        }
        guard let group else { throw .obstacle(.otherAggregate(aggregate)) }
        return group
    }
}
