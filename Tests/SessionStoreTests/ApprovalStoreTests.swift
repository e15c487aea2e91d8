import CryptoPrimitives
import Foundation
import Signing
import SigningTestSupport
import Testing

@testable import SessionStore

struct `A store of automatic approvals` {
    private let folder: TemporaryFolder
    private let group = Sample.digest("group")

    init() throws { self.folder = try TemporaryFolder() }

    private func open() async throws -> SessionDatabase {
        let database = try await SessionDatabase.open(self.folder.file("database"))
        try await database.groups.put(StoredGroup(name: "till", policy: [1], policyDigest: self.group, members: []))
        return database
    }

    @Test func `keeps the last of each group, whole, and nothing of groups that are not there`() async throws {
        let database = try await self.open()
        #expect(try await database.approvals.approval(of: self.group) == nil)
        let first = StoredApproval(policy: [1, 2], history: [3], halt: "")
        let second = StoredApproval(policy: [], history: [4, 5], halt: "a clone of the key")
        for approval in [first, second, second] {
            try await database.approvals.put(approval, of: self.group)
            #expect(try await database.approvals.approval(of: self.group) == approval)
        }
        await #expect(throws: StoreError.notFound) { try await database.approvals.put(first, of: Sample.digest("another group")) }
        await database.close()
        let again = try await SessionDatabase.open(database.path)
        #expect(try await again.approvals.approval(of: self.group) == second)
        try await again.groups.remove(self.group)
        #expect(try await again.approvals.approval(of: self.group) == nil)
        await again.close()
    }

    @Test func `refuses what is too large, and keeps what stood`() async throws {
        let database = try await self.open()
        let stands = StoredApproval(policy: [1], history: [2], halt: "")
        try await database.approvals.put(stands, of: self.group)
        let tooMuch = [
            StoredApproval(policy: Array(repeating: 0, count: ApprovalPolicyText.byteCountMax + 1), history: [], halt: ""),
            StoredApproval(policy: [], history: Array(repeating: 0, count: ApprovalHistory.byteCountMax + 1), halt: ""),
            StoredApproval(policy: [], history: [], halt: String(repeating: "ä", count: 251)),
        ]
        for approval in tooMuch {
            await #expect(throws: StoreError.self) { try await database.approvals.put(approval, of: self.group) }
        }
        #expect(try await database.approvals.approval(of: self.group) == stands)
        await database.close()
    }

    @Test func `says so when a row was altered`() async throws {
        let database = try await self.open()
        try await database.approvals.put(StoredApproval(policy: [1], history: [2], halt: ""), of: self.group)
        try await database.write { database throws(StoreError) in try database.execute("UPDATE approval SET history = x'07'") }
        await #expect(throws: StoreError.self) { try await database.approvals.approval(of: self.group) }
        await database.close()
    }
}
