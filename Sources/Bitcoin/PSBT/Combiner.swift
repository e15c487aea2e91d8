import CryptoPrimitives

extension PSBT {
    /// All that several PSBTs of one transaction know, in one (BIP-174, "Combiner").
    ///
    /// The order does not matter, and neither does giving one twice.
    ///
    /// - Throws: `differentTransactions`; `conflictingContributions`, which names the signer, when two different nonces or signatures
    ///   stand under one key of an input; `conflictingValues` for any other field with two values; `nothingToCombine`; `tooLong`,
    ///   `tooManyFields` and `tooManyItems` where together they are more than is read of one PSBT.
    public init(combining psbts: some Collection<PSBT>) throws(PSBTError) {
        guard var combined = psbts.first else { throw .nothingToCombine }
        for psbt in psbts.dropFirst() { try combined.merge(psbt) }
        if psbts.count > 1 { try combined.checkBounds() }
        self = combined
    }

    /// Takes in what another PSBT of the same transaction knows. After an error this one is as it was.
    ///
    /// - Throws: as `init(combining:)`.
    public mutating func combine(with other: PSBT) throws(PSBTError) {
        var combined = self
        try combined.merge(other)
        try combined.checkBounds()
        self = combined
    }

    /// After an error this one is as it was.
    private mutating func merge(_ other: PSBT) throws(PSBTError) {
        guard self.unsignedTransaction == other.unsignedTransaction else {
            throw .differentTransactions(self.unsignedTransaction.txid, other.unsignedTransaction.txid)
        }
        var combined = self
        // Both are 0 where they are stated.
        combined.statedVersion = self.statedVersion ?? other.statedVersion

        let global = FieldMerger(map: .global)
        try global.merge(&combined.extendedPublicKeys, other.extendedPublicKeys, .global(.extendedPublicKey)) { $0.bytes }
        try global.merge(&combined.proprietary, other.proprietary, .global(.proprietary)) { $0.serialized }
        try global.merge(unknown: &combined.unknown, other.unknown)
        for index in self.inputs.indices { try combined.inputs[index].merge(other.inputs[index], index: index) }
        for index in self.outputs.indices { try combined.outputs[index].merge(other.outputs[index], index: index) }
        self = combined
    }
}

extension PSBT.Input {
    fileprivate mutating func merge(_ other: PSBT.Input, index: Int) throws(PSBTError) {
        let merger = FieldMerger(map: .input(index))
        try self.mergeNonWitnessUTXO(other, merger)
        try merger.merge(&self.witnessUTXO, other.witnessUTXO, .input(.witnessUTXO))
        // A key may sign ECDSA twice with different nonces and harm nobody; a combiner may choose (BIP-174), and chooses so that the
        // order of the PSBTs does not matter.
        self.partialSignatures.merge(other.partialSignatures) { $0.bytes.lexicographicallyPrecedes($1.bytes) ? $0 : $1 }
        try merger.merge(&self.sighashType, other.sighashType, .input(.sighashType))
        try merger.merge(&self.redeemScript, other.redeemScript, .input(.redeemScript))
        try merger.merge(&self.witnessScript, other.witnessScript, .input(.witnessScript))
        try merger.merge(&self.bip32Derivations, other.bip32Derivations, .input(.bip32Derivation)) { $0.bytes }
        try merger.merge(&self.finalScriptSig, other.finalScriptSig, .input(.finalScriptSig))
        try merger.merge(&self.finalScriptWitness, other.finalScriptWitness, .input(.finalScriptWitness))
        try merger.merge(
            &self.proofOfReservesCommitment, other.proofOfReservesCommitment, .input(.proofOfReservesCommitment))
        // Both preimages of one hash are right; no two are known, and if there were, either would do.
        self.preimages.merge(other.preimages) { $0.lexicographicallyPrecedes($1) ? $0 : $1 }

        try merger.merge(&self.tapKeySignature, other.tapKeySignature, .input(.tapKeySignature))
        try merger.mergeContributions(&self.tapScriptSignatures, other.tapScriptSignatures, .tapScriptSignature) {
            (keyData: $0.serialized, signer: $0.key.bytes.bytes)
        }
        try merger.merge(&self.tapLeafScripts, other.tapLeafScripts, .input(.tapLeafScript)) { $0.serialized() }
        try merger.merge(&self.tapBIP32Derivations, other.tapBIP32Derivations, .input(.tapBIP32Derivation)) { $0.bytes.bytes }
        try merger.merge(&self.tapInternalKey, other.tapInternalKey, .input(.tapInternalKey))
        try merger.merge(&self.tapMerkleRoot, other.tapMerkleRoot, .input(.tapMerkleRoot))

        try merger.merge(&self.musig2Participants, other.musig2Participants, .input(.musig2ParticipantPublicKeys)) { $0.bytes }
        try merger.mergeContributions(&self.musig2PublicNonces, other.musig2PublicNonces, .musig2PublicNonce) {
            (keyData: $0.serialized, signer: $0.participant.bytes)
        }
        try merger.mergeContributions(&self.musig2PartialSignatures, other.musig2PartialSignatures, .musig2PartialSignature) {
            (keyData: $0.serialized, signer: $0.participant.bytes)
        }
        try merger.merge(&self.proprietary, other.proprietary, .input(.proprietary)) { $0.serialized }
        try merger.merge(unknown: &self.unknown, other.unknown)
    }

