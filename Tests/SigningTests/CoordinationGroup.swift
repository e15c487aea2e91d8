import Bitcoin
import CryptoPrimitives
import MuSig2
import Secp256k1
import Testing

@testable import Signing

/// Members of a group in one process, between whom every message can be looked at, lost, changed or made up.
final class CoordinationGroup {
    /// One member: its machine, and what became of it.
    final class Member {
        let signer: Signer
        let identity: Ed25519.SecretKey
        let enrolment: Enrolment
        var machine: Coordination?
        var life: UInt8 = 1
        /// Messages that it sent and nobody has got yet.
        var sent: [(bytes: [UInt8], to: PublicKey)] = []
        var records: [BurnRecord] = []
        var events: [CoordinationEvent] = []
        var uses: [NonceUse] = []
        var pool: NoncePool?
        var asked: [(entry: Statement, coordinator: PublicKey)] = []
        /// While false, what it asks its pool for does not come.
        var isPoolUp = true
        /// While false, records stay where they are: not durable.
        var isJournalUp = true
        var waiting: [BurnRecord] = []
        var key: PublicKey { self.signer.publicKey }
        var incarnation: [UInt8] { Array(self.key.bytes.prefix(15)) + [self.life] }
        var state: CoordinationState? { self.machine?.state }
        var transaction: Transaction? { self.machine?.transaction }
        var secretNonceCount: Int { self.machine?.secretNonceCount ?? 0 }
        /// The public halves of nonces that it holds the secret ones of.
        func nonces(named name: NonceName) -> [[UInt8]] {
            self.machine?.publicNonces(named: name) ?? []
        }

        init(_ signer: Signer) throws {
            self.signer = signer
            self.identity = try Ed25519.SecretKey.generate()
            self.enrolment = try Enrolment(network: .regtest, signer: signer.key, identity: self.identity)
        }
    }

    let members: [Member]
    let policy: any SpendingPolicy
    let request: SigningRequest
    let proposal: Statement
    let roster: Roster
    var now: Duration = .seconds(1)
    /// Whether messages come over connections, and not out of mailboxes.
    var isLive = true
    static let start: UInt64 = 1_800_000_000

    init(
        _ count: Int, threshold: Int? = nil, inputs: Int = 1, election: CoordinatorElection = .firstSigner, life: UInt64 = 600,
        commitments: Bool = false, signers chosen: [Signer]? = nil
    ) throws {
        let signers = try chosen?.sorted { $0.publicKey < $1.publicKey } ?? Signer.make(count)
        precondition(signers.count == count, "as many signers as members")
        let keys = signers.map(\.publicKey)
        self.policy =
            if let threshold, threshold < count {
                try DelegatedMultisig(internalKey: .unspendable, signers: keys, threshold: threshold)
            } else {
                try SignerGroup(keys)
            }
        self.members = try signers.map(Member.init)
        let (transaction, coins) = Scene.transaction(inputs: inputs, script: self.policy.scriptPubKey)
        self.request = try SigningRequest(
            transaction: transaction, prevouts: coins, policyDigest: self.policy.digest, proposer: keys[count - 1],
            expiry: Self.start + life, id: SHA256.hash([1]), usesNonceCommitments: commitments)
        let terms = try #require(RequestTerms(election: election, createdAt: Self.start))
        let proposer = self.members[count - 1]
        self.proposal = Coordination.propose(self.request, terms: terms, enrolment: proposer.enrolment, identity: proposer.identity)
        self.roster = Roster(members: keys, network: .regtest, enrolments: self.members.map(\.enrolment))
        for member in self.members { try self.open(member) }
    }

    /// Starts a member's process, anew after the first time.
    func open(_ member: Member, resumes: Bool = false) throws {
        member.machine = try Coordination(
            request: self.request, proposal: self.proposal, policy: self.policy, roster: self.roster, enrolment: member.enrolment,
            incarnation: Incarnation(known: member.incarnation), records: member.records, resumes: resumes)
    }

