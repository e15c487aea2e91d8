import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// What a PSBT knows of one output of its transaction: one output map.
    public struct Output: Hashable, Sendable {
        /// PSBT_OUT_REDEEM_SCRIPT.
        public var redeemScript: Script?
        /// PSBT_OUT_WITNESS_SCRIPT.
        public var witnessScript: Script?
        /// PSBT_OUT_BIP32_DERIVATION.
        public var bip32Derivations: [ECDSAPublicKey: KeyOrigin] = [:]
        /// PSBT_OUT_TAP_INTERNAL_KEY (BIP-371).
        public var tapInternalKey: XOnlyPublicKey?
        /// PSBT_OUT_TAP_TREE (BIP-371).
        public var tapTree: TaprootTree?
        /// PSBT_OUT_TAP_BIP32_DERIVATION (BIP-371).
        public var tapBIP32Derivations: [XOnlyPublicKey: TapKeyOrigin] = [:]
        /// Participants, in the order of aggregation, by their aggregate key (PSBT_OUT_MUSIG2_PARTICIPANT_PUBKEYS, BIP-373).
        public var musig2Participants: [PublicKey: [PublicKey]] = [:]
        /// PSBT_OUT_PROPRIETARY.
        public var proprietary: [ProprietaryKey: [UInt8]] = [:]
        /// Fields whose type is not known here.
        public internal(set) var unknown: [UnknownKey: [UInt8]] = [:]

        public init() {}
    }
}

// MARK: - Decoding

extension PSBT.Output {
    init(_ map: KeyMap, index: Int, items: inout ItemAllowance) throws(PSBTError) {
        for record in map.records {
            guard let field = PSBT.OutputField(rawValue: record.keyType) else {
                self.unknown[PSBT.UnknownKey(keyType: record.keyType, keyData: Array(record.keyData))] = Array(record.value)
                continue
            }
            do throws(PSBT.Flaw) {
                try self.read(record, as: field, items: &items)
            } catch {
                throw .invalidField(.output(index), .output(field), error)
            }
        }
    }

    private mutating func read(
        _ record: KeyMap.Record, as field: PSBT.OutputField, items: inout ItemAllowance
    ) throws(PSBT.Flaw) {
        switch field {
        case .redeemScript:
            self.redeemScript = try record.scriptOfBareKey()
        case .witnessScript:
            self.witnessScript = try record.scriptOfBareKey()
        case .bip32Derivation:
            let key = try PSBT.ECDSAPublicKey(parsing: record.keyData)
            self.bip32Derivations[key] = try PSBT.KeyOrigin(parsing: record.value)
        case .tapInternalKey:
            self.tapInternalKey = try record.xOnlyKeyOfBareKey()
        case .tapTree:
            let value = Array(try record.valueOfBareKey())
            do throws(TaprootError) {
                self.tapTree = try TaprootTree(parsing: value, leaves: &items)
            } catch {
                throw .invalidTaproot(error)
            }
        case .tapBIP32Derivation:
            let key = try PSBT.Flaw.xOnlyPublicKey(try record.keyData(byteCount: XOnlyPublicKey.byteCount))
            self.tapBIP32Derivations[key] = try PSBT.TapKeyOrigin(parsing: record.value)
        case .musig2ParticipantPublicKeys:
            let aggregate = try PSBT.Flaw.publicKey(try record.keyData(byteCount: PublicKey.byteCount))
            self.musig2Participants[aggregate] = try PSBT.participants(parsing: record.value)
        case .proprietary:
            self.proprietary[try PSBT.ProprietaryKey(parsing: record.keyData)] = Array(record.value)
        case .amount, .script:
            throw .notInVersion0
        }
    }
}

// MARK: - Encoding

extension PSBT.Output {
    /// Writes the map. Gives back how many fields it has.
    func write(to writer: inout ByteWriter) -> Int {
        var map = KeyMapWriter<PSBT.OutputField>()
        map.add(.redeemScript, self.redeemScript?.bytes)
        map.add(.witnessScript, self.witnessScript?.bytes)
        for (key, origin) in self.bip32Derivations { map.add(.bip32Derivation, key: key.bytes, origin.serialized) }
        map.add(.tapInternalKey, self.tapInternalKey?.bytes.bytes)
        map.add(.tapTree, self.tapTree?.serialized())
        for (key, origin) in self.tapBIP32Derivations { map.add(.tapBIP32Derivation, key: key.bytes.bytes, origin.serialized) }
        for (aggregate, keys) in self.musig2Participants {
            map.add(.musig2ParticipantPublicKeys, key: aggregate.bytes, keys.flatMap(\.bytes))
        }
        for (key, value) in self.proprietary { map.add(.proprietary, key: key.serialized, value) }
        map.add(unknown: self.unknown)
        return map.finish(into: &writer)
    }
}
