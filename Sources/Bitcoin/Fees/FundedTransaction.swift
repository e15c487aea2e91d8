/// A coin that is to be spent, and how large its input becomes.
public struct FundingCoin: Hashable, Sendable {
    public var outPoint: OutPoint
    /// The output that is spent.
    public var output: TransactionOutput
    /// The input's size once it is signed, by the path that is meant.
    public var inputSize: InputSize
    /// Lock times and replacement (BIPs 68 and 125).
    public var sequence: UInt32

    public init(outPoint: OutPoint, output: TransactionOutput, inputSize: InputSize, sequence: UInt32 = Self.sequenceReplaceable) {
        self.outPoint = outPoint
        self.output = output
        self.inputSize = inputSize
        self.sequence = sequence
    }

    /// The `sequence` that lets a version with a higher fee take the transaction's place (BIP-125), and asks for no lock time.
    public static let sequenceReplaceable: UInt32 = 0xffff_fffd
}

/// An unsigned transaction that pays a fee at a given rate once it is signed: payments in their order, then change if it is
/// worth an output.
public struct FundedTransaction: Hashable, Sendable {
    public let transaction: Transaction
    /// What the coins hold beyond the outputs, in satoshi. Without change it may be more than the rate asks for, by less than
    /// the change output would have cost.
    public let fee: UInt64
    /// The change's place among the outputs; `nil` where change would be dust and goes to the fee.
    public let changeIndex: Int?
    /// The size of the signed transaction.
    public let size: TransactionSize

    /// The name. Signing keeps it where every input is a native witness input.
    public var txid: Txid { self.transaction.txid }

    /// - Throws: `FeeError`, with the numbers.
    public init(
        spending coins: [FundingCoin], paying payments: [TransactionOutput], changeTo changeScript: Script, feeRate: FeeRate,
        lockTime: UInt32 = 0
    ) throws(FeeError) {
        try self.init(spending: coins, paying: payments, changeTo: changeScript, lockTime: lockTime) {
            feeRate.fee(forVirtualSize: $0.virtualSize)
        }
    }

    init(
        spending coins: [FundingCoin], paying payments: [TransactionOutput], changeTo changeScript: Script, lockTime: UInt32,
        fee: (TransactionSize) -> UInt64
    ) throws(FeeError) {
        try Self.check(coins, payments)
        guard !changeScript.isUnspendable else { throw .unspendableChange }
        let available = try Self.sum(coins.lazy.map(\.output.amount))
        let paid = try Self.sum(payments.lazy.map(\.amount))
        let inputSizes = coins.map(\.inputSize)
        var outputs = payments + [TransactionOutput(amount: 0, scriptPubKey: changeScript)]
        let sizeWithChange = TransactionSize(inputs: inputSizes, outputs: outputs)
        let leastChange = changeScript.dustLimit
        let feeWithChange = fee(sizeWithChange)
        if let change = Self.difference(available, paid, feeWithChange), change >= leastChange, change > 0 {
            outputs[payments.count].amount = change
            self.fee = feeWithChange
            self.changeIndex = payments.count
            self.size = sizeWithChange
        } else {
            // A transaction has at least one output, so where nothing is paid, change must be worth it.
            guard !payments.isEmpty else {
                throw .insufficientFunds(available: available, payments: max(1, leastChange), fee: feeWithChange)
            }
            outputs.removeLast()
            let size = TransactionSize(inputs: inputSizes, outputs: outputs)
            guard Self.difference(available, paid, fee(size)) != nil else {
                throw .insufficientFunds(available: available, payments: paid, fee: fee(size))
            }
            self.fee = available - paid
            self.changeIndex = nil
            self.size = size
        }
        guard self.size.weight <= Transaction.relayedWeightMax else {
            throw .tooHeavy(weight: self.size.weight, limit: Transaction.relayedWeightMax)
        }
        self.transaction = Transaction(
            inputs: coins.map { TransactionInput(previousOutput: $0.outPoint, sequence: $0.sequence) }, outputs: outputs,
            lockTime: lockTime)
    }

    private static func check(_ coins: [FundingCoin], _ payments: [TransactionOutput]) throws(FeeError) {
        guard !coins.isEmpty else { throw .noCoins }
        var seen: Set<OutPoint> = []
        for coin in coins where !seen.insert(coin.outPoint).inserted { throw .duplicateCoin(coin.outPoint) }
        for (index, payment) in payments.enumerated() where payment.isDust {
            throw .dustPayment(index: index, amount: payment.amount, limit: payment.scriptPubKey.dustLimit)
        }
    }

    private static func sum(_ amounts: some Sequence<UInt64>) throws(FeeError) -> UInt64 {
        var sum: UInt64 = 0
        for amount in amounts {
            guard amount <= TransactionOutput.amountMax - sum else { throw .amountOutOfRange(limit: TransactionOutput.amountMax) }
            sum += amount
        }
        return sum
    }

    /// `available − paid − fee`, or `nil` below zero.
    private static func difference(_ available: UInt64, _ paid: UInt64, _ fee: UInt64) -> UInt64? {
        guard paid <= available, fee <= available - paid else { return nil }
        return available - paid - fee
    }
}
