/// Why a fee, a size or a funded transaction is refused. Amounts are satoshi.
public enum FeeError: Error, Equatable, Sendable {
    /// A text that is no decimal number of sat/vB with at most three places.
    case feeRateSyntax
    /// Above `FeeRate.satoshisPerKilobyteMax`.
    case feeRateTooHigh(satoshisPerKilobyte: UInt64, limit: UInt64)
    /// A buffer is 0 to 100 percent.
    case bufferOutOfRange(hundredthsOfPercent: Int)
    /// A byte count below zero or above what a transaction can hold.
    case inputSizeOutOfRange(byteCount: Int, limit: Int)
    case noCoins
    /// Two of the coins are the same.
    case duplicateCoin(OutPoint)
    /// Coins or payments sum up to more than there can be.
    case amountOutOfRange(limit: UInt64)
    /// A payment, counted from 0, that nodes would not relay.
    case dustPayment(index: Int, amount: UInt64, limit: UInt64)
    /// `payments` holds the least change too where there would be no output without it.
    case insufficientFunds(available: UInt64, payments: UInt64, fee: UInt64)
    /// Signed, the transaction would weigh more than nodes relay; `limit` is `Transaction.relayedWeightMax`.
    case tooHeavy(weight: Int, limit: Int)
    /// Nobody could spend the change.
    case unspendableChange
}

extension FeeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .feeRateSyntax:
            "a fee rate is a decimal number of sat/vB with at most three places, like 2 or 12.5"
        case .feeRateTooHigh(let rate, let limit):
            "the fee rate of \(rate) sat/kvB is above the limit of \(limit): fee rates are given in sat/vB"
        case .bufferOutOfRange(let hundredths):
            "the buffer of \(hundredths) hundredths of a percent is not from 0 to 100 percent"
        case .inputSizeOutOfRange(let byteCount, let limit):
            "an input part of \(byteCount) bytes is not possible: from 0 to \(limit) are"
        case .noCoins:
            "there is no coin to spend"
        case .duplicateCoin(let outPoint):
            "the coin \(outPoint) is given twice"
        case .amountOutOfRange(let limit):
            "the amounts sum up to more than \(limit) sat, which is all there will ever be"
        case .dustPayment(let index, let amount, let limit):
            "payment \(index) of \(amount) sat is dust, which nodes do not relay: pay at least \(limit) sat"
        case .insufficientFunds(let available, let payments, let fee):
            "the coins hold \(available) sat, and \(payments) sat of payments with \(fee) sat of fee are needed: add coins, or lower "
                + "the payments or the fee rate"
        case .tooHeavy(let weight, let limit):
            "signed, the transaction would weigh \(weight) units, and nodes relay at most \(limit): spend fewer coins or pay fewer "
                + "outputs at once"
        case .unspendableChange:
            "nobody could spend the change: its script begins with OP_RETURN, or is too long to run; give an address of your own"
        }
    }
}
