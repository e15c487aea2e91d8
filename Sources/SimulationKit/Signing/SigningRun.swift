internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing

/// One request among simulated members, from its proposal until it is over for everybody.
struct SigningRun {
    let scenario: SigningScenario
    let hosts: [SigningHost]
    let roster: Roster
    let policy: any SpendingPolicy
    let request: SigningRequest
    let proposal: Statement
    /// Members that run twice.
    private let clones: Set<PublicKey>
    /// What is wrong with every honest member on purpose, to see that it is found.
    let fault: SigningFault?
    var random: SeededRandom
    var queue = EventQueue<Event>()
    var now: Duration = .zero
    var ledger = SigningLedger()
    var coverage: Set<String> = []

    enum Event {
        case step(Int, Duration)
        case deliver([UInt8], from: Int, to: Int)
        case written(Int, life: Int, BurnRecord)
        case decide(Int, life: Int)
        case crash(Int, losesDisk: Bool)
        case restart(Int)
        case heal
    }

    /// Seconds since 1970 at which every simulated request is proposed.
    private static let start: UInt64 = 1_800_000_000

    init(_ scenario: SigningScenario, fault: SigningFault? = nil) throws {
        self.scenario = scenario
        self.fault = fault
        var random = SeededRandom(seed: scenario.seed)
        let skews = (0..<scenario.memberCount).map { _ in Int.random(in: -scenario.clockSkewMax...scenario.clockSkewMax, using: &random) }
        self.random = random
        let hosts = try (0..<scenario.memberCount).map { place in
            try SigningHost(place: place, seed: scenario.seed, network: .regtest, cheat: scenario.cheats[place], skew: skews[place])
        }
        let signers = hosts.map(\.signer)
        if scenario.threshold == scenario.memberCount {
            self.policy = try SignerGroup(signers)
        } else {
            self.policy = try DelegatedMultisig(internalKey: .unspendable, signers: signers, threshold: scenario.threshold)
        }
        // Who lies about what it asks for asks; else somebody honest, for other cheats have nothing to gain by it.
        let proposer =
            hosts.first { $0.cheat?.isOfProposer ?? false } ?? hosts.first { $0.cheat == nil && !scenario.refusers.contains($0.place) }
            ?? hosts[0]
        let script = self.policy.scriptPubKey
        let coins = (0..<scenario.inputCount).map { TransactionOutput(amount: 10_000 + UInt64($0), scriptPubKey: script) }
        let inputs = (0..<scenario.inputCount).map {
            TransactionInput(
                previousOutput: OutPoint(txid: Txid(SHA256.hash(Array("coin \(scenario.seed)".utf8))), index: UInt32($0)),
                sequence: 0xffff_fffd)
        }
        self.request = try SigningRequest(
            transaction: Transaction(inputs: inputs, outputs: [TransactionOutput(amount: 9_000, scriptPubKey: script)]), prevouts: coins,
            policyDigest: self.policy.digest, proposer: proposer.signer,
            expiry: Self.start + UInt64(scenario.life.components.seconds), id: SHA256.hash(Array("request \(scenario.seed)".utf8)),
            usesNonceCommitments: scenario.usesNonceCommitments)
        let terms = RequestTerms(election: CoordinatorElection(rawValue: scenario.election) ?? .hash, createdAt: Self.start)
        guard let terms else { preconditionFailure("no note is not too long") }
        self.proposal = Coordination.propose(self.request, terms: terms, enrolment: proposer.enrolment, identity: proposer.identity)
        self.roster = Roster(members: self.policy.members, network: .regtest, enrolments: hosts.map(\.enrolment))
        self.hosts = hosts
        self.clones = Set(hosts.filter { $0.cheat == .clones }.map(\.signer))
        for host in hosts {
            guard let cheat = host.cheat else { continue }
            host.speaker = CheatingSpeaker(cheat, self.request, terms, self.policy, self.roster, host.enrolment)
        }
        self.open(proposer, resumes: false)
        for crash in scenario.crashes {
            self.queue.add(.crash(crash.place, losesDisk: crash.losesDisk), at: crash.at)
            self.queue.add(.restart(crash.place), at: crash.back)
        }
        self.queue.add(.heal, at: scenario.healing)
    }

