internal import Signing

/// How much is kept for whom: counted in the transaction that adds or removes it, so that asking costs the same however much there is.
enum Usage {
    /// The numbers are stored.
    enum Scope: Int64 {
        case openRequests = 1
        case requestsBySource = 2
        case allRequests = 3
        case mailByRecipient = 4
        case mailByRecipientAndSource = 5
        case mailBySource = 6
        case allMail = 7
    }

    struct Amount: Equatable {
        var count: Int
        var byteCount: Int
    }

    static func of(_ scope: Scope, _ name: [UInt8] = [], in database: Database) throws(StoreError) -> Amount {
        try database.row(
            "SELECT item_count, byte_count FROM usage WHERE scope = ? AND name = ?", .integer(scope.rawValue), .blob(name)
        ) { row throws(StoreError) in try Amount(count: row.number(0), byteCount: row.number(1)) } ?? Amount(count: 0, byteCount: 0)
    }

    static func add(_ amount: Amount, to scope: Scope, _ name: [UInt8] = [], in database: Database) throws(StoreError) {
        let sum = try Self.of(scope, name, in: database)
        let (count, byteCount) = (sum.count + amount.count, sum.byteCount + amount.byteCount)
        guard count != 0 || byteCount != 0 else {
            return try database.execute("DELETE FROM usage WHERE scope = ? AND name = ?", .integer(scope.rawValue), .blob(name))
        }
        try database.execute(
            "INSERT OR REPLACE INTO usage (scope, name, item_count, byte_count) VALUES (?, ?, ?, ?)", .integer(scope.rawValue), .blob(name),
            .number(count), .number(byteCount))
    }

    static func remove(_ amount: Amount, from scope: Scope, _ name: [UInt8] = [], in database: Database) throws(StoreError) {
        try Self.add(Amount(count: -amount.count, byteCount: -amount.byteCount), to: scope, name, in: database)
    }
}

/// A text within its bound. Nothing longer, and no zero byte, at which C would end it.
func checkedText(_ text: String, _ what: String, byteCountMax: Int) throws(StoreError) -> String {
    guard text.utf8.count <= byteCountMax, !text.utf8.contains(0) else { throw .tooLarge(what: what, limit: byteCountMax) }
    return text
}
