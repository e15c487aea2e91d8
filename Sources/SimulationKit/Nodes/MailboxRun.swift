internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode

/// A signing by way of mailboxes, from its proposal until everybody holds it complete or all visits are over.
final class MailboxRun {
    let scenario: MailboxScenario
    private let network: SimulatedNetwork<MailboxGuest>
    private let people: [MailboxGuest.Person]
    private let policy: any SpendingPolicy
    private let transaction: Transaction
    private let coin: TransactionOutput
    private var ledger = SigningLedger()
    private var report = MailboxReport()
    private var request: SigningRequest?
    private var visits: [Int: Int] = [:]

    /// Mailboxes come first, then members, then strangers.
    private var members: Range<Int> {
        self.scenario.mailboxes.count..<(self.scenario.mailboxes.count + self.scenario.memberCount)
    }

    init(_ scenario: MailboxScenario) throws {
        self.scenario = scenario
        let (seed, mailboxCount) = (scenario.seed, scenario.mailboxes.count)
        let members = mailboxCount..<(mailboxCount + scenario.memberCount)
        let count = members.upperBound + scenario.strangerCount
        let keys = try (0..<count).map { place in
            let digest = SHA256.hash(Array("mailbox signer \(seed) \(place)".utf8))
            let key = try SecretKey(parsing: try SecretBytes(count: 32) { $0.copyBytes(from: digest.bytes) })
            return try SignerKeys(key: key, identity: try SimulatedKeys.identity(seed: seed, host: place), network: .regtest)
        }
        let signers = keys[members].map(\.signer)
        let policy: any SpendingPolicy =
            if scenario.threshold == scenario.memberCount { try SignerGroup(signers) } else {
                try DelegatedMultisig(internalKey: .unspendable, signers: signers, threshold: scenario.threshold)
            }
        self.policy = policy
        self.coin = TransactionOutput(amount: 10_000, scriptPubKey: policy.scriptPubKey)
        let spent = OutPoint(txid: Txid(SHA256.hash(Array("coin \(seed)".utf8))), index: 0)
        self.transaction = Transaction(
            inputs: [TransactionInput(previousOutput: spent, sequence: 0xffff_fffd)],
            outputs: [TransactionOutput(amount: 9_000, scriptPubKey: policy.scriptPubKey)])
        let enrolments = keys[members].map(\.enrolment)
        let identities = Set(enrolments.map(\.identity))
        let mailboxes = (0..<mailboxCount).map { place in
            SimulatedNetwork<MailboxGuest>.address(of: place).appending(.p2p(keys[place].identity.id))
        }
        let delay = UInt64(scenario.interval.components.seconds) * 2
        let people = keys.enumerated().map { place, own in
            let person = MailboxGuest.Person(
                place: place, keys: own, group: members.contains(place) ? (policy, enrolments) : nil,
                contacts: place < mailboxCount ? identities : [],
                mailbox: SimulatedMailbox(place < mailboxCount ? scenario.mailboxes[place] : nil, delay: delay, seed: seed ^ UInt64(place)),
                seed: seed << 8 ^ UInt64(place))
            if place < mailboxCount {
                person.configuration.mailboxes.serves = true
            } else if members.contains(place) {
                person.configuration.mailboxes.own = mailboxes
                person.configuration.mailboxes.visitInterval = scenario.interval
                // Of each other they know where to leave something, and nothing else.
                person.addresses = keys[members].filter { $0.identity.id != own.identity.id }.map { ($0.identity.id, mailboxes) }
            } else {
                person.addresses = (0..<mailboxCount).map { (keys[$0].identity.id, [SimulatedNetwork<MailboxGuest>.address(of: $0)]) }
                person.targets = enrolments.map(\.identity)
            }
            return person
        }
        self.people = people
        var faults = NetworkFaults()
        faults.delay = .milliseconds(20) ... .milliseconds(60)
        self.network = try SimulatedNetwork(hostCount: count, seed: seed, faults: faults) { _, configuration in
            configuration = .bare(agentVersion: configuration.agentVersion, addresses: configuration.addresses)
        } makeProgram: { place, previous in
            MailboxGuest(people[place], after: previous)
        }
        for person in people { person.watch = self }
    }

    // MARK: The loop

    func run() throws -> MailboxReport {
        self.part(visitor: nil)
        try self.propose()
        while self.report.visitCount < self.scenario.visitCountMax, !self.isOver {
            let start = self.network.now
            let visitor = self.visitor
            self.part(visitor: visitor)
            self.network.run(for: self.scenario.length)
            self.part(visitor: nil)
            self.report.visitCount += 1
            self.visits[visitor, default: 0] += 1
            for (place, transaction) in self.transactions where self.report.visitsUntilComplete[place] == nil && transaction != nil {
                self.report.visitsUntilComplete[place] = self.visits[place, default: 0]
            }
            try self.restartWhoIsDue(visitor)
            self.network.run(until: start + self.scenario.interval)
        }
        if let failure = self.network.failure { throw failure }
        self.close()
        return self.report
    }