    /// The previous transaction may come with its witnesses or without; both have the same txid, and the fuller one is kept.
    private mutating func mergeNonWitnessUTXO(_ other: PSBT.Input, _ merger: FieldMerger) throws(PSBTError) {
        guard let mine = self.nonWitnessUTXO, let theirs = other.nonWitnessUTXO, mine != theirs,
            mine.hasWitness != theirs.hasWitness
        else { return try merger.merge(&self.nonWitnessUTXO, other.nonWitnessUTXO, .input(.nonWitnessUTXO)) }
        self.nonWitnessUTXO = mine.hasWitness ? mine : theirs
    }
}

extension PSBT.Output {
    fileprivate mutating func merge(_ other: PSBT.Output, index: Int) throws(PSBTError) {
        let merger = FieldMerger(map: .output(index))
        try merger.merge(&self.redeemScript, other.redeemScript, .output(.redeemScript))
        try merger.merge(&self.witnessScript, other.witnessScript, .output(.witnessScript))
        try merger.merge(&self.bip32Derivations, other.bip32Derivations, .output(.bip32Derivation)) { $0.bytes }
        try merger.merge(&self.tapInternalKey, other.tapInternalKey, .output(.tapInternalKey))
        try merger.merge(&self.tapTree, other.tapTree, .output(.tapTree))
        try merger.merge(&self.tapBIP32Derivations, other.tapBIP32Derivations, .output(.tapBIP32Derivation)) { $0.bytes.bytes }
        try merger.merge(&self.musig2Participants, other.musig2Participants, .output(.musig2ParticipantPublicKeys)) { $0.bytes }
        try merger.merge(&self.proprietary, other.proprietary, .output(.proprietary)) { $0.serialized }
        try merger.merge(unknown: &self.unknown, other.unknown)
    }
}

/// Puts two values of one field of one map together, or names the conflict.
private struct FieldMerger {
    let map: PSBT.Map

    func merge<Value: Equatable>(_ mine: inout Value?, _ theirs: Value?, _ field: PSBT.Field) throws(PSBTError) {
        guard let theirs else { return }
        guard mine == nil || mine == theirs else { throw .conflictingValues(self.map, field, keyData: []) }
        mine = theirs
    }

    func merge<Key: Hashable, Value: Equatable>(
        _ mine: inout [Key: Value], _ theirs: [Key: Value], _ field: PSBT.Field, keyData: (Key) -> [UInt8]
    ) throws(PSBTError) {
        if let conflict = Self.firstConflict(mine, theirs, keyData) {
            throw .conflictingValues(self.map, field, keyData: keyData(conflict))
        }
        mine.merge(theirs) { mine, _ in mine }
    }

    func merge(unknown mine: inout [PSBT.UnknownKey: [UInt8]], _ theirs: [PSBT.UnknownKey: [UInt8]]) throws(PSBTError) {
        if let conflict = Self.firstConflict(mine, theirs, { $0.keyType.bigEndianBytes + $0.keyData }) {
            throw .conflictingValues(self.map, .unknown(keyType: conflict.keyType), keyData: conflict.keyData)
        }
        mine.merge(theirs) { mine, _ in mine }
    }

    /// The same for what stands under a signer's name, which is then told. Nothing here is signed by that signer, so it is not blamed.
    func mergeContributions<Key: Hashable, Value: Equatable>(
        _ mine: inout [Key: Value], _ theirs: [Key: Value], _ field: PSBT.InputField,
        names: (Key) -> (keyData: [UInt8], signer: [UInt8])
    ) throws(PSBTError) {
        if let conflict = Self.firstConflict(mine, theirs, { names($0).keyData }) {
            guard case .input(let index) = self.map else { preconditionFailure("only inputs hold contributions") }
            throw .conflictingContributions(signer: names(conflict).signer, input: index, field)
        }
        mine.merge(theirs) { mine, _ in mine }
    }

    /// The conflict with the least key, so that the error does not depend on a dictionary's order.
    private static func firstConflict<Key: Hashable, Value: Equatable>(
        _ mine: [Key: Value], _ theirs: [Key: Value], _ keyData: (Key) -> [UInt8]
    ) -> Key? {
        theirs.filter { key, value in mine[key].map { $0 != value } ?? false }.keys
            .min { keyData($0).lexicographicallyPrecedes(keyData($1)) }
    }
}

extension UInt64 {
    fileprivate var bigEndianBytes: [UInt8] { withUnsafeBytes(of: self.bigEndian) { Array($0) } }
}
