internal import Bitcoin

/// What a request can take from a group, and of which coins.
///
/// A signature of type DEFAULT or ALL covers the amounts and scripts of all coins (BIP-341), so whoever lies about them gets a signature
/// that nothing can be done with.
struct ApprovalExposure: Hashable, Sendable {
    struct Coin: Hashable, Sendable {
        let outPoint: OutPoint
        let amount: UInt64
    }

    /// The group's coins that it spends, in the transaction's order.
    let coins: [Coin]
    /// What does not come back to an own script, the fee included. Coins of others that pay for it make it less, down to nothing.
    let amount: UInt64
    /// The least virtual size that the signed transaction can have: each of the group's coins with one signature, all others with nothing.
    let virtualSizeMin: Int

    init(_ request: SigningRequest, under policy: ApprovalPolicy) {
        var coins: [Coin] = []
        var sizes: [InputSize] = []
        for (input, prevout) in zip(request.transaction.inputs, request.prevouts) {
            if prevout.scriptPubKey == policy.groupScript {
                coins.append(Coin(outPoint: input.previousOutput, amount: prevout.amount))
                sizes.append(.taprootKeyPath())
            } else {
                sizes.append(InputSize(of: input))
            }
        }
        self.coins = coins
        // A request's amounts add up to no more than there are bitcoins, on either side.
        let spent = coins.reduce(0) { $0 + $1.amount }
        let returned = request.transaction.outputs.reduce(0) { $0 + (policy.isOwn($1.scriptPubKey) ? $1.amount : 0) }
        self.amount = spent > returned ? spent - returned : 0
        self.virtualSizeMin = TransactionSize(inputs: sizes, outputs: request.transaction.outputs).virtualSize
    }

    /// The amount, spread over the coins that it comes from.
    ///
    /// Of requests that spend one coin only one can ever confirm. Whichever do, they share no coin, so together they take no more than the
    /// sum over all coins of the highest charge that any of them made on it: that holds however each spreads its own amount. So the charges
    /// go first where as much was charged before, and a replacement costs only what it takes beyond what it replaces.
    func charges(over standing: [OutPoint: UInt64]) -> [ApprovalHistory.Charge] {
        var rest = self.amount
        var charges: [ApprovalHistory.Charge] = []
        for coin in self.coins {
            let amount = min(rest, standing[coin.outPoint] ?? 0)
            rest -= amount
            charges.append(ApprovalHistory.Charge(coin: coin.outPoint, amount: amount))
        }
        for (place, coin) in self.coins.enumerated() where rest > 0 {
            let room = coin.amount > charges[place].amount ? coin.amount - charges[place].amount : 0
            let amount = min(rest, room)
            rest -= amount
            charges[place].amount += amount
        }
        return charges
    }
}