    func restart(_ member: Member, approves: Bool = true) throws {
        member.life += 1
        member.sent = []
        member.waiting = []
        try self.open(member, resumes: true)
        if approves { member.machine?.approve(serial: 1) }
        self.step(member)
    }

    var moment: Moment { Moment(uptime: self.now, time: Self.start + UInt64(self.now.components.seconds)) }

    func approveAll() { for member in self.members { member.machine?.approve(serial: 1) } }

    func step(_ member: Member) {
        let actions = member.machine?.step(now: self.moment, key: member.signer.key, identity: member.identity) ?? []
        var hasGiven = false
        for action in actions {
            switch action {
            case .send(let bytes, let to): member.sent.append((bytes, to))
            case .record(let record): member.waiting.append(record)
            case .sighted(let use): member.uses.append(use)
            case .takePooled(let entry, let coordinator):
                member.asked.append((entry, coordinator))
                guard member.isPoolUp else { continue }
                self.give(entry, by: coordinator, to: member)
                hasGiven = true
            case .tell(let event): member.events.append(event)
            }
        }
        if hasGiven { self.step(member) }
        guard member.isJournalUp, !member.waiting.isEmpty else { return }
        for record in member.waiting {
            member.records.append(record)
            member.machine?.recorded(record)
        }
        member.waiting = []
        self.step(member)
    }

    func give(_ entry: Statement, by coordinator: PublicKey, to member: Member) {
        guard var pool = member.pool.take() else {
            member.machine?.give(nil, for: entry)
            return
        }
        member.machine?.give(pool.take(entry, by: coordinator, now: self.moment.time), for: entry)
        member.pool = consume pool
    }

    /// Delivers everything, and what follows from it, without time passing. `filter` may lose or change a message.
    func exchange(_ filter: ((Member, Member, [UInt8]) -> [UInt8]?)? = nil) {
        for member in self.members { self.step(member) }
        var rounds = 0
        while self.members.contains(where: { !$0.sent.isEmpty }), rounds < 200 {
            rounds += 1
            for member in self.members {
                let sent = member.sent
                member.sent = []
                for (bytes, to) in sent {
                    guard let receiver = self.member(to), let bytes = filter.map({ $0(member, receiver, bytes) }) ?? bytes else { continue }
                    self.deliver(bytes, from: member, to: receiver)
                    self.step(receiver)
                }
            }
        }
    }

    @discardableResult
    func deliver(_ bytes: [UInt8], from sender: Member, to receiver: Member) -> CoordinationReception? {
        receiver.machine?.receive(bytes, from: sender.identity.publicKey, isLive: self.isLive, now: self.moment)
    }

    func member(_ key: PublicKey) -> Member? { self.members.first { $0.key == key } }

    /// Lets time pass, a moment at a time.
    func pass(_ time: Duration, _ filter: ((Member, Member, [UInt8]) -> [UInt8]?)? = nil) {
        let end = self.now + time
        while self.now < end {
            self.now += .milliseconds(250)
            self.exchange(filter)
        }
    }

    // MARK: Messages made up

    func content(_ bytes: [UInt8]) -> CoordinationMessage.Content? {
        (try? CoordinationMessage.Head(parsing: bytes)).flatMap { try? $0.content(self.roster) }
    }

    /// A message of a member's process with any content, unnumbered.
    func message(_ content: CoordinationMessage.Content, of member: Member) -> [UInt8] {
        CoordinationMessage(
            request: self.request.digest, series: .init(incarnation: member.incarnation), sequence: 0, acknowledged: nil,
            content: content
        ).serialized(self.roster)
    }

    func say(_ body: Statement.Body, attempt: UInt32 = 0, of member: Member) -> Statement {
        Statement(body, request: self.request.digest, attempt: attempt, enrolment: member.enrolment, identity: member.identity)
    }
}
