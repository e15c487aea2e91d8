import CryptoPrimitives
import Testing

@testable import Bitcoin

@Suite struct DelegatedMultisigFeeTests {
    // MARK: Fee rates

    @Test func `a fee rate reads and shows sat per virtual byte without rounding`() throws {
        for (text, rate, shown) in [
            ("2", 2_000, "2 sat/vB"), ("12.5", 12_500, "12.5 sat/vB"), ("0.125", 125, "0.125 sat/vB"), ("0", 0, "0 sat/vB"),
            ("1.010", 1_010, "1.01 sat/vB"), ("0.1", 100, "0.1 sat/vB"), ("1000000", 1_000_000_000, "1000000 sat/vB"),
        ] as [(String, UInt64, String)] {
            let parsed = try FeeRate(parsing: text)
            #expect(parsed.satoshisPerKilobyte == rate)
            #expect(parsed.description == shown)
        }
        #expect(try FeeRate(3) == FeeRate(satoshisPerKilobyte: 3_000))
        #expect(try FeeRate(parsing: "0.999") < FeeRate(1))
    }

    @Test(arguments: ["", ".", "1.", ".5", "1.2345", "-1", "+1", "1e3", "1,5", " 1", "1 ", "１", "12345678", "1.2.3", "∞", "1.+1"])
    func `a text that is no fee rate is refused`(text: String) {
        #expect(throws: FeeError.feeRateSyntax) { try FeeRate(parsing: text) }
    }

