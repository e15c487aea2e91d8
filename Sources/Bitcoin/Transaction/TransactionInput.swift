/// What an input shows to be allowed to spend, outside of the txid (BIP-141): a stack of byte strings.
public struct Witness: Hashable, Sendable {
    /// The stack, its bottom first.
    public var items: [[UInt8]]

    public init(_ items: [[UInt8]] = []) { self.items = items }

    public var isEmpty: Bool { self.items.isEmpty }
}

extension Witness {
    /// The encoding of one witness by itself: a count, then each item with its length.
    ///
    /// PSBT_IN_FINAL_SCRIPTWITNESS holds these bytes (BIP-174).
    ///
    /// - Throws: `ByteDecodingError` for anything but one whole witness, its length limit `Transaction.byteCountMax`.
    public init(parsing bytes: [UInt8]) throws(ByteDecodingError) {
        var allowance = ItemAllowance.unlimited
        try self.init(parsing: bytes, items: &allowance)
    }

    /// The same, its items taken off an allowance.
    init(parsing bytes: [UInt8], items allowance: inout ItemAllowance) throws(ByteDecodingError) {
        guard bytes.count <= Transaction.byteCountMax else {
            throw .tooLarge(field: "witness", offset: 0, value: UInt64(bytes.count), limit: UInt64(Transaction.byteCountMax))
        }
        var reader = ByteReader(bytes)
        try self.init(from: &reader, items: &allowance)
        try reader.finish()
    }

    public func serialized() -> [UInt8] {
        var writer = ByteWriter(capacity: self.byteCount)
        self.write(to: &writer)
        return writer.bytes
    }

    /// Encoded length in bytes.
    public var byteCount: Int {
        self.items.reduce(CompactSize.byteCount(self.items.count)) { $0 + CompactSize.byteCountWithLength($1.count) }
    }

    init(from reader: inout ByteReader, items allowance: inout ItemAllowance) throws(ByteDecodingError) {
        let offset = reader.offset
        let count = try reader.readCount("witness item count", minimumByteCount: 1)
        guard allowance.take(count) else {
            let value = UInt64(clamping: allowance.takenCount) + UInt64(clamping: count)
            throw .tooLarge(field: "count of all witness items", offset: offset, value: value, limit: UInt64(allowance.countMax))
        }
        var items: [[UInt8]] = []
        for _ in 0..<count { items.append(try reader.readVariableBytes("witness item")) }
        self.items = items
    }

    func write(to writer: inout ByteWriter) {
        writer.writeCompactSize(self.items.count)
        for item in self.items { writer.writeVariableBytes(item) }
    }
}

/// One coin that a transaction spends.
public struct TransactionInput: Hashable, Sendable {
    /// The `sequence` that asks for nothing: no relative lock time, no replacement.
    public static let sequenceFinal: UInt32 = 0xffff_ffff

    public var previousOutput: OutPoint
    /// Empty for native witness outputs.
    public var scriptSig: Script
    /// Lock times and replacement (BIPs 68 and 125).
    public var sequence: UInt32
    public var witness: Witness

    public init(
        previousOutput: OutPoint, scriptSig: Script = Script(), sequence: UInt32 = Self.sequenceFinal, witness: Witness = Witness()
    ) {
        self.previousOutput = previousOutput
        self.scriptSig = scriptSig
        self.sequence = sequence
        self.witness = witness
    }
}

extension TransactionInput {
    /// The fewest bytes an input can take: outpoint, empty scriptSig, sequence.
    static let byteCountMin = OutPoint.byteCount + 1 + 4

    /// Encoded length in bytes, its witness not counted.
    var baseByteCount: Int { OutPoint.byteCount + CompactSize.byteCountWithLength(self.scriptSig.bytes.count) + 4 }

    /// Reads all but the witness, which stands elsewhere in the encoding.
    init(from reader: inout ByteReader) throws(ByteDecodingError) {
        self.previousOutput = try OutPoint(from: &reader)
        self.scriptSig = Script(try reader.readVariableBytes("scriptSig"))
        self.sequence = try reader.readUInt32("sequence")
        self.witness = Witness()
    }

    func write(to writer: inout ByteWriter) {
        self.previousOutput.write(to: &writer)
        writer.writeVariableBytes(self.scriptSig.bytes)
        writer.writeUInt32(self.sequence)
    }
}
