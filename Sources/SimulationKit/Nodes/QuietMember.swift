internal import CryptoPrimitives
internal import LibP2P
internal import Secp256k1
internal import Signing
internal import SigningNode
internal import Synchronization

/// A member whose machine costs time and nothing else does: its disk answers at once, and it agrees to whatever it is asked.
struct QuietMember: SimulatedProgram {
    /// What does not change while it runs.
    final class Seat {
        let place: Int
        let keys: SignerKeys
        let policy: any SpendingPolicy
        let enrolments: [Enrolment]
        /// Where the others' nodes are.
        let addresses: [(peer: PeerID, address: Multiaddr)]
        /// What happened to requests, and when.
        var events: [(time: Duration, request: Bytes32, event: CoordinationEvent)] = []

        /// Entries of nonces that it gives each other member ahead.
        var noncePool = 0

        init(
            place: Int, keys: SignerKeys, policy: any SpendingPolicy, enrolments: [Enrolment],
            addresses: [(peer: PeerID, address: Multiaddr)]
        ) {
            self.place = place
            self.keys = keys
            self.policy = policy
            self.enrolments = enrolments
            self.addresses = addresses
        }
    }

    let seat: Seat
    private(set) var machine: ProtocolHandle<SigningMachine>?

    init(_ seat: Seat) { self.seat = seat }

    mutating func start(_ node: inout Node, now: Duration) {
        let wall = SimulatedNetwork<QuietMember>.unixTimeOffset
        let names = Names(place: self.seat.place)
        var configuration = SigningMachine.Configuration()
        configuration.noncePoolCount = self.seat.noncePool
        var machine = SigningMachine(
            keys: self.seat.keys, configuration: configuration, clocks: { SigningClocks(wall: wall + $0, running: $0) },
            makeIncarnation: { names.next() }, now: now)
        machine.add(self.seat.policy, name: "group", members: self.seat.enrolments)
        for (peer, address) in self.seat.addresses { machine.learn([address], of: peer, now: now) }
        self.machine = node.swarm.add(machine, onLimited: true, now: now)
        node.announce(now: now)
    }

    mutating func handle(_ event: Node.Event, _ node: inout Node, now: Duration) {}

    mutating func takeEvents(_ node: inout Node, now: Duration) -> Bool {
        guard let machine, let event = node.swarm.nextEvent(of: machine) else { return false }
        if case .write(let id, let request, let write, let time) = event {
            let result = Self.result(of: write, request, at: time)
            node.swarm.update(machine, now: now) { $0.written(id, of: request, result, now: now) }
        } else if case .requested(let request) = event {
            node.swarm.update(machine, now: now) { try? $0.approve(request, now: now) }
        } else if case .request(let request, let event) = event {
            self.seat.events.append((now, request, event))
        }
        return true
    }

    /// Nothing is read again here, so nothing is kept.
    private static func result(of write: SigningWrite, _ request: Bytes32, at time: UInt64) -> SigningWriteResult {
        guard case .request(let new) = write else { return .done() }
        return .done(
            StoredRequest(
                id: request, source: new.source, created: new.created, expiry: new.expiry, updated: time, decision: .undecided,
                decisionSerial: 0, state: .proposed, reason: "", transcript: TranscriptHead(request: request)))
    }
}

/// The incarnations of one member, none of them twice.
private final class Names: Sendable {
    private let place: Int
    private let count = Mutex(0)

    init(place: Int) { self.place = place }

    func next() -> Incarnation {
        let number = self.count.withLock { count in
            count += 1
            return count
        }
        let digest = SHA256.hash(Array("quiet \(self.place) \(number)".utf8))
        return Incarnation(known: Array(digest.bytes.prefix(Incarnation.byteCount)))
    }
}
