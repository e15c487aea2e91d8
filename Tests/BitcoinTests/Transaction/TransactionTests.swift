import Bitcoin
import CryptoPrimitives
import Testing

@Suite struct TransactionTests {
    /// The first payment from one person to another, in block 170.
    static let firstPayment =
        "0100000001c997a5e56e104102fa209c6a852dd90660a20b2d9c352423edce25857fcd3704000000004847304402204e45e16932b8af514961a1d3a1a2"
        + "5fdf3f4f7732e9d624c6c61548ab5fb8cd410220181522ec8eca07de4860a4acdd12909d831cc56cbbac4622082221a8768d1d0901ffffffff0200ca9a"
        + "3b00000000434104ae1a62fe09c5f51b13905f07f06b99a2f7159b2225f374cd378d71302fa28414e7aab37397f554a7df5f142c21c1b7303b8a0626f1"
        + "baded5c72a704f7e6cd84cac00286bee0000000043410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0eaddfb84"
        + "ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac00000000"

    /// One input with a witness of one item, one output.
    static let small = Transaction(
        inputs: [
            TransactionInput(
                previousOutput: OutPoint(txid: Txid(Bytes32()), index: 1), sequence: 0xffff_fffd,
                witness: Witness([[UInt8](repeating: 7, count: 64)]))
        ],
        outputs: [TransactionOutput(amount: 50_000, scriptPubKey: .payToTaproot(Bytes32()))])

    @Test func `the first payment has the txid that everybody knows`() throws {
        let bytes = try Hex.decode(Self.firstPayment)
        let transaction = try Transaction(parsing: bytes)
        #expect(transaction.txid.description == "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16")
        #expect(transaction.wtxid.hash == transaction.txid.hash)
        #expect(transaction.inputs[0].previousOutput.description == "0437cd7f8525ceed2324359c2d0ba26006d92d856a9c20fa0241106ee5a597c9:0")
        #expect(transaction.outputs.map(\.amount) == [1_000_000_000, 4_000_000_000])
        #expect(transaction.serialized() == bytes)
        #expect(transaction.virtualSize == 275 && transaction.weight == 1_100)
    }

    @Test func `a txid is read from the text it is shown as`() {
        let text = "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16"
        #expect(Txid(text)?.description == text)
        #expect(Txid(text.dropLast()) == nil)
    }

    @Test func `a witness counts a quarter, and the quarter is rounded up`() {
        // 10 bytes of frame, 41 of input, 43 of output; marker, flag and 66 of witness.
        #expect(Self.small.baseByteCount == 94)
        #expect(Self.small.byteCount == 162)
        #expect(Self.small.weight == 94 * 4 + 68)
        #expect(Self.small.virtualSize == 111)
        #expect(Self.small.txid.hash != Self.small.wtxid.hash)
    }

    @Test(arguments: UInt64(0)..<200)
    func `what is written is read back, and counted right`(seed: UInt64) throws {
        var generator = TransactionGenerator(seed: seed)
        let transaction = generator.transaction()
        let bytes = transaction.serialized()
        #expect(try Transaction(parsing: bytes) == transaction)
        #expect(bytes.count == transaction.byteCount)

        let bare = transaction.serializedWithoutWitness()
        #expect(bare.count == transaction.baseByteCount)
        #expect(Txid(SHA256.doubleHash(bare)) == transaction.txid)
        #expect(try Transaction(parsingWithoutWitness: bare).txid == transaction.txid)
    }

    @Test func `a transaction without inputs is read only where no witness can be meant`() throws {
        let empty = Transaction(inputs: [], outputs: [TransactionOutput(amount: 1, scriptPubKey: Script())])
        #expect(try Transaction(parsingWithoutWitness: empty.serialized()) == empty)
        #expect(throws: TransactionError.noInputs) {
            try Transaction(parsing: Transaction(inputs: [], outputs: []).serialized())
        }
    }

    @Test func `sequences of lengths around each CompactSize step are read back`() throws {
        for count in [0, 1, 252, 253, 254, 65_535, 65_536, 70_000] {
            let output = TransactionOutput(amount: 1, scriptPubKey: Script([UInt8](repeating: 0x51, count: count)))
            #expect(try TransactionOutput(parsing: output.serialized()) == output)
            #expect(output.serialized().count == output.byteCount)
        }
    }
}

@Suite struct HostileTransactionTests {
    @Test(arguments: [true, false])
    func `a transaction cut short anywhere is refused`(hasWitness: Bool) throws {
        var transaction = TransactionTests.small
        if !hasWitness { transaction.inputs[0].witness = Witness() }
        let bytes = transaction.serialized()
        for count in 0..<bytes.count {
            #expect(throws: TransactionError.self, "cut to \(count) bytes") { try Transaction(parsing: Array(bytes.prefix(count))) }
        }
    }

