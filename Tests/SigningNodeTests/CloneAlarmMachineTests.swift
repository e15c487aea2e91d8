import Bitcoin
import CryptoPrimitives
import LibP2P
import MuSig2
import Secp256k1
import SessionStore
import SigningTestSupport
import Testing

@testable import Signing
@testable import SigningNode

/// What a node does when a copy of a member's machine shows itself: nothing is approved automatically any more, and that is on the disk in
/// one step with the proof.
@Suite struct CloneAlarmMachineTests {
    private let group: NodeGroup
    private let policy: any SpendingPolicy
    private let request: SigningRequest
    private let proposal: [UInt8]
    private static let time = Duration.seconds(1_800_000_000)

    init() async throws {
        self.group = try NodeGroup(3)
        (self.policy, self.request, self.proposal) = try await self.group.proposalOfSecondMember()
    }

    private func say(_ keys: SignerKeys) -> (Statement.Body, UInt32) -> Statement {
        { body, attempt in
            keys.identity.withSecretKey {
                Statement(body, request: self.request.digest, attempt: attempt, enrolment: keys.enrolment, identity: $0)
            }
        }
    }

    /// A begin with the same nonces of one member and fresh ones of the others, and that member's signatures under it.
    private func attempt(_ number: UInt32, of clone: Int, salt: UInt8) throws -> (approvals: [Statement], answer: Statement) {
        let nonces = try RepeatingNonces(of: self.group.keys[clone].key)
        let approvals = try self.policy.members.map { member in
            let keys = try #require(self.group.keys.first { $0.signer == member })
            let isClone = member == self.group.keys[clone].signer
            let own = isClone ? nonces : try RepeatingNonces(of: keys.key, salt: salt)
            let name = NonceName(known: Array(member.bytes.prefix(16)), counter: isClone ? 1 : UInt32(salt))
            return self.say(keys)(.approval(serial: 1, name, own.nonces), 0)
        }
        let plan = try SigningPlan(request: self.request, under: self.policy, set: self.policy.members)
        return (approvals, try nonces.answer(approvals, plan, attempt: number, say: self.say(self.group.keys[clone])))
    }

    private func alarm(about clone: Int) throws -> CloneAlarm {
        let plan = try SigningPlan(request: self.request, under: self.policy, set: self.policy.members)
        let uses = try [(UInt32(1), UInt8(1)), (2, 2)].map { number, salt in
            let attempt = try self.attempt(number, of: clone, salt: salt)
            return Evidence(plan: plan, attempt: number, statements: attempt.approvals + [attempt.answer])
        }
        return try #require(CloneAlarm(uses[0], uses[1]))
    }

    // MARK: A machine, and its disk

    private func machine() -> SigningMachine {
        var machine = SigningMachine(
            keys: self.group.keys[0], clocks: { SigningClocks(wall: Self.time + $0, running: $0) },
            makeIncarnation: { .random() }, now: .zero)
        machine.add(self.policy, name: "group", members: self.group.keys.map(\.enrolment))
        return machine
    }

    private func stored(_ state: StoredRequest.State = .proposed) -> StoredRequest {
        StoredRequest(
            id: self.request.digest, source: nil, created: 1_800_000_000, expiry: 1_800_003_600, updated: 1_800_000_000,
            decision: .undecided, decisionSerial: 0, state: state, reason: "", transcript: TranscriptHead(request: self.request.digest))
    }

    private var rules: ApprovalPolicy {
        get throws {
            try ApprovalPolicy(
                network: .regtest, groupScript: self.policy.scriptPubKey, proposers: .any,
                destinations: .these([Script([0x00, 0x14] + Array(repeating: 7, count: 20))]),
                limits: ApprovalPolicy.Limits(
                    amountPerRequest: 1, amountPerDay: 1, approvalsPerDay: 1, fee: 20_000, feeRate: try FeeRate(100)),
                times: ApprovalPolicy.Times(windows: nil, delay: 0), otherwise: .ask)
        }
    }

