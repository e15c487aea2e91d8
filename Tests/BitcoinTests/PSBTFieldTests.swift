import Bitcoin
import CryptoPrimitives
import Secp256k1
import Testing

/// Fields and bounds that no official figure touches.
@Suite struct PSBTFieldTests {
    static let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"

    /// One input, one output.
    private static func psbt() throws -> PSBT {
        try PSBT(
            unsignedTransaction: Transaction(
                inputs: [TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))],
                outputs: [TransactionOutput(amount: 1, scriptPubKey: Script([0x51]))]))
    }

    /// The bytes of that PSBT with these records, in hex, in its maps.
    private static func bytes(global: String = "", input: String = "", output: String = "") throws -> [UInt8] {
        let bare = Hex.encode(try Self.psbt().serialized())
        #expect(bare.hasSuffix("000000"))
        return try Hex.decode(bare.dropLast(6) + global + "00" + input + "00" + output + "00")
    }

    private static func flaw(global: String = "", input: String = "", output: String = "") throws -> PSBT.Flaw {
        let bytes = try Self.bytes(global: global, input: input, output: output)
        let error = try #require(throws: PSBTError.self) { try PSBT(parsing: bytes) }
        guard case .invalidField(_, _, let flaw) = error else { throw error }
        return flaw
    }

    @Test func `a stated version 0 and none are both version 0, and both survive`() throws {
        let stated = try PSBT(parsing: Self.bytes(global: "01fb0400000000"))
        #expect(stated.statedVersion == 0)
        #expect(try stated.serialized() == Self.bytes(global: "01fb0400000000"))
        #expect(try PSBT(parsing: Self.bytes()).statedVersion == nil)
        #expect(try PSBT(combining: [Self.psbt(), stated]) == stated)
        #expect(throws: PSBTError.unsupportedVersion(1)) { try PSBT(parsing: Self.bytes(global: "01fb0401000000")) }
        #expect(try Self.flaw(global: "01fb03000000") == .wrongValueLength(expected: [4], actual: 3))
    }

    @Test func `fields in another order come out in the fixed one`() throws {
        // Sighash type, an unknown field of a three-byte type, a redeem script, an unknown one of a one-byte type.
        let records = ["01030401000000", "04fd000107" + "0101", "01040151", "02f001" + "00"]
        let mixed = try PSBT(parsing: Self.bytes(input: records.joined()))
        let ordered = [records[0], records[2], records[3], records[1]].joined()
        #expect(try mixed.serialized() == Self.bytes(input: ordered))
        #expect(try PSBT(parsing: Self.bytes(input: ordered)) == mixed)
        #expect(mixed.inputs[0].unknown.count == 2)
    }

    @Test func `proprietary fields are read in all maps and survive`() throws {
        let record = "08fc036162632a" + "0102" + "0399" + "9999"
        let bytes = try Self.bytes(global: record, input: record, output: record)
        let psbt = try PSBT(parsing: bytes)
        let key = PSBT.ProprietaryKey(identifier: Array("abc".utf8), subtype: 42, keyData: [1, 2])
        #expect(psbt.proprietary == [key: [0x99, 0x99, 0x99]])
        #expect(psbt.inputs[0].proprietary == psbt.proprietary)
        #expect(psbt.outputs[0].proprietary == psbt.proprietary)
        #expect(psbt.serialized() == bytes)
        // An identifier longer than the key.
        let error = ByteDecodingError.truncated(field: "identifier", offset: 0, needed: 9, available: 1)
        #expect(try Self.flaw(input: "03fc0961" + "00") == .malformedKeyData(error))
    }

    @Test(arguments: [
        PSBT.HashLock.ripemd160(RIPEMD160.hash([1, 2, 3])), .sha256(SHA256.hash([1, 2, 3])),
        .hash160(RIPEMD160.ofSHA256([1, 2, 3])), .hash256(SHA256.doubleHash([1, 2, 3])),
    ])
    func `a preimage is taken when it hashes to its key`(lock: PSBT.HashLock) throws {
        var psbt = try Self.psbt()
        let wrong = #expect(throws: PSBTError.self) { try psbt.addPreimage([1, 2, 4], of: lock, toInput: 0) }
        guard case .invalidField(.input(0), _, .wrongPreimage) = wrong else { throw try #require(wrong) }
        try psbt.addPreimage([1, 2, 3], of: lock, toInput: 0)
        let bytes = psbt.serialized()
        #expect(try PSBT(parsing: bytes) == psbt)
        // The preimage is the last value of the input; after it come two separators.
        var changed = bytes
        changed[changed.count - 3] ^= 1
        let error = #expect(throws: PSBTError.self) { try PSBT(parsing: changed) }
        #expect(error == wrong)
    }

    @Test func `extended public keys need a path as long as they are deep`() throws {
        // Version, depth 2, fingerprint, child number, chain code, key.
        let bytes = try Hex.decode("0488b21e" + "02" + "00000000" + "00000001" + String(repeating: "07", count: 32) + "02" + Self.key)
        let key = try PSBT.ExtendedPublicKey(parsing: bytes)
        #expect(key.depth == 2)
        var psbt = try Self.psbt()
        let short = PSBT.KeyOrigin(fingerprint: 1, path: [0x8000_0000])
        #expect(throws: PSBTError.invalidField(.global, .global(.extendedPublicKey), .wrongPathLength(depth: 2, actual: 1))) {
            try psbt.addExtendedPublicKey(key, origin: short)
        }
        try psbt.addExtendedPublicKey(key, origin: PSBT.KeyOrigin(fingerprint: 1, path: [0x8000_0000, 1]))
        #expect(try PSBT(parsing: psbt.serialized()) == psbt)
        let record = "4f01" + Hex.encode(bytes) + "08" + "00000001" + "00000080"
        #expect(try Self.flaw(global: record) == .wrongPathLength(depth: 2, actual: 1))
        #expect(throws: PSBT.Flaw.invalidPublicKey(.notOnCurve)) {
            try PSBT.ExtendedPublicKey(parsing: bytes.dropLast(32) + [UInt8](repeating: 0xff, count: 32))
        }
    }

    @Test func `public keys off the curve are refused everywhere`() throws {
        let off = String(repeating: "ff", count: 32)
        #expect(try Self.flaw(input: "2202" + "02" + off + "00") == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(input: "2206" + "02" + off + "0400000000") == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(input: "2116" + off + "050000000000") == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(input: "0117" + "20" + off) == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(input: "221a" + "02" + off + "00") == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(input: "221a" + "02" + Self.key + "2102" + off) == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(input: "431b" + "02" + Self.key + "02" + off + "00") == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(output: "0105" + "20" + off) == .invalidPublicKey(.notOnCurve))
        #expect(try Self.flaw(output: "2208" + "02" + off + "00") == .invalidPublicKey(.notOnCurve))
    }

    @Test func `uncompressed keys are keys of 65 bytes that start with 4`() throws {
        let y = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
        let bytes = try Hex.decode("04" + Self.key + y)
        var psbt = try Self.psbt()
        psbt.inputs[0].bip32Derivations[try PSBT.ECDSAPublicKey(parsing: bytes)] = PSBT.KeyOrigin(fingerprint: 0, path: [])
        #expect(try PSBT(parsing: psbt.serialized()) == psbt)
        // A hybrid key.
        #expect(throws: PSBT.Flaw.invalidPublicKey(.notOnCurve)) { try PSBT.ECDSAPublicKey(parsing: [6] + bytes.dropFirst()) }
        #expect(throws: PSBT.Flaw.wrongKeyDataLength(expected: [33, 65], actual: 64)) {
            try PSBT.ECDSAPublicKey(parsing: bytes.dropLast())
        }
    }

    @Test(arguments: [
        "", "01", "300602010102010101ff", "310602010102010101", "300702010102010101", "300602020102010101", "300602010102018101",
        "300602018102010101", "300603010102010101", "3007020200010201" + "0101", "3006020002020101" + "01",
    ])
    func `what is no DER signature is refused`(hex: String) throws {
        #expect(throws: PSBT.Flaw.invalidSignatureEncoding) { try PSBT.ECDSASignature(parsing: Hex.decode(hex)) }
    }

    @Test func `DER signatures keep their sighash type`() throws {
        #expect(try PSBT.ECDSASignature(parsing: Hex.decode("300602010102010183")).sighashType == 0x83)
        // A zero byte before a number whose own top bit is set belongs to it.
        #expect(try PSBT.ECDSASignature(parsing: Hex.decode("30070202008002010101")).bytes.count == 10)
    }

    @Test func `a tree of an output must be whole`() throws {
        let whole = "0106" + "0c" + "01c00151" + "02c00152" + "02c00153"
        let psbt = try PSBT(parsing: Self.bytes(output: whole))
        #expect(psbt.outputs[0].tapTree?.leafCount == 3)
        #expect(try psbt.serialized() == Self.bytes(output: whole))
        #expect(try Self.flaw(output: "0106" + "08" + "01c00151" + "02c00152") == .invalidTaproot(.incompleteTree))
        #expect(try Self.flaw(output: "0106" + "04" + "00c10151") == .invalidTaproot(.invalidLeafVersion(0xc1)))
        #expect(try Self.flaw(output: "0106" + "00") == .invalidTaproot(.emptyTree))
    }

    @Test func `lengths that do not fit are refused by name`() throws {
        #expect(try Self.flaw(input: "0103" + "03" + "010000") == .wrongValueLength(expected: [4], actual: 3))
        #expect(try Self.flaw(input: "0118" + "1f" + String(repeating: "01", count: 31)) == .wrongValueLength(expected: [32], actual: 31))
        #expect(try Self.flaw(input: "2206" + "02" + Self.key + "03000000") == .wrongValueLength(expected: [4], actual: 3))
        #expect(try Self.flaw(input: "2206" + "02" + Self.key + "050000000000") == .valueNotMultiple(of: 4, actual: 5))
        #expect(
            try Self.flaw(input: "2116" + Self.key + "0501" + "00000000")
                == .malformedValue(.truncated(field: "count of leaf hashes", offset: 0, needed: 32, available: 4)))
        #expect(try Self.flaw(input: "020b01" + "00") == .wrongKeyDataLength(expected: [32], actual: 1))
        #expect(
            try Self.flaw(input: "0108" + "0102")
                == .malformedValue(
                    .truncated(field: "witness item count", offset: 0, needed: 2, available: 0)))
    }

    @Test func `more fields than the bound are refused`() throws {
        // Unknown fields of type 0xf0, each with a number of three bytes for its key.
        func records(_ count: Int) -> [UInt8] {
            var bytes: [UInt8] = []
            for number in 0..<UInt32(count) {
                bytes += [4, 0xf0] + withUnsafeBytes(of: number.bigEndian) { Array($0.dropFirst()) } + [0]
            }
            return bytes
        }
        let bare = try Self.psbt().serialized()
        // The unsigned transaction is a field too.
        let most = PSBT.fieldCountMax - 1
        #expect(try PSBT(parsing: bare.dropLast(2) + records(most) + [0, 0]).inputs[0].unknown.count == most)
        #expect(throws: PSBTError.tooManyFields) { try PSBT(parsing: bare.dropLast(2) + records(most + 1) + [0, 0]) }
    }

    @Test func `a file holds the bytes or their Base64, with white space around it`() throws {
        let psbt = try Self.psbt()
        #expect(try PSBT(fileContents: psbt.serialized()) == psbt)
        #expect(try PSBT(fileContents: Array(psbt.base64().utf8)) == psbt)
        #expect(try PSBT(fileContents: Array((" \r\n" + psbt.base64() + "\n\t").utf8)) == psbt)
        #expect(throws: PSBTError.notAPSBT) { try PSBT(fileContents: []) }
        #expect(throws: PSBTError.notAPSBT) { try PSBT(fileContents: Array(" \n".utf8)) }
        #expect(throws: PSBTError.notBase64(.notADigit(offset: 0))) { try PSBT(fileContents: Array("{}{}".utf8)) }
        #expect(throws: PSBTError.self) { try PSBT(fileContents: [0xff, 0xfe, 0x80, 0x00]) }
    }

    @Test func `a map moved to another input does not pass its old transaction on`() throws {
        let previous = Transaction(
            inputs: [TransactionInput(previousOutput: OutPoint(txid: Txid(Bytes32()), index: 0))],
            outputs: [TransactionOutput(amount: 1, scriptPubKey: Script())])
        var psbt = try PSBT(
            unsignedTransaction: Transaction(
                inputs: [
                    TransactionInput(previousOutput: OutPoint(txid: previous.txid, index: 0)),
                    TransactionInput(previousOutput: OutPoint(txid: previous.txid, index: 1)),
                ], outputs: []))
        try psbt.addNonWitnessUTXO(previous, toInput: 0)
        psbt.inputs[1] = psbt.inputs[0]
        #expect(throws: PSBTError.invalidField(.input(1), .input(.nonWitnessUTXO), .noSuchOutput(index: 1, outputCount: 1))) {
            try psbt.checkSignable(input: 1)
        }
    }
}
