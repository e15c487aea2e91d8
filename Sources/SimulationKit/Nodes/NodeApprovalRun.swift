internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode

/// Requests among whole nodes that approve by themselves: nothing may be signed that its owner's policy does not let out, whenever processes
/// are killed.
final class NodeApprovalRun {
    private let scenario: NodeApprovalScenario
    let network: SimulatedNetwork<NodeSigningProgram>
    private let people: [SigningPerson]
    private let policy: SignerGroup
    private(set) var ledger = SigningLedger()
    private(set) var coverage: Set<String> = []
    /// What was asked, by T0.
    private var asked: [Bytes32: NodeApprovalScenario.Ask] = [:]
    private(set) var isAnyComplete = false
    /// When each member first had a request on its way to the disk, and what it signed without having asked for it itself.
    private var seenAt: [[Bytes32: Duration]]
    private var signed: [[Bytes32: UInt64]]

    private static let shop = Script([0x00, 0x14] + [UInt8](repeating: 7, count: 20))
    private static let stranger = Script([0x00, 0x14] + [UInt8](repeating: 9, count: 20))

    init(_ scenario: NodeApprovalScenario, fault: NodeApprovalFault? = nil) throws {
        self.scenario = scenario
        var random = SeededRandom(seed: scenario.seed)
        let (seed, count) = (scenario.seed, scenario.memberCount)
        let identities = try (0..<count).map { try SimulatedKeys.identity(seed: seed, host: $0) }
        let enrolments = try (0..<count).map {
            try SigningPerson.keys(seed: seed, place: $0, identity: identities[$0], version: 1).enrolment
        }
        let policy = try SignerGroup(enrolments.map(\.signer))
        let addresses = identities.enumerated().map { (peer: $1.id, address: SimulatedNetwork<NodeSigningProgram>.address(of: $0)) }
        let people = try identities.enumerated().map { place, identity in
            try SigningPerson(
                place: place, seed: seed, identity: identity, policy: policy, enrolments: enrolments,
                addresses: addresses.filter { $0.peer != identity.id },
                skew: Int.random(in: -scenario.clockSkewMax...scenario.clockSkewMax, using: &random), mind: .approves, cheat: nil,
                thoughtMax: .zero, diskDelayMax: scenario.diskDelayMax, choices: random.next())
        }
        for person in people {
            person.rules = try Self.rules(policy.scriptPubKey, delay: scenario.delays[person.place], fault)
            person.forgetsApprovals = fault == .losesHistory
        }
        self.policy = policy
        self.people = people
        self.seenAt = Array(repeating: [:], count: count)
        self.signed = Array(repeating: [:], count: count)
        var faults = NetworkFaults()
        faults.delay = .milliseconds(5) ... .milliseconds(80)
        self.network = try SimulatedNetwork(hostCount: count, seed: seed, faults: faults) { _, configuration in
            let addresses = configuration.addresses
            configuration = .bare(agentVersion: configuration.agentVersion, addresses: addresses)
        } makeProgram: { place, previous in
            let member: SigningMember? = if case .member(let member)? = previous { member } else { nil }
            return .member(SigningMember(people[place], after: member))
        }
        for person in people { person.watch = self }
    }

    private static func rules(_ group: Script, delay: UInt64, _ fault: NodeApprovalFault?) throws -> ApprovalPolicy {
        let isWide = fault == .widensLimits
        return try ApprovalPolicy(
            network: .regtest, groupScript: group, proposers: .any, destinations: isWide ? .anywhere : .these([Self.shop]),
            limits: ApprovalPolicy.Limits(
                amountPerRequest: isWide ? 1_000_000 : NodeApprovalScenario.amountPerRequest,
                amountPerDay: isWide ? 1_000_000 : NodeApprovalScenario.amountPerDay,
                approvalsPerDay: NodeApprovalScenario.approvalsPerDay, fee: 20_000, feeRate: try FeeRate(100)),
            times: ApprovalPolicy.Times(windows: nil, delay: fault == .dropsDelay ? 0 : delay))
    }

    func run() throws {
        for crash in self.scenario.crashes {
            self.network.plan(at: crash.at) { [unowned self] network in
                guard network.hosts[crash.place].isUp else { return }
                self.coverage.insert("crash")
                network.crash(crash.place, silently: crash.isSilent)
            }
            self.network.plan(at: crash.back) { try $0.restart(crash.place) }
        }
        for (number, ask) in self.scenario.asks.enumerated() {
            self.network.plan(at: ask.at) { [unowned self] network in try self.propose(ask, number, network) }
        }
        self.network.run(until: NodeApprovalScenario.length)
        if let failure = self.network.failure { throw failure }
    }

