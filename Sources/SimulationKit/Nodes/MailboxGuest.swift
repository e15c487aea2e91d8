internal import CryptoPrimitives
internal import LibP2P
internal import Signing
internal import SigningNode

/// A host of a `MailboxRun`: a member, a node that keeps messages, or a stranger that wants to fill them.
struct MailboxGuest: SimulatedProgram {
    /// What does not change from one life of its process to the next.
    final class Person {
        let place: Int
        let keys: SignerKeys
        /// `nil`: it is no member.
        let group: (policy: any SpendingPolicy, members: [Enrolment])?
        let contacts: Set<Ed25519.PublicKey>
        var configuration = SigningMachine.Configuration()
        /// Where others are, and their mailboxes.
        var addresses: [(peer: PeerID, addresses: [Multiaddr])] = []
        let store = SimulatedStore()
        let mailbox: SimulatedMailbox
        /// Of a stranger: for whom it leaves what, and where.
        var targets: [Ed25519.PublicKey] = []
        var random: SeededRandom
        var life = 0
        weak var watch: MailboxRun?

        init(
            place: Int, keys: SignerKeys, group: (policy: any SpendingPolicy, members: [Enrolment])?, contacts: Set<Ed25519.PublicKey>,
            mailbox: SimulatedMailbox, seed: UInt64
        ) {
            self.place = place
            self.keys = keys
            self.group = group
            self.contacts = contacts
            self.mailbox = mailbox
            self.random = SeededRandom(seed: seed)
        }
    }

    private enum Work {
        case write(SigningWriteID, Bytes32, SigningWrite)
        case job(MailboxJobID, MailboxServer.Job)
        case approve(Bytes32)
    }

    let person: Person
    private(set) var machine: ProtocolHandle<SigningMachine>?
    private var flood: ProtocolHandle<RequestResponse>?
    private var leftCount = 0
    private(set) var answerCount = 0
    private var pending: [(due: Duration, time: UInt64, work: Work)] = []

    /// Deposits of each stranger: above what all of them together may have in a box.
    static let floodCount = 300

    init(_ person: Person, after previous: MailboxGuest?) {
        self.person = person
        person.life += 1
        // What was under way to the disk got there, or did not.
        for pending in previous?.pending ?? [] where Bool.random(using: &person.random) {
            switch pending.work {
            case .write(_, let request, let write): _ = person.store.perform(write, of: request, at: pending.time)
            case .job(_, let job): _ = person.mailbox.perform(job, at: pending.time)
            case .approve: break
            }
        }
    }

    mutating func start(_ node: inout Node, now: Duration) {
        let person = self.person
        guard person.targets.isEmpty else {
            self.flood = node.swarm.add(RequestResponse(configuration: MailboxProtocol.configuration), now: now)
            for (peer, addresses) in person.addresses { node.swarm.dial(peer, at: addresses, now: now) }
            return node.announce(now: now)
        }
        let seed = UInt64(person.place) << 32 | UInt64(person.life)
        var machine = SigningMachine(
            keys: person.keys, configuration: person.configuration,
            clocks: { SigningClocks(wall: SimulatedNetwork<MailboxGuest>.unixTimeOffset + $0, running: $0) },
            makeIncarnation: { Incarnation(known: Array(SHA256.hash(Array("incarnation \(seed)".utf8)).bytes.prefix(16))) }, now: now)
        if let group = person.group { machine.add(group.policy, name: "group", members: group.members) }
        machine.setContacts(person.contacts)
        for (id, row) in person.store.rows.sorted(by: { $0.key < $1.key }) {
            guard let stored = person.store.stored(id), stored.state != .expired else { continue }
            let records = person.store.journal.filter { $0.request == id }
            do {
                try machine.restore(stored, proposal: row.proposal, records: records, completion: row.completion, now: now)
            } catch { preconditionFailure("what a member wrote down it cannot read: \(error)") }
            if stored.decision == .undecided { self.plan(.approve(id), now: now) }
        }
        for (peer, addresses) in person.addresses { machine.learn(addresses, of: peer, now: now) }
        self.machine = node.swarm.add(machine, onLimited: true, now: now)
        node.announce(now: now)
    }

    mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration) {
        guard let flood, case .swarm(.connected(let info)) = event else { return }
        for _ in 0..<Self.floodCount {
            guard let target = self.person.targets.randomElement(using: &self.person.random), let name = Bytes32(target.bytes) else {
                return
            }
            let junk = (0..<512).map { _ in UInt8.random(in: 0...255, using: &self.person.random) }
            let time = UInt64(clamping: (SimulatedNetwork<MailboxGuest>.unixTimeOffset + now).components.seconds) + 86_400
            let request = MailboxRequest.deposit(recipient: name, expiry: time, sealed: junk)
            // Some of it is no request at all.
            let bytes = Int.random(in: 0..<20, using: &self.person.random) == 0 ? junk : request.serialized()
            node.swarm.update(flood, now: now) { _ = try? $0.send(bytes, to: info.peer, now: now) }
        }
    }

    private mutating func plan(_ work: Work, now: Duration) {
        let due = now + .microseconds(Int64.random(in: 100...20_000, using: &self.person.random))
        self.pending.append((due, UInt64(clamping: (SimulatedNetwork<MailboxGuest>.unixTimeOffset + now).components.seconds), work))
    }

    mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool {
        if let flood, let event = node.swarm.nextEvent(of: flood) {
            if case .answered = event { self.answerCount += 1 }
            return true
        }
        guard let machine, let event = node.swarm.nextEvent(of: machine) else { return false }
        switch event {
        case .write(let id, let request, let write, _):
            self.plan(.write(id, request, write), now: now)
            if case .burn(let record) = write { self.person.watch?.decided(record, at: self.person) }
        case .mailbox(let id, let job, _): self.plan(.job(id, job), now: now)
        case .requested(let id): self.plan(.approve(id), now: now)
        case .request(_, let event): self.person.watch?.happened(event, at: self.person)
        case .connected: self.person.watch?.hasMet()
        // What else there is to see, other runs look at.
        default: break
        }
        return true
    }

    var deadline: Duration? { self.pending.map(\.due).min() }

    mutating func tick(_ node: inout Node, now: Duration) {
        guard let machine else { return }
        while let index = self.pending.firstIndex(where: { $0.due <= now }) {
            let (_, time, work) = self.pending.remove(at: index)
            switch work {
            case .write(let id, let request, let write):
                let result = self.person.store.perform(write, of: request, at: time)
                node.swarm.update(machine, now: now) { $0.written(id, of: request, result, now: now) }
            case .job(let id, let job):
                let outcome = self.person.mailbox.perform(job, at: time)
                node.swarm.update(machine, now: now) { $0.done(id, outcome, now: now) }
            case .approve(let request): node.swarm.update(machine, now: now) { try? $0.approve(request, now: now) }
            }
        }
    }
}
