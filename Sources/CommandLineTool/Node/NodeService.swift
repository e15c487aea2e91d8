import Bitcoin
import CryptoPrimitives
import LibP2P
import LibP2PPosix
import Secp256k1
import SessionStore
import Signing
import SigningNode

/// Does what commands ask of a running node. `ContactService`, `GroupService`, `SignerService` and `RequestService` are its
/// parts.
struct NodeService: Sendable {
    let node: SigningNode
    let host: GroupHost
    let database: SessionDatabase
    /// What the owner's key file calls the own key.
    let label: String?

    var network: Network { self.node.enrolment.network }

    /// Answers one request of a command.
    func answer(_ value: JSONValue, _ reply: ControlReply) async throws(ControlError) {
        let request = try NodeRequest(value)
        switch request.name {
        case "node.show": try await reply.send(self.show())
        case "node.backup": try await reply.send(self.backUp(request))
        case "contact.add": try await reply.send(self.addContact(request))
        case "contact.list": for contact in try await self.contacts() { try await reply.send(self.json(contact)) }
        case "contact.number": try await reply.send(self.number(of: request))
        case "contact.verify": try await reply.send(self.verify(request))
        case "contact.remove": try await reply.send(self.removeContact(request))
        case "group.invite": try await reply.send(self.invite(request))
        case "group.join": try await self.join(request, reply)
        case "group.list": for group in try await self.groups() { try await reply.send(group) }
        case "group.show": try await reply.send(self.showGroup(request))
        case "group.record": try await reply.send(self.groupRecord(request))
        case "group.cancel": try await reply.send(self.cancelGroup(request))
        case "group.policy": try await reply.send(self.showPolicy(request))
        case "group.policy.set": try await reply.send(self.setPolicy(request))
        case "group.policy.try": try await reply.send(self.tryPolicy(request))
        case "group.policy.confirm_clock":
            try await reply.send(
                self.changePolicy(request) { (group) async throws(SigningNodeError) in try await self.node.confirmClock(of: group) })
        case "group.policy.forget_refusals":
            try await reply.send(
                self.changePolicy(request) { (group) async throws(SigningNodeError) in try await self.node.forgetRefusals(of: group) })
        case "signers.list": for found in try await self.findSigners(request) { try await reply.send(found) }
        case "signers.advertise": try await reply.send(self.advertise(request))
        case "signers.want": try await reply.send(self.wantSigners(request))
        case "signers.withdraw": try await reply.send(self.withdrawAdvertisement())
        case "request.new": try await reply.send(self.propose(request))
        case "request.list": for summary in try await self.requests() { try await reply.send(self.json(summary, full: false)) }
        case "request.show": try await reply.send(self.showRequest(request))
        case "request.approve", "request.reject", "request.withdraw", "request.cancel": try await reply.send(self.decide(request))
        case "request.sent": try await reply.send(self.noteSent(request))
        case "node.block": try await reply.send(self.block(request))
        case "node.unblock": try await reply.send(self.unblock(request))
        case "node.blocks": for block in try await self.blocks() { try await reply.send(block) }
        case "audit.export": try await self.exportTranscript(request, reply)
        case "request.watch": try await self.watch(request, reply)
        case "request.explain": try await reply.send(self.explain(request))
        default: throw .failed("this node knows no \"\(request.name.printable)\": run node and command from the same version of Chorale")
        }
    }

    private func show() async throws(ControlError) -> JSONValue {
        let addresses = await self.node.network.announcedAddresses
        let members = try await self.connectivity()
        let names = try await self.names(of: members.map(\.signer))
        let health: SigningNodeHealth
        do throws(SigningNodeError) { health = try await self.node.health } catch { throw Self.failure(error) }
        return .object([
            "enrolment_version": .unsigned(UInt64(self.node.enrolment.version)),
            "enrolment_expiry": .unsigned(self.node.enrolment.expiry),
            "peer_id": .string("\(self.node.id)"), "public_key": .string("\(self.node.signer)"), "label": .optional(self.label),
            "network": .string(self.network.rawValue),
            "addresses": .array(addresses.map { .string($0.appending(.p2p(self.node.id)).description) }),
            "contact": .string(ContactCard(self.node.enrolment, addresses: await self.node.contactAddresses).text),
            "mailboxes": .array(await self.node.mailboxes.filter(\.isOurs).map(Self.json)),
            "serves_mailbox": .bool(self.node.servesMailbox), "serves_relay": .bool(self.node.servesRelay),
            "members": .array(members.map { Self.json($0, names, now: health.time) }), "health": HealthText.json(health),
        ])
    }

    private static func json(_ mailbox: SigningMachine.MailboxState) -> JSONValue {
        .object(["peer_id": .string("\(mailbox.peer)"), "is_connected": .bool(mailbox.isConnected)])
    }

    private static func json(_ member: MemberConnectivity, _ names: SignerNames, now: Duration) -> JSONValue {
        .object(
            [
                ("public_key", .string("\(member.signer)")), ("label", .optional(names[member.signer])),
                ("peer_id", .string("\(member.peer)")), ("blocked_by", .optional(member.block.map(BlockWords.word))),
                ("enrolment_expiry", .unsigned(member.enrolmentExpiry)),
            ] + LinkText.json(member, now: now) + [("addresses", .array(member.addresses.map { .string("\($0)") }))])
    }

    // MARK: - What the parts share

    func connectivity() async throws(ControlError) -> [MemberConnectivity] {
        do throws(SigningNodeError) { return try await self.node.connectivity } catch { throw Self.failure(error) }
    }

    /// What this node's owner calls the signers: labels of contacts, and of the own key.
    func names(of signers: [PublicKey]) async throws(ControlError) -> SignerNames {
        var labels: [PublicKey: String] = [:]
        for signer in Set(signers) {
            labels[signer] = try await self.store { (store) throws(StoreError) in try await store.contact(signer)?.label }
        }
        return SignerNames(own: self.node.signer, label: self.label, contacts: labels)
    }

    /// Asks the address book.
    func store<Value: Sendable>(
        _ body: (SQLiteContactStore) async throws(StoreError) -> Value
    ) async throws(ControlError) -> Value {
        do throws(StoreError) { return try await body(self.database.contacts) } catch { throw .failed("\(error)") }
    }

    static func failure(_ error: SigningNodeError) -> ControlError {
        switch error {
        case .machine(.unknownRequest), .machine(.unknownGroup), .machine(.unknownRequestOrGroup): .missing("\(error)")
        default: .failed("\(error)")
        }
    }
}