    private func moment(of host: SigningHost) -> Moment {
        let seconds = Int64(Self.start) + self.now.components.seconds + Int64(host.skew)
        // Uptime begins anywhere, differently for each machine.
        return Moment(uptime: self.now + .seconds(1_000 * (host.place + 1)), time: UInt64(max(0, seconds)))
    }

    private func uptimeOffset(of host: SigningHost) -> Duration { .seconds(1_000 * (host.place + 1)) }

    // MARK: The loop

    mutating func run() {
        let end = self.scenario.life + .seconds(2 * self.scenario.clockSkewMax + 600)
        var (eventCount, isBrokenOff) = (0, false)
        while let (time, event) = self.queue.popFirst(until: end) {
            if !self.isNoise(event) { eventCount += 1 }
            guard eventCount <= Self.eventCountMax * self.hosts.count else {
                self.ledger.wentOnForEver(at: time)
                isBrokenOff = true
                break
            }
            self.now = time
            self.handle(event)
            if self.isOver { break }
        }
        // Long after its time nobody holds it open; where all have completed it the time was not waited for.
        if !self.isOver, !isBrokenOff {
            for host in self.hosts where host.cheat == nil && host.coordination?.state.isOver == false {
                self.ledger.note(.notOver(member: host.place))
            }
        }
        self.ledger.close(self.hosts, scenario: self.scenario)
    }

    /// Whether a cheat said it, or a timer rings that was set anew since: how much of that there is says nothing of the others.
    private func isNoise(_ event: Event) -> Bool {
        switch event {
        case .deliver(_, let from, _): self.hosts[from].cheat != nil
        case .step(let place, let time): self.hosts[place].timer != time
        case .written, .decide, .crash, .restart, .heal: false
        }
    }

    /// Most events for each member, far above what any signing has: one that goes on for ever is found.
    private static let eventCountMax = 20_000

    /// Whether nothing more can come of it: every honest member holds it complete.
    private var isOver: Bool { self.hosts.allSatisfy { $0.cheat != nil || $0.transaction != nil } && self.now >= self.scenario.healing }

    private mutating func handle(_ event: Event) {
        switch event {
        case .step(let place, let time):
            guard self.hosts[place].timer == time, self.fault != .forgetsTimers else { return }
            if self.fault == .outlivesItsTime, self.now >= self.scenario.life - .seconds(2 * self.scenario.clockSkewMax) { return }
            self.step(self.hosts[place])
        case .deliver(let message, let from, let to): self.deliver(message, from: from, to: self.hosts[to])
        case .written(let place, let life, let record):
            let host = self.hosts[place]
            guard host.isUp, host.life == life else { return }
            host.pending.removeAll { $0 == record }
            host.journal.append(record)
            host.coordination?.recorded(record)
            self.step(host)
        case .decide(let place, let life): self.decide(self.hosts[place], life: life)
        case .crash(let place, let losesDisk): self.crash(self.hosts[place], losesDisk: losesDisk)
        case .restart(let place): self.restart(self.hosts[place])
        case .heal:
            self.coverage.insert("healed")
            for host in self.hosts {
                for other in self.hosts where other.place != host.place {
                    host.coordination?.noteConnected(other.signer, now: self.moment(of: host))
                }
                self.step(host)
            }
        }
    }

    // MARK: A process

    private mutating func open(_ host: SigningHost, resumes: Bool) {
        let known = host.request ?? (self.request, self.proposal)
        do {
            host.coordination = try Coordination(
                request: known.request, proposal: known.proposal, policy: self.policy, roster: self.roster, enrolment: host.enrolment,
                incarnation: host.incarnation(seed: self.scenario.seed), records: host.journal, resumes: resumes)
        } catch {
            // Nor is the honest one where another than its proposer signed it.
            let isHonest = known.request.digest == self.request.digest && known.proposal.sender == known.request.proposer
            precondition(!isHonest, "an honest request is refused: \(error)")
            self.coverage.insert("refused proposal")
            return
        }
        host.request = known
        for message in host.said { host.coordination?.recall(message, now: self.moment(of: host)) }
        if let decision = host.decision {
            self.tell(host, decision.approves, serial: decision.serial)
        } else {
            // A person, or a policy, thinks for a while.
            let thought = Duration.milliseconds(Int.random(in: 0...4_000, using: &self.random))
            self.queue.add(.decide(host.place, life: host.life), at: self.now + thought)
        }
        self.step(host)
    }

