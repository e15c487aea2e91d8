import CryptoPrimitives

/// A transaction made ready for signing: the hashes that all of its inputs share are computed once (BIP-341, "Common signature message").
///
/// So hashing every one of n inputs costs work in proportion to n. A value: share it among tasks as you like.
public struct SighashCache: Sendable {
    public let transaction: Transaction
    /// The output that each input spends, in the order of the inputs.
    public let prevouts: [TransactionOutput]

    // The names are BIP-341's.
    public let shaPrevouts: Bytes32
    public let shaAmounts: Bytes32
    public let shaScriptPubKeys: Bytes32
    public let shaSequences: Bytes32
    public let shaOutputs: Bytes32

    /// - Throws: `SighashError.prevoutCount` unless there is one spent output for each input.
    public init(_ transaction: Transaction, prevouts: [TransactionOutput]) throws(SighashError) {
        guard prevouts.count == transaction.inputs.count else {
            throw .prevoutCount(inputs: transaction.inputs.count, prevouts: prevouts.count)
        }
        self.transaction = transaction
        self.prevouts = prevouts
        self.shaPrevouts = Self.hash { writer in
            for input in transaction.inputs { input.previousOutput.write(to: &writer) }
        }
        self.shaAmounts = Self.hash { writer in
            for prevout in prevouts { writer.writeUInt64(prevout.amount) }
        }
        self.shaScriptPubKeys = Self.hash { writer in
            for prevout in prevouts { writer.writeVariableBytes(prevout.scriptPubKey.bytes) }
        }
        self.shaSequences = Self.hash { writer in
            for input in transaction.inputs { writer.writeUInt32(input.sequence) }
        }
        self.shaOutputs = Self.hash { writer in
            for output in transaction.outputs { output.write(to: &writer) }
        }
    }

    private static func hash(_ write: (inout ByteWriter) -> Void) -> Bytes32 {
        var writer = ByteWriter()
        write(&writer)
        return SHA256.hash(writer.bytes)
    }
}

// MARK: - The hash to sign

extension SighashCache {
    /// No `OP_CODESEPARATOR` has been executed (BIP-342).
    public static let noCodeSeparator: UInt32 = 0xffff_ffff

    private static let tapSighash = SHA256.tagged("TapSighash")

    /// The 32 bytes that a signature for one input signs.
    ///
    /// - Parameters:
    ///   - input: the input's position, from 0.
    ///   - type: what the signature covers.
    ///   - leaf: the executed leaf for a script path spend; `nil` for the key path.
    ///   - codeSeparatorPosition: the position of the last executed `OP_CODESEPARATOR`, counted in instructions; read
    ///     for a script path spend only (BIP-342).
    ///   - annex: the annex with its first byte, 0x50, if the input's witness will have one.
    /// - Throws: `SighashError`, which names the input and what is wrong.
    public func taprootSighash(
        input: Int, type: SighashType, leaf: TapLeafHash? = nil, codeSeparatorPosition: UInt32 = Self.noCodeSeparator, annex: [UInt8]? = nil
    ) throws(SighashError) -> Bytes32 {
        let message = try self.taprootMessage(
            input: input, type: type, leaf: leaf, codeSeparatorPosition: codeSeparatorPosition, annex: annex)
        var hash = Self.tapSighash
        hash.update(message)
        return hash.finalize()
    }

    /// What `taprootSighash` hashes: the epoch 0, BIP-341's SigMsg and, for a script path, BIP-342's extension. At most 244 bytes.
    func taprootMessage(
        input index: Int, type: SighashType, leaf: TapLeafHash?, codeSeparatorPosition: UInt32, annex: [UInt8]?
    ) throws(SighashError) -> [UInt8] {
        guard self.transaction.inputs.indices.contains(index) else {
            throw .inputOutOfRange(input: index, inputs: self.transaction.inputs.count)
        }
        guard annex == nil || annex?.first == Self.annexPrefix else { throw .annexWithoutPrefix(input: index) }
        let input = self.transaction.inputs[index]

        var writer = ByteWriter(capacity: 244)
        writer.writeUInt8(Self.epoch)
        writer.writeUInt8(type.rawValue)
        writer.writeUInt32(self.transaction.version)
        writer.writeUInt32(self.transaction.lockTime)
        if !type.anyoneCanPay {
            writer.write(self.shaPrevouts)
            writer.write(self.shaAmounts)
            writer.write(self.shaScriptPubKeys)
            writer.write(self.shaSequences)
        }
        if type.outputs == .all { writer.write(self.shaOutputs) }

        writer.writeUInt8((leaf == nil ? 0 : 2) | (annex == nil ? 0 : 1))
        if type.anyoneCanPay {
            input.previousOutput.write(to: &writer)
            self.prevouts[index].write(to: &writer)
            writer.writeUInt32(input.sequence)
        } else {
            writer.writeUInt32(UInt32(truncatingIfNeeded: index))
        }
        if let annex { writer.write(Self.hash { $0.writeVariableBytes(annex) }) }
        if type.outputs == .single {
            guard self.transaction.outputs.indices.contains(index) else {
                throw .singleWithoutOutput(input: index, outputs: self.transaction.outputs.count)
            }
            writer.write(SHA256.hash(self.transaction.outputs[index].serialized()))
        }
        if let leaf {
            writer.write(leaf.hash)
            writer.writeUInt8(Self.keyVersion)
            writer.writeUInt32(codeSeparatorPosition)
        }
        return writer.bytes
    }

    /// First byte of an annex (BIP-341, "Script validation rules").
    private static let annexPrefix: UInt8 = 0x50
    /// Source: BIP-341, footnote on the hash's first byte.
    private static let epoch: UInt8 = 0
    /// The version of the public keys in a tapscript (BIP-342).
    private static let keyVersion: UInt8 = 0
}

extension Transaction {
    /// The hash to sign for one input. For many inputs of one transaction make one `SighashCache`.
    ///
    /// - Throws: `SighashError`, which names the input and what is wrong.
    public func taprootSighash(
        input: Int, prevouts: [TransactionOutput], type: SighashType, leaf: TapLeafHash? = nil,
        codeSeparatorPosition: UInt32 = SighashCache.noCodeSeparator, annex: [UInt8]? = nil
    ) throws(SighashError) -> Bytes32 {
        try SighashCache(self, prevouts: prevouts).taprootSighash(
            input: input, type: type, leaf: leaf, codeSeparatorPosition: codeSeparatorPosition, annex: annex)
    }
}
