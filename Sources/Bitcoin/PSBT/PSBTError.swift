import CryptoPrimitives
import Secp256k1

/// Why bytes are no PSBT, or why a step with a PSBT is refused: in which map, about which field, and what is wrong.
public enum PSBTError: Error, Equatable, Sendable {
    // MARK: The frame

    /// The bytes do not start with "psbt" and 0xff.
    case notAPSBT
    /// The text is not Base64.
    case notBase64(Base64Error)
    /// Longer than `PSBT.byteCountMax`.
    case tooLong(byteCount: Int)
    /// The transaction has more inputs than `PSBT.inputCountMax`.
    case tooManyInputs(Int)
    /// The transaction has more outputs than `PSBT.outputCountMax`.
    case tooManyOutputs(Int)
    /// The maps hold more than `PSBT.fieldCountMax` fields.
    case tooManyFields
    /// Put together, the maps hold more than `PSBT.itemCountMax` witness items and leaves of trees.
    case tooManyItems
    /// A map breaks off, or a length in it is not canonical.
    case malformed(PSBT.Map, ByteDecodingError)
    /// One key stands twice in one map.
    case duplicateKey(PSBT.Map, PSBT.Field, keyData: [UInt8])
    /// Bytes follow the last map.
    case trailingBytes(count: Int)
    /// PSBT_GLOBAL_VERSION names a version other than 0.
    case unsupportedVersion(UInt32)
    /// PSBT_GLOBAL_UNSIGNED_TX is missing.
    case unsignedTransactionMissing
    /// The transaction in a PSBT must be bare, and this input has a scriptSig or a witness.
    case unsignedTransactionIsSigned(input: Int)

    // MARK: Fields

    /// A field is not as its BIP says.
    case invalidField(PSBT.Map, PSBT.Field, PSBT.Flaw)
    /// Two PSBTs, or a PSBT and an update, give one field two values.
    case conflictingValues(PSBT.Map, PSBT.Field, keyData: [UInt8])
    /// Two different nonces or signatures stand under one signer's name in one input. `signer` is the signer's public key as it stands
    /// in the field's key. It proves nothing: whoever had the PSBT in hand can have written either one.
    case conflictingContributions(signer: [UInt8], input: Int, PSBT.InputField)

    // MARK: Roles

    /// Only PSBTs of the same unsigned transaction can be combined.
    case differentTransactions(Txid, Txid)
    /// There is nothing to combine.
    case nothingToCombine
    /// The PSBT has no input, or no output, with this index.
    case noSuchMap(PSBT.Map)
    /// Neither UTXO field tells what this input spends.
    case utxoMissing(input: Int)
    /// The two UTXO fields of this input tell different outputs.
    case utxosDisagree(input: Int)
    /// The amounts that are spent, or those that are paid, exceed 21 million bitcoin.
    case amountsTooLarge
    /// More is paid than is spent.
    case outputsExceedInputs(spent: UInt64, paid: UInt64)
    /// The signer's checks refuse this input.
    case notSignable(input: Int, PSBT.SigningObstacle)
    /// This input cannot be made final.
    case notFinalizable(input: Int, PSBT.FinalizingObstacle)
    /// The input has neither a final scriptSig nor a final scriptWitness.
    case notFinal(input: Int)
}

