import CryptoPrimitives
import LibP2P
import Testing

@testable import Signing
@testable import SigningNode

/// Who is heard by a machine whose network is played here.
@Suite struct ConductMachineTests {
    private func machine(_ group: NodeGroup, as place: Int = 0, isKnown: Bool = true) async throws -> SigningMachine {
        var machine = SigningMachine(
            keys: group.keys[place], clocks: { SigningClocks(wall: .seconds(1_800_000_000) + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        if isKnown { machine.add(try await group.record.policy(), name: "group", members: group.keys.map(\.enrolment)) }
        return machine
    }

    private func connection(_ number: UInt64, _ peer: PeerID) throws -> ConnectionInfo {
        ConnectionInfo(
            id: ConnectionID(rawValue: number), peer: peer, isOutbound: false,
            remoteAddress: try Multiaddr(text: "/ip4/198.51.\(number >> 8).\(number & 0xff)/tcp/1"), isLimited: false)
    }

    /// Opens a stream for messages about requests.
    ///
    /// - Returns: the streams that were reset by it, and who was disconnected.
    private func open(
        _ stream: UInt64, _ info: ConnectionInfo, at machine: inout SigningMachine, now: Duration
    ) -> (reset: [StreamID], disconnected: [PeerID]) {
        machine.handle(.inbound(StreamID(rawValue: stream), info, protocolID: CoordinationProtocol.id), now: now)
        var seen: (reset: [StreamID], disconnected: [PeerID]) = ([], [])
        while let command = machine.nextCommand() {
            if case .reset(let stream) = command { seen.reset.append(stream) }
            if case .disconnect(let peer) = command { seen.disconnected.append(peer) }
        }
        return seen
    }

    private func refusals(of machine: inout SigningMachine) -> [SigningRefusal] {
        var found: [SigningRefusal] = []
        while let event = machine.nextEvent() { if case .refused(_, let refusal) = event { found.append(refusal) } }
        return found
    }

    @Test func `strangers hold no place, from however many addresses they come`() async throws {
        let group = try NodeGroup(2)
        var machine = try await self.machine(group)
        let member = try self.connection(1, group.keys[1].identity.id)
        #expect(self.open(1, member, at: &machine, now: .zero).reset.isEmpty)
        for number in 2...UInt64(600) {
            let info = try self.connection(number, PeerIdentity(.generate()).id)
            #expect(self.open(number, info, at: &machine, now: .zero).reset == [StreamID(rawValue: number)])
        }
        #expect(self.open(601, member, at: &machine, now: .zero).reset.isEmpty, "there is room for the member")
    }

    @Test func `a stranger that tries again and again is disconnected once`() async throws {
        var machine = try await self.machine(NodeGroup(2))
        let info = try self.connection(1, PeerIdentity(.generate()).id)
        let most = UInt64(machine.configuration.refusalCountMax)
        for number in 1...(2 * most) {
            let seen = self.open(number, info, at: &machine, now: .zero)
            #expect(seen.reset == [StreamID(rawValue: number)] && seen.disconnected == (number == most ? [info.peer] : []))
        }
        #expect(machine.vitals(now: .zero).blocked.map(\.peer) == [info.peer])
    }

    @Test(arguments: StoredRequest.State.allCases, StoredRequest.Decision.allCases)
    func `a request that went on in a former life is not begun anew by whoever tells it`(
        _ state: StoredRequest.State, _ decision: StoredRequest.Decision
    ) async throws {
        let group = try NodeGroup(2)
        let policy = try await group.record.policy()
        let (transaction, coins) = try await group.spend()
        var proposer = try await self.machine(group, as: 1)
        let id = try proposer.propose(transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([1]), now: .zero)
        guard case .write(_, _, .request(let new), _)? = proposer.nextEvent() else { throw TestFolderError() }
        var machine = try await self.machine(group)
        let other = group.keys[1].identity.id
        #expect(machine.takeNew(new.proposal, from: group.keys[1].enrolment.identity, other, isLive: true, now: .zero) == .taken)
        guard case .write(let write, id, .request(let own), _)? = machine.nextEvent() else { throw TestFolderError() }
        let stored = StoredRequest(
            id: id, source: own.source, created: own.created, expiry: own.expiry, updated: own.created, decision: decision,
            decisionSerial: 0, state: state, reason: "", transcript: TranscriptHead(request: id))
        machine.written(write, of: id, .done(stored), now: .zero)
        #expect((machine.request(id) != nil) == (state == .proposed && decision == .undecided))
    }

    @Test func `nobody has more requests open here than its part`() async throws {
        let group = try NodeGroup(2)
        let policy = try await group.record.policy()
        var proposer = try await self.machine(group, as: 1)
        var machine = try await self.machine(group)
        let identity = group.keys[1].enrolment.identity
        let most = machine.configuration.openCountPerProposerMax
        for number in 0...UInt8(most) {
            let (transaction, coins) = try await group.spend()
            _ = try proposer.propose(
                transaction, prevouts: coins, group: policy.digest, seconds: 600, id: SHA256.hash([number]), now: .zero)
            guard case .write(_, _, .request(let new), _)? = proposer.nextEvent() else { throw TestFolderError() }
            let answer = machine.takeNew(new.proposal, from: identity, PeerID(of: identity), isLive: true, now: .zero)
            guard number == most else {
                #expect(answer == .taken)
                guard case .write(let write, let id, .request(let own), _)? = machine.nextEvent() else { throw TestFolderError() }
                // Half of them stay on their way to the disk.
                guard number % 2 == 0 else { continue }
                let stored = StoredRequest(
                    id: id, source: own.source, created: own.created, expiry: own.expiry, updated: own.created, decision: .undecided,
                    decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: id))
                machine.written(write, of: id, .done(stored), now: .zero)
                #expect(self.refusals(of: &machine).isEmpty)
                continue
            }
            #expect(answer == .refused)
            #expect(self.refusals(of: &machine) == [.proposal("\(most) requests of its proposer are open here")])
        }
        #expect(machine.vitals(now: .zero).blocked.isEmpty)
    }

    @Test func `a member is heard as soon as its group is known, whatever it said before`() async throws {
        let group = try NodeGroup(2)
        var machine = try await self.machine(group, isKnown: false)
        let member = try self.connection(1, group.keys[1].identity.id)
        for number in 1...UInt64(20) { #expect(self.open(number, member, at: &machine, now: .zero).reset.count == 1) }
        #expect(machine.vitals(now: .zero).blocked.map(\.peer) == [member.peer])
        machine.add(try await group.record.policy(), name: "group", members: group.keys.map(\.enrolment))
        #expect(machine.vitals(now: .zero).blocked.isEmpty)
        #expect(self.open(21, member, at: &machine, now: .zero).reset.isEmpty)
        machine.handle(.received(StreamID(rawValue: 21), FrameReader.frame([1, 2, 3])), now: .zero)
        var answer: [UInt8]?
        while let command = machine.nextCommand() { if case .write(_, let bytes) = command { answer = bytes } }
        #expect(answer == FrameReader.frame([CoordinationProtocol.Answer.refused.rawValue]), "it is listened to")
    }
}
