/// An amount, and the script that says who may spend it.
public struct TransactionOutput: Hashable, Sendable {
    /// Most that an output, or all of a transaction's outputs together, may hold, in satoshi: 21 million bitcoin.
    ///
    /// Source: consensus (`MAX_MONEY`). Decoding does not check it, for an encoding with more is still an encoding.
    public static let amountMax: UInt64 = 2_100_000_000_000_000

    /// Satoshi.
    public var amount: UInt64
    public var scriptPubKey: Script

    public init(amount: UInt64, scriptPubKey: Script) {
        self.amount = amount
        self.scriptPubKey = scriptPubKey
    }
}

extension TransactionOutput {
    /// The fewest bytes an output can take: amount, empty script.
    static let byteCountMin = 8 + 1

    /// An output by itself, as PSBT_IN_WITNESS_UTXO holds it (BIP-174).
    ///
    /// - Throws: `ByteDecodingError` for anything but one whole output, its length limit `Transaction.byteCountMax`.
    public init(parsing bytes: [UInt8]) throws(ByteDecodingError) {
        guard bytes.count <= Transaction.byteCountMax else {
            throw .tooLarge(field: "output", offset: 0, value: UInt64(bytes.count), limit: UInt64(Transaction.byteCountMax))
        }
        var reader = ByteReader(bytes)
        try self.init(from: &reader)
        try reader.finish()
    }

    public func serialized() -> [UInt8] {
        var writer = ByteWriter(capacity: self.byteCount)
        self.write(to: &writer)
        return writer.bytes
    }

    /// Encoded length in bytes.
    public var byteCount: Int { 8 + CompactSize.byteCountWithLength(self.scriptPubKey.bytes.count) }

    init(from reader: inout ByteReader) throws(ByteDecodingError) {
        self.amount = try reader.readUInt64("amount")
        self.scriptPubKey = Script(try reader.readVariableBytes("scriptPubKey"))
    }

    func write(to writer: inout ByteWriter) {
        writer.writeUInt64(self.amount)
        writer.writeVariableBytes(self.scriptPubKey.bytes)
    }
}