extension PSBTError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notAPSBT:
            "this is no PSBT: its first bytes are not the PSBT magic; check that the right file was given"
        case .notBase64(let error):
            "the PSBT's text is damaged: \(error)"
        case .tooLong(let count):
            "the PSBT has \(count) bytes, above the limit of \(PSBT.byteCountMax)"
        case .tooManyInputs(let count):
            "the transaction has \(count) inputs, above the limit of \(PSBT.inputCountMax); split it"
        case .tooManyOutputs(let count):
            "the transaction has \(count) outputs, above the limit of \(PSBT.outputCountMax); split it"
        case .tooManyFields:
            "the PSBT has more than \(PSBT.fieldCountMax) fields; ask its sender to leave out what signing does not need"
        case .tooManyItems:
            "the PSBT has more than \(PSBT.itemCountMax) witness items and leaves of trees; leave out what signing does not need"
        case .malformed(let map, let error):
            "\(map): \(error)"
        case .duplicateKey(let map, let field, let keyData):
            "\(map): \(field)\(Self.named(keyData)) stands there twice; ask its sender for a PSBT without the repetition"
        case .trailingBytes(let count):
            "\(count) bytes follow the last map of the PSBT; it was joined with something else"
        case .unsupportedVersion(let version):
            "the PSBT states version \(version), and only version 0 is read here; convert it to version 0 (BIP-174)"
        case .unsignedTransactionMissing:
            "global map: PSBT_GLOBAL_UNSIGNED_TX is missing, so there is nothing to sign"
        case .unsignedTransactionIsSigned(let input):
            "global map: input \(input) of PSBT_GLOBAL_UNSIGNED_TX has a scriptSig or a witness; the transaction must come without"
        case .invalidField(let map, let field, let flaw):
            "\(map): \(field) \(flaw)"
        case .conflictingValues(let map, let field, let keyData):
            "\(map): \(field)\(Self.named(keyData)) has two different values; find out which one is right and drop the other"
        case .conflictingContributions(let signer, let input, let field):
            """
            input \(input): two different values of \(field.name) stand under the name of signer \(Self.hex(signer)), which proves nothing \
            against that signer: anybody who had the files can have written either; ask the signer, or start again with fresh contributions
            """
        case .differentTransactions(let first, let second):
            "the PSBTs are about different transactions, \(first) and \(second); only those of one transaction combine"
        case .nothingToCombine:
            "there is no PSBT to combine; give at least one"
        case .noSuchMap(let map):
            "the PSBT has no \(map)"
        case .utxoMissing(let input):
            "input \(input): the output it spends is not known; add PSBT_IN_WITNESS_UTXO or PSBT_IN_NON_WITNESS_UTXO"
        case .utxosDisagree(let input):
            "input \(input): PSBT_IN_WITNESS_UTXO is not the output that PSBT_IN_NON_WITNESS_UTXO holds; do not sign"
        case .amountsTooLarge:
            "the amounts add up to more than 21 million bitcoin; some UTXO or output is wrong"
        case .outputsExceedInputs(let spent, let paid):
            "the transaction pays \(paid) satoshi and spends only \(spent); lower the outputs or add inputs"
        case .notSignable(let input, let obstacle):
            "input \(input) must not be signed: \(obstacle)"
        case .notFinalizable(let input, let obstacle):
            "input \(input) cannot be finalized: \(obstacle)"
        case .notFinal(let input):
            "input \(input) is not final: it has no final scriptSig or scriptWitness; collect its signatures and finalize it"
        }
    }

    private static func named(_ keyData: [UInt8]) -> String { keyData.isEmpty ? "" : " (key \(Self.hex(keyData)))" }

    /// Bytes that a stranger may have chosen, and as many as the stranger liked: their first 40, more than a key has.
    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.count <= 40 ? Hex.encode(bytes) : Hex.encode(bytes.prefix(40)) + "… of \(bytes.count) bytes"
    }
}

extension PSBT {
    /// What is wrong with one field.
    public enum Flaw: Error, Equatable, Sendable {
        /// The key must consist of its type alone.
        case keyDataNotEmpty(byteCount: Int)
        case wrongKeyDataLength(expected: [Int], actual: Int)
        case wrongValueLength(expected: [Int], actual: Int)
        /// The value must be a whole number of elements.
        case valueNotMultiple(of: Int, actual: Int)
        /// An aggregate key has more than `PSBT.participantCountMax` participants.
        case tooManyParticipants(Int)
        case invalidPublicKey(KeyError)
        /// The value is no DER signature with its sighash type.
        case invalidSignatureEncoding
        case malformedKeyData(ByteDecodingError)
        case malformedValue(ByteDecodingError)
        case malformedTransaction(TransactionError)
        /// The previous transaction is not the one that the input names.
        case wrongTxid(expected: Txid, actual: Txid)
        /// The previous transaction has no output of the index that the input names.
        case noSuchOutput(index: UInt32, outputCount: Int)
        /// An extended key of this depth needs as many path elements.
        case wrongPathLength(depth: Int, actual: Int)
        /// The value does not hash to the key.
        case wrongPreimage
        /// A control block, leaf or tree that cannot be.
        case invalidTaproot(TaprootError)
        /// The field belongs to version 2 of the format.
        case notInVersion0
    }
}

extension PSBT.Flaw: CustomStringConvertible {
    public var description: String {
        switch self {
        case .keyDataNotEmpty(let count): "must have no key data, and has \(count) bytes of it"
        case .wrongKeyDataLength(let expected, let actual): "has a key of \(actual) bytes, and it takes \(Self.list(expected))"
        case .wrongValueLength(let expected, let actual): "has a value of \(actual) bytes, and it takes \(Self.list(expected))"
        case .valueNotMultiple(let unit, let actual): "has a value of \(actual) bytes, which is no multiple of \(unit)"
        case .tooManyParticipants(let count): "lists \(count) participants, more than the \(PSBT.participantCountMax) that are read"
        case .invalidPublicKey(let error): "holds an invalid public key: \(error)"
        case .invalidSignatureEncoding: "holds no DER-encoded signature with a sighash type after it"
        case .malformedKeyData(let error): "has a damaged key: \(error)"
        case .malformedValue(let error): "has a damaged value: \(error)"
        case .malformedTransaction(let error): "holds a damaged transaction: \(error)"
        case .wrongTxid(let expected, let actual): "holds transaction \(actual), but the input spends an output of \(expected)"
        case .noSuchOutput(let index, let count): "has \(count) outputs, and the input spends the one with index \(index)"
        case .wrongPathLength(let depth, let actual): "has a path of \(actual) elements for an extended key of depth \(depth)"
        case .wrongPreimage: "holds a preimage that does not hash to its key"
        case .invalidTaproot(let error): "is not valid: \(error)"
        case .notInVersion0: "belongs to PSBT version 2 and must not stand in version 0"
        }
    }

    private static func list(_ counts: [Int]) -> String { counts.map { "\($0)" }.joined(separator: " or ") }
}
