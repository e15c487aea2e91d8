import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// What a PSBT knows of one input of its transaction: one input map.
    ///
    /// Every property is one field or one kind of field; an absent one is `nil` or empty.
    public struct Input: Hashable, Sendable {
        // MARK: What is spent

        /// The whole previous transaction (PSBT_IN_NON_WITNESS_UTXO); its txid is the one that the input names.
        /// `PSBT.addNonWitnessUTXO` sets it.
        public internal(set) var nonWitnessUTXO: Transaction?
        /// The output that is spent, of a segwit or Taproot kind (PSBT_IN_WITNESS_UTXO).
        public var witnessUTXO: TransactionOutput?
        /// What signatures must cover (PSBT_IN_SIGHASH_TYPE); without it SIGHASH_ALL, for Taproot SIGHASH_DEFAULT.
        public var sighashType: UInt32?

        // MARK: ECDSA (BIP-174)

        /// Signatures by the key they are valid for (PSBT_IN_PARTIAL_SIG).
        public var partialSignatures: [ECDSAPublicKey: ECDSASignature] = [:]
        /// PSBT_IN_REDEEM_SCRIPT.
        public var redeemScript: Script?
        /// PSBT_IN_WITNESS_SCRIPT.
        public var witnessScript: Script?
        /// PSBT_IN_BIP32_DERIVATION.
        public var bip32Derivations: [ECDSAPublicKey: KeyOrigin] = [:]

        // MARK: The end

        /// PSBT_IN_FINAL_SCRIPTSIG.
        public var finalScriptSig: Script?
        /// PSBT_IN_FINAL_SCRIPTWITNESS.
        public var finalScriptWitness: Witness?

        // MARK: Others of BIP-174

        /// A proof-of-reserves commitment, UTF-8 (PSBT_IN_POR_COMMITMENT, BIP-127).
        public var proofOfReservesCommitment: [UInt8]?
        /// Preimages by their hash (PSBT_IN_RIPEMD160, PSBT_IN_SHA256, PSBT_IN_HASH160, PSBT_IN_HASH256).
        /// `PSBT.addPreimage` sets them.
        public internal(set) var preimages: [HashLock: [UInt8]] = [:]

        // MARK: Taproot (BIP-371)

        /// PSBT_IN_TAP_KEY_SIG.
        public var tapKeySignature: TapSignature?
        /// PSBT_IN_TAP_SCRIPT_SIG.
        public var tapScriptSignatures: [TapScriptSigner: TapSignature] = [:]
        /// Leaves that the signers may sign for, by their control block (PSBT_IN_TAP_LEAF_SCRIPT).
        public var tapLeafScripts: [ControlBlock: TapLeaf] = [:]
        /// PSBT_IN_TAP_BIP32_DERIVATION.
        public var tapBIP32Derivations: [XOnlyPublicKey: TapKeyOrigin] = [:]
        /// PSBT_IN_TAP_INTERNAL_KEY.
        public var tapInternalKey: XOnlyPublicKey?
        /// PSBT_IN_TAP_MERKLE_ROOT.
        public var tapMerkleRoot: Bytes32?

        // MARK: MuSig2 (BIP-373)

        /// Participants, in the order of aggregation, by their aggregate key (PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS).
        public var musig2Participants: [PublicKey: [PublicKey]] = [:]
        /// Public nonces, 66 bytes each (PSBT_IN_MUSIG2_PUB_NONCE). `PSBT.addMuSig2PublicNonce` sets them.
        public internal(set) var musig2PublicNonces: [MuSig2Contribution: [UInt8]] = [:]
        /// Partial signatures, 32 bytes each (PSBT_IN_MUSIG2_PARTIAL_SIG). `PSBT.addMuSig2PartialSignature` sets them.
        public internal(set) var musig2PartialSignatures: [MuSig2Contribution: [UInt8]] = [:]

        // MARK: The rest

        /// PSBT_IN_PROPRIETARY.
        public var proprietary: [ProprietaryKey: [UInt8]] = [:]
        /// Fields whose type is not known here.
        public internal(set) var unknown: [UnknownKey: [UInt8]] = [:]

        public init() {}

        /// Bytes of a public nonce (BIP-327).
        static let musig2PublicNonceByteCount = 66
        /// Bytes of a partial signature (BIP-327).
        static let musig2PartialSignatureByteCount = 32
    }
}

