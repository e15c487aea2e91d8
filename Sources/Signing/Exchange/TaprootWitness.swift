public import Bitcoin
internal import CryptoPrimitives
internal import Secp256k1

/// The two shapes of witness that a group's coin is spent with, for checking a transaction that somebody else finished.
enum TaprootWitness {
    case keyPath(signature: SchnorrSignature, SighashType)
    case leaf(signature: SchnorrSignature, SighashType, Script, ControlBlock)

    /// `nil` for any other shape.
    init?(_ witness: Witness) {
        guard let first = witness.items.first, first.count == 64 || first.count == 65,
            let signature = try? SchnorrSignature(parsing: first.prefix(64))
        else { return nil }
        let type: SighashType
        if first.count == 64 {
            type = .default
        } else {
            // A type byte of 0 is not valid (BIP-341): DEFAULT is the absence of the byte.
            guard let byte = first.last, let named = SighashType(rawValue: byte), named != .default else { return nil }
            type = named
        }
        switch witness.items.count {
        case 1: self = .keyPath(signature: signature, type)
        case 3:
            guard let block = try? ControlBlock(parsing: witness.items[2]) else { return nil }
            self = .leaf(signature: signature, type, Script(witness.items[1]), block)
        default: return nil
        }
    }

    /// Whether it spends the coin, by the output's key or by a leaf of one key that the output commits to.
    func isValid(input: Int, coin: TransactionOutput, cache: SighashCache) -> Bool {
        guard case .payToTaproot(let bytes) = coin.scriptPubKey.kind, let outputKey = try? XOnlyPublicKey(bytes) else { return false }
        switch self {
        case .keyPath(let signature, let type):
            guard let message = try? cache.taprootSighash(input: input, type: type) else { return false }
            return signature.isValid(for: message, by: outputKey)
        case .leaf(let signature, let type, let script, let block):
            guard script.bytes.count == 34, let key = try? XOnlyPublicKey(parsing: script.bytes[1..<33]), script == .checkSig(key),
                block.leafVersion == TapLeaf.tapscriptVersion, block.proves(script, for: outputKey),
                let message = try? cache.taprootSighash(input: input, type: type, leaf: TapLeaf(script: script).hash)
            else { return false }
            return signature.isValid(for: message, by: key)
        }
    }
}

extension SigningRequest {
    /// Whether the transaction is this request's, and every input whose coin has the script carries a signature that verifies under a
    /// key which the coin commits to: the output key, or the one key of a leaf.
    public func isSatisfied(by transaction: Transaction, spending script: Script) -> Bool {
        guard transaction.txid == self.transaction.txid, let cache = try? SighashCache(self.transaction, prevouts: self.prevouts) else {
            return false
        }
        return transaction.inputs.indices.allSatisfy { index in
            let coin = self.prevouts[index]
            guard coin.scriptPubKey == script else { return true }
            return TaprootWitness(transaction.inputs[index].witness)?.isValid(input: index, coin: coin, cache: cache) ?? false
        }
    }
}