    private mutating func decide(_ host: SigningHost, life: Int) {
        guard host.isUp, host.life == life, host.decision == nil, host.coordination != nil else { return }
        // A decision's number is the time, so that a disk that was set back does not lock its owner out.
        let serial = UInt32(truncatingIfNeeded: self.moment(of: host).time)
        let approves = !self.scenario.refusers.contains(host.place)
        host.decision = (serial, approves)
        self.beganDurableStep(of: host)
        self.tell(host, approves, serial: serial)
        self.step(host)
    }

    private func tell(_ host: SigningHost, _ approves: Bool, serial: UInt32) {
        if approves || self.fault == .signsUnapproved {
            host.coordination?.approve(serial: serial)
        } else {
            host.coordination?.refuse(.rejected, serial: serial)
        }
    }

    private mutating func crash(_ host: SigningHost, losesDisk: Bool) {
        guard host.isUp else { return }
        self.coverage.insert(losesDisk ? "crash that loses the disk" : "crash")
        if !host.pending.isEmpty { self.coverage.insert("crash while the journal writes") }
        host.isUp = false
        host.coordination = nil
        host.timer = nil
        for record in host.pending where Bool.random(using: &self.random) { host.journal.append(record) }
        host.pending = []
        self.ledger.forgot(host.place, losesDisk: losesDisk)
        if losesDisk, host.transaction == nil {
            host.journal = []
            host.said = []
            host.decision = nil
        }
    }

    /// Whoever is to crash in this step does, before, while or right after what it writes is durable.
    private mutating func beganDurableStep(of host: SigningHost) {
        host.stepCount += 1
        guard self.scenario.stepCrashes[host.place] == host.stepCount else { return }
        let moment = Int(self.scenario.journalDelayMax / .microseconds(1)) + 1
        let at = self.now + .microseconds(Int.random(in: 0...moment, using: &self.random))
        self.queue.add(.crash(host.place, losesDisk: false), at: at)
        self.queue.add(.restart(host.place), at: at + .milliseconds(Int.random(in: 1...3_000, using: &self.random)))
    }

    private mutating func restart(_ host: SigningHost) {
        guard !host.isUp else { return }
        host.isUp = true
        host.life += 1
        guard host.request != nil else { return }
        self.open(host, resumes: true)
    }

    private mutating func step(_ host: SigningHost) {
        guard host.isUp, host.coordination != nil else { return }
        let moment = self.moment(of: host)
        let actions = host.coordination?.step(now: moment, key: host.key, identity: host.identity) ?? []
        for action in actions { self.carryOut(action, of: host) }
        if let state = host.coordination?.state {
            let name = Self.name(of: state)
            if host.lastState != name { self.coverage.insert("\(host.lastState) → \(name)") }
            host.lastState = name
        }
        guard let due = host.coordination?.nextStepAt else { return host.timer = nil }
        let isRestless = self.fault == .neverRests && host.cheat == nil
        let time = max(self.now + .microseconds(1), isRestless ? .zero : due - self.uptimeOffset(of: host))
        host.timer = time
        self.queue.add(.step(host.place, time), at: time)
    }

