internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode

/// One request among whole nodes, from its proposal until it is over for everybody.
final class NodeSigningRun {
    let scenario: NodeSigningScenario
    let network: SimulatedNetwork<NodeSigningProgram>
    let people: [SigningPerson]
    let policy: any SpendingPolicy
    private let fault: NodeSigningFault?
    private let transaction: Transaction
    private let coins: [TransactionOutput]
    private let proposer: Int
    private var random: SeededRandom
    /// Everybody's enrolments, the newest ones.
    private var roster: Roster
    private(set) var ledger = SigningLedger()
    private(set) var coverage: Set<String> = []
    private(set) var request: SigningRequest?
    /// All that was asked for: who lies about what it asks for asks for more than one thing.
    private var requests: [Bytes32: SigningRequest] = [:]
    private(set) var transactions: [Int: Transaction] = [:]
    private var stepCounts: [Int: Int] = [:]
    private var writeCounts: [Int: Int] = [:]
    private var sentCounts: [Int: Int] = [:]
    private var refusalCounts: [Int: Int] = [:]
    private var firstNonces: [Int: BurnRecord] = [:]
    private var states: [Int: String] = [:]
    private let overheard = Overheard()

    /// What strangers know of what members say to each other.
    private final class Overheard {
        var messages: [[UInt8]] = []
    }

    init(_ scenario: NodeSigningScenario, fault: NodeSigningFault? = nil) throws {
        self.scenario = scenario
        self.fault = fault
        var random = SeededRandom(seed: scenario.seed)
        let (seed, count) = (scenario.seed, scenario.memberCount)
        let identities = try (0..<count).map { try SimulatedKeys.identity(seed: seed, host: $0) }
        let enrolments = try (0..<count).map {
            try SigningPerson.keys(seed: seed, place: $0, identity: identities[$0], version: 1).enrolment
        }
        let signers = enrolments.map(\.signer)
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
        self.roster = Roster(members: policy.members, network: .regtest, enrolments: enrolments)
        let hubNumber = count + scenario.strangerCount
        let hub = HubNode.Place(
            peer: try SimulatedKeys.identity(seed: seed, host: hubNumber).id,
            address: SimulatedNetwork<NodeSigningProgram>.address(of: hubNumber))
        let addresses = identities.enumerated().map { place, identity in
            let direct = SimulatedNetwork<NodeSigningProgram>.address(of: place)
            let way = scenario.relayed.contains(place) ? hub.address.appending(.p2p(hub.peer), .p2pCircuit) : direct
            return (peer: identity.id, address: way)
        }
        let people = try identities.enumerated().map { place, identity in
            try SigningPerson(
                place: place, seed: seed, identity: identity, policy: policy, enrolments: enrolments,
                // Who cheats knows where everybody is.
                addresses: scenario.announces && scenario.cheats[place] == nil ? [] : addresses.filter { $0.peer != identity.id },
                skew: Int.random(in: -scenario.clockSkewMax...scenario.clockSkewMax, using: &random),
                mind: scenario.refusers.contains(place) ? .rejects : scenario.withdrawers.contains(place) ? .withdraws : .approves,
                cheat: scenario.cheats[place], thoughtMax: scenario.thoughtMax, diskDelayMax: scenario.diskDelayMax, choices: random.next())
        }
        self.people = people
        // Before the nodes start, which happens as their network is made.
        for person in people { (person.fault, person.noncePool) = (fault, scenario.noncePool) }
        // Before anybody's clock shows that the request's time is over.
        if fault == .outlivesItsTime {
            for person in people { person.sleepsAt = .seconds(scenario.life - 2 * scenario.clockSkewMax - 5) }
        }
        for person in people where scenario.hasHub && scenario.cheats[person.place] == nil {
            person.meeting = .init(hub: hub, isRelayed: scenario.relayed.contains(person.place), announces: scenario.announces)
        }
        let honest = (0..<count).filter { scenario.cheats[$0] == nil }
        self.proposer =
            (0..<count).first { scenario.cheats[$0]?.isOfProposer ?? false } ?? honest.first(where: scenario.isWilling) ?? honest.first ?? 0
        let strangerSeed = random.next()
        self.random = random
        let overheard = self.overheard
        self.network = try SimulatedNetwork(
            hostCount: count + scenario.strangerCount + (scenario.hasHub ? 1 : 0), seed: seed, faults: scenario.faults
        ) { number, configuration in
            // What signing needs: no hash table, and no gossip where everybody knows where the others are.
            let addresses = configuration.addresses
            configuration = .bare(
                agentVersion: configuration.agentVersion, addresses: scenario.relayed.contains(number) ? [] : addresses)
            guard scenario.hasHub else { return }
            configuration.relayClient = RelayClient.Configuration()
            if scenario.punchesHoles { configuration.holePunch = DCUtR.Configuration() }
            if scenario.announces { configuration.gossipsub = GossipsubParameters() }
            if number == hubNumber { configuration.relayServer = RelayServer.Configuration() }
        } makeProgram: { place, previous in
            if place == hubNumber { return .hub(HubNode(passesAnnouncements: scenario.announces)) }
            guard place < count else {
                return .stranger(StrangerNode(addresses, seed: strangerSeed ^ UInt64(place), overheard: { overheard.messages }))
            }
            if scenario.cheats[place] != nil { return .cheat(CheatingNode(people[place])) }
            let member: SigningMember? = if case .member(let member)? = previous { member } else { nil }
            return .member(SigningMember(people[place], after: member))
        }
        for person in people {
            person.watch = self
            if scenario.relayed.contains(person.place) { self.network.setHidden(person.place, true) }
        }
        self.coverage.formUnion(scenario.cheats.values.map { "cheat \($0.rawValue)" })
        if scenario.strangerCount > 0 { self.coverage.insert("strangers that flood") }
        if scenario.usesNonceCommitments { self.coverage.insert(SigningReport.commitmentsName) }
    }

