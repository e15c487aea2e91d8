import Bitcoin
import CryptoPrimitives
import Secp256k1
import Signing
import Testing

@testable import CommandLineTool

/// A transaction of a group, with coins and outputs of its own and of others.
struct GroupPayment {
    var transaction: Transaction
    let prevouts: [TransactionOutput]
    let group: SignerGroup

    /// - Parameters:
    ///   - coins: what is spent: the amount, and whether it is the group's.
    ///   - outputs: what is paid: the amount, and whether it returns to the group.
    init(from group: SignerGroup, coins: [(UInt64, Bool)], outputs: [(UInt64, Bool)]) {
        let other = Script.payToTaproot(Samples.keys(1)[0].xOnly)
        func output(_ amount: UInt64, _ isOwn: Bool) -> TransactionOutput {
            TransactionOutput(amount: amount, scriptPubKey: isOwn ? group.scriptPubKey : other)
        }
        self.group = group
        self.prevouts = coins.map(output)
        self.transaction = Transaction(
            inputs: coins.indices.map { TransactionInput(previousOutput: OutPoint(txid: Txid(SHA256.hash([9])), index: UInt32($0))) },
            outputs: outputs.map(output))
    }

    var request: SigningRequest {
        get throws { try SigningRequest(transaction: self.transaction, prevouts: self.prevouts, policyDigest: self.group.digest) }
    }

    func task() throws -> CosignTask {
        CosignTask(
            request: try self.request, policy: self.group, signer: self.group.members[0], names: SignerNames(), network: .regtest, set: nil)
    }
}

@Suite struct CosignReportTests {
    private let group: SignerGroup

    init() throws { self.group = try SignerGroup([1, 2].map { try Samples.secretKey($0).publicKey }) }

    @Test func `others' coins do not hide that the group's own go to the fee`() throws {
        let million: UInt64 = 1_000_000
        let cases: [(coins: [(UInt64, Bool)], outputs: [(UInt64, Bool)], isUnusual: Bool)] = [
            // Alone: a tenth of what is spent.
            ([(million, true)], [(890_000, false)], true), ([(million, true)], [(890_000, true)], true),
            ([(million, true)], [(910_000, false)], false), ([(million, true)], [(950_000, true), (40_000, false)], false),
            // A large coin of somebody else goes straight back, and the group's coin to the fee.
            ([(million, true), (1_000 * million, false)], [(1_000 * million, false), (50_000, true)], true),
            // The others pay the fee.
            ([(million, true), (10 * million, false)], [(million, true), (9_800_000, false)], false),
            // The group pays a little of a fee that is not unusual for all.
            ([(million, true), (10 * million, false)], [(990_000, true), (9_800_000, false)], false),
            // So small that it is nobody's loss.
            ([(20_000, true)], [(11_000, false)], false),
        ]
        for (coins, outputs, isUnusual) in cases {
            let task = try GroupPayment(from: self.group, coins: coins, outputs: outputs).task()
            #expect(task.hasUnusualFee == isUnusual, "\(coins) → \(outputs)")
        }
        // By its rate: 1,000 sat for each virtual byte of a transaction with another's input, too.
        for (fee, isUnusual) in [(UInt64(150_000), false), (200_000, true)] {
            let payment = GroupPayment(
                from: self.group, coins: [(100 * million, true), (million, false)], outputs: [(101 * million - fee, false)])
            let task = try payment.task()
            #expect(task.signedSize?.virtualSizeMax == 169, "two key paths and one output")
            #expect(task.hasUnusualFee == isUnusual, "\(fee)")
        }
    }

    @Test func `however many coins must age, they take a line for each unit`() throws {
        func locked(_ sequences: [UInt32]) throws -> [String] {
            var payment = GroupPayment(from: self.group, coins: sequences.map { _ in (10_000, true) }, outputs: [(9_000, true)])
            for (index, sequence) in sequences.enumerated() { payment.transaction.inputs[index].sequence = sequence }
            return CosignReport(task: try payment.task(), style: .plain).lines().filter { $0.hasPrefix("Locked") }
        }
        let many = (0..<600).map { UInt32(1 + $0) }
        #expect(try locked(many) == ["Locked     until the coins of 600 inputs are up to 600 blocks old"])
        #expect(
            try locked([5, 0x40_0002, 0xffff_fffd, 9, 0]) == [
                "Locked     until the coins of 2 inputs are up to 9 blocks old",
                "Locked     until the coin of input 1 is 1,024 seconds old",
            ])
        #expect(try locked([0xffff_ffff, 0, 0x40_0000, 0x8000_0005]) == [])
    }
}
