import CryptoPrimitives
import Secp256k1

extension PSBT {
    /// A hash whose preimage an input's script asks for: the key of PSBT_IN_RIPEMD160, _SHA256, _HASH160 and _HASH256.
    public enum HashLock: Hashable, Sendable {
        /// 20 bytes.
        case ripemd160([UInt8])
        case sha256(Bytes32)
        /// 20 bytes: RIPEMD-160 of SHA-256.
        case hash160([UInt8])
        /// SHA-256 of SHA-256.
        case hash256(Bytes32)

        /// Whether the preimage opens the lock.
        public func isOpened(by preimage: [UInt8]) -> Bool {
            switch self {
            case .ripemd160(let hash): RIPEMD160.hash(preimage) == hash
            case .sha256(let hash): SHA256.hash(preimage) == hash
            case .hash160(let hash): RIPEMD160.ofSHA256(preimage) == hash
            case .hash256(let hash): SHA256.doubleHash(preimage) == hash
            }
        }

        var field: InputField {
            switch self {
            case .ripemd160: .ripemd160
            case .sha256: .sha256
            case .hash160: .hash160
            case .hash256: .hash256
            }
        }

        var hash: [UInt8] {
            switch self {
            case .ripemd160(let hash), .hash160(let hash): hash
            case .sha256(let hash), .hash256(let hash): hash.bytes
            }
        }
    }

    /// The key of a private-use field (BIP-174, "Proprietary Use Type").
    public struct ProprietaryKey: Hashable, Sendable {
        /// Whose field it is.
        public var identifier: [UInt8]
        public var subtype: UInt64
        public var keyData: [UInt8]

        public init(identifier: [UInt8], subtype: UInt64, keyData: [UInt8] = []) {
            self.identifier = identifier
            self.subtype = subtype
            self.keyData = keyData
        }

        init(parsing keyData: ArraySlice<UInt8>) throws(Flaw) {
            var reader = ByteReader(keyData)
            do throws(ByteDecodingError) {
                self.identifier = try reader.readVariableBytes("identifier")
                self.subtype = try reader.readCompactSize("subtype")
            } catch {
                throw .malformedKeyData(error)
            }
            self.keyData = Array(reader.readRemaining())
        }

        var serialized: [UInt8] {
            var writer = ByteWriter()
            writer.writeVariableBytes(self.identifier)
            writer.writeCompactSize(self.subtype)
            writer.write(self.keyData)
            return writer.bytes
        }
    }

    /// The key of a field whose type is not known here.
    public struct UnknownKey: Hashable, Sendable {
        public let keyType: UInt64
        public let keyData: [UInt8]
    }
}

// MARK: - Reading

extension PSBT.Flaw {
    static func transaction(_ bytes: ArraySlice<UInt8>, items allowance: inout ItemAllowance) throws(PSBT.Flaw) -> Transaction {
        do throws(TransactionError) {
            return try Transaction(parsing: Array(bytes), items: &allowance)
        } catch {
            throw .malformedTransaction(error)
        }
    }

    /// A PSBT's own transaction, for which the encoding with witnesses is no choice.
    static func unsignedTransaction(_ bytes: ArraySlice<UInt8>) throws(PSBT.Flaw) -> Transaction {
        do throws(TransactionError) {
            return try Transaction(parsingWithoutWitness: Array(bytes))
        } catch {
            throw .malformedTransaction(error)
        }
    }

    /// Whether the transaction is the one that holds the output.
    static func check(_ transaction: Transaction, spentBy outPoint: OutPoint) throws(PSBT.Flaw) {
        let txid = transaction.txid
        guard txid == outPoint.txid else { throw .wrongTxid(expected: outPoint.txid, actual: txid) }
        guard outPoint.index < transaction.outputs.count else {
            throw .noSuchOutput(index: outPoint.index, outputCount: transaction.outputs.count)
        }
    }

    static func inValue<Value>(_ read: () throws(ByteDecodingError) -> Value) throws(PSBT.Flaw) -> Value {
        do throws(ByteDecodingError) { return try read() } catch { throw .malformedValue(error) }
    }

    static func publicKey(_ bytes: ArraySlice<UInt8>) throws(PSBT.Flaw) -> PublicKey {
        do throws(KeyError) { return try PublicKey(parsing: bytes) } catch { throw .invalidPublicKey(error) }
    }

    static func xOnlyPublicKey(_ bytes: ArraySlice<UInt8>) throws(PSBT.Flaw) -> XOnlyPublicKey {
        do throws(KeyError) { return try XOnlyPublicKey(parsing: bytes) } catch { throw .invalidPublicKey(error) }
    }
}

extension KeyMap.Record {
    /// The value of a field whose key is its type alone.
    func valueOfBareKey() throws(PSBT.Flaw) -> ArraySlice<UInt8> {
        guard self.keyData.isEmpty else { throw .keyDataNotEmpty(byteCount: self.keyData.count) }
        return self.value
    }

    /// The same, of one fixed length.
    func valueOfBareKey(byteCount: Int) throws(PSBT.Flaw) -> ArraySlice<UInt8> {
        let value = try self.valueOfBareKey()
        guard value.count == byteCount else { throw .wrongValueLength(expected: [byteCount], actual: value.count) }
        return value
    }

    func uint32OfBareKey() throws(PSBT.Flaw) -> UInt32 {
        var reader = ByteReader(try self.valueOfBareKey(byteCount: 4))
        return try PSBT.Flaw.inValue { () throws(ByteDecodingError) in try reader.readUInt32("value") }
    }

    func scriptOfBareKey() throws(PSBT.Flaw) -> Script { Script(Array(try self.valueOfBareKey())) }

    func xOnlyKeyOfBareKey() throws(PSBT.Flaw) -> XOnlyPublicKey {
        try PSBT.Flaw.xOnlyPublicKey(try self.valueOfBareKey(byteCount: XOnlyPublicKey.byteCount))
    }

    /// The key data as a key of one fixed kind.
    func keyData(byteCount: Int) throws(PSBT.Flaw) -> ArraySlice<UInt8> {
        guard self.keyData.count == byteCount else {
            throw .wrongKeyDataLength(expected: [byteCount], actual: self.keyData.count)
        }
        return self.keyData
    }

    func bytes32OfKeyData() throws(PSBT.Flaw) -> Bytes32 {
        guard let bytes = Bytes32(self.keyData) else { throw .wrongKeyDataLength(expected: [32], actual: self.keyData.count) }
        return bytes
    }

    /// The value of a field that has key data, of one fixed length.
    func value(byteCount: Int) throws(PSBT.Flaw) -> [UInt8] {
        guard self.value.count == byteCount else { throw .wrongValueLength(expected: [byteCount], actual: self.value.count) }
        return Array(self.value)
    }
}

extension UInt32 {
    var littleEndianBytes: [UInt8] {
        var writer = ByteWriter(capacity: 4)
        writer.writeUInt32(self)
        return writer.bytes
    }
}
