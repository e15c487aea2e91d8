import CryptoPrimitives

// MARK: - Decoding

extension PSBT {
    /// "psbt" and a byte that no transaction begins its fifth byte with (BIP-174).
    private static let magic: [UInt8] = [0x70, 0x73, 0x62, 0x74, 0xff]

    /// Parses the binary encoding, at most `byteCountMax` bytes.
    ///
    /// - Throws: `PSBTError`, which names the map and the field. A PSBT of version 2 is refused with `unsupportedVersion`.
    public init(parsing bytes: [UInt8]) throws(PSBTError) {
        guard bytes.count <= Self.byteCountMax else { throw .tooLong(byteCount: bytes.count) }
        guard bytes.starts(with: Self.magic) else { throw .notAPSBT }
        var reader = ByteReader(bytes.dropFirst(Self.magic.count))

        var allowance = Self.fieldCountMax
        var items = ItemAllowance(Self.itemCountMax)
        try self.init(global: try KeyMap(from: &reader, as: .global, allowance: &allowance))
        for index in self.inputs.indices {
            let map = try KeyMap(from: &reader, as: .input(index), allowance: &allowance)
            self.inputs[index] = try Input(
                map, index: index, spending: self.unsignedTransaction.inputs[index].previousOutput, items: &items)
        }
        for index in self.outputs.indices {
            let map = try KeyMap(from: &reader, as: .output(index), allowance: &allowance)
            self.outputs[index] = try Output(map, index: index, items: &items)
        }
        guard reader.isAtEnd else { throw .trailingBytes(count: reader.remainingCount) }
    }

    /// Parses the Base64 form, which must be one line without white space.
    public init(base64 text: some StringProtocol) throws(PSBTError) {
        let longestText = (Self.byteCountMax + 2) / 3 * 4
        guard text.utf8.count <= longestText else { throw .tooLong(byteCount: text.utf8.count / 4 * 3) }
        let bytes: [UInt8]
        do throws(Base64Error) { bytes = try Base64.decode(text) } catch { throw .notBase64(error) }
        try self.init(parsing: bytes)
    }

    /// Parses what a file holds: the binary encoding, or its Base64 with any ASCII white space around it.
    public init(fileContents bytes: [UInt8]) throws(PSBTError) {
        if bytes.starts(with: Self.magic) {
            try self.init(parsing: bytes)
        } else {
            let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0d).contains($0) }
            let text = bytes.drop(while: isSpace)
            let end = text.lastIndex { !isSpace($0) }.map { $0 + 1 } ?? text.startIndex
            guard !text[..<end].isEmpty else { throw .notAPSBT }
            try self.init(base64: String(decoding: text[..<end], as: UTF8.self))
        }
    }

    private init(global map: KeyMap) throws(PSBTError) {
        // The version comes first: with another one the rest may mean something else.
        var version: UInt32?
        for record in map.records where record.keyType == GlobalField.version.rawValue {
            version = try Self.inGlobal(.version) { () throws(Flaw) in try record.uint32OfBareKey() }
        }
        if let version, version != 0 { throw .unsupportedVersion(version) }

        var transaction: Transaction?
        for record in map.records where record.keyType == GlobalField.unsignedTransaction.rawValue {
            transaction = try Self.inGlobal(.unsignedTransaction) { () throws(Flaw) in
                try Flaw.unsignedTransaction(try record.valueOfBareKey())
            }
        }
        guard let transaction else { throw .unsignedTransactionMissing }
        try self.init(unsignedTransaction: transaction)
        self.statedVersion = version
        for record in map.records { try self.readGlobal(record) }
    }

    private mutating func readGlobal(_ record: KeyMap.Record) throws(PSBTError) {
        guard let field = GlobalField(rawValue: record.keyType) else {
            self.unknown[UnknownKey(keyType: record.keyType, keyData: Array(record.keyData))] = Array(record.value)
            return
        }
        switch field {
        case .unsignedTransaction, .version:
            break
        case .extendedPublicKey:
            let (key, origin) = try Self.inGlobal(field) { () throws(Flaw) in
                let key = try ExtendedPublicKey(parsing: record.keyData)
                let origin = try KeyOrigin(parsing: record.value)
                try key.checkDepth(of: origin)
                return (key, origin)
            }
            self.extendedPublicKeys[key] = origin
        case .proprietary:
            let key = try Self.inGlobal(field) { () throws(Flaw) in try ProprietaryKey(parsing: record.keyData) }
            self.proprietary[key] = Array(record.value)
        case .transactionVersion, .fallbackLockTime, .inputCount, .outputCount, .transactionModifiable:
            throw .invalidField(.global, .global(field), .notInVersion0)
        }
    }

    private static func inGlobal<Value>(_ field: GlobalField, _ read: () throws(Flaw) -> Value) throws(PSBTError) -> Value {
        do throws(Flaw) { return try read() } catch { throw .invalidField(.global, .global(field), error) }
    }
}

// MARK: - Encoding

extension PSBT {
    /// The binary encoding.
    ///
    /// Within each map, fields stand in the order of their key types, and those of one type in the order of their key data,
    /// compared byte by byte; only PSBT_IN_PARTIAL_SIG goes by the HASH160 of its key, as in BIP-174's own figures.
    public func serialized() -> [UInt8] { self.encoding().bytes }

    private func encoding() -> (bytes: [UInt8], fieldCount: Int) {
        var writer = ByteWriter()
        writer.write(Self.magic)
        var fieldCount = self.writeGlobal(to: &writer)
        for input in self.inputs { fieldCount += input.write(to: &writer) }
        for output in self.outputs { fieldCount += output.write(to: &writer) }
        return (writer.bytes, fieldCount)
    }

    /// Whether what was put together of several PSBTs is still no more than is read of one.
    ///
    /// - Throws: `tooLong`, `tooManyFields`, `tooManyItems`.
    func checkBounds() throws(PSBTError) {
        let (bytes, fieldCount) = self.encoding()
        guard bytes.count <= Self.byteCountMax else { throw .tooLong(byteCount: bytes.count) }
        guard fieldCount <= Self.fieldCountMax else { throw .tooManyFields }
        var itemCount = 0
        for input in self.inputs {
            itemCount += input.finalScriptWitness?.items.count ?? 0
            for spent in input.nonWitnessUTXO?.inputs ?? [] { itemCount += spent.witness.items.count }
        }
        for output in self.outputs { itemCount += output.tapTree?.leafCount ?? 0 }
        guard itemCount <= Self.itemCountMax else { throw .tooManyItems }
    }

    /// The binary encoding in Base64 (BIP-174, "Encoding").
    public func base64() -> String { Base64.encode(self.serialized()) }

    private func writeGlobal(to writer: inout ByteWriter) -> Int {
        var map = KeyMapWriter<GlobalField>()
        map.add(.unsignedTransaction, self.unsignedTransaction.serializedWithoutWitness())
        for (key, origin) in self.extendedPublicKeys { map.add(.extendedPublicKey, key: key.bytes, origin.serialized) }
        map.add(.version, self.statedVersion?.littleEndianBytes)
        for (key, value) in self.proprietary { map.add(.proprietary, key: key.serialized, value) }
        map.add(unknown: self.unknown)
        return map.finish(into: &writer)
    }
}
