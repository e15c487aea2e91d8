/// Why bytes are not a transaction.
public enum TransactionError: Error, Equatable, Sendable {
    /// The encoding breaks off, is not canonical, is too long, or something follows it.
    case malformed(ByteDecodingError)
    /// A transaction spends at least one coin.
    case noInputs
    /// The byte after the witness marker is not 1, the only flag there is (BIP-144).
    case unknownFlag(UInt8)
    /// The witness encoding is used although no input has a witness: the same transaction would have two encodings.
    case superfluousWitness
}

extension TransactionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed(let error): "not a transaction: \(error)"
        case .noInputs: "the transaction has no inputs, so it spends nothing"
        case .unknownFlag(let flag): "the transaction's flag is \(flag); only 1, for a witness, is known (BIP-144)"
        case .superfluousWitness: "the transaction announces witnesses but has none; encode it without them"
        }
    }
}
