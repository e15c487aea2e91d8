internal import CryptoPrimitives
internal import LibP2P
internal import Signing
internal import SigningNode

/// A member's node that cheats: it speaks the members' protocol, with an honest machine of the request behind it whose words are changed
/// on their way out. It keeps no disk, and has nobody to ask.
struct CheatingNode {
    /// What it knows of the request; a machine cannot be copied.
    private final class Part {
        var coordination: Coordination
        var speaker: CheatingSpeaker

        init(_ coordination: consuming Coordination, _ speaker: CheatingSpeaker) {
            self.coordination = coordination
            self.speaker = speaker
        }
    }

    let person: SigningPerson
    private var transport: ProtocolHandle<RequestResponse>?
    private var part: Part?
    private var random: SeededRandom
    private var redialAt: Duration = .zero
    private var stepAt: Duration?

    /// How often it tries to reach the others.
    private static let redialInterval = Duration.seconds(5)

    init(_ person: SigningPerson) {
        self.person = person
        person.life += 1
        self.random = SeededRandom(seed: UInt64(bitPattern: person.draw(0...Int64.max)))
    }

    mutating func start(_ node: inout Node, now: Duration) {
        self.transport = node.swarm.add(RequestResponse(configuration: CoordinationProtocol.configuration), onLimited: true, now: now)
        node.announce(now: now)
        self.redialAt = now
    }

    var deadline: Duration? { self.stepAt.map { min($0, self.redialAt) } ?? self.redialAt }

    mutating func tick(_ node: inout Node, now: Duration) {
        if self.redialAt <= now {
            self.redialAt = now + Self.redialInterval
            for (peer, address) in self.person.addresses { node.swarm.dial(peer, at: [address], now: now) }
        }
        if let due = self.stepAt, due <= now { self.step(&node, now: now) }
    }

    mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool {
        guard let transport, let event = node.swarm.nextEvent(of: transport) else { return false }
        guard case .asked(let question, let bytes) = event else { return true }
        self.receive(bytes, from: question.peer, now: now)
        let answer: CoordinationProtocol.Answer = self.person.cheat == .lies ? .unknown : .taken
        node.swarm.update(transport, now: now) { machine in
            do { try machine.answer(question, with: [answer.rawValue], now: now) } catch { machine.refuse(question) }
        }
        self.step(&node, now: now)
        return true
    }

    private func moment(_ now: Duration) -> Moment {
        Moment(uptime: now, time: UInt64(clamping: self.person.clock.wall(at: now).components.seconds))
    }

    private mutating func receive(_ bytes: [UInt8], from peer: PeerID, now: Duration) {
        guard let identity = peer.identity else { return }
        if self.part == nil { self.part = self.begin(bytes, now: now) }
        self.part?.speaker.hear(bytes)
        _ = self.part?.coordination.receive(bytes, from: identity, now: self.moment(now))
    }

    /// Takes part in what it is asked for, and agrees.
    private func begin(_ bytes: [UInt8], now: Duration) -> Part? {
        let (policy, enrolment) = (self.person.policy, self.person.keys.enrolment)
        let roster = Roster(members: policy.members, network: .regtest, enrolments: self.person.enrolments)
        guard let found = try? Coordination.proposal(in: bytes, roster: roster) else { return nil }
        return self.begin(found, policy, roster, enrolment, now: now)
    }

    /// Asks for something itself.
    mutating func propose(_ request: SigningRequest, _ terms: RequestTerms, _ node: inout Node, now: Duration) {
        let (policy, enrolment) = (self.person.policy, self.person.keys.enrolment)
        let roster = Roster(members: policy.members, network: .regtest, enrolments: self.person.enrolments)
        let proposal = self.person.identity.withSecretKey {
            Coordination.propose(request, terms: terms, enrolment: enrolment, identity: $0)
        }
        self.part = self.begin((request, proposal), policy, roster, enrolment, now: now)
        self.step(&node, now: now)
    }

    private func begin(
        _ found: (request: SigningRequest, proposal: Statement), _ policy: any SpendingPolicy, _ roster: Roster, _ enrolment: Enrolment,
        now: Duration
    ) -> Part? {
        guard let cheat = self.person.cheat, case .proposal(let terms) = found.proposal.body else { return nil }
        let incarnation = self.person.incarnations().next()
        guard
            var coordination = try? Coordination(
                request: found.request, proposal: found.proposal, policy: policy, roster: roster, enrolment: enrolment,
                incarnation: incarnation, resumes: self.person.life > 1)
        else { return nil }
        let serial = UInt32(clamping: self.moment(now).time)
        coordination.approve(serial: serial)
        var speaker = CheatingSpeaker(cheat, found.request, terms, policy, roster, enrolment)
        (speaker.incarnation, speaker.serial) = (incarnation.bytes, serial)
        return Part(coordination, speaker)
    }

    private mutating func step(_ node: inout Node, now: Duration) {
        guard let part, let transport else { return }
        let moment = self.moment(now)
        var actions: [CoordinationAction] = []
        self.person.identity.withSecretKey { identity in
            var isDone = false
            while !isDone {
                isDone = true
                for action in part.coordination.step(now: moment, key: self.person.key, identity: identity) {
                    // It keeps no journal.
                    if case .record(let record) = action {
                        part.coordination.recorded(record)
                        isDone = false
                    }
                    actions.append(action)
                }
            }
        }
        for case .send(let message, let receiver) in actions {
            guard let place = self.person.policy.members.firstIndex(of: receiver),
                let peer = part.coordination.enrolment(of: receiver).map({ PeerID(of: $0.identity) })
            else { continue }
            part.speaker.receiver = receiver
            let said = self.person.identity.withSecretKey { identity in
                part.speaker.said(message, to: place, now: now, key: self.person.key, identity: identity, random: &self.random)
            }
            for bytes in said {
                part.speaker.sentCount += 1
                // Where too much waits already it is not said.
                _ = node.swarm.update(transport, now: now) { try? $0.send(bytes, to: peer, now: now) }
            }
        }
        self.stepAt = part.coordination.nextStepAt.map { max($0, now + .milliseconds(1)) }
    }
}