// MARK: - Decoding

extension PSBT.Input {
    init(_ map: KeyMap, index: Int, spending outPoint: OutPoint, items: inout ItemAllowance) throws(PSBTError) {
        for record in map.records {
            guard let field = PSBT.InputField(rawValue: record.keyType) else {
                self.unknown[PSBT.UnknownKey(keyType: record.keyType, keyData: Array(record.keyData))] = Array(record.value)
                continue
            }
            do throws(PSBT.Flaw) {
                try self.read(record, as: field, spending: outPoint, items: &items)
            } catch {
                throw .invalidField(.input(index), .input(field), error)
            }
        }
    }

    // Keys are unique within a map, and every key has one decoded form; so no assignment below overwrites another.
    private mutating func read(
        _ record: KeyMap.Record, as field: PSBT.InputField, spending outPoint: OutPoint, items: inout ItemAllowance
    ) throws(PSBT.Flaw) {
        switch field {
        case .nonWitnessUTXO:
            let transaction = try PSBT.Flaw.transaction(try record.valueOfBareKey(), items: &items)
            try PSBT.Flaw.check(transaction, spentBy: outPoint)
            self.nonWitnessUTXO = transaction
        case .witnessUTXO:
            let value = Array(try record.valueOfBareKey())
            self.witnessUTXO = try PSBT.Flaw.inValue { () throws(ByteDecodingError) in try TransactionOutput(parsing: value) }
        case .partialSignature:
            let key = try PSBT.ECDSAPublicKey(parsing: record.keyData)
            self.partialSignatures[key] = try PSBT.ECDSASignature(parsing: record.value)
        case .sighashType:
            self.sighashType = try record.uint32OfBareKey()
        case .redeemScript:
            self.redeemScript = try record.scriptOfBareKey()
        case .witnessScript:
            self.witnessScript = try record.scriptOfBareKey()
        case .bip32Derivation:
            let key = try PSBT.ECDSAPublicKey(parsing: record.keyData)
            self.bip32Derivations[key] = try PSBT.KeyOrigin(parsing: record.value)
        case .finalScriptSig:
            self.finalScriptSig = try record.scriptOfBareKey()
        case .finalScriptWitness:
            let value = Array(try record.valueOfBareKey())
            self.finalScriptWitness = try PSBT.Flaw.inValue { () throws(ByteDecodingError) in
                try Witness(parsing: value, items: &items)
            }
        case .proofOfReservesCommitment:
            self.proofOfReservesCommitment = Array(try record.valueOfBareKey())
        case .ripemd160:
            try self.readPreimage(record, .ripemd160(Array(try record.keyData(byteCount: Hash160.byteCount))))
        case .sha256:
            try self.readPreimage(record, .sha256(try record.bytes32OfKeyData()))
        case .hash160:
            try self.readPreimage(record, .hash160(Array(try record.keyData(byteCount: Hash160.byteCount))))
        case .hash256:
            try self.readPreimage(record, .hash256(try record.bytes32OfKeyData()))
        case .tapKeySignature:
            self.tapKeySignature = try PSBT.TapSignature(parsing: try record.valueOfBareKey())
        case .tapScriptSignature:
            let signer = try PSBT.TapScriptSigner(parsing: record.keyData)
            self.tapScriptSignatures[signer] = try PSBT.TapSignature(parsing: record.value)
        case .tapLeafScript:
            try self.readLeafScript(record)
        case .tapBIP32Derivation:
            let key = try PSBT.Flaw.xOnlyPublicKey(try record.keyData(byteCount: XOnlyPublicKey.byteCount))
            self.tapBIP32Derivations[key] = try PSBT.TapKeyOrigin(parsing: record.value)
        case .tapInternalKey:
            self.tapInternalKey = try record.xOnlyKeyOfBareKey()
        case .tapMerkleRoot:
            self.tapMerkleRoot = Bytes32(try record.valueOfBareKey(byteCount: 32))
        case .musig2ParticipantPublicKeys:
            let aggregate = try PSBT.Flaw.publicKey(try record.keyData(byteCount: PublicKey.byteCount))
            self.musig2Participants[aggregate] = try PSBT.participants(parsing: record.value)
        case .musig2PublicNonce:
            let contribution = try PSBT.MuSig2Contribution(parsing: record.keyData)
            self.musig2PublicNonces[contribution] = try record.value(byteCount: Self.musig2PublicNonceByteCount)
        case .musig2PartialSignature:
            let contribution = try PSBT.MuSig2Contribution(parsing: record.keyData)
            self.musig2PartialSignatures[contribution] = try record.value(byteCount: Self.musig2PartialSignatureByteCount)
        case .proprietary:
            self.proprietary[try PSBT.ProprietaryKey(parsing: record.keyData)] = Array(record.value)
        case .previousTxid, .outputIndex, .sequence, .requiredTimeLockTime, .requiredHeightLockTime:
            throw .notInVersion0
        }
    }