    /// Whoever is down at that moment does not ask.
    private func propose(_ ask: NodeApprovalScenario.Ask, _ number: Int, _ network: SimulatedNetwork<NodeSigningProgram>) throws {
        guard network.hosts[ask.proposer].isUp else { return }
        let group = self.policy
        let coin = Txid(SHA256.hash(Array("coin \(self.scenario.seed) \(number)".utf8)))
        let fee = NodeApprovalScenario.fee
        let transaction = Transaction(
            inputs: [TransactionInput(previousOutput: OutPoint(txid: coin, index: 0), sequence: 0xffff_fffd)],
            outputs: [
                TransactionOutput(amount: ask.amount - fee, scriptPubKey: ask.isToStranger ? Self.stranger : Self.shop),
                TransactionOutput(amount: NodeApprovalScenario.coinAmount - ask.amount, scriptPubKey: group.scriptPubKey),
            ])
        let coins = [TransactionOutput(amount: NodeApprovalScenario.coinAmount, scriptPubKey: group.scriptPubKey)]
        let id = SHA256.hash(Array("request \(self.scenario.seed) \(number)".utf8))
        let request = try network.update(ask.proposer) { node, program, now -> Bytes32 in
            guard let machine = program.machine else { preconditionFailure("a host that is up has a machine") }
            let result = node.swarm.update(machine, now: now) { watched in
                Result { () throws(SigningMachineError) in
                    try watched.machine.propose(transaction, prevouts: coins, group: group.digest, seconds: 800, id: id, now: now)
                }
            }
            return try result.get()
        }
        if let request { self.asked[request] = ask }
    }
}

extension NodeApprovalRun: SigningWatch {
    func writes(_ write: SigningWrite, of member: SigningPerson, from now: Duration, due: Duration) {
        switch write {
        case .request(let new):
            if self.seenAt[member.place][new.id] == nil { self.seenAt[member.place][new.id] = now }
        case .burn(let record): self.signs(record, member, now: now)
        default: break
        }
    }

    /// Judges by the figures of what leaves, and by what the member's disk holds, and not as the policy does.
    private func signs(_ record: BurnRecord, _ member: SigningPerson, now: Duration) {
        self.ledger.decided(record, by: member.place, hasApproved: member.store.rows[record.request]?.decision == .approved)
        guard let ask = self.asked[record.request] else { return self.breach(member, "nobody asked for it") }
        guard ask.proposer != member.place else { return }
        if ask.isToStranger { self.breach(member, "it pays a stranger") }
        if ask.amount > NodeApprovalScenario.amountPerRequest { self.breach(member, "\(ask.amount) sat in one request") }
        self.signed[member.place][record.request] = ask.amount
        let sum = self.signed[member.place].values.reduce(0, +)
        if sum > NodeApprovalScenario.amountPerDay { self.breach(member, "\(sum) sat in a day") }
        let count = self.signed[member.place].count
        if count > NodeApprovalScenario.approvalsPerDay { self.breach(member, "\(count) approvals in a day") }
        let delay = Duration.seconds(Int64(self.scenario.delays[member.place]))
        guard let seen = self.seenAt[member.place][record.request], now - seen >= delay else {
            return self.breach(member, "there was no time to object")
        }
        let kept = member.store.approvals[self.policy.digest].flatMap { try? ApprovalHistory(parsing: $0.history) }
        if kept?.holds(record.request) != true { self.breach(member, "the disk does not hold that it was approved") }
    }

    private func breach(_ member: SigningPerson, _ what: String) {
        self.ledger.note(.signedBeyondPolicy(member: member.place, what))
    }

    func happened(_ event: CoordinationEvent, to request: Bytes32, at member: SigningPerson) {
        switch event {
        case .fault(let signer, _, _):
            let blamed = self.people.first { $0.keys.signer == signer }?.place ?? -1
            self.ledger.note(.honestBlamed(member: blamed, by: member.place))
        case .cloneAlarm(let alarm, _):
            self.ledger.note(.falseAlarm(member: self.people.first { $0.keys.signer == alarm.signer }?.place ?? -1, by: member.place))
        case .complete:
            self.isAnyComplete = true
            self.coverage.insert("completed without a person")
        default: break
        }
    }

    func sent(_ message: [UInt8], by member: SigningPerson) {}
    func refused(_ refusal: SigningRefusal, from peer: PeerID, at member: SigningPerson) {}
    func blocked(_ peer: PeerID, at member: SigningPerson) {}
    func announced(isHeard: Bool, by member: SigningPerson) {}
    func connected(by method: ConnectionMethod, member: SigningPerson) {}
}

extension SigningReport {
    /// Runs requests among whole nodes that approve by themselves.
    ///
    /// - Parameter fault: what is made wrong with every node, to see that it is found.
    public static func run(_ scenario: NodeApprovalScenario, fault: NodeApprovalFault? = nil) throws -> SigningReport {
        let run = try NodeApprovalRun(scenario, fault: fault)
        try run.run()
        return SigningReport(
            violations: run.ledger.violations.map { (scenario.seed, $0) }.sorted { $0.1.description < $1.1.description },
            outcome: run.isAnyComplete ? .completed : .expired,
            virtualSeconds: Double(run.network.now.components.seconds), messageCount: run.network.counters.pieceCount,
            memberCount: scenario.memberCount, coverage: run.coverage)
    }
}
