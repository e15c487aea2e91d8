import Bitcoin
import CryptoPrimitives
import Foundation
import Secp256k1
import Signing
import SigningTestSupport
import Testing

@testable import SessionStore

private func enrolment(_ name: String, version: UInt32 = 1, identity: String? = nil, expiry: UInt64 = 0) throws -> Enrolment {
    try Enrolment(
        network: .signet, signer: Sample.secretKey(name), identity: deviceKey(of: identity ?? name), version: version, expiry: expiry)
}

private func deviceKey(of name: String) throws -> Ed25519.SecretKey {
    let seed = Sample.digest("identity \(name)")
    return try Ed25519.SecretKey(seed: SecretBytes(count: 32) { target in seed.withUnsafeBytes { target.copyMemory(from: $0) } })
}

struct `A store of contacts` {
    private let folder: TemporaryFolder

    init() throws { self.folder = try TemporaryFolder() }

    @Test func `keeps what the owner says and what was learned, each apart from the other`() async throws {
        let path = self.folder.file("database")
        var database = try await SessionDatabase.open(path)
        let ada = try Sample.signer("Ada")
        await #expect(throws: StoreError.notFound) { try await database.contacts.learn(enrolment("Ada")) }
        await #expect(throws: StoreError.notFound) { try await database.contacts.setAddresses(["/ip4/1.2.3.4/tcp/1"], of: ada) }
        try await database.contacts.put(Contact(signer: ada, label: "Ada"))
        try await database.contacts.learn(enrolment("Ada", version: 2))
        try await database.contacts.setAddresses(["/ip4/1.2.3.4/tcp/1", "/dns/ä/tcp/2"], of: ada)
        try await database.contacts.put(Contact(signer: ada, label: "Ada L.", isVerified: true, blockedUntil: 5_000))
        for _ in 0..<2 {
            let found = try #require(try await database.contacts.contact(ada))
            #expect(found.label == "Ada L." && found.isVerified && found.blockedUntil == 5_000)
            #expect(try found.enrolment == enrolment("Ada", version: 2))
            #expect(found.addresses == ["/ip4/1.2.3.4/tcp/1", "/dns/ä/tcp/2"])
            await database.close()
            database = try await SessionDatabase.open(path)
        }
        try await database.contacts.setAddresses([], of: ada)
        #expect(try await database.contacts.contact(ada)?.addresses == [])
        try await database.contacts.remove(ada)
        #expect(try await database.contacts.contact(ada) == nil)
    }

    @Test func `keeps the highest enrolment only, and believes no voice about another machine`() async throws {
        let contacts = try await SessionDatabase.open(self.folder.file("database")).contacts
        let ada = try Sample.signer("Ada")
        try await contacts.put(Contact(signer: ada, label: "Ada", isVerified: true))
        try await contacts.learn(enrolment("Ada", version: 2))
        #expect(try await contacts.contact(ada)?.isVerified == true)
        try await contacts.learn(enrolment("Ada", version: 2))
        await #expect(throws: StoreError.stale(standing: 2)) { try await contacts.learn(enrolment("Ada", version: 1)) }
        await #expect(throws: StoreError.differentStands) { try await contacts.learn(enrolment("Ada", version: 2, expiry: 7)) }
        try await contacts.learn(enrolment("Ada", version: 3))
        #expect(try await contacts.contact(ada)?.isVerified == true)
        try await contacts.learn(enrolment("Ada", version: 4, identity: "another"))
        #expect(try await contacts.contact(ada)?.isVerified == false)
    }

