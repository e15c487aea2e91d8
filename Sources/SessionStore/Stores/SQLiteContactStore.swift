public import Secp256k1
public import Signing

/// The `ContactStore` in a `SessionDatabase`.
public struct SQLiteContactStore: ContactStore {
    private let database: SessionDatabase

    /// Contacts in all. Source: Chorale's own bound, above any address book that a person keeps.
    public static let countMax = 10_000

    init(_ database: SessionDatabase) { self.database = database }

    public func put(_ contact: Contact) async throws(StoreError) {
        _ = try checkedText(contact.label, "label", byteCountMax: Contact.labelByteCountMax)
        try await self.database.write { database throws(StoreError) in
            var kept = Kept(contact)
            if let standing = try Self.kept(contact.signer, in: database) {
                (kept.enrolment, kept.addresses) = (standing.enrolment, standing.addresses)
            } else if try database.number("SELECT count(*) FROM contact") >= Self.countMax {
                throw .full(.all, limit: Self.countMax)
            }
            try Self.save(kept, in: database)
        }
    }

    public func contact(_ signer: PublicKey) async throws(StoreError) -> Contact? {
        let kept = try await self.database.read { database throws(StoreError) in try Self.kept(signer, in: database) }
        return try kept?.contact(path: self.database.path)
    }

    public func contacts(after signer: PublicKey?, countMax: Int) async throws(StoreError) -> [Contact] {
        let kept = try await self.database.read { database throws(StoreError) in
            try database.rows(
                "SELECT * FROM contact WHERE signer > ? ORDER BY signer LIMIT ?", .blob(signer?.bytes ?? []), .number(max(0, countMax)),
                read: Self.read)
        }
        // The signatures of enrolments are verified here, where nobody else waits.
        var contacts: [Contact] = []
        for one in kept { contacts.append(try one.contact(path: self.database.path)) }
        return contacts
    }

    public func learn(_ enrolment: Enrolment) async throws(StoreError) {
        try await self.database.write { database throws(StoreError) in
            guard var kept = try Self.kept(enrolment.signer, in: database) else { throw .notFound }
            if let standing = try kept.contact(path: database.path).enrolment {
                if standing == enrolment { return }
                guard enrolment.version > standing.version else {
                    throw enrolment.version == standing.version ? .differentStands : .stale(standing: UInt64(standing.version))
                }
                // Who was heard by voice vouched for another machine.
                if standing.identity != enrolment.identity { kept.contact.isVerified = false }
            }
            kept.enrolment = enrolment.serialized()
            try Self.save(kept, in: database)
        }
    }

    public func setAddresses(_ addresses: [String], of signer: PublicKey) async throws(StoreError) {
        guard addresses.count <= Contact.addressCountMax else { throw .tooLarge(what: "list of addresses", limit: Contact.addressCountMax) }
        for address in addresses {
            _ = try checkedText(address, "address", byteCountMax: Contact.addressByteCountMax)
            guard !address.isEmpty, !address.utf8.contains(Self.separator) else {
                throw .tooLarge(what: "address", limit: Contact.addressByteCountMax)
            }
        }
        // A later address is as good as this one, so a power cut may take it.
        try await self.database.write(.lazy) { database throws(StoreError) in
            guard var kept = try Self.kept(signer, in: database) else { throw .notFound }
            kept.addresses = addresses.joined(separator: "\n")
            try Self.save(kept, in: database)
        }
    }

    public func remove(_ signer: PublicKey) async throws(StoreError) {
        try await self.database.write { database throws(StoreError) in
            try database.execute("DELETE FROM contact WHERE signer = ?", .key(signer))
        }
    }

    // MARK: - Rows

    /// Between addresses: no multiaddr has a line feed.
    private static let separator = UInt8(ascii: "\n")

    /// A contact as it lies in the table: its enrolment not taken apart.
    private struct Kept: Sendable {
        var contact: Contact
        var enrolment: [UInt8]?
        var addresses = ""

        init(_ contact: Contact) { self.contact = contact }

        /// In the order of the table's columns.
        var values: [SQLValue] {
            let values: [SQLValue] = [
                .key(self.contact.signer), .text(self.contact.label), self.enrolment.map(SQLValue.blob) ?? .null, .text(self.addresses),
                .integer(self.contact.isVerified ? 1 : 0), .seconds(self.contact.blockedUntil),
            ]
            return values + [.blob(RowCheck.over("contact", values))]
        }

        func contact(path: String) throws(StoreError) -> Contact {
            var contact = self.contact
            contact.addresses = self.addresses.split(separator: "\n").map(String.init)
            if let bytes = self.enrolment {
                do { contact.enrolment = try Enrolment(parsing: bytes) } catch {
                    throw .damaged(path: path, detail: "an enrolment: \(error)")
                }
            }
            return contact
        }
    }

    private static func kept(_ signer: PublicKey, in database: Database) throws(StoreError) -> Kept? {
        try database.row("SELECT * FROM contact WHERE signer = ?", .key(signer), read: Self.read)
    }

    private static func read(_ row: DatabaseRow) throws(StoreError) -> Kept {
        var kept = Kept(
            Contact(
                signer: try row.publicKey(0), label: try row.text(1), isVerified: try row.integer(4) == 1, blockedUntil: try row.number(5)))
        kept.enrolment = try row.isNull(2) ? nil : row.blob(2)
        kept.addresses = try row.text(3)
        guard try kept.values.last == .blob(row.blob(6)) else { throw row.damage("an altered contact", 6) }
        return kept
    }

    private static func save(_ kept: Kept, in database: Database) throws(StoreError) {
        try database.execute(
            """
            INSERT OR REPLACE INTO contact (signer, label, enrolment, addresses, is_verified, blocked_until, row_check) \
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """, kept.values)
    }
}
