import Bitcoin
import CryptoPrimitives
import LibP2P
import MuSig2
import Secp256k1
import Signing
import SigningNode
import SigningTestSupport
import Testing

private let hoursBetweenVisits: Int64 = 8

/// A signer whose process runs all the time, and whose only way to the others is a mailbox that it visits now and then.
private final class VisitingSigner {
    let name: String
    let key: SecretKey
    let enrolment: Enrolment
    private let identity: Ed25519.SecretKey
    private var machine: Coordination?
    private var client = MailboxClient()
    private var members: [PublicKey: Ed25519.PublicKey] = [:]
    private(set) var records: [BurnRecord] = []
    private(set) var refusals: [CoordinationRefusal] = []
    private(set) var leaveErrors: [MailboxClientError] = []
    var counters: MailboxClient.Counters { self.client.counters }
    var state: CoordinationState? { self.machine?.state }
    var transaction: Transaction? { self.machine?.transaction }

    init(_ name: String) throws {
        self.name = name
        self.key = try Sample.secretKey(name)
        self.identity = try deviceKey(of: name)
        self.enrolment = try Enrolment(network: .regtest, signer: self.key, identity: self.identity)
    }

    func propose(_ request: SigningRequest) throws -> Statement {
        let terms = try #require(RequestTerms(election: .firstSigner, createdAt: moment(0).time))
        return Coordination.propose(request, terms: terms, enrolment: self.enrolment, identity: self.identity)
    }

    func open(_ request: SigningRequest, _ proposal: Statement, _ policy: SignerGroup, _ all: [VisitingSigner]) throws {
        let roster = Roster(members: policy.members, network: .regtest, enrolments: all.map(\.enrolment))
        // Who can only be reached through a mailbox is as far away as its visits are apart; or the others' patience would end before its word comes.
        let timing = CoordinationTiming(roundTrip: .seconds(Int64(all.count) * hoursBetweenVisits * 3_600))
        self.machine = try Coordination(
            request: request, proposal: proposal, policy: policy, roster: roster, enrolment: self.enrolment,
            incarnation: .random(), timing: timing)
        self.machine?.approve(serial: 1)
        self.members = Dictionary(uniqueKeysWithValues: try all.map { ($0.key.publicKey, try SigningNodeTests.identity(of: $0.name)) })
        try self.client.setOwnMailboxes([peer("mailbox")], now: moment(0))
        let others = all.filter { $0 !== self }
        try self.client.setMembers(others.map { try (SigningNodeTests.identity(of: $0.name), [peer("mailbox")]) }, now: moment(0))
    }

    /// Lets the machine do what is due; what it says waits to be left.
    func step(now: Moment) {
        let actions = self.machine?.step(now: now, key: self.key, identity: self.identity) ?? []
        var hasRecorded = false
        for action in actions {
            switch action {
            case .send(let bytes, let member):
                guard let matter = MailboxMatter(of: bytes), let recipient = self.members[member] else {
                    Issue.record("a message of no matter, or to nobody")
                    continue
                }
                do throws(MailboxClientError) {
                    try self.client.leave(bytes, about: matter, for: recipient, expiry: expiry, now: now)
                } catch {
                    self.leaveErrors.append(error)
                }
            case .record(let record):
                self.records.append(record)
                self.machine?.recorded(record)
                hasRecorded = true
            case .tell, .sighted, .takePooled: break
            }
        }
        if hasRecorded { self.step(now: now) }
    }

    /// The time passes, and nobody can be reached.
    func pass(from start: Int64, to end: Int64) {
        var now = Duration.seconds(start)
        var steps = 0
        while let next = self.machine?.nextStepAt, steps < 20_000 {
            now = max(next, now + .milliseconds(100))
            guard now < .seconds(end) else { return }
            self.step(now: Moment(uptime: now, time: moment(now.components.seconds).time))
            steps += 1
        }
    }

    /// Connects to the mailbox, does all there is to do, and goes.
    func visit(_ node: MailboxNode, at second: Int64) async throws {
        let now = moment(second)
        let (own, mailbox) = (try peer(self.name), try peer("mailbox"))
        self.client.connected(mailbox, now: now)
        self.step(now: now)
        for _ in 0..<500 {
            let actions = self.client.step(now: now, identity: self.identity)
            if actions.isEmpty { break }
            for action in actions {
                switch action {
                case .deliver(let receipt, let sender, let payload):
                    if case .refused(let refusal)? = self.machine?.receive(payload, from: sender, now: now) {
                        self.refusals.append(refusal)
                    }
                    self.client.safe(receipt)
                case .ask(let id, _, let bytes):
                    self.client.answered(id, by: mailbox, await node.ask(bytes, by: own, now: now), now: now)
                }
            }
            self.step(now: now)
        }
        self.client.disconnected(mailbox)
    }
}

struct `Signing through a mailbox` {
    @Test(arguments: [2, 3]) func `completes although no two members are ever connected at the same time`(count: Int) async throws {
        let names = Array(["Ada", "Bo", "Cy"].prefix(count))
        let node = try await MailboxNode(for: names)
        let signers = try names.map { try VisitingSigner($0) }
        let policy = try SignerGroup(signers.map { $0.key.publicKey })
        let coin = TransactionOutput(amount: 10_000, scriptPubKey: policy.scriptPubKey)
        let spent = TransactionInput(previousOutput: OutPoint(txid: Txid(Sample.digest("coin")), index: 0))
        let spend = Transaction(inputs: [spent], outputs: [TransactionOutput(amount: 9_000, scriptPubKey: policy.scriptPubKey)])
        let request = try SigningRequest(
            transaction: spend, prevouts: [coin], policyDigest: policy.digest, proposer: signers[0].key.publicKey, expiry: expiry,
            id: Sample.digest("id"))
        let proposal = try signers[0].propose(request)
        for signer in signers { try signer.open(request, proposal, policy, signers) }

        // One visit every eight hours, each by the next member, for at most a fortnight.
        var visits = 0
        while visits < 42, signers.contains(where: { $0.state != .complete }) {
            let now = Int64(visits) * hoursBetweenVisits * 3_600
            try await signers[visits % count].visit(node, at: now)
            for signer in signers { signer.pass(from: now, to: now + hoursBetweenVisits * 3_600) }
            visits += 1
        }
        #expect(signers.allSatisfy { $0.state == .complete })
        #expect(Set(signers.compactMap { $0.transaction?.txid }).count == 1)
        #expect(signers.allSatisfy { $0.refusals.isEmpty && $0.leaveErrors.isEmpty })
        // Proposal or approval, begin or partial signatures, the end: three visits each, and one message for each other member in each.
        #expect(visits == 3 * count)
        #expect(signers.map(\.counters.left) == [3 * (count - 1)] + Array(repeating: 3, count: count - 1))
        #expect(signers.flatMap(\.records).count == count)
        #expect(signers.allSatisfy { $0.counters.strangers + $0.counters.unreadable + $0.counters.failures == 0 })
    }
}