    /// With a policy in force, and the request.
    private func started(said: [TranscriptEntry] = [], approval: StoredApproval? = nil) throws -> SigningMachine {
        var machine = self.machine()
        if let approval {
            machine.restoreApproval(approval, of: self.policy.digest, now: .zero)
        } else {
            try machine.setApprovalPolicy(self.rules, of: self.policy.digest, now: .zero)
        }
        try machine.restore(self.stored(), proposal: self.proposal, records: [], completion: nil, said: said, now: .zero)
        if approval == nil { _ = self.events(&machine) }
        return machine
    }

    private enum Write {
        case alarm(SigningWriteID, TranscriptLine, [ApprovalHalt])
        case approval(SigningWriteID, StoredApproval)
    }

    /// What is to be written of alarms and policies. All else is written at once, and policies too unless they are to be kept waiting.
    private func events(_ machine: inout SigningMachine, keeps: Bool = false, now: Duration = .zero) -> [Write] {
        var writes: [Write] = []
        while let event = machine.nextEvent() {
            switch event {
            case .write(let id, _, .cloneAlarm(let line, let halts), _): writes.append(.alarm(id, line, halts))
            case .write(let id, let request, _, _): machine.written(id, of: request, .done(), now: now)
            case .writeApproval(let id, let group, let approval):
                writes.append(.approval(id, approval))
                if !keeps { machine.approvalWritten(id, of: group, failure: nil, now: now) }
            default: break
            }
        }
        return writes
    }

    private func raise(_ alarm: CloneAlarm, in machine: inout SigningMachine, now: Duration = .zero) throws {
        let request = try #require(machine.live[self.request.digest])
        request.coordination.raise(alarm, now: machine.moment(now))
        machine.step(request, now: now)
    }

    @Test func `an alarm halts automatic approvals at once, and is durable in one step with that`() throws {
        var machine = try self.started()
        #expect(machine.approvalHalt(of: self.policy.digest).isEmpty)
        let alarm = try self.alarm(about: 2)
        try self.raise(alarm, in: &machine)
        #expect(machine.approvalHalt(of: self.policy.digest).contains("move the funds"))
        #expect(machine.approvals[self.policy.digest]?.policyInForce == nil)
        let writes = self.events(&machine)
        guard writes.count == 1, case .alarm(let id, let line, let halts) = writes[0] else {
            Issue.record("\(writes)")
            return
        }
        #expect(line.kind == .cloneAlarm && line.source == nil)
        #expect(try CloneAlarm(parsing: Array(line.bytes.dropFirst())) == alarm)
        #expect(halts.map(\.group) == [self.policy.digest] && halts.allSatisfy { !$0.approval.halt.isEmpty })
        machine.written(id, of: self.request.digest, .done(), now: .zero)
        #expect(self.events(&machine).isEmpty)
        #expect(machine.request(self.request.digest)?.cloneAlarms == [self.group.keys[2].signer])
        #expect(machine.vitals(now: .zero).clones == [self.group.keys[2].signer])
        // The same signer again is nothing new.
        try self.raise(alarm, in: &machine)
        #expect(self.events(&machine).isEmpty)
        // A person's word ends the halt.
        try machine.setApprovalPolicy(self.rules, of: self.policy.digest, now: .zero)
        #expect(machine.approvalHalt(of: self.policy.digest).isEmpty)
    }

