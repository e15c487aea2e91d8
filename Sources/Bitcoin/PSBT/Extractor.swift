import CryptoPrimitives

// MARK: - Extracting

extension PSBT {
    /// Whether every input is final, and there is one: without inputs there is no transaction for the network.
    public var isComplete: Bool { !self.inputs.isEmpty && self.inputs.allSatisfy(\.isFinal) }

    /// The transaction for the network (BIP-174, "Transaction Extractor").
    ///
    /// - Throws: `notFinal`, which names the first input that has neither a final scriptSig nor a final witness.
    public func extract() throws(PSBTError) -> Transaction {
        var transaction = self.unsignedTransaction
        for index in self.inputs.indices {
            let input = self.inputs[index]
            guard input.isFinal else { throw .notFinal(input: index) }
            transaction.inputs[index].scriptSig = input.finalScriptSig ?? Script()
            transaction.inputs[index].witness = input.finalScriptWitness ?? Witness()
        }
        return transaction
    }
}

// MARK: - What is spent

extension PSBT {
    /// The output that an input spends.
    ///
    /// - Throws: `utxoMissing`; `utxosDisagree` when the input's two UTXO fields tell different outputs; `invalidField` when the
    ///   previous transaction is not the one that the input names; `noSuchMap`.
    public func spentOutput(ofInput index: Int) throws(PSBTError) -> TransactionOutput {
        try self.checkInput(index)
        let input = self.inputs[index]
        guard let previous = input.nonWitnessUTXO else {
            guard let output = input.witnessUTXO else { throw .utxoMissing(input: index) }
            return output
        }
        let outPoint = self.unsignedTransaction.inputs[index].previousOutput
        do throws(Flaw) {
            // Checked when it came in, but the whole map may have been moved here from another input.
            try Flaw.check(previous, spentBy: outPoint)
        } catch {
            throw .invalidField(.input(index), .input(.nonWitnessUTXO), error)
        }
        let output = previous.outputs[Int(outPoint.index)]
        guard input.witnessUTXO == nil || input.witnessUTXO == output else { throw .utxosDisagree(input: index) }
        return output
    }

    /// The outputs that all inputs spend, in their order: what every Taproot signature covers.
    ///
    /// - Throws: As `spentOutput(ofInput:)`, for the first input that has no one answer.
    public func spentOutputs() throws(PSBTError) -> [TransactionOutput] {
        var outputs: [TransactionOutput] = []
        for index in self.inputs.indices { outputs.append(try self.spentOutput(ofInput: index)) }
        return outputs
    }

    /// What the transaction leaves to the miner, in satoshi: all that is spent less all that is paid.
    ///
    /// - Throws: `utxoMissing` and `utxosDisagree`; `amountsTooLarge` when a sum exceeds all bitcoin there will be;
    ///   `outputsExceedInputs`.
    public func fee() throws(PSBTError) -> UInt64 {
        try self.fee(spending: try self.spentOutputs())
    }

    /// The same with what all inputs have in common at hand.
    package func fee(using context: SpendingContext) throws(PSBTError) -> UInt64 {
        try self.fee(spending: try context.spentOutputs())
    }

    private func fee(spending outputs: [TransactionOutput]) throws(PSBTError) -> UInt64 {
        let spent = try Self.sum(outputs)
        let paid = try Self.sum(self.unsignedTransaction.outputs)
        guard paid <= spent else { throw .outputsExceedInputs(spent: spent, paid: paid) }
        return spent - paid
    }

    private static func sum(_ outputs: [TransactionOutput]) throws(PSBTError) -> UInt64 {
        var sum: UInt64 = 0
        for output in outputs {
            // Both are at most `amountMax` when added.
            guard output.amount <= TransactionOutput.amountMax else { throw .amountsTooLarge }
            sum += output.amount
            guard sum <= TransactionOutput.amountMax else { throw .amountsTooLarge }
        }
        return sum
    }
}