    private func draw(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &self.random) }

    private var honest: [SigningPerson] { self.people.filter { $0.cheat == nil } }

    // MARK: The loop

    func run() throws {
        self.planFaults()
        self.network.run(for: .milliseconds(self.draw(0...2_000)))
        // Until members have given each other nonces, as far as they reach each other.
        if self.scenario.noncePool > 0 { self.network.run(for: .seconds(3)) }
        try self.propose()
        while self.network.now < self.scenario.healing {
            self.network.run(until: min(self.scenario.healing, self.network.now + .seconds(1)))
            self.lookAround()
        }
        self.heal()
        let end = Duration.seconds(self.scenario.life + 2 * self.scenario.clockSkewMax + 60)
        self.network.run(
            until: { _ in
                self.lookAround()
                return self.isOver
            }, within: end, step: .seconds(1))
        if let failure = self.network.failure { throw failure }
        self.close()
    }

    /// Whoever proposes says so again until its process has it on its disk.
    private func propose() throws {
        let (transaction, coins, digest) = (self.transaction, self.coins, self.policy.digest)
        let (life, isPooled) = (UInt64(self.scenario.life), self.scenario.noncePool > 0)
        let election = isPooled ? nil : CoordinatorElection(rawValue: self.scenario.election) ?? .hash
        let id = SHA256.hash(Array("request \(self.scenario.seed)".utf8))
        let usesNonceCommitments = self.scenario.usesNonceCommitments
        if self.scenario.cheats[self.proposer] != nil { return try self.proposeFalsely(id: id, election: election ?? .hash) }
        let store = self.people[self.proposer].store
        while true {
            if let row = store.rows.values.first {
                self.request = try Coordination.proposal(in: row.proposal, roster: self.roster)?.request
                return
            }
            if !self.network.hosts[self.proposer].isUp { try self.network.restart(self.proposer) }
            // A process that died with its write under way may have written it all the same.
            guard store.rows.isEmpty else { continue }
            self.network.update(self.proposer) { node, program, now in
                guard let machine = program.machine else { preconditionFailure("whoever proposes is honest") }
                // What is on its way to the disk already is not asked for twice.
                node.swarm.update(machine, now: now) { watched in
                    _ = try? watched.machine.propose(
                        transaction, prevouts: coins, group: digest, seconds: life, election: election, id: id,
                        usesNonceCommitments: usesNonceCommitments, now: now)
                }
            }
            self.network.run(for: self.scenario.diskDelayMax + .milliseconds(1))
        }
    }

    /// Whoever cheats by what it proposes.
    private func proposeFalsely(id: Bytes32, election: CoordinatorElection) throws {
        if !self.network.hosts[self.proposer].isUp { try self.network.restart(self.proposer) }
        let person = self.people[self.proposer]
        let created = UInt64(clamping: person.clock.wall(at: self.network.now).components.seconds)
        let request = try SigningRequest(
            transaction: self.transaction, prevouts: self.coins, policyDigest: self.policy.digest, proposer: person.keys.signer,
            expiry: created + UInt64(self.scenario.life), id: id, usesNonceCommitments: self.scenario.usesNonceCommitments)
        guard let terms = RequestTerms(election: election, createdAt: created) else { preconditionFailure("no note is not too long") }
        self.request = request
        self.network.update(self.proposer) { node, program, now in
            guard case .cheat(var cheat) = program else { return }
            cheat.propose(request, terms, &node, now: now)
            program = .cheat(cheat)
        }
    }

    /// What a member was asked for under a digest.
    private func request(_ id: Bytes32, of member: SigningPerson) -> SigningRequest? {
        if let known = self.requests[id] { return known }
        let found = member.store.rows[id].flatMap { try? Coordination.proposal(in: $0.proposal, roster: self.roster)?.request }
        self.requests[id] = found
        return found
    }

    private func planFaults() {
        for crash in self.scenario.crashes {
            if case .isRolledBack(let time) = crash.disk {
                self.network.plan(at: time) { [unowned self] _ in self.people[crash.place].store.keepCopy() }
            }
            self.network.plan(at: crash.at) { [unowned self] network in try self.carryOut(crash, network) }
            self.network.plan(at: crash.back) { try $0.restart(crash.place) }
        }
        for cut in self.scenario.cuts {
            self.network.plan(at: cut.from) { [unowned self] network in
                self.coverage.insert("cut")
                network.split(breakingPipes: cut.breaksPipes) { cut.sides.indices.contains($0) && cut.sides[$0] ? 1 : 0 }
            }
            self.network.plan(at: cut.to) { $0.split { _ in 0 } }
        }
        for fault in self.scenario.diskFaults {
            let store = self.people[fault.place].store
            self.network.plan(at: fault.from) { [unowned self] _ in
                self.coverage.insert(fault.isUnknown ? "write whose end nobody knows" : "full disk")
                store.trouble = fault.isUnknown ? .unknown : .full
            }
            self.network.plan(at: fault.to) { network in
                store.trouble = nil
                // Its owner sees that nothing is written any more.
                guard fault.isUnknown else { return }
                network.crash(fault.place)
                try network.restart(fault.place)
            }
        }
        for change in self.scenario.clockChanges {
            self.network.plan(at: change.at) { [unowned self] _ in
                self.coverage.insert(change.skew < 0 ? "clock set back" : "clock set forth")
                self.people[change.place].clock.set(skew: .seconds(change.skew))
            }
        }
        if let crash = self.scenario.hubCrash {
            let hub = self.people.count + self.scenario.strangerCount
            self.network.plan(at: crash.at) { [unowned self] network in
                self.coverage.insert("relay down")
                network.crash(hub)
            }
            self.network.plan(at: crash.back) { try $0.restart(hub) }
        }
        for reader in self.scenario.slowReaders {
            self.network.plan(at: reader.from) { [unowned self] network in
                self.coverage.insert(reader.bytesPerSecond == nil ? "reader that stops" : "slow reader")
                network.setWindow(of: reader.place, byteCount: Self.slowWindowByteCount)
                if let rate = reader.bytesPerSecond {
                    network.setReading(of: reader.place, bytesPerSecond: rate)
                } else {
                    network.stopReading(reader.place, for: reader.to - reader.from)
                }
            }
            self.network.plan(at: reader.to) { network in
                network.setReading(of: reader.place, bytesPerSecond: nil)
                network.setWindow(of: reader.place, byteCount: nil)
            }
        }
        if let time = self.scenario.cancelledAt { self.network.plan(at: time) { [unowned self] in self.cancel($0) } }
    }

    private func carryOut(_ crash: NodeSigningScenario.Crash, _ network: SimulatedNetwork<NodeSigningProgram>) throws {
        guard network.hosts[crash.place].isUp else { return }
        self.coverage.insert(crash.isSilent ? "crash without a word" : "crash")
        network.crash(crash.place, silently: crash.isSilent)
        let person = self.people[crash.place]
        if crash.renewsEnrolment, person.cheat == nil {
            self.coverage.insert("enrolment renewed")
            try person.renewEnrolment(seed: self.scenario.seed)
            _ = self.roster.learn(person.keys.enrolment)
        }
        // What nobody else has heard of is gone with the disk, and nothing more can come of it.
        let isKnown = self.honest.contains { $0.place != crash.place && !$0.store.rows.isEmpty }
        guard self.transactions[crash.place] == nil else { return }
        switch crash.disk {
        case .isKept: break
        case .isLost:
            guard isKnown else { return }
            self.coverage.insert("crash that loses the disk")
            person.store.lose()
        case .isRolledBack:
            guard isKnown || self.request.map({ person.store.copyKnows($0.digest) }) ?? false else { return }
            self.coverage.insert("disk rolled back")
            person.store.goBack()
        }
    }

    private func cancel(_ network: SimulatedNetwork<NodeSigningProgram>) {
        guard let request, self.transactions[self.proposer] == nil else { return }
        self.coverage.insert("cancelled")
        network.update(self.proposer) { node, program, now in
            if case .member(let member) = program { member.cancel(request.digest, &node, now: now) }
        }
    }

    /// From now on nothing breaks any more.
    private func heal() {
        var faults = NetworkFaults()
        faults.delay = self.scenario.faults.delay
        self.network.faults = faults
        self.network.split { _ in 0 }
        for change in self.scenario.clockChanges { self.people[change.place].clock.set(skew: .zero) }
        self.coverage.insert("healed")
    }

    private var isOver: Bool {
        guard self.network.hosts.allSatisfy(\.isUp), self.network.now >= self.scenario.healing else { return false }
        // A process that died before the end was on its disk has told of it, and has to hear of it again.
        return self.honest.allSatisfy { self.isOver(for: $0) ?? (self.transactions[$0.place] != nil) }
    }

    /// Whether a member's machine holds nothing open any more that it was asked for; `nil` if it has heard of nothing.
    private func isOver(for person: SigningPerson) -> Bool? {
        let host = self.network.hosts[person.place]
        guard host.isUp, let machine = host.program.machine else { return false }
        let ids = person.store.rows.keys
        return host.node.swarm.read(machine) { watched in
            let states = ids.compactMap { watched.machine.request($0)?.state.isOver }
            return states.isEmpty ? nil : states.allSatisfy { $0 }
        }
    }

    // MARK: What must hold

    /// Looks at everybody's state and bounds, now and then.
    private func lookAround() {
        for person in self.honest {
            let host = self.network.hosts[person.place]
            guard host.isUp, let machine = host.program.machine else { continue }
            let (held, heldBack, state) = host.node.swarm.read(machine) { watched in
                (
                    watched.heldByteCount, watched.machine.heldBackCount,
                    self.request.flatMap { watched.machine.request($0.digest) }.map { SigningRun.name(of: $0.state) }
                )
            }
            self.check("bytes held", held, Self.heldByteCountMax, person)
            // Whoever cheats may say too much; nobody else does.
            if self.scenario.cheats.isEmpty { self.check("messages over the rate", Int(clamping: heldBack), 0, person) }
            guard let state, state != self.states[person.place] else { continue }
            self.coverage.insert("\(self.states[person.place] ?? "new") → \(state)")
            self.states[person.place] = state
        }
    }

    private func check(_ what: String, _ actual: Int, _ limit: Int, _ person: SigningPerson) {
        if actual > limit { self.ledger.note(.bound(what, member: person.place, actual: actual, limit: limit)) }
    }

    private func close() {
        self.lookAround()
        self.ledger.compareCompletions(honest: Dictionary(uniqueKeysWithValues: self.honest.map { ($0.keys.signer, $0.place) }))
        let seconds = Int(self.network.now.components.seconds)
        // What a relay carries is the members'.
        let hub = self.people.count + self.scenario.strangerCount
        let fromOthers = self.network.hosts.filter {
            $0.number != hub && ($0.number >= self.people.count || self.scenario.cheats[$0.number] != nil)
        }
        let byteCountFromOthers = fromOthers.reduce(0) { $0 + $1.sentByteCount }
        for person in self.honest {
            let host = self.network.hosts[person.place]
            self.check("bytes sent", host.sentByteCount, Self.sentByteCountMax + 4 * byteCountFromOthers, person)
            let heard = byteCountFromOthers / Self.messageByteCountMin
            self.check(
                "messages", self.sentCounts[person.place] ?? 0, SigningLedger.messageCountMax * (self.people.count - 1) + heard, person)
            let decisionCountMax = Self.decisionCountMax + self.scenario.cheats.count * max(64, seconds)
            self.check("decisions to sign", person.store.journal.count, decisionCountMax, person)
            self.check("bytes on the disk", person.store.byteCount, Self.diskByteCountMax * (1 + self.scenario.cheats.count), person)
            self.check("writes", self.writeCounts[person.place] ?? 0, Self.writeCountMax + heard, person)
            self.check("refusals told", self.refusalCounts[person.place] ?? 0, person.life * Self.refusalBurst + 2 * seconds, person)
            if self.scenario.mustComplete, self.scenario.isWilling(person.place), self.transactions[person.place] == nil {
                self.ledger.note(.notCompleted(member: person.place))
            }
            if self.isOver(for: person) == false { self.ledger.note(.notOver(member: person.place)) }
        }
    }

    /// Bytes under way to who reads slowly, in each pipe.
    private static let slowWindowByteCount = 16_384

    // Many times what any seed has needed.

    /// Most bytes that a member sends for one request, and that its machine holds and its disk keeps.
    private static let sentByteCountMax = 16 << 20
    private static let heldByteCountMax = 4 << 20
    private static let diskByteCountMax = 4 << 20
    private static let writeCountMax = 20_000
    /// Most attempts that a member signs: one each time that somebody's process dies or disk fails, and a few; and one a second of each that
    /// cheats.
    private static let decisionCountMax = 24
    /// Least bytes of what makes a member say something.
    private static let messageByteCountMin = 100
    /// Refusals that a life may tell at once, of strangers and of members.
    private static let refusalBurst = 128
}

