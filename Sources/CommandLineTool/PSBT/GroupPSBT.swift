import Bitcoin
import Signing

extension PSBT {
    /// The PSBT that asks a group for its signatures: the transaction, its coins, and what the group's key is made of.
    ///
    /// - Parameter prevouts: the output that each input spends; those with the policy's script are the group's.
    init(asking policy: any SpendingPolicy, toSign transaction: Transaction, spending prevouts: [TransactionOutput]) throws(PSBTError) {
        self = try PSBT(unsignedTransaction: transaction)
        for (index, prevout) in prevouts.enumerated() {
            self.inputs[index].witnessUTXO = prevout
            guard let group = policy as? SignerGroup, prevout.scriptPubKey == group.scriptPubKey else { continue }
            self.inputs[index].tapInternalKey = group.keys.untweakedKey.xOnly
            self.inputs[index].musig2Participants[group.keys.untweakedKey] = group.members
        }
        if let policy = policy as? DelegatedMultisig { self.addPolicy(policy) }
    }
}
