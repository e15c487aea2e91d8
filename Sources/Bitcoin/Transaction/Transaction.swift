import CryptoPrimitives

/// A Bitcoin transaction: coins in, amounts out.
public struct Transaction: Hashable, Sendable {
    public var version: UInt32
    public var inputs: [TransactionInput]
    public var outputs: [TransactionOutput]
    /// The block height or time before which the transaction is not valid; 0 for none.
    public var lockTime: UInt32

    public init(version: UInt32 = 2, inputs: [TransactionInput], outputs: [TransactionOutput], lockTime: UInt32 = 0) {
        self.version = version
        self.inputs = inputs
        self.outputs = outputs
        self.lockTime = lockTime
    }

    /// Whether any input has a witness; decides the encoding.
    public var hasWitness: Bool { self.inputs.contains { !$0.witness.isEmpty } }

    /// Whether every input is bare, without scriptSig and witness: what a PSBT's unsigned transaction must be (BIP-174).
    public var isUnsigned: Bool { self.inputs.allSatisfy { $0.scriptSig.bytes.isEmpty && $0.witness.isEmpty } }
}

// MARK: - Names

extension Transaction {
    public var txid: Txid { Txid(SHA256.doubleHash(self.serializedWithoutWitness())) }

    public var wtxid: Wtxid { Wtxid(SHA256.doubleHash(self.serialized())) }
}

// MARK: - Sizes

extension Transaction {
    /// Longest encoding that is read, in bytes.
    ///
    /// Source: a block weighs at most 4,000,000 units (BIP-141) and each byte at least one.
    public static let byteCountMax = 4_000_000

    /// Most weight units of a transaction that nodes pass on; a miner may still take a heavier one.
    ///
    /// Source: `MAX_STANDARD_TX_WEIGHT` in Bitcoin Core's `policy/policy.h`.
    public static let relayedWeightMax = 400_000

    /// Length in bytes without witness.
    public var baseByteCount: Int {
        4 + CompactSize.byteCount(self.inputs.count) + self.inputs.reduce(0) { $0 + $1.baseByteCount }
            + CompactSize.byteCount(self.outputs.count) + self.outputs.reduce(0) { $0 + $1.byteCount } + 4
    }

    /// Length in bytes of `serialized()`.
    public var byteCount: Int {
        guard self.hasWitness else { return self.baseByteCount }
        return self.baseByteCount + 2 + self.inputs.reduce(0) { $0 + $1.witness.byteCount }
    }

    /// Weight units: a byte of the witness counts one, every other byte four (BIP-141).
    public var weight: Int { self.baseByteCount * 3 + self.byteCount }

    /// Virtual bytes, by which fees are counted: a quarter of the weight, rounded up.
    public var virtualSize: Int { (self.weight + 3) / 4 }
}

// MARK: - Encoding

extension Transaction {
    /// The encoding that is sent over the network: BIP-144's when there is a witness, else the original one.
    public func serialized() -> [UInt8] { self.encoded(withWitness: self.hasWitness) }

    /// The original encoding, which the txid covers.
    public func serializedWithoutWitness() -> [UInt8] { self.encoded(withWitness: false) }

    private func encoded(withWitness: Bool) -> [UInt8] {
        var writer = ByteWriter(capacity: withWitness ? self.byteCount : self.baseByteCount)
        writer.writeUInt32(self.version)
        if withWitness {
            writer.writeUInt8(Self.witnessMarker)
            writer.writeUInt8(Self.witnessFlag)
        }
        writer.writeCompactSize(self.inputs.count)
        for input in self.inputs { input.write(to: &writer) }
        writer.writeCompactSize(self.outputs.count)
        for output in self.outputs { output.write(to: &writer) }
        if withWitness {
            for input in self.inputs { input.witness.write(to: &writer) }
        }
        writer.writeUInt32(self.lockTime)
        return writer.bytes
    }

