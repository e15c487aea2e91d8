internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode

/// One request among whole nodes, from its proposal until it is over for everybody.
final class NodeSigningRun {
    let scenario: NodeSigningScenario
    let network: SimulatedNetwork<SigningMember>
    let people: [SigningMember.Person]
    let policy: any SpendingPolicy
    private let transaction: Transaction
    private let coins: [TransactionOutput]
    private let proposer: Int
    private var random: SeededRandom
    private(set) var ledger = SigningLedger()
    private(set) var coverage: Set<String> = []
    private(set) var request: SigningRequest?
    private(set) var transactions: [Int: Transaction] = [:]
    private var stepCounts: [Int: Int] = [:]
    private var refusalCounts: [Int: Int] = [:]

    init(_ scenario: NodeSigningScenario, fault: NodeSigningFault? = nil) throws {
        self.scenario = scenario
        var random = SeededRandom(seed: scenario.seed)
        let (seed, count) = (scenario.seed, scenario.memberCount)
        let identities = try (0..<count).map { try SimulatedKeys.identity(seed: seed, host: $0) }
        let keys = try (0..<count).map { place in
            let digest = SHA256.hash(Array("simulated signer \(seed) \(place)".utf8))
            let key = try SecretKey(parsing: try SecretBytes(count: 32) { $0.copyBytes(from: digest.bytes) })
            return try SignerKeys(key: key, identity: identities[place], network: .regtest)
        }
        let signers = keys.map(\.signer)
        let policy: any SpendingPolicy =
            if scenario.threshold == count { try SignerGroup(signers) } else {
                try DelegatedMultisig(internalKey: .unspendable, signers: signers, threshold: scenario.threshold)
            }
        let script = policy.scriptPubKey
        self.policy = policy
        self.coins = (0..<scenario.inputCount).map { TransactionOutput(amount: 10_000 + UInt64($0), scriptPubKey: script) }
        let coin = Txid(SHA256.hash(Array("coin \(seed)".utf8)))
        self.transaction = Transaction(
            inputs: (0..<scenario.inputCount).map {
                TransactionInput(previousOutput: OutPoint(txid: coin, index: UInt32($0)), sequence: 0xffff_fffd)
            }, outputs: [TransactionOutput(amount: 9_000, scriptPubKey: script)])
        let addresses = identities.enumerated().map { (peer: $1.id, address: SimulatedNetwork<SigningMember>.address(of: $0)) }
        let enrolments = keys.map(\.enrolment)
        let people = keys.enumerated().map { place, keys in
            SigningMember.Person(
                place: place, keys: keys, policy: policy, enrolments: enrolments,
                addresses: addresses.filter { $0.peer != keys.identity.id },
                skew: Int.random(in: -scenario.clockSkewMax...scenario.clockSkewMax, using: &random),
                approves: !scenario.refusers.contains(place), thoughtMax: scenario.thoughtMax, diskDelayMax: scenario.diskDelayMax,
                seed: random.next())
        }
        self.people = people
        self.proposer = (0..<count).first { !scenario.refusers.contains($0) } ?? 0
        self.random = random
        self.network = try SimulatedNetwork(hostCount: count, seed: seed, faults: scenario.faults) { _, configuration in
            // What signing needs: no gossip, no hash table.
            let addresses = configuration.addresses
            configuration = .bare(agentVersion: configuration.agentVersion, addresses: addresses)
        } makeProgram: { place, previous in
            SigningMember(people[place], after: previous)
        }
        for person in people {
            person.watch = self
            person.fault = fault
        }
    }

