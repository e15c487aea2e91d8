import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import SessionStore
import Signing
import SigningNode

// The owner's address book.

extension NodeService {
    /// All contacts, by their labels.
    func contacts() async throws(ControlError) -> [Contact] {
        let contacts = try await self.store { (store) throws(StoreError) in
            try await store.contacts(after: nil, countMax: SQLiteContactStore.countMax)
        }
        return contacts.sorted { $0.label < $1.label }
    }

    func json(_ contact: Contact) -> JSONValue {
        let identity = contact.enrolment?.identity
        return .object([
            "label": .string(contact.label), "public_key": .string("\(contact.signer)"),
            "identity": .optional(identity.map { Hex.encode($0.bytes) }), "peer_id": .optional(identity.map { "\(PeerID(of: $0))" }),
            "is_verified": .bool(contact.isVerified), "addresses": .array(contact.addresses.map(JSONValue.string)),
        ])
    }

    /// Adds a contact by its card, or by its key where a group knows its enrolment.
    func addContact(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let label = try request.text("label")
        guard GroupTerms.isName(label) else { throw .failed("a label has 1 to 64 bytes, all of which can be seen") }
        let (given, addresses) = try await self.enrolment(for: request)
        guard given.network == self.network else {
            throw .failed("that key is for \(given.network), and this node's for \(self.network)")
        }
        let enrolment = try await self.newest(given, of: label)
        let isOutdated = enrolment.version > given.version
        guard enrolment.signer != self.node.signer else { throw .failed("that is this node's own key: give the contact of somebody else") }
        let all = try await self.contacts()
        if let other = all.first(where: { $0.label == label && $0.signer != enrolment.signer }) {
            throw .failed("\(label.printable) is another contact already, with the key \(other.signer): choose another label, or remove it")
        }
        var contact = all.first { $0.signer == enrolment.signer } ?? Contact(signer: enrolment.signer, label: label)
        contact.label = label
        let kept = contact
        try await self.store { (store) throws(StoreError) in
            try await store.put(kept)
            try await store.learn(enrolment)
            // Where a former machine was is nothing to dial.
            if !addresses.isEmpty, !isOutdated { try await store.setAddresses(addresses.map(\.description), of: enrolment.signer) }
        }
        try await self.tellGroups(of: enrolment)
        if !isOutdated { await self.node.learn(addresses, of: PeerID(of: enrolment.identity)) }
        try await self.tellOfContacts()
        guard case .object(let members) = self.json(try await self.contact(named: label)) else { return .null }
        return .object(members + [("is_outdated", .bool(isOutdated))])
    }

    /// The newest enrolment that is known here of the signer of this one. An older word is no mistake of anybody.
    private func newest(_ given: Enrolment, of label: String) async throws(ControlError) -> Enrolment {
        var known = try await self.contacts().first { $0.signer == given.signer }?.enrolment.map { [$0] } ?? []
        for group in try await self.storedGroups() { known += group.members.filter { $0.signer == given.signer } }
        let newest = known.reduce(given) { $1.version > $0.version ? $1 : $0 }
        guard !known.contains(where: { $0.version == given.version && $0.identity != given.identity }) else {
            throw .failed(
                "two machines say under one version that they are \(label.printable)'s, and the one that was known first stays: ask whether "
                    + "both are its owner's, and for another word if this one is to count (chorale key enrol)")
        }
        return newest
    }

    private func enrolment(for request: NodeRequest) async throws(ControlError) -> (Enrolment, [Multiaddr]) {
        if let text = try request.optionalText("card") {
            do throws(GroupError) {
                let card = try ContactCard(text: text)
                return (card.enrolment, card.addresses)
            } catch { throw .failed("the contact cannot be read: \(error)") }
        }
        let key = try request.key("public_key")
        for group in try await self.storedGroups() {
            if let member = group.members.first(where: { $0.signer == key }) { return (member, []) }
        }
        throw .missing("no group of this node has a member with the key \(key): ask for what chorale node show prints there")
    }

    /// The number to read to each other, of this node's signer and a contact.
    func number(of request: NodeRequest) async throws(ControlError) -> JSONValue {
        let contact = try await self.contact(named: request.text("contact"))
        guard let enrolment = contact.enrolment else {
            throw .missing("of \(contact.label.printable) no enrolment is known: add it again by what chorale node show prints there")
        }
        return .object([
            "label": .string(contact.label), "public_key": .string("\(contact.signer)"), "is_verified": .bool(contact.isVerified),
            "number": .string("\(SafetyNumber(between: self.node.enrolment, and: enrolment))"),
        ])
    }

    /// Notes that the owner compared the number, or did not: only for the number that was shown.
    func verify(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        var contact = try await self.contact(named: request.text("contact"))
        guard let enrolment = contact.enrolment,
            try request.text("number") == "\(SafetyNumber(between: self.node.enrolment, and: enrolment))"
        else { throw .failed("the machine behind \(contact.label.printable) has changed meanwhile: compare the new number") }
        contact.isVerified = true
        let kept = contact
        try await self.store { (store) throws(StoreError) in try await store.put(kept) }
        return self.json(contact)
    }

    func removeContact(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let contact = try await self.contact(named: request.text("contact"))
        try await self.store { (store) throws(StoreError) in try await store.remove(contact.signer) }
        try await self.tellOfContacts()
        return self.json(contact)
    }

    /// Whom the address book knows has a mailbox here, if this node is one.
    private func tellOfContacts() async throws(ControlError) {
        do throws(SigningNodeError) { try await self.node.contactsChanged() } catch { throw Self.failure(error) }
    }

    /// A contact by its label or its key.
    private func contact(named name: String) async throws(ControlError) -> Contact {
        let all = try await self.contacts()
        if let contact = all.first(where: { $0.label == name || "\($0.signer)" == name }) { return contact }
        let suggestion = Suggestion.nearest(to: name, among: all.map(\.label)).map { ": did you mean \($0.printable)?" } ?? ""
        throw .missing("there is no contact \(name.printable)\(suggestion); those that there are, tells chorale contact list")
    }
}