    // BIP-144: the marker stands where the count of inputs would, and no transaction has zero of them.
    private static let witnessMarker: UInt8 = 0
    private static let witnessFlag: UInt8 = 1
}

// MARK: - Decoding

extension Transaction {
    /// Parses a whole transaction of at most `byteCountMax` bytes, with witness (BIP-144) or without.
    ///
    /// Encoding the result gives the same bytes again. Amounts and scripts are taken as they are.
    public init(parsing bytes: [UInt8]) throws(TransactionError) {
        var allowance = ItemAllowance.unlimited
        try self.init(parsing: bytes, items: &allowance)
    }

    /// The same, its witnesses' items taken off an allowance.
    init(parsing bytes: [UInt8], items allowance: inout ItemAllowance) throws(TransactionError) {
        var reader = try Self.reader(for: bytes)
        let (version, flag) = try Self.decoding { () throws(ByteDecodingError) in
            let version = try reader.readUInt32("version")
            guard reader.peek() == Self.witnessMarker else { return (version, UInt8?.none) }
            _ = try reader.readUInt8("witness marker")
            return (version, try reader.readUInt8("witness flag"))
        }
        // A flag of zero is no flag but the count of outputs of a transaction without inputs.
        guard flag != 0 else { throw .noInputs }
        if let flag, flag != Self.witnessFlag { throw .unknownFlag(flag) }
        self = try Self.decoding { () throws(ByteDecodingError) in
            try Transaction(bodyFrom: &reader, version: version, hasWitness: flag != nil, items: &allowance)
        }
        guard !self.inputs.isEmpty else { throw .noInputs }
        guard flag == nil || self.hasWitness else { throw .superfluousWitness }
    }

    /// Parses the original encoding only, in which a transaction without inputs can be told from a witness marker.
    ///
    /// A PSBT's unsigned transaction is written so (BIP-174); it may still have no inputs.
    public init(parsingWithoutWitness bytes: [UInt8]) throws(TransactionError) {
        var reader = try Self.reader(for: bytes)
        var allowance = ItemAllowance(0)
        self = try Self.decoding { () throws(ByteDecodingError) in
            let version = try reader.readUInt32("version")
            return try Transaction(bodyFrom: &reader, version: version, hasWitness: false, items: &allowance)
        }
    }

    /// Reads all that follows version, marker and flag, to the end of the bytes.
    private init(
        bodyFrom reader: inout ByteReader, version: UInt32, hasWitness: Bool, items allowance: inout ItemAllowance
    ) throws(ByteDecodingError) {
        self.version = version

        let inputCount = try reader.readCount("input count", minimumByteCount: TransactionInput.byteCountMin)
        self.inputs = []
        self.inputs.reserveCapacity(inputCount)
        for _ in 0..<inputCount { self.inputs.append(try TransactionInput(from: &reader)) }

        let outputCount = try reader.readCount("output count", minimumByteCount: TransactionOutput.byteCountMin)
        self.outputs = []
        self.outputs.reserveCapacity(outputCount)
        for _ in 0..<outputCount { self.outputs.append(try TransactionOutput(from: &reader)) }

        if hasWitness {
            for index in self.inputs.indices { self.inputs[index].witness = try Witness(from: &reader, items: &allowance) }
        }
        self.lockTime = try reader.readUInt32("lock time")
        try reader.finish()
    }

    private static func decoding<Value>(_ read: () throws(ByteDecodingError) -> Value) throws(TransactionError) -> Value {
        do throws(ByteDecodingError) { return try read() } catch { throw .malformed(error) }
    }

    private static func reader(for bytes: [UInt8]) throws(TransactionError) -> ByteReader {
        guard bytes.count <= Self.byteCountMax else {
            throw .malformed(
                .tooLarge(field: "transaction", offset: 0, value: UInt64(bytes.count), limit: UInt64(Self.byteCountMax)))
        }
        return ByteReader(bytes)
    }
}
