/// One key-value map of a PSBT as it stands in the bytes: frame and key types read, fields not yet (BIP-174, "Specification").
struct KeyMap {
    struct Record {
        let keyType: UInt64
        /// What follows the type in the key.
        let keyData: ArraySlice<UInt8>
        let value: ArraySlice<UInt8>
    }

    let records: [Record]

    /// Reads records up to and with the separator, and refuses a key that comes twice.
    ///
    /// - Parameter allowance: how many records may still come; what is read is taken off.
    init(from reader: inout ByteReader, as map: PSBT.Map, allowance: inout Int) throws(PSBTError) {
        var records: [Record] = []
        var keys: Set<ArraySlice<UInt8>> = []
        while let (key, value) = try Self.record(from: &reader, in: map) {
            var keyReader = ByteReader(key)
            guard allowance > 0 else { throw .tooManyFields }
            allowance -= 1
            let keyType = try map.decoding { () throws(ByteDecodingError) in try keyReader.readCompactSize("key type") }
            let keyData = keyReader.readRemaining()
            guard keys.insert(key).inserted else {
                throw .duplicateKey(map, PSBT.Field(keyType: keyType, in: map), keyData: Array(keyData))
            }
            records.append(Record(keyType: keyType, keyData: keyData, value: value))
        }
        self.records = records
    }

    /// The next key and value, or `nil` at the separator: a key of length 0.
    private static func record(
        from reader: inout ByteReader, in map: PSBT.Map
    ) throws(PSBTError) -> (key: ArraySlice<UInt8>, value: ArraySlice<UInt8>)? {
        try map.decoding { () throws(ByteDecodingError) in
            let key = try reader.readVariableSlice("key")
            guard !key.isEmpty else { return nil }
            return (key, try reader.readVariableSlice("value"))
        }
    }
}

extension PSBT.Map {
    /// Runs a piece of decoding and tells its error by the map it happened in.
    func decoding<Value>(_ read: () throws(ByteDecodingError) -> Value) throws(PSBTError) -> Value {
        do throws(ByteDecodingError) { return try read() } catch { throw .malformed(self, error) }
    }
}

/// Gathers the records of one map and writes them in the fixed order: by key type, then by key data.
struct KeyMapWriter<Field: RawRepresentable<UInt64>> {
    private var records: [(keyType: UInt64, order: [UInt8], keyData: [UInt8], value: [UInt8])] = []

    /// Adds a field whose key is its type alone, if it has a value.
    mutating func add(_ field: Field, _ value: [UInt8]?) {
        if let value { self.add(field, key: [], value) }
    }

    /// Adds a field; `order`, where given, takes the key data's place in the comparison.
    mutating func add(_ field: Field, key: [UInt8], order: [UInt8]? = nil, _ value: [UInt8]) {
        self.records.append((field.rawValue, order ?? key, key, value))
    }

    mutating func add(unknown: [PSBT.UnknownKey: [UInt8]]) {
        for (key, value) in unknown { self.records.append((key.keyType, key.keyData, key.keyData, value)) }
    }

    /// Writes the records and the separator. Gives back how many records there were.
    func finish(into writer: inout ByteWriter) -> Int {
        let sorted = self.records.sorted { left, right in
            if left.keyType != right.keyType { return left.keyType < right.keyType }
            return left.order.lexicographicallyPrecedes(right.order)
        }
        for record in sorted {
            writer.writeCompactSize(CompactSize.byteCount(record.keyType) + record.keyData.count)
            writer.writeCompactSize(record.keyType)
            writer.write(record.keyData)
            writer.writeVariableBytes(record.value)
        }
        writer.writeUInt8(0)
        return sorted.count
    }
}