    private mutating func carryOut(_ action: CoordinationAction, of host: SigningHost) {
        switch action {
        case .send(let message, let receiver):
            guard let to = self.hosts.firstIndex(where: { $0.signer == receiver }) else { return }
            if host.cheat == nil {
                self.ledger.sent(message, by: host.place, journal: host.journal, self.roster)
                if self.request.usesNonceCommitments {
                    self.ledger.showed(message, by: host.place, self.roster)
                    if self.fault == .showsNoncesEarly { self.showNonces(with: message, of: host) }
                }
            }
            host.transcribe(message)
            let copies = self.fault == .repeatsItself && host.cheat == nil ? SigningLedger.messageCountMax : 1
            for said in self.said(message, by: host, to: to) {
                for _ in 0..<copies { self.transmit(said, from: host, to: to) }
            }
        case .record(let record):
            if host.cheat == nil {
                let hasApproved = host.decision?.approves == true && host.request?.request.digest == record.request
                self.ledger.decided(record, by: host.place, hasApproved: hasApproved)
            }
            if self.fault == .releasesBeforeDurable {
                host.coordination?.recorded(record)
                return self.step(host)
            }
            host.pending.append(record)
            self.beganDurableStep(of: host)
            let delay = Duration.microseconds(
                Int.random(in: 0...max(1, Int(self.scenario.journalDelayMax / .microseconds(1))), using: &self.random))
            self.queue.add(.written(host.place, life: host.life, record), at: self.now + delay)
        // One request is all that there is: its machine compares.
        case .sighted, .takePooled: break
        case .tell(let event): self.note(event, of: host)
        }
    }

    private mutating func note(_ event: CoordinationEvent, of host: SigningHost) {
        self.coverage.insert("event \(Self.name(of: event))")
        guard host.cheat == nil else { return }
        switch event {
        case .fault(let signer, let fault, _):
            self.coverage.insert("fault \(Self.kind(of: fault))")
            self.ledger.blamed(signer, by: host, among: self.hosts)
        case .cloneAlarm where self.fault == .overlooksClones: break
        case .cloneAlarm(let alarm, _): self.alarmed(about: alarm.signer, by: host)
        case .complete(let transaction, let completion):
            host.transaction = transaction
            self.holdsComplete(self.forged(by: completion.signers, at: host) ?? transaction, by: completion.signers, host)
        case .attemptBegan(_, let signers) where self.fault == .believesTooEarly:
            host.transaction = self.request.transaction
            self.holdsComplete(self.request.transaction, by: signers, host)
        case .partialSignaturesReceived(_, let signer) where self.fault == .alarmsWithoutProof: self.alarmed(about: signer, by: host)
        case .partialSignaturesReceived(_, let signer) where self.fault == .blamesWithoutProof:
            self.ledger.blamed(signer, by: host, among: self.hosts)
        case .shouldBroadcast: host.broadcasts += 1
        case .coordinatorElected, .coordinatorFailed, .failoverExhausted, .joined, .refused, .commitmentsComplete, .attemptBegan,
            .partialSignaturesReceived, .signed, .restarted, .ended:
            break
        }
    }

    private mutating func alarmed(about signer: PublicKey, by host: SigningHost) {
        guard let member = self.hosts.first(where: { $0.signer == signer }) else { return }
        self.ledger.alarmed(about: signer, by: host.place, isClone: member.cheat == .clones, member: member.place)
    }

    private mutating func holdsComplete(_ transaction: Transaction, by signers: [PublicKey], _ host: SigningHost) {
        self.ledger.completed(
            transaction, by: signers, of: host.request?.request ?? self.request, at: host.place, policy: self.policy)
    }

    /// On purpose: what nobody asked for, or what no attempt made.
    private func forged(by signers: [PublicKey], at host: SigningHost) -> Transaction? {
        guard self.fault == .completesAnother || self.fault == .signsAside else { return nil }
        do {
            return try ForgedCompletion.make(
                of: self.request, changesTransaction: self.fault == .completesAnother, by: signers, under: self.policy,
                seed: [UInt8(host.place)]
            ) { signer, nonce, context in
                self.hosts.first { $0.signer == signer }.flatMap { nonce.sign(with: $0.key, in: context) }
            }
        } catch { preconditionFailure("whoever has all keys can sign: \(error)") }
    }

    // MARK: The network

    /// On purpose: what it commits to it shows at once.
    private mutating func showNonces(with message: [UInt8], of host: SigningHost) {
        guard let head = try? CoordinationMessage.Head(parsing: message),
            case .approval(_, _, let statement)? = try? head.content(self.roster),
            case .commitment(let serial, let name, _) = statement.body
        else { return }
        let nonces = Statement(
            .approval(serial: serial, name, [[0]]), request: statement.request, attempt: 0, enrolment: host.enrolment,
            identity: host.identity)
        let early = CoordinationMessage(
            request: head.request, series: head.series, sequence: 0, acknowledged: nil, content: .opening(attempt: 1, nonces))
        self.ledger.showed(early.serialized(self.roster), by: host.place, self.roster)
    }

