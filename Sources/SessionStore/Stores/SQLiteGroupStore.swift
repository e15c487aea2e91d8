public import CryptoPrimitives
public import Signing

/// The `GroupStore` in a `SessionDatabase`.
public struct SQLiteGroupStore: GroupStore {
    private let database: SessionDatabase

    /// Groups in all. Source: Chorale's own bound.
    public static let countMax = 1_000

    init(_ database: SessionDatabase) { self.database = database }

    public func put(_ group: StoredGroup) async throws(StoreError) {
        _ = try checkedText(group.name, "name", byteCountMax: StoredGroup.nameByteCountMax)
        guard group.policy.count <= StoredGroup.policyByteCountMax else {
            throw .tooLarge(what: "policy", limit: StoredGroup.policyByteCountMax)
        }
        guard group.members.count <= StoredGroup.memberCountMax else {
            throw .tooLarge(what: "list of members", limit: StoredGroup.memberCountMax)
        }
        try await self.database.write { database throws(StoreError) in
            let values = Self.values(group.policyDigest, group.name, group.policy)
            if let standing = try Self.kept("SELECT * FROM signing_group WHERE policy_digest = ?", .bytes(group.policyDigest), in: database)
            {
                guard standing.name == group.name, standing.policy == group.policy else { throw .differentStands }
            } else {
                guard try database.number("SELECT count(*) FROM signing_group WHERE name = ?", .text(group.name)) == 0 else {
                    throw .differentStands
                }
                guard try database.number("SELECT count(*) FROM signing_group") < Self.countMax else {
                    throw .full(.all, limit: Self.countMax)
                }
                try database.execute("INSERT INTO signing_group (policy_digest, name, policy, row_check) VALUES (?, ?, ?, ?)", values)
            }
            for member in group.members {
                try database.execute(
                    """
                    INSERT INTO group_member (policy_digest, signer, version, enrolment) VALUES (?, ?, ?, ?) \
                    ON CONFLICT (policy_digest, signer) DO UPDATE SET version = excluded.version, enrolment = excluded.enrolment \
                    WHERE excluded.version > version
                    """,
                    .bytes(group.policyDigest), .key(member.signer), .number(member.version), .blob(member.serialized()))
            }
            let memberCount = try database.number("SELECT count(*) FROM group_member WHERE policy_digest = ?", .bytes(group.policyDigest))
            guard memberCount <= StoredGroup.memberCountMax else {
                throw .tooLarge(what: "list of members", limit: StoredGroup.memberCountMax)
            }
        }
    }

    public func group(_ policyDigest: Bytes32) async throws(StoreError) -> StoredGroup? {
        try await self.group { database throws(StoreError) in
            try Self.kept("SELECT * FROM signing_group WHERE policy_digest = ?", .bytes(policyDigest), in: database)
        }
    }

    public func group(named name: String) async throws(StoreError) -> StoredGroup? {
        try await self.group { database throws(StoreError) in
            try Self.kept("SELECT * FROM signing_group WHERE name = ?", .text(name), in: database)
        }
    }

    public func groups(after name: String?, countMax: Int) async throws(StoreError) -> [(name: String, policyDigest: Bytes32)] {
        try await self.database.read { database throws(StoreError) in
            try database.rows(
                "SELECT * FROM signing_group WHERE ?1 IS NULL OR name > ?1 ORDER BY name LIMIT ?2", name.map(SQLValue.text) ?? .null,
                .number(max(0, countMax))
            ) { row throws(StoreError) in
                let kept = try Self.read(row)
                return (kept.name, kept.policyDigest)
            }
        }
    }

    public func remove(_ policyDigest: Bytes32) async throws(StoreError) {
        try await self.database.write { database throws(StoreError) in
            try database.execute("DELETE FROM signing_group WHERE policy_digest = ?", .bytes(policyDigest))
        }
    }

    // MARK: - Rows

    private struct Kept: Sendable {
        let policyDigest: Bytes32
        let name: String
        let policy: [UInt8]
    }

    private func group(_ find: @Sendable (Database) throws(StoreError) -> Kept?) async throws(StoreError) -> StoredGroup? {
        let found = try await self.database.read { database throws(StoreError) -> (Kept, [[UInt8]])? in
            guard let kept = try find(database) else { return nil }
            let members = try database.rows(
                "SELECT enrolment FROM group_member WHERE policy_digest = ? ORDER BY signer", .bytes(kept.policyDigest)
            ) { row throws(StoreError) in try row.blob(0) }
            return (kept, members)
        }
        guard let (kept, enrolments) = found else { return nil }
        // Their signatures are verified here, where nobody else waits.
        var members: [Enrolment] = []
        for bytes in enrolments {
            do { members.append(try Enrolment(parsing: bytes)) } catch {
                throw .damaged(path: self.database.path, detail: "an enrolment: \(error)")
            }
        }
        return StoredGroup(name: kept.name, policy: kept.policy, policyDigest: kept.policyDigest, members: members)
    }

    private static func kept(_ sql: StaticString, _ value: SQLValue, in database: Database) throws(StoreError) -> Kept? {
        try database.row(sql, value, read: Self.read)
    }

    /// In the order of the table's columns.
    private static func values(_ policyDigest: Bytes32, _ name: String, _ policy: [UInt8]) -> [SQLValue] {
        let values: [SQLValue] = [.bytes(policyDigest), .text(name), .blob(policy)]
        return values + [.blob(RowCheck.over("signing_group", values))]
    }

    private static func read(_ row: DatabaseRow) throws(StoreError) -> Kept {
        let kept = Kept(policyDigest: try row.bytes32(0), name: try row.text(1), policy: try row.blob(2))
        guard try Self.values(kept.policyDigest, kept.name, kept.policy).last == .blob(row.blob(3)) else {
            throw row.damage("an altered group", 3)
        }
        return kept
    }
}