    private mutating func readPreimage(_ record: KeyMap.Record, _ lock: PSBT.HashLock) throws(PSBT.Flaw) {
        let preimage = Array(record.value)
        guard lock.isOpened(by: preimage) else { throw .wrongPreimage }
        self.preimages[lock] = preimage
    }

    private mutating func readLeafScript(_ record: KeyMap.Record) throws(PSBT.Flaw) {
        guard let version = record.value.last else { throw .wrongValueLength(expected: [1], actual: 0) }
        do throws(TaprootError) {
            let block = try ControlBlock(parsing: Array(record.keyData))
            self.tapLeafScripts[block] = try TapLeaf(version: version, script: Script(Array(record.value.dropLast())))
        } catch {
            throw .invalidTaproot(error)
        }
    }
}

// MARK: - Encoding

extension PSBT.Input {
    /// Writes the map. Gives back how many fields it has.
    func write(to writer: inout ByteWriter) -> Int {
        var map = KeyMapWriter<PSBT.InputField>()
        map.add(.nonWitnessUTXO, self.nonWitnessUTXO?.serialized())
        map.add(.witnessUTXO, self.witnessUTXO?.serialized())
        for (key, signature) in self.partialSignatures {
            // The one kind of field that is not in the order of its keys: BIP-174's own combiner figures go by the key's hash.
            map.add(.partialSignature, key: key.bytes, order: key.hash160, signature.bytes)
        }
        map.add(.sighashType, self.sighashType?.littleEndianBytes)
        map.add(.redeemScript, self.redeemScript?.bytes)
        map.add(.witnessScript, self.witnessScript?.bytes)
        for (key, origin) in self.bip32Derivations { map.add(.bip32Derivation, key: key.bytes, origin.serialized) }
        map.add(.finalScriptSig, self.finalScriptSig?.bytes)
        map.add(.finalScriptWitness, self.finalScriptWitness?.serialized())
        map.add(.proofOfReservesCommitment, self.proofOfReservesCommitment)
        for (lock, preimage) in self.preimages { map.add(lock.field, key: lock.hash, preimage) }
        map.add(.tapKeySignature, self.tapKeySignature?.bytes)
        for (signer, signature) in self.tapScriptSignatures { map.add(.tapScriptSignature, key: signer.serialized, signature.bytes) }
        for (block, leaf) in self.tapLeafScripts { map.add(.tapLeafScript, key: block.serialized(), leaf.script.bytes + [leaf.version]) }
        for (key, origin) in self.tapBIP32Derivations { map.add(.tapBIP32Derivation, key: key.bytes.bytes, origin.serialized) }
        map.add(.tapInternalKey, self.tapInternalKey?.bytes.bytes)
        map.add(.tapMerkleRoot, self.tapMerkleRoot?.bytes)
        for (aggregate, keys) in self.musig2Participants {
            map.add(.musig2ParticipantPublicKeys, key: aggregate.bytes, keys.flatMap(\.bytes))
        }
        for (contribution, nonce) in self.musig2PublicNonces { map.add(.musig2PublicNonce, key: contribution.serialized, nonce) }
        for (contribution, signature) in self.musig2PartialSignatures {
            map.add(.musig2PartialSignature, key: contribution.serialized, signature)
        }
        for (key, value) in self.proprietary { map.add(.proprietary, key: key.serialized, value) }
        map.add(unknown: self.unknown)
        return map.finish(into: &writer)
    }
}
