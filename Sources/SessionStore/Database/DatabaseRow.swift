internal import CSQLite
internal import CryptoPrimitives
internal import Secp256k1
internal import Signing

/// What a column can hold. Chorale stores no fractions.
enum SQLValue: Equatable {
    case null
    case integer(Int64)
    case text(String)
    case blob([UInt8])

    static func bytes(_ bytes: Bytes32) -> SQLValue { .blob(bytes.bytes) }
    static func key(_ key: PublicKey) -> SQLValue { .blob(key.bytes) }
    static func number(_ number: some BinaryInteger) -> SQLValue { .integer(Int64(clamping: number)) }
    /// Seconds since 1970. A time beyond the year 292 billion is stored as that.
    static func seconds(_ seconds: UInt64) -> SQLValue { .integer(Int64(clamping: seconds)) }
}

/// One row of an answer, valid until the next is asked for.
///
/// Nothing here trusts the file: a value of another kind than was written is an error, whatever SQLite would make of it.
struct DatabaseRow {
    private let statement: OpaquePointer
    private let path: String

    init(_ statement: OpaquePointer, path: String) {
        self.statement = statement
        self.path = path
    }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(self.statement, column) == SQLITE_NULL }

    func integer(_ column: Int32) throws(StoreError) -> Int64 {
        try self.expect(SQLITE_INTEGER, column)
        return sqlite3_column_int64(self.statement, column)
    }

    /// An integer that fits the type.
    func number<Number: FixedWidthInteger>(_ column: Int32) throws(StoreError) -> Number {
        guard let number = Number(exactly: try self.integer(column)) else { throw self.damage("a number out of range", column) }
        return number
    }

    func text(_ column: Int32) throws(StoreError) -> String {
        try self.expect(SQLITE_TEXT, column)
        guard let start = sqlite3_column_text(self.statement, column) else { throw self.damage("no text", column) }
        let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(self.statement, column)))
        guard let text = String(validating: bytes, as: UTF8.self) else { throw self.damage("text that is not UTF-8", column) }
        return text
    }

    func blob(_ column: Int32) throws(StoreError) -> [UInt8] {
        try self.expect(SQLITE_BLOB, column)
        // An empty blob has no address.
        guard let start = sqlite3_column_blob(self.statement, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(self.statement, column))))
    }

    func bytes32(_ column: Int32) throws(StoreError) -> Bytes32 {
        guard let bytes = Bytes32(try self.blob(column)) else { throw self.damage("not 32 bytes", column) }
        return bytes
    }

    func publicKey(_ column: Int32) throws(StoreError) -> PublicKey {
        let bytes = try self.blob(column)
        do { return try PublicKey(parsing: bytes) } catch { throw self.damage("no public key", column) }
    }

    /// What a value of another meaning than any that was written is called.
    func damage(_ what: String, _ column: Int32) -> StoreError {
        let name = sqlite3_column_name(self.statement, column).map { String(cString: $0) } ?? "\(column)"
        return .damaged(path: self.path, detail: "\(what) in the column \(name)")
    }

    private func expect(_ type: Int32, _ column: Int32) throws(StoreError) {
        guard sqlite3_column_type(self.statement, column) == type else { throw self.damage("a value of another kind", column) }
    }
}

/// A short digest beside the values of a row that nothing else vouches for: SQLite checks its trees, and not what is in them.
enum RowCheck {
    static let byteCount = 8

    /// The first bytes of a tagged hash over the table's name and all values with their kinds and lengths.
    static func over(_ table: StaticString, _ values: [SQLValue]) -> [UInt8] {
        var hash = Self.tag
        Self.update(&hash, 0, table.withUTF8Buffer { Array($0) })
        for value in values {
            switch value {
            case .null: Self.update(&hash, 1, [])
            case .integer(let integer): Self.update(&hash, 2, withUnsafeBytes(of: integer.littleEndian) { Array($0) })
            case .text(let text): Self.update(&hash, 3, Array(text.utf8))
            case .blob(let bytes): Self.update(&hash, 4, bytes)
            }
        }
        return Array(hash.finalize().bytes.prefix(Self.byteCount))
    }

    private static let tag = SHA256.tagged("chorale/row")

    private static func update(_ hash: inout SHA256, _ kind: UInt8, _ bytes: [UInt8]) {
        hash.update(kind)
        hash.update(withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { Array($0) })
        hash.update(bytes)
    }
}
