import Bitcoin
import CryptoPrimitives
import Secp256k1

/// What signatures of the kinds before Taproot sign, with SIGHASH_ALL. For tests: nothing of the product makes or verifies such ones.
enum EarlierSighash {
    static let all: UInt32 = 1

    /// Before segwit: the double hash of the transaction with the script in the signed input's place and nothing in the others'
    /// (`SignatureHash` in Bitcoin Core's `script/interpreter.cpp`).
    static func legacy(_ transaction: Transaction, input: Int, script: Script) -> Bytes32 {
        var signed = transaction
        for index in signed.inputs.indices { signed.inputs[index].scriptSig = index == input ? script : Script([]) }
        var writer = ByteWriter()
        writer.write(signed.serializedWithoutWitness())
        writer.writeUInt32(Self.all)
        return SHA256.doubleHash(writer.bytes)
    }

    /// Version 0 of segwit (BIP-143, "Specification").
    static func segwit(_ transaction: Transaction, input: Int, script: Script, amount: UInt64) -> Bytes32 {
        func hash(_ write: (inout ByteWriter) -> Void) -> Bytes32 {
            var writer = ByteWriter()
            write(&writer)
            return SHA256.doubleHash(writer.bytes)
        }
        func write(_ outPoint: OutPoint, to writer: inout ByteWriter) {
            writer.write(outPoint.txid.hash)
            writer.writeUInt32(outPoint.index)
        }
        return hash { writer in
            writer.writeUInt32(transaction.version)
            writer.write(hash { writer in for input in transaction.inputs { write(input.previousOutput, to: &writer) } })
            writer.write(hash { writer in for input in transaction.inputs { writer.writeUInt32(input.sequence) } })
            write(transaction.inputs[input].previousOutput, to: &writer)
            writer.writeVariableBytes(script.bytes)
            writer.writeUInt64(amount)
            writer.writeUInt32(transaction.inputs[input].sequence)
            writer.write(hash { writer in for output in transaction.outputs { writer.write(output.serialized()) } })
            writer.writeUInt32(transaction.lockTime)
            writer.writeUInt32(Self.all)
        }
    }
}

extension PSBT {
    /// What the signers of an input sign that is spent by a witness script or else by a redeem script, with SIGHASH_ALL.
    ///
    /// - Returns: the hash, and the script that the keys stand in; `nil` for inputs of other kinds.
    func earlierSighash(ofInput index: Int) throws -> (hash: Bytes32, script: Script)? {
        let transaction = self.unsignedTransaction
        if let script = self.inputs[index].witnessScript {
            let coin = try self.spentOutput(ofInput: index)
            return (EarlierSighash.segwit(transaction, input: index, script: script, amount: coin.amount), script)
        }
        return self.inputs[index].redeemScript.map { (EarlierSighash.legacy(transaction, input: index, script: $0), $0) }
    }
}

extension PSBT.ECDSASignature {
    /// Whether it signs the hash with SIGHASH_ALL, as libsecp256k1 says.
    func isValid(for hash: Bytes32, by key: PSBT.ECDSAPublicKey) throws -> Bool {
        let signature = try ECDSASignature(parsingDER: self.bytes.dropLast())
        return try UInt32(self.sighashType) == EarlierSighash.all && signature.isValid(for: hash, by: PublicKey(parsing: key.bytes))
    }
}
