import Bitcoin
import Secp256k1
import Signing
import SigningTestSupport
import Testing

@Suite struct GroupRecordTests {
    private func signers(_ count: Int) throws -> [PublicKey] { try (0..<count).map { try Sample.signer("member \($0)") }.sorted() }

    @Test func `a record makes the policy of its signers, and comes back from its bytes`() async throws {
        let signers = try self.signers(5)
        let records: [GroupRecord] = [
            .everyone(signers), .delegated(PolicyRecord(internalKey: .unspendable, signers: signers, threshold: 3)),
        ]
        for record in records {
            #expect(try GroupRecord(parsing: record.serialized()) == record)
            let policy = try await record.policy()
            #expect(policy.members == signers && policy.threshold == record.threshold)
        }
        let everyone = try await records[0].policy()
        #expect(try everyone.digest == SignerGroup(signers).digest)
    }

    @Test func `what is no record is refused`() throws {
        let bytes = GroupRecord.everyone(try self.signers(3)).serialized()
        for count in 0..<bytes.count {
            #expect(throws: StatementError.self) { try GroupRecord(parsing: Array(bytes.prefix(count))) }
        }
        #expect(throws: StatementError.self) { try GroupRecord(parsing: bytes + [0]) }
        // Of signers in another order there would be two records of one group.
        let unsorted = Array(bytes[..<5] + bytes[38..<71] + bytes[5..<38] + bytes[71...])
        #expect(throws: StatementError.self) { try GroupRecord(parsing: unsorted) }
        var huge = bytes
        huge[1] = 0xff
        huge[4] = 0xff
        #expect(throws: StatementError.self) { try GroupRecord(parsing: huge) }
    }
}
