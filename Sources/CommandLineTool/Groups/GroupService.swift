import Bitcoin
import CryptoPrimitives
import Secp256k1
import SessionStore
import Signing
import SigningNode

// Groups: those that are made, those that others are invited to, those that are being joined.

extension NodeService {
    /// The groups that this node takes part in, by their names.
    func storedGroups() async throws(ControlError) -> [StoredGroup] {
        let store = self.database.groups
        do throws(StoreError) {
            var groups: [StoredGroup] = []
            for (_, digest) in try await store.groups(after: nil, countMax: SQLiteGroupStore.countMax) {
                if let group = try await store.group(digest) { groups.append(group) }
            }
            return groups
        } catch { throw .failed("\(error)") }
    }

    func storedGroup(named name: String) async throws(ControlError) -> StoredGroup {
        do throws(SigningNodeError) { if let group = try await self.node.group(named: name) { return group } } catch {
            throw Self.failure(error)
        }
        let begun = await self.host.joinings.map(\.name) + self.host.gatherings.map(\.terms.name)
        if begun.contains(name) {
            throw .missing("the group \(name.printable) is not made yet: chorale group show tells who is awaited")
        }
        let names = try await self.storedGroups().map(\.name)
        let suggestion = Suggestion.nearest(to: name, among: names).map { ": did you mean \($0.printable)?" } ?? ""
        throw .missing("this node has no group \(name.printable)\(suggestion); those that there are, tells chorale group list")
    }

    /// The policy of a group.
    func policy(of group: StoredGroup) async throws(ControlError) -> any SpendingPolicy {
        let policy: (any SpendingPolicy)?
        do throws(SigningNodeError) { policy = try await self.node.policy(of: group.policyDigest) } catch { throw Self.failure(error) }
        guard let policy else {
            throw .failed("the policy of the group \(group.name.printable) could not be made: look at the node's output")
        }
        return policy
    }

    // MARK: - Inviting

    func invite(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let memberCount = try request.integer("members", 1...GroupTerms.memberCounts.upperBound)
        var shape = GroupTerms.Shape.everyone
        if let threshold = try request.optionalInteger("threshold", 1...memberCount) {
            shape = .delegated(threshold: threshold, try Self.internalKey(request))
        }
        let (name, seconds) = (try request.text("name"), try request.integer("seconds", 1...Int(GroupHost.secondsMax)))
        do throws(GroupHostError) {
            return self.json(
                try await self.host.invite(to: name, memberCount: memberCount, shape: shape, seconds: UInt64(seconds)),
                names: SignerNames(own: self.node.signer, label: self.label))
        } catch { throw .failed("\(error)") }
    }

    private static func internalKey(_ request: NodeRequest) throws(ControlError) -> DelegatedMultisig.InternalKey {
        switch try request.text("internal_key") {
        case "aggregate": return .aggregate
        case "unspendable": return .unspendable
        case "owner":
            guard let bytes = Bytes32(hex: try request.text("owner")), let key = try? XOnlyPublicKey(bytes) else {
                throw .failed("\"owner\" is no x-only public key in hex")
            }
            return .owner(key)
        default: throw .failed("\"internal_key\" is aggregate, unspendable or owner")
        }
    }

    func cancelGroup(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let name = try request.text("name")
        do throws(GroupHostError) { try await self.host.cancel(name) } catch {
            throw if case .unknown = error { .missing("\(error) (chorale group list)") } else { .failed("\(error)") }
        }
        return .object(["name": .string(name)])
    }

    // MARK: - Joining

    func join(_ request: NodeRequest, _ reply: ControlReply) async throws(ControlError) {
        let text = try request.text("invitation")
        let invitation: GroupInvitation
        do throws(GroupError) { invitation = try GroupInvitation(text: text) } catch {
            throw .failed("the invitation cannot be read: \(error)")
        }
        let name = try request.optionalText("name") ?? invitation.terms.name
        let progress: AsyncStream<GroupHost.Progress>
        do throws(GroupHostError) { progress = try await self.host.join(invitation, name: name) } catch { throw .failed("\(error)") }
        for await step in progress {
            switch step {
            case .asking(let joined, let count):
                try await reply.send(
                    .object(["state": .string("joining"), "joined_count": .integer(joined), "member_count": .integer(count)]))
            case .trouble(let reason): try await reply.send(.object(["state": .string("trouble"), "reason": .string(reason)]))
            case .refused(let reason): throw .failed("\(reason)")
            case .exists(let name): throw .failed("\(SigningNodeError.groupExists(name: name))")
            case .made:
                var members: [(name: String, value: JSONValue)] = [("state", .string("made"))]
                if case .object(let group) = try await self.json(self.storedGroup(named: name), full: true) {
                    members += group.filter { $0.name != "state" }
                }
                try await reply.send(.object(members))
            }
        }
    }

    // MARK: - What there is