    @Test func `a fee rate above a million sat per virtual byte is a mistake of units`() throws {
        #expect(throws: FeeError.feeRateTooHigh(satoshisPerKilobyte: 1_000_000_001, limit: 1_000_000_000)) {
            try FeeRate(satoshisPerKilobyte: 1_000_000_001)
        }
        #expect(throws: FeeError.self) { try FeeRate(parsing: "1000000.001") }
        #expect(throws: FeeError.self) { try FeeRate(.max) }
        #expect(throws: FeeError.self) { try FeeRate(1_000_001) }
    }

    @Test func `fees are rounded up and never wrap`() throws {
        let rate = try FeeRate(parsing: "1.001")
        #expect(rate.fee(forVirtualSize: 0) == 0)
        #expect(rate.fee(forVirtualSize: -1) == 0 && rate.fee(forVirtualSize: .min) == 0)
        #expect(rate.fee(forVirtualSize: 1) == 2)
        #expect(rate.fee(forVirtualSize: 999) == 1_000)
        #expect(rate.fee(forVirtualSize: 1_000) == 1_001)
        #expect(try FeeRate(satoshisPerKilobyte: 1).fee(forVirtualSize: 1) == 1)
        #expect(try FeeRate(1_000_000).fee(forVirtualSize: .max) == .max)
        #expect(try FeeRate(1).fee(forVirtualSize: .max) == UInt64(Int.max))
    }

    @Test func `a buffer is 0 to 100 percent in hundredths, rounded up`() throws {
        #expect(try FeeBuffer(percent: 15).applied(to: 1_000) == 1_150)
        #expect(try FeeBuffer(percent: 15).applied(to: 1_001) == 1_152)
        #expect(try FeeBuffer(percent: 0).applied(to: 777) == 777)
        #expect(try FeeBuffer(percent: 100).applied(to: 777) == 1_554)
        #expect(try FeeBuffer(hundredthsOfPercent: 1).applied(to: 10_000) == 10_001)
        #expect(try FeeBuffer(percent: 100).applied(to: .max) == .max)
        #expect(try FeeBuffer(percent: 5).applied(toVirtualSize: 111) == 117)
        for percent in [-1, 101, Int.max, Int.min] { #expect(throws: FeeError.self) { try FeeBuffer(percent: percent) } }
        for hundredths in [-1, 10_001] {
            #expect(throws: FeeError.bufferOutOfRange(hundredthsOfPercent: hundredths)) {
                try FeeBuffer(hundredthsOfPercent: hundredths)
            }
        }
    }

    // MARK: Dust

    static let taproot = Script.payToTaproot(Bytes32())

    /// Of the kinds of length given by their scripts; the figures are those that Bitcoin Core's tests and documents name.
    @Test(
        arguments: [
            ("5120" + String(repeating: "00", count: 32), 330), ("0020" + String(repeating: "00", count: 32), 330),
            ("0014" + String(repeating: "00", count: 20), 294), ("76a914" + String(repeating: "00", count: 20) + "88ac", 546),
            ("a914" + String(repeating: "00", count: 20) + "87", 540), ("6a0401020304", 0), ("51024e73", 240),
            ("21" + "02" + String(repeating: "00", count: 32) + "ac", 576),
        ] as [(String, UInt64)])
    func `each kind of output has its dust limit`(hex: String, limit: UInt64) throws {
        let script = try #require(Script(hex: hex))
        #expect(script.dustLimit == limit)
        #expect(!TransactionOutput(amount: limit, scriptPubKey: script).isDust)
        if limit > 0 { #expect(TransactionOutput(amount: limit - 1, scriptPubKey: script).isDust) }
    }

    @Test func `a script too long to run is never dust`() {
        #expect(Script([UInt8](repeating: 0x51, count: 10_001)).dustLimit == 0)
        #expect(Script([UInt8](repeating: 0x51, count: 10_000)).dustLimit > 0)
    }

    // MARK: Sizes

    static let outPoint = OutPoint(txid: Txid(SHA256.hash([7])), index: 1)

    static func signature(_ type: SighashType) -> [UInt8] { [UInt8](repeating: 1, count: type == .default ? 64 : 65) }

    /// Really signed in form: dummy bytes of the lengths that signatures, scripts and control blocks have.
    static func input(_ policy: DelegatedMultisig, _ path: DelegatedMultisig.Path, _ type: SighashType) throws -> TransactionInput {
        guard case .leaf(let index) = path else {
            return TransactionInput(previousOutput: Self.outPoint, witness: Witness([Self.signature(type)]))
        }
        let leaf = try policy.leaf(at: index)
        let items = [Self.signature(type), leaf.tapLeaf.script.bytes, leaf.controlBlock.serialized()]
        return TransactionInput(previousOutput: Self.outPoint, witness: Witness(items))
    }

    @Test func `every path's size is that of a really serialised transaction`() throws {
        // 1-of-130 has leaves at depths 7 and 8, where the control block's length takes three bytes.
        let wide = try DelegatedMultisig(internalKey: .owner(FigureKey.owner()), signers: FigureKey.cheap(130), threshold: 1)
        let outputs = [TransactionOutput(amount: 1_000, scriptPubKey: Self.taproot)]
        for policy in [wide, try .figure(1, of: 1), try .figure(2, of: 3), try .figure(4, of: 8)] {
            for type in SighashType.allCases {
                for path in [.owner] + (0..<policy.leafCount).map(DelegatedMultisig.Path.leaf) {
                    let transaction = Transaction(inputs: [try Self.input(policy, path, type)], outputs: outputs)
                    let size = TransactionSize(inputs: [try policy.inputSize(for: path, sighashType: type)], outputs: outputs)
                    #expect(size.byteCount == transaction.serialized().count)
                    #expect(size.weight == transaction.weight && size.virtualSize == transaction.virtualSize)
                }
            }
        }
    }

    @Test func `many inputs of mixed paths and kinds have the size of the real transaction`() throws {
        let policy = try DelegatedMultisig.figure(3, of: 5)
        let legacy = TransactionInput(previousOutput: Self.outPoint, scriptSig: Script([UInt8](repeating: 0, count: 300)))
        let segwit = TransactionInput(
            previousOutput: Self.outPoint, witness: Witness([[UInt8](repeating: 0, count: 72), [UInt8](repeating: 0, count: 33)]))
        var inputs: [TransactionInput] = []
        var sizes: [InputSize] = []
        let outputs = (0..<260).map { TransactionOutput(amount: $0, scriptPubKey: $0 % 2 == 0 ? Self.taproot : Script([0x51])) }
        for count in 0..<300 {
            let path: DelegatedMultisig.Path = count % 3 == 0 ? .owner : .leaf(count % 10)
            let type = SighashType.allCases[count % SighashType.allCases.count]
            switch count % 7 {
            case 5:
                inputs.append(legacy)
                sizes.append(try InputSize(scriptSigByteCount: 300, witnessByteCount: 0))
            case 6:
                inputs.append(segwit)
                sizes.append(try InputSize(witnessByteCount: segwit.witness.byteCount))
            default:
                inputs.append(try Self.input(policy, path, type))
                sizes.append(try policy.inputSize(for: path, sighashType: type))
            }
            guard [1, 6, 7, 252, 253, 300].contains(inputs.count) else { continue }
            for outputCount in [1, 252, 253, 260] {
                let transaction = Transaction(inputs: inputs, outputs: Array(outputs.prefix(outputCount)))
                let size = TransactionSize(inputs: sizes, outputs: transaction.outputs)
                #expect(size.byteCount == transaction.serialized().count)
                #expect(size.weight == transaction.weight)
            }
        }
        #expect(inputs.map(InputSize.init(of:)) == sizes)
        let bare = Transaction(inputs: [legacy, legacy], outputs: outputs)
        #expect(TransactionSize(inputs: bare.inputs.map(InputSize.init(of:)), outputs: outputs).weight == bare.weight)
    }

    @Test func `an input size outside of what a transaction can hold is refused`() throws {
        for count in [-1, 4_000_001, Int.max] {
            let error = FeeError.inputSizeOutOfRange(byteCount: count, limit: 4_000_000)
            #expect(throws: error) { try InputSize(witnessByteCount: count) }
            #expect(throws: error) { try InputSize(scriptSigByteCount: count, witnessByteCount: 0) }
        }
        #expect(try InputSize(witnessByteCount: 4_000_000).witnessByteCount == 4_000_000)
    }

    /// Figures that everybody knows: one Taproot input by the key path, with one Taproot output and with two.
    @Test func `ordinary spends have the well-known sizes`() throws {
        let output = TransactionOutput(amount: 1_000, scriptPubKey: Self.taproot)
        #expect(TransactionSize(inputs: [.taprootKeyPath()], outputs: [output]).virtualSize == 111)
        #expect(TransactionSize(inputs: [.taprootKeyPath()], outputs: [output, output]).virtualSize == 154)
    }

    // MARK: Funding

    static func coin(_ amount: UInt64, index: UInt32 = 0, size: InputSize = .taprootKeyPath()) -> FundingCoin {
        FundingCoin(
            outPoint: OutPoint(txid: Txid(SHA256.hash([9])), index: index),
            output: TransactionOutput(amount: amount, scriptPubKey: Self.taproot), inputSize: size)
    }

    static func payment(_ amount: UInt64) -> TransactionOutput { TransactionOutput(amount: amount, scriptPubKey: Self.taproot) }

    @Test func `change appears from the dust limit on and not below`() throws {
        // 154 vB with change and 111 without, at 2 sat/vB: fees of 308 and 222.
        let rate = try FeeRate(2)
        let with = try FundedTransaction(
            spending: [Self.coin(10_000 + 308 + 330)], paying: [Self.payment(10_000)], changeTo: Self.taproot, feeRate: rate)
        #expect(with.fee == 308 && with.changeIndex == 1 && with.transaction.outputs[1].amount == 330)
        #expect(with.size.virtualSize == 154)
        let without = try FundedTransaction(
            spending: [Self.coin(10_000 + 308 + 329)], paying: [Self.payment(10_000)], changeTo: Self.taproot, feeRate: rate)
        #expect(without.fee == 637 && without.changeIndex == nil && without.transaction.outputs.count == 1)
        #expect(without.size.virtualSize == 111)
        let least = try FundedTransaction(
            spending: [Self.coin(10_222)], paying: [Self.payment(10_000)], changeTo: Self.taproot, feeRate: rate)
        #expect(least.fee == 222)
        #expect(throws: FeeError.insufficientFunds(available: 10_221, payments: 10_000, fee: 222)) {
            try FundedTransaction(spending: [Self.coin(10_221)], paying: [Self.payment(10_000)], changeTo: Self.taproot, feeRate: rate)
        }
    }

    @Test func `without a payment everything goes to change, if it is worth an output`() throws {
        let rate = try FeeRate(1)
        let sweep = try FundedTransaction(spending: [Self.coin(441)], paying: [], changeTo: Self.taproot, feeRate: rate)
        #expect(sweep.transaction.outputs == [Self.payment(330)] && sweep.fee == 111 && sweep.changeIndex == 0)
        #expect(throws: FeeError.insufficientFunds(available: 440, payments: 330, fee: 111)) {
            try FundedTransaction(spending: [Self.coin(440)], paying: [], changeTo: Self.taproot, feeRate: rate)
        }
    }

    @Test func `a transaction heavier than nodes relay, and change that nobody could spend, are refused`() throws {
        let coins = (0..<1_738).map { index in
            var coin = Self.coin(10_000)
            coin.outPoint = OutPoint(txid: coin.outPoint.txid, index: UInt32(index))
            return coin
        }
        let rate = try FeeRate(1)
        // 230 units each coin, and the rest of the transaction besides.
        let heaviest = try FundedTransaction(spending: coins.dropLast(), paying: [], changeTo: Self.taproot, feeRate: rate)
        #expect(heaviest.size.weight == 399_732)
        let error = FeeError.tooHeavy(weight: 399_732 + 230, limit: Transaction.relayedWeightMax)
        #expect(error == .tooHeavy(weight: 399_962, limit: 400_000))
        #expect(throws: FeeError.tooHeavy(weight: 400_134, limit: 400_000)) {
            try FundedTransaction(spending: coins, paying: [Self.payment(1_000)], changeTo: Self.taproot, feeRate: rate)
        }
        for script in [Script([0x6a]), Script([UInt8](repeating: 0x51, count: 10_001))] {
            #expect(throws: FeeError.unspendableChange) {
                try FundedTransaction(spending: [Self.coin(5_000)], paying: [Self.payment(1_000)], changeTo: script, feeRate: rate)
            }
        }
    }

    @Test func `what no node relays and what cannot be is refused with the numbers`() throws {
        let rate = try FeeRate(1)
        func fund(_ coins: [FundingCoin], _ payments: [TransactionOutput]) throws -> FundedTransaction {
            try FundedTransaction(spending: coins, paying: payments, changeTo: Self.taproot, feeRate: rate)
        }
        #expect(throws: FeeError.noCoins) { try fund([], [Self.payment(1_000)]) }
        #expect(throws: FeeError.duplicateCoin(Self.coin(1).outPoint)) {
            try fund([Self.coin(5_000), Self.coin(5_000)], [Self.payment(1_000)])
        }
        #expect(throws: FeeError.dustPayment(index: 1, amount: 329, limit: 330)) {
            try fund([Self.coin(5_000)], [Self.payment(330), Self.payment(329)])
        }
        let all = TransactionOutput.amountMax
        #expect(throws: FeeError.amountOutOfRange(limit: all)) {
            try fund([Self.coin(all), Self.coin(1, index: 1)], [Self.payment(1_000)])
        }
        #expect(throws: FeeError.amountOutOfRange(limit: all)) { try fund([Self.coin(.max)], [Self.payment(1_000)]) }
        #expect(throws: FeeError.amountOutOfRange(limit: all)) { try fund([Self.coin(1_000)], [Self.payment(.max)]) }
        let most = try fund([Self.coin(all)], [Self.payment(1_000)])
        #expect(most.transaction.outputs[1].amount == all - 1_000 - 154)
    }

    @Test func `outputs and fee always add up to the coins`() throws {
        var generator = SplitMix(state: 41)
        for _ in 0..<500 {
            let rate = try FeeRate(satoshisPerKilobyte: generator.next() % 50_000)
            let coins = (0..<UInt32(1 + generator.next() % 5)).map { Self.coin(1_000 + generator.next() % 20_000, index: $0) }
            let payments = (0..<(generator.next() % 3)).map { _ in Self.payment(330 + generator.next() % 9_000) }
            let available = coins.reduce(0) { $0 + $1.output.amount }
            do throws(FeeError) {
                let funded = try FundedTransaction(spending: coins, paying: payments, changeTo: Self.taproot, feeRate: rate)
                #expect(funded.transaction.outputs.reduce(funded.fee) { $0 + $1.amount } == available)
                #expect(funded.fee >= rate.fee(forVirtualSize: funded.size.virtualSize))
                #expect(funded.transaction.outputs.allSatisfy { !$0.isDust })
                #expect(Array(funded.transaction.outputs.prefix(payments.count)) == payments)
            } catch .insufficientFunds(let held, let paid, let fee) {
                #expect(held == available && paid + fee > available)
            }
        }
    }

    @Test(
        arguments: [
            (.feeRateSyntax, ["sat/vB"]), (.feeRateTooHigh(satoshisPerKilobyte: 7, limit: 5), ["7", "5"]),
            (.bufferOutOfRange(hundredthsOfPercent: -3), ["-3"]), (.inputSizeOutOfRange(byteCount: -1, limit: 9), ["-1", "9"]),
            (.noCoins, ["no coin"]), (.duplicateCoin(Self.outPoint), [Self.outPoint.description]), (.amountOutOfRange(limit: 21), ["21"]),
            (.dustPayment(index: 2, amount: 100, limit: 330), ["payment 2", "100", "330"]),
            (.insufficientFunds(available: 5, payments: 6, fee: 7), ["hold 5", "6 sat", "7 sat"]),
        ] as [(FeeError, [String])])
    func `an error says what is wrong with its numbers`(error: FeeError, words: [String]) {
        for word in words { #expect(error.description.contains(word), "\(error)") }
    }

    // MARK: Two versions

    @Test func `the buffered version pays its percentage more out of the change`() throws {
        let policy = try DelegatedMultisig.figure(2, of: 3)
        let size = try policy.inputSize(for: policy.cheapestPath(present: [0, 1]))
        let coins = [Self.coin(60_000, size: size), Self.coin(50_000, index: 1, size: size)]
        let dual = try DualTransaction(
            spending: coins, paying: [Self.payment(70_000)], changeTo: policy.scriptPubKey, feeRate: FeeRate(parsing: "3.7"),
            buffer: FeeBuffer(percent: 15))
        let (base, buffered) = (dual.base, dual.buffered)
        #expect(base.fee == UInt64((base.size.virtualSize * 37 + 9) / 10))
        #expect(buffered.fee == (base.fee * 115 + 99) / 100)
        #expect(base.transaction.inputs == buffered.transaction.inputs)
        #expect(base.transaction.outputs[0] == buffered.transaction.outputs[0])
        #expect(base.transaction.outputs[1].amount - buffered.transaction.outputs[1].amount == buffered.fee - base.fee)
        #expect(base.txid != buffered.txid && !dual.isOneTransaction)
        #expect(base.size == buffered.size)
        #expect(base.transaction.inputs.allSatisfy { $0.sequence == 0xffff_fffd }, "the buffered one may replace the base")
    }

    @Test func `the buffered version gives up its change before it fails`() throws {
        let (rate, buffer) = (try FeeRate(10), try FeeBuffer(percent: 100))
        func dual(_ amount: UInt64) throws -> DualTransaction {
            try DualTransaction(
                spending: [Self.coin(amount)], paying: [Self.payment(10_000)], changeTo: Self.taproot, feeRate: rate, buffer: buffer)
        }
        // Base with change: 1,540. Buffered without change: 2,220; with change: 3,080.
        let both = try dual(13_410)
        #expect(both.base.changeIndex == 1 && both.buffered.changeIndex == 1 && both.buffered.fee == 3_080)
        let one = try dual(13_409)
        #expect(one.base.fee == 1_540 && one.buffered.changeIndex == nil && one.buffered.fee == 3_409)
        #expect(try dual(12_220).buffered.fee == 2_220)
        #expect(throws: FeeError.insufficientFunds(available: 12_219, payments: 10_000, fee: 2_220)) { try dual(12_219) }
    }

    @Test func `without change both versions are one transaction`() throws {
        let dual = try DualTransaction(
            spending: [Self.coin(10_400)], paying: [Self.payment(10_000)], changeTo: Self.taproot, feeRate: FeeRate(2),
            buffer: FeeBuffer(percent: 15))
        #expect(dual.isOneTransaction)
        #expect(dual.base.fee == 400)
    }
}

/// Repeatable numbers for tests (SplitMix64).
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
