import Bitcoin
import CryptoPrimitives

/// Random values from a seed, the same on every machine (SplitMix64).
struct TransactionGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(_ counts: ClosedRange<Int>) -> [UInt8] {
        (0..<Int.random(in: counts, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    mutating func bytes32() -> Bytes32 {
        let bytes = self.bytes(32...32)
        return Bytes32 { $0.copyBytes(from: bytes) }
    }

    mutating func output() -> TransactionOutput {
        let amount = UInt64.random(in: 0...TransactionOutput.amountMax, using: &self)
        return TransactionOutput(amount: amount, scriptPubKey: Script(self.bytes(0...300)))
    }

    mutating func transaction(inputs: ClosedRange<Int> = 1...5, outputs: ClosedRange<Int> = 0...5) -> Transaction {
        let hasWitness = Bool.random(using: &self)
        let inputCount = Int.random(in: inputs, using: &self)
        let outputCount = Int.random(in: outputs, using: &self)
        return Transaction(
            version: UInt32.random(in: 0...UInt32.max, using: &self),
            inputs: (0..<inputCount).map { _ in self.input(hasWitness: hasWitness) },
            outputs: (0..<outputCount).map { _ in self.output() },
            lockTime: UInt32.random(in: 0...UInt32.max, using: &self))
    }

    private mutating func input(hasWitness: Bool) -> TransactionInput {
        let itemCount = hasWitness ? Int.random(in: 0...4, using: &self) : 0
        return TransactionInput(
            previousOutput: OutPoint(txid: Txid(self.bytes32()), index: UInt32.random(in: 0...9, using: &self)),
            scriptSig: Script(self.bytes(0...120)),
            sequence: UInt32.random(in: 0...UInt32.max, using: &self),
            witness: Witness((0..<itemCount).map { _ in self.bytes(0...300) }))
    }
}
