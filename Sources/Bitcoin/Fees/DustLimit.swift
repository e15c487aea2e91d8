extension Script {
    /// The least amount in satoshi at which nodes relay an output with this scriptPubKey: less costs more to spend than a third
    /// of it. 330 for Taproot and P2WSH, 294 for P2WPKH, 540 for P2SH, 546 for P2PKH, 0 for what nobody can spend.
    ///
    /// Source: `GetDustThreshold` in Bitcoin Core's `policy/policy.cpp`, at its default dust relay fee of 3 sat/vB.
    public var dustLimit: UInt64 {
        if self.isUnspendable { return 0 }
        // Outpoint, lengths, sequence, and a signature with its key; a quarter of the latter where it is witness.
        let spendingByteCount = self.witnessProgram == nil ? 36 + 4 + 1 + 107 : 36 + 4 + 1 + 107 / 4
        let byteCount = TransactionOutput(amount: 0, scriptPubKey: self).byteCount + spendingByteCount
        return UInt64(byteCount) * Self.dustSatoshisPerByte
    }

    /// Whether nobody can ever spend an output with this scriptPubKey: it begins with `OP_RETURN`, or is too long to run.
    ///
    /// Source: `IsUnspendable` in Bitcoin Core's `script/script.h`.
    public var isUnspendable: Bool {
        if case .dataCarrier = self.kind { return true }
        return self.bytes.count > Self.spendableByteCountMax
    }

    private static let dustSatoshisPerByte: UInt64 = 3

    /// Longest script outside of Taproot that can run, in bytes.
    ///
    /// Source: consensus, `MAX_SCRIPT_SIZE` in Bitcoin Core's `script/script.h`.
    static let spendableByteCountMax = 10_000
}

extension TransactionOutput {
    /// Whether nodes would not relay the output for holding too little.
    public var isDust: Bool { self.amount < self.scriptPubKey.dustLimit }
}