    @Test func `is read by pages, and refuses what is too long`() async throws {
        let contacts = try await SessionDatabase.open(self.folder.file("database")).contacts
        let signers = try (0..<10).map { try Sample.signer("\($0)") }.sorted()
        for signer in signers { try await contacts.put(Contact(signer: signer, label: "x")) }
        var found: [PublicKey] = []
        while true {
            let page = try await contacts.contacts(after: found.last, countMax: 3)
            if page.isEmpty { break }
            found += page.map(\.signer)
        }
        #expect(found == signers)
        await #expect(throws: StoreError.self) {
            try await contacts.put(Contact(signer: signers[0], label: String(repeating: "ä", count: 33)))
        }
        let bad = [[""], ["a\nb"], [String(repeating: "x", count: 513)], [String](repeating: "x", count: 17), ["a\u{0}"]]
        for addresses in bad {
            await #expect(throws: StoreError.self) { try await contacts.setAddresses(addresses, of: signers[0]) }
        }
        #expect(try await contacts.contact(signers[0])?.addresses == [])
    }
}

struct `A store of groups` {
    private let folder: TemporaryFolder

    init() throws { self.folder = try TemporaryFolder() }

    @Test func `keeps a group once, and its members' newest enrolments`() async throws {
        let path = self.folder.file("database")
        var database = try await SessionDatabase.open(path)
        let digest = Sample.digest("policy")
        let group = StoredGroup(
            name: "family", policy: [1, 2, 3], policyDigest: digest, members: try [enrolment("Ada", version: 2), enrolment("Bo")])
        try await database.groups.put(group)
        let newer = StoredGroup(
            name: "family", policy: [1, 2, 3], policyDigest: digest,
            members: try [enrolment("Ada", version: 1), enrolment("Bo", version: 5), enrolment("Cy")])
        try await database.groups.put(newer)
        let groups = database.groups
        for other in [
            StoredGroup(name: "other", policy: [1, 2, 3], policyDigest: digest, members: []),
            StoredGroup(name: "family", policy: [1, 2], policyDigest: digest, members: []),
            StoredGroup(name: "family", policy: [1, 2, 3], policyDigest: Sample.digest("other"), members: []),
        ] {
            await #expect(throws: StoreError.differentStands) { try await groups.put(other) }
        }
        await database.close()
        database = try await SessionDatabase.open(path)
        let found = try #require(try await database.groups.group(digest))
        let expected = try [enrolment("Ada", version: 2), enrolment("Bo", version: 5), enrolment("Cy")]
        #expect(found.name == "family" && found.policy == [1, 2, 3] && Set(found.members) == Set(expected))
        #expect(try await database.groups.group(named: "family") == found)
        #expect(try await database.groups.group(named: "nobody") == nil)
        try await database.groups.put(StoredGroup(name: "firm", policy: [], policyDigest: Sample.digest("firm"), members: []))
        #expect(try await database.groups.groups(after: nil, countMax: 1).map(\.name) == ["family"])
        #expect(try await database.groups.groups(after: "family", countMax: 5).map(\.name) == ["firm"])
        try await database.groups.remove(digest)
        #expect(try await database.groups.group(digest) == nil)
        await #expect(throws: StoreError.tooLarge(what: "policy", limit: 65_536)) {
            try await database.groups.put(
                StoredGroup(name: "x", policy: [UInt8](repeating: 0, count: 65_537), policyDigest: digest, members: []))
        }
    }
}

struct `A mailbox` {
    private let folder: TemporaryFolder
    private let ada: Ed25519.PublicKey
    private let bo: Ed25519.PublicKey

    init() throws {
        self.folder = try TemporaryFolder()
        self.ada = try deviceKey(of: "Ada").publicKey
        self.bo = try deviceKey(of: "Bo").publicKey
    }

    private func open(_ bounds: MailboxBounds = MailboxBounds()) async throws -> SQLiteMailboxStore {
        try await SessionDatabase.open(self.folder.file("database")).mailbox(within: bounds)
    }

