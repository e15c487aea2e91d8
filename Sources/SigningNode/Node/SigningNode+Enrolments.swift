internal import SessionStore
internal import Signing

// A member's other machine, kept for later processes.

extension SigningNode {
    func keep(_ enrolment: Enrolment) {
        self.heardOfIdentities.insert(enrolment.identity)
        self.record.store.pendingCount += 1
        Task {
            do throws(StoreError) {
                try await self.write(enrolment)
                self.record.wrote()
            } catch { self.record.failed(error, at: WallClock.secondsSince1970) }
            self.hasWritten()
            await self.noteKnown()
            try? await self.contactsChanged()
        }
    }

    private func write(_ enrolment: Enrolment) async throws(StoreError) {
        let groups = self.database.groups
        for (_, digest) in try await groups.groups(after: nil, countMax: SQLiteGroupStore.countMax) {
            guard let group = try await groups.group(digest), let record = try? GroupRecord(parsing: group.policy),
                record.signers.contains(enrolment.signer)
            else { continue }
            try await groups.put(
                StoredGroup(name: group.name, policy: group.policy, policyDigest: group.policyDigest, members: [enrolment]))
        }
        // Whoever is no contact stays none; one that was compared by voice is to be compared again.
        do throws(StoreError) { try await self.database.contacts.learn(enrolment) } catch {
            switch error {
            case .notFound, .stale, .differentStands: return
            default: throw error
            }
        }
    }
}
