internal import Bitcoin
internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode
internal import Synchronization

/// A member of a signing group on a simulated host: the product's signing machine, with a disk that takes its time and a person who
/// thinks.
struct SigningMember: SimulatedProgram {
    /// What does not change from one life of its process to the next.
    final class Person {
        let place: Int
        let keys: SignerKeys
        let policy: any SpendingPolicy
        let enrolments: [Enrolment]
        /// Where the others' nodes are.
        let addresses: [(peer: PeerID, address: Multiaddr)]
        /// By which the clock of the day is wrong, in seconds.
        let skew: Int
        let approves: Bool
        let thoughtMax: Duration
        let diskDelayMax: Duration
        let store = SimulatedStore()
        private var random: SeededRandom
        /// Lives so far.
        var life = 0
        /// What is wrong with it on purpose.
        var fault: NodeSigningFault?
        /// What is told of each durable step as it begins, and of each event of a request.
        weak var watch: (any Watch)?

        init(
            place: Int, keys: SignerKeys, policy: any SpendingPolicy, enrolments: [Enrolment],
            addresses: [(peer: PeerID, address: Multiaddr)], skew: Int, approves: Bool, thoughtMax: Duration, diskDelayMax: Duration,
            seed: UInt64
        ) {
            self.place = place
            self.keys = keys
            self.policy = policy
            self.enrolments = enrolments
            self.addresses = addresses
            self.skew = skew
            self.approves = approves
            self.thoughtMax = thoughtMax
            self.diskDelayMax = diskDelayMax
            self.random = SeededRandom(seed: seed)
        }

        /// What it or its disk chooses.
        func draw(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &self.random) }
    }

    /// Who looks on.
    protocol Watch: AnyObject {
        /// A write is on its way, and done at `due` unless the process dies before.
        func writes(_ write: SigningWrite, of member: Person, from now: Duration, due: Duration)
        func happened(_ event: CoordinationEvent, at member: Person)
        /// Something is refused that an honest member sent.
        func refused(_ refusal: SigningRefusal, from peer: PeerID, at member: Person)
    }

    /// A write that has not come to its end.
    private struct Pending {
        let due: Duration
        let id: SigningWriteID
        let request: Bytes32
        let write: SigningWrite
        let time: UInt64
    }

    let person: Person
    private(set) var machine: ProtocolHandle<SigningMachine>?
    private var pending: [Pending] = []
    private var thoughts: [(due: Duration, request: Bytes32)] = []

    /// - Parameter previous: the life before. What it had under way to its disk got there, or did not.
    init(_ person: Person, after previous: SigningMember?) {
        self.person = person
        person.life += 1
        for pending in previous?.pending ?? [] where person.draw(0...1) == 0 {
            _ = person.store.perform(pending.write, of: pending.request, at: pending.time)
        }
    }

    mutating func start(_ node: inout Node, now: Duration) {
        let (person, life) = (self.person, self.person.life)
        let wall = SimulatedNetwork<SigningMember>.unixTimeOffset + .seconds(person.skew)
        let incarnations = IncarnationRow(seed: UInt64(person.place) << 32 | UInt64(person.fault == .reusesIncarnations ? 1 : life))
        var machine = SigningMachine(
            keys: person.keys, clocks: { SigningClocks(wall: wall + $0, running: $0) }, makeIncarnation: { incarnations.next() }, now: now)
        machine.add(person.policy, name: "group", members: person.enrolments)
        for (id, row) in person.store.rows.sorted(by: { $0.key < $1.key }) {
            guard let stored = person.store.stored(id), stored.state != .expired else { continue }
            let records = person.store.journal.filter { $0.request == id }
            do {
                try machine.restore(stored, proposal: row.proposal, records: records, completion: row.completion, now: now)
            } catch { preconditionFailure("what a member wrote down it cannot read: \(error)") }
            if stored.decision == .undecided { self.think(about: id, now: now) }
        }
        for (peer, address) in person.addresses { machine.learn([address], of: peer, now: now) }
        self.machine = node.swarm.add(machine, onLimited: true, now: now)
        node.announce(now: now)
    }

    mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration) {}

    mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool {
        guard let machine, let event = node.swarm.nextEvent(of: machine) else { return false }
        switch event {
        case .write(let id, let request, let write, let time):
            let microseconds = Int64(self.person.diskDelayMax / .microseconds(1))
            let due = now + .microseconds(self.person.draw(1...max(1, microseconds)))
            self.pending.append(Pending(due: due, id: id, request: request, write: write, time: time))
            self.person.watch?.writes(write, of: self.person, from: now, due: due)
        case .requested(let id): self.think(about: id, now: now)
        case .request(_, let event): self.person.watch?.happened(event, at: self.person)
        case .refused(let peer, let refusal): self.person.watch?.refused(refusal, from: peer, at: self.person)
        case .notStored, .blocked, .addressesWanted, .clocksJumped, .connected, .disconnected: break
        }
        return true
    }

    private mutating func think(about request: Bytes32, now: Duration) {
        let thought = self.person.draw(0...max(1, Int64(self.person.thoughtMax / .milliseconds(1))))
        self.thoughts.append((now + .milliseconds(thought), request))
    }

    var deadline: Duration? { (self.pending.map(\.due) + self.thoughts.map(\.due)).min() }

    mutating func tick(_ node: inout Node, now: Duration) {
        guard let machine else { return }
        while let index = self.pending.firstIndex(where: { $0.due <= now }) {
            let done = self.pending.remove(at: index)
            let result: SigningWriteResult
            switch (done.write, self.person.fault) {
            case (.decision, .losesDecisions?): result = .done()
            case (.burn, .losesAnswers?): continue
            default: result = self.person.store.perform(done.write, of: done.request, at: done.time)
            }
            node.swarm.update(machine, now: now) { $0.written(done.id, of: done.request, result, now: now) }
        }
        while let index = self.thoughts.firstIndex(where: { $0.due <= now }) {
            let (_, request) = self.thoughts.remove(at: index)
            let approves = self.person.approves
            node.swarm.update(machine, now: now) { machine in
                // What is over meanwhile needs no word.
                if approves { try? machine.approve(request, now: now) } else { try? machine.reject(request, now: now) }
            }
        }
    }
}

/// The incarnations of one process: no other has the same.
private final class IncarnationRow: Sendable {
    private let random: Mutex<SeededRandom>

    init(seed: UInt64) { self.random = Mutex(SeededRandom(seed: seed ^ 0x696e_6361)) }

    func next() -> [UInt8] {
        self.random.withLock { random in (0..<16).map { _ in UInt8(truncatingIfNeeded: random.next() >> 56) } }
    }
}
