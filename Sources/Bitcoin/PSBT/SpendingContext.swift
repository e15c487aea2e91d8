extension PSBT {
    /// What checking and finalizing one input asks of all inputs, found out once: the outputs that are spent, for which whole previous
    /// transactions are hashed, and the hashes that signatures cover.
    ///
    /// It belongs to the PSBT it was made from, as that was then.
    package struct SpendingContext: Sendable {
        /// The output that each input spends, or why it is not known.
        private let spent: [Result<TransactionOutput, PSBTError>]
        /// `nil` while the UTXO of some input is not known.
        package let sighashes: SighashCache?

        package init(_ psbt: PSBT) {
            self.spent = psbt.inputs.indices.map { index in
                Result { () throws(PSBTError) in try psbt.spentOutput(ofInput: index) }
            }
            let outputs = self.spent.compactMap { try? $0.get() }
            // Fails where an output is missing.
            self.sighashes = try? SighashCache(psbt.unsignedTransaction, prevouts: outputs)
        }

        /// - Throws: As `PSBT.spentOutput(ofInput:)`.
        package func spentOutput(ofInput index: Int) throws(PSBTError) -> TransactionOutput {
            guard self.spent.indices.contains(index) else { throw .noSuchMap(.input(index)) }
            return try self.spent[index].get()
        }

        /// - Throws: As `PSBT.spentOutputs()`, for the first input that has no one answer.
        package func spentOutputs() throws(PSBTError) -> [TransactionOutput] {
            var outputs: [TransactionOutput] = []
            for output in self.spent { outputs.append(try output.get()) }
            return outputs
        }
    }
}
