extension PSBT {
    /// One of the key-value maps of a PSBT.
    public enum Map: Hashable, Sendable, CustomStringConvertible {
        case global
        /// The map of the input at this index, from 0.
        case input(Int)
        /// The map of the output at this index, from 0.
        case output(Int)

        public var description: String {
            switch self {
            case .global: "global map"
            case .input(let index): "input \(index)"
            case .output(let index): "output \(index)"
            }
        }
    }

    /// A kind of field, under the name that its BIP gives it.
    public enum Field: Hashable, Sendable, CustomStringConvertible {
        case global(GlobalField)
        case input(InputField)
        case output(OutputField)
        /// A key type that is not known here.
        case unknown(keyType: UInt64)

        public var description: String {
            switch self {
            case .global(let field): field.name
            case .input(let field): field.name
            case .output(let field): field.name
            case .unknown(let keyType): "field of unknown type 0x\(String(keyType, radix: 16))"
            }
        }

        init(keyType: UInt64, in map: Map) {
            let known: Field? =
                switch map {
                case .global: GlobalField(rawValue: keyType).map { .global($0) }
                case .input: InputField(rawValue: keyType).map { .input($0) }
                case .output: OutputField(rawValue: keyType).map { .output($0) }
                }
            self = known ?? .unknown(keyType: keyType)
        }
    }

    /// Fields of the global map, their raw value the key type (BIPs 174 and 370).
    public enum GlobalField: UInt64, Sendable {
        case unsignedTransaction = 0x00
        case extendedPublicKey = 0x01
        case transactionVersion = 0x02
        case fallbackLockTime = 0x03
        case inputCount = 0x04
        case outputCount = 0x05
        case transactionModifiable = 0x06
        case version = 0xfb
        case proprietary = 0xfc

        public var name: String {
            switch self {
            case .unsignedTransaction: "PSBT_GLOBAL_UNSIGNED_TX"
            case .extendedPublicKey: "PSBT_GLOBAL_XPUB"
            case .transactionVersion: "PSBT_GLOBAL_TX_VERSION"
            case .fallbackLockTime: "PSBT_GLOBAL_FALLBACK_LOCKTIME"
            case .inputCount: "PSBT_GLOBAL_INPUT_COUNT"
            case .outputCount: "PSBT_GLOBAL_OUTPUT_COUNT"
            case .transactionModifiable: "PSBT_GLOBAL_TX_MODIFIABLE"
            case .version: "PSBT_GLOBAL_VERSION"
            case .proprietary: "PSBT_GLOBAL_PROPRIETARY"
            }
        }
    }

    /// Fields of an input's map, their raw value the key type (BIPs 174, 370, 371 and 373).
    public enum InputField: UInt64, Sendable {
        case nonWitnessUTXO = 0x00
        case witnessUTXO = 0x01
        case partialSignature = 0x02
        case sighashType = 0x03
        case redeemScript = 0x04
        case witnessScript = 0x05
        case bip32Derivation = 0x06
        case finalScriptSig = 0x07
        case finalScriptWitness = 0x08
        case proofOfReservesCommitment = 0x09
        case ripemd160 = 0x0a
        case sha256 = 0x0b
        case hash160 = 0x0c
        case hash256 = 0x0d
        case previousTxid = 0x0e
        case outputIndex = 0x0f
        case sequence = 0x10
        case requiredTimeLockTime = 0x11
        case requiredHeightLockTime = 0x12
        case tapKeySignature = 0x13
        case tapScriptSignature = 0x14
        case tapLeafScript = 0x15
        case tapBIP32Derivation = 0x16
        case tapInternalKey = 0x17
        case tapMerkleRoot = 0x18
        case musig2ParticipantPublicKeys = 0x1a
        case musig2PublicNonce = 0x1b
        case musig2PartialSignature = 0x1c
        case proprietary = 0xfc

        public var name: String {
            switch self {
            case .nonWitnessUTXO: "PSBT_IN_NON_WITNESS_UTXO"
            case .witnessUTXO: "PSBT_IN_WITNESS_UTXO"
            case .partialSignature: "PSBT_IN_PARTIAL_SIG"
            case .sighashType: "PSBT_IN_SIGHASH_TYPE"
            case .redeemScript: "PSBT_IN_REDEEM_SCRIPT"
            case .witnessScript: "PSBT_IN_WITNESS_SCRIPT"
            case .bip32Derivation: "PSBT_IN_BIP32_DERIVATION"
            case .finalScriptSig: "PSBT_IN_FINAL_SCRIPTSIG"
            case .finalScriptWitness: "PSBT_IN_FINAL_SCRIPTWITNESS"
            case .proofOfReservesCommitment: "PSBT_IN_POR_COMMITMENT"
            case .ripemd160: "PSBT_IN_RIPEMD160"
            case .sha256: "PSBT_IN_SHA256"
            case .hash160: "PSBT_IN_HASH160"
            case .hash256: "PSBT_IN_HASH256"
            case .previousTxid: "PSBT_IN_PREVIOUS_TXID"
            case .outputIndex: "PSBT_IN_OUTPUT_INDEX"
            case .sequence: "PSBT_IN_SEQUENCE"
            case .requiredTimeLockTime: "PSBT_IN_REQUIRED_TIME_LOCKTIME"
            case .requiredHeightLockTime: "PSBT_IN_REQUIRED_HEIGHT_LOCKTIME"
            case .tapKeySignature: "PSBT_IN_TAP_KEY_SIG"
            case .tapScriptSignature: "PSBT_IN_TAP_SCRIPT_SIG"
            case .tapLeafScript: "PSBT_IN_TAP_LEAF_SCRIPT"
            case .tapBIP32Derivation: "PSBT_IN_TAP_BIP32_DERIVATION"
            case .tapInternalKey: "PSBT_IN_TAP_INTERNAL_KEY"
            case .tapMerkleRoot: "PSBT_IN_TAP_MERKLE_ROOT"
            case .musig2ParticipantPublicKeys: "PSBT_IN_MUSIG2_PARTICIPANT_PUBKEYS"
            case .musig2PublicNonce: "PSBT_IN_MUSIG2_PUB_NONCE"
            case .musig2PartialSignature: "PSBT_IN_MUSIG2_PARTIAL_SIG"
            case .proprietary: "PSBT_IN_PROPRIETARY"
            }
        }
    }

    /// Fields of an output's map, their raw value the key type (BIPs 174, 370, 371 and 373).
    public enum OutputField: UInt64, Sendable {
        case redeemScript = 0x00
        case witnessScript = 0x01
        case bip32Derivation = 0x02
        case amount = 0x03
        case script = 0x04
        case tapInternalKey = 0x05
        case tapTree = 0x06
        case tapBIP32Derivation = 0x07
        case musig2ParticipantPublicKeys = 0x08
        case proprietary = 0xfc

        public var name: String {
            switch self {
            case .redeemScript: "PSBT_OUT_REDEEM_SCRIPT"
            case .witnessScript: "PSBT_OUT_WITNESS_SCRIPT"
            case .bip32Derivation: "PSBT_OUT_BIP32_DERIVATION"
            case .amount: "PSBT_OUT_AMOUNT"
            case .script: "PSBT_OUT_SCRIPT"
            case .tapInternalKey: "PSBT_OUT_TAP_INTERNAL_KEY"
            case .tapTree: "PSBT_OUT_TAP_TREE"
            case .tapBIP32Derivation: "PSBT_OUT_TAP_BIP32_DERIVATION"
            case .musig2ParticipantPublicKeys: "PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS"
            case .proprietary: "PSBT_OUT_PROPRIETARY"
            }
        }
    }
}