    /// What a member sends in place of a message.
    private mutating func said(_ message: [UInt8], by host: SigningHost, to: Int) -> [[UInt8]] {
        guard var speaker = host.speaker else { return [message] }
        defer { host.speaker = speaker }
        (speaker.incarnation, speaker.serial) = (host.incarnation(seed: self.scenario.seed).bytes, host.decision?.serial)
        speaker.sentCount = host.sentCount
        speaker.receiver = self.hosts[to].signer
        return speaker.said(message, to: to, now: self.now, key: host.key, identity: host.identity, random: &self.random)
    }

    mutating func transmit(_ message: [UInt8], from host: SigningHost, to: Int) {
        host.sentCount += 1
        host.sentByteCount += message.count
        let isHealed = self.now >= self.scenario.healing
        if !isHealed,
            self.scenario.partitions.contains(where: { $0.from <= self.now && self.now < $0.to && $0.sides[host.place] != $0.sides[to] })
        {
            return
        }
        let divisor = isHealed ? 5 : 1
        if Int.random(in: 0..<1_000, using: &self.random) < self.scenario.lossPerMille / divisor { return }
        let copies = Int.random(in: 0..<1_000, using: &self.random) < self.scenario.duplicationPerMille / divisor ? 2 : 1
        for _ in 0..<copies {
            let least = Int(self.scenario.delay.lowerBound / .microseconds(1)),
                most = Int(self.scenario.delay.upperBound / .microseconds(1))
            let delay = Duration.microseconds(Int.random(in: least...most, using: &self.random))
            self.queue.add(.deliver(message, from: host.place, to: to), at: self.now + delay)
        }
    }

    private mutating func deliver(_ message: [UInt8], from: Int, to host: SigningHost) {
        guard host.isUp else { return }
        if self.hosts[from].cheat != nil { host.heardFromCheats += 1 }
        host.speaker?.hear(message)
        if self.request.usesNonceCommitments, host.cheat == nil { self.ledger.heard(message, by: host.place, self.roster) }
        if host.coordination == nil {
            // A request that is new to it: known durably before anything is said about it.
            guard let proposed = try? Coordination.proposal(in: message, roster: self.roster) else { return }
            host.request = proposed
            self.open(host, resumes: host.life > 0)
            // What cannot be taken part in is not kept.
            guard host.coordination != nil else { return host.request = nil }
            self.beganDurableStep(of: host)
        }
        let outcome = host.coordination?.receive(message, from: self.hosts[from].identityKey, now: self.moment(of: host))
        if outcome == .accepted { host.transcribe(message) }
        if outcome == .accepted || outcome == .ignored, !self.clones.isEmpty, host.cheat == nil {
            self.ledger.heardClone(message, by: host.place, clones: self.clones, self.roster)
        }
        if case .refused(let refusal) = outcome {
            host.refusedCount += 1
            self.coverage.insert("refused \(Self.kind(of: refusal))")
        }
        self.step(host)
    }

    static func kind(of fault: Evidence.Fault) -> String {
        switch fault {
        case .conflictingNonces: "conflictingNonces"
        case .malformedNonces: "malformedNonces"
        case .malformedPartialSignatures: "malformedPartialSignatures"
        case .invalidPartialSignature: "invalidPartialSignature"
        case .conflictingBegins: "conflictingBegins"
        case .conflictingCommitments: "conflictingCommitments"
        case .wrongOpening: "wrongOpening"
        }
    }

    static func kind(of refusal: CoordinationRefusal) -> String {
        switch refusal {
        case .stranger: "stranger"
        case .anotherRequest: "anotherRequest"
        case .malformed: "malformed"
        case .sequenceGap: "sequenceGap"
        case .notEntitled: "notEntitled"
        case .inconsistent: "inconsistent"
        }
    }

    /// The case of a value, without what it holds.
    static func name(of value: some Any) -> String {
        let text = "\(Mirror(reflecting: value).children.first?.label ?? "")"
        return text.isEmpty ? "\(value)" : text
    }
}