    private var transactions: [Int: Transaction?] = [:]
    private var isOver: Bool { self.members.allSatisfy { self.transactions[$0] != nil || $0 == self.singleVisitor } }
    private var singleVisitor: Int? {
        guard let place = self.scenario.singleVisitor else { return nil }
        let signer = self.policy.members[place]
        return self.members.first { self.people[$0].keys.signer == signer }
    }

    /// Whose visit is next: one after the other, and whoever comes once when all others were there.
    private var visitor: Int {
        let others = self.members.filter { $0 != self.singleVisitor }
        guard let single = self.singleVisitor else { return others[self.report.visitCount % others.count] }
        let agreed = self.scenario.visitsBeforeSingle * others.count
        if self.report.visitCount == agreed { return single }
        return others[(self.report.visitCount - (self.report.visitCount > agreed ? 1 : 0)) % others.count]
    }

    /// Mailboxes and strangers are always connected; of the members one at most, and only with them.
    private func part(visitor: Int?) {
        let members = self.members
        self.network.split(breakingPipes: true) { members.contains($0) && $0 != visitor ? $0 + 1 : 0 }
    }

    private func restartWhoIsDue(_ visitor: Int) throws {
        if self.scenario.restarts[visitor - self.members.lowerBound] == self.visits[visitor] {
            self.network.crash(visitor)
            try self.network.restart(visitor)
        }
        for (place, count) in self.scenario.mailboxRestarts.sorted(by: { $0.key < $1.key }) where count == self.report.visitCount {
            self.network.crash(place)
            try self.network.restart(place)
        }
    }

    private func propose() throws {
        let (transaction, coin, digest, seed) = (self.transaction, self.coin, self.policy.digest, self.scenario.seed)
        let usesNonceCommitments = self.scenario.usesNonceCommitments
        let life = UInt64((self.scenario.interval * (self.scenario.visitCountMax + 2)).components.seconds)
        let proposer = self.members.first { $0 != self.singleVisitor } ?? self.members.lowerBound
        try self.network.update(proposer) { node, program, now in
            guard let machine = program.machine else { preconditionFailure("a member has a machine") }
            _ = try node.swarm.update(machine, now: now) { machine in
                Result { () throws(SigningMachineError) in
                    try machine.propose(
                        transaction, prevouts: [coin], group: digest, seconds: life, election: .firstSigner,
                        id: SHA256.hash(Array("request \(seed)".utf8)), usesNonceCommitments: usesNonceCommitments, now: now)
                }
            }.get()
        }
        self.network.run(for: .seconds(1))
        let roster = Roster(members: self.policy.members, network: .regtest, enrolments: self.people[self.members].map(\.keys.enrolment))
        guard let row = self.people[proposer].store.rows.values.first else { return }
        self.request = try Coordination.proposal(in: row.proposal, roster: roster)?.request
    }

    private func close() {
        self.report.completed = Set(self.transactions.keys.map { $0 - self.members.lowerBound })
        self.report.visitsUntilComplete = Dictionary(
            uniqueKeysWithValues: self.report.visitsUntilComplete.map { ($0.key - self.members.lowerBound, $0.value) })
        self.ledger.compareCompletions(
            honest: Dictionary(uniqueKeysWithValues: self.members.map { (self.people[$0].keys.signer, self.people[$0].place) }))
        self.report.violations = self.ledger.violations
        for person in self.people {
            self.report.depositCount += person.mailbox.depositCount
            self.report.refusedCount += person.mailbox.refusedCount
            self.report.droppedCount += person.mailbox.droppedCount
            self.report.waitingCount += person.mailbox.count
            self.report.strangersAnswerCount += self.network.hosts[person.place].program.answerCount
        }
    }

    // MARK: What is seen

    func decided(_ record: BurnRecord, at person: MailboxGuest.Person) {
        self.ledger.decided(record, by: person.place, hasApproved: person.store.rows[record.request]?.decision == .approved)
    }

    func happened(_ event: CoordinationEvent, at person: MailboxGuest.Person) {
        switch event {
        case .fault(let signer, _, _):
            // All members are honest here.
            self.ledger.note(.honestBlamed(member: self.people.first { $0.keys.signer == signer }?.place ?? -1, by: person.place))
        case .cloneAlarm(let alarm, _):
            self.ledger.note(.falseAlarm(member: self.people.first { $0.keys.signer == alarm.signer }?.place ?? -1, by: person.place))
        case .complete(let transaction, let completion):
            self.transactions[person.place] = transaction
            guard let request = self.request else { return }
            self.ledger.completed(transaction, by: completion.signers, of: request, at: person.place, policy: self.policy)
        default: break
        }
    }

    /// Two members are connected, which must not be.
    func hasMet() { self.report.hasMet = true }
}

extension MailboxReport {
    /// Runs one signing by way of mailboxes.
    public static func run(_ scenario: MailboxScenario) throws -> MailboxReport { try MailboxRun(scenario).run() }
}