    func groups() async throws(ControlError) -> [JSONValue] {
        let stored = try await self.storedGroups()
        var values: [JSONValue] = []
        for group in stored { values.append(try await self.json(group, full: false)) }
        for gathering in await self.unfinished(beside: stored) { values.append(try await self.json(gathering)) }
        for joining in await self.host.joinings { values.append(Self.json(joining)) }
        return values
    }

    func showGroup(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let name = try request.text("name")
        if let gathering = await self.unfinished(beside: try await self.storedGroups()).first(where: { $0.terms.name == name }) {
            return try await self.json(gathering)
        }
        if let joining = await self.host.joinings.first(where: { $0.name == name }) { return Self.json(joining) }
        return try await self.json(self.storedGroup(named: name), full: true)
    }

    /// All that its policy follows from.
    func groupRecord(_ request: NodeRequest) async throws(ControlError) -> JSONValue {
        let group = try await self.storedGroup(named: request.text("name"))
        return .object(["network": .string(self.network.rawValue), "record": .string(Hex.encode(group.policy))])
    }

    private func unfinished(beside stored: [StoredGroup]) async -> [GroupGathering] {
        let (names, policies) = (Set(stored.map(\.name)), Set(stored.map(\.policy)))
        // One whose members have such a group here already, under another name, is made as well.
        return await self.host.gatherings.filter { gathering in
            !names.contains(gathering.terms.name) && !(gathering.record.map { policies.contains($0.serialized()) } ?? false)
        }
    }

    /// - Parameter full: with the number that members read to each other, which takes a moment, and with all members.
    func json(_ group: StoredGroup, full: Bool) async throws(ControlError) -> JSONValue {
        let policy = try await self.policy(of: group)
        var members: [(name: String, value: JSONValue)] = [
            ("name", .string(group.name)), ("state", .string("made")), ("network", .string(self.network.rawValue)),
            ("threshold", .integer(policy.threshold)), ("member_count", .integer(policy.members.count)),
            ("address", .optional(Address(scriptPubKey: policy.scriptPubKey, network: self.network)?.text)),
            ("policy_digest", .string("\(group.policyDigest)")),
        ]
        guard full else { return .object(members) }
        members.append(("number", .string("\(SafetyNumber(ofGroup: group.policyDigest))")))
        if let delegated = policy as? DelegatedMultisig { members.append(("key_path", .string(delegated.keyPathDescription))) }
        members.append(("members", .array(try await self.json(membersOf: policy, group))))
        return .object(members)
    }

    private func json(membersOf policy: any SpendingPolicy, _ group: StoredGroup) async throws(ControlError) -> [JSONValue] {
        let connected = Set(try await self.connectivity().filter { $0.method != nil }.map(\.signer))
        let enrolled = Set(group.members.map(\.signer))
        var values: [JSONValue] = []
        for signer in policy.members {
            let contact = try await self.store { (store) throws(StoreError) in try await store.contact(signer) }
            let isSelf = signer == self.node.signer
            values.append(
                .object([
                    "public_key": .string("\(signer)"), "label": .optional(isSelf ? self.label : contact?.label), "is_self": .bool(isSelf),
                    "is_enrolled": .bool(enrolled.contains(signer)), "is_verified": .bool(contact?.isVerified ?? false),
                    "is_connected": .bool(isSelf || connected.contains(signer)),
                ]))
        }
        return values
    }

    private func json(_ gathering: GroupGathering) async throws(ControlError) -> JSONValue {
        self.json(gathering, names: try await self.names(of: gathering.joined.map(\.signer)))
    }

    private func json(_ gathering: GroupGathering, names: SignerNames) -> JSONValue {
        let terms = gathering.terms
        return .object([
            "name": .string(terms.name), "state": .string("inviting"), "network": .string(terms.network.rawValue),
            "threshold": .integer(terms.threshold), "member_count": .integer(terms.memberCount), "expiry": .unsigned(terms.expiry),
            "joined": .array(
                gathering.joined.map { member in
                    .object(["public_key": .string("\(member.signer)"), "label": .optional(names[member.signer])])
                }),
            "invitations": .array(gathering.openInvitations.map { .string($0.text) }),
        ])
    }

    private static func json(_ joining: GroupHost.Joining) -> JSONValue {
        let terms = joining.invitation.terms
        var (joined, trouble): (Int?, String?) = (nil, nil)
        switch joining.progress {
        case .asking(let count, _): joined = count
        case .trouble(let reason): trouble = reason
        case .made, .refused, .exists: break
        }
        return .object([
            "name": .string(joining.name), "state": .string("joining"), "network": .string(terms.network.rawValue),
            "threshold": .integer(terms.threshold), "member_count": .integer(terms.memberCount), "expiry": .unsigned(terms.expiry),
            "joined_count": joined.map(JSONValue.integer) ?? .null, "trouble": .optional(trouble),
            "inviter": .string("\(joining.invitation.peer)"),
        ])
    }
}
