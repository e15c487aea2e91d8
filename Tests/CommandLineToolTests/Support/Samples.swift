import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

/// Keys and transactions for the tests, the same in every run.
enum Samples {
    /// Public keys whose x coordinates follow from a counter; nobody knows their secrets.
    static func keys(_ count: Int) -> [PublicKey] {
        var keys: [PublicKey] = []
        var counter: UInt8 = 0
        while keys.count < count {
            let digest = SHA256.hash([counter])
            counter += 1
            if let key = try? XOnlyPublicKey(digest) { keys.append(key.evenKey) }
        }
        return keys
    }

    static func signersFile(_ count: Int) -> String { Self.keys(count).map { "\($0)\n" }.joined() }

    /// A secret key that follows from a number.
    static func secretKey(_ number: UInt8) throws -> SecretKey {
        let secret = try SecretBytes(count: 32) { target in
            target.copyBytes(from: SHA256.hash([0x73, number]).bytes)
        }
        return try SecretKey(parsing: secret)
    }

    /// A payment from Taproot coins of one key, to one address and change.
    static func payment(from outputKey: XOnlyPublicKey, inputs: Int = 1) throws -> PSBT {
        let transaction = Transaction(
            inputs: (0..<inputs).map { index in
                TransactionInput(
                    previousOutput: OutPoint(txid: Txid(SHA256.hash([1, 2, 3])), index: UInt32(index)), sequence: 0xffff_fffd)
            },
            outputs: [
                TransactionOutput(amount: 600_000, scriptPubKey: .payToTaproot(Self.keys(1)[0].xOnly)),
                TransactionOutput(amount: 399_000, scriptPubKey: .payToTaproot(outputKey)),
            ])
        var psbt = try PSBT(unsignedTransaction: transaction)
        for index in psbt.inputs.indices {
            psbt.inputs[index].witnessUTXO = TransactionOutput(
                amount: UInt64(1_000_000 / inputs), scriptPubKey: .payToTaproot(outputKey))
        }
        return psbt
    }

    /// The same payment, signed by the sample key with this number.
    static func signedPayment(by number: UInt8, inputs: Int = 1) throws -> PSBT {
        let key = try Self.secretKey(number)
        var psbt = try Self.payment(from: key.publicKey.xOnly, inputs: inputs)
        let sighashes = try SighashCache(psbt.unsignedTransaction, prevouts: try psbt.spentOutputs())
        for index in psbt.inputs.indices {
            let message = try sighashes.taprootSighash(input: index, type: .default)
            psbt.inputs[index].tapKeySignature = PSBT.TapSignature(try key.sign(message))
        }
        return psbt
    }
}
