public import Bitcoin
internal import CryptoPrimitives
public import Secp256k1

extension DelegatedMultisig {
    /// The owner's own spend, by the key path: needs no signer and no exchange.
    ///
    /// - Returns: the transaction with a witness for every input whose coin is this policy's.
    /// - Throws: `notASigner` when the key is not the owner's; `scriptDoesNotMatch` when no coin is this policy's.
    public func spendAsOwner(_ request: SigningRequest, with key: borrowing SecretKey) throws(SigningError) -> Transaction {
        guard self.internalKey == .owner(key.publicKey.xOnly) else { throw .notASigner(key.publicKey) }
        let own = request.prevouts.indices.filter { request.prevouts[$0].scriptPubKey == self.scriptPubKey }
        guard !own.isEmpty else { throw .scriptDoesNotMatch(input: 0) }
        let cache: SighashCache
        let tweaked: SecretKey
        do { cache = try SighashCache(request.transaction, prevouts: request.prevouts) } catch { throw .sighash(error) }
        do { tweaked = try key.tweakedForTaproot(merkleRoot: self.merkleRoot) } catch { throw .transaction("the owner's key: \(error)") }
        var transaction = request.transaction
        for index in own {
            let type = request.sighashTypes[index]
            do {
                let signature = try tweaked.sign(try cache.taprootSighash(input: index, type: type))
                transaction.inputs[index].witness = try self.witness(for: .owner, signature: signature, sighashType: type)
            } catch { throw .transaction("input \(index): \(error)") }
        }
        return transaction
    }
}