    @Test func `a policy's write that is under way comes to its end first, for it would take the halt back`() throws {
        var machine = try self.started()
        machine.noteApprovalTime(now: .seconds(1))
        guard case .approval(let before, let unhalted)? = self.events(&machine, keeps: true).first else {
            Issue.record("nothing is written")
            return
        }
        #expect(unhalted.halt.isEmpty)
        try self.raise(self.alarm(about: 2), in: &machine, now: .seconds(1))
        machine.noteApprovalTime(now: .seconds(2))
        #expect(self.events(&machine, keeps: true).isEmpty)
        machine.approvalWritten(before, of: self.policy.digest, failure: nil, now: .seconds(2))
        let writes = self.events(&machine, keeps: true)
        guard writes.count == 1, case .alarm(let id, _, let halts) = writes[0] else {
            Issue.record("\(writes)")
            return
        }
        #expect(halts.map(\.approval.halt.isEmpty) == [false])
        machine.noteApprovalTime(now: .seconds(3))
        #expect(self.events(&machine, keeps: true).isEmpty)
        machine.written(id, of: self.request.digest, .done(), now: .seconds(3))
        for case .approval(_, let approval) in self.events(&machine, keeps: true) { #expect(!approval.halt.isEmpty) }
    }

    @Test func `an alarm that the disk did not take is written again, and nothing is approved meanwhile`() throws {
        var machine = try self.started()
        try self.raise(self.alarm(about: 2), in: &machine)
        var lines: [TranscriptLine] = []
        for second in [0, 5, 10] {
            let now = Duration.seconds(second)
            machine.tick(now: now)
            guard case .alarm(let id, let line, let halts)? = self.events(&machine, now: now).first else {
                Issue.record("it is not written")
                return
            }
            lines.append(line)
            #expect(halts.count == 1 && machine.approvals[self.policy.digest]?.policyInForce == nil)
            machine.written(id, of: self.request.digest, second == 10 ? .done() : .failed("full"), now: now)
        }
        #expect(Set(lines).count == 1)
        machine.tick(now: .seconds(60))
        for write in self.events(&machine, now: .seconds(60)) { if case .alarm = write { Issue.record("it is written once more") } }
    }

    @Test func `an alarm about our own key wipes its nonces and halts every group`() throws {
        var machine = try self.started()
        try machine.approve(self.request.digest, now: .zero)
        _ = self.events(&machine)
        let request = try #require(machine.live[self.request.digest])
        #expect(request.coordination.secretNonceCount == 1)
        let name = request.coordination.incarnation
        request.coordination.raise(try self.alarm(about: 0), now: machine.moment(.zero))
        machine.step(request, now: .zero)
        // Who has the first turn makes others at once, of another incarnation.
        #expect(request.coordination.secretNonceCount <= 1 && request.coordination.incarnation != name)
        #expect(machine.approvalHalt(of: self.policy.digest).contains("this machine"))
        guard case .alarm(_, _, let halts)? = self.events(&machine).first else {
            Issue.record("it is not written")
            return
        }
        #expect(halts.count == 1)
        let found = machine.explain(self.request.digest, now: .zero)
        let explanation = try #require(found)
        #expect(explanation.clones == [self.group.keys[0].signer] && explanation.culprits.isEmpty)
        #expect(explanation.advice.first == .moveFunds(of: self.group.keys[0].signer))
    }

    @Test func `after an alarm about our own key nothing is given ahead before a restart`() throws {
        var machine = try self.started()
        machine.configuration.noncePoolCount = 2
        machine.addPool(of: self.policy.digest, now: .zero)
        let other = ConnectionInfo(
            id: ConnectionID(rawValue: 1), peer: self.group.keys[1].identity.id, isOutbound: true,
            remoteAddress: try Multiaddr(text: "/ip4/192.0.2.1/tcp/1"), isLimited: false)
        machine.handle(.connected(other), now: .zero)
        machine.tick(now: .seconds(1))
        #expect(machine.pooledNonceCount == 2 * NoncePool.width)
        let request = try #require(machine.live[self.request.digest])
        request.coordination.raise(try self.alarm(about: 0), now: machine.moment(.seconds(1)))
        machine.step(request, now: .seconds(1))
        #expect(machine.pooledNonceCount == 0)
        // Neither time nor a group that is given again changes that, nor clocks that go apart.
        machine.tick(now: .seconds(120))
        machine.add(self.policy, name: "group", members: self.group.keys.map(\.enrolment), now: .seconds(120))
        machine.dropNonces(now: .seconds(121))
        machine.tick(now: .seconds(240))
        #expect(machine.pooledNonceCount == 0 && machine.pools.isEmpty)
    }

    // MARK: Restarts

    private func entries(_ lines: [(kind: TranscriptLine.Kind, bytes: [UInt8])]) throws -> [TranscriptEntry] {
        var head = TranscriptHead(request: self.request.digest)
        return try lines.map { try head.append(kind: $0.kind.rawValue, $0.bytes) }
    }

    @Test func `a process that died between the second signature and the alarm raises it at its next start`() throws {
        let roster = Roster(members: self.policy.members, network: .regtest, enrolments: self.group.keys.map(\.enrolment))
        func message(_ content: CoordinationMessage.Content) -> [UInt8] {
            CoordinationMessage(
                request: self.request.digest, series: .init(incarnation: [UInt8](repeating: 1, count: 16)), sequence: 1, acknowledged: nil,
                content: content
            ).serialized(roster)
        }
        let plan = try SigningPlan(request: self.request, under: self.policy, set: self.policy.members)
        let (own, clone) = (self.group.keys[0], self.group.keys[2])
        var lines: [(kind: TranscriptLine.Kind, bytes: [UInt8])] = []
        for number in [UInt32(1), 2] {
            let attempt = try self.attempt(number, of: 2, salt: UInt8(number))
            let transcript = plan.transcript(attempt: number, nonceSets: try attempt.approvals.compactMap { try $0.nonceSet() })
            let begin = self.say(own)(.begin(incarnation: [UInt8](repeating: 3, count: 16), transcript: transcript), number)
            lines.append((.sent, clone.signer.bytes + message(.begin(begin, approvals: attempt.approvals))))
            lines.append((.received, clone.enrolment.identity.bytes + message(.partialSignatures(attempt.answer))))
        }
        let said = try self.entries(lines)
        #expect(said.allSatisfy(SigningMachine.isWorthRecalling))
        var machine = try self.started(said: Array(said.dropLast()))
        #expect(machine.request(self.request.digest)?.cloneAlarms.isEmpty == true)
        let rules = try self.rules
        let approval = StoredApproval(
            policy: Array(rules.text.utf8), history: ApprovalHistory(now: machine.moment(.zero)).serialized(), halt: "")
        machine = try self.started(said: said, approval: approval)
        #expect(machine.request(self.request.digest)?.cloneAlarms == [clone.signer])
        guard case .alarm(_, let line, let halts)? = self.events(&machine).first else {
            Issue.record("it is not raised")
            return
        }
        #expect(halts.map(\.approval.halt.isEmpty) == [false] && !machine.approvalHalt(of: self.policy.digest).isEmpty)

        // Once it is durable, a start knows it and halts nothing that a person set since.
        let known = try self.entries(lines + [(.cloneAlarm, line.bytes)])
        machine = try self.started(said: known, approval: approval)
        #expect(machine.request(self.request.digest)?.cloneAlarms == [clone.signer])
        #expect(self.events(&machine).isEmpty && machine.approvalHalt(of: self.policy.digest).isEmpty)
    }

    // MARK: The transcript

    @Test func `a transcript that holds an alarm says so, and who reads it need believe nobody`() async throws {
        let alarm = try self.alarm(about: 2)
        var head = TranscriptHead(request: self.request.digest)
        let entries = [
            try head.append(kind: TranscriptLine.Kind.cloneAlarm.rawValue, [1] + alarm.serialized()),
            try head.append(kind: TranscriptLine.Kind.cloneAlarm.rawValue, [0] + alarm.serialized().dropLast()),
        ]
        let transcript = try RequestTranscript(
            network: .regtest, record: self.group.record, enrolments: self.group.keys.map(\.enrolment), proposal: self.proposal,
            entries: entries)
        let audit = try await transcript.audit()
        #expect(audit.cloneAlarms == [alarm] && audit.unreadable == [2] && audit.faults.isEmpty)
    }
}
