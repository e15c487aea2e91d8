public import CryptoPrimitives
public import Signing

/// The `ApprovalStore` in a `SessionDatabase`.
public struct SQLiteApprovalStore: ApprovalStore {
    private let database: SessionDatabase

    init(_ database: SessionDatabase) { self.database = database }

    public func put(_ approval: StoredApproval, of group: Bytes32) async throws(StoreError) {
        try Self.check(approval)
        try await self.database.write { database throws(StoreError) in try Self.put(approval, of: group, in: database) }
    }

    static func check(_ approval: StoredApproval) throws(StoreError) {
        guard approval.policy.count <= ApprovalPolicyText.byteCountMax else {
            throw .tooLarge(what: "approval policy", limit: ApprovalPolicyText.byteCountMax)
        }
        guard approval.history.count <= ApprovalHistory.byteCountMax else {
            throw .tooLarge(what: "history of approvals", limit: ApprovalHistory.byteCountMax)
        }
        _ = try checkedText(approval.halt, "reason", byteCountMax: StoredApproval.haltByteCountMax)
    }

    /// In a transaction of somebody else's, perhaps.
    static func put(_ approval: StoredApproval, of group: Bytes32, in database: Database) throws(StoreError) {
        guard try database.number("SELECT count(*) FROM signing_group WHERE policy_digest = ?", .bytes(group)) == 1 else {
            throw .notFound
        }
        try database.execute(
            """
            INSERT INTO approval (policy_digest, policy, history, halt, row_check) VALUES (?, ?, ?, ?, ?) \
            ON CONFLICT (policy_digest) DO UPDATE SET policy = excluded.policy, history = excluded.history, halt = excluded.halt, \
            row_check = excluded.row_check
            """,
            Self.values(approval, group))
    }

    public func approval(of group: Bytes32) async throws(StoreError) -> StoredApproval? {
        try await self.database.read { database throws(StoreError) in
            try database.row("SELECT * FROM approval WHERE policy_digest = ?", .bytes(group), read: Self.read)
        }
    }

    /// In the order of the table's columns.
    private static func values(_ approval: StoredApproval, _ group: Bytes32) -> [SQLValue] {
        let values: [SQLValue] = [.bytes(group), .blob(approval.policy), .blob(approval.history), .text(approval.halt)]
        return values + [.blob(RowCheck.over("approval", values))]
    }

    private static func read(_ row: DatabaseRow) throws(StoreError) -> StoredApproval {
        let approval = StoredApproval(policy: try row.blob(1), history: try row.blob(2), halt: try row.text(3))
        guard try Self.values(approval, row.bytes32(0)).last == .blob(row.blob(4)) else {
            throw row.damage("an altered history of approvals", 4)
        }
        return approval
    }
}