    private func draw(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &self.random) }

    // MARK: The loop

    func run() throws {
        self.planFaults()
        self.network.run(for: .milliseconds(self.draw(0...2_000)))
        try self.propose()
        self.network.run(until: max(self.network.now, self.scenario.healing))
        try self.heal()
        let end = Duration.seconds(self.scenario.life + 2 * self.scenario.clockSkewMax + 60)
        self.network.run(until: { _ in self.isOver }, within: end, step: .seconds(1))
        if let failure = self.network.failure { throw failure }
        self.close()
    }

    /// Whoever proposes says so again until its process has it on its disk.
    private func propose() throws {
        let (transaction, coins, digest) = (self.transaction, self.coins, self.policy.digest)
        let (life, election) = (UInt64(self.scenario.life), CoordinatorElection(rawValue: self.scenario.election) ?? .hash)
        let id = SHA256.hash(Array("request \(self.scenario.seed)".utf8))
        let roster = Roster(members: self.policy.members, network: .regtest, enrolments: self.people.map(\.keys.enrolment))
        while true {
            if let row = self.people[self.proposer].store.rows.values.first {
                self.request = try Coordination.proposal(in: row.proposal, roster: roster)?.request
                return
            }
            if !self.network.hosts[self.proposer].isUp { try self.network.restart(self.proposer) }
            // A process that died with its write under way may have written it all the same.
            guard self.people[self.proposer].store.rows.isEmpty else { continue }
            try self.network.update(self.proposer) { node, program, now in
                guard let machine = program.machine else { preconditionFailure("a host that is up has a machine") }
                let result = node.swarm.update(machine, now: now) { machine in
                    Result { () throws(SigningMachineError) in
                        try machine.propose(
                            transaction, prevouts: coins, group: digest, seconds: life, election: election, id: id, now: now)
                    }
                }
                _ = try result.get()
            }
            self.network.run(for: self.scenario.diskDelayMax + .milliseconds(1))
        }
    }

    private func planFaults() {
        for crash in self.scenario.crashes {
            self.network.plan(at: crash.at) { [unowned self] network in
                guard network.hosts[crash.place].isUp else { return }
                self.coverage.insert(crash.isSilent ? "crash without a word" : "crash")
                network.crash(crash.place, silently: crash.isSilent)
                // What nobody else has heard of is gone with the disk, and nothing more can come of it.
                let isKnown = self.people.contains { $0.place != crash.place && !$0.store.rows.isEmpty }
                guard crash.losesDisk, self.transactions[crash.place] == nil, isKnown else { return }
                self.coverage.insert("crash that loses the disk")
                self.people[crash.place].store.lose()
            }
            self.network.plan(at: crash.back) { try $0.restart(crash.place) }
        }
        for cut in self.scenario.cuts {
            self.network.plan(at: cut.from) { [unowned self] network in
                self.coverage.insert("cut")
                network.split(breakingPipes: cut.breaksPipes) { cut.sides[$0] ? 1 : 0 }
            }
            self.network.plan(at: cut.to) { $0.split { _ in 0 } }
        }
    }

    /// From now on nothing breaks any more.
    private func heal() throws {
        var faults = NetworkFaults()
        faults.delay = self.scenario.faults.delay
        self.network.faults = faults
        self.network.split { _ in 0 }
        self.coverage.insert("healed")
    }

    private var isOver: Bool {
        self.people.allSatisfy { self.transactions[$0.place] != nil || !$0.approves }
            && self.network.hosts.allSatisfy(\.isUp) && self.network.now >= self.scenario.healing
    }

    private func close() {
        for person in self.people {
            let host = self.network.hosts[person.place]
            if host.sentByteCount > Self.sentByteCountMax {
                self.ledger.note(
                    .bound("bytes sent", member: person.place, actual: host.sentByteCount, limit: Self.sentByteCountMax))
            }
            let decisions = person.store.journal.count
            if decisions > Self.decisionCountMax {
                self.ledger.note(
                    .bound("decisions to sign", member: person.place, actual: decisions, limit: Self.decisionCountMax))
            }
            if let machine = host.program.machine {
                let held = host.node.swarm.read(machine) { $0.heldByteCount }
                if held > Self.heldByteCountMax {
                    self.ledger.note(.bound("bytes held", member: person.place, actual: held, limit: Self.heldByteCountMax))
                }
            }
            if self.scenario.mustComplete, person.approves, self.transactions[person.place] == nil {
                self.ledger.note(.notCompleted(member: person.place))
            }
        }
    }

    /// Most bytes that a member sends for one request, and that its machine holds: many times what any seed has needed.
    private static let sentByteCountMax = 16 << 20
    private static let heldByteCountMax = 4 << 20
    /// Most attempts that a member signs: one each time that somebody's process dies, and a few.
    private static let decisionCountMax = 24
}

extension NodeSigningRun: SigningMember.Watch {
    func writes(_ write: SigningWrite, of member: SigningMember.Person, from now: Duration, due: Duration) {
        if case .burn(let record) = write {
            let decision = member.store.rows[record.request]?.decision
            self.ledger.decided(record, by: member.place, hasApproved: decision == .approved)
        }
        self.stepCounts[member.place, default: 0] += 1
        guard self.stepCounts[member.place] == self.scenario.stepCrashes[member.place], now < self.scenario.healing else { return }
        // Before, while or right after it is durable.
        let microseconds = Int64((due - now) / .microseconds(1))
        let at = now + .microseconds(self.draw(0...(microseconds + 1_000)))
        let back = at + .milliseconds(self.draw(1...3_000))
        self.network.plan(at: at) { [unowned self] network in
            guard network.hosts[member.place].isUp else { return }
            self.coverage.insert("crash in a durable step")
            network.crash(member.place)
        }
        self.network.plan(at: back) { try $0.restart(member.place) }
    }

    func happened(_ event: CoordinationEvent, at member: SigningMember.Person) {
        let name = Mirror(reflecting: event).children.first?.label ?? "\(event)"
        self.coverage.insert("event \(name)")
        switch event {
        case .fault(let signer, _, _):
            // All are honest here.
            let blamed = self.people.first { $0.keys.signer == signer }?.place ?? -1
            self.ledger.note(.honestBlamed(member: blamed, by: member.place))
        case .complete(let transaction, _):
            self.transactions[member.place] = transaction
            guard let request = self.request else { return }
            let seen = member.fault == .believesTooEarly ? self.transaction : transaction
            self.ledger.completed(seen, of: request, by: member.place, policy: self.policy)
        default: break
        }
    }

    func refused(_ refusal: SigningRefusal, from peer: PeerID, at member: SigningMember.Person) {
        let kind: String =
            switch refusal {
            case .stranger: "stranger"
            case .coordination(let refusal): "\(refusal)"
            case .proposal: "proposal"
            case .transport: "transport"
            }
        self.coverage.insert("refused \(kind.prefix(60))")
        self.refusalCounts[member.place, default: 0] += 1
    }
}

extension SigningReport {
    /// Runs one signing among whole nodes.
    ///
    /// - Parameter fault: what is made wrong with every node, to see that it is found.
    public static func run(_ scenario: NodeSigningScenario, fault: NodeSigningFault? = nil) throws -> SigningReport {
        let run = try NodeSigningRun(scenario, fault: fault)
        try run.run()
        let completed = run.people.allSatisfy { run.transactions[$0.place] != nil || !$0.approves }
        return SigningReport(
            violations: run.ledger.violations.map { (scenario.seed, $0) }.sorted { $0.1.description < $1.1.description },
            outcome: completed ? .completed : scenario.refusers.isEmpty ? .expired : .aborted,
            virtualSeconds: Double(run.network.now.components.seconds), messageCount: run.network.counters.pieceCount,
            coverage: run.coverage)
    }
}
