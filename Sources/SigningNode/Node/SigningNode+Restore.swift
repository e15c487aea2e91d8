internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import SessionStore
internal import Signing

// What a node finds on its disk when it starts.

extension SigningNode {
    private static let pageCount = 64

    func restoreGroups(_ machine: inout SigningMachine) async throws(SigningNodeError) {
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
            }
            last = end
        }
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
        let completion = try await self.completion(of: stored, requests)
        // A request of a group that was removed stays where it is.
        do {
            try machine.restore(stored, proposal: proposal, records: records, completion: completion, now: now)
        } catch { self.log.append(.notStored(stored.id, reason: "\(error)")) }
    }

    private func completion(of stored: StoredRequest, _ requests: SQLiteRequestStore) async throws(SigningNodeError) -> [UInt8]? {
        var sequence: UInt32 = 0
        while true {
            let page: [TranscriptEntry]
            do {
                page = try await requests.transcript(of: stored.id, after: sequence, countMax: 256, byteCountMax: 8 << 20)
            } catch { throw .store(error) }
            guard let end = page.last?.sequence else { return nil }
            if let entry = page.first(where: { $0.kind == TranscriptLine.Kind.completion.rawValue }) { return entry.bytes }
            sequence = end
        }
    }

    /// Where contacts were last found.
    func restoreAddresses(_ machine: inout SigningMachine, now: Duration) async throws(SigningNodeError) {
        var last: PublicKey?
        while true {
            let page: [Contact]
            do { page = try await self.database.contacts.contacts(after: last, countMax: Self.pageCount) } catch { throw .store(error) }
            guard let end = page.last?.signer else { return }
            for contact in page {
                guard let identity = contact.enrolment?.identity else { continue }
                machine.learn(contact.addresses.compactMap { try? Multiaddr(text: $0) }, of: PeerID(of: identity), now: now)
            }
            last = end
        }
    }
}
