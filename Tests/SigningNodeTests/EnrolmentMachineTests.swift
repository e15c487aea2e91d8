import Bitcoin
import CryptoPrimitives
import LibP2P
import Secp256k1
import SessionStore
import Testing

@testable import Signing
@testable import SigningNode

/// What members tell each other of their machines while they sign, and who is said to have decided.
@Suite struct EnrolmentMachineTests {
    private let group: NodeGroup
    private let policy: any SpendingPolicy
    private let request: SigningRequest
    private let proposal: [UInt8]

    init() async throws {
        self.group = try NodeGroup(3)
        (self.policy, self.request, self.proposal) = try await self.group.proposalOfSecondMember()
    }

    private var stored: StoredRequest {
        StoredRequest(
            id: self.request.digest, source: nil, created: 1_800_000_000, expiry: 1_800_003_600, updated: 1_800_000_000,
            decision: .undecided, decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: self.request.digest))
    }

    /// With the request under way.
    private func machine(_ stored: StoredRequest? = nil) throws -> SigningMachine {
        var machine = SigningMachine(
            keys: self.group.keys[0], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        machine.add(self.policy, name: "group", members: self.group.keys.map(\.enrolment))
        try machine.restore(stored ?? self.stored, proposal: self.proposal, records: [], completion: nil, now: .zero)
        _ = self.events(&machine)
        return machine
    }

    /// All else that is to be written is durable at once.
    private func events(_ machine: inout SigningMachine, now: Duration = .zero) -> [SigningMachineEvent] {
        var events: [SigningMachineEvent] = []
        while let event = machine.nextEvent() {
            events.append(event)
            if case .write(let id, let request, _, _) = event { machine.written(id, of: request, .done(), now: now) }
        }
        return events
    }

    private func enrolment(of place: Int, version: UInt32) throws -> Enrolment {
        try Enrolment(network: .regtest, signer: self.group.keys[place].key, identity: .generate(), version: version)
    }

    /// The second member passes enrolments on.
    private func tell(
        _ enrolments: [Enrolment], _ sequence: UInt64, to machine: inout SigningMachine, now: Duration
    ) throws -> [SigningMachineEvent] {
        let roster = Roster(members: self.policy.members, network: .regtest, enrolments: self.group.keys.map(\.enrolment))
        let bytes = CoordinationMessage(
            request: self.request.digest, series: .init(incarnation: [UInt8](repeating: 7, count: 16)), sequence: sequence,
            acknowledged: nil,
            content: .enrolments(enrolments)
        ).serialized(roster)
        let sender = self.group.keys[1].enrolment.identity
        let live = try #require(machine.live[self.request.digest])
        let answer = machine.take(bytes, from: sender, PeerID(of: sender), about: live, isLive: true, now: now)
        #expect(answer == .taken)
        return self.events(&machine, now: now)
    }

    private func enrolled(_ events: [SigningMachineEvent]) -> [Enrolment] {
        events.compactMap { if case .enrolled(let enrolment) = $0 { enrolment } else { nil } }
    }

    @Test func `a member's other machine that is told of in one request counts in the group, is kept, and is dialled`() throws {
        var machine = try self.machine()
        let former = PeerID(of: self.group.keys[2].enrolment.identity)
        let new = try self.enrolment(of: 2, version: 2)
        var areMembers = [former, PeerID(of: new.identity)].map { machine.isMember($0) }
        #expect(areMembers == [true, false])
        let told = try self.tell([new], 1, to: &machine, now: .zero)
        #expect(self.enrolled(told) == [new])
        areMembers = [former, PeerID(of: new.identity)].map { machine.isMember($0) }
        #expect(areMembers == [false, true])
        let (links, isWanted) = (machine.connectivity, machine.members.isWanted(PeerID(of: new.identity)))
        #expect(links.first { $0.signer == new.signer }?.peer == PeerID(of: new.identity) && isWanted)
        // What is known is no news, and what is older counts for nothing.
        let again = try self.tell([new, self.group.keys[2].enrolment], 2, to: &machine, now: .seconds(100))
        areMembers = [former, PeerID(of: new.identity)].map { machine.isMember($0) }
        #expect(self.enrolled(again).isEmpty && areMembers == [false, true])
    }

    @Test func `of a signer that enrols one machine after the other, one a minute is taken by others' word`() throws {
        var machine = try self.machine()
        let first = try self.tell([self.enrolment(of: 2, version: 2)], 1, to: &machine, now: .zero)
        #expect(self.enrolled(first).count == 1)
        for version in 3..<40 as Range<UInt32> {
            let events = try self.tell([self.enrolment(of: 2, version: version)], UInt64(version), to: &machine, now: .seconds(59))
            #expect(self.enrolled(events).isEmpty)
        }
        let last = try self.enrolment(of: 2, version: 40)
        let told = try self.tell([last], 40, to: &machine, now: .seconds(60))
        let isMember = machine.isMember(PeerID(of: last.identity))
        #expect(self.enrolled(told) == [last] && isMember)
    }

    @Test func `a machine whose signer has enrolled another one is told so, once`() throws {
        var machine = try self.machine()
        func superseded(_ events: [SigningMachineEvent]) -> [PeerID] {
            events.compactMap { if case .superseded(let peer) = $0 { peer } else { nil } }
        }
        let new = try self.enrolment(of: 0, version: 2)
        let events = try self.tell([new], 1, to: &machine, now: .zero)
        #expect(superseded(events) == [PeerID(of: new.identity)] && self.enrolled(events).isEmpty)
        let again = try self.tell([new, self.enrolment(of: 2, version: 2)], 2, to: &machine, now: .zero)
        #expect(superseded(again).isEmpty)
    }

    @Test func `a process that dies between a policy's decision and the state that follows from it does not call it a person's`()
        async throws
    {
        let database = try await SessionDatabase.open("\(self.group.folder.path)/store.db")
        let requests = database.requests()
        try await requests.add(
            NewRequest(id: self.request.digest, source: nil, proposal: self.proposal, created: 1_800_000_000, expiry: 1_800_003_600))
        var machine = try self.machine()
        let live = try #require(machine.live[self.request.digest])
        machine.decide(.approved, about: live, byPolicy: true, now: .zero)
        // The first write is the decision; the process is gone before the next one.
        guard case .write(_, let id, let write, let time)? = machine.nextEvent(), case .decision(.approved, _, _) = write else {
            Issue.record("no decision is written")
            return
        }
        _ = try await SigningWriter(database, RequestBounds()).perform(write, of: id, at: time)
        let kept = try #require(try await requests.request(id))
        #expect(kept.decision == .approved && kept.state == .proposed)
        let next = try self.machine(kept)
        let request = next.request(id)
        #expect(request?.decision == .approved && request?.isByPolicy == true)
        await database.close()
    }

    @Test func `who decided is known through every end, and when a person's word does not get to the disk`() throws {
        var machine = try self.machine()
        let (id, live) = (self.request.digest, try #require(machine.live[self.request.digest]))
        machine.decide(.approved, about: live, byPolicy: true, now: .zero)
        _ = self.events(&machine)
        #expect(machine.request(id)?.isByPolicy == true)
        try machine.withdraw(id, now: .seconds(1))
        #expect(machine.request(id)?.isByPolicy == false)
        while let event = machine.nextEvent() {
            if case .write(let write, let request, .decision, _) = event {
                machine.written(write, of: request, .failed("the disk is full"), now: .seconds(1))
            }
        }
        #expect(machine.request(id)?.decision == .approved && machine.request(id)?.isByPolicy == true)

        var stored = self.stored
        for (reason, isByPolicy) in [("", true), ("", false), ("refused by 02ab", true), ("refused by 02ab", false)] {
            stored.reason = StoredRequest.reason(reason, byPolicy: isByPolicy)
            #expect(stored.isByPolicy == isByPolicy && stored.reasonOfEnd == reason)
        }
    }
}

/// What nodes keep of all that.
@Suite(.timeLimit(.minutes(15))) struct EnrolmentNodeTests {
    @Test func `a member's other machine is known after a restart, and is to be compared again`() async throws {
        let group = try NodeGroup(2)
        try await group.start(0)
        let signer = group.keys[1].signer
        let contacts = try #require(group.databases[0]).contacts
        try await contacts.put(Contact(signer: signer, label: "Bob"))
        try await contacts.learn(group.keys[1].enrolment)
        var contact = try #require(try await contacts.contact(signer))
        contact.isVerified = true
        try await contacts.put(contact)
        let new = try Enrolment(network: .regtest, signer: group.keys[1].key, identity: .generate(), version: 2)
        try await group.node(0).keep(new)
        await group.stop(0)
        try await group.start(0)
        let peers = try await group.node(0).connectivity.map(\.peer)
        #expect(peers == [PeerID(of: new.identity)])
        let reopened = try #require(group.databases[0])
        let kept = try #require(try await reopened.contacts.contact(signer))
        #expect(kept.enrolment == new && !kept.isVerified)
        await group.stopAll()
    }

    @Test func `of a request that only the store has it is known, and can still be said, that its transaction was seen`() async throws {
        let group = try NodeGroup(2)
        for place in 0..<2 { try await group.start(place) }
        let (transaction, coins) = try await group.spend()
        let id = try await group.node(0).propose(
            transaction, prevouts: coins, group: try await group.record.policy().digest, seconds: 600)
        try await group.request(id, at: 1)
        try await group.node(1).approve(id)
        for place in 0..<2 { #expect(try await group.completion(of: id, at: place) != nil) }
        let node = try group.node(0)
        // Until what is written of it is durable it stays.
        while try await node.request(id) != nil {
            try await node.update { machine, now in
                machine.configuration.overCountMax = 0
                machine.cleanUp(now: now)
            }
        }
        #expect(try await node.pastRequests.map(\.broadcastSeenAt) == [nil])
        #expect(try await node.explain(id).advice == [.broadcast])
        try await node.noteBroadcast(id)
        let seen = try #require(try await node.pastRequests.first?.broadcastSeenAt)
        #expect(seen > 1_700_000_000)
        try await node.noteBroadcast(id)
        #expect(try await node.pastRequests(named: "\(id)").map(\.broadcastSeenAt) == [seen])
        let explanation = try await node.explain(id)
        #expect(explanation.advice.isEmpty && explanation.broadcastSeenAt == seen)
        let database = try #require(group.databases[0])
        let transcript = try await RequestTranscript(of: "\(id)", in: database)
        #expect(transcript.entries.count { $0.kind == TranscriptLine.Kind.broadcast.rawValue } == 1)
        await group.stopAll()
    }
}
