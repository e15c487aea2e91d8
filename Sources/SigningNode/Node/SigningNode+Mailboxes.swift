internal import CryptoPrimitives
public import LibP2P
internal import LibP2PPosix
internal import SessionStore
internal import Signing

// Mailboxes: the store of those whom this node serves, and where its own are.

extension SigningNode {
    /// What others are given, to reach this node: its addresses, as it announces them, and its mailboxes, which end with their peer ids.
    public var contactAddresses: [Multiaddr] {
        get async {
            let mailboxes = self.configuration.machine.mailboxes.own.prefix(
                self.configuration.machine.mailboxes.client.mailboxesPerMemberMax)
            // They come first: few addresses travel with a contact, and none of these may be cut off.
            return mailboxes + (await self.network.announcedAddresses)
        }
    }

    /// The mailboxes of ours and of members, ours first; none before the start.
    public var mailboxes: [SigningMachine.MailboxState] {
        get async {
            guard let machine = self.machine else { return [] }
            return await self.network.update(machine) { machine, _ in machine.mailboxStates }
        }
    }

    /// Whether this node keeps messages for others.
    public nonisolated var servesMailbox: Bool { self.configuration.machine.mailboxes.serves }

    /// The address book has changed: whom it knows has a mailbox here, if this node is one.
    public func contactsChanged() async throws(SigningNodeError) {
        guard let machine = self.machine else { throw .notRunning }
        let identities = try await self.contactIdentities()
        await self.network.update(machine) { machine, _ in machine.setContacts(identities) }
    }

    private func contactIdentities() async throws(SigningNodeError) -> Set<Ed25519.PublicKey> {
        do throws(StoreError) {
            let contacts = try await self.database.contacts.contacts(after: nil, countMax: SQLiteContactStore.countMax)
            return Set(contacts.compactMap { $0.enrolment?.identity })
        } catch { throw .store(error) }
    }

    // MARK: The store

    var mailboxStore: SQLiteMailboxStore { self.database.mailbox(within: self.configuration.machine.mailboxes.bounds) }

    func perform(_ id: MailboxJobID, _ job: MailboxServer.Job, at time: UInt64) {
        self.record.store.pendingCount += 1
        Task {
            let outcome = await job.carryOut(in: self.mailboxStore, at: time)
            if let machine = self.machine { await self.network.update(machine) { $0.done(id, outcome, now: $1) } }
            self.hasWritten()
        }
    }
}
