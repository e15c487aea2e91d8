import CryptoPrimitives
import MuSig2
import Secp256k1

// What a finalizer makes of the partial signatures that a PSBT holds: the signature they add up to (BIP-373, "Finalizer").

extension PSBT.Input {
    /// Adds the signature of every key or leaf for which all participants have given a partial signature.
    ///
    /// What has a signature, or waits for some participant, stays as it is, and so does what is signed for by a key that was derived
    /// from the aggregate (BIP-328). Gives back the first reason for which a signature could not be made, though all partial signatures
    /// are there.
    mutating func addMuSig2Signatures(_ index: Int, outputKey: Bytes32, using context: PSBT.SpendingContext) -> PSBTError? {
        guard self.tapKeySignature == nil, !self.musig2PartialSignatures.isEmpty else { return nil }
        let stated = self.sighashType ?? UInt32(SighashType.default.rawValue)
        guard let type = try? SighashType(parsing: stated) else { return nil }
        let leaves = Set(self.tapLeafScripts.values.map(\.hash))
        var groups = AggregatedGroups()
        var fault: PSBTError?
        for signing in MuSig2Signing.all(of: self) where signing.isComplete {
            // Who only names a key or a leaf that the input does not have costs no aggregation.
            if let leaf = signing.leafHash {
                guard leaves.contains(leaf) else { continue }
            } else {
                guard signing.signedKey?.xOnly.bytes == outputKey else { continue }
            }
            do throws(PSBTError) {
                try self.addSignature(of: signing, type, index, context, &groups)
            } catch {
                fault = fault ?? error
            }
        }
        return fault
    }

    private mutating func addSignature(
        of signing: MuSig2Signing, _ type: SighashType, _ index: Int, _ context: PSBT.SpendingContext,
        _ groups: inout AggregatedGroups
    ) throws(PSBTError) {
        let keys: KeyAggregation?
        do throws(Obstruction) { keys = try self.keys(of: signing, &groups) } catch {
            throw .notFinalizable(input: index, error.obstacle)
        }
        guard let keys, let signedKey = signing.signedKey else { return }
        let signer = signing.leafHash.map { PSBT.TapScriptSigner(key: keys.xOnlyKey, leafHash: $0) }
        if let signer, self.tapScriptSignatures[signer] != nil { return }
        guard let sighashes = context.sighashes else {
            // What is signed covers every input's output, so the missing one is named; there is one, else there were hashes.
            _ = try context.spentOutputs()
            return
        }
        guard let message = try? sighashes.taprootSighash(input: index, type: type, leaf: signing.leafHash) else { return }
        let signature: PSBT.TapSignature
        do throws(Obstruction) {
            signature = PSBT.TapSignature(
                try self.signature(of: signing, for: signedKey, keys, message), sighashType: type == .default ? nil : type.rawValue)
        } catch {
            throw .notFinalizable(input: index, error.obstacle)
        }
        if let signer { self.tapScriptSignatures[signer] = signature } else { self.tapKeySignature = signature }
    }

    /// The group with the tweak with which its key stands in the output or the leaf; `nil` when it stands there in no known way.
    private func keys(of signing: MuSig2Signing, _ groups: inout AggregatedGroups) throws(Obstruction) -> KeyAggregation? {
        guard let aggregate = signing.aggregateKey, let signedKey = signing.signedKey else { return nil }
        let group = try groups.group(of: aggregate, signing.participants)
        if signing.leafHash != nil { return group.xOnlyKey == signedKey.xOnly ? group : nil }
        if group.xOnlyKey == signedKey.xOnly { return group }
        let tweaked: KeyAggregation
        do throws(MuSig2Error) { tweaked = try group.tweakedForTaproot(merkleRoot: self.tapMerkleRoot) } catch {
            throw Obstruction(.aggregationFailed(error))
        }
        return tweaked.xOnlyKey == signedKey.xOnly ? tweaked : nil
    }

    private func signature(
        of signing: MuSig2Signing, for signedKey: PublicKey, _ keys: KeyAggregation, _ message: Bytes32
    ) throws(Obstruction) -> SchnorrSignature {
        var (nonces, partials) = ([PublicNonce](), [PartialSignature]())
        for signer in signing.participants {
            let label = PSBT.MuSig2Contribution(participant: signer, aggregateKey: signedKey, leafHash: signing.leafHash)
            do throws(MuSig2Error) {
                nonces.append(try PublicNonce(parsing: self.musig2PublicNonces[label] ?? []))
                partials.append(try PartialSignature(parsing: self.musig2PartialSignatures[label] ?? []))
            } catch {
                throw Obstruction(.malformedContribution(signer: signer, error))
            }
        }
        var culprits: [PublicKey] = []
        do throws(MuSig2Error) {
            let context = try SigningContext(keys: keys, nonces: nonces, message: message)
            // One verification is the rule; only a bad sum is worth asking whose fault it is.
            if let signature = try? context.finish(partials) { return signature }
            for (index, partial) in partials.enumerated() where !(try context.isValid(partial, of: index)) {
                culprits.append(signing.participants[index])
            }
            if culprits.isEmpty { return try context.finish(partials) }
        } catch {
            throw Obstruction(.aggregationFailed(error))
        }
        throw Obstruction(.invalidPartialSignatures(signers: culprits))
    }
}

/// The groups of one input, each aggregated once, whatever number of signatures names it.
private struct AggregatedGroups {
    private var known: [PublicKey: KeyAggregation?] = [:]

    mutating func group(of aggregate: PublicKey, _ participants: [PublicKey]) throws(Obstruction) -> KeyAggregation {
        let group: KeyAggregation?
        if let known = self.known[aggregate] {
            group = known
        } else {
            let aggregated = try? KeyAggregation(participants)
            group = aggregated?.xOnlyKey == aggregate.xOnly ? aggregated : nil
            self.known[aggregate] = .some(group)
        }
        guard let group else { throw Obstruction(.otherAggregate(aggregate)) }
        return group
    }
}

/// An obstacle on its way to the place that knows the input's index.
private struct Obstruction: Error {
    let obstacle: PSBT.FinalizingObstacle

    init(_ obstacle: PSBT.FinalizingObstacle) { self.obstacle = obstacle }
}
