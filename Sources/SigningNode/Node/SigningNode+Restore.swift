internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import SessionStore
internal import Signing

// What a node finds on its disk when it starts.

extension SigningNode {
    static let pageCount = 64

    func restoreGroups(_ machine: inout SigningMachine, now: Duration) async throws(SigningNodeError) {
        var last: String?
        while true {
            let names: [(name: String, policyDigest: Bytes32)]
            do { names = try await self.database.groups.groups(after: last, countMax: Self.pageCount) } catch { throw .store(error) }
            guard let end = names.last?.name else { return }
            for (_, digest) in names {
                let group: StoredGroup?
                do { group = try await self.database.groups.group(digest) } catch { throw .store(error) }
                guard let group else { continue }
                try await Self.add(group, to: &machine)
                try await self.restoreApproval(of: digest, &machine, now: now)
            }
            last = end
        }
    }

    private func restoreApproval(of group: Bytes32, _ machine: inout SigningMachine, now: Duration) async throws(SigningNodeError) {
        do throws(StoreError) {
            guard let stored = try await self.database.approvals.approval(of: group) else { return }
            machine.restoreApproval(stored, of: group, now: now)
        } catch { throw .store(error) }
    }

    private static func add(_ group: StoredGroup, to machine: inout SigningMachine) async throws(SigningNodeError) {
        let record: GroupRecord
        do { record = try GroupRecord(parsing: group.policy) } catch { throw .record(error) }
        do { machine.add(try await record.policy(), name: group.name, members: group.members) } catch { throw .group(error) }
    }

    /// Requests that are not over go on; of those that are, others may still have to be told how they ended.
    func restoreRequests(_ machine: inout SigningMachine, now: Duration) async throws(SigningNodeError) {
        let requests = self.database.requests(within: self.configuration.requests)
        for state in StoredRequest.State.allCases where state != .expired {
            var last: Bytes32?
            while true {
                let page: [StoredRequest]
                do { page = try await requests.requests(in: state, after: last, countMax: Self.pageCount) } catch { throw .store(error) }
                guard let end = page.last?.id else { break }
                for stored in page {
                    if state.isOver, !Self.isAnsweredFor(stored) { continue }
                    try await self.restore(stored, requests, &machine, now: now)
                }
                last = end
            }
        }
    }

    private static func isAnsweredFor(_ stored: StoredRequest) -> Bool {
        WallClock.secondsSince1970 < stored.expiry.addingReportingOverflow(3_600).partialValue
    }

    private func restore(
        _ stored: StoredRequest, _ requests: SQLiteRequestStore, _ machine: inout SigningMachine, now: Duration
    ) async throws(SigningNodeError) {
        let proposal: [UInt8]?, records: [BurnRecord]
        do { proposal = try await requests.proposal(of: stored.id) } catch { throw .store(error) }
        do { records = try await self.database.journal.records(request: stored.id) } catch { throw .journal(error) }
        guard let proposal else { return }
        let (completion, said) = try await self.history(of: stored, requests)
        // A request of a group that was removed stays where it is.
        do {
            try machine.restore(stored, proposal: proposal, records: records, completion: completion, said: said, now: now)
        } catch { self.log.append(.notStored(stored.id, reason: "\(error)")) }
    }

    /// Bytes of what was said about one request that a process starts with.
    private static let saidByteCountMax = 4 << 20

    /// How a request was completed, and the newest of what its machine has a use for.
    func history(
        of stored: StoredRequest, _ requests: SQLiteRequestStore
    ) async throws(SigningNodeError) -> (completion: [UInt8]?, said: [TranscriptEntry]) {
        var sequence: UInt32 = 0
        var completion: [UInt8]?
        var (said, byteCount): ([TranscriptEntry], Int) = ([], 0)
        while true {
            let page: [TranscriptEntry]
            do {
                page = try await requests.transcript(of: stored.id, after: sequence, countMax: 256, byteCountMax: 8 << 20)
            } catch { throw .store(error) }
            guard let end = page.last?.sequence else { return (completion, said) }
            if let entry = page.first(where: { $0.kind == TranscriptLine.Kind.completion.rawValue }) {
                completion = completion ?? entry.bytes
            }
            for entry in page where SigningMachine.isWorthRecalling(entry) {
                said.append(entry)
                byteCount += entry.bytes.count
                // Alarms stay, of which there are few.
                while byteCount > Self.saidByteCountMax,
                    let oldest = said.firstIndex(where: { $0.kind != TranscriptLine.Kind.cloneAlarm.rawValue })
                { byteCount -= said.remove(at: oldest).bytes.count }
            }
            sequence = end
        }
    }

    /// Where contacts were last found.
    func restoreAddresses(_ machine: inout SigningMachine, now: Duration) async throws(SigningNodeError) {
        var (last, found): (PublicKey?, [(identity: Ed25519.PublicKey, addresses: [String])]) = (nil, [])
        while true {
            let page: [Contact]
            do { page = try await self.database.contacts.contacts(after: last, countMax: Self.pageCount) } catch { throw .store(error) }
            guard let end = page.last?.signer else { break }
            for contact in page { if let identity = contact.enrolment?.identity { found.append((identity, contact.addresses)) } }
            last = end
        }
        // First who they are: what one says of another counts less than what that one says.
        machine.setContacts(Set(found.map(\.identity)))
        for (identity, addresses) in found {
            self.heardOfIdentities.insert(identity)
            machine.learn(addresses.compactMap { try? Multiaddr(text: $0) }, of: PeerID(of: identity), now: now)
        }
    }
}