    @Test func `gives each recipient its own messages by pages, and drops what is acknowledged`() async throws {
        let mailbox = try await self.open()
        var cursors: [UInt64] = []
        for index in UInt8(0)..<10 {
            cursors.append(try await mailbox.deposit([index], for: self.ada, from: "h", expiry: 2_000, at: 1_000))
            #expect(try await mailbox.deposit([index], for: self.ada, from: "h", expiry: 2_000, at: 1_000) == cursors.last)
            _ = try await mailbox.deposit([index], for: self.bo, from: "h", expiry: 2_000, at: 1_000)
        }
        #expect(cursors == cursors.sorted() && Set(cursors).count == 10)
        var (found, last): ([MailboxMessage], UInt64) = ([], 0)
        while true {
            let page = try await mailbox.messages(for: self.ada, after: last, countMax: 100, byteCountMax: 3, at: 1_500)
            guard let end = page.last else { break }
            #expect(page.count <= 3)
            found += page
            last = end.cursor
        }
        #expect(found.map(\.cursor) == cursors && found.map(\.bytes) == (UInt8(0)..<10).map { [$0] })
        // Who is not the recipient acknowledges nothing.
        try await mailbox.acknowledge(cursors, by: self.bo)
        try await mailbox.acknowledge(Array(cursors.prefix(4)) + [999], by: self.ada)
        let rest = try await mailbox.messages(for: self.ada, after: 0, countMax: 100, byteCountMax: 100, at: 1_500)
        #expect(rest.map(\.cursor) == Array(cursors.dropFirst(4)))
        #expect(try await mailbox.messages(for: self.bo, after: 0, countMax: 100, byteCountMax: 100, at: 1_500).count == 10)
        // A cursor never comes again.
        try await mailbox.acknowledge(cursors, by: self.ada)
        let next = try await mailbox.deposit([77], for: self.ada, from: "h", expiry: 2_000, at: 1_000)
        #expect(next > cursors[9])
    }

    @Test func `is bounded for a recipient, a source, and in all, by count and by bytes`() async throws {
        var bounds = MailboxBounds()
        (bounds.messageByteCountMax, bounds.countPerRecipientAndSourceMax, bounds.byteCountPerRecipientAndSourceMax) = (100, 2, 150)
        (bounds.countPerRecipientMax, bounds.countPerSourceMax, bounds.countMax, bounds.byteCountMax) = (3, 3, 6, 400)
        let mailbox = try await self.open(bounds)
        func deposit(_ bytes: [UInt8], _ recipient: Ed25519.PublicKey, _ source: String, at now: UInt64 = 1_000) async throws {
            _ = try await mailbox.deposit(bytes, for: recipient, from: source, expiry: 2_000, at: now)
        }
        await #expect(throws: StoreError.tooLarge(what: "message", limit: 100)) {
            try await deposit([UInt8](repeating: 0, count: 101), self.ada, "h")
        }
        await #expect(throws: StoreError.stale(standing: 2_000)) { try await deposit([1], self.ada, "h", at: 2_000) }
        try await deposit([UInt8](repeating: 1, count: 100), self.ada, "h")
        await #expect(throws: StoreError.full(.source, limit: 150)) { try await deposit([UInt8](repeating: 2, count: 60), self.ada, "h") }
        try await deposit([2], self.ada, "h")
        await #expect(throws: StoreError.full(.source, limit: 2)) { try await deposit([3], self.ada, "h") }
        try await deposit([3], self.ada, "i")
        await #expect(throws: StoreError.full(.recipient, limit: 3)) { try await deposit([4], self.ada, "j") }
        try await deposit([1], self.bo, "h")
        await #expect(throws: StoreError.full(.source, limit: 3)) { try await deposit([2], self.bo, "h") }
        try await deposit([2], self.bo, "i")
        let cy = try deviceKey(of: "Cy").publicKey
        try await deposit([1], cy, "k")
        await #expect(throws: StoreError.full(.all, limit: 6)) { try await deposit([2], cy, "l") }

        // What is over makes room.
        #expect(try await mailbox.removeExpired(at: 1_999, countMax: 100) == 0)
        #expect(try await mailbox.messages(for: self.ada, after: 0, countMax: 100, byteCountMax: 1_000, at: 2_000).isEmpty)
        #expect(try await mailbox.removeExpired(at: 2_000, countMax: 4) == 4)
        _ = try await mailbox.deposit([1], for: self.ada, from: "h", expiry: 3_000, at: 2_000)
        #expect(try await mailbox.removeExpired(at: 2_000, countMax: 4) == 0, "depositing removed the rest by the way")
    }
}