    @Test func `bytes after the end are refused and counted`() {
        let bytes = TransactionTests.small.serialized()
        #expect(throws: TransactionError.malformed(.trailingBytes(offset: bytes.count, count: 2))) {
            try Transaction(parsing: bytes + [0, 0])
        }
    }

    @Test func `a count that the bytes cannot hold is refused before anything is allocated`() {
        let version: [UInt8] = [2, 0, 0, 0]
        #expect(throws: TransactionError.malformed(.truncated(field: "input count", offset: 4, needed: .max, available: 0))) {
            try Transaction(parsing: version + [0xff] + [UInt8](repeating: 0xff, count: 8))
        }
        #expect(throws: TransactionError.malformed(.truncated(field: "input count", offset: 4, needed: 41 * 0xffff_ffff, available: 3))) {
            try Transaction(parsing: version + [0xfe, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])
        }
        // A scriptSig that says it has 2^63 bytes.
        let input = [UInt8](repeating: 0, count: 36) + [0xff, 0, 0, 0, 0, 0, 0, 0, 0x80] + [UInt8](repeating: 0, count: 9)
        #expect(throws: TransactionError.malformed(.truncated(field: "scriptSig", offset: 41, needed: 1 << 63, available: 9))) {
            try Transaction(parsing: version + [1] + input)
        }
    }

    @Test func `a number with more bytes than it needs is refused`() {
        let bytes = TransactionTests.small.serializedWithoutWitness()
        for long: [UInt8] in [[0xfd, 1, 0], [0xfe, 1, 0, 0, 0], [0xff, 1, 0, 0, 0, 0, 0, 0, 0]] {
            #expect(throws: TransactionError.malformed(.nonCanonicalCompactSize(field: "input count", offset: 4))) {
                try Transaction(parsing: Array(bytes[..<4]) + long + Array(bytes[5...]))
            }
        }
        #expect(throws: ByteDecodingError.nonCanonicalCompactSize(field: "witness item count", offset: 0)) {
            try Witness(parsing: [0xfd, 0xfc, 0x00] + [UInt8](repeating: 0, count: 252))
        }
    }

    @Test func `witnesses that are announced and all empty are refused`() {
        var transaction = TransactionTests.small
        transaction.inputs[0].witness = Witness()
        var bytes = transaction.serialized()
        bytes.insert(contentsOf: [0, 1], at: 4)
        bytes.insert(0, at: bytes.count - 4)
        #expect(throws: TransactionError.superfluousWitness) { try Transaction(parsing: bytes) }
    }

    @Test(arguments: [UInt8(2), 3, 0x80, 0xff])
    func `a flag other than that of the witness is refused`(flag: UInt8) {
        var bytes = TransactionTests.small.serialized()
        bytes[5] = flag
        #expect(throws: TransactionError.unknownFlag(flag)) { try Transaction(parsing: bytes) }
    }

    @Test func `more bytes than a block can hold are refused unread`() {
        let bytes = [UInt8](repeating: 0, count: Transaction.byteCountMax + 1)
        #expect(throws: TransactionError.malformed(.tooLarge(field: "transaction", offset: 0, value: 4_000_001, limit: 4_000_000))) {
            try Transaction(parsing: bytes)
        }
    }

    @Test func `an error names the field, the byte and what is missing`() {
        let bytes = Array(TransactionTests.small.serialized().prefix(100))
        let error = #expect(throws: TransactionError.self) { try Transaction(parsing: bytes) }
        #expect(
            error?.description
                == "not a transaction: witness item at byte 93 needs 64 bytes and only 6 are left: "
                + "the data was cut short or is not of this kind")
    }

    @Test(arguments: UInt64(0)..<200)
    func `a flipped bit gives an error or a transaction that is written just so`(seed: UInt64) throws {
        var generator = TransactionGenerator(seed: seed)
        var bytes = generator.transaction(inputs: 1...2, outputs: 1...2).serialized()
        let bit = Int.random(in: 0..<bytes.count * 8, using: &generator)
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        guard let transaction = try? Transaction(parsing: bytes) else { return }
        #expect(transaction.serialized() == bytes)
    }

    @Test(arguments: UInt64(0)..<200)
    func `noise gives an error or a transaction that is written just so`(seed: UInt64) throws {
        var generator = TransactionGenerator(seed: seed)
        // Zeros are frequent, so that counts are often small enough to get further.
        let bytes = generator.bytes(0...200).map { $0 > 200 ? $0 : $0 % 3 }
        guard let transaction = try? Transaction(parsing: bytes) else { return }
        #expect(transaction.serialized() == bytes)
    }
}
