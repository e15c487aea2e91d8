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
        guard let first = own.first else { throw .scriptDoesNotMatch(input: 0) }
        var transaction = request.transaction
        do {
            let cache = try SighashCache(request.transaction, prevouts: request.prevouts)
            let tweaked = try key.tweakedForTaproot(merkleRoot: self.merkleRoot)
            for index in own {
                let type = request.sighashTypes[index]
                let signature = try tweaked.sign(try cache.taprootSighash(input: index, type: type))
                transaction.inputs[index].witness = try self.witness(for: .owner, signature: signature, sighashType: type)
            }
        } catch { throw .transaction("input \(first): \(error)") }
        return transaction
    }
}