extension NodeSigningRun: SigningWatch {
    func writes(_ write: SigningWrite, of member: SigningPerson, from now: Duration, due: Duration) {
        self.writeCounts[member.place, default: 0] += 1
        if case .burn(let record) = write { self.decided(record, by: member) }
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

    private func decided(_ record: BurnRecord, by member: SigningPerson) {
        var record = record
        if self.fault == .keepsNonces {
            let first = self.firstNonces[member.place] ?? record
            self.firstNonces[member.place] = first
            record = BurnRecord(
                request: record.request, attempt: record.attempt, signer: record.signer, transcript: record.transcript,
                contributions: Array(zip(first.nonces, record.partialSignatures)))
        }
        let isDurable = member.store.rows[record.request]?.decision == .approved
        self.ledger.decided(record, by: member.place, hasApproved: isDurable && self.isAllowed(member))
    }

    /// Whether its person ever agrees; whoever proposes has.
    private func isAllowed(_ member: SigningPerson) -> Bool { member.mind != .rejects || member.place == self.proposer }

    func sent(_ message: [UInt8], by member: SigningPerson) {
        self.sentCounts[member.place, default: 0] += 1
        self.ledger.sent(message, by: member.place, journal: member.store.journal, self.roster)
        if self.scenario.strangerCount > 0, self.overheard.messages.count < 64 { self.overheard.messages.append(message) }
    }

    func happened(_ event: CoordinationEvent, to id: Bytes32, at member: SigningPerson) {
        self.coverage.insert("event \(SigningRun.name(of: event))")
        switch event {
        case .fault(let signer, let fault, _):
            self.coverage.insert("fault \(SigningRun.kind(of: fault))")
            self.blamed(signer, by: member)
        case .cloneAlarm(let alarm, _): self.alarmed(about: alarm.signer, by: member)
        case .complete(let transaction, let completion):
            self.transactions[member.place] = transaction
            guard let request = self.request(id, of: member) else { return }
            let seen =
                self.fault == .believesTooEarly
                ? self.transaction : self.forged(request, by: completion.signers, at: member) ?? transaction
            self.ledger.completed(seen, by: completion.signers, of: request, at: member.place, policy: self.policy)
        case .joined(let signer) where self.fault == .alarmsWithoutProof: self.alarmed(about: signer, by: member)
        case .joined(let signer) where self.fault == .blamesWithoutProof: self.blamed(signer, by: member)
        default: break
        }
    }

    private func alarmed(about signer: PublicKey, by member: SigningPerson) {
        guard let other = self.people.first(where: { $0.keys.signer == signer }) else { return }
        self.ledger.alarmed(about: signer, by: member.place, isClone: other.cheat == .clones, member: other.place)
    }

    /// On purpose: what nobody asked for, or what no attempt made.
    private func forged(_ request: SigningRequest, by signers: [PublicKey], at member: SigningPerson) -> Transaction? {
        guard self.fault == .completesAnother || self.fault == .signsAside else { return nil }
        do {
            return try ForgedCompletion.make(
                of: request, changesTransaction: self.fault == .completesAnother, by: signers, under: self.policy,
                seed: [UInt8(member.place)]
            ) { signer, nonce, context in
                self.people.first { $0.keys.signer == signer }.flatMap { nonce.sign(with: $0.key, in: context) }
            }
        } catch { preconditionFailure("whoever has all keys can sign: \(error)") }
    }

    private func blamed(_ signer: PublicKey, by member: SigningPerson) {
        guard let blamed = self.people.first(where: { $0.keys.signer == signer }), blamed.cheat == nil else { return }
        self.ledger.note(.honestBlamed(member: blamed.place, by: member.place))
    }

    func refused(_ refusal: SigningRefusal, from peer: PeerID, at member: SigningPerson) {
        let kind: String =
            switch refusal {
            case .stranger: "stranger"
            case .coordination(let refusal): SigningRun.kind(of: refusal)
            case .proposal: "proposal"
            case .transport: "transport"
            }
        self.coverage.insert("refused \(kind)")
        self.refusalCounts[member.place, default: 0] += 1
    }

    func announced(isHeard: Bool, by member: SigningPerson) {
        self.coverage.insert(isHeard ? "announcement heard" : "announcement told")
    }

    func connected(by method: ConnectionMethod, member: SigningPerson) {
        self.coverage.insert(method == .relay ? "member reached through a relay" : "member reached directly")
    }

    func blocked(_ peer: PeerID, at member: SigningPerson) {
        guard let blocked = self.honest.first(where: { $0.identity.id == peer }) else {
            self.coverage.insert("blocked")
            return
        }
        self.ledger.note(.honestBlocked(member: blocked.place, by: member.place))
    }
}

extension SigningReport {
    /// Runs one signing among whole nodes.
    ///
    /// - Parameter fault: what is made wrong with every node, to see that it is found.
    public static func run(_ scenario: NodeSigningScenario, fault: NodeSigningFault? = nil) throws -> SigningReport {
        let run = try NodeSigningRun(scenario, fault: fault)
        try run.run()
        let honest = run.people.filter { $0.cheat == nil }
        let completed = honest.allSatisfy { run.transactions[$0.place] != nil || !scenario.isWilling($0.place) }
        let isByWord = !scenario.refusers.isEmpty || !scenario.withdrawers.isEmpty || scenario.cancelledAt != nil
        let hasFault = run.coverage.contains { $0.hasPrefix("fault ") }
        return SigningReport(
            violations: run.ledger.violations.map { (scenario.seed, $0) }.sorted { $0.1.description < $1.1.description },
            outcome: completed ? .completed : isByWord || hasFault ? .aborted : .expired,
            virtualSeconds: Double(run.network.now.components.seconds), messageCount: run.network.counters.pieceCount,
            memberCount: scenario.memberCount, coverage: run.coverage)
    }
}
