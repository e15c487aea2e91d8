/// Two versions of one payment, signed together: the base at the asked fee rate, the buffered one with a higher fee out of the
/// same change.
///
/// Between the first signature and the last, the market for fees may have moved. The last signer of a set holds both versions
/// and chooses which one to broadcast. They spend the same coins, so only one of them can ever confirm.
///
/// ```swift
/// let dual = try DualTransaction(
///     spending: coins, paying: payments, changeTo: script, feeRate: FeeRate(2), buffer: FeeBuffer(percent: 50))
/// if !dual.isOneTransaction {
///     // Two signing sessions, with nonces of their own: all but the last signer sign both versions.
///     propose(dual.base.transaction)
///     propose(dual.buffered.transaction)
/// }
/// ```
///
/// The last signer signs the version that it picks, and never gives its partial signature for the other: who holds all partial
/// signatures of both could broadcast either.
public struct DualTransaction: Hashable, Sendable {
    /// What both versions spend, in the order of their inputs.
    public let coins: [FundingCoin]
    public let base: FundedTransaction
    /// Pays the base version's fee and the buffer on top, rounded up.
    public let buffered: FundedTransaction
    public let buffer: FeeBuffer

    /// - Parameters:
    ///   - coins: the coins, each with the size of its input by the path that is meant.
    ///   - payments: the same in both versions.
    ///   - changeScript: where the rest goes.
    ///   - feeRate: the base version's.
    ///   - buffer: how much more the second version pays.
    /// - Throws: `FeeError`, also when the coins pay the base version but not the buffered one.
    public init(
        spending coins: [FundingCoin], paying payments: [TransactionOutput], changeTo changeScript: Script, feeRate: FeeRate,
        buffer: FeeBuffer, lockTime: UInt32 = 0
    ) throws(FeeError) {
        self.coins = coins
        self.buffer = buffer
        self.base = try FundedTransaction(
            spending: coins, paying: payments, changeTo: changeScript, feeRate: feeRate, lockTime: lockTime)
        self.buffered = try FundedTransaction(
            spending: coins, paying: payments, changeTo: changeScript, lockTime: lockTime
        ) { buffer.applied(to: feeRate.fee(forVirtualSize: $0.virtualSize)) }
    }

    /// Whether both versions are the same transaction, because no change is left from which to pay more: one signature suffices.
    public var isOneTransaction: Bool { self.base.transaction == self.buffered.transaction }
}
