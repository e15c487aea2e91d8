/// What one input adds to a transaction when it is signed, in bytes.
public struct InputSize: Hashable, Sendable {
    /// Length of the scriptSig, its own length not counted; 0 for native witness outputs.
    public let scriptSigByteCount: Int
    /// Encoded length of the whole witness, as `Witness.byteCount` gives it; 0 for an input without one.
    public let witnessByteCount: Int

    /// - Throws: `FeeError.inputSizeOutOfRange` below 0 and above `Transaction.byteCountMax`.
    public init(scriptSigByteCount: Int = 0, witnessByteCount: Int) throws(FeeError) {
        for count in [scriptSigByteCount, witnessByteCount] where !(0...Transaction.byteCountMax).contains(count) {
            throw .inputSizeOutOfRange(byteCount: count, limit: Transaction.byteCountMax)
        }
        self.init(checkedScriptSigByteCount: scriptSigByteCount, witnessByteCount: witnessByteCount)
    }

    private init(checkedScriptSigByteCount: Int, witnessByteCount: Int) {
        self.scriptSigByteCount = checkedScriptSigByteCount
        self.witnessByteCount = witnessByteCount
    }

    /// An input as it stands, with its scriptSig and witness.
    public init(of input: TransactionInput) {
        self.init(
            checkedScriptSigByteCount: input.scriptSig.bytes.count,
            witnessByteCount: input.witness.isEmpty ? 0 : input.witness.byteCount)
    }
}

// MARK: - Taproot inputs

extension InputSize {
    /// Length of a signature in a witness: 64 bytes, and one more for every sighash type but the default (BIP-341).
    public static func signatureByteCount(_ sighashType: SighashType) -> Int { sighashType == .default ? 64 : 65 }

    /// One signature, and nothing else.
    public static func taprootKeyPath(sighashType: SighashType = .default) -> InputSize {
        InputSize(checkedScriptSigByteCount: 0, witnessByteCount: Self.witnessByteCount([Self.signatureByteCount(sighashType)]))
    }

    /// What the script takes, the script, and a control block for a leaf this deep.
    static func taprootScriptPath(stackItemByteCounts: [Int], scriptByteCount: Int, leafDepth: Int) -> InputSize {
        let items = stackItemByteCounts + [scriptByteCount, 33 + 32 * leafDepth]
        return InputSize(checkedScriptSigByteCount: 0, witnessByteCount: Self.witnessByteCount(items))
    }

    private static func witnessByteCount(_ items: [Int]) -> Int {
        items.reduce(CompactSize.byteCount(items.count)) { $0 + CompactSize.byteCountWithLength($1) }
    }
}

/// The size of a transaction that is not signed yet, exact to the byte.
public struct TransactionSize: Hashable, Sendable {
    /// Length in bytes without witness.
    public let baseByteCount: Int
    /// Length in bytes of what only the encoding with witnesses has, marker and flag included; 0 without any.
    public let witnessByteCount: Int

    public init(inputs: [InputSize], outputs: [TransactionOutput]) {
        let version = 4
        let lockTime = 4
        let inputsByteCount = inputs.reduce(CompactSize.byteCount(inputs.count)) {
            $0 + OutPoint.byteCount + CompactSize.byteCountWithLength($1.scriptSigByteCount) + 4
        }
        let outputsByteCount = outputs.reduce(CompactSize.byteCount(outputs.count)) { $0 + $1.byteCount }
        self.baseByteCount = version + inputsByteCount + outputsByteCount + lockTime
        // Beside an input with a witness, one without still says that it has no items. Marker and flag are witness too.
        let hasWitness = inputs.contains { $0.witnessByteCount > 0 }
        self.witnessByteCount = hasWitness ? inputs.reduce(2) { $0 + max(1, $1.witnessByteCount) } : 0
    }

    /// Length in bytes of the signed transaction.
    public var byteCount: Int { self.baseByteCount + self.witnessByteCount }

    /// Weight units: a byte of the witness counts one, every other byte four (BIP-141).
    public var weight: Int { self.baseByteCount * 4 + self.witnessByteCount }

    /// Virtual bytes, by which fees are counted: a quarter of the weight, rounded up.
    public var virtualSize: Int { (self.weight + 3) / 4 }
}
